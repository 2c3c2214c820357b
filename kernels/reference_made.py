"""The numpy truth of what nets with masked weights need, written for reading.

Every number below and above a weight has a degree, and is joined where the degree below is at most that above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from boltz.kernels.reference import Array, Stream, _fires, activate, bits_of

Degrees = NDArray[np.int64]


def masked(weight: Array, below: Degrees, above: Degrees, out: Array) -> None:
    """out (inputs, outputs) := weight where the degrees below (inputs,) and above (outputs,) join, else 0."""
    out[...] = np.where(below[:, None] <= above, weight, 0)


def made_draw(
    fields: tuple[Array, ...],
    weights: tuple[Array, ...],
    degrees: tuple[Degrees, ...],
    kind: str,
    stream: Stream,
    rows: NDArray[np.int64],
    state: Array,
) -> None:
    """Draw state (rows, units), each row under the mask that its bits after those of its units choose.

    fields (rows, ...) hold what the units and then each hidden layer hear apart from the units: they are used up.
    weights join units to themselves, units to the first hidden layer, each of those to the next, and the last to the
    units. degrees (masks, ...) are the positions of the units in the order of each mask, which hear what has at most
    this degree and send on one more, and those of the hidden layers. kind is the activation; rows names each row's
    chain number.
    """
    bits = bits_of(stream, rows, state.shape[1] + 1)
    chosen = (bits[:, -1].astype(np.uint64) * np.uint64(len(degrees[0]))) >> np.uint64(32)
    state[...] = 0
    for r, mask in enumerate(chosen):
        position, *hidden = (x[mask] for x in degrees)
        for i in np.argsort(position):
            layer, below = state[r], position + 1
            logits = fields[0][r] + layer @ np.where(below[:, None] <= position, weights[0], 0)
            for field, weight, above in zip(fields[1:], weights[1:], hidden, strict=False):
                layer, below = layer @ np.where(below[:, None] <= above, weight, 0) + field[r], above
                activate(kind, layer, np.zeros_like(layer))
            if hidden:
                logits = logits + layer @ np.where(below[:, None] <= position, weights[-1], 0)
            state[r, i] = _fires(bits[r, i], expit(logits[i])) + (logits[i] - logits[i])
