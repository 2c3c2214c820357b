"""Samples of any machine, all layers at once."""

from __future__ import annotations

from typing import Any

from boltz import checks
from boltz.models.boltzmann import State
from boltz.models.files import Model, checked_machine
from boltz.sampling.decoding import means_of
from boltz.sampling.drawing import drawing_of
from boltz.sampling.states import States


def sample(
    model: Model,
    chains: int = 1000,
    sweeps: int | None = None,
    seed: int = 0,
    start: State | str | None = None,
    data: Any = None,
    means: bool = False,
) -> States:
    """Draw states of all layers, layer -> (chains, units).

    A BoltzmannMachine runs block Gibbs chains for so many sweeps (default 1,000) from start and data, as in
    gibbs.sample. To go on from states, give each call a seed of its own: the same seed has the same random numbers,
    and a UserWarning says so where they drew the start:

        state = boltz.sample(model, seed=0)
        for i in range(1, 10):
            state = boltz.sample(model, start=state, sweeps=100, seed=i)

    A HelmholtzMachine draws exactly from its prior and downwards, except that an RBM prior is itself run for so many
    sweeps; sweeps, start and data mean nothing to the others and are refused. Gaussian visible units are in
    the units of the data, a constant column at its value. means=True gives the visible units at their means given the
    hidden layers that were drawn, in the place of a draw of their own; pictures of samples show these. Results do not
    depend on the number of threads, and are numpy arrays also of a model on a device. Raises InputError, and
    NumericalError for an overflow.
    """
    model, means = checked_machine(model, any_units=True, any_graph=True, any_factors=True), checks.flag(means, "means")
    found = drawing_of(model).states(model, chains, sweeps, seed, start, data)
    if means:
        rows, first = means_of(model.to("cpu"), found), 0
        for layer in model.visible_layers:
            found[layer.name] = rows[:, first : first + layer.units]
            first += layer.units
    return found
