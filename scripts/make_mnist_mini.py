"""Make boltz/data/mnist_mini.npz from mnist.npz: 1,000 train and 200 test digits of each class, evenly spaced.

Usage: python scripts/make_mnist_mini.py MNIST.npz [OUT.npz]

The n-th of k digits of a class is its digit number floor(n * count / k) in the order of the original files, and the
chosen digits keep that order. The archive has fixed dates, so equal input and zlib give equal bytes.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PER_CLASS = {"train": 1000, "test": 200}
OUT = Path(__file__).parent.parent / "boltz" / "data" / "mnist_mini.npz"


def chosen(labels: NDArray[np.uint8], per_class: int) -> NDArray[np.intp]:
    """Ascending row numbers with per_class evenly spaced members of each class."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([rows[np.arange(per_class) * len(rows) // per_class] for rows in members]))


def write(path: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    """Write arrays as a compressed .npz whose bytes depend on the arrays only."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main(source: Path, out: Path) -> None:
    """Choose, write and report."""
    arrays = {}
    with np.load(source, allow_pickle=False) as mnist:
        for split, per_class in PER_CLASS.items():
            labels = mnist[f"y_{split}"]
            rows = chosen(labels, per_class)
            arrays[f"x_{split}"] = mnist[f"x_{split}"][rows]
            arrays[f"y_{split}"] = labels[rows]
    write(out, arrays)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python scripts/make_mnist_mini.py MNIST.npz [OUT.npz]")
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else OUT)
