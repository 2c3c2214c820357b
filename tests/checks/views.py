"""Checks of machines of several kinds of data: what is trained, kept and started of each, what one tells of others."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

import boltz
from boltz.models.boltzmann import BoltzmannMachine
from boltz.presets import LayerKinds, completed
from boltz.rng import Key
from boltz.sampling.clamped import outwards
from boltz.sampling.evidence import evidence_of
from boltz.sampling.gibbs import started
from boltz.training.stages import settings_of, stages

RNG = np.random.default_rng(5)
HIDDEN = RNG.integers(0, 2, 300)
REAL = 100 + 20 * HIDDEN[:, None] + RNG.normal(0, 5, (300, 3))
BITS = (RNG.random((300, 4)) < np.where(HIDDEN[:, None], 0.9, 0.2)).astype(float)
CODES = RNG.integers(0, 3, (300, 2))
STATES = np.arange(64)[:, None] >> np.arange(6) & 1  # all those of a view of six bits
KINDS = 4  # of the other view


def check_doubling_takes_views_of_any_kind() -> None:
    """Views need not be binary to be pretrained by doubling, in whatever order they come; hidden layers that are heard
    by others need.
    """
    shapes: dict[str, Any] = {"a": 4, "b": (3, "gaussian"), "c": (2, ("categorical", 3)), "d": (2, "binomial:5")}
    for names in ("ab", "ba", "abc", "abcd", "dcba"):
        views = {name: shapes[name] for name in names}
        model = boltz.multimodal(views, {name: [3] for name in names}, 2)
        for positive in ("gibbs", "mean-field"):
            chosen = settings_of(model.plan, {"pretrain": "doubling", "pretrain_epochs": 1, "positive": positive})
            found = stages(model.plan, chosen)
            assert [stage.name for stage in found] == [*(f"pretrain-{n}_h1" for n in names), "pretrain-joint", "joint"]
            assert all(stage.scales == {"h1": 2.0, "v": 1.0} for stage in found[:-2])
            assert found[-2].scales == {"h1": 1.0, "v": 2.0}


def check_presets_know_views() -> None:
    """Settings follow the kinds of views and of hidden layers, and do not take a view for a hidden layer."""
    bits = ["bernoulli"] * 4
    usual = completed("multimodal", {}, (10_000, 90), True, units=LayerKinds(["bernoulli"] * 2 + bits, 2))
    real = completed(
        "multimodal", {}, (10_000, 90), True, units=LayerKinds(["bernoulli", "bernoulli", "gaussian", *bits], 3)
    )
    assert real["positive"] == usual["positive"] == "gibbs" and real["clip_norm"] == 10.0
    spins = completed("multimodal", {}, (10_000, 90), True, units=LayerKinds(["spin", "spin", "spin", *bits], 3))
    assert spins["learning_rate"] == usual["learning_rate"] / 2  # no view is coupled to another one
    upper = completed("multimodal", {}, (10_000, 90), True, units=LayerKinds(["bernoulli"] * 4 + ["spin"], 2))
    assert upper["positive"] == "collapsed"


def check_pretraining_by_default() -> None:
    """The joint layer is pretrained upon all pathways wherever it can be, and other graphs are trained all the same."""
    x = {"a": BITS[:40], "b": REAL[:40]}
    quick = {"epochs": 1, "pretrain_epochs": 1}
    layers: dict[str, Any] = {"a": 4, "b": (3, "gaussian"), "c": 3, "d": 2}
    for model, wanted in (
        (boltz.multimodal({"a": 4, "b": (3, "gaussian")}, {"a": [3], "b": [2]}, 2), "doubling"),
        (boltz.multimodal({"a": 4, "b": (3, "gaussian")}, {"a": [3], "b": [(2, "spin")]}, 2), "bottom"),
        (boltz.graph(layers, [("a", "c"), ("b", "c"), ("c", "d")], ("a", "b")), "bottom"),
        (boltz.graph(layers, [("a", "c"), ("c", "d"), ("b", "d")], ("a", "b")), "bottom"),
    ):
        run = boltz.train(model, x, **quick)
        assert run.settings.pretrain == wanted
        assert boltz.train(model, x, pretrain="bottom", **quick).settings != run.settings or wanted == "bottom"


def check_kept_rates() -> None:
    """A trained machine keeps the mean activities of its data, as it sees them, whatever kinds come first."""
    quick = {"epochs": 1, "pretrain_epochs": 0, "validation": 0.0}
    for names in ("ab", "ba"):
        views: dict[str, Any] = {name: {"a": (3, "gaussian"), "b": 4}[name] for name in names}
        x = {name: {"a": REAL, "b": BITS}[name] for name in names}
        model = boltz.multimodal(views, {name: [3] for name in names}, 2, x=x)
        rates = boltz.train(model, x, **quick).model.rates
        assert set(rates) == set(model.graph.units)
        np.testing.assert_allclose(rates["a"], 0, atol=1e-5)
        np.testing.assert_allclose(rates["b"], BITS.mean(axis=0), atol=0.01)
    one = boltz.train(boltz.rbm(3, 2, REAL, units="gaussian"), REAL, epochs=1, validation=0.0).model
    np.testing.assert_allclose(one.rates["v"], 0, atol=1e-5)
    scales = 10 ** np.log10(one.scaling.spread)
    assert (scales > 5).all()  # so that numbers seen twice through it would be far from 0


def check_starts() -> None:
    """Chains start at rows of all views, and at states of some in the units of the data."""
    x = {"b": BITS, "a": REAL, "c": CODES}
    model = boltz.multimodal(
        {"b": 4, "a": (3, "gaussian"), "c": (2, ("categorical", 3))}, {"b": [3], "a": [2], "c": [2]}, 2, x=x
    )
    walk = started(model, 300, Key.from_seed(1), "data", x)
    seen = (REAL - REAL.mean(axis=0)) / REAL.std(axis=0)
    np.testing.assert_array_equal(walk.state["b"], BITS)
    np.testing.assert_allclose(walk.state["a"], seen, atol=1e-3)
    np.testing.assert_array_equal(walk.state["c"].reshape(300, 2, 3).argmax(axis=2), CODES)
    held = started(model, 300, Key.from_seed(1), {"a": REAL, "b": BITS})
    np.testing.assert_allclose(held.state["a"], seen, atol=1e-3)
    np.testing.assert_array_equal(held.state["b"], BITS)
    found = boltz.sample(model, chains=6, sweeps=2, data=x)
    assert {name: found[name].shape for name in "abc"} == {"a": (6, 3), "b": (6, 4), "c": (6, 6)}


def planted() -> BoltzmannMachine:
    """A machine of six bits and one unit of four kinds, three layers of hidden units between them, whose best guess of
    the kind given the bits is wrong in 15 of 100 rows, and without the bits in 30.
    """
    model = boltz.multimodal({"x": 6, "y": (1, ("categorical", KINDS))}, {"x": [4], "y": [3]}, 3, dtype=np.float64)
    rng = np.random.default_rng(7)
    model.arena[...] = 0
    for edge in model.graph.edges:
        w = model.params[edge.key]
        w[...] = 3.5 * rng.choice([-1, 1], w.shape) * (0.5 + rng.random(w.shape))
        model.bias(edge.lower)[...] -= w.sum(axis=1) / 2
        model.bias(edge.upper)[...] -= w.sum(axis=0) / (KINDS if edge.lower == "y" else 2)
    return model


@cache
def law() -> Any:
    """The probability of each state of both views (64, 4) of the planted machine, by sums over all joint states."""
    return np.exp(log_p(planted(), plain=True))


def log_p(model: BoltzmannMachine, plain: bool = False) -> Any:
    """log p of each state of both views (64, 4): exact by boltz, or by plain sums over all states of all layers."""
    if not plain:
        rows = {"x": np.repeat(STATES, KINDS, axis=0), "y": np.tile(np.arange(KINDS), len(STATES))[:, None]}
        found = boltz.log_likelihood(model, rows)
        assert found.kind == "exact" and found.per_row is not None
        return found.per_row.reshape(len(STATES), KINDS)
    p = {name: np.asarray(value, np.float64) for name, value in model.params.items()}
    total = (STATES @ p["layer/x/bias"])[:, None] + p["layer/y/bias"]
    sums = np.full(total.shape, -np.inf)
    joint = _states(model.units["joint"])
    for j in joint:  # given the joint layer, both pathways are independent
        own = j @ p["layer/joint/bias"]
        x = _summed(STATES, p["edge/x-x_h1/weight"], p["layer/x_h1/bias"] + p["edge/x_h1-joint/weight"] @ j)
        y = _summed(np.eye(KINDS), p["edge/y-y_h1/weight"], p["layer/y_h1/bias"] + p["edge/y_h1-joint/weight"] @ j)
        sums = np.logaddexp(sums, own + x[:, None] + y)
    total = total + sums
    return total - np.log(np.exp(total - total.max()).sum()) - total.max()


def _states(units: int) -> Any:
    return np.arange(2**units)[:, None] >> np.arange(units) & 1


def _summed(rows: Any, weights: Any, bias: Any) -> Any:
    """log of the sum over all states of a layer of bits, one after the other, above each of some rows."""
    hidden = _states(len(bias))
    return np.log(np.exp((rows @ weights + bias) @ hidden.T).sum(axis=1))


def drawn(rows: int, seed: int) -> dict[str, Any]:
    """Rows of both views by the law of the planted machine."""
    p = law().ravel()
    chosen = np.random.default_rng(seed).choice(p.size, rows, p=p / p.sum())
    return {"x": STATES[chosen // KINDS], "y": chosen[:, None] % KINDS}


def learner(x: dict[str, Any], seed: int) -> BoltzmannMachine:
    return boltz.multimodal({"x": 6, "y": (1, ("categorical", KINDS))}, {"x": [8], "y": [6]}, 6, x=x, seed=seed)


def check_joint_log_p() -> None:
    """log p of all states of both views is that of plain sums over all layers, and sums to 1."""
    np.testing.assert_allclose(log_p(planted()), log_p(planted(), plain=True), rtol=0, atol=1e-9)
    for model in (planted(), learner(drawn(50, 0), 0)):
        assert abs(np.exp(log_p(model)).sum() - 1) < 1e-5


def wrong(guess: Any) -> float:
    """The probability that guesses (64,) of the kind given the bits are wrong, by the law of the planted machine."""
    return float(1 - law()[np.arange(len(STATES)), guess].sum())


def check_guesses(seed: int = 0) -> None:
    """A machine that learnt from 2,000 rows guesses a view from the other one as well as can be: the share of wrong
    guesses is within 4 standard errors, of as many test rows, of the Bayes error. So does completion.
    """
    least, count = wrong(law().argmax(axis=1)), 2000
    x = drawn(count, seed)
    rates = {"learning_rate": 0.3, "pretrain_learning_rate": 0.3, "batch_size": 20, "seed": seed}
    model = boltz.train(learner(x, seed), x, epochs=30, pretrain_epochs=30, pretrain="doubling", **rates).model
    room = 4 * (least * (1 - least) / count) ** 0.5
    assert 0.15 < least < 0.16 and wrong(np.full(64, law().sum(axis=0).argmax())) > least + 3 * room
    assert wrong(log_p(model).argmax(axis=1)) < least + room
    completed = boltz.complete(model, {"x": STATES}, sweeps=400, seed=seed)["y"]
    assert wrong(completed.argmax(axis=1)) < least + room


def check_outwards() -> None:
    """Where a view is unknown, means start near its law given the other one: half as far away as its base rates are. No
    row depends on those beside it, and rows that know something of all views, or nothing, start as they would.
    """
    rates = {name: states.mean(axis=0) for name, states in boltz.exact_samples(planted(), 4000, seed=1).items()}
    model = replace(planted(), rates=rates)
    base = {name: np.zeros((len(STATES), units)) + rates[name] for name, units in model.units.items()}

    def start(x: dict[str, Any], draw: Any = None) -> dict[str, Any]:
        evidence = evidence_of(model, x)
        state = {name: means[: len(evidence)].copy() for name, means in base.items()}
        for view, part in model.graph.columns.items():
            np.copyto(state[view], evidence.rows[:, part], where=evidence.known[:, part])
        outwards(model, evidence, state, draw)
        return state

    found, given = start({"x": STATES}), law() / law().sum(axis=1, keepdims=True)
    far, near = (np.abs(y - given).sum(axis=1) @ law().sum(axis=1) for y in (base["y"], found["y"]))
    assert near < 0.6 * far
    mixed = {"x": STATES.astype(float), "y": np.full((64, 1), np.nan)}
    mixed["y"][::3], mixed["x"][1::3] = 2, np.nan
    several = start(mixed)
    for name, means in several.items():
        np.testing.assert_allclose(means[2::3], found[name][2::3], rtol=0, atol=1e-12)
        if name in model.graph.hidden:
            assert (means[::3] == base[name][::3]).all() and (means[1::3] == base[name][1::3]).all()
    drawn = start({"x": STATES}, lambda layer, means: np.full_like(means, 0.25))
    assert all((drawn[name] == 0.25).all() for name in ("x_h1", "joint", "y_h1", "y"))
    assert (drawn["x"] == STATES).all()
