"""Checks of flows against plain formulas, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from oracles.directed import STEP, Floats
from oracles.flows import Flow
from support import stats

from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.dense import ACTIVATIONS
from boltz.nn.factors import Place
from boltz.nn.flows import AutoregressiveFlow, CouplingFlow, InverseAutoregressiveFlow
from boltz.nn.invertible import KINDS
from boltz.rng import Key

ROWS = 6
Made = tuple[Any, Flow, dict[str, Any]]


def params_of(flow: Any, dtype: Any = np.float64, gain: float = 0.7, seed: int = 1) -> dict[str, Any]:
    """Normal parameters of a flow under the name "f", those that are masked too, views into one arena."""
    shapes = flow.shapes("f")
    return views(shapes, np.random.default_rng(seed).normal(0, gain, size(shapes)).astype(dtype))


def made(of: Any, units: int, steps: int, widths: tuple[int, ...], **more: Any) -> Made:
    """A flow, its oracle and its parameters."""
    flow = of(units, steps, widths, **more)
    coupling = of is CouplingFlow
    oracle = Flow(units, steps, widths, flow.kind, flow.activation, more.get("context", 0), coupling)
    return flow, oracle, params_of(flow)


def priors(activations: Any = ("tanh",)) -> Iterator[Made]:
    """Autoregressive and coupling flows of both kinds, with hidden layers that are wider and narrower than units."""
    for flow, widths in ((AutoregressiveFlow, (7,)), (AutoregressiveFlow, (9, 3)), (CouplingFlow, (4, 5))):
        for kind in KINDS:
            for activation in activations:
                yield made(flow, 5, 3, widths, kind=kind, activation=activation)
    yield made(AutoregressiveFlow, 1, 2, (3,), kind="affine")


def posteriors() -> Iterator[tuple[Any, Flow, dict[str, Any], Any]]:
    """Inverse autoregressive flows with and without a context (rows, context)."""
    for units, context in ((4, 3), (4, 0), (1, 2)):
        for kind in KINDS:
            flow = made(InverseAutoregressiveFlow, units, 2, (7, 6), context=context, kind=kind, activation="tanh")
            yield *flow, np.random.default_rng(8).normal(size=(ROWS, context)) if context else None


def place_of(params: dict[str, Any], x: Floats, context: Any = None) -> Place:
    """All rows of a new tape, with a context in the buffer "context"."""
    part = Tape(x).whole(len(x))
    if context is None:
        return Place("f", params, part)
    part.get("context", context.shape[1])[...] = context
    return Place("f", params, part, "context")


def states(flow: Any, rows: int = ROWS) -> Floats:
    return np.random.default_rng(2).normal(size=(rows, flow.units))


def gradient_by(flow: Any, place: Place) -> dict[str, Floats]:
    """The parameter products that wait on the tape, written over numbers that are not finite."""
    found = {name: np.full_like(value, np.nan) for name, value in place.params.items()}
    for job in flow.products(place, found):
        job()
    return found


def by_parameters(value: Callable[[dict[str, Any]], Any], params: dict[str, Any]) -> Iterator[tuple[str, Floats]]:
    """The derivatives of a number by every entry of every parameter, by complex steps."""
    for name, kept in params.items():
        found = np.zeros(kept.shape)
        for i in np.ndindex(kept.shape):
            moved = kept.astype(complex)
            moved[i] += 1j * STEP
            found[i] = np.imag(value(params | {name: moved})) / STEP
        yield name, found


def along(value: Callable[[dict[str, Any]], Any], params: dict[str, Any]) -> Iterator[tuple[str, Floats, float]]:
    """The slope of a number along a random direction of each parameter, by complex steps."""
    rng = np.random.default_rng(7)
    for name, kept in params.items():
        direction = rng.normal(size=kept.shape)
        yield name, direction, np.imag(value(params | {name: kept + 1j * STEP * direction})) / STEP


def by_entries(value: Callable[[Any], Any], x: Floats) -> Floats:
    """The derivative of a number a row by every entry of that row of x, by complex steps."""
    found = np.zeros_like(x)
    for i in range(x.shape[1]):
        moved = x.astype(complex)
        moved[:, i] += 1j * STEP
        found[:, i] = np.imag(value(moved)) / STEP
    return found


def near(found: Any, wanted: Any, error: float = 1e-10) -> None:
    np.testing.assert_allclose(found, wanted, rtol=error, atol=error)


# ---------------------------------------------------------------- values


def check_densities() -> None:
    """Log-densities of priors by the oracle."""
    for flow, oracle, params in priors(ACTIVATIONS):
        z = states(flow)
        near(flow.score(place_of(params, z), z).log_density, oracle.log_density(params, z))


def check_maps() -> None:
    """Values and log-determinants by the oracle, with and without a context."""
    for flow, oracle, params, context in posteriors():
        z = states(flow)
        mapped = flow.forward(place_of(params, z, context), z)
        value, log_det = oracle.forward(params, z, context)
        near(mapped.value, value)
        near(mapped.log_det, log_det)


def jacobian(flow: Any, params: dict[str, Any], x: Floats, context: Any = None) -> Floats:
    """dy/dx (rows, y, x) by central differences of the library's own map."""
    found = np.empty((len(x), flow.units, flow.units))
    for j in range(flow.units):
        sides = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[:, j] += step
            sides.append(flow.forward(place_of(params, moved, context), moved).value.copy())
        found[:, :, j] = (sides[0] - sides[1]) / 2e-5
    return found


def check_log_determinants() -> None:
    """Log-determinants against those of numerical Jacobians."""
    for flow, _, params, context in [*((*made, None) for made in priors()), *posteriors()]:
        z = states(flow)
        _, wanted = np.linalg.slogdet(jacobian(flow, params, z, context))
        near(flow.forward(place_of(params, z, context), z).log_det, wanted, 1e-7)


def check_order() -> None:
    """A step hears all units before and none after; the next step hears them in the opposite order."""
    for kind in KINDS:
        flow, _, params = made(AutoregressiveFlow, 5, 1, (12, 9), kind=kind, activation="tanh")
        z = states(flow)
        found = jacobian(flow, params, z)
        assert (found[:, *np.triu_indices(5, 1)] == 0).all(), "no unit hears one after it"
        assert (np.abs(found[:, *np.tril_indices(5)]) > 1e-9).all(), "each unit hears all before it"
        if kind == "mean-only":
            near(found[:, np.arange(5), np.arange(5)], 1.0, 1e-9)  # no unit hears itself
        flow, _, params = made(AutoregressiveFlow, 5, 2, (12, 9), kind=kind, activation="tanh")
        assert (np.abs(jacobian(flow, params, z)) > 1e-9).all(), "after two steps each unit hears all"
    flow, _, params = made(CouplingFlow, 5, 1, (6,))
    found = jacobian(flow, params, z)
    assert np.allclose(found[:, :2, :2], np.eye(2)) and (np.abs(found[:, 2:, :2]) > 1e-9).all()
    flow, _, params = made(CouplingFlow, 5, 2, (6,))
    assert (np.abs(jacobian(flow, params, z) - np.eye(5)).max(axis=(0, 1)) > 1e-3).all(), "two steps move all units"


def check_context() -> None:
    """Every output, that of the first unit too, hears the context."""
    for flow, _, params, context in posteriors():
        if context is not None:
            z = states(flow)
            before = flow.forward(place_of(params, z, context), z).value.copy()
            after = flow.forward(place_of(params, z, context + 1), z).value
            assert (np.abs(after - before) > 1e-9).all()


def check_inverse() -> None:
    """There and back, and back and there, to 1e-9; the way back by the oracle, too."""
    for flow, oracle, params, context in [*((*made, None) for made in priors(ACTIVATIONS)), *posteriors()]:
        y = states(flow)
        place = place_of(params, y, context)
        x = flow.inverse(place, y).value.copy()
        near(x, oracle.inverse(params, y, context), 1e-9)
        near(flow.forward(place, x).value, y, 1e-9)
        near(flow.inverse(place, flow.forward(place, y).value.copy()).value, y, 1e-9)


def grid(units: int, reach: float, points: int) -> tuple[Floats, float]:
    """The middles (points ^ units, units) of the cells of a grid around 0, and the volume of a cell."""
    line = (np.arange(points) + 0.5) * (2 * reach / points) - reach
    mesh = np.meshgrid(*[line] * units, indexing="ij")
    return np.stack([x.ravel() for x in mesh], axis=1), float((line[1] - line[0]) ** units)


def check_normalisation() -> None:
    """Densities of one and two units integrate to 1 on a grid."""
    for kind in KINDS:
        for flow, units in ((AutoregressiveFlow, 1), (AutoregressiveFlow, 2), (CouplingFlow, 2)):
            model = flow(units, 3, (6,), kind, "tanh")
            params = params_of(model, gain=0.3)
            points, volume = grid(units, 14.0, 280)
            log_density = model.score(place_of(params, points), points).log_density
            near(np.exp(log_density).sum() * volume, 1.0, 1e-6)


def check_start() -> None:
    """A new flow is the identity but for the order; its masked weights are 0 and its last layer can learn."""
    for kind in (AutoregressiveFlow, CouplingFlow, InverseAutoregressiveFlow):
        for steps in (2, 3):
            flow = kind(6, steps, (8, 5), kind="affine")
            of = Flow(6, steps, (8, 5), "affine", "relu", coupling=kind is CouplingFlow)
            params = {name: np.zeros(shape) for name, shape in flow.shapes("f").items()}
            flow.start("f", params, Key.from_seed(3))
            z = states(flow)
            place = place_of(params, z)
            mapped = flow.forward(place, z)
            np.testing.assert_array_equal(mapped.value, z if steps == 3 else z[:, ::-1])
            assert (mapped.log_det == 0).all()
            mapped.pullback(-mapped.value, 1.0)
            gradient = gradient_by(flow, place)
            for t in range(steps):
                assert (
                    np.abs(params[f"f/{t}/0/weight"]).max() > 0.1 and np.abs(gradient[f"f/{t}/2/weight"]).max() > 0.01
                )
                assert (params[f"f/{t}/2/weight"] == 0).all()
                for i in range(2):
                    weight = params[f"f/{t}/{i}/weight"]
                    dead = [[not of.hears(i + 1, b, a) for b in range(weight.shape[1])] for a in range(len(weight))]
                    assert (weight[np.array(dead)] == 0).all() and (weight[~np.array(dead)] != 0).all()


# ---------------------------------------------------------------- derivatives


def check_pullbacks_of_priors() -> None:
    """Derivatives by states and, under row weights, by parameters; asked for in any order, and twice."""
    weights = np.random.default_rng(4).normal(size=ROWS)
    for flow, oracle, params in priors():
        z = states(flow)
        place = place_of(params, z)
        wanted = by_entries(lambda moved, of=oracle, params=params: of.log_density(params, moved), z)
        plain, weighted = (
            dict(by_parameters(lambda moved, of=oracle, z=z, w=w: np.sum(w * of.log_density(moved, z)), params))
            for w in (np.ones(ROWS), weights)
        )
        scored = flow.score(place, z)
        slope, sign = scored.by_state()
        near(sign * slope, wanted)
        assert scored.pull(weights) is None
        found = gradient_by(flow, place)
        scored = flow.score(place, z)
        scored.pull(weights, False, False)
        scored.pull(None)
        again = gradient_by(flow, place)
        scored.pull(2 * weights)
        twice = gradient_by(flow, place)
        scored.pull(weights)
        last = gradient_by(flow, place)
        for name in params:
            near(found[name], weighted[name])
            near(again[name], plain[name])
            near(twice[name], 2 * weighted[name])
            near(last[name], weighted[name])


def check_pullbacks_of_posteriors() -> None:
    """Derivatives of signal . z + slope log det by z0, by the context and, under row weights, by parameters."""
    rng = np.random.default_rng(5)
    weights, slope = rng.normal(size=ROWS), rng.normal(size=ROWS)
    for flow, oracle, params, context in posteriors():
        z, place = states(flow), None
        place, signal = place_of(params, z, context), rng.normal(size=z.shape)

        def total(params: Any, z: Any, context: Any, of: Flow = oracle, signal: Floats = signal) -> Any:
            value, log_det = of.forward(params, z, context)
            return np.sum(signal * value, axis=1) + slope * log_det

        mapped = flow.forward(place, z)
        by_start, by_context = mapped.pullback(signal, slope, weights)
        near(by_start, by_entries(lambda moved, p=params, c=context, f=total: f(p, moved, c), z))
        if context is None:
            assert by_context is None
        else:
            near(by_context, by_entries(lambda moved, p=params, z=z, f=total: f(p, z, moved), context))
        found = gradient_by(flow, place)
        for name, wanted in by_parameters(lambda p, z=z, c=context, f=total: np.sum(weights * f(p, z, c)), params):
            near(found[name], wanted)


def check_log_q() -> None:
    """log q of a given z by inversion is that of the draw that gave it."""
    for flow, _, params, context in posteriors():
        start = states(flow)
        place = place_of(params, start, context)
        mapped = flow.forward(place, start)
        drawn, z = -0.5 * np.square(start).sum(axis=1) - mapped.log_det, mapped.value.copy()
        found = flow.inverse(place, z)
        near(found.value, start, 1e-9)
        near(-0.5 * np.square(found.value).sum(axis=1) + found.log_det, drawn, 1e-9)


def check_pullbacks_of_inverses() -> None:
    """Derivatives of signal . z0 + slope log det by a given z, by the context and, under row weights, by parameters."""
    rng = np.random.default_rng(6)
    weights, slope = rng.normal(size=ROWS), rng.normal(size=ROWS)
    for flow, oracle, params, context in [*((*made, None) for made in priors()), *posteriors()]:
        z = states(flow)
        place, signal = place_of(params, z, context), rng.normal(size=z.shape)

        def total(params: Any, z: Any, context: Any, of: Flow = oracle, signal: Floats = signal) -> Any:
            start = of.inverse(params, z, context)
            return np.sum(signal * start, axis=1) - slope * of.forward(params, start, context)[1]

        mapped = flow.inverse(place, z)
        by_state, by_context = mapped.pullback(signal, slope, weights)
        near(by_state, by_entries(lambda moved, p=params, c=context, f=total: f(p, moved, c), z), 1e-9)
        if context is not None:
            near(by_context, by_entries(lambda moved, p=params, z=z, f=total: f(p, z, moved), context), 1e-9)
        found = gradient_by(flow, place)
        for name, direction, wanted in along(lambda p, z=z, c=context, f=total: np.sum(weights * f(p, z, c)), params):
            near(np.sum(found[name] * direction), wanted, 1e-9)
            assert np.isfinite(found[name]).all()


# ---------------------------------------------------------------- draws and blocks


def check_draws() -> None:
    """Draws of two units against the density, in cells of a grid.

    Alarm rate 1e-6 a case. Draws whose order is not reversed between steps, and those by the parameters of the steps in
    the opposite order, are found with power 0.999.
    """
    draws, bins = 20000, 8
    edges = np.linspace(-4, 4, bins + 1)
    points, _ = grid(2, 12.0, 240)
    cell = np.ravel_multi_index(np.digitize(points, edges).T, (bins + 2,) * 2)
    for flow in (AutoregressiveFlow, CouplingFlow):
        model, oracle, _ = made(flow, 2, 2, (6,), kind="affine", activation="tanh")
        params = params_of(model, gain=1.0, seed=3)

        def cells(of: Flow, params: Any) -> Floats:
            density = np.exp(of.log_density(params, points))
            return np.bincount(cell, density / density.sum(), (bins + 2) ** 2)

        wanted = cells(oracle, params)
        other = Flow(2, 2, (6,), "affine", "tanh", coupling=oracle.coupling, reversed=False)
        turned = {f"f/{1 - int(name[2])}{name[3:]}": value for name, value in params.items()}
        assert stats.detectable_chi_square(draws, wanted, cells(other, params))
        assert stats.detectable_chi_square(draws, wanted, cells(oracle, turned))
        z = np.zeros((draws, 2))
        model.draw(place_of(params, z), z, (1, 2, 3), np.arange(draws))
        counts = np.bincount(np.ravel_multi_index(np.digitize(z, edges).T, (bins + 2,) * 2), minlength=len(wanted))
        stats.accept(stats.chi_square(counts, wanted), "draws do not follow the density")


def blocks_of(tape: Tape, edges: tuple[int, ...]) -> list[Part]:
    return [Part(tape, slice(a, b), edges[-1]) for a, b in pairwise(edges)]


def check_blocks() -> None:
    """In float32 log-densities, derivatives and draws have the same bits however rows are dealt to blocks."""
    for flow in (AutoregressiveFlow(20, 2, (70, 40), "affine"), CouplingFlow(20, 2, (40,), "affine")):
        params, z = params_of(flow, np.float32, 0.2), states(flow, 128).astype(np.float32)
        weights, seen = np.linspace(-1, 2, 128, dtype=np.float32), []
        for edges in ((0, 128), (0, 40, 128), (0, 32, 64, 96, 128)):
            tape, rows = Tape(z), np.arange(7, 135)
            found: list[list[Any]] = [[], [], []]
            for part in reversed(blocks_of(tape, edges)):
                place = Place("f", params, part)
                scored = flow.score(place, z[part.rows])
                found[0].insert(0, scored.log_density)
                found[1].insert(0, scored.by_state()[0].copy())
                scored.pull(weights[part.rows])
            gradient = gradient_by(flow, Place("f", params, tape.whole(128)))
            for part in blocks_of(tape, edges):
                drawn = np.zeros_like(z[part.rows])
                flow.draw(Place("f", params, part), drawn, (1, 2, 3), rows[part.rows])
                found[2].append(drawn)
            seen.append([*(np.concatenate(x) for x in found), *gradient.values()])
        for other in seen[1:]:
            assert all((a == b).all() for a, b in zip(seen[0], other, strict=True))


def check_single_precision() -> None:
    """In float32 log-densities, derivatives, inverses and theirs are those of float64, to rounding."""
    for flow in (AutoregressiveFlow(20, 2, (70, 40), "affine", "tanh"), CouplingFlow(20, 2, (40,), "affine")):
        params, z = params_of(flow, gain=0.2), states(flow, 64)
        single, rounded = {name: value.astype(np.float32) for name, value in params.items()}, z.astype(np.float32)
        exact = {name: value.astype(np.float64) for name, value in single.items()}
        results = []
        for p, x in ((single, rounded), (exact, rounded.astype(np.float64))):
            place = place_of(p, x)
            scored = flow.score(place, x)
            by_state = scored.by_state()[0].copy()
            scored.pull(np.ones(64, x.dtype))
            drawn = np.zeros_like(x)
            gradient = gradient_by(flow, place)
            flow.draw(place, drawn, (1, 2, 3), np.arange(64))
            back = flow.inverse(place, x).pullback(x, 1.0)[0]
            results.append([scored.log_density, by_state, drawn, back, *gradient.values()])
        for found, wanted in zip(*results, strict=True):
            assert np.abs(found - wanted).max() < 2e-5 * (1 + np.abs(wanted).max())
