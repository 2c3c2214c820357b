"""`boltz evaluate`: the log-likelihood of data under a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from boltz.cli.common import annealing_options, emit, given, json_option, run_argument, seed_option, threads_option
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
    help="Importance samples a row; 0 enumerates at most 14 hidden units, and beyond takes the variational bound of a "
    "dbm, 100 samples for a dbn, 1,000 for an sbn or vae. An rbm needs none.",
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
@click.pass_context
def evaluate(ctx: click.Context, path: Path, as_json: bool, **options: Any) -> None:
    """Estimate the mean log-likelihood of data under a run or model file, in nats a row.

    log Z is 0 for a directed machine, exact for a small one, else estimated by annealed importance sampling.
    """
    import boltz
    from boltz.cli.measure import Annealing, described, estimate_log_z, samples_for, verdict, visible_rows
    from boltz.cli.progress import Progress
    from boltz.cli.stored import model_of, settings_of, table

    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    model, settings = model_of(path), settings_of(path)
    samples = samples_for(model, options["samples"])
    refuse_idle(given(ctx), [model])
    name = options["data"] or table(settings, "data", "load").get("name_or_path")
    if not isinstance(name, str):
        raise InputError(f"{path} does not name its data: give them with --data.")
    data = boltz.load_data(name, options["split"], options["limit"])
    asked = options["binarize"] or table(settings, "settings").get("binarize")
    x, how = visible_rows(data, asked, annealing.seed, model)
    with Progress() as progress:
        log_z = estimate_log_z(model, "auto", annealing, progress)
    found = boltz.log_likelihood(model, x, log_z, samples, annealing.seed)
    said = verdict(found, log_z, samples)
    result = {
        "log_likelihood": found.as_dict(),
        "rows": len(x),
        "method": found.method,
        "samples": samples,
        "log_z": None if log_z is None else log_z.as_dict(),
        "data": data.name,
        "split": options["split"],
        "binarize": how,
        "certified": said,
    }
    rows = f"log-likelihood of {len(x):,} rows ({data.name} {options['split']}, binarize {how})"
    lines = [described(rows, found), *([] if log_z is None else [described("log Z", log_z)]), said]
    emit(result, as_json, "\n".join(lines))


def refuse_idle(names: set[str], models: list[Any]) -> None:
    """Raise InputError for options that were given and that none of the machines needs."""
    from boltz.cli.measure import undirected
    from boltz.cli.stored import kind_of
    from boltz.training.plans import blueprint

    for name in ("betas", "chains"):
        if name in names and not any(undirected(model) for model in models):
            raise InputError(
                f"--{name} is for annealed importance sampling of log Z, which is 0 for directed machines."
            )
    if "samples" in names and all(kind_of(blueprint(model)) == "rbm" for model in models):
        raise InputError("--samples would do nothing: log p*(v) of an rbm is exact without samples.")
