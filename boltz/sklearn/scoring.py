"""Log-likelihoods of rows, each of which follows from the machine and the row alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.estimators.ais import exact_or_ais
from boltz.estimators.closed_forms import QUICK_HIDDEN
from boltz.estimators.exact import class_units
from boltz.estimators.importance import reduced_alone
from boltz.estimators.likelihood import log_marginal as exact_or_bound
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import Model
from boltz.numerics import log_mean_exp
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.features import side_by_side

Array = NDArray[Any]
Floats = NDArray[np.float64]


def log_z(model: Model, betas: Any) -> float:
    """log Z of the undirected part in nats, by annealed importance sampling with one seed where it is not small."""
    machine = model.undirected
    return 0.0 if machine is None else exact_or_ais(machine, betas=betas).value


def log_marginal(model: Model, rows: Array, numbers: NDArray[np.uint64] | None = None, samples: int = 1) -> Floats:
    """log p*(v) (rows,) of rows (rows, units), with log Z left out, or a lower bound of it, in nats.

    Exact for an RBM and where the hidden units next to the visible ones can be enumerated, else the bound of mean field
    for a Boltzmann machine; the importance-weighted one, with so many samples drawn by the number of the row, for a
    Helmholtz machine.
    """
    if model.directed is None:
        machine = checked_model(model, any_units=True)
        if model.independent_hidden or class_units(machine, machine.graph.colours[1]) <= QUICK_HIDDEN:
            return exact_or_bound(model, rows, 0, 0)[0][:, 0]
        return _variational(machine, rows)
    assert numbers is not None
    own = (numbers % np.uint64(2**32 // samples)).astype(np.int64)
    key = Key.from_seed(0).derive("score")
    return reduced_alone(model, rows, own, samples, key, lambda log_w: log_mean_exp(log_w, 1))


def _variational(model: BoltzmannMachine, rows: Array) -> Floats:
    """Entropy of q minus the mean energy at the means of so many sweeps that features take, added up in float64."""
    hidden = [layer.name for layer in model.layers[1:]]
    edges = np.cumsum([model.units[name] for name in hidden])[:-1]
    double, means = model.astype(np.float64), side_by_side(model, rows, hidden)

    def work(block: slice) -> Floats:
        q = dict(zip(hidden, np.split(means[block].astype(np.float64), edges, axis=1), strict=True))
        entropy = sum(model.unit_type(name).entropy(x).sum(axis=1) for name, x in q.items())
        found: Floats = entropy - double.full_energy(model.evidence(rows[block].astype(np.float64)) | q, hidden)
        return found

    with workers(rows) as pool:
        return np.concatenate(pool.map(work, blocks(len(rows))))
