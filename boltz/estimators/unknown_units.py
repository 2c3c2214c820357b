"""log p*(known part) of rows with unknown entries: log p* of a machine whose hidden units are the unknown ones, too.

Rows of which the same entries are known share such a machine (models/opened.py). Few unknown units of an RBM are summed
out by the free energy. What cannot be enumerated is sampled, or annealed with the known units of each row held: both
give lower bounds in expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.ais import ais
from boltz.estimators.closed_forms import certain, of_boltzmann
from boltz.estimators.estimate import Estimate, Kind
from boltz.estimators.exact import class_units, exact_log_marginal
from boltz.estimators.log_weights import mean_field_weights
from boltz.estimators.precision import accurate
from boltz.estimators.weight_means import mean_and_error
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.opened import held, opened
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.evidence import Evidence

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_UNITS, CHAINS, TEMPERATURES, ROWS = 14, 200, 500, 256
DOUBTED = 0.05  # share of the rows whose own doubts count


@dataclass(frozen=True, eq=False)
class Sampled:
    """Rows (rows, units) of a machine that were measured by importance samples, what mean_and_error says of them (rows,
    4), and the key that the samples are of.
    """

    machine: Model
    rows: Array
    values: Floats
    root: Key


@dataclass(frozen=True, eq=False)
class Known:
    """log p*(known part) of rows: values (rows, 4) as of_rows takes them, how they came about, doubts of single rows.

    samples is the number of chains or samples a row, 0 where all rows are exact; sampled: those at whose samples a
    second look may be taken.
    """

    values: Floats
    kind: Kind
    method: str
    samples: int
    doubts: tuple[str, ...]
    sampled: tuple[Sampled, ...] = ()


def log_known(model: BoltzmannMachine, evidence: Evidence, samples: int, log_z: Estimate, seed: int) -> Known:
    """log p* of the known part of each row, of which some units are unknown: by so many importance samples a row, or
    with samples 0 exact for few units, else by annealing.

    A row of which nothing is known has log Z itself, given as log_z.
    """
    machine, rows, known = model.to("cpu"), host(evidence.rows), host(evidence.known)
    if len(rows) * samples >= 2**32:
        raise InputError(f"rows times samples must be below 2^32, got {len(rows):,} x {samples:,}.")
    found, doubts, sampled, measured = np.empty((len(rows), 4)), [], [], 0
    patterns, place = np.unique(known, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        mine = np.flatnonzero(place.reshape(-1) == number)
        if not pattern.any():
            found[mine] = log_z.value, 0.0, 1.0, log_z.value
            continue
        rest, x = opened(machine, pattern), np.ascontiguousarray(rows[mine][:, pattern])
        exact = rest.independent_hidden or (samples == 0 and countable(rest))
        if exact:
            found[mine] = _exact(rest, x)
        elif samples:
            root = Key.from_seed(seed).derive("unknown", number)
            found[mine] = _by_samples(rest, x, samples, root.derive("importance"))
            sampled.append(Sampled(rest, x, found[mine], root))
        else:
            for row, at in zip(x, mine, strict=True):
                found[at], said = _annealed(rest, row, Key.from_seed(seed).derive("clamped", int(at)))
                doubts.append(said)
        measured += 0 if exact else len(mine)
    if not measured:
        return Known(found, "exact", "unknown units summed out", 0, ())
    if samples:
        method = f"importance-weighted bound with unknown units as hidden ones, k = {samples}"
        return Known(found, "lower", method, samples, (), tuple(sampled))
    doubted = [each for each in doubts if each]
    words = doubted[0] if len(doubted) > DOUBTED * len(found) else ()
    method = f"annealing with the known units clamped, {CHAINS} chains a row, {TEMPERATURES} temperatures"
    return Known(found, "lower", method, CHAINS, tuple(f"of single rows: {doubt}" for doubt in words))


def countable(rest: BoltzmannMachine) -> bool:
    """Whether log p* of visible rows is exact: hidden units are independent, or few of them have to be counted."""
    return rest.independent_hidden or class_units(rest, _sides(rest)[0]) <= MOST_UNITS


def _sides(rest: BoltzmannMachine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hidden layers to count, and those to sum out given these: of two layered sides the one with fewer units."""
    drawn, summed = rest.graph.hidden_sides
    turned = rest.graph.layered and class_units(rest, summed) < class_units(rest, drawn)
    return (summed, drawn) if turned else (drawn, summed)


def _exact(rest: BoltzmannMachine, x: Array) -> Floats:
    """(rows, 4): log p* of rows where it is countable."""
    return of_boltzmann(rest, x)[0] if rest.independent_hidden else certain(exact_log_marginal(rest, x, _sides(rest)))


def _by_samples(rest: BoltzmannMachine, x: Array, samples: int, key: Key) -> Floats:
    """(rows, 4): what mean_and_error says of the weights of each row."""
    wide, rows = accurate(rest, x)
    assert wide.undirected is not None
    weights = mean_field_weights(wide.undirected)

    def work(part: slice) -> Floats:
        return mean_and_error(weights(rows[part], np.arange(part.start, part.start + len(rows[part])), samples, key))

    with workers() as pool:
        return np.concatenate(pool.map(work, blocks(len(rows), ROWS)))


def _annealed(rest: BoltzmannMachine, row: Array, key: Key) -> tuple[Floats, tuple[str, ...]]:
    """The same (4,) of one row by annealing its hidden units, and what speaks against it."""
    wide = rest.astype(np.float64)
    machine, constant = held(wide, row.astype(np.float64))
    assert machine is not None, "machines of independent hidden units are summed exactly"
    estimate = ais(machine.astype(rest.dtype), CHAINS, TEMPERATURES, key.key0)
    share, largest = estimate.ess / CHAINS, float(estimate.log_weights.max())
    return np.array([constant + estimate.value, estimate.standard_error, share, constant + largest]), estimate.doubts
