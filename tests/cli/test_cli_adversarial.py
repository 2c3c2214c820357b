"""Catches adversarial autoencoders that the commands cannot train, teach, measure, draw or refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke, result_of

import boltz
from boltz.storage import run_folder

TINY = ("--layers", 8, "--latent", 2, "--batch-size", 20, "--discriminator-widths", 6)
KINDS: dict[str, tuple[object, ...]] = {
    "taught": ("--labels", "inferred", "--labelled", 6),
    "clusters": ("--clusters", 4),
    "decoder": ("--labels", "decoder", "--label-column", "kind"),
    "roll": ("--prior", "swiss-roll", "--labels", "prior", "--labelled", 30),
}
NAMES = ["ham", "no", "spam"]


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 9 units of which a third is on, by the label."""
    y = np.random.default_rng(seed).integers(0, 3, count)
    return np.repeat(np.eye(3, dtype=np.uint8)[y], 3, axis=1), y


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with labels 3, 5 and 8, and a table whose column has words."""
    folder, arrays = tmp_path_factory.mktemp("labelled"), {}
    for split, count, seed in (("train", 60, 0), ("valid", 12, 1), ("test", 20, 2)):
        arrays[f"x_{split}"], y = rows(count, seed)
        arrays[f"y_{split}"] = np.array([3, 5, 8])[y]
    np.savez(folder / "rows.npz", shape=np.array([3, 3]), **arrays)
    x, y = rows(40, 3)
    lines = [",".join([*map(str, row), NAMES[label]]) for row, label in zip(x, y, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,c,d,e,f,g,h,i,kind", *lines]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> dict[str, tuple[Path, str]]:
    """A run of each kind, and what training it said; tests only read them."""
    folder, found = tmp_path_factory.mktemp("adversarial"), {}
    for name, words in KINDS.items():
        data = labelled / ("rows.csv" if name == "decoder" else "rows.npz")
        told = invoke("train", "aae", *TINY, "--epochs", 2, *words, "--data", data, "--out", folder / name)
        assert told.exit_code == 0, told.stderr
        found[name] = folder / name, told.stderr
    return found


def test_rows_keep_their_labels_in_equal_numbers_under_their_names(trained: dict[str, tuple[Path, str]]) -> None:
    run, said = trained["taught"]
    assert run_folder.read_settings(run)["labels"] == {"names": [3, 5, 8], "labelled": 6}
    kept = run_folder.load_checkpoint(run)[0]["data/labels"]
    assert np.bincount(kept[kept >= 0]).tolist() == [2, 2, 2] and len(kept) == 60
    assert "Inferred labels: " in said and "samples.png" in said
    assert run_folder.read_settings(trained["decoder"][0])["labels"] == {"names": NAMES, "labelled": 40}
    assert "labels" not in run_folder.read_settings(trained["clusters"][0])


def test_errors_of_labels(trained: dict[str, tuple[Path, str]], labelled: Path) -> None:
    run, _ = trained["taught"]
    found = result_of("evaluate", run, "--samples", 20)["labels"]
    with np.load(labelled / "rows.npz") as data:
        x, y = data["x_test"], data["y_test"]
    wrong = np.array([3, 5, 8])[boltz.label_probabilities(boltz.load(run), x).argmax(axis=1)] != y
    assert (found["wrong"], found["rows"], found["names"]) == (wrong.sum(), 20, [3, 5, 8])
    assert boltz.label_errors(run, x, y).wrong == wrong.sum()
    run, said = trained["clusters"]
    found = result_of("evaluate", run, "--samples", 20)["labels"]
    assert found["validation_rows"] == 12 and set(found["names"]) <= {3, 5, 8}
    said = " ".join(said.split())
    assert "the most confident of 12 validation rows" in said and "adjusted mutual information" in said


def test_a_prior_without_a_density_has_no_likelihood(trained: dict[str, tuple[Path, str]]) -> None:
    run, said = trained["roll"]
    assert "There is no log-likelihood, since the prior" in said
    found = invoke("evaluate", run)
    assert found.exit_code == 2 and "has no density" in found.stderr
    assert invoke("diagnose", run).exit_code == 0 and invoke("report", run).exit_code == 0


def test_other_commands(trained: dict[str, tuple[Path, str]]) -> None:
    run, _ = trained["taught"]
    assert result_of("info", run)["model"] == "aae"
    told = result_of("diagnose", run)
    assert {"codes", "labels"} <= {each["name"] for each in told["findings"]}
    assert 0 <= told["measures"]["codes"]["covered"] <= 1
    assert result_of("features", run, "--layer", "labels", "--out", "f.npz")["layers"] == {"labels": 3}
    with np.load("f.npz") as found:
        assert found["features"].shape == (60, 3) and found["classes"].tolist() == [3, 5, 8]
        assert np.allclose(found["features"].sum(axis=1), 1, atol=1e-5)
    assert result_of("features", run, "--out", "codes.npy")["layers"] == {"h1": 2}
    wrong = invoke("features", trained["decoder"][0], "--layer", "labels", "--out", "g.npz")
    assert wrong.exit_code == 2 and "must infer labels" in wrong.stderr
    found = result_of("compare", run, trained["clusters"][0], "--samples", 20)
    assert [each["model"] for each in found["models"]] == ["aae", "aae"]


def test_samples_of_a_label_in_the_style_of_rows(trained: dict[str, tuple[Path, str]], labelled: Path) -> None:
    run = trained["decoder"][0]
    result_of("sample", run, "--label", "all", "--style-of", "2,5:6", "--out", "s.npz")
    with np.load("s.npz") as found:
        means, labels = found["v"], found["labels"]
    model, x = boltz.load(run), rows(40, 3)[0][[1, 4, 5]].astype(np.float32)
    style = np.repeat(boltz.features(model, x), 3, axis=0)
    assert labels.tolist() == NAMES * 3
    assert np.allclose(means, boltz.samples_with_labels(model, np.tile([0, 1, 2], 3), style))
    found = result_of("sample", run, "--label", "spam", "--chains", 4, "--out", "t.csv", "--seed", 3)
    assert found["layers"] == {"v": [4, 9]} and found["labels"] == ["spam"]
    drawn = boltz.samples_with_labels(model, [2] * 4, boltz.sample(model, 4, seed=3)["h1"])
    assert np.allclose(np.loadtxt("t.csv", delimiter=",", skiprows=1), drawn, atol=1e-6)
    assert invoke("sample", run, "--label", "all", "--out", "s.png").exit_code == 0


SAMPLES: list[tuple[str, tuple[object, ...], str]] = [
    ("decoder", ("--label", "eggs"), "--label must be all, or one of ham, no, spam, got eggs"),
    ("decoder", ("--label", "ham", "--style-of", "41"), "--style-of must name rows from 1 to 40"),
    ("decoder", ("--label", "ham", "--style-of", "3:2"), "--style-of must name rows"),
    ("decoder", ("--label", "ham", "--style-of", "3", "--chains", 2), "takes no --chains"),
    ("decoder", ("--label", "ham", "--sweeps", 2), "--sweeps would do nothing"),
    ("decoder", ("--label", "ham", "--data", "x.csv"), "--data would do nothing: it needs --style-of"),
    ("decoder", ("--style-of", "3"), "--style-of would do nothing: it needs --label"),
    ("roll", ("--label", "3"), "hears no labels, so leave --label out, or train an aae with --labels decoder"),
]


@pytest.mark.parametrize(("name", "words", "told"), SAMPLES)
def test_samples_that_are_refused(
    name: str, words: tuple[object, ...], told: str, trained: dict[str, tuple[Path, str]]
) -> None:
    found = invoke("sample", trained[name][0], *words, "--out", "w.npz")
    assert found.exit_code == 2 and told in " ".join(found.stderr.split()) and not Path("w.npz").exists()


WRONG: list[tuple[tuple[object, ...], str]] = [
    (("--labels", "inferred", "--labelled", 2), "--labelled must be all, or a whole number from 3"),
    (("--labels", "inferred", "--labelled", "few"), "got few"),
    (("--labels", "inferred", "--classes", 5), "--classes must be 3, the number of classes of the data, got 5"),
    (("--labels", "prior"), "labels 'prior' name parts of a prior, but normal has none"),
    (("--latent", "2,2"), "an aae has one code, but --latent names 2 layers"),
    (("--layers", "5/4"), "an aae has one chain of layers"),
    (("--prior", "flow"), "prior must be one of mixture, normal, swiss-roll, uniform"),
    (("--patience", 3), "--patience is an option of"),
    (("--validation", 0.2), "--validation is an option of"),
    (("--clusters", 1), "clusters must be a whole number of at least 2"),
    (("--labels", "decoder", "--clusters", 3), "clusters counts labels that are inferred"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_wrong_words_end_in_a_sentence(words: tuple[object, ...], told: str, labelled: Path) -> None:
    found = invoke("train", "aae", *TINY, *words, "--data", labelled / "rows.npz", "--epochs", 1, "--out", "r")
    assert found.exit_code == 2 and told in " ".join(found.stderr.split()) and not Path("r").exists(), found.stderr


def test_data_without_labels_are_refused(data: Path) -> None:
    found = invoke("train", "aae", *TINY, "--labels", "inferred", "--data", data, "--epochs", 1, "--out", "r")
    assert found.exit_code == 2 and "holds no labels" in found.stderr and "--clusters" in found.stderr
    assert not Path("r").exists()


def test_minutes_and_another_start(trained: dict[str, tuple[Path, str]], labelled: Path) -> None:
    words = ("--data", labelled / "rows.npz", "--labels", "inferred", "--minutes", 0.2)
    found = invoke("train", "aae", *TINY, *words, "--out", "r")
    assert found.exit_code == 0 and "Plan: " in found.stderr, found.stderr
    again = invoke("train", "aae", "--init", trained["taught"][0], "--epochs", 1, "--labelled", 9, "--out", "s")
    assert again.exit_code == 0, again.stderr
    assert run_folder.read_settings("s")["labels"] == {"names": [3, 5, 8], "labelled": 9}


def test_a_first_run_says_which_classes_are_taught(trained: dict[str, tuple[Path, str]], labelled: Path) -> None:
    """The numbers of a first run stay where data lack a class; clusters are not taught unless this is asked for."""
    with np.load(labelled / "rows.npz") as whole:
        x, y = whole["x_train"], whole["y_train"]
    some = y != 3
    np.savez("few.npz", x_train=x[some], y_train=y[some])
    np.savez("other.npz", x_train=x, y_train=y + 1)
    first = ("train", "aae", "--init", trained["taught"][0], "--epochs", 1)
    found = invoke(*first, "--data", "few.npz", "--out", "few")
    assert found.exit_code == 0, found.stderr
    assert run_folder.read_settings("few")["labels"] == {"names": [3, 5, 8], "labelled": int(some.sum())}
    kept = run_folder.load_checkpoint("few")[0]["data/labels"]
    assert np.array_equal(np.array([3, 5, 8])[kept], y[some])
    found = invoke(*first, "--data", "other.npz", "--out", "t")
    said = " ".join(found.stderr.split())
    assert found.exit_code == 2 and "labels such as 4, 6, 9, which are no classes of" in said, said
    first = ("train", "aae", "--init", trained["clusters"][0], "--epochs", 1)
    found = invoke(*first, "--out", "clusters")
    assert found.exit_code == 0 and "does not say that its machine was taught labels" in " ".join(found.stderr.split())
    assert "labels" not in run_folder.read_settings("clusters")
    found = invoke(*first, "--labelled", 6, "--out", "u")
    said = " ".join(found.stderr.split())
    assert found.exit_code == 2 and "clusters has 4 labels, but the data have 3 classes" in said, said


def test_labels_of_minus_one_and_another_are_two_classes(labelled: Path) -> None:
    with np.load(labelled / "rows.npz") as whole:
        np.savez("two.npz", x_train=whole["x_train"], y_train=np.where(whole["y_train"] == 3, -1, 1))
    found = invoke("train", "aae", *TINY, "--labels", "inferred", "--data", "two.npz", "--epochs", 1, "--out", "two")
    assert found.exit_code == 0 and "are -1 and 1 alone, which are taken for two classes" in " ".join(
        found.stderr.split()
    )


def test_label_errors_without_a_likelihood(trained: dict[str, tuple[Path, str]], labelled: Path) -> None:
    words = ("--prior", "swiss-roll", "--labels", "inferred", "--data", labelled / "rows.npz", "--epochs", 1)
    assert invoke("train", "aae", *TINY, *words, "--out", "roll").exit_code == 0
    found = invoke("evaluate", "roll")
    assert found.exit_code == 0 and "There is no log-likelihood" in found.stdout and "Inferred labels" in found.stdout
    told = result_of("evaluate", "roll")
    assert told["log_likelihood"] is None and told["labels"]["rows"] == 20
    wrong = invoke("evaluate", "roll", "--samples", 10)
    assert wrong.exit_code == 2 and "--samples would do nothing" in wrong.stderr
    wrong = invoke("compare", trained["taught"][0], "roll")
    assert wrong.exit_code == 2 and "roll cannot be compared by likelihood" in " ".join(wrong.stderr.split())


def test_a_run_goes_on_with_its_labels(labelled: Path) -> None:
    """The labels are in the checkpoint: a run that was stopped ends as one that was not."""
    data = boltz.load_data(labelled / "rows.npz")
    y = np.searchsorted([3, 5, 8], data.labels)
    model, how = boltz.aae([9, 8], 2, labels="inferred", classes=3), {"epochs": 3, "batch_size": 20}
    whole = boltz.train(model, data, labels=y, discriminator_widths=(6,), **how)

    def stop(record: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boltz.train(model, data, out="r", labels=y, discriminator_widths=(6,), watch=stop, **how)
    found = invoke("train", "--resume", "r")
    assert found.exit_code == 0, found.stderr
    assert np.array_equal(boltz.load("r").arena, whole.model.arena)
    assert "Inferred labels" not in found.stderr  # classes 0, 1 and 2 are not those of the data, 3, 5 and 8
