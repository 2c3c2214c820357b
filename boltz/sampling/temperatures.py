"""Schedules of inverse temperatures: uniform, that of 2008, the caller's own, and one fitted to the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal

Floats = NDArray[np.float64]
SM2008 = ((0.0, 0.5, 500), (0.5, 0.9, 4000), (0.9, 1.0, 10000))
ADAPTIVE, DEFAULT_STEPS = "adaptive", 14_500
PILOT_CHAINS, PILOT_SHARE, LEAST_PILOT = 64, 0.05, 200


def adaptive_steps(betas: Any) -> int | None:
    """How many steps "adaptive" (14,500) or "adaptive:N" asks for; None for another schedule. Raises InputError."""
    name, colon, number = betas.partition(":") if isinstance(betas, str) else ("", "", "")
    if name != ADAPTIVE:
        return None
    if not colon:
        return DEFAULT_STEPS
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise InputError(
            f"betas must be adaptive or adaptive:N with a number of temperatures N, got {checks.brief(betas)}."
        )
    return checks.integer(int(number), "the number of adaptive temperatures", 1)


def schedule(betas: int | str | Any) -> Floats:
    """Inverse temperatures from 0 to 1: a number of uniform steps, "sm2008", or the values themselves.

    sm2008: 500 steps to 0.5, 4,000 to 0.9, 10,000 to 1 (Salakhutdinov & Murray 2008, section 6.1).
    """
    if isinstance(betas, str):
        checks.choice(betas, "betas", ("sm2008",))
        return np.concatenate([np.linspace(a, b, n, endpoint=False) for a, b, n in SM2008] + [np.ones(1)])
    if not isinstance(betas, Sequence | np.ndarray):
        return np.linspace(0, 1, checks.integer(betas, "betas", 1, 10**8) + 1)
    values = checks.array(betas, "betas", (None,), np.float64)
    if len(values) < 2 or values[0] != 0 or values[-1] != 1 or not (np.diff(values) > 0).all():
        raise InputError("betas must rise strictly from 0 to 1.")
    return values


def check_betas(betas: Any) -> None:
    """Raise InputError unless betas are a schedule, or "adaptive[:N]"."""
    if adaptive_steps(betas) is None:
        schedule(betas)


def adaptive(path: GibbsPath, steps: int, key: Key) -> Floats:
    """So many steps, dense where the machine makes them costly: the thermodynamic length between them is constant.

    A pilot of 64 chains and a twentieth of the steps walks the path. Near equilibrium the variance of log-weights grows
    by 2 friction(beta) speed^2 dt, which is least in all if speed is proportional to friction^(-1/2) (Sivak & Crooks
    2012, eq. 8); friction is read off the pilot's growing variance. Chains that forget at once would make the friction
    half the variance of d log f / d beta, and the rule that of constant conditional effective sample size (Zhou,
    Johansen & Aston 2016).
    """
    pilot = schedule(max(LEAST_PILOT, round(PILOT_SHARE * steps)))
    found = anneal(path, path.density.sample_start(key.derive("start"), PILOT_CHAINS), pilot, key.derive("pilot"))
    return fitted(found.betas, np.diff(found.trace, axis=0), steps)


def fitted(edges: Floats, gains: Floats, steps: int) -> Floats:
    """A schedule of so many steps from a pilot's gains in log-weight (stretches, chains) between edges of beta."""
    total = np.cumsum(gains, axis=0)
    grown = np.diff(total.var(axis=1, ddof=1), prepend=0.0)
    own = gains.var(axis=1, ddof=1)  # the growth less what earlier stretches share with this one
    cost = np.sqrt(np.maximum(grown, own) / np.diff(edges))
    cost = np.convolve(np.pad(cost, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    cost = np.maximum(cost, 0.05 * cost.mean() or 1.0) * np.diff(edges)  # no friction anywhere: uniform steps
    length = np.concatenate([[0.0], np.cumsum(cost)])
    values = np.interp(np.linspace(0, length[-1], steps + 1), length, edges)
    values[0], values[-1] = 0.0, 1.0
    return values
