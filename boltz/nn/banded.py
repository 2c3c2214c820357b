"""Dense nets whose units hear only the first so many units of the layer below, as those of masked autoencoders do.

Masks of autoregressive nets have this form once units stand in order of degree (Germain et al. 2015, eqs. 12-13). So a
product leaves out what is not heard, and weights that are masked count as 0 whatever they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.kernels.cpu.flows import banded
from boltz.nn.arena import Part
from boltz.nn.dense import ACTIVATIONS, Job, Net, Params, total
from boltz.rng import Key

Array = NDArray[Any]
Counts = NDArray[np.int64]
COLUMNS = 128  # of a piece of work in a product for weights


@dataclass(frozen=True, eq=False)
class Banded:
    """A net and, by layer of weights, how many units of the layer below each unit hears: numbers that do not fall.

    Its inputs are in the buffer "{name}/input" of a part, where name is that of its parameters and buffers.
    """

    net: Net
    heard: tuple[Counts, ...]

    @cached_property
    def starts(self) -> tuple[Counts, ...]:
        """By layer of weights: the first unit that hears each unit of the layer below."""
        layers = zip(self.heard, self.net.sizes, strict=False)
        return tuple(np.searchsorted(heard, np.arange(below), "right") for heard, below in layers)

    def mask(self, layer: int) -> NDArray[np.bool_]:
        """Whether a unit (column) hears one of the layer below (row)."""
        return np.asarray(np.arange(self.net.sizes[layer])[:, None] < self.heard[layer])

    def start(self, name: str, params: Params, key: Key, units: int) -> None:
        """Weights of a new machine as those of the plain net, but 0 where they are masked."""
        self.net.start(name, params, key, units)
        for i in range(self.net.depth):
            params[f"{name}/{i}/weight"][~self.mask(i)] = 0

    def forward(self, name: str, params: Params, part: Part) -> Array:
        """Outputs (rows, outputs), biases included, in the buffer that pullback takes the derivatives by them in."""
        start, _ = ACTIVATIONS[self.net.activation]
        value = part.get(f"{name}/input", self.net.sizes[0])
        for i, above in enumerate(self.net.sizes[1:]):
            last = i == self.net.depth - 1
            out = part.get(f"{name}/{i}/delta" if last else f"{name}/{i}/value", above)
            banded(value, params[f"{name}/{i}/weight"], np.zeros(above, np.int64), self.heard[i], out)
            if last:
                out += params[f"{name}/{i}/bias"]
            else:
                start(out, params[f"{name}/{i}/bias"])
            value = out
        return value

    def pullback(self, name: str, params: Params, part: Part) -> Array:
        """The derivative by the inputs (rows, inputs) from that by the outputs; deltas of all layers stay on the tape.

        It may be called again: values are not changed.
        """
        _, slope = ACTIVATIONS[self.net.activation]
        delta = part.get(f"{name}/{self.net.depth - 1}/delta", self.net.sizes[-1])
        for i in reversed(range(self.net.depth)):
            below, above = self.net.sizes[i : i + 2]
            signal = part.get(f"{name}/{i - 1}/delta" if i > 0 else f"{name}/signal", below)
            banded(delta, params[f"{name}/{i}/weight"].T, self.starts[i], np.full(below, above), signal)
            if i > 0:
                slope(part.get(f"{name}/{i - 1}/value", below), signal)
            delta = signal
        return delta

    def bend(self, name: str, part: Part, layer: int, units: slice) -> None:
        """Multiply deltas of some units of a hidden layer by the slopes of their activations."""
        _, slope = ACTIVATIONS[self.net.activation]
        size = self.net.sizes[layer + 1]
        slope(part.get(f"{name}/{layer}/value", size)[:, units], part.get(f"{name}/{layer}/delta", size)[:, units])

    def weigh(self, name: str, part: Part, weights: Array) -> None:
        """Multiply the deltas that a pullback left by row weights (rows,)."""
        for i, above in enumerate(self.net.sizes[1:]):
            delta = part.get(f"{name}/{i}/delta", above)
            kernels.weighted(delta, weights, False, delta)

    def products(self, name: str, gradient: Params, part: Part, add: bool = False) -> list[Job]:
        """The parameter gradients from the deltas of all rows, as pieces of work; 0 for what is masked.

        add keeps what the gradient holds.
        """
        jobs: list[Job] = []
        for i, (below, above) in enumerate(pairwise(self.net.sizes)):
            inputs = part.get(f"{name}/input" if i == 0 else f"{name}/{i - 1}/value", below)
            delta = part.get(f"{name}/{i}/delta", above)
            jobs += _contractions(inputs, delta, self.heard[i], gradient[f"{name}/{i}/weight"], add)
            jobs.append(total(delta, gradient[f"{name}/{i}/bias"], add))
        return jobs


def _contractions(inputs: Array, delta: Array, heard: Counts, out: Array, add: bool) -> list[Job]:
    """out := inputs^T delta where a column hears its row, else 0, as pieces of work for slices of columns.

    add keeps what out holds.
    """

    def work(columns: slice) -> None:
        here, target = heard[columns], out[:, columns]
        mine = np.empty_like(target) if add else target
        least, most = int(here[0]), int(here[-1])
        kernels.contraction(inputs[:, :most], delta[:, columns], mine[:most])
        mine[least:][np.arange(least, len(out))[:, None] >= here] = 0
        if add:
            target += mine

    count = delta.shape[1]
    return [partial(work, slice(first, min(first + COLUMNS, count))) for first in range(0, count, COLUMNS)]
