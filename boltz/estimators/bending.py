"""A bend of the base-rate path that keeps slow chains from widening its end.

Near the machine itself d log f / d beta varies most along the directions in which chains are slow, such as from one
class of data to another. Biases may take any course between the base-rate model and the machine; where they end with
the slope that makes d log f / d beta uncorrelated with every unit, all means stand still (the moment-averaged path of
Grosse, Maddison & Salakhutdinov 2013 does so everywhere), and what remains varies little and fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.targets import BaseRatePath

Array = NDArray[Any]
Floats = NDArray[np.float64]
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
    coupling, columns = np.zeros(len(next(iter(held.values())))), dict(held)
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
