"""Log-normalisers by enumeration of one colour class, or by elimination, in float64 and always on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.elimination import MOST_NUMBERS, QUICK_NUMBERS, QUICK_WORK, eliminated, order_of
from boltz.estimators.elimination import MOST_UNITS as MOST_IN_TURN
from boltz.estimators.estimate import Estimate, exact
from boltz.models.boltzmann import BoltzmannMachine, State, affordable_chains, checked_model
from boltz.models.files import states_outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.factors import Dense
from boltz.numerics import logsumexp
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.recognition import log_densities, rbm_log_density
from boltz.units.states import states_of

Array = NDArray[Any]
MOST_UNITS, QUICK_UNITS = 28, 20
BEYOND = 1 << 30  # more units than anybody counts the states of
CHUNK = 1 << 12


def class_units(machine: BoltzmannMachine, layers: Sequence[str]) -> int:
    """Number of units in some layers, or of as many with two states as have no fewer states together."""
    states = class_states(machine, layers)
    return BEYOND if states is None else (states - 1).bit_length()


def class_states(machine: BoltzmannMachine, layers: Sequence[str]) -> int | None:
    """Number of the states of some layers, None where a unit has a range of them."""
    found = [(states_of(machine.unit_type(layer)), machine.graph.units[layer]) for layer in layers]
    if any(states is None for states, _ in found):
        return None
    return prod(len(states) ** (units // states.shape[1]) for states, units in found if states is not None)


def configurations(machine: BoltzmannMachine, layers: Sequence[str], numbers: slice) -> dict[str, Array]:
    """The states with these numbers among all of some layers, layer -> (states, units)."""
    return numbered(machine, layers, np.arange(numbers.start, numbers.stop, dtype=np.int64))


def numbered(machine: BoltzmannMachine, layers: Sequence[str], index: NDArray[np.int64]) -> dict[str, Array]:
    """The states of some layers with these numbers (states,), layer -> (states, units)."""
    state, below = {}, 1
    for layer in layers:
        states = states_of(machine.unit_type(layer))
        assert states is not None
        many, units = len(states), machine.graph.units[layer] // states.shape[1]
        left, places = index[:, None] // below, np.arange(units, dtype=np.int64)
        digits = left >> places & 1 if many == 2 else left // many**places % many
        state[layer] = states.astype(machine.dtype)[digits].reshape(len(index), -1)
        below *= many**units
    return state


def chunks(machine: BoltzmannMachine, layers: Sequence[str]) -> Iterator[slice]:
    """Slices over the numbers of all states of some layers."""
    total = class_states(machine, layers)
    assert total is not None
    for start in range(0, total, CHUNK):
        yield slice(start, min(start + CHUNK, total))


def quick(machine: BoltzmannMachine) -> bool:
    """Whether log Z is exact unless something else is asked for: at most 20 units in the smaller colour class, or 2^20
    states, or tables of at most 2^20 numbers.
    """
    if class_units(machine, enumerated_sides(machine)[0]) <= QUICK_UNITS:
        return True
    return order_of(machine, QUICK_NUMBERS, QUICK_WORK) is not None


def enumerated_sides(machine: BoltzmannMachine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The layers whose states are counted, and those that are summed in closed form given them: of two classes the one
    with fewer states is counted.
    """
    if not machine.graph.layered:
        return machine.graph.sides
    mine, other = sorted(machine.graph.colours, key=lambda layers: class_units(machine, layers))
    return mine, other


def exact_log_z(model: BoltzmannMachine) -> Estimate:
    """log Z in nats by enumerating the smaller side of the machine and summing the other in closed form.

    A side is every other layer: v and h2, or h1 and h3. Of a graph that is not layered, as many layers are summed as
    are independent of each other, and the rest is enumerated. Raises InputError if these have more than 28 units.

    Units of a single layer are summed out one after the other where that is quicker: each leaves a table over those
    that it is coupled to, of at most 2^24 numbers. That does lattices of any length whose width is up to about 20
    spins, or 10 where both ends of each axis are neighbours.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    mine, other = enumerated_sides(model)
    units = class_units(model, mine)
    if units == BEYOND and class_states(model, mine) is None:
        raise InputError("exact_log_z needs a side of the machine whose units have states that can be counted.")
    machine = model.to("cpu").astype(np.float64)
    order = order_of(machine)
    if order is not None and (units > MOST_UNITS or order.work < 1 << units):
        return exact(eliminated(machine, order), f"elimination, tables of {order.largest:,} numbers")
    if units > MOST_UNITS:
        raise InputError(_too_many(model, mine, units))

    def part(numbers: slice) -> float:
        return float(logsumexp(-machine.marginal_energy(configurations(machine, mine, numbers), other)))

    with workers() as pool:
        value = float(logsumexp(pool.map(part, list(chunks(machine, mine)))))
    return exact(value, f"enumeration of {units} units")


def _too_many(model: BoltzmannMachine, layers: Sequence[str], units: int) -> str:
    """Why a machine cannot be enumerated, and what it would take."""
    text = (
        f"exact_log_z enumerates at most {MOST_UNITS} units, but the smaller side of the machine ({', '.join(layers)}) "
        f"has {units}"
    )
    if len(model.graph.layers) == 1:
        wide = f"needs tables of more than {MOST_NUMBERS:,} numbers"
        done = f"is done for at most {MOST_IN_TURN:,}" if model.graph.layers[0].units > MOST_IN_TURN else wide
        text += f", and summing them out one after the other {done}"
    return f"{text}; use boltz.ais."


def exact_samples(model: BoltzmannMachine, chains: int, seed: int = 0) -> dict[str, Array]:
    """Independent exact draws of all layers, layer -> (chains, units), such as "v" and "h1" of an rbm.

    The layers of a machine have two sides, every other layer each, and no weights within a side: v and h2, or h1 and
    h3. The smaller side is enumerated, and the other one drawn given it. Raises InputError if the smaller side has more
    than 20 units.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    chains = affordable_chains(model, chains)
    machine, drawn = model.to("cpu"), drawn_class(model, chains, seed)
    found = {}
    for layer in machine.graph.units:
        if layer in drawn:
            found[layer] = drawn[layer]
            continue
        state, stream = machine.zeros(chains, layer), Key.from_seed(seed).derive("exact", layer).stream(0)
        machine.unit_type(layer).sample(machine.input(layer, drawn), 1.0, machine.bias(layer), stream, 0, state)
        found[layer] = state
    return states_outside(machine, found)


def drawn_class(model: BoltzmannMachine, chains: int, seed: int = 0) -> dict[str, Array]:
    """Independent exact draws of the smaller colour class, layer -> (chains, units), by enumerating it.

    Raises InputError if that class has more than 20 units.
    """
    mine, other = enumerated_sides(model)
    units = class_units(model, mine)
    if units > QUICK_UNITS:
        raise InputError(
            f"exact samples exist for at most {QUICK_UNITS} units on the smaller side of a machine, but "
            f"{', '.join(mine)} has {units}: take boltz.tempered_sample."
        )
    machine = model.to("cpu").astype(np.float64)
    log_p = [-machine.marginal_energy(configurations(machine, mine, n), other) for n in chunks(machine, mine)]
    share = np.cumsum(np.exp(np.concatenate(log_p) - logsumexp(np.concatenate(log_p))))
    key = Key.from_seed(seed).derive("exact")
    uniform = key.generator().random(chains)
    drawn = np.searchsorted(share, uniform * share[-1], side="right").clip(max=len(share) - 1)
    return {n: x.astype(model.dtype) for n, x in numbered(machine, mine, drawn).items()}


def exact_log_marginal(
    model: BoltzmannMachine, x: Array, sides: tuple[Sequence[str], Sequence[str]] | None = None
) -> NDArray[np.float64]:
    """log of the sum over hidden states of exp(-energy) for visible rows x (rows, units), in nats.

    Enumerates the hidden layers that graph.hidden_sides would draw and sums the others in closed form, unless sides
    name others.
    """
    machine = model.to("cpu").astype(np.float64)
    mine, summed = sides or model.graph.hidden_sides
    evidence = machine.evidence(host(x).astype(np.float64))
    parts = []
    with workers() as pool:
        sent = {layer: machine.input(layer, evidence) for layer in mine}
        heard = [layer for layer in summed if machine.graph.hears_views(layer)]
        given = {layer: machine.input(layer, evidence) for layer in heard}
        for numbers in chunks(machine, mine):
            state = configurations(machine, mine, numbers)
            alone = -machine.marginal_energy(state, [layer for layer in summed if layer not in heard])
            fields = {layer: machine.field(layer, state) for layer in heard}

            def part(rows: slice, state: State = state, alone: Array = alone, fields: State = fields) -> Array:
                coupled = alone + sum(sent[layer][rows] @ state[layer].T for layer in mine)
                for layer, field in fields.items():
                    each = machine.unit_type(layer).total_log_partition
                    coupled += np.stack([each(field + row) for row in given[layer][rows]])
                return logsumexp(coupled, axis=1)

            parts.append(np.concatenate(pool.map(part, blocks(len(x)))))
        return np.asarray(logsumexp(parts, axis=0) - machine.marginal_energy(evidence, ()))


def enumerable(machine: HelmholtzMachine, most: int) -> bool:
    """Whether the drawn hidden layers are binary and have at most so many units."""
    latent = machine.structure.latent
    return all(layer.binary for layer in latent) and sum(layer.units for layer in latent) <= most


def enumerated(machine: HelmholtzMachine, x: Array, known: Array | None = None) -> NDArray[np.float64]:
    """log p*(v) (rows,) of visible rows x (rows, units) in nats, by enumerating the drawn hidden layers.

    An RBM prior counts without its log Z. known (rows, units) tells which units count, the others being summed out;
    None: all.
    """
    machine, x = machine.to("cpu"), host(x)
    if not machine.structure.latent:
        return log_densities(machine, x.astype(machine.dtype))  # whose nets are fastest in their own type
    machine, x = machine.astype(np.float64), x.astype(np.float64)
    total = 1 << sum(layer.units for layer in machine.structure.latent)
    parts = [_enumerated(machine, x, known, slice(a, min(a + CHUNK, total))) for a in range(0, total, CHUNK)]
    return np.asarray(logsumexp(parts, axis=0))


def _enumerated(machine: HelmholtzMachine, x: Array, known: Array | None, numbers: slice) -> NDArray[np.float64]:
    """log of the sum of p*(v, h) over the hidden states with these numbers, (rows,)."""
    count, shift = numbers.stop - numbers.start, 0
    part, index = Part(Tape(machine.arena), slice(0, count), count), np.arange(numbers.start, numbers.stop)
    for layer in machine.structure.latent:
        bits = (index[:, None] >> (shift + np.arange(layer.units))) & 1
        part.get(f"state/{layer.name}", layer.units)[...] = bits
        shift += layer.units
    log_h = np.zeros(count)
    for child, parent in reversed(machine.structure.chain[1:]):
        state = part.get(f"state/{child.name}", child.units)
        if parent is None and machine.prior_machine is not None:
            log_h += rbm_log_density(machine.prior_machine, state)
        else:
            log_h += machine.factors[child.name].score(machine.place(child, parent, part), state).log_density
    return np.asarray(logsumexp(_visible_table(machine, part, x, known) + log_h, axis=1))


def _visible_table(machine: HelmholtzMachine, part: Part, x: Array, known: Array | None) -> NDArray[np.float64]:
    """log p (rows, states) of visible rows, or of their known units, given each state of the layer above."""
    (child, parent), factor = machine.structure.chain[0], machine.factors[machine.visible]
    place = machine.place(child, parent, part)
    if isinstance(factor, Dense):
        table = factor.conditional.table
        if known is not None:
            table = partial(factor.conditional.table_of_known, known=known)
        return table(*factor.head(place), x)
    assert known is None
    return np.stack([factor.score(place, row[None]).log_density for row in x])
