"""The Gaussian Parzen window estimate of machines that are known by their samples (Breuleux, Bengio & Vincent 2011;
Goodfellow et al. 2014), which misleads (Theis, van den Oord & Bethge 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks, html
from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.estimate import error_of_rows, joint_interval
from boltz.estimators.words import figure
from boltz.kernels.reference import HALF_LOG_TWO_PI
from boltz.models.files import Model, checked_machine, outside, visible_rows
from boltz.sampling.inferred import visible_draws
from boltz.units.states import own_lengths

Array = NDArray[Any]
Floats = NDArray[np.float64]
SAMPLES, BLOCK = 10_000, 1024  # samples, and rows and samples in memory at a time
STEPS, NARROWEST = 12, 1e-3  # bandwidths of each search; the least one, as a share of the largest
FINE = 1.02  # ratio of neighbouring bandwidths at which searches end
WHY = (
    "A Parzen window is no likelihood of the machine: with many units even millions of samples leave it far below that "
    "of the true distribution, and it ranks machines wrongly (Theis, van den Oord & Bethge 2016)."
)


@dataclass(frozen=True, eq=False)
class ParzenWindow:
    """The mean log density of rows (nats) under Gaussian windows around samples of a machine; no likelihood of it.

    - standard_error, interval: of the mean over rows, and its 95 % interval. The samples and the bandwidth are given.
    - bandwidth: the standard deviation of the windows, the best one for the validation rows.
    - samples, validation_rows: how many there are; per_row: the log density of each row.
    - doubts: what speaks against it beside WHY, the reason why it misleads.
    """

    value: float
    standard_error: float
    interval: tuple[float, float]
    bandwidth: float
    samples: int
    validation_rows: int
    per_row: Floats = field(repr=False)
    doubts: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """Why it misleads, in a sentence."""
        return WHY

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = np.isfinite(self.standard_error)
        return {
            "value": self.value,
            "standard_error": self.standard_error if known else None,
            "interval": list(self.interval) if known else None,
            "bandwidth": self.bandwidth,
            "samples": self.samples,
            "rows": len(self.per_row),
            "validation_rows": self.validation_rows,
            "doubts": list(self.doubts),
            "why": self.why,
        }

    def __str__(self) -> str:
        return "\n".join([f"Parzen window of {len(self.per_row):,} rows: {self._value}", *self.doubts, self.why])

    def _repr_html_(self) -> str:
        lines = [("value", self._value), *(("doubt", doubt) for doubt in self.doubts), ("why it misleads", self.why)]
        return html.table(lines, caption=f"Parzen window of {len(self.per_row):,} rows")

    @property
    def _value(self) -> str:
        value, error = figure(self.value, self.standard_error), figure(self.standard_error, self.standard_error)
        how = f"bandwidth {self.bandwidth:.3g} by {self.validation_rows:,} validation rows"
        return f"{value} +- {error} nats (rows), {how}, {self.samples:,} samples"


def parzen_window(model: Model, x: Any, validation: Any, samples: int = SAMPLES, seed: int = 0) -> ParzenWindow:
    """The mean log density of rows x (rows, units) in nats under windows around so many samples of a machine.

    Each sample is the mean of the visible units given hidden ones that were drawn by seed, or a draw where visible
    units hear each other. The windows are Gaussian, of one standard deviation, under which the validation rows
    (others, units) are the most likely; it is found to about 2 %. The density is that of real numbers, also of binary
    rows, in the units of the data. Published figures of adversarial nets are of this kind (Goodfellow et al. 2014,
    section 5), but it is no likelihood, and ranks machines wrongly (Theis et al. 2016). Samples go by in blocks, so
    that memory grows with rows plus samples, not with their product. Raises InputError, also where the validation
    rows are no others than all samples.
    """
    machine = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    if len(machine.visible_layers) > 1 or own_lengths(machine.layers[0].type):
        raise InputError("model must have one visible layer, not of documents, for a Parzen window.")
    count = checks.integer(samples, "samples", 1, 10**7)
    rows, judges = (_points(machine, each, name) for each, name in ((x, "x"), (validation, "validation")))
    draws = visible_draws(machine, count, checks.seed(seed)).astype(np.float64)
    bandwidth, doubts = best_bandwidth(judges, draws)
    per_row = log_densities(rows, draws, np.array([bandwidth]))[0]
    value, error = float(per_row.mean()), error_of_rows(per_row, np.zeros(1))
    reach = joint_interval(value, (error, len(per_row)))
    return ParzenWindow(value, error, reach, bandwidth, count, len(judges), per_row, doubts)


def _points(machine: Model, x: Any, name: str) -> Floats:
    """Rows in the units of the data; raises InputError."""
    return host(outside(machine, visible_rows(machine, x, name))).astype(np.float64)


def best_bandwidth(rows: Floats, draws: Floats) -> tuple[float, tuple[str, ...]]:
    """The standard deviation of windows around draws (draws, units) under which rows (rows, units) are the most likely,
    and what speaks against it.

    Its square is the mean squared distance a unit of rows and draws, weighted by the windows. So it lies between the
    smallest one of each row and the plain mean. The best of a few in between is refined, until
    its neighbours differ by 2 %.
    """
    nearest, total = np.full(len(rows), np.inf), 0.0
    for place, squares in _squares(rows, draws):
        nearest[place] = np.minimum(nearest[place], squares.min(axis=1))
        total += float(squares.sum())
    units = rows.shape[1]
    high = np.sqrt(total / (len(rows) * len(draws) * units))
    if high == 0:
        raise InputError("validation must hold other rows than all samples of the machine, which never differ.")
    low = np.sqrt(nearest.mean() / units)
    found = _best(rows, draws, np.geomspace(max(low, NARROWEST * high), high, STEPS))
    if low < NARROWEST * high and found <= 2 * NARROWEST * high:
        return found, ("Samples and validation rows coincide, so that the narrowest of all windows is the best one.",)
    return found, ()


def _best(rows: Floats, draws: Floats, among: Floats) -> float:
    """The best bandwidth among these, then among as many between its two neighbours, until these differ by 2 %."""
    while True:
        place = int(log_densities(rows, draws, among).mean(axis=1).argmax())
        best = float(among[place])
        low, high = float(among[max(place - 1, 0)]), float(among[min(place + 1, len(among) - 1)])
        if max(best / low, high / best) <= FINE:
            return best
        among = np.unique(np.append(np.geomspace(low, high, STEPS), best))


def log_densities(rows: Floats, draws: Floats, bandwidths: Floats) -> Floats:
    """The log density (bandwidths, rows) of rows under windows around draws: exact sums, in blocks."""
    top, sums = np.full((len(bandwidths), len(rows)), -np.inf), np.zeros((len(bandwidths), len(rows)))
    for place, squares in _squares(rows, draws):
        for i, bandwidth in enumerate(bandwidths):
            each = squares / (-2 * bandwidth**2)
            new = np.maximum(top[i, place], each.max(axis=1))
            sums[i, place] *= np.exp(top[i, place] - new)
            sums[i, place] += np.exp(each - new[:, None]).sum(axis=1)
            top[i, place] = new
    scale = rows.shape[1] * (np.log(bandwidths) + HALF_LOG_TWO_PI)
    return top + np.log(sums) - np.log(len(draws)) - scale[:, None]


def _squares(rows: Floats, draws: Floats) -> Iterator[tuple[slice, Floats]]:
    """Squared distances (some rows, some draws), block by block, and which rows these are."""
    own, others = np.square(rows).sum(axis=1), np.square(draws).sum(axis=1)
    for first in range(0, len(rows), BLOCK):
        place = slice(first, first + BLOCK)
        for start in range(0, len(draws), BLOCK):
            some = slice(start, start + BLOCK)
            found = own[place, None] + others[None, some] - 2 * rows[place] @ draws[some].T
            yield place, np.maximum(found, 0)
