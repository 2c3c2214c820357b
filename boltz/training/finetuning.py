"""What a fine-tuning starts from: the network of a machine, rows, and their labels as numbers of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data import Data
from boltz.errors import InputError
from boltz.models.files import Model
from boltz.models.network import Label, Network
from boltz.models.unrolling import classifier
from boltz.sampling.passing import checked_network
from boltz.training.courses import Course, Labelled, Progress
from boltz.training.folders import as_data
from boltz.training.settings import FineTuneSettings

Array = NDArray[Any]


def prepared(model: Model | Network, x: Any, y: Any, held_out: Any, settings: FineTuneSettings) -> Course:
    """A fine-tuning at its start; raises InputError."""
    data, labels = labelled(model, x, y, "x")
    if not isinstance(model, Network):
        if labels is None:
            raise InputError("y must hold the label of each row of x, which brings none along.")
        model = classifier(model, np.unique(labels).tolist())
    network = checked_network(model)
    others: Labelled | None = None
    if held_out is not None:
        rows, held = held_out if isinstance(held_out, tuple) and len(held_out) == 2 else (held_out, None)
        rows, held = labelled(network, rows, held, "held_out")
        others = rows, numbered(network, held)
    return Course(settings, network, (data, numbered(network, labels)), others, Progress.begin(network))


def numbered(network: Network, labels: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """The number of each label (rows,) among the classes of a network, None for an autoencoder; raises InputError."""
    if network.code:
        return None
    if labels is None:
        raise InputError("y must hold the label of each row, but there are none.")
    places: dict[Label, int] = {label: i for i, label in enumerate(network.classes)}
    plain = labels.tolist()
    for label in plain:
        if label not in places:
            names = ", ".join(map(repr, network.classes))
            raise InputError(f"y must hold classes of the network, {names:.200}, got {label!r:.80}.")
    return np.array([places[label] for label in plain], np.int64)


def labelled(model: Model | Network, x: Any, y: Any, name: str) -> tuple[Data, NDArray[Any] | None]:
    """Rows and their labels, checked; an autoencoder has none."""
    data = as_data(x, name, model.layers[0])
    if isinstance(model, Network) and model.code:
        if y is not None:
            raise InputError("y has no use here: an autoencoder learns to give back x.")
        return data, None
    labels = data.labels if y is None else y
    if labels is None:
        return data, None
    found = np.asarray(labels)
    if found.shape != (len(data.x),) or found.dtype.kind not in "biufUSO":
        raise InputError(f"y must hold one label for each of the {len(data.x)} rows, got shape {found.shape}.")
    return data, found
