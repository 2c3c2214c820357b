"""Numba versions of masked convolutions over images: one image at a time, whose planes stay in the second-level cache.

A layer is a matrix whose rows have a place each: a plane and a shift, or the plane of ones that the bias multiplies.
The same panels go back, with the matrix turned and the shifts turned round, and draw, where neighbours are samples in
place of pixels. Rows of pixels stand side by side with one border of zeros between them; what a layer writes there is
taken out by the plane of ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from boltz.kernels import reference_pixels as reference
from boltz.kernels.cpu import logistics
from boltz.kernels.cpu.bernoulli import FULL, ONE, ZERO, _draw, _sigmoid
from boltz.kernels.cpu.panels import KINDS, activate_planes, add_planes, add_slopes, apply
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import TILE, aligned, kernel
from boltz.kernels.reference_pixels import Stack


class Sizes(NamedTuple):
    """Sizes of a stack as the kernels read it.

    A row of pixels takes row places, and the first pixel stands lead places after the start of its plane, which has
    plane places. Layers are found at count places. kind is the number of the activation; without a mixture, components
    is 0.
    """

    height: int
    width: int
    row: int
    lead: int
    count: int
    plane: int
    maps: int
    filters: int
    kind: int
    outputs: int
    channels: int
    levels: int
    components: int


PLACE, NUMBER, ROWS, OUTPUTS, PLANES, SKIPPED, BACK, TURNED = range(8)  # columns of what a plan says of a matrix


class Plan(NamedTuple):
    """A stack as the kernels read it.

    layers (matrices, 8) has of each the first of its places and of its numbers, its rows with that of the bias, its
    outputs; then for the way back planes, rows that are left out, the first of its places and their number. places are
    in bytes. steps are the residual layers.
    """

    sizes: Sizes
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
    outer = (stack.maps, stack.filters, KINDS.index(stack.activation), stack.outputs, *(stack.mixture or (1, 2, 0)))
    arrays = (np.array(layers), 4 * np.array(places), 4 * np.array(back), np.array(steps))
    return Plan(Sizes(stack.height, stack.width, *sizes, *outer), *(x.astype(np.int64) for x in arrays))


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
    height, width, step, lead = sizes.height, sizes.width, sizes.row, sizes.lead
    for y in range(height):
        for x in range(width):
            plane[lead + y * step + x] = row[y * width + x]


@kernel
def _gather_row(plane, sizes, row):
    height, width, step, lead = sizes.height, sizes.width, sizes.row, sizes.lead
    for y in range(height):
        for x in range(width):
            row[y * width + x] = plane[lead + y * step + x]


@kernel
def _inputs(state, maps, bias, sizes, inputs, row):
    """Fill the planes that the first layer sees; row (maps * pixels) is room."""
    plane, pixels, channels = sizes.plane, sizes.height * sizes.width, sizes.channels
    for c in range(channels):
        _spread_row(state[c * pixels : (c + 1) * pixels], sizes, inputs[c * plane :])
    for j in range(len(bias)):
        row[j] = (maps[j] + bias[j]) if len(maps) else bias[j]
    for m in range(sizes.maps):
        _spread_row(row[m * pixels : (m + 1) * pixels], sizes, inputs[(channels + m) * plane :])


@kernel
def _forward(numbers, plan, inputs, h, seen, ones, last):
    """Pass an image through the layers; seen holds what each sees, one after the other where there is room for all."""
    sizes, layers, places, _, steps = plan
    lead, count, plane, filters, kind = sizes.lead, sizes.count, sizes.plane, sizes.filters, sizes.kind
    w, p, target = numbers.ctypes.data, places.ctypes.data, h.ctypes.data + 4 * lead
    block = (filters + 1) * plane
    keep = len(seen) > block
    apply(w, filters, p, layers[0, ROWS], inputs.ctypes.data + 4 * lead, target, 4 * plane, count, True)
    for s in range(len(steps) + 1):
        here = seen[s * block * keep : s * block * keep + block]
        for o in range(filters):
            first = o * plane + lead
            activate_planes(kind, h[first : first + count], ones, here[first : first + count])
        m = steps[s] if s < len(steps) else len(layers) - 1
        matrix, at, source = w + 4 * layers[m, NUMBER], p + 8 * layers[m, PLACE], here.ctypes.data + 4 * lead
        if s < len(steps):
            apply(matrix, filters, at, layers[m, ROWS], source, target, 4 * plane, count, False)
        else:
            apply(
                matrix, sizes.outputs, at, layers[m, ROWS], source, last.ctypes.data + 4 * lead, 4 * plane, count, True
            )


@kernel
def _ready(sizes, blocks):
    """Planes of zeros: the inputs and so many blocks that layers see, each with ones within the image at its end."""
    lead, count, plane, planes = sizes.lead, sizes.count, sizes.plane, sizes.maps + sizes.channels + 1
    inputs, block = aligned(planes * plane), (sizes.filters + 1) * plane
    seen = aligned(blocks * block)
    pixels = np.ones(sizes.height * sizes.width, np.float32)
    _spread_row(pixels, sizes, inputs[(planes - 1) * plane :])
    for b in range(blocks):
        _spread_row(pixels, sizes, seen[(b + 1) * block - plane :])
    first = (planes - 1) * plane + lead
    return inputs, seen, inputs[first : first + count], aligned(sizes.filters * plane), aligned(sizes.outputs * plane)


@kernel
def _outputs(numbers, plan, state, repeat, maps, bias, out):
    inputs, seen, ones, h, last = _ready(plan.sizes, 1)
    row, pixels = np.empty(len(bias), np.float32), plan.sizes.height * plan.sizes.width
    for i in range(len(out)):
        _inputs(state[i // repeat], _row_of(maps, i), bias, plan.sizes, inputs, row)
        _forward(numbers, plan, inputs, h, seen, ones, last)
        for o in range(plan.sizes.outputs):
            _gather_row(last[o * plan.sizes.plane :], plan.sizes, out[i, o * pixels : (o + 1) * pixels])


@kernel
def _row_of(x, i):
    """Row i, or nothing where there are no rows."""
    return x[i] if len(x) > 0 else np.empty(0, np.float32)


@kernel
def _turned(numbers, layers):
    """The matrices of the way back: of each shift and output, the numbers by plane."""
    found = np.empty(len(numbers), np.float32)
    for m in range(len(layers)):
        at, outputs, planes, skip, rows = (
            layers[m, NUMBER],
            layers[m, OUTPUTS],
            layers[m, PLANES],
            layers[m, SKIPPED],
            layers[m, TURNED],
        )
        for r in range(rows):
            shift, o = r // outputs, r % outputs
            for i in range(planes):
                found[at + r * planes + i] = numbers[at + (skip + shift * planes + i) * outputs + o]
    return found


@kernel
def _back(numbers, plan, state, repeat, maps, bias, delta, signal, gradient):
    sizes, layers, places, back, steps = plan
    lead, count, plane, filters, kind = sizes.lead, sizes.count, sizes.plane, sizes.filters, sizes.kind
    inputs, seen, ones, h, last = _ready(sizes, len(steps) + 1)
    dh, change, block = aligned(filters * plane), aligned(max(filters, sizes.maps) * plane), (filters + 1) * plane
    turned, row, pixels = _turned(numbers, layers), np.empty(len(bias), np.float32), sizes.height * sizes.width
    step, skip = 4 * plane, 4 * lead
    for i in range(len(delta)):
        _inputs(state[i // repeat], _row_of(maps, i), bias, sizes, inputs, row)
        _forward(numbers, plan, inputs, h, seen, ones, last)
        p, q, t = places.ctypes.data, back.ctypes.data, turned.ctypes.data
        last[:] = ZERO
        dh[:] = ZERO
        for o in range(sizes.outputs):
            _spread_row(delta[i, o * pixels : (o + 1) * pixels], sizes, last[o * plane :])
        own = _row_of(gradient, i)
        own[:] = ZERO
        for s in range(len(steps), -1, -1):
            m, here = (steps[s] if s < len(steps) else len(layers) - 1), seen[s * block : (s + 1) * block]
            d, outputs = (dh.ctypes.data, filters) if s < len(steps) else (last.ctypes.data, sizes.outputs)
            if len(own):
                target = own.ctypes.data + 4 * layers[m, NUMBER]
                at = p + 8 * layers[m, PLACE]
                add_slopes(at, layers[m, ROWS], here.ctypes.data + skip, d + skip, outputs, step, count, target)
            matrix, at = t + 4 * layers[m, NUMBER], q + 8 * layers[m, BACK]
            apply(matrix, filters, at, layers[m, TURNED], d + skip, change.ctypes.data + skip, step, count, True)
            for o in range(filters):
                a, b = o * plane + lead, o * plane + lead + count
                add_planes(kind, here[a:b], change[a:b], ones, dh[a:b])
        if len(own):
            source = inputs.ctypes.data + skip
            add_slopes(p, layers[0, ROWS], source, dh.ctypes.data + skip, filters, step, count, own.ctypes.data)
        if len(signal):
            d = dh.ctypes.data + skip
            apply(t, sizes.maps, q, layers[0, TURNED], d, change.ctypes.data + skip, step, count, True)
            for m in range(sizes.maps):
                _gather_row(change[m * plane :], sizes, signal[i, m * pixels : (m + 1) * pixels])


@kernel
def _draw_room(sizes, blocks):
    """As _ready, for a tile of samples: inputs, what the layers see, sums of a pixel, its output, and ones."""
    count, planes, block = sizes.count, sizes.maps + sizes.channels + 1, (sizes.filters + 1) * TILE
    inputs, seen = aligned(count * planes * TILE), aligned(blocks * count * block)
    for n in range(count):
        for j in range(((n + 1) * planes - 1) * TILE, (n + 1) * planes * TILE):
            inputs[j] = ONE
    for n in range(blocks * count):
        for j in range((n + 1) * block - TILE, (n + 1) * block):
            seen[j] = ONE
    return (
        inputs,
        seen,
        aligned(sizes.filters * TILE),
        aligned(sizes.outputs * TILE),
        np.ones(sizes.filters * TILE, np.float32),
    )


@kernel
def _draw_tile(numbers, plan, room, maps, bias, bits, state):
    """Draw the pixels of as many samples as a tile holds, or fewer."""
    sizes, layers, places, _, steps = plan
    inputs, seen, h, last, ones = room
    width, row, lead, count, filters = sizes.width, sizes.row, sizes.lead, sizes.count, sizes.filters
    planes, block, pixels = (sizes.maps + sizes.channels + 1) * TILE, (filters + 1) * TILE, sizes.height * sizes.width
    channels, levels, components = sizes.channels, sizes.levels, sizes.components
    values = np.empty(channels)
    w, p, full = numbers.ctypes.data, places.ctypes.data, np.float32(FULL)
    for pixel in range(pixels):
        at = (lead + pixel // width * row + pixel % width) * planes
        for m in range(sizes.maps):
            unit = m * pixels + pixel
            for j in range(len(state)):
                inputs[at + (channels + m) * TILE + j] = (maps[j, unit] + bias[unit]) if len(maps) else bias[unit]
    for pixel in range(pixels):
        n = lead + pixel // width * row + pixel % width
        source = inputs.ctypes.data + 4 * n * planes
        apply(w, filters, p, layers[0, ROWS], source, h.ctypes.data, 4 * TILE, TILE, True)
        for s in range(len(steps) + 1):
            here = seen[(s * count + n) * block : (s * count + n) * block + filters * TILE]
            activate_planes(sizes.kind, h, ones, here)
            m = steps[s] if s < len(steps) else len(layers) - 1
            matrix, at = w + 4 * layers[m, NUMBER], p + 8 * layers[m, PLACE]
            if s < len(steps):
                target = h.ctypes.data
                apply(matrix, filters, at, layers[m, ROWS], here.ctypes.data, target, 4 * TILE, TILE, False)
            else:
                apply(
                    matrix, sizes.outputs, at, layers[m, ROWS], here.ctypes.data, last.ctypes.data, 4 * TILE, TILE, True
                )
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
    sizes, room = plan.sizes, _draw_room(plan.sizes, len(plan.steps) + 1)
    width = len(scratch(sizes.height * sizes.width * (1 + sizes.channels if sizes.components else 1)))
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
