"""Checks of log p of what is known of rows, of machines on any graph, beside sums over all joint states."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from checks.any_graph import machine
from oracles.graphs import Wired
from support import stats

import boltz
from boltz.estimators import unknown_units
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.opened import opened
from boltz.sampling.evidence import evidence_of

SHAPES = ("views", "uneven", "tied", "both", "triangle", "lateral", "sparse", "sparse potts")
ERRORS = 5  # standard errors: one false alarm in two million each, if errors are normal


def rows_with_holes(model: BoltzmannMachine, count: int, seed: int = 0) -> tuple[Any, Any]:
    """Rows of the machine and which columns are known: whole views, and single units, at random; one row is whole, and
    of one nothing is known.
    """
    drawn = boltz.exact_samples(model, count, seed=seed)
    rng = np.random.default_rng(seed)
    parts = []
    for layer in model.visible_layers:
        units = rng.random((count, layer.units // layer.columns)) < 0.6
        units[rng.random(count) < 0.3] = False
        parts.append(np.repeat(units, layer.columns, axis=1))
    known = np.concatenate(parts, axis=1)
    known[0], known[1] = True, False
    return np.concatenate([drawn[n] for n in model.graph.views], axis=1), known


def truth(model: BoltzmannMachine, rows: Any, known: Any) -> Any:
    """log p of the known part of each row: the probability of all joint states that agree with it."""
    wired = Wired.of(model)
    columns = wired.columns(model.graph.views)
    states, p = wired.states()[:, columns], wired.p()
    agree = (states[None] == rows[:, None]) | ~known[:, None]
    return np.log(agree.all(axis=2) @ p)


def check_exact(name: str) -> None:
    """Every row by enumeration; catches masks of other rows, weights of other units, and couplings that are lost."""
    model = machine(name, scale=1.0)
    rows, known = rows_with_holes(model, 40)
    found = boltz.log_likelihood(model, rows, mask=known)
    assert found.kind == "exact" and found.per_row is not None
    np.testing.assert_allclose(found.per_row, truth(model, rows, known), rtol=0, atol=1e-9)
    assert found.per_row[1] == 0


def check_sampled(name: str) -> None:
    """By importance samples: the mean within 5 errors, which are below 0.01 nats, and the kind is told."""
    model = machine(name, scale=1.0)
    rows, known = rows_with_holes(model, 40, 1)
    wanted = truth(model, rows, known)
    found = boltz.log_likelihood(model, rows, boltz.exact_log_z(model), samples=1000, seed=2, mask=known)
    if any(not opened(model, row).independent_hidden for row in known if row.any()):
        assert found.kind == "lower" and 0 < found.standard_error < 0.01
    assert abs(found.value - wanted.mean()) < ERRORS * found.standard_error + 1e-9


def check_annealed(name: str) -> None:
    """By annealing, which machines of more units take: each row unbiased, alpha 1e-6 in all. Detects 0.2 nats."""
    model = machine(name, scale=1.0)
    rows, known = rows_with_holes(model, 12, 2)
    rows, known = rows[2:], known[2:]
    wanted, values = truth(model, rows, known) + boltz.exact_log_z(model).value, []
    with mock.patch.object(unknown_units, "MOST_UNITS", -1):
        found = unknown_units.log_known(model, evidence_of(model, rows, known), 0, boltz.exact_log_z(model), 3)
    for (value, error, _, _), exact in zip(found.values, wanted, strict=True):
        if error < 1e-9:  # nothing is left to anneal
            assert abs(value - exact) < 1e-9
            continue
        assert error < 0.03 and stats.detectable_ratio(0.2, error)
        values.append(stats.ratio_test(value, exact, error, unknown_units.CHAINS))
    stats.accept(stats.smallest_of(values), "annealing with clamped units gives another log p")


def check_scaled_views() -> None:
    """Of a view of real numbers in units of the data: log p(text) and log p(image, text) differ by a Gaussian mixture,
    whose density at the row is summed here over the states of the hidden units.
    """
    rng = np.random.default_rng(5)
    image, text = rng.normal(10, 4, (30, 2)), (rng.random((30, 3)) < 0.5).astype(np.float64)
    views: dict[str, Any] = {"image": (2, "gaussian"), "text": 3}
    model = boltz.multimodal(
        views, {"image": [2], "text": [2]}, 2, x={"image": image, "text": text}, dtype=np.float64, initial_scale=0.7
    )
    whole = boltz.log_likelihood(model, {"image": image, "text": text}, 0.0).per_row
    alone = boltz.log_likelihood(model, {"text": text}, 0.0).per_row
    assert whole is not None and alone is not None
    grid = np.linspace(-90, 110, 401)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    for row in range(2):
        every = {"image": points, "text": np.repeat(text[row : row + 1], len(points), axis=0)}
        each = boltz.log_likelihood(model, every, 0.0).per_row
        assert each is not None
        summed = np.log(np.exp(each - each.max()).sum()) + each.max() + 2 * np.log(grid[1] - grid[0])
        assert abs(summed - alone[row]) < 1e-6


def check_views() -> None:
    check_exact("views")


def check_both() -> None:
    check_exact("both")


def check_sparse() -> None:
    check_exact("sparse")


def check_sampled_views() -> None:
    check_sampled("views")


def check_annealed_views() -> None:
    check_annealed("views")


def bits_with_holes() -> tuple[BoltzmannMachine, Any, Any]:
    """A machine of two views of bits, rows of it, and which columns are known."""
    model = boltz.multimodal({"x": 3, "y": 4}, {"x": [3], "y": [2]}, 2, dtype=np.float64)
    model.arena[...] = np.random.default_rng(6).normal(0, 1.2, model.arena.size)
    return model, *rows_with_holes(model, 30, 5)


def with_nan(model: BoltzmannMachine, rows: Any, known: Any) -> dict[str, Any]:
    """Arrays by view with NaN where a column is unknown."""
    return model.graph.split(np.where(known, rows, np.nan))


def check_evaluated() -> None:
    """boltz.evaluate of rows with unknown entries: each row by enumeration, those of which nothing is known left out,
    and means over rows of which the same views are known.
    """
    model, rows, known = bits_with_holes()
    some = known.any(axis=1)
    wanted = truth(model, rows, known)[some]
    found = boltz.evaluate(model, with_nan(model, rows, known))
    assert found.log_likelihood.kind == "exact" and found.log_likelihood.per_row is not None
    np.testing.assert_allclose(found.log_likelihood.per_row, wanted, rtol=0, atol=1e-6)
    assert not some.all() and any("Nothing is known of" in note for note in found.notes)
    x, y = known[some][:, :3], known[some][:, 3:]
    own = {"x and y": x.all(axis=1) & y.all(axis=1), "x": x.all(axis=1) & ~y.any(axis=1)}
    told = {part.known: part for part in found.parts}
    assert sum(part.rows for part in found.parts) == some.sum()
    for name, mine in own.items():
        assert told[name].rows == mine.sum() > 0
        np.testing.assert_allclose(told[name].value, wanted[mine].mean(), atol=1e-6)
    assert "of x and y" in str(found) and "what is known of" in str(found)
