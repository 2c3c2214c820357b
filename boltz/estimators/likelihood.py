"""Log-likelihood of data: log-normaliser of the machine clamped at v minus that of the free machine.

For an RBM the first is -F(v), exactly, and for a machine without hidden units its energy. For a DBM it is the
variational bound of mean field (Salakhutdinov & Hinton 2009, section 2.2) or an importance-weighted bound, for a
Helmholtz machine always the latter; both are exact where the hidden units can be enumerated. The second is 0 for a
directed machine and that of its prior for a deep belief net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import beside, host
from boltz.errors import InputError
from boltz.estimators.ais import exact_or_ais
from boltz.estimators.closed_forms import Found, certain, variational
from boltz.estimators.document_lengths import log_z_by_length, together
from boltz.estimators.estimate import (
    TRUSTED_SAMPLES,
    Estimate,
    Kind,
    error_of_rows,
    exact,
    joined,
    joint_interval,
    kind_of_difference,
    kind_of_sum,
)
from boltz.estimators.importance import reduced
from boltz.estimators.marginals import marginal_of
from boltz.estimators.precision import above_zero
from boltz.estimators.second_look import look
from boltz.estimators.unknown_units import Sampled
from boltz.estimators.weight_means import bounds_and_errors, mean_and_error
from boltz.estimators.words import TRUSTED_SHARE
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.documents import by_length
from boltz.models.files import Model, checked_machine, log_units, visible_rows
from boltz.rng import Key
from boltz.sampling.evidence import Evidence, evidence_of
from boltz.units.states import own_lengths

Array = NDArray[Any]
Floats = NDArray[np.float64]
SAMPLES, MOST_BOUNDS = 1000, 1000
LOOKS = 8  # kinds of incomplete rows whose samples are looked at again, those with the most rows
TRUSTED_ROWS = 0.95
NOT_STATES = ("the rows are not 0/1, so they are no states of binary units",)
IMPOSSIBLE = ("log p(v) of binary rows is above 0, which cannot be",)


def log_likelihood(
    model: Model,
    x: Any,
    log_z: Estimate | float | Mapping[int, Estimate | float] | None = None,
    samples: int = 0,
    seed: int = 0,
    mask: Any = None,
) -> Estimate:
    """Mean log-likelihood of visible rows x (rows, units) in nats, with one value a row in per_row.

    Rows between 0 and 1 are no states of binary units: their value has kind "none" and is not trusted.

    Couplings within the visible layer are fine where hidden units, if any, are independent given it.

    - log_z: an Estimate, a number taken as exact, or None to compute it: exact for at most 20 units in the smaller
      colour class, else by boltz.ais. A machine without an RBM has none.
      Documents with lengths of their own have a log Z for each length: log_z maps lengths to Estimates or numbers, or
      is None. Then it is exact for at most 20 hidden units, else annealed for each of at most 40 lengths.
    - samples: k >= 1 asks for the importance-weighted bound. 0 enumerates at most 14 hidden units. Beyond that it takes
      the variational bound of a DBM, or 1,000 samples of a Helmholtz machine.

    kind says what is certified. An importance-weighted bound is trusted with at least 200 samples, 30 % of them
    effective in 95 % of the rows. Where hidden units are binary, chains from elsewhere must also find little of the
    posteriors of up to 64 rows where no sample was. standard_error is that of log Z and samples, standard_error_rows
    what other rows would change. Raises InputError, and NumericalError for an overflow.

    mask (rows, units) or (units,) is True where a unit is known; without one, NaN in x marks what is unknown. Unknown
    units are summed or integrated out, so that the value of a row is log p(its known part):

    - Boltzmann machine: exact where one side of the unknown and hidden units has at most 14 of them, or all are
      independent given what is known. Otherwise 200 chains are annealed over 500 temperatures for each row, or with
      samples so many importance samples are drawn, the unknown units being hidden ones: lower bounds in expectation.
    - Helmholtz machine: exact with at most 14 hidden units. Otherwise importance samples are drawn from recognition of
      the row as boltz.features fills it in, and only known units count in log p(v | h) (Mattei & Frellsen 2019, eq. 5).
      That is a lower bound, too. It is not trusted where hidden units are binary: no chains look for what samples miss.
    """
    model = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    samples = checks.integer(samples, "samples", 0, 2**31)
    seed = checks.seed(seed)
    evidence = evidence_of(model, x, mask)
    if own_lengths(model.layers[0].type):
        return of_documents(model, evidence.rows, log_z, samples, seed)
    if isinstance(log_z, Mapping):
        raise InputError("log_z must be an Estimate, a number or None, got a dict, as lengths of documents have.")
    partition, x = undirected_log_z(model, log_z, seed), evidence.rows
    if not evidence.known.all():
        return _incomplete(model, evidence, samples, partition, seed)
    found, kind, method = log_marginal(model, x, samples, seed)
    used = samples or SAMPLES
    used = used if method == _method(used) else 0
    result = of_rows(model, x, found, used, (kind, method), partition)
    return looked_at(model, x, [result], [found], used, seed)[0] if kind == "lower" and used else result


def of_documents(model: Model, x: Array, log_z: Any, samples: int, seed: int) -> Estimate:
    """The log-likelihood of checked documents x (rows, words) with lengths of their own, log p(v | its length)."""
    rows, whole = by_length(host(x)), checked_model(model, any_units=True)
    partitions = log_z_by_length(whole, {words: len(numbers) for words, numbers in rows.items()}, log_z, seed)
    found, kind, method = log_marginal(model, x, samples, seed)
    used = (samples or SAMPLES) if kind == "lower" and method == _method(samples or SAMPLES) else 0
    parts = {
        words: of_rows(
            whole.of_length(words), x[beside(numbers, x)], found[numbers], used, (kind, method), partitions[words]
        )
        for words, numbers in rows.items()
    }
    result = together(parts, rows)
    return looked_at(model, x, [result], [found], used, seed)[0] if used else result


def _incomplete(model: Model, evidence: Evidence, samples: int, log_z: Estimate, seed: int) -> Estimate:
    """The log-likelihood of the known parts of rows; those that are wholly known count as in log_likelihood."""
    checked_machine(model, any_units=True, any_graph=True)
    known, rows = host(evidence.known), evidence.rows
    whole, rest = (beside(np.flatnonzero(some), rows) for some in (known.all(axis=1), ~known.all(axis=1)))
    part = marginal_of(model).known(model, Evidence(rows[rest], evidence.known[rest]), samples, log_z, seed)
    values, kind, method = np.empty((len(rows), 4)), part.kind, part.method
    values[host(rest)] = part.values
    if len(whole):
        values[host(whole)], other, how = log_marginal(model, rows[whole], samples, seed)
        kind, method = kind_of_sum(kind, other), f"{how}; {method}"
    doubts = tuple(
        doubt
        for each in sorted(part.sampled, key=lambda one: -len(one.rows))[:LOOKS]
        for doubt in _seen(each, part.samples)
    )
    unknown = log_units(model) - np.reshape(log_units(model, known), (-1, 1))  # which of_rows takes off, too
    values[:, [0, 3]] += unknown
    found = of_rows(model, rows, values, part.samples, (kind, method), log_z)
    return replace(found, doubts=joined(found.doubts, part.doubts, tuple(dict.fromkeys(doubts))))


def _seen(part: Sampled, samples: int) -> tuple[str, ...]:
    """What a second look says against importance samples of rows of which the same entries are known."""
    error = error_of_mean(part.values[:, 1], part.values[:, 2])
    return look(part.machine, part.rows, part.values, samples, part.root).doubts(error)


def importance_bounds(
    model: Model,
    x: Any,
    samples: Sequence[int] = (1, 5, 50),
    log_z: Estimate | float | None = None,
    seed: int = 0,
) -> list[Estimate]:
    """The importance-weighted bounds L_k of visible rows x (rows, units) in nats, one Estimate for each k in samples.

    All come from the same log-weights, as many as the largest k: L_k is the mean over groups of k of them, so that the
    first minus the last estimates -KL(q, p). For an RBM q is exact and all are equal. log_z and what is returned are as
    in log_likelihood. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    listed = checks.sequence(samples, "samples", MOST_BOUNDS)
    sizes = [checks.integer(k, f"samples[{i}]", 1, 2**31) for i, k in enumerate(listed)]
    if not sizes:
        raise InputError("samples must name at least one number of samples, got none.")
    key = Key.from_seed(seed).derive("importance")
    x = visible_rows(model, x)
    partition = undirected_log_z(model, log_z, seed)
    if model.independent_hidden:
        found, kind, method = log_marginal(model, x, 0, seed)
        return [of_rows(model, x, found, 0, (kind, method), partition) for _ in sizes]
    checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    values = reduced(model, x, max(sizes), key, lambda log_w: bounds_and_errors(log_w, sizes))
    each = [values[:, i] for i in range(len(sizes))]
    results = [of_rows(model, x, f, k, ("lower", _method(k)), partition) for f, k in zip(each, sizes, strict=True)]
    return looked_at(model, x, results, each, max(sizes), seed)


def looked_at(
    model: Model, x: Array, results: list[Estimate], found: list[Floats], samples: int, seed: int
) -> list[Estimate]:
    """Estimates from the same samples, with what an independent look at some rows says against those still trusted."""
    if not any(result.trusted for result in results):
        return results
    best = int(np.argmax([each[:, 0].mean() for each in found]))
    seen = look(model, x, found[best], samples, Key.from_seed(seed))
    return [replace(result, doubts=joined(result.doubts, seen.doubts(result.standard_error))) for result in results]


def of_rows(model: Model, x: Array, found: Floats, samples: int, what: tuple[Kind, str], log_z: Estimate) -> Estimate:
    """log p of checked rows as one Estimate of their mean.

    found (rows, 4): log p*, its error, the effective share of its samples, so many a row, and their largest log-weight;
    what is (kind, method) of log p*.
    """
    (log_p, errors, share, _), (kind, method), rows = found.T, what, len(x)
    per_row = log_p - log_z.value - log_units(model)
    value, sampled, of_all = float(per_row.mean()), error_of_mean(errors, share), error_of_rows(per_row, errors)
    parts = (log_z.standard_error, log_z.chains), (sampled, rows * samples), (of_all, rows)
    grey, counted = grey_rows(model, x), counted_rows(model)  # grey ones are no states of binary units
    whole = model.undirected is None or log_z.value != 0  # with log Z = 0 it is log p*, which may be above 0
    least = 1 / samples if samples else 0.0  # what one sample more or less would change
    unsure = np.sqrt(errors**2 + least**2 + log_z.standard_error**2)
    impossible = counted and whole and not grey and above_zero(per_row, unsure, log_z)
    return Estimate(
        value,
        float(np.hypot(log_z.standard_error, sampled)),
        joint_interval(value, *(part for part in parts if part[0] > 0)),
        "none" if grey else kind_of_difference(kind, log_z.kind),
        log_z.ess,
        log_z.chains,
        log_z.steps,
        joined(
            log_z.doubts,
            few_samples(share, samples) if samples else (),
            NOT_STATES if grey else (),
            IMPOSSIBLE if impossible else (),
        ),
        log_z.log_weights,
        per_row,
        method + f"; log Z by {log_z.method}" * bool(log_z.method) + "; rows that are not 0/1" * grey,
        standard_error_rows=of_all,
    )


def counted_rows(model: Model) -> bool:
    """Whether visible rows are states that can be counted, so that no log-likelihood is above 0."""
    return all(layer.type.support is not None or layer.type.joint for layer in model.visible_layers)


def grey_rows(model: Model, x: Array) -> bool:
    """Whether rows x (rows, units) hold other numbers than 0 and 1 of binary units: then nothing is certified."""
    start, parts = 0, []
    for layer in model.visible_layers:
        parts += [x[:, start : start + layer.units]] if layer.binary else []
        start += layer.units
    return not all(((part == 0) | (part == 1)).all() for part in parts)


def error_of_mean(errors: Floats, share: Floats) -> float:
    """Standard error of a mean over rows from those of the rows (rows,), in nats.

    Rows with too few effective samples (share, (rows,)) err all to one side, so that their errors add up; those of the
    other rows are added in squares.
    """
    poor = share < TRUSTED_SHARE
    return float(np.hypot(np.sqrt(np.sum(errors[~poor] ** 2)), np.sum(errors[poor]))) / len(errors)


def few_samples(share: Floats, samples: int) -> tuple[str, ...]:
    """What so many samples a row, and their effective shares (rows,), say against the errors of the rows, in words."""
    if samples < TRUSTED_SAMPLES:
        return (f"rows have {samples} samples each, fewer than {TRUSTED_SAMPLES}",)
    enough = float(np.mean(share >= TRUSTED_SHARE))
    if enough < TRUSTED_ROWS:
        return (f"{1 - enough:.0%} of the rows have fewer than {TRUSTED_SHARE:.0%} of their samples effective",)
    return ()


def undirected_log_z(model: Model, given: Estimate | float | None, seed: int) -> Estimate:
    """log Z of the undirected part; 0 without a method where there is none."""
    undirected = model.undirected
    if undirected is None:
        if given is not None:
            raise InputError("log_z must be None for a directed machine, whose log Z is 0.")
        return exact(0.0, "")
    if isinstance(given, Estimate):
        return given
    if given is not None:
        return exact(checks.number(given, "log_z"), "the caller")
    return exact_or_ais(undirected, seed=seed)


def log_marginal(model: Model, x: Array, samples: int, seed: int) -> Found:
    """log p*(v) of checked rows: what of_rows takes (rows, 4), kind of bound, and method."""
    if samples == 0 or model.independent_hidden:
        found = marginal_of(model).closed(model, x)
        if found is not None:
            return found
    count = samples or SAMPLES
    values = reduced(model, x, count, Key.from_seed(seed).derive("importance"), mean_and_error)
    return values, "lower", _method(count)


def _method(samples: int) -> str:
    return f"importance-weighted bound, k = {samples}"


def variational_bound(
    model: BoltzmannMachine, x: Any, log_z: Estimate | float | None = None, seed: int = 0
) -> Estimate:
    """Mean over visible rows x (rows, units) of E_q log p*(v, h) + entropy of q, less log Z, in nats.

    q is the factorised posterior at the mean-field fixed point, also where hidden units could be enumerated. log_z as
    in boltz.log_likelihood; the kind is lower, less that of log Z. Raises InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    x = visible_rows(model, x)
    partition = undirected_log_z(model, log_z, seed)
    return of_rows(model, x, certain(variational(model, x)), 0, ("lower", "variational bound"), partition)
