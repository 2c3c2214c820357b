"""What the parameters that estimators share must be; looked at where rows come in, as is the custom of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from boltz import checks
from boltz.data.binarize import HOW
from boltz.errors import InputError
from boltz.nn.conditionals import CONDITIONALS

MISSING = ("error", "infer")


def check_parameters(estimator: Any) -> None:
    """Raise InputError unless missing, binarize, visible, n_jobs, verbose and warm_start are what they must be."""
    checks.choice(estimator.missing, "missing", MISSING)
    for name, options in (("binarize", HOW), ("visible", CONDITIONALS)):
        if hasattr(estimator, name):
            checks.choice(getattr(estimator, name), name, options)
    jobs, verbose = estimator.n_jobs, estimator.verbose
    if jobs is not None and not (type(jobs) is int and jobs == -1):
        checks.integer(jobs, "n_jobs for threads", 1, 4096)
    if not isinstance(verbose, bool | np.bool_):
        checks.integer(verbose, "verbose")
    warm = getattr(estimator, "warm_start", False)
    if not isinstance(warm, np.bool_):
        checks.flag(warm, "warm_start")


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
