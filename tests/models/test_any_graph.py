"""Catches machines on any graph whose energies, sweeps, weights, gradients or files do not agree with plain sums."""

from __future__ import annotations

import pytest
from checks import any_graph

EVERY = pytest.mark.parametrize("name", any_graph.SHAPES)
HIDDEN = [n for n, (layers, _, views) in any_graph.SHAPES.items() if len(layers) > max(len(views), 1)]


@EVERY
def test_energies(name: str) -> None:
    any_graph.check_energies(name)


@EVERY
def test_exact_log_z(name: str) -> None:
    any_graph.check_exact_log_z(name, seeds=5)


@EVERY
def test_log_marginals(name: str) -> None:
    any_graph.check_log_marginals(name)


@EVERY
def test_transitions_and_their_reversals(name: str) -> None:
    any_graph.check_transitions(name)


@EVERY
def test_annealing_up_and_down(name: str) -> None:
    any_graph.check_annealing(name)


@pytest.mark.parametrize("name", HIDDEN)
def test_mean_field(name: str) -> None:
    any_graph.check_mean_field(name)


@pytest.mark.parametrize("name", ["visible", "both", "lateral", "potts", "views", "uneven", "triangle", "sparse"])
def test_completion(name: str) -> None:
    any_graph.check_completion(name)


@EVERY
def test_gradient(name: str) -> None:
    any_graph.check_gradient(name, centred=False)


@EVERY
def test_centred_gradient(name: str) -> None:
    any_graph.check_gradient(name)


@EVERY
def test_files(name: str) -> None:
    any_graph.check_files(name)
