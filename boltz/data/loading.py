"""`load`: from a name or path to checked rows of data."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from boltz.checks import brief, choice, flag, integer
from boltz.checks import path as checked_path
from boltz.data import readers
from boltz.data.columns import Columns, asked, refuse_named, refuse_odd
from boltz.data.dataset import Array, Data, Table, fingerprint, row_type, units
from boltz.data.named_sets import SETS, VARIABLE, data_folder, file_of
from boltz.errors import FileError, InputError
from boltz.foreign import near
from boltz.scale import MOST_LEVELS, Border, checked_levels, extent, grey

FEW = 5  # names that a message lists
SUFFIXES = (".npz", ".npy", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".idx", ".idx.gz")


def load(
    name_or_path: str | os.PathLike[str],
    split: str = "train",
    limit: int | None = None,
    levels: int | None = None,
    label_column: str | int | None = None,
    drop_columns: Sequence[str | int] = (),
    *,
    machine_levels: int | None = None,
    real: bool = False,
    missing: bool = False,
) -> Data:
    """Rows of a named set, of a file (.npy, .npz[:array], .csv, .tsv, .txt, idx) or of a file in $BOLTZ_DATA by its
    stem, read-only; FileError names file, row and column of what is no number in [0, 1], 0/1 or grey byte (uint8).

    levels: all numbers of the file are whole ones from 0 to levels, 1 to 65535, and are divided by it. machine_levels:
    so are those of whole-number types, as by a machine that keeps these levels, unless levels says otherwise. real: a
    file without levels holds any finite numbers, which Gaussian visible units take as they are; grey bytes stay grey.

    label_column and drop_columns name columns of a table, by the header or by number from 1, that hold labels or are
    left out. missing: empty cells, NA and NaN are 0 in x, and False in known of the result. The rows of a .npy file of
    64 MiB and more stay in the file, mapped, which must not change while in use.
    """
    choice(split, "split", readers.SPLITS)
    columns = replace(asked(label_column, drop_columns), exact=flag(real, "real"), missing=flag(missing, "missing"))
    if limit is not None:
        integer(limit, "limit", 1)
    said = checked_levels(levels) is not None
    if split not in _known_splits(name_or_path):
        raise InputError(f"{name_or_path} has no split {split!r}; it has {', '.join(_known_splits(name_or_path))}.")
    path, array, named = _located(name_or_path)
    real = real and not named  # whose numbers are known
    if named and columns.request:
        raise InputError(f"{named} is a named set of images: label_column and drop_columns are for tables.")
    table = readers.read(path, array, split, columns)
    place = f"{path}: array {table.array!r:.60}" if table.array else str(path)
    wanted = levels if said or named else checked_levels(machine_levels)
    border = Border(place, wanted, "give levels={0} (--levels {0})", said, file=True, real=real)
    _check_columns(table, border)
    x, levels, shape = units(table, border)
    labels, known, cut = table.labels, table.known, limit is not None and limit < len(x)
    found = "" if cut and not named else fingerprint(x, row_type(levels))
    if named and not array:
        _check_named(named, split, path, found)
    if cut:
        x = _first(x, limit)
        labels, known = (None if part is None else _first(part, limit) for part in (labels, known))
        found = fingerprint(x, row_type(levels))
    name = named or path.name.split(".")[0]
    source = f"{path}:{table.array}" if table.array else str(path)
    place = (named or str(path.resolve())) + (f":{array}" if array else "")
    more = {"limit": limit, "levels": wanted if levels == wanted else None}
    request = {"name_or_path": place, "split": split} | {name: n for name, n in more.items() if n is not None}
    request |= columns.request | {name: True for name, on in (("real", real), ("missing", missing)) if on}
    about = (name, shape, levels, found, labels, source, request, table.notes, _names(table))
    known = None if known is None else known.reshape(len(known), -1)
    data = Data(np.asarray(x), *about, kind="gaussian" if real and levels is None else "bernoulli", known=known)
    data.x.flags.writeable = False
    return data


def _names(table: Table) -> tuple[str, ...]:
    """The names of the units, where a table of text has them."""
    held = table.columns
    return () if held is None or held.names is None else tuple(held.names[number].strip() for number in held.units)


def splits(name_or_path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that `load` accepts for this name or path; a file of one table is its split 'train'."""
    return held_splits(name_or_path) or ("train",)


def held_splits(name_or_path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that this name or path holds, none for a file of one table and for a named array."""
    if isinstance(name_or_path, str) and name_or_path in SETS:
        return _known_splits(name_or_path)
    path, array, _ = _located(name_or_path)
    return () if array else readers.splits(path)


def _check_columns(table: Table, border: Border) -> None:
    """Raise FileError where a column of a table of numbers cannot be a unit; levels, if known, scale all of them."""
    place, levels = border.name, border.levels
    scaled = (levels or 1) > 1
    if table.columns is not None:
        refuse_named(table.columns, place, partial(_others, table.values, border))
        greatest = table.columns.greatest
        if scaled and greatest is not None and greatest <= (levels or 1):
            raise FileError(
                f"{place}: the first line may name the columns or be a row of data: give the columns names."
            )
    plain = table.values.ndim == 2 and table.values.size > 0 and table.shape is None and table.units is None
    if plain and not isinstance(table.values, np.memmap):
        columns = table.columns or Columns(None, range(table.values.shape[1]))
        scale = "real" if border.as_they_are(table.values) else "levels" if scaled or grey(table.values) else "units"
        refuse_odd(table.values, columns, place, scale)


def _others(numbers: Array, border: Border, left_out: list[int]) -> str:
    """What to say beside a refused column if the other numbers (rows, units) are whole ones that nothing divides."""
    rest = np.delete(numbers, left_out, axis=1)
    if rest.size == 0 or border.said or border.real or rest.dtype.kind == "f" or grey(rest):
        return ""
    low, high = extent(rest)
    if low < 0 or not 1 < high <= MOST_LEVELS or border.levels is not None:
        return ""
    return f"; the other columns hold whole numbers up to {high:g}, so {border.remedy.format(int(high))} as well"


def values(name_or_path: str | os.PathLike[str]) -> Array:
    """The numbers of a file, as `load` takes it, in the shape they have there; raises FileError.

    For what goes with rows, such as labels or masks; those of a .npy file of 64 MiB and more stay there, mapped.
    """
    path, array, _ = _located(name_or_path)
    return readers.read(path, array, "train").values


def _known_splits(name_or_path: str | os.PathLike[str]) -> tuple[str, ...]:
    named = isinstance(name_or_path, str) and name_or_path in SETS
    return tuple(SETS[str(name_or_path)].fingerprints) if named else readers.SPLITS


def _check_named(name: str, split: str, path: Path, found: str) -> None:
    expected = SETS[name].fingerprints[split]
    if found != expected:
        raise FileError(
            f"{path} is not the set named {name!r} (fingerprint {found[:12]} of split {split!r}; expected "
            f"{expected[:12]}); give its path to use it all the same."
        )


def _first(values: Array, limit: int | None) -> Array:
    """The first of the values; a copy, so that the others can be let go, unless they are mapped."""
    return values[:limit] if isinstance(values, np.memmap) else values[:limit].copy()


def _located(name_or_path: str | os.PathLike[str]) -> tuple[Path, str | None, str | None]:
    """The file that a name or path means, the array asked for after a colon, and the name of a named set."""
    if isinstance(name_or_path, Path):
        return checked_path(name_or_path, "name_or_path"), None, None
    text = os.fspath(name_or_path) if isinstance(name_or_path, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise InputError(f"The data must be the name of a set or a path, got {brief(name_or_path)}.")
    checked_path(text, "name_or_path")
    for name, array in _readings(text):
        if name in SETS:
            return file_of(name), array, name
        plain = os.path.expanduser(name)
        path = Path(plain) if os.path.exists(plain) else _in_folder(name)
        if path is not None:
            return path, array, None
    if re.search(r"[/\\.]", text):
        raise FileError(f"{text} does not exist.")
    hint = near(text, SETS) or f"; the names are {', '.join(SETS)}{_also()}, or give a path."
    raise InputError(f"No data set is called {brief(text)}{hint}")


def _readings(text: str) -> list[tuple[str, str | None]]:
    """The ways to read NAME or NAME:ARRAY; a file whose own name has a colon comes first."""
    name, colon, array = text.rpartition(":")
    split = bool(colon and name and array) and not re.search(r"[/\\]", array)
    return [(text, None), (name, array)] if split else [(text, None)]


def _in_folder(name: str) -> Path | None:
    """The file of $BOLTZ_DATA with this name or stem."""
    folder = data_folder()
    if folder is None or re.search(r"[/\\\0]", name) or name.startswith("."):
        return None
    found = [folder / f"{name}{suffix}" for suffix in ("", *SUFFIXES) if os.path.isfile(folder / f"{name}{suffix}")]
    if len(found) > 1:
        raise InputError(f"{name!r} in {VARIABLE} may be {' or '.join(p.name for p in found)}; give the file name.")
    return found[0] if found else None


def _also() -> str:
    folder = data_folder()
    files = {entry.file for entry in SETS.values()}
    there = sorted(p.name for p in folder.iterdir() if p.name.endswith(SUFFIXES)) if folder else []
    stems = [name.split(".")[0] for name in there if name not in files]
    more = f" and {len(stems) - FEW} more" if len(stems) > FEW else ""
    return f", and in {VARIABLE} {', '.join(stems[:FEW])}{more}" if stems else ""
