"""Log-likelihood of data: log-normaliser of the machine clamped at v minus that of the free machine.

For an RBM the first is -F(v), exactly. For a DBM it is the variational bound of mean field (Salakhutdinov & Hinton
2009, section 2.2) or the importance-weighted bound log 1/k sum p*(v, h_i) / q(h_i) with mean-field q (Burda, Grosse &
Salakhutdinov 2016, eq. 8), which rises with k to the truth; the layers next to v are drawn, the others summed out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.estimators.annealed import ais
from boltz.estimators.exact import class_units, exact_log_marginal, exact_log_z
from boltz.estimators.result import TRUSTED_CHAINS, TRUSTED_SHARE, Estimate, Kind, exact, interval, kind_of_difference
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.rng import Key
from boltz.sampling.driver import blocks, workers
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import MeanField, solve, variational_free_energy

Array = NDArray[Any]
Floats = NDArray[np.float64]
QUICK_UNITS, QUICK_HIDDEN = 20, 14
TRUSTED_ROWS = 0.95


def log_likelihood(
    model: BoltzmannMachine, x: Any, log_z: Estimate | float | None = None, samples: int = 0, seed: int = 0
) -> Estimate:
    """Mean log-likelihood of visible rows x (rows, units) in nats, with one value a row in per_row.

    Rows between 0 and 1 are no states of binary units: their value is returned with kind "none", not trusted. log_z: an
    Estimate, a number taken as exact, or None to compute it (exact for at most 20 units in the smaller
    colour class, else boltz.ais). samples: for a DBM too large to enumerate, 0 gives the variational bound, k >= 1 the
    importance-weighted bound. kind says what is certified; for that bound, trusted also asks for at least 100 samples
    of which 30 % are effective in 95 % of the rows. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_model(model)
    samples = checks.integer(samples, "samples", 0)
    seed = checks.integer(seed, "seed", 0, 2**64 - 1)
    x = checks.rows(x, "x", model.graph.units[model.graph.visible], model.dtype)
    log_z = _log_z(model, log_z, seed)
    log_p, errors, kind, method = log_marginal(model, x, samples, seed)
    per_row = log_p - log_z.value
    value = float(per_row.mean())
    error = float(np.hypot(log_z.standard_error, np.sqrt(np.sum(errors**2)) / len(x)))
    grey = not ((x == 0) | (x == 1)).all()  # no states of binary units, so nothing is certified
    return Estimate(
        value,
        error,
        interval(value, error, log_z.chains or len(x) * samples) if error > 0 else (value, value),
        "none" if grey else kind_of_difference(kind, log_z.kind),
        log_z.ess,
        log_z.chains,
        log_z.steps,
        not grey and log_z.trusted and _trusted(errors, samples),
        log_z.log_weights,
        per_row,
        f"{method}; log Z by {log_z.method}" + "; rows that are not 0/1" * grey,
    )


def _trusted(errors: Floats, samples: int) -> bool:
    """Whether the errors (rows,) of importance-weighted rows can be believed; rows without error can."""
    if not errors.any():
        return True
    share = 1 / (1 + errors**2 * max(samples - 1, 1))  # effective share of the samples of a row
    return samples >= TRUSTED_CHAINS and float(np.mean(share >= TRUSTED_SHARE)) >= TRUSTED_ROWS


def _log_z(model: BoltzmannMachine, given: Estimate | float | None, seed: int) -> Estimate:
    if isinstance(given, Estimate):
        return given
    if given is not None:
        return exact(checks.number(given, "log_z"), "the caller")
    if min(class_units(model, layers) for layers in model.graph.colours) <= QUICK_UNITS:
        return exact_log_z(model)
    return ais(model, seed=seed)


def log_marginal(model: BoltzmannMachine, x: Array, samples: int, seed: int) -> tuple[Floats, Floats, Kind, str]:
    """log p*(v) of checked rows: values and standard errors (rows,), what kind of bound, and how it was found."""
    nothing = np.zeros(len(x))
    others = [layer for layer in model.graph.colours[0] if layer != model.graph.visible]
    if not others:
        return -_by_blocks(model, x, _free_energy), nothing, "exact", "free energy"
    if samples == 0 and class_units(model, model.graph.colours[1]) <= QUICK_HIDDEN:
        return exact_log_marginal(model, x), nothing, "exact", "enumeration of hidden units"
    if samples == 0:
        return _by_blocks(model, x, _variational), nothing, "lower", "variational bound"
    key = Key.from_seed(seed).derive("importance")

    def weighted(model: BoltzmannMachine, rows: Array, first: int) -> Array:
        return _importance(model, rows, first, samples, key)

    values = _by_blocks(model, x, weighted)
    return values[:, 0], values[:, 1], "lower", f"importance-weighted bound, k = {samples}"


def _by_blocks(model: BoltzmannMachine, x: Array, function: Any) -> Floats:
    parts = blocks(len(x))
    with workers() as pool:
        return np.concatenate(pool.map(lambda part: function(model, x[part], part.start), parts))


def _free_energy(model: BoltzmannMachine, rows: Array, first: int) -> Floats:
    return model.marginal_energy({model.graph.visible: rows}, model.graph.colours[1])


def _variational(model: BoltzmannMachine, rows: Array, first: int) -> Floats:
    """E_q[-energy] + entropy of q at the mean-field fixed point, q factorised over all hidden units."""
    return -variational_free_energy(model, rows, MeanField())[0]


def _importance(model: BoltzmannMachine, rows: Array, first: int, samples: int, key: Key) -> Floats:
    """(rows, 2): log mean weight and its standard error, streamed over the samples."""
    visible = model.graph.visible
    scratch = Scratch(model.dtype)
    means = solve(model, {visible: rows}, MeanField(), scratch)
    drawn = {layer: np.empty_like(means[layer]) for layer in model.graph.colours[1]}
    fields = {layer: model.unit_type(layer).natural(_inside(means[layer])) for layer in drawn}
    q = {layer: model.unit_type(layer).mean(fields[layer]).astype(model.dtype) for layer in drawn}
    summed = [layer for layer in model.graph.colours[0] if layer != visible]
    most = np.full(len(rows), -np.inf)
    sums = np.zeros((2, len(rows)))
    for i in range(samples):
        log_q = np.zeros(len(rows))
        for layer, state in drawn.items():
            kind = model.unit_type(layer)
            kind.draw(q[layer], key.derive(layer).stream(i), first, state)
            log_q += np.sum(state * fields[layer], axis=1) - kind.total_log_partition(fields[layer])
        log_w = -model.marginal_energy({visible: rows, **drawn}, summed) - log_q
        higher = np.maximum(most, log_w)
        old, new = np.exp(most - higher), np.exp(log_w - higher)
        sums = sums * np.stack([old, old**2]) + np.stack([new, new**2])
        most = higher
    value = most + np.log(sums[0] / samples)
    if samples == 1:
        return np.stack([value, np.full(len(rows), np.inf)], axis=1)
    variance = np.maximum(sums[1] / sums[0] ** 2 - 1 / samples, 0) * samples / (samples - 1)
    return np.stack([value, np.sqrt(variance)], axis=1)


def _inside(mean: Array) -> Array:
    """Means kept off 0 and 1, so that q gives every state a chance."""
    return np.clip(mean.astype(np.float64), 1e-7, 1 - 1e-7)
