"""A bend of the base-rate path that keeps slow chains from widening its end.

Near the machine itself d log f / d beta varies most along the directions in which chains are slow, such as from one
class of data to another. Biases may take any course between the base-rate model and the machine; where they end with
the slope that makes d log f / d beta uncorrelated with every unit, all means stand still (the moment-averaged path of
Grosse, Maddison & Salakhutdinov 2013 does so everywhere), and what remains varies little and fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath
from boltz.sampling.base_rate import base_rates, widened
from boltz.sampling.ladders import Ladder, Machines, Temperatures
from boltz.sampling.replica_exchange import Exchanged, exchange, replicas_of
from boltz.sampling.temperatures import adaptive
from boltz.targets import BaseRatePath, MachinePath, independent, path_to

Array = NDArray[Any]
Floats = NDArray[np.float64]
Make = Callable[[Floats], Ladder]
COPIES, SWEEPS, BURN = 64, 30, 1 / 3
PILOT_SWEEPS, PILOT_COPIES, PILOT_ROUNDS, PILOT_RUNGS, MOST_RUNGS = 5, 16, 40, 24, 400
RUNGS_A_BARRIER, FRICTION_SHARE, WORST = 1.6, 0.7, 0.8
PART, MOST_PARTS = 0.7, 16  # the barrier of a part of a gap, and most parts of one
BEND_ROUNDS, BEND_SAMPLES = 80, 20
RIDGES, WORTH = (1.0, 10.0, 100.0, 1000.0), 0.8


def bent(path: BaseRatePath, samples: Mapping[str, Array]) -> BaseRatePath:
    """The path with biases base + beta change + beta (1 - beta) bend, fitted to samples of the machine's held class.

    samples: layer -> (chains, units). The slope at beta = 1 is minus the ridge regression of the coupling energy,
    averaged over the summed class, on the states of the held and the means of the summed class; the ridge is the one
    that foretells the other half of the samples best. The path stays straight where that foretells little.
    """
    machine = path.machine.to("cpu").astype(np.float64)
    change = {n: host(moved) for n, moved in path.bias_change.items()}
    held = {n: host(samples[n]).astype(np.float64) for n in path.held}
    coupling, columns = -machine.coupling_energy(held, path.held), dict(held)
    for layer in path.summed:
        inputs = machine.input(layer, held)
        columns[layer] = machine.unit_type(layer).mean(inputs + machine.bias(layer))
        coupling += np.einsum("ij,ij->i", columns[layer], inputs)
    x = np.concatenate(list(columns.values()), axis=1)
    straight = coupling + x @ np.concatenate([change[n] for n in columns])
    odd = np.arange(len(x)) % 2 == 1
    left = [_rest(x, coupling, odd, ridge) + _rest(x, coupling, ~odd, ridge) for ridge in RIDGES]
    if not min(left) < WORTH * (straight[odd].var() + straight[~odd].var()):
        return path
    slopes = _regressed(x, coupling, RIDGES[int(np.argmin(left))])
    edges = np.cumsum([columns[n].shape[1] for n in columns])[:-1]
    bend = {n: slope + change[n] for n, slope in zip(columns, np.split(slopes, edges), strict=True)}
    return replace(path, bend=bend)


def _regressed(x: Floats, y: Floats, ridge: float) -> Floats:
    """Coefficients (columns,) of y (rows,) on x (rows, columns), both less their means."""
    centred = x - x.mean(axis=0)
    return np.asarray(np.linalg.solve(centred.T @ centred + ridge * np.eye(x.shape[1]), centred.T @ (y - y.mean())))


def _rest(x: Floats, y: Floats, fitted: NDArray[np.bool_], ridge: float) -> float:
    """Variance of what the regression on some rows leaves of the others."""
    slopes = _regressed(x[fitted], y[fitted], ridge)
    return float((y[~fitted] - x[~fitted] @ slopes).var())


def fitted_ladder(
    model: BoltzmannMachine, trajectory: Sequence[BoltzmannMachine], base: Any, seed: int
) -> Temperatures | Machines:
    """A ladder to the model whose neighbours swap; raises InputError where a trajectory does not fit the model."""
    members = checks.sequence(trajectory, "trajectory")
    for i, member in enumerate(members):
        fits = getattr(member, "plan", None) == model.graph and member.dtype == model.dtype
        if not fits:
            raise InputError(f"trajectory[{i}] must be a machine of the same layers and type as the model.")
    members = [member.to(model.device) for member in members]
    rates, key = hot_rates(model, base, seed), Key.from_seed(seed).derive("ladder")
    if not members:
        straight = _fitted_temperatures(path_to(model, rates), key)
        replicas = replicas_of(straight, COPIES, PILOT_SWEEPS, key.derive("bend"))
        exchange(replicas, BEND_ROUNDS // 2, keep=0)
        path = bent(straight.path, exchange(replicas, BEND_ROUNDS, keep=BEND_SAMPLES).samples)
        return _fitted_temperatures(path, key) if path.bend else straight
    knots = MachinePath((independent(model, rates), *members, model))
    stops = np.arange(knots.length + 1, dtype=np.float64)
    places = fitted_places(lambda p: Machines(knots, p), stops, None, key)
    return Machines(knots, np.union1d(places, stops))


def hot_rates(model: BoltzmannMachine, base: Any, seed: int) -> dict[str, Array]:
    """Rates of the first rung: those that are given or kept with the machine, else 1/2, never those of biases."""
    if base is None and not model.rates:
        return widened({}, 1.0, model)
    return base_rates(model, base, seed)


def _fitted_temperatures(path: BaseRatePath, key: Key) -> Temperatures:
    friction = adaptive(GibbsPath(path), 1000, key)
    places = fitted_places(lambda p: Temperatures(path, p), np.linspace(0, 1, PILOT_RUNGS), friction, key)
    return Temperatures(path, places)


def fitted_places(make: Make, places: Floats, friction: Floats | None, key: Key) -> Floats:
    """Places along a path, equally far apart in rejected swaps, or in a mixture of these and of friction (steps,).

    Where a gap hardly lets a swap through, rungs are put in, until their number is found from the sum of all rejections
    (the communication barrier of Syed, Bouchard-Cote, Deligiannidis & Doucet 2022). Each gap gets as many as it would
    need if log-densities were normal: then its barrier is the root of both Kullback-Leibler divergences by pi.
    """
    while True:
        found = _pilot(make(places), key)
        rejected = 1 - found.acceptance
        wide = rejected > WORST
        if not wide.any() or len(places) >= MOST_RUNGS:
            break
        barriers = np.sqrt(np.maximum(-(found.up + found.down).mean(axis=(1, 2)), 0) / np.pi)
        parts = np.clip(np.ceil(barriers / PART), np.where(wide, 2, 1), MOST_PARTS).astype(int)
        between = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(places, places[1:], parts, strict=False)]
        places = np.concatenate([*between, places[-1:]])
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(rejected, 1e-3))])
    count = max(5, ceil(RUNGS_A_BARRIER * barrier[-1]) + 1)
    grid = np.linspace(places[0], places[-1], 100 * len(places))
    cost = np.interp(grid, places, barrier / barrier[-1])
    if friction is not None:
        slow = np.interp(grid, friction, np.linspace(0, 1, len(friction)))
        cost = (1 - FRICTION_SHARE) * cost + FRICTION_SHARE * slow
    fitted = np.interp(np.linspace(0, 1, count), cost, grid)
    fitted[0], fitted[-1] = places[0], places[-1]
    return fitted


def _pilot(ladder: Ladder, key: Key) -> Exchanged:
    replicas = replicas_of(ladder, PILOT_COPIES, PILOT_SWEEPS, key.derive("pilot", ladder.rungs))
    exchange(replicas, PILOT_ROUNDS, keep=0)
    return exchange(replicas, PILOT_ROUNDS, keep=0)
