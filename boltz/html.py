"""Small tables for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def table(lines: Sequence[Sequence[object]], head: Sequence[object] = (), caption: str = "") -> str:
    """Lines of cells as an HTML table, whose text is shown as it is; the first cell of a line is its name."""
    parts = ["<table>"]
    if caption:
        parts.append(f'<caption style="text-align:left">{_text(caption)}</caption>')
    if head:
        parts.append(f"<thead><tr>{''.join(f'<th>{_text(cell)}</th>' for cell in head)}</tr></thead>")
    rows = [
        f'<tr><th style="text-align:left">{_text(name)}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in lines
    ]
    return "".join([*parts, "<tbody>", *rows, "</tbody></table>"])


def _text(cell: object) -> str:
    return escape(str(cell)).replace("\n", "<br>")
