"""Catches machines whose visible units hear each other that the commands cannot train, measure, draw or refuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.commands import invoke, result_of

import boltz

TINY: dict[str, tuple[object, ...]] = {
    "nade": ("--layers", 6),
    "made": ("--layers", "6,5", "--masks", 2, "--no-natural"),
    "pixelcnn": ("--filters", 2, "--receptive-field", 2, "--tied"),
    "vlae": ("--layers", 6, "--latent", 2, "--filters", 2, "--receptive-field", 1, "--soft-free-bits"),
}
ARCHITECTURES = {"nade": "25-6", "made": "25-6-5", "pixelcnn": "25-2 x 2", "vlae": "25-6-[2]"}
COMMON = ("--epochs", 2, "--batch-size", 20)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, tuple[Path, str]]:
    """A run of each machine, and what training it said; tests only read them."""
    folder, found = tmp_path_factory.mktemp("factored"), {}
    for model, words in TINY.items():
        told = invoke("train", model, *words, *COMMON, "--data", data, "--out", folder / model)
        assert told.exit_code == 0, told.stderr
        found[model] = folder / model, told.stderr
    return found


@pytest.mark.parametrize("model", TINY)
def test_a_run_says_what_it_measured_and_names_the_pictures_that_it_drew(
    model: str, trained: dict[str, tuple[Path, str]]
) -> None:
    run, said = trained[model]
    assert f"training {model} {ARCHITECTURES[model]} on 60 rows" in said
    assert re.search(r"epoch 2/2, (log-likelihood|bound) -\d+\.\d, ", said)
    assert f"The run is in {run}: see samples.png and curves.png." in said
    assert {each.name for each in run.glob("*.png")} == {"samples.png", "curves.png"}
    found = boltz.load(run)
    assert found.kind == model and found.architecture == ARCHITECTURES[model]


@pytest.mark.parametrize("model", TINY)
def test_other_commands(model: str, trained: dict[str, tuple[Path, str]]) -> None:
    run, kind = trained[model][0], "lower" if model == "vlae" else "exact"
    assert result_of("info", run)["model"] == model
    few = ("--samples", 20) if model == "vlae" else ()
    assert result_of("evaluate", run, *few)["log_likelihood"]["kind"] == kind
    for words in (("sample", run, "--out", "s.npz"), ("report", run), ("diagnose", run)):
        found = invoke(*words)
        assert found.exit_code == 0, found.stderr
    page = Path("report.html").read_text(encoding="utf-8")
    assert "no hidden unit has a picture" in page and "samples: visible states" in page


def test_a_comparison_with_an_rbm(trained: dict[str, tuple[Path, str]], run: Path) -> None:
    found = result_of("compare", *(path for path, _ in trained.values()), run, "--samples", 20)
    assert [each["name"] for each in found["models"]] == [*TINY, "small"]


REFUSED = {
    "logz": "whose log Z is 0",
    "autoencode": "units that are independent given the layer above",
}


@pytest.mark.parametrize("command", REFUSED)
@pytest.mark.parametrize("model", TINY)
def test_what_is_refused(model: str, command: str, trained: dict[str, tuple[Path, str]]) -> None:
    found = invoke(command, trained[model][0])
    assert found.exit_code == 2 and REFUSED[command] in found.stderr and found.stderr.count("Error:") == 1


def test_completion_is_refused(trained: dict[str, tuple[Path, str]]) -> None:
    for run, _ in trained.values():
        found = invoke("complete", run, "--mask", "bottom", "--out", "c.npz")
        assert found.exit_code == 2 and "independent given the layer above" in found.stderr


WRONG: list[tuple[tuple[object, ...], str]] = [
    (("nade", "--layers", "5,4"), "a nade has one hidden layer, but --layers names 2"),
    (("nade", "--latent", 3), "--latent is an option of vae, vlae and aae, not of nade"),
    (("nade", "--free-bits", 1), "--free-bits is an option of sbn, vae and vlae, not of nade"),
    (("made", "--layers", 0, "--masks", 2), "masks must be 1 without hidden layers"),
    (("nade", "--layers", 0), "--layers 0, no hidden units, is for bm and made; nade has some"),
    (("made", "--masks", 0), "masks must be a whole number of at least 1"),
    (("made", "--receptive-field", 3), "--receptive-field is an option of vlae and pixelcnn, not of made"),
    (("pixelcnn", "--layers", 3), "not of pixelcnn"),
    (("pixelcnn", "--filters", 0), "filters must be a whole number of at least 1"),
    (("vlae", "--prior", "odd"), "'odd' is not one of 'normal', 'flow', 'coupling'"),
    (("vlae", "--prior", "normal", "--flow-steps", 3), "--flow-steps would do nothing: it needs --prior flow"),
    (("vlae", "--layers", "5/4"), "a vlae has one chain of layers"),
    (("vlae", "--latent", "3,2", "--layers", 5), "a vlae has one hidden layer, but --latent names 2"),
    (("vlae", "--receptive-field", -1), "receptive_field must be a whole number of at least 0"),
    (("vae", "--soft-free-bits"), "--soft-free-bits would do nothing: it needs --free-bits above 0"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_wrong_words_end_in_a_sentence(words: tuple[object, ...], told: str, data: Path) -> None:
    found = invoke("train", *words, "--data", data, "--epochs", 1, "--out", "r")
    assert found.exit_code == 2 and told in " ".join(found.stderr.split()) and not Path("r").exists()


def test_a_made_without_hidden_layers(data: Path) -> None:
    """Each unit hears those before it: the machine of Python without widths, trained and measured by enumeration."""
    words = ("--layers", 0, "--masks", 2, "--no-natural", *COMMON, "--data", data, "--out", "r")
    found = invoke("train", "made", *words)
    assert found.exit_code == 0 and "training made 25 on 60 rows" in found.stderr, found.stderr
    machine = boltz.load("r")
    assert machine.architecture == "25" and machine.structure == boltz.made(25, (), masks=2, natural=False).structure
    assert result_of("info", "r")["parameters"] == 25 * 25 + 25
    assert result_of("evaluate", "r")["log_likelihood"]["kind"] == "exact"


def test_minutes_plan_a_training(data: Path) -> None:
    found = invoke("train", "nade", "--layers", 6, "--minutes", 0.2, "--data", data, "--out", "r")
    assert found.exit_code == 0 and boltz.load("r").kind == "nade", found.stderr
