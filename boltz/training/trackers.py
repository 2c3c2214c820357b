"""Functions for watch= that pass the numbers of each epoch on to TensorBoard, Weights & Biases or MLflow.

Their packages are imported only where a function of theirs is made; boltz needs none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from boltz import checks
from boltz.errors import InputError

Record = Mapping[str, Any]
Tracker = Callable[[Record], None]
PLACES = ("line", "epoch", "epochs")  # of a record: where it stands, which is no measure


def watch_tensorboard(folder: Any) -> Tracker:
    """A function for watch= that writes the numbers of each epoch into a folder that TensorBoard shows.

    Each number is a scalar STAGE/NAME, such as joint/bound, at the epoch of its stage. A run that goes on may write
    into the folder that it has. Raises InputError, also where the package tensorboard is not installed.
    """
    writer = _package("tensorboard.summary", "watch_tensorboard").Writer(str(checks.path(folder, "folder")))

    def watch(record: Record) -> None:
        for name, value in numbers(record).items():
            writer.add_scalar(name, value, step=record["epoch"])
        writer.flush()

    return watch


def watch_wandb(project: Any, **settings: Any) -> Tracker:
    """A function for watch= that logs the numbers of each epoch to a run of Weights & Biases in this project.

    Names are STAGE/NAME, such as joint/bound; STAGE/epoch tells where a stage stands. settings: further arguments of
    wandb.init, such as name or mode. Raises InputError, also where the package wandb is not installed.
    """
    if not isinstance(project, str) or not project:
        raise InputError(f"project must be the name of a project, got {checks.brief(project)}.")
    run = _package("wandb", "watch_wandb").init(project=project, **settings)

    def watch(record: Record) -> None:
        run.log({**numbers(record), f"{_stage(record)}/epoch": record["epoch"]})

    return watch


def watch_mlflow() -> Tracker:
    """A function for watch= that logs the numbers of each epoch to the active run of MLflow, which begins if none is.

    Each number is a metric STAGE/NAME, such as joint/bound, at the epoch of its stage as step. Raises InputError where
    the package mlflow is not installed.
    """
    mlflow = _package("mlflow", "watch_mlflow")

    def watch(record: Record) -> None:
        mlflow.log_metrics(numbers(record), step=record["epoch"])

    return watch


def numbers(record: Record) -> dict[str, float]:
    """The finite numbers of an epoch's record by STAGE/NAME."""
    return {
        f"{_stage(record)}/{name}": float(value)
        for name, value in record.items()
        if name not in PLACES and type(value) in (int, float) and math.isfinite(value)
    }


def _stage(record: Record) -> str:
    return str(record["stage"]).replace(" ", "-")


def _package(name: str, function: str) -> Any:
    """A package that boltz itself does not need; raises InputError."""
    try:
        return import_module(name)
    except ImportError as problem:
        own = name.partition(".")[0]
        raise InputError(
            f"boltz.{function} needs the package {own}, which cannot be imported here: python3 -m pip install {own}."
        ) from problem
