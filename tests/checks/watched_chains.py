"""Checks of chains that a diagnosis watches on any graph, against sums over all joint states."""

from __future__ import annotations

import numpy as np
from checks.any_graph import joined, machine
from oracles.graphs import Wired
from support.stats import accept, chi_square

import boltz
from boltz.diagnostics.diagnose import diagnose
from boltz.diagnostics.traces import record
from boltz.diagnostics.units import weight_lengths
from boltz.rng import Key

CHAINS, SWEEPS = 20_000, 4
ERRORS = 5  # standard errors: one false alarm in two million


def check_record(name: str) -> None:
    """The free energy of the start is that of plain sums; chains that start by the law of the machine keep it (alpha
    1e-6), and mean activities are those of the law, within 5 errors, which finds 0.02.
    """
    model, truth = machine(name, scale=1.0), Wired.of(machine(name, scale=1.0))
    start = boltz.exact_samples(model, CHAINS, seed=3)
    seen = record(model, start, SWEEPS, Key.from_seed(4))
    held = model.graph.sides[0]
    columns = [c for n in held for c in range(*truth.layers[n].indices(len(truth.bias)))]
    law = truth.marginal(columns)
    rows = np.concatenate([start[n] for n in held], axis=1)[:50]
    wanted = [-np.log(law[tuple(row)]) - truth.log_z() for row in rows]
    np.testing.assert_allclose(seen.statistics[0, :50, 0], wanted, rtol=0, atol=1e-9)
    counts = np.bincount(truth.number(joined(model, seen.state)), minlength=len(truth.p()))
    accept(chi_square(counts, truth.p()), "watched chains leave the law of the machine")
    means = truth.p() @ truth.states()
    for layer, part in truth.layers.items():
        each = seen.activity[layer]
        error = each.std(axis=0, ddof=1) / CHAINS**0.5
        assert (error < 0.02 / ERRORS).all() and (abs(each.mean(axis=0) - means[part]) < ERRORS * error + 1e-12).all()


def check_views_are_judged() -> None:
    """Constant units, and activities that differ between data and chains, are told of the view that has them.

    Two of the five units of b differ by 0.5. The others differ by chance, 0.03 +- 0.02 each, so that the mean is 0.22
    +- 0.01: a false alarm is 4 of these away, and a view in the place of the other one gives less than 0.06.
    """
    model = boltz.multimodal({"a": 4, "b": 5}, {"a": [3], "b": [3]}, 2, dtype=np.float64)
    rng = np.random.default_rng(2)
    x = {"a": (rng.random((200, 4)) < 0.5).astype(float), "b": (rng.random((200, 5)) < 0.5).astype(float)}
    fine = diagnose(model, x, sweeps=20)
    assert fine.finding("visible activity").verdict == "fine" and fine.finding("constant pixels").value == 0
    x["b"][:, [1, 3]] = 1
    found = diagnose(model, x, sweeps=20)
    constant, activity = found.finding("constant pixels"), found.finding("visible activity")
    assert constant.value == 2 and "All 4 units of a vary" in constant.sentence
    assert (
        "2 of 5 units of b are constant in the data, and the machine moves 2 of them (units 1, 3)" in constant.sentence
    )
    assert abs(activity.value - 0.2) < 0.06 and "a unit of b differs" in activity.sentence


def check_lengths() -> None:
    """Norms of the weights into units, couplings within their layer and sparse ones among them, by plain numpy."""
    for name in ("both", "views", "sparse potts"):
        model, truth = machine(name), Wired.of(machine(name))
        for layer, part in truth.layers.items():
            wanted = np.linalg.norm(truth.couplings[part], axis=1)
            np.testing.assert_allclose(weight_lengths(model, layer), wanted, rtol=1e-12)


def check_record_of_skip() -> None:
    check_record("skip")
