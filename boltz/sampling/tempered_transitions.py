"""Tempered transitions: a proposal that climbs to the base-rate model and comes down again (Neal 1996)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.errors import NumericalError
from boltz.rng import Key
from boltz.sampling.annealing import Chains, Path, anneal
from boltz.sampling.inputs import uniforms

Floats = NDArray[np.float64]


def tempered_transition(path: Path, state: Chains, betas: Floats, key: Key) -> NDArray[Any]:
    """Propose new states for all chains, in place; returns which were accepted, (chains,).

    Up from the machine each change of temperature is weighed, then the chain moves at the hotter one, with reversed
    transitions; down again from a second move at the hottest one likewise, but no move follows the last weight, since
    the state that is judged must be the one that the weight was taken at (Neal 1996, section 2). Accepted with
    probability min(1, product of the weights), which leaves the machine's law invariant. betas rise to 1. Raises
    NumericalError for an overflow.
    """
    proposed = {n: x.copy() for n, x in state.items()}
    up = anneal(path.reversed(), proposed, betas[::-1], key.derive("up"))
    down = anneal(path, proposed, np.concatenate([betas[:1], betas[:-1]]), key.derive("down"))
    with np.errstate(over="ignore", invalid="ignore"):
        last = host(path.log_density(proposed, 1.0, 0) - path.log_density(proposed, float(betas[-2]), 0))
    total = up.log_weights + down.log_weights + last
    if not np.isfinite(total).all():
        raise NumericalError("The weights of tempered transitions are not finite: the parameters are too large.")
    accepted = np.log(_uniform(key, len(total))) < total
    for layer, x in state.items():
        np.copyto(x, proposed[layer], where=beside(accepted, x)[:, None])
    return accepted


def _uniform(key: Key, chains: int) -> Floats:
    """One number in (0, 1) a chain."""
    return uniforms(key.derive("accept").stream(0), 0, chains)
