"""Catches kernels of sparse couplings that do not do what the reference does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import laid_out

import boltz
from boltz.kernels import reference_sites as reference
from boltz.kernels.cpu import clusters, sites

STREAM = (3, 4, 5)


def states_of(rows: int, units: int, low: float, dtype: Any) -> np.ndarray:
    return np.where(np.random.default_rng(0).random((rows, units)) < 0.5, low, 1.0).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(10, 12), (5, 4, 3), (30,)], ids=str)
def test_sparse_sweeps_are_those_of_the_reference(shape: tuple[int, ...], dtype: Any) -> None:
    """Of lattices with four, five or six, and two neighbours; a draw may differ where rounding decides, in 1e-4."""
    coupling = np.random.default_rng(1).uniform(0.1, 0.9)
    model = boltz.ising(boltz.lattice(shape, coupling), dtype=dtype)
    pairs, units = model.graph.edges[0].pairs, model.units["v"]
    assert pairs is not None
    matrix, (order, parts) = model.matrix(model.graph.edges[0].key), pairs.colouring(units, 1)
    field = np.random.default_rng(2).normal(size=(1, units)).astype(dtype)
    one = states_of(40, units, -1.0, dtype)
    other = one.copy()
    laid = pairs.couplings(model.params[model.graph.edges[0].key], units, 1)
    for part in parts:
        sites.sparse_sweep(field, laid, part, 0.7, (-1.0, 1.0), STREAM, 2, one)
        couplings = order, matrix.indptr, matrix.indices, matrix.data
        reference.sparse_sweep(field, couplings, part, 0.7, (-1.0, 1.0), STREAM, 2, other)
    assert (one != other).mean() < 1e-3 and set(np.unique(one)) == {-1.0, 1.0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_laid_out_sweeps_are_those_of_the_reference(dtype: Any) -> None:
    laid_out.check_laid_out_sweeps(dtype)


def test_cluster_flips_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(3)
    for shape, low in (((6, 7), -1.0), ((4, 3, 3), 0.0), ((20,), -1.0)):
        model = boltz.ising(boltz.lattice(shape, 1.0))
        pairs, units = model.graph.edges[0].pairs, model.units["v"]
        assert pairs is not None
        signs, odds = rng.random(pairs.count) < 0.7, rng.integers(0, 2**30, pairs.count).astype(np.int32)
        nothing = np.empty(0, bool), np.empty(0, np.int32)
        held = rng.random(units) < 0.5, rng.integers(0, 2**28, units).astype(np.int32)
        for fields in (nothing, held):
            one = states_of(9, units, low, np.float32)
            other, before = one.copy(), one.copy()
            given = (pairs.rows, pairs.columns, signs, odds), fields, (low, 1.0), STREAM, 1
            clusters.cluster_flips(*given, one)
            reference.cluster_flips(*given, other)
            assert np.array_equal(one, other) and not np.array_equal(one, before)


def test_pair_sums_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(4)
    rows, columns = rng.integers(0, 9, 30).astype(np.int32), rng.integers(0, 5, 30).astype(np.int32)
    weights, lower, upper = rng.normal(size=30), rng.normal(size=(4, 9)), rng.normal(size=(4, 5))
    found, wanted = np.empty((2, 4))
    sites.pair_sums(rows, columns, weights, lower, upper, found)
    reference.pair_sums(rows, columns, weights, lower, upper, wanted)
    assert np.allclose(found, wanted, rtol=0, atol=1e-12)
