"""`boltz report`: one page on trained machines that holds all it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from boltz.cli.common import emit, json_option, seed_option, threads_option


@click.command
@click.argument("paths", metavar="RUN|MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="report.html",
    show_default=True,
    metavar="FILE.html",
    help="The page to write.",
)
@click.option("--data", show_default="the data of each run", help="A named data set, or a file as in boltz train.")
@click.option(
    "--measure",
    is_flag=True,
    help="Measure log Z from both sides and what each layer adds, and compare several machines: this may take minutes.",
)
@click.option("--force", is_flag=True, help="Replace the file of --out.")
@seed_option
@threads_option
@json_option
def report(paths: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Write a page on each RUN or MODEL that needs no network and no other file.

    It has settings, curves, samples beside the nearest rows, hidden units with the rows that drive them, a slider over
    the snapshots of the training, layers, log Z and log-likelihood, and all machines side by side.

    Example: boltz report digits --out digits.html
    """
    from boltz.cli.common import free_file
    from boltz.evaluation.report import report as written
    from boltz.progress import Progress

    free_file(out, (".html", ".htm"), options["force"])
    with Progress() as progress:
        place = written([*paths], out, **options, progress=progress.report)
    size = place.stat().st_size
    emit({"out": str(place), "bytes": size}, as_json, f"Written: {place} ({size / 1e6:.1f} MB)")
