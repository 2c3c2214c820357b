"""Single-site Gibbs scans over the hidden units of a binary Helmholtz machine with v clamped (Neal 1992, section 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape, zeros
from boltz.nn.dense import ACTIVATIONS
from boltz.numerics import sigmoid
from boltz.rng import Key
from boltz.sampling.annealing import Chains, Place
from boltz.sampling.posterior_paths import recognised

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass
class Link:
    """How the log-density of one layer (chains,) follows the units of another, which enter `first` by rows of weight.

    share is its power in f_beta; density maps `first` (chains, width), which it may overwrite, to the log-density.
    The units of a factor that is not dense enter as they are, with the identity as weight; its own layer may be the
    other one.
    """

    weight: Array
    density: Callable[[Array], Floats]
    share: float
    first: Array
    now: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.density(self.first.copy())

    def flipped(self, unit: int, sign: Array) -> Floats:
        """The log-density with sign (chains,) added to the unit."""
        return self.density(self.first + sign[:, None] * self.weight[unit])

    def move(self, unit: int, change: Array, now: Floats) -> None:
        """Add change (chains,) to the unit; now is the log-density after that."""
        self.first += change[:, None] * self.weight[unit]
        self.now = now


@dataclass
class Site:
    """One layer of a block of chains while its units are drawn in turn: own fields (chains, units) and links."""

    state: Array
    own: Array
    links: list[Link]

    def field(self, unit: int) -> tuple[Floats, list[Floats]]:
        """log f_beta with the unit on less that with it off (chains,), and the links' log-densities if it flips."""
        sign = 1 - 2 * self.state[:, unit]
        flipped = [link.flipped(unit, sign) for link in self.links]
        total = self.own[:, unit].astype(np.float64)
        for link, other in zip(self.links, flipped, strict=True):
            total += link.share * sign * (other - link.now)
        return total, flipped

    def draw(self, unit: int, uniform: Floats) -> None:
        """Draw the unit from its conditional, in place, by uniform numbers (chains,) in (0, 1)."""
        found, flipped = self.field(unit)
        new = (uniform < sigmoid(found)).astype(self.state.dtype)
        change = new - self.state[:, unit]
        for link, other in zip(self.links, flipped, strict=True):
            link.move(unit, change, np.where(change == 0, link.now, other))
        self.state[:, unit] = new


@dataclass(frozen=True, eq=False)
class ScanPath:
    """Single-site Gibbs scans of a Helmholtz machine with binary hidden layers: upwards, units in order, or backwards.

    visible (chains, units) and encoded (chains, outputs) repeat the rows and the outputs, with their bias, of the
    lowest recognition net. A scan is not reversible; its reversal is the scan in the opposite order.
    """

    machine: HelmholtzMachine
    visible: Array
    encoded: Array
    first: int = 0
    backwards: bool = False

    def log_density(self, state: Chains, beta: float, first: int) -> Floats:
        log_p, log_q = self.terms(state, first)
        return beta * log_p + (1 - beta) * log_q

    def terms(self, state: Chains, first: int) -> tuple[Floats, Floats]:
        """log p*(v, h) and log q(h | v), (chains,)."""
        latent, whole = self.machine.structure.latent, self._whole(state, first)
        log_p, log_q = self._prior(whole), zeros(whole[latent[0].name])
        for below, above in zip(self.machine.layers, latent, strict=False):
            log_p += self._link("generative", below.name, whole[above.name], whole, 1.0).now
            if below.name != self.machine.visible:
                log_q += self._link("recognition", above.name, whole[below.name], whole, 1.0).now
        outputs = self.encoded[first : first + len(log_q)].copy()
        conditional = self.machine.conditionals[latent[0].name]
        conditional.score(outputs, np.zeros_like(outputs[0]), whole[latent[0].name], log_q)
        return log_p, log_q

    def step(self, state: Chains, betas: tuple[float, float], place: Place, log_weights: Floats) -> None:
        log_p, log_q = self.terms(state, place.first)
        log_weights += (betas[1] - betas[0]) * (log_p - log_q)
        latent = self.machine.structure.latent[:: -1 if self.backwards else 1]
        for layer in latent:
            bits = np.empty_like(log_weights, shape=(len(log_weights), layer.units), dtype=np.uint32)
            stream = place.key.derive("anneal", layer.name).stream(place.step)
            kernels.philox(stream, self.first + place.first, bits)
            site = self.site(layer.name, state, betas[1], place.first)
            for unit in range(layer.units)[:: -1 if self.backwards else 1]:
                site.draw(unit, (bits[:, unit] + 0.5) / 2**32)

    def site(self, layer: str, state: Chains, beta: float, first: int) -> Site:
        """A layer ready for a scan at beta; the chains are first, first + 1, ..."""
        latent, whole = [n.name for n in self.machine.structure.latent], self._whole(state, first)
        at, x = latent.index(layer), state[layer]
        links = [self._link("generative", self.machine.layers[at].name, x, whole, beta)]
        if at + 1 < len(latent):
            links.append(self._link("recognition", latent[at + 1], x, whole, 1 - beta))
        own, over = self._own_field(*self.machine.structure.chain[at + 1], whole, beta)
        links += over
        q = self.encoded[first : first + len(x)]
        if at > 0:
            q = self._outputs("recognition", layer, whole[latent[at - 1]])
        return Site(x, beta * own + (1 - beta) * q, links)

    def reversed(self) -> ScanPath:
        return replace(self, backwards=not self.backwards)

    def _whole(self, state: Chains, first: int) -> Chains:
        count = len(next(iter(state.values())))
        return {self.machine.visible: self.visible[first : first + count], **state}

    def _first(self, side: str, layer: str, x: Array) -> Array:
        """Inputs (chains, width) of a net's first layer, without bias, for the states x of the layer that it hears."""
        weight = self.machine.params[f"{side}/{layer}/0/weight"]
        out = np.empty_like(x, shape=(len(x), weight.shape[1]))
        kernels.product(x if x.flags.c_contiguous else x.copy(), weight, out)
        return out

    def _rest(self, side: str, layer: str, value: Array) -> Array:
        """Outputs of a net from the inputs of its first layer, which may be overwritten; the last bias is left out."""
        net, params = getattr(self.machine.structure, side)[layer], self.machine.params
        for i in range(net.depth - 1):
            ACTIVATIONS[net.activation][0](value, params[f"{side}/{layer}/{i}/bias"])
            value = value @ params[f"{side}/{layer}/{i + 1}/weight"]
        return value

    def _outputs(self, side: str, layer: str, x: Array) -> Array:
        net = getattr(self.machine.structure, side)[layer]
        return self._rest(side, layer, self._first(side, layer, x)) + net.bias(f"{side}/{layer}", self.machine.params)

    def _link(self, side: str, layer: str, x: Array, whole: Chains, share: float) -> Link:
        """The net of a layer seen from the layer that it hears, whose states are x."""
        if side == "generative" and layer in self.machine.structure.own:
            below, above = next(pair for pair in self.machine.structure.chain if pair[0].name == layer)
            return self._factor_link(below, above, whole, share, from_above=True)
        net, name, params = getattr(self.machine.structure, side)[layer], f"{side}/{layer}", self.machine.params
        target, bias, conditional = whole[layer], net.bias(name, params), self.machine.conditionals[layer]

        def density(first: Array) -> Floats:
            value, found = self._rest(side, layer, first), zeros(first)
            conditional.score(value, bias, target, found)
            return found

        return Link(params[f"{name}/0/weight"], density, share, self._first(side, layer, x))

    def _factor_link(
        self, child: Layer, parent: Layer | None, whole: Chains, share: float, from_above: bool = False
    ) -> Link:
        """The factor of a layer of its own, seen from that layer or from the one above."""
        machine, x = self.machine, whole[child.name]
        tape, factor = Tape(machine.arena), machine.factors[child.name]
        place = machine.place(child, parent, tape.whole(len(x)))
        above = None if parent is None else tape.get(place.given, len(x), parent.units)
        if above is not None and parent is not None:
            above[...] = whole[parent.name]
        first = above if from_above and above is not None else x

        def density(moved: Array) -> Floats:
            if first is above:
                above[...] = moved
            return factor.score(place, x if first is above else moved).log_density

        return Link(np.eye(first.shape[1], dtype=x.dtype), density, share, first.copy())

    def _own_field(self, child: Layer, parent: Layer | None, whole: Chains, beta: float) -> tuple[Array, list[Link]]:
        """What units of a layer hear under p from the one above, and the link of a factor of its own."""
        if child.name in self.machine.structure.own:
            return np.zeros_like(self.visible, shape=child.units), [self._factor_link(child, parent, whole, beta)]
        if parent is None:
            return self._prior_field(whole[child.name], beta)
        return self._outputs("generative", child.name, whole[parent.name]), []

    def _prior_field(self, x: Array, beta: float) -> tuple[Array, list[Link]]:
        """Biases of the topmost drawn layer under p, and its link to the layer that an RBM prior sums out."""
        rbm = self.machine.prior_machine
        if rbm is None:
            return self.machine.params["prior/bias"], []
        bias, weight = rbm.bias("h1"), rbm.params["edge/v-h1/weight"]
        off = np.zeros_like(x, shape=(len(x), len(bias)))

        def density(first: Array) -> Floats:
            found = zeros(first)
            kernels.bernoulli_score(first, bias, off, found)  # minus the log-partition is the log-probability of 0
            return -found

        return rbm.bias("v"), [Link(weight, density, beta, x @ weight)]

    def _prior(self, whole: Chains) -> Floats:
        top = self.machine.structure.latent[-1]
        own, links = self._own_field(top, None, whole, 1.0)
        total = np.einsum("ij,j->i", whole[top.name], own, dtype=np.float64)
        if not links:
            total -= np.sum(np.logaddexp(0, own.astype(np.float64)))
        return total + sum(link.now for link in links)


def scan_path(
    machine: HelmholtzMachine, rows: Array, chains: int, first: int, key: Key
) -> tuple[ScanPath, dict[str, Array]]:
    """The path of visible rows (rows, units), so many chains each, the first row being number first, and its start."""
    encoded, state = recognised(machine, rows, chains, first, key)
    name = machine.structure.latent[0].name
    encoded += machine.structure.recognition[name].bias(f"recognition/{name}", machine.params)
    visible, outputs = (np.repeat(values, chains, axis=0) for values in (rows, encoded))
    return ScanPath(machine, visible, outputs, first * chains), state
