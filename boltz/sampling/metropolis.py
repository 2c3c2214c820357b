"""Metropolis within Gibbs for a Helmholtz machine of which only some visible units are known (Mattei & Frellsen 2018).

The target is p(u, h | k): unknown visible units u and hidden layers h given the known units k; x = (u, k) is a whole
visible row. Two moves take turns, each of which leaves the target as it is:

1. x stays. The recognition model proposes h' ~ q(. | x), whatever h is; an independent proposal of density q is
   accepted with probability min(1, w(x, h') / w(x, h)), where w(x, h) = p(x, h) / q(h | x) (Hastings 1970). An
   unnormalised p, that of an RBM prior, will do.
2. h stays. u is drawn from p(u | h), which is factorial: a Gibbs move.

Since the second move changes x, and q listens to x, both factors of w(x, h) that hold x, p(x | h1) and q(h1 | x), are
computed anew for the old h before each proposal: a weight kept from the time when h was accepted would be that of
another x. Few proposals are accepted in large machines, and fewer still far from the target: chains begin with some
sweeps that accept all (Rezende, Mohamed & Wierstra 2014), whose law is near the target but not the target. Real visible
units do so once only, since without a test they may run away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.rng import Key
from boltz.sampling.evidence import Evidence
from boltz.sampling.recognition import draw, encode, streams

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class MetropolisChains:
    """Chains with these numbers (chains,) from first on, one a row of evidence; now and proposed hold their states."""

    machine: HelmholtzMachine
    evidence: Evidence
    key: Key
    first: int
    numbers: NDArray[np.int64]
    now: Part
    proposed: Part

    @property
    def visible(self) -> Array:
        """States (chains, units) of the visible units, the known ones as they are."""
        return self.now.get(f"state/{self.machine.visible}", self.machine.layers[0].units)

    def sweep(self, step: Any) -> Array:
        """Both moves, in place; returns the means (chains, units) that the visible units were drawn from."""
        encoded, _ = encode(self.machine, self.now)
        before = draw(self.machine, self.now, encoded, 1, {}, self.numbers).log_weights()
        self.proposed.get(f"state/{self.machine.visible}", self.visible.shape[1])[...] = self.visible
        drawn = streams(self.machine, self.key, step)
        after = draw(self.machine, self.proposed, encoded, 1, drawn, self.numbers).log_weights()
        bits = np.empty_like(before, dtype=np.uint32)
        kernels.philox(self.key.derive("accept").stream(step), self.first, bits)
        accepted = np.log((bits + 0.5) / 2.0**32) < after - before
        for layer in self.machine.structure.latent:
            state, new = (part.get(f"state/{layer.name}", layer.units) for part in (self.now, self.proposed))
            np.copyto(state, new, where=accepted)
        return self._descend(self.key, step)

    def wander(self, steps: int) -> None:
        """So many sweeps that accept every proposal, from unknown units drawn by the bias of p(v | h1) alone."""
        key = self.key.derive("wander")
        net = self.machine.structure.generative[self.machine.visible]
        self._draw_visible(np.zeros_like(self.visible, shape=(len(self.visible), net.sizes[-1])), key, 0)
        for step in range(1, steps + 1):
            encoded, _ = encode(self.machine, self.now)
            draw(self.machine, self.now, encoded, 1, streams(self.machine, key, step), self.numbers)
            self._descend(key, step)

    def _descend(self, key: Key, step: Any) -> Array:
        """Draw the unknown units given the layer above; returns the means of all visible units."""
        name, above = f"generative/{self.machine.visible}", self.machine.structure.latent[0].name
        net = self.machine.structure.generative[self.machine.visible]
        field, _ = net.forward(name, self.machine.params, f"state/{above}", self.now)
        return self._draw_visible(field, key, step)

    def _draw_visible(self, field: Array, key: Key, step: Any) -> Array:
        visible, state = self.machine.visible, self.visible
        net, conditional = self.machine.structure.generative[visible], self.machine.conditionals[visible]
        head = field, net.bias(f"generative/{visible}", self.machine.params)
        stream = key.derive("visible").stream(step)
        conditional.sample(head, stream, self.numbers, state, np.empty_like(state))
        self.evidence.restore(state)
        return conditional.mean(*head)


def metropolis_chains(
    machine: HelmholtzMachine, evidence: Evidence, key: Key, first: int, sweeps: int
) -> MetropolisChains:
    """Chains, the first being number first, after so many sweeps that accept every proposal; one for real units."""
    now, proposed = (Tape(machine.arena).whole(len(evidence)) for _ in range(2))
    chain = numbers(first, first + len(evidence), machine.arena)
    chains = MetropolisChains(machine, evidence, key, first, chain, now, proposed)
    chains.wander(max(sweeps, 1) if machine.layers[0].binary else 1)
    return chains
