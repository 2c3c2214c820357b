"""What the JAX sides share: random bits of their own, and loops of steps in one compiled call with donated buffers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Value = jax.Array
Tree = dict[str, Any]


def stream(shape: tuple[int, ...], seed: int) -> Value:
    """The state of a generator xoroshiro64* (Blackman & Vigna 2018) for every unit, from JAX's own bits."""
    return jax.random.bits(jax.random.key(seed), (2, *shape), jnp.uint32) | jnp.uint32(1)


def bits(state: Value) -> tuple[Value, Value]:
    """The generators moved on, and 32 bits of each."""
    a, b = state[0], state[1]
    found, b = a * jnp.uint32(0x9E3779BB), b ^ a
    a = (a << 26 | a >> 6) ^ b ^ (b << 9)
    return jnp.stack([a, b << 13 | b >> 19]), found


def sigmoid(x: Value) -> Value:
    """The logistic function to an absolute error of one rounding, by the tanh that XLA vectorises best."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def draw(state: Value, mean: Value) -> tuple[Value, Value]:
    """0/1 in float32 from means: 30 random bits against a threshold."""
    state, found = bits(state)
    on = (found >> 2).astype(jnp.int32) < (mean * 2.0**30).astype(jnp.int32)
    return state, on.astype(jnp.float32)


def looped(step: Callable[[Value, Tree, Tree], Tree], state: Tree, fixed: Tree) -> Callable[[int], Tree]:
    """run(count): so many steps in one call whose state stays in the same buffers; gives the state."""
    kept = [jax.tree.map(jnp.asarray, state)]
    fixed = jax.tree.map(jnp.asarray, fixed)

    @partial(jax.jit, donate_argnums=0)
    def steps(state: Tree, fixed: Tree, count: int) -> Tree:
        return lax.fori_loop(0, count, lambda i, s: step(i, s, fixed), state)

    def run(count: int) -> Tree:
        if count:
            kept[0] = jax.block_until_ready(steps(kept[0], fixed, count))
        return kept[0]

    return run


def void(_: object) -> None:
    """Drop a value."""
