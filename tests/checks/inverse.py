"""Checks of machines without hidden units, and of fits to them, against sums over every state and plain calculus."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracles import pairwise as oracles
from oracles.pairwise import Pairwise
from scipy.optimize import minimize
from scipy.sparse import csr_array

import boltz

Floats = NDArray[np.float64]
VALUES = {"spin": (-1.0, 1.0), "bernoulli": (0.0, 1.0)}
WEIGHT, BIAS = "edge/v-v/weight", "layer/v/bias"


def near(found: Any, expected: Any, tolerance: float) -> None:
    assert np.abs(np.asarray(found) - expected).max() < tolerance, (found, expected)


def symmetric(sites: int, scale: float, seed: int) -> Floats:
    upper = np.triu(np.random.default_rng(seed).normal(0, scale, (sites, sites)), 1)
    return upper + upper.T


def of_spins(kind: str, sites: int = 4, seed: int = 1, sparse: bool = False) -> tuple[Any, Pairwise, Any]:
    """A machine of units of two states, its oracle, and what makes rows of codes."""
    j, h = symmetric(sites, 0.7, seed), np.random.default_rng(seed + 1).normal(0, 0.5, sites)
    if sparse:
        j[0, 2] = j[2, 0] = j[1, 3] = j[3, 1] = 0
    given = csr_array(j) if sparse else j
    model = (
        boltz.ising(given, h)
        if kind == "spin"
        else boltz.graph({"v": (sites, kind)}, {("v", "v"): given}, biases={"v": h}, dtype=np.float64)
    )
    values = np.array(VALUES[kind])
    return model, oracles.of_values(j, h, values), lambda codes: values[codes]


def of_potts(sites: int = 4, q: int = 3, seed: int = 3) -> tuple[Any, Pairwise, Any]:
    oracle = oracles.random(sites, q, 0.7, seed)
    j = np.zeros((sites, sites, q, q))
    for i, k in combinations(range(sites), 2):
        j[i, k], j[k, i] = oracle.couplings[i, k], oracle.couplings[i, k].T
    return boltz.potts(j, oracle.fields), oracle, lambda codes: codes


def with_hidden(seed: int = 5) -> tuple[Any, Pairwise, Any]:
    """Four categorical units of three states that are coupled to each other, and two hidden units."""
    _, oracle, rows = of_potts(seed=seed)
    oracle = Pairwise(oracle.couplings, oracle.fields, *_heard(seed))
    model, _, _ = of_potts(seed=seed)
    edges = {("v", "h"): oracle.heard.reshape(12, 2), ("v", "v"): model.params[WEIGHT]}
    layers = {"v": (4, ("categorical", 3)), "h": 2}
    biases = {"v": oracle.fields.reshape(-1), "h": oracle.hidden}
    return boltz.graph(layers, edges, biases=biases, dtype=np.float64), oracle, rows


def _heard(seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed + 10)
    return rng.normal(0, 0.8, (4, 3, 2)), rng.normal(0, 0.8, 2)


MACHINES = {
    "spins": lambda: of_spins("spin"),
    "sparse spins": lambda: of_spins("spin", sparse=True),
    "bits": lambda: of_spins("bernoulli"),
    "sparse bits": lambda: of_spins("bernoulli", sparse=True),
    "potts": of_potts,
    "with hidden units": with_hidden,
}


def all_codes(oracle: Pairwise) -> Any:
    shape = (oracle.fields.shape[1],) * oracle.sites
    return np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)


def check_likelihood() -> None:
    """Log p of every state; catches couplings that count twice, or not, and log Z of another machine."""
    for make in MACHINES.values():
        model, oracle, rows = make()
        codes = all_codes(oracle)
        found = boltz.log_likelihood(model, rows(codes))
        near(found.per_row, oracle.log_p(codes), 1e-9)
        assert found.kind == "exact" and abs(np.exp(found.per_row).sum() - 1) < 1e-9
        if not model.graph.hidden:
            near(model.free_energy(rows(codes)) + oracle.table().reshape(-1), 0, 1e-9)


def check_pseudo_likelihood() -> None:
    """All conditionals of every state, by the table of all states; catches halved couplings and fields left out."""
    for name, make in MACHINES.items():
        model, oracle, rows = make()
        codes = all_codes(oracle)
        if name != "with hidden units":
            near(boltz.pseudo_likelihood(model, rows(codes)).per_row, oracle.pseudo(codes), 1e-9)


def check_couplings() -> None:
    """Second differences of log p, an average over backgrounds; catches another gauge, and pairs that count twice."""
    for make in MACHINES.values():
        model, oracle, rows = make()
        codes = all_codes(oracle)[[3, 7, 10]]
        table = oracle.table()
        found = boltz.couplings(model, rows(codes))
        q = len(table)
        for i, k in combinations(range(oracle.sites), 2):
            wanted = np.zeros((q, q))
            for row in codes:
                place: list[Any] = list(row)
                place[i], place[k] = slice(None), slice(None)
                wanted += table[tuple(place)] / len(codes)
            wanted = wanted - wanted.mean(axis=0) - wanted.mean(axis=1, keepdims=True) + wanted.mean()
            near(found.couplings[i, :, k], wanted, 1e-6)
            near(found.couplings[k, :, i], wanted.T, 1e-6)
        if not model.graph.hidden:
            assert (boltz.couplings(model).couplings == found.couplings).all()


def check_mutations() -> None:
    """Every mutant of some states by differences of log p; catches what other sites say left out."""
    for make in MACHINES.values():
        model, oracle, rows = make()
        table = oracle.table()
        for row in all_codes(oracle)[[0, 6, 13]]:
            wanted = np.empty(oracle.fields.shape)
            for site in range(oracle.sites):
                place: list[Any] = list(row)
                place[site] = slice(None)
                wanted[site] = table[tuple(place)] - table[tuple(row)]
            near(boltz.mutation_scores(model, rows(row)), wanted, 1e-9)


def objective(parameters: Floats, kind: str, codes: Any, shares: Floats, penalties: tuple[float, float]) -> float:
    """The penalised objective of couplings of pairs, i < k in order, then fields, by one conditional after the other.

    Of categorical units ("potts:3") couplings of a pair are the q x q numbers of its block.
    """
    sites = codes.shape[1]
    pairs = list(combinations(range(sites), 2))
    if kind in VALUES:
        values, q = np.array(VALUES[kind]), 2
        j = np.zeros((sites, sites))
        j[tuple(np.transpose(pairs))] = parameters[: len(pairs)]
        oracle = oracles.of_values(j, parameters[len(pairs) :], values)
        blocks = oracle.couplings
        fields = oracle.fields
    else:
        q = int(kind.split(":")[1])
        blocks = np.zeros((sites, sites, q, q))
        for number, (i, k) in enumerate(pairs):
            blocks[i, k] = parameters[number * q * q : (number + 1) * q * q].reshape(q, q)
        fields = parameters[len(pairs) * q * q :].reshape(sites, q)
    total = 0.0
    for i in range(sites):
        heard = np.tile(fields[i], (len(codes), 1))
        for k in range(sites):
            if k != i:
                block = blocks[i, k] if i < k else blocks[k, i].T
                heard += block[:, codes[:, k]].T
        top = heard.max(axis=1)
        log_z = top + np.log(np.exp(heard - top[:, None]).sum(axis=1))
        total -= float(shares @ (heard[np.arange(len(codes)), codes[:, i]] - log_z))
    count = len(pairs) * (1 if kind in VALUES else q * q)
    l2, l2_fields = penalties
    return total + l2 * float(np.sum(parameters[:count] ** 2)) + l2_fields * float(np.sum(parameters[count:] ** 2))


def kind_of(name: str) -> tuple[str, Any, str]:
    """The kind that the objective knows, the units that a machine is made of, and the name of a case."""
    return (name, name, name) if name in VALUES else (name, ("categorical", int(name.split(":")[1])), name)


def rows_of(kind: str, rows: int, seed: int, sites: int = 4) -> tuple[Any, Any]:
    """Codes and rows, drawn from a random machine."""
    if kind in VALUES:
        j, h = symmetric(sites, 0.5, seed), np.random.default_rng(seed).normal(0, 0.4, sites)
        codes = oracles.of_values(j, h, VALUES[kind]).draw(rows, seed)
        return codes, np.array(VALUES[kind])[codes]
    codes = oracles.random(sites, int(kind.split(":")[1]), 0.6, seed).draw(rows, seed)
    return codes, codes


def parameters_of(model: Any, kind: str) -> Floats:
    """Couplings of pairs and fields of a fitted machine in the order of the objective."""
    weight, bias = model.params[WEIGHT], model.params[BIAS]
    if kind in VALUES:
        return np.concatenate([weight[np.triu_indices(len(bias), 1)], bias])
    q = int(kind.split(":")[1])
    blocks = weight.reshape(len(bias) // q, q, len(bias) // q, q)
    pairs = combinations(range(len(bias) // q), 2)
    return np.concatenate([*(blocks[i, :, k].reshape(-1) for i, k in pairs), bias])


def check_fit_is_the_minimum() -> None:
    """Against a minimiser that knows plain loops and differences alone, with weights of rows and both penalties.

    Catches a penalty that counts pairs twice, the wrong share of rows, and couplings of one direction only. Potts
    couplings are compared by what they give, since the gauge is another one.
    """
    for kind in ("spin", "bernoulli", "categorical:3"):
        units = kind_of(kind)[1]
        codes, x = rows_of(kind, 60, 4, 3)
        weights = np.random.default_rng(5).uniform(0.2, 1, len(x))
        penalties, shares = (0.03, 0.011), weights / weights.sum()
        fit = boltz.fit_pairwise(
            boltz.boltzmann(3, units=units, dtype=np.float64), x, *penalties, weights=weights, tolerance=1e-8
        )
        count = 3 * (1 if kind in VALUES else 9)
        start = np.zeros(count + fit.model.units["v"])
        wanted = minimize(objective, start, (kind, codes, shares, penalties), method="BFGS", options={"gtol": 1e-7})
        assert fit.converged and abs(fit.objective - wanted.fun) < 1e-8, (fit.objective, wanted.fun)
        found = parameters_of(fit.model, kind)
        if kind in VALUES:
            near(found, wanted.x, 1e-4)
        plain = objective(wanted.x, kind, codes, shares, (0, 0))
        assert abs(objective(found, kind, codes, shares, (0, 0)) - plain) < 1e-4
        assert abs(fit.pseudo_likelihood + objective(found, kind, codes, shares, (0, 0))) < 1e-9


def check_gradient() -> None:
    """The gradient by central differences at a random place, dense and few couplings, in several pieces of rows.

    Catches a half of a coupling, fields without the shares of rows, and pieces that are left out or count twice.
    """
    from boltz.parallel import workers
    from boltz.training import pairwise, pseudo_likelihood

    rng = np.random.default_rng(6)
    for kind in ("spin", "bernoulli", "categorical:3"):
        model = boltz.boltzmann(4, units=kind_of(kind)[1], dtype=np.float64)
        _, x = rows_of(kind, 300, 7)
        rows, shares = pairwise._rows(model, x), rng.dirichlet(np.ones(300))
        first, second, _ = pseudo_likelihood.coupled_pairs(
            model.graph.edges[0], model.units["v"], model.layers[0].columns
        )
        with workers() as pool:
            values = []
            for few in (False, True):
                problem = pseudo_likelihood.Problem(model.unit_type("v"), rows, shares, first, second, few, pool)
                place = np.random.default_rng(8).normal(0, 0.5, len(first) + model.units["v"])
                value, slope = problem.value(place)
                for at in rng.choice(len(place), 8, replace=False):
                    step = np.zeros(len(place))
                    step[at] = 1e-5
                    change = problem.value(place + step)[0] - problem.value(place - step)[0]
                    assert abs(change / 2e-5 - slope[at]) < 1e-8, (kind, few, at)
                values.append((value, slope))
        near(values[0][1], values[1][1], 1e-12)
        assert abs(values[0][0] - values[1][0]) < 1e-12


def check_value_is_the_pseudo_likelihood() -> None:
    """What a fit reports is boltz.pseudo_likelihood of its machine, and the mean states are those of the rows."""
    for kind in ("spin", "bernoulli", "categorical:3"):
        _, x = rows_of(kind, 400, 9)
        fit = boltz.fit_pairwise(boltz.boltzmann(4, units=kind_of(kind)[1], dtype=np.float64), x)
        found = boltz.pseudo_likelihood(fit.model, x)
        assert abs(found.value - fit.pseudo_likelihood) < 1e-9
        states = x if kind in VALUES else np.eye(3)[x].reshape(len(x), -1)
        near(fit.model.rates["v"], states.mean(axis=0), 0.01)


def check_l1() -> None:
    """The conditions of a minimum with l1 by differences of the objective: at 0 the slope is at most l1, elsewhere it
    is l1 against the sign. Catches shrinkage that is not l1, zeros that are none, and fields that shrink, too.
    """
    for kind in ("spin", "categorical:3"):
        codes, x = rows_of(kind, 200, 11)
        l1, penalties = {"spin": 0.15, "categorical:3": 0.03}[kind], (0.002, 0.003)
        fit = boltz.fit_pairwise(
            boltz.boltzmann(4, units=kind_of(kind)[1], dtype=np.float64), x, *penalties, l1=l1, tolerance=1e-8
        )
        place, shares = parameters_of(fit.model, kind), np.full(len(x), 1 / len(x))
        count = len(place) - fit.model.units["v"]
        assert fit.converged and 0.1 < np.mean(place[:count] == 0) < 0.9, place
        for at in range(len(place)):
            step = np.zeros(len(place))
            step[at] = 1e-4
            change = [objective(place + sign * step, kind, codes, shares, penalties) for sign in (1, -1)]
            slope = (change[0] - change[1]) / 2e-4
            if at >= count:
                assert kind != "spin" or abs(slope) < 1e-6, (at, slope)
            elif place[at] == 0:
                assert abs(slope) < l1 + 1e-6, (at, slope)
            else:
                assert abs(slope + l1 * np.sign(place[at])) < 1e-6, (at, slope)
        cost = objective(place, kind, codes, shares, penalties) + l1 * np.abs(place[:count]).sum()
        assert abs(cost - fit.objective) < 1e-4


def check_zero_sum_gauge() -> None:
    """The blocks of a fit sum to 0, whatever the penalty of fields, and the law is that of the minimum.

    A large penalty of fields makes the gauge of the minimum another one.
    """
    _, x = rows_of("categorical:3", 300, 12)
    for l2_fields in (1e-4, 0.5):
        fit = boltz.fit_pairwise(
            boltz.boltzmann(4, units=("categorical", 3), dtype=np.float64), x, 0.01, l2_fields, tolerance=1e-7
        )
        blocks = fit.model.params[WEIGHT].reshape(4, 3, 4, 3)
        near(blocks.sum(axis=1), 0, 1e-12)
        near(blocks.sum(axis=3), 0, 1e-12)
        near(fit.model.params[BIAS].reshape(4, 3).sum(axis=1), 0, 1e-12)
        assert abs(boltz.pseudo_likelihood(fit.model, x).value - fit.pseudo_likelihood) < 1e-9


def check_sparse_fit() -> None:
    """Sparse couplings: only those that there are, and at their minimum where the other ones are held at 0."""
    codes, x = rows_of("spin", 150, 13)
    kept = [(0, 1), (1, 2), (0, 3)]
    pattern = np.zeros((4, 4))
    for i, k in kept:
        pattern[i, k] = pattern[k, i] = 1
    fit = boltz.fit_pairwise(boltz.ising(csr_array(pattern)), x, 0.01, 0.02, tolerance=1e-8)
    pairs = list(combinations(range(4), 2))
    shares = np.full(len(x), 1 / len(x))

    def held(free: Floats) -> float:
        every = np.zeros(10)
        every[[pairs.index(pair) for pair in kept]] = free[:3]
        every[6:] = free[3:]
        return objective(every, "spin", codes, shares, (0.01, 0.02))

    wanted = minimize(held, np.zeros(7), method="BFGS", options={"gtol": 1e-7})
    dense = fit.model.matrix(WEIGHT).toarray()
    near([dense[pair] for pair in kept], wanted.x[:3], 1e-4)
    assert (dense[pattern == 0] == 0).all() and abs(fit.objective - wanted.fun) < 1e-8


def check_planted_couplings() -> None:
    """50,000 exact rows of 8 spins give couplings within what their number allows, by the exact Fisher information.

    The squared error of the likelihood has the mean tr F^-1 / rows; the ratio is below 2 but for about 1 seed in
    100,000 (28 couplings), and the seed is fixed. Catches a factor in couplings and rows that are left out.
    """
    j, h = symmetric(8, 0.3, 14), np.random.default_rng(15).normal(0, 0.2, 8)
    model = boltz.ising(j, h)
    x = boltz.exact_samples(model, 50_000, seed=16)["v"]
    fit = boltz.fit_pairwise(boltz.boltzmann(8, units="spin", dtype=np.float64), x)
    upper = np.triu_indices(8, 1)
    s = np.array(VALUES["spin"])[np.stack(np.unravel_index(np.arange(256), (2,) * 8), axis=1)]
    every = np.concatenate([s[:, upper[0]] * s[:, upper[1]], s], axis=1)
    log_p = every @ np.concatenate([j[upper], h])
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    fisher = (every * p[:, None]).T @ every - np.outer(p @ every, p @ every)
    limit = np.trace(np.linalg.inv(fisher)[:28, :28]) / len(x)
    error = float(np.sum((fit.model.params[WEIGHT] - j)[upper] ** 2))
    assert 0.3 < error / limit < 2, error / limit
