"""A PyTorch loop without autograd: the algorithms of boltz, buffers made once, every operation in place.

Chosen by timing on a CPU: positive and negative rows share one product; the weight gradient is one product added into the
weights; random bits are drawn 64 at a time and compared as integers with a threshold (a sixth faster than uniform_,
seven times faster than bernoulli); many chains go in blocks that stay in cache, one thread a block.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import numpy as np
import torch

from . import Array, Maker, Problem, Work

NAME = "PyTorch"
BLOCK = 500
Tensor = torch.Tensor


def version() -> str:
    """The version that is timed."""
    return torch.__version__


def set_threads(n: int) -> None:
    """Threads within an operation."""
    torch.set_num_threads(n)


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.array(x, np.float32, order="C"))


def _arrays(*tensors: Tensor) -> tuple[Array, ...]:
    return tuple(t.numpy().copy() for t in tensors)


class Draw:
    """Bernoulli states from means (rows, units) by 32 random bits a unit."""

    def __init__(self, rows: int, units: int, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.words = torch.empty((rows * units + 1) // 2, dtype=torch.int64)
        self.bits = self.words.view(torch.int32)[: rows * units].view(rows, units)
        self.threshold = torch.empty(rows, units)
        self.lowest = torch.tensor(-(2.0**31))

    def __call__(self, mean: Tensor, state: Tensor) -> None:
        self.words.random_(-(2**63), None, generator=self.generator)
        torch.add(self.lowest, mean, alpha=2.0**32, out=self.threshold)
        torch.lt(self.bits, self.threshold, out=state)


class Trainer:
    """Parameters, and the rows of the positive phase above those of the negative one in each buffer."""

    def __init__(self, problem: Problem, chains: int) -> None:
        self.n, self.chains, self.rate = problem.batch, chains, problem.learning_rate
        self.weights = [_tensor(w) for w in problem.weights]
        self.biases = [_tensor(b) for b in problem.biases]
        self.both = [torch.zeros(self.n + chains, len(b)) for b in self.biases]
        self.draws = [Draw(chains, len(b), seed) for seed, b in enumerate(self.biases)]
        self.chain = [_tensor(problem.start[name]) for name in list(problem.start)[: len(self.biases)]]
        self.signs = torch.cat([torch.full((self.n,), 1 / self.n), torch.full((chains,), -1 / chains)])
        self.ones = torch.ones(self.n + chains)
        self.batches = cycle([_tensor(x) for x in problem.batches()])

    def positive(self, layer: int) -> Tensor:
        return self.both[layer][: self.n]

    def negative(self, layer: int) -> Tensor:
        return self.both[layer][self.n :]

    def down(self) -> None:
        """Draw the visible rows of the negative phase given the first hidden layer of the chains."""
        mean = self.negative(0)
        torch.addmm(self.biases[0], self.chain[1], self.weights[0].t(), out=mean).sigmoid_()
        self.draws[0](mean, mean)

    def ascend(self) -> None:
        """Add the gradient; the first hidden layer carries the signs of the phases, both of the same size."""
        signed = self.both[1].mul_(self.signs[:, None])
        self.weights[0].addmm_(self.both[0].t(), signed, alpha=self.rate)
        self.biases[1].addmv_(signed.t(), self.ones, alpha=self.rate)
        for weight, upper in zip(self.weights[1:], self.both[2:], strict=True):
            weight.addmm_(signed.t(), upper, alpha=self.rate)
        for layer in range(0, len(self.biases), 2):
            self.biases[layer].addmv_(self.both[layer].t(), self.signs, alpha=self.rate)

    def result(self) -> tuple[Array, ...]:
        return _arrays(*self.weights, *self.biases)


def _repeat(step: Callable[[], None]) -> Callable[[int], None]:
    def run(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                step()

    return run


def pcd(problem: Problem, threads: int) -> Work:
    """Persistent contrastive divergence with k = 1 in three products a step."""
    t = Trainer(problem, problem.chains)

    def step() -> None:
        t.down()
        t.positive(0).copy_(next(t.batches))
        torch.addmm(t.biases[1], t.both[0], t.weights[0], out=t.both[1]).sigmoid_()
        t.draws[1](t.negative(1), t.chain[1])
        t.ascend()

    return Work(_repeat(step), t.result)


def cd(problem: Problem, threads: int) -> Work:
    """Contrastive divergence with k sweeps from the batch."""
    t = Trainer(problem, problem.batch)

    def step() -> None:
        t.positive(0).copy_(next(t.batches))
        torch.addmm(t.biases[1], t.positive(0), t.weights[0], out=t.positive(1)).sigmoid_()
        mean = t.positive(1)
        for _ in range(problem.k):
            t.draws[1](mean, t.chain[1])
            t.down()
            mean = t.negative(1)
            torch.addmm(t.biases[1], t.negative(0), t.weights[0], out=mean).sigmoid_()
        t.ascend()

    return Work(_repeat(step), t.result)


def dbm(problem: Problem, threads: int) -> Work:
    """Two hidden layers: mean field from the doubled bottom-up pass, one sweep of the persistent chains."""
    t = Trainer(problem, problem.chains)
    (first, second), (_, c1, c2) = t.weights, t.biases
    evidence, doubled = torch.empty(t.n, len(c1)), torch.tensor(2.0)

    def step() -> None:
        h1, h2 = t.positive(1), t.positive(2)
        t.positive(0).copy_(next(t.batches))
        torch.mm(t.positive(0), first, out=evidence)
        torch.addcmul(c1, evidence, doubled, out=h1).sigmoid_()
        evidence.add_(c1)
        torch.addmm(c2, h1, second, out=h2).sigmoid_()
        for _ in range(problem.mean_field_sweeps):
            torch.addmm(evidence, h2, second.t(), out=h1).sigmoid_()
            torch.addmm(c2, h1, second, out=h2).sigmoid_()
        t.down()
        torch.addmm(c2, t.chain[1], second, out=t.negative(2)).sigmoid_()
        t.draws[2](t.negative(2), t.negative(2))
        mean = t.negative(1)
        torch.addmm(c1, t.negative(0), first, out=mean)
        mean.addmm_(t.negative(2), second.t()).sigmoid_()
        t.draws[1](mean, t.chain[1])
        t.ascend()

    return Work(_repeat(step), t.result)


def _shares(chains: int, threads: int, block: int) -> list[slice]:
    """Equal slices of at most block chains, as many as a multiple of the threads."""
    count = -(-chains // (block * threads)) * threads
    edges = [chains * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _deal(jobs: list[Callable[[], None]], threads: int) -> Callable[[], None]:
    """Run independent jobs, each single-threaded, on so many threads."""
    if threads == 1:
        return lambda: [job() for job in jobs].clear()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def run() -> None:
        for done in [pool.submit(job) for job in jobs]:
            done.result()

    return run


def gibbs(problem: Problem, threads: int) -> Work:
    """Block Gibbs sweeps, hidden then visible, each block of chains through all sweeps of a run."""
    (weight,), (b, c) = [_tensor(w) for w in problem.weights], [_tensor(x) for x in problem.biases]
    v, h = _tensor(problem.start["v"]), _tensor(problem.start["h1"])
    sweeps = [1]

    def job(part: slice, seed: int) -> Callable[[], None]:
        mine, hidden = v[part], h[part]
        draws = Draw(*mine.shape, seed), Draw(*hidden.shape, seed + 1)

        def run() -> None:
            with torch.inference_mode():
                for _ in range(sweeps[0]):
                    torch.addmm(c, mine, weight, out=hidden).sigmoid_()
                    draws[1](hidden, hidden)
                    torch.addmm(b, hidden, weight.t(), out=mine).sigmoid_()
                    draws[0](mine, mine)

        return run

    shares = _shares(problem.chains, threads, BLOCK)
    everything = _deal([job(part, 2 * i) for i, part in enumerate(shares)], threads)

    def run(count: int) -> None:
        sweeps[0] = count
        everything()

    return Work(run, lambda: _arrays(v, h))


class Path:
    """Biases at every inverse temperature, and the changes of the visible ones; two products a temperature."""

    def __init__(self, problem: Problem) -> None:
        (weight,), ends = problem.weights, [np.asarray(b, np.float64) for b in problem.biases]
        base = [np.log(r) - np.log1p(-r) for r in (np.asarray(problem.rates[n], np.float64) for n in ("v", "h1"))]
        self.betas = np.linspace(0, 1, problem.betas + 1)
        line = self.betas[:, None]
        self.weight = _tensor(weight)
        visible, hidden = ((1 - line) * a + line * e for a, e in zip(base, ends, strict=True))
        self.visible, self.minus_hidden = _tensor(visible), _tensor(-hidden)
        self.change = _tensor(np.diff(line, axis=0) * (ends[0] - base[0]))
        self.start_log_z = float(sum(np.logaddexp(0, a).sum() for a in base))


def _anneal(path: Path, log_weights: Tensor, seed: int) -> Callable[[], None]:
    """One annealing run of len(log_weights) chains; the hidden layer is summed out.

    softplus(a1) - softplus(a0) = log(sigmoid(-a0) / sigmoid(-a1)): one logarithm of a product a chain, exact to float32
    while fields stay below 87, which those of any sensible machine do.
    """
    chains, (units, hidden) = len(log_weights), path.weight.shape
    v, h, both = torch.empty(chains, units), torch.empty(chains, hidden), torch.empty(2, chains, hidden)
    field, draws = torch.empty(chains, hidden), (Draw(chains, units, seed), Draw(chains, hidden, seed + 1))
    betas, one = [float(b) for b in path.betas], torch.ones(())

    def run() -> None:
        with torch.inference_mode():
            draws[0](path.visible[0].sigmoid().expand_as(v).contiguous(), v)
            log_weights.fill_(path.start_log_z)
            for i in range(1, len(betas)):
                log_weights.add_(torch.mv(v, path.change[i - 1]))
                torch.mm(v, path.weight, out=field)
                torch.sub(path.minus_hidden[i - 1], field, alpha=betas[i - 1], out=both[0])
                torch.sub(path.minus_hidden[i], field, alpha=betas[i], out=both[1])
                both.sigmoid_()
                torch.sub(one, both[1], out=h)
                log_weights.add_(both[0].div_(both[1]).prod(1).log_())
                draws[1](h, h)
                torch.addmm(path.visible[i], h, path.weight.t(), alpha=betas[i], out=v).sigmoid_()
                draws[0](v, v)

    return run


def ais(problem: Problem, threads: int) -> Work:
    """Whole annealing runs; log-weights in float64."""
    path, found = Path(problem), torch.zeros(problem.chains, dtype=torch.float64)
    shares = _shares(problem.chains, threads, problem.chains)
    everything = _deal([_anneal(path, found[part], 2 * i) for i, part in enumerate(shares)], threads)

    def run(count: int) -> None:
        for _ in range(count):
            everything()

    return Work(run, lambda: _arrays(found))


MAKERS: dict[str, Maker] = {"pcd": pcd, "cd": cd, "gibbs": gibbs, "ais": ais, "dbm": dbm}
