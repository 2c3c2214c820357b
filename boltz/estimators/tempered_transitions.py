"""Chains by tempered transitions, for machines whose modes block Gibbs sampling never leaves (Neal 1996)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.estimators.bases import chosen
from boltz.models.boltzmann import BoltzmannMachine, State, affordable_chains, checked_model
from boltz.sampling.annealing import anneal
from boltz.sampling.base_rate import held_states
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.inputs import Scratch
from boltz.sampling.states import States, warn_of_same_numbers
from boltz.sampling.tempered_transitions import tempered_transition

Array = NDArray[Any]


def tempered_transitions(
    model: BoltzmannMachine,
    start: State | int = 100,
    transitions: int = 10,
    betas: Any = 100,
    seed: int = 0,
    base: Any = None,
) -> tuple[States, float]:
    """States of all layers, layer -> (chains, units), after tempered transitions, and the share that was accepted.

    start: a number of chains, which begin at the base-rate model, or states of at least the smaller colour class. Each
    transition climbs all temperatures and comes down again; then the smaller colour class is turned round and single
    units are flipped (sampling.flips), and a Gibbs sweep follows. betas as in schedule: so many that a good share is
    accepted. base as in base_rates: best rates of data, which know of all modes, since a base-rate
    model of one mode seldom finds another. To go on from states, give each call a seed of its own, as in boltz.sample.
    Results do not depend on the number of threads. Raises InputError, and
    NumericalError for an overflow.
    """
    model = checked_model(model)
    transitions = checks.integer(transitions, "transitions", 1, checks.MOST_STEPS)
    chains = 0 if isinstance(start, Mapping) else affordable_chains(model, start, "start")
    base_model, key = chosen(model, betas, seed, base)
    path, values, key = base_model.path, base_model.betas, key.derive("tempered")
    warn_of_same_numbers(start, key, 3)
    state = held_states(path, start) if isinstance(start, Mapping) else path.density.sample_start(key, chains)
    accepted, flips = 0.0, Flips(path.machine, path.turned)
    for i in range(transitions):
        accepted += float(tempered_transition(path, state, values, key.derive(i)).mean()) / transitions
        held = {n: state[n] for n in path.density.held}
        flips.move(held, 1.0, path.machine.bias, Moment(key.derive("flip"), i), Scratch(path.machine.arena))
        anneal(path, state, np.ones(2), key.derive("sweep", i))
    return States({layer: host(x) for layer, x in state.items()}, key), accepted
