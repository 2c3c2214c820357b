"""Replica exchange along a ladder of machines of one graph, and what its rungs' densities say of each other.

The ladder may be inverse temperatures (parallel tempering, Swendsen & Wang 1986; Hukushima & Nemoto 1996) or snapshots
of a training run (parallel trajectory tempering, Bereux, Decelle, Furtlehner, Rosset & Seoane 2025): only the free
energy of one colour class is needed. Many ladders run side by side, independent of each other; even and odd pairs of
rungs swap in turn, which carries replicas along the ladder faster than a random choice (Okabe et al. 2001; Syed,
Bouchard-Cote, Deligiannidis & Doucet 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key, Stream
from boltz.sampling.annealing import Progress
from boltz.sampling.driver import Workers, workers
from boltz.sampling.gibbs import Scratch, layer_input, turned_weights

Array = NDArray[Any]
Floats = NDArray[np.float64]
Chains = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Rung:
    """A machine of the ladder; its held class is chain state, the summed class is drawn when it is needed."""

    number: int
    machine: BoltzmannMachine
    held: tuple[str, ...]
    summed: tuple[str, ...]
    turned: dict[str, Array]
    scratch: Scratch

    def look(self, state: Chains, stream: tuple[Key, int], drawn: Chains) -> Floats:
        """log of the unnormalised density of the held class (chains,), and draws of the summed class given it.

        The kernel of annealing gives both in one pass: its weight from no field at all to the whole field.
        """
        machine, (key, step) = self.machine, stream
        rows = len(drawn[self.summed[0]])
        total = np.zeros(rows)
        for layer in self.held:
            total += state[layer] @ machine.bias(layer).astype(np.float64)
        for layer in self.summed:
            kind, bias = machine.unit_type(layer), machine.bias(layer)
            inputs, nothing = layer_input(machine, layer, state, self.scratch, self.turned), np.zeros_like(bias)
            at = key.derive("look", layer, self.number).stream(step)
            kind.anneal(inputs, (0.0, 1.0), (nothing, bias), at, 0, drawn[layer], total)
            total += kind.log_partition(nothing.astype(np.float64)).sum()
        return total

    def move(self, drawn: Chains, stream: tuple[Key, int], state: Chains) -> None:
        """Draw the held class given the summed one, in place."""
        key, step = stream
        for layer in self.held:
            inputs = layer_input(self.machine, layer, drawn, self.scratch, self.turned)
            at = key.derive("move", layer, self.number).stream(step)
            self.machine.unit_type(layer).sample(inputs, 1.0, self.machine.bias(layer), at, 0, state[layer])


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What a run of replica exchange leaves.

    up, down (pairs, visits, ladders): log f_(k+1) - log f_k at the states of rung k, and log f_k - log f_(k+1) at those
    of rung k + 1, before each attempted swap; height (rounds, ladders): log-density at the last rung; trips (ladders,):
    round trips of replicas between the ends; states: the held class of each rung at the end, layer -> (ladders, units);
    samples: that of the last rung at evenly spaced rounds, layer -> (kept * ladders, units).
    """

    up: Floats
    down: Floats
    height: Floats
    trips: NDArray[np.int64]
    states: list[Chains]
    samples: Chains

    @property
    def acceptance(self) -> Floats:
        """Mean probability that neighbouring rungs swap, (pairs,)."""
        return np.exp(np.minimum(self.up + self.down, 0)).mean(axis=(1, 2))


def rungs_of(machines: Sequence[BoltzmannMachine]) -> list[Rung]:
    """The rungs of a ladder of machines of one graph; the smaller colour class is held."""
    graph = machines[0].graph
    held, summed = sorted(graph.colours, key=lambda layers: sum(graph.units[n] for n in layers))
    return [Rung(k, m, held, summed, turned_weights(m), Scratch(m.dtype)) for k, m in enumerate(machines)]


def climb(rungs: Sequence[Rung], ladders: int, sweeps: int, key: Key) -> list[Chains]:
    """States for every rung: exact draws of the first machine, carried up with so many sweeps at each rung."""
    machine, found = rungs[0].machine, []
    state = {n: np.zeros((ladders, machine.graph.units[n]), machine.dtype) for n in rungs[0].held}
    drawn = {n: np.zeros((ladders, machine.graph.units[n]), machine.dtype) for n in rungs[0].summed}
    for rung in rungs:
        for i in range(max(sweeps, 1)):
            rung.look(state, (key.derive("climb"), i), drawn)
            rung.move(drawn, (key.derive("climb"), i), state)
        found.append({n: x.copy() for n, x in state.items()})
    return found


def exchange(
    rungs: Sequence[Rung],
    states: list[Chains],
    rounds: int,
    key: Key,
    keep: int = 1,
    progress: Progress | None = None,
) -> Exchanged:
    """So many rounds of a sweep on each rung and of swaps between neighbours, odd and even pairs in turn.

    states are changed in place. Three products a rung and a round: the two of a sweep, and one that looks at the
    neighbour's state. Results do not depend on the number of threads.
    """
    ladders, pairs = len(next(iter(states[0].values()))), len(rungs) - 1
    up, down = np.empty((2, pairs, -(-rounds // 2), ladders))
    run = _Run(rungs, states, key, np.zeros((len(rungs), ladders), np.int8), np.zeros(ladders, np.int64))
    height, kept = np.empty((rounds, ladders)), []
    marks = set(np.linspace(rounds - 1, 0, keep, endpoint=False).round().astype(int)) if keep else set()
    with workers() as pool:
        for i in range(rounds):
            run.round(i, (up[:, i // 2], down[:, i // 2]), height[i], pool)
            if i in marks:
                kept.append({n: x.copy() for n, x in states[-1].items()})
            if progress is not None and (i % 10 == 9 or i == rounds - 1):
                progress(i + 1, rounds)
    visits = rounds // 2
    samples = {n: np.concatenate([x[n] for x in kept]) for n in rungs[0].held} if kept else {}
    return Exchanged(up[:, :visits], down[:, :visits], height, run.trips, states, samples)


@dataclass
class _Run:
    """The moving parts of an exchange; marks (rungs, ladders) say which end a replica saw last: 1 first, 2 last rung."""

    rungs: Sequence[Rung]
    states: list[Chains]
    key: Key
    marks: NDArray[np.int8]
    trips: NDArray[np.int64]

    def round(self, number: int, ratios: tuple[Floats, Floats], height: Floats, pool: Workers) -> None:
        """One round; ratios (pairs, ladders) gain those of the pairs whose turn it is, height that of the last rung."""
        turn = number % 2
        alone = ([0] if turn else []) + ([len(self.rungs) - 1] if (len(self.rungs) - turn) % 2 else [])
        last, height_of = len(self.rungs) - 1, {}

        def pair(k: int) -> None:
            ratios[0][k], ratios[1][k], top = self._swap(k, number)
            if k + 1 == last:
                height_of[last] = top

        def single(k: int) -> None:
            found = self._sweep(k, number)
            if k == last:
                height_of[last] = found

        jobs = [(pair, k) for k in range(turn, last, 2)] + [(single, k) for k in alone]
        pool.map(lambda job: job[0](job[1]), jobs)
        height[...] = height_of[last]
        self.trips += self.marks[0] == 2
        self.marks[0] = 1
        self.marks[-1][self.marks[-1] == 1] = 2

    def _drawn(self, k: int) -> Chains:
        rung = self.rungs[k]
        rows, units = len(self.states[k][rung.held[0]]), rung.machine.graph.units
        return {n: np.empty((rows, units[n]), rung.machine.dtype) for n in rung.summed}

    def _sweep(self, k: int, number: int) -> Floats:
        drawn, at = self._drawn(k), (self.key, 2 * number)
        found = self.rungs[k].look(self.states[k], at, drawn)
        self.rungs[k].move(drawn, at, self.states[k])
        return found

    def _swap(self, k: int, number: int) -> tuple[Floats, Floats, Floats]:
        """Sweep rungs k and k + 1, exchanging their states where the Metropolis rule says so, before they move."""
        pair = self.rungs[k : k + 2]
        own, other = ([self._drawn(k), self._drawn(k + 1)] for _ in range(2))
        states = self.states[k], self.states[k + 1]
        mine = [pair[i].look(states[i], (self.key, 2 * number), own[i]) for i in (0, 1)]
        across = [pair[i].look(states[1 - i], (self.key, 2 * number + 1), other[i]) for i in (0, 1)]
        up, down = across[1] - mine[0], across[0] - mine[1]
        swapped = np.log(self._uniform(k, number, len(up))) < up + down
        for n in pair[0].held:
            states[0][n][swapped], states[1][n][swapped] = states[1][n][swapped], states[0][n][swapped]
        for i in (0, 1):
            for n in pair[i].summed:
                own[i][n][swapped] = other[i][n][swapped]
            pair[i].move(own[i], (self.key, 2 * number), states[i])
        self.marks[k : k + 2, swapped] = self.marks[k : k + 2, swapped][::-1]
        return up, down, mine[1]

    def _uniform(self, k: int, number: int, ladders: int) -> Floats:
        bits = np.empty((ladders, 1), np.uint32)
        stream: Stream = self.key.derive("swap", k).stream(number)
        kernels.philox(stream, 0, bits)
        return (bits[:, 0] + 0.5) / 2.0**32
