"""Jumps of chains to where the data are, by the Metropolis rule.

The posterior of the hidden units, averaged over data rows, is close to their law under a machine that fits the data. So
it serves as a proposal that does not depend on where a chain is (an independence sampler, Tierney 1994), and the
average over a batch is a mixture whose density is known. A jump goes from mode to mode; where rows share no hidden
states, as in large machines, few are accepted, and none does harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside, host
from boltz.numerics import logsumexp
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladders import At, Chains, Ladder

Array = NDArray[Any]
Floats = NDArray[np.float64]
Means = dict[str, Array]
SURE = 1e-4  # the least probability of a state of a unit, without which no chain could be proposed its own state


def jump(ladder: Ladder, rung: int, state: Chains, means: Mapping[str, Array], at: At, scratch: Scratch) -> None:
    """Propose states of the held class (chains, units) drawn from one of some rows' posterior means; in place.

    means: held layer -> (rows, units). Leaves the law of the rung as it is, whatever the means are.
    """
    sure = {n: np.clip(means[n], SURE, 1 - SURE) for n in ladder.held}
    chosen, uniform = _choices(at, *(len(x[ladder.held[0]]) for x in (state, sure)))
    proposed = {n: np.empty_like(x) for n, x in state.items()}
    for n, mean in sure.items():
        stream = at.key.derive("propose", n).stream(at.step)
        ladder.machine.unit_type(n).draw(mean[beside(chosen, mean)], stream, 0, proposed[n])
    here, there = (_log_ratio(ladder, rung, x, sure, at, scratch) for x in (state, proposed))
    accepted = np.log(uniform) < host(there - here)
    for n, x in state.items():
        np.copyto(x, proposed[n], where=beside(accepted, x)[:, None])


def _choices(at: At, chains: int, rows: int) -> tuple[NDArray[np.int64], Floats]:
    """A row and a number in (0, 1) for each chain."""
    bits = np.empty((chains, 2), np.uint32)
    kernels.philox(at.key.derive("choose").stream(at.step), 0, bits)
    return bits[:, 0].astype(np.int64) * rows >> 32, (bits[:, 1].astype(np.float64) + 0.5) / 2.0**32


def _log_ratio(ladder: Ladder, rung: int, state: Chains, means: Means, at: At, scratch: Scratch) -> Floats:
    """Log-density of a rung less that of the proposal, (chains,), both up to a constant."""
    ((density, _),) = ladder.look(state, (rung,), at, scratch)
    return density - _mixture(state, means)


def _mixture(state: Chains, means: Means) -> Floats:
    """log of the sum over rows of the probability of the states under their means, (chains,)."""
    total: Any = 0.0
    for n, mean in means.items():
        on, off = np.log(mean.astype(np.float64)), np.log1p(-mean.astype(np.float64))
        total = total + state[n].astype(np.float64) @ (on - off).T + off.sum(axis=1)
    found: Floats = logsumexp(total, axis=1)
    return found
