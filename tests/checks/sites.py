"""Checks of mutation scores and couplings against sums over every state, and second differences of these."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from checks.any_units import machine, registered
from numpy.typing import NDArray
from oracles.mixed import Mixed

import boltz

Floats = NDArray[np.float64]
PLANTED = ((0, 3), (1, 5), (2, 4))


def near(found: Any, expected: Any, tolerance: float) -> None:
    assert np.abs(np.asarray(found) - expected).max() < tolerance, (found, expected)


def by_states(oracle: Mixed, sites: int) -> Floats:
    """log p* of every state, an axis a site."""
    log_p = oracle.log_marginal([0])
    return log_p.reshape((round(len(log_p) ** (1 / sites)),) * sites)


def centred(block: Floats) -> Floats:
    """A block (states, states) in the zero-sum gauge."""
    return block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()


def second_differences(log_p: Floats, codes: Any) -> Floats:
    """Couplings (sites, states, sites, states) by log p of states, an axis a site, over backgrounds (rows, sites)."""
    sites, states = log_p.ndim, len(log_p)
    found = np.zeros((sites, states, sites, states))
    for i, k in combinations(range(sites), 2):
        for row in codes:
            place: list[Any] = list(row)
            place[i], place[k] = slice(None), slice(None)
            block = centred(log_p[tuple(place)]) / len(codes)
            found[i, :, k] += block
            found[k, :, i] += block.T
    return found


@registered
def check_mutation_scores() -> None:
    """Catches biases, base energies and the states of the sequence left out, of RBMs and of deeper machines."""
    chains = [["categorical:3", "bernoulli"], ["spin", "categorical:3"], ["bernoulli", "spin"], ["three", "bernoulli"]]
    chains += [["categorical:3", "spin", "bernoulli"], ["spin", "bernoulli", "spin"], ["three", "bernoulli", "spin"]]
    for seed, names in enumerate(chains):
        model, oracle = machine(names, [3, 2, 2][: len(names)], 80 + seed)
        log_p, rows = by_states(oracle, 3), oracle.states(0)
        for number in (1, 5, len(rows) - 1):
            codes = np.unravel_index(number, log_p.shape)
            wanted = np.empty((3, len(log_p)))
            for site in range(3):
                place: list[Any] = list(codes)
                place[site] = slice(None)
                wanted[site] = log_p[tuple(place)] - log_p[codes]
            found = boltz.mutation_scores(model, rows[number])
            near(found, wanted, 1e-9)
            assert (found[np.arange(3), codes] == 0).all(), "the sequence itself differs from itself"


@registered
def check_couplings() -> None:
    """Catches what a row has at both sites left in, rows that are not averaged, and another gauge."""
    rng = np.random.default_rng(3)
    chains = [["categorical:3", "bernoulli"], ["categorical:3", "spin"], ["spin", "bernoulli"], ["bernoulli", "spin"]]
    for seed, names in enumerate(chains):
        model, oracle = machine(names, [4, 3], 90 + seed, 1.2)
        log_p, rows = by_states(oracle, 4), oracle.states(0)
        chosen = rng.integers(0, len(rows), 5)
        codes = np.stack(np.unravel_index(chosen, log_p.shape), axis=1)
        found = boltz.couplings(model, rows[chosen])
        near(found.couplings, second_differences(log_p, codes), 1e-6)
        assert (found.couplings[np.arange(4), :, np.arange(4)] == 0).all(), "a site is coupled to itself"


def check_couplings_by_real_hidden_units() -> None:
    """Hidden units with other log-partitions, against free energies; catches a series that is off, or too short."""
    rng = np.random.default_rng(4)
    for kind in ("gaussian", "rectified", "drelu"):
        model = boltz.rbm(4, 3, units="spin", hidden_units=kind, dtype=np.float64, initial_scale=1.2, seed=2)
        model.bias("h1")[...] = [-1.5, 0.3, 1.0]
        for name, values in (("threshold", [-2.0, 0.5, 1.5]), ("asymmetry", [0.7, -0.4, 0.0])):
            if name in model.own("h1"):
                model.own("h1")[name][...] = values
        states = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
        log_p = -model.free_energy(states).reshape((2,) * 4)
        codes = rng.integers(0, 2, (6, 4))
        near(boltz.couplings(model, 2 * codes - 1).couplings, second_differences(log_p, codes), 2e-6)


def check_couplings_of_an_ising_model() -> None:
    """An RBM that is an Ising model exactly, with a hidden spin a pair, gives back its couplings, whatever the rows.

    From the same law of a pair as in the guide for physicists: 2 cosh(w (r + sign s)) = 2 exp(|J|) exp(J r s).
    """
    rng = np.random.default_rng(5)
    wanted = np.triu(rng.normal(0, 0.6, (5, 5)), 1)
    first, second = np.nonzero(wanted)
    pairs, number = wanted[first, second], np.arange(10)
    w = np.arccosh(np.exp(2 * np.abs(pairs))) / 2
    weights = np.zeros((5, 10))
    weights[first, number], weights[second, number] = w, np.sign(pairs) * w
    model = boltz.from_arrays([weights], [rng.normal(size=5), np.zeros(10)], units=["spin", "spin"])
    found = boltz.couplings(model, rng.choice([-1, 1], (3, 5)))
    near(found.couplings[:, 1, :, 1], wanted + wanted.T, 1e-6)
    near(found.couplings[:, 0, :, 1], -wanted - wanted.T, 1e-6)


def check_scores_of_pairs() -> None:
    """Norms and their correction by plain loops; catches a gap that counts, and the diagonal in the means."""
    rng = np.random.default_rng(6)
    model = boltz.rbm(5, 4, units=("categorical", 4), hidden_units="spin", initial_scale=0.8, seed=3)
    rows = rng.integers(0, 4, (7, 5))
    for gap in (None, 2):
        found = boltz.couplings(model, rows, gap)
        norms = np.zeros((5, 5))
        for i, k in combinations(range(5), 2):
            kept = [[found.couplings[i, a, k, b] for b in range(4) if b != gap] for a in range(4) if a != gap]
            norms[i, k] = norms[k, i] = np.linalg.norm(np.array(kept, np.float64))
        every = np.mean([norms[i, k] for i, k in combinations(range(5), 2)])
        site = [np.mean([norms[i, k] for k in range(5) if k != i]) for i in range(5)]
        wanted = [[0 if i == k else norms[i, k] - site[i] * site[k] / every for k in range(5)] for i in range(5)]
        near(found.scores, wanted, 1e-5)


def check_planted_pairs() -> None:
    """A machine trained on exact samples of a Potts model has its coupled pairs at the top; catches scores of others.

    3 of 15 pairs attract with 1.5 nats; 3,000 rows with a fixed seed.
    """
    states = np.stack(np.meshgrid(*[range(3)] * 6, indexing="ij"), axis=-1).reshape(-1, 6)
    p = np.exp(1.5 * sum((states[:, i] == states[:, k]).astype(float) for i, k in PLANTED))
    rng = np.random.default_rng(7)
    rows = states[rng.choice(len(states), 3000, p=p / p.sum())]
    model = boltz.rbm(6, 8, rows, units=("categorical", 3), hidden_units="spin", seed=1)
    run = boltz.train(model, rows, epochs=12, batch_size=50, learning_rate=0.05)
    scores = boltz.couplings(run.model, rows[:100]).scores
    best = sorted(combinations(range(6), 2), key=lambda pair: -scores[pair])[:3]
    assert sorted(best) == sorted(PLANTED), (best, scores)


def check_weights_beyond_reach() -> None:
    """Inputs that change by thousands are refused; catches a series that is taken without a look at its error."""
    model = boltz.rbm(3, 2, units="spin", hidden_units="spin", initial_scale=1000.0)
    try:
        boltz.couplings(model, [[-1, 1, 1]])
    except boltz.NumericalError as problem:
        assert "train with smaller weights" in str(problem)
    else:
        raise AssertionError("a series that is off is taken")
