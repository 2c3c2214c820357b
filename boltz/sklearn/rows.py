"""Rows as scikit-learn hands them over, dense or in CSR format, and random numbers that belong to a row."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from boltz import kernels
from boltz.data.dataset import LARGEST
from boltz.data.sparse import is_sparse
from boltz.errors import InputError
from boltz.models.files import Model, inside
from boltz.numerics import logit
from boltz.parallel import shares, team, workers
from boltz.sampling.completion import filled
from boltz.sampling.evidence import Evidence, evidence_of
from boltz.scale import ROUNDING
from boltz.sklearn.parameters import check_parameters, visible_kind
from boltz.units import units_of
from boltz.units.states import state_words

Array = NDArray[Any]
BLOCK = 1 << 20  # numbers that are dense at a time
FLOATS = (np.float64, np.float32)


def dense(rows: Any) -> Array:
    """Rows as a dense array."""
    found: Array = rows.toarray() if is_sparse(rows) else rows
    return found


def checked(estimator: Any, X: Any, reset: bool, *y: Any) -> Any:
    """Rows as scikit-learn checks them, (rows, n_features) in a floating type, dense or CSR, and labels where given.

    NaN is let through where the estimator's missing is "infer"; such rows are dense. Numbers lie within the range of
    float32, in which learning works. Warns of numbers outside [0, 1] where units are binary. Raises ValueError.
    """
    check_parameters(estimator)
    unknown = estimator.missing == "infer"
    finite = "allow-nan" if unknown else True
    how = {"accept_sparse": "csr", "dtype": FLOATS, "reset": reset, "ensure_all_finite": finite}
    for labels in y:
        _check_labels(labels)
    found = validate_data(estimator, X, *y, **how)
    X = found[0] if y else found
    low, high = _range(X)
    kind = visible_kind(estimator)
    if kind == "bernoulli" and not (low >= -ROUNDING and high <= 1 + ROUNDING):
        warnings.warn(_outside(low, high), UserWarning, stacklevel=3)
    if kind != "bernoulli":
        _check_states(X, kind)
    X = dense(X) if unknown and is_sparse(X) and np.isnan(X.data).any() else X
    return (X, found[1]) if y else X


def _check_states(X: Any, kind: str) -> None:
    """Raise InputError unless rows hold NaN and states of units of a kind alone, codes of categorical ones."""
    units = units_of(kind)
    if units.support is None:
        return
    states = np.arange(units.columns) if units.columns > 1 else np.array(units.support)
    for block in blocks(X):
        rows = dense(X[block])
        wrong = ~(np.isin(rows, states) | np.isnan(rows))
        if wrong.any():
            codes = f"whole numbers from 0 to {units.columns - 1}, the codes of {units.columns} states"
            wanted = codes if units.columns > 1 else state_words(units)
            raise InputError(f"X must hold {wanted}, where units are {kind}, got {rows[wrong][0]:g}.")


def _check_labels(y: Any) -> None:
    """Raise InputError where labels are missing other than by -1, in the words of scikit-learn and with the remedy."""
    labels = np.asarray(y) if isinstance(y, np.ndarray | list | tuple) or hasattr(y, "to_numpy") else None
    if labels is None or labels.ndim > 2 or labels.dtype.kind not in "fO":
        return
    missing = labels != labels if labels.dtype.kind == "f" else np.frompyfunc(_missing, 1, 1)(labels).astype(bool)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        named = "None" if labels.flat[row] is None else "NaN"
        raise InputError(f"Input y contains {named}. Row {row} has it: mark rows without a label by -1.")


def _missing(label: Any) -> bool:
    """Whether a label is None, NaN, or what pandas has for them."""
    return (
        label is None or type(label).__name__ in ("NAType", "NaTType") or (isinstance(label, float) and label != label)
    )


def warn_of_grey(X: Any) -> None:
    """Warn of checked rows (rows, n_features) within [0, 1] that are not 0/1, which have no likelihood."""
    numbers = X.data if is_sparse(X) else X
    low, high = _range(X)
    if low < -ROUNDING or high > 1 + ROUNDING:
        return  # as was said already
    if ((numbers > ROUNDING) & (numbers < 1 - ROUNDING)).any():
        warnings.warn(
            "X holds numbers between 0 and 1, which have no likelihood under binary units, so that this score is none: "
            "score X > 0.5, or states drawn with these probabilities.",
            UserWarning,
            stacklevel=3,
        )


def checked_features(estimator: Any, X: Any, units: int) -> Any:
    """Features (rows, units) as scikit-learn checks arrays, in a floating type, dense or CSR; raises ValueError."""
    check_parameters(estimator)
    X = check_array(X, accept_sparse="csr", dtype=FLOATS, estimator=estimator, input_name="X")
    if X.shape[1] != units:
        raise InputError(f"X must hold the {units} features that transform gives, got {X.shape[1]} a row.")
    _range(X)
    return X


def _range(X: Any) -> tuple[float, float]:
    """The least and the largest number, and 0, of dense or sparse rows; raises InputError beyond float32."""
    numbers = X.data if is_sparse(X) else X
    low, high = (float(f.reduce(numbers, None, initial=0)) for f in (np.fmin, np.fmax))  # but for NaN
    if max(high, -low) > LARGEST:
        raise InputError(
            f"X must hold finite numbers within the range of float32, got one of size {max(high, -low):g}."
        )
    return low, high


def _outside(low: float, high: float) -> str:
    """What to know of rows outside [0, 1], and what to do."""
    remedy = (
        f"divide X by {high:g}, or put MinMaxScaler(clip=True) before"
        if low >= 0
        else "put MinMaxScaler(clip=True) before"
    )
    return (
        f"X holds numbers from {low:g} to {high:g}, but the visible units are within [0, 1], so that likelihoods, "
        f"features and classes mean little: {remedy}."
    )


def at_means(x: Any, kind: str = "bernoulli") -> Any:
    """Rows to learn from, unknown entries at the mean of the known ones in their column, 0 where there are none.

    Raises InputError for unknown entries of units of a kind whose means are no states.
    """
    if is_sparse(x) or not np.isnan(x).any():
        return x
    if kind not in ("bernoulli", "gaussian"):
        raise InputError(f"X must have no NaN to learn from where units are {kind}: leave such rows out of fit.")
    known = ~np.isnan(x)
    means = np.where(known, x, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, x, means.astype(x.dtype))


def base_rate_biases(x: Any) -> NDArray[np.float32]:
    """Logits (n_features,) of the mean of rows, drawn a little to 1/2 as by one more row on and one more row off."""
    total = np.asarray(x.sum(axis=0, dtype=np.float64)).reshape(-1)
    return logit(np.clip((total + 1) / (x.shape[0] + 2), 0.001, 0.999)).astype(np.float32)


def seen_rows(model: Model, x: Array) -> Array:
    """Dense rows, (rows, sites) of codes where units are categorical, as the machine sees them: in its type and units,
    with unknown units, marked by NaN, at means given the others.
    """
    layer = model.layers[0]
    if layer.type.support is not None and not layer.binary:
        return filled(model, evidence_of(model, x))
    return whole_rows(model, np.ascontiguousarray(inside(model, x)))


def whole_rows(model: Model, x: Array) -> Array:
    """Dense rows (rows, units) in a machine's type with unknown units, marked by NaN, at means given the others."""
    known = ~np.isnan(x)
    return x if known.all() else filled(model, Evidence(np.where(known, x, x.dtype.type(0)), known))


def blocks(x: Any) -> Iterator[slice]:
    """Slices of rows, of about BLOCK numbers each."""
    step = max(1, BLOCK // x.shape[1])
    return (slice(start, start + step) for start in range(0, x.shape[0], step))


def row_numbers(x: Any, seed: int) -> NDArray[np.uint64]:
    """A random number of 64 bits for each row, which follows from the seed and the numbers in the row alone.

    Rows with NaN, which all count as one, come here before they are filled in: what is put there may differ in its last
    bit beside other rows.
    """
    key, found = seed.to_bytes(8, "little"), []
    for block in blocks(x):
        rows = np.ascontiguousarray(dense(x[block]), np.float64) + 0.0  # -0.0 counts as 0.0
        rows[np.isnan(rows)] = np.nan
        for row in rows:
            found.append(hashlib.blake2b(row.data, digest_size=8, key=key).digest())
    return np.frombuffer(b"".join(found), "<u8").astype(np.uint64)


def field(x: Any, weight: Array, bias: Array, n_jobs: int | None, finish: Callable[[Array], None]) -> Array:
    """x @ weight + bias (rows, units) by shares of the rows, each of which finish may change in place."""
    out = np.empty((x.shape[0], weight.shape[1]), weight.dtype)

    def run(rows: slice) -> None:
        if is_sparse(x):
            out[rows] = x[rows] @ weight
        else:
            kernels.product(x[rows], weight, out[rows])
        out[rows] += bias
        finish(out[rows])

    with team(n_jobs), workers() as pool:
        pool.map(run, shares(x.shape[0], out))
    return out
