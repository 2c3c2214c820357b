"""Positive phases: states of the hidden layers given a batch, whose products the likelihood gradient averages.

mean-field: means of a factorised posterior (Salakhutdinov & Hinton 2009, section 2.2). Its gradient is that of the
variational bound, which holds the layer above back: where both are uncertain, the bound loses in the second order of
the weights between them.

On a graph that is not layered, whose hidden units depend on each other in ways that no two classes part, collapsed
draws all hidden layers by Gibbs sweeps from a draw of mean field, and gibbs by those of the chain of each row. Both
then give states of all hidden layers.

collapsed: the layers of one colour class are drawn, and the others enter by their exact means given the draw. With q
the mean field of the drawn class, the gradient is that of E_q[log p(v, drawn)] + H(q), a bound in which the other
layers are summed out exactly; it is never below that of mean field (Teh, Newman & Welling 2007, section 3).

gibbs: a Markov chain for each training row, kept from visit to visit, moves by Gibbs sweeps of the hidden layers; the
layers that move last enter by their means. Where chains have forgotten their start, the gradient is that of the
log-likelihood itself (Younes 1989, section 2; Neal 1992, section 2). The chains keep one bit a unit, of these layers.

Rows with unknown entries have such a chain in every phase, over the unknown entries and all hidden layers. A sweep of
it fills in the row, which the phase then sees as if it were known in full. So unknown entries have their exact law
given the known ones, once chains have forgotten their start. With gibbs, whose draws go on with the same chain, the
gradient is that of the log-likelihood of the known entries. With mean-field and collapsed it is that of their bound,
averaged over this law: a bound of the log-likelihood of the known entries, less tight by nothing else than for rows
known in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep, pinned
from boltz.sampling.inputs import Scratch, layer_input
from boltz.sampling.layers import Draw, draw_layer
from boltz.sampling.meanfield import MeanField, solve

Array = NDArray[Any]
States = dict[str, Array]
ROW = "row/"  # of arrays with an entry for each training row
SEEN = "row/seen"


@dataclass(frozen=True)
class Posterior:
    """How hidden states are found for a machine: mean field first, draws of a phase, and scales of doubled inputs."""

    machine: BoltzmannMachine
    options: MeanField
    draws: int
    scales: Mapping[str, float]

    def classes(self) -> tuple[list[str], list[str]]:
        """The hidden layers that hear visible ones, with others of their colour, and the rest, which a chain keeps."""
        graph = self.machine.graph
        if not graph.layered:
            return ([], list(graph.hidden)) if self.swept else (list(graph.hidden), [])
        first, second = graph.colours
        return list(second), [layer for layer in first if layer not in graph.views]

    @property
    def swept(self) -> bool:
        """Whether hidden layers are drawn one after the other, since no two classes part them."""
        return not (self.machine.graph.layered or self.machine.independent_hidden)


@dataclass(frozen=True)
class Visit:
    """Some rows of a batch at a step: the place of the first in the batch, their numbers among all training rows, and
    the arrays that are kept for all of these.

    In a program the numbers are an array of those of all rows, in the order of an epoch, and the count of the first.
    """

    key: Key
    step: Any
    first: int = 0
    rows: Any = None
    kept: Mapping[str, Array] = field(default_factory=dict)


def numbers_of(rows: Any, part: slice) -> Any:
    """The numbers of a part of the rows of a batch, as Visit has them."""
    if rows is None:
        return None
    return (rows[0], rows[1] + part.start) if isinstance(rows, tuple) else rows[part]


def mean_field(of: Posterior, batch: Array, visit: Visit, scratch: Scratch) -> States:
    """Means of all hidden layers at the fixed point, layer -> (rows, units)."""
    return solve(of.machine, of.machine.evidence(batch), of.options, scratch, of.scales)


def collapsed(of: Posterior, batch: Array, visit: Visit, scratch: Scratch) -> States:
    """A draw of one colour class, and the means of the other hidden layers given it, layer -> (rows, units).

    Of several draws each is made given the means that the one before it left, and the last one counts.
    """
    found = mean_field(of, batch, visit, scratch)
    if of.swept:
        return _swept(of, batch, _drawn(of, found, visit, 0, scratch), visit, scratch)
    if of.classes()[1]:
        for turn in range(of.draws):
            _draw(of, batch, found, visit, turn, scratch)
            _relax(of, found, scratch)
    return found


def gibbs(of: Posterior, batch: Array, visit: Visit, scratch: Scratch) -> States:
    """A draw of one colour class by the chains of the rows, and the means of the other hidden layers given it, layer ->
    (rows, units).

    A chain starts, at the first visit of its row, at a draw from the means of mean field. Each draw is a Gibbs sweep.
    """
    others = of.classes()[1]
    found = _recalled(of, batch, visit, scratch) if others else mean_field(of, batch, visit, scratch)
    states: States = {}
    if of.swept:
        states = _swept(of, batch, found, visit, scratch)
        _remember(of, states, visit)
        return states
    for turn in range(of.draws if others else 0):
        _draw(of, batch, found, visit, turn, scratch)
        _relax(of, found, scratch)
        states = _drawn(of, found, visit, 1 + turn, scratch)
        if turn + 1 < of.draws:
            for layer in others:
                found[layer][...] = states[layer]
    _remember(of, states, visit)
    return found


def _swept(of: Posterior, batch: Array, start: States, visit: Visit, scratch: Scratch) -> States:
    """States of all hidden layers after Gibbs sweeps from a start, in place, the visible ones held."""
    machine, state = of.machine, of.machine.evidence(batch) | start
    order = [n for colour in machine.graph.colours[::-1] for n in colour if n in start]
    for turn in range(of.draws):
        for layer in order:
            stream = visit.key.derive("positive", layer).stream(visit.step * of.draws + turn)
            draw_layer(machine, layer, state, 1.0, machine.bias(layer), Draw(stream, visit.first, scratch))
    return {layer: state[layer] for layer in start}


def fill_in(of: Posterior, batch: Array, known: Array, visit: Visit, scratch: Scratch) -> None:
    """Draw what is unknown in a batch (rows, units), where known is False, by a Gibbs sweep of the chains of its rows,
    in place (Neal 1992, section 2).

    A chain keeps the unknown entries, which are in the batch, and the hidden layers of the visible one's colour; the
    others are forgotten from visit to visit. Known units are drawn with the others and put back before anything hears
    them, or pinned where units of their layer hear each other.
    """
    machine, (forgotten, others) = of.machine, of.classes()
    state = _recalled(of, batch, visit, scratch) if others else {}
    state |= {layer: machine.zeros(len(batch), layer) for layer in forgotten} | machine.evidence(batch.copy())
    given = {n: (batch[:, part].copy(), known[:, part]) for n, part in machine.graph.columns.items()}
    sweep = GibbsSweep(machine, visit.key, flipped=True, scales=of.scales, pinned=pinned(machine, given))
    sweep.sweep_around(state, given, visit.step, visit.first, scratch)
    np.copyto(batch, machine.rows(state), where=~known)
    _remember(of, state, visit)


def all_visited(kept: Mapping[str, Array]) -> bool:
    """Whether the chains of all rows have started, where there are some: only then can gibbs be recorded."""
    return SEEN not in kept or bool(kept[SEEN].all())


def kept_for_rows(machine: BoltzmannMachine, total: int) -> States:
    """What the chains of so many training rows keep before any is visited: visits (rows,), and layer -> bits (rows,
    bytes), or states (rows, units) of units that are not 0 and 1.
    """
    others = Posterior(machine, MeanField(), 1, {}).classes()[1]
    found = {SEEN: np.zeros_like(machine.arena, shape=(total,), dtype=np.uint8)} if others else {}
    for layer in others:
        units, bits = machine.graph.units[layer], machine.unit_type(layer).binary
        shape, dtype = (total, -(-units // 8) if bits else units), np.dtype(np.uint8) if bits else machine.dtype
        found[f"{ROW}{layer}"] = np.zeros_like(machine.arena, shape=shape, dtype=dtype)
    return found


def _draw(of: Posterior, batch: Array, found: States, visit: Visit, turn: int, scratch: Scratch) -> None:
    """Draw the colour class that hears the visible layer given the other hidden layers."""
    machine, (drawn, others) = of.machine, of.classes()
    around = machine.evidence(batch) | {layer: found[layer] for layer in others}
    for layer in drawn:
        inputs = layer_input(machine, layer, around, scratch)
        found[layer] = state = scratch.get("drawn", layer, inputs.shape)
        stream = visit.key.derive("positive", layer).stream(visit.step * of.draws + turn)
        machine.unit_type(layer).sample(inputs, 1.0, machine.bias(layer), stream, visit.first, state)


def _relax(of: Posterior, found: States, scratch: Scratch) -> None:
    """Put the means of the other hidden layers, given the ones that were drawn, in place of what they were."""
    machine, (drawn, others) = of.machine, of.classes()
    for layer in others:
        inputs = layer_input(machine, layer, {name: found[name] for name in drawn}, scratch)
        machine.unit_type(layer).relax(inputs, 1.0, machine.bias(layer), 0.0, found[layer])


def _drawn(of: Posterior, means: States, visit: Visit, turn: int, scratch: Scratch) -> States:
    """States of the other hidden layers, drawn from means; turn 0 is that of the start of a chain."""
    states = {}
    for layer in of.classes()[1]:
        states[layer] = scratch.get("chain of rows", layer, means[layer].shape)
        stream = visit.key.derive("row", layer).stream(visit.step * (of.draws + 1) + turn)
        of.machine.unit_type(layer).draw(means[layer], stream, visit.first, states[layer])
    return states


def _recalled(of: Posterior, batch: Array, visit: Visit, scratch: Scratch) -> States:
    """The states that the chains of the rows have, or start with, layer -> (rows, units)."""
    found = {}
    for layer in of.classes()[1]:
        found[layer] = scratch.get("posterior", layer, (len(batch), of.machine.graph.units[layer]))
        kept = visit.kept[f"{ROW}{layer}"]
        if of.machine.unit_type(layer).binary:
            kernels.unpack_rows(kept, visit.rows, found[layer])
        else:
            found[layer][...] = kept[visit.rows]
    fresh = None if isinstance(visit.rows, tuple) else visit.kept[SEEN][visit.rows] == 0
    if fresh is not None and fresh.any():
        starts = _drawn(of, mean_field(of, batch, visit, scratch), visit, 0, scratch)
        for layer, start in starts.items():
            found[layer][fresh] = start[fresh]
    return found


def _remember(of: Posterior, states: States, visit: Visit) -> None:
    """Keep the states that the chains of the rows have now, which have started."""
    others = of.classes()[1]
    for layer in others:
        if of.machine.unit_type(layer).binary:
            kernels.pack_rows(states[layer], visit.rows, visit.kept[f"{ROW}{layer}"])
        else:
            visit.kept[f"{ROW}{layer}"][visit.rows] = states[layer]
    if others and not isinstance(visit.rows, tuple):
        visit.kept[SEEN][visit.rows] = 1


Phase = Callable[[Posterior, Array, Visit, Scratch], States]
PHASES: dict[str, Phase] = {"mean-field": mean_field, "collapsed": collapsed, "gibbs": gibbs}
