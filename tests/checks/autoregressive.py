"""Checks of autoregressive factors, NADE and MADE, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from oracles.directed import ACTIVATIONS, STEP
from support.stats import accept, chi_square, detectable_chi_square

from boltz.kernels import reference_nade
from boltz.kernels.cpu import nade as kernels
from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.factors import Place
from boltz.nn.nade import Nade

Floats = Any
ROWS, BIAS = 6, "f/units/bias"
NADES = (
    Nade(5, 7),
    Nade(5, 150, activation="relu"),
    Nade(1, 3),
    Nade(5, 7, given=3, order=(3, 0, 4, 1, 2)),
    Nade(4, 3, given=2, activation="relu", order=(3, 2, 1, 0)),
)


def params_of(factor: Any, dtype: Any = np.float64, seed: int = 1) -> dict[str, Any]:
    """Normal parameters of a factor under the name "f", views into one arena."""
    shapes = factor.shapes("f")
    return views(shapes, np.random.default_rng(seed).normal(0, 0.7, size(shapes)).astype(dtype))


def states(rows: int, units: int, dtype: Any = np.float64) -> Floats:
    return np.random.default_rng(2).integers(0, 2, (rows, units)).astype(dtype)


def every_state(units: int) -> Floats:
    return ((np.arange(2**units)[:, None] >> np.arange(units)) & 1).astype(float)


def above_of(factor: Any, rows: int = ROWS, dtype: Any = np.float64) -> Floats:
    """States of the layer above (rows, given), real ones."""
    return np.random.default_rng(3).normal(size=(rows, factor.given)).astype(dtype)


def place_of(factor: Any, params: Any, above: Floats, step: int | None = None) -> Place:
    """A place of all rows on a tape of its own, with the layer above in it."""
    part = Tape(above).whole(len(above))
    if factor.given:
        part.get("above", factor.given)[...] = above
    return Place("f", params, part, "above" if factor.given else "", step)


def log_density(factor: Any, params: Any, above: Floats, state: Floats, step: int | None = None) -> Floats:
    return factor.score(place_of(factor, params, above, step), state).log_density


def gradient_of(factor: Any, place: Place) -> dict[str, Floats]:
    """The parameter gradients that wait on the tape, by jobs in reverse order, written over nines."""
    found = {name: np.full_like(value, 9.0) for name, value in place.params.items()}
    for job in reversed(factor.products(place, found)):
        job()
    return found


# ---------------------------------------------------------------- what the papers say, unit by unit


def act(kind: str, field: Any) -> Any:
    return 1 / (1 + np.exp(-field)) if kind == "sigmoid" else ACTIVATIONS[kind](field)


def coin(logit: Any, state: Floats) -> Any:
    return state * logit - np.log(1 + np.exp(logit))


def plain_nade(factor: Nade, params: Any, above: Any, state: Floats) -> Any:
    """Log-densities (rows,) by eqs. 4-7 of Larochelle & Murray (2011), each unit from nothing; real or complex."""
    linear, start = params["f/units/bias"], params["f/hidden/bias"]
    if factor.given:
        linear = linear + above @ params["f/given/units/weight"]
        start = start + above @ params["f/given/hidden/weight"]
    total, before = 0.0, list[int]()
    for i in factor.order or range(factor.units):
        h = act(factor.activation, start + state[:, before] @ params["f/hidden/weight"][before])
        logit = linear[..., i] + h @ params["f/units/weight"][i]
        total = total + coin(logit, state[:, i])
        before.append(i)
    return total * np.ones(len(state))


def plain(factor: Any, params: Any, above: Any, state: Floats) -> Any:
    return plain_nade(factor, params, above, state)


# ---------------------------------------------------------------- checks


def check_densities(factors: Any = NADES) -> None:
    """Log-densities are those of the papers, also where a state stands for several rows of the layer above."""
    for factor in factors:
        params, above = params_of(factor), above_of(factor)
        for rows in (ROWS, ROWS // 3):
            state = states(rows, factor.units)
            wanted = plain(factor, params, above, np.repeat(state, ROWS // rows, axis=0))
            np.testing.assert_allclose(log_density(factor, params, above, state), wanted, rtol=0, atol=1e-12)


def check_normalisation(factors: Any = NADES) -> None:
    """Probabilities of all states sum to 1 for each row of the layer above."""
    for factor in factors:
        params, every = params_of(factor), every_state(factor.units)
        for row in above_of(factor, 2):
            above = np.tile(row, (len(every), 1))
            assert abs(np.exp(log_density(factor, params, above, every)).sum() - 1) < 1e-10, factor


def check_slopes(factors: Any = NADES) -> None:
    """Weighted parameter gradients and the unweighted signal above are slopes of the log-density, by complex steps."""
    rng = np.random.default_rng(4)
    for factor in factors:
        params, above, weights = params_of(factor), above_of(factor), rng.normal(size=ROWS)
        for rows in (ROWS, ROWS // 2):
            state = states(rows, factor.units)
            whole, place = np.repeat(state, ROWS // rows, axis=0), place_of(factor, params, above)
            signal = factor.score(place, state).pull(weights, bool(factor.given), True)
            found = gradient_of(factor, place)
            for name, value in params.items():
                direction = rng.normal(size=value.shape)
                moved = params | {name: value + 1j * STEP * direction}
                slope = weights @ np.imag(plain(factor, moved, above, whole)) / STEP
                assert abs(np.sum(found[name] * direction) - slope) < 1e-10, (factor, name)
            if factor.given:
                direction = rng.normal(size=above.shape)
                by_row = np.imag(plain(factor, params, above + 1j * STEP * direction, whole)) / STEP
                np.testing.assert_allclose(np.sum(signal * direction, axis=1), by_row, rtol=0, atol=1e-11)


def check_pull_options(factors: Any = NADES) -> None:
    """Without keep the tape stays as it is and the signal is the same; no weights are ones; no signal is None."""
    for factor in factors:
        params, above, state = params_of(factor), above_of(factor), states(ROWS, factor.units)
        whole = place_of(factor, params, above)
        signal = factor.score(whole, state).pull(np.ones(ROWS), bool(factor.given), True)
        wanted = gradient_of(factor, whole)
        place = place_of(factor, params, above)
        scored = factor.score(place, state)
        if factor.given:
            np.testing.assert_array_equal(np.array(scored.pull(np.full(ROWS, 7.0), True, False)), signal)
        assert scored.pull(None, False, True) is None
        for name, found in gradient_of(factor, place).items():
            np.testing.assert_array_equal(found, wanted[name], err_msg=name)


def check_order(factors: Any = NADES) -> None:
    """A unit does not hear itself or those after it, to the last bit, and hears each of those before it."""
    for factor in factors:
        params, above, state = params_of(factor), above_of(factor), states(ROWS, factor.units)

        def logits(state: Floats, factor: Any = factor, params: Any = params, above: Floats = above) -> Floats:
            place = place_of(factor, params, above)
            factor.score(place, state)
            return state - place.part.get("f/score", factor.units)  # probabilities

        order, here = factor.order or range(factor.units), logits(state)
        for k, i in enumerate(order):
            flipped = state.copy()
            flipped[:, i] = 1 - flipped[:, i]
            changed = (np.abs(logits(flipped) - here) > 1e-15).any(axis=0)
            early, late = list(order[: k + 1]), list(order[k + 1 :])
            assert not changed[early].any() and changed[late].all(), (factor, i)


def probabilities(factor: Any, params: Any, above: Floats, tilt: float = 0.0) -> Floats:
    """Of every state given one row above, where the logit of unit 0 is off by tilt."""
    every = every_state(factor.units)
    moved = {
        name: value + tilt * (np.arange(len(value)) == 0) if name == BIAS else value for name, value in params.items()
    }
    found = np.exp(log_density(factor, moved, np.tile(above, (len(every), 1)), every))
    return found / found.sum()


def check_draws(factors: Any = NADES) -> None:
    """Draws have the probabilities of the density; one alarm in 10^6 a factor.

    Catches a logit of one unit that is off by 0.25.
    """
    draws = 40_000
    for factor in factors:
        params, above = params_of(factor), above_of(factor, 1)
        p = probabilities(factor, params, above)
        assert detectable_chi_square(draws, p, probabilities(factor, params, above, 0.25)), "too few draws"
        state = np.full((draws, factor.units), np.nan)
        place = place_of(factor, params, np.tile(above, (draws, 1)))
        factor.draw(place, state, (1, 2, 3), np.arange(draws))
        numbers = (state @ 2 ** np.arange(factor.units)).astype(int)
        accept(chi_square(np.bincount(numbers, minlength=len(p)), p), f"draws of {factor} have another law")


def in_blocks(factor: Any, whole: Place, edges: list[int], state: Floats, weights: Floats) -> dict[str, Floats]:
    """Log-densities, signals, draws and parameter gradients, the rows dealt to blocks between edges, last one first."""
    rows = len(state)
    found = {"density": np.empty(rows), "signal": np.zeros((rows, factor.given)), "draw": np.empty_like(state)}
    for first, last in reversed(list(pairwise(edges))):
        mine = slice(first, last)
        place = replace(whole, part=Part(whole.part.tape, mine, rows))
        scored = factor.score(place, state[mine])
        found["density"][mine] = scored.log_density
        signal = scored.pull(weights[mine], bool(factor.given), True)
        if signal is not None:
            found["signal"][mine] = signal
    found |= gradient_of(factor, whole)
    for first, last in pairwise(edges):
        place = replace(whole, part=Part(whole.part.tape, slice(first, last), rows))
        factor.draw(place, found["draw"][first:last], (1, 2, 3), 100 + np.arange(first, last))
    return found


def check_blocks(factors: Any = NADES) -> None:
    """Results in float32 are the same to the last bit however rows are dealt to blocks."""
    rows = 37
    for factor in factors:
        above, state = above_of(factor, rows, np.float32), states(rows, factor.units, np.float32)
        params, weights = params_of(factor, np.float32), np.random.default_rng(5).normal(size=rows).astype(np.float32)
        whole = place_of(factor, params, above, 1)
        wanted = in_blocks(factor, whole, [0, rows], state, weights)
        for edges in ([0, 8, rows], [0, 12, 20, 28, rows]):
            for name, found in in_blocks(factor, whole, edges, state, weights).items():
                np.testing.assert_array_equal(found, wanted[name], err_msg=f"{factor} {name}")


def check_precision(factors: Any = NADES) -> None:
    """Float32 agrees with float64 to rounding."""
    for factor in factors:
        found = []
        for dtype in (np.float32, np.float64):
            params = {name: value.astype(dtype) for name, value in params_of(factor, np.float32).items()}
            above, state = above_of(factor, ROWS, np.float32).astype(dtype), states(ROWS, factor.units, dtype)
            place = place_of(factor, params, above)
            scored = factor.score(place, state)
            signal = scored.pull(np.ones(ROWS, dtype), bool(factor.given), True)
            found.append(
                [scored.log_density, *gradient_of(factor, place).values(), *([] if signal is None else [signal])]
            )
            assert scored.log_density.dtype == np.float64
        for single, double in zip(*found, strict=True):
            np.testing.assert_allclose(single, double, rtol=0, atol=3e-5 * (1 + np.abs(double).max()))


def check_nade_kernels() -> None:
    """The compiled passes agree with those written for reading, at shapes on both sides of spans and groups."""
    rng = np.random.default_rng(6)
    for rows, units, hidden in ((3, 1, 5), (9, 6, 64), (17, 5, 131)):
        for relu in (False, True):
            nets = reference_nade.Nets(
                *(rng.normal(size=shape) for shape in ((units, hidden), hidden, (units, hidden)))
            )
            field, score, order = (
                rng.normal(size=(rows, hidden)),
                rng.normal(size=(rows, units)),
                rng.permutation(units),
            )
            start, state, found = rng.normal(size=(rows, units)), rng.integers(0, 3, (rows, units)) / 2, []
            for backend in (kernels, reference_nade):
                logits, signal, drawn = start.copy(), np.full_like(field, 9), np.full_like(start, 9)
                backend.nade_logits(field, nets, order, state, relu, logits)
                backend.nade_signal(field, nets, order, state, score, relu, signal)
                gradient = reference_nade.Nets(*(np.full_like(x, 9) for x in nets))
                backend.nade_gradient(field, nets, order, state, score, relu, (2, hidden - 1), gradient)
                at_draw = start.copy()
                backend.nade_draw(field, nets, order, relu, at_draw, (4, 5, 6), 7 + 3 * np.arange(rows), drawn)
                found.append([logits, signal, drawn, at_draw, *gradient])
            for mine, wanted in zip(*found, strict=True):
                np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-12)
