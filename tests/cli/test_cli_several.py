"""Catches commands that take machines of several kinds of data, or with couplings within layers, for others."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke, result_of, wait_for

import boltz
from boltz.storage import run_folder

ROWS = 60
GENERATOR = np.random.default_rng(4)
ON = GENERATOR.integers(0, 2, (ROWS, 1))
IMAGE = (2 * ON - 1 + GENERATOR.normal(0, 0.3, (ROWS, 4))).astype(np.float32)
TEXT = (GENERATOR.random((ROWS, 5)) < np.where(ON, 0.9, 0.1)).astype(np.float32)
CODES = (TEXT[:, :4] + TEXT[:, 1:]).astype(np.int64)
MODALITIES = ("--modality", "image=x_image:gaussian", "--modality", "text=x_text:bernoulli")
LAYERS = ("--layers", "image=3", "--layers", "text=2", "--joint", 2)
SHORT = ("--batch-size", 20, "--betas", 20, "--chains-ais", 10)
BOTH = ("train", "multimodal", *MODALITIES, *LAYERS, *SHORT, "--epochs", 3, "--pretrain-epochs", 2)


def write(path: Path) -> Path:
    """A file of both kinds with labels, of which the last third are test rows."""
    names = {"x_image": IMAGE, "x_text": TEXT, "y": ON[:, 0]}
    parts = {f"{n}_train": x[:40] for n, x in names.items()} | {f"{n}_test": x[40:] for n, x in names.items()}
    np.savez(path, **parts)
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pairs") / "pairs.npz")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Path:
    """A run of both kinds; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "both"
    found = invoke(*BOTH, "--data", pairs, "--out", folder)
    assert found.exit_code == 0, found.stderr
    assert "see samples-image.png, samples-text.png, filters-image.png, filters-text.png and curves.png" in found.stderr
    return folder


def test_a_run_holds_its_views_and_pictures(both: Path, pairs: Path) -> None:
    told = run_folder.read_settings(both)
    views = {"image": ["x_image", "gaussian"], "text": ["x_text", "bernoulli"]}
    assert told["data"]["load"] == {"name_or_path": str(pairs), "split": "train", "views": views}
    assert list(told["data"]["load"]["views"]) == ["image", "text"] and told["data"]["rows"] == 40
    drawn = {"samples-image.png", "samples-text.png", "filters-image.png", "filters-text.png", "curves.png"}
    assert {path.name for path in both.glob("*.png")} == drawn
    info = result_of("info", both)
    assert info["visible"] == "image 4 gaussian, text 5 bernoulli" and info["model"] == "multimodal"
    arrays = {"image": IMAGE[:40], "text": TEXT[:40]}
    model = boltz.multimodal({"image": (4, "gaussian"), "text": 5}, {"image": [3], "text": [2]}, 2, x=arrays)
    settings = {"epochs": 3, "pretrain_epochs": 2, "batch_size": 20, "patience": 0}
    held = {"image": IMAGE[40:], "text": TEXT[40:]}
    trained = boltz.train(model, arrays, held_out=held, **settings).model
    np.testing.assert_array_equal(trained.arena, boltz.load(both).arena)


def test_what_is_measured_is_that_of_the_arrays(both: Path) -> None:
    model = boltz.load(both)
    assert isinstance(model, boltz.BoltzmannMachine)
    rows = {"image": IMAGE[40:], "text": TEXT[40:]}
    exact = boltz.log_likelihood(model, rows, boltz.exact_log_z(model)).value
    test = json.loads((both / "test.json").read_text())["test"]
    found = result_of("evaluate", both)
    for told in (found, test):
        assert told["log_likelihood"]["value"] == pytest.approx(exact, abs=1e-6) and told["rows"] == 20
        assert told["unit"] == "nats a row, of a density in the units of the data"
    assert found["split"] == "test" and found["units"] == "image gaussian, text bernoulli"
    np.savez("others.npz", image=IMAGE[40:], text=TEXT[40:])
    other = result_of("evaluate", both / "model.safetensors", "--data", "others.npz")
    assert other["log_likelihood"]["value"] == pytest.approx(exact, abs=1e-6)
    sampled = result_of("evaluate", both, "--method", "importance", "--samples", 400, "--bounds", "1,10")
    assert sampled["log_likelihood"]["value"] == pytest.approx(exact, abs=0.02) and len(sampled["bounds"]) == 2
    assert result_of("logz", both)["log_z"]["value"] == pytest.approx(boltz.exact_log_z(model).value, abs=1e-9)
    sides = result_of("logz", both, "--method", "two-sided", "--budget", 1)["log_z"]
    assert sides["interval"][0] <= boltz.exact_log_z(model).value <= sides["interval"][1]
    compared = result_of("compare", both, both / "model.safetensors", "--out", "compared")
    assert compared["models"][0]["log_likelihood"]["value"] == pytest.approx(exact, abs=0.02)


def test_a_machine_of_views_is_diagnosed_and_shown(both: Path) -> None:
    told = result_of("diagnose", both, "--sweeps", 40)
    names = [each["name"] for each in told["findings"]]
    assert {"layer image_h1", "layer text_h1", "layer joint", "view image", "view text"} <= set(names)
    (constant,) = (each for each in told["findings"] if each["name"] == "constant pixels")
    assert "4 units of image" in constant["sentence"] and "5 units of text" in constant["sentence"]
    assert told["units"] == "image gaussian, text bernoulli" and told["measures"]["chains"] == 100
    assert invoke("report", both, "--measure").exit_code == 0
    page = Path("report.html").read_text()
    for said in ("image: samples: visible means", "text: rows of the data", "image_h1, unit 1", "text_h1, unit 2"):
        assert said in page, said
    assert "of the 3 units of image_h1" in page and "layer joint" in page


@pytest.mark.parametrize("method", ["sample", "mean", "mean-field"])
def test_one_kind_is_completed_from_the_other(both: Path, method: str) -> None:
    words = ("complete", both, "--given", "image", "--method", method, "--sweeps", 20, "--seed", 3)
    found = result_of(*words, "--out", "c.npz")
    model = boltz.load(both)
    wanted = boltz.complete(model, {"image": IMAGE[40:]}, method=method, sweeps=20, seed=3)
    with np.load("c.npz") as held:
        np.testing.assert_array_equal(held["text"], wanted["text"])
        np.testing.assert_allclose(held["image"], IMAGE[40:], rtol=1e-5, atol=1e-6)
        assert held["mask.image"].all() and not held["mask.text"].any()
        np.testing.assert_array_equal(held["y"], ON[40:, 0])
    off = ((wanted["text"] - TEXT[40:]) ** 2).mean()
    assert found["views"] == {"text": {"squared_error": pytest.approx(off, rel=1e-5)}}
    np.savez("image.npz", image=IMAGE[40:])
    assert result_of(*words, "--data", "image.npz", "--out", "d.npz")["views"] == {"text": {"squared_error": None}}
    with np.load("c.npz") as held, np.load("d.npz") as alone:
        np.testing.assert_array_equal(held["text"], alone["text"])


def test_features_are_those_of_what_is_given(both: Path) -> None:
    model = boltz.load(both)
    for given, rows in (("text", {"text": TEXT[:40]}), ("image", {"image": IMAGE[:40]})):
        found = result_of("features", both, "--given", given, "--layer", "joint", "--out", "f.npz", "--force")
        assert found["layers"] == {"joint": 2} and found["labels"]
        with np.load("f.npz") as held:
            np.testing.assert_array_equal(held["features"], boltz.features(model, rows, "joint"))
    assert result_of("features", both, "--layer", 2, "--out", "g.npy")["layers"] == {"text_h1": 2}
    whole = boltz.features(model, {"image": IMAGE[:40], "text": TEXT[:40]}, "text_h1")
    np.testing.assert_array_equal(np.load("g.npy"), whole)


def test_samples_have_an_array_a_view(both: Path) -> None:
    model = boltz.load(both)
    result_of("sample", both, "--chains", 6, "--sweeps", 5, "--seed", 2)
    wanted = boltz.sample(model, 6, 5, 2)
    with np.load("samples.npz") as held:
        for layer in ("image", "text", "image_h1", "text_h1", "joint"):
            np.testing.assert_array_equal(held[layer], wanted[layer])
    rows = {"image": IMAGE[[0, 20]], "text": TEXT[[0, 20]]}
    result_of("sample", both, "--chains", 2, "--sweeps", 0, "--start", "data", "--out", "start.npz")
    with np.load("start.npz") as held:
        np.testing.assert_array_equal(held["text"], rows["text"])
        np.testing.assert_allclose(held["image"], rows["image"], rtol=1e-5, atol=1e-6)
    assert result_of("sample", both, "--sweeps", 5, "--layer", "text", "--out", "t.csv")["layers"] == {"text": [100, 5]}
    for layer in ("image", "text"):
        assert invoke("sample", both, "--sweeps", 5, "--layer", layer, "--out", f"{layer}.png").exit_code == 0


def test_rows_that_lack_a_view_are_learnt_from_and_filled_in() -> None:
    """Those known in full are held out, all are measured, and a second start from the run reads the same rows."""
    text = TEXT.copy()
    text[::3] = np.nan
    np.savez("holes.npz", x_image=IMAGE, x_text=text)
    np.savez("other.npz", x_image=IMAGE[:9], x_text=text[:9])
    found = invoke(*BOTH, "--data", "holes.npz", "--test", "other.npz", "--out", "holes")
    assert found.exit_code == 0 and "18.52% of the entries of holes.npz are unknown" in found.stderr
    assert "3 of 9 rows of other.npz have unknown entries and are left out." in found.stderr
    test, train = (
        result_of("evaluate", "holes"),
        result_of("evaluate", "holes", "--split", "train", "--per-row", "p.npy"),
    )
    assert [(part["known"], part["rows"]) for part in test["known"]] == [("image and text", 6), ("image", 3)]
    model = boltz.load("holes")
    wanted = boltz.log_likelihood(model, {"image": IMAGE, "text": text}, boltz.exact_log_z(model))
    np.testing.assert_allclose(np.load("p.npy"), wanted.per_row, atol=1e-6)
    assert train["log_likelihood"]["value"] == pytest.approx(wanted.value, abs=1e-6) and train["rows"] == 60
    assert test["log_likelihood"]["value"] == pytest.approx(wanted.per_row[:9].mean(), abs=1e-6)
    assert run_folder.read_settings("holes")["held_out"]["rows"] == 6
    told = result_of("complete", "holes", "--split", "train", "--method", "mean-field", "--out", "c.npz")
    assert told["views"] == {"text": {"squared_error": None}}
    with np.load("c.npz") as held:
        np.testing.assert_array_equal(held["mask.text"], ~np.isnan(text))
    again = invoke("train", "multimodal", "--init", "holes", "--epochs", 1, "--no-evaluate", "--out", "more")
    assert again.exit_code == 0, again.stderr
    first, second = (run_folder.read_settings(name)["data"]["fingerprint"] for name in ("holes", "more"))
    assert first == second
    assert invoke("train", "--resume", "holes").exit_code == 0


def test_a_view_alone_is_measured(both: Path) -> None:
    """--given leaves the other views out, which a file need not hold; and what cannot be done with it is said."""
    model = boltz.load(both)
    exact = boltz.log_likelihood(model, {"text": TEXT[40:]}, boltz.exact_log_z(model)).value
    found = result_of("evaluate", both, "--given", "text")
    assert (
        found["log_likelihood"]["value"] == pytest.approx(exact, abs=1e-6)
        and found["log_likelihood"]["kind"] == "exact"
    )
    assert [part["known"] for part in found["known"]] == ["text"]
    np.savez("text.npz", text=TEXT[40:])
    alone = result_of("evaluate", both, "--data", "text.npz", "--given", "text", "--method", "importance")
    error = alone["log_likelihood"]["standard_error"]
    assert alone["log_likelihood"]["value"] == pytest.approx(exact, abs=5 * error + 1e-9)  # once in two million
    assert "log-likelihood of what is known of 20 rows" in invoke("evaluate", both, "--given", "text").stdout
    for words, said in (
        (("--given", "txt"), "--given must name visible layers, image, text, got txt"),
        (("--given", "text", "--method", "bound"), "have no method bound: take method auto or importance"),
        (("--given", "text", "--bounds", "5"), "have no further bounds"),
        (("--data", "text.npz"), "has no array x_image or image for the view image"),
    ):
        refused = invoke("evaluate", both, *words)
        assert refused.exit_code == 2 and said in refused.stderr, refused.stderr


def test_a_file_without_a_view_names_the_option_that_takes_it(both: Path) -> None:
    """And no option where the command has none."""
    np.savez("text.npz", text=TEXT)
    for command in ("evaluate", "complete", "features", "diagnose"):
        words = ("--data", "text.npz", *(("--out", "o.npz") if command in ("complete", "features") else ()))
        said = invoke(command, both, *words).stderr
        assert "for the view image; it has text: name it so" in said, said
        assert ("or name the views that are there with --given." in said) is (command != "diagnose"), said


def test_files_of_their_own_and_codes() -> None:
    np.save("image.npy", IMAGE)
    np.save("codes.npy", CODES)
    words = ("--modality", "image=image.npy:gaussian", "--modality", "site=codes.npy:categorical:3")
    layers = ("--layers", "image=2", "--layers", "site=2", "--joint", 2, "--epochs", 1, "--pretrain-epochs", 1)
    assert invoke("train", "multimodal", *words, *layers, *SHORT, "--out", "apart").exit_code == 0
    load = run_folder.read_settings("apart")["data"]["load"]
    assert load["views"]["site"] == [str(Path("codes.npy").resolve()), "categorical:3"] and "name_or_path" not in load
    model = boltz.load("apart")
    given = ("complete", "apart", "--given", "image", "--method", "sample", "--sweeps", 10, "--out", "c.npz")
    found = result_of(*given)
    with np.load("c.npz") as held:
        wanted = boltz.complete(model, {"image": IMAGE}, method="sample", sweeps=10)["site"]
        assert held["site"].shape == (ROWS, 12)
        np.testing.assert_array_equal(held["site"].reshape(ROWS, 4, 3).argmax(axis=2), wanted)
        assert found["views"]["site"]["recovered"] == (wanted == CODES).mean()
    assert invoke("evaluate", "apart", "--split", "train").exit_code == 0
    refused = invoke("train", "multimodal", *words, *layers, "--test", "codes.npy", "--out", "w")
    assert refused.exit_code == 2 and "--test names a file with the arrays of each --modality" in refused.stderr


def test_an_interrupted_run_ends_as_if_unbroken(pairs: Path) -> None:
    words = [*BOTH[:-4], "--epochs", 60, "--pretrain-epochs", 20, "--data", pairs, "--json"]
    command = [sys.executable, "-m", "boltz.cli", *map(str, words), "--out", "r"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(Path("r/metrics.jsonl"), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75 and "boltz train --resume r" in err
    resumed, unbroken = invoke("train", "--resume", "r", "--json"), invoke(*words, "--out", "whole")
    assert resumed.exit_code == unbroken.exit_code == 0
    assert json.loads(resumed.stdout)["test"] == json.loads(unbroken.stdout)["test"]
    assert np.array_equal(boltz.load("r").arena, boltz.load("whole").arena)


def test_changed_rows_are_not_resumed() -> None:
    write(Path("pairs.npz"))
    assert invoke(*BOTH, "--data", "pairs.npz", "--out", "r").exit_code == 0
    Path("r/model.safetensors").unlink()
    np.savez("pairs.npz", x_image=IMAGE, x_text=1 - TEXT)
    refused = invoke("train", "--resume", "r")
    assert refused.exit_code == 2 and "the data of r changed: the fingerprint of x differs" in refused.stderr


@pytest.mark.parametrize("views", ["5", "{image = 5, text = 3}", '{image = ["x_image"]}', "{}"])
def test_a_hostile_run_is_refused_in_one_sentence(both: Path, views: str) -> None:
    shutil.copytree(both, "r")
    text = Path("r/run.toml").read_text()
    first, _, rest = text.partition("[data.load.views]")
    Path("r/run.toml").write_text(f"{first}views = {views}\n{rest[rest.index('[held_out]') :]}")
    for command in ("evaluate", "features", "complete"):
        found = invoke(command, "r", "--split", "train")
        assert found.exit_code == 2 and found.stderr.strip().count("\n") == 0, found.stderr
    assert invoke("info", "r").exit_code == 0


REFUSED: list[tuple[tuple[object, ...], str]] = [
    (("classify", "RUN"), "write the features of its joint layer with boltz features"),
    (("evaluate", "RUN", "--method", "raise"), "--method raise is for a machine of kind rbm or dbm, got one of kind"),
    (("evaluate", "RUN", "--data", "x.npy"), "must be an .npz file with an array for each view, image, text"),
    (("evaluate", "RUN", "--binarize", "threshold"), "binarize must be none for several visible layers"),
    (("evaluate", "RUN", "--levels", 3), "--levels is for one table of data"),
    (("complete", "RUN", "--given", "text", "--vocabulary", "words.txt"), "--vocabulary is for one table of data"),
    (("complete", "RUN", "--given", "txt"), "--given must name visible layers, image, text, got txt"),
    (("complete", "RUN", "--mask", "left"), "name those that are known with --given"),
    (("complete", "RUN", "--given", "text", "--out", "c.csv"), "must end in .npz"),
    (("features", "RUN", "--mask", "m.npy"), "name those that are known with --given"),
    (("features", "RUN", "--layer", "image"), "layer must be top, all, 1 to 3, or one of image_h1, text_h1, joint"),
    (("sample", "RUN", "--out", "s.csv"), "choose one with --layer"),
    (("sample", "RUN", "--as", "letters"), "take --as codes"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_is_not_done_says_what_to_do(both: Path, words: tuple[object, ...], said: str) -> None:
    np.save("x.npy", IMAGE)
    found = invoke(*(both if word == "RUN" else word for word in words))
    assert found.exit_code == 2 and said in found.stderr and "Traceback" not in found.stderr
    assert found.stderr.strip().count("\n") == 0


LONE = ("--modality", "image=x_image:gaussian")
WRONG: list[tuple[tuple[object, ...], str]] = [
    (("multimodal",), "name each as in --modality image=x_image:gaussian"),
    (("multimodal", *LONE, "--layers", "image=2"), "two kinds of data or more"),
    (("multimodal", *MODALITIES), "--layers must name hidden layers for each modality"),
    (("multimodal", *MODALITIES, "--layers", 3), "--layers must name hidden layers for each modality"),
    (("multimodal", *MODALITIES, "--layers", "image=3"), "hidden layers for text too: --layers text=500,500"),
    (
        ("multimodal", *MODALITIES, *LAYERS[:2], "--layers", "txt=3"),
        "txt, which is no --modality; these are image, text",
    ),
    (
        ("multimodal", *MODALITIES, *LAYERS[:2], "--layers", "text=3,3"),
        "as many .* for each modality, got image 1, text 2",
    ),
    (("multimodal", *LONE, "--modality", "text=x_txt:bernoulli", *LAYERS), "no array 'x_txt'; it has x_image_train"),
    (("multimodal", *LONE, "--modality", "text=x_text:counts", *LAYERS), "view text must not be of kind counts"),
    (("multimodal", *LONE, "--modality", "text=x_text:binary", *LAYERS), "view text: .*'binary'"),
    (("multimodal", *LONE, "--modality", "text=x_text", *LAYERS), "must be a name, an array and a kind of units"),
    (("multimodal", *LONE, *LONE, *LAYERS), "names image twice"),
    (
        ("multimodal", *MODALITIES, *LAYERS, "--units", "spin"),
        "--units is an option of rbm, dbm and bm, not of multimodal",
    ),
    (("multimodal", *MODALITIES, *LAYERS, "--levels", 3), "--levels is for one table of data"),
    (("multimodal", *MODALITIES, *LAYERS, "--vocabulary", "words.txt"), "--vocabulary is for one table of data"),
    (("multimodal", *MODALITIES, *LAYERS, "--weights", "similarity:0.8"), "must be rows of categorical units"),
    (
        ("multimodal", *MODALITIES, *LAYERS, "--rule", "multi-prediction"),
        "is for one visible layer, got 2: take rule pcd",
    ),
    (("rbm", *LONE), "--modality is an option of multimodal, not of rbm"),
    (("rbm", "--layers", "image=3"), "--layers takes names for multimodal alone"),
    (("vae", "--layers", "image=3"), "--layers takes names for multimodal alone"),
    (("rbm", "--layers", 0), "--layers 0, no hidden units, is for bm and made"),
    (("multimodal", *MODALITIES, *LAYERS, "--layers", 4), "names a pathway in one place and none in another"),
    (("rbm", "--lateral", "visible"), "--lateral is an option of bm, not of rbm"),
    (("bm", "--lateral", "all"), "is not one of 'visible', 'hidden', 'both'"),
    (("bm", "--layers", 0, "--lateral", "hidden"), "give --lateral visible"),
    (("bm", "--layers", "3,4"), "a bm has one hidden layer, but --layers names 2"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_words_are_one_sentence(pairs: Path, words: tuple[object, ...], said: str) -> None:
    np.save("x.npy", TEXT)
    found = invoke("train", *words, "--data", pairs if words[0] == "multimodal" else "x.npy", "--out", "w")
    last = found.stderr.strip().splitlines()[-1]
    assert found.exit_code == 2 and not Path("w").exists() and "Traceback" not in found.stderr
    assert re.search(said, last), last


def test_an_array_needs_its_file() -> None:
    found = invoke("train", "multimodal", *MODALITIES, *LAYERS, "--out", "w")
    assert found.exit_code == 2 and "names an array of a file: name the file with --data FILE.npz" in found.stderr
    np.save("x.npy", IMAGE)
    files = ("--modality", "a=x.npy:gaussian", "--modality", "b=./x.npy:gaussian", "--layers", "a=2", "--layers", "b=2")
    idle = invoke("train", "multimodal", *files, "--data", "x.npy", "--out", "w")
    assert idle.exit_code == 2 and "--data would do nothing" in idle.stderr


BM: dict[str, tuple[Any, tuple[object, ...]]] = {
    "visible": (TEXT, ("--layers", 2, "--lateral", "visible")),
    "hidden": (TEXT, ("--layers", 2, "--lateral", "hidden")),
    "both": (2 * TEXT - 1, ("--layers", 2, "--hidden-units", "spin")),
    "codes": (CODES, ("--layers", 2, "--lateral", "both", "--units", "categorical:3")),
    "alone": (TEXT, ("--layers", 0, "--lateral", "visible")),
}


@pytest.mark.parametrize("name", BM)
def test_a_general_machine(name: str) -> None:
    """Each kind of coupling arrives, and what is measured is that of the rows by enumeration."""
    x, words = BM[name]
    np.save("x.npy", x)
    found = invoke("train", "bm", *words, *SHORT, "--epochs", 2, "--data", "x.npy", "--test", "x.npy", "--out", "r")
    assert found.exit_code == 0, found.stderr
    model = boltz.load("r")
    assert isinstance(model, boltz.BoltzmannMachine) and model.kind == "bm"
    wanted = {"visible": {"v"}, "hidden": {"h"}, "alone": {"v"}}.get(name, {"v", "h"})
    assert set(model.graph.within) == wanted and ("h" in model.units) == (name != "alone")
    assert {"samples.png", "filters.png", "curves.png"} == {path.name for path in Path("r").glob("*.png")}
    exact = boltz.log_likelihood(model, x, boltz.exact_log_z(model)).value
    told = json.loads(Path("r/test.json").read_text())["test"]["log_likelihood"]["value"]
    assert told == pytest.approx(exact, abs=1e-6)
    assert result_of("evaluate", "r")["log_likelihood"]["value"] == pytest.approx(exact, abs=1e-6)
    assert result_of("logz", "r")["log_z"]["value"] == pytest.approx(boltz.exact_log_z(model).value, abs=1e-9)
    assert result_of("sample", "r", "--chains", 3, "--sweeps", 2)["layers"].keys() == model.units.keys()
    words = ("complete", "r", "--mask", "random:0.5", "--sweeps", 4, "--out", "c.npz")
    assert invoke(*words).exit_code == 0
    features = invoke("features", "r", "--out", "f.npz")
    assert features.exit_code == (2 if name == "alone" else 0)
    parts = {each["name"] for each in result_of("diagnose", "r", "--sweeps", 20)["findings"]}
    assert {f"couplings within {layer}" for layer in wanted} | ({"layer h"} if "h" in model.units else set()) <= parts
    assert invoke("report", "r").exit_code == 0 and Path("report.html").stat().st_size > 10_000
    (beside,) = result_of("compare", "r")["models"]
    found_now = beside["log_likelihood"]
    room = 5 * found_now["standard_error"] if "h" in model.graph.within else 0.0  # one false alarm in two million
    assert found_now["value"] == pytest.approx(exact, abs=room + 1e-6) and room < 0.05
    exact_way = {"alone": "energy", "visible": "free energy"}
    assert beside["method"] == exact_way.get(name, "importance sampling")
    settings = {"epochs": 2, "batch_size": 20, "patience": 0}
    start = boltz.boltzmann(
        4 if name == "codes" else 5,
        0 if name == "alone" else 2,
        model.graph.kinds["v"],
        model.graph.kinds.get("h", "bernoulli"),
        {"codes": "both", "alone": "visible"}.get(name, name),
        x=x,
    )
    np.testing.assert_array_equal(boltz.train(start, x, held_out=x, **settings).model.arena, model.arena)
