"""Catches `boltz evaluate` giving other than the library by some method, or certifying what log Z does not allow."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import UNITS, invoke, result_of

import boltz
from boltz.estimators.estimate import Estimate, Kind, exact
from boltz.estimators.likelihood import variational_bound
from boltz.estimators.replica_exchange import LadderEstimate
from boltz.estimators.two_sided import TwoSided, sides
from boltz.estimators.words import in_words
from boltz.evaluation.evaluate import samples_for
from boltz.evaluation.words import bound_lines
from boltz.sampling import ladder_fitting


def machine(*units: int) -> boltz.BoltzmannMachine:
    generator = np.random.default_rng(3)
    weights = [generator.normal(0, 0.4, shape) for shape in pairwise(units)]
    return boltz.from_arrays(weights, [np.zeros(n) for n in units])


MACHINES = {"rbm": machine(UNITS, 22), "dbm": machine(UNITS, 23, 21), "small": machine(UNITS, 5, 4)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, model in MACHINES.items():
        model.save(folder / name)
    boltz.vae([UNITS, 4], 2).save(folder / "vae")
    return {name: folder / name for name in (*MACHINES, "vae")}


@pytest.fixture(scope="module")
def x(data: Path) -> Any:
    return boltz.load_data(str(data), "test").x.astype(np.float64)


def estimate(value: float, kind: Kind) -> Estimate:
    return Estimate(value, 0.1, (value - 0.2, value + 0.2), kind, 50.0, 100, 7, (), np.full(100, value), method="made")


RUNGS = np.linspace(0, 1, 3)
LADDER = LadderEstimate(estimate(40, "none"), RUNGS, RUNGS, RUNGS, RUNGS[1:], np.ones(64, np.int64), 0.0, {})
MEASURED = TwoSided(estimate(40, "none"), estimate(39, "lower"), estimate(41, "none"), LADDER, 1.0, True, 2.0)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log Z from both sides without the work."""
    monkeypatch.setattr("boltz.evaluation.log_z.from_both_sides", lambda *given, **settings: MEASURED)


@pytest.mark.parametrize(
    ("name", "standing", "words"),
    [
        (
            "rbm",
            {"lower": "diagnostic", "upper": "certified"},
            ("a diagnostic, less log Z from above", "certified in expectation, less log Z from below"),
        ),
        (
            "dbm",
            {"lower": "diagnostic", "upper": "none"},
            ("a diagnostic, less log Z from above", "a lower bound on log p*(v) less log Z from below"),
        ),
    ],
)
def test_sides_and_their_standing(
    name: str,
    standing: dict[str, str],
    words: tuple[str, str],
    files: dict[str, Path],
    data: Path,
    once: None,
) -> None:
    result = result_of("evaluate", files[name], "--data", data, "--error", 1)
    x = boltz.load_data(str(data), "test").x
    model = boltz.load(files[name])
    wanted = sides(boltz.log_likelihood(model, x, exact(0.0, ""), samples_for(model, 0)), MEASURED)
    assert result["log_likelihood"] == wanted.best.as_dict() and result["log_z"] == MEASURED.estimate.as_dict()
    for side, found in (("lower", wanted.lower), ("upper", wanted.upper)):
        assert result["sides"][side] == found.estimate.as_dict() | {"standing": standing[side]}
    assert result["two_sided"]["reached"] is True
    lines = invoke("evaluate", files[name], "--data", data, "--budget", 1).stdout.splitlines()
    assert "(wanted +-1: reached), trusted" in lines[0] and words[0] in lines[1] and words[1] in lines[2]
    assert lines[1].startswith("at least") and lines[2].startswith("at most" if name == "rbm" else "no bound")
    assert lines[3].startswith("log Z") and "is no bound" in lines[-2] and len(lines) == 11
    assert "independent units" in lines[-1] and "a mixture of 20 products" in lines[-1]
    assert lines[-4].startswith("mixture of 20 products -") and lines[-3].startswith("independent units -")


def test_a_small_machine_needs_no_sides(files: dict[str, Path], data: Path) -> None:
    result = result_of("evaluate", files["small"], "--data", data, "--error", 1)
    assert result["log_likelihood"]["kind"] == "exact" and "sides" not in result and result["two_sided"]["reached"]


def test_grey_rows_have_no_sides(files: dict[str, Path], grey: Path, once: None) -> None:
    result = result_of("evaluate", files["rbm"], "--data", grey, "--binarize", "none", "--error", 1)
    assert {side["standing"] for side in result["sides"].values()} == {"none"} and "not 0/1" in result["certified"]


@pytest.mark.parametrize("method", ["bound", "importance", "posterior-ais", "raise"])
def test_methods_are_those_of_the_library(method: str, files: dict[str, Path], data: Path, x: Any) -> None:
    model = boltz.load(files["small"])
    assert isinstance(model, boltz.BoltzmannMachine)
    words: dict[str, tuple[object, ...]] = {
        "importance": ("--samples", 20),
        "posterior-ais": ("--row-chains", 3, "--row-betas", 9),
        "raise": ("--row-chains", 3, "--row-betas", 9),
    }
    wanted = {
        "bound": lambda: variational_bound(model, x),
        "importance": lambda: boltz.log_likelihood(model, x, samples=20),
        "posterior-ais": lambda: boltz.posterior_ais(model, x, 3, 9),
        "raise": lambda: boltz.raise_likelihood(model, x, 3, 9),
    }[method]()
    given = ("evaluate", files["small"], "--data", data, "--method", method, *words.get(method, ()))
    result = result_of(*given)
    assert (
        result["log_likelihood"] == wanted.as_dict() and result["method"].split(";")[0] == wanted.method.split(";")[0]
    )
    assert (result["log_z"] is None) == (method == "raise")
    told = {"bound": "bounds log p*(v) from below", "raise": "conservative", "importance": "20 samples a row"}
    assert told.get(method, "of 3 annealed chains a row") in result["certified"]
    assert ("do not suffice" in result["certified"]) == (method != "bound")


def test_importance_takes_a_default_number_of_samples(files: dict[str, Path], data: Path) -> None:
    words = ("--data", data, "--method", "importance", "--limit", 2)
    assert [result_of("evaluate", files[name], *words)["samples"] for name in ("small", "vae")] == [1000, 1000]


def test_bounds_are_printed_each_with_its_kind(files: dict[str, Path], data: Path, x: Any, once: None) -> None:
    words = ("evaluate", files["small"], "--data", data, "--bounds", "1,120")
    found = result_of(*words)["bounds"]
    wanted = boltz.importance_bounds(boltz.load(files["small"]), x, (1, 120))
    assert found == [{"samples": k, **bound.as_dict()} for k, bound in zip((1, 120), wanted, strict=True)]
    lines = [line for line in invoke(*words).stdout.splitlines() if line.startswith("L_")]
    assert lines == bound_lines(dict(zip((1, 120), wanted, strict=True)))
    assert lines[0].endswith("a lower bound, NOT trusted to be log p(v) itself")
    assert bound_lines({7: estimate(-2, "none")}) == [
        "L_7      -2.00 nats +- 0.10, 95 % interval -2.20 to -1.80, no bound, trusted"
    ]
    words = ("evaluate", files["dbm"], "--data", data, "--bounds", "1,2")
    assert [bound["kind"] for bound in result_of(*words, "--betas", 5)["bounds"]] == ["none", "none"]
    between = result_of(*words, "--error", 1)
    assert [bound["kind"] for bound in between["bounds"]] == ["none", "none"]
    assert "importance-weighted bound, k = 200" in between["certified"]


@pytest.mark.usefixtures("painted")
def test_tempered_samples(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder_fitting, "PILOT_ROUNDS", 8)
    words = ("sample", files["rbm"], "--tempered", "--rounds", 20, "--chains", 9)
    result = result_of(*words, "--out", "s.npz", "--seed", 2)
    assert (result["rounds"], result["sweeps"], result["layers"]["v"]) == (20, None, [9, UNITS])
    state = boltz.tempered_sample(MACHINES["rbm"], 9, 20, seed=2)
    with np.load("s.npz") as held:
        assert all(np.array_equal(held[layer], wanted) for layer, wanted in state.items())
    assert invoke(*words, "--out", "s.png").exit_code == 0


def test_values_of_rows_are_written(files: dict[str, Path], data: Path, x: Any, tmp_path: Path) -> None:
    """One value a row, as the library has them; an existing file only with --force, and checked before the work."""
    wanted = boltz.log_likelihood(boltz.load(files["rbm"]), x, boltz.ais(boltz.load(files["rbm"]), 20, 5)).per_row
    words = ("evaluate", files["rbm"], "--data", data, "--betas", 5, "--chains", 20)
    for name in ("rows.csv", "rows.npy"):
        out = tmp_path / name
        assert result_of(*words, "--per-row", out)["per_row"] == str(out)
        again = invoke(*words, "--per-row", out)
        assert again.exit_code == 2 and "exists already" in again.stderr
        assert invoke(*words, "--per-row", out, "--force").stdout.endswith(f"Written: {out}\n")
    assert np.load(tmp_path / "rows.npy").tolist() == wanted.tolist()  # type: ignore[union-attr]
    first, *lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [str(row) for row in range(1, len(x) + 1)], (
        "as messages count rows"
    )
    assert first == "row,log_likelihood" and [float(line.split(",")[1]) for line in lines] == wanted.tolist()  # type: ignore[union-attr]
    refused = {"--per-row must end in .csv, .npy": ("--per-row", "rows.txt"), "--force is for --per-row": ("--force",)}
    for told, given in refused.items():
        found = invoke("evaluate", files["rbm"], "--data", data, *given)
        assert found.exit_code == 2 and told in found.stderr


def test_both_errors_are_in_the_text_and_the_object(files: dict[str, Path], data: Path, x: Any) -> None:
    words = ("evaluate", files["rbm"], "--data", data, "--betas", 5, "--chains", 100)
    model = boltz.load(files["rbm"])
    wanted = boltz.log_likelihood(model, x, boltz.ais(model, 100, 5))
    assert result_of(*words)["log_likelihood"]["standard_error_rows"] == wanted.standard_error_rows > 0
    told = invoke(*words).stdout.splitlines()[0]
    assert f"{in_words(wanted)}, " in told and "(estimation)" in told and f"({len(x)} rows)" in told
