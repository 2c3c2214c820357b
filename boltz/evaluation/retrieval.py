"""Retrieval: rows of a database by how alike their features are to those of queries, and how good such rankings are.

Similarities are worked out for some queries at a time, so that no table of all queries by all rows is held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.estimate import joint_interval
from boltz.estimators.words import figure
from boltz.foreign import short_repr
from boltz.models.files import Model, checked_machine
from boltz.networks.labels import labels_of
from boltz.parallel import workers
from boltz.sampling.features import TOP, Layer, feature_layers, features_of

Array = NDArray[Any]
Floats = NDArray[np.float64]
AT_ONCE = 1 << 22  # similarities that a thread holds
ROUNDING = 1e-13  # share of squared lengths that a squared distance may be off


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Rows of a database for each query, the most alike first.

    - queries, database: their features (rows, features), any finite numbers, so that features of other models can be
      compared with those of a machine.
    - measure: "cosine" of the angle between features, 0 for features that are all 0; "correlation", the cosine of
      features less the mean over the database; "euclidean", less the distance.
    - top: how many rows ranking and similarity hold a query; all of them where there are no more.

    Raises InputError.
    """

    queries: Array = field(repr=False)
    database: Array = field(repr=False)
    measure: str = "cosine"
    top: int = 50

    def __post_init__(self) -> None:
        checks.choice(self.measure, "measure", MEASURES)
        checks.integer(self.top, "top", 1)
        found = checks.array(self.database, "database", (None, None))
        asked = checks.array(self.queries, "queries", (None, found.shape[1]))
        for name, rows in (("queries", asked), ("database", found)):
            if len(rows) == 0:
                raise InputError(f"{name} must have at least one row, got none.")
            object.__setattr__(self, name, rows)

    def __repr__(self) -> str:
        said = (f"{len(self.queries):,} queries", f"{len(self.database):,} rows", self.measure)
        return short_repr("Retrieval", said)

    @property
    def ranking(self) -> NDArray[np.int64]:
        """The numbers of the most similar rows of the database (queries, top); equals in the order of the database."""
        return self._best[0]

    @property
    def similarity(self) -> NDArray[np.float32]:
        """How similar these are (queries, top)."""
        return self._best[1]

    @cached_property
    def _best(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        top = min(self.top, len(self.database))
        numbers = np.empty((len(self.queries), top), np.int64)
        values = np.empty((len(self.queries), top), np.float32)

        def work(block: slice, found: Array) -> None:
            numbers[block] = _best_of(found, top)
            values[block] = np.take_along_axis(found, numbers[block], axis=1)

        self._by_blocks(work)
        return numbers, values

    def scores(self, labels: Any, database_labels: Any, at: int = 50) -> RetrievalScores:
        """How many rows with the label of their query come first.

        labels (queries,) and database_labels (rows,) are numbers or text. The average precision of a query is the mean,
        over all rows with its label, of the share of such rows among those that are ranked no lower (as
        sklearn.metrics.average_precision_score has it); its precision is that share among the first rows, as many as
        at. Raises InputError, also where the database has no row with the label of a query.
        """
        asked = labels_of(labels, len(self.queries), "labels")
        there = labels_of(database_labels, len(self.database), "database_labels")
        at = checks.integer(at, "at", 1, len(self.database))
        classes = {label: i for i, label in enumerate(dict.fromkeys(there))}
        for label in asked:
            if label not in classes:
                raise InputError(f"database_labels must hold the label of each query, but no row has {label!r:.60}.")
        wanted, held = (np.array([classes[label] for label in each], np.int64) for each in (asked, there))
        average, precision = np.empty(len(asked)), np.empty(len(asked))

        def work(block: slice, found: Array) -> None:
            hits = held == wanted[block, None]
            average[block] = [average_precision(*each) for each in zip(found, hits, strict=True)]
            precision[block] = np.take_along_axis(hits, _best_of(found, at), axis=1).mean(axis=1)

        self._by_blocks(work)
        return RetrievalScores(average, precision, at)

    def _by_blocks(self, work: Callable[[slice, Array], None]) -> None:
        """work(block, similarities of its queries to all rows (queries, rows)) for blocks of queries."""
        like = MEASURES[self.measure](self.database.astype(np.float64))
        queries, size = self.queries.astype(np.float64), max(AT_ONCE // len(self.database), 1)
        blocks = [slice(i, min(i + size, len(queries))) for i in range(0, len(queries), size)]
        with workers() as pool:
            pool.map(lambda block: work(block, like(queries[block]).astype(np.float32)), blocks)


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Average precision (queries,) and precision among the first rows, as many as at (queries,), each from 0 to 1.

    Their means have 95 % intervals, which say what other queries of the same kind would change. less(other) gives
    differences of two rankings for the same queries, from -1 to 1; their intervals are those of pairs.
    """

    average_precision: Floats = field(repr=False)
    precision: Floats = field(repr=False)
    at: int

    @property
    def mean_average_precision(self) -> float:
        """The mean over queries."""
        return float(self.average_precision.mean())

    @property
    def mean_precision(self) -> float:
        """The mean over queries."""
        return float(self.precision.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean average precision, by Student's t; infinite for one query."""
        return _interval(self.average_precision)

    @property
    def precision_interval(self) -> tuple[float, float]:
        """The same of the mean precision."""
        return _interval(self.precision)

    def less(self, other: RetrievalScores) -> RetrievalScores:
        """These scores less those of another ranking for the same queries; raises InputError."""
        checks.instance(other, "other", RetrievalScores)
        if other.average_precision.shape != self.average_precision.shape or other.at != self.at:
            own, others = (f"{len(each.precision)} queries at {each.at}" for each in (self, other))
            raise InputError(f"other must be scores of the same queries, {own}, got {others}.")
        average = self.average_precision - other.average_precision
        return RetrievalScores(average, self.precision - other.precision, self.at)

    def __str__(self) -> str:
        named = (("mean average precision", self.average_precision), (f"precision at {self.at}", self.precision))
        told = []
        for name, values in named:
            low, high = _interval(values)
            error = (high - low) / 4
            told.append(f"{name} {figure(float(values.mean()), error)} ({figure(low, error)} to {figure(high, error)})")
        return "; ".join(told)


def retrieve(
    model: Model, queries: Any, database: Any, layer: Layer = TOP, measure: str = "cosine", top: int = 50
) -> Retrieval:
    """Rows of a database for each query, by how alike their features are (Srivastava & Salakhutdinov 2014, section 5).

    - queries, database: rows as boltz.features takes them: arrays (rows, units), of a machine of several visible layers
      arrays by view, some or all of these. What is missing is filled in as boltz.features does: images alone can ask
      for articles of image and text, or of text alone.
    - layer: whose features count, as in boltz.features. measure, top: as in Retrieval.

    Raises InputError.
    """
    model = checked_machine(model, any_units=True, any_graph=True)
    checks.choice(measure, "measure", MEASURES)
    checks.integer(top, "top", 1)
    feature_layers(model, layer)
    asked, found = (
        features_of(model, queries, layer, name="queries"),
        features_of(model, database, layer, name="database"),
    )
    return Retrieval(asked, found, measure, top)


def average_precision(similarity: Array, hits: NDArray[np.bool_]) -> float:
    """The average precision of a ranking by similarity (rows,), of which hits (rows,) are right, at least one.

    Equally similar rows count as one step, so that their order does not matter.
    """
    every, right = np.sort(similarity), np.sort(similarity[hits])
    no_lower = len(every) - np.searchsorted(every, right)
    return float(np.mean((len(right) - np.searchsorted(right, right)) / no_lower))


Like = Callable[[Floats], Floats]


def _cosine(database: Floats) -> Like:
    turned = _of_length_one(database).T.copy()
    return lambda rows: _of_length_one(rows) @ turned


def _correlation(database: Floats) -> Like:
    middle = database.mean(axis=0)
    like = _cosine(database - middle)
    return lambda rows: like(rows - middle)


def _euclidean(database: Floats) -> Like:
    middle = database.mean(axis=0)  # large numbers that all rows share would cancel
    there = database - middle
    squares = np.sum(there**2, axis=1)

    def like(rows: Floats) -> Floats:
        own = rows - middle
        both = np.sum(own**2, axis=1)[:, None] + squares
        apart = both - 2 * own @ there.T
        apart[apart <= ROUNDING * both] = 0.0  # so that equal rows are equally far away
        return -np.sqrt(apart)

    return like


MEASURES: dict[str, Callable[[Floats], Like]] = {
    "cosine": _cosine,
    "correlation": _correlation,
    "euclidean": _euclidean,
}  # name -> what makes, of a database (rows, features), the similarity of queries (queries, features) to it


def _of_length_one(rows: Floats) -> Floats:
    """Rows divided by their lengths; rows of zeros as they are."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    safe = rows / np.where(largest > 0, largest, 1.0)
    length = np.sqrt(np.sum(safe**2, axis=1, keepdims=True))
    return safe / np.where(length > 0, length, 1.0)


def _best_of(similarity: Array, top: int) -> NDArray[np.int64]:
    """The numbers of the largest entries of each row (rows, top), the largest first, equals in their order."""
    if top == similarity.shape[1]:
        return np.argsort(-similarity, axis=1, kind="stable")
    found = np.empty((len(similarity), top), np.int64)
    least = np.partition(similarity, -top, axis=1)[:, -top]
    for row, own, bound in zip(found, similarity, least, strict=True):
        some = np.flatnonzero(own >= bound)
        row[...] = some[np.argsort(-own[some], kind="stable")[:top]]
    return found


def _interval(values: Floats) -> tuple[float, float]:
    """The 95 % interval of a mean."""
    count = len(values)
    error = float(values.std(ddof=1)) / count**0.5 if count > 1 else 0.0
    return joint_interval(float(values.mean()), (error, count))
