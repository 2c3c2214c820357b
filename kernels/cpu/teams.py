"""What threads need to share work inside compiled code: numbers that they change in one piece, and ways to wait.

A thread that waits looks again and again for a bounded time, which costs others less than a microsecond when it ends;
then it gives its core away, so that more threads than cores, or a busy neighbour, do not starve those that work.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from boltz.kernels.cpu.vectors import INT64, kernel

SPINS = 4000  # looks before a core is given away, some tens of microseconds
X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"


@intrinsic
def add_one(typingctx: Any, address: Any) -> Any:
    """Add one to the int64 at an address, in one piece; returns what stood there."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(arguments[0], INT64.as_pointer()), INT64(1), "acq_rel")

    return types.int64(types.int64), codegen


@intrinsic
def claim(typingctx: Any, address: Any, old: Any) -> Any:
    """Whether the int64 at an address was old, and is now old + 1 by this very call: of many threads one hears yes."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, old = arguments
        place, new = builder.inttoptr(address, INT64.as_pointer()), builder.add(old, INT64(1))
        return builder.extract_value(builder.cmpxchg(place, old, new, "acq_rel", "acquire"), 1)

    return types.boolean(types.int64, types.int64), codegen


@intrinsic
def seen(typingctx: Any, address: Any) -> Any:
    """The int64 at an address as other threads left it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], INT64.as_pointer()), "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """A moment's rest of a spinning thread."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(typingctx: Any) -> Any:
    """Let another thread have the core."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, YIELD), [])
        return context.get_dummy_value()

    return types.void(), codegen


@kernel
def wait(spins):
    """A moment of waiting, the one after spins others; returns how many there were."""
    if spins < SPINS:
        pause()
    else:
        give_way()
    return spins + 1
