"""Expectations of x and x y^T by enumeration, under a machine and under its posterior given rows, in float64.

Their difference is the gradient of the mean log-likelihood (Ackley, Hinton & Sejnowski 1985).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.closed_forms import QUICK_HIDDEN
from boltz.estimators.exact import QUICK_UNITS, chunks, class_units, configurations, exact_log_marginal, exact_log_z
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.models.documents import by_length
from boltz.models.graph import bias_key, own_key
from boltz.parallel import blocks
from boltz.units.states import own_lengths

Array = NDArray[Any]
Floats = NDArray[np.float64]
Moments = dict[str, Floats]


def exact_gradient(model: BoltzmannMachine, x: Array) -> Moments:
    """Gradient of the mean log p(v) of checked rows x (rows, units), by parameter name; raises InputError.

    The smaller colour class is enumerated, at most 20 units. Unless the machine is an RBM, the hidden layers next to
    the visible class are enumerated as well, at most 14 units.
    """
    small = min(class_units(model, layers) for layers in model.graph.colours)
    if small > QUICK_UNITS:
        raise InputError(
            f"model must have at most {QUICK_UNITS} units in its smaller colour class for rule='exact', got {small}: "
            "give rule='cd' or 'pcd'."
        )
    near = class_units(model, model.graph.colours[1])
    if not model.independent_hidden and near > QUICK_HIDDEN:
        raise InputError(
            f"model must have at most {QUICK_HIDDEN} units in {', '.join(model.graph.colours[1])} for rule='exact', "
            f"got {near}: give rule='cd' or 'pcd'."
        )
    machine, rows = model.to("cpu").astype(np.float64), host(x).astype(np.float64)
    positive, negative = posterior_moments(machine, rows), _moments_as_long_as(machine, rows)
    return {name: value - negative[name] for name, value in positive.items()}


def _moments_as_long_as(machine: BoltzmannMachine, rows: Floats) -> Moments:
    """Moments under the machine; where documents have lengths of their own, the mean of those of the rows' lengths."""
    if not own_lengths(machine.unit_type(machine.visible)):
        return model_moments(machine)
    found = _empty(machine)
    for words, numbers in by_length(rows).items():
        for name, value in model_moments(machine.of_length(words)).items():
            found[name] += value * (len(numbers) / len(rows))
    return found


def model_moments(machine: BoltzmannMachine) -> Moments:
    """Moments under the machine, a float64 one on the host; the smaller colour class is enumerated."""
    mine, other = sorted(machine.graph.colours, key=lambda layers: class_units(machine, layers))
    log_z, found = exact_log_z(machine).value, _empty(machine)
    for part in chunks(machine, mine):
        state = configurations(machine, mine, part)
        shares = np.exp(-machine.marginal_energy(state, other) - log_z)
        _add(machine, found, state, _fields(machine, other, state), shares)
    return found


def posterior_moments(machine: BoltzmannMachine, x: Floats) -> Moments:
    """Mean moments over rows x (rows, units) with the hidden units given each row, of a float64 machine on the host."""
    visible, found, even = machine.evidence(x), _empty(machine), np.full(len(x), 1 / len(x))
    mine = machine.graph.colours[1]
    if machine.independent_hidden:
        _add(machine, found, visible, _fields(machine, mine, visible), even)
        return found
    far = [layer for layer in machine.graph.colours[0] if layer not in machine.graph.views]
    sent = {layer: machine.input(layer, visible) for layer in mine}
    log_p = exact_log_marginal(machine, x) - x @ machine.bias(machine.visible)
    log_p += machine.unit_type(machine.visible).base_energy(x)
    expected = {layer: np.zeros_like(sent[layer]) for layer in mine}
    for part in chunks(machine, mine):
        state = configurations(machine, mine, part)
        alone, shares = -machine.marginal_energy(state, far), np.zeros(part.stop - part.start)
        for rows in blocks(len(x)):
            coupled = alone + sum(sent[layer][rows] @ state[layer].T for layer in mine)
            posterior = np.exp(coupled - log_p[rows, None])
            shares += posterior.sum(axis=0) / len(x)
            for layer in mine:
                expected[layer][rows] += posterior @ state[layer]
        _add(machine, found, state, _fields(machine, far, state), shares)
    given = _empty(machine)
    _add(machine, given, visible | expected, {}, even)
    around = {bias_key(machine.visible)} | {key for key, _, _ in machine.graph.neighbours[machine.visible]}
    around |= {own_key(machine.visible, name) for name in machine.graph.own_shapes[machine.visible]}
    return found | {name: given[name] for name in around}


def _empty(machine: BoltzmannMachine) -> Moments:
    return dict(machine.views(np.zeros_like(machine.arena)))


def _fields(machine: BoltzmannMachine, layers: Sequence[str], state: State) -> dict[str, Floats]:
    """Fields of layers given all their neighbours."""
    return {layer: machine.field(layer, state) for layer in layers}


def _add(machine: BoltzmannMachine, found: Moments, state: State, fields: State, shares: Floats) -> None:
    """found += the moments of layers in states or at fields (rows, units), each row with its share (rows,)."""
    kinds = machine.types
    whole = {**state, **{n: kinds[n].mean(field) for n, field in fields.items()}}
    for layer, x in whole.items():
        found[bias_key(layer)] += shares @ x
        free = layer in fields
        own = kinds[layer].field_statistics(fields[layer]) if free else kinds[layer].statistics(x)
        for name, each in own.items():
            found[own_key(layer, name)] += shares @ each
    for edge in machine.graph.edges:
        if edge.lower in whole and edge.upper in whole:
            found[edge.key] += (shares[:, None] * whole[edge.lower]).T @ whole[edge.upper]
