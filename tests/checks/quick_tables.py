"""Quick checks of tables of text: what is a header, which columns are units, and which cannot be."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from support.training import plain_train

import boltz
from boltz.data import Data
from boltz.data.dataset import columns_entry
from boltz.errors import FileError, InputError
from boltz.evaluation import reading
from boltz.evaluation.rows import rows_given
from boltz.evaluation.trained import trained

BITS = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1]] * 3


def check_headers() -> None:
    """Numbers that count the columns name them, whole numbers above 1 or not; so do words."""
    for header in ("0,1,2", "1,2,3", "1990,2000,2010", "a,b,c"):
        assert _loaded(header, BITS).x.tolist() == BITS
    assert _loaded("0,1,1", BITS).x.tolist() == [[0, 1, 1], *BITS]


def check_columns() -> None:
    """The number of a row, labels and what is left out are no units, and labels stand beside their rows."""
    rows = [[i, *row, 5 + i % 3, 40 - i] for i, row in enumerate(BITS)]
    data = _loaded(",a,b,c,y,age", rows, label_column="y", drop_columns=["age"])
    assert data.x.tolist() == BITS
    assert data.labels is not None and data.labels.tolist() == [5 + i % 3 for i in range(len(BITS))]


def check_odd_columns() -> None:
    """A column of another range is refused by its name, and so is a label that nothing was said of."""
    for header, last, name in (("a,b,c,sex,age", 40, "'age' (5)"), ("a,b,c,d,label", 1, "'label' (5)")):
        try:
            _loaded(header, [[*row, 1, last - last // 2 * (i % 2)] for i, row in enumerate(BITS)])
        except FileError as problem:
            assert f"column {name}" in str(problem) and "--drop-column" in str(problem)
        else:
            raise AssertionError(f"{name} becomes a unit")


def check_labels_beside_levels() -> None:
    """Labels beside counts and beside grey bytes are refused where nothing was said of them."""
    numbers = np.random.default_rng(2).integers(0, 17, (200, 4))
    for most, kind in ((16, int), (240, np.uint8)):
        rows = np.column_stack([numbers * (most // 16), np.arange(200) % 10]).astype(kind)
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "x.npy", rows)
            try:
                boltz.load_data(Path(folder) / "x.npy", levels=16 if most == 16 else None)
            except FileError as problem:
                assert "column 5 holds 0 to 9 as classes do" in str(problem)
            else:
                raise AssertionError("labels become a unit")


def check_columns_of_a_run() -> None:
    """Another file than a run's lacks its labels, too, unless it holds the units alone."""
    machine, options = boltz.rbm(3, 2), {"label_column": None, "drop_columns": ()}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        (run / "run.toml").write_text('[data.load]\nname_or_path = "a.csv"\nlabel_column = "k"\n')
        for name, rows in (("k,a,b,c", [[7, *row] for row in BITS]), ("a,b,c", BITS)):
            (run / "x.csv").write_text("\n".join([name, *(",".join(map(str, row)) for row in rows)]))
            request = {"name_or_path": str(run / "x.csv"), "split": "train"}
            assert reading.with_columns(request, run, [machine], options).x.tolist() == BITS


def check_empty_cells() -> None:
    """Empty cells are 0 that is not known, whole numbers beside them stay whole, and nothing is learnt of them."""
    rows: list[list[object]] = [[0, 2, ""], [1, "NA", 2], [2, 1, 0]]
    found = _loaded("a,b,c", rows, levels=2, missing=True)
    assert found.x.tolist() == [[0, 2, 0], [1, 0, 2], [2, 1, 0]] and found.levels == 2
    assert found.known is not None and found.known.tolist() == [[True, True, False], [True, False, True], [True] * 3]
    try:
        plain_train(boltz.sbn([3, 2]), found, epochs=0)
    except InputError as problem:
        assert "no missing numbers" in str(problem)
    else:
        raise AssertionError("zeros are learnt where nothing is known")


def check_real_numbers() -> None:
    """Files for Gaussian visible units hold any numbers, with all their digits, and the commands read them so."""
    rows = [[1e6 + 0.001 * i, -0.5 - i] for i in range(12)]
    known = reading.units_for([boltz.vae([2, 3], 1, visible="gaussian")])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_text("\n".join(["a,b", *(",".join(map(repr, row)) for row in rows)]))
        assert boltz.load_data(path, **known).x.tolist() == rows


def check_rows_of_a_run_with_unknown_entries() -> None:
    """Of rows that a run learnt with empty cells, those that are known in full are measured, and the others counted."""
    lines = [*(",".join(map(str, row)) for row in BITS), ",1,0", "1,,1"]
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "x.csv", Path(folder) / "run"
        path.write_text("\n".join(["a,b,c", *lines]))
        plain_train(boltz.rbm(3, 2), boltz.load_data(path, missing=True), epochs=1, out=out)
        rows, split = rows_given(trained(out), None, "train")
    assert split == "train" and rows.x.tolist() == BITS and rows.known is None
    assert rows.notes[-1].startswith("2 of 14 rows")


def _loaded(header: str, rows: Sequence[Sequence[object]], **columns: object) -> boltz.Data:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
        return boltz.load_data(path, **columns)  # type: ignore[arg-type]


def check_order_of_columns() -> None:
    """The names of training in another order are refused; other names are told of, and equal ones are silent."""
    entry = columns_entry(("p", "q", "r"))
    for names, refused in ((("p", "q", "r"), False), (("q", "p", "r"), True), ((), False)):
        data = Data(np.zeros((1, 3)), "a", None, 1, "", None, "a.csv", columns=names)
        try:
            reading.columns_note(data, entry, "r was trained on")
        except InputError as problem:
            assert refused and "another order" in str(problem)
        else:
            assert not refused
