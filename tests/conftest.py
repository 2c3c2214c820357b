"""Puts this folder on the import path, for the helpers beside it, and stops early where boltz.kernels is hidden."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


def pytest_configure() -> None:
    """Say what is wrong in one sentence where the folder boltz beside the tests hides an installed package."""
    try:
        importlib.import_module("boltz.kernels")
    except ModuleNotFoundError as problem:
        if problem.name != "boltz.kernels":
            raise
        raise pytest.UsageError(
            "boltz.kernels is not found, because the folder boltz beside the tests hides the installed package; "
            "install with: python3 -m pip install -e '.[test]'"
        ) from problem
