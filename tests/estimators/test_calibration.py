"""Catches intervals that cover less than they say over many machines, and bounds on the wrong side.

Chains of one run are independent, so that groups of 100 of them are replications: results do not depend on blocks, so
that these are made larger here for speed. Every test has the false-alarm rate stats.ALPHA = 1e-6 and a fixed key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from checks import annealing as annealing_laws
from numpy.typing import NDArray
from oracles import enumeration
from oracles.directed import Directed, log_evidence, log_p
from oracles.enumeration import Table
from scipy.special import logsumexp
from scipy.stats import t as student
from support import calibration, stats
from support.machines import machine_of, rates_of

import boltz
from boltz import parallel
from boltz.estimators import importance, reverse_ais
from boltz.estimators.estimate import from_log_weights
from boltz.estimators.words import TRUSTED_SHARE
from boltz.sampling import annealing

Floats = NDArray[np.float64]
GROUPS, CHAINS = 220, 100
BETAS = np.array([0.0, 0.3, 0.6, 0.8, 1.0])


def thirty() -> Iterator[Table]:
    """Machines of 4 to 10 units: ten RBMs, ten DBMs of two hidden layers, ten of three; weights up to sd 0.9."""
    rng = np.random.default_rng(71)
    for number in range(30):
        units = rng.integers(1, 4, 2 + number // 10)
        yield Table.random([int(n) + (number < 10) for n in units], float(rng.uniform(0.2, 0.9)), 500 + number)


def estimated(log_w: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Values, reaches of 95 % intervals and trust (groups,) of log-weights (groups, chains), all groups at once."""
    count = log_w.shape[1]
    values = logsumexp(log_w, axis=1) - np.log(count)
    relative = np.exp(log_w - values[:, None])
    reach = student.ppf(0.975, count - 1) * relative.std(axis=1, ddof=1) / np.sqrt(count)
    trusted = count / np.mean(relative**2, axis=1) >= TRUSTED_SHARE * count
    for i in range(5):
        one = from_log_weights(log_w[i], 1, "")
        assert one.value == pytest.approx(values[i], abs=1e-9) and one.trusted == trusted[i]
        assert one.interval[1] - one.value == pytest.approx(reach[i], rel=1e-6, abs=1e-12)
    return values, reach, trusted


def judge(errors: Floats, reach: Floats, trusted: NDArray[np.bool_], least: float) -> None:
    """Coverage of trusted intervals from 0.92 to 0.98 over all replications, of which a share at least is trusted."""
    hits, trials = int((np.abs(errors) <= reach)[trusted].sum()), int(trusted.sum())
    assert trials >= least * len(errors)
    stats.accept(calibration.coverage_test(hits, trials), f"intervals cover {hits / trials:.3f}")
    assert calibration.detectable_coverage(trials, 0.89) and calibration.detectable_coverage(trials, 0.995)


@pytest.mark.parametrize("downwards", [False, True], ids=["forward", "reverse"])
def test_annealing_is_calibrated(downwards: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """6,600 estimates of 100 chains from thirty machines; the mean value on its side of log Z.

    Catches an error that is 0.8 of the right one, chains that share numbers, and a mean that is 0.01 nats beyond log Z.
    """
    for name in ("blocks", "dealt"):
        monkeypatch.setattr(annealing, name, lambda chains, *others, **like: parallel.blocks(chains, 4096))
    found: list[tuple[Floats, ...]] = []
    for number, table in enumerate(thirty()):
        model, base = machine_of(table, np.float32), rates_of(table)
        if downwards:
            run = reverse_ais.reverse_ais(model, None, GROUPS * CHAINS, BETAS, number, base)
        else:
            run = boltz.ais(model, GROUPS * CHAINS, BETAS, number, base)
        sign = -1.0 if downwards else 1.0
        values, reach, trusted = estimated(sign * run.log_weights.reshape(GROUPS, CHAINS))
        found.append((values - sign * enumeration.log_z(table), reach, trusted))
    excess, reach, trusted = (np.concatenate(parts) for parts in zip(*found, strict=True))
    judge(excess, reach, trusted.astype(bool), 0.95)
    stats.accept(annealing_laws.bound_test(excess, 0.0), "the bound lies on the wrong side in expectation")
    assert annealing_laws.detectable_excess(excess, 0.01)


def belief_net(seed: int) -> tuple[Any, Floats]:
    """A sigmoid belief net with random weights, and every visible state."""
    machine = boltz.sbn([3, 3, 2]).astype(np.float64)
    machine.arena[...] = np.random.default_rng(seed).normal(0, 0.4, machine.arena.size)
    return machine, enumeration.bits(3)


def smooth(seed: int) -> tuple[Any, Floats]:
    """A variational autoencoder of one latent unit with random weights, and every visible state.

    Its q is near the prior: weights of a narrower one would have no variance, and then no interval covers.
    """
    machine = boltz.vae([3, [4]], [1]).astype(np.float64)
    machine.arena[...] = np.random.default_rng(seed).normal(0, 0.7, machine.arena.size)
    for name, x in machine.params.items():
        x[...] *= 0.1 if name.startswith("recognition") else 1.0
    return machine, enumeration.bits(3)


def evidence(machine: Any, rows: Floats) -> Floats:
    """log p(x) (rows,): by all hidden states, or on a grid of the one latent unit."""
    plain = Directed.of(machine)
    if plain.binary:
        return log_evidence(plain, rows)
    (name, *_) = plain.latent[0]
    grid = np.linspace(-9, 9, 2001)[:, None]
    values = []
    for row in rows:
        terms = log_p(plain, {plain.layers[0][0]: np.repeat(row[None], len(grid), axis=0), name: grid})
        values.append(logsumexp(sum(terms.values())) + np.log(grid[1, 0] - grid[0, 0]))
    return np.array(values)


@pytest.mark.parametrize("kind", ["sbn", "vae"])
def test_importance_weights_are_calibrated(kind: str) -> None:
    """7,200 estimates from 100 samples of a row each, of three machines; values below log p(x) in expectation.

    Catches an error that is 0.8 of the right one, samples or rows that share noise, and a value 0.01 nats too high.
    """
    found: list[tuple[Floats, ...]] = []
    for seed in range(3):
        machine, every = {"sbn": belief_net, "vae": smooth}[kind](seed)
        rows = np.tile(every, (300, 1))
        log_w = importance.reduced(machine, rows, CHAINS, boltz.Key.from_seed(seed), lambda w: w)
        values, reach, trusted = estimated(log_w)
        found.append((values - np.tile(evidence(machine, every), 300), reach, trusted))
    excess, reach, trusted = (np.concatenate(parts) for parts in zip(*found, strict=True))
    judge(excess, reach, trusted.astype(bool), 0.95)
    stats.accept(annealing_laws.bound_test(excess, 0.0), "the bound is above log p(x) in expectation")
    assert annealing_laws.detectable_excess(excess, 0.01)
