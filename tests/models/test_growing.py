"""Catches growth that changes the law of a machine, loses what it knew, or starts where it cannot learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import growth
from checks.training import coin_rows

import boltz
from boltz.errors import InputError
from boltz.models.graph import Edge, Graph, Layer


def test_single_is_exact() -> None:
    growth.check_single_is_exact()


def test_single_hears_one_unit() -> None:
    growth.check_single_hears_one_unit()


def test_old_units_stay() -> None:
    growth.check_old_units_stay()


def test_random_is_of_second_order() -> None:
    growth.check_random_is_of_second_order()


def test_random_is_centred() -> None:
    growth.check_random_is_centred()


def test_rates_of_new_units() -> None:
    growth.check_rates_of_new_units()


def test_start_is_not_stuck() -> None:
    growth.check_start_is_not_stuck()


def test_seeds() -> None:
    growth.check_seeds()


def test_a_grown_machine_is_trained_without_pretraining() -> None:
    """It begins at its own likelihood: an epoch at rate 0 leaves it there, and nothing is pretrained."""
    x = coin_rows(60, 6, 1)
    first = boltz.train(boltz.rbm(6, 4, x, dtype=np.float64), x, epochs=5)
    run = boltz.train(boltz.grow(first.model, (4, 5)), x, epochs=1, learning_rate=0.0, averaging="none")
    assert {record["stage"] for record in run.history} == {"joint"}
    np.testing.assert_allclose(growth.log_p(run.model), growth.log_p(first.model), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ((3,), "layers must name more units or layers than the 3 that the model has"),
        ((2, 4), "layers must hold at least the hidden layers 3 that the model has, got 2, 4"),
        ((), "layers must hold at least the hidden layers 3"),
        ((3, 0), r"layers\[1\] must be a whole number of at least 1"),
        (5, "layers must be a sequence"),
    ],
)
def test_what_is_no_growth_is_refused(layers: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        boltz.grow(growth.machine((4, 3)), layers)


def test_a_machine_that_is_no_chain_is_refused() -> None:
    graph = Graph((Layer("v", 2), Layer("h1", 2), Layer("h2", 2)), (Edge("v", "h1"), Edge("v", "h2")))
    with pytest.raises(InputError, match="model must be a chain of layers"):
        boltz.grow(boltz.BoltzmannMachine(graph, np.zeros(graph.parameters)), (3, 3))
    with pytest.raises(InputError, match="model must be a BoltzmannMachine"):
        boltz.grow(boltz.sbn([3, 2]), (3,))  # type: ignore[arg-type]


def test_an_upper_layer_that_has_not_learnt_starts_with_the_law_of_the_rbm_below() -> None:
    growth.check_start_above()


def test_upper_layers_start_after_a_plain_bottom_pair() -> None:
    growth.check_bottom_starts_above()
