"""Catches views that are said to hear what they do not hear."""

from __future__ import annotations

from checks import view_use as checks


def test_what_hearing_other_views_is_worth() -> None:
    checks.check_hearing()


def test_what_drives_a_pathway() -> None:
    checks.check_drives()


def test_what_is_said_of_a_view() -> None:
    checks.check_words()
