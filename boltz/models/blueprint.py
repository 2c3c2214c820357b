"""What a machine is before it has parameters, a machine of it, and tables with a row for each class of machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from boltz import checks
from boltz.errors import FileError, InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import NO_TENSORS, Model, Tensors, plan_of, structure_from
from boltz.models.graph import Graph
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.scaling import Scaling
from boltz.models.structure import Structure
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


def plan_from(entry: Mapping[str, Any], pairs: Tensors = NO_TENSORS, source: str = "") -> Blueprint:
    """A plan from plain values; pairs from the file source are those of its sparse edges, by name.

    Raises KeyError, TypeError, ValueError or InputError.
    """
    if "structure" in entry:
        return structure_from(entry["structure"])
    if "layers" in entry:
        plan = plan_of(entry, pairs, source)
        if plan.marks != entry.get("couplings", []):
            raise FileError(f"{source} must hold the couplings of the run, got others")
        return plan
    kinds = entry["kinds"] if "kinds" in entry else entry["kind"]
    kinds = kinds if isinstance(kinds, str) else [kind_of(kind, "kinds") for kind in kinds]
    return Graph.chain([checks.integer(n, "units", 1, 10**7) for n in entry["units"]], kinds)
