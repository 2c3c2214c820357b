"""Two kinds of data of the same things: pictures and tags. A multimodal deep Boltzmann machine learns both, tells tags
from pictures, and finds things of the same kind by pictures alone, better than pictures themselves do.

Run: python examples/multimodal.py [--rows 1000] [--lacking 0.5]     (about ten seconds)
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import boltz

KINDS, PIXELS, TAGS = 5, 20, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000, help="things to learn from")
    parser.add_argument("--lacking", type=float, default=0.0, help="share of them that have no tags")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    chance = np.random.default_rng(options.seed)
    looks, words = chance.normal(0, 1, (KINDS, PIXELS)), chance.choice([0.1, 0.8], (KINDS, TAGS))

    def made(rows: int) -> tuple[dict[str, Any], Any]:
        """Pictures and tags of things, and their kinds, which the machine never sees."""
        kind = chance.integers(0, KINDS, rows)
        picture = looks[kind] + chance.normal(0, 1.5, (rows, PIXELS))
        return {"picture": picture, "tags": (chance.random((rows, TAGS)) < words[kind]).astype(float)}, kind

    x, kinds = made(options.rows)
    unseen, unseen_kinds = made(300)
    learnt = {name: rows.copy() for name, rows in x.items()}
    learnt["tags"][: round(options.lacking * options.rows)] = np.nan

    views = {"picture": (PIXELS, "gaussian"), "tags": TAGS}
    start = boltz.multimodal(views, {"picture": [20], "tags": [20]}, 15, x=x, seed=options.seed)
    lengths = {"pretrain_epochs": options.epochs, "epochs": options.epochs}
    model = boltz.train(start, learnt, seed=options.seed, **lengths).model

    pictures = {"picture": unseen["picture"]}
    told = boltz.complete(model, pictures, sweeps=200, seed=options.seed)["tags"] > 0.5
    print(f"tags told from pictures: {np.mean(told == (words[unseen_kinds] > 0.5)):.1%} as they usually are")

    found = {
        "pictures themselves": boltz.Retrieval(unseen["picture"], x["picture"]),
        "tags themselves": boltz.Retrieval(unseen["tags"], x["tags"]),
        "joint layer, pictures": boltz.retrieve(model, pictures, x),
        "joint layer, both": boltz.retrieve(model, unseen, x),
    }
    scores = {name: each.scores(unseen_kinds, kinds) for name, each in found.items()}
    for name, each in scores.items():
        print(f"{name.ljust(22)} {each}")
    gain = scores["joint layer, pictures"].less(scores["pictures themselves"])
    low, high = gain.interval
    print(f"The joint layer adds {gain.mean_average_precision:.3f} ({low:.3f} to {high:.3f}) to pictures alone.")


if __name__ == "__main__":
    main()
