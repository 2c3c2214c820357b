"""How the functions of evaluation say how far they are: a function of what is done, steps done, and steps in all.

What comes after a colon is a detail of the work, such as the machine that is measured; 0 of 0 steps is a line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from boltz import checks

Progress = Callable[[str, int, int], object]
Steps = Callable[[int, int], None]


def heard(progress: Progress | None) -> Progress:
    """The caller's function, or one that does nothing. Raises InputError."""
    checks.callback(progress, "progress", 3)
    return _silent if progress is None else progress


def steps(progress: Progress, what: str) -> Steps:
    """What a single piece of work tells of its steps."""

    def show(done: int, total: int) -> None:
        progress(what, done, total)

    return show


def parts(progress: Progress, names: Sequence[str]) -> Steps:
    """What pieces of work that follow one another tell: one ends where all of its steps are done."""
    ended = 0

    def show(done: int, total: int) -> None:
        nonlocal ended
        progress(names[min(ended, len(names) - 1)], done, total)
        ended += done == total

    return show


def attempts(progress: Progress, names: Sequence[str]) -> Steps:
    """As parts, where the same pieces come again at each attempt."""
    ended = 0

    def show(done: int, total: int) -> None:
        nonlocal ended
        attempt, part = divmod(ended, len(names))
        progress(f"attempt {attempt + 1}, {names[part]}", done, total)
        ended += done == total

    return show


def _silent(what: str, done: int, total: int) -> None:
    return None
