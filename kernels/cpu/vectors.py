"""What the Numba kernels are built from: the compiler's decorator, and straight-line code on vectors at addresses.

LLVM vectors of sixteen float32 become whatever the processor has: one register with AVX-512, two with AVX2. An address
is an int64; nothing here checks bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
WIDE = ir.VectorType(ir.FloatType(), LANES)
INT64, INT32 = ir.IntType(64), ir.IntType(32)
BYTES = 4 * LANES  # of a vector
DOT = 4 * LANES  # numbers that a sum of products takes at a time
TILE = 2 * LANES  # columns that a product works on at a time
ENTRY = 2 * BYTES  # of a tile's row


def kernel(function: Any) -> Any:
    """Compile on first use, to run without the interpreter lock, and keep the code where a folder can be written."""
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


def registers() -> tuple[int, int]:
    """How many float32 a vector register holds, and how many such registers there are."""
    named = config.CPU_NAME not in (None, "host")
    features = config.CPU_FEATURES or ("" if named else binding.get_host_cpu_features().flatten())
    if "+avx512f" in features:
        return 16, 32
    return (8, 16) if "+avx2" in features else (4, 16)


def fused_vectors(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c on vectors of floats, rounded once where the processor can do that in one step."""
    kind = a.type
    name = f"llvm.fmuladd.v{kind.count}f{32 if kind.element == ir.FloatType() else 64}"
    return builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name), (a, b, c)
    )


def spread(builder: Any, number: Any, lanes: int) -> Any:
    """A vector with a number in every lane."""
    first = builder.insert_element(ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined), number, INT32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def place(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """A pointer to the type at address + offset bytes."""
    byte = builder.gep(builder.inttoptr(address, ir.IntType(8).as_pointer()), [INT64(offset)])
    return builder.bitcast(byte, kind.as_pointer())


def load(builder: Any, address: Any, offset: int = 0, align: int = 4, kind: Any = WIDE) -> Any:
    """Sixteen float32, or what kind says, from address + offset bytes."""
    return builder.load(place(builder, address, offset, kind), align=align)


def store(builder: Any, value: Any, address: Any, offset: int = 0, align: int = 4) -> None:
    """A vector to address + offset bytes."""
    builder.store(value, place(builder, address, offset, value.type), align=align)


def repeated(builder: Any, count: Any, held: list[Any], step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """What becomes of values in registers by step(k, values) for k = 0 to count - 1; count is at least 1."""
    before, function = builder.block, builder.function
    body, after = (function.append_basic_block(name) for name in ("body", "after"))
    builder.branch(body)
    builder.position_at_end(body)
    k, kept = builder.phi(INT64), [builder.phi(value.type) for value in held]
    new = step(k, kept)
    following = builder.add(k, INT64(1))
    for phi, start, value in zip([k, *kept], [INT64(0), *held], [following, *new], strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, body)
    builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    builder.position_at_end(after)
    return new


@intrinsic
def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of one float type, rounded once where the processor can do that in one step."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.fmuladd", [kind], ir.FunctionType(kind, [kind] * 3))
        return builder.call(function, arguments)

    return a(a, a, a), codegen


def _fold(name: str, widened: bool) -> Any:
    """The intrinsic that folds vectors of sixteen numbers at an address, of the type of like, into one double.

    By fadd it is their sum, by fmul the product of 1 + x; widened, each number becomes a double before.
    """

    @intrinsic
    def fold(typingctx: Any, source: Any, vectors: Any, like: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, vectors, like = arguments
            kind, double = ir.VectorType(like.type, LANES), ir.DoubleType()
            wide = ir.VectorType(double, LANES) if widened else kind
            single, operate = like.type == ir.FloatType(), getattr(builder, name)
            before, function = builder.block, builder.function
            head, body, after = (function.append_basic_block(part) for part in ("head", "body", "after"))
            builder.branch(head)
            builder.position_at_end(head)
            i, kept = builder.phi(INT64), builder.phi(wide)
            i.add_incoming(INT64(0), before)
            neutral = wide([0.0 if name == "fadd" else 1.0] * LANES)
            kept.add_incoming(neutral, before)
            builder.cbranch(builder.icmp_signed("<", i, vectors), body, after)
            builder.position_at_end(body)
            place = builder.add(source, builder.mul(i, INT64(LANES * (4 if single else 8))))
            value = load(builder, place, kind=kind)
            value = builder.fpext(value, wide) if single and widened else value
            kept.add_incoming(operate(kept, value if name == "fadd" else builder.fadd(value, neutral)), body)
            i.add_incoming(builder.add(i, INT64(1)), body)
            builder.branch(head)
            builder.position_at_end(after)
            numbers = [builder.extract_element(kept, INT32(lane)) for lane in range(LANES)]
            return reduce(operate, [x if x.type == double else builder.fpext(x, double) for x in numbers])

        return types.float64(types.int64, types.int64, like), codegen

    return fold


@intrinsic
def fold_dot(typingctx: Any, a: Any, b: Any, parts: Any, like: Any) -> Any:
    """The sum of products of two arrays at addresses, so many parts of DOT numbers each, in the type of like."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, parts, like = arguments
        kind, size = ir.VectorType(like.type, LANES), LANES * (4 if like.type == ir.FloatType() else 8)
        before, function = builder.block, builder.function
        head, body, after = (function.append_basic_block(part) for part in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        i, kept = builder.phi(INT64), [builder.phi(kind) for _ in range(DOT // LANES)]
        builder.cbranch(builder.icmp_signed("<", i, parts), body, after)
        builder.position_at_end(body)
        offset = builder.mul(i, INT64(size * len(kept)))
        x, y = builder.add(a, offset), builder.add(b, offset)
        for v, total in enumerate(kept):
            pair = [load(builder, address, size * v, kind=kind) for address in (x, y)]
            total.add_incoming(kind([0.0] * LANES), before)
            total.add_incoming(fused_vectors(builder, *pair, total), body)
        i.add_incoming(INT64(0), before)
        i.add_incoming(builder.add(i, INT64(1)), body)
        builder.branch(head)
        builder.position_at_end(after)
        total, count = reduce(builder.fadd, kept), LANES
        while count > 1:
            count //= 2
            halves = [
                ir.Constant(ir.VectorType(INT32, count), [first + j for j in range(count)]) for first in (0, count)
            ]
            low, high = (builder.shuffle_vector(total, total, half) for half in halves)
            total = builder.fadd(low, high)
        return builder.extract_element(total, INT32(0))

    return like(types.int64, types.int64, types.int64, like), codegen


fold_sum, fold_factors, fold_wide_factors = _fold("fadd", True), _fold("fmul", False), _fold("fmul", True)


@intrinsic
def turn(typingctx: Any, source: Any, stride: Any, target: Any, step: Any) -> Any:
    """Transpose 16 x 16 float32, rows stride bytes apart at source, into rows step bytes apart at target."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, stride, target, step = arguments
        rows = []
        for _ in range(LANES):
            rows.append(load(builder, start))
            start = builder.add(start, stride)
        for d in (8, 4, 2, 1):  # swap the bit d of the row's number with that of the column's
            low = ir.Constant(ir.VectorType(INT32, LANES), [j if not j & d else LANES + j - d for j in range(LANES)])
            high = ir.Constant(ir.VectorType(INT32, LANES), [j + d if not j & d else LANES + j for j in range(LANES)])
            for i in range(LANES):
                if not i & d:
                    a, b = rows[i], rows[i + d]
                    rows[i], rows[i + d] = builder.shuffle_vector(a, b, low), builder.shuffle_vector(a, b, high)
        for row in rows:
            store(builder, row, target)
            target = builder.add(target, step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@intrinsic
def sixteen_bits(typingctx: Any, source: Any) -> Any:
    """Bit i is set where number i of sixteen float32 is 1; bit 16 is set if any of them is neither 0 nor 1."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x = load(builder, arguments[0])
        on = builder.fcmp_ordered("==", x, WIDE([1.0] * LANES))
        off = builder.fcmp_ordered("==", x, WIDE([0.0] * LANES))
        short = ir.IntType(LANES)
        ones, known = builder.bitcast(on, short), builder.bitcast(builder.or_(on, off), short)
        other = builder.icmp_unsigned("!=", known, short(2**LANES - 1))
        return builder.or_(builder.zext(ones, INT64), builder.shl(builder.zext(other, INT64), INT64(LANES)))

    return types.int64(types.int64), codegen


@intrinsic
def sixteen_columns(typingctx: Any, source: Any, target: Any, bit: Any) -> Any:
    """Add bit to each of sixteen uint64 at target where that float32 is 1; bit i says that number i is not 0 or 1."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target, bit = arguments
        words = ir.VectorType(INT64, LANES)
        x = load(builder, source)
        on = builder.fcmp_ordered("==", x, WIDE([1.0] * LANES))
        off = builder.fcmp_ordered("==", x, WIDE([0.0] * LANES))
        chosen = builder.select(on, spread(builder, bit, LANES), ir.Constant(words, [0] * LANES))
        store(builder, builder.or_(builder.load(place(builder, target, 0, words), align=8), chosen), target, 0, 8)
        known = builder.bitcast(builder.or_(on, off), ir.IntType(LANES))
        return builder.zext(builder.not_(known), INT64)

    return types.int64(types.int64, types.int64, types.uint64), codegen


@intrinsic
def number_at(typingctx: Any, address: Any) -> Any:
    """The float32 at an address."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(place(builder, arguments[0], 0, ir.FloatType()), align=4)

    return types.float32(types.int64), codegen


@intrinsic
def fetch(typingctx: Any, source: Any) -> Any:
    """Ask for a tile's row to be brought to the second-level cache; nothing waits for it, and any address will do."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        octets = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [octets, INT32, INT32, INT32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [octets], kind)
        for offset in (0, BYTES, ENTRY - 4):  # a row that begins inside a line ends in a third one
            line = builder.inttoptr(builder.add(arguments[0], INT64(offset)), octets)
            builder.call(function, [line, INT32(0), INT32(2), INT32(1)])  # to read, second level, data
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def move(typingctx: Any, source: Any, target: Any) -> Any:
    """Copy a tile's row from one address to another."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for half in (0, BYTES):
            store(builder, load(builder, arguments[0], half), arguments[1], half)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@kernel
def aligned(size):
    """float32 zeros that begin at a multiple of 64 bytes."""
    memory = np.zeros(size + LANES, np.float32)
    first = (-memory.ctypes.data) % BYTES // 4
    return memory[first : first + size]


@kernel
def gather(weight, down, across, units, columns, target):
    """Copy units by a tile of columns, byte strides down and across, into rows of a tile each, zero beyond."""
    address = target.ctypes.data
    if across == 4 and columns == TILE:
        for k in range(units):
            move(weight + k * down, address + k * ENTRY)
        whole = units
    else:
        whole = 0
        if down == 4 and columns == TILE:
            whole = units // LANES * LANES
            for k in range(0, whole, LANES):
                turn(weight + 4 * k, across, address + k * ENTRY, ENTRY)
                turn(weight + 4 * k + LANES * across, across, address + k * ENTRY + BYTES, ENTRY)
    for k in range(whole, (units + 3) // 4 * 4):
        for j in range(TILE):
            inside = k < units and j < columns
            target[k * TILE + j] = number_at(weight + k * down + j * across) if inside else np.float32(0)
