"""Catches a benchmarks/gpu.py that fails without one sentence where there is no GPU, or does not run at toy size."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("gpu", "contenders", "contenders.gpu_torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("gpu")


def test_refused_without_a_gpu(command: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for device, words in (("cuda", "device cuda needs CuPy"), ("cpu", "device must be a GPU here")):
        assert command.main(["--device", device]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith(f"Error: {words}") and said.err.count("\n") == 1


def test_every_line_is_measured(command: Any, cupy: Any, capsys: Any) -> None:
    assert command.main(["--smoke", "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["lines"]
    assert [line["title"].split()[0] for line in found] == ["block", "RBM", "IWAE", "AIS,"]
    assert all(rate > 0 for line in found for rate in line["rates"].values())
    assert command.table(found).count("\n") == 1 + sum(len(line["rates"]) for line in found)


def test_peers_run(command: Any) -> None:
    """On the CPU, where they can be run; without a GPU nobody takes part."""
    pytest.importorskip("torch")
    generator, side = np.random.default_rng(0), command.gpu_torch
    weights = [0.1 * generator.normal(size=(12, 5)), generator.normal(size=12), generator.normal(size=5)]
    weights = [x.astype(np.float32) for x in weights]
    rows = (generator.random((40, 12)) < 0.3).astype(np.float32)
    nets = importlib.import_module("boltz").vae([12, 6, 6], latent=3, x=rows)
    for runs in (
        side.gibbs(weights, 20, "cpu"),
        side.pcd(weights, rows, 10, 0.1, "cpu"),
        side.iwae(nets.params, rows, 10, 4, "cpu"),
    ):
        assert list(runs) == [side.EAGER]
        runs[side.EAGER](3)
    assert side.gibbs(weights, 20, None) == side.pcd(weights, rows, 10, 0.1, None) == {}
