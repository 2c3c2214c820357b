"""`load`: from a name or path to checked rows of data."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boltz.checks import brief, choice, flag, integer
from boltz.checks import path as checked_path
from boltz.data import readers
from boltz.data.alignments import ENDINGS
from boltz.data.columns import Asked, Columns, asked, refuse_named, refuse_odd
from boltz.data.dataset import Array, Data, Table, fingerprint, row_type
from boltz.data.documents import ENDINGS as DOCUMENTS
from boltz.data.kinds import SPIN, Kind, asked_kind, named_kind, resolved, taken
from boltz.data.named_sets import SETS, VARIABLE, data_folder, file_of
from boltz.data.sparse import SparseRows
from boltz.errors import FileError, InputError
from boltz.foreign import near
from boltz.scale import MOST_LEVELS, Border, checked_levels, extent, grey

FEW = 5  # names that a message lists
TEXTS = (".csv", ".tsv", ".idx", *DOCUMENTS, *ENDINGS)
SUFFIXES = (".npz", ".npy", *TEXTS, *(f"{ending}.gz" for ending in TEXTS))


def load(
    name_or_path: str | os.PathLike[str],
    split: str = "train",
    limit: int | None = None,
    levels: int | None = None,
    label_column: str | int | None = None,
    drop_columns: Sequence[str | int] = (),
    *,
    units: Any = None,
    alphabet: str | None = None,
    machine_levels: int | None = None,
    missing: bool = False,
    vocabulary: str | os.PathLike[str] | None = None,
) -> Data:
    """Rows of a named set, of a file (.npy, .npz[:array], .csv, .tsv, .txt, .svm, idx, FASTA, A3M) or of a file in
    $BOLTZ_DATA by its stem, read-only; FileError names file, row and column of what is no state of a unit.

    units: what the numbers are. "bernoulli": numbers in [0, 1], 0/1 or grey bytes (uint8). "spin": -1 and 1.
    "gaussian": any finite real numbers, as they are; grey bytes stay grey. "categorical:q": codes from 0 to q - 1, one
    column a unit, which become one-hot columns; without q they go up to the greatest code. "binomial:n": whole numbers
    from 0 to n, such as how many of n trials came off. "counts": whole numbers of words, a document a row, also a CSR
    matrix in .npz by scipy.sparse.save_npz, or lines word:count word:count. By default numbers are bernoulli, but -1
    and 1 alone are spins, and an alignment is categorical, which notes say.

    vocabulary: a file with a word a line, or of such lines, whose words the columns of counts are. By default they are
    the words of the lines in sorted order, and columns of the result has them.

    alphabet: the letters of an alignment in the order of their codes, by default the 20 amino acids and the gap, or
    those in the array alphabet of an .npz file. levels: all numbers of the file are whole ones from 0 to levels, 1 to
    65535, and are divided by it. machine_levels: so are whole-number types, as a machine keeps it, unless levels says
    otherwise. label_column and drop_columns name columns of a table, by the header or by number from 1, that hold
    labels or are left out. missing: empty cells, NA and NaN are False in known of the result. The rows of a .npy file
    of 64 MiB and more stay in the file, mapped, which must not change while in use, unless they are codes.
    """
    choice(split, "split", readers.SPLITS)
    said = checked_levels(levels) is not None
    kind = asked_kind(units, alphabet, levels)
    columns = replace(asked(label_column, drop_columns), exact=kind.real, missing=flag(missing, "missing"))
    columns = replace(columns, counts=kind.counts, alphabet=kind.alphabet)
    words = _vocabulary(vocabulary, kind)
    if limit is not None:
        integer(limit, "limit", 1)
    if split not in _known_splits(name_or_path):
        raise InputError(f"{name_or_path} has no split {split!r}; it has {', '.join(_known_splits(name_or_path))}.")
    place = _located(name_or_path)
    if place[2]:
        kind = named_kind(kind, place[2])
        if columns.request:
            raise InputError(f"{place[2]} is a named set: label_column and drop_columns are for tables of your own.")
    wanted = levels if said or place[2] else checked_levels(machine_levels)
    return _loaded(place, _Wanted(split, limit, wanted, said, kind, columns, words))


class _Wanted(NamedTuple):
    """What load is asked for, checked; said: the levels are those of this file; words: the file of the vocabulary."""

    split: str
    limit: int | None
    levels: int | None
    said: bool
    kind: Kind
    columns: Asked
    words: Path | None


def _vocabulary(given: Any, kind: Kind) -> Path | None:
    """The file of the words of the columns, None without one; raises InputError."""
    if given is None:
        return None
    path = Path(os.path.expanduser(checked_path(given, "vocabulary")))
    if not kind.counts:
        raise InputError("vocabulary names the words of counts: give units='counts' (--units counts), or leave it out.")
    return path.resolve()


def _loaded(at: tuple[Path, str | None, str | None], wanted: _Wanted) -> Data:
    """The rows of a file, of an array in it, or of a named set; raises FileError."""
    path, array, named = at
    table = _read(path, array, wanted)
    if named and SETS[named].planes:
        table = table._replace(values=np.moveaxis(table.values, 1, -1))
    place = f"{path}: array {table.array!r:.60}" if table.array else str(path)
    border = Border(
        place, wanted.levels, "give levels={0} (--levels {0})", wanted.said, file=True, real=wanted.kind.real
    )
    table, kind = _told(table, wanted.kind, resolved(table, wanted.kind, border), place)
    _check_columns(table, border, kind)
    found, limit = taken(table, kind, border), wanted.limit
    x, labels, known, cut = found.x, table.labels, found.known, limit is not None and limit < len(found.x)
    mark = "" if cut and not named else fingerprint(x, row_type(found.levels))
    if named and not array:
        _check_named(named, wanted.split, path, mark)
    if cut:
        x = _first(x, limit)
        labels, known = (None if part is None else _first(part, limit) for part in (labels, known))
        mark = fingerprint(x, row_type(found.levels))
    request = {"name_or_path": (named or str(path.resolve())) + (f":{array}" if array else ""), "split": wanted.split}
    more: dict[str, Any] = {"limit": limit, "levels": wanted.levels if found.levels == wanted.levels else None}
    words = wanted.words or (path.resolve() if table.words is not None else None)
    more |= {
        "vocabulary": None if words is None else str(words),
        "missing": wanted.columns.missing or None,
        "units": found.kind if kind.states else kind.kind,
    }
    more |= {"alphabet": found.alphabet, **wanted.columns.request}
    request |= {name: value for name, value in more.items() if value is not None}
    source = f"{path}:{table.array}" if table.array else str(path)
    about = (named or path.name.split(".")[0], found.shape, found.levels, mark, labels, source, request, found.notes)
    rows = x if isinstance(x, SparseRows) else np.asarray(x)
    (rows.matrix.data if isinstance(rows, SparseRows) else rows).flags.writeable = False
    return Data(rows, *about, _names(table), kind=found.kind, known=known, alphabet=found.alphabet)


def _read(path: Path, array: str | None, wanted: _Wanted) -> Table:
    """The table of a file, with the words of its columns where it is of counts; raises FileError."""
    columns = wanted.columns
    if not wanted.kind.counts:
        return readers.read(path, array, wanted.split, columns)
    words = None if wanted.words in (None, path.resolve()) else readers.words_of(wanted.words)
    table = readers.read(path, array, wanted.split, replace(columns, missing=True, vocabulary=words))
    if words is None or table.words is not None:
        return table
    own, place = _names(table), f"{wanted.words} has {len(words):,} words"
    count = table.values.shape[-1] if table.columns is None else len(table.columns.units)
    if len(words) != count:
        raise FileError(f"{place}, but {path} has {count:,} columns: give the words of these, in their order.")
    if own and own != words:
        raise FileError(f"{place}, but the columns of {path} have other names of their own: leave vocabulary out.")
    return table._replace(words=words)


def _told(table: Table, asked: Kind, found: Kind, place: str) -> tuple[Table, Kind]:
    """The table with a note on a kind that the numbers told themselves, and the kind."""
    if asked.kind is not None or found.kind is None or table.sequences:
        return table, found
    letters = f", whose letters are in its array 'alphabet' ({found.alphabet})" if found.alphabet else ""
    what = "-1/+1 spins" if found.kind == SPIN else f"{found.kind} units{letters}"
    return table._replace(notes=(*table.notes, f"{place} is taken as {what}.")), found


def _names(table: Table) -> tuple[str, ...]:
    """The names of the units, where a table of text has them, or their words."""
    if table.words is not None:
        return table.words
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


def _check_columns(table: Table, border: Border, kind: Kind) -> None:
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
    if plain and kind.kind != SPIN and not table.sequences and not isinstance(table.values, np.memmap | SparseRows):
        columns = table.columns or Columns(None, range(table.values.shape[1]))
        scale = (
            "real"
            if kind.states or border.as_they_are(table.values)
            else "levels"
            if scaled or grey(table.values)
            else "units"
        )
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


def values(name_or_path: str | os.PathLike[str], exact: bool = False) -> Array:
    """The numbers of a file, as `load` takes it, in the shape they have there; raises FileError.

    For what goes with rows, such as labels or masks; those of a .npy file of 64 MiB and more stay there, mapped. exact:
    numbers of text keep all their digits.
    """
    path, array, _ = _located(name_or_path)
    return readers.read(path, array, "train", Asked(exact=exact)).values


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


def _first(values: Any, limit: int | None) -> Any:
    """The first of the values; a copy, so that the others can be let go, unless they are mapped."""
    if isinstance(values, SparseRows):
        return values.only(slice(limit))
    return values[:limit] if isinstance(values, np.memmap) else values[:limit].copy()


def located(name_or_path: str | os.PathLike[str]) -> Path:
    """The file that a name or path means; raises FileError, InputError."""
    return _located(name_or_path)[0]


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
