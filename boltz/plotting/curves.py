"""Curves of training, and of likelihoods along it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from boltz import checks
from boltz.plotting.images import LARGEST, Picture, cleaned, new_figure

Panels = Mapping[str, Mapping[str, str]]
UNDIRECTED: Panels = {
    "pseudo-likelihood (nats a row)": {"pseudo_likelihood": "training", "held_out_pseudo_likelihood": "held-out"},
    "reconstruction error (squared, a row)": {"reconstruction_error": ""},
    "free energy, held-out minus training (nats)": {"free_energy_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}  # title -> what is drawn, with the label of each line
DIRECTED: Panels = {
    "bounds on the log-likelihood (nats a row)": {
        "bound": "1 sample",
        "importance_bound": "50 samples",
        "held_out_bound": "50 samples, held-out",
    },
    "KL term (nats a row)": {"kl": ""},
    "bound of 50 samples, training minus held-out (nats)": {"bound_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}
EXACT: Panels = {
    "log-likelihood (nats a row)": {"log_likelihood": "training", "held_out_likelihood": "held-out"},
    "log-likelihood, training minus held-out (nats)": {"likelihood_gap": ""},
    "gradient norm": {"gradient_norm": ""},
}
GAME: Panels = {
    "log-likelihood of rows given their codes (nats a row)": {
        "reconstruction": "training",
        "held_out_reconstruction": "held-out",
    },
    "kernel distance of codes to the prior": {"code_distance": ""},
    "p-value of that distance": {"code_p_value": ""},
    "value of the game (nats; -1.39 is a draw)": {"code_game": "codes", "label_game": "labels"},
    "gradient norm": {"gradient_norm": ""},
}
TUNING: Panels = {
    "loss (nats a row)": {"train_loss": "training", "loss": "validation"},
    "wrong classes of the validation rows (share)": {"error": ""},
}


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of what metrics.jsonl records, a panel for each quantity, with the stages of the run apart."""
    history = with_held_out(history)
    panels = recorded_panels(history)
    down, across = -(-len(panels) // 2), min(len(panels), 2)
    figure = Picture(figsize=(4.5 * across, 3.2 * down), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(down, across, squeeze=False).ravel()
    for axes, title in zip(places, panels, strict=False):
        _panel(axes, history, title, panels[title])
    for axes in places[len(panels) :]:
        axes.remove()
    return figure


def curve_figures(history: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """The panels of learning_curves by their titles, each as a figure of its own."""
    found: dict[str, Figure] = {}
    history = with_held_out(history)
    for title, lines in recorded_panels(history).items():
        figure = Picture(figsize=(4.5, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        _panel(figure.subplots(), history, title, lines)
        found[title] = figure
    return found


def with_held_out(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records with the bound or the log-likelihood of held-out rows, where that of the training rows and the gap of
    both are known.
    """
    pairs = {
        "held_out_bound": ("importance_bound", "bound_gap"),
        "held_out_likelihood": ("log_likelihood", "likelihood_gap"),
        "held_out_reconstruction": ("reconstruction", "reconstruction_gap"),
    }
    found = []
    for record in history:
        told = {name: [_number(record.get(each)) for each in pair] for name, pair in pairs.items()}
        found.append({**record, **{name: None if a is None or b is None else a - b for name, (a, b) in told.items()}})
    return found


def recorded_panels(history: Sequence[Mapping[str, Any]]) -> Panels:
    """The panels of which something was recorded, or the first one alone where nothing was."""
    recorded = {name for record in history for name, value in record.items() if _number(value) is not None}
    kinds = {"train_loss": TUNING, "bound": DIRECTED, "log_likelihood": EXACT, "reconstruction": GAME}
    panels = next((panels for name, panels in kinds.items() if name in recorded), UNDIRECTED)
    return {title: lines for title, lines in panels.items() if recorded & lines.keys()} or dict([*panels.items()][:1])


def _panel(axes: Axes, history: Sequence[Mapping[str, Any]], title: str, lines: Mapping[str, str]) -> None:
    """The curves of one panel, and what it is of."""
    stages = [str(record.get("stage", "")) for record in history]
    known = {name: values for name in lines if _any(values := [record.get(name) for record in history])}
    for name, values in (known or {"": [None]}).items():
        _curve(axes, values, stages, lines[name] if len(known) > 1 else "")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")


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


def _curve(axes: Axes, values: Sequence[Any], stages: Sequence[str], label: str = "") -> None:
    """One quantity against the running epoch, a line a stage, gaps where it was not recorded."""
    known = [math.nan if (number := _number(x)) is None else number for x in values]
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
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(names) > 1 or label:
        axes.legend(fontsize=8)


def _any(values: Sequence[Any]) -> bool:
    return any(_number(value) is not None for value in values)


def _number(value: Any) -> float | None:
    """A value as a number that can be drawn, None where it is none."""
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST else None
