"""Catches wrong costs of codes, wrong draws from them, and machines that have no code."""

from __future__ import annotations

import numpy as np
import pytest
from checks import codes

import boltz


def test_what_a_code_costs() -> None:
    codes.check_code_lengths()


def test_draws_from_a_code() -> None:
    codes.check_decompress()


def test_pixels_hear_their_neighbours_in_draws() -> None:
    rows = np.eye(4)[:, [0, 1, 2, 3]]
    machine = boltz.vae([4, 3], 2, decoder="pixelcnn", image=(2, 2), activation="elu")
    found = boltz.decompress(machine, rows, draws=3)
    assert found.shape == (4, 3, 4) and set(np.unique(found)) <= {0, 1}
    assert "costs" in str(boltz.code_lengths(machine, rows)[0])
    assert [each.layer for each in boltz.evaluate(machine, rows, samples=10).codes] == ["h1"]


@pytest.mark.parametrize("machine", [boltz.rbm(4, 2), boltz.nade(4, 2), boltz.dbn([4, 3, 2])])
def test_machines_without_a_code_are_refused(machine: boltz.HelmholtzMachine) -> None:
    for call in (boltz.decompress, boltz.code_lengths):
        with pytest.raises(boltz.InputError, match=r"^model must be a directed machine with hidden units"):
            call(machine, np.eye(4))
