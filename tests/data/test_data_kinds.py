"""Catches files of spins, codes and sequences that become other rows than they are, or that are refused in riddles."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_alignments
from checks.quick_alignments import refusal
from support.data_files import npy_bytes

import boltz
from boltz.data import alignments
from boltz.errors import FileError, InputError

CHECKS = [check for name, check in vars(quick_alignments).items() if name.startswith("check_")]
GOOD, SPINS, CODES = ">a\nACDE\n>b\nWY-V\n", "1,-1\n-1,1\n", "0,3\n1,2\n"
BAD: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    # what is wrong: (file, content, options, a piece of the sentence)
    "2 among spins": ("a.csv", "1,-1\n2,1\n", {"units": "spin"}, "row 2, column 1 is 2; expected -1 and 1, the states"),
    "half a spin": ("a.npy", npy_bytes([[1, -1], [0.5, 1]]), {"units": "spin"}, "row 2, column 1 is 0.5; expected -1"),
    "0 and 1 as spins": ("a.csv", "1,0\n0,1\n", {"units": "spin"}, "units='bernoulli' (--units bernoulli), or give 2"),
    "nan among spins": ("a.npy", npy_bytes([[1, np.nan]]), {"units": "spin"}, "row 1, column 2 is nan; expected -1"),
    "truth values as spins": ("a.npy", npy_bytes([[True, False]]), {"units": "spin"}, "column 2 is 0; expected -1 and"),
    "code too large": (
        "a.csv",
        CODES,
        {"units": "categorical:3"},
        "row 1, column 2 is 3; expected whole numbers from 0",
    ),
    "negative code": ("a.csv", SPINS, {"units": "categorical"}, "is -1; expected whole numbers from 0 to 1, the codes"),
    "broken code": ("a.csv", "0,1.5\n1,2\n", {"units": "categorical"}, "is 1.5; expected whole numbers from 0 to 2"),
    "huge code": ("a.csv", "0,1000\n", {"units": "categorical"}, "is 1000; expected whole numbers from 0 to 999"),
    "infinite code": ("a.npy", npy_bytes([[0, np.inf]]), {"units": "categorical"}, "is inf; expected whole numbers"),
    "one state": ("a.csv", CODES, {"units": "categorical:1"}, "need a number of states, 2 to 1000, such as"),
    "more than n": ("a.csv", CODES, {"units": "binomial:2"}, "is 3; expected whole numbers from 0 to 2, the states of"),
    "more than n, remedy": (
        "a.csv",
        CODES,
        {"units": "binomial:2"},
        "units='binomial:3' (--units binomial:3) has them",
    ),
    "half a trial": (
        "a.csv",
        "0,1.5\n1,2\n",
        {"units": "binomial:2"},
        "row 1, column 2 is 1.5; expected whole numbers",
    ),
    "negative sum": (
        "a.csv",
        SPINS,
        {"units": "binomial:2"},
        "row 1, column 2 is -1; expected whole numbers from 0 to",
    ),
    "no trials": ("a.csv", CODES, {"units": "binomial:0"}, "need a number of trials, 1 to 1000, such as"),
    "too many trials": ("a.csv", CODES, {"units": "binomial:1001"}, "need a number of trials, 1 to 1000, such as"),
    "unknown trials": ("a.csv", CODES, {"units": "binomial"}, "need a number of trials, 1 to 1000, such as"),
    "levels of sums": ("a.csv", CODES, {"units": "binomial:3", "levels": 3}, "states as they are: leave levels out"),
    "letters of sums": ("a.csv", CODES, {"units": "binomial:3", "alphabet": "AC"}, "alphabet has 2 letters, which are"),
    "sequences as sums": (
        "a.fasta",
        GOOD,
        {"units": "binomial:3"},
        "has an alphabet of 21 letters, but units is 'binom",
    ),
    "no kind": ("a.csv", CODES, {"units": "potts"}, "units must be of kind bernoulli, spin, gaussian"),
    "a kind that is a number": ("a.csv", CODES, {"units": 4}, "units must be a kind of units among"),
    "a kind of no files": ("a.csv", CODES, {"units": "rectified"}, "got 'rectified': give rows of these as an array"),
    "levels of spins": ("a.csv", SPINS, {"units": "spin", "levels": 2}, "states as they are: leave levels out"),
    "real and infinite": ("a.npy", npy_bytes([[1, np.inf]]), {"units": "gaussian"}, "is inf; expected finite numbers"),
    "letters of spins": ("a.csv", SPINS, {"units": "spin", "alphabet": "AC"}, "alphabet has 2 letters, which are for"),
    "other letters than states": (
        "a.csv",
        CODES,
        {"units": "categorical:4", "alphabet": "AC"},
        "leave one of both out",
    ),
    "one letter": ("a.fa", GOOD, {"alphabet": "A"}, "alphabet must hold 2 or more different letters"),
    "a letter twice": ("a.fa", GOOD, {"alphabet": "ACA"}, "without blanks or '>', got 'A' twice"),
    "a blank letter": ("a.fa", GOOD, {"alphabet": "AC D"}, "without blanks or '>', got ' '"),
    "letters as a list": ("a.fa", GOOD, {"alphabet": ["A", "C"]}, "alphabet must be text, one letter for each state"),
    "no sequences": ("a.fasta", "\n\n", {}, "holds no sequences; expected lines that begin with '>'"),
    "no file": ("a.fasta", "", {}, "is empty"),
    "a name alone": ("a.fasta", ">a\n>b\nACD\n", {}, "line 1: sequence 'a' has no letters"),
    "no name": ("a.fasta", "ACDE\n>b\nACDE\n", {}, "line 1 is 'ACDE'; expected a name after '>'"),
    "other lengths": ("a.fasta", ">a\nACDE\n>b\nACD\n", {}, "line 3: sequence 'b' has 3 letters; expected 4, as in"),
    "other lengths of columns": ("a.a3m", ">a\nACDE\n>b\nACdE\n", {}, "sequence 'b' has 3 letters; expected 4"),
    "a digit": ("a.fasta", ">a\nACDE\n>b\nAC1E\n", {}, "line 4, letter 3 is '1'; expected letters of ACDEFGHIKLMN"),
    "a letter of no alphabet": ("a.fa", ">a\nACG\nTE\n", {"alphabet": "ACGT-"}, "line 3, letter 2 is 'E'; expected"),
    "a gap of no alphabet": ("a.fa", ">a\nAC-T\n", {"alphabet": "ACGT"}, "letter 3 is '-'; expected letters of ACGT"),
    "nucleic acids": ("a.fa", ">a\nACGT\n>b\nAC-N\n", {}, "holds the letters ACGNT alone, which may be of nucleic"),
    "binary": ("a.fasta", b"\x89PNG\r\n\x1a\n", {}, "expected a name after '>' before the first sequence"),
    "no gz": ("a.fasta.gz", GOOD, {}, "cannot be read"),
    "cut gz": ("a.fasta.gz", gzip.compress(GOOD.encode() * 99)[:-9], {}, "cannot be read"),
    "sequences as spins": ("a.fasta", GOOD, {"units": "spin"}, "is an alignment, whose units are categorical:21"),
    "sequences of other states": ("a.fasta", GOOD, {"units": "categorical:4"}, "an alphabet of 21 letters, but units"),
    "a column of sequences": ("a.fasta", GOOD, {"drop_columns": [1]}, "is an alignment, whose sites are no columns"),
    "small letters of A3M": ("a.a3m", GOOD, {"alphabet": "ACab"}, "marks insertions by lower-case letters"),
    "a split of sequences": ("a.fasta", GOOD, {"split": "test"}, "holds one table, so it has no split 'test'"),
    "other letters than the file": (
        "a.npz",
        {"x": np.zeros((2, 2), np.uint8), "alphabet": np.array(["A", "C"])},
        {"alphabet": "CA"},
        "has the alphabet AC, but CA is asked for",
    ),
    "too many letters": (
        "a.npz",
        {"x": np.zeros((2, 2), np.uint8), "alphabet": np.array(["A"] * 200)},
        {},
        "holds 200 letters; expected 2 to 94",
    ),
    "packed bits as spins": (
        "a.npz",
        {"x": np.zeros((2, 1), np.uint8), "n_vars": np.array([5])},
        {"units": "spin"},
        "holds packed bits, which are units of 0 and 1",
    ),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_files_of_every_kind(check: Callable[[], Any]) -> None:
    check()


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_state_is_refused_in_one_sentence(what: str) -> None:
    """The sentence names the file or the argument, what was found and what was expected, in a bearable length."""
    name, content, options, piece = BAD[what]
    said = refusal(name, content, **options)
    assert piece in said and said.endswith(".") and "\n" not in said and len(said) <= 320, said


def test_named_sets_are_of_known_units() -> None:
    with pytest.raises(InputError, match="'mnist-mini' is a named set, whose rows are no spin units"):
        boltz.load_data("mnist-mini", units="spin")
    assert boltz.load_data("mnist-mini", limit=2, units="gaussian").levels == 255


def test_sizes_of_hostile_alignments_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless lines, endless sequences, and text that a small .gz file expands to."""
    monkeypatch.setattr(alignments, "LONGEST_LINE", 1000)
    monkeypatch.setattr(alignments, "MOST_SITES", 3000)
    for name, content, said in (
        ("line.fasta", b">a\n" + b"A" * 2000, "line 2 passes 1000 bytes"),
        ("sites.fasta", b">a\n" + b"ACDEFGHIKL" * 9 + b"\n" + (b"A" * 900 + b"\n") * 4, "more than 3000 letters"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=said):
            boltz.load_data(tmp_path / name)
    monkeypatch.setattr("boltz.data.readers.LIMIT_BYTES", 5000)
    (tmp_path / "bomb.fa.gz").write_bytes(gzip.compress(b">a\nWYVL\n" * 10_000))
    with pytest.raises(FileError, match="or the text 5000 bytes"):
        boltz.load_data(tmp_path / "bomb.fa.gz")


def test_rows_load_again_by_their_request(tmp_path: Path) -> None:
    """What a run keeps of its data gives the same rows, of whatever kind, and of some of them."""
    for name, content, options in (
        ("a.fasta", GOOD, {"limit": 1}),
        ("a.csv", SPINS, {}),
        ("b.csv", CODES, {"units": "categorical"}),
        ("c.csv", CODES, {"units": "gaussian"}),
    ):
        path = tmp_path / name
        path.write_text(content)
        data = boltz.load_data(path, **options)
        again = boltz.load_data(**data.request)
        assert again.fingerprint == data.fingerprint and again.kind == data.kind and again.alphabet == data.alphabet
