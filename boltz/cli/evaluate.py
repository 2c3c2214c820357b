"""`boltz evaluate`: the log-likelihood of data under a machine."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Choice,
    Counts,
    annealing_options,
    device_option,
    emit,
    free_file,
    given,
    json_option,
    run_argument,
    said,
    say,
    seed_option,
    table_options,
    threads_option,
    two_sided_options,
    word,
)
from boltz.cli.logz import ROUNDS, checked_picture
from boltz.errors import InputError

OWN = ("rounds", "picture")
IDLE = ("given", "method", "samples", "bounds", "row_chains", "row_betas", "chains", "betas", "error", "budget")
LIKELIHOOD = frozenset({"method", "samples", "bounds", "row_chains", "row_betas", "per_row", "force"})


@click.command
@run_argument
@click.option("--data", show_default="the data of the run", help="A named data set, or a file as in boltz train.")
@click.option(
    "--split",
    type=Choice(["train", "valid", "test"]),
    show_default="test; a file of one table is taken whole",
    help="Which rows.",
)
@click.option("--limit", type=int, show_default="all", help="The first rows only, this many.")
@click.option(
    "--lengths",
    type=int,
    metavar="N",
    show_default="all",
    help="Of documents those of the N most common lengths only; log Z depends on the length.",
)
@click.option(
    "--given",
    multiple=True,
    metavar="NAME",
    show_default="all",
    help="A visible layer of several that counts, all others being unknown; may be repeated. Other data then need hold "
    "no other. Rows that lack a view, or entries, are measured by what is known of them.",
)
@table_options
@click.option(
    "--method",
    type=Choice(["auto", "bound", "importance", "posterior-ais", "raise"]),
    default="auto",
    show_default=True,
    help="log p*(v) by the variational bound of an undirected machine (bound), importance sampling, annealing the "
    "hidden units of each row (posterior-ais); or log p(v) without log Z by annealing down from each row, which is "
    "conservative (raise). auto is what --samples says.",
)
@click.option(
    "--samples",
    type=int,
    default=0,
    show_default=True,
    help="Importance samples a row; 0 enumerates at most 14 hidden units, and beyond takes 200 samples for a dbm, "
    "multimodal or bm, 100 for a dbn, 1,000 for an sbn or vae. An rbm needs none.",
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
    type=Choice(["dynamic", "fixed", "threshold", "none"]),
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
    metavar="FILE.png|.svg|.pdf",
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
    """Estimate the mean log-likelihood of data under a run or model file, in nats a row, and of documents the
    perplexity per word.

    log Z is 0 for a directed machine, exact for a small one, else estimated by annealed importance sampling, or, with
    --error or --budget, from both sides. With --along, it is measured by replica exchange along training.

    Example: boltz evaluate digits --data more.csv --samples 1000
    """
    from boltz import checks
    from boltz.evaluation.documents import of_common_lengths
    from boltz.evaluation.evaluate import evaluated, refuse_idle, way_of
    from boltz.evaluation.inferred_labels import NO_DENSITY, errors_alone
    from boltz.evaluation.reading import rows_asked
    from boltz.evaluation.rows import measured_rows
    from boltz.evaluation.trained import trained
    from boltz.evaluation.view_reading import checked_given, several
    from boltz.progress import Progress, saying
    from boltz.storage.tables import PER_ROW, write_per_row

    checks.integer(options["samples"], "samples", 0, 10**6)
    out = options["per_row"] and free_file(options["per_row"], PER_ROW, options["force"], "--per-row")
    if options["force"] and out is None:
        raise InputError("--force is for --per-row.")
    found, names = trained(path).to(options["device"]), given(ctx)
    if options["lengths"] is not None:
        _check_lengths(found, options["lengths"])
    course = _course(found, options, names)
    refuse_idle([found.model], names, word)
    way = way_of(found.model, options, names, word)
    views = checked_given(found.model, options["given"], path, "leave it out")
    partly = {"given": views, "missing": several([found.model]) is not None}
    with saying("reading the data"):
        data, split = rows_asked(path, [found.model], options | partly, "test")
    rows = measured_rows(found, (data, split), options["binarize"], options["seed"], views)
    said(rows.data)
    if options["lengths"] is not None:
        rows, note = of_common_lengths(rows, options["lengths"])
        say(note)
    if (labels := errors_alone(found, rows.data, rows.x)) is not None:
        for name in sorted(names & LIKELIHOOD):
            raise InputError(f"{word(name)} would do nothing: the prior of this machine has no density.")
        what = {"log_likelihood": None, "why": NO_DENSITY, "labels": labels.as_dict(), **rows.about}
        return emit(what, as_json, "\n".join([NO_DENSITY, *labels.lines]))
    with Progress() as progress:
        if course is not None:
            told = _along(found, rows, course, options["picture"], progress)
        else:
            with saying(f"measuring {len(rows.x):,} rows"):
                told = evaluated(found, rows, way, progress.report)
    result, text = told.as_dict(), str(told)
    if out is not None:
        write_per_row(out, told.log_likelihood.per_row)
        result, text = result | {"per_row": str(out)}, f"{text}\nWritten: {out}"
    emit(result, as_json, text)


def _check_lengths(found: Any, lengths: int) -> None:
    """Raise InputError for a number of lengths that is none, and for a machine whose rows have no lengths."""
    from boltz import checks
    from boltz.evaluation.documents import are_documents

    checks.integer(lengths, "--lengths", 1, 10**6)
    if not are_documents(found.model):
        raise InputError(f"--lengths is of documents, but {found.path} has {found.model.layers[0].kind} visible units.")


def _course(found: Any, options: dict[str, Any], names: Set[str]) -> Any:
    """How the run is measured along training, None without --along, before any rows are asked for.

    Raises InputError for options of --along without it, and for what would do nothing with it.
    """
    from boltz import checks
    from boltz.evaluation.along import course_of
    from boltz.evaluation.documents import are_documents
    from boltz.evaluation.log_z import LEAST_ROUNDS

    if not options["along"]:
        for name in OWN:
            if name in names:
                raise InputError(f"{word(name)} is for --along.")
        return None
    if are_documents(found.model):
        raise InputError("--along is not of documents, whose log Z depends on their lengths: leave it out.")
    for name in IDLE:
        if name in names:
            raise InputError(f"--along has a way of its own to log p*(v) and to log Z, so it takes no {word(name)}.")
    rounds = checks.integer(options["rounds"], "--rounds", LEAST_ROUNDS, 10**9)
    seed = checks.integer(options["seed"], "seed", 0, 2**63 - 1)
    checked_picture(options["picture"])
    return course_of(found, rounds, seed, "--along")


def _along(found: Any, rows: Any, course: Any, picture: Path | None, progress: Any) -> Any:
    """The log-likelihoods along training, drawn where that was asked for."""
    from boltz.evaluation.along import along
    from boltz.plotting import images

    told = along(found, rows, course, progress.report)
    if picture is not None:
        images.save(told.picture(), picture)
    return told
