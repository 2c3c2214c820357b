"""Catches work on a real device with other results than on the CPU; skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import on_device
from support.devices import ON_DEVICE
from support.on_device import DIRECTED, STOPPING, TRAINING, TUNING, UNDIRECTED, X, boltzmann, helmholtz
from support.training import plain_train

import boltz
from boltz.kernels.cuda.graphs import Clock, Replay
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep, Scratch, random_state, turned_weights

pytestmark = ON_DEVICE
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@pytest.mark.parametrize("name", UNDIRECTED)
def test_boltzmann_machines(name: str, dtype: Any) -> None:
    on_device.check_call(UNDIRECTED[name], boltzmann(dtype=dtype))


@pytest.mark.parametrize("name", DIRECTED)
@pytest.mark.parametrize("kind", ["vae", "deep", "sbn", "wide", "dbn"])
def test_helmholtz_machines(kind: str, name: str) -> None:
    on_device.check_call(DIRECTED[name], helmholtz(kind))


@DTYPES
@pytest.mark.parametrize("name", TRAINING)
def test_training(name: str, dtype: Any) -> None:
    on_device.check_training(name, dtype)


@DTYPES
@pytest.mark.parametrize("name", TUNING)
def test_fine_tuning(name: str, dtype: Any) -> None:
    on_device.check_fine_tuning(name, dtype)


@pytest.mark.parametrize("parted", [False, True], ids=["held out", "validation"])
@pytest.mark.parametrize("name", STOPPING)
def test_early_stopping(name: str, parted: bool) -> None:
    on_device.check_early_stopping(name, parted)


def test_resume(tmp_path: Path) -> None:
    on_device.check_resume(tmp_path / "run")


def test_log_z_and_exchange() -> None:
    """The whole of replica exchange, and log Z from both sides on a machine that is too large to enumerate."""
    model = boltzmann((30, 22), np.float64)
    on_device.check_call(lambda m: boltz.exchange_log_z(m, copies=4, rounds=20, base=X_30).estimate, model)
    found = boltz.log_z(model.to("cuda"), error=5.0, budget=0.0, base=X_30)
    assert np.isfinite([found.lower.value, found.estimate.value, found.upper.value]).all()


X_30 = on_device.rows(40, 30)


@DTYPES
def test_samples_are_the_same_bits(dtype: Any) -> None:
    """Machines of the usual size: of 2e7 draws each differs with probability 1e-7 in float32, each of which may turn
    the rest of a chain.
    """
    model = boltzmann((784, 500), dtype)
    model.arena[...] /= 10
    here, there = (boltz.sample(m, 1000, 16, seed=4) for m in (model, model.to("cuda")))
    differ = sum(int((here[n] != there[n]).any(axis=1).sum()) for n in here)
    assert differ <= (20 if dtype == np.float32 else 0)


def test_replayed_sweeps_are_those_launched_one_by_one() -> None:
    """Bit for bit: catches work that a graph does out of order, and a step that it does not advance."""
    model = boltzmann((100, 60), np.float32).to("cuda")
    sweep = GibbsSweep(model, Key(1, 2), turned=turned_weights(model))
    states = [random_state(model, 200, Key(3, 4)) for _ in range(2)]
    for step in range(120):
        sweep.sweep(states[0], step, 0, Scratch(model.arena))
    clock, scratch = Clock.before(0), Scratch(model.arena)

    def work() -> None:
        clock.tick()
        sweep.sweep(states[1], clock.counter, 0, scratch)

    Replay(work).run(120)
    for layer in model.graph.units:
        np.testing.assert_array_equal(states[0][layer].get(), states[1][layer].get())


def test_repeated_runs_are_equal_bit_for_bit() -> None:
    """Of training, of annealing and of an importance-weighted bound."""
    calls = {
        "train": lambda: plain_train(
            boltzmann((12, 7), np.float32).to("cuda"), X, epochs=3, chains=20
        ).model.arena.get(),
        "ais": lambda: boltz.ais(boltzmann((12, 7), np.float32).to("cuda"), 100, 500, base=X).log_weights,
        "bound": lambda: boltz.log_likelihood(helmholtz("vae", np.float32).to("cuda"), X, samples=50).per_row,
    }
    for name, call in calls.items():
        first = call()
        for _ in range(3):
            np.testing.assert_array_equal(call(), first, err_msg=name)
