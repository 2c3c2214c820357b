"""Ladders over enumerable machines: exact starts, exact acceptances, and the journeys of replicas by plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from oracles import enumeration
from oracles.chains import intermediate
from oracles.enumeration import Table
from support.machines import SMALL, base_of, machine_of, rates_of

import boltz
from boltz import kernels
from boltz.estimators.exact import drawn_class
from boltz.rng import Key
from boltz.sampling.ladder_fitting import bent
from boltz.sampling.ladders import Machines, Temperatures
from boltz.sampling.replica_exchange import Replicas
from boltz.targets import MachinePath, independent, path_to

Floats = NDArray[np.float64]
KEY = Key(11, 12)
KINDS = ("temperatures", "machines")
Rungs = int | tuple[float, ...]
HIGH = (0.7, 0.85, 1.0)  # none of them independent units


def places_of(rungs: Rungs) -> Floats:
    """Inverse temperatures, evenly spaced where only their number is given."""
    return np.linspace(0, 1, rungs) if isinstance(rungs, int) else np.array(rungs)


def ladder_of(table: Table, rungs: Rungs, kind: str = "temperatures") -> Temperatures | Machines:
    """The same densities as inverse temperatures and as machines, from the rates of a table to it."""
    machine, rates, places = machine_of(table), rates_of(table), places_of(rungs)
    if kind == "temperatures":
        return Temperatures(path_to(machine, rates), places)
    return Machines(MachinePath((independent(machine, rates), machine)), places)


def tables(table: Table, rungs: Rungs) -> list[Table]:
    """The machine of every rung, without any arithmetic of boltz."""
    return [intermediate(table, base_of(table), beta) for beta in places_of(rungs)]


def laws(table: Table, held: tuple[str, ...], rungs: Rungs) -> list[Floats]:
    """Distribution of the held class at every rung."""
    return [enumeration.marginal(machine, held) for machine in tables(table, rungs)]


def exact_start(table: Table, rungs: Rungs, copies: int, kind: str = "temperatures", seed: int = 1) -> Replicas:
    """Replicas of which every rung holds independent exact draws of its own density."""
    ladder, generator = ladder_of(table, rungs, kind), np.random.default_rng(seed)
    every, states = enumeration.states(table, ladder.held), []
    for p in laws(table, ladder.held, rungs):
        chosen = generator.choice(len(p), copies, p=p / p.sum())
        states.append({n: np.ascontiguousarray(x[chosen]) for n, x in every.items()})
    return Replicas(ladder, KEY, states, np.zeros((ladder.rungs, copies), np.int8), np.zeros(copies, np.int64))


def mean_acceptance(table: Table, held: tuple[str, ...], rungs: Rungs) -> Floats:
    """Mean probability of a swap (pairs,): over all pairs of independent states of the neighbours."""
    log_f = [-enumeration.free_energy(machine, held) for machine in tables(table, rungs)]
    p, found = laws(table, held, rungs), []
    for k in range(len(p) - 1):
        up = log_f[k + 1] - log_f[k]
        found.append(p[k] @ np.minimum(1, np.exp(up[:, None] - up[None])) @ p[k + 1])
    return np.array(found)


def uniforms(pair: int, number: int, copies: int) -> Floats:
    """What the swaps of a pair in a round are decided by, (copies,)."""
    words = np.empty((copies, 1), np.uint32)
    kernels.philox(KEY.derive("swap", pair).stream(number), 0, words)
    return (words[:, 0] + 0.5) / 2.0**32


def journeys(up: Floats, down: Floats, copies: int) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Trips (copies,) and the replica at each rung of each copy, by following every replica by itself.

    up, down: (pairs, visits, copies) of an even number of rounds from the first one on.
    """
    rungs, rounds = len(up) + 1, 2 * up.shape[1]
    trips, places = np.zeros(copies, np.int64), []
    for copy in range(copies):
        at, seen = list(range(rungs)), ["nothing"] * rungs  # replica at each rung; the end that a replica saw last
        for number in range(rounds):
            for k in range(number % 2, rungs - 1, 2):
                ratio = np.exp(min(up[k, number // 2, copy] + down[k, number // 2, copy], 0.0))
                if uniforms(k, number, copies)[copy] < ratio:
                    at[k], at[k + 1] = at[k + 1], at[k]
            trips[copy] += seen[at[0]] == "last"
            seen[at[0]] = "first"
            if seen[at[-1]] == "first":
                seen[at[-1]] = "last"
        places.append(at)
    return trips, places


def slow(scale: float = 4.0) -> Table:
    """An RBM whose chains stay where they are, all on or all off, at inverse temperatures HIGH."""
    return Table.chain([np.full((4, 3), scale)], [np.full(4, -0.5 - 1.5 * scale), np.full(3, -2 * scale)])


def bimodal(scale: float = 3.0, tilt: float = 0.06) -> boltz.BoltzmannMachine:
    """An RBM of 8 + 8 units that is all on or all off, with 0.62 and 0.38 of the probability and nothing between."""
    bias = np.full(8, -4 * scale)
    return boltz.from_arrays([np.full((8, 8), scale)], [bias + tilt, bias])


def check_bend_of(name: str) -> None:
    """Under the machine itself d log f / d beta at beta = 1 is uncorrelated with every unit, and varies less.

    20,000 exact samples; the regression leaves no correlation in them but for its ridge, which matters to units that
    hardly vary: what is left of the others is below 0.05, where a straight path has 0.2 or more.
    """
    table = SMALL[name]
    machine = machine_of(table)
    path = path_to(machine, rates_of(table))
    samples = drawn_class(machine, 20_000, seed=3)
    path = replace(path, held=tuple(samples), summed=tuple(n for n in machine.units if n not in samples))
    detour = bent(path, samples)
    assert detour.bend and set(detour.bend) == set(machine.units)
    slopes = [(p.log_density(samples, 1.0) - p.log_density(samples, 1 - 1e-6)) / 1e-6 for p in (path, detour)]
    units = np.concatenate(list(samples.values()), axis=1)
    units = units[:, units.std(axis=0) > 0.2]
    straight, still = (np.abs(np.corrcoef(s, units.T)[0, 1:]).max() for s in slopes)
    assert still < 0.05 < 0.2 < straight, (still, straight)
    assert slopes[1].var() < 0.8 * slopes[0].var()
