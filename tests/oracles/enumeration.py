"""Exact answers for small machines of 0/1 units by enumeration, in float64 and without any arithmetic of boltz.

E(x) = -sum_l b_l.x_l - sum_(a,b) x_a^T W_ab x_b (Salakhutdinov & Hinton 2009, eq. 1), p(x) = exp(-E(x)) / Z.
A state is a mapping layer -> (rows, units). The number of a state is its units read as a binary number, the first
unit of the first layer most significant; a distribution over some layers is an array indexed by that number.
Chains, annealing paths and training rules are in oracle_chains.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp, xlogy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
State = Mapping[str, Any]
Names = Sequence[str]


@dataclass(frozen=True, eq=False)
class Table:
    """A machine as plain float64 arrays: layer -> units (visible first), (lower, upper) -> weights, layer -> bias."""

    layers: dict[str, int]
    edges: dict[tuple[str, str], Floats]
    biases: dict[str, Floats]

    def __post_init__(self) -> None:
        for (a, b), weight in self.edges.items():
            assert weight.shape == (self.layers[a], self.layers[b]) and weight.dtype == np.float64
        for name, units in self.layers.items():
            assert self.biases[name].shape == (units,) and self.biases[name].dtype == np.float64

    @classmethod
    def of(cls, model: Any) -> Table:
        """Copy the parameters of a boltz machine, found by their names."""
        layers = {layer.name: layer.units for layer in model.graph.layers}
        pairs = [(edge.lower, edge.upper) for edge in model.graph.edges]
        edges = {(a, b): np.array(model.params[f"edge/{a}-{b}/weight"], np.float64) for a, b in pairs}
        return cls(layers, edges, {n: np.array(model.params[f"layer/{n}/bias"], np.float64) for n in layers})

    @classmethod
    def chain(cls, weights: Sequence[Any], biases: Sequence[Any]) -> Table:
        """Layers v, h1, h2, ... from weights (n_l, n_(l+1)) and one bias more; the arguments of boltz.from_arrays."""
        names = ["v", *(f"h{i}" for i in range(1, len(biases)))]
        edges = {(names[i], names[i + 1]): np.array(w, np.float64) for i, w in enumerate(weights)}
        named = {n: np.array(b, np.float64) for n, b in zip(names, biases, strict=True)}
        return cls({n: len(b) for n, b in named.items()}, edges, named)

    @classmethod
    def random(cls, units: Sequence[int], scale: float, seed: int) -> Table:
        """A chain of layers with normal weights and biases of standard deviation scale."""
        rng = np.random.default_rng(seed)
        weights = [rng.normal(0, scale, pair) for pair in itertools.pairwise(units)]
        return cls.chain(weights, [rng.normal(0, scale, n) for n in units])

    @property
    def visible(self) -> str:
        """Name of the visible layer."""
        return next(iter(self.layers))

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the other layers."""
        return tuple(self.layers)[1:]

    def others(self, names: Names) -> tuple[str, ...]:
        """The layers that are not named."""
        return tuple(n for n in self.layers if n not in names)


def weights_and_biases(table: Table) -> tuple[list[Floats], list[Floats]]:
    """What boltz.from_arrays takes, of a table that is a chain of layers."""
    return list(table.edges.values()), list(table.biases.values())


def colours(table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The two colour classes, that of the visible layer first; no edge joins layers of one class."""
    side = {table.visible: 0}
    while len(side) < len(table.layers):
        found = {b: 1 - side[a] for x in table.edges for a, b in (x, x[::-1]) if a in side and b not in side}
        found = found or {next(n for n in table.layers if n not in side): 1}
        side.update(found)
    assert all(side[a] != side[b] for a, b in table.edges)
    even, odd = (tuple(n for n in table.layers if side[n] == colour) for colour in (0, 1))
    return even, odd


def bits(units: int) -> Floats:
    """All states (2^units, units) in the order of their numbers."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=units))).reshape(2**units, units)


def split(table: Table, x: Any, names: Names) -> dict[str, Any]:
    """The columns of x (rows, all units of the named layers) by layer."""
    ends = np.cumsum([table.layers[n] for n in names])
    return dict(zip(names, np.split(x, ends[:-1], axis=1), strict=True))


def states(table: Table, names: Names = ()) -> dict[str, Floats]:
    """Every state of the named layers (of all layers by default), in the order of their numbers."""
    names = names or tuple(table.layers)
    return split(table, bits(sum(table.layers[n] for n in names)), names)


def numbers(table: Table, state: State, names: Names = ()) -> Integers:
    """The number (rows,) of each row of a state among all states of the named layers (of all layers by default)."""
    x = np.hstack([np.asarray(state[n]) for n in names or tuple(table.layers)])
    assert np.isin(x, (0, 1)).all(), "only 0/1 states have a number"
    return x.astype(np.int64) @ (1 << np.arange(x.shape[1])[::-1])


def counts(table: Table, state: State, names: Names = ()) -> Integers:
    """How often each state of the named layers (of all layers by default) occurs among the rows."""
    size = sum(table.layers[n] for n in names or tuple(table.layers))
    return np.bincount(numbers(table, state, names), minlength=2**size)


def energy_slow(table: Table, state: State) -> Floats:
    """Energy (rows,) by the explicit triple sum, one term after the other."""
    found = []
    for row in range(len(state[table.visible])):
        total = 0.0
        for name, units in table.layers.items():
            for i in range(units):
                total -= table.biases[name][i] * state[name][row, i]
        for (a, b), weight in table.edges.items():
            for i in range(table.layers[a]):
                for j in range(table.layers[b]):
                    total -= state[a][row, i] * weight[i, j] * state[b][row, j]
        found.append(total)
    return np.array(found)


def log_density(table: Table) -> Floats:
    """-E of every state as a table with one axis (2^units) a layer, from one term a layer and one an edge."""
    names = list(table.layers)
    total = np.zeros([2**n for n in table.layers.values()])

    def axes(*used: str) -> list[int]:
        return [len(bits(table.layers[n])) if n in used else 1 for n in names]

    for name, units in table.layers.items():
        total += (bits(units) @ table.biases[name]).reshape(axes(name))
    for (a, b), weight in table.edges.items():
        term = bits(table.layers[a]) @ weight @ bits(table.layers[b]).T
        total += (term if names.index(a) < names.index(b) else term.T).reshape(axes(a, b))
    return total


def log_z(table: Table) -> float:
    """Log of the sum of exp(-E) over every state, nats."""
    return float(logsumexp(log_density(table)))


def joint(table: Table) -> Floats:
    """p(x) of every state (2^units,)."""
    density = log_density(table).reshape(-1)
    return np.exp(density - logsumexp(density))


def marginal(table: Table, names: Names, p: Floats | None = None) -> Floats:
    """Distribution of the named layers under p over all states (the machine's own by default)."""
    cube = (joint(table) if p is None else p).reshape([2**n for n in table.layers.values()])
    kept = [n for n in table.layers if n in names]
    cube = cube.sum(axis=tuple(i for i, n in enumerate(table.layers) if n not in names))
    return cube.transpose([kept.index(n) for n in names]).reshape(-1)


def free_energy(table: Table, names: Names) -> Floats:
    """-log of the sum of exp(-E) over all other layers, for every state of the named layers."""
    cube = log_density(table)
    kept = [n for n in table.layers if n in names]
    summed = logsumexp(cube, axis=tuple(i for i, n in enumerate(table.layers) if n not in names))
    return -np.asarray(summed).transpose([kept.index(n) for n in names]).reshape(-1)


def draw(table: Table, rows: int, seed: int) -> dict[str, Floats]:
    """Independent rows from the enumerated joint distribution."""
    p = joint(table)
    chosen = np.random.default_rng(seed).choice(len(p), size=rows, p=p / p.sum())
    return {n: x[chosen] for n, x in states(table).items()}


def clamp(table: Table, evidence: State) -> tuple[Table, float]:
    """The machine of the remaining layers given evidence (layer -> (units,)), and a constant c.

    log p*(evidence, rest) = c - E_clamped(rest); the evidence may be grey, it enters by the energy alone.
    """
    constant = sum(float(table.biases[n] @ evidence[n]) for n in evidence)
    biases = {n: b.copy() for n, b in table.biases.items() if n not in evidence}
    edges = {}
    for (a, b), weight in table.edges.items():
        if a in evidence and b in evidence:
            constant += float(evidence[a] @ weight @ evidence[b])
        elif a in evidence:
            biases[b] += evidence[a] @ weight
        elif b in evidence:
            biases[a] += weight @ evidence[b]
        else:
            edges[a, b] = weight
    return Table({n: table.layers[n] for n in biases}, edges, biases), constant


def log_likelihood(table: Table, rows: Any) -> Floats:
    """log p(v) (rows,) of visible rows, nats."""
    total = log_z(table)
    found = [clamp(table, {table.visible: np.asarray(v, np.float64)}) for v in rows]
    return np.array([constant + log_z(rest) - total for rest, constant in found])


def posterior(table: Table, row: Any) -> Floats:
    """p(h given v) of every hidden state for one visible row (units,)."""
    return joint(clamp(table, {table.visible: np.asarray(row, np.float64)})[0])


def moments(table: Table, p: Floats | None = None) -> dict[str, Floats]:
    """<x_a x_b^T> and <x> by parameter name under p over all states (the machine's own by default)."""
    p = joint(table) if p is None else p
    found: dict[str, Floats] = {}
    for a, b in table.edges:
        pair = marginal(table, (a, b), p).reshape(2 ** table.layers[a], 2 ** table.layers[b])
        found[f"edge/{a}-{b}/weight"] = bits(table.layers[a]).T @ pair @ bits(table.layers[b])
    for name, units in table.layers.items():
        found[f"layer/{name}/bias"] = bits(units).T @ marginal(table, (name,), p)
    return found


def posterior_moments(table: Table, rows: Any) -> dict[str, Floats]:
    """The same moments with v clamped at each row and h from its posterior, averaged over the rows."""
    total = {f"edge/{a}-{b}/weight": np.zeros_like(w) for (a, b), w in table.edges.items()}
    total |= {f"layer/{n}/bias": np.zeros_like(b) for n, b in table.biases.items()}
    for v in np.asarray(rows, np.float64):
        found = moments(clamp(table, {table.visible: v})[0])
        mean = {n: found[f"layer/{n}/bias"] for n in table.hidden} | {table.visible: v}
        for name in total:
            layer = name.split("/")[1]
            if name.startswith("layer"):
                total[name] += mean[layer]
            elif name in found:
                total[name] += found[name]
            else:
                a, b = layer.split("-")
                total[name] += np.outer(mean[a], mean[b])
    return {name: x / len(rows) for name, x in total.items()}


def gradient(table: Table, rows: Any) -> dict[str, Floats]:
    """Gradient of the mean log p(v) over the rows, by parameter name: posterior minus model moments."""
    positive, negative = posterior_moments(table, rows), moments(table)
    return {name: positive[name] - negative[name] for name in positive}


def field(table: Table, name: str, state: State) -> Floats:
    """Total input (rows, units) of a layer; every neighbour must be in the state."""
    total: Any = table.biases[name]
    for (a, b), weight in table.edges.items():
        if name == a:
            total = total + np.asarray(state[b], np.float64) @ weight.T
        elif name == b:
            total = total + np.asarray(state[a], np.float64) @ weight
    return np.atleast_2d(total)


def conditional(table: Table, name: str, state: State) -> Floats:
    """p(unit = 1 given the neighbouring layers) (rows, units)."""
    return expit(field(table, name, state))


def mean_field(table: Table, rows: Any, start: State | None = None, damping: float = 0.5) -> dict[str, Floats]:
    """A fixed point mu = sigmoid(field) of the hidden means given visible rows, all layers moved at once.

    Other starts may reach other fixed points: compare by mean_field_residual and variational_bound as well.
    """
    v = {table.visible: np.asarray(rows, np.float64)}
    means = {n: np.full((len(rows), table.layers[n]), 0.5) for n in table.hidden}
    means |= {n: np.asarray(x, np.float64) for n, x in (start or {}).items()}
    for _ in range(20_000):
        target = {n: conditional(table, n, {**v, **means}) for n in table.hidden}
        change = max(float(np.abs(target[n] - means[n]).max()) for n in means)
        means = {n: damping * means[n] + (1 - damping) * target[n] for n in means}
        if change < 1e-14:
            return means
    raise AssertionError(f"the mean field still moves by {change:.1e}: more damping is needed")


def mean_field_residual(table: Table, rows: Any, means: State) -> float:
    """Largest |mu - sigmoid(field)|: zero at every fixed point, whichever was found."""
    state = {table.visible: np.asarray(rows, np.float64), **means}
    return max(float(np.abs(conditional(table, n, state) - means[n]).max()) for n in table.hidden)


def factorised(table: Table, means: State) -> Floats:
    """q(h) of every hidden state for one row of means, layer -> (units,)."""
    q = np.ones(1)
    for mean in np.concatenate([np.asarray(means[n], np.float64) for n in table.hidden]):
        q = np.outer(q, (1 - mean, mean)).reshape(-1)
    return q


def importance_log_weights(table: Table, row: Any, means: State) -> tuple[Floats, Floats]:
    """log p*(v, h) / q(h) / Z of every hidden state, and q(h), for one row: the mean of the weight is p(v)."""
    rest, constant = clamp(table, {table.visible: np.asarray(row, np.float64)})
    q = factorised(table, means)
    return constant + log_density(rest).reshape(-1) - np.log(q) - log_z(table), q


def variational_bound(table: Table, rows: Any, means: State) -> Floats:
    """sum_h q(h) (-E(v, h)) + entropy of q - log Z (rows,), summed over every hidden state."""
    found, total = [], log_z(table)
    for i, row in enumerate(np.asarray(rows, np.float64)):
        rest, constant = clamp(table, {table.visible: row})
        q = factorised(table, {n: means[n][i] for n in table.hidden})
        found.append(constant + float(q @ log_density(rest).reshape(-1) - xlogy(q, q).sum()) - total)
    return np.array(found)


def importance_bound(table: Table, row: Any, means: State, samples: int) -> float:
    """L_k = E log 1/k sum_i w(h_i) with h_i from q, by every k-tuple of hidden states (Burda et al. 2016)."""
    log_w, q = importance_log_weights(table, row, means)
    assert len(q) ** samples <= 2**22, "too many tuples to enumerate"
    picks = np.indices((len(q),) * samples).reshape(samples, -1)
    return float(np.prod(q[picks], axis=0) @ (logsumexp(log_w[picks], axis=0) - np.log(samples)))


def ring(seed: int = 8) -> Table:
    """Four layers in a ring, one edge written from the upper to the lower layer, and a layer without edges."""
    rng = np.random.default_rng(seed)
    layers = {"v": 2, "h1": 3, "h2": 1, "h3": 2, "h4": 1}
    pairs = [("v", "h1"), ("h1", "h2"), ("h2", "h3"), ("h3", "v")]
    edges = {(a, b): rng.normal(0, 1, (layers[a], layers[b])) for a, b in pairs}
    return Table(layers, edges, {n: rng.normal(0, 1, u) for n, u in layers.items()})


MACHINES = {
    "rbm": Table.random([4, 3], 1.0, 1),
    "wide": Table.random([2, 6], 1.5, 2),
    "dbm2": Table.random([3, 3, 2], 1.0, 3),
    "dbm3": Table.random([2, 2, 2, 2], 1.5, 4),
    "dbm4": Table.random([2, 2, 1, 2, 1], 0.7, 5),
    "ring": ring(),
}
