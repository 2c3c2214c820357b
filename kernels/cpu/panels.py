"""Numba panels of masked convolutions: sums of layers, their slopes and activations over neighbours side by side.

A layer is a matrix whose rows have a place each: bytes from a pixel to what the row sees. A panel holds the sums of
some outputs over two vectors of neighbours in registers, and passes all rows: one load at the place of the row serves
all outputs. Neighbours are pixels of a plane, or samples of a pixel. All but numbers are addresses.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from boltz.kernels.cpu.bernoulli import ONE, ZERO, _exp32
from boltz.kernels.cpu.layers import _fall32, _softplus32, _tanh32
from boltz.kernels.cpu.vectors import INT32, INT64, fused_vectors, kernel, load, registers, repeated, spread, store

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

            for value, target in zip(repeated(builder, depth, held, row), targets, strict=True):
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

            found = repeated(builder, vectors, held, vector)
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
def apply(matrix, outputs, places, depth, source, sums, step, count, fresh):
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
def add_slopes(places, depth, source, delta, outputs, step, count, out):
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
def activate_planes(kind, field, ones, out):
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
def add_planes(kind, value, delta, ones, out):
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
