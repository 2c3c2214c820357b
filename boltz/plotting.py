"""Pictures of a machine: samples, filters and learning curves, drawn without pyplot and its global state."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from boltz import checks
from boltz.checkpoint import write_bytes
from boltz.errors import InputError
from boltz.foreign import shown

Array = NDArray[Any]
Shape = tuple[int, int]
MOST_TILES, MOST_ROWS, LEAST_IMAGE = 100, 400, 16
Panels = Mapping[str, Mapping[str, str]]
UNDIRECTED: Panels = {
    "pseudo-likelihood (nats a row)": {"pseudo_likelihood": ""},
    "reconstruction error (squared, a row)": {"reconstruction_error": ""},
    "free energy, held-out minus training (nats)": {"free_energy_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}  # title -> what is drawn, with the label of each line
DIRECTED: Panels = {
    "bounds on the log-likelihood (nats a row)": {"bound": "1 sample", "importance_bound": "50 samples"},
    "KL term (nats a row)": {"kl": ""},
    "bound of 50 samples, training minus held-out (nats)": {"bound_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}
TUNING: Panels = {
    "loss (nats a row)": {"train_loss": "training", "loss": "validation"},
    "wrong classes of the validation rows (share)": {"error": ""},
}
ACROSS, MOST_STACKED, LONGEST_CAPTION = 10, 30, 14
MOST_TITLE, MOST_NAME = 200, 30  # characters
LARGEST = 1e300  # numbers beyond it are not drawn
MARKERS = {"exact": "o", "lower": ">", "upper": "<", "none": "x"}
KINDS = {"exact": "exact", "lower": "lower bound", "upper": "upper bound", "none": "no bound"}


def sample_grid(means: Any, shape: Shape | None = None, title: str = "samples") -> Figure:
    """A figure of rows (chains, units) in [0, 1]: tiles of the image shape, or one matrix where rows are no images."""
    values = checks.array(means, "means", (None, None))
    if values.size == 0:
        raise InputError(f"means must hold at least one row and one unit, got shape {values.shape}.")
    tile = image_shape(values.shape[1], shape)
    if tile is None:
        figure, axes = _figure(title)
        axes.imshow(values[:MOST_ROWS], cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xlabel("unit")
        axes.set_ylabel("sample")
        return figure
    figure, axes = _figure(title)
    axes.imshow(_mosaic(values, tile, 0.35), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def filter_grid(weights: Any, shape: Shape | None = None) -> Figure:
    """A figure of weights (visible, hidden): the incoming weights of the hidden units with the largest norms."""
    values = checks.array(weights, "weights", (None, None))
    if values.size == 0:
        raise InputError(f"weights must hold at least one visible and one hidden unit, got shape {values.shape}.")
    order = np.argsort(-np.linalg.norm(values, axis=0), kind="stable")[:MOST_TILES]
    chosen, tile = values.T[order], image_shape(len(values), shape)
    figure, axes = _figure(f"weights of {len(chosen)} of {values.shape[1]} hidden units, largest norm first", (8, 7))
    reach = float(np.quantile(np.abs(chosen), 0.998)) or 1.0
    drawn = chosen if tile is None else _mosaic(chosen, tile, math.nan)
    image = axes.imshow(drawn, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    if tile is None:
        axes.set_aspect("auto")
        axes.set_xlabel("visible unit")
        axes.set_ylabel("hidden unit")
    else:
        axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.6)
    return figure


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of what metrics.jsonl records, a panel a quantity, with the stages of the run apart."""
    stages = [str(record.get("stage", "")) for record in history]
    recorded = {name for record in history for name in record}
    panels = TUNING if "train_loss" in recorded else DIRECTED if "bound" in recorded else UNDIRECTED
    if panels is TUNING and all(record["error"] is None for record in history):
        panels = dict(list(TUNING.items())[:1])
    down, across = -(-len(panels) // 2), min(len(panels), 2)
    figure = Figure(figsize=(4.5 * across, 3.2 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, lines) in zip(figure.subplots(down, across, squeeze=False).ravel(), panels.items(), strict=True):
        for name, label in lines.items():
            _curve(axes, [record.get(name) for record in history], stages, label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
    return figure


def comparison(models: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of models as in compare.json: log p(v) with 95 % intervals, and the bound against its samples."""
    if not models:
        raise InputError("models must hold at least one model, got none.")
    figure = Figure(figsize=(11, max(3.6, 1.8 + 0.45 * len(models))), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for i, model in enumerate(models):
        _bar(left, i, model["log_likelihood"], f"C{i}")
        _bounds(right, model, f"C{i}")
    left.set_yticks(range(len(models)), [_words(model["name"]) for model in models])
    left.set_ylim(len(models) - 0.5, -0.5)
    left.set_title("log p(v) with 95 % interval (nats a row)", fontsize=10)
    kinds = dict.fromkeys(model["log_likelihood"]["kind"] for model in models)
    marks = [Line2D([], [], color="0.3", linestyle="", marker=MARKERS[kind], label=KINDS[kind]) for kind in kinds]
    left.legend(handles=marks, fontsize=8)
    right.set_title("importance-weighted bound (nats a row)", fontsize=10)
    right.set_xlabel("samples a row")
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def log_weights(parts: Mapping[str, Any], ladder: Any = None) -> Figure:
    """A figure of annealing runs, name -> Estimate of log Z: their log-weights, and effective chains along the path.

    Values are drawn as lines over their 95 % intervals. ladder: a LadderEstimate, whose value joins them and whose
    probabilities of swaps have a panel of their own. Raises InputError for an estimate without log-weights.
    """
    without = [name for name, part in parts.items() if not len(part.log_weights)]
    if not parts or without:
        raise InputError(f"parts must hold estimates with log-weights, got {', '.join(without) or 'none'}.")
    figure = Figure(figsize=(10 if ladder is None else 14, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if ladder is None else 3)
    for i, (name, part) in enumerate((_words(name), part) for name, part in parts.items()):
        rank = (np.arange(len(part.log_weights)) + 0.5) / len(part.log_weights)
        panels[0].plot(rank, np.sort(part.log_weights), ".", color=f"C{i}", markersize=4, label=f"{name}, a chain")
        _level(panels[0], part, f"C{i}", name)
        panels[1].plot(*part.path.T, color=f"C{i}", linewidth=1.3, label=f"{name}, of {part.chains}")
    if ladder is not None:
        _level(panels[0], ladder.estimate, "0.2", "replica exchange")
        _swaps(panels[2], ladder)
    titles = ("log-weights of chains, sorted (nats)", "effective chains along the path")
    for axes, title, label in zip(panels, titles, ("share of the chains", "inverse temperature"), strict=False):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(label)
        axes.legend(fontsize=8)
    panels[0].ticklabel_format(axis="y", useOffset=False)
    panels[1].set_ylim(0, 1.05 * max(part.chains for part in parts.values()))  # a line at the top stays in sight
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure


def likelihood_along(updates: Sequence[int], values: Any, errors: Any, trusted: bool) -> Figure:
    """A figure of mean log-likelihoods (machines,) in nats a row against updates of training, from 1, on a log axis.

    Bars are two of the standard errors (machines,), left out where those are not finite. Raises InputError.
    """
    y, e = checks.array(values, "values", (len(updates),)), np.asarray(errors, np.float64)
    e = np.where(np.isfinite(e), e, np.nan)
    figure, axes = _figure("log-likelihood along training" + ("" if trusted else " (NOT trusted)"), (7, 4.6))
    axes.errorbar(updates, y, 2 * e, color="C0", marker=".", linewidth=1.3, capsize=3, ecolor="0.4")
    axes.set_xscale("log")
    axes.set_xlabel("updates")
    axes.set_ylabel("nats a row, with two standard errors")
    axes.grid(alpha=0.3)
    return figure


def confusion_matrix(counts: Any, true: Sequence[Any], predicted: Sequence[Any]) -> Figure:
    """A figure of how often rows of each true class were taken for each class: counts (true, predicted) with numbers.

    Shades are shares of the true class. Raises InputError.
    """
    values = checks.array(counts, "counts", (len(true), len(predicted)))
    side = 2.2 + 0.5 * min(max(len(true), len(predicted)), 40)
    figure, axes = _figure("true class by predicted class", (side + 0.6, side))
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    size = max(3.0, min(9.0, 300 / max(len(predicted), len(true), 1)))
    for i, j in np.argwhere(values > 0):
        colour = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", fontsize=size, color=colour)
    axes.set_xticks(range(len(predicted)), [_words(each, LONGEST_CAPTION) for each in predicted], fontsize=size)
    axes.set_yticks(range(len(true)), [_words(each, LONGEST_CAPTION) for each in true], fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def captioned_tiles(rows: Any, captions: Sequence[str], shape: Shape, title: str) -> Figure:
    """A figure of at most 100 rows (rows, units) in [0, 1] as images, each under its caption; raises InputError."""
    values = checks.array(rows, "rows", (len(captions), None))[:MOST_TILES]
    height, width = tile = image_shape(values.shape[1], shape) or (1, values.shape[1])
    down, band = math.ceil(len(values) / ACROSS), math.ceil(0.3 * width)
    picture = np.ones((down * (height + band), ACROSS * (width + 2)))
    figure, axes = _figure(title, (7.4, 1.0 + down * 0.72 * (height + band) / width))
    for i, row in enumerate(values):
        top, left = i // ACROSS * (height + band) + band, i % ACROSS * (width + 2)
        picture[top : top + height, left : left + width] = row.reshape(tile)
        axes.text(left + width / 2, top - 1, _words(captions[i], LONGEST_CAPTION), ha="center", va="bottom", fontsize=8)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def stacked_tiles(parts: Mapping[str, Any], shape: Shape | None, title: str) -> Figure:
    """A figure of the same rows in several versions (rows, units) in [0, 1], each below the other, at most 30 rows.

    Rows that are no images are drawn as lines. Raises InputError.
    """
    versions = [checks.array(x, f"parts[{name!r}]", (None, None))[:MOST_STACKED] for name, x in parts.items()]
    count, units = versions[0].shape
    height, width = tile = image_shape(units, shape) or (1, units)
    across = min(ACROSS if height > 1 else 1, count)
    down, step = math.ceil(count / across), len(versions) * (height + 1) + max(height // 4, 1)
    picture, ticks = np.ones((down * step, across * (width + 1))), []
    for i in range(count):
        for j, values in enumerate(versions):
            top, left = i // across * step + j * (height + 1), i % across * (width + 1)
            picture[top : top + height, left : left + width] = values[i].reshape(tile)
    for line in range(down):
        ticks += [line * step + j * (height + 1) + (height - 1) / 2 for j in range(len(versions))]
    figure, axes = _figure(title, (8.2, min(1.0 + 7 * picture.shape[0] / picture.shape[1], 40) if height > 1 else 7))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal" if height > 1 else "auto")
    axes.set_yticks(ticks, [_words(name) for name in parts] * down, fontsize=8)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically; raises FileError. Letters that the font lacks are drawn as boxes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        FigureCanvasAgg(figure).print_png(buffer)
    write_bytes(path, buffer.getvalue())


def image_shape(units: int, shape: Shape | None) -> Shape | None:
    """The shape (height, width) to draw a row in: the given one, a square where units allow, None for a plain row."""
    if shape is not None:
        height, width = (checks.integer(n, "shape", 1) for n in shape)
        if height * width != units:
            raise InputError(f"shape must have {units} units, got {height} x {width}.")
        return height, width
    side = math.isqrt(units)
    return (side, side) if side * side == units >= LEAST_IMAGE else None


def _words(text: Any, most: int = MOST_NAME) -> str:
    """Foreign text for a picture: short, on one line, and without a $ that matplotlib would take for a formula."""
    found = shown(text, most).replace("$", r"\$")
    return f" {found}" if found.startswith("_") else found  # a label with _ in front would not be in the legend


def _figure(title: str, size: tuple[float, float] = (7, 7.2)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(_words(title, MOST_TITLE), fontsize=11)
    return figure, axes


def _mosaic(rows: Array, tile: Shape, gap: float) -> Array:
    """At most 100 rows (rows, units) as tiles of one picture, filled row by row, gap between them."""
    rows = rows[:MOST_TILES]
    across = math.ceil(math.sqrt(len(rows)))
    down = math.ceil(len(rows) / across)
    height, width = tile
    picture = np.full((down * (height + 1) + 1, across * (width + 1) + 1), gap)
    for i, row in enumerate(rows):
        top, left = 1 + i // across * (height + 1), 1 + i % across * (width + 1)
        picture[top : top + height, left : left + width] = row.reshape(tile)
    return picture


def _bar(axes: Axes, place: int, estimate: Mapping[str, Any], colour: str) -> None:
    """One value with its interval, where it has one."""
    value, ends = estimate["value"], estimate["interval"]
    if None not in ends:
        axes.plot(ends, [place, place], color=colour, linewidth=2)
    axes.plot([value], [place], color=colour, marker=MARKERS[estimate["kind"]], markersize=7, linestyle="")


def _level(axes: Axes, estimate: Any, colour: str, name: str) -> None:
    """A value across the panel, with its interval where it has one."""
    low, high = estimate.interval
    if math.isfinite(low) and math.isfinite(high):
        axes.axhspan(low, high, color=colour, alpha=0.15, linewidth=0)
    trust = "" if estimate.trusted else " (NOT trusted)"
    axes.axhline(estimate.value, color=colour, linewidth=1.3, label=f"{name}: {estimate.value:.2f}{trust}")


def _swaps(axes: Axes, ladder: Any) -> None:
    """How often neighbouring rungs swap, a bar from rung to rung."""
    axes.stairs(ladder.acceptance, ladder.places, fill=True, alpha=0.5, color="0.4")
    axes.plot(ladder.places, np.zeros(len(ladder.places)), "|", color="0.1", markersize=10)
    axes.set_ylim(0, 1)
    axes.set_title("probability that neighbouring rungs swap", fontsize=10)
    axes.set_xlabel("inverse temperature")


def _bounds(axes: Axes, model: Mapping[str, Any], colour: str) -> None:
    """The bounds of one model against the number of samples."""
    sizes = [bound["samples"] for bound in model["bounds"]]
    values = [bound["value"] for bound in model["bounds"]]
    axes.plot(sizes, values, color=colour, marker=".", linewidth=1.3, label=_words(model["name"]))


def _curve(axes: Axes, values: Sequence[Any], stages: Sequence[str], label: str = "") -> None:
    """One quantity against the running epoch, a line a stage, gaps where it was not recorded."""
    known = [float(x) if isinstance(x, int | float) and abs(x) < LARGEST else math.nan for x in values]
    if all(math.isnan(x) for x in known):
        if not axes.texts:
            axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)
        return
    names = list(dict.fromkeys(stages))
    for number, name in enumerate(names):
        epochs = [i + 1 for i, stage in enumerate(stages) if stage == name]
        if all(math.isnan(known[i - 1]) for i in epochs):
            continue
        marker = "." if len(epochs) < 30 else ""
        shown = ", ".join(part for part in (_words(name) if len(names) > 1 or not label else "", label) if part)
        colour = None if label else f"C{number}"
        axes.plot(epochs, [known[i - 1] for i in epochs], marker=marker, linewidth=1.3, label=shown, color=colour)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(names) > 1 or label:
        axes.legend(fontsize=8)
