"""Catches no word, or more than one, to the user while kernels are compiled for the first time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

from boltz.kernels import cpu
from boltz.kernels.cpu import bernoulli, notice

SCRIPT = """
import numpy as np
from boltz import kernels
kernels.bernoulli_mean(np.zeros((2, 3), np.float32), 1.0, np.zeros(3, np.float32))
kernels.normal((1, 2, 3), np.arange(2), np.zeros((2, 3), np.float32))
"""


def test_functions_without_a_module_still_compile() -> None:
    """As those that Numba makes for classes; catches a listener that takes the name of a module for granted."""

    def plain(x: float) -> float:
        return x + 1

    plain.__module__ = None  # type: ignore[assignment]
    assert bernoulli.announce and numba.njit(plain)(1.0) == 2.0


def test_compiling_is_announced_once_and_not_again_from_the_cache(tmp_path: Path) -> None:
    """One line for two kernels, on stderr; catches a line a kernel, and one for kernels that are on disk."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True, timeout=120
        )
        assert done.stdout == ""
        said.append(done.stderr.splitlines())
    assert len(said[0]) == 1 and said[0][0].startswith("Compiling kernels for this processor") and said[1] == []


@pytest.mark.parametrize(
    ("folder", "words"), [("/kept", "the next run finds them on disk."), (None, "NUMBA_CACHE_DIR may name a folder")]
)
def test_a_later_run_is_promised_nothing_where_no_folder_keeps_kernels(
    folder: str | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Numba gives a kernel without a folder the path None."""
    caplog.set_level("WARNING", "boltz.kernels")
    dispatcher = SimpleNamespace(py_func=cpu.bernoulli_mean, stats=SimpleNamespace(cache_path=folder))
    notice._Notice().on_start(SimpleNamespace(data={"dispatcher": dispatcher}))
    assert words in caplog.text
