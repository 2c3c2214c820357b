"""Catches a recipe that is not the published settings, or that --stages and other options do not change as they say."""

from __future__ import annotations

import json
import math
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

import boltz
from boltz.cli.machines import MACHINES
from boltz.cli.options import chosen
from boltz.presets import recipe_names
from boltz.storage import metrics, run_folder
from boltz.training.pretraining import stages
from boltz.training.schedules import learning_rate, momentum

DEEP, STAGED = "dbm-2009", "dbm-2013"
NAMES = ["iwae-1l", "iwae-2l", "vae-1l", "vae-2l"]
SIZE = ("--layers", "6", "--latent", 2, "--samples", 2, "--no-evaluate")


def test_the_recipes_of_burda_grosse_and_salakhutdinov() -> None:
    assert recipe_names() == [DEEP, STAGED, *NAMES]
    for name in NAMES:
        recipe = boltz.recipe(name)
        assert (recipe.model, recipe.data, recipe.limit, recipe.stages) == ("vae", "mnist", 59600, 8)
        values = chosen({}, "vae", recipe.options)
        deep = name.endswith("2l")
        assert values["layers"] == (((200, 200), (100, 100)) if deep else ((200, 200),))
        assert values["latent"] == ((100, 50) if deep else (50,)) and values["activation"] == "tanh"
        settings = MACHINES["vae"].settings_from(values)
        assert (settings.objective, settings.samples) == (("iwae", 50) if name.startswith("iwae") else ("vae", 1))
        assert (settings.epochs, settings.batch_size, settings.shuffle) == (3280, 20, False)
        assert (settings.binarize, settings.schedule, settings.optimizer) == ("dynamic", "stages", "adam")
        assert settings.adam_beta1 == 0.99
        assert settings.adam_epsilon * 20 == pytest.approx(1e-4) and settings.adam_second * 400 == pytest.approx(1)


def test_the_recipe_of_salakhutdinov_and_hinton() -> None:
    """What their code does, by the numbers in it."""
    recipe = boltz.recipe(DEEP)
    assert (recipe.model, recipe.data, recipe.limit, recipe.stages) == ("dbm", "mnist", None, None)
    values = chosen({}, "dbm", recipe.options)
    assert values["layers"] == ((500, 1000),) and values["initial_bias"] == "zero"
    assert values["initial_scale"] == (0.001, 0.01)
    whole = MACHINES["dbm"].settings_from(values)
    assert {name: values[name] for name in recipe.options} == recipe.options
    plan = stages(boltz.dbm([784, 500, 1000]).graph, whole)
    first, second, joint = (stage.settings for stage in plan)
    assert [stage.scales for stage in plan] == [{"h1": 2.0, "v": 1.0}, {"h1": 1.0, "v": 2.0}, {}]
    assert (first.epochs, second.epochs, joint.epochs) == (100, 200, 500)
    for epoch in range(1, 201):
        number = math.ceil(epoch / 20)
        assert plan[1].at(epoch - 1).settings.k == number
        assert learning_rate(second, epoch - 1) == pytest.approx(0.05 / number)
        assert learning_rate(first, epoch - 1) == 0.05 and plan[0].at(epoch - 1).settings.k == 1
    for update in (0, 1000, 100_000, 153_000, 154_000, 300_000):
        assert learning_rate(joint, update / 600) == pytest.approx(max(1e-3 / 1.000015**update, 1e-4), rel=1e-5)
    for own in (first, second, joint):
        assert [momentum(own, done) for done in (0, 4.9, 5)] == [0.5, 0.5, 0.9] and own.optimizer == "momentum"
        assert (own.batch_size, own.shuffle, own.center, own.averaging) == (100, False, False, "none")
    assert (first.l2, second.l2, joint.l2) == (1e-3, 1e-3, 2e-4) and (first.rule, second.rule) == ("cd", "cd")
    assert (joint.rule, joint.k, joint.chains, joint.chain_start, joint.negative) == ("pcd", 5, 100, "noise", "means")
    assert (joint.sparsity_target, joint.sparsity_cost, joint.center_rate) == ((0.2, 0.1), 1e-3, 0.1)
    assert (joint.mean_field_sweeps, joint.mean_field_tolerance, joint.positive) == (10, 1e-7, "mean-field")


def test_the_recipe_of_a_dbm_runs_is_printed_and_resumes(data: Path) -> None:
    short = ("--layers", "6,5", "--pretrain-epochs", "1,2", "--epochs", 2, "--no-evaluate", "--seed", 3)
    found = invoke("train", "dbm", "--recipe", DEEP, *short, "--data", data, "--out", "r")
    assert found.exit_code == 0, found.stderr
    (line,) = (line for line in found.stderr.splitlines() if line.startswith(f"recipe {DEEP}: "))
    assert "Salakhutdinov & Hinton (2009)" in line and "layers 6,5, initial_scale 0.001,0.01" in line
    assert "pretrain_k 1,1:10, " in line and "epochs 2, " in line and "negative means" in line
    description = run_folder.read_settings("r")
    assert description["recipe"] == {"name": DEEP} and description["settings"]["pretrain_k"] == [1, "1:10"]
    run = boltz.resume("r")
    assert [record["stage"] for record in run.history] == ["pretrain-1", *["pretrain-2"] * 2, *["joint"] * 2]
    recipe, rows = boltz.recipe(DEEP), boltz.load_data(str(data), "train")
    named = recipe.settings | {"pretrain_epochs": (1, 2), "epochs": 2, "seed": 3}
    model = boltz.dbm([rows.x.shape[1], 6, 5], seed=3, initial_scale=recipe.options["initial_scale"])
    again = boltz.train(model, rows, **named)
    np.testing.assert_array_equal(again.model.arena, run.model.arena)


def test_the_recipe_of_two_stages(data: Path) -> None:
    recipe = boltz.recipe(STAGED)
    values = chosen({}, "dbm", recipe.options)
    assert {name: values[name] for name in recipe.options} == recipe.options and values["layers"] == ((500, 500),)
    assert values["initial_scale"] == pytest.approx((1284**-0.5, 1000**-0.5), rel=1e-3)
    plan = stages(boltz.dbm([784, 500, 500]).graph, MACHINES["dbm"].settings_from(values))
    first, second, joint = (stage.settings for stage in plan)
    assert [(own.rule, own.center, own.k) for own in (first, second, joint)] == [
        ("cd", True, 1), ("cd", False, 1), ("pcd", True, 1)
    ]  # fmt: skip
    assert [(own.epochs, own.learning_rate, own.l2) for own in (first, second, joint)] == [
        (100, 1e-2, 1e-4), (200, 1e-2, 0.0), (100, 1e-4, 0.0)
    ]  # fmt: skip
    assert {own.schedule for own in (first, second, joint)} == {"constant"}
    short = ("--layers", "6,5", "--pretrain-epochs", "1,2", "--epochs", 1, "--no-evaluate")
    found = invoke("train", "--recipe", STAGED, *short, "--data", data, "--out", "r", "--json")
    assert found.exit_code == 0 and json.loads(found.stdout)["epochs"] == 4, found.stderr
    assert run_folder.read_settings("r")["recipe"] == {"name": STAGED}
    deeper = invoke("train", "dbm", "--layers", "6,5,4", "--pretrain", "two-stage", "--data", data, "--out", "w")
    assert deeper.exit_code == 2 and "pretrain must be doubling or bottom for 3 hidden layers" in deeper.stderr


def test_recipes_are_in_the_package() -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    assert "recipes/*.toml" in setup["options.package_data"]["boltz"].split(", ")


def test_the_stages_last_3_to_the_i_passes_at_falling_rates() -> None:
    settings = MACHINES["vae"].settings_from(chosen({}, "vae", boltz.recipe("vae-1l").options))
    starts = np.cumsum([0] + [3**i for i in range(8)])
    assert starts[-1] == settings.epochs
    rates = [learning_rate(settings, float(start)) for start in starts[:-1]]
    assert rates == pytest.approx([1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4])


@pytest.mark.parametrize(("stages", "epochs"), [(1, 1), (3, 13), (5, 121), (8, 3280)])
def test_fewer_stages_are_the_same_recipe_cut_short(stages: int, epochs: int) -> None:
    whole, cut = boltz.recipe("iwae-2l"), boltz.recipe("iwae-2l").cut(stages)
    assert (cut.options["epochs"], cut.stages) == (epochs, stages)
    assert cut.options | {"epochs": 3280} == whole.options


def test_a_recipe_runs_and_is_kept(data: Path) -> None:
    found = invoke("train", "--recipe", "iwae-1l", "--stages", 2, *SIZE, "--data", data, "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["run"] == "runs/iwae-1l-bars" and json.loads(found.stdout)["epochs"] == 4
    description = run_folder.read_settings("runs/iwae-1l-bars")
    assert description["recipe"] == {"name": "iwae-1l", "stages": 2}
    settings = description["settings"]
    assert (settings["objective"], settings["samples"], settings["shuffle"]) == ("iwae", 2, False)
    assert (settings["batch_size"], settings["schedule"], settings["adam_beta1"]) == (20, "stages", 0.99)
    assert "limit" not in description["data"]["load"]  # that of the recipe belongs to its own data
    assert "iwae-1l" in invoke("info", "runs/iwae-1l-bars").stdout
    short = invoke("train", "vae", "--recipe", "iwae-1l", "--stages", 1, *SIZE, "--data", data, "--out", "short")
    assert short.exit_code == 0
    rates = [[record["learning_rate"] for record in metrics.read_metrics(r)] for r in ("short", "runs/iwae-1l-bars")]
    assert rates[0] == rates[1][:1] == [1e-3] and rates[1][1:] == pytest.approx([7.2e-4] * 3)
    assert not np.array_equal(boltz.load("short").arena, boltz.load("runs/iwae-1l-bars").arena)


def test_options_replace_those_of_the_recipe(data: Path) -> None:
    words = ("--epochs", 1, "--schedule", "constant", "--batch-size", 30, "--limit", 40, "--objective", "vae")
    found = invoke("train", "--recipe", "iwae-2l", *words, *SIZE, "--data", data, "--out", "r")
    assert found.exit_code == 0, found.stderr
    description = run_folder.read_settings("r")
    settings = description["settings"]
    assert (settings["epochs"], settings["schedule"], settings["batch_size"]) == (1, "constant", 30)
    assert (settings["objective"], settings["adam_beta1"]) == ("vae", 0.99)
    assert description["data"]["load"]["limit"] == 40 and len(description["model"]["structure"]["layers"]) == 2


def test_the_data_of_a_recipe_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    asked: list[object] = []

    def load(name_or_path: str, split: str, limit: int | None = None, **known: object) -> boltz.Data:
        asked.append((name_or_path, limit))
        return boltz.load_data(str(data), split)

    monkeypatch.setattr("boltz.cli.starting.load", load)
    monkeypatch.setattr("boltz.cli.starting.held_out", lambda *known: None)
    for words in ((), ("--limit", 100)):
        found = invoke("train", "--recipe", "vae-1l", "--stages", 1, *SIZE, *words)
        assert found.exit_code == 0, found.stderr
    assert asked == [("mnist", 59600), ("mnist", 100)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--recipe", "iwae-3l"),
            "'iwae-3l' is not one of 'dbm-2009', 'dbm-2013', 'iwae-1l', 'iwae-2l'",
        ),
        (("sbn", "--recipe", "iwae-1l"), "the recipe iwae-1l trains a vae, but MODEL is sbn"),
        (
            ("--recipe", DEEP, "--stages", 2),
            "--stages cuts a recipe with stages of 3^i epochs short, but dbm-2009 has none",
        ),
        (("vae", "--stages", 3), "name one with --recipe"),
        (("--recipe", "iwae-1l", "--stages", 0), "--stages must be from 1 to 8"),
        (("--recipe", "iwae-1l", "--stages", 9), "--stages must be from 1 to 8"),
        (("--recipe", "iwae-1l", "--stages", 2, "--epochs", 5), "goes with no --epochs"),
        (("--recipe", "iwae-1l", "--stages", 2, "--schedule", "linear"), "goes with no --schedule"),
        (
            ("--recipe", "iwae-1l", "--rule", "cd"),
            "--rule is an option of rbm, dbm, bm, multimodal and dbn, not of vae",
        ),
        (("--resume", "r", "--recipe", "iwae-1l"), "it takes no --recipe"),
    ],
)
def test_recipes_that_do_not_fit(words: tuple[object, ...], sentence: str) -> None:
    found = invoke("train", *words)
    assert found.exit_code == 2 and sentence in found.stderr and found.stdout == ""
    assert not Path("runs").exists()
