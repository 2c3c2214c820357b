"""Training of Helmholtz machines by the objectives of bounds.py: one pass up, one down, one backward pass.

Blocks of rows draw their samples and leave scores and pullbacks; the weights of the objective then come from all
log-weights of the batch; blocks pull them back; and the parameter products run last, over the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import constant, host
from boltz.kernels.cpu.recorded import recordable
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import Structure
from boltz.nn.arena import Dropout, Tape
from boltz.nn.dense import SLICE
from boltz.numerics import log_mean_exp
from boltz.parallel import Workers, workers
from boltz.rng import Key
from boltz.sampling.recognition import Pass, log_densities, parts, sampled
from boltz.training.backward import pull, wake_products
from boltz.training.baselines import Baseline
from boltz.training.directed_settings import DirectedSettings
from boltz.training.held_out import directed
from boltz.training.objectives import OBJECTIVES
from boltz.training.rules import Clock, RuleState
from boltz.training.sleep import dream, sleep_products

Array = NDArray[Any]
Floats = NDArray[np.float64]
MONITOR_SAMPLES = 50
ABOVE, LEAST_WEIGHT = 1.05, 1e-3  # of soft free bits


@dataclass
class DirectedWorkspace:
    """Buffers of the wake and of the sleep phase, and the gradient."""

    machine: HelmholtzMachine
    gradient: Array = field(init=False)
    named: dict[str, Array] = field(init=False)
    wake: Tape = field(init=False)
    sleep: Tape = field(init=False)

    def __post_init__(self) -> None:
        self.gradient = np.zeros_like(self.machine.arena)
        self.named = self.machine.views(self.gradient)
        self.wake, self.sleep = Tape(self.machine.arena), Tape(self.machine.arena)


@dataclass(frozen=True)
class Variational:
    """The rule: an objective with its samples, and the scales of warm-up and free bits."""

    settings: DirectedSettings

    @property
    def baseline(self) -> Baseline | None:
        """What is subtracted from log w, where the objective has such a thing."""
        learned = {"nvil": True, "reinforce": False}.get(self.settings.objective)
        return None if learned is None else Baseline(learned, self.settings.learning_rate)

    @property
    def sleep_share(self) -> float:
        """Share of the sleep phase in what recognition learns."""
        if not OBJECTIVES[self.settings.objective].dreams:
            return 0.0
        return self.settings.sleep_share if self.settings.objective == "rws" else 1.0

    @property
    def start_rows(self) -> int:
        return MONITOR_SAMPLES

    def recordable(self, machine: HelmholtzMachine) -> bool:
        s, structure = self.settings, machine.structure
        unscaled = s.warmup_epochs == 0 and s.free_bits == 0 and self._plain(structure)
        nets = [*structure.generative.values(), *structure.recognition.values()]
        widths = [(units - 1) % SLICE + 1 for net in nets for units in net.sizes]  # of the last pieces of products
        tape, rows = Tape(machine.arena), list[int]()
        for samples in (1, s.knobs.total):
            rows += [samples * (each.rows.stop - each.rows.start) for each in parts(tape, s.batch_size, samples)]
        return unscaled and recordable(machine.arena, *widths, *rows)

    def replayable(self, machine: HelmholtzMachine) -> bool:
        learned = self.baseline is not None and self.baseline.learned  # by Adam, which counts its steps
        unscaled = self.settings.warmup_epochs == 0 and self.settings.free_bits == 0
        return not learned and unscaled and self._plain(machine.structure)

    def _plain(self, structure: Structure) -> bool:
        """Whether all that a step does are primitives, the same ones at each step."""
        own = structure.own or structure.flows or structure.residual is not None
        return not own and self.settings.dropout == 0

    def init(self, machine: HelmholtzMachine, rows: Array, key: Key, total: int) -> RuleState:
        found = {} if self.baseline is None else self.baseline.init(machine, rows, key)
        if self.settings.soft_free_bits:
            found |= {f"kl/{layer.name}": np.ones(1) for layer in machine.structure.latent}
        return found

    def workspace(self, machine: HelmholtzMachine) -> DirectedWorkspace:
        return DirectedWorkspace(machine)

    def gradient(
        self, work: DirectedWorkspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        machine, knobs, n = work.machine, self.settings.knobs, len(batch)
        work.wake.team = pool.count
        share = self.settings.dropout
        work.wake.dropout = Dropout(share, clock.key, clock.step) if share else None
        samples = knobs.total if machine.structure.latent else 1
        passes = sampled(machine, work.wake, batch, samples, (clock.key, clock.step), pool, clock.step)
        scales = self._scales(passes, clock.done, state)
        objective, baseline = OBJECTIVES[self.settings.objective], constant(0, batch, n)
        if objective.fixed:
            log_w = constant(0, batch, n, samples)
        else:
            log_w = np.concatenate([found.log_weights(scales) for found in passes])
        if self.baseline is not None:
            baseline = self.baseline.value(machine, state, batch, log_w, clock)
        weights = objective.weights(log_w, knobs, baseline).over(n)
        awake = self.sleep_share < 1
        pull(passes, weights, scales, pool, awake)
        jobs = wake_products(machine, work.named, work.wake, (n, samples), awake, clock.step)
        pool.map(lambda job: job(), jobs)
        if self.sleep_share > 0:
            dream(machine, work.sleep, n, self.sleep_share / n, clock, pool)
            pool.map(lambda job: job(), sleep_products(machine, work.named, work.sleep, n, awake))
        return work.named

    def measure(self, machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
        """The evidence lower bound and that of fifty samples (nats a row), its gap to held-out rows, the KL term."""
        return measure(machine, train, held_out, key)

    def score(self, machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> float | None:
        return directed(machine, held_out, key)

    def _scales(self, passes: list[Pass], done: float, state: RuleState) -> dict[str, float] | None:
        """Factor of each hidden layer's KL term: warm-up, and 0 where free bits are not used up; None if all are 1.

        Soft free bits have a factor of their own, which moves by a tenth from step to step (Chen et al. 2017, C).
        Weights of several samples are then those of the scaled log w, a heuristic and no longer a bound.
        """
        s = self.settings
        scale = min(1.0, done / s.warmup_epochs) if s.warmup_epochs > 0 else 1.0
        if s.free_bits == 0:
            return None if scale == 1 else {layer.name: scale for layer in passes[0].machine.structure.latent}
        layers = [layer.name for layer in passes[0].machine.structure.latent]
        if s.soft_free_bits:
            return {name: scale * _moved(state[f"kl/{name}"], _kl(passes, name), s.free_bits) for name in layers}
        return {name: scale if _kl(passes, name) > s.free_bits else 0.0 for name in layers}


def _moved(weight: Floats, kl: float, target: float) -> float:
    """The weight (1,) of a KL term, moved in place by a tenth where the term is not from target to 5 % above it."""
    weight *= 1.1 if kl > ABOVE * target else 0.9 if kl < target else 1.0
    np.clip(weight, LEAST_WEIGHT, 1.0, out=weight)
    return float(weight[0])


def _kl(passes: list[Pass], layer: str) -> float:
    """Mean of log q - log p of a hidden layer over all samples: its KL term, in nats a row."""
    return float(np.mean(np.concatenate([host(found.kl(layer)) for found in passes])))


def _likelihoods(machine: HelmholtzMachine, train: Array, held_out: Array) -> dict[str, float | None]:
    """The exact log-likelihood (nats a row) of a machine without hidden layers, and its gap to held-out rows."""
    found = log_densities(machine, train).mean()
    gap = found - log_densities(machine, held_out).mean() if len(held_out) else None
    return {"log_likelihood": float(found), "likelihood_gap": None if gap is None else float(gap)}


def measure(machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
    """What is recorded after an epoch of a Helmholtz machine; log Z of an RBM prior is left out."""
    if not machine.structure.latent:
        return _likelihoods(machine, train, held_out)
    found: dict[str, float | None] = {"bound_gap": None}
    with workers(machine.arena) as pool:
        passes = sampled(machine, Tape(machine.arena), train, MONITOR_SAMPLES, (key, 0), pool)
        log_w = np.concatenate([host(each.log_weights()) for each in passes])
        bound = float(log_mean_exp(log_w, 1).mean())
        found |= {"bound": float(log_w.mean()), "importance_bound": bound}
        found["kl"] = sum(_kl(passes, layer.name) for layer in machine.structure.latent)
        if len(held_out):
            others = sampled(machine, Tape(machine.arena), held_out, MONITOR_SAMPLES, (key, 0), pool)
            unseen = np.concatenate([host(each.log_weights()) for each in others])
            found["bound_gap"] = bound - float(log_mean_exp(unseen, 1).mean())
    return found
