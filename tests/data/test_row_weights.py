"""Catches bad weights of rows, and sequences that are none, that pass without a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import boltz

X = np.array([[0, 1], [1, 0], [1, 1]], np.float32)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, 2], "weights must have shape (3), got (2,)"),
        ([1, -1, 1], "weights must be at least 0 and not all 0, got -1 to 1."),
        ([0, 0, 0], "weights must be at least 0 and not all 0, got 0 to 0."),
        ([1, np.nan, 1], "weights must"),
        ("half", "weights must"),
    ],
)
def test_bad_weights_are_refused(weights: Any, said: str) -> None:
    with pytest.raises(boltz.InputError) as caught:
        boltz.train(boltz.rbm(2, 2), X, weights=weights, epochs=1)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("x", "similarity", "said"),
    [
        (np.zeros((0, 3)), 0.8, "x must have at least one row and one site"),
        ([[0.5, 1]], 0.8, "x must hold codes (rows, sites)"),
        ([[-1, 1]], 0.8, "x must hold codes (rows, sites)"),
        ([[256, 1]], 0.8, "x must hold codes (rows, sites)"),
        ([0, 1], 0.8, "x must hold codes (rows, sites)"),
        ([[0, 1]], 1.5, "similarity must be"),
    ],
)
def test_what_are_no_sequences_is_refused(x: Any, similarity: float, said: str) -> None:
    with pytest.raises(boltz.InputError) as caught:
        boltz.sequence_weights(x, similarity)
    assert str(caught.value).startswith(said), str(caught.value)


def test_a_weighed_run_goes_on_bit_by_bit(tmp_path: Any) -> None:
    """Catches weights that a checkpoint forgets: the run that was stopped ends as the one that was not."""
    rows, weights = np.tile(X, (20, 1)), np.linspace(0, 2, 60)
    settings: dict[str, Any] = {"weights": weights, "epochs": 6, "batch_size": 7, "checkpoint_seconds": 0}
    whole = boltz.train(boltz.rbm(2, 2, rows), rows, **settings)
    seen: list[int] = []
    part = tmp_path / "run"

    def stop(record: Any) -> None:
        seen.append(record["epoch"])
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boltz.train(boltz.rbm(2, 2, rows), rows, part, watch=stop, **settings)
    again = boltz.resume(part, rows)
    assert (again.model.arena == whole.model.arena).all() and len(again.history) == 6
    plain = boltz.train(boltz.rbm(2, 2, rows), rows, epochs=6, batch_size=7)
    assert (plain.model.arena != whole.model.arena).any()


def test_a_run_with_unknown_entries_goes_on_bit_by_bit(tmp_path: Any) -> None:
    """Catches guesses that a checkpoint forgets, for floats and for codes of categories."""
    rng = np.random.default_rng(3)
    for x, units in (
        (np.tile(X, (20, 1)), "bernoulli"),
        (rng.integers(0, 3, (60, 2)).astype(float), ("categorical", 3)),
    ):
        rows = np.where(rng.random(x.shape) < 0.3, np.nan, x)
        settings: dict[str, Any] = {"epochs": 6, "batch_size": 7, "checkpoint_seconds": 0}
        whole = boltz.train(boltz.rbm(2, 2, rows, units=units), rows, **settings)
        part, seen = tmp_path / str(units)[:5].strip("('"), []

        def stop(record: Any, seen: list[int] = seen) -> None:
            seen.append(record["epoch"])
            if len(seen) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            boltz.train(boltz.rbm(2, 2, rows, units=units), rows, part, watch=stop, **settings)
        assert (boltz.resume(part, rows).model.arena == whole.model.arena).all()


def test_where_unknown_entries_are_not_learnt() -> None:
    for call, said in (
        (lambda: boltz.train(boltz.dbn([2, 2, 2]), np.array([[np.nan, 1.0], [1, 0]]), epochs=1), "x must hold numbers"),
        (lambda: boltz.train(boltz.rbm(2, 2), np.array([[np.nan, 1.0], [np.nan, 0]]), epochs=1), "x must know each of"),
        (lambda: boltz.train(boltz.rbm(2, 2), X[:, :2], held_out=np.array([[np.nan, 1.0]]), epochs=1), "held_out must"),
    ):
        with pytest.raises(boltz.InputError) as caught:
            call()
        assert str(caught.value).startswith(said), str(caught.value)
