"""Catches counts of words that a file has otherwise than they are read, and hostile files that are not refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from checks import count_files
from support.data_files import npy_bytes

import boltz
from boltz.errors import FileError, InputError

CHECKS = [check for name, check in vars(count_files).items() if name.startswith("check_")]
GOOD: dict[str, Any] = {
    "data": np.array([1, 2, 3]),
    "indices": np.array([0, 2, 1]),
    "indptr": np.array([0, 2, 3]),
    "shape": np.array([2, 3]),
    "format": np.array(b"csr"),
}
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    # what is wrong: (arrays in the place of good ones, a piece of the sentence)
    "objects as data": ({"data": np.array([1, {}, 3], object)}, "'data' holds Python objects, which are never read"),
    "an object as format": ({"format": np.array({}, object)}, "array 'format' must be a word such as 'csr'"),
    "a list of formats": ({"format": np.array([b"csr"])}, "array 'format' must be a word such as 'csr'"),
    "columns first": ({"format": np.array(b"csc")}, "of format 'csc'; expected 'csr': save matrix.tocsr()"),
    "a control character": ({"format": np.array(b"\x1b")}, "of format '?'; expected 'csr'"),
    "no indptr": ({"indptr": None}, "without its array 'indptr'; expected one in CSR format"),
    "falling indptr": ({"indptr": np.array([0, 3, 2])}, "array 'indptr' must rise from 0 to at most 3"),
    "wrapping indptr": ({"indptr": np.array([0, 2**64 - 1, 3], np.uint64)}, "must rise from 0 to at most 3"),
    "late indptr": ({"indptr": np.array([1, 2, 3])}, "array 'indptr' must rise from 0"),
    "negative indptr": ({"indptr": np.array([0, -2, 3])}, "array 'indptr' must rise from 0"),
    "indptr beyond": ({"indptr": np.array([0, 2, 4])}, "array 'indptr' must rise from 0 to at most 3"),
    "short indptr": ({"indptr": np.array([0, 3])}, "'indptr' has 2 numbers; expected 3, one more than rows"),
    "broken indptr": ({"indptr": np.array([0.0, 2, 3])}, "'indptr' holds float64; expected whole numbers"),
    "flat indptr": ({"indptr": np.array(0)}, "'indptr' has 0 axes; expected one"),
    "negative index": ({"indices": np.array([0, -1, 1])}, "'indices' holds -1; expected columns from 0 to 2"),
    "index beyond": ({"indices": np.array([0, 3, 1])}, "'indices' holds 3; expected columns from 0 to 2"),
    "huge index": ({"indices": np.array([0, 2**63 + 5, 1], np.uint64)}, "'indices' holds 9223372036854775813"),
    "broken index": ({"indices": np.array([0.0, 2, 1])}, "'indices' holds float64; expected whole numbers"),
    "few indices": ({"indices": np.array([0, 2])}, "'indices' has 2 numbers; expected 3, as 'data' has"),
    "data of two axes": ({"data": np.ones((3, 1))}, "'data' has 2 axes; expected one"),
    "three sides": ({"shape": np.array([2, 3, 1])}, "'shape' must hold 2 whole numbers"),
    "broken sides": ({"shape": np.array([2.0, 3.0])}, "'shape' must hold 2 whole numbers"),
    "no columns": ({"shape": np.array([2, 0])}, "is 2 x 0, rows by columns; expected at least one row"),
    "negative rows": ({"shape": np.array([-1, 3])}, "is -1 x 3, rows by columns; expected at least one row"),
    "many rows": ({"shape": np.array([2**61, 3])}, "'indptr' has 3 numbers; expected 2305843009213693953"),
    "many columns": ({"shape": np.array([2, 2**40])}, "is 2 x 1099511627776, rows by columns; expected at least"),
    "negative count": ({"data": np.array([1, -2, 3])}, "row 1, column 3 is -2; expected counts of words, whole"),
    "broken count": ({"data": np.array([1, 2, 0.5])}, "row 2, column 2 is 0.5; expected counts of words, whole"),
    "no number": ({"data": np.array([1, np.nan, 3])}, "row 1, column 3 is nan; expected counts of words, whole"),
    "infinite count": ({"data": np.array([1, np.inf, 3])}, "row 1, column 3 is inf; expected counts of words"),
    "huge count": ({"data": np.array([1, 2**24 + 2, 3])}, "row 1, column 3 is 1.67772e+07; expected counts"),
    "no words": ({"indptr": np.array([0, 3, 3])}, "row 2 has no words; expected at least one word: leave it out"),
    "zeros alone": ({"data": np.array([1, 2, 0])}, "row 2 has no words; expected at least one word: leave it out"),
    "too many words": ({"data": np.array([600_000, 500_000, 1])}, "row 1 has 1,100,000 words; expected at most"),
    "labels of other rows": ({"y": np.array([1, 2, 3])}, "array 'y' has 3 labels; expected 2, one a row"),
}
BAD: dict[str, tuple[str, Any, str]] = {
    # what is wrong: (file, content, a piece of the sentence)
    "negative in a table": ("a.csv", "1,2\n3,-1\n", "row 2, column 2 is -1; expected counts of words, whole numbers"),
    "fraction in a table": ("a.npy", npy_bytes([[1, 0.25]]), "row 1, column 2 is 0.25; expected counts of words"),
    "nan in a table": ("a.npy", npy_bytes([[1, np.nan]]), "row 1, column 2 is missing: a document with an unknown"),
    "an empty cell": ("a.csv", "a,b\n1,2\n3,\n", "row 2 (line 3), column 'b' (2) is missing: a document with an"),
    "a row of no words": ("a.csv", "5,2\n0,0\n", "row 2 has no words; expected at least one word: leave it out"),
    "too many in a table": ("a.csv", "1,2\n0,1000001\n", "row 2 has 1,000,001 words; expected at most 1,000,000"),
    "a label among words": ("a.csv", "label,b,c\n1,2,5\n2,2,3\n", "column 'label' (1) would be a unit"),
    "negative of a word": ("a.txt", "a:1\nb:-2\n", "line 2 has '-2' of the word 'b'; expected a count, a whole number"),
    "fraction of a word": ("a.svm", "a:1\nb:1.5\n", "line 2 has '1.5' of the word 'b'; expected a count"),
    "nan of a word": ("a.svm", "a:nan\n", "line 1 has 'nan' of the word 'a'; expected a count"),
    "infinite of a word": ("a.svm", "a:inf\n", "line 1 has 'inf' of the word 'a'; expected a count"),
    "huge of a word": ("a.svm", "a:1e300\n", "line 1 has '1e300' of the word 'a'; expected a count"),
    "no count of a word": ("a.svm", "a:1\nb:2 c\n", "line 2 holds 'c'; expected word:count"),
    "a count of no word": ("a.svm", "a:1\n:2\n", "line 2 holds ':2'; expected word:count"),
    "text before the words": ("a.svm", "a:1\nsport b:2\n", "line 2 starts with 'sport'; expected word:count, or"),
    "one label": ("a.svm", "a:1\n3 b:2\n", "line 2 has a label; expected labels in all lines or in none"),
    "no label": ("a.svm", "2 a:1\nb:2\n", "line 2 has no label; expected labels in all lines or in none"),
    "a word twice": ("a.txt", "a:1 b:2 a:1\n", "line 1 has the word 'a' twice; expected one count for each word"),
    "a label alone": ("a.svm", "1 a:1\n2\n", "line 2 has no words; expected at least one: leave it out"),
    "a word none of": ("a.txt", "a:1\nb:0\n", "row 2 has no words; expected at least one word: leave it out"),
    "an empty line": ("a.txt", "a:1\n\nb:1\n", "line 2 is empty; expected word:count word:count"),
    "too many of a text": ("a.txt", "a:1\nb:600000 c:500000\n", "row 2 has 1,100,000 words; expected at most"),
    "a query": ("a.svm", "1 qid:3 1:2 2:1\n", "has qid beside the numbers of words, which is no word: take it out"),
    "bytes": ("a.svm", b"a:1\n\xff:2\n", "line 2 is not text in UTF-8"),
    "a long word": ("a.svm", f"{'a' * 2000}:1\n", "; expected word:count."),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_counts_of_files(check: Any) -> None:
    check()


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(FileError) as problem:
        boltz.load_data(path, **{"units": "counts", **options})
    text = str(problem.value)
    assert str(path) in text and "\n" not in text and len(text) < 500
    return text


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_matrices_are_refused_in_a_sentence(tmp_path: Path, what: str) -> None:
    changes, wanted = HOSTILE[what]
    arrays = {name: x for name, x in (GOOD | changes).items() if x is not None}
    np.savez(tmp_path / "a.npz", **arrays, allow_pickle=True) if "object" in what else np.savez(
        tmp_path / "a.npz", **arrays
    )
    assert wanted in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_document_is_refused_in_a_sentence(tmp_path: Path, what: str) -> None:
    name, content, wanted = BAD[what]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert wanted in refused(tmp_path / name)


def test_the_good_matrix_is_read(tmp_path: Path) -> None:
    """The hostile ones differ from it by what they are refused for, and what SciPy allows is allowed."""
    np.savez(tmp_path / "a.npz", **GOOD)
    assert boltz.load_data(tmp_path / "a.npz", units="counts").x[:].tolist() == [[1, 0, 2], [0, 3, 0]]
    longer = {"data": np.array([1, 2, 3, np.nan]), "indices": np.array([0, 2, 1, 99])}  # which SciPy prunes
    np.savez(tmp_path / "b.npz", **GOOD | longer)
    assert boltz.load_data(tmp_path / "b.npz", units="counts").x[:].tolist() == [[1, 0, 2], [0, 3, 0]]


def test_sizes_are_checked_before_memory_is_taken(tmp_path: Path) -> None:
    """Catches an array whose header declares far more than the file can hold."""
    path, huge = tmp_path / "a.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<i8", "fortran_order": False, "shape": (2**31,)})
    with zipfile.ZipFile(path, "w") as archive:
        for name, x in GOOD.items():
            content = io.BytesIO()
            np.save(content, x)
            archive.writestr(f"{name}.npy", huge.getvalue() if name == "data" else content.getvalue())
    assert "'data' is cut short" in refused(path)


@pytest.mark.parametrize("format", ["csc", "coo", "bsr", "dia"])
def test_other_formats_are_refused_with_the_remedy(tmp_path: Path, format: str) -> None:
    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.csr_matrix([[1, 2], [0, 3]]).asformat(format))
    assert f"format '{format}'; expected 'csr': save matrix.tocsr()" in refused(tmp_path / "a.npz")


def test_counts_are_never_guessed(tmp_path: Path) -> None:
    """Without units=counts each way is refused, and the sentence names it."""
    ways = count_files.written(tmp_path, count_files.documents())
    for path, _, _ in ways.values():
        if path.name != "f.npy":
            assert "units='counts'" in refused(path, units=None), path
    for options in ({"levels": 4}, {"units": "bernoulli", "vocabulary": "words"}):
        with pytest.raises(InputError, match=r"leave levels out|names the words of counts"):
            boltz.load_data(tmp_path / "a.npy", **{"units": "counts", **options})


def test_columns_are_not_chosen_of_words(tmp_path: Path) -> None:
    ways = count_files.written(tmp_path, count_files.documents())
    for path, sparse, _ in ways.values():
        if sparse:
            assert "not chosen by --label-column" in refused(path, drop_columns=[1])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("a\nb c\n", "line 2 is 'b c'; expected one word a line"),
        ("a\nb\na\n", "has the word 'a' twice; expected each once"),
        ("zz\n", "line 1 has no word that is in the vocabulary, only such as 'a'"),
        ("", "is empty (0 bytes)"),
    ],
)
def test_vocabularies_that_do_not_fit_are_refused(tmp_path: Path, words: str, wanted: str) -> None:
    (tmp_path / "a.txt").write_text("a:1 b:2\n")
    (tmp_path / "v").write_text(words)
    with pytest.raises(FileError) as problem:
        boltz.load_data(tmp_path / "a.txt", units="counts", vocabulary=tmp_path / "v")
    assert wanted in str(problem.value)
    np.save(tmp_path / "x.npy", [[1, 2, 3]])
    with pytest.raises(FileError):
        boltz.load_data(tmp_path / "x.npy", units="counts", vocabulary=tmp_path / "v")
