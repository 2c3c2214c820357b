"""What a diagnosis says: findings in words with a verdict, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from boltz import checks

Verdict = Literal["fine", "attention", "bad"]
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


@dataclass(frozen=True)
class Diagnosis:
    """Findings in the order of the checks, and measures: plain numbers, and lists and tables of them, by name."""

    findings: tuple[Finding, ...] = ()
    measures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all findings."""
        return max((found.verdict for found in self.findings), key=VERDICTS.index, default="fine")

    def finding(self, name: str) -> Finding:
        """The finding of this name; raises KeyError."""
        return {found.name: found for found in self.findings}[name]

    def extended(self, *findings: Finding, **measures: Any) -> Diagnosis:
        """This diagnosis with further findings and measures at its end, such as those of an estimate of log Z."""
        return Diagnosis((*self.findings, *findings), {**self.measures, **measures})

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite or undefined numbers become None."""
        findings = [found.as_dict() for found in self.findings]
        return {"verdict": self.verdict, "findings": findings, "measures": _plain(self.measures)}


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
