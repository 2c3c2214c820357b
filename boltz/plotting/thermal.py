"""A picture of thermal averages: observables against temperature, with 95 % intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.observables import Observables
from boltz.plotting.results import blank

PANELS = {
    "energy": "energy a unit",
    "heat_capacity": "heat capacity a unit",
    "entropy": "entropy a unit (nats)",
    "absolute_magnetisation": "mean |m|",
    "absolute_susceptibility": "susceptibility (of |m|)",
    "binder": "Binder cumulant",
}
BY_UNIT = ("energy", "heat_capacity", "entropy")


def plot_observables(result: Any) -> Figure:
    """A figure of what boltz.observables returns: six observables against temperature, each with its 95 % interval.

    The title says whether the errors are to be trusted. Raises InputError.
    """
    if not isinstance(result, Observables):
        raise InputError(f"result must be what boltz.observables returns, got {checks.brief(result)}.")
    order = np.argsort(result.temperatures)
    figure = blank((11, 6))
    for axes, (name, title) in zip(figure.subplots(2, 3).ravel(), PANELS.items(), strict=True):
        by = result.units if name in BY_UNIT else 1
        value = getattr(result, name)[order] / by
        reach = (result.interval(name)[order, 1] / by) - value
        axes.errorbar(result.temperatures[order], value, reach, color="C0", marker=".", linewidth=1.3, ecolor="0.4")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("temperature")
        axes.grid(alpha=0.3)
    trust = "trusted" if result.trusted else "NOT trusted"
    figure.suptitle(f"{result.units:,} units, {trust}, 95 % intervals", fontsize=11)
    return figure
