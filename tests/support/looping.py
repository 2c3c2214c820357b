"""One test for many values, as each test costs some milliseconds whatever it does."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

Test = Callable[..., None]


def for_each(argument: str, values: Iterable[Any]) -> Callable[[Test], Test]:
    """Calls the test with each value of an argument in turn; a failure says with which."""
    values = list(values)
    assert values

    def looped(test: Test) -> Test:
        @functools.wraps(test)
        def run(**others: Any) -> None:
            for value in values:
                try:
                    test(**others, **{argument: value})
                except Exception as problem:
                    problem.add_note(f"with {argument} = {value!r:.200}")
                    raise

        signature = inspect.signature(test)
        left = [each for name, each in signature.parameters.items() if name != argument]
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return looped
