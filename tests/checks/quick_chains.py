"""Quick checks of the measures of chains and of the findings of a diagnosis, by plain loops and planted machines."""

from __future__ import annotations

from typing import Any

import numpy as np
from checks.chains import autoregressive, calm, rows_of, slow_ess, slow_nested, slow_rhat, slow_time, two_modes

from boltz.diagnostics.diagnose import diagnose, diagnose_chains
from boltz.diagnostics.traces import record
from boltz.errors import InputError
from boltz.rng import Key
from boltz.sampling.chains import run_chains
from boltz.sampling.convergence import chain_ess, integrated_time, nested_rhat, split_rhat


def check_integrated_time() -> None:
    x = autoregressive(3, 128, 0.6, 1) + np.array([[0.3], [0.0], [-0.2]])
    np.testing.assert_allclose(integrated_time(x), slow_time(x), rtol=1e-9)
    assert np.isinf(integrated_time(np.repeat([[0.0], [1.0]], 50, axis=1))), (
        "chains that stand apart have no short time"
    )
    assert np.isinf(integrated_time(autoregressive(3, 40, 0.9, 2))), "40 draws cannot show a time of 19"


def check_split_rhat() -> None:
    x = autoregressive(3, 41, 0.6, 3) + np.array([[0.5], [0.0], [0.0]])
    np.testing.assert_allclose(split_rhat(x), slow_rhat(x), rtol=1e-12)
    wide = np.concatenate([autoregressive(2, 40, 0.0, 4), 9 * autoregressive(2, 40, 0.0, 5)])
    np.testing.assert_allclose(split_rhat(wide), slow_rhat(wide), rtol=1e-12)  # equal means, other spread


def check_chain_ess() -> None:
    for a, shift in ((0.6, 0.0), (0.6, 1.0), (-0.5, 0.0)):
        x = autoregressive(3, 41, a, 6) + np.array([[shift], [0.0], [0.0]])
        np.testing.assert_allclose(chain_ess(x), slow_ess(x), rtol=1e-9)


def check_orientation() -> None:
    """A run, its trace with axis=0, and that transposed are one; a trace that may lie either way is refused."""
    model = calm(6, 5)
    run = run_chains(model, 400, 20, start="uniform")
    for measure in (integrated_time, split_rhat, chain_ess):
        right = measure(run.trace.T)
        assert measure(run) == measure(run.trace, axis=0) == measure(run.trace.T, axis=1) == right, measure
        assert "no more chains than draws, got shape (400, 20): give axis=0 where" in refusal(measure, run.trace)
        assert measure(run.trace, axis=1) != right  # 400 chains of 20 draws, as was asked for
        several = run_chains(model, 400, 20, start="uniform", beta=[0.5, 1.0])
        for x in (several, several.trace):
            assert "one temperature, got shape (2, 400, 20)" in refusal(measure, x)
        assert "axis must be left out" in refusal(measure, run, axis=1)


def refusal(call: Any, *given: Any, **named: Any) -> str:
    """What a call is refused with, nothing where it is not."""
    try:
        call(*given, **named)
    except InputError as problem:
        return str(problem)
    return ""


def check_nested_rhat() -> None:
    x = np.random.default_rng(7).normal(size=(2, 3, 10)) + np.array([0.0, 0.7])[:, None, None]
    np.testing.assert_allclose(nested_rhat(x), slow_nested(x), rtol=1e-12)


def check_planted_units() -> None:
    """Units 0 and 4 (never on, for their biases), 1 (always on), 3 (a copy of 2), constant visible units; no others."""
    machine = calm(6, 5)
    weight, bias, rows = machine.params["edge/v-h1/weight"], machine.bias("h1"), rows_of(machine)
    bias[[0, 1, 4]] = -30.0, 30.0, -30.0
    weight[:, 2] = 1.0, -2.0, 1.5, 0.5, -1.0, 2.0
    weight[:, 3], bias[3] = weight[:, 2] * 1.02, bias[2]
    rows[:, 4] = 1.0
    machine.bias("v")[4] = 30.0
    found = diagnose(machine, rows, sweeps=60)
    dead, again = found.finding("dead units"), found.finding("duplicated units")
    assert dead.value == 3 and "2 of 5 units of h1 are never on (units 0, 4)" in dead.sentence, dead
    assert "1 of 5 units of h1 are always on (unit 1)" in dead.sentence and dead.verdict == "bad"
    assert again.value == 1 and "(2 = 3)" in again.sentence and again.verdict == "bad"
    pixels = found.finding("constant pixels")
    assert pixels.value == 1 and pixels.verdict == "fine", pixels
    machine.bias("v")[4] = 0.0
    pixels = diagnose(machine, rows, sweeps=60).finding("constant pixels")
    assert pixels.value == 1 and pixels.verdict == "attention" and "(unit 4)" in pixels.sentence


def check_modes_are_found() -> None:
    """Data in one of two modes: chains from anywhere find the other, and none ever leaves its own."""
    found = diagnose(two_modes(), np.ones((30, 8)), sweeps=100)
    assert found.finding("initial condition").verdict == "bad", found.finding("initial condition")
    both = diagnose(two_modes(), np.repeat([[0.0], [1.0]], 8, axis=1), sweeps=100)
    assert both.finding("agreement of chains").verdict == "bad", both.finding("agreement of chains")
    assert both.finding("changes in chains").value == 1 and both.verdict == "bad"


def check_recorded_statistics() -> None:
    """The free energy of particles that cannot move is that of the machine, and so are their activities."""
    machine = two_modes()
    machine.bias("h1")[...] += 0.25 * np.arange(8)
    particles = {"v": np.ones((4, 8)), "h1": np.zeros((4, 8))}
    seen = record(machine, particles, 4, Key(1, 2))
    np.testing.assert_allclose(seen.statistics[0], np.repeat(machine.free_energy(particles["v"])[:, None], 4, axis=1))
    means = 1 / (1 + np.exp(-(8 * 8.0 - 32 + 0.25 * np.arange(8))))
    np.testing.assert_allclose(seen.activity["h1"], np.tile(means, (4, 1)), atol=1e-9)
    assert (seen.changes == 0).all() and (seen.state["h1"] == 1).all()


def check_chains_without_rows() -> None:
    """Chains of a machine that names no data start in both of its modes, which they never leave."""
    found = diagnose_chains(two_modes(), sweeps=40)
    assert found.finding("agreement of chains").verdict == "bad", found.finding("agreement of chains")
    assert found.measures["chains"] == 100 and diagnose_chains(calm(6, 5), sweeps=100).verdict == "fine"
