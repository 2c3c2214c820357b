"""The rows that a command works on: which ones, how the machine sees them, and what of them is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz
from boltz import checks
from boltz.cli.stored import settings_of, table
from boltz.data import Data, load, splits
from boltz.data.loading import values
from boltz.errors import FileError, InputError
from boltz.models.files import Model
from boltz.models.network import Network
from boltz.rng import Key

Array = NDArray[Any]
NUMBERS = 2**21  # that a chunk of rows holds at most, beside its features


@dataclass(frozen=True)
class Rows:
    """Rows of data as a machine sees them, how it does so, and which of their units are known (None: all)."""

    data: Data
    how: str
    key: Key
    mask: Array | None = None

    def __len__(self) -> int:
        return len(self.data.x)

    @property
    def about(self) -> dict[str, Any]:
        """What a result says of them."""
        return {
            "rows": len(self),
            "data": self.data.name,
            "split": self.data.request.get("split"),
            "binarize": self.how,
        }

    def seen(self, place: slice) -> Array:
        """Some of the rows (rows, units) as numbers in [0, 1]; they do not depend on the others."""
        first, stop, _ = place.indices(len(self))
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
    name = options["data"] or data_of(path)
    wanted = options["split"] or split or ("test" if "test" in splits(name) else "train")
    data = load(name, wanted, options["limit"], **scale_of(path, [model], name, options["levels"]))
    return seen_by(model, data, options["binarize"], options["seed"])


def scale_of(path: Path, models: Sequence[Model | Network], name: str, asked: int | None) -> dict[str, int | None]:
    """How load finds what whole numbers are divided by: as asked, as of the run's own data, or as machines keep it.

    Raises InputError where --levels differs from what a machine keeps; 1 says that the data are 0/1.
    """
    kept = {model.levels for model in models}
    if asked is not None:
        other = sorted(n for n in kept if n is not None and asked not in (1, n))
        if other:
            raise InputError(
                f"--levels is {asked}, but the machine divides whole numbers by {other[0]}: leave it out, or give "
                "--levels 1 for data of 0 and 1."
            )
        return {"levels": asked}
    settings = settings_of(path)
    before = next((load for entry in ("data", "rows") if (load := table(settings, entry, "load"))), {})
    own = before.get("levels") if before.get("name_or_path") == name else None
    return {"levels": own, "machine_levels": kept.pop() if len(kept) == 1 else None}


def data_of(path: Path) -> str:
    """The name of the data of a run; raises InputError where it has none."""
    settings = settings_of(path)
    loads = (table(settings, entry, "load").get("name_or_path") for entry in ("data", "rows"))
    name = next((name for name in loads if isinstance(name, str)), None)
    if name is None:
        raise InputError(f"{path} does not name its data: give them with --data.")
    return name


def seen_by(model: Model | Network, data: Data, how: str, seed: int) -> Rows:
    """Rows of data as a machine sees them; raises InputError where it cannot."""
    layer = model.layers[0]
    if data.x.shape[1] != layer.units:
        raise InputError(f"{data.source} has {data.x.shape[1]} units a row, but the machine has {layer.units}.")
    if layer.kind == "gaussian" and how != "none":
        raise InputError(f"binarize must be none for Gaussian visible units, got {how}.")
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("evaluate")
    return Rows(data, "none" if data.levels == 1 else how, key)


def mask_from(name: str, rows: int, units: int) -> Array:
    """The mask (rows or 1, units) of a file of 0 and 1, where 1 marks what is known; raises InputError, FileError."""
    try:
        found = values(name)
    except FileError:
        raise
    except InputError as problem:
        raise InputError(f"--mask must name a file of 0 and 1 (known), got {name!r:.60}.") from problem
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
