"""The annealing engine: chains carried along a path of densities, weighed at each step (Neal 2001, section 2).

Upwards from exact draws of the start the weights average to Z_1 / Z_0; downwards from exact draws of the target, with
reversed transitions, to Z_0 / Z_1. Both are the same walk: weigh the change of temperature, then move at the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside, host, on_device
from boltz.kernels.cpu.programs import STEP
from boltz.kernels.cpu.recorded import recordable, recorded, row_dot, tilt
from boltz.kernels.cpu.runners import Count, Entry, Program, Runner
from boltz.models.boltzmann import BoltzmannMachine
from boltz.nn.arena import zeros
from boltz.numerics import effective_sample_size, log_mean_exp
from boltz.parallel import ALONE, Workers, blocks, dealt, workers
from boltz.rng import Key
from boltz.sampling.cuda_graphs import Captured
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.sampling.layers import Draw, draw_layer
from boltz.targets import BaseRatePath

Array = NDArray[Any]
Floats = NDArray[np.float64]
Chains = dict[str, Array]
Progress = Callable[[int, int], None]
STRETCH, POINTS = 250, 60
WORTH = 4  # temperatures that a program is made for


@dataclass(frozen=True)
class Place:
    """Where in a run a block of chains stands: its random key, the step, and the number of its first chain."""

    key: Key
    step: int
    first: int


class Path(Protocol):
    """Unnormalised densities f_beta over chain states, beta in [0, 1], with transitions that leave them invariant."""

    def log_density(self, state: Chains, beta: float, first: int) -> Floats:
        """log f_beta of the chains first, first + 1, ..., (chains,), in nats."""

    def step(self, state: Chains, betas: tuple[float, float], place: Place, log_weights: Floats) -> None:
        """log_weights (chains,) += change of log f between the betas; then move at the second one, in place."""

    def reversed(self) -> Path:
        """The path whose transitions are the time reversals of these."""


@dataclass(frozen=True, eq=False)
class Annealed:
    """What a walk leaves: log-weights (chains,), those along it (points, chains) at betas (points,), and ancestors.

    collected is the log of the mean weights taken in at resamplings; eve (chains,) numbers each chain's first ancestor.
    """

    log_weights: Floats
    betas: Floats
    trace: Floats
    collected: float
    eve: NDArray[np.int64]
    resamplings: int


def anneal(
    path: Path, state: Chains, betas: Floats, key: Key, resample: float = 0.0, progress: Progress | None = None
) -> Annealed:
    """Carry chains from betas[0] to betas[-1], in place; no move is made at betas[0].

    Where resample > 0, chains are resampled (systematically, Douc & Cappe 2005) at the end of each stretch of steps
    whose weights leave less than this share of them effective. Results do not depend on the number of threads.
    """
    some = next(iter(state.values()))
    chains, steps, total = len(some), len(betas) - 1, zeros(some)
    weights, eve = host(total), np.arange(chains, dtype=np.int64)
    collected, resamplings, points, trace = 0.0, 0, [betas[0]], [weights.copy()]
    stretch = min(STRETCH, max(1, steps // POINTS))
    with workers(some) as every:
        parts, pool = blocks(chains, like=some), every
        if isinstance(path, GibbsPath) and path.machine.graph.layered:
            pool = every.worth(stretch * chains * path.machine.arena.size)
            parts = dealt(chains, some, pool)
        deal = pool if len(parts) == 1 else ALONE
        walks = [_walk(path, {n: x[p] for n, x in state.items()}, betas, key, (p, total[p], deal)) for p in parts]
        for first in range(1, steps + 1, stretch):
            last = min(first + stretch, steps + 1)
            pool.map(partial(_carried, range(first, last)), walks)
            weights = host(total)
            points.append(betas[last - 1])
            trace.append(collected + weights)
            if resample > 0 and last <= steps and effective_sample_size(weights) < resample * chains:
                ancestors = systematic(weights, _uniform(key, resamplings))
                chosen = beside(ancestors, some)
                for x in state.values():
                    x[...] = x[chosen]
                collected += float(log_mean_exp(weights))
                total[...], eve, resamplings = 0.0, eve[ancestors], resamplings + 1
            if progress is not None:
                progress(last - 1, steps)
    return Annealed(host(total), np.array(points), np.array(trace), collected, eve, resamplings)


def _carried(numbers: range, walk: Callable[[range], None]) -> None:
    walk(numbers)


def _walk(
    path: Path, mine: Chains, betas: Floats, key: Key, block: tuple[slice, Floats, Workers]
) -> Callable[[range], None]:
    """What carries a block of chains, in place, over steps of these numbers; block has its rows, log-weights, and the
    threads that share its work.
    """
    part, weights, pool = block
    graph = path.machine.graph if isinstance(path, GibbsPath) else None
    binary = graph is not None and graph.binary and graph.layered  # whose kernels can be recorded and captured
    if isinstance(path, GibbsPath) and binary and on_device(weights) and path.machine.dtype == np.float32:
        captured = Captured(path.density, path.turned, (mine, weights), betas, key, part.start)
        return lambda numbers: captured.run(len(numbers))
    if isinstance(path, GibbsPath) and binary and len(betas) > WORTH and recordable(path.machine.arena, len(weights)):
        runner = _recorded(path, mine, (weights, betas), Place(key, 0, part.start), pool)
        return lambda numbers: runner.count(numbers.start, len(numbers))

    def walk(numbers: range) -> None:
        for i in numbers:
            path.step(mine, (betas[i - 1], betas[i]), Place(key, i, part.start), weights)

    return walk


def _recorded(path: GibbsPath, state: Chains, weighed: tuple[Floats, Floats], place: Place, pool: Workers) -> Runner:
    """A program of GibbsPath.step for a block of chains; weighed are its log-weights, and all betas."""
    program, density, key, first = Program(team=pool.count), path.density, place.key, place.first
    machine = replace(path.machine, arena=recorded(path.machine.arena, program))
    mine, scratch = {n: recorded(x, program) for n, x in state.items()}, Scratch(machine.arena)
    log_weights, betas = weighed[0], Entry(np.ascontiguousarray(weighed[1]), Count(STEP))
    biases = {}
    for layer, units in machine.graph.units.items():
        biases[layer] = np.empty_like(machine.arena, shape=(3, units))
        base, change, bend = density.course(layer)
        tilt((base, change, bend if density.bend else None), betas, biases[layer])
    for layer in density.held:
        row_dot(mine[layer], (biases[layer][2], betas), log_weights)
    for layers, held in ((density.summed, False), (density.held, True)):
        for layer in layers:
            inputs = layer_input(machine, layer, mine, scratch, path.turned)
            stream = key.derive("anneal", layer).stream(Count(STEP))
            unit_type, drawn = machine.unit_type(layer), (stream, first, mine[layer])
            if held:
                unit_type.sample(inputs, betas, biases[layer][1], *drawn)
            else:
                unit_type.anneal(inputs, betas, biases[layer][:2], *drawn, log_weights)  # type: ignore[arg-type]
    return Runner(program, pool.pool, pool.count)


def systematic(log_weights: Floats, uniform: float) -> NDArray[np.int64]:
    """Ancestors (chains,) by systematic resampling: how often a chain occurs differs from its expectation by < 1."""
    share = np.cumsum(np.exp(log_weights - log_mean_exp(log_weights)))
    share *= len(share) / share[-1]
    return np.searchsorted(share, np.arange(len(share)) + uniform, side="right").clip(max=len(share) - 1)


def _uniform(key: Key, number: int) -> float:
    drawn = key.derive("resample", number)
    return float(drawn.generator().random())


@dataclass(frozen=True, eq=False)
class GibbsPath:
    """The base-rate path of a Boltzmann machine with block Gibbs transitions on its held layers.

    They are reversible where held units are independent given the rest; else their reversal draws them in the opposite
    order, the summed layers first all the same.
    """

    density: BaseRatePath
    backwards: bool = False
    scratch: dict[int, Scratch] = field(default_factory=dict)

    @cached_property
    def machine(self) -> BoltzmannMachine:
        """The machine at the end of the path."""
        return self.density.machine

    @cached_property
    def turned(self) -> dict[str, Array]:
        """Transposed weights."""
        return turned_weights(self.machine)

    def log_density(self, state: Chains, beta: float, first: int) -> Floats:
        return self.density.log_density(state, beta)

    def step(self, state: Chains, betas: tuple[float, float], place: Place, log_weights: Floats) -> None:
        """The field that weighs the summed layers is also the one they are drawn from."""
        density, machine = self.density, self.machine
        scratch = self.scratch.setdefault(place.first, Scratch(machine.arena))
        for layer in density.held:
            change = density.exact_bias(layer, betas[1]) - density.exact_bias(layer, betas[0])
            kernels.row_dot(state[layer], change.astype(machine.dtype), log_weights)
        if density.joined:
            log_weights -= (betas[1] - betas[0]) * machine.coupling_energy(state, density.held)
        for layer in density.summed:
            inputs = layer_input(machine, layer, state, scratch, self.turned)
            biases = density.bias(layer, betas[0]), density.bias(layer, betas[1])
            stream = place.key.derive("anneal", layer).stream(place.step)
            machine.unit_type(layer).anneal(inputs, betas, biases, stream, place.first, state[layer], log_weights)
        for layer in density.held[::-1] if self.backwards else density.held:
            stream = place.key.derive("anneal", layer).stream(place.step)
            how = Draw(stream, place.first, scratch, self.turned, self.backwards)
            draw_layer(machine, layer, state, betas[1], density.bias(layer, betas[1]), how)

    def reversed(self) -> GibbsPath:
        return replace(self, backwards=not self.backwards)
