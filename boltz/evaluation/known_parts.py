"""Rows of several visible layers by what is known of them: the mean log-likelihood of those of which it is the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.evaluation.per_unit import Several, Visible

Array = NDArray[Any]


@dataclass(frozen=True)
class KnownPart:
    """Rows of which the same is known, such as "image and part of text": how many, and the mean of log p of that, with
    its standard error over such rows, in nats a row, infinite for one row.
    """

    known: str
    rows: int
    value: float
    standard_error_rows: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite error becomes None."""
        error = self.standard_error_rows if np.isfinite(self.standard_error_rows) else None
        return {"known": self.known, "rows": self.rows, "value": self.value, "standard_error_rows": error}

    def __str__(self) -> str:
        error = f" +- {self.standard_error_rows:.2f} (rows)" if np.isfinite(self.standard_error_rows) else ""
        return f"of {self.known}, {self.rows:,} row{'s' * (self.rows != 1)}: {self.value:.2f}{error}"


def parts_of(layer: Visible, known: Any, per_row: Any) -> tuple[KnownPart, ...]:
    """The parts of rows with values per_row (rows,), those with the most rows first; none where all is known (None)."""
    if known is None or not isinstance(layer, Several) or per_row is None:
        return ()
    labels, place = np.array([*_labels(layer, known)]), np.asarray(per_row)
    names, counts = np.unique(labels, return_counts=True)
    found = []
    for name, count in sorted(zip(names, counts, strict=True), key=lambda each: (-each[1], each[0])):
        own = place[labels == name]
        error = float(own.std(ddof=1) / np.sqrt(count)) if count > 1 else float("inf")
        found.append(KnownPart(str(name), int(count), float(own.mean()), error))
    return tuple(found)


def _labels(layer: Several, known: Array) -> list[str]:
    """What is known of each row, in words."""
    said: list[list[str]] = [[] for _ in known]
    place = 0
    for view in layer.layers:
        mine, place = known[:, place : place + view.units], place + view.units
        for words, own in zip(said, mine, strict=True):
            words += [view.name] if own.all() else [f"part of {view.name}"] if own.any() else []
    return [" and ".join(words) or "nothing" for words in said]
