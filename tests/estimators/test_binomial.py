"""Catches binomial units that are not sums of bits with one field, in figures, draws, training and refusals."""

from __future__ import annotations

from checks import sums


def test_hidden_units_are_sums_of_bits() -> None:
    sums.check_hidden_units_are_sums_of_bits()


def test_visible_units_are_sums_of_bits() -> None:
    sums.check_visible_units_are_sums_of_bits()


def test_entropies_and_energies() -> None:
    sums.check_entropies_and_energies()


def test_draws_are_quantiles() -> None:
    sums.check_draws_are_quantiles()


def test_draws_follow_the_law() -> None:
    sums.check_draws_follow_the_law()


def test_log_z_by_sampling() -> None:
    sums.check_log_z_by_sampling()


def test_samples_and_completion() -> None:
    sums.check_samples_and_completion()


def test_training_recovers_a_planted_machine() -> None:
    sums.check_training_recovers_a_planted_machine()


def test_start() -> None:
    sums.check_start()


def test_refusals() -> None:
    sums.check_refusals()


def test_tables() -> None:
    sums.check_tables()
