"""Values that an argument is seldom meant to have: of every type, out of range, without end, and hostile."""

from __future__ import annotations

import datetime
from collections import UserList, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import boltz

LONG = 10_000


class RaisingRepr:
    """An object whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class HugeRepr:
    """An object whose repr has a megabyte, with line ends and an escape sequence."""

    def __repr__(self) -> str:
        return "\x1b[31mhuge\n" * 100_000


class RaisingTruth:
    """An object that is neither true nor false."""

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


class RaisingEquality:
    """An object that cannot be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")


class Number(float):
    """A number of a type of its own."""


def _run() -> boltz.Run:
    return boltz.Run(boltz.rbm(4, 3), [], None, boltz.Settings())


def _masked() -> Any:
    return np.ma.array(np.zeros((2, 4), np.float32), mask=[[False, True, False, False], [False] * 4])


BAD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "numpy True": lambda: np.bool_(True),
    "no": lambda: "no",
    "text of digits": lambda: "1",
    "empty text": lambda: "",
    "long text": lambda: "x" * LONG,
    "text with controls": lambda: "\x1b[31m\n\r\0",
    "text beyond latin": lambda: "\ud800\U0001f600",
    "dollar text": lambda: "$x_{$",
    "empty bytes": lambda: b"",
    "bytes": lambda: b"no",
    "bytearray": lambda: bytearray(b"no"),
    "-1": lambda: -1,
    "0": lambda: 0,
    "2**63": lambda: 2**63,
    "-2**63": lambda: -(2**63),
    "10**30": lambda: 10**30,
    "10**5000": lambda: 10**5000,
    "numpy -5": lambda: np.int64(-5),
    "-0.0": lambda: -0.0,
    "1e-320": lambda: 1e-320,
    "1e308": lambda: 1e308,
    "-1e308": lambda: -1e308,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "numpy nan": lambda: np.float32("nan"),
    "own number": lambda: Number("nan"),
    "complex": lambda: 1j,
    "fraction": lambda: Fraction(1, 2),
    "decimal": lambda: Decimal("NaN"),
    "date": lambda: datetime.date(2026, 1, 1),
    "object": lambda: object(),
    "raising repr": RaisingRepr,
    "huge repr": HugeRepr,
    "raising truth": RaisingTruth,
    "raising equality": RaisingEquality,
    "class": lambda: int,
    "function": lambda: lambda: None,
    "module": lambda: np,
    "run": _run,
    "machine": lambda: boltz.rbm(5, 2),
    "empty list": list,
    "empty tuple": tuple,
    "empty dict": dict,
    "empty set": set,
    "list of None": lambda: [None, None],
    "list of text": lambda: ["a", "b"],
    "list of huge": lambda: [10**30, 2],
    "ragged list": lambda: [[0.0, 1.0], [1.0]],
    "list of objects": lambda: [RaisingRepr(), HugeRepr()],
    "long list": lambda: [1] * (10 * LONG),
    "deep list": lambda: _deep(60),
    "deque": lambda: deque([1, 2]),
    "user list": lambda: UserList([4, 3]),
    "generator": lambda: (i for i in range(3)),
    "range": lambda: range(3, 1),
    "dict": lambda: {"a": 1},
    "dict of wrong keys": lambda: {0: [1], None: [2]},
    "path that is not": lambda: Path("does") / "not" / "exist",
    "path with nul": lambda: "a\0b",
    "path too long": lambda: Path("x" * LONG),
    "folder": lambda: Path("."),
    "empty array": lambda: np.empty((0,)),
    "no rows": lambda: np.empty((0, 4), np.float32),
    "scalar array": lambda: np.array(3.0),
    "wrong shape": lambda: np.zeros((2, 7)),
    "three axes": lambda: np.zeros((2, 2, 2)),
    "array with nan": lambda: np.full((2, 4), np.nan),
    "array with inf": lambda: np.full((2, 4), np.inf),
    "array of 1e300": lambda: np.full((2, 4), 1e300),
    "object array": lambda: np.array([[None, "a", 1, {}]] * 2, object),
    "text array": lambda: np.array([["a"] * 4] * 2),
    "complex array": lambda: np.full((2, 4), 1j),
    "masked array": _masked,
    "structured array": lambda: np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "date array": lambda: np.zeros((2, 4), "M8[s]"),
    "large array": lambda: np.full((300, 300), -7.0),
    "sparse": lambda: scipy.sparse.csr_matrix(np.eye(2, 4) * 9),
    "sparse text": lambda: scipy.sparse.coo_array(([1j], ([0], [1])), shape=(2, 4)),
}  # name -> a fresh value


def _deep(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found
