"""How the codes of an adversarial autoencoder stand beside its prior: what nobody uses, and what nobody draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import binom

from boltz.arrays import host
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.rng import Key
from boltz.sampling.inferred import coded
from boltz.sampling.two_samples import TwoSamples
from boltz.training.game_measures import against_prior, prior_draws

Array = NDArray[Any]
ROWS, TESTED, FAR, COLLAPSED = 2000, 500, 0.95, 0.5
UNUSED, CHANCE = 0.1, 0.01  # share of its even share, below which nobody uses a label, and of it being chance
PERMUTATIONS = 200


@dataclass(frozen=True)
class Matched:
    """How well codes of rows match the prior.

    - test: the kernel two-sample test of codes against draws.
    - covered: share of draws that have a code as near as draws have each other, in 95 % of cases: about 0.95 where both
      are alike, 0 where codes sit in one place.
    - inside: share of codes that have a draw as near.
    - used: share of the rows that were looked at for each inferred label, none where no labels are inferred.
    """

    test: TwoSamples
    covered: float
    inside: float
    used: tuple[float, ...] = ()
    rows: int = 0

    @property
    def collapsed(self) -> bool:
        """Whether codes leave more than half of the prior to nobody."""
        return self.covered < COLLAPSED

    @property
    def unused(self) -> int:
        """Labels that next to no row has, so few that it is no chance."""
        even = 1 / max(len(self.used), 1)
        rare = [
            share < UNUSED * even and binom.cdf(round(share * self.rows), self.rows, even) < CHANCE
            for share in self.used
        ]
        return sum(rare)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a reader should know."""
        found = []
        if self.collapsed:
            found.append(
                f"Mode collapse: {1 - self.covered:.0%} of the draws of the prior have no code near them, so that "
                "samples come from where no row is. Train it for more epochs, with a larger generator_rate, more "
                "input_noise, or adversary mmd."
            )
        elif self.test.differ:
            found.append(
                f"The codes do not look like the prior yet: {1 - self.covered:.0%} of its draws have no code near, "
                f"and {1 - self.inside:.0%} of the codes no draw (kernel distance {self.test.distance:.3f}, "
                f"p = {self.test.p_value:.3f}). Samples of such draws may be unlike the rows; train for more epochs."
            )
        if self.unused:
            found.append(f"{self.unused} of {len(self.used)} inferred labels have next to no rows.")
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        own = {"covered": self.covered, "inside": self.inside, "collapsed": self.collapsed}
        return {**self.test.as_dict(), **own, "used": list(self.used)}


def matched(machine: HelmholtzMachine, rows: Array, key: Key) -> Matched:
    """How codes of rows (rows, units) match the prior."""
    some = rows[:: -(-len(rows) // ROWS)]
    coder, tape = coded(machine, some, key)
    codes = host(coder.codes(tape, len(some))).astype(np.float64)
    draws, others = (prior_draws(machine, len(some), key.derive("near", i)).astype(np.float64) for i in range(2))
    near = np.quantile(_nearest(draws, others), FAR)
    covered, inside = (float((_nearest(a, b) <= near).mean()) for a, b in ((draws, codes), (codes, draws)))
    used: tuple[float, ...] = ()
    if coder.game.inferred:
        labels = host(coder.shares(tape, len(some))).argmax(axis=1)
        used = tuple((np.bincount(labels, minlength=coder.game.labels) / len(some)).tolist())
    step = -(-len(codes) // TESTED)
    test = against_prior(machine, codes[::step], key, PERMUTATIONS)
    return Matched(test, covered, inside, used, len(some))


def game_notes(model: Model, rows: Array, key: Key) -> tuple[str, ...]:
    """Sentences on the codes of a trained machine, given training rows (rows, units) as it sees them."""
    assert model.directed is not None
    return matched(model.directed, rows, key).sentences if len(rows) > 1 else ()


def _nearest(x: Array, y: Array) -> Array:
    """The distance of each x to the nearest y."""
    found: Array = cKDTree(y).query(x)[0]
    return found
