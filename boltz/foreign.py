"""Foreign text: what others wrote into files, names, labels and settings, made fit to be shown."""

from collections.abc import Iterable
from difflib import get_close_matches

from boltz.html import table

MOST = 80  # characters of a name, a label, a value
MOST_MESSAGE = 1000  # characters of a whole sentence
MOST_REPR = 300  # characters of a repr, however large what it stands for

ALIKE = 0.65  # share of the characters of two names that must be the same, in order, for one to be meant by the other


def shown(value: object, most: int = MOST) -> str:
    """The text of a value on one line, at most so many characters, with no character that a terminal would obey.

    White space becomes a blank, what cannot be printed its escape (\\x1b), and what is too long loses its middle.
    """
    text = _text(value)
    if len(text) > most:
        text = _cut(text, most)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return _cut(text, most)


def shown_lines(text: str, most: int = MOST_MESSAGE) -> str:
    """A text of several lines, each of them as `shown`."""
    return "\n".join(shown(line, most) for line in text.split("\n"))


def short_repr(name: str, parts: Iterable[object]) -> str:
    """The repr of a large thing on one line: the name of its class, and what it is in some parts, None left out."""
    return f"{name}({shown(', '.join(shown(part) for part in parts if part is not None), MOST_REPR - len(name) - 2)})"


def html_table(title: str, rows: Iterable[tuple[object, object]]) -> str:
    """A small table for notebooks: a title, and a row for each (name, value), None left out."""
    known = [(shown(name), shown(value, MOST_REPR)) for name, value in rows if value is not None]
    return table(known, caption=shown(title))


def near(name: str, known: Iterable[str]) -> str:
    """The known names that somebody may have meant by another one, as the end of a sentence; "" where none is near."""
    by_case = {each.lower(): each for each in known}
    found = [by_case[each] for each in get_close_matches(name[:MOST].lower(), by_case, 3, ALIKE)]
    return f": did you mean {' or '.join(filter(None, (', '.join(found[:-1]), *found[-1:])))}?" if found else ""


def _text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # a whole number with more digits than Python writes
        return f"a {type(value).__name__} too long to write"


def _escaped(char: str) -> str:
    return " " if char.isspace() else char.encode("unicode_escape").decode("ascii")


def _cut(text: str, most: int) -> str:
    """The text, or its beginning and its end around an ellipsis."""
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"
