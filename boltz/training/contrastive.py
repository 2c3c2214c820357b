"""Contrastive divergence and stochastic approximation with persistent chains, for machines of any depth.

The gradient of the mean log-likelihood is <x y^T> under the posterior minus <x y^T> under the model (Ackley, Hinton &
Sejnowski 1985). The positive phase is exact for an RBM, and one of boltz.training.positive for other machines; the
negative phase runs k sweeps, from the data (CD-k, Hinton 2002) or on persistent chains (Tieleman 2008; Salakhutdinov &
Hinton 2009, algorithm 1). The colour class that is sampled last enters by its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import beside, on_device
from boltz.kernels.cpu.recorded import recordable
from boltz.models.boltzmann import BoltzmannMachine, views
from boltz.models.graph import Edge, bias_key, own_key
from boltz.parallel import Recording, Workers, blocks, shares
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.sampling.meanfield import solve
from boltz.training.contraction import contract
from boltz.training.held_out import undirected
from boltz.training.monitor import Monitor
from boltz.training.positive import PHASES, Phase, Posterior, Visit, kept_for_rows, numbers_of
from boltz.training.rules import Clock, RuleState
from boltz.training.settings import Settings

Array = NDArray[Any]
SLICE = 512
LEAST_LOG_VARIANCE = float(np.log(1e-3))  # of units whose data have a spread of 1, so that no density grows without end


@dataclass
class Workspace:
    """Buffers that outlive a step; nothing in them is state."""

    machine: BoltzmannMachine
    batch: Scratch = field(init=False)
    blocks: dict[tuple[str, int], Scratch] = field(default_factory=dict)
    gradient: Array = field(init=False)
    named: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.batch = Scratch(self.machine.arena)
        self.gradient = np.zeros_like(self.machine.arena)
        self.named = views(self.machine.graph, self.gradient)

    def total(self, layer: str) -> Array:
        """A buffer (units,) for the sum of a layer's weighed statistics."""
        return self.batch.get("total", layer, (1, self.machine.graph.units[layer]))[0]

    def block(self, phase: str, start: int) -> Scratch:
        """The buffers of one block of rows."""
        return self.blocks.setdefault((phase, start), Scratch(self.machine.arena))


@dataclass(frozen=True)
class Contrastive:
    """The rule: settings, and the scales of doubled inputs during greedy pretraining."""

    settings: Settings
    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def persistent(self) -> bool:
        """Whether chains carry over from step to step."""
        return self.settings.rule != "cd"

    @property
    def k(self) -> int:
        """Sweeps a step: of a number that rises the last one, which Stage.at replaces by that of the epoch."""
        return checks.rising(self.settings.k, "k", 1)[1]

    @property
    def start_rows(self) -> int:
        return self.settings.chains

    def recordable(self, machine: BoltzmannMachine) -> bool:
        few = (self.settings.batch_size, self.settings.chains, *machine.graph.units.values())
        graph = machine.graph
        plain = graph.binary and graph.layered and len(graph.views) == 1
        plain = plain and not self.settings.sparse and not self.settings.clip_norm
        return plain and recordable(machine.arena, *few)

    def replayable(self, machine: BoltzmannMachine) -> bool:
        stacked = not machine.independent_hidden
        waits = stacked and len(self.settings.mean_field.looks)
        return machine.graph.binary and not waits and not self._by_rows(machine)

    def _by_rows(self, machine: BoltzmannMachine) -> bool:
        """Whether there is a chain for each training row."""
        return self.settings.positive == "gibbs" and len(machine.graph.edges) > 1

    def init(self, machine: BoltzmannMachine, rows: Array, key: Key, total: int) -> RuleState:
        """Fantasy particles at data rows (rows, units), offsets for centring, running rates for sparsity, and what a
        positive phase keeps of each training row.
        """
        state: RuleState = kept_for_rows(machine, total) if self._by_rows(machine) else {}
        if self.persistent:
            state |= {f"chain/{layer}": x.copy() for layer, x in self._particles(machine, rows, key).items()}
        for layer in machine.graph.units:
            mean = machine.unit_type(layer).mean(machine.bias(layer)).astype(machine.dtype)
            if self.settings.center:
                state[f"offset/{layer}"] = mean.copy()
            if self.settings.sparse:
                state[f"rate/{layer}"] = mean.copy()
        return state

    def _particles(self, machine: BoltzmannMachine, rows: Array, key: Key) -> dict[str, Array]:
        """Where the persistent chains begin, layer -> (chains, units)."""
        count, how = self.settings.chains, self.settings.chain_start
        start = machine.evidence(rows[beside(np.arange(count) % len(rows), rows)])
        for visible, x in start.items() if how == "noise" else ():
            unit_type = machine.unit_type(visible)
            stream = key.derive("noise", *([visible] if len(start) > 1 else [])).stream(0)
            unit_type.sample(np.zeros_like(x), 1.0, np.zeros_like(machine.bias(visible)), stream, 0, x)
        if how != "data":
            return drawn_upwards(machine, start, key)
        scratch = Scratch(machine.arena)
        means = solve(machine, start, self.settings.mean_field, scratch)
        return start | posterior_sample(machine, means, key, 0, 0, scratch)

    def workspace(self, machine: BoltzmannMachine) -> Workspace:
        return Workspace(machine)

    def measure(self, machine: BoltzmannMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
        return Monitor(train, held_out, key).measure(machine, self.settings.mean_field, self.scales)

    def score(self, machine: BoltzmannMachine, train: Array, held_out: Array, key: Key) -> float | None:
        return None if self.scales else undirected(machine, train, held_out, self.settings.mean_field, key)

    def gradient(
        self, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        return self.gradient_by(PHASES[self.settings.positive], work, batch, state, clock, pool)

    def gradient_by(
        self, phase: Phase, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        """The gradient with a positive phase."""
        machine, n, key, step, k = work.machine, len(batch), clock.key, clock.step, self.k
        count = self.settings.chains if self.persistent else n
        stats = {
            layer: work.batch.get("statistics", layer, (n + count, units))
            for layer, units in machine.graph.units.items()
        }
        deep = len(machine.graph.edges) > 1 and not on_device(batch)  # where mean field goes down again and again
        turned = turned_weights(machine) if k > 1 or deep else {}
        settings = self.settings
        deep_draws = len(machine.graph.edges) > 1 and settings.positive != "mean-field"
        drawn = deep_draws and settings.rule == "pcd"  # states meet states of 0/1; other rules start with h1 given
        sweep = GibbsSweep(machine, key, flipped=drawn, scales=self.scales, turned=turned)
        move = sweep.sweep if settings.negative == "states" else sweep.sweep_means
        posterior = Posterior(machine, settings.mean_field, settings.positive_draws, self.scales)
        overwritten = machine.graph.layered and not sweep.flipped
        own = Own(machine, n + count, work.batch, self._drawn(machine), self.scales)

        def positive(rows: slice) -> None:
            scratch = work.block("positive", rows.start)
            scratch.turned = turned
            visit = Visit(key, step, rows.start, numbers_of(clock.rows, rows), state)
            means = phase(posterior, batch[rows], visit, scratch)
            _store(stats, machine.evidence(batch[rows]) | means, rows)
            own.store(machine.evidence(batch[rows]), means, rows, scratch)
            if not self.persistent:
                chain = posterior_sample(machine, means, key, step, rows.start, scratch)
                for visible, x in machine.evidence(batch[rows]).items():
                    chain[visible] = scratch.get("chain", visible, x.shape)
                    if overwritten and not machine.unit_type(visible).joint:
                        continue  # by the first half sweep, but for lengths of documents
                    chain[visible][...] = x
                negative(rows, chain)

        def negative(rows: slice, chain: dict[str, Array]) -> None:
            scratch, means = work.block("negative", rows.start), {}
            for i in range(k):
                means = move(chain, step * k + i, rows.start, scratch)
            for visible in machine.graph.views:
                means.pop(visible, None)
            _store(stats, chain | means, slice(n + rows.start, n + rows.stop))
            own.store(chain, means, slice(n + rows.start, n + rows.stop), scratch)

        whole = isinstance(pool, Recording) and (len(machine.graph.edges) == 1 or self._by_rows(machine))
        parts, chain_parts = self._parts(machine, batch, count, whole)
        jobs: list[Callable[[], None]] = [partial(positive, rows) for rows in parts]
        if self.persistent:
            for rows in chain_parts:
                chain = {layer: state[f"chain/{layer}"][rows] for layer in machine.graph.units}
                jobs.append(partial(negative, rows, chain))
        for together in [[job] for job in jobs] if whole else [jobs]:
            pool.map(lambda job: job(), together)
        signs = _signs(machine.arena, n, count)
        doubled = {layer: _signs(machine.arena, n, count, scale) for layer, scale in self.scales.items()}
        pool.map(lambda layer: self._track(layer, stats[layer][:n], state), list(stats))
        return self._contract(work, stats | own.found, signs, state, pool, doubled)

    def _parts(
        self, machine: BoltzmannMachine, batch: Array, chains: int, whole: bool
    ) -> tuple[list[slice], list[slice]]:
        """How rows and chains are dealt out; mean field that stops by a tolerance does so for a block as a whole.

        A program of an RBM has all rows together, as it deals out single operations: half the rows of a product cost
        more than half of it.
        """
        if whole:
            return [slice(0, len(batch))], [slice(0, chains)]
        if not machine.graph.layered:  # whose products may sum in another order where rows are few
            return blocks(len(batch)), blocks(chains)
        single = len(machine.graph.edges) == 1
        apart = single or self.settings.mean_field.tolerance == 0
        kinds = 2 if single and self.persistent else 1
        parts = shares(len(batch), batch, kinds=kinds) if apart else blocks(len(batch), like=batch)
        return parts, shares(chains, batch, kinds=kinds)

    def _track(self, layer: str, x: Array, state: RuleState) -> None:
        """Moving averages of a layer's data (rows, units): offsets (Montavon & Mueller 2012) and rates for sparsity."""
        for name in (f"offset/{layer}", f"rate/{layer}"):
            if name in state:
                kernels.track(x, self.settings.center_rate, state[name])

    def _contract(
        self,
        work: Workspace,
        stats: dict[str, Array],
        signs: Array,
        state: RuleState,
        pool: Workers,
        doubled: Mapping[str, Array] = MappingProxyType({}),
    ) -> Mapping[str, Array]:
        """Signed sums over rows of x and x y^T, centred where there are offsets, by slices of the lower layers.

        stats has, beside the layers, the statistics of what their units have besides, by the names of these parameters.
        doubled has the signs for the biases of layers whose input counts twice: a bias does so with it, and is kept as
        twice what it is in the whole machine (Salakhutdinov & Hinton 2009, in their code).
        """
        machine, center = work.machine, self.settings.center
        if not machine.graph.layered:
            contract(machine, stats, signs, _offsets(state) if center else {}, work.named)
            return self._settled(work, state)
        gradient, weighed = work.named, machine.graph.colours[1]
        totals = {n: work.total(n) for n in weighed} if center else {}

        def weigh(layer: str) -> None:
            kernels.totals(doubled.get(layer, signs), stats[layer], gradient[bias_key(layer)])
            for name in machine.graph.own_shapes[layer]:
                own = own_key(layer, name)
                kernels.totals(signs, stats[own], gradient[own])
            if layer in weighed:
                kernels.weigh(stats[layer], signs, state.get(f"offset/{layer}"), totals.get(layer))

        layers = list(machine.graph.units)
        pool.map(weigh, layers)
        jobs = [
            (edge, rows)
            for edge in machine.graph.edges
            for rows in shares(machine.graph.units[edge.lower], signs, SLICE)
        ]

        def product(job: tuple[Edge, slice]) -> None:
            edge, rows = job
            part, lower, upper = gradient[edge.key][rows], stats[edge.lower][:, rows], stats[edge.upper]
            kernels.contraction(lower, upper, part)
            if center:  # the even side is centred here, so that its states stay binary above
                if edge.upper in totals:
                    kernels.outer(-1.0, state[f"offset/{edge.lower}"][rows], totals[edge.upper], part)
                else:
                    kernels.outer(-1.0, totals[edge.lower][rows], state[f"offset/{edge.upper}"], part)

        def plain(layer: str) -> None:
            """The centred gradient in the parameters of the plain machine (Melchior, Fischer & Wiskott 2016, section
            3): what it takes off the bias of a layer.
            """
            for key, other, is_lower in machine.graph.neighbours[layer]:
                take = kernels.through if is_lower else kernels.back
                take(-1.0, gradient[key], state[f"offset/{other}"], gradient[bias_key(layer)])

        pool.map(product, jobs)
        if center:
            pool.map(plain, layers)
        return self._settled(work, state)

    def _settled(self, work: Workspace, state: RuleState) -> Mapping[str, Array]:
        """The gradient with what settings add to it, hold back or cut off."""
        if self.settings.sparse:
            self._sparsify(work.machine, work.named, state)
        self._hold(work.machine, work.named)
        if self.settings.clip_norm:
            _clip(work.gradient, self.settings.clip_norm)
        return work.named

    def _drawn(self, machine: BoltzmannMachine) -> frozenset[str]:
        """The hidden layers of which the positive phase gives states, not means."""
        of = Posterior(machine, self.settings.mean_field, 1, {})
        drawn, others = of.classes()
        drawn = others if of.swept else drawn
        return frozenset(drawn if others and self.settings.positive != "mean-field" else ())

    def _hold(self, machine: BoltzmannMachine, gradient: dict[str, Array]) -> None:
        """Slow down what units have beside a bias, stop variances at their floor, and leave constant columns alone."""
        for layer, shapes in machine.graph.own_shapes.items():
            for name in shapes if "log_variance" in shapes else ():
                own, value = gradient[own_key(layer, name)], machine.params[own_key(layer, name)]
                own *= own.dtype.type(self.settings.variance_rate)
                own[(value <= LEAST_LOG_VARIANCE) & (own < 0)] = 0
        if machine.scaling is not None and machine.scaling.constant.any():
            for visible, part in machine.graph.columns.items():
                constant = beside(machine.scaling.constant[part], machine.arena)
                for edge in machine.graph.edges:
                    if visible in (edge.lower, edge.upper) and edge.pairs is None:
                        gradient[edge.key][constant if edge.lower == visible else (slice(None), constant)] = 0
                for name in machine.own(visible):
                    gradient[own_key(visible, name)][constant] = 0

    def _sparsify(self, machine: BoltzmannMachine, gradient: dict[str, Array], state: RuleState) -> None:
        """Pull running rates to the target through biases and the weights of both sides (Hinton 2012, section 11;
        Salakhutdinov & Hinton 2009).
        """
        pulls: dict[str, Array] = {}
        for pair, edge in enumerate(machine.graph.edges):
            own, lower, upper = self.settings.of_pair(pair), state[f"rate/{edge.lower}"], state[f"rate/{edge.upper}"]
            pulls[edge.upper] = pull = own.sparsity_cost * (own.sparsity_target - upper)
            gradient[bias_key(edge.upper)] += pull
            gradient[edge.key] += np.outer(lower, pull)
            if edge.lower in pulls:
                gradient[edge.key] += np.outer(pulls[edge.lower], upper)


@dataclass(frozen=True)
class Own:
    """Statistics (rows, ...) of what the units of layers have beside a bias, by the names of these parameters.

    drawn: layers whose states the positive phase gives among its means; scales: of doubled inputs.
    """

    machine: BoltzmannMachine
    rows: int
    scratch: Scratch
    drawn: frozenset[str]
    scales: Mapping[str, float]
    found: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for layer, shapes in self.machine.graph.own_shapes.items():
            for name, shape in shapes.items():
                whole = self.scratch.get("own", own_key(layer, name), (self.rows, shape[0]))
                self.found[own_key(layer, name)] = whole

    def store(self, states: Mapping[str, Array], means: Mapping[str, Array], rows: slice, scratch: Scratch) -> None:
        """Keep the statistics of layers in these states, or at the fields of these means, at some rows.

        What is in the buffers of inputs is lost.
        """
        around = {layer: x for layer, x in {**means, **states}.items()} if self.found else {}
        for layer, x in around.items():
            kind = self.machine.unit_type(layer)
            if not self.machine.graph.own_shapes[layer]:
                continue
            if layer not in means or layer in self.drawn:
                statistics = kind.statistics(x)
            else:
                inputs = layer_input(self.machine, layer, around, scratch)
                field = inputs.dtype.type(self.scales.get(layer, 1.0)) * inputs + self.machine.bias(layer)
                statistics = kind.field_statistics(field)
            for name, own in statistics.items():
                self.found[own_key(layer, name)][rows] = own


def _offsets(state: RuleState) -> dict[str, Array]:
    """What states are centred at, layer -> (units,)."""
    return {name.removeprefix("offset/"): x for name, x in state.items() if name.startswith("offset/")}


def _signs(like: Array, rows: int, chains: int, scale: float = 1.0) -> Array:
    """The share of each row of data and, with a minus, of each state of a chain in the gradient, times a scale."""
    signs = np.full_like(like, -scale / chains, shape=(rows + chains,))
    signs[:rows] = scale / rows
    return signs


def _clip(gradient: Array, most: float) -> None:
    """Scale a gradient to a norm of at most most (Pascanu, Mikolov & Bengio 2013), in place."""
    norm = np.sqrt(np.sum(np.square(gradient, dtype=np.float64)))
    gradient *= (most / np.maximum(norm, most)).astype(gradient.dtype)


def drawn_upwards(machine: BoltzmannMachine, start: Mapping[str, Array], key: Key) -> dict[str, Array]:
    """States of all layers, layer -> (rows, units), each drawn given the one below it, whose input counts twice where
    there is one above, which is not known yet (Salakhutdinov & Hinton 2009, section 3.1).
    """
    found, scratch, rows = dict(start), Scratch(machine.arena), len(next(iter(start.values())))
    for layer in machine.graph.hidden:
        inputs = layer_input(machine, layer, found, scratch)
        heard = sum(other in found for _, other, _ in machine.graph.neighbours[layer])
        scale = len(machine.graph.neighbours[layer]) / heard if heard else 1.0
        state = machine.zeros(rows, layer)
        stream = key.derive("posterior", layer).stream(0)
        machine.unit_type(layer).sample(inputs, scale, machine.bias(layer), stream, 0, state)
        found[layer] = state
    return found


def _store(stats: dict[str, Array], state: Mapping[str, Array], rows: slice) -> None:
    for layer, x in state.items():
        stats[layer][rows] = x


def posterior_sample(
    machine: BoltzmannMachine, means: Mapping[str, Array], key: Key, step: Any, first_row: int, scratch: Scratch
) -> dict[str, Array]:
    """States drawn from posterior means, layer -> (rows, units), in reused buffers."""
    drawn = {}
    for layer, mean in means.items():
        drawn[layer] = scratch.get("chain", layer, mean.shape)
        stream = key.derive("posterior", layer).stream(step)
        machine.unit_type(layer).draw(mean, stream, first_row, drawn[layer])
    return drawn
