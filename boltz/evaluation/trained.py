"""A trained machine and what is known of its training, from a machine, a run, or the path of a run or model file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boltz import checks
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, checked_machine
from boltz.models.files import load as load_model
from boltz.models.files import trajectory as load_trajectory
from boltz.storage import run_folder, snapshots
from boltz.training.description import RunDescription, description_at, read_description
from boltz.training.train import Run


@dataclass(frozen=True, eq=False)
class Trained:
    """A machine under a name.

    path: the run folder or model file it is from; run: what run.toml says, or the settings of a run in memory, and
    nothing for a machine alone; kept: the snapshots of a run in memory; seen: some of its training rows and held-out
    rows as it sees them, None where they are not at hand.
    """

    name: str
    model: Model
    path: Path | None = None
    run: RunDescription = field(default_factory=RunDescription)
    kept: tuple[BoltzmannMachine, ...] = ()
    seen: tuple[Any, Any] | None = None

    @property
    def kind(self) -> str:
        """The kind of machine."""
        return self.model.kind

    @property
    def place(self) -> str:
        """Where it is, in a message."""
        return self.name if self.path is None else str(self.path)

    @property
    def updates(self) -> list[int]:
        """The update of each snapshot that its run folder holds, in order."""
        found = self.path is not None and self.path.is_dir()
        return [int(file.stem) for file in (snapshots.listed(self.path) if found else [])]  # type: ignore[arg-type]

    @property
    def snapshots(self) -> tuple[BoltzmannMachine, ...]:
        """The snapshots of its run, none where it kept none; raises FileError where one is damaged."""
        return self.kept if self.path is None or not self.path.is_dir() else tuple(load_trajectory(self.path))

    def to(self, device: str) -> Trained:
        """The same, with its machine on a device."""
        return replace(self, model=self.model.to(device))


def trained(model: Any, argument: str = "model") -> Trained:
    """The trained machine that an argument names: itself, a run, or a path; raises InputError or FileError."""
    if isinstance(model, Run):
        if model.path is None:
            extra = {"labels": {"labelled": model.labelled}} if model.labelled else {}
            told = RunDescription(settings=model.settings.as_dict(), extra=extra)
            return Trained("the run", model.model, None, told, model.kept, model.seen)
        return Trained(_name(model.path), model.model, model.path, description_at(model.path), seen=model.seen)
    if isinstance(model, str | os.PathLike):
        path = checks.path(model, argument)
        return Trained(_name(path), model_of(path), path, description_at(path))
    wanted = "a machine, a run, or the path of a run or model file"
    machine = checked_machine(model, argument, wanted, any_units=True, any_graph=True, any_factors=True)
    return Trained("the machine", machine)


def model_of(path: Path) -> Model:
    """The machine of a model file or of a run that was trained to its end."""
    if path.is_dir() and not (path / run_folder.MODEL).exists():
        if read_description(path).task is not None:
            raise InputError(f"{path} holds a fine-tuned network, which only boltz classify and autoencode go on with.")
        raise InputError(f"{path} is not trained to its end: finish it with: boltz train --resume {path}")
    return load_model(path)


def _name(path: Path) -> str:
    """The last part of a path, where links lead."""
    return os.path.basename(os.path.realpath(path))
