"""Catches a Parzen window of a wrong density, bandwidth or sample, and one that does not say that it misleads."""

from __future__ import annotations

import numpy as np
import pytest
from checks import parzen

import boltz


def test_densities() -> None:
    parzen.check_densities()


def test_bandwidth() -> None:
    parzen.check_bandwidth()


def test_window() -> None:
    parzen.check_window()


def test_draws_with_labels() -> None:
    parzen.check_draws_with_labels()


def test_it_says_why_it_misleads() -> None:
    x = np.eye(4)
    found = boltz.parzen_window(boltz.vae([4, 3], 2), x, x, samples=20)
    assert "Theis" in str(found) and "no likelihood" in found._repr_html_() and "nats" in str(found)
    assert found.as_dict()["rows"] == 4 and found.as_dict()["why"] == found.why
    real = boltz.parzen_window(boltz.vae([4, 3], 2, x=100 * x, visible="gaussian"), 100 * x, 100 * x, samples=20)
    assert real.bandwidth > 5  # in the units of the data


def test_wrong_arguments() -> None:
    model, x = boltz.rbm(4, 2), np.eye(4)
    for words, wrong in (
        ("samples must be", {"samples": 0}),
        ("validation", {"validation": np.eye(3)}),
        ("x must have at least one row", {"x": x[:0]}),
    ):
        with pytest.raises(boltz.InputError, match=words):
            boltz.parzen_window(model, **({"x": x, "validation": x} | wrong))
    several = boltz.multimodal({"a": 2, "b": 2}, {"a": [2], "b": [2]}, 2)
    with pytest.raises(boltz.InputError, match="one visible layer"):
        boltz.parzen_window(several, x, x)
