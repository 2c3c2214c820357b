"""What the parameters that estimators share must be; looked at where rows come in, as is the custom of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from boltz import checks
from boltz.data.binarize import HOW
from boltz.errors import InputError
from boltz.nn.conditionals import CONDITIONALS
from boltz.units import kind_of, units_of

MISSING = ("error", "infer")


def visible_kind(estimator: Any) -> str:
    """The kind of the visible units that an estimator asks for; raises InputError."""
    if hasattr(estimator, "units"):
        return kind_of(estimator.units, "units")
    found: str = getattr(estimator, "visible", "bernoulli")
    return found


def check_parameters(estimator: Any) -> None:
    """Raise InputError unless the parameters that estimators share are what they must be, those of training apart."""
    checks.choice(estimator.missing, "missing", MISSING)
    for name, options in (("binarize", HOW), ("visible", CONDITIONALS)):
        if hasattr(estimator, name):
            checks.choice(getattr(estimator, name), name, options)
    if hasattr(estimator, "units"):
        _check_units(estimator)
    jobs, verbose = estimator.n_jobs, estimator.verbose
    if jobs is not None and not (type(jobs) is int and jobs == -1):
        checks.integer(jobs, "n_jobs for threads", 1, 4096)
    if not isinstance(verbose, bool | np.bool_):
        checks.integer(verbose, "verbose")
    warm = getattr(estimator, "warm_start", False)
    if not isinstance(warm, np.bool_):
        checks.flag(warm, "warm_start")


def _check_units(estimator: Any) -> None:
    kind = visible_kind(estimator)
    kind_of(estimator.hidden_units, "hidden_units")
    if kind != "gaussian" and units_of(kind).support is None:
        raise InputError(
            f"units must be bernoulli, spin, gaussian, or a categorical or binomial kind, got {checks.brief(kind)}."
        )
    if kind != "bernoulli" and estimator.binarize != "none":
        raise InputError(
            f"binarize must be none where units are {kind}, got {checks.brief(estimator.binarize)}: it makes 0 and 1."
        )


def generator(random_state: Any) -> np.random.RandomState:
    """The generator that a parameter random_state means; raises InputError."""
    try:
        found: np.random.RandomState = check_random_state(random_state)
    except Exception as problem:  # whatever scikit-learn makes of the value
        raise InputError(
            "random_state must be None, a whole number from 0 to 2^32 - 1, or a RandomState, "
            f"got {checks.brief(random_state)}."
        ) from problem
    return found


def drawn_seed(random_state: Any) -> int:
    """A seed below 2^63: the same again for an integer, else the next of a generator."""
    return int(generator(random_state).randint(0, 2**63 - 1, dtype=np.int64))
