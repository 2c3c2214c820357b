"""Checks of machines on any graph against sums over all joint states."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from oracles.graphs import Wired
from scipy import stats
from scipy.sparse import csr_array
from scipy.special import logsumexp
from support.stats import accept, chi_square

import boltz
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge, Graph, Layer
from boltz.models.pairs import Pairs
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal
from boltz.sampling.gibbs import GibbsSweep
from boltz.targets import path_to
from boltz.training.contraction import contract

BITS = "bernoulli"
SHAPES: dict[str, tuple[dict[str, tuple[int, str]], list[str], tuple[str, ...]]] = {
    "lateral": ({"v": (5, "bernoulli")}, ["v-v"], ()),
    "spins": ({"v": (6, "spin")}, ["v-v"], ()),
    "potts": ({"v": (9, "categorical:3")}, ["v-v"], ()),
    "visible": ({"v": (4, "spin"), "h": (3, "bernoulli")}, ["v-h", "v-v"], ()),
    "hidden": ({"v": (4, "bernoulli"), "h": (3, "spin")}, ["v-h", "h-h"], ()),
    "both": ({"v": (3, "bernoulli"), "h": (3, "bernoulli")}, ["v-h", "v-v", "h-h"], ()),
    "triangle": ({"v": (3, "bernoulli"), "a": (3, "spin"), "b": (2, "bernoulli")}, ["v-a", "a-b", "v-b"], ()),
    "skip": ({"v": (3, "spin"), "a": (2, "bernoulli"), "b": (3, "bernoulli")}, ["v-a", "a-b", "v-b", "b-b"], ()),
    "views": (
        {
            "x": (3, "bernoulli"),
            "y": (3, "categorical:3"),
            "a": (2, "bernoulli"),
            "b": (2, "spin"),
            "j": (2, "bernoulli"),
        },
        ["x-a", "y-b", "a-j", "b-j"],
        ("x", "y"),
    ),
    "uneven": (
        {"x": (3, BITS), "y": (2, "spin"), "a": (2, BITS), "b": (2, "spin")},
        ["x-a", "a-b", "y-b"],
        ("x", "y"),
    ),
    "tied": ({"x": (2, BITS), "y": (2, "spin"), "a": (2, BITS)}, ["x-y", "x-a", "y-a"], ("x", "y")),
    "sparse": ({"v": (7, "spin")}, ["v-v*"], ()),
    "sparse potts": ({"v": (9, "categorical:3"), "h": (2, "bernoulli")}, ["v-v*", "v-h*"], ()),
}


def machine(name: str, seed: int = 0, scale: float = 0.7) -> BoltzmannMachine:
    """A machine of a shape with normal weights and biases of a standard deviation; * marks sparse edges."""
    layers, pairs, views = SHAPES[name]
    found = tuple(Layer(n, units, kind) for n, (units, kind) in layers.items())
    columns, rng = {layer.name: layer.columns for layer in found}, np.random.default_rng((seed, len(name)))
    edges, weights = [], []
    for pair in pairs:
        lower, upper = pair.rstrip("*").split("-")
        w = rng.normal(0, scale, (layers[lower][0], layers[upper][0]))
        blocks = np.ones((len(w) // columns[lower], w.shape[1] // columns[upper]))
        if pair.endswith("*"):
            blocks = (rng.random(blocks.shape) < 0.6) + np.eye(*blocks.shape, 1)
        if lower == upper:
            w, blocks = np.triu(w) + np.triu(w, 1).T, np.triu(blocks, 1) + np.triu(blocks, 1).T
        w = w * np.kron(blocks > 0, np.ones((columns[lower], columns[upper])))
        if not pair.endswith("*"):
            edges.append(Edge(lower, upper))
            weights.append(w.reshape(-1))
            continue
        rows, others = np.nonzero(np.triu(w) if lower == upper else w)
        edges.append(Edge(lower, upper, Pairs.of(rows, others)))
        weights.append(w[rows, others])
    biases = [rng.normal(0, scale, layer.units) for layer in found]
    return BoltzmannMachine(Graph(found, tuple(edges), views), np.concatenate([*weights, *biases]))


def joined(model: BoltzmannMachine, state: Any) -> Any:
    """States by layer as joint states (rows, columns)."""
    return np.concatenate([np.asarray(state[n], np.float64) for n in model.graph.units], axis=1)


def parted(model: BoltzmannMachine, x: Any) -> dict[str, Any]:
    """Joint states by layer."""
    return {n: np.ascontiguousarray(x[:, part]) for n, part in Wired.of(model).layers.items()}


def check_energies(name: str = "both") -> None:
    """Energies of all states, and of those with layers summed out, are those of plain sums."""
    model, truth = machine(name), Wired.of(machine(name))
    x, (held, summed) = truth.states(), model.graph.sides
    state = parted(model, x)
    np.testing.assert_allclose(-model.energy(state), truth.log_density(x), rtol=0, atol=1e-10)
    columns = truth.columns(held)
    wanted = truth.marginal(columns)
    found = -model.marginal_energy({n: state[n] for n in held}, summed) - truth.log_z()
    np.testing.assert_allclose(found, [np.log(wanted[tuple(row)]) for row in x[:, columns]], rtol=0, atol=1e-10)


def check_exact_log_z(name: str = "both", seeds: int = 1) -> None:
    """Enumeration of what is not summed out gives the log of the sum over all states."""
    for seed in range(seeds):
        model = machine(name, seed)
        assert abs(boltz.exact_log_z(model).value - Wired.of(model).log_z()) < 1e-8


def check_log_marginals(name: str = "both") -> None:
    """The exact log-likelihood of all visible rows is log of their probability, and these sum to 1."""
    model, truth = machine(name), Wired.of(machine(name))
    columns = truth.columns(model.graph.views)
    wanted = truth.marginal(columns)
    found = boltz.log_likelihood(model, np.array(list(wanted)))
    assert found.kind == "exact" and found.per_row is not None
    np.testing.assert_allclose(found.per_row, np.log(list(wanted.values())), rtol=0, atol=1e-8)


def check_transitions(name: str = "both", draws: int = 40_000) -> None:
    """A sweep, and its reversal, from one state follow the products of single-unit conditionals, in order; the law of
    the machine does not change, and both are reversals of each other. False alarms: 1e-6 a test.
    """
    model, truth = machine(name), Wired.of(machine(name))
    order = [unit for colour in model.graph.colours for n in colour for unit in _scan(model, truth, n)]
    forwards, backwards = truth.sweep(order), truth.sweep(order[::-1])
    p = truth.p()
    np.testing.assert_allclose(p @ forwards, p, atol=1e-12)
    np.testing.assert_allclose(p[:, None] * forwards, (p[:, None] * backwards).T, atol=1e-12)
    number = int(np.argsort(p)[len(p) // 2])
    start = parted(model, np.repeat(truth.states()[number : number + 1], draws, axis=0))
    sweep = GibbsSweep(model, Key.from_seed(3))
    for transition, law in ((sweep, forwards), (sweep.reversed(), backwards)):
        found = truth.number(joined(model, transition.step(start, 0)))
        counts = np.bincount(found, minlength=len(p))
        accept(chi_square(counts, law[number]), "sweeps do not draw units one after the other given the rest")


def _scan(model: BoltzmannMachine, truth: Wired, layer: str) -> list[int]:
    """The units of a layer in the order in which they are drawn: those of sparse couplings by colour."""
    units, edge = truth.units_of(layer), model.graph.within.get(layer)
    if edge is None or edge.pairs is None:
        return units
    columns = model.unit_type(layer).columns
    return [units[i] for i in edge.pairs.colouring(len(units), columns).order]


def check_annealing(name: str = "both", chains: int = 20_000) -> None:
    """Weights of annealing over four temperatures, and their squares, have the means that products of transition
    matrices give, upwards and with reversed transitions downwards. False alarms: 1e-6 a test.
    """
    model = machine(name, scale=0.4)  # whose weights have few large ones
    truth = Wired.of(model)
    rates = {n: model.unit_type(n).mean(0.3 * model.bias(n)) for n in model.units}
    density = path_to(model, rates)
    betas, path = np.array([0.0, 0.2, 0.5, 1.0]), GibbsPath(density)
    order = [u for n in (*density.summed, *density.held) for u in _scan(model, truth, n)]
    base = np.concatenate([density.base[n] for n in model.units])
    x, held = truth.states(), [u for n in density.held for u in truth.units_of(n)]

    def log_f(beta: float) -> Any:  # of the held units, the others summed out, for every joint state
        at = Wired(beta * truth.couplings, (1 - beta) * base + beta * truth.bias, truth.units, truth.layers)
        columns = [c for u in held for c in range(*at.units[u][0].indices(len(base)))]
        whole, sums = at.log_density(x), {}
        for row, value in zip(x[:, columns], whole, strict=True):
            sums.setdefault(tuple(row), []).append(value)
        logs = {row: logsumexp(values) for row, values in sums.items()}
        return np.array([logs[tuple(row)] for row in x[:, columns]]), at

    for way, state in ((betas, density.sample_start(Key.from_seed(1), chains)), (betas[::-1], None)):
        moments = []
        for power in (1, 2):
            start = log_f(way[0])[1].p() if state is None else log_f(0.0)[1].p()
            vector = start.copy()
            for before, after in pairwise(way):
                vector = vector * np.exp(power * (log_f(after)[0] - log_f(before)[0]))
                scan = order if state is not None else [*_units(truth, density.summed), *order[::-1]]
                bias = (1 - after) * base + after * truth.bias
                vector = vector @ truth.sweep(scan, after, bias)
            moments.append(vector.sum())
        if state is None:
            path = path.reversed()
            drawn = boltz.exact_samples(model, chains, seed=5)
            state = {n: drawn[n] if n in density.held else model.zeros(chains, n) for n in model.units}
        weights = np.exp(anneal(path, state, way, Key.from_seed(2)).log_weights)
        for power, wanted in zip((1, 2), moments, strict=True):
            sample = weights**power
            z = (sample.mean() - wanted) / (sample.std(ddof=1) / np.sqrt(chains))
            accept(float(2 * stats.norm.sf(abs(z))), "annealing weighs or moves chains wrongly")


def _units(truth: Wired, layers: Any) -> list[int]:
    return [unit for n in layers for unit in truth.units_of(n)]


def check_mean_field(name: str = "both") -> None:
    """The fixed point of mean field satisfies its own equations in all hidden layers."""
    model, truth = machine(name), Wired.of(machine(name))
    rows = truth.states()[:: max(len(truth.states()) // 50, 1)]
    state = parted(model, rows)
    visible = np.concatenate([state[n] for n in model.graph.views], axis=1)
    means = boltz.mean_field(model, visible, boltz.MeanField(1e-9, 2000))
    state |= means
    for layer in model.graph.hidden:
        field = joined(model, state) @ truth.couplings + truth.bias
        np.testing.assert_allclose(model.unit_type(layer).mean(field[:, truth.layers[layer]]), means[layer], atol=1e-5)


def check_completion(name: str = "visible", draws: int = 30_000, scale: float = 0.7) -> None:
    """Draws of unknown visible units given known ones follow the exact conditional; false alarms: 1e-6."""
    model, truth = machine(name, scale=scale), Wired.of(machine(name, scale=scale))
    columns = truth.columns(model.graph.views)
    x = truth.states()[len(truth.states()) // 3][columns]
    q = model.unit_type(model.graph.views[0]).columns
    known = np.arange(len(columns)) >= q * max(model.units[model.graph.views[0]] // q // 2, 1)
    rows = np.repeat(x[None], draws, axis=0)
    found = boltz.complete(model, rows, np.broadcast_to(known, rows.shape), "sample", sweeps=60, seed=1)
    drawn = np.concatenate(list(found.values()), axis=1) if isinstance(found, dict) else found
    np.testing.assert_array_equal(drawn[:, known], rows[:, known])
    law = {row: p for row, p in truth.marginal(columns).items() if (np.array(row)[known] == x[known]).all()}
    counts = [int((drawn == np.array(row)).all(axis=1).sum()) for row in law]
    shares = np.array(list(law.values())) / sum(law.values())
    accept(chi_square(np.array(counts), shares), "unknown units are not drawn given the known ones")


def check_gradient(name: str = "both", centred: bool = True) -> None:
    """The contraction of all states, with their probabilities under data and model as signs, is the derivative of the
    mean log-likelihood of the data by finite differences.
    """
    model, truth = machine(name), Wired.of(machine(name))
    x, p = truth.states(), truth.p()
    columns = truth.columns(model.graph.views)
    marginal = truth.marginal(columns)
    rng = np.random.default_rng(4)
    data = dict(zip(marginal, rng.dirichlet(np.ones(len(marginal))), strict=True))
    given = np.array([data[tuple(row)] / marginal[tuple(row)] for row in x[:, columns]])
    state = parted(model, x)
    stats_ = {n: np.concatenate([state[n]] * 2) for n in state}
    signs = np.concatenate([p * given, -p])
    offsets = {n: rng.normal(0.3, 0.2, units) for n, units in model.units.items()} if centred else {}
    arena = np.zeros_like(model.arena)
    gradient = model.views(arena)
    contract(model, stats_, signs, offsets, gradient)
    if centred:  # of the parameters of the plain machine: what the centred ones change about biases
        plain = np.zeros_like(arena)
        contract(model, stats_, signs, {}, model.views(plain))
        whole = model.views(arena)
        for edge in model.graph.edges:
            w = whole[edge.key]
            lower, upper = offsets[edge.lower], offsets[edge.upper]
            first, second = (model.views(plain)[f"layer/{n}/bias"] for n in (edge.lower, edge.upper))
            if edge.pairs is None:
                back = np.outer(first, upper) + np.outer(lower, second)
            else:
                i, j = edge.pairs.rows, edge.pairs.columns
                back = first[i] * upper[j] + lower[i] * second[j]
            extra = model.views(plain)[edge.key] - _masked(model, edge, back)
            np.testing.assert_allclose(w, extra, atol=1e-10)
        for n in model.units:
            taken = sum(_dense(model, edge, whole[edge.key], n) @ offsets[_other(edge, n)] for edge in _edges(model, n))
            wanted = model.views(plain)[f"layer/{n}/bias"] - taken
            np.testing.assert_allclose(whole[f"layer/{n}/bias"], wanted, atol=1e-10)
        return

    def value(point: Any) -> float:
        moved = Wired.of(BoltzmannMachine(model.graph, point))
        logs = moved.marginal(columns)
        return float(sum(share * np.log(logs[row]) for row, share in data.items()))

    for key, found in gradient.items():
        edge = next((e for e in model.graph.edges if e.key == key), None)
        flat, places = found.reshape(-1), rng.permutation(found.size)[:6]
        for place in places:
            step = np.zeros_like(arena)
            model.views(step)[key].reshape(-1)[place] = 1e-5
            if edge is not None and edge.within and edge.pairs is None:
                i, j = np.unravel_index(place, found.shape)
                if flat[place] == 0:
                    continue
                model.views(step)[key][j, i] = 1e-5
            slope = (value(model.arena + step) - value(model.arena - step)) / 2e-5
            assert abs(slope - flat[place]) < 1e-7, key


def _edges(model: BoltzmannMachine, layer: str) -> list[Edge]:
    return [edge for edge in model.graph.edges if layer in (edge.lower, edge.upper)]


def _other(edge: Edge, layer: str) -> str:
    return edge.upper if edge.lower == layer else edge.lower


def _dense(model: BoltzmannMachine, edge: Edge, weight: Any, layer: str) -> Any:
    """The weights of an edge as a dense matrix (units of the layer, units of the other one)."""
    found = weight
    if edge.pairs is not None:
        found = np.zeros((model.units[edge.lower], model.units[edge.upper]))
        found[edge.pairs.rows, edge.pairs.columns] = weight
        found = found + found.T if edge.within else found
    return found if edge.lower == layer else found.T


def _masked(model: BoltzmannMachine, edge: Edge, values: Any) -> Any:
    """0 where couplings within a layer have no weight."""
    if not edge.within or edge.pairs is not None:
        return values
    q = model.unit_type(edge.lower).columns
    return values * (1 - np.kron(np.eye(len(values) // q), np.ones((q, q))))


def check_files(name: str = "sparse potts", folder: Any = None) -> None:
    """A machine that is saved and read again is the same."""
    import tempfile
    from pathlib import Path

    model = machine(name)
    with tempfile.TemporaryDirectory() as place:
        model.save(Path(place) / "m.safetensors")
        again = boltz.load(Path(place) / "m.safetensors")
    assert again.plan == model.graph and (again.arena == model.arena).all()


def check_densities(name: str = "both", beta: float = 0.4) -> None:
    """The annealed density of the held layers is the sum over the others of the density between base and machine."""
    model, truth = machine(name), Wired.of(machine(name))
    density = path_to(model, {n: model.unit_type(n).mean(0.3 * model.bias(n)) for n in model.units})
    base, x = np.concatenate([density.base[n] for n in model.units]), truth.states()
    at = Wired(beta * truth.couplings, (1 - beta) * base + beta * truth.bias, truth.units, truth.layers)
    columns = truth.columns(density.held)
    wanted = at.marginal(columns)
    found = density.log_density(parted(model, x), beta) - at.log_z()
    np.testing.assert_allclose(found, [np.log(wanted[tuple(row)]) for row in x[:, columns]], rtol=0, atol=1e-10)


def check_exchange(name: str = "both") -> None:
    """Replica exchange gives log Z within five of its standard errors: a false alarm in a million."""
    model = machine(name)
    found = boltz.exchange_log_z(model, rounds=300, seed=2).estimate
    assert abs(found.value - Wired.of(model).log_z()) < 5 * found.standard_error, found
    assert found.standard_error < 0.05


def check_given_view(draws: int = 30_000) -> None:
    """A view that is not given is drawn from its exact law given the other one; false alarms: 1e-6."""
    model, truth = machine("views"), Wired.of(machine("views"))
    columns = truth.columns(model.graph.views)
    law = truth.marginal(columns)
    row = np.array([1.0, 0.0, 1.0])
    found = boltz.complete(model, {"x": np.repeat(row[None], draws, axis=0)}, method="sample", sweeps=60, seed=3)
    assert (found["x"] == row).all() and found["y"].shape == (draws, 1)
    given = {s: p for s, p in law.items() if (np.array(s)[:3] == row).all()}
    counts = [int((found["y"][:, 0] == np.argmax(s[3:])).sum()) for s in given]
    shares = np.array(list(given.values())) / sum(given.values())
    accept(chi_square(np.array(counts), shares), "a view is not drawn given the other one")


def check_arrays() -> None:
    """Ising and Potts models from dense and sparse arrays have the energies of their formulas; lattices their pairs."""
    rng = np.random.default_rng(6)
    couplings, fields = np.triu(rng.normal(size=(5, 5)), 1), rng.normal(size=5)
    couplings += couplings.T
    s = rng.choice([-1.0, 1.0], (20, 5))
    wanted = [-sum(couplings[i, j] * x[i] * x[j] for i in range(5) for j in range(i)) - fields @ x for x in s]
    for given in (couplings, csr_array(couplings)):
        np.testing.assert_allclose(boltz.ising(given, fields).energy({"v": s}), wanted, atol=1e-12)
    q, sites = 3, 4
    potts = rng.normal(size=(sites, sites, q, q))
    potts = potts + potts.transpose(1, 0, 3, 2)
    potts[np.arange(sites), np.arange(sites)] = 0
    local, codes = rng.normal(size=(sites, q)), rng.integers(0, q, (20, sites))
    wanted = [
        -sum(potts[i, j, x[i], x[j]] for i in range(sites) for j in range(i))
        - sum(local[i, x[i]] for i in range(sites))
        for x in codes
    ]
    flat = potts.transpose(0, 2, 1, 3).reshape(sites * q, sites * q)
    for model in (boltz.potts(potts, local), boltz.potts(csr_array(flat), local, states=q)):
        np.testing.assert_allclose(model.energy({"v": np.eye(q)[codes].reshape(20, -1)}), wanted, atol=1e-12)
    square = boltz.lattice((3, 4), (0.5, 2.0)).toarray()
    number = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(square, square.T)
    assert set(np.flatnonzero(square[number[0, 0]])) == {number[0, 1], number[0, 3], number[1, 0], number[2, 0]}
    assert square[0, 1] == 2.0 and square[0, 4] == 0.5 and square.sum() == 12 * 2 * 2.5
    assert boltz.lattice((2, 5), periodic=False).sum() == 2 * (5 + 2 * 4)
