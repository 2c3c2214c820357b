"""The kernel distance of two samples, its test, and its derivative (Gretton et al. 2012).

The kernel is the inverse multiquadratic one, c / (c + |x - y|^2), whose tails reach far (Tolstikhin et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.rng import Key

Array = NDArray[Any]
Floats = NDArray[np.float64]
PERMUTATIONS = 200
LEAST_SCALE = 1e-12


@dataclass(frozen=True)
class TwoSamples:
    """The squared kernel distance of two samples, unbiased, and the share of random splits of both that have as much.

    A share below 0.01 says that the samples are from different distributions, wrongly so in one case of a hundred.
    """

    distance: float
    p_value: float
    first: int
    second: int

    @property
    def differ(self) -> bool:
        """Whether the test rejects at 1 %."""
        return self.p_value < 0.01

    def __str__(self) -> str:
        said = "differ" if self.differ else "are not told apart"
        test = f"kernel distance {self.distance:.4f}, p = {self.p_value:.3f}"
        return f"two samples of {self.first} and {self.second} points {said}: {test}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"distance": self.distance, "p_value": self.p_value, "first": self.first, "second": self.second}


def two_samples(x: Any, y: Any, permutations: int = PERMUTATIONS, seed: int = 0) -> TwoSamples:
    """Test whether x (rows, units) and y (others, units) are from one distribution (Gretton et al. 2012, eq. 3).

    The p-value counts random splits of all points into two samples of these sizes, of which at least 100 are drawn.
    Memory grows with the square of all points. Raises InputError.
    """
    first = checks.array(x, "x", (None, None), np.float64)
    second = checks.array(y, "y", (None, first.shape[1]), np.float64)
    count = checks.integer(permutations, "permutations", 100, 10**6)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("x and y must hold finite numbers: leave out rows that do not.")
    if min(len(first), len(second)) < 2:
        raise InputError(f"x and y must have at least two rows each, got {len(first)} and {len(second)}.")
    return tested(first, second, count, Key.from_seed(seed).derive("permutations").generator())


def tested(x: Floats, y: Floats, permutations: int, generator: np.random.Generator) -> TwoSamples:
    """As two_samples, for arrays that were checked."""
    both = np.concatenate([x, y])
    squares = _squares(both - both.mean(axis=0), both - both.mean(axis=0))
    kernel = _kernel(squares, _scale(squares))  # of all points, so that no split of them is another kind of split
    np.fill_diagonal(kernel, 0)
    n, m, found = len(x), len(y), []
    labels = np.arange(n + m) < n
    for i in range(permutations + 1):
        mine = (generator.permutation(labels) if i else labels).astype(np.float64)
        rest = 1 - mine
        across, own = kernel @ mine, kernel @ rest
        found.append(mine @ across / (n * (n - 1)) + rest @ own / (m * (m - 1)) - 2 * (mine @ own) / (n * m))
    p_value = (1 + sum(each >= found[0] for each in found[1:])) / (permutations + 1)
    return TwoSamples(float(found[0]), float(p_value), n, m)


def kernel_slope(points: Array, draws: Array) -> Array:
    """Minus the derivative (rows, units) of the squared kernel distance of points and draws by the points: where each
    point has to go. The scale of the kernel is that of the draws.
    """
    x, y, n = points.astype(np.float64), draws.astype(np.float64), len(points)
    scale = _scale(_squares(y, y))
    toward_own, toward_draws = _slopes(x, x, scale), _slopes(x, y, scale)
    found = -2 * toward_own / max(n - 1, 1) + 2 * toward_draws / len(y)
    return np.asarray(found / n, points.dtype)


def _slopes(x: Floats, y: Floats, scale: float) -> Floats:
    """Sum over y of the derivative of the kernel by each x."""
    weight = -2 * scale / np.square(scale + _squares(x, y))
    return weight.sum(axis=1, keepdims=True) * x - weight @ y


def _squares(x: Floats, y: Floats) -> Floats:
    """Squared distances (rows of x, rows of y)."""
    found = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None] - 2 * x @ y.T
    return np.maximum(found, 0)


def _kernel(squares: Floats, scale: float) -> Floats:
    return scale / (scale + squares)


def _scale(squares: Floats) -> float:
    """The scale of the kernel: the mean squared distance of two points."""
    n = len(squares)
    return max(float(squares.sum()) / max(n * (n - 1), 1), LEAST_SCALE)
