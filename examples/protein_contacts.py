"""Which sites of aligned sequences touch? Couplings by pseudo-likelihood (plmDCA), and the pairs of sites they name.

Run: python examples/protein_contacts.py [--data family.fasta] [--top 20]     (a few seconds on the made-up family)
Without --data the family is drawn from a Potts model with known contacts, so that the answer can be checked.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from typing import Any

import numpy as np

import boltz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=None, help="an alignment that boltz.load_data reads, such as a FASTA file")
    parser.add_argument("--top", type=int, default=20, help="how many pairs to show")
    parser.add_argument("--apart", type=int, default=1, help="least distance of the sites of a pair along the sequence")
    parser.add_argument("--sequences", type=int, default=4000, help="of the made-up family")
    options = parser.parse_args()

    contacts: set[tuple[int, int]] = set()
    if options.data is None:
        rows, states, contacts = made_up(options.sequences)
    else:
        data = boltz.load_data(options.data)
        states = int(data.kind.split(":")[1])
        rows = data.x.reshape(len(data.x), -1, states).argmax(axis=2)
    sites = rows.shape[1]
    weights = boltz.sequence_weights(rows)
    print(f"{len(rows)} sequences of {sites} sites, {weights.sum():.0f} effective")

    fit = boltz.fit_pairwise(boltz.boltzmann(sites, units=("categorical", states)), rows, weights=weights)
    print(fit)
    scores = boltz.couplings(fit.model).scores
    pairs = [pair for pair in combinations(range(sites), 2) if pair[1] - pair[0] >= options.apart]
    best = sorted(pairs, key=lambda pair: -scores[pair])[: options.top]
    for first, second in best:
        mark = "  a contact" if (first, second) in contacts else ""
        print(f"{first:4d} {second:4d}  {scores[first, second]:.3f}{mark}")
    if contacts:
        named = contacts & set(best[: len(contacts)])
        print(f"{len(named)} of the first {len(contacts)} pairs are contacts")


def made_up(sequences: int) -> tuple[Any, int, set[tuple[int, int]]]:
    """Sequences of 24 sites of 5 letters from a Potts model with 20 contacts, and these."""
    rng, sites, states = np.random.default_rng(0), 24, 5
    every = list(combinations(range(sites), 2))
    contacts = {every[n] for n in rng.choice(len(every), 20, replace=False)}
    couplings = np.zeros((sites, sites, states, states))
    for first, second in contacts:
        block = rng.normal(size=(states, states))
        couplings[first, second], couplings[second, first] = block, block.T
    model = boltz.potts(couplings, rng.normal(0, 0.5, (sites, states)))
    drawn = boltz.sample(model, chains=sequences, sweeps=200, seed=1)["v"]
    return drawn.reshape(-1, sites, states).argmax(axis=2), states, contacts


if __name__ == "__main__":
    main()
