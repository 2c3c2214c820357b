"""log p*(v) without samples: exact by a free energy or enumeration, or the variational bound of mean field (nats)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.estimators.estimate import Kind
from boltz.estimators.exact import class_units, enumerable, enumerated, exact_log_marginal
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.parallel import blocks, workers
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import MeanField, free_energy_at, solve

Array = NDArray[Any]
Floats = NDArray[np.float64]
Found = tuple[Floats, Kind, str]  # (rows, 4) as certain gives it, kind of bound, and method
QUICK_HIDDEN = 14
PRODUCT = "product over visible units"


def of_boltzmann(model: BoltzmannMachine, x: Array) -> Found:
    """log p*(v) of checked rows: exact where at most 14 hidden units are in the way, else a lower bound."""
    if model.independent_hidden:
        return certain(-by_blocks(model, x, free_energy)), "exact", "free energy" if model.graph.hidden else "energy"
    if few_hidden(model):
        return certain(exact_log_marginal(model, x)), "exact", "enumeration of hidden units"
    return certain(variational(model, x)), "lower", "variational bound"


def few_hidden(model: BoltzmannMachine) -> bool:
    """Whether at most 14 hidden units have to be counted, the others being summed in closed form."""
    return class_units(model, model.graph.hidden_sides[0]) <= QUICK_HIDDEN


def of_helmholtz(model: HelmholtzMachine, x: Array) -> Found | None:
    """log p*(v) of checked rows by enumeration of at most 14 hidden units, None with more of them."""
    if not enumerable(model, QUICK_HIDDEN):
        return None
    how = "enumeration of hidden units" if model.hidden_layers else PRODUCT
    return certain(enumerated(model, x)), "exact", how


def certain(log_p: Floats) -> Floats:
    """(rows, 4): values without error."""
    log_p = np.asarray(log_p, np.float64)
    return np.stack([log_p, np.zeros(len(log_p)), np.ones(len(log_p)), log_p], axis=1)


def by_blocks(model: BoltzmannMachine, x: Array, function: Callable[..., Floats]) -> Floats:
    """function(model, the same in float64, rows) of all rows, block by block."""
    wide = model.astype(np.float64)
    with workers(x) as pool:
        return np.concatenate(pool.map(lambda part: host(function(model, wide, x[part])), blocks(len(x), like=x)))


def variational(model: BoltzmannMachine, x: Array) -> Floats:
    """E_q[-energy] + entropy of q (rows,) at the mean-field fixed point of rows x, q factorised over all hidden units.

    The fixed point is that of the machine's own type, and its bound is worked out in float64.
    """
    return -by_blocks(model, x, _bound_of_free_energy)


def free_energy(_: BoltzmannMachine, wide: BoltzmannMachine, rows: Array) -> Floats:
    """F(v) (rows,) in float64 of a machine whose hidden units, if any, are independent given the visible ones."""
    return wide.marginal_energy(wide.evidence(rows.astype(np.float64)), wide.graph.hidden)


def _bound_of_free_energy(model: BoltzmannMachine, wide: BoltzmannMachine, rows: Array) -> Floats:
    means = solve(model, model.evidence(rows), MeanField(), Scratch(model.arena))
    return free_energy_at(wide, rows.astype(np.float64), {n: q.astype(np.float64) for n, q in means.items()})
