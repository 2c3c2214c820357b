"""Catches figures that are wrong once units have other states than 0 and 1, or base energies: against plain sums.

The unit types are of the tests alone: three states, and two of which one costs 1.7 nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from checks import any_units
from support.finite_units import KINDS

from boltz.units import UNITS

CHECKS = [check for name, check in vars(any_units).items() if name.startswith("check_")]


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in KINDS.items():
        monkeypatch.setitem(UNITS, name, kind)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_it_is_right_for_units_of_any_states(check: Callable[[], Any]) -> None:
    check()
