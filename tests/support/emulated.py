"""The part of CuPy that boltz uses, on the CPU and strict: what CuPy would refuse, this refuses.

Arrays wrap numpy arrays and are none: numpy.asarray of one raises TypeError, as do operations that mix both, ufunc
methods, and numpy functions that CuPy lacks or that are not on the list below. RawModule compiles with g++, gemmEx
reads raw addresses, and a capturing stream records work without doing it, and refuses work that would allocate or wait.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from support import cuda_shim

UFUNCS = {
    "add", "subtract", "multiply", "divide", "true_divide", "negative", "absolute", "maximum", "minimum", "exp",
    "expm1", "log", "log1p", "sqrt", "tanh", "logaddexp", "matmul", "isfinite", "isnan", "equal", "not_equal",
    "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_not", "bitwise_and",
    "bitwise_or", "invert", "right_shift", "left_shift", "power", "square", "sign", "floor_divide", "remainder",
}  # fmt: skip
FUNCTIONS = {
    "zeros_like", "empty_like", "ones_like", "full_like", "sum", "mean", "var", "std", "prod", "amax", "amin",
    "max", "min", "any", "all", "concatenate", "stack", "repeat", "clip", "where", "outer", "einsum", "norm",
    "nan_to_num", "count_nonzero", "ptp", "argwhere", "diff", "cumsum", "hstack", "copyto",
}  # fmt: skip  # of numpy and numpy.linalg, each of which CuPy has with the arguments that boltz gives
METHODS = ("sum", "mean", "max", "min", "any", "all", "var", "std", "argmax", "clip", "cumsum", "prod", "ptp")
SCALARS = (bool, int, float, np.generic)
state = SimpleNamespace(
    recording=None, pool=None, stream=None, folder=None, edit=str, devices=1, backwards=False, waits=0, launches=0
)


def unwrapped(x: Any) -> Any:
    """What numpy computes with; raises TypeError for arrays of the host, as CuPy does."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, tuple | list):
        return type(x)(unwrapped(each) for each in x)
    return x


def wrapped(x: Any) -> Any:
    if isinstance(x, tuple | list):
        return type(x)(wrapped(each) for each in x)
    return ndarray(np.asarray(x))


def done(work: Callable[[], Any], kind: str = "new") -> Any:
    """Do the work, or record it during a capture: in arrays that are there ("in place"), or in new ones ("new").

    New memory must then come from a pool that the capture has for itself, and what the host waits for ("wait") cannot
    be captured. Work with new arrays is done once when it is recorded, for their shapes, on whatever numbers are there.
    """
    if state.recording is None:
        return quietly(work)
    if kind == "wait" or (kind == "new" and state.pool is None):
        raise RuntimeError("memory is taken from all, or the host waits, while a stream is captured")
    if kind == "in place":
        state.recording.append(work)
        return None
    made = quietly(work)
    state.recording.append(lambda: np.copyto(made._host, work()._host))
    return made


def quietly(work: Callable[[], Any]) -> Any:
    with np.errstate(all="ignore"):
        return work()


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801 - its name in CuPy
    """An array of a device."""

    __module__ = "cupy"

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self._host = host

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` explicitly.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in UFUNCS:
            return NotImplemented
        out = kwargs.pop("out", None)
        if out is not None and not isinstance(out[0], ndarray):
            raise TypeError("return arrays must be of ArrayType")
        assert set(kwargs) <= {"dtype"}
        plain = unwrapped(list(inputs))
        assert all(isinstance(x, (np.ndarray, *SCALARS)) for x in plain)
        if out is None:
            return done(lambda: wrapped(ufunc(*plain, **kwargs)))
        done(lambda: ufunc(*plain, out=out[0]._host, **kwargs), "in place")
        return out[0]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ not in FUNCTIONS:
            return NotImplemented
        plain, named = unwrapped(list(args)), {name: unwrapped(x) for name, x in kwargs.items()}
        if func is np.copyto:
            return done(lambda: func(*plain, **named), "in place")
        return done(lambda: wrapped(func(*plain, **named)))

    def get(self) -> np.ndarray[Any, Any]:
        state.waits += 1
        return done(lambda: self._host.copy(), "wait")

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def item(self) -> Any:
        return self.get().item()

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        plain = unwrapped(key)
        if isinstance(plain, np.ndarray) or (
            isinstance(plain, tuple) and any(isinstance(k, np.ndarray) for k in plain)
        ):
            return done(lambda: wrapped(self._host[plain]))
        assert not isinstance(plain, list)
        whole = plain if isinstance(plain, tuple) else (plain,)
        return wrapped(self._host[(*whole, ...) if Ellipsis not in whole else whole])  # a view without axes, no number

    def __setitem__(self, key: Any, value: Any) -> None:
        plain, new = unwrapped(key), unwrapped(value)
        done(lambda: self._host.__setitem__(plain, new), "in place")

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype:
            return self
        return done(lambda: wrapped(self._host.astype(dtype, order=order)))

    def copy(self) -> ndarray:
        return done(lambda: wrapped(self._host.copy()))

    def fill(self, value: Any) -> None:
        done(lambda: self._host.fill(value), "in place")

    def reshape(self, *shape: Any) -> ndarray:
        return wrapped(self._host.reshape(*shape))

    T = property(lambda self: wrapped(self._host.T))
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))
    device = property(lambda self: SimpleNamespace(id=0))


def _method(name: str) -> Callable[..., Any]:
    def call(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        plain, named = unwrapped(list(args)), {key: unwrapped(x) for key, x in kwargs.items()}
        return done(lambda: wrapped(getattr(np, name)(self._host, *plain, **named)))

    return call


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))


class RawModule:
    """Compiled at once by g++ where CuPy compiles at first use by nvrtc."""

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        self.library = cuda_shim.library(state.edit(code), options, state.folder)

    def get_function(self, name: str) -> Callable[..., None]:
        kinds, run = cuda_shim.kernel(self.library, name)

        def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            given = [_kind(a) for a in arguments]
            assert [k if k != "null" else w for k, w in zip(given, kinds, strict=True)] == kinds, (name, given, kinds)
            kept = list(arguments)  # addresses stay those of arrays that live
            values = [a.data.ptr if isinstance(a, ndarray) else a for a in kept]
            state.launches += state.recording is None
            done(lambda: run(grid, block, values, state.backwards), "in place")

        return launch


def _kind(argument: Any) -> str:
    if isinstance(argument, ndarray):
        assert argument.flags.c_contiguous, "a kernel reads arrays in C order"
        return "*" + argument.dtype.str[1:]
    if argument is None or (isinstance(argument, np.uintp) and argument == 0):
        return "null"
    assert isinstance(argument, np.generic), type(argument)
    return str(argument.dtype.str[1:])


class Graph:
    """Recorded work."""

    def __init__(self, work: list[Callable[[], Any]]) -> None:
        self.work = work

    def launch(self, stream: Any = None) -> None:
        assert state.recording is None
        state.launches += 1
        with np.errstate(all="ignore"):
            for each in self.work:
                each()


class Stream:
    """A stream, which can be captured unless it is the null stream."""

    def __init__(self, null: bool = False) -> None:
        self.null, self.before = null, []

    def __enter__(self) -> Stream:
        self.before.append(state.stream)
        state.stream = self
        return self

    def __exit__(self, *problem: object) -> None:
        state.stream = self.before.pop()

    def begin_capture(self, mode: Any = None) -> None:
        assert state.recording is None and not self.null and state.stream is self
        state.recording = []

    def end_capture(self) -> Graph:
        work, state.recording = state.recording, None
        assert work is not None
        return Graph(work)

    def synchronize(self) -> None:
        assert state.recording is None


class MemoryPool:
    """A pool of memory, told from others by its name alone."""

    def malloc(self, size: int) -> None:
        raise AssertionError("memory is numpy's here")


@contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    before, state.pool = state.pool, allocator
    try:
        yield
    finally:
        state.pool = before


class CUDARuntimeError(RuntimeError):
    pass


def _count() -> int:
    if state.devices == 0:
        raise CUDARuntimeError("cudaErrorNoDevice")
    return int(state.devices)


def _array(x: Any, dtype: Any = None) -> ndarray:
    if isinstance(x, ndarray):
        return x
    if state.recording is not None:
        raise RuntimeError("a capture would keep the address of an array of the host, which may be gone at the launch")
    return wrapped(np.array(x, dtype, order="C"))


def _bf16(address: int, rows: int, columns: int, step: int) -> np.ndarray[Any, Any]:
    """A column-major matrix of 16-bit numbers at an address, as float32."""
    words = np.ctypeslib.as_array((ctypes.c_uint16 * (step * columns)).from_address(address))
    return (words.astype(np.uint32) << 16).view(np.float32).reshape(columns, step)[:, :rows].T


def gemm_ex(
    handle: int, ta: int, tb: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int, lda: int, b: int,
    b_type: int, ldb: int, beta: int, c: int, c_type: int, ldc: int, compute: int, algorithm: int,
) -> None:  # fmt: skip
    """C := alpha op(A) op(B) + beta C, column-major, A and B in bf16, C in float32, sums in float32."""
    assert (a_type, b_type, c_type, compute) == (14, 14, 0, 68) and min(m, n, k) > 0
    assert lda >= (k if ta else m) and ldb >= (n if tb else k) and ldc >= m
    factor, keep = (ctypes.c_float.from_address(x).value for x in (alpha, beta))

    def work() -> None:
        left = _bf16(a, *((k, m) if ta else (m, k)), lda)
        right = _bf16(b, *((n, k) if tb else (k, n)), ldb)
        out = np.ctypeslib.as_array((ctypes.c_float * (ldc * n)).from_address(c)).reshape(n, ldc)[:, :m]
        product = (right if not tb else right.T).T @ (left if not ta else left.T).T
        out[...] = np.float32(factor) * product + (np.float32(keep) * out if keep else 0)

    state.launches += state.recording is None
    done(work, "in place")


def module(folder: Path) -> ModuleType:
    """The stand-in for the module cupy; folder keeps compiled sources."""
    found: Any = ModuleType("cupy")
    state.folder, state.recording, state.edit, state.devices = folder, None, str, 1
    state.stream, state.pool = Stream(null=True), None
    cublas = SimpleNamespace(gemmEx=gemm_ex)
    device = SimpleNamespace(use=lambda: None)
    found.cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDeviceCount=_count, CUDARuntimeError=CUDARuntimeError),
        cublas=cublas,
        get_cublas_handle=lambda: 1,
        Device=lambda number=0: device,
        get_device_id=lambda: 0,
        Stream=Stream,
        get_current_stream=lambda: state.stream,
        MemoryPool=MemoryPool,
        using_allocator=using_allocator,
    )
    found.ndarray, found.asarray, found.RawModule = ndarray, _array, RawModule
    found.asnumpy = lambda x: x.get()
    found.arange = lambda first, stop, dtype: done(lambda: wrapped(np.arange(first, stop, dtype=dtype)))
    for name in ("empty", "zeros"):
        make = getattr(np, name)
        setattr(found, name, lambda shape, dtype=float, make=make: done(lambda: wrapped(make(shape, dtype))))
    return found
