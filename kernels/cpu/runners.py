"""Programs as they are made, operation by operation, and the runner that does them in calls of a tenth of a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from boltz.kernels.cpu import programs
from boltz.kernels.cpu.programs import FLOATS, WIDTH

Array = Any
Words = dict[int, int]  # by their places in an operation
FIRST = 4  # times of a first call, which tells how long one takes


@dataclass(frozen=True)
class Count:
    """A whole number that goes on from one time to the next: factor times count number cell, and a term."""

    cell: int
    factor: int = 1
    term: int = 0

    def __mul__(self, by: int) -> Count:
        return Count(self.cell, self.factor * by, self.term * by)

    def __add__(self, more: int) -> Count:
        return Count(self.cell, self.factor, self.term + more)

    def __sub__(self, less: int) -> Count:
        return self + -less

    @property
    def words(self) -> tuple[int, int, int]:
        """The three words that an operation has for it."""
        return self.cell, self.factor, self.term


@dataclass(frozen=True)
class Entry:
    """The number of a float64 table at a count."""

    table: Array
    at: Count

    @property
    def words(self) -> tuple[int, ...]:
        """The four words that an operation has for it."""
        return (self.table.ctypes.data, *self.at.words)


@dataclass(eq=False)
class Program:
    """Operations as they are recorded, by pieces of work and regions, and what they work on, which is kept alive.

    Outside regions an operation is dealt to a team by rows or columns, as a region of its own.
    """

    team: int = 1

    operations: list[list[int]] = field(default_factory=list)
    numbers: list[list[float]] = field(default_factory=list)
    pieces: list[tuple[int, int, int, int]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    first: int = 0  # of the operations that are in no piece yet
    inside: bool = False  # a piece of a region
    flag: Array = field(default_factory=lambda: np.ones(1, np.int64))
    made: Any = None

    def add(
        self, code: int, words: dict[int, int], numbers: tuple[float, ...] = (), keep: tuple[Any, ...] = ()
    ) -> None:
        """One operation more."""
        row = [0] * WIDTH
        row[0] = code
        for place, word in words.items():
            row[place] = int(word)
        self.operations.append(row)
        self.numbers.append([*map(float, numbers), *[0.0] * (FLOATS - len(numbers))])
        self.kept.extend(keep)

    def clear(self) -> None:
        """Forget the operations; what they work on stays."""
        self.operations, self.numbers, self.pieces, self.first, self.made = [], [], [], 0, None

    def close(self) -> None:
        """The operations since the last piece become a region of one piece."""
        if len(self.operations) > self.first:
            number = len(self.pieces)
            self.pieces.append((self.first, len(self.operations), number, number + 1))
            self.first = len(self.operations)

    def region(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        """What function records of each item as a piece of its own, which may go on side by side."""
        if self.inside:
            return [function(item) for item in items]
        self.close()
        edges, found = [self.first], []
        self.inside = True
        try:
            for item in items:
                found.append(function(item))
                edges.append(len(self.operations))
        finally:
            self.inside = False
        spans = [(a, b) for a, b in pairwise(edges) if b > a]
        start = len(self.pieces)
        self.pieces += [(a, b, start, start + len(spans)) for a, b in spans]
        self.first = len(self.operations)
        return found

    def deal(self, function: Callable[[slice], Any], count: int, unit: int) -> None:
        """What function records of slices of so many rows or columns, at multiples of a unit: one for each thread."""
        most = 1 if self.inside else max(min(self.team, count // unit), 1)
        edges = [0, *(count * i // most // unit * unit for i in range(1, most)), count]
        parts = [slice(a, b) for a, b in pairwise(edges)]
        if len(parts) > 1:
            self.region(function, parts)
        else:
            function(parts[0])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Operations inside are of one piece."""
        before, self.inside = self.inside, True
        try:
            yield
        finally:
            self.inside = before

    def table(self) -> tuple[Array, Array, Array]:
        """The program as its runner takes it."""
        if self.made is None:
            self.close()
            operations = np.array(self.operations, np.int64).reshape(-1, WIDTH)
            numbers = np.array(self.numbers, np.float64).reshape(-1, FLOATS)
            self.made = operations, numbers, np.array(self.pieces, np.int64).reshape(-1, 4)
        return self.made

    @property
    def nets(self) -> bool:
        """Whether there are operations of nets, beside which only those may be that all programs share."""
        codes = {row[0] for row in self.operations}
        found = bool(codes & programs.OF_NETS)
        if found and codes - programs.OF_NETS - programs.SHARED:
            raise TypeError("a program of nets has no operations of chains, of centring or of annealing.")
        return found

    @property
    def finite(self) -> bool:
        """Whether all parameters that were moved since the program was made are finite."""
        return bool(self.flag[0])


class Runner:
    """Runs a program, by the clock in calls that are short enough for interrupts."""

    def __init__(self, program: Program, pool: ThreadPoolExecutor | None, team: int) -> None:
        self.program, self.pool = program, pool
        widest = max((stop - start for *_, start, stop in program.table()[2]), default=1)
        self.team = 1 if pool is None else min(team, int(widest))
        self.options = (True,) if program.nets else ()
        self.seconds = 0.0  # of one time

    def times(self, most: int) -> int:
        """How many times a call may have."""
        return max(1, min(most, int(programs.SECONDS / self.seconds) if self.seconds else FIRST))

    def count(self, first: int, times: int) -> None:
        """Do the program for so many steps, of numbers from first on, in as many calls as they need."""
        last = first + times
        while first < last:
            now = self.times(last - first)
            self.run((first, 0, 0), now)
            first += now

    def run(self, counts: tuple[int, int, int], times: int) -> None:
        """Do the program so many times in one call, from these counts on."""
        if not len(self.program.table()[2]) or times < 1:
            return
        began = time.perf_counter()
        found = np.array(counts, np.int64)
        self._shared(found, times)
        self.seconds = (time.perf_counter() - began) / times

    def _shared(self, counts: Array, times: int) -> None:
        program, pool = self.program.table(), self.pool
        counters = np.zeros(programs.CLAIMS + programs.GAP * len(program[2]), np.int64)

        def work(me: int) -> None:
            try:
                programs.run(program, counters, (me, self.team), counts, times, *self.options)
            except BaseException:
                counters[programs.ABANDONED] = 1  # the others must not wait for what this one took
                raise

        helpers = [pool.submit(work, me) for me in range(1, self.team)] if pool is not None else []
        try:
            work(0)
        finally:
            problems = [helper.exception() for helper in helpers if not helper.cancel()]
        for problem in problems:
            if problem is not None:
                raise problem
