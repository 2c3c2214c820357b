"""Runs the commands in this process, on small data of their own."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from boltz.cli import main

UNITS, TRAIN, TEST = 25, 60, 20
SMALL = ("--layers", "3", "--epochs", "3", "--batch-size", "20", "--chains", "10")


def invoke(*words: object) -> Result:
    """The result of `boltz WORDS`; an exception other than SystemExit is a fault and is raised."""
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="boltz", catch_exceptions=False)


def write_data(path: Path, high: int = 1) -> Path:
    """An .npz file of train and test rows with whole numbers from 0 to high."""
    generator = np.random.default_rng(7)
    x = generator.integers(0, high + 1, (TRAIN + TEST, UNITS)).astype(np.uint8)
    x[:, : UNITS // 2] = x[:, UNITS // 2 : -1]
    np.savez(path, x_train=x[:TRAIN], x_test=x[TRAIN:], shape=np.array([5, 5]))
    return path


def result_of(*words: object) -> dict[str, Any]:
    """The object that `boltz WORDS --json` prints."""
    found = invoke(*words, "--json")
    assert found.exit_code == 0, found.stderr
    assert len(found.stdout.splitlines()) == 1
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a running process has made a file."""
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()
