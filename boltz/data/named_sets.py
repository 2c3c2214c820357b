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


BINARY: Mapping[str, tuple[str, str, str, str]] = {
    "adult": (
        "UCI Adult, 123 bits, split as LIBSVM a5a (Larochelle & Murray 2011)",
        "372311dd8e82b5baeff71579328a34af3c6aa60d5ee0e28e9b19cbbf07bf1fb6",
        "ccd73c259daaaa0ae24d1cb577794e7915b8889d308d731176036d411f67266d",
        "729162a80070f51adf471259a2312514664349d6b0c0cc3ce737e4704ee83fd6",
    ),
    "connect4": (
        "UCI Connect-4, 126 bits (Larochelle & Murray 2011)",
        "b9ba4b7c30de31499fcd78fbd447435ec40d4dc5aef4f29dfd97b97fa7331071",
        "6f22e529305c800332bf9b3b814dadc2dc031872d45f218552418750870353db",
        "f1ae6f71289c255efad96b048927278637f1e85d6b7664665c727b6da96b31fd",
    ),
    "dna": (
        "Statlog DNA, 180 bits (Van Haaren & Davis 2012)",
        "8801b5838fc33f996808e8efe0b692b268538b7e5ae319429af88a7dc45e0083",
        "26d00708296484fe327559135344d1497cf28b112f7be2c85fd6bc69670eaa95",
        "f85f22537e98fa29699bb96e145fbd5d57b0bbf91baaf6092ec4fb16c2f9689f",
    ),
    "nips": (
        "words of papers of NIPS 0 to 12, 500 bits (Larochelle & Murray 2011)",
        "d2b3f2d03f414211ae20e559bd043c6e988a39857ce5036b8240af0e54e0f6d6",
        "a35b8a73cd60e19022c0a5a54405e7ff5f789b0d8a65e67a9c9f08e176b28945",
        "89c4d06c1905b8e93798b0eba3a54622db15509adaad7e21029639072880c172",
    ),
    "nltcs": (
        "National Long Term Care Survey, 16 bits (Lowd & Davis 2010)",
        "d36ee48ab255719a8b455ba2539eb5d4043791d274e23560a9a5009dcb109890",
        "26ea8245f25e59c03d1b165404c0272edbef602dea4d17bc78afb73f54ec6d39",
        "527fb20742b582f55eeea6129bc335c22882e0f66c26279a3c0da9a92a302119",
    ),
    "plants": (
        "UCI Plants, 69 bits (Lowd & Davis 2010)",
        "aa557a169f9de04a8fb2e57f0f06e80670f31c47199ffc9337504d0fc4dad624",
        "1f66964fb041dac5886579a3a65ca00592b1c23f7b52a2a33a31e190f5b61027",
        "a1e01bd7f101cdfd174e81b93b33f90460292e3d4e4de317d855e2b0b2e61b11",
    ),
    "accidents": (
        "Accidents, 111 bits (Van Haaren & Davis 2012)",
        "ef717281b1ff8723ba6a2695cd8a329561316e0cfca632a73b3b00f16e6f541f",
        "ca1ae9084617e23427f227fa374fd84a09d77960f8457d9e9cb21730fb43a69e",
        "6943dc36fb7157d853628ceebbe27eae5d013913d8de305a6e487009c0f07b71",
    ),
    "baudio": (
        "Audio, 100 bits (Lowd & Davis 2010)",
        "b542f76716bec7d8c58b0a0cccdfb9f9340a04afd29267f02f689ff49bd62a9f",
        "5bbe5144ab5888bb205ee6f553b18640844af1e073e6022aaee09aa0e6a36c96",
        "7cdb7d9e82013a609ebc645086c91ebda7c2d1b2d897762aa8e6f3d45b936a68",
    ),
    "bbc": (
        "words of BBC news, 1,058 bits (Van Haaren & Davis 2012)",
        "039f41a4daa91ea424adcbdf66ab2c0feb746510c0d76b40837932caa701f9d6",
        "1ef04921933b1b986987caa4078ee7e78201f481c58c097d9d81e993f6d81b62",
        "34903aa7a38b38ef0282bdec581292214f28bd935e95a38b90fd71bd1063ba55",
    ),
    "bnetflix": (
        "Netflix, 100 bits (Lowd & Davis 2010)",
        "e4e854cf145d923ad1e04459aece264d323a48aa582c1a0bb8b0617e75fa71c6",
        "bbe6f27f742a83d6962f6cac87a92f6819d536ecc98c41bfb6dfff21f41c6866",
        "0b6e223e1eebd3d66508c481b6b42b9d18b54036a865aa583fc567061ac272f1",
    ),
    "jester": (
        "Jester, 100 bits (Lowd & Davis 2010)",
        "6e33795e6f51a3bfa16dc1b5b255d8e35cddbba6d0a51a2553bf65ac31e3f796",
        "b6f199da08cb7aa7df9e6884a8d61d1e110c4787e2423622f86e320262af9fb6",
        "f80a9beb300080b753892bc97f5bc12729d456e42bd19965c71bcd317ef719d8",
    ),
    "pumsb_star": (
        "Pumsb-star, 163 bits (Van Haaren & Davis 2012)",
        "8a5316c00d6f5f6f40fdfc3daf71c4c5d6bb76c0bdd6270ef9f7be76517c8c33",
        "4d4b90d16bf270020c9e68f7d8718fe8bc83f6368ad11edb422a28d3a2e65c68",
        "5509c6bff1917611622cd3c145756ddea07a5535c58b039cdb0a78b58163d6fe",
    ),
}  # name -> title, and the fingerprints of the training, validation and test rows


def _binary(name: str, title: str, train: str, valid: str, test: str) -> DataSet:
    """A table of bits in three parts, whose file is binary_NAME.npz."""
    return DataSet(title, f"binary_{name}.npz", {"train": train, "valid": valid, "test": test})


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
    **{name: _binary(name, *told) for name, told in BINARY.items()},
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
        arrays = ", ".join(f"x_{split}" for split in entry.fingerprints)
        raise InputError(
            f"{name} cannot be downloaded; set {VARIABLE} to a folder that holds {entry.file}, with arrays {arrays}."
        )
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
