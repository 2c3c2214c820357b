"""What trainings of boltz were recorded to reach: the log-likelihood of test rows by the epochs of the longest stage.

A curve is of one kind of machine, of its layers, of one data set and of one choice of settings, with one seed. It tells
nothing of other data.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

from boltz.data import Data
from boltz.models.files import Model
from boltz.presets import lengths_of
from boltz.training.meaning import effective
from boltz.training.pacing import longest
from boltz.training.settings import AnySettings

FILE = resources.files("boltz.training") / "curves.toml"
LEAST_ERROR = 0.3  # nats: what another seed, and the estimation of log Z, may change
APART = ("seed", "checkpoint_seconds", "snapshots", "patience", "validation")  # what a figure does not hang on


@dataclass(frozen=True)
class Expected:
    """An expected mean log-likelihood of test rows in nats, how far it may be off, and the data of the curve."""

    value: float
    error: float
    data: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"value": round(self.value, 2), "error": round(self.error, 2), "data": self.data}

    def __str__(self) -> str:
        return (
            f"It should reach about {self.value:.1f} nats a test row, give or take {self.error:.1f}: "
            f"such trainings on {self.data} were recorded."
        )


def mark(model: Model, settings: AnySettings) -> str:
    """What a curve belongs to: the machine and what its settings say but for its length, as 16 hexadecimal digits."""
    kind, usual = model.kind, type(settings)()
    said = effective(settings.as_dict(), type(settings))
    others = {name: value for name, value in said.items() if value != getattr(usual, name)}
    kept = {name: value for name, value in others.items() if name not in (*APART, *lengths_of(kind))}
    text = json.dumps([kind, model.plan.architecture, kept], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _curves() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["curve"]
    return found


def expected(model: Model, settings: AnySettings, data: Data) -> Expected | None:
    """What such a training on these rows should reach; None where none like it was recorded.

    Between two recorded lengths the log-likelihood is read on a straight line over the logarithm of the length. Beyond
    the longest one it is that of the longest one, and below the shortest one it is not known.
    """
    if model.rates:  # it was trained before
        return None
    wanted = mark(model, settings)
    for curve in _curves():
        if curve["mark"] == wanted and curve["rows"] == len(data.x) and curve["fingerprint"] == data.fingerprint:
            return read(curve["points"], longest(settings, model.kind), curve["data"])
    return None


def read(points: list[list[float]], epochs: int, data: str) -> Expected | None:
    """The value of a curve of (epochs, nats), rising in epochs; its error is a quarter of the step."""
    if epochs < points[0][0]:
        return None
    if epochs >= points[-1][0]:
        return Expected(points[-1][1], LEAST_ERROR, data)
    (low, below), (high, above) = next((a, b) for a, b in pairwise(points) if a[0] <= epochs < b[0])
    share = math.log(epochs / low) / math.log(high / low)
    return Expected(below + share * (above - below), max(abs(above - below) / 4, LEAST_ERROR), data)
