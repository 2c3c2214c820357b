"""Exact answers for small Helmholtz machines in plain numpy, from the parameters by name, without arithmetic of boltz.

log w = log p(v, h) - log q(h | v) in nats. Parameters may be complex: derivatives are complex steps, the imaginary part
of a function at theta + i h over h (Squire & Trapp 1998), which are exact to rounding. Expectations are sums over every
tuple of binary latent states, each with its probability, and over noise that is held fixed or put on quadrature nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = NDArray[Any]  # real or complex
State = Mapping[str, Any]
STEP = 1e-25
ACTIVATIONS: dict[str, Callable[[Values], Values]] = {
    "tanh": np.tanh,
    "relu": lambda field: field * (field.real > 0),
    "softplus": lambda field: np.log(1 + np.exp(field)),
    "elu": lambda field: np.where(field.real > 0, field, np.exp(field) - 1),
}


@dataclass(frozen=True, eq=False)
class Directed:
    """A Helmholtz machine as plain arrays: layers (name, units, kind) from the visible one up, parameters by name.

    laws: log-densities of the layers that have a factor of their own, as functions of the parameters, the state, and
    that of the layer above or None.
    """

    layers: tuple[tuple[str, int, str], ...]
    params: dict[str, Values]
    activation: str = "tanh"
    laws: Mapping[str, Callable[[dict[str, Values], Values, Any], Values]] = field(default_factory=dict)
    flows: Mapping[str, Any] = field(default_factory=dict)  # behind the draws of recognition, by layer

    @classmethod
    def of(cls, machine: Any, step: int | None = None) -> Directed:
        """Copy the parameters of a boltz machine, found by their names; step is that of training."""
        from oracles.factors import law

        layers = tuple((layer.name, layer.units, layer.kind) for layer in machine.layers)
        params = {name: np.array(value, np.float64) for name, value in machine.params.items()}
        names = {name: "prior" if name == layers[-1][0] and layers[1:] else f"generative/{name}" for name, *_ in layers}
        laws = {layer: law(names[layer], factor, step) for layer, factor in machine.structure.factors}
        return cls(layers, params, machine.structure.activation, laws, flows_of(machine))

    @property
    def rbm(self) -> bool:
        """Whether the prior is an RBM over the two upper layers."""
        return "prior/edge/v-h1/weight" in self.params

    @property
    def latent(self) -> tuple[tuple[str, int, str], ...]:
        """The hidden layers that are drawn."""
        return self.layers[1:-1] if self.rbm else self.layers[1:]

    @property
    def binary(self) -> dict[str, int]:
        """Units of the binary ones among them."""
        return {name: units for name, units, kind in self.latent if kind == "bernoulli"}

    def moved(self, name: str, change: Values) -> Directed:
        """The same machine with something added to one parameter."""
        return replace(self, params=self.params | {name: self.params[name] + change})


# ---------------------------------------------------------------- densities


def flows_of(machine: Any) -> dict[str, Any]:
    """The flows behind the draws of recognition, by layer."""
    from oracles.flows import Flow  # whose activations are those of this file

    return {
        name: Flow(flow.units, flow.steps, flow.widths, flow.kind, flow.activation, flow.context)
        for name, flow in machine.structure.posteriors
    }


def within(machine: Directed, name: str) -> dict[str, Values]:
    """The parameters of the flow behind the draw of a layer, as the flow calls them."""
    start = f"recognition/{name}/flow/"
    return {key.replace(start, "f/"): value for key, value in machine.params.items() if key.startswith(start)}


def outputs(machine: Directed, name: str, x: Values) -> Values:
    """Outputs (rows, outputs) of a net, its layers found by their names."""
    depth = sum(
        key.startswith(f"{name}/") and key.endswith("/weight") and "/flow/" not in key for key in machine.params
    )
    for i in range(depth):
        x = x if i == 0 else ACTIVATIONS[machine.activation](x)
        x = x @ machine.params[f"{name}/{i}/weight"] + machine.params[f"{name}/{i}/bias"]
    return x


def log_density(kind: str, found: Values, state: Values) -> Values:
    """log of the density (rows,) of a state given the outputs of a net: logits, or mean and log sigma side by side."""
    if kind == "bernoulli":
        on = 1 / (1 + np.exp(-found))
        return np.sum(state * np.log(on) + (1 - state) * np.log(1 - on), axis=-1)
    mean, log_sigma = np.split(found, 2, axis=-1)
    variance = np.exp(2 * log_sigma)
    return np.sum(-((state - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2, axis=-1)


def log_prior(machine: Directed, top: Values) -> Values:
    """log p* (rows,) of the topmost drawn layer: that of an RBM without its log Z."""
    p = machine.params
    if machine.rbm:
        field = top @ p["prior/edge/v-h1/weight"] + p["prior/layer/h1/bias"]
        return top @ p["prior/layer/v/bias"] + np.sum(np.log(1 + np.exp(field)), axis=-1)
    if machine.latent[-1][2] == "gaussian":
        return log_density("gaussian", np.zeros(2 * top.shape[-1]), top)
    return log_density("bernoulli", p["prior/bias"], top)


def log_p(machine: Directed, state: State) -> dict[str, Values]:
    """log p of each layer given the one above it, (rows,) by layer; the topmost drawn one under the prior."""
    found = {}
    for (name, _, kind), above in zip(machine.layers, [*(layer[0] for layer in machine.latent), None], strict=False):
        if name in machine.laws:
            found[name] = machine.laws[name](machine.params, state[name], None if above is None else state[above])
        elif above is None:
            found[name] = log_prior(machine, state[name])
        else:
            found[name] = log_density(kind, outputs(machine, f"generative/{name}", state[above]), state[name])
    return found


def log_q(machine: Directed, state: State) -> dict[str, Values]:
    """log q of each drawn hidden layer given the one below it, (rows,) by layer."""
    found = {}
    for (below, *_), (name, _, kind) in zip(machine.layers, machine.latent, strict=False):
        heard, base, log_det = outputs(machine, f"recognition/{name}", state[below]), state[name], 0.0
        if name in machine.flows:
            flow, own = machine.flows[name], within(machine, name)
            base = flow.inverse(own, state[name], heard)
            log_det = flow.forward(own, base, heard)[1]
        found[name] = log_density(kind, heard, base) - log_det
    return found


def log_weight(machine: Directed, state: State, scales: Mapping[str, float] | None = None) -> Values:
    """log p - log q (rows,), the two terms of each hidden layer times its scale."""
    p, q = log_p(machine, state), log_q(machine, state)
    total = p[machine.layers[0][0]]
    for name in q:
        total = total + (p[name] - q[name]) * (1.0 if scales is None else scales[name])
    return total


def recognised(machine: Directed, x: Values, given: State) -> dict[str, Values]:
    """States upwards from visible rows: binary layers as given, Gaussian ones from the noise that is given."""
    state = {machine.layers[0][0]: x}
    for (below, *_), (name, _, kind) in zip(machine.layers, machine.latent, strict=False):
        state[name] = given[name]
        if kind == "gaussian":
            heard = outputs(machine, f"recognition/{name}", state[below])
            mean, log_sigma = np.split(heard, 2, axis=-1)
            state[name] = mean + np.exp(log_sigma) * given[name]
            if name in machine.flows:
                state[name], _ = machine.flows[name].forward(within(machine, name), state[name], heard)
    return state


# ---------------------------------------------------------------- bounds, functions of log w (rows, samples)


def log_mean_exp(log_w: Values) -> Values:
    """log of the mean of w over the last axis."""
    top = log_w.real.max(axis=-1, keepdims=True)
    return np.log(np.mean(np.exp(log_w - top), axis=-1)) + top[..., 0]


def elbo(log_w: Values) -> Values:
    """The evidence lower bound of each row."""
    return log_w.mean(axis=-1)


def miwae(log_w: Values, groups: int) -> Values:
    """The mean over groups of consecutive samples of their importance-weighted bounds."""
    return log_mean_exp(log_w.reshape(len(log_w), groups, -1)).mean(axis=1)


def ciwae(log_w: Values, beta: float) -> Values:
    """beta times the evidence lower bound and 1 - beta times the importance-weighted one."""
    return beta * elbo(log_w) + (1 - beta) * log_mean_exp(log_w)


def normalised(log_w: Floats) -> Floats:
    """w over their sum (rows, samples)."""
    w = np.exp(log_w - log_w.max(axis=-1, keepdims=True))
    return w / w.sum(axis=-1, keepdims=True)


def importance_bound(log_w: Floats, q: Floats, samples: int) -> float:
    """L_k for any number of samples from log w and probability of every latent state of one row.

    E log S is the integral over t of (exp(-t) - E exp(-t S)) / t; for a mean of k weights the expectation is a power,
    and with t = exp(u) the integrand is smooth with tails that vanish, so that equal steps of u suffice.
    """
    u = np.linspace(-45, 45, 6_001)
    w = np.exp(log_w - log_w.max())
    inner = np.log(np.maximum(np.exp(-np.exp(u)[:, None] * w / samples) @ q, 1e-300))
    return float(np.sum(np.exp(-np.exp(u)) - np.exp(samples * inner)) * (u[1] - u[0]) + log_w.max())


# ---------------------------------------------------------------- enumeration


def bits(units: int) -> Floats:
    """All states (2^units, units), the first unit most significant."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=units))).reshape(2**units, units)


def by_layer(layers: Mapping[str, int], x: Values) -> dict[str, Values]:
    """The columns of x (rows, all units) by layer."""
    if not layers:
        return {}
    return dict(zip(layers, np.split(x, np.cumsum(list(layers.values()))[:-1], axis=1), strict=True))


def numbers(state: State, layers: Mapping[str, int]) -> NDArray[np.int64]:
    """The number (rows,) of each row of a binary state among all states of the layers."""
    x = np.hstack([state[name] for name in layers]).astype(np.int64)
    return x @ (1 << np.arange(x.shape[1])[::-1])


def tuples(machine: Directed, samples: int) -> tuple[int, dict[str, Floats]]:
    """How many tuples of so many states of the binary hidden layers there are; layer -> (tuples, samples, units)."""
    states = bits(sum(machine.binary.values()))
    picks = np.indices((len(states),) * samples).reshape(samples, -1).T
    return len(picks), {name: x[picks] for name, x in by_layer(machine.binary, states).items()}


def posterior_tuples(machine: Directed, state: State, rows: int) -> Values:
    """Probability (rows,) under q of the binary states of all samples of a row, given all that lies below."""
    found = log_q(machine, state)
    total = sum((found[name] for name in machine.binary), np.zeros(len(next(iter(found.values())))))
    return np.exp(total.reshape(rows, -1).sum(axis=1))


def log_evidence(machine: Directed, rows: Values) -> Values:
    """log p*(x) (rows,) of a machine of binary hidden layers, by the sum over all of their states."""
    states = by_layer(machine.binary, bits(sum(machine.binary.values())))
    count = len(next(iter(states.values())))
    found = []
    for row in rows:
        terms = log_p(machine, {machine.layers[0][0]: np.repeat(row[None], count, axis=0)} | states)
        found.append(log_mean_exp(sum(terms.values())[None])[0] + np.log(count))
    return np.array(found)


def without(machine: Directed, known: NDArray[np.bool_]) -> Directed:
    """The machine whose visible units are the known ones (units,) alone: the others are summed or integrated out."""
    (visible, _, kind), *above = machine.layers
    last = max(int(name.split("/")[2]) for name in machine.params if name.startswith(f"generative/{visible}/"))
    columns = np.concatenate([known, known]) if kind == "gaussian" else known
    params = dict(machine.params)
    for part in ("weight", "bias"):
        name = f"generative/{visible}/{last}/{part}"
        params[name] = params[name][..., columns]
    return replace(machine, layers=((visible, int(known.sum()), kind), *above), params=params)


def log_evidence_of_known(machine: Directed, rows: Floats) -> Floats:
    """log p* (rows,) of the known part of rows with NaN, of a machine of binary hidden layers."""
    known = ~np.isnan(rows)
    return np.array([log_evidence(without(machine, k), x[k][None])[0] for x, k in zip(rows, known, strict=True)])


def joint(machine: Directed) -> tuple[dict[str, Floats], Floats]:
    """Every state of the visible and the drawn hidden layers of a binary machine, and its probability."""
    units = {machine.layers[0][0]: machine.layers[0][1]} | machine.binary
    states = by_layer(units, bits(sum(units.values())))
    density = np.exp(sum(log_p(machine, states).values()))
    return states, density / density.sum()


# ---------------------------------------------------------------- derivatives


def slopes(value: Callable[[Directed], Any], machine: Directed, only: str = "") -> list[Any]:
    """(name, direction, derivative of value along it), two random directions in each parameter whose name begins so."""
    rng, found = np.random.default_rng(0), []
    for name in (name for name in machine.params if name.startswith(only)):
        x = machine.params[name]
        for _ in range(2):
            direction = rng.normal(size=x.shape)
            found.append((name, direction, float(np.imag(value(machine.moved(name, 1j * STEP * direction))) / STEP)))
    return found
