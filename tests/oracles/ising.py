"""Exact log Z, in nats, of Ising models whose answer has a closed form or a small transfer matrix, without boltz.

Spins are -1 or 1; the weight of a state is exp(sum over bonds of J s t + sum over sites of h s).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

Floats = NDArray[np.float64]
CRITICAL = float(np.log(1 + np.sqrt(2)) / 2)  # coupling of the infinite square lattice (Onsager 1944)


def kaufman_log_z(rows: int, columns: int, coupling: float) -> float:
    """log Z of the square lattice on a torus, each side at least 3, without field and with coupling K > 0.

    With n columns and m rows (Kaufman 1949; Ferdinand & Fisher 1969):

        Z = (2 sinh 2K)^(mn/2) / 2 * (prod 2 cosh(m g_(2r+1) / 2) + prod 2 sinh(m g_(2r+1) / 2)
                                      + prod 2 cosh(m g_(2r) / 2) + prod 2 sinh(m g_(2r) / 2)),  r = 0 .. n-1,

        cosh g_l = cosh 2K coth 2K - cos(pi l / n), g_l > 0 for l > 0, and g_0 = 2K + log tanh K,

    which is negative below the critical coupling and positive above it: the fourth product changes its sign there.
    """
    return _kaufman(rows, columns, coupling)[0]


def kaufman_energy(rows: int, columns: int, coupling: float) -> float:
    """Mean of -(sum over bonds of s t) on the same lattice: minus the derivative of its log Z by the coupling K.

    Each product is differentiated by its own logarithm. Not for the critical coupling itself, where g_0 is 0.
    """
    return -_kaufman(rows, columns, coupling)[1]


def _kaufman(rows: int, columns: int, coupling: float) -> tuple[float, float]:
    """log Z and its derivative by the coupling."""
    n, m, k = columns, rows, 2 * coupling
    angle = np.pi * np.arange(2 * n) / n
    excess = (1 - np.sinh(k)) ** 2 / np.sinh(k) + 2 * np.sin(angle / 2) ** 2  # cosh g - 1
    root = np.sqrt(excess * (excess + 2))  # sinh g
    g = np.log1p(excess + root)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = 2 * (np.sinh(k) ** 2 - 1) * np.cosh(k) / np.sinh(k) ** 2 / root  # of g by K
    g[0] = k + np.log(np.tanh(coupling))
    slope[0] = 2 + 2 / np.sinh(k)
    x = m * np.abs(g) / 2
    cosh, sinh = x + np.log1p(np.exp(-2 * x)), x + np.log(-np.expm1(-2 * x))
    products = np.array([cosh[1::2].sum(), sinh[1::2].sum(), cosh[::2].sum(), sinh[::2].sum()])
    signs = np.array([1, 1, 1, np.sign(g[0])])
    top = products.max()  # of which several may be equal, with both signs
    total = float(top + np.log(signs @ np.exp(products - top)))
    shares = signs * np.exp(products - total)
    rise, fall = m / 2 * slope * np.tanh(m * g / 2), m / 2 * slope / np.tanh(m * g / 2)
    slopes = np.array([rise[1::2].sum(), fall[1::2].sum(), rise[::2].sum(), fall[::2].sum()])
    log_z = float(m * n / 2 * np.log(2 * np.sinh(k)) - np.log(2) + total)
    return log_z, float(m * n / np.tanh(k) + shares @ slopes)


def transfer_log_z(rows: int, columns: int, coupling: float, field: float = 0.0) -> float:
    """log Z of the same lattice in a uniform field, by the eigenvalues of a symmetric matrix of size 2^columns."""
    s = 2.0 * ((np.arange(2**columns)[:, None] >> np.arange(columns)) & 1) - 1  # states of a row, (states, columns)
    along = coupling * np.sum(s * np.roll(s, 1, axis=1), axis=1) + field * s.sum(axis=1)
    log_t = coupling * s @ s.T + (along[:, None] + along) / 2
    top = log_t.max()
    values = np.linalg.eigvalsh(np.exp(log_t - top))
    with np.errstate(divide="ignore"):
        logs = rows * np.log(np.abs(values))
    return float(rows * top + logsumexp(logs, b=np.sign(values) ** rows))


def transfer_mean_spin(rows: int, columns: int, coupling: float, field: float, step: float = 1e-4) -> float:
    """Mean of every spin of that lattice: the derivative of log Z by the field, divided by the number of spins."""
    up, down = (transfer_log_z(rows, columns, coupling, field + x) for x in (step, -step))
    return (up - down) / (2 * step * rows * columns)


def bipartite_log_z(first: int, second: int, coupling: float, fields: tuple[float, float] = (0.0, 0.0)) -> float:
    """log Z of two groups of spins, each spin coupled to all of the other group, one field a group.

    The sum over the magnetisations m of both groups of the number of states times exp(J m_1 m_2 + h_1 m_1 + h_2 m_2).
    """
    (m, of_m), (n, of_n) = (_magnetisations(units) for units in (first, second))
    own = (of_m + fields[0] * m)[:, None] + of_n + fields[1] * n
    return float(logsumexp(own + coupling * np.outer(m, n)))


def _magnetisations(units: int) -> tuple[Floats, Floats]:
    """Every sum of so many spins, and the log of the number of states that have it."""
    up = np.arange(units + 1.0)
    return 2 * up - units, gammaln(units + 1) - gammaln(up + 1) - gammaln(units - up + 1)


def bonds_of(rows: int, columns: int) -> Floats:
    """Which even sites of the torus meet which odd ones, (rows * columns / 2,) squared of 0 and 1; sides even, from 4.

    A site is even if its row and its column add up to an even number; each class is numbered row by row.
    """
    assert rows >= 4 and columns >= 4 and rows % 2 == columns % 2 == 0
    row, column = np.indices((rows, columns)).reshape(2, -1)
    even = (row + column) % 2 == 0

    def apart(x: Any, side: int) -> Any:
        d = np.abs(x[even][:, None] - x[~even])
        return np.minimum(d, side - d)

    return (apart(row, rows) + apart(column, columns) == 1).astype(np.float64)
