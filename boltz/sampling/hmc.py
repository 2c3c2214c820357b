"""Hamiltonian Monte Carlo (Neal 2011) on the Gaussian layers of a Helmholtz machine with v clamped.

f_beta(z) = q(z | v)^(1 - beta) p(v, z)^beta, from exact draws of q to log p(v) (Wu, Burda, Salakhutdinov & Grosse 2017,
section 4). Positions are measured in the spread of q along its means, which v alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape, zeros
from boltz.rng import Key
from boltz.sampling.annealing import Chains, Place
from boltz.sampling.posterior_paths import recognised

Array = NDArray[Any]
Floats = NDArray[np.float64]
LEAPFROGS, TARGET = 10, 0.75  # acceptances from 65 to 80 % are near the best (Neal 2011, section 4.4)
STRETCHES, MOVES, GAIN, FIRST_SIZE = 10, 10, 1.0, 0.5
LEAST_FACTOR = 0.5


@dataclass(frozen=True)
class StepSizes:
    """Step size as a function of beta alone: its logarithm is straight between knots."""

    betas: tuple[float, ...] = (0.0,)
    logs: tuple[float, ...] = (float(np.log(FIRST_SIZE)),)

    def at(self, beta: float) -> float:
        """The step size at beta, in spreads of q."""
        return float(np.exp(np.interp(beta, self.betas, self.logs)))


@dataclass(frozen=True, eq=False)
class HamiltonianPath:
    """Leapfrog trajectories with new momenta and a Metropolis test, which are reversible.

    visible (chains, units) and encoded (chains, outputs) repeat the rows and the outputs, without bias, of the lowest
    recognition net; spread is layer -> (chains, units). first is the number of the first chain.
    """

    machine: HelmholtzMachine
    visible: Array
    encoded: Array
    spread: dict[str, Array]
    sizes: StepSizes = field(default_factory=StepSizes)
    leapfrogs: int = LEAPFROGS
    first: int = 0
    tapes: dict[int, Tape] = field(default_factory=dict)

    def log_density(self, state: Chains, beta: float, first: int) -> Floats:
        log_p, log_q, _ = self.slopes(state, beta, first)
        return beta * log_p + (1 - beta) * log_q

    def slopes(self, state: Chains, beta: float, first: int) -> tuple[Floats, Floats, Chains]:
        """log p(v, z) and log q(z | v), (chains,), and the gradient of log f_beta, layer -> (chains, units)."""
        count = len(next(iter(state.values())))
        tape = self.tapes.setdefault(first, Tape(self.machine.arena))
        part = Part(tape, slice(0, count), count)
        for layer, z in state.items():
            part.get(f"state/{layer}", z.shape[1])[...] = z
        gradient = {layer: np.zeros_like(z) for layer, z in state.items()}
        whole = {self.machine.visible: self.visible[first : first + count], **state}
        log_p = self._generative(whole, beta, part, gradient)
        log_q = self._recognition(whole, 1 - beta, part, gradient, self.encoded[first : first + count])
        return log_p, log_q, gradient

    def _generative(self, whole: Chains, share: float, part: Part, gradient: Chains) -> Floats:
        """log p (chains,); gradient += share times its derivative."""
        machine, log_p = self.machine, zeros(next(iter(gradient.values())))
        for child, parent in machine.structure.chain:
            terms = machine.factors[child.name].score(machine.place(child, parent, part), whole[child.name])
            log_p += terms.log_density
            if child.name in gradient:
                derivative, sign = terms.by_state()
                gradient[child.name] += sign * share * derivative[:, : child.units]
            signal = terms.pull(None, parent is not None, False)
            if signal is not None and parent is not None:
                gradient[parent.name] += share * signal
        return log_p

    def _recognition(self, whole: Chains, share: float, part: Part, gradient: Chains, encoded: Array) -> Floats:
        """log q (chains,); gradient += share times its derivative."""
        machine = self.machine
        log_q = zeros(encoded)
        for layer, encoder in machine.encoders.items():
            place, below = machine.encoder_place(layer, part), machine.structure.heard[layer]
            value, pullback = encoder.encode(place) if below in gradient else (encoded.copy(), None)
            log_q += encoder.score(place, value, whole[layer])
            derivative, sign = encoder.pull(place, value, share)
            gradient[layer] += sign * derivative[:, : encoder.units]
            if pullback is not None:
                gradient[below] += pullback(value, None, True, False)
        return log_q

    def step(self, state: Chains, betas: tuple[float, float], place: Place, log_weights: Floats) -> None:
        log_p, log_q, gradient = self.slopes(state, betas[1], place.first)
        log_weights += (betas[1] - betas[0]) * (log_p - log_q)
        self._move(state, betas[1], place, (betas[1] * log_p + (1 - betas[1]) * log_q, gradient))

    def accepted(self, state: Chains, beta: float, place: Place) -> float:
        """Move at beta, in place; returns the share of chains that accept."""
        log_p, log_q, gradient = self.slopes(state, beta, place.first)
        return float(self._move(state, beta, place, (beta * log_p + (1 - beta) * log_q, gradient)).mean())

    def _move(self, state: Chains, beta: float, place: Place, start: tuple[Floats, Chains]) -> NDArray[np.bool_]:
        """One trajectory from states with these log f_beta and gradients; which chains accept its end."""
        chains = len(start[0])
        momentum = self.momentum(state, place)
        bits = np.empty_like(start[0], shape=(chains, 2), dtype=np.uint32)
        kernels.philox(place.key.derive("accept").stream(place.step), self.first + place.first, bits)
        uniform = (bits + 0.5) / 2**32
        factor = (
            LEAST_FACTOR + (1 - LEAST_FACTOR) * uniform[:, 1:]
        )  # trajectories of one length may return to their start
        before = start[0] - kinetic(momentum)
        trial = {layer: z.copy() for layer, z in state.items()}
        density = self.leapfrog(trial, momentum, (factor * self.sizes.at(beta), start[1]), beta, place.first)
        accepted = np.log(uniform[:, 0]) < density - kinetic(momentum) - before
        for layer, z in state.items():
            np.copyto(z, trial[layer], where=accepted[:, None])
        return accepted

    def momentum(self, state: Chains, place: Place) -> Chains:
        """Standard normal momenta, layer -> (chains, units), of a step."""
        found = {layer: np.empty_like(z) for layer, z in state.items()}
        for layer, p in found.items():
            first = self.first + place.first
            kernels.normal(place.key.derive("momentum", layer).stream(place.step), numbers(first, first + len(p), p), p)
        return found

    def leapfrog(self, state: Chains, momentum: Chains, start: tuple[Array, Chains], beta: float, first: int) -> Floats:
        """Follow the trajectory, in place, from start = (step sizes (chains, 1), gradient); log f_beta at its end."""
        size, gradient = start
        log_p = log_q = zeros(size)
        span = slice(first, first + len(size))
        steps = {layer: (size * self.spread[layer][span]).astype(z.dtype) for layer, z in state.items()}
        for i in range(self.leapfrogs):
            for layer, z in state.items():
                momentum[layer] += (0.5 if i == 0 else 1.0) * steps[layer] * gradient[layer]
                z += steps[layer] * momentum[layer]
            log_p, log_q, gradient = self.slopes(state, beta, first)
        for layer, p in momentum.items():
            p += 0.5 * steps[layer] * gradient[layer]
        return beta * log_p + (1 - beta) * log_q

    def reversed(self) -> HamiltonianPath:
        return self


def kinetic(momentum: Chains) -> Floats:
    """Half the squared momenta, (chains,)."""
    return 0.5 * sum(np.einsum("ij,ij->i", p, p, dtype=np.float64) for p in momentum.values())


def hamiltonian_path(
    machine: HelmholtzMachine, rows: Array, chains: int, first: int, key: Key
) -> tuple[HamiltonianPath, Chains]:
    """The path of visible rows (rows, units), so many chains each, the first row being number first, and its start."""
    encoded, state = recognised(machine, rows, chains, first, key)
    spread = {layer: np.repeat(sigma, chains, axis=0) for layer, sigma in _spread(machine, rows).items()}
    visible, outputs = (np.repeat(values, chains, axis=0) for values in (rows, encoded))
    return HamiltonianPath(machine, visible, outputs, spread, first=first * chains), state


def _spread(machine: HelmholtzMachine, rows: Array) -> Chains:
    """Standard deviations of q, layer -> (rows, units), each layer given the mean of the one below it."""
    part, found, mean = Part(Tape(machine.arena), slice(0, len(rows)), len(rows)), {}, rows
    for layer, encoder in machine.encoders.items():
        place = machine.encoder_place(layer, part)
        part.get(place.given, mean.shape[1])[...] = mean
        value, _ = encoder.encode(place)
        mean = encoder.code(place, value)
        found[layer] = encoder.spread(place, value)
    return found


def tuned(path: HamiltonianPath, state: Chains, key: Key, steps: int) -> StepSizes:
    """Step sizes that accept about three moves in four, from a pilot walk of a path's chains, which are used up.

    They depend on beta alone and on nothing that the chains of the run itself do, so that its weights stay unbiased.
    The pilot makes 110 moves, fewer for a run of less than 100 steps.
    """
    moves = min(MOVES, max(2, steps // STRETCHES))
    betas, logs, size = [], [], float(np.log(FIRST_SIZE))
    for stretch in range(STRETCHES + 1):
        beta, tried = stretch / STRETCHES, []
        for i in range(moves):
            tried.append(size)
            pilot = replace(path, sizes=StepSizes((0.0,), (size,)))
            place = Place(key, stretch * moves + i, 0)
            size += GAIN * (pilot.accepted(state, beta, place) - TARGET)
        betas.append(beta)
        logs.append(float(np.mean(tried[moves // 2 :])))
    return StepSizes(tuple(betas), tuple(logs))
