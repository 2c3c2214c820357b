"""`boltz diagnose`: what is wrong with a trained machine, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Choice,
    device_option,
    emit,
    given,
    json_option,
    run_argument,
    said,
    seed_option,
    table_options,
    threads_option,
)
from boltz.errors import InputError

SWEEPS, ROWS = 1000, 1000
ROWS_GIVEN = {"data", "split", "limit", "levels", "label_column", "drop_columns"}
SPLITS = ("train", "valid", "test")


@click.command
@run_argument
@click.option("--data", show_default="the data of the run", help="A named data set, or a file as in boltz train.")
@click.option("--split", type=Choice(SPLITS), show_default="train, or that of the run", help="Which rows.")
@click.option("--limit", type=int, show_default=f"{ROWS:,}", help="The first rows only, this many.")
@table_options
@click.option(
    "--sweeps",
    type=int,
    show_default=f"{SWEEPS:,}",
    help="Gibbs sweeps of 100 chains (undirected machines, and the top of a dbn); an sbn or vae has none.",
)
@click.option(
    "--log-z", is_flag=True, help="Measure log Z from both sides as well, and judge that; an sbn or vae has none."
)
@click.option("--error", type=float, default=0.25, show_default=True, help="Half-width of its interval, in nats.")
@click.option("--budget", type=float, default=600.0, show_default=True, help="Seconds that log Z may take.")
@seed_option
@device_option
@threads_option
@json_option
@click.pass_context
def diagnose(ctx: click.Context, path: Path, as_json: bool, **options: Any) -> None:
    """Diagnose a run or model file: what it learnt, mixing of its chains beside k of the training, dead units.

    Prints one line a finding, its verdict first: fine, attention or bad, with advice below. Half of the chains start at
    the persistent chains of the run, or at data, half from independent units. A machine with chains that names no data
    is judged by what needs none, and a last line says what was left out. Exit code 0 says that the work was done.

    Example: boltz diagnose digits --log-z
    """
    from boltz.evaluation.diagnose import (
        Asked,
        checked_sweeps,
        diagnosed,
        diagnosed_alone,
        has_no_rows,
        own_rows,
        own_split,
    )
    from boltz.evaluation.reading import rows_asked
    from boltz.evaluation.trained import trained
    from boltz.progress import Progress, saying

    found = trained(path).to(options["device"])
    sweeps = checked_sweeps(found, options["sweeps"], "--sweeps")
    asked = Asked(sweeps, _log_z_wanted(found, given(ctx), options), options["seed"])
    if has_no_rows(found) and not given(ctx) & ROWS_GIVEN:
        with Progress() as progress:
            told = diagnosed_alone(found, asked, progress.report)
        emit(told.as_dict(), as_json, str(told))
        return
    few = own_rows(found, options["split"]) if options["data"] is None else ROWS
    limit = few if options["limit"] is None else options["limit"]
    split = own_split(found, options["data"])
    with saying("reading the data"):
        rows = rows_asked(path, [found.model], {**options, "limit": limit}, split)
    said(rows[0])
    with Progress() as progress:
        told = diagnosed(found, rows, asked, progress.report)
    emit(told.as_dict(), as_json, str(told))


def _log_z_wanted(found: Any, names: Collection[str], options: Mapping[str, Any]) -> Any:
    """Error and budget of --log-z, None without it; raises InputError."""
    from boltz import checks
    from boltz.evaluation.log_z import Wanted

    if not options["log_z"]:
        idle = [name for name in ("error", "budget") if name in names]
        if idle:
            raise InputError(f"--{idle[0]} is of log Z: give --log-z as well.")
        return None
    if found.model.undirected is None:
        raise InputError(
            f"--log-z is of machines with an RBM, but the log Z of the directed machine in {found.path} is 0."
        )
    return Wanted(checks.number(options["error"], "error", 1e-9), checks.number(options["budget"], "budget", 0.0))
