"""Catches an emulated CuPy that takes what CuPy refuses, so that the tests on it would show nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

HOST = np.arange(6.0).reshape(2, 3)
REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "conversion": lambda cupy, x: np.asarray(x),
    "conversion into an array": lambda cupy, x: HOST.copy().__setitem__(0, x[0]),
    "a sum with an array of the host": lambda cupy, x: x + HOST,
    "the other way round": lambda cupy, x: HOST + x,
    "an array of the host without axes": lambda cupy, x: x * np.array(2.0),
    "a result of the host": lambda cupy, x: np.add(x, x, out=HOST.copy()),
    "assignment of an array of the host": lambda cupy, x: x.__setitem__(0, HOST[0]),
    "indices of the host": lambda cupy, x: x[np.array([0, 1])],
    "concatenation of both": lambda cupy, x: np.concatenate([x, HOST]),
    "a ufunc of scipy": lambda cupy, x: expit(x),
    "a method of a ufunc": lambda cupy, x: np.logaddexp.accumulate(x, axis=1),
    "a function that CuPy lacks": lambda cupy, x: np.ascontiguousarray(x),
    "membership": lambda cupy, x: np.isin(x, (0.0, 1.0)),
    "the mean of a list": lambda cupy, x: np.mean([x, x], axis=0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, cupy: Any) -> None:
    with pytest.raises(TypeError):
        REFUSED[name](cupy, cupy.asarray(HOST))


def test_numpy_functions_that_cupy_has_work_and_stay_on_the_device(cupy: Any) -> None:
    x = cupy.asarray(HOST)
    for found, expected in [
        (np.exp(x) @ x.T, np.exp(HOST) @ HOST.T),
        (np.sum(x, axis=1, dtype=np.float64), HOST.sum(axis=1)),
        (np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", HOST, HOST)),
        (np.concatenate([x, x]), np.concatenate([HOST, HOST])),
        (np.float64(2) * x[1], 2 * HOST[1]),
        (x.mean(), HOST.mean()),
    ]:
        assert type(found) is cupy.ndarray
        np.testing.assert_array_equal(found.get(), expected)
    assert float(x[1, 2]) == 5.0 and len(x) == 2


def test_captured_work_is_done_at_each_launch_and_not_before(cupy: Any) -> None:
    x, stream = cupy.asarray(np.ones(3)), cupy.cuda.Stream()
    with stream:
        stream.begin_capture()
        np.add(x, x, out=x)
        x[:1] = 1.0
        graph = stream.end_capture()
    np.testing.assert_array_equal(x.get(), np.ones(3))
    graph.launch()
    graph.launch()
    np.testing.assert_array_equal(x.get(), [1, 4, 4])


@pytest.mark.parametrize("work", [lambda x: x + x, lambda x: float(x[0]), lambda x: x.sum(), lambda x: x.get()])
def test_capture_refuses_new_memory_and_waiting(work: Callable[[Any], Any], cupy: Any) -> None:
    x, stream = cupy.asarray(np.ones(3)), cupy.cuda.Stream()
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError):
            work(x)
        stream.end_capture()


def test_new_arrays_of_a_capture_are_made_again_at_each_launch(cupy: Any) -> None:
    x, stream, pool = cupy.asarray(np.ones(3)), cupy.cuda.Stream(), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        y = x * 3
        for refused in (lambda: float(y[0]), lambda: cupy.asarray(np.ones(3))):
            with pytest.raises(RuntimeError):
                refused()
        np.add(x, y.sum(), out=x)
        graph = stream.end_capture()
    graph.launch()
    graph.launch()
    np.testing.assert_array_equal(x.get(), [100, 100, 100])


def test_the_null_stream_is_not_captured(cupy: Any) -> None:
    with pytest.raises(AssertionError):
        cupy.cuda.get_current_stream().begin_capture()
