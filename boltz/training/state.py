"""The state of a run: arrays and integers only, so a checkpoint is this and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host, moved
from boltz.errors import FileError
from boltz.foreign import shown
from boltz.models.blueprint import Blueprint, build
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.graph import Graph
from boltz.models.scaling import Scaling
from boltz.models.structure import Structure
from boltz.rng import Key
from boltz.training import optimizers
from boltz.training.positive import ROW, kept_for_rows
from boltz.training.pretraining import Stage
from boltz.training.stages import compose, start_pair

Array = NDArray[Any]
COUNTERS = ("stage", "epoch", "batch", "step", "lines")
Arrays = dict[str, Array]


@dataclass
class TrainState:
    """Where a run stands: machines, rule and optimizer arrays, and counters.

    stage counts stages, epoch and batch those of the stage, step its updates, lines all epochs so far. totals holds
    (seconds of this epoch, seconds of the run). average holds the mean of the parameters that the stage averages, empty
    before there are any. best holds the parameters of the epoch of the stage that held-out rows
    like best, empty before there is one, and judged (their log-likelihood, that epoch). epochs holds those of each
    stage where they were planned by minutes, since they may be planned anew; else it is empty. weights holds those of
    the given rows, empty where all count alike; it stays on the host. guesses (rows, units) holds training rows with
    their unknown entries as they were last drawn, empty where all are known; the hidden layers of the chains that draw
    them are in rule. labels holds the class of each training row, -1 for unlabelled ones, empty where none were given;
    it stays on the host.
    """

    model: Model
    pairs: list[BoltzmannMachine]
    rule: Arrays = field(default_factory=dict)
    optimizer: Arrays = field(default_factory=dict)
    totals: Array = field(default_factory=lambda: np.zeros(2))
    average: Array = field(default_factory=lambda: np.zeros(0))
    best: Array = field(default_factory=lambda: np.zeros(0))
    judged: tuple[float, int] = (-np.inf, 0)
    epochs: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    weights: Array = field(default_factory=lambda: np.zeros(0))
    guesses: Array = field(default_factory=lambda: np.zeros((0, 0)))
    labels: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    stage: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    lines: int = 0

    @property
    def row_chains(self) -> int:
        """How many training rows have a chain of their own, 0 where none has."""
        return max((len(x) for name, x in self.rule.items() if name.startswith(ROW)), default=0)

    def machine(self, stage: Stage) -> Model:
        """The machine that a stage trains."""
        return self.model if stage.pair is None else self.pairs[stage.pair]

    def kept(self, stage: Stage) -> Model:
        """The machine that a stage would end with here: its average, where there is one."""
        machine = self.machine(stage)
        return replace(machine, arena=self.average) if self.average.size else machine

    def enter(self, stage: Stage, rows: Array, key: Key, total: int) -> None:
        """Start a stage on so many training rows: its rule's arrays (particles at the given rows), its optimizer's
        arrays, counters at zero.
        """
        machine = self.machine(stage)
        self.rule = self._begun(stage, rows, key, total)
        self.optimizer = optimizers.init(stage.settings, machine)
        self.average = machine.arena[:0]
        self.best, self.judged = machine.arena[:0], (-np.inf, 0)
        self.epoch = self.batch = self.step = 0

    def _begun(self, stage: Stage, rows: Array, key: Key, total: int) -> Arrays:
        """The arrays of a rule at its start; with unknown entries each row has a chain, whatever the rule."""
        machine, found = self.machine(stage), stage.rule.init(self.machine(stage), rows, key, total)
        if not self.guesses.size or not stage.sees_rows or machine.undirected is None:
            return dict(found)
        return {**kept_for_rows(machine.undirected, total), **found}

    def judge(self, stage: Stage, score: float) -> None:
        """Keep the parameters of this epoch, whose number is one more than epoch, if held-out rows like them best."""
        if score > self.judged[0]:
            self.best, self.judged = self.kept(stage).arena.copy(), (score, self.epoch + 1)

    def settle(self, stage: Stage) -> None:
        """End a stage with the parameters that held-out rows liked best, or else with their average, if any."""
        for found in (self.best, self.average):
            if found.size:
                self.machine(stage).arena[...] = found
                break
        self.average = self.average[:0]
        self.best, self.judged = self.best[:0], (-np.inf, 0)

    def finish(self, plan: list[Stage]) -> None:
        """End the whole run where it stands, perhaps before its last stages."""
        if self.stage < len(plan):
            self.settle(plan[self.stage])
        if self._in_pairs(plan):
            compose(self.model, self.pairs, plan)
        self.stage, self.epoch, self.batch = len(plan), 0, 0

    def copied(self, plan: list[Stage]) -> Model:
        """A copy of the whole machine as it stands: where pairs are trained, as composed of those that there are."""
        stage = plan[self.stage]
        whole = self.kept(stage) if stage.pair is None else self.model
        model = replace(whole, arena=whole.arena.copy())
        if self._in_pairs(plan):
            last = self.pairs[-1]
            kept = replace(last, arena=self.average) if self.average.size else last
            compose(model, [*self.pairs[:-1], kept], plan)
        return model

    def _in_pairs(self, plan: list[Stage]) -> bool:
        """Whether the parameters of the whole machine are still in pairs of its layers."""
        done = plan[: self.stage + 1]
        return bool(self.pairs) and all(stage.pair is not None and stage.composed for stage in done)

    def make_machine(self, stage: Stage, plan: list[Stage]) -> None:
        """The machine of a stage that starts: an RBM from the whole machine, or the whole machine from the RBMs."""
        if stage.pair is not None:
            del self.pairs[stage.pair :]
            self.pairs.append(start_pair(self.model, stage))
        elif self.pairs and stage.composed:
            compose(self.model, self.pairs, plan)

    def tensors(self) -> Arrays:
        """Everything by name as numpy arrays, for a checkpoint."""
        found = {"arena/model": self.model.arena, "totals": self.totals}
        if self.model.scaling is not None:
            found |= {f"scaling/{name}": x for name, x in self.model.scaling.tensors().items()}
        found["counters"] = np.array([getattr(self, name) for name in COUNTERS], np.int64)
        found |= {f"arena/pair-{i}": pair.arena for i, pair in enumerate(self.pairs)}
        found |= {f"rule/{name}": x for name, x in self.rule.items()}
        found |= {f"optimizer/{name}": x for name, x in self.optimizer.items()}
        if self.average.size:
            found["average/arena"] = self.average
        if self.best.size:
            found |= {"best/arena": self.best, "best/judged": np.array(self.judged)}
        if self.epochs.size:
            found["plan/epochs"] = self.epochs
        if self.weights.size:
            found["data/weights"] = self.weights
        if self.guesses.size:
            found["data/guesses"] = self.guesses
        if self.labels.size:
            found["data/labels"] = self.labels
        return {name: host(x) for name, x in found.items()}

    def to(self, device: str) -> TrainState:
        """The state with its arrays on a device."""
        rule, optimizer = ({n: moved(x, device) for n, x in part.items()} for part in (self.rule, self.optimizer))
        pairs = [pair.to(device) for pair in self.pairs]
        arrays = {name: moved(getattr(self, name), device) for name in ("average", "best", "guesses")}
        return replace(self, model=self.model.to(device), pairs=pairs, rule=rule, optimizer=optimizer, **arrays)


def restore(tensors: Mapping[str, Array], blueprint: Blueprint, plan: list[Stage], source: str) -> TrainState:
    """The state kept in a checkpoint; raises FileError if it does not fit the run's settings."""
    try:
        owned = {name: np.array(x) for name, x in tensors.items()}
        pairs = [n for n in owned if n.startswith("arena/pair-")]
        scaling = Scaling(owned["scaling/location"], owned["scaling/spread"]) if "scaling/spread" in owned else None
        state = TrainState(
            build(blueprint, owned["arena/model"], scaling),
            [BoltzmannMachine(_graph(plan[i]), owned[f"arena/pair-{i}"]) for i in range(len(pairs))],
            {n.removeprefix("rule/"): x for n, x in owned.items() if n.startswith("rule/")},
            {n.removeprefix("optimizer/"): x for n, x in owned.items() if n.startswith("optimizer/")},
            owned["totals"],
            owned.get("average/arena", np.zeros(0)),
            owned.get("best/arena", np.zeros(0)),
            _judged(owned.get("best/judged", np.array([-np.inf, 0]))),
            _epochs(owned.get("plan/epochs", np.zeros(0, np.int64)), len(plan)),
            _weights(owned.get("data/weights", np.zeros(0))),
            owned.get("data/guesses", np.zeros((0, 0))),
            _labels(owned.get("data/labels", np.zeros(0, np.int64)), blueprint),
            **{name: int(n) for name, n in zip(COUNTERS, owned["counters"], strict=True)},
        )
        fits = _shapes(state, plan)
    except (KeyError, IndexError, TypeError, ValueError) as problem:
        raise FileError(f"{source} is not a checkpoint of this run ({shown(problem)}).") from problem
    if not fits:
        raise FileError(f"{source} does not fit the settings of its run.")
    return state


def _graph(stage: Stage) -> Graph:
    if stage.graph is None:
        raise ValueError("it holds more machines than the run has stages")
    return stage.graph


def _judged(numbers: Array) -> tuple[float, int]:
    score, epoch = (float(number) for number in numbers)
    if not 0 <= epoch < 2**53:
        raise ValueError("its best epoch is no number of an epoch")
    return score, int(epoch)


def _epochs(numbers: Array, stages: int) -> Array:
    whole = numbers.dtype == np.int64 and numbers.shape in ((0,), (stages,))
    if not whole or (numbers.size and not 0 <= numbers.min() <= numbers.max() <= 10**9):
        raise ValueError("its epochs are not those of the stages")
    return numbers


def _weights(numbers: Array) -> Array:
    if numbers.ndim != 1 or numbers.dtype != np.float64 or (numbers.size and not 0 <= numbers.min() <= numbers.max()):
        raise ValueError("its weights of rows are not numbers of at least 0")
    return numbers


def _labels(numbers: Array, plan: Blueprint) -> Array:
    classes = plan.game.labels if isinstance(plan, Structure) and plan.game is not None else 0
    whole = numbers.ndim == 1 and numbers.dtype == np.int64
    if not whole or (numbers.size and not -1 <= numbers.min() <= numbers.max() < classes):
        raise ValueError("its labels are not classes of the machine")
    return numbers


def _shapes(state: TrainState, plan: list[Stage]) -> bool:
    """Whether a fresh state of the same stage has the same arrays."""
    if state.totals.shape != (2,) or min(getattr(state, name) for name in COUNTERS) < 0 or state.stage > len(plan):
        return False
    scaling = state.model.scaling
    if scaling is not None and len(scaling.location) != state.model.columns:
        return False
    for machine in (state.model, *state.pairs):
        last = list(machine.params.values())[-1]  # raises ValueError if the arena is too small
        if sum(p.size for p in machine.params.values()) != machine.arena.size or last.ndim != 1:
            return False
    if state.stage >= len(plan) or state.epoch == state.batch == 0:  # a stage that has not begun makes its arrays anew
        return True
    stage = plan[state.stage]
    machine = state.machine(stage)
    for found in (state.average, state.best):
        if found.size and (found.shape, found.dtype) != (machine.arena.shape, machine.dtype):
            return False
    row = np.zeros((1, machine.columns), machine.dtype)
    wanted = state._begun(stage, row, Key(0, 0), state.row_chains or 1)
    return _alike(state.rule, wanted) and _alike(state.optimizer, optimizers.init(stage.settings, machine))


def _alike(found: Arrays, wanted: Arrays) -> bool:
    """Equal names, shapes and types."""
    same = found.keys() == wanted.keys()
    return same and all(found[n].shape == x.shape and found[n].dtype == x.dtype for n, x in wanted.items())
