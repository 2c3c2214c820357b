"""Programs: primitives that were recorded once and are run many times in one call, by threads that share the work.

A program is a table of operations on addresses. They form pieces of work, and pieces form regions: those of a region
may go on side by side, and a region begins when all before it is done. A thread takes any piece of the open region that
nobody has; one that lost its core only misses some. What changes from one time to the next (the number of the step, the
rows of a batch, a learning rate) is looked up: a Count, or an entry of a table at a Count.

Each operation is the very primitive that is called step by step, so that bits are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from boltz.kernels.cpu import bernoulli, bits, layers, log_weights, products, sums, updates
from boltz.kernels.cpu.teams import add_one, claim, seen, wait
from boltz.kernels.cpu.vectors import kernel

WIDTH, FLOATS = 24, 8  # whole numbers and real numbers of an operation
GAP = 8  # int64 between counters of threads, so that no two share a line of the cache
DONE, ABANDONED, CLAIMS = 0, GAP, 2 * GAP  # places of the counters; those of the pieces follow
SECONDS = 0.1  # that a call is to take
MOVING = 2  # counts that go on by one each time; the others stand still during a call
STEP, BATCH, DRAW = range(3)

(PRODUCT, MEAN, SAMPLE, DRAWN, RELAX, ADD, COPY, FILL, TOTALS, WEIGH, TRACK, OUTER, THROUGH, BACK, MOMENTUM, ADAM,
 GATHER, ROWS, CUT, TURN, UNTIL, ANNEAL, TILT, ALONG, ACTIVATE, SLOPE, SHIFT, GAUSSIAN, BINARY, PRIOR, PATH, WEIGHTED,
 REPEATED, POOLED, NORMAL, ARITHMETIC, SOFTMAX, WITHOUT, MEANS, ACCUMULATE, UNPACK, PACK) = range(42)  # fmt: skip
KINDS = ("tanh", "relu", "softplus", "sigmoid", "elu")  # of activations, by their number in an operation
SHARED = {PRODUCT, MEAN, SAMPLE, DRAWN, ROWS, COPY, FILL, CUT, ADD, TURN, GATHER, MOMENTUM, ADAM, ACCUMULATE}
OF_NETS = set(range(ACTIVATE, MEANS + 1))
SUM, DIFFERENCE, MULTIPLE, RATIO, ITSELF = range(5)  # what arithmetic does to two numbers
SCALE, OTHER = 13, 17  # places of references to tables: an address, and a count


def _pointer(kind: Any) -> Any:
    """The intrinsic that turns an address into a pointer to numbers of a kind."""

    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), codegen

    return pointer


_singles, _doubles, _wholes, _octets = map(_pointer, (types.float32, types.float64, types.int64, types.uint8))


@kernel
def _matrix(address, rows, columns):
    return carray(_singles(address), (rows, columns))


@kernel
def _vector(address, size):
    return carray(_singles(address), (size,))


@kernel
def _count(o, at, now):
    """The value of a count: a factor times the number of this time, and a term."""
    return o[at + 1] * now[o[at]] + o[at + 2]


@kernel
def _exact(o, at, constant, now):
    """The same in double."""
    place = _count(o, at + 1, now) if o[at] else 0
    return carray(_doubles(o[at]), (place + 1,))[place] if o[at] else constant


@kernel
def _number(o, at, constant, now):
    """An entry of a table, at a count, or a constant where there is no table."""
    return np.float32(_exact(o, at, constant, now))


@kernel
def _draw(o, x, now):
    """Operations that find means and draw states."""
    field, stream = _matrix(o[1], o[2], o[3]), np.uint64(_count(o, 8, now))
    if o[0] == MEAN:
        bernoulli._mean(field, _number(o, SCALE, x[0], now), _matrix(o[4], o[5], o[3]))
        return
    key0, key1, state = np.uint32(o[6]), np.uint32(o[7]), _matrix(o[12], o[2], o[3])
    if o[0] == SAMPLE:
        bias, scale = _matrix(o[4], o[5], o[3]), _number(o, SCALE, x[0], now)
        bernoulli._sample(field, scale, bias, key0, key1, stream, o[11], state)
    elif o[0] == DRAWN:
        bernoulli._from_mean(field, key0, key1, stream, bernoulli.NO_ROWS, o[11], state)
    else:
        rows = carray(_wholes(o[4] + 8 * _count(o, SCALE, now)), (o[2],))
        bernoulli._from_mean(field, key0, key1, stream, rows, 0, state)


@kernel
def _gather(o, x, now):
    """The rows of a batch out of data of float32 or of bytes, divided by a number."""
    out, by = _matrix(o[1], o[2], o[3]), np.float32(x[0])
    rows = carray(_wholes(o[7] + 8 * _count(o, SCALE, now)), (o[2],))
    for i in range(o[2]):
        place, target = o[4] + rows[i] * o[5], out[i]
        if o[6]:
            octets = carray(_octets(place), (o[3],))
            for j in range(o[3]):
                target[j] = np.float32(octets[j]) / by
        else:
            numbers = carray(_singles(place), (o[3],))
            for j in range(o[3]):
                target[j] = numbers[j] / by


@kernel
def _bits(o, now):
    """States of the rows of a batch, from the bits of all rows or to them."""
    rows = carray(_wholes(o[7] + 8 * _count(o, SCALE, now)), (o[2],))
    kept = carray(_octets(o[4]), (o[5], o[6]))
    if o[0] == UNPACK:
        bits._unpack(kept, rows, _matrix(o[1], o[2], o[3]))
    else:
        bits._pack(_matrix(o[1], o[2], o[3]), rows, kept)


@kernel
def _move(o, x):
    """Copies, sums of two, and numbers in the place of what was there; rows lie so many bytes apart."""
    if o[0] == CUT:
        sums._cut(_matrix(o[4], o[2], o[3]), _matrix(o[1], o[2], o[3]))
        return
    if o[0] == ADD:
        sums._add(_matrix(o[4], o[2], o[3]), _matrix(o[5], o[6], o[3]), _matrix(o[1], o[2], o[3]))
        return
    if o[0] == TURN:
        sums._turn_single(_matrix(o[4], o[3], o[2]), _matrix(o[1], o[2], o[3]))
        return
    for i in range(o[2]):
        if o[0] == FILL and o[5]:
            doubles = carray(_doubles(o[1] + i * o[4]), (o[3],))
            for j in range(o[3]):
                doubles[j] = x[0]
            continue
        target = _vector(o[1] + i * o[4], o[3])
        if o[0] == FILL:
            for j in range(o[3]):
                target[j] = np.float32(x[0])
        else:
            source = _vector(o[5] + i * o[6], o[3])
            for j in range(o[3]):
                target[j] = source[j]


@kernel
def _sum(o, x):
    """Operations that sum over rows, or through weights."""
    if o[0] == TOTALS:
        sums._totals(_vector(o[4], o[2]), _matrix(o[1], o[2], o[3]), _vector(o[5], o[3]))
    elif o[0] == WEIGH:
        total = _vector(o[6], o[3] if o[6] else 0)
        sums._weigh(_matrix(o[1], o[2], o[3]), _vector(o[4], o[2]), _vector(o[5], o[3] if o[5] else 0), total)
    elif o[0] == TRACK:
        sums._track(_matrix(o[1], o[2], o[3]), np.float32(x[0]), _vector(o[4], o[3]), np.empty(o[3], np.float32))
    elif o[0] == OUTER:
        sums._outer(np.float32(x[0]), _vector(o[4], o[2]), _vector(o[5], o[3]), _matrix(o[1], o[2], o[3]))
    elif o[0] == THROUGH:
        sums._through(np.float32(x[0]), _matrix(o[1], o[2], o[3]), _vector(o[4], o[3]), _vector(o[5], o[2]))
    else:
        sums._back(np.float32(x[0]), _matrix(o[1], o[2], o[3]), _vector(o[4], o[2]), _vector(o[5], o[3]))


@kernel
def _update(o, x, now):
    """Operations that move parameters; of the first two a flag is 0 once one of them is not finite."""
    if o[0] == ACCUMULATE:
        total, single = carray(_doubles(o[1]), (o[2],)), _vector(o[4], o[2])
        updates._accumulate(total, _vector(o[3], o[2]), np.float32(x[0]), single)
        return
    parameter, gradient, first = _vector(o[1], o[2]), _vector(o[3], o[2]), _vector(o[4], o[2] if o[4] else 0)
    l2, l1 = np.float32(x[2]), np.float32(x[3])
    if o[0] == MOMENTUM:
        rate, other = _number(o, SCALE, x[0], now), _number(o, OTHER, x[1], now)
        fine = updates._momentum(parameter, gradient, first, rate, other, o[5] != 0, l2, l1)
    else:
        second, betas = _vector(o[5], o[2]), (x[4], x[5])
        rate = _exact(o, SCALE, x[0], now)
        fine = updates._adam_step(
            parameter, gradient, (first, second), rate, betas, x[6], _count(o, OTHER, now), (l2, l1)
        )
    if not fine:
        carray(_wholes(o[7]), (1,))[0] = 0


@kernel
def _relax(o, x):
    """Steps of means towards their fixed point."""
    field, bias = _matrix(o[1], o[2], o[3]), _matrix(o[4], o[5], o[3])
    change = bernoulli._relax(field, np.float32(x[0]), bias, np.float32(x[1]), _matrix(o[6], o[2], o[3]))
    carray(_doubles(o[7]), (1,))[0] = change


@kernel
def _anneal(o, x, now):
    """Operations of one temperature, whose betas stand in a table up to the number of the step."""
    step = _count(o, SCALE + 1, now)
    betas = carray(_doubles(o[SCALE]), (step + 1,))
    before, after = betas[step - 1], betas[step]
    if o[0] == TILT:
        base, change = carray(_doubles(o[2]), (o[1],)), carray(_doubles(o[3]), (o[1],))
        bend = carray(_doubles(o[4]), (o[1] if o[4] else 0,))
        sums._tilt(base, change, bend, before, after, _matrix(o[5], 3, o[1]))
    elif o[0] == ALONG:
        sums._row_dot(_matrix(o[1], o[2], o[3]), _vector(o[4], o[3]), carray(_doubles(o[5]), (o[2],)))
    else:
        field, state, bias = _matrix(o[1], o[2], o[3]), _matrix(o[12], o[2], o[3]), _matrix(o[4], 2, o[3])
        step, weights = np.uint64(_count(o, 8, now)), carray(_doubles(o[5]), (o[2],))
        scale0, scale1, key0, key1 = np.float32(before), np.float32(after), np.uint32(o[6]), np.uint32(o[7])
        bernoulli._anneal(field, scale0, scale1, bias[0], bias[1], key0, key1, step, o[11], state, weights)


@kernel
def _activate(o):
    """Activations and their slopes."""
    out = _matrix(o[1], o[2], o[3])
    if o[0] == ACTIVATE:
        bias = _vector(o[4], o[3])
        if o[5] == 0:
            layers._tanh(out, bias)
        elif o[5] == 1:
            layers._relu(out, bias)
        elif o[5] == 2:
            layers._softplus(out, bias)
        else:
            layers._elu(out, bias)
        return
    value = _matrix(o[4], o[2], o[3])
    if o[5] == 0:
        layers._tanh_slope(value, out)
    elif o[5] == 1:
        layers._relu_slope(value, out)
    elif o[5] == 2:
        layers._softplus_slope(value, out)
    elif o[5] == 3:
        layers._sigmoid_slope(value, out)
    else:
        layers._elu_slope(value, out)


@kernel
def _density(o, x):
    """Log-densities of states, and scores."""
    field, log_density = _matrix(o[1], o[2], o[3]), carray(_doubles(o[7]), (o[2],))
    if o[0] == GAUSSIAN:
        state = _matrix(o[5], o[6], o[3] // 2)
        layers._gaussian_score(field, _vector(o[4], o[3]), state, o[2] // o[6], x[0], log_density)
    elif o[0] == BINARY:
        bernoulli._score(field, _vector(o[4], o[3]), _matrix(o[5], o[6], o[3]), o[2] // o[6], log_density)
    else:
        layers._normal_score(field, x[0], log_density)


@kernel
def _rows(o, now):
    """Gaussian draws and their ways back, and rows that are weighted, repeated or summed."""
    out = _matrix(o[1], o[2], o[3])
    if o[0] == NORMAL:
        rows = carray(_wholes(o[4]), (o[2],))
        bernoulli._normal(np.uint32(o[6]), np.uint32(o[7]), np.uint64(_count(o, 8, now)), rows, out)
    elif o[0] == SHIFT:
        field, bias = _matrix(o[4], o[2], 2 * o[3]), _vector(o[5], 2 * o[3])
        layers._gaussian_shift(field, bias, out, _matrix(o[6], o[2], o[3]))
    elif o[0] == PATH:
        layers._gaussian_path(_matrix(o[4], o[2], o[3] // 2), _matrix(o[5], o[2], o[3] // 2), out)
    elif o[0] == WEIGHTED:
        layers._weighted(_matrix(o[4], o[2], o[6]), _vector(o[5], o[2]), o[7] != 0, out)
    elif o[0] == REPEATED:
        layers._repeated(_matrix(o[4], o[6], o[3]), o[2] // o[6], out)
    else:
        layers._pooled(_matrix(o[4], o[6], o[3]), o[6] // o[2], o[7] != 0, out)


@kernel
def _real(address, wide):
    """The number of float64 or float32 at an address."""
    return carray(_doubles(address), (1,))[0] if wide else np.float64(carray(_singles(address), (1,))[0])


@kernel
def _arithmetic(o):
    """Numbers by pairs, in double: two roundings of a float32 sum, product or ratio leave what one does."""
    for i in range(o[2]):
        for j in range(o[3]):
            a, b = _real(o[6] + i * o[7] + j * o[8], o[14]), _real(o[9] + i * o[10] + j * o[11], o[15])
            if o[12] == SUM:
                a += b
            elif o[12] == DIFFERENCE:
                a -= b
            elif o[12] == MULTIPLE:
                a *= b
            elif o[12] == RATIO:
                a /= b
            if o[13]:
                carray(_doubles(o[1] + i * o[4] + j * o[5]), (1,))[0] = a
            else:
                carray(_singles(o[1] + i * o[4] + j * o[5]), (1,))[0] = np.float32(a)


@kernel
def _weights(o):
    """Operations on log-weights."""
    x = carray(_doubles(o[4]), (o[2], o[3]))
    if o[0] == MEANS:
        log_weights._row_means(x, carray(_doubles(o[1]), (o[2],)))
    elif o[0] == SOFTMAX:
        log_weights._softmax(x, carray(_doubles(o[1]), (o[2], o[3])))
    else:
        log_weights._without_one(x, carray(_doubles(o[1]), (o[2], o[3])))


@kernel
def _settled(o, x):
    """Whether no change is above the tolerance."""
    changes, settled = carray(_doubles(o[3]), (o[4],)), True
    for j in range(o[4]):
        settled &= changes[j] <= x[0]
    return settled


@kernel
def _open(counters, pieces, place, done):
    """A piece of the open region that nobody had and that is the caller's now, its own share first; -1 for none.

    place: the caller's number and that of its team; done: how many pieces are done.
    """
    time, piece = done // len(pieces), done % len(pieces)
    start, count = pieces[piece, 2], pieces[piece, 3] - pieces[piece, 2]
    for j in range(count):
        piece = start + (place[0] * count // place[1] + j) % count
        mine = counters + 8 * (CLAIMS + GAP * piece)
        if seen(mine) == time and claim(mine, time):
            return piece
    return np.int64(-1)


@kernel
def run(program, counters, place, counts, times, nets=None):
    """Do a program so many times, together with others of a team; place is the number of this one and their number.

    program: operations (n, WIDTH), their real numbers (n, FLOATS), pieces (pieces, 4): the first operation, the one
    after the last, the first piece of the region and the one after its last. counts (3,) are those of the first time.
    What calls the primitives is one function, since each level of calls is compiled once more. It is compiled without
    the operations of nets, and for programs that have some, with nets given, without those that others have alone.
    """
    operations, numbers, pieces = program
    total, address, spins = times * len(pieces), counters.ctypes.data, 0
    while True:
        done = seen(address + 8 * DONE)
        if done >= total or seen(address + 8 * ABANDONED):
            return
        piece = _open(address, pieces, place, done)
        if piece < 0:
            spins = wait(spins)
            continue
        time = done // len(pieces)
        now = (counts[STEP] + time, counts[BATCH] + time, counts[DRAW])
        i, turns, spins = pieces[piece, 0], 0, 0
        while i < pieces[piece, 1]:
            o, x = operations[i], numbers[i]
            code = o[0]
            i += 1
            if code == PRODUCT:
                out = _matrix(o[8], o[9], o[12])
                products._multiply(o[1], (o[2], o[3]), o[4], o[5], o[6], o[7], out, o[10], o[11])
            elif code in (MEAN, SAMPLE, DRAWN, ROWS):
                _draw(o, x, now)
            elif code in (COPY, FILL, CUT, ADD, TURN):
                _move(o, x)
            elif code == GATHER:
                _gather(o, x, now)
            elif code in (MOMENTUM, ADAM, ACCUMULATE):
                _update(o, x, now)
            elif nets is not None:
                if code in (ACTIVATE, SLOPE):
                    _activate(o)
                elif code in (GAUSSIAN, BINARY, PRIOR):
                    _density(o, x)
                elif code == ARITHMETIC:
                    _arithmetic(o)
                elif code in (SOFTMAX, WITHOUT, MEANS):
                    _weights(o)
                else:
                    _rows(o, now)
            elif code == RELAX:
                _relax(o, x)
            elif code in (UNPACK, PACK):
                _bits(o, now)
            elif code in (ANNEAL, TILT, ALONG):
                _anneal(o, x, now)
            elif code == UNTIL:
                turns = 0 if turns + 1 >= o[2] or _settled(o, x) else turns + 1
                i = o[1] if turns else i
            else:
                _sum(o, x)
        add_one(address + 8 * DONE)
