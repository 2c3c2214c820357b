"""Unbiased contrastive divergence by coupled chains: the rule ucd.

Chains that start at the data are stopped long before they have forgotten it, which biases contrastive divergence. Two
copies of a chain, of which one is a sweep ahead, see the same random numbers, so that sooner or later the copy behind
stands where the one ahead stood at the same time, and both go on together. Then f(x_k) + sum over t > k of
f(x_t) - f(y_(t-1)), over the sweeps until they have met, has the expectation of f under the machine itself: each y has
the law that its x had a sweep before, so that the sum telescopes (Jacob, O'Leary & Atchade 2020, section 2; for RBMs
Qiu, Zhang & Wang 2020, section 3). A unit is on where its random number is below its probability. So two copies with
the probabilities p and q differ in it with probability |p - q|, which is the least that can be.

What speaks against it: the sum has a large variance where chains need many sweeps to meet, and those of a machine with
separated modes hardly do. Nothing is cut off, since that would bring the bias back: where chains do not meet, training
stops and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.errors import NumericalError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.parallel import Workers, shares
from boltz.sampling.gibbs import GibbsSweep, turned_weights
from boltz.training.contrastive import Contrastive, Workspace, posterior_sample
from boltz.training.positive import PHASES, Posterior, Visit, numbers_of
from boltz.training.rules import Clock, RuleState

Array = NDArray[Any]
States = dict[str, Array]
MOST_SWEEPS = 10_000
ROWS_AT_ONCE = 4096  # of statistics that are kept before they are summed up


@dataclass
class Terms:
    """A sum of signed statistics, taken a few thousand rows at a time."""

    rule: Contrastive
    work: Workspace
    state: RuleState
    pool: Workers
    total: Array
    states: list[States] = field(default_factory=list)
    signs: list[Array] = field(default_factory=list)

    def add(self, states: States, sign: float) -> None:
        """States or means (rows, units) of all layers, each row with this sign; they must stay as they are."""
        rows = len(next(iter(states.values())))
        self.states.append(states)
        self.signs.append(np.full_like(self.total, sign, shape=(rows,)))
        if sum(map(len, self.signs)) > ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Add what has gathered to the total."""
        if self.signs:
            stats = {n: np.concatenate([x[n] for x in self.states]) for n in self.work.machine.graph.units}
            self.rule._contract(self.work, stats, np.concatenate(self.signs), self.state, self.pool)
            self.total += self.work.gradient
            self.states, self.signs = [], []


@dataclass(frozen=True)
class Coupled(Contrastive):
    """The rule ucd: a pair of coupled chains from each row of the batch, k sweeps before the sum begins."""

    @property
    def persistent(self) -> bool:
        return False

    def recordable(self, machine: BoltzmannMachine) -> bool:
        return False

    def replayable(self, machine: BoltzmannMachine) -> bool:
        return False  # the host sees whether chains have met

    def gradient(
        self, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        rule = Contrastive(replace(self.settings, sparsity_cost=0.0), self.scales)
        terms = Terms(rule, work, state, pool, np.zeros_like(work.gradient))
        data, chains = self._data(work, batch, state, clock, pool)
        for layer, x in data.items():
            self._track(layer, x, state)
        terms.add(data, 1 / len(batch))
        for sign, states in self._pairs(work, chains, clock, pool):
            terms.add(states, -sign / len(batch))
        terms.flush()
        work.gradient[...] = terms.total
        if self.settings.sparse:
            self._sparsify(work.machine, work.named, state)
        return work.named

    def _data(
        self, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> tuple[States, States]:
        """The statistics of the batch by the positive phase, and states drawn from them, where chains start."""
        machine, settings = work.machine, self.settings
        posterior = Posterior(machine, settings.mean_field, settings.positive_draws, self.scales)
        data = {n: np.empty_like(batch, shape=(len(batch), units)) for n, units in machine.graph.units.items()}
        chains = {n: np.empty_like(x) for n, x in data.items()}
        data[machine.visible][...] = batch

        def positive(rows: slice) -> None:
            scratch = work.block("positive", rows.start)
            visit = Visit(clock.key, clock.step, rows.start, numbers_of(clock.rows, rows), state)
            means = PHASES[settings.positive](posterior, batch[rows], visit, scratch)
            drawn = posterior_sample(machine, means, clock.key, clock.step, rows.start, scratch)
            for layer, mean in means.items():
                data[layer][rows], chains[layer][rows] = mean, drawn[layer]

        pool.map(positive, self._parts(machine, batch, len(batch), False)[0])
        return data, chains

    def _pairs(self, work: Workspace, chains: States, clock: Clock, pool: Workers) -> Iterator[tuple[float, States]]:
        """Statistics with their signs: of all chains after k sweeps, and of pairs until they have met."""
        machine, k = work.machine, self.k
        last = machine.graph.colours[1]
        sweep = GibbsSweep(machine, clock.key.derive("coupled"), scales=self.scales, turned=turned_weights(machine))
        ahead, behind = chains, {n: x.copy() for n, x in chains.items()}
        for t in range(1, MOST_SWEEPS + 1):
            number = clock.step * MOST_SWEEPS + t
            now = _swept(sweep, ahead, number, work, pool)
            before = _swept(sweep, behind, number, work, pool) if t > 1 else {}
            if t >= k:
                yield 1.0, now
            if t > k:
                yield -1.0, before
            if t >= k:
                apart = _apart(ahead, behind, last)
                if not len(apart):
                    return
                ahead, behind = ({n: x[beside(apart, x)] for n, x in side.items()} for side in (ahead, behind))
        raise NumericalError(
            f"Coupled chains of rule ucd have not met within {MOST_SWEEPS:,} sweeps: the machine mixes too slowly for "
            "it. Train it with rule pcd, or with ptt where the data have separated modes."
        )


def _swept(sweep: GibbsSweep, chains: States, number: int, work: Workspace, pool: Workers) -> States:
    """The statistics (rows, units) of chains after one sweep, which moves them: the class drawn last by its means."""
    found = {n: np.empty_like(x) for n, x in chains.items()}

    def part(rows: slice) -> None:
        state = {n: x[rows] for n, x in chains.items()}
        means = sweep.sweep(state, number, rows.start, work.block("coupled", rows.start))
        for layer, x in (state | means).items():
            found[layer][rows] = x

    some = next(iter(chains.values()))
    pool.map(part, shares(len(some), some))
    return found


def _apart(ahead: States, behind: States, layers: tuple[str, ...]) -> Array:
    """The numbers of the pairs that differ in some of the layers."""
    differ: Any = False
    for n in layers:
        differ = differ | (ahead[n] != behind[n]).any(axis=1)
    return np.flatnonzero(host(differ))
