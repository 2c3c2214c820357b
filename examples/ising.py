"""The Ising model on a square lattice through its critical temperature, beside what is known exactly.

python examples/ising.py --side 16 --picture ising.png
"""

from __future__ import annotations

import argparse

import numpy as np

import boltz

CRITICAL = 2 / np.log(1 + np.sqrt(2))  # temperature of the infinite lattice (Onsager 1944), with a coupling of 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--picture", help="a file for the picture")
    options = parser.parse_args()
    shape = options.side, options.side
    temperatures = [1.8, 2.0, 2.2, float(CRITICAL), 2.4, 2.6, 3.0]
    found = boltz.observables(boltz.ising(boltz.lattice(shape)), temperatures, rounds=options.rounds)
    print(found)
    for t, temperature in enumerate(temperatures):
        try:
            exact = boltz.exact_log_z(boltz.ising(boltz.lattice(shape, 1 / temperature)))
        except boltz.InputError as problem:
            print(f"no exact log Z: {problem}")
            break
        low, high = found.interval("log_z")[t]
        print(f"T {temperature:.4f}: log Z {exact.value:.3f} exactly, {low:.3f} to {high:.3f} by replica exchange")
    if options.picture:
        boltz.plot_observables(found).savefig(options.picture)


if __name__ == "__main__":
    main()
