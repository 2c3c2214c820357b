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
from boltz.sampling.meanfield import MeanField, solve, variational_free_energy

Array = NDArray[Any]
Floats = NDArray[np.float64]
DIRECTIONS = 3
LEAST_GAP, FALSE_ALARM = 0.3, 1e-6
LASTING = 3  # epochs


@dataclass(frozen=True, eq=False)
class Monitor:
    """Fixed rows (rows, units) of training and held-out data, the latter possibly empty."""

    train: Array
    held_out: Array
    key: Key

    def measure(
        self, machine: BoltzmannMachine, options: MeanField, scales: Mapping[str, float]
    ) -> dict[str, float | None]:
        """Pseudo-likelihood (nats a row), reconstruction error (squared, a row), free-energy gap train to held-out.

        For a DBM the free energy is the variational one. With doubled inputs (scales) no one energy belongs to the
        conditionals, so only the reconstruction error is measured.
        """
        if scales:
            means = solve(machine, {machine.graph.visible: self.train}, options, Scratch(machine.arena), scales)
            error = _reconstruction_error(machine, self.train, means, scales)
            return {"pseudo_likelihood": None, "reconstruction_error": error, "free_energy_gap": None}
        free, means = variational_free_energy(machine, self.train, options)
        gap = None
        if len(self.held_out):
            gap = float(variational_free_energy(machine, self.held_out, options)[0].mean() - free.mean())
        return {
            "pseudo_likelihood": self._pseudo_likelihood(machine, options, free),
            "reconstruction_error": _reconstruction_error(machine, self.train, means, {}),
            "free_energy_gap": gap,
        }

    def _pseudo_likelihood(self, machine: BoltzmannMachine, options: MeanField, free: Array) -> float:
        """units x the mean of log p(v_i | rest) for one random unit i a row (Besag 1975)."""
        rows, units = self.train.shape
        chosen = self.key.generator().integers(0, units, rows)
        flipped, places = self.train.copy(), (numbers(0, rows, self.train), beside(chosen, self.train))
        flipped[places] = 1 - flipped[places]
        other, _ = variational_free_energy(machine, flipped, options)
        return float(units * log_expit(host(other - free)).mean())


def _reconstruction_error(
    machine: BoltzmannMachine, rows: Array, means: dict[str, Array], scales: Mapping[str, float]
) -> float:
    visible = machine.graph.visible
    field = scales.get(visible, 1.0) * machine.input(visible, means) + machine.bias(visible)
    back = machine.unit_type(visible).mean(field)
    return float(np.mean(np.sum((rows - back) ** 2, axis=1, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Modes:
    """Training rows along the leading principal directions of the data, beside which persistent chains are held.

    directions (units, directions); places (rows, directions).
    """

    directions: Floats
    places: Floats

    @classmethod
    def of(cls, rows: Array) -> Modes:
        """The directions of some rows (rows, units), as many as matter at all."""
        x = host(rows).astype(np.float64)
        x -= x.mean(axis=0)
        variances, vectors = np.linalg.eigh(x @ x.T)  # of rows, which may be fewer than units
        kept = [i for i in range(len(x))[::-1][:DIRECTIONS] if variances[i] > 1e-9 * x.size]
        directions = x.T @ vectors[:, kept] / np.sqrt(variances[kept])
        return cls(directions, host(rows) @ directions)

    def gap(self, particles: Array) -> float:
        """Largest distance of the distribution functions of particles and rows along a direction, 0 to 1.

        particles: visible states (chains, units). The distance is that of Kolmogorov and Smirnov.
        """
        places = host(particles).astype(np.float64) @ self.directions
        return max((_distance(a, b) for a, b in zip(places.T, self.places.T, strict=True)), default=0.0)

    def limit(self, chains: int) -> float:
        """The gap above which chains are not where the data are.

        Independent draws of the same law exceed it with a probability of at most FALSE_ALARM (Wei & Dudley 2012).
        No gap below LEAST_GAP counts, since chains of a training run always trail a little.
        """
        noise = (1 + np.log(DIRECTIONS / FALSE_ALARM)) * (1 / chains + 1 / len(self.places)) / 2
        return max(LEAST_GAP, float(np.sqrt(noise)))


def apart(history: Sequence[Mapping[str, Any]], rule: str) -> tuple[str, ...]:
    """A note if the persistent chains were not where the data are in each of the last three epochs' records."""
    last = [record for record in history[-LASTING:] if record.get("mode_gap") is not None]
    if len(last) < LASTING or any(record["mode_gap"] <= record["mode_gap_limit"] for record in last):
        return ()
    advice = (
        "Train with a smaller learning_rate, for more epochs, or with more rungs."
        if rule == "ptt"
        else 'Some modes of the data have lost their chains: train with rule="ptt" (--rule ptt).'
    )
    gap, limit = last[-1]["mode_gap"], last[-1]["mode_gap_limit"]
    return (
        "The persistent chains are not where the data are: along a leading direction of the data their distributions "
        f"are {gap:.2f} apart, where 1 is the most and {limit:.2f} may be chance. {advice}",
    )


def _distance(first: Floats, second: Floats) -> float:
    """Largest difference of the empirical distribution functions of two samples."""
    cuts = np.concatenate([first, second])
    shares = (np.searchsorted(np.sort(x), cuts, side="right") / len(x) for x in (first, second))
    return float(np.abs(np.subtract(*shares)).max())
