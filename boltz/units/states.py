"""What follows from the states that units can take: where means lie, smoothed rates, and which numbers are states."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside
from boltz.errors import InputError
from boltz.units import Units
from boltz.units.counts import Counts, check_counts
from boltz.units.rectified import Rectified

Array = NDArray[Any]


def two_states(units: Units) -> tuple[float, float]:
    """The lower and the higher state of units that have two; raises InputError for others."""
    if not has_two(units):
        raise InputError("the units of the machine must have two states for this.")
    assert units.support is not None
    low, high = units.support
    return low, high


def has_two(units: Units) -> bool:
    """Whether units have two states."""
    return units.columns == 1 and units.support is not None and len(units.support) == 2


def largest_state(units: Units) -> float:
    """The largest state in size, 1 for units without a largest one."""
    return 1.0 if units.support is None else max(map(abs, units.support))


def ends(units: Units) -> tuple[float, float]:
    """Between which numbers the mean of a unit lies."""
    if units.support is None:
        return (0.0 if units.joint or isinstance(units, Rectified) else -np.inf), np.inf
    return min(units.support), max(units.support)


def states_of(units: Units) -> Array | None:
    """The states of a unit (states, columns), None where it has a range of them; of several columns one is 1."""
    if units.support is None:
        return None
    return np.eye(units.columns) if units.columns > 1 else np.array(units.support)[:, None]


def far_states(units: Units, like: Array) -> tuple[Array, Array]:
    """States or means in the shape of an array (rows, units) at the two ends: the first and the last state of units, or
    two standard deviations below and above the mean without a field.
    """
    states = states_of(units)
    if states is None:
        nothing = np.zeros_like(like)
        middle, apart = units.mean(nothing), 2 * np.sqrt(units.variance(nothing))
        return middle - apart, middle + apart
    ends = (np.tile(states[i], like.shape[1] // units.columns).astype(like.dtype) for i in (0, -1))
    first, last = (np.zeros_like(like) + beside(end, like) for end in ends)
    return first, last


def inside(units: Units, mean: Array, room: float) -> Array:
    """Means (rows, units) kept off the ends of their range, by a share of it, so that no state is impossible."""
    if units.joint:
        return mean + room * (mean.mean(axis=-1, keepdims=True) - mean)
    if units.support is None:
        return mean
    if units.columns > 1:
        return mean + room * (fair(units, mean) - mean)
    low, high = ends(units)
    return np.clip(mean, low + room * (high - low), high - room * (high - low))


def smoothed(units: Units, total: Array, count: float) -> Array:
    """Means (units,) of so many states with this sum, and one more of each state, or of each word, that there is; of
    whole numbers one more at each end.
    """
    states = states_of(units)
    if units.joint:
        words = total.sum()
        return (total + 1) * (words / (words + len(total)) / count)
    if states is None:
        return total / count
    if _whole_range(units):
        states = states[[0, -1]]
    return (total + np.tile(states.sum(axis=0), len(total) // units.columns)) / (count + len(states))


def fair(units: Units, like: Array) -> Array:
    """Means of units without any field, in the shape of an array."""
    return units.mean(np.zeros_like(like))


def are_states(units: Units, x: Array) -> bool:
    """Whether all numbers are states that units can take, of which those of a range only must lie in it."""
    if units.support is None:
        return _are_counts(units, x) if units.joint else bool((x >= ends(units)[0]).all())
    if _whole_range(units):
        return bool(((x >= 0) & (x <= ends(units)[1]) & (x % 1 == 0)).all())
    known = bool(reduce(or_, (x == value for value in units.support)).all())
    return known and (units.columns == 1 or bool((x.reshape(len(x), -1, units.columns).sum(axis=2) == 1).all()))


def _whole_range(units: Units) -> bool:
    """Whether the states of a unit are the whole numbers from 0 to 2 or more."""
    support = units.support or ()
    return len(support) > 2 and support == tuple(range(len(support)))


def state_words(units: Units) -> str:
    """The states that units with some can take, in words."""
    if _whole_range(units):
        return f"whole numbers from 0 to {ends(units)[1]:g}"
    return " and ".join(f"{value:g}" for value in units.support or ())


def _are_counts(units: Units, x: Array) -> bool:
    try:
        refuse_others(units, x, "x")
    except InputError:
        return False
    return True


def refuse_others(units: Units, x: Array, name: str, first: int = 0) -> None:
    """Raise InputError for rows x (rows, words) that are no documents, where a layer is one of them; name is what
    errors call them, first the number of the first row.
    """
    if isinstance(units, Counts):
        check_counts(x, units, name, first)


def own_lengths(units: Units) -> bool:
    """Whether the rows of a layer are documents that each have a length of their own."""
    return isinstance(units, Counts) and units.own_lengths


def as_long_as(units: Units, rows: Array) -> Units:
    """Units with the lengths of rows (rows, words), where they are counts of documents that have none."""
    return units.with_lengths_of(rows) if isinstance(units, Counts) else units


def known_words(units: Units) -> int:
    """Words of each document of units, 0 where they are no documents or have lengths of their own."""
    return int(units.length) if isinstance(units, Counts) and not units.own_lengths else 0
