"""Checks of what layers add against enumeration; they also catch the planted faults of layer gains."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from checks import any_graph
from oracles.graphs import Wired
from scipy.special import expit

import boltz
from boltz.diagnostics import layers
from boltz.diagnostics.layers import LayerGain, layer_gains
from boltz.sampling.meanfield import MeanField, mean_field

Floats = Any


def machine(sizes: tuple[int, ...] = (6, 5, 4), scale: float = 1.5, seed: int = 3) -> Any:
    """A small machine with weights of some size."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(scale=scale, size=pair) for pair in itertools.pairwise(sizes)]
    return boltz.from_arrays(weights, [rng.normal(scale=0.5, size=n) for n in sizes])


def coins(rows: int, units: int) -> Floats:
    return (np.random.default_rng(8).random((rows, units)) < 0.5).astype(np.float64)


def exact_gains(model: Any, x: Floats, layer: int) -> Floats:
    """log p(v) of the machine less that of the layers below one, by enumeration, with mean inputs left in biases."""
    units = [each.units for each in model.layers]
    weights = [model.params[edge.key] for edge in model.graph.edges]
    biases = [model.bias(each.name).copy() for each in model.layers]
    means = mean_field(model, x, MeanField(1e-3, 100))
    biases[layer - 1] += weights[layer - 1] @ means[f"h{layer}"].mean(axis=0)
    rest = boltz.from_arrays(weights[: layer - 1], biases[:layer])
    assert len(units) > layer
    return log_p(model, x) - log_p(rest, x)


def log_p(model: Any, x: Floats) -> Floats:
    return boltz.log_likelihood(model, x, boltz.exact_log_z(model)).per_row


def check_gains() -> None:
    """The gain within five standard errors of its chains of the exact one: a false alarm in 1.7 million.

    Catches a wrong sign of the ratio, a mean that is left out of the biases, layers above that are forgotten.
    """
    for sizes, seed in (((6, 5, 4), 3), ((5, 4, 3, 3), 4)):
        model, x = machine(sizes, seed=seed), coins(40, sizes[0])
        for number, found in enumerate(layer_gains(model, x, rounds=60), 2):
            exact = exact_gains(model, x, number)
            half = (found.interval[1] - found.interval[0]) / 2 / 1.959964
            rows = exact.std(ddof=1) / np.sqrt(len(exact))
            chains = np.sqrt(max(half**2 - rows**2, 0))
            assert chains < 0.1 and abs(found.gain - exact.mean()) < 5 * chains, (sizes, number)
            assert not found.doubts


def check_intervals() -> None:
    """The interval is that of rows where chains have no error: layers without weights above add nothing for certain."""
    model, x = machine(), coins(30, 6)
    model.params["edge/h1-h2/weight"][...] = 0
    (found,) = layer_gains(model, x, rounds=40, copies=8)
    assert abs(found.gain) < 1e-9 and max(map(abs, found.interval)) < 1e-9
    assert found.idle == found.units == 4 and found.drive == 0 and found.norms == (0, 0, 0)
    assert "is idle" in str(found) and not found.works
    model = machine(scale=0.3)
    (found,) = layer_gains(model, x, rounds=60)
    exact = exact_gains(model, x, 2)
    assert found.interval[1] - found.interval[0] > 2 * 1.9 * exact.std(ddof=1) / np.sqrt(len(exact))


def check_use() -> None:
    """Drive, norms, idle units and sweeps against plain numpy."""
    model, x = machine(), coins(50, 6)
    model.params["edge/h1-h2/weight"][:, 1] = 0
    (found,) = layer_gains(model, x, rounds=20, copies=4)
    w1, w2 = (model.params[edge.key] for edge in model.graph.edges)
    bias = {n: model.bias(n) for n in model.units}
    h1 = expit(2 * x @ w1 + bias["h1"])
    h2 = expit(h1 @ w2 + bias["h2"])
    needed = None
    for sweep in range(1, 200):
        before = h1, h2
        h1 = expit(x @ w1 + h2 @ w2.T + bias["h1"])
        h2 = expit(h1 @ w2 + bias["h2"])
        if needed is None and max(abs(h1 - before[0]).max(), abs(h2 - before[1]).max()) < layers.TOLERANCE:
            needed = sweep
    norms = np.linalg.norm(w2, axis=0)
    np.testing.assert_allclose(found.norms, (norms.mean(), norms.min(), norms.max()), rtol=1e-12)
    means = mean_field(model, x, MeanField(1e-3, 100))
    h2 = means["h2"]
    np.testing.assert_allclose(found.drive, (h2 @ w2.T).std(0).mean() / (x @ w1).std(0).mean(), rtol=1e-9)
    assert found.idle == (h2.std(0) < layers.IDLE).sum() >= 1 and found.units == 4
    assert needed is not None and abs(found.sweeps - needed) <= 1


def check_words() -> None:
    """A layer that works, one that is idle, and one of which nothing is known."""
    rest: Any = (0.3, (1.0, 0.5, 2.0), 3, 40, 6)
    told = [str(LayerGain("h2", gain, interval, *rest)) for gain, interval in (
        (0.9, (0.8, 1.0)), (0.02, (-0.02, 0.05)), (0.2, (-0.3, 0.7))
    )]  # fmt: skip
    assert "adds 0.90 nats a row (0.80 to 1.00); 3 of its 40 units are idle" in told[0]
    assert "h2 is idle" in told[1] and "not known" in told[2]


def log_marginals(model: Any, rows: Floats) -> Floats:
    """log p of visible rows (rows, columns) of a machine on any graph, by sums over all joint states."""
    truth = Wired.of(model)
    columns = truth.columns(model.graph.views)
    law = truth.marginal(columns)
    return np.log([law[tuple(row)] for row in rows])


def by_hand(model: Any, edges: list[tuple[str, str]], mean: dict[str, Floats]) -> Any:
    """A machine without some edges, whose mean inputs are added to biases."""
    less = replace(model, arena=model.arena.copy())
    for lower, upper in edges:
        weight = less.params[f"edge/{lower}-{upper}/weight"]
        less.bias(lower)[...] += weight @ mean[upper]
        if lower != upper:
            less.bias(upper)[...] += weight.T @ mean[lower]
        weight[...] = 0
    return less


ANY_GRAPH: dict[str, dict[str, list[tuple[str, str]]]] = {
    "both": {
        "layer h": [("v", "h"), ("h", "h")],
        "couplings within v": [("v", "v")],
        "couplings within h": [("h", "h")],
    },
    "views": {
        "layer a": [("x", "a"), ("a", "j")],
        "layer b": [("y", "b"), ("b", "j")],
        "layer j": [("a", "j"), ("b", "j")],
    },
    "skip": {
        "layer a": [("v", "a"), ("a", "b")],
        "layer b": [("v", "b"), ("a", "b"), ("b", "b")],
        "couplings within b": [("b", "b")],
    },
    "lateral": {"couplings within v": [("v", "v")]},
}


def check_any_graph(name: str) -> None:
    """Gains of all parts within five standard errors of their chains of those by sums over all joint states, on rows of
    the machine: a false alarm in 1.7 million each. The smallest fault that it finds is 0.15 nats.
    """
    model = any_graph.machine(name, scale=1.0)
    drawn = boltz.exact_samples(model, 60, seed=1)
    rows = np.concatenate([drawn[n] for n in model.graph.views], axis=1)
    means = mean_field(model, rows, MeanField(1e-3, 100))
    mean = {n: x.mean(axis=0) for n, x in (model.evidence(rows) | means).items()}
    found = layer_gains(model, rows, rounds=60)
    assert [each.finding().name for each in found] == list(ANY_GRAPH[name])
    for each, edges in zip(found, ANY_GRAPH[name].values(), strict=True):
        exact = log_marginals(model, rows) - log_marginals(by_hand(model, edges, mean), rows)
        half = (each.interval[1] - each.interval[0]) / 2 / 1.959964
        chains = np.sqrt(max(half**2 - exact.var(ddof=1) / len(rows), 0))
        assert chains < 0.03 and abs(each.gain - exact.mean()) < 5 * chains + 1e-9, (each, exact.mean(), chains)
        assert not each.doubts


def check_any_use() -> None:
    """Drives, norms and idle units of parts of machines that are no stacks, against plain numpy."""
    model = any_graph.machine("views", scale=1.0)
    drawn = boltz.exact_samples(model, 50, seed=2)
    rows = np.concatenate([drawn["x"], drawn["y"]], axis=1)
    state = {**model.evidence(rows), **mean_field(model, rows, MeanField(1e-3, 100))}
    w = {name.split("/")[1]: x for name, x in model.params.items() if name.startswith("edge")}
    a, b, j = layer_gains(model, rows, rounds=20, copies=4)
    down = np.concatenate([(state["j"] @ w["a-j"].T).std(0), (state["j"] @ w["b-j"].T).std(0)])
    up = np.concatenate([(state["x"] @ w["x-a"]).std(0), (state["y"] @ w["y-b"]).std(0)])
    np.testing.assert_allclose(j.drive, down.mean() / up.mean(), rtol=1e-9)
    norms = np.linalg.norm(np.concatenate([w["a-j"], w["b-j"]]), axis=0)
    np.testing.assert_allclose(j.norms, (norms.mean(), norms.min(), norms.max()), rtol=1e-9)
    down = (state["a"] @ w["a-j"]).std(0).mean()  # x hears no other layer
    np.testing.assert_allclose(a.drive, down / (state["b"] @ w["b-j"]).std(0).mean(), rtol=1e-9)
    norms = np.linalg.norm(np.concatenate([w["x-a"], w["a-j"].T]), axis=0)
    np.testing.assert_allclose(a.norms, (norms.mean(), norms.min(), norms.max()), rtol=1e-9)
    assert b.idle == (state["b"].std(0) < layers.IDLE).sum() and b.units == 2
    lateral = any_graph.machine("lateral", scale=1.0)
    (within,) = layer_gains(lateral, boltz.exact_samples(lateral, 30)["v"], rounds=20, copies=4)
    assert within.drive is None and within.within and within.sweeps == 0
    assert "the couplings within layer v" in str(within)


def check_gains_of_both() -> None:
    check_any_graph("both")


def check_gains_of_views() -> None:
    check_any_graph("views")
