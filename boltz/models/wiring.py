"""Machines on any graph: from layers and edges, with couplings within layers, and of several kinds of data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from boltz import checks
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.builders import begun
from boltz.models.graph import MOST_LAYERS, MOST_UNITS, Edge, Graph, Layer
from boltz.models.pairs import Pairs
from boltz.rng import Key
from boltz.units import kind_of, units_of

Array = NDArray[Any]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
LATERAL = ("none", "visible", "hidden", "both")


def graph(
    layers: Mapping[str, Any],
    edges: Any,
    visible: Any = None,
    x: Any = None,
    seed: int = 0,
    dtype: Any = np.float32,
    initial_scale: float = 0.01,
    biases: Mapping[str, Any] | None = None,
) -> BoltzmannMachine:
    """A Boltzmann machine on any graph of layers, with small random weights, or with those that are given.

    - layers: units by name, {"v": 784, "h": (500, "spin")}: a number, or a number and a kind of units as in boltz.dbm.
    - edges: pairs of names, [("v", "h"), ("h", "h")], whose weights are drawn; or weights by pair, {("v", "h"): w}: an
      array (lower units, upper units), a SciPy sparse matrix, which couples only what it holds, or None for random
      ones. A pair of the same name couples the units of a layer to each other, by a symmetric matrix without a
      diagonal. Units of several columns take a row or column for each of these.
    - visible: the name of the visible layer, the first one unless it is given, or the names of several, whose columns
      lie side by side in rows of data.
    - x, seed, dtype, initial_scale: as in boltz.dbm. biases: by layer, (units,), 0 where they are not named.

    Raises InputError.
    """
    checks.instance(layers, "layers", Mapping)
    found = [_layer(name, value) for name, value in layers.items()]
    names = [layer.name for layer in found]
    views = _views(visible, names)
    found.sort(key=lambda layer: views.index(layer.name) if layer.name in views else len(views))
    dtype, seed = checks.floating(dtype, "dtype"), checks.seed(seed)
    spread = checks.number(initial_scale, "initial_scale", 0, 1e6)
    given = _edges(edges, names)
    checks.instance(biases, "biases", Mapping, optional=True)
    units = {layer.name: layer for layer in found}
    order = [layer.name for layer in found]
    upwards = sorted((_upwards(pair, weights, order) for pair, weights in given.items()), key=lambda each: each[0])
    made = {pair: _edge(pair, weights, units) for _, pair, weights in upwards}
    plan = Graph(tuple(found), tuple(edge for edge, _ in made.values()), views)
    arena = np.zeros(checks.affordable(plan.size, "the number of parameters by layers", dtype.itemsize), dtype)
    machine = BoltzmannMachine(plan, arena)
    for edge, weights in made.values():
        machine.params[edge.key][...] = _drawn(plan, edge, spread, seed) if weights is None else weights
    for name, values in (biases or {}).items():
        if name not in units:
            raise InputError(f"biases must be of layers, {', '.join(names)}, got {checks.brief(name)}.")
        machine.bias(name)[...] = checks.array(values, f"biases[{name!r}]", (units[name].units,))
    machine = BoltzmannMachine(plan, arena)  # which looks at couplings within layers
    return machine if x is None else begun(machine, x)


def boltzmann(
    visible: int,
    hidden: int = 0,
    units: Any = "bernoulli",
    hidden_units: Any = "bernoulli",
    lateral: str = "both",
    x: Any = None,
    seed: int = 0,
    dtype: Any = np.float32,
    initial_scale: float = 0.01,
) -> BoltzmannMachine:
    """A general Boltzmann machine (Hinton & Sejnowski 1986): a visible layer v, and a hidden layer h if there is one.

    lateral: which units are coupled to each other within their layer, "visible", "hidden", "both", or "none", which
    makes an RBM. Everything else is as in boltz.rbm. Raises InputError.
    """
    lateral = checks.choice(lateral, "lateral", LATERAL)
    units, hidden_units = kind_of(units, "units"), kind_of(hidden_units, "hidden_units")
    visible = checks.integer(visible, "visible", 1, 10**7)
    count = checks.integer(hidden, "hidden", 0, 10**7)
    layers: dict[str, Any] = {"v": (visible, units)}
    edges = [("v", "v")] if lateral in ("visible", "both") else []
    if count:
        layers["h"] = (count, hidden_units)
        edges = [("v", "h"), *edges, *([("h", "h")] if lateral in ("hidden", "both") else [])]
    elif not edges:
        raise InputError(f"lateral must be visible or both for a machine without hidden units, got {lateral}.")
    return graph(layers, edges, "v", x, seed, dtype, initial_scale)


def multimodal(
    views: Mapping[str, Any],
    pathways: Mapping[str, Sequence[int]],
    joint: int,
    x: Any = None,
    seed: int = 0,
    dtype: Any = np.float32,
    initial_scale: float = 0.01,
) -> BoltzmannMachine:
    """A multimodal deep Boltzmann machine (Srivastava & Salakhutdinov 2012): a pathway of hidden layers for each kind
    of data, and a joint layer on top of all.

    - views: visible layers by name, {"image": (128, "gaussian"), "text": 2000}: units, or units and a kind as in
      boltz.dbm. Rows of data hold their columns side by side, in this order.
    - pathways: hidden units above each view, from the bottom, {"image": [64], "text": [32]}; as many layers in each.
      They are called image_h1, image_h2, and the layer above all is called joint.
    - joint: units of the joint layer.
    - x: data, an array (rows, columns) or arrays by view, so that visible biases fit their means.

    Everything else is as in boltz.dbm. Raises InputError.
    """
    for value, name in ((views, "views"), (pathways, "pathways")):
        checks.instance(value, name, Mapping)
    joint = checks.integer(joint, "joint", 1, 10**7)
    if len(views) < 2:
        raise InputError(f"views must name at least two kinds of data, got {len(views)}: boltz.dbm takes one.")
    if set(pathways) != set(views):
        raise InputError(f"pathways must name the views, {', '.join(map(str, views))}, got {checks.few(pathways)}.")
    layers: dict[str, Any] = dict(views)
    edges: list[tuple[str, str]] = []
    listed = {name: list(checks.sequence(pathways[name], f"pathways[{name!r}]", MOST_LAYERS)) for name in views}
    depths = {len(sizes) for sizes in listed.values()}
    if len(depths) > 1 or depths == {0}:
        found = ", ".join(f"{name} {len(sizes)}" for name, sizes in listed.items())
        raise InputError(f"pathways must have as many hidden layers each, at least one, got {found}.")
    made = {f"{name}_h{level + 1}" for name in views for level in range(len(listed[name]))} | {"joint"}
    for name in views:
        if name in made:
            raise InputError(f"views must not have the name of a hidden layer, got {name}: give it another name.")
    for level in range(depths.pop()):
        for name, sizes in listed.items():
            layer = f"{name}_h{level + 1}"
            layers[layer] = sizes[level]
            edges.append((f"{name}_h{level}" if level else name, layer))
    tops = [f"{name}_h{len(sizes)}" for name, sizes in listed.items()]
    layers["joint"] = joint
    return graph(layers, [*edges, *((top, "joint") for top in tops)], tuple(views), x, seed, dtype, initial_scale)


def _layer(name: Any, value: Any) -> Layer:
    """A layer from its units, or from units and a kind; raises InputError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(
            f"layers must have names of letters, digits and _, which begin with a letter, got {checks.brief(name)}."
        )
    pair = isinstance(value, tuple | list) and len(value) == 2
    count, kind = value if pair else (value, "bernoulli")
    kind = kind_of(kind, f"the kind of layer {name}")
    columns = units_of(kind).columns
    return Layer(name, checks.integer(count, f"the units of layer {name}", 1, MOST_UNITS) * columns, kind)


def _views(visible: Any, names: Sequence[str]) -> tuple[str, ...]:
    """The names of the visible layers; raises InputError."""
    if not names:
        raise InputError("layers must name at least one layer, got none.")
    listed: tuple[Any, ...] = (names[0],) if visible is None else (visible,)
    if not (visible is None or isinstance(visible, str)):
        listed = tuple(checks.sequence(visible, "visible", MOST_LAYERS))
    known = all(isinstance(name, str) and name in names for name in listed)
    if not known or not listed or len(set(listed)) < len(listed):
        raise InputError(f"visible must name different layers among {', '.join(names)}, got {checks.brief(visible)}.")
    return listed


def _edges(edges: Any, names: Sequence[str]) -> dict[tuple[str, str], Any]:
    """Weights by pair of names, None where they are to be drawn; raises InputError."""
    if isinstance(edges, Mapping):
        listed = list(edges.items())
    else:
        listed = [(pair, None) for pair in checks.sequence(edges, "edges", MOST_LAYERS**2)]
    found: dict[tuple[str, str], Any] = {}
    for pair, weights in listed:
        two = isinstance(pair, tuple | list) and len(pair) == 2
        fits = two and all(isinstance(name, str) and name in names for name in pair)
        if not fits:
            raise InputError(f"edges must join two layers of {', '.join(names)} each, got {checks.brief(pair)}.")
        if tuple(pair) in found:
            raise InputError(f"edges must join different pairs of layers, got {pair[0]}-{pair[1]} twice.")
        found[pair[0], pair[1]] = weights
    return found


def _upwards(pair: tuple[str, str], weights: Any, order: Sequence[str]) -> tuple[Any, tuple[str, str], Any]:
    """The places of both layers of an edge, the lower first, the edge in this direction, and its weights likewise."""
    places = order.index(pair[0]), order.index(pair[1])
    if places[0] <= places[1]:
        return places, pair, weights
    turned = weights.T if hasattr(weights, "T") else weights if weights is None else np.transpose(weights)
    return places[::-1], (pair[1], pair[0]), turned


def _edge(pair: tuple[str, str], weights: Any, units: Mapping[str, Layer]) -> tuple[Edge, Array | None]:
    """An edge, and its weights as they lie in the arena, None where they are to be drawn; raises InputError."""
    lower, upper = pair
    shape, name = (units[lower].units, units[upper].units), f"edges[{lower!r}, {upper!r}]"
    if weights is None:
        return Edge(lower, upper), None
    if not issparse(weights):
        return Edge(lower, upper), checks.array(weights, name, shape)
    matrix = weights.tocsr()
    matrix.sum_duplicates()
    if matrix.shape != shape or not np.isfinite(matrix.data).all():
        raise InputError(f"{name} must hold finite numbers in shape {shape}, got shape {matrix.shape}.")
    if lower == upper and abs(matrix - matrix.T).max() > 0:
        raise InputError(f"{name} must be symmetric, since each pair counts once.")
    rows, columns = matrix.tocoo().coords
    kept = rows < columns if lower == upper else np.ones(len(rows), bool)
    if lower == upper and (rows == columns).any():
        raise InputError(f"{name} must be 0 on the diagonal, since no unit is coupled to itself.")
    order = np.lexsort((columns[kept], rows[kept]))
    return Edge(lower, upper, Pairs.of(rows[kept], columns[kept])), matrix.tocoo().data[kept][order]


def _drawn(plan: Graph, edge: Edge, spread: float, seed: int) -> Array:
    """Random weights of an edge in the shape that they have in the arena."""
    generator = Key.from_seed(seed).derive("weights", edge.key).generator()
    weight = spread * generator.normal(size=plan.shapes[edge.key])
    if not edge.within or edge.pairs is not None:
        return np.asarray(weight)
    columns = next(layer.columns for layer in plan.layers if layer.name == edge.lower)
    upper = np.triu(weight)
    for first in range(0, len(weight), columns):
        upper[first : first + columns, first : first + columns] = 0
    return np.asarray(upper + upper.T)
