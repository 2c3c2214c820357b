"""Catches training on a mapped file that differs in a bit from memory, or that takes memory for the rows."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training import plain_train

import boltz
from boltz.data import readers
from boltz.errors import InputError

GREY = np.random.default_rng(12).integers(0, 256, (30, 6))
REAL = np.random.default_rng(13).normal(size=(30, 6))
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 8}


class StopError(Exception):
    """Ends a run after an epoch."""


def mapped(folder: Path, x: np.ndarray) -> np.memmap:
    np.save(folder / "x.npy", x)
    found = np.load(folder / "x.npy", mmap_mode="r")
    assert isinstance(found, np.memmap)
    return found


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shuffle", [True, False])
def test_mapped_rows_train_as_rows_in_memory(tmp_path: Path, kind: Any, shuffle: bool) -> None:
    x = (GREY / 255).astype(kind) if np.dtype(kind).kind == "f" else GREY.astype(kind)
    model = boltz.rbm(6, 4, GREY / 255).with_levels(255)
    runs = [
        plain_train(
            boltz.rbm(6, 4, rows) if kind != np.int64 else model, rows, held_out=rows[:9], shuffle=shuffle, **SHORT
        )
        for rows in (x, mapped(tmp_path, x))
    ]
    assert runs[0].model.arena.tobytes() == runs[1].model.arena.tobytes()
    assert runs[0].model.rates["h1"].tobytes() == runs[1].model.rates["h1"].tobytes()
    assert runs[0].history[-1]["free_energy_gap"] == runs[1].history[-1]["free_energy_gap"]


def test_mapped_rows_of_any_real_numbers_train_a_gaussian_machine(tmp_path: Path) -> None:
    found = [
        plain_train(boltz.vae([6, 5], 2, rows, visible="gaussian"), rows, **SHORT).model.arena.tobytes()
        for rows in (REAL, mapped(tmp_path, REAL))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: boltz.rbm(6, 4, x),
        lambda x: boltz.vae([6, 5], 2, x),
        lambda x: boltz.vae([6, 5], 2, x, visible="gaussian"),
    ],
)
def test_a_new_machine_looks_at_evenly_spaced_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], Any]
) -> None:
    x = GREY / 255
    monkeypatch.setattr("boltz.checks.INITIAL_ROWS", 11)

    def made(rows: Any) -> bytes:
        machine = make(rows)
        scaling = getattr(machine, "scaling", None)
        return bytes(machine.arena.tobytes() + (b"" if scaling is None else scaling.spread.tobytes()))

    assert made(mapped(tmp_path, x)) == made(x[::3]) != made(x[:10])


def test_a_run_on_a_large_file_resumes_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are mapped again, and a file that changed in its last row only is refused."""
    np.save(tmp_path / "x.npy", GREY)
    model = boltz.rbm(6, 4)
    wanted = plain_train(model, boltz.load_data(tmp_path / "x.npy", levels=255), **SHORT).model.arena
    monkeypatch.setattr(readers, "MAPPED_BYTES", 1)

    def stop(record: dict[str, Any]) -> None:
        raise StopError

    out = tmp_path / "run"
    with pytest.raises(StopError):
        plain_train(
            model, boltz.load_data(tmp_path / "x.npy", levels=255), out=out, watch=stop, checkpoint_seconds=0, **SHORT
        )
    changed = GREY.copy()
    changed[-1, -1] ^= 1
    np.save(tmp_path / "x.npy", changed)
    with pytest.raises(InputError, match=f"the data of {re.escape(str(out))} changed"):
        boltz.resume(out)
    np.save(tmp_path / "x.npy", GREY)
    assert boltz.resume(out).model.arena.tobytes() == wanted.tobytes()


def test_training_takes_no_memory_for_mapped_rows(tmp_path: Path) -> None:
    """80 MB of zeros in a sparse file: any copy of all rows takes at least that, here a half may pass.

    The order of the rows takes 8 MB, and the first 10,000 rows, for the base rates, a few times 3 MB.
    """
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (1_000_000, 80)).flush()
    tracemalloc.start()
    try:
        data = boltz.load_data(tmp_path / "x.npy")
        run = plain_train(boltz.rbm(80, 2, data.x), data, epochs=1, batch_size=10_000, held_out=data, chains=10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000 and run.model.rates["v"].max() < 1e-3
