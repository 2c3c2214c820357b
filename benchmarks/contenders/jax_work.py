"""The JAX loops: whole runs of steps in one compiled call, with donated buffers and random bits of their own.

Chosen by timing on a CPU; the variants are in benchmarks/README.md. This module runs in a child process, as JAX fixes
the number of its threads when it starts. Nothing here is differentiated but the directed machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from . import LESSONS, Array, Problem, Work, parameters
from .jax_directed import lesson
from .jax_loops import Tree, Value, draw, looped, sigmoid, stream, void

BLOCK = 250


def _training(problem: Problem, step: Callable[[Value, Tree, Tree], Tree], state: Tree) -> Work:
    """Steps that change the parameters w and b in the state, on batches x that follow one another."""

    def on_batch(i: Value, s: Tree, fixed: Tree) -> Tree:
        place = s["place"]
        x = lax.dynamic_index_in_dim(fixed["batches"], place, keepdims=False)
        return step(i, s, {"x": x}) | {"place": (place + 1) % len(fixed["batches"])}

    state |= {"w": [np.array(x) for x in problem.weights], "b": [np.array(x) for x in problem.biases], "place": 0}
    run = looped(on_batch, state, {"batches": np.stack(problem.batches())})

    def result() -> tuple[Array, ...]:
        found = run(0)
        return parameters([np.asarray(x) for x in found["w"]], [np.asarray(x) for x in found["b"]])

    return Work(lambda count: void(run(count)), result)


def _signs(batch: int, chains: int) -> Array:
    """Weights of the rows of both phases, (rows, 1)."""
    return np.repeat(np.array([1 / batch, -1 / chains], np.float32), [batch, chains])[:, None]


def pcd(problem: Problem, threads: int) -> Work:
    """Persistent contrastive divergence with k = 1: one product down, one up for rows and chains, one gradient."""
    n, rate, signs = problem.batch, problem.learning_rate, _signs(problem.batch, problem.chains)

    def step(i: Value, s: Tree, given: Tree) -> Tree:
        (w,), (b, c) = s["w"], s["b"]
        noise_v, v = draw(s["v"], sigmoid(s["h"] @ w.T + b))
        both = jnp.concatenate([given["x"], v])
        mean = sigmoid(both @ w + c)
        noise_h, h = draw(s["noise"], mean[n:])
        mean *= signs
        moved = [b + rate * (signs[:, 0] @ both), c + rate * mean.sum(0)]
        return {"w": [w + rate * (both.T @ mean)], "b": moved, "h": h, "v": noise_v, "noise": noise_h}

    noise = {"v": stream(problem.start["v"].shape, 1), "noise": stream(problem.start["h1"].shape, 2)}
    return _training(problem, step, {"h": problem.start["h1"]} | noise)


def cd(problem: Problem, threads: int) -> Work:
    """Contrastive divergence with k sweeps from the batch."""
    n, rate, signs = problem.batch, problem.learning_rate, _signs(problem.batch, problem.batch)

    def step(i: Value, s: Tree, given: Tree) -> Tree:
        (w,), (b, c) = s["w"], s["b"]
        first = sigmoid(given["x"] @ w + c)

        def sweep(_: Value, now: tuple[Value, ...]) -> tuple[Value, ...]:
            noise_v, noise_h, _, mean = now
            noise_h, h = draw(noise_h, mean)
            noise_v, v = draw(noise_v, sigmoid(h @ w.T + b))
            return noise_v, noise_h, v, sigmoid(v @ w + c)

        noise_v, noise_h, v, last = lax.fori_loop(0, problem.k, sweep, (s["v"], s["noise"], given["x"], first))
        both, mean = jnp.concatenate([given["x"], v]), jnp.concatenate([first, last]) * signs
        moved = [b + rate * (signs[:, 0] @ both), c + rate * mean.sum(0)]
        return {"w": [w + rate * (both.T @ mean)], "b": moved, "v": noise_v, "noise": noise_h}

    units = [len(b) for b in problem.biases]
    return _training(problem, step, {"v": stream((n, units[0]), 1), "noise": stream((n, units[1]), 2)})


def _field(s: Tree, layer: int, states: list[Value], evidence: Value | None = None) -> Value:
    """Total input of a layer from its neighbours; evidence stands for what comes from below where it is given."""
    field = s["b"][layer] if evidence is None else evidence
    if layer and evidence is None:
        field += states[layer - 1] @ s["w"][layer - 1]
    if layer < len(s["w"]):
        field += states[layer + 1] @ s["w"][layer].T
    return field


def _mean_field(s: Tree, x: Value, sweeps: int) -> list[Value]:
    """Means of all layers given x; from a bottom-up pass with doubled inputs, odd layers before even ones."""
    w, b = s["w"], s["b"]
    means, evidence = [x], x @ w[0]
    for layer in range(1, len(b)):
        heard = evidence if layer == 1 else means[-1] @ w[layer - 1]
        means.append(sigmoid((2.0 if layer < len(w) else 1.0) * heard + b[layer]))
    evidence += b[1]

    def sweep(_: Value, means: list[Value]) -> list[Value]:
        for layer in (*range(1, len(b), 2), *range(2, len(b), 2)):
            means = list(means)
            means[layer] = sigmoid(_field(s, layer, means, evidence if layer == 1 else None))
        return means

    return lax.fori_loop(0, sweeps, sweep, means)


def dbm(problem: Problem, threads: int) -> Work:
    """Any number of hidden layers: mean field for the rows, one sweep of the persistent chains."""
    rate, signs = problem.learning_rate, _signs(problem.batch, problem.chains)
    layers = range(len(problem.biases))

    def step(i: Value, s: Tree, given: Tree) -> Tree:
        positive = _mean_field(s, given["x"], problem.mean_field_sweeps)
        states, noise, both = list(s["states"]), list(s["noise"]), [jnp.zeros(())] * len(layers)
        for layer in layers[::2]:
            noise[layer], states[layer] = draw(noise[layer], sigmoid(_field(s, layer, states)))
            both[layer] = jnp.concatenate([positive[layer], states[layer]])
        for layer in layers[1::2]:
            mean = sigmoid(_field(s, layer, states))
            both[layer] = jnp.concatenate([positive[layer], mean]) * signs
            noise[layer], states[layer] = draw(noise[layer], mean)
        w = [x + rate * (both[i].T @ both[i + 1]) for i, x in enumerate(s["w"])]
        b = [x + rate * (both[i].sum(0) if i % 2 else signs[:, 0] @ both[i]) for i, x in enumerate(s["b"])]
        return {"w": w, "b": b, "states": states, "noise": noise}

    states = list(problem.start.values())
    return _training(problem, step, {"states": states, "noise": [stream(x.shape, i) for i, x in enumerate(states)]})


def _deal(threads: int) -> Callable[[Callable[[int], None], Iterable[int]], None]:
    """Call a function for each number, so many at once: JAX does not run two programs at a time of its own accord."""
    pool = ThreadPoolExecutor(threads)

    def run(job: Callable[[int], None], numbers: Iterable[int]) -> None:
        for done in pool.map(job, numbers):
            void(done)

    return run


def gibbs(problem: Problem, threads: int) -> Work:
    """Block Gibbs sweeps, hidden then visible; each block of chains goes through all sweeps of a run."""
    fixed = jax.tree.map(jnp.asarray, [problem.weights[0], *problem.biases])

    @partial(jax.jit, donate_argnums=0)
    def sweeps(block: tuple[Value, ...], w: Value, b: Value, c: Value, count: int) -> tuple[Value, ...]:
        def sweep(_: Value, s: tuple[Value, ...]) -> tuple[Value, ...]:
            v, _, noise_v, noise_h = s
            noise_h, h = draw(noise_h, sigmoid(v @ w + c))
            noise_v, v = draw(noise_v, sigmoid(h @ w.T + b))
            return v, h, noise_v, noise_h

        return lax.fori_loop(0, count, sweep, block)

    blocks, deal = [], _deal(threads)
    for i, place in enumerate(np.array_split(np.arange(problem.chains), -(-problem.chains // BLOCK))):
        states = [problem.start[name][place] for name in ("v", "h1")]
        blocks.append((*map(jnp.asarray, states), *(stream(x.shape, 2 * i + j) for j, x in enumerate(states))))

    def run(count: int) -> None:
        def job(i: int) -> None:
            blocks[i] = jax.block_until_ready(sweeps(blocks[i], *fixed, count))

        deal(job, range(len(blocks)))

    return Work(run, lambda: tuple(np.concatenate([np.asarray(block[i]) for block in blocks]) for i in (0, 1)))


def _ladder(problem: Problem) -> tuple[Value, tuple[Value, ...], float]:
    """The visible field at 0; what each temperature needs, an array a kind; and log Z at 0."""
    ends = [np.asarray(b, np.float64) for b in problem.biases]
    starts = [np.log(r) - np.log1p(-r) for r in (np.asarray(problem.rates[n], np.float64) for n in ("v", "h1"))]
    betas = np.linspace(0, 1, problem.betas + 1)
    line = betas[:, None]
    visible, hidden = ((1 - line) * a + line * e for a, e in zip(starts, ends, strict=True))
    change = np.diff(line, axis=0) * (ends[0] - starts[0])
    rungs = (betas[:-1], betas[1:], change, hidden[:-1], hidden[1:], visible[1:])
    log_z = float(sum(np.logaddexp(0, a).sum() for a in starts))
    return jnp.asarray(visible[0], jnp.float32), tuple(jnp.asarray(x, jnp.float32) for x in rungs), log_z


def ais(problem: Problem, threads: int) -> Work:
    """Whole annealing runs, the hidden layer summed out, two products a temperature; weights added up in float64.

    softplus(a1) - softplus(a0) = log(sigmoid(-a0) / sigmoid(-a1)), so one logarithm of a product of ratios serves a
    chain; right to float32 while fields stay below 87, as those of a trained machine do.
    """
    (start, rungs, log_z), weight, found = _ladder(problem), jnp.asarray(problem.weights[0]), {}
    sizes = [len(x) for x in np.array_split(np.arange(problem.chains), threads)]
    noise = [[stream((n, len(b)), 2 * i + j) for j, b in enumerate(problem.biases)] for i, n in enumerate(sizes)]
    deal = _deal(threads)

    @partial(jax.jit, donate_argnums=0)
    def anneal(noise: list[Value], w: Value, start: Value, rungs: tuple[Value, ...]) -> tuple[list[Value], Value]:
        def step(now: tuple[Value, ...], rung: tuple[Value, ...]) -> tuple[tuple[Value, ...], Value]:
            (v, noise_v, noise_h), (before, after, change, c0, c1, b) = now, rung
            field = v @ w
            off0, off1 = (jax.nn.sigmoid(-(c + beta * field)) for c, beta in ((c0, before), (c1, after)))
            noise_h, h = draw(noise_h, 1 - off1)
            gain = v @ change + jnp.log(jnp.prod(off0 / off1, axis=1))
            noise_v, v = draw(noise_v, sigmoid(b + after * (h @ w.T)))
            return (v, noise_v, noise_h), gain

        noise_v, v = draw(noise[0], jnp.broadcast_to(sigmoid(start), noise[0].shape[1:]))
        (_, *noise), gains = lax.scan(step, (v, noise_v, noise[1]), rungs)
        return noise, gains

    def job(i: int) -> None:
        noise[i], gains = anneal(noise[i], weight, start, rungs)
        found[i] = np.asarray(gains, np.float64).sum(axis=0) + log_z

    def run(count: int) -> None:
        for _ in range(count):
            deal(job, range(len(noise)))

    return Work(run, lambda: (np.concatenate([found[i] for i in range(len(noise))]),))


def makers() -> dict[str, Callable[[Any, int], Work]]:
    """What the child offers, by kind of work."""
    jax.config.update("jax_default_matmul_precision", "highest")
    return {"pcd": pcd, "cd": cd, "gibbs": gibbs, "ais": ais, "dbm": dbm, "deep": dbm} | dict.fromkeys(LESSONS, lesson)
