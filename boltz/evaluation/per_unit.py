"""What figures of rows are figures of: the kind of the visible units, and nats a row, a site, or of a density."""

from __future__ import annotations

from typing import Any

from boltz.models.graph import Layer

WORDS = {"gaussian": "Gaussian"}
NATS, DENSITY = "nats a row", "nats a row, of a density in the units of the data"
DOCUMENT = "nats a document, of its counts"


def visible_words(kind: str) -> str:
    """Visible units of a kind in words."""
    return f"{WORDS.get(kind, kind)} visible units"


def seen_words(how: str, layer: Layer) -> str:
    """How rows of a visible layer are seen, in words."""
    if layer.binary:
        return f"binarize {how}"
    if layer.type.joint:
        return f"counts of {layer.units:,} words"
    return f"{layer.units // layer.columns:,} {visible_words(layer.kind)}"


def unit_of(layer: Layer) -> str:
    """What a log-likelihood of rows of a visible layer is measured in."""
    if layer.type.joint:
        return DOCUMENT
    return DENSITY if layer.kind == "gaussian" else NATS


def per_unit(layer: Layer, value: float) -> dict[str, Any]:
    """What a result says of a log-likelihood of rows: what it is measured in, and nats a site of categorical units."""
    sites = {"nats_a_site": value / (layer.units // layer.columns)} if layer.columns > 1 else {}
    return {"unit": unit_of(layer), **sites}


def per_unit_lines(layer: Layer, value: float) -> list[str]:
    """The same as lines of text, none where it goes without saying."""
    if layer.columns > 1:
        sites = layer.units // layer.columns
        return [f"That is {value / sites:.4f} nats a site, of {sites:,} sites of {layer.columns} states."]
    if layer.type.joint:
        return ["It is of the counts of a document, given its length; perplexity is of its words in their order."]
    if layer.kind == "gaussian":
        return ["It is a log density, in the units of the data, so that other units add a constant."]
    return []
