"""Averages of parameters along a stage: what stochastic approximation ends with is its mean, not its last noisy step.

Polyak & Juditsky 1992 (SIAM J. Control Optim. 30, theorem 1): the mean over the last share of the updates. An
exponential average follows at any time; it is divided by the sum of its weights, so that its start has no pull. A
polynomial one (Shamir & Zhang 2013, section 4) does so without a number of its own for the length of the training: the
weight of update t grows as a power of t, so that it always looks back over the same share of what was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from boltz.parallel import Workers
from boltz.training.settings import Averaged

Array = NDArray[Any]
APART, PARTS = 10, 100  # most updates between two that are taken, and about how many are to be taken at least
MANY = 1 << 62  # more updates than there are
CHUNK = 1 << 17


@dataclass(frozen=True)
class Averages:
    """Which updates of a stage enter the average: each apart-th after first, of so many; apart is 0 where none do.

    decay: what an exponential average keeps; power: that of the weights of a polynomial one. Both are 0 for equal
    weights.
    """

    first: int = 0
    apart: int = 0
    decay: float = 0.0
    power: float = 0.0

    @classmethod
    def of(cls, settings: Averaged, updates: int) -> Averages:
        """As the settings have it, for a stage of so many updates."""
        if settings.averaging == "none" or updates == 0:
            return cls()
        exponential = settings.averaging == "exponential"
        span = 1 / (1 - settings.average_decay) if exponential else settings.average_share * updates
        apart = max(1, min(APART, int(span) // PARTS))
        if exponential:
            return cls(0, apart, settings.average_decay)
        if settings.averaging == "polynomial":
            return cls(0, apart, power=1 / settings.average_share - 1)
        taken = max(int(span) // apart, 1)
        return cls(updates - taken * apart, apart)

    def ahead(self, step: int) -> int:
        """How many updates there are from the end of a step to the next one that is taken."""
        if not self.apart:
            return MANY
        done = step - self.first
        return self.apart - done if done < 0 else self.apart - done % self.apart

    def weight(self, step: int) -> float:
        """The weight of the parameters after a step beside all that were taken before; 0 where they are not taken."""
        done = step - self.first
        if not self.apart or done <= 0 or done % self.apart:
            return 0.0
        count = done // self.apart
        if not self.decay:
            return (self.power + 1) / (self.power + count)
        kept = self.decay**self.apart
        return (1 - kept) / (1 - kept**count)

    def taken(self, average: Array, arena: Array, step: int, pool: Workers) -> Array:
        """The average with the parameters after a step; the array given, or a new one where that is empty."""
        weight = self.weight(step)
        if not weight:
            return average
        if not average.size:
            return arena.copy()
        share = arena.dtype.type(weight)

        def part(first: int) -> None:
            mean = average[first : first + CHUNK]
            mean += (arena[first : first + CHUNK] - mean) * share

        pool.map(part, list(range(0, len(arena), CHUNK)))
        return average
