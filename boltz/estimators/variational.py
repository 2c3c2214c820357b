"""The variational bound of mean field, as a log-likelihood (Salakhutdinov & Hinton 2009, section 2.2)."""

from __future__ import annotations

from typing import Any

from boltz.estimators.likelihood import certain, of_rows, undirected_log_z, variational
from boltz.estimators.result import Estimate
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import visible_rows


def variational_bound(
    model: BoltzmannMachine, x: Any, log_z: Estimate | float | None = None, seed: int = 0
) -> Estimate:
    """Mean over visible rows x (rows, units) of E_q log p*(v, h) + entropy of q, less log Z, in nats.

    q is the factorised posterior at the mean-field fixed point, also where hidden units could be enumerated. log_z as
    in boltz.log_likelihood; the kind is lower, less that of log Z. Raises InputError.
    """
    model = checked_model(model)
    x = visible_rows(model, x)
    partition = undirected_log_z(model, log_z, seed)
    return of_rows(model, x, certain(variational(model, x)), 0, ("lower", "variational bound"), partition)
