"""What a diagnosis says: findings in words with a verdict, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from textwrap import fill
from typing import Any, Literal

import numpy as np

from boltz import checks, html

Verdict = Literal["fine", "attention", "bad"]
WIDTH = 110
VERDICTS: tuple[Verdict, ...] = ("fine", "attention", "bad")


@dataclass(frozen=True)
class Finding:
    """One check: its name, a verdict, the number judged, what was found in words, and what to change if not fine."""

    name: str
    verdict: Verdict
    value: float
    sentence: str
    advice: str = ""

    def __post_init__(self) -> None:
        checks.choice(self.verdict, "verdict", VERDICTS)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite or undefined number becomes None."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "value": _plain(self.value),
            "sentence": self.sentence,
            "advice": self.advice,
        }

    def __str__(self) -> str:
        line = f"{self.verdict:<10}{self.name}: {self.sentence}"
        lines = [fill(line, WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False)]
        if self.advice:
            indent = " " * 12
            advice = fill(self.advice, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
            lines.append(advice)
        return "\n".join(lines)


@dataclass(frozen=True)
class Diagnosis:
    """Findings in the order of the checks, measures: plain numbers, and lists and tables of them, by name, and about:
    which rows were taken, and from where; left_out in it names the findings that were left out for lack of rows, and
    untold among the measures says what else is not told, and why.

    str() is what `boltz diagnose` prints.
    """

    findings: tuple[Finding, ...] = ()
    measures: Mapping[str, Any] = field(default_factory=dict, repr=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all findings."""
        return max((found.verdict for found in self.findings), key=VERDICTS.index, default="fine")

    def finding(self, name: str) -> Finding:
        """The finding of this name; raises InputError."""
        known = {found.name: found for found in self.findings}
        return known[checks.choice(name, "name", known)]

    def extended(self, *findings: Finding, **measures: Any) -> Diagnosis:
        """This diagnosis with further findings and measures at its end, such as those of an estimate of log Z."""
        return replace(self, findings=(*self.findings, *findings), measures={**self.measures, **measures})

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite or undefined numbers become None."""
        findings = [found.as_dict() for found in self.findings]
        found = {"verdict": self.verdict, "findings": findings, "measures": _plain(self.measures)}
        return {**found, **_plain(self.about)}

    def __str__(self) -> str:
        left = self.about.get("left_out")
        why = [f"Left out, since there are no rows (give them with --data): {', '.join(left)}."] if left else []
        said = [*why, *self.measures.get("untold", ())]
        return "\n".join([*map(str, self.findings), *(fill(each, WIDTH) for each in said)])

    def __repr__(self) -> str:
        others = [f"{found.name}: {found.verdict}" for found in self.findings if found.verdict != "fine"]
        return f"Diagnosis({self.verdict}, {len(self.findings)} findings{''.join(f', {each}' for each in others)})"

    def _repr_html_(self) -> str:
        lines = [(found.name, found.verdict, found.sentence, found.advice) for found in self.findings]
        return html.table(lines, ("finding", "verdict", "what was found", "advice"), self.verdict)


def graded(value: float, attention: float, bad: float) -> Verdict:
    """The verdict on a value that is the better the smaller: fine up to attention, bad beyond bad; bad if undefined."""
    if not value <= bad:
        return "bad"
    return "attention" if value > attention else "fine"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
