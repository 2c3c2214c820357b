"""Catches results that depend on the number of threads, and blocks or a pool that lose rows or errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from oracles.enumeration import Table
from support.machines import machine_of
from threadpoolctl import threadpool_info

import boltz
from boltz import parallel


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No chosen number of threads before a test, and BLAS as it was afterwards."""
    monkeypatch.setattr(parallel, "_settings", {})
    limits = parallel._controller().limit(limits=1, user_api="blas")
    yield
    limits.restore_original_limits()


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_threads_come_from_the_argument_then_the_environment_then_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOLTZ_NUM_THREADS", raising=False)
    cores = boltz.threads()
    assert cores >= 1
    monkeypatch.setenv("BOLTZ_NUM_THREADS", str(cores + 3))
    assert boltz.threads() == cores + 3
    assert boltz.threads(2) == 2 == boltz.threads() and blas_threads() <= {2}
    assert boltz.threads(1) == 1 == boltz.threads() and blas_threads() <= {1}


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "4097", " 2", "²"])
def test_a_bad_environment_variable_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZ_NUM_THREADS", text)
    with pytest.raises(boltz.InputError, match="BOLTZ_NUM_THREADS must be a whole number from 1 to 4096"):
        boltz.threads()


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", 5000])
def test_a_bad_number_of_threads_is_refused_and_changes_nothing(n: Any) -> None:
    boltz.threads(1)
    with pytest.raises(boltz.InputError, match="threads must be a whole number"):
        boltz.threads(n)
    assert boltz.threads() == 1


@pytest.mark.parametrize("rows", [0, 1, 2, 31, 32, 33, 127, 128, 129, 1000, 12345])
def test_blocks_cover_the_rows_once_in_order(rows: int) -> None:
    found = parallel.blocks(rows)
    assert [i for part in found for i in range(part.start, part.stop)] == list(range(rows))
    sizes = [part.stop - part.start for part in found]
    assert not sizes or (min(sizes) > 0 and max(sizes) <= parallel.BLOCK + 4 and max(sizes) - min(sizes) <= 8)
    assert len(found) >= 2 or rows < 32


def test_blocks_do_not_depend_on_threads() -> None:
    found = []
    for n in (1, 2, 7):
        boltz.threads(n)
        found.append(parallel.blocks(1000))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 63, 64, 100, 256, 257, 1000, 10_001])
@pytest.mark.parametrize("kinds", [1, 2])
def test_shares_follow_the_threads_in_float32_only(rows: int, kinds: int) -> None:
    """All rows in order, one share a thread of each kind, but none of fewer than 28 rows where there are several."""
    counts = {}
    for n in (1, 2, 7):
        boltz.threads(n)
        for dtype in (np.float32, np.float64):
            found = parallel.shares(rows, np.empty(0, dtype), kinds=kinds)
            assert [i for part in found for i in range(part.start, part.stop)] == list(range(rows))
            sizes = [part.stop - part.start for part in found]
            assert len(sizes) < 2 or min(sizes) >= (28 if dtype == np.float32 else 16)
            assert max(sizes, default=0) <= 2 * parallel.BLOCK + 4
            counts[n, dtype] = len(found)
        assert counts[n, np.float32] >= min(max(n // kinds, 1), rows // 32)
    assert counts[1, np.float64] == counts[2, np.float64] == counts[7, np.float64]


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 2, 3, 50])
def test_map_keeps_the_order_and_works_each_item_once(n: int, items: int) -> None:
    boltz.threads(n)
    calls: list[int] = []
    with parallel.workers() as pool:
        assert pool.map(lambda i: calls.append(i) or i * i, list(range(items))) == [i * i for i in range(items)]
        assert sorted(calls) == list(range(items))


def test_map_really_uses_its_threads() -> None:
    """Two items wait for each other, which a single thread could not get through."""
    boltz.threads(2)
    both = threading.Barrier(2, timeout=30)
    with parallel.workers() as pool:
        names = pool.map(lambda _: (both.wait(), threading.current_thread().name)[1], [0, 1])
    assert len(set(names)) == 2


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("bad", [0, 1, 9])
def test_an_exception_in_any_item_is_raised(n: int, bad: int) -> None:
    boltz.threads(n)

    def work(i: int) -> int:
        if i == bad:
            raise KeyError(i)
        return i

    with parallel.workers() as pool, pytest.raises(KeyError):
        pool.map(work, list(range(10)))


def test_blas_is_held_to_one_thread_inside_and_given_back() -> None:
    boltz.threads(2)
    with parallel.workers():
        assert blas_threads() <= {1}
    assert blas_threads() <= {2}


def computations() -> dict[str, Callable[[], Any]]:
    table = Table.random([12, 9, 7], 0.6, 3)
    model = machine_of(table, np.float32)
    rows = np.random.default_rng(1).integers(0, 2, (500, 12)).astype(np.float32)
    wide = Table.random([300, 200, 150], 0.05, 4)
    wide.biases["v"][...] -= 2  # few units on: products by sums of rows
    sparse = machine_of(wide, np.float32)
    net, smooth = boltz.sbn([12, 9, 7], [8], rows), boltz.vae([12, [10], [8]], [6, 5], rows)
    belief = boltz.dbn([12, 9, 7], rows)
    belief.arena[...] = np.random.default_rng(2).normal(size=belief.arena.size)

    def bounds(model: Any) -> dict[str, Any]:
        return {str(e.method): e.per_row for e in boltz.importance_bounds(model, rows, (1, 20), None, seed=1)}

    return {
        "sample": lambda: boltz.sample(model, 700, 15, seed=1),
        "sample, wide": lambda: boltz.sample(sparse, 500, 8, seed=1),
        "ais, wide": lambda: boltz.ais(sparse, 100, 20, seed=1).log_weights,
        "ais": lambda: boltz.ais(model, 300, 100, seed=1).log_weights,
        "exact_log_z": lambda: boltz.exact_log_z(model).value,
        "mean_field": lambda: boltz.mean_field(model, rows),
        "log_likelihood": lambda: boltz.log_likelihood(model, rows).per_row,
        "log_likelihood, weighted": lambda: boltz.log_likelihood(model, rows, samples=5, seed=1).per_row,
        "sample, sbn": lambda: boltz.sample(net, 700, seed=1),
        "sample, vae": lambda: boltz.sample(smooth, 700, seed=1),
        "sample, dbn": lambda: boltz.sample(belief, 700, 15, seed=1),
        "log_likelihood, dbn": lambda: boltz.log_likelihood(belief, rows[:40]).per_row,
        "log_likelihood, vae": lambda: boltz.log_likelihood(smooth, rows, samples=7, seed=1).per_row,
        "importance_bounds": lambda: bounds(model),
        "importance_bounds, sbn": lambda: bounds(net),
        "importance_bounds, dbn": lambda: bounds(belief),
        "posterior_variances": lambda: boltz.posterior_variances(model, rows),
        "posterior_variances, vae": lambda: boltz.posterior_variances(smooth, rows),
        "posterior_variances, dbn": lambda: boltz.posterior_variances(belief, rows),
        "log_likelihood, ais": lambda: boltz.log_likelihood(model, rows, boltz.ais(model, 100, 20, seed=2)).value,
    }


@pytest.mark.parametrize("name", computations())
def test_results_are_bit_identical_for_any_number_of_threads(name: str) -> None:
    """Catches a block size, a chain number or a sum that depends on the threads, and buffers that two threads share."""
    compute, found = computations()[name], []
    for n in (1, 2, 3):
        boltz.threads(n)
        result = compute()
        found.append(list(result.values()) if isinstance(result, dict) else [np.asarray(result)])
    for other in found[1:]:
        assert all((a == b).all() for a, b in zip(found[0], other, strict=True))
    assert all(np.isfinite(x).all() and x.std() > 0 for x in found[0] if x.size > 1)


def test_a_team_holds_inside_its_block_and_in_its_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZ_NUM_THREADS", "3")
    seen: list[int] = []
    with parallel.team(2):
        other = threading.Thread(target=lambda: seen.append(boltz.threads()))
        other.start()
        other.join()
        seen.append(boltz.threads())
        with parallel.workers() as pool:
            seen.append(pool.count)
        with parallel.team(None):
            seen.append(boltz.threads())
    assert [*seen, boltz.threads()] == [3, 2, 2, 2, 3]
    monkeypatch.setattr(parallel.system, "cores", lambda: 7)
    with pytest.raises(KeyError), parallel.team(-1):
        assert boltz.threads() == 7
        raise KeyError
    assert boltz.threads() == 3


@pytest.mark.parametrize("n", [0, -2, 1.0, True, "2", 5000])
def test_a_bad_team_is_refused(n: Any) -> None:
    with pytest.raises(boltz.InputError, match="threads must be a whole number"), parallel.team(n):
        pass
