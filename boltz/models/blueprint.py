"""What a machine is before it has parameters: its kind, its layers, and a fresh or restored machine of it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.graph import Graph
from boltz.models.helmholtz import HelmholtzMachine, Structure
from boltz.models.scaling import Scaling

Array = NDArray[Any]
Blueprint = Graph | Structure


def blueprint(model: Model) -> Blueprint:
    """What a machine is apart from its parameters."""
    return model.graph if isinstance(model, BoltzmannMachine) else model.structure


def build(plan: Blueprint, arena: Array, scaling: Scaling | None = None, levels: int | None = None) -> Model:
    """The machine of a blueprint with these parameters, with the units of Gaussian visible ones, and its levels."""
    if isinstance(plan, Graph):
        return BoltzmannMachine(plan, arena, levels=levels)
    return HelmholtzMachine(plan, arena, scaling=scaling, levels=levels)


def kind_of(plan: Blueprint) -> str:
    """The name of the machine of a blueprint: rbm, dbm, dbn, sbn, vae, or helmholtz where hidden layers are mixed."""
    return plan.kind
