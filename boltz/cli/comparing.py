"""Machines measured on the same rows by the same estimator, a row a machine, for `boltz compare`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import boltz
from boltz.cli.measure import Annealing, estimate_log_z, verdict, visible_rows
from boltz.cli.progress import Progress
from boltz.cli.reading import own_load, request_of, rows_asked
from boltz.cli.stored import architecture, model_of, parameters, settings_of, table
from boltz.data import Data
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, error_of_rows
from boltz.foreign import shown
from boltz.models.blueprint import blueprint, kind_of
from boltz.models.files import Model

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
Row = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """A machine under the name of its run or file, with what its run.toml says."""

    name: str
    path: Path
    model: Model
    settings: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The kind of machine."""
        return kind_of(blueprint(self.model))


def contenders(paths: Sequence[Path], device: str = "cpu") -> list[Contender]:
    """The machines of runs or model files on a device, each under a name of its own.

    Raises InputError if visible units differ.
    """
    places = [os.path.realpath(path) for path in paths]  # a loop of links stays as it is, and cannot be read
    names = [os.path.basename(place) for place in places]
    for i, path in enumerate(paths):
        if places[i] in places[:i]:
            raise InputError(f"{path} is named twice: name each run or model file once.")
    shown = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    named = zip(shown, paths, strict=True)
    found = [Contender(name, path, model_of(path).to(device), settings_of(path)) for name, path in named]
    first = found[0].model.layers[0]
    for other in found[1:]:
        layer = other.model.layers[0]
        if (layer.units, layer.kind) != (first.units, first.kind):
            raise InputError(
                f"the machines must have the same visible units: {found[0].path} has {first.units} {first.kind} ones, "
                f"{other.path} has {layer.units} {layer.kind} ones."
            )
    return found


def rows_of(found: Sequence[Contender], options: Mapping[str, Any]) -> tuple[Data, str | None, Any, str]:
    """The data, their split, the rows (rows, units) that all machines see, binarised once, and how.

    Raises InputError.
    """
    models, path = [each.model for each in found], found[0].path
    if options["data"] is None:
        _shared(found, "data", ("data", "load"), "name_or_path")
        path, *others = (each.path for each in found if own_load(each.settings))
        if any(
            request_of(other, models, options, "test") != request_of(path, models, options, "test") for other in others
        ):
            raise InputError("the runs differ in the columns or the test rows of their data: choose rows with --data.")
    data, split = rows_asked(path, models, options, "test")
    how = options["binarize"] or _shared(found, "binarize", ("settings",), "binarize")
    return data, split, *visible_rows(data, how, options["seed"], found[0].model)


def _shared(found: Sequence[Contender], option: str, place: tuple[str, ...], entry: str) -> Any:
    """What the runs were trained with, where they agree; model files say nothing. Raises InputError."""
    said = {value for each in found if isinstance(value := table(each.settings, *place).get(entry), str)}
    if len(said) > 1:
        names = ", ".join(map(shown, sorted(said)))
        raise InputError(f"the runs differ in their {option} ({names}): choose with --{option}.")
    if not said and option == "data":
        raise InputError("no run names its data: give them with --data.")
    return said.pop() if said else None


def measured(each: Contender, x: Any, samples: int, annealing: Annealing, progress: Progress) -> tuple[Row, Estimate]:
    """One row of the comparison: the machine, its log-likelihood by importance sampling, bounds, active units.

    The log-likelihood comes beside it as an estimate as well.
    """
    began = time.monotonic()
    log_z = estimate_log_z(each.model, "auto", annealing, progress)
    sizes = [k for k in SIZES if k < samples] + [samples]
    bounds = boltz.importance_bounds(each.model, x, sizes, log_z, annealing.seed)
    best, exact = bounds[-1], each.kind == "rbm"
    plan = blueprint(each.model)
    row = {
        "name": each.name,
        "path": str(each.path),
        "model": each.kind,
        "architecture": architecture(plan),
        "parameters": parameters(plan),
        "log_likelihood": best.as_dict(),
        "method": "free energy" if exact else "importance sampling",
        "samples": 0 if exact else samples,
        "log_z": None if log_z is None else log_z.as_dict() | {"method": log_z.method},
        "bounds": [{"samples": k, **bound.as_dict()} for k, bound in zip(sizes, bounds, strict=True)],
        "minus_kl": 0.0 if exact else bounds[0].value - best.value,
        "active_units": boltz.active_units(each.model, x, annealing.seed),
        "hidden_units": {layer.name: layer.units for layer in each.model.layers[1:]},
        "certified": verdict(best, log_z, 0 if exact else samples),
        "seconds": time.monotonic() - began,
    }
    return row, best


def differences(rows: Sequence[Row], found: Sequence[Estimate]) -> list[Row]:
    """Each machine less the best one, in nats a row: the same rows, so that how they differ counts once, in pairs.

    standard_error is that of both log Z; standard_error_rows holds the noise of samples as well.
    """
    best = max(range(len(rows)), key=lambda i: found[i].value)
    errors = [0.0 if row["log_z"] is None else row["log_z"]["standard_error"] or 0.0 for row in rows]
    told = []
    for i, (row, estimate) in enumerate(zip(rows, found, strict=True)):
        if i != best:
            pairs = np.subtract(estimate.per_row, found[best].per_row)  # type: ignore[arg-type]
            of_rows = error_of_rows(pairs, np.zeros(len(pairs)))
            told.append({"name": row["name"], "less": rows[best]["name"], "value": float(pairs.mean())})
            told[-1] |= {"standard_error": math.hypot(errors[i], errors[best])}
            told[-1] |= {"standard_error_rows": of_rows if math.isfinite(of_rows) else None}
    return told
