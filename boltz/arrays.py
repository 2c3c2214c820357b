"""Where arrays live: numpy arrays in the memory of the host, CuPy arrays in that of a CUDA device.

An array says where it lives, and what is computed from it lives there too; every transfer between both is made here.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.errors import InputError

Array = NDArray[Any]
CPU = "cpu"
_NAME = re.compile(r"cuda(?::(\d{1,3}))?")


def on_device(array: Any) -> bool:
    """Whether an array lives on a CUDA device."""
    return type(array).__module__.startswith("cupy")


def device_of(array: Any) -> str:
    """The name of the device where an array lives: "cpu", or "cuda:N"."""
    return f"cuda:{array.device.id}" if on_device(array) else CPU


def checked_device(name: Any) -> str:
    """A device name as device_of writes it; "cuda" is the first one.

    Raises InputError for a name that is none, where CuPy is not installed, and where there is no such device.
    """
    text = name if isinstance(name, str) else f"a value of type {type(name).__name__}"
    if text == CPU:
        return CPU
    found = _NAME.fullmatch(text)
    if found is None:
        raise InputError(f"device must be cpu, cuda, or cuda:N with the number of a device, got {text[:40]!r}.")
    number = int(found[1] or 0)
    cupy = _cupy()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:  # no driver, or one that sees nothing
        count = 0
    if count == 0:
        raise InputError(f"device {name} needs an NVIDIA GPU and its driver, but none was found.")
    if number >= count:
        raise InputError(f"device {name} does not exist: the last of the {count} CUDA devices is cuda:{count - 1}.")
    return f"cuda:{number}"


def moved(array: Any, device: str) -> Any:
    """The array on a device of this name: itself where it lives there already, else a copy; raises InputError.

    The device of the last array that was moved is the current one, on which kernels run: a process computes on one
    device at a time.
    """
    device = checked_device(device)
    if device == CPU:
        return host(array)
    cupy = _cupy()
    cupy.cuda.Device(int(device[5:])).use()
    return array if device_of(array) == device else cupy.asarray(host(array))


def host(array: Any) -> Any:
    """The array in the memory of the host, where it may live already; waits for the device."""
    return array.get() if on_device(array) else array


def beside(array: Any, other: Any) -> Any:
    """The array where another one lives."""
    if on_device(other):
        return array if on_device(array) else _cupy().asarray(array)
    return host(array)


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as problem:
        raise InputError(
            "device cuda needs CuPy: in the folder of boltz, python3 -m pip install '.[cuda]'."
        ) from problem
    return cupy


def numbers(first: int, stop: int, like: Any) -> Any:
    """The integers from first up to stop, (stop - first,) int64, where another array lives."""
    return (_cupy() if on_device(like) else np).arange(first, stop, dtype=np.int64)


def constant(value: float, like: Any, *shape: int) -> Any:
    """A number at every place of an array (shape) in float64 where another one lives.

    A program that is being recorded takes it as it is: it does not come out of the steps.
    """
    like = like.view(np.ndarray) if isinstance(like, np.ndarray) else like
    return np.full_like(like, value, shape=shape, dtype=np.float64)
