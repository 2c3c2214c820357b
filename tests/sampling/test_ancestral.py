"""Catches samples of Helmholtz machines, dreams included, of another law over the layers, and bad input taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import directed_laws as laws
from checks.directed import machine_of

import boltz
from boltz.errors import InputError, NumericalError


def test_samples_and_dreams_follow_the_law_of_the_net() -> None:
    laws.check_ancestral_law()


def test_samples_and_dreams_of_gaussian_layers_follow_their_law() -> None:
    laws.check_smooth_ancestral_law()


def test_samples_of_belief_nets_follow_their_law() -> None:
    laws.check_belief_net_law()


def test_visible_means_given_the_layer_above() -> None:
    laws.check_visible_means()


KINDS = pytest.mark.parametrize("layers", ["3b 2b 2b", "3g 2g 1g", "3b 2b 2b rbm"])


@KINDS
def test_states_of_all_layers_in_the_type_of_the_machine(layers: str) -> None:
    machine = machine_of(layers).astype(np.float32)
    state = boltz.sample(machine, 5, sweeps=2 if layers.endswith("rbm") else None)
    assert {name: x.shape for name, x in state.items()} == {name: (5, n) for name, n in machine.units.items()}
    assert list(state) == [layer.name for layer in machine.layers]
    assert all(x.dtype == np.float32 for x in state.values())


@KINDS
def test_samples_depend_on_the_seed_and_not_on_threads_or_their_number(layers: str) -> None:
    machine, before, sweeps = machine_of(layers), boltz.threads(), 5 if layers.endswith("rbm") else None
    wanted = boltz.sample(machine, 500, sweeps, seed=6)
    try:
        boltz.threads(3)
        found = boltz.sample(machine, 500, sweeps, seed=6)
    finally:
        boltz.threads(before)
    assert all((found[name] == x).all() for name, x in wanted.items())
    fewer = boltz.sample(machine, 130, sweeps, seed=6)
    assert all((fewer[name] == x[:130]).all() for name, x in wanted.items())
    other = boltz.sample(machine, 500, sweeps, seed=7)
    assert all((other[name] != x).any() for name, x in wanted.items())


def test_sweeps_belong_to_an_rbm_prior() -> None:
    machine = machine_of("3b 2b 2b rbm")
    one, two = (boltz.sample(machine, 200, sweeps=n, seed=1) for n in (1, 2))
    assert any((one[name] != two[name]).any() for name in one)
    default, long = boltz.sample(machine, 50, seed=1), boltz.sample(machine, 50, sweeps=1000, seed=1)
    assert all((default[name] == long[name]).all() for name in long)


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ("3b 2b", {"sweeps": 10}, "samples of this machine are exact without them"),
        ("3b 2g", {"start": {"v": np.zeros((1, 3))}, "chains": 1}, "start belongs to the chains of a BoltzmannMachine"),
        ("3b 2b 2b rbm", {"start": {}}, "start belongs to the chains of a BoltzmannMachine"),
        ("3b 2b 2b rbm", {"sweeps": -1}, "sweeps must be a whole number of at least 0"),
        ("3b 2b", {"chains": 0}, "chains must be a whole number of at least 1"),
        ("3b 2b", {"chains": 2.0}, "chains must be a whole number"),
        ("3b 2b", {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_what_does_not_fit_is_refused(layers: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        boltz.sample(machine_of(layers), **options)


def test_what_is_no_machine_is_refused() -> None:
    with pytest.raises(InputError, match="model must be a BoltzmannMachine or a HelmholtzMachine, got dict"):
        boltz.sample({})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("layers", "large"), [("3g 2g", 3e38), ("3b 2g", np.inf), ("3b 2b", np.inf)])
def test_overflow_is_an_error_and_no_state(layers: str, large: float) -> None:
    machine = machine_of(layers).astype(np.float32)
    machine.params["generative/v/0/weight"][...] = large
    machine.params["generative/v/0/bias"][...] = large if np.isfinite(large) else -large
    with pytest.raises(NumericalError, match="layer v are not finite"):
        boltz.sample(machine, 300)
