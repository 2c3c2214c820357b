"""What is timed: one problem, the same for everybody, and the piece of work that a contender makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz

Array = NDArray[Any]
SIDES = ("boltz_side", "sklearn_side", "torch_side", "jax_side", "rbms_side")
LESSONS = {
    "vae": "vae",
    "iwae": "iwae",
    "iwae2": "iwae",
    "sbn": "vimco",
}  # kind of work on a directed machine -> objective


@dataclass(frozen=True, eq=False)
class Problem:
    """Weights W_l (n_l, n_(l+1)), biases b_l (n_l,) and 0/1 rows (rows, units), all float32, and what to do with them.

    start holds the chains, layer -> (chains, units) of 0/1; rates the mean activity of each layer on the rows, the base
    of annealed importance sampling, whose inverse temperatures are betas uniform steps from 0 to 1. k counts the sweeps
    of contrastive divergence; persistent chains always take one. passes counts those of fit over all rows.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    rows: Array
    start: Mapping[str, Array]
    rates: Mapping[str, Array]
    batch: int = 100
    k: int = 1
    learning_rate: float = 0.01
    mean_field_sweeps: int = 10
    betas: int = 200
    passes: int = 1

    @property
    def chains(self) -> int:
        """Number of chains."""
        return len(self.start["v"])

    @property
    def activity(self) -> dict[str, float]:
        """Share of the units that are on at the start, by layer."""
        return {layer: round(float(x.mean()), 3) for layer, x in self.start.items()}

    def batches(self) -> list[Array]:
        """The rows in contiguous batches of equal size, views."""
        return batches(self.rows, self.batch)


@dataclass(frozen=True, eq=False)
class Lesson:
    """A directed machine in float32, 0/1 rows (rows, units), and the objective by which Adam trains it.

    Peers take the structure and copies of the parameters; samples counts the draws a row.
    """

    machine: boltz.HelmholtzMachine
    rows: Array
    objective: str
    samples: int = 1
    batch: int = 100
    learning_rate: float = 0.001

    @property
    def activity(self) -> dict[str, float]:
        """Share of the units that are on, in the data."""
        return {"v": round(float(self.rows.mean()), 3)}

    def batches(self) -> list[Array]:
        """The rows in contiguous batches of equal size, views."""
        return batches(self.rows, self.batch)


class ContenderError(Exception):
    """A contender failed while it worked; the message is one sentence."""


Noise = Mapping[str, Array]
Slope = tuple[float, dict[str, Array]]


@dataclass(frozen=True)
class Work:
    """run(count) does count units of the work; result() gives what came of it so far.

    The result is weights, then biases after training; the states v, h after sampling; the log-weights after annealing;
    the parameters in the machine's order after a lesson. probe, which lessons have, gives the bound of the first batch
    (nats a row) and the gradient by name, for noise layer -> (rows * samples, units): normal, or uniform for 0/1 units.
    """

    run: Callable[[int], None]
    result: Callable[[], tuple[Array, ...]]
    probe: Callable[[Noise], Slope] | None = None


Maker = Callable[[Any, int], Work]


@dataclass(frozen=True)
class Contender:
    """A library: makers turn a problem and a number of threads into work, by kind; use_threads sets its pools."""

    name: str
    version: str
    use_threads: Callable[[int], object]
    makers: Mapping[str, Maker]


def available(say: Callable[[str], None]) -> list[Contender]:
    """The contenders that can be imported, boltz first; says which are left out and why."""
    found: list[Contender] = []
    for side in SIDES:
        try:
            found += import_module(f"contenders.{side}").contenders()
        except ImportError as problem:
            say(f"left out: {side.removesuffix('_side')} ({problem}); python3 -m pip install '.[benchmark]' adds it")
    return found


def batches(rows: Array, size: int) -> list[Array]:
    """Contiguous batches of equal size, views; what is left over stays out."""
    return [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)]


def parameters(weights: list[Array], biases: list[Array]) -> tuple[Array, ...]:
    """The result of training, as copies."""
    return tuple(np.array(x) for x in (*weights, *biases))


def fits(estimator: Any, problem: Problem) -> Work:
    """Whole trainings by an estimator that has the interface of scikit-learn's BernoulliRBM."""
    settings = {"learning_rate": problem.learning_rate, "batch_size": problem.batch, "n_iter": problem.passes}
    machine = estimator(len(problem.biases[1]), random_state=1, **settings)

    def run(count: int) -> None:
        for _ in range(count):
            machine.fit(problem.rows)

    def result() -> tuple[Array, ...]:
        return parameters([machine.components_.T], [machine.intercept_visible_, machine.intercept_hidden_])

    return Work(run, result)
