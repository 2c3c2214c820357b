"""`boltz evaluate`: the log-likelihood of data under a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from boltz.cli.common import annealing_options, emit, json_option, run_argument, seed_option, threads_option
from boltz.errors import InputError


@click.command
@run_argument
@click.option("--data", show_default="the data of the run", help="A named data set, or a file as in boltz train.")
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True, help="Which rows."
)
@click.option("--limit", type=int, show_default="all", help="The first rows only, this many.")
@click.option(
    "--samples",
    type=int,
    default=0,
    show_default=True,
    help="Samples a row of the importance-weighted bound of a DBM; 0 takes the variational bound.",
)
@click.option(
    "--binarize",
    type=click.Choice(["dynamic", "fixed", "threshold", "none"]),
    show_default="that of the run, else dynamic",
    help="Grey values as Bernoulli means drawn once by --seed (dynamic, fixed), cut at 0.5, or kept.",
)
@annealing_options("--chains")
@seed_option
@threads_option
@json_option
def evaluate(path: Path, as_json: bool, **options: Any) -> None:
    """Estimate the mean log-likelihood of data under a run or model file, in nats a row.

    log Z is exact for a small machine, else estimated by annealed importance sampling.
    """
    import boltz
    from boltz import checks
    from boltz.cli.measure import Annealing, described, estimate_log_z, verdict, visible_rows
    from boltz.cli.progress import Progress
    from boltz.cli.stored import model_of, settings_of, table

    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    samples = checks.integer(options["samples"], "samples", 0, 10**6)
    model, settings = model_of(path), settings_of(path)
    name = options["data"] or table(settings, "data", "load").get("name_or_path")
    if not isinstance(name, str):
        raise InputError(f"{path} does not name its data: give them with --data.")
    data = boltz.load_data(name, options["split"], options["limit"])
    asked = options["binarize"] or table(settings, "settings").get("binarize", "dynamic")
    x, how = visible_rows(data, asked, annealing.seed, model)
    with Progress() as progress:
        log_z = estimate_log_z(model, "auto", annealing, progress)
    found = boltz.log_likelihood(model, x, log_z, samples, annealing.seed)
    result = {
        "log_likelihood": found.as_dict(),
        "rows": len(x),
        "method": found.method,
        "log_z": log_z.as_dict(),
        "data": data.name,
        "split": options["split"],
        "binarize": how,
        "certified": verdict(found, log_z),
    }
    lines = [
        described(f"log-likelihood of {len(x):,} rows ({data.name} {options['split']}, binarize {how})", found),
        described("log Z", log_z),
        verdict(found, log_z),
    ]
    emit(result, as_json, "\n".join(lines))
