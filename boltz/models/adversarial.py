"""The builder of adversarial autoencoders (Makhzani, Shlens, Jaitly, Goodfellow & Frey 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.models.builders import machine_of_structure
from boltz.models.chosen import parted
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import CODERS, TOLD, Game, Structure
from boltz.nn.code_priors import Box, Points, Ring, WideNormal, swiss_roll
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.factors import Factor
from boltz.rng import Key

Array = NDArray[Any]
Sampler = Callable[[int, np.random.Generator], Any]
PRIORS = ("normal", "mixture", "swiss-roll", "uniform")
LOG_SIGMA = -2.0  # of the proposal around the codes of a new machine, which training fits
ROLL = 2  # units of a swiss roll
POINTS = 10_000  # that are kept of a prior without a density


def aae(
    units: Sequence[int],
    latent: int = 8,
    x: Any = None,
    seed: int = 0,
    activation: str = "relu",
    visible: str = "bernoulli",
    *,
    prior: str | Sampler = "normal",
    prior_sigma: float = 1.0,
    labels: str = "none",
    classes: int | None = None,
    clusters: int | None = None,
    embed: bool = False,
    encoder: str = "deterministic",
    noise: int | None = None,
) -> HelmholtzMachine:
    """An adversarial autoencoder (Makhzani et al. 2016): a decoder whose codes match a prior by a game.

    units = [784, 1000, 1000] names the visible units and the deterministic layers of the encoder, which the decoder
    mirrors; latent counts the units of the code. visible is as in boltz.vae.

    - prior: "normal" with standard deviation prior_sigma, "mixture" of Gaussians on a circle (latent=2), one for each
      class where labels are "prior", else ten, "swiss-roll" (latent=2), "uniform" from -1 to 1, or a function of
      (count, numpy generator) that returns draws (count, latent), of which 10,000 are kept. Only a normal prior and a
      mixture have likelihoods: the others have no density, or none where codes may lie.
    - labels: "prior" tells them to the game alone, each naming a component of a mixture or a part of a swiss roll
      (section 2.3); "decoder" to the decoder, so that the code keeps the style (section 4); "inferred" has the encoder
      infer them, from some labelled rows (section 5). classes counts them, None for 10. clusters=30 infers so many
      labels without any labelled row (section 6).
    - embed: each inferred label is a point that is added to the code (section 7), which the decoder hears alone.
    - encoder: codes are outputs of the net ("deterministic"), draws around them ("gaussian"), or outputs of a net that
      hears so many units of noise, None for as many as latent ("implicit").

    boltz.train plays the game; it takes labels=(rows,) numbers of classes, -1 for unlabelled rows. Raises InputError.
    """
    count, widths = parted(units)
    if len(widths) != 1 or not widths[0]:
        raise InputError("units must name the visible units and at least one deterministic layer, such as [784, 500].")
    latent = checks.integer(latent, "latent", 1, 10**6)
    game = _game(labels, classes, clusters, embed, encoder, latent if noise is None else noise)
    if noise is not None and game.encoder != "implicit":
        raise InputError("noise is heard by an implicit encoder alone: give encoder='implicit', or no noise.")
    own, points = _prior(prior, prior_sigma, latent, game, Key.from_seed(seed).derive("prior").generator())
    factors = () if own is None else (("h1", own),)
    layers = (Layer("v", count, checks.choice(visible, "visible", CONDITIONALS)), Layer("h1", latent, "gaussian"))
    structure = Structure(layers, widths, activation, "factorial", factors, (), game)
    machine = machine_of_structure(structure, x, seed)
    if points is not None:
        machine.params["prior/points"][...] = points
    hold_spreads(machine)
    return machine


def _game(labels: str, classes: Any, clusters: Any, embed: bool, encoder: str, noise: Any) -> Game:
    """The game that the builder's arguments ask for."""
    embed = checks.flag(embed, "embed")
    checks.choice(labels, "labels", TOLD)
    if clusters is not None:
        if labels not in ("none", "inferred") or classes is not None:
            raise InputError("clusters counts labels that are inferred: give no classes and no other labels beside it.")
        labels, classes = "inferred", checks.integer(clusters, "clusters", 2, 10**4)
    if labels == "none" and classes is not None:
        raise InputError("classes counts labels, but labels are none: give labels, such as labels='inferred'.")
    if embed and labels != "inferred":
        raise InputError("embed places inferred labels: give clusters, or labels='inferred'.")
    count = 0 if labels == "none" else checks.integer(10 if classes is None else classes, "classes", 2, 10**4)
    encoder = checks.choice(encoder, "encoder", CODERS)
    heard = checks.integer(noise, "noise", 1, 10**6) if encoder == "implicit" else 0
    return Game(encoder, heard, count, labels, embed)


def _prior(
    prior: Any, sigma: Any, latent: int, game: Game, generator: np.random.Generator
) -> tuple[Factor | None, Array | None]:
    """The factor of a prior, None for the standard normal one, and its points where it is made of them."""
    parts = game.labels if game.told == "prior" else 0
    if callable(prior):
        checks.callback(prior, "prior", 2)
        if parts:
            raise InputError("labels 'prior' name parts of a prior; a function has none: give mixture or swiss-roll.")
        if sigma != 1:
            raise InputError("prior_sigma is of prior normal, not of a function.")
        drawn = checks.real_rows(prior(POINTS, generator), "prior(count, generator)", latent, np.float32)
        if len(drawn) != POINTS:
            raise InputError(f"prior(count, generator) must return count rows, {POINTS:,}, got {len(drawn):,}.")
        return _of_points(drawn, parts)
    name = checks.choice(prior, "prior", PRIORS)
    sigma = checks.number(sigma, "prior_sigma", 1e-6, 1e6)
    if sigma != 1 and name != "normal":
        raise InputError(f"prior_sigma is of prior normal, not of {name}.")
    if parts and name in ("normal", "uniform"):
        raise InputError(
            f"labels 'prior' name parts of a prior, but {name} has none: give prior mixture or swiss-roll."
        )
    if name == "mixture":
        return Ring(latent, parts or 10), None
    if name == "swiss-roll":
        if latent != ROLL:
            raise InputError(f"prior swiss-roll is of 2 units, got latent {latent}: give latent=2.")
        return _of_points(swiss_roll(POINTS, generator), parts)
    if name == "uniform":
        return Box(latent), None
    return (None if sigma == 1 else WideNormal(latent, sigma)), None


def _of_points(points: Array, parts: int) -> tuple[Factor, Array]:
    return Points(points.shape[1], count=len(points), components=parts), points


def hold_spreads(machine: HelmholtzMachine) -> None:
    """Start the log sigmas that a game does not learn, in place: those of codes that are not drawn, and of Gaussian
    visible units.
    """
    game = machine.structure.game
    assert game is not None
    if game.encoder != "gaussian":
        _constant(machine, "recognition/h1", machine.units["h1"], LOG_SIGMA)
    if machine.layers[0].kind == "gaussian":
        _constant(machine, "generative/v", machine.columns, 0.0)


def _constant(machine: HelmholtzMachine, name: str, units: int, value: Any) -> None:
    """Log sigmas, the outputs of a net after the first units, that do not depend on its inputs."""
    last = len(machine.structure.widths[0])
    machine.params[f"{name}/{last}/weight"][:, units:] = 0
    machine.params[f"{name}/{last}/bias"][units:] = value
