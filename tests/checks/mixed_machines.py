"""Random machines with layers of any kinds, and exact answers for them by sums over states and quadrature."""

from __future__ import annotations

from typing import Any

import numpy as np
from oracles import mixed
from oracles.mixed import Mixed

import boltz
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Graph
from boltz.units import units_of

COUNTED = ("bernoulli", "spin", "categorical:3")
REAL = ("gaussian", "rectified", "drelu")
LAWS: dict[str, Any] = {
    "bernoulli": ((0.0, 1.0), (0.0, 0.0)),
    "spin": ((-1.0, 1.0), (0.0, 0.0)),
    "categorical:3": (np.eye(3).tolist(), (0.0, 0.0, 0.0)),
    "binomial:3": ((0.0, 1.0, 2.0, 3.0), (0.0, -np.log(3), -np.log(3), 0.0)),
}
REACH = 9.0
TOLERANCE = 1e-8


def kinds_of(number: int) -> list[str]:
    """The kinds of the layers of random machine number: an RBM or a DBM in which no two real layers meet."""
    rng = np.random.default_rng(1000 + number)
    depth, found = 2 + number % 2, [str(rng.choice(COUNTED + REAL))]
    while len(found) < depth:
        found.append(str(rng.choice(COUNTED if found[-1] in REAL else COUNTED + REAL)))
    found = found if any(kind in COUNTED for kind in found) else [*found[:-1], "spin"]
    sums = rng.random(depth) < 0.3
    return ["binomial:3" if kind in COUNTED and sums[i] else kind for i, kind in enumerate(found)]


def machine(number: int) -> tuple[BoltzmannMachine, Mixed]:
    """Random machine number, and its oracle. The units of a real layer are alike."""
    rng, kinds = np.random.default_rng(2000 + number), kinds_of(number)
    sizes = [1 if kind in REAL and i > 1 else 2 for i, kind in enumerate(kinds)]
    own = {i: _parameters(kind, rng) for i, kind in enumerate(kinds) if kind in REAL}
    laws = [_law(kind, own[i]) if kind in REAL else LAWS[kind] for i, kind in enumerate(kinds)]
    oracle = mixed.random(laws, sizes, 0.5, 3000 + number)
    graph = Graph.chain([len(bias) for bias in oracle.biases], kinds)
    model = BoltzmannMachine(graph, np.zeros(graph.parameters))
    for edge, weight in zip(graph.edges, oracle.weights, strict=True):
        model.params[edge.key][...] = weight
    for i, layer in enumerate(graph.units):
        model.bias(layer)[...] = oracle.biases[i]
        for name, value in own.get(i, {}).items():
            model.params[f"layer/{layer}/{name}"][...] = value
    return model, oracle


def _parameters(kind: str, rng: Any) -> dict[str, float]:
    return {name: float(rng.normal(-0.2, 0.3)) for name in units_of(kind).shapes(1)}


def _law(kind: str, own: dict[str, float]) -> Any:
    """States and base energies of a unit, by the formulas of their sources."""
    if kind == "gaussian":
        variance = np.exp(own["log_variance"])
        return mixed.panels(lambda x: x**2 / (2 * variance), (-REACH, REACH))
    if kind == "rectified":
        return mixed.panels(lambda x: x**2 / 2, (0.0, REACH))
    a, bend = own["asymmetry"], own["threshold"]
    return mixed.panels(
        lambda x: np.where(x > 0, np.exp(-a), np.exp(a)) * x**2 / 2 + bend * np.abs(x), (-1.5 * REACH, 1.5 * REACH), 34
    )


def check_exact_log_z() -> None:
    """60 random machines; catches a wrong law of a unit wherever it stands, and base energies that are left out."""
    for number in range(60):
        model, oracle = machine(number)
        found = boltz.exact_log_z(model).value
        assert abs(found - oracle.log_z()) < TOLERANCE, (number, kinds_of(number), found, oracle.log_z())


def check_exact_marginals() -> None:
    """log p(v) of rows that are few states of a random machine, and of grids where the visible units are real."""
    for number in range(60):
        model, oracle = machine(number)
        states, kind = oracle.states(0), model.layers[0].kind
        numbers = np.linspace(0, len(states) - 1, 5).astype(int)
        found = boltz.log_likelihood(model, states[numbers])
        expected = oracle.log_marginal([0])[numbers] - oracle.log_z()
        if kind in REAL:
            table = dict(zip(oracle.units[0][0], oracle.units[0][1], strict=True))
            own = {n: x[:1] for n, x in model.own("v").items()}
            plain = units_of(kind).bound(own)
            widths = {x: plain.base_energy(np.array([[x]]))[0] - e for x, e in table.items()}
            expected = expected - [sum(widths[x] for x in row) for row in states[numbers]]
        if found.kind == "exact":
            assert np.abs(found.per_row - expected).max() < TOLERANCE, (number, kinds_of(number))
        else:
            assert (found.per_row < expected + TOLERANCE).all(), (number, kinds_of(number))
