"""The labels that an adversarial autoencoder is trained with: whole numbers of classes, -1 where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data import Data
from boltz.errors import InputError
from boltz.models.files import Model

Labels = NDArray[Any]


def labels_for(model: Model, labels: Any, data: Data) -> Labels | None:
    """The labels (rows,) for the rows of a training: those given, those of the data where the machine needs some, and
    none where it infers them without any. Other machines keep those of the data, which they do not look at.

    Raises InputError.
    """
    game = None if model.directed is None else model.directed.structure.game
    if game is None or game.told == "none":
        if labels is not None:
            raise InputError("labels are for an adversarial autoencoder that hears some: build it with labels=...")
        return data.labels if game is None else None
    if labels is None and game.inferred:
        return None
    given = data.labels if labels is None else labels
    if given is None:
        raise InputError(f"labels must hold the class of each row, since the {_who(game.told)} hears it.")
    if np.asarray(given).dtype.kind in "OUS":
        raise InputError("labels must be whole numbers, -1 where none is known, got words: number them 0, 1, 2 ....")
    if np.shape(given) != (len(data.x),):
        raise InputError(f"labels must hold one for each of {len(data.x)} rows, got shape {np.shape(given)}.")
    found = checks.numbers(given, "labels", (len(data.x),))
    if not np.all(found == np.floor(found)) or found.min(initial=0) < -1 or found.max(initial=0) >= game.labels:
        raise InputError(
            f"labels must be whole numbers from 0 to {game.labels - 1}, -1 for unlabelled rows, got some from "
            f"{found.min():g} to {found.max():g}: number the classes, or build the machine with classes=...."
        )
    return found.astype(np.int64)


def _who(told: str) -> str:
    return {"prior": "discriminator"}.get(told, "decoder")
