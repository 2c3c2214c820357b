"""Checks of the CUDA primitives against kernels.reference, shared by the CPU shim and by a real device.

Every check takes a Backend and a float type. None is statistical: the reference gets the same keys and counters, so
bits must be equal, and only the rounding of a probability may turn a draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from boltz.kernels import reference

Array = NDArray[Any]


@dataclass(frozen=True)
class Backend:
    """The primitives under test and the way of arrays to them and back; run launches a kernel of a source text."""

    primitives: Any
    put: Callable[[Array], Any]
    get: Callable[[Any], Array]
    run: Callable[[str, str, int, tuple[Any, ...]], None]


SHAPES = [(1, 1), (3, 15), (2, 16), (5, 17), (2, 63), (3, 64), (2, 65), (4, 129), (3, 300), (2, 784), (1, 4097)]
STREAMS = [  # stream and first row
    ((0, 0, 0), 0),
    ((0xFFFFFFFF, 1, 7), 3),
    ((123, 0xA4093822, 2**40 + 5), 2**32 - 1),
    ((7, 9, 2**64 - 1), 2**35),
]
EXTREMES = np.array([0, -0.0, 1e4, -1e4, 40, -40, 87.5, -87.5, 88.8, -88.8, 700, -700, 1e-8, -1e-8, 17, -17])
TINY = {"f": 1e-37, "d": 1e-300}  # below this a probability may be zero or not
KNOWN = """
extern "C" __global__ void known_answers(const word* __restrict__ in, word* __restrict__ out) {
    in += 6 * threadIdx.x;
    const Words bits = philox(Words{{in[0], in[1], in[2], in[3]}}, in[4], in[5]);
    for (int k = 0; k < 4; ++k) out[4 * threadIdx.x + k] = bits.w[k];
}
"""
# counter, key and output of philox4x32-10 in random123's file of known answers (Salmon et al. 2011)
ANSWERS = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


def fields(shape: tuple[int, int], dtype: Any, key: int = 0) -> Array:
    """Fields of ordinary size, with extreme ones scattered among them."""
    generator = np.random.Generator(np.random.Philox(key))
    field = 4 * generator.standard_normal(shape)
    places = generator.random(shape) < 0.1
    field[places] = generator.choice(EXTREMES, places.sum())
    return field.astype(dtype)


def normal(shape: Any, dtype: Any, key: int) -> Array:
    return np.random.Generator(np.random.Philox(key)).standard_normal(shape).astype(dtype)


def close(found: Array, expected: Array, ulps: float) -> None:
    """Relative error at most this many epsilons of found's type, NaN where NaN is expected."""
    tolerance = ulps * np.finfo(found.dtype).eps
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=TINY[found.dtype.char])


def check_known_answers(backend: Backend, dtype: Any) -> None:
    """The published vectors; catches any wrong constant, word order, key schedule or number of rounds."""
    table = np.array([[int(w, 16) for w in line.split()] for line in ANSWERS.split("\n") if line], np.uint32)
    given, out = backend.put(table[:, :6].copy()), backend.put(np.zeros((3, 4), np.uint32))
    backend.run(backend.primitives.source("philox.cuh") + KNOWN, "known_answers", 3, (given, out))
    assert_array_equal(backend.get(out), table[:, 6:])


def check_bits(backend: Backend, dtype: Any) -> None:
    """Equal bits at every width, chain and step; catches a wrong lane, a 32-bit step, an uncut chain number."""
    for shape in SHAPES:
        for stream, first_row in STREAMS:
            out, expected = backend.put(np.zeros(shape, np.uint32)), np.zeros(shape, np.uint32)
            backend.primitives.philox(stream, first_row, out)
            reference.philox(stream, first_row, expected)
            assert_array_equal(backend.get(out), expected)


def check_from_mean(backend: Backend, dtype: Any) -> None:
    """Equal draws from equal probabilities, 0, 1 and NaN among them; catches a threshold off by one bit."""
    for shape in SHAPES:
        mean = np.random.Generator(np.random.Philox(1)).random(shape).astype(dtype)
        mean.flat[::7], mean.flat[3::11], mean.flat[5::31] = 0, 1, np.nan
        chains = np.random.Generator(np.random.Philox(2)).integers(0, 2**40, shape[0])
        state, expected, given = backend.put(mean * 0), mean * 0, backend.put(mean)
        for stream, first_row in STREAMS:
            backend.primitives.bernoulli_from_mean(given, stream, first_row, state)
            with np.errstate(invalid="ignore"):
                reference.bernoulli_from_mean(mean, stream, first_row, expected)
            assert_array_equal(backend.get(state), expected)
            backend.primitives.bernoulli_rows(given, stream, backend.put(chains), state)
            with np.errstate(invalid="ignore"):
                reference.bernoulli_rows(mean, stream, chains, expected)
            assert_array_equal(backend.get(state), expected)
        assert_array_equal(backend.get(given), mean)


def check_binomial(backend: Backend, dtype: Any) -> None:
    """Equal sums from equal means, 0, n and NaN among them; catches a lost end, a first term or bits that are wrong."""
    for trials in (1, 2, 7, 100, 1000):
        for shape in SHAPES[-5:]:
            mean = (trials * np.random.Generator(np.random.Philox(trials)).random(shape)).astype(dtype)
            mean.flat[::7], mean.flat[3::11], mean.flat[5::31] = 0, trials, np.nan
            state, expected, given = backend.put(mean * 0), mean * 0, backend.put(mean)
            for stream, first_row in STREAMS:
                backend.primitives.binomial_from_mean(given, trials, stream, first_row, state)
                with np.errstate(invalid="ignore"):
                    reference.binomial_from_mean(mean, trials, stream, first_row, expected)
                assert_array_equal(backend.get(state), expected)
            assert_array_equal(backend.get(given), mean)


def biases(shape: tuple[int, int], dtype: Any) -> list[Array]:
    return [normal(shape[1], dtype, 3), normal(shape, dtype, 4), normal((1, shape[1]), dtype, 5)]


def check_mean(backend: Backend, dtype: Any) -> None:
    """Probabilities within 4 epsilons up to fields of 1e4; catches overflow, a lost bias row, a wrong series term."""
    for shape in SHAPES:
        for bias in biases(shape, dtype):
            field, expected = backend.put(fields(shape, dtype)), fields(shape, dtype)
            backend.primitives.bernoulli_mean(field, 0.75, backend.put(bias))
            reference.bernoulli_mean(expected, 0.75, bias)
            close(backend.get(field), expected, 4)


def check_sample(backend: Backend, dtype: Any) -> None:
    """As the mean, then exactly the draw from the stored mean; at most 1e-6 of draws differ from the reference."""
    turned, total = 0, 0
    for shape in [*SHAPES, (300, 1700)]:
        for bias in biases(shape, dtype):
            start = fields(shape, dtype, 6)
            field, state, expected, drawn = backend.put(start), backend.put(start * 0), start.copy(), start * 0
            backend.primitives.bernoulli_sample(field, 0.5, backend.put(bias), (5, 6, 7), 11, state)
            reference.bernoulli_sample(expected, 0.5, bias, (5, 6, 7), 11, drawn)
            close(backend.get(field), expected, 4)
            turned, total = turned + int(np.sum(backend.get(state) != drawn)), total + drawn.size
            reference.bernoulli_from_mean(backend.get(field), (5, 6, 7), 11, drawn)
            assert_array_equal(backend.get(state), drawn)
    assert total > 1e6
    assert turned <= 1e-6 * total


def check_relax(backend: Backend, dtype: Any) -> None:
    """Damped means and their largest change, field untouched; catches reversed damping, a maximum that loses NaN."""
    for shape in SHAPES:
        for bias in biases(shape, dtype):
            for damping in (0.0, 0.3):
                start, old = fields(shape, dtype), np.random.Generator(np.random.Philox(8)).random(shape).astype(dtype)
                field, mean, expected = backend.put(start), backend.put(old), old.copy()
                change = float(backend.primitives.bernoulli_relax(field, 0.75, backend.put(bias), damping, mean))
                largest = reference.bernoulli_relax(start, 0.75, bias, damping, expected)
                close(backend.get(mean), expected, 5)
                assert change == np.abs(backend.get(mean) - old).max()
                assert abs(change - largest) <= 5 * np.finfo(dtype).eps
                assert_array_equal(backend.get(field), start)
    for place in np.ndindex(2, 300):
        if place[1] % 37 == 0:
            broken = np.zeros((2, 300), dtype)
            broken[place] = np.nan
            arrays = backend.put(broken), backend.put(np.zeros(300, dtype)), backend.put(np.ones((2, 300), dtype))
            assert np.isnan(float(backend.primitives.bernoulli_relax(arrays[0], 1.0, arrays[1], 0.5, arrays[2])))


def check_anneal(backend: Backend, dtype: Any) -> None:
    """Increment against float64 to 1e-10 or 1e-5, added to what is there, and the draw as in check_sample.

    Catches an unstable softplus, swapped temperatures, an increment that is overwritten.
    """
    tolerance = {"f": 1e-5, "d": 1e-10}[np.dtype(dtype).char]
    for shape in [*SHAPES, (40, 5000)]:
        start, bias = fields(shape, dtype, 9), (normal(shape[1], dtype, 10), normal(shape[1], dtype, 11))
        field, state, gained = backend.put(start), backend.put(start * 0), np.arange(shape[0]) - 0.25
        increment = backend.put(gained)
        given = tuple(backend.put(b) for b in bias)
        backend.primitives.bernoulli_anneal(field, (0.25, 0.75), given, (1, 2, 3), 4, state, increment)
        before, after = (np.logaddexp(0, s * start.astype(float) + b) for s, b in zip((0.25, 0.75), bias, strict=True))
        size = np.sum(np.abs(after - before), axis=1) + 1
        assert np.all(np.abs(backend.get(increment) - gained - np.sum(after - before, axis=1)) <= tolerance * size)
        expected, drawn, ignored = start.copy(), start * 0, np.zeros(shape[0])
        reference.bernoulli_anneal(expected, (0.25, 0.75), bias, (1, 2, 3), 4, drawn, ignored)
        close(backend.get(field), expected, 4)
        assert np.mean(backend.get(state) != drawn) <= 1e-6
        reference.bernoulli_from_mean(backend.get(field), (1, 2, 3), 4, drawn)
        assert_array_equal(backend.get(state), drawn)


def log_density(field: Array, bias: Array, state: Array) -> tuple[Array, Array]:
    """The terms s * f - log(1 + exp(f)) of bernoulli_score and their magnitude, in double."""
    f = field.astype(float) + bias
    s = np.repeat(state.astype(float), len(field) // len(state), axis=0)
    return s * f - np.logaddexp(0, f), np.abs(s * f) + np.abs(np.logaddexp(0, f))


def check_score(backend: Backend, dtype: Any) -> None:
    """Log-density against float64, added to what is there, and its derivative, for states that rows share.

    Catches overflow at fields of 1e4, a large part that does not cancel, a state row taken for its neighbour.
    """
    eps = np.finfo(dtype).eps
    for shape in [*SHAPES, (40, 5000)]:
        for repeat in (1, 3):
            state = np.random.Generator(np.random.Philox(24)).random(shape).astype(dtype)
            state.flat[::3], state.flat[1::4] = 0, 1
            start, bias = fields((repeat * shape[0], shape[1]), dtype, 25), normal(shape[1], dtype, 26)
            gained = np.arange(len(start)) - 0.25
            field, given, total = backend.put(start), backend.put(state), backend.put(gained)
            backend.primitives.bernoulli_score(field, backend.put(bias), given, total)
            f = start + bias  # rounded as the primitive rounds it
            terms, size = log_density(f, bias * 0, state)
            bound = 4 * eps * np.sum(size, axis=1) + 1e-12
            assert np.all(np.abs(backend.get(total) - gained - np.sum(terms, axis=1)) <= bound)
            assert_array_equal(backend.get(given), state)
            expected, ignored = start.copy(), np.zeros(len(start))
            reference.bernoulli_score(expected, bias, state, ignored)
            np.testing.assert_allclose(backend.get(field), expected, rtol=0, atol=3 * eps)
            assert np.all(np.abs(ignored - np.sum(terms, axis=1)) <= bound)


def check_sure_score(backend: Backend, dtype: Any) -> None:
    """Units that agree with strong fields: terms of 1e-4 to relative rounding; catches a softplus that loses them."""
    start = np.linspace(8, 12, 500).astype(dtype).reshape(2, 250)
    for state in (np.zeros_like(start), np.ones_like(start)):
        field, total = backend.put((2 * state - 1) * start), backend.put(np.zeros(2))
        backend.primitives.bernoulli_score(field, backend.put(start[0] * 0), backend.put(state), total)
        expected = -np.sum(np.log1p(np.exp(-start.astype(float))), axis=1)
        np.testing.assert_allclose(backend.get(total), expected, rtol=8 * np.finfo(dtype).eps)


def check_broken_score(backend: Backend, dtype: Any) -> None:
    """A NaN in a field stays, in its row alone; catches a NaN that turns into a probability."""
    for place in np.ndindex(3, 300):
        if place[1] % 37 == 0:
            broken = np.zeros((3, 300), dtype)
            broken[place] = np.nan
            field, total = backend.put(broken), backend.put(np.zeros(3))
            zeros = backend.put(np.zeros(300, dtype)), backend.put(np.zeros((3, 300), dtype))
            backend.primitives.bernoulli_score(field, *zeros, total)
            assert_array_equal(np.isnan(backend.get(field)), np.isnan(broken))
            assert_array_equal(np.isnan(backend.get(total)), np.isnan(broken).any(axis=1))


def check_normal(backend: Backend, dtype: Any) -> None:
    """The same draws to 1e-6 or 1e-12 of each; catches a wrong coefficient, sign, branch, word or row number."""
    tolerance = {"f": 1e-6, "d": 1e-12}[np.dtype(dtype).char]
    for shape in [*SHAPES, (300, 1700)]:
        chains = np.random.Generator(np.random.Philox(27)).integers(0, 2**40, shape[0])
        for stream, _ in STREAMS:
            out, expected = backend.put(np.zeros(shape, dtype)), np.zeros(shape)
            backend.primitives.normal(stream, backend.put(chains), out)
            reference.normal(stream, chains, expected)
            np.testing.assert_allclose(backend.get(out), expected, rtol=tolerance)


def check_sums(backend: Backend, dtype: Any) -> None:
    """Moves to the last bit, and sums to rounding; catches a row, a column or an end of a vector that is left out."""
    eps = 300 * np.finfo(dtype).eps
    for rows, units in ((1, 1), (3, 15), (5, 64), (70, 33), (40, 300)):
        generator = np.random.Generator(np.random.Philox(rows))
        x, other = (generator.standard_normal((rows, units)).astype(dtype) for _ in range(2))
        across, down = generator.standard_normal(units).astype(dtype), generator.standard_normal(rows).astype(dtype)
        calls: dict[str, tuple[Any, ...]] = {
            "add": (x, across, other),
            "copy": (x, other),
            "cut": (x, other),
            "turn": (x, np.zeros((units, rows), dtype)),
            "totals": (down, x, across),
            "weigh": (x, down, across, np.zeros(units, dtype)),
            "track": (x, 0.3, across),
            "accumulate": (other.astype(np.float64), x, 0.3, np.zeros_like(x)),
            "row_dot": (x, across, np.ones(rows)),
            "outer": (-0.7, down, across, x),
            "through": (-0.7, x, across, down),
            "back": (-0.7, x, down, across),
        }
        for name, given in calls.items():
            here = [backend.put(a.copy()) if isinstance(a, np.ndarray) else a for a in given]
            getattr(backend.primitives, name)(*here)
            wanted = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in given]
            getattr(reference, name)(*wanted)
            for found, exact in zip(here, wanted, strict=True):
                if isinstance(exact, np.ndarray):
                    np.testing.assert_allclose(backend.get(found), exact, rtol=eps, atol=eps * 20, err_msg=name)
        nothing = [backend.put(x.copy()), backend.put(down)]
        backend.primitives.weigh(*nothing, None, None)
        assert_array_equal(backend.get(nothing[0]), x * down[:, None])


def check_packing(backend: Backend, dtype: Any) -> None:
    """States to bits and back, of rows by number; catches another order of bits, and rows or bytes beside them."""
    for rows, units in ((1, 1), (3, 7), (5, 8), (9, 33), (40, 300)):
        generator = np.random.Generator(np.random.Philox(units))
        states, numbers = generator.integers(0, 2, (rows, units)), generator.permutation(2 * rows)[:rows]
        wanted = generator.integers(0, 256, (2 * rows, -(-units // 8))).astype(np.uint8)
        bits, out = backend.put(wanted.copy()), backend.put(np.full((rows, units), 9, dtype))
        backend.primitives.pack_rows(backend.put(states.astype(dtype)), backend.put(numbers), bits)
        wanted[numbers] = np.packbits(states.astype(np.uint8), axis=1)
        assert_array_equal(backend.get(bits), wanted)
        backend.primitives.unpack_rows(bits, backend.put(numbers), out)
        assert_array_equal(backend.get(out), states)


ACTIVATIONS = ("tanh", "relu", "softplus", "elu")
PRECISE = {"tanh": 4, "relu": 0, "softplus": 4, "elu": 4}  # epsilons of a value that the reference finds in double


def wide_fields(dtype: Any) -> Array:
    """Both signs of the powers of two of a type, numbers around 1, the ends of ranges, infinities and NaN (2, ...)."""
    info = np.finfo(dtype)
    powers = np.exp2(np.arange(info.minexp - info.nmant, info.maxexp))  # from the least denormal number
    near = np.concatenate([np.linspace(0, 1, 3001), np.linspace(1, 110, 3001)])
    magnitudes = np.concatenate([powers, 1.3 * powers[:-1], near, [info.max, np.inf, np.nan]])
    return np.stack([magnitudes, -magnitudes]).astype(dtype)


def check_activations(backend: Backend, dtype: Any) -> None:
    """Within a few epsilons of the formula in double over all numbers of the type, NaN where it is NaN.

    Catches a series that ends early, a wrong branch, a lost sign, overflow, a NaN that is taken for 0.
    """
    for kind in ACTIVATIONS:
        start = wide_fields(dtype)
        field, expected = backend.put(start), start.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            backend.primitives.activate(kind, field, backend.put(np.zeros(start.shape[1], dtype)))
            reference.activate(kind, expected, np.zeros(start.shape[1]))
        close(backend.get(field), expected, PRECISE[kind])


def check_biases_of_activations(backend: Backend, dtype: Any) -> None:
    """Each unit takes its own bias, at every width; catches a bias read by row, and a tail that is left as it was."""
    for kind in ACTIVATIONS:
        for shape in SHAPES:
            start, bias = fields(shape, dtype, 31), normal(shape[1], dtype, 32)
            field, expected = backend.put(start), start.astype(np.float64)
            backend.primitives.activate(kind, field, backend.put(bias))
            reference.activate(kind, expected, bias)
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(backend.get(field), expected, rtol=4 * eps, atol=8 * eps)  # the sum is rounded


def check_slopes(backend: Backend, dtype: Any) -> None:
    """delta times the derivative, value untouched; catches a slope of the wrong function, a small one that is lost."""
    for kind in (*ACTIVATIONS, "sigmoid"):
        for shape in SHAPES:
            value, start = fields(shape, np.float64, 33), normal(shape, dtype, 34)
            value = 1 / (1 + np.exp(-np.clip(value, -30, 30))) if kind == "sigmoid" else value
            value = (np.tanh(value) if kind == "tanh" else np.abs(value) if kind == "softplus" else value).astype(dtype)
            given, delta, expected = backend.put(value), backend.put(start), start.astype(np.float64)
            backend.primitives.slope(kind, given, delta)
            reference.slope(kind, value.astype(np.float64), expected)
            eps = np.finfo(dtype).eps
            atol = 0 if kind == "softplus" else 2 * eps  # 1 - value^2 rounds to its size
            np.testing.assert_allclose(backend.get(delta), expected, rtol=4 * eps, atol=atol * np.abs(start).max())
            assert_array_equal(backend.get(given), value)
    for kind in (*ACTIVATIONS, "sigmoid"):
        delta = backend.put(np.array([[1, np.nan, 2]], dtype))
        backend.primitives.slope(kind, backend.put(np.array([[np.nan, 1, 0.5]], dtype)), delta)
        assert np.isnan(backend.get(delta)[0, 1]) and backend.get(delta)[0, 2] > 0


def check_gaussian_shift(backend: Backend, dtype: Any) -> None:
    """Offsets and states from noise; catches mean and log sigma exchanged, an offset that is added twice."""
    for rows, units in SHAPES:
        field, bias = normal((rows, 2 * units), dtype, 35), normal(2 * units, dtype, 36)
        noise = normal((rows, units), dtype, 37)
        state, offset, given = backend.put(noise), backend.put(noise * 0), backend.put(field)
        backend.primitives.gaussian_shift(given, backend.put(bias), state, offset)
        drawn, moved = noise.astype(np.float64), np.zeros((rows, units))
        reference.gaussian_shift(field.astype(np.float64), bias, drawn, moved)
        eps = np.finfo(dtype).eps
        close(backend.get(offset), moved, 8)
        np.testing.assert_allclose(backend.get(state), drawn, rtol=0, atol=8 * eps * (1 + np.abs(moved).max()))
        assert_array_equal(backend.get(given), field)


def check_gaussian_score(backend: Backend, dtype: Any) -> None:
    """Log-density on top of what is there, and score, each state for one row or for three.

    Catches a lost constant, a half that is missing, states that go with the wrong rows, a NaN that spreads.
    """
    eps = np.finfo(dtype).eps
    for rows, units in SHAPES:
        for repeat in (1, 3):
            start, bias = normal((repeat * rows, 2 * units), dtype, 38), normal(2 * units, dtype, 39)
            state, before = normal((rows, units), dtype, 40), np.arange(repeat * rows) + 0.5
            field, total = backend.put(start), backend.put(before)
            backend.primitives.gaussian_score(field, backend.put(bias), backend.put(state), 2.25, total)
            expected, gained = start.astype(np.float64), before.copy()
            reference.gaussian_score(expected, bias.astype(np.float64), state.astype(np.float64), 2.25, gained)
            size = np.maximum(np.abs(expected[:, :units]), np.abs(expected[:, units:]))
            bound = 40 * eps * (1 + np.concatenate([size, size], axis=1))
            assert np.all(np.abs(backend.get(field) - expected) <= bound)
            terms = np.abs(start[:, units:]).sum(axis=1) + np.abs(expected[:, units:]).sum(axis=1) + 3 * units
            assert np.all(np.abs(backend.get(total) - gained) <= 16 * eps * terms + 1e-12)
    start = np.zeros((3, 80), dtype)
    start[1, 17] = np.nan
    field, total = backend.put(start), backend.put(np.zeros(3))
    zeros = backend.put(np.zeros(80, dtype)), backend.put(np.zeros((3, 40), dtype))
    backend.primitives.gaussian_score(field, *zeros, 0.0, total)
    assert_array_equal(np.isnan(backend.get(total)), [False, True, False])
    assert np.isnan(backend.get(field)[1, 17]) and np.isnan(backend.get(field)).sum() == 2


def check_normal_score(backend: Backend, dtype: Any) -> None:
    """Standard normal log-density on top of what is there; catches a constant that is that of one unit."""
    for shape in SHAPES:
        state, before = normal(shape, dtype, 41), np.arange(shape[0]) - 0.5
        total, expected = backend.put(before), before.copy()
        backend.primitives.normal_score(backend.put(state), total)
        reference.normal_score(state.astype(np.float64), expected)
        np.testing.assert_allclose(backend.get(total), expected, rtol=8 * np.finfo(dtype).eps, atol=1e-6)


def check_gaussian_path(backend: Backend, dtype: Any) -> None:
    """(signal, signal * offset) to the last bit; catches halves exchanged."""
    for rows, units in SHAPES:
        signal, offset = normal((rows, units), dtype, 42), normal((rows, units), dtype, 43)
        out = backend.put(np.zeros((rows, 2 * units), dtype))
        backend.primitives.gaussian_path(backend.put(signal), backend.put(offset), out)
        assert_array_equal(backend.get(out), np.concatenate([signal, signal * offset], axis=1))


def check_weighted(backend: Backend, dtype: Any) -> None:
    """Rows times their weights, of the first columns of more, in place or not, put over or on top of what is there."""
    for rows, units in SHAPES:
        x, weights, there = (
            normal((rows, units + 3), dtype, 44),
            normal(rows, dtype, 45),
            normal((rows, units), dtype, 46),
        )
        for more in (False, True):
            out = backend.put(there)
            backend.primitives.weighted(backend.put(x), backend.put(weights), more, out)
            expected = there.astype(np.float64) * more + weights[:, None].astype(np.float64) * x[:, :units]
            np.testing.assert_allclose(backend.get(out), expected, rtol=0, atol=8 * np.finfo(dtype).eps)
        same = backend.put(there)
        backend.primitives.weighted(same, backend.put(weights), False, same)
        assert_array_equal(backend.get(same), weights[:, None] * there)


def check_repeated_and_pooled(backend: Backend, dtype: Any) -> None:
    """Each row three times in a row, and back by sums; catches rows that come in another order, a sum put over all."""
    for rows, units in SHAPES:
        source = normal((rows, units), dtype, 47)
        wide = backend.put(np.zeros((3 * rows, units), dtype))
        backend.primitives.repeated(backend.put(source), wide)
        assert_array_equal(backend.get(wide), np.repeat(source, 3, axis=0))
        x, there = normal((3 * rows, units), dtype, 48), normal((rows, units), dtype, 49)
        for more in (False, True):
            out = backend.put(there)
            backend.primitives.pooled(backend.put(x), more, out)
            expected = there * more + x.reshape(rows, 3, units).astype(np.float64).sum(axis=1)
            np.testing.assert_allclose(backend.get(out), expected, rtol=0, atol=16 * np.finfo(dtype).eps)


def check_splits(backend: Backend, dtype: Any) -> None:
    """The same bits whether rows come in one call or in three; catches sums or counters that depend on the split."""
    shape, cuts = (13, 333), [(0, 5), (5, 6), (6, 13)]
    start, bias = fields(shape, dtype, 12), (normal(333, dtype, 13), normal(333, dtype, 14))

    def run(low: int, high: int) -> list[Array]:
        cut, rows = start[low:high], np.arange(low, high)
        field, state, increment, scored, total, drawn = (
            backend.put(a) for a in (cut, cut * 0, np.zeros(len(cut)), cut, np.zeros(len(cut)), cut * 0)
        )
        given = tuple(backend.put(b) for b in bias)
        backend.primitives.bernoulli_anneal(field, (0.1, 0.2), given, (1, 2, 3), 2**32 - 5 + low, state, increment)
        backend.primitives.bernoulli_score(scored, given[0], state, total)
        backend.primitives.normal((1, 2, 3), backend.put(rows), drawn)
        return [backend.get(a) for a in (field, state, increment, scored, total, drawn)]

    for whole, *parts in zip(run(0, 13), *(run(*cut) for cut in cuts), strict=True):
        assert_array_equal(whole, np.concatenate(parts))


def check_momentum(backend: Backend, dtype: Any) -> None:
    """Three steps with decay and sparsity, both forms; catches a wrong sign, a stale velocity in Nesterov's form."""
    for nesterov in (False, True):
        for shape in [(1,), (257,), (30, 41)]:
            w, g, v = (normal(shape, dtype, k) for k in (15, 16, 17))
            w.flat[::5] = 0
            device = [backend.put(a) for a in (w, g, v)]
            for _ in range(3):
                assert backend.primitives.momentum_update(*device, 0.05, 0.9, nesterov, 1e-2, 1e-3)
                reference.momentum_update(w, g, v, 0.05, 0.9, nesterov, 1e-2, 1e-3)
            near(backend, device, (w, g, v))
    finite_flag(backend, dtype, lambda w, z: backend.primitives.momentum_update(w, z, z, 0.1, 0.5, False, 0.0, 0.0))
    huge = [backend.put(np.full(9, np.finfo(dtype).max)) for _ in range(3)]
    assert not backend.primitives.momentum_update(*huge, 0.5, 0.5, False, 0.0, 0.0)  # overflow to infinity


def check_adam(backend: Backend, dtype: Any) -> None:
    """Three steps from count 1; catches a lost bias correction, a rounded 1 - beta, epsilon inside the root."""
    for shape in [(1,), (257,), (30, 41)]:
        w, g, m, v = (normal(shape, dtype, k) for k in (18, 19, 20, 21))
        w.flat[::5], v, m = 0, v * v * dtype(1e-6), m * dtype(1e-3)
        device = [backend.put(a) for a in (w, g, m, v)]
        for count in (1, 2, 3):
            numbers = 1e-2, (0.9, 0.999), 1e-4, count, 1e-2, 1e-3
            assert backend.primitives.adam_update(*device[:2], tuple(device[2:]), *numbers)
            reference.adam_update(w, g, (m, v), *numbers)
        near(backend, device, (w, g, m, v))
    finite_flag(
        backend, dtype, lambda w, z: backend.primitives.adam_update(w, z, (z, z), 0.1, (0.9, 0.99), 1e-8, 1, 0.0, 0.0)
    )


def near(backend: Backend, found: list[Any], expected: tuple[Array, ...]) -> None:
    for a, b in zip(found, expected, strict=True):
        tolerance = {"f": 1e-6, "d": 1e-13}[b.dtype.char]
        np.testing.assert_allclose(backend.get(a), b, rtol=tolerance, atol=tolerance * np.abs(b).mean())


def finite_flag(backend: Backend, dtype: Any, update: Callable[[Any, Any], bool]) -> None:
    """One bad element anywhere is told."""
    for place in (0, 255, 256, 999):
        for bad in (np.inf, -np.inf, np.nan):
            w = np.ones(1000, dtype)
            w[place] = bad
            assert not update(backend.put(w), backend.put(np.zeros(1000, dtype)))
    assert update(backend.put(np.ones(1000, dtype)), backend.put(np.zeros(1000, dtype)))


def check_empty(backend: Backend, dtype: Any) -> None:
    """No rows or no units: nothing is launched, nothing changes; catches an empty grid, which CUDA refuses."""
    for shape in [(0, 5), (5, 0)]:
        a, bias = backend.put(np.zeros(shape, dtype)), backend.put(np.zeros(shape[1], dtype))
        increment, chains = backend.put(np.ones(shape[0])), backend.put(np.arange(shape[0], dtype=np.int64))
        p = backend.primitives
        p.philox((0, 0, 0), 0, backend.put(np.zeros(shape, np.uint32)))
        p.bernoulli_from_mean(a, (0, 0, 0), 0, a)
        p.bernoulli_rows(a, (0, 0, 0), chains, a)
        p.bernoulli_mean(a, 1.0, bias)
        p.bernoulli_sample(a, 1.0, bias, (0, 0, 0), 0, a)
        p.bernoulli_anneal(a, (0.0, 1.0), (bias, bias), (0, 0, 0), 0, a, increment)
        p.bernoulli_score(a, bias, a, increment)
        p.normal((0, 0, 0), chains, a)
        assert p.bernoulli_relax(a, 1.0, bias, 0.5, a) == 0
        p.activate("tanh", a, bias)
        p.slope("tanh", a, a)
        p.weighted(a, backend.put(np.zeros(shape[0], dtype)), True, a)
        p.pooled(a, True, a)
        assert p.momentum_update(a, a, a, 0.1, 0.9, True, 0.0, 0.0)
        assert p.adam_update(a, a, (a, a), 0.1, (0.9, 0.99), 1e-8, 1, 0.0, 0.0)
        assert_array_equal(backend.get(increment), np.ones(shape[0]))


def log_sum(x: Array) -> Array:
    """log of the sums of exp(x) over the last axis, in the longest type."""
    wide = x.astype(np.longdouble)
    top = wide.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(wide - top).sum(axis=-1))


def check_log_weights(backend: Backend, dtype: Any) -> None:
    """Rows of log-weights, in float64 whatever the type, near to one another and thousands of nats apart.

    Catches a sum that underflows where the largest is left out, a sample in its own baseline, rows that mix, a NaN that
    is lost or that spreads to another row.
    """
    for rows, count, size in ((1, 2, 1.0), (5, 7, 3.0), (24, 50, 40.0), (3, 50, 5000.0)):
        x = size * normal((rows, count), np.float64, 50) - 90
        x[0, :2] = x[0].max() + 1  # two that are the largest
        others = np.stack([np.delete(x, k, axis=1) for k in range(count)], axis=1)
        replaced = np.concatenate([others, others.mean(axis=2, keepdims=True)], axis=2)
        wanted = {
            "softmax": np.exp(x - log_sum(x)[:, None]),
            "without_one": log_sum(x)[:, None] - log_sum(replaced),
            "row_means": x.mean(axis=1),
        }
        for name, expected in wanted.items():
            out = backend.put(np.zeros(expected.shape))
            getattr(backend.primitives, name)(backend.put(x), out)
            np.testing.assert_allclose(backend.get(out), expected.astype(float), rtol=1e-10, atol=1e-12 * size + 1e-13)
    x = normal((3, 5), np.float64, 51)
    x[1, 2] = np.nan
    for name, shape in (("softmax", x.shape), ("without_one", x.shape), ("row_means", (3,))):
        out = backend.put(np.zeros(shape))
        with np.errstate(invalid="ignore"):
            getattr(backend.primitives, name)(backend.put(x), out)
        broken = np.isnan(backend.get(out)).reshape(3, -1)
        assert_array_equal(broken.all(axis=1), [False, True, False])
        assert not broken[[0, 2]].any()


CHECKS = {name[6:]: check for name, check in list(globals().items()) if name.startswith("check_")}
