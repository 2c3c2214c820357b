"""What a classifier makes of rows: predictions, the confusion of classes, mistakes, and the error with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from boltz.data.labels import Labels
from boltz.evaluation.rows import Seen, chunks
from boltz.networks.network import Network
from boltz.networks.predict import classify
from boltz.plotting import images as plotting
from boltz.storage.atomic import write_text
from boltz.storage.tables import commas

Array = NDArray[Any]
WRITES = ("predictions.csv", "confusion.csv", "confusion.png", "mistakes.png")


def measured(network: Network, seen: Seen, folder: Path) -> dict[str, Any]:
    """Classify rows, write predictions.csv, and where labels are known what went wrong; returns the error."""
    rows = seen.rows
    found = [classify(network, rows.seen(place)) for place in chunks(len(rows), rows.data.x.shape[1])]
    guess = np.concatenate([part.argmax(axis=1) for part in found])
    sure = np.concatenate([part.max(axis=1) for part in found])
    predicted = [network.classes[i] for i in guess]
    labels = None if seen.labels is None else seen.labels.tolist()
    known: Sequence[Any] = [()] * len(guess) if labels is None else [(label,) for label in labels]
    lines = [(i, *k, p, f"{s:.6g}") for i, (k, p, s) in enumerate(zip(known, predicted, sure, strict=True), 1)]
    head = ("row", *(() if labels is None else ("label",)), "predicted", "probability")
    write_text(folder / "predictions.csv", commas([head, *lines]))
    if seen.labels is None:
        return {**rows.about, "error": None}
    _confusion(network, seen.labels, guess, folder)
    right = np.array([label == each for label, each in zip(seen.labels.tolist(), predicted, strict=True)])
    _mistakes(seen, predicted, np.flatnonzero(~right)[np.argsort(-sure[~right], kind="stable")], folder)
    wrong = int((~right).sum())
    return {**rows.about, "wrong": wrong, "error": wrong / len(rows), "interval": binomial_interval(wrong, len(rows))}


def binomial_interval(count: int, rows: int) -> list[float]:
    """The 95 % interval of a share, of which count of so many rows were found (Clopper & Pearson 1934)."""
    low = float(betaincinv(count, rows - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, rows - count, 0.975)) if count < rows else 1.0
    return [low, high]


def _confusion(network: Network, labels: Labels, guess: Array, folder: Path) -> None:
    """How often rows of each true class were taken for each class of the network, as a table and a picture."""
    others = sorted({*labels.tolist()} - {*network.classes}, key=str)
    true = [*network.classes, *others]
    places = {label: i for i, label in enumerate(true)}
    counts = np.zeros((len(true), len(network.classes)), np.int64)
    np.add.at(counts, (np.array([places[label] for label in labels.tolist()]), guess), 1)
    lines = [(label, *line) for label, line in zip(true, counts.tolist(), strict=True)]
    write_text(folder / "confusion.csv", commas([("true", *network.classes), *lines]))
    plotting.save(plotting.confusion_matrix(counts, true, network.classes), folder / "confusion.png")


def _mistakes(seen: Seen, predicted: Sequence[Any], wrong: Array, folder: Path) -> None:
    """The images of the rows that were classified wrong, the most certain first; none where rows are no images."""
    data = seen.rows.data
    shape = plotting.image_shape(data.x.shape[1], data.shape)
    if shape is None or not len(wrong) or seen.labels is None:
        return
    shown = wrong[: plotting.MOST_TILES]
    captions = [f"{seen.labels[i]} → {predicted[i]}" for i in shown]
    title = f"{len(shown)} of {len(wrong):,} mistakes, true → predicted, the most certain first"
    images = np.asarray(data.x[shown], np.float32) / (data.levels or 1)
    plotting.save(plotting.captioned_tiles(images, captions, shape, title), folder / "mistakes.png")
