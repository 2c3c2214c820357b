"""Catches recognition with a flow behind its draw whose densities, derivatives or estimates are wrong."""

from __future__ import annotations

from checks import encoders as checks


def test_draws() -> None:
    checks.check_draws()


def test_given_states() -> None:
    checks.check_given_states()


def test_normalisation() -> None:
    checks.check_normalisation()


def test_codes() -> None:
    checks.check_codes()


def test_gradients() -> None:
    checks.check_gradients()


def test_partial_gradients() -> None:
    checks.check_partial_gradients()


def test_wake_and_sleep() -> None:
    checks.check_wake_and_sleep()


def test_score_function() -> None:
    checks.check_score_function()


def test_mixed_machines() -> None:
    checks.check_mixed()


def test_slopes() -> None:
    checks.check_slopes()


def test_spreads() -> None:
    checks.check_spreads()


def test_evidence() -> None:
    checks.check_evidence()


def test_single_precision() -> None:
    checks.check_single_precision()
