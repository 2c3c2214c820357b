"""Sparse couplings: which pairs of units have a weight, and what products with such weights are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from boltz.errors import InputError
from boltz.kernels.cpu.sites import Couplings, coloured, laid_out, pair_sums

Array = NDArray[Any]
Numbers = NDArray[np.int32]


class Colouring(NamedTuple):
    """An order of units (units,), and the places in it where each colour begins and ends."""

    order: Numbers
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The couplings of an edge: columns rows[k] of the lower and columns[k] of the upper layer, (pairs,) each.

    They are sorted by rows, then by columns. Within a layer rows[k] < columns[k], since each pair counts once.
    """

    rows: Numbers
    columns: Numbers

    @classmethod
    def of(cls, rows: Any, columns: Any) -> Pairs:
        """Pairs in any order."""
        order = np.lexsort((columns, rows))
        return cls(*(np.ascontiguousarray(np.asarray(x)[order], np.int32) for x in (rows, columns)))

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.rows)

    @cached_property
    def mark(self) -> str:
        """What tells these pairs from others."""
        return sha256(self.rows.tobytes() + self.columns.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pairs) and self.mark == other.mark

    def __hash__(self) -> int:
        return hash(self.mark)

    def __repr__(self) -> str:
        return f"Pairs({self.count:,})"

    def check(self, name: str, units: tuple[int, int], columns: int | None) -> None:
        """Raise InputError unless these are different pairs of columns of two layers of so many, or of different units
        of one layer whose units have so many columns; name is what errors call them.
        """
        for numbers, most in zip((self.rows, self.columns), units, strict=True):
            if self.count and (numbers.min() < 0 or numbers.max() >= most):
                raise InputError(f"{name} must couple columns 0 to {most - 1}, got {numbers.min()} to {numbers.max()}.")
        step = np.diff(self.rows.astype(np.int64) * units[1] + self.columns)
        if (step <= 0).any():
            raise InputError(f"{name} must name each pair once, in the order of rows and columns.")
        if columns is not None and (self.rows // columns >= self.columns // columns).any():
            raise InputError(f"{name} must couple different units, each pair once, the lower number first.")

    def coupled(self, weights: Array, lower: Array, upper: Array) -> NDArray[np.float64]:
        """The sum over pairs of weight times both units, (chains,), of states (chains, units) of both layers."""
        out = np.empty(len(lower))
        pair_sums(self.rows, self.columns, weights, lower, upper, out)
        return out

    def matrix(self, weights: Array, shape: tuple[int, int], within: bool) -> csr_array:
        """The weights (pairs,) as a sparse matrix, of couplings within a layer the symmetric one."""
        starts, columns, places = self.symmetric(shape[0]) if within else self.by_rows(shape[0])
        return csr_array((weights[places], columns, starts), shape=shape)

    def by_rows(self, units: int) -> tuple[Numbers, Numbers, Numbers]:
        """Where the pairs of each row start (units + 1,), and column and number of each pair, row by row."""
        starts = np.searchsorted(self.rows, np.arange(units + 1)).astype(np.int32)
        return starts, self.columns, np.arange(self.count, dtype=np.int32)

    @cached_property
    def _symmetric(self) -> tuple[Numbers, Numbers, Numbers]:
        rows = np.concatenate([self.rows, self.columns])
        columns, places = np.concatenate([self.columns, self.rows]), np.tile(np.arange(self.count), 2)
        order = np.lexsort((columns, rows))
        return rows[order], columns[order], places[order].astype(np.int32)

    def colouring(self, units: int, columns: int) -> Colouring:
        """An order of units of so many columns that puts those of one colour, none coupled to another, together."""
        if (units, columns) not in self._colourings:
            starts, neighbours, _ = self.symmetric(units * columns)
            colours = coloured(starts, neighbours, columns, units)
            order = np.argsort(colours, kind="stable").astype(np.int32)
            ends = np.cumsum(np.bincount(colours)).tolist()
            self._colourings[units, columns] = Colouring(order, tuple(zip([0, *ends[:-1]], ends, strict=True)))
        return self._colourings[units, columns]

    def couplings(self, weights: Array, units: int, columns: int) -> Couplings:
        """Weights (pairs,) as a sweep of units of so many columns reads them."""
        order = self.colouring(units, columns).order
        if columns > 1:
            starts, neighbours, places = self.symmetric(units * columns)
            return Couplings(order, starts, neighbours, weights[places], np.empty(0, np.int8))
        if units not in self._laid:
            self._laid[units] = laid_out(order, *self.symmetric(units))
        laid = self._laid[units]
        alike = len(laid.strides) > 0 and weights.min() == weights.max()
        return laid._replace(weights=weights[:1] if alike else weights[laid.weights])

    @cached_property
    def _laid(self) -> dict[int, Couplings]:
        return {}

    @cached_property
    def _colourings(self) -> dict[tuple[int, int], Colouring]:
        return {}

    def symmetric(self, units: int) -> tuple[Numbers, Numbers, Numbers]:
        """The same of the symmetric matrix, which has each pair twice."""
        rows, columns, places = self._symmetric
        return np.searchsorted(rows, np.arange(units + 1)).astype(np.int32), columns, places


def pairs_key(key: str) -> str:
    """The name of the tensor of the pairs that an edge couples, (2, pairs), in files."""
    return f"{key.removesuffix('/weight')}/pairs"


def check_symmetric(weight: Array, columns: int, layer: str) -> None:
    """Raise InputError unless couplings (units * columns, units * columns) within a layer are symmetric, with nothing
    between the columns of one unit.
    """
    units = len(weight) // columns
    if not np.array_equal(weight, weight.T):
        raise InputError(f"couplings within layer {layer} must be symmetric, but they differ from their transpose.")
    own = weight.reshape(units, columns, units, columns)[np.arange(units), :, np.arange(units), :]
    if own.any():
        raise InputError(f"couplings within layer {layer} must be 0 on the diagonal, between columns of one unit.")
