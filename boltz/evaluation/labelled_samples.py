"""`boltz sample --label`: samples of a machine whose decoder hears labels, perhaps in the style of given rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import numpy as np

from boltz import checks
from boltz.data import Data
from boltz.data.dataset import only
from boltz.errors import InputError
from boltz.evaluation.label_names import names_of
from boltz.evaluation.rows import Rows, rows_of
from boltz.foreign import shown
from boltz.models.files import Model
from boltz.nn.labelled import Labelled
from boltz.plotting import images
from boltz.plotting.machines import greys_of
from boltz.sampling.features import features
from boltz.sampling.inferred import playing, samples_with_labels
from boltz.sampling.sample import sample
from boltz.storage.tables import Table, written
from boltz.training.description import description_at

ALL, ENDINGS = "all", (".npz", ".npy", ".csv", ".png", ".svg", ".pdf")
STYLES, MOST_STYLES = 10, 10_000
TAKEN = ("label", "style_of", "chains", "data", "levels", "label_column", "drop_columns", "out", "force", "seed")
RUN = ("path", "device", "threads", "as_json", "alphabet", "vocabulary")


def labelled_samples(
    path: Path, model: Model, options: dict[str, Any], names: Set[str], out: Path, tell: Callable[[Data], object]
) -> dict[str, Any]:
    """Draw, write and describe means of visible units for labels; raises InputError for options that do nothing.

    names: the options that were given; tell hears of the rows whose styles are drawn.
    """
    began = time.monotonic()
    for name in sorted(names - {*TAKEN, *RUN}):
        raise InputError(f"--{name.replace('_', '-')} would do nothing: --label draws from the decoder alone.")
    if not isinstance(_decoder(model), Labelled):
        raise InputError(
            f"The decoder of {path} hears no labels, so leave --label out, or train an aae with --labels decoder."
        )
    classes = names_of(description_at(path), playing(model)[1].labels)
    labels = _labels(options["label"], classes)
    styles, codes = _styles(path, model, options, names, tell)
    numbers = np.tile(labels, styles) if options["label"] == ALL else np.repeat(labels, styles)
    each = None if codes is None else np.repeat(codes, len(labels), axis=0)
    found = samples_with_labels(model, numbers, each, options["seed"])
    _write(out, found, np.array(classes)[numbers], (path, model, styles))
    return {
        "out": str(out),
        "labels": [classes[i] for i in labels],
        "styles": styles,
        "style_of": options["style_of"],
        "layers": {model.visible: list(found.shape)},
        "seed": options["seed"],
        "seconds": time.monotonic() - began,
    }


def _decoder(model: Model) -> Any:
    return None if model.directed is None else model.directed.factors.get(model.visible)


def _labels(asked: str, classes: tuple[Any, ...]) -> list[int]:
    """The numbers of the classes that are asked for, by name; raises InputError."""
    if asked == ALL:
        return list(range(len(classes)))
    known = {str(name): i for i, name in enumerate(classes)}
    if asked not in known:
        raise InputError(f"--label must be all, or one of {shown(', '.join(known))}, got {shown(asked)}.")
    return [known[asked]]


def _styles(
    path: Path, model: Model, options: dict[str, Any], names: Set[str], tell: Callable[[Data], object]
) -> tuple[int, Any]:
    """How many styles there are, and the codes of the rows that they are of, or of draws; raises InputError."""
    if options["style_of"] is not None:
        if "chains" in names:
            raise InputError("--style-of says whose styles are drawn, so it takes no --chains.")
        rows = rows_of(path, model, {**options, "split": None, "limit": None, "binarize": "none"})
        tell(rows.data)
        some = _only(rows, _numbers(options["style_of"], len(rows)))
        return len(some), features(model, some)
    for name in sorted(names & {"data", "levels", "label_column", "drop_columns"}):
        raise InputError(f"--{name.replace('_', '-')} would do nothing: it needs --style-of.")
    count = options["chains"] if "chains" in names or options["label"] != ALL else STYLES
    count = checks.integer(count, "--chains", 1, MOST_STYLES)
    return count, sample(model, count, seed=options["seed"])[model.hidden_layers[-1].name]


def _only(rows: Rows, numbers: list[int]) -> Any:
    """Some rows as the machine sees them."""
    data = only(rows.data, np.array(numbers))
    return Rows(data, rows.how, rows.key, rows.layer).seen(slice(None))


def _numbers(text: str, rows: int) -> list[int]:
    """The rows that a text names from 1, such as 3,17 or 1:10, counted from 0; raises InputError."""
    found: list[int] = []
    for part in text.split(","):
        ends = part.split(":")
        whole = len(ends) <= 2 and all(end.isascii() and end.isdecimal() and len(end) < 12 for end in ends)
        first, last = (int(ends[0]), int(ends[-1])) if whole else (0, 0)
        if not 1 <= first <= last <= rows or last - first >= MOST_STYLES:
            raise InputError(f"--style-of must name rows from 1 to {rows}, such as 3,17 or 1:10, got {shown(text)}.")
        found += range(first - 1, last)
    return found


def _write(out: Path, found: Any, labels: Any, how: tuple[Path, Model, int]) -> None:
    """Write samples (styles x labels, units) as the ending of the file says."""
    path, model, styles = how
    if out.suffix in (".npz", ".npy", ".csv"):
        columns = [f"{model.visible}_{i}" for i in range(1, found.shape[1] + 1)]
        others = {"labels": labels} if out.suffix == ".npz" else {}
        with written(out, Table(model.visible, found.shape, found.dtype, columns, others)) as put:
            put(found)
        return
    parts = {str(label): found[labels == label] for label in dict.fromkeys(labels.tolist())}
    greys = greys_of(model, found)
    shades = {name: greys.of(rows) for name, rows in parts.items()}
    title = f"visible means for {len(parts)} label{'s' * (len(parts) > 1)}, a column for each of {styles} styles"
    images.save(images.stacked_tiles(shades, description_at(path).image, title), out)
