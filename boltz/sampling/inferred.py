"""Codes, inferred labels and samples of adversarial autoencoders (Makhzani et al. 2016, sections 4 to 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host, numbers
from boltz.errors import InputError
from boltz.models.files import checked_machine, outside, visible_rows
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import Game
from boltz.nn.arena import Part, Tape
from boltz.nn.factors import Place
from boltz.nn.labelled import Labelled
from boltz.parallel import shares, workers
from boltz.rng import Key
from boltz.sampling.coding import Coder

Array = NDArray[Any]
TOGETHER = 4096  # rows in memory at a time


def label_probabilities(model: Any, x: Any) -> Array:
    """Probabilities (rows, labels) of the labels that an adversarial autoencoder infers of rows x (rows, units).

    The most probable one is the class of a machine that was taught labels, and the cluster of one that was not. Raises
    InputError for a machine that infers no labels.
    """
    machine, game = playing(model)
    if not game.inferred:
        raise InputError("model must infer labels: build it with labels='inferred' or clusters=....")
    rows, found = visible_rows(machine, x), []
    with workers(machine.arena) as pool:
        for first in range(0, len(rows), TOGETHER):
            some, tape, coder = rows[first : first + TOGETHER], Tape(machine.arena), Coder(machine)
            coder.hear(tape, some, Key(0, 0), 0, 0.0)
            pool.map(coder.encode, coder.parts(tape, len(some)))
            found.append(host(coder.shares(tape, len(some))).copy())
    return np.concatenate(found)


def samples_with_labels(model: Any, labels: Any, style: Any = None, seed: int = 0) -> Array:
    """Visible means (rows, units) of an adversarial autoencoder for labels (rows,), whole numbers from 0.

    style holds codes (rows, units of the code), such as those of boltz.features of other rows, so that their style is
    given to these labels; None draws codes from the prior by seed. Raises InputError, as where no decoder hears labels.
    """
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
        key = Key.from_seed(seed).derive("style")
        place = Place("prior", machine.params, part)
        machine.factors[layer.name].draw(place, code, key.stream(0), numbers(0, count, code))
    else:
        code[...] = checks.array(style, "style", (count, layer.units), machine.dtype, machine.arena)
    place = Place(f"generative/{machine.visible}", machine.params, part, "code")
    value, _ = factor.outputs(place, wanted.astype(np.int64))
    return outside(machine, host(factor.conditional.mean(value, factor.net.bias(place.name, machine.params))))


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
