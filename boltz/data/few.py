"""A few labelled rows out of many, the same number of each class as far as it goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data.sparse import SparseRows
from boltz.data.table import Array, Data, fingerprint
from boltz.rng import Key


def few_rows(labels: Array, number: int, seed: int = 0) -> NDArray[np.int64]:
    """Numbers, in rising order, of so many rows drawn by seed: of each class of labels (rows,) the same number or one
    more, but all rows of a class that has fewer. Raises InputError.
    """
    checks.integer(number, "few", 1, len(labels))
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("few")
    order = key.generator().permutation(len(labels))
    _, classes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)
    turn[np.argsort(classes, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return np.sort(order[np.argsort(turn, kind="stable")[:number]])


def parted(data: Data, share: float, seed: int) -> tuple[Data, Data]:
    """The rows in two parts, drawn by seed: those to learn from, and a share of at least one row that is held out."""
    count = len(data.x)
    held = held_rows(count, share)
    order = Key.from_seed(seed).derive("validation").generator().permutation(count)
    return only(data, np.sort(order[held:])), only(data, np.sort(order[:held]))


def held_rows(count: int, share: float) -> int:
    """How many of so many rows a share holds out: at least one, and not all."""
    return min(max(round(share * count), 1), count - 1) if share > 0 else 0


def only(data: Data, rows: NDArray[np.int64]) -> Data:
    """Some rows of data by their numbers, as an array of their own."""
    sparse = isinstance(data.x, SparseRows)
    x: Any = SparseRows(data.x.matrix[rows]) if sparse else np.ascontiguousarray(data.x[rows])
    labels = None if data.labels is None else data.labels[rows]
    return replace(data, x=x, labels=labels, fingerprint=fingerprint(x), request={})
