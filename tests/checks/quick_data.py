"""Quick checks of data that are too large for memory: what is found block by block holds for all rows."""

from __future__ import annotations

import copy
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from support.training import plain_train

import boltz
from boltz import scale
from boltz.data.from_arrays import given
from boltz.errors import InputError


def check_blocks() -> None:
    """Range, levels and fingerprint of mapped rows in blocks of two, with what matters in the last block."""
    grey = np.zeros((7, 3), np.uint8)
    grey[-1, -1] = 200
    wrong = np.full((7, 3), 0.25)
    wrong[5, 1] = np.nan
    before = scale.BLOCK
    try:
        scale.BLOCK = 6
        with tempfile.TemporaryDirectory() as folder:
            found = given(_mapped(folder, grey), "x", 3)
            assert found.levels == 255 and found.x.base is not None
            assert found.fingerprint == hashlib.sha256(b"uint8 (7, 3)\n" + grey.tobytes()).hexdigest()
            whole = given(_mapped(folder, grey.astype(np.int64)), "x", 3, levels=200)
            assert whole.fingerprint == found.fingerprint and whole.x.dtype == np.int64
            try:
                given(_mapped(folder, wrong), "x", 3)
            except InputError as problem:
                assert "got nan at index (5, 1)" in str(problem)
            else:
                raise AssertionError("a row that is not a number passes")
    finally:
        scale.BLOCK = before


def check_sparse_rows() -> None:
    """Truth values given twice are one truth value; grey levels given twice are summed."""
    where = np.array([1, 1, 0]), np.array([0, 2, 3])
    twice = sp.csr_array((np.array([True, True, True]), *where), shape=(2, 3))
    assert given(twice, "x", 3).x[np.array([1, 0])].tolist() == [[1, 0, 0], [0, 1, 0]]
    grey = sp.csr_array((np.array([100, 50, 2], np.uint8), *where), shape=(2, 3))
    assert given(grey, "x", 3).x[:].tolist() == [[0, 150, 0], [2, 0, 0]]


def check_levels() -> None:
    """Genotypes are halves at a machine that keeps levels 2, in its file too; 0/1 alone are ambiguous for grey bytes.

    Rounding is cut off, and masked entries are refused.
    """
    machine = boltz.from_arrays([np.eye(3)], [np.zeros(3), np.zeros(3)])
    genes, known = np.array([[0, 1, 0], [0, 1, 2]]), np.ones(3)
    with tempfile.TemporaryDirectory() as folder:
        machine.with_levels(2).save(Path(folder) / "model.safetensors")
        genetic = boltz.load(Path(folder) / "model.safetensors")
    assert boltz.complete(genetic, genes, known).tolist() == [[0, 0.5, 0], [0, 0.5, 1]]
    assert boltz.complete(genetic, genes[:1], known).tolist() == [[0, 0.5, 0]]
    assert boltz.complete(machine, np.array([[-1e-17, 1 + 2e-16, 1]]), known).tolist() == [[0, 1, 1]]
    for model, x in ((machine.with_levels(255), genes[:1]), (machine, np.ma.array(genes / 2, mask=genes == 2))):
        try:
            boltz.complete(model, x, known)
        except InputError:
            continue
        raise AssertionError("rows that may mean two things pass")


def check_whole_floats() -> None:
    """Whole numbers that came as floats are refused by the way out that the machine's levels give, with NaN too."""
    genetic, x = boltz.rbm(3, 2).with_levels(4), np.array([[0.0, 1.0, 2.0]])
    for rows, way in ((x, "x.astype(int), or x / 4"), (np.where(x == 1, np.nan, x), "with mask=~numpy.isnan(x)")):
        try:
            boltz.features(genetic, rows)
        except InputError as problem:
            assert way in str(problem)
        else:
            raise AssertionError("floats above 1 pass")


def check_copies() -> None:
    """A copied machine has the rates and the levels of the machine."""
    assert copy.deepcopy(boltz.rbm(3, 2).with_levels(5)).levels == 5
    machine = plain_train(boltz.rbm(3, 2), np.eye(3), epochs=1).model
    assert sorted(copy.deepcopy(machine).rates) == sorted(machine.rates) == ["h1", "v"]


def _mapped(folder: str, x: np.ndarray) -> np.ndarray:
    np.save(Path(folder) / "x.npy", x)
    found: np.ndarray = np.load(Path(folder) / "x.npy", mmap_mode="r")
    return found
