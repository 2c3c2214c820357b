"""`boltz compare`: one row a machine, each as the library measures it, and a table, a file and a picture of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import TEST, UNITS, invoke, result_of

import boltz
from boltz.cli import compare as compare_module
from boltz.evaluation import compare as comparing
from boltz.evaluation.compare import SIZES

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


def test_differences_are_of_pairs_of_rows(compared: dict[str, Any], models: dict[str, Path], data: Path) -> None:
    """Each machine less the best, the error that of differences of single rows; catches errors added as if apart."""
    best = max(compared["models"], key=lambda row: row["log_likelihood"]["value"])
    assert [each["name"] for each in compared["differences"]] == [n for n in FILES if n != best["name"]]
    x = boltz.load_data(str(data), "test").x
    rows = {}
    for row in compared["models"]:
        model = boltz.load(models[row["name"]])
        log_z = row["log_z"] and row["log_z"]["value"]
        rows[row["name"]] = boltz.importance_bounds(model, x, (1, 2, 5, 10, 20, 30), log_z)[-1].per_row
    for each in compared["differences"]:
        pairs = np.subtract(rows[each["name"]], rows[best["name"]])
        assert each["less"] == best["name"] and each["value"] == pytest.approx(pairs.mean(), abs=1e-9)
        assert each["standard_error_rows"] == pytest.approx(pairs.std(ddof=1) / TEST**0.5, rel=1e-9)
        errors = [row["log_z"]["standard_error"] for row in compared["models"]
                  if row["name"] in (each["name"], best["name"]) and row["log_z"]]  # fmt: skip
        assert each["standard_error"] == pytest.approx(np.hypot.reduce([0.0, 0.0, *errors]), abs=1e-12)


def test_a_difference_in_words() -> None:
    each = {"name": "a", "less": "b", "value": -1.23456, "standard_error": 0.05, "standard_error_rows": 0.0012}
    assert comparing._difference(each) == "a less b: -1.2346 +- 0.050 (log Z) +- 0.0012 (rows, in pairs)"
    bare = each | {"standard_error": 0.0, "standard_error_rows": None}
    assert comparing._difference(bare) == "a less b: -1.2346"
