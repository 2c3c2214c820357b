"""The gradient that training would follow on a batch, by parameter name: exact for small machines, else by a rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError, NumericalError
from boltz.estimators.moments import exact_gradient
from boltz.models.boltzmann import checked_model
from boltz.models.files import Model, checked_machine, visible_rows
from boltz.parallel import workers
from boltz.rng import Key
from boltz.training.objectives import OBJECTIVES
from boltz.training.rules import Clock
from boltz.training.settings import RULES
from boltz.training.stages import settings_of, stages

Array = NDArray[Any]
EXACT = "exact"


def gradient(model: Model, x: Any, rule: str = EXACT, k: int = 1, chains: int = 100, seed: int = 0) -> dict[str, Array]:
    """The gradient of the mean log-likelihood of visible rows x (rows, units) by parameter name, in nats.

    The names and shapes are those of model.params. rule="exact" enumerates a BoltzmannMachine, in float64: at most 20
    units in the smaller colour class and, unless it is an RBM, 14 in the hidden layers next to the visible one. The
    rules "cd", "pcd", "ptt" and "ucd" estimate it as the first step of their training does on this one batch: k
    sweeps, and for "pcd" and "ptt" so many chains, which start at the rows. "multi-prediction" gives that of the
    log-probability of the units that it predicts, in place of the rows'. A HelmholtzMachine takes the objective of
    its training as rule ("vae", "iwae", "vimco", ...) with k samples a row: the result estimates the gradient of that
    bound, or what the objective follows in its place. A deep belief net has no such objective. What a rule does not use
    means nothing to it. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_machine(model, any_units=True)
    rules = (EXACT, *RULES) if model.directed is None else tuple(OBJECTIVES)
    rule = checks.choice(rule, "rule", rules)
    k, chains = checks.integer(k, "k", 1, 10**6), checks.integer(chains, "chains", 1, 10**6)
    key = Key.from_seed(checks.seed(seed)).derive("gradient")
    rows = visible_rows(model, x)
    if rule == EXACT:
        found = exact_gradient(checked_model(model, any_units=True), rows)
    else:
        found = _estimated(model, rows, _settings(model, rule, k, chains), key)
    if not all(np.isfinite(value).all() for value in found.values()):
        raise NumericalError("The gradient is not finite: the weights are too large for their type.")
    return found


def _settings(model: Model, rule: str, k: int, chains: int) -> dict[str, Any]:
    """The settings of training that a rule stands for; raises InputError."""
    if model.directed is None:
        return {"rule": rule, "k": k, "chains": chains}
    if model.undirected is not None:
        raise InputError("model must not be a deep belief net, which no rule gives the gradient of a bound for.")
    if k < OBJECTIVES[rule].least:
        raise InputError(f"k must be at least {OBJECTIVES[rule].least} samples a row for rule {rule!r}, got {k}.")
    return {"objective": rule, "samples": k}


def _estimated(model: Model, rows: Array, settings: dict[str, Any], key: Key) -> dict[str, Array]:
    """The gradient of the first step of training on one batch of all rows."""
    plan = model.plan
    rule = stages(plan, settings_of(plan, settings))[-1].rule
    with workers(model.arena) as pool:
        state = rule.init(model, rows[: rule.start_rows], key, len(rows))
        found = rule.gradient(rule.workspace(model), rows, state, Clock(key, 0), pool)
        return {name: host(value).copy() for name, value in found.items()}
