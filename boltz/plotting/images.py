"""Pictures of a machine: samples, filters and learning curves, drawn without pyplot and its global state."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.sparse import issparse

from boltz import checks
from boltz.errors import InputError
from boltz.foreign import shown
from boltz.storage.atomic import write_bytes

Array = NDArray[Any]
Shape = tuple[int, ...]  # height and width, and 3 where a pixel has colours, which lie side by side in a row
MOST_TILES, MOST_ROWS, LEAST_IMAGE = 100, 400, 16
ACROSS, MOST_STACKED, LONGEST_CAPTION = 10, 30, 14
MOST_TITLE, MOST_NAME = 200, 30  # characters
DATES = {"svg": "Date", "pdf": "CreationDate"}  # endings, and what says when a file was written
LARGEST = 1e300  # numbers beyond it are not drawn


@dataclass(frozen=True, eq=False)
class Greys:
    """Which numbers are drawn black and which white: two, or (units,) of each, where columns have units of their own.

    bar: what the ends of a colour bar say, and what it shows, in words.
    """

    black: Any = 0.0
    white: Any = 1.0
    bar: tuple[float, float] = (0.0, 1.0)
    what: str = ""

    def of(self, values: Any) -> Array:
        """Values (rows, units) as shades from 0, black, to 1."""
        return np.asarray(np.clip(self._share(values), 0, 1))

    def on_bar(self, values: Any) -> Array:
        """The same as numbers of the colour bar, not cut at its ends."""
        low, high = self.bar
        return np.asarray(low + (high - low) * self._share(values) if np.ndim(self.black) else values)

    def _share(self, values: Any) -> Any:
        return (values - self.black) / (self.white - self.black)


def sample_grid(means: Any, shape: Shape | None = None, title: str = "samples", greys: Greys = Greys()) -> Figure:
    """A figure of rows (chains, units): tiles of the image shape, or one matrix where rows are no images.

    Where black is 0, the largest number of such a matrix is white, so that units that are seldom on are not all black.
    """
    values = checks.array(means, "means", (None, None))
    if values.size == 0:
        raise InputError(f"means must hold at least one row and one unit, got shape {values.shape}.")
    tile = image_shape(values.shape[1], shape)
    if tile is None:
        figure, axes = new_figure(title)
        low, high = greys.bar
        shown_rows = greys.on_bar(values[:MOST_ROWS])
        high = high if low else _brightest(shown_rows)
        image = axes.imshow(shown_rows, cmap="gray", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.6, label=greys.what)
        whole_ticks(axes)
        axes.set_xlabel("unit")
        axes.set_ylabel("sample")
        return figure
    figure, axes = new_figure(title)
    axes.imshow(_mosaic(greys.of(values), tile, 0.35), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def filter_grid(weights: Any, shape: Shape | None = None, what: str = "weights") -> Figure:
    """A figure of weights (visible, hidden), or of what else belongs to pairs, which may be a sparse matrix: the hidden
    units of largest norms.
    """
    values: Any = weights.tocsc() if issparse(weights) else checks.array(weights, "weights", (None, None))
    visible, hidden = values.shape
    if 0 in values.shape:
        raise InputError(f"weights must hold at least one visible and one hidden unit, got shape {values.shape}.")
    order = np.argsort(-np.sqrt((values * values).sum(axis=0)), kind="stable")[:MOST_TILES]
    few = values[:, order]
    chosen, tile = (few.toarray() if issparse(few) else few).T, image_shape(visible, shape)
    figure, axes = new_figure(f"{what} of {len(chosen)} of {hidden} hidden units, largest norm first", (8, 7))
    reach = float(np.abs(chosen).max()) or 1.0
    if tile is not None and len(tile) > 2:
        axes.imshow(_mosaic(0.5 + chosen / (2 * reach), tile, 1.0), interpolation="nearest")
        axes.set_xlabel(f"a channel is from {-reach:.3g} (dark) over 0 (middle) to {reach:.3g} (bright)")
        axes.set_xticks([])
        axes.set_yticks([])
        return figure
    drawn = chosen if tile is None else _mosaic(chosen, tile, math.nan)
    image = axes.imshow(drawn, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    if tile is None:
        axes.set_aspect("auto")
        whole_ticks(axes)
        axes.set_xlabel("visible unit")
        axes.set_ylabel("hidden unit")
    else:
        axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.6)
    return figure


def confusion_matrix(counts: Any, true: Sequence[Any], predicted: Sequence[Any]) -> Figure:
    """A figure of how often rows of each true class were taken for each class: counts (true, predicted) with numbers.

    Shades are shares of the true class. Raises InputError.
    """
    values = checks.array(counts, "counts", (len(true), len(predicted)))
    side = 2.2 + 0.5 * min(max(len(true), len(predicted)), 40)
    figure, axes = new_figure("true class by predicted class", (side + 0.6, side))
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    size = max(3.0, min(9.0, 300 / max(len(predicted), len(true), 1)))
    for i, j in np.argwhere(values > 0):
        colour = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", fontsize=size, color=colour)
    axes.set_xticks(range(len(predicted)), [cleaned(each, LONGEST_CAPTION) for each in predicted], fontsize=size)
    axes.set_yticks(range(len(true)), [cleaned(each, LONGEST_CAPTION) for each in true], fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def captioned_tiles(rows: Any, captions: Sequence[str], shape: Shape, title: str) -> Figure:
    """A figure of at most 100 rows (rows, units) in [0, 1] as images, each under its caption; raises InputError."""
    values = checks.array(rows, "rows", (len(captions), None))[:MOST_TILES]
    height, width, *colours = tile = image_shape(values.shape[1], shape) or (1, values.shape[1])
    down, band = math.ceil(len(values) / ACROSS), math.ceil(0.3 * width)
    picture = np.ones((down * (height + band), ACROSS * (width + 2), *colours))
    figure, axes = new_figure(title, (7.4, 1.0 + down * 0.72 * (height + band) / width))
    for i, row in enumerate(values):
        top, left = i // ACROSS * (height + band) + band, i % ACROSS * (width + 2)
        picture[top : top + height, left : left + width] = row.reshape(tile)
        axes.text(
            left + width / 2, top - 1, cleaned(captions[i], LONGEST_CAPTION), ha="center", va="bottom", fontsize=8
        )
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def stacked_tiles(parts: Mapping[str, Any], shape: Shape | None, title: str) -> Figure:
    """A figure of the same rows in several versions (rows, units) in [0, 1], each below the other, at most 30 rows.

    Rows that are no images are drawn as lines. Raises InputError.
    """
    versions = [checks.array(x, f"parts[{name!r}]", (None, None))[:MOST_STACKED] for name, x in parts.items()]
    count, units = versions[0].shape
    height, width, *colours = tile = image_shape(units, shape) or (1, units)
    across = min(ACROSS if height > 1 else 1, count)
    down, step = math.ceil(count / across), len(versions) * (height + 1) + max(height // 4, 1)
    picture, ticks = np.ones((down * step, across * (width + 1), *colours)), []
    for i in range(count):
        for j, values in enumerate(versions):
            top, left = i // across * step + j * (height + 1), i % across * (width + 1)
            picture[top : top + height, left : left + width] = values[i].reshape(tile)
    for line in range(down):
        ticks += [line * step + j * (height + 1) + (height - 1) / 2 for j in range(len(versions))]
    figure, axes = new_figure(title, (8.2, min(1.0 + 7 * picture.shape[0] / picture.shape[1], 40) if height > 1 else 7))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal" if height > 1 else "auto")
    axes.set_yticks(ticks, [cleaned(name) for name in parts] * down, fontsize=8)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


@dataclass(frozen=True)
class Grid:
    """The names of the lines and columns of a grid of tiles, and how many columns stand apart on the left and the
    right.
    """

    lines: tuple[str, ...]
    columns: tuple[str, ...]
    left: int = 0
    right: int = 0


def tile_grid(tiles: Any, shape: Shape | None, title: str, grid: Grid) -> Figure:
    """A figure of tiles (lines, columns, units) in [0, 1], NaN where there is none; raises InputError."""
    down, across, units = np.shape(tiles)
    height, width = tile = image_shape(units, shape) or (max(units // 4, 1), units)
    gap = max(width // 4, 1)
    starts = [j * (width + 1) + gap * (j >= grid.left > 0) + gap * (j >= across - grid.right) for j in range(across)]
    picture = np.full((down * (height + 1) - 1, starts[-1] + width), np.nan)
    for i in range(down):
        for j, left in enumerate(starts):
            picture[i * (height + 1) : i * (height + 1) + height, left : left + width] = (
                tiles[i, j].reshape(tile) if units == height * width else tiles[i, j]
            )
    wide = min(max(1.6 + 0.6 * across, 4), 14)
    figure, axes = new_figure(title, (wide, min(1.0 + (wide - 1.2) * len(picture) / picture.shape[1], 40)))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([i * (height + 1) + (height - 1) / 2 for i in range(down)], map(cleaned, grid.lines), fontsize=8)
    axes.set_xticks([left + (width - 1) / 2 for left in starts], [cleaned(name) for name in grid.columns], fontsize=8)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


class Picture(Figure):
    """A figure that a notebook shows as it is, without pyplot."""

    def _repr_png_(self) -> bytes:
        return written(self, "png")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG, PDF or, for every other ending, PNG, atomically and without a date; raises FileError."""
    ending = os.path.splitext(path)[1][1:].lower()
    write_bytes(path, written(figure, ending if ending in DATES else "png"))


def written(figure: Figure, ending: str) -> bytes:
    """A figure as the bytes of a file; letters that the font lacks are drawn as boxes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "boltz"}):
        warnings.filterwarnings("ignore", "Glyph")
        if ending == "png":
            FigureCanvasAgg(figure).print_png(buffer)
        else:
            figure.savefig(buffer, format=ending, metadata={DATES[ending]: None})
    return buffer.getvalue()


def image_shape(units: int, shape: Shape | None) -> Shape | None:
    """The shape (height, width) or (height, width, 3) to draw a row in: the given one, a square where units allow, None
    for a plain row.
    """
    if shape is not None:
        sides = tuple(checks.integer(n, "shape", 1) for n in shape)
        if math.prod(sides) != units:
            raise InputError(f"shape must have {units} units, got {' x '.join(map(str, sides))}.")
        return sides
    side = math.isqrt(units)
    return (side, side) if side * side == units >= LEAST_IMAGE else None


def cleaned(text: Any, most: int = MOST_NAME) -> str:
    """Foreign text for a picture: short, on one line, and without a $ that matplotlib would take for a formula."""
    found = shown(text, most).replace("$", r"\$")
    return f" {found}" if found.startswith("_") else found  # a label with _ in front would not be in the legend


def new_figure(title: str, size: tuple[float, float] = (7, 7.2)) -> tuple[Figure, Axes]:
    figure = Picture(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(cleaned(title, MOST_TITLE), fontsize=11)
    return figure, axes


def whole_ticks(axes: Axes) -> None:
    """Units and rows are counted by whole numbers."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _brightest(rows: Array) -> float:
    """The number that is drawn white: the largest, or 1 where all are 0."""
    return float(rows.max()) or 1.0


def _mosaic(rows: Array, tile: Shape, gap: float) -> Array:
    """At most 100 rows (rows, units) as tiles of one picture, filled row by row, gap between them."""
    rows = rows[:MOST_TILES]
    across = math.ceil(math.sqrt(len(rows)))
    down = math.ceil(len(rows) / across)
    height, width, *colours = tile
    picture = np.full((down * (height + 1) + 1, across * (width + 1) + 1, *colours), gap)
    for i, row in enumerate(rows):
        top, left = 1 + i // across * (height + 1), 1 + i % across * (width + 1)
        picture[top : top + height, left : left + width] = row.reshape(tile)
    return picture
