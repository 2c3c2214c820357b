"""What the change of one visible unit does to log p(v): exact, since log Z falls out of the difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.closed_forms import QUICK_HIDDEN
from boltz.estimators.exact import class_units, exact_log_marginal
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import refuse_coupled, visible_rows
from boltz.parallel import workers
from boltz.units import Units
from boltz.units.onehot import not_states
from boltz.units.states import are_states, states_of

Array = NDArray[Any]
Floats = NDArray[np.float64]
BLOCK = 1 << 20  # inputs of hidden units that are worked out together


@dataclass(frozen=True)
class Substituted:
    """What each state of each visible unit adds, in float64, to the inputs of hidden units and to log p* itself.

    machine: on the host, in float64. table (states, columns): the states of a unit. weights: for each layer next to the
    visible one, (sites, states, units). own (sites, states): bias less base energy. coupled (units, units): couplings
    within the visible layer, None without.
    """

    machine: BoltzmannMachine
    table: Array
    weights: Mapping[str, Floats]
    own: Floats
    coupled: Any = None

    @classmethod
    def of(cls, model: BoltzmannMachine) -> Substituted:
        """Those of a machine whose visible units have states that can be counted; raises InputError for another."""
        table = _table(model)
        wide, columns = model.to("cpu").astype(np.float64), table.shape[1]
        weights = {}
        for key, layer, lower in wide.graph.neighbours[wide.visible]:
            weight = _dense(wide.matrix(key)) if lower else _dense(wide.matrix(key)).T
            weights[layer] = table @ weight.reshape(-1, columns, weight.shape[1])
        energies = wide.unit_type(wide.visible).base_energy(table)
        own = wide.bias(wide.visible).reshape(-1, columns) @ table.T - energies
        within = wide.graph.within.get(wide.visible)
        return cls(wide, table, weights, own, None if within is None else wide.matrix(within.key))

    def alone(self, row: Array) -> Floats:
        """What each state of each unit adds to log p* itself, the rest being as in row (1, units), (sites, states)."""
        if self.coupled is None:
            return self.own.copy()
        heard = np.asarray(row, np.float64) @ self.coupled
        return self.own + heard.reshape(len(self.own), -1) @ self.table.T

    def blocks(self) -> Floats:
        """What states of pairs of units add to log p* by couplings within the layer, (sites, states, sites, states)."""
        sites, columns = len(self.own), self.table.shape[1]
        coupled = _dense(self.coupled).reshape(sites, columns, sites, columns)
        return np.asarray(np.einsum("ac,icjd,bd->iajb", self.table, coupled, self.table, optimize=True))

    def codes(self, rows: Array) -> NDArray[np.int64]:
        """The number of the state of each unit, (rows, sites), of rows (rows, units) of states."""
        each = np.asarray(rows, np.float64).reshape(len(rows), len(self.own), 1, self.table.shape[1])
        return np.asarray((each == self.table).all(axis=-1).argmax(axis=-1), np.int64)


def _dense(weight: Any) -> Array:
    """Weights as an array."""
    return np.asarray(weight.toarray() if issparse(weight) else weight)


def _table(model: BoltzmannMachine) -> Array:
    kind: Units = model.unit_type(model.visible)
    table = states_of(kind)
    if table is None:
        raise InputError(
            "model must have visible units with states that can be counted, such as bernoulli, spin or categorical, "
            f"but they are {model.layers[0].kind}."
        )
    return table


def states_checked(model: BoltzmannMachine, x: Any, name: str) -> Array:
    """Visible rows (rows, units) that are states of their units, and no probabilities of them; raises InputError."""
    rows = visible_rows(model.to("cpu"), x, name)
    if not are_states(model.layers[0].type, rows):
        raise InputError(not_states(name, model.layers[0]))
    return rows


def mutation_scores(model: BoltzmannMachine, sequence: Any, alphabet: str | None = None) -> Floats:
    """log p(mutant) - log p(sequence) of every mutant of a sequence in one site, (sites, states), in nats.

    Above 0 where the mutant is more probable, and 0 at the states of the sequence itself. log Z falls out, so that the
    scores are exact: differences of free energies for an RBM, and of energies for a machine without hidden units;
    enumeration of at most 14 units in the hidden layers next to the visible one for a deeper machine.

    - model: its visible units are bernoulli (states 0, 1), spin (-1, 1) or categorical (codes from 0).
    - sequence: a state of each site (sites,), one-hot columns (sites * states,) or (sites, states), or text with
      alphabet.
    - alphabet: a letter for each state, that of code 0 first.

    Raises InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    refuse_coupled(model)
    found = Substituted.of(model)
    if not model.independent_hidden and (units := class_units(model, model.graph.colours[1])) > QUICK_HIDDEN:
        raise InputError(
            f"model must be an RBM, or have at most {QUICK_HIDDEN} units to enumerate in "
            f"{', '.join(model.graph.colours[1])}, got {units}: log p of larger ones has no exact differences."
        )
    row = states_checked(model, _one_row(model, sequence, alphabet), "sequence")
    scores = _of_rbm(found, row) if model.independent_hidden else _by_enumeration(found, row)
    codes = found.codes(row)[0]
    return scores - scores[np.arange(len(codes)), codes][:, None]


def _one_row(model: BoltzmannMachine, sequence: Any, alphabet: str | None) -> Any:
    """The sequence as a table of one row."""
    layer = model.layers[0]
    sites = layer.units // layer.columns
    if isinstance(sequence, str):
        table = _table(model)
        codes = _codes_of(sequence, alphabet, len(table), sites)
        return (codes if layer.columns > 1 else table[codes, 0])[None]
    if alphabet is not None:
        raise InputError(f"alphabet goes with a sequence of letters, got {checks.brief(sequence)}: leave it out.")
    try:
        row = np.asarray(sequence)
    except ValueError as problem:
        raise InputError(f"sequence must be an array of numbers, got {type(sequence).__name__}.") from problem
    if row.shape not in ((sites,), (layer.units,), (sites, layer.columns), (1, sites), (1, layer.units)):
        one_hot = f", or one-hot columns ({sites}, {layer.columns})" if layer.columns > 1 else ""
        raise InputError(f"sequence must hold a state of each site, ({sites},){one_hot}, got shape {row.shape!s:.80}.")
    return row.reshape(1, -1)


def _codes_of(sequence: str, alphabet: str | None, states: int, sites: int) -> Array:
    """Letters as states, by their place in the alphabet."""
    if not isinstance(alphabet, str) or len(alphabet) != states or len(set(alphabet)) != states:
        raise InputError(
            f"alphabet must be text with a letter of its own for each of {states} states, got {checks.brief(alphabet)}."
        )
    strange = [letter for letter in sequence if letter not in alphabet]
    if strange or len(sequence) != sites:
        what = f"the letter {strange[0]!r}" if strange else f"{len(sequence)} letters"
        raise InputError(f"sequence must hold {sites} letters of the alphabet {alphabet!r:.60}, got {what}.")
    return np.array([alphabet.index(letter) for letter in sequence])


def _of_rbm(found: Substituted, row: Array) -> Floats:
    """log p* of all mutants but for a constant, (sites, states): weight rows move the inputs of hidden units."""
    machine, codes = found.machine, found.codes(row)[0]
    fields = {n: machine.field(n, machine.evidence(row.astype(np.float64))) for n in found.weights}
    scores = found.alone(row)

    def add(sites: NDArray[np.int64]) -> None:
        for layer, weight in found.weights.items():
            here = weight[sites]
            moved = fields[layer] + here - here[np.arange(len(sites)), codes[sites]][:, None]
            total = machine.unit_type(layer).total_log_partition(moved.reshape(-1, moved.shape[-1]))
            scores[sites] += total.reshape(moved.shape[:2])

    units = len(found.table) * max(1, sum(weight.shape[-1] for weight in found.weights.values()))
    with workers() as pool:
        pool.map(add, np.array_split(np.arange(len(codes)), -(-len(codes) * units // BLOCK)))
    return scores


def _by_enumeration(found: Substituted, row: Array) -> Floats:
    """log p* of all mutants, (sites, states)."""
    columns = found.table.shape[1]
    scores = np.empty(found.own.shape)
    for site in range(len(scores)):
        mutants = np.repeat(row.astype(np.float64), len(found.table), axis=0)
        mutants[:, site * columns : (site + 1) * columns] = found.table
        scores[site] = exact_log_marginal(found.machine, mutants)
    return scores
