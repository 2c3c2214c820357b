"""Checks of counts of words in files: all ways to write the same documents give the same rows, words and machines."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from support.training import plain_train

import boltz
from boltz.data.sparse import SparseRows
from boltz.errors import FileError, InputError
from boltz.evaluation import reading
from boltz.evaluation.documents import of_common_lengths
from boltz.evaluation.rows import measured_rows, rows_given
from boltz.evaluation.trained import trained
from boltz.presets import LayerKinds, completed

WORDS = ("apple", "apple-pie", "bread", "Wine", "ten", "http://a", "é")
PARTS = ("data", "indices", "indptr")
ORDER = tuple(sorted(WORDS))


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the time of a check."""
    with tempfile.TemporaryDirectory() as found:
        yield Path(found)


def documents(rows: int = 30, most: int = 4, seed: int = 0, words: int = len(WORDS)) -> Any:
    """Counts (rows, words) with zeros among them, a word in each row and each column at least once."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, most + 1, (rows, words)) * rng.integers(0, 2, (rows, words))
    x[np.arange(rows), np.arange(rows) % words] += 1
    return x


def lines(x: Any, words: Any, labels: Any = None, seed: int = 2) -> str:
    """Counts (rows, words) as lines of text, the words of each in another order."""
    rng, found = np.random.default_rng(seed), []
    for i, row in enumerate(x):
        pairs = [f"{words[j]}:{row[j]}" for j in rng.permutation(np.flatnonzero(row))]
        found.append(" ".join(([] if labels is None else [str(labels[i])]) + pairs))
    return "\n".join(found) + "\n"


def shuffled(matrix: Any) -> Any:
    """A CSR matrix whose columns are in falling order in each row."""
    for first, last in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        for part in (matrix.indices, matrix.data):
            part[first:last] = part[first:last][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def written(place: Path, x: Any) -> dict[str, tuple[Path, bool, bool]]:
    """Files of the same documents, whose columns are in the order of ORDER: path, whether sparse, whether named."""
    text, table = lines(x, ORDER), "\n".join(",".join(map(str, row)) for row in x.tolist())
    np.save(place / "a.npy", x)
    np.save(place / "f.npy", np.asfortranarray(x.astype(np.float32)))
    np.savez(place / "x.npz", x=x.astype(np.uint16))
    (place / "plain.csv").write_text(table + "\n")
    (place / "named.csv").write_text(",".join(ORDER) + "\n" + table + "\n")
    (place / "tabs.txt").write_text("\t".join(ORDER) + "\n" + table.replace(",", "\t") + "\n")
    scipy.sparse.save_npz(place / "csr.npz", scipy.sparse.csr_matrix(x))
    scipy.sparse.save_npz(place / "small.npz", scipy.sparse.csr_array(x.astype(np.uint8)), compressed=False)
    scipy.sparse.save_npz(place / "floats.npz", shuffled(scipy.sparse.csr_matrix(x.astype(np.float64))))
    (place / "words.txt").write_text(text)
    (place / "words.svm").write_text(text.replace("\n", "\r\n"))
    (place / "words.svmlight.gz").write_bytes(gzip.compress(text.encode()))
    named = {"named.csv", "tabs.txt", "words.txt", "words.svm", "words.svmlight.gz"}
    sparse = {"csr.npz", "small.npz", "floats.npz", "words.txt", "words.svm", "words.svmlight.gz"}
    names = sorted(path.name for path in place.iterdir())
    return {name: (place / name, name in sparse, name in named) for name in names}


def check_all_ways_give_the_same_rows() -> None:
    """Dense tables, matrices and lines have the same rows, fingerprint and words, and matrices stay sparse."""
    x = documents()
    with folder() as place:
        marks = set()
        for name, (path, sparse, named) in written(place, x).items():
            data = boltz.load_data(path, units="counts")
            assert isinstance(data.x, SparseRows) == sparse, name
            assert np.array_equal(data.x[:], x) and data.x.dtype == np.uint8, name
            assert data.kind == "counts" and data.levels is None and data.labels is None, name
            assert data.columns == (ORDER if named else ()), name
            again = boltz.load_data(**data.request)
            assert again.fingerprint == data.fingerprint and again.columns == data.columns, name
            part = boltz.load_data(path, units="counts", limit=7)
            assert np.array_equal(part.x[:], x[:7]) and isinstance(part.x, SparseRows) == sparse, name
            marks.add((data.fingerprint, part.fingerprint))
        assert len(marks) == 1


def check_sums() -> None:
    """Several numbers at one place are added, in a type that holds the sum, of a file and of an array."""
    parts = np.array([200, 100, 3], np.uint8), np.array([1, 1, 0]), np.array([0, 2, 3])
    with folder() as place:
        np.savez(place / "a.npz", data=parts[0], indices=parts[1], indptr=parts[2], shape=[2, 2], format=b"csr")
        found = boltz.load_data(place / "a.npz", units="counts")
        assert found.x[:].tolist() == [[0, 300], [3, 0]] and found.x.dtype == np.uint16
        arrays = _arrays([[0, 3], [500, 0]]).items()
        swapped = {name: x.astype(x.dtype.newbyteorder(">")) for name, x in arrays if name in PARTS}
        np.savez(place / "b.npz", **swapped, shape=[2, 2], format="csr")
        assert boltz.load_data(place / "b.npz", units="counts").x[:].tolist() == [[0, 3], [500, 0]]
    matrix = scipy.sparse.csr_matrix(parts, shape=(2, 2))
    rows = boltz.rbm(2, 1, matrix, units="counts")
    learnt = plain_train(rows, matrix, rule="cd", epochs=1, batch_size=2).model
    assert np.allclose(learnt.rates["v"], 151.5 * np.array([4, 301]) / 305)


def check_vocabulary() -> None:
    """Words are sorted, numbers by their size; a vocabulary orders columns and leaves out others, as is told."""
    with folder() as place:
        text, words = place / "a.txt", place / "words"
        text.write_text("10:1 9:2\n101:3 10:4\n")
        found = boltz.load_data(text, units="counts")
        assert found.columns == ("9", "10", "101") and found.x[:].tolist() == [[2, 1, 0], [0, 4, 3]]
        text.write_text("b:1 a:2 c:5\nd:3 b:4\nb:1\n")
        words.write_text("d\nb\nzz\na\n")
        found = boltz.load_data(text, units="counts", vocabulary=words)
        assert found.columns == ("d", "b", "zz", "a")
        assert found.x[:].tolist() == [[0, 1, 0, 2], [3, 4, 0, 0], [0, 1, 0, 0]]
        assert "1 words that are not in the vocabulary are left out ('c'), 31.25% of all" in found.notes[0]
        other = place / "b.txt"
        other.write_text("c:2 a:1\n")
        found = boltz.load_data(other, units="counts", vocabulary=text)
        assert found.columns == ("a", "b", "c", "d") and found.x[:].tolist() == [[1, 0, 2, 0]]
        assert boltz.load_data(**found.request).x[:].tolist() == [[1, 0, 2, 0]]
        np.save(place / "c.npy", [[1, 2, 3, 4]])
        named = boltz.load_data(place / "c.npy", units="counts", vocabulary=words)
        assert named.columns == ("d", "b", "zz", "a") and named.x.tolist() == [[1, 2, 3, 4]]


def check_labels() -> None:
    """A whole number before the words is the label of its row, unless all of them count the words of their lines."""
    x = documents(5)
    with folder() as place:
        path = place / "a.txt"
        path.write_text(lines(x, ORDER, ["+1", "-1", "3", "-1", "3"]))
        found = boltz.load_data(path, units="counts")
        assert found.labels is not None and found.labels.tolist() == [1, -1, 3, -1, 3]
        assert np.array_equal(found.x[:], x)
        path.write_text(lines(x, ORDER, (x > 0).sum(axis=1)))
        found = boltz.load_data(path, units="counts")
        assert found.labels is None and "LDA-C" in found.notes[0] and np.array_equal(found.x[:], x)
        np.savez(place / "y.npz", **_arrays(x), y=np.arange(5))
        labels = boltz.load_data(place / "y.npz", units="counts").labels
        assert labels is not None and labels.tolist() == [*range(5)]


def _arrays(x: Any) -> dict[str, Any]:
    """The arrays of a CSR matrix as SciPy saves them."""
    m = scipy.sparse.csr_matrix(x)
    return {"data": m.data, "indices": m.indices, "indptr": m.indptr, "shape": m.shape, "format": b"csr"}


def check_one_length() -> None:
    """Documents of one length are all of it."""
    with folder() as place:
        scipy.sparse.save_npz(place / "a.npz", scipy.sparse.csr_matrix([[2, 1], [0, 3]]))
        found = boltz.load_data(place / "a.npz", units="counts:3")
        assert found.kind == "counts:3"
        machine = boltz.rbm(2, 1, found.x[:], units="counts").of_length(3)
        assert np.isfinite(boltz.log_likelihood(machine, found.x[:]).value)
        try:
            boltz.load_data(place / "a.npz", units="counts:4")
        except FileError as problem:
            assert "row 1 has 3 words; expected 4 words, as the machine has" in str(problem)
        else:
            raise AssertionError("documents of another length are taken")


def check_training_from_files() -> None:
    """A machine that learns from a file, sparse or dense, is that which learns from the array, bit for bit."""
    x = documents(60)
    with folder() as place:
        found = []
        for rows in (x, *(boltz.load_data(p, units="counts") for p, _, _ in written(place, x).values())):
            run = plain_train(boltz.rbm(7, 3, rows, units="counts", seed=2), rows, epochs=2, batch_size=20, seed=5)
            found.append(run.model)
        assert found[0].params["edge/v-h1/weight"].any()
        for model in found[1:]:
            assert all(np.array_equal(model.params[n], found[0].params[n]) for n in model.params)


def check_words_of_a_machine() -> None:
    """Documents by their words are refused where no vocabulary says which column is which."""
    machine, options = boltz.rbm(3, 2, units="counts"), {"label_column": None, "drop_columns": ()}
    with folder() as place:
        (place / "a.txt").write_text("a:1 b:2 c:3\n")
        request = {"name_or_path": str(place / "a.txt"), "units": "counts"}
        try:
            reading.with_columns(request, place / "m", [machine], options)
        except InputError as problem:
            assert "does not say which column is which word" in str(problem)
        else:
            raise AssertionError("words are taken in any order")
        (place / "v").write_text("c\nb\na\n")
        data = reading.with_columns({**request, "vocabulary": str(place / "v")}, place / "m", [machine], options)
        assert data.x[:].tolist() == [[3, 2, 1]]


def check_rate_of_documents() -> None:
    """The preset of documents has contrastive divergence, at 0.3 of the rate of other rows."""
    plain = completed("rbm", {}, (10_000, 100), True)
    found = completed("rbm", {}, (10_000, 100), True, units=LayerKinds(("counts", "bernoulli")))
    assert np.isclose(found["learning_rate"], 0.3 * plain["learning_rate"])
    assert (found["rule"], found["k"], found["center"]) == ("cd", "1:5", False)


def check_hostile_matrices() -> None:
    """A matrix whose parts do not fit together, or whose rows are no documents, is refused before it is used."""
    good = _arrays([[1, 0, 2], [0, 3, 0]])
    bad: tuple[dict[str, Any], ...] = (
        {"indices": np.array([0, 3, 1])},
        {"indices": np.array([0, -1, 1])},
        {"indptr": np.array([0, 3, 2])},
        {"indptr": np.array([1, 2, 3])},
        {"indptr": np.array([0, 4, 3])},
        {"indptr": np.array([0, 2, 4])},
        {"indptr": np.array([0, 3, 3])},
        {"data": np.array([1, 2, 0.5])},
        {"data": np.array([1, 2, np.nan])},
        {"shape": np.array([2, 2**40])},
        {"format": b"csc"},
    )
    with folder() as place:
        for changes in ({}, *bad):
            np.savez(place / "a.npz", **(good | changes))
            try:
                found = boltz.load_data(place / "a.npz", units="counts")
            except FileError as problem:
                assert changes and "a.npz" in str(problem), problem
            else:
                assert not changes and found.x[:].tolist() == [[1, 0, 2], [0, 3, 0]], changes


def check_documents_of_common_lengths() -> None:
    """Of the most common lengths, the smaller ones where several are as common, all rows in their order."""
    lengths = [3, 5, 2, 5, 3, 9, 5, 2]
    x = np.array([[n - 1, 1] for n in lengths])
    given = trained(boltz.rbm(2, 1, x, units="counts"))
    rows = measured_rows(given, rows_given(given, x))
    for count, kept in ((1, {5}), (2, {2, 5}), (3, {2, 3, 5}), (9, {2, 3, 5, 9})):
        some, told = of_common_lengths(rows, count)
        assert some.x.sum(axis=1).tolist() == [n for n in lengths if n in kept] == some.data.x.sum(axis=1).tolist()
        assert f"{len(some.x)} of 8 documents are measured" in told and f"{max(kept)} words" in told


def check_evaluation_of_documents() -> None:
    """boltz.evaluate measures documents as boltz.perplexity does, sparse or dense, beside words of training rows."""
    x, others = documents(20, seed=3), documents(40, seed=4)
    machine = boltz.rbm(len(WORDS), 3, others, units="counts", initial_scale=0.5)
    wanted = boltz.perplexity(machine, x, train=others)
    for rows in (x, scipy.sparse.csr_matrix(x)):
        found = boltz.evaluate(machine, rows, train=others)
        assert found.perplexity is not None and found.perplexity.by_document == wanted.by_document
        assert found.perplexity.unigram_by_corpus == wanted.unigram_by_corpus != wanted.by_corpus
        assert found.log_likelihood.value == wanted.log_likelihood.value
        assert f"{wanted.by_corpus:.1f}, of single words (unigram) {wanted.unigram_by_corpus:.1f}" in str(found)
        share = wanted.by_corpus / (wanted.unigram_by_corpus or 1.0)
        assert ("no better than" in found.learnt) == (share >= 1)
    alone = boltz.evaluate(machine, x)
    assert alone.perplexity is not None and alone.perplexity.unigram_by_corpus is None
    assert "its training rows are not known" in alone.learnt
