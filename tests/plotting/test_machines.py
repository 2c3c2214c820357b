"""Catches pictures of another machine, of other rows or epochs than those asked for, and files of another kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_notebook
from matplotlib.figure import Figure
from scipy.special import expit

import boltz
from boltz.errors import InputError
from boltz.plotting import images, machines

RNG = np.random.default_rng(6)
X = (RNG.random((30, 16)) < 0.5).astype(np.float32)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 10, "pretrain_epochs": 1}


def drawn(figure: Figure) -> Any:
    return np.asarray(figure.axes[0].images[0].get_array())


def tile(picture: Any, place: int, across: int, shape: tuple[int, int]) -> Any:
    """One tile of a grid, which has a line of background around each."""
    height, width = shape
    top, left = 1 + place // across * (height + 1), 1 + place % across * (width + 1)
    return picture[top : top + height, left : left + width].ravel()


def rbm(scale: float = 1.0) -> boltz.BoltzmannMachine:
    return boltz.from_arrays([RNG.normal(0, scale, (16, 5))], [RNG.normal(0, 1, 16), RNG.normal(0, 1, 5)])


def test_checks() -> None:
    quick_notebook.check_shades()
    quick_notebook.check_bars()


def test_samples_are_the_visible_means_given_the_hidden_units() -> None:
    """By the formula of an RBM, of the states that boltz.sample draws."""
    model = rbm()
    picture = drawn(boltz.plot_samples(model, chains=9, sweeps=20, seed=4))
    hidden = boltz.sample(model, 9, 20, seed=4)["h1"]
    wanted = expit(model.params["layer/v/bias"] + hidden @ model.params["edge/v-h1/weight"].T)
    for i in range(9):
        np.testing.assert_allclose(tile(picture, i, 3, (4, 4)), wanted[i], rtol=1e-12)


@pytest.mark.parametrize("grey", [False, True])
def test_chains_start_from_the_rows(grey: bool) -> None:
    """Whatever their type, the states are those of boltz.sample from the same rows as floats, and no others."""
    model = rbm()
    rows: Any = X[:8]
    if grey:
        np.save("rows.npy", (255 * X[:8]).astype(np.uint8))
        rows = boltz.load_data("rows.npy", levels=255)
    picture = drawn(boltz.plot_samples(model, rows, chains=8, sweeps=1))
    found = [tile(picture, i, 3, (4, 4)) for i in range(8)]
    for start, alike in (({"start": "data", "data": X[:8]}, True), ({"start": "bias"}, False)):
        hidden = boltz.sample(model, 8, 1, 0, **start)["h1"]
        wanted = expit(model.params["layer/v/bias"] + hidden @ model.params["edge/v-h1/weight"].T)
        assert np.allclose(found, wanted) == alike


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_shape_is_the_one_given_or_that_of_the_data() -> None:
    model = rbm()
    assert drawn(boltz.plot_samples(model, shape=(2, 8), chains=1, sweeps=1)).shape == (4, 10)
    digits = boltz.load_data("mnist-mini", limit=3)
    assert drawn(boltz.plot_samples(boltz.vae([784, 5], 2), digits, chains=1)).shape == (30, 30)
    assert drawn(boltz.plot_filters(model, shape=(2, 8))).shape == (7, 28)


@pytest.mark.parametrize("kind", ["dbm", "dbn", "sbn", "vae", "gaussian", "Run"])
def test_every_machine_can_be_drawn(kind: str) -> None:
    model: Any = {
        "dbm": lambda: boltz.dbm([16, 5, 3], X),
        "dbn": lambda: boltz.dbn([16, 5, 3], X),
        "sbn": lambda: boltz.sbn([16, 5], x=X),
        "vae": lambda: boltz.vae([16, 5], 2, X),
        "gaussian": lambda: boltz.train(boltz.vae([16, 5], 2, visible="gaussian"), 100 * X, epochs=1).model,
        "Run": lambda: boltz.train(boltz.dbm([16, 5, 3], X), X, **SHORT),
    }[kind]()
    for figure in (boltz.plot_samples(model, chains=4), boltz.plot_filters(model)):
        assert isinstance(figure, Figure) and np.isfinite(drawn(figure)[1:5, 1:5]).all()


@pytest.mark.parametrize("kind", ["rbm", "gaussian"])
def test_samples_stand_above_the_rows_nearest_to_them(kind: str) -> None:
    model = rbm(3.0) if kind == "rbm" else boltz.vae([16, 5], 2, 100 * X, visible="gaussian")
    figure = boltz.plot_beside(model, X if kind == "rbm" else 100 * X, rows=3, sweeps=20, seed=2)
    picture = drawn(figure)
    found = [
        [tile(np.pad(picture[5 * j : 5 * j + 4, 5 * i : 5 * i + 4], 1), 0, 1, (4, 4)) for i in range(3)]
        for j in range(3)
    ]
    samples, nearest, others = np.array(found)
    rows = X if kind == "rbm" else 100 * X
    data = machines.greys_of(model, rows).of(rows)
    distances = np.linalg.norm(samples[:, None] - data, axis=2)
    np.testing.assert_allclose(nearest, data[distances.argmin(axis=1)])
    np.testing.assert_allclose(others, data[[0, 10, 20]])


def test_filters_are_the_weights_by_their_norms() -> None:
    model = rbm()
    weights = model.params["edge/v-h1/weight"]
    order = np.argsort(-np.linalg.norm(weights, axis=0))
    picture = drawn(boltz.plot_filters(boltz.Run(model, [], None, boltz.Settings())))
    for place, unit in enumerate(order):
        np.testing.assert_array_equal(tile(picture, place, 3, (4, 4)), weights[:, unit])


def test_curves_are_those_of_the_history() -> None:
    run = boltz.train(boltz.dbm([16, 5, 3], X), X, **SHORT)
    for source in (run, run.history):
        figure = boltz.plot_curves(source)
        axes = next(a for a in figure.axes if "gradient norm" in a.get_title())
        shown = np.concatenate([line.get_ydata() for line in axes.lines])
        np.testing.assert_array_equal(shown, [record["gradient_norm"] for record in run.history])
    tuned = boltz.fine_tune(run.model, X, X[:, 0], epochs=2)
    assert "loss" in boltz.plot_curves(tuned).axes[0].get_title()


@pytest.mark.parametrize("bad", ["history", 3, [1, 2], {"a": 1}, np.zeros(3), None])
def test_what_is_no_history_is_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"^run must be"):
        boltz.plot_curves(bad)


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml"), ("a", b"\x89PNG"), ("a.jpeg", b"\x89PNG")],
)
def test_the_ending_says_the_kind_of_a_file(name: str, begins: bytes, tmp_path: Path) -> None:
    """Twice the same file, since it holds no date and no random names."""
    found = []
    for _ in range(2):
        images.save(
            boltz.plot_filters(boltz.from_arrays([np.eye(16, 3)], [np.zeros(16), np.zeros(3)])), tmp_path / name
        )
        found.append((tmp_path / name).read_bytes())
    assert found[0].startswith(begins) and found[0] == found[1]
    if name.endswith(("svg", "PDF")):
        assert b"Date>" not in found[0] and b"/CreationDate" not in found[0]


def test_a_figure_can_be_saved_and_shown_without_pyplot() -> None:
    code = """
import sys, numpy as np, boltz
figure = boltz.plot_filters(boltz.rbm(16, 3))
figure.savefig("b.svg"); figure.savefig("b.pdf")
assert figure._repr_png_().startswith(b"\\x89PNG")
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("b.svg").read_text().startswith("<?xml") and Path("b.pdf").read_bytes().startswith(b"%PDF")
