"""Catches nets and a Gaussian conditional that work only on numpy arrays.

The stand-in refuses operands that are numpy arrays, as CuPy does; the primitives are those of the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import directed_nets as checks
from numpy.lib.mixins import NDArrayOperatorsMixin

from boltz import kernels
from boltz.kernels import reference
from boltz.nn.arena import Tape
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.dense import ACTIVATIONS, Net


def bare(value: Any) -> Any:
    """The numpy arrays inside nested arguments."""
    if isinstance(value, Duck):
        return value.inner
    if isinstance(value, tuple | list):
        return type(value)(bare(x) for x in value)
    return {name: bare(x) for name, x in value.items()} if isinstance(value, dict) else value


def dressed(value: Any) -> Any:
    return Duck(value) if isinstance(value, np.ndarray) else value


class Duck(NDArrayOperatorsMixin):
    """An array that knows the two protocols of numpy, some methods, and no conversion."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.shape, self.dtype, self.ndim = inner, inner.shape, inner.dtype, inner.ndim

    def __array__(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError("a duck is no numpy array")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        for x in (*inputs, *named.get("out", ())):
            if isinstance(x, np.ndarray) and x.ndim > 0:
                raise TypeError(f"{ufunc.__name__} mixes a duck and a numpy array")
        found = getattr(ufunc, method)(*bare(inputs), **bare(named))
        return named["out"][0] if "out" in named else dressed(found)

    def __array_function__(self, function: Any, types: Any, arguments: Any, named: Any) -> Any:
        if any(issubclass(kind, np.ndarray) for kind in types):
            raise TypeError(f"{function.__name__} mixes a duck and a numpy array")
        return dressed(function(*bare(arguments), **bare(named)))

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, key: Any) -> Any:
        return dressed(self.inner[bare(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim > 0:
            raise TypeError("a numpy array is written into a duck")
        self.inner[bare(key)] = bare(value)

    @property
    def T(self) -> Duck:  # noqa: N802 - the name of numpy
        return Duck(self.inner.T)

    def __getattr__(self, name: str) -> Any:
        if name not in ("reshape", "astype", "copy", "sum"):
            raise AttributeError(name)
        return lambda *arguments, **named: dressed(getattr(self.inner, name)(*bare(arguments), **bare(named)))


@pytest.fixture(autouse=True)
def primitives_for_ducks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kernels.PRIMITIVES:

        def primitive(*arguments: Any, name: str = name) -> Any:
            return getattr(reference, name)(*bare(arguments))

        monkeypatch.setattr(kernels, name, primitive)


def test_the_duck_is_no_numpy_array() -> None:
    duck = Duck(np.ones((2, 3)))
    for mixed in (lambda: np.asarray(duck), lambda: duck + np.ones((2, 3)), lambda: np.repeat(np.ones(2), duck)):
        with pytest.raises(TypeError):
            mixed()
    assert isinstance(np.exp(duck) + 1, Duck) and isinstance(np.empty_like(duck, shape=(4,)), Duck)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("binary", [False, True])
def test_nets_take_any_array_type(activation: str, binary: bool) -> None:
    net, params, x, delta, weights = checks.case_of((4, 5, 3), activation)
    x = (x > 0).astype(float) if binary else x
    wanted_part = checks.part_of(x)
    wanted, pullback = net.forward("net", params, "x", wanted_part)
    wanted, signal = wanted.copy(), pullback(delta, weights)
    gradient = checks.gradient_by(net, params, wanted_part)
    tape = Tape(Duck(np.empty(0)))
    tape.get("x", *x.shape)[...] = Duck(x)
    ducks = {name: Duck(value) for name, value in params.items()}
    value, pullback = net.forward("net", ducks, "x", tape.whole(len(x)))
    assert isinstance(value, Duck)
    np.testing.assert_allclose(value.inner, wanted, rtol=0, atol=1e-14)
    found_signal = pullback(Duck(delta), Duck(weights))
    assert isinstance(found_signal, Duck)
    np.testing.assert_allclose(found_signal.inner, signal, rtol=0, atol=1e-14)
    found = {name: Duck(np.zeros_like(value)) for name, value in params.items()}
    for add in (False, True):
        for job in net.products("net", (params, found), "x", tape.whole(len(x)), add):
            job()
    for name in gradient:
        np.testing.assert_allclose(found[name].inner, 2 * gradient[name], rtol=0, atol=1e-13)
    assert Net((2, 1)).bias("n", {"n/0/bias": found}) is found


def test_the_gaussian_conditional_takes_any_array_type() -> None:
    gaussian = CONDITIONALS["gaussian"]
    results = []
    for kind in (np.asarray, Duck):
        field, bias = (kind(x.copy()) for x in checks.head_of("gaussian", 6, 3))
        state, offset, out = (kind(np.zeros((6, n))) for n in (3, 3, 6))
        gaussian.sample((field, bias), (1, 2, 3), np.arange(6), state, offset)
        gaussian.path(kind(np.full((6, 3), 0.5)), offset, out)
        mean = gaussian.mean(field, bias)
        found = [state.copy(), offset, out, mean]
        for given in (state, state[:2]):
            again, log_density = field.copy(), kind(np.zeros(6))
            gaussian.score(again, bias, given, log_density)
            found += [again, log_density]
        assert all(isinstance(x, Duck) == (kind is Duck) for x in found)
        results.append([bare(x) for x in found])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)
