"""Settings are validated once, each error names the setting, and they survive a round trip through plain values."""

from __future__ import annotations

import dataclasses
import tomllib

import numpy as np
import pytest
import tomli_w

import boltz
from boltz.errors import InputError
from boltz.training.settings import BINARIZE, OPTIMIZERS, PRETRAIN, RULES, SCHEDULES, Settings, settings_from

BAD = {
    "rule": ["cdk", "", None, 3],
    "epochs": [-1, 1.5, True, "3", None, float("nan")],
    "batch_size": [0, -3, 2.0, None],
    "learning_rate": [-0.1, float("nan"), float("inf"), "0.1", None, True],
    "seed": [-1, 2**63, 0.0, None],
    "k": [0, 1.0],
    "chains": [0, -1, "100"],
    "schedule": ["cosine", None],
    "decay_epochs": [0, -1.0, float("inf")],
    "optimizer": ["sgd", None],
    "momentum": [-0.1, 1.0, float("nan")],
    "initial_momentum": [1.0, -1],
    "momentum_epochs": [-1, 0.5],
    "l2": [-1e-9, float("nan")],
    "l1": [-1.0],
    "max_norm": [-1.0, float("inf")],
    "sparsity_target": [-0.1, 1.1],
    "sparsity_cost": [-1.0],
    "center": [1, "yes", None],
    "center_rate": [-0.1, 1.5],
    "binarize": ["maybe", None, True],
    "mean_field_sweeps": [0, 2.5],
    "mean_field_tolerance": [-1e-3, 2.0],
    "mean_field_damping": [1.0, -0.5],
    "pretrain": ["yes", True, None],
    "pretrain_epochs": [-1, 1.0],
    "pretrain_learning_rate": [-1.0, float("nan")],
    "pretrain_k": [0],
    "checkpoint_seconds": [-1.0, float("inf"), None],
}


def test_every_setting_has_a_bad_value_here() -> None:
    assert set(BAD) == {f.name for f in dataclasses.fields(Settings)}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{name} must be "):
        Settings(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("epochs", -1), ("momentum", 2), ("center", 1), ("rule", "x")])
def test_train_refuses_them_before_anything_is_written(name: str, value: object, tmp_path) -> None:
    with pytest.raises(InputError, match=f"^{name} "):
        boltz.train(boltz.rbm(4, 2), np.eye(4), out=tmp_path / "run", **{name: value})
    assert list(tmp_path.iterdir()) == []


def test_unknown_settings_are_named() -> None:
    with pytest.raises(InputError, match="no setting 'learningrate'; it has rule, epochs"):
        settings_from({"learningrate": 0.1})
    with pytest.raises(InputError, match="no setting 'lr'"):
        boltz.train(boltz.rbm(4, 2), np.eye(4), lr=0.1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rule", RULES),
        ("schedule", SCHEDULES),
        ("optimizer", OPTIMIZERS),
        ("binarize", BINARIZE),
        ("pretrain", PRETRAIN),
    ],
)
def test_every_choice_is_accepted(name: str, values: tuple[str, ...]) -> None:
    for value in values:
        assert getattr(Settings(**{name: value}), name) == value


def test_settings_survive_a_round_trip_through_a_file() -> None:
    settings = Settings(rule="cd", learning_rate=1e-3 / 7, seed=2**63 - 1, center=True, l2=1 / 3, epochs=0)
    assert settings_from(tomllib.loads(tomli_w.dumps(settings.as_dict()))) == settings


def test_pretraining_is_contrastive_divergence_with_its_own_length_and_rate() -> None:
    whole = Settings(
        epochs=50, center=True, sparsity_cost=0.1, pretrain_epochs=3, pretrain_k=2, pretrain_learning_rate=0.2, l2=0.01
    )
    pair = whole.pretraining()
    assert (pair.rule, pair.epochs, pair.k, pair.learning_rate) == ("cd", 3, 2, 0.2)
    assert not pair.center and pair.sparsity_cost == 0 and pair.l2 == 0.01 and pair.batch_size == whole.batch_size
    assert dataclasses.replace(whole, pretrain="bottom").pretraining().rule == "pcd"


def test_the_positive_phase_takes_its_options() -> None:
    options = Settings(mean_field_sweeps=7, mean_field_tolerance=0.5, mean_field_damping=0.25).mean_field
    assert (options.sweeps, options.tolerance, options.damping) == (7, 0.5, 0.25)
