"""Public training: `train` starts a run, `resume` continues one from its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import checked_device
from boltz.data import Data
from boltz.data.dataset import known_in_full, parted
from boltz.errors import FileError, InputError
from boltz.foreign import html_table, short_repr
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, checked_machine, trajectory
from boltz.models.files import load as load_model
from boltz.models.graph import Graph
from boltz.progress import Asked
from boltz.rng import Key
from boltz.sampling.base_rate import base_rates
from boltz.storage import metrics, run_folder, snapshots
from boltz.storage.tensors import write_tensors
from boltz.training import guards, learnt, watching
from boltz.training.beginning import begun, game_labels, started
from boltz.training.description import description_of, read_description, with_levels_of
from boltz.training.held_out import kept_epoch
from boltz.training.history import columns, in_words, length, measured
from boltz.training.loop import ROWS, Events, Loop, Record
from boltz.training.minutes import CLOCK, Plan, minutes_of, plain, used
from boltz.training.monitor import apart
from boltz.training.pacing import Watched, with_all_epochs
from boltz.training.proposals import PROPOSAL_ROWS, with_proposal
from boltz.training.runner import Runner, saved_in
from boltz.training.settings import AnySettings
from boltz.training.snapshots import Recorder
from boltz.training.stages import stages
from boltz.training.state import TrainState, restore
from boltz.training.updown import recognised
from boltz.training.watching import Heard, Watch

Array = NDArray[Any]
RATE_ROWS, RATE_NUMBERS = 2000, 1 << 21  # by which the rates of annealing are told
LEAST_JUDGES = 10  # held-out rows that are known in full, by which a training is judged
LEARNT_ROWS, LEARNT_NUMBERS, FEWEST = 2000, 1 << 21, 50  # by which a trained machine is looked at


@dataclass(frozen=True, eq=False)
class Run:
    """A trained run: the machine, one record an epoch, its folder (None if nothing was written), its settings.

    told is what a reader should know, such as the epoch whose parameters are kept; kept holds the snapshots of a run
    without a folder. look says what the trained machine itself tells, which takes as long as some epochs of few rows.
    seen: training rows and held-out rows as the machine sees them, None where these are not known. plan: that of a
    training of so many minutes, and seconds what it took. labelled: how many labels were taught. print shows the notes.
    """

    model: Model
    history: list[Record]
    path: Path | None
    settings: AnySettings
    told: tuple[str, ...] = ()
    kept: tuple[BoltzmannMachine, ...] = ()
    look: Callable[[], tuple[str, ...]] = tuple
    seen: tuple[Array, Array] | None = None
    plan: Plan | None = None
    seconds: float | None = None
    labelled: int = 0

    def __str__(self) -> str:
        return "\n".join([repr(self), *self.notes])

    def __repr__(self) -> str:
        plan, last = self.model.plan, self.history[-1] if self.history else {}
        said = (f"{plan.kind} {plan.architecture}", length(self.history), measured(last), self.path)
        notes = f"{len(self.notes)} note{'s' * (len(self.notes) > 1)}" if self.notes else None
        return short_repr("Run", (*said, notes))

    def _repr_html_(self) -> str:
        plan, last = self.model.plan, self.history[-1] if self.history else {}
        rows = [
            ("units", plan.architecture),
            ("parameters", f"{self.model.arena.size:,}"),
            ("trained for", length(self.history)),
            ("at the end", measured(last)),
            ("settings", self.settings),
            ("folder", self.path),
            *(("note", note) for note in self.notes),
        ]
        return html_table(f"Run of a machine of kind {plan.kind}", rows)

    def history_table(self) -> dict[str, Array]:
        """The records as arrays (epochs,) by field, NaN for what was not measured; pandas.DataFrame takes them."""
        return columns(self.history)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, and what the trained machine tells, which is looked at when first asked for."""
        return (*self.told, *self.look())

    @cached_property
    def trajectory(self) -> tuple[BoltzmannMachine, ...]:
        """Snapshots of a Boltzmann machine along its training, in order and without the trained machine itself.

        Those of a run with a folder are read from it when first asked for, which raises FileError where one is damaged.
        """
        return self.kept if self.path is None else tuple(trajectory(self.path))


def train(
    model: Model,
    x: Any,
    out: str | Path | None = None,
    held_out: Any = None,
    force: bool = False,
    watch: Watch | None = None,
    extra: Mapping[str, Any] | None = None,
    progress: Asked = None,
    minutes: float | Plan | None = None,
    weights: Any = None,
    labels: Any = None,
    **settings: Any,
) -> Run:
    """Train a copy of model on rows x (rows, units) and return the run; writes nothing unless out names a folder.

    - x: floats in [0, 1], 0/1, uint8 grey levels, or whole numbers that a model with levels divides by them; for other
      visible units their states, codes of categories, or any numbers for Gaussian ones. For an RBM or a DBM NaN marks
      what is unknown: the Markov chain of its row draws it at each visit. x may be a memory map, a SciPy sparse matrix,
      of which only batches are made dense, or what boltz.load_data returns. The trained model keeps the levels of x.
    - held_out: rows that end each stage in time (patience). The parameters of the epoch that they like best are kept.
    - watch: a function of (record) or of (record, model), a copy of the machine, called after each epoch. If it returns
      True, the run ends there. If it raises, and out is None, what was trained is the attribute run of the exception.
    - progress: True for a bar, or a function of (stage, epochs done, all of them).
    - minutes: how long the training may take, in place of epochs, which are chosen by what this machine can do; or a
      plan from boltz.plan_training, which has the settings.
    - labels: (rows,) classes from 0, -1 for none, for an adversarial autoencoder; None: those of x, if it needs any.
    - weights: (rows,) numbers of at least 0, by which rows teach, and those that validation holds out choose the epoch.
    - extra: what else run.toml keeps.
    - settings: the fields of boltz.Settings for a Boltzmann machine, of boltz.DirectedSettings for other directed ones,
      of boltz.BeliefSettings for a dbn, of boltz.AdversarialSettings for an aae; by default as in boltz train.

    A machine that was trained already is not pretrained. model.to("cuda") trains on a GPU: the rows go there as bytes,
    and the model stays there. Gaussian visible units that know no units of the data yet take them from at most 10,000
    rows of x. Raises InputError, NumericalError, and with out Interrupted on SIGINT or SIGTERM after saving.
    """
    model = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    checks.flag(force, "force")
    watching.check(watch, progress)
    checks.table(extra, "extra")
    out = None if out is None else checks.path(out, "out")
    found = begun(model, x, held_out, settings, minutes, weights, labels)
    model, data, others, chosen, given = found.model, found.data, found.held_out, found.settings, found.plan
    plan = stages(model.plan, chosen)
    rows, judges = _parts(data, others, chosen)
    state = TrainState(started(model, data), [], weights=np.zeros(0) if data.weights is None else data.weights)
    state.labels = game_labels(model, data)
    loop = Loop(rows, judges, plan, state, Key.from_seed(chosen.seed).derive("train"))
    if given is not None:
        state.epochs = np.array([stage.settings.epochs for stage in plan], np.int64)
        loop.watched = Watched(given.seconds, list(given.costs), CLOCK)
    if out is None:
        with watching.hearing(watch, progress, in_words) as heard:
            return _told(_in_memory(loop, chosen, heard), given, loop)
    kept = _told_entry(state.labels) | dict(extra or {}) | ({} if given is None else {"plan": plain(given)})
    description = description_of(model, chosen, data, others, kept).as_table()
    guards.check_state(state.tensors(), "the start")
    folder = run_folder.create(out, description, state.tensors(), {}, force, _couplings(model))
    with run_folder.lock(folder), watching.hearing(watch, progress, in_words) as heard:
        return _told(_in_folder(loop, chosen, folder, heard), given, loop)


def _told_entry(labels: NDArray[np.int64]) -> dict[str, Any]:
    """What run.toml says of the labels that a game is played with: how many rows have one."""
    known = _labelled(labels)
    return {"labels": {"labelled": known}} if known else {}


def _labelled(labels: NDArray[np.int64]) -> int:
    """How many rows have a label."""
    return int((labels >= 0).sum())


def _couplings(model: Model) -> run_folder.Files:
    """What writes the pairs of sparse couplings into a run folder, nothing where there are none."""
    graph = model.plan
    if not isinstance(graph, Graph) or not graph.sparse:
        return {}
    return {run_folder.COUPLINGS: lambda path: write_tensors(path, graph.pairs, {"holds": "couplings"})}


def plan_training(model: Model, x: Any, minutes: float = 2.0, held_out: Any = None, **settings: Any) -> Plan:
    """The plan of a training of model on rows x (rows, units) that takes so many minutes, measured on this machine.

    It is shown as sentences: how many epochs of each stage, how long they take, and the log-likelihood of test rows
    where trainings like it were recorded on these very rows. boltz.train takes it as minutes. Stages keep the ratio
    that they have without minutes, and so do batches, chains, schedule and averaging. Where it gets more than twice as
    long as usual, some of the rows are held out. x, held_out and settings are as in boltz.train, but epochs are chosen;
    a stage whose epochs are named as 0 is left out. Measuring takes a twentieth of the time, and 4 s at most. Raises
    InputError, also where the minutes are too few for one epoch of each stage, with how many are needed.
    """
    found = begun(
        checked_machine(model, any_units=True, any_graph=True, any_factors=True),
        x,
        held_out,
        settings,
        minutes_of(minutes),
    ).plan
    assert found is not None
    return found


def _told(run: Run, plan: Plan | None, loop: Loop) -> Run:
    """The run, with a sentence on how well its plan guessed, unless something follows it within its minutes."""
    if plan is None or loop.watched is None:
        return run
    told = () if plan.rest else (used(plan, plan.before + loop.watched.spent, len(run.history)),)
    return replace(run, told=(*run.told, *told), plan=plan, seconds=loop.watched.spent)


def resume(
    path: str | Path,
    x: Any = None,
    held_out: Any = None,
    watch: Watch | None = None,
    device: str = "cpu",
    progress: Asked = None,
) -> Run:
    """Continue the run in a folder on a device, bit-identically where that is the cpu, or return it if it is complete.

    A run may go on elsewhere than it began: random bits are the same everywhere, sums round differently on a GPU.
    x and held_out are needed only if the run was given arrays rather than named data. watch and progress are as in
    boltz.train. Raises FileError, InputError if
    the data are not those of the run, NumericalError, and Interrupted.
    """
    folder, device = checks.path(path, "path"), checked_device(device)
    watching.check(watch, progress)
    with run_folder.lock(folder):
        description = read_description(folder)
        drawn = description.drawn()
        chosen, plan = drawn.settings, drawn.stages
        saved = saved_in(folder)
        state = restore(saved.tensors, drawn.plan, plan, f"the checkpoint of {folder}")
        plan = with_all_epochs(plan, state.epochs) if state.epochs.size else plan
        if state.model.dtype != drawn.dtype:
            raise FileError(f"the checkpoint of {folder} must hold {drawn.dtype} parameters, got {state.model.dtype}.")
        state.model = replace(state.model, levels=drawn.levels)
        if state.stage >= len(plan) and (folder / run_folder.MODEL).exists():
            history = metrics.read_metrics(folder)
            model = load_model(folder).to(device)
            looked = _kept_notes(saved.told, folder)
            said = (*saved.notes, *_notes(model, history), *_with_gap(looked, history, chosen, model))
            return Run(model, history, folder, chosen, said)
        data = description.data_again("data", x, state.model)
        others = description.data_again("held_out", held_out, state.model)
        if data is None:
            raise FileError(f"{description.place} does not say what data the run had.")
        state.model = with_levels_of(state.model, data)
        if state.weights.size not in (0, len(data.x)):
            raise FileError(f"the checkpoint of {folder} must hold a weight for each of {len(data.x)} rows.")
        data = replace(data, weights=state.weights if state.weights.size else None)
        if state.labels.size not in (0, len(data.x)):
            raise FileError(f"the checkpoint of {folder} must hold a label for each of {len(data.x)} rows.")
        data = replace(data, labels=state.labels if state.labels.size else data.labels)
        rows, held = _parts(data, others, chosen)
        if state.guesses.size and state.guesses.shape != rows.x.shape:
            raise FileError(f"the checkpoint of {folder} must hold guesses of shape {rows.x.shape}.")
        if state.row_chains not in (0, len(rows.x)):
            raise FileError(f"the checkpoint of {folder} must hold a chain for each of {len(rows.x)} rows.")
        if state.stage < len(plan) and state.batch * plan[state.stage].settings.batch_size >= len(rows.x):
            raise FileError(f"the checkpoint of {folder} stands beyond the end of its data.")
        loop = Loop(rows, held, plan, state.to(device), Key.from_seed(chosen.seed).derive("train"))
        with watching.hearing(watch, progress, in_words) as heard:
            run = _in_folder(loop, chosen, folder, heard)
        return replace(run, told=(*saved.notes, *run.told))


def _parts(data: Data, held_out: Data | None, settings: AnySettings) -> tuple[Data, Data | None]:
    """The rows to learn from and those held out: given, or a share of the former, of which those count that are known
    in full; none where they are few.
    """
    if held_out is not None or settings.validation == 0 or len(data.x) < 2:
        return data, held_out
    if isinstance(data.x, np.memmap):
        raise InputError("validation would read a mapped file into memory: give held_out rows, or validation=0.")
    rows, judges = parted(data, settings.validation, settings.seed)
    return rows, known_in_full(judges, LEAST_JUDGES)


def _in_memory(loop: Loop, settings: AnySettings, heard: Heard) -> Run:
    history: list[Record] = []
    kept: dict[int, BoltzmannMachine] = {}

    def epoch(record: Record) -> bool:
        history.append(record)
        return heard(record, lambda: loop.state.copied(loop.plan))

    def rewound(update: int) -> None:
        for later in [number for number in kept if number > update]:
            del kept[later]

    recorder = Recorder(loop, settings, kept.__setitem__)
    loop.events = Events(epoch, rewound, update=recorder, ahead=recorder.ahead, planned=recorder.mark)
    try:
        loop.run()
        model = _finished(loop, settings)
        notes, seen = (*_unknown(loop.data), *_notes(model, history)), _seen(loop)
        look = partial(_looked, loop, seen, history, settings)
    except BaseException as problem:
        loop.state.finish(loop.plan)
        kept_so_far = tuple(kept.values())
        problem.run = Run(loop.state.model, history, None, settings, (), kept_so_far)  # type: ignore[attr-defined]
        raise
    labelled = _labelled(loop.state.labels)
    return Run(model, history, None, settings, notes, tuple(kept.values()), look, seen, labelled=labelled)


def _in_folder(loop: Loop, settings: AnySettings, folder: Path, heard: Heard) -> Run:
    state = loop.state
    runner = Runner(folder, "boltz train", settings.checkpoint_seconds, state.lines, heard)

    def epoch(record: Record) -> bool:
        return runner.record(record, lambda: state.copied(loop.plan))

    def step() -> None:
        if runner.due:
            runner.save(state.tensors(), f"step {state.step}")
        runner.stop()

    def keep(update: int, machine: BoltzmannMachine) -> None:
        machine.save(snapshots.path_of(folder, update))

    def rewound(update: int) -> None:
        snapshots.drop_after(folder, update)

    def planned_anew() -> None:
        recorder.mark()
        runner.save(state.tensors(), f"step {state.step}")

    with runner.running():
        recorder = Recorder(loop, settings, keep)
        loop.events = Events(epoch, rewound, step, recorder, recorder.ahead, planned_anew)
        loop.run()
        model = _finished(loop, settings)
        model.save(folder / run_folder.MODEL)
        seen = _seen(loop)
        notes = _learnt(loop, seen)
        runner.save(state.tensors(), f"step {state.step}", {"notes": json.dumps(notes)} if notes else None)
        runner.stop()
    history = metrics.read_metrics(folder)
    told = (*_unknown(loop.data), *_notes(model, history), *_with_gap(notes, history, settings, model))
    return Run(model, history, folder, settings, told, seen=seen)


def _unknown(data: Data) -> tuple[str, ...]:
    """What a reader should know of rows with unknown entries."""
    if data.known is None:
        return ()
    lacking = np.size(data.known) - int(np.count_nonzero(data.known))
    share = lacking / np.size(data.known)
    return (f"{share:.2%} of the entries of the rows were unknown (NaN), and were drawn given the rest of their rows.",)


def _notes(model: Model, history: list[Record]) -> tuple[str, ...]:
    units = model.scaling.noted() if model.scaling is not None else ()
    return (*units, *kept_epoch(history))


def _with_gap(notes: tuple[str, ...], history: list[Record], settings: AnySettings, model: Model) -> tuple[str, ...]:
    """Notes on a trained machine, and one on chains that are not where the data are, where none explains that."""
    if learnt.hopeless(notes):
        return notes
    exchanges = all(layer.binary for layer in model.layers)
    return (*notes, *apart(history, getattr(settings, "rule", "") if exchanges else "ptt"))


def _seen(loop: Loop) -> tuple[Array, Array] | None:
    """Training rows and held-out rows, possibly none, as the trained machine sees them; None if nothing was trained."""
    if not loop.state.lines:
        return None
    most = min(LEARNT_ROWS, max(LEARNT_NUMBERS // loop.state.model.layers[0].units, FEWEST))
    return loop.visible_rows(most), loop.held_out_rows(most)


def _learnt(loop: Loop, seen: tuple[Array, Array] | None) -> tuple[str, ...]:
    """What the trained machine tells, once anything was trained."""
    return () if seen is None else learnt.notes(loop.state.model, *seen, loop.key.derive("learnt"))


def _looked(
    loop: Loop, seen: tuple[Array, Array] | None, history: list[Record], settings: AnySettings
) -> tuple[str, ...]:
    """All that is told of the machine of a run in memory."""
    return _with_gap(_learnt(loop, seen), history, settings, loop.state.model)


def _kept_notes(told: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """The notes that the last checkpoint of a complete run holds."""
    try:
        found = json.loads(told.get("notes", "[]"))
    except (ValueError, RecursionError) as problem:
        raise FileError(f"the checkpoint of {folder} holds notes that are not JSON.") from problem
    return tuple(str(note) for note in found) if isinstance(found, list) else ()


def _finished(loop: Loop, settings: AnySettings) -> Model:
    """The trained machine with the mean activities on training rows that annealing of its log Z starts from.

    Rows with numbers outside [0, 1] tell no activities: then annealing finds its own start.
    """
    model = loop.state.model
    rbm, net = model.undirected, model.directed
    if net is not None and net.structure.game is not None and loop.state.lines:
        return with_proposal(net, loop.visible_rows(PROPOSAL_ROWS), loop.held_out_rows(PROPOSAL_ROWS))
    if rbm is None:
        return model
    rows = loop.visible_rows(min(RATE_ROWS, max(RATE_NUMBERS // model.layers[0].units, ROWS)))
    if net is None and not _activities(rbm, rows):
        return model
    key = Key.from_seed(settings.seed).derive("rates")
    own = replace(rbm, scaling=None)  # whose rows are numbers as the machine sees them, as these are
    rates = base_rates(own, rows if net is None else recognised(net, rows, key), settings.seed)
    names = {own.name: whole.name for own, whole in zip(reversed(rbm.layers), reversed(model.layers), strict=False)}
    return replace(model, rates={names[name]: rate for name, rate in rates.items()})


def _activities(model: BoltzmannMachine, rows: Array) -> bool:
    """Whether rows (rows, columns) hold numbers in [0, 1] for all binary visible units."""
    parts = (rows[:, part] for name, part in model.graph.columns.items() if model.unit_type(name).binary)
    return not any(bool((part < 0).any() or (part > 1).any()) for part in parts)
