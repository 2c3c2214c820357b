"""Catches a wrong exact log Z of Ising models: against sums over all states, and two ways on larger lattices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import ising
from scipy.special import logsumexp
from support import fooling

import boltz

COUPLINGS = [0.1, 0.3, 0.44, ising.CRITICAL, 0.45, 0.7]


def bonds(rows: int, columns: int) -> list[tuple[int, int]]:
    """The bonds of the torus, each site with the next one in its row and in its column."""
    right = [(i * columns + j, i * columns + (j + 1) % columns) for i in range(rows) for j in range(columns)]
    down = [(i * columns + j, (i + 1) % rows * columns + j) for i in range(rows) for j in range(columns)]
    return right + down


def every(sites: int) -> NDArray[np.float64]:
    """All states of so many spins, (2^sites, sites)."""
    return np.where((np.arange(2**sites)[:, None] >> np.arange(sites)) & 1, 1.0, -1.0)


def log_weights(rows: int, columns: int, coupling: float, field: float) -> NDArray[np.float64]:
    """Log of the weight of every state (2^sites,), one bond after the other."""
    s = every(rows * columns)
    return coupling * sum(s[:, a] * s[:, b] for a, b in bonds(rows, columns)) + field * s.sum(axis=1)


@pytest.mark.parametrize("sides", [(3, 3), (3, 4), (4, 3), (4, 4)], ids=str)
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_lattice_is_the_sum_over_all_states(sides: tuple[int, int], coupling: float) -> None:
    truth = logsumexp(log_weights(*sides, coupling, 0.0))
    assert ising.kaufman_log_z(*sides, coupling) == pytest.approx(truth, abs=1e-11)
    assert ising.transfer_log_z(*sides, coupling) == pytest.approx(truth, abs=1e-11)
    truth = logsumexp(log_weights(*sides, coupling, 0.2))
    assert ising.transfer_log_z(*sides, coupling, 0.2) == pytest.approx(truth, abs=1e-11)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_closed_form_agrees_with_the_transfer_matrix(coupling: float) -> None:
    for rows, columns in ((16, 6), (7, 8), (8, 8)):
        truth = ising.transfer_log_z(rows, columns, coupling)
        assert ising.kaufman_log_z(rows, columns, coupling) == pytest.approx(truth, abs=1e-9)
        assert ising.kaufman_log_z(columns, rows, coupling) == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("coupling", [0.1, 0.3, 0.4407, 0.45, 0.7])
def test_energy_is_that_of_all_states_and_the_slope_of_log_z(coupling: float) -> None:
    for sides in ((3, 4), (4, 3), (4, 4)):
        log_w = log_weights(*sides, coupling, 0.0)
        truth = -np.exp(log_w - logsumexp(log_w)) @ log_w / coupling
        assert ising.kaufman_energy(*sides, coupling) == pytest.approx(truth, abs=1e-9)
    for side, step in ((16, 1e-5), (64, 1e-6)):
        up, down = (ising.kaufman_log_z(side, side, coupling + x) for x in (step, -step))
        assert ising.kaufman_energy(side, side, coupling) == pytest.approx(-(up - down) / (2 * step), abs=1e-3)


def test_limits_of_a_large_lattice() -> None:
    """16 x 16: free spins at a small coupling; two ordered states and their single flips at a large one.

    The next terms of both series are of order K^4 a site and exp(-12 K) a bond.
    """
    sites = 256
    small = sites * (np.log(2) + 2 * np.log(np.cosh(0.01)) + 0.01**4)
    assert ising.kaufman_log_z(16, 16, 0.01) == pytest.approx(small, abs=1e-8)
    large = 2 * sites * 2.0 + np.log(2) + sites * np.exp(-8 * 2.0)
    assert ising.kaufman_log_z(16, 16, 2.0) == pytest.approx(large, abs=4 * sites * np.exp(-12 * 2.0))


def test_known_value_of_8_x_8() -> None:
    """At K = 0.6 log Z is 78.142 in spins; in units of 0 and 1 it is less by K times 128 bonds."""
    assert round(ising.kaufman_log_z(8, 8, 0.6), 3) == 78.142
    machine, truth = fooling.checkerboard(8, 8, 0.6)
    assert truth == pytest.approx(ising.kaufman_log_z(8, 8, 0.6) - 0.6 * 128, abs=1e-11)
    assert machine.units == {"v": 32, "h1": 32}


def test_mean_spin() -> None:
    log_w = log_weights(3, 4, 0.4, 0.1)
    truth = np.exp(log_w - logsumexp(log_w)) @ every(12).mean(axis=1)
    assert ising.transfer_mean_spin(3, 4, 0.4, 0.1) == pytest.approx(truth, abs=1e-7)


@pytest.mark.parametrize("fields", [(0.0, 0.0), (0.3, -0.1)], ids=str)
def test_two_groups(fields: tuple[float, float]) -> None:
    s = every(9)
    m, n = s[:, :5].sum(axis=1), s[:, 5:].sum(axis=1)
    truth = logsumexp(0.2 * m * n + fields[0] * m + fields[1] * n)
    assert ising.bipartite_log_z(5, 4, 0.2, fields) == pytest.approx(truth, abs=1e-12)
    machine, shift = fooling.of_spins(np.full((5, 4), 0.2), *fields)
    assert boltz.exact_log_z(machine).value + shift == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("sides", [(4, 4), (4, 6), (6, 4)], ids=str)
@pytest.mark.parametrize("field", [0.0, 0.03])
def test_checkerboard_is_the_lattice(sides: tuple[int, int], field: float) -> None:
    machine, truth = fooling.checkerboard(*sides, 0.5, field)
    assert boltz.exact_log_z(machine).value == pytest.approx(truth, abs=1e-9)
    met = ising.bonds_of(*sides)
    assert (met.sum(axis=0) == 4).all() and (met.sum(axis=1) == 4).all()
