"""Catches machines of documents that differ from sums over every sequence of words."""

from __future__ import annotations

from checks import documents


def test_log_z_and_law() -> None:
    documents.check_log_z_and_law()


def test_lengths_have_their_own_log_z() -> None:
    documents.check_lengths_have_their_own_log_z()


def test_gradient_over_lengths() -> None:
    documents.check_gradient_over_lengths()


def test_scaled_hidden_biases_are_weights() -> None:
    documents.check_scaled_hidden_biases_are_weights()


def test_perplexity() -> None:
    documents.check_perplexity()


def test_gibbs_law() -> None:
    documents.check_gibbs_law()


def test_chains_of_one_length_start_anywhere() -> None:
    documents.check_chains_of_one_length_start_anywhere()


def test_annealing_is_unbiased() -> None:
    documents.check_annealing_is_unbiased()


def test_mean_field_bound() -> None:
    documents.check_mean_field_bound()


def test_contrastive_divergence_keeps_lengths() -> None:
    documents.check_contrastive_divergence_keeps_lengths()


def test_persistent_chains_keep_lengths() -> None:
    documents.check_persistent_chains_keep_lengths()


def test_negative_phase() -> None:
    documents.check_negative_phase()


def test_biases_start_at_log_frequencies() -> None:
    documents.check_biases_start_at_log_frequencies()


def test_training_measures() -> None:
    documents.check_training_measures()


def test_means_of_samples() -> None:
    documents.check_means_of_samples()


def test_rates_of_documents() -> None:
    documents.check_rates_of_documents()


def test_coefficients() -> None:
    documents.check_coefficients()


def test_borders() -> None:
    documents.check_borders()
