"""How the hidden units of each class of machine are inferred: the table of posteriors.

A further class of machine is one row more in INFERENCE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from boltz.models.blueprint import row_of
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.rng import Key
from boltz.sampling.clamped import posterior
from boltz.sampling.evidence import Evidence
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import FIXED, mean_field, solve
from boltz.sampling.passes import means_above_draws, recognised_means, up_and_down

Array = NDArray[Any]
M = TypeVar("M")


@dataclass(frozen=True)
class Inference(Generic[M]):
    """How hidden units of machines of one class are inferred, given checked visible rows (rows, units).

    hidden_means(machine, rows): means (rows, units) by layer of one block, none of which depends on another row.
    filled(machine, evidence): rows with their unknown units at means given the known ones.
    posterior_means(machine, rows, key): means (rows, units) by layer as exact as there are.
    """

    hidden_means: Callable[[M, Array], dict[str, Array]]
    filled: Callable[[M, Evidence], Array]
    posterior_means: Callable[[M, Array, Key], dict[str, Array]]


def _fixed_sweeps(machine: BoltzmannMachine, rows: Array) -> dict[str, Array]:
    return solve(machine, machine.evidence(rows), FIXED, Scratch(machine.arena))


def _filled(machine: BoltzmannMachine, evidence: Evidence) -> Array:
    return machine.rows(posterior(machine, evidence))


def _mean_field(machine: BoltzmannMachine, rows: Array, _: Key) -> dict[str, Array]:
    return mean_field(machine, rows)


INFERENCE: dict[type[Any], Inference[Any]] = {
    BoltzmannMachine: Inference[BoltzmannMachine](_fixed_sweeps, _filled, _mean_field),
    HelmholtzMachine: Inference[HelmholtzMachine](recognised_means, up_and_down, means_above_draws),
}


def inference_of(model: Model) -> Inference[Any]:
    """How the hidden units of a machine are inferred."""
    return row_of(INFERENCE, model)
