"""The numpy truth of every primitive, written for reading; kernels.cpu and kernels.cuda must agree with it.

Conventions shared by all three: arrays are C-contiguous (chains, units) of float32 or float64, states are 0/1 in the
same type, results are written in place. A stream is (key0, key1, step). Random bits are Philox4x32-10 (Salmon et al.
2011) under the key (key0, key1) at the counter (block, chain, step low, step high); unit u of a row reads output word
(u // 16) % 4 of block 16 * (u // 64) + u % 16, so sixteen neighbouring units come from sixteen neighbouring blocks.
A unit is on if the upper 30 of its 32 bits, as an integer, are below floor(p * 2^30): p = 1 always fires, p = 0 never.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

Array = NDArray[np.floating]
Stream = tuple[int, int, int]

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = np.uint64(0xFFFFFFFF)
ROUNDS = 10
DRAW_BITS = 30
HALF_LOG_TWO_PI = 0.5 * float(np.log(2 * np.pi))


def philox_block(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10 of counters (..., 4) under one key, as words (..., 4)."""
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & MASK,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & MASK,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def bits_of(stream: Stream, chains: NDArray[np.int64], units: int) -> NDArray[np.uint32]:
    key0, key1, step = stream
    unit = np.arange(units)
    counter = np.empty((len(chains), units, 4), np.uint64)
    counter[..., 0] = 16 * (unit // 64) + unit % 16
    counter[..., 1] = (chains.astype(np.uint64) & MASK)[:, None]
    counter[..., 2] = step & 0xFFFFFFFF
    counter[..., 3] = step >> 32
    words = philox_block(counter, (key0, key1))
    return np.take_along_axis(words, ((unit // 16) % 4)[None, :, None], axis=2)[..., 0]


def _fires(bits: NDArray[np.uint32], mean: Array) -> NDArray[np.bool_]:
    threshold = np.nan_to_num(mean * mean.dtype.type(2**DRAW_BITS)).astype(np.int64)
    return (bits >> np.uint32(32 - DRAW_BITS)).astype(np.int64) < threshold


def philox(stream: Stream, first_row: int, out: NDArray[np.uint32]) -> None:
    """Raw random bits (rows, units) of the chains first_row, first_row + 1, ..."""
    out[...] = bits_of(stream, first_row + np.arange(len(out)), out.shape[1])


def bernoulli_from_mean(mean: Array, stream: Stream, first_row: int, state: Array) -> None:
    """Draw state (rows, units) with the given probabilities."""
    bernoulli_rows(mean, stream, first_row + np.arange(len(mean)), state)


def bernoulli_rows(mean: Array, stream: Stream, rows: NDArray[np.int64], state: Array) -> None:
    """Draw state (rows, units) with the given probabilities; rows names each row's chain number."""
    state[...] = _fires(bits_of(stream, rows, mean.shape[1]), mean) + (mean - mean)  # a NaN mean gives a NaN state


def bernoulli_mean(field: Array, scale: float, bias: Array) -> None:
    """field := sigmoid(scale * field + bias)."""
    kind = field.dtype.type
    field[...] = expit(kind(scale) * field + bias)


def bernoulli_sample(field: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
    """field := sigmoid(scale * field + bias), and state drawn from it."""
    bernoulli_mean(field, scale, bias)
    bernoulli_from_mean(field, stream, first_row, state)


def bernoulli_relax(field: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
    """Damped mean-field step of mean towards sigmoid(scale * field + bias); returns the largest change."""
    kind = field.dtype.type
    new = kind(damping) * mean + kind(1 - damping) * expit(kind(scale) * field + bias)
    change = float(np.max(np.abs(new - mean), initial=0.0))
    mean[...] = new
    return change


def bernoulli_anneal(
    field: Array,
    scales: tuple[float, float],
    biases: tuple[Array, Array],
    stream: Stream,
    first_row: int,
    state: Array,
    increment: NDArray[np.float64],
) -> None:
    """One temperature of annealed importance sampling.

    increment (rows,) gains the change in log-partition of the units between the two inverse temperatures (nats);
    then field := sigmoid(scales[1] * field + biases[1]) and state is drawn from it.
    """
    kind = field.dtype.type
    before, after = (kind(s) * field + b for s, b in zip(scales, biases, strict=True))
    increment += np.sum(np.logaddexp(0, after) - np.logaddexp(0, before), axis=1, dtype=np.float64)
    bernoulli_sample(field, scales[1], biases[1], stream, first_row, state)


def bernoulli_score(field: Array, bias: Array, state: Array, log_density: NDArray[np.float64]) -> None:
    """Log-density of units given their field, and its derivative.

    Row i of field goes with row i // (len(field) // len(state)) of state, whose entries lie in [0, 1]. With
    f = field + bias, log_density (rows,) gains the sum over units of state * f - log(1 + exp(f)) (nats); then
    field := state - sigmoid(f).
    """
    f = field + bias
    s = np.repeat(state, len(field) // max(len(state), 1), axis=0)
    terms = (s * f - np.maximum(f, 0)) - np.log1p(np.exp(-np.abs(f)))
    log_density += np.sum(terms, axis=1, dtype=np.float64)
    field[...] = s - expit(f)


def categorical_mean(field: Array, scale: float, bias: Array, states: int) -> None:
    """field (rows, units * states) := the probabilities exp(scale * field + bias) of each unit's states, made to sum to
    1.
    """
    kind = field.dtype.type
    total = (kind(scale) * field + bias).reshape(len(field), -1, states)
    p = np.exp(total - total.max(axis=2, keepdims=True))
    field[...] = (p / p.sum(axis=2, keepdims=True)).reshape(field.shape)


def categorical_from_mean(mean: Array, states: int, stream: Stream, first_row: int, state: Array) -> None:
    """Draw one state of each unit with the given probabilities (rows, units * states): 1 in its column, else 0.

    A unit takes the random bits of its number. Its state is the first whose probability and those before it are more
    than the upper 30 bits and a half, as a share of 2^30, times the sum of all. A NaN gives NaN.
    """
    bits = bits_of(stream, first_row + np.arange(len(mean)), mean.shape[1] // states)
    picked(bits, mean, states, state)


def categorical_sample(
    field: Array, scale: float, bias: Array, states: int, stream: Stream, first_row: int, state: Array
) -> None:
    """As categorical_mean, and state drawn from it."""
    categorical_mean(field, scale, bias, states)
    categorical_from_mean(field, states, stream, first_row, state)


def picked(bits: NDArray[np.uint32], mean: Array, states: int, state: Array) -> None:
    """As categorical_from_mean, with the bits (rows, units)."""
    below = np.cumsum(mean.reshape(len(mean), -1, states), axis=2, dtype=np.float64)
    reach = ((bits >> np.uint32(32 - DRAW_BITS)) + 0.5) * 2.0**-DRAW_BITS * below[..., -1]
    drawn = below[..., :-1] < reach[..., None]
    chosen = drawn.sum(axis=2)[..., None] == np.arange(states)
    state[...] = chosen.reshape(mean.shape) + (mean - mean)


def binomial_from_mean(mean: Array, trials: int, stream: Stream, first_row: int, state: Array) -> None:
    """Draw sums (rows, units) of so many trials with the given means: each is a quantile of the binomial law.

    A state is the number of states below n whose cumulated probability is at most u = (bits + 1/2) / 2^32. Above n / 2
    it is counted from n down, by 1 - u, which is the same quantile. The sums are of double precision and off by less
    than 1e-12, so that the probability of a state is within 2^-32 of its law; draws grow with their mean and with their
    bits. A NaN gives NaN.
    """
    bits = bits_of(stream, first_row + np.arange(len(mean)), mean.shape[1])
    wide = mean.astype(np.float64)
    upper = wide > trials / 2
    share = np.where(upper, trials - wide, wide) / trials
    reach = (np.where(upper, ~bits, bits) + 0.5) * 2.0**-32
    odds, term, count = share / (1 - share), (1 - share) ** trials, np.zeros(mean.shape)
    below = term.copy()
    for x in range(trials):
        count += below <= reach
        term *= odds * ((trials - x) / (x + 1))
        below += term
    state[...] = np.where(upper, trials - count, count) + (mean - mean)


def normal(stream: Stream, rows: NDArray[np.int64], out: Array) -> None:
    """Standard normal draws (rows, units), one from the 32 bits of each unit; rows names each row's chain number.

    The draw is the quantile at (bits + 1/2) / 2^32, computed in the lower half and mirrored: bits and their complement
    give z and -z, and the largest draw is 6.34.
    """
    bits = bits_of(stream, rows, out.shape[1])
    lower = bits < 2**31
    z = ndtri((np.where(lower, bits, ~bits) + 0.5) / 2**32)
    out[...] = np.where(lower, z, -z)


def activate(kind: str, field: Array, bias: Array) -> None:
    """field := f(field + bias) for the activation of this name: tanh, relu, softplus or elu (Clevert et al. 2016)."""
    field += bias
    if kind == "tanh":
        np.tanh(field, out=field)
    elif kind == "relu":
        np.maximum(field, 0, out=field)
    elif kind == "elu":
        below = np.expm1(np.minimum(field, 0))
        np.maximum(field, 0, out=field)
        field += below
    else:
        with np.errstate(invalid="ignore"):  # a NaN passes on silently, as in the others, to the guard
            np.logaddexp(field, field.dtype.type(0), out=field)


def slope(kind: str, value: Array, delta: Array) -> None:
    """delta *= the derivative of an activation, or of sigmoid, from the activation's value."""
    if kind == "relu":
        delta *= value > 0
    elif kind == "elu":
        delta *= 1 + np.minimum(value, 0)
    elif kind == "softplus":
        delta *= -np.expm1(-value)
    else:
        square = np.multiply(value, value)
        np.subtract(1 if kind == "tanh" else value, square, out=square)
        delta *= square


def gaussian_shift(field: Array, bias: Array, state: Array, offset: Array) -> None:
    """Noise in state (rows, units) becomes offset := exp(log sigma) * noise and state := mean + offset.

    field + bias (rows, 2 units) holds means, then log sigmas.
    """
    units = state.shape[1]
    np.add(field[:, units:], bias[units:], out=offset)
    np.exp(offset, out=offset)
    offset *= state
    np.add(field[:, :units], bias[:units], out=state)
    state += offset


def gaussian_score(field: Array, bias: Array, state: Array, constant: float, log_density: NDArray[np.float64]) -> None:
    """Log-density of units by mean and log sigma, field + bias (rows, 2 units), and its derivative.

    Row i of field goes with row i // (len(field) // len(state)) of state (nats). With z = (state - mean) / sigma,
    log_density (rows,) loses the sum over units of log sigma + z^2 / 2, and a constant; then field := (z / sigma,
    z^2 - 1).
    """
    units = len(bias) // 2
    field += bias
    mean, log_sigma = field[:, :units], field[:, units:]
    log_density -= log_sigma.sum(axis=1, dtype=np.float64) + constant
    precision = np.exp(-log_sigma)
    repeat = len(field) // max(len(state), 1)
    z = (state if repeat == 1 else np.repeat(state, repeat, axis=0)) - mean
    z *= precision
    np.multiply(z, precision, out=mean)
    np.multiply(z, z, out=log_sigma)
    log_density -= 0.5 * log_sigma.sum(axis=1, dtype=np.float64)
    log_sigma -= 1


def normal_score(state: Array, log_density: NDArray[np.float64]) -> None:
    """log_density (rows,) gains the standard normal log-density of state (rows, units), in nats."""
    squares = np.einsum("ij,ij->i", state, state, dtype=np.float64)
    log_density -= 0.5 * squares + state.shape[1] * HALF_LOG_TWO_PI


def gaussian_path(signal: Array, offset: Array, out: Array) -> None:
    """out (rows, 2 units) := (signal, signal * offset), the way of a signal (rows, units) to mean and log sigma."""
    units = signal.shape[1]
    out[:, :units] = signal
    np.multiply(signal, offset, out=out[:, units:])


def weighted(x: Array, weights: Array, more: bool, out: Array) -> None:
    """out (rows, units) := weights (rows,) times the first units of x (rows, ...), on top of what is there if more.

    out may be x itself.
    """
    found = x[:, : out.shape[1]] * weights[:, None]
    if more:
        out += found
    else:
        out[...] = found


def repeated(source: Array, out: Array) -> None:
    """Each row of source as so many consecutive rows of out (rows, units)."""
    out[...] = np.repeat(source, len(out) // max(len(source), 1), axis=0)


def pooled(x: Array, more: bool, out: Array) -> None:
    """Each row of out (rows, units) := the sum of so many consecutive rows of x, on top of what is there if more."""
    found = x.reshape(len(out), len(x) // max(len(out), 1), x.shape[1]).sum(axis=1)
    if more:
        out += found
    else:
        out[...] = found


def softmax(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Each row of out (rows, numbers) := exp(x) over its sum."""
    found = np.exp(x - x.max(axis=1, keepdims=True))
    out[...] = found / found.sum(axis=1, keepdims=True)


def without_one(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """out (rows, numbers) := what the log of the sum of exp(x) of a row loses where the mean of the others, at least
    one, stands in a number's place (Mnih & Rezende 2016, eqs. 8-10).
    """
    before, after = np.full_like(x, -np.inf), np.full_like(x, -np.inf)
    for k in range(1, x.shape[1]):
        np.logaddexp(before[:, k - 1], x[:, k - 1], out=before[:, k])
        np.logaddexp(after[:, -k], x[:, -k], out=after[:, -k - 1])
    mean_of_others = (x.sum(axis=1, keepdims=True) - x) / (x.shape[1] - 1)
    whole = np.logaddexp(before[:, -1:], x[:, -1:])
    out[...] = whole - np.logaddexp(np.logaddexp(before, after), mean_of_others)


def row_means(x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """out (rows,) := the means of the rows of x (rows, numbers)."""
    out[...] = x.mean(axis=1)


def product(x: Array, weight: Array, out: Array) -> None:
    """out (rows, columns) := x (rows, units) @ weight (units, columns).

    Where x holds 0 and 1 only, a row of out is the sum of the weight rows of its units that are on. In float32 a row
    of the other two backends' result depends on its own row of x alone, to the last bit.
    """
    if not ((x == 0) | (x == 1)).all():
        np.matmul(x, weight, out=out)
        return
    out[...] = 0
    for unit, on in enumerate(x.T.astype(bool)):
        out[on] += weight[unit]


def contraction(x: Array, values: Array, out: Array) -> None:
    """out (units, columns) := x (rows, units)^T @ values (rows, columns)."""
    product(x.T, values, out)


def momentum_update(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    rate: float,
    momentum: float,
    nesterov: bool,
    l2: float,
    l1: float,
) -> bool:
    """Ascent step with momentum (Polyak 1964) or Nesterov's form (Sutskever et al. 2013); True if all stays finite.

    Without momentum velocity may be empty: then nothing is kept.
    """
    step = rate * (gradient - l2 * parameter - l1 * np.sign(parameter))
    if not velocity.size:
        parameter += step
        return bool(np.all(np.isfinite(parameter)))
    velocity[...] = momentum * velocity + step
    parameter += momentum * velocity + step if nesterov else velocity
    return bool(np.all(np.isfinite(parameter)))


def adam_update(
    parameter: Array,
    gradient: Array,
    moments: tuple[Array, Array],
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
    count: int,
    l2: float,
    l1: float,
) -> bool:
    """Ascent step of Adam (Kingma & Ba 2015, Algorithm 1), count from 1; True if all stays finite."""
    g = gradient - l2 * parameter - l1 * np.sign(parameter)
    first, second = moments
    first[...] = betas[0] * first + (1 - betas[0]) * g
    second[...] = betas[1] * second + (1 - betas[1]) * g * g
    corrected = rate / (1 - betas[0] ** count)
    parameter += corrected * first / (np.sqrt(second / (1 - betas[1] ** count)) + epsilon)
    return bool(np.all(np.isfinite(parameter)) and np.all(np.isfinite(second)))  # an infinite one would freeze it


def add(a: Array, b: Array, out: Array) -> None:
    """out (rows, units) := a + b, where b is one row or as many."""
    np.add(a, b, out=out)


def copy(source: Array, out: Array) -> None:
    """out (rows, units) := source."""
    out[...] = source


def cut(x: Array, out: Array) -> None:
    """out (rows, units) := 1 where x is at least 1/2, else 0."""
    out[...] = x >= 0.5


def unpack_rows(bits: Array, rows: NDArray[np.int64], out: Array) -> None:
    """out (rows, units) := the bits (all rows, bytes) of the rows with these numbers, the first in the highest bit."""
    out[...] = np.unpackbits(bits[rows].ravel()).reshape(len(out), -1)[:, : out.shape[1]]


def pack_rows(x: Array, rows: NDArray[np.int64], bits: Array) -> None:
    """The bits (all rows, bytes) of the rows with these numbers := the states x (rows, units) of 0 and 1."""
    padded = np.zeros_like(x, shape=(len(x), 8 * bits.shape[1]), dtype=np.uint8)
    padded[:, : x.shape[1]] = x
    bits[rows] = np.packbits(padded.ravel()).reshape(len(x), -1)


def alike(x: Array, least: int, first: int, out: NDArray[np.int64]) -> None:
    """out (some rows,) := how many rows of x (rows, units) bytes agree in at least so many units with each of the rows
    first, first + 1, ..., each row with itself, too.
    """
    for i in range(len(out)):
        out[i] = ((x == x[first + i]).sum(axis=1) >= least).sum()


def turn(source: Array, out: Array) -> None:
    """out (units, rows) := source (rows, units) transposed."""
    out[...] = source.T


def totals(weights: Array, x: Array, out: Array) -> None:
    """out (units,) := weights (rows,) @ x (rows, units), row after row."""
    np.matmul(weights, x, out=out)


def weigh(x: Array, signs: Array, offset: Array | None, total: Array | None) -> None:
    """x := (x - offset) * signs (rows,), and total (units,) := its sum over rows; offset and total may be None."""
    if offset is not None:
        x -= offset
    x *= signs[:, None]
    if total is not None:
        total[...] = x.sum(axis=0)


def accumulate(total: Array, gradient: Array, rate: float, single: Array) -> None:
    """gradient *= rate; total += gradient; single := total: steps added up in a wider type, all of one shape."""
    gradient *= gradient.dtype.type(rate)
    total += gradient
    single[...] = total


def track(x: Array, rate: float, average: Array) -> None:
    """average (units,) += rate * (mean of x over rows - average)."""
    average += average.dtype.type(rate) * (x.mean(axis=0) - average)


def row_dot(state: Array, values: Array, total: NDArray[np.float64]) -> None:
    """total (rows,) += state (rows, units) @ values (units,), in float64."""
    total += state.astype(np.float64) @ values.astype(np.float64)


def outer(scale: float, a: Array, b: Array, out: Array) -> None:
    """out += scale * a b^T."""
    out += out.dtype.type(scale) * np.outer(a, b)


def through(scale: float, weight: Array, x: Array, out: Array) -> None:
    """out += scale * weight @ x."""
    out += out.dtype.type(scale) * (weight @ x)


def back(scale: float, weight: Array, x: Array, out: Array) -> None:
    """out += scale * x @ weight."""
    out += out.dtype.type(scale) * (x @ weight)
