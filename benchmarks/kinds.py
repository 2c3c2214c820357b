"""Time Gibbs sweeps and training of machines with other units than 0 and 1 beside PyTorch, in turns.

Lines: block Gibbs of 1,000 chains of a Potts machine (53 units of 21 states, 100 hidden ones) and of spins (784-500),
and PCD-1 with batches of 100 of an RBM with Gaussian visible units and learnt variances (560-500). PyTorch draws states
of categories by the quicker of two ways, from cumulative sums and by Gumbel noise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from contenders import Work
from turns import Line, beside_torch, command, needs_torch, options_of

import boltz
from boltz.sampling.gibbs import started

CHAINS, BATCH, ROWS = 1000, 100, 10_000
STATES = 21


def arguments() -> argparse.Namespace:
    """The command line."""
    return options_of(str(__doc__), "1,2")


def _nothing() -> Any:
    return ()


def _sweeps(model: Any, state: Any) -> Work:
    """Sweeps of boltz from states of all layers."""
    walk, done = started(model, len(state["v"]), boltz.Key(1, 2), state), [0]

    def run(sweeps: int) -> None:
        walk.advance(range(done[0], done[0] + sweeps), slice(0, len(state["v"])))
        done[0] += sweeps

    return Work(run, _nothing)


def _torch_sweeps(model: Any, state: Any, up: Callable[..., Any], down: Callable[..., Any]) -> Work:
    """Sweeps of PyTorch: up and down draw a layer from its input."""
    import torch

    weight = torch.tensor(model.params["edge/v-h1/weight"])
    biases = torch.tensor(model.bias("v")), torch.tensor(model.bias("h1"))
    kept = [torch.tensor(state["v"])]

    def run(sweeps: int) -> None:
        with torch.inference_mode():
            for _ in range(sweeps):
                h = up(torch.addmm(biases[1], kept[0], weight))
                kept[0] = down(torch.addmm(biases[0], h, weight.T))

    return Work(run, _nothing)


def _potts(chains: int) -> dict[str, Work]:
    import torch

    codes = np.random.default_rng(0).integers(0, STATES, (chains, 53))
    model = boltz.rbm(53, 100, codes, units=("categorical", STATES), initial_scale=0.3)
    state = boltz.sample(model, chains, sweeps=5)

    def bits(x: Any) -> Any:
        return torch.bernoulli(torch.sigmoid(x))

    def sums(x: Any) -> Any:
        p = torch.softmax(x.view(-1, STATES), 1)
        found = torch.searchsorted(p.cumsum(1), torch.rand(len(p), 1)).clamp_(max=STATES - 1)
        return torch.zeros_like(p).scatter_(1, found, 1.0).view(len(x), -1)

    def gumbel(x: Any) -> Any:
        parts = x.view(len(x), -1, STATES)
        found = (parts - torch.empty_like(parts).exponential_().log_()).argmax(2)
        return torch.nn.functional.one_hot(found, STATES).view(len(x), -1).to(torch.float32)

    draws = {"PyTorch, sums": sums, "PyTorch, Gumbel": gumbel}
    peers = {name: _torch_sweeps(model, state, bits, draw) for name, draw in draws.items()}
    return {"boltz": _sweeps(model, state), **peers}


def _spins(chains: int) -> dict[str, Work]:
    import torch

    rows = np.sign(np.random.default_rng(0).normal(size=(chains, 784)))
    model = boltz.rbm(784, 500, rows, units="spin", hidden_units="spin", initial_scale=0.02)
    state = boltz.sample(model, chains, sweeps=5)

    def spins(x: Any) -> Any:
        return torch.bernoulli(torch.sigmoid(x.mul_(2))).mul_(2).sub_(1)

    return {"boltz": _sweeps(model, state), "PyTorch": _torch_sweeps(model, state, spins, spins)}


def _gaussian(rows: int) -> dict[str, Work]:
    """Epochs of PCD-1; what a call of boltz.train costs beside its epochs counts for boltz."""
    import torch

    x = np.random.default_rng(0).normal(size=(rows, 560)).astype(np.float32)
    model = boltz.rbm(560, 500, x, units="gaussian")
    plain: dict[str, Any] = {"center": False, "averaging": "none", "snapshots": 0, "patience": 0, "validation": 0.0}

    def ours(epochs: int) -> None:
        boltz.train(model, x, epochs=epochs, batch_size=BATCH, learning_rate=1e-3, schedule="constant", **plain)

    data, rate = torch.tensor(x), 1e-3

    def theirs(epochs: int) -> None:
        weight, b, c, log_variance = (torch.randn(560, 500) * 0.01, *(torch.zeros(n) for n in (560, 500, 560)))
        v = data[:BATCH].clone()
        with torch.inference_mode():
            for _ in range(epochs):
                for rows_of in torch.randperm(len(data)).split(BATCH):
                    batch = data[rows_of]
                    up = torch.sigmoid(torch.addmm(c, batch, weight))
                    h = torch.bernoulli(torch.sigmoid(torch.addmm(c, v, weight)))
                    variance = log_variance.exp()
                    v = torch.addmm(b, h, weight.T).mul_(variance).addcmul_(torch.randn_like(v), variance.sqrt())
                    again = torch.sigmoid(torch.addmm(c, v, weight))
                    weight.addmm_(batch.T, up, alpha=rate / BATCH).addmm_(v.T, again, alpha=-rate / BATCH)
                    b.add_(batch.mean(0) - v.mean(0), alpha=rate)
                    c.add_(up.mean(0) - again.mean(0), alpha=rate)
                    squares = (batch * batch).mean(0) - (v * v).mean(0)
                    log_variance.add_(squares / (2 * variance), alpha=rate / 10)

    return {"boltz": Work(ours, _nothing), "PyTorch": Work(theirs, _nothing)}


LINES: dict[str, tuple[Callable[[int], dict[str, Work]], int, str]] = {
    "Potts 53x21-100, block Gibbs, 1,000 chains": (_potts, CHAINS, "chain sweeps/s"),
    "spins 784-500, block Gibbs, 1,000 chains": (_spins, CHAINS, "chain sweeps/s"),
    "Gaussian 560-500, PCD-1, batch 100": (_gaussian, ROWS, "rows/s"),
}


def run(options: argparse.Namespace) -> int:
    """Measure line by line and print the table."""
    needs_torch("kinds.py")
    share = 10 if options.smoke else 1
    lines = [
        Line(name, partial(make, size // share), size // share, unit, 1.0) for name, (make, size, unit) in LINES.items()
    ]
    return beside_torch(lines, options)


if __name__ == "__main__":
    sys.exit(command(run, arguments))
