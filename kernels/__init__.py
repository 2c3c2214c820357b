"""The primitives of boltz and their dispatch by array type: numpy arrays go to Numba, CuPy arrays to CUDA.

Each primitive exists three times with one signature: in reference.py (numpy, written for reading), cpu (Numba) and
cuda (CuPy and CUDA C++), where the products with states take weights that cuda/split.py made ready for tensor cores.
Nothing here knows models; this package never imports boltz.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

PRIMITIVES = {
    "philox": 2,
    "bernoulli_from_mean": 0,
    "bernoulli_rows": 0,
    "bernoulli_mean": 0,
    "bernoulli_sample": 0,
    "bernoulli_relax": 0,
    "bernoulli_anneal": 0,
    "bernoulli_score": 0,
    "categorical_mean": 0,
    "categorical_from_mean": 0,
    "categorical_sample": 0,
    "binomial_from_mean": 0,
    "normal": 2,
    "activate": 1,
    "slope": 1,
    "gaussian_shift": 0,
    "gaussian_score": 0,
    "normal_score": 0,
    "gaussian_path": 0,
    "weighted": 0,
    "repeated": 0,
    "pooled": 0,
    "softmax": 0,
    "without_one": 0,
    "row_means": 0,
    "product": 0,
    "contraction": 0,
    "momentum_update": 0,
    "adam_update": 0,
    "accumulate": 1,
    "add": 2,
    "copy": 1,
    "cut": 1,
    "unpack_rows": 2,
    "pack_rows": 0,
    "alike": 0,
    "turn": 1,
    "totals": 1,
    "weigh": 0,
    "track": 0,
    "outer": 3,
    "row_dot": 0,
    "through": 1,
    "back": 1,
}  # name -> position of the argument whose array type chooses the backend

__all__ = [*PRIMITIVES, "backend"]


@cache
def _module(kind: type) -> Any:
    if kind.__module__.startswith("boltz.kernels"):
        return import_module(kind.__module__)  # an array whose primitives are recorded
    return import_module("boltz.kernels." + ("cuda.launch" if kind.__module__.startswith("cupy") else "cpu"))


def backend(array: Any) -> Any:
    """The module that implements the primitives for this array's type."""
    return _module(type(array))


def __getattr__(name: str) -> Any:
    if name not in PRIMITIVES:
        raise AttributeError(f"boltz.kernels has no primitive {name!r}")
    position = PRIMITIVES[name]

    def dispatch(*arguments: Any) -> Any:
        return getattr(backend(arguments[position]), name)(*arguments)

    dispatch.__name__ = name
    globals()[name] = dispatch
    return dispatch
