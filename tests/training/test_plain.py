"""Catches a quick gradient of small batches that differs in a bit from that of the rule."""

from __future__ import annotations

from checks import training as checks


def test_the_quick_gradient_is_that_of_the_rule() -> None:
    checks.check_quick_gradient()
