"""`boltz diagnose`: what it prints of runs and model files, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from chain_checks import two_modes
from small import TEST, TRAIN, UNITS, invoke, result_of

import boltz
from boltz import runs

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
    for name in (runs.CHECKPOINT, runs.PREVIOUS):
        Path("copy", name).write_bytes(b"x" * 100)
    found = invoke("diagnose", "copy", *QUICK)
    assert found.exit_code == 2 and "no readable checkpoint" in found.stderr
    for name in (runs.CHECKPOINT, runs.PREVIOUS):
        Path("copy", name).unlink()
    assert result_of("diagnose", "copy", *QUICK)["measures"]["start"] == "data"


def test_what_is_bad_is_said_and_the_exit_code_is_0() -> None:
    two_modes().save("m.safetensors")
    np.save("rows.npy", np.ones((10, 8), np.uint8))
    found = invoke("diagnose", "m.safetensors", "--data", "rows.npy", *QUICK)
    assert found.exit_code == 0 and "bad       initial condition: Chains from data" in found.stdout
    assert "\n            there are modes that Gibbs sampling does not leave" in found.stdout


@pytest.mark.parametrize("kind", ["dbm", "dbn", "sbn", "vae"])
def test_every_machine_is_judged(kind: str, data: Path) -> None:
    machine = {"vae": lambda: boltz.vae([UNITS, 4], 2)}.get(kind, lambda: getattr(boltz, kind)([UNITS, 4, 3]))()
    stages = {"pretrain_epochs": 1} if kind == "dbn" else {}
    boltz.train(machine, boltz.load_data(str(data), limit=20), kind, epochs=1, **stages)
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


def test_what_is_refused(run: Path, data: Path) -> None:
    boltz.rbm(UNITS, 3).save("m.safetensors")
    boltz.rbm(UNITS + 1, 3).save("wide.safetensors")
    for words, text in (
        (("nowhere",), "nowhere does not exist"),
        (("m.safetensors",), "give them with --data"),
        (("wide.safetensors", "--data", data), "25 units a row"),
        ((run, "--sweeps", 3), "sweeps must be a whole number of at least 20"),
        ((run, "--seed", -1), "seed must be"),
        ((run, "--limit", 0), "limit must be"),
        ((run, "--split", "valid"), "x_valid"),
    ):
        found = invoke("diagnose", *words)
        assert found.exit_code == 2 and text in found.stderr and "Traceback" not in found.stderr, words
