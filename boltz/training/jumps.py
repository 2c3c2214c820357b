"""Jumps of chains to where the data are, by the Metropolis rule.

The posterior of the hidden units, averaged over data rows, is close to their law under a machine that fits the data. So
it serves as a proposal that does not depend on where a chain is (an independence sampler, Tierney 1994), and the
average over a batch is a mixture whose density is known. A jump goes from mode to mode; where rows share no hidden
states, as in large machines, few are accepted, and none does harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside, host
from boltz.numerics import logsumexp
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladders import At, Chains, Machines
from boltz.units.states import inside

Means = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
SURE = 1e-4  # the least probability of a state of a unit, without which no chain could be proposed its own state


@dataclass(frozen=True, eq=False)
class Snapshots(Machines):
    """Machines along a training run; the held class is the one that a sweep draws last, which has no visible units."""

    @cached_property
    def classes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        even, odd = self.machine.graph.colours
        return odd, even


@dataclass(frozen=True, eq=False)
class Proposals:
    """The held class drawn from the posterior means of some rows, layer -> (rows, units): a mixture over the rows."""

    ladder: Snapshots
    rung: int
    means: Means

    @classmethod
    def of(cls, ladder: Snapshots, rung: int, means: Means) -> Proposals:
        """Those of these means, with no state of a unit quite impossible."""
        return cls(ladder, rung, {n: inside(ladder.machine.unit_type(n), means[n], SURE) for n in ladder.held})

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.means[self.ladder.held[0]])

    def draw(self, chosen: NDArray[np.int64], at: At) -> Chains:
        """States given the means of the chosen rows (chains,)."""
        drawn = {}
        for n, mean in self.means.items():
            drawn[n] = mean[beside(chosen, mean)]
            stream = at.key.derive("propose", n).stream(at.step)
            self.ladder.machine.unit_type(n).draw(drawn[n].copy(), stream, 0, drawn[n])
        return drawn

    def weigh(self, state: Chains, at: At, scratch: Scratch) -> tuple[Floats, Chains]:
        """Log-density of the rung less that of the mixture (chains,), but for a constant; draws of the other class."""
        ((density, drawn),) = self.ladder.look(state, (self.rung,), at, scratch)
        total: Any = 0.0
        for n, mean in self.means.items():
            kind = self.ladder.machine.unit_type(n)
            field = kind.natural(mean.astype(np.float64))
            total = total + state[n].astype(np.float64) @ field.T - kind.total_log_partition(field)
            total = total - kind.base_energy(state[n].astype(np.float64))[:, None]
        return host(density - logsumexp(total, axis=1)), drawn


def choices(at: At, chains: int, rows: int, tries: int = 1) -> tuple[NDArray[np.int64], Floats]:
    """Rows, and numbers in (0, 1), each (chains, tries)."""
    bits = np.empty((chains, 2 * tries), np.uint32)
    kernels.philox(at.key.derive("choose").stream(at.step), 0, bits)
    return bits[:, ::2].astype(np.int64) * rows >> 32, (bits[:, 1::2].astype(np.float64) + 0.5) / 2.0**32


def jump(proposals: Proposals, state: Chains, at: At, scratch: Scratch) -> None:
    """Propose a jump to each chain (chains, units), in place; leaves the law of the rung as it is."""
    chosen, uniform = choices(at, len(state[proposals.ladder.held[0]]), proposals.rows)
    proposed = proposals.draw(chosen[:, 0], at)
    (here, _), (there, _) = (proposals.weigh(x, at, scratch) for x in (state, proposed))
    accepted = np.log(uniform[:, 0]) < there - here
    for n, x in state.items():
        np.copyto(x, proposed[n], where=beside(accepted, x)[:, None])
