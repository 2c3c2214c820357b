"""Catches `boltz complete` changing known units, filling others not from the machine, or changing the kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import TEST, UNITS, invoke, result_of

import boltz
from boltz.data.loading import load
from boltz.evaluation import rows as measure

HALVES = {
    "left": np.arange(25) % 5 < 2,
    "right": np.arange(25) % 5 >= 2,
    "top": np.arange(25) < 10,
    "bottom": np.arange(25) >= 10,
}


@pytest.mark.parametrize("word", list(HALVES))
def test_words_name_the_known_half(run: Path, data: Path, word: str) -> None:
    found = result_of("complete", run, "--data", data, "--mask", word, "--method", "mean-field", "--out", "c.npz")
    x, known = load(str(data), "test").x, HALVES[word]
    with np.load("c.npz") as held:
        np.testing.assert_array_equal(held["mask"], np.broadcast_to(known, x.shape))
        np.testing.assert_array_equal(held["completed"][:, known], x[:, known])
        wanted = boltz.complete(boltz.load(run), x.astype(np.float32), known, "mean-field")
        np.testing.assert_array_equal(held["completed"], wanted)
    assert found["rows"] == TEST and found["split"] == "test" and found["known"] == known.mean()
    off = (wanted - x)[:, ~known] ** 2
    assert found["squared_error"] == pytest.approx(off.mean(), rel=1e-6)


@pytest.mark.usefixtures("painted")
def test_every_kind_of_file_and_method(run: Path, data: Path) -> None:
    np.save("mask.npy", HALVES["top"])
    words = ("complete", run, "--data", data, "--mask", "mask.npy", "--limit", 6, "--sweeps", 20, "--seed", 5)
    x, model = load(str(data), "test", 6).x.astype(np.float32), boltz.load(run)
    for method in ("mean", "sample", "mean-field"):
        wanted = boltz.complete(model, x, HALVES["top"], method, 20, 5)
        for ending in ("npy", "csv", "npz"):
            out = f"{method}.{ending}"
            assert invoke(*words, "--method", method, "--out", out).exit_code == 0
        np.testing.assert_array_equal(np.load(f"{method}.npy"), wanted)
        np.testing.assert_array_equal(load(f"{method}.csv").x, wanted)
        np.testing.assert_array_equal(load(f"{method}.npz:completed").x, wanted)
    assert set(np.unique(np.load("sample.npy"))) <= {0, 1}
    assert invoke(*words, "--out", "c.png").exit_code == 0
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    assert Path("mean.csv").read_text().startswith("v_1,v_2,")


def test_a_mask_of_rows_and_a_share_by_seed(run: Path, data: Path) -> None:
    words = ("complete", run, "--data", data, "--method", "mean-field")
    mask = np.random.default_rng(1).integers(0, 2, (TEST, UNITS))
    np.savetxt("mask.csv", mask, "%d", delimiter=",")
    assert result_of(*words, "--mask", "mask.csv", "--out", "a.npz")["known"] == pytest.approx(mask.mean())
    with np.load("a.npz") as held:
        np.testing.assert_array_equal(held["mask"], mask)
    masks = []
    for seed, out in ((1, "b.npz"), (1, "c.npz"), (2, "d.npz")):
        assert invoke(*words, "--mask", "random:0.5", "--seed", seed, "--out", out).exit_code == 0
        with np.load(out) as held:
            masks.append(held["mask"].tobytes())
    assert masks[0] == masks[1] != masks[2]
    for share, known in (("0", 0.0), ("1", 1.0)):
        found = result_of(*words, "--mask", f"random:{share}", "--out", f"e{share}.npy")
        assert found["known"] == known and (found["squared_error"] is None) == (share == "1")


CASES: list[tuple[tuple[object, ...], str]] = [
    ((), "--mask must say what is known: "),
    (("--mask", "middle"), "--mask must name a file of 0 and 1 (known), got 'middle'"),
    (("--mask", "random:1.5"), "random:SHARE"),
    (("--mask", "random:x"), "random:SHARE"),
    (("--mask", "random:nan"), "random:SHARE"),
    (("--mask", "missing.npy"), "missing.npy does not exist"),
    (("--mask", "wide.npy"), "--mask must have shape (20, 25) or (25,), but wide.npy has (2, 26)"),
    (("--mask", "grey.npy"), "--mask must hold 0 and 1 (known), but grey.npy has 0.5 in row 1, column 4"),
    (("--mask", "nan.npy"), "--mask must hold 0 and 1 (known), but nan.npy has nan"),
    (("--mask", "top", "--sweeps", 0), "sweeps must be"),
    (("--mask", "top", "--method", "gibbs"), "'gibbs' is not one of"),
    (("--mask", "top", "--out", "c.txt"), "--out must end in .npz, .npy, .csv, .png"),
    (("--mask", "top", "--out", "there.npy"), "exists already"),
    (("--mask", "top", "--out", "none/c.npy"), "the folder none does not exist"),
    (("--mask", "top", "--data", "wide.npy"), "has 26 units a row, but the machine has 25"),
    (("--mask", "top", "--data", "inf.npy"), "inf.npy, row 1, column 4 is inf"),
]


@pytest.mark.parametrize(("words", "said"), CASES)
def test_bad_input(run: Path, data: Path, words: tuple[object, ...], said: str) -> None:
    np.save("wide.npy", np.zeros((2, 26)))
    np.save("grey.npy", np.where(np.arange(25) == 3, 0.5, 1.0))
    np.save("nan.npy", np.where(np.arange(25) == 3, np.nan, 1.0)[None])
    np.save("inf.npy", np.where(np.arange(25) == 3, np.inf, 1.0)[None])
    np.save("there.npy", np.zeros(1))
    before = sorted(Path(".").iterdir())
    found = invoke("complete", run, *(() if "--data" in words else ("--data", data)), *words)
    assert found.exit_code == 2 and said in found.stderr and found.stdout == ""
    assert len(found.stderr.strip().splitlines()) == 1 or "Usage" in found.stderr
    assert sorted(Path(".").iterdir()) == before


@pytest.mark.usefixtures("painted")
def test_halves_need_images_and_mean_field_a_boltzmann_machine() -> None:
    boltz.rbm(7, 2).save("rbm.safetensors")
    boltz.vae([9, 4], 2).save("vae.safetensors")
    np.save("seven.npy", np.zeros((2, 7), np.uint8))
    np.save("nine.npy", np.zeros((2, 9), np.uint8))
    halves = invoke("complete", "rbm.safetensors", "--data", "seven.npy", "--mask", "left")
    assert halves.exit_code == 2 and "the rows are no images" in halves.stderr
    words = ("complete", "vae.safetensors", "--data", "nine.npy", "--mask", "random:0.5", "--sweeps", 5)
    refused = invoke(*words, "--method", "mean-field")
    assert refused.exit_code == 2 and "mean-field is for BoltzmannMachines" in refused.stderr
    assert invoke(*words, "--out", "c.png").exit_code == 0  # rows that are no images are drawn as lines


def test_rows_that_do_not_fit_into_memory_are_refused(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "memory", lambda: 1000.0)
    found = invoke("complete", run, "--data", data, "--mask", "top")
    assert found.exit_code == 2 and "name fewer with --limit" in found.stderr
