"""Catches chains of a diagnosis that follow another law than the machine, and views that are mixed up."""

from __future__ import annotations

import pytest
from checks import watched_chains as checks


@pytest.mark.parametrize("name", ["both", "skip", "views", "tied", "sparse potts"])
def test_watched_chains_follow_the_machine(name: str) -> None:
    checks.check_record(name)


def test_each_view_is_judged() -> None:
    checks.check_views_are_judged()


def test_norms_of_all_couplings() -> None:
    checks.check_lengths()
