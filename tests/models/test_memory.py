"""Catches a load of a model or a network that takes memory for a second copy of its parameters."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as codec

import boltz
from boltz.models import files
from boltz.storage.tensors import read_metadata, read_tensors

SIZES = [500, 1000, 700]
MODELS: dict[str, Callable[[], Any]] = {
    "rbm": lambda: boltz.rbm(1000, 900),
    "dbm": lambda: boltz.dbm(SIZES),
    "float64": lambda: boltz.dbm(SIZES, dtype=np.float64),
    "sbn": lambda: boltz.sbn(SIZES),
    "vae": lambda: boltz.vae(SIZES, 50),
    "dbn": lambda: boltz.dbn(SIZES),
    "classifier": lambda: boltz.classifier(boltz.dbm(SIZES), [0, 1, 2]),
    "autoencoder": lambda: boltz.autoencoder(boltz.dbm(SIZES)),
}


def loaded(path: Path) -> tuple[Any, float]:
    """What a file holds, and the peak of memory while it was read, as a multiple of its size, 0.5 MB set aside."""
    network = read_metadata(path)["model"] == "network"
    tracemalloc.start()
    try:
        found = boltz.load_network(path) if network else boltz.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return found, (peak - 5e5) / path.stat().st_size


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_read_into_its_place(kind: str, tmp_path: Path) -> None:
    model = MODELS[kind]()
    model.save(tmp_path / "new")
    tensors, told = read_tensors(tmp_path / "new")
    digest = codec_metadata(tmp_path / "new")
    codec.save_file(tensors, tmp_path / "old", digest)  # as the library of the format lays it out
    assert told.items() <= digest.items()
    for name in ("new", "old"):
        found, peak = loaded(tmp_path / name)
        assert peak <= 1.3, f"{name}: {peak:.2f} of the file"
        assert found.arena.tobytes() == model.arena.tobytes() and found.arena.flags.writeable


def codec_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file, its checksum with them."""
    import json

    data = path.read_bytes()
    held: dict[str, str] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return held


def test_saving_takes_no_copy_of_the_parameters(tmp_path: Path) -> None:
    model = boltz.rbm(1500, 1500)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        model.save(tmp_path / "x")
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak <= 0.3 * model.arena.nbytes + 5e5


def test_parameters_of_two_types_are_still_joined(tmp_path: Path) -> None:
    model = boltz.rbm(4, 3, seed=2)
    model.save(tmp_path / "x")
    tensors, _ = read_tensors(tmp_path / "x")
    mixed = [tensors["edge/v-h1/weight"].astype(np.float64), tensors["layer/v/bias"], tensors["layer/h1/bias"]]
    joined = files._end_to_end(mixed)
    assert joined.dtype == np.float64
    np.testing.assert_array_equal(joined, model.arena.astype(np.float64))
    whole = np.empty(96, np.uint8)
    whole.view(np.float32)[...] = range(24)
    for order in ([0, 1], [1, 0]):
        parts = [[whole[:48].view(np.float32), whole[48:].view(np.float32)][i] for i in order]
        np.testing.assert_array_equal(files._end_to_end(parts), np.concatenate(parts))
        assert np.shares_memory(files._end_to_end(parts), whole) == (order == [0, 1])
