"""What a log-likelihood certifies, and whether it can be believed, in plain sentences; and tables of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from boltz.estimators.estimate import TRUSTED_SAMPLES, Estimate
from boltz.estimators.likelihood import TRUSTED_ROWS
from boltz.estimators.words import TRUSTED_SHARE, figure, in_words, small, trust
from boltz.models.files import Model

WEIGHTED = "the importance-weighted bound of {:,} samples a row"
ANNEALED = "the log of the mean weight of {:,} annealed chains a row"
BOUNDS = {
    "exact": "The log-likelihood is exact.",
    "lower": "The log-likelihood is a certified lower bound: it bounds log p*(v) from below, and log Z is exact.",
    "upper": "The log-likelihood is an over-estimate in expectation: log p*(v) is exact, but annealed importance "
    "sampling under-estimates log Z.",
    "none": "The log-likelihood is no bound: it is a lower bound on log p*(v) minus an under-estimate of log Z.",
}
BETWEEN = "The log-likelihood is no bound: it is {} less the log Z of replica exchange, which may err to either side."
CONSERVATIVE = (
    "The log-likelihood is conservative, but no bound: it is a lower bound in expectation for the annealing model, "
    "usually the worse one, and certifies nothing of the machine itself."
)
RAISE, NOT_BINARY = "RAISE", "not 0/1"  # how the methods of such estimates begin and end
DIRECTED = "The log-likelihood is a certified lower bound in expectation: "
KINDS = {"exact": "exact", "lower": "a lower bound", "upper": "an upper bound", "none": "no bound"}
SIMPLE = {"mixture": "mixture of 20 products", "independent_units": "independent units"}
GREY = "The rows are not 0/1, so this is no log-likelihood of binary units; binarise them."


def verdict(log_likelihood: Estimate, log_z: Estimate | None, samples: int = 0, row_chains: int = 0) -> str:
    """Plain sentences on what the kinds of both certify, and whether what was estimated can be believed.

    log_z None means that it is 0 by construction; samples is the number of importance samples a row, row_chains that of
    annealed chains a row, 0 for none.
    """
    count, what = (row_chains, "chains") if row_chains else (samples, "samples")
    weighted = (ANNEALED if row_chains else WEIGHTED).format(count)
    sampled = log_likelihood.kind == "lower" and (log_z is None or (count > 0 and log_z.kind == "exact"))
    conservative, grey = log_likelihood.method.startswith(RAISE), NOT_BINARY in log_likelihood.method
    if grey:
        parts = [GREY]
    elif conservative:
        parts = [CONSERVATIVE]
    elif sampled:
        parts = [f"{DIRECTED}{weighted}, and log Z is {'0' if log_z is None else 'exact'}."]
    else:
        parts = [BOUNDS[log_likelihood.kind]]
    if count and not grey and log_likelihood.kind != "exact" and (log_z is None or log_z.trusted):
        truth = "that of the annealing model" if conservative else "log p(v) itself" if sampled else "log p*(v) itself"
        parts.append(_closeness(log_likelihood, what, truth))
    elif not grey and not log_likelihood.trusted and (log_z is None or log_z.trusted):
        parts.append(f"The log-likelihood is NOT trusted, since {' and '.join(log_likelihood.doubts)}.")
    if log_z is not None and log_z.kind != "exact":
        parts.append(trust(log_z))
    return " ".join(parts)


def annealing_is_closer(model: Model, log_likelihood: Estimate, samples: int) -> str:
    """What helps where samples do not suffice for an adversarial autoencoder, whose encoder learns no posterior."""
    if model.kind != "aae" or not samples or log_likelihood.trusted or NOT_BINARY in log_likelihood.method:
        return ""
    return " Annealing each row (--method posterior-ais) is closer for an adversarial autoencoder, and takes longer."


def verdict_between(log_marginal: Estimate, samples: int = 0, row_chains: int = 0) -> str:
    """As verdict, of log p*(v) less the log Z of replica exchange."""
    if NOT_BINARY in log_marginal.method:
        return GREY
    if log_marginal.kind == "exact":
        return BETWEEN.format("log p*(v)")
    said = BETWEEN.format(f"a lower bound on log p*(v) ({log_marginal.method})")
    if not samples + row_chains:
        return said
    return f"{said} {_closeness(log_marginal, 'chains' if row_chains else 'samples', 'log p*(v) itself')}"


def _closeness(log_likelihood: Estimate, what: str, truth: str) -> str:
    """Whether a bound from samples or chains, which is what they are called, can be taken for the truth."""
    wanted = f"{TRUSTED_SHARE:.0%} of at least {TRUSTED_SAMPLES}, in {TRUSTED_ROWS:.0%} of the rows"
    if log_likelihood.trusted:
        return f"Enough {what} are effective to take it for {truth} ({wanted})."
    why = " and ".join(log_likelihood.doubts)
    return f"The {what} do not suffice to take it for {truth}, since {why}; more {what} bring it closer."


def bound_lines(bounds: Mapping[int, Estimate]) -> list[str]:
    """A line on each importance-weighted bound: its kind, and whether it can be taken for log p(v)."""
    lines = []
    for k, bound in bounds.items():
        trusted = "trusted" if bound.trusted else "NOT trusted to be log p(v) itself"
        lines.append(f"L_{k:<6} {in_words(bound)}, {KINDS[bound.kind]}, {trusted}")
    return lines


def figures(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Value, errors of estimation and of rows, and 95 % interval from plain values; dashes for what is not known."""
    errors = [entry["standard_error"], entry["standard_error_rows"]]
    known = [error for error in errors if error]
    joint = math.hypot(*known) if known else 0.0
    ends = ["-" if end is None else figure(end, joint) for end in entry["interval"]]
    told = ["-" if not error else small(error) for error in errors]
    return figure(entry["value"], min(known, default=0.0)), told[0], told[1], " to ".join(ends)


def number(value: Any, digits: int = 2) -> str:
    """A number for a table, a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str]) -> list[str]:
    """A table as lines of text, with a line under its head; cells may have several lines, and some columns are to the
    left.
    """
    cells = [[cell.split("\n") for cell in row] for row in (head, *rows)]
    widths = [max(len(line) for row in cells for line in row[i]) for i in range(len(head))]

    def shown(row: list[list[str]]) -> list[str]:
        lines = []
        for n in range(max(map(len, row))):
            texts = [cell[n] if n < len(cell) else "" for cell in row]
            padded = [
                text.ljust(width) if name in left else text.rjust(width)
                for text, width, name in zip(texts, widths, head, strict=True)
            ]
            lines.append(" " + "  ".join(padded).rstrip())
        return lines

    rule = " " + "\u2500" * (sum(widths) + 2 * len(widths) - 2)
    return [*shown(cells[0]), rule, *(line for row in cells[1:] for line in shown(row))]
