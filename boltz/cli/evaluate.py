"""`boltz evaluate`: the log-likelihood of data under a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Counts,
    annealing_options,
    device_option,
    emit,
    free_file,
    given,
    json_option,
    run_argument,
    seed_option,
    table_options,
    threads_option,
    two_sided_options,
)
from boltz.cli.logz import ROUNDS
from boltz.errors import InputError


@click.command
@run_argument
@click.option("--data", show_default="the data of the run", help="A named data set, or a file as in boltz train.")
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    show_default="test; a file of one table is taken whole",
    help="Which rows.",
)
@click.option("--limit", type=int, show_default="all", help="The first rows only, this many.")
@table_options
@click.option(
    "--method",
    type=click.Choice(["auto", "bound", "importance", "posterior-ais", "raise"]),
    default="auto",
    show_default=True,
    help="log p*(v) by the variational bound of a dbm (bound), importance sampling, annealing the hidden units of each "
    "row (posterior-ais); or log p(v) without log Z by annealing down from each row, which is conservative (raise). "
    "auto is what --samples says.",
)
@click.option(
    "--samples",
    type=int,
    default=0,
    show_default=True,
    help="Importance samples a row; 0 enumerates at most 14 hidden units, and beyond takes the variational bound of a "
    "dbm, 100 samples for a dbn, 1,000 for an sbn or vae. An rbm needs none.",
)
@click.option(
    "--bounds",
    type=Counts(),
    metavar="K,K,...",
    show_default="none",
    help="Importance-weighted bounds L_k to print as well, by numbers of samples a row, such as 1,10,100.",
)
@click.option(
    "--row-chains",
    type=int,
    default=10,
    show_default=True,
    help="posterior-ais, raise: chains a row; trust asks for 200.",
)
@click.option(
    "--row-betas",
    type=int,
    show_default="500 for posterior-ais, 1,000 for raise",
    help="posterior-ais, raise: inverse temperatures of these chains, uniform steps.",
)
@click.option(
    "--binarize",
    type=click.Choice(["dynamic", "fixed", "threshold", "none"]),
    show_default="that of the run, else dynamic",
    help="Grey values as Bernoulli means drawn once by --seed (dynamic, fixed), cut at 0.5, or kept.",
)
@click.option(
    "--along",
    is_flag=True,
    help="At every snapshot of the run of an rbm or dbm as well, log Z by replica exchange along them; a dbm by its "
    "variational bound.",
)
@click.option("--rounds", type=int, default=ROUNDS, show_default=True, help="--along: rounds of replica exchange.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    show_default="none",
    help="--along: draw the log-likelihood against the updates of training.",
)
@click.option(
    "--per-row",
    type=click.Path(path_type=Path),
    metavar="FILE.csv|.npy",
    show_default="none",
    help="Write log p(v) of every row: .csv with a header and the number of the row, from 1, or .npy; of --along those "
    "of the trained machine.",
)
@click.option("--force", is_flag=True, help="Replace the file that --per-row names.")
@annealing_options("--chains")
@two_sided_options("log Z from both sides")
@seed_option
@device_option
@threads_option
@json_option
@click.pass_context
def evaluate(ctx: click.Context, path: Path, as_json: bool, **options: Any) -> None:
    """Estimate the mean log-likelihood of data under a run or model file, in nats a row.

    log Z is 0 for a directed machine, exact for a small one, else estimated by annealed importance sampling, or, with
    --error or --budget, from both sides. With --along, it is measured by replica exchange along training.
    """
    from boltz import checks
    from boltz.cli.along import evaluated_along, request_of
    from boltz.cli.beside import beside
    from boltz.cli.evaluating import evaluated, way_of
    from boltz.cli.measure import visible_rows
    from boltz.cli.reading import rows_asked
    from boltz.cli.stored import model_of, settings_of, table
    from boltz.storage.tables import PER_ROW, write_per_row

    checks.integer(options["samples"], "samples", 0, 10**6)
    out = options["per_row"] and free_file(options["per_row"], PER_ROW, options["force"], "--per-row")
    if options["force"] and out is None:
        raise InputError("--force is for --per-row.")
    model, settings = model_of(path).to(options["device"]), settings_of(path)
    along = request_of(path, model, options, given(ctx))
    refuse_idle(given(ctx), [model])
    way = way_of(model, options, given(ctx))
    data, split = rows_asked(path, [model], options, "test")
    asked = options["binarize"] or table(settings, "settings").get("binarize")
    x, how = visible_rows(data, asked, options["seed"], model)
    about = {"rows": len(x), "data": data.name, "split": split, "binarize": how}
    rows = f"log-likelihood of {len(x):,} rows ({' '.join(filter(None, (data.name, split)))}, binarize {how})"
    result, text, per_row = evaluated(model, x, way, rows) if along is None else evaluated_along(x, along, rows)
    simple = beside(model, data, x, settings, options["seed"])
    learnt = simple.verdict(per_row, result["log_likelihood"])
    text, result = f"{text}\n{learnt}", result | {"beside": simple.as_dict(), "learnt": learnt}
    if out is not None:
        write_per_row(out, per_row)
        about, text = about | {"per_row": str(out)}, f"{text}\nWritten: {out}"
    emit(result | about, as_json, text)


def refuse_idle(names: set[str], models: list[Any]) -> None:
    """Raise InputError for options that were given and that none of the machines needs."""
    from boltz.cli.measure import undirected
    from boltz.models.blueprint import blueprint, kind_of

    directed = not any(undirected(model) for model in models)
    for name in ("betas", "chains"):
        if directed and name in names:
            raise InputError(
                f"--{name} is for annealed importance sampling of log Z, which is 0 for directed machines."
            )
    for name in ("error", "budget"):
        if directed and name in names:
            raise InputError(f"--{name} is for log Z, which is 0 for directed machines.")
    if "samples" in names and all(kind_of(blueprint(model)) == "rbm" for model in models):
        raise InputError("--samples would do nothing: log p*(v) of an rbm is exact without samples.")
