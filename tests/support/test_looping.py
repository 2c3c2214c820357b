"""Catches a loop over values that leaves some out, or does not say which one failed."""

from __future__ import annotations

import inspect

import pytest
from support.looping import for_each

SEEN: list[tuple[int, int]] = []


@pytest.mark.parametrize("other", [5, 6])
@for_each("value", range(3))
def test_every_value_has_its_turn(value: int, other: int) -> None:
    SEEN.append((value, other))
    assert value == 0 or (value - 1, other) in SEEN


def test_a_failure_says_with_which_value() -> None:
    tried = []

    @for_each("value", "abc")
    def failing(value: str, other: int) -> None:
        tried.append(value)
        assert value != "b"

    assert list(inspect.signature(failing).parameters) == ["other"]
    with pytest.raises(AssertionError) as caught:
        failing(other=1)
    assert caught.value.__notes__ == ["with value = 'b'"] and tried == ["a", "b"]
