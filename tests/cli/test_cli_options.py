"""Catches an option of `boltz train` that does not arrive, is missing for a machine, or is taken and does nothing."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from checks import defaults
from support.commands import invoke

import boltz
from boltz.cli.machines import MACHINES, RESNET, having
from boltz.cli.options import CHOICES, HELP, NEEDS, SECTIONS, chosen
from boltz.cli.train import train
from boltz.errors import InputError
from boltz.presets import LACKS
from boltz.storage import run_folder

OTHER: dict[str, Any] = {
    "layers": ((4, 3),),
    "modality": {"image": ("x", "gaussian"), "text": ("y", "bernoulli")},
    "joint": 7,
    "lateral": "hidden",
    "latent": (7,),
    "initial_scale": 0.1,
    "initial_bias": "zero",
    "widths": (5,),
    "prior": "coupling",
    "conditionals": "made",
    "conditional_units": 7,
    "prior_units": 7,
    "flow_steps": 3,
    "flow_widths": (5,),
    "residual_maps": (3,),
    "dropout": 0.25,
    "mixture": 2,
    "receptive_field": 2,
    "filters": 3,
    "maps": 2,
    "masks": 2,
    "tied": True,
    "labels": "inferred",
    "labelled": "30",
    "classes": 12,
    "clusters": 12,
    "embed": True,
    "encoder": "implicit",
    "noise": 7,
    "prior_sigma": 2.0,
    "adversary": "mmd",
    "discriminator_rate": 0.02,
    "generator_rate": 0.03,
    "label_rate": 0.04,
    "labelled_batch": 30,
    "game_optimizer": "adamax",
    "game_momentum": 0.25,
    "discriminator_widths": (5,),
    "input_noise": 0.2,
    "noise_epochs": 3.0,
    "smoothing": 0.1,
    "penalty": "gradient",
    "penalty_weight": 2.0,
    "row_noise": 0.2,
    "head_distance": 0.5,
    "natural": False,
    "activation": "relu",
    "visible": "gaussian",
    "posterior": "iaf",
    "units": "bernoulli",
    "hidden_units": "bernoulli,bernoulli",
    "patience": 7,
    "validation": 0.2,
    "binarize": "threshold",
    "shuffle": False,
    "rule": "cd",
    "epochs": 2,
    "batch_size": 30,
    "learning_rate": 0.01,
    "seed": 5,
    "k": 2,
    "chains": 7,
    "rungs": 4,
    "predicted_share": 0.25,
    "prediction_sweeps": 3,
    "schedule": "inverse",
    "decay_epochs": 3.0,
    "rate_floor": 0.2,
    "optimizer": "nesterov",
    "momentum": 0.5,
    "initial_momentum": 0.25,
    "momentum_epochs": 1,
    "adam_beta1": 0.8,
    "adam_epsilon": 1e-6,
    "adam_second": 0.1,
    "l2": 0.001,
    "l1": 0.0001,
    "l1b": 0.002,
    "gauge": "zero-sum",
    "max_norm": 3.0,
    "sparsity_target": 0.2,
    "sparsity_cost": 0.01,
    "center": True,
    "center_rate": 0.02,
    "variance_rate": 0.3,
    "clip_norm": 5.0,
    "averaging": "last",
    "average_share": 0.3,
    "average_decay": 0.99,
    "negative": "means",
    "chain_start": "noise",
    "positive": "collapsed",
    "positive_draws": 3,
    "mean_field_sweeps": 4,
    "mean_field_tolerance": 0.01,
    "mean_field_damping": 0.1,
    "pretrain": "doubling",
    "pretrain_epochs": 1,
    "pretrain_learning_rate": 0.02,
    "pretrain_k": 2,
    "pretrain_l2": 0.002,
    "pretrain_schedule": "cosine",
    "objective": "rws",
    "samples": 3,
    "groups": 2,
    "alpha": 0.5,
    "beta": 0.25,
    "sleep_share": 0.75,
    "warmup_epochs": 1.5,
    "free_bits": 0.5,
    "soft_free_bits": True,
    "evaluation_samples": 20,
    "betas": 30,
    "chains_ais": 10,
    "checkpoint_seconds": 5.0,
    "snapshots": 7,
}
COMPANIONS: dict[str, dict[str, Any]] = {
    "labelled": {"labels": "inferred"},
    "classes": {"labels": "decoder"},
    "embed": {"clusters": 7},
    "noise": {"encoder": "implicit"},
    "label_rate": {"labels": "inferred"},
    "labelled_batch": {"labels": "inferred"},
    "penalty_weight": {"penalty": "gradient"},
    "head_distance": {"clusters": 7, "embed": True},
    "activation": {"widths": (5,)},
    "decay_epochs": {"schedule": "inverse"},
    "rate_floor": {"schedule": "inverse"},
    "momentum": {"optimizer": "momentum"},
    "initial_momentum": {"optimizer": "momentum"},
    "momentum_epochs": {"optimizer": "momentum"},
    "adam_beta1": {"optimizer": "adam"},
    "adam_epsilon": {"optimizer": "adam"},
    "adam_second": {"optimizer": "adam"},
    "conditional_units": {"conditionals": "nade"},
    "prior_units": {"prior": "nade"},
    "flow_steps": {"prior": "flow"},
    "flow_widths": {"prior": "flow"},
    "residual_maps": {"encoder": "resnet"},
    "dropout": {"widths": (5,)},
    "mixture": {"visible": "levels"},
    "soft_free_bits": {"free_bits": 0.5},
    "rungs": {"rule": "ptt"},
    "predicted_share": {"rule": "multi-prediction"},
    "prediction_sweeps": {"rule": "multi-prediction"},
    "sparsity_target": {"sparsity_cost": 0.1},
    "center_rate": {"sparsity_cost": 0.1},
    "average_share": {"averaging": "last"},
    "average_decay": {"averaging": "exponential"},
    "positive_draws": {"positive": "collapsed"},
    "groups": {"objective": "piwae"},
    "alpha": {"objective": "dreg"},
    "beta": {"objective": "ciwae"},
    "sleep_share": {"objective": "rws"},
    "k": {"epochs": 1},
    "learning_rate": {"epochs": 1},
}
PAIRS = [(model, name) for model, machine in MACHINES.items() for name in machine.options]


def test_every_option_is_one_of_a_machine_and_has_its_place() -> None:
    assert set(HELP) == {name for machine in MACHINES.values() for name in machine.options} == set(OTHER)
    places = [name for names in SECTIONS.values() for name in names]
    assert set(HELP) <= set(places) and len(set(places)) == len(places)
    assert set(CHOICES) <= set(HELP) and set(NEEDS) <= set(HELP) and set(COMPANIONS) <= set(NEEDS)
    for model, machine in MACHINES.items():
        known = {field.name for field in fields(machine.settings)}
        lacks = set(LACKS.get(machine.kind, ()))
        assert lacks <= known and set(machine.defaults) <= known - lacks, model


def other(model: str, name: str) -> Any:
    """A value that is not the default of the machine."""
    default = MACHINES[model].options[name]
    if name in ("center", "tied"):
        return not default
    if name == "prior" and model in ("sbn", "aae"):
        return "nade" if model == "sbn" else "uniform"
    if name == "encoder" and model != "aae":
        return "resnet"
    if name == "visible" and model in ("vlae", "pixelcnn"):
        return "levels"
    if name == "activation" and default == OTHER[name]:
        return "tanh"
    if name == "positive" and default == OTHER[name]:
        return "gibbs"
    if name == "pretrain" and default == OTHER[name]:
        return "bottom"
    if name == "optimizer" and default == OTHER[name]:
        return "momentum"
    return OTHER[name]


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_what_is_given_arrives(model: str, name: str) -> None:
    value, default = other(model, name), chosen({}, model, {})
    assert value != default[name]
    companions = {n: x for n, x in COMPANIONS.get(name, {}).items() if n in MACHINES[model].options}
    values = chosen({name: value} | companions, model, {})
    default |= RESNET if values.get("encoder") == "resnet" else {}
    assert values[name] == value
    follow = {"patience"} - {name} | ({"epochs", "pretrain_epochs"} if name == "batch_size" else set())
    follow |= {"pretrain_epochs"} if "epochs" in {name, *companions} else set()
    follow |= {"epochs", "learning_rate", "pretrain_epochs", "positive"} if "predict" in name else set()
    rest = {n: x for n, x in values.items() if n not in {name, "samples", *companions, *follow}}
    assert rest == {n: x for n, x in default.items() if n in rest}
    assert len(values) == len(MACHINES[model].options)


@pytest.mark.parametrize("name", [name for name in HELP if len(having(name)) < len(MACHINES)])
def test_an_option_of_another_machine_is_refused(name: str) -> None:
    for model in MACHINES.keys() - set(having(name)):
        with pytest.raises(
            InputError, match=f"^--{name.replace('_', '-')} is an option of .*, not of {model}.$"
        ) as told:
            chosen({name: OTHER[name]}, model, {})
        assert all(each in str(told.value) for each in having(name))


IDLE: list[tuple[str, dict[str, Any], str]] = [
    ("vae", {"momentum": 0.9}, "--optimizer momentum"),
    ("rbm", {"adam_beta1": 0.9}, "--optimizer adam"),
    ("rbm", {"decay_epochs": 3.0}, "--schedule exponential or inverse"),
    ("rbm", {"rule": "cd", "chains": 10}, "--rule pcd"),
    ("rbm", {"rungs": 10}, "--rule ptt"),
    ("rbm", {"rule": "cd", "chain_start": "noise"}, "--rule pcd"),
    ("rbm", {"schedule": "constant", "rate_floor": 0.1}, "--schedule linear"),
    ("dbm", {"rule": "ucd", "negative": "means"}, "--rule cd"),
    ("dbm", {"predicted_share": 0.3}, "--rule multi-prediction"),
    ("rbm", {"rule": "cd", "prediction_sweeps": 3}, "--rule multi-prediction"),
    ("rbm", {"rule": "multi-prediction", "k": 3}, "--rule cd or pcd or ptt or ucd"),
    ("rbm", {"rule": "multi-prediction", "chains": 10}, "--rule pcd"),
    ("dbm", {"rule": "multi-prediction", "positive": "mean-field"}, "--rule cd"),
    ("dbm", {"pretrain_epochs": 0, "pretrain_l2": 0.1}, "--pretrain-epochs"),
    ("rbm", {"center": False, "center_rate": 0.1}, "--center or --sparsity-cost"),
    ("rbm", {"sparsity_target": 0.2}, "--sparsity-cost"),
    ("dbm", {"pretrain_epochs": 0, "pretrain": "doubling"}, "--pretrain-epochs"),
    ("dbn", {"epochs": 0, "k": 3}, "--epochs above 0"),
    ("sbn", {"activation": "relu"}, "--widths"),
    ("vae", {"alpha": 0.5}, "--objective dreg"),
    ("vae", {"groups": 2}, "--objective miwae or piwae"),
    ("vae", {"flow_steps": 3}, "--posterior iaf"),
    ("sbn", {"sleep_share": 0.1}, "--objective rws"),
    ("vae", {"soft_free_bits": True}, "--free-bits above 0"),
    ("vlae", {"prior": "normal", "flow_steps": 3}, "--prior flow or coupling"),
    ("vae", {"flow_widths": (5,)}, "--prior flow or coupling"),
    ("nade", {"adam_second": 0.1, "optimizer": "adamax"}, "--optimizer adam"),
    ("aae", {"labelled": "20"}, "--labels inferred or prior"),
    ("aae", {"labels": "decoder", "labelled": "20"}, "--labels inferred or prior"),
    ("aae", {"clusters": 5, "label_rate": 0.1}, "--labels inferred"),
    ("aae", {"embed": True}, "--labels inferred or --clusters"),
    ("aae", {"head_distance": 1.0}, "--embed"),
    ("aae", {"noise": 3}, "--encoder implicit"),
    ("aae", {"classes": 3}, "--labels"),
    ("aae", {"prior": "uniform", "prior_sigma": 2.0}, "--prior normal"),
    ("aae", {"adversary": "mmd", "smoothing": 0.1}, "--adversary gan"),
    ("rbm", {"evaluate": False, "betas": 10}, "--evaluate"),
]


@pytest.mark.parametrize(("model", "given", "needed"), IDLE)
def test_an_option_that_would_do_nothing_is_refused(model: str, given: dict[str, Any], needed: str) -> None:
    with pytest.raises(InputError, match=f"would do nothing: it needs .*{needed}"):
        chosen(given, model, {})


def test_patience_follows_the_epochs() -> None:
    """A part of those of the last stage; pretraining alone keeps that of the preset."""
    usual = chosen({}, "dbn", {})
    assert chosen({"epochs": 10 * usual["epochs"]}, "dbn", {})["patience"] == 10 * usual["patience"]
    assert chosen({"epochs": 0}, "dbn", {})["patience"] == usual["patience"] > 1


def test_samples_follow_the_objective() -> None:
    assert chosen({}, "vae", {})["samples"] == 1 and chosen({}, "sbn", {})["samples"] == 5
    assert chosen({"objective": "iwae"}, "vae", {})["samples"] == 5
    assert chosen({"objective": "wake-sleep"}, "sbn", {})["samples"] == 1
    assert chosen({"objective": "iwae", "samples": 1}, "vae", {})["samples"] == 1
    assert chosen({}, "vae", {"objective": "iwae", "samples": 50})["samples"] == 50


@pytest.mark.parametrize("model", list(MACHINES))
def test_defaults_are_valid_and_shown(model: str) -> None:
    machine = MACHINES[model]
    machine.settings_from(chosen({}, model, {}))
    text = " ".join(invoke("train", model, "--help").stdout.split())
    for title, names in SECTIONS.items():
        assert (f" {title}: --" in text) == any(name in machine.options or name not in HELP for name in names), title
    if model != "pixelcnn":  # which has no hidden layers to be named
        groups = machine.shape["layers"] or [["one for each --modality"]]
        assert f"[default: {'/'.join(','.join(map(str, group)) for group in groups)}]" in text


OPTION = re.compile(r"^  (?:-h, )?--([a-z0-9-]+)", re.MULTILINE)


def test_the_help_of_a_model_shows_its_own_options_and_no_others() -> None:
    everything = {p.opts[0][2:] for p in train.params if isinstance(p, click.Option)} | {"help"}
    found = {model: OPTION.findall(invoke("train", model, "--help").stdout) for model in MACHINES}
    for model, names in found.items():
        own = {name.replace("_", "-") for name in MACHINES[model].options}
        foreign = {name.replace("_", "-") for name in HELP} - own
        assert len(names) == len(set(names)) and own <= set(names) and not foreign & set(names), model
    assert set().union(*found.values()) == everything


@pytest.mark.parametrize("model", MACHINES)
def test_the_help_of_a_model_says_nothing_of_others(model: str) -> None:
    """What its options mean, their choices and defaults are its own; the dozen that matter come first."""
    text = invoke("train", model, "--help").stdout
    assert text.startswith(f"Usage: boltz train {model} [OPTIONS]")
    said, shape = " ".join(text.split()), "receptive-field" if model == "pixelcnn" else "layers"
    assert MACHINES[model].title in said and f"Example: boltz train {model} --" in said
    others = "|".join(MACHINES.keys() - {model, "vae", "made", "nade"})  # an objective, a usual word, a prior
    if model != "dbn":  # whose machine is said to have an RBM on top
        assert re.search(rf"\b({others})\b", said.partition("Most used:")[2]) is None
    first = OPTION.findall(text.partition("Most used:")[2].partition("\n\n")[0])
    assert first[0] == shape and {"data", "out", "epochs", "learning-rate"} <= set(first) and 9 < len(first) < 16
    if model == "dbn":
        assert "--rule [cd|pcd] " in text


TWO: dict[str, Any] = {"layers": ((3, 2),), "latent": (3, 2), "hidden_units": "spin,spin"}


@pytest.mark.parametrize("option", TWO)
def test_the_help_names_several_numbers_where_they_are_taken(option: str) -> None:
    """Beside what the builder of each machine does with two of them, and beside its settings for those of pairs."""
    for model in having(option):
        if model != "multimodal":  # whose layers have names
            machine = MACHINES[model]
            shape = {**machine.shape, "units": "bernoulli", option: TWO[option]}
            if option == "hidden_units" and model == "dbm":
                shape["layers"] = ((3, 2),)
            if model == "vae":
                shape |= {"latent": (3,)} if option == "layers" else {"layers": ((4,), (4,))}
            text = invoke("train", model, "--help").stdout
            found = re.search(rf"^  --{option.replace('_', '-')} (\S+)", text, re.MULTILINE)
            assert found is not None
            try:
                machine.build(9, shape, None, 0)
            except InputError:
                assert "," not in found[1], model
            else:
                assert "," in found[1], model


@pytest.mark.parametrize("model", MACHINES)
def test_the_help_names_a_number_for_each_pair_where_settings_take_them(model: str) -> None:
    text = invoke("train", model, "--help").stdout
    for option in ("learning_rate", "l2", "pretrain_learning_rate"):
        found = re.search(rf"^  --{option.replace('_', '-')} (\S+)", text, re.MULTILINE)
        if found is None or model == "rbm":  # which has one pair, so that settings of a machine refuse others
            assert found is None or found[1] == "FLOAT"
            continue
        try:
            MACHINES[model].settings(**{option: (0.1, 0.2)})
        except InputError:
            assert "," not in found[1], option
        else:
            assert "," in found[1], option


def test_help_without_a_model_names_all_of_them() -> None:
    text = invoke("train", "--help").stdout
    assert text == invoke("train", "--help", "--layers", 3).stdout
    said = " ".join(text.split())
    for model, machine in MACHINES.items():
        assert f"{model} {machine.title}." in said
    assert (
        "vae, vlae, aae: Gaussian units" in said
        and "dbm, multimodal, dbn: Epochs of each" in said
        and "iwae-1l" in said
    )
    assert {"layers", "data", "recipe", "resume", "help"} <= set(OPTION.findall(text)) and text.count("\n") < 140


def test_every_option_reaches_the_run(data: Path) -> None:
    kept = {"center", "adam_beta1", "adam_epsilon", "adam_second", "chains", "rungs", "patience", "validation"}
    kept |= {"average_decay", "chain_start", "predicted_share", "prediction_sweeps", "gauge"}
    given = {name: OTHER[name] for name in MACHINES["dbm"].options if name not in kept}
    words = [word for name, value in given.items() for word in ("--" + name.replace("_", "-"), written(value))]
    words[words.index("--shuffle") : words.index("--shuffle") + 2] = ["--no-shuffle"]
    found = invoke("train", "dbm", "--data", data, "--out", "r", *words, "--no-center", "--limit", 30)
    assert found.exit_code == 0, found.stderr
    description = run_folder.read_settings("r")
    settings = MACHINES["dbm"].settings_from(
        MACHINES["dbm"].options | given | {"center": False, "patience": 0, "validation": 0.0}
    )
    assert description["settings"] == settings.as_dict() and description["data"]["rows"] == 30
    assert description["model"]["units"] == [25, 4, 3]
    assert description["evaluation"] == {"wanted": True, "samples": 20, "chains": 10, "betas": 30}


def test_a_gauge_reaches_the_run_of_categories_and_no_other(data: Path) -> None:
    brief = ("--data", data, "--layers", "4", "--epochs", 1, "--limit", 30, "--no-evaluate", "--gauge", "zero-sum")
    found = invoke("train", "rbm", "--out", "r", *brief, "--units", "categorical:2")
    assert found.exit_code == 0, found.stderr
    assert run_folder.read_settings("r")["settings"]["gauge"] == "zero-sum"
    model = boltz.load("r")
    assert np.abs(model.params["edge/v-h1/weight"].reshape(-1, 2, 4).sum(axis=1)).max() < 1e-6
    wrong = invoke("train", "rbm", "--out", "w", *brief)
    assert wrong.exit_code == 2 and "gauge must be none, or the machine have categorical units" in wrong.stderr


def test_numbers_for_each_pair_of_layers_reach_the_run(data: Path) -> None:
    words = ("--layers", "4,3", "--l2", "0.001,0.0005", "--pretrain-epochs", "2,0", "--learning-rate", "0.01,0.02")
    brief = ("--epochs", 1, "--limit", 30, "--no-evaluate")
    found = invoke("train", "dbm", "--data", data, "--out", "r", *words, *brief)
    assert found.exit_code == 0, found.stderr
    settings = run_folder.read_settings("r")["settings"]
    assert settings["l2"] == [0.001, 0.0005] and settings["pretrain_epochs"] == [2, 0]
    assert boltz.resume("r").settings.of_pair(1).learning_rate == 0.02
    wrong = invoke("train", "dbm", "--data", data, "--out", "w", "--layers", "4,3", "--l2", "1,2,3", *brief)
    assert wrong.exit_code == 2 and "l2 must be one number, or one for each of the 2 pairs" in wrong.stderr
    rising = ("--pretrain-k", "1,1:10", "--k", "1:2", "--initial-scale", "0.001,0.01", "--initial-bias", "zero")
    found = invoke("train", "dbm", "--data", data, "--out", "s", "--layers", "4,3", *rising, *brief, "--epochs", 2)
    assert found.exit_code == 0, found.stderr
    kept = run_folder.read_settings("s")
    assert (kept["settings"]["pretrain_k"], kept["settings"]["k"]) == ([1, "1:10"], "1:2")
    assert kept["initial"] == {"scale": [0.001, 0.01], "bias": "zero"}
    for option, value in (("--pretrain-k", "1,1:"), ("--pretrain-k", "1:2:3"), ("--k", "1,2"), ("--k", "a:b")):
        wrong = invoke("train", "dbm", "--data", data, "--out", "w", "--layers", "4,3", option, value, *brief)
        assert wrong.exit_code == 2 and f"'{value}' must be a whole number, or two between which" in wrong.stderr
    wrong = invoke("train", "dbm", "--data", data, "--out", "w", "--layers", "4,3", "--k", "3:2", *brief)
    assert wrong.exit_code == 2 and "k must be a whole number of at least 1, or two between" in wrong.stderr
    wrong = invoke("train", "dbm", "--data", data, "--out", "w", "--layers", "4,3", "--l2", "0.1,x", *brief)
    assert wrong.exit_code == 2 and "'0.1,x' must be a number, or one for each pair of layers" in wrong.stderr


def written(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, tuple):
        return "/".join(map(written, value)) if isinstance(value[0], tuple) else ",".join(map(str, value))
    return str(value)


@pytest.mark.parametrize("model", defaults.TRAINED)
def test_defaults_of_the_help_are_those_of_a_training(model: str) -> None:
    defaults.check_defaults_of_help(model)
