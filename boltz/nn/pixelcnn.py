"""Pixels of an image one after the other, each given those before it: a PixelCNN, alone or over the layer above.

The decoder of the variational lossy autoencoder (Chen et al. 2017): a dense net turns the layer above into maps of the
size of the image, which masked convolutions see beside it (van den Oord, Kalchbrenner & Kavukcuoglu 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import on_device
from boltz.errors import InputError
from boltz.kernels.cpu.logistics import logistic_score
from boltz.kernels.cpu.pixels import pixel_back, pixel_draw, pixel_outputs
from boltz.kernels.reference_logistics import Mixture
from boltz.kernels.reference_pixels import Stack, active, inputs_of, layer, split
from boltz.nn.arena import zeros
from boltz.nn.dense import ACTIVATIONS, Job, Net, Params, total
from boltz.nn.factors import Array, Place, Rows, Scored, Shapes, fit_net
from boltz.nn.residual import AnyNet, Residual, ResidualDecoder, inner
from boltz.rng import Key, Stream

MOST, MOST_INSIDE, MOST_LAYERS = 10**7, 10**4, 1000  # sides and units; filters, maps, channels, mixtures; layers


@dataclass(frozen=True)
class PixelCNN:
    """Pixels (rows, height * width * channels), each given those above it and to its left, and maps of the layer above.

    They are binary, or grey or coloured: with a mixture of so many discretised logistic laws (Salimans et al. 2017), a
    channel has so many levels, which are points from -1 to 1 evenly spaced, and is drawn given the channels before it.
    The channels of a pixel lie side by side.

    A net, given -> widths -> maps, makes the maps: a dense one, or with residual_maps one that ends in the mirrored
    residual blocks of boltz.nn.residual. With given=0 nothing is above, and the maps are learnt biases.
    The first of the masked layers, which are size x size with filters outputs, does not see the pixel itself. The
    others are residual and share their parameters where tied; after every second one comes a residual layer of 1 x 1.
    So a pixel sees layers * (size - 1) / 2 rows above and as many pixels to each side; with layers=0 it sees the maps
    alone. The columns of each matrix are weight-normalised (Salimans & Kingma 2016, eq. 2).
    """

    height: int
    width: int
    given: int = 0
    widths: tuple[int, ...] = ()
    maps: int = 4
    layers: int = 6
    filters: int = 12
    tied: bool = True
    size: int = 3
    activation: str = "elu"
    channels: int = 1
    levels: int = 2
    mixture: int = 0
    residual_maps: tuple[int, ...] = ()
    fitted_rows = 100

    def __post_init__(self) -> None:
        for name, most in (("height", MOST), ("width", MOST), ("filters", MOST_INSIDE), ("channels", MOST_INSIDE)):
            checks.integer(getattr(self, name), name, 1, most)
        for name, most in (("given", MOST), ("maps", MOST_INSIDE), ("layers", MOST_LAYERS), ("mixture", MOST_INSIDE)):
            checks.integer(getattr(self, name), name, 0, most)
        for width in checks.sequence(self.widths, "widths"):
            checks.integer(width, "a width", 1, MOST)
        if checks.integer(self.size, "size", 3, MOST_LAYERS) % 2 == 0:
            raise InputError(f"size must be odd, so that a pixel has a middle, got {self.size}.")
        checks.flag(self.tied, "tied")
        checks.choice(self.activation, "activation", ACTIVATIONS)
        if self.widths and not self.given:
            raise InputError("widths are those of the net over the layer above, but given is 0: leave widths out.")
        if self.residual_maps and not self.given:
            raise InputError("residual_maps are those of the net over the layer above, but given is 0: leave them out.")
        if self.maps == 0 and (self.given or self.layers == 0):
            raise InputError(
                "maps is 0, so that pixels hear neither the layer above nor a bias of their own: give 1 or more."
            )

        if checks.integer(self.levels, "levels", 2, 65536) == 2 and self.mixture:
            raise InputError("pixels of 2 levels have a logit and no mixture: leave mixture out, or give more levels.")
        if self.levels > 2 and not self.mixture:
            raise InputError(f"pixels of {self.levels} levels need a mixture of logistic laws: give mixture=5, say.")
        if self.levels == 2 and self.channels > 1:
            raise InputError(f"binary pixels have one channel, got {self.channels}: give levels and a mixture.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of the pixels."""
        return ("bernoulli",) if self.levels == 2 else (f"levels:{self.levels}",)

    @property
    def units(self) -> int:
        """Numbers of an image."""
        return self.channels * self.height * self.width

    @property
    def inner(self) -> str:
        """What is between the pixels and the layer above, as an architecture tells it."""
        net = [] if self.net is None else [*inner(self.net), f"{self.maps} maps"]
        return "-".join([f"{self.layers} x {self.filters}", *reversed(net)])

    @cached_property
    def stack(self) -> Stack:
        """The convolutions, as kernels take them."""
        mixture = Mixture(self.channels, self.levels, self.mixture) if self.mixture else None
        shape = (self.height, self.width, self.maps, self.filters, self.layers, self.size // 2)
        return Stack(*shape, self.tied, self.activation, mixture)

    @property
    def drawn(self) -> int:
        """Numbers of the maps."""
        return self.maps * self.height * self.width

    @cached_property
    def net(self) -> AnyNet | None:
        """The net from the layer above to the maps, planes side by side."""
        sizes = self.given, *self.widths, self.drawn
        if self.residual_maps:
            blocks = Residual(self.height, self.width, self.residual_maps)
            return ResidualDecoder(sizes, self.activation, blocks, self.maps)
        return Net(sizes, self.activation) if self.given else None

    def shapes(self, name: str) -> Shapes:
        found: Shapes = {}
        if self.net is not None:
            found |= self.net.shapes(f"{name}/net")
        elif self.maps:
            found[f"{name}/maps/bias"] = (self.drawn,)
        for matrix in self.stack.matrices:
            found[f"{name}/{matrix.name}/weight"] = (len(matrix.taps), matrix.outputs)
            found[f"{name}/{matrix.name}/scale"] = found[f"{name}/{matrix.name}/bias"] = (matrix.outputs,)
        return found

    def start(self, name: str, params: Params, key: Key) -> None:
        """Normal weights, whose size does not matter, scales of 1, biases of 0, and the net as in Glorot & Bengio
        (2010).
        """
        if self.net is not None:
            self.net.start(f"{name}/net", params, key, self.drawn)
        for matrix in self.stack.matrices:
            own = f"{name}/{matrix.name}"
            params[f"{own}/weight"][...] = (
                key.derive("weights", f"{own}/weight").generator().normal(0, 0.05, params[f"{own}/weight"].shape)
            )
            params[f"{own}/scale"][...] = 1

    def fit(self, place: Place, state: Array) -> None:
        """Set scales and biases of a new machine to the data: a layer's outputs get mean 0 and variance 1 over the
        pixels of these states (rows, pixels) given the layer above (Salimans & Kingma 2016, eq. 5 and 6).

        A layer that occurs several times is fitted where an image first passes it.
        """
        self._check_host(state)
        if self.net is not None:
            fit_net(self.net, f"{place.name}/net", place)
        maps, bias = self._maps(place)
        given = maps[:: len(maps) // len(state)] if len(maps) else np.zeros((len(state), len(bias)), state.dtype)
        planes = self._planes(state)
        seen = [inputs_of(self.stack, image, one, bias) for image, one in zip(planes, given, strict=True)]
        fitted, h = set[str](), list[Array]()
        for name in ("first", *self.stack.walk):
            if name not in fitted:
                fitted.add(name)
                self._fit(place, name, seen)
            matrix = normalised(*self._of(place, name))
            more = [layer(self.stack, x, self.stack.taps[name], matrix) for x in seen]
            h = more if name == "first" else [a + b for a, b in zip(h, more, strict=True)]
            seen = [active(self.stack, each) for each in h]
        self._fit(place, "last", seen)

    def _fit(self, place: Place, name: str, seen: list[Array]) -> None:
        """Set scale and bias of a layer by what it makes of the planes of some images."""
        weight, scale, offset = self._of(place, name)
        scale[...], offset[...] = 1, 0
        plain = normalised(weight, scale, offset)
        found = np.stack([layer(self.stack, x, self.stack.taps[name], plain) for x in seen]).astype(np.float64)
        spread = found.std(axis=(0, 2, 3))
        scale[...] = 1 / np.where(spread > 0, spread, 1)
        offset[...] = -scale * found.mean(axis=(0, 2, 3))

    def score(self, place: Place, state: Array) -> Scored:
        self._check_host(state)
        maps, bias = self._maps(place)
        state = self._planes(state)
        numbers, outputs = self._numbers(place), self.stack.outputs * self.height * self.width
        delta = place.part.get(f"{place.name}/delta", outputs)
        pixel_outputs(self.stack, numbers, state, maps, bias, delta)
        log_density = zeros(delta)
        if self.stack.mixture is not None:
            logistic_score(delta, state, self.stack.mixture, log_density)
        else:
            kernels.bernoulli_score(delta, np.zeros(outputs, delta.dtype), state, log_density)

        def pull(weights: Array | None, signal: bool = True, keep: bool = True) -> Array | None:
            below, slopes = self._signal(place), self._slopes(place)
            through = signal or keep if self.net is not None else keep
            wanted = below[: len(below) * through], slopes[: len(slopes) * keep]
            pixel_back(self.stack, numbers, state, maps, bias, delta, *wanted)
            if keep and weights is not None:
                kernels.weighted(slopes, weights, False, slopes)
            if self.net is not None:
                pullback = self.net.pulled(f"{place.name}/net", place.params, place.part)
                return pullback(below, weights, signal, keep)
            if keep and weights is not None:
                kernels.weighted(below, weights, False, below)
            return None

        return Scored(log_density, _refused, pull)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        jobs: list[Job] = []
        if self.net is not None:
            jobs += self.net.products(f"{place.name}/net", (place.params, gradient), place.given, place.part)
        elif self.maps:
            jobs.append(total(self._signal(place), gradient[f"{place.name}/maps/bias"]))
        return [*jobs, partial(self._convolved, place, gradient)]

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        self._check_host(state)
        maps, bias = self._maps(place)
        planes = np.empty_like(state)
        pixel_draw(self.stack, self._numbers(place), maps, bias, stream, rows, planes)
        state[...] = planes.reshape(len(state), self.channels, -1).swapaxes(1, 2).reshape(state.shape)

    def _planes(self, state: Array) -> Array:
        """Images (rows, units) with the channels as planes side by side, as kernels take them."""
        if self.channels == 1:
            return state
        pixels = state.reshape(len(state), -1, self.channels)
        return np.ascontiguousarray(pixels.swapaxes(1, 2)).reshape(state.shape)

    def _maps(self, place: Place) -> tuple[Array, Array]:
        """Maps (rows, maps * pixels) without their bias, no rows where nothing is given, and the bias."""
        count, like = self.drawn, place.part.tape.like
        if self.net is not None:
            value, _ = self.net.forward(f"{place.name}/net", place.params, place.given, place.part)
            return value, self.net.bias(f"{place.name}/net", place.params)
        bias = place.params[f"{place.name}/maps/bias"] if self.maps else np.zeros(0, like.dtype)
        return np.zeros((0, count), like.dtype), bias

    def _of(self, place: Place, name: str) -> tuple[Array, Array, Array]:
        """Weight, scale and bias of a layer."""
        weight, scale, bias = (place.params[f"{place.name}/{name}/{part}"] for part in ("weight", "scale", "bias"))
        return weight, scale, bias

    def _numbers(self, place: Place) -> Array:
        """The matrices with their biases side by side, as kernels take them."""
        return np.concatenate([normalised(*self._of(place, each.name)).ravel() for each in self.stack.matrices])

    def _signal(self, place: Place) -> Array:
        return place.part.get(f"{place.name}/maps", self.drawn)

    def _slopes(self, place: Place) -> Array:
        return place.part.get(f"{place.name}/slopes", self.stack.size)

    def _convolved(self, place: Place, gradient: Params) -> None:
        """Sum the derivatives by the matrices over rows, and go on to weights, scales and biases."""
        slopes = self._slopes(place)
        summed = np.empty_like(slopes, shape=(1, slopes.shape[1]))
        kernels.pooled(slopes, False, summed)
        for name, found in split(self.stack, summed[0]).items():
            weight, scale, _ = self._of(place, name)
            own = f"{place.name}/{name}"
            norm = np.sqrt(np.sum(weight * weight, axis=0))
            along = np.sum(found[:-1] * weight, axis=0) / norm
            gradient[f"{own}/scale"][...] = along
            gradient[f"{own}/weight"][...] = scale / norm * (found[:-1] - along / norm * weight)
            gradient[f"{own}/bias"][...] = found[-1]

    def _check_host(self, state: Array) -> None:
        if on_device(state):
            raise InputError(
                "a PixelCNN has no kernels on a GPU, and its arrays are on one: move the machine to the CPU."
            )


def normalised(weight: Array, scale: Array, bias: Array) -> Array:
    """The matrix of a layer, (taps + 1, outputs): columns of length scale (Salimans & Kingma 2016, eq. 2), bias."""
    return np.concatenate([weight * (scale / np.sqrt(np.sum(weight * weight, axis=0))), bias[None]])


def _refused() -> tuple[Array, float]:
    raise InputError(
        "a PixelCNN has pixels with levels, by which there is no derivative: give a layer of real units another law."
    )
