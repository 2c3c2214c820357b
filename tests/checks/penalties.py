"""Checks of the l1b penalty against finite differences, and of the zero-sum gauge against sums over every state."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from checks.any_units import machine
from checks.training import SERIAL, arena_machine, coin_rows, updated
from numpy.typing import NDArray
from oracles.mixed import Mixed
from scipy.special import softmax
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.training import optimizers
from boltz.training.settings import OPTIMIZERS, Settings
from boltz.training.stages import settings_of

Floats = NDArray[np.float64]
STEP = 1e-5


def penalty_of(weight: Floats, strength: float) -> float:
    """Eq. 8 of Tubiana, Cocco & Monasson (2019) for one matrix (n, units), by a loop over the units."""
    return sum(strength / (2 * len(weight)) * sum(abs(w) for w in column) ** 2 for column in weight.T)


def slope_of(penalty: Callable[[], float], weight: Floats) -> Floats:
    """Central differences of a penalty in one matrix, which it reads; exact but for rounding where no sign changes."""
    found = np.zeros_like(weight)
    for place in np.ndindex(*weight.shape):
        kept = weight[place]
        values = []
        for step in (STEP, -STEP):
            weight[place] = kept + step
            values.append(penalty())
        weight[place], found[place] = kept, (values[0] - values[1]) / (2 * STEP)
    return found


def strong(model: Any) -> Any:
    """A float64 copy with numbers between 0.1 and 1 in size, so that no sign is in doubt."""
    rng = np.random.default_rng(3)
    size = model.arena.size
    return replace(model, arena=rng.choice([-1.0, 1.0], size) * rng.uniform(0.1, 1.0, size))


def check_l1b() -> None:
    """A step without a gradient goes down the slope of the penalty by finite differences, by pair; biases stay.

    Catches another power, sums over the units of the wrong side, a penalty that is not divided by the number of weights
    or grows them, the strength of another pair, and weights of directed machines that are left out.
    """
    machines = [boltz.dbm([5, 4, 3, 2]), boltz.rbm(4, 3, units=("categorical", 3)), boltz.rbm(4, 3, units="spin")]
    for model in [*machines, boltz.sbn([5, 4, 3], [2]), boltz.vae([5, 3], 2), boltz.dbn([5, 4, 3])]:
        start, found = strong(model), strong(model)
        weights = [name for name in start.params if name.endswith("weight")]
        deep = isinstance(model, BoltzmannMachine) and len(weights) > 1
        strengths = [0.5, 0.0, 2.0][: len(weights)] if deep else [0.5] * len(weights)
        given = {"l1b": tuple(strengths) if deep else 0.5, "optimizer": "momentum"}
        settings, kept = settings_of(model.plan, given), np.zeros_like(start.arena)
        state, count = optimizers.init(settings, found), len(strengths) if deep else 1
        step = optimizers.Step([0.1] * count, [0.0] * count, 1)
        assert optimizers.apply(settings, found, kept, state, step, SERIAL) and not kept.any()
        for name, x in start.params.items():
            slope = np.zeros_like(x)
            if name in weights:
                strength = strengths[weights.index(name)]
                slope = slope_of(lambda x=x, strength=strength: penalty_of(x, strength), x)
            np.testing.assert_allclose(found.params[name], x - 0.1 * slope, rtol=0, atol=1e-9, err_msg=name)


def check_l1b_of_optimizers() -> None:
    """With each optimizer three steps are those of gradients from which the slope was taken by hand."""
    gradients = np.random.default_rng(4).normal(size=(3, 44))
    for optimizer in OPTIMIZERS:
        plain = Settings(learning_rate=0.05, optimizer=optimizer, momentum=0.5, l2=0.1)
        found, state = updated(replace(plain, l1b=0.7), arena_machine(), gradients)
        by_hand, kept = arena_machine(), optimizers.init(plain, arena_machine())
        for count, gradient in enumerate(gradients, 1):
            less = gradient.copy()
            named = by_hand.views(less)
            for edge in by_hand.graph.edges:
                w = by_hand.params[edge.key]
                named[edge.key][...] -= 0.7 * np.sign(w) * np.abs(w).sum(axis=0) / len(w)
            step = optimizers.step_at(replace(plain, schedule="constant", momentum_epochs=0), 0, count)
            optimizers.apply(plain, by_hand, less, kept, step, SERIAL)
            np.testing.assert_allclose(found[count - 1], by_hand.arena, rtol=0, atol=1e-14)
        for name, x in state.items():
            np.testing.assert_allclose(x, kept[name], rtol=0, atol=1e-14)


def check_l1b_of_centred_machines() -> None:
    """In the parameters of the centred machine, b + W m, a step goes down the slope of the weights alone.

    Catches biases that are left out, on either side, and offsets of the wrong side.
    """
    rng = np.random.default_rng(6)
    start, found, settings = strong(boltz.dbm([5, 4, 3])), strong(boltz.dbm([5, 4, 3])), Settings(l1b=0.8)
    offsets = {name: rng.random(units) for name, units in start.units.items()}
    step = optimizers.Step([0.1], [0.0], 1, offsets)
    optimizers.apply(settings, found, np.zeros_like(start.arena), optimizers.init(settings, found), step, SERIAL)
    for edge in start.graph.edges:
        w = start.params[edge.key]
        slope = slope_of(lambda w=w: penalty_of(w, 0.8), w)
        np.testing.assert_allclose(found.params[edge.key], w - 0.1 * slope, rtol=0, atol=1e-9)
    for layer in start.units:
        before, after = (
            m.bias(layer) + m.input(layer, {n: x[None] for n, x in offsets.items()}) for m in (start, found)
        )
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)
        assert np.abs(found.bias(layer) - start.bias(layer)).max() > 1e-3


def exact_means(model: BoltzmannMachine) -> Floats:
    """Visible means of a machine of few 0/1 units by a sum over all rows."""
    rows = np.stack(np.meshgrid(*[[0.0, 1.0]] * model.units["v"], indexing="ij"), axis=-1).reshape(-1, model.units["v"])
    return np.asarray(softmax(-model.free_energy(rows)) @ rows)


def check_l1b_ends_at_the_maximum() -> None:
    """Biases have no penalty, so that visible means end at those of the rows, centred or not, within 0.03.

    Trainings end 0.01 off here, as rates fall to 0; catches offsets that do not reach the step, which costs 0.07.
    """
    rng = np.random.default_rng(5)
    cause = rng.random((600, 1)) < 0.8
    x = np.where(rng.random((600, 12)) < 0.95, cause, ~cause).astype(np.float64)
    given = {"epochs": 50, "batch_size": 100, "chains": 500, "learning_rate": 0.2, "l1b": 0.05, "snapshots": 0}
    for center in (False, True):
        model = boltz.rbm(12, 8, x, seed=1, dtype=np.float64, initial_scale=0.5)
        found = plain_train(model, x, **given, center=center).model
        assert np.abs(found.visible_weights).max() > 0.1, "the penalty must leave something to err by"
        off = np.abs(exact_means(found) - x.mean(axis=0)).max()
        assert off < 0.03, (center, off)


def check_l1b_in_training() -> None:
    """It acts in trainings of 0/1 units, whose steps are else made in one call: weights are less than half as large."""
    x = coin_rows(200, 40, 5).astype(np.float32)
    given = {"epochs": 5, "batch_size": 20, "chains": 20, "learning_rate": 0.02, "snapshots": 0}
    sizes = []
    for strength in (0.0, 5.0):
        model = boltz.rbm(40, 33, x, seed=1, initial_scale=1.0)
        run = plain_train(model, x, **given, l1b=strength)
        sizes.append(float(np.abs(run.model.visible_weights).sum()))
    assert sizes[1] < 0.5 * sizes[0], sizes


# ---------------------------------------------------------------- the zero-sum gauge


def oracle_of(model: BoltzmannMachine, like: Mixed) -> Mixed:
    """Sums over the states of a machine with the kinds of another oracle."""
    weights = [np.array(model.params[edge.key]) for edge in model.graph.edges]
    return Mixed(like.units, weights, [np.array(model.bias(name)) for name in model.units])


def off_zero(model: BoltzmannMachine) -> float:
    """The largest sum over the states of a unit, of weights to one unit or of biases."""
    sums = []
    for layer in model.layers:
        if layer.columns > 1:
            sums.append(model.bias(layer.name).reshape(-1, layer.columns).sum(axis=1))
            for key, _, lower in model.graph.neighbours[layer.name]:
                weight = model.params[key] if lower else model.params[key].T
                sums.append(weight.reshape(-1, layer.columns, weight.shape[1]).sum(axis=1).ravel())
    return float(max(np.abs(each).max() for each in sums))


def check_zero_sum() -> None:
    """log p of every state of all layers by plain sums is the same within 1e-9, and log Z changes by one constant.

    Catches fields that are not made good on the other side, or only for one site, sums over the wrong columns, hidden
    categories that are left out, and biases that do not sum to 0.
    """
    chains = [["categorical:3", "bernoulli"], ["categorical:3", "spin"], ["bernoulli", "categorical:3"]]
    chains += [["categorical:3", "categorical:3"], ["categorical:3", "bernoulli", "spin"]]
    chains += [["spin", "categorical:3", "bernoulli"], ["categorical:3", "categorical:3", "categorical:3"]]
    for seed, names in enumerate(chains):
        model, before = machine(names, [3, 2] if len(names) == 2 else [2, 2, 1], 40 + seed)
        arena = model.arena.copy()
        found = boltz.zero_sum(model)
        after = oracle_of(found, before)
        change = after.log_z() - before.log_z()
        assert abs(change) > 1e-3 and (model.arena == arena).all(), "the machine itself stays as it is"
        np.testing.assert_allclose(after.log_density() - change, before.log_density(), rtol=0, atol=1e-9)
        assert off_zero(model) > 0.1 and off_zero(found) < 1e-12, names
        np.testing.assert_allclose(boltz.zero_sum(found).arena, found.arena, rtol=0, atol=1e-12)
        exact = boltz.exact_log_z(found).value - boltz.exact_log_z(model).value
        np.testing.assert_allclose(exact, change, rtol=0, atol=1e-9)


def check_zero_sum_of_real_units() -> None:
    """Energies of states with real numbers on the other side change by one constant; catches what is right for 0/1."""
    rng = np.random.default_rng(7)
    for kind in ("gaussian", "rectified", "drelu"):
        model = strong(boltz.rbm(4, 3, units=("categorical", 3), hidden_units=kind))
        hidden = np.abs(rng.normal(size=(50, 3))) * (1 if kind == "rectified" else rng.choice([-1, 1], (50, 3)))
        state = {"v": np.eye(3)[rng.integers(0, 3, (50, 4))].reshape(50, 12), "h1": hidden}
        change = boltz.zero_sum(model).energy(state) - model.energy(state)
        assert abs(change[0]) > 1e-3 and np.ptp(change) < 1e-12
    numbers = strong(boltz.rbm(3, 2, units="gaussian", hidden_units=("categorical", 4)))
    state = {"v": rng.normal(size=(50, 3)), "h1": np.eye(4)[rng.integers(0, 4, (50, 2))].reshape(50, 8)}
    assert np.ptp(boltz.zero_sum(numbers).energy(state) - numbers.energy(state)) < 1e-12


def _log_p(model: BoltzmannMachine, sites: int, states: int) -> Floats:
    codes = np.stack(np.meshgrid(*[np.arange(states)] * sites, indexing="ij"), axis=-1).reshape(-1, sites)
    if model.independent_hidden:
        return -model.free_energy(codes) - boltz.exact_log_z(model).value
    return boltz.log_likelihood(model, codes, log_z=boltz.exact_log_z(model).value, samples=0).per_row


def check_gauge_in_training() -> None:
    """The gauge alone changes no probability: a training with it learns the same distribution as one without.

    Gradients follow from the distribution, so that machines which differ by a gauge stay so; the random bits are the
    same, mean field, which starts elsewhere, converges, and offsets, which a later stage starts at the biases, are left
    out there. Catches a stage of pretraining whose doubled inputs are made good once, and a gauge that nobody applies.
    """
    codes = np.random.default_rng(8).integers(0, 3, (60, 3))
    one: dict[str, Any] = {"units": ("categorical", 3), "dtype": np.float64, "initial_scale": 0.5, "seed": 2}
    deep = one | {"units": [("categorical", 3), "bernoulli", "bernoulli"]}
    both = {"pretrain_epochs": 2, "mean_field_sweeps": 1000, "mean_field_tolerance": 1e-14}
    cases: list[tuple[BoltzmannMachine, dict[str, Any]]] = [
        (boltz.rbm(3, 4, **one), {"rule": "cd"}),
        (boltz.rbm(3, 4, **one, hidden_units="drelu"), {"rule": "pcd", "center": True}),
        (boltz.rbm(3, 2, **one, hidden_units=("categorical", 3)), {"rule": "pcd", "momentum": 0.5}),
        (boltz.dbm([3, 3, 2], **deep), both | {"pretrain": "doubling"}),
        (boltz.dbm([3, 3, 2], **deep), both | {"pretrain": "bottom"}),
    ]
    for model, settings in cases:
        given = {"epochs": 3, "batch_size": 20, "chains": 20, "learning_rate": 0.2, "snapshots": 0} | settings
        free = plain_train(model, codes, **given).model
        held = plain_train(model, codes, **given, gauge="zero-sum").model
        np.testing.assert_allclose(_log_p(held, 3, 3), _log_p(free, 3, 3), rtol=0, atol=1e-8, err_msg=str(settings))
        assert off_zero(held) < 1e-12 < 1e-3 < off_zero(free), settings
        assert np.abs(_log_p(held, 3, 3) - _log_p(model, 3, 3)).max() > 0.1, "the training must move the machine"


def check_gauge_by_default() -> None:
    """Trainings of categorical units on either side have it, those of others and those that are told otherwise not."""
    codes = np.random.default_rng(9).integers(0, 2, (30, 4))
    for kinds, wanted in (((3, "bernoulli"), "zero-sum"), (("spin", 3), "zero-sum"), (("spin", "bernoulli"), "none")):
        visible, hidden = (("categorical", kind) if isinstance(kind, int) else kind for kind in kinds)
        model = boltz.rbm(4, 2, units=visible, hidden_units=hidden, seed=1)
        rows = 2 * codes - 1 if visible == "spin" else codes
        found: Any = boltz.train(model, rows, epochs=1).settings
        free: Any = boltz.train(model, rows, epochs=1, gauge="none").settings
        assert (found.gauge, free.gauge) == (wanted, "none"), kinds


def _told(call: Callable[[], Any]) -> str:
    """What an InputError says; nothing where there is none."""
    try:
        call()
    except InputError as problem:
        return str(problem)
    return ""


def check_refused_gauges() -> None:
    """What has no such freedom is told of in one sentence, before the training."""
    for model in (boltz.rbm(4, 3), boltz.dbm([4, 3, 2])):
        said = _told(lambda model=model: boltz.zero_sum(model))
        assert re.fullmatch(r"model must have categorical units, .*got bernoulli units\.", said), said
        rows = coin_rows(20, 4, 1)
        said = _told(lambda model=model, rows=rows: boltz.train(model, rows, epochs=1, gauge="zero-sum"))
        assert re.fullmatch(r"gauge must be none, or .* categorical units, .*got bernoulli units\.", said), said
    mixed, net = boltz.rbm(4, 3, units="gaussian", hidden_units="spin"), boltz.sbn([4, 3])
    assert _told(lambda: boltz.zero_sum(mixed)).endswith("got gaussian and spin units.")
    assert _told(lambda: boltz.zero_sum(net)).startswith("model must be a BoltzmannMachine")  # type: ignore[arg-type]
