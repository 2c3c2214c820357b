"""What each of several visible layers has to do with the others: its pathway, what drives it, what hearing is worth.

A multimodal machine may learn each kind of data well and still join none of them, and no likelihood shows that. The
gain of hearing is the mean over rows of log p(view | others) - log p(view), the information that the machine has in
common, in nats. Marginals of views are those of machines whose unknown units are hidden (models/opened.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from boltz.arrays import host
from boltz.diagnostics.findings import Finding, Verdict
from boltz.diagnostics.layers import IDLE, LEAST_GAIN, LOOKED_AT, MOST_SWEEPS, TOLERANCE, spread_of_input
from boltz.estimators.estimate import Estimate, exact
from boltz.estimators.exact import exact_log_z, quick
from boltz.estimators.likelihood import log_marginal
from boltz.estimators.unknown_units import countable, log_known
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, visible_rows
from boltz.models.graph import Graph
from boltz.models.opened import opened
from boltz.models.views import of_several
from boltz.sampling.evidence import Evidence
from boltz.sampling.meanfield import MeanField, mean_field

Array = NDArray[Any]
Floats = NDArray[np.float64]
SAMPLES = 100
DEAF = 0.05  # drive of a pathway from outside, beside that of its own view, that is next to nothing
ADVICE = (
    "train the whole machine for longer, from pathways that are pretrained with the joint layer (--pretrain doubling), "
    "or give the joint layer more units."
)


@dataclass(frozen=True)
class ViewUse:
    """A visible layer among several: the hidden layers that are nearest to it, its pathway.

    drive: spread over rows of what layers outside send into it, over that of what it sends itself, None where either
    sends nothing; idle: (units whose mean hardly differs between rows, units) by layer of the pathway; gain: what
    hearing the other views is worth in nats a row, with its 95 % interval over rows and log Z, None where it is not
    told; exact: whether it has no error of estimation.
    """

    view: str
    others: tuple[str, ...]
    drive: float | None
    idle: Mapping[str, tuple[int, int]]
    gain: float | None = None
    interval: tuple[float, float] | None = None
    exact: bool = False

    @property
    def works(self) -> bool:
        """Whether nothing says that it hears none of the other views."""
        hears = self.drive is None or self.drive >= DEAF
        return hears and (self.interval is None or (self.interval[0] > 0 and (self.gain or 0.0) >= LEAST_GAIN))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        idle = {layer: list(counts) for layer, counts in self.idle.items()}
        interval = None if self.interval is None else list(self.interval)
        found = {"view": self.view, "drive": self.drive, "idle": idle, "gain": self.gain, "interval": interval}
        return {**found, "exact": self.exact}

    def finding(self) -> Finding:
        """What a diagnosis says of it."""
        verdict: Verdict = "fine" if self.works else "attention"
        value = float("nan") if self.gain is None else self.gain
        return Finding(f"view {self.view}", verdict, value, str(self), "" if self.works else ADVICE)

    def __str__(self) -> str:
        said = []
        if self.gain is not None and self.interval is not None:
            low, high = self.interval
            heard = f"Hearing {' and '.join(self.others)} is worth {self.gain:.2f} nats a row ({low:.2f} to {high:.2f}"
            said.append(f"{heard}{'' if self.exact else ', estimated'}).")
        if self.idle:
            told = " and ".join(
                f"{few:,} of the {units:,} units of {layer}" for layer, (few, units) in self.idle.items()
            )
            said.append(f"In its pathway {told} are idle.")
        if self.drive is not None:
            said.append(f"Layers outside drive it {self.drive:.2f} times as much as it does itself.")
        return " ".join(said or ["No hidden layer is its own."])


def view_uses(model: Model, x: Array, log_z: Estimate | None, seed: int) -> tuple[ViewUse, ...]:
    """As views_of_rows, of any machine, none where it has one visible layer; log_z: None where it is to be exact, if
    that is quick.
    """
    machine = of_several(model)
    if machine is None:
        return ()
    known = log_z is None and quick(machine)
    return views_of_rows(machine, x, exact_log_z(machine) if known else log_z, seed)


def views_of_rows(model: BoltzmannMachine, x: Array, log_z: Estimate | None, seed: int = 0) -> tuple[ViewUse, ...]:
    """Each visible layer of a machine of several, on up to 1,000 of the rows x (rows, columns), evenly spaced.

    log_z: None where it is not known; then no gains are told. Marginals that cannot be counted are importance-weighted
    bounds of 100 samples a row, which make gains rather too large than too small. Raises InputError, and NumericalError
    for an overflow.
    """
    x = visible_rows(model, x)
    x = x[np.arange(min(len(x), LOOKED_AT)) * len(x) // min(len(x), LOOKED_AT)]
    means = mean_field(model, x, MeanField(TOLERANCE, MOST_SWEEPS))
    state = {n: host(rows) for n, rows in model.evidence(x).items()} | means
    whole = None if log_z is None or len(x) < 2 else _log_p(model, x, seed)
    return tuple(_use(model, view, state, (x, whole, log_z), seed) for view in model.graph.views)


def pathway(graph: Graph, view: str) -> tuple[str, ...]:
    """The hidden layers that are nearer to a view than to any other one, by the number of edges between."""
    own, *others = (_distances(graph, each) for each in (view, *(n for n in graph.views if n != view)))
    far = len(graph.layers)
    return tuple(n for n in graph.hidden if own.get(n, far) < min(each.get(n, far) for each in others))


def _distances(graph: Graph, start: str) -> dict[str, int]:
    """The least number of edges from a layer to each one that it can reach."""
    found, waiting = {start: 0}, [start]
    while waiting:
        name = waiting.pop(0)
        for _, other, _ in graph.neighbours[name]:
            if other not in found:
                found[other] = found[name] + 1
                waiting.append(other)
    return found


def _use(
    model: BoltzmannMachine,
    view: str,
    state: dict[str, Array],
    measured: tuple[Array, tuple[Floats, bool] | None, Estimate | None],
    seed: int,
) -> ViewUse:
    """The record of one view; measured: rows, log p* of them and whether it is exact, and log Z."""
    inside, others = {view, *pathway(model.graph, view)}, tuple(n for n in model.graph.views if n != view)
    outer = [e for e in model.graph.edges if (e.lower in inside) != (e.upper in inside)]
    border = {n for edge in outer for n in (edge.lower, edge.upper) if n in inside}
    inner = [e for e in model.graph.edges if e.lower in inside and e.upper in inside]
    sent, own = (spread_of_input(model, edges, state, border) for edges in (outer, inner))
    drive = None if sent is None or not own else sent / own
    idle = {n: (int((state[n].std(axis=0) < IDLE).sum()), model.units[n]) for n in model.graph.hidden if n in inside}
    x, whole, log_z = measured
    if whole is None or log_z is None:
        return ViewUse(view, others, drive, idle)
    known = np.zeros(x.shape, bool)
    known[:, model.graph.columns[view]] = True
    (alone, one), (rest, other) = (_log_p(model, x, seed, each) for each in (known, ~known))
    gains = whole[0] - alone - rest + log_z.value
    gain, error = float(gains.mean()), float(np.hypot(gains.std(ddof=1) / len(gains) ** 0.5, log_z.standard_error))
    half = float(norm.ppf(0.975)) * error
    certain = whole[1] and one and other and log_z.kind == "exact"
    return ViewUse(view, others, drive, idle, gain, (gain - half, gain + half), certain)


def _log_p(model: BoltzmannMachine, x: Array, seed: int, known: Array | None = None) -> tuple[Floats, bool]:
    """log p* of rows, or of what is known of them (rows,), and whether it is exact."""
    if known is None:
        found, kind, _ = log_marginal(model, x, 0, seed)
        return (found[:, 0], True) if kind == "exact" else (log_marginal(model, x, SAMPLES, seed)[0][:, 0], False)
    samples = 0 if countable(opened(model.to("cpu"), known[0])) else SAMPLES
    told = log_known(model, Evidence(x, known), samples, exact(0.0, ""), seed)
    return told.values[:, 0], told.kind == "exact"
