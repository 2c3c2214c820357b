"""Catches copies of machines that share or lose parameters, are stored twice, or differ in a bit."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support.training import plain_train

import boltz

ROWS = (np.random.default_rng(3).random((20, 6)) < 0.4).astype(np.float32)
MACHINES = {
    "rbm": lambda: plain_train(boltz.rbm(6, 4), ROWS, epochs=1).model,
    "dbm": lambda: boltz.dbm([6, 4, 3]),
    "dbn": lambda: plain_train(boltz.dbn([6, 4, 3]), ROWS, epochs=1, pretrain_epochs=1).model,
    "vae": lambda: boltz.vae([6, 5], 2),
    "network": lambda: boltz.classifier(boltz.dbm([6, 4, 3]), ["a", "b"]),
}
COPIES = {
    "pickle": lambda machine: pickle.loads(pickle.dumps(machine)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_the_machine_with_views_into_its_arena(machine: str, way: str) -> None:
    first: Any = MACHINES[machine]()
    assert len(first.params) > 2  # cached from here on
    second = COPIES[way](first)
    assert second.arena.tobytes() == first.arena.tobytes() and second.layers == first.layers
    for one, other in ((first, second), (second, first)):
        assert all(np.array_equal(rate, other.rates[n]) for n, rate in getattr(one, "rates", {}).items())
    assert all(np.shares_memory(x, second.arena) for x in second.params.values())
    assert np.shares_memory(first.arena, second.arena) == (way == "copy")
    if getattr(first, "prior_machine", None) is not None:
        assert np.shares_memory(second.prior_machine.arena, second.arena)


def test_parameters_are_pickled_once() -> None:
    machine = boltz.rbm(100, 100)
    assert machine.params and len(pickle.dumps(machine)) < 1.1 * machine.arena.nbytes
