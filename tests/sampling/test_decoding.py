"""Visible means: would catch a layer left out of the way down, draws for means, and the units of the net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import quick_pieces as checks
from checks.directed import machine_of as directed_machine
from support.machines import machine_of

import boltz


def test_decoded_means_are_those_of_plain_products() -> None:
    checks.check_decoded_means()


def test_means_of_samples_are_those_given_their_hidden_states() -> None:
    checks.check_means_of_samples()


def test_means_average_to_the_mean_of_the_machine() -> None:
    """40,000 exact chains; alpha 1e-6; means have the mean of the states and less variance."""
    from oracles import enumeration
    from support import stats

    table, rows = checks.RBM, 40_000
    start = enumeration.draw(table, rows, seed=3)
    means = boltz.sample(machine_of(table), rows, 3, seed=10, start=start, means=True)["v"]
    mean = enumeration.moments(table)["layer/v/bias"]
    values = [stats.mean_test(means[:, i], m, m * (1 - m)) for i, m in enumerate(mean)]  # of states: at least as much
    stats.accept(stats.smallest_of(values), "means of samples have another mean than the machine")
    assert (means.var(axis=0) < mean * (1 - mean)).all()


@pytest.mark.parametrize("layers", ["3b 2b 2b", "3g 2g 4g", "3b 2b 4b rbm"])
def test_rows_do_not_depend_on_each_other_or_on_threads(layers: str) -> None:
    machine, before = directed_machine(layers).astype(np.float32), boltz.threads()
    z = np.random.default_rng(1).random((600, machine.layers[-1].units)).astype(np.float32)
    wanted = boltz.decode(machine, z)
    try:
        boltz.threads(3)
        np.testing.assert_array_equal(boltz.decode(machine, z), wanted)
    finally:
        boltz.threads(before)
    np.testing.assert_array_equal(boltz.decode(machine, z[:1]), wanted[:1])
    assert wanted.dtype == np.float32


def test_pictures_show_the_means_of_samples() -> None:
    """boltz sample --out x.png and sample(means=True) have one source."""
    from boltz.plotting.machines import layer_means

    for model in (machine_of(checks.DBM), directed_machine("3b 2b 2b")):
        plain = boltz.sample(model, 20, seed=4)
        shown = layer_means(model, "v", plain)
        assert shown.what == "means"
        np.testing.assert_array_equal(shown.values, boltz.sample(model, 20, seed=4, means=True)["v"])


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("directed", {"z": np.full((2, 2), 1.5)}, "z must hold numbers in"),
        ("directed", {"z": np.zeros((2, 3))}, "z must have shape"),
        ("directed", {"z": np.zeros((0, 2))}, "z must have at least one row"),
        ("directed", {"layer": "all"}, "layer must be one hidden layer"),
        ("directed", {"layer": "v"}, "layer must be top"),
        ("dbm", {"layer": 3}, "layer must be top, all, 1 to 2"),
    ],
)
def test_bad_arguments_are_named(model: str, change: dict[str, Any], words: str) -> None:
    machines = {"directed": directed_machine("3b 2b"), "dbm": machine_of(checks.DBM)}
    with pytest.raises(boltz.InputError, match=words):
        boltz.decode(**({"model": machines[model], "z": np.zeros((2, 2))} | change))
