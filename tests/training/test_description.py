"""What run.toml says: it is read as it was written, and what anybody made of it ends in one sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from checks import training as checks
from support.training import plain_train

import boltz
from boltz.errors import FileError
from boltz.networks.fine_tune import tuning_of
from boltz.storage import run_folder
from boltz.training.description import OWN, RowsEntry, RunDescription, description_at, read_description

MACHINES: dict[str, Callable[[], Any]] = {
    "rbm": lambda: boltz.rbm(4, 2),
    "dbm": lambda: boltz.dbm([4, 3, 2]),
    "dbn": lambda: boltz.dbn([4, 3, 2]),
    "vae": lambda: boltz.vae([4, 3], [2]),
}
ODD: tuple[Any, ...] = (5, -1, "text", "", [], [1, "a"], {}, {"load": 3}, {"load": {"name_or_path": []}}, True, 1e308)


@pytest.mark.parametrize("name", MACHINES)
def test_a_run_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    machine = MACHINES[name]()
    x = np.random.default_rng(1).integers(0, 2, (6, machine.layers[0].units)).astype(float)
    plain_train(machine, x, tmp_path / "r", epochs=1, extra={"picture": {"shape": [1, 2]}, "mine": {"a": 1}})
    found = read_description(tmp_path / "r")
    assert found.as_table() == run_folder.read_settings(tmp_path / "r")
    run = found.drawn()
    assert (run.plan, run.dtype, run.levels) == (machine.plan, machine.dtype, machine.levels)
    assert found.image == (1, 2) and found.part("mine") == {"a": 1} and found.task is None
    assert found.data.get("rows") == len(x) and not found.held_out and not found.learnt and found.data.name is None
    assert RunDescription.from_table(tomllib.loads(tomli_w.dumps(found.as_table())), found.folder) == found


def test_a_model_file_says_nothing(tmp_path: Path) -> None:
    boltz.rbm(3, 2).save(tmp_path / "m")
    assert description_at(tmp_path / "m") == RunDescription() == description_at(None)


@pytest.mark.parametrize("part", [*OWN, "picture", "valid", "test", "rows", "evaluation"])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_parts_end_in_one_sentence(part: str, odd: Any) -> None:
    good = {"model": {"units": [3, 2], "kind": "bernoulli", "dtype": "float32"}, "settings": {"epochs": 1}}
    found = RunDescription.from_table(good | {part: odd}, Path("r"))
    assert found.image is None and found.setting("epochs", str) is None
    assert isinstance(found.learnt, RowsEntry) and isinstance(found.as_table(), dict)
    for look in (found.drawn, lambda: tuning_of(found), lambda: found.data_again("data", None, boltz.rbm(3, 2))):
        try:
            look()
        except boltz.InputError as told:
            assert str(told).endswith(".") and "\n" not in str(told)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("units", [3, 0]), ("units", "ab"), ("units", [3]), ("units", [2**70, 2]), ("kind", "odd"), ("kind", 3),
        ("dtype", "int32,(("), ("dtype", 7), ("levels", "x"), ("levels", -3), ("structure", {"layers": 3}),
    ],
)  # fmt: skip
def test_a_machine_that_cannot_be_is_refused(entry: str, value: Any) -> None:
    good = {"units": [3, 2], "kind": "bernoulli", "dtype": "float32"}
    found = RunDescription.from_table({"model": good | {entry: value}, "settings": {}}, Path("r"))
    with pytest.raises(FileError, match=r"^r/run\.toml does not describe a run \(.*\)\.$"):
        found.drawn()


def test_a_run_without_settings_is_not_trained_by_default_ones() -> None:
    checks.check_run_without_settings()
