"""Read one table of numbers from a .npy, .npz, .csv, .tsv, .txt, idx or FASTA file; every file is treated as hostile.

Sizes are checked against the file and LIMIT_BYTES before memory is taken, nothing is ever unpickled, and whatever is
wrong with a file comes out as FileError, one sentence that names it. A .npy file of MAPPED_BYTES and more is mapped
rather than read; below that, a copy costs little and no longer minds what happens to the file.
"""

from __future__ import annotations

import gzip
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from boltz.data.alignments import ENDINGS, fault, is_alignment, read_alignment
from boltz.data.columns import Asked, split_columns
from boltz.data.csr import checked_format, is_sparse_file, read_csr
from boltz.data.csv_rows import read_comma
from boltz.data.dataset import Array, Table
from boltz.data.documents import ENDINGS as DOCUMENTS
from boltz.data.documents import are_documents, read_documents, read_words
from boltz.data.npy import LIMIT_BYTES, fill, read_header, read_npy
from boltz.data.sparse import SparseRows
from boltz.errors import BoltzError, FileError

SPLITS = ("train", "valid", "test")
TEXTS = (".csv", ".tsv", ".txt")
KINDS = f".npy, .npz, .csv, .tsv, .txt, .svm, idx and {', '.join(ENDINGS)} files (text and idx perhaps with .gz)"
COUNTS = "read them as such with units='counts' (--units counts)"
FORMAT = re.compile(r"([<>|=])([SU])([1-9])")
LETTERS = re.compile(r"([<>|=])(U1|S1)")
MOST_LETTERS = 94  # that can be told apart
MAPPED_BYTES = 2**26
DEFLATE_RATIO = 1032  # no deflate stream expands further (zlib's technical notes)
MOST_ARRAYS = 10_000
SHOWN_NAMES = 20
BESIDE = ("y", "shape", "n_vars", "alphabet")  # arrays of an .npz file that say something of the rows of another
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


def read(path: Path, array: str | None, split: str, asked: Asked | None = None) -> Table:
    """The table of a file, of its named array or of a split, as stored, its columns of labels and those to leave out
    apart; FileError when it cannot be read safely.
    """
    table = _apart(_read(path, array, split, asked), path, asked)
    whole = not isinstance(table.values, np.memmap | SparseRows)  # which nothing reads, or makes dense, as a whole
    if asked is None or not asked.missing or not whole or table.values.dtype.kind != "f":
        return table
    known = ~np.isnan(table.values)
    return table if known.all() else table._replace(values=np.where(known, table.values, 0), known=known)


def _apart(table: Table, path: Path, asked: Asked | None) -> Table:
    """A table without the columns of labels and those to leave out, where they are still in it."""
    if asked is None or not asked.request or table.columns is not None:
        return table
    place = f"{path}: array {table.array!r:.60}" if table.array else str(path)
    if table.sequences:
        raise FileError(f"{place} is an alignment, whose sites are no columns for --label-column or --drop-column.")
    if isinstance(table.values, SparseRows):
        raise FileError(f"{place} holds counts of words, which are not chosen by --label-column or --drop-column.")
    if table.units is not None or (asked.label is not None and table.labels is not None):
        what = "packed bits, whose columns are" if table.units else "labels in an array of their own, which are"
        raise FileError(f"{place} has {what} not chosen by --label-column or --drop-column.")
    values, labels, columns = split_columns(table.values, asked, place)
    return table._replace(values=values, labels=table.labels if labels is None else labels, columns=columns, shape=None)


def _read(path: Path, array: str | None, split: str, asked: Asked | None) -> Table:
    with _guarded(path):
        kind = _kind(path)
        if kind == "npz":
            with zipfile.ZipFile(path) as archive:
                return _read_npz(archive, path, array, split, asked or Asked())
        if array is not None:
            raise FileError(f"{path} holds one table; an array name ({array!r}) goes with .npz files only.")
        if split != "train":
            raise FileError(f"{path} holds one table, so it has no split {split!r}: leave the split out.")
        words = kind == "documents" or (kind == "csv" and _are_documents(path))
        if words and (asked is None or not (asked.counts or asked.request)):
            raise FileError(f"{path} holds word:count pairs: {COUNTS}.")
        with _opened(path) as stream:
            if words and asked is not None and asked.counts:
                return read_documents(stream, str(path), LIMIT_BYTES, asked.vocabulary)
            if kind == "fasta":
                return read_alignment(stream, str(path), LIMIT_BYTES, None if asked is None else asked.alphabet)
            if kind == "csv":
                return read_comma(stream, str(path), LIMIT_BYTES, asked)
            if kind == "npy":
                size = path.stat().st_size
                return Table(read_npy(stream, str(path), size, mapped=size >= MAPPED_BYTES))
            return Table(_read_idx(stream, path))


def _are_documents(path: Path) -> bool:
    """Whether the lines of a text hold words with counts."""
    with _opened(path) as stream:
        return are_documents(stream)


def words_of(path: Path) -> tuple[str, ...]:
    """The words of a vocabulary, one a line, or of documents, in the order of their columns; raises FileError."""
    with _guarded(path):
        _check_file(path)
        documents = _are_documents(path)
        with _opened(path) as stream:
            if not documents:
                return read_words(stream, str(path), LIMIT_BYTES)
            words = read_documents(stream, str(path), LIMIT_BYTES).words
            assert words is not None
            return words


def splits(path: Path) -> tuple[str, ...]:
    """The splits that a file holds, none if it holds one table."""
    with _guarded(path):
        if _kind(path) != "npz":
            return ()
        with zipfile.ZipFile(path) as archive:
            return _splits(_members(archive, path))


def arrays(path: Path) -> tuple[str, ...]:
    """The names of the arrays of an .npz file, none of a file of one table."""
    with _guarded(path):
        if _kind(path) != "npz":
            return ()
        with zipfile.ZipFile(path) as archive:
            return tuple(_members(archive, path))


def labels(path: Path, split: str) -> Array | None:
    """The class numbers in the array y_SPLIT or y of an .npz file, None where there are none."""
    with _guarded(path):
        if _kind(path) != "npz":
            return None
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            return _labels(archive, members.get(f"y_{split}", members.get("y")), path, None)


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except BoltzError:
        raise
    except FileNotFoundError as problem:
        raise FileError(f"{path} does not exist.") from problem
    except READ_ERRORS as problem:
        reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        raise FileError(f"{path} cannot be read: {reason!r:.200}.") from problem


def _check_file(path: Path) -> None:
    """Raise FileError for what is no file with something in it."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"{path} is not a file; expected {KINDS}.")
    if found.st_size == 0:
        raise FileError(f"{path} is empty (0 bytes).")


def _kind(path: Path) -> str:
    _check_file(path)
    name = path.name.lower()
    if name.removesuffix(".gz").endswith(TEXTS):
        return "csv"
    if name.removesuffix(".gz").endswith(DOCUMENTS):
        return "documents"
    if is_alignment(path):
        return "fasta"
    for kind in ("npy", "npz"):
        if name.endswith(f".{kind}"):
            return kind
    with _opened(path) as stream:
        start = stream.read(4)
    if len(start) == 4 and start[:2] == b"\0\0" and start[2] in IDX_TYPES:
        return "idx"
    raise FileError(f"{path} is none of {KINDS} (it starts with bytes {start.hex(' ')!r}).")


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _read_npz(archive: zipfile.ZipFile, path: Path, array: str | None, split: str, asked: Asked) -> Table:
    members = _members(archive, path)
    if array is None and is_sparse_file(members) and not _splits(members):
        return _read_sparse(archive, members, path, split, asked)
    name = _chosen(members, path, array, split)
    values = _member(archive, members[name], path)
    part = name[1:] if name == "x" or name.startswith("x_") else None
    labels = None if part is None else _labels(archive, members.get("y" + part), path, len(values))
    if values.ndim != 2:
        return Table(values, name, labels)
    if part is not None and values.dtype.kind in "iu" and "alphabet" in members:
        letters = _alphabet(archive, members["alphabet"], path)
        if letters is not None:
            return Table(values, name, labels, alphabet=letters)
    shape, width = _layout(archive, members, path)
    if width is None or values.shape[1] == width:
        return Table(values, name, labels, shape)
    if values.shape[1] == -(-width // 8) and values.dtype == np.uint8:
        return Table(values, name, labels, shape, width)
    if part not in ("", *(f"_{each}" for each in SPLITS)):
        return Table(values, name, labels)
    raise FileError(
        f"{path}: array {name!r} has {values.shape[1]} columns; expected {width}, or {-(-width // 8)} packed bytes."
    )


def _read_sparse(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path, split: str, asked: Asked
) -> Table:
    """The rows of a sparse matrix as SciPy saves it, which are counts of words; raises FileError."""
    if split != "train":
        raise FileError(f"{path} holds one table, so it has no split {split!r}: leave the split out.")
    checked_format(_format(archive, members["format"], path), str(path))
    if not asked.counts:
        raise FileError(
            f"{path} holds a sparse matrix, which is read as counts of words: {COUNTS}, or save others as dense arrays."
        )
    for name in ("indices", "indptr"):
        if name not in members:
            raise FileError(f"{path} holds a sparse matrix without its array {name!r}; expected one in CSR format.")
    rows = read_csr(lambda name: _member(archive, members[name], path), str(path))
    return Table(rows, labels=_labels(archive, members.get("y"), path, len(rows)))


def _format(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> str:
    """The format of a sparse matrix, as a few letters; raises FileError."""
    place = f"{path}: array 'format'"
    with archive.open(info) as stream:
        header, start = read_header(stream, place)
        found = FORMAT.fullmatch(header.description)
        if found is None or header.shape != ():
            raise FileError(f"{place} must be a word such as 'csr', got {header.description!r:.40} {header.shape}.")
        order, kind, length = found.groups()
        dtype = np.dtype(f"{order}u4" if kind == "U" else "u1")
        letters = fill(stream, dtype, (int(length),), place, info.file_size - start)
    return "".join(chr(n) if 32 < n < 127 else "?" for n in letters.tolist() if n)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    found = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    members = {info.filename.removesuffix(".npy"): info for info in found}
    if not 0 < len(found) <= MOST_ARRAYS or len(members) < len(found):
        raise FileError(
            f"{path} holds {len(found)} arrays of {len(members)} different names; expected 1 to {MOST_ARRAYS}."
        )
    return members


def _splits(members: dict[str, zipfile.ZipInfo]) -> tuple[str, ...]:
    return tuple(split for split in SPLITS if f"x_{split}" in members)


def _chosen(members: dict[str, zipfile.ZipInfo], path: Path, array: str | None, split: str) -> str:
    there = ", ".join(f"{name!r:.60}" for name in list(members)[:SHOWN_NAMES])
    if array is not None:
        if array not in members:
            raise FileError(f"{path} has no array {array!r}; it has {there}.")
        return array
    parts = _splits(members)
    if split in parts:
        return f"x_{split}"
    if parts:
        raise FileError(f"{path} has no array 'x_{split}'; its splits are {', '.join(parts)}.")
    tables = [name for name in members if name == "x"] or [n for n in members if n not in BESIDE]
    if len(tables) != 1:
        raise FileError(f"{path} has neither 'x_{split}' nor 'x'; name one of its arrays as FILE.npz:ARRAY: {there}.")
    if split != "train":
        raise FileError(f"{path} holds one table, so it has no array 'x_{split}': leave the split out.")
    return tables[0]


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Array:
    place = f"{path}: array {info.filename.removesuffix('.npy')!r:.60}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise FileError(f"{place} is encrypted or of an unknown compression; expected stored or deflated.")
    most = min(info.compress_size, path.stat().st_size) * DEFLATE_RATIO
    if info.file_size > min(most, LIMIT_BYTES):
        raise FileError(f"{place} declares {info.file_size} bytes; expected at most {min(most, LIMIT_BYTES)}.")
    with archive.open(info) as stream:
        return read_npy(stream, place, info.file_size)


def _labels(archive: zipfile.ZipFile, info: zipfile.ZipInfo | None, path: Path, rows: int | None) -> Array | None:
    """The class numbers (rows,) beside an x array of so many rows; None when y is not a list of whole numbers."""
    if info is None:
        return None
    with archive.open(info) as stream:
        header, _ = read_header(stream, f"{path}: array {info.filename!r:.60}")
    if len(header.shape) != 1 or not re.fullmatch(r"[<>|=][iu]\d", header.description):
        return None
    if rows is not None and header.shape[0] != rows:
        place = f"{path}: array {info.filename.removesuffix('.npy')!r:.60}"
        raise FileError(f"{place} has {header.shape[0]} labels; expected {rows}, one a row.")
    labels = _member(archive, info, path)
    return labels.astype(labels.dtype.newbyteorder("="), copy=False)


def _alphabet(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> str | None:
    """The letters that whole numbers beside them are codes of; None where the array is not of single letters."""
    place = f"{path}: array {info.filename.removesuffix('.npy')!r:.60}"
    with archive.open(info) as stream:
        header, start = read_header(stream, place)
        found = LETTERS.fullmatch(header.description)
        if found is None or len(header.shape) != 1:
            return None
        if not 2 <= header.shape[0] <= MOST_LETTERS:
            raise FileError(f"{place} holds {header.shape[0]} letters; expected 2 to {MOST_LETTERS}.")
        order, kind = found.groups()
        numbers = fill(
            stream, np.dtype(f"{order}u4" if kind == "U1" else "u1"), header.shape, place, info.file_size - start
        )
    letters = "".join(chr(number) if number < 128 else "\0" for number in numbers.tolist())
    problem = fault(letters)
    if problem:
        raise FileError(f"{place} must hold different letters without blanks or '>', one each, but it has {problem}.")
    return letters


def _layout(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path
) -> tuple[tuple[int, int] | None, int | None]:
    """Image shape and units a row, as the arrays 'shape' (height, width) and 'n_vars' say them."""
    for name, size in (("shape", 2), ("n_vars", 1)):
        if name not in members:
            continue
        numbers = _member(archive, members[name], path).reshape(-1)
        if numbers.size != size or numbers.dtype.kind not in "iu" or not ((numbers > 0) & (numbers < 2**24)).all():
            raise FileError(f"{path}: array {name!r} must hold {size} positive whole number(s), got {numbers[:4]}.")
        if name == "shape":
            return (int(numbers[0]), int(numbers[1])), int(numbers[0]) * int(numbers[1])
        return None, int(numbers[0])
    return None, None


def _read_idx(stream: IO[bytes], path: Path) -> Array:
    start = stream.read(4)
    rank = start[3]
    numbers = stream.read(4 * rank)
    if not 1 <= rank <= 4 or len(numbers) < 4 * rank:
        raise FileError(f"{path} has a damaged idx header: {rank} axes; expected 1 to 4 with their lengths.")
    available = path.stat().st_size * (DEFLATE_RATIO if path.name.lower().endswith(".gz") else 1)
    if available == path.stat().st_size:
        available -= 4 + 4 * rank
    return fill(stream, np.dtype(IDX_TYPES[start[2]]), struct.unpack(f">{rank}I", numbers), str(path), available)
