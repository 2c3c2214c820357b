"""Fine-tuning: a network unrolled from a machine learns classes, or to give back what it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data import Data
from boltz.errors import InputError
from boltz.models.files import Model
from boltz.models.network import Label, Network
from boltz.models.unrolling import classifier
from boltz.sampling.passing import checked_network
from boltz.training.courses import Course, Labelled, Progress, Record
from boltz.training.run import as_data
from boltz.training.settings import FineTuneSettings, settings_from

Array = NDArray[Any]
Watch = Callable[[Record], None]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned network, one record an epoch, and the epoch whose parameters it has."""

    network: Network
    history: list[Record]
    epoch: int
    settings: FineTuneSettings


def fine_tune(
    model: Model | Network, x: Any, y: Any = None, held_out: Any = None, watch: Watch | None = None, **settings: Any
) -> Tuned:
    """Train a network unrolled from a machine to tell the classes y (rows,) of visible rows x (rows, units).

    model: a machine, whose classifier starts from its weights (boltz.classifier), or a network: a classifier, or an
    autoencoder, which takes no y and learns to give back x. x as in boltz.train; y: numbers or text, by default the
    labels that x brings along. held_out: rows, or (rows, labels), that choose the epoch to keep, instead of a share of
    x. watch sees each epoch's record. Settings are the fields of boltz.FineTuneSettings. Losses are in nats a row.
    Raises InputError and NumericalError.
    """
    chosen: FineTuneSettings = settings_from(FineTuneSettings, settings)
    course, history = prepared(model, x, y, held_out, chosen), list[Record]()

    def record(found: Record) -> None:
        history.append(found)
        if watch is not None:
            watch(found)

    course.record = record
    course.run()
    return Tuned(course.progress.network, history, course.progress.chosen, chosen)


def prepared(model: Model | Network, x: Any, y: Any, held_out: Any, settings: FineTuneSettings) -> Course:
    """A fine-tuning at its start; raises InputError."""
    data, labels = _labelled(model, x, y, "x")
    if not isinstance(model, Network):
        if labels is None:
            raise InputError("y must hold the label of each row of x, which brings none along.")
        model = classifier(model, np.unique(labels).tolist())
    network = checked_network(model)
    others: Labelled | None = None
    if held_out is not None:
        rows, held = held_out if isinstance(held_out, tuple) and len(held_out) == 2 else (held_out, None)
        rows, held = _labelled(network, rows, held, "held_out")
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


def _labelled(model: Model | Network, x: Any, y: Any, name: str) -> tuple[Data, NDArray[Any] | None]:
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
