"""Checks of machines whose units have other states than 0 and 1, or base energies.

Two kinds are of the tests alone. Each check registers the kinds for itself where nobody has, so that planted faults can
run it.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np
import pytest
from oracles import mixed
from oracles.mixed import Mixed
from scipy.special import logsumexp, softmax
from support import stats
from support.finite_units import KINDS

from boltz.errors import InputError
from boltz.estimators.closed_forms import variational
from boltz.estimators.exact import exact_log_marginal, exact_log_z
from boltz.estimators.log_weights import weigher
from boltz.estimators.moments import exact_gradient
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import visible_rows
from boltz.models.graph import Graph
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, Place
from boltz.sampling.base_rate import base_rates
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.gibbs import Scratch
from boltz.sampling.inputs import turned_weights
from boltz.sampling.ladders import At, Machines, Temperatures
from boltz.sampling.meanfield import MeanField, free_energy_at, solve
from boltz.sampling.mixtures import mixture_of
from boltz.targets import MachinePath, path_to
from boltz.units import UNITS, units_of

NAMES = ["three", "two", "bernoulli"]
BITS = ((0.0, 1.0), (0.0, 0.0))
TOLERANCE = 1e-9


LAWS = {"bernoulli": BITS, "spin": ((-1.0, 1.0), (0.0, 0.0)), "categorical:3": (np.eye(3).tolist(), (0.0, 0.0, 0.0))}


def _laws(names: list[str]) -> list[Any]:
    return [(KINDS[name].support, KINDS[name].energies) if name in KINDS else LAWS[name] for name in names]


def registered(check: Any) -> Any:
    """The check with the kinds of the tests known."""

    @wraps(check)
    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, kind in KINDS.items():
                patch.setitem(UNITS, name, kind)
            check()

    return run


def machine(names: list[str], sizes: list[int], seed: int, scale: float = 0.8) -> tuple[BoltzmannMachine, Mixed]:
    """A machine of layers of these kinds, and its oracle."""
    oracle = mixed.random(_laws(names), sizes, scale, seed)
    graph = Graph.chain([len(bias) for bias in oracle.biases], names)
    return BoltzmannMachine(graph, np.concatenate([x.reshape(-1) for x in (*oracle.weights, *oracle.biases)])), oracle


def cases() -> list[tuple[BoltzmannMachine, Mixed]]:
    """RBMs and DBMs in which each kind takes each place."""
    chains = [["three", "two"], ["two", "three"], ["bernoulli", "three"], ["three", "bernoulli"], ["two", "bernoulli"]]
    deep = [["three", "two", "bernoulli"], ["two", "bernoulli", "three"], ["bernoulli", "three", "two"]]
    chains += [["spin", "bernoulli"], ["bernoulli", "spin"], ["spin", "spin"]]
    chains += [["categorical:3", "bernoulli"], ["spin", "categorical:3"], ["categorical:3", "three"]]
    deep += [["categorical:3", "bernoulli", "spin"], ["spin", "categorical:3", "two"], ["bernoulli", "spin", "spin"]]
    found = [machine(names, [3, 2], i) for i, names in enumerate(chains)]
    return found + [machine(names, [2, 3, 2], 10 + i) for i, names in enumerate(deep)]


def _rates(model: BoltzmannMachine) -> dict[str, Any]:
    """Means (units,) of each layer that are not those of units without a field."""
    return {n: units_of(k).mean(0.3 * np.arange(u) - 0.2) for n, u, k in _layers(model)}


def near(found: Any, expected: Any) -> None:
    assert np.abs(np.asarray(found) - expected).max() < TOLERANCE, (found, expected)


@registered
def check_exact_log_z_and_marginals() -> None:
    """Catches base energies left out of an enumeration, and states counted as two a unit."""
    for model, oracle in cases():
        near(exact_log_z(model).value, oracle.log_z())
        near(exact_log_marginal(model, oracle.states(0)), oracle.log_marginal([0]))


@registered
def check_exact_gradient() -> None:
    for model, oracle in cases():
        rows = oracle.states(0)[[0, 1, 1, -1]]
        expected = oracle.gradient(rows)
        for name, x in exact_gradient(model, rows).items():
            near(x, expected[name])


@registered
def check_density_on_a_path() -> None:
    """At beta 1 the density is that of the machine, at 0 that of the base; catches the base energy of held layers."""
    for model, oracle in cases():
        rates = _rates(model)
        for held_visible in (True, False):
            path = path_to(model, rates, held_visible)
            state, numbers = _held(oracle, path.held)
            near(path.log_density(state, 1.0), oracle.log_marginal(numbers))
            near(logsumexp(path.log_density(state, 0.0)), path.start_log_z)


@registered
def check_ladders() -> None:
    """The densities of both kinds of ladders; catches the base energy of held layers."""
    for model, oracle in cases():
        rates = _rates(model)
        path, at = path_to(model, rates), At(Key.from_seed(1), 0)
        for ladder in (Temperatures(path, np.ones(2)), Machines(MachinePath((model, model)), np.ones(2))):
            state, numbers = _held(oracle, ladder.held)
            ((density, _),) = ladder.look(state, (1,), at, Scratch(model.arena))
            near(density, oracle.log_marginal(numbers))


@registered
def check_annealing_step_weighs() -> None:
    """The weight of a step is the change of the density; alpha 0: no chance enters the weight."""
    for model, oracle in cases():
        rates = _rates(model)
        path = GibbsPath(path_to(model, rates))
        held, _ = _held(oracle, path.density.held)
        rows = len(next(iter(held.values())))
        state = {n: held[n].copy() if n in held else model.zeros(rows, n) for n in model.units}
        weights = np.zeros(rows)
        path.step(state, (0.25, 0.75), Place(Key.from_seed(2), 1, 0), weights)
        near(weights, path.log_density(held, 0.75, 0) - path.log_density(held, 0.25, 0))


@registered
def check_mean_field_free_energy() -> None:
    """E_q[E] less entropy, summed over every hidden state; catches the base energy taken at the mean."""
    for model, oracle in cases():
        rows, rng = oracle.states(0)[:3], np.random.default_rng(4)
        fields = {n: rng.normal(size=(3, u)) for n, u, _ in _layers(model)[1:]}
        kinds = {n: units_of(k) for n, _, k in _layers(model)}
        means = {n: kinds[n].mean(field) for n, field in fields.items()}
        laws = dict(zip(oracle.names, oracle.units, strict=True))
        for i, row in enumerate(rows):
            tables = {n: np.array(laws[n][0], np.float64).reshape(len(laws[n][1]), -1) for n in fields}
            q = {
                n: softmax(f[i].reshape(-1, tables[n].shape[1]) @ tables[n].T - laws[n][1], axis=1)
                for n, f in fields.items()
            }
            near(free_energy_at(model, rows, means)[i], oracle.free_energy_of(row, q))
        free, bound = -oracle.log_marginal([0])[:3], -variational(model, rows)
        assert (bound >= free - TOLERANCE).all(), "the bound of mean field is none"


@registered
def check_importance_weights() -> None:
    """Over all states q sums to 1, and p*(v, h) to p*(v); catches base energies left out of either."""
    model, oracle = machine(["three", "two", "bernoulli"], [2, 3, 2], 5)
    rows, key = oracle.states(0)[[2]], Key.from_seed(3)
    q = mixture_of(model, rows, 0, key)
    states = {"h1": oracle.states(1)}
    near(logsumexp(q.repeated(len(states["h1"])).log_density(states)), 0.0)
    p = weigher(model, np.repeat(rows, len(states["h1"]), axis=0), turned_weights(model))
    near(logsumexp(p.log_density(states)), oracle.log_marginal([0])[2])


@registered
def check_flips_leave_the_law() -> None:
    """Turns and flips from 40,000 exact states of two kinds with two states; chi-square test, alpha 1e-6.

    Without base energies in the acceptance the law would have the costly state at even odds.
    """
    model, oracle = machine(["two", "bernoulli"], [5, 2], 6, 0.4)
    law = np.exp(oracle.log_marginal([0]) - oracle.log_z())
    chosen = np.random.default_rng(7).choice(len(law), size=40_000, p=law / law.sum())
    state, moves = {"v": oracle.states(0)[chosen].copy()}, Flips(model, turned_weights(model))
    for step in range(20):
        moves.move(state, 1.0, model.bias, Moment(Key.from_seed(8), step), Scratch(model.arena))
    numbers = ((state["v"] + 1) / 2) @ [16, 8, 4, 2, 1]
    counts = np.bincount(numbers.astype(int), minlength=32)
    stats.accept(stats.chi_square(counts, law), "flips change the law of units with base energies")


@registered
def check_rates_are_smoothed_within_the_states() -> None:
    """Rates of data are drawn inwards by one row in each state; catches (sum + 1) / (rows + 2) for all units."""
    model, oracle = machine(["three", "two"], [3, 2], 9)
    rows = oracle.states(0)[[0, 0, 0]]
    found = base_rates(model, rows, 0)
    near(found["v"], (3 * -1.0 + (-1 + 0 + 2)) / 6)
    for name, kind in (("v", "three"), ("h1", "two")):
        assert (np.abs(KINDS[kind].mean(KINDS[kind].natural(found[name])) - found[name]) < TOLERANCE).all()
    given = {"v": np.full(3, 1.5), "h1": np.full(2, -0.5)}
    assert (base_rates(model, given, 0)["v"] == 1.5).all()
    with pytest.raises(InputError, match=r"base\['v'\] must lie strictly between -1 and 2"):
        base_rates(model, given | {"v": np.full(3, 2.0)}, 0)


@registered
def check_rows_must_be_states() -> None:
    """Catches rows clipped to, or refused outside, [0, 1], and numbers that are no states."""
    model, oracle = machine(["three", "two"], [3, 2], 9)
    near(visible_rows(model, oracle.states(0)), oracle.states(0))
    said = ""
    try:
        visible_rows(model, np.full((2, 3), 0.5))
    except InputError as problem:
        said = str(problem)
    assert said.startswith("x must hold states of three units, -1 and 0 and 2")


@registered
def check_start_of_mean_field_makes_up_for_all_neighbours() -> None:
    """A layer that hears one of three neighbours takes its input three times at the start, not twice."""
    from boltz.models.graph import Edge, Layer

    layers = tuple(Layer(n, 1) for n in ("v", "h1", "a", "b"))
    graph = Graph(layers, (Edge("v", "h1"), Edge("h1", "a"), Edge("h1", "b")))
    model = BoltzmannMachine(graph, np.zeros(graph.parameters))
    model.params["edge/v-h1/weight"][...] = 1.0
    seen: list[float] = []
    kind = type(UNITS["bernoulli"])
    with pytest.MonkeyPatch.context() as patch:
        whole = kind.relax
        patch.setattr(kind, "relax", lambda self, x, scale, *rest: seen.append(scale) or whole(self, x, scale, *rest))
        solve(model, {"v": np.ones((1, 1))}, MeanField(sweeps=1), Scratch(model.arena))
    assert seen[0] == 3.0


def _layers(model: BoltzmannMachine) -> list[tuple[str, int, str]]:
    return [(layer.name, layer.units, layer.kind) for layer in model.layers]


def _held(oracle: Mixed, held: tuple[str, ...]) -> tuple[dict[str, Any], list[int]]:
    """Every state of some layers, in the order of the oracle's table of them, and their numbers."""
    numbers = [oracle.names.index(n) for n in held]
    numbers.sort()
    grids = np.meshgrid(*(np.arange(len(oracle.states(i))) for i in numbers), indexing="ij")
    return {oracle.names[i]: oracle.states(i)[g.reshape(-1)] for i, g in zip(numbers, grids, strict=True)}, numbers
