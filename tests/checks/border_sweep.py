"""The sweep of all public functions over bad values: each argument of each good call takes each bad value in turn.

A call may give a result, where the value is legal, or raise a BoltzError in one or two sentences that name the
argument. Run as a script it makes the whole sweep, prints what went wrong, and counts:

    python tests/borders/border_sweep.py [NAME ...]
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from support.bad_values import BAD
from support.good_calls import Good, good_calls, write_files

import boltz

LONGEST_MESSAGE, SENTENCES = 300, 2
EXAMPLES = 2  # of each kind of fault that are printed for an argument
SECONDS, MEMORY = 15.0, 8 << 30
RESULT, REFUSED, FOREIGN, ENDLESS, WORDS, TAKEN = "result", "refused", "foreign", "endless", "words", "taken"
WRONG = (FOREIGN, ENDLESS, WORDS, TAKEN)
TYPES: dict[type, tuple[type, ...]] = {
    bool: (bool,),
    int: (int, np.integer),
    float: (int, float, np.integer, np.floating),
    str: (str,),
}


EXEMPT = {(argument, "class") for argument in ("watch", "progress", "record", "prior")} | {
    ("trajectory", value) for value in ("empty tuple", "range", "empty array", "no rows")
}  # a class can be called, so that what it raises is the caller's own; no snapshots are as good as an empty list
AS_MANY = ("RBMTransformer", "VAETransformer", "AAETransformer", "AAEClassifier", "AAEClusterer")
LONG = {(name, "epochs", "None") for name in AS_MANY}  # as many epochs as few rows need


class Endless(BaseException):
    """A call that took too long."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call: its name, argument and value, the kind of outcome, and the message or what is wrong."""

    name: str
    argument: str
    value: str
    kind: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}({self.argument}={self.value}): {self.text[:400]!r}"


def attempt(name: str, good: Good, argument: str, value: str) -> Outcome:
    """The outcome of a good call with one bad value."""
    bad = BAD[value]()
    kind, text = judged(good, argument, bad)
    return Outcome(name, argument, value, kind, text)


def judged(good: Good, argument: str, bad: Any) -> tuple[str, str]:
    """The kind of outcome, and the message."""
    try:
        with in_time(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            good.call(**(good.arguments | {argument: bad}))
    except Endless:
        return ENDLESS, f"more than {SECONDS:g} seconds"
    except boltz.BoltzError as problem:
        wrong = wrong_words(str(problem), argument, good, isinstance(problem, boltz.NumericalError))
        return (WORDS, f"{wrong}: {problem}") if wrong else (REFUSED, str(problem))
    except Exception as problem:
        return FOREIGN, f"{type(problem).__name__}: {words_of(problem)}"
    wanted = TYPES.get(type(good.arguments[argument]))
    trusts = good.record or argument in good.paths
    if wanted and not trusts and not of_type(bad, wanted + ALSO.get(argument, ())):
        return TAKEN, f"a value of type {type(bad).__name__} is taken for a {wanted[0].__name__}"
    return RESULT, ""


def words_of(problem: Exception) -> str:
    """The message of a foreign exception, which may itself be hard to write down."""
    with contextlib.suppress(Exception):
        return str(problem)
    return "no message"


ALSO: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("activation", "conditional_units", "filters", "flow_steps", "maps", "prior_units"), (type(None),)),
    **dict.fromkeys(("classes", "noise", "receptive_field", "tied", "units"), (type(None),)),
    "alphabet": (type(None),),
    "gap": (type(None),),
    "levels": (type(None),),
    "limit": (type(None),),
    "log_z": (type(None),),
    "machine_levels": (type(None),),
    "n": (type(None),),
    "purpose": (int,),
    "random_state": (type(None), bool),
    "binarize": (type(None),),
    "row_betas": (type(None),),
    "row_chains": (type(None),),
    "split": (type(None),),
    "sweeps": (type(None),),
    "verbose": (bool, np.bool_),
    "warm_start": (np.bool_,),
}  # argument -> types that it takes beside that of its good value


def of_type(value: Any, wanted: tuple[type, ...]) -> bool:
    """Whether a value has a type; True and False are no numbers."""
    return isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))


def wrong_words(message: str, argument: str, good: Good, numerical: bool) -> str:
    """What is wrong with a message, if anything."""
    if len(message) > LONGEST_MESSAGE:
        return f"{len(message)} characters"
    if not message.isprintable():
        return "unprintable characters"
    if not message.endswith((".", "?")):
        return "no sentence"
    if len(re.findall(r"[.!?](?= [A-Z]|$)", message)) > SENTENCES:
        return "more than two sentences"
    if numerical:
        return ""  # it speaks of the machine
    words = message.replace("-", "_")  # an option of the command line says an argument, too
    names = (*good.arguments, good.call.__name__)
    named = any(re.search(rf"(?<![a-z]){re.escape(name.removesuffix('s'))}s?(?![a-z])", words) for name in names)
    return "" if named or argument in good.paths else "no argument is named"


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raises Endless where the work inside takes too long; ends the process where not even that helps."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """A limit on memory, so that what asks for more than there is fails instead of taking it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def sandbox() -> Iterator[dict[str, Good]]:
    """The good calls, in a folder of their own that holds the files they read."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_files()
        yield good_calls()


def sweep(calls: dict[str, Good], chosen: Callable[[str, str, str], bool] = lambda *_: True) -> Iterator[Outcome]:
    """The outcomes of all calls, or of those that are chosen by name, argument and value."""
    for name, good in calls.items():
        for argument in good.arguments:
            for value in BAD:
                if (argument, value) in EXEMPT or (name, argument, value) in LONG:
                    continue
                if chosen(name, argument, value):
                    yield attempt(name, good, argument, value)


def main(names: list[str]) -> int:
    """Make the whole sweep, or that of some names, and print what is wrong and the counts."""
    faulthandler.enable()
    counts: Counter[str] = Counter()
    groups: Counter[tuple[str, str, str]] = Counter()
    worst, began, slow = 0, time.monotonic(), Counter[str]()
    with sandbox() as calls, little_memory():
        last = began
        for found in sweep(calls, lambda name, *_: not names or name in names):
            now = time.monotonic()
            slow[found.name] += round(1000 * (now - last))
            last = now
            counts[found.kind] += 1
            if found.kind in (REFUSED, WORDS):
                worst = max(worst, len(found.text))
            if found.kind in WRONG:
                group = found.name, found.argument, found.kind
                groups[group] += 1
                if groups[group] <= EXAMPLES:
                    print(found, flush=True)
    print(
        f"{sum(counts.values())} calls in {time.monotonic() - began:.0f} seconds: "
        f"{counts[RESULT]} results, {counts[REFUSED]} refusals, {counts[FOREIGN]} foreign exceptions, "
        f"{counts[ENDLESS]} endless runs, {counts[WORDS]} messages that are wrong, "
        f"{counts[TAKEN]} values taken for another type; the longest message has {worst} characters."
    )
    print("slowest (ms):", slow.most_common(8))
    return sum(counts[kind] for kind in WRONG)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
