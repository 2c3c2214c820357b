"""CUDA graphs: what is done over and over is captured once and replayed, since launches cost more than small kernels.

What changes from one time to the next must be in the memory of the device, advanced by the work itself: a Clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from boltz.kernels.cuda import launch

Array = Any  # a C-contiguous cupy.ndarray
TIMES = (50, 5, 1)  # that the work stands in a graph, of which there are so many


@dataclass(frozen=True, eq=False)
class Clock:
    """A counter uint64 (1,) and, where there are temperatures, those before its step and at it, now (2,)."""

    counter: Array
    betas: Any
    now: Any

    @classmethod
    def before(cls, first: int, betas: Any = None) -> Clock:
        """A clock whose first tick leads to step first of temperatures (steps + 1,)."""
        put = launch._cupy().asarray
        counter = put(np.array([(first - 1) % 2**64], np.uint64))
        return (
            cls(counter, None, None) if betas is None else cls(counter, put(np.array(betas, float)), put(np.zeros(2)))
        )

    def tick(self) -> None:
        """Go on to the next step."""
        launch.tick(self.counter, self.betas, self.now)


class Replay:
    """Work without arguments that never waits for the device: it runs once as it is, then from captured graphs.

    What it works on must stay where it is; what it makes on its way comes from a pool of memory that nobody else uses.
    Runs on the current stream, which must not be the null stream (see flow).
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work, self.warm = work, False
        self.graphs: dict[int, Any] = {}
        self.pool = launch._cupy().cuda.MemoryPool()

    def run(self, times: int) -> None:
        """Do the work so many times."""
        if times > 0 and not self.warm:
            with launch._cupy().cuda.using_allocator(self.pool.malloc):
                self.work()
            self.warm, times = True, times - 1
        while times > 0:
            size = next(size for size in TIMES if size <= times)
            if size not in self.graphs:
                self.graphs[size] = self._captured(size)
            self.graphs[size].launch()
            times -= size

    def _captured(self, size: int) -> Any:
        cupy = launch._cupy()
        stream = cupy.cuda.get_current_stream()
        with cupy.cuda.using_allocator(self.pool.malloc):
            stream.begin_capture()
            try:
                for _ in range(size):
                    self.work()
            finally:  # a stream must not stay in capture
                graph = stream.end_capture()
        return graph


@cache
def _stream(device: int) -> Any:
    return launch._cupy().cuda.Stream()


@contextmanager
def flow() -> Iterator[None]:
    """A stream of its own for a computation on the current device; waits for what came before, and for its end."""
    cupy = launch._cupy()
    cupy.cuda.get_current_stream().synchronize()
    stream = _stream(cupy.cuda.get_device_id())
    with stream:
        yield
        stream.synchronize()
