"""Classes of any kind, text or numbers, and the numbers that an adversarial autoencoder has for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data import Data
from boltz.data.labels import Labels
from boltz.errors import InputError
from boltz.training.description import RunDescription

UNLABELLED, MOST = -1, 1000
ENTRY = "labels"  # of run.toml


def numbered(
    labels: Labels, classes: int | None = None, machine: str = ""
) -> tuple[tuple[Any, ...], NDArray[np.int64]]:
    """The classes of labels (rows,) in sorted order, and the number of each row's, -1 for unlabelled rows.

    Rows are unlabelled by -1 beside at least two other classes, numbers or words. classes: how many there must be;
    whole numbers below it stay as they are, so that a class may have no row. machine: a trained one that has so many
    labels, in words. Raises InputError.
    """
    found = np.asarray(labels)
    names: tuple[Any, ...] = tuple(np.unique(found).tolist())
    numbers = found.dtype.kind in "iuf"
    unknown = UNLABELLED if numbers else str(UNLABELLED)
    if unknown in names and len(names) > 2:
        names = tuple(name for name in names if name != unknown)
    if classes is not None and classes != len(names):
        if not numbers or not all(name == int(name) for name in names) or not 0 <= names[0] <= names[-1] < classes:
            if machine:
                raise InputError(
                    f"{machine} has {classes} labels, but the data have {len(names)} classes: give data with as many, "
                    "or train another machine."
                )
            raise InputError(f"--classes must be {len(names)}, the number of classes of the data, got {classes}.")
        names = tuple(range(classes))
    if not 2 <= len(names) <= MOST:
        raise InputError(f"the labels must be of 2 to {MOST:,} classes, got {len(names):,}.")
    return names, numbers_of(found, names)


def numbers_of(labels: Labels, names: tuple[Any, ...]) -> NDArray[np.int64]:
    """The number of the class of each label (rows,), -1 for one that is none of the names."""
    place = {name: i for i, name in enumerate(names)}
    return np.array([place.get(label, UNLABELLED) for label in np.asarray(labels).tolist()], np.int64)


def names_of(run: RunDescription, count: int) -> tuple[Any, ...]:
    """The classes of so many labels that a run was taught, 0, 1 and so on where it names none."""
    found = run.part(ENTRY).get("names")
    plain = isinstance(found, list) and len(found) == count and all(isinstance(x, str | int | float) for x in found)
    return tuple(found) if plain and isinstance(found, list) else tuple(range(count))


def with_numbers(data: Data, run: RunDescription) -> Data:
    """Rows of a run with their labels by number, as the run was told them; without labels where they are no classes."""
    if data.labels is None:
        return data
    told = run.part(ENTRY).get("names")
    try:
        names = tuple(told) if isinstance(told, list) else numbered(data.labels)[0]
    except InputError:
        return replace(data, labels=None)
    return replace(data, labels=numbers_of(data.labels, names))


def was_taught(run: RunDescription) -> bool:
    """Whether a run was taught labels."""
    known = run.part(ENTRY).get("labelled")
    return isinstance(known, int) and known > 0
