"""Numba versions of convolutions over images: one image at a time, whose planes stay in the second-level cache.

Planes are those of the smaller image; a larger one has a plane for each phase. Rows of pixels stand side by side with
one border of zeros between them. What a convolution writes into the border is not read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from boltz.kernels import reference_convolutions as reference
from boltz.kernels.cpu.bernoulli import ZERO
from boltz.kernels.cpu.panels import SPAN, add_slopes, apply
from boltz.kernels.cpu.vectors import aligned, kernel
from boltz.kernels.reference_convolutions import Convolution

IMAGES = 8  # whose slopes are summed at once, since a sum over few places costs more for its end than for its places


class Side(NamedTuple):
    """An image as the kernels read it: planes of height x width, each in phases of every stride-th row and column."""

    planes: int
    height: int
    width: int
    stride: int


class Sizes(NamedTuple):
    """A row of pixels takes row places, the first pixel stands lead places after the start of its plane of so many
    places, and outputs are found at count places. Images that stand side by side in the planes are step places apart.
    """

    row: int
    lead: int
    count: int
    plane: int
    step: int


class Plan(NamedTuple):
    """A convolution as the kernels read it: places are in bytes, and groups have of each phase of the output its
    number, the first row of the matrix and the number of rows.
    """

    seen: Side
    made: Side
    sizes: Sizes
    places: Any
    groups: Any


class Plans(NamedTuple):
    """The plan for an image alone, and that for several side by side."""

    alone: Plan
    several: Plan


@lru_cache
def _plans(conv: Convolution) -> Plans:
    return Plans(_plan(conv, 1), _plan(conv, IMAGES))


def _plan(conv: Convolution, images: int) -> Plan:
    reach = max(max(abs(tap.down), abs(tap.right)) for tap in conv.taps)
    (height, width), s = conv.small, conv.stride
    row = width + reach
    border = _rounded(reach * row + reach)
    count = _rounded(height * row)
    step = border + count + border
    plane = images * step
    strides = (1, s) if conv.transposed else (s, 1)
    places, groups = list[int](), dict[int, list[int]]()
    for t, (phase, down, right) in enumerate(conv.taps):
        number = phase[0] * s + phase[1]
        shift = down * row + right
        first, moved = (0, -shift) if conv.transposed else (number * conv.inputs, shift)
        places += [4 * ((first + c) * plane + moved) for c in range(conv.inputs)]
        groups.setdefault(number if conv.transposed else 0, []).append(t)
    rows = [(phase, taps[0] * conv.inputs, len(taps) * conv.inputs) for phase, taps in groups.items()]
    return Plan(
        Side(conv.inputs, *conv.before, strides[0]),
        Side(conv.outputs, *conv.after, strides[1]),
        Sizes(row, border, count, plane, step),
        np.array(places, np.int64),
        np.array(rows, np.int64),
    )


def _rounded(number: int) -> int:
    return -(-number // SPAN) * SPAN


@kernel
def _spread(image, side, sizes, planes):
    """Put an image into planes, phase by phase, whose borders stay as they are."""
    planes_of, height, width, s = side
    row, lead, plane = sizes.row, sizes.lead, sizes.plane
    for a in range(s):
        for b in range(s):
            for c in range(planes_of):
                to = ((a * s + b) * planes_of + c) * plane + lead
                for y in range(a, height, s):
                    source, target = (c * height + y) * width + b, to + y // s * row
                    for x in range((width - b + s - 1) // s):
                        planes[target + x] = image[source + s * x]


@kernel
def _gather(planes, side, sizes, add, image):
    """The image that planes hold, or its sum with what there was."""
    planes_of, height, width, s = side
    row, lead, plane = sizes.row, sizes.lead, sizes.plane
    for a in range(s):
        for b in range(s):
            for c in range(planes_of):
                first = ((a * s + b) * planes_of + c) * plane + lead
                for y in range(a, height, s):
                    target, source = (c * height + y) * width + b, first + y // s * row
                    for x in range((width - b + s - 1) // s):
                        before = image[target + s * x] if add else ZERO
                        image[target + s * x] = before + planes[source + x]


@kernel
def _room(side, sizes):
    return aligned(side.planes * side.stride * side.stride * sizes.plane)


@kernel
def _convolve(plan, matrix, x, add, out):
    seen, made, sizes, places, groups = plan
    source, target, outputs, skip = _room(seen, sizes), _room(made, sizes), made.planes, 4 * sizes.lead
    for i in range(len(x)):
        _spread(x[i], seen, sizes, source)
        for g in range(len(groups)):
            phase, first, rows = groups[g]
            weights, at = matrix.ctypes.data + 4 * first * outputs, places.ctypes.data + 8 * first
            to = target.ctypes.data + 4 * phase * outputs * sizes.plane + skip
            apply(weights, outputs, at, rows, source.ctypes.data + skip, to, 4 * sizes.plane, sizes.count, True)
        _gather(target, made, sizes, add, out[i])


@kernel
def _slopes(plan, x, delta, out):
    seen, made, sizes, places, groups = plan
    source, d, outputs, skip = _room(seen, sizes), _room(made, sizes), made.planes, 4 * sizes.lead
    out[:] = ZERO
    for start in range(0, len(x), IMAGES):
        images = min(IMAGES, len(x) - start)
        count = (images - 1) * sizes.step + sizes.count
        for i in range(images):
            _spread(x[start + i], seen, sizes, source[i * sizes.step :])
            _spread(delta[start + i], made, sizes, d[i * sizes.step :])
        for g in range(len(groups)):
            phase, first, rows = groups[g]
            at, to = places.ctypes.data + 8 * first, out.ctypes.data + 4 * first * outputs
            by = d.ctypes.data + 4 * phase * outputs * sizes.plane + skip
            add_slopes(at, rows, source.ctypes.data + skip, by, outputs, 4 * sizes.plane, count, to)


def convolve(conv, matrix, x, add, out):
    if out.dtype == np.float32:
        _convolve(_plans(conv).alone, np.ascontiguousarray(matrix), x, add, out)
    else:
        reference.convolve(conv, matrix, x, add, out)


def slopes(conv, x, delta, out):
    if out.dtype == np.float32:
        _slopes(_plans(conv).several, x, delta, out.reshape(-1))
    else:
        reference.slopes(conv, x, delta, out)
