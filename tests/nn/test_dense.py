"""Catches nets of dense layers with wrong shapes or pullbacks, and sparse products that differ from dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import directed_nets as checks

from boltz import kernels
from boltz.errors import InputError
from boltz.kernels import reference
from boltz.nn.dense import SLICE, Net, total


def test_pullbacks() -> None:
    checks.check_pullbacks()


def test_pullbacks_with_and_without_signal_and_deltas() -> None:
    checks.check_pullback_options()


def test_products_in_pieces() -> None:
    checks.check_wide_products()
    assert SLICE < 600


def test_shapes_are_named_from_the_input_up() -> None:
    net = Net((4, 5, 2))
    assert net.shapes("n") == {"n/0/weight": (4, 5), "n/0/bias": (5,), "n/1/weight": (5, 2), "n/1/bias": (2,)}
    assert net.depth == 2 and net.bias("n", {"n/1/bias": 7}) == 7


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(InputError, match="activation must be one of elu, relu, softplus, tanh, got 'sine'"):
        Net((1, 1), "sine")


def sparse(rows: int, units: int, dtype: Any = np.float32) -> Any:
    return (np.random.default_rng(1).random((rows, units)) < 0.1).astype(dtype)


@pytest.mark.parametrize("grey", [False, True])
def test_a_float32_net_agrees_with_the_reference_products(grey: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and parameter gradients on 0/1 and on grey rows, to rounding; catches a factor taken in a wrong order."""
    net, x = Net((300, 140, 160), "softplus"), sparse(40, 300)
    if grey:
        x[3, 5] = 0.5
    delta = np.random.default_rng(2).normal(size=(40, 160)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=40).astype(np.float32)
    results = []
    for backend in (kernels.backend(x), reference):
        for name in ("product", "contraction"):
            monkeypatch.setattr(kernels, name, getattr(backend, name))
        params, part = checks.params_of(net, np.float32), checks.part_of(x)
        value, pullback = net.forward("net", params, "x", part)
        value = value.copy()
        pullback(delta, weights, False)
        results.append({"value": value, **checks.gradient_by(net, params, part)})
    exact = checks.outputs_of(net, {n: p.astype(float) for n, p in params.items()}, x.astype(float))
    np.testing.assert_allclose(value + params["net/1/bias"], exact, rtol=0, atol=2e-3)
    for name, found in results[0].items():
        np.testing.assert_allclose(found, results[1][name], rtol=0, atol=2e-4, err_msg=name)


def test_a_nan_does_not_get_lost_on_the_way() -> None:
    net, x = Net((50, 140)), sparse(9, 50)
    x[2, 3] = np.nan
    params, part = checks.params_of(net, np.float32), checks.part_of(x)
    value, pullback = net.forward("net", params, "x", part)
    assert np.isnan(value[2]).all() and np.isfinite(value[:2]).all()
    pullback(np.ones((9, 140), np.float32), None, False)
    assert np.isnan(checks.gradient_by(net, params, part)["net/0/weight"][3]).all()


def test_totals_are_written_or_added() -> None:
    delta = np.random.default_rng(6).normal(size=(5, 3))
    out = np.full(3, 2.0)
    total(delta, out, add=True)()
    np.testing.assert_allclose(out, 2 + delta.sum(axis=0), rtol=0, atol=1e-14)
    total(delta, out)()
    np.testing.assert_allclose(out, delta.sum(axis=0), rtol=0, atol=1e-14)


def test_products_wait_until_they_are_run() -> None:
    """Nothing is written before a job runs, and jobs may run in any order."""
    net, params, x, delta, weights = checks.case_of((4, 5, 3), "tanh")
    part = checks.part_of(x)
    net.forward("net", params, "x", part)[1](delta, weights, False)
    found = {name: np.full_like(value, 9.0) for name, value in params.items()}
    jobs = net.products("net", (params, found), "x", part)
    assert all((value == 9).all() for value in found.values())
    for job in reversed(jobs):
        job()
    wanted = checks.gradient_by(net, params, part)
    assert all((found[name] == wanted[name]).all() for name in wanted)
