"""Replica exchange along a ladder of densities, and what the densities of its rungs say of each other.

The ladder may be inverse temperatures (parallel tempering, Swendsen & Wang 1986; Hukushima & Nemoto 1996) or snapshots
of a training run (parallel trajectory tempering, Bereux, Decelle, Furtlehner, Rosset & Seoane 2025). Many copies of it
run side by side, independent of each other; even and odd pairs of rungs swap in turn, which carries replicas along the
ladder faster than a random choice (Okabe et al. 2001; Syed, Bouchard-Cote, Deligiannidis & Doucet 2022).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside, host
from boltz.rng import Key
from boltz.sampling.annealing import Progress
from boltz.sampling.driver import Workers, workers
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladders import At, Ladder

Array = NDArray[Any]
Floats = NDArray[np.float64]
Chains = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What a run of replica exchange leaves.

    up, down (pairs, visits, copies): log f_(k+1) - log f_k at the states of rung k, and log f_k - log f_(k+1) at those
    of rung k + 1, before each attempted swap; height (rounds, copies): log-density at the last rung; trips (copies,):
    journeys of replicas from the first rung to the last and back; samples: the held class of the last rung at evenly
    spaced rounds, layer -> (kept * copies, units).
    """

    up: Floats
    down: Floats
    height: Floats
    trips: NDArray[np.int64]
    samples: Chains

    @property
    def acceptance(self) -> Floats:
        """Mean probability that neighbouring rungs swap, (pairs,)."""
        return np.asarray(np.exp(np.minimum(self.up + self.down, 0)).mean(axis=(1, 2)))


@dataclass
class Replicas:
    """The moving parts of an exchange, which may go on where it stopped.

    states: the held class of each rung, layer -> (copies, units); ends (rungs, copies) says which end a replica saw
    last, 1 the first and 2 the last rung; trips as in Exchanged; rounds counts those already run.
    """

    ladder: Ladder
    key: Key
    states: list[Chains]
    ends: NDArray[np.int8]
    trips: NDArray[np.int64]
    rounds: int = 0
    scratch: dict[int, Scratch] = field(default_factory=dict)

    def desk(self, rung: int) -> Scratch:
        """The buffers of the job that a rung is the lower one of."""
        return self.scratch.setdefault(rung, Scratch(self.ladder.machine.arena))


def climb(ladder: Ladder, copies: int, sweeps: int, key: Key) -> Replicas:
    """Replicas for every rung: exact draws of the first one, carried up with so many sweeps at each rung."""
    machine, states = ladder.machine, []
    state = {n: machine.zeros(copies, n) for n in ladder.held}
    scratch = Scratch(machine.arena)
    for rung in range(ladder.rungs):
        for i in range(max(sweeps, 1)):
            ((_, drawn),) = ladder.look(state, (rung,), At(key.derive("climb"), i), scratch)
            ladder.move(drawn, rung, At(key.derive("climb"), i), state, scratch)
        states.append({n: x.copy() for n, x in state.items()})
    return Replicas(ladder, key, states, np.zeros((ladder.rungs, copies), np.int8), np.zeros(copies, np.int64))


def exchange(replicas: Replicas, rounds: int, keep: int = 1, progress: Progress | None = None) -> Exchanged:
    """So many rounds of a sweep on each rung and of swaps between neighbours, odd and even pairs in turn.

    replicas are changed in place. Results do not depend on the number of threads.
    """
    rungs, copies = replicas.ends.shape
    up, down = np.empty((2, rungs - 1, rounds // 2 + 1, copies))
    height, kept, before = np.empty((rounds, copies)), [], replicas.trips.copy()
    marks = {rounds - 1 - i * rounds // keep for i in range(keep)}  # at least a round apart, the last one among them
    with workers(replicas.ladder.machine.arena) as pool:
        for i in range(rounds):
            _round(replicas, (up[:, i // 2], down[:, i // 2]), height[i], pool)
            if i in marks:
                kept.append({n: host(x.copy()) for n, x in replicas.states[-1].items()})
            if progress is not None and (i % 10 == 9 or i == rounds - 1):
                progress(i + 1, rounds)
    samples = {n: np.concatenate([x[n] for x in kept]) for n in replicas.ladder.held} if kept else {}
    visits = rounds // 2
    return Exchanged(up[:, :visits], down[:, :visits], height, replicas.trips - before, samples)


def _round(replicas: Replicas, ratios: tuple[Floats, Floats], height: Floats, pool: Workers) -> None:
    """One round; ratios (pairs, copies) gain those of the pairs whose turn it is, height that of the last rung."""
    turn, last = replicas.rounds % 2, replicas.ladder.rungs - 1

    def job(k: int) -> None:
        if k < 0 or k == last:
            rung = max(k, 0)
            found = _sweep(replicas, rung)
            top = rung == last
        else:
            ratios[0][k], ratios[1][k], found = _swap(replicas, k)
            top = k + 1 == last
        if top:
            height[...] = found

    pool.map(job, list(range(-turn, last + 1, 2)))  # -1 is the first rung on its own
    replicas.rounds += 1
    replicas.trips += replicas.ends[0] == 2
    replicas.ends[0] = 1
    replicas.ends[-1][replicas.ends[-1] == 1] = 2


def _sweep(replicas: Replicas, rung: int) -> Floats:
    ladder, at, desk = replicas.ladder, At(replicas.key, 2 * replicas.rounds), replicas.desk(rung)
    ((found, drawn),) = ladder.look(replicas.states[rung], (rung,), at, desk)
    ladder.move(drawn, rung, at, replicas.states[rung], desk)
    return host(found)


def _swap(replicas: Replicas, k: int) -> tuple[Floats, Floats, Floats]:
    """Sweep rungs k and k + 1, exchanging their states where the Metropolis rule says so, before they move.

    A look at a state under both rungs draws the summed class under both, so that no product is lost after a swap.
    Returns log f_(k+1) - log f_k at the states of k, the reverse at those of k + 1, and log f_(k+1) there.
    """
    ladder, states, desk = replicas.ladder, replicas.states[k : k + 2], replicas.desk(k)
    at = At(replicas.key, 2 * replicas.rounds), At(replicas.key, 2 * replicas.rounds + 1)
    lower, upper = (ladder.look(states[i], (k, k + 1), at[i], desk) for i in (0, 1))
    up, down = host(lower[1][0] - lower[0][0]), host(upper[0][0] - upper[1][0])
    swapped = np.log(_uniform(replicas, k, len(up))) < up + down
    for i, (stay, come) in enumerate(((lower[0][1], upper[0][1]), (upper[1][1], lower[1][1]))):
        for n, x in stay.items():
            np.copyto(x, come[n], where=beside(swapped, x)[:, None])
        ladder.move(stay, k + i, at[0], states[i], desk)
    replicas.ends[k : k + 2, swapped] = replicas.ends[k : k + 2, swapped][::-1]
    return up, down, host(upper[1][0])


def _uniform(replicas: Replicas, k: int, copies: int) -> Floats:
    bits = np.empty((copies, 1), np.uint32)
    kernels.philox(replicas.key.derive("swap", k).stream(replicas.rounds), 0, bits)
    return np.asarray((bits[:, 0] + 0.5) / 2.0**32)
