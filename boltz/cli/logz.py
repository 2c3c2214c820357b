"""`boltz logz`: the log partition function of a machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import annealing_options, emit, json_option, run_argument, seed_option, threads_option


@click.command
@run_argument
@click.option(
    "--exact/--ais",
    default=None,
    show_default="exact up to 20 units, else ais",
    help="Enumerate the smaller colour class (at most 28 units), or anneal.",
)
@annealing_options("--chains")
@seed_option
@threads_option
@json_option
def logz(path: Path, exact: bool | None, as_json: bool, **options: Any) -> None:
    """Estimate the log partition function of a run or model file, in nats."""
    from boltz.cli.measure import Annealing, described, estimate_log_z
    from boltz.cli.progress import Progress
    from boltz.cli.stored import model_of

    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    how = "auto" if exact is None else "exact" if exact else "ais"
    model = model_of(path)
    began = time.monotonic()
    with Progress() as progress:
        found = estimate_log_z(model, how, annealing, progress)
    result = {"log_z": found.as_dict(), "method": found.method, "seconds": time.monotonic() - began}
    emit(result, as_json, described("log Z", found))
