"""`boltz compare`: machines on the same rows, in one table, by the same estimator."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    annealing_options,
    device_option,
    emit,
    given,
    json_option,
    seed_option,
    table_options,
    threads_option,
)
from boltz.errors import InputError
from boltz.foreign import shown
from boltz.plotting import curves
from boltz.storage import atomic

TABLE, PICTURE = "compare.json", "compare.png"
WIDTH = 200


@click.command
@click.argument("paths", metavar="RUN|MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", show_default="the data of the runs", help="A named data set, or a file as in boltz train.")
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    show_default="test; a file of one table is taken whole",
    help="Which rows.",
)
@click.option("--limit", type=int, show_default="all", help="The first rows only, this many.")
@table_options
@click.option(
    "--samples",
    type=int,
    default=100,
    show_default=True,
    help="Importance samples a row, for every machine but an rbm, which needs none.",
)
@click.option(
    "--binarize",
    type=click.Choice(["dynamic", "fixed", "threshold", "none"]),
    show_default="that of the runs, else dynamic",
    help="Grey values as Bernoulli means drawn once by --seed (dynamic, fixed), cut at 0.5, or kept.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="a new folder in runs",
    help=f"The folder for {TABLE} and {PICTURE}.",
)
@click.option("--force", is_flag=True, help=f"Replace {TABLE} and {PICTURE} where --out holds them.")
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
    """
    from boltz import checks
    from boltz.cli.beside import beside
    from boltz.cli.comparing import contenders, differences, measured, rows_of
    from boltz.cli.evaluate import refuse_idle
    from boltz.cli.measure import Annealing
    from boltz.cli.progress import Progress

    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    samples = checks.integer(options["samples"], "samples", 1, 10**6)
    found = contenders(paths, options["device"])
    refuse_idle(given(ctx), [each.model for each in found])
    data, split, x, how = rows_of(found, options)
    out = _folder(options["out"], data.name, options["force"])
    pairs = []
    with Progress() as progress:
        for i, each in enumerate(found):
            progress.update("comparing", i, len(found), each.name)
            pairs.append(measured(each, x, samples, annealing, progress))
        progress.update("comparing", len(found), len(found), "done")
    rows, estimates = (list(part) for part in zip(*pairs, strict=True))
    simple = beside(found[0].model, data, x, _training(found), options["seed"])
    for row, estimate in zip(rows, estimates, strict=True):
        row["learnt"] = simple.verdict(estimate.per_row, row["log_likelihood"], row["name"])
    result = {
        "out": str(out),
        "data": data.name,
        "split": split,
        "rows": len(x),
        "binarize": how,
        "seed": options["seed"],
        "models": rows,
        "beside": simple.as_dict(),
        "differences": differences(rows, estimates),
    }
    _write(out, result)
    emit(result, as_json, "" if as_json else _text(result))


def _training(found: list[Any]) -> Mapping[str, Any]:
    """The settings of the first run, whose training rows simple models are fitted to; empty for model files."""
    return next((each.settings for each in found if each.settings), {})


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


def _write(out: Path, result: dict[str, Any]) -> None:
    from boltz.cli.train import make_parent
    from boltz.plotting import images

    make_parent(out / TABLE)
    atomic.write_text(out / TABLE, json.dumps(result, indent=1, allow_nan=False) + "\n")
    images.save(curves.comparison(result["models"]), out / PICTURE)


def _text(result: dict[str, Any]) -> str:
    """The table, and what it says of each machine."""
    import io

    from rich.console import Console

    stream = io.StringIO()
    table = _table(result["models"], result["beside"] or {})
    Console(file=stream, width=WIDTH, markup=False, emoji=False).print(table)
    name = " ".join(filter(None, (result["data"], result["split"])))
    rows = f"{result['rows']:,} rows of {name}, binarize {result['binarize']}"
    said: dict[str, list[str]] = {}
    for row in result["models"]:
        said.setdefault(row["certified"], []).append(row["name"])
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    lines += [f"{rows}; nats a row."] + [_difference(each) for each in result["differences"]]
    lines += [f"{', '.join(names)}: {text}" for text, names in said.items()]
    lines += dict.fromkeys(row["learnt"] for row in result["models"])
    return "\n".join([*lines, f"Written: {Path(result['out']) / TABLE}, {Path(result['out']) / PICTURE}"])


def _difference(each: dict[str, Any]) -> str:
    """One machine less the best, with the errors of the difference."""
    from boltz.estimators.words import figure, small

    errors = [each["standard_error"], each["standard_error_rows"]]
    told = figure(each["value"], min((error for error in errors if error), default=0.0))
    parts = zip(errors, ("log Z", "rows, in pairs"), strict=True)
    return " ".join([f"{each['name']} less {each['less']}: {told}", *(f"+- {small(e)} ({n})" for e, n in parts if e)])


def _table(rows: list[dict[str, Any]], simple: Mapping[str, Any]) -> Any:
    """Two lines a machine: what it is, and what was measured; and the simple models that it must beat."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from boltz.cli.report import SIMPLE, figures, number

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    left = ("model", "bound", "method")
    columns = ("model", "parameters", "log p(v)", "bound", "method", "samples", "L_1 - L_k", "active units", "seconds")
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        value, log_z = row["log_likelihood"], row["log_z"]
        how = "log Z 0" if log_z is None else "log Z exact" if log_z["kind"] == "exact" else "log Z by AIS"
        shown_value, _, _, ends = figures(value)
        active = [f"{n} of {row['hidden_units'][layer]}" for layer, n in row["active_units"].items()]
        table.add_row(
            f"{shown(row['name'])}\n{row['model']} {shown(row['architecture'])}",
            f"{row['parameters']:,}",
            f"{shown_value}\n{ends}",
            {"none": "no"}.get(value["kind"], value["kind"]),
            f"{row['method']}\n{how}",
            f"{row['samples']:,}" if row["samples"] else "-",
            number(row["minus_kl"]),
            "\n".join(active),
            f"{row['seconds']:.1f}",
        )
    for name, label in SIMPLE.items():
        if name in simple:
            value, _, _, ends = figures(simple[name])
            table.add_row(label, "", f"{value}\n{ends}", "exact", *[""] * 5)
    return table
