"""Observables: would catch wrong averages and errors (tests/checks/observables.py), bad input, and words that lie."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from checks import observables as checks
from oracles import ising

import boltz

LATTICE = boltz.ising(boltz.lattice((8, 8), 1.0), dtype=np.float32)
FOUND = boltz.observables(LATTICE, [2.0, 3.0], copies=8, rounds=60, seed=1)


def test_two_states_are_bennetts_ratio() -> None:
    checks.check_two_states_are_bennetts_ratio()


def test_reweighting_is_right_and_knows_its_error() -> None:
    checks.check_reweighting_is_right_and_knows_its_error()


def test_influences_foretell_a_copy_left_out() -> None:
    checks.check_influences_foretell_a_copy_left_out()


def test_observables() -> None:
    checks.check_observables()


def test_log_z_from_both_ends() -> None:
    checks.check_log_z_from_both_ends()


def test_both_ends_contradict() -> None:
    checks.check_both_ends_contradict()


def test_agreed_states() -> None:
    checks.check_agreed_states()


def test_ladders_beyond() -> None:
    checks.check_ladders_beyond()


def test_wide_gaps_get_their_rungs_at_once() -> None:
    checks.check_wide_gaps_get_their_rungs_at_once()


def test_cluster_flips_keep_the_law() -> None:
    checks.check_cluster_flips_keep_the_law()


def test_which_machines_turn_clusters() -> None:
    checks.check_which_machines_turn_clusters()


def test_a_critical_lattice_is_that_of_kaufman() -> None:
    """16 x 16 at three couplings, within 5 errors (3e-4 in all with 16 copies), and to 0.15 nats."""
    betas = [0.3, 0.4407, 0.6]
    model = boltz.ising(boltz.lattice((16, 16), 1.0), dtype=np.float32)
    found = boltz.observables(model, [1 / beta for beta in betas], copies=16, rounds=200)
    assert found.trusted and found.times["energy"].max() < 20
    for t, beta in enumerate(betas):
        for name, oracle in (("log_z", ising.kaufman_log_z), ("energy", ising.kaufman_energy)):
            value, error = getattr(found, name)[t], found.errors[name][t]
            assert abs(value - oracle(16, 16, beta)) < 5 * error
        assert found.errors["log_z"][t] < 0.15


def test_an_rbm_and_hidden_layers_count() -> None:
    """Layers of two sides: log Z at T = 1 is the enumerated one."""
    model = boltz.rbm(5, 4, initial_scale=1.0, seed=3, dtype=np.float64)
    found = boltz.observables(model, [1.0, 2.0], copies=16, rounds=200)
    assert found.units == 9
    assert abs(found.log_z[0] - boltz.exact_log_z(model).value) < 6 * found.errors["log_z"][0]


def test_same_seed_same_numbers_whatever_the_threads() -> None:
    before = boltz.threads()
    boltz.threads(2)
    try:
        again = boltz.observables(LATTICE, [2.0, 3.0], copies=8, rounds=60, seed=1)
    finally:
        boltz.threads(before)
    assert np.array_equal(again.energy, FOUND.energy) and np.array_equal(again.log_z, FOUND.log_z)
    other = boltz.observables(LATTICE, [2.0, 3.0], copies=8, rounds=60, seed=2)
    assert not np.array_equal(other.energy, FOUND.energy)


def test_what_it_says() -> None:
    plain = json.loads(json.dumps(FOUND.as_dict()))
    assert plain["trusted"] is FOUND.trusted and len(plain["errors"]["binder"]) == 2
    text = str(FOUND)
    assert text.splitlines()[0].split()[0] == "T" and len(text.splitlines()) == 4 and "8 copies" in text
    assert "<table>" in FOUND._repr_html_() and "2 temperatures from 2 to 3" in repr(FOUND)
    low, high = FOUND.interval("energy").T
    assert (low < FOUND.energy).all() and (FOUND.energy < high).all()
    doubtful = replace(FOUND, doubts=("it rained",))
    assert "NOT trusted, since it rained" in str(doubtful) and not doubtful.trusted
    with pytest.raises(boltz.InputError, match=r"^name must be one of"):
        FOUND.interval("colour")


def test_a_frozen_glass_is_not_trusted() -> None:
    """Couplings that no chain crosses in so few rounds: some doubt must speak."""
    rng = np.random.default_rng(0)
    couplings = np.triu(rng.normal(0, 1, (40, 40)), 1)
    found = boltz.observables(boltz.ising(couplings + couplings.T), [0.2], copies=8, rounds=30)
    assert not found.trusted


def test_a_state_without_magnetisation_has_no_binder_cumulant() -> None:
    """An antiferromagnet that is frozen: what is far from 1 is told in few digits."""
    found = boltz.observables(boltz.ising(boltz.lattice((4, 4), -1.0)), [0.05], copies=8, rounds=60)
    assert found.energy[0] == pytest.approx(-32) and max(map(len, str(found).split())) < 20
    assert abs(found.log_z[0] - 640 - np.log(2)) < 6 * found.errors["log_z"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperatures": []}, "temperatures must name at least one"),
        ({"temperatures": [0.0]}, r"temperatures\[0\] must be"),
        ({"temperatures": [1.0, float("nan")]}, r"temperatures\[1\] must be"),
        ({"temperatures": 2.0}, "temperatures must be a sequence"),
        ({"copies": 1}, "copies must be"),
        ({"rounds": 3}, "rounds must be"),
        ({"model": boltz.rbm(3, 2, units="gaussian")}, "model must have units of two states, or categorical"),
        ({"model": boltz.rbm(3, 2, units=("categorical", 3))}, "model must have units of two states, or categorical"),
    ],
)
def test_bad_input(options: dict[str, object], message: str) -> None:
    with pytest.raises(boltz.InputError, match=f"^{message}"):
        boltz.observables(**({"model": LATTICE, "temperatures": [1.0]} | options))  # type: ignore[arg-type]
