"""The flat parameter arena of a model of nets, and the buffers that a batch of rows passes through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.rng import Key

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


def size(shapes: Shapes) -> int:
    """Number of parameters of these shapes."""
    return sum(prod(shape) for shape in shapes.values())


def check_arena(arena: Any, count: int) -> None:
    """Raise InputError unless an arena is a flat array of so many floating numbers, wherever it lives."""
    fits = getattr(arena, "shape", None) == (count,)
    if not fits or getattr(getattr(arena, "dtype", None), "kind", "") != "f":
        raise InputError(f"arena must be a flat array of {count} floating numbers, got {checks.brief(arena)}.")


def views(shapes: Shapes, arena: Array) -> dict[str, Array]:
    """The parameters by name as views into a flat arena that holds them in order."""
    found, start = {}, 0
    for name, shape in shapes.items():
        stop = start + prod(shape)
        found[name] = arena[start:stop].reshape(shape)
        start = stop
    return found


def zeros(x: Array) -> NDArray[np.float64]:
    """A zero in float64 for each row of x, where x lives."""
    return np.zeros_like(x, shape=(len(x),), dtype=np.float64)


@dataclass(frozen=True)
class Dropout:
    """The share of the units of deterministic layers that a step of training leaves out, by a key and the step."""

    share: float
    key: Key
    step: int


@dataclass
class Tape:
    """Buffers (rows, units) of a whole batch by name, reused from batch to batch; nothing in them is state.

    team counts the threads that share work on all rows. dropout says which units nets leave out, None for none.
    """

    like: Array
    team: int = 1
    dropout: Dropout | None = None
    held: dict[str, Array] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: dict[str, tuple[int, Any]] = field(default_factory=dict)
    making: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str, rows: int, units: int) -> Array:
        """The buffer of this name; its contents are left over from the last use. Blocks that share it agree on rows."""
        if not self._fits(name, rows, units):
            with self.lock:  # two blocks must not make one buffer each
                if not self._fits(name, rows, units):
                    self.held[name] = np.empty_like(self.like, shape=(rows, units))
        return self.held[name][:rows]

    def once(self, name: str, step: int, make: Callable[[], Any]) -> Any:
        """What make() gives, made by the first of the blocks of a step that asks; until another step, or `forget`."""
        with self.making:
            if name not in self.made or self.made[name][0] != step:
                self.made[name] = step, make()
            return self.made[name][1]

    def forget(self, name: str) -> None:
        """What `once` made is made anew for the next that asks: parameters are about to change."""
        self.made.pop(name, None)

    def whole(self, rows: int) -> Part:
        """All rows of a batch as one block."""
        return Part(self, slice(0, rows), rows)

    def _fits(self, name: str, rows: int, units: int) -> bool:
        buffer = self.held.get(name)
        return buffer is not None and buffer.shape[0] >= rows and buffer.shape[1] == units


@dataclass(frozen=True)
class Part:
    """The rows of a tape that one block of a batch owns: rows of total."""

    tape: Tape
    rows: slice
    total: int

    def get(self, name: str, units: int) -> Array:
        """This block's rows of a buffer, (rows, units)."""
        return self.tape.get(name, self.total, units)[self.rows]

    def times(self, samples: int) -> Part:
        """The same block where every row stands for so many samples, one after the other."""
        if samples == 1:
            return self
        rows = slice(self.rows.start * samples, self.rows.stop * samples)
        return replace(self, rows=rows, total=self.total * samples)
