"""Quick statistical checks of annealing over hidden units with v clamped; exact ones are in posterior_checks.

Each check takes no argument, has a fixed key and the false-alarm rate stats.ALPHA = 1e-6, and says what it detects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from checks.posterior import BINARY, KEY, SMOOTH, hidden_states, log_f, mean_field_law, random
from oracles import enumeration
from oracles.directed import Directed, joint, log_evidence
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support import stats
from support.machines import machine_of

import boltz
from boltz.estimators import posterior_ais, simulated
from boltz.rng import Key
from boltz.sampling.annealing import Place
from boltz.sampling.hmc import StepSizes, hamiltonian_path
from boltz.sampling.posterior_paths import mean_field_path
from boltz.sampling.single_site import scan_path

STRONG = random(boltz.sbn([3, 2, 1]), 1.3, 26)
TABLE = Table.random([2, 2, 2], 2.5, 22)
BELIEF = random(boltz.dbn([4, 3, 3]), 0.9, 23)
ROW = np.array([[1.0, 0.0, 1.0]])


def normalised(log_density: Any) -> Any:
    """Probabilities of enumerated states."""
    return np.exp(log_density - logsumexp(log_density))


def drawn(p: Any, count: int, seed: int) -> Any:
    """Numbers (count,) of states drawn from p."""
    return np.random.default_rng(seed).choice(len(p), count, p=p / p.sum())


def scan_matrix(machine: boltz.HelmholtzMachine, beta: float) -> Any:
    """Transition on all hidden states of one scan upwards, units in order, and the law it leaves as it is."""
    state = hidden_states(machine)
    x = np.hstack(list(state.values()))
    whole = {machine.visible: np.repeat(ROW, len(x), axis=0), **state}
    log_p = log_f(machine, whole, beta)
    matrix, units = np.eye(len(x)), x.shape[1]
    for unit in range(units):
        partner = np.arange(len(x)) ^ (1 << (units - 1 - unit))
        stay = expit(log_p - log_p[partner])
        one = np.diag(stay)
        one[np.arange(len(x)), partner] = 1 - stay
        matrix = matrix @ one
    return matrix, normalised(log_p)


def check_scan_law() -> None:
    """Pairs of states before and after a scan from its law, by enumeration: upwards, and back for the reversed path."""
    count, beta = 20_000, 0.6
    matrix, p = scan_matrix(STRONG, beta)
    assert np.abs(p @ matrix - p).max() < 1e-12
    forward, backward = (p[:, None] * matrix).reshape(-1), (p[:, None] * matrix).T.reshape(-1)
    assert stats.detectable_chi_square(count, forward, backward)
    assert stats.detectable_chi_square(count, p, scan_matrix(STRONG, beta + 0.1)[1])
    path, _ = scan_path(STRONG, ROW, count, 0, KEY)
    start = drawn(p, count, 24)
    units = {layer.name: layer.units for layer in STRONG.structure.latent}
    for moves, law in ((path, forward), (path.reversed(), backward), (path.reversed().reversed(), forward)):
        state = {n: np.ascontiguousarray(x[start]) for n, x in hidden_states(STRONG).items()}
        moves.step(state, (0.1, beta), Place(KEY, 5, 0), np.zeros(count))
        after = np.hstack([state[n] for n in units]).astype(int) @ (1 << np.arange(sum(units.values()))[::-1])
        counts = np.bincount(start * len(p) + after, minlength=len(p) ** 2)
        stats.accept(stats.chi_square(counts, law), "a scan does not have its law")


def check_mean_field_law() -> None:
    """Block Gibbs on the clamped path leaves f_beta as it is."""
    count, beta = 60_000, 0.6
    machine, row = machine_of(TABLE), np.array([[1.0, 0.0]])
    path = mean_field_path(machine, row, count, 0)
    change = {n: x + path.start[n] for n, x in path.change.items()}
    path = replace(path, start={n: np.zeros_like(x) for n, x in change.items()}, change=change)  # q far from the law
    p = normalised(mean_field_law(TABLE, path, row[0], beta))
    other = normalised(mean_field_law(TABLE, path, row[0], 0.1))
    assert stats.detectable_chi_square(count, p, other)
    start = {n: x[drawn(p, count, 25)] for n, x in enumeration.states(TABLE, ("h1",)).items()}
    state = {n: np.zeros((count, u)) for n, u in TABLE.layers.items() if n != "v"} | start
    for step in range(3):
        path.step(state, (0.1, beta), Place(KEY, step, 0), np.zeros(count))
    stats.accept(
        stats.chi_square(enumeration.counts(TABLE, state, ("h1",)), p), "the clamped path is not left as it is"
    )


def linear_gaussian(visible: int = 3, latent: int = 2) -> boltz.HelmholtzMachine:
    """A machine whose law of v is normal: linear nets, spreads that depend on nothing."""
    machine = random(boltz.helmholtz([visible, latent], ["gaussian", "gaussian"]), 0.5, 26)
    machine.params["generative/v/0/weight"][:, visible:] = 0
    machine.params["recognition/h1/0/weight"][:, latent:] = 0
    return machine


def gaussian_law(machine: boltz.HelmholtzMachine, row: Any, beta: float) -> tuple[Any, Any]:
    """Mean and precision of f_beta over z for one row (units,) of a linear Gaussian machine."""
    p, latent = machine.params, machine.units["h1"]
    weight, bias = p["generative/v/0/weight"], p["generative/v/0/bias"]
    units = len(row)
    noise = np.exp(-2 * bias[units:])
    out = row @ p["recognition/h1/0/weight"] + p["recognition/h1/0/bias"]
    q = np.exp(-2 * out[latent:])
    precision = beta * (np.eye(latent) + (weight[:, :units] * noise) @ weight[:, :units].T) + (1 - beta) * np.diag(q)
    pulled = beta * (weight[:, :units] * noise) @ (row - bias[:units]) + (1 - beta) * q * out[:latent]
    return np.linalg.solve(precision, pulled), precision


def check_hamiltonian_law() -> None:
    """From exact draws of f_beta large steps leave it as it is; catches a spread that is off by 12 %."""
    count, beta, cells = 12_000, 0.7, 16
    machine, row = linear_gaussian(), np.array([[0.5, -1.0, 0.3]])
    path, state = hamiltonian_path(machine, row, count, 0, KEY)
    mean, precision = gaussian_law(machine, row[0], beta)
    root = np.linalg.cholesky(precision)
    y = np.random.default_rng(27).normal(size=(count, 2))
    state["h1"][...] = mean + np.linalg.solve(root.T, y.T).T
    path = replace(path, sizes=StepSizes((0.0,), (float(np.log(0.9)),)), leapfrogs=3)
    shares = [path.accepted(state, beta, Place(KEY, step, 0)) for step in range(4)]
    squares = np.sum(((state["h1"] - mean) @ root) ** 2, axis=1)
    edges = -2 * np.log(1 - np.arange(cells) / cells)  # quantiles of chi-square with two degrees of freedom
    even = np.full(cells, 1 / cells)
    wide = np.diff(1 - np.exp(-np.append(edges, np.inf) / 2 / 1.12**2))
    assert stats.detectable_chi_square(count, even, wide)
    counts = np.bincount(np.searchsorted(edges, squares, side="right") - 1, minlength=cells)
    stats.accept(stats.chi_square(counts, even), "trajectories do not leave f_beta as it is")
    angles = np.floor((np.arctan2(*((state["h1"] - mean) @ root).T) / (2 * np.pi) + 0.5) * cells).astype(int) % cells
    stats.accept(stats.chi_square(np.bincount(angles, minlength=cells), even), "the mean of trajectories is off")
    assert min(shares) > 0.2 and max(shares) < 0.95, shares


def ratio(model: Any, row: Any, truth: float, effect: float = 0.1, chains: int = 8000) -> None:
    """The mean weight of one row over a few temperatures against p*(v)."""
    found = boltz.posterior_ais(model, row, chains, 6, seed=3, log_z=0.0 if has_log_z(model) else None)
    assert found.kind == "lower" and found.trusted
    stats.accept(stats.ratio_test(found.value, truth, found.standard_error, chains), "weights do not average to p*(v)")
    assert stats.detectable_ratio(effect, found.standard_error), found.standard_error


def has_log_z(model: Any) -> bool:
    return isinstance(model, boltz.BoltzmannMachine) or model.prior_machine is not None


def check_weights_of_a_boltzmann_machine() -> None:
    for row in ([1.0, 0.0], [0.0, 0.0]):
        rest, constant = enumeration.clamp(TABLE, {"v": np.array(row)})
        ratio(machine_of(TABLE), [row], constant + enumeration.log_z(rest))


def check_weights_of_belief_nets() -> None:
    for machine, row in ((STRONG, ROW), (BELIEF, np.array([[1.0, 0.0, 1.0, 1.0]]))):
        ratio(machine, row, float(log_evidence(Directed.of(machine), row)[0]))


def gaussian_log_p(machine: boltz.HelmholtzMachine, row: Any) -> float:
    """log p(v) of a linear Gaussian machine in closed form."""
    p, units = machine.params, machine.units["v"]
    weight, bias = p["generative/v/0/weight"][:, :units], p["generative/v/0/bias"]
    spread = weight.T @ weight + np.diag(np.exp(2 * bias[units:]))
    away = row - bias[:units]
    return float(-0.5 * (away @ np.linalg.solve(spread, away) + np.linalg.slogdet(2 * np.pi * spread)[1]))


def check_weights_of_a_gaussian_machine() -> None:
    machine, row = linear_gaussian(), np.array([[0.5, -1.0, 0.3]])
    ratio(machine, row, gaussian_log_p(machine, row[0]), 0.16, 3000)


def check_reverse_weights() -> None:
    """From exact posterior draws down the weights of one row average to 1 / p*(v)."""
    count = 8000
    for machine, row in ((STRONG, ROW), (machine_of(TABLE), np.array([[1.0, 0.0]]))):
        plan, _ = posterior_ais._plan(machine, 1, 6, 4, None)
        if isinstance(machine, boltz.BoltzmannMachine):
            rest, constant = enumeration.clamp(TABLE, {"v": row[0]})
            hidden, log_p = enumeration.draw(rest, count, 28), constant + enumeration.log_z(rest)
        else:
            states = hidden_states(machine)
            density = log_f(machine, {"v": np.repeat(row, 8, axis=0), **states}, 1.0)
            hidden, log_p = {n: x[drawn(normalised(density), count, 28)] for n, x in states.items()}, logsumexp(density)
        found = posterior_ais._log_weights(plan, np.repeat(row, count, axis=0), hidden).reshape(-1)
        relative = np.exp(found + log_p)
        error = float(relative.std(ddof=1) / relative.mean() / np.sqrt(count))
        value = float(np.log(relative.mean()))
        stats.accept(stats.ratio_test(value, 0.0, error, count), "reverse weights do not average to 1 / p*(v)")
        assert stats.detectable_ratio(0.2, error), error


def check_simulated_rows() -> None:
    """v and the drawn hidden layers together have the law of the machine; catches layers of different draws."""
    count = 30_000
    for table in (TABLE, Table.random([2, 3, 2], 1.2, 29)):  # the smaller class is the other one
        p = enumeration.joint(table)
        state = simulated.from_boltzmann(machine_of(table), count, Key(1, 2))
        stats.accept(
            stats.chi_square(enumeration.counts(table, state), p), "simulated rows do not have the machine's law"
        )
        apart = np.multiply.outer(
            enumeration.marginal(table, ("v",)), enumeration.marginal(table, table.hidden)
        ).reshape(-1)
        assert stats.detectable_chi_square(count, p, apart)
    for machine in (STRONG, random(boltz.dbn([2, 3, 2]), 1.5, 30), random(boltz.dbn([2, 2, 3]), 1.5, 31)):
        states, p = joint(Directed.of(machine))
        found = simulated.from_helmholtz(machine, count, Key(1, 3))
        x, bits = (np.hstack([s[n] for n in states]).astype(int) for s in (found, states))
        places = 1 << np.arange(x.shape[1])[::-1]
        counts, wanted = np.bincount(x @ places, minlength=len(p)), p[np.argsort(bits @ places)]
        stats.accept(stats.chi_square(counts, wanted), "simulated rows do not have the machine's law")
        first = 2 ** machine.units["v"]
        split = wanted.reshape(first, -1)
        apart = np.multiply.outer(split.sum(axis=1), split.sum(axis=0)).reshape(-1)
        assert stats.detectable_chi_square(count, wanted, apart)


def check_step_sizes() -> None:
    """Tuned steps accept from 65 to 85 % of moves all along the path, and depend on beta alone."""
    machine = SMOOTH["two layers"]
    plan, _ = posterior_ais._plan(machine, 5, 100, 5, None)
    x = np.random.default_rng(32).integers(0, 2, (40, 3)).astype(float)
    sizes = posterior_ais._tuned(plan, x).sizes
    path, state = replace(plan, sizes=sizes).start(x, 0)
    for i, beta in enumerate(np.linspace(0, 1, 6)):
        shares = [path.accepted(state, beta, Place(KEY, 10 * i + step, 0)) for step in range(8)]
        assert 0.6 < np.mean(shares[4:]) < 0.9, (beta, shares)


def check_numbers_of_chains() -> None:
    """Rows of a path that begins elsewhere move as in one path from the start, and each step has noise of its own."""
    x = np.array([[1.0, 0.0, 1.0]] * 6)
    for machine in (machine_of(Table.random([3, 4, 4], 1.0, 33)), BINARY["two layers"], SMOOTH["two layers"]):
        plan, _ = posterior_ais._plan(machine, 3, 4, 6, None)
        found = []
        for first, step in ((0, 1), (2, 1), (0, 2)):
            path, state = plan.start(x[first:], first)
            for repeat in range(4):
                path.step(state, (0.5, 0.5), Place(KEY, 10 * repeat * (step == 1) + step, 0), np.zeros(3 * (6 - first)))
            found.append(np.hstack([state[n] for n in sorted(state)]))
        whole, part, other = found
        assert np.abs(whole[6:] - part).max() < 1e-9, "a chain has the noise of another number"
        assert np.abs(whole - other).max() > 1e-3, "two steps share their noise"
    place = [Place(KEY, step, 0) for step in (1, 2)]
    one, two = (path.momentum(state, p) for p in place)
    assert all(np.abs(one[n] - two[n]).min() > 0 for n in one)


def check_sandwich() -> None:
    """The gap is that of the means, its error that of rows: chains of a row are not independent."""
    found = boltz.posterior_sandwich(BINARY["three layers"], 150, 4, 2, seed=9)
    assert found.lower.per_row is not None and found.upper.per_row is not None
    gaps = found.upper.per_row - found.lower.per_row
    np.testing.assert_allclose(found.gap, gaps.mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.gap_error, gaps.std(ddof=1) / np.sqrt(150), rtol=1e-12)
    assert found.gap > 5 * found.gap_error and found.upper.standard_error == found.gap_error
    assert found.upper.value < 0, "no row of bits is more probable than 1"
    assert (found.lower.kind, found.upper.kind, found.upper.trusted) == ("lower", "upper", True)
