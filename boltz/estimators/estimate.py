"""What every estimator returns, and the arithmetic of bounds, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from boltz import checks, html, numerics
from boltz.errors import InputError, NumericalError
from boltz.estimators import words
from boltz.estimators.words import few_effective
from boltz.sampling.annealing import Annealed

Kind = Literal["exact", "lower", "upper", "none"]
Floats = NDArray[np.float64]
FLIPPED: dict[Kind, Kind] = {"exact": "exact", "lower": "upper", "upper": "lower", "none": "none"}
TRUSTED_SAMPLES = 200


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number in nats with its error, and whether it is exact, a lower or an upper bound in expectation, or none.

    standard_error is that of estimation, for just these rows (log Z, samples). standard_error_rows is what other rows
    of the same kind would change: 0 where there are no rows, infinite for a single one. interval joins both (95 %).
    ess is the effective number of chains. doubts says in words what speaks against standard_error; trusted means that
    nothing does. per_row holds one value a data row where rows make sense. path (points, 2) holds inverse temperatures
    and the effective chains there. A value that is not finite raises NumericalError.
    """

    value: float
    standard_error: float
    interval: tuple[float, float]
    kind: Kind
    ess: float
    chains: int
    steps: int
    doubts: tuple[str, ...] = ()
    log_weights: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    per_row: Floats | None = field(default=None, repr=False)
    method: str = ""
    path: Floats = field(default_factory=lambda: np.empty((0, 2)), repr=False)
    standard_error_rows: float = 0.0

    def __post_init__(self) -> None:
        self._check()
        if not np.isfinite(checks.real(self.value, "value")) or (
            self.per_row is not None and not np.isfinite(self.per_row).all()
        ):
            raise NumericalError(
                f"The estimate ({self.method}) is not finite: the weights are too large for their type."
            )

    def _check(self) -> None:
        for name in ("value", "standard_error", "ess", "standard_error_rows"):
            if np.isnan(checks.real(getattr(self, name), name)) and name != "value":
                raise InputError(f"{name} must be a number, got nan.")
        for name in ("standard_error", "standard_error_rows", "ess"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be at least 0, got {checks.brief(getattr(self, name))}.")
        if self.standard_error == np.inf and not self.doubts:
            raise InputError("standard_error must be finite where no doubts say why it is not, got inf.")
        checks.choice(self.kind, "kind", FLIPPED)
        kinds = {"interval": tuple, "doubts": tuple, "method": str, "log_weights": np.ndarray, "path": np.ndarray}
        for name, kind in kinds.items():
            checks.instance(getattr(self, name), name, kind)
        if len(self.interval) != 2:
            raise InputError(f"interval must hold two numbers, got {checks.brief(self.interval)}.")
        if self.per_row is not None:
            checks.numbers(self.per_row, "per_row", (None,))
        for name in ("chains", "steps"):
            checks.integer(getattr(self, name), name)

    @property
    def trusted(self) -> bool:
        """Whether the standard error can be believed: nothing speaks against it."""
        return not self.doubts

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite or undefined number becomes None."""

        def plain(x: float) -> float | None:
            return float(x) if np.isfinite(x) else None

        return {
            "value": plain(self.value),
            "standard_error": plain(self.standard_error),
            "standard_error_rows": plain(self.standard_error_rows),
            "interval": [plain(x) for x in self.interval],
            "kind": self.kind,
            "ess": plain(self.ess),
            "chains": self.chains,
            "steps": self.steps,
            "trusted": self.trusted,
            "doubts": list(self.doubts),
        }

    def __str__(self) -> str:
        return words.paragraph(self)

    def __repr__(self) -> str:
        trust = "trusted" if self.trusted else "NOT trusted"
        return f"Estimate({words.in_words(self)}, {trust}, method={self.method!r})"

    def _repr_html_(self) -> str:
        return html.table(words.table_lines(self), caption=self.method)


def exact(value: float, method: str) -> Estimate:
    """An estimate without error."""
    return Estimate(value, 0.0, (value, value), "exact", 0.0, 0, 0, method=method)


def from_log_weights(log_weights: Floats, steps: int, method: str) -> Estimate:
    """log of the mean weight: a lower bound in expectation (Jensen), with a 95 % interval by the delta method."""
    alone = Annealed(log_weights, np.empty(0), np.empty((0, 0)), 0.0, np.arange(len(log_weights)), 0)
    return from_annealed(alone, 0.0, steps, method)


@dataclass(frozen=True, eq=False)
class OfLogZ:
    """What holds an estimate of log Z (nats), and speaks for it."""

    estimate: Estimate

    @property
    def value(self) -> float:
        """log Z of the machine in nats."""
        return self.estimate.value

    @property
    def standard_error(self) -> float:
        """Its standard error in nats."""
        return self.estimate.standard_error

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval in nats."""
        return self.estimate.interval

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against trust, in words."""
        return self.estimate.doubts

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against it."""
        return self.estimate.trusted


def from_annealed(found: Annealed, start: float, steps: int, method: str, kind: Kind = "lower") -> Estimate:
    """log of the mean weight beyond start: a lower bound in expectation (Jensen), 95 % interval by the delta method.

    kind "upper" or "none" means a walk down, whose weights average to the inverse: the value is start minus their log.
    After resamplings the error is that of families of common ancestry. log_weights keep
    the orientation of the value.
    """
    sign = 1.0 if kind == "lower" else -1.0
    weights, chains = found.log_weights, len(found.log_weights)
    value = start + sign * (found.collected + float(numerics.log_mean_exp(weights)))
    error, ess = numerics.family_error(weights, found.eve)
    along = numerics.effective_sample_size(found.trace, axis=1) if len(found.betas) else np.empty(0)
    path = np.stack([found.betas, along], axis=1)
    return Estimate(
        value,
        error,
        interval(value, error, chains),
        kind,
        ess,
        chains,
        steps,
        few_effective(ess, chains),
        start + sign * (found.collected + weights),
        method=method,
        path=path,
    )


def joined(*doubts: tuple[str, ...]) -> tuple[str, ...]:
    """Doubts of several parts, each once."""
    return tuple(dict.fromkeys(doubt for part in doubts for doubt in part))


def interval(value: float, error: float, count: int) -> tuple[float, float]:
    """Symmetric 95 % interval by Student's t with count - 1 degrees of freedom."""
    return joint_interval(value, (error, count))


def joint_interval(value: float, *parts: tuple[float, int]) -> tuple[float, float]:
    """Symmetric 95 % interval of a value whose independent errors are (standard error, number of values behind it).

    Errors are added in squares; the degrees of freedom of Student's t are those of Welch (1947, eq. 28): the joint
    variance squared over the sum of each variance squared over its own degrees. An error from one value is unknown.
    """
    errors = np.array([error if count > 1 else float("inf") for error, count in parts if error > 0 or count < 2])
    total = float(np.sqrt(np.sum(errors**2)))
    if total == 0 or not np.isfinite(total):
        return value - total, value + total
    degrees = np.array([count - 1 for error, count in parts if error > 0])
    reach = total * float(stdtrit(1 / np.sum((errors / total) ** 4 / degrees), 0.975))
    return value - reach, value + reach


def error_of_rows(per_row: Floats, errors: Floats) -> float:
    """Standard error of the mean of per_row (rows,) as that of all rows of their kind, in nats; infinite for one row.

    It is the standard deviation over rows by the root of their number, less the noise that errors (rows,), those of
    estimation, add to it: that is counted elsewhere.
    """
    rows = len(per_row)
    if rows < 2:
        return float("inf")
    noise = np.mean(np.where(np.isfinite(errors), errors, 0.0) ** 2)
    return float(np.sqrt(max(per_row.var(ddof=1) - noise, 0.0) / rows))


def kind_of_sum(first: Kind, second: Kind) -> Kind:
    """The kind of a sum: exact changes nothing, equal kinds stay, a lower and an upper bound make no bound."""
    if first == "exact":
        return second
    return first if second in ("exact", first) else "none"


def kind_of_difference(first: Kind, second: Kind) -> Kind:
    """The kind of first - second: lower - upper = lower, lower - lower = none."""
    return kind_of_sum(first, FLIPPED[second])


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second in nats, their errors taken as independent, per_row that of first less second.

    Each end of the interval is as far from the value as both ends that lead there, added in squares. Chains, their
    effective number and log-weights are those of second, unless it is exact.
    """
    value, counted = first.value - second.value, first if second.kind == "exact" else second
    below = np.hypot(first.value - first.interval[0], second.interval[1] - second.value)
    above = np.hypot(first.interval[1] - first.value, second.value - second.interval[0])
    return Estimate(
        value,
        float(np.hypot(first.standard_error, second.standard_error)),
        (float(value - below), float(value + above)),
        kind_of_difference(first.kind, second.kind),
        counted.ess,
        counted.chains,
        counted.steps,
        joined(first.doubts, second.doubts),
        counted.log_weights,
        None if first.per_row is None else first.per_row - second.value,
        f"{first.method}; log Z by {second.method}",
        standard_error_rows=float(np.hypot(first.standard_error_rows, second.standard_error_rows)),
    )
