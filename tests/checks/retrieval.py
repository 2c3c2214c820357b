"""Checks of rankings and their scores against plain loops over queries and rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import boltz
from boltz.evaluation import retrieval

RNG = np.random.default_rng(0)
DATABASE, QUERIES = RNG.integers(0, 3, (90, 3)), RNG.integers(0, 3, (17, 3))  # whose similarities often are equal
HELD, WANTED = RNG.integers(0, 4, 90), RNG.integers(0, 4, 17)
MEASURES = ("cosine", "correlation", "euclidean")


def similarity(measure: str, a: Any, b: Any, middle: Any) -> float:
    """How alike two rows are, digit by digit; rounded, so that equals are equal."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if measure == "euclidean":
        return round(-math.dist(a, b), 6)
    if measure == "correlation":
        a, b = a - middle, b - middle
    lengths = math.hypot(*a) * math.hypot(*b)
    return round(sum(x * y for x, y in zip(a, b, strict=True)) / lengths, 6) if lengths else 0.0


def plain_average_precision(values: list[float], right: Any) -> float:
    """The mean over right rows of the share of right ones among all that are ranked no lower."""
    shares = []
    for value, hit in zip(values, right, strict=True):
        if hit:
            above = [other for each, other in zip(values, right, strict=True) if each >= value]
            shares.append(sum(above) / len(above))
    return float(np.mean(shares))


def check_rankings(top: int = 7) -> None:
    """Rows come by similarity, equals in the order of the database, whatever blocks queries come in."""
    for measure in MEASURES:
        found = boltz.Retrieval(QUERIES, DATABASE, measure, top)
        for query, numbers, values in zip(QUERIES, found.ranking, found.similarity, strict=True):
            plain = [similarity(measure, query, row, DATABASE.mean(axis=0)) for row in DATABASE]
            wanted = sorted(range(len(plain)), key=lambda i: (-plain[i], i))[:top]
            np.testing.assert_allclose(values, [plain[i] for i in wanted], rtol=0, atol=1e-5)
            assert numbers.tolist() == wanted, measure
    whole = boltz.Retrieval(QUERIES, DATABASE, top=10**6)
    assert whole.ranking.shape == (17, 90) and (np.diff(whole.similarity, axis=1) <= 0).all()
    assert (whole.ranking[:, :top] == boltz.Retrieval(QUERIES, DATABASE, top=top).ranking).all()


def check_scores() -> None:
    """Average precision and precision of each query are those of plain loops, for labels of any kind."""
    for measure in MEASURES:
        found = boltz.Retrieval(QUERIES, DATABASE, measure)
        for names in (lambda y: y, lambda y: [f"class {each}" for each in y]):
            scores = found.scores(names(WANTED), names(HELD), at=9)
            for i, query in enumerate(QUERIES):
                plain = [similarity(measure, query, row, DATABASE.mean(axis=0)) for row in DATABASE]
                first = sorted(range(len(plain)), key=lambda i, plain=plain: (-plain[i], i))[:9]
                wanted = plain_average_precision(plain, WANTED[i] == HELD)
                assert abs(scores.average_precision[i] - wanted) < 1e-12
                assert abs(scores.precision[i] - np.mean(HELD[first] == WANTED[i])) < 1e-12


def check_blocks() -> None:
    """Blocks of a few queries give what one block gives."""
    scores = boltz.Retrieval(QUERIES, DATABASE).scores(WANTED, HELD)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retrieval, "AT_ONCE", 3 * len(DATABASE))
        found = boltz.Retrieval(QUERIES, DATABASE)
        again = found.scores(WANTED, HELD)
        assert (found.ranking == boltz.Retrieval(QUERIES, DATABASE).ranking).all()
    np.testing.assert_allclose(again.average_precision, scores.average_precision, rtol=0, atol=1e-12)


def check_intervals() -> None:
    """Intervals are those of Student's t, those of differences of pairs, and a single query has none."""
    first = boltz.Retrieval(QUERIES, DATABASE).scores(WANTED, HELD)
    second = boltz.Retrieval(QUERIES[:, :1], DATABASE[:, :1]).scores(WANTED, HELD)
    apart = first.less(second)
    for found, values in (
        (first, first.average_precision),
        (apart, first.average_precision - second.average_precision),
    ):
        wanted = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        np.testing.assert_allclose(found.interval, wanted, rtol=0, atol=1e-9)
        assert abs(found.mean_average_precision - values.mean()) < 1e-12
    values = first.precision - second.precision
    wanted = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(apart.precision_interval, wanted, rtol=0, atol=1e-9)
    assert boltz.Retrieval(QUERIES[:1], DATABASE).scores(WANTED[:1], HELD).interval == (-math.inf, math.inf)


def check_large_numbers() -> None:
    """A shift that all rows share, and very large or small numbers, change no ranking; rows of zeros are like none."""
    plain = boltz.Retrieval(QUERIES, DATABASE, "euclidean")
    assert (boltz.Retrieval(QUERIES + 1e7, DATABASE + 1e7, "euclidean").ranking == plain.ranking).all()
    cosine = boltz.Retrieval(QUERIES, DATABASE)
    for factor in (1e-200, 1e200):
        assert (boltz.Retrieval(QUERIES * factor, DATABASE * factor).ranking == cosine.ranking).all()
    zeros = boltz.Retrieval(np.zeros((1, 3)), DATABASE)
    assert (zeros.similarity == 0).all() and zeros.ranking[0].tolist() == list(range(50))


def check_retrieve() -> None:
    """A machine ranks rows by the features of what queries and database hold, some views or all."""
    rng = np.random.default_rng(1)
    x = {"a": rng.integers(0, 2, (40, 5)), "b": rng.normal(3, 2, (40, 2))}
    model = boltz.multimodal({"a": 5, "b": (2, "gaussian")}, {"a": [4], "b": [3]}, 4, x=x)
    model.arena[...] += rng.normal(0, 1, model.arena.size)
    some = {"a": x["a"][:6]}
    for layer in ("joint", "a_h1", "all"):
        found = boltz.retrieve(model, some, x, layer, "euclidean", 5)
        wanted = boltz.Retrieval(boltz.features(model, some, layer), boltz.features(model, x, layer), "euclidean", 5)
        assert (found.ranking == wanted.ranking).all() and found.ranking.shape == (6, 5)
        assert (found.queries == boltz.features(model, some, layer)).all()
    one = boltz.rbm(5, 4, x["a"], initial_scale=1.0)
    assert (boltz.retrieve(one, x["a"], x["a"]).ranking[:, 0] < 40).all()
    assert (boltz.retrieve(one, x["a"], x["a"], measure="euclidean").similarity[:, 0] == 0).all()


def check_borders() -> None:
    """What does not fit is refused in one sentence that names the argument."""
    found = boltz.Retrieval(QUERIES, DATABASE)
    model = boltz.multimodal({"a": 3, "b": 3}, {"a": [2], "b": [2]}, 2)
    rows = {"a": np.zeros((4, 3)), "b": np.zeros((4, 3))}
    wrong = [
        (lambda: boltz.Retrieval(QUERIES, DATABASE, "angle"), "measure must be one of"),
        (lambda: boltz.Retrieval(QUERIES, DATABASE, top=0), "top must be a whole number"),
        (lambda: boltz.Retrieval(QUERIES[:, :2], DATABASE), r"queries must have shape \(any, 3\)"),
        (lambda: boltz.Retrieval(QUERIES, DATABASE * np.nan), "database must be finite"),
        (lambda: boltz.Retrieval(QUERIES[:0], DATABASE), "queries must have at least one row"),
        (lambda: found.scores(WANTED[1:], HELD), "labels must hold one label for each of the 17 rows"),
        (lambda: found.scores(WANTED, HELD + 9), "database_labels must hold the label of each query"),
        (lambda: found.scores(WANTED, HELD, at=91), "at must be a whole number"),
        (lambda: found.scores(WANTED, HELD).less(found.scores(WANTED, HELD, at=3)), "other must be scores of the same"),
        (lambda: boltz.retrieve(model, {"c": rows["a"]}, rows), "queries must hold arrays by view, some of a, b"),
        (lambda: boltz.retrieve(model, rows, {"a": rows["a"] + 7}), r"database\['a'\] must"),
        (lambda: boltz.retrieve(model, rows, rows, "top floor"), "layer must be"),
        (lambda: boltz.retrieve(model, rows, rows, top=-1), "top must be"),
        (lambda: boltz.retrieve(boltz.boltzmann(3), rows["a"], rows["a"]), "model must have hidden units"),
    ]
    for call, message in wrong:
        with pytest.raises(boltz.InputError, match=f"^{message}"):
            call()
