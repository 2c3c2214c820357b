"""Catches a command that is given minutes and says no plan, keeps none, or takes what goes with no minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke, result_of

import boltz
from boltz.data.from_arrays import as_data
from boltz.evaluation import closing
from boltz.evaluation.log_z import Annealing
from boltz.storage import run_folder
from boltz.training import curves
from boltz.training.minutes import compared, used

FAST = ("--layers", "3", "--chains", "10", "--batch-size", "20")


@pytest.fixture(autouse=True)
def no_time_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not painted here."""
    monkeypatch.setattr(closing, "PICTURES", 0.3)


def test_a_run_in_minutes_says_and_keeps_its_plan(data: Path) -> None:
    found = invoke("train", "rbm", *FAST, "--minutes", 0.1, "--data", data, "--out", "r", "--json")
    assert found.exit_code == 0, found.stderr
    assert "Plan: " in found.stderr and " epochs of batches of 20, about " in found.stderr
    assert "\nPlanned 0.1 minutes and " in found.stderr
    plan = json.loads(found.stdout)["plan"]
    assert plan["minutes"] == 0.1 and plan["used_minutes"] > 0 and plan["expected"] is None
    assert plan["log_likelihood"] == json.loads(found.stdout)["test"]["log_likelihood"]["value"]
    assert json.loads(Path("r/test.json").read_text(encoding="utf-8"))["plan"] == plan
    kept = run_folder.read_settings("r")
    assert kept["plan"]["minutes"] == 0.1 and kept["settings"]["epochs"] == plan["stages"][0]["epochs"]
    assert invoke("train", "--resume", "r").exit_code == 0


@pytest.mark.parametrize(("model", "layers"), [("dbm", "4,3"), ("vae", "4")])
def test_every_machine_takes_minutes(data: Path, model: str, layers: str) -> None:
    found = result_of(
        "train", model, "--layers", layers, "--minutes", 0.1, "--data", data, "--out", "r", "--no-evaluate"
    )
    assert found["plan"]["log_likelihood"] is None and found["epochs"] > 0
    assert all(stage["epochs"] for stage in found["plan"]["stages"] if stage["name"] != "up-down")


REFUSED: list[tuple[tuple[object, ...], str]] = [
    (("rbm", "--minutes", 1, "--epochs", 3), "--minutes chooses --epochs, so name one of both; --epochs 0 leaves"),
    (("dbm", "--minutes", 1, "--pretrain-epochs", "3,0"), "--minutes chooses --pretrain-epochs, so name one of both"),
    (("vae", "--minutes", 1, "--recipe", "vae-1l"), "--minutes says how long the training is, and so does the recipe"),
    (("rbm", "--minutes", 0), "--minutes must be a finite number in [1e-06, 525600]"),
    (("rbm", "--minutes", "nan"), "--minutes must be a finite number in [1e-06, 525600]"),
    (("rbm", "--minutes", "soon"), "'soon' is not a valid float"),
    (("--resume", "r", "--minutes", 1), "takes no --minutes"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_what_goes_with_no_minutes_is_refused(data: Path, words: tuple[object, ...], told: str) -> None:
    where = () if words[0] == "--resume" else ("--data", data, "--out", "w")
    found = invoke("train", *words, *where)
    assert found.exit_code == 2 and told in " ".join(found.stderr.split()), found.stderr
    assert not Path("w").exists()


def test_too_few_minutes_are_refused_with_those_that_suffice(data: Path) -> None:
    found = invoke("train", "rbm", *FAST, "--minutes", 0.0001, "--data", data, "--out", "w")
    assert found.exit_code == 2 and "minutes must be at least 0.0" in found.stderr and "got 0.0001" in found.stderr
    assert not Path("w").exists()


def test_named_options_stay(data: Path) -> None:
    words = ("--schedule", "linear", "--pretrain-epochs", 0, "--betas", 30, "--layers", "4,3", "--batch-size", 30)
    found = result_of("train", "dbm", *words, "--minutes", 0.1, "--data", data, "--out", "r", "--k", 2)
    kept = run_folder.read_settings("r")
    assert [stage["name"] for stage in found["plan"]["stages"]] == ["joint"]
    assert (kept["settings"]["schedule"], kept["settings"]["batch_size"], kept["settings"]["k"]) == ("linear", 30, 2)
    assert kept["evaluation"]["betas"] == 30


class Clock:
    """A clock by which each look takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_annealing_gets_what_the_time_affords(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a made time of a hundredth of a second a temperature; what is named stays, and machines may be enumerated."""
    monkeypatch.setattr(closing, "_temperature", lambda machine, annealing: (0.01, 0.0, None))
    monkeypatch.setattr(closing, "CLOCK", Clock())
    x = (np.random.default_rng(1).random((50, 30)) < 0.5).astype(np.uint8)
    model = boltz.rbm(30, 25)
    rows = as_data(x, "x", model.layers[0])
    none: dict[str, Any] = {"wanted": True, "annealing": Annealing(), "samples": 0, "rows": 0}
    usual = closing.closing(model, rows, "none", closing.Asked(**none, named=False), 6000.0)
    assert usual.annealing.betas == "sm2008" and usual.seconds == pytest.approx(0.1 + 10 + 1.15 * 145)
    fewer = closing.closing(model, rows, "none", closing.Asked(**none, named=False), 100.0)
    assert fewer.annealing.betas == "adaptive:1730" and fewer.seconds == pytest.approx(30, abs=0.02)
    named = closing.closing(model, rows, "none", closing.Asked(**none, named=True), 100.0)
    assert named == usual
    least = closing.closing(model, rows, "none", closing.Asked(**none, named=False), 1.0)
    assert least.annealing.betas == f"adaptive:{closing.LEAST_STEPS}"
    nothing = closing.closing(model, rows, "none", closing.Asked(False, Annealing(), 0, 5, False), 1.0)
    assert nothing.seconds == pytest.approx(0.1)


def test_what_was_expected_is_set_beside_what_came() -> None:
    settings = boltz.Settings(epochs=3)
    expected = curves.Expected(-90.04, 0.5, "mnist-mini")
    plan = boltz.Plan(2.0, settings, (), 100.0, 10.0, (), expected)
    estimate: dict[str, Any] = {"value": -89.96}
    found = compared(plan, 117.0, estimate)
    assert found["used_minutes"] == 1.95 and found["log_likelihood"] == -89.96
    assert found["expected"] == {"value": -90.04, "error": 0.5, "data": "mnist-mini"}
    said = "Planned 2 minutes and 0 epochs, used 1.95 and 3"
    assert used(plan, 117.0, 3, -89.96) == f"{said}; expected -90.0 nats a row, had -90.0."
    assert used(plan, 117.0, 3) == f"{said}."
    assert "-90.0 nats a test row, give or take 0.5" in str(expected)
