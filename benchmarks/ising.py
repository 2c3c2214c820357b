"""Sweeps a second of one square lattice: boltz beside a plain checkerboard loop that knows the lattice.

The loop is what a physicist writes with Numba: spins of one byte, neighbours by index arithmetic, one coupling for all,
five thresholds worked out beforehand, and xoshiro128++ (Blackman & Vigna 2021) with a state for each row. boltz knows
none of that: any graph, any couplings, random numbers that do not depend on threads.

    python -m benchmarks.ising --side 1024 --sweeps 100 --threads 1
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads

import boltz


@njit(inline="always")
def rotated(x: Any, k: Any) -> Any:
    return (x << np.uint32(k)) | (x >> np.uint32(32 - k))


@njit(parallel=True, cache=True)
def checkerboard(spins: Any, states: Any, thresholds: Any, sweeps: int) -> None:
    """Heat-bath sweeps of a torus with even sides, in place, one colour after the other, rows in parallel."""
    rows, columns = spins.shape
    for _ in range(sweeps):
        for colour in range(2):
            for r in prange(rows):
                a, b, c, d = states[r, 0], states[r, 1], states[r, 2], states[r, 3]
                here, above, below = spins[r], spins[(r - 1) % rows], spins[(r + 1) % rows]
                for x in range((r + colour) % 2, columns, 2):
                    left = here[x - 1 if x > 0 else columns - 1]
                    right = here[x + 1 if x < columns - 1 else 0]
                    drawn = np.uint32(rotated(np.uint32(a + d), 7) + a)
                    t = np.uint32(b << np.uint32(9))
                    c ^= a
                    d ^= b
                    b ^= c
                    a ^= d
                    c ^= t
                    d = rotated(d, 11)
                    total = left + right + above[x] + below[x]
                    here[x] = 1 if drawn < thresholds[(total + 4) >> 1] else -1
                states[r, 0], states[r, 1], states[r, 2], states[r, 3] = a, b, c, d


def plain(side: int, beta: float) -> Callable[[int], None]:
    """What runs so many sweeps of the loop."""
    rng = np.random.default_rng(0)
    spins = np.where(rng.random((side, side)) < 0.5, 1, -1).astype(np.int8)
    states = rng.integers(1, 2**32, (side, 4), dtype=np.uint32)
    chances = 1 / (1 + np.exp(-2 * beta * np.array([-4, -2, 0, 2, 4])))
    thresholds = np.minimum(chances * 2.0**32, 2.0**32 - 1).astype(np.uint32)
    return lambda sweeps: checkerboard(spins, states, thresholds, sweeps)


def ours(side: int, beta: float) -> Callable[[int], None]:
    """What runs so many sweeps of boltz."""
    model = boltz.ising(boltz.lattice((side, side), beta), dtype=np.float32)
    state = {"v": boltz.sample(model, chains=1, sweeps=1)["v"]}

    def run(sweeps: int) -> None:
        state.update(boltz.sample(model, chains=1, sweeps=sweeps, start=state))

    return run


def rate(run: Callable[[int], None], sweeps: int, clock: Callable[[], float]) -> float:
    """Sweeps a second, the best of three, after one that compiles."""
    run(1)
    times = []
    for _ in range(3):
        began = clock()
        run(sweeps)
        times.append(clock() - began)
    return sweeps / min(times)


def main() -> None:
    """Print both rates, their ratio, and the largest memory so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--beta", type=float, default=0.4407)
    options = parser.parse_args()
    boltz.threads(options.threads)
    set_num_threads(min(options.threads, get_num_threads()))
    clock = time.process_time if options.threads == 1 else time.perf_counter  # others may use the machine
    mine = rate(ours(options.side, options.beta), options.sweeps, clock)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loop = rate(plain(options.side, options.beta), options.sweeps, clock)
    print(
        f"{options.side} x {options.side}, {options.threads} threads: boltz {mine:.1f} sweeps/s, loop {loop:.1f}, "
        f"ratio {mine / loop:.2f}; {memory:.0f} MiB at most with boltz"
    )


if __name__ == "__main__":
    main()
