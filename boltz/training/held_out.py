"""Quick log-likelihoods of held-out rows, by which training chooses the epoch whose parameters it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.documents import by_length
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.numerics import log_mean_exp
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal
from boltz.sampling.base_rate import base_rates
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import MeanField, solve, variational_free_energy
from boltz.sampling.recognition import sampled
from boltz.targets import path_to
from boltz.units.states import own_lengths

Array = NDArray[Any]
CHAINS, STEPS = 50, 300  # of the annealing of log Z
LENGTHS = 3  # of documents, whose log Z is annealed
SAMPLES = 20  # importance samples a row
DRAWS = 4  # of hidden layers a row, for the collapsed bound
SCORE = "held_out_log_likelihood"  # its name in an epoch's record
LOOKS = 40  # a stage looks at held-out rows so many times, or after each of fewer epochs


def quick_log_z(machine: BoltzmannMachine, rows: Array, key: Key) -> float:
    """log Z in nats by a short annealing from the activities on some rows (rows, units): a rough under-estimate."""
    path = GibbsPath(path_to(machine, base_rates(machine, rows, 0)))
    state = path.density.sample_start(key, CHAINS)
    with np.errstate(over="ignore", invalid="ignore"):  # of a machine that diverged
        walk = anneal(path, state, np.linspace(0, 1, STEPS + 1), key)
        return float(path.density.start_log_z + log_mean_exp(walk.log_weights))


def _of_documents(machine: BoltzmannMachine, rows: Array, options: MeanField, key: Key) -> float:
    """Mean log-likelihood of documents (rows, words) in nats, of those of the most common lengths alone, since log Z is
    annealed for each.
    """
    groups = by_length(host(rows))
    chosen = sorted(groups, key=lambda words: (-len(groups[words]), words))[:LENGTHS]
    total = 0.0
    for words in chosen:
        mine = rows[beside(groups[words], rows)]
        log_z = quick_log_z(machine.of_length(words), host(mine), key.derive(words))
        total += float(collapsed_bound(machine, mine, options, key).sum()) - len(mine) * log_z
    return total / sum(len(groups[words]) for words in chosen)


def undirected(machine: BoltzmannMachine, train: Array, rows: Array, options: MeanField, key: Key) -> float:
    """Mean log-likelihood of rows (rows, units) in nats, the collapsed bound for deep machines; train gives rates."""
    if own_lengths(machine.unit_type(machine.visible)):
        return _of_documents(machine, rows, options, key)
    return float(collapsed_bound(machine, rows, options, key).mean()) - quick_log_z(machine, host(train), key)


def collapsed_bound(machine: BoltzmannMachine, rows: Array, options: MeanField, key: Key) -> NDArray[np.float64]:
    """An unbiased estimate of a lower bound of -F(v) of rows (rows, units) in nats (rows,), -F(v) itself for an RBM.

    E_q[log sum_x exp(-E(v, h, x))] + H(q) with h the hidden layers that hear v and others of their colour, q their mean
    field, and x the others, which are summed exactly: never below the bound of mean field, which falls behind as the
    upper layers start to work (Teh, Newman & Welling 2007, section 3).
    """
    evidence = machine.evidence(rows)
    if machine.independent_hidden:
        return -host(machine.marginal_energy(evidence, machine.graph.hidden))
    if not machine.graph.layered:
        return -host(variational_free_energy(machine, rows, options)[0])
    first, drawn = machine.graph.colours
    others = [layer for layer in first if layer not in evidence]
    means = solve(machine, evidence, options, Scratch(machine.arena))
    total = 0.0
    for turn in range(DRAWS):
        state = dict(evidence)
        for layer in drawn:
            state[layer] = np.empty_like(means[layer])
            stream = key.derive("collapsed", layer).stream(turn)
            machine.unit_type(layer).draw(means[layer], stream, 0, state[layer])
        total = total - host(machine.marginal_energy(state, others)) / DRAWS
    entropies = (host(machine.unit_type(n).entropy(means[n].astype(np.float64))).sum(axis=1) for n in drawn)
    return np.asarray(total + sum(entropies), np.float64)


def directed(machine: HelmholtzMachine, rows: Array, key: Key) -> float:
    """Mean importance-weighted bound of rows (rows, units) in nats; log Z of an RBM prior is left out."""
    return float(row_bounds(machine, rows, key).mean())


def row_bounds(machine: HelmholtzMachine, rows: Array, key: Key) -> NDArray[np.float64]:
    """The importance-weighted bound of each of some rows (rows, units) in nats (rows,), as in directed."""
    with workers(machine.arena) as pool:
        passes = sampled(machine, Tape(machine.arena), rows, SAMPLES, (key, 0), pool)
        log_w = np.concatenate([host(found.log_weights()) for found in passes])
    return np.asarray(log_mean_exp(log_w, 1), np.float64)


def due(epoch: int, epochs: int, patience: int) -> bool:
    """Whether held-out rows are looked at after this epoch, counted from 1: at least once in patience epochs."""
    return epoch % _apart(epochs, patience) == 0 or epoch == epochs


def looks(epochs: int, patience: int) -> int:
    """How often held-out rows are looked at in so many epochs."""
    return -(-epochs // _apart(epochs, patience))


def _apart(epochs: int, patience: int) -> int:
    """Epochs from one look to the next."""
    return max(min(epochs // LOOKS, patience), 1)


def best_epoch(history: Sequence[Mapping[str, Any]], stage: Any) -> int | None:
    """The epoch of a stage that held-out rows like best, None where they were not asked."""
    looked = [(r[SCORE], -r["epoch"]) for r in history if r.get("stage") == stage and _judged(r)]
    return -max(looked)[1] if looked else None


def kept_update(history: Sequence[Mapping[str, Any]], plan: Sequence[Any], rows: int) -> int:
    """The update, counted through all stages of a plan on so many rows, whose parameters a run keeps."""
    names = [record.get("stage") for record in history]
    last = max((i for i, stage in enumerate(plan) if stage.name in names), default=len(plan) - 1)
    epochs = best_epoch(history, plan[last].name)
    if epochs is None:
        epochs = names.count(plan[last].name) if names else plan[last].settings.epochs
    before = sum(planned_epochs(history, stage) * stage.batches(rows) for stage in plan[:last])
    return int(before + epochs * plan[last].batches(rows))


def planned_epochs(history: Sequence[Mapping[str, Any]], stage: Any) -> int:
    """Epochs of a stage as it was planned at its end, which minutes may change on the way."""
    told = [record.get("epochs") for record in history if record.get("stage") == stage.name]
    return told[-1] if told and isinstance(told[-1], int) else int(stage.settings.epochs)


def kept_epoch(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A note on the epoch that held-out rows chose for the last stage of a run, if not its last one."""
    stage = history[-1].get("stage") if history else None
    best, last = best_epoch(history, stage), [r for r in history if r.get("stage") == stage]
    if best is None or best == last[-1].get("epoch"):
        return ()
    scores = {r["epoch"]: r[SCORE] for r in last if _judged(r)}
    final = max(scores)
    return (
        f"The parameters of epoch {best} are kept: held-out rows like them best of {last[-1].get('epoch')} "
        f"({scores[best]:.2f} nats a row, {scores[final]:.2f} after epoch {final}).",
    )


def _judged(record: Mapping[str, Any]) -> bool:
    """Whether an epoch's record, perhaps of an edited file, has a score."""
    return isinstance(record.get(SCORE), float) and isinstance(record.get("epoch"), int)
