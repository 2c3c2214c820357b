"""Catches labels that are counted wrongly, clusters that are named by the wrong rows, and refusals without a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import label_errors

import boltz
from boltz.evaluation.matched_codes import with_codes

X = np.random.default_rng(0).integers(0, 2, (8, 4)).astype(np.float32)


def test_agreement() -> None:
    label_errors.check_agreement()


def test_clusters() -> None:
    label_errors.check_clusters()


def test_taught() -> None:
    label_errors.check_taught()


def test_unknown() -> None:
    label_errors.check_unknown()


def test_naming() -> None:
    label_errors.check_naming()


def test_runs_and_machines() -> None:
    """A run says whether it was taught; a machine alone does not, which the result says."""
    machine, y = boltz.aae([4, 6], 2, labels="inferred", classes=3, x=X), np.arange(8) % 3
    how = {"epochs": 1, "discriminator_widths": (4,)}
    assert "are taken as classes" in str(boltz.label_errors(machine, X, y))
    taught = boltz.label_errors(boltz.train(machine, X, labels=y, **how), X, y)
    assert taught.rows == 8 and not taught.note and taught.as_dict()["note"] is None
    clusters = boltz.train(machine, X, **how)
    with pytest.raises(boltz.InputError, match="was taught no labels, and validation rows say"):
        boltz.label_errors(clusters, X, y)
    assert boltz.label_errors(clusters, X, y, (X, y)).clusters
    with pytest.raises(boltz.InputError, match="all text or all numbers"):
        boltz.label_errors(machine, X, np.array(["a", 1] * 4, object))
    with pytest.raises(boltz.InputError, match="validation must be 0"):
        boltz.train(machine, X, validation=0.5, **how)


def test_taught_classes_without_rows_are_not_called_clusters() -> None:
    machine = boltz.aae([4, 6], 2, labels="inferred", classes=8, x=X)
    for taught, advice in ((True, "rare classes may be the reason"), (False, "fewer clusters may do")):
        many = np.tile(X, (20, 1))
        found = with_codes(boltz.diagnose(machine, X), machine, many, 0, taught).findings[-1]
        assert found.name == "labels" and advice in found.advice and ("taught classes" in found.sentence) == taught


def test_numbers() -> None:
    label_errors.check_numbers()


def test_of_a_machine() -> None:
    machine = boltz.aae([4, 6], 2, clusters=3, x=X)
    own = boltz.label_probabilities(machine, X).argmax(axis=1)
    y = own.copy()
    y[0], y[1] = (own[0] + 1) % 3, -1
    found = boltz.label_errors(machine, X, y)
    assert (found.wrong, found.rows, found.clusters) == (1, 7, False)
    assert "14.29 % wrong (1 of 7 rows)" in str(found) and found.as_dict()["majority_error"] is None
    named = boltz.label_errors(machine, X, own, (X, own))
    assert named.clusters and "each of 3 clusters" in str(named) and "mutual" in named._repr_html_()


def test_wrong_arguments() -> None:
    machine, y = boltz.aae([4, 6], 2, clusters=3, x=X), np.arange(8) % 3
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("y must hold a label for each of 8 rows", (machine, X, y[:3])),
        ("y must hold at least one label", (machine, X, np.full(8, -1))),
        ("y must hold labels of the classes", (machine, X, np.array(["a", "b"] * 4))),
        ("validation must be a pair", (machine, X, y, X)),
        ("classes must name the 3 labels", (machine, X, y, None, ["a"])),
        ("model must be an adversarial autoencoder", (boltz.rbm(4, 2), X, y)),
        ("model must infer labels", (boltz.aae([4, 6], 2), X, y)),
        (r"validation\[1\] must hold a label", (machine, X, y, (X, y[:2]))),
    ]
    for told, arguments in calls:
        with pytest.raises(boltz.InputError, match=told):
            boltz.label_errors(*arguments)
