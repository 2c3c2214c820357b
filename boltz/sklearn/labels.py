"""Labels of rows as scikit-learn hands them over, -1 where there is none, and what classifiers share."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted, column_or_1d

from boltz.errors import InputError
from boltz.sklearn.machines import DeepMachine

Array = NDArray[Any]
ALIKE = 1.5  # times that a class has more rows than one that is about as frequent


def labelled(y: Array) -> NDArray[np.bool_]:
    """Which rows have a label (rows,): all but those with -1, as scikit-learn marks rows without one.

    Beside one other class alone, -1 is a class, of which is warned, as where it looks like one class of several. Raises
    InputError where no row has a label.
    """
    known = np.asarray(y != -1) if y.dtype.kind in "ifO" else np.ones(len(y), bool)
    classes = set(y[known].tolist())
    if not classes:
        raise InputError("y must hold labels, got -1 alone, which marks rows without a label.")
    if len(classes) == 1 and not known.all():
        warnings.warn(
            f"y holds -1 and {classes.pop()!r:.40} alone, which are taken for two classes: -1 marks rows without a "
            "label only beside two or more; name two classes 0 and 1, and give rows without a label as unlabelled.",
            UserWarning,
            stacklevel=3,
        )
        return np.ones(len(y), bool)
    if not known.all() and _like_a_class(y[known], int((~known).sum())):
        warnings.warn(
            f"y holds -1 in {(~known).sum():,} rows beside {', '.join(map(str, sorted(classes)[:3]))}"
            f"{', ...' if len(classes) > 3 else ''}: they count as rows without a label; if -1 is a class, number the "
            "classes from 0.",
            UserWarning,
            stacklevel=3,
        )
    return known


def _like_a_class(labels: Array, others: int) -> bool:
    """Whether so many rows with -1 may be one more class: the others are 0, 1, ... and about as frequent."""
    if labels.dtype.kind == "O" or (labels != np.rint(labels)).any():
        return False
    classes, counts = np.unique(labels, return_counts=True)
    return (
        np.array_equal(classes, np.arange(len(classes))) and counts.min() <= ALIKE * others <= ALIKE**2 * counts.max()
    )


class MachineClassifier(ClassifierMixin, DeepMachine):
    """A machine that tells classes_ of rows by their probabilities."""

    classes_: Array

    @abstractmethod
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (rows, classes) of classes_ for rows X (rows, n_features)."""

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Logarithms (rows, classes) of predict_proba."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Array:
        """The most probable class (rows,) of rows X (rows, n_features)."""
        best = self.predict_proba(X).argmax(axis=1)
        found: Array = self.classes_[best]
        return found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows X (rows, n_features) whose class is predicted as y (rows,) has it.

        Rows with -1 in y, where that is no class, have no label and do not count, so that a search may have such rows.
        """
        check_is_fitted(self)
        labels = column_or_1d(y)
        known = np.asarray(labels != -1) if labels.dtype.kind in "ifO" and -1 not in self.classes_ else None
        if known is None or known.all():
            return float(super().score(X, y, sample_weight))
        if not known.any():
            raise InputError("y must hold labels, got -1 alone, which marks rows without a label.")
        rows = np.flatnonzero(known)
        weight = None if sample_weight is None else _safe_indexing(sample_weight, rows)
        return float(super().score(_safe_indexing(X, rows), labels[rows], weight))
