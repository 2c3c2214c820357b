"""Arrays whose primitives are recorded into a program rather than done: the way of a processor to capture a graph.

What is done to such an array becomes an operation, or is refused: nothing is computed while a program is made but
views and sizes. All are float32, as the operations are, but for sums over units, which begin at zeros of float64, and
what is computed from those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import boltz.kernels as kernels
from boltz.kernels.cpu import products, programs
from boltz.kernels.cpu.recorded_nets import (  # noqa: F401  # the primitives of this backend that nets have
    activate,
    bernoulli_score,
    gaussian_path,
    gaussian_score,
    gaussian_shift,
    normal,
    normal_score,
    pooled,
    repeated,
    row_means,
    slope,
    softmax,
    weighted,
    without_one,
)
from boltz.kernels.cpu.runners import Array, Count, Entry, Program, Words
from boltz.kernels.cpu.vectors import TILE
from boltz.kernels.cpu.words import NotRecordedError, entry, head, placed, rows_of, sized, stream_of, whole

FEW = 8  # rows, and multiples of them, that a thread takes of an operation
VIEWS = {np.atleast_2d, np.empty_like, np.shape, np.ndim, np.size}
ARITHMETIC = {
    np.add: programs.SUM,
    np.subtract: programs.DIFFERENCE,
    np.multiply: programs.MULTIPLE,
    np.true_divide: programs.RATIO,
}


class Recorded(np.ndarray):  # type: ignore[type-arg]
    """A view of an array, or a new one, whose primitives are recorded."""

    program: Program

    def __array_finalize__(self, other: Any) -> None:
        self.program = getattr(other, "program", None)  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", (None,))[0]
        if method == "__call__" and not options:
            if ufunc is np.negative:
                return arithmetic(programs.MULTIPLE, (*inputs, -1), out)
            if ufunc is np.add and _rowwise(*inputs, out):
                add(*inputs, out)
                return out
            if ufunc in ARITHMETIC:
                return arithmetic(ARITHMETIC[ufunc], inputs, out)
        raise NotRecordedError(f"{ufunc.__name__} of a recorded array is no operation of a program.")

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, options: Any) -> Any:
        if function in VIEWS:
            return super().__array_function__(function, kinds, arguments, options)
        if function in (np.zeros_like, np.full_like):
            like, *value = arguments
            found = np.empty_like(like, **options)
            found[...] = value[0] if value else 0
            return found
        if function is np.concatenate and not options:
            return _concatenated(*arguments)
        raise NotRecordedError(f"{function.__name__} of a recorded array is no operation of a program.")

    def __setitem__(self, key: Any, value: Any) -> None:
        target = self[key]
        if not isinstance(target, Recorded):
            raise NotRecordedError("a single number of a recorded array is not set by an operation of a program.")
        if np.ndim(value) == 0:
            fill(target, float(value))
        elif value is not target and not _same(value, target):
            copy(value, target)

    def copy(self, order: Any = "C") -> Recorded:
        found: Recorded = np.empty_like(self)
        copy(self, found)
        return found

    def astype(self, dtype: Any, order: Any = "K", copy: bool = True, **options: Any) -> Any:  # type: ignore[override]
        found: Recorded = np.empty_like(self, dtype, "C") if copy or dtype != self.dtype else self
        if found is not self:
            arithmetic(programs.ITSELF, (self, self), found)
        return found


def _same(a: Any, b: Any) -> bool:
    return (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides)


def recordable(like: Any, *sizes: int) -> bool:
    """Whether work beside an array can be recorded: in float32 on a processor, on more than few rows and units each."""
    here = type(like) is np.ndarray and kernels.backend(like).__name__ == "boltz.kernels.cpu"
    return here and like.dtype == np.float32 and min(sizes) > products.FEW_ROWS


def recorded(array: Array, program: Program) -> Recorded:
    """A view of an array on which primitives are recorded into a program."""
    if array.dtype not in (np.float32, np.float64):
        raise NotRecordedError("a recorded array has float32 or float64 numbers only.")
    found = array.view(Recorded)
    found.program = program
    program.kept.append(array)
    return found


def product(x: Array, weight: Array, out: Recorded) -> None:
    """As the primitive; dealt by columns, so that threads do not all make the same tables of partial sums."""
    fits = len(weight) == x.shape[1] and out.shape == (len(x), weight.shape[1])
    if not fits or not products._single(x, weight, out):
        raise NotRecordedError("a product of a program has more than eight rows of float32 numbers.")

    def columns(part: slice) -> None:
        near, target = weight[:, part], out[:, part]
        words = {1: x.ctypes.data, 2: x.strides[0], 3: x.strides[1], 4: x.shape[1], 5: near.ctypes.data}
        words |= {6: near.strides[0], 7: near.strides[1], 8: target.ctypes.data, 9: len(out), 10: target.shape[1]}
        words |= {11: products.block_for(target), 12: out.strides[0] // out.itemsize}
        out.program.add(programs.PRODUCT, words, (), (x, weight, out))

    out.program.deal(columns, out.shape[1], TILE)


def contraction(x: Array, values: Array, out: Recorded) -> None:
    product(x.T, values, out)


def _by_rows(field: Recorded, bias: Array, record: Callable[[slice, Array], None]) -> None:
    """Deal what record does with slices of rows and their biases, of which there is one for all rows or one a row."""
    each = np.atleast_2d(whole(bias))
    if 1 < len(each) < len(whole(field)):
        record(slice(0, len(field)), each)
        return
    field.program.deal(lambda part: record(part, each[part] if len(each) > 1 else each), len(field), FEW)


def bernoulli_mean(field: Recorded, scale: Any, bias: Array) -> None:
    number, words, kept = entry(scale, programs.SCALE)

    def rows(part: slice, own: Array) -> None:
        field.program.add(programs.MEAN, head(field[part], own) | words, (number,), (field, own, *kept))

    _by_rows(field, bias, rows)


def bernoulli_sample(field: Recorded, scale: Any, bias: Array, stream: Any, first_row: int, state: Array) -> None:
    number, words, kept = entry(scale, programs.SCALE)

    def rows(part: slice, own: Array) -> None:
        place = {11: first_row + part.start, 12: whole(state)[part].ctypes.data}
        found = head(field[part], own) | stream_of(stream) | place | words
        field.program.add(programs.SAMPLE, found, (number,), (field, own, state, *kept))

    _by_rows(field, bias, rows)


def bernoulli_from_mean(mean: Recorded, stream: Any, first_row: int, state: Array) -> None:
    def rows(part: slice) -> None:
        words = sized(mean[part]) | {11: first_row + part.start, 12: whole(state)[part].ctypes.data}
        mean.program.add(programs.DRAWN, words | stream_of(stream), (), (mean, state))

    mean.program.deal(rows, len(mean), FEW)


def _numbered(rows: Array | tuple[Array, Count]) -> tuple[Array, Count]:
    """The numbers of all rows, and the count of the first one here."""
    return (rows, Count(0, 0)) if isinstance(rows, np.ndarray) else rows


def bernoulli_rows(mean: Recorded, stream: Any, rows: Array | tuple[Array, Count], state: Array) -> None:
    """As the primitive; rows may be an array of the numbers of all rows, and the count of the first one here."""
    numbers, at = _numbered(rows)
    words = sized(mean) | {4: numbers.ctypes.data} | stream_of(stream) | {12: whole(state).ctypes.data}
    words |= placed(programs.SCALE, at.words)
    mean.program.add(programs.ROWS, words, (), (mean, state, numbers))


def bernoulli_relax(field: Recorded, scale: float, bias: Array, damping: float, mean: Array) -> Array:
    """As the primitive; the largest change is left in an array (1,) of float64, of each part in one of its own.

    That of the first part is returned: only a fixed point asks for it, whose sweeps are of one part.
    """
    changes: list[Array] = []

    def rows(part: slice, own: Array) -> None:
        changes.append(np.zeros(1))
        words = head(field[part], own) | {6: whole(mean)[part].ctypes.data, 7: changes[-1].ctypes.data}
        field.program.add(programs.RELAX, words, (scale, damping), (field, own, mean, changes[-1]))

    _by_rows(field, bias, rows)
    return changes[0]


def tilt(path: tuple[Array, Array, Array | None], betas: Entry, out: Recorded) -> None:
    """out (3, units) := biases at the temperature before the step and at it, and how far they move between them.

    path: base, change and bend (units,) of the biases, in float64; betas: the inverse temperature of the step.
    """
    base, change, bend = path
    words = {1: len(base), 2: base.ctypes.data, 3: change.ctypes.data, 4: 0 if bend is None else bend.ctypes.data}
    words |= {5: whole(out).ctypes.data} | dict(
        zip(range(programs.SCALE, programs.SCALE + 4), betas.words, strict=True)
    )
    out.program.add(programs.TILT, words, (), (base, change, bend, betas.table, out))


def row_dot(state: Recorded, values: tuple[Array, Entry], total: Array) -> None:
    """As the primitive, at a temperature."""
    vector, betas = values

    def rows(part: slice) -> None:
        words = sized(state[part]) | {4: whole(vector).ctypes.data, 5: total[part].ctypes.data}
        words |= placed(programs.SCALE, betas.words)
        state.program.add(programs.ALONG, words, (), (state, vector, total, betas.table))

    state.program.deal(rows, len(state), FEW)


def bernoulli_anneal(
    field: Recorded, betas: Entry, biases: Array, stream: Any, first_row: int, state: Array, increment: Array
) -> None:
    """As the primitive, between the temperature before the step and that of it; biases (2, units) are those of both."""

    def rows(part: slice) -> None:
        words = sized(field[part]) | {4: whole(biases).ctypes.data, 5: increment[part].ctypes.data}
        words |= stream_of(stream) | {11: first_row + part.start, 12: whole(state)[part].ctypes.data}
        words |= placed(programs.SCALE, betas.words)
        field.program.add(programs.ANNEAL, words, (), (field, biases, state, increment, betas.table))

    field.program.deal(rows, len(field), FEW)


def add(a: Array, b: Array, out: Recorded) -> None:
    def rows(part: slice, own: Array) -> None:
        words = sized(out[part]) | {4: whole(a)[part].ctypes.data, 5: own.ctypes.data, 6: len(own)}
        out.program.add(programs.ADD, words, (), (a, own, out))

    _by_rows(out, b, rows)


def _rowwise(a: Any, b: Any, out: Array | None) -> bool:
    """Whether a sum is one that the primitive makes: of float32 rows beside one or as many others."""
    blocks = [isinstance(x, np.ndarray) and x.dtype == np.float32 and x.flags.c_contiguous for x in (a, b, out)]
    return all(blocks) and out is not None and a.shape == out.shape and out.ndim == 2 and b.shape[-1:] == out.shape[1:]


def _operand(x: Array, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Where the numbers of an array lie that is spread to a shape: address, bytes between rows and between columns."""
    wide = np.broadcast_to(x.view(np.ndarray), shape)
    if wide.dtype not in (np.float32, np.float64) or wide.ndim > 2:
        raise NotRecordedError("arithmetic of a program is of rows of float32 or float64 numbers.")
    return (x.ctypes.data, *(0, 0)[wide.ndim :], *wide.strides)


def arithmetic(code: int, pair: tuple[Any, Any], out: Recorded | None = None) -> Recorded:
    """out, a new array if none is given, := what two have as sum, difference, product or ratio; one may be a number."""
    kind = np.result_type(*(x.dtype if isinstance(x, np.ndarray) else x for x in pair))
    a, b = (x if isinstance(x, np.ndarray) else np.full(1, x, kind) for x in pair)
    like = next(x for x in (out, a, b) if isinstance(x, Recorded))
    shape = np.broadcast_shapes(a.shape, b.shape)
    found: Recorded = np.empty_like(like, kind, "C", shape=shape) if out is None else out
    places = [_operand(x, found.shape) for x in (found, a, b)]
    rows, columns = (1, 1, *found.shape)[-2:]
    words = {1: places[0][0], 2: rows, 3: columns, 4: places[0][1], 5: places[0][2]}
    words |= placed(6, places[1] + places[2]) | {12: code}
    words |= placed(13, tuple(x.dtype == np.float64 for x in (found, a, b)))
    found.program.add(programs.ARITHMETIC, words, (), (found, a, b))
    return found


def _concatenated(parts: list[Array]) -> Recorded:
    """The parts below one another."""
    like = next(part for part in parts if isinstance(part, Recorded))
    found: Recorded = np.empty_like(like, None, "C", shape=(sum(map(len, parts)), *like.shape[1:]))
    first = 0
    for part in parts:
        found[first : first + len(part)] = part
        first += len(part)
    return found


def fill(out: Recorded, value: float) -> None:
    """Put a number in every place."""
    whole = out if out.ndim == 2 else out.reshape(1, -1)

    def rows(part: slice) -> None:
        words = rows_of(whole[part]) | {5: out.dtype == np.float64}
        out.program.add(programs.FILL, words, (value,), (out,))

    out.program.deal(rows, len(whole), FEW)


def copy(source: Array, out: Recorded) -> None:
    if source.dtype == out.dtype == np.float64:
        arithmetic(programs.ITSELF, (source, source), out)
        return
    if source.shape != out.shape or not source.dtype == out.dtype == np.float32:
        raise NotRecordedError("a copy of a program has float32 numbers and the shape of its target.")
    wide = source.ndim == 2

    def rows(part: slice) -> None:
        found = rows_of(source[part] if wide else source)
        target = rows_of(out[part] if wide else out)
        out.program.add(programs.COPY, target | {5: found[1], 6: found[4]}, (), (source, out))

    out.program.deal(rows, len(source) if wide else 1, FEW)


def cut(x: Array, out: Recorded) -> None:
    words = {1: whole(out).ctypes.data, 2: out.shape[0], 3: out.shape[1], 4: whole(x).ctypes.data}
    out.program.add(programs.CUT, words, (), (x, out))


def turn(source: Array, out: Recorded) -> None:
    words = {1: whole(out).ctypes.data, 2: out.shape[0], 3: out.shape[1], 4: whole(source).ctypes.data}
    out.program.add(programs.TURN, words, (), (source, out))


def totals(weights: Array, x: Recorded, out: Array) -> None:
    words = {1: whole(x).ctypes.data, 2: x.shape[0], 3: x.shape[1], 4: whole(weights).ctypes.data}
    x.program.add(programs.TOTALS, words | {5: whole(out).ctypes.data}, (), (weights, x, out))


def weigh(x: Recorded, signs: Array, offset: Array | None, total: Array | None) -> None:
    words = {1: whole(x).ctypes.data, 2: x.shape[0], 3: x.shape[1], 4: whole(signs).ctypes.data}
    words |= {5: 0 if offset is None else whole(offset).ctypes.data, 6: 0 if total is None else total.ctypes.data}
    x.program.add(programs.WEIGH, words, (), (x, signs, offset, total))


def track(x: Recorded, rate: float, average: Array) -> None:
    words = {1: whole(x).ctypes.data, 2: x.shape[0], 3: x.shape[1], 4: whole(average).ctypes.data}
    x.program.add(programs.TRACK, words, (rate,), (x, average))


def _sum(code: int, scale: float, matrix: Recorded, vectors: tuple[Array, Array]) -> None:
    first, second = map(whole, vectors)
    words = {1: whole(matrix).ctypes.data, 2: matrix.shape[0], 3: matrix.shape[1]}
    words |= {4: first.ctypes.data, 5: second.ctypes.data}
    matrix.program.add(code, words, (scale,), (matrix, *vectors))


def outer(scale: float, a: Array, b: Array, out: Recorded) -> None:
    _sum(programs.OUTER, scale, out, (a, b))


def through(scale: float, weight: Recorded, x: Array, out: Array) -> None:
    _sum(programs.THROUGH, scale, weight, (x, out))


def back(scale: float, weight: Recorded, x: Array, out: Array) -> None:
    _sum(programs.BACK, scale, weight, (x, out))


def _moved(parameter: Recorded, gradient: Array) -> Words:
    return {1: whole(parameter).ctypes.data, 2: parameter.size, 3: whole(gradient).ctypes.data}


def momentum_update(
    parameter: Recorded,
    gradient: Array,
    velocity: Array,
    rate: Any,
    momentum: Any,
    nesterov: bool,
    l2: float,
    l1: float,
) -> bool:
    """As the primitive; whether all is finite stands in the flag of the program."""
    (first, words, kept), (second, more, others) = entry(rate, programs.SCALE), entry(momentum, programs.OTHER)
    program = parameter.program
    kept_at = whole(velocity).ctypes.data if velocity.size else 0
    words |= _moved(parameter, gradient) | {4: kept_at, 5: nesterov, 7: program.flag.ctypes.data}
    kept = (parameter, gradient, velocity, *kept, *others)
    program.add(programs.MOMENTUM, words | more, (first, second, l2, l1), kept)
    return True


def adam_update(
    parameter: Recorded,
    gradient: Array,
    moments: tuple[Array, Array],
    rate: Any,
    betas: tuple[float, float],
    epsilon: float,
    count: Count,
    l2: float,
    l1: float,
) -> bool:
    """As the primitive; whether all is finite stands in the flag of the program."""
    number, words, kept = entry(rate, programs.SCALE)
    first, second = map(whole, moments)
    words |= _moved(parameter, gradient) | {4: first.ctypes.data, 5: second.ctypes.data}
    words |= {7: parameter.program.flag.ctypes.data} | placed(programs.OTHER, count.words)
    kept = (parameter, gradient, *moments, *kept)
    parameter.program.add(programs.ADAM, words, (number, 0.0, l2, l1, *betas, epsilon), kept)
    return True


def accumulate(total: Array, gradient: Recorded, rate: float, single: Array) -> None:
    """As the primitive, of a total in float64."""
    if total.dtype != np.float64 or not total.flags.c_contiguous:
        raise NotRecordedError("a program adds up in float64 numbers side by side.")
    words = {1: total.ctypes.data, 2: total.size, 3: whole(gradient).ctypes.data, 4: whole(single).ctypes.data}
    gradient.program.add(programs.ACCUMULATE, words, (rate,), (total, gradient, single))


def gather(out: Recorded, source: Array, rows: tuple[Array, Count], by: float) -> None:
    """out (rows, units) := the rows of data (all rows, units) of float32 or uint8 with these numbers, over a number."""
    numbers, at = rows
    words = {1: whole(out).ctypes.data, 2: out.shape[0], 3: out.shape[1], 4: source.ctypes.data, 5: source.strides[0]}
    words |= {6: source.dtype == np.uint8, 7: numbers.ctypes.data}
    words |= placed(programs.SCALE, at.words)
    out.program.add(programs.GATHER, words, (by,), (out, source, numbers))


def unpack_rows(bits: Array, rows: Array | tuple[Array, Count], out: Recorded) -> None:
    """As the primitive; rows are an array of the numbers of all rows, and the count of the first one here."""
    _kept_bits(programs.UNPACK, out, rows, bits)


def pack_rows(x: Recorded, rows: Array | tuple[Array, Count], bits: Array) -> None:
    """As the primitive, for rows as in unpack_rows."""
    _kept_bits(programs.PACK, x, rows, bits)


def _kept_bits(code: int, states: Recorded, rows: Array | tuple[Array, Count], bits: Array) -> None:
    numbers, at = _numbered(rows)

    def some(part: slice) -> None:
        words = sized(states[part]) | {4: bits.ctypes.data, 5: bits.shape[0], 6: bits.shape[1], 7: numbers.ctypes.data}
        words |= placed(programs.SCALE, (at + part.start).words)
        states.program.add(code, words, (), (states, bits, numbers))

    states.program.deal(some, len(states), FEW)


@contextmanager
def settling(program: Program, sweeps: int, tolerance: float) -> Iterator[list[Any]]:
    """What is recorded inside comes again until no change is above a tolerance, at most so many times; the list takes
    the changes.
    """
    start, changes = len(program.operations), []  # type: ignore[var-annotated]
    with program.together():
        yield changes
    ends = np.zeros(max(len(changes), 1))
    for i, change in enumerate(changes):  # the operations write where until reads
        _redirect(program, start, change, ends[i : i + 1])
    words = {1: start, 2: sweeps, 3: ends.ctypes.data, 4: len(changes)}
    program.add(programs.UNTIL, words, (tolerance,), (ends,))


def _redirect(program: Program, start: int, old: Array, new: Array) -> None:
    for row in program.operations[start:]:
        if row[0] == programs.RELAX and row[7] == old.ctypes.data:
            row[7] = new.ctypes.data
