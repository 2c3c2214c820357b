"""Catches `boltz classify` and `autoencode` writing wrong results, not going on after a stop, or taking bad input."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import UNITS, invoke, result_of, wait_for

import boltz
from boltz.cli.options import tuning_from
from boltz.errors import InputError
from boltz.evaluation.classifier import binomial_interval
from boltz.networks.settings import FineTuneSettings
from boltz.storage import run_folder
from boltz.storage.tensors import read_tensors

PAINTED = True
QUICK = ("--epochs", 3, "--output-epochs", 1, "--batch-size", 10, "--learning-rate", 0.02)
RNG = np.random.default_rng(11)
X = RNG.integers(0, 256, (90, UNITS)).astype(np.uint8)
Y = (X[:, :8].mean(axis=1) > X[:, 8:].mean(axis=1)).astype(np.uint8) + 3


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "labelled.npz"
    np.savez(path, x_train=X[:60], y_train=Y[:60], x_test=X[60:], y_test=Y[60:], shape=np.array([5, 5]))
    return path


@pytest.fixture(scope="module")
def classifier(run: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of boltz classify; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    found = invoke("classify", run, "--data", labelled, *QUICK, "--out", folder)
    assert found.exit_code == 0, found.stderr
    assert "test error" not in found.stderr and "error" in found.stderr and "validation error" in found.stderr
    return folder


def lines(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


def contents(folder: Path) -> tuple[Any, ...]:
    """The network, the progress without its clock, and what was found."""
    tensors, _ = read_tensors(folder / run_folder.CHECKPOINT)
    held = {name: x.tobytes() for name, x in tensors.items() if name != "totals"}
    result = json.loads((folder / run_folder.RESULT).read_text())
    found = {name: x for name, x in result.items() if name not in ("run", "seconds")}
    return boltz.load_network(folder).arena.tobytes(), held, found, (folder / "predictions.csv").read_text()


def test_what_a_classifier_leaves_behind(classifier: Path, labelled: Path) -> None:
    names = {path.name for path in classifier.iterdir()}
    assert names >= {"run.toml", "metrics.jsonl", "checkpoint.safetensors", "network.safetensors", "test.json"}
    assert names >= {"predictions.csv", "confusion.csv", "confusion.png", "mistakes.png", "curves.png"}
    network = boltz.load_network(classifier)
    p = boltz.classify(network, X[60:] / np.float32(255))
    guess = np.array(network.classes)[p.argmax(axis=1)]
    head, *rows = lines(classifier / "predictions.csv")
    assert head == ["row", "label", "predicted", "probability"] and [int(r[0]) for r in rows] == list(range(1, 31))
    assert [int(r[1]) for r in rows] == Y[60:].tolist() and [int(r[2]) for r in rows] == guess.tolist()
    np.testing.assert_allclose([float(r[3]) for r in rows], p.max(axis=1), rtol=1e-5)
    counts = [[int(((Y[60:] == true) & (guess == other)).sum()) for other in (3, 4)] for true in (3, 4)]
    assert lines(classifier / "confusion.csv") == [
        ["true", "3", "4"],
        *([str(true), *map(str, line)] for true, line in zip((3, 4), counts, strict=True)),
    ]
    result = json.loads((classifier / "test.json").read_text())
    wrong = int((guess != Y[60:]).sum())
    assert result["test"]["wrong"] == wrong and result["test"]["error"] == wrong / 30 and result["epochs"] == 4
    assert result["test"]["interval"] == binomial_interval(wrong, 30)
    description = run_folder.read_settings(classifier)
    assert description["task"] == "classifier" and description["settings"]["learning_rate"] == 0.02


def test_it_learns_in_the_folder_what_it_learns_in_memory(classifier: Path, run: Path, labelled: Path) -> None:
    settings = {"epochs": 3, "output_epochs": 1, "batch_size": 10, "learning_rate": 0.02}
    found = boltz.fine_tune(boltz.load(run), boltz.load_data(str(labelled)), **settings)
    assert found.network.arena.tobytes() == boltz.load_network(classifier).arena.tobytes()


def test_a_trained_network_only_predicts(classifier: Path, labelled: Path, data: Path) -> None:
    found = result_of("classify", classifier, "--data", labelled, "--out", "p")
    assert found["test"] == json.loads((classifier / "test.json").read_text())["test"]
    assert Path("p/predictions.csv").read_bytes() == (classifier / "predictions.csv").read_bytes()
    assert not Path("p/run.toml").exists()
    file = classifier / "network.safetensors"
    words = ("--data", data, "--levels", 1, "--split", "test", "--limit", 7)  # it learned from grey bytes
    without = result_of("classify", file, *words, "--out", "q")
    assert without["test"]["error"] is None and without["test"]["rows"] == 7
    assert lines(Path("q/predictions.csv"))[0] == ["row", "predicted", "probability"]
    assert sorted(path.name for path in Path("q").iterdir()) == ["predictions.csv", "test.json"]
    np.savetxt("labels.csv", Y[:60] + 5, "%d")  # classes that the network does not know are mistakes
    wrong = result_of("classify", file, "--data", labelled, "--split", "train", "--labels", "labels.csv", "--out", "r")
    assert wrong["test"]["wrong"] == 60 and len(lines(Path("r/confusion.csv"))) == 1 + 2 + 2


def test_words_as_labels_from_files(run: Path) -> None:
    words = np.array(["it's, no", "yes"])[Y % 2]
    np.save("x.npy", X[:60])
    Path("y.csv").write_text("label\n" + "\n".join(word.replace(", ", "-") for word in words[:60]) + "\n")
    Path("z.csv").write_text("\n".join(word.replace(", ", "-") for word in words[60:]) + "\n")
    np.save("test.npy", X[60:])
    begin = ("classify", run, "--data", "x.npy", "--labels", "y.csv", *QUICK)
    found = result_of(*begin, "--test", "test.npy", "--test-labels", "z.csv", "--out", "r")
    assert set(boltz.load_network("r").classes) == {"it's-no", "yes"} and found["test"]["rows"] == 30
    assert result_of(*begin, "--out", "s")["test"] is None and not Path("s/predictions.csv").exists()
    again = result_of("classify", "--resume", "r")
    assert again == found


@pytest.mark.parametrize(("least", "told"), [(-1, True), (0, False)])
def test_labels_that_may_mark_rows_without_one_are_told_of(run: Path, least: int, told: bool) -> None:
    np.save("x.npy", X[:60])
    np.save("y.npy", np.arange(60) % 3 + least)
    found = invoke("classify", run, "--data", "x.npy", "--labels", "y.npy", *QUICK, "--out", "r")
    assert found.exit_code == 0 and ("Labels of -1 are taken for a class" in found.stderr) is told


def test_few_labels(run: Path, labelled: Path) -> None:
    words = ("classify", run, "--data", labelled, "--few", 10, "--seed", 4, *QUICK)
    first = result_of(*words, "--out", "r")
    data = run_folder.read_settings("r")
    assert data["data"]["rows"] == 10 and data["rows"]["few"] == 10 and data["data"]["load"] == {}
    assert result_of("classify", "r", "--out", "p")["test"] == first["test"]  # the rows of the run itself
    Path("r/network.safetensors").unlink()
    Path("r/test.json").unlink()
    again = result_of("classify", "--resume", "r")
    assert {n: x for n, x in again.items() if n != "seconds"} == {n: x for n, x in first.items() if n != "seconds"}


def test_an_autoencoder(run: Path, labelled: Path) -> None:
    found = result_of("autoencode", run, "--data", labelled, "--code", "linear", *QUICK, "--out", "a")
    network = boltz.load_network("a")
    x = X[60:] / np.float32(255)
    np.testing.assert_array_equal(np.load("a/codes.npy"), boltz.encode(network, x))
    assert network.net.functions[network.code - 1] == "linear" and found["validation"]["error"] is None
    back = boltz.reconstruct(network, x).astype(np.float64)
    assert found["test"]["squared_error"]["value"] == pytest.approx(((back - x) ** 2).sum(axis=1).mean(), rel=1e-5)
    entropy = -(x * np.log(back) + (1 - x) * np.log(1 - back)).sum(axis=1)
    assert found["test"]["cross_entropy"]["value"] == pytest.approx(entropy.mean(), rel=1e-4)
    assert found["test"]["cross_entropy"]["standard_error"] == pytest.approx(entropy.std(ddof=1) / 30**0.5, rel=1e-4)
    assert {"reconstructions.png", "curves.png"} <= {path.name for path in Path("a").iterdir()}
    again = result_of("autoencode", "a", "--data", labelled, "--out", "b")
    assert again["test"] == found["test"]
    assert result_of("autoencode", "--resume", "a") == found
    wrong = invoke("classify", "a", "--data", labelled)
    assert wrong.exit_code == 2 and "a holds an autoencoder: use boltz autoencode" in wrong.stderr


LONG = ("--epochs", "40", "--output-epochs", "1", "--batch-size", "4", "--checkpoint-seconds")


@pytest.fixture(scope="module")
def unbroken(run: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    found = invoke("classify", run, "--data", labelled, *LONG, 1000, "--out", folder)
    assert found.exit_code == 0, found.stderr
    return contents(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_ends_as_if_unbroken(
    run: Path, labelled: Path, number: signal.Signals, unbroken: tuple[Any, ...]
) -> None:
    words = ("classify", str(run), "--data", str(labelled), *LONG, "0", "--out", "r", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "boltz.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(Path("r/metrics.jsonl"), process)
    while Path("r/metrics.jsonl").read_text().count("\n") < 4 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == "" and not Path("r/network.safetensors").exists()
    if number != signal.SIGKILL:
        assert process.returncode == 75 and "continue with: boltz classify --resume r" in err
    tensors, told = read_tensors("r/checkpoint.safetensors")
    assert 2 < int(told["lines"]) < 41 and 1 < int(tensors["counters"][2]) < 40
    resumed = invoke("classify", "--resume", "r")
    assert resumed.exit_code == 0 and "error" in resumed.stderr, resumed.stderr
    assert contents(Path("r")) == unbroken


def test_a_finished_run_is_left_as_it_is(classifier: Path) -> None:
    before = contents(classifier)
    found = invoke("classify", "--resume", classifier)
    assert found.exit_code == 0 and "nothing to do" in found.stderr and contents(classifier) == before


CASES: list[tuple[tuple[object, ...], str]] = [
    (("RUN", "--data", "wide.npz"), "has 26 units a row"),
    (("RUN", "--data", "BARS"), "holds no labels: give them with --labels FILE"),
    (("RUN", "--data", "one.npz"), "labels must be of two classes at least, got [1] alone"),
    (("RUN", "--data", "BARS", "--labels", "short.npy"), "--labels must hold one label for each of the 60 rows"),
    (("RUN", "--data", "BARS", "--labels", "ragged.csv"), "expected one label a line"),
    (("RUN", "--data", "BARS", "--labels", "nan.csv"), "labels that are not finite"),
    (("RUN", "--data", "BARS", "--labels", "none.csv"), "none.csv does not exist"),
    (
        ("RUN", "--data", "LABELLED", "--test-labels", "short.npy"),
        "--test-labels must hold one label for each of the 30",
    ),
    (("RUN", "--data", "one.npz", "--labels", "long.csv", "--test-labels", "short.npy"), "have no test rows"),
    (("RUN", "--data", "LABELLED", "--test", "wide.npz"), "has 26 units a row"),
    (("RUN", "--data", "nan.npy"), "row 1, column 2 is nan"),
    (("RUN", "--data", "LABELLED", "--few", 0), "few must be"),
    (("RUN", "--data", "LABELLED", "--few", 61), "few must be"),
    (("RUN", "--data", "LABELLED", "--split", "test"), "--split is for a network that is trained already"),
    (("RUN", "--data", "LABELLED", "--out", "file"), "file is a file"),
    (("RUN", "--data", "LABELLED", "--out", "file/below"), "could not be made"),
    (("RUN", "--data", "LABELLED", "--out", "full"), "holds files but no run"),
    (("RUN", "--data", "LABELLED", "--out", "CLASSIFIER"), "already holds a run"),
    (("RUN", "--data", "LABELLED", "--momentum", 0.5), "--momentum would do nothing"),
    (("RUN", "--data", "LABELLED", "--optimizer", "lbfgs", "--batch-size", 5), "--batch-size would do nothing"),
    (("RUN", "--data", "LABELLED", "--validation", 0, "--patience", 5), "--patience would do nothing"),
    (("RUN", "--data", "LABELLED", "--validation", 2), "validation must be"),
    (("RUN", "--data", "LABELLED", "--refit", "--validation", 0), "refit trains for the epochs"),
    (("RUN", "--data", "LABELLED", "--epochs", -1), "epochs must be"),
    (("nowhere", "--data", "LABELLED"), "nowhere does not exist"),
    ((".", "--data", "LABELLED"), "not a run folder"),
    ((), "Name the RUN or MODEL"),
    (("CLASSIFIER", "--epochs", 3), "--epochs would do nothing"),
    (("CLASSIFIER", "--few", 3), "--few would do nothing"),
    (("CLASSIFIER", "--data", "wide.npz"), "has 26 units a row"),
    (("CLASSIFIER", "--data", "LABELLED", "--out", "CLASSIFIER"), "holds a run"),
    (("CLASSIFIER", "--data", "LABELLED", "--out", "taken"), "exists already"),
    (("CLASSIFIER", "--data", "LABELLED", "--out", "file"), "must name a folder"),
    (("--resume", "CLASSIFIER", "--epochs", 3), "it takes no --epochs"),
    (("--resume", "CLASSIFIER", "--seed", 0), "it takes no --seed"),
    (("RUN", "--resume", "CLASSIFIER"), "it takes no RUN"),
    (("--resume", "RUN"), "is not a run of boltz classify"),
    (("--resume", "nowhere"), "nowhere does not exist"),
]


@pytest.mark.parametrize(("words", "said"), CASES)
def test_bad_input(
    run: Path, data: Path, labelled: Path, classifier: Path, words: tuple[object, ...], said: str
) -> None:
    np.savez("wide.npz", x_train=np.zeros((5, 26)), y_train=np.arange(5), x_test=np.zeros((5, 26)))
    np.savez("one.npz", x=X[:60], y=np.ones(60, int))
    np.save("short.npy", np.arange(5))
    np.save("nan.npy", np.where(np.arange(25) == 1, np.nan, 0.5)[None])
    Path("long.csv").write_text("\n".join(map(str, Y[:60])))
    Path("ragged.csv").write_text("\n".join(["1,2"] * 60))
    Path("nan.csv").write_text("\n".join(["1"] * 59 + ["nan"]))
    Path("file").write_text("x")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("x")
    Path("taken").mkdir()
    Path("taken/predictions.csv").write_text("x")
    before = sorted(Path(".").rglob("*"))
    places = {"RUN": run, "BARS": data, "LABELLED": labelled, "CLASSIFIER": classifier}
    found = invoke("classify", *(places.get(str(word), word) for word in words))
    assert found.exit_code == 2 and said in found.stderr and found.stdout == "", found.stderr
    assert len(found.stderr.strip().splitlines()) == 1 or "Usage" in found.stderr
    assert sorted(Path(".").rglob("*")) == before


def test_other_commands_say_what_a_fine_tuned_folder_is(classifier: Path) -> None:
    for words in (("sample", classifier), ("train", "--resume", classifier), ("logz", classifier)):
        found = invoke(*words)
        assert found.exit_code == 2 and len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert "holds a fine-tuned network" in invoke("sample", classifier).stderr


def test_info_describes_networks(classifier: Path, run: Path, labelled: Path) -> None:
    found = result_of("info", classifier)
    assert found["model"] == "classifier" and found["layers"] == [25, 3, 2] and found["classes"] == [3, 4]
    assert found["complete"] is True and found["epochs"] == found["epochs_planned"] == 4
    assert found["parameters"] == 25 * 3 + 3 + 3 * 2 + 2
    text = invoke("info", classifier).stdout
    assert f"error {100 * found['test']['error']:.2f} %" in text and "epochs:       4 of 4" in text
    of_file = result_of("info", classifier / "network.safetensors")
    assert of_file == {name: x for name, x in found.items() if name in of_file} | {"path": of_file["path"]}
    invoke("autoencode", run, "--data", labelled, "--epochs", 1, "--out", "a")
    Path("a/network.safetensors").unlink()
    text = invoke("info", "a").stdout
    assert (
        "continue with: boltz autoencode --resume a" in text and "squared error" in text and "code:         3" in text
    )


def test_a_run_is_replaced_only_with_force(run: Path, labelled: Path) -> None:
    words = ("classify", run, "--data", labelled, *QUICK, "--out", "r")
    assert invoke(*words).exit_code == 0
    assert invoke(*words).exit_code == 2
    assert invoke(*words, "--force", "--seed", 3).exit_code == 0
    assert run_folder.read_settings("r")["settings"]["seed"] == 3


def test_every_setting_is_an_option_and_arrives() -> None:
    assert tuning_from(dict.fromkeys(FineTuneSettings().as_dict())) == FineTuneSettings()
    given = {"epochs": 7, "dropout": 0.25, "refit": True, "l2": 0.5, "binarize": "fixed", "patience": 3}
    assert tuning_from(given) == FineTuneSettings(**given)
    with pytest.raises(InputError, match="--adam-beta1 would do nothing: it needs --optimizer adam"):
        tuning_from({"optimizer": "momentum", "adam_beta1": 0.5})
    text = " ".join(invoke("classify", "--help").stdout.split())
    for title in ("Most used:", "Data:", "How long:", "Training:", "Run:", "Example: boltz classify"):
        assert title in text
    assert "Most used: --code" in " ".join(invoke("autoencode", "--help").stdout.split())


def test_the_interval_of_a_share_covers_as_often_as_it_says() -> None:
    """Clopper and Pearson: the ends are where the tails beyond what was found hold 2.5 %, by summing the binomial."""
    from scipy.stats import binom

    for count, rows in ((0, 10), (1, 10), (7, 50), (50, 50)):
        low, high = binomial_interval(count, rows)
        assert 0 <= low <= count / rows <= high <= 1
        assert (low == 0) == (count == 0) and (high == 1) == (count == rows)
        if count:
            assert binom.sf(count - 1, rows, low) == pytest.approx(0.025, rel=1e-6)
        if count < rows:
            assert binom.cdf(count, rows, high) == pytest.approx(0.025, rel=1e-6)
