"""Catches `boltz features` writing other than the posterior means, by kind of file or at the seam of two pieces."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.commands import TRAIN, UNITS, invoke, result_of

import boltz
from boltz.data import readers
from boltz.data.loading import load
from boltz.evaluation import rows as rows_module

GREY = np.random.default_rng(3).integers(0, 256, (50, UNITS)).astype(np.uint8)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a 25-6-4 machine."""
    rng = np.random.default_rng(4)
    weights = [rng.normal(0, 0.5, shape).astype(np.float32) for shape in ((25, 6), (6, 4))]
    path = tmp_path_factory.mktemp("models") / "deep.safetensors"
    boltz.from_arrays(weights, [np.zeros(n, np.float32) for n in (25, 6, 4)]).save(path)
    return path


def test_the_three_kinds_of_file_hold_the_same(deep: Path, data: Path) -> None:
    wanted = boltz.features(boltz.load(deep), load(str(data)).x, "all")
    for ending in ("npz", "npy", "csv"):
        found = result_of("features", deep, "--data", data, "--layer", "all", "--out", f"f.{ending}")
        assert found["rows"] == TRAIN and found["layers"] == {"h1": 6, "h2": 4} and found["labels"] is False
    with np.load("f.npz") as held:
        assert set(held) == {"features", "layers"} and list(held["layers"]) == ["h1"] * 6 + ["h2"] * 4
        np.testing.assert_array_equal(held["features"], wanted)
    np.testing.assert_array_equal(np.load("f.npy"), wanted)
    assert Path("f.csv").read_text().splitlines()[0] == ",".join(
        [f"h1_{i}" for i in range(1, 7)] + [f"h2_{i}" for i in range(1, 5)]
    )
    np.testing.assert_array_equal(np.loadtxt("f.csv", np.float32, delimiter=",", skiprows=1), wanted)
    np.testing.assert_array_equal(load("f.csv").x, wanted)  # boltz reads what it wrote
    np.testing.assert_array_equal(load("f.npz:features").x, wanted)


@pytest.mark.parametrize(("layer", "name"), [("top", "h2"), ("1", "h1"), ("h1", "h1"), ("2", "h2")])
def test_a_layer_by_name_or_number(deep: Path, data: Path, layer: str, name: str) -> None:
    result_of("features", deep, "--data", data, "--layer", layer, "--split", "test", "--out", "f.npy")
    np.testing.assert_array_equal(np.load("f.npy"), boltz.features(boltz.load(deep), load(str(data), "test").x, name))


@pytest.mark.parametrize("how", ["none", "threshold", "fixed"])
def test_pieces_and_mapping_change_nothing(deep: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    np.save("grey.npy", GREY)
    words = ("features", deep, "--data", "grey.npy", "--binarize", how, "--seed", 3)
    assert result_of(*words, "--out", "whole.npy")["binarize"] == how
    monkeypatch.setattr(rows_module, "NUMBERS", 32)
    monkeypatch.setattr(readers, "MAPPED_BYTES", 1)
    assert [c.stop for c in rows_module.chunks(50, UNITS)] == [32, 50]
    assert invoke(*words, "--out", "pieces.npy").exit_code == 0
    assert Path("whole.npy").read_bytes() == Path("pieces.npy").read_bytes()
    mean = GREY / np.float32(255)
    seen = np.load("whole.npy"), boltz.features(boltz.load(deep), mean), boltz.features(boltz.load(deep), mean >= 0.5)
    assert (np.array_equal(seen[0], seen[1]), np.array_equal(seen[0], seen[2])) == (how == "none", how == "threshold")


def test_features_of_what_is_known(deep: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, model = load(str(data)).x.astype(np.float32), boltz.load(deep)
    one, many = np.arange(UNITS) < 12, np.random.default_rng(5).integers(0, 2, x.shape)
    monkeypatch.setattr(rows_module, "NUMBERS", 32 * UNITS)
    for name, mask in (("one", one), ("many", many)):
        np.save(f"{name}.npy", mask)
        words = ("features", deep, "--data", data, "--mask", f"{name}.npy")
        assert invoke(*words, "--out", f"f-{name}.npy").exit_code == 0
        found = np.load(f"f-{name}.npy")
        np.testing.assert_allclose(found, boltz.features(model, x, "top", mask), rtol=1e-5, atol=1e-6)
        assert np.abs(found - boltz.features(model, x)).max() > 1e-3


def test_labels_go_along(deep: Path) -> None:
    labels = np.arange(50) % 3
    np.savez("labelled.npz", x_train=GREY, y_train=labels)
    found = result_of("features", deep, "--data", "labelled.npz", "--limit", 20, "--out", "f.npz")
    assert found["labels"] is True
    with np.load("f.npz") as held:
        np.testing.assert_array_equal(held["labels"], labels[:20])
        assert held["features"].shape == (20, 4) and "layers" not in held


def test_a_mapped_file_and_its_features_may_be_larger_than_memory(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most memory that is held must not grow with the file: here it is a part of either file."""
    monkeypatch.setattr(readers, "MAPPED_BYTES", 1)
    monkeypatch.setattr(rows_module, "NUMBERS", 2**15)
    rows = np.lib.format.open_memmap("large.npy", "w+", np.uint8, (400_000, UNITS))
    rows[:, ::3] = 1
    del rows
    tracemalloc.start()
    try:
        found = invoke("features", run, "--data", "large.npy", "--out", "f.npy", "--threads", 1)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.exit_code == 0, found.stderr
    sizes = [Path(name).stat().st_size for name in ("large.npy", "f.npy")]
    assert most < min(sizes) / 2, (most, sizes)
    features = np.load("f.npy", mmap_mode="r")
    assert features.shape == (400_000, 3) and np.array_equal(features[0], features[-1])


CASES: list[tuple[tuple[object, ...], str]] = [
    (("--layer", "h9"), "layer must be top, all, 1 to 1"),
    (("--layer", "0"), "layer must be"),
    (("--out", "f.txt"), "--out must end in .npz, .npy, .csv"),
    (("--out", "there.npy"), "exists already"),
    (("--out", "folder.npy", "--force"), "is a folder"),
    (("--out", "none/f.npy"), "the folder none does not exist"),
    (("--data", "wide.npy"), "has 26 units a row, but the machine has 25"),
    (("--data", "inf.npy"), "row 2, column 3 is inf"),
    (("--split", "test", "--data", "wide.npy"), "it has no split 'test'"),
    (("--binarize", "dynamic"), "'dynamic' is not one of"),
    (("--seed", "-1"), "seed must be"),
    (("--mask", "wide.npy"), "--mask must have shape (60, 25) or (25,)"),
    (("--mask", "grey.npy"), "--mask must hold 0 and 1 (known)"),
    (("--mask", "missing.npy"), "missing.npy does not exist"),
]


@pytest.mark.parametrize(("words", "said"), CASES)
def test_bad_input(run: Path, data: Path, words: tuple[object, ...], said: str) -> None:
    np.save("wide.npy", np.zeros((5, 26)))
    np.save("inf.npy", np.where(np.arange(50).reshape(2, 25) == 27, np.inf, 0.5))
    np.save("grey.npy", np.resize(GREY, (60, UNITS)))
    np.save("there.npy", np.zeros(1))
    Path("folder.npy").mkdir()
    before = sorted(Path(".").iterdir())
    found = invoke("features", run, *(() if "--data" in words else ("--data", data)), *words)
    assert found.exit_code == 2 and said in found.stderr and found.stdout == ""
    assert len(found.stderr.strip().splitlines()) == 1 or "Usage" in found.stderr
    assert sorted(Path(".").iterdir()) == before


def test_what_is_no_run_is_told() -> None:
    for path, said in (("nowhere", "does not exist"), (".", "is not a run folder")):
        found = invoke("features", path, "--data", "mnist-mini")
        assert found.exit_code == 2 and said in found.stderr
