"""Pages of HTML that hold all they show: whatever is not a tag is escaped, and only the page's own script may run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from boltz.foreign import shown

HERE = Path(__file__).parent
VOID = {"img", "input", "meta"}  # tags that hold nothing
LONGEST = 300  # characters of a cell


class Markup(str):
    """HTML that is written as it is; all other text is escaped."""


def tag(name: str, /, *inside: object, **attributes: object) -> Markup:
    """A tag around text and other tags; attributes that are None are left out, and class_ is class."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>" + ("" if name in VOID else f"{_joined(inside)}</{name}>"))


def both(*parts: object) -> Markup:
    """Several pieces after one another."""
    return Markup(_joined(parts))


def picture(source: str, said: str, **attributes: object) -> Markup:
    """A picture by its data URI, with what it shows in words, which also stand below it."""
    return tag("figure", tag("img", src=source, alt=said, **attributes), tag("figcaption", said))


def table(lines: Sequence[Sequence[object]], head: Sequence[object] = (), caption: str = "") -> Markup:
    """Lines of cells as a table that scrolls by itself on a narrow screen; the first cell of a line is its name."""
    said = [tag("caption", caption)] if caption else []
    top = [tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head)))] if head else []
    rows = [tag("tr", tag("th", name, scope="row"), *(tag("td", cell) for cell in cells)) for name, *cells in lines]
    inner = tag("table", *said, *top, tag("tbody", *rows))
    return tag("div", inner, class_="wide", tabindex=0, role="group", aria_label=caption or "table")


def page(title: str, parts: Iterable[object], values: Any) -> str:
    """A whole page: its parts, and the values that its script shows; nothing else is ever loaded or run."""
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    mark = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{mark}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    told = tag("script", Markup(in_script(values)), type="application/json", id="values")
    body = tag("body", *parts, told, tag("script", Markup(script)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def in_script(values: Any) -> str:
    """Values as JSON without a character that could end a script or begin a tag."""
    found = json.dumps(values, allow_nan=False)
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _joined(parts: Iterable[object]) -> str:
    return "".join(part if isinstance(part, Markup) else escape(shown(part, LONGEST)) for part in parts)
