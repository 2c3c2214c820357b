"""Draw the pictures of the documentation from machines that are trained here, and print what boltz says of each.

Run: python docs/pictures.py [NAME...]     (all names: some minutes on one core; pictures go to docs/pictures)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import boltz

FOLDER = Path(__file__).parent / "pictures"
SIDE = 28
STEADY = {"learning_rate": 0.03, "schedule": "constant"}  # of the machines that nothing is wrong with
STEADY_FEW = STEADY | {"learning_rate": 0.03 * (2000 / 3920)}  # for 2,000 rows of 784 units


@cache
def digits(limit: int | None = None) -> boltz.Data:
    return boltz.load_data("mnist-mini", limit=limit)


@cache
def unseen() -> np.ndarray:
    return (boltz.load_data("mnist-mini", split="test", limit=300).x > 127).astype(np.float32)


@cache
def healthy() -> boltz.Run:
    """An RBM that nothing is wrong with."""
    return boltz.train(boltz.rbm(784, 100, x=digits(2000).x), digits(2000), epochs=80, **STEADY_FEW)


def tiles(axes: Any, rows: np.ndarray, across: int, title: str, low: float = 0.0, high: float = 1.0) -> None:
    """Images of 28 x 28 side by side, with white seams."""
    down = len(rows) // across
    sheet = np.full((down * (SIDE + 2), across * (SIDE + 2)), np.nan)
    for at, row in enumerate(rows[: down * across]):
        top, left = at // across * (SIDE + 2), at % across * (SIDE + 2)
        sheet[top : top + SIDE, left : left + SIDE] = row.reshape(SIDE, SIDE)
    axes.imshow(sheet, cmap="gray", vmin=low, vmax=high)
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def save(figure: Any, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def told(name: str, run: boltz.Run, x: Any, finding: str = "") -> None:
    """Print the notes of a run, and what diagnose finds."""
    print(f"== {name}", *run.notes, sep="\n")
    found = boltz.diagnose(run, x, sweeps=400)
    print(found if not finding else found.finding(finding), flush=True)


def pair(first: np.ndarray, second: np.ndarray, titles: tuple[str, str], low: float = 0.0, high: float = 1.0) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.6))
    tiles(axes[0], first, 6, titles[0], low, high)
    tiles(axes[1], second, 6, titles[1], low, high)
    return figure


def samples() -> None:
    """Data beside samples: visible means, each from a chain of its own."""
    run = boltz.train(boltz.rbm(784, 500, x=digits().x), digits(), epochs=100, **STEADY)
    means = boltz.sample(run.model, 36, sweeps=1000, means=True, start="data", data=digits(360).x[::10] > 127)["v"]
    print("== samples", boltz.evaluate(run, unseen(), betas=2000), sep="\n")
    data = digits().x[5000::100][:36] / 255
    save(pair(data, means, ("digits of the data", "samples after 1,000 sweeps")), "samples")


def frozen() -> None:
    """The same chains again and again: rows are chains, columns are sweeps."""
    hard = boltz.train(
        boltz.rbm(784, 50, x=digits(2000).x),
        digits(2000),
        rule="cd",
        epochs=40,
        learning_rate=1.0,
        schedule="constant",
    )
    told("frozen", hard, digits(300).x)
    marks, figure, axes = (0, 10, 50, 200), *plt.subplots(1, 2, figsize=(6, 3.8))
    for place, (run, title) in enumerate(((hard, "frozen"), (healthy(), "healthy"))):
        state: Any = {"v": (digits(6).x > 127).astype(np.float32)}
        shown, before = [], 0
        for mark in marks:
            if mark > before:
                state = boltz.sample(run.model, 6, sweeps=mark - before, seed=mark, start=state)
            before = mark
            shown.append(boltz.decode(run.model, state["h1"]) if mark else state["v"])
        tiles(axes[place], np.stack(shown, axis=1).reshape(-1, 784), len(marks), f"{title}: sweeps 0, 10, 50, 200")
    save(figure, "frozen")


def diverged() -> None:
    """Filters with weights of thousands beside those of a healthy machine."""
    wild = boltz.train(
        boltz.rbm(784, 50, x=digits(2000).x), digits(2000), epochs=3, learning_rate=200.0, schedule="constant"
    )
    told("diverged", wild, digits(300).x)
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.6))
    for place, (run, title) in enumerate(((wild, "diverged"), (healthy(), "healthy"))):
        weights = run.model.visible_weights.T[:36]
        reach = float(np.abs(weights).max())
        tiles(axes[place], weights, 6, f"{title}: weights up to {reach:,.1f}", -reach, reach)
    save(figure, "diverged")


def idle() -> None:
    """How much the mean of each hidden unit varies over rows, in both layers of DBMs pretrained in two ways."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
    for place, how in enumerate(("bottom", "doubling")):
        run = boltz.train(
            boltz.dbm([784, 60, 60], x=digits(2000).x), digits(2000), pretrain=how, pretrain_epochs=30, epochs=5
        )
        spread = {n: np.sort(boltz.features(run.model, digits(300).x, n).std(axis=0))[::-1] for n in ("h1", "h2")}
        print(f"== idle, {how}", *run.notes, {n: float(x.mean()) for n, x in spread.items()}, sep="\n")
        for name, values in spread.items():
            axes[place].plot(values, label=name)
        axes[place].set(title=f"pretrain {how}", xlabel="unit, sorted", ylim=(0, 0.5))
    axes[0].set_ylabel("standard deviation over rows")
    axes[0].legend()
    save(figure, "idle")


def nothing() -> None:
    """Filters of noise beside filters with strokes."""
    start, slow = boltz.rbm(784, 50, x=digits(2000).x), {"learning_rate": 1e-5, "schedule": "constant"}
    lame = boltz.train(start, digits(2000), epochs=2, **slow)
    told("nothing", lame, digits(300).x, "largest field")
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.6))
    for place, (run, title) in enumerate(((lame, "learnt nothing"), (healthy(), "healthy"))):
        weights = run.model.visible_weights.T[:36]
        reach = float(np.abs(weights).max())
        tiles(axes[place], weights, 6, f"{title}: weights up to {reach:.2f}", -reach, reach)
    save(figure, "nothing")


def modes() -> None:
    """Shares of two opposite patterns in data and under machines."""
    rng = np.random.default_rng(0)
    pattern = rng.random(40) < 0.5
    flipped = np.where(rng.random(2000) < 0.7, 0, 1)
    rows = ((pattern ^ (flipped[:, None] == 1)) ^ (rng.random((2000, 40)) < 0.02)).astype(np.float32)
    shares = {"data": float(np.mean(np.abs(rows - pattern).sum(axis=1) < 20))}
    for rule in ("pcd", "ptt"):
        run = boltz.train(boltz.rbm(40, 20, x=rows), rows, epochs=50, rule=rule, **STEADY)
        means = boltz.decode(run.model, boltz.exact_samples(run.model, 5000)["h1"])
        shares[rule] = float(np.mean(((rng.random(means.shape) < means) != pattern).sum(axis=1) < 20))
        print(
            f"== modes, {rule}",
            *run.notes,
            boltz.log_likelihood(run.model, rows),
            run.history[-1]["mode_gap"],
            sep="\n",
        )
        if rule == "pcd":
            told("modes", run, rows, "agreement of chains")
    print(shares, flush=True)
    figure, axes = plt.subplots(figsize=(4.2, 2.6))
    axes.bar(list(shares), list(shares.values()), color=["0.5", "tab:red", "tab:blue"])
    axes.set(ylabel="share of the first pattern", ylim=(0, 1.05))
    save(figure, "modes")


def overfit() -> None:
    """Log-likelihood bounds of training rows and of others along training."""
    few, start = digits(200), {"held_out": unseen(), "patience": 0, "schedule": "constant", "learning_rate": 0.005}
    run = boltz.train(boltz.vae([784, 100], latent=20, x=few.x), few, epochs=250, batch_size=10, **start)
    table = run.history_table()
    print("== overfit", run.history[-1], sep="\n")
    figure, axes = plt.subplots(figsize=(4.8, 2.8))
    axes.plot(table["epoch"], table["importance_bound"], label="training rows")
    axes.plot(table["epoch"], table["importance_bound"] - table["bound_gap"], label="held-out rows")
    axes.set(xlabel="epoch", ylabel="bound of 50 samples, nats a row")
    axes.legend()
    save(figure, "overfit")


def untrusted() -> None:
    """Log-weights of 100 chains, sorted, over few and over many temperatures."""
    run = boltz.train(boltz.rbm(784, 100, x=digits(2000).x), digits(2000), epochs=60, **STEADY_FEW)
    figure, axes = plt.subplots(figsize=(4.8, 2.8))
    for betas in (100, 2000):
        found = boltz.ais(run.model, 100, betas)
        print(f"== untrusted, {betas}", found, sep="\n", flush=True)
        axes.plot(np.sort(found.log_weights), label=f"{betas:,} temperatures: {found.ess:.0f} of 100 effective")
    axes.set(xlabel="chain, sorted", ylabel="log-weight, nats")
    axes.legend(fontsize=8)
    save(figure, "untrusted")


def ising() -> None:
    """Observables of a lattice of 16 x 16 spins through its critical temperature."""
    temperatures = [1.6, 1.8, 2.0, 2.1, 2.2, 2.27, 2.35, 2.45, 2.6, 2.8, 3.1, 3.5]
    found = boltz.observables(boltz.ising(boltz.lattice((16, 16))), temperatures, rounds=600)
    print("== ising", found, sep="\n")
    figure = boltz.plot_observables(found)
    figure.savefig(FOLDER / "ising.png", dpi=75, metadata={"Software": None})


PICTURES: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (samples, frozen, diverged, idle, nothing, modes, overfit, untrusted, ising)
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()
