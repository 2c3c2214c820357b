"""Independent units and a mixture of products beside a machine: fitted to the training rows, on the rows measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boltz.data import Data, load, splits
from boltz.data.binarize import binarize
from boltz.data.dataset import known_in_full, parted
from boltz.errors import BoltzError
from boltz.estimators.simple_models import Beyond
from boltz.estimators.words import in_words
from boltz.evaluation.reading import loaded
from boltz.evaluation.view_reading import several
from boltz.evaluation.words import SIMPLE
from boltz.foreign import shown
from boltz.models.files import Model
from boltz.models.products import ROWS
from boltz.rng import Key
from boltz.training.description import RunDescription

UNKNOWN = "its training rows are not known"


@dataclass(frozen=True)
class Beside:
    """What simple models say of some rows; found is None where they say nothing, for the reason in why."""

    found: Beyond | None
    why: str = ""

    def verdict(self, per_row: Any, estimate: Mapping[str, Any], name: str = "The machine") -> str:
        """How a machine with log-likelihoods per_row (rows,), and this estimate as plain values, stands."""
        if self.found is None:
            return f"It is not compared with independent units, since {self.why}."
        return self.found.verdict(per_row, estimate, name)

    def advised(self) -> Beside:
        """The same for a function that takes training rows as train, which is said where they are not known."""
        return replace(self, why=f"{UNKNOWN}: give them as train=") if self.why == UNKNOWN else self

    def cells(self) -> list[tuple[str, str]]:
        """The name of each simple model and the log-likelihood that it gives the rows; none where it gives none."""
        if self.found is None:
            return []
        entries = {"mixture": self.found.mixture, "independent_units": self.found.independent}
        return [(label, in_words(entries[name])) for name, label in SIMPLE.items()]

    def lines(self) -> list[str]:
        """The same as lines of text."""
        return [" ".join(each) for each in self.cells()]

    def as_dict(self) -> dict[str, Any] | None:
        """Plain values for JSON."""
        return None if self.found is None else self.found.as_dict()


def beside(model: Model, data: Data, x: Any, run: RunDescription, seed: int, train: Data | None = None) -> Beside:
    """Simple models on rows x (rows, units) of data, fitted to rows train, or the training rows of a run, or
    without one to the split train of the same data.
    """
    if several([model]):
        return Beside(None, "that is for one visible layer")
    if not model.layers[0].binary:
        return Beside(None, "that is for units of 0 and 1")
    if not ((x == 0) | (x == 1)).all():
        return Beside(None, "the rows are not 0/1")
    try:
        rows = training_rows(data, run) if train is None else train
    except BoltzError as problem:
        return Beside(None, f"its training rows cannot be read ({shown(problem)})")
    if rows is None or rows.x.shape[1] != x.shape[1]:
        return Beside(None, UNKNOWN)
    return Beside(Beyond.of(_states(rows, seed), x, seed))


def training_rows(data: Data, run: RunDescription) -> Data | None:
    """The rows that a run learnt from, without a share held out, else those of the data set that data belong to.

    None where neither is known; raises BoltzError where they cannot be read.
    """
    if run.data.load:
        rows = loaded(run.data.load, "run.toml")
        share, seed = run.setting("validation", float), run.setting("seed", int)
        if share is not None and 0 < share < 1 and seed is not None and not run.held_out:
            return known_in_full(parted(rows, share, seed)[0])
        return known_in_full(rows)
    source = data.request.get("name_or_path")
    if isinstance(source, str) and len(splits(source)) > 1 and "train" in splits(source):
        return load(source, "train")
    return None


def _states(rows: Data, seed: int) -> Any:
    """Some rows, evenly spaced, as 0 and 1: drawn once where they are grey."""
    numbers = np.linspace(0, len(rows.x) - 1, min(ROWS, len(rows.x))).astype(np.int64)
    key = Key.from_seed(seed).derive("beside")
    return binarize(rows.x[numbers], rows.levels, "none" if rows.binary else "fixed", key, 0, numbers)
