"""`boltz info`: what a run folder or a model file holds; run.toml may have been edited by anybody."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from boltz.cli.common import emit, json_option, run_argument
from boltz.errors import BoltzError, FileError, InputError
from boltz.foreign import shown
from boltz.storage import metrics

if TYPE_CHECKING:
    from boltz.models.blueprint import Blueprint
    from boltz.networks.network import Network

MOST_ENTRY, MOST_INTEGER = 1500, 1 << 63  # characters of an entry as text; the largest whole number shown as one
MOST_CLASSES = 1000  # the first ones; the last of the layers says how many there are
TEST = "log-likelihood {:.2f} nats a row"
Needs = Mapping[str, tuple[str, Callable[[Mapping[str, Any]], bool]]]


@click.command
@run_argument
@json_option
def info(path: Path, as_json: bool) -> None:
    """Describe a run, or the file of a machine or a network: layers, parameters, settings, progress, data, result."""
    result = _told(_of_tuned(path) or (_of_run(path) if path.is_dir() else _of_model(path)))
    emit(result, as_json, "\n".join(_lines(result)))


def _of_tuned(path: Path) -> dict[str, Any] | None:
    """What the folder of a fine-tuning or the file of a network holds, None for anything else."""
    from boltz.cli.stored import has_network, read_result, table
    from boltz.cli.tuning_options import NEEDS
    from boltz.networks.files import load_network
    from boltz.networks.fine_tune import described
    from boltz.storage import run_folder

    if not has_network(path):
        return None
    if path.is_file():
        return _network(load_network(path), path)
    description, result = run_folder.read_settings(path), read_result(path)
    settings, problem = described(description, path), _unread(path / run_folder.NETWORK, load_network)
    values = settings.as_dict()
    return {
        **_network(load_network(path if problem is None else path / run_folder.START), path),
        "complete": problem is None,
        **({"problem": problem} if problem else {}),
        "epochs": len(metrics.read_metrics(path)),
        "epochs_planned": settings.output_epochs + settings.epochs,
        "init": table(description, "init"),
        "data": table(description, "data"),
        "settings": _effective(values, list(values), NEEDS),
        "versions": table(description, "versions"),
        "test": None if result is None else result["test"],
    }


def _network(network: Network, path: Path) -> dict[str, Any]:
    """What a network is: its layers, and its classes or where its code is."""
    from boltz.networks.fine_tune import task

    classes = [shown(label) if isinstance(label, str) else label for label in network.classes[:MOST_CLASSES]]
    return {
        "path": str(path),
        "model": task(network),
        "layers": list(network.net.sizes),
        "architecture": "-".join(map(str, network.net.sizes)),
        "visible": network.visible.kind,
        "parameters": network.arena.size,
        "classes" if classes else "code": classes or network.net.sizes[network.code],
    }


def _unread(file: Path, load: Callable[[Path], Any]) -> str | None:
    """Why the file of what a run trained does not read, "" where there is none yet; None where it does."""
    from os.path import lexists

    if not lexists(file):
        return ""
    try:
        load(file)
    except InputError as problem:
        return str(problem)
    return None


def _effective(settings: Mapping[str, Any], known: list[str], needs: Needs) -> dict[str, Any]:
    """The settings that a machine has and that do something beside the others."""
    found = {name: value for name, value in settings.items() if name in known}
    return {name: value for name, value in found.items() if name not in needs or needs[name][1](settings)}


def _of_model(path: Path) -> dict[str, Any]:
    import boltz
    from boltz.models.blueprint import blueprint

    model = boltz.load(path)
    rates = {"dtype": str(model.dtype), "rates": bool(model.rates)}
    return {"path": str(path), **_structure(blueprint(model)), **rates}


def _structure(plan: Blueprint) -> dict[str, Any]:
    """What a machine is: its kind, its layers, and what its conditionals hold."""
    from boltz.cli.stored import architecture, parameters
    from boltz.models.blueprint import kind_of
    from boltz.models.graph import Graph

    found = {
        "model": kind_of(plan),
        "layers": [layer.units for layer in plan.layers],
        "architecture": architecture(plan),
        "visible": plan.layers[0].kind,
        "parameters": parameters(plan),
    }
    if not isinstance(plan, Graph) and any(plan.widths):
        found |= {"widths": [list(widths) for widths in plan.widths], "activation": plan.activation}
    return found


def _of_run(path: Path) -> dict[str, Any]:
    from boltz.cli.machines import MACHINES
    from boltz.cli.options import NEEDS
    from boltz.cli.stored import read_result, table
    from boltz.models.blueprint import kind_of
    from boltz.models.files import load
    from boltz.models.graph import Graph
    from boltz.storage import run_folder

    description = run_folder.read_settings(path)
    plan, planned, settings = _plan(description, path)
    machine, problem = MACHINES.get(kind_of(plan)), _unread(path / run_folder.MODEL, load)
    history, result = metrics.read_metrics(path), read_result(path)
    origin: dict[str, Any] = {name: description[name] for name in ("recipe", "init") if name in description}
    return {
        "path": str(path),
        **_structure(plan),
        "complete": problem is None,
        **({"problem": problem} if problem else {}),
        "epochs": len(history),
        "epochs_planned": planned,
        **({"trajectory": _trajectory(path)} if isinstance(plan, Graph) else {}),
        **origin,
        "data": table(description, "data"),
        "settings": _effective(settings, list(settings if machine is None else machine.options), NEEDS),
        "versions": table(description, "versions"),
        "test": None if result is None else result["test"],
    }


def _trajectory(path: Path) -> dict[str, int]:
    """How many snapshots a run has kept along its training, and their size on disk."""
    from boltz.storage import snapshots

    files = snapshots.listed(path)
    return {"snapshots": len(files), "bytes": sum(file.lstat().st_size for file in files)}


def _plan(description: dict[str, Any], path: Path) -> tuple[Blueprint, int, dict[str, Any]]:
    """The machine without its parameters, the number of epochs of all stages, and the settings."""
    from boltz.models.files import structure_from
    from boltz.models.graph import Graph
    from boltz.training.stages import settings_of, stages

    try:
        model = description["model"]
        if "structure" in model:
            plan: Blueprint = structure_from(model["structure"])
        else:
            plan = Graph.chain([int(n) for n in model["units"]], model["kind"])
        settings = settings_of(plan, description["settings"])
        epochs = sum(stage.settings.epochs for stage in stages(plan, settings))
    except (KeyError, TypeError, ValueError, OverflowError, BoltzError) as problem:
        raise FileError(f"{path / 'run.toml'} does not describe a run ({shown(problem)}).") from problem
    return plan, epochs, settings.as_dict()


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


def _lines(result: dict[str, Any]) -> list[str]:
    """A line for each entry, tables as name=value."""
    told = {name: value for name, value in result.items() if name not in ("layers", "widths", "problem")}
    if "complete" in told:
        told["epochs"] = f"{told['epochs']} of {told.pop('epochs_planned')}"
        command = {"classifier": "classify", "autoencoder": "autoencode"}.get(told["model"], "train")
        how = f"{result['problem']} Remove that file and " if "problem" in result else ""
        again = f"no; {how}continue with: boltz {command} --resume {told['path']}"
        told["complete"] = "yes" if told["complete"] else again
        told["test"] = _test(told["test"])
    if "trajectory" in told:
        kept = told["trajectory"]
        told["trajectory"] = f"{kept['snapshots']} snapshots, {kept['bytes'] / 1e6:.1f} MB"
    told["parameters"] = f"{told['parameters']:,}"
    entries = {name: shown(_plain(value), MOST_ENTRY) for name, value in told.items()}
    return [fill(f"{name + ':':<13} {text}", 110, subsequent_indent=" " * 14) for name, text in entries.items()]


def _test(test: Any) -> str:
    """The result of a test in a few words."""
    entry = test if isinstance(test, dict) else {}
    if isinstance(entry.get("error"), float):
        return f"error {100 * entry['error']:.2f} %"
    for name, text in (("squared_error", "squared error {:.4f} a row"), ("log_likelihood", TEST)):
        part = entry.get(name)
        value = part.get("value") if isinstance(part, dict) else None
        if isinstance(value, float):
            return text.format(value)
    return "not measured"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} = ({_plain(x)})" if isinstance(x, dict) else f"{n} = {x}" for n, x in value.items())
    return "yes" if value is True else "no" if value is False else str(value)
