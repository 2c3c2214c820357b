"""What a machine has learnt beyond independent units: their log-likelihood, that of a mixture, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from boltz import checks, scale
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, error_of_rows, joint_interval
from boltz.models import products
from boltz.models.products import COMPONENTS, NOTHING, Products
from boltz.scale import Border

ERRORS = 2.0


def independent_units(train: Any, x: Any) -> Estimate:
    """Mean log-likelihood of rows x (rows, units) of 0 and 1 in nats under independent units with the rates of the rows
    train (rows, units), numbers in [0, 1]; exact. Raises InputError.
    """
    train, x = _rows(train, x)
    return _estimate(products.independent(train), x, "independent units")


def mixture_of_products(train: Any, x: Any, components: int = COMPONENTS, seed: int = 0) -> Estimate:
    """Mean log-likelihood of rows x (rows, units) of 0 and 1 in nats under a mixture of so many products of independent
    units, fitted to the rows train (rows, units); exact. Raises InputError.
    """
    train, x = _rows(train, x)
    components = checks.integer(components, "components", 1, 10_000)
    seed = checks.integer(seed, "seed", 0, 2**63 - 1)
    return _estimate(products.mixture(train, components, seed), x, f"a mixture of {components} products")


@dataclass(frozen=True)
class Beyond:
    """What simple models say of the same rows: independent units, and a mixture of products of them."""

    independent: Estimate
    mixture: Estimate

    @classmethod
    def of(cls, train: Any, x: Any, seed: int = 0) -> Beyond:
        """Both, fitted to rows train (rows, units), of rows x (rows, units) of 0 and 1."""
        return cls(independent_units(train, x), mixture_of_products(train, x, seed=seed))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"independent_units": self.independent.as_dict(), "mixture": self.mixture.as_dict()}

    def verdict(self, per_row: Any, estimate: Mapping[str, Any], name: str = "The machine") -> str:
        """How a machine with log-likelihoods per_row (rows,) of the same rows stands, in a sentence or two.

        estimate holds the plain values of their mean, as Estimate.as_dict gives them.
        """
        pairs = np.subtract(per_row, self.independent.per_row)  # type: ignore[arg-type]
        of_rows = error_of_rows(pairs, np.zeros(len(pairs)))
        error = float(np.hypot(estimate["standard_error"] or 0.0, of_rows if np.isfinite(of_rows) else 0.0))
        change, gain = float(pairs.mean()), self.mixture.value - self.independent.value
        mixture = f"a mixture of {COMPONENTS} products is {better(gain)} than them"
        bound = not estimate["trusted"] and estimate["kind"] == "lower"
        most = "" if not bound else "at most " if gain > change else "at least "
        beside = f"{most}{better(gain - change)} than {'the machine' if name == 'The machine' else name}"
        start = name if bound or estimate["trusted"] else f"{name}, whose value is not trusted,"
        if change < -ERRORS * error:
            least = "by this bound " if bound else ""
            return f"{start} is {least}{-change:.2f} nats a row worse than independent units; {mixture}, {beside}."
        if change > NOTHING * gain and change <= ERRORS * error:
            return (
                f"{start} cannot be told from independent units by so few rows ({change:+.2f} +- {error:.2f} nats a "
                f"row); {mixture}."
            )
        if change <= 0 >= gain:
            nothing = f"has learnt nothing beyond independent units ({change:+.2f} nats a row)"
            return f"{start} {nothing}, and {mixture}: there may be nothing to learn."
        if change <= NOTHING * gain:
            return (
                f"{start} has learnt nothing beyond independent units ({change:+.2f} nats a row); {mixture}. Train it "
                "for more updates: more epochs, or smaller batches."
            )
        least = "at least " if bound else ""
        return f"{start} is {least}{change:.2f} nats a row better than independent units; {mixture}, {beside}."


def better(difference: float) -> str:
    """A difference in nats a row as 1.23 better, or worse."""
    return f"{abs(difference):.2f} {'better' if difference > 0 else 'worse'}"


def _rows(train: Any, x: Any) -> tuple[Any, Any]:
    """Both as checked rows of as many units; raises InputError."""
    try:
        shape = tuple(train.shape if hasattr(train, "shape") else np.shape(train))
    except (TypeError, ValueError):
        shape = ()  # no table of numbers, as is said next
    units = shape[1] if len(shape) == 2 else 0
    train = scale.rows(train, Border("train"), units, np.float32)
    x = scale.rows(x, Border("x"), units, np.float32)
    if not ((x == 0) | (x == 1)).all():
        raise InputError("x must hold 0 and 1, which alone have a likelihood under binary units: binarise the rows.")
    return train, x


def _estimate(model: Products, x: Any, method: str) -> Estimate:
    per_row = model.log_prob(x)
    value, of_rows = float(per_row.mean()), error_of_rows(per_row, np.zeros(len(per_row)))
    ends = joint_interval(value, (of_rows, len(per_row)))
    return Estimate(value, 0.0, ends, "exact", 0.0, 0, 0, per_row=per_row, method=method, standard_error_rows=of_rows)
