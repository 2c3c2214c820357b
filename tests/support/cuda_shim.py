"""CUDA sources on a CPU: compiled by g++ with kernels/shim.h, one library for each source and set of options."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COMPILER = shutil.which("g++")
FLAGS = [
    "-std=c++17",
    "-O0",
    "-U_FORTIFY_SOURCE",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-shared",
    "-fPIC",
    "-Wno-unknown-pragmas",
]
Kernel = Callable[[tuple[int, ...], tuple[int, ...], list[Any], bool], None]


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Where compiled sources stay for the session, one folder for all workers: no source is compiled twice."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cuda"
    folder.mkdir(exist_ok=True)
    return folder


def library(code: str, options: tuple[str, ...], folder: Path) -> ctypes.CDLL:
    """The compiled source; raises RuntimeError with what the compiler says."""
    entries = re.findall(r"__global__ void (ENTRY\(\w+\)|\w+)\(", code)
    text = '#include "shim.h"\n' + code + "\n".join(f"SHIM({entry})" for entry in entries)
    defines = [option for option in options if option.startswith("-D")]
    path = folder / f"{hashlib.sha256(repr((text, defines)).encode()).hexdigest()}.so"
    if not path.exists():
        own = path.with_suffix(f".{os.getpid()}")  # another worker may compile the same
        header = ["-I", str(Path(__file__).parent)]
        command = [str(COMPILER), *FLAGS, *defines, *header, "-x", "c++", "-", "-o", str(own)]
        done = subprocess.run(command, input=text, text=True, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        own.replace(path)
    return ctypes.CDLL(str(path))


def kernel(compiled: ctypes.CDLL, name: str) -> tuple[list[str], Kernel]:
    """The types of a kernel's arguments, such as *f4 and i8, and what runs it on addresses and numpy numbers."""
    signature = compiled[f"signature_{name}"]
    signature.restype = ctypes.c_char_p
    entry = compiled[f"launch_{name}"]

    def run(grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any], backwards: bool) -> None:
        assert grid[0] > 0 and 0 < block[0] <= 1024
        values = [np.array(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        assert entry(pointers, grid[0], block[0], int(backwards)) == 0, "a barrier that some threads miss"

    return signature().decode().split(), run
