"""Catches `boltz train --grow` that starts from another machine than the grown one, forgets its data, or pretrains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.commands import invoke

import boltz
from boltz.storage import metrics, run_folder


def grown(run: Path, *words: object) -> Path:
    """The folder of a run that grew from another one."""
    folder = Path("grown")
    found = invoke("train", "dbm", "--grow", run, "--out", folder, "--no-evaluate", "--force", *words)
    assert found.exit_code == 0, found.stderr
    return folder


def test_a_layer_and_units_are_added_to_a_run(run: Path, data: Path) -> None:
    """What is trained for no epoch is the machine of boltz.grow, with the seed of the run; its data are kept."""
    before = boltz.load(run)
    for words, options in (
        ((), {}),
        (("--seed", 4), {"seed": 4}),
        (("--grow-wiring", "random", "--grow-scale", 0.2), {"wiring": "random", "scale": 0.2}),
    ):
        folder = grown(run, "--layers", "4,5", "--epochs", 0, *words)
        wanted = boltz.grow(before, [4, 5], **options)
        np.testing.assert_array_equal(boltz.load(folder).arena, wanted.arena)
        told = run_folder.read_settings(folder)
        assert told["init"] == {"path": str(run), "grown": True, "wiring": options.get("wiring", "single")}
        assert told["data"]["load"]["name_or_path"] == str(data)


def test_a_grown_machine_is_not_pretrained(run: Path) -> None:
    folder = grown(run, "--layers", "3,4", "--epochs", 2, "--positive", "collapsed")
    assert [record["stage"] for record in metrics.read_metrics(folder)] == ["joint", "joint"]
    told = run_folder.read_settings(folder)["settings"]
    assert told["positive"] == "collapsed" and told["pretrain_epochs"] == 0
    assert boltz.load(folder).architecture == "25-3-4"


def test_a_machine_grows_twice_and_from_a_file(run: Path, data: Path) -> None:
    grown(run, "--layers", "3,4", "--epochs", 1).rename("first")
    folder = grown(Path("first/model.safetensors"), "--layers", "3,4,2", "--epochs", 1, "--data", data)
    assert boltz.load(folder).architecture == "25-3-4-2"


def test_only_machines_that_grow_show_the_options() -> None:
    for model in ("rbm", "dbm", "dbn", "sbn", "vae"):
        assert ("--grow-scale" in invoke("train", model, "--help").stdout) is (model in ("rbm", "dbm"))
