"""Catches a layer that is said to add what it does not add, or to be used as it is not."""

from __future__ import annotations

import numpy as np
import pytest
from checks import layer_gains as checks

import boltz
from boltz.errors import InputError


def test_gains_are_those_of_enumeration() -> None:
    checks.check_gains()


def test_an_idle_layer_and_the_interval_over_rows() -> None:
    checks.check_intervals()


def test_how_a_layer_is_used() -> None:
    checks.check_use()


def test_what_is_said_of_a_layer() -> None:
    checks.check_words()


@pytest.mark.parametrize("name", checks.ANY_GRAPH)
def test_gains_on_any_graph_are_those_of_sums(name: str) -> None:
    checks.check_any_graph(name)


def test_how_parts_of_other_graphs_are_used() -> None:
    checks.check_any_use()


def test_an_rbm_has_no_layers_above() -> None:
    assert boltz.layer_gains(boltz.rbm(4, 3), np.eye(4)) == ()


@pytest.mark.parametrize("bad", [{"samples": 0}, {"copies": 3}, {"rounds": 19}, {"seed": -1}, {"progress": 3}], ids=str)
def test_bad_arguments(bad: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        boltz.layer_gains(boltz.dbm([4, 3, 2]), np.eye(4), **bad)  # type: ignore[arg-type]


def test_one_row_has_no_interval() -> None:
    with pytest.raises(InputError, match="at least 2 rows"):
        boltz.layer_gains(boltz.dbm([4, 3, 2]), np.eye(4)[:1])


def test_bits_do_not_depend_on_threads() -> None:
    model, x = checks.machine(), checks.coins(20, 6)
    found = []
    before = boltz.threads()
    for threads in (1, 2):
        boltz.threads(threads)
        found.append(boltz.layer_gains(model, x, rounds=20, copies=8)[0])
    boltz.threads(before)
    assert found[0] == found[1]
