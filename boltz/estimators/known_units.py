"""log p*(known part) of rows of a Helmholtz machine, whose visible units are independent given the layer above them.

Unknown units then drop out of log p(v | h). The recognition model hears the row with means in their place; whatever it
hears, the mean of p*(known, h) / q(h | filled row) is p*(known) (Rezende, Mohamed & Wierstra 2014; Mattei & Frellsen
2019, eq. 5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.closed_forms import QUICK_HIDDEN, certain
from boltz.estimators.estimate import Estimate
from boltz.estimators.exact import enumerable, enumerated
from boltz.estimators.log_weights import recognition_weights
from boltz.estimators.precision import accurate
from boltz.estimators.unknown_units import Known
from boltz.estimators.weight_means import mean_and_error
from boltz.models.helmholtz import HelmholtzMachine
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.completion import filled
from boltz.sampling.evidence import Evidence

Floats = NDArray[np.float64]
SAMPLES, ROWS = 1000, 16  # samples a row unless asked for, rows a block
UNSEEN = ("no chains looked for what the samples of rows with unknown units missed",)


def log_known(model: HelmholtzMachine, evidence: Evidence, samples: int, log_z: Estimate, seed: int) -> Known:
    """log p* of the known part of each row, of which some units are unknown, by so many samples a row.

    With samples 0 it is exact where at most 14 hidden units can be enumerated, else by 1,000 samples. A row of which
    nothing is known has log Z itself, given as log_z.
    """
    machine, known = model.to("cpu"), host(evidence.known)
    if samples == 0 and enumerable(machine, QUICK_HIDDEN):
        values = certain(enumerated(machine, host(evidence.rows), known))
        found = Known(values, "exact", "enumeration of hidden units, unknown units summed out", 0, ())
    else:
        count = samples or SAMPLES
        values = _by_samples(machine, Evidence(host(evidence.rows), known), count, Key.from_seed(seed).derive("known"))
        method = f"importance-weighted bound with unknown units summed out, k = {count}"
        found = Known(values, "lower", method, count, UNSEEN if machine.binary_hidden else ())
    found.values[~known.any(axis=1)] = log_z.value, 0.0, 1.0, log_z.value
    return found


def _by_samples(machine: HelmholtzMachine, evidence: Evidence, samples: int, key: Key) -> Floats:
    """(rows, 4): what mean_and_error says of the weights of each row."""
    if len(evidence) * samples >= 2**32:
        raise InputError(f"rows times samples must be below 2^32, got {len(evidence):,} x {samples:,}.")
    wide, rows = accurate(machine, filled(machine, evidence))
    assert wide.directed is not None
    weights = recognition_weights(wide.directed, evidence.known)

    def work(part: slice) -> Floats:
        return mean_and_error(weights(rows[part], np.arange(part.start, part.start + len(rows[part])), samples, key))

    with workers() as pool:
        return np.concatenate(pool.map(work, blocks(len(rows), ROWS)))
