"""States of chains, with the random key that drew them: who goes on from them with the same key is told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from boltz.rng import Key

Array = NDArray[Any]


class States(dict[str, Array]):
    """States by layer, layer -> (chains, units): a dict that also holds the random key they were drawn with."""

    def __init__(self, layers: Mapping[str, Array], key: Key) -> None:
        super().__init__(layers)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies keep the key."""
        return type(self), (dict(self), self.key)


def warn_of_same_numbers(start: Any, key: Key, stacklevel: int) -> None:
    """Say that chains would meet the random numbers again that drew their start, and so would hardly move on.

    stacklevel: that of the caller's line, counted from here.
    """
    if isinstance(start, States) and start.key == key:
        warnings.warn(
            "start was drawn with the same seed, so that its chains meet the same random numbers again: give each call "
            "a seed of its own, such as seed=i in a loop over i.",
            UserWarning,
            stacklevel=stacklevel,
        )
