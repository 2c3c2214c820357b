"""Catches digits in the package that are not those their script makes, or too many of them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from boltz.data import find, load
from boltz.data.named_sets import PACKAGED

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_mnist_mini.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_mnist_mini", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("split", "rows"), [("train", 10_000), ("test", 2_000)])
def test_digits_are_grey_balanced_and_mixed(split, rows):
    data = load("mnist-mini", split)
    assert data.x.shape == (rows, 784) and data.shape == (28, 28) and data.levels == 255 and not data.binary
    assert np.bincount(data.labels).tolist() == [rows // 10] * 10
    assert 0.12 < data.x.mean() / 255 < 0.14 and data.x.max() == 255
    assert len(np.unique(data.labels[:100])) == 10
    assert find("mnist-mini").stat().st_size <= 2_500_000


def test_no_test_digit_is_a_train_digit():
    train = {row.tobytes() for row in load("mnist-mini").x}
    assert not train & {row.tobytes() for row in load("mnist-mini", "test").x} and len(train) == 10_000


def test_choice_is_even_and_ordered(script):
    labels = np.array([1, 0, 1, 1, 0, 1, 0, 0, 1, 1], np.uint8)
    assert script.chosen(labels, 2).tolist() == [0, 1, 5, 6]
    assert script.chosen(labels, 4).tolist() == [0, 1, 2, 4, 5, 6, 7, 8]


def test_writing_twice_gives_equal_bytes(script, tmp_path):
    with np.load(PACKAGED / "mnist_mini.npz", allow_pickle=False) as held:
        arrays = {name: held[name][:200] for name in held.files}
    for name in ("one.npz", "two.npz"):
        script.write(tmp_path / name, arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as again:
        assert list(again.files) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(again[name], array)


@pytest.mark.skipif("BOLTZ_DATA" not in os.environ, reason="needs mnist.npz in BOLTZ_DATA")
def test_the_script_makes_the_packaged_digits(script, tmp_path):
    script.main(Path(os.environ["BOLTZ_DATA"]) / "mnist.npz", tmp_path / "mini.npz")
    for split in ("train", "test"):
        made, packaged = load(tmp_path / "mini.npz", split), load("mnist-mini", split)
        assert made.fingerprint == packaged.fingerprint
        np.testing.assert_array_equal(made.labels, packaged.labels)
