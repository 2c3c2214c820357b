"""PyTorch on a GPU, eager and replayed from CUDA graphs: the same work as boltz, buffers made once.

Float32 products as PyTorch does them by default, TF32 off. Without torch, or where it sees no GPU, nobody takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import count as counter
from typing import Any

from . import Array

Runs = dict[str, Callable[[int], None]]
EAGER, GRAPHS = "PyTorch, eager", "PyTorch, CUDA graphs"


def device() -> str | None:
    """Where PyTorch can compute here, None where it is not there or sees no GPU."""
    if find_spec("torch") is None:
        return None
    import torch

    return "cuda" if torch.cuda.is_available() else None


def _both(step: Callable[[], None], feed: Callable[[int], None], where: str | None) -> Runs:
    """The step, launched one kernel after the other, and replayed; feed puts a batch in its place before each."""
    import torch

    numbers = counter()

    def finish() -> None:
        if where == "cuda":
            torch.cuda.synchronize()

    def eager(units: int) -> None:
        for _ in range(units):
            feed(next(numbers))
            step()
        finish()

    if where != "cuda":
        return {EAGER: eager}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # a capture must find everything made
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replayed(units: int) -> None:
        for _ in range(units):
            feed(next(numbers))
            graph.replay()
        finish()

    return {EAGER: eager, GRAPHS: replayed}


def _draw(mean: Any) -> Any:
    import torch

    return (torch.rand_like(mean) < mean).to(mean.dtype)


def gibbs(weights: list[Array], chains: int, where: str | None = "auto") -> Runs:
    """A sweep of all chains, hidden units and then visible ones; weights are (weight, visible bias, hidden bias)."""
    where = device() if where == "auto" else where
    if where is None:
        return {}
    import torch

    w, b, c = (torch.tensor(x, device=where) for x in weights)
    v = _draw(torch.full((chains, len(b)), 0.1, device=where))

    @torch.no_grad()
    def step() -> None:
        h = _draw(torch.sigmoid(torch.addmm(c, v, w)))
        v.copy_(_draw(torch.sigmoid(torch.addmm(b, h, w.t()))))

    return _both(step, lambda number: None, where)


def pcd(weights: list[Array], rows: Array, batch: int, rate: float, where: str | None = "auto") -> Runs:
    """A step of PCD-1 with as many chains as rows, in three products, the update added in place."""
    where = device() if where == "auto" else where
    if where is None:
        return {}
    import torch

    w, b, c = (torch.tensor(x, device=where) for x in weights)
    data = torch.tensor(rows, device=where)
    both, hidden = data[: 2 * batch].clone(), torch.zeros(batch, len(c), device=where)
    signs = torch.cat([torch.full((batch,), 1 / batch), torch.full((batch,), -1 / batch)]).to(where)
    starts = range(0, len(data) - batch + 1, batch)

    @torch.no_grad()
    def step() -> None:
        both[batch:] = _draw(torch.sigmoid(torch.addmm(b, hidden, w.t())))
        mean = torch.sigmoid(torch.addmm(c, both, w))
        hidden.copy_(_draw(mean[batch:]))
        signed = mean * signs[:, None]
        w.addmm_(both.t(), signed, alpha=rate)
        b.addmv_(both.t(), signs, alpha=rate)
        c.add_(signed.sum(0), alpha=rate)

    def feed(number: int) -> None:
        first = starts[number % len(starts)]
        both[:batch].copy_(data[first : first + batch])

    return _both(step, feed, where)


def iwae(params: Mapping[str, Array], rows: Array, batch: int, samples: int, where: str | None = "auto") -> Runs:
    """A step on the importance-weighted bound by autograd and fused Adam; params are those of the machine of boltz."""
    where = device() if where == "auto" else where
    if where is None:
        return {}
    import torch
    from torch.nn import functional

    p = {name: torch.tensor(x, device=where, requires_grad=True) for name, x in params.items()}
    options: dict[str, Any] = {"fused": True, "capturable": True} if where == "cuda" else {}
    adam = torch.optim.Adam(list(p.values()), lr=1e-3, **options)
    data = torch.tensor(rows, device=where)
    x = data[:batch].clone()
    starts = range(0, len(data) - batch + 1, batch)

    def net(name: str, value: Any) -> Any:
        depth = sum(key.startswith(name) and key.endswith("weight") for key in p)
        for i in range(depth):
            value = value @ p[f"{name}/{i}/weight"] + p[f"{name}/{i}/bias"]
            value = torch.tanh(value) if i < depth - 1 else value
        return value

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        mean, log_sigma = net("recognition/h1", x).chunk(2, dim=1)
        noise = torch.randn(samples, *mean.shape, device=where)
        z = mean + log_sigma.exp() * noise
        logits = net("generative/v", z)
        log_p = -functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(2)
        log_w = log_p + (log_sigma + 0.5 * (noise**2 - z**2)).sum(2)
        (-torch.logsumexp(log_w, 0).mean()).backward()
        adam.step()

    def feed(number: int) -> None:
        first = starts[number % len(starts)]
        x.copy_(data[first : first + batch])

    return _both(step, feed, where)
