"""Catches a command that ignores --device, or that does not say why the device cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import boltz
from boltz.cli import main
from boltz.evaluation import warm_up

COMMANDS = ("train", "logz", "evaluate", "sample", "diagnose", "compare", "features", "classify", "autoencode")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_commands_run_on_the_device(tmp_path: Path, cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train = ("train", "rbm", "--layers", 5, "--limit", 200, "--epochs", 1, "--no-evaluate", "--snapshots", 2)
    for device in ("cpu", "cuda"):
        result = invoke(*train, "--out", device, "--device", device)
        assert result.exit_code == 0, result.output
    few = boltz.load_data("mnist-mini", limit=20)
    np.savez("few.npz", x_train=few.x, y_train=few.labels)
    for arguments in (
        ("logz", "--chains", 20, "--betas", 10),
        ("evaluate", "--limit", 20),
        ("sample", "--sweeps", 3, "--out", "a.png"),
        ("diagnose", "--sweeps", 20, "--limit", 30),
        ("compare", "--limit", 20),
        ("features", "--limit", 40, "--out", "f.npy"),
        ("complete", "--limit", 5, "--mask", "top", "--sweeps", 3, "--out", "c.npy"),
        ("classify", "--limit", 60, "--epochs", 1, "--test", "few.npz", "--out", "classes"),
        ("autoencode", "--limit", 60, "--epochs", 1, "--test", "few.npz", "--out", "codes"),
    ):
        result = invoke(arguments[0], "cuda", *arguments[1:], "--device", "cuda:0", "--json")
        assert result.exit_code == 0, (arguments, result.output)
    both = [
        json.loads(invoke("evaluate", device, "--limit", 20, "--device", device, "--json").stdout)["log_likelihood"]
        for device in ("cpu", "cuda")
    ]
    assert both[0]["value"] == pytest.approx(both[1]["value"], abs=1e-3)
    assert invoke("train", "--resume", "cuda", "--device", "cuda").exit_code == 0
    Path("classes/network.safetensors").unlink()
    assert invoke("classify", "--resume", "classes", "--device", "cuda").exit_code == 0


def test_compiling_for_a_device_is_said_once_it_takes_long(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the word missing where sources are compiled, and its presence where they are not."""
    said = []
    for device, seconds in (("cuda", 0.0), ("cuda", 600.0), ("cpu", 0.0)):
        monkeypatch.setattr(warm_up, "COMPILE_SECONDS", seconds)
        warm_up.warm_up(
            "rbm", boltz.Settings(), device, lambda text, case=(device, seconds): said.append((*case, text))
        )
    assert said == [("cuda", 0.0, "compiling kernels of the GPU (first use)")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_cannot_be_is_refused_in_one_sentence(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    first = "rbm" if command == "train" else "nowhere"
    for device, words in (
        ("cuda", "device cuda needs CuPy: in the folder of boltz, python3 -m pip install"),
        ("gpu", "device must be cpu, cuda, or"),
    ):
        result = invoke(command, first, "--device", device)
        assert result.exit_code == 2 and result.stderr.startswith(f"Error: {words}"), result.output
        assert result.stderr.count("\n") == 1
