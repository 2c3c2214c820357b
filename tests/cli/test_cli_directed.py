"""Catches a directed machine that the commands cannot train, measure, sample, describe, resume or start from."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import TEST, TRAIN, UNITS, invoke, result_of, wait_for
from support.training import plain_train

import boltz
from boltz import presets
from boltz.evaluation.evaluate import SAMPLES, SAMPLES_WITH_PRIOR
from boltz.evaluation.rows import visible_rows
from boltz.storage import metrics, run_folder

TINY: dict[str, tuple[object, ...]] = {
    "vae": ("--layers", "6", "--latent", "2", "--epochs", 2),
    "sbn": ("--layers", "9,8", "--epochs", 2),
    "dbn": ("--layers", "25,24", "--pretrain-epochs", 1, "--epochs", 1, "--k", 1, "--betas", 20, "--chains-ais", 5),
}
PICTURES = {"samples.png", "filters.png", "curves.png"}
COMMON = ("--batch-size", 20)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Path]:
    """A complete run of each directed machine; tests only read them."""
    folder = tmp_path_factory.mktemp("directed")
    for model, words in TINY.items():
        found = invoke("train", model, *words, *COMMON, "--data", data, "--out", folder / model)
        assert found.exit_code == 0, found.stderr
    return {model: folder / model for model in TINY}


def held_rows(model: boltz.HelmholtzMachine, data: Path) -> Any:
    return visible_rows(boltz.load_data(str(data), "test"), "dynamic", 0, model)[0]


@pytest.mark.parametrize("model", list(TINY))
def test_a_run_folder_and_its_result(trained: dict[str, Path], data: Path, model: str) -> None:
    folder = trained[model]
    names = {p.name for p in folder.iterdir()} - {run_folder.LOCK}
    assert (
        names
        == {
            run_folder.SETTINGS,
            run_folder.CHECKPOINT,
            run_folder.PREVIOUS,
            run_folder.MODEL,
            metrics.METRICS,
            metrics.TABLE,
            run_folder.RESULT,
        }
        | PICTURES
    )
    result = json.loads((folder / run_folder.RESULT).read_text())
    assert (result["model"], result["run"]) == (model, str(folder))
    machine = boltz.load(folder)
    samples = {"dbn": SAMPLES_WITH_PRIOR}.get(model, SAMPLES)
    x = held_rows(machine, data)
    test = result["test"]
    log_z = None
    if model == "dbn":
        log_z = boltz.ais(machine.prior_machine, 5, 20, 0)
        assert test["log_z"] == log_z.as_dict() and "annealed" in test["methods"]["log_z"]
    else:
        assert test["log_z"] is None and test["methods"].keys() == {"log_likelihood"}
    assert test["log_likelihood"] == boltz.log_likelihood(machine, x, log_z, samples).as_dict()
    assert (test["rows"], test["samples"], test["binarize"]) == (TEST, samples, "none")
    assert test["log_likelihood"]["kind"] == {"dbn": "none"}.get(model, "lower")
    assert ("anneal" in test["certified"]) is False and ("log Z is 0" in test["certified"]) is (model != "dbn")


def test_the_machine_is_the_one_that_python_builds(data: Path) -> None:
    words = ("--layers", "6,5/4", "--latent", "3,2", "--activation", "relu", "--epochs", 0, "--seed", 4)
    for out, model, extra in (("v", "vae", words), ("s", "sbn", ("--layers", "6,5", "--widths", "4", *words[4:]))):
        assert invoke("train", model, *extra, "--data", data, "--out", out, "--no-evaluate").exit_code == 0
    x = boltz.load_data(str(data)).x
    wanted = boltz.vae([UNITS, [6, 5], [4]], [3, 2], x, seed=4, activation="relu")
    assert boltz.load("v").structure == wanted.structure and np.array_equal(boltz.load("v").arena, wanted.arena)
    wanted = boltz.sbn([UNITS, 6, 5], [4], x, seed=4, activation="relu")
    assert boltz.load("s").structure == wanted.structure and np.array_equal(boltz.load("s").arena, wanted.arena)


def test_the_initial_biases_come_from_every_nth_row(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    monkeypatch.setattr("boltz.checks.INITIAL_ROWS", 25)
    assert invoke("train", "vae", *TINY["vae"][:4], "--epochs", 0, "--data", data, "--out", "v").exit_code == 0
    wanted = boltz.vae([UNITS, 6], 2, boltz.load_data(str(data)).x[::3])
    assert np.array_equal(boltz.load("v").arena, wanted.arena)


def test_few_hidden_units_are_enumerated(data: Path) -> None:
    words = ("train", "sbn", "--layers", "4,3", "--epochs", 1, "--data", data, "--json")
    exact = json.loads(invoke(*words).stdout)["test"]
    assert exact["log_likelihood"]["kind"] == "exact" and exact["certified"] == "The log-likelihood is exact."
    weighted = json.loads(invoke(*words, "--evaluation-samples", 20).stdout)["test"]
    assert weighted["log_likelihood"]["kind"] == "lower" and "20 samples" in weighted["certified"]
    assert weighted["log_likelihood"]["value"] < exact["log_likelihood"]["value"] + 0.1


@pytest.mark.parametrize("model", list(TINY))
def test_evaluate_agrees_with_the_run(trained: dict[str, Path], model: str) -> None:
    annealing = ("--betas", 20, "--chains", 5) if model == "dbn" else ()
    result = result_of("evaluate", trained[model], *annealing)
    test = json.loads((trained[model] / run_folder.RESULT).read_text())["test"]
    for name in ("log_likelihood", "log_z", "samples", "certified"):
        assert result[name] == test[name]
    more = result_of("evaluate", trained[model], *annealing, "--samples", 7, "--limit", 3, "--split", "train")
    assert (more["rows"], more["samples"]) == (3, 7) and "k = 7" in more["method"]
    assert "log-likelihood of 3 rows" in invoke("evaluate", trained[model], *annealing, "--limit", 3).stdout


def test_log_z_is_that_of_the_prior(trained: dict[str, Path]) -> None:
    machine = boltz.load(trained["dbn"])
    found = result_of("logz", trained["dbn"], "--betas", 20, "--chains", 5)
    assert found["log_z"] == boltz.ais(machine.prior_machine, 5, 20).as_dict()
    assert "RBM on top" in invoke("logz", trained["dbn"], "--betas", 20, "--chains", 5).stdout
    for model in ("vae", "sbn"):
        refused = invoke("logz", trained[model])
        assert refused.exit_code == 2 and "log Z is 0" in refused.stderr


def test_samples_of_a_vae(trained: dict[str, Path]) -> None:
    result = result_of("sample", trained["vae"], "--chains", 12, "--out", "s.npz")
    assert result["layers"] == {"v": [12, UNITS], "h1": [12, 2]} and result["sweeps"] is None
    state = boltz.sample(boltz.load(trained["vae"]), 12)
    with np.load("s.npz") as held:
        assert (held["v"].dtype, held["h1"].dtype) == (np.uint8, np.float32)
        assert all(np.array_equal(held[name], x) for name, x in state.items())
    assert invoke("sample", trained["vae"], "--layer", "h1", "--out", "s.npy").exit_code == 0
    assert np.load("s.npy").dtype == np.float32 and np.ptp(np.load("s.npy")) > 1


def test_samples_of_a_deep_belief_net_follow_its_sweeps(trained: dict[str, Path]) -> None:
    result = result_of("sample", trained["dbn"], "--chains", 12, "--sweeps", 3, "--out", "s.npz")
    assert result["sweeps"] == 3 and list(result["layers"]) == ["v", "h1", "h2"]
    state = boltz.sample(boltz.load(trained["dbn"]), 12, 3)
    with np.load("s.npz") as held:
        assert all(held[name].dtype == np.uint8 and np.array_equal(held[name], x) for name, x in state.items())


@pytest.mark.parametrize(("model", "layer"), [("vae", "v"), ("vae", "h1"), ("sbn", "h2"), ("dbn", "v")])
@pytest.mark.usefixtures("painted")
def test_pictures_of_samples(trained: dict[str, Path], model: str, layer: str) -> None:
    sweeps = ("--sweeps", 2) if model == "dbn" else ()
    found = invoke("sample", trained[model], "--chains", 9, "--layer", layer, "--out", "s.png", *sweeps)
    assert found.exit_code == 0 and Path("s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "architecture", "visible"),
    [
        ("vae", f"{UNITS}-6-[2]", "bernoulli"),
        ("sbn", f"{UNITS}-9-8", "bernoulli"),
        ("dbn", f"{UNITS}-25-24", "bernoulli"),
    ],
)
def test_info_of_runs_and_models(trained: dict[str, Path], model: str, architecture: str, visible: str) -> None:
    found = result_of("info", trained[model])
    assert (found["model"], found["architecture"], found["visible"]) == (model, architecture, visible)
    assert found["parameters"] == boltz.load(trained[model]).arena.size
    assert found["epochs"] == found["epochs_planned"] == {"dbn": 3}.get(model, 2)
    assert found["data"]["rows"] == TRAIN and found["complete"] is True
    file = result_of("info", trained[model] / run_folder.MODEL)
    assert (file["model"], file["architecture"], file["rates"]) == (model, architecture, model == "dbn")
    assert architecture in invoke("info", trained[model]).stdout


def test_gaussian_visible_units_take_numbers_as_they_are(grey: Path) -> None:
    words = ("train", "vae", *TINY["vae"], "--data", grey, "--visible", "gaussian", "--out", "g")
    found = invoke(*words, "--json")
    assert found.exit_code == 0, found.stderr
    test = json.loads(found.stdout)["test"]
    assert test["binarize"] == "none" and "not 0/1" not in test["certified"]
    assert test["log_likelihood"]["kind"] == "lower"
    assert run_folder.read_settings("g")["settings"]["binarize"] == "none"
    x = boltz.load_data(str(grey)).x / np.float32(255)
    bias = boltz.vae([UNITS, 6], 2, x, visible="gaussian").params["generative/v/1/bias"]
    assert np.abs(boltz.load("g").params["generative/v/1/bias"] - bias).max() < 0.1
    assert result_of("evaluate", "g")["log_likelihood"] == test["log_likelihood"]
    assert invoke("sample", "g", "--out", "s.npy").exit_code == 0 and np.load("s.npy").dtype == np.float64
    for refused in (invoke(*words, "--binarize", "dynamic"), invoke("evaluate", "g", "--binarize", "fixed")):
        assert refused.exit_code == 2 and "binarize must be none for Gaussian visible units" in refused.stderr
    again = invoke("train", "vae", "--init", "g", "--epochs", 1, "--out", "h", "--no-evaluate")
    assert again.exit_code == 0 and run_folder.read_settings("h")["settings"]["binarize"] == "none"


def test_a_second_stage_starts_from_the_trained_machine(trained: dict[str, Path], data: Path) -> None:
    words = ("train", "vae", "--init", trained["vae"], "--objective", "iwae", "--samples", 3)
    assert invoke(*words, "--epochs", 0, "--out", "same", "--no-evaluate").exit_code == 0
    assert np.array_equal(boltz.load("same").arena, boltz.load(trained["vae"]).arena)
    found = invoke(*words, "--epochs", 1, "--json")
    assert found.exit_code == 0
    folder = Path("runs/vae-6-2-bars")
    assert json.loads(found.stdout)["run"] == str(folder)
    description = run_folder.read_settings(folder)
    assert description["init"] == {"path": str(trained["vae"])} and description["data"]["rows"] == TRAIN
    assert description["data"]["load"]["name_or_path"] == str(data)
    assert description["settings"]["objective"] == "iwae" and description["settings"]["samples"] == 3
    x = boltz.load_data(str(data))
    settings = {
        "objective": "iwae",
        "samples": 3,
        "epochs": 1,
        "batch_size": presets.batch_for(TRAIN),
        **presets.rates_for("vae", TRAIN, UNITS),
    }
    assert np.array_equal(boltz.load(folder).arena, plain_train(boltz.load(trained["vae"]), x, **settings).model.arena)
    assert "init:" in invoke("info", folder).stdout


def test_a_second_stage_of_a_deep_machine_is_not_pretrained_again(trained: dict[str, Path]) -> None:
    found = invoke("train", "dbn", "--init", trained["dbn"], "--epochs", 1, "--k", 1, "--out", "r", "--no-evaluate")
    assert found.exit_code == 0, found.stderr
    assert [record["stage"] for record in metrics.read_metrics("r")] == ["up-down"]


def test_a_second_stage_from_a_model_file_names_its_data(run: Path, data: Path) -> None:
    words = ("train", "rbm", "--init", run / run_folder.MODEL, "--epochs", 1, "--out", "r", "--no-evaluate")
    refused = invoke(*words)
    assert refused.exit_code == 2 and f"the machine of {run / run_folder.MODEL} has {UNITS}" in refused.stderr
    assert invoke(*words, "--data", data, "--limit", 30).exit_code == 0
    assert run_folder.read_settings("r")["data"]["rows"] == 30


@pytest.mark.parametrize("model", ["vae", "dbn"])
def test_a_signal_saves_and_resume_ends_as_if_unbroken(data: Path, model: str) -> None:
    long = {"vae": ("--epochs", 80), "dbn": ("--epochs", 40, "--pretrain-epochs", 20)}[model]
    words = ["train", model, *TINY[model][:4], *TINY[model][6:], *long, *COMMON, "--data", data, "--json"]
    command = [sys.executable, "-m", "boltz.cli", *map(str, words), "--out", "r"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(Path("r/metrics.jsonl"), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75 and "boltz train --resume r" in err
    assert re.search(r"epochs: +\d+ of ", invoke("info", "r").stdout)
    resumed = invoke("train", "--resume", "r", "--json")
    unbroken = invoke(*words, "--out", "whole")
    assert resumed.exit_code == unbroken.exit_code == 0
    assert json.loads(resumed.stdout)["test"] == json.loads(unbroken.stdout)["test"]
    assert np.array_equal(boltz.load("r").arena, boltz.load("whole").arena)
