"""Checks of machines with Gaussian units against sums over fine grids, and of training with units of every kind."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import mixed
from oracles.mixed import Mixed
from scipy import stats as laws
from scipy.special import logsumexp
from support import stats

import boltz
from boltz.data.from_arrays import as_data
from boltz.data.row_weights import drawn_rows, effective_rows, named_weights
from boltz.errors import FileError
from boltz.estimators.exact import exact_log_z
from boltz.estimators.moments import exact_gradient
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Graph
from boltz.models.growing import start_above
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.base_rate import base_rates
from boltz.sampling.inputs import Scratch
from boltz.sampling.ladders import At
from boltz.sampling.meanfield import free_energy_at
from boltz.targets import MachinePath, path_to
from boltz.training.contrastive import Contrastive
from boltz.training.held_out import SCORE
from boltz.training.jumps import Proposals, Snapshots
from boltz.training.loop import Loop
from boltz.training.pretraining import stages
from boltz.training.rules import Clock
from boltz.training.settings import Settings
from boltz.training.state import TrainState
from boltz.units.damping import damp

SPREADS = {"v": (0.5, 1.4), "h1": (0.8, 1.1), "h2": (0.7, 1.2)}  # of the two Gaussian units of a layer
LAWS: dict[str, Any] = {
    "bernoulli": ((0.0, 1.0), (0.0, 0.0)),
    "spin": ((-1.0, 1.0), (0.0, 0.0)),
    "categorical:3": (np.eye(3).tolist(), (0.0, 0.0, 0.0)),
}
TOLERANCE = 1e-8


def machine(names: list[str], sizes: list[int], seed: int, scale: float = 0.7) -> tuple[BoltzmannMachine, Mixed]:
    """A machine of layers of these kinds, and its oracle; all units of a Gaussian layer have one spread."""
    spreads = [SPREADS["v" if i == 0 else f"h{i}"][0] if name == "gaussian" else 1.0 for i, name in enumerate(names)]
    units = [mixed.grid(s) if n == "gaussian" else LAWS[n] for n, s in zip(names, spreads, strict=True)]
    drawn = mixed.random(units, sizes, scale, seed)
    own = {
        i: {"log_variance": lambda x, s=s: x * x / (2 * s * s)}
        for i, (name, s) in enumerate(zip(names, spreads, strict=True))
        if name == "gaussian"
    }
    oracle = Mixed(drawn.units, drawn.weights, drawn.biases, own)
    graph = Graph.chain([len(bias) for bias in oracle.biases], names)
    logs = [np.full(sizes[i], 2 * np.log(spreads[i])) for i in own]
    return BoltzmannMachine(
        graph, np.concatenate([x.reshape(-1) for x in (*drawn.weights, *drawn.biases, *logs)])
    ), oracle


def gaussian_cases() -> list[tuple[BoltzmannMachine, Mixed]]:
    """RBMs and DBMs with one Gaussian layer in each place."""
    chains = [["gaussian", "bernoulli"], ["gaussian", "spin"], ["gaussian", "categorical:3"], ["spin", "gaussian"]]
    deep = [
        ["gaussian", "bernoulli", "spin"],
        ["bernoulli", "gaussian", "bernoulli"],
        ["spin", "bernoulli", "gaussian"],
    ]
    return [machine(names, [2, 2], 20 + i) for i, names in enumerate(chains)] + [
        machine(names, [2, 2, 2], 30 + i) for i, names in enumerate(deep)
    ]


def near(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    assert np.abs(np.asarray(found) - expected).max() < tolerance, (found, expected)


def middle_rows(oracle: Mixed, count: int = 4) -> tuple[Any, Any]:
    """Visible rows of the oracle that are not at the ends of a grid, and their numbers."""
    states = oracle.states(0)
    kept = np.flatnonzero((np.abs(states) < 2).all(axis=1))
    numbers = kept[np.linspace(0, len(kept) - 1, count).astype(int)]
    return states[numbers], numbers


def width(oracle: Mixed, model: BoltzmannMachine) -> float:
    """Log of the width that each visible state of a grid stands for, 0 for units with few states."""
    if model.layers[0].kind != "gaussian":
        return 0.0
    states = np.array(oracle.units[0][0])
    return float(len(oracle.biases[0]) * np.log(states[1] - states[0]))


def check_gaussian_log_z_and_marginals() -> None:
    """Catches a lost variance in the log-partition, and base energies left out."""
    for model, oracle in gaussian_cases():
        rows, numbers = middle_rows(oracle)
        near(exact_log_z(model).value, oracle.log_z())
        found, expected = boltz.log_likelihood(model, rows), oracle.log_marginal([0])[numbers] - width(oracle, model)
        if found.kind == "exact":
            near(found.per_row, expected - oracle.log_z())
        else:  # a Gaussian layer that hears the data cannot be enumerated
            assert model.layers[1].kind == "gaussian" and (found.per_row <= expected - oracle.log_z() + TOLERANCE).all()


def check_gaussian_gradient() -> None:
    """Of weights, biases and log-variances; catches statistics of hidden units that are taken at their means."""
    for model, oracle in gaussian_cases():
        rows, _ = middle_rows(oracle)
        if model.layers[1].kind == "gaussian" and len(model.layers) > 2:
            continue  # the layer that hears the data cannot be enumerated
        expected = oracle.gradient(rows)
        for name, x in exact_gradient(model, rows).items():
            near(x, expected[name])


def check_gaussian_path() -> None:
    """Densities on the path of annealing, at both ends, where the Gaussian layer is summed out."""
    for model, oracle in gaussian_cases():
        rates = {n: model.unit_type(n).mean(0.3 * np.arange(u) - 0.2) for n, u in model.units.items()}
        path = path_to(model, rates)
        assert all(model.unit_type(n).support is not None for n in path.held)
        numbers = sorted(oracle.names.index(n) for n in path.held)
        grids = np.meshgrid(*(np.arange(len(oracle.states(i))) for i in numbers), indexing="ij")
        state = {oracle.names[i]: oracle.states(i)[g.reshape(-1)] for i, g in zip(numbers, grids, strict=True)}
        near(path.log_density(state, 1.0), oracle.log_marginal(numbers))
        near(logsumexp(path.log_density(state, 0.0)), path.start_log_z)


def check_gaussian_mean_field() -> None:
    """E_q[E] less entropy by quadrature of the grid; catches the base energy taken at the mean."""
    for model, oracle in gaussian_cases():
        rows, _ = middle_rows(oracle, 2)
        rng = np.random.default_rng(4)
        fields = {n: rng.normal(size=(2, model.units[n])) for n in model.graph.hidden}
        means = {n: model.unit_type(n).mean(f) for n, f in fields.items()}
        for i, row in enumerate(rows):
            q = {}
            for n, f in fields.items():
                states, energies = oracle.units[oracle.names.index(n)]
                table = np.array(states, np.float64).reshape(len(energies), -1)
                exponents = f[i].reshape(-1, table.shape[1]) @ table.T - np.array(energies)
                q[n] = np.exp(exponents - logsumexp(exponents, axis=1, keepdims=True))
            expected = oracle.free_energy_of(row, q) + width(oracle, model)
            near(free_energy_at(model, rows, means)[i], expected)


def check_gaussian_chains() -> None:
    """Gibbs chains from exact draws keep the law: their visible means and squares, t tests at alpha 1e-6 together."""
    model, oracle = machine(["gaussian", "spin"], [2, 2], 40)
    drawn = boltz.exact_samples(model, 40_000, seed=3)
    end = boltz.sample(model, 40_000, sweeps=5, start=drawn, seed=4)
    law = np.exp(oracle.log_marginal([0]) - oracle.log_z())
    states, tests = oracle.states(0), []
    for power in (1, 2):
        expected = law @ states**power
        for state in (drawn["v"], end["v"]):
            found = state.astype(np.float64) ** power
            z = (found.mean(axis=0) - expected) / (found.std(axis=0, ddof=1) / np.sqrt(len(found)))
            tests.append(2 * laws.norm.sf(np.abs(z)))
    stats.accept(min(np.min(np.stack(tests)) * np.size(tests), 1.0), "chains leave the law of Gaussian units")


def check_annealing_is_unbiased_for_every_kind() -> None:
    """The mean weight of 4,000 chains over 40 temperatures against the exact Z, alpha 1e-6 a machine.

    Catches a base energy in a weight, a mean in the place of a state, and a wrong start.
    """
    kinds = [["spin", "bernoulli"], ["categorical:3", "spin"], ["gaussian", "bernoulli"], ["gaussian", "spin", "spin"]]
    for i, names in enumerate(kinds):
        model, _ = machine(names, [3, 2, 2][: len(names)], 50 + i)
        rows = boltz.exact_samples(model, 200, seed=1)["v"]
        found = boltz.ais(model, chains=4000, betas=40, base=rows, seed=2)
        ratio = np.exp(found.log_weights - exact_log_z(model).value)
        z = (ratio.mean() - 1) / (ratio.std(ddof=1) / np.sqrt(len(ratio)))
        stats.accept(float(2 * laws.norm.sf(abs(z))), f"annealing is biased for {names}")


def check_negative_phase_for_every_kind() -> None:
    """The gradient of persistent chains that start at exact draws is the exact one, t tests over 60 keys, alpha 1e-6.

    Catches a negative phase that takes statistics of log-variances at means, or draws units of another law.
    """
    cases = [(["spin", "bernoulli"], {}), (["categorical:3", "spin"], {}), (["gaussian", "bernoulli"], {})]
    cases += [(["spin", "categorical:3"], {}), (["spin", "gaussian"], {}), (["gaussian", "spin"], {"center": True})]
    for i, (names, more) in enumerate(cases):
        model, oracle = machine(names, [2, 2], 60 + i)
        rows = middle_rows(oracle)[0].astype(model.dtype)
        expected = exact_gradient(model, rows)
        rule = Contrastive(Settings(chains=400, variance_rate=1.0, center_rate=0.0, **more))
        found: list[Any] = []
        for seed in range(60):
            state = {f"chain/{n}": x for n, x in boltz.exact_samples(model, 400, seed=seed).items()}
            if more:
                state |= {f"offset/{n}": model.unit_type(n).mean(model.bias(n)) for n in model.units}
            work = rule.workspace(model)
            with workers(model.arena) as pool:
                rule.gradient(work, rows, state, Clock(Key.from_seed(1000 + seed), 0, 0.0, np.arange(len(rows))), pool)
            found.append(_uncentred(model, work.gradient, state))
        table = np.array(found)
        wanted = np.concatenate([expected[name].reshape(-1) for name in model.params])
        error = table.std(axis=0, ddof=1) / np.sqrt(len(table))
        z = (table.mean(axis=0) - wanted) / error
        stats.accept(min(float(2 * laws.t.sf(np.abs(z), len(table) - 1).min()) * z.size, 1.0), f"gradient of {names}")


def _uncentred(model: BoltzmannMachine, gradient: Any, state: Any) -> Any:
    """The gradient in plain parameters of one that is centred: <x y> - <x> c - o <y> + the same of biases undone."""
    named = {n: x.copy() for n, x in model.views(gradient).items()}
    if "offset/v" in state:
        # centred: dW = d<x y> - o_v d<y> - d<x> o_h; db_v = d<x> - dW o_h; db_h = d<y> - o_v dW
        w, v, h = (named[n] for n in ("edge/v-h1/weight", "layer/v/bias", "layer/h1/bias"))
        x, y = v + w @ state["offset/h1"], h + state["offset/v"] @ w
        named["layer/v/bias"], named["layer/h1/bias"] = x, y
        named["edge/v-h1/weight"] = w + np.outer(state["offset/v"], y) + np.outer(x, state["offset/h1"])
    return np.concatenate([x.reshape(-1) for x in named.values()])


def check_scaled_density() -> None:
    """Log-densities in the units of the data; catches the logs of spreads left out, or counted twice."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, 3)) * [0.01, 2.0, 300.0] + [5.0, 0.0, -1000.0]
    model = boltz.rbm(3, 2, rows, units="gaussian", dtype=np.float64, initial_scale=0.0)
    found = boltz.log_likelihood(model, rows)
    near(found.per_row, laws.norm.logpdf(rows, rows.mean(axis=0), rows.std(axis=0)).sum(axis=1), 1e-6)
    mask = np.array([True, False, True])
    part = boltz.log_likelihood(model, rows[:5], mask=mask)
    alone = laws.norm.logpdf(rows, rows.mean(axis=0), rows.std(axis=0))[:5, [0, 2]].sum(axis=1)
    near(part.per_row, alone, 1e-6)


def check_rates_of_categories() -> None:
    """Rates of a unit's columns sum to 1; catches the smoothing of columns as if each were a unit."""
    model, _ = machine(["categorical:3", "spin"], [3, 2], 70)
    found = base_rates(model, np.zeros((4, 3), int), 0)["v"].reshape(3, 3)
    near(found, np.array([5 / 7, 1 / 7, 1 / 7])[None])


def check_rows_are_drawn_by_their_weights() -> None:
    """Each row is drawn within one of its share in every epoch, and its share on average (exact mean over all starts).

    Catches weights that are ignored, squared, or shifted by a row.
    """
    weights = np.array([0.0, 1.0, 2.5, 0.1, 4.0, 1.0, 0.4])
    shares = len(weights) * weights / weights.sum()
    total = np.zeros(len(weights))
    for seed in range(200):
        counts = np.bincount(drawn_rows(weights, Key.from_seed(seed).generator()), minlength=len(weights))
        assert (np.abs(counts - shares) < 1).all() and counts[0] == 0 and counts.sum() == len(weights)
        total += counts
    spread = np.sqrt((shares % 1) * (1 - shares % 1) / 200)
    assert (np.abs(total / 200 - shares) <= 5.5 * spread + 1e-9).all(), "shares are off by more than chance, alpha 1e-6"


def check_training_weighs_rows() -> None:
    """A machine without weights on edges learns the weighed means of its columns; catches weights that stay unused."""
    rows = np.repeat([[0, 1, 1], [1, 0, 1], [1, 1, 0]], 40, axis=0).astype(np.float32)
    weights = np.repeat([1.0, 2.0, 5.0], 40)
    model = boltz.rbm(3, 1, units="spin", hidden_units="spin", initial_scale=0.0, seed=1)
    found = boltz.train(
        model, 2 * rows - 1, weights=weights, epochs=60, batch_size=20, learning_rate=0.05, l2=1.0
    ).model
    wanted = np.arctanh(np.average(2 * rows - 1, axis=0, weights=weights))
    assert np.abs(found.bias("v") - wanted).max() < 0.15, (found.bias("v"), wanted)


def check_similar_sequences() -> None:
    """Against a plain count of equal letters; catches a share that is rounded down, and rows without themselves."""
    codes = np.random.default_rng(6).integers(0, 3, (70, 13))
    for similarity in (0.0, 0.6, 8 / 13, 1.0):
        least = np.ceil(similarity * 13 - 1e-9)
        plain = [1 / ((codes == row).sum(axis=1) >= least).sum() for row in codes]
        near(boltz.sequence_weights(codes, similarity), plain, 1e-12)


def check_known_parts() -> None:
    """log p of the known units of rows, other units summed out, for spins and categories, by codes and by columns.

    Catches a mask of units that is spread over columns in another order, and zeros in the place of unknown spins.
    """
    for names in (["spin", "bernoulli"], ["categorical:3", "spin"], ["spin", "bernoulli", "spin"]):
        model, oracle = machine(names, [3, 2, 2][: len(names)], 80)
        states, log_p = oracle.states(0), oracle.log_marginal([0]) - oracle.log_z()
        columns = model.layers[0].columns
        known = np.array([True, False, True])
        wide, rows = np.repeat(known, columns), states[[0, 4, 7]]
        expected = [logsumexp(log_p[(states[:, wide] == row[wide]).all(axis=1)]) for row in rows]
        near(boltz.log_likelihood(model, rows, mask=wide).per_row, expected)
        if columns > 1:
            codes = rows.reshape(3, -1, columns).argmax(axis=2)
            near(boltz.log_likelihood(model, codes, mask=known).per_row, expected)
            near(boltz.log_likelihood(model, np.where(known, codes, np.nan)).per_row, expected)


def _gradient(model: BoltzmannMachine, rows: Any, **settings: Any) -> dict[str, Any]:
    """The gradient of chains that start at the rows themselves, by parameter name."""
    rule = Contrastive(Settings(chains=len(rows), **settings))
    with workers(model.arena) as pool:
        work = rule.workspace(model)
        state = rule.init(model, rows, Key.from_seed(1), len(rows))
        rule.gradient(work, rows, state, Clock(Key.from_seed(2), 0, 0.0, np.arange(len(rows))), pool)
    return {n: x.copy() for n, x in model.views(work.gradient).items()}


def check_what_holds_gradients_back() -> None:
    """Catches log-variances at the rate of all, a floor that does not hold, constant columns that learn, and norms."""
    rows = np.random.default_rng(7).normal(size=(50, 3)) * [1.0, 2.0, 0.0] + 1.0
    model = boltz.rbm(3, 2, rows, units="gaussian", dtype=np.float64, initial_scale=0.3)
    seen = (rows - rows.mean(axis=0)) / np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1.0)
    whole, part = (_gradient(model, seen, variance_rate=rate) for rate in (1.0, 0.25))
    near(part["layer/v/log_variance"], whole["layer/v/log_variance"] / 4, 1e-12)
    near(part["layer/v/bias"], whole["layer/v/bias"], 1e-12)
    assert not any(whole[n][2].any() for n in ("edge/v-h1/weight", "layer/v/bias", "layer/v/log_variance"))
    assert not model.params["edge/v-h1/weight"][2].any()
    size = np.sqrt(sum(np.square(x).sum() for x in whole.values()))
    clipped = _gradient(model, seen, variance_rate=1.0, clip_norm=size / 3)
    near(clipped["edge/v-h1/weight"], whole["edge/v-h1/weight"] / 3, 1e-12)
    near(_gradient(model, seen, variance_rate=1.0, clip_norm=3 * size)["layer/v/bias"], whole["layer/v/bias"], 1e-12)
    model.params["layer/v/log_variance"][...] = -7.0
    low = _gradient(model, 0.001 * seen, variance_rate=1.0)["layer/v/log_variance"]
    assert (low >= 0).all(), "a variance at its floor falls on"


def check_unknown_entries_are_drawn_given_the_rest() -> None:
    """Chains of 3,000 rows at a rate of nearly 0: after 40 visits what is unknown has its law given what is known.

    Chi-square test for each kind, alpha 1e-6. Catches known entries that are drawn, too, hidden units that are not
    drawn anew, and chains that start again at each visit.
    """
    for kind in ("bernoulli", "spin", "categorical:3"):
        model, oracle = machine([kind, "bernoulli"], [3, 2], 90, 1.2)
        states, log_p = oracle.states(0), oracle.log_marginal([0])
        columns = model.layers[0].columns
        rows = np.tile(states[1], (3000, 1))
        hidden = np.repeat([True, False, True], columns)
        rows[:, hidden] = np.nan
        some = states[np.arange(60) % len(states)]  # rows that know all, so that guesses have where to start
        x = np.concatenate([rows, some]) if columns == 1 else _codes(np.concatenate([rows, some]), columns)
        loop = _guessing(model.astype(np.float32), x)
        found = loop.state.guesses[: len(rows)]
        assert (found[:, ~hidden] == states[1][~hidden]).all(), "known entries have changed"
        possible = np.flatnonzero((states[:, ~hidden] == states[1][~hidden]).all(axis=1))
        law = np.exp(log_p[possible] - logsumexp(log_p[possible]))
        counts = np.array([(found == states[i]).all(axis=1).sum() for i in possible])
        stats.accept(stats.chi_square(counts, law), f"unknown units of kind {kind} do not follow their law")


def _codes(rows: Any, columns: int) -> Any:
    """Codes (rows, units) of one-hot rows, NaN where these are NaN."""
    parts = rows.reshape(len(rows), -1, columns)
    return np.where(np.isnan(parts[..., 0]), np.nan, np.nan_to_num(parts).argmax(axis=2))


def _guessing(model: BoltzmannMachine, x: Any) -> Loop:
    """A loop of 40 epochs in which the machine hardly moves."""
    settings = Settings(epochs=40, learning_rate=1e-12, batch_size=102, binarize="none", snapshots=0)
    data = as_data(x, "x", model.layers[0], None, missing=True)
    loop = Loop(data, None, stages(model.graph, settings), TrainState(model, []), Key.from_seed(5))
    loop.run()
    return loop


def check_states_are_in_the_units_of_the_data() -> None:
    """Draws of scaled Gaussian units have the mean and spread of the data; z tests, alpha 1e-6 together.

    Catches draws and starts in the units of the machine.
    """
    rng = np.random.default_rng(11)
    rows = rng.normal(size=(500, 2)) * [0.01, 300.0] + [5.0, -1000.0]
    model = boltz.rbm(2, 2, rows, units="gaussian", initial_scale=0.0)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    exact, count = boltz.exact_samples(model, 4000, seed=1), 4000
    found = [exact, boltz.sample(model, count, sweeps=2, seed=2), boltz.sample(model, count, sweeps=0, start=exact)]
    found += [boltz.tempered_sample(model, count, rounds=100, seed=3), boltz.run_chains(model, 2, count, seed=4).states]
    z = np.array([(x["v"].mean(axis=0) - mean) / (spread / np.sqrt(len(x["v"]))) for x in found])
    limit = float(laws.norm.isf(1e-6 / (4 * z.size)))
    assert (np.abs(np.delete(z, 3, axis=0)) < limit).all() and (np.abs(z[3]) < 8 * limit).all(), z  # copies of a few
    assert all(0.9 < (x["v"].std(axis=0) / spread).min() <= (x["v"].std(axis=0) / spread).max() < 1.1 for x in found)
    assert np.allclose(found[2]["v"], exact["v"], rtol=1e-4), "a start has moved"
    raised = boltz.raise_likelihood(model, rows[:50], chains=5, betas=20)
    near(raised.per_row, boltz.log_likelihood(model, rows[:50]).per_row, 1e-3)
    assert raised.doubts == boltz.raise_likelihood(model, rows[:50], chains=5, betas=20).doubts
    along = boltz.likelihood_along(model, [model], rows[:50], rounds=50)
    assert np.abs(along.values - boltz.log_likelihood(model, rows[:50]).value).max() < 0.5, "rows are scaled twice"
    traced = boltz.run_chains(model, 2, 100, record=lambda state: state["v"][:, 1], seed=5).trace
    assert abs(traced.mean() + 1000) < 200, "functions see other units than states have"
    log_p = -model.free_energy(rows) - boltz.exact_log_z(model).value
    near(log_p, laws.norm.logpdf((rows - mean) / spread).sum(axis=1), 1e-3)


def check_diagnosis_of_other_units() -> None:
    """Rows of real numbers are looked at as they are, spins are not dead at 0, and double rectified units never are.

    Catches Gaussian rows with noise on top, and activities of other units taken as those of 0 and 1.
    """
    model = boltz.rbm(3, 2, units="gaussian", initial_scale=1.0)
    model.params["layer/v/log_variance"][...] = 8.0
    model.bias("h1")[...] = [0.3, -0.2]
    found = {f.name: f for f in boltz.diagnose(model, np.zeros((30, 3)), sweeps=100).findings}
    near(found["largest field"].value, 0.3, 1e-5)
    rng = np.random.default_rng(12)
    for kind in ("spin", "drelu"):
        rows = rng.choice([-1.0, 1.0], (60, 4))
        machine = boltz.rbm(4, 3, rows, units="spin", hidden_units=kind, initial_scale=0.3)
        dead = {f.name: f for f in boltz.diagnose(machine, rows, sweeps=100).findings}.get("dead units")
        assert (dead is None) if kind == "drelu" else (dead is not None and dead.value == 0), dead


def check_unknown_entries_of_loaded_and_of_held_out_rows() -> None:
    """The scale of rows with holes is that of what is known; held-out rows are never filled by guesses of others.

    Catches zeros that stand for unknown numbers in the scale, and rows that judge which are not their own.
    """
    rng = np.random.default_rng(13)
    rows = rng.normal(100, 10, (400, 3))
    holes = rng.random(rows.shape) < 0.3
    known = np.where(holes, np.nan, rows)
    data = as_data(known, "x", boltz.rbm(3, 2, units="gaussian").layers[0], None, missing=True)
    for x in (known, data):
        scaling = boltz.rbm(3, 2, x, units="gaussian").scaling
        assert scaling is not None
        near(scaling.location, np.nanmean(known, axis=0), 1e-6)
        near(scaling.spread, np.nanstd(known, axis=0), 1e-6)
    other = np.where(holes, np.nan, rng.permutation(rows))
    assert as_data(other, "x", boltz.rbm(3, 2, units="gaussian").layers[0], None, True).fingerprint != data.fingerprint
    filled = as_data(np.nan_to_num(known), "x", boltz.rbm(3, 2, units="gaussian").layers[0])
    assert filled.fingerprint != data.fingerprint, "what is unknown does not count"
    run = boltz.train(boltz.rbm(3, 2, units="gaussian"), known, epochs=2, validation=0.25, patience=2)
    assert run.seen is not None and len(run.seen[1]) > 0 and run.model.scaling is not None
    whole = rows[~holes.any(axis=1)]
    judged = run.model.scaling.outside(run.seen[1])
    assert all((np.abs(whole - row).max(axis=1) < 1e-3).any() for row in judged), "held-out rows are filled in"


def check_held_out_rows_judge_by_their_weights() -> None:
    """Rows of no weight neither teach nor judge, so that others in their place change nothing, resumed or not.

    Catches held-out rows that count alike, and a resumed run that forgets their weights.
    """
    rng = np.random.default_rng(29)
    rows = rng.integers(0, 2, (60, 4)).astype(np.uint8)
    weights = rng.integers(0, 3, 60).astype(np.float64)
    other, held = rows.copy(), Key.from_seed(0).derive("validation").generator().permutation(60)[:30]
    silent = held[weights[held] == 0]
    other[silent] = 1 - rows[silent]
    start = boltz.rbm(4, 2, seed=1)
    how: dict[str, Any] = {"epochs": 4, "batch_size": 10, "validation": 0.5, "patience": 4}
    with tempfile.TemporaryDirectory() as folder:
        runs = [boltz.train(start, x, weights=weights, **how) for x in (rows, other)]
        seen: list[Any] = []

        def stop(record: Any) -> None:
            seen.append(record)
            if len(seen) == 2:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            boltz.train(start, rows, weights=weights, out=f"{folder}/run", watch=stop, **how)
        whole = boltz.resume(f"{folder}/run", x=rows)
    scores = [[record.get(SCORE) for record in run.history] for run in (*runs, whole)]
    assert len(scores[0]) == 4 and None not in scores[0]
    assert scores[0] == scores[1] == scores[2], "rows of no weight judge"


def check_damped_steps() -> None:
    """A mean moves the share of its way that damping leaves, and the largest move is returned.

    Catches shares that are swapped, and a change that is that of a step without damping.
    """
    mean, old, new = np.array([[0.2, 0.9]]), np.array([[0.2, 0.9]]), np.array([[0.6, 0.1]])
    near(damp(mean, new, 0.25), 0.6, 1e-12)
    near(mean, 0.25 * old + 0.75 * new, 1e-12)


def check_weights_by_name() -> None:
    """A file of weights keeps all digits, its length is that of the rows, and few rows of much weight are few.

    Catches weights of other rows, and an effective number that is the sum.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.csv"
        path.write_text("0.1\n0.3\n0.5\n")
        x, limit = np.eye(4, dtype=np.uint8), {"limit": 2}
        data = as_data(x[:3], "x", boltz.rbm(4, 2).layers[0])
        assert named_weights(path, data).tolist() == [0.1, 0.3, 0.5]
        assert named_weights(path, replace(data, x=x[:2], request=limit)).tolist() == [0.1, 0.3]
        for other in (replace(data, x=x), replace(data, x=x[:2])):
            try:
                named_weights(path, other)
            except FileError as problem:
                assert f"each of {len(other.x)} rows" in str(problem)
            else:
                raise AssertionError("rows have the weights of others")
    near(effective_rows(np.array([2.0, 2.0, 2.0])), 3, 1e-12)
    near(effective_rows(np.array([0.0, 3.0, 1.0])), 1.6, 1e-12)


def check_starts_of_upper_layers() -> None:
    """What an upper layer says on average is taken off below it, whatever its units.

    Catches means of other units taken as those of 0 and 1.
    """
    for kind in ("bernoulli", "spin", "categorical:3"):
        model = boltz.dbm([5, 4, 6], units=["bernoulli", "bernoulli", kind], dtype=np.float64)
        start_above(model)
        mean = model.unit_type("h2").mean(model.bias("h2"))
        near(model.bias("h1") + model.params["edge/h1-h2/weight"] @ mean, np.zeros(4), 1e-12)
        near(mean, {"bernoulli": 0.1, "spin": 0.0}.get(kind, 1 / 3), 1e-12)


def check_jumps_of_other_units() -> None:
    """What weighs a jump is the density of the machine less that of the proposal, of which one is known from the other.

    Catches hidden states whose means are taken as those of 0 and 1.
    """
    for kind in ("bernoulli", "spin", "categorical:3"):
        model, oracle = machine(["spin", kind], [3, 2], 95)
        states, columns = oracle.states(1), model.layers[1].columns
        mean = model.unit_type("h1").mean(np.linspace(-1, 1.5, states.shape[1])[None])
        proposals = Proposals.of(Snapshots(MachinePath((model, model)), np.ones(1)), 0, {"h1": mean})
        found, _ = proposals.weigh({"h1": states}, At(Key.from_seed(1), 0), Scratch(model.arena))
        law = oracle.log_marginal([1]) - found
        parts, p = states.reshape(len(states), -1, columns), mean.reshape(1, -1, columns)
        each = {"bernoulli": np.where(parts == 1, p, 1 - p), "spin": (1 + parts * p) / 2}.get(kind, (parts * p).sum(2))
        wanted = np.log(each.reshape(len(states), -1)).sum(axis=1)
        near(law - logsumexp(law), wanted - logsumexp(wanted), 1e-3)  # no state is quite impossible
