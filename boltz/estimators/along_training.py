"""The log-likelihood of data at every snapshot of a training run, by replica exchange along its machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.likelihood import log_likelihood, variational_bound
from boltz.estimators.replica_exchange import LadderEstimate, exchange_log_z
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import outside, visible_rows
from boltz.sampling.annealing import Progress

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LikelihoodAlong:
    """Mean log-likelihoods in nats a row along a training run, none of them a bound.

    values, errors (snapshots + 1,): of every snapshot in order and last of the trained machine, and their standard
    errors of estimation, which are those of log Z; ladder: what replica exchange says, whose estimate says whether it
    is trusted; per_row (snapshots + 1, rows): the values of single rows.
    """

    values: Floats
    errors: Floats
    ladder: LadderEstimate
    per_row: Floats


def likelihood_along(
    model: BoltzmannMachine,
    trajectory: Sequence[BoltzmannMachine],
    x: Any,
    rounds: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> LikelihoodAlong:
    """Mean log-likelihood of visible rows x (rows, units) in nats at each snapshot of a run and under its model.

    It is -F(v) less log Z for an RBM, and the variational bound of mean field less log Z for deeper machines, as in
    estimators.variational, also where hidden units could be enumerated. log Z of all comes from one run of replica
    exchange (boltz.exchange_log_z) along the trajectory, which must hold a snapshot at least. progress hears of the
    rounds, and then of the machines whose rows are done. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_model(model, any_units=True)
    checks.callback(progress, "progress", 2)
    members = checks.sequence(trajectory, "trajectory")
    if len(members) == 0:
        raise InputError("trajectory must hold at least one snapshot, got none.")
    x = outside(model, visible_rows(model, x))  # without levels or codes, which snapshots may not know
    ladder = exchange_log_z(model, members, rounds=rounds, seed=seed, progress=progress)
    machines = [*(member.to(model.device) for member in members), model]
    rungs = np.searchsorted(ladder.places, np.arange(1, len(machines) + 1))  # independent units are at place 0
    found = []
    for i, machine in enumerate(machines):
        found.append((log_likelihood if machine.independent_hidden else variational_bound)(machine, x, 0.0).per_row)
        if progress is not None:
            progress(i + 1, len(machines))
    log_p = np.array(found)
    values = log_p.mean(axis=1) - ladder.log_z[rungs]
    return LikelihoodAlong(values, ladder.errors[rungs], ladder, log_p - ladder.log_z[rungs, None])
