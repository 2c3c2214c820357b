"""Catches a bad setting taken, an error that does not name it, settings that change on their way to plain values."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tomli_w
from checks import training as checks
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.networks.settings import FineTuneSettings
from boltz.presets import KINDS
from boltz.training import meaning
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.directed_settings import DirectedSettings
from boltz.training.objectives import OBJECTIVES
from boltz.training.settings import (
    BELIEF_RULES,
    BINARIZE,
    OPTIMIZERS,
    PRETRAIN,
    RULES,
    SCHEDULES,
    SWEEP_SCHEDULES,
    BeliefSettings,
    Common,
    Settings,
    settings_from,
)
from boltz.training.stages import TRAININGS, kind_of_settings

COMMON: dict[str, list[Any]] = {
    "epochs": [-1, 1.5, True, "3", None, float("nan")],
    "batch_size": [0, -3, 2.0, None],
    "learning_rate": [-0.1, float("nan"), float("inf"), "0.1", None, True],
    "seed": [-1, 2**63, 0.0, None],
    "schedule": ["sine", None],
    "decay_epochs": [0, -1.0, float("inf")],
    "rate_floor": [-0.1, 1.1, float("nan"), None, "0.1"],
    "optimizer": ["sgd", None],
    "momentum": [-0.1, 1.0, float("nan")],
    "initial_momentum": [1.0, -1],
    "momentum_epochs": [-1, 0.5],
    "adam_beta1": [-0.1, 1, 1.0, float("nan"), "0.9", True],
    "adam_epsilon": [0, -1e-8, 1.5, float("nan"), None],
    "adam_second": [-1e-9, float("inf"), float("nan"), False, None],
    "l2": [-1e-9, float("nan")],
    "l1": [-1.0],
    "l1b": [-1e-9, float("nan"), None],
    "max_norm": [-1.0, float("inf")],
    "patience": [-1, 2.5, True, None],
    "validation": [-0.1, 0.96, float("nan"), "0.1", None],
    "shuffle": [0, 1, "no", None, np.True_],
    "binarize": ["maybe", None, True],
    "checkpoint_seconds": [-1.0, float("inf"), None],
}
AVERAGED: dict[str, list[Any]] = {
    "averaging": ["tail", None, True],
    "average_share": [0, 1.1, float("nan"), None],
    "average_decay": [-0.1, 0, 1, float("nan"), "0.9"],
}
RULE: dict[str, list[Any]] = {
    "rule": ["cdk", "", None, 3],
    "k": [0, 1.0, "3", "1:", ":4", "0:4", "4:4", "5:2", "1:2:3", "1.0:3", "one:two", "-1:4", "1:1000000001", True],
    "chains": [0, -1, "100"],
    "pretrain_epochs": [-1, 1.0],
    "pretrain_learning_rate": [-1.0, float("nan")],
    "pretrain_k": [0, "2:1", (1, "1:1"), (1, 0)],
    "pretrain_l2": [-1e-9, float("nan"), "0.1", None, (0.1, -1.0), ("same", 0.1)],
    "pretrain_schedule": ["sine", None],
}
BAD: dict[type[Common], dict[str, list[Any]]] = {
    Settings: {
        **COMMON,
        **AVERAGED,
        **RULE,
        "rungs": [0, 1, 2.5, True, None],
        "predicted_share": [0, -0.5, 1.5, "half", None],
        "prediction_sweeps": [0, 1001, 2.5, True, None],
        "sparsity_target": [-0.1, 1.1],
        "sparsity_cost": [-1.0],
        "center": [1, "yes", None],
        "center_rate": [-0.1, 1.5],
        "variance_rate": [-0.1, 1.5],
        "clip_norm": [-1, 1e7],
        "gauge": ["zero", None, True],
        "positive": ["exact", None, 1],
        "negative": ["drawn", None, True],
        "chain_start": ["rows", None, 0],
        "positive_draws": [0, 1.5, True],
        "mean_field_sweeps": [0, 2.5],
        "mean_field_tolerance": [-1e-3, 2.0],
        "mean_field_damping": [1.0, -0.5],
        "pretrain": ["yes", True, None],
        "snapshots": [-1, 1001, 2.0, True, None],
    },
    DirectedSettings: {
        **COMMON,
        **AVERAGED,
        "objective": ["elbo", "", None, 3],
        "samples": [0, -1, 2.0, True, 10**6 + 1, None],
        "groups": [0, 1.5, "2"],
        "alpha": [-0.1, 1.1, float("nan")],
        "beta": [-0.1, 1.1, None],
        "sleep_share": [-0.1, 1.1, True],
        "warmup_epochs": [-1, float("inf"), "2"],
        "free_bits": [-1e-3, float("nan"), None],
        "soft_free_bits": [2, "yes", None],
        "dropout": [-0.1, 1.0, float("nan"), None],
    },
    AdversarialSettings: {
        **COMMON,
        **AVERAGED,
        "adversary": ["wgan", None],
        **{key: [-0.1, float("nan"), None] for key in ("discriminator_rate", "generator_rate", "label_rate")},
        **{
            key: [-0.1, None] for key in ("input_noise", "noise_epochs", "penalty_weight", "row_noise", "head_distance")
        },
        "labelled_batch": [0, 1.5, None],
        "game_optimizer": ["lbfgs", None],
        "game_momentum": [-0.1, 1.0, None],
        "discriminator_widths": [(0,), "wide", 5],
        "smoothing": [-0.1, 0.6, None],
        "penalty": ["dropout", None],
    },
    BeliefSettings: {**COMMON, **AVERAGED, **RULE},
}


@pytest.mark.parametrize("kind", BAD)
def test_every_setting_has_a_bad_value_here(kind: type[Common]) -> None:
    assert set(BAD[kind]) == {f.name for f in dataclasses.fields(kind)}


def bad_values() -> Iterator[tuple[type[Common], str, Any]]:
    for kind, table in BAD.items():
        yield from ((kind, name, value) for name, values in table.items() for value in values)


@pytest.mark.parametrize(("kind", "name", "value"), list(bad_values()))
def test_bad_values_are_refused_by_name(kind: type[Common], name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{name} must be "):
        kind(**{name: value})


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("adam_beta1", (0, 0.5, 0.999)),
        ("adam_epsilon", (1e-30, 1e-4, 1)),
        ("adam_second", (0, 1.0, 1e6)),
        ("momentum", (0, 0.999)),
        ("shuffle", (False, True)),
        ("epochs", (0, 10**9)),
    ],
)
def test_the_ends_of_a_range_are_accepted(kind: type[Common], name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        assert getattr(kind(**{name: value}), name) == value


MACHINES = {
    "rbm": lambda: boltz.rbm(4, 2),
    "sbn": lambda: boltz.sbn([4, 2]),
    "vae": lambda: boltz.vae([4], 2),
    "grey vae": lambda: boltz.vae([4], 2, visible="gaussian"),
    "dbn": lambda: boltz.dbn([4, 2, 2]),
}


@pytest.mark.parametrize(
    ("machine", "settings"),
    [
        ("rbm", {"epochs": -1}),
        ("rbm", {"momentum": 2}),
        ("rbm", {"center": 1}),
        ("rbm", {"rule": "x"}),
        ("sbn", {"samples": 0}),
        ("vae", {"objective": "x"}),
        ("grey vae", {"binarize": "dynamic"}),
        ("dbn", {"k": 0}),
        ("dbn", {"schedule": "stage"}),
    ],
)
def test_train_refuses_them_before_anything_is_written(machine: str, settings: dict[str, Any], tmp_path) -> None:
    (name,) = settings
    with pytest.raises(InputError, match=f"^{name} must be "):
        plain_train(MACHINES[machine](), np.eye(4), out=tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("machine", "settings", "words"),
    [
        ("vae", {"groups": 2}, "^groups is a setting of the objective miwae, piwae, not of vae"),
        ("vae", {"objective": "iwae", "alpha": 0.5}, "^alpha is a setting of the objective dreg, not of iwae"),
        ("sbn", {"sleep_share": 0.1}, "^sleep_share is a setting of the objective rws, not of vimco"),
        ("sbn", {"objective": "vimco", "samples": 1}, "^the objective vimco must have at least 2 samples, got 1"),
        ("sbn", {"objective": "vae"}, r"^the objective vae is not defined for binary layers \(h1\)"),
        ("vae", {"objective": "nvil"}, "^the objective nvil is not defined for a machine without binary layers"),
        ("sbn", {"objective": "rws", "free_bits": 0.1}, "^warmup_epochs and free_bits scale a bound, .* rws has none"),
        ("sbn", {"objective": "wake-sleep", "warmup_epochs": 1}, "^warmup_epochs and free_bits .* wake-sleep has none"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(
    machine: str, settings: dict[str, Any], words: str, tmp_path
) -> None:
    with pytest.raises(InputError, match=words):
        plain_train(MACHINES[machine](), np.eye(4), out=tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_unknown_settings_are_named() -> None:
    with pytest.raises(InputError, match="no setting 'learningrate' here: did you mean learning_rate or"):
        settings_from(Settings, {"learningrate": 0.1})
    with pytest.raises(InputError, match="no setting 'lr'"):
        plain_train(boltz.rbm(4, 2), np.eye(4), lr=0.1)


@pytest.mark.parametrize(
    ("machine", "name"), [("rbm", "objective"), ("sbn", "rule"), ("vae", "chains"), ("dbn", "samples")]
)
def test_settings_of_another_machine_are_unknown(machine: str, name: str) -> None:
    with pytest.raises(InputError, match=f"no setting '{name}' here: "):
        plain_train(MACHINES[machine](), np.eye(4), **{name: 1})


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        *((kind, name, values) for kind in BAD for name, values in (
            ("schedule", SCHEDULES), ("optimizer", OPTIMIZERS), ("binarize", BINARIZE)
        )),
        (Settings, "rule", RULES),
        (Settings, "pretrain", PRETRAIN),
        *((kind, name, SWEEP_SCHEDULES) for kind in (Settings, BeliefSettings) for name in (
            "schedule", "pretrain_schedule"
        )),
        (BeliefSettings, "rule", BELIEF_RULES),
        (DirectedSettings, "objective", tuple(OBJECTIVES)),
    ],
)  # fmt: skip
def test_every_choice_is_accepted(kind: type[Common], name: str, values: tuple[str, ...]) -> None:
    for value in values:
        assert getattr(kind(**{name: value}), name) == value


ROUND = {"learning_rate": 1e-3 / 7, "seed": 2**63 - 1, "l2": 1 / 3, "epochs": 0, "adam_second": 1.0, "shuffle": False}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(rule="cd", center=True, **ROUND),
        DirectedSettings(objective="dreg", samples=50, alpha=1 / 3, adam_epsilon=1e-4, schedule="stages", **ROUND),
        BeliefSettings(rule="cd", pretrain_epochs=7, adam_beta1=0.5, **ROUND),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_settings_survive_a_round_trip_through_a_file(settings: Common) -> None:
    assert settings_from(type(settings), tomllib.loads(tomli_w.dumps(settings.as_dict()))) == settings


@pytest.mark.parametrize("kind", [Settings, DirectedSettings, BeliefSettings, FineTuneSettings])
def test_help_tells_every_setting_its_default_its_choices_and_its_needs(kind: type[Common]) -> None:
    told = kind.__doc__ or ""
    lines = told.replace("\n    ", " ").splitlines()
    for each in dataclasses.fields(kind):
        (line,) = (line for line in lines if line.startswith(f"{each.name} = {each.default!r}"))
        assert each.metadata["help"] in line and all(choice in line for choice in each.metadata["choices"])
        need = each.metadata["needs"]
        assert ("It needs" in line) == (need is not None) and (need is None or line.endswith(f"{need.told()}."))
    assert "--" not in told and "{" not in told


def test_a_setting_means_the_same_wherever_a_machine_has_it() -> None:
    kinds = (DirectedSettings, BeliefSettings, Settings)
    for kind in kinds:
        known = {each.name for each in dataclasses.fields(kind)}
        for told in (meaning.helps, meaning.needs):
            own, all_of_them = told(kind), told(*kinds)
            assert own == {name: x for name, x in all_of_them.items() if name in own} and own.keys() <= known


def test_what_a_setting_needs_is_told_by_the_values_of_the_others() -> None:
    checks.check_idle_settings()


def test_each_kind_of_machine_has_a_training() -> None:
    assert set(TRAININGS) == set(KINDS)


def test_each_machine_has_its_settings() -> None:
    kinds = {name: kind_of_settings(make().plan) for name, make in MACHINES.items()}
    assert kinds == {
        "rbm": Settings,
        "sbn": DirectedSettings,
        "vae": DirectedSettings,
        "grey vae": DirectedSettings,
        "dbn": BeliefSettings,
    }


def test_what_is_not_named_follows_from_the_layers() -> None:
    checks.check_settings_that_follow_from_the_layers()


def test_pretraining_is_contrastive_divergence_with_its_own_length_and_rate() -> None:
    whole = Settings(
        epochs=50, center=True, sparsity_cost=0.1, pretrain_epochs=3, pretrain_k=2, pretrain_learning_rate=0.2, l2=0.01
    )
    pair = whole.pretraining(0)
    assert (pair.rule, pair.epochs, pair.k, pair.learning_rate) == ("cd", 3, 2, 0.2)
    assert not pair.center and pair.sparsity_cost == 0 and pair.l2 == 0.01 and pair.batch_size == whole.batch_size
    assert dataclasses.replace(whole, pretrain="bottom").pretraining(0).rule == "pcd"


@pytest.mark.parametrize("rule", BELIEF_RULES)
def test_pretraining_of_a_belief_net_takes_its_rule_and_all_that_is_common(rule: str) -> None:
    common = {"batch_size": 7, "seed": 3, "schedule": "constant", "optimizer": "adam", "momentum": 0.5, "l2": 0.01}
    whole = BeliefSettings(
        epochs=50, rule=rule, k=10, chains=33, pretrain_epochs=3, pretrain_k=2, pretrain_learning_rate=0.2, **common
    )
    pair = whole.pretraining(0)
    assert (pair.rule, pair.epochs, pair.k, pair.chains, pair.learning_rate) == (rule, 3, 2, 33, 0.2)
    assert not pair.center and pair.sparsity_cost == 0 and pair.pretrain_epochs == 0
    for field in dataclasses.fields(Common):
        if field.name not in ("epochs", "learning_rate"):
            assert getattr(pair, field.name) == getattr(whole, field.name), field.name


def test_the_positive_phase_takes_its_options() -> None:
    options = Settings(mean_field_sweeps=7, mean_field_tolerance=0.5, mean_field_damping=0.25).mean_field
    assert (options.sweeps, options.tolerance, options.damping) == (7, 0.5, 0.25)


def test_the_objective_takes_its_knobs() -> None:
    """Five numbers that no two exchange."""
    knobs = DirectedSettings(samples=2, groups=3, alpha=0.1, beta=0.2, sleep_share=0.3).knobs
    assert (knobs.samples, knobs.groups, knobs.alpha, knobs.beta, knobs.sleep_share) == (2, 3, 0.1, 0.2, 0.3)
    assert knobs.total == 6
