"""Counts of words: a whole layer is one multinomial unit, whose total, the length of a document, is given.

Replicated softmax (Salakhutdinov & Hinton 2009, "Replicated Softmax: an Undirected Topic Model"): a document of D words
is D softmax units that share their weights, and its counts v are all that matters of it. The base energy is minus the
log of the multinomial coefficient D! / prod v!, so that p(v | field, D) sums to 1 over count vectors of length D. That
paper multiplies hidden biases a by D. As D is the sum of v, this is the same as adding a_j to every weight of hidden
unit j, so that plain hidden biases and weights contain that model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

import boltz.kernels as kernels
from boltz.arrays import beside, host
from boltz.errors import InputError
from boltz.numerics import logsumexp
from boltz.rng import Stream
from boltz.units.damping import damp

Array = NDArray[Any]
LONGEST = 10**6  # words of a document
LARGEST_COUNT = 2**24  # beyond which float32 has gaps


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of the words of documents, a column a word of the vocabulary.

    length: words of each document, or one number a row (rows, 1). None where each document has a length of its own:
    draws then keep the sum of the state that they overwrite, means are those of one word, and there is no
    log-partition.
    """

    length: Any = None
    columns: int = 1
    support: tuple[float, ...] | None = None
    binary: bool = False
    joint: bool = True

    @property
    def own_lengths(self) -> bool:
        """Whether each document has a length of its own."""
        return self.length is None

    def with_lengths_of(self, rows: Array) -> Counts:
        """The units with the lengths of rows (rows, words), where they have none."""
        return Counts(rows.sum(axis=-1, keepdims=True)) if self.own_lengths else self

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Counts:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def _known_length(self) -> Any:
        """The length, which log Z depends on; raises InputError where there is none."""
        if self.own_lengths:
            raise InputError(
                "log Z depends on the length of documents, but those of the machine have lengths of their own: take "
                "model.of_length(n), whose documents have n words."
            )
        return self.length

    def log_partition(self, field: Array) -> Array:
        """length times the log of the sum of exp(field) over words, (..., 1); raises InputError without a length."""
        found: Array = np.asarray(self._known_length() * logsumexp(field, axis=-1, keepdims=True))
        return found.astype(field.dtype, copy=False)

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return self.log_partition(field.astype(np.float64))[..., 0]

    def mean(self, field: Array) -> Array:
        p = np.exp(field - field.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        return p if self.own_lengths else (p * self.length).astype(field.dtype, copy=False)

    def variance(self, field: Array) -> Array:
        p = Counts().mean(field)
        return (1 if self.own_lengths else self.length) * p * (1 - p)

    def entropy(self, mean: Array) -> Array:
        """Of the words in their order, (..., 1); mean_energy, which is 0, is theirs, too."""
        total = mean.sum(axis=-1, keepdims=True)
        p = mean / np.where(total > 0, total, 1)
        return -(mean * np.log(np.where(p > 0, p, 1))).sum(axis=-1, keepdims=True)

    def base_energy(self, state: Array) -> Array:
        """Minus the log of the multinomial coefficient."""
        return beside(-log_coefficients(host(state)), state).astype(state.dtype)

    def mean_energy(self, mean: Array) -> Array:
        return np.zeros_like(mean, shape=(len(mean),))

    def natural(self, mean: Array) -> Array:
        return np.log(mean)

    def _lengths(self, state: Array) -> Array:
        """Words of each row (rows, 1) in the type of a state, whose own sums count where documents have lengths."""
        if self.own_lengths:
            return state.sum(axis=1, keepdims=True)
        return np.zeros_like(state, shape=(len(state), 1)) + beside(np.asarray(self.length, state.dtype), state)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.categorical_mean(inputs, scale, bias, inputs.shape[1])
        inputs *= self._lengths(state)
        self.draw(inputs, stream, first_row, state)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        """As many words as the means of a row sum to."""
        drawn = np.empty(state.shape, state.dtype)
        _multinomial(host(mean), stream, first_row, drawn)
        state[...] = beside(drawn, state)

    def relax(self, inputs: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
        """Rows keep their sums where documents have lengths of their own; one of sum 0 counts as one word."""
        kind = inputs.dtype.type
        lengths = self._lengths(mean)
        new = Counts().mean(kind(scale) * inputs + bias) * np.where(lengths > 0, lengths, kind(1))
        return damp(mean, new, damping)

    def anneal(
        self,
        inputs: Array,
        scales: tuple[float, float],
        biases: tuple[Array, Array],
        stream: Stream,
        first_row: int,
        state: Array,
        increment: NDArray[np.float64],
    ) -> None:
        kind, length = inputs.dtype.type, np.reshape(self._known_length(), -1)
        before, after = (_log_total(kind(s) * inputs + b) for s, b in zip(scales, biases, strict=True))
        increment += (after - before) * length
        self.sample(inputs, scales[1], biases[1], stream, first_row, state)


def _log_total(fields: Array) -> NDArray[np.float64]:
    """log of the sum of exp(fields) of each row, whose terms are summed in float64; fields are overwritten."""
    top = fields.max(axis=1, keepdims=True)
    fields -= top
    found: NDArray[np.float64] = np.log(np.exp(fields, out=fields).sum(axis=1, dtype=np.float64))
    return found + top[:, 0]


def log_coefficients(counts: Array) -> NDArray[np.float64]:
    """log D! - sum of log v! of rows of counts (rows, words), (rows,) in nats: how many orders their words have."""
    counts = np.asarray(counts, np.float64)
    found: NDArray[np.float64] = gammaln(counts.sum(axis=1) + 1) - gammaln(counts + 1).sum(axis=1)
    return found


def _multinomial(mean: Array, stream: Stream, first_row: int, state: Array) -> None:
    """Draw as many words of each row (rows, words) as its means sum to, each by 32 bits; NaN gives NaN.

    A word takes the random bits of its number in the row, so that no row depends on others.
    """
    below = np.cumsum(mean, axis=1, dtype=np.float64)
    for row, ends in enumerate(below):
        total = float(ends[-1])
        if not np.isfinite(total):
            state[row] = np.nan
            continue
        bits = np.empty((1, int(np.rint(total))), np.uint32)
        kernels.philox(stream, first_row + row, bits)
        places = np.searchsorted(ends, (bits[0] + 0.5) * (total / 2.0**32), side="right")
        state[row] = np.bincount(np.minimum(places, len(ends) - 1), minlength=len(ends))


def check_counts(x: Array, units: Counts, name: str, first: int = 0) -> None:
    """Raise InputError unless rows x (rows, words) are counts of documents that units can be.

    first: the number of the first row.
    """
    wrong = ~((x >= 0) & (x <= LARGEST_COUNT) & (x == np.floor(x)))
    if wrong.any():
        row, column = (int(n) for n in np.argwhere(wrong)[0])
        raise InputError(
            f"{name} must hold counts of words, whole numbers from 0 to {LARGEST_COUNT:,}, got {x[row, column]:g} at "
            f"index ({row + first}, {column})."
        )
    lengths = x.sum(axis=1, dtype=np.float64)
    if not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0]) + first
        raise InputError(f"{name} must have at least one word in each row, got none in row {row}: leave it out.")
    if lengths.max() > LONGEST:
        row = int(np.argmax(lengths)) + first
        raise InputError(
            f"{name} must have at most {LONGEST:,} words a row, got {lengths.max():,.0f} in row {row}: cut it up."
        )
    if not units.own_lengths and (lengths != units.length).any():
        row = int(np.flatnonzero(lengths != units.length)[0])
        raise InputError(
            f"{name} must have {units.length} words in each row, as the machine has, got {lengths[row]:g} in row "
            f"{row + first}."
        )
