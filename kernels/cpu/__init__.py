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
from boltz.kernels.cpu.binomial import binomial_from_mean
from boltz.kernels.cpu.bits import pack_rows, unpack_rows
from boltz.kernels.cpu.categorical import categorical_from_mean, categorical_mean, categorical_sample
from boltz.kernels.cpu.layers import (
    activate,
    gaussian_path,
    gaussian_score,
    gaussian_shift,
    normal_score,
    pooled,
    repeated,
    slope,
    weighted,
)
from boltz.kernels.cpu.log_weights import row_means, softmax, without_one
from boltz.kernels.cpu.philox import philox
from boltz.kernels.cpu.products import contraction, product
from boltz.kernels.cpu.sums import add, alike, back, copy, cut, outer, row_dot, through, totals, track, turn, weigh
from boltz.kernels.cpu.updates import accumulate, adam_update, momentum_update

__all__ = [
    "accumulate",
    "activate",
    "adam_update",
    "add",
    "alike",
    "back",
    "bernoulli_anneal",
    "bernoulli_from_mean",
    "bernoulli_mean",
    "bernoulli_relax",
    "bernoulli_rows",
    "bernoulli_sample",
    "bernoulli_score",
    "binomial_from_mean",
    "categorical_from_mean",
    "categorical_mean",
    "categorical_sample",
    "contraction",
    "copy",
    "cut",
    "gaussian_path",
    "gaussian_score",
    "gaussian_shift",
    "momentum_update",
    "normal",
    "normal_score",
    "outer",
    "pack_rows",
    "philox",
    "pooled",
    "product",
    "repeated",
    "row_dot",
    "row_means",
    "slope",
    "softmax",
    "through",
    "totals",
    "track",
    "turn",
    "unpack_rows",
    "weigh",
    "weighted",
    "without_one",
]
