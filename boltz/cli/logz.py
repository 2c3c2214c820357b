"""`boltz logz`: the log partition function of a machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import annealing_options, emit, given, json_option, run_argument, seed_option, threads_option
from boltz.errors import InputError


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
@click.pass_context
def logz(ctx: click.Context, path: Path, exact: bool | None, as_json: bool, **options: Any) -> None:
    """Estimate the log partition function of a run or model file, in nats.

    That of a deep belief net is that of the RBM on its top; that of other directed machines is 0.
    """
    from boltz.cli.measure import Annealing, described, estimate_log_z
    from boltz.cli.progress import Progress
    from boltz.cli.stored import kind_of, model_of
    from boltz.training.plans import blueprint

    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    how = "auto" if exact is None else "exact" if exact else "ais"
    if exact and {"betas", "chains"} & given(ctx):
        raise InputError("--exact enumerates, so it takes neither --betas nor --chains.")
    model = model_of(path)
    kind = kind_of(blueprint(model))
    began = time.monotonic()
    with Progress() as progress:
        found = estimate_log_z(model, how, annealing, progress)
    if found is None:
        raise InputError(f"{path} holds a directed machine ({kind}), whose log Z is 0: there is nothing to estimate.")
    result = {"log_z": found.as_dict(), "method": found.method, "seconds": time.monotonic() - began}
    emit(result, as_json, described("log Z of the RBM on top" if kind == "dbn" else "log Z", found))
