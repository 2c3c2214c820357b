"""Products of 0/1 states with weights on tensor cores, as accurate as in float32.

Tensor cores multiply numbers of 16 bits (bfloat16, 8 bits of precision) and add in float32. A state of 0 and 1 is such
a number; a weight w of float32, with 24 bits, is the sum a + b + c of three: a is the nearest to w, b the nearest to
w - a, and c = w - a - b. Each difference is exact in float32, since both terms are multiples of the last bit of w and
the difference is small. In units of the power of two at or below |w|, |w - a| is at most 2^-8, which leaves 16 bits; b
takes 8 of them, so that |w - a - b| is at most 2^-17, and the 7 bits that are left are all of c. The split is exact
while the last bit of w, 2^-23 in these units, is not below the smallest normal number, that is for |w| > 2^-102;
smaller weights lose less than 2^-125 (CuPy lets the compiler flush numbers below 2^-126 to 0).

Products with 0 and 1 are exact too, so the error of s @ w is that of three sums: for n units that are on, at most
(n + 3) 2^-23 (1 + 2^-8 + 2^-16) sum |w| if the sums cut off instead of rounding, where one product in float32 has
n 2^-24 sum |w|. The smallest parts are added first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from boltz.kernels import cuda

Array = Any  # a C-contiguous cupy.ndarray
REAL_16, REAL_32, IN_FLOAT32, PLAIN, TURNED, CHOSEN_BY_CUBLAS = 14, 0, 68, 0, 1, -1  # of cuBLAS and of the CUDA runtime
ALIGNED = 8
ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)


@dataclass(frozen=True, eq=False)
class Split:
    """Weights (units, columns) in three parts, or their transpose; held has a buffer for states of each shape."""

    parts: Array  # (3, units, columns and what makes them a multiple of 8) uint16
    turned: bool = False
    held: dict[tuple[int, ...], Array] = field(default_factory=dict)

    @property
    def T(self) -> Split:  # noqa: N802 - as of an array
        """The transpose, over the same memory."""
        return replace(self, turned=not self.turned)

    def product(self, state: Array, out: Array) -> None:
        """out (rows, columns) := state (rows, units) @ weights, for a state of 0 and 1; a NaN in it gives NaN."""
        if not out.size:
            return
        if not state.size:
            out.fill(0)
            return
        if state.shape not in self.held:
            self.held[state.shape] = _room(*state.shape)
        narrow = self.held[state.shape]
        cuda.narrowed("narrowed", state, narrow)
        cupy, (rows, units), columns = cuda._cupy(), state.shape, out.shape[1]
        handle, width = cupy.cuda.get_cublas_handle(), self.parts.shape[2]
        for part, keep in zip(self.parts[::-1], (ZERO, ONE, ONE), strict=True):
            # cuBLAS counts by columns: what it sees are the transposes, out^T = weights^T state^T
            weights = TURNED if self.turned else PLAIN, part.data.ptr, REAL_16, width
            cupy.cuda.cublas.gemmEx(
                handle, weights[0], PLAIN, columns, rows, units, ONE.ctypes.data, *weights[1:], narrow.data.ptr,
                REAL_16, narrow.shape[1], keep.ctypes.data, out.data.ptr, REAL_32, columns, IN_FLOAT32, CHOSEN_BY_CUBLAS,
            )  # fmt: skip


def split(weight: Array) -> Split:
    """A float32 matrix (units, columns) in three parts."""
    parts = _room(3, *weight.shape)
    cuda.narrowed("split", weight, parts)
    return Split(parts)


def _room(*shape: int) -> Array:
    """Memory for numbers of 16 bits in rows that start at multiples of 16 bytes, which tensor cores want."""
    return cuda._cupy().empty((*shape[:-1], -(-shape[-1] // ALIGNED) * ALIGNED), np.uint16)
