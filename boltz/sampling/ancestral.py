"""Ancestral sampling of Helmholtz machines: the prior, then each layer given the one above."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import host, numbers
from boltz.errors import InputError, NumericalError
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.models.files import Model, checked_machine, outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import forward
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling import gibbs
from boltz.sampling.decoding import means_of
from boltz.sampling.states import States

Array = NDArray[Any]
Rows = NDArray[np.int64]
SWEEPS = 1000


def sample(
    model: Model,
    chains: int = 1000,
    sweeps: int | None = None,
    seed: int = 0,
    start: State | str | None = None,
    data: Any = None,
    means: bool = False,
) -> States:
    """Draw states of all layers, layer -> (chains, units).

    A BoltzmannMachine runs block Gibbs chains for so many sweeps (default 1,000) from start and data, as in
    gibbs.sample. To go on from states, give each call a seed of its own: the same seed has the same random numbers,
    and a UserWarning says so where they drew the start:

        state = boltz.sample(model, seed=0)
        for i in range(1, 10):
            state = boltz.sample(model, start=state, sweeps=100, seed=i)

    A HelmholtzMachine draws exactly from its prior and downwards, except that an RBM prior is itself run for so many
    sweeps; sweeps, start and data mean nothing to the others and are refused. Gaussian visible units are in
    the units of the data, a constant column at its value. means=True gives the visible units at their means given the
    hidden layers that were drawn, in the place of a draw of their own; pictures of samples show these. Results do not
    depend on the number of threads, and are numpy arrays also of a model on a device. Raises InputError, and
    NumericalError for an overflow.
    """
    model, means = checked_machine(model), checks.flag(means, "means")
    if isinstance(model, BoltzmannMachine):
        found = gibbs.sample(model, chains, SWEEPS if sweeps is None else sweeps, seed, start, data)
    else:
        found = _from_prior(model, chains, sweeps, seed, start, data)
    if means:
        found[model.visible] = means_of(model.to("cpu"), found)
    return found


def _from_prior(model: HelmholtzMachine, chains: Any, sweeps: Any, seed: Any, start: Any, data: Any) -> States:
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
    """Fill the topmost drawn layer of a factorial prior, each row by its number as chain."""
    top = machine.structure.latent[-1]
    state, stream = part.get(f"state/{top.name}", top.units), key.derive("prior").stream(step)
    if top.kind == "gaussian":
        kernels.normal(stream, _numbers(part), state)
    else:
        inputs = np.zeros_like(state)
        kernels.bernoulli_sample(inputs, 1.0, machine.params["prior/bias"], stream, part.rows.start, state)


def descend(machine: HelmholtzMachine, part: Part, key: Key, step: int) -> None:
    """Fill the layers below the topmost drawn one, downwards; each row's number is its chain."""
    pairs = list(zip(machine.layers, machine.structure.latent, strict=False))
    for child, parent in reversed(pairs):
        net, name = machine.structure.generative[child.name], f"generative/{child.name}"
        field, _ = forward(net, name, machine.params, f"state/{parent.name}", part)
        state, offset = (part.get(f"{kind}/{child.name}", child.units) for kind in ("state", "offset"))
        head, stream = (field, net.bias(name, machine.params)), key.derive("ancestral", child.name).stream(step)
        machine.conditionals[child.name].sample(head, stream, _numbers(part), state, offset)


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
