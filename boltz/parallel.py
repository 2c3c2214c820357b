"""Where concurrency lives: blocks of rows dealt to threads, with BLAS and kernels single-threaded inside.

Results are the same for any number of threads: blocks depend on the problem only, and shares are for work that treats
each row alone, to the last bit.
On a CUDA device all rows are one block and one thread hands out the work: the device itself is what runs in parallel.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from boltz import arrays, checks, system
from boltz.errors import InputError
from boltz.kernels.cpu.recorded import Recorded
from boltz.kernels.cpu.runners import Program
from boltz.kernels.cuda.graphs import flow

LITTLE = 1 << 22  # multiplications; more are worth a second thread
FEWEST = 32  # float32 products of fewer rows may sum in another order
T = TypeVar("T")
BLOCK, DEVICE_BLOCK = 128, 1 << 16  # rows; the latter holds what is in the memory of a device at a time
_settings: dict[str, int] = {}
_team: ContextVar[int | None] = ContextVar("boltz_team", default=None)
_held: ContextVar[Workers | None] = ContextVar("boltz_workers", default=None)  # those that a caller has at hand


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _libraries() -> list[Any]:
    """The BLAS libraries of the process."""
    return _controller().select(user_api="blas").lib_controllers


def threads(n: int | None = None) -> int:
    """Set the number of threads of every pool, BLAS included, and return it; None only asks.

    The default is BOLTZ_NUM_THREADS, else all cores available to the process. Raises InputError.
    """
    if n is None and (held := _team.get()) is not None:
        return held
    text = os.environ.get("BOLTZ_NUM_THREADS", "")
    if n is None and text and "threads" not in _settings:
        if not text.isdecimal() or not 1 <= int(text) <= 4096:
            raise InputError(f"BOLTZ_NUM_THREADS must be a whole number from 1 to 4096, got {text!r}.")
        n = int(text)
    if n is not None:
        _settings["threads"] = checks.integer(n, "threads", 1, 4096)
        _controller().limit(limits=_settings["threads"], user_api="blas")
    return _settings.get("threads") or system.cores()


@contextmanager
def team(n: int | None) -> Iterator[None]:
    """So many threads for what is computed inside, whatever threads() says: -1 for all cores, None for no change.

    Others, in other threads of the program, are not concerned. Raises InputError.
    """
    if n is None:
        yield
        return
    token = _team.set(system.cores() if n == -1 and n is not True else checks.integer(n, "threads", 1, 4096))
    try:
        yield
    finally:
        _team.reset(token)


def blocks(rows: int, block: int = BLOCK, like: Any = None) -> list[slice]:
    """Nearly equal slices of at most about block rows; at least two once there are 32 rows.

    Inner edges are multiples of four rows, which dense products favour. Where like lives on a device, one slice of all
    rows, up to 65,536.
    """
    if like is not None and arrays.on_device(like):
        return _slices(rows, share_count(rows, like, block))
    return _slices(rows, max(-(-rows // block), 2 if rows >= 32 else 1))


def shares(rows: int, like: Any, block: int = 2 * BLOCK, kinds: int = 1) -> list[slice]:
    """Slices for work that treats each row alone, where like lives: in float32 at least one a thread, else as blocks.

    A row of a float32 product does not depend on the others, and fewer blocks are faster, as each makes tables anew.
    Where so many kinds of work go on side by side, each has its part of the threads.
    """
    return _slices(rows, share_count(rows, like, block, team=max(threads() // kinds, 1)))


def dealt(rows: int, like: Any, pool: Workers) -> list[slice]:
    """Slices for a program that each thread has of its own, or one of all rows where it deals out its operations.

    Operations are dealt out where threads would have few rows each: half the rows of a product cost more than half.
    """
    kinds = threads() // pool.count
    found = shares(rows, like, kinds=kinds)
    alone = arrays.on_device(like) or like.dtype != np.float32 or rows >= 2 * BLOCK * pool.count
    return found if alone or pool.count == 1 else [slice(0, rows)]


def padded(rows: Any) -> Any:
    """The rows with as many rows of zeros below as make products treat each row alone, in float32, however few."""
    lacking = FEWEST - len(rows)
    return rows if lacking <= 0 else np.concatenate([rows, np.zeros_like(rows, shape=(lacking, rows.shape[1]))])


def share_count(rows: int, like: Any, block: int, samples: int = 1, team: int | None = None) -> int:
    """How many shares there are of so many rows for a team of threads; a row may stand for so many rows of samples.

    Products in float32 sum few rows in another order: threads only add shares of 32 rows at least.
    """
    if arrays.on_device(like):
        return max(-(-rows * samples // DEVICE_BLOCK), 1)
    single = like.dtype == np.float32
    certain = 1 if (single and samples == 1) or rows * samples < 32 else 2
    most = (team or threads()) if single else 1
    return max(-(-rows * samples // block), certain, min(most, rows // 32))


def evened(count: int, like: Any) -> int:
    """So many shares, or some more, as many for each thread: where like is float32 on a processor, rows being alone."""
    alone = like.dtype == np.float32 and not arrays.on_device(like)
    team = threads() if alone and count > 1 else 1
    return -(-count // team) * team


def _slices(rows: int, count: int) -> list[slice]:
    edges = [0, *(-(-rows * i // count) // 4 * 4 for i in range(1, count)), rows]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def _quiet() -> np.errstate:
    """numpy keeps silent on what overflows in a block: guards and estimates look at the results and speak."""
    return np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Workers:
    """A pool of threads, the caller's included; map lets each take the next item as it becomes free.

    least counts the numbers of a simple pass that are worth a thread of their own.
    """

    count: int
    pool: ThreadPoolExecutor | None
    least: int = 1 << 19

    def worth(self, multiplications: int) -> Workers:
        """These, or the caller alone for so little work that it is done before a thread has woken."""
        return self if multiplications > LITTLE else ALONE

    def map(self, function: Callable[[Any], T], items: list[Any]) -> list[T]:
        """[function(item) for item in items], shared among the threads; the first exception is raised."""
        shares = min(self.count, len(items))
        if self.pool is None or shares < 2:
            with _quiet():
                return [function(item) for item in items]
        results: list[Any] = [None] * len(items)
        waiting = iter(range(len(items)))  # next() on it is atomic: a slow thread just takes fewer items

        def work() -> None:
            try:
                with _quiet():
                    for i in waiting:
                        results[i] = function(items[i])
            except BaseException:
                deque(waiting, maxlen=0)  # nobody takes another item
                raise

        helpers = [self.pool.submit(work) for _ in range(shares - 1)]
        try:
            work()
        finally:
            # a helper that has not begun by now finds nothing left to do, and waking it takes longer than many a job
            problems = [helper.exception() for helper in helpers if not helper.cancel()]
        for problem in problems:
            if problem is not None:
                raise problem
        return results


ALONE = Workers(1, None)  # the caller


@dataclass(frozen=True)
class Recording(Workers):
    """Workers that record: what map is given becomes pieces of work of a program, which go on side by side."""

    least: int = 1 << 14
    program: Program = field(kw_only=True)

    def map(self, function: Callable[[Any], T], items: list[Any]) -> list[T]:
        """What the function says of each item while it is recorded; operations of a single item are dealt out."""
        return [function(item) for item in items] if len(items) == 1 else self.program.region(function, items)


class _SingleBlas:
    """Holds BLAS to one thread while anyone is inside, from whatever threads they come."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, [1]

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = [library.num_threads for library in _libraries()]
                self._set([1] * len(self.before))
            self.inside += 1

    def __exit__(self, *problem: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self._set(self.before)

    def _set(self, counts: list[int]) -> None:
        for library, count in zip(_libraries(), counts, strict=True):
            library.set_num_threads(count)


_single_blas = _SingleBlas()


@contextmanager
def workers(like: Any = None) -> Iterator[Workers]:
    """Threads for the length of a computation, with BLAS held to one thread each: those at hand where some are.

    Where like lives on a device, one thread and a stream of its own, whose work is done in the end.
    """
    if like is not None and arrays.on_device(like):
        with flow():
            yield ALONE
        return
    if isinstance(like, Recorded):
        yield Recording(threads(), None, program=like.program)
        return
    count, held = threads(), _held.get()
    if held is not None and held.count == count:
        yield held
        return
    with _single_blas, _pool(count) as pool:
        found = Workers(count, pool)
        token = _held.set(found)
        try:
            yield found
        finally:
            _held.reset(token)


def _pool(count: int) -> Any:
    """A context of the threads beside the caller."""
    return nullcontext() if count == 1 else ThreadPoolExecutor(count - 1, thread_name_prefix="boltz")


def alone(function: Callable[[], T]) -> T:
    """What a function returns that runs as one block, so that BLAS threads do not change the order of its sums."""
    with workers() as pool:
        return pool.map(lambda _: function(), [None])[0]
