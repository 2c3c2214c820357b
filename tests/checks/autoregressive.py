"""Checks of autoregressive factors, NADE and MADE, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracles.directed import ACTIVATIONS, STEP
from support.stats import accept, chi_square, detectable_chi_square

from boltz.errors import InputError
from boltz.kernels import reference_made, reference_nade
from boltz.kernels.cpu import made as made_kernels
from boltz.kernels.cpu import nade as kernels
from boltz.kernels.cpu.recorded import recorded
from boltz.kernels.cpu.runners import Program
from boltz.kernels.cpu.words import NotRecordedError
from boltz.nn import dense
from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.factors import Place
from boltz.nn.made import Made
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

MADES = (
    Made(5, (7,)),
    Made(5, (9, 8), activation="tanh", natural=False, seed=3),
    Made(1, (2,)),
    Made(4, ()),
    Made(4, (), given=2),
    Made(4, (5,), activation="elu"),
    Made(5, (7, 6), given=3, activation="softplus", seed=1),
    Made(4, (6,), masks=3, seed=2),
    Made(4, (6, 5), given=2, masks=3, natural=False, seed=4, activation="tanh"),
)
STEPS = (None, 5)  # the mixture of all masks, and a step of training


def anew(factors: Any) -> Any:
    """Equal factors that have worked out nothing yet."""
    return map(replace, factors)


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
    """Log-densities (rows,) by Larochelle & Murray (2011), each unit from nothing; real or complex."""
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


def plain_mask(factor: Made, mask: int, params: Any, above: Any, state: Floats) -> Any:
    """Log-densities (rows,) under a mask, each weight of which is looked at by itself (Germain et al. 2015, section 4).

    The degrees are those of the factor, which test_degrees looks at.
    """
    degrees, layer, lower = factor.degrees[mask], state, factor.degrees[mask]["units"] + 1
    for name in factor.hidden:
        upper = degrees[name]
        mask_w = np.array([[float(k >= d) for k in upper] for d in lower])
        field = layer @ (params[f"f/{name}/weight"] * mask_w) + params[f"f/{name}/bias"]
        if name == "hidden/0" and factor.given:
            field = field + above @ params["f/given/hidden/weight"]
        layer, lower = act(factor.activation, field), upper
    position = degrees["units"] + 1
    logits = params["f/units/bias"] * np.ones((len(state), 1))
    if factor.hidden:
        mask_v = np.array([[float(d > k) for d in position] for k in lower])
        logits = logits + layer @ (params["f/units/weight"] * mask_v)
    logits = logits + state @ (
        params["f/direct/weight"] * np.array([[float(d > k) for d in position] for k in position])
    )
    if factor.given:
        logits = logits + above @ params["f/given/units/weight"]
    return coin(logits, state).sum(axis=1)


def plain(factor: Any, params: Any, above: Any, state: Floats, step: int | None = None) -> Any:
    """Log-densities (rows,) by the papers; of a MADE without a step the mixture of all masks."""
    if isinstance(factor, Nade):
        return plain_nade(factor, params, above, state)
    masks = range(factor.masks) if step is None else [step % factor.masks]
    return np.log(np.mean([np.exp(plain_mask(factor, mask, params, above, state)) for mask in masks], axis=0))


# ---------------------------------------------------------------- checks


def check_densities(factors: Any = NADES) -> None:
    """Log-densities are those of the papers, also where a state stands for several rows of the layer above."""
    for factor in anew(factors):
        params, above = params_of(factor), above_of(factor)
        for rows in (ROWS, ROWS // 3):
            state = states(rows, factor.units)
            for step in STEPS:
                wanted = plain(factor, params, above, np.repeat(state, ROWS // rows, axis=0), step)
                found = log_density(factor, params, above, state, step)
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12, err_msg=repr(factor))


def check_normalisation(factors: Any = NADES) -> None:
    """Probabilities of all states sum to 1 for each row of the layer above."""
    for factor in anew(factors):
        params, every = params_of(factor), every_state(factor.units)
        for row in above_of(factor, 2):
            above = np.tile(row, (len(every), 1))
            for step in STEPS:
                assert abs(np.exp(log_density(factor, params, above, every, step)).sum() - 1) < 1e-10, factor


def check_slopes(factors: Any = NADES) -> None:
    """Weighted parameter gradients and the unweighted signal above are slopes of the log-density, by complex steps."""
    for factor in anew(factors):
        for step in STEPS:
            for rows in (ROWS, ROWS // 2):
                slopes_are_right(factor, step, rows)


def slopes_are_right(factor: Any, step: int | None, rows: int) -> None:
    rng = np.random.default_rng(4)
    params, above, weights, state = (
        params_of(factor),
        above_of(factor),
        rng.normal(size=ROWS),
        states(rows, factor.units),
    )
    whole, place = np.repeat(state, ROWS // rows, axis=0), place_of(factor, params, above, step)
    signal = factor.score(place, state).pull(weights, bool(factor.given), True)
    found = gradient_of(factor, place)
    for name, value in params.items():
        direction = rng.normal(size=value.shape)
        moved = params | {name: value + 1j * STEP * direction}
        slope = weights @ np.imag(plain(factor, moved, above, whole, step)) / STEP
        assert abs(np.sum(found[name] * direction) - slope) < 1e-10, (factor, name)
    if factor.given:
        direction = rng.normal(size=above.shape)
        by_row = np.imag(plain(factor, params, above + 1j * STEP * direction, whole, step)) / STEP
        np.testing.assert_allclose(np.sum(signal * direction, axis=1), by_row, rtol=0, atol=1e-11)


def check_pull_options(factors: Any = NADES) -> None:
    """Without keep the tape stays as it is and the signal is the same; no weights are ones; no signal is None."""
    for factor in anew(factors):
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


def order_of(factor: Any, mask: int) -> list[int]:
    """The units as they are visited."""
    if isinstance(factor, Nade):
        return list(factor.order or range(factor.units))
    return [int(i) for i in np.argsort(factor.degrees[mask]["units"])]


def conditionals(factor: Any, params: Any, above: Floats, state: Floats, step: int) -> Floats:
    """The probability (rows, units) of each unit given those before it, from the score that is left on the tape."""
    place = place_of(factor, params, above, step)
    factor.score(place, state)
    name = "f/score" if isinstance(factor, Nade) else "f/0/units/value"
    return state - place.part.get(name, factor.units)


def check_order(factors: Any = NADES) -> None:
    """A unit does not hear itself or those after it, and hears each of those before it."""
    for factor in anew(factors):
        params, above, state = params_of(factor), above_of(factor), states(ROWS, factor.units)
        for mask in range(getattr(factor, "masks", 1)):
            order, here = order_of(factor, mask), conditionals(factor, params, above, state, mask)
            for k, i in enumerate(order):
                flipped = state.copy()
                flipped[:, i] = 1 - flipped[:, i]
                change = np.abs(conditionals(factor, params, above, flipped, mask) - here).max(axis=0)
                assert (change[order[: k + 1]] < 1e-15).all() and (change[order[k + 1 :]] > 1e-9).all(), (factor, i)


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
    for factor in anew(factors):
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
    for factor in anew(factors):
        above, state = above_of(factor, rows, np.float32), states(rows, factor.units, np.float32)
        params, weights = params_of(factor, np.float32), np.random.default_rng(5).normal(size=rows).astype(np.float32)
        whole = place_of(factor, params, above, 1)
        wanted = in_blocks(factor, whole, [0, rows], state, weights)
        for edges in ([0, 16, rows], [0, 12, 24, rows]):
            for name, found in in_blocks(factor, whole, edges, state, weights).items():
                np.testing.assert_array_equal(found, wanted[name], err_msg=f"{factor} {name}")


def check_made_kernels() -> None:
    """The compiled draw, which goes through the net once, agrees with a net that is worked out anew for each unit."""
    rng = np.random.default_rng(7)
    for widths in ((), (6,), (7, 5, 4)):
        for kind in dense.ACTIVATIONS:
            net, found = Made(5, widths, masks=3, seed=8, natural=False, activation=kind, given=1), []
            degrees = tuple(np.stack([each[layer] for each in net.degrees]) for layer in ("units", *net.hidden))
            chain = [5, *widths, 5] if widths else [5]
            shapes = [(5, 5), *pairwise(chain)]
            weights = tuple(rng.normal(size=shape) for shape in shapes)
            fields = [rng.normal(size=(30, n)) for n in (5, *widths)]
            for backend in (made_kernels, reference_made):
                state, mine = np.full((30, 5), 9.0), tuple(field.copy() for field in fields)
                backend.made_draw(mine, weights, degrees, kind, (4, 5, 6), 7 + 3 * np.arange(30), state)
                found.append(state)
            np.testing.assert_array_equal(*found)
    weight, below, above = rng.normal(size=(6, 9)), rng.integers(0, 5, 6), rng.integers(0, 5, 9)
    found = [np.full_like(weight, 9), np.full_like(weight, 9)]
    for backend, out in zip((made_kernels, reference_made), found, strict=True):
        backend.masked(weight, below, above, out)
    np.testing.assert_array_equal(*found)


def check_threads() -> None:
    """Blocks that threads score at once, the first of which masks weights for all, give the bits of one after another.

    Jobs cut for a team of threads give the bits of those that are not cut.
    """
    rows, factor = 160, Made(300, (256,), masks=2, seed=3)
    state, params = states(rows, 300, np.float32), params_of(factor, np.float32)
    weights = np.random.default_rng(5).normal(size=rows).astype(np.float32)
    wanted = in_blocks(
        factor, place_of(factor, params, above_of(factor, rows, np.float32), 0), [0, rows], state, weights
    )
    with ThreadPoolExecutor(4) as pool:
        for step in (0, 2, 4):
            whole = place_of(factor, params, above_of(factor, rows, np.float32), step)
            whole.part.tape.team = 4

            def work(first: int, whole: Place = whole) -> Floats:
                mine = slice(first, first + 40)
                scored = factor.score(replace(whole, part=Part(whole.part.tape, mine, rows)), state[mine])
                scored.pull(weights[mine], False, True)
                return scored.log_density

            found = {"density": np.concatenate(list(pool.map(work, range(0, rows, 40)))), **gradient_of(factor, whole)}
            for name, value in found.items():
                np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def check_precision(factors: Any = NADES) -> None:
    """Float32 agrees with float64 to rounding."""
    for factor in anew(factors):
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


def check_degrees() -> None:
    """Degrees lie where they must, differ between masks and seeds, and each number comes as often as the others.

    One alarm in 10^6 a layer; catches a range that is one too short.
    """
    net = Made(8, (4000, 3000), masks=2, seed=5, natural=False)
    for mask, degrees in enumerate(net.degrees):
        assert sorted(degrees["units"]) == list(range(8)) and (degrees["state"] == degrees["units"] + 1).all()
        for layer, least in (("hidden/0", 1), ("hidden/1", int(degrees["hidden/0"].min()))):
            counts = np.bincount(degrees[layer], minlength=8)
            assert counts[:least].sum() == 0 and len(counts) == 8
            accept(
                chi_square(counts[least:], np.full(8 - least, 1 / (8 - least))), f"degrees of {layer} are not uniform"
            )
        other = net.degrees[1 - mask]
        assert all((degrees[layer] != other[layer]).any() for layer in ("units", "hidden/0", "hidden/1"))
    again, others = Made(8, (4000, 3000), masks=3, seed=5, natural=False), Made(8, (4000, 3000), seed=6)
    assert all((again.degrees[1][layer] == x).all() for layer, x in net.degrees[1].items())
    assert (others.degrees[0]["hidden/0"] != net.degrees[0]["hidden/0"]).any()
    assert (others.degrees[0]["units"] == np.arange(8)).all()
    deep = Made(40, (2, 2000), seed=1).degrees[0]
    assert deep["hidden/0"].min() > 1 and deep["hidden/1"].min() == deep["hidden/0"].min()
    assert Made(3, (500,), given=1).degrees[0]["hidden/0"].min() == 0


def check_steps() -> None:
    """Step n takes mask n modulo their number; masked weights follow the parameters from one step to the next."""
    factor = Made(4, (6,), masks=3, seed=2)
    params, above, state = params_of(factor), above_of(factor), states(ROWS, 4)
    place = place_of(factor, params, above)
    factor.score(replace(place, step=0), state)
    for step in (1, 2, 2, 3, 7):
        scored = factor.score(replace(place, step=step), state)
        wanted = plain_mask(factor, step % 3, params, above, state)
        np.testing.assert_allclose(scored.log_density, wanted, rtol=0, atol=1e-12)
        scored.pull(None, False, True)
        factor.products(replace(place, step=step), {name: value.copy() for name, value in params.items()})
        params["f/hidden/0/weight"][...] += 0.5


def check_refusals(factor: Any) -> None:
    """A tape on a GPU and a tape whose work is recorded are refused, before anything is worked out."""
    state = states(20, factor.units, np.float32)
    place = place_of(factor, params_of(factor, np.float32), above_of(factor, 20, np.float32))

    class OnDevice:
        """Stands for an array of CuPy."""

    OnDevice.__module__ = "cupy.something"
    likes: list[tuple[Any, type[Exception], str]] = [
        (OnDevice(), InputError, "works on the CPU alone"),
        (recorded(state, Program()), NotRecordedError, "is no operation of a program"),
    ]
    for like, error, told in likes:
        elsewhere = replace(place, part=Tape(like).whole(20))
        for call in (
            lambda place: factor.score(place, state),
            lambda place: factor.draw(place, state, (1, 2, 3), np.arange(20)),
        ):
            with pytest.raises(error, match=told):
                call(elsewhere)


def check_made_densities() -> None:
    check_densities(MADES)


def check_made_normalisation() -> None:
    check_normalisation(MADES)


def check_made_slopes() -> None:
    check_slopes(MADES)


def check_made_draws() -> None:
    check_draws(MADES)


def check_made_order() -> None:
    check_order(MADES)


def check_made_pull_options() -> None:
    check_pull_options(MADES)
