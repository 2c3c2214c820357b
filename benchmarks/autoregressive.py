"""Time training of autoregressive factors beside PyTorch, in turns: NADE 784-500 and MADE 784-500-500, batch 100.

A step is the log-density, its gradient and an update by Adam. PyTorch walks through a NADE in two ways, a unit at a
time and a block of units at a time, both written by hand, as autograd would keep 160 MB a batch; the quicker counts.
 Its MADE is eager autograd, with the documented products and with those of oneDNN. Before any clock runs, all
gradients must agree with those of boltz to 1e-4 of the largest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from contenders import ContenderError, Work
from turns import Line, beside_torch, command, needs_torch, options_of

import boltz
from boltz import kernels
from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.factors import Place
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.parallel import shares, workers
from boltz.rng import Key

BATCH, ROWS, RATE, BLOCK = 100, 2000, 1e-3, 28


def arguments() -> argparse.Namespace:
    """The command line."""
    return options_of(str(__doc__), "1")


class Ours:
    """A factor with its parameters and the state of Adam."""

    def __init__(self, factor: Any) -> None:
        self.factor, shapes = factor, factor.shapes("f")
        self.arena, self.gradient, *self.moments = np.zeros((4, size(shapes)), np.float32)
        self.params, self.step = views(shapes, self.arena), 0
        factor.start("f", self.params, Key.from_seed(1))
        self.tape = Tape(self.arena)

    def climb(self, x: Any, pool: Any) -> dict[str, Any]:
        """The gradient of the mean log-density of rows, by name."""
        found, share = views(self.factor.shapes("f"), self.gradient), np.full(len(x), 1 / len(x), np.float32)
        self.tape.team = pool.count

        def work(rows: slice) -> None:
            place = Place("f", self.params, Part(self.tape, rows, len(x)), step=self.step)
            self.factor.score(place, x[rows]).pull(share[rows], False, True)

        pool.map(work, shares(len(x), self.arena))
        whole = Place("f", self.params, self.tape.whole(len(x)), step=self.step)
        pool.map(lambda job: job(), self.factor.products(whole, found))
        return found

    def work(self, batches: list[Any]) -> Work:
        supply = cycle(batches)

        def run(steps: int) -> None:
            with workers(self.arena) as pool:
                for _ in range(steps):
                    self.climb(next(supply), pool)
                    self.step += 1
                    betas, epsilon = (0.9, 0.999), 1e-8
                    kernels.adam_update(
                        self.arena, self.gradient, tuple(self.moments), RATE, betas, epsilon, self.step, 0.0, 0.0
                    )

        return Work(run, tuple)


class Peer:
    """Tensors by name with gradients that climb() leaves, and fused Adam."""

    def __init__(self, ours: Ours) -> None:
        import torch

        self.torch, self.factor = torch, ours.factor
        self.params = {name: torch.tensor(x, requires_grad=True) for name, x in ours.params.items()}
        self.adam = torch.optim.Adam(self.params.values(), lr=RATE, fused=True)

    def climb(self, x: Any) -> None:
        """Leave the gradient of minus the mean log-density of rows."""
        raise NotImplementedError

    def work(self, batches: list[Any]) -> Work:
        supply = cycle([self.torch.from_numpy(x) for x in batches])

        def run(steps: int) -> None:
            for _ in range(steps):
                self.climb(next(supply))
                self.adam.step()

        return Work(run, tuple)


class ByUnits(Peer):
    """A NADE whose passes take so many units at a time."""

    def climb(self, x: Any) -> None:
        with self.torch.no_grad():
            names = ("hidden/weight", "hidden/bias", "units/weight", "units/bias")
            weight, c, decoder, b = (self.params[f"f/{name}"].detach() for name in names)
            found = self.passes(x.t().contiguous(), (weight, c, decoder, b))
        for name, gradient in zip(names, found, strict=True):
            self.params[f"f/{name}"].grad = gradient

    def passes(self, x: Any, nets: tuple[Any, ...]) -> list[Any]:
        """The derivatives of minus the mean log-density by weight, c, decoder and b; x is (units, rows)."""
        torch, (weight, c, decoder, b) = self.torch, nets
        units, hidden = weight.shape
        a = c.expand(x.shape[1], hidden).clone()
        h, slope, after, logits = torch.empty_like(a), torch.empty_like(a), torch.zeros_like(a), torch.empty_like(x)
        d_weight, d_decoder = torch.empty_like(weight), torch.empty_like(decoder)
        for i in range(units):
            torch.mv(torch.sigmoid(a, out=h), decoder[i], out=logits[i])
            a.addr_(x[i], weight[i])
        score = logits.add_(b[:, None]).sigmoid_().sub_(x).div_(x.shape[1])
        for i in reversed(range(units)):
            a.addr_(x[i], weight[i], alpha=-1)
            torch.sigmoid(a, out=h)
            torch.mv(h.t(), score[i], out=d_decoder[i])
            torch.mv(after.t(), x[i], out=d_weight[i])
            torch.addcmul(h, h, h, value=-1, out=slope).mul_(decoder[i])
            after.addcmul_(slope, score[i][:, None])
        return [d_weight, after.sum(0), d_decoder, score.sum(1)]


class ByBlocks(ByUnits):
    """The same with cumulative sums over blocks of units, whose numbers stay in the second-level cache or near it."""

    def passes(self, x: Any, nets: tuple[Any, ...]) -> list[Any]:
        torch, (weight, c, decoder, b) = self.torch, nets
        cuts = [slice(i, min(i + BLOCK, len(x))) for i in range(0, len(x), BLOCK)]
        a, starts, logits = c.expand(x.shape[1], -1), [], []

        def values(start: Any, cut: slice) -> tuple[Any, Any]:
            steps = (x[cut, :, None] * weight[cut, None, :]).cumsum(0)
            inputs = torch.cat([start[None], start + steps[:-1]])
            return inputs.sigmoid_(), start + steps[-1]

        for cut in cuts:
            starts.append(a)
            h, a = values(a, cut)
            logits.append(torch.bmm(h, decoder[cut, :, None])[:, :, 0])
        score = torch.cat(logits).add_(b[:, None]).sigmoid_().sub_(x).div_(x.shape[1])
        after, d_weight, d_decoder = torch.zeros_like(a), [], []
        for start, cut in zip(reversed(starts), reversed(cuts), strict=True):
            h, _ = values(start, cut)
            d_decoder.append(torch.bmm(score[cut, None], h)[:, 0])
            sent = (h - h * h).mul_(decoder[cut, None]).mul_(score[cut, :, None]).flip(0).cumsum(0).flip(0).add_(after)
            below = torch.cat([sent[1:], after[None]])
            d_weight.append(torch.bmm(x[cut, None], below)[:, 0])
            after = sent[0]
        return [torch.cat(d_weight[::-1]), after.sum(0), torch.cat(d_decoder[::-1]), score.sum(1)]


class Masked(Peer):
    """A MADE by eager autograd and one form of products, with weights (outputs, inputs)."""

    def __init__(self, ours: Ours, products: Any) -> None:
        super().__init__(ours)
        torch, degrees, self.products = self.torch, ours.factor.degrees[0], products
        self.masks = {}
        for own, below, above in ours.factor.edges:
            mask = degrees[above][:, None] >= degrees[below]
            self.masks[f"f/{own}"] = torch.tensor(mask, dtype=torch.float32)
        flipped = {name: np.ascontiguousarray(x.T) for name, x in ours.params.items()}
        self.params = {name: torch.tensor(x, requires_grad=True) for name, x in flipped.items()}
        self.adam = torch.optim.Adam(self.params.values(), lr=RATE, fused=True)

    def dense(self, x: Any, name: str, bias: Any) -> Any:
        return self.products.dense(x, self.params[name] * self.masks[name], bias, False)

    def climb(self, x: Any) -> None:
        torch, value = self.torch, x
        self.adam.zero_grad(set_to_none=True)
        for layer in self.factor.hidden:
            value = self.dense(value, f"f/{layer}/weight", self.params[f"f/{layer}/bias"]).relu()
        logits = self.dense(value, "f/units/weight", self.params["f/units/bias"])
        logits = logits + self.dense(x, "f/direct/weight", torch.zeros(logits.shape[1]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        loss.backward()


def agree(name: str, ours: Ours, peer: Peer, x: Any) -> None:
    """ContenderError unless the gradients of a batch agree."""
    with workers(ours.arena) as pool:
        wanted = {key: value.copy() for key, value in ours.climb(x, pool).items()}
    peer.climb(peer.torch.from_numpy(x))
    for key, value in wanted.items():
        theirs = -peer.params[key].grad.numpy()
        theirs = theirs.T if isinstance(peer, Masked) else theirs
        if np.abs(theirs - value).max() > 1e-4 * np.abs(value).max():
            raise ContenderError(f"{name}: the gradient of {key} is not that of boltz.")


def nade(units: int, hidden: int) -> dict[str, Any]:
    """Contenders for a NADE."""
    ours = Ours(Nade(units, hidden))
    return {
        "boltz": ours,
        "PyTorch, a unit at a time": ByUnits(ours),
        f"PyTorch, {BLOCK} units at a time": ByBlocks(ours),
    }


def made(units: int, hidden: int) -> dict[str, Any]:
    """Contenders for a MADE with two hidden layers."""
    from contenders.torch_products import forms

    ours = Ours(Made(units, (hidden, hidden)))
    return {"boltz": ours} | {form.name: Masked(ours, form) for form in forms()}


LINES: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "NADE 784-500, batch 100": nade,
    "MADE 784-500-500, batch 100": made,
}


def contenders(make: Callable[[int, int], dict[str, Any]], hidden: int, batches: list[Any]) -> dict[str, Work]:
    """The work of each side, once their gradients agree."""
    sides = make(batches[0].shape[1], hidden)
    for peer in list(sides)[1:]:
        agree(peer, sides["boltz"], sides[peer], batches[0])
    return {side: each.work(batches) for side, each in sides.items()}


def run(options: argparse.Namespace) -> int:
    """Measure line by line and print the table."""
    needs_torch("autoregressive.py")
    data = boltz.load_data("mnist-mini", limit=ROWS)
    x = (data.x * np.float32(1 / (data.levels or 1)) >= 0.5).astype(np.float32)
    x, hidden = (np.ascontiguousarray(x[:, 300:340]), 20) if options.smoke else (x, 500)
    batches = [x[i : i + BATCH] for i in range(0, len(x), BATCH)]
    lines = [
        Line(name, partial(contenders, make, hidden, batches), BATCH, "rows/s", 0.25) for name, make in LINES.items()
    ]
    return beside_torch(lines, options)


if __name__ == "__main__":
    sys.exit(command(run, arguments))
