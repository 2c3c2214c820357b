"""Pretraining of a machine of several kinds of data, pathway by pathway (Srivastava & Salakhutdinov 2014, section 4.1).

"bottom": each view and the layer above it are trained as a plain RBM; upper layers start as growth has them. A layer
that hears views of several kinds directly is no such RBM, and learns with the whole machine.
"doubling": every hidden layer is trained as an RBM upon what lies below it, the joint layer upon the tops of all
pathways together, and a layer that will hear two sides counts its input twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Graph
from boltz.rng import Key
from boltz.training.meaning import largest
from boltz.training.pretraining import Stage, check_units, empty, recognise, rule_of
from boltz.training.settings import Settings

Array = NDArray[Any]
At = tuple[Key, int]  # the key of a run, and the number of a presentation of its rows


def stages(graph: Graph, settings: Settings) -> list[Stage]:
    """The stages of a machine with several visible layers: RBMs from the bottom if there is pretraining, then all of
    it. Raises InputError where settings do not fit.
    """
    check_units(graph, settings)
    for name, count in settings.several.items():
        raise InputError(f"{name} must be one number for a machine of several visible layers, got {count}.")
    joint = Stage("joint", settings, rule_of(settings, {}), starts_above=settings.pretrain == "bottom")
    if largest(settings.pretrain_epochs) == 0:
        return [joint]
    if settings.pretrain == "two-stage":
        raise InputError("pretrain must be bottom or doubling for a machine of several visible layers, got two-stage.")
    found: list[Stage] = []
    for upper in graph.hidden:
        lower = below(graph, upper)
        views = set(lower) <= set(graph.views)
        if settings.pretrain == "bottom" and (not views or len({graph.kinds[name] for name in lower}) > 1):
            continue
        found.append(_stage(graph, (lower, upper), settings, len(found)))
    return [*found, joint]


def doubles(graph: Graph) -> bool:
    """Whether a graph can be pretrained by doubling: layers are bits where others hear them from above, and what lies
    under a hidden layer is of one kind, all of it visible or none.
    """
    for upper in graph.hidden:
        lower = below(graph, upper)
        heard = any(is_lower for _, _, is_lower in graph.neighbours[upper])
        visible = [name for name in lower if name in graph.views]
        if len({graph.kinds[name] for name in lower}) != 1 or 0 < len(visible) < len(lower):
            return False
        if heard and graph.kinds[upper] != "bernoulli":
            return False
    return True


def below(graph: Graph, layer: str) -> tuple[str, ...]:
    """The layers under a hidden one, those that come before it, in the order of the graph."""
    before = list(graph.units)[: list(graph.units).index(layer)]
    return tuple(n for n in before if any(other == n for _, other, _ in graph.neighbours[layer]))


def _stage(graph: Graph, pair: tuple[tuple[str, ...], str], settings: Settings, number: int) -> Stage:
    """The stage that trains layers as an RBM."""
    lower, upper = pair
    kinds = {graph.kinds[name] for name in lower}
    if len(kinds) > 1:
        raise InputError(f"the layers under {upper} must be of one kind to be pretrained, got {', '.join(kinds)}.")
    sizes, scales = [sum(graph.units[name] for name in lower), graph.units[upper]], {}
    if settings.pretrain == "doubling":
        hears_more = len(graph.neighbours[upper]) > len(lower)
        scales = {"h1": 2.0 if hears_more else 1.0, "v": 1.0 if lower[0] in graph.views else 2.0}
    chosen = settings.pretraining(0)
    chain = Graph.chain(sizes, [kinds.pop(), graph.kinds[upper]])
    on_rows = set(lower) <= set(graph.views)
    rule = rule_of(chosen, scales)
    return Stage(f"pretrain-{upper}", chosen, rule, number, chain, scales, lower=lower, upper=upper, on_rows=on_rows)


def seen(
    stage: Stage, known: tuple[Graph, Sequence[Stage], Sequence[BoltzmannMachine]], batch: Array, rows: Any, at: At
) -> Array:
    """What the RBM of a stage sees of a batch of visible rows: states (rows, units) of the layers under it, drawn
    upwards through the RBMs below.
    """
    graph, plan, pairs = known
    parts = []
    for name in stage.lower:
        if name in graph.views:
            parts.append(batch[:, graph.columns[name]])
            continue
        number = next(i for i, each in enumerate(plan) if each.upper == name)
        under = seen(plan[number], known, batch, rows, at)
        parts.append(recognise([pairs[number]], [plan[number]], under, rows, *at))
    return np.concatenate(parts, axis=1)


def start_pair(model: BoltzmannMachine, stage: Stage) -> BoltzmannMachine:
    """The RBM of a stage with the weights and biases that the whole machine has there."""
    assert stage.graph is not None
    pair = empty(stage.graph, model.arena)
    for name, part in _parts(model, stage).items():
        edge = next(e for e in model.graph.edges if {e.lower, e.upper} == {name, stage.upper})
        pair.params["edge/v-h1/weight"][part] = model.params[edge.key]
        for parameter, own in model.own(name).items():
            pair.own("v")[parameter][part] = own
    for parameter, own in model.own(stage.upper).items():
        pair.own("h1")[parameter][...] = own
    return pair


def _parts(model: BoltzmannMachine, stage: Stage) -> dict[str, slice]:
    """The rows of the weights of a stage's RBM that belong to each layer under it."""
    ends = np.cumsum([model.units[name] for name in stage.lower]).tolist()
    return {name: slice(end - model.units[name], end) for name, end in zip(stage.lower, ends, strict=True)}


def compose(model: BoltzmannMachine, pairs: Sequence[BoltzmannMachine], plan: Sequence[Stage]) -> None:
    """Put the trained RBMs into the whole machine, in place: weights as they are, biases averaged over the RBMs that
    share a layer.
    """
    found: dict[tuple[str, str], list[Array]] = {}
    for pair, stage in zip(pairs, plan, strict=False):
        for name, part in _parts(model, stage).items():
            edge = next(e for e in model.graph.edges if {e.lower, e.upper} == {name, stage.upper})
            model.params[edge.key][...] = pair.params["edge/v-h1/weight"][part]
            for parameter, own in pair.own("v").items():
                found.setdefault((name, parameter), []).append(own[part])
        for parameter, own in pair.own("h1").items():
            found.setdefault((stage.upper, parameter), []).append(own)
    for (layer, parameter), parts in found.items():
        model.own(layer)[parameter][...] = sum(parts) / len(parts)
