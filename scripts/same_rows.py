"""The same rows by every way in: files, arrays, sparse matrices, tables of pandas, estimators of scikit-learn.

For 0/1 rows, grey bytes and genotypes 0/1/2 it prints the log-likelihood of each way in and whether it equals the one
by enumeration, and ends with an error where one does not. Ways that need pandas are left out, in words, without it.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import boltz
from boltz.sklearn import DBMTransformer

try:
    import pandas as pd
except ImportError:
    pd = None

UNITS, ROWS = 8, 40
TOLERANCE = 2e-4  # nats a row: parameters are float32
Ways = Iterator[tuple[str, Callable[[], Any]]]


def text(rows: Any, header: list[str] | None, separator: str = ",", index: bool = False) -> str:
    """A table as pandas writes it."""
    lines = [] if header is None else [separator.join(([""] if index else []) + header)]
    for i, row in enumerate(rows):
        lines.append(separator.join(([str(i)] if index else []) + [str(n) for n in row]))
    return "\n".join(lines) + "\n"


def files(rows: Any, folder: Path, levels: int | None) -> Ways:
    """Files of whole numbers; levels is said where they are not 0/1."""
    names, plain = [f"snp{i}" for i in range(UNITS)], rows.astype(int)
    numbered = [str(i) for i in range(UNITS)]
    tables = {
        "a.csv": text(plain, None),
        "names.csv": text(plain, names),
        "numbers.csv": text(plain, numbered),
        "index.csv": text(plain, names, index=True),
        "tabs.tsv": text(plain, names, "\t"),
        "semicolons.csv": text(plain, names, ";"),
        "quotes.csv": text([[f'"{n}"' for n in row] for row in plain], [f'"{n}"' for n in names]),
    }
    for name, content in tables.items():
        (folder / name).write_text(content)
        yield name, lambda name=name: boltz.load_data(folder / name, levels=levels)
    (folder / "z.csv.gz").write_bytes(gzip.compress(tables["names.csv"].encode()))
    yield "z.csv.gz", lambda: boltz.load_data(folder / "z.csv.gz", levels=levels)
    for kind in ("uint8", "int16", "int64"):
        np.save(folder / f"{kind}.npy", plain.astype(kind))
        yield f"{kind}.npy", lambda kind=kind: boltz.load_data(folder / f"{kind}.npy", levels=levels)
    np.savez(folder / "b.npz", x=plain.astype("uint8"))
    yield "b.npz", lambda: boltz.load_data(folder / "b.npz", levels=levels)
    header = bytes([0, 0, 8, 2]) + ROWS.to_bytes(4, "big") + UNITS.to_bytes(4, "big")
    (folder / "c.idx").write_bytes(header + plain.astype("uint8").tobytes())
    yield "c.idx", lambda: boltz.load_data(folder / "c.idx", levels=levels)


def arrays(rows: Any, levels: int) -> Ways:
    """What Python has: whole numbers on the scale of the data, floats on that of the units."""
    for kind in ("uint8", "int8", "int32", "int64", "uint16"):
        if rows.max() <= np.iinfo(kind).max:
            yield kind, lambda kind=kind: rows.astype(kind)
    yield "big-endian", lambda: rows.astype(">i4")
    yield "column by column", lambda: np.asfortranarray(rows.astype("int64"))
    yield "float32 / levels", lambda: (rows / levels).astype("float32")
    yield "float64 / levels", lambda: rows / levels
    yield "list of lists", lambda: rows.astype(int).tolist()
    yield "objects", lambda: rows.astype(int).astype(object)
    yield "images", lambda: rows.astype("uint8").reshape(ROWS, 2, UNITS // 2)
    for kind in (sp.csr_array, sp.csc_matrix, sp.coo_array):
        yield f"sparse {kind.__name__}", lambda kind=kind: kind(rows.astype("int64"))
    if pd is not None:
        yield "pandas int64", lambda: pd.DataFrame(rows.astype("int64"))
        yield "pandas Int64", lambda: pd.DataFrame(rows.astype("int64")).astype("Int64")
        yield "pandas float", lambda: pd.DataFrame(rows / levels)
    if levels == 1:
        yield "bool", lambda: rows.astype(bool)
        yield "float16", lambda: rows.astype("float16")


def estimated(rows: Any, levels: int) -> Ways:
    """What the estimators take: rows in [0, 1]."""
    yield "estimator, float64", lambda: rows / levels
    yield "estimator, float32", lambda: (rows / levels).astype("float32")
    yield "estimator, sparse", lambda: sp.csr_array(rows / levels)
    if pd is not None:
        yield "estimator, pandas", lambda: pd.DataFrame(rows / levels)


def main() -> int:
    rng, wrong, ways = np.random.default_rng(0), 0, 0
    if pd is None:
        print("pandas is not here, so its tables are left out.")
    for title, levels in (("0/1 rows", 1), ("genotypes 0/1/2", 2), ("digits 0 to 16", 16), ("grey bytes", 255)):
        rows = rng.integers(0, levels + 1, (ROWS, UNITS)).astype(float)
        rows[0, 0] = levels
        weights = [rng.normal(0, 1, (UNITS, 5)), rng.normal(0, 1, (5, 3))]
        plain = boltz.from_arrays(weights[:1], [rng.normal(0, 1, n) for n in (UNITS, 5)])
        model, log_z = plain.with_levels(levels), boltz.exact_log_z(plain)
        wanted = boltz.log_likelihood(plain, rows / levels, log_z).per_row
        print(f"{title}: {wanted.mean():.6f} nats a row")
        deep = DBMTransformer((5, 3), pretrain_epochs=0, epochs=0, random_state=0).fit(rows / levels)
        variational = boltz.log_likelihood(deep.machine_, (rows / levels).astype("float32"), 0.0).per_row
        with tempfile.TemporaryDirectory() as folder:
            said = None if levels in (1, 255) else levels
            for name, way in [*files(rows, Path(folder), said or levels), *arrays(rows, levels)]:
                given = way()
                x = given.x / (given.levels or 1) if isinstance(given, boltz.Data) else given
                found = boltz.log_likelihood(model, x, log_z).per_row
                ways, wrong = ways + 1, wrong + told(name, found, wanted)
        for name, way in estimated(rows, levels):
            shift = deep.score_samples(way()) - variational  # by log Z alone
            ways, wrong = ways + 1, wrong + told(name, shift - shift.mean(), np.zeros(ROWS))
    print(f"{ways} ways in, {wrong} of them misread")
    return int(wrong > 0)


def told(name: str, found: Any, wanted: Any) -> int:
    """A line on one way in; 1 where it is wrong."""
    worst = float(np.abs(found - wanted).max())
    fine = found.shape == wanted.shape and worst < TOLERANCE
    print(f"  {name:<22}{found.mean():>12.6f}  largest difference of a row {worst:.1e}  {'same' if fine else 'WRONG'}")
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
