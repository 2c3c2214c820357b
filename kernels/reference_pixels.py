"""Numpy versions of the kernels of masked convolutions over images, written for reading.

A stack of layers gives one number a pixel from the pixels before it, in the order of rows, and from maps of the whole
image. Every layer is one matrix: each of its rows is a plane of the layer below and a shift, and the last row is the
bias. So a convolution is a sum of products with shifted views, dead taps do not exist, and a layer of 1 x 1 is one
without shifts. An image is planes (channels, height, width), with a border of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.reference import DRAW_BITS, Stream, activate, bits_of, slope
from boltz.kernels.reference_logistics import Mixture, logistic_draw

Array = NDArray[Any]
Tap = tuple[int, int, int]  # plane, rows down, columns to the right


class Matrix(NamedTuple):
    """A layer: its name, a tap for each row of its matrix but the last, which is the bias, and its outputs."""

    name: str
    taps: tuple[Tap, ...]
    outputs: int

    @property
    def size(self) -> int:
        """Numbers of the matrix with its bias."""
        return (len(self.taps) + 1) * self.outputs


def shifts(reach: int, itself: bool) -> list[tuple[int, int]]:
    """The live taps of a mask: rows above, pixels to the left, and perhaps the pixel itself."""
    across = range(-reach, reach + 1)
    above = [(down, right) for down in range(-reach, 0) for right in across]
    return above + [(0, right) for right in range(-reach, 0)] + [(0, 0)] * itself


@dataclass(frozen=True, eq=False)
class Stack:
    """The layers: one of all taps of the maps and the live ones of the image, then residual ones, then the outputs.

    layers counts those with masked taps, each of which sees reach rows above and pixels to the left. The first does not
    see the pixel itself. The others and, after every second layer, one of 1 x 1 add f(h) W + b to h.
    """

    height: int
    width: int
    maps: int
    filters: int
    layers: int
    reach: int
    tied: bool
    activation: str
    mixture: Mixture | None = None

    @property
    def channels(self) -> int:
        """Planes of the image."""
        return 1 if self.mixture is None else self.mixture.channels

    @property
    def outputs(self) -> int:
        """Outputs of a pixel: a logit, or those of a mixture."""
        return 1 if self.mixture is None else self.mixture.outputs

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices in the order of the parameters; tied layers share one."""
        across, planes = range(-self.reach, self.reach + 1), range(self.filters)
        live = shifts(self.reach, False) if self.layers > 0 else []
        image = [(c, *shift) for shift in live for c in range(self.channels)]
        maps = [(self.channels + m, down, right) for down in across for right in across for m in range(self.maps)]
        masked = tuple((i, *shift) for shift in shifts(self.reach, True) for i in planes)
        single = tuple((i, 0, 0) for i in planes)
        residual = [
            Matrix(name, masked if name.startswith("masked") else single, self.filters)
            for name in dict.fromkeys(self.walk)
        ]
        return Matrix("first", tuple(image + maps), self.filters), *residual, Matrix("last", single, self.outputs)

    @cached_property
    def walk(self) -> tuple[str, ...]:
        """The residual layers in the order in which an image passes them."""
        found = []
        for layer in range(2, self.layers + 1):
            found.append("masked" if self.tied else f"masked{layer}")
            if layer % 2 == 0:
                found.append(f"pixel{layer}")
        return tuple(found)

    @cached_property
    def taps(self) -> dict[str, tuple[Tap, ...]]:
        """The taps of each matrix by its name."""
        return {matrix.name: matrix.taps for matrix in self.matrices}

    @cached_property
    def size(self) -> int:
        """Numbers of all matrices."""
        return sum(matrix.size for matrix in self.matrices)


def split(stack: Stack, numbers: Array) -> dict[str, Array]:
    """The matrices (taps + 1, outputs) by name, as views into a flat array that holds them in order."""
    found, start = {}, 0
    for matrix in stack.matrices:
        found[matrix.name] = numbers[start : start + matrix.size].reshape(-1, matrix.outputs)
        start += matrix.size
    return found


def _padded(stack: Stack, planes: Array) -> Array:
    """Planes with a border of zeros."""
    border = stack.reach
    return np.pad(planes, ((0, 0), (border, border), (border, border)))


def _view(stack: Stack, planes: Array, tap: Tap) -> Array:
    """The plane of a tap as the pixels see it, (height, width)."""
    plane, down, right = tap
    top, left = stack.reach + down, stack.reach + right
    return planes[plane, top : top + stack.height, left : left + stack.width]


def layer(stack: Stack, planes: Array, taps: tuple[Tap, ...], matrix: Array) -> Array:
    """A layer of an image, (outputs, height, width), from padded planes."""
    out = np.empty((matrix.shape[1], stack.height, stack.width), matrix.dtype)
    out[...] = matrix[-1][:, None, None]
    for tap, weights in zip(taps, matrix, strict=False):
        out += weights[:, None, None] * _view(stack, planes, tap)
    return out


def _back(stack: Stack, delta: Array, taps: tuple[Tap, ...], matrix: Array, planes: int) -> Array:
    """The derivative by the planes below, (planes, height, width), from that by the outputs."""
    below = np.zeros((planes, *(n + 2 * stack.reach for n in delta.shape[1:])), delta.dtype)
    for tap, weights in zip(taps, matrix, strict=False):
        _view(stack, below, tap)[...] += np.tensordot(weights, delta, 1)
    inner = slice(stack.reach, -stack.reach)
    return below[:, inner, inner]


def _slopes(stack: Stack, planes: Array, taps: tuple[Tap, ...], delta: Array, out: Array) -> None:
    """out (taps + 1, outputs) += the derivative by the matrix."""
    for tap, row in zip(taps, out, strict=False):
        row += np.sum(delta * _view(stack, planes, tap), axis=(1, 2))
    out[-1] += delta.sum(axis=(1, 2))


def active(stack: Stack, planes: Array) -> Array:
    """f of planes, padded."""
    value = planes.reshape(len(planes), -1).copy()
    activate(stack.activation, value, np.zeros_like(value[0]))
    return _padded(stack, value.reshape(planes.shape))


def inputs_of(stack: Stack, image: Array, maps: Array, bias: Array) -> Array:
    """The padded planes that the first layer sees: the image, and the maps with their bias."""
    shape = (-1, stack.height, stack.width)
    drawn = (maps + bias).astype(image.dtype).reshape(stack.maps, *shape[1:])
    return _padded(stack, np.concatenate([image.reshape(shape), drawn]))


def _values(stack: Stack, weights: dict[str, Array], inputs: Array) -> Iterator[Array]:
    """The padded planes that each layer after the first sees."""
    taps = stack.taps
    h = layer(stack, inputs, taps["first"], weights["first"])
    for name in stack.walk:
        seen = active(stack, h)
        yield seen
        h += layer(stack, seen, taps[name], weights[name])
    yield active(stack, h)


def _given(maps: Array, bias: Array, i: int) -> Array:
    """Row i of the maps, which are zero where none are given."""
    return maps[i] if len(maps) else np.zeros_like(bias)


def pixel_outputs(stack: Stack, numbers: Array, state: Array, maps: Array, bias: Array, out: Array) -> None:
    """out (rows, outputs * pixels) := the outputs for each pixel of each image, from those before it and from the maps.

    numbers (flat) hold the matrices. state (images, channels * pixels) may have fewer rows: each then stands for as
    many consecutive rows. Channels and outputs are planes side by side. So are maps (rows, maps * pixels), which gain
    bias; without rows they are the bias.
    """
    weights, last = split(stack, numbers), stack.matrices[-1]
    repeat = len(out) // max(len(state), 1)
    for i in range(len(out)):
        inputs = inputs_of(stack, state[i // repeat], _given(maps, bias, i), bias)
        *_, seen = _values(stack, weights, inputs)
        out[i] = layer(stack, seen, last.taps, weights["last"]).ravel()


def pixel_back(
    stack: Stack,
    numbers: Array,
    state: Array,
    maps: Array,
    bias: Array,
    delta: Array,
    signal: Array,
    gradient: Array,
) -> None:
    """signal (rows, maps * pixels) and gradient (rows, numbers) := derivatives from those by the outputs, delta.

    Either may have no rows and is then left out. The values are found once more, so that none wait in memory.
    """
    weights, taps = split(stack, numbers), stack.taps
    repeat = len(delta) // max(len(state), 1)
    for i in range(len(delta)):
        inputs = inputs_of(stack, state[i // repeat], _given(maps, bias, i), bias)
        slopes = split(stack, np.zeros_like(numbers))
        d = delta[i].reshape(-1, stack.height, stack.width)
        found = list(_values(stack, weights, inputs))
        dh = np.zeros((stack.filters, stack.height, stack.width), delta.dtype)
        for name, seen in zip(("last", *reversed(stack.walk)), reversed(found), strict=True):
            _slopes(stack, seen, taps[name], d, slopes[name])
            change = _back(stack, d, taps[name], weights[name], stack.filters)
            inner = slice(stack.reach, -stack.reach)
            slope(stack.activation, seen[:, inner, inner], change)
            dh += change
            d = dh
        _slopes(stack, inputs, taps["first"], dh, slopes["first"])
        if len(gradient):
            gradient[i] = np.concatenate([slopes[matrix.name].ravel() for matrix in stack.matrices])
        if len(signal):
            below = _back(stack, dh, taps["first"], weights["first"], stack.channels + stack.maps)
            signal[i] = below[stack.channels :].ravel()


def pixel_draw(
    stack: Stack, numbers: Array, maps: Array, bias: Array, stream: Stream, rows: NDArray[np.int64], state: Array
) -> None:
    """Draw pixels (rows, channels * pixels), one after the other: each finds its own column of every layer, no other.

    A pixel takes the random bits of its number, or of a mixture of 1 + channels numbers; rows (rows,) names each row's
    chain.
    """
    weights, taps, channels = split(stack, numbers), stack.taps, stack.channels
    border, pixels, words = stack.reach, stack.height * stack.width, 1 if stack.mixture is None else 1 + channels
    bits = bits_of(stream, rows, pixels * words).reshape(len(rows), pixels, words)
    empty = np.zeros(state.shape[1], state.dtype)
    given = np.stack([inputs_of(stack, empty, _given(maps, bias, i), bias) for i in range(len(state))])
    kept = np.zeros((len(stack.walk) + 1, len(state), stack.filters, *given.shape[2:]), state.dtype)
    for pixel in range(pixels):
        y, x = border + pixel // stack.width, border + pixel % stack.width

        def column(planes: Array, name: str, y: int = y, x: int = x) -> Array:
            """(rows, outputs), summed in the order of the taps, so that no row depends on another."""
            matrix = weights[name]
            found = np.repeat(matrix[-1:], len(planes), axis=0)
            for (plane, down, right), w in zip(taps[name], matrix, strict=False):
                found += planes[:, plane, y + down, x + right, None] * w
            return found

        h = column(given, "first")
        for seen, name in zip(kept, (*stack.walk, "last"), strict=True):
            value = h.copy()
            activate(stack.activation, value, np.zeros_like(value[0]))
            seen[:, :, y, x] = value
            found = column(seen, name)
            h = found if name == "last" else h + found
        drawn = _drawn(stack, h, bits[:, pixel])
        given[:, :channels, y, x] = drawn
        state[:, pixel::pixels] = drawn


def _drawn(stack: Stack, outputs: Array, bits: NDArray[np.uint32]) -> Array:
    """Values (rows, channels) of a pixel from its outputs and random bits (rows, words)."""
    if stack.mixture is not None:
        return logistic_draw(outputs, (bits + 0.5) * 2.0**-32, stack.mixture)
    mean = 1 / (1 + np.exp(-outputs))
    threshold = np.nan_to_num(mean * mean.dtype.type(2**DRAW_BITS)).astype(np.int64)
    return ((bits >> np.uint32(32 - DRAW_BITS)).astype(np.int64) < threshold) + (mean - mean)
