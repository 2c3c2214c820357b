"""Catches rows that lack a view measured by what stands in its place, and means of the wrong rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import known_parts as checks

import boltz
from boltz.errors import InputError
from boltz.evaluation.known_parts import parts_of
from boltz.evaluation.per_unit import Several
from boltz.models.graph import Layer


def test_rows_that_lack_a_view_have_their_enumerated_value() -> None:
    checks.check_evaluated()


def test_log_z_from_both_sides_goes_to_what_is_known() -> None:
    model, x, known = checks.bits_with_holes()
    found = boltz.evaluate(model, checks.with_nan(model, x, known), error=0.5, budget=20.0)
    assert found.log_likelihood.value == pytest.approx(
        checks.truth(model, x, known)[known.any(axis=1)].mean(), abs=1e-6
    )


def test_a_view_that_is_left_out_is_one_that_is_not_given() -> None:
    model, x, _ = checks.bits_with_holes()
    whole = model.graph.split(x)
    one = boltz.evaluate(model, {"y": whole["y"]})
    other = boltz.evaluate(model, whole, given="y")
    third = boltz.evaluate(model, x, given=["y"])
    nan = boltz.evaluate(model, {"x": np.full_like(whole["x"], np.nan), "y": whole["y"]})
    for found in (other, third, nan):
        np.testing.assert_array_equal(found.log_likelihood.per_row, one.log_likelihood.per_row)
        assert [part.known for part in found.parts] == ["y"]
    assert boltz.evaluate(model, x).parts == () and "known" not in boltz.evaluate(model, x).as_dict()


def test_parts_are_means_of_their_own_rows() -> None:
    layer = Several((Layer("a", 2), Layer("b", 3)))
    known = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]], bool)
    both, part, whole = parts_of(layer, known, np.array([1.0, 2.0, 4.0, 5.0]))
    assert (both.known, both.rows, both.value, both.standard_error_rows) == ("a", 2, 3.0, 2.0)
    assert (part.known, part.value, whole.known, whole.value) == ("a and b", 2.0, "part of a", 4.0)
    assert part.as_dict()["standard_error_rows"] is None and str(part) == "of a and b, 1 row: 2.00"
    assert str(both) == "of a, 2 rows: 3.00 +- 2.00 (rows)" and parts_of(layer, None, np.ones(2)) == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"given": "z"}, "given must name visible layers, some of x, y, got 'z'"),
    ({"given": []}, "given must name visible layers"),
    ({"given": 3}, "given must"),
    ({"x": {"y": 3}}, r"data\['y'\] must be an array"),
    ({"x": {}}, "must hold arrays by view"),
    ({"method": "bound", "given": "x"}, "have no method bound: take method auto or importance"),
    ({"bounds": [3], "given": "x"}, "have no further bounds"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_what_cannot_be_done_is_said(changes: dict[str, Any], said: str) -> None:
    model, x, _ = checks.bits_with_holes()
    changes = dict(changes)
    with pytest.raises(InputError, match=said):
        boltz.evaluate(model, changes.pop("x", x), **changes)


def test_other_machines_have_no_views() -> None:
    with pytest.raises(InputError, match="given must be None for one visible layer"):
        boltz.evaluate(boltz.rbm(3, 2), np.zeros((2, 3)), given="v")
    model, x, _ = checks.bits_with_holes()
    with pytest.raises(InputError, match="must have rows of which something is known"):
        boltz.evaluate(model, np.full_like(x, np.nan))
