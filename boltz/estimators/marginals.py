"""How log p*(v) of each class of machine is measured: the table of log-marginals.

A further class of machine is one row more in MARGINALS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from boltz.estimators import closed_forms, coin_chains, known_units, simulated, unknown_units
from boltz.estimators.closed_forms import Found
from boltz.estimators.coin_chains import Ends
from boltz.estimators.estimate import Estimate
from boltz.estimators.log_weights import WeighRows, mean_field_weights, recognition_weights
from boltz.estimators.unknown_units import Known
from boltz.models.blueprint import row_of
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.rng import Key
from boltz.sampling.annealing import Chains, Path
from boltz.sampling.evidence import Evidence
from boltz.sampling.hmc import StepSizes, hamiltonian_path
from boltz.sampling.posterior_paths import mean_field_path
from boltz.sampling.single_site import scan_path

Array = NDArray[Any]
Rows = NDArray[np.int64]
M = TypeVar("M")


@dataclass(frozen=True)
class Marginal(Generic[M]):
    """How log p*(v) of machines of one class is measured, for checked visible rows (rows, units).

    closed(machine, rows): without samples, None where there is no such way.
    rows, weights(machine): rows a block, and what weighs importance samples of such a block.
    annealed(machine, rows, chains, first, key, sizes): the path to the posterior of rows, the first of which is number
        first, with step sizes where chains move by steps, and exact draws at its start.
    simulated(machine, rows, key): exact draws of all layers.
    coin_chains(machine), coin_ends(machine, rows, chosen, chains, key): the second look at importance samples.
    known(machine, evidence, samples, log_z, seed): log p* of the known part of rows that each have some unknown units.
    """

    closed: Callable[[M, Array], Found | None]
    rows: int
    weights: Callable[[M], WeighRows]
    annealed: Callable[[M, Array, int, int, Key, StepSizes], tuple[Path, Chains]]
    simulated: Callable[[M, int, Key], Chains]
    coin_chains: Callable[[M], int]
    coin_ends: Callable[[M, Array, Rows, int, Key], Ends]
    known: Callable[[M, Evidence, int, Estimate, int], Known]


def _from_mean_field(
    machine: BoltzmannMachine, rows: Array, chains: int, first: int, key: Key, _: StepSizes
) -> tuple[Path, Chains]:
    path = mean_field_path(machine, rows, chains, first)
    return path, path.sample_start(key)


def _from_recognition(
    machine: HelmholtzMachine, rows: Array, chains: int, first: int, key: Key, sizes: StepSizes
) -> tuple[Path, Chains]:
    """Scans of single units where hidden layers are binary, Hamiltonian Monte Carlo where they are Gaussian."""
    if machine.binary_hidden:
        return scan_path(machine, rows, chains, first, key)
    path, state = hamiltonian_path(machine, rows, chains, first, key)
    return replace(path, sizes=sizes), state


MARGINALS: dict[type[Any], Marginal[Any]] = {
    BoltzmannMachine: Marginal[BoltzmannMachine](
        closed=closed_forms.of_boltzmann,
        rows=256,
        weights=mean_field_weights,
        annealed=_from_mean_field,
        simulated=simulated.from_boltzmann,
        coin_chains=coin_chains.chains_of_boltzmann,
        coin_ends=coin_chains.ends_of_boltzmann,
        known=unknown_units.log_known,
    ),
    HelmholtzMachine: Marginal[HelmholtzMachine](
        closed=closed_forms.of_helmholtz,
        rows=16,
        weights=recognition_weights,
        annealed=_from_recognition,
        simulated=simulated.from_helmholtz,
        coin_chains=coin_chains.chains_of_helmholtz,
        coin_ends=coin_chains.ends_of_helmholtz,
        known=known_units.log_known,
    ),
}


def marginal_of(model: Model) -> Marginal[Any]:
    """How log p*(v) of a machine is measured."""
    return row_of(MARGINALS, model)
