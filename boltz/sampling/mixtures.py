"""A proposal for the hidden layers that are drawn, those next to v in a layered machine, that sees several modes of a
row's posterior: a mixture of mean fields.

Mean field from one start ends in one mode (Salakhutdinov & Hinton 2009, section 2.2); importance weights then never
show the others. Fixed points from several starts are mixed by their bounds (Jaakkola & Jordan 1998), and two wide parts
keep weights of what lies between them bounded (the defensive mixture of Hesterberg 1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import MeanField, free_energy_at, solve
from boltz.units.states import far_states, inside

Array = NDArray[Any]
Floats = NDArray[np.float64]
RANDOM_STARTS = 2
SAME, LEAST_MEAN = 1e-2, 1e-7  # means of one fixed point, from two starts; how far q stays off 0 and 1
FLAT, HALVED, EVEN = 0.05, 0.05, 0.1  # shares of coins, of halved fields, and of all fixed points evenly
QUICK = MeanField(tolerance=0.0, sweeps=20)  # of the other starts; what a row gets does not depend on other rows


@dataclass(frozen=True, eq=False)
class Mixture:
    """q(h | v) of a block of rows: sum over modes of share times independent units, over the drawn layers.

    log_share (rows, modes); fields: layer -> (rows, modes, units) in float64; log_norm (rows, modes): log-partitions.
    """

    machine: BoltzmannMachine
    log_share: Floats
    fields: dict[str, Floats]
    log_norm: Floats

    def repeated(self, times: int) -> Mixture:
        """The same with each row so many times, one after the other."""
        shares, norms = (np.repeat(values, times, axis=0) for values in (self.log_share, self.log_norm))
        return Mixture(self.machine, shares, {n: np.repeat(f, times, axis=0) for n, f in self.fields.items()}, norms)

    def draw(self, key: Key, step: int, first: int, state: dict[str, Array]) -> None:
        """Draw states (rows, units), in place; the rows are chains first, first + 1, ..."""
        rows, row = len(self.log_share), numbers(0, len(self.log_share), self.log_share)
        bits = np.empty_like(self.log_share, shape=(rows, 1), dtype=np.uint32)
        kernels.philox(key.derive("mode").stream(step), first, bits)
        below = np.cumsum(np.exp(self.log_share), axis=1)
        chosen = (below[:, :-1] <= (bits + 0.5) / 2**32).sum(axis=1)
        for layer, fields in self.fields.items():
            mean = self.machine.unit_type(layer).mean(fields[row, chosen]).astype(self.machine.dtype)
            self.machine.unit_type(layer).draw(mean, key.derive(layer).stream(step), first, state[layer])

    def log_density(self, state: dict[str, Array]) -> Floats:
        """log q(h | v) (rows,) of states (rows, units)."""
        each = self.log_share - self.log_norm
        for layer, fields in self.fields.items():
            x = state[layer].astype(np.float64)
            each = each + np.matmul(fields, x[:, :, None])[:, :, 0]
            each -= self.machine.unit_type(layer).base_energy(x)[:, None]
        top = each.max(axis=1)
        return top + np.log(np.exp(each - top[:, None]).sum(axis=1))


def mixture_of(machine: BoltzmannMachine, rows: Array, first: int, key: Key) -> Mixture:
    """The mixture for visible rows (rows, units), the first of them being number first."""
    held = machine.graph.hidden_sides[0]
    found, bounds = _fixed_points(machine, rows, first, key)
    shares = np.exp(bounds - bounds.max(axis=1, keepdims=True))
    kept = shares > 0
    shares /= shares.sum(axis=1, keepdims=True)
    shares = (1 - EVEN) * shares + EVEN * kept / kept.sum(axis=1, keepdims=True)
    wide = [np.full_like(shares[:, :1], share) for share in (HALVED, FLAT)]
    with np.errstate(divide="ignore"):
        log_share = np.log(np.concatenate([(1 - HALVED - FLAT) * shares, *wide], axis=1))
    fields, log_norm = {}, np.zeros_like(log_share)
    for layer in held:
        kind = machine.unit_type(layer)
        natural = [kind.natural(inside(kind, means[layer].astype(np.float64), LEAST_MEAN)) for means in found]
        fields[layer] = np.stack([*natural, natural[0] / 2, np.zeros_like(natural[0])], axis=1)
        log_norm += kind.total_log_partition(fields[layer])
    return Mixture(machine, log_share, fields, log_norm)


def stacked(parts: Sequence[Mixture]) -> Mixture:
    """The mixtures of several blocks of rows of one machine as one."""
    fields = {n: np.concatenate([part.fields[n] for part in parts]) for n in parts[0].fields}
    shares, norms = (np.concatenate([getattr(part, name) for part in parts]) for name in ("log_share", "log_norm"))
    return Mixture(parts[0].machine, shares, fields, norms)


def _fixed_points(
    machine: BoltzmannMachine, rows: Array, first: int, key: Key
) -> tuple[list[dict[str, Array]], Floats]:
    """Means of the hidden layers at fixed points from several starts, and their bounds (rows, starts) in nats.

    The first start is the usual one; a fixed point that an earlier start has found has the bound -inf.
    """
    evidence, scratch = machine.evidence(rows), Scratch(machine.arena)
    found: list[dict[str, Array]] = []
    bounds = []
    for start in (None, *_starts(machine, len(rows), first, key)):
        means = solve(machine, evidence, MeanField() if start is None else QUICK, scratch, start=start)
        means = {layer: x.copy() for layer, x in means.items()}
        bound = -free_energy_at(machine, rows, means)
        for other in found:
            apart = sum((np.abs(means[n] - other[n]).max(axis=1) >= SAME for n in means), start=np.zeros_like(bound))
            bound = np.where(apart == 0, -np.inf, bound)
        found.append(means)
        bounds.append(bound)
    return found, np.stack(bounds, axis=1)


def _starts(machine: BoltzmannMachine, rows: int, first: int, key: Key) -> list[dict[str, Array]]:
    """States of the layers that are summed out, or of a graph that is not layered of all hidden ones: all off, all on,
    and fair coins.
    """
    upper = machine.graph.hidden_sides[1] if machine.graph.layered else machine.graph.hidden
    starts = [{n: far_states(machine.unit_type(n), machine.zeros(rows, n))[i] for n in upper} for i in (0, 1)]
    for number in range(RANDOM_STARTS):
        coins = {layer: machine.zeros(rows, layer) for layer in upper}
        for layer, state in coins.items():
            kind = machine.unit_type(layer)
            half = kind.mean(np.zeros_like(state))
            kind.draw(half, key.derive("start", layer).stream(number), first, state)
        starts.append(coins)
    return starts
