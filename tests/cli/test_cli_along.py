"""Catches `boltz evaluate --along` finding what the library does at a snapshot, or taking what would do nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.commands import TEST, invoke, result_of
from support.training import plain_train

import boltz
from boltz.errors import FileError, InputError
from boltz.estimators.along_training import LikelihoodAlong
from boltz.estimators.words import figure, small
from boltz.plotting import curves, images
from boltz.sampling import ladder_fitting
from boltz.storage import snapshots

ROUNDS = ("--along", "--rounds", 40)
TRAIN = ("--epochs", 4, "--batch-size", 20, "--chains", 10, "--snapshots", 4, "--no-evaluate")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Pilot runs of small machines need not be long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder_fitting, "PILOT_ROUNDS", 16)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Path]:
    """Runs with snapshots; the DBM has greedy pretraining, whose updates count as well."""
    folder = tmp_path_factory.mktemp("runs")
    for kind, layers in {"rbm": ("3",), "dbm": ("3,2", "--pretrain-epochs", 2)}.items():
        found = invoke("train", kind, "--layers", *layers, *TRAIN, "--data", data, "--out", folder / kind)
        assert found.exit_code == 0, found.stderr
    return {kind: folder / kind for kind in ("rbm", "dbm")}


@pytest.fixture
def doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's answer, whose ladder is not trusted."""
    real = boltz.likelihood_along

    def untrusted(*given: Any) -> LikelihoodAlong:
        found = real(*given)
        return replace(
            found, ladder=replace(found.ladder, estimate=replace(found.ladder.estimate, doubts=("made",), ess=3))
        )

    monkeypatch.setattr("boltz.evaluation.along.likelihood_along", untrusted)


@pytest.mark.parametrize(("kind", "last"), [("rbm", 12), ("dbm", 18)])  # 3 updates an epoch; 2 epochs of a pair first
def test_along_training(kind: str, last: int, runs: dict[str, Path], data: Path) -> None:
    run = runs[kind]
    found = invoke("evaluate", run, *ROUNDS, "--json", "--picture", "p.png")
    assert found.exit_code == 0, found.stderr
    assert re.search(r"replica exchange 27/27\n(rows of machines .*\n)*rows of machines 4/4\n$", found.stderr)
    result: dict[str, Any] = json.loads(found.stdout)
    model, x = boltz.load(run), boltz.load_data(str(data), "test").x
    assert isinstance(model, boltz.BoltzmannMachine)
    wanted = boltz.likelihood_along(model, boltz.trajectory(run), x, 40)
    steps = [*(int(file.stem) for file in snapshots.listed(run)), last]
    assert [entry["step"] for entry in result["along"]] == steps and steps == sorted(set(steps))
    assert [entry["log_likelihood"] for entry in result["along"]] == wanted.values.tolist()
    assert [entry["error"] for entry in result["along"]] == wanted.errors.tolist()
    final = result["log_likelihood"]
    assert (final["value"], final["standard_error"]) == (wanted.values[-1], wanted.errors[-1])
    assert final["interval"][0] < final["value"] < final["interval"][1]
    assert final["kind"] == result["kind"] == "none" and result["rows"] == TEST
    assert final["trusted"] == result["trusted"] == wanted.ladder.estimate.trusted
    assert result["log_z"] == wanted.ladder.estimate.as_dict()
    bound = "free energy" if kind == "rbm" else "variational bound"
    assert result["method"].startswith(f"{bound}; log Z by replica exchange, ")
    assert ("a lower bound on log p*(v) (variational bound)" in result["certified"]) == (kind == "dbm")
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    lines = invoke("evaluate", run, *ROUNDS).stdout.splitlines()
    told = f"{figure(wanted.values[-1], wanted.errors[-1])} nats +- {small(wanted.errors[-1])} (estimation) +- "
    assert lines[0].startswith(f"log-likelihood of {TEST} rows (bars test, binarize none) {told}")
    assert f"({TEST} rows), 95 % interval" in lines[0]
    of_rows = wanted.per_row[-1].std(ddof=1) / TEST**0.5
    assert final["standard_error_rows"] == pytest.approx(of_rows, rel=1e-12)
    assert lines[1].startswith("no bound: log Z by replica exchange, ") and lines[2].startswith("along training")
    shown = [re.fullmatch(r"  update +(\d+) +(-[\d.]+) \+- [\d.e-]+", line) for line in lines[3:-2]]
    assert [(int(m[1]), m[2]) for m in shown if m] == [
        (step, figure(value, error)) for step, value, error in zip(steps, wanted.values, wanted.errors, strict=True)
    ]
    assert lines[-2] == result["certified"] and "is no bound" in lines[-2]


def test_what_is_not_trusted_says_so(runs: dict[str, Path], doubtful: None) -> None:
    lines = invoke("evaluate", runs["rbm"], *ROUNDS).stdout.splitlines()
    assert "NOT trusted, nor is its interval" in lines[0] and "NOT trusted, since" in lines[1]
    assert lines[2] == "along training (NOT trusted):"
    result = result_of("evaluate", runs["rbm"], *ROUNDS)
    assert (result["trusted"], result["log_likelihood"]["trusted"]) == (False, False)


def test_grey_rows_are_no_likelihood(runs: dict[str, Path], grey: Path) -> None:
    result = result_of("evaluate", runs["rbm"], *ROUNDS, "--data", grey, "--binarize", "none")
    assert "not 0/1" in result["certified"] and not result["trusted"] and result["binarize"] == "none"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *(
            (
                ("--along", name, value),
                f"--along has a way of its own to log p*(v) and to log Z, so it takes no {name}.",
            )
            for name, value in {
                "--method": "bound",
                "--samples": 3,
                "--bounds": "1,2",
                "--row-chains": 3,
                "--row-betas": 3,
                "--chains": 3,
                "--betas": 3,
                "--error": 1,
                "--budget": 1,
            }.items()
        ),
        (("--along", "--rounds", 19), "--rounds must be a whole number of at least 20"),
        (("--along", "--picture", "p.gif"), "--picture must end in .png, .svg, .pdf"),
        (("--along", "--picture", "no/p.png"), "--picture must lie in a folder that exists"),
        (("--along", "--seed", -1), "seed must be"),
        (("--rounds", 40), "--rounds is for --along."),
        (("--picture", "p.png"), "--picture is for --along."),
    ],
)
def test_what_would_do_nothing_is_refused(words: tuple[object, ...], message: str, runs: dict[str, Path]) -> None:
    found = invoke("evaluate", runs["dbm"], *words)
    assert found.exit_code == 2 and found.stderr.startswith("Error: ") and message in found.stderr
    assert found.stdout == "" and not Path("p.png").exists()


def test_machines_without_snapshots_are_refused(runs: dict[str, Path], data: Path) -> None:
    plain_train(boltz.rbm(25, 2), np.eye(25), out="bare", epochs=1, snapshots=0)
    for path in (Path("bare"), runs["rbm"] / "model.safetensors"):
        found = invoke("evaluate", path, "--along", "--data", data)
        assert found.exit_code == 2
        assert (
            found.stderr == f"Error: --along needs a run that kept snapshots (boltz train --snapshots), got {path}.\n"
        )
    boltz.sbn([25, 2]).save("sbn")
    found = invoke("evaluate", "sbn", "--along", "--data", data)
    assert found.exit_code == 2 and "--along is for a run of a machine of kind rbm or dbm, got one of kind sbn" in (
        found.stderr
    )


def test_a_run_whose_plan_cannot_be_read_is_refused() -> None:
    plain_train(boltz.rbm(25, 2), np.eye(25), out="r", epochs=2, batch_size=5, snapshots=4)
    file = Path("r/run.toml")
    file.write_text(file.read_text().replace("rows = 25", "rows = 0"))
    for words in ((), ("--data", "nowhere.npy")):  # before any rows are asked for
        found = invoke("evaluate", "r", "--along", *words)
        assert found.exit_code == 2
        assert found.stderr.startswith("Error: r/run.toml does not describe a run (rows must be ")
    with pytest.raises(FileError, match=r"r/run\.toml does not describe a run"):
        boltz.evaluate_along("r")


@pytest.mark.usefixtures("painted")
def test_the_picture() -> None:
    values, errors = np.array([-3.0, -2.0, -1.5]), np.array([0.1, np.inf, 0.3])
    figure: Figure = curves.likelihood_along([1, 10, 1000], values, errors, False)
    (axes,) = figure.axes
    line, bars = axes.containers[0][0], axes.containers[0][2][0].get_segments()  # type: ignore[index]
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([[1, 10, 1000], values]))
    np.testing.assert_allclose([bars[0][:, 1], bars[2][:, 1]], [[-3.2, -2.8], [-2.1, -0.9]])
    assert axes.get_xscale() == "log" and len(bars[1]) == 0 and "NOT trusted" in axes.get_title()
    assert "NOT" not in curves.likelihood_along([1, 2, 3], values, errors, True).axes[0].get_title()
    images.save(figure, "p.png")
    for bad in ([1.0], [[1.0, 2.0, 3.0]], [1.0, np.nan, 2.0]):
        with pytest.raises(InputError, match=r"^values must "):
            curves.likelihood_along([1, 2, 3], bad, errors, True)


def test_the_last_machine_bears_the_update_that_is_kept(data: Path) -> None:
    """It would catch the updates of the whole plan beside parameters of an earlier epoch, which held-out rows chose."""
    words = ("--layers", 3, *TRAIN, "--patience", 4, "--data", data, "--out", "run")
    assert invoke("train", "rbm", *words).exit_code == 0
    metrics = Path("run/metrics.jsonl")
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    scored = [record | {"held_out_log_likelihood": -float(abs(record["epoch"] - 3))} for record in records]
    metrics.write_text("".join(json.dumps(record) + "\n" for record in scored))
    result = json.loads(invoke("evaluate", "run", *ROUNDS, "--json").stdout)
    assert result["along"][-1]["step"] == 3 * 3
