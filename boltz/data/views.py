"""Rows of several kinds of data: an array for each view, side by side, from one file or from several."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boltz import checks
from boltz.data import readers
from boltz.data.dataset import VIEWS, Array, Data, View, known_in_full
from boltz.data.loading import held_splits, load, located
from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.units import kind_of

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
COUNTS, ANY_STATES = "counts", "categorical"
KINDS = ("bernoulli", "spin", "gaussian", "categorical", "binomial")


def load_views(
    name_or_path: str | os.PathLike[str] | None,
    views: Mapping[str, Any],
    split: str = "train",
    limit: int | None = None,
    *,
    missing: bool = False,
) -> Data:
    """Rows of several kinds of data side by side, for boltz.multimodal: an array for each view, of one .npz file or of
    several files.

    views: what each view is read from and the kind of its units, {"image": ("x_image", "gaussian"), "text": ("x_text",
    "bernoulli")}. Letters, digits and _ alone are the name of an array of the .npz file name_or_path. Anything else is
    a file of its own, as boltz.load_data takes it: "words.npy", "words.npz:x". name_or_path is None where all are.
    Kinds are those of boltz.load_data. The order of the views is that of the columns.

    split: where the file has arrays x_text_train and x_text_test in the place of x_text, these are its splits. missing:
    NaN is an unknown number; a row that is NaN in all of a view lacks it. Row i of each view belongs to the same thing,
    so that all have equally many. Labels are whole numbers in the array y, or y_train, beside the views, else those of
    the first view that has some. The rows lie in memory. Raises InputError, FileError.
    """
    checks.instance(views, "views", Mapping)
    if len(views) < 2:
        raise InputError(f"views must name at least two kinds of data, got {len(views)}: boltz.load_data reads one.")
    return read_views(name_or_path, views, split, limit, missing=missing)


def read_views(
    name_or_path: str | os.PathLike[str] | None,
    views: Mapping[str, Any],
    split: str = "train",
    limit: int | None = None,
    *,
    missing: bool = False,
) -> Data:
    """As load_views, also of a single view."""
    sources = checked_views(views)
    checks.choice(split, "split", readers.SPLITS)
    if limit is not None:
        checks.integer(limit, "limit", 1)
    main = None if name_or_path is None else located(name_or_path)
    if main is None and (lone := next((n for n, (source, _) in sources.items() if is_array(source)), None)):
        raise InputError(f"view {lone} is the array {sources[lone][0]} of a file: name it as name_or_path (--data).")
    if main is not None and not any(is_array(source) for source, _ in sources.values()):
        raise InputError(f"{name_or_path} would not be read, since all views name files of their own: leave it out.")
    parts: dict[str, tuple[Data, str]] = {}
    for name, (source, kind) in sources.items():
        place, own = _place(main, source, split)
        found = load(place, own, limit, units=kind, missing=checks.flag(missing, "missing"))
        parts[name] = found, found.kind if kind == ANY_STATES else kind
    _check_rows(parts)
    labels = _labels(main, split, limit, parts)
    whole = None if main is None else str(main.resolve())
    kept = {
        name: [source if is_array(source) else parts[name][0].request["name_or_path"], parts[name][1]]
        for name, (source, _) in sources.items()
    }
    told = {"name_or_path": whole, "views": kept, "split": split, "limit": limit, "missing": missing or None}
    request = {name: value for name, value in told.items() if value is not None}
    first = parts[next(iter(parts))][0]
    about = (first.name, first.source) if main is None else (main.name.split(".")[0], str(main))
    notes = tuple(note for each, _ in parts.values() for note in each.notes)
    return replace(side_by_side(parts), name=about[0], source=about[1], labels=labels, request=request, notes=notes)


def is_array(source: Any) -> bool:
    """Whether a source is the name of an array, not a file."""
    return isinstance(source, str) and ARRAY.fullmatch(source) is not None


def checked_views(views: Any) -> dict[str, tuple[str, str]]:
    """Source and kind of each view; raises InputError."""
    checks.instance(views, "views", Mapping)
    if not views:
        raise InputError("views must name kinds of data, got none.")
    found: dict[str, tuple[str, str]] = {}
    for name, value in views.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(
                f"views must have names of letters, digits and _, which begin with a letter, got {checks.brief(name)}."
            )
        pair = isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, str) for part in value)
        if not pair or not value[0]:
            raise InputError(f"views[{name!r}] must be an array and a kind of units, got {checks.brief(value)}.")
        source, kind = value
        if kind != ANY_STATES:
            try:
                kind = kind_of(kind, "kind")
            except InputError as problem:
                raise InputError(f"view {name}: {problem}") from problem
        if kind == COUNTS:
            raise InputError(
                f"view {name} must not be of kind {COUNTS}, since a document that is to be filled in has no known "
                "length: take bernoulli, whether a word occurs."
            )
        if kind.partition(":")[0] not in KINDS:
            raise InputError(f"view {name} must be of kind {', '.join(KINDS)}, got {kind}.")
        found[name] = source, kind
    return found


def view_splits(name_or_path: str | os.PathLike[str] | None, views: Mapping[str, Any]) -> tuple[str, ...]:
    """The splits that all views have, none where each is one table; raises InputError, FileError."""
    main = None if name_or_path is None else located(name_or_path)
    each = [_splits(main, source) for source, _ in checked_views(views).values()]
    if not any(each):
        return ()
    return tuple(split for split in readers.SPLITS if all(split in (own or ("train",)) for own in each))


def arrays_of(name_or_path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the arrays of an .npz file, none of another file; raises FileError."""
    return readers.arrays(located(name_or_path))


def side_by_side(parts: Mapping[str, tuple[Data, str]]) -> Data:
    """Rows of several views with the kind of each as rows of all their columns, divided by their levels."""
    rows = np.concatenate([np.asarray(x.x) / np.float32(x.levels or 1) for x, _ in parts.values()], axis=1)
    known = None
    if any(each.known is not None for each, _ in parts.values()):
        whole = [np.ones(each.x.shape, bool) if each.known is None else each.known for each, _ in parts.values()]
        known = np.concatenate(whole, axis=1)
    views = tuple(View(name, each.x.shape[1], kind, each.shape) for name, (each, kind) in parts.items())
    single = rows.dtype if rows.dtype.kind == "f" else np.float32
    x = np.ascontiguousarray(rows, single)
    return Data(x, "array", None, None, None, None, "array", kind=VIEWS, known=known, views=views)


def again(**request: Any) -> Data:
    """Rows by the arguments of boltz.load_data or of boltz.load_views, as Data.request has them."""
    return load_views(request.pop("name_or_path", None), **request) if "views" in request else load(**request)


def _splits(main: Path | None, source: str) -> tuple[str, ...]:
    """The splits of a source, none of one table; raises FileError."""
    if not is_array(source):
        return held_splits(source)
    if main is None:
        raise InputError(f"the array {source} must be of a file: name it.")
    names = readers.arrays(main)
    found = tuple(split for split in readers.SPLITS if f"{source}_{split}" in names)
    if names and source not in names and not found:
        raise FileError(f"{main} has no array {source!r}; it has {shown(', '.join(names))}.")
    return () if source in names else found


def _place(main: Path | None, source: str, split: str) -> tuple[str, str]:
    """What boltz.load_data reads for a source, and its split there; raises InputError."""
    own, array = _splits(main, source), is_array(source)
    if split not in (own or ("train",)):
        where = main if array else source
        held = (
            f"its splits are {', '.join(own)}" if own else f"{source if array else 'it'} is one table, of split train"
        )
        raise InputError(f"{where} has no split {split!r} of {source}; {held}.")
    if not array:
        return source, split if own else "train"
    return f"{main}:{source}_{split}" if own else f"{main}:{source}", "train"


def _check_rows(parts: Mapping[str, tuple[Data, str]]) -> None:
    """Raise FileError unless all views have equally many rows."""
    counts = {name: len(each.x) for name, (each, _) in parts.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count:,} ({parts[name][0].source})" for name, count in counts.items())
        raise FileError(f"views must have equally many rows, row i of each of the same thing, got {told}.")


def _labels(main: Path | None, split: str, limit: int | None, parts: Mapping[str, tuple[Data, str]]) -> Array | None:
    """The labels beside the views, None where there are none; raises FileError."""
    found = None if main is None else readers.labels(main, split)
    if found is None:
        return next((each.labels for each, _ in parts.values() if each.labels is not None), None)
    rows = len(next(iter(parts.values()))[0].x)
    found = found[:limit]
    if len(found) != rows:
        raise FileError(f"{main}: array 'y' has {len(found):,} labels; expected {rows:,}, one a row.")
    return found


def whole_rows(data: Data) -> Data:
    """The rows of several views that are known in full, with a note on the others; raises InputError for none."""
    whole = known_in_full(data)
    if whole is None:
        raise InputError(f"No row of {data.source} is known in full, in all views: give other rows.")
    left = len(data.x) - len(whole.x)
    note = f"{left:,} of {len(data.x):,} rows of {data.source} have unknown entries and are left out."
    return replace(whole, request=data.request, notes=(*whole.notes, note)) if left else whole
