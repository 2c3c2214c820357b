"""Quick log-likelihoods of held-out rows, by which training chooses the epoch whose parameters it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.numerics import log_mean_exp
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal
from boltz.sampling.driver import workers
from boltz.sampling.meanfield import MeanField, variational_free_energy
from boltz.sampling.rates import base_rates
from boltz.sampling.recognition import sampled
from boltz.targets import path_to

Array = NDArray[Any]
CHAINS, STEPS = 50, 300  # of the annealing of log Z
SAMPLES = 20  # importance samples a row
SCORE = "held_out_log_likelihood"  # its name in an epoch's record
LOOKS = 40  # a stage looks at held-out rows so many times, or after each of fewer epochs


def quick_log_z(machine: BoltzmannMachine, rows: Array, key: Key) -> float:
    """log Z in nats by a short annealing from the activities on some rows (rows, units): a rough under-estimate."""
    path = GibbsPath(path_to(machine, base_rates(machine, rows, 0)))
    state = path.density.sample_start(key, CHAINS)
    with np.errstate(over="ignore", invalid="ignore"):  # of a machine that diverged
        walk = anneal(path, state, np.linspace(0, 1, STEPS + 1), key)
        return float(path.density.start_log_z + log_mean_exp(walk.log_weights))


def undirected(machine: BoltzmannMachine, train: Array, rows: Array, options: MeanField, key: Key) -> float:
    """Mean log-likelihood of rows (rows, units) in nats, that of mean field for deep machines; train gives rates."""
    free, _ = variational_free_energy(machine, rows, options)
    return float(-free.mean()) - quick_log_z(machine, host(train), key)


def directed(machine: HelmholtzMachine, rows: Array, key: Key) -> float:
    """Mean importance-weighted bound of rows (rows, units) in nats; log Z of an RBM prior is left out."""
    with workers(machine.arena) as pool:
        passes = sampled(machine, Tape(machine.arena), rows, SAMPLES, (key, 0), pool)
        log_w = np.concatenate([host(found.log_weights()) for found in passes])
    return float(log_mean_exp(log_w, 1).mean())


def due(epoch: int, epochs: int) -> bool:
    """Whether held-out rows are looked at after this epoch, counted from 1."""
    return epoch % max(epochs // LOOKS, 1) == 0 or epoch == epochs


def kept_epoch(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A note on the epoch that held-out rows chose for the last stage of a run, if not its last one."""
    last = [record for record in history if record["stage"] == history[-1]["stage"]]
    looked = [record for record in last if record.get(SCORE) is not None]
    if not looked:
        return ()
    best = max(looked, key=lambda record: float(record[SCORE]))
    if best is last[-1]:
        return ()
    return (
        f"The parameters of epoch {best['epoch']} are kept, which is the best of {last[-1]['epoch']} on held-out rows "
        f"({best[SCORE]:.2f} against {looked[-1][SCORE]:.2f} nats a row at the end).",
    )
