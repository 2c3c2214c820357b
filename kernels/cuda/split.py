"""Products of 0/1 states with weights on tensor cores, as accurate as in float32.

Tensor cores multiply numbers of 16 bits (bfloat16, 8 bits of precision) and add in float32. A state of 0 and 1 is such
a number; a weight w of float32, with 24 bits, is the sum a + b + c of three: a is the nearest to w, b the nearest to
w - a, and c = w - a - b. Each difference is exact in float32, since both terms are multiples of the last bit of w and
the difference is small. In units of the power of two at or below |w|, |w - a| is at most 2^-8, which leaves 16 bits; b
takes 8 of them, so that |w - a - b| is at most 2^-17, and the 7 bits that are left are all of c. The split is exact
while the last bit of w, 2^-23 in these units, is not below the smallest normal number, that is for |w| > 2^-102;
smaller weights lose less than 2^-125 (CuPy lets the compiler flush numbers below 2^-126 to 0).

One product does it: the parts below each other, c first, times the state three times beside itself. Its terms are exact
too, so that for n units that are on the error of s @ w is that of a sum of 3 n terms: at most 3 n 2^-23 (1 + 2^-8 +
2^-16) sum |w| in any order, even if sums are cut off instead of rounded, and near a third of it in the order of the
units, where small terms come first; a product in float32 has n 2^-24 sum |w|.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from boltz.kernels.cuda import launch

Array = Any  # a C-contiguous cupy.ndarray
REAL_16, REAL_32, IN_FLOAT32, PLAIN, TURNED, CHOSEN_BY_CUBLAS = 14, 0, 68, 0, 1, -1  # of cuBLAS and of the CUDA runtime
ALIGNED = 8  # numbers of 16 bits to which tensor cores want rows to be aligned
ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)


@dataclass(frozen=True, eq=False)
class Split:
    """Weights (units, columns) in three parts; held has a buffer for states of each number of rows.

    parts: (3 units, at least columns) uint16, or the transpose of that with its last axis at least 3 units (turned).
    """

    parts: Array
    turned: bool
    held: dict[int, Array] = field(default_factory=dict)

    def product(self, state: Array, out: Array) -> None:
        """out (rows, columns) := state (rows, units) @ weights, for a state of 0 and 1; a NaN in it gives NaN."""
        if not state.size or not out.size:
            out.fill(0)
            return
        (rows, units), columns, cupy = state.shape, out.shape[1], launch._cupy()
        if rows not in self.held:
            self.held[rows] = _room(rows, 3 * units)
        thrice = self.held[rows]
        launch.thrice(state, thrice)
        # cuBLAS counts by columns: what it sees are the transposes, out^T = weights^T state^T
        left = self.parts.data.ptr, REAL_16, self.parts.shape[1]
        right = thrice.data.ptr, REAL_16, thrice.shape[1]
        sizes, factors = (columns, rows, 3 * units), (ONE.ctypes.data, ZERO.ctypes.data)
        cupy.cuda.cublas.gemmEx(
            cupy.cuda.get_cublas_handle(), TURNED if self.turned else PLAIN, PLAIN, *sizes, factors[0], *left, *right,
            factors[1], out.data.ptr, REAL_32, columns, IN_FLOAT32, CHOSEN_BY_CUBLAS,
        )  # fmt: skip


def split(weight: Array) -> tuple[Split, Split]:
    """A float32 matrix (units, columns) in three parts, and its transpose."""
    units, columns = weight.shape
    upward, downward = _room(3 * units, columns), _room(units, 3 * columns)
    launch.split(weight, upward, downward)
    return Split(upward, False), Split(downward, True)


def _room(rows: int, columns: int) -> Array:
    """Memory for numbers of 16 bits in rows that are aligned."""
    return launch._cupy().empty((rows, -(-columns // ALIGNED) * ALIGNED), np.uint16)
