"""A PixelCNN from its definition: dense kernels with zeros where they are masked, by the convolution of scipy.

Parameters are those of boltz by name. The rows of a weight are the live taps in the order of rows and columns, of each
tap its planes side by side; the taps of the image come before those of the maps. Everything takes complex numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from oracles import directed
from oracles.directed import Directed
from scipy.signal import convolve2d

Values = Any


def mask(size: int, itself: bool) -> Values:
    """The live taps of a kernel (size, size): before the middle in the order of rows, and perhaps the middle."""
    order = np.arange(size * size).reshape(size, size)
    return order <= size * size // 2 if itself else order < size * size // 2


def kernel(rows: Values, live: Values) -> Values:
    """A dense kernel (size, size, planes, outputs) from the rows of its live taps."""
    assert len(rows) % live.sum() == 0, "a row for each plane of each live tap"
    found = np.zeros((*live.shape, len(rows) // live.sum(), rows.shape[1]), rows.dtype)
    found[live] = rows.reshape(live.sum(), -1, rows.shape[1])
    return found


def convolved(planes: Values, weights: Values) -> Values:
    """(outputs, height, width): what a pixel sees lies under the kernel whose middle is at the pixel."""
    assert weights.shape[2] == len(planes), "a row for each plane of each live tap"
    turned = weights[::-1, ::-1]
    return np.array(
        [
            sum(convolve2d(plane, turned[:, :, i, o], "same") for i, plane in enumerate(planes))
            for o in range(weights.shape[3])
        ]
    )


def matrix(params: dict[str, Values], name: str) -> Values:
    """Weights of a layer, whose columns have length scale."""
    weight = params[f"{name}/weight"]
    return params[f"{name}/scale"] * weight / np.sqrt(np.sum(weight**2, axis=0))


def layers(cnn: Any, name: str, params: dict[str, Values], image: Values, given: Values) -> list[tuple[str, Values]]:
    """The name and the outputs (outputs, height, width) of each layer that one image passes, the outputs last."""
    shape, act = (cnn.height, cnn.width), directed.ACTIVATIONS[cnn.activation]
    full, around = np.ones((cnn.size, cnn.size), bool), mask(cnn.size, True)
    weights = matrix(params, f"{name}/first")
    live = mask(cnn.size, False)
    seen = live.sum() * cnn.channels if cnn.layers else 0
    h = params[f"{name}/first/bias"][:, None, None] + np.zeros(shape)
    if cnn.layers:
        h = h + convolved(image.reshape(*shape, -1).transpose(2, 0, 1), kernel(weights[:seen], live))
    if cnn.maps:
        maps = params.get(f"{name}/maps/bias")
        if cnn.given:
            net = {key: value for key, value in params.items() if key.startswith(f"{name}/net/")}
            maps = directed.outputs(Directed((), net, cnn.activation), f"{name}/net", given[None])[0]
        h = h + convolved(maps.reshape(cnn.maps, *shape), kernel(weights[seen:], full))
    found = [("first", h)]
    for i in range(2, cnn.layers + 1):
        steps = [("masked" if cnn.tied else f"masked{i}", around)]
        for step, live in [*steps, (f"pixel{i}", np.ones((1, 1), bool))][: 2 - i % 2]:
            more = convolved(act(h), kernel(matrix(params, f"{name}/{step}"), live))
            more = more + params[f"{name}/{step}/bias"][:, None, None]
            found, h = [*found, (step, more)], h + more
    last = np.einsum("io,iyx->oyx", matrix(params, f"{name}/last"), act(h)) + params[f"{name}/last/bias"][:, None, None]
    return [*found, ("last", last)]


def outputs(cnn: Any, name: str, params: dict[str, Values], state: Values, given: Values) -> Values:
    """The outputs of all pixels, (rows, outputs * pixels)."""
    pairs = zip(state, given, strict=True)
    return np.array([layers(cnn, name, params, x, z)[-1][1].ravel() for x, z in pairs])


def log_density(cnn: Any, name: str, params: dict[str, Values], state: Values, given: Values) -> Values:
    """(rows,), in nats."""
    found = outputs(cnn, name, params, state, given)
    if cnn.mixture:
        return np.array([mixed(cnn, *each) for each in zip(found, state, strict=True)])
    return directed.log_density("bernoulli", found, state)


def components(cnn: Any, found: Values) -> tuple[Values, list[tuple[Values, Values, Values]]]:
    """Logits (components, pixels), and by channel means, scales and (channels before, components, pixels)."""
    planes = found.reshape(-1, cnn.mixture, cnn.height * cnn.width)
    channels, at = [], 1
    for c in range(cnn.channels):
        raw = np.where(planes[at + 1].real < -7, -7, planes[at + 1])
        channels.append((planes[at], np.exp(raw), np.tanh(planes[at + 2 : at + 2 + c])))
        at += 2 + c
    return planes[0], channels


def mixed(cnn: Any, found: Values, state: Values) -> Values:
    """log-probability of one image: differences of the distribution functions of logistic laws, mixed."""
    logits, channels = components(cnn, found)
    x = state.reshape(-1, cnn.channels).T
    half, joint = 1 / (cnn.levels - 1), np.exp(logits) / np.exp(logits).sum(axis=0)
    for c, (mean, scale, before) in enumerate(channels):
        m = mean + sum(before[d] * x[d] for d in range(c))
        above = np.where(x[c] > 1 - half, 1, 1 / (1 + np.exp(-(x[c] + half - m) / scale)))
        below = np.where(x[c] < half - 1, 0, 1 / (1 + np.exp(-(x[c] - half - m) / scale)))
        joint = joint * (above - below)
    return np.log(joint.sum(axis=0)).sum()


def field(cnn: Any) -> set[tuple[int, int]]:
    """The shifts (down, right) of all pixels that a pixel depends on through the layers."""
    reach = cnn.size // 2

    def taps(itself: bool) -> set[tuple[int, int]]:
        live = np.argwhere(mask(cnn.size, itself)) - reach
        return {(int(down), int(right)) for down, right in live}

    found = taps(False) if cnn.layers else set()
    for _ in range(cnn.layers - 1):
        found = {(a + c, b + d) for a, b in found for c, d in taps(True)}
    return found
