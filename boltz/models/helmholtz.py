"""The Helmholtz machine: a prior on top, generative conditionals down, recognition conditionals up.

p(v, h) = p(v | h1) p(h1 | h2) ... p(top) and q(h | v) = q(h1 | v) q(h2 | h1) ... (Hinton, Dayan, Frey & Neal 1995). The
prior is factorial (Bernoulli units with biases, or standard normal ones), or an RBM over the two upper layers, the top
one summed out: then the machine is a deep belief net (Hinton, Osindero & Teh 2006). A layer may have a factor of its
own instead, such as an autoregressive net. A machine without hidden layers is one such factor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.errors import InputError
from boltz.foreign import short_repr
from boltz.models.boltzmann import BoltzmannMachine, check_rates, repr_parts
from boltz.models.graph import Layer
from boltz.models.scaling import Scaling
from boltz.models.structure import Spans, Structure, described
from boltz.nn.arena import Part, check_arena, views
from boltz.nn.conditionals import CONDITIONALS, Conditional, Gaussian
from boltz.nn.dense import Net
from boltz.nn.encoders import Encoder
from boltz.nn.factors import Dense, Factor, Place
from boltz.nn.labelled import Labelled
from boltz.storage.tensors import write_tensors

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class HelmholtzMachine:
    """A Helmholtz machine: structure and flat parameter arena.

    rates (layer -> (units,) in (0, 1)) holds the mean activities of an RBM prior's layers on recognised data, which
    annealed importance sampling of its log Z starts from. scaling is that of Gaussian visible units, whose parameters
    are in units of it: public functions take and give rows in the units of the data. None: it is not known yet, and
    training takes it from its rows; until then rows count as they are.
    levels is as in BoltzmannMachine; of visible units of levels it is the highest of these.
    """

    structure: Structure
    arena: Array
    rates: Mapping[str, Array] = field(default_factory=dict)
    scaling: Scaling | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        checks.instance(self.structure, "structure", Structure)
        check_arena(self.arena, self.structure.parameters)
        check_rates(self.rates, self.units)
        checks.instance(self.scaling, "scaling", Scaling, optional=True)
        scale.checked_levels(self.levels)
        if self.layers[0].levels is not None:
            highest = self.layers[0].levels - 1
            if self.levels not in (None, highest):
                raise InputError(f"levels must be {highest}, the highest of its visible units, got {self.levels}.")
            object.__setattr__(self, "levels", highest)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are made anew from what defines the machine, so that their parameters are views again."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self))

    def __repr__(self) -> str:
        return short_repr(
            type(self).__name__, (f"{self.structure.kind} {self.structure.architecture}", *repr_parts(self))
        )

    @cached_property
    def params(self) -> dict[str, Array]:
        """Weights and biases by name, views into the arena."""
        return views(self.structure.shapes, self.arena)

    def views(self, arena: Array) -> dict[str, Array]:
        """Another arena of this shape, such as a gradient, by the names of the parameters."""
        return views(self.structure.shapes, arena)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Floating type of the parameters."""
        return self.arena.dtype

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, visible first."""
        return self.structure.layers

    @property
    def columns(self) -> int:
        """Columns of rows of data."""
        return self.layers[0].units

    @property
    def visible_layers(self) -> tuple[Layer, ...]:
        """The visible layer, as the only one of its kind."""
        return self.layers[:1]

    @property
    def hidden_layers(self) -> tuple[Layer, ...]:
        """The hidden layers, bottom first."""
        return self.layers[1:]

    @property
    def visible(self) -> str:
        """Name of the visible layer."""
        return self.layers[0].name

    @property
    def plan(self) -> Structure:
        """What the machine is apart from its parameters."""
        return self.structure

    @property
    def kind(self) -> str:
        """The name of the machine: dbn, sbn, vae, or helmholtz where hidden layers are mixed."""
        return self.structure.kind

    @property
    def architecture(self) -> str:
        """Units from the bottom; drawn layers in brackets where others are not: 784-200-200-[50]."""
        return self.structure.architecture

    @property
    def undirected(self) -> BoltzmannMachine | None:
        """The part of the machine whose log Z is not 0: the RBM on top of a deep belief net, else None."""
        return self.prior_machine

    @property
    def directed(self) -> HelmholtzMachine:
        """The part of the machine that is drawn from the top down: all of it."""
        return self

    @property
    def binary_hidden(self) -> bool:
        """Whether all hidden units are 0 and 1."""
        return all(layer.binary for layer in self.layers[1:])

    @property
    def independent_hidden(self) -> bool:
        """Whether the hidden units are independent given the visible ones: where there are none."""
        return not self.structure.latent

    @property
    def visible_weights(self) -> Array:
        """Weights (visible units, units above) of the last generative layer, for Gaussian units those of the means."""
        net = self.structure.generative.get(self.visible)
        if not isinstance(net, Net):
            raise InputError("the visible units of this machine have no weights of their own to each unit above.")
        last = net.depth - 1
        return self.params[f"generative/{self.visible}/{last}/weight"][:, : self.units[self.visible]].T

    @cached_property
    def units(self) -> dict[str, int]:
        """Number of units of each layer."""
        return {layer.name: layer.units for layer in self.layers}

    @cached_property
    def conditionals(self) -> dict[str, Conditional]:
        """The conditional of each layer whose units can be independent given the layer above."""
        found = {layer.name: CONDITIONALS[layer.kind] for layer in self.layers if layer.kind in CONDITIONALS}
        if self.scaling is not None:
            learnt = np.tile(~self.scaling.constant, 2).astype(self.dtype)
            told = None if learnt.all() else arrays.beside(learnt, self.arena)
            found[self.visible] = Gaussian(log_units=self.scaling.log_units, learnt=told)
        return found

    @cached_property
    def factors(self) -> dict[str, Factor]:
        """The factor of each drawn layer, but that of the topmost one where it is an RBM."""
        found, game = dict(self.structure.own), self.structure.game
        for name, net in self.structure.generative.items():
            found[name] = Dense(net, self.conditionals[name], self.units[name])
        if game is not None and game.decoded:
            net, own = self.structure.generative[self.visible], self.conditionals[self.visible]
            assert isinstance(net, Net)
            found[self.visible] = Labelled(net, own, self.columns, game.labels, game.embed)
        if self.structure.latent and self.structure.prior_graph is None:
            found[self.structure.latent[-1].name] = self.structure.prior_factor
        return found

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each drawn hidden layer, from the bottom."""
        flows, game = self.structure.flows, self.structure.game
        noise = 0 if game is None else game.noise
        return {
            name: Encoder(net, self.conditionals[name], self.units[name], flows.get(name), noise)
            for name, net in self.structure.recognition.items()
        }

    def encoder_place(self, layer: str, part: Part) -> Place:
        """Where the encoder of a layer works, for rows of a tape that holds states under state/LAYER."""
        return Place(f"recognition/{layer}", self.params, part, f"state/{self.structure.heard[layer]}")

    def place(self, child: Layer, parent: Layer | None, part: Part, step: int | None = None) -> Place:
        """Where the factor of a drawn layer works, for rows of a tape that holds states under state/LAYER."""
        given = "" if parent is None else f"state/{parent.name}"
        return Place(self.structure.factor_name(child.name), self.params, part, given, step)

    @cached_property
    def prior_machine(self) -> BoltzmannMachine | None:
        """The RBM on top, its parameters views into the arena; None for a factorial prior."""
        graph = self.structure.prior_graph
        if graph is None:
            return None
        names = [layer.name for layer in self.layers[-2:]]
        rates = {own: self.rates[n] for own, n in zip(("v", "h1"), names, strict=True) if n in self.rates}
        return BoltzmannMachine(graph, self.arena[: graph.parameters], rates)

    def spans(self) -> Spans:
        """The arena as slices of weights (True), which decay acts on, and of biases (False)."""
        return self.structure.spans

    @property
    def device(self) -> str:
        """Where the parameters live: "cpu" or "cuda:N"."""
        return arrays.device_of(self.arena)

    def to(self, device: str) -> HelmholtzMachine:
        """The machine with its parameters on "cpu", "cuda" or "cuda:N", where all work on it is then done.

        What it gives back, samples and estimates, are numpy arrays all the same. Raises InputError without CuPy or such
        a GPU.
        """
        return replace(self, arena=arrays.moved(self.arena, device))

    def astype(self, dtype: Any) -> HelmholtzMachine:
        """The same machine with parameters in float32 or float64; raises InputError for another type."""
        return replace(self, arena=self.arena.astype(checks.floating(dtype, "dtype")))

    def with_levels(self, levels: int | None) -> HelmholtzMachine:
        """The same machine, which divides visible rows of whole numbers by levels, 1 to 65535; raises InputError."""
        return replace(self, levels=scale.above_one(levels))

    def save(self, path: str | Path) -> None:
        """Write the machine to a safetensors file; raises FileError."""
        tensors = views(self.structure.shapes, arrays.host(self.arena))
        tensors |= {f"layer/{n}/rate": np.asarray(r) for n, r in self.rates.items()}
        if self.scaling is not None:
            tensors |= {f"layer/{self.visible}/{name}": x for name, x in self.scaling.tensors().items()}
        told = {"model": "helmholtz", "structure": json.dumps(described(self.structure))}
        write_tensors(checks.path(path, "path"), tensors, told | scale.told(self.levels))


def empty(structure: Structure, dtype: Any) -> HelmholtzMachine:
    """A machine with all parameters zero; raises InputError where memory does not hold them."""
    count = checks.affordable(structure.parameters, "the number of parameters by units", np.dtype(dtype).itemsize)
    return HelmholtzMachine(structure, np.zeros(count, dtype))
