"""Catches rows of several kinds of data that are read into the wrong columns, rows or splits, or drawn or measured so
that they disagree with plain sums.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import several_kinds

import boltz


def test_columns() -> None:
    several_kinds.check_columns()


def test_splits() -> None:
    several_kinds.check_splits()


def test_missing() -> None:
    several_kinds.check_missing()


def test_given() -> None:
    several_kinds.check_given()


def test_log_z_from_both_sides() -> None:
    several_kinds.check_log_z_from_both_sides()


def test_importance_bounds() -> None:
    several_kinds.check_importance_bounds()


def test_active_units() -> None:
    several_kinds.check_active_units()


def test_samples_from_data() -> None:
    several_kinds.check_samples_from_data()


def test_visible_means() -> None:
    several_kinds.check_visible_means()


X = np.eye(4, 3, dtype=np.float32)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"views": {"a": ("x", "spin")}}, "at least two kinds of data, got 1"),
    ({"views": [("a", "x")]}, "views must be a Mapping"),
    ({"views": {"a": ("x", "gaussian"), "b": ("z", "gaussian")}}, "has no array 'z'; it has x, y, few, s_train, y_s"),
    ({"views": {"a": ("x", "gaussian"), "b": ("few", "gaussian")}}, "equally many rows.* a 4 .* b 3"),
    ({"views": {"a": ("x", "gaussian"), "b": ("x", "counts")}}, "view b must not be of kind counts"),
    ({"views": {"a": ("x", "gaussian"), "b": ("x", "gausian")}}, "view b: .*'gausian'"),
    ({"views": {"a": ("x", "gaussian"), "b": ("x", "rectified")}}, "view b must be of kind bernoulli"),
    ({"views": {"a": ("x", "gaussian"), "1": ("x", "spin")}}, "names of letters, digits and _"),
    ({"views": {"a": ("x", "gaussian"), "b": "x"}}, r"views\['b'\] must be an array and a kind"),
    ({"views": {"a": ("x", "gaussian"), "b": ("x", "spin")}}, "array 'x', row 1, column 2 is 0"),
    (
        {"views": {"a": ("x", "gaussian"), "b": ("x", "gaussian")}, "split": "test"},
        "x is one table",
    ),
    ({"views": {"a": ("s", "gaussian"), "b": ("s", "gaussian")}, "split": "test"}, "of s; its splits are train"),
    ({"views": {"a": ("a.npy", "gaussian"), "b": ("a.npy", "gaussian")}}, "would not be read"),
    ({"name_or_path": None, "views": {"a": ("x", "gaussian"), "b": ("a.npy", "spin")}}, "view a is the array x"),
    ({"views": {"a": ("x", "gaussian"), "b": ("nan", "gaussian")}}, "array 'nan', row 1, column 1 is nan"),
    ({"views": {"a": ("s", "gaussian"), "b": ("few", "gaussian")}}, "array 'y' has 4 labels; expected 3"),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_bad_input_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", X)
    holes = np.full((4, 2), np.nan)
    np.savez("rows.npz", x=X, y=np.arange(4), few=X[:3], s_train=X[:3], y_s=X, nan=holes)
    with pytest.raises(boltz.InputError, match=said) as told:
        boltz.load_views(**{"name_or_path": "rows.npz", **words})
    assert "\n" not in str(told.value)


def test_rows_of_other_views_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", a=X, b=X)
    model = boltz.multimodal({"a": (3, "gaussian"), "b": 3}, {"a": [2], "b": [2]}, 2)
    swapped = boltz.load_views(tmp_path / "rows.npz", {"b": ("b", "bernoulli"), "a": ("a", "gaussian")})
    with pytest.raises(boltz.InputError, match="the visible layers a 3 gaussian, b 3 bernoulli in this order"):
        boltz.train(model, swapped, epochs=1)
    with pytest.raises(boltz.InputError, match="must hold arrays by view, a, b, got one table"):
        boltz.train(model, boltz.load_data(f"{tmp_path}/rows.npz:a"), epochs=1)
    with pytest.raises(boltz.InputError, match="several kinds of data"):
        boltz.train(boltz.rbm(6, 2), swapped, epochs=1)
    assert repr(swapped) == "Data(rows, 4 rows of 6 columns, b (3 bernoulli), a (3 gaussian))"
