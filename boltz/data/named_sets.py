"""The named data sets: what each is called, where its file is found, and how it is downloaded and checked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boltz.checks import choice
from boltz.data import download as fetch
from boltz.data import readers
from boltz.data.dataset import Array, fingerprint, units
from boltz.errors import FileError, InputError, unwritten
from boltz.foreign import shown
from boltz.scale import Border

VARIABLE = "BOLTZ_DATA"
PACKAGED = Path(__file__).parent


@dataclass(frozen=True)
class DataSet:
    """A named set: its file, the fingerprint of each split, and how to download it (None: it cannot be).

    planes: its images are planes of colours in the file, whose rows get the channels of each pixel side by side.
    """

    title: str
    file: str
    fingerprints: Mapping[str, str]
    download: Callable[[Path], dict[str, Array]] | None = None
    planes: bool = False


SETS: Mapping[str, DataSet] = {
    "mnist-mini": DataSet(
        "MNIST digits, grey 28x28: 10,000 train and 2,000 test, balanced classes (in the package)",
        "mnist_mini.npz",
        {
            "train": "365c63a8839a3c750dd5ccfce038ad0f54af70718072f78ba79decf65f8c6513",
            "test": "06286747da8c3a25af370a7f2155e4a876759349b4e81847ba76eb0a68248c6c",
        },
    ),
    "mnist": DataSet(
        "MNIST digits, grey 28x28 (LeCun et al. 1998)",
        "mnist.npz",
        {
            "train": "50769d078453376127fff7ec0285a925f02511b6afe480164f43b81b65e40274",
            "test": "4748b18feddc2f46369b87c958cbd680f2f62e45145491169a7e07de6b48b822",
        },
        fetch.mnist,
    ),
    "mnist-static": DataSet(
        "MNIST digits, binarised once for all (Salakhutdinov & Murray 2008; Larochelle & Murray 2011)",
        "binarized_mnist_static.npz",
        {
            "train": "45a413bcde2e19d20920ba4bcbcff51556fb7e2618a2ceef91907407dcc0fc02",
            "valid": "a131e4792cec63c5e0441d1f94070f0729a861792e7d9e3eb66ff79461dffcbd",
            "test": "d6698dfc4650e592d61bfcb0268bf1756506e88b127ad0c5642e805ceca5c857",
        },
        fetch.mnist_static,
    ),
    "omniglot": DataSet(
        "OMNIGLOT characters, grey 28x28 by area averaging (Lake et al. 2015); not the file of Burda et al. 2016",
        "omniglot28_lake_box.npz",
        {
            "train": "87623af7f3dd7538f982984cc41b6129c37ceb533cd34686dd5213a6b38125b6",
            "test": "d572dcfee8f92b2b3d314bb867f778f0c4e2f268009985a54b2f2a4696528264",
        },
    ),
    "caltech": DataSet(
        "Caltech-101 Silhouettes, binary 28x28, split 1 (Marlin et al. 2010); the object is 0",
        "caltech101_silhouettes_28_split1.npz",
        {
            "train": "86789031935eb8ac19f460fce7274d050c05528fdd1a2caeed5cc61b8df9543b",
            "valid": "e33b144fc503cb86bcc6e7469ae5daeeea2aceed3a4faae3f85ff326d7d87663",
            "test": "20316e196c4f41ee4f373d8b402f13add1f72bdbe437fbfa9fcbc266c2600b04",
        },
        fetch.caltech,
    ),
    "cifar10": DataSet(
        "CIFAR-10 photographs (Krizhevsky 2009), a subset: colours 32x32x3, 2,500 train and 500 test, balanced classes",
        "cifar10_subset.npz",
        {
            "train": "e3a45ad21464ab1d1ce9b13b60aa8a05e9ac59c874de230fbbedccacd91cf7d4",
            "test": "f4c299dbe413a4f67973fc1782b650b081c39fd3ce98d16c40dedc3c32e593eb",
        },
        planes=True,
    ),
}


def names() -> tuple[str, ...]:
    """The names of the sets that `load` knows."""
    return tuple(SETS)


def find(name: str) -> Path | None:
    """Where the file of a named set lies: in the package, $BOLTZ_DATA or the user's cache; None before its download."""
    file = SETS[choice(name, "name", SETS)].file
    if name == "mnist-mini":
        return PACKAGED / file
    places = [place for place in (data_folder(), _cache()) if place is not None]
    return next((place / file for place in places if (place / file).is_file()), None)


def file_of(name: str) -> Path:
    """The file of a named set, downloaded if it is nowhere; InputError or FileError says how to get it otherwise."""
    path = find(name)
    if path is not None:
        return path
    entry = SETS[name]
    if entry.download is None:
        raise InputError(f"{name} cannot be downloaded; set {VARIABLE} to a folder that holds {entry.file}.")
    return _download(name, entry.download)


def _download(name: str, download: Callable[[Path], dict[str, Array]]) -> Path:
    """Download a set into the user's cache, where it appears whole and checked or not at all."""
    entry, cache = SETS[name], _cache()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / entry.file
            with made.open("wb") as stream:
                np.savez_compressed(stream, **download(Path(folder)))  # type: ignore[arg-type]
            _checked(name, made)
            made.replace(cache / entry.file)
    except OSError as problem:
        what = f"{name} cannot be kept in {cache}: {problem.strerror or shown(repr(problem))}."
        raise unwritten(what, problem) from problem
    except FileError as problem:
        raise type(problem)(f"{str(problem)[:-1]}; set {VARIABLE} to a folder that holds {entry.file}.") from problem
    return cache / entry.file


def _checked(name: str, path: Path) -> None:
    for split, expected in SETS[name].fingerprints.items():
        x = units(readers.read(path, None, split), Border(str(path), file=True))[0]
        if fingerprint(x) != expected:
            raise FileError(f"What was downloaded for {name} is not that set (split {split!r} differs).")


def data_folder() -> Path | None:
    """The folder that $BOLTZ_DATA names, if set."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise InputError(f"{VARIABLE} is set to {text!r}, which is not a folder.")
    return folder


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("boltz"))
