"""Growth of a trained Boltzmann machine: a layer on top, or units in a layer, without a change of what it has learnt.

A new unit k with the weights W_k to the layer x below it, and none upwards, multiplies p*(x) by 1 + exp(c_k + W_k . x).
With W_k = 0 that is a constant, but then all gradients of the unit are those of a constant, and it never starts to
learn. There are two ways out.

"single": the unit hears one unit i below with a weight w of any size. A function of one binary unit is linear in it:
log(1 + exp(c + w x_i)) = log(1 + exp(c)) + x_i d with d = log(1 + exp(c + w)) - log(1 + exp(c)). So if d is taken off
the bias of unit i, p(v) is what it was, exactly, and log Z has grown by log(1 + exp(c)). The unit is on oftener where i
is, so that its weight to a unit j has the gradient (sigmoid(c + w) - sigmoid(c)) times what the machine lacks of
<x_i x_j>, and sigmoid(c) times what it lacks of <x_j>: the first order of what there is to learn.

"random": normal weights to all units below, with W_k . m taken off c_k, where m are mean activities, and sigmoid(c_k)
W_k off the biases below. Then log p(v) changes in the second order of the weights alone, by the variance of what the
unit hears about m; with their scale the gradient is of the first order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.graph import MOST_LAYERS, Graph, Layer
from boltz.numerics import logit, sigmoid, softplus
from boltz.rng import Key
from boltz.units.states import largest_state

Floats = NDArray[np.float64]
RATE = 0.1  # of a new unit that hears nothing: units of an upper layer that works are on as seldom


@dataclass(frozen=True)
class Fresh:
    """New units of a layer: the weights to all units below (units below, new units), and their biases (new units,).

    below holds the biases of the layer below (units,), which change, and means their mean activities, None where these
    are not known.
    """

    weights: Floats
    biases: Floats
    below: Floats
    means: Floats | None


def single(fresh: Fresh, scale: float, key: Key) -> None:
    """Each new unit hears one unit below, with a weight from half to one and a half times the scale.

    Those below that differ most between rows come first, where that is known; else the order is random. With more new
    units than units below some are heard by several, whose weights differ.
    """
    generator = key.generator()
    units, new = fresh.weights.shape
    order = generator.permutation(units)
    if fresh.means is not None:
        order = np.argsort(-fresh.means * (1 - fresh.means), kind="stable")
    heard, weights = np.resize(order, new), scale * generator.uniform(0.5, 1.5, new)
    fresh.weights[heard, np.arange(new)] = weights
    np.subtract.at(fresh.below, heard, softplus(fresh.biases + weights) - softplus(fresh.biases))


def random(fresh: Fresh, scale: float, key: Key) -> None:
    """Each new unit hears all units below, with normal weights whose standard deviation is the scale."""
    weights = scale * key.generator().normal(size=fresh.weights.shape)
    fresh.weights[...] = weights
    fresh.below[...] -= weights @ sigmoid(fresh.biases)
    fresh.biases[...] -= (np.full(len(weights), 0.5) if fresh.means is None else fresh.means) @ weights


def start_above(model: BoltzmannMachine) -> None:
    """Give layers above the first hidden one that have not learnt anything yet a start to learn from, in place.

    The small random weights get the usual scale of "random", the units are on as seldom, and what they say on average
    is taken off the biases below. A layer has not learnt anything while its biases are all 0. Units that are not 0 and
    1 start without a bias.
    """
    for edge in model.graph.edges:
        if edge.lower in model.graph.views:
            continue
        weight, bias = model.params[edge.key], model.bias(edge.upper)
        if not bias.any() and weight.any():
            kind = model.unit_type(edge.upper)
            reach = largest_state(kind) * largest_state(model.unit_type(edge.lower))
            weight *= WIRINGS["random"].scale / (reach * weight.std())
            bias[...] = logit(np.float64(RATE)) if kind.binary else 0
            model.bias(edge.lower)[...] -= weight @ kind.mean(bias)


@dataclass(frozen=True)
class Wiring:
    """A way to wire new units, and its usual scale."""

    wire: Callable[[Fresh, float, Key], None]
    scale: float


WIRINGS = {"single": Wiring(single, 3.0), "random": Wiring(random, 0.05)}


def grow(
    model: BoltzmannMachine, layers: Any, wiring: str = "single", scale: float | None = None, seed: int = 0
) -> BoltzmannMachine:
    """The machine with these hidden layers from the bottom, units added to those it has, or layers on top, or both.

    wiring says what a new unit hears of the layer below; it has no weights upwards yet.
    - "single": one unit, with a weight of about scale (None for 3). p(v) stays as it is, exactly, for any scale.
    - "random": all units, with weights of standard deviation scale (None for 0.05). log p(v) changes in the second
      order of the scale alone.
    A scale of 0 leaves p(v) as it is, too, but such units hardly start to learn.

    New units are on with probability 0.1 where they hear nothing, so each adds log(1 / 0.9) nats to log Z with
    "single". Kept rates of the machine are kept, with those of the new units, so that boltz.train does not pretrain it.
    A layer that is small yet learns best with boltz.train(..., positive="collapsed"). Raises InputError.
    """
    model = checked_model(model)
    checks.choice(wiring, "wiring", WIRINGS)
    chosen = WIRINGS[wiring]
    scale = chosen.scale if scale is None else checks.number(scale, "scale", 0, 1e3)
    key = Key.from_seed(seed).derive("grow")
    graph = _grown(model.graph, layers)
    found = BoltzmannMachine(graph, np.zeros(_affordable(graph, model)), levels=model.levels)
    for name, old in model.params.items():
        found.params[name][tuple(slice(n) for n in old.shape)] = host(old)
    rates = {name: np.array(rate, np.float64) for name, rate in model.rates.items()}
    for edge in graph.edges:
        before = model.graph.units.get(edge.upper, 0)
        if before < graph.units[edge.upper]:
            own = found.bias(edge.upper)[before:]
            own[...] = logit(np.float64(RATE))
            means = rates.get(edge.lower)
            fresh = Fresh(found.params[edge.key][:, before:], own, found.bias(edge.lower), means)
            chosen.wire(fresh, scale, key.derive(edge.upper))
            if means is not None:
                rates[edge.upper] = np.concatenate([rates.get(edge.upper, own[:0]), _rates(fresh, means)])
    return replace(found.astype(model.dtype), rates=rates).to(model.device)


def _rates(fresh: Fresh, means: Floats) -> Floats:
    """Mean activities of new units where each unit below has its own: exact where they hear one unit."""
    heard = np.abs(fresh.weights).argmax(axis=0)
    weights, share = fresh.weights[heard, np.arange(len(heard))], means[heard]
    if np.count_nonzero(fresh.weights) <= len(heard):
        return np.asarray(share * sigmoid(fresh.biases + weights) + (1 - share) * sigmoid(fresh.biases))
    return np.asarray(sigmoid(fresh.biases + means @ fresh.weights))


def _grown(graph: Graph, layers: Any) -> Graph:
    """The chain of layers with these hidden ones; raises InputError where it does not contain the given one."""
    before = [layer.units for layer in graph.layers]
    if graph.edges != Graph.chain(before).edges or graph.layers != tuple(
        Layer(layer.name, layer.units) for layer in Graph.chain(before).layers
    ):
        raise InputError("model must be a chain of layers v, h1, h2, ...: only there is a layer on top to add to.")
    listed = checks.sequence(layers, "layers", MOST_LAYERS)
    sizes = [checks.integer(n, f"layers[{i}]", 1, 10**7) for i, n in enumerate(listed)]
    shown = "-".join(map(str, before[1:]))
    if len(sizes) < len(before) - 1 or any(new < old for new, old in zip(sizes, before[1:], strict=False)):
        raise InputError(
            f"layers must hold at least the hidden layers {shown} that the model has, got {checks.few(sizes)}: "
            "growth takes no units away."
        )
    if sizes == before[1:]:
        raise InputError(f"layers must name more units or layers than the {shown} that the model has.")
    return Graph.chain([before[0], *sizes])


def _affordable(graph: Graph, model: BoltzmannMachine) -> int:
    return checks.affordable(graph.parameters, "the number of parameters by layers", 8 + model.dtype.itemsize)
