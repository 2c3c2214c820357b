"""Shorter pilot runs and first attempts, for tests to which the length of a ladder's preparation does not matter."""

from __future__ import annotations

import pytest

from boltz.estimators import two_sided
from boltz.sampling import ladder_fitting
from boltz.training import measuring


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Ladders are fitted to fewer rungs and rounds, and log Z from both sides begins with few temperatures."""
    for name, value in {"PILOT_RUNGS": 6, "PILOT_ROUNDS": 16, "BEND_ROUNDS": 10}.items():
        patch.setattr(ladder_fitting, name, value)
    patch.setattr(measuring, "SECONDS", 0.01)
    for name in ("FIRST_ROUNDS", "FIRST_STEPS"):
        patch.setattr(two_sided, name, 40)
