"""What each hidden layer of a deep Boltzmann machine adds to the likelihood of data.

A machine with a useless layer has the likelihood of the machine below it, and no other number shows that. Here a layer
is taken away, with all above it, and its mean input is left in the biases of its neighbour below. The gain is the mean
over rows of log p(v) of the whole machine less that of the rest. The ratio of their normalisers comes from a ladder of
machines between both, by Bennett's acceptance ratio (Bennett 1976), so that no log Z has to be known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from boltz import checks, html
from boltz.arrays import beside, host
from boltz.diagnostics.findings import Finding, Verdict
from boltz.errors import InputError
from boltz.estimators.likelihood import log_marginal
from boltz.estimators.replica_exchange import estimated
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import Model, visible_rows
from boltz.models.graph import Graph
from boltz.rng import Key
from boltz.sampling.annealing import Progress
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladder_fitting import fitted_places
from boltz.sampling.ladders import Machines
from boltz.sampling.meanfield import MeanField, mean_field, solve
from boltz.sampling.replica_exchange import Replicas, exchange, replicas_of
from boltz.targets import MachinePath

Array = NDArray[Any]
Floats = NDArray[np.float64]
COPIES, ROUNDS, SAMPLES, BURN = 64, 300, 100, 0.5
SWEEPS, RUNGS = 30, 5
IDLE, LEAST_GAIN = 0.05, 0.1  # sd over rows of a unit's mean, and nats, below which nothing is said with them
ADVICE = (
    "train it longer, with --positive gibbs and a larger rate of its own (--learning-rate 0.05,0.1), and with weights "
    "held by --l2 so that it does not learn rows by heart; or leave the layer out."
)
LOOKED_AT = 1000  # rows
TOLERANCE, MOST_SWEEPS, FEW_ROWS = 1e-3, 100, 200


@dataclass(frozen=True)
class LayerGain:
    """What a hidden layer adds in nats a row, with its 95 % interval over rows and chains, and how it is used.

    drive: spread over rows of the input from this layer to the one below, over that of the input from further below;
    norms: mean, least and largest norm of the weights into a unit; idle: units whose mean hardly differs between rows,
    of so many units; sweeps: of mean field until no mean changes by 0.001; doubts: what speaks against the ratio of the
    normalisers, in words.
    """

    layer: str
    gain: float
    interval: tuple[float, float]
    drive: float
    norms: tuple[float, float, float]
    idle: int
    units: int
    sweeps: int
    doubts: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether the layer surely adds something, and enough to be told."""
        return self.interval[0] > 0 and self.gain >= LEAST_GAIN

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        numbers = {"gain": self.gain, "interval": list(self.interval), "drive": self.drive, "norms": list(self.norms)}
        counts = {"idle": self.idle, "units": self.units, "sweeps": self.sweeps}
        return {"layer": self.layer, **numbers, **counts, "doubts": list(self.doubts)}

    def finding(self) -> Finding:
        """What a diagnosis says of the layer."""
        verdict: Verdict = "fine" if self.works else "attention"
        advice = "" if self.works else ADVICE
        return Finding(f"layer {self.layer}", verdict, self.gain, str(self)[0].upper() + str(self)[1:], advice)

    def __str__(self) -> str:
        low, high = self.interval
        if self.works:
            said = f"layer {self.layer} adds {self.gain:.2f} nats a row ({low:.2f} to {high:.2f})"
        elif high < LEAST_GAIN:
            said = f"layer {self.layer} is idle: it adds {self.gain:.2f} nats a row ({low:.2f} to {high:.2f})"
        else:
            said = f"what layer {self.layer} adds is not known: {self.gain:.2f} nats a row ({low:.2f} to {high:.2f})"
        used = f"{self.idle:,} of its {self.units:,} units are idle, and its drive ratio is {self.drive:.2f}"
        return f"{said}; {used}." + (f" Not trusted: {' and '.join(self.doubts)}." if self.doubts else "")

    def _repr_html_(self) -> str:
        return html.table(list(self.as_dict().items()), caption=str(self))


def layer_gains(
    model: BoltzmannMachine,
    x: Any,
    samples: int = SAMPLES,
    copies: int = COPIES,
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[LayerGain, ...]:
    """What each hidden layer above the first adds to the mean log-likelihood of rows x (rows, units), bottom first.

    A layer is taken away with all above it. What the first one adds is told by boltz.independent_units. log p*(v) of a
    deep machine is its importance-weighted bound of so many samples, or exact where hidden units can be enumerated. So
    the gain of a second layer is rather too small than too large. copies and rounds are those of the exchange between
    the machines of the ladder; half of the copies start at data. progress hears of the rounds of all layers. Raises
    InputError, and NumericalError for an overflow.
    """
    model = checked_model(model, any_units=True)
    x = visible_rows(model, x)
    samples = checks.integer(samples, "samples", 1, 10**6)
    copies = checks.integer(copies, "copies", 4, 2**16)
    rounds = checks.integer(rounds, "rounds", 20, checks.MOST_STEPS)
    checks.callback(progress, "progress", 2)
    key = Key.from_seed(seed).derive("layer gains")
    above = model.graph.hidden[1:]
    if model.graph.edges != Graph.chain([layer.units for layer in model.layers]).edges:
        raise InputError("model must be a chain of layers v, h1, h2, ...: only there do layers lie above each other.")
    if len(x) < 2:
        raise InputError(f"x must have at least 2 rows, whose spread gives the interval, got {len(x)}.")
    if not above:
        return ()
    means, whole = mean_field(model, x, MeanField(TOLERANCE, MOST_SWEEPS)), _log_p(model, x, samples, seed)
    sweeps, found = sweeps_needed(model, x[:FEW_ROWS]), []
    for i, layer in enumerate(above):
        told = partial(_told, progress, i * rounds, len(above) * rounds)
        rest, less = without(model, layer, means[layer].mean(axis=0, dtype=np.float64))
        ratio, error, doubts = _ratio(model, less, (x, copies, rounds), key.derive(layer), told)
        gains = whole - _log_p(rest, x, samples, seed) - ratio - _apart(less, rest)
        found.append(_used(model, layer, model.evidence(x) | means, sweeps, (*_interval(gains, error), doubts)))
    return tuple(found)


def _told(progress: Progress | None, before: int, total: int, done: int, of: int) -> None:
    """Rounds of one layer as part of those of all."""
    if progress is not None:
        progress(before + done, total)


def _interval(gains: Floats, error: float) -> tuple[float, float]:
    """The mean over rows (rows,) and the half-width of its 95 % interval, with the standard error of the chains."""
    spread = float(np.hypot(gains.std(ddof=1) / np.sqrt(len(gains)), error))
    return float(gains.mean()), float(norm.ppf(0.975)) * spread


def layers_of(model: Model, x: Any, seed: int, progress: Progress | None = None) -> tuple[LayerGain, ...]:
    """The same of any machine on up to 1,000 of the rows, evenly spaced; none where there is nothing to say.

    Only deep Boltzmann machines of one visible layer whose rows are 0/1 have such layers.
    """
    machine = model.undirected
    if machine is None or model.directed is not None or model.independent_hidden or len(x) < 2:
        return ()
    if machine.kind != "dbm":
        return ()
    rows = x[np.arange(min(len(x), LOOKED_AT)) * len(x) // min(len(x), LOOKED_AT)]
    return layer_gains(machine, rows, seed=seed, progress=progress)


def without(model: BoltzmannMachine, layer: str, mean: Floats) -> tuple[BoltzmannMachine, BoltzmannMachine]:
    """The machine below a layer of a chain, whose mean input is folded into biases, alone and within the whole graph.

    In the whole graph no weights are left above it, so that the layers there are independent units.
    """
    place = [each.name for each in model.layers].index(layer)
    less = replace(model, arena=model.arena.copy())
    cut = model.graph.edges[place - 1]
    less.bias(cut.lower)[...] += (model.params[cut.key] @ beside(mean, model.arena)).astype(model.dtype)
    for edge in model.graph.edges[place - 1 :]:
        less.params[edge.key][...] = 0
    rest = Graph(model.layers[:place], model.graph.edges[: place - 1])
    alone = BoltzmannMachine(rest, np.zeros_like(model.arena, shape=(rest.parameters,)))
    for name, own in alone.params.items():
        own[...] = less.params[name]
    return alone, less


def _apart(less: BoltzmannMachine, rest: BoltzmannMachine) -> float:
    """log Z of the layers that are cut off within the whole graph."""
    cut = [layer.name for layer in less.layers[len(rest.layers) :]]
    return float(sum(less.unit_type(n).log_partition(host(less.bias(n)).astype(np.float64)).sum() for n in cut))


def sweeps_needed(model: BoltzmannMachine, x: Array) -> int:
    """Sweeps of mean field on rows x until no mean changes by 0.001, 100 where it does not settle."""
    rows, one = beside(x.astype(model.dtype), model.arena), MeanField(0.0, 1)
    means = {n: m.copy() for n, m in solve(model, model.evidence(rows), one, Scratch(model.arena)).items()}
    for sweep in range(2, MOST_SWEEPS + 1):
        start = {n: m.copy() for n, m in means.items()}
        means = solve(model, model.evidence(rows), one, Scratch(model.arena), start=start)
        if max(float(abs(means[n] - start[n]).max()) for n in means) < TOLERANCE:
            return sweep
    return MOST_SWEEPS


def _log_p(model: BoltzmannMachine, x: Array, samples: int, seed: int) -> Floats:
    """log p*(v) without log Z (rows,): exact for an RBM and for few hidden units, else the bound of samples."""
    found, kind, _ = log_marginal(model, x, 0, seed)
    return np.asarray((found if kind == "exact" else log_marginal(model, x, samples, seed)[0])[:, 0])


def _ratio(
    model: BoltzmannMachine, less: BoltzmannMachine, how: tuple[Array, int, int], key: Key, progress: Progress
) -> tuple[float, float, tuple[str, ...]]:
    """log Z of the machine less that of the one without a layer, its standard error, and what speaks against it."""
    x, copies, rounds = how
    path = MachinePath((less, model))
    places = fitted_places(lambda p: Machines(path, p), np.linspace(0, 1, RUNGS), None, key.derive("ladder"))
    ladder = Machines(path, places)
    replicas = replicas_of(ladder, copies, SWEEPS, key)
    _at_data(replicas, x, key.derive("data"))
    burn = round(BURN * rounds)
    exchange(replicas, burn, keep=0, progress=lambda now, of: progress(now, rounds))
    found = exchange(replicas, rounds - burn, keep=0, progress=lambda now, of: progress(burn + now, rounds))
    told = estimated(replicas, found)
    return told.estimate.value - ladder.start_log_z, told.estimate.standard_error, told.doubts


def _at_data(replicas: Replicas, x: Array, key: Key) -> None:
    """The first half of the copies of each rung start where mean field puts rows of the data."""
    half, model = len(replicas.trips) // 2, replicas.ladder.machine
    rows = x[np.arange(half) * max(len(x) // half, 1) % len(x)]
    means = {model.visible: rows.astype(model.dtype), **mean_field(model, rows, MeanField(TOLERANCE, MOST_SWEEPS))}
    for n in replicas.ladder.held:
        drawn, mean = model.zeros(half, n), beside(np.ascontiguousarray(means[n], model.dtype), model.arena)
        model.unit_type(n).draw(mean, key.derive(n).stream(0), 0, drawn)
        for state in replicas.states:
            state[n][:half] = drawn


def _used(
    model: BoltzmannMachine,
    layer: str,
    state: dict[str, Array],
    sweeps: int,
    told: tuple[float, float, tuple[str, ...]],
) -> LayerGain:
    """The record of a layer: gain, half-width and doubts, and its use, from rows and mean-field means (rows, units)."""
    gain, half, doubts = told
    place = [each.name for each in model.layers].index(layer)
    own, under = (model.graph.edges[i] for i in (place - 1, place - 2))
    weights, below = (host(model.params[edge.key]).astype(np.float64) for edge in (own, under))
    down, up = (float(x.std(axis=0).mean()) for x in (state[layer] @ weights.T, state[under.lower] @ below))
    drive = down / up if up > 0 else float("inf") if down > 0 else 0.0
    norms = np.linalg.norm(weights, axis=0)
    lengths = float(norms.mean()), float(norms.min()), float(norms.max())
    idle = int((state[layer].std(axis=0) < IDLE).sum())
    return LayerGain(layer, gain, (gain - half, gain + half), drive, lengths, idle, len(norms), sweeps, doubts)
