"""Builders of machines whose likelihood is exact: one autoregressive factor over the visible units, nothing hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from boltz import checks
from boltz.models.builders import machine_of_structure
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine, Structure
from boltz.nn.factors import Factor
from boltz.nn.nade import Nade

MOST_UNITS = 10**7


def nade(
    units: int,
    hidden: int = 500,
    x: Any = None,
    seed: int = 0,
    activation: str = "sigmoid",
    order: Sequence[int] = (),
) -> HelmholtzMachine:
    """NADE (Larochelle & Murray 2011): binary units, each given those before it, so that the likelihood is exact.

    order names the units as they are visited; () is 0, 1, 2 and so on. Weights are uniform as in Glorot & Bengio
    (2010), biases 0; with x (rows, units) those of the units fit its mean. Raises InputError.
    """
    units = checks.integer(units, "units", 1, MOST_UNITS)
    hidden = checks.integer(hidden, "hidden", 1, MOST_UNITS)
    listed = tuple(checks.integer(i, "order", 0, units - 1) for i in checks.sequence(order, "order", units))
    return tractable(Nade(units, hidden, 0, activation, listed), x, seed)


def tractable(factor: Factor, x: Any, seed: int) -> HelmholtzMachine:
    """The machine without hidden layers of a factor that is given nothing."""
    structure = Structure((Layer("v", factor.units, factor.kinds[0]),), (), factors=(("v", factor),))
    return machine_of_structure(structure, x, seed)
