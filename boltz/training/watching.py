"""Who hears of an epoch while a training runs: the caller's function, and what shows how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from boltz import checks, progress

Record = dict[str, Any]
Watch = Callable[..., Any]  # of (record), or of (record, model)
Heard = Callable[[Record, Callable[[], Any]], bool]  # a record, and what makes a copy of the machine as it stands
Words = Callable[[Mapping[str, Any]], str]
MODEL, NETWORK = "model", "network"  # what the second parameter of watch is called


def unheard(record: Record, copy: Callable[[], Any]) -> bool:
    """Nobody hears of an epoch."""
    return False


def check(watch: Any, shown: Any, second: str = MODEL) -> None:
    """Raise InputError unless watch and progress can be called at each epoch."""
    checks.watch(watch, "watch", second)
    progress.check(shown)


@contextmanager
def hearing(watch: Watch | None, shown: progress.Asked, words: Words, second: str = MODEL) -> Iterator[Heard]:
    """What tells each epoch to progress and then to watch, and says whether watch answered True.

    The machine is copied only for a watch that takes it.
    """
    both = checks.watch(watch, "watch", second)
    with progress.shown_epochs(shown, words) as show:

        def tell(record: Record, copy: Callable[[], Any]) -> bool:
            show(record)
            if watch is None:
                return False
            answer = watch(dict(record), copy()) if both else watch(dict(record))
            return isinstance(answer, bool | np.bool_) and bool(answer)

        yield tell
