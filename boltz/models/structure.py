"""What a Helmholtz machine is apart from its parameters: layers, nets between them, prior, and the game it plays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from boltz import checks
from boltz.errors import InputError
from boltz.models.graph import Graph, Layer
from boltz.nn.arena import size
from boltz.nn.code_priors import CODE_PRIORS
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.dense import ACTIVATIONS, Net
from boltz.nn.factors import Coins, Factor, StandardNormal
from boltz.nn.flows import InverseAutoregressiveFlow
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.nn.registry import FACTOR_NAMES, POSTERIOR_NAMES
from boltz.nn.residual import AnyNet, Residual, ResidualDecoder, ResidualEncoder

Spans = list[tuple[slice, bool]]
PRIORS = ("factorial", "rbm")
LABEL_HEAD = "recognition/label"
CODERS = ("deterministic", "gaussian", "implicit")
TOLD = ("none", "prior", "decoder", "inferred")


@dataclass(frozen=True)
class Game:
    """What makes an adversarial autoencoder of nets and a prior (Makhzani et al. 2016).

    encoder: codes are the outputs of the encoder ("deterministic"), draws around them ("gaussian"), or outputs of a net
    that hears so many units of noise beside the rows ("implicit"). labels counts the labels, 0 for none. told says who
    hears them: the game alone ("prior"), the decoder ("decoder"), or the decoder, while a softmax head of the encoder
    infers them ("inferred"). embed: each label is a point that is added to the code.
    """

    encoder: str = "deterministic"
    noise: int = 0
    labels: int = 0
    told: str = "none"
    embed: bool = False

    def __post_init__(self) -> None:
        checks.choice(self.encoder, "encoder", CODERS)
        checks.integer(self.noise, "noise", 0, 10**6)
        checks.choice(self.told, "labels", TOLD)
        checks.integer(self.labels, "classes", 0, 10**4)
        checks.flag(self.embed, "embed")
        if (self.encoder == "implicit") != (self.noise > 0):
            raise InputError("an implicit encoder, and no other, hears noise: give both, or neither.")
        if (self.told == "none") != (self.labels == 0) or self.labels == 1:
            raise InputError(f"labels need at least two classes, and classes need labels, got {self.labels}.")
        if self.embed and self.told != "inferred":
            raise InputError("embed places inferred labels: give clusters, or labels='inferred'.")

    @property
    def decoded(self) -> bool:
        """Whether the decoder hears labels."""
        return self.told in ("decoder", "inferred")

    @property
    def inferred(self) -> bool:
        """Whether the encoder tells labels."""
        return self.told == "inferred"


@dataclass(frozen=True)
class Structure:
    """Layers from the visible one up, the deterministic layers inside each conditional, and the kind of prior.

    factors holds (layer, factor) of the layers whose factor p(layer | layer above), or p(layer) of the topmost drawn
    one, is not the usual one. A machine without hidden layers has one for its visible layer.

    posteriors holds (layer, flow) of the Gaussian layers in whose recognition a flow is behind the draw.

    residual are the convolutions of the net between the visible layer, binary pixels, and the only hidden one, which is
    Gaussian; None: all nets are dense.

    widths[i] are those between layer i and layer i + 1, from the bottom, for recognition; generation mirrors them. With
    an RBM as prior the last two layers are its own and the last has no conditionals.
    """

    layers: tuple[Layer, ...]
    widths: tuple[tuple[int, ...], ...]
    activation: str = "tanh"
    prior: str = "factorial"
    factors: tuple[tuple[str, Factor], ...] = ()
    posteriors: tuple[tuple[str, InverseAutoregressiveFlow], ...] = ()
    game: Game | None = None
    residual: Residual | None = None

    def __post_init__(self) -> None:
        kinds = [layer.kind for layer in self.layers]
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise InputError(f"layers must have different names, got {names}.")
        for layer in self.layers:
            if layer.units < 1 or not (layer.kind in CONDITIONALS or layer.levels):
                raise InputError(f"layer {layer.name} must be of kind {', '.join(CONDITIONALS)} and have units.")
            if layer.levels and (layer != self.layers[0] or layer.name not in self.own):
                raise InputError(
                    f"layer {layer.name} has units of levels, which are for a visible layer with a factor of its own, "
                    "a PixelCNN (decoder='pixelcnn')."
                )
        if self.prior not in PRIORS or len(self.widths) != len(self.layers) - 1 - (self.prior == "rbm"):
            raise InputError(
                f"the machine must have a prior among {', '.join(PRIORS)} and widths for each conditional."
            )
        if self.prior == "rbm" and set(kinds[1:]) != {"bernoulli"}:
            raise InputError("a machine needs a hidden layer, and an RBM as prior needs binary ones.")
        if not self.latent and not self.factors:
            raise InputError("a machine needs a hidden layer, or a factor of its own for its visible layer.")
        checks.choice(self.activation, "activation", ACTIVATIONS)
        if len(self.own) != len(self.factors):
            raise InputError("factors must name each layer once.")
        for name, factor in self.factors:
            self._check_factor(name, factor)
        for name, flow in self.posteriors:
            self._check_posterior(name, flow)
        if len(self.flows) < len(self.posteriors):
            raise InputError("posteriors must name different layers.")
        if self.game is not None and not self._plays:
            raise InputError(
                "an adversarial autoencoder must have one Gaussian hidden layer behind dense nets with at least one "
                "deterministic layer."
            )
        if self.residual is not None:
            self._check_residual(self.residual)
        if self.game is not None and self.game.told == "prior":
            parts = getattr(self.prior_factor, "components", 0)
            if parts != self.game.labels:
                raise InputError(f"labels name {self.game.labels} parts of the prior of codes, which has {parts}.")

    @property
    def _plays(self) -> bool:
        """Whether the layers are those of a game."""
        kinds = [layer.kind for layer in self.layers[1:]]
        plain = self.prior == "factorial" and not self.posteriors and self.layers[0].name not in self.own
        return self.residual is None and plain and kinds == ["gaussian"] and bool(self.widths[0])

    def _check_factor(self, name: str, factor: Factor) -> None:
        """Raise InputError unless a factor fits the layer of this name and the one above it."""
        found = {child.name: (child, parent) for child, parent in self.chain}
        if name not in found or self.prior == "rbm":
            raise InputError(f"factors must name drawn layers of a machine without an RBM, got {name!r:.40}.")
        child, parent = found[name]
        given = 0 if parent is None else parent.units
        if (factor.units, factor.given) != (child.units, given):
            raise InputError(
                f"the factor of layer {name} must be of {child.units} units given {given}, "
                f"got {factor.units} given {factor.given}."
            )
        if isinstance(factor, CODE_PRIORS) and (parent is not None or not self.latent):
            raise InputError(f"layer {name} has a prior of codes, which is that of the topmost hidden layer.")
        if child.kind not in factor.kinds:
            raise InputError(f"the factor of layer {name} is for {' or '.join(factor.kinds)} units, got {child.kind}.")

    def _check_posterior(self, name: str, flow: InverseAutoregressiveFlow) -> None:
        """Raise InputError unless a flow fits the recognition of the layer of this name."""
        units = {layer.name: layer.units for layer in self.latent if layer.kind == "gaussian"}
        if name not in units:
            raise InputError(f"posteriors must name Gaussian hidden layers, got {name!r:.40}.")
        if (flow.units, flow.context) != (units[name], 2 * units[name]):
            raise InputError(
                f"the posterior flow of layer {name} must be of {units[name]} units and hear their means and log "
                f"sigmas, {2 * units[name]} numbers, got {flow.units} and {flow.context}."
            )

    def _check_residual(self, residual: Residual) -> None:
        """Raise InputError unless residual nets fit the layers."""
        if [layer.kind for layer in self.layers] != ["bernoulli", "gaussian"]:
            found = ", ".join(layer.kind for layer in self.layers)
            raise InputError(
                f"residual nets join binary pixels and one Gaussian hidden layer, got layers of kind {found}: take "
                "dense nets."
            )
        if residual.height * residual.width != self.layers[0].units:
            raise InputError(
                f"residual nets must see images of {self.layers[0].units} pixels, got {residual.height} x "
                f"{residual.width}."
            )

    @property
    def kind(self) -> str:
        """The name of its machine: dbn, sbn, vae, helmholtz for mixed hidden layers, or that of its only factor; vlae
        for Gaussian hidden layers below which the visible units have a factor of their own; aae for one of a game.
        """
        if self.game is not None:
            return "aae"
        if self.prior == "rbm":
            return "dbn"
        if not self.latent:
            return FACTOR_NAMES[type(self.factors[0][1])]
        kinds = {layer.kind for layer in self.latent}
        if kinds == {"gaussian"} and self.layers[0].name in self.own:
            return "vlae"
        return {"bernoulli": "sbn", "gaussian": "vae"}[kinds.pop()] if len(kinds) == 1 else "helmholtz"

    @property
    def architecture(self) -> str:
        """Units from the bottom; drawn layers in brackets where others are not: 784-200-200-[50].

        A layer whose units hear each other has its net beside it: 784(nade 100)-200(nade 100).
        """
        if not self.latent:
            return "-".join(filter(None, (str(self.layers[0].units), self.factors[0][1].inner)))
        nets = {name: f"({FACTOR_NAMES[type(f)]} {f.inner})" for name, f in self.factors if isinstance(f, Nade | Made)}
        sizes = [f"{layer.units}{nets.get(layer.name, '')}" for layer in self.layers]
        if not any(self.widths) and self.residual is None:
            return "-".join(sizes)
        inner: list[Any] = [*self.widths, *([()] if self.prior == "rbm" else [])]
        if self.residual is not None:
            inner[0] = (*self.residual.told, *inner[0])
        parts = ["-".join([*map(str, widths), f"[{n}]"]) for widths, n in zip(inner, sizes[1:], strict=True)]
        return "-".join([sizes[0], *parts])

    @cached_property
    def latent(self) -> tuple[Layer, ...]:
        """The hidden layers that are drawn: all but the top one of an RBM prior."""
        return self.layers[1 : len(self.widths) + 1]

    @cached_property
    def chain(self) -> list[tuple[Layer, Layer | None]]:
        """The drawn layers, each with the drawn layer above it, None for the topmost one."""
        return list(zip(self.layers, [*self.latent, None], strict=False))

    @cached_property
    def heard(self) -> dict[str, str]:
        """The layer below each drawn hidden layer, which its encoder hears."""
        return {above.name: below.name for below, above in zip(self.layers, self.latent, strict=False)}

    @cached_property
    def own(self) -> dict[str, Factor]:
        """The factors of layers that are not the usual ones."""
        return dict(self.factors)

    @cached_property
    def flows(self) -> dict[str, InverseAutoregressiveFlow]:
        """The flows behind the draws of recognition, by layer."""
        return dict(self.posteriors)

    def factor_name(self, layer: str) -> str:
        """The name of the factor of a drawn layer, which its parameters are under."""
        return "prior" if self.latent and layer == self.latent[-1].name else f"generative/{layer}"

    @cached_property
    def generative(self) -> dict[str, AnyNet]:
        """The net of each layer without a factor of its own: from the layer above to its outputs."""
        found: dict[str, AnyNet] = {}
        for below, above, widths in zip(self.layers, self.latent, self.widths, strict=False):
            if below.name in self.own:
                continue
            outputs, heard = CONDITIONALS[below.kind].outputs(below.units), above.units
            if self.game is not None and self.game.decoded and not self.game.embed:
                heard += self.game.labels
            sizes = heard, *reversed(widths), outputs
            found[below.name] = Net(sizes, self.activation)
            if self.residual is not None:
                found[below.name] = ResidualDecoder(sizes, self.activation, self.residual)
        return found

    @cached_property
    def recognition(self) -> dict[str, AnyNet]:
        """The net of each drawn hidden layer: from the layer below to its outputs."""
        found: dict[str, AnyNet] = {}
        for below, above, widths in zip(self.layers, self.latent, self.widths, strict=False):
            outputs = CONDITIONALS[above.kind].outputs(above.units)
            heard = below.units + (0 if self.game is None else self.game.noise)
            sizes = heard, *widths, outputs
            found[above.name] = Net(sizes, self.activation)
            if self.residual is not None:
                found[above.name] = ResidualEncoder(sizes, self.activation, self.residual)
        return found

    @cached_property
    def prior_factor(self) -> Factor:
        """The factor of the topmost drawn layer, which hears no other, where that is no RBM."""
        top = self.latent[-1]
        usual: dict[str, type[Coins | StandardNormal]] = {"bernoulli": Coins, "gaussian": StandardNormal}
        return self.own.get(top.name) or usual[top.kind](top.units)

    @cached_property
    def prior_graph(self) -> Graph | None:
        """The graph of an RBM prior, layers v and h1."""
        return Graph.chain([layer.units for layer in self.layers[-2:]]) if self.prior == "rbm" else None

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name: the prior, then the conditionals from the bottom."""
        found: dict[str, tuple[int, ...]] = {}
        if self.prior_graph is not None:
            found |= {f"prior/{name}": shape for name, shape in self.prior_graph.shapes.items()}
        elif self.latent:
            found |= self.prior_factor.shapes("prior")
        for below in self.layers[: max(len(self.latent), 1)]:
            factor = self.own.get(below.name) or self.generative[below.name]
            found |= factor.shapes(f"generative/{below.name}")
        if self.game is not None and self.game.embed:
            found[f"generative/{self.layers[0].name}/heads"] = (self.game.labels, self.latent[0].units)
        for name, net in self.recognition.items():
            found |= net.shapes(f"recognition/{name}")
            if name in self.flows:
                found |= self.flows[name].shapes(f"recognition/{name}/flow")
        if self.game is not None and self.game.inferred:
            found |= self.label_head.shapes(LABEL_HEAD)
        return found

    @property
    def label_head(self) -> Net:
        """The net from the last deterministic layer of the encoder of a game to the fields of its labels."""
        assert self.game is not None
        return Net((self.widths[0][-1], self.game.labels))

    @property
    def entry(self) -> dict[str, Any]:
        """The structure as plain values, as run.toml holds it."""
        return {"structure": described(self)}

    @property
    def parameters(self) -> int:
        """Number of weights and biases, those of recognition included."""
        return size(self.shapes)

    @cached_property
    def spans(self) -> Spans:
        """The arena as slices of weights (True) and of biases."""
        found: Spans = []
        for name, shape in self.shapes.items():
            start = found[-1][0].stop if found else 0
            stop, weight = start + int(np.prod(shape)), name.endswith("weight")
            if found and found[-1][1] == weight:
                start = found.pop()[0].start
            found.append((slice(start, stop), weight))
        return found


def described(structure: Structure) -> dict[str, Any]:
    """The structure as plain values, for files."""
    plain = asdict(structure)
    plain["layers"] = [[layer.name, layer.units, layer.kind] for layer in structure.layers]
    for kind, names in (("factors", FACTOR_NAMES), ("posteriors", POSTERIOR_NAMES)):
        del plain[kind]
        own = [[name, names[type(each)], asdict(cast(Any, each))] for name, each in getattr(structure, kind)]
        plain |= {kind: own} if own else {}
    for name in ("game", "residual"):
        if getattr(structure, name) is None:
            del plain[name]
    return plain
