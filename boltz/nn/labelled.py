"""A visible layer whose net hears a label beside the code above: p(v | z) is the mean of p(v | z, y) over all labels.

Labels are equally likely beforehand (Makhzani et al. 2016, sections 4 to 7). Sums over them are exact, one pass of the
net for each label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

import boltz.kernels as kernels
from boltz.errors import InputError
from boltz.nn.arena import zeros
from boltz.nn.code_priors import chosen
from boltz.nn.conditionals import Conditional
from boltz.nn.dense import Job, Net, Params
from boltz.nn.factors import Place, Rows, Scored, Shapes, fitting
from boltz.rng import Key, Stream

Array = NDArray[Any]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Units given a code z (rows, units above) and one of so many labels.

    The net hears code and label side by side, or, with embed, the code plus the head of the label, a point in the same
    space.
    """

    net: Net
    conditional: Conditional
    units: int
    labels: int
    embed: bool = False
    kinds: ClassVar[tuple[str, ...]] = ("bernoulli", "gaussian")
    fitted_rows: ClassVar[int] = 10_000

    @property
    def given(self) -> int:
        return self.net.sizes[0] - self.labels * (not self.embed)

    @property
    def inner(self) -> str:
        return "-".join(map(str, self.net.sizes[1:-1]))

    def shapes(self, name: str) -> Shapes:
        heads: Shapes = {f"{name}/heads": (self.labels, self.given)} if self.embed else {}
        return {**self.net.shapes(name), **heads}

    def start(self, name: str, params: Params, key: Key) -> None:
        """Weights as in a dense net; heads are drawn on a sphere of radius 1."""
        self.net.start(name, params, key, self.units)
        if self.embed:
            heads = key.derive("heads", name).generator().normal(size=(self.labels, self.given))
            params[f"{name}/heads"][...] = heads / np.linalg.norm(heads, axis=1, keepdims=True)

    def fit(self, place: Place, state: Array) -> None:
        self.net.bias(place.name, place.params)[...] = fitting(state)

    def hear(self, place: Place, shares: Array) -> str:
        """Fill the buffer that the net hears with the codes of place.given and shares (rows, labels) of the labels, and
        return its name.
        """
        source = f"{place.name}/heard"
        code, heard = place.part.get(place.given, self.given), place.part.get(source, self.net.sizes[0])
        if self.embed:
            heard[...] = code + shares @ place.params[f"{place.name}/heads"]
        else:
            heard[:, : self.given] = code
            heard[:, self.given :] = shares
        return source

    def outputs(self, place: Place, label: int | Labels) -> tuple[Array, Any]:
        """Outputs (rows, outputs) of the net without their bias for one label, or one of each row, and the pullback."""
        count = place.part.rows.stop - place.part.rows.start
        return self.net.forward(place.name, place.params, self.hear(place, self.one_hot(label, count)), place.part)

    def one_hot(self, label: int | Labels, rows: int) -> Array:
        """Shares (rows, labels) of one label, or of one for each row."""
        return np.eye(self.labels, dtype=np.float32)[np.broadcast_to(label, (rows,))]

    def mean(self, place: Place) -> Array:
        """Means (rows, units) given the codes, over all labels."""
        bias = self.net.bias(place.name, place.params)
        each = [self.conditional.mean(self.outputs(place, label)[0], bias) for label in range(self.labels)]
        return np.mean(each, axis=0)

    def each(self, place: Place, state: Array) -> Floats:
        """log p(state | code, label) (rows, labels) in nats."""
        bias = self.net.bias(place.name, place.params)
        each = np.zeros((place.part.rows.stop - place.part.rows.start, self.labels))
        for label in range(self.labels):
            value, _ = self.outputs(place, label)
            found = zeros(value)
            self.conditional.score(value, bias, state, found)
            each[:, label] = found
        return each

    def score(self, place: Place, state: Array) -> Scored:
        bias, each = self.net.bias(place.name, place.params), self.each(place, state)

        def pull(weights: Array | None, signal: bool = True, keep: bool = True) -> Array | None:
            if keep:
                raise InputError("a decoder that hears labels learns by its game: train the machine with boltz.train.")
            total, shares = place.part.get(f"{place.name}/below", self.given), softmax(each, axis=1)
            total[...] = 0
            for label in range(self.labels if signal else 0):
                value, pullback = self.outputs(place, label)
                self.conditional.score(value, bias, state, zeros(value))
                below = pullback(value, None, True, False)
                kernels.weighted(below, shares[:, label].astype(value.dtype), True, total)
            return total if signal else None

        return Scored(logsumexp(each, axis=1) - np.log(self.labels), _refused, pull)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        return []

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        noise = np.empty_like(state, shape=(len(state), 1))
        kernels.normal(Key(*stream[:2]).derive("label").stream(stream[2]), rows, noise)
        value, _ = self.outputs(place, chosen(noise[:, 0], None, self.labels))
        offset = place.part.get(f"{place.name}/offset", self.units)
        self.conditional.sample((value, self.net.bias(place.name, place.params)), stream, rows, state, offset)


def _refused() -> tuple[Array, float]:
    raise InputError("a layer that hears labels is visible, and nothing asks for derivatives by visible units.")
