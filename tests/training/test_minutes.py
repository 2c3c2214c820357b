"""Catches a plan that takes longer than its minutes, gets shorter with more of them, or hides that they are too few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_minutes as checks
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.training import curves, minutes, pacing
from boltz.training.pacing import Cost, Pace

RNG = np.random.default_rng(3)
ROWS = (RNG.random((400, 8)) < 0.3).astype(np.float32)
TINY: dict[str, Any] = {"snapshots": 4, "chains": 10, "batch_size": 20}


def test_plans_fit_their_time() -> None:
    checks.check_plans_fit()


def test_more_minutes_are_no_fewer_epochs() -> None:
    checks.check_monotone()


def test_too_few_minutes_say_how_many_suffice() -> None:
    checks.check_too_few()


def test_a_run_that_is_slower_than_planned_is_shortened() -> None:
    checks.check_planned_anew()


def test_a_run_planned_anew_goes_on_with_the_same_bits() -> None:
    checks.check_resumed()


def test_long_plans_hold_rows_out() -> None:
    checks.check_held_out()


def test_curves_are_read() -> None:
    checks.check_curves()


def test_costs_count_what_a_stage_does() -> None:
    checks.check_costs()


def test_the_trial_leaves_the_machine_alone() -> None:
    checks.check_trial()


@pytest.mark.parametrize("kind", ["rbm", "dbm", "dbn", "sbn", "vae"])
def test_every_kind_is_trained_by_minutes(kind: str) -> None:
    made: dict[str, Callable[[], Any]] = {
        "rbm": lambda: boltz.rbm(8, 5, ROWS),
        "dbm": lambda: boltz.dbm([8, 5, 3], ROWS),
        "dbn": lambda: boltz.dbn([8, 5, 3], ROWS),
        "sbn": lambda: boltz.sbn([8, 5, 3], x=ROWS),
        "vae": lambda: boltz.vae([8, 5], 2, ROWS),
    }
    run = boltz.train(made[kind](), ROWS, minutes=0.08)
    assert run.plan is not None and run.seconds is not None
    assert run.history and any(note.startswith("Planned 0.08 minutes and ") for note in run.notes)
    stages = {stage.name for stage in run.plan.stages if stage.epochs}
    assert stages == {record["stage"] for record in run.history}


def test_a_plan_is_shown_and_taken() -> None:
    plan = boltz.plan_training(boltz.rbm(8, 5, ROWS), ROWS, 0.02)
    assert str(plan).startswith("Plan: ") and "epochs of batches of" in str(plan) and "Plan(" in repr(plan)
    assert plan.as_dict()["minutes"] == 0.02 and plan.expected is None
    run = boltz.train(boltz.rbm(8, 5, ROWS), ROWS, minutes=plan)
    assert run.settings == plan.settings
    with pytest.raises(InputError, match=r"^minutes is a plan, which has all settings, so name no k beside it.$"):
        boltz.train(boltz.rbm(8, 5, ROWS), ROWS, minutes=plan, k=2)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "2", True, [1], 10**9])
def test_bad_minutes_are_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^minutes must be "):
        boltz.train(boltz.rbm(8, 5), ROWS, minutes=value)
    with pytest.raises(InputError, match=r"^minutes must be "):
        boltz.plan_training(boltz.rbm(8, 5), ROWS, value)


def test_minutes_go_with_no_epochs_but_none() -> None:
    with pytest.raises(InputError, match=r"^minutes choose epochs, so name one of both; epochs=0 leaves"):
        boltz.train(boltz.rbm(8, 5), ROWS, minutes=1, epochs=3)
    with pytest.raises(InputError, match=r"^minutes choose pretrain_epochs, so name"):
        boltz.train(boltz.dbm([8, 5, 3]), ROWS, minutes=1, pretrain_epochs=(3, 0))
    plan = boltz.plan_training(boltz.dbm([8, 5, 3]), ROWS, 0.05, pretrain_epochs=0)
    assert [stage.name for stage in plan.stages] == ["joint"] and plan.settings.batch_size == 10
    with pytest.raises(InputError, match=r"^minutes choose epochs, but all stages are left out"):
        boltz.plan_training(boltz.rbm(8, 5), ROWS, 0.05, epochs=0)


def test_settings_that_are_named_stay() -> None:
    named = {"batch_size": 40, "schedule": "linear", "k": 2, "patience": 0, "validation": 0.0}
    plan = boltz.plan_training(boltz.rbm(8, 5), ROWS, 0.05, **named)
    assert {name: plan.settings.as_dict()[name] for name in named} == named


def test_a_plan_that_holds_rows_out_takes_no_others() -> None:
    plan = boltz.plan_training(boltz.rbm(8, 5), ROWS, 0.05)
    assert plan.settings.validation > 0
    with pytest.raises(InputError, match=r"^minutes is a plan that holds out some of the rows"):
        boltz.train(boltz.rbm(8, 5), ROWS, held_out=ROWS, minutes=plan)


def test_a_run_without_minutes_has_no_plan(tmp_path: Path) -> None:
    run = plain_train(boltz.rbm(8, 5, ROWS), ROWS, tmp_path / "r", epochs=2, **TINY)
    assert run.plan is None and run.seconds is None
    assert not any(note.startswith("Planned") for note in run.notes)


def test_a_checkpoint_with_other_epochs_is_refused() -> None:
    checks.check_damaged()


def test_the_loading_that_counts_is_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(minutes, "CLOCK", lambda: now[0])
    watch = minutes.Stopwatch()
    now[0] = 50.0
    assert watch.loaded(60.0) == 6.0
    now[0] += 10
    assert watch.seconds == 16.0


def test_stages_keep_their_ratio() -> None:
    checks.check_scaled()


def test_the_longest_is_found_where_costs_fall() -> None:
    costs = {1: 1.0, 2: 5.0, 3: 4.0, 4: 9.0}
    assert pacing.longest_within(4.5, float, costs.__getitem__, 4) == 3
    assert pacing.longest_within(0.5, float, costs.__getitem__, 4) == 0


def test_averaged_epochs_are_not_planned_anew() -> None:
    cost = Cost(Pace(0, 1), 1, averaged=0.2)
    assert cost.least(8) == 10 and Cost(Pace(0, 1), 1).least(8) == 9
    assert pacing.replanned([10, 10], (0, 8), [cost, cost], 1.0, 0.0) == [10, 1]


def test_every_curve_is_whole() -> None:
    for curve in curves._curves():
        epochs = [point[0] for point in curve["points"]]
        assert epochs == sorted(set(epochs)) and len(epochs) > 2
        assert all(-1000 < point[1] < 0 for point in curve["points"]) and curve["command"]
