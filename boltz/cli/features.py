"""`boltz features`: posterior means of hidden units in a file, row by row."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
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

LABELS = "labels"


@click.command
@run_argument
@row_options("train")
@click.option(
    "--layer",
    default="top",
    metavar="top|all|labels|NUMBER|NAME",
    show_default=True,
    help="The hidden layer: the top one, all side by side, a number from 1 for the lowest, or a name such as h2; or "
    "labels, the probability of each label that an adversarial autoencoder infers.",
)
@click.option(
    "--mask",
    metavar="FILE",
    show_default="all but empty cells",
    help="A file of 0 and 1 (known), a row for all rows or one for each; features then are those of what is known. "
    "Empty cells of the data, NA and NaN are never known.",
)
@click.option(
    "--given",
    multiple=True,
    metavar="NAME",
    show_default="all but unknown numbers",
    help="A visible layer of several that is known; may be repeated. Features then are those of these alone, and other "
    "data need hold no other.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="features.npz",
    show_default=True,
    help="Where to write: .npz (features, and labels where the data have them), .npy, or .csv with a header.",
)
@click.option("--force", is_flag=True, help="Replace the file that --out names.")
@seed_option
@device_option
@threads_option
@json_option
def features(path: Path, as_json: bool, **options: Any) -> None:
    """Write the features of data: posterior means of hidden units given each row.

    They are exact for an rbm, by mean field for a dbm, and the means of recognition for other machines. Data in a .npy
    file of 64 MiB and more are read piece by piece, and so is the file written, so both may be larger than memory.

    Example: boltz features digits --layer top --out features.npz
    """
    import numpy as np

    import boltz
    from boltz.data.masks import mask_from
    from boltz.evaluation.label_names import names_of
    from boltz.evaluation.rows import chunks, rows_of
    from boltz.evaluation.trained import model_of
    from boltz.evaluation.view_reading import checked_given, known_views, several
    from boltz.progress import saying
    from boltz.sampling.features import feature_layers
    from boltz.sampling.inferred import label_units
    from boltz.storage.tables import ENDINGS, Table, written
    from boltz.training.description import description_at

    out = free_file(options["out"], ENDINGS, options["force"])
    model = model_of(path).to(options["device"])
    layer = _layer(options["layer"], [each.name for each in model.hidden_layers])
    options["given"] = checked_given(model, options["given"], path)
    inferred = layer == LABELS
    units = label_units(model) if inferred else [(n, model.units[n]) for n in feature_layers(model, layer)]
    rows = rows_of(path, model, options | {"missing": True}, split="train")
    said(rows.data)
    if (machine := several([model])) is not None:
        if options["mask"] is not None:
            raise InputError("--mask is for one visible layer: name those that are known with --given.")
        rows = rows.masked(known_views(machine, rows.data, options["given"]))
    elif options["mask"] is not None:
        mask = mask_from(options["mask"], len(rows), rows.data.x.shape[1] // rows.data.states)
        mask = np.repeat(mask, rows.data.states, axis=1)
        rows = rows.masked(mask if rows.mask is None else mask.astype(bool) & rows.mask)
    labels, columns = rows.data.labels, _columns(path, units, inferred)
    others = ({} if labels is None else {"labels": labels}) | ({"layers": _names(units)} if layer == "all" else {})
    others |= {"classes": np.array(names_of(description_at(path), units[0][1]))} if inferred else {}
    if inferred and rows.mask is not None:
        raise InputError("--layer labels is of rows that are known in full.")
    began, width = time.monotonic(), max(rows.data.x.shape[1], len(columns))
    with (
        saying(f"writing features of {len(rows):,} rows"),
        written(out, Table("features", (len(rows), len(columns)), model.dtype, columns, others)) as write,
    ):
        for place in chunks(len(rows), width):
            seen, known = rows.seen(place), rows.known(place)
            write(boltz.label_probabilities(model, seen) if inferred else boltz.features(model, seen, layer, **known))
    result = {
        "out": str(out),
        **rows.about,
        "layers": dict(units),
        "labels": labels is not None and out.suffix == ".npz",
        "seed": options["seed"],
        "seconds": time.monotonic() - began,
    }
    emit(result, as_json, f"{out}: {len(rows):,} rows of {rows.data.name}, {_shown(units, inferred)}")


def _columns(path: Path, units: list[tuple[str, int]], inferred: bool) -> list[str]:
    """The names of the columns: units by layer and number, or inferred labels by their classes."""
    from boltz.evaluation.label_names import names_of
    from boltz.training.description import description_at

    if inferred:
        return [f"label_{name}" for name in names_of(description_at(path), units[0][1])]
    return [f"{name}_{i}" for name, count in units for i in range(1, count + 1)]


def _shown(units: list[tuple[str, int]], inferred: bool) -> str:
    """What was written, in words."""
    what = " + ".join(f"{name} ({count})" for name, count in units)
    return f"{'probabilities' if inferred else 'posterior means'} of {what}"


def _layer(text: str, names: list[str]) -> str | int:
    """The layer by its name or its number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 and text not in names else text


def _names(units: list[tuple[str, int]]) -> Any:
    """The layer of each column."""
    import numpy as np

    return np.repeat([name for name, _ in units], [count for _, count in units])
