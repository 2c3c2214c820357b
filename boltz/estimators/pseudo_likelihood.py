"""Pseudo-likelihood of data: the sum over visible units of log p(v_i | all other visible units) (Besag 1975)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.closed_forms import QUICK_HIDDEN, by_blocks, certain
from boltz.estimators.estimate import Estimate, Kind, exact
from boltz.estimators.exact import class_units, exact_log_marginal
from boltz.estimators.likelihood import of_rows
from boltz.models.boltzmann import BoltzmannMachine, checked_model, refuse_graph, refuse_views
from boltz.models.files import visible_rows
from boltz.numerics import logsumexp
from boltz.units.states import has_two, two_states

Array = NDArray[Any]
Floats = NDArray[np.float64]
METHOD: tuple[Kind, str] = ("exact", "pseudo-likelihood")


def pseudo_likelihood(model: BoltzmannMachine, x: Any) -> Estimate:
    """Mean over visible rows x (rows, units) of sum_i log p(v_i | v without i), in nats; per_row has one value a row.

    It needs no log Z, and is no bound of the log-likelihood. A machine without hidden units, whose visible ones are
    coupled to each other, may have categorical units. Any other has visible units of two states, and its hidden units
    are summed out exactly: in closed form for an RBM, by enumeration for a deeper machine with at most 14 units in the
    hidden layers next to the visible one. Rows that are not 0/1 are no states of binary units: their value has kind
    "none" and is not trusted. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    if len(model.layers) == 1:
        x = visible_rows(model, x)
        return of_rows(model, x, certain(by_blocks(model, x, _of_couplings)), 0, METHOD, exact(0.0, ""))
    refuse_views(model, "model")
    refuse_graph(model, "model")
    if not has_two(model.unit_type(model.visible)):
        raise InputError(
            f"pseudo_likelihood is for visible units of two states, but those of the model are {model.layers[0].kind}: "
            "use boltz.log_likelihood."
        )
    x = visible_rows(model, x)
    if model.independent_hidden:
        found = by_blocks(model, x, _of_rbm)
    else:
        units = class_units(model, model.graph.colours[1])
        if units > QUICK_HIDDEN:
            raise InputError(
                f"model must be an RBM, or have at most {QUICK_HIDDEN} units to enumerate in "
                f"{', '.join(model.graph.colours[1])}, got {units}: use boltz.log_likelihood."
            )
        found = _by_enumeration(model, x)
    return of_rows(model, x, certain(found), 0, METHOD, exact(0.0, ""))


def _others(model: BoltzmannMachine, rows: Array, unit: int) -> list[Array]:
    """Steps (rows,) of one visible unit to its other states: one for 0/1 rows, else to each of both."""
    low, high = two_states(model.unit_type(model.visible))
    column = rows[:, unit]
    if ((column == low) | (column == high)).all():
        return [low + high - 2 * column]
    return [low - column, high - column]


def _log_conditional(own: Floats, others: list[Floats]) -> Floats:
    """log p(v_i | rest) (rows,) from log p* of the row and of rows with another state of unit i."""
    terms = [own, *others] if len(others) == 1 else others
    found: Floats = own - logsumexp(np.stack(terms), axis=0)
    return found


def _of_couplings(_: BoltzmannMachine, wide: BoltzmannMachine, rows: Array) -> Floats:
    """Pseudo-likelihood (rows,) of a block of rows of a machine without hidden units: all conditionals at once."""
    rows, kind = rows.astype(np.float64), wide.unit_type(wide.visible)
    fields = wide.field(wide.visible, {wide.visible: rows})
    own = np.einsum("ij,ij->i", fields, rows) - kind.base_energy(rows)
    return np.asarray(own - kind.total_log_partition(fields), np.float64)


def _of_rbm(_: BoltzmannMachine, wide: BoltzmannMachine, rows: Array) -> Floats:
    """Pseudo-likelihood (rows,) of a block of rows, the input of the hidden units being moved by one unit at a time."""
    rows, visible = rows.astype(np.float64), wide.visible
    fields = {n: wide.field(n, {visible: rows}) for n in wide.graph.colours[1]}
    weights = {n: wide.params[key] if lower else wide.params[key].T for key, n, lower in wide.graph.neighbours[visible]}

    def hidden(step: Array | None, unit: int) -> Floats:
        moved = fields if step is None else {n: x + step[:, None] * weights[n][unit] for n, x in fields.items()}
        return sum(wide.unit_type(n).total_log_partition(x) for n, x in moved.items())  # type: ignore[return-value]

    total, here = np.zeros_like(rows, shape=(len(rows),)), hidden(None, 0)
    for unit in range(rows.shape[1]):
        steps = _others(wide, rows, unit)
        total += _log_conditional(here, [hidden(step, unit) + step * wide.bias(visible)[unit] for step in steps])
    return total


def _by_enumeration(model: BoltzmannMachine, x: Array) -> Floats:
    """Pseudo-likelihood (rows,) from log p* of each row and of rows that differ from it by one unit."""
    wide, x = model.to("cpu").astype(np.float64), host(x).astype(np.float64)
    total, here = np.zeros(len(x)), exact_log_marginal(wide, x)
    for unit in range(x.shape[1]):
        others = []
        for step in _others(wide, x, unit):
            moved = x.copy()
            moved[:, unit] += step
            others.append(exact_log_marginal(wide, moved))
        total += _log_conditional(here, others)
    return total
