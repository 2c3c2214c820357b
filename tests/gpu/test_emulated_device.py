"""Catches work on a device, here the emulated one, with other results than on the CPU."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import emulated, on_device
from support.on_device import DIRECTED, STOPPING, TRAINING, TUNING, UNDIRECTED, X, boltzmann, helmholtz, rows
from support.training import plain_train

import boltz
from boltz.training import loop


@pytest.mark.parametrize("name", UNDIRECTED)
def test_boltzmann_machines(name: str, cupy: Any) -> None:
    on_device.check_call(UNDIRECTED[name], boltzmann())


@pytest.mark.parametrize(
    "name", ["sample", "run chains", "complete", "complete, grey", "ais", "mean field", "raise", "exchange"]
)
def test_boltzmann_machines_in_float32(name: str, cupy: Any) -> None:
    """Where states are multiplied on tensor cores and sweeps come from captured graphs."""
    on_device.check_call(UNDIRECTED[name], boltzmann(dtype=np.float32))


COUNTED = (
    "sample", "complete", "features", "mean field", "ais", "reverse ais", "exact log Z", "exact rows",
    "exact gradient", "energy", "free energy", "variational bound",
)  # fmt: skip  # and no rates by mean field, whose last sweep is another one on a device; no chains at another beta


@pytest.mark.parametrize("name", COUNTED)
def test_machines_with_binomial_units(name: str, cupy: Any) -> None:
    """Catches draws, entropies and energies of whole numbers that differ on a device."""
    rng = np.random.default_rng(4)
    weights = [rng.normal(0, 0.4, (12, 5)), rng.normal(0, 0.4, (5, 4))]
    model = boltz.from_arrays(weights, [np.zeros(n) for n in (12, 5, 4)], ["bernoulli", "binomial:5", "binomial:2"])
    on_device.check_call(UNDIRECTED[name], model)


def test_training_of_binomial_units(cupy: Any) -> None:
    x = np.random.default_rng(6).integers(0, 10, (40, 6))
    start = boltz.rbm(6, 4, x, units="binomial:9", hidden_units="binomial:3", dtype=np.float64)
    found, wanted = (plain_train(m, x, epochs=2, batch_size=10, chains=20).model for m in (start.to("cuda"), start))
    np.testing.assert_allclose(found.to("cpu").arena, wanted.arena, atol=1e-9)


@pytest.mark.parametrize("name", DIRECTED)
@pytest.mark.parametrize("kind", ["vae", "deep", "sbn", "wide", "dbn"])
def test_helmholtz_machines(kind: str, name: str, cupy: Any) -> None:
    on_device.check_call(DIRECTED[name], helmholtz(kind))


@pytest.mark.parametrize("kind", ["grey", "mixed", "dbn"])
def test_helmholtz_machines_in_float32(kind: str, cupy: Any) -> None:
    """Where sweeps come from captured graphs."""
    on_device.check_call(DIRECTED["complete"], helmholtz(kind, np.float32))


@pytest.mark.parametrize("name", TRAINING)
def test_training(name: str, cupy: Any) -> None:
    on_device.check_training(name)


@pytest.mark.parametrize("name", ["cd, momentum", "iwae"])
def test_training_in_float32(name: str, cupy: Any) -> None:
    on_device.check_training(name, np.float32)


@pytest.mark.parametrize("name", TUNING)
def test_fine_tuning(name: str, cupy: Any) -> None:
    on_device.check_fine_tuning(name)


def test_fine_tuning_in_float32(cupy: Any) -> None:
    on_device.check_fine_tuning("dbm, dropout", np.float32)


@pytest.mark.parametrize("parted", [False, True], ids=["held out", "validation"])
@pytest.mark.parametrize("name", STOPPING)
def test_early_stopping(name: str, parted: bool, cupy: Any) -> None:
    on_device.check_early_stopping(name, parted)


def test_resume(tmp_path: Path, cupy: Any) -> None:
    on_device.check_resume(tmp_path / "run")


def test_a_model_file_does_not_know_where_its_machine_was(tmp_path: Path, cupy: Any) -> None:
    for number, model in enumerate((boltzmann(), helmholtz("vae"), helmholtz("dbn"))):
        file = tmp_path / f"{number}.safetensors"
        model.to("cuda").save(file)
        found = boltz.load(file)
        assert found.device == "cpu"
        np.testing.assert_array_equal(found.arena, model.arena)


def test_samples_are_the_same_bits_on_the_device(cupy: Any) -> None:
    """2,000 chains of 30 sweeps: catches a step or a chain number that a graph does not advance."""
    model = boltzmann((12, 7), np.float32)
    here, there = (boltz.sample(m, 2000, 30, seed=4) for m in (model, model.to("cuda")))
    differ = sum(int((here[n] != there[n]).any(axis=1).sum()) for n in here)
    # a draw differs with probability 1e-7, and there are 1.2e6 of them, each of which may turn one chain
    assert differ <= 3


def test_the_host_waits_seldom(cupy: Any) -> None:
    """A stretch of temperatures is a few launches, and training looks at numbers once in 50 steps and at the end.

    Annealing waits 60 times, its second look as often, and a pilot of 100 temperatures at each of them; the short
    annealing at the end of a training waits 60 times.
    """
    model = boltzmann((12, 7), np.float32).to("cuda")
    boltz.ais(model, 30, 60, base=X)
    emulated.state.launches = emulated.state.waits = 0
    boltz.ais(model, 30, 1000, base=X)
    assert emulated.state.launches < 600 and emulated.state.waits < 60 + 60 + 100 + 40
    x = rows(1000)
    plain_train(model, x, epochs=1, batch_size=20, chains=20)
    emulated.state.launches = emulated.state.waits = 0
    plain_train(model, x, epochs=1, batch_size=5, chains=20)  # 200 updates
    assert emulated.state.waits < 40 + 60 and emulated.state.launches < 200 * 5


def test_a_run_that_diverges_on_the_device_stops(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within an epoch, or at a look inside it; what is not finite is named."""
    for looks in (loop.LOOKS, 3):
        monkeypatch.setattr(loop, "LOOKS", looks)
        model = boltzmann((12, 7), np.float32)
        model.arena[5] = np.inf
        with pytest.raises(boltz.NumericalError, match=r"Training stopped at joint, epoch 1: .* is not finite"):
            plain_train(model.to("cuda"), X, epochs=3, batch_size=2, chains=5)


def test_mean_field_stops_when_it_has_settled(cupy: Any) -> None:
    """Not at once, and at the fixed point that the CPU finds, within the tolerance."""
    model = boltzmann()
    options = boltz.MeanField(tolerance=1e-6, sweeps=10_000)
    here, there = (boltz.mean_field(m, X, options) for m in (model, model.to("cuda")))
    for layer in here:
        np.testing.assert_allclose(there[layer], here[layer], atol=1e-5)


FAULTS = {
    "a counter that stands still": ("*counter = step;", "", "sample"),
    "temperatures one step late": ("now[1] = betas[step];", "now[1] = betas[step - 1];", "ais"),
    "scales that are not read": ("if (scale_at) {", "if (false) {", "ais"),
    "biases that do not move": ("moved[u] = (real)(two - one);", "moved[u] = 0;", "ais from rates"),
    "the second part lost": ("columns + column] = second;", "columns + column] = third;", "ais"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_in_the_sources_is_caught(fault: str, cupy: Any) -> None:
    old, new, name = FAULTS[fault]
    emulated.state.edit = lambda code: code.replace(old, new)
    model = boltzmann(dtype=np.float32)
    with pytest.raises(AssertionError):
        on_device.agree(*(UNDIRECTED[name](m) for m in (model, model.to("cuda"))), 1e-5)


def test_the_planted_faults_are_of_lines_that_exist(cupy: Any) -> None:
    """And without them the same comparison holds."""
    cuda = importlib.import_module("boltz.kernels.cuda.launch")
    texts = "".join(cuda.source(f"{name}.cu") for name in ("bernoulli", "steps", "split"))
    assert all(old in texts for old, _, _ in FAULTS.values())
    model = boltzmann(dtype=np.float32)
    for name in ("sample", "ais"):
        on_device.agree(*(UNDIRECTED[name](m) for m in (model, model.to("cuda"))), 1e-5)
