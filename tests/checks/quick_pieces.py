"""Quick checks of traced chains, decoding, pseudo-likelihoods, gradients and rows with unknown entries.

Each is compared with enumeration. Statistical ones have a fixed seed and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
from checks.directed import machine_of as directed_machine
from oracles import chains, enumeration
from oracles.directed import Directed, outputs
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support import stats
from support.machines import machine_of, ring

import boltz
from boltz.estimators import unknown_units
from boltz.models.scaling import Scaling
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.evidence import evidence_of
from boltz.training.contrastive import Contrastive, Workspace
from boltz.training.rules import Clock
from boltz.training.settings import Settings

RBM, DBM = Table.random([4, 3], 1.0, 71), Table.random([3, 3, 2], 1.0, 72)
BETAS = (0.0, 0.5, 1.0, 2.0)


def scaled(table: Table, beta: float) -> Table:
    """The machine of exp(-beta E)."""
    edges = {pair: beta * weight for pair, weight in table.edges.items()}
    return Table(table.layers, edges, {n: beta * bias for n, bias in table.biases.items()})


def moments_of_energy(table: Table, p: Any) -> tuple[float, float]:
    """Mean and variance of the energy under p over all states."""
    energy = -enumeration.log_density(table).reshape(-1)
    mean = float(p @ energy)
    return mean, float(p @ (energy - mean) ** 2)


def check_energies_at_temperatures() -> None:
    """Mean energies of 8,000 chains after 5 and 10 sweeps against the exact law of each sweep, at each beta.

    Catches beta that leaves out the biases, beta E in the place of E, and a record one sweep too early.
    """
    rows, start = 8_000, {"v": np.array([1.0, 0, 1]), "h1": np.array([0.0, 1, 1]), "h2": np.array([1.0, 1])}
    given = {n: np.tile(x, (rows, 1)) for n, x in start.items()}
    run = boltz.run_chains(machine_of(DBM), 10, rows, every=5, beta=BETAS, start=given, seed=4)
    here = enumeration.numbers(DBM, {n: x[None] for n, x in start.items()})[0]
    values = []
    for i, beta in enumerate(BETAS):
        step = chains.sweep_matrix(scaled(DBM, beta), enumeration.colours(DBM))
        for k, sweeps in enumerate((5, 10)):
            mean, variance = moments_of_energy(DBM, np.linalg.matrix_power(step, sweeps)[here])
            values.append(stats.mean_test(run.traces["energy"][i, k], mean, variance))
            assert stats.detectable_mean(rows, 0.1 * np.sqrt(variance), variance)
    stats.accept(stats.smallest_of(values), "the chains do not sample exp(-beta E)")


def check_chains_end_as_samples() -> None:
    """Traces continue one chain: the last states are those of boltz.sample, whatever is recorded how often."""
    model = machine_of(RBM, np.float32)
    for sweeps, every in ((33, 1), (34, 9), (65, 65)):  # a sweep with flips comes last
        wanted = boltz.sample(model, 40, sweeps, seed=5)
        run = boltz.run_chains(model, sweeps, 40, every, seed=5)
        for layer, x in wanted.items():
            np.testing.assert_array_equal(run.states[layer], x)
        if sweeps % every == 0:
            np.testing.assert_array_equal(run.trace[-1], model.energy(wanted))


def check_temperatures_are_independent() -> None:
    """Energies of 20,000 pairs of chains at two temperatures are uncorrelated; catches chains with common numbers."""
    one, two = boltz.run_chains(machine_of(RBM), 3, 20_000, beta=[1.0, 0.9], start="uniform", seed=6).trace
    values = [stats.correlation_test(x, y) for x, y in zip(one, two, strict=True)]
    stats.accept(stats.smallest_of(values), "chains at two temperatures share their random numbers")
    assert stats.detectable_correlation(20_000, 0.06, stats.ALPHA / 3)


def means_below(machine: Any, layer: str, values: Any) -> Any:
    """Visible means of a Helmholtz machine given values of a layer, by plain products from one layer to the next."""
    names, plain = list(machine.units), Directed.of(machine)
    kinds = {name: kind for name, _, kind in plain.layers}
    for below, above in reversed(list(pairwise(names[: names.index(layer) + 1]))):
        if plain.rbm and above == names[-1]:
            p = plain.params
            values = expit(values @ p["prior/edge/v-h1/weight"].T + p["prior/layer/v/bias"])
            continue
        found = outputs(plain, f"generative/{below}", values)
        values = expit(found) if kinds[below] == "bernoulli" else found[:, : machine.units[below]]
    return values


def check_decoded_means() -> None:
    """Every hidden layer of directed machines, an RBM and a DBM; catches a layer left out, draws for means.

    From the top of the DBM the means are those of a mean-field fixed point: its weights are small, so there is one.
    """
    rng = np.random.default_rng(7)
    for layers in ("3b 2g", "3g 2g 4g", "3b 4g 2b", "3b 2b 4b rbm", "3g 4b"):
        machine = directed_machine(layers, [[3]] * (len(layers.split()) - 1 - 2 * layers.endswith("rbm")))
        for number, layer in enumerate(machine.layers[1:], start=1):
            z = rng.random((70, layer.units))
            wanted = means_below(machine, layer.name, z)
            np.testing.assert_allclose(boltz.decode(machine, z, number), wanted, rtol=0, atol=1e-12)
    z = rng.random((5, 3))
    np.testing.assert_allclose(
        boltz.decode(machine_of(RBM), z), enumeration.conditional(RBM, "v", {"h1": z}), rtol=0, atol=1e-12
    )
    calm = Table.random([5, 4, 3], 0.3, 77)
    found = boltz.decode(machine_of(calm), z, "h2")
    means = enumeration.conditional(calm, "h1", {"v": found, "h2": z})
    np.testing.assert_allclose(enumeration.conditional(calm, "v", {"h1": means}), found, rtol=0, atol=1e-9)
    assert np.ptp(found, axis=0).max() > 1e-3


def check_means_of_samples() -> None:
    """Hidden states stay what they were, and visible ones give way to their means in the units of the data."""
    for table in (RBM, DBM, ring()):
        model = machine_of(table)
        plain, found = (boltz.sample(model, 50, 5, seed=8, means=means) for means in (False, True))
        wanted = enumeration.conditional(table, "v", {n: x for n, x in plain.items() if n != "v"})
        np.testing.assert_allclose(found["v"], wanted, rtol=0, atol=1e-12)
        assert all((found[n] == plain[n]).all() for n in table.hidden)
    scaling = Scaling(np.array([5.0, 0.0, -2.0]), np.array([10.0, 1.0, 0.0]))
    machine = directed_machine("3g 2g 2g")
    machine = boltz.HelmholtzMachine(machine.structure, machine.arena, scaling=scaling)
    plain, found = (boltz.sample(machine, 40, seed=9, means=means) for means in (False, True))
    wanted = means_below(machine, "h1", plain["h1"]) * scaling.spread + scaling.location
    np.testing.assert_allclose(found["v"], wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(boltz.decode(machine, plain["h1"], "h1"), wanted, rtol=0, atol=1e-12)
    assert (found["v"] != plain["v"])[:, :2].all() and (found["v"][:, 2] == -2).all()


def pseudo_likelihoods(table: Table, rows: Any) -> Any:
    """sum_i log p(v_i | rest) (rows,) of 0/1 rows, each conditional from the enumerated p(v) of two states."""
    p = enumeration.marginal(table, ("v",))
    total = np.zeros(len(rows))
    for unit in range(rows.shape[1]):
        other = rows.copy()
        other[:, unit] = 1 - rows[:, unit]
        here, there = (p[enumeration.numbers(table, {"v": x}, ("v",))] for x in (rows, other))
        total += np.log(here / (here + there))
    return total


def check_pseudo_likelihood() -> None:
    """All states of v of an RBM, deep machines and one with two hidden neighbours; catches a bias or layer left out."""
    for table in (RBM, DBM, ring(), Table.random([3, 2, 2, 2], 1.5, 73)):
        rows = enumeration.bits(table.layers["v"])
        found = boltz.pseudo_likelihood(machine_of(table), rows)
        np.testing.assert_allclose(found.per_row, pseudo_likelihoods(table, rows), rtol=0, atol=1e-12)
        assert found.kind == "exact" and abs(found.value - found.per_row.mean()) < 1e-12


def check_pseudo_likelihood_of_grey_rows() -> None:
    """Grey rows, by the energy at the row and at both states of each unit; the value is not trusted."""
    for table in (RBM, DBM):
        row = np.random.default_rng(10).random((3, table.layers["v"]))
        wanted = np.zeros(3)
        for unit in range(row.shape[1]):
            ends = [row.copy(), row.copy()]
            ends[0][:, unit], ends[1][:, unit] = 0, 1
            log_p = [enumeration.log_likelihood(table, x) for x in (row, *ends)]
            wanted += log_p[0] - np.logaddexp(log_p[1], log_p[2])
        found = boltz.pseudo_likelihood(machine_of(table), row)
        np.testing.assert_allclose(found.per_row, wanted, rtol=0, atol=1e-12)
        assert found.kind == "none" and not found.trusted


def check_exact_gradient() -> None:
    """Enumerated gradients of 0/1 and of grey rows; catches a layer or a phase left out, and rows not averaged."""
    for table in (RBM, DBM, ring(), Table.random([3, 2, 2, 2], 1.5, 74), Table.random([2, 5], 1.0, 75)):
        rows = np.random.default_rng(11).random((140, table.layers["v"]))
        for x in (rows, (rows < 0.4).astype(np.float64)):
            found, wanted = boltz.gradient(machine_of(table), x), enumeration.gradient(table, x)
            assert found.keys() == wanted.keys()
            for name in wanted:
                np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-12, err_msg=name)


def check_estimated_gradients() -> None:
    """CD and PCD of one batch are those of the rules at the first step of a run with this key and these rows."""
    model, x = machine_of(DBM), (np.random.default_rng(12).random((40, 3)) < 0.5).astype(np.float64)
    key = Key.from_seed(5).derive("gradient")
    for name, k, count in (("cd", 3, 100), ("pcd", 2, 30)):
        rule = Contrastive(Settings(rule=name, k=k, chains=count))
        state = rule.init(model, x, key, len(x))
        wanted = rule.gradient(Workspace(model), x, state, Clock(key, 0), Workers(1, None))
        found = boltz.gradient(model, x, name, k, count, seed=5)
        for parameter, value in wanted.items():
            np.testing.assert_array_equal(found[parameter], value)


def log_p_known(table: Table, rows: Any) -> Any:
    """log p(known part) (rows,) of rows with NaN, by the sum of the enumerated p*(v, h) over all fillings."""
    found, total = [], enumeration.log_z(table)
    for row in rows:
        known = ~np.isnan(row)
        states = enumeration.bits(int((~known).sum()))
        filled = np.repeat(row[None], len(states), axis=0)
        filled[:, ~known] = states
        terms = [enumeration.clamp(table, {"v": v}) for v in filled]
        found.append(logsumexp([constant + enumeration.log_z(rest) for rest, constant in terms]) - total)
    return np.array(found)


def rows_with_holes(units: int, seed: int, grey: bool = False) -> Any:
    """Rows of which all, some or no entries are known."""
    rng = np.random.default_rng(seed)
    rows = rng.random((8, units)) if grey else (rng.random((8, units)) < 0.5).astype(np.float64)
    rows[rng.random(rows.shape) < 0.5] = np.nan
    rows[0], rows[1] = np.nan, 1.0
    return rows


def check_unknown_units() -> None:
    """log p of known parts against all fillings; catches a bias, an edge or a row left out, and other rows' masks."""
    for table in (RBM, DBM, ring(), Table.random([3, 2, 2, 2], 1.5, 76)):
        for grey in (False, True):
            rows = rows_with_holes(table.layers["v"], 13, grey)
            found = boltz.log_likelihood(machine_of(table), rows)
            np.testing.assert_allclose(found.per_row, log_p_known(table, rows), rtol=0, atol=1e-12)
            assert found.kind == ("none" if grey else "exact") and found.per_row[0] == 0


def check_annealed_unknown_units() -> None:
    """The same by annealing, which machines of more units take: each row unbiased, alpha 1e-6 in all.

    Detects 0.2 nats, which a bias left out exceeds.
    """
    model, rows = machine_of(DBM), np.array([[1.0, np.nan, 0.0], [np.nan, 0.0, np.nan], [np.nan, 1.0, 1.0]])
    with mock.patch.object(unknown_units, "MOST_UNITS", -1):
        found = unknown_units.log_known(model, evidence_of(model, rows), 0, boltz.exact_log_z(model), 3)
    wanted, values = log_p_known(DBM, rows) + enumeration.log_z(DBM), []
    for (value, error, share, _), truth in zip(found.values, wanted, strict=True):
        assert 0 < error < 0.02 and share > 0.5 and stats.detectable_ratio(0.2, error)
        values.append(stats.ratio_test(value, truth, error, unknown_units.CHAINS))
    stats.accept(stats.smallest_of(values), "annealing with clamped units gives another log p")
    assert found.kind == "lower" and found.samples == unknown_units.CHAINS


def check_couplings() -> None:
    """A symmetric table without a diagonal, and one bias twice, warn; what only resembles them does not."""
    table = np.array([[0.0, 1.0, -2.0], [1.0, 0.0, 0.5], [-2.0, 0.5, 0.0]])
    bias = np.array([0.1, 0.2, 0.3])
    likes = [[table, bias, bias], [table + np.eye(3), bias, bias], [table, bias, -bias], [0 * table, bias, bias]]
    for (weight, *biases), told in zip([*likes, [np.triu(table), bias, bias]], [1, 0, 0, 0, 0], strict=True):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            boltz.from_arrays([weight], biases)
        assert len(found) == told, (weight, biases)
        assert not told or "two layers of 3 units, 6 in all" in str(found[0].message), found
