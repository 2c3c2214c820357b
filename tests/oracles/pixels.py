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
    """The name and the outputs (outputs, height, width) of each layer that one image passes, the logits last."""
    shape, act = (cnn.height, cnn.width), directed.ACTIVATIONS[cnn.activation]
    full, around = np.ones((cnn.size, cnn.size), bool), mask(cnn.size, True)
    weights = matrix(params, f"{name}/first")
    live = mask(cnn.size, False)
    seen = live.sum() if cnn.layers else 0
    h = params[f"{name}/first/bias"][:, None, None] + np.zeros(shape)
    if cnn.layers:
        h = h + convolved(image.reshape(1, *shape), kernel(weights[:seen], live))
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


def logits(cnn: Any, name: str, params: dict[str, Values], state: Values, given: Values) -> Values:
    """(rows, pixels)."""
    pairs = zip(state, given, strict=True)
    return np.array([layers(cnn, name, params, x, z)[-1][1].ravel() for x, z in pairs])


def log_density(cnn: Any, name: str, params: dict[str, Values], state: Values, given: Values) -> Values:
    """(rows,), in nats."""
    return directed.log_density("bernoulli", logits(cnn, name, params, state, given), state)


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
