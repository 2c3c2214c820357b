"""Nobody times a broken loop: every contender works on machines that can be enumerated, before any clock runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from contenders import Array, Contender, Problem

import boltz

VISIBLE, HIDDEN, STEPS = 10, (6, 4), 300
KINDS = ("pcd", "cd", "gibbs", "ais", "dbm")


def _random(*shape: int, key: int) -> Array:
    return np.random.default_rng(key).standard_normal(shape).astype(np.float32)


def _small(deep: bool, chains: int, sd: float) -> Problem:
    """A random machine of 10 visible units, and rows that are three patterns with a tenth of their pixels turned."""
    units = (VISIBLE, *HIDDEN[: 2 if deep else 1])
    weights = tuple(sd * _random(a, b, key=i) for i, (a, b) in enumerate(zip(units[:-1], units[1:], strict=True)))
    biases = tuple(0.3 * sd * _random(n, key=10 + i) for i, n in enumerate(units))
    generator = np.random.default_rng(5)
    patterns = generator.random((3, VISIBLE)) < 0.5
    rows = (patterns[generator.integers(3, size=500)] ^ (generator.random((500, VISIBLE)) < 0.1)).astype(np.float32)
    names = ("v", "h1", "h2")
    start = {name: (_random(chains, n, key=20 + n) > 0).astype(np.float32) for name, n in zip(names, units, strict=False)}
    rates = {name: np.full(n, 0.5) for name, n in zip(names, units, strict=False)}
    return Problem(weights, biases, rows, start, rates, batch=50, k=3, learning_rate=0.1)


def _likelihood(parameters: tuple[Array, ...], rows: Array) -> float:
    """Mean log-likelihood of the rows (its variational bound for two hidden layers), log Z by enumeration."""
    count = len(parameters) // 2
    model = boltz.from_arrays(parameters[:count], parameters[count:])
    return boltz.log_likelihood(model, rows, boltz.exact_log_z(model), samples=1).value


def _training(contender: Contender, kind: str) -> tuple[float, float, float]:
    """Gain in log-likelihood, that of boltz, and the difference that passes."""
    problem = _small(kind == "dbm", 50, 0.01)
    work = contender.makers[kind](problem, 1)
    work.run(STEPS)
    found = _likelihood(work.result(), problem.rows)
    return found, _likelihood((*problem.weights, *problem.biases), problem.rows), 0.0


def _moments(problem: Problem) -> Array:
    """Exact mean activities of all units of an RBM, by enumeration of the visible states."""
    model = boltz.from_arrays(problem.weights, problem.biases).astype(np.float64)
    v = ((np.arange(2**VISIBLE)[:, None] >> np.arange(VISIBLE)) & 1).astype(np.float64)
    log_p = -model.free_energy(v)
    p = np.exp(log_p - log_p.max())
    return p @ np.hstack([v, boltz.mean_field(model, v)["h1"]]) / p.sum()


def _gibbs(contender: Contender) -> str:
    problem, rounds = _small(False, 400, 0.7), 20
    work, total = contender.makers["gibbs"](problem, 1), np.zeros(VISIBLE + HIDDEN[0])
    for _ in range(rounds):
        work.run(15)
        total += np.hstack([x.astype(np.float64) for x in work.result()]).mean(axis=0)
    exact = _moments(problem)
    z = np.abs(total / rounds - exact) / np.sqrt(exact * (1 - exact) / (rounds * problem.chains))
    return _verdict(float(z.max()), 6.0, "standard errors from the enumerated means at most")


def _ais(contender: Contender) -> str:
    problem = replace(_small(False, 400, 0.7), betas=300)
    work = contender.makers["ais"](problem, 1)
    work.run(1)
    (log_weights,) = work.result()
    exact = boltz.exact_log_z(boltz.from_arrays(problem.weights, problem.biases)).value
    ratio = np.exp(log_weights - exact)
    z = abs(ratio.mean() - 1) / (ratio.std() / np.sqrt(len(ratio)))
    return _verdict(float(z), 5.0, "standard errors from the enumerated Z")
