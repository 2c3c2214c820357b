"""Ctrl-C and SIGTERM while a run is in work: the first one asks, and all is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from boltz.errors import Interrupted


@contextlib.contextmanager
def stop_requests() -> Iterator[list[str]]:
    """Names of the signals received; the first only asks, a second one of the same kind acts as usual."""
    asked: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        asked.append(signal.Signals(number).name)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted(name: str, command: str) -> Interrupted:
    """What to raise after a signal of this name, once all is saved; the command goes on with the run."""
    return Interrupted(f"Stopped by {name} after saving; continue with: {command}")
