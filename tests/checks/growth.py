"""Checks of growth against enumeration; they also catch the planted faults of models.growing."""

from __future__ import annotations

from typing import Any

import numpy as np
from checks.training import coin_rows, machine_of
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit

import boltz
from boltz.models.growing import RATE, WIRINGS, start_above
from boltz.training.stages import stages
from boltz.training.state import TrainState

Floats = Any
STARTS = (  # units of the machine, and hidden layers of the grown one
    ((4, 3), (3, 5)),
    ((4, 3), (5,)),
    ((3, 2), (3, 2, 2)),
    ((3, 2, 2), (4, 3)),
    ((3, 2, 2), (2, 2, 3)),
)


def machine(units: tuple[int, ...], rates: bool = False, seed: int = 5) -> Any:
    """A random machine in float64, perhaps with its own mean activities as kept rates."""
    table = Table.random(units, 1.0, seed)
    found = machine_of(table)
    if not rates:
        return found
    moments = enumeration.moments(table)
    return boltz.BoltzmannMachine(found.graph, found.arena, {n: moments[f"layer/{n}/bias"] for n in table.layers})


def log_p(model: Any) -> Floats:
    """log p(v) of all v, by enumeration."""
    table = Table.of(model)
    return enumeration.log_likelihood(table, enumeration.bits(table.layers["v"]))


def check_single_is_exact() -> None:
    """log p(v) of every v is what it was, for any scale; log Z has grown by log(1 / 0.9) for each new unit."""
    for units, layers in STARTS:
        for rates in (False, True):
            model = machine(units, rates)
            for scale in (0.0, None, 30.0):
                found = boltz.grow(model, layers, scale=scale, seed=2)
                assert np.abs(log_p(found) - log_p(model)).max() < 1e-10
                more = sum(layers) - sum(units[1:])
                change = enumeration.log_z(Table.of(found)) - enumeration.log_z(Table.of(model))
                assert abs(change + more * np.log1p(-RATE)) < 1e-10


def check_single_hears_one_unit() -> None:
    """Each new unit has one weight, of another size than others, and the units below are heard about equally often."""
    found = boltz.grow(machine((4, 3)), (3, 7), scale=2.0)
    weights = found.params["edge/h1-h2/weight"]
    assert ((weights != 0).sum(axis=0) == 1).all() and sorted((weights != 0).sum(axis=1)) == [2, 2, 3]
    sizes = weights[weights != 0]
    assert len(set(sizes)) == 7 and sizes.min() > 1 and sizes.max() < 3 and sizes.std() > 0.2
    model = machine((4, 3), rates=True)
    chosen = boltz.grow(model, (3, 1)).params["edge/h1-h2/weight"][:, 0].nonzero()[0]
    assert chosen == np.abs(model.rates["h1"] - 0.5).argmin(), "the unit that differs most between rows comes first"


def check_old_units_stay() -> None:
    """Weights between old units, biases of old units that none hears, and what is not a parameter."""
    model = machine((3, 2, 2), rates=True).with_levels(5)
    found = boltz.grow(model, (4, 3, 2))
    for name, old in model.params.items():
        if name.startswith("edge"):
            np.testing.assert_array_equal(found.params[name][: old.shape[0], : old.shape[1]], old)
    assert not found.params["edge/h1-h2/weight"][2:, :2].any(), "new units have weights upwards"
    assert found.levels == 5 and found.dtype == model.dtype and found.architecture == "3-4-3-2"
    assert all(np.array_equal(found.rates[n][: len(r)], r) for n, r in model.rates.items())
    assert boltz.grow(model.astype("float32"), (3, 2)).dtype == np.float32


def check_random_is_of_second_order() -> None:
    """Half the scale changes log p(v) a quarter as much, where a first order would halve it; no change at 0."""
    for units, layers in STARTS:
        for rates in (False, True):
            model = machine(units, rates)
            changes = [
                np.abs(log_p(boltz.grow(model, layers, "random", scale, 3)) - log_p(model)).max()
                for scale in (0.0, 0.01, 0.02)
            ]
            assert changes[0] < 1e-12 and 1e-7 < changes[2] < 0.01
            assert 3.5 < changes[2] / changes[1] < 4.5


def check_random_is_centred() -> None:
    """A new unit is on with probability 0.1 where the units below are at their kept rates, or at 1/2."""
    for rates in (False, True):
        model = machine((4, 3), rates)
        found = boltz.grow(model, (3, 6), "random", 0.7)
        means = model.rates["h1"] if rates else np.full(3, 0.5)
        on = expit(found.bias("h2") + means @ found.params["edge/h1-h2/weight"])
        np.testing.assert_allclose(on, RATE, rtol=0, atol=1e-12)


def check_rates_of_new_units() -> None:
    """Exact for units that hear one unit, whose old rates are those of the machine; none where none were kept."""
    for units, layers in STARTS:
        model = machine(units, rates=True)
        found = boltz.grow(model, layers, scale=3.0)
        moments = enumeration.moments(Table.of(found))
        for name, rate in found.rates.items():
            np.testing.assert_allclose(rate, moments[f"layer/{name}/bias"], rtol=0, atol=1e-10)
        assert boltz.grow(machine(units), layers).rates == {}
    wide = boltz.grow(machine((4, 3), rates=True), (3, 6), "random", 0.7)
    np.testing.assert_allclose(wide.rates["h2"], RATE, rtol=0, atol=1e-12)


def check_start_is_not_stuck() -> None:
    """The gradient of new weights is what the machine lacks of pairs and of single units, weighed as derived."""
    table = Table.random((4, 3), 1.0, 5)
    model, rows = machine((4, 3)), coin_rows(30, 4, 6)
    found = boltz.grow(model, (3, 4), scale=1.5)
    weights, bias = found.params["edge/h1-h2/weight"], np.log(RATE / (1 - RATE))
    given = enumeration.conditional(table, "h1", {"v": rows})
    pairs = given.T @ given
    np.fill_diagonal(pairs, given.sum(axis=0))
    p = enumeration.marginal(table, ("h1",))
    states = enumeration.bits(3)
    lacks = pairs / len(rows) - states.T @ (p[:, None] * states)
    single = np.diag(lacks)
    exact = enumeration.gradient(Table.of(found), rows)["edge/h1-h2/weight"]
    for k, i in enumerate(np.abs(weights).argmax(axis=0)):
        slope = expit(bias + weights[i, k]) - expit(bias)
        np.testing.assert_allclose(exact[:, k], slope * lacks[:, i] + expit(bias) * single, rtol=0, atol=1e-12)
    still = enumeration.gradient(Table.of(boltz.grow(model, (3, 4), scale=0.0)), rows)["edge/h1-h2/weight"]
    np.testing.assert_allclose(still, np.repeat(expit(bias) * single[:, None], 4, axis=1), rtol=0, atol=1e-12)


def check_seeds() -> None:
    """One seed one machine; layers and seeds have numbers of their own."""
    model = machine((4, 3))
    for wiring in ("single", "random"):
        one, same, other = (boltz.grow(model, (3, 4, 4), wiring, seed=s) for s in (1, 1, 2))
        np.testing.assert_array_equal(one.arena, same.arena)
        assert (one.arena != other.arena).any()
    two = boltz.grow(machine((3, 3)), (3, 3, 3), "random", 1.0)
    assert (two.params["edge/h1-h2/weight"] != two.params["edge/h2-h3/weight"]).all()


def check_start_above() -> None:
    """A fresh upper layer: weights of the usual scale, its rate, and log p(v) of the RBM below but for little.

    Without what is taken off below, log p(v) would be off by more than 0.5 here. A layer that has biases stays.
    """
    rbm = machine((4, 3))
    model = boltz.dbm([4, 3, 40, 2], seed=3, dtype=np.float64)
    for name, values in rbm.params.items():
        model.params[name][...] = values
    found = boltz.BoltzmannMachine(model.graph, model.arena.copy())
    start_above(found)
    for edge in ("edge/h1-h2/weight", "edge/h2-h3/weight"):
        np.testing.assert_allclose(found.params[edge].std(), WIRINGS["random"].scale, rtol=1e-12)
    np.testing.assert_allclose(expit(found.bias("h3")), RATE, rtol=1e-12)
    small = boltz.from_arrays([found.params["edge/v-h1/weight"]], [found.bias("v"), rbm.bias("h1")])
    np.testing.assert_array_equal(log_p(small), log_p(rbm))
    told = found.params["edge/h1-h2/weight"].sum(axis=1)
    np.testing.assert_allclose(found.bias("h1") - rbm.bias("h1"), -RATE * told, rtol=0, atol=1e-12)
    again = found.arena.copy()
    start_above(found)
    np.testing.assert_array_equal(found.arena, again)


def check_bottom_starts_above() -> None:
    """Upper layers start as the joint stage begins after a plain bottom pair, and only there."""
    for how, starts in (("bottom", True), ("doubling", False)):
        plan = stages(boltz.dbm([4, 3, 5]).plan, boltz.Settings(pretrain=how, pretrain_epochs=1))
        state = TrainState(boltz.dbm([4, 3, 5], seed=3), [])
        for i, stage in enumerate(plan):
            state.stage = i
            state.make_machine(stage, plan)
        assert state.model.bias("h2").any() == starts, how
