"""What is recorded after each epoch, on a few fixed rows; none of it steers the training."""

from __future__ import annotations

from collections.abc import Mapping
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
