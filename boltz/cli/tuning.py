"""Fine-tuning on the command line: from options to a run, its continuation, or a network that is trained already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import given, said, say
from boltz.cli.options import TABLES, tuning_from
from boltz.cli.train import make_parent, stoppable
from boltz.data.labels import Labels, labels_from
from boltz.errors import FileError, InputError
from boltz.evaluation.reading import COLUMNS, KIND, data_of, reading, with_columns
from boltz.evaluation.rows import Seen, rows_of, seen_by
from boltz.evaluation.trained import model_of
from boltz.evaluation.tuning_rows import fewer, rows_entry, test_entry, test_rows, training, training_again
from boltz.evaluation.view_reading import several
from boltz.models.files import Model
from boltz.networks.files import network_of
from boltz.networks.fine_tune import Tuned, begun, in_words, resume_tuning
from boltz.networks.labels import prepared
from boltz.networks.network import Network
from boltz.plotting import curves, images
from boltz.progress import Progress, on_bar, saying
from boltz.storage import run_folder
from boltz.storage.run_folder import read_result, write_result
from boltz.training.description import RunDescription, description_at, read_description

Options = Mapping[str, Any]
WITH_RESUME = {"resume", "as_json", "threads", "device"}
WITH_NETWORK = {"path", "data", "limit", *TABLES, "split", "labels", "binarize", "seed", "out", "force"} | WITH_RESUME


@dataclass(frozen=True)
class Task:
    """What `boltz classify` and `boltz autoencode` differ in.

    unrolled makes the network of a machine; measured writes what is found on rows into a folder; tell says it.
    """

    command: str
    kind: str
    unrolled: Callable[[Model, Options, Labels | None], Network]
    measured: Callable[[Network, Seen, Path], dict[str, Any]]
    tell: Callable[[dict[str, Any]], None]
    writes: tuple[str, ...]

    @property
    def labelled(self) -> bool:
        """Whether it learns labels."""
        return self.kind == "classifier"


def worked(task: Task, ctx: click.Context, path: Path | None, options: Options) -> dict[str, Any]:
    """Do what the options ask for: go on with a run, apply a trained network, or train one."""
    names = given(ctx)
    if options["resume"] is not None:
        _refuse(ctx, names - WITH_RESUME, "--resume continues a run as it was started, so it takes no {}.")
        return resumed(task, options["resume"], options["device"])
    if path is None:
        raise click.UsageError("Name the RUN or MODEL to start from, or a folder to --resume.")
    network = network_of(path)
    if network is None:
        if options["split"] is not None:
            raise InputError("--split is for a network that is trained already: training rows are those of train.")
        return started(task, path, options)
    if network.task != task.kind:
        other = {"classify": "boltz autoencode", "autoencode": "boltz classify"}[task.command.split()[1]]
        raise InputError(f"{path} holds {'an autoencoder' if network.code else 'a classifier'}: use {other}.")
    _refuse(ctx, names - WITH_NETWORK, "{} would do nothing: " + f"{path} holds a network that is trained already.")
    return applied(task, path, network.to(options["device"]), options)


def started(task: Task, path: Path, options: Options) -> dict[str, Any]:
    """Train a new network and return the result; everything is checked before the first step."""
    settings = tuning_from(options)
    name = options["data"] or data_of(path)
    model = model_of(path)
    if several([model]) is not None:
        raise InputError(
            f"{path} has several visible layers, and fine-tuning is for one: write the features of its joint layer "
            "with boltz features, and train a classifier on these."
        )
    known = reading(path, [model], options, name)
    request = {"name_or_path": name, "split": "train", "limit": options["limit"], **known}
    data = said(with_columns(request, path, [model], options))
    known |= {key: data.request[key] for key in (*COLUMNS, *KIND) if key in data.request}
    entry = rows_entry(data, options.get("few"), options.get("labels"))
    labels = training(task.labelled, data, options.get("labels"))
    seen_by(model, data, settings.binarize, settings.seed)
    network = task.unrolled(model, options, labels).to(options["device"])
    data, labels = fewer(data, labels, options.get("few"), settings.seed)
    course = prepared(network, data, labels, None, settings)
    kept = description_at(path).rows("test").name if options["data"] is None else None
    known |= {"machine_levels": course.start.levels}
    test = test_entry(name, known, options["test"] or kept, options.get("test_labels"), options["levels"])
    out = options["out"] or run_folder.next_free(Path("runs"), f"{task.command.split()[1]}-{data.name}")
    run_folder.check_free(out, options["force"])
    extra: dict[str, Any] = {"init": {"path": str(path)}, "rows": entry, "test": test}
    if data.shape:
        extra["picture"] = {"shape": list(data.shape)}
    test_rows(network, RunDescription(extra=extra), settings)  # refuses what cannot be tested on
    make_parent(out)
    units = "-".join(map(str, network.net.sizes))
    say(f"fine-tuning {units} on {len(data.x):,} rows of {data.name}, run folder {out}")
    with stoppable(out, command=task.command), Progress() as progress:
        bar = on_bar(progress, in_words)
        tuned = begun(course, out, extra, options["force"], lambda record, copy: bar(record) is True)
        result = finished(task, tuned)
    show(task, tuned, result)
    return result


def resumed(task: Task, folder: Path, device: str) -> dict[str, Any]:
    """Continue a run and return its result; a complete one is left as it is."""
    with stoppable(folder, here=True, command=task.command), Progress() as progress:
        before, description = read_result(folder), read_description(folder)
        if description.task != task.kind:
            raise FileError(f"{folder} is not a run of {task.command}.")
        data, labels = training_again(task.labelled, description)
        tuned = resume_tuning(folder, data, labels, watch=on_bar(progress, in_words), device=device)
        result = before or finished(task, tuned)
    for note in tuned.notes:
        say(note)
    if before is not None:
        say(f"{folder} is complete: there is nothing to do.")
    else:
        show(task, tuned, result)
    return result


def applied(task: Task, path: Path, network: Network, options: Options) -> dict[str, Any]:
    """What a trained network makes of rows, in a folder of its own."""
    before = description_at(path).setting("binarize")
    asked = {**options, "binarize": options["binarize"] or before or "none"}
    rows = rows_of(path, network, asked | {"seed": options["seed"] or 0})
    said(rows.data)
    labels = rows.data.labels
    if options.get("labels") is not None:
        labels = labels_from(options["labels"], len(rows))
    out = options["out"] or run_folder.next_free(Path("runs"), f"{task.command.split()[1]}-{rows.data.name}")
    _check_writable(task, out, options["force"])
    make_parent(out / "x")
    with saying(f"applying the network to {len(rows):,} rows"):
        found = task.measured(network, Seen(rows, labels), out)
    result = {"run": str(path), "out": str(out), "task": task.kind, "test": found}
    write_result(out, result)
    task.tell(result)
    say(f"Written: {out}")
    return result


def finished(task: Task, tuned: Tuned) -> dict[str, Any]:
    """Draw the curves of a trained network, test it, and keep the result in its folder."""
    folder = tuned.path
    assert folder is not None
    with saying("testing the trained network"):
        images.save(curves.learning_curves(tuned.history), folder / "curves.png")
        seen = test_rows(tuned.network, read_description(folder), tuned.settings)
        test = None if seen is None else task.measured(tuned.network, seen, folder)
    chosen = [r for r in tuned.history if r["stage"] == "network" and r["epoch"] == tuned.epoch]
    result = {
        "run": str(folder),
        "task": task.kind,
        "architecture": list(tuned.network.net.sizes),
        "epochs": len(tuned.history),
        "chosen_epoch": tuned.epoch,
        "seconds": tuned.history[-1]["seconds"] if tuned.history else 0.0,
        "validation": {name: chosen[0][name] if chosen else None for name in ("error", "loss")},
        "test": test,
    }
    write_result(folder, result)
    return result


def show(task: Task, tuned: Tuned, result: dict[str, Any]) -> None:
    """The result as a table and plain sentences on stderr."""
    task.tell(result)
    if result["test"] is None:
        say(f"The data have no test rows: {task.command} {tuned.path} --data FILE applies the network to others.")
    if result["validation"]["loss"] is None:
        none = tuned.settings.validation == 0 or tuned.settings.epochs > 0
        kept = "those of the last one, as " + ("no rows were held out" if none else "the whole network had no epochs")
    else:
        kept = f"those of epoch {tuned.epoch}, the best on the validation rows"
        kept += ", trained anew on all rows for as many" if tuned.settings.refit else ""
    say(f"After {result['epochs']} epochs the parameters are {kept}. The run is in {tuned.path}: see its pictures.")


def _check_writable(task: Task, out: Path, force: bool) -> None:
    """Raise InputError unless a folder can take what a trained network makes of rows."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out must name a folder, but {out} is a file.")
    if (out / run_folder.SETTINGS).exists():
        raise InputError(f"{out} holds a run: name another folder for what a trained network finds.")
    for name in (*task.writes, run_folder.RESULT):
        if (out / name).exists() and not force:
            raise InputError(f"{out / name} exists already: replace it with --force or name another folder.")


def _refuse(ctx: click.Context, names: set[str], text: str) -> None:
    """Raise UsageError for the first of these options that was given."""
    for parameter in ctx.command.params:
        if parameter.name in names:
            shown = parameter.opts[0] if isinstance(parameter, click.Option) else "RUN"
            raise click.UsageError(text.format(shown))
