"""Checks of the errors of inferred labels, and of mutual information adjusted for chance."""

from __future__ import annotations

import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

import boltz
from boltz.evaluation import inferred_labels
from boltz.evaluation.agreement import adjusted_mutual_information
from boltz.evaluation.label_errors import Known, cluster_errors, labelled_rows, taught_errors
from boltz.evaluation.label_names import numbered, numbers_of
from boltz.evaluation.trained import Trained
from boltz.training.description import RowsEntry, RunDescription


def _information(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for a in np.unique(one):
        for b in np.unique(other):
            both = np.mean((one == a) & (other == b))
            total += both * np.log(both / (np.mean(one == a) * np.mean(other == b))) if both else 0.0
    return total


def check_agreement() -> None:
    """Adjusted mutual information is that of all orders of six rows (Vinh, Epps & Bailey 2010), and that of
    scikit-learn.
    """
    one, other = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 7, 7, 7, 7])
    chance = np.mean([_information(one, other[list(order)]) for order in permutations(range(6))])
    most = (_information(one, one) + _information(other, other)) / 2
    expected = (_information(one, other) - chance) / (most - chance)
    assert np.isclose(adjusted_mutual_information(one, other), expected)
    assert adjusted_mutual_information(one, one + 3) == 1.0 and abs(adjusted_mutual_information(one, 0 * one)) < 1e-12
    assert adjusted_mutual_information(np.arange(4), np.arange(4)) == 1.0
    from sklearn.metrics import adjusted_mutual_info_score

    generator = np.random.default_rng(0)
    for _ in range(3):
        a, b = generator.integers(0, 4, 60), generator.integers(0, 3, 60)
        b[:20] = a[:20] % 3
        assert np.isclose(adjusted_mutual_information(a, b), adjusted_mutual_info_score(b, a))


VALIDATION = Known(
    np.array([[0.60, 0.30, 0.10], [0.70, 0.20, 0.10], [0.90, 0.05, 0.05], [0.10, 0.80, 0.10], [0.30, 0.40, 0.30]]),
    np.array(["b", "b", "a", "c", "c"]),
)  # the most confident row of each cluster: rows 2, 3 and 4; no row is the most probable one in cluster 2
ROWS = Known(
    np.array([[0.80, 0.10, 0.10], [0.70, 0.20, 0.10], [0.60, 0.20, 0.20], [0.10, 0.70, 0.20], [0.20, 0.20, 0.60]]),
    np.array(["a", "b", "b", "c", "a"]),
)


def check_clusters() -> None:
    """Five rows by hand: cluster 0 is a by its most confident row, and b by most of its rows."""
    found = cluster_errors(ROWS, VALIDATION)
    assert found.names == ("a", "c", "c") and found.predicted.tolist() == ["a", "a", "a", "c", "c"]
    assert (found.wrong, found.rows, found.error, found.validation_rows) == (3, 5, 0.6, 5)
    assert found.majority_error == 0.4
    assert np.allclose(found.interval, [0.14663, 0.94726], atol=1e-4)  # Clopper & Pearson 1934, three of five
    assert np.isclose(found.mutual_information, adjusted_mutual_information(np.array([0, 0, 0, 1, 2]), ROWS.labels))


def check_taught() -> None:
    """Label k is class k by name: none is shifted."""
    labels = np.array([7, 7, 9, 30, 9])
    names, numbers = numbered(labels)
    assert names == (7, 9, 30) and numbers.tolist() == [0, 0, 1, 2, 1]
    found = taught_errors(Trained("the machine", None), Known(ROWS.probabilities, labels), names)  # type: ignore[arg-type]
    assert found.predicted.tolist() == [7, 7, 7, 9, 30] and found.wrong == 3 and not found.clusters


def check_unknown() -> None:
    """Labels of -1, NaN and None do not count, also in arrays of objects; those of objects and truths do."""
    machine, x = boltz.aae([4, 6], 2, clusters=3), np.eye(4)
    for y in (
        np.array([0, -1, 2, np.nan]),
        np.array([0, -1, 2, None], object),
        np.array(["a", float("nan"), "b", -1], object),
        np.array([True, None, False, np.nan], object),
    ):
        expected = np.array([each is not None and each == each and each != -1 for each in y.tolist()])
        known = labelled_rows(machine, x, y)
        assert known.labels.tolist() == y[expected].tolist() and known.labels.dtype.kind != "O"
        assert np.array_equal(known.probabilities, boltz.label_probabilities(machine, x)[expected])
        assert cluster_errors(known, known).rows == 2
    assert labelled_rows(machine, x, np.array([True, False, True, True])).labels.tolist() == [True, False, True, True]
    objects = Known(VALIDATION.probabilities, VALIDATION.labels.astype(object))
    assert cluster_errors(ROWS, objects).names == cluster_errors(ROWS, VALIDATION).names


def check_naming() -> None:
    """Where only training rows name clusters, these are spread over all of a file that may be sorted by class."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        place = Path(folder) / "rows.npz"
        np.savez(place, x_train=np.repeat(np.eye(3, dtype=np.uint8), 10, axis=0), y_train=np.repeat([3, 5, 8], 10))
        patch.setattr(inferred_labels, "MOST", 6)
        run = RunDescription(data=RowsEntry({"load": {"name_or_path": str(place), "split": "train"}}))
        found = inferred_labels._naming(Trained("the run", boltz.aae([3, 4], 2, clusters=3), None, run))
    assert found is not None and found[0] == "training rows" and found[1].labels.tolist() == [3, 3, 5, 5, 8, 8]


def check_numbers() -> None:
    """Classes are numbered in sorted order; -1 beside two others says that a label is not known."""
    assert numbered(np.array(["no", "yes", "no"]))[1].tolist() == [0, 1, 0]
    names, numbers = numbered(np.array([4, -1, 2, 4]))
    assert names == (2, 4) and numbers.tolist() == [1, -1, 0, 1]
    assert numbered(np.array([-1, 1, -1]))[0] == (-1, 1)
    names, numbers = numbered(np.array([0, 3, 1]), 10)
    assert names == tuple(range(10)) and numbers.tolist() == [0, 3, 1]
    assert numbers_of(np.array(["b", "z"]), ("a", "b")).tolist() == [1, -1]
