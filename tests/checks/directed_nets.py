"""Checks of nets and conditionals against plain formulas, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from oracles import directed as oracle
from oracles.directed import Directed, Floats
from scipy.stats import bernoulli, norm

from boltz import kernels
from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.dense import ACTIVATIONS, Net

SIZES = ((4, 3), (4, 5, 3), (3, 4, 2, 5))
ROWS = 7


def params_of(net: Net, dtype: Any = np.float64, seed: int = 1) -> dict[str, Any]:
    """Normal parameters of a net under the name "net", views into one arena."""
    shapes = net.shapes("net")
    return views(shapes, np.random.default_rng(seed).normal(0, 0.7, size(shapes)).astype(dtype))


def part_of(x: Floats) -> Part:
    """A block of all rows with x (rows, units) at "x"."""
    part = Part(Tape(x), slice(0, len(x)), len(x))
    part.get("x", x.shape[1])[...] = x
    return part


def outputs_of(net: Net, params: dict[str, Any], x: Any) -> Any:
    """Outputs (rows, outputs) by the oracle, biases included."""
    return oracle.outputs(Directed((), params, net.activation), "net", x)


def gradient_by(net: Net, params: dict[str, Any], part: Part, add: bool = False) -> dict[str, Floats]:
    """The parameter products that wait on the tape, added to ones or written over them."""
    found = {name: np.ones_like(value) for name, value in params.items()}
    for job in net.products("net", (params, found), "x", part, add):
        job()
    return found


def case_of(sizes: tuple[int, ...], activation: str) -> tuple[Net, dict[str, Any], Floats, Floats, Floats]:
    """A net, its parameters, inputs (rows, units), derivatives by the outputs, and row weights of both signs."""
    rng = np.random.default_rng(2)
    net = Net(sizes, activation)
    shapes = [(ROWS, sizes[0]), (ROWS, sizes[-1]), (ROWS,)]
    return net, params_of(net), *(rng.normal(size=shape) for shape in shapes)


def check_pullbacks() -> None:
    """Weighted parameter products and unweighted input signals are slopes of sum w_r delta_r . outputs(x_r)."""
    for sizes in SIZES:
        for activation in ACTIVATIONS:
            net, params, x, delta, weights = case_of(sizes, activation)
            part = part_of(x)
            value, pullback = net.forward("net", params, "x", part)
            np.testing.assert_allclose(value + net.bias("net", params), outputs_of(net, params, x), rtol=0, atol=1e-13)
            signal = pullback(delta, weights)
            found = gradient_by(net, params, part)

            def total(moved: Directed, net: Net = net, x: Floats = x, wd: Floats = delta * weights[:, None]) -> Any:
                return np.sum(wd * outputs_of(net, moved.params, x))

            for name, direction, slope in oracle.slopes(total, Directed((), params, activation)):
                assert abs(np.sum(found[name] * direction) - slope) < 1e-11, name
            direction = np.random.default_rng(3).normal(size=x.shape)
            moved = outputs_of(net, params, x + 1j * oracle.STEP * direction)
            by_row = np.sum(delta * moved, axis=1).imag / oracle.STEP
            np.testing.assert_allclose(np.sum(signal * direction, axis=1), by_row, rtol=0, atol=1e-12)
            added = gradient_by(net, params, part, add=True)
            assert all(np.allclose(added[name], 1 + found[name], rtol=0, atol=1e-13) for name in found)


def check_pullback_options() -> None:
    """Without keep nothing waits on the tape but the signal is the same; without signal none is returned."""
    for sizes in SIZES:
        net, params, x, delta, weights = case_of(sizes, "tanh")
        whole = part_of(x)
        _, pullback = net.forward("net", params, "x", whole)
        signal = np.array(pullback(delta, weights))
        wanted = gradient_by(net, params, whole)
        part = part_of(x)
        value, pullback = net.forward("net", params, "x", part)
        value[...] = 5.0
        given = delta.copy()
        np.testing.assert_array_equal(pullback(given, None, True, False), signal)
        assert (value == 5.0).all() and (given == delta).all(), "without keep the outputs stay"
        assert pullback(given, weights, False, True) is None
        for name, found in gradient_by(net, params, part).items():
            np.testing.assert_allclose(found, wanted[name], rtol=0, atol=1e-13, err_msg=name)
        value[...] = delta
        np.testing.assert_allclose(pullback(value, weights), signal, rtol=0, atol=1e-13)
        for name, found in gradient_by(net, params, part).items():
            np.testing.assert_allclose(found, wanted[name], rtol=0, atol=1e-13, err_msg=name)


def check_wide_products() -> None:
    """More inputs than one piece of work takes, in blocks of rows on one tape."""
    rng = np.random.default_rng(4)
    net = Net((600, 3), "tanh")
    params, x, delta = params_of(net), rng.normal(size=(9, 600)), rng.normal(size=(9, 3))
    tape = Tape(x)
    tape.get("x", 9, 600)[...] = x
    for rows in (slice(4, 9), slice(0, 4)):
        _, pullback = net.forward("net", params, "x", Part(tape, rows, 9))
        pullback(delta[rows], None, False)
    found = gradient_by(net, params, Part(tape, slice(0, 9), 9))
    np.testing.assert_allclose(found["net/0/weight"], x.T @ delta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["net/0/bias"], delta.sum(axis=0), rtol=0, atol=1e-12)


# ---------------------------------------------------------------- conditionals


def head_of(kind: str, rows: int, units: int, seed: int = 5) -> tuple[Floats, Floats]:
    """A field (rows, outputs) and a bias (outputs,) of ordinary size."""
    rng, outputs = np.random.default_rng(seed), CONDITIONALS[kind].outputs(units)
    return rng.normal(size=(rows, outputs)), rng.normal(size=outputs)


def log_densities(kind: str, head: Any, state: Any) -> Any:
    """log-density of every unit (rows, units) by scipy."""
    if kind == "bernoulli":
        return bernoulli(1 / (1 + np.exp(-head))).logpmf(state)
    mean, log_sigma = np.split(head, 2, axis=-1)
    return norm(mean, np.exp(log_sigma)).logpdf(state)


def states_of(kind: str, rows: int, units: int) -> Floats:
    rng = np.random.default_rng(6)
    return rng.integers(0, 2, (rows, units)).astype(float) if kind == "bernoulli" else rng.normal(size=(rows, units))


def slope(value: Callable[[Any], Any], x: Floats) -> Floats:
    """Derivative of a sum over units of each row by every entry of x (rows, n), by complex steps."""
    found = np.zeros_like(x)
    for i in range(x.shape[1]):
        moved = x.astype(complex)
        moved[:, i] += 1j * oracle.STEP
        found[:, i] = np.imag(value(moved)) / oracle.STEP
    return found


def check_scores() -> None:
    """Log-densities by scipy, scores by complex steps, and both added to or put over what was there."""
    for kind, conditional in CONDITIONALS.items():
        for repeat in (1, 3):
            field, bias = head_of(kind, 6, 4)
            state = states_of(kind, 6 // repeat, 4)
            head, whole = field + bias, np.repeat(state, repeat, axis=0)
            log_density = np.full(6, 2.5)
            conditional.score(field, bias, state, log_density)
            np.testing.assert_allclose(log_density - 2.5, log_densities(kind, head, whole).sum(axis=1), atol=1e-12)
            wanted = slope(lambda moved, kind=kind, whole=whole: oracle.log_density(kind, moved, whole), head)
            np.testing.assert_allclose(field, wanted, rtol=0, atol=1e-12)


def check_state_slopes() -> None:
    """The derivative of a Gaussian log-density by the state is minus the score of the mean."""
    field, bias = head_of("gaussian", 5, 3)
    head, state = field + bias, states_of("gaussian", 5, 3)
    CONDITIONALS["gaussian"].score(field, bias, state, np.zeros(5))
    wanted = slope(lambda moved: oracle.log_density("gaussian", head, moved), state)
    np.testing.assert_allclose(-field[:, :3], wanted, rtol=0, atol=1e-12)


def check_paths_of_draws() -> None:
    """A signal at the draw becomes the slope by the outputs at fixed noise; a binary draw does not move."""
    stream, rows = (1, 2, 3), np.arange(5)
    for kind, conditional in CONDITIONALS.items():
        field, bias = head_of(kind, 5, 3)
        state, offset = np.empty((5, 3)), np.empty((5, 3))
        conditional.sample((field, bias), stream, rows, state, offset)
        signal, out = np.random.default_rng(7).normal(size=(5, 3)), np.full(field.shape, np.nan)
        conditional.path(signal, offset, out)
        if not conditional.reparameterised:
            assert (out == 0).all()
            continue
        noise = np.empty((5, 3))
        kernels.normal(stream, rows, noise)

        def drawn(head: Any, signal: Floats = signal, noise: Floats = noise) -> Any:
            mean, log_sigma = np.split(head, 2, axis=1)
            return np.sum(signal * (mean + np.exp(log_sigma) * noise), axis=1)

        mean, log_sigma = np.split(field + bias, 2, axis=1)
        np.testing.assert_allclose(state, mean + np.exp(log_sigma) * noise, rtol=0, atol=1e-13)
        np.testing.assert_allclose(out, slope(drawn, field + bias), rtol=0, atol=1e-12)


def check_tables() -> None:
    """Log-density of every state given every row of fields."""
    for kind, conditional in CONDITIONALS.items():
        field, bias = head_of(kind, 4, 3)
        state = states_of(kind, 6, 3)
        found = conditional.table(field, bias, state)
        for i, one in enumerate(state):
            wanted = log_densities(kind, field + bias, np.tile(one, (4, 1))).sum(axis=1)
            np.testing.assert_allclose(found[i], wanted, rtol=0, atol=1e-12)
