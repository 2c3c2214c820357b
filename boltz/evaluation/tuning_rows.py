"""The rows of a fine-tuning that files and data sets give: to learn from, to test on, and how run.toml has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from boltz.data import Data, load, splits
from boltz.data.dataset import few_rows, only
from boltz.data.labels import Labels, labels_from
from boltz.errors import FileError, InputError
from boltz.evaluation.rows import Seen, seen_by
from boltz.foreign import shown
from boltz.networks.network import Network
from boltz.networks.settings import FineTuneSettings
from boltz.training.description import RunDescription


def training(labelled: bool, data: Data, file: str | None) -> Labels | None:
    """The labels of training rows, from a file if one is named, None for an autoencoder; raises InputError."""
    if not labelled:
        return None
    if file is not None and "label_column" in data.request:
        raise InputError("--labels and --label-column both name labels: give one of them.")
    labels = data.labels if file is None else labels_from(file, len(data.x))
    if labels is None:
        raise InputError(f"{data.source} holds no labels: give them with --labels FILE.")
    if len(np.unique(labels)) < 2:
        raise InputError(f"the labels must be of two classes at least, got {labels[:1].tolist()} alone.")
    return labels


def fewer(data: Data, labels: Labels | None, few: int | None, seed: int) -> tuple[Data, Labels | None]:
    """Rows and labels, only so many of them if few is a number; raises InputError."""
    if few is None or labels is None:
        return data, labels
    rows = few_rows(labels, few, seed)
    return only(data, rows), labels[rows]


def rows_entry(data: Data, few: int | None = None, labels: str | None = None) -> dict[str, Any]:
    """What run.toml says of rows of which few were chosen, or whose labels are in a file; else nothing, as loading
    them again is all there is to it.
    """
    if few is None and labels is None:
        return {}
    file = {} if labels is None else {"labels": os.path.realpath(labels)}
    return {"load": dict(data.request), **({} if few is None else {"few": few}), **file}


def training_again(labelled: bool, run: RunDescription) -> tuple[Data | None, Labels | None]:
    """The rows that were chosen when the run began; None where loading its data again is all there is to it."""
    entry, seed = run.rows("rows"), run.setting("seed", int)
    if not entry:
        return None, None
    if seed is None:
        raise FileError(f"{run.place} does not say the seed that chose the rows.")
    try:
        data = load(**entry.load)
        labels = training(labelled, data, entry.get("labels"))
        return fewer(data, labels, entry.get("few"), seed)
    except TypeError as problem:
        raise FileError(f"run.toml does not say how to load the data ({shown(problem)}).") from problem


def test_entry(
    name: str, known: Mapping[str, Any], test: str | None = None, labels: str | None = None, levels: int | None = None
) -> dict[str, Any]:
    """What run.toml says of the test rows: those named, else those of the data set; nothing where there are none.

    known is how load finds what whole numbers are divided by, unless levels say it of all rows; labels: their file.
    """
    place = test or name
    there = splits(place)
    if test is None and "test" not in there:
        if labels is not None:
            raise InputError("--test-labels would do nothing: the data have no test rows.")
        return {}
    if place != name and levels is None:
        known = {**known, "levels": None}  # what is said of one file need not hold for another
    data = load(place, "test" if "test" in there else "train", **known)
    found: dict[str, Any] = {"load": dict(data.request)}
    if labels is not None:
        found["labels"] = os.path.realpath(labels)
    return found


def test_rows(network: Network, run: RunDescription, settings: FineTuneSettings) -> Seen | None:
    """The test rows of a run; raises InputError where the network cannot see them."""
    entry = run.rows("test")
    if not entry:
        return None
    try:
        data = load(**entry.load)
    except TypeError as problem:
        raise FileError(f"run.toml does not say how to load the test rows ({shown(problem)}).") from problem
    if data.shape is None:
        data = replace(data, shape=run.image)
    rows = replace(seen_by(network, data, settings.binarize, settings.seed), split="test")
    labels = entry.get("labels")
    if labels is not None:
        return Seen(rows, labels_from(labels, len(rows), "--test-labels"))
    return Seen(rows, data.labels)
