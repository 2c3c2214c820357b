"""Catches forward passes, gradients and dropout of networks that differ from plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import fine_tuning as checks
from oracles import networks as plain

from boltz.errors import InputError
from boltz.networks.feedforward import FUNCTIONS, FeedForward, forward
from boltz.nn.arena import Tape, views


def test_forward_of_every_machine() -> None:
    checks.check_forward()


def test_gradients_of_every_machine() -> None:
    checks.check_gradients()


def test_far_outputs() -> None:
    checks.check_losses_of_far_outputs()


def test_dropout_keeps_a_share_and_the_mean() -> None:
    checks.check_share_kept()
    checks.check_share_of_the_posterior()


def test_dropout_draws_anew() -> None:
    checks.check_masks_differ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_network_with_sides_at_any_layer(function: str, dtype: Any) -> None:
    net = FeedForward((3, 4, 2, 3), (function, "sigmoid", "linear"), (2, 0, 5))
    assert net.depth == 3 and [net.width(i) for i in range(3)] == [5, 4, 7]
    rng = np.random.default_rng(1)
    arena = rng.normal(0, 0.7, 5 * 4 + 4 + 4 * 2 + 2 + 7 * 3 + 3).astype(dtype)
    params = views(net.shapes, arena)
    x, sides = rng.random((9, 3)), {0: rng.random((9, 2)), 2: rng.random((9, 5))}
    part = Tape(arena).whole(9)
    part.get("0/input", 5)[...] = np.hstack([x, sides[0]])
    part.get("2/side", 5)[...] = sides[2]
    found = forward(net, params, part)
    wanted = plain.values(params, net.functions, x, sides)[-1]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 if dtype is np.float32 else 1e-13)


@pytest.mark.parametrize(
    ("sizes", "functions", "sides"),
    [
        ((), (), ()),
        ((3,), (), ()),
        ((3, 2), ("linear", "linear"), (0,)),
        ((3, 2), ("linear",), (0, 0)),
        ((3, 2), ("linear",), (-1,)),
        ((3, 0), ("linear",), (0,)),
        ((3, 2), ("tanh",), (0,)),
        ((3, 2, 2), ("softmax", "softmax"), (0, 0)),
        ((3, 2), ("sine",), (0,)),
    ],
)
def test_what_is_no_network_is_refused(sizes: Any, functions: Any, sides: Any) -> None:
    with pytest.raises(InputError, match=r"^a network .*\.$"):
        FeedForward(sizes, functions, sides)
