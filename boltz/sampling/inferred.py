"""Codes, inferred labels and samples of adversarial autoencoders (Makhzani et al. 2016, sections 4 to 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host, numbers
from boltz.errors import InputError
from boltz.models.files import Model, checked_machine, means_known, outside, visible_rows
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import Game
from boltz.nn.arena import Part, Tape
from boltz.nn.code_priors import Box, Points
from boltz.nn.factors import Place
from boltz.nn.labelled import Labelled
from boltz.parallel import ALONE, padded, shares, workers
from boltz.rng import Key
from boltz.sampling.coding import Coder
from boltz.sampling.features import side_by_side
from boltz.sampling.sample import sample

Array = NDArray[Any]
TOGETHER = 4096  # rows in memory at a time
NONE_INFERRED = "model must infer labels: build it with labels='inferred' or clusters=...."


def label_probabilities(model: Any, x: Any) -> Array:
    """Probabilities (rows, labels) of the labels that an adversarial autoencoder infers of rows x (rows, units).

    The most probable one is the class of a machine that was taught labels, and the cluster of one that was not. name is
    what errors call x. Raises InputError for a machine that infers no labels.
    """
    return probabilities_of(model, x, "x")


def probabilities_of(model: Any, x: Any, name: str) -> Array:
    """As label_probabilities; name is what errors call x."""
    machine, game = playing(model)
    if not game.inferred:
        raise InputError(NONE_INFERRED)
    return label_shares(machine, visible_rows(machine, x, name))


def label_shares(machine: HelmholtzMachine, rows: Array) -> Array:
    """As label_probabilities, of checked rows; those of a row do not depend on the others."""
    found = []
    with workers(machine.arena) as pool:
        for first in range(0, len(rows), TOGETHER):
            some, tape, coder = rows[first : first + TOGETHER], Tape(machine.arena), Coder(machine)
            whole = padded(some)
            coder.hear(tape, whole, None, 0, 0.0)
            pool.map(coder.encode, coder.parts(tape, len(whole)))
            found.append(host(coder.shares(tape, len(whole)))[: len(some)].copy())
    return np.concatenate(found)


def label_units(model: Any) -> list[tuple[str, int]]:
    """The name and the number of the labels that a machine infers; raises InputError where it infers none."""
    _, game = playing(model)
    if not game.inferred:
        raise InputError(NONE_INFERRED)
    return [("labels", game.labels)]


def embedding(model: Any, x: Any) -> Array:
    """What the decoder of an adversarial autoencoder hears of rows x (rows, units) as it is trained, (rows, numbers).

    Of a machine with embed these are points in the space of the code: the code, plus the heads of the inferred labels,
    weighted by the probabilities of these (Makhzani et al. 2016, section 7). Without embed the probabilities stand
    beside the code. Where no labels are inferred this is boltz.features. Raises InputError.
    """
    machine, _ = playing(model)
    return embedded(machine, visible_rows(machine, x))


def embedded(machine: HelmholtzMachine, rows: Array) -> Array:
    """As embedding, of checked rows."""
    game, layer = machine.structure.game, machine.hidden_layers[0].name
    assert game is not None
    code = host(side_by_side(machine, rows, [layer]))
    if not game.inferred:
        return code
    shares_of = label_shares(machine, rows)
    heads = heads_of(machine)
    found: Array = np.concatenate([code, shares_of], axis=1) if heads is None else code + shares_of @ heads
    return found


def heads_of(machine: HelmholtzMachine) -> Array | None:
    """The points (labels, units of the code) of inferred labels, None where a machine does not place them."""
    game = machine.structure.game
    assert game is not None
    return host(machine.params[f"generative/{machine.visible}/heads"]) if game.embed else None


def coded(machine: HelmholtzMachine, rows: Array, key: Key) -> tuple[Coder, Tape]:
    """A tape with the codes of rows (rows, units), drawn by a key where they are, and their inferred labels, if any."""
    coder, tape = Coder(machine), Tape(machine.arena)
    coder.hear(tape, rows, key.derive("codes"), 0, 0.0)
    ALONE.map(coder.encode, coder.parts(tape, len(rows)))
    return coder, tape


def decoded_embedding(machine: HelmholtzMachine, points: Array) -> Array:
    """Visible means (rows, units) in the units of the data for points as embedding gives them."""
    name, tape = f"generative/{machine.visible}", Tape(machine.arena)
    net, whole = machine.structure.generative[machine.visible], padded(points)
    tape.get("points", *whole.shape)[...] = whole

    def work(rows: slice) -> Array:
        value, _ = net.forward(name, machine.params, "points", Part(tape, rows, len(whole)))
        return machine.conditionals[machine.visible].mean(value, net.bias(name, machine.params))

    with workers(machine.arena) as pool:
        found = np.concatenate(pool.map(work, shares(len(whole), machine.arena)))
    return outside(machine, host(found)[: len(points)])


def samples_with_labels(model: Any, labels: Any, style: Any = None, seed: int = 0) -> Array:
    """Visible means (rows, units) of an adversarial autoencoder for labels (rows,), whole numbers from 0.

    style holds codes (rows, units of the code), such as those of boltz.features of other rows, so that their style is
    given to these labels; None draws codes from the prior by seed. Raises InputError, as where no decoder hears labels.
    """
    key = Key.from_seed(seed).derive("style")
    machine, game = playing(model)
    factor = machine.factors[machine.visible]
    if not isinstance(factor, Labelled):
        raise InputError("model must have a decoder that hears labels: build it with labels='decoder' or 'inferred'.")
    wanted = checks.numbers(labels, "labels", (None,))
    whole = wanted.dtype.kind in "iu" and (wanted.size == 0 or 0 <= wanted.min() <= wanted.max() < game.labels)
    if not whole:
        raise InputError(f"labels must be whole numbers from 0 to {game.labels - 1}, got {checks.brief(labels)}.")
    layer, count = machine.hidden_layers[0], len(wanted)
    part = Tape(machine.arena).whole(count)
    code = part.get("code", layer.units)
    if style is None:
        place = Place("prior", machine.params, part)
        machine.factors[layer.name].draw(place, code, key.stream(0), numbers(0, count, code))
    else:
        code[...] = checks.array(style, "style", (count, layer.units), machine.dtype, machine.arena)
    place = Place(f"generative/{machine.visible}", machine.params, part, "code")
    value, _ = factor.outputs(place, wanted.astype(np.int64))
    return outside(machine, host(factor.conditional.mean(value, factor.net.bias(place.name, machine.params))))


def visible_draws(model: Model, count: int, seed: int) -> Array:
    """Visible means (count, units) given hidden units that were drawn by seed, in the units of the data, or visible
    units that were drawn where these hear each other. A decoder that hears labels hears one for each.
    """
    own = model.directed
    factor = None if own is None else own.factors.get(own.visible)
    if isinstance(factor, Labelled):
        labels = Key.from_seed(seed).derive("labels").generator().integers(0, factor.labels, count)
        return samples_with_labels(model, labels, seed=seed)
    found = sample(model, count, seed=seed, means=means_known(model))
    return np.concatenate([found[layer.name] for layer in model.visible_layers], axis=1)


def density_known(model: Model) -> bool:
    """Whether the prior of codes has a density wherever codes may lie, without which there are no likelihoods."""
    own = model.directed
    return own is None or not any(isinstance(factor, Points | Box) for factor in own.factors.values())


def decoded(machine: HelmholtzMachine, code: Array, shares_of: Array | None) -> Array:
    """Outputs (rows, outputs) of the decoder with their bias for codes and shares of labels, in float64."""
    name, tape = f"generative/{machine.visible}", Tape(machine.arena)
    net, factor = machine.structure.generative[machine.visible], machine.factors[machine.visible]
    tape.get("code", *code.shape)[...] = code

    def work(rows: slice) -> Array:
        part, source = Part(tape, rows, len(code)), "code"
        if isinstance(factor, Labelled):
            assert shares_of is not None
            source = factor.hear(Place(name, machine.params, part, source), shares_of[rows])
        value, _ = net.forward(name, machine.params, source, part)
        return host(value).astype(np.float64) + host(net.bias(name, machine.params))

    with workers(machine.arena) as pool:
        return np.concatenate(pool.map(work, shares(len(code), machine.arena)))


def playing(model: Any) -> tuple[HelmholtzMachine, Game]:
    """An adversarial autoencoder and its game; raises InputError for another machine."""
    found = checked_machine(model)
    game = None if found.directed is None else found.directed.structure.game
    if game is None or found.directed is None:
        raise InputError(f"model must be an adversarial autoencoder, of boltz.aae, got one of kind {found.kind}.")
    return found.directed, game
