"""Boltzmann machines with some visible units known: mean field and block Gibbs chains of all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz import arrays
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.parallel import shares, workers
from boltz.rng import Key
from boltz.sampling.evidence import Evidence
from boltz.sampling.gibbs import GibbsSweep, pinned
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.sampling.meanfield import WITHIN, MeanField, solve
from boltz.units.states import inside

Array = NDArray[Any]
SWEEPS = 100
ROOM = 1e-3  # of base means from the ends of what units can be
Drawn = Callable[[str, Array], Array]
FIRST_SWEEP = MeanField(tolerance=0.0, sweeps=1)


def posterior(machine: BoltzmannMachine, evidence: Evidence, sweeps: int = SWEEPS) -> dict[str, Array]:
    """Mean-field means (rows, units) of all layers given evidence, where it lives; known units are as they were.

    Hidden layers first hear the visible units with unknown ones at their base rate, as in mean_field, but those of rows
    that lack a whole view as outwards has it. Then they and the unknown units relax together for so many sweeps, all of
    them, so that no row depends on when others settle.
    """
    means = {n: machine.zeros(len(evidence), n) for n in machine.graph.units}
    order = [layer for colour in machine.graph.colours[::-1] for layer in colour]

    def run(block: slice) -> None:
        part, scratch = evidence.part(block), Scratch(machine.arena)
        mine = {n: x[block] for n, x in means.items()}
        for view in machine.graph.views:
            mine[view][...] = base_means(machine, view)
        restore(machine, part, mine)
        evidence_now = {view: mine[view] for view in machine.graph.views}
        for layer, start in solve(machine, evidence_now, FIRST_SWEEP, scratch).items():
            mine[layer][...] = start
        outwards(machine, part, mine)
        known = part.by_view(machine)
        for _ in range(sweeps):
            for layer in order:
                inputs, damping = layer_input(machine, layer, mine, scratch), 0.0
                if layer in machine.graph.within:
                    inputs += mine[layer] @ machine.matrix(machine.graph.within[layer].key)
                    damping = WITHIN
                machine.unit_type(layer).relax(inputs, 1.0, machine.bias(layer), damping, mine[layer])
                if layer in known:
                    np.copyto(mine[layer], known[layer][0], where=known[layer][1])

    with workers(machine.arena) as pool:
        pool.map(run, shares(len(evidence), machine.arena))
    return means


def restore(machine: BoltzmannMachine, evidence: Evidence, state: Mapping[str, Array]) -> None:
    """Put the known entries where they belong in the visible layers of a state, in place."""
    for view, (rows, there) in evidence.by_view(machine).items():
        np.copyto(state[view], rows, where=there)


def outwards(machine: BoltzmannMachine, evidence: Evidence, state: dict[str, Array], draw: Drawn | None = None) -> None:
    """Start rows that know one view and lack another one whole at what known views say, layer by layer, in place.

    A layer hears, at first, only the layers between it and known views: it has its base means, with the fields moved by
    how far these layers are from theirs. An unknown view is then seen by its own pathway as that pathway draws it. At
    its base rates it would look like a row of its own to its pathway, such as a mean picture, and chains and mean field
    may never leave what the pathway makes of that. draw(layer, means) gives states, without it means stay.
    """
    graph = machine.graph
    if len(graph.views) == 1 or not graph.layered:
        return
    known: dict[str, Array] = {view: np.any(evidence.known[:, part], axis=1) for view, part in graph.columns.items()}
    every = np.stack([known[view] for view in graph.views])
    some: Array = np.any(every, axis=0) & ~np.all(every, axis=0)
    if not bool(some.any()):
        return
    done: dict[str, Array] = {n: known[n] if n in known else np.zeros_like(some) for n in graph.units}
    base = {n: base_means(machine, n) for n in graph.units}
    for _ in graph.units:
        heard = {}
        for layer, edges in graph.neighbours.items():
            now = some & ~done[layer] & np.stack([done[other] for _, other, _ in edges]).any(axis=0)
            if bool(now.any()):
                heard[layer] = now
                means = _moved(machine, layer, state, done, base)
                state[layer][now] = (means if draw is None else draw(layer, means))[now]
        for layer, now in heard.items():
            done[layer] = done[layer] | now


def _moved(machine: BoltzmannMachine, layer: str, state: State, done: State, base: State) -> Array:
    """Means (rows, units) of a layer that hears those layers that are done: a view by its field, a hidden layer by its
    base means moved.
    """
    kind = machine.unit_type(layer)
    if layer in machine.graph.views:
        return kind.mean(machine.field(layer, state))
    field = kind.natural(inside(kind, base[layer], ROOM)) + np.zeros_like(state[layer])
    for key, other, lower in machine.graph.neighbours[layer]:
        weight = machine.params[key].T if lower else machine.params[key]
        field += np.where(done[other][:, None], state[other] - base[other], 0) @ weight
    return kind.mean(field)


def base_means(machine: BoltzmannMachine, layer: str) -> Array:
    """Means (units,) of a layer alone: its rates on the training data where they are kept, else those of its bias."""
    if layer in machine.rates:
        return arrays.beside(np.asarray(machine.rates[layer], machine.dtype), machine.arena)
    return machine.unit_type(layer).mean(machine.bias(layer))


class Chains(Protocol):
    """One chain a row over the unknown units and the hidden layers."""

    @property
    def visible(self) -> Array:
        """States (chains, units) of the visible units, the known ones as they are."""

    def sweep(self, step: Any) -> Array:
        """Move all but what is known, in place; returns the means that the visible units were drawn from."""


@dataclass(frozen=True, eq=False)
class ClampedGibbs:
    """Block Gibbs chains of a Boltzmann machine in which known visible units stay; the visible class is drawn last.

    Known units are drawn with the others of their layer and put back before any layer hears them. Units that are
    coupled to others of their layer are pinned instead.
    """

    transition: GibbsSweep
    evidence: Evidence
    first: int
    state: dict[str, Array]
    scratch: Scratch

    @property
    def visible(self) -> Array:
        return self.transition.machine.rows(self.state)

    def sweep(self, step: Any) -> Array:
        machine = self.transition.machine
        known = self.evidence.by_view(machine)
        return machine.rows(self.transition.sweep_around(self.state, known, step, self.first, self.scratch))


def _clamped_gibbs(transition: GibbsSweep, evidence: Evidence, first: int) -> ClampedGibbs:
    """Chains with all units but the known ones drawn from their base rates, or as outwards has it."""
    machine, state = transition.machine, {}
    for layer in machine.graph.units:
        state[layer] = machine.zeros(len(evidence), layer)
        mean = base_means(machine, layer) + state[layer]
        machine.unit_type(layer).draw(mean, transition.key.derive("start", layer).stream(0), first, state[layer])
    restore(machine, evidence, state)

    def draw(layer: str, means: Array) -> Array:
        drawn = machine.zeros(len(evidence), layer)
        machine.unit_type(layer).draw(means, transition.key.derive("outwards", layer).stream(0), first, drawn)
        return drawn

    outwards(machine, evidence, state, draw)
    held = replace(transition, pinned=pinned(machine, evidence.by_view(machine)))
    return ClampedGibbs(held, evidence, first, state, Scratch(machine.arena))


def gibbs_starter(machine: BoltzmannMachine, evidence: Evidence, _: int, key: Key) -> Callable[[slice], Chains]:
    """What makes the chains of a block of rows."""
    grey = not ((evidence.rows == 0) | (evidence.rows == 1)).all()
    plain = grey and arrays.on_device(machine.arena)  # tensor cores take states of 0 and 1 only
    transition = GibbsSweep(machine, key, flipped=True, turned={} if plain else turned_weights(machine))
    return lambda block: _clamped_gibbs(transition, evidence.part(block), block.start)
