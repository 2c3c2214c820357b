"""Log-weights log p*(v, h) - log q(h | v) of samples of hidden units, machine class by machine class (nats).

q is the recognition model of a Helmholtz machine, and for a Boltzmann machine a mixture of mean-field posteriors
(sampling/mixtures.py) of the hidden layers that are drawn (graph.hidden_sides), the others summed out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, on_device
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.factors import Dense
from boltz.rng import Key
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.sampling.mixtures import mixture_of
from boltz.sampling.recognition import Pass, draw, encode, streams

Array = NDArray[Any]
Floats = NDArray[np.float64]
WeighRows = Callable[[Array, NDArray[np.int64], int, Key], Floats]  # (rows, their numbers, samples, key) -> log-weights
CHUNK, DEVICE_CHUNK = 1024, 1 << 17  # samples of a Helmholtz machine that are in memory with all layers


@dataclass(frozen=True, eq=False)
class Weigher:
    """log p*(v, h) of the drawn hidden layers, the others summed out; what v sends is worked out once, in float64.

    constant (rows,): what does not depend on h; sent: layer -> (rows, units), fields of the drawn layers from v and
    their biases; heard: the same of the summed ones, (units,) where v sends them nothing.
    """

    machine: BoltzmannMachine
    constant: Floats
    sent: dict[str, Floats]
    heard: dict[str, Array]
    turned: Mapping[Any, Any]
    scratch: Scratch

    def log_density(self, state: Mapping[str, Array]) -> Floats:
        """log p*(v, h) (rows,) of states (rows, units)."""
        machine, total = self.machine, self.constant - self.machine.coupling_energy(state, tuple(self.sent))
        for layer, fields in self.sent.items():
            total += np.einsum("ij,ij->i", fields, state[layer].astype(np.float64))
            total -= machine.unit_type(layer).base_energy(state[layer])
        for layer, fields in self.heard.items():
            inputs = layer_input(machine, layer, state, self.scratch, self.turned)
            inputs += fields
            total += machine.unit_type(layer).total_log_partition(inputs)
        return total


def weigher(machine: BoltzmannMachine, rows: Array, turned: Mapping[Any, Any]) -> Weigher:
    """log p*(v, h) for visible rows (rows, units); turned holds turned_weights of the machine."""
    wide, graph = machine.astype(np.float64), machine.graph
    v, (drawn, summed) = machine.evidence(rows.astype(np.float64)), graph.hidden_sides
    sent = {layer: wide.field(layer, v) for layer in drawn}
    heard = {
        layer: wide.field(layer, v).astype(machine.dtype) if graph.hears_views(layer) else machine.bias(layer)
        for layer in summed
    }
    return Weigher(machine, -wide.marginal_energy(v, ()), sent, heard, turned, Scratch(machine.arena))


def mean_field_weights(model: BoltzmannMachine) -> WeighRows:
    """Log-weights of samples of the mixture of mean-field posteriors."""
    turned = turned_weights(model)

    def weights(rows: Array, numbers: NDArray[np.int64], samples: int, key: Key) -> Floats:
        first = int(numbers[0])
        q, p = mixture_of(model, rows, first, key), weigher(model, rows, turned)
        drawn = {layer: model.zeros(len(rows), layer) for layer in model.graph.hidden_sides[0]}
        log_w = np.empty_like(rows, shape=(len(rows), samples), dtype=np.float64)
        for i in range(samples):
            q.draw(key, i, first, drawn)
            log_w[:, i] = p.log_density(drawn) - q.log_density(drawn)
        return log_w

    return weights


def recognition_weights(model: HelmholtzMachine, known: Array | None = None) -> WeighRows:
    """Log-weights of samples of the recognition model.

    known (all rows, units) tells, by the numbers of the rows, which units count in log p(v | h), the others being
    summed out; None: all.
    """

    def weights(rows: Array, numbers: NDArray[np.int64], samples: int, key: Key) -> Floats:
        counted = None if known is None else known[numbers]
        return _recognition_weights(model, rows, numbers, samples, key, counted)

    return weights


def _recognition_weights(
    model: HelmholtzMachine,
    rows: Array,
    numbers: NDArray[np.int64],
    samples: int,
    key: Key,
    known: Array | None,
) -> Floats:
    """The rows are encoded once; their samples then come in chunks, by the chains of the numbers of the rows."""
    tape, count = Tape(model.arena), len(rows)
    part = Part(tape, slice(0, count), count)
    part.get(f"state/{model.visible}", model.units[model.visible])[...] = rows
    encoded, _ = encode(model, part)
    drawn, log_w = streams(model, key, 0), np.empty_like(rows, shape=(count, samples), dtype=np.float64)
    chains = numbers[:, None] * samples + np.arange(samples)
    chunk = max(1, (DEVICE_CHUNK if on_device(rows) else CHUNK) // count)
    for start in range(0, samples, chunk):
        some = np.ascontiguousarray(chains[:, start : start + chunk])
        found = draw(model, part, encoded, some.shape[1], drawn, beside(some.reshape(-1), rows))
        if known is not None:
            found.log_p[model.visible] = _log_p_of_known(found, known)
        log_w[:, start : start + chunk] = found.log_weights()
    return log_w


def _log_p_of_known(found: Pass, known: Array) -> Floats:
    """log p(known units given the layer above) (rows * samples,) of samples that were drawn; known is (rows, units)."""
    machine, factor = found.machine, found.machine.factors[found.machine.visible]
    assert isinstance(factor, Dense)
    field, bias = factor.head(machine.place(*machine.structure.chain[0], found.inner))
    fields, rows = field.reshape(len(known), found.samples, -1), found.state(machine.visible)
    conditional = factor.conditional
    each = [conditional.table_of_known(fields[i], bias, rows[i : i + 1], known[i : i + 1])[0] for i in range(len(rows))]
    return np.concatenate(each)
