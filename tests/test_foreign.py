"""Catches foreign text shown over several lines, at length, or with anything that a terminal would obey."""

from __future__ import annotations

import random
import sys

import pytest

from boltz.errors import BoltzError, FileError, InputError, NumericalError, WriteError
from boltz.foreign import MOST, MOST_MESSAGE, shown, shown_lines


def test_plain_text_stays_as_it_is() -> None:
    for text in ("", "a", "é 漢字 ∆ – 'quoted' \"x\" $[/red]", "x" * MOST):
        assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb\tc\u2028d\xa0e", "a  b c d e"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\udc80", "\\udc80"),
        (b"bytes\x1b", "b'bytes\\x1b'"),
        (7, "7"),
    ],
)
def test_what_a_terminal_would_obey_becomes_text(text: object, safe: str) -> None:
    assert shown(text) == safe


def test_every_character_is_printable_and_every_text_is_short() -> None:
    every = [chr(i) for i in (*range(3000), *range(3000, sys.maxunicode + 1, 19))]
    assert all(shown(char).isprintable() and len(shown(char)) <= 10 for char in every)
    draw = random.Random(1)
    for _ in range(2000):
        text, most = "".join(draw.choices(every[:300], k=draw.randrange(400))), draw.randrange(4, 200)
        found = shown(text, most)
        assert found.isprintable() and len(found) <= most
        assert len(text) <= most or "…" in found


def test_what_is_too_long_loses_its_middle() -> None:
    assert shown("a" * 50 + "b" * 50, 10) == "aaaaaa…bbb"
    assert len(shown("\x1b" * 10**6)) == MOST
    assert shown(10**5000).startswith("a int too long")


def test_lines_stay_lines() -> None:
    assert shown_lines("a\x1b\nb\r\n") == "a\\x1b\nb \n"


def test_the_sentence_of_every_error_is_one_clean_line() -> None:
    for kind in (BoltzError, InputError, FileError, WriteError, NumericalError):
        message = str(kind("x\x1b[2J\n" * 500))
        assert message.isprintable() and len(message) <= MOST_MESSAGE
    assert str(InputError("a 'b' é.")) == "a 'b' é." and InputError("a").args == ("a",)
