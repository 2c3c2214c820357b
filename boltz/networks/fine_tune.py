"""Public fine-tuning: `fine_tune` starts one, in a run folder perhaps, `resume_tuning` continues it from there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import checked_device
from boltz.errors import FileError, InputError
from boltz.foreign import html_table, short_repr
from boltz.models.files import Model
from boltz.networks.files import load_network
from boltz.networks.labels import labelled, numbered, prepared
from boltz.networks.loop import Course, Labelled, Progress, Record
from boltz.networks.network import AUTOENCODER, CLASSIFIER, Network
from boltz.networks.settings import FineTuneSettings
from boltz.progress import Asked
from boltz.storage import metrics, run_folder
from boltz.training import watching
from boltz.training.description import RowsEntry, RunDescription, read_description, versions
from boltz.training.history import columns, length, number
from boltz.training.runner import Runner, Tensors, saved_in
from boltz.training.settings import settings_from
from boltz.training.watching import Heard, Watch, unheard

COMMANDS = {CLASSIFIER: "boltz classify", AUTOENCODER: "boltz autoencode"}
LINES = "lines"  # in a checkpoint: how many of metrics.jsonl belong to it


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned network, one record an epoch, the epoch whose parameters it has, its folder (None: none), settings.

    notes say what a reader should know, such as a damaged checkpoint that was passed over.
    """

    network: Network
    history: list[Record]
    epoch: int
    settings: FineTuneSettings
    path: Path | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return short_repr("Tuned", (self.network.described, *self._parts().values()))

    def _repr_html_(self) -> str:
        rows = [("network", self.network.described), *self._parts().items(), ("settings", self.settings)]
        return html_table("Fine-tuned network", [*rows, *(("note", note) for note in self.notes)])

    def _parts(self) -> dict[str, Any]:
        """What a repr and a table say alike, by name."""
        chosen = [r for r in self.history if r.get("stage") == "network" and r.get("epoch") == self.epoch]
        found = {name: number(chosen[0], name) if chosen else None for name in ("error", "loss")}
        scores = [f"validation {name} {value:.4g}" for name, value in found.items() if value is not None]
        return {
            "trained for": length(self.history),
            "parameters": f"those of epoch {self.epoch}",
            "scores": ", ".join(scores) or None,
            "folder": self.path,
        }

    def history_table(self) -> dict[str, NDArray[Any]]:
        """The records as arrays (epochs,) by field, NaN for what was not measured; pandas.DataFrame takes them."""
        return columns(self.history)


def fine_tune(
    model: Model | Network,
    x: Any,
    y: Any = None,
    held_out: Any = None,
    out: str | Path | None = None,
    force: bool = False,
    watch: Watch | None = None,
    progress: Asked = None,
    **settings: Any,
) -> Tuned:
    """Train a network unrolled from a machine to tell the classes y (rows,) of visible rows x (rows, units).

    model: a machine, whose classifier starts from its weights (boltz.classifier), or a network: a classifier, or an
    autoencoder, which takes no y and learns to give back x. x as in boltz.train; y: numbers or text, by default the
    labels that x brings along. out names a run folder, which boltz.resume_tuning goes on with; nothing is written
    without it. held_out: rows, or (rows, labels), that choose the epoch to keep, instead of a share of x.
    watch(record) or watch(record, network) sees each epoch's record, and a copy of the network as it stands; if it
    returns True, the training ends there. progress: as in boltz.train. Settings are the fields of
    boltz.FineTuneSettings. Losses are in nats a row. Raises InputError, NumericalError, and with out Interrupted on
    SIGINT or SIGTERM after saving.
    """
    checks.flag(force, "force")
    watching.check(watch, progress, watching.NETWORK)
    if out is not None:
        out = checks.path(out, "out")
    chosen: FineTuneSettings = settings_from(FineTuneSettings, settings)
    course = prepared(model, x, y, held_out, chosen)
    with watching.hearing(watch, progress, in_words, watching.NETWORK) as heard:
        if out is not None:
            return begun(course, out, None, force, heard)
        history: list[Record] = []

        def record(found: Record) -> bool:
            history.append(found)
            return heard(found, course.progress.copied)

        course.record = record
        course.run()
    return Tuned(course.progress.network, history, course.progress.chosen, chosen)


def in_words(record: Mapping[str, Any]) -> str:
    """What is shown beside a bar of an epoch of fine-tuning."""
    parts = [f"loss {record['train_loss']:.4f}"]
    if record["error"] is not None:
        parts.append(f"validation error {100 * record['error']:.2f} %")
    elif record["loss"] is not None:
        parts.append(f"validation loss {record['loss']:.4f}")
    return ", ".join([*parts, f"{record['rows_per_second']:,.0f} rows/s"])


def begun(
    course: Course,
    out: str | Path,
    extra: Mapping[str, Any] | None = None,
    force: bool = False,
    heard: Heard = unheard,
) -> Tuned:
    """Make the run folder of a fine-tuning, train in it to the end, and return the result; extra is kept in run.toml.

    Raises InputError, NumericalError, and Interrupted on SIGINT or SIGTERM after saving.
    """
    description = _description(course, extra or {}).as_table()
    start = course.start.to("cpu")
    folder = run_folder.create(out, description, course.progress.tensors(), {}, force, {run_folder.START: start.save})
    with run_folder.lock(folder):
        return _in_folder(course, _runner(course, folder, 0, heard))


def resume_tuning(
    path: str | Path,
    x: Any = None,
    y: Any = None,
    held_out: Any = None,
    watch: Watch | None = None,
    device: str = "cpu",
    progress: Asked = None,
) -> Tuned:
    """Continue the fine-tuning in a folder from its last saved epoch, bit-identically, or return it if it is complete.

    With lbfgs it goes on from the start of a stage. x, y and held_out are needed only where they were given as arrays.
    watch and progress are as in boltz.fine_tune.
    Raises FileError, InputError if the data are not those of the run, NumericalError, and Interrupted.
    """
    folder, device = checks.path(path, "path"), checked_device(device)
    watching.check(watch, progress, watching.NETWORK)
    with run_folder.lock(folder):
        description = read_description(folder)
        chosen = tuning_of(description)
        start = load_network(folder / run_folder.START).to(device)
        saved = saved_in(folder)
        found = Progress.restored(saved.tensors, start, f"the checkpoint of {folder}")
        if found.round > chosen.refit + 1:
            raise FileError(f"the checkpoint of {folder} does not fit the settings of its run.")
        if found.round > chosen.refit and (folder / run_folder.NETWORK).exists():
            network = load_network(folder).to(device)
            return Tuned(network, metrics.read_metrics(folder), found.chosen, chosen, folder, saved.notes)
        rows = _again(description, "data", (x, y), start)
        if rows is None:
            raise FileError(f"{description.place} does not say what data the run had.")
        held = held_out if isinstance(held_out, tuple) and len(held_out) == 2 else (held_out, None)
        others = _again(description, "held_out", held, start)
        course = Course(chosen, start, rows, others, found)
        with watching.hearing(watch, progress, in_words, watching.NETWORK) as heard:
            tuned = _in_folder(course, _runner(course, folder, _lines(saved.told, folder), heard))
        return replace(tuned, notes=saved.notes)


def tuning_of(description: RunDescription) -> FineTuneSettings:
    """The settings of a fine-tuning by its run.toml; raises FileError."""
    if description.task not in COMMANDS:
        raise FileError(
            f"{description.folder} is not the folder of a fine-tuning, which boltz classify and boltz autoencode make."
        )
    found: FineTuneSettings = description.settings_as(FineTuneSettings)
    return found


def _runner(course: Course, folder: Path, lines: int, heard: Heard) -> Runner:
    return Runner(folder, COMMANDS[course.start.task], course.settings.checkpoint_seconds, lines, heard)


def _in_folder(course: Course, runner: Runner) -> Tuned:
    """Train to the end, save the network, and return the result; Interrupted on a signal.

    What is kept is always the progress at the last end of an epoch, of which a copy is at hand between saves.
    """
    kept: list[tuple[Tensors, int]] = []  # the copy that is not on disk yet, if any

    def write() -> None:
        if kept:
            tensors, lines = kept.pop()
            runner.save(tensors, f"epoch {lines}", {LINES: str(lines)})

    def saved() -> None:
        kept[:] = [({name: x.copy() for name, x in course.progress.tensors().items()}, runner.lines)]
        if runner.due:
            write()

    def pause() -> None:
        if runner.asked:
            write()
            runner.stop()

    with runner.running():
        course.record = lambda record: runner.record(record, course.progress.copied)
        course.saved, course.pause = saved, pause
        course.run()
        course.progress.network.to("cpu").save(runner.folder / run_folder.NETWORK)
        saved()
        write()
        runner.stop()
    network, chosen = course.progress.network, course.progress.chosen
    return Tuned(network, metrics.read_metrics(runner.folder), chosen, course.settings, runner.folder)


def _description(course: Course, extra: Mapping[str, Any]) -> RunDescription:
    """What run.toml says."""
    return RunDescription(
        task=course.start.task,
        settings=course.settings.as_dict(),
        data=_entry(course.given),
        held_out=RowsEntry() if course.others is None else _entry(course.others),
        versions=versions(),
        extra=extra,
    )


def _entry(rows: Labelled) -> RowsEntry:
    """Rows as run.toml names them, and the fingerprint of their labels as numbers of classes."""
    data, labels = rows
    return RowsEntry.of(data, **({} if labels is None else {"labels": _fingerprint(labels)}))


def _fingerprint(labels: NDArray[np.int64]) -> str:
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def _again(description: RunDescription, entry: str, given: tuple[Any, Any], network: Network) -> Labelled | None:
    """Rows and labels of an entry of run.toml, as they were; raises InputError where they changed."""
    data, folder = description.data_again(entry, given[0], network), description.folder
    if data is None:
        return None
    told = "y" if entry == "data" else "the labels of held_out"
    if not network.code and data.labels is None and given[1] is None:
        raise InputError(f"{folder} was trained on labels given apart from the rows; give them again as {told}.")
    data, labels = labelled(network, data, given[1], entry, told)
    numbers = numbered(network, labels)
    if numbers is not None and _fingerprint(numbers) != getattr(description, entry).get("labels"):
        raise InputError(f"the labels of the {entry} of {folder} changed: they differ from those in run.toml.")
    return data, numbers


def _lines(told: Mapping[str, str], folder: Path) -> int:
    """How many lines of metrics.jsonl belong to a checkpoint."""
    text = told.get(LINES, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise FileError(f"the checkpoint of {folder} does not say how many epochs it has behind it.")
    return int(text)
