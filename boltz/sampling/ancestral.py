"""Ancestral sampling of Helmholtz machines: the prior, then each layer given the one above."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host, numbers
from boltz.errors import InputError, NumericalError
from boltz.models.files import outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling import gibbs
from boltz.sampling.states import States

Array = NDArray[Any]
Rows = NDArray[np.int64]
SWEEPS = 1000


def from_prior(model: HelmholtzMachine, chains: Any, sweeps: Any, seed: Any, start: Any, data: Any) -> States:
    """As sample, of a HelmholtzMachine."""
    chains = checks.integer(chains, "chains", 1, 2**32)
    checks.affordable(chains, "chains", 4 * model.dtype.itemsize * sum(model.units.values()))
    seed = checks.seed(seed)
    if start is not None or data is not None:
        raise InputError("start belongs to the chains of a BoltzmannMachine; this machine is sampled from its prior.")
    if sweeps is not None and model.prior_machine is None:
        raise InputError("sweeps belong to Gibbs chains; samples of this machine are exact without them.")
    state = {layer: host(x) for layer, x in drawn(model, chains, seed, SWEEPS if sweeps is None else sweeps).items()}
    return States(state | {model.visible: outside(model, state[model.visible])}, gibbs.sampling_key(seed))


def drawn(model: HelmholtzMachine, chains: int, seed: int, sweeps: int = SWEEPS) -> dict[str, Array]:
    """As sample, of checked arguments: states where the model lives, visible ones in its own units."""
    key = Key.from_seed(seed).derive("sample")
    top = _prior_states(model, chains, sweeps, seed)
    tape = Tape(model.arena)
    state = {layer.name: tape.get(f"state/{layer.name}", chains, layer.units) for layer in model.layers}
    for name, x in top.items():
        state[name][...] = x
    if not top:
        draw_prior(model, tape.whole(chains), key, 0)
    with workers(model.arena) as pool:
        parts = blocks(chains, like=model.arena)
        pool.map(lambda rows: descend(model, Part(tape, rows, chains), key, 0), parts)
    for layer, x in state.items():
        if not np.isfinite(x).all():
            raise NumericalError(
                f"The states of layer {layer} are not finite: the weights are too large for their type."
            )
    return state


def draw_prior(machine: HelmholtzMachine, part: Part, key: Key, step: int) -> None:
    """Fill the topmost drawn layer of a machine without an RBM prior, each row by its number as chain."""
    top, above = machine.structure.chain[-1]
    state, stream = part.get(f"state/{top.name}", top.units), key.derive("prior").stream(step)
    machine.factors[top.name].draw(machine.place(top, above, part), state, stream, _numbers(part))


def descend(machine: HelmholtzMachine, part: Part, key: Key, step: int) -> None:
    """Fill the layers below the topmost drawn one, downwards; each row's number is its chain."""
    for child, parent in reversed(machine.structure.chain[:-1]):
        state, stream = part.get(f"state/{child.name}", child.units), key.derive("ancestral", child.name).stream(step)
        machine.factors[child.name].draw(machine.place(child, parent, part), state, stream, _numbers(part))


def _prior_states(machine: HelmholtzMachine, chains: int, sweeps: int, seed: int) -> dict[str, Array]:
    """States of the two layers of an RBM prior after Gibbs sweeps; nothing for a factorial prior."""
    if machine.prior_machine is None:
        return {}
    found = gibbs.sampled(
        machine.prior_machine, chains, checks.integer(sweeps, "sweeps", 0, checks.MOST_STEPS), seed, None
    )
    return dict(zip([layer.name for layer in machine.layers[-2:]], found.values(), strict=True))


def _numbers(part: Part) -> Rows:
    return numbers(part.rows.start, part.rows.stop, part.tape.like)
