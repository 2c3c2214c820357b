"""Catches `boltz train` with other results than the library, broken run folders, and stops that cannot be resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commands import SMALL, TEST, TRAIN, UNITS, invoke, wait_for

import boltz
from boltz import presets
from boltz.cli.machines import MACHINES
from boltz.data import dataset
from boltz.storage import metrics, run_folder, snapshots

ERRORS = {"standard_error", "standard_error_rows", "interval", "trusted", "doubts"}
ESTIMATE = {"value", "kind", "ess", "chains", "steps"} | ERRORS


@pytest.mark.usefixtures("painted")
def test_rbm_result_and_folder(data: Path) -> None:
    found = invoke("train", "rbm", *SMALL, "--data", data, "--out", "a/b", "--json")
    assert found.exit_code == 0
    assert len(found.stdout.splitlines()) == 1
    result = json.loads(found.stdout)
    assert {"run", "model", "layers", "architecture", "epochs", "seconds", "test", "notes"} == result.keys()
    assert (result["run"], result["model"], result["layers"], result["epochs"]) == ("a/b", "rbm", [UNITS, 3], 3)
    assert result["seconds"] > 0
    assert result["test"]["log_likelihood"].keys() == result["test"]["log_z"].keys() == ESTIMATE
    assert result["test"]["log_likelihood"]["kind"] == "exact" and result["test"]["rows"] == TEST
    names = {p.name for p in Path("a/b").iterdir()} - {run_folder.LOCK}
    pictures = {"samples.png", "filters.png", "curves.png"}
    files = {
        run_folder.SETTINGS,
        run_folder.CHECKPOINT,
        run_folder.PREVIOUS,
        run_folder.MODEL,
        metrics.METRICS,
        metrics.TABLE,
        run_folder.RESULT,
    }
    assert names == files | {snapshots.FOLDER} | pictures
    assert json.loads(Path("a/b/test.json").read_text()) == result
    assert "The log-likelihood is exact." in found.stderr and "Traceback" not in found.stderr


def test_a_machine_that_left_a_mode_is_told_of(data: Path) -> None:
    np.save("modes.npy", np.repeat([[0.0], [1.0]], 60, axis=0) + np.zeros(20))
    words = ("--layers", 5, "--epochs", 60, "--learning-rate", 0.2, "--no-evaluate", "--data", "modes.npy")
    found = invoke("train", "rbm", *words, "--out", "left", "--json")
    (note,) = (note for note in json.loads(found.stdout)["notes"] if "--rule ptt" in note)
    assert note in found.stderr


def test_dbm_with_annealing_says_that_nothing_is_certified(data: Path) -> None:
    found = invoke(
        *("train", "dbm", "--layers", "25,24", "--epochs", 2, "--pretrain-epochs", 2, "--data", data),
        *("--betas", 30, "--chains-ais", 20),
        *("--threads", 1, "--json"),
    )
    assert found.exit_code == 0
    test = json.loads(found.stdout)["test"]
    assert test["log_likelihood"]["kind"] == "none" and test["log_z"]["kind"] == "lower"
    assert (test["log_z"]["chains"], test["log_z"]["steps"], test["log_z"]["trusted"]) == (20, 30, False)
    assert "no bound" in test["certified"] and "NOT trusted" in test["certified"]
    assert test["certified"] in found.stderr
    assert Path("runs/dbm-25-24-bars/model.safetensors").exists()


def test_without_json_stdout_is_empty_and_names_are_free(data: Path) -> None:
    for name in ("rbm-3-bars", "rbm-3-bars-2"):
        found = invoke("train", "rbm", *SMALL, "--data", data, "--no-evaluate")
        assert found.exit_code == 0 and found.stdout == ""
        assert (Path("runs") / name / "samples.png").exists()
        assert json.loads((Path("runs") / name / "test.json").read_text())["test"] is None


def test_data_in_one_piece_have_no_test_likelihood() -> None:
    np.save("rows.npy", np.eye(6, dtype=np.uint8))
    found = invoke("train", "rbm", *SMALL, "--data", "rows.npy", "--out", "r", "--json")
    test = json.loads(found.stdout)["test"]
    assert test["log_likelihood"] is None and test["log_z"]["kind"] == "exact"
    assert "neither test nor validation rows" in found.stderr
    again = invoke("evaluate", "r", "--split", "train", "--json")
    assert json.loads(again.stdout)["rows"] == 6


@pytest.mark.parametrize("model", list(MACHINES))
def test_options_not_given_are_the_defaults_of_the_machine(data: Path, model: str) -> None:
    machine = MACHINES[model]
    layers = {"rbm": "4", "vae": "4", "bm": "4", "nade": "4", "multimodal": "a=3"}.get(model, "4,3")
    shape = ("--layers", layers) if "layers" in machine.options else ()
    views = ("--modality", "a=x:bernoulli", "--modality", "b=x:bernoulli", "--layers", "b=3")
    short = {"epochs": 1} | ({"pretrain_epochs": 1} if "pretrain_epochs" in machine.options else {})
    words = [word for name, value in short.items() for word in ("--" + name.replace("_", "-"), value)]
    words += views if model == "multimodal" else ()
    found = invoke("train", model, *shape, "--data", data, "--out", "r", *words, "--no-evaluate")
    assert found.exit_code == 0, found.stderr
    units = 2 * UNITS if model == "multimodal" else UNITS
    wanted = machine.options | presets.preset(model, TRAIN, units) | short | {"patience": 0, "validation": 0.0}
    wanted |= {"binarize": "none"} if model == "multimodal" else {}
    if "samples" in wanted:
        wanted["samples"] = 5 if model == "sbn" else 1
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in machine.settings_from(wanted).as_dict().items()}
    assert run_folder.read_settings("r")["settings"] == plain


def test_an_existing_run_needs_force(data: Path) -> None:
    words = ("train", "rbm", *SMALL, "--data", data, "--out", "r")
    assert invoke(*words).exit_code == 0
    before = Path("r/model.safetensors").read_bytes()
    refused = invoke(*words, "--seed", 3)
    assert refused.exit_code == 2 and "--force" in refused.stderr
    assert Path("r/model.safetensors").read_bytes() == before
    assert invoke(*words, "--seed", 3, "--force").exit_code == 0
    assert Path("r/model.safetensors").read_bytes() != before


def test_a_complete_run_is_left_as_it_is(run: Path) -> None:
    files = [path for path in run.rglob("*") if path.is_file() and path.name != run_folder.LOCK]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    found = invoke("train", "--resume", run, "--json", "--threads", 1)
    assert found.exit_code == 0 and "nothing to do" in found.stderr
    assert json.loads(found.stdout) == json.loads((run / "test.json").read_text())
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    assert {*files, run / run_folder.LOCK} == {path for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", [None, "{", '["run"]'])
def test_a_run_that_was_not_measured_is_measured_by_resume(data: Path, content: str | None) -> None:
    words = ("--layers", "25", "--epochs", 1, "--betas", 30, "--chains-ais", 5)
    first = json.loads(invoke("train", "rbm", *words, "--data", data, "--out", "r", "--json").stdout)
    Path("r/test.json").unlink()
    if content is not None:
        Path("r/test.json").write_text(content)
    found = invoke("train", "--resume", "r", "--json")
    assert found.exit_code == 0
    assert json.loads(found.stdout) == first and first["test"]["log_z"]["chains"] == 5


def test_stopping_the_measurement_is_resumable(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ais = boltz.ais

    def stop(model: boltz.BoltzmannMachine, chains: int, *rest: object, **options: object) -> boltz.Estimate:
        if chains == 100:
            raise KeyboardInterrupt
        return ais(model, chains, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("boltz.estimators.ais.ais", stop)
    words = ("train", "rbm", "--layers", "25", "--epochs", 1, "--betas", 10, "--data", data, "--out", "r")
    found = invoke(*words, "--json")
    assert found.exit_code == 75 and found.stdout == "" and "--resume r" in found.stderr
    monkeypatch.setattr("boltz.estimators.ais.ais", ais)
    assert invoke("train", "--resume", "r").exit_code == 0
    assert Path("r/test.json").exists()


def test_stopping_before_there_is_a_run_is_not_resumable(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("train", "rbm", *SMALL, "--data", data, "--out", "r")
    assert invoke(*words).exit_code == 0

    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(boltz, "train", stop)
    for extra in (("--out", "new"), ("--force",)):
        found = invoke(*words, *extra)
        assert found.exit_code == 130 and "--resume" not in found.stderr
    assert Path("r/test.json").exists() and not Path("new").exists()


def test_a_diverging_run_fails_with_code_1(data: Path) -> None:
    words = ["train", "rbm", *SMALL, "--learning-rate", "1", "--l2", "1e6", "--epochs", "20", "--json"]
    command = [sys.executable, "-m", "boltz.cli", *words, "--data", str(data), "--out", "r"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 1 and process.stdout == ""
    assert "Error: Training stopped" in process.stderr and "Traceback" not in process.stderr


LONG = ("--layers", "25", "--epochs", "200", "--batch-size", "20", "--betas", "30")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    assert invoke("train", "rbm", *LONG, "--data", data, "--out", folder).exit_code == 0
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resume_ends_as_if_unbroken(data: Path, unbroken: Path, number: signal.Signals) -> None:
    words = ["train", "rbm", *LONG, "--data", str(data), "--out", "r", "--json"]
    command = [sys.executable, "-m", "boltz.cli", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(Path("r/metrics.jsonl"), process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, err
    assert out == "" and "boltz train --resume r" in err and "Traceback" not in err
    assert not Path("r/model.safetensors").exists()
    resumed = invoke("train", "--resume", "r", "--json")
    assert resumed.exit_code == 0
    assert json.loads(resumed.stdout)["test"] == json.loads((unbroken / "test.json").read_text())["test"]
    assert np.array_equal(boltz.load("r").arena, boltz.load(unbroken).arena)


def test_a_corrupt_checkpoint_is_passed_over_once_and_named(data: Path) -> None:
    words = ("train", "rbm", *SMALL, "--data", data, "--out", "r")
    first = json.loads(invoke(*words, "--json").stdout)
    for name in (run_folder.MODEL, run_folder.RESULT):
        Path("r", name).unlink()
    content = bytearray(Path("r", run_folder.CHECKPOINT).read_bytes())
    content[-1] ^= 1
    Path("r", run_folder.CHECKPOINT).write_bytes(content)
    found = invoke("train", "--resume", "r", "--json")
    assert found.exit_code == 0 and "damaged" in found.stderr
    assert json.loads(found.stdout)["test"] == first["test"]
    for name in (run_folder.CHECKPOINT, run_folder.PREVIOUS):
        Path("r", name).write_bytes(content)
    found = invoke("train", "--resume", "r", "--json")
    assert found.exit_code == 2 and found.stdout == "" and "no readable checkpoint" in found.stderr


def test_test_rows_never_choose_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows and test rows: a tenth of the former is held out, or nothing, and the latter are only measured."""
    monkeypatch.setattr(presets, "MOST_EPOCHS", 60)  # of 2,000
    rng = np.random.default_rng(2)
    for name, count in (("train", 80), ("test", 20)):
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 2, (count, 6)).astype(np.uint8))
    words = ("--data", tmp_path / "train.npy", "--test", tmp_path / "test.npy", "--layers", 2, "--batch-size", 80)
    for more, share in (((), presets.VALIDATION), (("--validation", 0), 0.0), (("--patience", 9), presets.VALIDATION)):
        found = invoke("train", "rbm", *words, *more, "--out", "r", "--force", "--json")
        assert found.exit_code == 0, found.stderr
        settings, history = run_folder.read_settings("r")["settings"], metrics.read_metrics("r")
        assert settings["validation"] == share and (settings["patience"] > 0) == (share > 0)
        judged = [record for record in history if record["held_out_log_likelihood"] is not None]
        assert bool(judged) == (share > 0)
        test = json.loads(found.stdout)["test"]
        assert (test["which"], test["rows"]) == ("test", 20) and "independent units" in test["learnt"]
    words = (*words[:2], *words[4:])
    found = invoke("train", "rbm", *words, "--out", "r", "--force", "--json")
    test = json.loads(found.stdout)["test"]
    assert (test["which"], test["rows"]) == ("validation", 8) and "which also chose the epoch" in found.stderr
    learnt, held = dataset.parted(boltz.load_data(tmp_path / "train.npy"), presets.VALIDATION, 0)
    wanted = boltz.independent_units(learnt.x, held.x)  # which saw no more than the machine
    assert test["beside"]["independent_units"]["value"] == pytest.approx(wanted.value, abs=1e-6)
    refused = invoke("train", "rbm", *words, "--validation", 0, "--patience", 3, "--out", "r", "--force")
    assert refused.exit_code == 2 and "--patience waits for a better epoch on validation rows" in refused.stderr
