"""Plant a fault: change one place in the source of a library module and swap the code of its functions in place.

The functions keep their identity, so that every module that imported them runs the faulty code. Kernels are planted in
the numpy reference, whose primitives then stand in for those of Numba.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from boltz import kernels
from boltz.kernels import cpu, reference


def plant(patch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Replace old, which must occur exactly once in the source of the module boltz.<name>, by new."""
    module = importlib.import_module(f"boltz.{name}")
    source = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    assert source.count(old) == 1, f"the table of faults must follow the code: {old!r} in boltz.{name}"
    faulty = ModuleType(module.__name__)
    faulty.__file__ = module.__file__
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), faulty.__dict__)
    swapped = 0
    found = {path: function.__code__ for path, function in functions_of(faulty, faulty.__name__)}
    for path, function in functions_of(module, module.__name__):
        if differs(function.__code__, found[path]):
            patch.setattr(function, "__code__", found[path])
            swapped += 1
    assert swapped, f"the fault {new!r} changes no function of boltz.{name}"
    if name == "kernels.reference":
        stand_in(patch)


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Let the primitives of the reference stand in for those of Numba."""
    for primitive in kernels.PRIMITIVES:
        patch.setattr(cpu, primitive, getattr(reference, primitive))
    patch.setattr(cpu.products, "FEW_ROWS", 1 << 60)  # so that no program of compiled primitives is made


def functions_of(holder: Any, module: str, prefix: str = "") -> Iterator[tuple[str, FunctionType]]:
    """The functions and methods that a module defines, by dotted name."""
    for name, value in vars(holder).items():
        value = getattr(value, "__func__", value)  # classmethods
        value = value.func if isinstance(value, cached_property) else value
        value = value.fget if isinstance(value, property) else value
        value = getattr(value, "__wrapped__", value)  # context managers, caches
        if getattr(value, "__module__", None) != module:
            continue
        if isinstance(value, FunctionType) and value.__code__.co_filename != "<string>":
            yield f"{prefix}{name}", value
        elif inspect.isclass(value) and not prefix:
            yield from functions_of(value, module, f"{name}.")


def differs(one: CodeType, other: CodeType) -> bool:
    """Whether two codes do different things (their line numbers do not count)."""
    if (one.co_code, one.co_names, one.co_varnames) != (other.co_code, other.co_names, other.co_varnames):
        return True
    if len(one.co_consts) != len(other.co_consts):
        return True
    for a, b in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(a, CodeType) and isinstance(b, CodeType):
            if differs(a, b):
                return True
        elif type(a) is not type(b) or a != b:
            return True
    return False
