"""Networks unrolled from machines: classifiers and autoencoders whose layers start as those of a machine.

The classifier of a deep Boltzmann machine hears, beside each layer, the mean-field posterior of the layer two above it,
so that with its first weights it makes one more sweep of mean field (Salakhutdinov & Hinton 2009, section 3.3); other
machines lend their up pass. The autoencoder goes up and down again (Hinton & Salakhutdinov 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.foreign import shown
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, checked_machine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.networks.feedforward import FeedForward
from boltz.networks.network import LABELS, Label, Network, is_label
from boltz.nn.dense import Net
from boltz.nn.residual import AnyNet

Array = NDArray[Any]
CODES = ("sigmoid", "linear")


class Dense(NamedTuple):
    """One dense layer: weights (units heard, units), bias, function, and how many units it hears beside those below."""

    weight: Array
    bias: Array
    function: str
    side: int = 0


def classifier(model: Model, classes: Sequence[Label]) -> Network:
    """The network of a machine's hidden layers under softmax outputs with zero weights, one for each of the classes.

    classes are at least one distinct label, integers, numbers or text. Raises InputError.
    """
    model = checked_machine(model)
    labels = tuple(_label(each, i) for i, each in enumerate(checks.sequence(classes, "classes")))
    if not labels or len(set(labels)) != len(labels):
        raise InputError(f"classes must be at least one label, all different, got {shown(list(labels))}.")
    layers = _upwards(model, posterior=True)
    units = layers[-1].weight.shape[1]
    top = Dense(np.zeros_like(model.arena, shape=(units, len(labels))), _zeros(model, len(labels)), "softmax")
    machine = model.undirected if model.directed is None and len(model.layers) > 2 else None
    return _network(model, [*layers, top], machine, classes=labels)


def autoencoder(model: Model, code: str = "sigmoid") -> Network:
    """The network up to the top layer, the code, and down again to the visible units (Hinton & Salakhutdinov 2006).

    A Helmholtz machine lends both passes, a Boltzmann machine its weights and their transposes. code is the function
    of binary code units: "sigmoid" as in the machine, or "linear". Raises InputError.
    """
    model = checked_machine(model)
    checks.choice(code, "code", CODES)
    up, down = _upwards(model), _downwards(model)
    if model.layers[-1].binary:
        up[-1] = up[-1]._replace(function=code)
    return _network(model, [*up, *down], code=len(up))


def _label(value: Any, place: int) -> Label:
    value = value.item() if isinstance(value, np.generic) else value
    if is_label(value):
        found: Label = value
        return found
    raise InputError(f"classes[{place}] must be {LABELS}, got {checks.brief(value)}.")


def _network(model: Model, layers: list[Dense], machine: Any = None, **more: Any) -> Network:
    sizes = (model.layers[0].units, *(layer.weight.shape[1] for layer in layers))
    net = FeedForward(sizes, tuple(layer.function for layer in layers), tuple(layer.side for layer in layers))
    arena = np.concatenate([part.reshape(-1) for layer in layers for part in (layer.weight, layer.bias)])
    return Network(net, arena, model.layers[0], machine, scaling=model.scaling, levels=model.levels, **more)


def _zeros(model: Model, units: int) -> Array:
    return np.zeros_like(model.arena, shape=(units,))


def _upwards(model: Model, posterior: bool = False) -> list[Dense]:
    """The dense layers from the visible units to the top; posterior: those of a DBM hear the layer above, too."""
    dense = []
    if (net := model.directed) is not None:
        if net.structure.flows:
            raise InputError(
                f"model must have means in its recognition to be unrolled, but a flow is behind that of layer "
                f"{next(iter(net.structure.flows))}: train one with posterior='gaussian'."
            )
        for name, inner in net.structure.recognition.items():
            dense += _of_net(net, inner, f"recognition/{name}", net.units[name])
    if (rbm := model.undirected) is not None:
        chain = _chain(rbm)
        for i, weight in enumerate(chain):
            above = chain[i + 1 : i + 2] if posterior else []
            stacked = np.concatenate([weight, *(other.T for other in above)])
            side = stacked.shape[0] - weight.shape[0]
            dense.append(Dense(stacked, rbm.bias(rbm.layers[i + 1].name), "sigmoid", side))
    return dense


def _downwards(model: Model) -> list[Dense]:
    """The dense layers from the top to the visible units."""
    dense = []
    if (rbm := model.undirected) is not None:
        pairs = reversed(list(zip(_chain(rbm), rbm.layers[:-1], strict=True)))
        dense += [Dense(weight.T, rbm.bias(layer.name), "sigmoid") for weight, layer in pairs]
    if (net := model.directed) is not None:
        for name, inner in reversed(net.structure.generative.items()):
            dense += _of_net(net, inner, f"generative/{name}", net.units[name])
    return dense


def _of_net(model: HelmholtzMachine, net: AnyNet, name: str, units: int) -> list[Dense]:
    """The dense layers of a conditional, of whose outputs only the means stay."""
    if not isinstance(net, Net):
        raise InputError(
            "model must have dense nets to be unrolled, but it has residual ones: train one with encoder='dense'."
        )
    layer = model.layers[[layer.name for layer in model.layers].index(name.partition("/")[2])]
    functions = [net.activation] * (net.depth - 1) + ["sigmoid" if layer.binary else "linear"]
    found = []
    for i, function in enumerate(functions):
        last = units if i == net.depth - 1 else None
        weight, bias = model.params[f"{name}/{i}/weight"], model.params[f"{name}/{i}/bias"]
        found.append(Dense(weight[:, :last], bias[:last], function))
    return found


def _chain(machine: BoltzmannMachine) -> list[Array]:
    """The weights between neighbouring layers, from the bottom; raises InputError where layers form no chain."""
    names = [layer.name for layer in machine.layers]
    keys = {(edge.lower, edge.upper): edge.key for edge in machine.graph.edges}
    if set(keys) != set(pairwise(names)):
        raise InputError("model must have its layers in a chain to be unrolled, each joined to the next one only.")
    return [machine.params[keys[pair]] for pair in pairwise(names)]
