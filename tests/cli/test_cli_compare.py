"""Catches `boltz compare` measuring a machine otherwise than the library, or a wrong table, file or picture."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import TEST, UNITS, invoke, result_of

import boltz
from boltz.cli import compare as compare_module
from boltz.evaluation.compare import SIZES

PAINTED = True
FILES = ("rbm", "dbm", "dbn", "sbn", "vae")
ANNEALING = ("--betas", 20, "--chains", 10)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files of all machines, none of them trained; log Z of two is annealed."""
    folder = tmp_path_factory.mktemp("models")
    generator = np.random.default_rng(2)
    shapes = [(UNITS, 24), (24, 23)]
    machines = {
        "rbm": boltz.rbm(UNITS, 3),
        "dbm": boltz.from_arrays([generator.normal(0, 0.5, s) for s in shapes], [np.zeros(n) for n in (UNITS, 24, 23)]),
        "dbn": boltz.dbn([UNITS, 21, 22]),
        "sbn": boltz.sbn([UNITS, 9, 8]),
        "vae": boltz.vae([UNITS, 6], 2),
    }
    for name, machine in machines.items():
        if isinstance(machine, boltz.HelmholtzMachine):
            machine.arena[...] = generator.normal(0, 0.5, machine.arena.size)
        machine.save(folder / name)
    return {name: folder / name for name in machines}


@pytest.fixture(scope="module")
def compared(models: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("compared") / "all"
    result = result_of("compare", *models.values(), "--data", data, "--samples", 30, *ANNEALING, "--out", out)
    assert json.loads((out / "compare.json").read_text()) == result
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    return result


def test_every_row_is_what_the_library_measures(compared: dict[str, Any], models: dict[str, Path], data: Path) -> None:
    assert (compared["data"], compared["split"], compared["rows"], compared["binarize"]) == (
        "bars",
        "test",
        TEST,
        "none",
    )
    assert [row["name"] for row in compared["models"]] == [row["model"] for row in compared["models"]] == list(FILES)
    x = boltz.load_data(str(data), "test").x
    for row in compared["models"]:
        model = boltz.load(models[row["name"]])
        undirected = model if isinstance(model, boltz.BoltzmannMachine) else model.prior_machine
        log_z = None
        if undirected is not None:
            log_z = boltz.exact_log_z(undirected) if row["model"] == "rbm" else boltz.ais(undirected, 10, 20)
            assert row["log_z"] == log_z.as_dict() | {"method": log_z.method}
        sizes = [1, 2, 5, 10, 20, 30]
        bounds = boltz.importance_bounds(model, x, sizes, log_z)
        assert row["bounds"] == [{"samples": k, **b.as_dict()} for k, b in zip(sizes, bounds, strict=True)]
        assert row["log_likelihood"] == bounds[-1].as_dict() and row["parameters"] == model.arena.size
        assert row["active_units"] == boltz.active_units(model, x)
        assert row["minus_kl"] == pytest.approx(bounds[0].value - bounds[-1].value, abs=1e-12) and row["seconds"] > 0


def test_the_kinds_of_bound(compared: dict[str, Any]) -> None:
    kinds = {row["name"]: row["log_likelihood"]["kind"] for row in compared["models"]}
    assert kinds == {"rbm": "exact", "dbm": "none", "dbn": "none", "sbn": "lower", "vae": "lower"}
    for row in compared["models"]:
        assert ("importance" in row["method"]) == (row["samples"] == 30) == (row["model"] != "rbm")
        assert row["minus_kl"] <= 0 and (row["model"] in ("sbn", "vae")) == (row["log_z"] is None)
        assert "annealed" not in row["certified"] or row["log_likelihood"]["kind"] == "upper"


def test_the_table_has_a_row_for_each(models: dict[str, Path], data: Path) -> None:
    found = invoke("compare", *models.values(), "--data", data, "--samples", 3, *ANNEALING)
    assert found.exit_code == 0
    text = found.stdout
    for words in (
        "log Z by AIS",
        "log Z 0",
        "log Z exact",
        "free energy",
        f"vae {UNITS}-6-[2]",
        "of 24",
        "active units",
    ):
        assert words in text
    assert "runs/compare-bars/compare.json" in text and Path("runs/compare-bars/compare.png").exists()
    for row in json.loads(Path("runs/compare-bars/compare.json").read_text())["models"]:
        assert f"{row['log_likelihood']['value']:.2f}" in text and f"{row['parameters']:,}" in text
        assert row["certified"] in text and all(line == line.rstrip() for line in text.splitlines())
    invoke("compare", models["rbm"], "--data", data)
    assert Path("runs/compare-bars-2/compare.json").exists()


def test_grey_rows_are_drawn_once_for_all(models: dict[str, Path], grey: Path) -> None:
    words = ("compare", models["rbm"], models["vae"], "--data", grey, "--limit", 9, "--samples", 5)
    drawn = result_of(*words, "--out", "a", "--seed", 3)
    assert (drawn["rows"], drawn["binarize"]) == (9, "dynamic")
    evaluated = result_of("evaluate", models["rbm"], "--data", grey, "--limit", 9, "--seed", 3)
    assert drawn["models"][0]["log_likelihood"] == evaluated["log_likelihood"]
    threshold = result_of(*words, "--out", "b", "--binarize", "threshold")
    assert threshold["binarize"] == "threshold" and threshold["models"] != drawn["models"]


def test_runs_bring_their_data(run: Path) -> None:
    result = result_of("compare", run, run / "model.safetensors", "--out", "c")
    assert result["data"] == "bars" and [row["name"] for row in result["models"]] == ["small", "model.safetensors"]
    twice = invoke("compare", run, run, "--out", "d")
    assert twice.exit_code == 2 and "is named twice" in twice.stderr and not Path("d").exists()


def test_sizes_rise_to_a_k_of_papers() -> None:
    assert SIZES[0] == 1 and list(SIZES) == sorted(set(SIZES)) and SIZES[-1] == 5000


def test_an_earlier_comparison_is_replaced_only_by_force(models: dict[str, Path], data: Path) -> None:
    words = ("compare", models["rbm"], "--data", data, "--out", "c")
    assert invoke(*words).exit_code == 0
    before = Path("c", compare_module.TABLE).read_bytes()
    refused = invoke(*words, "--limit", 3)
    assert refused.exit_code == 2 and "--force" in refused.stderr
    assert Path("c", compare_module.TABLE).read_bytes() == before
    assert invoke(*words, "--limit", 3, "--force").exit_code == 0
    assert Path("c", compare_module.TABLE).read_bytes() != before


def test_machines_that_cannot_be_compared(models: dict[str, Path], data: Path, run: Path) -> None:
    boltz.vae([UNITS, 4], 2, visible="gaussian").save("gaussian")
    boltz.rbm(9, 2).save("narrow")
    cases: list[tuple[tuple[object, ...], str]] = [
        ((models["vae"], "gaussian", "--data", data), "the same visible units"),
        ((models["vae"], "narrow", "--data", data), "the same visible units"),
        ((models["vae"],), "give them with --data"),
        (("narrow", "--data", data), "has 25 units a row"),
        ((models["vae"], "--data", data, "--betas", 10), "--betas is for annealed importance sampling"),
        ((models["rbm"], "--data", data, "--samples", 10), "--samples would do nothing"),
        ((models["vae"], "--data", data, "--samples", 0), "samples must be"),
        ((models["vae"], "nowhere"), "nowhere does not exist"),
        ((models["vae"], "--data", data, "--out", "narrow"), "narrow is a file"),
        ((), "Missing argument"),
    ]
    for words, sentence in cases:
        found = invoke("compare", *words)
        assert found.exit_code == 2 and sentence in found.stderr and found.stdout == "", words
    assert not Path("runs").exists()


def test_runs_on_different_data_need_a_choice(data: Path, grey: Path) -> None:
    for name, source in (("a", data), ("b", grey)):
        words = ("--layers", 3, "--epochs", 0, "--no-evaluate")
        assert invoke("train", "rbm", *words, "--data", source, "--out", name).exit_code == 0
    found = invoke("compare", "a", "b")
    assert found.exit_code == 2 and "choose with --data" in found.stderr
    assert invoke("compare", "a", "b", "--data", data, "--out", "c").exit_code == 0


def test_pairs_are_those_of_the_values_written_row_by_row(models: dict[str, Path], data: Path) -> None:
    """One column a machine, under names that no spreadsheet runs; a difference is the mean of theirs row by row."""
    formula, comma = Path("=1+1"), Path("a,b")
    formula.write_bytes(models["rbm"].read_bytes())
    comma.write_bytes(models["vae"].read_bytes())
    words = ("compare", formula, comma, models["sbn"], "--data", data, "--samples", 30, "--out", "c")
    result = result_of(*words, "--per-row", "rows.csv")
    assert result["per_row"] == "rows.csv" and json.loads(Path("c/compare.json").read_text()).get("per_row") is None
    lines = list(csv.reader(Path("rows.csv").read_text().splitlines()))
    assert lines[0] == ["row", "'=1+1", "a,b", "sbn"] and [line[0] for line in lines[1:]] == [
        str(i) for i in range(1, TEST + 1)
    ]
    rows = np.array([line[1:] for line in lines[1:]], np.float64)
    names = [row["name"] for row in result["models"]]
    for i, row in enumerate(result["models"]):
        assert rows[:, i].mean() == pytest.approx(row["log_likelihood"]["value"], abs=1e-9)
    told = {(p["first"], p["second"]): p for p in result["pairs"]}
    assert list(told) == [("=1+1", "a,b"), ("=1+1", "sbn"), ("a,b", "sbn")] and "differences" not in result
    for (first, second), pair in told.items():
        apart = rows[:, names.index(first)] - rows[:, names.index(second)]
        assert pair["difference"] == pytest.approx(apart.mean(), abs=1e-9)
        assert {"interval", "verdict"} <= set(pair)
    assert invoke(*words, "--force", "--per-row", "rows.npy").exit_code == 0
    np.testing.assert_array_equal(np.load("rows.npy"), rows)
    for name, sentence in (("rows.txt", "--per-row must end in .csv, .npy"), ("rows.csv", "exists already")):
        found = invoke(*words[:-1], "d", "--per-row", name)
        assert found.exit_code == 2 and sentence in found.stderr and not Path("d").exists()
