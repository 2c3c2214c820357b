"""Read documents as lines of text, word:count word:count ..., perhaps with a whole number before them as the label."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from boltz.checks import brief
from boltz.data.columns import WHOLE, label_values
from boltz.data.csr import MOST_COLUMNS
from boltz.data.csv_rows import LONGEST_LINE, text_lines
from boltz.data.dataset import Table
from boltz.data.header import number
from boltz.data.sparse import SparseRows
from boltz.errors import FileError
from boltz.units.counts import LARGEST_COUNT

ENDINGS = (".svm", ".svmlight", ".libsvm")
PAIR = re.compile(r"\S+:[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
LONGEST_WORD = 1000
WANTED = "word:count word:count ..., or a word, in each line"
FEW = 3  # words that a note shows


def are_documents(stream: IO[bytes]) -> bool:
    """Whether the first lines of a text, two where there are two, hold words with counts and nothing else."""
    lines = [stream.readline(LONGEST_LINE).decode("utf-8", "replace").lstrip("\ufeff").split() for _ in range(2)]
    return bool(lines[0]) and all(_are_pairs(line) for line in lines if line)


def _are_pairs(tokens: Sequence[str]) -> bool:
    """Whether there are words with counts, after a whole number or not."""
    pairs = tokens[1:] if WHOLE.fullmatch(tokens[0]) else tokens
    return bool(pairs) and all(map(PAIR.fullmatch, pairs))


def read_documents(stream: IO[bytes], place: str, limit: int, words: Sequence[str] | None = None) -> Table:
    """The counts (rows, words), sparse, of documents, a line each, with labels, the words, and notes; FileError.

    words: those of the columns, in order; others are left out, which a note says. None takes all words of the text in
    sorted order, numbers by their size.
    """
    rows = _Rows(place, words)
    for line in text_lines(stream, place, limit, WANTED):
        rows.add(line)
    if not rows.lengths:
        raise FileError(f"{place} holds no documents.")
    return rows.table()


def read_words(stream: IO[bytes], place: str, limit: int) -> tuple[str, ...]:
    """The words of a text, one a line, in their order; raises FileError."""
    words: list[str] = []
    for line in text_lines(stream, place, limit, WANTED):
        word = line.strip()
        if len(word.split()) > 1 or len(word) > LONGEST_WORD:
            raise FileError(f"{place}, line {len(words) + 1} is {word!r:.40}; expected one word a line.")
        words.append(word)
    if len(set(words)) < len(words):
        twice = next(word for i, word in enumerate(words) if word in words[:i])
        raise FileError(f"{place} has the word {twice!r:.40} twice; expected each once.")
    if not 0 < len(words) <= MOST_COLUMNS:
        raise FileError(f"{place} holds {len(words):,} words; expected 1 to {MOST_COLUMNS:,}.")
    return tuple(words)


class _Rows:
    """The documents of a text as they are read: the number of each word in order of its first use, and its count."""

    def __init__(self, place: str, words: Sequence[str] | None) -> None:
        self.place, self.fixed = place, words is not None
        self.numbers: dict[str, int] = {word: i for i, word in enumerate(words or ())}
        self.columns, self.counts = array("q"), array("d")
        self.starts, self.lengths = array("q", [0]), array("q")  # where rows start; words of each line
        self.labels: list[str] = []
        self.outside: dict[str, float] = {}  # words that are in no column, and how often they are there
        self.total = 0.0

    def add(self, line: str) -> None:
        """Take the document of the next line; raises FileError."""
        tokens = line.split()
        labelled = ":" not in tokens[0]
        if labelled and not WHOLE.fullmatch(tokens[0]):
            raise self._wrong(f"starts with {tokens[0]!r:.40}", "word:count, or a whole number as the label")
        if self.lengths and labelled != bool(self.labels):
            raise self._wrong(f"has {'a' if labelled else 'no'} label", "labels in all lines or in none")
        if labelled:
            self.labels.append(tokens.pop(0))
        found = dict(map(self._pair, tokens))
        if len(found) < len(tokens):
            words = [token.rpartition(":")[0] for token in tokens]
            twice = next(word for i, word in enumerate(words) if word in words[:i])
            raise self._wrong(f"has the word {twice!r:.40} twice", "one count for each word: add them up")
        if not found:
            raise self._wrong("has no words", "at least one: leave it out")
        self._keep(found)

    def _keep(self, found: Mapping[str, float]) -> None:
        """Put the words of a line with their counts into the matrix; raises FileError."""
        before = len(self.columns)
        for word, count in found.items():
            self.total += count
            column = self.numbers.get(word) if self.fixed else self.numbers.setdefault(word, len(self.numbers))
            if column is None:
                self.outside[word] = self.outside.get(word, 0.0) + count
            else:
                self.columns.append(column)
                self.counts.append(count)
        if self.fixed and len(self.columns) == before:
            raise self._wrong(
                f"has no word that is in the vocabulary, only such as {next(iter(found))!r:.40}",
                "at least one: leave it out",
            )
        if len(self.numbers) > MOST_COLUMNS:
            raise FileError(f"{self.place} holds more than {MOST_COLUMNS:,} different words.")
        self.starts.append(len(self.columns))
        self.lengths.append(len(found))

    def _pair(self, token: str) -> tuple[str, float]:
        """The word and the count of a piece of a line; raises FileError."""
        word, _, text = token.rpartition(":")
        if not word or len(word) > LONGEST_WORD:
            raise self._wrong(f"holds {token!r:.40}", "word:count")
        count = float(text) if text.isascii() and text.isdecimal() else number(text)
        if count is None or not (0 <= count <= LARGEST_COUNT and count == int(count)):
            raise self._wrong(
                f"has {text!r:.20} of the word {word!r:.40}", f"a count, a whole number from 0 to {LARGEST_COUNT:,}"
            )
        return word, count

    def _wrong(self, what: str, wanted: str) -> FileError:
        return FileError(f"{self.place}, line {len(self.lengths) + 1} {what}; expected {wanted}.")

    def table(self) -> Table:
        """All documents as a table; raises FileError."""
        from scipy.sparse import csr_array

        words = list(self.numbers)
        order = np.arange(len(words)) if self.fixed else _sorted(words, self.place)
        places = np.empty(len(words), np.int32)
        places[order] = np.arange(len(words))
        parts = np.array(self.counts), places[np.array(self.columns, np.int64)], np.array(self.starts)
        matrix = csr_array(parts, shape=(len(self.lengths), len(words)))
        matrix.sort_indices()
        matrix.eliminate_zeros()
        counted = self.labels == [str(length) for length in self.lengths]
        labels = None if counted or not self.labels else label_values(self.labels, "the first column", self.place)
        vocabulary = tuple(words[i] for i in order.tolist())
        notes = (f"{self.place}: {'; '.join(self._notes(counted, labels is not None, len(words)))}.",)
        return Table(SparseRows(matrix), labels=labels, notes=notes, words=vocabulary)

    def _notes(self, counted: bool, labels: bool, words: int) -> list[str]:
        """What is to be said of how the text was read."""
        kept = " of the vocabulary" if self.fixed else ""
        notes = [f"{len(self.lengths):,} documents of {words:,} {'' if self.fixed else 'different '}words{kept}"]
        if counted:
            notes.append("the number before each is that of its words, as in the format of LDA-C, and no label")
        if labels:
            notes.append("the number before each is its label")
        if self.outside:
            shown = ", ".join(brief(word, 20) for word in list(self.outside)[:FEW])
            share = sum(self.outside.values()) / max(self.total, 1.0)
            more = ", ..." if len(self.outside) > FEW else ""
            notes.append(
                f"{len(self.outside):,} words that are not in the vocabulary are left out ({shown}{more}), {share:.2%} "
                "of all"
            )
        return notes


def _sorted(words: Sequence[str], place: str) -> NDArray[np.int64]:
    """The numbers of words in sorted order: by size where all of them are numbers; raises FileError."""
    plain = [word.isascii() and word.isdecimal() for word in words]
    if "qid" in words and sum(plain) == len(words) - 1:
        raise FileError(f"{place} has qid beside the numbers of words, which is no word: take it out.")
    key: Any = (lambda i: (int(words[i]), words[i])) if all(plain) else words.__getitem__
    return np.array(sorted(range(len(words)), key=key), np.int64)
