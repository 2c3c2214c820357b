"""Pattern completion: unknown visible units given known ones, drawn or as means, and the posterior that goes along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.errors import InputError, NumericalError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, checked_machine, outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import forward
from boltz.parallel import FEWEST, shares, workers
from boltz.rng import Key
from boltz.sampling.evidence import Evidence, evidence_of
from boltz.sampling.gibbs import GibbsSweep, Scratch, layer_input, repeat, turned_weights
from boltz.sampling.meanfield import MeanField, solve
from boltz.sampling.metropolis import metropolis_chains

Array = NDArray[Any]
MEAN_SWEEPS = 50
SWEEPS = {"mean": 1000, "mean-field": 100, "sample": 1000}
WANDER = 5  # a fifth as many sweeps again that accept every proposal come first
FIRST_SWEEP = MeanField(tolerance=0.0, sweeps=1)


def complete(
    model: Model, x: Any, mask: Any = None, method: str = "mean", sweeps: int | None = None, seed: int = 0
) -> Array:
    """Fill in the unknown entries of visible rows x (rows, units); the known ones come back as they are.

    mask (rows, units) or (units,) is True where a unit is known; without one, NaN in x, which only floats can hold and
    no levels divide, marks what is missing. What stands at an unknown entry is never looked at. method "sample" is
    one draw from p(unknown | known) by a chain for each row, and "mean" the mean over the second half of the sweeps of
    the same chains, where each visible mean given the hidden layers counts instead of a draw: block Gibbs with the
    known units clamped, or Metropolis within Gibbs for a HelmholtzMachine (Mattei & Frellsen 2018). "mean-field" is the
    fixed point of hidden layers and unknown units of a BoltzmannMachine (Salakhutdinov & Hinton 2009, section 2.2),
    from base rates; it draws nothing, so that seed means nothing to it. sweeps is 1,000 by default, 100 for mean field.
    Rows do not depend on each other. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_machine(model)
    method = checks.choice(method, "method", SWEEPS)
    if method == "mean-field" and isinstance(model, HelmholtzMachine):
        raise InputError("method must be mean or sample for a HelmholtzMachine: mean-field is for BoltzmannMachines.")
    sweeps = checks.integer(SWEEPS[method] if sweeps is None else sweeps, "sweeps", 1, checks.MOST_STEPS)
    seed = checks.seed(seed)
    evidence = evidence_of(model, x, mask)
    found = arrays.host(outside(model, completed(model, evidence, method, sweeps, seed)))
    if model.layers[0].kind == "gaussian":  # the way there and back rounds what is known
        given = scale.divided(scale.table(arrays.host(x), "x", model.layers[0].units), model.levels)
        np.copyto(found, given, where=arrays.host(evidence.known), casting="same_kind")
    return found


def completed(
    model: Model, evidence: Evidence, method: str = "mean", sweeps: int = SWEEPS["mean"], seed: int = 0
) -> Array:
    """The rows of evidence with their unknown entries filled in, where the model lives; raises NumericalError."""
    whole = evidence.padded(FEWEST)
    if isinstance(model, BoltzmannMachine) and method == "mean-field":
        filled = posterior(model, whole, sweeps)[model.visible]
    else:
        filled = _by_chains(model, whole, sweeps, Key.from_seed(seed).derive("complete"), method == "mean")
    if not np.isfinite(filled).all():
        raise NumericalError("The completed units are not finite: the weights are too large for their type.")
    return filled[: len(evidence)]


def posterior(machine: BoltzmannMachine, evidence: Evidence, sweeps: int = SWEEPS["mean-field"]) -> dict[str, Array]:
    """Mean-field means (rows, units) of all layers given evidence, where it lives; known units are as they were.

    Hidden layers first hear the visible units with unknown ones at their base rate, as in mean_field; then they and
    the unknown units relax together for so many sweeps, all of them, so that no row depends on when others settle.
    """
    means = {n: machine.zeros(len(evidence), n) for n in machine.graph.units}
    order = [layer for colour in machine.graph.colours[::-1] for layer in colour]

    def run(block: slice) -> None:
        part, scratch = evidence.part(block), Scratch(machine.arena)
        mine = {n: x[block] for n, x in means.items()}
        visible = mine[machine.visible]
        visible[...] = base_means(machine, machine.visible)
        part.restore(visible)
        for layer, start in solve(machine, {machine.visible: visible}, FIRST_SWEEP, scratch).items():
            mine[layer][...] = start
        for _ in range(sweeps):
            for layer in order:
                inputs = layer_input(machine, layer, mine, scratch)
                machine.unit_type(layer).relax(inputs, 1.0, machine.bias(layer), 0.0, mine[layer])
            part.restore(visible)

    with workers(machine.arena) as pool:
        pool.map(run, shares(len(evidence), machine.arena))
    return means


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
    """Block Gibbs chains of a Boltzmann machine in which known visible units stay; the visible class is drawn last."""

    transition: GibbsSweep
    evidence: Evidence
    first: int
    state: dict[str, Array]
    scratch: Scratch

    @property
    def visible(self) -> Array:
        return self.state[self.transition.machine.visible]

    def sweep(self, step: Any) -> Array:
        means = self.transition.sweep(self.state, step, self.first, self.scratch)
        self.evidence.restore(self.visible)  # layers of one class do not hear each other
        return means[self.transition.machine.visible]


def _clamped_gibbs(transition: GibbsSweep, evidence: Evidence, first: int) -> ClampedGibbs:
    """Chains with all units but the known ones drawn from their base rates."""
    machine, state = transition.machine, {}
    for layer in machine.graph.units:
        state[layer] = machine.zeros(len(evidence), layer)
        mean = base_means(machine, layer) + state[layer]
        machine.unit_type(layer).draw(mean, transition.key.derive("start", layer).stream(0), first, state[layer])
    evidence.restore(state[machine.visible])
    return ClampedGibbs(transition, evidence, first, state, Scratch(machine.arena))


def _starter(model: Model, evidence: Evidence, sweeps: int, key: Key) -> Callable[[slice], Chains]:
    """What makes the chains of a block of rows."""
    if isinstance(model, HelmholtzMachine):
        return lambda block: metropolis_chains(model, evidence.part(block), key, block.start, sweeps // WANDER)
    grey = not ((evidence.rows == 0) | (evidence.rows == 1)).all()
    plain = grey and arrays.on_device(model.arena)  # tensor cores take states of 0 and 1 only
    transition = GibbsSweep(model, key, flipped=True, turned={} if plain else turned_weights(model))
    return lambda block: _clamped_gibbs(transition, evidence.part(block), block.start)


def _by_chains(model: Model, evidence: Evidence, sweeps: int, key: Key, mean: bool) -> Array:
    """Rows with their unknown entries drawn by chains, or at the means over the second half of the sweeps."""
    filled, half, start = evidence.rows.copy(), sweeps // 2, _starter(model, evidence, sweeps, key)

    def run(block: slice) -> None:
        chains = start(block)
        repeat(chains.sweep, range(half), model.arena)
        if not mean:
            repeat(chains.sweep, range(half, sweeps), model.arena)
            filled[block] = chains.visible
            return
        total = np.zeros_like(chains.visible, dtype=np.float64)

        def count(step: Any) -> None:
            np.add(total, chains.sweep(step), out=total)

        repeat(count, range(half, sweeps), model.arena)
        filled[block] = total / (sweeps - half)

    with workers(model.arena) as pool:
        pool.map(run, shares(len(evidence), model.arena))
    evidence.restore(filled)
    return filled


def filled(model: Model, evidence: Evidence) -> Array:
    """The rows (rows, units) of evidence with their unknown units at means given the known ones, where the model lives.

    Those of a Boltzmann machine are the mean-field fixed point of unknown and hidden units; a Helmholtz machine goes up
    by the means of its recognition model and down again by those of its generative model, many times.
    """
    lacking = ~np.all(evidence.known, axis=1)
    if not lacking.any():
        return evidence.rows
    some, found = Evidence(evidence.rows[lacking], evidence.known[lacking]), evidence.rows.copy()
    many = some.padded(FEWEST)
    means = posterior(model, many)[model.visible] if isinstance(model, BoltzmannMachine) else _up_and_down(model, many)
    found[lacking] = means[: len(some)]
    return found


def layer_means(machine: HelmholtzMachine, net: str, layer: str, source: str, part: Part) -> Array:
    """Means (rows, units) of a layer by its "recognition" or "generative" net, given the states of the layer source."""
    head, name = getattr(machine.structure, net)[layer], f"{net}/{layer}"
    outputs, _ = forward(head, name, machine.params, f"state/{source}", part)
    return machine.conditionals[layer].mean(outputs, head.bias(name, machine.params))


def _up_and_down(machine: HelmholtzMachine, evidence: Evidence) -> Array:
    """The visible rows after many passes, from hidden units at 0 on."""
    visible, hidden, found = machine.visible, machine.structure.latent[0].name, evidence.rows.copy()

    def work(block: slice) -> None:
        known, part = evidence.part(block), Tape(machine.arena).whole(len(found[block]))
        below, above = (part.get(f"state/{layer}", machine.units[layer]) for layer in (visible, hidden))
        above[...] = 0
        for _ in range(MEAN_SWEEPS):
            below[...] = layer_means(machine, "generative", visible, hidden, part)
            known.restore(below)
            above[...] = layer_means(machine, "recognition", hidden, visible, part)
        found[block] = below

    with workers(machine.arena) as pool:
        pool.map(work, shares(len(evidence), machine.arena))
    return found
