"""Visible layers on the page of a machine, and its lowest hidden units: what these draw, and what drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data import Data
from boltz.evaluation.page import Markup, both, tag
from boltz.foreign import shown
from boltz.models.files import Model, Seeing, means_known
from boltz.models.graph import Layer
from boltz.models.views import alone, of_several
from boltz.plotting.images import Greys, Shape
from boltz.plotting.machines import greys_of, listener, unit_effects, view_effects
from boltz.plotting.tiles import TWO_SIDED, Tile, uris
from boltz.sampling.features import features

Array = NDArray[Any]
DRIVERS, STRONGEST = 6, 6
MOST_EFFECTS = 1 << 26  # weights that are drawn
HEARD = "visible units hear each other"
HEARD_TOLD = "Visible units hear each other, so that no hidden unit has a picture of its own."


@dataclass(frozen=True, eq=False)
class Sight:
    """A visible layer on a page: how its rows are drawn, and which columns of rows it has.

    effects (units, listeners): what the units of layer, the lowest one that hears it, do to it, and what that is in
    words; without a hidden layer above it, its couplings, layer being itself. There may be no listeners to show.
    """

    view: Layer
    columns: slice
    tile: Tile
    layer: Layer
    effects: Array
    what: str

    @property
    def strongest(self) -> Array:
        """The listeners in the order of the norms of what they do, the largest first."""
        return np.argsort(-np.linalg.norm(self.effects, axis=0), kind="stable")

    def greys(self, model: Model, rows: Array) -> Greys:
        """How rows (rows, units) of this layer are drawn, in the units of the data."""
        machine = of_several(model)
        seeing: Seeing = model if machine is None else alone(machine, self.view.name)
        return greys_of(seeing, rows)


def sights_of(model: Model, shapes: Mapping[str, Shape | None], pixels: int, most: int) -> tuple[Sight, ...]:
    """The visible layers of a machine, in tiles of about so many pixels; shapes are those of images, where known."""
    found, place = [], 0
    for view in model.visible_layers:
        columns, place = slice(place, place + view.units), place + view.units
        tile = Tile.of(view.units, shapes.get(view.name), min(most, pixels))
        found.append(Sight(view, columns, tile, *effects_on(model, view)))
    return tuple(found)


def effects_on(model: Model, view: Layer) -> tuple[Layer, Array, str]:
    """The layer that hears a visible one, what its units do to it, and that in words."""
    if not means_known(model):
        return view, np.zeros((view.units, 0)), HEARD
    machine = model.undirected if model.directed is None else None
    if machine is None or machine.graph.chained:
        return model.layers[1], *unit_effects(model)
    layer, key, _ = listener(machine, view.name)
    if prod(machine.matrix(key).shape) > MOST_EFFECTS:
        return layer, np.zeros((view.units, 0)), "weights"
    effects, what = view_effects(machine, view.name)
    return layer, effects.toarray() if hasattr(effects, "toarray") else effects, what


def hidden_units(model: Model, seen: tuple[Data | None, Array | None], sights: Sequence[Sight], most: int) -> Any:
    """The lowest hidden units of a machine: pictures, numbers, and the rows that drive them most, each row once.

    seen: the data and the rows (rows, units) that the machine was shown, if any; most: how many units of each layer.
    """
    filters: list[str] = []
    units: list[dict[str, Any]] = []
    rows: list[dict[str, str]] = []
    for sight in sights:
        own = _units_of(model, seen, sight, sight.strongest[:most])
        for unit in own["units"]:
            unit["rows"] = [(place + len(rows), said) for place, said in unit["rows"]]
        filters, units, rows = filters + own["filters"], units + own["units"], rows + own["rows"]
    return {"filters": filters, "units": units, "rows": rows}


def _units_of(
    model: Model, seen: tuple[Data | None, Array | None], sight: Sight, chosen: Array
) -> dict[str, list[Any]]:
    """The same of one visible layer, the units in this order."""
    (data, x), effects, tile = seen, sight.effects, sight.tile
    filters = uris(tile.signed(effects.T[chosen], float(np.abs(effects).max(initial=0.0))), TWO_SIDED)
    hears = sight.layer in model.hidden_layers
    means = features(model, x, sight.layer.name) if x is not None and hears and len(chosen) else None
    places: dict[int, int] = {}
    found: list[dict[str, Any]] = []
    for unit in chosen:
        weights = effects[:, unit]
        facts, drivers = [("norm", f"{np.linalg.norm(weights):.3g}")], []
        if means is not None:
            own = means[:, unit]
            facts += [("mean over rows", f"{own.mean():.3g}"), ("spread over rows", f"{own.std():.3g}")]
            drivers = [(places.setdefault(int(row), len(places)), f"{own[row]:.3g}") for row in driving(own)]
        if tile.image is None:
            strong = np.argsort(-np.abs(weights), kind="stable")[:STRONGEST]
            facts += [(_named(data, sight.columns.start + int(i), int(i)), f"{weights[i]:+.3g}") for i in strong]
        found.append({"name": f"{sight.layer.name}, unit {unit + 1}", "facts": facts, "rows": drivers})
    if x is None or not places:
        return {"filters": filters, "units": found, "rows": []}
    shades = sight.greys(model, x[:, sight.columns]).of(x[[*places], sight.columns])
    drawn = uris(tile.greys(np.asarray(shades)))
    pictures = [{"name": _row_name(data, row), "image": image} for row, image in zip(places, drawn, strict=True)]
    return {"filters": filters, "units": found, "rows": pictures}


def driving(own: Array) -> Array:
    """The rows that drive a unit most, by its means (rows,)."""
    return np.argsort(-own, kind="stable")[:DRIVERS]


def _named(data: Data | None, column: int, unit: int) -> str:
    """The name of a visible unit."""
    columns = () if data is None else data.columns
    return shown(columns[column]) if column < len(columns) else f"unit {unit + 1}"


def _row_name(data: Data | None, row: int) -> str:
    labels = None if data is None else data.labels
    return f"row {row + 1}" + ("" if labels is None else f", label {shown(labels[row])}")


def browser(sights: Sequence[Sight], place: int, units: Mapping[str, Any]) -> Markup:
    """A button a hidden unit; what belongs to the chosen one stands beside them."""
    title = tag("h3", "Hidden units")
    if not units["units"]:
        heard = any(sight.what == HEARD for sight in sights)
        return both(title, tag("p", HEARD_TOLD if heard else "There are too many weights to be drawn.", class_="soft"))
    buttons = [
        tag(
            "button",
            tag("img", src=image, alt=""),
            type="button",
            data_run=place,
            data_unit=i,
            aria_pressed="false",
            aria_label=unit["name"],
        )
        for i, (image, unit) in enumerate(zip(units["filters"], units["units"], strict=True))
    ]
    names = [unit["name"].rpartition(", unit ")[0] for unit in units["units"]]
    each = (
        f"{sight.what} of {names.count(sight.layer.name)} of the {sight.layer.units:,} units of {sight.layer.name}"
        for sight in sights
    )
    said = "; ".join(dict.fromkeys(each))
    said = (
        f"{said[0].upper()}{said[1:]}, largest norm first; red is positive, blue negative. "
        "Choose a unit with a click or with the arrow keys."
    )
    images = any(sight.tile.image for sight in sights)
    grid = tag("div", *buttons, class_="units" if images else "units bars", role="group", aria_label="Hidden units")
    detail = tag("div", class_="detail", id=f"detail-{place}", aria_live="polite")
    return both(title, tag("p", said, class_="soft"), tag("div", grid, detail, class_="browse"))
