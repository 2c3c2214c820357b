"""Quick checks of likelihoods of rows: proposals of several modes, the look at what samples miss, errors and figures.

Each check takes no argument, has a fixed key and the false-alarm rate stats.ALPHA = 1e-6 where it draws numbers.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import logsumexp
from scipy.stats import t as student
from support import stats
from support.machines import machine_of

import boltz
from boltz.estimators import estimate, likelihood, precision, second_look, words
from boltz.estimators.log_weights import weigher
from boltz.rng import Key
from boltz.sampling import mixtures
from boltz.sampling.gibbs import turned_weights
from boltz.storage import tables

TABLE = Table.random([3, 3, 2], 2.0, 61)
KEY = Key.from_seed(7)


def two_moded() -> boltz.BoltzmannMachine:
    """Hidden units of 4-6-1 that are all off or all on given v = 0, with even odds; mean field sees one of them."""
    weights = [np.zeros((4, 6)), np.full((6, 1), 8.0)]
    return boltz.from_arrays(weights, [np.zeros(4), np.full(6, -4.0), np.full(1, -24.0)])


def check_both_modes() -> None:
    """The mixture gives each of the two states a good part of itself."""
    q = mixtures.mixture_of(two_moded(), np.zeros((2, 4)), 0, KEY)
    for value in (0.0, 1.0):
        assert q.log_density({"h1": np.full((2, 6), value)}).min() > np.log(0.2)


def check_mixture() -> None:
    """q sums to 1 over the states of h1, and 20,000 draws of one row follow it."""
    machine, every = machine_of(TABLE), enumeration.bits(3)
    q = mixtures.mixture_of(machine, np.array([[1.0, 0, 1]]), 0, KEY)
    log_q = np.array([q.log_density({"h1": state[None]})[0] for state in every])
    assert abs(logsumexp(log_q)) < 1e-9
    state = {"h1": np.zeros((20_000, 3))}
    q.repeated(20_000).draw(KEY, 0, 0, state)
    counts = [(state["h1"] == one).all(axis=1).sum() for one in every]
    stats.accept(stats.chi_square(counts, np.exp(log_q)), "draws are not from q")


def check_weights() -> None:
    """log p*(v, h) of all states of v and h1 is that of the energy."""
    machine = machine_of(TABLE)
    v, h = (np.repeat(enumeration.bits(3), 8, axis=0), np.tile(enumeration.bits(3), (8, 1)))
    found = weigher(machine, v, turned_weights(machine)).log_density({"h1": h})
    assert np.abs(found + machine.marginal_energy({"v": v, "h1": h}, ["h2"])).max() < 1e-10


def one_sided() -> boltz.HelmholtzMachine:
    """A belief net of two rivals for v = 1, 1, of which q knows one."""
    net = boltz.sbn([2, 2]).astype(np.float64)
    for values in net.params.values():
        values[...] = 0
    net.params["generative/v/0/weight"][...] = 40.0
    net.params["generative/v/0/bias"][...] = -20.0
    net.params["prior/bias"][...] = -14.0
    net.params["recognition/h1/0/bias"][...] = [12.0, -12.0]
    return net


def check_missed_mode() -> None:
    """Half of the posterior is missed by 1,000 samples that look perfect, and found by chains from elsewhere."""
    found = boltz.importance_bounds(one_sided(), np.ones((3, 2)), (1000,))[0]
    truth = boltz.log_likelihood(one_sided(), np.ones((3, 2))).value
    assert found.standard_error < 0.02 < truth - found.value
    assert len(found.doubts) == 1 and "of the posterior of 3 rows" in found.doubts[0]


def check_no_false_alarm() -> None:
    """A q that knows both rivals is trusted."""
    net = one_sided()
    net.params["recognition/h1/0/bias"][...] = 0
    assert boltz.importance_bounds(net, np.ones((5, 2)), (1000,))[0].trusted
    assert second_look.Look(3, 0.02, 0.015).doubts(1e-4) == ()


def check_error_of_mean() -> None:
    """Two good rows in squares, two poor ones added."""
    found = likelihood.error_of_mean(np.array([0.3, 0.4, 1.0, 1.0]), np.array([0.9, 0.4, 0.1, 0.0]))
    assert abs(found - np.hypot(0.5, 2.0) / 4) < 1e-12


def check_rows_in_the_interval() -> None:
    """The interval of exact values is that of other rows, and of both where log Z has an error."""
    machine, x = machine_of(TABLE), enumeration.bits(3)
    found = boltz.log_likelihood(machine, x)
    assert found.per_row is not None
    of_rows = found.per_row.std(ddof=1) / np.sqrt(8)
    assert abs(found.interval[1] - found.value - student.ppf(0.975, 7) * of_rows) < 1e-9
    log_z = estimate.from_log_weights(np.random.default_rng(1).normal(20, 0.5, 200), 1, "made up")
    both = boltz.log_likelihood(machine, x, log_z)
    joint = estimate.joint_interval(both.value, (log_z.standard_error, 200), (of_rows, 8))
    assert np.allclose(both.interval, joint, rtol=1e-9, atol=0)


def check_joint_interval() -> None:
    """Errors 3 and 4 of 11 and 5 values: joint 5, degrees by Welch; noise of estimation is no spread of rows."""
    reach = 5 * student.ppf(0.975, 625 / (81 / 10 + 256 / 4))
    assert np.allclose(estimate.joint_interval(1.0, (3.0, 11), (4.0, 5)), (1 - reach, 1 + reach), rtol=1e-12)
    values, noise = np.array([-1.0, -2.0, -4.0, -5.0]), np.array([0.0, 1.0, 1.0, np.inf])
    assert abs(estimate.error_of_rows(values, noise) - np.sqrt((10 / 3 - 0.5) / 4)) < 1e-12


def check_large_weights() -> None:
    """Float32 machines with weights of 1e4: values and bounds are those of the same parameters in float64."""
    rng = np.random.default_rng(6)
    for units in ([9, 6], [8, 5, 4]):
        weights = [rng.normal(0, 1e4, shape) for shape in pairwise(units)]
        narrow = boltz.from_arrays(weights, [rng.normal(0, 1e4, n) for n in units]).astype(np.float32)
        x = enumeration.bits(units[0])
        found: Any = [boltz.log_likelihood(model, x) for model in (narrow, narrow.astype(np.float64))]
        assert np.abs(found[0].per_row - found[1].per_row).max() < 1e-4 and found[0].per_row.max() < 1e-4
        bound: Any = likelihood.variational_bound(narrow, x)
        assert (bound.per_row < found[1].per_row + 1e-4).all()


def check_above_zero() -> None:
    """A log Z that is too small by far is doubted; a value within its error of 0 is not."""
    machine, x = machine_of(TABLE), enumeration.bits(3)
    assert not boltz.log_likelihood(machine, x, boltz.exact_log_z(machine).value - 50).trusted
    assert boltz.log_likelihood(machine, x, boltz.exact_log_z(machine)).trusted
    assert not precision.above_zero(np.array([0.1]), np.array([0.1]), estimate.exact(3.0, ""))


def check_figures() -> None:
    """Two digits of the error, and as many decimals of the value."""
    assert words.small(0.0671) == "0.067" and words.figure(-84.67123, 0.0671) == "-84.671"
    assert words.figure(1.0, 3e-9) == "1.000000" and words.figure(1.0, 20.0) == "1.00"


def check_per_row_file() -> None:
    """What is written is what was given, each row under its number, from 1."""
    values = np.array([-1.5, -2.25, -1 / 3])
    with tempfile.TemporaryDirectory() as folder:
        tables.write_per_row(Path(folder) / "a.csv", values)
        first, *lines = (Path(folder) / "a.csv").read_text().splitlines()
        assert first == "row,log_likelihood"
        assert [tuple(map(float, line.split(","))) for line in lines] == list(enumerate(values, 1))
        tables.write_per_row(Path(folder) / "a.npy", values)
        assert np.load(Path(folder) / "a.npy").tolist() == values.tolist()
