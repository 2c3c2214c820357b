"""A PyTorch loop without autograd: the algorithms of boltz, buffers made once, operations in place.

Chosen by timing on a CPU: positive and negative rows share one product; the weight gradient is one product added into
the weights; random bits are drawn 64 at a time and compared as integers with a threshold (a fifth faster than uniform_,
seven times faster than bernoulli); many chains go in blocks that stay in cache, one thread a block.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, pairwise

import numpy as np
import torch

from . import LESSONS, Array, Contender, Problem, Work, parameters
from .torch_directed import lesson
from .torch_products import Products, Tensor, forms

BLOCK = 500


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.array(x, np.float32, order="C"))


class Draw:
    """Bernoulli states from means (rows, units) by 32 random bits a unit; state may be the mean's own tensor."""

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
    """Parameters and chains, and for each layer one buffer with the positive rows above the negative ones."""

    def __init__(self, products: Products, problem: Problem, chains: int) -> None:
        self.products, self.n, self.rate = products, problem.batch, problem.learning_rate
        self.weights = [_tensor(w) for w in problem.weights]
        self.biases = [_tensor(b) for b in problem.biases]
        self.both = [torch.zeros(self.n + chains, len(b)) for b in self.biases]
        self.rooms = [torch.empty(max(self.n, chains), len(b)) for b in self.biases]
        self.draws = [Draw(chains, len(b), seed) for seed, b in enumerate(self.biases)]
        self.states = [_tensor(x[:chains]) for x in problem.start.values()]
        self.hidden = self.states[1]
        self.signs = torch.cat([torch.full((self.n,), 1 / self.n), torch.full((chains,), -1 / chains)])
        self.ones = torch.ones(self.n + chains)
        self.batches = cycle([torch.from_numpy(x) for x in problem.batches()])

    def positive(self, layer: int) -> Tensor:
        return self.both[layer][: self.n]

    def negative(self, layer: int) -> Tensor:
        return self.both[layer][self.n :]

    def down(self) -> None:
        """Draw the visible rows of the negative phase given the chains' first hidden layer."""
        state = self.negative(0)
        self.draws[0](self.products.sigmoid(self.biases[0], self.hidden, self.weights[0].t(), state), state)

    def mean(self, layer: int, states: list[Tensor], out: Tensor, heard: Tensor | None = None) -> Tensor:
        """Means of a layer given its neighbours; heard is what comes from below, bias included, where that is known."""
        weights, base = self.weights, self.biases[layer] if heard is None else heard
        if layer == len(weights):
            return self.products.sigmoid(base, states[layer - 1], weights[layer - 1], out)
        if layer and heard is None:
            room = self.rooms[layer][: len(states[layer - 1])]
            base = self.products.product(states[layer - 1], weights[layer - 1], room).add_(base)
        return self.products.sigmoid(base, states[layer + 1], weights[layer].t(), out)

    def ascend(self) -> None:
        """Add the gradient of the rows in both; the odd layers take the signs of the phases."""
        for odd in self.both[1::2]:
            odd.mul_(self.signs[:, None])
        for weight, lower, upper in zip(self.weights, self.both, self.both[1:], strict=False):
            self.products.accumulate(weight, lower, upper, self.rate)
        for layer, (bias, x) in enumerate(zip(self.biases, self.both, strict=True)):
            bias.addmv_(x.t(), self.ones if layer % 2 else self.signs, alpha=self.rate)

    def work(self, step: Callable[[], None]) -> Work:
        def run(count: int) -> None:
            with torch.inference_mode():
                for _ in range(count):
                    step()

        return Work(run, lambda: parameters([w.numpy() for w in self.weights], [b.numpy() for b in self.biases]))


def _put(found: Tensor, place: Tensor) -> None:
    if found is not place:
        place.copy_(found)


def pcd(products: Products, problem: Problem, threads: int) -> Work:
    """Persistent contrastive divergence with k = 1 in three products a step."""
    t = Trainer(products, problem, problem.chains)

    def step() -> None:
        t.down()
        t.positive(0).copy_(next(t.batches))
        means = products.sigmoid(t.biases[1], t.both[0], t.weights[0], t.both[1])
        t.draws[1](means[t.n :], t.hidden)
        _put(means, t.both[1])
        t.ascend()

    return t.work(step)


def cd(products: Products, problem: Problem, threads: int) -> Work:
    """Contrastive divergence with k sweeps from the batch."""
    t = Trainer(products, problem, problem.batch)

    def step() -> None:
        t.positive(0).copy_(next(t.batches))
        mean = products.sigmoid(t.biases[1], t.positive(0), t.weights[0], t.positive(1))
        _put(mean, t.positive(1))
        for _ in range(problem.k):
            t.draws[1](mean, t.hidden)
            t.down()
            mean = products.sigmoid(t.biases[1], t.negative(0), t.weights[0], t.negative(1))
        _put(mean, t.negative(1))
        t.ascend()

    return t.work(step)


def dbm(products: Products, problem: Problem, threads: int) -> Work:
    """Any number of hidden layers: mean field from a doubled bottom-up pass, one sweep of the persistent chains."""
    t = Trainer(products, problem, problem.chains)
    layers, two, evidence = range(len(t.biases)), torch.tensor(2.0), torch.empty(t.n, len(t.biases[1]))

    def positive() -> None:
        means = [t.positive(layer) for layer in layers]
        means[0].copy_(next(t.batches))
        heard = products.product(means[0], t.weights[0], evidence)
        torch.addcmul(t.biases[1], heard, two, out=means[1]).sigmoid_()
        heard.add_(t.biases[1])
        for layer in layers[2:-1]:
            base = products.product(means[layer - 1], t.weights[layer - 1], t.rooms[layer][: t.n])
            torch.addcmul(t.biases[layer], base, two, out=means[layer]).sigmoid_()
        means[-1] = t.mean(layers[-1], means, means[-1])
        for _ in range(problem.mean_field_sweeps):
            for layer in (*layers[1::2], *layers[2::2]):
                means[layer] = t.mean(layer, means, t.positive(layer), heard if layer == 1 else None)
        for layer in layers[1:]:
            _put(means[layer], t.positive(layer))

    def negative() -> None:
        for layer in layers[::2]:
            state = t.negative(layer)
            t.draws[layer](t.mean(layer, t.states, state), state)
            t.states[layer] = state
        for layer in layers[1::2]:
            mean = t.mean(layer, t.states, t.negative(layer))
            _put(mean, t.negative(layer))
            t.draws[layer](mean, t.states[layer])

    def step() -> None:
        positive()
        negative()
        t.ascend()

    return t.work(step)


def _shares(chains: int, threads: int, block: int) -> list[slice]:
    """Nearly equal slices of at most block chains, a multiple of the threads in number."""
    count = -(-chains // (block * threads)) * threads
    edges = [chains * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _deal(jobs: list[Callable[[], None]], threads: int) -> Callable[[], None]:
    """Run independent jobs, each single-threaded, on so many threads."""
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if threads > 1 else None

    def run() -> None:
        if pool is None:
            for job in jobs:
                job()
        else:
            for done in [pool.submit(job) for job in jobs]:
                done.result()

    return run


def gibbs(products: Products, problem: Problem, threads: int) -> Work:
    """Block Gibbs sweeps, hidden then visible, each block of chains through all sweeps of a run."""
    (weight,), (b, c) = [_tensor(w) for w in problem.weights], [_tensor(x) for x in problem.biases]
    v, h = _tensor(problem.start["v"]), _tensor(problem.start["h1"])
    sweeps = [1]

    def job(part: slice, seed: int) -> Callable[[], None]:
        visible, hidden = v[part], h[part]
        draw_visible, draw_hidden = Draw(len(v[part]), len(b), seed), Draw(len(h[part]), len(c), seed + 1)

        def run() -> None:
            with torch.inference_mode():
                for _ in range(sweeps[0]):
                    draw_hidden(products.sigmoid(c, visible, weight, hidden), hidden)
                    draw_visible(products.sigmoid(b, hidden, weight.t(), visible), visible)

        return run

    shares = _shares(problem.chains, threads, BLOCK)
    everything = _deal([job(part, 2 * i) for i, part in enumerate(shares)], threads)

    def run(count: int) -> None:
        sweeps[0] = count
        everything()

    return Work(run, lambda: (v.numpy().copy(), h.numpy().copy()))


class Path:
    """Biases at every inverse temperature (hidden ones negated), the changes of the visible ones, and log Z at 0."""

    def __init__(self, problem: Problem) -> None:
        ends = [np.asarray(b, np.float64) for b in problem.biases]
        starts = [np.log(r) - np.log1p(-r) for r in (np.asarray(problem.rates[n], np.float64) for n in ("v", "h1"))]
        betas = np.linspace(0, 1, problem.betas + 1)
        line = betas[:, None]
        visible, hidden = ((1 - line) * a + line * e for a, e in zip(starts, ends, strict=True))
        self.betas = [float(beta) for beta in betas]
        self.weight = _tensor(problem.weights[0])
        self.visible, self.minus_hidden = _tensor(visible), _tensor(-hidden)
        self.change = _tensor(np.diff(line, axis=0) * (ends[0] - starts[0]))
        self.start_log_z = float(sum(np.logaddexp(0, a).sum() for a in starts))


def _anneal(products: Products, path: Path, log_weights: Tensor, seed: int) -> Callable[[], None]:
    """One annealing run of len(log_weights) chains, the hidden layer summed out, two products a temperature.

    softplus(a1) - softplus(a0) = log(sigmoid(-a0) / sigmoid(-a1)), so one logarithm of a product of ratios serves a
    chain; right to float32 while fields stay below 87, as those of a trained machine do.
    """
    chains, (units, hidden), betas = len(log_weights), path.weight.shape, path.betas
    v, h, room = torch.empty(chains, units), torch.empty(chains, hidden), torch.empty(chains, hidden)
    off, draw_v, draw_h = torch.empty(2, chains, hidden), Draw(chains, units, seed), Draw(chains, hidden, seed + 1)
    one = torch.ones(())

    def run() -> None:
        with torch.inference_mode():
            draw_v(path.visible[0].sigmoid().repeat(chains, 1), v)
            log_weights.fill_(path.start_log_z)
            for i in range(1, len(betas)):
                log_weights.add_(torch.mv(v, path.change[i - 1]))
                field = products.product(v, path.weight, room)
                for k in (0, 1):
                    torch.sub(path.minus_hidden[i - 1 + k], field, alpha=betas[i - 1 + k], out=off[k])
                off.sigmoid_()
                draw_h(torch.sub(one, off[1], out=h), h)
                log_weights.add_(off[0].div_(off[1]).prod(1).log_())
                draw_v(products.scaled(path.visible[i], h, path.weight.t(), betas[i], v), v)

    return run


def ais(products: Products, problem: Problem, threads: int) -> Work:
    """Whole annealing runs, log-weights in float64."""
    path, found = Path(problem), torch.zeros(problem.chains, dtype=torch.float64)
    shares = _shares(problem.chains, threads, problem.chains)
    everything = _deal([_anneal(products, path, found[part], 2 * i) for i, part in enumerate(shares)], threads)

    def run(count: int) -> None:
        for _ in range(count):
            everything()

    return Work(run, lambda: (found.numpy().copy(),))


def contenders() -> list[Contender]:
    """The loop with each form of products that this PyTorch has."""
    found = []
    for products in forms():
        makers = {kind.__name__: partial(kind, products) for kind in (pcd, cd, gibbs, ais, dbm)}
        makers["deep"] = makers["dbm"]
        makers |= dict.fromkeys(LESSONS, partial(lesson, products))
        found.append(Contender(products.name, torch.__version__, torch.set_num_threads, makers))
    return found
