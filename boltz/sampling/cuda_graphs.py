"""Annealing along the base-rate path on a device: graphs of temperatures, which find their place by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.cuda import launch
from boltz.kernels.cuda.graphs import Clock, Replay
from boltz.rng import Key
from boltz.sampling.inputs import Scratch, layer_input
from boltz.targets import BaseRatePath

Array = NDArray[Any]


class Captured:
    """A block of chains on its way through the temperatures (steps + 1,), one after the other from the first on.

    The arithmetic is that of annealing.GibbsPath.step; biases at a temperature are made on the device.
    """

    def __init__(
        self,
        density: BaseRatePath,
        turned: Mapping[Any, Any],
        chains: tuple[dict[str, Array], Array],
        betas: Array,
        key: Key,
        first: int,
    ) -> None:
        self.density, self.turned, (self.state, self.weights), self.first = density, turned, chains, first
        self.clock, self.scratch = Clock.before(1, betas), Scratch(density.machine.arena)
        layers, self.parts, start = density.machine.graph.units, {}, 0
        for layer, units in layers.items():
            self.parts[layer] = slice(start, start + units)
            start += units
        base, change, bend = (np.concatenate(x) for x in zip(*map(density.course, layers), strict=True))
        self.course = base, change, bend if density.bend else None
        self.biases: Any = tuple(np.empty_like(density.machine.arena, shape=(start,)) for _ in range(3))
        self.streams = {layer: key.derive("anneal", layer).stream(self.clock.counter) for layer in layers}
        self.replay = Replay(self._step)

    def run(self, temperatures: int) -> None:
        """Go on by so many temperatures."""
        self.replay.run(temperatures)

    def _step(self) -> None:
        density, machine, now = self.density, self.density.machine, self.clock.now
        self.clock.tick()
        launch.tilt(self.course, now, self.biases)
        before, after, moved = ({n: x[part] for n, part in self.parts.items()} for x in self.biases)
        for layer in density.held:
            launch.row_dot(self.state[layer], moved[layer], self.weights)
        for layer in density.summed:
            inputs = layer_input(machine, layer, self.state, self.scratch, self.turned)
            drawn = self.streams[layer], self.first, self.state[layer]
            machine.unit_type(layer).anneal(inputs, now, (before[layer], after[layer]), *drawn, self.weights)
        for layer in density.held:
            inputs = layer_input(machine, layer, self.state, self.scratch, self.turned)
            machine.unit_type(layer).sample(
                inputs, now[1:], after[layer], self.streams[layer], self.first, self.state[layer]
            )
