"""Catches errors of the CUDA sources and their launchers on a CPU: compiled by g++ with shim.h, run as if on CuPy.

The launchers of kernels/cuda/launch.py run unchanged. The stand-in checks the type of each argument against the kernel,
as CUDA would not, arrays lie between guard bands, and the threads of a block take turns in a chosen order.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import cuda_parity
from checks.cuda_parity import CHECKS, Backend
from support import cuda_shim

from boltz.kernels.cuda import launch as installed

pytestmark = [
    pytest.mark.skipif(
        cuda_shim.COMPILER is None, reason="g++ is not installed: CUDA sources are not checked on the CPU"
    ),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the CPU shim needs Linux"),
]

NULL = "null"  # fits every pointer; a step that is 0 looks like it
BAND = 64  # elements of guard on each side of an array
DTYPES = [np.float32, np.float64]


class Shim:
    """A stand-in for the cupy module: numpy arrays, and RawModule compiled by g++."""

    empty, zeros = staticmethod(np.empty), staticmethod(np.zeros)

    def __init__(self, folder: Path, edit: Callable[[str], str] = lambda text: text) -> None:
        self.folder, self.edit, self.backwards = folder, edit, False

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802
        return _Module(self, self.edit(code), options)


class _Module:
    def __init__(self, shim: Shim, code: str, options: tuple[str, ...]) -> None:
        self.shim, self.library = shim, cuda_shim.library(code, options, shim.folder)

    def get_function(self, name: str) -> Callable[..., None]:
        kinds, run = cuda_shim.kernel(self.library, name)

        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            given = [_kind(a) for a in arguments]
            assert [wanted if kind == NULL else kind for kind, wanted in zip(given, kinds, strict=True)] == kinds
            values = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
            run(grid, block, values, self.shim.backwards)

        return launch


def _kind(argument: Any) -> str:
    if isinstance(argument, np.uintp) and argument == 0:
        return NULL
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return "*" + argument.dtype.str[1:]
    return str(argument.dtype.str[1:])


def put(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy between two bands that get checks; floats read from the bands would be NaN."""
    whole = np.full(array.size + 2 * BAND, np.nan if array.dtype.kind == "f" else 77, array.dtype)
    inside = whole[BAND : BAND + array.size].reshape(array.shape)
    inside[...] = array
    return inside


def get(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy, after a look at the guard bands."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    bands = np.concatenate([whole[:BAND], whole[-BAND:]])
    assert np.all(np.isnan(bands) if array.dtype.kind == "f" else bands == 77), "a write beyond an array"
    return array.copy()


def on_cpu(shim: Shim) -> Backend:
    """A copy of kernels/cuda/launch.py, apart from the one others import, that runs on the stand-in."""
    spec = importlib.util.spec_from_file_location("boltz_cuda_on_cpu", str(installed.__file__))
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._cupy = lambda: shim

    def run(code: str, entry: str, threads: int, arguments: tuple[Any, ...]) -> None:
        shim.RawModule(code=code, options=module.options("float")).get_function(entry)((1,), (threads,), arguments)

    return Backend(module, put, get, run)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    yield on_cpu(Shim(cuda_shim.shared_folder(tmp_path_factory)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_sources_agree_with_the_reference(backend: Backend, name: str, dtype: Any) -> None:
    with np.errstate(all="raise", under="ignore"):
        CHECKS[name](backend, dtype)


def _rows_in_order(backend: Backend, dtype: Any) -> list[Any]:
    shape = (7, 777)
    field, mean = put(cuda_parity.fields(shape, dtype)), put(np.full(shape, 0.5, dtype))
    bias, increment, state = put(np.zeros(777, dtype)), put(np.zeros(7)), put(np.zeros(shape, dtype))
    change = backend.primitives.bernoulli_relax(field, 1.0, bias, 0.5, mean)
    backend.primitives.bernoulli_anneal(field, (0.2, 0.3), (bias, bias), (1, 2, 3), 0, state, increment)
    weights = put(cuda_parity.fields(shape, dtype, 1))
    backend.primitives.momentum_update(weights, mean, state, 0.1, 0.9, True, 0.1, 0.1)
    drawn, total = put(np.zeros(shape, dtype)), put(np.zeros(7))
    backend.primitives.normal((1, 2, 3), put(np.arange(7)), drawn)
    backend.primitives.bernoulli_score(drawn, bias, state, total)
    return [np.array(change), *(get(a) for a in (field, mean, increment, state, weights, drawn, total))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_threads_and_number_of_blocks_change_nothing(
    backend: Backend, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a missing barrier, a row left out when blocks are fewer than rows, an element updated twice."""
    expected = _rows_in_order(backend, dtype)
    monkeypatch.setattr(backend.primitives._cupy(), "backwards", True)
    monkeypatch.setattr(backend.primitives, "MOST_BLOCKS", 3)
    for a, b in zip(_rows_in_order(backend, dtype), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("barrier", range(2))
def test_a_dropped_barrier_is_caught(barrier: int, tmp_path: Path) -> None:
    """The order of threads does matter once a barrier is missing, so the test above can fail."""

    def edit(code: str) -> str:
        parts = code.split("__syncthreads();")
        return "__syncthreads();".join(parts[: barrier + 1]) + "__syncthreads();".join(parts[barrier + 1 :])

    shim = Shim(tmp_path, edit)
    backend = on_cpu(shim)
    forwards = _rows_in_order(backend, np.float32)
    shim.backwards = True
    backwards = _rows_in_order(backend, np.float32)
    assert not all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


FAULTS = {
    "a round too few": ("round < 10", "round < 9", "known_answers"),
    "step cut to 32 bits": ("(word)(step >> 32)", "0u", "bits"),
    "words of a lane in the wrong tile place": ("lane / 16 * 64 + lane % 16", "lane * 4", "bits"),
    "last partial tile dropped": ("(units + 63) / 64", "units / 64", "bits"),
    "write past the row": ("if (first + 16 * k < units) visit", "visit", "bits"),
    "uniform of 29 bits": ("bits >> 2", "bits >> 3", "from_mean"),
    "one term of exp wrong": ("8.33333333e-3f", "8.5e-3f", "mean"),
    "no limit on the exponent": ("x = x < -87.0f ? -87.0f : x;", "", "mean"),
    "all rows take the first bias row": ("bias + row * bias_stride", "bias", "sample"),
    "maximum that drops NaN": ("a != a || a >= b ? a : b", "a >= b ? a : b", "relax"),
    "temperatures swapped": ("scale0 * f[u] + bias0[u]", "scale1 * f[u] + bias0[u]", "anneal"),
    "increment overwritten": ("increment[row] += sum", "increment[row] = sum", "anneal"),
    "rows taken by several blocks": ("row += gridDim.x", "row += 1", "anneal"),
    "overflow not told": ("!(value - value == 0)", "value != value", "momentum"),
    "NaN mean draws a zero": ("+ (p - p)", "", "from_mean"),
    "binomial counted from one end": ("mean > 0.5 * trials", "mean < 0", "binomial"),
    "binomial bits not turned": ("upper ? ~bits : bits", "upper ? bits : bits", "binomial"),
    "a trial too few": ("(trials - count) / (count", "(trials - count - 1) / (count", "binomial"),
    "softplus in one piece": (
        "(s[u] * x - soft.above) - soft.rest",
        "s[u] * x - (soft.above + soft.rest)",
        "sure_score",
    ),
    "density overwritten": ("log_density[row] += sum", "log_density[row] = sum", "score"),
    "every row its own state": ("row / repeat * units", "row * units", "score"),
    "complement taken on both sides": ("-half_normal(bits", "-half_normal(~bits", "normal"),
    "one term of the quantile wrong": ("0.000276445295f", "0.00027845f", "normal"),
    "no tail": ("w < 6.0f", "w < 60.0f", "normal"),
    "normal draws by place": ("chains[row], [&]", "row, [&]", "normal"),
    "descent": ("momentum * velocity[i] + step", "momentum * velocity[i] - step", "momentum"),
    "1 - beta rounded in float32": ("rest2 * g", "((real)1 - beta2) * g", "adam"),
    "epsilon inside the root": ("sqrt(v * correction) + epsilon", "sqrt(v * correction + epsilon)", "adam"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, tmp_path: Path) -> None:
    old, new, check = FAULTS[fault]

    def edit(code: str) -> str:
        assert old in code
        return code.replace(old, new)

    with pytest.raises(AssertionError):
        CHECKS[check](on_cpu(Shim(tmp_path, edit)), np.float32)
