"""What a machine is before it has parameters, a machine of it, and tables with a row for each class of machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, layers_from, structure_from
from boltz.models.graph import Edge, Graph
from boltz.models.helmholtz import HelmholtzMachine, Structure
from boltz.models.scaling import Scaling
from boltz.units import kind_of

Array = NDArray[Any]
Blueprint = Graph | Structure
Row = TypeVar("Row")


def build(plan: Blueprint, arena: Array, scaling: Scaling | None = None, levels: int | None = None) -> Model:
    """The machine of a blueprint with these parameters, with the units of Gaussian visible ones, and its levels."""
    if isinstance(plan, Graph):
        return BoltzmannMachine(plan, arena, levels=levels, scaling=scaling)
    return HelmholtzMachine(plan, arena, scaling=scaling, levels=levels)


def row_of(table: Mapping[type[Any], Row], model: Model) -> Row:
    """The row of a machine in a table keyed by class; raises InputError where its class has none."""
    for each in type(model).__mro__:
        if each in table:
            return table[each]
    raise InputError(f"model must be of a class that this is known for, got {type(model).__name__}.")


def plan_from(entry: Mapping[str, Any]) -> Blueprint:
    """A plan from plain values; raises KeyError, TypeError, ValueError or InputError."""
    if "structure" in entry:
        return structure_from(entry["structure"])
    if "layers" in entry:
        layers = layers_from(entry["layers"])
        views = checks.integer(entry["views"], "views", 1, len(layers))
        edges = tuple(Edge(str(lower), str(upper)) for lower, upper in entry["edges"])
        return Graph(layers, edges, tuple(layer.name for layer in layers[:views]))
    kinds = entry["kinds"] if "kinds" in entry else entry["kind"]
    kinds = kinds if isinstance(kinds, str) else [kind_of(kind, "kinds") for kind in kinds]
    return Graph.chain([checks.integer(n, "units", 1, 10**7) for n in entry["units"]], kinds)
