"""A folder of its own for each test, with no data set but the small ones made here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import SMALL, invoke, write_data

from boltz.evaluation import warm_up
from boltz.plotting import images
from boltz.training.settings import Common

WRITTEN, WARM_UP = images.written, warm_up.warm_up
WARM: set[tuple[Any, ...]] = set()
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b5500"
    "00000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)


@pytest.fixture(autouse=True, scope="module")
def unpainted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pictures are composed but end as one pixel: painting them would take most of the time of a command.

    A module of which PAINTED is true has them painted.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "PAINTED", False):
            patch.setattr(images, "written", lambda figure, ending: PIXEL)
        yield


@pytest.fixture(autouse=True, scope="module")
def warm() -> Iterator[None]:
    """Commands of this process warm up once for a kind of machine and choice of rule: kernels stay compiled."""

    def once(kind: str, settings: Common, *rest: Any) -> None:
        asked = (kind, *(getattr(settings, name, None) for name in ("optimizer", "rule", "objective")))
        if asked not in WARM:
            WARM_UP(kind, settings, *rest)
            WARM.add(asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm_up, "warm_up", once)
        yield


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are painted, for tests that are about them."""
    monkeypatch.setattr(images, "written", WRITTEN)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of its own, and neither $BOLTZ_DATA nor a cache with data sets."""
    monkeypatch.chdir(tmp_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    monkeypatch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR") or str(cache / "matplotlib"))  # knows the fonts
    monkeypatch.delenv("BOLTZ_DATA", raising=False)
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
