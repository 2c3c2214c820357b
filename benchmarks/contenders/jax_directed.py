"""A JAX training step of a directed machine: value_and_grad and Adam, many steps in one compiled call.

The encoder runs once a row and its outputs are broadcast over the samples; the part of log q(z | x) that depends on the
noise alone stays outside the derivative; log-probabilities of samples that share their logits are one product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from boltz.models.graph import Layer

from . import Lesson, Noise, Slope, Work
from .jax_loops import Tree, Value, bits, looped, sigmoid, stream, void

DECAY, EPSILON = (0.9, 0.999), 1e-8


@jax.custom_jvp
def softplus(x: Value) -> Value:
    """log(1 + e^x) without the care for infinities of JAX's own."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_slope(primals: tuple[Value], tangents: tuple[Value]) -> tuple[Value, Value]:
    return softplus(primals[0]), sigmoid(primals[0]) * tangents[0]


def _bernoulli(logits: Value, state: Value) -> Value:
    """log-probability of 0/1 states (rows, samples, units), by sample."""
    if logits.shape[1] == 1 < state.shape[1]:  # one row of logits for all samples
        return (state @ jnp.swapaxes(logits, 1, 2))[..., 0] - softplus(logits).sum(-1)
    return (state * logits - softplus(logits)).sum(-1)


def _net(params: Tree, side: str, name: str, depth: int, x: Value) -> Value:
    """Outputs for x (rows, samples, inputs)."""
    value = x.reshape(-1, x.shape[-1])
    for i in range(depth):
        value = value @ params[f"{side}/{name}/{i}/weight"] + params[f"{side}/{name}/{i}/bias"]
        value = jnp.tanh(value) if i < depth - 1 else value
    return value.reshape(*x.shape[:-1], -1)


def _terms(structure: Any, params: Tree, x: Value, noise: Tree) -> tuple[Value, Value]:
    """log-weights and the log-probabilities of binary layers under q, (rows, samples)."""
    states, log_w, log_q = [x[:, None]], jnp.zeros(()), jnp.zeros(())
    for layer in structure.latent:
        outputs = _net(params, "recognition", layer.name, structure.recognition[layer.name].depth, states[-1])
        drawn = noise[layer.name]
        if layer.kind == "gaussian":
            mean, log_sigma = jnp.split(outputs, 2, -1)
            states.append(mean + jnp.exp(log_sigma) * drawn)
            log_w += log_sigma.sum(-1) + 0.5 * jnp.square(drawn).sum(-1)
        else:
            states.append((drawn < sigmoid(lax.stop_gradient(outputs))).astype(jnp.float32))
            found = _bernoulli(outputs, states[-1])
            log_w, log_q = log_w - found, log_q + found
    return log_w + _joint(structure, params, states), log_q


def _joint(structure: Any, params: Tree, states: list[Value]) -> Value:
    """log p of the states of all layers; constants that cancel against q are left out."""
    if "prior/bias" in params:
        log_p = _bernoulli(
            jnp.broadcast_to(params["prior/bias"], (len(states[0]), 1, len(params["prior/bias"]))), states[-1]
        )
    else:
        log_p = -0.5 * jnp.square(states[-1]).sum(-1)
    for layer, state, above in zip(structure.layers, states, states[1:], strict=False):
        outputs = _net(params, "generative", layer.name, structure.generative[layer.name].depth, above)
        if layer.kind == "bernoulli":
            log_p += _bernoulli(outputs, state)
        else:
            mean, log_sigma = jnp.split(outputs, 2, -1)
            log_p -= (0.5 * jnp.square((state - mean) * jnp.exp(-log_sigma)) + log_sigma).sum(-1)
    return log_p


def _mean(log_w: Value, log_q: Value) -> tuple[Value, Value]:
    """What to climb, and the evidence lower bound."""
    return log_w.mean(), log_w.mean()


def _weighted(log_w: Value, log_q: Value) -> tuple[Value, Value]:
    """What to climb, and the importance-weighted bound."""
    bound = jax.nn.logsumexp(log_w, 1).mean() - np.log(log_w.shape[1])
    return bound, bound


def _vimco(log_w: Value, log_q: Value) -> tuple[Value, Value]:
    """A surrogate with leave-one-out score terms (Mnih & Rezende 2016), and the importance-weighted bound."""
    bound, count, fixed = jax.nn.logsumexp(log_w, 1, keepdims=True), log_w.shape[1], lax.stop_gradient(log_w)
    others = (fixed.sum(1, keepdims=True) - fixed) / (count - 1)
    swapped = jnp.where(jnp.eye(count, dtype=bool), others[:, :, None], fixed[:, None, :])
    signal = lax.stop_gradient(bound) - jax.nn.logsumexp(swapped, 2)
    mean = bound.mean() - np.log(count)
    return mean + (signal * log_q).sum() / len(log_w), mean


OBJECTIVES: dict[str, Callable[[Value, Value], tuple[Value, Value]]] = {
    "vae": _mean,
    "iwae": _weighted,
    "vimco": _vimco,
}


def _drawn(layer: Layer, state: Value) -> tuple[Value, Value]:
    """Normal noise, or uniform for 0/1 units, of 24 bits; never 0 or 1."""
    state, found = bits(state)
    uniform = ((found >> 8).astype(jnp.float32) + 0.5) * 2.0**-24
    return state, np.sqrt(2) * lax.erf_inv(2 * uniform - 1) if layer.kind == "gaussian" else uniform


def lesson(problem: Lesson, threads: int) -> Work:
    """A training step on the next batch: noise, forward, backward, update."""
    structure, objective, rate = problem.machine.structure, OBJECTIVES[problem.objective], problem.learning_rate
    shapes = {x.name: (problem.batch, problem.samples, x.units) for x in structure.latent}
    layers, batches = {x.name: x for x in structure.latent}, np.stack(problem.batches())

    def climb(params: Tree, x: Value, noise: Tree) -> tuple[Value, Value]:
        return objective(*_terms(structure, params, x, noise))

    slope = jax.value_and_grad(climb, has_aux=True)

    def step(_: Value, s: Tree, fixed: Tree) -> Tree:
        x = lax.dynamic_index_in_dim(fixed["batches"], s["count"] % len(batches), keepdims=False)
        drawn = {name: _drawn(layers[name], state) for name, state in s["noise"].items()}
        _, found = slope(s["params"], x, {name: each[1] for name, each in drawn.items()})
        count = s["count"] + 1
        (keep1, keep2), time = DECAY, count.astype(jnp.float32)
        size = rate * jnp.sqrt(1 - keep2**time) / (1 - keep1**time)
        floor = EPSILON * jnp.sqrt(1 - keep2**time)
        first = jax.tree.map(lambda m, g: keep1 * m + (1 - keep1) * g, s["first"], found)
        second = jax.tree.map(lambda m, g: keep2 * m + (1 - keep2) * g * g, s["second"], found)
        params = jax.tree.map(lambda p, m, v: p + size * m / (jnp.sqrt(v) + floor), s["params"], first, second)
        noise = {name: each[0] for name, each in drawn.items()}
        return {"params": params, "first": first, "second": second, "noise": noise, "count": count}

    params = {name: np.array(x, np.float32) for name, x in problem.machine.params.items()}
    zero = [{name: np.zeros_like(x) for name, x in params.items()} for _ in range(2)]
    noise = {name: stream(shape, i) for i, (name, shape) in enumerate(shapes.items())}
    start = {"params": params, "first": zero[0], "second": zero[1], "noise": noise, "count": 0}
    run = looped(step, start, {"batches": batches})

    def probe(given: Noise) -> Slope:
        noise = {name: jnp.asarray(given[name], jnp.float32).reshape(shape) for name, shape in shapes.items()}
        (_, bound), found = jax.jit(slope)(run(0)["params"], jnp.asarray(batches[0]), noise)
        return float(bound), {name: np.asarray(found[name]) for name in params}

    return Work(lambda count: void(run(count)), lambda: tuple(np.asarray(run(0)["params"][n]) for n in params), probe)
