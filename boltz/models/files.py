"""Reading models back from safetensors files; what a stranger wrote is checked before it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.errors import BoltzError, FileError, InputError
from boltz.foreign import shown
from boltz.models.boltzmann import (
    BoltzmannMachine,
    refuse_graph,
    refuse_units,
    refuse_views,
    within,
)
from boltz.models.graph import MOST_LAYERS, MOST_UNITS, Edge, Graph, Layer
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.pairs import Pairs, pairs_key
from boltz.models.scaling import Scaling, cast
from boltz.models.structure import Game, Structure
from boltz.models.views import alone, views_of
from boltz.nn.registry import FACTOR_NAMES, factor_from, posterior_from, residual_from
from boltz.storage import snapshots
from boltz.storage.tensors import read_metadata, read_tensors
from boltz.units import is_kind
from boltz.units.levels import points, whole_numbers
from boltz.units.onehot import by_columns, not_states
from boltz.units.states import are_states, ends, refuse_others, state_words

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Told = Mapping[str, str]
Shapes = Mapping[str, tuple[int, ...]]
NO_TENSORS: Tensors = MappingProxyType({})
Model = BoltzmannMachine | HelmholtzMachine
NETWORK = "network.safetensors"
MOST_PAIRS = 2**30


class Seeing(Protocol):
    """What sees visible rows: a machine, or a network unrolled from one."""

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, the visible one first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the parameters."""

    @property
    def arena(self) -> Array:
        """All parameters."""

    @property
    def scaling(self) -> Scaling | None:
        """The scale of Gaussian visible units, None where rows are taken as they are."""

    @property
    def levels(self) -> int | None:
        """What whole numbers are divided by."""


def load(path: str | Path) -> Model:
    """Read a machine from a model file or from a run folder; raises FileError or InputError."""
    file = checks.path(path, "path")
    return _read(file / "model.safetensors" if os.path.isdir(file) else file)


def trajectory(path: str | Path | Any) -> list[BoltzmannMachine]:
    """The snapshots of a run along its training, in order and without the trained machine; [] where it kept none.

    path: a run folder, the boltz.Run itself, or a model file, which has none. Raises FileError where a snapshot is
    damaged, or is no machine with the layers and the type of the trained one.
    """
    if isinstance(kept := getattr(path, "trajectory", None), tuple):
        return list(kept)
    folder = checks.path(path, "path")
    if not os.path.exists(folder):
        raise FileError(f"{folder} does not exist.")
    files = snapshots.listed(folder) if os.path.isdir(folder) else []
    model = load(folder) if files else None
    return [_snapshot(file, model) for file in files]


def _snapshot(file: Path, model: Model | None) -> BoltzmannMachine:
    """The machine of a file, which must be like the trained one."""
    machine = _read(file)
    wanted = f"{file} must hold a machine with the layers and the type of the model.safetensors of its run."
    if not isinstance(machine, BoltzmannMachine) or not isinstance(model, BoltzmannMachine):
        raise FileError(wanted)
    if (machine.graph, machine.dtype) != (model.graph, model.dtype):
        raise FileError(wanted)
    return machine


def _read(file: Path) -> Model:
    announced = read_metadata(file)
    kind = announced.get("model", "")
    if kind not in READERS:
        raise FileError(f"{file} is not a model file: it must hold a machine of kind {', '.join(READERS)}.")
    read, shapes = READERS[kind]
    return read(*read_tensors(file, tuple(shapes(announced, str(file)))), str(file))


def checked_machine(
    model: Any,
    name: str = "model",
    wanted: str = "a BoltzmannMachine or a HelmholtzMachine",
    any_units: bool = False,
    any_graph: bool = False,
    any_factors: bool = False,
) -> Model:
    """The argument of a public function that takes either machine, and what else is wanted in words; raises InputError.

    name is what errors call it. any_units: a Boltzmann machine may have units other than 0 and 1. any_graph: its graph
    need not be layered, and it may have several visible layers. any_factors: units of a layer of a
    Helmholtz machine need not be independent given the layer above, and there may be no hidden layers.
    """
    if not isinstance(model, BoltzmannMachine | HelmholtzMachine):
        raise InputError(f"{name} must be {wanted}, got {type(model).__name__}{within(model)}.")
    if isinstance(model, HelmholtzMachine) and not any_factors:
        refuse_factors(model, name)
    if isinstance(model, BoltzmannMachine) and not any_units:
        refuse_units(model, name)
    if isinstance(model, BoltzmannMachine) and not any_graph:
        refuse_views(model, name)
        refuse_graph(model, name)
    return model


def refuse_factors(model: HelmholtzMachine, name: str = "model") -> None:
    """Raise InputError for a Helmholtz machine in which units of a layer are not independent given the layer above, and
    for one without hidden layers; name is what errors call it.
    """
    for layer, factor in model.structure.factors:
        if layer not in [each.name for each in model.structure.latent[-1:]]:
            kind = FACTOR_NAMES[type(factor)]
            found = f"layer {layer} has a factor of its own ({kind})" if model.hidden_layers else f"it is a {kind}"
            raise InputError(
                f"{name} must have hidden layers, and units that are independent given the layer above, but {found}: "
                "train, sample, evaluate, compare and diagnose take such machines."
            )


def means_known(model: Model) -> bool:
    """Whether visible units are independent given the layer above, so that they have means and effects to draw."""
    return model.directed is None or model.visible in model.directed.structure.generative


def refuse_coupled(model: Model, name: str = "model") -> None:
    """Raise InputError for a Boltzmann machine that is not layered, unless its hidden units, if any, are independent
    given its only visible layer, so that they can be summed in closed form; name is what errors call it.
    """
    if isinstance(model, BoltzmannMachine):
        refuse_views(model, name)
        if not model.independent_hidden or model.layers[0].type.joint:
            refuse_graph(model, name)


def visible_rows(model: Seeing, x: Any, name: str = "x") -> Array:
    """Visible rows (rows, units) as the machine sees them, in its type, where it lives: numbers in [0, 1], or any for
    Gaussian units, which it sees in its own units. Units of levels it sees as points from -1 to 1.

    Whole numbers are divided by the levels that the machine keeps. name is what errors call x; raises InputError.
    """
    if isinstance(model, BoltzmannMachine) and len(model.graph.views) > 1:
        parts = views_of(model.graph, x, name)
        seen = [visible_rows(alone(model, view), part, f"{name}[{view!r}]") for view, part in parts.items()]
        return np.concatenate(seen, axis=1)
    layer, border = model.layers[0], scale.Border(name, model.levels, "use model.with_levels({})")
    x = by_columns(x, layer, name)
    if layer.levels is not None:
        return arrays.beside(inside(model, level_rows(x, layer, name)), model.arena)
    if layer.binary:
        return scale.rows(x, border, layer.units, model.dtype, model.arena)
    rows = inside(model, scale.rows(x, border, layer.units, np.float64, model.arena, real=True))
    if isinstance(model, BoltzmannMachine):
        refuse_others(layer.type, arrays.host(rows), name)
    if isinstance(model, BoltzmannMachine) and not are_states(layer.type, rows):
        raise InputError(not_states(name, layer))
    if not np.isfinite(rows).all():
        raise InputError(f"{name} must lie within the range of {model.dtype} in units of the spread of its columns.")
    return rows


def level_rows(x: Any, layer: Layer, name: str) -> Array:
    """Rows (rows, units) of a layer of levels: at least one, of whole numbers; raises InputError."""
    found = scale.table(x, name, layer.units)
    if len(found) == 0:
        raise InputError(f"{name} must have at least one row, got none.")
    for block in scale.blocks(found):
        if not are_states(layer.type, block):
            raise scale.Border(name).misfit(found, 0, ends(layer.type)[1], f"{state_words(layer.type)}, one a level")
    return found


def first_levels(x: Any, model: Seeing) -> Array:
    """Some rows of whole numbers x (rows, units), evenly spaced, as a machine with levels sees them."""
    if hasattr(x, "fingerprint"):  # rows as boltz.load_data gives them
        if x.levels != model.levels:
            found = "floats" if x.levels is None else f"whole numbers from 0 to {x.levels}"
            raise InputError(f"x must hold whole numbers from 0 to {model.levels}, the levels of units, got {found}.")
        x = x.x
    return visible_rows(model, checks.initial_rows(x))


def log_units(model: Any, known: Array | None = None) -> Any:
    """What log-densities of a Boltzmann machine are less by in the units of the data (nats): a number, or one for each
    row of known (rows, units) where not all visible units are. The conditionals of a Helmholtz machine count it
    themselves.
    """
    if not isinstance(model, BoltzmannMachine) or model.scaling is None:
        return 0.0
    each = model.scaling.log_units
    return float(each.sum()) if known is None else np.asarray(known, np.float64) @ each


def inside(model: Seeing, x: Array) -> Array:
    """Visible rows (rows, units), in the units of the data, as the machine sees them, in its type."""
    if (levels := model.layers[0].levels) is not None:
        return points(x, levels, model.dtype)
    return cast(x, model.dtype) if model.scaling is None else model.scaling.inside(x, model.dtype)


def outside(model: Seeing, values: Array) -> Array:
    """Values (rows, units) of visible units of the machine, in the units of the data."""
    if (levels := model.layers[0].levels) is not None:
        return whole_numbers(values, levels)
    return values if model.scaling is None else model.scaling.outside(values)


def states_outside(model: BoltzmannMachine, states: Mapping[str, Array]) -> dict[str, Array]:
    """States by layer with those of the visible units in the units of the data."""
    if model.scaling is None or not set(model.graph.views) <= set(states):
        return {name: outside(model, x) if name == model.visible else x for name, x in states.items()}
    rows = np.concatenate([arrays.host(states[name]) for name in model.graph.views], axis=1)
    return {**states, **model.graph.split(outside(model, rows))}


def states_inside(model: BoltzmannMachine, states: Mapping[str, Array]) -> dict[str, Array]:
    """States by layer, (chains, units) each, with those of the visible units in the units of the data, as the machine
    sees them.
    """
    rows = model.rows({name: arrays.host(states[name]) for name in model.graph.views})
    return {**states, **model.graph.split(inside(model, rows))}


def structure_from(text: Any) -> Structure:
    """A structure from plain values; raises KeyError, TypeError, ValueError or InputError."""
    sizes = [[checks.integer(n, "widths", 1, 10**7) for n in group] for group in text["widths"]]
    if len(text["layers"]) > MOST_LAYERS or sum(map(len, sizes)) > MOST_LAYERS:
        raise InputError(f"a structure must have at most {MOST_LAYERS} layers.")
    layers = layers_from(text["layers"])
    own = tuple((str(layer), factor_from(name, plain)) for layer, name, plain in text.get("factors", ()))
    flows = tuple((str(layer), posterior_from(name, plain)) for layer, name, plain in text.get("posteriors", ()))
    game = None if text.get("game") is None else game_from(text["game"])
    found = own, flows, game, residual_from(text.get("residual"))
    return Structure(layers, tuple(map(tuple, sizes)), str(text["activation"]), str(text["prior"]), *found)


def game_from(plain: Any) -> Game:
    """The game of a structure from plain values; raises TypeError or InputError."""
    if not isinstance(plain, Mapping) or not set(plain) <= {each.name for each in fields(Game)}:
        raise InputError("the game of an adversarial autoencoder has other settings.")
    return Game(**plain)


def layers_from(rows: Any) -> tuple[Layer, ...]:
    return tuple(Layer(str(n), checks.integer(u, "units", 1, MOST_UNITS), str(k)) for n, u, k in rows)


def graph_from(metadata: Told, source: str, tensors: Tensors = NO_TENSORS) -> Graph:
    """The graph of a file; tensors hold the pairs of its sparse edges."""
    try:
        return plan_of(json.loads(metadata["graph"]), tensors, source)
    except (KeyError, ValueError, TypeError, RecursionError) as problem:
        raise FileError(f"{source} does not describe a layer graph ({shown(problem)}).") from problem


def plan_of(text: Mapping[str, Any], tensors: Tensors, source: str) -> Graph:
    """The graph that plain values tell of; tensors of the file source hold the pairs of its sparse edges.

    Raises KeyError, TypeError, ValueError or FileError.
    """
    layers = layers_from(text["layers"])
    edges = tuple(_edge(list(each), tensors, source) for each in text["edges"])
    views = checks.integer(text.get("views", 1), "views", 1, len(layers))
    return Graph(layers, edges, tuple(layer.name for layer in layers[:views]))


def _edge(told: list[Any], tensors: Tensors, source: str) -> Edge:
    """An edge from its two layers and, where it is sparse, the number of its pairs; raises FileError."""
    lower, upper = str(told[0]), str(told[1])
    if len(told) == 2:
        return Edge(lower, upper)
    name, count = pairs_key(Edge(lower, upper).key), checks.integer(told[2], "pairs", 0, MOST_PAIRS)
    found = tensors.get(name)
    if found is None or found.shape != (2, count) or found.dtype != np.int32:
        raise FileError(f"{source} must hold {name}, whole numbers (int32) of shape (2, {count}).")
    return Edge(lower, upper, Pairs(np.ascontiguousarray(found[0]), np.ascontiguousarray(found[1])))


def _shapes(metadata: Told, source: str) -> Shapes:
    """The shapes of the parameters in their order, none where the pairs of sparse edges have to be read first."""
    try:
        sparse = any(len(each) > 2 for each in json.loads(metadata["graph"])["edges"])
    except (KeyError, ValueError, TypeError, RecursionError) as problem:
        raise FileError(f"{source} does not describe a layer graph ({shown(problem)}).") from problem
    return {} if sparse else graph_from(metadata, source).shapes


def boltzmann_from(tensors: Tensors, metadata: Told, source: str) -> BoltzmannMachine:
    graph = graph_from(metadata, source, tensors)
    arena, rates = arena_from(tensors, graph.shapes, source), _rates(tensors, graph.layers, source)
    scaling = _scaling_of_views(tensors, graph, source)
    return BoltzmannMachine(graph, arena, rates, levels_from(metadata, source), scaling)


def _structure(metadata: Told, source: str) -> Structure:
    try:
        return structure_from(json.loads(metadata["structure"]))
    except (KeyError, ValueError, TypeError, RecursionError, BoltzError) as problem:
        raise FileError(f"{source} does not describe a Helmholtz machine ({shown(problem)}).") from problem


def _helmholtz(tensors: Tensors, metadata: Told, source: str) -> HelmholtzMachine:
    structure = _structure(metadata, source)
    arena, rates = arena_from(tensors, structure.shapes, source), _rates(tensors, structure.layers, source)
    scaling = scaling_from(tensors, structure.layers[0], source)
    return HelmholtzMachine(structure, arena, rates, scaling, levels_from(metadata, source))


def arena_from(tensors: Tensors, wanted: Shapes, source: str) -> Array:
    """The parameters in order, in the widest of their types."""
    for name, shape in wanted.items():
        if name not in tensors or tensors[name].shape != shape:
            found = tensors[name].shape if name in tensors else "nothing"
            raise FileError(f"{source} must hold {shown(name)} of shape {shape}, got {found}.")
        if tensors[name].dtype.kind != "f" or not _finite(tensors[name]):
            raise FileError(f"{source} must hold finite floating numbers in {name}.")
    return _end_to_end([tensors[name] for name in wanted])


def _finite(x: Array) -> bool:
    """Whether all numbers are finite, without a second array of that size."""
    with np.errstate(invalid="ignore"):
        return x.size == 0 or bool(np.isfinite(x.min()) and np.isfinite(x.max()))


def _end_to_end(parts: Sequence[Array]) -> Array:
    """Arrays as one flat array: themselves where they are neighbours in one piece of memory, else a copy."""
    starts = [part.__array_interface__["data"][0] for part in parts]
    ends = [start + part.nbytes for start, part in zip(starts, parts, strict=True)]
    whole, dtype = parts[0].base, np.result_type(*parts)
    together = all(part.base is whole and part.dtype == dtype for part in parts) and starts[1:] == ends[:-1]
    if together and isinstance(whole, np.ndarray) and whole.dtype == np.uint8 and whole.ndim == 1:
        first = starts[0] - whole.__array_interface__["data"][0]
        return whole[first : first + ends[-1] - starts[0]].view(dtype)
    return np.concatenate([part.astype(dtype).reshape(-1) for part in parts])


def levels_from(metadata: Mapping[str, str], source: str) -> int | None:
    """What the machine divides whole numbers by, None where the file does not say."""
    text = metadata.get(scale.LEVELS)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 < int(text) <= scale.MOST_LEVELS):
        raise FileError(f"{source} must hold levels from 2 to {scale.MOST_LEVELS}, got {text!r:.20}.")
    return int(text)


def _rates(tensors: Tensors, layers: tuple[Layer, ...], source: str) -> dict[str, Array]:
    rates = {n: tensors[f"layer/{n}/rate"] for n in (each.name for each in layers) if f"layer/{n}/rate" in tensors}
    for layer in layers:
        low, high = ends(layer.type) if is_kind(layer.kind) else (0.0, 1.0)
        rate = rates.get(layer.name)
        if rate is not None and (rate.shape != (layer.units,) or not ((rate > low) & (rate < high)).all()):
            within = f"({low:g}, {high:g})"
            raise FileError(f"{source} must hold layer/{layer.name}/rate of shape ({layer.units},) within {within}.")
    return rates


def _scaling_of_views(tensors: Tensors, graph: Graph, source: str) -> Scaling | None:
    """That of all Gaussian visible layers; columns of others are as they are."""
    found = [scaling_from(tensors, layer, source) for layer in graph.layers[: len(graph.views)]]
    if len(found) == 1 or not any(found):
        return found[0]
    parts = [each or Scaling.plain(graph.units[view]) for each, view in zip(found, graph.views, strict=True)]
    return Scaling(np.concatenate([each.location for each in parts]), np.concatenate([each.spread for each in parts]))


def scaling_from(tensors: Tensors, layer: Layer, source: str) -> Scaling | None:
    """That of Gaussian visible units; where there is none, rows were taken as they are."""
    if layer.kind != "gaussian":
        return None
    found = [tensors.get(f"layer/{layer.name}/{name}") for name in ("location", "spread")]
    location, spread = found
    if location is None and spread is None:
        return Scaling.plain(layer.units)
    if location is None or spread is None or not location.shape == spread.shape == (layer.units,):
        raise FileError(f"{source} must hold location and spread of layer {layer.name}, {layer.units} numbers each.")
    try:
        return Scaling(location.astype(np.float64), spread.astype(np.float64))
    except InputError as problem:
        raise FileError(f"{source} does not hold the units of layer {layer.name} ({shown(problem)}).") from problem


READERS: dict[str, tuple[Callable[[Tensors, Told, str], Model], Callable[[Told, str], Shapes]]] = {
    "boltzmann": (boltzmann_from, _shapes),
    "helmholtz": (_helmholtz, lambda metadata, source: _structure(metadata, source).shapes),
}  # kind -> (the machine of a file, the shapes of its parameters in their order)
