"""What run.toml says of a run: one reader and one writer for all that need it. Anybody may have edited the file.

A part that is missing or has another shape than it should counts as not said, until something needs it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from boltz.data import Data, again
from boltz.data.dataset import COLOURS, VIEWS, columns_entry
from boltz.data.views import whole_rows
from boltz.errors import BoltzError, FileError, InputError
from boltz.foreign import shown
from boltz.models.blueprint import Blueprint, plan_from
from boltz.models.files import Model
from boltz.scale import above_one
from boltz.storage import run_folder
from boltz.storage.tensors import read_tensors
from boltz.training.pretraining import Stage
from boltz.training.settings import AnySettings, Common, settings_from
from boltz.training.stages import settings_of, stages
from boltz.training.view_rows import rows_for

Table = Mapping[str, Any]
OWN = ("model", "task", "settings", "data", "held_out", "versions")
PROBLEMS = (KeyError, TypeError, ValueError, OverflowError, SyntaxError, BoltzError)


@dataclass(frozen=True)
class RowsEntry:
    """What run.toml says of some rows: how to load them again, how many, their fingerprint, that of their labels."""

    table: Table = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.table)

    @classmethod
    def of(cls, data: Data, **more: Any) -> RowsEntry:
        """The entry of rows, and what else is to be said of them."""
        entry = {"load": dict(data.request), "rows": len(data.x), "fingerprint": data.fingerprint}
        return cls(entry | columns_entry(data.columns) | more)

    @property
    def load(self) -> dict[str, Any]:
        """The arguments of boltz.load_data or boltz.load_views, none for an array."""
        return _table(self.table, "load")

    @property
    def name(self) -> str | None:
        """The name or path of the data, of several views in files of their own that of the first one."""
        views = [view[0] for view in _table(self.load, "views").values() if isinstance(view, list) and view]
        found = self.load.get("name_or_path", views[0] if views else None)
        return found if isinstance(found, str) else None

    def get(self, name: str) -> Any:
        """Another value of the entry, None where there is none."""
        return self.table.get(name)


@dataclass(frozen=True)
class Drawn:
    """A run of a machine before its parameters: the plan, their type, its levels, its settings and stages."""

    plan: Blueprint
    dtype: np.dtype[Any]
    levels: int | None
    settings: AnySettings
    stages: list[Stage]


@dataclass(frozen=True)
class RunDescription:
    """What run.toml says: the machine, or the task of a fine-tuning, its settings, its rows, and versions.

    task is None where none is named, which makes it the run of a machine, and empty where it is not text. extra holds
    what the caller of a training keeps there besides. folder is where it is from, for messages.
    """

    model: Table = field(default_factory=dict)
    task: str | None = None
    settings: Table | None = None
    data: RowsEntry = RowsEntry()
    held_out: RowsEntry = RowsEntry()
    versions: Table = field(default_factory=dict)
    extra: Table = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def from_table(cls, table: Table, folder: Path | None = None) -> RunDescription:
        """The description that the tables of a run.toml give."""
        task, settings = table.get("task"), table.get("settings")
        return cls(
            _table(table, "model"),
            task if task is None or isinstance(task, str) else "",
            settings if isinstance(settings, Mapping) else None,
            RowsEntry(_table(table, "data")),
            RowsEntry(_table(table, "held_out")),
            _table(table, "versions"),
            {name: value for name, value in table.items() if name not in OWN},
            folder,
        )

    def as_table(self) -> dict[str, Any]:
        """The tables of run.toml."""
        what: dict[str, Any] = {"model": self.model} if self.task is None else {"task": self.task}
        own = {"settings": self.settings, "data": self.data.table, "held_out": self.held_out.table}
        return dict(self.extra) | what | own | {"versions": self.versions}

    def drawn(self) -> Drawn:
        """The run of a machine before its parameters; raises FileError where this describes none."""
        try:
            plan = plan_from(self.model, self._pairs(), str(self._couplings))
            chosen = settings_of(plan, self._settings())
            levels = above_one(self.model.get("levels"))
            return Drawn(plan, np.dtype(self.model["dtype"]), levels, chosen, stages(plan, chosen))
        except PROBLEMS as problem:
            raise self.wrong("a run", problem) from problem

    @property
    def _couplings(self) -> Path:
        """The file of the pairs that sparse couplings join."""
        return (self.folder or Path()) / run_folder.COUPLINGS

    def _pairs(self) -> dict[str, Any]:
        """What it holds, nothing where no couplings are sparse; raises FileError."""
        return read_tensors(self._couplings)[0] if "couplings" in self.model else {}

    def settings_as(self, kind: type[Common]) -> Any:
        """The settings as a class of settings that has no say in the machine; raises FileError."""
        try:
            return settings_from(kind, dict(self._settings()))
        except PROBLEMS as problem:
            raise self.wrong("a fine-tuning", problem) from problem

    def _settings(self) -> Table:
        if self.settings is None:
            raise KeyError("settings")
        return self.settings

    def setting(self, name: str, kind: type[Any] = str) -> Any:
        """A setting by name, None where it is not said, or not as a value of this type."""
        found = (self.settings or {}).get(name)
        return found if isinstance(found, kind) else None

    def part(self, name: str) -> dict[str, Any]:
        """A table that the caller of the training keeps, empty where there is none."""
        return _table(self.extra, name)

    def rows(self, name: str) -> RowsEntry:
        """What is said of rows beside those learnt from: valid, test, or rows, those that a command chose from."""
        return RowsEntry(self.part(name))

    @property
    def image(self) -> tuple[int, ...] | None:
        """Height and width of the images that the run was trained on, and 3 of colours; None for other rows."""
        shape = self.part("picture").get("shape")
        return tuple(shape) if _is_shape(shape) else None

    @property
    def images(self) -> dict[str, tuple[int, ...]]:
        """Height and width, and 3 of colours, of the images of each visible layer of several that has any."""
        shapes = _table(self.part("picture"), "views")
        return {view: tuple(shape) for view, shape in shapes.items() if _is_shape(shape)}

    @property
    def learnt(self) -> RowsEntry:
        """The rows that the run learnt from, if they can be named; its entry is empty where they cannot."""
        return next((found for found in (self.data, self.rows("rows")) if found.name is not None), RowsEntry())

    def data_again(self, entry: str, x: Any, model: Any) -> Data | None:
        """The rows of data or held_out for a machine or network, loaded again unless x gives them; None for no rows.

        Raises InputError where they changed, and FileError.
        """
        wanted: RowsEntry = getattr(self, entry)
        if not wanted:
            return None
        name = "x" if entry == "data" else entry
        if x is None and not wanted.get("load"):
            raise InputError(f"{self.folder} was trained on an array; give it again as {name}.")
        try:
            given = again(**wanted.get("load")) if x is None else x
            if entry == "held_out" and x is None and given.kind == VIEWS:
                given = whole_rows(given)
            data = rows_for(model, given, name, missing=entry == "data")
        except TypeError as problem:
            how = f"does not say how to load the {entry} ({shown(problem)})"
            raise FileError(f"{self.place} {how}.") from problem
        if data.fingerprint != wanted.get("fingerprint"):
            told = f"the fingerprint of {name} differs from that in {run_folder.SETTINGS}"
            raise InputError(f"the {entry} of {self.folder} changed: {told}.")
        return data

    @property
    def place(self) -> str:
        """The file, for messages."""
        return run_folder.SETTINGS if self.folder is None else str(self.folder / run_folder.SETTINGS)

    def wrong(self, what: str, problem: BaseException) -> FileError:
        """The error of a file that does not describe what it should."""
        return FileError(f"{self.place} does not describe {what} ({shown(problem)}).")


def description_of(
    model: Model, settings: AnySettings, data: Data, held_out: Data | None, extra: Table
) -> RunDescription:
    """The description of a run of a machine that begins."""
    levels = {} if model.levels is None else {"levels": model.levels}
    return RunDescription(
        model={**model.plan.entry, "dtype": str(model.dtype), **levels},
        settings=settings.as_dict(),
        data=RowsEntry.of(data),
        held_out=RowsEntry() if held_out is None else RowsEntry.of(held_out),
        versions=versions(),
        extra=extra,
    )


def read_description(folder: str | os.PathLike[str]) -> RunDescription:
    """What the run.toml of a run folder says; raises FileError."""
    return RunDescription.from_table(run_folder.read_settings(folder), Path(folder))


def description_at(path: str | os.PathLike[str] | None) -> RunDescription:
    """What the run.toml of a run folder says, nothing for a model file, or without a path; raises FileError."""
    return RunDescription() if path is None or not os.path.isdir(path) else read_description(path)


def with_levels_of(model: Any, data: Data) -> Any:
    """A machine or network that keeps the levels of the data it learns from, where they have any."""
    return replace(model, levels=data.levels) if (data.levels or 1) > 1 else model


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    packages = {name: metadata.version(name) for name in ("numpy", "numba", "scipy")}
    return {"python": platform.python_version(), **packages}


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
    """Whether a value is height and width of an image, and perhaps 3 for colours."""
    if not (isinstance(shape, list) and all(isinstance(n, int) and n > 0 for n in shape)):
        return False
    return len(shape) == 2 or (len(shape) == 3 and shape[2] == COLOURS)


def _table(values: Any, name: str) -> dict[str, Any]:
    """A table of a table, empty where it is missing or no table."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}
