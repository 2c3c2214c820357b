"""Catches training on a sparse matrix that differs in a bit from dense rows, or that takes memory for those."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.training import plain_train

import boltz
from boltz.data.from_arrays import given
from boltz.errors import InputError

BINARY = (np.random.default_rng(5).random((30, 6)) < 0.3).astype(np.float64)
GREY = np.random.default_rng(6).integers(0, 256, (30, 6)) * (BINARY > 0)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 8}
FORMATS = [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_matrix, sp.lil_matrix]


@pytest.mark.parametrize("rows", [BINARY, BINARY > 0, GREY.astype(np.uint8), GREY / 255, BINARY.astype(np.float32)])
@pytest.mark.parametrize("shape", FORMATS)
def test_sparse_rows_train_as_dense_ones(rows: np.ndarray, shape: Callable[[Any], Any]) -> None:
    runs = [plain_train(boltz.rbm(6, 4, x), x, held_out=x[:9], **SHORT) for x in (rows, sp.csr_array(rows))]
    other = plain_train(boltz.rbm(6, 4, shape(rows)), shape(rows), **SHORT)
    assert runs[0].model.arena.tobytes() == runs[1].model.arena.tobytes() == other.model.arena.tobytes()
    assert runs[0].model.rates["h1"].tobytes() == runs[1].model.rates["h1"].tobytes()
    assert runs[0].history[-1]["free_energy_gap"] == runs[1].history[-1]["free_energy_gap"]


@pytest.mark.parametrize("make", [lambda x: boltz.vae([6, 5], 2, x), lambda x: boltz.dbm([6, 4, 3], x)])
def test_machines_of_other_kinds_take_sparse_rows(make: Callable[[Any], Any]) -> None:
    found = [plain_train(make(x), x, **SHORT).model.arena.tobytes() for x in (BINARY, sp.csr_array(BINARY))]
    assert found[0] == found[1]


def test_a_sparse_run_goes_on_with_dense_rows(tmp_path: Any) -> None:
    """The fingerprint names the rows, not how they are kept."""
    sparse = sp.csr_array(GREY)
    assert given(sparse, "x", 6, levels=255).fingerprint == given(GREY, "x", 6, levels=255).fingerprint
    run = plain_train(boltz.rbm(6, 4), sp.csr_array(BINARY), tmp_path / "run", **SHORT)
    assert boltz.resume(tmp_path / "run", BINARY).model.arena.tobytes() == run.model.arena.tobytes()


def test_entries_given_twice_are_summed_and_the_matrix_is_left_alone() -> None:
    twice = sp.csr_array((np.array([0.25, 0.5, 1.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    found = given(twice, "x", 3).x
    assert found[np.array([1, 0])].tolist() == [[1, 0, 0], [0, 0.75, 0]] and twice.nnz == 3


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (sp.csr_array([[0, 1.5, 0]]), r"numbers in \[0, 1\].*got 1.5 at index \(0, 1\)"),
        (sp.csr_array([[0, 0, 0], [np.nan, 0, 0]]), r"got nan at index \(1, 0\)"),
        (sp.csr_array([[0, 1.0]]), r"shape \(any, 3\), got \(1, 2\)"),
        (sp.csr_array([[0, 1j, 0]]), "real numbers, got dtype complex128"),
        (sp.csr_array((0, 3)), "at least one row"),
    ],
)
def test_what_is_wrong_with_sparse_rows_is_said(rows: Any, what: str) -> None:
    with pytest.raises(InputError, match=what):
        plain_train(boltz.rbm(3, 2), rows)


def test_training_takes_no_memory_for_dense_rows() -> None:
    """160 million units: a dense copy takes 160 MB as bytes and 640 MB as float32, here 100 MB may pass.

    The rows for the first biases and for the base rates take 33 MB each, and are copied.
    """
    rows, units = 8000, 20_000
    matrix = sp.random(rows, units, 0.001, format="csr", dtype=np.float32, rng=np.random.default_rng(7))
    matrix.data[:] = 1
    tracemalloc.start()
    try:
        run = plain_train(boltz.rbm(units, 2, matrix), matrix, epochs=1, chains=10, snapshots=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000 and run.model.rates["v"].max() < 0.1


def test_rows_outside_the_unit_interval_leave_no_base_rates() -> None:
    """The energy is linear in the visible units, so a machine can learn from such rows, but they are no activities."""
    real = given(np.random.default_rng(8).normal(size=(40, 6)), "x", 6, real=True)
    run = plain_train(boltz.rbm(6, 3), real, binarize="none", **SHORT)
    assert run.model.rates == {} and np.isfinite(run.model.arena).all()
    assert boltz.ais(run.model, 10, 10).ess > 0
    assert plain_train(boltz.rbm(6, 3), given(BINARY, "x", 6, real=True), binarize="none", **SHORT).model.rates
