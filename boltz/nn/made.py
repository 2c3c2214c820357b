"""MADE, the masked autoencoder for distribution estimation: dense nets whose weights are masked so that no unit hears
itself or a later one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.kernels.cpu.made import made_draw, masked
from boltz.nn.arena import zeros
from boltz.nn.dense import ACTIVATIONS, Job, Params, glorot, pieces
from boltz.nn.factors import Place, Rows, Scored, Shapes, fitting
from boltz.nn.nade import no_slope, on_cpu
from boltz.rng import Key, Stream

Array = NDArray[Any]
Degrees = dict[str, NDArray[np.int64]]
Pull = Callable[..., Array | None]
STATE, GIVEN, UNITS = "state", "given", "units"
MOST_MASKS = 10**4


class Edge(NamedTuple):
    """Weights by name, and the layers below and above that they join."""

    weight: str
    below: str
    above: str


@dataclass(frozen=True)
class Made:
    """Binary units, each given those before it, from a masked net (Germain, Gregor, Murray & Larochelle 2015).

    A hidden unit of degree d hears the first d units. The unit at position k, from 0, hears hidden units of degree k at
    most, and earlier units by direct edges (sections 4.1 and 4.2). What is given is heard by the first hidden layer and
    by the units; hidden units may then have degree 0. widths are those of the hidden layers; () makes a fully visible
    belief net.

    The degrees of masks 0 to masks - 1 follow from the seed. A training step takes the mask of its number, modulo
    masks; all else is about the mixture of all masks with equal weights (sections 4.3 and 4.4). natural: units come in
    their own order; False: each mask has an order of its own. Raises InputError.
    """

    units: int
    widths: tuple[int, ...]
    given: int = 0
    masks: int = 1
    seed: int = 0
    activation: str = "relu"
    natural: bool = True
    kinds = ("bernoulli",)
    fitted_rows = 10_000

    def __post_init__(self) -> None:
        for name, value, least in (("units", self.units, 1), ("given", self.given, 0)):
            checks.integer(value, name, least)
        checks.integer(self.masks, "masks", 1, MOST_MASKS)
        for width in self.widths:
            checks.integer(width, "widths", 1)
        checks.seed(self.seed)
        checks.choice(self.activation, "activation", ACTIVATIONS)
        checks.flag(self.natural, "natural")

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the hidden layers, from the units up."""
        return tuple(f"hidden/{i}" for i in range(len(self.widths)))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Numbers in each layer by name: the state, what is given, hidden layers, the units' logits."""
        hidden = dict(zip(self.hidden, self.widths, strict=True))
        return {STATE: self.units, GIVEN: self.given, **hidden, UNITS: self.units}

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """What is joined, in the order of the arena."""
        chain = [STATE, *self.hidden]
        found = [Edge(f"{above}/weight", below, above) for below, above in zip(chain, self.hidden, strict=False)]
        if self.hidden:
            found.append(Edge("units/weight", self.hidden[-1], UNITS))
        found.append(Edge("direct/weight", STATE, UNITS))
        if self.given:
            first = [Edge("given/hidden/weight", GIVEN, self.hidden[0])] if self.hidden else []
            found += [*first, Edge("given/units/weight", GIVEN, UNITS)]
        return tuple(found)

    @cached_property
    def degrees(self) -> tuple[Degrees, ...]:
        """The degrees of each layer by mask: an edge joins what has at most the degree of the number above.

        Hidden units draw theirs uniformly from the least of the layer below to units - 1 (section 4.2).
        """
        key, found = Key.from_seed(self.seed), []
        for mask in range(self.masks):
            order = np.argsort(_bits(key.derive("order"), mask, self.units), kind="stable")
            position = np.arange(self.units) if self.natural else order
            least, hidden = 0 if self.given else 1, {}
            for layer, width in zip(self.hidden, self.widths, strict=True):
                count = max(self.units - least, 1)
                hidden[layer] = least + (_bits(key.derive(layer), mask, width) * count >> 32)
                least = int(hidden[layer].min())
            given = np.zeros(self.given, np.int64)
            found.append({STATE: position + 1, GIVEN: given, **hidden, UNITS: position})
        return tuple(found)

    def shapes(self, name: str) -> Shapes:
        """Weights of all edges, then biases of hidden layers and of the units."""
        found: Shapes = {f"{name}/{w}": (self.sizes[below], self.sizes[above]) for w, below, above in self.edges}
        return found | {f"{name}/{layer}/bias": (self.sizes[layer],) for layer in (*self.hidden, UNITS)}

    def start(self, name: str, params: Params, key: Key) -> None:
        """Uniform weights as in Glorot & Bengio (2010); biases and direct edges stay 0."""
        for weight, below, above in self.edges:
            if weight != "direct/weight":
                glorot(f"{name}/{weight}", params, self.sizes[below] + self.sizes[above], key)

    def fit(self, place: Place, state: Array) -> None:
        place.params[f"{place.name}/units/bias"][...] = fitting(state)

    @property
    def inner(self) -> str:
        """What is between the units, as an architecture tells it."""
        return "-".join(map(str, self.widths))

    def score(self, place: Place, state: Array) -> Scored:
        on_cpu(place.part, "made")
        kernels.repeated(state, place.part.get(f"{place.name}/state", self.units))
        passes = [_Pass(self, place, mask) for mask in self.chosen(place.step)]
        if len(passes) == 1:
            log_density, pull = passes[0].forward()
            return Scored(log_density, no_slope, pull)
        log_density, shares = _mixed(np.stack([each.forward()[0] for each in passes], axis=1))
        return Scored(log_density, no_slope, partial(self._pull_all, place, passes, shares.astype(state.dtype)))

    def _pull_all(
        self,
        place: Place,
        passes: list[_Pass],
        shares: Array,
        weights: Array | None,
        signal: bool = True,
        keep: bool = True,
    ) -> Array | None:
        """As Scored.pull, of a mixture: each mask goes through the net again, as the tape holds the last one alone."""
        total = place.part.get(f"{place.name}/mixed", self.given) if signal and self.given else None
        if total is not None:
            total[...] = 0
        for i, (each, share) in enumerate(zip(passes, shares.T, strict=True)):
            _, pull = each._replace(slot=i if keep else 0).forward()
            found = pull(share if weights is None else share * weights, signal, keep)
            if total is not None:
                kernels.weighted(found, np.ascontiguousarray(share), True, total)
        return total

    def chosen(self, step: int | None) -> list[int]:
        """The masks of a training step, one, or of everything else, all."""
        return list(range(self.masks)) if step is None else [step % self.masks]

    def products(self, place: Place, gradient: Params) -> list[Job]:
        place.part.tape.forget(f"{place.name}/masked")
        passes = [_Pass(self, place, mask, slot) for slot, mask in enumerate(self.chosen(place.step))]
        jobs: list[Job] = []
        for edge in self.edges:
            terms = [each.term(edge) for each in passes]
            cuts = pieces(terms[0].x, terms[0].delta, place.part.tape.team)
            jobs += [_product(terms, gradient[f"{place.name}/{edge.weight}"], cut) for cut in cuts]
        for layer in (*self.hidden, UNITS):
            jobs.append(_sums([each.delta(layer) for each in passes], gradient[f"{place.name}/{layer}/bias"]))
        return jobs

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        on_cpu(place.part, "made")
        fields = []
        for layer in (UNITS, *self.hidden):
            field = place.part.get(f"{place.name}/{layer}/field", self.sizes[layer])
            given = [weight for weight, below, above in self.edges if (below, above) == (GIVEN, layer)]
            field[...] = 0
            for weight in given:
                kernels.product(place.part.get(place.given, self.given), place.params[f"{place.name}/{weight}"], field)
            field += place.params[f"{place.name}/{layer}/bias"]
            fields.append(field)
        own = ["direct", *self.hidden, "units"] if self.hidden else ["direct"]
        weights = tuple(place.params[f"{place.name}/{each}/weight"] for each in own)
        degrees = tuple(np.stack([each[layer] for each in self.degrees]) for layer in (UNITS, *self.hidden))
        made_draw(tuple(fields), weights, degrees, self.activation, stream, rows, state)


class _Term(NamedTuple):
    """A product that is part of a gradient: inputs, deltas, and their degrees."""

    x: Array
    delta: Array
    below: NDArray[np.int64]
    above: NDArray[np.int64]


class _Pass(NamedTuple):
    """A pass of a block through the net under a mask; slot numbers the buffers that hold what it leaves."""

    net: Made
    place: Place
    mask: int
    slot: int = 0

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are worked out, from the units up and down again."""
        return (*self.net.hidden, UNITS)

    def value(self, layer: str) -> Array:
        """The numbers of a layer (rows, ...); those of the units are first logits and then their score."""
        name, part, size = self.place.name, self.place.part, self.net.sizes[layer]
        if layer in (STATE, GIVEN):
            return part.get(f"{name}/state" if layer == STATE else self.place.given, size)
        return part.get(f"{name}/{self.slot}/{layer}/value", size)

    def delta(self, layer: str) -> Array:
        """The derivative by the inputs of a layer."""
        name = f"{self.place.name}/{self.slot}/{layer}/delta"
        return self.value(layer) if layer == UNITS else self.place.part.get(name, self.net.sizes[layer])

    def weights(self) -> dict[str, Array]:
        """The weights by edge, masked. Blocks of a training step share those on the tape, until `products`."""
        name, tape, step = self.place.name, self.place.part.tape, self.place.step
        if step is None:
            return self._masked(lambda own, weight: np.empty_like(weight))
        return tape.once(f"{name}/masked", step, lambda: self._masked(lambda own, w: tape.get(own, *w.shape)))

    def _masked(self, room: Callable[[str, Array], Array]) -> dict[str, Array]:
        """The masked weights by edge, in arrays that room gives for a name and what is to be masked."""
        found, degrees = {}, self.net.degrees[self.mask]
        for own, below, above in self.net.edges:
            name = f"{self.place.name}/{own}"
            found[own] = weight = self.place.params[name]
            if below != GIVEN:
                found[own] = room(name, weight)
                masked(weight, degrees[below], degrees[above], found[own])
        return found

    def forward(self) -> tuple[NDArray[np.float64], Pull]:
        """Log-densities (rows,) of the state, and the way back, as Scored.pull."""
        name, params, part = self.place.name, self.place.params, self.place.part
        weights, (start, _) = self.weights(), ACTIVATIONS[self.net.activation]
        for layer in self.layers:
            out = self.value(layer)
            for i, (own, below, _) in enumerate(edge for edge in self.net.edges if edge.above == layer):
                found = part.get(f"{name}/{layer}/more", self.net.sizes[layer]) if i else out
                kernels.product(self.value(below), weights[own], found)
                if i:
                    kernels.add(out, found, out)
            if layer != UNITS:
                start(out, params[f"{name}/{layer}/bias"])
        log_density = zeros(out)
        kernels.bernoulli_score(out, params[f"{name}/units/bias"], self.value(STATE), log_density)
        return log_density, partial(self._back, weights)

    def _back(
        self, made: dict[str, Array], weights: Array | None, signal: bool = True, keep: bool = True
    ) -> Array | None:
        _, slope = ACTIVATIONS[self.net.activation]
        for below, above in reversed(list(pairwise(self.layers))):
            delta = self.delta(below)
            kernels.product(self.delta(above), made[f"{above}/weight"].T, delta)
            slope(self.value(below), delta)
        found = self._signal(made) if signal and self.net.given else None
        if keep and weights is not None:
            for layer in self.layers:
                kernels.weighted(self.delta(layer), weights, False, self.delta(layer))
        return found

    def _signal(self, made: dict[str, Array]) -> Array:
        """The derivative by what is given (rows, given)."""
        found, more = (self.place.part.get(f"{self.place.name}/{own}", self.net.given) for own in ("signal", "more"))
        for i, (own, _, above) in enumerate(edge for edge in self.net.edges if edge.below == GIVEN):
            kernels.product(self.delta(above), made[own].T, more if i else found)
            if i:
                kernels.add(found, more, found)
        return found

    def term(self, edge: Edge) -> _Term:
        """What an edge's gradient is made of."""
        degrees = self.net.degrees[self.mask]
        return _Term(self.value(edge.below), self.delta(edge.above), degrees[edge.below], degrees[edge.above])


def _bits(key: Key, mask: int, count: int) -> NDArray[np.int64]:
    """Random numbers below 2^32, which no release of another package changes."""
    found = np.empty((1, count), np.uint32)
    kernels.philox(key.stream(0), mask, found)
    return found[0].astype(np.int64)


def _mixed(log_densities: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-densities (rows,) of the mixture of columns with equal weights, and the share (rows, columns) of each."""
    top = log_densities.max(axis=1, keepdims=True)
    parts = np.exp(log_densities - top)
    total = parts.sum(axis=1, keepdims=True)
    return (top + np.log(total / parts.shape[1]))[:, 0], parts / total


def _product(terms: list[_Term], out: Array, cut: tuple[slice, slice]) -> Job:
    """A piece of out := the sum over terms of inputs^T deltas, where degrees join them."""
    units, columns = cut

    def work() -> None:
        target = out[units, columns]
        for i, (x, delta, below, above) in enumerate(terms):
            into = target if i == 0 else np.empty_like(target)
            kernels.contraction(x[:, units], delta[:, columns], into)
            masked(into, below[units], above[columns], into)
            if i > 0:
                target += into

    return work


def _sums(deltas: list[Array], out: Array) -> Job:
    """out := the sum of all deltas over rows."""

    def work() -> None:
        for i, delta in enumerate(deltas):
            kernels.pooled(delta, i > 0, out[None])

    return work
