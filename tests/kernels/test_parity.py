"""Catches Numba kernels that differ from the numpy reference, primitive by primitive and in whole computations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks.cuda_parity import CHECKS, Backend
from support.training import plain_train

import boltz
from boltz import kernels
from boltz.kernels import cpu, reference
from boltz.kernels.cuda import launch

NUMBA = Backend(cpu, np.array, np.asarray, lambda *launch: None)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LAUNCHED = {"known_answers"}  # a kernel of its own, in CUDA; the vectors of both other backends are in test_philox.py


@DTYPES
@pytest.mark.parametrize("name", sorted(set(CHECKS) - LAUNCHED))
def test_primitives_agree_with_the_reference(name: str, dtype: type) -> None:
    CHECKS[name](NUMBA, dtype)


def test_every_primitive_has_one_signature_in_three_backends() -> None:
    for name in kernels.PRIMITIVES:
        wanted = list(inspect.signature(getattr(reference, name)).parameters)
        assert all(list(inspect.signature(getattr(b, name)).parameters) == wanted for b in (cpu, launch)), name


def test_dispatch_goes_by_the_array_and_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Array:
        pass

    Array.__module__ = "cupy.something"
    assert kernels.backend(np.zeros(1)) is cpu and kernels.backend([0.0]) is cpu
    seen = []
    for name, position in kernels.PRIMITIVES.items():
        count = len(inspect.signature(getattr(reference, name)).parameters)
        given = [object() for _ in range(count)]
        given[position] = Array()
        monkeypatch.setattr(launch, name, lambda *got, name=name: seen.append((name, got)) or name)
        assert getattr(kernels, name)(*given) == name and seen[-1] == (name, tuple(given))
    with pytest.raises(AttributeError, match="no primitive 'sigmoid'"):
        _ = kernels.sigmoid


@DTYPES
@pytest.mark.parametrize("name", ["bernoulli_mean", "bernoulli_sample", "bernoulli_relax"])
def test_bias_by_unit_and_bias_by_row_mean_the_same(name: str, dtype: type) -> None:
    """The same numbers as (units,), (1, units) and (rows, units); catches a bias row that is read modulo the width."""
    rng = np.random.default_rng(1)
    start, bias = rng.normal(size=(5, 70)).astype(dtype), rng.normal(size=70).astype(dtype)
    last: dict[str, tuple[Any, ...]] = {
        "bernoulli_mean": (),
        "bernoulli_sample": ((1, 2, 3), 4, np.zeros_like(start)),
        "bernoulli_relax": (0.25, np.full_like(start, 0.5)),
    }
    found = []
    for form in (bias, bias[None], np.tile(bias, (5, 1))):
        field = start.copy()
        rest = tuple(x.copy() if isinstance(x, np.ndarray) else x for x in last[name])
        getattr(cpu, name)(field, 0.5, form, *rest)
        found.append(np.concatenate([field, *(x for x in rest if isinstance(x, np.ndarray))]))
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all() and (found[0][:5] != 0).all()
    rows = start.copy()
    rest = tuple(x.copy() if isinstance(x, np.ndarray) else x for x in last[name])
    getattr(cpu, name)(rows, 0.5, bias + np.arange(5, dtype=dtype)[:, None], *rest)
    assert not (np.concatenate([rows, *(x for x in rest if isinstance(x, np.ndarray))]) == found[0]).all()


def whole(dtype: Any) -> dict[str, Callable[[], dict[str, np.ndarray]]]:
    """Computations through the public API whose draws decide the result."""
    rng = np.random.default_rng(5)
    weights, biases = [rng.normal(0, 0.5, s) for s in ((9, 7), (7, 5))], [rng.normal(size=n) for n in (9, 7, 5)]
    model = boltz.from_arrays([w.astype(dtype) for w in weights], [b.astype(dtype) for b in biases])
    rows = rng.integers(0, 2, (60, 9)).astype(dtype)

    def trained(rule: str, **settings: Any) -> dict[str, np.ndarray]:
        run = plain_train(model, rows, rule=rule, epochs=2, batch_size=20, chains=20, seed=2, **settings)
        return dict(run.model.params)

    def learned(model: boltz.HelmholtzMachine, **settings: Any) -> dict[str, np.ndarray]:
        settings = {"epochs": 2, "batch_size": 20, "seed": 2, "optimizer": "momentum", "learning_rate": 0.01} | settings
        return dict(plain_train(model, rows, **settings).model.params)

    net = boltz.sbn([9, 7, 5], [6], rows).astype(dtype)
    smooth = boltz.vae([9, [7], [6]], [5, 4], rows).astype(dtype)
    belief = boltz.dbn([9, 7, 5], rows, dtype=dtype)
    wide = [rng.normal(0, 0.05, (200, 150)).astype(dtype)], [np.full(200, -2, dtype), np.zeros(150, dtype)]
    sparse = boltz.from_arrays(*wide)
    return {
        "sample, wide": lambda: boltz.sample(sparse, 100, 10, seed=1),
        "sample": lambda: boltz.sample(model, 300, 20, seed=1),
        "mean field": lambda: boltz.mean_field(model, rows),
        "ais": lambda: {"log_weights": boltz.ais(model, 100, 50, seed=1).log_weights},
        "likelihood": lambda: {"per_row": boltz.log_likelihood(model, rows, 0.0, 20, seed=1).per_row},
        "pcd": lambda: trained("pcd"),
        "cd, adam": lambda: trained("cd", k=2, optimizer="adam", learning_rate=0.01),
        "sample, sbn": lambda: boltz.sample(net, 300, seed=1),
        "sample, dbn": lambda: boltz.sample(belief, 300, 20, seed=1),
        "fantasies of a vae": lambda: boltz.sample(smooth, 300, seed=1),
        "bounds of an sbn": lambda: {"per_row": boltz.importance_bounds(net, rows, [5], seed=1)[0].per_row},
        "bounds of a vae": lambda: {"per_row": boltz.importance_bounds(smooth, rows, [5], seed=1)[0].per_row},
        "nvil": lambda: learned(net, objective="nvil"),
        "vimco": lambda: learned(net, objective="vimco", samples=3),
        "rws": lambda: learned(net, objective="rws", samples=3),
        "iwae": lambda: learned(smooth, objective="iwae", samples=3),
        "up-down": lambda: learned(belief, k=2, chains=20, pretrain_epochs=1),
    }


@DTYPES
@pytest.mark.parametrize("name", whole(np.float64))
def test_the_reference_in_place_of_numba_gives_the_same_numbers(
    name: str, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal bits, so equal draws: states equal, real numbers up to rounding. One turned draw would move them by far.

    A probability may round differently and turn a draw with chance below 1e-7 (float32) each; none does at this key.
    """
    compute = whole(dtype)[name]
    numba = compute()
    used: list[Any] = []
    monkeypatch.setattr(kernels, "backend", lambda array: used.append(array) or reference)
    plain = compute()
    assert used, "the reference was not used"
    for key, value in numba.items():
        if name.startswith("sample"):
            assert (plain[key] == value).all()
        tolerance = {np.float32: 3e-5, np.float64: 1e-12}[dtype]
        assert np.abs(plain[key] - value).max() <= tolerance * (1 + np.abs(value).max())


@DTYPES
@pytest.mark.parametrize("states", [2, 3, 7, 21])
def test_categorical_units_are_those_of_the_reference(states: int, dtype: type) -> None:
    """Probabilities within rounding, equal draws from equal ones; catches an odd last state that is left out."""
    rng = np.random.default_rng(states)
    start, bias = 4 * rng.normal(size=(9, 11 * states)).astype(dtype), rng.normal(size=11 * states).astype(dtype)
    start[2, ::states], start[3, 5], start[4] = 200, np.nan, -1e4
    found, expected = start.copy(), start.copy()
    cpu.categorical_mean(found, 0.7, bias, states)
    with np.errstate(invalid="ignore"):
        reference.categorical_mean(expected, 0.7, bias, states)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype is np.float32 else 1e-13, atol=1e-36)
    drawn, wanted, together = (np.zeros_like(start) for _ in range(3))
    cpu.categorical_from_mean(found, states, (1, 2, 3), 4, drawn)
    with np.errstate(invalid="ignore"):
        reference.categorical_from_mean(found, states, (1, 2, 3), 4, wanted)
    np.testing.assert_array_equal(drawn, wanted)
    field = start.copy()
    cpu.categorical_sample(field, 0.7, bias, states, (1, 2, 3), 4, together)
    np.testing.assert_array_equal(field, found)
    np.testing.assert_array_equal(together, drawn)
