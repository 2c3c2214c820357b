"""Catches rankings that are no rankings by similarity, and scores that are not those of scikit-learn or plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from checks import retrieval as checks

import boltz


def test_rankings() -> None:
    checks.check_rankings()


def test_scores() -> None:
    checks.check_scores()


def test_blocks() -> None:
    checks.check_blocks()


def test_intervals() -> None:
    checks.check_intervals()


def test_large_numbers() -> None:
    checks.check_large_numbers()


def test_retrieve() -> None:
    checks.check_retrieve()


def test_borders() -> None:
    checks.check_borders()


def test_average_precision_is_that_of_scikit_learn() -> None:
    """With ties, and without."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 5, 300)
    for database in (rng.normal(size=(300, 4)), rng.integers(0, 2, (300, 4)).astype(float)):
        queries = database[::7]
        found = boltz.Retrieval(queries, database, top=300)
        scores = found.scores(labels[::7], labels)
        for i, (numbers, values) in enumerate(zip(found.ranking, found.similarity, strict=True)):
            wanted = metrics.average_precision_score(labels[numbers] == labels[7 * i], values)
            assert abs(scores.average_precision[i] - wanted) < 1e-12
