"""Time every primitive of boltz.kernels against its numpy reference, in nanoseconds a unit, on one thread."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels import PRIMITIVES, backend, reference

Array = NDArray[Any]
STREAM = (1, 2, 3)


def _normal(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _means(*shape: int) -> Array:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def arguments(chains: int, units: int) -> dict[str, tuple[Any, ...]]:
    """What each primitive is called with: arrays (chains, units), or as many parameters.

    Calls overwrite some of them, which changes no time. The products with a 0/1 operand have 15 % of the units on.
    """
    shape = (chains, units)
    state, bias, change = np.zeros(shape, np.float32), _normal(units), np.zeros(chains)
    parameter, gradient = np.zeros(shape, np.float32), _normal(*shape)
    first, second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    signs, row, one = _normal(chains), _normal(units), np.zeros(units, np.float32)
    on = (_means(*shape) < 0.15).astype(np.float32)
    states = 4 if units % 4 == 0 else units
    pairs, both = _normal(chains, 2 * units), _normal(2 * units)
    return {
        "philox": (STREAM, 0, np.zeros(shape, np.uint32)),
        "bernoulli_from_mean": (_means(*shape), STREAM, 0, state),
        "bernoulli_rows": (_means(*shape), STREAM, np.arange(chains), state),
        "bernoulli_mean": (_normal(*shape), 1.0, bias),
        "bernoulli_sample": (_normal(*shape), 1.0, bias, STREAM, 0, state),
        "bernoulli_relax": (_normal(*shape), 1.0, bias, 0.0, _means(*shape)),
        "bernoulli_anneal": (_normal(*shape), (0.5, 0.51), (bias, bias), STREAM, 0, state, change),
        "bernoulli_score": (_normal(*shape), bias, state, change),
        "categorical_mean": (_normal(*shape), 1.0, bias, states),
        "categorical_from_mean": (_means(*shape), states, STREAM, 0, state),
        "categorical_sample": (_normal(*shape), 1.0, bias, states, STREAM, 0, state),
        "binomial_from_mean": (20 * _means(*shape), 20, STREAM, 0, state),
        "alike": (np.zeros(shape, np.uint8), units, 0, np.zeros(1, np.int64)),
        "normal": (STREAM, np.arange(chains), np.zeros(shape, np.float32)),
        "activate": ("tanh", _normal(*shape), bias),
        "slope": ("tanh", _means(*shape), _normal(*shape)),
        "gaussian_shift": (pairs, both, _normal(*shape), state),
        "gaussian_score": (pairs, both, state, 0.0, change),
        "normal_score": (_normal(*shape), change),
        "gaussian_path": (_normal(*shape), _normal(*shape), pairs.copy()),
        "weighted": (_normal(*shape), signs, False, state),
        "repeated": (_normal(*shape), state),
        "pooled": (_normal(*shape), False, bias[None].copy()),
        "softmax": (_normal(*shape).astype(np.float64), np.zeros(shape)),
        "without_one": (_normal(*shape).astype(np.float64), np.zeros(shape)),
        "row_means": (_normal(*shape).astype(np.float64), np.zeros(chains)),
        "product": (on, _normal(units, units), np.zeros(shape, np.float32)),
        "contraction": (on, _normal(*shape), np.zeros((units, units), np.float32)),
        "momentum_update": (parameter, gradient, first, 0.01, 0.5, False, 0.0, 0.0),
        "accumulate": (gradient.astype(np.float64), gradient.copy(), 1.0, parameter),
        "add": (gradient, bias, parameter),
        "copy": (gradient, parameter),
        "cut": (_means(*shape), state),
        "unpack_rows": (np.zeros((chains, -(-units // 8)), np.uint8), np.arange(chains), state),
        "pack_rows": (on, np.arange(chains), np.zeros((chains, -(-units // 8)), np.uint8)),
        "turn": (gradient, np.zeros((units, chains), np.float32)),
        "totals": (signs, gradient, one),
        "weigh": (_normal(*shape), np.sign(signs), bias, one),
        "track": (gradient, 0.01, one),
        "row_dot": (gradient, row, change),
        "outer": (1e-6, signs, row, parameter),
        "through": (1e-6, gradient, row, np.zeros(chains, np.float32)),
        "back": (1e-6, gradient, signs, one),
        "adam_update": (parameter, gradient, (first, second), 0.01, (0.9, 0.999), 1e-8, 1, 0.0, 0.0),
    }


def seconds(call: Callable[[], object], repeats: int, least: float) -> float:
    """The shortest of the repeats, each long enough for the clock."""
    call()
    count, best = 1, float("inf")
    while repeats:
        start = time.perf_counter()
        for _ in range(count):
            call()
        taken = time.perf_counter() - start
        if taken < least:
            count *= 2
            continue
        best, repeats = min(best, taken / count), repeats - 1
    return best


def measure(chains: int, units: int, repeats: int, least: float) -> dict[str, dict[str, float]]:
    """Nanoseconds a unit of both versions of every primitive."""
    found: dict[str, dict[str, float]] = {}
    modules: dict[str, ModuleType] = {"cpu": backend(np.zeros(1)), "reference": reference}
    for name in PRIMITIVES:
        found[name] = {}
        for side, module in modules.items():
            call = partial(getattr(module, name), *arguments(chains, units)[name])
            found[name][side] = 1e9 * seconds(call, repeats, least) / (chains * units)
    return found


def main(given: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--chains", type=int, default=100, help="rows of each array")
    parser.add_argument("--units", type=int, default=784, help="units a row")
    parser.add_argument("--repeats", type=int, default=7, help="the shortest of so many counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if min(options.chains, options.units, options.repeats) < 1:
        parser.error("--chains, --units and --repeats must be at least 1")
    found = measure(options.chains, options.units, options.repeats, 0 if options.smoke else 0.01)
    if options.json:
        print(json.dumps({"chains": options.chains, "units": options.units, "ns_per_unit": found}))
        return 0
    print(f"{'ns per unit':24s}{'cpu':>10s}{'reference':>12s}{'ratio':>8s}")
    for name, times in found.items():
        ratio = times["reference"] / times["cpu"]
        print(f"{name:24s}{times['cpu']:10.3f}{times['reference']:12.3f}{ratio:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
