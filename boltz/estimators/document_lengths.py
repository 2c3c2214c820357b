"""log Z of a machine of documents, which depends on their length, and what follows of rows of several lengths.

log Z(D) = log sum_h exp(a.h - base energy of h) (sum_k exp(b_k + W_k.h))^D: exact by enumeration of the hidden side,
once for all lengths, or annealed length by length with the words summed out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.ais import ais
from boltz.estimators.estimate import Estimate, error_of_rows, exact, joined, joint_interval, kind_of_sum
from boltz.estimators.exact import class_states, class_units, configurations, quick
from boltz.models.boltzmann import BoltzmannMachine
from boltz.numerics import logsumexp
from boltz.parallel import workers

Floats = NDArray[np.float64]
Rows = Mapping[int, NDArray[np.int64]]
MOST_LENGTHS = 40  # whose log Z are annealed unless they are given
CHAINS, TEMPERATURES = 100, 1000
TOGETHER = 1 << 22  # fields of words that are in memory at once
DOUBTED = 0.05  # share of the rows whose own doubts count


def log_z_by_length(model: BoltzmannMachine, lengths: Mapping[int, int], given: Any, seed: int) -> dict[int, Estimate]:
    """log Z in nats of each of some lengths, with how many rows have it; given as log_z in boltz.log_likelihood.

    Raises InputError where there are too many lengths for annealing, and where one that is given lacks.
    """
    if given is not None:
        return _checked(given, list(lengths))
    if quick(model):
        return exact_by_length(model, list(lengths))
    if len(lengths) > MOST_LENGTHS:
        common = sorted(lengths, key=lambda words: -lengths[words])[:MOST_LENGTHS]
        share = sum(lengths[words] for words in common) / sum(lengths.values())
        raise InputError(
            f"x must have documents of at most {MOST_LENGTHS} lengths, since log Z is annealed for each, got "
            f"{len(lengths)}: give rows of the most common ones ({MOST_LENGTHS} have {share:.0%} of the rows), or "
            "log_z={length: boltz.ais(model.of_length(length)), ...}."
        )
    return {words: ais(model.of_length(words), CHAINS, TEMPERATURES, seed) for words in lengths}


def _checked(given: Any, lengths: Sequence[int]) -> dict[int, Estimate]:
    """What a caller gives for each length; a single Estimate or number will do for rows of one length."""
    if not isinstance(given, Mapping):
        if len(lengths) > 1:
            raise InputError(
                f"log_z must map lengths of documents to what log Z is there, since x has {len(lengths)} of them, got "
                f"{checks.brief(given)}."
            )
        given = dict.fromkeys(lengths, given)
    lacking = [words for words in lengths if words not in given]
    if lacking:
        raise InputError(f"log_z must hold log Z of documents of {lacking[0]} words, got {checks.few(given)}.")
    return {
        words: given[words]
        if isinstance(given[words], Estimate)
        else exact(checks.number(given[words], f"log_z[{words}]"), "the caller")
        for words in lengths
    }


def exact_by_length(model: BoltzmannMachine, lengths: Sequence[int]) -> dict[int, Estimate]:
    """log Z in nats of each length by enumerating the hidden layers that hear the words, once for all of them."""
    machine = model.to("cpu").astype(np.float64)
    visible, mine = machine.visible, machine.graph.colours[1]
    rest = [layer for layer in machine.graph.colours[0] if layer != visible]
    total, step = class_states(machine, mine), max(1, TOGETHER // machine.units[visible])
    assert total is not None
    words = np.array(lengths, np.float64)

    def part(first: int) -> Floats:
        state = configurations(machine, mine, slice(first, min(first + step, total)))
        one = logsumexp(machine.field(visible, state), axis=1)
        return np.asarray(logsumexp(words[:, None] * one - machine.marginal_energy(state, rest), axis=1))

    with workers() as pool:
        values = logsumexp(np.stack(pool.map(part, list(range(0, total, step)))), axis=0)
    method = f"enumeration of {class_units(machine, mine)} units"
    return {length: exact(float(value), method) for length, value in zip(lengths, values, strict=True)}


def together(parts: Mapping[int, Estimate], rows: Rows) -> Estimate:
    """One Estimate of the mean over all rows from those of the rows of each length, whose errors are independent."""
    count = sum(len(numbers) for numbers in rows.values())
    per_row, shares = np.empty(count), {words: len(numbers) / count for words, numbers in rows.items()}
    for words, numbers in rows.items():
        per_row[numbers] = parts[words].per_row
    errors = [(shares[words] * part.standard_error, part.chains or count) for words, part in parts.items()]
    of_rows, value = error_of_rows(per_row, np.zeros(count)), float(per_row.mean())
    doubted = {words: part.doubts for words, part in parts.items() if part.doubts}
    told: tuple[str, ...] = ()
    if sum(shares[words] for words in doubted) > DOUBTED:
        most = max(doubted, key=lambda words: shares[words])
        told = tuple(f"of documents of {most} words: {doubt}" for doubt in doubted[most])
        if len(doubted) > 1:
            told = joined(told, (f"log Z of {len(doubted)} of {len(parts)} lengths is in doubt",))
    some = next(iter(parts.values()))
    found = [part for part in parts.values() if part.chains] or [some]
    return Estimate(
        value,
        float(np.hypot.reduce([error for error, _ in errors])),
        joint_interval(value, *(error for error in errors if error[0] > 0), *([(of_rows, count)] if of_rows else [])),
        reduce(kind_of_sum, (part.kind for part in parts.values())),
        min(part.ess for part in found),
        some.chains,
        some.steps,
        told,
        per_row=per_row,
        method=f"{some.method}, of each of {len(parts)} lengths",
        standard_error_rows=of_rows,
    )
