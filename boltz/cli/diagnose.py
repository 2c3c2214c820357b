"""`boltz diagnose`: what is wrong with a trained machine, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from boltz.cli.common import (
    device_option,
    emit,
    given,
    json_option,
    run_argument,
    say,
    seed_option,
    table_options,
    threads_option,
)
from boltz.errors import InputError

if TYPE_CHECKING:
    from boltz.data import Data
    from boltz.diagnostics.findings import Diagnosis, Finding
    from boltz.models.files import Model

SWEEPS, ROWS = 1000, 1000
SPLITS = ("train", "valid", "test")


@click.command
@run_argument
@click.option("--data", show_default="the data of the run", help="A named data set, or a file as in boltz train.")
@click.option("--split", type=click.Choice(SPLITS), show_default="train, or that of the run", help="Which rows.")
@click.option("--limit", type=int, show_default=f"{ROWS:,}", help="The first rows only, this many.")
@table_options
@click.option(
    "--sweeps",
    type=int,
    show_default=f"{SWEEPS:,}",
    help="Gibbs sweeps of 100 chains (rbm, dbm, and the top of a dbn); an sbn or vae has none.",
)
@click.option("--log-z", is_flag=True, help="Measure log Z from both sides as well, and judge that (rbm, dbm, dbn).")
@click.option("--error", type=float, default=0.25, show_default=True, help="Half-width of its interval, in nats.")
@click.option("--budget", type=float, default=600.0, show_default=True, help="Seconds that log Z may take.")
@seed_option
@device_option
@threads_option
@json_option
@click.pass_context
def diagnose(ctx: click.Context, path: Path, as_json: bool, **options: Any) -> None:
    """Diagnose a run or model file: mixing of its chains beside k of the training, particles and data, dead units.

    Prints one line a finding, its verdict first: fine, attention or bad, with advice below. Half of the chains start at
    the persistent chains of the run, or at data, half from independent units. Exit code 0 says that the work was done.
    """
    from boltz import checks
    from boltz.cli.measure import undirected, visible_rows
    from boltz.cli.reading import own_load
    from boltz.cli.stored import model_of, settings_of, table
    from boltz.diagnostics.diagnose import LEAST_SWEEPS
    from boltz.diagnostics.diagnose import diagnose as judge

    model, description = model_of(path).to(options["device"]), settings_of(path)
    sweeps, seed = options["sweeps"], checks.integer(options["seed"], "seed", 0, 2**63 - 1)
    if undirected(model) is None and sweeps is not None:
        raise InputError(f"--sweeps are of Gibbs chains, but {path} holds a directed machine, which has none.")
    sweeps = checks.integer(SWEEPS if sweeps is None else sweeps, "sweeps", LEAST_SWEEPS, 10**7)
    wanted = log_z_wanted(path, model, given(ctx), options)
    data, split = rows_of(path, model, own_load(description), options)
    settings = table(description, "settings")
    if len(data.x) < 2:
        raise InputError(f"The data must have at least 2 rows, whose spread is the measure, got {len(data.x)}.")
    x, how = visible_rows(data, settings.get("binarize"), seed, model)
    particles = particles_of(path, model)
    if undirected(model) is not None:
        say(f"running chains for {sweeps:,} sweeps")
    found = judge(model, x, particles, sweeps, seed, settings or None)
    if wanted is not None:
        found = with_log_z(found, model, wanted, seed)
    about = {"path": str(path), "data": data.name, "split": split, "rows": len(x), "binarize": how, "seed": seed}
    emit({**found.as_dict(), **about}, as_json, "\n".join(map(shown, found.findings)))


def log_z_wanted(
    path: Path, model: Model, said: Collection[str], options: Mapping[str, Any]
) -> tuple[float, float] | None:
    """Error and budget of --log-z, None without it; raises InputError."""
    from boltz import checks
    from boltz.cli.measure import undirected

    if not options["log_z"]:
        idle = [name for name in ("error", "budget") if name in said]
        if idle:
            raise InputError(f"--{idle[0]} is of log Z: give --log-z as well.")
        return None
    if undirected(model) is None:
        raise InputError(f"--log-z is of machines with an RBM, but the log Z of the directed machine in {path} is 0.")
    return checks.number(options["error"], "error", 1e-9), checks.number(options["budget"], "budget", 0.0)


def with_log_z(found: Diagnosis, model: Model, wanted: tuple[float, float], seed: int) -> Diagnosis:
    """A diagnosis with findings on log Z, measured to an error within a budget of seconds."""
    from boltz.cli.measure import undirected
    from boltz.cli.progress import Progress
    from boltz.diagnostics.log_z import halved, overlap
    from boltz.estimators.two_sided import log_z

    machine = undirected(model)
    assert machine is not None
    with Progress() as progress:
        both = log_z(machine, *wanted, seed, progress=lambda done, total: progress.update("log Z", done, total))
    measures = {"log_z": {**both.estimate.as_dict(), "wanted": both.wanted, "reached": both.reached}}
    return found.extended(*overlap(both, halved(machine, both, seed)), **measures)


def rows_of(path: Path, model: Model, load: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Data, str | None]:
    """The rows that the options name, by default the first of the run's training data, and their split."""
    from boltz.cli.reading import rows_asked

    own = options["data"] is None
    default = (load.get("split") if own else None) or "train"
    trained = load.get("limit") if own and options["split"] in (None, load.get("split", "train")) else None
    limit = min(ROWS, trained) if isinstance(trained, int) else ROWS
    limit = limit if options["limit"] is None else options["limit"]
    return rows_asked(path, [model], {**options, "limit": limit}, default)


def particles_of(path: Path, model: Model) -> dict[str, Any] | None:
    """The persistent chains in the checkpoint of a run, None where it has none that are of the whole machine."""
    from boltz.cli.measure import undirected
    from boltz.storage import run_folder

    machine = undirected(model)
    kept = path.is_dir() and any((path / name).exists() for name in (run_folder.CHECKPOINT, run_folder.PREVIOUS))
    if machine is None or not kept:
        return None
    tensors, _, notes = run_folder.load_checkpoint(path)
    for note in notes:
        say(note)
    found = {n: tensors[f"rule/chain/{n}"] for n in machine.units if f"rule/chain/{n}" in tensors}
    fits = found.keys() == machine.units.keys() and all(
        x.ndim == 2 and x.shape[1] == machine.units[n] for n, x in found.items()
    )
    return found if fits else None


def shown(finding: Finding) -> str:
    """A line of verdict, name and what was found, and the advice indented below it."""
    line = f"{finding.verdict:<10}{finding.name}: {finding.sentence}"
    lines = [fill(line, 110, subsequent_indent=" " * 10, break_on_hyphens=False)]
    if finding.advice:
        indent = " " * 12
        lines.append(fill(finding.advice, 110, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False))
    return "\n".join(lines)
