"""Programs of recorded primitives: catches bits that differ from those of steps, pieces done twice or too early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import quick_programs as checks

from boltz.kernels.cpu import programs, recorded
from boltz.kernels.cpu.runners import Program, Runner

NAMES = (
    "primitives",
    "accumulated",
    "zeros",
    "counts",
    "regions",
    "pieces",
    "dealt",
    "open",
    "settling",
    "refused",
    "stopped",
)
PLANTED = ("iwae", "nvil")  # which checks of planted faults train by themselves


@pytest.mark.parametrize("name", NAMES)
def test_programs(name: str) -> None:
    getattr(checks, f"check_{name}")()


@pytest.mark.parametrize("settings", checks.RULES.values(), ids=checks.RULES)
def test_training_of_an_rbm(settings: dict[str, Any]) -> None:
    checks.check_training(**settings)


@pytest.mark.parametrize("settings", checks.DEEP.values(), ids=checks.DEEP)
def test_training_of_a_dbm(settings: dict[str, Any]) -> None:
    checks.check_training((40, 23, 11), **settings)


def test_training_of_autoencoders() -> None:
    checks.check_autoencoders()


@pytest.mark.parametrize("name", [name for name in checks.OBJECTIVES if name not in PLANTED])
def test_training_by_other_objectives(name: str) -> None:
    units, make, settings = checks.OBJECTIVES[name]
    checks.check_directed(units, make, **settings)


def test_who_is_left_alone_does_not_wait() -> None:
    """A member of a team that failed has said so; catches a thread that waits for ever for what another one took."""
    program = Program()
    x = recorded.recorded(np.zeros((2, 3), np.float32), program)
    x[...] = 1
    counters = np.zeros(programs.CLAIMS + programs.GAP, np.int64)
    counters[programs.CLAIMS], counters[programs.ABANDONED] = 1, 1  # the piece is taken, and will never be done
    programs.run(program.table(), counters, (0, 2), np.zeros(3, np.int64), 1)
    assert (np.asarray(x) == 0).all()


def test_calls_are_short_enough_for_interrupts() -> None:
    """A call takes about a tenth of a second; catches a program that runs to its end while nobody can stop it."""
    runner = Runner(Program(), None, 1)
    assert runner.times(10**9) <= 10
    runner.seconds = 1e-3
    assert 50 <= runner.times(10**9) <= 200 and runner.times(7) == 7
