"""How plain the documents are: number of sentences and mean number of words in each page, headings and code left out.

Run: python scripts/plain.py [FILE...]     (by default the README and the pages of docs)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NO_END = (" et al.", " eq.", " eqs.", " vs.")  # full stops inside a sentence


def sentences(markdown: str) -> list[str]:
    """The sentences of a text in Markdown: of paragraphs, items of lists and cells of tables that are sentences."""
    text = re.sub(r"^(`{3,}|:{3,}).*?^\1$", "\n\n", markdown, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--[\s\S]*?-->|^\(\S+\)=$|^#.*$|^:\w+:.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", re.sub(r"^\*\*[^*]+\.\*\*", "", text, flags=re.MULTILINE))
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*:|]|\d+\.)\s)", text):
        for cell in block.split("|") if block.lstrip().startswith("|") else [block]:
            found += _cut(re.sub(r"^\s*(?:[-*:]|\d+\.)\s+", "", cell), table=cell is not block)
    return found


def _cut(block: str, table: bool) -> list[str]:
    found: list[str] = []
    current: list[str] = []
    for word in block.split():
        current.append(word)
        if re.search(r"[.!?][)\"*]*$", word) and not " ".join(current).endswith(NO_END):
            found.append(" ".join(current))
            current = []
    if current and not table:
        found.append(" ".join(current))
    return [each for each in found if re.search(r"[A-Za-z]", each)]


def main() -> None:
    pages = [Path(name) for name in sys.argv[1:]] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    counts = {page: [len(each.split()) for each in sentences(page.read_text(encoding="utf-8"))] for page in pages}
    print(f"{'page':<44}{'bytes':>8}{'sentences':>11}{'mean words':>12}{'longest':>9}")
    for page, words in counts.items():
        mean = sum(words) / len(words) if words else 0.0
        name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        print(f"{name!s:<44}{page.stat().st_size:>8,}{len(words):>11}{mean:>12.1f}{max(words, default=0):>9}")
    whole = [each for words in counts.values() for each in words]
    print(f"{'all':<52}{len(whole):>11}{sum(whole) / max(len(whole), 1):>12.1f}{max(whole, default=0):>9}")


if __name__ == "__main__":
    main()
