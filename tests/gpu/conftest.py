"""An emulated cupy for the tests of this folder that ask for it; where g++ is missing they are skipped."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import cuda_shim

from boltz.training import held_out

STEPS, CHAINS = 8, 8  # of the quick look at a machine after training, where each thread of a device is a fiber


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled sources stay for the session."""
    return cuda_shim.shared_folder(tmp_path_factory)


@pytest.fixture
def cupy(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The emulated module in the place of cupy; what it computed is forgotten afterwards."""
    if cuda_shim.COMPILER is None or not sys.platform.startswith("linux"):
        pytest.skip("g++ on Linux is not there: device arrays are not checked on the CPU")
    emulated = importlib.import_module("support.emulated")
    cuda = importlib.import_module("boltz.kernels.cuda.launch")
    found = emulated.module(compiled)
    monkeypatch.setitem(sys.modules, "cupy", found)
    monkeypatch.setattr(cuda, "THREADS", 32)  # each is a fiber here
    monkeypatch.setattr(held_out, "STEPS", STEPS)
    monkeypatch.setattr(held_out, "CHAINS", CHAINS)
    cuda.forget()
    yield found
    cuda.forget()
