"""Catches a name that leads to the wrong file, and a download that is broken, repeated or not checked."""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pooch
import pytest
from scipy.io import loadmat, savemat

from boltz.data import Data, download, find, load, named_sets, names, splits
from boltz.data.dataset import fingerprint
from boltz.data.matlab import matrices
from boltz.errors import FileError, InputError

BITS = np.random.default_rng(0).integers(0, 2, (3, 6, 784), np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (2, 5, 28, 28), np.uint8)
LABELS = np.array([1, 2, 3, 4, 5], np.uint8)
SOURCES = {"mnist": 4, "mnist-static": 3, "caltech": 1}


@pytest.fixture
def places(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """An empty BOLTZ_DATA folder and an empty cache."""
    folder, cache = tmp_path / "folder", tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("BOLTZ_DATA", str(folder))
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache / project)
    return folder, cache / "boltz"


def _idx(array: np.ndarray) -> bytes:
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def _write_source(url: str, path: Path) -> None:
    """Write what the site would send for a tiny version of each set."""
    part = 0 if "train" in url else 1
    if url.endswith(".gz"):
        path.write_bytes(_idx(GREY[part] if "images" in url else LABELS))
    elif url.endswith(".amat"):
        rows = BITS[("train", "valid", "test").index(url.rsplit("_", 1)[1].split(".")[0])]
        path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    else:
        sideways = BITS.reshape(3, 6, 28, 28).transpose(0, 1, 3, 2).reshape(3, 6, 784)
        held = {}
        for split, x in zip(("train", "val", "test"), sideways, strict=True):
            held |= {f"{split}_data": x, f"{split}_labels": np.arange(1, 7, dtype=np.uint16)[:, None]}
        savemat(path, held)


@pytest.fixture
def fetched(monkeypatch, places) -> list[str]:
    """Fake the network, give the three downloadable sets tiny contents, and list the addresses asked for."""
    asked: list[str] = []

    def retrieve(url: str, known_hash: str | None, fname: str, path: Path, downloader: Any) -> str:
        asked.append(url)
        assert url.endswith(".mat") if known_hash is None else re.fullmatch("[0-9a-f]{64}", known_hash)
        _write_source(url, Path(path) / fname)
        return str(Path(path) / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    grey = {split: fingerprint(GREY[i].reshape(5, 784)) for i, split in enumerate(("train", "test"))}
    bits = {split: fingerprint(BITS[i]) for i, split in enumerate(("train", "valid", "test"))}
    for name, prints in (("mnist", grey), ("mnist-static", bits), ("caltech", bits)):
        monkeypatch.setitem(named_sets.SETS, name, replace(named_sets.SETS[name], fingerprints=prints))
    return asked


def test_names_and_their_splits():
    assert names() == ("mnist-mini", "mnist", "mnist-static", "omniglot", "caltech", "cifar10", *named_sets.BINARY)
    assert all(splits(name) == ("train", "valid", "test") for name in named_sets.BINARY)
    assert splits("mnist") == ("train", "test") and splits("caltech") == ("train", "valid", "test")
    assert all(len(value) == 64 for entry in named_sets.SETS.values() for value in entry.fingerprints.values())


@pytest.mark.parametrize("name", SOURCES)
def test_a_set_is_downloaded_once_and_converted(fetched, places, name):
    data = load(name, "test")
    assert len(fetched) == SOURCES[name] and data.name == name and data.shape == (28, 28)
    np.testing.assert_array_equal(data.x, GREY[1].reshape(5, 784) if name == "mnist" else BITS[2])
    labels = {"mnist": LABELS, "mnist-static": None, "caltech": np.arange(6)}[name]
    np.testing.assert_array_equal(data.labels, labels)
    assert data.levels == (255 if name == "mnist" else 1)
    assert [path.name for path in places[1].iterdir()] == [named_sets.SETS[name].file]
    assert find(name) == places[1] / named_sets.SETS[name].file
    np.testing.assert_array_equal(load(name, "test").x, data.x)
    assert len(fetched) == SOURCES[name]


@pytest.mark.parametrize("name", SOURCES)
def test_a_download_with_other_contents_is_refused_and_leaves_nothing(fetched, places, monkeypatch, name):
    prints = dict(named_sets.SETS[name].fingerprints) | {"test": "0" * 64}
    monkeypatch.setitem(named_sets.SETS, name, replace(named_sets.SETS[name], fingerprints=prints))
    with pytest.raises(FileError, match=r"is not that set \(split 'test' differs\); set BOLTZ_DATA"):
        load(name)
    assert list(places[1].iterdir()) == []


def test_a_matlab_file_of_another_kind_is_refused(fetched, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", lambda url, known, fname, path, downloader: _text(Path(path) / fname))
    with pytest.raises(FileError, match="not the MATLAB file"):
        load("caltech")


def _text(path: Path) -> str:
    path.write_text("<html>404 not found</html>" * 20)
    return str(path)


def test_any_bytes_in_the_place_of_the_matlab_file_are_one_file_error(tmp_path):
    """1,000 files, cut or with bytes changed; on some of them scipy's own reader ends the process."""
    rng, folder = np.random.default_rng(6), tmp_path
    path = folder / download.CALTECH_FILE.name
    refused = 0
    for trial in range(1000):
        if trial % 500 == 0:
            _write_source(f"x/{path.name}", path)
            held = loadmat(path)
            savemat(path, {n: x for n, x in held.items() if n[0] != "_"}, do_compression=trial == 500)
            good = path.read_bytes()
        bad = bytearray(good[: rng.integers(1, len(good))] if trial % 4 == 0 else good)
        for place in rng.integers(0, min(len(bad), 400), 1 + trial % 3):
            bad[place] = rng.integers(0, 256)
        path.write_bytes(bad)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pooch, "retrieve", lambda *_, **__: str(path))
            try:
                download.caltech(folder)
            except FileError as problem:
                assert str(problem).endswith("is not the MATLAB file that was expected.")
                refused += 1
    assert refused > 500


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "f4", "f8", "u8"])
def test_matrices_are_those_that_scipy_writes(tmp_path, dtype, compressed):
    """Against scipy as the oracle: names short and long, shapes down to none, among arrays of other kinds."""
    rng, path = np.random.default_rng(2), tmp_path / "x.mat"
    named = {
        f"n{i}" * (1 + 6 * i): rng.integers(0, 99, shape) for i, shape in enumerate([(3, 4), (1, 1), (5, 1), (0, 2)])
    }
    named = {name: x.astype(dtype) for name, x in named.items()}
    others = {
        "text": "abc",
        "cell": np.array([["a", 1]], object),
        "complex": np.array([[1j]]),
        "cube": np.zeros((2, 2, 2)),
    }
    savemat(path, {**others, **named}, do_compression=compressed)
    found = matrices(path.read_bytes(), list(named), 10**6)
    assert found.keys() == named.keys()
    for name, x in named.items():
        assert found[name].shape == x.shape and (found[name] == x).all() and (found[name] == loadmat(path)[name]).all()
    for name in others:
        with pytest.raises((ValueError, KeyError)):
            matrices(path.read_bytes(), [name], 10**6)


def test_a_matrix_that_unpacks_to_more_than_the_limit_is_refused(tmp_path):
    savemat(tmp_path / "x.mat", {"x": np.zeros((1000, 1000))}, do_compression=True)
    assert (tmp_path / "x.mat").stat().st_size < 20_000
    with pytest.raises(ValueError, match="cut off"):
        matrices((tmp_path / "x.mat").read_bytes(), ["x"], 10**6)


class Answer:
    """What a server sends: the same bytes for ever."""

    headers: ClassVar[dict[str, str]] = {}
    sent = 0

    def raise_for_status(self) -> None:
        pass

    def iter_content(self, chunk_size: int) -> Iterator[bytes]:
        while True:
            Answer.sent += chunk_size
            yield bytes(chunk_size)


def test_a_download_stops_at_its_limit(places, monkeypatch):
    monkeypatch.setattr("requests.get", lambda *_, **__: Answer())
    with pytest.raises(FileError, match=r"could not be downloaded: it has more than 10,000,000 bytes"):
        load("mnist")
    assert Answer.sent < 10**7 + 2000 and list(places[1].iterdir()) == []


def test_downloads_are_over_https_and_limits_are_above_the_true_sizes():
    sizes = {"x_train": 9_912_422, "y_train": 28_881, "x_test": 1_648_877, "y_test": 4_542}  # bytes
    assert all(sizes[name] <= file.most <= 1.1 * sizes[name] for name, file in download.MNIST_FILES.items())
    rows = {"x_train": 50_000, "x_valid": 10_000, "x_test": 10_000}
    assert all(
        1568 * rows[name] <= file.most <= 1.1 * 1568 * rows[name] for name, file in download.STATIC_FILES.items()
    )
    assert all(site.startswith("https://") for site in (download.MNIST, download.STATIC, download.CALTECH))
    with pytest.raises(FileError, match="is not an https address"):
        download._download("http://example.org/", download.CALTECH_FILE, Path())


@pytest.mark.parametrize("problem", [OSError("no route to host"), ValueError("hash differs"), TimeoutError("late")])
def test_without_a_network_the_message_says_what_to_do(places, monkeypatch, problem):
    def retrieve(*_args, **_settings):
        raise problem

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(FileError, match=r"could not be downloaded.*; set BOLTZ_DATA to .* holds mnist\.npz\.$"):
        load("mnist")
    assert list(places[1].iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(places, fetched):
    places[1].parent.mkdir()
    places[1].write_text("a file where the folder should be")
    with pytest.raises(FileError, match=f"mnist cannot be kept in {re.escape(str(places[1]))}"):
        load("mnist")


def test_omniglot_says_how_to_get_it(places):
    said = r"^omniglot cannot be downloaded; set BOLTZ_DATA .* omniglot28_lake.*npz, with arrays x_train, x_test\.$"
    with pytest.raises(InputError, match=said):
        load("omniglot")
    assert find("omniglot") is None


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", named_sets.BINARY)
def test_a_binary_set_is_found_by_name_in_the_folder(places, monkeypatch, name, packed):
    """Parts packed eight bits a byte, and plain ones, are the same set; rows of another part are refused."""
    with pytest.raises(
        InputError, match=rf"^{name} .* holds binary_{name}\.npz, with arrays x_train, x_valid, x_test\.$"
    ):
        load(name)
    parts = dict(zip(("train", "valid", "test"), BITS[:, :, :11], strict=True))
    prints = {split: fingerprint(x) for split, x in parts.items()}
    monkeypatch.setitem(named_sets.SETS, name, replace(named_sets.SETS[name], fingerprints=prints))
    file = places[0] / f"binary_{name}.npz"
    held = {f"x_{split}": np.packbits(x, axis=1) if packed else x for split, x in parts.items()}
    np.savez(file, **held, **({"n_vars": np.int32(11)} if packed else {}))
    for split, x in parts.items():
        data = load(name, split)
        np.testing.assert_array_equal(data.x, x)
        assert (data.name, data.levels, data.shape, data.binary) == (name, 1, None, True)
    assert load(name, "valid", limit=2).x.shape == (2, 11)
    np.savez(file, x_train=parts["test"], x_valid=parts["valid"], x_test=parts["train"])
    with pytest.raises(FileError, match=f"is not the set named '{name}'"):
        load(name)


def test_the_folder_comes_before_the_cache_and_its_contents_are_checked(fetched, places):
    load("mnist")
    file = places[0] / "mnist.npz"
    np.savez(file, x_train=GREY[0].reshape(5, 784), y_train=LABELS)
    assert load("mnist").source == f"{file}:x_train" and len(fetched) == 4
    np.savez(file, x_train=GREY[1])
    with pytest.raises(FileError, match=r"is not the set named 'mnist'.*give its path") as caught:
        load("mnist")
    assert str(file) in str(caught.value)
    assert load(file).x.shape == (5, 784) and load("mnist:x_train").x.shape == (5, 784)


def test_files_of_the_folder_by_stem_or_name(places):
    np.savez(places[0] / "tiny.npz", x=BITS[0])
    (places[0] / "more.csv.gz").write_bytes(gzip.compress(b"0,1\n"))
    for text in ("tiny", "tiny.npz", "tiny:x", "tiny.npz:x"):
        data = load(text)
        assert data.name == "tiny" and data.x.shape == (6, 784), text
    assert load("more").x.tolist() == [[0, 1]]
    np.save(places[0] / "tiny.npy", BITS[0])
    with pytest.raises(InputError, match=r"tiny\.npz or tiny\.npy; give the file name"):
        load("tiny")


def test_request_gives_the_same_rows_from_anywhere(places, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.savez("a.npz", x_train=BITS[0], x_test=BITS[1])
    asked = [("a.npz", "test", 2), ("a.npz:x_test", "train", None)]
    asked += [("mnist-mini", "test", 5), ("mnist-mini:x_test", "train", 3)]
    found = [load(name, split, limit) for name, split, limit in asked]
    monkeypatch.chdir(tmp_path)
    for data in found:
        assert load(**data.request).fingerprint == data.fingerprint, data.request


def test_a_path_comes_before_the_folder(places, tmp_path, monkeypatch):
    np.save(places[0] / "a.npy", BITS[0])
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", BITS[0][:2])
    assert load("a.npy").x.shape == (2, 784) and load("a").x.shape == (6, 784)
    assert load(Path("a.npy")).name == "a"


@pytest.mark.parametrize(
    "wrong", ["minst", "nothing-like-it", "", None, 3, b"mnist", ["mnist"], "a:b", "~", "\0", "x" * 5000]
)
def test_an_unknown_name_lists_the_names(places, wrong):
    (places[0] / "other.csv").write_text("0,1\n")
    with pytest.raises(InputError) as caught:
        load(wrong)
    if wrong == "minst":
        assert str(caught.value).endswith("did you mean mnist?")
    if wrong == "nothing-like-it":
        assert "mnist-mini, mnist, mnist-static, omniglot, caltech, cifar10, adult, connect4, " in str(caught.value)
        assert "pumsb_star, and in BOLTZ_DATA other, or" in str(caught.value)


@pytest.mark.parametrize("wrong", ["nothing.npy", "./mnist", "none.npz:x", "../up/a.csv", ".hidden"])
def test_a_path_that_does_not_exist_is_named(places, wrong):
    with pytest.raises(FileError, match=re.escape(f"{wrong} does not exist")):
        load(wrong)


def test_wrong_splits_and_folders(places, monkeypatch):
    with pytest.raises(InputError, match="split must be one of"):
        load("mnist-mini", "dev")
    with pytest.raises(InputError, match=r"mnist-mini has no split 'valid'; it has train, test\."):
        load("mnist-mini", "valid")
    with pytest.raises(InputError, match="name must be one of"):
        find("nothing")
    monkeypatch.setenv("BOLTZ_DATA", "no such folder")
    assert load("mnist-mini", limit=1).x.shape == (1, 784)
    with pytest.raises(InputError, match="BOLTZ_DATA is set to 'no such folder', which is not a folder"):
        load("mnist")
    monkeypatch.setenv("BOLTZ_DATA", "")
    with pytest.raises(InputError, match="omniglot cannot be downloaded"):
        load("omniglot")


def test_addresses_and_hashes_are_written_out():
    files = [*download.MNIST_FILES.values(), *download.STATIC_FILES.values()]
    digests = [str(file.sha256) for file in files]
    assert len({*digests}) == 7 and all(len(digest) == 64 for digest in digests)


@pytest.mark.skipif("BOLTZ_DATA" not in os.environ, reason="needs the data sets in BOLTZ_DATA")
def test_every_named_set_in_the_folder_is_what_it_says():
    there = [name for name in names() if find(name)]
    for name in there:
        for split in splits(name):
            data = load(name, split)
            shape = {"cifar10": (32, 32, 3)}.get(name, None if name in named_sets.BINARY else (28, 28))
            assert isinstance(data, Data) and data.shape == shape
            assert data.binary == (name in ("mnist-static", "caltech", *named_sets.BINARY))
    if "mnist-static" in there and "mnist" in there:
        static, grey = load("mnist-static", "test"), load("mnist", "test")
        assert np.bincount(static.labels).tolist() == np.bincount(grey.labels).tolist()


def test_colours_of_a_named_set_lie_pixel_by_pixel(places, monkeypatch):
    """Its file has planes (rows, 3, height, width), of which the channels of each pixel come side by side."""
    planes = np.random.default_rng(5).integers(0, 256, (4, 3, 2, 5)).astype(np.uint8)
    folder = places[1].parent / "colours"
    folder.mkdir(parents=True)
    np.savez(folder / "cifar10_subset.npz", x_train=planes, x_test=planes[:2], y_train=np.arange(4))
    monkeypatch.setenv("BOLTZ_DATA", str(folder))
    rows = np.ascontiguousarray(planes.transpose(0, 2, 3, 1)).reshape(4, 30)
    prints = {"train": fingerprint(rows), "test": fingerprint(rows[:2])}
    monkeypatch.setitem(named_sets.SETS, "cifar10", replace(named_sets.SETS["cifar10"], fingerprints=prints))
    found = load("cifar10")
    assert found.shape == (2, 5, 3) and found.levels == 255 and np.array_equal(found.x, rows)
    assert (found.labels == np.arange(4)).all() and load("cifar10", "test").x.shape == (2, 30)
