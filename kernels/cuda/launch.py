"""CUDA versions of the primitives: CuPy arrays in, one launch each on the current stream.

The sources bernoulli.cu, binomial.cu, update.cu, steps.cu and split.cu are compiled at first use, once for each float
type. One block of threads takes a row and every sum has a fixed order, so results repeat bit for bit and do not depend
on how rows are split into calls. Nothing here waits for the device: what a primitive returns is an array without axes.

In work that is captured in a graph (kernels.cuda.graphs) a stream's step and a scale are not numbers but arrays of one
element, which the kernels read anew at each replay.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from boltz.kernels.reference import (  # CuPy takes them
    accumulate,
    activate,
    add,
    alike,
    back,
    categorical_mean,
    copy,
    cut,
    gaussian_path,
    gaussian_score,
    gaussian_shift,
    normal_score,
    outer,
    pack_rows,
    picked,
    pooled,
    repeated,
    row_means,
    slope,
    softmax,
    through,
    totals,
    track,
    turn,
    unpack_rows,
    weigh,
    weighted,
    without_one,
)

__all__ = [
    "accumulate",
    "activate",
    "add",
    "alike",
    "back",
    "categorical_mean",
    "copy",
    "cut",
    "gaussian_path",
    "gaussian_score",
    "gaussian_shift",
    "normal_score",
    "outer",
    "pack_rows",
    "pooled",
    "repeated",
    "row_means",
    "slope",
    "softmax",
    "through",
    "totals",
    "track",
    "turn",
    "unpack_rows",
    "weigh",
    "weighted",
    "without_one",
]
Array = Any  # a C-contiguous cupy.ndarray
Stream = tuple[int, int, Any]

THREADS = 256  # most threads of a block
MOST_BLOCKS = 2**16  # of a launch; blocks then take several rows each
SUFFIX = {"float": "f32", "double": "f64"}
REAL = {4: "float", 8: "double"}  # by bytes
NUMBERS: dict[str, Any] = {"q": np.int64, "Q": np.uint64, "I": np.uint32, "i": np.int32}
STREAM = "IIQ?"  # key0, key1, step, counter

# entry -> source file and the kinds of its arguments: @ an array, ? an array or None, r a number of the arrays' type,
# else as in NUMBERS
ENTRIES = {
    "philox": ("bernoulli.cu", "qq@" + STREAM + "q"),
    "bernoulli_from_mean": ("bernoulli.cu", "qq@@" + STREAM + "q"),
    "bernoulli_rows": ("bernoulli.cu", "qq@@@" + STREAM),
    "bernoulli_mean": ("bernoulli.cu", "qq@r@q"),
    "bernoulli_sample": ("bernoulli.cu", "qq@r?@q@" + STREAM + "q"),
    "bernoulli_relax": ("bernoulli.cu", "qq@r@qrr@@"),
    "bernoulli_anneal": ("bernoulli.cu", "qq@rr?@@@@" + STREAM + "q"),
    "bernoulli_score": ("bernoulli.cu", "qq@@@q@"),
    "binomial_from_mean": ("binomial.cu", "qq@q@" + STREAM + "q"),
    "normal": ("bernoulli.cu", "qq@@" + STREAM),
    "momentum_update": ("update.cu", "q@@@rrirr@"),
    "adam_update": ("update.cu", "q@@@@rrrrrrrrr@"),
    "tick": ("steps.cu", "@??"),
    "tilt": ("steps.cu", "q@@?@@@@"),
    "row_dot": ("steps.cu", "qq@@@"),
    "split": ("split.cu", "qq@q@q@"),
    "thrice": ("split.cu", "qq@q@"),
}


def _cupy() -> Any:
    import cupy

    return cupy


def source(name: str) -> str:
    """The text of a CUDA source of this package, with the header it includes put in its place."""
    folder = files("boltz.kernels.cuda")
    header = folder.joinpath("philox.cuh").read_text(encoding="utf-8")
    return folder.joinpath(name).read_text(encoding="utf-8").replace('#include "philox.cuh"', header)


def options(real: str) -> tuple[str, ...]:
    """Compiler options for one float type, "float" or "double"."""
    defines = (f"-DREAL={real}", f"-DSUFFIX={SUFFIX[real]}", f"-DTHREADS={THREADS}")
    return ("--std=c++17", "--fmad=false", *defines)


@cache
def _module(name: str, real: str) -> Any:
    return _cupy().RawModule(code=source(name), options=options(real))


@cache
def _kernel(entry: str, real: str) -> Any:
    return _module(ENTRIES[entry][0], real).get_function(f"boltz_{entry}_{SUFFIX[real]}")


def forget() -> None:
    """Compile anew at the next use."""
    _module.cache_clear()
    _kernel.cache_clear()


def _launch(entry: str, real: np.dtype[Any], blocks: int, threads: int, *arguments: Any) -> None:
    kinds = NUMBERS | {"r": real.type, "@": lambda array: array, "?": lambda a: np.uintp(0) if a is None else a}
    packed = tuple(kinds[k](a) for k, a in zip(ENTRIES[entry][1], arguments, strict=True))
    _kernel(entry, REAL[real.itemsize])((min(blocks, MOST_BLOCKS),), (threads,), packed)


def _rows(entry: str, array: Array, *arguments: Any) -> None:
    """Launch a block a row; the number of threads depends on the units alone (a thread that draws takes four)."""
    rows, units = array.shape
    if array.size:
        busy = -(-units // 64) * 16 if STREAM in ENTRIES[entry][1] else units
        threads = min(THREADS, -(-busy // 32) * 32)
        real = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
        _launch(entry, real, rows, threads, rows, units, *arguments)


def _drawn(stream: Stream) -> tuple[Any, ...]:
    """A stream as the kernels take it: a step that is an array counts from what stands there."""
    key0, key1, step = stream
    return (key0, key1, step, None) if isinstance(step, int | np.integer) else (key0, key1, 0, step)


def _stride(bias: Array) -> int:
    """Elements from one row's bias to the next row's: 0 if all rows share it."""
    return 0 if bias.ndim == 1 or len(bias) == 1 else bias.shape[1]


def philox(stream: Stream, first_row: int, out: Array) -> None:
    """Raw random bits, uint32 (rows, units), of the chains first_row, first_row + 1, ..."""
    _rows("philox", out, out, *_drawn(stream), first_row)


def bernoulli_from_mean(mean: Array, stream: Stream, first_row: int, state: Array) -> None:
    """Draw state (rows, units) with the given probabilities."""
    _rows("bernoulli_from_mean", mean, mean, state, *_drawn(stream), first_row)


def bernoulli_rows(mean: Array, stream: Stream, rows: Array, state: Array) -> None:
    """Draw state (rows, units) with the given probabilities; rows (rows,) int64 names each row's chain number."""
    _rows("bernoulli_rows", mean, mean, rows, state, *_drawn(stream))


def bernoulli_mean(field: Array, scale: float, bias: Array) -> None:
    """field (rows, units) := sigmoid(scale * field + bias)."""
    _rows("bernoulli_mean", field, field, scale, bias, _stride(bias))


def bernoulli_sample(field: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
    """field (rows, units) := sigmoid(scale * field + bias), and state drawn from it, in one pass."""
    number, at = (scale, None) if isinstance(scale, float | int | np.number) else (0.0, scale)
    _rows("bernoulli_sample", field, field, number, at, bias, _stride(bias), state, *_drawn(stream), first_row)


def bernoulli_relax(field: Array, scale: float, bias: Array, damping: float, mean: Array) -> Any:
    """Damped mean-field step of mean (rows, units) towards sigmoid(scale * field + bias).

    Returns max |change| as an array without axes, for which nobody has to wait until it is looked at.
    """
    if not field.size:
        return 0.0
    change = _cupy().empty(len(field), field.dtype)
    _rows("bernoulli_relax", field, field, scale, bias, _stride(bias), damping, 1 - damping, mean, change)
    return change.max()


def bernoulli_anneal(
    field: Array,
    scales: tuple[float, float],
    biases: tuple[Array, Array],
    stream: Stream,
    first_row: int,
    state: Array,
    increment: Array,
) -> None:
    """One temperature of annealed importance sampling (Neal 2001): see kernels.reference; increment (rows,) in nats.

    scales may be one array (2,) in the memory of the device.
    """
    given = (*scales, None) if isinstance(scales, tuple) else (0.0, 0.0, scales)
    _rows("bernoulli_anneal", field, field, *given, *biases, state, increment, *_drawn(stream), first_row)


def bernoulli_score(field: Array, bias: Array, state: Array, log_density: Array) -> None:
    """log_density (rows,) gains the log-density of the units given their field: see kernels.reference."""
    _rows("bernoulli_score", field, field, bias, state, len(field) // max(len(state), 1), log_density)


def categorical_from_mean(mean: Array, states: int, stream: Stream, first_row: int, state: Array) -> None:
    """Draw one state of each unit with the given probabilities (rows, units * states): see kernels.reference."""
    bits = _cupy().empty((len(mean), mean.shape[1] // states), np.uint32)
    philox(stream, first_row, bits)
    picked(bits, mean, states, state)


def categorical_sample(
    field: Array, scale: float, bias: Array, states: int, stream: Stream, first_row: int, state: Array
) -> None:
    """Probabilities of the states of each unit, and a draw from them: see kernels.reference."""
    categorical_mean(field, scale, bias, states)
    categorical_from_mean(field, states, stream, first_row, state)


def binomial_from_mean(mean: Array, trials: int, stream: Stream, first_row: int, state: Array) -> None:
    """Draw sums (rows, units) of so many trials with the given means: see kernels.reference."""
    _rows("binomial_from_mean", mean, mean, trials, state, *_drawn(stream), first_row)


def normal(stream: Stream, rows: Array, out: Array) -> None:
    """Standard normal draws (rows, units); rows (rows,) int64 names each row's chain number."""
    _rows("normal", out, out, rows, *_drawn(stream))


def product(x: Array, weight: Any, out: Array) -> None:
    """out (rows, columns) := x (rows, units) @ weight (units, columns).

    weight may be a kernels.cuda.split.Split, for an x that holds 0 and 1 only, which is not found out here.
    """
    if hasattr(weight, "product"):
        weight.product(x, out)
    else:
        np.matmul(x, weight, out=out)


def contraction(x: Array, values: Array, out: Array) -> None:
    """out (units, columns) := x (rows, units)^T @ values (rows, columns)."""
    np.matmul(x.T, values, out=out)


def tick(counter: Array, betas: Array | None, now: Array | None) -> None:
    """Advance a counter uint64 (1,) by one; now (2,) := betas before that step and at it, where there are any."""
    _launch("tick", np.dtype(np.float32), 1, 32, counter, betas, now)


def tilt(path: tuple[Array, Array, Array | None], now: Array, out: tuple[Array, Array, Array]) -> None:
    """out: biases (units,) at both temperatures in now (2,) and their difference, of a path (base, change, bend)."""
    units = len(path[0])
    _launch("tilt", out[0].dtype, -(-units // THREADS), THREADS, units, *path, now, *out)


def row_dot(state: Array, values: Array, total: Array) -> None:
    """total (rows,) += state (rows, units) @ values (units,), in float64."""
    _rows("row_dot", state, state, values, total)


def split(weight: Array, upward: Array, downward: Array) -> None:
    """Parts of 16 bits of weight (units, columns): upward (3 units, ...), downward (units, ...), see cuda.split."""
    _narrow("split", weight, upward, downward)


def thrice(state: Array, out: Array) -> None:
    """out (rows, at least 3 units) := state (rows, units) three times beside itself, in 16 bits."""
    _narrow("thrice", state, out)


def _narrow(entry: str, values: Array, *results: Array) -> None:
    """Launch over the elements of float32 values, giving the width of each result before it."""
    size, given = values.size, [x for result in results for x in (result.shape[1], result)]
    if size:
        _launch(entry, values.dtype, -(-size // THREADS), THREADS, size, values.shape[1], values, *given)


def _update(entry: str, arrays: tuple[Array, ...], *numbers: float) -> Any:
    """Launch over the elements of equal arrays; whether every new parameter is finite, as an array without axes."""
    parameter = arrays[0]
    if not parameter.size:
        return True
    bad = _cupy().zeros(1, np.int32)
    blocks = -(-parameter.size // THREADS)
    _launch(entry, parameter.dtype, blocks, THREADS, parameter.size, *arrays, *numbers, bad)
    return bad[0] == 0


def momentum_update(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    rate: float,
    momentum: float,
    nesterov: bool,
    l2: float,
    l1: float,
) -> bool:
    """Ascent step with momentum (Polyak 1964) or Nesterov's form (Sutskever et al. 2013); True if all stays finite."""
    return _update("momentum_update", (parameter, gradient, velocity), rate, momentum, nesterov, l2, l1)


def adam_update(
    parameter: Array,
    gradient: Array,
    moments: tuple[Array, Array],
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
    count: int,
    l2: float,
    l1: float,
) -> bool:
    """Ascent step of Adam (Kingma & Ba 2015, Algorithm 1), count from 1; True if all stays finite."""
    rate, correction = rate / (1 - betas[0] ** count), 1 / (1 - betas[1] ** count)
    weights = (betas[0], 1 - betas[0], betas[1], 1 - betas[1])
    return _update("adam_update", (parameter, gradient, *moments), rate, *weights, epsilon, correction, l2, l1)
