"""Exact checks of the paths over hidden units with v clamped, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong. Laws are the oracles':
f_beta(h) = q(h | v)^(1 - beta) p*(v, h)^beta by sums over hidden states, its derivatives by complex steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracles import enumeration
from oracles.directed import STEP, Directed, by_layer, log_p, log_q
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support.machines import SMALL, machine_of

import boltz
from boltz.rng import Key
from boltz.sampling.annealing import Place
from boltz.sampling.hmc import HamiltonianPath, hamiltonian_path, kinetic
from boltz.sampling.posterior_paths import MeanFieldPath, mean_field_path
from boltz.sampling.single_site import ScanPath, scan_path

Floats = NDArray[np.float64]
State = dict[str, Floats]
KEY = Key(7, 8)
BETAS = (0.3, 0.75)


def random(machine: Any, scale: float, seed: int) -> boltz.HelmholtzMachine:
    """The machine in float64 with normal parameters of standard deviation scale."""
    found: boltz.HelmholtzMachine = machine.astype(np.float64)
    found.arena[...] = np.random.default_rng(seed).normal(0, scale, found.arena.size)
    return found


BINARY = {
    "one layer": random(boltz.sbn([3, 3]), 1.0, 1),
    "two layers": random(boltz.sbn([3, 3, 2]), 1.0, 2),
    "three layers": random(boltz.sbn([2, 2, 2, 2]), 0.9, 3),
    "nets": random(boltz.sbn([3, 2, 2], [4]), 0.8, 4),
    "deep nets": random(boltz.sbn([2, 2, 2], [3, 4], activation="softplus"), 0.8, 5),
    "gaussian v": random(boltz.sbn([2, 3, 2], visible="gaussian"), 0.6, 6),
    "nade": random(boltz.sbn([3, 2, 2], conditionals="nade", conditional_units=4, prior="made"), 0.8, 15),
    "made": random(boltz.sbn([2, 2, 2], conditionals="made", conditional_units=4, prior="nade"), 0.8, 16),
    "dbn": random(boltz.dbn([3, 3, 2]), 1.0, 7),
    "deep dbn": random(boltz.dbn([2, 2, 3, 2]), 1.0, 8),
}
SMOOTH = {
    "one layer": random(boltz.vae([3, 4], 2), 0.6, 11),
    "two layers": random(boltz.vae([3, [4], [3]], [2, 2]), 0.6, 12),
    "three layers": random(boltz.vae([2, [], [2], []], [2, 1, 2]), 0.5, 13),
    "gaussian v": random(boltz.vae([3, 3], 2, visible="gaussian"), 0.5, 14),
    "flow prior": random(boltz.vae([3, [3], [3]], [2, 2], prior="flow", flow_widths=[3]), 0.6, 15),
    "coupling prior": random(boltz.vae([3, 4], 3, prior="coupling", flow_widths=[3]), 0.6, 16),
    "lossy": random(
        boltz.vae(
            [6, 3],
            2,
            activation="elu",
            decoder="pixelcnn",
            prior="flow",
            image=(2, 3),
            receptive_field=2,
            filters=2,
            maps=1,
            flow_widths=[3],
        ),
        0.6,
        17,
    ),
}
DEEP = {name: SMALL[name] for name in ("dbm2", "dbm3", "dbm4", "ring", "dbm2 tall")}


def row_of(machine: Any) -> Floats:
    """One visible row (1, units), with a unit on and a unit off."""
    units = machine.layers[0].units
    return (
        (np.arange(units) % 2 == 0).astype(float)[None]
        if machine.layers[0].kind == "bernoulli"
        else np.full((1, units), 0.4)
    )


def log_f(machine: boltz.HelmholtzMachine, state: dict[str, Any], beta: float) -> Any:
    """log f_beta (rows,) of full states by the oracle."""
    plain = Directed.of(machine)
    return beta * sum(log_p(plain, state).values()) + (1 - beta) * sum(log_q(plain, state).values())


def hidden_states(machine: boltz.HelmholtzMachine) -> State:
    """Every state of the drawn hidden layers of a binary machine."""
    units = Directed.of(machine).binary
    return by_layer(units, enumeration.bits(sum(units.values())))


def scans(machine: boltz.HelmholtzMachine) -> tuple[ScanPath, State, State]:
    """The path of one row with a chain for every hidden state, these states, and the same with v."""
    state = {layer: np.ascontiguousarray(x) for layer, x in hidden_states(machine).items()}
    count = len(next(iter(state.values())))
    row = row_of(machine)
    path, _ = scan_path(machine, row, count, 0, KEY)
    return path, state, {machine.visible: np.repeat(row, count, axis=0), **state}


def check_scan_density() -> None:
    """log f_beta, and the log-weight that a step adds before it moves, of every hidden state."""
    for name, machine in BINARY.items():
        path, state, whole = scans(machine)
        wanted = [log_f(machine, whole, beta) for beta in BETAS]
        for beta, values in zip(BETAS, wanted, strict=True):
            np.testing.assert_allclose(path.log_density(state, beta, 0), values, rtol=0, atol=1e-10, err_msg=name)
        gained = np.zeros(len(wanted[0]))
        path.step({layer: x.copy() for layer, x in state.items()}, BETAS, Place(KEY, 1, 0), gained)
        np.testing.assert_allclose(gained, wanted[1] - wanted[0], rtol=0, atol=1e-10, err_msg=name)


def check_site_fields() -> None:
    """The field of each unit at every hidden state is log f_beta with it on less that with it off."""
    for name, machine in BINARY.items():
        path, state, whole = scans(machine)
        for layer in state:
            site = path.site(layer, {n: x.copy() for n, x in state.items()}, BETAS[0], 0)
            for unit in range(state[layer].shape[1]):
                on, off = ({n: x.copy() for n, x in whole.items()} for _ in range(2))
                on[layer][:, unit], off[layer][:, unit] = 1, 0
                wanted = log_f(machine, on, BETAS[0]) - log_f(machine, off, BETAS[0])
                found, _ = site.field(unit)
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10, err_msg=f"{name} {layer} {unit}")


def check_site_draws() -> None:
    """A draw turns the unit on where the uniform number is below its probability, and keeps the site up to date."""
    machine, uniform = BINARY["three layers"], np.linspace(0.02, 0.98, 64)
    path, state, _ = scans(machine)
    for layer in state:
        site = path.site(layer, state, 0.6, 0)
        for unit in (0, 1, 0):
            wanted = (uniform < expit(site.field(unit)[0])).astype(float)
            site.draw(unit, uniform)
            assert (state[layer][:, unit] == wanted).all() and 0 < wanted.mean() < 1
        again = path.site(layer, state, 0.6, 0)
        np.testing.assert_allclose(site.field(1)[0], again.field(1)[0], rtol=0, atol=1e-10)


# ---------------------------------------------------------------- Boltzmann machines


def mean_field(table: Table) -> tuple[MeanFieldPath, State, Floats]:
    """The path of one row with a chain for every state of the held layers, these states, the row (units,)."""
    machine = machine_of(table)
    row = row_of(machine)
    held = enumeration.states(table, enumeration.colours(table)[1])
    path = mean_field_path(machine, row, len(next(iter(held.values()))), 0)
    state = {n: np.zeros((len(path.constant), u)) for n, u in table.layers.items() if n != "v"}
    return path, state | {n: np.ascontiguousarray(x) for n, x in held.items()}, row[0]


def mean_field_law(table: Table, path: MeanFieldPath, row: Floats, beta: float) -> Floats:
    """log f_beta of every state of the held layers: the sum over the others of q^(1 - beta) p*^beta."""
    rest, constant = enumeration.clamp(table, {"v": row})
    q = enumeration.factorised(table, {n: expit(path.start[n][0]) for n in table.hidden})
    cube = (1 - beta) * np.log(q) + beta * (constant + enumeration.log_density(rest).reshape(-1))
    names = list(rest.layers)
    cube = cube.reshape([2 ** rest.layers[n] for n in names])
    held = [n for n in enumeration.colours(table)[1]]
    cube = logsumexp(cube, axis=tuple(i for i, n in enumerate(names) if n not in held))
    kept = [n for n in names if n in held]
    return np.asarray(cube).transpose([kept.index(n) for n in held]).reshape(-1)


def check_mean_field_density() -> None:
    """log f_beta and what a step adds to the log-weight, of every state of the layers that are chain state."""
    for name, table in DEEP.items():
        path, state, row = mean_field(table)
        wanted = [mean_field_law(table, path, row, beta) for beta in BETAS]
        for beta, values in zip(BETAS, wanted, strict=True):
            np.testing.assert_allclose(path.log_density(state, beta, 0), values, rtol=0, atol=1e-10, err_msg=name)
        assert abs(logsumexp(mean_field_law(table, path, row, 0.0))) < 1e-10, "q must be normalised"
        gained = np.zeros(len(wanted[0]))
        path.step({n: x.copy() for n, x in state.items()}, BETAS, Place(KEY, 1, 0), gained)
        np.testing.assert_allclose(gained, wanted[1] - wanted[0], rtol=0, atol=1e-10, err_msg=name)


# ---------------------------------------------------------------- Hamiltonian Monte Carlo


def smooth(machine: boltz.HelmholtzMachine, chains: int = 5) -> tuple[HamiltonianPath, State, State]:
    """The path of one row, states that are not from q, and the same with v."""
    row = row_of(machine)
    path, state = hamiltonian_path(machine, row, chains, 0, KEY)
    rng = np.random.default_rng(15)
    state = {layer: rng.normal(size=z.shape) for layer, z in state.items()}
    return path, state, {machine.visible: np.repeat(row, chains, axis=0), **state}


def check_slopes() -> None:
    """log f_beta by the oracle, its gradient by complex steps, and what a step adds to the log-weight."""
    for name, machine in SMOOTH.items():
        slopes_are_right(machine, name)


def slopes_are_right(machine: boltz.HelmholtzMachine, name: str) -> None:
    """The same of one machine."""
    path, state, whole = smooth(machine)
    for beta in (0.0, *BETAS, 1.0):
        density_p, density_q, gradient = path.slopes(state, beta, 0)
        wanted = log_f(machine, whole, beta)
        np.testing.assert_allclose(beta * density_p + (1 - beta) * density_q, wanted, rtol=0, atol=1e-10, err_msg=name)
        for layer, slope in gradient.items():
            for unit in range(slope.shape[1]):
                moved = {n: x.astype(complex) for n, x in whole.items()}
                moved[layer][:, unit] += 1j * STEP
                found = log_f(machine, moved, beta).imag / STEP
                np.testing.assert_allclose(slope[:, unit], found, rtol=0, atol=1e-10, err_msg=f"{name} {layer}")
    gained = np.zeros(len(wanted))
    wanted = log_f(machine, whole, BETAS[1]) - log_f(machine, whole, BETAS[0])
    path.step(state, BETAS, Place(KEY, 1, 0), gained)
    np.testing.assert_allclose(gained, wanted, rtol=0, atol=1e-10, err_msg=name)


def check_trajectory() -> None:
    """A trajectory followed back with the momentum turned ends at its start; energy errs as the square of the step."""
    whole_path, start, whole = smooth(SMOOTH["two layers"])
    machine, errors = whole_path.machine, []
    for leapfrogs, size in ((10, 0.02), (20, 0.01)):
        path = replace(whole_path, leapfrogs=leapfrogs)
        state, momentum = {n: z.copy() for n, z in start.items()}, path.momentum(start, Place(KEY, 3, 0))
        before = log_f(machine, whole, 0.6) - kinetic(momentum)
        sizes = np.full((5, 1), size)
        density = path.leapfrog(state, momentum, (sizes, path.slopes(state, 0.6, 0)[2]), 0.6, 0)
        moved = {**whole, **state}
        np.testing.assert_allclose(density, log_f(machine, moved, 0.6), rtol=0, atol=1e-10)
        errors.append(np.abs(density - kinetic(momentum) - before).max())
        assert min(np.abs(state[n] - start[n]).max() for n in start) > 0.02
        back = {n: -p for n, p in momentum.items()}
        path.leapfrog(state, back, (sizes, path.slopes(state, 0.6, 0)[2]), 0.6, 0)
        for layer, z in start.items():
            np.testing.assert_allclose(state[layer], z, rtol=0, atol=1e-10)
    assert errors[0] < 0.01 and errors[0] / errors[1] > 3, errors
