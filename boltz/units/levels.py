"""Units of levels: whole numbers from 0 to levels - 1, such as grey values, whose law is that of a factor of its own.

A machine sees them as points from -1 to 1, which is what encoders and convolutions hear.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NAME = "levels"
LEAST, MOST = 3, 2**16


def kind_of_levels(levels: int) -> str:
    """The kind of units of so many levels."""
    return f"{NAME}:{levels}"


def levels_in(kind: str) -> int | None:
    """How many levels units of a kind have, None for units of another kind, or of a number that there is not."""
    name, _, number = kind.partition(":")
    plain = name == NAME and number.isascii() and number.isdecimal() and len(number) < 6
    return int(number) if plain and LEAST <= int(number) <= MOST else None


def points(x: Any, levels: int, dtype: Any) -> Array:
    """Whole numbers x (rows, units) from 0 to levels - 1 as points from -1 to 1 in dtype."""
    return np.asarray(2 * np.asarray(x, np.float64) / (levels - 1) - 1, dtype)


def whole_numbers(points: Any, levels: int) -> Array:
    """Points (rows, units) from -1 to 1 as whole numbers from 0 to levels - 1, in the type of the points."""
    return np.asarray(np.rint((np.asarray(points) + 1) / 2 * (levels - 1)))
