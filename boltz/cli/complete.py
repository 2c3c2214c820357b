"""`boltz complete`: rows of which a part is known, with the rest filled in by a machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Choice,
    device_option,
    emit,
    free_file,
    json_option,
    row_options,
    run_argument,
    said,
    seed_option,
    threads_option,
)
from boltz.errors import InputError

DIFFERENCES = {
    "squared_error": "mean squared difference from the data {:.4f} a unit",
    "recovered": "{:.4f} of the states that the data have there are the most probable ones",
}


@click.command
@run_argument
@row_options("test where there is one, else train")
@click.option(
    "--mask",
    metavar="FILE|left|right|top|bottom|random:SHARE",
    show_default="all but empty cells",
    help="What is known: a file of 0 and 1 (known), a row for all rows or one for each; a half of images; or a share "
    "of the units of each row, drawn by --seed. Empty cells of the data, NA and NaN are never known.",
)
@click.option(
    "--given",
    multiple=True,
    metavar="NAME",
    show_default="all but unknown numbers",
    help="A visible layer of several that is known, all others being filled in; may be repeated. Other data then need "
    "hold no other.",
)
@click.option(
    "--method",
    type=Choice(["mean", "sample", "mean-field"]),
    default="mean",
    show_default=True,
    help="Means of the unknown units given the known ones, or one draw, by a chain a row; or mean field (rbm, dbm).",
)
@click.option("--sweeps", type=int, show_default="1,000; 100 of mean field", help="Sweeps of each chain.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="completed.npz",
    show_default=True,
    help="Where to write: .npz (completed, and the mask; an array of each of several visible layers), .npy, .csv with "
    "a header, or a picture of some rows (.png, .svg, .pdf).",
)
@click.option("--force", is_flag=True, help="Replace the file that --out names.")
@seed_option
@device_option
@threads_option
@json_option
def complete(path: Path, as_json: bool, **options: Any) -> None:
    """Fill in the unknown units of rows of data given the known ones, by what the machine has learnt.

    Example: boltz complete digits --limit 20 --mask top --out top.png
    """
    import boltz
    from boltz.data.masks import known_part
    from boltz.evaluation import rows as measured
    from boltz.evaluation.completed import difference, write
    from boltz.evaluation.documents import are_documents
    from boltz.evaluation.trained import model_of
    from boltz.evaluation.view_reading import checked_given, several
    from boltz.plotting.images import image_shape
    from boltz.progress import saying
    from boltz.storage.run_folder import PICTURES
    from boltz.storage.tables import ENDINGS
    from boltz.training.description import description_at

    out = free_file(options["out"], (*ENDINGS, *PICTURES), options["force"])
    model = model_of(path).to(options["device"])
    if are_documents(model):
        raise InputError(
            f"{path} holds a machine of documents, which cannot be completed: one with an unknown count has no length."
        )
    options["given"] = checked_given(model, options["given"], path)
    if (whole := several([model])) is not None:
        emit(*completed_views(path, whole, options, (out, as_json)))
        return
    rows = measured.rows_of(path, model, options | {"missing": True})
    said(rows.data)
    if 4 * rows.data.x.size * model.dtype.itemsize > measured.memory():
        raise InputError(f"{len(rows):,} rows do not fit into memory at once: name fewer with --limit.")
    shape = rows.data.shape or description_at(path).image
    there = True if rows.mask is None else rows.mask
    known = known_part(options["mask"], rows.data, image_shape(rows.data.x.shape[1], shape), rows.key) & there
    x, began = rows.seen(slice(None)), time.monotonic()
    with saying(f"filling in {len(rows):,} rows"):
        found = boltz.complete(model, x, known, options["method"], options["sweeps"], options["seed"])
    title = f"{rows.data.name}, {options['mask'] or 'full cells'} known, by {options['method']}"
    parts = {"data": x, "known": known, "completed": found}
    write(out, model, parts, shape, (title, options["method"] == "sample", rows.data))
    unknown = int((~known).sum()) // rows.data.states
    off = difference(parts, there, rows.layer.columns)
    result = {
        "out": str(out),
        **rows.about,
        "known": float(known.mean()),
        "method": options["method"],
        **off,
        "seed": options["seed"],
        "seconds": time.monotonic() - began,
    }
    told = "".join(f", {DIFFERENCES[name].format(value)}" for name, value in off.items() if value is not None)
    emit(result, as_json, f"{out}: {len(rows):,} rows of {rows.data.name}, {unknown:,} units filled in{told}")


def completed_views(
    path: Path, model: Any, options: dict[str, Any], where: tuple[Path, bool]
) -> tuple[dict[str, Any], bool, str]:
    """Fill in rows of a machine of several visible layers and write each of these; what emit takes."""
    import boltz
    from boltz.evaluation import rows as measured
    from boltz.evaluation.completed import view_differences, write_views
    from boltz.evaluation.view_reading import known_views
    from boltz.progress import saying

    out, as_json = where
    if options["mask"] is not None:
        raise InputError("--mask is for one visible layer: name those that are known with --given.")
    if out.suffix != ".npz":
        raise InputError(f"--out must end in .npz for several visible layers, an array each, got {str(out)!r}.")
    rows = measured.rows_of(path, model, options | {"missing": True})
    said(rows.data)
    if 4 * rows.data.x.size * model.dtype.itemsize > measured.memory():
        raise InputError(f"{len(rows):,} rows do not fit into memory at once: name fewer with --limit.")
    known, began = known_views(model, rows.data, options["given"]), time.monotonic()
    with saying(f"filling in {len(rows):,} rows"):
        x = model.graph.split(rows.seen(slice(None)))
        found = boltz.complete(model, x, known, options["method"], options["sweeps"], options["seed"])
    write_views(out, model, found, known, rows.data.labels)
    off = view_differences(model, rows.data, known, found)
    result = {
        "out": str(out),
        **rows.about,
        "known": float(known.mean()),
        "given": list(options["given"] or ()),
        "method": options["method"],
        "views": off,
        "seed": options["seed"],
        "seconds": time.monotonic() - began,
    }
    told = [
        f", {view} {DIFFERENCES[name].format(value)}"
        for view, entry in off.items()
        for name, value in entry.items()
        if value is not None
    ]
    views = " and ".join(off) or "nothing"
    return result, as_json, f"{out}: {len(rows):,} rows of {rows.data.name}, {views} filled in{''.join(told)}"
