"""`boltz info`: what a run folder or a model file holds."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from boltz.cli.common import emit, json_option, run_argument
from boltz.errors import BoltzError, FileError

if TYPE_CHECKING:
    from boltz.training.plans import Blueprint


@click.command
@run_argument
@json_option
def info(path: Path, as_json: bool) -> None:
    """Describe a run, or the file of a machine or a network: layers, parameters, settings, progress, data, result."""
    result = _of_tuned(path) or (_of_run(path) if path.is_dir() else _of_model(path))
    emit(result, as_json, "\n".join(_lines(result)))


def _of_tuned(path: Path) -> dict[str, Any] | None:
    """What the folder of a fine-tuning or the file of a network holds, None for anything else."""
    from boltz import runs
    from boltz.cli.stored import has_network, read_result, table
    from boltz.models.files import load_network
    from boltz.training.tuned_runs import described, task

    if not has_network(path):
        return None
    done = path.is_file() or (path / runs.NETWORK).exists()
    network = load_network(path if done else path / runs.START)
    found = {
        "path": str(path),
        "model": task(network),
        "layers": list(network.net.sizes),
        "architecture": "-".join(map(str, network.net.sizes)),
        "visible": network.visible.kind,
        "parameters": network.arena.size,
        "classes" if network.classes else "code": list(network.classes) or network.net.sizes[network.code],
    }
    if path.is_file():
        return found
    description, result = runs.read_settings(path), read_result(path)
    settings = described(description, path)
    return found | {
        "complete": done,
        "epochs": len(runs.read_metrics(path)),
        "epochs_planned": settings.output_epochs + settings.epochs,
        "init": table(description, "init"),
        "data": table(description, "data"),
        "settings": settings.as_dict(),
        "versions": table(description, "versions"),
        "test": None if result is None else result["test"],
    }


def _of_model(path: Path) -> dict[str, Any]:
    import boltz
    from boltz.training.plans import blueprint

    model = boltz.load(path)
    rates = {"dtype": str(model.dtype), "rates": bool(model.rates)}
    return {"path": str(path), **_structure(blueprint(model)), **rates}


def _structure(plan: Blueprint) -> dict[str, Any]:
    """What a machine is: its kind, its layers, and what its conditionals hold."""
    from boltz.cli.stored import architecture, parameters
    from boltz.models.graph import Graph
    from boltz.training.plans import kind_of

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
    from boltz import runs
    from boltz.cli.stored import read_result, table
    from boltz.models.graph import Graph

    description = runs.read_settings(path)
    plan, planned = _plan(description, path)
    history, result = runs.read_metrics(path), read_result(path)
    origin: dict[str, Any] = {name: description[name] for name in ("recipe", "init") if name in description}
    return {
        "path": str(path),
        **_structure(plan),
        "complete": (path / runs.MODEL).exists(),
        "epochs": len(history),
        "epochs_planned": planned,
        **({"trajectory": _trajectory(path)} if isinstance(plan, Graph) else {}),
        **origin,
        "data": table(description, "data"),
        "settings": table(description, "settings"),
        "versions": table(description, "versions"),
        "test": None if result is None else result["test"],
    }


def _trajectory(path: Path) -> dict[str, int]:
    """How many snapshots a run has kept along its training, and their size on disk."""
    from boltz import snapshots

    files = snapshots.listed(path)
    return {"snapshots": len(files), "bytes": sum(file.stat().st_size for file in files)}


def _plan(description: dict[str, Any], path: Path) -> tuple[Blueprint, int]:
    """The machine without its parameters, and the number of epochs of all stages."""
    from boltz.models.files import structure_from
    from boltz.models.graph import Graph
    from boltz.training.plans import settings_of, stages

    try:
        model = description["model"]
        if "structure" in model:
            plan: Blueprint = structure_from(model["structure"])
        else:
            plan = Graph.chain([int(n) for n in model["units"]], model["kind"])
        found = stages(plan, settings_of(plan, description["settings"]))
    except (KeyError, TypeError, ValueError, BoltzError) as problem:
        raise FileError(f"{path / 'run.toml'} does not describe a run ({problem}).") from problem
    return plan, sum(stage.settings.epochs for stage in found)


def _lines(result: dict[str, Any]) -> list[str]:
    """A line for each entry, tables as name=value."""
    shown = {name: value for name, value in result.items() if name not in ("layers", "widths")}
    if "complete" in shown:
        shown["epochs"] = f"{shown['epochs']} of {shown.pop('epochs_planned')}"
        command = {"classifier": "classify", "autoencoder": "autoencode"}.get(shown["model"], "train")
        again = f"no; continue with: boltz {command} --resume {shown['path']}"
        shown["complete"] = "yes" if shown["complete"] else again
        shown["test"] = _test(shown["test"])
    if "trajectory" in shown:
        kept = shown["trajectory"]
        shown["trajectory"] = f"{kept['snapshots']} snapshots, {kept['bytes'] / 1e6:.1f} MB"
    shown["parameters"] = f"{shown['parameters']:,}"
    return [fill(f"{name + ':':<13} {_plain(value)}", 110, subsequent_indent=" " * 14) for name, value in shown.items()]


def _test(test: Any) -> str:
    if isinstance(test, dict) and isinstance(test.get("error"), float):
        return f"error {100 * test['error']:.2f} %"
    if isinstance(test, dict) and isinstance(test.get("squared_error"), dict):
        return f"squared error {test['squared_error'].get('value'):.4f} a row"
    entry = test.get("log_likelihood") if isinstance(test, dict) else None
    value = entry.get("value") if isinstance(entry, dict) else None
    return f"log-likelihood {value:.2f} nats a row" if isinstance(value, float) else "not measured"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n} = ({_plain(x)})" if isinstance(x, dict) else f"{n} = {x}" for n, x in value.items())
    return "yes" if value is True else "no" if value is False else str(value)
