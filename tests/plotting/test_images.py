"""Catches tiles in the wrong place, rows taken for images that are none, gaps drawn over, and global state kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from boltz.errors import FileError, InputError
from boltz.plotting import curves, images


def picture(figure: Figure) -> Any:
    return np.asarray(figure.axes[0].images[0].get_array())


def record(stage: str, **values: Any) -> dict[str, Any]:
    return {"stage": stage, "pseudo_likelihood": -1.0, "gradient_norm": 2.0} | values


@pytest.mark.parametrize(("chains", "across", "down"), [(1, 1, 1), (2, 2, 1), (5, 3, 2), (100, 10, 10), (130, 10, 10)])
def test_tiles_are_the_rows_in_order(chains: int, across: int, down: int) -> None:
    rows = np.random.default_rng(0).random((chains, 6))
    drawn = picture(images.sample_grid(rows, (2, 3)))
    assert drawn.shape == (3 * down + 1, 4 * across + 1)
    for i in range(min(chains, 100)):
        top, left = 1 + 3 * (i // across), 1 + 4 * (i % across)
        np.testing.assert_array_equal(drawn[top : top + 2, left : left + 3], rows[i].reshape(2, 3))


def test_rows_that_are_no_images_are_a_matrix() -> None:
    rows = np.random.default_rng(0).random((7, 11))
    figure = images.sample_grid(rows)
    np.testing.assert_array_equal(picture(figure), rows)
    assert figure.axes[0].get_xlabel() == "unit"
    assert figure.axes[0].images[0].get_clim() == (0, rows.max())
    assert images.sample_grid(np.zeros((2, 3))).axes[0].images[0].get_clim() == (0, 1)
    np.testing.assert_array_equal(picture(images.filter_grid(rows.T))[0], rows[np.linalg.norm(rows, axis=1).argmax()])


def test_filters_come_largest_first_on_a_symmetric_scale() -> None:
    weights = np.zeros((16, 3))
    weights[:, 0], weights[0, 1], weights[:, 2] = 0.1, -9.0, 1.0
    figure = images.filter_grid(weights)
    drawn = picture(figure)
    assert drawn[1, 1] == -9.0 and drawn[1, 6] == 1.0 and drawn[6, 1] == 0.1
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high and high == 9
    assert "3 of 3 hidden units" in figure.axes[0].get_title()


def test_weights_of_zero_can_be_drawn(tmp_path: Path) -> None:
    images.save(images.filter_grid(np.zeros((4, 2))), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("units", "shape", "wanted"),
    [(784, None, (28, 28)), (784, (14, 56), (14, 56)), (16, None, (4, 4)), (9, None, None), (17, None, None)],
)
def test_shape_of_a_row(units: int, shape: tuple[int, int] | None, wanted: tuple[int, int] | None) -> None:
    assert images.image_shape(units, shape) == wanted


def test_curves_keep_stages_apart_and_leave_gaps() -> None:
    history = [
        record("pretrain-1", free_energy_gap=None),
        record("joint", pseudo_likelihood=None, free_energy_gap=float("nan")),
        record("joint", pseudo_likelihood=-3.0),
    ]
    figure = curves.learning_curves(history)
    first, norm = figure.axes
    assert norm.get_title() == "gradient norm"
    assert [line.get_label() for line in first.lines] == ["pretrain-1", "joint"]
    assert [line.get_xdata().tolist() if hasattr(line.get_xdata(), "tolist") else list(line.get_xdata())  # type: ignore[union-attr]
            for line in first.lines] == [[1], [2, 3]]  # fmt: skip
    np.testing.assert_array_equal(first.lines[1].get_ydata(), [np.nan, -3.0])
    np.testing.assert_array_equal(norm.lines[1].get_ydata(), [2.0, 2.0])


def test_curves_of_a_directed_run_show_both_bounds() -> None:
    history = [
        {
            "stage": "joint",
            "bound": -3.0 + i,
            "importance_bound": -2.0 + i,
            "kl": 1.0,
            "bound_gap": None,
            "gradient_norm": 2.0,
        }
        for i in range(3)
    ]
    bounds, kl, norm = curves.learning_curves(history).axes
    assert [line.get_label() for line in bounds.lines] == ["1 sample", "50 samples"]
    np.testing.assert_array_equal([line.get_ydata() for line in bounds.lines], [[-3.0, -2.0, -1.0], [-2.0, -1.0, 0.0]])
    assert bounds.get_legend() is not None and kl.get_legend() is None
    np.testing.assert_array_equal(kl.lines[0].get_ydata(), [1.0] * 3)
    assert len(norm.lines) == 1


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    for axes in curves.learning_curves([record("joint")] * epochs).axes:
        assert all(tick == round(tick) for tick in axes.get_xticks())


def test_curves_without_a_number_say_so() -> None:
    (axes,) = curves.learning_curves([{"stage": "joint", "gradient_norm": None}]).axes
    assert [text.get_text() for text in axes.texts] == ["not recorded"]
    titles = list(curves.curve_figures([record("joint"), record("joint")]))
    assert titles == ["pseudo-likelihood (nats a row)", "gradient norm"]


@pytest.mark.parametrize("history", [[], [record("joint")]])
def test_short_histories_can_be_drawn(history: list[dict[str, Any]], tmp_path: Path) -> None:
    images.save(curves.learning_curves(history), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "call",
    [
        lambda: images.sample_grid(np.zeros((0, 4))),
        lambda: images.sample_grid(np.zeros(4)),
        lambda: images.sample_grid(np.full((2, 4), np.nan)),
        lambda: images.sample_grid(np.zeros((2, 4)), (2, 3)),
        lambda: images.sample_grid(np.zeros((2, 4)), (0, 4)),
        lambda: images.filter_grid(np.zeros((4, 0))),
    ],
)
def test_bad_arrays_are_refused(call: Any) -> None:
    with pytest.raises(InputError, match="must"):
        call()


def test_saving_is_all_or_nothing(tmp_path: Path) -> None:
    figure = images.sample_grid(np.eye(4))
    images.save(figure, tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(FileError, match="does not exist"):
        images.save(figure, tmp_path / "none" / "a.png")


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, numpy as np\nfrom boltz.plotting import images\nimages.sample_grid(np.eye(4))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout.strip() == "False", found.stderr


def test_a_confusion_matrix_shows_every_number() -> None:
    counts = np.array([[5, 0, 1], [2, 0, 0]])
    axes = images.confusion_matrix(counts, ["a", "b"], ["a", "b", "a class with a long name"]).axes[0]
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {((0, 0), "5"), ((2, 0), "1"), ((0, 1), "2")}
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares, [[5 / 6, 0, 1 / 6], [1, 0, 0]])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "a class w…name"]
    with pytest.raises(InputError, match="counts must have shape"):
        images.confusion_matrix(counts.T, ["a", "b"], ["a", "b", "c"])


def test_tiles_stand_below_their_captions() -> None:
    rows = np.linspace(0, 1, 12 * 20).reshape(12, 20)
    axes = images.captioned_tiles(rows, [f"c{i}" for i in range(12)], (4, 5), "t").axes[0]
    picture = axes.images[0].get_array()
    for i, text in enumerate(axes.texts):
        x, y = text.get_position()
        left, top = int(x - 2.5), int(y) + 1
        np.testing.assert_array_equal(picture[top : top + 4, left : left + 5], rows[i].reshape(4, 5))
        assert text.get_text() == f"c{i}"


@pytest.mark.parametrize("shape", [(4, 5), None])
def test_versions_of_a_row_stand_below_each_other(shape: tuple[int, int] | None) -> None:
    parts = {name: np.full((13, 20), value) for name, value in (("x", 0.1), ("y", 0.2), ("z", 0.3))}
    axes = images.stacked_tiles(parts, shape, "t").axes[0]
    picture, lines = axes.images[0].get_array(), 2 if shape else 13
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x", "y", "z"] * lines
    for tick, value in zip(axes.get_yticks(), [0.1, 0.2, 0.3] * lines, strict=True):
        assert picture[int(tick), 0] == value
    assert sum((picture == 0.2).sum(axis=1)) == 13 * 20


def test_learning_curves_of_a_fine_tuning() -> None:
    epochs = [
        {"stage": "network", "epoch": i, "train_loss": 1.0 / i, "loss": 2.0 / i, "error": None} for i in (1, 2, 3)
    ]
    axes = curves.learning_curves(epochs).axes
    assert len(axes) == 1 and [line.get_label() for line in axes[0].lines] == ["training", "validation"]
    axes = curves.learning_curves([record | {"error": 0.5} for record in epochs]).axes
    assert len(axes) == 2 and list(axes[1].lines[0].get_ydata()) == [0.5] * 3


def test_foreign_words_are_drawn_as_they_are(tmp_path: Path) -> None:
    """Formulas, escapes, names that start with _ (which a legend would drop), letters that no font has."""
    words = ["$a$", "$\\frac{$", "a$b", "_x", "\x1b[31m", "漢字", "x" * 500]
    rows = np.full((len(words), 16), 0.5)
    figure = images.captioned_tiles(rows, words, (4, 4), "a $title$ {")
    images.save(figure, tmp_path / "a.png")
    assert [t.get_text() for t in figure.axes[0].texts][:3] == ["\\$a\\$", "\\$\\frac{\\$", "a\\$b"]
    images.save(images.confusion_matrix(np.eye(len(words)), words, words), tmp_path / "b.png")
    history = [{"stage": name, "epoch": 1, "gradient_norm": 10**400} for name in words]
    images.save(curves.learning_curves(history), tmp_path / "d.png")
