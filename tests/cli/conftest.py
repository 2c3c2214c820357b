"""A folder of its own for each test, with no data set but the small ones made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import SMALL, invoke, write_data


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of its own, and neither $BOLTZ_DATA nor a cache with data sets."""
    monkeypatch.chdir(tmp_path)
    for name in ("BOLTZ_DATA", "BOLTZ_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "bars.npz")


@pytest.fixture(scope="session")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "grey.npz", 255)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A complete run of a 16-3 RBM; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    found = invoke("train", "rbm", *SMALL, "--data", data, "--out", folder)
    assert found.exit_code == 0, found.stderr
    return folder
