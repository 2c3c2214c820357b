"""Catches an average that takes other updates than it should, weighs them otherwise, or is not what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from checks import averages as checks

from boltz.errors import InputError
from boltz.training.averages import Averages
from boltz.training.settings import Settings

LAST, SLOW = checks.LAST, checks.SLOW


@pytest.mark.parametrize("settings", [LAST, SLOW, checks.RISING, {"averaging": "last", "average_share": 1}], ids=str)
@pytest.mark.parametrize("updates", [1, 7, 400, 12345])
def test_updates_that_are_taken(settings: dict[str, Any], updates: int) -> None:
    """Evenly spaced, at least a hundred where there are so many, none too early, and the last update among them."""
    checks.check_plan(settings, updates)


@pytest.mark.parametrize(("decay", "power"), [(0.0, 0.0), (0.5, 0.0), (0.99, 0.0), (0.0, 1.0), (0.0, 4.0)])
def test_weights_of_an_average(decay: float, power: float) -> None:
    """The running mean has the weights of the definition, which sum to 1."""
    checks.check_weights(decay, power)


@pytest.mark.parametrize("settings", [LAST, SLOW, checks.RISING], ids=str)
@pytest.mark.parametrize("kind", ["rbm", "dbm", "dbn", "vae"])
def test_the_average_is_kept(kind: str, settings: dict[str, Any]) -> None:
    """A trained machine is the mean of the machines after its updates, computed here in float64."""
    checks.check_kept(kind, settings)


def test_programs_take_the_same_average() -> None:
    """Steps in one call stop where the average needs the parameters: bits are those of the steps one by one."""
    checks.check_programs()


def test_what_is_measured_and_watched_is_the_average() -> None:
    checks.check_measured()


def test_held_out_rows_choose_among_averages() -> None:
    """The best epoch is one of the averaged machine, and its parameters are kept."""
    checks.check_best()


@pytest.mark.parametrize(
    "bad", [{"averaging": "tail"}, {"average_share": 0}, {"average_decay": 1}, {"average_share": 2}]
)
def test_bad_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Settings(**bad)


def test_nothing_is_averaged_without_updates() -> None:
    assert Averages.of(Settings(averaging="last"), 0) == Averages()
