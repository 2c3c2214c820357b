"""Networks in model files."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from boltz import checks
from boltz.errors import BoltzError, FileError, InputError
from boltz.foreign import shown
from boltz.models.files import (
    NETWORK,
    Told,
    arena_from,
    boltzmann_from,
    graph_from,
    layers_from,
    levels_from,
    scaling_from,
)
from boltz.models.graph import Layer
from boltz.networks.feedforward import FeedForward
from boltz.networks.network import Network, is_label
from boltz.nn.conditionals import CONDITIONALS
from boltz.storage import run_folder
from boltz.storage.tensors import read_metadata, read_tensors
from boltz.training.description import read_description


def load_network(path: str | Path) -> Network:
    """Read a network from its file or from the folder of a fine-tuning; raises FileError or InputError."""
    file = checks.path(path, "path")
    file = file / NETWORK if os.path.isdir(file) else file
    announced = read_metadata(file)
    if announced.get("model") != "network":
        raise FileError(f"{file} is not the file of a network, as boltz classify and boltz autoencode write it.")
    net, visible, classes, code = _network(announced, str(file))
    hears = any(net.sides)
    names = [f"network/{name}" for name in net.shapes]
    if hears:
        names += [f"machine/{name}" for name in graph_from(announced, str(file)).shapes]
    tensors, metadata = read_tensors(file, names)
    own = {name.removeprefix("network/"): x for name, x in tensors.items() if name.startswith("network/")}
    arena, levels = arena_from(own, net.shapes, str(file)), levels_from(metadata, str(file))
    scaling = scaling_from(tensors, visible, str(file))
    network = Network(net, arena, visible, classes=classes, code=code, scaling=scaling, levels=levels)
    if not hears:
        return network
    heard = {name.removeprefix("machine/"): x for name, x in tensors.items() if name.startswith("machine/")}
    machine = boltzmann_from(heard, metadata, str(file))
    wanted = (*(layer.units for layer in machine.layers[2:]), *[0] * (len(net.sides) - len(machine.layers) + 2))
    if net.sides != wanted or machine.layers[0] != visible or machine.dtype != network.dtype:
        raise FileError(f"{file} does not hold the machine that its network hears.")
    return replace(network, machine=machine)


def has_network(path: Path) -> bool:
    """Whether this is the file of a network or the folder of a fine-tuning; raises FileError where it is nothing."""
    if path.is_dir():
        return read_description(path).task is not None
    return read_metadata(path).get("model") == "network"


def network_of(path: Path) -> Network | None:
    """The network of a file or of the folder of a fine-tuning, None for a machine; raises InputError, FileError."""
    if not has_network(path):
        return None
    if path.is_dir() and not (path / run_folder.NETWORK).exists():
        raise InputError(f"{path} is not trained to its end: finish it with --resume {path}")
    return load_network(path)


def _network(metadata: Told, source: str) -> tuple[FeedForward, Layer, tuple[Any, ...], int]:
    """What a network is without its parameters: its net, its visible layer, its classes, and where its code is."""
    try:
        about = json.loads(metadata["network"])
        sizes, sides = ([checks.integer(n, "units", 0, 10**7) for n in about[key]] for key in ("sizes", "sides"))
        net = FeedForward(tuple(sizes), tuple(map(str, about["functions"])), tuple(sides))
        visible, classes = layers_from([about["visible"]])[0], tuple(about["classes"])
        code = checks.integer(about["code"], "code", 0, net.depth - 1)
        if visible.units != sizes[0] or visible.kind not in CONDITIONALS or not _fits(net, classes, code):
            raise InputError("its classes or its visible units do not fit")
    except (KeyError, ValueError, TypeError, RecursionError, BoltzError) as problem:
        raise FileError(f"{source} does not describe a network ({shown(problem)}).") from problem
    return net, visible, classes, code


def _fits(net: FeedForward, classes: tuple[Any, ...], code: int) -> bool:
    """Whether the outputs are those of an autoencoder with this code, or have these labels, all different."""
    if code:
        alone = not classes and not any(net.sides)
        return alone and net.sizes[-1] == net.sizes[0] and net.functions[-1] != "softmax"
    labels = all(map(is_label, classes))
    return labels and len(set(classes)) == len(classes) == net.sizes[-1] and net.functions[-1] == "softmax"
