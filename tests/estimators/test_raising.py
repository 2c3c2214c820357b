"""Catches RAISE weights whose means are not the probabilities under the annealing model, at any visible state.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import annealing
from oracles import chains, enumeration
from oracles.enumeration import Table
from scipy.special import logsumexp
from support import stats
from support.machines import SMALL, base_of, machine_of, rates_of

import boltz
from boltz.estimators import reverse_ais

BETAS = np.array([0.0, 0.3, 0.6, 1.0])


def path_of(table: Table, betas: Any = BETAS) -> chains.Path:
    """The enumerated path over the class of the visible layer."""
    return chains.reduced_path(table, base_of(table), betas, enumeration.colours(table)[0])


def annealed(table: Table, betas: Any = BETAS) -> np.ndarray:
    """Probability of each visible state under the annealing model."""
    law = chains.annealed_distribution(path_of(table, betas))
    return np.asarray(law.reshape(2 ** table.layers["v"], -1).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rbm", "wide", "dbm2", "dbm3", "ring"])
def test_weights_have_the_annealing_model_as_their_mean(name: str, dtype: Any) -> None:
    """Mean of 40,000 weights, shared among all visible states, their variance by matrix products.

    Catches a factor of 1.5 at any state of more than a hundredth of probability, such as a walk without its first move
    at the machine itself, which has the probabilities of another annealing model.
    """
    table = SMALL[name]
    rows = enumeration.bits(table.layers["v"])
    count = 40_000 // len(rows)
    means = boltz.mean_field(machine_of(table), rows)
    law, variance = annealing.raise_law(table, path_of(table), means)
    np.testing.assert_allclose(law, annealed(table), rtol=1e-10)
    found = boltz.raise_likelihood(machine_of(table, dtype), rows, count, BETAS, seed=5, base=rates_of(table))
    relative, spread = np.exp(found.log_weights) / law[:, None], variance / law**2
    p = [stats.mean_test(r, 1.0, v) for r, v in zip(relative, spread, strict=True)]
    stats.accept(stats.smallest_of(p), "RAISE is biased for the annealing model")
    likely = law > 0.01
    assert all(stats.detectable_mean(count, 0.5, v, stats.ALPHA / len(rows)) for v in spread[likely])


@pytest.mark.parametrize("name", ["rbm", "wide", "dbm2", "dbm3"])
def test_a_walk_without_its_first_move_is_seen(name: str) -> None:
    """At one likely state at least its mean weight is off by more than the test above can see."""
    table, law = SMALL[name], annealed(SMALL[name])
    path = path_of(table)
    short = chains.Path(path.log_f, path.forward[:-1], path.backward)
    wrong = chains.annealed_distribution(short).reshape(len(law), -1).sum(axis=1)
    assert np.abs(wrong / law - 1)[law > 0.01].max() > 0.5


@pytest.mark.parametrize("name", ["rbm", "dbm2"])
def test_values_are_lower_bounds_for_the_annealing_model(name: str) -> None:
    """The log of a mean of 20 weights, over 200 groups of them a row; alpha 1e-6, catches 0.1 nats too much."""
    table = SMALL[name]
    rows = enumeration.bits(table.layers["v"])
    found = boltz.raise_likelihood(machine_of(table), rows, 4000, BETAS, seed=6, base=rates_of(table))
    values = logsumexp(found.log_weights.reshape(len(rows), 200, 20), axis=2) - np.log(20)
    truth = float(np.log(annealed(table)).mean())
    stats.accept(annealing.bound_test(values.mean(axis=0), truth), "RAISE is no lower bound")
    assert annealing.detectable_excess(values.mean(axis=0), 0.1)


def test_many_temperatures_reach_the_machine() -> None:
    """1,000 temperatures, 200 chains: every row within 4 standard errors of its own log-likelihood.

    A correct one fails with probability 16 x 6.3e-5 at a fresh key; the key is fixed. Errors below 0.02 nats: catches a
    value that is off by 0.1.
    """
    table = SMALL["rbm"]
    rows = enumeration.bits(4)
    found = boltz.raise_likelihood(machine_of(table), rows, 200, seed=6)
    errors = np.exp(found.log_weights - found.log_weights.max()).std(axis=1, ddof=1) / np.sqrt(200)
    errors /= np.exp(found.log_weights - found.log_weights.max()).mean(axis=1)
    assert found.per_row is not None and errors.max() < 0.02
    assert (np.abs(found.per_row - enumeration.log_likelihood(table, rows)) < 4 * errors).all()
    assert found.value == pytest.approx(found.per_row.mean(), abs=1e-12) and found.trusted and found.ess > 180
    assert found.standard_error == pytest.approx(np.sqrt((errors**2).sum()) / 16, rel=1e-9)


def test_what_it_says_of_itself() -> None:
    model, rows = machine_of(SMALL["dbm2"]), enumeration.bits(3)
    found = boltz.raise_likelihood(model, rows, 10, 7)
    assert (found.kind, found.chains, found.steps, found.trusted) == ("none", 10, 7, False)
    assert found.method == "RAISE: conservative, a lower bound for the annealing model of 7 temperatures"
    assert found.log_weights.shape == (8, 10)
    grey = boltz.raise_likelihood(model, 0.5 * rows, 200, 200)
    assert "rows that are not 0/1" in grey.method and not grey.trusted
    single = boltz.raise_likelihood(model, rows[:1], 1, 5)
    assert single.standard_error == np.inf and np.isfinite(single.value)


def test_results_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on threads nor on the rows that follow; rows that are worked on one after the other draw anew."""
    model, rows, before = machine_of(SMALL["dbm2"]), np.repeat(enumeration.bits(3), 9, axis=0), boltz.threads()
    first, other = (boltz.raise_likelihood(model, rows, 5, 20, seed=seed).log_weights for seed in (1, 2))
    try:
        boltz.threads(3)
        again = boltz.raise_likelihood(model, rows, 5, 20, seed=1).log_weights
    finally:
        boltz.threads(before)
    assert (first == again).all() and (first != other).all()
    few = boltz.raise_likelihood(model, rows[:20], 5, 20, seed=1).log_weights
    assert np.abs(few - first[:20]).max() < 1e-9
    monkeypatch.setattr(reverse_ais, "AT_ONCE", 45)
    parts = boltz.raise_likelihood(model, np.repeat(rows[:1], 18, axis=0), 5, 20, seed=1).log_weights
    assert np.unique(parts.round(9)).size == parts.size


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"x": np.zeros((2, 4))}, "x"), ({"chains": 0}, "chains"), ({"betas": 0}, "betas"), ({"seed": -1}, "seed")],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(boltz.InputError, match=rf"^{name} must "):
        boltz.raise_likelihood(machine_of(SMALL["dbm2"]), **({"x": np.zeros((2, 3))} | arguments))


def test_an_overflow_is_told() -> None:
    model = boltz.from_arrays([np.full((3, 2), np.float32(3e38))], [np.zeros(3, np.float32), np.zeros(2, np.float32)])
    with pytest.raises(boltz.NumericalError):
        boltz.raise_likelihood(model, np.ones((2, 3)), 4, 10)
