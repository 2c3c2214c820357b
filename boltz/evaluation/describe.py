"""`describe`: what a machine, a network, a run or the file of one is; run.toml may have been edited by anybody."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from textwrap import fill
from typing import Any

from boltz import checks, html
from boltz.errors import InputError
from boltz.evaluation.per_unit import NATS
from boltz.foreign import shown
from boltz.models.blueprint import Blueprint
from boltz.models.files import Model, checked_machine, load
from boltz.models.graph import Graph
from boltz.networks.files import has_network, load_network
from boltz.networks.fine_tune import Tuned, tuning_of
from boltz.networks.network import Network
from boltz.presets import LACKS
from boltz.storage import metrics, run_folder, snapshots
from boltz.storage.run_folder import read_result
from boltz.training.description import read_description
from boltz.training.held_out import planned_epochs
from boltz.training.meaning import effective
from boltz.training.train import Run

MOST_ENTRY, MOST_INTEGER = 1500, 1 << 63  # characters of an entry as text; the largest whole number shown as one
MOST_CLASSES = 1000  # the first ones; the last of the layers says how many there are
WANTED = "a machine, a network, a run, a fine-tuning, or the path of one of them"
TEST = "log-likelihood {:.2f}"
Entries = dict[str, Any]


@dataclass(frozen=True)
class Description:
    """What a machine, a network or a run is, as plain values by name; str() is what `boltz info` prints."""

    entries: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the same that `boltz info --json` prints."""
        return dict(self.entries)

    def __str__(self) -> str:
        told = self._told()
        return "\n".join(
            fill(f"{f'{name}:':<13} {text}", 110, subsequent_indent=" " * 14) for name, text in told.items()
        )

    def _repr_html_(self) -> str:
        return html.table([*self._told().items()])

    def _told(self) -> dict[str, str]:
        """The entries as text, tables as name=value."""
        told = {name: value for name, value in self.entries.items() if name not in ("layers", "widths", "problem")}
        if "complete" in told:
            told["epochs"] = f"{told['epochs']} of {told.pop('epochs_planned')}"
            command = {"classifier": "classify", "autoencoder": "autoencode"}.get(told["model"], "train")
            how = f"{self.entries['problem']} Remove that file and " if "problem" in self.entries else ""
            again = f"no; {how}continue with: boltz {command} --resume {told['path']}"
            told["complete"] = "yes" if told["complete"] else again
            told["test"] = _test(told["test"])
        if "trajectory" in told:
            kept = told["trajectory"]
            told["trajectory"] = f"{kept['snapshots']} snapshots, {kept['bytes'] / 1e6:.1f} MB"
        told["parameters"] = f"{told['parameters']:,}"
        return {name: shown(_plain(value), MOST_ENTRY) for name, value in told.items()}


def describe(model: Any) -> Description:
    """What a machine, a network, a run, a fine-tuning, or the path of one of them is: layers, parameters, settings.

    Of a run folder it tells progress, data and the result of the test as well. Raises InputError, FileError.
    """
    if isinstance(model, Run | Tuned) and model.path is not None:
        return Description(_told(of_path(model.path)))
    if isinstance(model, Run):
        told = effective(model.settings.as_dict(), type(model.settings), LACKS.get(model.model.kind, ()))
        return Description(_told({**_machine(model.model), "epochs": len(model.history), "settings": told}))
    if isinstance(model, Tuned):
        settings = effective(model.settings.as_dict(), type(model.settings))
        return Description(_told({**_network(model.network), "epochs": len(model.history), "settings": settings}))
    if isinstance(model, Network):
        return Description(_told(_network(model)))
    if isinstance(model, str | os.PathLike):
        return Description(_told(of_path(checks.path(model, "model"))))
    machine = checked_machine(model, "model", WANTED, any_units=True, any_graph=True, any_factors=True)
    return Description(_told(_machine(machine)))


def of_path(path: Path) -> Entries:
    """What a run folder or a file holds."""
    return _of_tuned(path) or (_of_run(path) if path.is_dir() else _machine(load(path), path))


def _of_tuned(path: Path) -> dict[str, Any] | None:
    """What the folder of a fine-tuning or the file of a network holds, None for anything else."""

    if not has_network(path):
        return None
    if path.is_file():
        return _network(load_network(path), path)
    description, result = read_description(path), read_result(path)
    settings, problem = tuning_of(description), _unread(path / run_folder.NETWORK, load_network)
    return {
        **_network(load_network(path if problem is None else path / run_folder.START), path),
        "complete": problem is None,
        **({"problem": problem} if problem else {}),
        "epochs": len(metrics.read_metrics(path)),
        "epochs_planned": settings.output_epochs + settings.epochs,
        "init": description.part("init"),
        "data": description.data.table,
        "settings": effective(settings.as_dict(), type(settings)),
        "versions": description.versions,
        "test": None if result is None else result["test"],
    }


def _network(network: Network, path: Path | None = None) -> Entries:
    """What a network is: its layers, and its classes or where its code is."""

    classes = [shown(label) if isinstance(label, str) else label for label in network.classes[:MOST_CLASSES]]
    return {
        **({} if path is None else {"path": str(path)}),
        "model": network.task,
        "layers": list(network.net.sizes),
        "architecture": "-".join(map(str, network.net.sizes)),
        "visible": network.visible.kind,
        "parameters": network.arena.size,
        "classes" if classes else "code": classes or network.net.sizes[network.code],
    }


def _machine(model: Model, path: Path | None = None) -> Entries:
    """What a machine is, and where it is from."""
    rates = {"dtype": str(model.dtype), "rates": bool(model.rates)}
    return {**({} if path is None else {"path": str(path)}), **_structure(model.plan), **rates}


def _unread(file: Path, load: Callable[[Path], Any]) -> str | None:
    """Why the file of what a run trained does not read, "" where there is none yet; None where it does."""

    if not lexists(file):
        return ""
    try:
        load(file)
    except InputError as problem:
        return str(problem)
    return None


def _structure(plan: Blueprint) -> dict[str, Any]:
    """What a machine is: its kind, its layers, and what its conditionals hold."""

    found = {
        "model": plan.kind,
        "layers": [layer.units for layer in plan.layers],
        "architecture": plan.architecture,
        "visible": _visible(plan),
        "parameters": plan.parameters,
    }
    if not isinstance(plan, Graph) and any(plan.widths):
        found |= {"widths": [list(widths) for widths in plan.widths], "activation": plan.activation}
    return found


def _visible(plan: Blueprint) -> str:
    """The kind of the visible units, or of those of each of several layers, in words."""
    views = plan.layers[: len(plan.views)] if isinstance(plan, Graph) else plan.layers[:1]
    return (
        views[0].kind if len(views) == 1 else ", ".join(f"{view.name} {view.described} {view.kind}" for view in views)
    )


def _of_run(path: Path) -> dict[str, Any]:

    description = read_description(path)
    run = description.drawn()
    plan, settings = run.plan, run.settings
    lacking, problem = LACKS.get(plan.kind, ()), _unread(path / run_folder.MODEL, load)
    history, result = metrics.read_metrics(path), read_result(path)
    origin: dict[str, Any] = {name: description.extra[name] for name in ("recipe", "init") if name in description.extra}
    return {
        "path": str(path),
        **_structure(plan),
        "complete": problem is None,
        **({"problem": problem} if problem else {}),
        "epochs": len(history),
        "epochs_planned": sum(planned_epochs(history, stage) for stage in run.stages),
        **({"trajectory": _trajectory(path)} if isinstance(plan, Graph) else {}),
        **origin,
        "data": description.data.table,
        "settings": effective(settings.as_dict(), type(settings), lacking),
        "versions": description.versions,
        "test": None if result is None else result["test"],
    }


def _trajectory(path: Path) -> dict[str, int]:
    """How many snapshots a run has kept along its training, and their size on disk."""

    files = snapshots.listed(path)
    return {"snapshots": len(files), "bytes": sum(file.lstat().st_size for file in files)}


def _told(value: Any) -> Any:
    """A value of a file as JSON can tell it: no date, no number that is not finite or that nobody could read."""
    if isinstance(value, dict):
        return {name: _told(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_told(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < MOST_INTEGER else shown(value)
    return value if value is None or isinstance(value, str) else str(value)


def _test(test: Any) -> str:
    """The result of a test in a few words."""
    entry = test if isinstance(test, dict) else {}
    if isinstance(entry.get("error"), float):
        return f"error {100 * entry['error']:.2f} %"
    for name, text in (("squared_error", "squared error {:.4f} a row"), ("log_likelihood", TEST)):
        part = entry.get(name)
        value = part.get("value") if isinstance(part, dict) else None
        if isinstance(value, float):
            unit = f" {shown(entry.get('unit', NATS))}" if name == "log_likelihood" else ""
            return text.format(value) + unit + _of_words(entry.get("perplexity"))
    return "not measured"


def _of_words(entry: Any) -> str:
    """The perplexity of documents in a few words, empty without one."""
    value = entry.get("by_corpus") if isinstance(entry, dict) else None
    return f", perplexity {value:.1f} a word by corpus" if isinstance(value, float) else ""


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} = ({_plain(x)})" if isinstance(x, dict) else f"{n} = {x}" for n, x in value.items())
    return "yes" if value is True else "no" if value is False else str(value)
