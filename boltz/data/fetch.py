"""Download the files of a named set, check them, and convert them to the layout that the readers know."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boltz.data.readers import read
from boltz.data.table import Array
from boltz.errors import FileError

SIDES = (28, 28)
MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MNIST_FILES = {
    "x_train": ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "y_train": ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}
STATIC = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
STATIC_FILES = {
    "x_train": ("binarized_mnist_train.amat", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
    "x_valid": ("binarized_mnist_valid.amat", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
    "x_test": ("binarized_mnist_test.amat", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
}
CALTECH = "https://people.cs.umass.edu/~marlin/data/"
CALTECH_FILE = "caltech101_silhouettes_28_split1.mat"
CALTECH_PARTS = {"train": "train", "valid": "val", "test": "test"}


def mnist(folder: Path) -> dict[str, Array]:
    """The arrays of MNIST from its four idx files (LeCun et al. 1998)."""
    return {name: read(_download(MNIST, *file, folder), None, "train").values for name, file in MNIST_FILES.items()}


def mnist_static(folder: Path) -> dict[str, Array]:
    """The packed arrays of static MNIST from its three text files, "0 1 ... 0" a line (Larochelle & Murray 2011)."""
    units = SIDES[0] * SIDES[1]
    arrays: dict[str, Array] = {"shape": np.array(SIDES, np.int32)}
    for name, file in STATIC_FILES.items():
        text = np.frombuffer(_download(STATIC, *file, folder).read_bytes(), np.uint8)
        arrays[name] = np.packbits(text.reshape(-1, 2 * units)[:, ::2] == ord("1"), axis=1)
    return arrays


def caltech(folder: Path) -> dict[str, Array]:
    """The packed arrays of Caltech-101 Silhouettes (Marlin et al. 2010), whose file holds images column by column."""
    from scipy.io import loadmat

    path = _download(CALTECH, CALTECH_FILE, None, folder)
    try:
        held = loadmat(path)
        arrays: dict[str, Array] = {"shape": np.array(SIDES, np.int32)}
        for split, part in CALTECH_PARTS.items():
            upright = held[f"{part}_data"].reshape(-1, *SIDES).transpose(0, 2, 1).reshape(-1, SIDES[0] * SIDES[1])
            arrays[f"x_{split}"] = np.packbits(upright.astype(np.uint8), axis=1)
            arrays[f"y_{split}"] = (held[f"{part}_labels"].reshape(-1) - 1).astype(np.uint8)
    except (KeyError, ValueError, TypeError, NotImplementedError, OSError) as problem:
        raise FileError(f"{path.name} from {CALTECH} is not the MATLAB file that was expected.") from problem
    return arrays


def _download(site: str, name: str, sha256: str | None, folder: Path) -> Path:
    import pooch

    try:
        return Path(pooch.retrieve(site + name, sha256, fname=name, path=folder))
    except (OSError, ValueError) as problem:
        raise FileError(f"{site}{name} could not be downloaded: {str(problem)!r:.300}.") from problem
