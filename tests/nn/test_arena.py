"""Catches a flat arena in the wrong order, buffers reused or grown wrongly, and one buffer handed to two threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from boltz.nn import arena
from boltz.nn.arena import Part, Tape, size, views

SHAPES = {"a": (2, 3), "b": (3,), "c": (1, 1)}


def test_parameters_are_views_in_order() -> None:
    flat = np.arange(10.0)
    found = views(SHAPES, flat)
    assert size(SHAPES) == 10 and list(found) == list(SHAPES)
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"].tolist() == [6, 7, 8]
    found["c"][...] = -1
    assert flat[9] == -1 and all(value.base is not None for value in found.values())


def test_a_buffer_is_made_once_and_again_only_where_it_does_not_fit() -> None:
    tape = Tape(np.empty(0, np.float32))
    first = tape.get("x", 5, 3)
    assert first.shape == (5, 3) and first.dtype == np.float32
    first[...] = 7
    assert np.shares_memory(tape.get("x", 5, 3), first) and tape.get("x", 2, 3).tolist() == [[7] * 3] * 2
    grown = tape.get("x", 6, 3)
    assert grown.shape == (6, 3) and not np.shares_memory(grown, first)
    assert tape.get("x", 6, 4).shape == (6, 4)
    assert not np.shares_memory(tape.get("x", 6, 4), tape.get("y", 6, 4))


def test_parts_own_their_rows() -> None:
    tape = Tape(np.empty(0))
    part = Part(tape, slice(2, 5), 9)
    part.get("x", 2)[...] = 1
    assert part.get("x", 2).shape == (3, 2)
    whole = tape.whole(9).get("x", 2)
    assert whole.shape == (9, 2) and (whole[2:5] == 1).all() and np.shares_memory(whole, part.get("x", 2))
    inner = part.times(4)
    assert inner.rows == slice(8, 20) and inner.total == 36 and inner.get("z", 1).shape == (12, 1)


def test_two_threads_get_the_same_new_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find no buffer before either has made one: only one may be made."""
    tape, both, made = Tape(np.empty(0)), threading.Barrier(2), []
    fits, missed = Tape._fits, threading.local()

    def slow(self: Tape, name: str, rows: int, units: int) -> bool:
        found = fits(self, name, rows, units)
        if not found and not hasattr(missed, "once"):
            missed.once = True
            both.wait(timeout=10)
        return found

    def counted(*arguments: Any, **named: Any) -> Any:
        made.append(1)
        return np.zeros(named["shape"])

    monkeypatch.setattr(Tape, "_fits", slow)
    monkeypatch.setattr(arena.np, "empty_like", counted)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(tape.get("x", 4, 2))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and np.shares_memory(*found)


def test_what_is_made_once_a_step() -> None:
    """Made by the first of several threads, kept for the step, made anew at another step and when it was forgotten."""
    tape, made = Tape(np.zeros(1)), list[int]()

    def make() -> int:
        made.append(len(made))
        time.sleep(0.01)
        return made[-1]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: tape.once("x", 3, make), range(8))) == [0] * 8
    assert tape.once("x", 4, make) == 1 and tape.once("y", 4, make) == 2 and tape.once("x", 4, make) == 1
    tape.forget("x")
    assert tape.once("x", 4, make) == 3 and tape.once("y", 4, make) == 2 and len(made) == 4
    tape.forget("nothing")
