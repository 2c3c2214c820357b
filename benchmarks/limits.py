"""What the machine allows: dense products at the shapes of a row, dense products at best, and memory.

The products of a row take turns with the contenders as if they were one. The share of the limit that a contender
reaches is their time over its own: above 1 it does with less than the dense products that the plain algorithm needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numba
import numpy as np
from contenders import Array, Lesson, Problem, Work

Shape = tuple[int, int, int]  # (rows, inner) @ (inner, columns)
Multiply = Callable[[Array, Array, Array], Callable[[], object]]
SQUARE, REPEATS = 2048, 7
L2_PATH = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")


def flop(needed: Counter[Shape]) -> int:
    """Multiplications and additions of the products."""
    return sum(2 * a * b * c * count for (a, b, c), count in needed.items())


def needed(kind: str, problem: Problem | Lesson) -> Counter[Shape]:
    """The dense products of a unit of work, with how often each is made, in the fewest calls."""
    if isinstance(problem, Lesson):
        return _lesson(problem)
    units, n, chains = [len(b) for b in problem.biases], problem.batch, problem.chains
    v, h = units[:2]
    up, down, found = (chains, v, h), (chains, h, v), Counter[Shape]()
    if kind == "gibbs":
        return Counter({up: 1, down: 1})
    if kind == "ais":
        return Counter({up: problem.betas, down: problem.betas})
    if kind == "cd":
        return Counter({(n, v, h): 1 + problem.k, (n, h, v): problem.k, (v, 2 * n, h): 1})
    if kind in ("pcd", "fit"):
        steps = problem.passes * (len(problem.rows) // n) if kind == "fit" else 1
        return Counter([down, (n + chains, v, h), (v, n + chains, h)] * steps)  # two shapes may be one
    found[n, v, h] += 1
    for lower, upper in pairwise(units[1:]):
        found[n, lower, upper] += 1 + problem.mean_field_sweeps
        found[n, upper, lower] += problem.mean_field_sweeps
    for lower, upper in pairwise(units):
        found[chains, lower, upper] += 1
        found[chains, upper, lower] += 1
        found[lower, n + chains, upper] += 1
    return found


def _lesson(problem: Lesson) -> Counter[Shape]:
    """Forward, backward to the parameters, and backward to the input where a derivative goes on from there."""
    structure, found = problem.machine.structure, Counter[Shape]()
    kinds = {layer.name: layer.kind for layer in structure.layers}
    names = list(kinds)
    for name, x in problem.machine.params.items():
        if x.ndim != 2:
            continue
        side, layer, place, _ = name.split("/")
        source = names[names.index(layer) + (1 if side == "generative" else -1)]
        once = source == names[0]  # recognition from the data, once a row
        rows, (inputs, outputs) = problem.batch * (1 if once else problem.samples), x.shape
        found[rows, inputs, outputs] += 1
        found[inputs, rows, outputs] += 1
        if int(place) or kinds[source] == "gaussian":
            found[rows, outputs, inputs] += 1
    return found


def _numpy(a: Array, b: Array, out: Array) -> Callable[[], object]:
    return lambda: np.matmul(a, b, out=out)


def libraries() -> dict[str, Multiply]:
    """Dense float32 products by the BLAS of numpy and, where PyTorch is installed, by its two ways."""
    found: dict[str, Multiply] = {"numpy": _numpy}
    try:
        import torch
        from contenders.torch_products import forms
    except ImportError:
        return found

    def multiply(product: Any) -> Multiply:
        def make(a: Array, b: Array, out: Array) -> Callable[[], object]:
            x, y, z = (torch.from_numpy(each) for each in (a, b, out))
            return lambda: product(x, y, z)

        return make

    return found | {form.name: multiply(form.product) for form in forms()}


def work(library: Multiply, shapes: Counter[Shape]) -> Work:
    """run(count): so many times the products of a unit of work, and nothing else."""
    generator = np.random.default_rng(0)
    sizes = {size for a, b, c in shapes for size in ((a, b), (b, c))}
    given = {size: generator.standard_normal(size, np.float32) for size in sizes}
    calls = [(library(given[a, b], given[b, c], np.empty((a, c), np.float32)), n) for (a, b, c), n in shapes.items()]

    def run(count: int) -> None:
        for _ in range(count):
            for call, number in calls:
                for _ in range(number):
                    call()

    return Work(run, tuple)


def _best(call: Callable[[], object], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


@numba.njit(nogil=True)
def _copy(a: Array, b: Array, c: Array, count: int) -> None:
    for _ in range(count):
        for i in range(len(a)):
            a[i] = b[i]


@numba.njit(nogil=True)
def _triad(a: Array, b: Array, c: Array, count: int) -> None:
    for k in range(count):
        for i in range(len(a)):
            a[i] = b[i] + np.float32(k) * c[i]


def _bandwidth(threads: int, length: int, count: int) -> dict[str, float]:
    """GB/s of all threads, each with arrays of its own; bytes read and written, those fetched to be written not."""
    arrays = [tuple(np.ones(length, np.float32) for _ in range(3)) for _ in range(threads)]
    found = {}
    with ThreadPoolExecutor(threads) as pool:
        for name, kernel, streams in (("copy", _copy, 2), ("triad", _triad, 3)):
            call = _together(pool, kernel, arrays, count)
            found[name] = 4e-9 * streams * length * threads * count / _best(call, REPEATS)
    return found


def _together(pool: ThreadPoolExecutor, kernel: Any, arrays: list[Any], count: int) -> Callable[[], object]:
    return lambda: list(pool.map(lambda three: kernel(*three, count), arrays))


def l2_bytes() -> int:
    """Size of the second-level cache of the first core, or a mebibyte where the system does not tell."""
    try:
        return int(L2_PATH.read_text().strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 1 << 20


def measure(threads: int, small: bool, pause: float) -> dict[str, Any]:
    """GFLOP/s of a large square product by each library, and GB/s of memory and of half the second-level cache."""
    size, found = 64 if small else SQUARE, {}
    for name, library in libraries().items():
        sleep(pause)
        shapes = Counter({(size, size, size): 1})
        run = work(library, shapes).run
        found[name] = 1e-9 * flop(shapes) / _best(lambda run=run: run(1), REPEATS)
    memory, inside = 1000 if small else (96 << 20) // 4 // threads, l2_bytes() // 2 // 12
    sleep(pause)
    return {
        "threads": threads,
        "square": size,
        "gflops": found,
        "memory": _bandwidth(threads, memory, 1),
        "l2": _bandwidth(threads, inside, 2 if small else 2000),
    }
