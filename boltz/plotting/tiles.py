"""Rows and weights as small pictures of their own, in the bytes of PNG files, for pages that hold all they show."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boltz.plotting import images
from boltz.plotting.images import Shape, image_shape

Bytes = NDArray[np.uint8]
GREY, TWO_SIDED = "grey", "two-sided"
HIGH, WIDE = 32, 96  # pixels of a row that is drawn as bars
MIDDLE = 128  # the shade of 0 among signed numbers


@dataclass(frozen=True)
class Tile:
    """How a row of so many units is drawn: as an image (height, width) of which step x step pixels become one, or,
    where image is None, as bars from left to right. Colours are drawn as their mean.
    """

    units: int
    image: Shape | None
    step: int = 1

    @classmethod
    def of(cls, units: int, shape: Shape | None, most: int) -> Tile:
        """The tile of rows of so many units in at most about so many pixels; shape is that of the image, if known."""
        image = image_shape(units, shape)
        if image is None or min(image) == 1:
            return cls(units, None)
        return cls(units, image, max(1, math.ceil(math.sqrt(math.prod(image[:2]) / most))))

    @property
    def weight(self) -> int:
        """Bytes of a picture, about; those of bars have long runs of one shade."""
        return HIGH * WIDE // 8 if self.image is None else math.prod(-(-side // self.step) for side in self.image[:2])

    def greys(self, rows: Any) -> Bytes:
        """Rows (rows, units) in [0, 1] as shades (rows, height, width): images as they are, bars black on white."""
        if self.image is not None:
            return np.rint(255 * np.clip(self._smaller(rows), 0, 1)).astype(np.uint8)
        heights = np.arange(HIGH, 0, -1)[:, None] - 0.5
        return np.where(heights < HIGH * self._bars(rows)[:, None, :], 40, 255).astype(np.uint8)

    def signed(self, rows: Any, reach: float) -> Bytes:
        """Signed numbers (rows, units) from -reach to reach as shades (rows, height, width), 128 for 0."""
        if self.image is not None:
            return _shade(self._smaller(rows) / (reach or 1.0))
        values = self._bars(rows)[:, None, :] / (reach or 1.0)
        heights = 1 - (np.arange(HIGH)[:, None] + 0.5) * 2 / HIGH
        inside = np.where(values > 0, (heights > 0) & (heights <= values), (heights < 0) & (heights >= values))
        return np.where(inside, _shade(np.sign(values)), MIDDLE).astype(np.uint8)

    def _smaller(self, rows: Any) -> NDArray[np.float64]:
        """Rows as images, each block of step x step pixels at its mean."""
        assert self.image is not None
        values, step = np.asarray(rows, np.float64).reshape(-1, *self.image), self.step
        values = values.mean(axis=3) if values.ndim == 4 else values
        for axis in (1, 2) if step > 1 else ():
            places = np.arange(0, values.shape[axis], step)
            counts = np.diff(np.append(places, values.shape[axis]))
            sums = np.add.reduceat(values, places, axis=axis)
            values = sums / (counts[:, None] if axis == 1 else counts)
        return values

    def _bars(self, rows: Any) -> NDArray[np.float64]:
        """Rows as numbers (rows, width): units repeated, or their mean over neighbours where they are too many."""
        values = np.asarray(rows, np.float64)
        if self.units <= WIDE:
            return values[:, np.arange(WIDE) * self.units // WIDE]
        places = np.arange(WIDE) * self.units // WIDE
        return np.add.reduceat(values, places, axis=1) / np.diff(np.append(places, self.units))


def sheet(tiles: Bytes, across: int, gap: int = 255) -> Bytes:
    """Tiles (tiles, height, width) as one picture, filled row by row, with a line of the shade gap around each."""
    count, height, width = tiles.shape
    across = min(across, count)
    picture = np.full((-(-count // across) * (height + 1) + 1, across * (width + 1) + 1), gap, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = 1 + i // across * (height + 1), 1 + i % across * (width + 1)
        picture[top : top + height, left : left + width] = tile
    return picture


def uri(shades: Bytes, colours: str = GREY) -> str:
    """A picture of shades (height, width) as a data URI of PNG, grey, or from blue over white to red."""
    return _data("image/png", _png(shades, colours))


def uris(tiles: Bytes, colours: str = GREY) -> list[str]:
    """Each of several tiles (tiles, height, width) as a data URI."""
    return [uri(tile, colours) for tile in tiles]


def figure_uri(figure: Figure) -> str:
    """A figure as a data URI of SVG, in which no script could run where it is the source of an image."""
    return _data("image/svg+xml", images.written(figure, "svg"))


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _shade(values: NDArray[np.float64]) -> Bytes:
    return np.rint(MIDDLE + 127 * np.clip(values, -1, 1)).astype(np.uint8)


def _png(shades: Bytes, colours: str) -> bytes:
    """A PNG file with a byte a pixel (PNG specification, second edition, 2003, sections 5 and 11)."""
    height, width = shades.shape
    kind = 0 if colours == GREY else 3
    lines = np.insert(shades, 0, 0, axis=1).tobytes()  # each line begins with its filter: none
    parts: Sequence[tuple[bytes, bytes]] = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        *([] if colours == GREY else [(b"PLTE", _palette())]),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _palette() -> bytes:
    """256 colours from blue over white (128) to red."""
    places = np.clip((np.arange(256) - 1) / 254, 0, 1)
    return np.rint(255 * colormaps["RdBu_r"](places)[:, :3]).astype(np.uint8).tobytes()
