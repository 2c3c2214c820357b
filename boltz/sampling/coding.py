"""The encoder of an adversarial autoencoder: a forward pass to codes and labels, and the way back to its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import LABEL_HEAD, Game
from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.dense import ACTIVATIONS, Net, contractions, total
from boltz.nn.factors import Place
from boltz.parallel import Workers, shares
from boltz.rng import Key

Array = NDArray[Any]
Labels = NDArray[np.int64]
ROWS, HIDDEN, CODED, SHARES = "heard rows", "hidden", "coded", "shares"  # buffers


@dataclass(frozen=True, eq=False)
class Coder:
    """The encoder of a machine; its parameters are the last of the arena."""

    machine: HelmholtzMachine

    @cached_property
    def game(self) -> Game:
        found = self.machine.structure.game
        assert found is not None
        return found

    @property
    def layer(self) -> str:
        return self.machine.hidden_layers[0].name

    @property
    def name(self) -> str:
        return f"recognition/{self.layer}"

    @property
    def code(self) -> str:
        """The buffer of the codes."""
        return f"state/{self.layer}"

    @property
    def units(self) -> int:
        """Units of a code."""
        return self.machine.units[self.layer]

    @cached_property
    def trunk(self) -> Net:
        """The deterministic layers, without what comes out of them."""
        structure = self.machine.structure
        return Net(structure.recognition[self.layer].sizes[:-1], structure.activation)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of its parameters by name."""
        return {n: shape for n, shape in self.machine.structure.shapes.items() if n.startswith("recognition/")}

    @property
    def start(self) -> int:
        """Where its parameters start in the arena."""
        return self.machine.arena.size - size(self.shapes)

    def parts(self, tape: Tape, rows: int) -> list[Part]:
        """Blocks of a batch."""
        return [Part(tape, each, rows) for each in shares(rows, tape.like)]

    def place(self, name: str, part: Part) -> Place:
        return Place(name, self.machine.params, part, self.code)

    def codes(self, tape: Tape, rows: int) -> Array:
        """The codes (rows, units) on a tape."""
        return tape.get(self.code, rows, self.units)

    def shares(self, tape: Tape, rows: int) -> Array:
        """The probabilities (rows, labels) of inferred labels on a tape."""
        return tape.get(SHARES, rows, self.game.labels)

    def given_shares(self, tape: Tape, labels: Labels) -> Array | None:
        """What the decoder hears of labels: those inferred, or those known, all alike where none is; None for none."""
        if self.game.inferred:
            return self.shares(tape, len(labels))
        if self.game.told != "decoder":
            return None
        known = np.eye(self.game.labels, dtype=self.machine.dtype)[labels]
        known[labels < 0] = 1 / self.game.labels
        return known

    def hear(self, tape: Tape, batch: Array, key: Key | None, step: Any, sigma: float) -> None:
        """Put rows on a tape as the encoder hears them: with noise of a key and a step, and beside it that of an
        implicit encoder; without a key all noise is 0.
        """
        units, rows = batch.shape[1], numbers(0, len(batch), batch)
        heard = tape.get(ROWS, len(batch), self.trunk.sizes[0])
        noise = np.empty_like(heard) if sigma or self.game.noise else heard[:0]
        if len(noise) and key is None:
            noise[...] = 0
        elif len(noise) and key is not None:
            kernels.normal(key.derive("noise").stream(step), rows, noise)
        if self.game.noise:
            heard[:, units:] = noise[:, units:]
        heard[:, :units] = batch + heard.dtype.type(sigma) * noise[:, :units] if sigma else batch
        if self.game.encoder == "gaussian":
            spread = tape.get(f"{CODED}/noise", len(batch), self.units)
            spread[...] = 0
            if key is not None:
                kernels.normal(key.derive("code").stream(step), rows, spread)

    def encode(self, part: Part) -> None:
        """Leave codes, and the probabilities of inferred labels, on a tape whose rows were heard."""
        params, last = self.machine.params, self.trunk.depth
        value, _ = self.trunk.forward(self.name, params, ROWS, part)
        hidden = part.get(HIDDEN, value.shape[1])
        kernels.copy(value, hidden)
        ACTIVATIONS[self.trunk.activation][0](hidden, params[f"{self.name}/{last - 1}/bias"])
        coded = part.get(CODED, 2 * self.units)
        kernels.product(hidden, params[f"{self.name}/{last}/weight"], coded)
        coded += params[f"{self.name}/{last}/bias"]
        code = part.get(self.code, self.units)
        code[...] = coded[:, : self.units]
        if self.game.encoder == "gaussian":
            offset = part.get(f"{CODED}/offset", self.units)
            np.multiply(np.exp(coded[:, self.units :]), part.get(f"{CODED}/noise", self.units), out=offset)
            code += offset
        if self.game.inferred:
            fields = part.get(f"{SHARES}/fields", self.game.labels)
            kernels.product(hidden, params[f"{LABEL_HEAD}/0/weight"], fields)
            part.get(SHARES, self.game.labels)[...] = softmax(fields + params[f"{LABEL_HEAD}/0/bias"], axis=1)

    def pull(self, tape: Tape, rows: int, signals: tuple[Array, ...], pool: Workers) -> None:
        """The way back of derivatives by codes (rows, units) and, where labels are inferred, by their probabilities."""
        by_code, fields = signals[0], None
        if self.game.inferred:
            found, by_share = self.shares(tape, rows), signals[1]
            fields = found * (by_share - np.sum(found * by_share, axis=1, keepdims=True))
        self._pull(tape, rows, by_code, fields, pool)

    def pull_fields(self, tape: Tape, rows: int, fields: Array, pool: Workers) -> None:
        """The same of derivatives by the fields of labels alone."""
        self._pull(tape, rows, None, fields, pool)

    def _pull(self, tape: Tape, rows: int, by_code: Array | None, fields: Array | None, pool: Workers) -> None:
        params, last = self.machine.params, self.trunk.depth

        def work(part: Part) -> None:
            delta = part.get(f"{CODED}/delta", 2 * self.units)
            delta[...] = 0
            if by_code is not None:
                delta[:, : self.units] = by_code[part.rows]
            if by_code is not None and self.game.encoder == "gaussian":
                delta[:, self.units :] = by_code[part.rows] * part.get(f"{CODED}/offset", self.units)
            below = part.get(f"{HIDDEN}/signal", self.trunk.sizes[-1])
            kernels.product(delta, params[f"{self.name}/{last}/weight"].T, below)
            if self.game.inferred:
                by_field = part.get(f"{SHARES}/delta", self.game.labels)
                by_field[...] = 0 if fields is None else fields[part.rows]
                more = part.get(f"{HIDDEN}/more", self.trunk.sizes[-1])
                kernels.product(by_field, params[f"{LABEL_HEAD}/0/weight"].T, more)
                below += more
            ACTIVATIONS[self.trunk.activation][1](part.get(HIDDEN, self.trunk.sizes[-1]), below)
            self.trunk.pulled(self.name, params, part)(below, None, False)

        pool.map(work, self.parts(tape, rows))

    def gradient(self, tape: Tape, rows: int, pool: Workers, found: Array) -> Array:
        """found := the derivative by its parameters, flat, after a way back."""
        named, whole, last = views(self.shapes, found), tape.whole(rows), self.trunk.depth
        hidden, delta = whole.get(HIDDEN, self.trunk.sizes[-1]), whole.get(f"{CODED}/delta", 2 * self.units)
        jobs = self.trunk.products(self.name, (self.machine.params, named), ROWS, whole)
        jobs += contractions(hidden, delta, named[f"{self.name}/{last}/weight"], False, tape.team)
        jobs.append(total(delta, named[f"{self.name}/{last}/bias"]))
        if self.game.inferred:
            fields = whole.get(f"{SHARES}/delta", self.game.labels)
            jobs += contractions(hidden, fields, named[f"{LABEL_HEAD}/0/weight"], False, tape.team)
            jobs.append(total(fields, named[f"{LABEL_HEAD}/0/bias"]))
        pool.map(lambda job: job(), jobs)
        return found
