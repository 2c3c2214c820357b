"""Catches labels or columns of a table mixed up, and validation or test rows taken from the wrong file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke, result_of

import boltz

ROWS, OTHERS, UNITS = 60, 20, 6
NAMES = [f"pixel {i}" for i in range(UNITS)]
COLUMNS = ("--label-column", "kind", "--drop-column", "age", "--drop-column", 9)
SHORT = ("--layers", 3, "--epochs", 2, "--batch-size", 20, "--chains", 10)


def bits(rows: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 2, (rows, UNITS))


def write(name: str, x: Any) -> Path:
    """A table with units, an age, words and a number that counts the rows."""
    lines = [",".join([*NAMES, "age", "kind", "id"])]
    lines += [f"{','.join(map(str, row))},{20 + 7 * i % 50},{'ab'[row[0]]},{i}" for i, row in enumerate(x.tolist())]
    Path(name).write_text("\n".join(lines) + "\n")
    return Path(name)


@pytest.fixture(autouse=True)
def tables(alone: Path) -> None:
    for seed, name in enumerate(("train", "valid", "test")):
        x = bits(ROWS if name == "train" else OTHERS + seed, seed)
        write(f"{name}.csv", x)
        np.save(f"{name}.npy", x)
    boltz.rbm(UNITS, 3).save("m.safetensors")


def test_a_run_keeps_its_columns_and_the_files_of_its_rows() -> None:
    words = ("--data", "train.csv", "--valid", "valid.csv", "--test", "test.csv", *COLUMNS)
    found = invoke("train", "rbm", *SHORT, *words, "--out", "r")
    assert found.exit_code == 0, found.stderr
    assert (
        found.stderr.count("the first line names the columns") == 3
        and "column 'kind' (8) holds the labels" in found.stderr
    )
    assert boltz.load("r").units["v"] == UNITS
    description = tomllib.loads(Path("r/run.toml").read_text())
    for entry, name in (("data", "train"), ("held_out", "valid"), ("valid", "valid"), ("test", "test")):
        load = description[entry]["load"]
        assert load["name_or_path"] == str(Path(f"{name}.csv").resolve())
        assert load["label_column"] == "kind" and load["drop_columns"] == ["age", "9"]
    kept = json.loads(Path("r/test.json").read_text())["test"]
    assert kept["rows"] == OTHERS + 2 and kept["data"] == "test"
    wanted = boltz.log_likelihood(boltz.load("r"), bits(OTHERS + 2, 2), boltz.exact_log_z(boltz.load("r")))
    assert kept["log_likelihood"] == wanted.as_dict()
    for split, name, rows in ((None, "test", OTHERS + 2), ("valid", "valid", OTHERS + 1), ("train", "train", ROWS)):
        again = result_of("evaluate", "r", *(() if split is None else ("--split", split)))
        assert (again["rows"], again["split"], again["data"]) == (rows, split or "test", name)
    assert result_of("train", "rbm", "--init", "r", "--epochs", 0, "--out", "i")["test"]["rows"] == OTHERS + 2
    assert tomllib.loads(Path("i/run.toml").read_text())["data"]["load"] == description["data"]["load"]
    assert result_of("classify", "r", "--epochs", 1, "--out", "k")["test"]["rows"] == OTHERS + 2
    Path("r/test.json").unlink()
    assert result_of("train", "--resume", "r")["test"]["log_likelihood"] == wanted.as_dict()
    assert result_of("compare", "r", "--out", "c")["models"][0]["log_likelihood"]["value"] == pytest.approx(
        wanted.value
    )


def test_a_resumed_run_reads_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of data and held_out come from run.toml, and the end is that of the run in one piece."""
    words = ("train", "rbm", *SHORT, "--data", "train.csv", "--valid", "valid.csv", *COLUMNS, "--no-evaluate")
    assert invoke(*words, "--out", "whole").exit_code == 0

    def stopping(progress: object) -> Any:
        def stop(record: dict[str, Any]) -> None:
            raise KeyboardInterrupt

        return stop

    with monkeypatch.context() as patch:
        patch.setattr("boltz.cli.train.watcher", stopping)
        assert invoke(*words, "--out", "cut").exit_code == 75
    assert not Path("cut/model.safetensors").exists()
    assert invoke("train", "--resume", "cut").exit_code == 0
    np.testing.assert_array_equal(boltz.load("cut").arena, boltz.load("whole").arena)


def test_a_file_of_one_table_is_the_data() -> None:
    wanted = boltz.log_likelihood(boltz.load("m.safetensors"), bits(OTHERS + 2, 2))
    for file, more in (("test.npy", ()), ("test.csv", COLUMNS)):
        found = result_of("evaluate", "m.safetensors", "--data", file, *more)
        assert (found["rows"], found["split"]) == (OTHERS + 2, None)
        assert found["log_likelihood"]["value"] == pytest.approx(wanted.value, rel=1e-6)
        compared = result_of("compare", "m.safetensors", "--data", file, *more, "--out", f"of {file}")
        assert (compared["rows"], compared["split"]) == (OTHERS + 2, None)
        assert result_of("evaluate", "m.safetensors", "--data", file, *more, "--split", "train")["rows"] == OTHERS + 2
        for command in ("evaluate", "compare", "features", "diagnose"):
            refused = invoke(command, "m.safetensors", "--data", file, *more, "--split", "test")
            assert refused.exit_code == 2 and f"{file} holds one table, so it has no split 'test'" in refused.stderr
    text = invoke("evaluate", "m.safetensors", "--data", "test.npy").stdout
    assert "(test, binarize none)" in text


def test_the_rows_a_run_learnt_from_are_no_test_rows_in_silence() -> None:
    assert invoke("train", "rbm", *SHORT, "--data", "train.npy", "--out", "r").exit_code == 0
    found = invoke("evaluate", "r")
    assert found.exit_code == 2 and "was trained on rows of" in found.stderr and "--data FILE" in found.stderr
    assert result_of("evaluate", "r", "--split", "train")["rows"] == ROWS
    assert result_of("evaluate", "r", "--data", "test.npy")["rows"] == OTHERS + 2


def test_features_and_the_rest_take_columns() -> None:
    found = result_of("features", "m.safetensors", "--data", "test.csv", *COLUMNS, "--out", "f.npz")
    with np.load("f.npz") as held:
        assert held["labels"].tolist() == ["ab"[row[0]] for row in bits(OTHERS + 2, 2)]
        assert held["features"].shape == (OTHERS + 2, 3) and found["labels"] is True
    same = result_of("features", "m.safetensors", "--data", "test.npy", "--out", "g.npz")
    with np.load("f.npz") as one, np.load("g.npz") as other:
        np.testing.assert_array_equal(one["features"], other["features"])
    assert same["labels"] is False
    assert (
        result_of("complete", "m.safetensors", "--data", "test.csv", *COLUMNS, "--mask", "random:0.5")["rows"]
        == OTHERS + 2
    )
    assert result_of("diagnose", "m.safetensors", "--data", "test.csv", *COLUMNS, "--sweeps", 100)["rows"] == OTHERS + 2
    words = ("sample", "m.safetensors", "--sweeps", 2, "--start", "data", "--data", "test.csv", *COLUMNS)
    assert invoke(*words).exit_code == 0
    assert result_of("data", "test.csv", *COLUMNS)["splits"]["train"]["labels"] is True


def test_a_classifier_learns_the_words_of_a_column() -> None:
    words = ("--data", "train.csv", "--test", "test.csv", *COLUMNS, "--epochs", 3, "--validation", 0)
    found = result_of("classify", "m.safetensors", *words, "--out", "c")
    assert found["test"]["rows"] == OTHERS + 2 and found["test"]["error"] is not None
    description = tomllib.loads(Path("c/run.toml").read_text())
    assert description["data"]["load"]["label_column"] == description["test"]["load"]["label_column"] == "kind"
    Path("c/test.json").unlink()
    assert result_of("classify", "--resume", "c")["test"] == found["test"]
    applied = result_of("classify", "c", "--data", "valid.csv", *COLUMNS, "--out", "d")
    assert applied["test"]["rows"] == OTHERS + 1 and applied["test"]["error"] is not None


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        (
            ("train", "rbm", *SHORT, "--data", "train.csv"),
            "column 'kind' (8) is 'b'; expected a number: use --label-column kind",
        ),
        (("train", "rbm", *SHORT, "--data", "train.csv", "--label-column", "kind"), "column 'id' (9) would be a unit"),
        (
            ("train", "rbm", *SHORT, "--data", "train.csv", "--drop-column", "id", "--label-column", "kind"),
            "column 'age' (7)",
        ),
        (("train", "rbm", *SHORT, "--data", "train.npy", "--label-column", "kind"), "no column 'kind'"),
        (("train", "rbm", *SHORT, "--data", "train.npy", "--test", "five.npy"), "five.npy has 5 units a row"),
        (("train", "rbm", *SHORT, "--data", "train.npy", "--valid", "none.npy"), "none.npy does not exist"),
        (("train", "--resume", "r", "--test", "test.npy"), "takes no --test"),
        (("train", "--resume", "r", "--drop-column", "a"), "takes no --drop-column"),
        (("train", "rbm", *SHORT, "--data", "mnist-mini", "--drop-column", "1"), "named set"),
        (("classify", "m.safetensors", "--data", "train.csv", *COLUMNS, "--labels", "l.csv"), "give one of them"),
        (("data", "--label-column", "y"), "--label-column would do nothing"),
        (("sample", "m.safetensors", "--drop-column", "y"), "--drop-column would do nothing"),
    ],
)
def test_what_does_not_fit_is_told(words: tuple[object, ...], piece: str) -> None:
    np.save("five.npy", bits(5, 0)[:, :5])
    found = invoke(*words)
    assert found.exit_code == 2 and piece in found.stderr, found.stderr
    assert not Path("runs").exists()


def test_runs_with_other_test_rows_need_a_choice() -> None:
    for name in ("valid", "test"):
        words = ("--data", "train.npy", "--test", f"{name}.npy", "--no-evaluate", "--out", name[0])
        assert invoke("train", "rbm", *SHORT, *words).exit_code == 0
    found = invoke("compare", "v", "t")
    assert found.exit_code == 2 and "differ in the columns or the test rows" in found.stderr
    assert result_of("compare", "v", "t", "--data", "test.npy", "--out", "c")["rows"] == OTHERS + 2


def test_columns_in_another_order_are_refused(tmp_path: Path) -> None:
    """The names of the columns of training are kept: the same ones in another order would be read as others."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, (30, 4))

    def write(name: str, names: str) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([names, *(",".join(map(str, row)) for row in bits)]) + "\n")
        return path

    words = ("--layers", 2, "--epochs", 1, "--betas", 20)
    train, other, new = (write(f"{n}.csv", names) for n, names in enumerate(("p,q,r,s", "q,p,r,s", "p,q,r,t")))
    assert invoke("train", "rbm", "--data", train, "--test", train, *words, "--out", "r").exit_code == 0
    for refused in (
        invoke("evaluate", "r", "--data", other),
        invoke("features", "r", "--data", other, "--out", "f.npy"),
        invoke("train", "rbm", "--data", train, "--valid", other, *words, "--out", "s"),
    ):
        assert refused.exit_code == 2 and "in another order: put them in the same order" in refused.stderr
    renamed = invoke("evaluate", "r", "--data", new)
    assert renamed.exit_code == 0 and "has columns with other names than those that r was trained on" in renamed.stderr
    same = invoke("evaluate", "r", "--data", train)
    assert same.exit_code == 0 and "other names" not in same.stderr


def test_another_file_has_the_columns_of_the_run() -> None:
    """Labels and columns left out in training are left out of other files, too, by all commands."""
    assert invoke("train", "rbm", *SHORT, "--data", "train.csv", *COLUMNS, "--out", "r").exit_code == 0
    wanted = boltz.log_likelihood(boltz.load("r"), bits(OTHERS + 2, 2), boltz.exact_log_z(boltz.load("r")))
    assert result_of("evaluate", "r", "--data", "test.csv")["log_likelihood"] == wanted.as_dict()
    compared = result_of("compare", "r", "--data", "test.csv", "--out", "c")
    assert compared["models"][0]["log_likelihood"]["value"] == pytest.approx(wanted.value)
    assert result_of("features", "r", "--data", "test.csv", "--out", "f.npz")["labels"] is True
    tuned = result_of("classify", "r", "--data", "train.csv", "--test", "test.csv", "--epochs", 1, "--out", "k")
    assert tuned["test"]["rows"] == OTHERS + 2 and tuned["test"]["error"] is not None
    assert result_of("classify", "k", "--data", "valid.csv", "--out", "d")["test"]["error"] is not None
    again = ("train", "rbm", "--init", "r", "--data", "valid.csv", "--test", "test.csv", "--epochs", 0, "--out", "i")
    assert result_of(*again)["test"]["rows"] == OTHERS + 2
    loaded = tomllib.loads(Path("i/run.toml").read_text())["data"]["load"]
    assert loaded["label_column"] == "kind" and loaded["drop_columns"] == ["age", "9"]


def test_a_file_without_the_columns_of_the_run_is_taken_or_refused_by_name() -> None:
    """The units alone are rows, and stderr says so; what has neither is refused by the column that it lacks."""
    assert invoke("train", "rbm", *SHORT, "--data", "train.csv", *COLUMNS, "--out", "r").exit_code == 0
    found = invoke("evaluate", "r", "--data", "test.npy", "--json")
    assert found.exit_code == 0 and json.loads(found.stdout)["rows"] == OTHERS + 2
    assert "test.npy is taken without the columns that r left out of its data ('kind', 'age', '9')." in found.stderr
    np.savetxt("odd.csv", bits(9, 4)[:, :5], "%d", ",", header="a,b,c,d,e", comments="")
    refused = invoke("evaluate", "r", "--data", "odd.csv")
    assert refused.exit_code == 2 and "odd.csv has no column 'age' for --drop-column" in refused.stderr
    assert "r was trained so; name those of this file." in refused.stderr
    other = ("--label-column", "age", "--drop-column", "kind", "--drop-column", 9)
    for words in ((), ("--data", "test.csv"), ("--data", "train.csv")):
        asked = () if words else ("--split", "train")
        assert invoke("features", "r", *words, *asked, *other, "--out", "f.npz", "--force").exit_code == 0, words
        with np.load("f.npz") as held:
            assert held["labels"][0] == 20, "what is said of a column counts before what the run says"
    said = invoke("features", "r", "--split", "train", "--label-column", "age", "--out", "g.npz").stderr
    assert "column 'kind' (8) is 'b'; expected a number: use --label-column kind" in said


def test_a_first_column_of_labels_is_not_cut_from_files_without_labels() -> None:
    """Columns by number: a table that holds the units alone keeps its first column."""
    x = bits(OTHERS, 5)
    np.save("labelled.npy", np.column_stack([np.arange(OTHERS) % 3, x]))
    np.save("bare.npy", x)
    words = ("--data", "labelled.npy", "--label-column", 1, "--no-evaluate", "--out", "r")
    assert invoke("train", "rbm", *SHORT, *words).exit_code == 0
    one, other = (result_of("evaluate", "r", "--data", f"{name}.npy") for name in ("labelled", "bare"))
    assert one["log_likelihood"] == other["log_likelihood"]
