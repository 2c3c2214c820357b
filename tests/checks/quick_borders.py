"""Quick checks of the border: what is only taken for an argument is refused in a short sentence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import boltz
from boltz import checks
from boltz.errors import InputError

MODEL = boltz.rbm(4, 3)
ROWS = np.eye(4, dtype=np.float32)


def refused(call: Any, argument: str) -> None:
    """The call is refused by a sentence of at most 300 characters that begins with the name of the argument."""
    try:
        call()
    except InputError as problem:
        assert str(problem).startswith(f"{argument} ") and len(str(problem)) <= 300, str(problem)
    else:
        raise AssertionError(f"{argument} is taken as it is")


def check_flags() -> None:
    """Text is no truth value: exact_start="no" would certify a bound, force="no" replace a run."""
    start = {"v": np.zeros((4, 4), np.float32), "h1": np.zeros((4, 3), np.float32)}
    refused(lambda: boltz.reverse_ais(MODEL, start, betas=3, exact_start="no"), "exact_start")  # type: ignore[arg-type]
    refused(lambda: boltz.train(MODEL, ROWS, force="no", epochs=0), "force")  # type: ignore[arg-type]
    refused(lambda: checks.flag(1, "flag"), "flag")


def check_callbacks() -> None:
    """What cannot be called with these arguments is refused before the work and not in its middle."""
    refused(lambda: boltz.train(MODEL, ROWS, watch="no", epochs=0), "watch")  # type: ignore[arg-type]
    refused(lambda: boltz.train(MODEL, ROWS, watch=lambda: None, epochs=0), "watch")  # type: ignore
    refused(lambda: boltz.ais(MODEL, 2, 3, progress=lambda done: None), "progress")  # type: ignore
    checks.callback(lambda done, steps: None, "progress", 2)


def check_limits() -> None:
    """Work without end, and more than memory holds."""
    refused(lambda: boltz.sample(MODEL, 1, sweeps=10**30), "sweeps")
    refused(lambda: checks.affordable(1000, "chains", checks.memory() // 999), "chains")
    checks.affordable(1000, "chains", checks.memory() // 1001)


def check_errors_of_estimates() -> None:
    """A standard error that is no number is no error."""
    found = (-1.0, 1.0), "lower", 10.0, 10, 10
    for error in (float("nan"), -1.0):
        refused(lambda error=error: boltz.Estimate(0.0, error, *found), "standard_error")  # type: ignore[misc]
    refused(lambda: boltz.Estimate(0.0, float("inf"), *found), "standard_error")
    boltz.Estimate(0.0, float("inf"), *found, doubts=("one chain",))


def check_said_briefly() -> None:
    """Arrays, long lists and hostile objects are said in a few words."""

    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    for value in (np.zeros((500, 500)), [1.0] * 10**4, Hostile(), [Hostile()] * 9, "x" * 10**4, 10**5000, "\x1b[31m"):
        text = checks.brief(value)
        assert 0 < len(text) <= 60 and text.isprintable(), text


def check_chains_that_go_on() -> None:
    """The same seed again is warned of, another one is not."""
    state = boltz.sample(MODEL, 2, sweeps=1, seed=3)
    for seed in (3, 4):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            boltz.sample(MODEL, 2, sweeps=1, seed=seed, start=state)
        assert [each.category for each in caught] == [UserWarning] * (seed == 3), f"seed {seed}: {caught}"
