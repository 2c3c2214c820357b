"""Passes through a network: probabilities of classes, codes, reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.models.files import outside, visible_rows
from boltz.networks.feedforward import forward, losses
from boltz.networks.network import Network
from boltz.nn.arena import Part, Tape, zeros
from boltz.parallel import padded, shares, workers
from boltz.sampling.features import side_by_side

Array = NDArray[Any]


def classify(network: Network, x: Any) -> Array:
    """Probabilities (rows, classes) of network.classes for visible rows x (rows, units), as a numpy array.

    Raises InputError.
    """
    network = checked_network(network, "classes")
    return host(passed(network, visible_rows(network, x)))


def encode(network: Network, x: Any) -> Array:
    """Codes (rows, units) of visible rows x (rows, units) by an autoencoder; raises InputError."""
    network = checked_network(network, "code")
    return host(passed(network, visible_rows(network, x), network.code))


def reconstruct(network: Network, x: Any) -> Array:
    """Visible rows x (rows, units) as an autoencoder gives them back from their codes; raises InputError."""
    network = checked_network(network, "code")
    return host(outside(network, passed(network, visible_rows(network, x))))


def checked_network(network: Any, kind: str = "") -> Network:
    """The network argument of a public function; kind is what it must have, classes or a code. Raises InputError."""
    if not isinstance(network, Network):
        hint = "; use its .network" if hasattr(network, "network") else ""
        raise InputError(f"network must be a Network, as boltz.fine_tune makes it, got {type(network).__name__}{hint}.")
    if kind and not getattr(network, kind):
        other = "an autoencoder: use encode or reconstruct" if network.code else "a classifier: use classify"
        raise InputError(f"network is {other}.")
    return network


def heard(network: Network, rows: Array) -> Array:
    """The posterior means (rows, units) that the network hears beside its inputs, of all its layers side by side."""
    machine = network.machine
    if machine is None:
        return np.empty_like(rows, shape=(len(rows), 0))
    return side_by_side(machine, rows, [layer.name for layer in machine.layers[2:]])


def fill(network: Network, part: Part, rows: Array, posterior: Array) -> None:
    """Put visible rows and the posterior beside them where a forward pass looks for them."""
    net = network.net
    inputs, first = part.get("0/input", net.width(0)), 0
    inputs[:, : net.sizes[0]] = rows
    for i, units in enumerate(net.sides):
        if units:
            target = part.get(f"{i}/side", units) if i else inputs[:, net.sizes[0] :]
            target[...] = posterior[:, first : first + units]
            first += units


def passed(network: Network, rows: Array, layer: int | None = None) -> Array:
    """Values (rows, units) of a layer, by number from the input, for checked visible rows, where the network lives.

    Without one, those of the outputs. Each row's are the same whatever rows stand beside it, in float32 to the last
    bit.
    """
    layer = network.net.depth if layer is None else layer
    whole, units = padded(rows), network.net.sizes[layer]
    out = np.empty_like(whole, shape=(len(whole), units))

    def look(part: Part, block: slice) -> None:
        out[block] = part.get(f"{layer - 1}/value", units)

    _through(network, whole, look)
    return out[: len(rows)]


def losses_again(network: Network, rows: Array) -> Array:
    """Loss (rows,) of checked visible rows that an autoencoder gives back, in nats, as a numpy array."""
    found = zeros(rows)

    def look(part: Part, block: slice) -> None:
        part.get("target", rows.shape[1])[...] = rows[block]
        found[block] = losses(network.net, part)

    _through(network, rows, look)
    return host(found)


def _through(network: Network, rows: Array, look: Callable[[Part, slice], None]) -> None:
    """Passes of rows through a network, by blocks, at each of which look sees the buffers."""
    posterior = heard(network, rows)

    def work(block: slice) -> None:
        part = Tape(network.arena).whole(len(rows[block]))
        fill(network, part, rows[block], posterior[block])
        forward(network.net, network.params, part)
        look(part, block)

    with workers(rows) as pool:
        pool.map(work, shares(len(rows), rows))
