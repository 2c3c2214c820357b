"""log p*(known part) of rows with unknown entries: the log-normaliser of the machine clamped at what is known.

Each row has a machine of its own: its visible units are the unknown ones, and its hidden units hear the known ones as a
change of their biases. Its log Z is exact where its smaller colour class can be enumerated: few unknown units of an
RBM are summed out by the free energy. Otherwise annealed importance sampling gives a lower bound in expectation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.ais import ais
from boltz.estimators.estimate import Estimate, Kind
from boltz.estimators.exact import class_units, exact_log_z
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Graph
from boltz.rng import Key
from boltz.sampling.evidence import Evidence

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_UNITS, CHAINS, TEMPERATURES = 14, 200, 500
DOUBTED = 0.05  # share of the rows whose own doubts count


def clamped(machine: BoltzmannMachine, row: Array, known: Array) -> tuple[BoltzmannMachine, float]:
    """The machine of the unknown and the hidden units given a row (units,), and what is added to its log Z (nats).

    known (units,) is True for what is known; some units are not.
    """
    visible, bias = machine.visible, machine.bias(machine.visible)
    layers = [replace(layer, units=int((~known).sum())) if layer.name == visible else layer for layer in machine.layers]
    graph = Graph(tuple(layers), machine.graph.edges)
    found = BoltzmannMachine(graph, np.zeros(graph.parameters, machine.dtype))
    given = {visible: np.where(known, row, 0).astype(machine.dtype)[None]}
    for edge in graph.edges:
        weight = machine.params[edge.key]
        if edge.lower == visible:
            weight = weight[~known]
        elif edge.upper == visible:
            weight = weight[:, ~known]
        found.params[edge.key][...] = weight
    for layer in graph.units:
        for name, own in machine.own(layer).items():
            found.own(layer)[name][...] = own[~known] if layer == visible else own
    for _, layer, _ in machine.graph.neighbours[visible]:
        found.bias(layer)[...] = machine.field(layer, given)[0]
    kind = machine.layers[0].type.bound({name: own[known] for name, own in machine.own(visible).items()})
    base = kind.base_energy(row[known][None].astype(np.float64))[0]
    return found, float(given[visible][0].astype(np.float64) @ bias - base)


@dataclass(frozen=True, eq=False)
class Known:
    """log p*(known part) of rows: values (rows, 4) as of_rows takes them, how they came about, doubts of single rows.

    samples is the number of chains or samples a row, 0 where all rows are exact.
    """

    values: Floats
    kind: Kind
    method: str
    samples: int
    doubts: tuple[str, ...]


def log_known(model: BoltzmannMachine, evidence: Evidence, samples: int, log_z: Estimate, seed: int) -> Known:
    """log p* of the known part of each row, of which some units are unknown; raises InputError unless samples is 0.

    A row of which nothing is known has log Z itself, given as log_z.
    """
    if samples:
        raise InputError(
            f"x must have no unknown units (NaN, or mask False) for a bound of samples={samples}: give samples=0."
        )
    wide, key, doubts = model.to("cpu").astype(np.float64), Key.from_seed(seed).derive("clamped"), []
    found = np.empty((len(evidence), 4))
    for i, (row, known) in enumerate(zip(host(evidence.rows), host(evidence.known), strict=True)):
        if not known.any():
            found[i] = log_z.value, 0.0, 1.0, log_z.value
            continue
        rest, constant = clamped(wide, row, known)
        if enumerable(rest):
            value = constant + exact_log_z(rest).value
            found[i] = value, 0.0, 1.0, value
            continue
        estimate = ais(rest.astype(model.dtype), CHAINS, TEMPERATURES, key.derive(i).key0)
        doubts.append(estimate.doubts)
        share, largest = estimate.ess / CHAINS, float(estimate.log_weights.max())
        found[i] = constant + estimate.value, estimate.standard_error, share, constant + largest
    if not doubts:
        return Known(found, "exact", "unknown units summed out", 0, ())
    doubted = [each for each in doubts if each]
    words = doubted[0] if len(doubted) > DOUBTED * len(found) else ()
    method = f"annealing with the known units clamped, {CHAINS} chains a row, {TEMPERATURES} temperatures"
    return Known(found, "lower", method, CHAINS, tuple(f"of single rows: {doubt}" for doubt in words))


def enumerable(rest: BoltzmannMachine) -> bool:
    """Whether the smaller colour class of a clamped machine has few units."""
    return min(class_units(rest, layers) for layers in rest.graph.colours) <= MOST_UNITS
