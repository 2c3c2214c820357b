"""A PyTorch training step of a directed machine: eager autograd and torch.optim.Adam with fused updates.

Chosen by timing on a CPU: the encoder runs once a row and its outputs are broadcast over the samples; the part of
log q(z | x) that depends on the noise alone stays outside the graph; with one sample a row each term is summed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from boltz.models.graph import Layer

from . import Lesson, Noise, Slope, Work
from .torch_products import Products, Tensor


def _bernoulli(logits: Tensor, state: Tensor, dim: int | None) -> Tensor:
    """log-probability of 0/1 states (rows, samples, units) by sample, or of all of them where dim is None."""
    if logits.shape[1] == 1 < state.shape[1]:  # one row of logits for all samples: no pass over (rows, samples, units)
        return torch.matmul(state, logits.mT).squeeze(-1) - F.softplus(logits).sum(-1)
    target = state.expand_as(logits)
    if dim is None:
        return -F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim)


class Twin:
    """The machine as tensors that want gradients; states are (rows, samples, units)."""

    def __init__(self, products: Products, problem: Lesson) -> None:
        self.products, self.structure = products, problem.machine.structure
        self.rows, self.samples = problem.batch, problem.samples
        self.dim = None if problem.objective == "vae" and self.samples == 1 else -1
        self.params = {
            name: torch.from_numpy(np.array(x.T if name.endswith("weight") else x, order="C")).requires_grad_()
            for name, x in problem.machine.params.items()
        }
        self.adam = torch.optim.Adam(self.params.values(), lr=problem.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(1)
        self.drawn = {layer.name: torch.empty(self.rows, self.samples, layer.units) for layer in self.structure.latent}

    def net(self, side: str, layer: str, x: Tensor) -> Tensor:
        """Outputs for x (..., inputs)."""
        depth = getattr(self.structure, side)[layer].depth
        value = x.reshape(-1, x.shape[-1])
        for i in range(depth):
            weight, bias = (self.params[f"{side}/{layer}/{i}/{kind}"] for kind in ("weight", "bias"))
            value = self.products.dense(value, weight, bias, i < depth - 1)
        return value.view(*x.shape[:-1], -1)

    def noise(self, layer: Layer, given: Noise | None) -> Tensor:
        """Normal or uniform, fresh or given, in the same buffer every step."""
        noise = self.drawn[layer.name]
        if given is not None:
            return noise.copy_(torch.from_numpy(given[layer.name]).view_as(noise))
        return (noise.normal_ if layer.kind == "gaussian" else noise.uniform_)(generator=self.generator)

    def terms(self, x: Tensor, given: Noise | None) -> tuple[Tensor, Tensor]:
        """log-weights and the log-probabilities of binary layers under q, (rows, samples); sums where dim is None."""
        states, log_w, log_q = [x[:, None]], torch.zeros(()), torch.zeros(())
        for layer in self.structure.latent:
            outputs, noise = self.net("recognition", layer.name, states[-1]), self.noise(layer, given)
            if layer.kind == "gaussian":
                mean, log_sigma = outputs.chunk(2, -1)
                states.append(torch.addcmul(mean, log_sigma.exp(), noise))
                log_w = log_w + (log_sigma.sum(self.dim) + 0.5 * noise.square().sum(self.dim))
            else:
                states.append(torch.lt(noise, outputs.detach().sigmoid(), out=noise))
                found = _bernoulli(outputs, states[-1], self.dim)
                log_w, log_q = log_w - found, log_q + found
        return log_w + self.joint(states), log_q

    def joint(self, states: list[Tensor]) -> Tensor:
        """log p of the states of all layers; constants that cancel against q are left out."""
        if "prior/bias" in self.params:
            log_p = _bernoulli(self.params["prior/bias"].expand(self.rows, 1, -1), states[-1], self.dim)
        else:
            log_p = -0.5 * states[-1].square().sum(self.dim)
        for layer, state, above in zip(self.structure.layers, states, states[1:], strict=False):
            outputs = self.net("generative", layer.name, above)
            if layer.kind == "bernoulli":
                log_p = log_p + _bernoulli(outputs, state, self.dim)
            else:
                mean, log_sigma = outputs.chunk(2, -1)
                z = (state - mean) * torch.exp(-log_sigma)
                log_p = log_p - (0.5 * z.square() + log_sigma).sum(self.dim)
        return log_p


def _mean(log_w: Tensor, log_q: Tensor, twin: Twin) -> tuple[Tensor, Tensor]:
    """The evidence lower bound, and the same as what to climb."""
    bound = log_w.sum() / (twin.rows * twin.samples)
    return bound, bound


def _weighted(log_w: Tensor, log_q: Tensor, twin: Twin) -> tuple[Tensor, Tensor]:
    """The importance-weighted bound, log K left out, and the same as what to climb."""
    bound = torch.logsumexp(log_w, 1).mean()
    return bound, bound


def _vimco(log_w: Tensor, log_q: Tensor, twin: Twin) -> tuple[Tensor, Tensor]:
    """The importance-weighted bound, and a surrogate with leave-one-out score terms (Mnih & Rezende 2016)."""
    bound, count = torch.logsumexp(log_w, 1, keepdim=True), log_w.shape[1]
    with torch.no_grad():
        others = (log_w.sum(1, keepdim=True) - log_w) / (count - 1)
        swapped = log_w[:, None, :].repeat(1, count, 1)
        swapped.diagonal(dim1=1, dim2=2).copy_(others)
        signal = bound - torch.logsumexp(swapped, 2)
    return bound.mean(), bound.mean() + (signal * log_q).sum() / len(log_w)


OBJECTIVES = {"vae": _mean, "iwae": _weighted, "vimco": _vimco}


def lesson(products: Products, problem: Lesson, threads: int) -> Work:
    """A training step on the next batch: noise, forward, backward, update."""
    twin, objective = Twin(products, problem), OBJECTIVES[problem.objective]
    batches = [torch.from_numpy(x) for x in problem.batches()]
    supply = cycle(batches)

    def climb(x: Tensor, given: Noise | None = None) -> Tensor:
        twin.adam.zero_grad()
        bound, target = objective(*twin.terms(x, given), twin)
        (-target).backward()
        return bound.detach()

    def run(count: int) -> None:
        for _ in range(count):
            climb(next(supply))
            twin.adam.step()

    def probe(noise: Noise) -> Slope:
        weighted = problem.objective != "vae"
        bound = float(climb(batches[0], noise)) - float(np.log(problem.samples)) * weighted
        return bound, _arrays(twin, lambda x: -x.grad)

    return Work(run, lambda: tuple(_arrays(twin, lambda x: x.detach()).values()), probe)


def _arrays(twin: Twin, part: Callable[[Tensor], Tensor]) -> dict[str, np.ndarray]:
    """Something of every parameter as the machine has it, weights (inputs, outputs)."""
    found = {name: part(x).numpy() for name, x in twin.params.items()}
    return {name: np.array(x.T if name.endswith("weight") else x) for name, x in found.items()}
