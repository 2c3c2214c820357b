"""Checks of fine-tuning in run folders, and of the rows it learns from; faults are planted against them."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import boltz
from boltz.data.dataset import few_rows
from boltz.errors import FileError, InputError, Interrupted
from boltz.evaluation.rows import Rows
from boltz.networks.loop import Course
from boltz.rng import Key
from boltz.storage import metrics, run_folder

X = np.random.default_rng(1).random((24, 6)).astype(np.float32)
Y = np.array(["b", "a", "c"] * 8)
WEIGHTS = [np.random.default_rng(2).normal(0, 0.5, shape).astype(np.float32) for shape in ((6, 5), (5, 4))]
DBM = boltz.from_arrays(WEIGHTS, [np.zeros(n, np.float32) for n in (6, 5, 4)])
QUICK: dict[str, Any] = {"epochs": 3, "output_epochs": 1, "batch_size": 5, "learning_rate": 0.05, "validation": 0.25}
BATCHES = 4


def check_few_rows() -> None:
    """So many different rows in rising order, of each class as many or one more, except where a class has no more."""
    labels = np.repeat([5, 7, 9], [3, 20, 7])
    for number in (1, 2, 3, 7, 12, 30):
        for seed in (0, 1):
            rows = few_rows(labels, number, seed)
            counts = np.array([(labels[rows] == label).sum() for label in (5, 7, 9)])
            most = np.array([3, 20, 7])
            assert len(rows) == number and (np.diff(rows) > 0).all()
            assert (counts >= np.minimum(counts.max() - 1, most)).all(), counts
    assert (few_rows(labels, 9, 0) != few_rows(labels, 9, 1)).any()


def check_pieces_of_rows() -> None:
    """Rows that are drawn once are the same in pieces, and no two pieces are drawn alike."""
    data = boltz.load_data("mnist-mini", limit=96)
    rows = Rows(data, "fixed", Key.from_seed(3), boltz.rbm(784, 1).layers[0])
    whole = rows.seen(slice(None))
    assert set(np.unique(whole)) == {0, 1}
    pieces = [rows.seen(slice(first, first + 32)) for first in (0, 32, 64)]
    assert (np.concatenate(pieces) == whole).all()
    masked = rows.masked(whole[:, ::-1])
    assert (masked.known(slice(32, 64))["mask"] == pieces[1][:, ::-1]).all()
    assert (rows.masked(whole[:1]).known(slice(32, 64))["mask"] == np.repeat(whole[:1], 32, axis=0)).all()


def check_stops_amid_an_epoch() -> None:
    """A signal at any batch leaves the last whole epoch behind, and the run goes on to the bits of an unbroken one."""
    wanted = boltz.fine_tune(DBM, X, Y, **QUICK)
    original = Course.run
    for stop in (2, BATCHES + 2, 2 * BATCHES + 3, 3 * BATCHES + 1):
        calls = [0]

        def run(course: Course, stop: int = stop, calls: list[int] = calls) -> None:
            pause = course.pause

            def paused() -> None:
                calls[0] += 1
                if calls[0] == stop:
                    signal.raise_signal(signal.SIGTERM)
                pause()

            course.pause = paused
            original(course)

        with tempfile.TemporaryDirectory() as place, mock.patch.object(os, "fsync", lambda descriptor: None):
            folder = Path(place) / "r"
            try:
                with mock.patch.object(Course, "run", run):
                    boltz.fine_tune(DBM, X, Y, out=folder, checkpoint_seconds=1e6, **QUICK)
                raise AssertionError("the signal was not heard")
            except Interrupted:
                pass
            with (folder / metrics.METRICS).open("a") as stream:  # an epoch that the checkpoint has not seen
                stream.write('{"line": 99, "stage": "lost"}\n')
            found = boltz.resume_tuning(folder, X, Y)
            assert found.network.arena.tobytes() == wanted.network.arena.tobytes()
            assert [r.get("loss") for r in found.history] == [r["loss"] for r in wanted.history]


def check_labels_that_changed() -> None:
    """Other labels for the same rows are not taken."""
    with tempfile.TemporaryDirectory() as place, mock.patch.object(os, "fsync", lambda descriptor: None):
        folder = Path(place) / "r"
        boltz.fine_tune(DBM, X, Y, out=folder, **QUICK)
        (folder / run_folder.NETWORK).unlink()
        try:
            boltz.resume_tuning(folder, X, np.roll(Y, 1))
        except InputError as problem:
            assert "the labels of the data" in str(problem)
        else:
            raise AssertionError("other labels were taken")
        boltz.resume_tuning(folder, X, Y)


def check_changed_settings() -> None:
    """A run, of a network as of a machine, does not go on from a checkpoint of other settings."""
    with tempfile.TemporaryDirectory() as place, mock.patch.object(os, "fsync", lambda descriptor: None):
        tuned, trained = Path(place) / "tuned", Path(place) / "trained"
        boltz.fine_tune(DBM, X, Y, out=tuned, **QUICK)
        boltz.train(boltz.rbm(X.shape[1], 2), X, trained, epochs=1)
        for folder, data, goes_on in ((tuned, (X, Y), boltz.resume_tuning), (trained, (X,), boltz.resume)):
            text = (folder / run_folder.SETTINGS).read_text()
            (folder / run_folder.SETTINGS).write_text(text.replace("seed = 0", "seed = 1"))
            try:
                goes_on(folder, *data)  # type: ignore[operator]
            except FileError as problem:
                assert "was changed since the run was saved" in str(problem)
            else:
                raise AssertionError("a checkpoint of other settings was taken up")


CHECKS = (
    check_few_rows,
    check_pieces_of_rows,
    check_stops_amid_an_epoch,
    check_labels_that_changed,
    check_changed_settings,
)
