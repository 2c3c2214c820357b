"""Replica exchange along a ladder of densities, and what the densities of its rungs say of each other.

The ladder may be inverse temperatures (parallel tempering, Swendsen & Wang 1986; Hukushima & Nemoto 1996) or snapshots
of a training run (parallel trajectory tempering, Bereux, Decelle, Furtlehner, Rosset & Seoane 2025). Many copies of it
run side by side, independent of each other; even and odd pairs of rungs swap in turn, which carries replicas along the
ladder faster than a random choice (Okabe et al. 2001; Syed, Bouchard-Cote, Deligiannidis & Doucet 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.parallel import Workers, workers
from boltz.rng import Key
from boltz.sampling.annealing import Progress
from boltz.sampling.flips import Moment
from boltz.sampling.gibbs import mixed_start
from boltz.sampling.inputs import Scratch, uniforms
from boltz.sampling.ladders import At, Ladder
from boltz.sampling.modes import Modes

Array = NDArray[Any]
Floats = NDArray[np.float64]
Chains = dict[str, Array]
Seen = Callable[[int, int, Chains], None]
FLIP_ROUNDS, FLIP_SWEEPS = 16, 8


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What a run of replica exchange leaves.

    up, down (pairs, visits, copies): log f_(k+1) - log f_k at the states of rung k, and log f_k - log f_(k+1) at those
    of rung k + 1, before each attempted swap; height, along (rounds, copies): log-density of the states at the last
    rung, and their projection on a direction where one was given; trips (copies,): journeys of replicas from the first
    rung to the last and back; samples: the held class of the last rung at evenly spaced rounds, layer ->
    (kept * copies, units).
    """

    up: Floats
    down: Floats
    height: Floats
    along: Floats
    trips: NDArray[np.int64]
    samples: Chains

    @property
    def halves(self) -> tuple[slice, slice]:
        """The copies that started at the first rung, and as many that started at the last one."""
        copies = len(self.trips)
        return slice(0, copies // 2), slice((copies + 1) // 2, copies)

    @property
    def acceptance(self) -> Floats:
        """Mean probability that neighbouring rungs swap, (pairs,)."""
        return np.asarray(np.exp(np.minimum(self.up + self.down, 0)).mean(axis=(1, 2)))


@dataclass
class Replicas:
    """The moving parts of an exchange, which may go on where it stopped.

    states: the held class of each rung, layer -> (copies, units); ends (rungs, copies) says which end a replica saw
    last, 1 the first and 2 the last rung; trips as in Exchanged; modes: those of the machine, where they were
    looked for; rounds counts those already run. The first half of the copies and the other one started apart.
    """

    ladder: Ladder
    key: Key
    states: list[Chains]
    ends: NDArray[np.int8]
    trips: NDArray[np.int64]
    modes: Modes | None = None
    rounds: int = 0
    scratch: dict[int, Scratch] = field(default_factory=dict)

    def desk(self, rung: int) -> Scratch:
        """The buffers of the job that a rung is the lower one of."""
        return self.scratch.setdefault(rung, Scratch(self.ladder.machine.arena))


def replicas_of(ladder: Ladder, copies: int, sweeps: int, key: Key, modes: Modes | None = None) -> Replicas:
    """Replicas for every rung in two halves that start apart, so that what both agree on was not handed to them.

    The first half begins with exact draws of the first rung and climbs, with so many sweeps at each rung. The other
    half begins at the last rung, where the sources of gibbs.mixed_start and the modes put it, and descends. The halves
    of an odd number are unequal.
    """
    machine, up = ladder.machine, (copies + 1) // 2
    rungs = range(ladder.rungs)
    cold = mixed_start(machine, max(copies - up, 1), key.derive("cold"))
    if modes is not None:
        drawn = modes.draws(max((copies - up) // 2, 1), key.derive("modes"))
        for n in ladder.held:
            cold[n][: len(drawn[n])] = beside(drawn[n].astype(machine.dtype), machine.arena)
    hot = {n: machine.zeros(up, n) for n in ladder.held}
    climbed = _carried(ladder, hot, rungs, sweeps, key.derive("climb"))
    fallen = _carried(ladder, {n: cold[n] for n in ladder.held}, rungs[::-1], sweeps, key.derive("fall"))[::-1]
    states = [
        {n: np.concatenate([one[n], other[n][: copies - up]]) for n in ladder.held}
        for one, other in zip(climbed, fallen, strict=True)
    ]
    ends, trips = np.zeros((ladder.rungs, copies), np.int8), np.zeros(copies, np.int64)
    return Replicas(ladder, key, states, ends, trips, modes)


def _carried(ladder: Ladder, state: Chains, rungs: Sequence[int], sweeps: int, key: Key) -> list[Chains]:
    """States (copies, units) after so many sweeps at each of the rungs in turn, flips among them."""
    scratch, found = Scratch(ladder.machine.arena), []
    for rung in rungs:
        for i in range(max(sweeps, 1)):
            if i % FLIP_SWEEPS == FLIP_SWEEPS - 1:
                ladder.flip(state, rung, Moment(key.derive("flip", rung), i), scratch)
            ((_, drawn),) = ladder.look(state, (rung,), At(key, i), scratch)
            ladder.move(drawn, rung, At(key, i), state, scratch)
        found.append({n: x.copy() for n, x in state.items()})
    return found


def exchange(
    replicas: Replicas,
    rounds: int,
    keep: int = 1,
    progress: Progress | None = None,
    direction: Mapping[str, Array] | None = None,
    seen: Seen | None = None,
) -> Exchanged:
    """So many rounds of a sweep on each rung and of swaps between neighbours, odd and even pairs in turn.

    Every 16th round begins with a sweep in which both colour classes are turned round and flipped. direction: layer ->
    (units,), along which the states of the last rung are projected. seen hears of the number of the round, of a rung,
    and of its states, all layers of them, for each rung and round. replicas are changed in place. Results do not depend
    on the number of threads.
    """
    rungs, copies = replicas.ends.shape
    up, down = np.empty((2, rungs - 1, rounds // 2 + 1, copies))
    height, kept, before = np.empty((rounds, copies)), [], replicas.trips.copy()
    along = np.zeros((rounds, copies))
    marks = {rounds - 1 - i * rounds // keep for i in range(keep)}  # at least a round apart, the last one among them
    with workers(replicas.ladder.machine.arena) as pool:
        for i in range(rounds):
            if replicas.rounds % FLIP_ROUNDS == 0 and replicas.ladder.machine.graph.layered:
                pool.map(partial(_flipped, replicas), list(range(rungs)))
            watch = None if seen is None else partial(seen, i)
            _round(replicas, (up[:, i // 2], down[:, i // 2]), height[i], pool, watch)
            for n, x in (direction or {}).items():
                state = replicas.states[-1][n]
                along[i] += host(state @ beside(x.astype(state.dtype), state))
            if i in marks:
                kept.append({n: host(x.copy()) for n, x in replicas.states[-1].items()})
            if progress is not None and (i % 10 == 9 or i == rounds - 1):
                progress(i + 1, rounds)
    samples = {n: np.concatenate([x[n] for x in kept]) for n in replicas.ladder.held} if kept else {}
    visits = rounds // 2
    return Exchanged(up[:, :visits], down[:, :visits], height, along, replicas.trips - before, samples)


Watch = Callable[[int, Chains], None]


def _round(
    replicas: Replicas, ratios: tuple[Floats, Floats], height: Floats, pool: Workers, watch: Watch | None
) -> None:
    """One round; ratios (pairs, copies) gain those of the pairs whose turn it is, height that of the last rung."""
    turn, last = replicas.rounds % 2, replicas.ladder.rungs - 1

    def job(k: int) -> None:
        if k < 0 or k == last:
            rung = max(k, 0)
            found = _sweep(replicas, rung, watch)
            top = rung == last
        else:
            ratios[0][k], ratios[1][k], found = _swap(replicas, k, watch)
            top = k + 1 == last
        if top:
            height[...] = found

    pool.map(job, list(range(-turn, last + 1, 2)))  # -1 is the first rung on its own
    replicas.rounds += 1
    replicas.trips += replicas.ends[0] == 2
    replicas.ends[0] = 1
    replicas.ends[-1][replicas.ends[-1] == 1] = 2


def _flipped(replicas: Replicas, rung: int) -> None:
    """A sweep on a rung in which each colour class is turned round and flipped, the other one summed out."""
    ladder, state, desk = replicas.ladder, replicas.states[rung], replicas.desk(rung)
    key, step = replicas.key.derive("flip", rung), replicas.rounds
    ladder.flip(state, rung, Moment(key.derive("held"), step), desk)
    ((_, drawn),) = ladder.look(state, (rung,), At(key, step), desk)
    ladder.flip(drawn, rung, Moment(key.derive("summed"), step), desk)
    ladder.move(drawn, rung, At(key, step), state, desk)


def _sweep(replicas: Replicas, rung: int, watch: Watch | None) -> Floats:
    ladder, at, desk = replicas.ladder, At(replicas.key, 2 * replicas.rounds), replicas.desk(rung)
    ((found, drawn),) = ladder.look(replicas.states[rung], (rung,), at, desk)
    if watch is not None:
        watch(rung, replicas.states[rung] | drawn)
    ladder.move(drawn, rung, at, replicas.states[rung], desk)
    return host(found)


def _swap(replicas: Replicas, k: int, watch: Watch | None) -> tuple[Floats, Floats, Floats]:
    """Sweep rungs k and k + 1, exchanging their states where the Metropolis rule says so, before they move.

    A look at a state under both rungs draws the summed class under both, so that no product is lost after a swap.
    Returns log f_(k+1) - log f_k at the states of k, the reverse at those of k + 1, and log f_(k+1) there.
    """
    ladder, states, desk = replicas.ladder, replicas.states[k : k + 2], replicas.desk(k)
    at = At(replicas.key, 2 * replicas.rounds), At(replicas.key, 2 * replicas.rounds + 1)
    lower, upper = (ladder.look(states[i], (k, k + 1), at[i], desk) for i in (0, 1))
    if watch is not None:
        watch(k, states[0] | lower[0][1])
        watch(k + 1, states[1] | upper[1][1])
    up, down = host(lower[1][0] - lower[0][0]), host(upper[0][0] - upper[1][0])
    swapped = np.log(_uniform(replicas, k, len(up))) < up + down
    for i, (stay, come) in enumerate(((lower[0][1], upper[0][1]), (upper[1][1], lower[1][1]))):
        for n, x in stay.items():
            np.copyto(x, come[n], where=beside(swapped, x)[:, None])
        ladder.move(stay, k + i, at[0], states[i], desk)
    replicas.ends[k : k + 2, swapped] = replicas.ends[k : k + 2, swapped][::-1]
    return up, down, host(upper[1][0])


def _uniform(replicas: Replicas, k: int, copies: int) -> Floats:
    return uniforms(replicas.key.derive("swap", k).stream(replicas.rounds), 0, copies)
