"""Residual nets of images: convolutions that make an image smaller below dense layers, and their mirror image.

The encoder and the decoder of Chen et al. (2017, appendix) and of Salimans, Kingma & Welling (2015). A residual block
is f(s(x) + g(f(h(x)))) with convolutions g and h, where s is the identity, or a convolution where the size changes
(He, Zhang, Ren & Sun 2016). The columns of each matrix are weight-normalised (Salimans & Kingma 2016, eq. 2). Dropout
stands between g and h (Zagoruyko & Komodakis 2016), and behind hidden dense layers.

Rows are images, planes side by side. Pullbacks are as those of dense nets: row weights enter parameter products alone,
which wait on the tape until all blocks of a batch are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import on_device
from boltz.errors import InputError
from boltz.kernels.cpu.convolutions import convolve, slopes
from boltz.kernels.reference_convolutions import Convolution
from boltz.nn.arena import Part
from boltz.nn.dense import ACTIVATIONS, Job, Net, Params, Pullback, kept, total
from boltz.nn.dropout import heard, inside, unheard
from boltz.rng import Key

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...]]
MOST, MOST_MAPS, MOST_HALVINGS = 10**7, 10**4, 24


class Block(NamedTuple):
    """A residual block: its two convolutions, and that of its identity connection where the size changes."""

    first: Convolution
    second: Convolution
    skip: Convolution | None

    @property
    def named(self) -> dict[str, Convolution]:
        """Its convolutions by name."""
        found = {"first": self.first, "second": self.second}
        return found if self.skip is None else {**found, "skip": self.skip}


@dataclass(frozen=True)
class Residual:
    """Residual blocks over images of height x width, each of maps with so many planes and half the rows and columns.

    Between two of them stands a block that keeps the size.
    """

    height: int
    width: int
    maps: tuple[int, ...] = (16, 32, 32)

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            checks.integer(getattr(self, name), name, 1, MOST)
        if not checks.sequence(self.maps, "residual_maps", MOST_HALVINGS):
            raise InputError("residual_maps must name the maps of at least one block, got none.")
        for i, count in enumerate(self.maps):
            checks.integer(count, f"residual_maps[{i}]", 1, MOST_MAPS)

    def down(self, channels: int = 1) -> tuple[Block, ...]:
        """The blocks from images of so many planes to the smallest ones."""
        found, shape = list[Block](), (self.height, self.width)
        for before, maps in pairwise((channels, *self.maps)):
            if found:
                same = Convolution(before, before, *shape)
                found.append(Block(same, same, None))
            half = Convolution(before, maps, *shape, stride=2)
            shape = half.small
            found.append(Block(half, Convolution(maps, maps, *shape), half))
        return tuple(found)

    def up(self, channels: int = 1) -> tuple[Block, ...]:
        """Their mirror image: from the smallest images to those of so many planes."""
        return tuple(
            Block(second.turned, first.turned, skip and skip.turned)
            for first, second, skip in reversed(self.down(channels))
        )

    @property
    def told(self) -> list[str]:
        """The blocks as an architecture tells them, from the image on."""
        return [f"{maps} maps" for maps in self.maps]


@dataclass(frozen=True)
class Blocks:
    """Residual blocks one after the other; of the last one, where it is open, the outputs are sums without a bias."""

    blocks: tuple[Block, ...]
    activation: str
    open: bool = False

    @property
    def units(self) -> tuple[int, int]:
        """Numbers of an image at the start and at the end."""
        return self.blocks[0].first.numbers[0], self.blocks[-1].second.numbers[1]

    def walk(self, name: str, source: str) -> Iterator[tuple[str, str, Block, bool]]:
        """Of each block its name, the buffer of its inputs, itself, and whether its outputs are sums."""
        for i, block in enumerate(self.blocks):
            own = f"{name}/block{i}"
            yield own, source, block, self.open and i == len(self.blocks) - 1
            source = f"{own}/second/value"

    def top(self, name: str, kind: str = "value") -> str:
        """The buffer of the outputs, or that of their kept deltas."""
        return f"{name}/block{len(self.blocks) - 1}/second/{kind}"

    def shapes(self, name: str) -> Shapes:
        """Shapes of weights, scales and biases by name; a connection that skips has no bias."""
        found: Shapes = {}
        for own, _, block, bare in self.walk(name, ""):
            for each, conv in block.named.items():
                found[f"{own}/{each}/weight"] = conv.shape
                found[f"{own}/{each}/scale"] = (conv.outputs,)
                if each == "first" or (each == "second" and not bare):
                    found[f"{own}/{each}/bias"] = (conv.outputs,)
        return found

    def start(self, name: str, params: Params, key: Key) -> None:
        """Normal weights, whose size does not matter, scales of 1 and biases of 0."""
        for own in self.shapes(name):
            if own.endswith("weight"):
                params[own][...] = key.derive("weights", own).generator().normal(0, 0.05, params[own].shape)
            elif own.endswith("scale"):
                params[own][...] = 1

    def fit(self, name: str, params: Params, source: str, part: Part) -> None:
        """Set scales and biases so that what each convolution makes of the images at source has mean 0 and variance 1
        over rows and pixels (Salimans & Kingma 2016, eq. 5 and 6).
        """
        for own, below, block, bare in self.walk(name, source):
            x = part.get(below, block.first.numbers[0])
            _fit(block.first, f"{own}/first", params, x)
            if block.skip is not None:
                _fit(block.skip, f"{own}/skip", params, x)
            _fit(block.second, f"{own}/second", params, self._inner(own, block, params, x, part))
            self._through(own, block, params, (x, bare), part)

    def forward(self, name: str, params: Params, source: str, part: Part) -> Array:
        """Outputs (rows, outputs) in a buffer of the tape."""
        if on_device(part.tape.like):
            raise InputError(
                "a residual net has no kernels on a GPU, and its arrays are on one: move the machine to the CPU."
            )
        for own, below, block, bare in self.walk(name, source):
            out = self._through(own, block, params, (part.get(below, block.first.numbers[0]), bare), part)
        return out

    def _inner(self, own: str, block: Block, params: Params, x: Array, part: Part) -> Array:
        """What the second convolution of a block hears."""
        value = part.get(f"{own}/first/value", block.first.numbers[1])
        convolve(block.first, matrix_of(params, f"{own}/first"), x, False, value)
        ACTIVATIONS[self.activation][0](value, spread(block.first, params[f"{own}/first/bias"]))
        return heard(f"{own}/first", part, value)

    def _through(self, own: str, block: Block, params: Params, given: tuple[Array, bool], part: Part) -> Array:
        """The outputs of a block from its inputs, sums where that is so."""
        x, bare = given
        inner, out = self._inner(own, block, params, x, part), part.get(f"{own}/second/value", block.second.numbers[1])
        if block.skip is None:
            kernels.copy(x, out)
        else:
            convolve(block.skip, matrix_of(params, f"{own}/skip"), x, False, out)
        convolve(block.second, matrix_of(params, f"{own}/second"), inner, True, out)
        if not bare:
            ACTIVATIONS[self.activation][0](out, spread(block.second, params[f"{own}/second/bias"]))
        return out

    def pull(
        self, name: str, params: Params, part: Part, delta: Array, how: tuple[Array | None, bool, bool]
    ) -> Array | None:
        """The signal (rows, inputs) from that at the outputs, which may be overwritten; how is as in a pullback."""
        weights, signal, keep = how
        slope = ACTIVATIONS[self.activation][1]
        for i, (own, _, block, bare) in reversed(list(enumerate(self.walk(name, "")))):
            if not bare:
                slope(part.get(f"{own}/second/value", block.second.numbers[1]), delta)
            inner = part.get(f"{own}/first/signal", block.first.numbers[1])
            _back(block.second, f"{own}/second", params, delta, (False, inner))
            unheard(f"{own}/first", part, inner)
            slope(part.get(f"{own}/first/value", block.first.numbers[1]), inner)
            if keep:
                kept(delta, weights, part.get(f"{own}/second/delta", block.second.numbers[1]))
                kept(inner, weights, part.get(f"{own}/first/delta", block.first.numbers[1]))
            if i == 0 and not signal:
                return None
            below = part.get(f"{own}/signal", block.first.numbers[0])
            if block.skip is None:
                kernels.copy(delta, below)
            else:
                _back(block.skip, f"{own}/skip", params, delta, (False, below))
            _back(block.first, f"{own}/first", params, inner, (True, below))
            delta = below
        return delta

    def products(
        self, name: str, tables: tuple[Params, Params], source: str, part: Part, add: bool = False
    ) -> list[Job]:
        """The parameter gradients of a block of rows, as pieces of work; tables are parameters and gradient by name."""
        params, gradient = tables
        jobs: list[Job] = []
        for own, below, block, _ in self.walk(name, source):
            for each, conv in block.named.items():
                x = (
                    part.get(below, conv.numbers[0])
                    if each != "second"
                    else inside(f"{own}/first", part, conv.numbers[0])
                )
                delta = part.get(f"{own}/{'first' if each == 'first' else 'second'}/delta", conv.numbers[1])
                jobs.append(partial(_product, conv, f"{own}/{each}", (params, gradient), (x, delta), add))
        return jobs


def spread(conv: Convolution, bias: Array) -> Array:
    """A bias of each plane as one of each number of an image."""
    height, width = conv.after
    return np.repeat(bias, height * width)


def matrix_of(params: Params, own: str) -> Array:
    """The matrix of a convolution: columns of length scale."""
    weight = params[f"{own}/weight"]
    return np.asarray(weight * (params[f"{own}/scale"] / np.sqrt(np.sum(weight * weight, axis=0))))


def _fit(conv: Convolution, own: str, params: Params, x: Array) -> None:
    """Scale, and bias where there is one, by what a convolution makes of some images."""
    scale = params[f"{own}/scale"]
    scale[...] = 1
    out = np.empty_like(x, shape=(len(x), conv.numbers[1]))
    convolve(conv, matrix_of(params, own), x, False, out)
    planes = out.reshape(len(x), conv.outputs, -1).astype(np.float64)
    spread = planes.std(axis=(0, 2))
    scale[...] = 1 / np.where(spread > 0, spread, 1)
    if f"{own}/bias" in params:
        params[f"{own}/bias"][...] = -scale * planes.mean(axis=(0, 2))


def _back(conv: Convolution, own: str, params: Params, delta: Array, to: tuple[bool, Array]) -> None:
    """The derivative by the inputs of a convolution, added to a buffer or put there."""
    convolve(conv.turned, conv.turn(matrix_of(params, own)), delta, *to)


def _product(conv: Convolution, own: str, tables: tuple[Params, Params], given: tuple[Array, Array], add: bool) -> None:
    """The gradient by weight, scale and bias of a convolution, from its inputs and weighted deltas (rows, numbers)."""
    (params, gradient), (x, delta) = tables, given
    found = np.empty_like(delta, shape=conv.shape)
    slopes(conv, x, delta, found)
    weight, scale = params[f"{own}/weight"], params[f"{own}/scale"]
    norm = np.sqrt(np.sum(weight * weight, axis=0))
    along = np.sum(found * weight, axis=0) / norm
    by_name = {"scale": along, "weight": scale / norm * (found - along / norm * weight)}
    if f"{own}/bias" in gradient:
        by_name["bias"] = delta.reshape(len(delta), conv.outputs, -1).sum(axis=(0, 2))
    for each, value in by_name.items():
        target = gradient[f"{own}/{each}"]
        target[...] = target + value if add else value


@dataclass(frozen=True)
class ResidualEncoder:
    """Residual blocks from binary pixels, then dense layers; sizes are the pixels, the dense layers and the outputs."""

    sizes: tuple[int, ...]
    activation: str
    residual: Residual

    @cached_property
    def blocks(self) -> Blocks:
        """The residual blocks."""
        return Blocks(self.residual.down(), self.activation)

    @cached_property
    def dense(self) -> Net:
        """The dense layers."""
        return Net((self.blocks.units[1], *self.sizes[1:]), self.activation)

    def shapes(self, name: str) -> Shapes:
        """Shapes of the parameters under this name, from the input up."""
        return self.blocks.shapes(name) | self.dense.shapes(name)

    def start(self, name: str, params: Params, key: Key, units: int) -> None:
        """Parameters of a new machine; units is as in a dense net."""
        self.blocks.start(name, params, key)
        self.dense.start(name, params, key, units)

    def bias(self, name: str, params: Params) -> Array:
        """Bias of the outputs, which forward leaves to the conditional on top."""
        return self.dense.bias(name, params)

    def fit(self, name: str, params: Params, source: str, part: Part) -> None:
        """Let the convolutions of a new machine start from rows at source."""
        self.blocks.fit(name, params, source, part)

    def forward(self, name: str, params: Params, source: str, part: Part) -> tuple[Array, Pullback]:
        """Outputs (rows, outputs) without their bias, in a buffer of the tape, and the pullback, as of a dense net."""
        self.blocks.forward(name, params, source, part)
        value, _ = self.dense.forward(name, params, self.blocks.top(name), part)
        return value, self.pulled(name, params, part)

    def outputs(self, name: str, part: Part) -> Array:
        """Outputs (rows, outputs) that forward left on the tape."""
        return self.dense.outputs(name, part)

    def pulled(self, name: str, params: Params, part: Part) -> Pullback:
        """The pullback of what forward left on the tape; rows may be dealt to parts anew."""
        upper = self.dense.pulled(name, params, part)

        def pullback(
            delta: Array, weights: Array | None = None, signal: bool = True, keep: bool = True
        ) -> Array | None:
            below = upper(delta, weights, True, keep)
            assert below is not None
            return self.blocks.pull(name, params, part, below, (weights, signal, keep)) if signal or keep else None

        return pullback

    def products(
        self, name: str, tables: tuple[Params, Params], source: str, part: Part, add: bool = False
    ) -> list[Job]:
        """The parameter gradients, as of a dense net."""
        lower = self.blocks.products(name, tables, source, part, add)
        return [*lower, *self.dense.products(name, tables, self.blocks.top(name), part, add)]


@dataclass(frozen=True)
class ResidualDecoder:
    """Dense layers, then residual blocks up to images of so many planes; sizes are the inputs, the dense layers and the
    numbers of an image, each of which has a bias of its own.
    """

    sizes: tuple[int, ...]
    activation: str
    residual: Residual
    channels: int = 1

    @cached_property
    def blocks(self) -> Blocks:
        """The residual blocks."""
        return Blocks(self.residual.up(self.channels), self.activation, open=True)

    @cached_property
    def dense(self) -> Net:
        """The dense layers, the last of which makes the smallest image."""
        return Net((*self.sizes[:-1], self.blocks.units[0]), self.activation)

    def shapes(self, name: str) -> Shapes:
        """Shapes of the parameters under this name, from the input up."""
        return {**self.dense.shapes(name), **self.blocks.shapes(name), f"{name}/bias": (self.sizes[-1],)}

    def start(self, name: str, params: Params, key: Key, units: int) -> None:
        """Parameters of a new machine."""
        self.dense.start(name, params, key, self.dense.sizes[-1])
        self.blocks.start(name, params, key)

    def bias(self, name: str, params: Params) -> Array:
        """Bias of the outputs, which forward leaves to the conditional on top."""
        return params[f"{name}/bias"]

    def fit(self, name: str, params: Params, source: str, part: Part) -> None:
        """Let the convolutions of a new machine start from inputs at source."""
        self._smallest(name, params, source, part)
        self.blocks.fit(name, params, f"{name}/smallest", part)

    def forward(self, name: str, params: Params, source: str, part: Part) -> tuple[Array, Pullback]:
        """Outputs (rows, outputs) without their bias, in a buffer of the tape, and the pullback, as of a dense net."""
        self._smallest(name, params, source, part)
        value = self.blocks.forward(name, params, f"{name}/smallest", part)
        return value, self.pulled(name, params, part)

    def _smallest(self, name: str, params: Params, source: str, part: Part) -> None:
        """The smallest image, in a buffer of its own."""
        value, _ = self.dense.forward(name, params, source, part)
        image = part.get(f"{name}/smallest", value.shape[1])
        kernels.copy(value, image)
        ACTIVATIONS[self.activation][0](image, self.dense.bias(name, params))

    def outputs(self, name: str, part: Part) -> Array:
        """Outputs (rows, outputs) that forward left on the tape."""
        return part.get(self.blocks.top(name), self.sizes[-1])

    def pulled(self, name: str, params: Params, part: Part) -> Pullback:
        """The pullback of what forward left on the tape; rows may be dealt to parts anew."""
        lower = self.dense.pulled(name, params, part)

        def pullback(
            delta: Array, weights: Array | None = None, signal: bool = True, keep: bool = True
        ) -> Array | None:
            below = self.blocks.pull(name, params, part, delta, (weights, True, keep))
            assert below is not None
            ACTIVATIONS[self.activation][1](part.get(f"{name}/smallest", below.shape[1]), below)
            return lower(below, weights, signal, keep)

        return pullback

    def products(
        self, name: str, tables: tuple[Params, Params], source: str, part: Part, add: bool = False
    ) -> list[Job]:
        """The parameter gradients, as of a dense net."""
        jobs = self.dense.products(name, tables, source, part, add)
        jobs += self.blocks.products(name, tables, f"{name}/smallest", part, add)
        weighted = part.get(self.blocks.top(name, "delta"), self.sizes[-1])
        return [*jobs, total(weighted, tables[1][f"{name}/bias"], add)]


def inner(net: AnyNet) -> list[str]:
    """What is between the inputs and the outputs of a net, as an architecture tells it, from the inputs on."""
    dense = [str(units) for units in net.sizes[1:-1]]
    if isinstance(net, Net):
        return dense
    maps = net.residual.told
    return [*maps, *dense] if isinstance(net, ResidualEncoder) else [*dense, *reversed(maps)]


AnyNet = Net | ResidualEncoder | ResidualDecoder
