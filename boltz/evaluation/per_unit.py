"""What figures of rows are figures of: the kind of the visible units, and nats a row, a site, or of a density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from boltz.models.files import Model
from boltz.models.graph import Layer
from boltz.units.levels import levels_in

WORDS = {"gaussian": "Gaussian"}
NATS, DENSITY = "nats a row", "nats a row, of a density in the units of the data"
DOCUMENT = "nats a document, of its counts"


@dataclass(frozen=True)
class Several:
    """Several visible layers side by side, as one layer is told of: rows are taken as they are."""

    layers: tuple[Layer, ...]
    binary: bool = False
    columns: int = 1

    @property
    def units(self) -> int:
        """Columns of rows of data."""
        return sum(layer.units for layer in self.layers)

    @property
    def kind(self) -> str:
        """The kind of each, in words."""
        return ", ".join(f"{layer.name} {layer.kind}" for layer in self.layers)


Visible = Layer | Several


def visible_of(model: Model) -> Visible:
    """The visible layer of a machine, or its several ones."""
    views = model.layers[: len(model.layers) - len(model.hidden_layers)]
    return model.layers[0] if len(views) == 1 else Several(tuple(views))


def visible_words(kind: str) -> str:
    """Visible units of a kind in words."""
    if (levels := levels_in(kind)) is not None:
        return f"visible units of {levels} levels"
    return f"{WORDS.get(kind, kind)} visible units"


def seen_words(how: str, layer: Visible) -> str:
    """How rows of a visible layer are seen, in words."""
    if isinstance(layer, Several):
        return ", ".join(f"{view.name} {view.units // view.columns:,} {view.kind}" for view in layer.layers) + " units"
    if layer.binary:
        return f"binarize {how}"
    if layer.type.joint:
        return f"counts of {layer.units:,} words"
    return f"{layer.units // layer.columns:,} {visible_words(layer.kind)}"


def unit_of(layer: Visible) -> str:
    """What a log-likelihood of rows of a visible layer is measured in."""
    layers = layer.layers if isinstance(layer, Several) else (layer,)
    if any(each.type.joint for each in layers):
        return DOCUMENT
    return DENSITY if any(each.kind == "gaussian" for each in layers) else NATS


def per_unit(layer: Visible, value: float) -> dict[str, Any]:
    """What a result says of a log-likelihood of rows: what it is measured in, nats a site of categorical units, and
    bits a dimension of units of levels.
    """
    sites = {"nats_a_site": value / (layer.units // layer.columns)} if layer.columns > 1 else {}
    bits = {"bits_a_dimension": bits_a_dimension(layer, value)} if _levels(layer) else {}
    return {"unit": unit_of(layer), **sites, **bits}


def bits_a_dimension(layer: Visible, value: float) -> float:
    """A log-likelihood of a row (nats) as bits for each of its numbers."""
    return -value / (layer.units * math.log(2))


def _levels(layer: Visible) -> int | None:
    """How many levels the units of a layer have, None for other units."""
    return layer.levels if isinstance(layer, Layer) else None


def per_unit_lines(layer: Visible, value: float) -> list[str]:
    """The same as lines of text, none where it goes without saying."""
    if layer.columns > 1:
        sites = layer.units // layer.columns
        return [f"That is {value / sites:.4f} nats a site, of {sites:,} sites of {layer.columns} states."]
    if (levels := _levels(layer)) is not None:
        bits = bits_a_dimension(layer, value)
        return [f"That is {bits:.4f} bits a dimension, of {layer.units:,} numbers of {levels} levels."]
    if unit_of(layer) == DOCUMENT:
        return ["It is of the counts of a document, given its length; perplexity is of its words in their order."]
    if unit_of(layer) == DENSITY:
        return ["It is a log density, in the units of the data, so that other units add a constant."]
    return []
