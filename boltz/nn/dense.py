"""Dense layers with an activation between them: a forward function that returns (value, pullback).

The pullback of delta, the derivative by the output, is delta W^T at the input and (w * h)^T delta for the weights, with
row weights w (rows,) in the parameter product only: one backward pass serves the parameters under one set of weights
and the inputs under another. The product itself waits on the tape until all blocks of a batch are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import on_device
from boltz.nn.arena import Part
from boltz.nn.dropout import heard, inside, unheard
from boltz.rng import Key

Array = NDArray[Any]
Params = Mapping[str, Array]
Pullback = Callable[..., Array | None]
Job = Callable[[], None]
SLICE = 512  # inputs of a piece of work
TILE = 32  # columns that a product works on at a time
HEAVY, MOST_PIECES = 1 << 22, 6  # products of a piece of work that is not cut again, and pieces of a slice of inputs


def _pair(kind: str) -> tuple[Callable[[Array, Array], None], Callable[[Array, Array], None]]:
    return partial(kernels.activate, kind), partial(kernels.slope, kind)


ACTIVATIONS = {
    kind: _pair(kind) for kind in ("tanh", "relu", "softplus", "elu")
}  # name -> (the function of field + bias, in place; delta times its derivative, from its value, in place)


def glorot(own: str, params: Params, ends: int, key: Key) -> None:
    """The weights of this name, uniform as in Glorot & Bengio (2010, eq. 16); ends counts inputs and outputs."""
    reach = np.sqrt(6 / ends)
    params[own][...] = key.derive("weights", own).generator().uniform(-reach, reach, params[own].shape)


@dataclass(frozen=True)
class Net:
    """Dense layers of these sizes, inputs first and outputs last, with the activation between them."""

    sizes: tuple[int, ...]
    activation: str = "tanh"

    def __post_init__(self) -> None:
        checks.choice(self.activation, "activation", ACTIVATIONS)

    @property
    def depth(self) -> int:
        """Number of dense layers."""
        return len(self.sizes) - 1

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Shapes of weights and biases under this name, from the input up."""
        found: dict[str, tuple[int, ...]] = {}
        for i, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            found[f"{name}/{i}/weight"] = (inputs, outputs)
            found[f"{name}/{i}/bias"] = (outputs,)
        return found

    def start(self, name: str, params: Params, key: Key, units: int) -> None:
        """Weights of a new machine, uniform as in Glorot & Bengio (2010); biases stay 0.

        units counts the outputs that stand for one thing: mean and log sigma of a Gaussian are separate ones.
        """
        for i, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            own = f"{name}/{i}/weight"
            glorot(own, params, inputs + (units if i == self.depth - 1 else outputs), key)

    def bias(self, name: str, params: Params) -> Array:
        """Bias of the outputs, which forward leaves to the conditional on top."""
        return params[f"{name}/{self.depth - 1}/bias"]

    def forward(self, name: str, params: Params, source: str, part: Part) -> tuple[Array, Pullback]:
        """Outputs (rows, outputs) without their bias, in a buffer of the tape, and the pullback.

        source names the buffer of the inputs. Parameters and buffers of the net are under its name.
        """
        start, _ = ACTIVATIONS[self.activation]
        value = part.get(source, self.sizes[0])
        for i in range(self.depth):
            last = i == self.depth - 1
            out = part.get(f"{name}/{i}/delta" if last else f"{name}/{i}/value", self.sizes[i + 1])
            kernels.product(value, params[f"{name}/{i}/weight"], out)
            if not last:
                start(out, params[f"{name}/{i}/bias"])
            value = out if last else heard(f"{name}/{i}", part, out)
        return value, self.pulled(name, params, part)

    def outputs(self, name: str, part: Part) -> Array:
        """Outputs (rows, outputs) that forward left on the tape."""
        return part.get(f"{name}/{self.depth - 1}/delta", self.sizes[-1])

    def pulled(self, name: str, params: Params, part: Part) -> Pullback:
        """The pullback of what forward left on the tape; rows may be dealt to parts anew."""
        _, slope = ACTIVATIONS[self.activation]

        def pullback(
            delta: Array, weights: Array | None = None, signal: bool = True, keep: bool = True
        ) -> Array | None:
            """The signal (rows, inputs) at the input, or None; keep leaves weighted deltas for `products`."""
            for i in reversed(range(self.depth)):
                below = None
                if i > 0 or signal:
                    below = part.get(f"{name}/{i - 1}/delta" if i > 0 else f"{name}/signal", self.sizes[i])
                    kernels.product(delta, params[f"{name}/{i}/weight"].T, below)
                if i > 0 and below is not None:
                    unheard(f"{name}/{i - 1}", part, below)
                    slope(part.get(f"{name}/{i - 1}/value", self.sizes[i]), below)
                if keep:
                    kept(delta, weights, part.get(f"{name}/{i}/delta", self.sizes[i + 1]))
                if below is not None:
                    delta = below
            return delta if signal else None

        return pullback

    def products(
        self, name: str, tables: tuple[Params, Params], source: str, part: Part, add: bool = False
    ) -> list[Job]:
        """The parameter gradients of a block, a whole batch as a rule, as pieces of work: inputs^T deltas, sums of
        deltas.

        tables are parameters and gradient by name. source names the buffer of the inputs; add keeps what the gradient
        holds.
        """
        _, gradient = tables
        jobs: list[Job] = []
        for i in range(self.depth):
            inputs = part.get(source, self.sizes[0]) if i == 0 else inside(f"{name}/{i - 1}", part, self.sizes[i])
            delta = part.get(f"{name}/{i}/delta", self.sizes[i + 1])
            weight, bias = gradient[f"{name}/{i}/weight"], gradient[f"{name}/{i}/bias"]
            team = 1 if add else part.tape.team
            jobs += [*contractions(inputs, delta, weight, add, team), total(delta, bias, add)]
        return jobs


def kept(delta: Array, weights: Array | None, out: Array) -> None:
    """out (rows, units) := delta times row weights (rows,), or delta itself, for `products`."""
    if weights is not None:
        kernels.weighted(delta, weights, False, out)
    elif out is not delta:
        kernels.copy(delta, out)


def contractions(inputs: Array, delta: Array, out: Array, add: bool = False, team: int = 1) -> list[Job]:
    """out := inputs^T delta, as pieces of work for slices of inputs; add keeps what out holds.

    For a team of threads in float32, where each number is found alone, also for slices of deltas.
    """
    return [_contraction(inputs, delta, out, piece, add) for piece in pieces(inputs, delta, team)]


def pieces(inputs: Array, delta: Array, team: int) -> list[tuple[slice, slice]]:
    """Slices of inputs and of deltas that a team of threads contracts one by one."""
    units, found = inputs.shape[1], list[tuple[slice, slice]]()
    step = units if on_device(inputs) else SLICE
    for first in range(0, units, step):
        mine = slice(first, min(first + step, units))
        most = delta.size * (mine.stop - mine.start) // HEAVY if team > 1 and delta.dtype == np.float32 else 1
        found += [(mine, columns) for columns in _columns(delta.shape[1], most)]
    return found


def _columns(count: int, most: int) -> list[slice]:
    """Columns in so many slices at most, each of whole tiles of a product and of three or more."""
    pieces = max(min(most, count // (3 * TILE), MOST_PIECES), 1)
    edges = [count * i // pieces // TILE * TILE for i in range(pieces)]
    return [slice(a, b) for a, b in pairwise([*edges, count])]


def _contraction(inputs: Array, delta: Array, out: Array, piece: tuple[slice, slice], add: bool) -> Job:
    units, columns = piece

    def work() -> None:
        mine, target = inputs[:, units], out[units, columns]
        into = np.empty_like(target) if add else target
        kernels.contraction(mine, delta[:, columns], into)
        if add:
            target += into

    return work


def total(delta: Array, out: Array, add: bool = False) -> Job:
    """out := the sum of delta over rows, as a piece of work; add keeps what out holds."""
    return partial(kernels.pooled, delta, add, out[None])
