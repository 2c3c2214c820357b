"""Numpy versions of the kernels of convolutions over images, written for reading.

A convolution sees every place of an image, or with a stride of 2 every second one; a transposed one goes the other way,
from the smaller image to the larger. Its matrix has rows for each tap, a shift, and each plane of its input: so it is a
sum of products with shifted views. With a stride the larger image is taken apart into phases, of the size of the
smaller image, so that its views are shifted ones too. Images are planes side by side, with zeros around them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Tap(NamedTuple):
    """A place that is seen: the phase of the larger image (row, column), and rows down and columns to the right."""

    phase: tuple[int, int]
    down: int
    right: int


@dataclass(frozen=True)
class Convolution:
    """From inputs to outputs planes, between an image of height x width, the larger one, and one smaller by stride.

    A plain one has y[i, j] = sum of W x[stride i + u, stride j + v] over |u|, |v| <= size // 2; a transposed one adds
    W x[i, j] to each y[stride i + u, stride j + v].
    """

    inputs: int
    outputs: int
    height: int
    width: int
    stride: int = 1
    transposed: bool = False
    size: int = 3

    @property
    def turned(self) -> Convolution:
        """The one whose matrix is turned and that goes back: the way of derivatives by the inputs."""
        return replace(self, inputs=self.outputs, outputs=self.inputs, transposed=not self.transposed)

    @property
    def small(self) -> tuple[int, int]:
        """Height and width of the smaller image."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def before(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.small if self.transposed else (self.height, self.width)

    @property
    def after(self) -> tuple[int, int]:
        """Height and width of the output."""
        return (self.height, self.width) if self.transposed else self.small

    @property
    def numbers(self) -> tuple[int, int]:
        """Numbers of an image of the input and of the output."""
        (a, b), (c, d) = self.before, self.after
        return self.inputs * a * b, self.outputs * c * d

    @cached_property
    def taps(self) -> tuple[Tap, ...]:
        """The live taps: those that see a place of the image from some other. Those of a phase are together."""
        reach = self.size // 2
        down, right = ([u for u in range(-reach, reach + 1) if abs(u) < n] for n in (self.height, self.width))
        s = self.stride
        return tuple(sorted(Tap((u % s, v % s), u // s, v // s) for u in down for v in right))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix; row t * inputs + c is tap t at plane c."""
        return len(self.taps) * self.inputs, self.outputs

    def turn(self, matrix: Array) -> Array:
        """The matrix of `turned`."""
        parts = matrix.reshape(len(self.taps), self.inputs, self.outputs)
        return np.ascontiguousarray(parts.transpose(0, 2, 1)).reshape(-1, self.inputs)


def _views(conv: Convolution, tap: Tap, large: Array, small: Array) -> tuple[Array, Array]:
    """What a tap joins, as views of the images (rows, planes, height, width): of the larger and of the smaller one."""
    found = []
    for axis, (phase, shift) in enumerate(zip(tap.phase, tap[1:], strict=True)):
        whole, part, s = large.shape[axis + 2], small.shape[axis + 2], conv.stride
        count = -(-(whole - phase) // s)  # places of the phase
        first, last = max(0, -shift), min(part, count - shift)  # of the smaller image, whose view is inside the phase
        found.append((slice(phase + s * (first + shift), phase + s * (last + shift - 1) + 1, s), slice(first, last)))
    (a, c), (b, d) = found
    return large[:, :, a, b], small[:, :, c, d]


def _images(conv: Convolution, x: Array, out: Array) -> tuple[Array, Array]:
    """Rows of inputs and of outputs as images (rows, planes, height, width)."""
    return x.reshape(len(x), conv.inputs, *conv.before), out.reshape(len(out), conv.outputs, *conv.after)


def convolve(conv: Convolution, matrix: Array, x: Array, add: bool, out: Array) -> None:
    """out (rows, outputs) := the convolution of images x (rows, inputs), in planes; add keeps what it held."""
    if not add:
        out[...] = 0
    seen, made = _images(conv, x, out)
    for tap, weights in zip(conv.taps, matrix.reshape(len(conv.taps), conv.inputs, conv.outputs), strict=True):
        if conv.transposed:
            to, source = _views(conv, tap, made, seen)
        else:
            source, to = _views(conv, tap, seen, made)
        to += np.einsum("rcij,co->roij", source, weights)


def slopes(conv: Convolution, x: Array, delta: Array, out: Array) -> None:
    """out := the derivative by the matrix, summed over rows, from that by the outputs, delta (rows, outputs)."""
    seen, made = _images(conv, x, delta)
    for tap, row in zip(conv.taps, out.reshape(len(conv.taps), conv.inputs, conv.outputs), strict=True):
        if conv.transposed:
            d, source = _views(conv, tap, made, seen)
        else:
            source, d = _views(conv, tap, seen, made)
        row[...] = np.einsum("rcij,roij->co", source, d)
