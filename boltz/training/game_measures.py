"""What is recorded of an adversarial autoencoder after an epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host, numbers
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape, zeros
from boltz.nn.factors import Place
from boltz.nn.labelled import Labelled
from boltz.rng import Key
from boltz.sampling.inferred import coded
from boltz.sampling.two_samples import tested

Array = NDArray[Any]
Floats = NDArray[np.float64]
PERMUTATIONS = 100


def measures(machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
    """The mean log-likelihood of training rows given their codes, its gap to held-out rows (nats a row), and the kernel
    distance of codes of all these rows to as many draws of the prior, with its p-value.

    Where the decoder hears labels that are known, these are summed out.
    """
    found, code = reconstructed(machine, train, key)
    gap, codes = None, code
    if len(held_out):
        others, more = reconstructed(machine, held_out, key)
        gap, codes = float(found.mean() - others.mean()), np.concatenate([code, more])
    distance = against_prior(machine, codes, key) if len(codes) > 1 else None
    return {
        "reconstruction": float(found.mean()),
        "reconstruction_gap": gap,
        "code_distance": None if distance is None else distance.distance,
        "code_p_value": None if distance is None else distance.p_value,
    }


def reconstructed(machine: HelmholtzMachine, rows: Array, key: Key) -> tuple[Floats, Array]:
    """log p(v | code) (rows,) in nats, and the codes (rows, units)."""
    coder, tape = coded(machine, rows, key)
    name, whole, code = f"generative/{machine.visible}", tape.whole(len(rows)), host(coder.codes(tape, len(rows)))
    net, factor, source = machine.structure.generative[machine.visible], machine.factors[machine.visible], coder.code
    if isinstance(factor, Labelled) and not coder.game.inferred:
        return factor.score(coder.place(name, whole), rows).log_density, code.copy()
    if isinstance(factor, Labelled):
        source = factor.hear(coder.place(name, whole), coder.shares(tape, len(rows)))
    value, _ = net.forward(name, machine.params, source, whole)
    found = zeros(value)
    machine.conditionals[machine.visible].score(value, net.bias(name, machine.params), rows, found)
    return host(found), code.copy()


def prior_draws(machine: HelmholtzMachine, count: int, key: Key) -> Array:
    """Draws (count, units) of the prior of codes."""
    layer = machine.hidden_layers[0]
    state = np.empty((count, layer.units), machine.dtype)
    place = Place("prior", machine.params, Tape(machine.arena).whole(count))
    machine.factors[layer.name].draw(place, state, key.derive("prior").stream(0), numbers(0, count, state))
    return state


def against_prior(machine: HelmholtzMachine, codes: Array, key: Key, permutations: int = PERMUTATIONS) -> Any:
    """The two-sample test of codes (rows, units) against as many draws of the prior."""
    draws = prior_draws(machine, len(codes), key)
    generator = key.derive("permutations").generator()
    return tested(codes.astype(np.float64), draws.astype(np.float64), permutations, generator)
