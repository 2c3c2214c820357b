"""Overfitting: how much better a machine is on its training rows than on held-out ones, beyond independent units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.models import products
from boltz.models.files import Model
from boltz.rng import Key
from boltz.sampling.meanfield import MeanField
from boltz.training.held_out import collapsed_bound, quick_log_z, row_bounds
from boltz.training.updown import recognised

Array = NDArray[Any]
Floats = NDArray[np.float64]
ROWS, LEAST_ROWS = 500, 20  # that are looked at on each side
ERRORS = 4.0  # of the gap that may be chance
SHARE, LEAST = 0.3, 1.0  # of the gain on training rows, and nats a row, that may be missing on others


@dataclass(frozen=True)
class Gap:
    """Gains over independent units in nats a row, on training rows and on held-out rows, and the error of their
    difference by the choice of rows, in pairs with independent units.
    """

    train: float
    unseen: float
    error: float

    @property
    def size(self) -> float:
        """How much of the gain does not hold on other rows."""
        return self.train - self.unseen

    @property
    def large(self) -> bool:
        """Whether it is more than chance, and a good part of what was gained."""
        return self.size > max(ERRORS * self.error, SHARE * abs(self.train), LEAST)

    @property
    def sentence(self) -> str:
        """Both gains in words."""
        return (
            f"The machine is {self.train:.1f} nats a row better than independent units on its training rows, and "
            f"{abs(self.unseen):.1f} {'better' if self.unseen >= 0 else 'worse'} on held-out rows"
        )


ADVICE = "Leave epochs out, or name patience, so that training ends in time; or take more rows, or fewer units."


def gap(model: Model, train: Array, unseen: Array, key: Key) -> Gap | None:
    """The gap between training rows and held-out rows (rows, units) as the machine sees them.

    None where either are too few or not 0/1, and where the machine has numbers that are not finite.
    """
    views = model.layers[: len(model.layers) - len(model.hidden_layers)]
    if not all(layer.binary for layer in views) or min(len(train), len(unseen)) < LEAST_ROWS:
        return None
    states, others = host(train), host(unseen)
    if not all(((x == 0) | (x == 1)).all() for x in (states, others)):
        return None
    alone, gains = products.independent(states), []
    few = [beside(x[:: -(-len(x) // ROWS)], model.arena) for x in (train, unseen)]
    log_z = _log_z(model, few[0], key)
    with np.errstate(all="ignore"):
        gains = [_log_marginal(model, x, key) - log_z - alone.log_prob(host(x)) for x in few]
        error = math.sqrt(sum(float(x.var(ddof=1)) / len(x) for x in gains))
    found = Gap(float(gains[0].mean()), float(gains[1].mean()), error)
    return found if math.isfinite(found.size + error) else None


def _log_marginal(model: Model, rows: Array, key: Key) -> Floats:
    """log p(v) of rows, by quick bounds in deep machines, without log Z (rows,)."""
    if model.directed is not None:
        return row_bounds(model.directed, rows, key)
    assert model.undirected is not None
    return collapsed_bound(model.undirected, rows, MeanField(), key)


def _log_z(model: Model, rows: Array, key: Key) -> float:
    """log Z by a short annealing, 0 of a directed machine."""
    rbm, net = model.undirected, model.directed
    if rbm is None:
        return 0.0
    below = rows if net is None else recognised(net, rows, key.derive("recognised"))
    with np.errstate(all="ignore"):
        return quick_log_z(rbm, host(below), key)
