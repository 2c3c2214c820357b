"""The rows that a machine is applied to: which ones, how it sees them, and what of them is known."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data import Data
from boltz.data.binarize import HOW, binarize, undrawn
from boltz.data.dataset import only
from boltz.data.from_arrays import refuse_other_kind
from boltz.data.labels import Labels
from boltz.errors import InputError
from boltz.evaluation.per_unit import Visible, seen_words, visible_of, visible_words
from boltz.evaluation.reading import WORDS as TABLES
from boltz.evaluation.reading import Options, rows_asked
from boltz.evaluation.trained import Trained
from boltz.evaluation.view_reading import known_rows, several, widened_arrays
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.graph import Layer
from boltz.networks.network import Network
from boltz.rng import Key
from boltz.training.view_rows import check_views, rows_for

Array = NDArray[Any]
NUMBERS = 2**21  # that a chunk of rows holds at most, beside its features


@dataclass(frozen=True)
class Rows:
    """Rows of data as a machine sees them, how it does so, which units are known (None: all), which split they are.

    layer: the visible one of the machine, or its several ones.
    """

    data: Data
    how: str
    key: Key
    layer: Visible
    mask: Array | None = None
    split: str | None = None

    def __len__(self) -> int:
        return len(self.data.x)

    @property
    def about(self) -> dict[str, Any]:
        """What a result says of them."""
        return {
            "rows": len(self),
            "data": self.data.name,
            "split": self.split,
            "binarize": self.how,
            "units": self.layer.kind,
        }

    def seen(self, place: slice) -> Array:
        """Some of the rows (rows, units) as numbers in [0, 1], or as they are; they do not depend on the others."""
        first, stop, _ = place.indices(len(self))
        if not self.layer.binary:
            return undrawn(np.asarray(self.data.x[first:stop]), _divisor(self.layer, self.data))
        numbers = np.arange(first, stop, dtype=np.int64)
        return binarize(self.data.x[first:stop], self.data.levels, self.how, self.key, 0, numbers)

    def masked(self, mask: Array) -> Rows:
        """The same rows, of which a mask (rows or 1, units) says what is known."""
        return replace(self, mask=mask)

    def known(self, place: slice) -> dict[str, Array]:
        """The argument mask for some of the rows, or nothing where all is known."""
        if self.mask is None:
            return {}
        mask = self.mask if len(self.mask) == 1 != len(self) else self.mask[place]
        return {"mask": np.broadcast_to(mask, (len(range(*place.indices(len(self)))), mask.shape[1])).astype(bool)}


def chunks(rows: int, units: int) -> Iterator[slice]:
    """All rows in order, as many at once as hold few enough numbers."""
    step = max(NUMBERS // units // 32, 1) * 32
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def rows_of(path: Path, model: Model | Network, options: Mapping[str, Any], split: str | None = None) -> Rows:
    """The rows that options name, by default those of the run; raises InputError where the machine cannot see them.

    split is the one to take without --split; None means test where there is one, else train.
    """
    data, split = rows_asked(path, [model], options, split)
    return replace(seen_by(model, data, options["binarize"], options["seed"]), split=split, mask=data.known)


def seen_by(model: Model | Network, data: Data, how: str, seed: int) -> Rows:
    """Rows of data as a machine sees them; raises InputError where it cannot."""
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("evaluate")
    if machine := several([model]):
        _refuse_views(machine, data, how)
        return Rows(data, "none", key, visible_of(machine))
    layer = model.layers[0]
    _refuse_other(data, layer, None if how == "none" else how)
    return Rows(data, "none" if data.levels == 1 else how, key, layer)


def _refuse_views(machine: BoltzmannMachine, data: Data, how: str | None) -> None:
    """Raise InputError for rows that are not of the visible layers of a machine, and for drawing states of these."""
    check_views(machine, data, "the data")
    if how not in (None, "none"):
        raise InputError(f"binarize must be none for several visible layers, got {how}.")


def _refuse_other(data: Data, layer: Layer, how: str | None) -> None:
    """Raise InputError for rows that are no states of a visible layer, and for drawing states of one not of 0 and 1."""
    refuse_other_kind(data, data.source, layer.kind)
    if data.x.shape[1] != layer.units:
        count, wanted = data.x.shape[1] // data.states, layer.units // layer.columns
        raise InputError(f"{data.source} has {count} units a row, but the machine has {wanted} visible units.")
    if not layer.binary and how not in (None, "none"):
        raise InputError(f"binarize must be none for {visible_words(layer.kind)}, got {how}.")


@dataclass(frozen=True)
class Seen:
    """Rows that a network is applied to, and their labels, if known."""

    rows: Rows
    labels: Labels | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """Rows x (rows, units) as a machine sees them, drawn once, of which data and split they are, and how they are seen.

    layer: the visible one of the machine, or its several ones. split: None for data in one piece; train: the rows that
    simple models are fitted to, None for those of the run. data say which entries are known.
    """

    x: Any
    data: Data
    split: str | None
    how: str
    layer: Visible
    train: Data | None = None

    @property
    def mask(self) -> dict[str, Array]:
        """The argument mask for the rows, or nothing where all is known."""
        return {} if self.data.known is None else {"mask": self.data.known}

    @property
    def about(self) -> dict[str, Any]:
        """What a result says of them."""
        seen = {"binarize": self.how, "units": self.layer.kind}
        return {"rows": len(self.x), "data": self.data.name, "split": self.split, **seen}

    @property
    def words(self) -> str:
        """Data, split, and how they are seen, in words."""
        return f"{self.name}, {seen_words(self.how, self.layer)}"

    @property
    def name(self) -> str:
        """Data and split in words."""
        return " ".join(filter(None, (self.data.name, self.split)))


NOTHING: Options = {"limit": None, **dict.fromkeys(TABLES), "drop_columns": ()}


def rows_given(
    trained: Trained,
    data: Any,
    split: str | None = None,
    default: str = "test",
    limit: int | None = None,
    partly: bool = False,
) -> tuple[Data, str | None]:
    """The rows that an argument data names: an array, Data, a name or path, or None for the data of the run.

    split, of named data and those of a run, is by default the default one if there is such, else train. partly: rows of
    several views may have unknown entries, and lack views. Raises InputError, FileError.
    """
    machine = several([trained.model]) if partly else None
    if split is not None:
        checks.choice(split, "split", ("train", "valid", "test"))
    if limit is not None:
        limit = checks.integer(limit, "limit", 1)
    if data is None or isinstance(data, str | os.PathLike):
        name = None if data is None else str(checks.path(data, "data"))
        if name is None and not trained.run.learnt:
            raise InputError(f"data must be given, since {trained.place} names no data of its own.")
        wanted = {**NOTHING, "data": name, "split": split, "limit": limit, "missing": machine is not None}
        return rows_asked(trained.path, [trained.model], wanted, default)
    if split is not None:
        raise InputError("split must be None for rows that are given as data: it is of named data.")
    data = data if machine is None else widened_arrays(machine, data)
    found = rows_for(trained.model, data, "data", missing=machine is not None)
    if limit is not None and limit < len(found.x):
        return only(found, np.arange(limit)), None
    return found, None


def rows_to_fit(trained: Trained, train: Any) -> Data | None:
    """The rows that an argument train gives, an array or Data, None for those of the run; raises InputError."""
    return None if train is None else rows_for(trained.model, train, "train", missing=False)


def measured_rows(
    trained: Trained,
    given: tuple[Data, str | None],
    binarize: str | None = None,
    seed: int = 0,
    views: Collection[str] | None = None,
) -> Measured:
    """Rows and their split as the machine sees them, as in its training unless binarize says otherwise.

    views: of several visible layers those that count, None for all.
    """
    data, split = given
    if machine := several([trained.model]):
        data = known_rows(machine, data, views)
    if binarize is not None:
        checks.choice(binarize, "binarize", HOW)
    before = trained.run.setting("binarize")
    x, how = visible_rows(data, binarize or before, seed, trained.model)
    return Measured(x, data, split, how, visible_of(trained.model))


def visible_rows(data: Data, how: str | None, seed: int, model: Model) -> tuple[Any, str]:
    """Rows (rows, units) as the machine sees them, drawn once by seed, and how; 0/1 data stay as they are ("none")."""
    layer = visible_of(model)
    if machine := several([model]):
        _refuse_views(machine, data, how)
    else:
        _refuse_other(data, model.layers[0], how)
    needed = data.x.size * max(np.dtype(np.float32).itemsize, 0 if layer.binary else data.x.itemsize)
    if needed > memory():
        raise InputError(
            f"The {len(data.x):,} rows of {data.source} take {needed / 2**30:,.0f} GiB as the machine sees them, more "
            "than this computer has: name fewer with --limit."
        )
    if not layer.binary:
        return undrawn(np.asarray(data.x[:]), _divisor(layer, data)), "none"
    how = "none" if data.binary else how or "dynamic"
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("evaluate")
    return binarize(data.x, data.levels, how, key, 0, np.arange(len(data.x), dtype=np.int64)), how


def _divisor(layer: Visible, data: Data) -> int | None:
    """What rows of a visible layer not of 0 and 1 are divided by: nothing where it has levels of its own."""
    return None if isinstance(layer, Layer) and layer.levels is not None else data.levels


def memory() -> float:
    """Bytes of memory that this computer has, as far as it says."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
