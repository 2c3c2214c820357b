"""The zero-sum gauge of machines with categorical units.

The columns of a categorical unit sum to 1. What is added to the weights of all its columns to a unit of another layer
is therefore a field on that unit, and what is added to the biases of all its columns is a constant energy. So weights
and biases that differ may stand for one distribution; those that sum to 0 over the columns of each unit are one choice
of them, the one with the smallest squared weights (Tubiana, Cocco & Monasson 2019, eLife 8:e39397, Methods).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.graph import Graph

Array = NDArray[Any]
NO_SCALES: Mapping[str, float] = {}


def zero_sum(model: BoltzmannMachine) -> BoltzmannMachine:
    """A copy of a machine in the zero-sum gauge: log p of every state and all conditionals stay as they are.

    Weights of each categorical unit sum to 0 over its states, for each unit that they go to, and so do its biases. What
    this takes off the weights goes to the biases of the other side. log Z and all energies change by one constant,
    which falls out of log p. Raises InputError for a machine without categorical units, which has no such freedom.
    """
    model = checked_model(model, any_units=True)
    refuse_gauge(model.graph, "model must have")
    found = replace(model, arena=model.arena.copy())
    project(found)
    return found


def refuse_gauge(graph: Graph, begin: str) -> None:
    """Raise InputError where no layer is categorical; begin is how its sentence begins."""
    if all(layer.columns == 1 for layer in graph.layers):
        kinds = " and ".join(dict.fromkeys(layer.kind for layer in graph.layers))
        raise InputError(f"{begin} categorical units, since weights of others have no gauge, got {kinds} units.")


def project(machine: BoltzmannMachine, scales: Mapping[str, float] = NO_SCALES) -> None:
    """Put a machine into the zero-sum gauge, in place; nothing where no layer is categorical.

    scales: of layers whose input counts more than once, as in pretraining, while their bias counts once.
    """
    columns = {layer.name: layer.columns for layer in machine.layers}
    for edge in machine.graph.edges:
        weight, lower, upper = machine.params[edge.key], edge.lower, edge.upper
        if columns[lower] > 1:
            taken = take_mean(weight.reshape(-1, columns[lower], weight.shape[1]), 1)
            _add(machine.bias(upper), taken.sum(axis=(0, 1)), scales.get(upper, 1.0))
        if columns[upper] > 1:
            taken = take_mean(weight.reshape(len(weight), -1, columns[upper]), 2)
            _add(machine.bias(lower), taken.sum(axis=(1, 2)), scales.get(lower, 1.0))
    for layer, count in columns.items():
        if count > 1:
            take_mean(machine.bias(layer).reshape(-1, count), 1)


def take_mean(x: Array, axis: int) -> Array:
    """Take the mean along an axis off x, in place, so that x sums to 0 there; returns the mean, the axis kept."""
    mean = x.mean(axis=axis, keepdims=True)
    x -= mean
    return mean


def _add(bias: Array, change: Array, scale: float) -> None:
    bias += bias.dtype.type(scale) * change
