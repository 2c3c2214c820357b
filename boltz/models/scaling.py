"""The units of real visible columns: rows are standardised once on their way in, and put back on their way out.

A Gaussian density of a column in other units is the same but for minus the log of their ratio. So nets see columns of
mean 0 and spread 1, the log-density takes off the sum of the log spreads, and what a machine says of data follows their
units exactly, up to rounding.

A column that is constant has no spread, and its density would grow without end as sigma falls (Mattei & Frellsen 2018,
section 2). So nothing is learnt of it: it keeps its unit, its mean is its value and its sigma 1, whatever the hidden
units are, which adds -0.92 nats to a row that has this value and less to others. What is drawn or completed has the
value itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside
from boltz.errors import InputError

Array = NDArray[Any]
Floats = NDArray[np.float64]
ROUNDING = 2.0  # a spread of so many times the rounding of its numbers is none


@dataclass(frozen=True, eq=False)
class Scaling:
    """Location and spread (units,) of each visible column in the units of the data; the spread of a constant one is 0.

    Raises InputError where they are not finite or do not fit together.
    """

    location: Floats
    spread: Floats

    def __post_init__(self) -> None:
        for values in (self.location, self.spread):
            if values.shape != self.location.shape or values.ndim != 1 or not np.isfinite(values).all():
                raise InputError("location and spread must hold one finite number for each visible unit.")
        if self.spread.min() < 0:
            raise InputError(f"spread must be at least 0, got {self.spread.min():g}.")

    @classmethod
    def of(cls, rows: Any, known: Any = None) -> Scaling:
        """Mean and standard deviation of finite rows (rows, units), in float64; of the known entries, where these are
        told, each column having some.
        """
        given = np.asarray(rows)
        there = np.ones(given.shape, bool) if known is None else np.asarray(known)
        kind = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
        first = np.take_along_axis(given, there.argmax(axis=0)[None], axis=0)[0].astype(np.float64)
        apart = np.where(there, given - first, 0.0)  # sums of numbers far from 0 would round
        mean = apart.mean(axis=0) if known is None else apart.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        squares = np.where(there, np.square(apart - mean), 0.0)
        spread = apart.std(axis=0) if known is None else np.sqrt(squares.sum(axis=0) / np.maximum(there.sum(axis=0), 1))
        flat = spread <= ROUNDING * np.finfo(kind).eps * np.abs(np.where(there, given, 0)).max(axis=0)
        return cls(np.where(flat, first, first + mean), np.where(flat, 0.0, spread))

    @classmethod
    def plain(cls, units: int) -> Scaling:
        """That of a machine which takes its rows as they are."""
        return cls(np.zeros(units), np.ones(units))

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        """Which columns have no spread, (units,)."""
        return np.asarray(self.spread == 0)

    @cached_property
    def as_they_are(self) -> bool:
        """Whether rows stay as they are."""
        return bool((self.location == 0).all() and (self.spread == 1).all())

    @cached_property
    def unit(self) -> Floats:
        """What each column is measured in, (units,): its spread, or 1 where it has none."""
        return np.where(self.constant, 1.0, self.spread)

    @cached_property
    def rounding(self) -> Floats:
        """How far from its value a constant column may be and still count as there, (units,); 0 for the others."""
        return np.where(self.constant, ROUNDING * np.finfo(np.float32).eps * np.abs(self.location), 0.0)

    @cached_property
    def log_units(self) -> Floats:
        """Logs of the units, (units,): what a log-density is less by in the units of the data (nats)."""
        return np.log(self.unit)

    def inside(self, x: Array, dtype: Any) -> Array:
        """Rows (rows, units) as the machine sees them, where they live; worked out in float64."""
        if self.as_they_are:
            return cast(x, dtype)
        apart = x - beside(self.location, x)
        if self.constant.any():  # rounding, however small, is something to learn for an optimizer that knows no scale
            apart[abs(apart) <= beside(self.rounding, x)] = 0
        return cast(apart / beside(self.unit, x), dtype)

    def outside(self, values: Array) -> Array:
        """Values (rows, units) of visible units in the units of the data, float64; constant columns at their value."""
        if self.as_they_are:
            return values
        return values * beside(self.spread, values) + beside(self.location, values)

    def tensors(self) -> dict[str, Array]:
        """Both by name, for files."""
        return {"location": self.location, "spread": self.spread}

    def noted(self) -> tuple[str, ...]:
        """What a reader should know of constant columns, in words."""
        if not self.constant.any():
            return ()
        count, first = int(self.constant.sum()), int(np.flatnonzero(self.constant)[0])
        columns = "1 column of the rows is" if count == 1 else f"{count:,} columns of the rows are"
        return (
            f"{columns} constant (column {first + 1}{' the first' * (count > 1)}): nothing is learnt of "
            f"{'it' if count == 1 else 'them'}, and each adds -0.92 nats to the log-likelihood of a row that has its "
            "value, less where it differs.",
        )


def cast(x: Array, dtype: Any) -> Array:
    """Numbers in another type, infinite where they are beyond its range."""
    with np.errstate(over="ignore"):
        return x.astype(dtype, copy=False)
