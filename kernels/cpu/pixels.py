"""Numba versions of masked convolutions over images: one image at a time, whose planes stay in the second-level cache.

A layer is a matrix whose rows have a place each: a plane and a shift, or the plane of ones that the bias multiplies.
A panel holds the sums of some outputs over two vectors of neighbouring pixels in registers, and passes all rows: one
load at the place of the row serves all outputs. The same panel goes back, with the matrix turned and the shifts turned
round, and draws, where neighbours are samples in place of pixels. Rows of pixels stand side by side with one border of
zeros between them; what a layer writes there is taken out by the plane of ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from boltz.kernels import reference_pixels as reference
from boltz.kernels.cpu import logistics
from boltz.kernels.cpu.bernoulli import FULL, ONE, ZERO, _draw, _exp32, _sigmoid
from boltz.kernels.cpu.dense import _repeat
from boltz.kernels.cpu.layers import _fall32, _softplus32, _tanh32
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import INT32, INT64, TILE, aligned, fused_vectors, kernel, load, registers, spread, store
from boltz.kernels.reference_pixels import Stack

LANES, REGISTERS = registers()
SPAN = 2 * LANES  # numbers of a panel, for each output
MANY, SOME = (12, 4) if REGISTERS > 16 else (6, 2)  # outputs of a panel
PLACES, WIDTH = (
    (4, 6) if REGISTERS > 16 else (2, 4)
)  # rows and outputs whose products with one another are summed at once
KINDS = ("tanh", "relu", "softplus", "elu")
VECTOR = ir.VectorType(ir.FloatType(), LANES)


def _panel(outputs: int) -> Any:
    """The intrinsic that adds the products of all rows of a matrix to two vectors of so many outputs.

    matrix rows are stride bytes apart, places are int64 bytes from source, sums are step bytes apart and taken as zero
    where they are fresh.
    """

    @intrinsic
    def add(
        context: Any, matrix: Any, stride: Any, places: Any, depth: Any, source: Any, sums: Any, step: Any, fresh: Any
    ) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            matrix, stride, places, depth, source, sums, step, fresh = arguments
            zero = VECTOR([0.0] * LANES)
            starts = [builder.add(sums, builder.mul(step, INT64(o))) for o in range(outputs)]
            targets = [(start, 4 * LANES * v) for start in starts for v in range(2)]
            held = [builder.select(fresh, zero, load(builder, *target, kind=VECTOR)) for target in targets]

            def row(k: Any, kept: list[Any]) -> list[Any]:
                place = load(builder, builder.add(places, builder.mul(k, INT64(8))), align=8, kind=INT64)
                weights = builder.add(matrix, builder.mul(k, stride))
                seen = [load(builder, builder.add(source, place), 4 * LANES * v, kind=VECTOR) for v in range(2)]
                new = []
                for o in range(outputs):
                    factor = spread(builder, load(builder, weights, 4 * o, kind=ir.FloatType()), LANES)
                    new += [fused_vectors(builder, factor, x, kept[2 * o + v]) for v, x in enumerate(seen)]
                return new

            for value, target in zip(_repeat(builder, depth, held, row), targets, strict=True):
                store(builder, value, *target)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7, types.boolean), codegen

    return add


def _dots(rows: int, outputs: int) -> Any:
    """The intrinsic that adds sums over pixels of what is seen times deltas to so many rows and outputs of a matrix."""

    @intrinsic
    def add(context: Any, places: Any, source: Any, delta: Any, step: Any, vectors: Any, out: Any, stride: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            places, source, delta, step, vectors, out, stride = arguments
            sources = [builder.add(source, load(builder, places, 8 * k, 8, INT64)) for k in range(rows)]
            deltas = [builder.add(delta, builder.mul(step, INT64(o))) for o in range(outputs)]
            held = [VECTOR([0.0] * LANES)] * (rows * outputs)

            def vector(i: Any, kept: list[Any]) -> list[Any]:
                moved = builder.mul(i, INT64(4 * LANES))
                seen, d = ([load(builder, builder.add(x, moved), kind=VECTOR) for x in y] for y in (sources, deltas))
                pairs = [(s, t) for s in seen for t in d]
                return [fused_vectors(builder, *pair, sums) for pair, sums in zip(pairs, kept, strict=True)]

            found = _repeat(builder, vectors, held, vector)
            for k in range(rows):
                row = builder.add(out, builder.mul(stride, INT64(k)))
                for o in range(outputs):
                    before = load(builder, row, 4 * o, kind=ir.FloatType())
                    store(builder, builder.fadd(before, _total(builder, found[k * outputs + o])), row, 4 * o)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), codegen

    return add


def _total(builder: Any, vector: Any) -> Any:
    """The sum of the numbers of a vector, halves first."""
    lanes = LANES // 2
    while lanes > 0:
        parts = [
            builder.shuffle_vector(
                vector, vector, ir.Constant(ir.VectorType(INT32, lanes), [first + i for i in range(lanes)])
            )
            for first in (0, lanes)
        ]
        vector, lanes = builder.fadd(*parts), lanes // 2
    return builder.extract_element(vector, INT32(0))


_many, _some, _single = (_panel(outputs) for outputs in (MANY, SOME, 1))
_wide, _narrow = _dots(PLACES, WIDTH), _dots(PLACES, 1)
_wide_row, _narrow_row = _dots(1, WIDTH), _dots(1, 1)


@kernel
def _apply(matrix, outputs, places, depth, source, sums, step, count, fresh):
    """A layer over count neighbours, a multiple of SPAN; all but numbers are addresses."""
    stride = 4 * outputs
    for first in range(0, count, SPAN):
        seen, o = source + 4 * first, 0
        while o < outputs:
            weights, target, left = matrix + 4 * o, sums + o * step + 4 * first, outputs - o
            if left >= MANY:
                _many(weights, stride, places, depth, seen, target, step, fresh)
                o += MANY
            elif left >= SOME:
                _some(weights, stride, places, depth, seen, target, step, fresh)
                o += SOME
            else:
                _single(weights, stride, places, depth, seen, target, step, fresh)
                o += 1


@kernel
def _slopes(places, depth, source, delta, outputs, step, count, out):
    """The derivative by a matrix, added to out."""
    stride, vectors, o = 4 * outputs, count // LANES, 0
    while o < outputs:
        wide = outputs - o >= WIDTH
        d, k = delta + o * step, 0
        while k < depth:
            several = depth - k >= PLACES
            here, target = places + 8 * k, out + k * stride + 4 * o
            if several and wide:
                _wide(here, source, d, step, vectors, target, stride)
            elif several:
                _narrow(here, source, d, step, vectors, target, stride)
            elif wide:
                _wide_row(here, source, d, step, vectors, target, stride)
            else:
                _narrow_row(here, source, d, step, vectors, target, stride)
            k += PLACES if several else 1
        o += WIDTH if wide else 1


@kernel
def _elu(x):
    """exp(x) - 1 below 0, to the rounding of 1."""
    return x if x > ZERO else _exp32(x) - ONE


@kernel
def _activate(kind, field, ones, out):
    """out := f(field) times ones."""
    if kind == 0:
        for j in range(len(out)):
            out[j] = _tanh32(field[j]) * ones[j]
    elif kind == 1:
        for j in range(len(out)):
            out[j] = (ZERO if field[j] < ZERO else field[j]) * ones[j]
    elif kind == 2:
        for j in range(len(out)):
            out[j] = _softplus32(field[j]) * ones[j]
    else:
        for j in range(len(out)):
            out[j] = _elu(field[j]) * ones[j]


@kernel
def _add_slope(kind, value, delta, ones, out):
    """out += the slope from the value, times delta and ones."""
    if kind == 0:
        for j in range(len(out)):
            out[j] += (ONE - value[j] * value[j]) * delta[j] * ones[j]
    elif kind == 1:
        for j in range(len(out)):
            out[j] += (ONE if value[j] > ZERO else ZERO) * delta[j] * ones[j]
    elif kind == 2:
        for j in range(len(out)):
            out[j] += _fall32(value[j]) * delta[j] * ones[j]
    else:
        for j in range(len(out)):
            out[j] += (ONE if value[j] > ZERO else ONE + value[j]) * delta[j] * ones[j]


class Plan(NamedTuple):
    """A stack as the kernels read it.

    sizes are height, width, row, lead, count, plane, maps, filters, the number of the activation, outputs, channels,
    levels and components. A row of pixels takes row places, and the first pixel stands lead places after the start.
    layers (matrices, 8) has of each the first
    of its places, the first of its numbers, rows with that of the bias, outputs, then for the way back planes, rows
    that are left out, the first of its places, rows. places are in bytes. steps are the residual layers.
    """

    sizes: Any
    layers: Any
    places: Any
    back: Any
    steps: Any


def _plan(stack: Stack, sizes: tuple[int, ...], place: Callable[[int, int, int, int], int]) -> Plan:
    """place(plane, down, right, planes) counts numbers from the pixel itself, in a layer of so many planes and ones."""
    layers, places, back, number = list[tuple[int, ...]](), list[int](), list[int](), 0
    found = stack.matrices
    for matrix in found:
        first = matrix.name == "first"
        planes, inputs = (stack.channels + stack.maps, stack.maps) if first else (stack.filters, stack.filters)
        skip = sum(plane < planes - inputs for plane, _, _ in matrix.taps)
        moved = dict.fromkeys((down, right) for _, down, right in matrix.taps[skip:])
        turned = [place(o, -down, -right, matrix.outputs) for down, right in moved for o in range(matrix.outputs)]
        layers.append((len(places), number, len(matrix.taps) + 1, matrix.outputs, inputs, skip, len(back), len(turned)))
        places += [place(*tap, planes) for tap in (*matrix.taps, (planes, 0, 0))]
        back += turned
        number += matrix.size
    names = [matrix.name for matrix in found]
    steps = [names.index(name) for name in stack.walk]
    mixture = stack.mixture or (1, 2, 0)
    kind = KINDS.index(stack.activation)
    sizes = (stack.height, stack.width, *sizes, stack.maps, stack.filters, kind, stack.outputs, *mixture)
    arrays = [
        np.array(sizes),
        np.array(layers),
        4 * np.array(places),
        4 * np.array(back, np.int64),
        np.array(steps, int),
    ]
    return Plan(*(x.astype(np.int64) for x in arrays))


@lru_cache
def _image_plan(stack: Stack) -> Plan:
    """Planes one after the other, of each its pixels side by side."""
    row = stack.width + stack.reach
    border = stack.reach * row + stack.reach
    lead, count = _rounded(border), _rounded(stack.height * row)
    plane = lead + count + _rounded(border)
    return _plan(stack, (row, lead, count, plane), lambda o, down, right, _: o * plane + down * row + right)


@lru_cache
def _draw_plan(stack: Stack) -> Plan:
    """Pixels one after the other, of each its planes, of each a tile of samples side by side."""
    row = stack.width + stack.reach
    border = stack.reach * row + stack.reach

    def place(plane: int, down: int, right: int, planes: int) -> int:
        return ((down * row + right) * (planes + 1) + plane) * TILE

    return _plan(stack, (row, border, border + stack.height * row + border, TILE), place)


def _rounded(number: int) -> int:
    return -(-number // TILE) * TILE


@kernel
def _spread_row(row, sizes, plane):
    """Put the pixels of a row into a plane, whose border stays as it is."""
    height, width, step, lead = sizes[0], sizes[1], sizes[2], sizes[3]
    for y in range(height):
        for x in range(width):
            plane[lead + y * step + x] = row[y * width + x]


@kernel
def _gather_row(plane, sizes, row):
    height, width, step, lead = sizes[0], sizes[1], sizes[2], sizes[3]
    for y in range(height):
        for x in range(width):
            row[y * width + x] = plane[lead + y * step + x]


@kernel
def _inputs(state, maps, bias, sizes, inputs, row):
    """Fill the planes that the first layer sees; row (maps * pixels) is room."""
    plane, pixels, channels = sizes[5], sizes[0] * sizes[1], sizes[10]
    for c in range(channels):
        _spread_row(state[c * pixels : (c + 1) * pixels], sizes, inputs[c * plane :])
    for j in range(len(bias)):
        row[j] = (maps[j] + bias[j]) if len(maps) else bias[j]
    for m in range(sizes[6]):
        _spread_row(row[m * pixels : (m + 1) * pixels], sizes, inputs[(channels + m) * plane :])


@kernel
def _forward(numbers, plan, inputs, h, seen, ones, last):
    """Pass an image through the layers; seen holds what each sees, one after the other where there is room for all."""
    sizes, layers, places, _, steps = plan
    lead, count, plane, filters, kind = sizes[3], sizes[4], sizes[5], sizes[7], sizes[8]
    w, p, target = numbers.ctypes.data, places.ctypes.data, h.ctypes.data + 4 * lead
    block = (filters + 1) * plane
    keep = len(seen) > block
    _apply(w, filters, p, layers[0, 2], inputs.ctypes.data + 4 * lead, target, 4 * plane, count, True)
    for s in range(len(steps) + 1):
        here = seen[s * block * keep : s * block * keep + block]
        for o in range(filters):
            first = o * plane + lead
            _activate(kind, h[first : first + count], ones, here[first : first + count])
        m = steps[s] if s < len(steps) else len(layers) - 1
        matrix, at, source = w + 4 * layers[m, 1], p + 8 * layers[m, 0], here.ctypes.data + 4 * lead
        if s < len(steps):
            _apply(matrix, filters, at, layers[m, 2], source, target, 4 * plane, count, False)
        else:
            _apply(matrix, sizes[9], at, layers[m, 2], source, last.ctypes.data + 4 * lead, 4 * plane, count, True)


@kernel
def _ready(sizes, blocks):
    """Planes of zeros: the inputs and so many blocks that layers see, each with ones within the image at its end."""
    lead, count, plane, planes = sizes[3], sizes[4], sizes[5], sizes[6] + sizes[10] + 1
    inputs, block = aligned(planes * plane), (sizes[7] + 1) * plane
    seen = aligned(blocks * block)
    pixels = np.ones(sizes[0] * sizes[1], np.float32)
    _spread_row(pixels, sizes, inputs[(planes - 1) * plane :])
    for b in range(blocks):
        _spread_row(pixels, sizes, seen[(b + 1) * block - plane :])
    first = (planes - 1) * plane + lead
    return inputs, seen, inputs[first : first + count], aligned(sizes[7] * plane), aligned(sizes[9] * plane)


@kernel
def _outputs(numbers, plan, state, repeat, maps, bias, out):
    inputs, seen, ones, h, last = _ready(plan[0], 1)
    row, pixels = np.empty(len(bias), np.float32), plan[0][0] * plan[0][1]
    for i in range(len(out)):
        _inputs(state[i // repeat], _row_of(maps, i), bias, plan[0], inputs, row)
        _forward(numbers, plan, inputs, h, seen, ones, last)
        for o in range(plan[0][9]):
            _gather_row(last[o * plan[0][5] :], plan[0], out[i, o * pixels : (o + 1) * pixels])


@kernel
def _row_of(x, i):
    """Row i, or nothing where there are no rows."""
    return x[i] if len(x) > 0 else np.empty(0, np.float32)


@kernel
def _turned(numbers, layers):
    """The matrices of the way back: of each shift and output, the numbers by plane."""
    found = np.empty(len(numbers), np.float32)
    for m in range(len(layers)):
        at, outputs, planes, skip, rows = layers[m, 1], layers[m, 3], layers[m, 4], layers[m, 5], layers[m, 7]
        for r in range(rows):
            shift, o = r // outputs, r % outputs
            for i in range(planes):
                found[at + r * planes + i] = numbers[at + (skip + shift * planes + i) * outputs + o]
    return found


@kernel
def _back(numbers, plan, state, repeat, maps, bias, delta, signal, gradient):
    sizes, layers, places, back, steps = plan
    lead, count, plane, filters, kind = sizes[3], sizes[4], sizes[5], sizes[7], sizes[8]
    inputs, seen, ones, h, last = _ready(sizes, len(steps) + 1)
    dh, change, block = aligned(filters * plane), aligned(max(filters, sizes[6]) * plane), (filters + 1) * plane
    turned, row, pixels = _turned(numbers, layers), np.empty(len(bias), np.float32), sizes[0] * sizes[1]
    step, skip = 4 * plane, 4 * lead
    for i in range(len(delta)):
        _inputs(state[i // repeat], _row_of(maps, i), bias, sizes, inputs, row)
        _forward(numbers, plan, inputs, h, seen, ones, last)
        p, q, t = places.ctypes.data, back.ctypes.data, turned.ctypes.data
        last[:] = ZERO
        dh[:] = ZERO
        for o in range(sizes[9]):
            _spread_row(delta[i, o * pixels : (o + 1) * pixels], sizes, last[o * plane :])
        own = _row_of(gradient, i)
        own[:] = ZERO
        for s in range(len(steps), -1, -1):
            m, here = (steps[s] if s < len(steps) else len(layers) - 1), seen[s * block : (s + 1) * block]
            d, outputs = (dh.ctypes.data, filters) if s < len(steps) else (last.ctypes.data, sizes[9])
            if len(own):
                target = own.ctypes.data + 4 * layers[m, 1]
                at = p + 8 * layers[m, 0]
                _slopes(at, layers[m, 2], here.ctypes.data + skip, d + skip, outputs, step, count, target)
            matrix, at = t + 4 * layers[m, 1], q + 8 * layers[m, 6]
            _apply(matrix, filters, at, layers[m, 7], d + skip, change.ctypes.data + skip, step, count, True)
            for o in range(filters):
                a, b = o * plane + lead, o * plane + lead + count
                _add_slope(kind, here[a:b], change[a:b], ones, dh[a:b])
        if len(own):
            source = inputs.ctypes.data + skip
            _slopes(p, layers[0, 2], source, dh.ctypes.data + skip, filters, step, count, own.ctypes.data)
        if len(signal):
            d = dh.ctypes.data + skip
            _apply(t, sizes[6], q, layers[0, 7], d, change.ctypes.data + skip, step, count, True)
            for m in range(sizes[6]):
                _gather_row(change[m * plane :], sizes, signal[i, m * pixels : (m + 1) * pixels])


@kernel
def _draw_room(sizes, blocks):
    """As _ready, for a tile of samples: inputs, what the layers see, sums of a pixel, its output, and ones."""
    count, planes, block = sizes[4], sizes[6] + sizes[10] + 1, (sizes[7] + 1) * TILE
    inputs, seen = aligned(count * planes * TILE), aligned(blocks * count * block)
    for n in range(count):
        for j in range(((n + 1) * planes - 1) * TILE, (n + 1) * planes * TILE):
            inputs[j] = ONE
    for n in range(blocks * count):
        for j in range((n + 1) * block - TILE, (n + 1) * block):
            seen[j] = ONE
    return inputs, seen, aligned(sizes[7] * TILE), aligned(sizes[9] * TILE), np.ones(sizes[7] * TILE, np.float32)


@kernel
def _draw_tile(numbers, plan, room, maps, bias, bits, state):
    """Draw the pixels of as many samples as a tile holds, or fewer."""
    sizes, layers, places, _, steps = plan
    inputs, seen, h, last, ones = room
    width, row, lead, count, filters = sizes[1], sizes[2], sizes[3], sizes[4], sizes[7]
    planes, block, pixels = (sizes[6] + sizes[10] + 1) * TILE, (filters + 1) * TILE, sizes[0] * sizes[1]
    channels, levels, components = sizes[10], sizes[11], sizes[12]
    values = np.empty(channels)
    w, p, full = numbers.ctypes.data, places.ctypes.data, np.float32(FULL)
    for pixel in range(pixels):
        at = (lead + pixel // width * row + pixel % width) * planes
        for m in range(sizes[6]):
            unit = m * pixels + pixel
            for j in range(len(state)):
                inputs[at + (channels + m) * TILE + j] = (maps[j, unit] + bias[unit]) if len(maps) else bias[unit]
    for pixel in range(pixels):
        n = lead + pixel // width * row + pixel % width
        source = inputs.ctypes.data + 4 * n * planes
        _apply(w, filters, p, layers[0, 2], source, h.ctypes.data, 4 * TILE, TILE, True)
        for s in range(len(steps) + 1):
            here = seen[(s * count + n) * block : (s * count + n) * block + filters * TILE]
            _activate(sizes[8], h, ones, here)
            m = steps[s] if s < len(steps) else len(layers) - 1
            matrix, at = w + 4 * layers[m, 1], p + 8 * layers[m, 0]
            if s < len(steps):
                target = h.ctypes.data
                _apply(matrix, filters, at, layers[m, 2], here.ctypes.data, target, 4 * TILE, TILE, False)
            else:
                _apply(matrix, sizes[9], at, layers[m, 2], here.ctypes.data, last.ctypes.data, 4 * TILE, TILE, True)
        drawn = inputs[n * planes : n * planes + channels * TILE]
        if components == 0:
            for j in range(TILE):
                drawn[j] = _draw(bits[j, pixel], _sigmoid(last[j]), full, ONE)
        else:
            for j in range(len(state)):
                own = bits[j, pixel * (1 + channels) : (pixel + 1) * (1 + channels)]
                logistics._drawn(last[j:], own, (channels, levels, components), TILE, values)
                for c in range(channels):
                    drawn[c * TILE + j] = values[c]
        for c in range(channels):
            for j in range(len(state)):
                state[j, c * pixels + pixel] = drawn[c * TILE + j]


@kernel
def _draws(numbers, plan, maps, bias, key0, key1, number, rows, state):
    room = _draw_room(plan[0], len(plan[4]) + 1)
    sizes = plan[0]
    width = len(scratch(sizes[0] * sizes[1] * (1 + sizes[10] if sizes[12] else 1)))
    bits = np.zeros((TILE, width), np.uint32)
    for first in range(0, len(state), TILE):
        end = min(first + TILE, len(state))
        for i in range(first, end):
            row_bits(key0, key1, np.uint64(rows[i]), number, bits[i - first])
        given = maps[first:end] if len(maps) else maps
        _draw_tile(numbers, plan, room, given, bias, bits, state[first:end])


def pixel_outputs(stack, numbers, state, maps, bias, out):
    if out.dtype == np.float32:
        _outputs(numbers, _image_plan(stack), state, len(out) // max(len(state), 1), maps, bias, out)
    else:
        reference.pixel_outputs(stack, numbers, state, maps, bias, out)


def pixel_back(stack, numbers, state, maps, bias, delta, signal, gradient):
    if delta.dtype == np.float32:
        repeat = len(delta) // max(len(state), 1)
        _back(numbers, _image_plan(stack), state, repeat, maps, bias, delta, signal, gradient)
    else:
        reference.pixel_back(stack, numbers, state, maps, bias, delta, signal, gradient)


def pixel_draw(stack, numbers, maps, bias, stream, rows, state):
    if state.dtype == np.float32:
        _draws(numbers, _draw_plan(stack), maps, bias, *words(stream), rows, state)
    else:
        reference.pixel_draw(stack, numbers, maps, bias, stream, rows, state)
