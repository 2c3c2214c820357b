"""Catches exact figures of machines with layers of mixed kinds that are not those of sums and quadrature."""

from __future__ import annotations

from checks import mixed_machines


def test_log_z_of_random_machines() -> None:
    mixed_machines.check_exact_log_z()


def test_log_marginals_of_random_machines() -> None:
    mixed_machines.check_exact_marginals()
