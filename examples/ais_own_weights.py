"""Estimate log Z of weights that come from elsewhere, and see how far to trust the number.

Give weights and biases as .npy files, or none for a machine small enough to check by enumeration:
    python examples/ais_own_weights.py --weights W1.npy W2.npy --biases b0.npy b1.npy b2.npy
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np

import boltz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", nargs="+", help="W_l of shape (n_l, n_(l+1))")
    parser.add_argument("--biases", nargs="+", help="b_l of shape (n_l,), one more than weights")
    parser.add_argument("--chains", type=int, default=200)
    parser.add_argument("--betas", type=int, default=2000)
    options = parser.parse_args()

    model = own_machine(options.weights, options.biases) if options.weights else small_machine()
    for betas in (options.betas // 10, options.betas):
        estimate = boltz.ais(model, chains=options.chains, betas=betas)
        low, high = estimate.interval
        print(
            f"{betas:6d} temperatures: log Z {estimate.value:.4f} [{low:.4f}, {high:.4f}], "
            f"{estimate.ess:.0f} effective of {estimate.chains} chains, trusted: {estimate.trusted}"
        )
    if not options.weights:
        print(f"  enumeration:         log Z {boltz.exact_log_z(model).value:.4f}")


def own_machine(weights: list[str], biases: list[str]) -> boltz.BoltzmannMachine:
    """The machine of .npy files."""
    return boltz.from_arrays(*([np.load(name, allow_pickle=False) for name in names] for names in (weights, biases)))


def small_machine() -> boltz.BoltzmannMachine:
    """A random DBM with 12 + 8 + 6 units and strong weights."""
    generator = np.random.default_rng(0)
    sizes = (12, 8, 6)
    weights = [generator.normal(0, 0.8, shape) for shape in pairwise(sizes)]
    return boltz.from_arrays(weights, [generator.normal(0, 0.5, n) for n in sizes])


if __name__ == "__main__":
    main()
