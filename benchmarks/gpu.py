"""Time boltz on an NVIDIA GPU against PyTorch, eager and from CUDA graphs, in turns; needs CuPy, its peers torch."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count as counter
from statistics import median
from typing import Any

import numpy as np
from contenders import gpu_torch

import boltz
from boltz import arrays
from boltz.errors import InputError
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.gibbs import sampled
from boltz.training import optimizers
from boltz.training.contrastive import Contrastive
from boltz.training.rules import Clock
from boltz.training.variational import Variational

BATCH, ROWS_IWAE, SAMPLES, AIS_CHAINS = 100, 20, 50, 100
Run = Callable[[int], None]  # does so many units of work and waits until they are done


@dataclass(frozen=True)
class Size:
    """How much is done: Gibbs chains, temperatures, units of work a round, rounds, and the machine."""

    chains: int = 10_000
    betas: int = 14_500
    units: int = 200
    rounds: int = 7
    hidden: int = 500
    rows: int = 10_000


@dataclass(frozen=True)
class Line:
    """A line of the table: what a unit of work is, for how much it counts, and who does it."""

    title: str
    unit: str
    amount: float
    units: int
    runs: dict[str, Run]


def trained(device: str, size: Size) -> tuple[boltz.BoltzmannMachine, Any]:
    """An RBM after one epoch on digits, and the rows, 0/1, on the device."""
    digits = boltz.load_data("mnist-mini", limit=size.rows)
    model = boltz.rbm(784, size.hidden, x=digits.x)
    run = boltz.train(model.to(device), digits, **boltz.Settings(epochs=1).as_dict())
    rows = (digits.x > 127).astype(np.float32)
    return run.model, arrays.moved(rows, device)


def wait(like: Any) -> None:
    """Until the device has done all of its work."""
    arrays.host(like[:1])


def gibbs(model: boltz.BoltzmannMachine, size: Size) -> Run:
    """Block Gibbs sweeps of all chains, start-up included."""
    seeds = counter()

    def run(units: int) -> None:
        wait(sampled(model, size.chains, units, next(seeds), None)["v"])

    return run


def ais(model: boltz.BoltzmannMachine, size: Size) -> Run:
    """Whole annealing runs through the public function."""
    seeds = counter()

    def run(units: int) -> None:
        for _ in range(units):
            boltz.ais(model, AIS_CHAINS, size.betas, next(seeds), model.rates)

    return run


def stepping(rule: Any, settings: Any, model: Any, rows: Any) -> Run:
    """Steps of the training loop of boltz on batches that are ready."""
    work, optimizer, key = rule.workspace(model), optimizers.init(settings, model), Key(1, 2)
    state, steps = rule.init(model, rows[: rule.start_rows], key, len(rows)), counter(1)
    batches = [rows[i : i + settings.batch_size] for i in range(0, len(rows), settings.batch_size)]

    def run(units: int) -> None:
        with workers(model.arena) as pool:
            for _ in range(units):
                step = next(steps)
                rule.gradient(work, batches[step % len(batches)], state, Clock(key, step), pool)
                this = optimizers.Step([settings.learning_rate], [0.0], step)
                optimizers.apply(settings, model, work.gradient, optimizer, this, pool)
        wait(model.arena)

    return run


def lines(device: str, size: Size) -> list[Line]:
    """All that is timed; the peers are left out where torch sees no GPU."""
    model, rows = trained(device, size)
    pcd = boltz.Settings(batch_size=BATCH, chains=BATCH, learning_rate=0.01)
    iwae = boltz.DirectedSettings(objective="iwae", samples=SAMPLES, batch_size=ROWS_IWAE)
    nets = boltz.vae([784, 200, 200], latent=50, x=arrays.host(rows)).to(device)
    copy = boltz.BoltzmannMachine(model.graph, model.arena.copy())
    ours = {
        "gibbs": gibbs(model, size),
        "pcd": stepping(Contrastive(pcd), pcd, copy, rows),
        "iwae": stepping(Variational(iwae), iwae, nets, rows),
    }
    weights = [arrays.host(model.params[name]) for name in ("edge/v-h1/weight", "layer/v/bias", "layer/h1/bias")]
    here, params = arrays.host(rows), {name: arrays.host(x) for name, x in nets.params.items()}
    peers = {
        "gibbs": gpu_torch.gibbs(weights, size.chains),
        "pcd": gpu_torch.pcd(weights, here, BATCH, 0.01),
        "iwae": gpu_torch.iwae(params, here, ROWS_IWAE, SAMPLES),
    }
    sizes = {
        "gibbs": (f"block Gibbs 784-{size.hidden}, {size.chains:,} chains", "unit updates/s"),
        "pcd": (f"RBM 784-{size.hidden} PCD-1, batch {BATCH}", "steps/s"),
        "iwae": (f"IWAE 784-200-200-[50], batch {ROWS_IWAE}, {SAMPLES} samples", "steps/s"),
    }
    amounts = {"gibbs": size.chains * (784.0 + size.hidden), "pcd": 1.0, "iwae": 1.0}
    found = [Line(*sizes[n], amounts[n], size.units, {"boltz": ours[n], **peers[n]}) for n in ours]
    title = f"AIS, {AIS_CHAINS} chains, {size.betas:,} temperatures"
    return [*found, Line(title, "runs/s", 1.0, 1, {"boltz": ais(model, size)})]


def measured(line: Line, rounds: int) -> dict[str, Any]:
    """Median rate of each contender, and the time of each peer over that of boltz within a round, after a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in line.runs}
    for turn in range(rounds + 1):
        for name, run in line.runs.items():
            start = time.perf_counter()
            run(line.units)
            if turn:
                seconds[name].append((time.perf_counter() - start) / line.units)
    rates = {name: line.amount / median(taken) for name, taken in seconds.items()}
    ratios = {
        name: [a / b for a, b in zip(taken, seconds["boltz"], strict=True)]
        for name, taken in seconds.items()
        if name != "boltz"
    }
    spread = {name: {"median": median(r), "min": min(r), "max": max(r)} for name, r in ratios.items()}
    return {"title": line.title, "unit": line.unit, "rates": rates, "ratios": spread}


def table(found: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    text = ["| work | contender | rate | its time over that of boltz |", "|---|---|---|---|"]
    for line in found:
        for name, rate in line["rates"].items():
            ratio = line["ratios"].get(name)
            shown = "" if ratio is None else f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
            text.append(f"| {line['title']} | {name} | {rate:.4g} {line['unit']} | {shown} |")
    return "\n".join(text)


def main(given: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--device", default="cuda", help="the GPU: cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=Size.rounds, help="rounds in which contenders take turns")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    size = Size(20, 20, 2, options.rounds, 10, 200) if options.smoke else Size(rounds=options.rounds)
    try:
        device = arrays.checked_device(options.device)
        if device == arrays.CPU:
            raise InputError("device must be a GPU here; benchmarks/compare.py times the cpu.")
    except InputError as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 2
    found = [measured(line, options.rounds) for line in lines(device, size)]
    print(json.dumps({"device": device, "lines": found}) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
