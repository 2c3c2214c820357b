"""What settings mean: each field of a class of settings carries its text, its choices, and what it needs.

The command line, help(boltz.Settings), refusals and descriptions of runs all read it from there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from textwrap import fill
from typing import Any, TypeVar

Values = Mapping[str, Any]
T = TypeVar("T")
WIDTH = 100


@dataclass(frozen=True)
class Need:
    """What a setting does nothing without: in words, with settings in braces, and whether values by name have it."""

    words: str
    met: Callable[[Values], bool]

    def told(self, named: Callable[[str], str] = str) -> str:
        """The words, with each setting as it is named where they are read, such as on the command line."""
        return re.sub(r"\{(\w+)\}", lambda found: named(found[1]), self.words)


def among(setting: str, *values: str) -> Need:
    """A setting must have one of these values."""
    return Need(f"{{{setting}}} {' or '.join(values)}", lambda v: v[setting] in values)


def above_zero(setting: str) -> Need:
    """A setting must be above 0, or one of its numbers."""
    return Need(f"{{{setting}}} above 0", lambda v: largest(v[setting]) > 0)


def largest(value: Any) -> Any:
    """A number, or the largest of several."""
    return max(value) if isinstance(value, list | tuple) else value


def setting(default: Any, help: str, needs: Need | None = None, choices: tuple[str, ...] = ()) -> Any:
    """A field of a class of settings."""
    return field(default=default, metadata={"help": help, "needs": needs, "choices": choices})


def again(kind: type[Any], name: str, default: Any, **changed: Any) -> Any:
    """A setting of another class with another default, and with what else is changed of it."""
    return field(default=default, metadata={**kind.__dataclass_fields__[name].metadata, **changed})


def helps(*kinds: type[Any]) -> dict[str, str]:
    """The text of each setting of some classes by name; a later class comes before an earlier one."""
    return {each.name: each.metadata["help"] for kind in kinds for each in fields(kind)}


def needs(*kinds: type[Any]) -> dict[str, Need]:
    """What the settings of some classes need, if anything; a later class comes before an earlier one."""
    return {each.name: each.metadata["needs"] for kind in kinds for each in fields(kind) if each.metadata["needs"]}


def choices(*kinds: type[Any]) -> dict[str, tuple[str, ...]]:
    """The choices of those settings of some classes that have any; a later class comes before an earlier one."""
    return {each.name: each.metadata["choices"] for kind in kinds for each in fields(kind) if each.metadata["choices"]}


def effective(settings: Values, kind: type[Any], lacking: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a class that do something beside the others, but for those that a machine lacks."""
    needed = needs(kind)
    known = {name: value for name, value in settings.items() if name not in lacking}
    return {name: value for name, value in known.items() if name not in needed or needed[name].met(settings)}


def explained(kind: type[T]) -> type[T]:
    """A class of settings whose docstring tells each field: its default, its choices, its text and what it needs."""
    told = [inspect.cleandoc(kind.__doc__ or ""), *map(_line, fields(kind))]  # type: ignore[arg-type]
    kind.__doc__ = "\n\n".join([told[0], "\n".join(told[1:])])
    return kind


def _line(each: Any) -> str:
    choices, need = each.metadata["choices"], each.metadata["needs"]
    among = f" ({', '.join(choices)})" if choices else ""
    needed = f" It needs {need.told()}." if need else ""
    told = f"{each.name} = {each.default!r}{among}: {each.metadata['help']}{needed}"
    return fill(told, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
