"""Download the files of a named set, check them, and convert them to the layout that the readers know.

Addresses are https, every download stops at a limit a little above its true size, and hashes are checked before a file
is read. The MATLAB file of Caltech has no published hash: see `caltech`.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from boltz.data.dataset import Array
from boltz.data.matlab import matrices
from boltz.data.readers import read
from boltz.errors import FileError, unwritten
from boltz.foreign import shown

SIDES = (28, 28)


class Remote(NamedTuple):
    """A file of a site: its name, how many bytes it has at most, and its SHA-256, None where nobody published one."""

    name: str
    most: int
    sha256: str | None


MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MNIST_FILES = {
    "x_train": Remote(
        "train-images-idx3-ubyte.gz", 10**7, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "y_train": Remote(
        "train-labels-idx1-ubyte.gz", 30_000, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "x_test": Remote(
        "t10k-images-idx3-ubyte.gz", 1_700_000, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "y_test": Remote(
        "t10k-labels-idx1-ubyte.gz", 4_900, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
STATIC = "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
STATIC_FILES = {
    "x_train": Remote(
        "binarized_mnist_train.amat", 79 * 10**6, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"
    ),
    "x_valid": Remote(
        "binarized_mnist_valid.amat", 16 * 10**6, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"
    ),
    "x_test": Remote(
        "binarized_mnist_test.amat", 16 * 10**6, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"
    ),
}
CALTECH = "https://people.cs.umass.edu/~marlin/data/"
CALTECH_FILE = Remote("caltech101_silhouettes_28_split1.mat", 8 * 10**6, None)
CALTECH_MOST = 1 << 26  # bytes of one of its matrices
CALTECH_PARTS = {"train": "train", "valid": "val", "test": "test"}


def mnist(folder: Path) -> dict[str, Array]:
    """The arrays of MNIST from its four idx files (LeCun et al. 1998)."""
    return {name: read(_download(MNIST, file, folder), None, "train").values for name, file in MNIST_FILES.items()}


def mnist_static(folder: Path) -> dict[str, Array]:
    """The packed arrays of static MNIST from its three text files, "0 1 ... 0" a line (Larochelle & Murray 2011)."""
    units = SIDES[0] * SIDES[1]
    arrays: dict[str, Array] = {"shape": np.array(SIDES, np.int32)}
    for name, file in STATIC_FILES.items():
        text = np.frombuffer(_download(STATIC, file, folder).read_bytes(), np.uint8)
        arrays[name] = np.packbits(text.reshape(-1, 2 * units)[:, ::2] == ord("1"), axis=1)
    return arrays


def caltech(folder: Path) -> dict[str, Array]:
    """The packed arrays of Caltech-101 Silhouettes (Marlin et al. 2010), whose file holds images column by column.

    The file has no published hash, so its bytes go to a reader of our own, which takes at most 8 MB of them and the six
    matrices that are wanted; what is wrong raises FileError. The caller compares the fingerprint of the rows of each
    split before the set is kept. The labels are checked by nothing but their number.
    """
    path = _download(CALTECH, CALTECH_FILE, folder)
    wanted = [f"{part}_{what}" for part in CALTECH_PARTS.values() for what in ("data", "labels")]
    try:
        held = matrices(path.read_bytes(), wanted, CALTECH_MOST)
        arrays: dict[str, Array] = {"shape": np.array(SIDES, np.int32)}
        for split, part in CALTECH_PARTS.items():
            upright = held[f"{part}_data"].reshape(-1, *SIDES).transpose(0, 2, 1).reshape(-1, SIDES[0] * SIDES[1])
            with np.errstate(invalid="ignore"):
                arrays[f"x_{split}"] = np.packbits(upright.astype(np.uint8), axis=1)
                arrays[f"y_{split}"] = (held[f"{part}_labels"].reshape(len(upright)) - 1).astype(np.uint8)
    except (KeyError, ValueError, OSError, MemoryError, struct.error, zlib.error) as problem:
        raise FileError(f"{path.name} from {CALTECH} is not the MATLAB file that was expected.") from problem
    return arrays


def _download(site: str, file: Remote, folder: Path) -> Path:
    """The file of a site in a folder: downloaded up to its limit, and its hash checked; raises FileError."""
    import pooch

    def limited(url: str, output: str, _: Any) -> None:
        with open(output, "wb") as stream:
            pooch.HTTPDownloader()(url, Limited(stream, file.most), None)

    if not site.startswith("https://"):
        raise FileError(f"{site}{file.name} is not an https address.")
    try:
        return Path(pooch.retrieve(site + file.name, file.sha256, fname=file.name, path=folder, downloader=limited))
    except (OSError, ValueError) as problem:
        what = f"{site}{file.name} could not be downloaded: {shown(problem)}."
        raise unwritten(what, problem) from problem


class Limited:
    """A stream that takes so many bytes and then raises ValueError."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self.stream, self.most, self.left = stream, most, most

    def write(self, part: bytes) -> int:
        """Write a part, if all of it still fits."""
        self.left -= len(part)
        if self.left < 0:
            raise ValueError(f"it has more than {self.most:,} bytes, which the right file has not")
        return self.stream.write(part)

    def flush(self) -> None:
        """Flush the stream below."""
        self.stream.flush()
