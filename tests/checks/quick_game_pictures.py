"""Quick checks of the pictures of adversarial autoencoders, each of what a planted fault would spoil."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_rgba

import boltz
from boltz.plotting.images import Grid, tile_grid

RNG = np.random.default_rng(15)
X = (RNG.random((12, 16)) < 0.5).astype(np.float32)


def machine(units: int = 2, **asked: Any) -> Any:
    """A machine of random weights, so that labels and styles matter."""
    found = boltz.aae([16, 6], units, **asked)
    found.arena[...] = np.random.default_rng(1).normal(size=found.arena.size)
    return found


def tiles(figure: Any, across: int, left: int = 0, right: int = 0) -> Any:
    """The tiles (lines, across, 16) of a grid of 4 x 4 images, with one pixel beside those that stand apart."""
    picture = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    starts = [5 * j + (j >= left > 0) + (j >= across - right) for j in range(across)]
    return np.array(
        [[picture[i : i + 4, j : j + 4].ravel() for j in starts] for i in range(0, picture.shape[0], 5)], np.float64
    )


def names(figure: Any, axis: str) -> list[str]:
    return [text.get_text() for text in getattr(figure.axes[0], f"get_{axis}ticklabels")()]


def check_grid() -> None:
    """Each tile in its line and column, with gaps where columns stand apart, and names in order."""
    given = RNG.random((2, 4, 16))
    given[1, 2] = np.nan
    figure = tile_grid(given, None, "a", Grid(("l", "m"), ("a", "b", "c", "d"), 1, 1))
    np.testing.assert_array_equal(tiles(figure, 4, 1, 1), given)
    assert names(figure, "x") == ["a", "b", "c", "d"] and names(figure, "y") == ["l", "m"]


def drawn(axes: Any) -> dict[str, Any]:
    """The points of each label of a scatter, with their colours."""
    return {line.get_label(): (np.stack(line.get_data(), axis=1), to_rgba(line.get_color())) for line in axes.lines}


def check_codes() -> None:
    """Codes of two units as they are, those of each label under its name; the prior is drawn from, as often."""
    model, labels = machine(), np.arange(12) % 3 - 1
    found = drawn(boltz.plot_codes(model, X, labels, seed=3).axes[0])
    codes = boltz.features(model, X)
    for name, label in (("codes without a label", -1), ("0", 0), ("1", 1)):
        np.testing.assert_allclose(found[name][0], codes[labels == label], rtol=1e-5)
    draws = boltz.sample(model, 12, seed=3)["h1"]
    np.testing.assert_allclose(found["draws of the prior"][0], draws, rtol=1e-5)
    assert len({colour for _, colour in found.values()}) == 4


def check_principal_components() -> None:
    """Of more units the plane of the largest variance, which no other plane through the mean exceeds; said in words."""
    model = machine(5)
    figure = boltz.plot_codes(model, X, seed=3)
    both = np.concatenate([boltz.features(model, X), boltz.sample(model, 12, seed=3)["h1"]]).astype(np.float64)
    sizes = np.linalg.eigvalsh(np.cov(both.T, bias=True))[::-1]
    points = np.concatenate([place for place, _ in drawn(figure.axes[0]).values()])
    np.testing.assert_allclose(points.var(axis=0), sizes[:2], rtol=1e-4)
    said = f"first two principal components of 5 units, {sizes[:2].sum() / sizes.sum():.0%} of the variance"
    assert said in figure.axes[0].get_title()


def check_styles() -> None:
    """A column for each label and a line for each style, beside its row; without rows the styles are draws."""
    for embed in (False, True):
        model = machine(labels="inferred", classes=3, embed=embed)
        found = tiles(boltz.plot_styles(model, X, styles=4), 4, 1)
        some = X[[0, 3, 6, 9]]
        codes, draws = boltz.features(model, some), boltz.sample(model, 2, seed=7)["h1"]
        free = tiles(boltz.plot_styles(model, styles=2, seed=7), 3)
        np.testing.assert_array_equal(found[:, 0], some)
        for label in range(3):
            for shown, style in ((found[:, 1 + label], codes), (free[:, label], draws)):
                wanted = boltz.samples_with_labels(model, [label] * len(style), style)
                np.testing.assert_allclose(shown, wanted, rtol=1e-5)


def check_interpolations() -> None:
    """Both rows at the ends, means of their codes beside them, and those of the middle of their codes in the middle."""
    model = machine()
    found = tiles(boltz.plot_interpolations(model, X, pairs=3, steps=3), 5, 1, 1)
    first, last = X[[0, 2, 4]], X[[6, 8, 10]]
    start, end = boltz.features(model, first), boltz.features(model, last)
    np.testing.assert_array_equal(found[:, [0, 4]], np.stack([first, last], axis=1))
    for place, code in ((1, start), (2, (start + end) / 2), (3, end)):
        np.testing.assert_allclose(found[:, place], boltz.decode(model, code), rtol=1e-5)


def check_interpolated_labels() -> None:
    """A decoder that is told labels hears those of the rows at the ends."""
    model, labels = machine(labels="decoder", classes=3), np.arange(12) % 3
    found = tiles(boltz.plot_interpolations(model, X, labels, pairs=3, steps=2), 4, 1, 1)
    for place, rows in ((1, [0, 2, 4]), (2, [6, 8, 10])):
        wanted = boltz.samples_with_labels(model, labels[rows], boltz.features(model, X[rows]))
        np.testing.assert_allclose(found[:, place], wanted, rtol=1e-5)


def check_clusters() -> None:
    """Clusters by their shares, the head of each beside its surest rows, and nothing where there are no more."""
    for embed in (False, True):
        model = machine(clusters=3, embed=embed)
        figure = boltz.plot_clusters(model, X, rows=4)
        found, shares = tiles(figure, 5, 1), boltz.label_probabilities(model, X)
        which = shares.argmax(axis=1)
        counts = np.bincount(which, minlength=3)
        order = sorted(range(3), key=lambda k: (-counts[k], k))
        assert names(figure, "y") == [f"{k} ({counts[k] / 12:.1%})" for k in order]
        heads = boltz.samples_with_labels(model, order, np.zeros((3, 2)))
        np.testing.assert_allclose(found[:, 0], heads, rtol=1e-5)
        for line, label in enumerate(order):
            mine = sorted(np.flatnonzero(which == label), key=lambda row: -shares[row, label])[:4]
            wanted = np.full((4, 16), np.nan)
            wanted[: len(mine)] = X[mine]
            np.testing.assert_array_equal(found[line, 1:], wanted)


def check_embedding() -> None:
    """The points of boltz.embedding, and each head under its number."""
    model = machine(clusters=3, embed=True)
    axes = boltz.plot_embedding(model, X).axes[0]
    np.testing.assert_allclose(drawn(axes)["rows"][0], boltz.embedding(model, X), rtol=1e-5)
    found = {int(text.get_text()): text.get_position() for text in axes.texts}
    for label, head in enumerate(model.params["generative/v/heads"]):
        np.testing.assert_allclose(found[label], head, rtol=1e-5)


def check_samples() -> None:
    """Each sample has heard one of the labels, and all of them are heard: no mean over labels is drawn."""
    model = machine(labels="decoder", classes=3)
    picture = np.asarray(boltz.plot_samples(model, chains=25, seed=4).axes[0].images[0].get_array())
    found = [picture[1 + 5 * i : 5 + 5 * i, 1 + 5 * j : 5 + 5 * j].ravel() for i in range(5) for j in range(5)]
    each = np.array([boltz.samples_with_labels(model, [label] * 25, seed=4) for label in range(3)])
    alike = np.isclose(each, found, rtol=1e-5).all(axis=2)
    assert alike.any(axis=0).all() and alike.any(axis=1).all() and (alike.sum(axis=0) == 1).all()
