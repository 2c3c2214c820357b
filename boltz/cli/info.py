"""`boltz info`: what a run folder or a model file holds."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import click

from boltz.cli.common import emit, json_option, run_argument
from boltz.errors import BoltzError, FileError


@click.command
@run_argument
@json_option
def info(path: Path, as_json: bool) -> None:
    """Describe a run or a model file: layers, parameters, settings, progress, data, result."""
    result = _of_run(path) if path.is_dir() else _of_model(path)
    emit(result, as_json, "\n".join(_lines(result)))


def _of_model(path: Path) -> dict[str, Any]:
    import boltz
    from boltz.cli.stored import kind_of, parameters

    model = boltz.load(path)
    units = list(model.graph.units.values())
    return {
        "path": str(path),
        "model": kind_of(units),
        "layers": units,
        "parameters": parameters(units),
        "dtype": str(model.dtype),
        "rates": bool(model.rates),
    }


def _of_run(path: Path) -> dict[str, Any]:
    from boltz import runs
    from boltz.cli.stored import kind_of, parameters, read_result, table

    description = runs.read_settings(path)
    units, planned = _plan(description, path)
    history, result = runs.read_metrics(path), read_result(path)
    return {
        "path": str(path),
        "model": kind_of(units),
        "layers": units,
        "parameters": parameters(units),
        "complete": (path / runs.MODEL).exists(),
        "epochs": len(history),
        "epochs_planned": planned,
        "data": table(description, "data"),
        "settings": table(description, "settings"),
        "versions": table(description, "versions"),
        "test": None if result is None else result["test"],
    }


def _plan(description: dict[str, Any], path: Path) -> tuple[list[int], int]:
    """Units of the layers and number of epochs of all stages."""
    from boltz.models.graph import Graph
    from boltz.training.pretrain import stages
    from boltz.training.settings import settings_from

    try:
        units = [int(n) for n in description["model"]["units"]]
        plan = stages(Graph.chain(units, description["model"]["kind"]), settings_from(description["settings"]))
    except (KeyError, TypeError, ValueError, BoltzError) as problem:
        raise FileError(f"{path / 'run.toml'} does not describe a run ({problem}).") from problem
    return units, sum(stage.settings.epochs for stage in plan)


def _lines(result: dict[str, Any]) -> list[str]:
    """A line for each entry, tables as name=value."""
    shown = dict(result)
    if "complete" in shown:
        shown["epochs"] = f"{shown['epochs']} of {shown.pop('epochs_planned')}"
        shown["complete"] = "yes" if shown["complete"] else f"no; continue with: boltz train --resume {shown['path']}"
        shown["test"] = _test(shown["test"])
    shown["layers"] = "-".join(map(str, shown["layers"]))
    shown["parameters"] = f"{shown['parameters']:,}"
    return [fill(f"{name + ':':<12} {_plain(value)}", 110, subsequent_indent=" " * 13) for name, value in shown.items()]


def _test(test: Any) -> str:
    entry = test.get("log_likelihood") if isinstance(test, dict) else None
    value = entry.get("value") if isinstance(entry, dict) else None
    return f"log-likelihood {value:.2f} nats a row" if isinstance(value, float) else "not measured"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} = ({_plain(x)})" if isinstance(x, dict) else f"{n} = {x}" for n, x in value.items())
    return "yes" if value is True else "no" if value is False else str(value)
