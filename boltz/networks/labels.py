"""What a fine-tuning starts from: the network of a machine, rows, and their labels as numbers of classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data import Data
from boltz.data.from_arrays import as_data
from boltz.errors import InputError
from boltz.foreign import shown
from boltz.models.files import Model, Seeing, checked_machine
from boltz.networks.loop import Course, Labelled, Progress
from boltz.networks.network import LABELS, Label, Network, is_label
from boltz.networks.settings import FineTuneSettings
from boltz.networks.unrolling import classifier
from boltz.training.description import with_levels_of

Array = NDArray[Any]


def prepared(model: Model | Network, x: Any, y: Any, held_out: Any, settings: FineTuneSettings) -> Course:
    """A fine-tuning at its start; raises InputError."""
    network, data, labels = _started(model, x, y)
    if not network.visible.binary and settings.binarize != "none":
        raise InputError(f"binarize must be none for Gaussian visible units, got {settings.binarize}.")
    others: Labelled | None = None
    if settings.patience and settings.validation == 0 and held_out is None:
        raise InputError("patience waits for a better epoch on rows that are held out, but validation is 0.")
    if held_out is not None:
        if settings.refit:
            raise InputError("refit adds the rows that were held out of x, but held_out gives rows of their own.")
        rows, held = held_out if isinstance(held_out, tuple) and len(held_out) == 2 else (held_out, None)
        rows, held = labelled(network, rows, held, "held_out", "the labels of held_out")
        others = rows, numbered(network, held, "the labels of held_out")
    return Course(settings, network, (data, numbered(network, labels)), others, Progress.begin(network))


@singledispatch
def _started(model: Any, x: Any, y: Any) -> tuple[Network, Data, list[Label] | None]:
    """The network to train, rows and labels: of a machine, its classifier of the labels that there are."""
    machine = checked_machine(model)
    data, labels = _with_labels(machine, x, y, "x", "y")
    if labels is None:
        raise InputError("y must hold the label of each row of x, which brings none along.")
    return classifier(with_levels_of(machine, data), sorted(set(labels))), data, labels


@_started.register
def _(model: Network, x: Any, y: Any) -> tuple[Network, Data, list[Label] | None]:
    data, labels = labelled(model, x, y)
    return with_levels_of(model, data), data, labels


def numbered(network: Network, labels: Sequence[Label] | None, name: str = "y") -> NDArray[np.int64] | None:
    """The number of each label (rows,) among the classes of a network, None for an autoencoder; raises InputError."""
    if network.code:
        return None
    if labels is None:
        raise InputError(f"{name} must be given: one for each row.")
    places: dict[Label, int] = {label: i for i, label in enumerate(network.classes)}
    for label in labels:
        if label not in places:
            names = ", ".join(map(repr, network.classes))
            raise InputError(f"{name} must hold classes of the network, {shown(names)}, got {checks.brief(label)}.")
    return np.array([places[label] for label in labels], np.int64)


def labelled(network: Network, x: Any, y: Any, name: str = "x", told: str = "y") -> tuple[Data, list[Label] | None]:
    """Rows and their labels, checked; an autoencoder has none. name and told are what errors call them."""
    if not network.code:
        return _with_labels(network, x, y, name, told)
    data = as_data(x, name, network.layers[0], network.levels)
    if y is not None:
        raise InputError(f"{told} must not be given: an autoencoder learns to give back x.")
    return data, None


def _with_labels(model: Seeing, x: Any, y: Any, name: str, told: str) -> tuple[Data, list[Label] | None]:
    data = as_data(x, name, model.layers[0], model.levels)
    y = data.labels if y is None else y
    return data, None if y is None else labels_of(y, len(data.x), told)


def labels_of(y: Any, rows: int, name: str = "y") -> list[Label]:
    """The labels (rows,) as plain numbers or text, not both; raises InputError."""
    try:
        found = np.asarray(y)
    except (ValueError, TypeError) as problem:
        raise InputError(f"{name} must be an array of labels, got {type(y).__name__}.") from problem
    if found.shape != (rows,):
        raise InputError(f"{name} must hold one label for each of the {rows} rows, got shape {found.shape}.")
    labels: list[Label] = [label.item() if isinstance(label, np.generic) else label for label in found.tolist()]
    for label in labels:
        if isinstance(label, str) != isinstance(labels[0], str):
            raise InputError(
                f"{name} must hold numbers or text, not both, one for each row, got {checks.brief(label)}."
            )
        if not is_label(label):
            raise InputError(f"{name} must hold for each row {LABELS}, got {checks.brief(label)}.")
    return labels
