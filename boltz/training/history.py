"""The records of epochs: as columns, and in words. Those of a run folder may come from a stranger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.foreign import shown

Record = dict[str, Any]
History = Sequence[Mapping[str, Any]]
SHOWN = {
    "pseudo_likelihood": "pseudo-likelihood",
    "log_likelihood": "log-likelihood",
    "bound": "bound",
    "reconstruction": "reconstruction",
    "reconstruction_error": "reconstruction error",
}  # what is shown of an epoch's record: the first that was measured


def columns(history: History) -> dict[str, NDArray[Any]]:
    """The records as arrays (epochs,) by field: whole numbers, floats with NaN for what is None or missing, text."""
    names = dict.fromkeys(name for record in history for name in record)
    return {shown(name): _column([record.get(name) for record in history]) for name in names}


def _column(values: list[Any]) -> NDArray[Any]:
    known = [value for value in values if value is not None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return np.array(["" if value is None else shown(value) for value in values])
    if len(known) == len(values) and all(isinstance(value, int) and abs(value) < 2**63 for value in known):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else _float(value) for value in values])


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond all floats
        return float("inf") if value > 0 else float("-inf")


def number(record: Mapping[str, Any], name: str) -> float | None:
    """A number of a record, None where there is none."""
    value = record.get(name)
    return _float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def measured(record: Mapping[str, Any]) -> str | None:
    """The first of the measures of an epoch that are shown, in words; None where there is none."""
    for name, text in SHOWN.items():
        value = number(record, name)
        if value is not None:
            return f"{text} {value:.1f}"
    return None


def in_words(record: Mapping[str, Any]) -> str:
    """What is shown beside a bar of an epoch of training."""
    return ", ".join(part for part in (measured(record), f"{record['rows_per_second']:,.0f} rows/s") if part)


def length(history: History) -> str:
    """How many epochs there were, those of each stage where there are several, and how long they took."""
    stages: dict[str, int] = {}
    for record in history:
        stage = shown(record.get("stage", ""))
        stages[stage] = stages.get(stage, 0) + 1
    parts = " (" + ", ".join(f"{name} {count:,}" for name, count in stages.items()) + ")" if len(stages) > 1 else ""
    seconds = number(history[-1], "seconds") if history else None
    took = "" if seconds is None else f" in {seconds:,.1f} s"
    return f"{len(history):,} epoch{'s' * (len(history) != 1)}{parts}{took}"
