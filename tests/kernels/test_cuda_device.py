"""Catches CUDA primitives that differ from the reference on a real device, or dispatch that misses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks.cuda_parity import CHECKS, Backend
from support.devices import ON_DEVICE

from boltz import kernels

pytestmark = ON_DEVICE


class _Dispatched:
    """The public primitives, and the source texts of the module behind them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(kernels.cuda if name == "source" else kernels, name)


def _backend() -> Backend:
    import cupy

    from boltz.kernels.cuda import launch

    def run(code: str, entry: str, threads: int, arguments: tuple[Any, ...]) -> None:
        cupy.RawModule(code=code, options=launch.options("float")).get_function(entry)((1,), (threads,), arguments)

    return Backend(_Dispatched(), cupy.asarray, cupy.asnumpy, run)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_device_agrees_with_the_reference(name: str, dtype: Any) -> None:
    CHECKS[name](_backend(), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeated_runs_are_equal_bit_for_bit(dtype: Any) -> None:
    """Catches a race between threads and a sum whose order is left to the scheduler."""
    backend = _backend()
    generator = np.random.Generator(np.random.Philox(0))
    field, bias = 5 * generator.standard_normal((2000, 3001)).astype(dtype), np.zeros(3001, dtype)
    results = []
    for _ in range(10):
        device, state, increment = (backend.put(a) for a in (field, field, np.zeros(len(field))))
        biases = backend.put(bias), backend.put(bias)
        backend.primitives.bernoulli_anneal(device, (0.3, 0.4), biases, (1, 2, 3), 0, state, increment)
        results.append([backend.get(a) for a in (device, state, increment)])
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)
