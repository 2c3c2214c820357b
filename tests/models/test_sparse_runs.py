"""Catches sparse machines that a run folder loses, hostile couplings that are taken, and units without couplings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from checks import sparse_runs

import boltz


@pytest.mark.parametrize("make", [sparse_runs.spins, sparse_runs.sites, sparse_runs.joined])
def test_run_folders(make: Callable[[], boltz.BoltzmannMachine]) -> None:
    sparse_runs.check_run_folder(make)


def test_hostile_couplings() -> None:
    sparse_runs.check_hostile_couplings()


def test_hostile_model_file() -> None:
    sparse_runs.check_hostile_model_file()


def test_no_couplings() -> None:
    sparse_runs.check_no_couplings()


def test_filters() -> None:
    sparse_runs.check_filters()
