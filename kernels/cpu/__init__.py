"""The primitives on a processor, compiled by Numba."""

from boltz.kernels.cpu.bernoulli import (
    bernoulli_anneal,
    bernoulli_from_mean,
    bernoulli_mean,
    bernoulli_relax,
    bernoulli_rows,
    bernoulli_sample,
    bernoulli_score,
    normal,
)
from boltz.kernels.cpu.philox import philox
from boltz.kernels.cpu.products import contraction, product
from boltz.kernels.cpu.sums import add, back, copy, cut, outer, row_dot, through, totals, track, turn, weigh
from boltz.kernels.cpu.updates import adam_update, momentum_update

__all__ = [
    "adam_update",
    "add",
    "back",
    "bernoulli_anneal",
    "bernoulli_from_mean",
    "bernoulli_mean",
    "bernoulli_relax",
    "bernoulli_rows",
    "bernoulli_sample",
    "bernoulli_score",
    "contraction",
    "copy",
    "cut",
    "momentum_update",
    "normal",
    "outer",
    "philox",
    "product",
    "row_dot",
    "through",
    "totals",
    "track",
    "turn",
    "weigh",
]
