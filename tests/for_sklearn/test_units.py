"""Estimators with units of other kinds: would catch other features and likelihoods, and bad kinds or rows that pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from checks import sklearn_units as checks
from sklearn.base import clone

import boltz
from boltz.sklearn import DBMTransformer, RBMTransformer

CODES = np.array([[0.0, 1], [2, 0], [1, 1], [0, 0]])
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 2, "chains": 4, "random_state": 1}


def test_features() -> None:
    checks.check_features()


def test_scores() -> None:
    checks.check_scores()


def test_bounds() -> None:
    checks.check_bounds()


def test_the_way_back() -> None:
    checks.check_the_way_back()


def test_training() -> None:
    checks.check_training()


def test_unknown_entries() -> None:
    checks.check_unknown_entries()


@pytest.mark.parametrize(
    ("changed", "rows", "said"),
    [
        ({"units": "spins"}, CODES, "units must be of kind"),
        ({"units": 3}, CODES, "units must be a kind of units"),
        ({"hidden_units": None}, CODES, "hidden_units must be a kind of units"),
        (
            {"units": "drelu"},
            CODES,
            "units must be bernoulli, spin, gaussian, or a categorical or binomial kind, got 'drelu'.",
        ),
        ({"units": "gaussian", "hidden_units": "drelu"}, CODES, "layers v and h1 must not both have real-valued units"),
        ({"units": "gaussian", "binarize": "dynamic"}, CODES, "binarize must be none where units are gaussian"),
        ({"units": "spin"}, CODES, "X must hold -1 and 1, where units are spin, got 0."),
        ({"units": ("categorical", 2)}, CODES, "X must hold whole numbers from 0 to 1, the codes of 2 states"),
        (
            {"units": ("binomial", 1001)},
            CODES,
            "units[1] must be a whole number of at least 1 and at most 1000, got 1001",
        ),
        (
            {"units": "binomial:3"},
            CODES / 2,
            "X must hold whole numbers from 0 to 3, where units are binomial:3, got 0.5",
        ),
        ({"units": ("binomial", 1)}, CODES, "X must hold 0 and 1, where units are binomial:1, got 2."),
        ({"units": ("categorical", 3)}, CODES / 2, "X must hold whole numbers from 0 to 2, the codes of 3 states"),
    ],
)
@pytest.mark.parametrize(
    "estimator", [RBMTransformer(2), DBMTransformer((2, 2), pretrain="bottom")], ids=["rbm", "dbm"]
)
def test_bad_kinds_and_rows_are_refused(estimator: Any, changed: dict[str, Any], rows: Any, said: str) -> None:
    with pytest.raises(boltz.InputError) as caught:
        clone(estimator).set_params(**changed).fit(rows)
    assert str(caught.value).startswith(said), str(caught.value)


def test_rows_come_in_batches_and_sparse() -> None:
    """Catches a second call that makes another machine, and sparse codes that are read as columns."""
    found = RBMTransformer(3, units=("categorical", 3), **QUICK).fit(sp.csr_array(CODES))
    assert found.machine_.arena.tobytes() == clone(found).fit(CODES).machine_.arena.tobytes()
    assert np.array_equal(found.transform(sp.csr_array(CODES)), found.transform(CODES))
    with pytest.raises(boltz.InputError, match=r"^X must hold whole numbers"):
        found.transform(CODES + 1)
    found.partial_fit(CODES[:2]).set_params(warm_start=True).fit(CODES)
    assert found.machine_.layers[0].kind == "categorical:3" and found.machine_.units == {"v": 6, "h1": 3}
    with pytest.raises(boltz.InputError, match=r"^warm_start goes on from a machine"):
        found.set_params(units=("categorical", 4)).fit(CODES)
