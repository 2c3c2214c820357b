"""The training loop: stages, epochs, batches; all that happens follows from the settings, the data and the step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host, numbers, on_device
from boltz.data import Data
from boltz.data.binarize import binarize
from boltz.data.row_weights import drawn_rows, spread_rows
from boltz.data.sparse import SparseRows
from boltz.models.files import Model, inside
from boltz.models.gauge import project
from boltz.models.graph import Graph
from boltz.parallel import Workers, workers
from boltz.rng import Key
from boltz.sampling.inputs import Scratch
from boltz.training import guards, optimizers, pathways
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.averages import MANY, Averages
from boltz.training.cuda_graphs import Replayed
from boltz.training.held_out import SCORE, due
from boltz.training.monitor import Modes
from boltz.training.pacing import Watched, with_all_epochs
from boltz.training.positive import Posterior, Visit, fill_in
from boltz.training.pretraining import Stage, recognise
from boltz.training.programs import Steps, fits
from boltz.training.rules import WATCH, Clock, Workspace
from boltz.training.schedules import learning_rate
from boltz.training.settings import Settings
from boltz.training.state import TrainState
from boltz.units import units_of
from boltz.units.holes import first_guesses
from boltz.units.states import own_lengths

Array = NDArray[Any]
Record = dict[str, Any]
Gradient = Callable[[Array, Array, float], None]  # of a batch, with the numbers of its rows and the epochs done
Tools = tuple[Gradient, Workers, Steps | None]
WORTH = 20  # updates that a program is made for
ROWS = 250
MODE_NUMBERS, LEAST_MODE_ROWS = 1 << 20, 50  # of the rows by which modes are watched, so that they stay small
JUDGES = 500  # held-out rows by which a stage is judged
LOOKS = 50  # on a device the host looks once in so many steps whether numbers are finite, since it has to wait


@dataclass
class Events:
    """What the loop tells its caller: each epoch's record, each update, and then each step boundary.

    The state may be saved at a step boundary, with the records and updates before it. An epoch that is answered by True
    is the last one. ahead says how many updates there are to the next one that update waits for. rewound hears of the
    update, counted through the run, whose parameters a stage keeps, where it is not its last one. planned hears that
    stages have other epochs from now on.
    """

    epoch: Callable[[Record], Any] = lambda record: None
    rewound: Callable[[int], None] = lambda update: None
    step: Callable[[], None] = lambda: None
    update: Callable[[], None] = lambda: None
    ahead: Callable[[], int] = lambda: MANY
    planned: Callable[[], None] = lambda: None


@dataclass
class Loop:
    """A run in memory: data, plan of stages, the state that moves, and its clock, where it has so much time."""

    data: Data
    held_out: Data | None
    plan: list[Stage]
    state: TrainState
    key: Key
    events: Events = field(default_factory=Events)
    watched: Watched | None = None
    resident: dict[int, Array] = field(default_factory=dict)  # rows by their identity where the machine lives, as bytes
    modes: Modes = field(init=False)  # of the data of the stage
    averages: Averages = field(default_factory=Averages)  # of the parameters of the stage
    sound: Any = True  # whether all updates since the last look left finite numbers
    stopped: bool = False  # by the caller

    def run(self) -> None:
        """Train from where the state stands to the end of the last stage; raises NumericalError."""
        self._guessed()
        with workers(self.state.model.arena) as pool:
            while self.state.stage < len(self.plan):
                stage = self.plan[self.state.stage]
                key = self.key.derive(stage.name)
                if self.state.epoch == self.state.batch == 0:
                    self._enter(stage, key)
                work, watched = stage.rule.workspace(self.state.machine(stage)), self._watched(stage)
                most = max(MODE_NUMBERS // self.data.x.shape[1], LEAST_MODE_ROWS)
                self.modes = Modes.of(self._batch(self.data, stage, self._spread(min(ROWS, most), len(self.data.x)), 0))
                self.averages = Averages.of(stage.settings, stage.updates(len(self.data.x)))
                now: Stage | None = None
                again = False
                while not (again or self._done(stage)):
                    before, now = now, stage.at(self.state.epoch)
                    if before is None or now.settings != before.settings:
                        tools = self._gradient(now, work, key, pool), pool, self._together(now, key, pool)
                    elif tools[2] is None:
                        tools = *tools[:2], self._together(now, key, pool)
                    self._epoch(now, key, work, watched, tools)
                    again = self._planned_anew()
                if not again:
                    self._leave(stage)

    def _enter(self, stage: Stage, key: Key) -> None:
        self.state.make_machine(stage, self.plan)
        rows = self._here(_permutation(len(self.data.x), key.derive("particles"))[: stage.rule.start_rows])
        self.state.enter(
            stage, self._batch(self.data, stage, rows, self.state.lines), key.derive("init"), len(self.data.x)
        )

    def _planned_anew(self) -> bool:
        """Plan the epochs that are left anew, where the time asks for it; whether the stage in work got others."""
        if self.watched is None or self.stopped:
            return False
        at, before = self.state.stage, [stage.settings.epochs for stage in self.plan]
        epochs = self.watched.epochs(before, at, self.state.epoch)
        if epochs == before:
            return False
        self.plan = with_all_epochs(self.plan, epochs)
        self.state.epochs = np.array(epochs, np.int64)
        self.events.planned()
        return epochs[at] != before[at]

    def _done(self, stage: Stage) -> bool:
        """Whether the epochs of a stage are over, or have not got better for long, or the caller stops."""
        settings, state = stage.settings, self.state
        tired = settings.patience and state.best.size and state.epoch - state.judged[1] >= settings.patience
        return self.stopped or state.epoch >= settings.epochs or bool(tired)

    def _leave(self, stage: Stage) -> None:
        state, rows = self.state, len(self.data.x)
        if state.best.size and state.judged[1] < state.epoch:
            before = sum(earlier.updates(rows) for earlier in self.plan[: state.stage])
            self.events.rewound(before + state.judged[1] * stage.batches(rows))
        state.settle(stage)
        if self.stopped:
            state.finish(self.plan)
        else:
            state.stage, state.epoch, state.batch = state.stage + 1, 0, 0

    def _epoch(self, stage: Stage, key: Key, work: Workspace, watched: tuple[Array, Array], tools: Tools) -> None:
        settings, state = stage.settings, self.state
        rows = len(self.data.x)
        order = self._here(self._order(settings.shuffle, key.derive("order", state.epoch)))
        batches = stage.batches(rows)
        before = time.perf_counter()
        together = tools[2]
        if together is not None:
            together.begin(order)
        while state.batch < batches:
            taken = 0 if together is None else self._many(stage, work, together)
            if not taken:
                self._step(stage, work, order, state.epoch + state.batch / batches, tools)
            state.batch += taken or 1
            state.average = self.averages.taken(state.average, work.machine.arena, state.step, tools[1])
            self.events.update()
            now = time.perf_counter()
            state.totals += now - before
            before = now
            if state.batch < batches:
                self.events.step()
        record = self._record(stage, work, watched, state.epoch + (batches - 1) / batches)
        state.epoch, state.batch, state.lines = state.epoch + 1, 0, state.lines + 1
        state.totals[0] = 0
        self.stopped = self.events.epoch(record) is True
        if not self.stopped:
            self.events.step()

    def _order(self, shuffle: bool, key: Key) -> NDArray[np.int64]:
        """The row numbers of an epoch: all rows, or as many of weighed ones as their weights ask for."""
        weights, rows = self.data.weights, len(self.data.x)
        generator = key.derive("weights").generator()
        drawn = np.arange(rows) if weights is None else drawn_rows(weights, generator)
        return drawn[_permutation(rows, key)] if shuffle else drawn

    def _together(self, stage: Stage, key: Key, pool: Workers) -> Steps | None:
        """The steps of a stage as a program, where they are enough to be worth its making and can be recorded."""
        left = stage.updates(len(self.data.x)) - self.state.step
        if left < WORTH or not fits(stage, self.state.machine(stage), self.data, self.state.rule):
            return None
        return Steps(stage, self.state, self.data, (self.key.derive("binarize"), key), pool)

    def _many(self, stage: Stage, work: Workspace, together: Steps) -> int:
        """Steps in one call, up to the next update that somebody waits for; says how many."""
        place = f"{stage.name}, epoch {self.state.epoch + 1}"
        sound = guards.finite(self.state.rule)
        ahead = min(self.events.ahead(), self.averages.ahead(self.state.step))
        taken = together.run(ahead) if sound else 0
        if taken:
            work.gradient[...] = together.gradient
            sound = together.sound
        if not sound:
            guards.stop(work.machine, work.gradient, self.state.rule, place)
        return taken

    def _gradient(self, stage: Stage, work: Workspace, key: Key, pool: Workers) -> Gradient:
        """What leaves the gradient for a batch in the workspace: from captured graphs on a device, where it may."""
        rule, state = stage.rule, self.state
        if on_device(work.gradient) and rule.replayable(work.machine):
            replayed = Replayed(rule, work, state.rule, (key, state.step), pool)
            return lambda batch, rows, done: replayed(batch)

        def gradient(batch: Array, rows: Array, done: float) -> None:
            clock = Clock(key, state.step, done, rows, *self._taught(stage, rows, key))
            rule.gradient(work, batch, state.rule, clock, pool)

        return gradient

    def _taught(self, stage: Stage, rows: Array, key: Key) -> tuple[Array | None, tuple[Array, Array] | None]:
        """The labels of a batch, and labelled rows with theirs: all of few, else as many as the settings say, drawn
        anew; None where the run has no labels.
        """
        labels, settings = self.data.labels, stage.settings
        if labels is None or not self.state.labels.size:
            return None, None
        weights = np.ones(len(labels)) if self.data.weights is None else self.data.weights
        known = np.flatnonzero((labels >= 0) & (weights > 0))
        if not len(known) or not isinstance(settings, AdversarialSettings):
            return labels[host(rows)], None
        if len(known) > settings.labelled_batch:
            generator, share = key.derive("taught", self.state.step).generator(), weights[known] / weights[known].sum()
            known = known[np.sort(generator.choice(len(known), settings.labelled_batch, False, share))]
        taught = self._batch(self.data, stage, self._here(known), self.state.lines)
        return labels[host(rows)], (taught, labels[known])

    def _step(self, stage: Stage, work: Workspace, order: Array, done: float, tools: Tools) -> None:
        settings, state, (gradient, pool, _) = stage.settings, self.state, tools
        rows = order[state.batch * settings.batch_size : (state.batch + 1) * settings.batch_size]
        batch = self._batch(self.data, stage, rows, state.lines)
        place = f"{stage.name}, epoch {state.epoch + 1}"
        last = (state.batch + 1) * settings.batch_size >= len(order)
        looks = not on_device(batch) or last or state.step % LOOKS == LOOKS - 1
        if looks and not guards.finite(state.rule):  # before a sweep can overwrite it
            guards.stop(work.machine, work.gradient, state.rule, place)
        gradient(self._redrawn(stage, work.machine, batch, rows), rows, done)
        state.step += 1
        step = optimizers.step_at(settings, done, state.step, state.rule)
        self.sound &= optimizers.apply(settings, work.machine, work.gradient, state.optimizer, step, pool)
        rbm = work.machine.undirected if stage.gauged else None
        if rbm is not None:
            project(rbm, stage.scales)
        if looks and not self.sound:
            guards.stop(work.machine, work.gradient, state.rule, place)

    def _batch(self, data: Data, stage: Stage, rows: NDArray[np.int64], draw: int) -> Array:
        """The visible rows of a stage: data binarised, and for an upper pair drawn up through the pairs below.

        Gaussian units see numbers in their own units instead, and units of levels whole ones as points from -1 to 1.

        draw numbers the presentation: the epoch within the whole run, so that no two stages see the same draws.
        """
        key, model, kept = self.key.derive("binarize"), self.state.model, self._rows(data, rows)
        if model.layers[0].binary and len(model.visible_layers) == 1:
            batch = binarize(kept, data.levels, stage.settings.binarize, key, draw, rows)
            batch = batch.astype(model.dtype, copy=False)
        else:
            whole = data.levels in (None, 1) or model.layers[0].levels is not None
            batch = inside(model, kept if whole else kept / data.levels)
        if data is self.data and data.known is not None and self.state.guesses.size:
            known = self._here(data.known[host(rows)])
            batch = np.where(known, batch, self.state.guesses[rows])
        if model.directed is not None and model.undirected is None:
            return batch
        if stage.lower:
            graph = _graph(model)
            return pathways.seen(stage, (graph, self.plan, self.state.pairs), batch, rows, (self.key, draw))
        pair = stage.pair or 0
        below = self.state.pairs[:pair]
        seen = recognise(below, self.plan[:pair], batch, rows, self.key, draw)
        if not stage.beside:
            return seen
        above = recognise(self.state.pairs, self.plan[: len(self.state.pairs)], batch, rows, self.key, draw)
        return np.concatenate([seen, above], axis=1)

    def _redrawn(self, stage: Stage, machine: Model, batch: Array, rows: Array) -> Array:
        """The batch with its unknown entries drawn given the rest, by the chains of its rows; they stand as they are in
        stages that learn from what stages before make of rows.
        """
        guesses, settings = self.state.guesses, stage.settings
        if not guesses.size or not stage.sees_rows:
            return batch
        boltzmann = machine.undirected
        assert boltzmann is not None and self.data.known is not None and isinstance(settings, Settings)
        posterior = Posterior(boltzmann, settings.mean_field, 1, stage.scales)
        visit = Visit(self.key.derive("unknown", stage.name), self.state.step, 0, rows, self.state.rule)
        columns = np.arange(guesses.shape[1])
        if stage.lower:
            parts = _graph(self.state.model).columns
            columns = np.concatenate([columns[parts[name]] for name in stage.lower])
        known = np.ascontiguousarray(self.data.known[host(rows)][:, columns])
        fill_in(posterior, batch, self._here(known), visit, Scratch(boltzmann.arena))
        guesses[np.ix_(host(rows), columns)] = batch
        return batch

    def _guessed(self) -> None:
        """Start the chains of rows with unknown entries, each of which is as in some other row."""
        if self.data.known is None or self.state.guesses.size:
            return
        everything = numbers(0, len(self.data.x), self.state.model.arena)
        whole, model = replace(self.plan[-1], beside=False), self.state.model
        rows, key = host(self._batch(self.data, whole, everything, 0)), self.key.derive("guesses")
        found, graph = [], _graph(model)
        for name, part in graph.columns.items():
            own = key.derive(name) if len(graph.views) > 1 else key
            columns = units_of(graph.kinds[name]).columns
            found.append(first_guesses(rows[:, part], self.data.known[:, part], columns, own))
        self.state.guesses = self._here(np.concatenate(found, axis=1))

    def _rows(self, data: Data, rows: NDArray[np.int64]) -> Array:
        """Rows of the data as they are kept, where the machine lives."""
        if isinstance(data.x, SparseRows):
            return self._here(data.x[host(rows)])
        if id(data.x) not in self.resident:
            self.resident[id(data.x)] = self._here(data.x)
        return self.resident[id(data.x)][rows]

    def visible_rows(self, most: int) -> Array:
        """Rows of the data, evenly spaced, as the model sees them, (rows, units)."""
        return self._batch(self.data, self.plan[-1], self._spread(most, len(self.data.x)), 0)

    def held_out_rows(self, most: int) -> Array:
        """As visible_rows, of the held-out rows; none where there are none."""
        if self.held_out is None:
            return self.visible_rows(1)[:0]
        return self._batch(self.held_out, self.plan[-1], self._spread(most, len(self.held_out.x)), 0)

    def rows_of(self, data: Data, stage: Stage, most: int) -> Array:
        """Rows of some data, evenly spaced, as a stage sees them, (rows, units)."""
        return self._batch(data, stage, self._spread(most, len(data.x)), 0)

    def _watched(self, stage: Stage) -> tuple[Array, Array]:
        """The fixed rows of training and of held-out data, the latter possibly none, that are measured each epoch."""
        train = self._batch(self.data, stage, self._first(self.data, ROWS), 0)
        if self.held_out is None:
            return train, train[:0]
        return train, self._batch(self.held_out, stage, self._first(self.held_out, ROWS), 0)

    def _spread(self, most: int, rows: int) -> NDArray[np.int64]:
        """So many rows at most out of all, evenly, since they may be sorted."""
        count = min(most, rows)
        return numbers(0, count, self.state.model.arena) * rows // count

    def _first(self, data: Data, most: int) -> NDArray[np.int64]:
        return numbers(0, min(most, len(data.x)), self.state.model.arena)

    def _here(self, array: Array) -> Array:
        """An array of the host where the machine lives."""
        return beside(array, self.state.model.arena)

    def _record(self, stage: Stage, work: Workspace, watched: tuple[Array, Array], done: float) -> Record:
        seconds, machine = float(self.state.totals[0]), self.state.kept(stage)
        measures = stage.rule.measure(machine, *watched, self.key.derive("monitor"))
        guards.check_measures(measures, f"{stage.name}, epoch {self.state.epoch + 1}")
        return {
            "stage": stage.name,
            "epoch": self.state.epoch + 1,
            "epochs": stage.settings.epochs,
            **measures,
            **self._mode_gap(stage, work.machine),
            SCORE: self._score(stage, machine, watched[0]),
            **{n.removeprefix(WATCH): float(host(x)[0]) for n, x in self.state.rule.items() if n.startswith(WATCH)},
            "gradient_norm": float(np.linalg.norm(work.gradient)),
            "learning_rate": learning_rate(stage.settings.of_pair(0), done),
            "rows_per_second": len(self.data.x) / max(seconds, 1e-9),
            "seconds": float(self.state.totals[1]),
        }

    def _score(self, stage: Stage, machine: Model, train: Array) -> float | None:
        """The log-likelihood of held-out rows that the stage is judged by; None where it is not, or not now."""
        epoch = self.state.epoch + 1
        if (
            self.held_out is None
            or not stage.settings.patience
            or not due(epoch, stage.settings.epochs, stage.settings.patience)
        ):
            return None
        weights = self.held_out.weights
        if weights is None or not weights.any():
            judges = self._spread(JUDGES, len(self.held_out.x))
        else:
            judges = spread_rows(weights, JUDGES)
        rows = self._batch(self.held_out, stage, judges, 0)
        score = stage.rule.score(machine, train, rows, self.key.derive("held out"))
        if score is not None:
            self.state.judge(stage, score)
        return score

    def _mode_gap(self, stage: Stage, machine: Model) -> dict[str, float | None]:
        """How far the persistent chains are from the data, and what may be chance; None where there are no chains,
        documents of many lengths, or hidden units of real numbers, whose law does not follow from means quickly.
        """
        found = {n.removeprefix("chain/"): x for n, x in self.state.rule.items() if n.startswith("chain/")}
        whole = machine.undirected if machine.directed is None else None
        nothing: dict[str, float | None] = {"mode_gap": None, "mode_gap_limit": None}
        if not found or whole is None or own_lengths(whole.unit_type(whole.visible)):
            return nothing
        if not whole.graph.layered or len(whole.graph.views) > 1:
            return nothing
        if any(whole.unit_type(n).support is None for n in whole.graph.colours[1]):
            return nothing
        assert isinstance(stage.settings, Settings)
        key = self.key.derive("modes", self.state.lines)
        gap = self.modes.gap(whole, found, stage.settings.mean_field, key)
        return {"mode_gap": gap, "mode_gap_limit": self.modes.limit(len(found[machine.visible]))}


def _graph(model: Model) -> Graph:
    """The graph of a machine that is undirected as a whole."""
    assert model.undirected is not None
    return model.undirected.graph


def _permutation(rows: int, key: Key) -> NDArray[np.int64]:
    """All rows in random order, eight bytes a row, whether the rows lie in memory or in a mapped file.

    So a run does not depend on where its rows lie, and eight bytes are little beside a row. Shuffling by blocks would
    read a file that is too large to be cached faster, but is a worse shuffle; shuffle=False reads it in order.
    """
    generator = key.generator()
    return generator.permutation(rows).astype(np.int64, copy=False)
