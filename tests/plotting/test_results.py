"""Catches pictures of log Z and of comparisons that show other numbers, leave out doubts, or cut long names."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checks import quick_notebook

import boltz
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, exact
from boltz.evaluation.paired import Entry, pairs, ranking
from boltz.plotting import images, results

RNG = np.random.default_rng(5)
NAMES = ["$a$_rbm", "_vae$", "\\frac{", "x" * 80, *(f"machine_{i}_of_a_sweep_with_a_long_name" for i in range(8))]


def compared(names: list[str], doubts: tuple[str, ...] = ()) -> Any:
    """What plot_comparison reads of a comparison, the last of the machines with these doubts."""
    shared, found = RNG.normal(-80, 3, 40), []
    for i, name in enumerate(names):
        rows = shared - i + RNG.normal(0, 0.1, 40)
        error = float(rows.std(ddof=1)) / math.sqrt(40)
        value, why = float(rows.mean()), doubts if name == names[-1] else ()
        ends = value - 2 * error, value + 2 * error
        kind: Any = ("exact", "lower", "upper", "none")[i % 4]
        found.append(Estimate(value, 0.0, ends, kind, 0, 0, 0, why, per_row=rows, standard_error_rows=error))
    entries = [Entry(name, estimate) for name, estimate in zip(names, found, strict=True)]
    models = [SimpleNamespace(name=each.name, log_likelihood=each.estimate) for each in entries]
    return SimpleNamespace(models=models, pairs=pairs(entries), ranking=ranking(entries))


def test_checks() -> None:
    quick_notebook.check_plots_of_results()


def test_machines_are_ranked_with_their_intervals() -> None:
    found = compared(["c", "b", "a", "d"])
    figure = boltz.plot_comparison(found)
    machines, differences = figure.axes
    labels = [text.get_text() for text in machines.get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == ["c", "b", "a", "d"] and "probability 1.00" in labels[0]
    points = [line for line in machines.lines if line.get_linestyle() == "None"]
    assert [point.get_marker() for point in points] == [results.MARKERS[m.log_likelihood.kind] for m in found.models]
    bars = [line for line in machines.lines if line.get_linestyle() != "None"]
    assert all(bar.get_marker() == "|" and bar.get_markersize() > points[0].get_markersize() for bar in bars)
    for i, (model, point, bar) in enumerate(zip(found.models, points, bars, strict=True)):
        estimate = model.log_likelihood
        assert (list(point.get_xdata()), list(point.get_ydata())) == ([estimate.value], [i])  # type: ignore[arg-type]
        assert tuple(bar.get_xdata()) == estimate.interval  # type: ignore[arg-type]
    legend = machines.get_legend()
    assert legend is not None and [t.get_text() for t in legend.get_texts()] == list(results.KINDS.values())
    assert [text.get_text().replace("\n", " ") for text in differences.texts] == [p.verdict for p in found.pairs]
    wanted = [f"{p.first}\nless {p.second}" for p in found.pairs]
    assert [text.get_text() for text in differences.get_yticklabels()] == wanted


def test_the_machine_with_the_largest_value_is_at_the_top() -> None:
    """Also where its value is not trusted, so that nobody has a probability of being the best."""
    found = compared(["c", "b", "a"], ("few samples",))
    found.models = found.models[::-1]
    labels = [text.get_text().split("\n")[0] for text in boltz.plot_comparison(found).axes[0].get_yticklabels()]
    assert labels == ["c", "b", "a (NOT trusted)"]


def test_an_interval_without_an_end_has_an_arrow() -> None:
    found = compared(["a", "b"])
    pair = replace(found.pairs[0], interval=(0.5, math.inf))
    axes = boltz.plot_comparison(SimpleNamespace(models=found.models, pairs=(pair,), ranking=found.ranking)).axes[1]
    assert [line.get_marker() for line in axes.lines if line.get_linestyle() == "None"] == [">", "o"]
    assert all(np.isfinite(line.get_xdata()).all() for line in axes.lines)


@pytest.mark.parametrize(("count", "drawn"), [(1, 0), (2, 1), (6, 15), (12, 11)])
def test_labels_stand_apart_however_many_machines(count: int, drawn: int, tmp_path: Path) -> None:
    """Nothing is drawn over anything else or beyond the edge; of many pairs only those of the first machine are."""
    figure = boltz.plot_comparison(compared(NAMES[:count], ("made up " * 30,)))
    images.save(figure, tmp_path / "a.png")
    assert len(figure.axes) == 1 + (drawn > 0)
    for axes in figure.axes:
        for texts in (axes.get_yticklabels(), axes.texts):
            boxes = [text.get_window_extent() for text in texts]
            assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
            tops = sorted((box.y0, box.y1) for box in boxes)
            assert all(upper[0] >= lower[1] for lower, upper in pairwise(tops))
    assert len(figure.axes[-1].texts) == drawn


def test_log_z_is_drawn_with_what_it_comes_from() -> None:
    model = boltz.from_arrays([RNG.normal(0, 0.5, (22, 21))], [np.zeros(22), np.zeros(21)])
    both, up = boltz.log_z(model, budget=0), boltz.log_z(model, method="ais", betas=20, chains=10)
    assert both.ladder is not None
    values, weights, path, swaps = boltz.plot_log_z(both).axes
    sides = [both.lower, both.upper, both.ladder.estimate, both.estimate]
    points = [line for line in values.lines if line.get_linestyle() == "None"]
    assert [float(point.get_xdata()[0]) for point in points] == [side.value for side in sides]  # type: ignore[index]
    np.testing.assert_array_equal(weights.lines[0].get_ydata(), np.sort(both.lower.log_weights))
    np.testing.assert_array_equal(path.lines[1].get_xydata(), both.upper.path)
    np.testing.assert_array_equal(swaps.patches[0].get_data().values, both.ladder.acceptance)  # type: ignore[attr-defined]
    assert len(boltz.plot_log_z(up).axes) == 3 and len(boltz.plot_log_z(exact(1.0, "made")).axes) == 1
    _, rungs, _ = boltz.plot_log_z(both.ladder).axes
    np.testing.assert_array_equal(rungs.lines[0].get_ydata(), both.ladder.log_z)


def test_observables_are_drawn_by_temperature() -> None:
    found = boltz.observables(boltz.ising(boltz.lattice((4, 4), 1.0)), [3.0, 2.0], copies=4, rounds=20)
    figure = boltz.plot_observables(found)
    energy = figure.axes[0].lines[0]
    np.testing.assert_array_equal(energy.get_xdata(), [2.0, 3.0])
    np.testing.assert_allclose(energy.get_ydata(), found.energy[::-1] / 16)
    assert len(figure.axes) == 6 and ("NOT trusted" in str(figure.get_suptitle())) is not found.trusted


@pytest.mark.parametrize("bad", [None, 3.0, "log Z", {"value": 1.0}, []])
def test_what_is_no_result_is_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"^result must be what boltz\.log_z returns"):
        boltz.plot_log_z(bad)
    with pytest.raises(InputError, match=r"^result must be what boltz\.observables returns"):
        boltz.plot_observables(bad)
    with pytest.raises(InputError, match=r"^comparison must be a Comparison"):
        boltz.plot_comparison(bad)
