"""Catches `diagnose` blind to a fault planted in a machine, or alarmed by a sound one; each check alone too."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from checks.chains import calm, rows_of, two_modes

import boltz
from boltz.diagnostics import mixing
from boltz.diagnostics import units as machine_health
from boltz.diagnostics.diagnose import diagnose
from boltz.diagnostics.findings import Diagnosis, Finding, graded
from boltz.diagnostics.traces import STATISTICS, record
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep, Scratch

CHAIN_CHECKS = [
    "mixing time",
    "agreement of chains",
    "effective draws",
    "initial condition",
    "free energy of particles",
    "visible activity",
]
UNIT_CHECKS = [
    "dead units",
    "duplicated units",
    "constant pixels",
    "changes in chains",
    "largest field",
    "weight norms",
]
TIMES = dict.fromkeys(STATISTICS, 2.0)


def dbn() -> boltz.HelmholtzMachine:
    """A deep belief net with weak random parameters, those of recognition as those of generation."""
    machine = boltz.dbn([6, 5, 4, 3], seed=1, dtype=np.float64)
    machine.arena[...] = np.random.default_rng(2).normal(0, 0.4, machine.arena.size)
    return machine


# ---------------------------------------------------------------- sound machines


@pytest.mark.parametrize("units", [(6, 5), (6, 5, 4), (6, 5, 4, 3)], ids=str)
def test_a_machine_that_mixes_is_fine(units: tuple[int, ...]) -> None:
    """Rows are samples of the machine itself; of all values that of the visible activity is nearest to its limit, 0.05.

    Each of its 6 differences has a standard deviation of at most 0.019 (800 rows, and chains that mix), so that their
    mean size is about 0.015 with a standard deviation of 0.005: a false alarm is 7 of those away.
    """
    machine = calm(*units)
    found = diagnose(machine, rows_of(machine, 800), sweeps=200, settings={"k": 1})
    assert [f.name for f in found.findings] == CHAIN_CHECKS + UNIT_CHECKS
    assert [f.name for f in found.findings if f.verdict != "fine"] == []
    assert all(f.sentence.endswith(".") and not f.advice for f in found.findings) and found.verdict == "fine"
    assert found.measures["start"] == "data" and found.measures["chains"] == 100
    assert set(found.measures["integrated_time"]) == set(STATISTICS)


def test_particles_at_equilibrium_are_fine_and_are_where_chains_start() -> None:
    machine = calm(6, 5)
    particles = boltz.sample(machine, 80, 50, seed=3)
    before = {n: x.copy() for n, x in particles.items()}
    found = diagnose(machine, rows_of(machine, 800), particles, 200)
    assert found.verdict == "fine" and found.measures["start"] == "the particles of the run"
    assert all((particles[n] == x).all() for n, x in before.items()), "the particles were changed"
    few = diagnose(machine, rows_of(machine), {n: x[:3] for n, x in particles.items()}, 200)
    assert few.measures["chains"] == 6


def test_results_depend_on_the_seed_alone() -> None:
    machine, before = calm(6, 5, 4), boltz.threads()
    arena, rows = machine.arena.tobytes(), rows_of(calm(6, 5), 50)
    found = diagnose(machine, rows, sweeps=40, seed=4).as_dict()
    try:
        boltz.threads(3)
        assert diagnose(machine, rows, sweeps=40, seed=4).as_dict() == found
    finally:
        boltz.threads(before)
    assert diagnose(machine, rows, sweeps=40, seed=5).as_dict() != found
    assert machine.arena.tobytes() == arena


# ---------------------------------------------------------------- planted faults


def test_a_mode_that_gibbs_never_leaves_is_bad() -> None:
    """All units on, or all off, and exp(-32) from one to the other; the data are in one mode, or one row in each."""
    one = diagnose(two_modes(), np.ones((30, 8)), sweeps=60)
    start = one.finding("initial condition")
    assert start.verdict == one.verdict == "bad" and "modes that Gibbs sampling does not leave" in start.advice
    assert one.finding("changes in chains").value == 1
    both = diagnose(two_modes(), np.repeat([[0.0], [1.0]], 8, axis=1), sweeps=60, settings={"k": 1})
    assert both.finding("agreement of chains").verdict == "bad"
    assert both.finding("effective draws").value < 60
    time = both.finding("mixing time")
    assert time.value == np.inf and time.verdict == "attention" and "run longer" in time.advice


def test_particles_far_from_data_are_bad() -> None:
    machine = calm(6, 5)
    machine.bias("v")[...] += 2.0
    particles = {"v": np.zeros((20, 6)), "h1": np.zeros((20, 5))}
    gap = diagnose(machine, rows_of(machine), particles, 40).finding("free energy of particles")
    rows = machine.free_energy(rows_of(machine))
    wanted = (machine.free_energy(particles["v"]).mean() - rows.mean()) / rows.std()
    assert gap.verdict == "bad" and abs(gap.value - wanted) < 1e-9 and "above" in gap.sentence
    assert diagnose(machine, np.zeros((40, 6)), sweeps=40).finding("visible activity").verdict == "bad"


def test_planted_units_of_a_deep_machine_are_found() -> None:
    machine = calm(6, 5, 4)
    machine.bias("h2")[1] = -40.0
    rows = rows_of(calm(6, 5))
    lower, upper = machine.params["edge/v-h1/weight"], machine.params["edge/h1-h2/weight"]
    lower[:, 2] = 1.0, -2.0, 1.5, 0.5, -1.0, 2.0
    lower[:, 4], upper[4], machine.bias("h1")[4] = lower[:, 2], upper[2], machine.bias("h1")[2]
    found = diagnose(machine, rows, sweeps=40)
    assert found.finding("dead units").sentence.startswith("1 of 4 units of h2 are never on (unit 1)")
    assert "1 of 5 units of h1 repeat another (2 = 4)" in found.finding("duplicated units").sentence
    upper[4] = -upper[2]  # what the unit says upwards counts
    assert diagnose(machine, rows, sweeps=40).finding("duplicated units").value == 0


def test_units_dead_on_data_alone_are_not_dead() -> None:
    low, half = np.array([0.0, 0.5]), np.array([0.5, 0.5])
    assert machine_health.dead_units({"h1": (low, half)}).value == 0
    assert machine_health.dead_units({"h1": (1 - low, low)}).value == 0
    found = machine_health.dead_units({"h1": (half, half), "h2": (1 - low, 1 - low)})
    assert found.value == 1 and "1 of 2 units of h2 are always on (unit 0)" in found.sentence
    many = machine_health.dead_units({"h1": (np.r_[np.zeros(1), np.full(19, 0.5)],) * 2})
    assert (many.verdict, found.verdict) == ("attention", "bad")


def test_units_with_equal_weights_that_never_vary_are_no_duplicates() -> None:
    machine = calm(6, 5)
    machine.params["edge/v-h1/weight"][...] = 0
    machine.bias("h1")[...] = 1
    means = boltz.mean_field(machine, rows_of(machine, 50))
    assert machine_health.duplicated_units(machine, means).value == 0


def test_fields_and_norms_out_of_proportion() -> None:
    machine = calm(6, 5)
    state = {"v": np.ones((2, 6)), "h1": np.ones((2, 5))}
    assert machine_health.largest_field(machine, state).verdict == "fine"
    assert machine_health.weight_norms(machine).verdict == "fine"
    machine.params["edge/v-h1/weight"][:, 3] = 50.0
    field, norms = machine_health.largest_field(machine, state), machine_health.weight_norms(machine)
    assert (field.verdict, norms.verdict) == ("attention", "bad")
    assert abs(field.value - (300 + machine.bias("h1")[3])) < 1e-9 and "unit 3" in norms.sentence
    machine.params["edge/v-h1/weight"][...] = 0
    assert machine_health.weight_norms(machine).value == 1


@pytest.mark.parametrize(
    ("time", "k", "verdict"),
    [(2.0, 1, "fine"), (15.0, 1, "attention"), (15.0, 5, "fine"), (150.0, 1, "bad"), (150.0, None, "fine")],
)
def test_mixing_time_is_judged_by_k(time: float, k: int | None, verdict: str) -> None:
    found = mixing.mixing_time(TIMES | {"free energy": time}, k, (50, 10_000))
    assert (found.verdict, found.value) == (verdict, time) and bool(found.advice) == (verdict != "fine")
    assert k is None or f"k = {k} sweep" in found.sentence


def test_a_mixing_time_beyond_the_run_is_never_fine() -> None:
    for k, verdict in ((None, "attention"), (100, "attention"), (1, "attention")):
        found = mixing.mixing_time(TIMES | {"projection 2": np.inf}, k, (50, 1000))
        assert found.verdict == verdict and "more than 100 sweeps" in found.sentence and "--sweeps" in found.advice
    assert mixing.mixing_time(TIMES | {"projection 2": np.inf}, 1, (50, 2000)).verdict == "bad"


def test_data_without_spread_make_no_traceback() -> None:
    same = mixing.energy_gap(np.zeros(3), np.zeros(2), "chains")
    apart = mixing.energy_gap(np.zeros(3), np.ones(2), "chains")
    assert (same.verdict, same.value, apart.verdict, apart.value) == ("fine", 0.0, "bad", np.inf)
    assert apart.as_dict()["value"] is None
    assert diagnose(calm(6, 5), np.zeros((1, 6)), sweeps=20).findings


# ---------------------------------------------------------------- directed machines


def test_units_of_directed_machines() -> None:
    net = boltz.sbn([6, 5, 4], seed=1)
    for name in ("recognition/h1/0", "generative/h1/0"):
        net.params[f"{name}/weight"][:, 2], net.params[f"{name}/bias"][2] = 0, -40
    rows = rows_of(calm(6, 5), 100)
    found, active = diagnose(net, rows), boltz.active_units(net, rows)
    assert [f.name for f in found.findings] == ["dead units", "inactive units"]
    assert "1 of 5 units of h1 are never on (unit 2)" in found.finding("dead units").sentence
    shown = found.finding("inactive units")
    assert shown.value == 9 - sum(active.values()) and shown.value > 0
    assert shown.sentence.startswith(f"{active['h1']} of 5 units of h1 and {active['h2']} of 4 units of h2 are active")
    vae = boltz.vae([6, 8], 3, seed=1)
    vae.params["recognition/h1/1/weight"][:, 1] = 0
    found = diagnose(vae, rows)
    assert [f.name for f in found.findings] == ["inactive units"] and "2 of 3 units" in found.findings[0].sentence
    assert found.findings[0].verdict == "attention" and found.findings[0].value == 1


def test_a_deep_belief_net_is_judged_by_its_top_and_its_units() -> None:
    machine = dbn()
    rows = boltz.sample(machine, 300, 50)["v"]
    for name in ("recognition/h1/0", "generative/h1/0"):
        machine.params[f"{name}/weight"][:, 3], machine.params[f"{name}/bias"][3] = 0, -40
    top = boltz.sample(machine.prior_machine, 30, 20)
    found = diagnose(machine, rows, top, 100, settings={"k": 2, "epochs": 1, "pretrain_k": 1})
    assert [f.name for f in found.findings] == [*CHAIN_CHECKS, *UNIT_CHECKS, "inactive units"]
    assert "1 of 5 units of h1 are never on (unit 3)" in found.finding("dead units").sentence
    assert "units of h2" in found.finding("constant pixels").sentence
    assert (found.measures["k"], found.measures["chains"]) == (2, 60)
    machine.prior_machine.bias("h1")[0] = 40
    found = diagnose(machine, rows, top, 100, settings={"k": 2, "epochs": 0, "pretrain_k": 1})
    assert "1 of 3 units of h3 are always on (unit 0)" in found.finding("dead units").sentence
    assert found.measures["k"] == 1


# ---------------------------------------------------------------- the record


def test_recorded_chains_are_gibbs_chains() -> None:
    """The same states, bit by bit, as the transition whose invariance is tested elsewhere."""
    machine, key = calm(6, 5, 4, 3), Key(5, 6)
    start = boltz.sample(machine, 40, 3)
    seen = record(machine, start, 7, key)
    state, scratch = {n: x.copy() for n, x in start.items()}, Scratch(machine.arena)
    transition, changes = GibbsSweep(machine, key, flipped=True), np.zeros((40, 7), int)
    for step in range(7):
        held = {n: state[n].copy() for n in machine.graph.colours[0]}
        np.testing.assert_allclose(seen.statistics[0, :, step], machine.free_energy(held), rtol=1e-9)
        transition.sweep(state, step, 0, scratch)
        changes[:, step] = sum((state[n] != x).sum(axis=1) for n, x in held.items())
    assert all((seen.state[n] == x).all() for n, x in state.items()) and (seen.changes == changes).all()
    means = machine.unit_type("v").mean(machine.field("v", {"h1": state["h1"]}))
    along, residual, rank, _ = np.linalg.lstsq(means, seen.statistics[1:, :, -1].T, rcond=None)
    assert rank == 6 and residual.max() < 1e-18 and np.linalg.matrix_rank(along) == 3
    spent = np.abs(seen.activity["h2"].mean(axis=0) - 0.5).max()
    assert spent < 0.5 and seen.activity["h2"].shape == (40, 4)


# ---------------------------------------------------------------- what a diagnosis is


def test_a_diagnosis_is_extended_and_plain() -> None:
    found = Diagnosis((Finding("one", "fine", 1.0, "Fine."),), {"a": 1})
    more = found.extended(Finding("two", "bad", np.inf, "Bad.", "mend it."), b=[np.nan, np.float32(2)])
    assert found.verdict == "fine" and more.verdict == "bad" and len(found.findings) == 1
    plain = json.loads(json.dumps(more.as_dict(), allow_nan=False))
    assert plain["findings"][1]["value"] is None and plain["measures"] == {"a": 1, "b": [None, 2.0]}
    assert more.finding("two").advice == "mend it." and Diagnosis().verdict == "fine"
    with pytest.raises(boltz.InputError):
        more.finding("three")
    with pytest.raises(boltz.InputError, match=r"^verdict must be one of"):
        Finding("x", "good", 0.0, "")  # type: ignore[arg-type]


def test_grades() -> None:
    assert [graded(v, 1, 2) for v in (1, 1.5, 2, 2.1, np.inf, np.nan)] == [
        "fine",
        "attention",
        "attention",
        "bad",
        "bad",
        "bad",
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"sweeps": 5}, "^sweeps must be a whole number of at least 20"),
    ({"seed": -1}, "^seed must be"),
    ({"x": np.zeros((2, 5))}, "^x must have shape"),
    ({"settings": 3}, "^settings must map names"),
    ({"settings": {"k": 0}}, r"^settings\['k'\] must be"),
    ({"particles": {"v": np.zeros((2, 6))}}, "^particles must hold layer h1"),
    ({"particles": {"v": np.zeros((2, 6)), "h1": np.full((2, 5), 0.5)}}, r"^particles\['h1'\] must hold states"),
    ({"particles": {"v": np.zeros((0, 6)), "h1": np.zeros((0, 5))}}, r"^particles\['v'\] must have at least one row"),
    ({"particles": np.zeros((2, 6))}, "^particles must map layers"),
    ({"model": None}, "^model must be"),
    ({"model": boltz.vae([6, 3], 2), "particles": {"v": np.zeros((2, 6))}}, "^particles must be None"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_bad_arguments_are_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(boltz.InputError, match=words):
        diagnose(**{"model": calm(6, 5), "x": np.zeros((4, 6)), **changes})


def test_an_overflow_is_said_in_a_sentence() -> None:
    machine = boltz.from_arrays([np.full((6, 5), 3e38, np.float32)], [np.zeros(6, np.float32), np.zeros(5, np.float32)])
    with pytest.raises(boltz.NumericalError, match="too large"):
        diagnose(machine, np.ones((4, 6)), sweeps=20)
