"""Checks of sparse couplings as sweeps read them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array, triu

import boltz
from boltz.kernels import reference_sites as reference
from boltz.kernels.cpu import sites

STREAM = (3, 4, 5)


def check_laid_out_sweeps(dtype: Any = np.float32) -> None:
    """Sweeps of lattices whose tiles lie at every second place, or do not, are those of the reference.

    Rows of 256 and of 261 sites, with one coupling and with random ones, and parts that are cut in the midst of tiles.
    A draw may differ where rounding decides, in fewer than 1e-3 of the units; wrong neighbours move a tenth of them.
    """
    rng = np.random.default_rng(1)
    for shape, alike in (((4, 256), True), ((4, 256), False), ((5, 261), True), ((5, 261), False), ((4, 70), False)):
        coupling = boltz.lattice(shape, 0.4)
        if not alike:
            half = triu(coupling).tocsr()
            half.data = rng.normal(size=len(half.data))
            coupling = csr_array(half + half.T)
        model = boltz.ising(coupling, dtype=dtype)
        edge, units = model.graph.edges[0], model.units["v"]
        assert edge.pairs is not None
        laid, (order, parts) = edge.pairs.couplings(model.params[edge.key], units, 1), edge.pairs.colouring(units, 1)
        assert len(laid.strides) and (len(laid.weights) == 1) == alike
        assert 0 < (laid.strides == 2).mean() < 1 or shape == (4, 70)
        matrix, field = model.matrix(edge.key), rng.normal(size=(1, units)).astype(dtype)
        one = np.where(rng.random((20, units)) < 0.5, -1, 1).astype(dtype)
        other = one.copy()
        for start, stop in parts:
            cuts = np.unique([start, (2 * start + stop) // 3, (start + 4 * stop) // 5, stop])
            for part in pairwise(cuts.tolist()):
                sites.sparse_sweep(field, laid, part, 0.7, (-1.0, 1.0), STREAM, 2, one)
            couplings = order, matrix.indptr, matrix.indices, matrix.data
            reference.sparse_sweep(field, couplings, (start, stop), 0.7, (-1.0, 1.0), STREAM, 2, other)
        assert (one != other).mean() < 1e-3, (shape, alike)
