"""Time steps of adversarial autoencoders beside PyTorch, in turns: batch 100, code of 10 units, ten labels inferred.

The nets are those of the paper, 784-1000-1000-[10] with discriminators of 1000-1000, and those of the figures in
RESULTS.md, 784-400-400-400-[10] with 100-100. A step has all phases: both discriminators, the encoder against them, 100
labelled rows, and reconstruction, each with an update by Adam, five optimizers in all. PyTorch does the same steps in
the same order by eager autograd with fused Adam, with the documented products and with those of oneDNN. Before any
clock runs, the gradients of reconstruction at equal parameters must agree, to 1e-3 of the largest number of each.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from contenders import ContenderError, Work
from turns import Line, beside_torch, command, needs_torch, options_of

import boltz
from boltz.parallel import workers
from boltz.rng import Key
from boltz.training import optimizers
from boltz.training.adversarial import Adversarial
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.rules import Clock

BATCH, ROWS, LATENT, LABELS = 100, 2000, 10, 10
NETS = ((1000, 1000), (1000, 1000)), ((400, 400, 400), (100, 100))  # deterministic layers, and of discriminators
Nets = tuple[tuple[int, ...], tuple[int, ...]]
NAMES = ("game/code", "game/label")


def arguments() -> argparse.Namespace:
    """The command line."""
    return options_of(str(__doc__), "1")


class Ours:
    """The game of boltz, with its state."""

    def __init__(self, units: int, nets: Nets) -> None:
        self.machine = boltz.aae([units, *nets[0]], LATENT, labels="inferred", classes=LABELS, seed=1)
        self.settings = AdversarialSettings(
            discriminator_widths=nets[1], input_noise=0.0, schedule="constant", game_momentum=0.9
        )
        self.rule, self.key = Adversarial(self.settings), Key.from_seed(2)
        self.state = self.rule.init(self.machine, self.machine.arena[:0], self.key, ROWS)
        self.moments, self.steps = optimizers.init(self.settings, self.machine), 0
        self.work = self.rule.workspace(self.machine)

    def step(self, x: Any, labels: Any, pool: Any) -> None:
        """One step, with the gradient of reconstruction left in the workspace."""
        clock = Clock(self.key, self.steps, 0.0, None, np.full(len(x), -1), (x, labels))
        self.rule.gradient(self.work, x, self.state, clock, pool)
        self.steps += 1
        step = optimizers.step_at(self.settings, 0.0, self.steps)
        optimizers.apply(self.settings, self.machine, self.work.gradient, self.moments, step, pool)

    def runner(self, batches: list[Any]) -> Work:
        supply = cycle(batches)

        def run(steps: int) -> None:
            with workers(self.machine.arena) as pool:
                for _ in range(steps):
                    self.step(*next(supply), pool)

        return Work(run, tuple)


class Peer:
    """The same game in PyTorch, from the parameters of ours; weights are (outputs, inputs)."""

    def __init__(self, ours: Ours, form: Any) -> None:
        import torch

        self.torch, self.form, self.key, self.steps = torch, form, ours.key, 0
        named = dict(ours.machine.params)
        for name, player in ours.rule.players(ours.machine).items():
            named |= {f"{name}/{key}": x for key, x in player.learner(ours.state).params.items()}
        self.params = {
            name: torch.tensor(np.ascontiguousarray(x.T), requires_grad=True)
            for name, x in named.items()
            if not name.startswith("prior")
        }
        encoder = [x for name, x in self.params.items() if name.startswith("recognition")]
        machine = [x for name, x in self.params.items() if not name.startswith("game")]
        self.adams = [
            torch.optim.Adam(group, lr=1e-3, fused=True)
            for group in (*([x for n, x in self.params.items() if n.startswith(name)] for name in NAMES),)
        ]
        self.fooling, self.taught, self.whole = (
            torch.optim.Adam(group, lr=1e-3, fused=True) for group in (encoder, encoder, machine)
        )

    def net(self, name: str, x: Any) -> tuple[Any, Any]:
        """Outputs of a dense net with rectified units, and its last hidden layer."""
        depth = sum(key.startswith(f"{name}/") and key.endswith("weight") for key in self.params)
        for i in range(depth - 1):
            x = self.form.dense(x, self.params[f"{name}/{i}/weight"], self.params[f"{name}/{i}/bias"], False).relu()
        last = depth - 1
        return self.form.dense(x, self.params[f"{name}/{last}/weight"], self.params[f"{name}/{last}/bias"], False), x

    def encode(self, x: Any) -> tuple[Any, Any]:
        """Codes, and fields of labels."""
        out, hidden = self.net("recognition/h1", x)
        head = (self.params[f"recognition/label/0/{part}"] for part in ("weight", "bias"))
        return out[:, :LATENT], self.form.dense(hidden, *head, False)

    def step(self, x: Any, labels: Any) -> None:
        """One step, with the gradient of reconstruction left behind."""
        torch, loss = self.torch, self.torch.nn.functional.binary_cross_entropy_with_logits
        code, fields = self.encode(x)
        points = [code, fields.softmax(1)]
        drawn = torch.randint(LABELS, (len(x),))
        draws = [torch.randn(len(x), LATENT), torch.nn.functional.one_hot(drawn, LABELS).float()]
        for name, adam, point, draw in zip(NAMES, self.adams, points, draws, strict=True):
            adam.zero_grad(set_to_none=True)
            said, _ = self.net(f"{name}/net", torch.cat([draw, point.detach()]))
            targets = torch.zeros(2 * len(x), 1)
            targets[: len(x)] = 1
            (2 * loss(said, targets)).backward()
            adam.step()
        self.fooling.zero_grad(set_to_none=True)
        fooled = [self.net(f"{name}/net", point)[0] for name, point in zip(NAMES, points, strict=True)]
        sum(loss(said, torch.ones_like(said)) for said in fooled).backward()
        self.fooling.step()
        self.taught.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(self.encode(x)[1], labels).backward()
        self.taught.step()
        self.whole.zero_grad(set_to_none=True)
        code, fields = self.encode(x)
        logits, _ = self.net("generative/v", torch.cat([code, fields.softmax(1)], 1))
        (loss(logits, x, reduction="sum") / len(x)).backward()
        self.whole.step()

    def runner(self, batches: list[Any]) -> Work:
        supply = cycle([tuple(map(self.torch.from_numpy, batch)) for batch in batches])

        def run(steps: int) -> None:
            for _ in range(steps):
                self.step(*next(supply))

        return Work(run, tuple)


def agree(name: str, units: int, nets: Nets, form: Any, batch: tuple[Any, Any]) -> None:
    """ContenderError unless the gradient of reconstruction agrees where no step of the game moves the encoder far."""
    ours = Ours(units, nets)
    object.__setattr__(
        ours.rule,
        "settings",
        AdversarialSettings(discriminator_widths=nets[1], input_noise=0.0, generator_rate=0.0, label_rate=0.0),
    )
    peer = Peer(ours, form)
    for adam in (peer.fooling, peer.taught):
        adam.param_groups[0]["lr"] = 0.0
    with workers(ours.machine.arena) as pool:
        ours.step(*batch, pool)
    peer.step(*map(peer.torch.from_numpy, batch))
    for key, value in ours.work.named.items():
        theirs = -peer.params[key].grad.numpy().T
        if np.abs(theirs - value).max() > 1e-3 * np.abs(value).max():
            raise ContenderError(f"{name}: the gradient of {key} is not that of boltz.")


def contenders(nets: Nets, batches: list[Any]) -> dict[str, Work]:
    """The work of each side, once their gradients agree."""
    from contenders.torch_products import forms

    units = batches[0][0].shape[1]
    for form in forms():
        agree(form.name, units, nets, form, batches[0])
    found = {"boltz": Ours(units, nets).runner(batches)}
    return found | {form.name: Peer(Ours(units, nets), form).runner(batches) for form in forms()}


def run(options: argparse.Namespace) -> int:
    """Measure line by line and print the table."""
    needs_torch("adversarial.py")
    data, lines = boltz.load_data("mnist-mini", limit=ROWS), []
    x, labels = data.x.astype(np.float32) / (data.levels or 1), np.asarray(data.labels, np.int64)
    batches = [(x[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    for nets in (((20, 20), (10, 10)),) if options.smoke else NETS:
        name = f"AAE 784-{'-'.join(map(str, nets[0]))}-[{LATENT}], discriminators {'-'.join(map(str, nets[1]))}"
        lines.append(Line(name, partial(contenders, nets, batches), BATCH, "rows/s", 1.0))
    return beside_torch(lines, options)


if __name__ == "__main__":
    sys.exit(command(run, arguments))
