"""JAX on the CPU, in a child process for each number of threads: it fixes the size of its pools when it starts."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec

from . import LESSONS, Contender, Lesson, Problem, Work
from .child import Child

KINDS = ("pcd", "cd", "gibbs", "ais", "dbm", "deep", *LESSONS)


@cache
def _child(threads: int) -> Child:
    """NPROC is what XLA takes for the number of processors; its flag --xla_cpu_multi_thread_eigen no longer counts."""
    fixed = {"NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
    return Child(f"JAX on {threads} thread{'s' * (threads > 1)}", "contenders.jax_work", threads, fixed)


def _make(kind: str, problem: Problem | Lesson, threads: int) -> Work:
    return _child(threads).make(kind, problem)


def contenders() -> list[Contender]:
    """One contender; raises ImportError where JAX is not installed."""
    if find_spec("jax") is None:
        raise ImportError("No module named 'jax'")
    return [Contender("JAX", version("jax"), lambda n: None, {kind: partial(_make, kind) for kind in KINDS})]
