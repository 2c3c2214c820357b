"""Checks of sigmoid belief nets whose units hear others of their layer, shared by the tests and by the planted faults.

Answers are sums over all states with the densities of oracles/factors.py. Each check takes no argument, is
quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from checks.directed import (
    CLOCK,
    SERIAL,
    assert_slopes,
    check_score_function,
    every_tuple,
    expected,
    expected_gradient,
    left_on,
    phases,
    weighted,
)
from oracles import directed as oracle
from oracles.directed import Directed
from support.stats import accept, chi_square, detectable_chi_square

import boltz
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.training.directed_settings import DirectedSettings
from boltz.training.variational import DirectedWorkspace, Variational

PAIRS = (("nade", "nade"), ("made", "made"), ("dense", "nade"), ("made", "factorial"))
DRAWS = 4000


def inside_of(conditionals: str, prior: str, units: int, above: int) -> dict[str, Any]:
    """The arguments of a belief net, with hidden units where there is a net that has some."""
    found: dict[str, Any] = {"conditionals": conditionals, "prior": prior}
    found |= {} if conditionals == "dense" else {"conditional_units": units}
    return found if prior == "factorial" else found | {"prior_units": above}


def machine_of(conditionals: str, prior: str, units: tuple[int, ...] = (3, 2, 2), seed: int = 1) -> Any:
    """A float64 machine with normal parameters and five hidden units in each net of the conditionals, four on top."""
    inside = inside_of(conditionals, prior, 5, 4)
    machine: Any = boltz.sbn(units, **inside).astype(np.float64)
    machine.arena[...] = np.random.default_rng(seed).normal(0, 0.8, machine.arena.size)
    return machine


def check_structure() -> None:
    """Each layer has the factor that was asked for, of its size, given the layer above it, and only then."""
    found = boltz.sbn([5, 4, 3], conditionals="nade", conditional_units=7, prior="made", prior_units=6)
    assert found.structure.factors == (("v", Nade(5, 7, 4)), ("h1", Nade(4, 7, 3)), ("h2", Made(3, (6,))))
    assert found.architecture == "5(nade 7)-4(nade 7)-3(made 6)"
    inner = boltz.sbn([5, 4, 3], [8, 6], prior="nade", prior_units=6)
    assert inner.architecture == "5-8-6-[4]-8-6-[3(nade 6)]"
    found = boltz.sbn([5, 4, 3], conditionals="made", conditional_units=7)
    assert found.structure.factors == (("v", Made(5, (7,), 4)), ("h1", Made(4, (7,), 3)))
    plain = boltz.sbn([5, 4, 3], seed=3)
    same = boltz.sbn([5, 4, 3], seed=3, conditionals="dense", prior="factorial")
    assert plain.structure == same.structure and (plain.arena == same.arena).all() and not plain.structure.factors
    assert plain.architecture == "5-4-3"


def check_exact() -> None:
    """Enumeration is exact: log p of every row is the sum over hidden states, and probabilities sum to 1."""
    every = oracle.bits(3)
    for pair in PAIRS:
        machine = machine_of(*pair)
        found = boltz.log_likelihood(machine, every)
        assert found.kind == "exact"
        np.testing.assert_allclose(found.per_row, oracle.log_evidence(Directed.of(machine), every), rtol=0, atol=1e-10)
        assert abs(np.exp(found.per_row).sum() - 1) < 1e-10
        assert abs(oracle.joint(Directed.of(machine))[1].sum() - 1) < 1e-12


def check_bounds() -> None:
    """The gradients of vimco, nvil and reinforce, summed over all samples, are those of their bounds."""
    check_score_function("vimco", machine_of("nade", "nade", (3, 2)), 2)
    check_score_function("nvil", machine_of("nade", "made"), 1)
    check_score_function("reinforce", machine_of("dense", "nade"), 1)


def check_wake() -> None:
    """The wake phases of rws: theta climbs the bound, phi the cross-entropy under normalised weights."""
    for pair in (("nade", "made"), ("made", "nade")):
        machine = machine_of(*pair)
        case = every_tuple(machine, oracle.bits(3)[[5, 2]], 2)
        found = expected_gradient(machine, case, DirectedSettings(objective="rws", samples=2, sleep_share=0.0))
        assert_slopes(found, weighted(case, machine), machine)
        assert_slopes(found, expected(case, oracle.log_mean_exp), machine, "generative")
        assert_slopes(found, expected(case, oracle.log_mean_exp), machine, "prior")


def check_sleep() -> None:
    """Dreams have the law of p(v, h), and phi learns from them; theta learns awake.

    A chi-square test over all states, with a false-alarm rate of 1e-9, sees dreams of units that do not hear the others
    of their layer.
    """
    for pair in (("nade", "nade"), ("made", "made")):
        machine = machine_of(*pair)
        x = np.tile(oracle.bits(3), (DRAWS // 8, 1))
        work = DirectedWorkspace(machine)
        Variational(DirectedSettings(objective="wake-sleep")).gradient(work, x, {}, CLOCK, SERIAL)
        awake, asleep = left_on(work.wake) | {"v": x}, left_on(work.sleep)
        assert_slopes(work.named, phases(awake, np.full(len(x), 1 / len(x)), asleep, 1.0), machine)
        assert_law(machine, asleep)


def check_samples() -> None:
    """boltz.sample draws all layers from p(v, h): the chi-square test of check_sleep."""
    for pair in PAIRS:
        machine = machine_of(*pair)
        assert_law(machine, boltz.sample(machine, DRAWS, seed=5))


def assert_law(machine: Any, states: Any) -> None:
    """States of all layers have the law of the machine, which differs enough from that of independent units."""
    (_, p), units = oracle.joint(Directed.of(machine)), dict(machine.units)
    counts = np.bincount(oracle.numbers(states, units), minlength=len(p))
    every = oracle.bits(sum(units.values()))
    alone = np.prod(np.where(every > 0, p @ every, 1 - p @ every), axis=1)
    assert detectable_chi_square(DRAWS, p, alone)
    accept(chi_square(counts, p), "states of all layers do not have the law of the machine")


def check_blocks() -> None:
    """A training has equal bits for one and two threads, and a saved machine comes back as it is."""
    x = np.random.default_rng(2).integers(0, 2, (64, 5)).astype(np.float32)
    for conditionals, prior in (("nade", "made"), ("made", "nade")):
        inside = inside_of(conditionals, prior, 6, 6)
        machine: Any = boltz.sbn([5, 4, 3], x=x, **inside)
        runs, before = [], boltz.threads()
        try:
            for threads in (1, 2):
                boltz.threads(threads)
                runs.append(boltz.train(machine, x, objective="rws", samples=9, epochs=1, batch_size=64).model)
        finally:
            boltz.threads(before)
        assert (runs[0].arena == runs[1].arena).all()
        assert all((runs[0].params[name] != x).any() for name, x in machine.params.items())
        with tempfile.TemporaryDirectory() as folder:
            runs[0].save(Path(folder) / "m.safetensors")
            again = boltz.load(Path(folder) / "m.safetensors")
        assert again.plan == runs[0].structure and (again.arena == runs[0].arena).all()
