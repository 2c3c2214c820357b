"""Structural checks of a machine on data: units that never change, that say the same, that grew out of proportion.

Each check takes arrays and gives one finding; none of them samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from boltz.diagnostics.findings import Finding, graded
from boltz.models.boltzmann import BoltzmannMachine, State

Array = NDArray[Any]
Floats = NDArray[np.float64]
Rates = Mapping[str, tuple[Floats, Floats]]
DEAD = 0.001  # mean activity below which, or one minus it above which, a unit says nothing
ALIKE = 0.99  # cosine of weights, and correlation of posterior means, beyond which two units are one
KEPT = 0.05  # how far a machine may be from a visible unit that some 1,000 rows hold constant
MOST_DEAD, MOST_ALIKE, MOST_INACTIVE = 0.1, 0.1, 0.5  # shares of a layer beyond which it is bad
LARGE_FIELD, HUGE_FIELD = 100.0, 1000.0  # nats; a unit at 21 never differs from its mode in 30 random bits
LARGE_NORM, HUGE_NORM = 10.0, 100.0  # times the median of the layer
BLOCK, SHOWN = 1024, 8


def dead_units(rates: Rates) -> Finding:
    """Hidden units that are never on, or always, in both of the mean activities (on data, in samples) of each layer."""
    parts, share, total = [], 0.0, 0
    for layer, found in rates.items():
        never = np.flatnonzero(np.all([rate < DEAD for rate in found], axis=0))
        always = np.flatnonzero(np.all([rate > 1 - DEAD for rate in found], axis=0))
        for units, what in ((never, "never"), (always, "always")):
            if len(units):
                parts.append(f"{len(units)} of {len(found[0])} units of {layer} are {what} on ({listed(units)})")
        share, total = max(share, (len(never) + len(always)) / len(found[0])), total + len(never) + len(always)
    verdict = graded(share, 0.0, MOST_DEAD)
    if not total:
        return Finding("dead units", verdict, 0.0, f"All units of {', '.join(rates)} are on at times and off at times.")
    advice = (
        "lower the learning rate, start hidden biases nearer to 0, or take fewer units; a sparsity target "
        "(--sparsity-cost) brings back units that are never on."
    )
    return Finding("dead units", verdict, float(total), f"{'; '.join(parts)}, on data and in samples.", advice)


def duplicated_units(machine: BoltzmannMachine, means: State) -> Finding:
    """Hidden units whose incoming weights and bias, and whose posterior means (rows, units), equal those of another.

    Equal: a cosine and a correlation above 0.99, with a unit of lower number in the same layer. Couplings within a
    layer do not count, since no unit is coupled to itself.
    """
    parts, share, total = [], 0.0, 0
    for layer in machine.graph.hidden:
        pairs = _alike(incoming(machine, layer), means[layer].astype(np.float64))
        units, again = machine.units[layer], len(pairs)
        if pairs:
            shown = [f"{a} = {b}" for a, b in pairs[:SHOWN]] + ["..."] * (len(pairs) > SHOWN)
            parts.append(f"{again} of {units} units of {layer} repeat another ({', '.join(shown)})")
        share, total = max(share, again / units), total + again
    verdict = graded(share, 0.0, MOST_ALIKE)
    if not total:
        sentence = f"No two units of {', '.join(machine.graph.hidden)} have the same weights and say the same."
        return Finding("duplicated units", verdict, 0.0, sentence)
    advice = "take fewer units, or start from other random weights with a smaller learning rate or smaller batches."
    return Finding("duplicated units", verdict, float(total), f"{'; '.join(parts)}.", advice)


def constant_pixels(views: Mapping[str, tuple[Array, Floats]]) -> Finding:
    """Visible units that are constant in the rows (rows, units) of each view, against their mean activity (units,) in
    the machine.
    """
    told, total, moved = [], 0, 0
    for layer, (x, activity) in views.items():
        constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
        count, units = len(constant), x.shape[1]
        off = constant[np.abs(activity[constant] - x[0, constant]) > KEPT]
        total, moved = total + count, moved + len(off)
        what = f"{count} of {units} units of {layer} are constant in the data"
        if not count:
            told.append(f"All {units} units of {layer} vary in the data")
        elif not len(off):
            told.append(f"{what}, and the machine keeps them so")
        else:
            told.append(f"{what}, and the machine moves {len(off)} of them ({listed(off)})")
    sentence = f"{'; '.join(told)}."
    if not moved:
        return Finding("constant pixels", "fine", float(total), sentence)
    advice = "train longer, start visible biases at the data (builders with x), or leave these units out."
    return Finding("constant pixels", "attention", float(total), sentence, advice)


def frozen_chains(changes: NDArray[np.int64]) -> Finding:
    """Share of chains no unit of which changes in the later half of the sweeps, from changes (chains, sweeps)."""
    later = changes[:, changes.shape[1] // 2 :]
    frozen = int((later.sum(axis=1) == 0).sum())
    share = frozen / len(changes)
    sentence = f"{frozen} of {len(changes)} chains stand still for {later.shape[1]:,} sweeps."
    if not frozen:
        sentence = f"In each of {len(changes)} chains some unit changes within the last {later.shape[1]:,} sweeps."
        return Finding("changes in chains", "fine", 0.0, sentence)
    advice = "the weights are too large for Gibbs sampling: take weight decay (--l2, --max-norm) or fewer epochs."
    return Finding("changes in chains", graded(share, 0.0, 0.1), share, sentence, advice)


def largest_field(machine: BoltzmannMachine, state: State) -> Finding:
    """The largest total input of a hidden unit in size, or of a visible one where there are none, given a state of all
    layers (rows, units), in nats.
    """
    hidden = machine.graph.hidden
    largest = {n: float(np.abs(machine.field(n, state)).max()) for n in hidden or machine.graph.views}
    layer = max(largest, key=lambda n: largest[n])
    verdict = graded(largest[layer], LARGE_FIELD, HUGE_FIELD)
    which = "a hidden unit" if hidden else "a unit"
    sentence = f"The largest field of {which} on data is {largest[layer]:.1f} nats, in {layer}."
    advice = "" if verdict == "fine" else "lower the learning rate, or hold the weights (--l2, --max-norm)."
    return Finding("largest field", verdict, largest[layer], sentence, advice)


def weight_norms(machine: BoltzmannMachine) -> Finding:
    """The largest norm of incoming weights beside the median of its layer, among hidden layers or, where there are
    none, visible ones.
    """
    worst, sentence = -1.0, ""
    for layer in machine.graph.hidden or machine.graph.views:
        norms = weight_lengths(machine, layer)
        median = float(np.median(norms))
        ratio = float(norms.max()) / median if median > 0 else (float("inf") if norms.max() > 0 else 1.0)
        if ratio > worst:
            worst, unit = ratio, int(np.argmax(norms))
            sentence = f"The largest weight norm is {norms.max():.2f} ({layer}, unit {unit}), the median {median:.2f}."
    verdict = graded(worst, LARGE_NORM, HUGE_NORM)
    advice = "" if verdict == "fine" else "few units have outgrown the others: hold the weights (--max-norm, --l2)."
    return Finding("weight norms", verdict, worst, sentence, advice)


def inactive_units(active: Mapping[str, int], units: Mapping[str, int]) -> Finding:
    """Hidden units whose posterior mean does not vary with the data, from the active ones of each layer."""
    missing = {layer: units[layer] - count for layer, count in active.items()}
    share = max(missing[layer] / units[layer] for layer in active)
    parts = [f"{count} of {units[layer]} units of {layer}" for layer, count in active.items()]
    verdict = graded(share, 0.0, MOST_INACTIVE)
    advice = "take fewer units; an sbn or vae may use more with KL warm-up or free bits (--warmup-epochs, --free-bits)."
    sentence = f"{' and '.join(parts)} are active: their posterior means vary with the data."
    return Finding("inactive units", verdict, float(sum(missing.values())), sentence, advice if share else "")


def incoming(machine: BoltzmannMachine, layer: str) -> Floats:
    """Weights of all edges of a layer to others and its bias, one row a unit, (units, weights + 1)."""
    edges = [(machine.matrix(key), lower) for key, _, lower in machine.graph.neighbours[layer]]
    parts = [dense(weight if lower else weight.T) for weight, lower in edges]
    return np.concatenate([*parts, machine.bias(layer)[:, None]], axis=1).astype(np.float64)


def weight_lengths(machine: BoltzmannMachine, layer: str) -> Floats:
    """The norm of the weights into each unit of a layer (units,), couplings within it among them."""
    total = np.zeros(machine.units[layer])
    for edge in machine.graph.edges:
        if layer in (edge.lower, edge.upper):
            total += (machine.matrix(edge.key).astype(np.float64) ** 2).sum(axis=1 if edge.lower == layer else 0)
    return np.sqrt(total)


def dense(weight: Any) -> Array:
    """A weight matrix as an array, whatever it was."""
    return np.asarray(weight.toarray() if issparse(weight) else weight)


def listed(units: Sequence[int] | NDArray[Any]) -> str:
    """The first few numbers of units, in words."""
    shown = ", ".join(str(int(unit)) for unit in units[:SHOWN])
    return f"unit{'s' if len(units) > 1 else ''} {shown}{', ...' if len(units) > SHOWN else ''}"


def _alike(vectors: Floats, means: Floats) -> list[tuple[int, int]]:
    """Each unit like one of lower number, as (that one, the unit): vectors (units, n) parallel, means correlated."""
    varying = np.ptp(means, axis=0) > 0
    directions, scores = _normed(vectors), _normed((means - means.mean(axis=0)).T * varying[:, None])
    found = []
    for start in range(0, len(vectors), BLOCK):  # so that the table of all pairs is never whole in memory
        rows = slice(start, start + BLOCK)
        alike = (directions[rows] @ directions.T > ALIKE) & (scores[rows] @ scores.T > ALIKE)
        alike &= np.arange(len(vectors)) < np.arange(start, start + len(alike))[:, None]
        found += [(int(np.argmax(alike[i])), int(i) + start) for i in np.flatnonzero(alike.any(axis=1))]
    return found


def _normed(x: Floats) -> Floats:
    """Rows at length 1; those without any length stay at 0 and are like no other."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)
