"""Catches a wrong gradient of multi-prediction, and runs of it that do not learn or cannot go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import multi_prediction
from checks.training import coin_rows
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.models.graph import Graph
from boltz.training.pretraining import stages
from boltz.units import UNITS

ROWS = coin_rows(60, 12, 200).astype(np.float32)
KINDS: dict[str, tuple[list[int], dict[str, Any]]] = {
    "rbm": ([12, 7], {"prediction_sweeps": 2}),
    "centred": ([12, 6, 4], {"center": True, "sparsity_cost": 0.05}),
    "pretrained": ([12, 6, 4, 3], {"pretrain": "bottom", "pretrain_epochs": 1, "predicted_share": 0.3}),
}


def train(kind: str, **more: Any) -> boltz.Run:
    units, settings = KINDS[kind]
    settings = {"rule": "multi-prediction", "epochs": 2, "batch_size": 12, "learning_rate": 0.1, **settings, **more}
    return plain_train(boltz.dbm(units, ROWS), ROWS, **settings)


def test_gradient() -> None:
    multi_prediction.check_gradient()


def test_finite_differences() -> None:
    multi_prediction.check_finite_differences()


def test_predictions() -> None:
    multi_prediction.check_predictions()


def test_predicted_units() -> None:
    multi_prediction.check_predicted_units()


def test_centred() -> None:
    multi_prediction.check_centred()


def test_sparse() -> None:
    multi_prediction.check_sparse()


def test_rows_dealt_out() -> None:
    multi_prediction.check_rows_dealt_out()


def test_no_chains() -> None:
    multi_prediction.check_no_chains()


def test_preset() -> None:
    multi_prediction.check_preset()


def test_pretraining() -> None:
    multi_prediction.check_pretraining()


@pytest.mark.parametrize("kind", KINDS)
def test_machines_of_any_depth_and_resume(kind: str, tmp_path: Path) -> None:
    """A run that is stopped after its first epoch, and goes on, ends bit for bit as the unbroken one."""
    whole = train(kind)
    assert np.isfinite(whole.model.arena).all() and whole.history[-1]["mode_gap"] is None
    assert train(kind).model.arena.tobytes() == whole.model.arena.tobytes()
    assert train(kind, seed=1).model.arena.tobytes() != whole.model.arena.tobytes()

    class StoppedError(Exception):
        pass

    def stop(record: Any) -> None:
        if record["stage"] == "joint":
            raise StoppedError

    with pytest.raises(StoppedError):
        train(kind, out=tmp_path / "run", watch=stop)
    assert boltz.resume(tmp_path / "run", ROWS).model.arena.tobytes() == whole.model.arena.tobytes()


@pytest.mark.parametrize("units", [[10, 12], [10, 12, 6]])
def test_a_trained_machine_fills_in(units: list[int]) -> None:
    """Pairs of units that are always alike: where one is known, mean field tells the other, where biases err by 1/2."""
    rows = np.repeat(coin_rows(200, 5, 9, 0.5), 2, axis=1).astype(np.float32)
    settings = {"rule": "multi-prediction", "optimizer": "adam", "learning_rate": 0.1}
    run = plain_train(boltz.dbm(units, rows), rows, epochs=60, batch_size=20, **settings)
    filled = boltz.complete(run.model, rows, np.arange(10) % 2 == 0, "mean-field")
    assert np.abs(filled - rows)[:, 1::2].mean() < 0.3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rule": "pcd", "predicted_share": 0.3}, "^predicted_share would do nothing: it needs rule multi-prediction"),
        ({"rule": "cd", "prediction_sweeps": 9}, "^prediction_sweeps would do nothing: it needs rule multi-prediction"),
        ({"rule": "multi-prediction", "positive": "gibbs"}, "^positive would do nothing: it needs rule cd or pcd"),
        ({"rule": "multi-prediction", "schedule": "per-sweep"}, "^schedule must not be per-sweep for rule multi-pred"),
        ({"rule": "multi-prediction", "predicted_share": 0}, "^predicted_share must be"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plain_train(boltz.rbm(12, 3), ROWS, **settings)


def test_other_units_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNITS, "other", replace(UNITS["bernoulli"], binary=False))
    graph = Graph.chain([4, 3], "other")
    assert stages(graph, boltz.Settings(rule="pcd", binarize="none"))
    with pytest.raises(InputError, match="multi-prediction is for Bernoulli units, but layer v is of kind other"):
        stages(graph, boltz.Settings(rule="multi-prediction", binarize="none"))


def test_rule_is_refused_where_it_does_not_apply() -> None:
    with pytest.raises(InputError, match="rule must be"):
        plain_train(boltz.dbn([12, 4, 3]), ROWS, rule="multi-prediction")
