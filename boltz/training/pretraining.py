"""Pretraining of a DBM by RBMs, three ways.

"doubling" (Salakhutdinov & Hinton 2009, section 3.1): each pair of neighbouring layers is trained as an RBM. In the
whole machine an inner layer hears both its neighbours, so the RBM of the first pair doubles the input of its hidden
layer, that of the last pair the input of its visible layer, and those between both; composed without doubling, each
inner layer's field is the mean of what its two RBMs gave it.

"bottom": the first pair is trained as a plain RBM. Upper layers that have not learnt anything yet start as growth with
random weights has them. The composed machine then has the RBM's likelihood but for the second order of these weights.

"two-stage" (Cho, Raiko, Ilin & Karhunen 2013), for two hidden layers: an RBM of the visible and the upper layer, which
skips the one between them, says what the upper layer should do given a row; then the whole machine is trained with the
upper layer as that RBM draws it, so that the lower hidden layer is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.gauge import refuse_gauge
from boltz.models.graph import Graph
from boltz.rng import Key
from boltz.training.clamping import Clamped
from boltz.training.contrastive import Contrastive
from boltz.training.coupled import Coupled
from boltz.training.exchanging import Exchanging
from boltz.training.meaning import largest
from boltz.training.multi_prediction import MultiPrediction
from boltz.training.rules import Rule
from boltz.training.schedules import sweeps
from boltz.training.settings import PREDICTING, Averaged, Settings

Array = NDArray[Any]
RULES: dict[str, type[Contrastive]] = {
    "ptt": Exchanging,
    "ucd": Coupled,
    PREDICTING: MultiPrediction,
}  # the others are contrastive divergence
BINARY_RULES = ("ptt", "ucd", PREDICTING)


@dataclass(frozen=True)
class Stage:
    """A part of a run: one machine trained by a rule; pair is None for the whole machine, else graph is the pair's.

    beside: whether its batches hold, beside the visible rows, states of the layer that the pairs before it draw above
    them. composed: whether the parameters of pairs become those of the whole machine. starts_above: whether upper
    layers that have not learnt anything yet start on the pairs. lower, upper: the layers that a stage of a machine of
    several visible layers trains as an RBM; on_rows: those under it are visible.
    """

    name: str
    settings: Averaged
    rule: Rule
    pair: int | None = None
    graph: Graph | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    beside: bool = False
    composed: bool = True
    starts_above: bool = False
    lower: tuple[str, ...] = ()
    upper: str = ""
    on_rows: bool = False

    @property
    def sees_rows(self) -> bool:
        """Whether its machine is one of visible units and of hidden ones that no stage before gave states to."""
        return (not self.pair and not self.beside) or self.on_rows

    def batches(self, rows: int) -> int:
        """Updates of an epoch on so many rows."""
        return -(-rows // self.settings.batch_size)

    def updates(self, rows: int) -> int:
        """Updates of all epochs on so many rows."""
        return self.settings.epochs * self.batches(rows)

    @property
    def gauged(self) -> bool:
        """Whether the machine is put into the zero-sum gauge after each update."""
        return getattr(self.settings, "gauge", "none") == "zero-sum"

    def at(self, epoch: int) -> Stage:
        """The stage as it is in an epoch, counted from 0: with the sweeps that a rising k has there."""
        k = getattr(self.settings, "k", 1)
        if not isinstance(k, str):
            return self
        settings = replace(self.settings, k=sweeps(k, self.settings.epochs, epoch))  # type: ignore[call-arg]
        return replace(self, settings=settings, rule=replace(self.rule, settings=settings))  # type: ignore[type-var]


def rule_of(settings: Settings, scales: Mapping[str, float]) -> Contrastive:
    """The rule that settings name, for a machine whose inputs have these scales."""
    return RULES.get(settings.rule, Contrastive)(settings, scales)


def pair_stage(pair: int, graph: Graph, settings: Settings, scales: Mapping[str, float]) -> Stage:
    """The stage that trains a pair of neighbouring layers as an RBM."""
    return Stage(f"pretrain-{pair + 1}", settings, rule_of(settings, scales), pair, graph, scales)


def stages(graph: Graph, settings: Settings) -> list[Stage]:
    """The stages of a Boltzmann machine: pairs of layers from the bottom if there is pretraining, then all of it.

    Raises InputError if an RBM is to be pretrained, if a setting has not one number for each pair, or if the rule has
    no such units.
    """
    if graph.kind == "bm":
        return [_whole(graph, settings)]
    found = []
    sizes, kinds = [layer.units for layer in graph.layers], [layer.kind for layer in graph.layers]
    pairs = len(sizes) - 1
    settings.check_pairs(pairs)
    check_units(graph, settings)
    how = settings.pretrain
    doubled, composed, above = how == "doubling", how != "two-stage", how == "bottom"
    joint = Stage("joint", settings, rule_of(settings, {}), composed=composed, starts_above=above)
    if largest(settings.pretrain_epochs) > 0:
        if pairs == 1:
            raise InputError(
                f"pretrain_epochs must be 0 for a machine with one hidden layer, got {settings.pretrain_epochs}."
            )
        if settings.pretrain == "two-stage":
            return [*_two_stages(graph, settings), joint]
        for pair in range(pairs if doubled else 1):
            pair_graph = Graph.chain(sizes[pair : pair + 2], kinds[pair : pair + 2])
            scales = {"h1": 1.0 if pair == pairs - 1 else 2.0, "v": 1.0 if pair == 0 else 2.0} if doubled else {}
            found.append(pair_stage(pair, pair_graph, settings.pretraining(pair), scales))
    return [*found, joint]


def _whole(graph: Graph, settings: Settings) -> Stage:
    """The stage of a machine whose graph is not layered, which has no pairs; raises InputError."""
    settings.check_pairs(1)
    check_units(graph, settings)
    if largest(settings.pretrain_epochs) > 0:
        raise InputError(f"pretrain_epochs must be 0 for a machine of kind bm, got {settings.pretrain_epochs}.")
    if settings.rule not in ("pcd", "cd"):
        raise InputError(f"rule must be pcd or cd for a machine of kind bm, got {settings.rule}.")
    if settings.gauge != "none":
        raise InputError(f"gauge must be none for a machine of kind bm, got {settings.gauge}.")
    if settings.sparse:
        raise InputError(f"sparsity_cost must be 0 for a machine of kind bm, got {settings.sparsity_cost}.")
    return Stage("joint", settings, rule_of(settings, {}))


def check_units(graph: Graph, settings: Settings) -> None:
    """Raise InputError where settings need units of 0 and 1, and a layer has others."""
    several = len(graph.views) > 1
    if several and settings.rule in BINARY_RULES:
        raise InputError(f"rule {settings.rule} is for one visible layer, got {len(graph.views)}: take rule pcd.")
    if several and settings.binarize != "none":
        raise InputError(f"binarize must be none for several visible layers, got {settings.binarize}.")
    if settings.gauge != "none":
        refuse_gauge(graph, "gauge must be none, or the machine have")
    other = next((layer for layer in graph.layers if not layer.binary), None)
    if other is None:
        return
    if not graph.layers[0].binary and settings.binarize != "none":
        kind = graph.layers[0].kind
        raise InputError(f"binarize must be none for {kind} visible units, got {settings.binarize}.")
    if settings.rule in BINARY_RULES:
        raise InputError(
            f"rule {settings.rule} is for Bernoulli units, but layer {other.name} is of kind {other.kind}: take rule "
            "pcd."
        )
    unseeing = [n for n in graph.hidden if not any(other in graph.views for _, other, _ in graph.neighbours[n])]
    upper = next((layer for layer in graph.layers if layer.name in unseeing and not layer.binary), None)
    if settings.positive == "gibbs" and upper is not None:
        raise InputError(
            f"positive gibbs keeps a bit a unit, but layer {upper.name} is of kind {upper.kind}: take positive "
            "collapsed."
        )
    heard = [n for n in graph.hidden if any(lower for _, _, lower in graph.neighbours[n])]
    inner = next((layer for layer in graph.layers if layer.name in heard and not layer.binary), None)
    if inner is not None and largest(settings.pretrain_epochs) > 0 and settings.pretrain != "bottom":
        raise InputError(
            f"pretrain must be bottom where layer {inner.name} is of kind {inner.kind}, got {settings.pretrain}."
        )


def _two_stages(graph: Graph, settings: Settings) -> list[Stage]:
    """An RBM that skips the lower hidden layer, and the whole machine with the upper layer held."""
    sizes = [layer.units for layer in graph.layers]
    if len(sizes) != 3:
        raise InputError(
            f"pretrain must be doubling or bottom for {len(sizes) - 1} hidden layers: two-stage skips one of two."
        )
    first, second = settings.pretraining(0), settings.pretraining(1)
    skipping = Graph.chain(sizes[::2], [layer.kind for layer in graph.layers[::2]])
    return [
        Stage("pretrain-1", first, Contrastive(first), 0, skipping, composed=False),
        Stage("pretrain-2", second, Clamped(second), beside=True, composed=False),
    ]


def empty(graph: Graph, like: Array) -> BoltzmannMachine:
    """A machine with all parameters zero, of like's type and where it lives."""
    return BoltzmannMachine(graph, np.zeros_like(like, shape=(graph.size,)))


def start_pair(model: BoltzmannMachine, stage: Stage) -> BoltzmannMachine:
    """The RBM of a stage with the weights and biases that the whole machine has there."""
    assert stage.pair is not None and stage.graph is not None
    pair = empty(stage.graph, model.arena)
    if not stage.composed:
        return _skipping(model, pair, stage)
    pair.params["edge/v-h1/weight"][...] = model.params[model.graph.edges[stage.pair].key]
    for name, layer in zip(("v", "h1"), model.layers[stage.pair : stage.pair + 2], strict=True):
        _copy_units(pair, name, model.own(layer.name))
    return pair


def _copy_units(machine: BoltzmannMachine, layer: str, found: Mapping[str, Array]) -> None:
    """Put the parameters of the units of another layer into one of a machine, in place."""
    for name, own in machine.own(layer).items():
        own[...] = found[name]


def _skipping(model: BoltzmannMachine, pair: BoltzmannMachine, stage: Stage) -> BoltzmannMachine:
    """The RBM of the outer layers of a machine: weights of variance 1 / units, as in the code of Cho et al., and the
    biases that these layers have.
    """
    weight = pair.params["edge/v-h1/weight"]
    generator = Key.from_seed(stage.settings.seed).derive("weights", stage.name).generator()
    drawn = generator.normal(size=weight.shape) / np.sqrt(sum(weight.shape))
    weight[...] = beside(drawn.astype(weight.dtype), weight)
    for name, layer in zip(("v", "h1"), (model.visible, model.layers[-1].name), strict=True):
        _copy_units(pair, name, model.own(layer))
    return pair


def recognise(
    pairs: Sequence[BoltzmannMachine], plan: Sequence[Stage], batch: Array, rows: NDArray[np.int64], key: Key, step: int
) -> Array:
    """States (rows, units) of the layer above the given trained pairs, drawn upwards from a visible batch."""
    for pair, stage in zip(pairs, plan, strict=True):
        mean = batch @ pair.params["edge/v-h1/weight"]
        kernels.bernoulli_mean(mean, stage.scales.get("h1", 1.0), pair.bias("h1"))
        batch = np.empty_like(mean)
        kernels.bernoulli_rows(mean, key.derive("recognise", stage.name).stream(step), rows, batch)
    return batch


def compose(model: BoltzmannMachine, pairs: Sequence[BoltzmannMachine], plan: Sequence[Stage] = ()) -> None:
    """Put the trained pairs into the whole machine, in place: weights as they are, inner biases averaged."""
    for pair, edge in zip(pairs, model.graph.edges, strict=False):
        model.params[edge.key][...] = pair.params["edge/v-h1/weight"]
    for i, layer in enumerate(model.layers[: len(pairs) + 1]):
        below = [pair.own("h1") for pair in pairs[max(i - 1, 0) : i]]
        above = [pair.own("v") for pair in pairs[i : i + 1]]
        for name, own in model.own(layer.name).items():
            own[...] = sum(each[name] for each in below + above) / len(below + above)
