"""A feed-forward network for fine-tuning: dense layers with dropout, trained by the derivative of its own loss.

Softmax outputs have the cross-entropy of a class as loss, sigmoid ones that of binary targets, linear ones half the
squared error (nats a row): in each case the derivative of the log-likelihood by the outputs' field is target - output.
A dense layer may hear further units beside the values of the layer below, whose values are given with the data: the
posterior of a DBM's upper layers (Salakhutdinov & Hinton 2009, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.errors import InputError
from boltz.nn import dropout
from boltz.nn.arena import Part
from boltz.nn.dense import ACTIVATIONS, Job, contractions, total
from boltz.numerics import softplus
from boltz.rng import Key

Array = NDArray[Any]
Params = Mapping[str, Array]
Floats = NDArray[np.float64]


def _sigmoid(values: Array, bias: Array) -> None:
    kernels.bernoulli_mean(values, 1.0, bias)


def _sigmoid_slope(value: Array, delta: Array) -> None:
    kernels.slope("sigmoid", value, delta)


def _linear(values: Array, bias: Array) -> None:
    values += bias


def _softmax(values: Array, bias: Array) -> None:
    values += bias
    values -= values.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)


FUNCTIONS: dict[str, tuple[Callable[[Array, Array], None], Callable[[Array, Array], None]]] = (
    {
        "sigmoid": (_sigmoid, _sigmoid_slope),
        "linear": (_linear, lambda value, delta: None),
    }
    | ACTIVATIONS
)  # name -> (the function of values + bias, in place; delta times its derivative, from its value, in place)


def _class_loss(field: Array, target: Array) -> Floats:
    highest = field.max(axis=1, keepdims=True)
    partition = np.exp(field - highest, dtype=np.float64).sum(axis=1)
    return np.log(partition) + highest[:, 0] - np.einsum("ij,ij->i", field, target, dtype=np.float64)


def _binary_loss(field: Array, target: Array) -> Floats:
    field = field.astype(np.float64)
    return np.sum(softplus(field) - target * field, axis=1)


def _squared_loss(field: Array, target: Array) -> Floats:
    difference = field.astype(np.float64) - target
    return 0.5 * np.einsum("ij,ij->i", difference, difference)


OUTPUTS: dict[str, tuple[Callable[[Array, Array], None], Callable[[Array, Array], Floats]]] = {
    "softmax": (_softmax, _class_loss),
    "sigmoid": (_sigmoid, _binary_loss),
    "linear": (_linear, _squared_loss),
}  # name -> (the function of values + bias, in place; the loss (rows,) of fields for targets)


@dataclass(frozen=True)
class FeedForward:
    """Dense layers: units of all layers, inputs first; the function of each dense layer; further units it hears."""

    sizes: tuple[int, ...]
    functions: tuple[str, ...]
    sides: tuple[int, ...]

    def __post_init__(self) -> None:
        *inner, last = self.functions or ("",)
        if not len(self.sizes) - 1 == len(self.functions) == len(self.sides) or min(self.sizes) < 1:
            raise InputError("a network must have units in each layer, and a function for each but the first.")
        if last not in OUTPUTS or not all(name in FUNCTIONS for name in inner) or min(self.sides) < 0:
            raise InputError(f"a network has no layer of kind {self.functions}: see {', '.join(FUNCTIONS)}.")

    @property
    def depth(self) -> int:
        """Number of dense layers."""
        return len(self.functions)

    def width(self, i: int) -> int:
        """Units that dense layer i hears: of the layer below, and further ones."""
        return self.sizes[i] + self.sides[i]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of weights and biases by name, from the input up."""
        found: dict[str, tuple[int, ...]] = {}
        for i in range(self.depth):
            found[f"{i}/weight"] = (self.width(i), self.sizes[i + 1])
            found[f"{i}/bias"] = (self.sizes[i + 1],)
        return found


@dataclass(frozen=True)
class Dropout:
    """Units left out at random while training, at the input and in hidden layers (Srivastava et al. 2014, section 4).

    The posterior of hidden units that a layer hears is left out at their share. What stays is scaled up, so that
    nothing is to be scaled afterwards.
    """

    key: Key
    step: int
    inputs: float = 0.0
    hidden: float = 0.0

    def shares(self, net: FeedForward, i: int) -> tuple[float, float]:
        """The shares left out of the units below dense layer i, and of those beside them, which are hidden ones."""
        return self.hidden if i else self.inputs, self.hidden if net.sides[i] else 0.0

    def mask(self, part: Part, net: FeedForward, i: int) -> Array:
        """Factors (rows, units) of what dense layer i hears, of the batch's row numbers; made once a step."""
        mask, units = part.get(f"{i}/mask", net.width(i)), net.sizes[i]
        keep = np.empty_like(mask)
        keep[:, :units], keep[:, units:] = (1 - share for share in self.shares(net, i))
        dropout.draw(keep, self.key.derive("dropout", str(i)).stream(self.step), part, mask)
        return mask


def forward(net: FeedForward, params: Params, part: Part, dropout: Dropout | None = None) -> Array:
    """Outputs (rows, units) in a buffer of the tape; their field is left in the buffer field.

    The caller has filled the buffers 0/input, where the data and the first further units stand side by side, and i/side
    with the further units of dense layer i.
    """
    for i, function in enumerate(net.functions):
        units, width = net.sizes[i], net.width(i)
        inputs = part.get(f"{i}/input", width)
        if i:
            inputs[:, :units] = part.get(f"{i - 1}/value", units)
            if width > units:
                inputs[:, units:] = part.get(f"{i}/side", width - units)
        if dropout is not None and any(dropout.shares(net, i)):
            inputs *= dropout.mask(part, net, i)
        value = part.get(f"{i}/value", net.sizes[i + 1])
        kernels.product(inputs, params[f"{i}/weight"], value)
        bias = params[f"{i}/bias"]
        if i == net.depth - 1:
            np.add(value, bias, out=part.get("field", net.sizes[-1]))
            OUTPUTS[function][0](value, bias)
        else:
            FUNCTIONS[function][0](value, bias)
    return value


def losses(net: FeedForward, part: Part) -> Floats:
    """Loss (rows,) of the rows after a forward pass, in nats; the caller has filled the buffer target."""
    field, target = part.get("field", net.sizes[-1]), part.get("target", net.sizes[-1])
    return OUTPUTS[net.functions[-1]][1](field, target)


def backward(
    net: FeedForward, params: Params, part: Part, dropout: Dropout | None, weight: float, lowest: int = 0
) -> None:
    """Leave weight times the derivatives of the log-likelihood by the fields of the dense layers in buffers i/delta.

    It goes down to dense layer lowest. The caller has filled the buffer target (rows, units); a forward pass with the
    same dropout came before.
    """
    last = net.depth - 1
    delta = part.get(f"{last}/delta", net.sizes[-1])
    np.subtract(part.get("target", net.sizes[-1]), part.get(f"{last}/value", net.sizes[-1]), out=delta)
    delta *= delta.dtype.type(weight)
    for i in reversed(range(lowest + 1, net.depth)):
        units = net.sizes[i]
        below = part.get(f"{i - 1}/delta", units)
        kernels.product(delta, params[f"{i}/weight"][:units].T, below)
        if dropout is not None and any(dropout.shares(net, i)):
            below *= part.get(f"{i}/mask", net.width(i))[:, :units]
        FUNCTIONS[net.functions[i - 1]][1](part.get(f"{i - 1}/value", units), below)
        delta = below


def gradients(net: FeedForward, gradient: Params, part: Part, lowest: int = 0) -> list[Job]:
    """The parameter gradients of a block, a whole batch as a rule, as pieces of work after a backward pass."""
    jobs: list[Job] = []
    for i in range(lowest, net.depth):
        inputs, delta = part.get(f"{i}/input", net.width(i)), part.get(f"{i}/delta", net.sizes[i + 1])
        jobs += [*contractions(inputs, delta, gradient[f"{i}/weight"]), total(delta, gradient[f"{i}/bias"])]
    return jobs
