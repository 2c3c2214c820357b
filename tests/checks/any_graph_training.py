"""Checks of how machines on any graph, and of several visible layers, learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from checks.any_graph import joined, machine
from oracles.graphs import Wired
from support.stats import accept, chi_square

import boltz
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.inputs import Scratch
from boltz.sampling.meanfield import MeanField
from boltz.training import pathways
from boltz.training.positive import PHASES, Posterior, Visit, fill_in, kept_for_rows
from boltz.training.pretraining import recognise
from boltz.training.stages import compose, stages, start_pair


def check_positive_phase(name: str = "both", phase: str = "collapsed", rows: int = 20_000) -> None:
    """Hidden states that a positive phase draws given a row follow the exact posterior; false alarms: 1e-6."""
    model, truth = machine(name), Wired.of(machine(name))
    seen, hidden = (truth.columns(n) for n in (model.graph.views, model.graph.hidden))
    row = truth.states()[len(truth.states()) // 3][seen]
    batch, kept = np.repeat(row[None], rows, axis=0), kept_for_rows(model, rows)
    of, scratch = Posterior(model, MeanField(), 10, {}), Scratch(model.arena)
    for step in range(4):
        visit = Visit(Key.from_seed(1), step, 0, np.arange(rows), kept)
        found = PHASES[phase](of, batch, visit, scratch)
    drawn = np.concatenate([found[n] for n in model.graph.hidden], axis=1)
    law = {s: p for s, p in truth.marginal([*seen, *hidden]).items() if (np.array(s)[: len(seen)] == row).all()}
    counts = [int((drawn == np.array(s)[len(seen) :]).all(axis=1).sum()) for s in law]
    shares = np.array(list(law.values())) / sum(law.values())
    accept(chi_square(np.array(counts), shares), "hidden states are not those of the posterior")


def check_lacking_views(name: str = "views", rows: int = 20_000, view: str = "x", scale: float = 0.7) -> None:
    """The chains of rows that know one view draw the other one from its exact law given it; false alarms: 1e-6."""
    model, truth = machine(name, scale=scale), Wired.of(machine(name, scale=scale))
    seen = truth.columns(model.graph.views)
    law = truth.marginal(seen)
    row = np.array(next(iter(law)))
    batch, known = np.repeat(row[None], rows, axis=0), np.zeros((rows, len(seen)), bool)
    known[:, model.graph.columns[view]] = True
    of, kept = Posterior(model, MeanField(), 1, {}), kept_for_rows(model, rows)
    for step in range(60):
        visit = Visit(Key.from_seed(2), step, 0, np.arange(rows), kept)
        fill_in(of, batch, known, visit, Scratch(model.arena))
    part = model.graph.columns[view]
    np.testing.assert_array_equal(batch[:, part], np.repeat(row[None, part], rows, axis=0))
    given = {s: p for s, p in law.items() if (np.array(s)[part] == row[part]).all()}
    counts = [int((batch == np.array(s)).all(axis=1).sum()) for s in given]
    shares = np.array(list(given.values())) / sum(given.values())
    accept(chi_square(np.array(counts), shares), "a view that lacks is not drawn given the others")


def check_pathways() -> None:
    """Pretraining by doubling trains each hidden layer upon what lies below it, with inputs doubled where it hears two
    sides; its RBMs start at the machine's parameters, see states drawn upwards, and come back into their places.
    """
    rng = np.random.default_rng(5)
    model = boltz.multimodal({"x": 3, "y": 2}, {"x": [4, 3], "y": [2, 3]}, 2, dtype=np.float64)
    model.arena[...] = rng.normal(0, 0.5, model.arena.size)
    plan = stages(model.plan, boltz.Settings(pretrain="doubling", pretrain_epochs=1, binarize="none"))
    told = [(each.lower, each.upper, dict(each.scales)) for each in plan[:-1]]
    assert told == [
        (("x",), "x_h1", {"h1": 2.0, "v": 1.0}),
        (("y",), "y_h1", {"h1": 2.0, "v": 1.0}),
        (("x_h1",), "x_h2", {"h1": 2.0, "v": 2.0}),
        (("y_h1",), "y_h2", {"h1": 2.0, "v": 2.0}),
        (("x_h2", "y_h2"), "joint", {"h1": 1.0, "v": 2.0}),
    ]
    assert [each.sees_rows for each in plan] == [True, True, False, False, False, True]
    pairs = [start_pair(model, stage) for stage in plan[:-1]]
    weight = np.concatenate([model.params["edge/x_h2-joint/weight"], model.params["edge/y_h2-joint/weight"]])
    np.testing.assert_array_equal(pairs[-1].params["edge/v-h1/weight"], weight)
    np.testing.assert_array_equal(pairs[-1].bias("v"), np.concatenate([model.bias("x_h2"), model.bias("y_h2")]))
    rows, batch, key = np.arange(50), rng.integers(0, 2, (50, 5)).astype(np.float64), Key.from_seed(3)
    up = [batch[:, :3], batch[:, 3:]]
    for side, numbers in enumerate(((0, 2), (1, 3))):
        for number in numbers:
            up[side] = recognise([pairs[number]], [plan[number]], up[side], rows, key, 7)
    seen = pathways.seen(plan[4], (model.graph, plan, pairs), batch, rows, (key, 7))
    np.testing.assert_array_equal(seen, np.concatenate(up, axis=1))
    for pair in pairs:
        pair.arena[...] = rng.normal(size=pair.arena.size)
    whole = replace(model, arena=model.arena.copy())
    compose(whole, pairs, plan)
    np.testing.assert_array_equal(whole.params["edge/y_h2-joint/weight"], pairs[4].params["edge/v-h1/weight"][3:])
    np.testing.assert_allclose(whole.bias("y_h2"), (pairs[3].bias("h1") + pairs[4].bias("v")[3:]) / 2, atol=1e-12)
    np.testing.assert_array_equal(whole.bias("y"), pairs[1].bias("v"))
    np.testing.assert_array_equal(whole.bias("joint"), pairs[4].bias("h1"))


LEARNT: dict[str, dict[str, Any]] = {
    "spins": {},
    "potts": {},
    "visible": {},
    "hidden": {"positive": "gibbs"},
    "views": {"pretrain_epochs": 3},
}


def check_learning(name: str = "both", rows: int = 8000, epochs: int = 25) -> None:
    """A machine of the same graph that learns from draws of a planted one comes within a quarter of what independent
    units lack of its log-likelihood on other draws: half of parameters / rows, 0.006 nats at the most, is chance.
    """
    truth = machine(name, seed=3 if name == "hidden" else 0)
    x, unseen = (_rows(truth, rows, seed) for seed in (1, 2))
    start = BoltzmannMachine(truth.graph, np.zeros_like(truth.arena))
    rng = np.random.default_rng(0)
    for edge in truth.graph.edges:
        w = rng.normal(0, 0.01, start.params[edge.key].shape)
        start.params[edge.key][...] = np.where(truth.params[edge.key] != 0, (w + w.T) / 2 if edge.within else w, 0)
    rate = 0.05 if name in ("spins", "visible") else 0.1
    run = boltz.train(start, x, epochs=epochs, learning_rate=rate, l2=0.0, **LEARNT[name])
    own, best = (boltz.log_likelihood(m, unseen).value for m in (run.model, truth))
    p = (x - min(x.min(), 0)).mean(axis=0) / (1 - min(x.min(), 0))  # of the higher state, also of spins
    alone = np.mean(np.log(np.where(unseen > 0, p, 1 - p)).sum(axis=1))
    assert best - own < 0.25 * (best - alone) and best - alone > 0.05, (alone, own, best)


def _rows(model: BoltzmannMachine, rows: int, seed: int) -> Any:
    state = boltz.exact_samples(model, rows, seed=seed)
    return np.concatenate([np.asarray(state[n]) for n in model.graph.views], axis=1)


def check_rates_of_sums() -> None:
    """Rates of a trained machine, and features of rows that lack a view, have a number for each unit of a layer."""
    model = boltz.multimodal({"x": 3, "y": 2}, {"x": [4], "y": [2]}, 2)
    rows = {"x": np.eye(3)[np.arange(30) % 3], "y": np.eye(2)[np.arange(30) % 2]}
    run = boltz.train(model, rows, epochs=1, pretrain_epochs=1)
    assert {n: len(r) for n, r in run.model.rates.items()} == model.units
    np.testing.assert_allclose(run.model.rates["y"], 0.5)
    found = boltz.features(run.model, {"x": rows["x"]}, layer="joint")
    assert found.shape == (30, 2) and np.isfinite(found).all()
    assert joined(model, boltz.sample(run.model, 4, 2)).shape == (4, sum(model.units.values()))
