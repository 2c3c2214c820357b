"""Mean-field fixed points of a machine clamped at evidence (Salakhutdinov & Hinton 2009, sections 2.2 and 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks
from boltz.kernels.cpu.recorded import Recorded, settling
from boltz.models.boltzmann import BoltzmannMachine, State, checked_model
from boltz.models.files import visible_rows
from boltz.parallel import blocks, workers
from boltz.sampling.inputs import Scratch, layer_input

Array = NDArray[Any]
WITHIN = 0.5  # of its old mean that a unit coupled to others of its layer keeps at the least
LOOKS = 8  # on a device the host, which has to wait for it, looks after so many sweeps, if as many may be saved


@dataclass(frozen=True)
class MeanField:
    """When to stop (largest change of a mean, number of sweeps) and how much of the old mean to keep."""

    tolerance: float = 1e-5
    sweeps: int = 200
    damping: float = 0.0

    def __post_init__(self) -> None:
        checks.number(self.tolerance, "tolerance", 0, 1)
        checks.integer(self.sweeps, "sweeps", 1, checks.MOST_STEPS)
        checks.number(self.damping, "damping", 0, 0.999)

    @property
    def looks(self) -> range:
        """Numbers of the sweeps after which the host looks, on a device, whether means have settled."""
        return range(LOOKS, self.sweeps - LOOKS + 1, LOOKS) if self.tolerance > 0 else range(0)


FIXED = MeanField(tolerance=0.0, sweeps=25)  # their number is fixed, so that no row waits for its neighbours


def solve(
    machine: BoltzmannMachine,
    evidence: State,
    options: MeanField,
    scratch: Scratch,
    scales: Mapping[str, float] | None = None,
    start: State | None = None,
) -> dict[str, Array]:
    """Means (rows, units) of the layers not in evidence, in reused buffers; exact where they share no edge.

    scales multiplies the input of a layer whose neighbours are all known (the doubled inputs of greedy pretraining).
    start holds means to begin from in the place of those of a pass upwards; layers of its colour suffice.
    """
    graph = machine.graph
    free = [layer for layer in graph.units if layer not in evidence]
    joined = {n: [other for _, other, _ in graph.neighbours[n] if other in free] for n in free}
    base, means = _bottom_up(machine, evidence, joined, scratch, scales or {})
    for layer, values in (start or {}).items():
        means[layer][...] = values
    if not any(joined.values()) and not set(free) & set(graph.within):
        return means
    order = [n for colour in graph.colours[::-1] for n in colour if joined.get(n) or (n in free and n in graph.within)]

    def sweep() -> list[Any]:
        changes = []
        for layer in order:
            heard, damping = {n: means[n] for n in joined[layer]}, options.damping
            inputs = layer_input(machine, layer, heard or {layer: means[layer]}, scratch)
            if layer in graph.within:  # whose units, all moving at once, would overshoot together
                inputs += means[layer] @ machine.matrix(graph.within[layer].key)
                damping = max(damping, WITHIN)
            changes.append(machine.unit_type(layer).relax(inputs, 1.0, base[layer], damping, means[layer]))
        return changes

    _until_settled(sweep, options, machine.arena)
    return means


def _until_settled(sweep: Callable[[], list[Any]], options: MeanField, like: Array) -> None:
    """Sweeps until no change is above the tolerance; in a program that is being recorded as one that comes again."""
    if isinstance(like, Recorded):
        with settling(like.program, options.sweeps, options.tolerance) as changes:
            changes += sweep()
        return
    looks = options.looks if arrays.on_device(like) else range(1, options.sweeps + 1)
    for number in range(1, options.sweeps + 1):
        changes = sweep()
        if number in looks and all(change <= options.tolerance for change in changes):
            break


def _bottom_up(
    machine: BoltzmannMachine,
    evidence: State,
    joined: Mapping[str, list[str]],
    scratch: Scratch,
    scales: Mapping[str, float],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Fields from the evidence alone, of layers that are joined to others not in it, and the start of the means.

    A layer that hears only part of its neighbours yet takes their input as many times as makes up for the others, twice
    where it hears one of two (Salakhutdinov & Hinton 2009, section 3.1).
    """
    rows = len(next(iter(evidence.values())))
    base: dict[str, Array] = {}
    means: dict[str, Array] = {}
    for layer in joined:
        shape = (rows, machine.graph.units[layer])
        around = [other for _, other, _ in machine.graph.neighbours[layer]]
        known = {n: evidence[n] if n in evidence else means[n] for n in around if n in evidence or n in means}
        start = layer_input(machine, layer, known, scratch) if known else machine.zeros(rows, layer)
        means[layer] = scratch.get("mean", layer, shape)
        means[layer][...] = 0
        scale = len(around) / len(known) if 0 < len(known) < len(around) else scales.get(layer, 1.0)
        machine.unit_type(layer).relax(start, scale, machine.bias(layer), 0.0, means[layer])
        clamped = {n: evidence[n] for n in around if n in evidence}
        base[layer] = machine.bias(layer)
        if clamped and (joined[layer] or layer in machine.graph.within):
            base[layer] = scratch.get("base", layer, shape)
            exact = start if len(clamped) == len(known) else layer_input(machine, layer, clamped, scratch)
            np.add(exact, machine.bias(layer), out=base[layer])
    return base, means


def variational_free_energy(
    machine: BoltzmannMachine, rows: Array, options: MeanField
) -> tuple[NDArray[np.float64], dict[str, Array]]:
    """E_q[energy] - entropy of the mean-field q (rows,), F(v) itself for an RBM, and the means of q."""
    means = solve(machine, machine.evidence(rows), options, Scratch(machine.arena))
    if machine.independent_hidden:
        return machine.marginal_energy(machine.evidence(rows), machine.graph.hidden), means
    return free_energy_at(machine, rows, means), means


def free_energy_at(machine: BoltzmannMachine, rows: Array, means: State) -> NDArray[np.float64]:
    """E_q[energy] - entropy (rows,) of independent hidden units with such means, a bound of F(v) whatever they are."""
    free = machine.full_energy({**machine.evidence(rows), **means}, tuple(means))
    for layer, q in means.items():
        free -= np.sum(machine.unit_type(layer).entropy(q.astype(np.float64)), axis=1)
    return free


def mean_field(model: BoltzmannMachine, x: Any, options: MeanField | None = None) -> dict[str, Array]:
    """Mean activities of the hidden layers given visible rows x (rows, units), layer -> (rows, units) numpy arrays.

    Exact for an RBM; with a model on a device all rows relax together. Raises InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    options = MeanField() if options is None else options
    checks.instance(options, "options", MeanField)
    x = visible_rows(model, x)
    means = {n: model.zeros(len(x), n) for n in model.graph.hidden}

    def run(block: slice) -> None:
        found = solve(model, model.evidence(x[block]), options, Scratch(model.arena))
        for layer, values in found.items():
            means[layer][block] = values

    with workers(x) as pool:
        pool.map(run, blocks(len(x), like=x))
    return {n: arrays.host(mean) for n, mean in means.items()}
