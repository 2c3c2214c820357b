"""What each hidden layer of a machine, and the couplings within each layer, add to the likelihood of data.

A machine with a useless layer has the likelihood of the machine without it, and no other number shows that. Here a
layer is taken away, with all that hears the data through it alone, and its mean input is left in the biases of its
neighbours. The gain is the mean over rows of log p(v) of the whole machine less that of the rest. The ratio of their
normalisers comes from a ladder of machines between both, by Bennett's acceptance ratio (Bennett 1976), so that no log Z
has to be known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from boltz.models.boltzmann import BoltzmannMachine, State, checked_model
from boltz.models.files import Model, visible_rows
from boltz.models.graph import Edge, Graph
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
COUPLINGS = "train it longer, or leave these couplings out."
LOOKED_AT, MOST_UNITS = 1000, 20_000  # rows, and units of a machine that is looked at
TOLERANCE, MOST_SWEEPS, FEW_ROWS = 1e-3, 100, 200


@dataclass(frozen=True)
class LayerGain:
    """What a hidden layer, or with within the couplings within a layer, add in nats a row, with the 95 % interval over
    rows and chains, and how it is used.

    drive: spread over rows of the input from this layer to those neighbours that hear others, too, over that of the
    input from these, None where there are none; norms: mean, least and largest norm of the weights into a unit; idle:
    units whose mean hardly differs between rows, of so many units; sweeps: of mean field until no mean changes by
    0.001; doubts: what speaks against the ratio of the normalisers, in words.
    """

    layer: str
    gain: float
    interval: tuple[float, float]
    drive: float | None
    norms: tuple[float, float, float]
    idle: int
    units: int
    sweeps: int
    doubts: tuple[str, ...] = ()
    within: bool = False

    @property
    def works(self) -> bool:
        """Whether the layer surely adds something, and enough to be told."""
        return self.interval[0] > 0 and self.gain >= LEAST_GAIN

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        numbers = {"gain": self.gain, "interval": list(self.interval), "drive": self.drive, "norms": list(self.norms)}
        counts = {"idle": self.idle, "units": self.units, "sweeps": self.sweeps}
        return {"layer": self.layer, "within": self.within, **numbers, **counts, "doubts": list(self.doubts)}

    def finding(self) -> Finding:
        """What a diagnosis says of the layer."""
        verdict: Verdict = "fine" if self.works else "attention"
        advice = "" if self.works else COUPLINGS if self.within else ADVICE
        name = f"{'couplings within' if self.within else 'layer'} {self.layer}"
        return Finding(name, verdict, self.gain, str(self)[0].upper() + str(self)[1:], advice)

    def __str__(self) -> str:
        low, high = self.interval
        name, adds, are = f"layer {self.layer}", "adds", "is idle: it adds"
        if self.within:
            name, adds, are = f"the couplings within layer {self.layer}", "add", "do nothing: they add"
        if self.works:
            said = f"{name} {adds} {self.gain:.2f} nats a row ({low:.2f} to {high:.2f})"
        elif high < -LEAST_GAIN:
            takes = "take" if self.within else "takes"
            said = f"{name} {takes} {-self.gain:.2f} nats a row away ({-high:.2f} to {-low:.2f})"
        elif high < LEAST_GAIN:
            said = f"{name} {are} {self.gain:.2f} nats a row ({low:.2f} to {high:.2f})"
        else:
            said = f"what {name} {adds} is not known: {self.gain:.2f} nats a row ({low:.2f} to {high:.2f})"
        drive = "" if self.drive is None else f", and its drive ratio is {self.drive:.2f}"
        used = f"{self.idle:,} of its {self.units:,} units are idle{drive}"
        return f"{said}; {used}." + (f" Not trusted: {' and '.join(self.doubts)}." if self.doubts else "")

    def _repr_html_(self) -> str:
        return html.table(list(self.as_dict().items()), caption=str(self))


@dataclass(frozen=True)
class Part:
    """What is taken away of a machine: a layer, or the couplings within it, by cutting some edges; dropped: the hidden
    layers that then hear no data.
    """

    layer: str
    within: bool
    cut: tuple[Edge, ...]
    dropped: tuple[str, ...]

    @classmethod
    def of_layer(cls, graph: Graph, layer: str) -> Part:
        """A hidden layer with all that hears the data through it alone."""
        heard, waiting = set(graph.views), list(graph.views)
        while waiting:
            for _, other, _ in graph.neighbours[waiting.pop()]:
                if other not in heard and other != layer:
                    heard.add(other)
                    waiting.append(other)
        dropped = tuple(n for n in graph.units if n not in heard)
        return cls(layer, False, tuple(e for e in graph.edges if {e.lower, e.upper} & set(dropped)), dropped)


def parts_of(graph: Graph) -> tuple[Part, ...]:
    """The parts of a machine whose gains are told: of a stack of layers those above the first, whose gain is that over
    independent units; of any other graph each hidden layer, and the couplings within each layer.
    """
    hidden = graph.hidden[1:] if graph.chained else graph.hidden
    within = (Part(layer, True, (edge,), ()) for layer, edge in graph.within.items())
    return (*(Part.of_layer(graph, layer) for layer in hidden), *within)


def layer_gains(
    model: BoltzmannMachine,
    x: Any,
    samples: int = SAMPLES,
    copies: int = COPIES,
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[LayerGain, ...]:
    """What each hidden layer, and the couplings within each layer, add to the mean log-likelihood of rows x (rows,
    units), bottom first.

    A layer is taken away with all that hears the data through it alone: in a stack all above it, in a multimodal
    machine the pathway above it. What the first layer of a stack adds is told by boltz.independent_units. log p*(v) is
    the importance-weighted bound of so many samples, or exact where hidden units are independent or can be enumerated.
    So the gain of a second layer is rather too small than too large. copies and rounds are those of the exchange
    between the machines of the ladder; half of the copies start at data. progress hears of the rounds of all layers.
    Raises InputError, and NumericalError for an overflow.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    x = visible_rows(model, x)
    samples = checks.integer(samples, "samples", 1, 10**6)
    copies = checks.integer(copies, "copies", 4, 2**16)
    rounds = checks.integer(rounds, "rounds", 20, checks.MOST_STEPS)
    checks.callback(progress, "progress", 2)
    key = Key.from_seed(seed).derive("layer gains")
    parts = parts_of(model.graph)
    if len(x) < 2:
        raise InputError(f"x must have at least 2 rows, whose spread gives the interval, got {len(x)}.")
    if not parts:
        return ()
    means, whole = mean_field(model, x, MeanField(TOLERANCE, MOST_SWEEPS)), _log_p(model, x, samples, seed)
    state = {n: host(rows) for n, rows in model.evidence(x).items()} | means
    mean = {n: rows.mean(axis=0, dtype=np.float64) for n, rows in state.items()}
    sweeps, found = sweeps_needed(model, x[:FEW_ROWS]), []
    for i, part in enumerate(parts):
        told = partial(_told, progress, i * rounds, len(parts) * rounds)
        less = without(model, part, mean)
        own = key.derive(part.layer, "within") if part.within else key.derive(part.layer)
        ratio, error, doubts = _ratio(model, less, (x, copies, rounds), own, told)
        gains = whole - _log_p_of_rest(less, part, x, samples, seed) - ratio
        found.append(_used(model, part, state, sweeps, (*_interval(gains, error), doubts)))
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
    """The same of any machine on up to 1,000 of the rows, evenly spaced; none where there is nothing to say."""
    machine = model.undirected
    if machine is None or model.directed is not None or untold(model, x) or not parts_of(machine.graph):
        return ()
    rows = x[np.arange(min(len(x), LOOKED_AT)) * len(x) // min(len(x), LOOKED_AT)]
    return layer_gains(machine, rows, seed=seed, progress=progress)


def untold(model: Model, x: Any) -> str:
    """Why the gains of layers are not told, in words, nothing where they are or where there are none."""
    machine = model.undirected
    if machine is None or model.directed is not None or not parts_of(machine.graph):
        return ""
    if len(x) < 2:
        return "What layers add is not told, since that takes at least 2 rows."
    if (units := sum(machine.units.values())) > MOST_UNITS:
        return f"What layers add is not told, since the machine has {units:,} units, more than {MOST_UNITS:,}."
    return ""


def without(model: BoltzmannMachine, part: Part, mean: Mapping[str, Floats]) -> BoltzmannMachine:
    """The machine with the edges of a part at 0, and the mean input (units,) along them folded into biases."""
    less = replace(model, arena=model.arena.copy())
    for edge in part.cut:
        weight, ends = model.matrix(edge.key), ((edge.lower, edge.upper), (edge.upper, edge.lower))
        for i, (one, other) in enumerate(ends[: 1 if edge.within else 2]):
            heard = (weight.T if i else weight) @ beside(mean[other], model.arena)
            less.bias(one)[...] += heard.astype(model.dtype)
        less.params[edge.key][...] = 0
    return less


def _log_p_of_rest(less: BoltzmannMachine, part: Part, x: Array, samples: int, seed: int) -> Floats:
    """log p* of rows (rows,) under the machine without a part; what it leaves without edges is independent units."""
    edges = tuple(edge for edge in less.graph.edges if edge not in part.cut)
    joined = {name for edge in edges for name in (edge.lower, edge.upper)}
    total = np.zeros(len(x))
    for layer in part.dropped:
        field = host(less.bias(layer)).astype(np.float64)
        total += float(less.unit_type(layer).log_partition(field).sum())
    for view, rows in less.evidence(x).items():
        if view not in joined:
            total += host(rows.astype(np.float64) @ less.bias(view) - less.unit_type(view).base_energy(rows))
    if not edges:
        return total
    layers = tuple(layer for layer in less.layers if layer.name in joined)
    views = tuple(view for view in less.graph.views if view in joined)
    rest = BoltzmannMachine(graph := Graph(layers, edges, views), np.zeros_like(less.arena, shape=(graph.size,)))
    for name, own in rest.params.items():
        own[...] = less.params[name]
    return total + _log_p(rest, rest.rows(less.evidence(x)), samples, seed)


def sweeps_needed(model: BoltzmannMachine, x: Array) -> int:
    """Sweeps of mean field on rows x until no mean changes by 0.001, 100 where it does not settle."""
    rows, one = beside(x.astype(model.dtype), model.arena), MeanField(0.0, 1)
    means = {n: m.copy() for n, m in solve(model, model.evidence(rows), one, Scratch(model.arena)).items()}
    if not means:
        return 0
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
    means = {**model.evidence(rows), **mean_field(model, rows, MeanField(TOLERANCE, MOST_SWEEPS))}
    for n in replicas.ladder.held:
        drawn, mean = model.zeros(half, n), beside(np.ascontiguousarray(means[n], model.dtype), model.arena)
        model.unit_type(n).draw(mean, key.derive(n).stream(0), 0, drawn)
        for state in replicas.states:
            state[n][:half] = drawn


def _used(
    model: BoltzmannMachine,
    part: Part,
    state: dict[str, Array],
    sweeps: int,
    told: tuple[float, float, tuple[str, ...]],
) -> LayerGain:
    """The record of a part: gain, half-width and doubts, and its use, from rows and mean-field means (rows, units)."""
    gain, half, doubts = told
    kept = [edge for edge in model.graph.edges if edge not in part.cut]
    own = [edge for edge in part.cut if part.within or not {edge.lower, edge.upper} <= set(part.dropped)]
    around = {n for edge in own for n in (edge.lower, edge.upper) if part.within or n not in part.dropped}
    hears = around & {n for edge in kept for n in (edge.lower, edge.upper)}
    down, up = spread_of_input(model, own, state, hears), spread_of_input(model, kept, state, hears)
    drive = None if up is None or down is None else down / up if up > 0 else float("inf") if down > 0 else 0.0
    squares = np.zeros(model.units[part.layer])
    for edge in own:
        axis = 1 if edge.lower == part.layer and not part.within else 0
        squares += host((model.matrix(edge.key).astype(np.float64) ** 2).sum(axis=axis))
    norms = np.sqrt(squares)
    lengths = float(norms.mean()), float(norms.min()), float(norms.max())
    idle = int((state[part.layer].std(axis=0) < IDLE).sum())
    interval = gain - half, gain + half
    return LayerGain(part.layer, gain, interval, drive, lengths, idle, len(norms), sweeps, doubts, part.within)


def spread_of_input(
    model: BoltzmannMachine, edges: Sequence[Edge], state: State, hears: Collection[str]
) -> float | None:
    """Mean spread over rows of what edges send to units of some layers, None where they send nothing there."""
    sent: dict[str, Any] = {}
    for edge in edges:
        weight = model.to("cpu").matrix(edge.key).astype(np.float64)
        ends = ((edge.lower, edge.upper, weight.T), (edge.upper, edge.lower, weight))[: 1 if edge.within else 2]
        for to, by, matrix in ends:
            if to in hears:
                sent[to] = sent.get(to, 0) + state[by].astype(np.float64) @ matrix
    if not sent:
        return None
    return float(np.concatenate([rows.std(axis=0) for rows in sent.values()]).mean())
