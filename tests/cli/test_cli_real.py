"""Catches files of real numbers that machines with Gaussian visible units scale or refuse, unlike arrays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke, result_of
from support.training import plain_train

import boltz
from boltz.errors import FileError, InputError
from boltz.storage import run_folder

UNITS = 4
RATIO, SHIFT = np.array([0.001, 1.0, 50.0, 1000.0]), np.array([1e4, -3.0, 20.0, -1e5])
LOG_RATIO = float(np.log(RATIO).sum())
NATS = 0.01  # rounding of rows to float32 within the machine, and what training makes of it
SETTINGS = {"epochs": 4, "batch_size": 20, "learning_rate": 0.01, "seed": 3}
WORDS = ("train", "vae", "--visible", "gaussian", "--layers", 5, "--latent", 2, "--no-evaluate")
WORDS += tuple(word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", value))


def sensors(count: int, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    return np.round(generator.normal(size=(count, 2)) @ np.ones((2, UNITS)) + generator.normal(size=(count, UNITS)), 3)


X, NEW = sensors(80, 0), sensors(20, 1)


def write(name: str, x: Any, header: str = "flow,heat,load,hum") -> Path:
    np.savetxt(name, x, "%.17g", ",", header=header, comments="")
    return Path(name)


@pytest.fixture(autouse=True)
def files(alone: Path) -> None:
    write("sensors.csv", X * RATIO + SHIFT)
    write("new.csv", NEW * RATIO + SHIFT)
    write("plain.csv", X)
    write("plain-new.csv", NEW)


def trained(out: str, name: str = "sensors.csv") -> str:
    found = invoke(*WORDS, "--data", name, "--out", out)
    assert found.exit_code == 0, found.stderr
    return out


def per_row(run: str, name: str) -> Any:
    result_of("evaluate", run, "--data", name, "--samples", 50, "--per-row", "p.npy", "--force")
    return np.load("p.npy")


def test_the_command_line_and_python_learn_the_same_of_a_file() -> None:
    """Any real numbers, negative ones too, to the last bit of the parameters and of the likelihoods."""
    run = trained("run")
    rows, new = (np.loadtxt(name, delimiter=",", skiprows=1) for name in ("sensors.csv", "new.csv"))
    model = boltz.vae([UNITS, 5], 2, rows, SETTINGS["seed"], visible="gaussian")
    machine = plain_train(model, rows, **SETTINGS).model
    assert np.array_equal(boltz.load(run).arena, machine.arena)
    assert np.array_equal(per_row(run, "new.csv"), boltz.log_likelihood(machine, new, samples=50).per_row)
    table = result_of("compare", run, "--data", "new.csv", "--samples", 50, "--out", "compared")
    assert table["models"][0]["log_likelihood"] == boltz.log_likelihood(machine, new, samples=50).as_dict()


def test_columns_in_other_units_give_the_same_but_for_the_logs_of_the_units() -> None:
    """Columns far from 0 keep their digits from the text to the likelihood."""
    one, other = per_row(trained("a", "plain.csv"), "plain-new.csv"), per_row(trained("b"), "new.csv")
    assert np.abs(one - other - LOG_RATIO).max() < NATS


def test_every_command_reads_such_a_file() -> None:
    run, machine = trained("run"), boltz.load("run")
    new = NEW * RATIO + SHIFT
    assert run_folder.read_settings(run)["data"]["load"]["units"] == "gaussian"
    assert invoke("features", run, "--data", "new.csv", "--out", "f.npy").exit_code == 0
    assert np.allclose(np.load("f.npy"), boltz.features(machine, new), atol=1e-6)
    np.save("known.npy", np.array([1, 0, 1, 1]))
    words = ("complete", run, "--data", "new.csv", "--mask", "known.npy", "--sweeps", 50, "--out", "c.npy")
    assert invoke(*words).exit_code == 0
    completed = boltz.complete(machine, new, np.array([1, 0, 1, 1]), sweeps=50)
    assert np.array_equal(np.load("c.npy"), completed)
    assert invoke("sample", run, "--chains", 50, "--out", "s.npy").exit_code == 0
    assert np.abs(np.load("s.npy").mean(axis=0) - SHIFT).max() < 10 * RATIO.max()
    assert np.array_equal(np.load("s.npy"), boltz.sample(machine, 50)["v"])
    for words in (("diagnose", run), ("evaluate", run, "--split", "train"), ("evaluate", run, "--data", "new.csv")):
        assert invoke(*words).exit_code == 0, words
    tuned = ("autoencode", run, "--epochs", 2, "--out", "tuned", "--test", "new.csv")
    assert invoke(*tuned).exit_code == 0
    assert invoke("autoencode", "tuned", "--data", "new.csv", "--out", "codes").exit_code == 0


def test_held_out_files_and_a_resumed_run_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation and test rows are real as well, and a run that was stopped goes on with the same rows."""
    words = (*(word for word in WORDS if word != "--no-evaluate"), "--valid", "new.csv", "--test", "new.csv")
    assert invoke(*words, "--data", "sensors.csv", "--out", "whole").exit_code == 0
    test = result_of("evaluate", "whole", "--split", "test")
    assert test["rows"] == 20 and test["log_likelihood"]["kind"] == "lower"

    def stop(*anything: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("boltz.progress.Progress.update", stop)
        assert invoke(*words, "--data", "sensors.csv", "--out", "part").exit_code == 75
    assert invoke("train", "--resume", "part").exit_code == 0
    assert np.array_equal(boltz.load("part").arena, boltz.load("whole").arena)
    again = invoke("train", "vae", "--init", "whole", "--epochs", 1, "--out", "second", "--no-evaluate")
    assert again.exit_code == 0 and run_folder.read_settings("second")["data"]["load"]["units"] == "gaussian"


def test_what_is_no_unit_is_still_refused() -> None:
    """Names of labels, numbers of rows, classes beside fractions, missing and infinite numbers, without [0, 1]."""
    count = np.arange(len(X))
    for x, header, said in (
        (np.column_stack([X, count % 3]), "a,b,c,d,label", "column 'label' (5) would be a unit"),
        (np.column_stack([count + 7, X]), "t,a,b,c,d", "column 't' (1) holds 7 to 86, a number for each row"),
        (np.column_stack([X, count % 3]), "a,b,c,d,kind", "column 'kind' (5) holds 0 to 2 as classes do"),
    ):
        write("odd.csv", x, header)
        with pytest.raises(FileError, match=re.escape(said)) as problem:
            boltz.load_data("odd.csv", units="gaussian")
        assert len(str(problem.value)) <= 300
    write("switch.csv", np.column_stack([X, count % 2]), "a,b,c,d,on")
    assert boltz.load_data("switch.csv", units="gaussian").x.shape == (80, 5)
    np.save("odd.npy", np.where(X > 3, np.inf, X))
    with pytest.raises(FileError, match="is inf; expected finite numbers"):
        boltz.load_data("odd.npy", units="gaussian")


def test_whole_numbers_are_as_they_are_and_levels_still_divide_them() -> None:
    np.save("whole.npy", np.array([[0, 300], [5, -7]]))
    assert boltz.load_data("whole.npy", units="gaussian").x.tolist() == [[0, 300], [5, -7]]
    np.save("genes.npy", np.array([[0, 2], [1, 2]]))
    data = boltz.load_data("genes.npy", levels=2, units="gaussian")
    assert data.levels == 2 and data.kind == "bernoulli"
    np.save("grey.npy", np.array([[0, 200], [1, 2]], np.uint8))
    assert boltz.load_data("grey.npy", units="gaussian").levels == 255
    words = ("data", "whole.npy", "--units", "gaussian")
    assert result_of(*words)["kind"] == "gaussian" and "2 units, real numbers" in invoke(*words).stdout
    assert "--units would do nothing" in invoke("data", "--units", "gaussian").stderr


def test_real_rows_are_for_gaussian_units_alone() -> None:
    with pytest.raises(InputError, match="was loaded as real numbers, but the visible units of the machine are bern"):
        plain_train(boltz.rbm(UNITS, 2), boltz.load_data("sensors.csv", units="gaussian"), epochs=1)
    found = invoke("train", "vae", "--data", "sensors.csv", "--layers", 5, "--latent", 2)
    assert found.exit_code == 2 and "(--units gaussian; vae --visible gaussian)" in found.stderr
