"""What is recorded after each epoch, on a few fixed rows; none of it steers the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from boltz.arrays import beside, host, numbers
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladders import At
from boltz.sampling.meanfield import MeanField, solve, variational_free_energy
from boltz.targets import MachinePath
from boltz.training.jumps import Proposals, Snapshots, choices
from boltz.units.states import as_long_as, has_two, own_lengths, two_states

Array = NDArray[Any]
Floats = NDArray[np.float64]
DIRECTIONS = 3
LEAST_GAP, FALSE_ALARM = 0.3, 1e-6
LASTING = 3  # epochs
TRIES = 30


@dataclass(frozen=True, eq=False)
class Monitor:
    """Fixed rows (rows, units) of training and held-out data, the latter possibly empty."""

    train: Array
    held_out: Array
    key: Key

    def measure(
        self, machine: BoltzmannMachine, options: MeanField, scales: Mapping[str, float]
    ) -> dict[str, float | None]:
        """Pseudo-likelihoods (nats a row), reconstruction error (squared, a row), free-energy gap train to held-out.

        For a DBM the free energy is the variational one. With doubled inputs (scales) no one energy belongs to the
        conditionals, so only the reconstruction error is measured.
        """
        if scales:
            means = solve(machine, machine.evidence(self.train), options, Scratch(machine.arena), scales)
            error = _reconstruction_error(machine, self.train, means, scales)
            nothing = dict.fromkeys(("pseudo_likelihood", "held_out_pseudo_likelihood", "free_energy_gap"))
            return {**nothing, "reconstruction_error": error}
        free, means = variational_free_energy(machine, self.train, options)
        gap = unseen = None
        if len(self.held_out):
            others, _ = variational_free_energy(machine, self.held_out, options)
            if not own_lengths(machine.unit_type(machine.visible)):  # free energies grow with the length of documents
                gap = float(others.mean() - free.mean())
            unseen = self._pseudo_likelihood(machine, options, self.held_out, others)
        return {
            "pseudo_likelihood": self._pseudo_likelihood(machine, options, self.train, free),
            "held_out_pseudo_likelihood": unseen,
            "reconstruction_error": _reconstruction_error(machine, self.train, means, {}),
            "free_energy_gap": gap,
        }

    def _pseudo_likelihood(self, machine: BoltzmannMachine, options: MeanField, x: Array, free: Array) -> float | None:
        """units x the mean of log p(v_i | rest) for one random unit i of each of rows x (Besag 1975).

        None where units have more than two states.
        """
        kind, (rows, units) = machine.unit_type(machine.visible), x.shape
        if not has_two(kind) or len(machine.graph.views) > 1:
            return None
        chosen = self.key.generator().integers(0, units, rows)
        flipped, places = x.copy(), (numbers(0, rows, x), beside(chosen, x))
        flipped[places] = sum(two_states(kind)) - flipped[places]
        other, _ = variational_free_energy(machine, flipped, options)
        return float(units * log_expit(host(other - free)).mean())


def _reconstruction_error(
    machine: BoltzmannMachine, rows: Array, means: dict[str, Array], scales: Mapping[str, float]
) -> float:
    total, around = 0.0, {**machine.evidence(rows), **means}
    for visible, x in machine.evidence(rows).items():
        heard = around if visible in machine.graph.within else means
        field = scales.get(visible, 1.0) * machine.input(visible, heard or {visible: x}) + machine.bias(visible)
        back = as_long_as(machine.unit_type(visible), x).mean(field)
        total += float(np.mean(np.sum((x - back) ** 2, axis=1, dtype=np.float64)))
    return total


@dataclass(frozen=True, eq=False)
class Modes:
    """Training rows (rows, units) and the leading principal directions of the data, for a look at where chains are.

    directions (units, directions); places (rows, directions) are those of the rows.
    """

    rows: Array
    directions: Floats
    places: Floats

    @classmethod
    def of(cls, rows: Array) -> Modes:
        """Those of some rows (rows, units), with as many directions as matter at all."""
        x = host(rows).astype(np.float64)
        x -= x.mean(axis=0)
        variances, vectors = np.linalg.eigh(x @ x.T)  # of rows, which may be fewer than units
        kept = [i for i in range(len(x))[::-1][:DIRECTIONS] if variances[i] > 1e-9 * x.size]
        directions = x.T @ vectors[:, kept] / np.sqrt(variances[kept])
        return cls(rows, directions, host(rows) @ directions)

    def gap(self, machine: BoltzmannMachine, chains: Mapping[str, Array], options: MeanField, key: Key) -> float:
        """How far chains (layer -> (chains, units)) are from the rows once they could jump, from 0 to 1.

        The largest distance of Kolmogorov and Smirnov between both along a direction. Chains that do not cross between
        modes stay where the data are even if the machine has left a mode, so copies of them are offered jumps to the
        posteriors of the rows before they are looked at.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # guards look at the parameters
            places = self._jumped(machine, chains, options, At(key, 0))
        return max((_distance(a, b) for a, b in zip(places.T, self.places.T, strict=True)), default=0.0)

    def _jumped(self, machine: BoltzmannMachine, chains: Mapping[str, Array], options: MeanField, at: At) -> Floats:
        """Places (chains, directions) after some tries; a row stands for one proposal, whoever tries it."""
        scratch, visible = Scratch(machine.arena), machine.visible
        ladder = Snapshots(MachinePath((machine, machine)), np.ones(1))
        proposals = Proposals.of(ladder, 0, solve(machine, {visible: self.rows}, options, scratch))
        proposed = proposals.draw(np.arange(len(self.rows)), at)
        here, stay = proposals.weigh({n: chains[n] for n in ladder.held}, at, scratch)
        there, come = proposals.weigh(proposed, At(at.key, 1), scratch)
        count = len(here)
        places = np.concatenate([host(drawn[visible]) @ self.directions for drawn in (stay, come)])
        weights, now = np.concatenate([here, there]), np.arange(count)
        for rows, uniform in zip(*(x.T for x in choices(at, count, len(self.rows), TRIES)), strict=True):
            now = np.where(np.log(uniform) < weights[count + rows] - weights[now], count + rows, now)
        return np.asarray(places[now])

    def limit(self, chains: int) -> float:
        """The gap above which chains are not where the data are.

        Independent draws of the same law exceed it with a probability of at most FALSE_ALARM (Wei & Dudley 2012).
        No gap below LEAST_GAP counts, since chains of a training run always trail a little.
        """
        noise = (1 + np.log(DIRECTIONS / FALSE_ALARM)) * (1 / chains + 1 / len(self.places)) / 2
        return max(LEAST_GAP, float(np.sqrt(noise)))


def apart(history: Sequence[Mapping[str, Any]], rule: str) -> tuple[str, ...]:
    """A note if the chains of a run were not where the data are in each of the last three epochs' records."""
    last = [record for record in history[-LASTING:] if record.get("mode_gap") is not None]
    if len(last) < LASTING or any(record["mode_gap"] <= record["mode_gap_limit"] for record in last):
        return ()
    gap, limit = last[-1]["mode_gap"], last[-1]["mode_gap_limit"]
    advice = (
        "Train for more epochs, or with a smaller learning_rate."
        if rule == "ptt"
        else 'The machine may have left some modes of the data: train with rule="ptt" (--rule ptt), or for more epochs.'
    )
    return (
        "The chains of the machine are not where the data are: along a leading direction of the data the distributions "
        f"of both are {gap:.2f} apart, where 1 is the most and {limit:.2f} may be chance. {advice}",
    )


def _distance(first: Floats, second: Floats) -> float:
    """Largest difference of the empirical distribution functions of two samples."""
    cuts = np.concatenate([first, second])
    shares = (np.searchsorted(np.sort(x), cuts, side="right") / len(x) for x in (first, second))
    return float(np.abs(np.subtract(*shares)).max())
