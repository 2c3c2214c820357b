"""The rows that a command works on: which ones, how the machine sees them, and what of them is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz
from boltz import checks
from boltz.cli.reading import rows_asked
from boltz.data import Data
from boltz.data.binarize import undrawn
from boltz.data.loading import values
from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.models.files import Model
from boltz.networks.network import Network
from boltz.rng import Key

Array = NDArray[Any]
NUMBERS = 2**21  # that a chunk of rows holds at most, beside its features


@dataclass(frozen=True)
class Rows:
    """Rows of data as a machine sees them, how it does so, which units are known (None: all), which split they are.

    real: for Gaussian visible units.
    """

    data: Data
    how: str
    key: Key
    mask: Array | None = None
    split: str | None = None
    real: bool = False

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
        }

    def seen(self, place: slice) -> Array:
        """Some of the rows (rows, units) as numbers in [0, 1], or as they are; they do not depend on the others."""
        first, stop, _ = place.indices(len(self))
        if self.real:
            return undrawn(np.asarray(self.data.x[first:stop]), self.data.levels)
        numbers = np.arange(first, stop, dtype=np.int64)
        return boltz.binarize(self.data.x[first:stop], self.data.levels, self.how, self.key, 0, numbers)

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
    layer = model.layers[0]
    if data.x.shape[1] != layer.units:
        raise InputError(f"{data.source} has {data.x.shape[1]} units a row, but the machine has {layer.units}.")
    if layer.kind == "gaussian" and how != "none":
        raise InputError(f"binarize must be none for Gaussian visible units, got {how}.")
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("evaluate")
    return Rows(data, "none" if data.levels == 1 else how, key, real=layer.kind == "gaussian")


def mask_from(name: str, rows: int, units: int) -> Array:
    """The mask (rows or 1, units) of a file of 0 and 1, where 1 marks what is known; raises InputError, FileError."""
    try:
        found = values(name)
    except FileError:
        raise
    except InputError as problem:
        raise InputError(f"--mask must name a file of 0 and 1 (known), got {shown(repr(name))}.") from problem
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[0] not in (1, rows) or found.shape[1] != units:
        raise InputError(f"--mask must have shape ({rows}, {units}) or ({units},), but {name} has {found.shape}.")
    for place in chunks(len(found), units):
        wrong = (found[place] != 0) & (found[place] != 1)
        if wrong.any():
            row, column = (int(n) for n in np.argwhere(wrong)[0])
            what = f"{name} has {found[place][row, column]:g} in row {place.start + row + 1}, column {column + 1}"
            raise InputError(f"--mask must hold 0 and 1 (known), but {what}.")
    return found
