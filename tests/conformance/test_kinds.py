"""Catches figures and gradients of machines with Gaussian, spin and categorical units that are not those of sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from checks import kinds

CHECKS = [check for name, check in vars(kinds).items() if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_machines_of_every_kind(check: Callable[[], Any]) -> None:
    check()
