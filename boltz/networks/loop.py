"""The course of a fine-tuning: rounds, stages, epochs, and which epoch's parameters are kept.

In the first round held-out rows choose the epoch; a second one may train anew on all rows for as many epochs. In each
the outputs learn alone at first. Everything that happens follows from settings, data and the progress so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from boltz.arrays import beside, host
from boltz.data import Data
from boltz.errors import FileError, NumericalError
from boltz.foreign import shown
from boltz.networks.network import Network
from boltz.networks.settings import FineTuneSettings
from boltz.networks.step import CHUNK, Examples, Tuner, chunks, examples
from boltz.parallel import Workers, workers
from boltz.rng import Key
from boltz.training.optimizers import UPDATES, OptState, step_at

Array = NDArray[Any]
Rows = NDArray[np.int64]
Record = dict[str, Any]
Labelled = tuple[Data, NDArray[np.int64] | None]
STAGES = ("outputs", "network")
LBFGS = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 1e-9}  # epochs and patience end it
COUNTERS = ("round", "stage", "epoch", "chosen")


@dataclass
class Progress:
    """All that moves: the network, its parameters at the best epoch (empty before), the optimizer, and counters.

    chosen is the best epoch; score its (share of wrong classes, loss) on held-out rows, the first 0 for an autoencoder.
    """

    network: Network
    best: Array
    optimizer: OptState = field(default_factory=dict)
    score: tuple[float, float] = (np.inf, np.inf)
    seconds: float = 0.0
    round: int = 0
    stage: int = 0
    epoch: int = 0
    chosen: int = 0

    @classmethod
    def begin(cls, network: Network) -> Progress:
        """The progress before the first epoch; the network's parameters are copied."""
        return cls(network.with_arena(network.arena.copy()), network.arena[:0])

    def copied(self) -> Network:
        """A copy of the network as it stands."""
        return self.network.with_arena(self.network.arena.copy())

    def tensors(self) -> dict[str, Array]:
        """Everything by name as numpy arrays, for a checkpoint."""
        found = {"arena": self.network.arena, "best": self.best}
        found |= {f"optimizer/{name}": x for name, x in self.optimizer.items()}
        found["counters"] = np.array([getattr(self, name) for name in COUNTERS], np.int64)
        found["totals"] = np.array([*self.score, self.seconds])
        return {name: host(x) for name, x in found.items()}

    @classmethod
    def restored(cls, tensors: Mapping[str, Array], network: Network, source: str) -> Progress:
        """The progress kept in a checkpoint; raises FileError if it does not fit the network."""
        try:
            arena, best, totals = (np.array(tensors[name]) for name in ("arena", "best", "totals"))
            kept = {n.removeprefix("optimizer/"): np.array(x) for n, x in tensors.items() if n.startswith("optimizer/")}
            counters = {name: int(n) for name, n in zip(COUNTERS, tensors["counters"], strict=True)}
            *score, seconds = (float(number) for number in totals)
        except (KeyError, TypeError, ValueError) as problem:
            raise FileError(f"{source} is not the checkpoint of a fine-tuning ({shown(problem)}).") from problem
        wanted, like = network.arena.shape, network.arena
        if arena.shape != wanted or best.shape not in (wanted, (0,)) or len(score) != 2 or not _possible(counters):
            raise FileError(f"{source} does not fit the settings of its run.")
        moving = network if counters["stage"] else network.output()
        fits = [(x.shape, x.dtype) == (moving.arena.shape, network.dtype) for x in kept.values()]
        if arena.dtype != network.dtype or best.dtype != network.dtype or not all(fits):
            raise FileError(f"{source} does not fit the settings of its run.")
        optimizer = {name: beside(x, like) for name, x in kept.items()}
        moved = network.with_arena(beside(arena, like))
        return cls(moved, beside(best, like), optimizer, (score[0], score[1]), seconds, **counters)


def _possible(counters: Mapping[str, int]) -> bool:
    return min(counters.values()) >= 0 and counters["stage"] <= len(STAGES)


@dataclass(frozen=True)
class Lesson:
    """What a round learns from, and the rows that it is judged by, none at all perhaps."""

    data: Examples
    rows: Rows
    judge: Examples
    held: Rows


@dataclass
class Course:
    """A fine-tuning: settings, the network at its start, labelled rows and perhaps held-out ones, and the progress.

    record sees each epoch's record, and ends the training by answering True; saved is called where the progress may be
    kept, from which the training then goes on as if unbroken: at each end of an epoch, but with lbfgs, whose memory is
    its own, of a stage. pause is called between batches, and may raise.
    """

    settings: FineTuneSettings
    start: Network
    given: Labelled
    others: Labelled | None
    progress: Progress
    record: Callable[[Record], Any] = lambda record: None
    saved: Callable[[], None] = lambda: None
    pause: Callable[[], None] = lambda: None
    stopped: bool = False  # by the caller

    def __post_init__(self) -> None:
        self.key = Key.from_seed(self.settings.seed).derive("fine-tune")
        wanted = UPDATES[self.settings.optimizer][0] if self.settings.optimizer in UPDATES else ()
        if self.progress.epoch and set(self.progress.optimizer) != set(wanted):
            raise FileError(f"The checkpoint of this fine-tuning must hold the state of {self.settings.optimizer}.")

    def run(self) -> None:
        """Train from where the progress stands to the end, and keep the chosen parameters; raises NumericalError."""
        p, how = self.progress, self.settings.binarize
        data = examples(self.start, *self.given, how, self.key)
        judge = data if self.others is None else examples(self.start, *self.others, how, self.key.derive("held out"))
        with workers(self.start.arena) as pool:
            while p.round < 1 + self.settings.refit:
                self._round(pool, self._lesson(data, judge))

    def _lesson(self, data: Examples, judge: Examples) -> Lesson:
        """The rows of a round; a share of each class is held out where no others were given, as far as it goes."""
        count = len(data)
        if self.progress.round:
            return Lesson(data, np.arange(count), data, np.arange(0))
        if judge is not data:
            return Lesson(data, np.arange(count), judge, np.arange(len(judge)))
        held = np.zeros(count, bool)
        share = self.settings.validation
        number = min(max(round(share * count), int(share > 0)), count - 1)
        if number:
            order = self.key.derive("split").generator().permutation(count)
            if data.labels is not None:
                order = order[np.argsort(data.labels[order], kind="stable")]
            held[order[(np.arange(number) * count + count // 2) // number]] = True
            if data.labels is not None:  # a class that is not learnt cannot be judged
                classes, firsts = np.unique(data.labels, return_index=True)
                held[firsts[~np.isin(classes, data.labels[~held])]] = False
        return Lesson(data, np.flatnonzero(~held), data, np.flatnonzero(held))

    def _round(self, pool: Workers, lesson: Lesson) -> None:
        """All stages; then the best parameters, where there are rows that tell."""
        p, s = self.progress, self.settings
        while p.stage < len(STAGES) and not self.stopped:
            lowest = p.network.net.depth - 1 if STAGES[p.stage] == "outputs" else 0
            tuner = Tuner(p.network, s, self.key.derive(STAGES[p.stage]).derive("round", p.round), pool, lowest)
            if p.epoch == 0:
                p.optimizer = tuner.start()
            course = self._minimise if s.optimizer == "lbfgs" else self._descend
            course(tuner, lesson)
            if not len(lesson.held):  # nobody has looked at what the last update led to
                self._look(tuner.measure(lesson.data, lesson.rows[:CHUNK]))
            if self.stopped and not p.best.size:
                p.chosen = p.epoch if STAGES[p.stage] == "network" else 0
            elif not (p.best.size or p.round):
                p.chosen = p.epoch
            p.stage, p.epoch, p.optimizer = p.stage + 1, 0, {}
            if s.optimizer == "lbfgs" and not self.stopped:
                self.saved()
        if p.best.size:
            p.network.arena[...] = p.best
        p.round, p.stage, p.best = p.round + 1, 0, p.best[:0]
        if p.round < 1 + s.refit and not self.stopped:
            p.network.arena[...] = self.start.arena

    def _done(self) -> bool:
        """Whether the epochs of a stage are over, or have not got better for long, or the caller stops."""
        p, s = self.progress, self.settings
        if self.stopped:
            return True
        if STAGES[p.stage] == "outputs":
            return p.epoch >= s.output_epochs
        tired = p.best.size and s.patience and p.epoch - p.chosen >= s.patience
        return p.epoch >= (p.chosen if p.round else s.epochs) or bool(tired)

    def _descend(self, tuner: Tuner, lesson: Lesson) -> None:
        """Epochs of an optimizer that follows the gradient of batches."""
        p, s = self.progress, replace(self.settings, epochs=self._length())
        batches = -(-len(lesson.rows) // s.batch_size)
        while not self._done():
            began, losses = time.perf_counter(), 0.0
            order = (
                tuner.key.derive("order", p.epoch).generator().permutation(lesson.rows) if s.shuffle else lesson.rows
            )
            for batch in range(batches):
                self.pause()
                done = p.epoch + batch / batches
                step = step_at(s, done, p.epoch * batches + batch + 1)
                rows = order[batch * s.batch_size : (batch + 1) * s.batch_size]
                loss, finite = tuner.step(lesson.data, rows, p.optimizer, step)
                if not finite:
                    self._stop()
                losses += loss * len(rows)
            self._finish(tuner, lesson, losses / len(order), began)

    def _minimise(self, tuner: Tuner, lesson: Lesson) -> None:
        """Iterations of limited-memory BFGS over all rows (Byrd, Lu, Nocedal & Zhu 1995), each an epoch."""
        if self._done():
            return
        arena = tuner.own(tuner.network.arena)
        weights = np.zeros(arena.size)
        for span, decayed in tuner.learning.spans():
            weights[span] = decayed * self.settings.l2
        began = time.perf_counter()

        def penalty(parameters: Array) -> float:
            return 0.5 * float(weights @ parameters**2)

        def loss(parameters: Array) -> tuple[float, Array]:
            arena[...] = beside(parameters.astype(arena.dtype), arena)
            total, slope = 0.0, weights * parameters
            for rows in chunks(lesson.rows):
                self.pause()
                total += tuner.differentiate(lesson.data, rows)
                slope -= host(tuner.own(tuner.gradient)) * (len(rows) / len(lesson.rows))
            return total / len(lesson.rows) + penalty(parameters), slope

        def after(intermediate_result: Any) -> None:
            nonlocal began
            arena[...] = beside(intermediate_result.x.astype(arena.dtype), arena)
            if not np.isfinite(intermediate_result.fun):
                self._stop()
            self._finish(tuner, lesson, float(intermediate_result.fun) - penalty(intermediate_result.x), began)
            began = time.perf_counter()
            if self._done():
                raise StopIteration

        start = host(arena).astype(np.float64)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", callback=after, options=LBFGS)
        if not np.isfinite(found.fun) or (found.status == 2 and not found.nit):
            self._stop()
        arena[...] = beside(found.x.astype(arena.dtype), arena)

    def _length(self) -> int:
        return self.settings.epochs if STAGES[self.progress.stage] == "network" else self.settings.output_epochs

    def _finish(self, tuner: Tuner, lesson: Lesson, loss: float, began: float) -> None:
        """The end of an epoch: look at the held-out rows, keep the parameters if they are the best, and tell."""
        p = self.progress
        p.seconds += time.perf_counter() - began
        speed = len(lesson.rows) / max(time.perf_counter() - began, 1e-9)
        p.epoch += 1
        found: dict[str, float | None] = {"loss": None, "error": None}
        if len(lesson.held):
            found = tuner.measure(lesson.judge, lesson.held)
            score = self._look(found)
            if STAGES[p.stage] == "network" and score < p.score:
                p.score, p.chosen, p.best = score, p.epoch, p.network.arena.copy()
        told = self.record(
            {
                "stage": STAGES[p.stage] + " again" * p.round,
                "epoch": p.epoch,
                "epochs": p.chosen if p.round and not tuner.lowest else self._length(),
                "train_loss": loss,
                **found,
                "rows_per_second": speed,
                "seconds": p.seconds,
            }
        )
        self.stopped = told is True
        if self.settings.optimizer != "lbfgs" and not self.stopped:
            self.saved()

    def _look(self, found: Mapping[str, float | None]) -> tuple[float, float]:
        """Share of wrong classes and loss, smaller ones being better; raises NumericalError if they are not finite."""
        score = (found["error"] or 0.0, found["loss"] or 0.0)
        if not np.isfinite(score).all():
            self._stop()
        return score

    def _stop(self) -> None:
        p, lbfgs = self.progress, self.settings.optimizer == "lbfgs"
        what = "no step makes the loss smaller, or " if lbfgs else ""
        hint = "look at the range of the rows" if lbfgs else "try a smaller learning_rate"
        raise NumericalError(
            f"Fine-tuning stopped at {STAGES[p.stage]}, epoch {p.epoch + 1}: {what}its numbers are not finite; {hint}."
        )
