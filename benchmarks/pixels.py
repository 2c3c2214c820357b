"""Time the decoder of a lossy autoencoder beside PyTorch and JAX, in turns, on one thread.

The decoder is that of Chen et al. (2017): a dense net 32-512-512 makes 4 maps of 28 x 28, which 6 masked layers of
3 x 3 with 12 filters see beside the image, with residual layers of 1 x 1 between them, tied weights, ELU and normalised
weights. Each contender finds the summed log-density of a batch and its derivatives by all parameters and by the 32
inputs. PyTorch comes in several forms: kernels of 3 x 3 with zeros or of 2 x 3 on padded images, planes first or last,
step by step or compiled. All must agree on the log-density and the derivatives, or nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
from contenders import ContenderError, Work
from report import grid, number
from turns import command, count, numbers, race, ratios, say

import boltz
from boltz.nn.arena import Tape, size, views
from boltz.nn.factors import Place
from boltz.nn.pixelcnn import PixelCNN

GIVEN, WIDTHS = 32, (512, 512)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--batch", type=count, default=64, help="rows of a step")
    parser.add_argument("--filters", type=numbers, default="12", help="outputs of a layer, commas between")
    parser.add_argument("--repeats", type=count, default=7, help="rounds; each contender has one turn a round")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


class Problem:
    """A decoder, its parameters, images and what is given."""

    def __init__(self, filters: int, batch: int, side: int) -> None:
        self.cnn = PixelCNN(side, side, GIVEN, WIDTHS, filters=filters)
        shapes = self.cnn.shapes("p")
        self.arena = np.zeros(size(shapes), np.float32)
        self.params = views(shapes, self.arena)
        self.cnn.start("p", self.params, boltz.Key(1, 2))
        rng = np.random.default_rng(0)
        self.x = (rng.random((batch, side * side)) < 0.2).astype(np.float32)
        self.z = rng.normal(size=(batch, GIVEN)).astype(np.float32)

    @property
    def spans(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Where each parameter lies in the arena, and its shape."""
        found, start = {}, 0
        for name, value in self.params.items():
            found[name] = slice(start, start + value.size), value.shape
            start += value.size
        return found


def _ours(problem: Problem) -> Work:
    cnn, batch = problem.cnn, len(problem.x)
    gradient = np.zeros_like(problem.arena)
    by_name, tape = views(cnn.shapes("p"), gradient), Tape(problem.arena)
    tape.get("above", batch, GIVEN)[...] = problem.z
    place = Place("p", problem.params, tape.whole(batch), "above")
    weights, last = np.ones(batch, np.float32), list[Any]()

    def run(steps: int) -> None:
        for _ in range(steps):
            scored = cnn.score(place, problem.x)
            signal = scored.pull(weights)
            for job in cnn.products(place, by_name):
                job()
            last[:] = scored.log_density.sum(), signal, gradient

    return Work(run, lambda: tuple(np.array(each) for each in last))


def _decode(problem: Problem, flat: Any, z: Any, act: Any, convolve: Any) -> Any:
    """Logits by a library; convolve(planes, rows, taps) is a layer of live taps, or of all where they are 1 or 9."""
    p = {name: flat[span].reshape(shape) for name, (span, shape) in problem.spans.items()}
    for i in range(len(WIDTHS) + 1):
        z = z @ p[f"p/net/{i}/weight"] + p[f"p/net/{i}/bias"]
        z = act(z) if i < len(WIDTHS) else z

    def layer(seen: list[tuple[Any, int]], name: str) -> Any:
        weight = p[f"p/{name}/weight"]
        rows, total, start = weight * (p[f"p/{name}/scale"] / (weight * weight).sum(0) ** 0.5), p[f"p/{name}/bias"], 0
        total = total[convolve.bias]
        for planes, taps in seen:
            end = start + taps * convolve.count(planes)
            total, start = total + convolve(planes, rows[start:end], taps), end
        return total

    h = layer([(convolve.image, 4), (convolve.planes(z), 9)], "first")
    for name in problem.cnn.stack.walk:
        h = h + layer([(act(h), 1 if name.startswith("pixel") else 5)], name)
    return layer([(act(h), 1)], "last")


class _TorchConvolution:
    """Kernels of tall x 3, planes first or, in memory, last."""

    bias = (slice(None), None, None)

    def __init__(self, problem: Problem, tall: int, planes_last: bool) -> None:
        import torch

        self.side, self.tall, self.torch = problem.cnn.height, tall, torch
        self.format = torch.channels_last if planes_last else torch.contiguous_format
        self.image = torch.tensor(problem.x).view(-1, 1, self.side, self.side)

    def count(self, planes: Any) -> int:
        return int(planes.shape[1])

    def planes(self, z: Any) -> Any:
        return z.view(len(z), -1, self.side, self.side).contiguous(memory_format=self.format)

    def __call__(self, planes: Any, rows: Any, taps: int) -> Any:
        inputs, outputs = self.count(planes), rows.shape[1]
        high = 1 if taps == 1 else 3 if taps == 9 else self.tall
        wide, live = min(taps, 3), rows.reshape(taps, inputs, outputs)
        dead = live.new_zeros(high * wide - taps, inputs, outputs)
        kernel = self.torch.cat([live, dead]).view(high, wide, inputs, outputs).permute(3, 2, 0, 1)
        if high == 2:
            return self.torch.conv2d(self.torch.nn.functional.pad(planes, (1, 1, 1, 0)), kernel)
        return self.torch.conv2d(planes, kernel, padding=high // 2)


def _torch(problem: Problem, tall: int, planes_last: bool, compiled: bool) -> Work:
    import torch

    convolve = _TorchConvolution(problem, tall, planes_last)
    flat, z = torch.tensor(problem.arena, requires_grad=True), torch.tensor(problem.z, requires_grad=True)

    def density(flat: Any, z: Any) -> Any:
        logits = _decode(problem, flat, z, torch.nn.functional.elu, convolve)
        return -torch.nn.functional.binary_cross_entropy_with_logits(logits, convolve.image, reduction="sum")

    found, last = torch.compile(density, dynamic=False) if compiled else density, list[Any]()

    def run(steps: int) -> None:
        for _ in range(steps):
            total = found(flat, z)
            last[:] = total.detach(), *torch.autograd.grad(total, (z, flat))

    return Work(run, lambda: tuple(each.numpy() for each in last))


class _JaxConvolution:
    """Kernels of 2 x 3 on images with planes last, which XLA wants on a processor."""

    bias = ()

    def __init__(self, problem: Problem) -> None:
        self.side = problem.cnn.height
        self.image = problem.x.reshape(-1, self.side, self.side, 1)

    def count(self, planes: Any) -> int:
        return int(planes.shape[-1])

    def planes(self, z: Any) -> Any:
        return z.reshape(len(z), -1, self.side, self.side).transpose(0, 2, 3, 1)

    def __call__(self, planes: Any, rows: Any, taps: int) -> Any:
        import jax.numpy as jnp
        from jax import lax

        inputs, outputs = self.count(planes), rows.shape[1]
        high, wide = {1: (1, 1), 9: (3, 3)}.get(taps, (2, 3))
        dead = jnp.zeros((high * wide - taps, inputs, outputs), rows.dtype)
        kernel = jnp.concatenate([rows.reshape(taps, inputs, outputs), dead]).reshape(high, wide, inputs, outputs)
        padding = {1: ((0, 0), (0, 0)), 2: ((1, 0), (1, 1)), 3: ((1, 1), (1, 1))}[high]
        return lax.conv_general_dilated(planes, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _jax(problem: Problem) -> Work:
    import jax
    import jax.numpy as jnp

    convolve = _JaxConvolution(problem)

    def density(flat: Any, z: Any) -> Any:
        logits = _decode(problem, flat, z, jax.nn.elu, convolve)
        return jnp.sum(convolve.image * logits - jax.nn.softplus(logits))

    step = jax.jit(jax.value_and_grad(density, (1, 0)))
    flat, z, last = jnp.asarray(problem.arena), jnp.asarray(problem.z), list[Any]()

    def run(steps: int) -> None:
        for _ in range(steps):
            total, (by_z, by_flat) = step(flat, z)
            last[:] = total, by_z, by_flat.block_until_ready()

    return Work(run, lambda: tuple(np.asarray(each) for each in last))


def contenders(problem: Problem, smoke: bool) -> dict[str, Work]:
    """boltz, and of the others those that are installed."""
    found = {"boltz": _ours(problem)}
    if find_spec("torch"):
        for tall, planes_last, compiled in product((2, 3), (False, True), (False,) if smoke else (False, True)):
            name = f"PyTorch, {tall}x3, planes {'last' if planes_last else 'first'}{', compiled' * compiled}"
            found[name] = _torch(problem, tall, planes_last, compiled)
    if find_spec("jax"):
        found["JAX"] = _jax(problem)
    return found


def agree(works: dict[str, Work]) -> None:
    """Raise ContenderError unless all find the same log-density and derivatives, to the rounding of float32."""
    for work in works.values():
        work.run(1)
    wanted = works["boltz"].result()
    for name, work in works.items():
        for ours, theirs in zip(wanted, work.result(), strict=True):
            if np.abs(ours - theirs).max() > 2e-4 * np.abs(ours).max():
                raise ContenderError(f"{name} finds other numbers than boltz.")


def run(options: argparse.Namespace) -> int:
    """Measure line by line on one thread and print the table."""
    boltz.threads(1)
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    lines = []
    for filters in options.filters:
        problem = Problem(filters, options.batch, 6 if options.smoke else 28)
        works = contenders(problem, options.smoke)
        agree(works)
        times = race(works, options.repeats, 0.001 if options.smoke else 0.5, 1)
        name = f"PixelCNN decoder, {filters} filters, batch {options.batch}"
        for peer in [each for each in works if each != "boltz"] or ["none"]:
            found = ratios(times.get(peer, times["boltz"]), times["boltz"])
            ratio = f"{found['median']:.2f} ({found['min']:.2f}-{found['max']:.2f})"
            rates = [number(options.batch / np.median(times[each])) for each in ("boltz", peer) if each in times]
            lines.append([name, f"{rates[0]} rows/s", peer, f"{rates[-1]} rows/s", ratio])
        say(f"{name}: done")
    print(grid(["line", "boltz", "peer", "its rate", "its time over that of boltz"], lines))
    return 0


if __name__ == "__main__":
    sys.exit(command(run, arguments))
