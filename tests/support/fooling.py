"""Machines that may fool an estimate of log Z, fifty in each of nine families, with known answers.

Spins of -1 and 1 become units of 0 and 1 by s = 2x - 1. Truth comes from enumeration or from ising_oracle.py. What
varies over a family, a coupling or the odds of a phase, runs evenly over its range in the order of the numbers, so
that the first machines of a family are a fair sample of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracles import ising
from support.training import plain_train

import boltz
from boltz.estimators.exact import QUICK_UNITS, class_units, drawn_class

Floats = NDArray[np.float64]
Rates = Mapping[str, Any]
MACHINES, SAMPLES = 50, 2000
GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Case:
    """A machine, its log Z in nats, and where they are known otherwise than from samples its rates."""

    name: str
    machine: boltz.BoltzmannMachine
    truth: float
    known: Rates = field(default_factory=dict)

    @cached_property
    def rates(self) -> Rates | None:
        """Mean activities of all layers, as a training on samples of the machine would keep them; None if not known."""
        if self.known:
            return self.known
        smaller = min(class_units(self.machine, layers) for layers in self.machine.graph.colours)
        return sampled_rates(self.machine) if smaller <= QUICK_UNITS else None

    def with_rates(self) -> boltz.BoltzmannMachine:
        """The machine with its rates kept."""
        return boltz.BoltzmannMachine(self.machine.graph, self.machine.arena, self.rates or {})


def sampled_rates(machine: boltz.BoltzmannMachine) -> dict[str, Floats]:
    """Rates (units,) a layer from 2,000 exact draws of one colour class and means of the other given these.

    They are drawn a little to 1/2, as those of a training are.
    """
    state = drawn_class(machine, SAMPLES)
    others = [layer for layer in machine.units if layer not in state]
    means = {n: machine.unit_type(n).mean(machine.field(n, state)) for n in others}
    return {n: (x.sum(axis=0, dtype=np.float64) + 1) / (SAMPLES + 2) for n, x in (state | means).items()}


def enumerated(name: str, machine: boltz.BoltzmannMachine, known: Rates | None = None) -> Case:
    """A case whose log Z is found by enumeration."""
    return Case(name, machine, boltz.exact_log_z(machine).value, known or {})


def of_spins(coupling: Floats, first: Any = 0.0, second: Any = 0.0) -> tuple[boltz.BoltzmannMachine, float]:
    """The RBM of two groups of spins with couplings J (n, m) and fields, and how far its log Z lies below theirs.

    J s t = 4J xy - 2J x - 2J y + J, and h s = 2h x - h.
    """
    first, second = (np.broadcast_to(h, n) for h, n in zip((first, second), coupling.shape, strict=True))
    biases = [2 * first - 2 * coupling.sum(axis=1), 2 * second - 2 * coupling.sum(axis=0)]
    return boltz.from_arrays([4 * coupling], biases), float(coupling.sum() - first.sum() - second.sum())


def checkerboard(
    rows: int, columns: int, coupling: float, uniform: float = 0.0
) -> tuple[boltz.BoltzmannMachine, float]:
    """The Ising model on a torus with even sides, from 4, as an RBM, and its log Z; even sites are visible.

    coupling: of the spins; uniform: the field on every spin.
    """
    machine, shift = of_spins(coupling * ising.bonds_of(rows, columns), uniform, uniform)
    if uniform == 0:
        return machine, ising.kaufman_log_z(rows, columns, coupling) - shift
    return machine, ising.transfer_log_z(max(rows, columns), min(rows, columns), coupling, uniform) - shift


def along(number: int, low: float, high: float) -> float:
    """The place of a machine in a range, which the golden ratio fills evenly."""
    return low + (high - low) * float((0.5 + number * GOLDEN) % 1)


def symmetric(number: int) -> Case:
    """Two groups of spins without fields that order together: two phases of equal weight.

    Equal couplings, ferromagnets of random strength, and these after a random change of every spin's sign. The
    coupling times the root of both sizes, 1 at the transition of large machines, runs from 0.7 to 4.
    """
    rng, kind = np.random.default_rng([1, number]), number % 3
    if number == 0:
        n, m, coupling = 24, 22, 0.15
    else:
        n, m = int(rng.integers(10, 25)), int(rng.integers(10, 25 if kind == 0 else 19))
        coupling = along(number, 0.7, 4.0) / np.sqrt(n * m)
    name = f"{('uniform', 'random', 'gauged')[kind]} {n}+{m}, J {coupling:.3f}"
    if kind == 0:
        machine, shift = of_spins(np.full((n, m), coupling))
        return Case(name, machine, ising.bipartite_log_z(n, m, coupling) - shift, halves(machine))
    strengths = coupling * rng.exponential(1, (n, m))
    if kind == 2:
        strengths *= np.outer(rng.choice([-1, 1], n), rng.choice([-1, 1], m))
    machine, _ = of_spins(strengths)
    return enumerated(name, machine, halves(machine))


def halves(machine: boltz.BoltzmannMachine, rate: float = 0.5) -> Rates:
    """The same rate for all units."""
    return {n: np.full(units, rate) for n, units in machine.units.items()}


def planted(number: int) -> Case:
    """A broad phase and a narrow one that outweighs it by 0 to 40 nats: hubs, pattern detectors, and teams of these."""
    rng, kind = np.random.default_rng([2, number]), number % 4
    odds = along(number, 0.0, 40.0)
    if kind < 2:
        return hub(rng, odds, visible=kind == 0)
    return detectors(rng, odds, team=1 if kind == 2 else int(rng.integers(3, 6)))


def hub(rng: np.random.Generator, odds: float, visible: bool) -> Case:
    """One unit coupled to all of the other layer; its on-phase outweighs its off-phase by odds nats."""
    n, m = int(rng.integers(10, 19)), int(rng.integers(10, 19))
    weight, a, b = rng.normal(0, 0.3, (n, m)), rng.normal(0, 0.3, n), rng.normal(-1, 0.5, m)
    strength = rng.uniform(1, 8)
    spokes = strength * rng.uniform(0.5, 1.5, m)
    off, on = (boltz.exact_log_z(boltz.from_arrays([weight], [a, c])).value for c in (b, b + spokes))
    weight, a = np.vstack([spokes, weight]), np.append(off - on + odds, a)
    parts = ([weight], [a, b]) if visible else ([weight.T], [b, a])
    name = f"{'visible' if visible else 'hidden'} hub of strength {strength:.1f}, {odds:.1f} nats"
    return Case(name, boltz.from_arrays(*parts), float(np.logaddexp(off, off + odds)))


def detectors(rng: np.random.Generator, odds: float, team: int) -> Case:
    """Hidden units that make a pattern of visible ones, team units a pattern that do so only together.

    The first pattern, the narrowest, outweighs the phase without patterns by odds nats, the others by less.
    """
    n, patterns = int(rng.integers(16, 33)), int(rng.integers(1, 4))
    widths = np.sort(rng.uniform(1.5, 7, patterns))[::-1]
    signs = rng.choice([-1, 1], (patterns, n))
    fields = widths[:, None] * signs
    gains = np.logaddexp(0, fields).sum(axis=1) - n * np.log(2)  # of a pattern's phase, without biases
    wanted = odds * np.append(1.0, rng.uniform(0, 0.9, patterns - 1))
    weight, bias = np.repeat(fields / team, team, axis=0).T, np.repeat((wanted - gains) / team, team)
    kind = "detectors" if team == 1 else f"teams of {team}"
    name = f"{patterns} {kind}, strength {widths[0]:.1f}, {odds:.1f} nats"
    return enumerated(name, boltz.from_arrays([weight], [np.zeros(n), bias]))


def critical(number: int) -> Case:
    """Ferromagnets on a torus from the critical temperature down: small uniform fields, none, or random bonds."""
    rng, kind = np.random.default_rng([3, number]), number % 3
    coupling = along(number, 0.35, 0.75)
    if kind == 2:
        rows, columns = ((4, 4), (4, 6), (4, 8), (6, 6))[rng.integers(4)]
        bonds = coupling * ising.bonds_of(rows, columns)
        machine, _ = of_spins(bonds * rng.uniform(0.2, 1.8, bonds.shape))
        return enumerated(f"random bonds {rows}x{columns}, K {coupling:.3f}", machine, halves(machine))
    rows, columns = ((4, 4), (4, 6), (6, 6), (6, 8), (8, 8))[rng.integers(5)]
    uniform = 0.0 if kind == 0 else float(rng.uniform(0.001, 0.05))
    machine, truth = checkerboard(rows, columns, coupling, uniform)
    mean = ising.transfer_mean_spin(columns, rows, coupling, uniform) if uniform else 0.0
    name = f"lattice {rows}x{columns}, K {coupling:.3f}, h {uniform:.3f}"
    return Case(name, machine, truth, halves(machine, (1 + mean) / 2))


def strong(number: int) -> Case:
    """RBMs with normal weights of standard deviation 1 to 4; every second in the form of spins without fields."""
    rng, sd = np.random.default_rng([4, number]), along(number, 1.0, 4.0)
    n, m = int(rng.integers(14, 21)), int(rng.integers(10, 17))
    weight = rng.normal(0, sd, (n, m))
    if number % 2:
        machine, _ = of_spins(weight / 4)
        return enumerated(f"spins {n}+{m}, sd {sd:.2f}", machine, halves(machine))
    biases = [rng.normal(0, sd, n), rng.normal(0, sd, m)]
    return enumerated(f"random {n}+{m}, sd {sd:.2f}", boltz.from_arrays([weight], biases))


def deterministic(number: int) -> Case:
    """Nearly without chance: weights of standard deviation 10 to 1,000, states that tie, or huge biases."""
    rng, sd = np.random.default_rng([5, number]), 10 ** along(number, 1.0, 3.0)
    n, m = int(rng.integers(10, 17)), int(rng.integers(8, 15))
    shapes = [(n, m), (n,), (m,)]
    kind = ("wide weights", "ties", "huge biases")[number % 3]
    scales = [1.0, sd, sd] if kind == "huge biases" else [sd] * 3
    weight, a, b = (rng.normal(0, s, shape) for s, shape in zip(scales, shapes, strict=True))
    if kind == "ties":
        weight, a, b = (sd * np.round(x / sd) for x in (weight, a, b))
    return enumerated(f"{kind} {n}+{m}, sd {sd:.0f}", boltz.from_arrays([weight], [a, b]))


def deep(number: int) -> Case:
    """DBMs with two or three hidden layers, weights of standard deviation 0.5 to 2.5, balanced in every second."""
    rng, sd = np.random.default_rng([6, number]), along(number, 0.5, 2.5)
    units = [int(rng.integers(8, 17)), int(rng.integers(6, 12)), int(rng.integers(6, 12))]
    units += [int(rng.integers(3, 8))] * (number % 4 > 1)
    weights = [rng.normal(0, sd, pair) for pair in pairwise(units)]
    biases = [rng.normal(0, 1, n) for n in units]
    if number % 2:
        down, up = [*(-w.sum(axis=1) / 2 for w in weights), 0], [0, *(-w.sum(axis=0) / 2 for w in weights)]
        biases = [b + x + y for b, x, y in zip(biases, down, up, strict=True)]
    name = f"{'balanced ' * (number % 2)}{'-'.join(map(str, units))}, sd {sd:.2f}"
    return enumerated(name, boltz.from_arrays(weights, biases))


def hopfield(number: int) -> Case:
    """Twenty to forty visible spins and one hidden spin a pattern, couplings 0.15 to 1.5, fields in every second."""
    rng, coupling = np.random.default_rng([7, number]), along(number, 0.15, 1.5)
    n, m = int(rng.integers(20, 41)), int(rng.integers(2, 7))
    fields = rng.normal(0, 0.3, m) * (number % 2)
    machine, _ = of_spins(coupling * rng.choice([-1.0, 1.0], (n, m)), 0.0, fields)
    return enumerated(f"{m} patterns of {n}, J {coupling:.2f}", machine, {} if number % 2 else halves(machine))


def glass(number: int) -> Case:
    """Spin glasses of 8 to 13 spins (Sherrington & Kirkpatrick 1975) at temperatures 0.15 to 1, with small fields.

    Every pair of spins has a hidden spin of its own: cosh(2w) = exp(2 |K|) makes it a coupling of K, so that a spin
    is held by all its pairs, and no class as a whole moves easily.
    """
    rng, temperature = np.random.default_rng([9, number]), along(number, 0.15, 1.0)
    n = int(rng.integers(8, 14))
    first, second = np.triu_indices(n, 1)
    strength = rng.normal(0, 1 / np.sqrt(n), len(first)) / temperature
    weight = np.arccosh(np.exp(2 * np.abs(strength))) / 2
    coupling, pairs = np.zeros((n, len(first))), np.arange(len(first))
    coupling[first, pairs], coupling[second, pairs] = weight, np.sign(strength) * weight
    machine, _ = of_spins(coupling, rng.normal(0, 0.1, n) / temperature)
    return enumerated(f"glass of {n} spins, T {temperature:.2f}", machine)


def trained(number: int) -> Case:
    """RBMs with 6 to 14 hidden units after a few hundred updates on made data; they keep the rates of these."""
    rng = np.random.default_rng([8, number])
    kind, made = list(DATA.items())[number % len(DATA)]
    x, hidden, rate = made(rng).astype(np.float32), int(rng.integers(6, 15)), along(number, 0.05, 0.5)
    start = boltz.rbm(x.shape[1], hidden, x=x, seed=number)
    model = plain_train(start, x, epochs=40, batch_size=50, learning_rate=rate, seed=number).model
    assert isinstance(model, boltz.BoltzmannMachine)
    bare = boltz.BoltzmannMachine(model.graph, model.arena)
    return enumerated(f"{kind}, {hidden} hidden units, rate {rate:.2f}", bare, model.rates)


def two_patterns(rng: np.random.Generator) -> Any:
    """400 noisy copies of two opposite patterns of 20 units, of which the first is the rarer."""
    pattern, share = rng.random(20) < 0.5, rng.uniform(0.05, 0.5)
    return np.where(rng.random((400, 1)) < share, pattern, ~pattern) ^ (rng.random((400, 20)) < 0.05)


def bars(rng: np.random.Generator) -> Floats:
    """400 images of 4 x 4 pixels with random bars, or random stripes (MacKay 2003, chapter 43)."""
    lines = np.repeat(rng.random((400, 4, 1)) < 0.5, 4, axis=2)
    return np.where(rng.random((400, 1, 1)) < 0.5, lines, lines.transpose(0, 2, 1)).reshape(400, 16)


def spins(rng: np.random.Generator) -> Floats:
    """400 states of the Ising model on a 4 x 4 torus at a coupling of 0.3 to 0.6."""
    machine, _ = checkerboard(4, 4, float(rng.uniform(0.3, 0.6)))
    held = drawn_class(machine, 400, int(rng.integers(2**31)))
    ((name, x),) = held.items()
    other = "h1" if name == "v" else "v"
    return np.hstack([x, rng.random(x.shape) < machine.unit_type(other).mean(machine.field(other, held))])


def independent(rng: np.random.Generator) -> Floats:
    """400 rows of 18 units, those of a third copying one another, the others on by themselves at their own rates."""
    x = rng.random((400, 18)) < rng.beta(0.5, 0.5, 18)
    x[:, :6] = x[:, :1] ^ (rng.random((400, 6)) < 0.1)
    return x.astype(np.float64)


DATA: dict[str, Callable[[np.random.Generator], Any]] = {
    "two patterns": two_patterns,
    "bars": bars,
    "spins": spins,
    "independent": independent,
}


def families() -> dict[str, Callable[[int], Case]]:
    """The families by name; each makes its machines from their numbers 0 to 49, always the same ones."""
    return {
        "symmetric": symmetric,
        "planted": planted,
        "critical": critical,
        "strong": strong,
        "deterministic": deterministic,
        "deep": deep,
        "hopfield": hopfield,
        "glass": glass,
        "trained": trained,
    }
