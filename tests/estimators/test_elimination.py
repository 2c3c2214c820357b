"""Elimination: would catch a wrong log Z (tests/checks/elimination.py), and a large graph that is tried for long."""

from __future__ import annotations

import time

import numpy as np
import pytest
from checks import elimination as checks
from oracles import ising
from scipy.sparse import random_array

import boltz
from boltz.estimators.elimination import order_of
from boltz.estimators.exact import quick


def test_sparse_potts_models() -> None:
    checks.check_sparse_potts_models()


def test_spins_and_units() -> None:
    checks.check_spins_and_units()


def test_lattices() -> None:
    checks.check_lattices()


def test_wide_strips_and_tori() -> None:
    """A torus of width 10, and a cylinder of width 16 whichever way it lies, have tables of moderate size."""
    torus = boltz.ising(boltz.lattice((10, 10), 0.44))
    assert boltz.exact_log_z(torus).value == pytest.approx(ising.kaufman_log_z(10, 10, 0.44), abs=1e-9)
    assert quick(torus) and not quick(boltz.ising(boltz.lattice((12, 12), 0.44)))
    for shape, flags in (((40, 16), [False, True]), ((16, 40), [True, False])):
        order = order_of(boltz.ising(boltz.lattice(shape, 0.44, flags)))
        assert order is not None and order.largest <= 2**18


def test_log_z_takes_it_where_it_is_quick() -> None:
    found = boltz.log_z(boltz.ising(boltz.lattice((8, 8), 0.5)))
    assert found.estimate.method.startswith("elimination") and found.trusted
    assert found.value == pytest.approx(ising.kaufman_log_z(8, 8, 0.5), abs=1e-10)


def test_what_is_too_large_is_refused_at_once() -> None:
    """A million spins, a lattice that no order suits, and random graphs with few and with many couplings."""
    many = random_array((3000, 3000), density=0.05, rng=0, format="csr")
    few = random_array((3000, 3000), density=0.002, rng=0, format="csr")
    models = [boltz.ising(boltz.lattice(side, 0.44)) for side in ((1000, 1000), (64, 64), (8, 8, 8))]
    for part in (many, few):
        part.setdiag(0)
        models.append(boltz.ising(part + part.T))
    for model in models:
        began = time.process_time()
        assert not quick(model)
        with pytest.raises(boltz.InputError, match=r"^exact_log_z enumerates at most 28 units, but .* one after the "):
            boltz.exact_log_z(model)
        assert time.process_time() - began < 2


def test_one_flag_for_each_axis() -> None:
    assert np.array_equal(boltz.lattice((3, 4), periodic=[True, False]).toarray(), _torus(3, 4, True, False))
    assert np.array_equal(boltz.lattice((3, 4), periodic=(False, True)).toarray(), _torus(3, 4, False, True))
    for bad in ("yes", [True], [True, 1], None):
        with pytest.raises(boltz.InputError, match=r"^periodic must be True or False, or one of these for each of 2"):
            boltz.lattice((3, 4), periodic=bad)


def _torus(rows: int, columns: int, down: bool, across: bool) -> np.ndarray:
    """Which sites are neighbours, by their distance."""
    r, c = np.indices((rows, columns)).reshape(2, -1)
    dr, dc = np.abs(r[:, None] - r), np.abs(c[:, None] - c)
    dr, dc = (np.minimum(dr, rows - dr) if down else dr), (np.minimum(dc, columns - dc) if across else dc)
    return ((dr + dc) == 1).astype(float)
