"""A feed-forward network over a flat arena: what fine-tuning trains, with the labels of its outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.foreign import short_repr
from boltz.models.boltzmann import BoltzmannMachine, repr_parts
from boltz.models.graph import Layer
from boltz.models.scaling import Scaling
from boltz.networks.feedforward import FeedForward
from boltz.nn.arena import check_arena, size, views
from boltz.storage.tensors import write_tensors

Array = NDArray[Any]
Spans = list[tuple[slice, bool]]
Label = int | str | float
EXACT = 2.0**53  # from here on floating numbers do not tell whole numbers apart
CLASSIFIER, AUTOENCODER = "classifier", "autoencoder"
LABELS = "text, a whole number, or a floating number below 2^53 in size"


def is_label(value: Any) -> bool:
    """Whether a plain value can be the label of a class: neither infinite, nor one that merges with its neighbours."""
    return abs(value) < EXACT if isinstance(value, float) else isinstance(value, bool | int | str)


@dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward network over a flat arena, for visible rows of a kind.

    machine: where it is not None, its mean-field posterior is heard beside the inputs. classes: the labels of the
    softmax outputs, none for an autoencoder, whose code is the value of layer code, counted from the input. scaling is
    that of the machine which the network was unrolled from. levels is
    as in that machine.
    """

    net: FeedForward
    arena: Array
    visible: Layer
    machine: BoltzmannMachine | None = None
    classes: tuple[Label, ...] = ()
    code: int = 0
    scaling: Scaling | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        checks.instance(self.net, "net", FeedForward)
        check_arena(self.arena, size(self.net.shapes))
        checks.instance(self.visible, "visible", Layer)
        checks.instance(self.machine, "machine", BoltzmannMachine, optional=True)
        checks.instance(self.classes, "classes", tuple)
        checks.integer(self.code, "code", 0, self.net.depth)
        checks.instance(self.scaling, "scaling", Scaling, optional=True)
        scale.checked_levels(self.levels)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are made anew from what defines the network, so that its parameters are views again."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self))

    def __repr__(self) -> str:
        return short_repr(type(self).__name__, (self.described, *repr_parts(self)))

    @property
    def task(self) -> str:
        """What it is for: autoencoder, or classifier."""
        return AUTOENCODER if self.code else CLASSIFIER

    @property
    def described(self) -> str:
        """What it is, in words: autoencoder 784-500-784, or classifier 784-500-10."""
        return f"{self.task} {'-'.join(map(str, self.net.sizes))}"

    @cached_property
    def params(self) -> dict[str, Array]:
        """Weights and biases by name, views into the arena."""
        return views(self.net.shapes, self.arena)

    def views(self, arena: Array) -> dict[str, Array]:
        """Another arena of this shape, such as a gradient, by the names of the parameters."""
        return views(self.net.shapes, arena)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Floating type of the parameters."""
        return self.arena.dtype

    def spans(self) -> Spans:
        """The arena as slices of weights (True), which decay acts on, and of biases (False)."""
        found, start = [], 0
        for name, shape in self.net.shapes.items():
            found.append((slice(start, start + int(np.prod(shape))), name.endswith("weight")))
            start = found[-1][0].stop
        return found

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The visible layer, the only one that stands for units of a machine."""
        return (self.visible,)

    @property
    def device(self) -> str:
        """Where the parameters live: "cpu" or "cuda:N"."""
        return arrays.device_of(self.arena)

    def to(self, device: str) -> Network:
        """The network with its parameters on "cpu", "cuda" or "cuda:N"; raises InputError without such a device."""
        machine = None if self.machine is None else self.machine.to(device)
        return replace(self, arena=arrays.moved(self.arena, device), machine=machine)

    def with_arena(self, arena: Array) -> Network:
        """The same network with other parameters."""
        return replace(self, arena=arena)

    def output(self) -> Network:
        """The topmost dense layer alone, its parameters views into the arena."""
        net = self.net
        top = FeedForward(net.sizes[-2:], net.functions[-1:], net.sides[-1:])
        return Network(top, self.arena[self.arena.size - size(top.shapes) :], self.visible)

    def save(self, path: str | Path) -> None:
        """Write the network to a safetensors file; raises FileError."""
        tensors = {f"network/{n}": x for n, x in views(self.net.shapes, arrays.host(self.arena)).items()}
        about = {
            "sizes": self.net.sizes,
            "functions": self.net.functions,
            "sides": self.net.sides,
            "visible": [self.visible.name, self.visible.units, self.visible.kind],
            "classes": self.classes,
            "code": self.code,
        }
        if self.scaling is not None:
            tensors |= {f"layer/{self.visible.name}/{name}": x for name, x in self.scaling.tensors().items()}
        told = {"model": "network", "network": json.dumps(about)}
        if self.machine is not None:
            told["graph"] = json.dumps(self.machine.graph.text)
            tensors |= {f"machine/{n}": arrays.host(x) for n, x in self.machine.params.items()}
        write_tensors(checks.path(path, "path"), tensors, told | scale.told(self.levels))
