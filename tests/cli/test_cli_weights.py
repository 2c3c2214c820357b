"""Catches weights of rows that `boltz train` reads wrongly, loses, or takes where they mean nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

import boltz
from boltz.training.description import description_at

ALIGNED = ["ACGT", "ACGT", "ACGA", "TTTT", "GGCA", "CATG"] * 5 + ["AAAA", "CCCC"]
LETTERS = ("--data", "x.fasta", "--alphabet", "ACGT-")
WORDS = ("--layers", "2", "--epochs", "3", "--no-evaluate")


@pytest.fixture
def aligned(alone: Path) -> Path:
    Path("x.fasta").write_text("".join(f">{i}\n{row}\n" for i, row in enumerate(ALIGNED)))
    return alone


def test_weights_are_those_of_the_library(aligned: Path) -> None:
    """Of similar sequences, and from files with a header or without; a resumed run keeps them."""
    data = boltz.load_data("x.fasta", units="categorical", alphabet="ACGT-")
    weights = boltz.sequence_weights(data, 0.75)
    np.save("w.npy", weights)
    Path("w.csv").write_text("\n".join(map(repr, weights.tolist())))
    Path("headed.csv").write_text("\n".join(["weight", *map(repr, weights.tolist())]))
    machines = []
    for i, words in enumerate(("similarity:0.75", "w.npy", "w.csv", "headed.csv")):
        done = invoke("train", "rbm", *LETTERS, "--weights", words, *WORDS, "--out", f"run{i}")
        assert done.exit_code == 0, done.stderr
        effective = weights.sum() ** 2 / (weights**2).sum()
        assert f"as much as {effective:,.0f} of 32 rows alike" in done.stderr
        kept = description_at(Path(f"run{i}")).extra["weights"]
        assert kept["of"] == words and kept["effective"] == pytest.approx(effective)
        machines.append(boltz.load(f"run{i}").arena)
    assert all((each == machines[0]).all() for each in machines)
    assert invoke("train", "rbm", *LETTERS, *WORDS, "--out", "alike").exit_code == 0
    assert (boltz.load("alike").arena != machines[0]).any()
    assert invoke("train", "--resume", "run0").exit_code == 0
    short = invoke("train", "rbm", *LETTERS, "--limit", "20", "--weights", "w.csv", *WORDS, "--out", "few")
    assert short.exit_code == 0, short.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("w.csv", "must hold a number for each of 32 rows of x.fasta, got 3"),
        ("wide.csv", "must hold one column"),
        ("minus.npy", "numbers of at least 0"),
        ("nan.npy", "numbers of at least 0"),
        ("zeros.npy", "not all 0"),
        ("complex.npy", "plain numbers"),
        ("none.csv", "none.csv"),
        ("similarity:2", "similarity must be"),
        ("similarity:much", "similarity must be a number"),
        ("similarity:nan", "similarity must be"),
        ("similarity:", "similarity must be a number"),
    ],
)
def test_weights_that_are_refused(aligned: Path, words: str, told: str) -> None:
    """Each in one sentence, before anything is made."""
    Path("w.csv").write_text("1\n0.5\n2\n")
    Path("wide.csv").write_text("1,2\n" * 32)
    for name, value in (("minus", -1.0), ("nan", np.nan), ("zeros", 0.0), ("complex", 1j)):
        np.save(f"{name}.npy", np.full(32, value))
    done = invoke("train", "rbm", *LETTERS, "--weights", words, *WORDS, "--out", "run")
    assert done.exit_code == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert not Path("run").exists()


def test_similarity_is_of_sequences(alone: Path) -> None:
    """Rows of 0 and 1 have no sites whose states could agree."""
    np.save("bits.npy", np.random.default_rng(0).integers(0, 2, (40, 5)))
    done = invoke("train", "rbm", "--data", "bits.npy", "--weights", "similarity:0.8", *WORDS, "--out", "run")
    assert done.exit_code == 2 and "rows of categorical units" in done.stderr
