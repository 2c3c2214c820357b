"""What a training rule is: arrays that it keeps from step to step, and a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from boltz.parallel import Workers
from boltz.rng import Key

Array = NDArray[Any]
RuleState = dict[str, Array]
WATCH = "watch/"  # arrays of one number that are recorded after each epoch start so


@dataclass(frozen=True)
class Clock:
    """Where a step stands: random key of the stage, number of the step, epochs done (fractions count), and the numbers
    of the rows of the batch among all training rows, (rows,).

    In a captured graph the number is a counter, and the rows are not told. In a program it is a count, and the rows are
    an array of the numbers of all rows and the count of the first of the batch.

    labels (rows,) are those of the batch, -1 for unlabelled rows, and taught labelled rows (rows, units) with theirs;
    None where a run has no labels.
    """

    key: Key
    step: Any
    done: float = 0.0
    rows: Any = None
    labels: Any = None
    taught: tuple[Array, Array] | None = None


class Workspace(Protocol):
    """Buffers that outlive a step; nothing in them is state."""

    machine: Any
    gradient: Array


class Rule(Protocol):
    """A training rule; a registered one has a name, a documented equation and tests of its expected gradient."""

    @property
    def start_rows(self) -> int:
        """How many visible rows init asks for, at most."""

    def recordable(self, machine: Any) -> bool:
        """Whether gradient is made of primitives alone, so that a program of steps can be made of it."""

    def replayable(self, machine: Any) -> bool:
        """Whether gradient neither waits for a device nor depends on more of the clock than its key and step."""

    def init(self, machine: Any, rows: Array, key: Key, total: int) -> RuleState:
        """The arrays at the start of a stage, given some visible rows (rows, units) of so many training rows.

        Those with an entry for each training row have names that start with "row/".
        """

    def workspace(self, machine: Any) -> Workspace:
        """Buffers for training this machine."""

    def gradient(self, work: Any, batch: Array, state: RuleState, clock: Clock, pool: Workers) -> Mapping[str, Array]:
        """The ascent direction for a batch (rows, units) as named views of work.gradient; state changes in place."""

    def measure(self, machine: Any, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
        """What is recorded after an epoch, from fixed rows of training and of held-out data, the latter maybe empty."""

    def score(self, machine: Any, train: Array, held_out: Array, key: Key) -> float | None:
        """A quick log-likelihood of held-out rows (nats a row), None where no one law belongs to the machine."""
