"""Pictures of adversarial autoencoders: codes beside their prior, styles, interpolations, clusters, embeddings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.data.dataset import Data
from boltz.errors import InputError
from boltz.models.files import outside, visible_rows
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.labelled import Labelled
from boltz.plotting import images
from boltz.plotting.machines import greys_of, shape_of
from boltz.rng import Key
from boltz.sampling.features import features_of
from boltz.sampling.inferred import (
    coded,
    decoded_embedding,
    embedded,
    heads_of,
    label_shares,
    playing,
    samples_with_labels,
)
from boltz.sampling.sample import sample

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_POINTS = 2000  # rows and draws in a scatter
MOST_LOOKED_AT = 10_000  # rows among which the surest of a cluster are
MOST_LINES, MOST_COLUMNS, MOST_NAMED, BINS = 40, 30, 20, 40


def plot_codes(model: Any, x: Any, labels: Any = None, seed: int = 0) -> Figure:
    """A figure of codes of rows x (rows, units) of an adversarial autoencoder among as many draws of its prior.

    Codes of two units are points, those of one a histogram; of more the first two principal components of codes and
    draws together are drawn. labels: (rows,) whole numbers that colour the codes, -1 for none, by default those that x
    (boltz.Data) brings along. At most 2,000 rows are drawn, evenly spaced. Raises InputError.
    """
    machine, some = _some(model, x, labels, MOST_POINTS)
    key = Key.from_seed(seed).derive("plot")
    coder, tape = coded(machine, some.rows, key)
    codes = host(coder.codes(tape, len(some.rows))).astype(np.float64)
    draws = np.asarray(sample(machine, len(codes), seed=seed)[machine.hidden_layers[0].name], np.float64)
    if codes.shape[1] == 1:
        return _histograms(codes[:, 0], draws[:, 0])
    axis, said = _plane(np.concatenate([codes, draws]))
    figure, axes = _titled(f"codes of {len(codes):,} rows and draws of the prior", said)
    axes.plot(*axis(draws).T, ".", color="0.75", markersize=3, label="draws of the prior", zorder=1)
    _points(axes, axis(codes), some.labels, "codes")
    return figure


def plot_embedding(model: Any, x: Any, labels: Any = None) -> Figure:
    """A figure of the points that an adversarial autoencoder with embed=True places rows x (rows, units) at.

    The points are those of boltz.embedding, the numbers among them the heads of its labels (Makhzani et al. 2016,
    section 7); of more than two units the first two principal components are drawn. labels are as in boltz.plot_codes.
    Raises InputError.
    """
    machine, some = _some(model, x, labels, MOST_POINTS)
    heads = heads_of(machine)
    if heads is None or heads.shape[1] < 2:
        raise InputError("model must embed labels in at least two units: build it with embed=True and latent=2.")
    points = embedded(machine, some.rows).astype(np.float64)
    axis, said = _plane(points)
    figure, axes = _titled(f"embedding of {len(points):,} rows, with the heads of its labels", said)
    _points(axes, axis(points), some.labels, "rows")
    for number, place in enumerate(axis(heads)):
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.85}
        axes.text(place[0], place[1], str(number), fontsize=9, ha="center", va="center", bbox=box, zorder=4)
    axes.update_datalim(axis(heads))
    axes.autoscale_view()
    return figure


def plot_styles(
    model: Any, x: Any = None, shape: images.Shape | None = None, styles: int = 10, seed: int = 0
) -> Figure:
    """A figure of visible means of an adversarial autoencoder, a column for each label and a line for each style.

    The styles are codes of rows x (rows, units), evenly spaced, which stand in the first column; without x they are
    draws of the prior. The decoder must hear labels, of which at most 30 are drawn (Makhzani et al. 2016, section 4).
    shape as in boltz.plot_samples. Raises InputError.
    """
    Key.from_seed(seed)  # refused where it is none, whether or not rows take its place
    machine, game = playing(model_of(model))
    if not isinstance(machine.factors[machine.visible], Labelled):
        raise InputError("model must have a decoder that hears labels: build it with labels='decoder' or 'inferred'.")
    count, labels = checks.integer(styles, "styles", 1, MOST_LINES), min(game.labels, MOST_COLUMNS)
    layer = machine.hidden_layers[0].name
    if x is None:
        own, codes = np.empty((count, 0, machine.columns)), sample(machine, count, seed=seed)[layer]
    else:
        _, some = _some(model, x, None, count)
        own, codes = outside(machine, host(some.rows))[:, None], features_of(machine, outside(machine, some.rows))
    each = [samples_with_labels(machine, np.full(len(codes), label), codes) for label in range(labels)]
    tiles = np.concatenate([own, np.stack(each, axis=1)], axis=1)
    greys = greys_of(machine, tiles.reshape(-1, machine.columns))
    columns = ["row"] * own.shape[1] + [str(label) for label in range(labels)]
    of = "draws of the prior" if x is None else "rows"
    title = f"labels across, styles of {of} down" + (f"; the first {labels}" if labels < game.labels else "")
    grid = images.Grid(tuple(f"style {i + 1}" for i in range(len(codes))), tuple(columns), own.shape[1])
    return images.tile_grid(greys.of(tiles), _shape(x, shape), title, grid)


def plot_interpolations(
    model: Any, x: Any, labels: Any = None, shape: images.Shape | None = None, pairs: int = 8, steps: int = 8
) -> Figure:
    """A figure of pairs of rows of x (rows, units), and of the visible means on the straight way between their codes.

    Inferred labels go the same way as the code. labels: (rows,) whole numbers, where the decoder hears labels that are
    not inferred; by default those that x (boltz.Data) brings along. pairs: at most 40, of rows evenly spaced; steps:
    how many means between, from 2 to 30, of which the first and the last are at the codes. shape as in
    boltz.plot_samples. Raises InputError.
    """
    count, steps = checks.integer(pairs, "pairs", 1, MOST_LINES), checks.integer(steps, "steps", 2, MOST_COLUMNS)
    machine, some = _some(model, x, labels, 2 * count)
    if len(some.rows) < 2:
        raise InputError("x must hold at least two rows, which a pair is made of.")
    count = min(count, len(some.rows) // 2)
    heard = _heard(machine, some)
    first, last = heard[:count], heard[count : 2 * count]
    way = np.linspace(0, 1, steps)[None, :, None]
    points = first[:, None] * (1 - way) + last[:, None] * way
    means = decoded_embedding(machine, points.reshape(-1, heard.shape[1]).astype(machine.dtype))
    own = outside(machine, host(some.rows))
    ends = own[:count, None], own[count : 2 * count, None]
    tiles = np.concatenate([ends[0], means.reshape(count, steps, -1), ends[1]], axis=1)
    greys = greys_of(machine, tiles.reshape(-1, machine.columns))
    columns = ("row", *[""] * steps, "row")
    grid = images.Grid(tuple(f"pair {i + 1}" for i in range(count)), columns, 1, 1)
    return images.tile_grid(greys.of(tiles), _shape(x, shape), "means on the way from one code to another", grid)


def plot_clusters(model: Any, x: Any, shape: images.Shape | None = None, rows: int = 10) -> Figure:
    """A figure of the labels that an adversarial autoencoder infers, a line each: its head, then its surest rows of x.

    The head is the visible means of the label with a code of zeros (Makhzani et al. 2016, figure 9), and beside the
    number of each label is its share of rows x (rows, units). At most 40 labels are drawn, by their shares. rows: how
    many, at most 30. shape as in boltz.plot_samples. Raises InputError.
    """
    most = checks.integer(rows, "rows", 1, MOST_COLUMNS)
    machine, some = _some(model, x, None, MOST_LOOKED_AT)
    game = machine.structure.game
    if game is None or not game.inferred:
        raise InputError("model must infer labels: build it with labels='inferred' or clusters=....")
    found = label_shares(machine, some.rows)
    which = found.argmax(axis=1)
    counts = np.bincount(which, minlength=game.labels)
    order = np.argsort(-counts, kind="stable")[:MOST_LINES]
    heads = samples_with_labels(machine, order, np.zeros((len(order), machine.hidden_layers[0].units)))
    own = outside(machine, host(some.rows))
    greys, tiles = greys_of(machine, own), np.full((len(order), 1 + most, machine.columns), np.nan)
    tiles[:, 0] = greys.of(heads)
    for line, label in enumerate(order):
        mine = np.flatnonzero(which == label)
        surest = mine[np.argsort(-found[mine, label], kind="stable")][:most]
        tiles[line, 1 : 1 + len(surest)] = greys.of(own[surest])
    names = tuple(f"{label} ({counts[label] / len(which):.1%})" for label in order)
    grid = images.Grid(names, ("head", *[""] * most), 1)
    said = f"inferred labels of {len(which):,} rows: share, head, and the surest rows"
    return images.tile_grid(tiles, _shape(x, shape), said, grid)


class Some(NamedTuple):
    """Rows (rows, units) as a machine sees them, with their labels (rows,), if any."""

    rows: Array
    labels: Array | None


def model_of(model: Any) -> Any:
    """A machine, or that of a run."""
    return getattr(model, "model", model)


def _some(model: Any, x: Any, labels: Any, most: int) -> tuple[HelmholtzMachine, Some]:
    """The machine on the host, and at most so many rows, evenly spaced, with their labels."""
    machine = playing(playing(model_of(model))[0].to("cpu"))[0]
    rows = len(x.x) if isinstance(x, Data) else len(visible := visible_rows(machine, x))
    some = np.arange(min(most, rows)) * rows // min(most, rows)
    if isinstance(x, Data):
        visible = visible_rows(machine, np.divide(x.x[some], np.float32(x.levels or 1), dtype=np.float32))
        given = x.labels if labels is None else labels
    else:
        visible, given = visible[some], labels
    if given is None:
        return machine, Some(visible, None)
    numbers = checks.numbers(given, "labels", (rows,))
    if not np.all(numbers == np.floor(numbers)):
        raise InputError(f"labels must be whole numbers, got {checks.brief(given)}.")
    return machine, Some(visible, numbers[some].astype(np.int64))


def _heard(machine: HelmholtzMachine, some: Some) -> Floats:
    """What the decoder hears of rows."""
    game = machine.structure.game
    assert game is not None
    found = embedded(machine, some.rows).astype(np.float64)
    if game.told != "decoder":
        return found
    labels = some.labels
    if labels is None or labels.min() < 0 or labels.max() >= game.labels:
        raise InputError(
            f"labels must hold the class of each row, from 0 to {game.labels - 1}, since the decoder hears it."
        )
    return np.concatenate([found, np.eye(game.labels)[labels]], axis=1)


def _plane(points: Floats) -> tuple[Any, str]:
    """What takes points (rows, units) to two numbers, and what to say of it: as they are, or principal components."""
    if points.shape[1] == 2:
        return lambda each: each, ""
    middle = points.mean(axis=0)
    _, size, axes = np.linalg.svd(points - middle, full_matrices=False)
    share = float(np.square(size[:2]).sum() / max(np.square(size).sum(), 1e-300))
    said = f"first two principal components of {points.shape[1]} units, {share:.0%} of the variance"
    return lambda each: (each - middle) @ axes[:2].T, said


def _titled(title: str, said: str) -> tuple[Figure, Axes]:
    """A figure with a title, and what else is said of it on a line below."""
    figure, axes = images.new_figure(title)
    axes.set_title("\n".join(each for each in (title, said) if each), fontsize=11)
    return figure, axes


def _points(axes: Axes, points: Floats, labels: Array | None, name: str) -> None:
    """Points (rows, 2) coloured by their labels, with a legend, or a colour bar of more than 20 labels."""
    own: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 4, "zorder": 2}
    known = np.unique(labels[labels >= 0]) if labels is not None else np.zeros(0)
    if labels is None or not len(known):
        axes.plot(*points.T, color="C0", label=name, **own)
    elif len(known) > MOST_NAMED:
        some = labels >= 0
        drawn = axes.scatter(points[some, 0], points[some, 1], c=labels[some], s=5, cmap="viridis", zorder=2)
        axes.figure.colorbar(drawn, ax=axes, shrink=0.6, label="label")
    else:
        colours = colormaps["tab10" if len(known) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
        if (labels < 0).any():
            axes.plot(*points[labels < 0].T, color="0.4", label=f"{name} without a label", **own)
        for number, label in enumerate(known):
            axes.plot(*points[labels == label].T, color=colours[number], label=str(label), **own)
    axes.set_aspect("equal", "datalim")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, markerscale=2, loc="upper left", bbox_to_anchor=(1.01, 1))


def _histograms(codes: Floats, draws: Floats) -> Figure:
    """Codes of one unit beside draws of the prior."""
    figure, axes = images.new_figure(f"codes of {len(codes):,} rows and draws of the prior", (7, 4.6))
    edges = np.histogram_bin_edges(np.concatenate([codes, draws]), BINS).tolist()
    axes.hist(draws, edges, color="0.75", density=True, label="draws of the prior")
    axes.hist(codes, edges, color="C0", density=True, histtype="step", linewidth=1.5, label="codes")
    axes.set_xlabel("code")
    axes.legend(fontsize=8)
    return figure


def _shape(x: Any, shape: Any) -> images.Shape | None:
    return shape_of(x.shape if shape is None and isinstance(x, Data) else shape)
