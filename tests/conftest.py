"""Stops early where boltz.kernels is hidden, lets SIGINT count, and runs the tests in any order that is asked for."""

from __future__ import annotations

import importlib
import logging
import os
import random
import signal
from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", metavar="SEED", help="run the tests in an order drawn from this seed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """No test may need another to run before it, so that any order passes."""
    if seed := config.getoption("--shuffle"):
        random.Random(seed).shuffle(items)


def pytest_configure() -> None:
    """Say what is wrong in one sentence where the folder boltz beside the tests hides an installed package.

    The word that kernels are being compiled, which depends on what ran before, stays out of the output of commands.
    There is a worker for each core, so a worker has one thread: more would wait for cores of each other and burn two to
    three times the time. Tests about threads ask for several.
    """
    os.environ.setdefault("BOLTZ_NUM_THREADS", "1")
    logging.getLogger("boltz.kernels").setLevel(logging.ERROR)
    try:
        importlib.import_module("boltz.kernels")
    except ModuleNotFoundError as problem:
        if problem.name != "boltz.kernels":
            raise
        raise pytest.UsageError(
            "boltz.kernels is not found, because the folder boltz beside the tests hides the installed package; "
            "install with: python3 -m pip install -e '.[test]'"
        ) from problem


@pytest.fixture(autouse=True, scope="session")
def kernels_are_shared(request: pytest.FixtureRequest) -> None:
    """Two workers that run many tests compile other kernels first: what one has compiled, the other finds on disk."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker or len(request.session.items) < 1000:
        return
    first, second = (getattr(importlib.import_module("support.warming"), name) for name in ("chains", "nets"))
    for warm in (second, first) if int(worker.removeprefix("gw")) % 2 else (first, second):
        warm()


@pytest.fixture(autouse=True, scope="session")
def no_power_cuts() -> Iterator[None]:
    """Nothing is forced to the disk, which only a power cut would miss: a hundredth of a second for each file, and each
    folder. Commands in processes of their own do so, and tests of storage look at the calls.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_counts() -> None:
    """A shell starts background work with SIGINT ignored; the tests of signals need it to count."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
