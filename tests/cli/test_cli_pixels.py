"""Catches grey levels and colours that the commands cannot train, resume, measure, draw or refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke, result_of

import boltz

TINY: dict[str, tuple[object, ...]] = {
    "pixelcnn": ("--filters", 2, "--receptive-field", 1, "--mixture", 2),
    "vlae": ("--layers", 4, "--latent", 2, "--filters", 2, "--receptive-field", 1, "--mixture", 2, "--prior", "normal"),
}
LEVELS = ("--visible", "levels", "--epochs", 2, "--batch-size", 20)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 and 20 grey-byte images of 3 x 4 pixels in colour."""
    rng, path = np.random.default_rng(3), tmp_path_factory.mktemp("colours") / "colours.npz"
    parts = {"x_train": rng.integers(0, 256, (40, 3, 4, 3)), "x_test": rng.integers(0, 256, (20, 3, 4, 3))}
    np.savez(path, **{name: x.astype(np.uint8) for name, x in parts.items()})  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, colours: Path) -> dict[str, tuple[Path, str]]:
    """A run of each machine, and what training it said; tests only read them."""
    folder, found = tmp_path_factory.mktemp("levels"), {}
    for model, words in TINY.items():
        told = invoke("train", model, *words, *LEVELS, "--data", colours, "--out", folder / model)
        assert told.exit_code == 0, told.stderr
        found[model] = folder / model, told.stderr
    return found


@pytest.mark.parametrize("model", TINY)
def test_commands(model: str, trained: dict[str, tuple[Path, str]]) -> None:
    run, said = trained[model]
    assert "bits a dimension, of 36 numbers of 256 levels." in " ".join(said.split())
    machine = boltz.load(run)
    assert machine.kind == model and machine.layers[0].kind == "levels:256" and machine.layers[0].units == 36
    few = ("--samples", 20) if model == "vlae" else ()
    found = result_of("evaluate", run, *few)
    assert found["rows"] == 20 and found["units"] == "levels:256"
    bits = -found["log_likelihood"]["value"] / 36 / np.log(2)
    assert abs(found["bits_a_dimension"] - bits) < 1e-9
    x = np.load(boltz_data(run))["x_test"].reshape(20, -1)
    if model == "pixelcnn":
        assert abs(boltz.log_likelihood(machine, x).value - found["log_likelihood"]["value"]) < 1e-3
    assert invoke("sample", run, "--chains", 9, "--out", "s.npy").exit_code == 0
    drawn = np.load("s.npy")
    assert drawn.dtype == np.uint8 and drawn.shape == (9, 36) and drawn.max() > 1
    for words in (("sample", run, "--out", "s.png"), ("report", run), ("diagnose", run)):
        told = invoke(*words)
        assert told.exit_code == 0, told.stderr
    again = invoke("train", "--resume", run)
    assert again.exit_code == 0 and "there is nothing to do" in again.stderr


def boltz_data(run: Path) -> Path:
    """The file that a run learnt from."""
    from boltz.training.description import read_description

    return Path(str(read_description(run).data.load["name_or_path"]))


def test_a_comparison(trained: dict[str, tuple[Path, str]]) -> None:
    found = result_of("compare", *(path for path, _ in trained.values()), "--samples", 20)
    assert all(each["bits_a_dimension"] > 0 for each in found["models"])


def test_levels_of_other_data_are_said(tmp_path: Path) -> None:
    x = np.random.default_rng(4).integers(0, 6, (30, 2, 2))
    np.save(tmp_path / "six.npy", x)
    words = ("train", "pixelcnn", *TINY["pixelcnn"], *LEVELS, "--data", tmp_path / "six.npy", "--no-evaluate")
    assert "--levels" in invoke(*words, "--out", "a").stderr
    told = invoke(*words, "--levels", 5, "--out", "b")
    assert told.exit_code == 0 and boltz.load("b").layers[0].kind == "levels:6", told.stderr


WRONG: list[tuple[tuple[object, ...], str]] = [
    (("pixelcnn", "--mixture", 3), "--mixture would do nothing: it needs --visible levels"),
    (("pixelcnn", "--visible", "gaussian"), "--visible must be one of bernoulli, levels"),
    (("vae", "--visible", "levels"), "levels"),
    (("vae", "--mixture", 3), "--mixture is an option of vlae and pixelcnn, not of vae"),
    (("pixelcnn", "--visible", "levels", "--binarize", "fixed"), "--binarize must be none for"),
    (("pixelcnn",), "binary pixels have one channel, but image has 3: give levels"),
    (("pixelcnn", "--visible", "levels", "--mixture", 0), "mixture must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_wrong_words_end_in_a_sentence(words: tuple[object, ...], told: str, colours: Path) -> None:
    found = invoke("train", *words, "--data", colours, "--epochs", 1, "--out", "r")
    assert found.exit_code == 2 and told in " ".join(found.stderr.split()) and not Path("r").exists()


def test_rows_of_zeros_and_ones_have_no_levels(data: Path) -> None:
    found = invoke("train", "pixelcnn", "--visible", "levels", "--data", data, "--epochs", 1, "--out", "r")
    assert found.exit_code == 2 and "--visible levels is for whole numbers" in found.stderr
