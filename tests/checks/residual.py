"""Checks of convolutions, of residual nets and of dropout, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp
from scipy.stats import binom, norm
from support.stats import accept

import boltz
from boltz.kernels import reference_convolutions as reference
from boltz.kernels.cpu import convolutions as compiled
from boltz.kernels.reference_convolutions import Convolution
from boltz.nn.arena import Dropout, Part, Tape, size, views
from boltz.nn.dense import Net
from boltz.nn.residual import AnyNet, Residual, ResidualDecoder, ResidualEncoder
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.passes import lower_means, upper_means
from boltz.sampling.recognition import sampled
from boltz.training.directed_settings import DirectedSettings
from boltz.training.rules import Clock
from boltz.training.variational import Variational

ROWS = 5
BLOCKS = Residual(5, 4, (2, 3))
NETS: dict[str, AnyNet] = {
    "encoder": ResidualEncoder((20, 3, 4), "elu", BLOCKS),
    "encoder without dense layers": ResidualEncoder((20, 4), "tanh", Residual(4, 5, (2,))),
    "decoder": ResidualDecoder((2, 3, 40), "elu", BLOCKS, 2),
    "decoder without dense layers": ResidualDecoder((3, 20), "softplus", Residual(5, 4, (2, 2))),
    "dense": Net((4, 5, 3, 2), "elu"),
}


def convolutions() -> list[Convolution]:
    """Of both strides and ways, over images of even and odd sides and of one row."""
    shapes = ((5, 4), (7, 7), (1, 3), (2, 1), (6, 9))
    return [
        Convolution(inputs, outputs, *shape, stride, turned, taps)
        for shape in shapes
        for stride, turned, (inputs, outputs, taps) in product((1, 2), (False, True), ((1, 3, 3), (3, 2, 5)))
    ]


def by_hand(conv: Convolution, matrix: Any, x: Any) -> Any:
    """The convolution of images, number by number, from the definition."""
    s, reach = conv.stride, conv.size // 2
    (h, w), (a, b) = conv.small, (conv.height, conv.width)
    seen = x.reshape(len(x), conv.inputs, *conv.before)
    out = np.zeros((len(x), conv.outputs, *conv.after), np.result_type(matrix, x))
    numbers = {(t.down * s + t.phase[0], t.right * s + t.phase[1]): n for n, t in enumerate(conv.taps)}
    for i, j, u, v in product(range(h), range(w), range(-reach, reach + 1), range(-reach, reach + 1)):
        y, z = s * i + u, s * j + v
        if 0 <= y < a and 0 <= z < b:
            assert (u, v) in numbers, "a live tap is missing"
            first = numbers[u, v] * conv.inputs
            own = matrix[first : first + conv.inputs]
            if conv.transposed:
                out[:, :, y, z] += seen[:, :, i, j] @ own
            else:
                out[:, :, i, j] += seen[:, :, y, z] @ own
    return out.reshape(len(x), -1)


def case_of(conv: Convolution, rows: int = 3) -> tuple[Any, Any, Any]:
    """A matrix, images, and derivatives by what is made of them."""
    rng, (before, after) = np.random.default_rng(1), conv.numbers
    return rng.normal(size=conv.shape), rng.normal(size=(rows, before)), rng.normal(size=(rows, after))


def check_convolutions() -> None:
    """Values are those of the definition, and derivatives those of a product that is linear in both factors."""
    for conv in convolutions():
        matrix, x, delta = case_of(conv)
        wanted = by_hand(conv, matrix, x)
        found = np.ones_like(wanted)
        reference.convolve(conv, matrix, x, True, found)
        np.testing.assert_allclose(found - 1, wanted, rtol=0, atol=1e-12)
        slopes, back = np.empty_like(matrix), np.empty_like(x)
        reference.slopes(conv, x, delta, slopes)
        reference.convolve(conv.turned, conv.turn(matrix), delta, False, back)
        other = np.random.default_rng(2)
        moved, along = other.normal(size=matrix.shape), other.normal(size=x.shape)
        np.testing.assert_allclose(np.sum(slopes * moved), np.sum(delta * by_hand(conv, moved, x)), rtol=1e-10)
        np.testing.assert_allclose(np.sum(back * along), np.sum(delta * by_hand(conv, matrix, along)), rtol=1e-10)


def check_compiled() -> None:
    """The compiled kernels agree with the reference in float32, and a row has the same bits alone."""
    for conv in [*convolutions(), Convolution(3, 13, 28, 28, 2), Convolution(13, 4, 28, 28, 2, True)]:
        matrix, x, delta = (each.astype(np.float32) for each in case_of(conv, 11))
        found, wanted = np.ones_like(delta), np.ones_like(delta)
        compiled.convolve(conv, matrix, x, True, found)
        reference.convolve(conv, matrix, x, True, wanted)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
        alone = np.ones_like(delta[4:5])
        compiled.convolve(conv, matrix, x[4:5], True, alone)
        assert np.array_equal(alone, found[4:5])
        slopes, plain = np.empty_like(matrix), np.empty_like(matrix)
        compiled.slopes(conv, x, delta, slopes)
        reference.slopes(conv, x, delta, plain)
        np.testing.assert_allclose(slopes, plain, rtol=0, atol=2e-3)


def params_of(net: AnyNet, dtype: Any = np.float64) -> dict[str, Any]:
    """Normal parameters of a net under the name "net", views into one arena."""
    shapes = net.shapes("net")
    return views(shapes, np.random.default_rng(3).normal(0.1, 0.7, size(shapes)).astype(dtype))


def place_of(x: Any, share: float = 0.0) -> Part:
    """All rows, with x (rows, units) at "x"; a share of the units is left out."""
    tape = Tape(x, dropout=Dropout(share, Key(1, 2), 3) if share else None)
    tape.get("x", *x.shape)[...] = x
    return tape.whole(len(x))


def gradient_of(net: AnyNet, params: dict[str, Any], part: Part, add: bool = False) -> dict[str, Any]:
    """What `products` writes over ones, or adds to them."""
    found = {name: np.ones_like(value) for name, value in params.items()}
    for job in net.products("net", (params, found), "x", part, add):
        job()
    return found


def check_pullbacks() -> None:
    """Weighted products and unweighted signals are central differences of sum w_r delta_r . outputs(x_r), in float64,
    with units left out or not.
    """
    for (name, net), share in product(NETS.items(), (0.0, 0.4)):
        rng, params = np.random.default_rng(4), params_of(net)
        x, delta, weights = (rng.normal(size=s) for s in ((ROWS, net.sizes[0]), (ROWS, net.sizes[-1]), (ROWS,)))

        def outputs(params: Any, x: Any, net: AnyNet = net, share: float = share) -> Any:
            return net.forward("net", params, "x", place_of(x, share))[0] + net.bias("net", params)

        part = place_of(x, share)
        _, pullback = net.forward("net", params, "x", part)
        net.outputs("net", part)[...] = delta
        signal = np.array(pullback(net.outputs("net", part), weights))
        found, more, step = gradient_of(net, params, part), gradient_of(net, params, part, True), 1e-6
        for own, value in params.items():
            along = rng.normal(size=value.shape)
            two = [outputs({**params, own: value + sign * step * along}, x) for sign in (1, -1)]
            slope = np.sum(weights[:, None] * delta * (two[0] - two[1])) / (2 * step)
            assert abs(np.sum(found[own] * along) - slope) < 1e-6 * (1 + abs(slope)), (name, share, own)
            np.testing.assert_allclose(more[own], found[own] + 1, rtol=0, atol=1e-12)
        along = rng.normal(size=x.shape)
        two = [outputs(params, x + sign * step * along) for sign in (1, -1)]
        slopes = np.sum(delta * (two[0] - two[1]), axis=1) / (2 * step)
        np.testing.assert_allclose(np.sum(signal * along, axis=1), slopes, rtol=0, atol=1e-6)


def check_pull_options() -> None:
    """Without keep a later pull finds all that it needs; without signal none comes; blocks of rows change no bit."""
    for net in NETS.values():
        rng, params = np.random.default_rng(5), params_of(net, np.float32)
        x, delta = (rng.normal(size=(6, n)).astype(np.float32) for n in (net.sizes[0], net.sizes[-1]))
        part = place_of(x, 0.3)
        value, pullback = net.forward("net", params, "x", part)
        whole, signal = value.copy(), np.array(pullback(delta))
        wanted, part = gradient_of(net, params, part), place_of(x, 0.3)
        for rows in (slice(0, 4), slice(4, 6)):
            block = Part(part.tape, rows, 6)
            value, pullback = net.forward("net", params, "x", block)
            assert np.array_equal(value, whole[rows])
            assert np.array_equal(pullback(delta[rows], None, True, False), signal[rows])
            assert net.pulled("net", params, block)(delta[rows], None, False) is None
        found = gradient_of(net, params, part)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def check_start() -> None:
    """What each convolution makes of the rows that a machine starts from has variance 1, and mean 0 where it has a
    bias; rows of weights have no size of their own.
    """
    rng = np.random.default_rng(6)
    for net in (NETS["encoder"], NETS["decoder"]):
        assert not isinstance(net, Net)
        params, part = params_of(net), place_of(rng.normal(size=(40, net.sizes[0])))
        net.start("net", params, Key(0, 1), 2)
        net.fit("net", params, "x", part)
        net.forward("net", params, "x", part)
        source = "x" if isinstance(net, ResidualEncoder) else "net/smallest"
        for own, below, block, _ in net.blocks.walk("net", source):
            for name, conv in block.named.items():
                heard = f"{own}/first/value" if name == "second" else below
                weight, scale = params[f"{own}/{name}/weight"], params[f"{own}/{name}/scale"]
                matrix = weight / np.linalg.norm(weight, axis=0) * scale
                made = by_hand(conv, matrix, part.get(heard, conv.numbers[0])).reshape(40, conv.outputs, -1)
                np.testing.assert_allclose(made.std(axis=(0, 2)), 1, rtol=1e-9)
                if f"{own}/{name}/bias" in params:
                    bias = params[f"{own}/{name}/bias"]
                    np.testing.assert_allclose(made.mean(axis=(0, 2)) + bias, 0, rtol=0, atol=1e-9)


def check_dropout() -> None:
    """Units are left out at their share, others scaled up; another row, unit or step has other ones; none elsewhere.

    At the alarm rate of stats a share of 0.25 taken for 0.3 is found among 60,000 units.
    """
    net, params = Net((3, 200, 2)), params_of(Net((3, 200, 2)))
    x = np.random.default_rng(7).normal(size=(300, 3))
    part = place_of(x, 0.3)
    net.forward("net", params, "x", part)
    value, heard = (part.get(f"net/0/{name}", 200) for name in ("value", "heard"))
    gone = heard == 0
    np.testing.assert_allclose(heard[~gone], value[~gone] / 0.7, rtol=1e-12)
    p = 2 * min(binom.cdf(gone.sum(), gone.size, 0.3), binom.sf(gone.sum() - 1, gone.size, 0.3))
    accept(min(p, 1.0), "units are not left out at their share")
    assert 0.3 < np.mean(gone[1:] != gone[:-1]) < 0.5
    part.tape.dropout = Dropout(0.3, Key(1, 2), 4)
    net.forward("net", params, "x", part)
    assert 0.3 < np.mean((part.get("net/0/heard", 200) == 0) != gone) < 0.5


def tiny(decoder: str = "dense", **more: Any) -> Any:
    """A machine of 3 x 3 pixels and one hidden unit, with parameters of ordinary size, in float64."""
    machine = boltz.vae(
        [9, 3], 1, image=(3, 3), encoder="resnet", residual_maps=(2, 2), decoder=decoder, **more
    ).astype(np.float64)
    rng = np.random.default_rng(8)
    for name, value in machine.params.items():
        value[...] = rng.normal(0.2 if name.endswith("scale") else 0, 0.6, value.shape)
    return machine


def check_bounds() -> None:
    """L_1 and log p(v) of a machine by quadrature over its hidden unit, with nets that hear one state at a time.

    At the alarm rate of stats a shift of a tenth of a nat is found with 5,000 samples.
    """
    machine, x = tiny(), (np.random.default_rng(9).random((3, 9)) < 0.4).astype(np.float64)
    params, (encoder, decoder) = (
        machine.params,
        (machine.structure.recognition["h1"], machine.structure.generative["v"]),
    )
    grid = np.linspace(-9, 9, 4001)
    logits = decoder.forward("generative/v", params, "x", place_of(grid[:, None]))[0] + params["generative/v/bias"]
    head = encoder.forward("recognition/h1", params, "x", place_of(x))[0] + encoder.bias("recognition/h1", params)
    log_p = x @ np.log(expit(logits)).T + (1 - x) @ np.log(expit(-logits)).T + norm.logpdf(grid)
    step = grid[1] - grid[0]
    log_q = norm.logpdf(grid, head[:, :1], np.exp(head[:, 1:]))
    exact = np.mean(logsumexp(log_p, axis=1) + np.log(step))
    bound = np.mean(np.sum(np.exp(log_q) * (log_p - log_q), axis=1) * step)
    found = boltz.importance_bounds(machine, x, [1, 5000], seed=1)
    for estimate, wanted in zip(found, (bound, exact), strict=True):
        error = max(estimate.standard_error, 1e-4)
        accept(float(2 * norm.sf(abs(estimate.value - wanted) / error)), "a bound is not that of the nets")
    assert exact > bound + 0.01


def check_means() -> None:
    """Recognition and generation of a machine are the nets of its structure."""
    machine, x = tiny(), (np.random.default_rng(9).random((3, 9)) < 0.4).astype(np.float64)
    params, part = machine.params, Tape(machine.arena).whole(3)
    part.get("state/v", 9)[...] = x
    encoder, decoder = machine.structure.recognition["h1"], machine.structure.generative["v"]
    head = encoder.forward("recognition/h1", params, "x", place_of(x))[0] + encoder.bias("recognition/h1", params)
    means = upper_means(machine, "h1", part)
    np.testing.assert_allclose(means, head[:, :1], rtol=1e-12)
    part.get("state/h1", 1)[...] = means
    logits = decoder.forward("generative/v", params, "x", place_of(means))[0] + params["generative/v/bias"]
    np.testing.assert_allclose(lower_means(machine, "v", "h1", part), expit(logits), rtol=1e-9)


def check_training() -> None:
    """Gradients of the bound are central differences of it at fixed noise, for both decoders; dropout changes them and
    leaves the machine that is measured alone.
    """
    x = (np.random.default_rng(9).random((4, 9)) < 0.4).astype(np.float64)
    for decoder, share in product(("dense", "pixelcnn"), (0.0, 0.3)):
        machine, clock = tiny(decoder), Clock(Key(3, 4), 2)
        rule = Variational(DirectedSettings(objective="vae", samples=2, dropout=share))
        with workers(machine.arena) as pool:
            work = rule.workspace(machine)
            rule.gradient(work, x, {}, clock, pool)
            found, along = work.gradient.copy(), np.random.default_rng(10).normal(size=machine.arena.shape)
            start, values = machine.arena.copy(), []
            for step in (1e-6, -1e-6):
                machine.arena[...] = start + step * along
                tape = Tape(machine.arena, dropout=Dropout(share, clock.key, 2) if share else None)
                passes = sampled(machine, tape, x, 2, (clock.key, 2), pool, 2)
                values.append(np.mean([found_.log_weights().mean() for found_ in passes]))
        slope = (values[0] - values[1]) / 2e-6
        assert abs(found @ along - slope) < 1e-4 * (1 + abs(slope)), (decoder, share, found @ along, slope)
