"""Catches `boltz diagnose` printing other than it finds of runs and model files, or taking what it should refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from checks.chains import two_modes
from support.commands import TEST, TRAIN, UNITS, invoke, result_of
from support.training import plain_train

import boltz
from boltz.estimators import two_sided
from boltz.storage import run_folder

QUICK = ("--sweeps", 40)


def test_a_run_is_judged_by_its_particles_and_its_settings(run: Path) -> None:
    found = result_of("diagnose", run, *QUICK)
    assert found["measures"]["start"] == "the particles of the run" and found["measures"]["k"] == 1
    assert (found["measures"]["chains"], found["measures"]["sweeps"]) == (20, 40)
    assert (found["rows"], found["split"], found["data"], found["binarize"]) == (TRAIN, "train", "bars", "none")
    assert all(f["verdict"] in ("fine", "attention", "bad") for f in found["findings"])
    assert result_of("diagnose", run, *QUICK, "--threads", 1) == found
    assert result_of("diagnose", run, *QUICK, "--seed", 1)["measures"] != found["measures"]


def test_lines_start_with_the_verdict_and_advice_is_indented(run: Path) -> None:
    found = result_of("diagnose", run, *QUICK)["findings"]
    shown = invoke("diagnose", run, *QUICK)
    starts = [line.split()[0] for line in shown.stdout.splitlines() if not line.startswith(" ")]
    assert shown.exit_code == 0 and starts == [f["verdict"] for f in found]
    flat = " ".join(shown.stdout.split())
    for each in found:
        assert f"{each['verdict']} {each['name']}: {each['sentence']}" in flat and each["advice"] in flat


def test_rows_and_starts_can_be_others(run: Path, data: Path) -> None:
    assert result_of("diagnose", run, *QUICK, "--split", "test")["rows"] == TEST
    assert result_of("diagnose", run, *QUICK, "--limit", 7)["rows"] == 7
    bare = result_of("diagnose", run / "model.safetensors", "--data", data, *QUICK)
    assert bare["measures"]["start"] == "data" and bare["measures"]["k"] is None and bare["rows"] == TRAIN


def test_a_run_without_or_with_damaged_checkpoints(run: Path) -> None:
    shutil.copytree(run, "copy")
    for name in (run_folder.CHECKPOINT, run_folder.PREVIOUS):
        Path("copy", name).write_bytes(b"x" * 100)
    found = invoke("diagnose", "copy", *QUICK)
    assert found.exit_code == 2 and "no readable checkpoint" in found.stderr
    for name in (run_folder.CHECKPOINT, run_folder.PREVIOUS):
        Path("copy", name).unlink()
    assert result_of("diagnose", "copy", *QUICK)["measures"]["start"] == "data"


def test_what_is_bad_is_said_and_the_exit_code_is_0() -> None:
    two_modes().save("m.safetensors")
    np.save("rows.npy", np.ones((10, 8), np.uint8))
    found = invoke("diagnose", "m.safetensors", "--data", "rows.npy", *QUICK)
    assert found.exit_code == 0 and "bad       initial condition: Chains from data" in found.stdout
    assert "\n            there are modes that Gibbs sampling does not leave" in found.stdout


@pytest.mark.parametrize("kind", ["rbm", "dbm", "dbn"])
def test_a_machine_without_data_is_judged_by_its_chains(kind: str) -> None:
    """Both in Python and on the command line; what was left out is named, and the modes of a machine are found."""
    two_modes().save("m.safetensors")
    found = result_of("diagnose", "m.safetensors", *QUICK)
    names = ["mixing time", "agreement of chains", "effective draws", "initial condition"]
    assert [f["name"] for f in found["findings"]] == [*names, "changes in chains", "weight norms"]
    assert found["verdict"] == "bad" and found["rows"] == 0 and found["data"] is None and "learnt" in found["left_out"]
    shown = invoke("diagnose", "m.safetensors", *QUICK, "--log-z")
    assert shown.exit_code == 0 and "log Z: log Z is " in shown.stdout
    assert "Left out, since there are no rows (give them with --data): free energy of" in shown.stdout
    machine = boltz.rbm(6, 4) if kind == "rbm" else boltz.dbm([6, 5, 4]) if kind == "dbm" else boltz.dbn([6, 5, 4])
    told = boltz.diagnose(machine, sweeps=40)
    assert told.measures["start"] == "the modes of mean field and the biases" and told.verdict == "fine"
    assert ("inactive units" in told.about["left_out"]) == (kind == "dbn")
    rows = np.random.default_rng(3).integers(0, 2, (40, 6)).astype(np.uint8)
    run = plain_train(machine, rows, "run", epochs=1, **({"pretrain_epochs": 1} if kind == "dbn" else {}))
    assert boltz.diagnose(run, sweeps=40).measures["start"] == "the particles of the run"
    assert "left_out" not in boltz.diagnose(run, rows, sweeps=40).about


@pytest.mark.parametrize("kind", ["dbm", "dbn", "sbn", "vae"])
def test_every_machine_is_judged(kind: str, data: Path) -> None:
    machine = {"vae": lambda: boltz.vae([UNITS, 4], 2)}.get(kind, lambda: getattr(boltz, kind)([UNITS, 4, 3]))()
    stages = {"pretrain_epochs": 1} if kind == "dbn" else {}
    plain_train(machine, boltz.load_data(str(data), limit=20), kind, epochs=1, **stages)
    chains = kind in ("dbm", "dbn")
    found = result_of("diagnose", kind, *(QUICK if chains else ()))
    names = [f["name"] for f in found["findings"]]
    assert ("mixing time" in names) == chains == ("start" in found["measures"])
    assert ("inactive units" in names) == (kind != "dbm") and ("dead units" in names) == (kind != "vae")
    assert found["rows"] == 20, "no more rows than the run was trained on"
    assert not chains or found["measures"]["start"] == "the particles of the run"
    if not chains:
        refused = invoke("diagnose", kind, *QUICK)
        assert refused.exit_code == 2 and "--sweeps are of Gibbs chains" in refused.stderr


@pytest.mark.parametrize("kind", ["rbm", "dbn"])
def test_log_z_is_judged_where_it_is_asked_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine of 21 + 21 units, which is not enumerated; of a deep belief net that of its top."""
    for name in ("FIRST_ROUNDS", "FIRST_STEPS"):
        monkeypatch.setattr(two_sided, name, 60)
    machine = boltz.rbm(21, 21) if kind == "rbm" else boltz.dbn([21, 21, 21])
    machine.save("m.safetensors")
    np.save("rows.npy", np.random.default_rng(1).integers(0, 2, (30, 21)).astype(np.uint8))
    words = ("diagnose", "m.safetensors", "--data", "rows.npy", *QUICK)
    found = result_of(*words, "--log-z", "--error", 0.5, "--budget", 0)
    names = [f["name"] for f in found["findings"]]
    assert names[-7:] == [
        "log Z",
        "overlap lost",
        "swap acceptance",
        "round trips",
        "memory of copies",
        "forward/reverse gap",
        "doubling of the schedule",
    ]
    told = found["measures"]["log_z"]
    assert abs(told["value"] - 42 * np.log(2)) < 0.5 and told["wanted"] == 0.5 and told["reached"] is True
    plain = result_of(*words)
    assert [f["name"] for f in plain["findings"]] == names[:-7] and "log_z" not in plain["measures"]


def test_an_exact_log_z_is_said_to_be(run: Path) -> None:
    shown = invoke("diagnose", run, *QUICK, "--log-z")
    assert shown.exit_code == 0 and "fine      log Z: log Z is " in shown.stdout and "enumeration" in shown.stdout


def test_options_of_log_z_are_refused_where_they_are_idle(run: Path, data: Path) -> None:
    boltz.sbn([UNITS, 4]).save("sbn.safetensors")
    for words, text in (
        ((run, "--error", 0.1), "--error is of log Z: give --log-z as well."),
        ((run, "--budget", 9), "--budget is of log Z: give --log-z as well."),
        ((run, "--log-z", "--error", 0), "error must be"),
        ((run, "--log-z", "--budget", -1), "budget must be"),
        ((run, "--log-z", "--error", "nan"), "error must be"),
        (("sbn.safetensors", "--data", data, "--log-z"), "--log-z is of machines with an RBM"),
    ):
        found = invoke("diagnose", *words)
        assert found.exit_code == 2 and text in found.stderr and "Traceback" not in found.stderr, words


def test_what_is_refused(run: Path, data: Path) -> None:
    boltz.rbm(UNITS, 3).save("m.safetensors")
    boltz.rbm(UNITS + 1, 3).save("wide.safetensors")
    boltz.sbn([UNITS, 3]).save("sbn.safetensors")
    for words, text in (
        (("nowhere",), "nowhere does not exist"),
        (("m.safetensors", "--limit", 9), "give them with --data"),
        (("sbn.safetensors",), "give them with --data"),
        (("wide.safetensors", "--data", data), "25 units a row"),
        ((run, "--sweeps", 3), "sweeps must be a whole number of at least 20"),
        ((run, "--seed", -1), "seed must be"),
        ((run, "--limit", 0), "limit must be"),
        ((run, "--limit", 1), "at least 2 rows"),
        ((run, "--split", "valid"), "x_valid"),
    ):
        found = invoke("diagnose", *words)
        assert found.exit_code == 2 and text in found.stderr and "Traceback" not in found.stderr, words
