"""Learners beside a machine: nets with an arena and an optimizer of their own, kept in the state of a rule.

A discriminator tells draws of a prior (1) from codes (0) by the log-odds of a net (Goodfellow et al. 2014, eq. 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.nn.arena import Part, Tape, size, views, zeros
from boltz.nn.dense import Net
from boltz.parallel import Workers, shares
from boltz.rng import Key
from boltz.training import optimizers
from boltz.training.rules import RuleState
from boltz.training.settings import Common

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]
NAME = "net"
LEAST_NORM = 1e-12


@dataclass(frozen=True, eq=False)
class Learner:
    """Parameters by name in a flat arena, as optimizers update them."""

    shapes: Shapes
    arena: Array

    @cached_property
    def params(self) -> dict[str, Array]:
        """Views of the arena by name."""
        return views(self.shapes, self.arena)

    def views(self, arena: Array) -> dict[str, Array]:
        """Another arena of this shape by name."""
        return views(self.shapes, arena)

    def spans(self) -> list[tuple[slice, bool]]:
        """All of the arena, on which nothing decays."""
        return [(slice(0, self.arena.size), False)]


@dataclass(frozen=True)
class Stand:
    """The state of a learner's optimizer among the arrays of a rule, under a name, and how its steps are taken."""

    name: str
    settings: Common

    def begin(self, learner: Learner) -> RuleState:
        """The arrays at the start."""
        return {f"{self.name}/{key}": x for key, x in optimizers.init(self.settings, learner).items()}

    def step(self, learner: Learner, gradient: Array, state: RuleState, at: tuple[float, int], pool: Workers) -> None:
        """One step of ascent after so many epochs, with its number from 1; the next look finds what is not finite."""
        prefix = f"{self.name}/"
        moments = {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}
        step = optimizers.step_at(self.settings, *at)
        optimizers.apply(self.settings, learner, gradient, moments, step, pool)


@dataclass(frozen=True)
class Discriminator:
    """A net from points (rows, units) to log-odds that they are draws, its parameters in the state of a rule."""

    name: str
    units: int
    widths: tuple[int, ...]
    activation: str = "relu"

    @cached_property
    def net(self) -> Net:
        return Net((self.units, *self.widths, 1), self.activation)

    @cached_property
    def shapes(self) -> Shapes:
        return self.net.shapes(NAME)

    @property
    def key(self) -> str:
        """The name of its arena among the arrays of a rule."""
        return f"{self.name}/arena"

    def begin(self, key: Key, like: Array) -> RuleState:
        """Its arena at the start, uniform weights as in Glorot & Bengio (2010), in the type of another array."""
        learner = Learner(self.shapes, np.zeros(size(self.shapes), like.dtype))
        self.net.start(NAME, learner.params, key.derive(self.name), 1)
        return {self.key: learner.arena}

    def learner(self, state: RuleState) -> Learner:
        return Learner(self.shapes, state[self.key])

    def fill(self, tape: Tape, points: Array, noise: tuple[Key, int, float]) -> None:
        """Put points (rows, units) on a tape, with noise of a key and a step in a standard deviation."""
        heard = tape.get("points", *points.shape)
        key, step, sigma = noise
        if sigma == 0:
            heard[...] = points
            return
        kernels.normal(key.derive(self.name).stream(step), numbers(0, len(points), points), heard)
        heard *= heard.dtype.type(sigma)
        heard += points

    def told(self, learner: Learner, tape: Tape, targets: Array, pool: Workers) -> Array:
        """Log-probabilities (rows,) in nats of targets (rows, 1) for the points on a tape, with the derivatives by the
        log-odds left there.
        """
        bias = self.net.bias(NAME, learner.params)

        def work(rows: slice) -> Array:
            part = Part(tape, rows, len(targets))
            value, _ = self.net.forward(NAME, learner.params, "points", part)
            found = zeros(value)
            kernels.bernoulli_score(value, bias, targets[rows], found)
            return found

        return np.concatenate(pool.map(work, shares(len(targets), targets)))

    def slope(self, learner: Learner, tape: Tape, rows: int, pool: Workers) -> Array:
        """Derivative (rows, units) of the log-probabilities by the points, after `told`."""

        def work(mine: slice) -> None:
            part = Part(tape, mine, rows)
            self.net.pulled(NAME, learner.params, part)(self._delta(part), None, True, False)

        pool.map(work, shares(rows, learner.arena))
        return tape.get(f"{NAME}/signal", rows, self.units)

    def gradient(self, learner: Learner, tape: Tape, rows: int, pool: Workers) -> Array:
        """Derivative of the summed log-probabilities by the parameters, flat, after `told`; it is on the tape."""

        def work(mine: slice) -> None:
            part = Part(tape, mine, rows)
            self.net.pulled(NAME, learner.params, part)(self._delta(part), None, False)

        pool.map(work, shares(rows, learner.arena))
        found = tape.get("gradient", 1, learner.arena.size)[0]
        pool.map(
            lambda job: job(),
            self.net.products(NAME, (learner.params, learner.views(found)), "points", tape.whole(rows)),
        )
        return found

    def _delta(self, part: Part) -> Array:
        return part.get(f"{NAME}/{self.net.depth - 1}/delta", 1)

    def penalty(self, learner: Learner, tape: Tape, rows: int, first: int) -> Array:
        """Derivative by the parameters of half the summed squared slope of the log-odds at the first points on a tape
        (Mescheder, Geiger & Nowozin 2018, eq. 9), after `told`; the net is linear where its rectified units are on.
        """
        last = self.net.depth - 1
        weights = [learner.params[f"{NAME}/{i}/weight"] for i in range(self.net.depth)]
        masks = [tape.get(f"{NAME}/{i}/value", rows, self.net.sizes[i + 1])[:first] > 0 for i in range(last)]
        sent = [np.ones((first, 1), learner.arena.dtype)]
        for i in reversed(range(1, self.net.depth)):
            sent.insert(0, (sent[0] @ weights[i].T) * masks[i - 1])
        found = np.zeros_like(learner.arena)
        named, back = learner.views(found), sent[0] @ weights[0].T
        for i in range(self.net.depth):
            named[f"{NAME}/{i}/weight"][...] = back.T @ sent[i]
            if i < last:
                back = (back @ weights[i]) * masks[i]
        return found

    def bound(self, state: RuleState) -> None:
        """Divide each weight matrix by its spectral norm where this is above 1, by one power iteration a step (Miyato
        et al. 2018, Algorithm 1); the vectors are kept in the state.
        """
        learner = self.learner(state)
        for i in range(self.net.depth):
            weight, kept = learner.params[f"{NAME}/{i}/weight"], state[f"{self.name}/vector/{i}"]
            left = weight @ kept
            left /= max(float(np.linalg.norm(left)), LEAST_NORM)
            right = weight.T @ left
            norm = float(np.linalg.norm(right))
            kept[...] = right / max(norm, LEAST_NORM)
            weight /= weight.dtype.type(max(norm, 1.0))

    def vectors(self, like: Array) -> RuleState:
        """What `bound` keeps, at the start."""
        return {f"{self.name}/vector/{i}": np.full(n, n**-0.5, like.dtype) for i, n in enumerate(self.net.sizes[1:])}
