"""Block Gibbs sampling over the colour classes of a machine: two of a layered one, as many as it needs of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks
from boltz.errors import InputError, NumericalError
from boltz.kernels.cpu.programs import STEP
from boltz.kernels.cpu.recorded import recordable, recorded
from boltz.kernels.cpu.runners import Count, Program, Runner
from boltz.kernels.cuda.graphs import Clock, Replay
from boltz.models.boltzmann import BoltzmannMachine, State, affordable_chains, checked_model
from boltz.models.files import states_outside, visible_rows
from boltz.models.views import alone
from boltz.parallel import ALONE, Workers, blocks, dealt, shares, workers
from boltz.rng import Key, Stream
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.inputs import Scratch, turned_weights
from boltz.sampling.layers import Draw, draw_layer
from boltz.sampling.states import States, warn_of_same_numbers
from boltz.units.states import are_states, has_two, own_lengths, refuse_others, state_words, two_states

Array = NDArray[Any]
Known = Mapping[str, tuple[Array, Array]]  # visible layer -> (rows, units) and which of them are known
WORTH = 4  # sweeps that a program is made for
PIN = 1e30  # a bias beyond all fields
FLIP_SWEEPS = 32  # of these one also turns and flips each colour class


@dataclass(frozen=True)
class GibbsSweep:
    """Transition that samples one colour class after the other given the rest; leaves exp(-energy) invariant.

    On the class sampled last of two the chain is reversible; on the full state its reversal is the opposite order, also
    of units that are coupled within a layer. scales multiplies the input of a layer (the doubled inputs of greedy
    pretraining); turned may hold turned_weights; threads of the pool share the work within a layer of many units.
    pinned: biases (rows, units) of layers some of whose units are held at their states (see pins).
    """

    machine: BoltzmannMachine
    key: Key
    flipped: bool = False
    scales: Mapping[str, float] = field(default_factory=dict)
    turned: Mapping[Any, Any] = field(default_factory=dict)
    pool: Workers = ALONE
    pinned: Mapping[str, Array] = field(default_factory=dict)

    @cached_property
    def order(self) -> tuple[tuple[str, ...], ...]:
        """The colour classes in the order in which they are sampled."""
        classes = self.machine.graph.colours
        return classes[::-1] if self.flipped else classes

    @cached_property
    def keys(self) -> dict[str, Key]:
        """The random key of each layer."""
        return {layer: self.key.derive("gibbs", layer) for layer in self.machine.graph.units}

    def reversed(self) -> GibbsSweep:
        """The time reversal: the classes in the opposite order."""
        return replace(self, flipped=not self.flipped)

    def stream(self, layer: str, step: Any) -> Stream:
        """The random stream of a layer at a step."""
        return self.keys[layer].stream(step)

    def bias(self, layer: str) -> Array:
        """The biases (units,) of a layer, or (rows, units) where some of its units are pinned."""
        return self.pinned[layer] if layer in self.pinned else self.machine.bias(layer)

    def update(self, layer: str, state: dict[str, Array], step: Any, first_row: int, scratch: Scratch) -> Array:
        """Sample one layer given its neighbours, in place; returns its mean (a reused buffer)."""
        how = Draw(self.stream(layer, step), first_row, scratch, self.turned, self.flipped, self.pool)
        return draw_layer(self.machine, layer, state, self.scales.get(layer, 1.0), self.bias(layer), how)

    def sweep(self, state: dict[str, Array], step: Any, first_row: int, scratch: Scratch) -> dict[str, Array]:
        """One sweep over all layers, in place; returns the means of the class sampled last (reused buffers)."""
        for layers in self.order[:-1]:
            for layer in layers:
                self.update(layer, state, step, first_row, scratch)
        return {layer: self.update(layer, state, step, first_row, scratch) for layer in self.order[-1]}

    def sweep_means(self, state: dict[str, Array], step: Any, first_row: int, scratch: Scratch) -> dict[str, Array]:
        """As sweep; the means are those of all layers, of the class sampled first given what the other one was."""
        return {layer: self.update(layer, state, step, first_row, scratch) for one in self.order for layer in one}

    def sweep_around(
        self, state: dict[str, Array], known: Known, step: Any, first_row: int, scratch: Scratch
    ) -> dict[str, Array]:
        """As sweep_means, with known entries of visible layers put back as soon as their layer is drawn: so no layer
        ever hears what was drawn in their place.
        """
        means = {}
        for layer in (layer for one in self.order for layer in one):
            means[layer] = self.update(layer, state, step, first_row, scratch)
            if layer in known:
                rows, there = known[layer]
                np.copyto(state[layer], rows, where=there)
        return means

    def step(self, state: State, step: int, first_row: int = 0) -> dict[str, Array]:
        """One sweep from state, which is left untouched."""
        new = {layer: x.astype(self.machine.dtype, order="C") for layer, x in state.items()}
        self.sweep(new, step, first_row, Scratch(self.machine.arena))
        return new


def pins(machine: BoltzmannMachine, layer: str, state: Array, known: Array) -> Array:
    """Biases (rows, units) under which units stay at their states where they are known, whatever they hear."""
    kind, bias = machine.unit_type(layer), np.zeros_like(state) + machine.bias(layer)
    low, high = (0.0, 1.0) if kind.columns > 1 else two_states(kind)
    np.copyto(bias, np.where(state > (low + high) / 2, PIN, -PIN).astype(bias.dtype), where=known)
    return bias


def pinned(machine: BoltzmannMachine, known: Known) -> dict[str, Array]:
    """The pins of the visible layers whose units are coupled to each other, given what is known of their rows."""
    return {view: pins(machine, view, *known[view]) for view in known if view in machine.graph.within}


def random_state(
    machine: BoltzmannMachine,
    chains: int,
    key: Key,
    given: Mapping[str, Array] = MappingProxyType({}),
    source: str = "bias",
    first: int = 0,
) -> dict[str, Array]:
    """A start (chains, units) a layer: every unit drawn on its own by a source, but for layers that are given.

    source: "bias", the units' biases; "uniform", all states alike; or "rates", mean activities kept with the machine.
    first is the number of the first chain.
    """
    state = {}
    for layer in machine.graph.units:
        if layer in given:
            state[layer] = given[layer]
            continue
        state[layer] = machine.zeros(chains, layer)
        kind, bias = machine.unit_type(layer), machine.bias(layer)
        if source == "uniform":
            bias = np.zeros_like(bias)
        elif source == "rates":
            bias = arrays.beside(kind.natural(np.asarray(machine.rates[layer])).astype(machine.dtype), machine.arena)
        stream = key.derive("start", layer).stream(0)
        kind.sample(np.zeros_like(state[layer]), 1.0, bias, stream, first, state[layer])
    return state


def sources(machine: BoltzmannMachine) -> tuple[str, ...]:
    """The sources that chains may start from: rates of data where the machine keeps them, 1/2, and biases."""
    return ("rates", "uniform", "bias") if machine.rates else ("uniform", "bias")


def mixed_start(machine: BoltzmannMachine, chains: int, key: Key, first: int = 0) -> dict[str, Array]:
    """A start (chains, units) a layer in which the chains take turns among the sources."""
    names = sources(machine)
    state = {layer: np.empty_like(machine.arena, shape=(chains, units)) for layer, units in machine.units.items()}

    def draw(block: slice) -> None:  # a block stays in a cache
        rows = block.stop - block.start
        for i, name in enumerate(names):
            drawn = random_state(machine, rows, key.derive(name), source=name, first=first + block.start)
            turn = slice((i - block.start) % len(names), None, len(names))
            for layer, x in state.items():
                x[block][turn] = drawn[layer][turn]

    with workers(machine.arena) as pool:
        pool.worth(chains * sum(machine.units.values())).map(draw, shares(chains, machine.arena))
    return state


def sample(
    model: BoltzmannMachine,
    chains: int = 1000,
    sweeps: int = 100,
    seed: int = 0,
    start: State | str | None = None,
    data: Any = None,
) -> States:
    """Run block Gibbs chains and return their last state, layer -> (chains, units).

    start: "rates" (mean activities of data, kept with a trained machine), "uniform" (all states alike), "bias", "data"
    (evenly spaced visible rows of data), or states by layer, one row a chain; layers it lacks are drawn from their
    bias. None lets the chains take turns among all of these that are known, so that no single one decides in which mode
    they begin; chains of documents with lengths of their own start at those of data, and keep their lengths. A sweep
    draws the visible colour class first, unless the start says something of that class only: then it is heard first. In
    every 32nd sweep each colour class is also turned round, and single units flipped, by Metropolis moves
    (sampling.flips); chains from given states make plain block Gibbs sweeps. Chains stay in modes that this does not
    cross: tempered_sample does. Results do not depend on the number of threads; a model on a device draws there with
    the same random bits, and its states come back as numpy arrays. Raises InputError, and NumericalError for an
    overflow.
    """
    found = sampled(model, chains, sweeps, seed, start, data)
    key = sampling_key(seed)
    warn_of_same_numbers(start, key, 5)  # past boltz.sample
    return States(states_outside(model, {layer: arrays.host(x) for layer, x in found.items()}), key)


def sampling_key(seed: int) -> Key:
    """The random key of chains; raises InputError."""
    return Key.from_seed(seed).derive("sample")


def sampled(
    model: BoltzmannMachine, chains: int, sweeps: int, seed: int, start: State | str | None, data: Any = None
) -> dict[str, Array]:
    """As sample; the states stay where the model lives."""
    model = checked_model(model, any_units=True, any_graph=True)
    chains = affordable_chains(model, chains)
    sweeps = checks.integer(sweeps, "sweeps", 0, checks.MOST_STEPS)
    walk = started(model, chains, sampling_key(seed), start, data)
    with workers(model.arena) as pool:
        deal = pool.worth(chains * model.arena.size)
        parts = dealt(chains, model.arena, deal)
        if not model.graph.layered:  # whose rows go one after the other
            parts = blocks(chains)
            walk = replace(walk, transition=replace(walk.transition, pool=deal if len(parts) == 1 else ALONE))
        walk = replace(walk, pool=deal) if len(parts) == 1 else walk
        pool.map(lambda block: walk.advance(range(sweeps), block), parts)
    walk.check()
    return walk.state


@dataclass(frozen=True, eq=False)
class Walk:
    """Gibbs chains on their way: transition, state (chains, units) a layer, the number of the first chain.

    moves: every 32nd sweep, from the first on, also turns round and flips each colour class. pool: the threads that
    share the work of one block.
    """

    transition: GibbsSweep
    state: dict[str, Array]
    moves: bool
    first: int = 0
    scratch: dict[int, Scratch] = field(default_factory=dict)
    programs: dict[int, Runner] = field(default_factory=dict)
    pool: Workers = ALONE

    def advance(self, steps: range, block: slice) -> dict[str, Array]:
        """Carry a block of chains over sweeps of these numbers, in place; returns its states, which are views."""
        first, at = self.first + block.start, steps.start
        scratch = self.scratch.setdefault(block.start, Scratch(self.transition.machine.arena))
        mine = {layer: x[block] for layer, x in self.state.items()}
        while at < steps.stop:
            if self.moves and at % FLIP_SWEEPS == 0:
                self._flip(at, block)
                at += 1
            stop = min(steps.stop, -(-at // FLIP_SWEEPS) * FLIP_SWEEPS) if self.moves else steps.stop
            self._repeat(range(at, stop), mine, first, scratch)
            at = stop
        return mine

    def _flip(self, step: int, block: slice) -> None:
        """A sweep of a block with moves, each thread with rows of its own."""

        def run(part: slice) -> None:
            mine = {layer: x[block][part] for layer, x in self.state.items()}
            first = block.start + part.start
            scratch = self.scratch.setdefault(first, Scratch(self.transition.machine.arena))
            flipped_sweep(self.transition, mine, step, self.first + first, scratch)

        rows = block.stop - block.start
        self.pool.map(run, shares(rows, self.transition.machine.arena) if self.pool.count > 1 else [slice(0, rows)])

    def _repeat(self, steps: range, mine: dict[str, Array], first: int, scratch: Scratch) -> None:
        """Plain sweeps of a block: in float32 by a program on a processor and by a captured graph on a device."""
        machine, chains = self.transition.machine, len(next(iter(mine.values())))
        like = machine.arena
        if not (machine.graph.binary and machine.graph.layered):
            for step in steps:
                self.transition.sweep(mine, step, first, scratch)
        elif len(steps) >= WORTH and recordable(like, chains):
            if first not in self.programs:
                self.programs[first] = recorded_sweep(self.transition, mine, first, self.pool)
            self.programs[first].count(steps.start, len(steps))
        else:
            repeat(lambda step: self.transition.sweep(mine, step, first, scratch), steps, like)

    def check(self) -> None:
        """Raise NumericalError where states are not finite."""
        for layer, x in self.state.items():
            if not all(np.isfinite(x[block]).all() for block in blocks(len(x), like=x)):
                raise NumericalError(
                    f"The states of layer {layer} are not finite: the weights are too large for their type."
                )


def recorded_sweep(transition: GibbsSweep, state: dict[str, Array], first_row: int, pool: Workers) -> Runner:
    """A program of one sweep of these states, in place, which the threads of a pool share."""
    program = Program(team=pool.count)
    machine = replace(transition.machine, arena=recorded(transition.machine.arena, program))
    mine = {layer: recorded(x, program) for layer, x in state.items()}
    replace(transition, machine=machine).sweep(mine, Count(STEP), first_row, Scratch(machine.arena))
    return Runner(program, pool.pool, pool.count)


def flipped_sweep(transition: GibbsSweep, state: dict[str, Array], step: int, first_row: int, scratch: Scratch) -> None:
    """A sweep before whose draws the other colour class is turned round and flipped, its partner summed out.

    So each class is drawn anew after its partner has moved, and both belong together at the end.
    """
    machine, moves = transition.machine, Flips(transition.machine, transition.turned)
    for moved, drawn in (transition.order[::-1], transition.order):
        moment = Moment(transition.key.derive("flip", moved[0]), step, first_row)
        moves.move({n: state[n] for n in moved}, 1.0, machine.bias, moment, scratch)
        for layer in drawn:
            transition.update(layer, state, step, first_row, scratch)


def started(
    model: BoltzmannMachine, chains: int, key: Key, start: State | str | None, data: Any = None, first: int = 0
) -> Walk:
    """Chains number first, first + 1, ... at a start, as in sample; raises InputError.

    The hidden side is drawn first where only the visible one says something.
    """
    rows: dict[str, Array] = {}
    if own_lengths(model.unit_type(model.visible)):
        start = _start_of_documents(model, start, data)
    asked = isinstance(start, str) and start == "data"
    if data is not None and not (start is None or asked):
        raise InputError("data would do nothing: it needs start='data', or no start.")
    if data is not None or asked:
        if data is None:
            raise InputError("start='data' needs rows of data: give data=rows.")
        x = visible_rows(model, data, "data")
        chosen = x[(np.arange(chains) * len(x)) // chains]
        rows = _drawn_rows(model, chosen, key.derive("data"), first)
    flipped, turned = bool(rows), turned_weights(model)
    if start is None:
        state = mixed_start(model, chains, key, first)
        for n, drawn in rows.items():
            turn = slice(len(sources(model)), None, len(sources(model)) + 1)
            state[n][turn] = drawn[turn]
    elif isinstance(start, str):
        checks.choice(start, "start", ("rates", "uniform", "bias", "data"))
        if start == "rates" and not model.rates:
            raise InputError("start='rates' needs a machine that keeps mean activities of its data, as training does.")
        state = random_state(model, chains, key, rows, "bias" if start == "data" else start, first)
    else:
        given = _given(model, start, chains)
        state = random_state(model, chains, key, given, first=first)
        # the class that is sampled second must be the one that start says most about
        flipped = bool(given) and all(n in model.graph.colours[0] for n in given)
    moves = not isinstance(start, Mapping) and all(has_two(kind) for kind in model.types.values())
    moves = moves and model.graph.layered
    return Walk(GibbsSweep(model, key, flipped, turned=turned), state, moves, first)


def _drawn_rows(model: BoltzmannMachine, chosen: Array, key: Key, first: int) -> dict[str, Array]:
    """Rows (chains, columns) by visible layer, those of binary units drawn as 0 and 1, each layer by its own key."""
    found = {}
    for view, rows in model.evidence(chosen).items():
        found[view] = rows
        if model.unit_type(view).binary:
            own = key if view == model.visible else key.derive(view)
            found[view] = model.zeros(len(rows), view)
            model.unit_type(view).draw(rows, own.stream(0), first, found[view])
    return found


def _start_of_documents(model: BoltzmannMachine, start: Any, data: Any) -> Any:
    """The start of chains that keep the lengths of documents, which must come from somewhere; raises InputError."""
    if data is not None and start is None:
        return "data"
    if not (isinstance(start, Mapping) and model.visible in start) and data is None:
        raise InputError(
            "data must hold documents, whose lengths the chains keep, since those of the machine have lengths of their "
            "own: give data=rows, or take model.of_length(n) for documents of n words."
        )
    return start


def repeat(work: Callable[[Any], object], steps: range, like: Array) -> None:
    """work(step) for step after step; in float32 on a device from a captured graph, with the step in its memory."""
    if not (arrays.on_device(like) and like.dtype == np.float32):
        for step in steps:
            work(step)
        return
    clock = Clock.before(steps.start)

    def ticked() -> None:
        clock.tick()
        work(clock.counter)

    Replay(ticked).run(len(steps))


def _given(model: BoltzmannMachine, start: State, chains: int) -> dict[str, Array]:
    if not isinstance(start, Mapping):
        raise InputError(f"start must map layers to arrays, got {type(start).__name__}.")
    for layer in start:
        if layer not in model.graph.units:
            raise InputError(f"start must hold layers among {', '.join(model.graph.units)}, got {checks.brief(layer)}.")
    if model.levels is not None or model.scaling is not None:
        several = len(model.graph.views) > 1
        for view in set(model.graph.views) & set(start):
            owner = alone(model, view) if several else model
            start = {**start, view: visible_rows(owner, start[view], f"start[{view!r}]")}
    given = {k: v.copy() for k, v in model.checked(start, tuple(start), "start").items()}
    for layer, x in given.items():
        if len(x) != chains:
            raise InputError(f"start[{layer!r}] must have {chains} rows, one a chain, got {len(x)}.")
        check_states(model, layer, x, "start")
    return given


def check_states(model: BoltzmannMachine, layer: str, x: Array, name: str) -> None:
    """Raise InputError unless x holds values that units of the layer can take."""
    kind = model.unit_type(layer)
    refuse_others(kind, arrays.host(x), f"{name}[{layer!r}]")
    if not are_states(kind, x):
        states = "from 0 up" if kind.support is None else state_words(kind)
        raise InputError(f"{name}[{layer!r}] must hold states of its units, {states}.")
