"""Catches `--levels` forgotten by the run, its machine or a later command, so that whole numbers are read otherwise."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import SMALL, invoke, result_of

import boltz

GENERATOR = np.random.default_rng(5)
GENES = GENERATOR.integers(0, 3, (60, 6))
LATER = GENERATOR.integers(0, 2, (40, 6))  # which says nothing of a 2
KNOWN = np.array([1, 1, 1, 0, 1, 0])
DIRECTED = ("--layers", "3", "--epochs", "1", "--no-evaluate")


@pytest.fixture(scope="session")
def genes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train, valid and test rows of counts, the latter without a 2, and labels."""
    path = tmp_path_factory.mktemp("data") / "genes.npz"
    parts = {"train": GENES, "valid": LATER[:20], "test": LATER[20:]}
    np.savez(path, **{f"x_{n}": x for n, x in parts.items()}, **{f"y_{n}": x[:, 0] % 2 for n, x in parts.items()})
    return path


@pytest.fixture(scope="session")
def genetic(tmp_path_factory: pytest.TempPathFactory, genes: Path) -> Path:
    """A small run on counts."""
    path = tmp_path_factory.mktemp("runs") / "genetic"
    found = invoke("train", "rbm", "--data", genes, "--levels", 2, *SMALL, "--out", path)
    assert found.exit_code == 0, found.stderr
    return path


@pytest.fixture
def later(alone: Path) -> Path:
    np.save("later.npy", LATER)
    return Path("later.npy")


def refusal(*words: object) -> str:
    found = invoke(*words)
    assert found.exit_code == 2 and found.stdout == "", found.output
    text: str = found.stderr.removeprefix("Error: ").rstrip("\n")
    assert text.endswith(".") and "\n" not in text and len(text) <= 400
    return text


def test_counts_are_refused_without_levels_by_the_remedy(genes: Path) -> None:
    said = refusal("train", "rbm", "--data", genes, *SMALL)
    assert "expected whole numbers 0/1, or grey bytes (uint8): give levels=2 (--levels 2), or divide by" in said
    assert "(--levels 2)" in said and re.search(r"row 1, column \d is 2;", said)


def test_a_run_keeps_its_levels(genetic: Path) -> None:
    description = tomllib.loads((genetic / "run.toml").read_text())
    assert description["data"]["load"]["levels"] == description["model"]["levels"] == boltz.load(genetic).levels == 2
    assert description["held_out"]["load"]["levels"] == 2, "the rows of 0 and 1 beside which no 2 stands"
    assert invoke("train", "--resume", genetic).exit_code == 0
    assert result_of("info", genetic)["data"]["load"]["levels"] == 2


def test_later_rows_are_divided_as_those_of_the_run(genetic: Path, later: Path) -> None:
    model = boltz.load(genetic)
    result_of("features", genetic, "--data", later, "--out", "f.npy")
    assert np.array_equal(np.load("f.npy"), boltz.features(model, LATER / 2))
    assert not np.array_equal(np.load("f.npy"), boltz.features(model, LATER.astype(float)))
    result_of("features", genetic, "--data", later, "--levels", 2, "--out", "same.npy")
    assert np.array_equal(np.load("same.npy"), np.load("f.npy"))
    result_of("features", genetic, "--data", later, "--levels", 1, "--out", "bits.npy")
    assert np.array_equal(np.load("bits.npy"), boltz.features(model, LATER.astype(float)))
    np.save("later.npy", LATER / 2)
    result_of("features", genetic, "--data", later, "--out", "floats.npy")
    assert np.array_equal(np.load("floats.npy"), np.load("f.npy"))


def test_rows_of_the_run_itself_are_those_it_saw(genetic: Path) -> None:
    for split, x in (("train", GENES), ("test", LATER[20:])):
        result_of("features", genetic, "--split", split, "--out", f"{split}.npy")
        assert np.array_equal(np.load(f"{split}.npy"), boltz.features(boltz.load(genetic), x / 2))


def test_known_units_come_back_as_they_were_given_on_the_scale_of_the_units(genetic: Path, later: Path) -> None:
    np.save("known.npy", KNOWN)
    result_of("complete", genetic, "--data", later, "--mask", "known.npy", "--sweeps", 4, "--out", "c.npy")
    found = np.load("c.npy")
    assert np.array_equal(found[:, KNOWN == 1], LATER[:, KNOWN == 1] / 2)
    assert np.ptp(found[:, KNOWN == 0]) > 0


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("features", ()),
        ("complete", ("--mask", "random:0.5", "--sweeps", 2)),
        ("evaluate", ()),
        ("compare", ()),
        ("diagnose", ("--sweeps", 20)),
        ("sample", ("--start", "data", "--sweeps", 2)),
        ("classify", ()),
        ("autoencode", ()),
    ],
)
def test_every_command_on_data_refuses_other_levels(
    command: str, more: tuple[Any, ...], genetic: Path, genes: Path
) -> None:
    said = refusal(command, genetic, "--data", genes, "--levels", 3, *more)
    assert said.startswith(
        "--levels is 3, but the machine divides whole numbers by 2: leave it out, or give --levels 1"
    )


def test_measures_of_later_rows_are_those_of_the_divided_ones(genetic: Path, later: Path) -> None:
    """evaluate, compare and diagnose see the same rows with and without --levels, and for floats of the same value."""
    np.save("floats.npy", LATER / 2)
    wanted = boltz.log_likelihood(boltz.load(genetic), LATER / 2).value
    for words in (("--data", later), ("--data", later, "--levels", 2), ("--data", "floats.npy")):
        more = ("--split", "train", "--binarize", "none")
        found = result_of("evaluate", genetic, *words, *more)
        assert found["log_likelihood"]["value"] == pytest.approx(wanted, rel=1e-6)
        found = result_of("compare", genetic, *words, *more, "--out", "compared", "--force")
        assert found["models"][0]["log_likelihood"]["value"] == pytest.approx(wanted, rel=1e-6)


def test_networks_tuned_from_a_run_keep_its_levels(genetic: Path, genes: Path, later: Path) -> None:
    """Training rows, test rows and later ones of a classifier are divided alike; so are those of an autoencoder."""
    assert invoke("classify", genetic, "--data", genes, "--epochs", 1, "--out", "tuned").exit_code == 0
    network = boltz.load_network("tuned")
    assert network.levels == 2 and tomllib.loads(Path("tuned/run.toml").read_text())["test"]["load"]["levels"] == 2
    assert invoke("classify", "--resume", "tuned").exit_code == 0
    assert invoke("autoencode", genetic, "--data", later, "--epochs", 1, "--out", "coded").exit_code == 0
    assert invoke("autoencode", "coded", "--data", later, "--out", "again").exit_code == 0
    assert boltz.load_network("coded").levels == 2


@pytest.mark.parametrize("kind", ["vae", "sbn"])
def test_directed_machines_keep_levels_and_hand_them_on(kind: str, genes: Path, later: Path) -> None:
    words = ("train", kind, *DIRECTED)
    assert invoke(*words, "--data", genes, "--levels", 2, "--out", "first").exit_code == 0
    assert invoke("train", kind, "--epochs", 1, "--init", "first", "--data", later, "--out", "second").exit_code == 0
    assert boltz.load("second").levels == 2 == boltz.load("first").levels
    assert "is 3, but the machine divides whole numbers by 2" in refusal(
        "train", kind, "--init", "first", "--data", later, "--levels", 3
    )


def test_floats_of_whole_numbers_are_divided_where_the_command_says_so() -> None:
    """As numpy.save writes the digits of scikit-learn; the run finds them again, and so do its test rows."""
    digits = GENERATOR.integers(0, 17, (50, 6)).astype(float)
    np.savez("digits.npz", x_train=digits, x_test=digits[:10])
    assert "(--levels 16)" in refusal("train", "rbm", "--data", "digits.npz", *SMALL)
    assert invoke("train", "rbm", "--data", "digits.npz", "--levels", 16, *SMALL, "--out", "digital").exit_code == 0
    result_of("features", "digital", "--split", "test", "--out", "f.npy")
    assert np.array_equal(np.load("f.npy"), boltz.features(boltz.load("digital"), digits[:10] / 16))


def test_dark_test_rows_beside_grey_training_rows_are_grey() -> None:
    """No byte of them reaches 128, so that alone they would be refused."""
    bright = GENERATOR.integers(0, 256, (50, 6)).astype(np.uint8)
    np.savez("grey.npz", x_train=bright, x_test=bright[:10] // 5)
    assert invoke("train", "rbm", "--data", "grey.npz", *SMALL, "--out", "grey").exit_code == 0
    result_of("features", "grey", "--split", "test", "--out", "f.npy")
    wanted = boltz.features(boltz.load("grey"), (bright[:10] // 5) / np.float32(255))
    assert np.array_equal(np.load("f.npy"), wanted)


def test_data_are_described_with_their_levels(genes: Path) -> None:
    assert "--levels would do nothing" in refusal("data", "--levels", 2)
    assert "(--levels 2)" in refusal("data", genes)
    found = result_of("data", genes, "--levels", 2)
    assert found["levels"] == 2 and found["splits"]["train"]["mean"] == pytest.approx(GENES.mean() / 2)
    assert "whole numbers from 0 to 2" in invoke("data", genes, "--levels", 2).stdout


@pytest.mark.parametrize("levels", [0, -3, 65536])
def test_levels_out_of_range_are_refused(levels: int, genes: Path) -> None:
    assert "levels must be a whole number of at least 1 and at most 65535" in refusal(
        "train", "rbm", "--data", genes, "--levels", levels, *SMALL
    )
