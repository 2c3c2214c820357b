"""Stand-ins for the packages that watch a training: they keep what they are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

Told = list[tuple[Any, ...]]


@contextmanager
def fakes() -> Iterator[Told]:
    """tensorboard, wandb and mlflow as far as they are used, and what they were told."""
    told: Told = []
    modules = {name: ModuleType(name) for name in ("tensorboard", "tensorboard.summary", "wandb", "mlflow")}

    class Writer:
        def __init__(self, folder: str) -> None:
            assert isinstance(folder, str)
            told.append(("folder", folder))

        def add_scalar(self, tag: str, data: float, step: int) -> None:
            told.append((tag, data, step))

        def flush(self) -> None:
            told.append(("flush",))

    def init(**settings: Any) -> Any:
        told.append(("init", settings))
        return SimpleNamespace(log=lambda values: told.append(("log", values)))

    more: dict[str, dict[str, Any]] = {
        "tensorboard.summary": {"Writer": Writer},
        "wandb": {"init": init},
        "mlflow": {"log_metrics": lambda metrics, step: told.append(("metrics", metrics, step))},
    }
    for name, values in more.items():
        vars(modules[name]).update(values)
    with pytest.MonkeyPatch.context() as patch:  # what else is imported meanwhile stays
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        yield told


def with_fakes(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is called with the stand-ins in place."""

    def called(**arguments: Any) -> Any:
        with fakes():
            return function(**arguments)

    return called
