"""What run folders and model files hold, read with distrust: every fault is an InputError or FileError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import boltz
from boltz import checkpoint, runs
from boltz.errors import FileError, InputError

LONGEST_RESULT = 1 << 20


def table(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A nested table of run.toml, empty where it is missing or no table."""
    found: Any = values
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def model_of(path: Path) -> boltz.BoltzmannMachine:
    """The machine of a model file or of a run that was trained to its end."""
    if path.is_dir() and not (path / runs.MODEL).exists():
        runs.read_settings(path)
        raise InputError(f"{path} is not trained to its end: finish it with: boltz train --resume {path}")
    return boltz.load(path)


def settings_of(path: Path) -> dict[str, Any]:
    """What run.toml says, or nothing for a model file."""
    return runs.read_settings(path) if path.is_dir() else {}


def image_of(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the images that a run was trained on, None for other rows."""
    shape = table(settings, "picture").get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        return None
    return shape[0], shape[1]


def kind_of(units: list[int]) -> str:
    """The name of a machine with these layers."""
    return "rbm" if len(units) == 2 else "dbm"


def parameters(units: list[int]) -> int:
    """Number of weights and biases."""
    return sum(a * b for a, b in pairwise(units)) + sum(units)


def read_result(folder: Path) -> dict[str, Any] | None:
    """What test.json of a run holds, None where there is none that can be read."""
    try:
        found = json.loads(checkpoint.read_bytes(folder / runs.RESULT, LONGEST_RESULT))
    except (FileError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"run", "test"} <= found.keys() else None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write test.json."""
    checkpoint.write_text(folder / runs.RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")
