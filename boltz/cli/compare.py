"""`boltz compare`: machines on the same rows, in one table, by the same estimator."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Choice,
    annealing_options,
    device_option,
    emit,
    free_file,
    given,
    json_option,
    said,
    seed_option,
    table_options,
    threads_option,
    word,
)
from boltz.errors import InputError
from boltz.storage import atomic

TABLE, PICTURE = "compare.json", "compare.png"


@click.command
@click.argument("paths", metavar="RUN|MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", show_default="the data of the runs", help="A named data set, or a file as in boltz train.")
@click.option(
    "--split",
    type=Choice(["train", "valid", "test"]),
    show_default="test; a file of one table is taken whole",
    help="Which rows.",
)
@click.option("--limit", type=int, show_default="all", help="The first rows only, this many.")
@table_options
@click.option(
    "--samples",
    type=int,
    default=200,
    show_default=True,
    help="Importance samples a row, but for machines whose hidden units are independent given v, such as an rbm.",
)
@click.option(
    "--binarize",
    type=Choice(["dynamic", "fixed", "threshold", "none"]),
    show_default="that of the runs, else dynamic",
    help="Grey values as Bernoulli means drawn once by --seed (dynamic, fixed), cut at 0.5, or kept.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="a new folder in runs",
    help=f"The folder for {TABLE} and {PICTURE}.",
)
@click.option(
    "--per-row",
    type=click.Path(path_type=Path),
    metavar="FILE.csv|.npy",
    show_default="none",
    help="Write log p(v) of every row, a column a machine: .csv with a header and the number of the row, from 1, or "
    ".npy.",
)
@click.option(
    "--force", is_flag=True, help=f"Replace {TABLE} and {PICTURE} where --out holds them, and the file of --per-row."
)
@annealing_options("--chains")
@seed_option
@device_option
@threads_option
@json_option
@click.pass_context
def compare(ctx: click.Context, paths: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Compare machines: one table with a row for each RUN or MODEL, written with a picture into a folder.

    All see the same rows, binarised once. log p(v) of each is the importance-weighted bound of so many samples a row,
    from mean field or from the recognition model, less log Z; that of an rbm is exact but for log Z. L_k for fewer
    samples comes from the same draws, and L_1 - L_k estimates -KL(q, p).

    Example: boltz compare digits deeper --limit 1000 --out compared
    """
    from boltz import checks
    from boltz.evaluation.compare import compared, contenders, rows_of
    from boltz.evaluation.evaluate import refuse_idle
    from boltz.evaluation.log_z import Annealing
    from boltz.progress import Progress, saying
    from boltz.storage.tables import PER_ROW, write_per_row

    per_row = options["per_row"] and free_file(options["per_row"], PER_ROW, options["force"], "--per-row")
    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    samples = checks.integer(options["samples"], "samples", 1, 10**6)
    with saying("reading the machines and the data"):
        found = [each.to(options["device"]) for each in contenders(paths)]
        refuse_idle([each.model for each in found], given(ctx), word)
        rows = rows_of(found, options)
    said(rows.data)
    out = _folder(options["out"], rows.data.name, options["force"])
    with Progress() as progress:
        told = compared(found, rows, samples, annealing, progress.report)
    result = {"out": str(out), **told.as_dict()}
    _write(out, result, told)
    files = [out / TABLE, out / PICTURE]
    if per_row is not None:
        write_per_row(per_row, told.per_row, [each.name for each in told.models])
        result, files = result | {"per_row": str(per_row)}, [*files, per_row]
    emit(result, as_json, "" if as_json else f"{told}\nWritten: {', '.join(map(str, files))}")


def _folder(out: Path | None, data: str, force: bool) -> Path:
    """The folder to write into, free of an earlier comparison unless it may be replaced."""
    from boltz.storage import run_folder

    folder = run_folder.next_free("runs", f"compare-{data}") if out is None else out
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"--out must name a folder, but {folder} is a file.")
    for name in (TABLE, PICTURE):
        if os.path.lexists(folder / name) and not force:
            raise InputError(f"{folder / name} exists already: replace it with --force or name another folder.")
    return folder


def _write(out: Path, result: dict[str, Any], told: Any) -> None:
    import boltz
    from boltz.cli.train import make_parent
    from boltz.plotting import images

    make_parent(out / TABLE)
    atomic.write_text(out / TABLE, json.dumps(result, indent=1, allow_nan=False) + "\n")
    images.save(boltz.plot_comparison(told), out / PICTURE)
