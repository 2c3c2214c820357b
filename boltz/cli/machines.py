"""The machines that `boltz train` makes: how each is built, and which options it has with which defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import boltz
from boltz import checks
from boltz.data.kinds import BINARY
from boltz.errors import InputError
from boltz.foreign import shown
from boltz.models.files import Model
from boltz.presets import CODES, INSIDE, LACKS, RATES, SETTINGS, SHARES, TOLD
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.directed_settings import DirectedSettings
from boltz.training.meaning import Need
from boltz.training.settings import BeliefSettings, Common, Settings
from boltz.units import units_of
from boltz.units.levels import NAME as LEVELS

Shape = Mapping[str, Any]
Groups = Sequence[tuple[int, ...]]
SEVERAL = {"initial_scale": 0.01, "initial_bias": "data"}
INITIAL = {"units": None, "hidden_units": "bernoulli", "initial_scale": 0.01, "initial_bias": "data"}
FLOW = {"flow_steps": 2, "flow_widths": (320,)}
NONE = (0,)  # --layers 0: no hidden units
WITHOUT_HIDDEN = ("bm", "made")
NORMAL = {"encoder": "dense", "residual_maps": (16, 32, 32), "prior": "normal", "posterior": "gaussian", **FLOW}
CODED = ("encoder", "residual_maps", "prior", "posterior", *FLOW)
RESNET = {"layers": ((450,),), "activation": "elu"}  # defaults of a vae or vlae whose encoder is a resnet
SHAPE_NEEDS = {
    **dict.fromkeys(
        FLOW,
        Need(
            "{prior} flow or coupling, or {posterior} iaf",
            lambda v: v["prior"] != "normal" or v["posterior"] != "gaussian",
        ),
    ),
    "residual_maps": Need("{encoder} resnet", lambda v: v["encoder"] == "resnet"),
    "prior_units": Need("{prior} nade or made", lambda v: v["prior"] != "factorial"),
    "conditional_units": Need("{conditionals} nade or made", lambda v: v["conditionals"] != "dense"),
}  # what options of shape do nothing without
ANNEALING = {"betas": "sm2008", "chains_ais": 100}


@dataclass(frozen=True)
class Machine:
    """A kind of machine: its builder, its settings, and the defaults of its options where they are its own.

    build takes the number of visible units, the options of shape, rows and a seed. Its other defaults are those of
    boltz.presets. title says what it is, and example are options to train it with.
    """

    kind: str
    build: Callable[[int, Shape, Any, int], Model]
    settings: type[Common]
    shape: Shape
    defaults: Mapping[str, Any]
    measurement: Mapping[str, Any]
    title: str
    example: str

    @property
    def options(self) -> dict[str, Any]:
        """The default of every option that it has: shape, settings, measurement; None where the rows say it."""
        known = {field.name: field.default for field in fields(self.settings)}
        rows_say = dict.fromkeys(
            (*SHARES[self.kind], *RATES.get(self.kind, ()), "batch_size", "patience", "validation")
        )
        found = {**self.shape, **known, **SETTINGS.get(self.kind, {}), **self.defaults, **rows_say, **self.measurement}
        return {name: value for name, value in found.items() if name not in LACKS.get(self.kind, ())}

    def settings_from(self, values: Mapping[str, Any]) -> Any:
        """Its settings from the values of its options; raises InputError."""
        return self.settings(**{f.name: values[f.name] for f in fields(self.settings) if f.name in values})


def _rbm(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    return _chained([visible, *_chain("an rbm", shape["layers"], 1, 1)], shape, x, seed)


def _dbm(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    return _chained([visible, *_chain("a dbm", shape["layers"], 2)], shape, x, seed)


def _chained(sizes: list[int], shape: Shape, x: Any, seed: int) -> Model:
    start = x if shape["initial_bias"] == "data" else None
    kinds = [shape["units"], *hidden_kinds(shape["hidden_units"], len(sizes) - 1)]
    return boltz.dbm(sizes, start, seed, initial_scale=shape["initial_scale"], units=kinds)


def hidden_kinds(text: str, layers: int) -> list[str]:
    """The kind of each of so many hidden layers: one for all, or one each; raises InputError."""
    kinds = [part.strip() for part in text.split(",")]
    if len(kinds) not in (1, layers):
        each = "one kind" if layers == 1 else f"one kind, or one for each of the {layers} hidden layers"
        raise InputError(f"--hidden-units must name {each}, got {len(kinds)}: {shown(text)}.")
    for kind in kinds:
        try:
            units_of(kind)
        except InputError as problem:
            raise InputError(f"--hidden-units: {problem}") from problem
    return kinds * layers if len(kinds) == 1 else kinds


def _bm(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    hidden = _chain("a bm", shape["layers"], 1, 1)[0]
    if not hidden and shape["lateral"] == "hidden":
        raise InputError("--lateral hidden couples hidden units, but --layers 0 has none: give --lateral visible.")
    start = x if shape["initial_bias"] == "data" else None
    above, scale = hidden_kinds(shape["hidden_units"], 1)[0], shape["initial_scale"]
    return boltz.boltzmann(visible, hidden, shape["units"], above, shape["lateral"], start, seed, initial_scale=scale)


def _multimodal(_: int, shape: Shape, x: Any, seed: int) -> Model:
    start = x if shape["initial_bias"] == "data" else None
    views = {view.name: (view.units, view.kind) for view in x.views}
    scale = shape["initial_scale"]
    return boltz.multimodal(views, pathways_of(shape), shape["joint"], start, seed, initial_scale=scale)


def pathways_of(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The hidden layers of each modality; raises InputError where these do not fit together."""
    views, layers = shape["modality"], shape["layers"]
    example = "--modality image=x_image:gaussian --layers image=500,500"
    if not views or len(views) < 2:
        raise InputError(f"a multimodal machine has two kinds of data or more: name each as in {example}.")
    if not isinstance(layers, Mapping):
        raise InputError(f"--layers must name hidden layers for each modality, as in {example}.")
    for name in layers:
        if name not in views:
            raise InputError(f"--layers names {shown(name)}, which is no --modality; these are {', '.join(views)}.")
    for name in views:
        if name not in layers:
            raise InputError(f"--layers must name hidden layers for {name} too: --layers {name}=500,500.")
    depths = {name: len(layers[name]) for name in views}
    if len(set(depths.values())) > 1:
        told = ", ".join(f"{name} {depth}" for name, depth in depths.items())
        raise InputError(f"--layers must name as many hidden layers for each modality, got {told}.")
    return {name: layers[name] for name in views}


def _dbn(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    return boltz.dbn([visible, *_chain("a dbn", shape["layers"], 2)], x, seed)


def _sbn(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    units = [visible, *_chain("an sbn", shape["layers"], 1)]
    inside = _playing(shape, (*INSIDE, "prior"))
    return boltz.sbn(units, shape["widths"], x, seed, shape["activation"], shape["visible"], **inside)


def _playing(shape: Shape, names: Sequence[str]) -> dict[str, Any]:
    """The options of these names that play a part."""
    return {name: shape[name] for name in names if name not in SHAPE_NEEDS or SHAPE_NEEDS[name].met(shape)}


def _vae(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    groups, latent = plain_layers("vae", shape["layers"]), list(shape["latent"])
    if len(groups) != len(latent):
        raise InputError(
            f"--layers must name a group of deterministic layers below each of the {len(latent)} layers of --latent, "
            f"separated by slashes as in 200,200/100,100, got {len(groups)}."
        )
    units = [visible, *(groups[0] if len(groups) == 1 else map(list, groups))]
    own = _playing(shape, CODED)
    return boltz.vae(units, latent, x, seed, shape["activation"], shape["visible"], **own)


def _aae(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    units = [visible, *_chain("an aae", shape["layers"], 1)]
    if len(shape["latent"]) != 1:
        raise InputError(f"an aae has one code, but --latent names {len(shape['latent'])} layers.")
    own = {name: shape[name] for name in (*TOLD, "prior")}
    return boltz.aae(units, shape["latent"][0], x, seed, shape["activation"], shape["visible"], **own)


def _vlae(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    units = [visible, *_chain("a vlae", shape["layers"], 1)]
    if len(shape["latent"]) != 1:
        raise InputError(f"a vlae has one hidden layer, but --latent names {len(shape['latent'])}.")
    own = _playing(shape, [name for name in CODES if name != "decoder"])
    law = {"visible": shape["visible"], **_law(shape, x)}
    return boltz.vae(units, list(shape["latent"]), x, seed, shape["activation"], decoder="pixelcnn", **own, **law)


def _pixelcnn(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    own = {name: shape[name] for name in ("receptive_field", "filters", "tied")}
    return boltz.pixelcnn(visible, x, seed, **own, **_law(shape, x))


def _law(shape: Shape, x: Any) -> dict[str, int]:
    """Levels and mixture of pixels with so many levels as the data, nothing for binary ones; raises InputError."""
    if checks.choice(shape["visible"], "--visible", (BINARY, LEVELS)) != LEVELS:
        return {}
    if (x.levels or 1) == 1:
        found = "numbers in [0, 1]" if x.levels is None else "0 and 1"
        raise InputError(
            f"--visible levels is for whole numbers, but {x.source} holds {found}: give grey bytes, or --levels N for "
            "whole numbers from 0 to N."
        )
    return {"levels": x.levels + 1, "mixture": shape["mixture"]}


def _made(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    widths = _chain("a made", shape["layers"], 1)
    return boltz.made(
        visible, () if widths == NONE else widths, x, seed, masks=shape["masks"], natural=shape["natural"]
    )


def _nade(visible: int, shape: Shape, x: Any, seed: int) -> Model:
    return boltz.nade(visible, _chain("a nade", shape["layers"], 1, 1)[0], x, seed)


def plain_layers(kind: str, groups: Any) -> Any:
    """Hidden layers as they are given, of a machine without pathways; raises InputError."""
    if isinstance(groups, Mapping):
        raise InputError(f"--layers takes names for multimodal alone; {kind} has one chain, such as 500,1000.")
    if groups == (NONE,) and kind not in WITHOUT_HIDDEN:
        raise InputError(f"--layers 0, no hidden units, is for {' and '.join(WITHOUT_HIDDEN)}; {kind} has some.")
    return groups


def _chain(name: str, groups: Groups, least: int, most: int = 1000) -> tuple[int, ...]:
    """The hidden layers of a machine that has from least to most of them, in one group."""
    plain_layers(name.split()[1], groups)
    if len(groups) > 1:
        raise InputError(f"--layers takes slashes only for a vae; {name} has one chain of layers, such as 500,1000.")
    if not least <= len(groups[0]) <= most:
        wanted = "one hidden layer" if most == 1 else f"at least {('one', 'two')[least - 1]} hidden layers"
        raise InputError(f"{name} has {wanted}, but --layers names {len(groups[0])}.")
    return groups[0]


MACHINES: dict[str, Machine] = {
    machine.kind: machine
    for machine in (
        Machine(
            "rbm",
            _rbm,
            Settings,
            {"layers": ((500,),), **INITIAL},
            {},
            ANNEALING,
            "a restricted Boltzmann machine, which has one hidden layer",
            "--layers 100 --epochs 10 --out digits",
        ),
        Machine(
            "dbm",
            _dbm,
            Settings,
            {"layers": ((500, 1000),), **INITIAL},
            {},
            {**ANNEALING, "evaluation_samples": 0},
            "a deep Boltzmann machine, which has two hidden layers or more",
            "--layers 100,100 --epochs 10 --out deep",
        ),
        Machine(
            "bm",
            _bm,
            Settings,
            {"layers": ((100,),), "lateral": "both", **INITIAL},
            {},
            {**ANNEALING, "evaluation_samples": 0},
            "a general Boltzmann machine, whose units are coupled within layers as well",
            "--layers 20 --lateral visible --epochs 10 --out coupled",
        ),
        Machine(
            "multimodal",
            _multimodal,
            Settings,
            {"modality": None, "layers": None, "joint": 500, **SEVERAL},
            {},
            {**ANNEALING, "evaluation_samples": 0},
            "a deep Boltzmann machine of several kinds of data, with a pathway for each below a joint layer",
            "--layers image=100 --layers text=100 --joint 50 --out both --data pairs.npz --modality "
            "image=x_image:gaussian --modality text=x_text:bernoulli",
        ),
        Machine(
            "dbn",
            _dbn,
            BeliefSettings,
            {"layers": ((500, 500),)},
            {},
            {**ANNEALING, "evaluation_samples": 0},
            "a deep belief net: layers that point downwards below an RBM",
            "--layers 100,100 --pretrain-epochs 10 --out belief",
        ),
        Machine(
            "sbn",
            _sbn,
            DirectedSettings,
            {
                **{"layers": ((200, 200),), "widths": (), "activation": "tanh", "visible": "bernoulli"},
                **{"conditionals": "dense", "conditional_units": 100, "prior": "factorial", "prior_units": 100},
            },
            {"objective": "vimco", "samples": None},
            {"evaluation_samples": 0},
            "a sigmoid belief net, whose hidden units are binary and point downwards",
            "--layers 100,50 --epochs 20 --out sigmoid",
        ),
        Machine(
            "vae",
            _vae,
            DirectedSettings,
            {"layers": ((200, 200),), "latent": (50,), "activation": "tanh", "visible": "bernoulli", **NORMAL},
            {"objective": "vae", "samples": None},
            {"evaluation_samples": 0},
            "a variational autoencoder, whose hidden units are Gaussian",
            "--layers 200 --latent 20 --epochs 20 --out codes",
        ),
        Machine(
            "vlae",
            _vlae,
            DirectedSettings,
            {
                **{"layers": ((512, 512),), "latent": (32,), "activation": "elu", **NORMAL, "prior": "flow"},
                **{"receptive_field": 6, "filters": 12, "maps": 4, "tied": True},
                **{"visible": "bernoulli", "mixture": 5},
            },
            {"objective": "vae", "samples": None},
            {"evaluation_samples": 0},
            "a variational lossy autoencoder, whose pixels hear their neighbours and Gaussian hidden units",
            "--layers 200 --latent 20 --epochs 20 --out lossy",
        ),
        Machine(
            "aae",
            _aae,
            AdversarialSettings,
            {
                **{"layers": ((500, 500),), "latent": (8,), "activation": "relu", "visible": "bernoulli"},
                **{"prior": "normal", "prior_sigma": 1.0, "labels": "none", "labelled": "all", "classes": None},
                **{"clusters": None, "embed": False, "encoder": "deterministic", "noise": None},
            },
            {},
            {"evaluation_samples": 0},
            "an adversarial autoencoder, whose codes match a prior by a game, and which may hear or infer labels",
            "--layers 200 --labels inferred --epochs 20 --out game",
        ),
        Machine(
            "pixelcnn",
            _pixelcnn,
            DirectedSettings,
            {"receptive_field": 6, "filters": 12, "tied": False, "visible": "bernoulli", "mixture": 5},
            {},
            {},
            "a PixelCNN, whose pixels hear their neighbours, with an exact likelihood",
            "--filters 12 --epochs 10 --out pixels",
        ),
        Machine(
            "nade",
            _nade,
            DirectedSettings,
            {"layers": ((500,),)},
            {},
            {},
            "a neural autoregressive distribution estimator, whose likelihood is exact",
            "--layers 100 --epochs 20 --out exact",
        ),
        Machine(
            "made",
            _made,
            DirectedSettings,
            {"layers": ((500, 500),), "masks": 1, "natural": True},
            {},
            {},
            "a masked autoencoder for distribution estimation, whose likelihood is exact",
            "--layers 100,100 --epochs 20 --out masked",
        ),
    )
}


def having(option: str) -> list[str]:
    """The machines that have an option."""
    return [name for name, machine in MACHINES.items() if option in machine.options]
