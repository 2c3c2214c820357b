"""Checks of the rule ucd against enumeration; they also catch the planted faults of training.coupled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks.training import (
    KEY,
    SERIAL,
    assert_close,
    coin_rows,
    contrastive_statistics,
    gradient_of,
    machine_of,
    mean_moments,
)
from oracles import enumeration
from oracles.enumeration import Table
from scipy.stats import norm
from scipy.stats import t as student
from support import stats

from boltz.errors import NumericalError
from boltz.parallel import Workers
from boltz.sampling.gibbs import Scratch
from boltz.training import coupled
from boltz.training.contrastive import Contrastive
from boltz.training.coupled import Coupled
from boltz.training.positive import Posterior, Visit, mean_field
from boltz.training.rules import Clock
from boltz.training.settings import Settings

Floats = Any
CALLS, ROWS = 400, 50


def calls(table: Table, rows: Floats, rule: Contrastive) -> dict[str, Floats]:
    """Gradients of independent steps by name, (calls, ...)."""
    machine = machine_of(table)
    work, state = rule.workspace(machine), rule.init(machine, rows, KEY, len(rows))
    found = []
    for step in range(CALLS):
        gradient = rule.gradient(work, rows, state, Clock(KEY, step, rows=np.arange(len(rows))), SERIAL)
        found.append({n: x.copy() for n, x in gradient.items()})
    return {n: np.stack([each[n] for each in found]) for n in found[0]}


def unbiased_p(found: dict[str, Floats], mean: dict[str, Floats]) -> float:
    """p-value of the largest t of the calls against an expectation, by Bonferroni."""
    p = []
    for n, x in found.items():
        error = x.std(axis=0, ddof=1) / np.sqrt(CALLS)
        p.append(2 * student.sf(np.abs(x.mean(axis=0) - mean[n]) / error, CALLS - 1).ravel())
    return stats.smallest_of(np.concatenate(p))


def sees(found: dict[str, Floats], mean: dict[str, Floats], other: dict[str, Floats]) -> bool:
    """Whether an expectation other than mean would be noticed, by the errors of the calls, with power 0.999."""
    errors = {n: x.std(axis=0, ddof=1) / np.sqrt(CALLS) for n, x in found.items()}
    shift = max(float((np.abs(mean[n] - other[n]) / errors[n]).max()) for n in mean)
    cells = sum(x.size for x in mean.values())
    return bool(norm.sf(norm.isf(stats.ALPHA / cells / 2) - shift) >= stats.POWER)


def check_unbiased() -> None:
    """RBM, k = 1 and 3: the exact gradient of the log-likelihood, where that of CD-k would be noticed; alpha 1e-6.

    Catches a sum without one of its chains, with a wrong sign or lag, chains that start apart, and other numbers.
    """
    table, rows = Table.random((4, 3), 1.2, 13), np.repeat(coin_rows(5, 4, 14), ROWS // 5, axis=0)
    wanted = enumeration.gradient(table, rows)
    for k in (1, 3):
        found = calls(table, rows, Coupled(Settings(rule="ucd", k=k)))
        if k == 1:
            negative, _ = contrastive_statistics(table, rows, k)
            biased = {n: x - negative[n] for n, x in enumeration.posterior_moments(table, rows).items()}
            assert sees(found, wanted, biased)
        stats.accept(unbiased_p(found, wanted), f"coupled chains with k = {k} have a wrong expectation")


def check_deep_machine_is_unbiased() -> None:
    """DBM: the moments of mean field less those of the machine itself, whatever the chains start from; alpha 1e-6."""
    for units in ((3, 3, 2), (2, 2, 2, 2)):
        table = Table.random(units, 1.0, 17)
        rows = np.repeat(coin_rows(5, units[0], 18), ROWS // 5, axis=0)
        settings = Settings(rule="ucd")
        machine = machine_of(table)
        phase = Posterior(machine, settings.mean_field, 1, {})
        means = mean_field(phase, rows, Visit(KEY, 0), Scratch(machine.arena))
        data = mean_moments(table, {"v": rows, **means})
        wanted = {n: x - enumeration.moments(table)[n] for n, x in data.items()}
        found = calls(table, rows, Coupled(settings))
        stats.accept(unbiased_p(found, wanted), "coupled chains of a deep machine have a wrong expectation")
        assert sees(found, wanted, {n: x + 0.1 for n, x in wanted.items()})


def trail(table: Table, rows: Floats, k: int) -> list[tuple[float, dict[str, Floats]]]:
    """The terms of one call, by sign."""
    machine = machine_of(table)
    rule = Coupled(Settings(rule="ucd", k=k))
    work = rule.workspace(machine)
    _, chains = rule._data(work, rows, {}, Clock(KEY, 2), SERIAL)
    return list(rule._pairs(work, chains, Clock(KEY, 2), SERIAL))


def check_terms() -> None:
    """All chains once; then pairs, both halves of equal length, fewer and fewer, until all have met."""
    table, rows = Table.random((5, 4), 2.0, 19), coin_rows(40, 5, 20)
    for k in (1, 2):
        found = trail(table, rows, k)
        assert [sign for sign, _ in found] == [1.0] + [1.0, -1.0] * ((len(found) - 1) // 2)
        lengths = [len(x["v"]) for _, x in found]
        assert lengths[0] == 40 and lengths[1::2] == lengths[2::2] and sorted(lengths, reverse=True) == lengths
        assert lengths[1] < 40 and len(found) > 3


def check_gradient_is_the_sum_of_its_terms() -> None:
    """However few rows are summed at once, with offsets or without."""
    table, rows = Table.random((5, 4), 1.0, 19), coin_rows(40, 5, 20)
    machine, usual = machine_of(table), coupled.ROWS_AT_ONCE
    for center in (False, True):
        settings = {"center": center, "sparsity_cost": 0.3 * center}
        rule, found = Coupled(Settings(rule="ucd", **settings)), []
        _, tracked = gradient_of(machine, rows, Contrastive(Settings(rule="cd", **settings)), step=2)
        for at_once in (usual, 7):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(coupled, "ROWS_AT_ONCE", at_once)
                state = rule.init(machine, rows, KEY, len(rows))
                gradient = rule.gradient(rule.workspace(machine), rows, state, Clock(KEY, 2), SERIAL)
                found.append({n: x.copy() for n, x in gradient.items()})
                assert_close(state, tracked, 1e-15)
        assert_close(found[0], found[1], 1e-13)
    plain, _ = calls_once(table, rows)
    wanted = mean_moments(table, {"v": rows, "h1": enumeration.conditional(table, "h1", {"v": rows})})
    for sign, states in trail(table, rows, 1):
        share = len(states["v"]) / len(rows)
        wanted = {n: x - sign * share * mean_moments(table, states)[n] for n, x in wanted.items()}
    assert_close(plain, wanted, 1e-12)


def calls_once(table: Table, rows: Floats, pool: Workers = SERIAL, dtype: Any = np.float64) -> tuple[Any, Any]:
    """The gradient of step 2 and the arrays of the rule."""
    machine = machine_of(table).astype(dtype)
    rows = rows.astype(dtype)
    rule = Coupled(Settings(rule="ucd"))
    state = rule.init(machine, rows, KEY, len(rows))
    found = rule.gradient(rule.workspace(machine), rows, state, Clock(KEY, 2), pool)
    return {n: x.copy() for n, x in found.items()}, state


def check_chains_that_meet_stay_together() -> None:
    """From equal states both copies make the same sweep, so that what comes after a meeting adds nothing."""
    table, rows = Table.random((5, 4), 1.0, 19), coin_rows(40, 5, 20)
    machine, rule = machine_of(table), Coupled(Settings(rule="ucd"))
    work = rule.workspace(machine)
    _, chains = rule._data(work, rows, {}, Clock(KEY, 2), SERIAL)
    sweep = coupled.GibbsSweep(machine, KEY)
    copies = [{n: x.copy() for n, x in chains.items()} for _ in range(2)]
    one, other = (coupled._swept(sweep, each, 5, work, SERIAL) for each in copies)
    for n in one:
        np.testing.assert_array_equal(one[n], other[n])
        np.testing.assert_array_equal(copies[0][n], copies[1][n])


def check_meeting_is_likely() -> None:
    """Units differ with probability |p - q| alone: of 4,000 pairs from two fixed states as many meet as the product of
    1 - |p - q| over the units foretells; alpha 1e-6, and independent numbers would be noticed.
    """
    table, pairs = Table.random((3, 3), 1.0, 23), 4000
    machine = machine_of(table)
    rule = Coupled(Settings(rule="ucd"))
    work, sweep = rule.workspace(machine), coupled.GibbsSweep(machine, KEY)
    starts = [{"v": np.zeros((pairs, 3)), "h1": np.tile(h, (pairs, 1))} for h in ([0.0, 0, 1], [1.0, 0, 1])]
    p, q = (enumeration.conditional(table, "v", {"h1": each["h1"][:1]})[0] for each in starts)
    one, other = (coupled._swept(sweep, each, 3, work, SERIAL) for each in starts)
    alike = float(np.prod(1 - np.abs(p - q)))
    apart = float(np.prod(p * q + (1 - p) * (1 - q)))
    met = int((one["v"] == other["v"]).all(axis=1).sum())
    assert stats.detectable_binomial(pairs, alike, apart)
    stats.accept(stats.binomial_table(met, pairs, alike), "chains meet more or less often than they can")


def check_chains_that_do_not_meet_are_told() -> None:
    """A machine of two modes that no chain leaves; pairs from both modes never meet."""
    table = Table.chain([np.full((6, 6), 12.0)], [np.full(6, -36.0), np.full(6, -36.0)])
    machine, rule = machine_of(table), Coupled(Settings(rule="ucd"))
    chains = {"v": np.zeros((4, 6)), "h1": np.full((4, 6), 0.0)}
    chains["h1"][:, :3] = 1  # between the modes, whence a copy may fall into either
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coupled, "MOST_SWEEPS", 1)
        told = ""
        try:
            list(rule._pairs(rule.workspace(machine), chains, Clock(KEY, 1), SERIAL))
        except NumericalError as problem:
            told = str(problem)
    assert "have not met within 1 sweeps" in told


def check_steps_draw_anew() -> None:
    """From equal states the chains of two steps differ, and so do those of two blocks of rows."""
    table, rows = Table.random((5, 4), 1.0, 19), np.repeat(coin_rows(1, 5, 20), 40, axis=0)
    machine, rule = machine_of(table), Coupled(Settings(rule="ucd"))
    moved = []
    for step in (1, 2):
        chains = {"v": rows.copy(), "h1": np.zeros((40, 4))}
        _, states = next(rule._pairs(rule.workspace(machine), chains, Clock(KEY, step), SERIAL))
        moved.append(states["v"])
        assert (states["v"][:20] != states["v"][20:]).any(axis=1).mean() > 0.5, "two blocks of chains coincide"
    assert (moved[0] != moved[1]).any(axis=1).mean() > 0.5, "two steps coincide"


def check_never_replayed() -> None:
    """The host sees whether chains have met."""
    rule, machine = Coupled(Settings(rule="ucd")), machine_of(Table.random((4, 3), 1.0, 1))
    assert not rule.replayable(machine) and not rule.recordable(machine) and not rule.persistent
