"""Modes of a machine, found by mean field from many starts, and whether chains have met them.

Every mean-field fixed point certifies a part of Z: log Z is at least its bound (Jordan, Ghahramani, Jaakkola & Saul
1999, eq. 13), so that a mode of a large bound that no chain has met speaks against what the chains say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from boltz.arrays import host
from boltz.errors import NumericalError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.numerics import effective_sample_size, logsumexp
from boltz.parallel import LITTLE, blocks, workers
from boltz.rng import Key
from boltz.sampling.inputs import Scratch, turned_weights
from boltz.sampling.layers import Draw, draw_layer
from boltz.units.states import ends, has_two

Array = NDArray[Any]
Floats = NDArray[np.float64]
SWEEPS, SETTLED = 50, 1e-4
TOGETHER = 1024  # rows that are relaxed at a time
UNITS, RANDOM = 32, 32  # units a layer whose own patterns are starts, and random starts
SAME = 0.3  # largest difference of means within a mode
WALKS, WALK, CLIMB, COLDEST = 32, 15, 3, 0.1  # walks by single flips, their sweeps, the last ones, first inverse heat
STATES = 200_000  # numbers at most, of all states of the smaller class times the other's units, that are looked at
FLIPS = 20_000  # weights of a machine at most that is walked through
DEEP, MOST = 5.0, 16  # nats below the best bound, and number of modes, that are kept
RETURNS = 32  # draws of a mode that are relaxed again, to learn how many of its states lead back to it
CERTAIN, ROUNDING = 0.5, 1e-6  # nats, and a share of log Z, that a bound may exceed a value by
ALARM = 1e-4  # probability of a false alarm a mode
MOST_SHARE = 0.9  # of Z that a mode is taken to have at the most, since its draws and bound are estimates


@dataclass(frozen=True, eq=False)
class Modes:
    """Mean-field fixed points of a machine: means, layer -> (modes, units), and bounds (modes,) on log Z in nats.

    key is that of their own draws; returned holds, by colour class, what returns found.
    """

    machine: BoltzmannMachine
    means: Mapping[str, Floats]
    bounds: Floats
    key: Key
    returned: dict[tuple[str, ...], Floats] = field(default_factory=dict)

    @property
    def shares(self) -> Floats:
        """exp(bound), normalised, (modes,)."""
        return np.asarray(np.exp(self.bounds - logsumexp(self.bounds)))

    def rates(self) -> dict[str, Floats]:
        """Mean activities (units,) of each layer over the modes, by their shares."""
        return {n: self.shares @ x for n, x in self.means.items()}

    def draws(self, count: int, key: Key) -> dict[str, Array]:
        """States (count, units) of each layer drawn from the modes in turn, best bound first."""
        which, generator = np.arange(count) % len(self.bounds), key.generator()
        return {n: _drawn(self.machine, n, x[which], generator) for n, x in self.means.items()}

    def returns(self, held: tuple[str, ...]) -> Floats:
        """The share of each mode's own draws of a colour class that relax to it again, (modes,)."""
        if held not in self.returned:
            self.returned[held] = _returns(self.machine, self.means, held, self.key)
        return self.returned[held]

    def unmet(
        self, ends: Mapping[str, Array], log_weights: Floats, value: float, independent: int | None = None
    ) -> tuple[str, ...]:
        """What the modes say against chains with these states and weights that give log Z this value, in words.

        ends: states of one colour class, layer -> (chains, units); independent: how many of them there are, all that
        are effective unless it is given.
        """
        if self.bounds[0] - value > CERTAIN + ROUNDING * abs(value):
            return (f"mean field certifies {self.bounds[0]:.2f} nats, more than the value",)
        held = next(layers for layers in self.machine.graph.sides if layers and layers[0] in ends)
        expected = self.returns(held) * np.exp(np.minimum(self.bounds - value, 0.0))
        found = _relaxed_in_parts(self.machine, ends)
        weights = np.exp(log_weights - logsumexp(log_weights))
        count = max(int(independent or effective_sample_size(log_weights)), 1)
        for k in np.argsort(-expected, kind="stable"):
            mode = {n: x[k : k + 1] for n, x in self.means.items()}
            met = float(weights @ _alike(self.machine, found, mode)[:, 0])
            if bdtr(np.floor(met * count + 0.5), count, min(float(expected[k]), MOST_SHARE)) < ALARM:
                told = "none" if met == 0 else f"only {met:.0%}"
                weight = f"mean field finds a mode that weighs at least {expected[k]:.0%} of the value"
                return (f"{weight}, but {told} of the chains met it",)
        return ()


def search(machine: BoltzmannMachine, key: Key, rates: Mapping[str, Array] | None = None) -> Modes:
    """Modes by mean field from the patterns of single units and their opposites, all units on or off, and chance.

    The pattern of a unit switches its neighbours by the signs of their weights. rates are further starts, and of a
    machine that is not large, states that single flips of units have annealed to, as in a spin glass.
    """
    machine = machine.to("cpu")
    found: list[tuple[dict[str, Array], Floats]] = []
    for layers, rows in (*_starts(machine, key, rates or {}), *_walked(machine, key.derive("walks").generator())):
        found.append(relaxed(machine, {n: rows[n] for n in layers}))
    means = {n: np.concatenate([m[n] for m, _ in found]).astype(np.float64) for n in machine.graph.units}
    bounds = np.concatenate([bound for _, bound in found])
    if not np.isfinite(bounds).any():
        raise NumericalError("The bounds of mean field are not finite: the weights are too large for their type.")
    kept = _apart(machine, means, np.where(np.isfinite(bounds), bounds, -np.inf))
    return Modes(machine, {n: x[kept] for n, x in means.items()}, bounds[kept], key)


def relaxed(machine: BoltzmannMachine, start: Mapping[str, Array]) -> tuple[dict[str, Array], Floats]:
    """Mean-field fixed points from states or means of one side: means (rows, units) a layer, bounds (rows,)."""
    mine, other = machine.graph.sides
    if set(mine) <= set(start):
        mine, other = other, mine
    rows = {n: host(start[n]).astype(machine.dtype) for n in other}
    count = len(next(iter(rows.values())))

    def settle(part: slice) -> tuple[dict[str, Array], Floats]:
        means = _settled(machine, {n: x[part] for n, x in rows.items()}, (mine, other))
        bounds = -machine.full_energy(means, tuple(means))
        for n, q in means.items():
            bounds += np.sum(machine.unit_type(n).entropy(q.astype(np.float64)), axis=1)
        return means, bounds

    parts = blocks(count) if count * machine.arena.size > LITTLE else [slice(0, count)]
    with workers() as pool:
        found = pool.map(settle, parts)
    means = {n: np.concatenate([each[n] for each, _ in found]) for n in found[0][0]}
    return means, np.concatenate([bounds for _, bounds in found])


def _settled(
    machine: BoltzmannMachine, means: dict[str, Array], colours: tuple[Sequence[str], Sequence[str]]
) -> dict[str, Array]:
    """Means of all layers after sweeps from those of the second side; a row that has settled is left alone."""
    mine, other = colours
    found = {n: machine.zeros(len(next(iter(means.values()))), n) for n in (*other, *mine)}
    going = np.arange(len(found[other[0]]))
    for sweep in range(1, SWEEPS + 1):
        means |= _means(machine, means, mine)
        again = _means(machine, means, other)
        moved = np.max([np.abs(again[n] - means[n]).max(axis=1) for n in other], axis=0)
        means |= again
        ends = (moved <= SETTLED) | (sweep == SWEEPS)
        if ends.any():
            for n, x in means.items():
                found[n][going[ends]] = x[ends]
            going, means = going[~ends], {n: x[~ends] for n, x in means.items()}
        if not len(going):
            break
    return found


def _means(machine: BoltzmannMachine, means: Mapping[str, Array], layers: Sequence[str]) -> dict[str, Array]:
    """Means of the units of some layers, one layer after the other, given those of all others; halfway to them where
    units of a layer are coupled to each other, which would overshoot together.
    """
    now = dict(means)
    for n in layers:
        new = machine.unit_type(n).mean(machine.field(n, now))
        now[n] = (new + now[n]) / 2 if n in machine.graph.within and n in now else new
    return {n: now[n] for n in layers}


def _starts(
    machine: BoltzmannMachine, key: Key, rates: Mapping[str, Array]
) -> list[tuple[tuple[str, ...], dict[str, Array]]]:
    """Starts (rows, units) of each side, with its layers."""
    generator, found = key.derive("modes").generator(), []
    for layers in filter(None, machine.graph.sides):
        rows: dict[str, list[Array]] = {n: [np.zeros((1, u)), np.ones((1, u))] for n, u in _sizes(machine, layers)}
        for n, units in _sizes(machine, layers):
            rows[n].append(generator.integers(0, 2, (RANDOM, units)).astype(np.float64))
            if rates:
                rows[n].append(np.zeros((1, units)))  # the place of the rates
        for name in machine.graph.units:
            patterns = {n: x for n, x in _patterns(machine, name).items() if n in layers}
            for n, units in _sizes(machine, layers) if patterns else ():
                count = len(next(iter(patterns.values())))
                rows[n].append(patterns.get(n, np.full((count, units), 0.5)))
        codes = {n: np.concatenate(parts) for n, parts in rows.items()}
        starts = {n: _decoded(machine, n, x) for n, x in codes.items()}
        for n in layers if rates else ():
            starts[n][2 + RANDOM] = rates[n]
        found.append((layers, starts))
    return found


def _between_ends(machine: BoltzmannMachine, layer: str) -> tuple[Any, Any]:
    """The least mean of a layer's units and how much larger the greatest is, or a range of usual ones."""
    kind = machine.unit_type(layer)
    if kind.support is not None:
        low, high = ends(kind)
        return low, high - low
    nothing = np.zeros(machine.units[layer])
    spread = np.sqrt(kind.variance(nothing))
    return kind.mean(nothing) - spread, 2 * spread


def _decoded(machine: BoltzmannMachine, layer: str, codes: Array) -> Array:
    """States or means of a layer (rows, units) from numbers from 0 for off to 1 for on."""
    low, width = _between_ends(machine, layer)
    return np.asarray(low + codes * width)


def _drawn(machine: BoltzmannMachine, layer: str, means: Floats, generator: np.random.Generator) -> Floats:
    """States of a layer drawn from means (rows, units), in float64."""
    kind = machine.unit_type(layer)
    if has_two(kind):
        low, width = _between_ends(machine, layer)
        return np.asarray(low + (generator.random(means.shape) < (means - low) / width) * width)
    words, drawn = generator.integers(0, 2**32, 2), np.empty(means.shape, machine.dtype)
    kind.draw(np.ascontiguousarray(means, machine.dtype), (int(words[0]), int(words[1]), 0), 0, drawn)
    return drawn.astype(np.float64)


def _walked(
    machine: BoltzmannMachine, generator: np.random.Generator
) -> list[tuple[tuple[str, ...], dict[str, Array]]]:
    """States of the smaller colour class that single flips lead to, the other class summed out, with its layers.

    Simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983) of log p*, and flips that raise it at the end; of few states
    all are looked at instead. Between strong couplings whole classes hardly move, neither by sweeps nor by mean field,
    where single units still do. Only machines of units of 0 and 1 are walked through.
    """
    if not machine.graph.layered:
        return _cooled(machine, generator)
    layers, others = sorted(machine.graph.colours, key=lambda each: sum(machine.graph.units[n] for n in each))
    weights = _between(machine, layers, others)
    if weights.size > FLIPS or not machine.graph.binary:
        return []
    bias, inputs = (np.concatenate([machine.bias(n) for n in each]).astype(np.float64) for each in (layers, others))
    kind = machine.unit_type(others[0])
    if len(weights) < 20 and 2 ** len(weights) * weights.shape[1] <= STATES:
        states = (np.arange(2 ** len(weights))[:, None] >> np.arange(len(weights)) & 1).astype(np.float64)
        peaks = _peaks(states @ bias + kind.total_log_partition(states @ weights + inputs))
        return [(tuple(layers), _split(machine, layers, states[peaks]))]
    x = generator.integers(0, 2, (WALKS, len(weights))).astype(np.float64)
    fields = x @ weights + inputs
    score = kind.total_log_partition(fields)
    for beta in (*np.linspace(COLDEST, 1, WALK), *[np.inf] * CLIMB):
        heat = generator.exponential(size=x.shape) / beta
        for i, weight in enumerate(weights):
            sign = 1 - 2 * x[:, i]
            moved = fields + sign[:, None] * weight
            found = kind.total_log_partition(moved)
            taken = sign * bias[i] + found - score > -heat[:, i]
            x[taken, i], fields[taken], score[taken] = 1 - x[taken, i], moved[taken], found[taken]
    return [(tuple(layers), _split(machine, layers, x))]


def _cooled(
    machine: BoltzmannMachine, generator: np.random.Generator
) -> list[tuple[tuple[str, ...], dict[str, Array]]]:
    """The same of a graph that is not layered: states that sweeps lead to while they cool down, and below heat 1."""
    if sum(machine.units.values()) > FLIPS:
        return []
    first, second = (int(n) for n in generator.integers(0, 2**32, 2))
    state = {n: machine.zeros(WALKS, n) for n in machine.units}
    scratch, turned, held = Scratch(machine.arena), turned_weights(machine), machine.graph.sides[0]
    for n in machine.units:  # from numbers to states
        start = np.zeros_like(state[n])
        machine.unit_type(n).sample(start, 1.0, np.zeros_like(machine.bias(n)), (first, second, 0), 0, state[n])
    for step, beta in enumerate((*np.linspace(COLDEST, 1, WALK), *[1 / COLDEST] * CLIMB), 1):
        for number, n in enumerate((*machine.graph.sides[1], *held)):
            how = Draw((first, second ^ number + 1, step), 0, scratch, turned)
            draw_layer(machine, n, state, float(beta), (beta * machine.bias(n)).astype(machine.dtype), how)
    return [(held, {n: state[n].astype(np.float64) for n in held})]


def _peaks(score: Floats) -> NDArray[np.int64]:
    """Numbers of the states that no flip of a unit makes likelier, the likeliest first, from log p* of all states."""
    numbers, highest = np.arange(len(score)), np.ones(len(score), bool)
    for unit in range(len(score).bit_length() - 1):
        highest &= score >= score[numbers ^ 1 << unit]
    found = numbers[highest]
    return found[np.argsort(-score[found], kind="stable")][:WALKS]


def _split(machine: BoltzmannMachine, layers: Sequence[str], x: Array) -> dict[str, Array]:
    """The columns of x (rows, units of all layers) by layer."""
    ends = np.cumsum([machine.graph.units[n] for n in layers])[:-1]
    return dict(zip(layers, np.split(x, ends, axis=1), strict=True))


def _between(machine: BoltzmannMachine, layers: Sequence[str], others: Sequence[str]) -> Floats:
    """All weights between two colour classes as one matrix (units, units of others)."""
    rows = []
    for n in layers:
        near = {other: (machine.params[edge], lower) for edge, other, lower in machine.graph.neighbours[n]}
        blocks_of = [
            (near[o][0] if near[o][1] else near[o][0].T)
            if o in near
            else np.zeros([machine.graph.units[m] for m in (n, o)])
            for o in others
        ]
        rows.append(np.hstack(blocks_of))
    return np.vstack(rows).astype(np.float64)


def _sizes(machine: BoltzmannMachine, layers: Sequence[str]) -> list[tuple[str, int]]:
    return [(n, machine.graph.units[n]) for n in layers]


def _patterns(machine: BoltzmannMachine, layer: str) -> dict[str, Array]:
    """Signs of the weights of a layer's strongest units, as states of each neighbour, and their opposites."""
    around = machine.graph.neighbours[layer]
    if machine.graph.sparse:
        return {}
    weights = {other: machine.params[edge].T if lower else machine.params[edge] for edge, other, lower in around}
    if layer in machine.graph.within:
        weights[layer] = machine.params[machine.graph.within[layer].key]
    norms = sum(np.square(weight, dtype=np.float64).sum(axis=0) for weight in weights.values())
    strongest = np.argsort(-np.asarray(norms), kind="stable")[:UNITS]
    signs = {other: (weight[:, strongest].T > 0).astype(np.float64) for other, weight in weights.items()}
    return {other: np.concatenate([on, 1 - on]) for other, on in signs.items()}


def _apart(machine: BoltzmannMachine, means: Mapping[str, Floats], bounds: Floats) -> NDArray[np.int64]:
    """Numbers of the fixed points that differ, best bound first, at most MOST of them."""
    order = np.argsort(-bounds, kind="stable")
    left = order[np.isfinite(bounds[order]) & (bounds[order] >= bounds[order[0]] - DEEP)]
    kept: list[int] = []
    while len(left) and len(kept) < MOST:
        kept.append(int(left[0]))
        left = left[1:]
        rest, mode = ({n: x[rows] for n, x in means.items()} for rows in (left, kept[-1:]))
        left = left[~_alike(machine, rest, mode)[:, 0]]
    return np.array(kept or [0])


def _alike(machine: BoltzmannMachine, some: Mapping[str, Array], modes: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Whether means (rows, units) belong to each of the modes, (rows, modes)."""
    rows, count = len(next(iter(some.values()))), len(next(iter(modes.values())))
    same = np.ones((rows, count), bool)
    for n, mode in modes.items():
        width = _between_ends(machine, n)[1]
        for k in range(count):
            same[:, k] &= (np.abs(some[n] - mode[k]) / width).max(axis=1) < SAME
    return same


def _relaxed_in_parts(machine: BoltzmannMachine, start: Mapping[str, Array]) -> dict[str, Array]:
    """Means of fixed points from states (rows, units) of one colour class, some rows at a time."""
    rows = len(next(iter(start.values())))
    parts = [
        relaxed(machine, {n: x[first : first + TOGETHER] for n, x in start.items()})[0]
        for first in range(0, rows, TOGETHER)
    ]
    return {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}


def _returns(machine: BoltzmannMachine, means: Mapping[str, Floats], held: Sequence[str], key: Key) -> Floats:
    """The share of each mode's own draws of a colour class that relax to it again, (modes,)."""
    generator = key.derive("returns", held[0]).generator()
    draws: dict[str, list[Array]] = {n: [] for n in held}
    modes = len(means[held[0]])
    for k in range(modes):
        for n in held:
            draws[n].append(_drawn(machine, n, np.repeat(means[n][k : k + 1], RETURNS, axis=0), generator))
    back, _ = relaxed(machine, {n: np.concatenate(parts) for n, parts in draws.items()})
    alike = _alike(machine, back, means).reshape(modes, RETURNS, modes)
    return np.array([alike[k, :, k].mean() for k in range(modes)])
