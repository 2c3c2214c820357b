"""Chains annealed to p(h | v) from fair coins, which know nothing of the q that importance samples come from."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside
from boltz.estimators.log_weights import weigher
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import size
from boltz.rng import Key
from boltz.sampling.annealing import anneal
from boltz.sampling.gibbs import turned_weights
from boltz.sampling.mixtures import mixture_of, stacked
from boltz.sampling.posterior_paths import MeanFieldPath
from boltz.sampling.single_site import scan_path

Array = NDArray[Any]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Ends = tuple[Floats, Floats, Floats, Mapping[str, Array]]
CHAINS, FEWEST, STEPS = 1024, 4, 20  # chains for all rows and for each, temperatures
WORK = 3e8  # pairs of units that chains of a belief net go through: seconds
BETAS = np.linspace(0, 1, STEPS + 1)


def chains_of_boltzmann(_: BoltzmannMachine) -> int:
    """How many chains there are for all rows together."""
    return CHAINS


def chains_of_helmholtz(model: HelmholtzMachine) -> int:
    """The same: fewer for a large belief net, whose units are drawn in turn."""
    own = model.structure.own
    pairs = [below.units * above.units for below, above in pairwise(model.layers) if below.name not in own]
    flips = [(factor.units + factor.given) * size(factor.shapes(layer)) for layer, factor in own.items()]
    return int(np.clip(WORK / (STEPS * (sum(pairs) + sum(flips))), 8 * FEWEST, CHAINS))


def ends_of_boltzmann(model: BoltzmannMachine, x: Array, chosen: Rows, chains: int, root: Key) -> Ends:
    """log p*(v, h), log q(h | v) and log-weights of annealing (rows * chains,), and the states, all drawn layers.

    The chains, so many a row, are of chosen rows of x (rows, units). q is that of the samples, so it has their key and
    the numbers of their rows.
    """
    rows, key = x[beside(chosen, x)], root.derive("look")
    repeated = np.repeat(rows, chains, axis=0)
    coins = coin_path(model, repeated)
    state = coins.sample_start(key)
    log_a = anneal(coins, state, BETAS, key).log_weights
    each = [mixture_of(model, x[i : i + 1], int(i), root.derive("importance")) for i in chosen]
    q = stacked(each)
    state = {n: state[n] for n in coins.held}
    log_p = weigher(model, repeated, turned_weights(model)).log_density(state)
    return log_p, q.repeated(chains).log_density(state), log_a, state


def ends_of_helmholtz(model: HelmholtzMachine, x: Array, chosen: Rows, chains: int, root: Key) -> Ends:
    """The same, of a machine with binary hidden layers."""
    rows, key = x[beside(chosen, x)], root.derive("look")
    path, state = scan_path(silent(model), rows, chains, 0, key)
    log_a = anneal(path, state, BETAS, key).log_weights
    told = scan_path(model, rows, chains, 0, key)[0]
    return *told.terms(state, 0), log_a, state


def coin_path(machine: BoltzmannMachine, rows: Array) -> MeanFieldPath:
    """From fair coins to the posterior of rows (chains, units), a chain each."""
    v = machine.evidence(rows)
    start = {n: machine.zeros(len(rows), n) for n in machine.graph.hidden}
    change = {n: machine.field(n, v) for n in machine.graph.hidden}
    return MeanFieldPath(machine, start, change, -machine.marginal_energy(v, ()))


def silent(machine: HelmholtzMachine) -> HelmholtzMachine:
    """The machine with a recognition model that says nothing: fair coins."""
    other = machine.astype(machine.dtype)
    for name, values in other.params.items():
        if name.startswith("recognition/"):
            values[...] = 0
    return other
