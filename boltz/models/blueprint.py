"""What a machine is before it has parameters, and a fresh or restored machine of it."""

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


def build(plan: Blueprint, arena: Array, scaling: Scaling | None = None, levels: int | None = None) -> Model:
    """The machine of a blueprint with these parameters, with the units of Gaussian visible ones, and its levels."""
    if isinstance(plan, Graph):
        return BoltzmannMachine(plan, arena, levels=levels)
    return HelmholtzMachine(plan, arena, scaling=scaling, levels=levels)
