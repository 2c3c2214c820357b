"""How much do pairs of neurons say? A pairwise maximum-entropy model of spike words against independent neurons.

Run: python examples/spike_words.py [--neurons 20] [--bins 20000]     (a few seconds)
The spikes are made up: assemblies of neurons that fire together, and single spikes beside them.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import boltz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=20)
    parser.add_argument("--bins", type=int, default=20000)
    options = parser.parse_args()

    spikes = made_up(options.bins, options.neurons)
    train, test = spikes[::2], spikes[1::2]
    fit = boltz.fit_pairwise(boltz.boltzmann(options.neurons), train)
    print(fit)

    # up to 20 neurons log Z is exact, and annealed beyond
    pairs = boltz.log_likelihood(fit.model, test)
    rates = boltz.independent_units(train, test)
    gain = (pairs.per_row - rates.per_row) / np.log(2)
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"held-out log-likelihood {pairs.value:.3f} nats a bin ({pairs.kind}), rates alone {rates.value:.3f}")
    a_spike = gain.mean() / test.sum(axis=1).mean()
    print(f"pairs are worth {gain.mean():.3f} +- {error:.3f} bits a bin, {a_spike:.3f} a spike")

    # words that a model of rates gets wrong first: how many neurons fire together
    made = boltz.sample(fit.model, chains=len(test), sweeps=200, data=train, start="data")["v"]
    alone = np.random.default_rng(1).random(test.shape) < train.mean(axis=0)
    print("neurons at once   data    pairs   rates alone")
    for count in range(7):
        shares = [np.mean(x.sum(axis=1) == count) for x in (test, made, alone)]
        print(f"{count:15d} " + "".join(f"{share:9.4f}" for share in shares))


def made_up(bins: int, neurons: int) -> Any:
    """Spikes (bins, neurons) of 0 and 1: four assemblies, each on in 8 % of the bins."""
    rng = np.random.default_rng(0)
    member = rng.random((4, neurons)) < 0.3
    on = rng.random((bins, 4)) < 0.08
    return (rng.random((bins, neurons)) < 0.03 + 0.4 * (on @ member.astype(int) > 0)).astype(np.float32)


if __name__ == "__main__":
    main()
