"""Flows written unit by unit in plain numpy, from the parameters by name; parameters and states may be complex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from oracles.directed import ACTIVATIONS, Values


@dataclass(frozen=True)
class Flow:
    """What a flow is, apart from its parameters; kind is that of its steps, "mean-only" or "affine"."""

    units: int
    steps: int
    widths: tuple[int, ...]
    kind: str
    activation: str
    context: int = 0
    coupling: bool = False
    reversed: bool = True

    def degree(self, layer: int, unit: int) -> int:
        """The degree of a unit of the inputs, of a hidden layer, or of the outputs of an autoregressive step."""
        if layer == 0:
            return max(unit - self.context + 1, 0)
        if layer <= len(self.widths):
            low = 0 if self.context else 1
            return low + unit * max(self.units - low, 1) // self.widths[layer - 1]
        return unit // (2 if self.kind == "affine" else 1) + 1

    def hears(self, layer: int, above: int, below: int) -> bool:
        """Whether a unit of a layer hears one of the layer below."""
        if self.coupling:
            return True
        mine, other = self.degree(layer, above), self.degree(layer - 1, below)
        return other < mine if layer > len(self.widths) else other <= mine

    def outputs(self, params: dict[str, Values], name: str, x: Values) -> Values:
        """Outputs (rows, outputs) of the net of a step."""
        for i in range(len(self.widths) + 1):
            weight, bias = params[f"{name}/{i}/weight"], params[f"{name}/{i}/bias"]
            live = [[self.hears(i + 1, b, a) for b in range(weight.shape[1])] for a in range(weight.shape[0])]
            x = (x if i == 0 else ACTIVATIONS[self.activation](x)) @ np.where(live, weight, 0) + bias
        return x

    def parts(self, params: dict[str, Values], name: str, x: Values, context: Values) -> tuple[Values, Values]:
        """m and s (rows, units) of a step."""
        seen = self.units // 2 if self.coupling else self.units
        found = self.outputs(params, name, np.concatenate([context, x[:, :seen]], axis=1))
        whole = np.zeros((2, *x.shape), np.result_type(x, found))
        moved = whole[:, :, seen:] if self.coupling else whole
        moved[0] = found if self.kind == "mean-only" else found[:, 0::2]
        if self.kind == "affine":
            moved[1] = 3 * np.tanh(found[:, 1::2] / 3)
        return whole[0], whole[1]

    def forward(self, params: dict[str, Values], x: Values, context: Any = None) -> tuple[Values, Values]:
        """y (rows, units) and log |det dy/dx| (rows,)."""
        context = np.zeros((len(x), 0)) if context is None else context
        log_det: Any = np.zeros(len(x))
        for t in range(self.steps):
            x = x[:, ::-1] if t > 0 and self.reversed else x
            mean, log_scale = self.parts(params, f"f/{t}", x, context)
            x = (x - mean) * np.exp(-log_scale)
            log_det = log_det - log_scale.sum(axis=1)
        return x, log_det

    def inverse(self, params: dict[str, Values], y: Values, context: Any = None) -> Values:
        """x (rows, units) of y: as many passes a step as there are units, each of which settles one more."""
        context = np.zeros((len(y), 0)) if context is None else context
        for t in reversed(range(self.steps)):
            x = y
            for _ in range(self.units):
                mean, log_scale = self.parts(params, f"f/{t}", x, context)
                x = y * np.exp(log_scale) + mean
            y = x[:, ::-1] if t > 0 and self.reversed else x
        return y

    def log_density(self, params: dict[str, Values], z: Values) -> Values:
        """log p(z) (rows,) in nats of the prior with standard normal noise."""
        noise, log_det = self.forward(params, z)
        return log_det - 0.5 * np.sum(noise * noise + np.log(2 * np.pi), axis=1)
