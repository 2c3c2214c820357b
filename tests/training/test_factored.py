"""Catches trainings of machines with factors of their own whose gradients, KL weights or measures are wrong."""

from __future__ import annotations

from checks import factored as checks


def test_gradients_of_exact_likelihoods() -> None:
    checks.check_likelihood_slopes()


def test_gradients_of_bounds() -> None:
    checks.check_bound_slopes()


def test_gradients_of_scaled_bounds() -> None:
    checks.check_scaled_slopes()


def test_gradients_under_conditional_nets() -> None:
    checks.check_conditional_nade_slopes()


def test_soft_free_bits() -> None:
    checks.check_soft_free_bits()


def test_measures() -> None:
    checks.check_measures()


def test_bits_do_not_depend_on_threads() -> None:
    checks.check_threads()
