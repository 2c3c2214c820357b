"""Curves of training, of likelihoods along it, of log-weights, and the comparison of machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from boltz import checks
from boltz.errors import InputError
from boltz.plotting.images import LARGEST, Picture, cleaned, new_figure

Panels = Mapping[str, Mapping[str, str]]
UNDIRECTED: Panels = {
    "pseudo-likelihood (nats a row)": {"pseudo_likelihood": ""},
    "reconstruction error (squared, a row)": {"reconstruction_error": ""},
    "free energy, held-out minus training (nats)": {"free_energy_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}  # title -> what is drawn, with the label of each line
DIRECTED: Panels = {
    "bounds on the log-likelihood (nats a row)": {"bound": "1 sample", "importance_bound": "50 samples"},
    "KL term (nats a row)": {"kl": ""},
    "bound of 50 samples, training minus held-out (nats)": {"bound_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}
TUNING: Panels = {
    "loss (nats a row)": {"train_loss": "training", "loss": "validation"},
    "wrong classes of the validation rows (share)": {"error": ""},
}
MARKERS = {"exact": "o", "lower": ">", "upper": "<", "none": "x"}
KINDS = {"exact": "exact", "lower": "lower bound", "upper": "upper bound", "none": "no bound"}


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of what metrics.jsonl records, a panel a quantity, with the stages of the run apart."""
    stages = [str(record.get("stage", "")) for record in history]
    recorded = {name for record in history for name in record}
    panels = TUNING if "train_loss" in recorded else DIRECTED if "bound" in recorded else UNDIRECTED
    if panels is TUNING and all(record.get("error") is None for record in history):
        panels = dict(list(TUNING.items())[:1])
    down, across = -(-len(panels) // 2), min(len(panels), 2)
    figure = Picture(figsize=(4.5 * across, 3.2 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, lines) in zip(figure.subplots(down, across, squeeze=False).ravel(), panels.items(), strict=True):
        for name, label in lines.items():
            _curve(axes, [record.get(name) for record in history], stages, label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
    return figure


def comparison(models: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of models as in compare.json: log p(v) with 95 % intervals, and the bound against its samples."""
    if not models:
        raise InputError("models must hold at least one model, got none.")
    figure = Picture(figsize=(11, max(3.6, 1.8 + 0.45 * len(models))), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for i, model in enumerate(models):
        _bar(left, i, model["log_likelihood"], f"C{i}")
        _bounds(right, model, f"C{i}")
    left.set_yticks(range(len(models)), [cleaned(model["name"]) for model in models])
    left.set_ylim(len(models) - 0.5, -0.5)
    left.set_title("log p(v) with 95 % interval (nats a row)", fontsize=10)
    kinds = dict.fromkeys(model["log_likelihood"]["kind"] for model in models)
    marks = [Line2D([], [], color="0.3", linestyle="", marker=MARKERS[kind], label=KINDS[kind]) for kind in kinds]
    left.legend(handles=marks, fontsize=8)
    right.set_title("importance-weighted bound (nats a row)", fontsize=10)
    right.set_xlabel("samples a row")
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def log_weights(parts: Mapping[str, Any], ladder: Any = None) -> Figure:
    """A figure of annealing runs, name -> Estimate of log Z: their log-weights, and effective chains along the path.

    Values are drawn as lines over their 95 % intervals. ladder: a LadderEstimate, whose value joins them and whose
    probabilities of swaps have a panel of their own. Raises InputError for an estimate without log-weights.
    """
    without = [name for name, part in parts.items() if not len(part.log_weights)]
    if not parts or without:
        raise InputError(f"parts must hold estimates with log-weights, got {', '.join(without) or 'none'}.")
    figure = Picture(figsize=(10 if ladder is None else 14, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if ladder is None else 3)
    for i, (name, part) in enumerate((cleaned(name), part) for name, part in parts.items()):
        rank = (np.arange(len(part.log_weights)) + 0.5) / len(part.log_weights)
        panels[0].plot(rank, np.sort(part.log_weights), ".", color=f"C{i}", markersize=4, label=f"{name}, a chain")
        _level(panels[0], part, f"C{i}", name)
        panels[1].plot(*part.path.T, color=f"C{i}", linewidth=1.3, label=f"{name}, of {part.chains}")
    if ladder is not None:
        _level(panels[0], ladder.estimate, "0.2", "replica exchange")
        _swaps(panels[2], ladder)
    titles = ("log-weights of chains, sorted (nats)", "effective chains along the path")
    for axes, title, label in zip(panels, titles, ("share of the chains", "inverse temperature"), strict=False):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(label)
        axes.legend(fontsize=8)
    panels[0].ticklabel_format(axis="y", useOffset=False)
    panels[1].set_ylim(0, 1.05 * max(part.chains for part in parts.values()))  # a line at the top stays in sight
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure


def likelihood_along(updates: Sequence[int], values: Any, errors: Any, trusted: bool) -> Figure:
    """A figure of mean log-likelihoods (machines,) in nats a row against updates of training, from 1, on a log axis.

    Bars are two of the standard errors (machines,), left out where those are not finite. Raises InputError.
    """
    y, e = checks.array(values, "values", (len(updates),)), np.asarray(errors, np.float64)
    e = np.where(np.isfinite(e), e, np.nan)
    figure, axes = new_figure("log-likelihood along training" + ("" if trusted else " (NOT trusted)"), (7, 4.6))
    axes.errorbar(updates, y, 2 * e, color="C0", marker=".", linewidth=1.3, capsize=3, ecolor="0.4")
    axes.set_xscale("log")
    axes.set_xlabel("updates")
    axes.set_ylabel("nats a row, with two standard errors")
    axes.grid(alpha=0.3)
    return figure


def _bar(axes: Axes, place: int, estimate: Mapping[str, Any], colour: str) -> None:
    """One value with its interval, where it has one."""
    value, ends = estimate["value"], estimate["interval"]
    if None not in ends:
        axes.plot(ends, [place, place], color=colour, linewidth=2)
    axes.plot([value], [place], color=colour, marker=MARKERS[estimate["kind"]], markersize=7, linestyle="")


def _level(axes: Axes, estimate: Any, colour: str, name: str) -> None:
    """A value across the panel, with its interval where it has one."""
    low, high = estimate.interval
    if math.isfinite(low) and math.isfinite(high):
        axes.axhspan(low, high, color=colour, alpha=0.15, linewidth=0)
    trust = "" if estimate.trusted else " (NOT trusted)"
    axes.axhline(estimate.value, color=colour, linewidth=1.3, label=f"{name}: {estimate.value:.2f}{trust}")


def _swaps(axes: Axes, ladder: Any) -> None:
    """How often neighbouring rungs swap, a bar from rung to rung."""
    axes.stairs(ladder.acceptance, ladder.places, fill=True, alpha=0.5, color="0.4")
    axes.plot(ladder.places, np.zeros(len(ladder.places)), "|", color="0.1", markersize=10)
    axes.set_ylim(0, 1)
    axes.set_title("probability that neighbouring rungs swap", fontsize=10)
    axes.set_xlabel("inverse temperature")


def _bounds(axes: Axes, model: Mapping[str, Any], colour: str) -> None:
    """The bounds of one model against the number of samples."""
    sizes = [bound["samples"] for bound in model["bounds"]]
    values = [bound["value"] for bound in model["bounds"]]
    axes.plot(sizes, values, color=colour, marker=".", linewidth=1.3, label=cleaned(model["name"]))


def _curve(axes: Axes, values: Sequence[Any], stages: Sequence[str], label: str = "") -> None:
    """One quantity against the running epoch, a line a stage, gaps where it was not recorded."""
    known = [float(x) if isinstance(x, int | float) and abs(x) < LARGEST else math.nan for x in values]
    if all(math.isnan(x) for x in known):
        if not axes.texts:
            axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)
        return
    names = list(dict.fromkeys(stages))
    for number, name in enumerate(names):
        epochs = [i + 1 for i, stage in enumerate(stages) if stage == name]
        if all(math.isnan(known[i - 1]) for i in epochs):
            continue
        marker = "." if len(epochs) < 30 else ""
        shown = ", ".join(part for part in (cleaned(name) if len(names) > 1 or not label else "", label) if part)
        colour = None if label else f"C{number}"
        axes.plot(epochs, [known[i - 1] for i in epochs], marker=marker, linewidth=1.3, label=shown, color=colour)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(names) > 1 or label:
        axes.legend(fontsize=8)
