"""Catches arrays in the wrong place, and no clear word where there is no CuPy, no GPU, or a mixture of both."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from support import emulated
from support.on_device import X, boltzmann, helmholtz
from support.training import plain_train

import boltz
from boltz import arrays


def test_arrays_move_there_and_back(cupy: Any) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = arrays.moved(x, "cuda")
    assert arrays.on_device(there) and arrays.device_of(there) == "cuda:0" and arrays.moved(there, "cuda:0") is there
    assert not arrays.on_device(x) and arrays.device_of(x) == "cpu" and arrays.moved(x, "cpu") is x
    np.testing.assert_array_equal(arrays.moved(there, "cpu"), x)
    np.testing.assert_array_equal(arrays.host(there), x)
    assert arrays.beside(x, x) is x and arrays.beside(there, there) is there
    assert arrays.on_device(arrays.beside(x, there)) and not arrays.on_device(arrays.beside(there, x))
    np.testing.assert_array_equal(arrays.numbers(3, 6, there).get(), [3, 4, 5])


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA", "cuda:1234", "", 0, None, "cuda:0 "])
def test_names_that_are_none(name: Any, cupy: Any) -> None:
    with pytest.raises(boltz.InputError, match=r"device must be cpu, cuda, or cuda:N with the number of a device, got"):
        boltzmann().to(name)


def test_a_device_that_is_not_there(cupy: Any) -> None:
    with pytest.raises(
        boltz.InputError, match="device cuda:1 does not exist: the last of the 1 CUDA devices is cuda:0"
    ):
        boltzmann().to("cuda:1")
    emulated.state.devices = 0
    with pytest.raises(boltz.InputError, match="device cuda needs an NVIDIA GPU and its driver, but none was found"):
        helmholtz("vae").to("cuda")


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert boltzmann().to("cpu").device == "cpu"
    with pytest.raises(boltz.InputError, match=r"device cuda needs CuPy: .* pip install '\.\[cuda\]'\.$"):
        boltzmann().to("cuda")


def test_data_go_to_the_machine_but_not_away_from_a_device(cupy: Any) -> None:
    model, there = boltzmann(), arrays.moved(X, "cuda")
    found = boltz.mean_field(model.to("cuda"), there)
    np.testing.assert_allclose(found["h1"], boltz.mean_field(model, X)["h1"], atol=1e-4)
    for call in (boltz.mean_field, boltz.log_likelihood, boltz.active_units):
        with pytest.raises(boltz.InputError, match="x must be a numpy array, got a CuPy array"):
            call(model, there)
    with pytest.raises(boltz.InputError, match=r"start\['v'\] must be a numpy array, got a CuPy array"):
        boltz.sample(model, 40, start={"v": there})
    with pytest.raises(boltz.InputError, match="x must be a numpy array, got a CuPy array"):
        plain_train(model, there)


def test_wrong_data_are_told_in_the_same_words_on_a_device(cupy: Any) -> None:
    model = boltzmann().to("cuda")
    for x, words in [(X[:, :3], "shape"), (X * 2, r"numbers in \[0, 1\]"), (X * np.nan, "got nan"), ("x", "array of")]:
        with pytest.raises(boltz.InputError, match=words):
            boltz.mean_field(model, x)
    with pytest.raises(boltz.InputError, match="must hold states of its units"):
        boltz.sample(model, 40, start={"v": X / 2})
