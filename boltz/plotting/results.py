"""Pictures of what was measured: log Z with what it comes from, and machines beside one another."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate
from boltz.estimators.replica_exchange import LadderEstimate
from boltz.estimators.two_sided import TwoSided
from boltz.estimators.words import figure as digits
from boltz.estimators.words import in_words
from boltz.foreign import shown
from boltz.plotting.images import Picture, cleaned

MARKERS = {"exact": "o", "lower": ">", "upper": "<", "none": "x"}
KINDS = {"exact": "exact", "lower": "lower bound", "upper": "upper bound", "none": "no bound"}
UNSURE = "0.55"  # the colour of what is not decided
MOST_PAIRS = 15  # beyond so many, only those of the first machine are drawn
LONGEST_LINE, MOST_LINES = 60, 4  # of a verdict beside its pair


def plot_log_z(result: Any) -> Figure:
    """A figure of log Z in nats as boltz.log_z returns it: the value with its 95 % interval, and where it comes from.

    Of both sides each has its own line. Where the result holds them, further panels show the log-weights of chains,
    sorted, with effective chains along the path, log Z of the rungs, and how often neighbouring rungs swap. The title
    says whether the value is trusted. Raises InputError.
    """
    if not isinstance(result, Estimate | TwoSided | LadderEstimate):
        raise InputError(f"result must be what boltz.log_z returns, got {checks.brief(result)}.")
    values, ladder = _values(result)
    walks = {name: part for name, part in values.items() if len(part.log_weights)}
    drawn: list[tuple[Callable[[Axes, Any], None], Any]] = [(_intervals, values)]
    drawn += [(_log_weights, walks), (_effective, walks)] if walks else []
    drawn += [(_rungs, ladder), (_swaps, ladder)] if ladder is not None and not walks else []
    drawn += [(_swaps, ladder)] if ladder is not None and walks else []
    figure = blank((max(4.2 * len(drawn), 6.5), 4.4))
    for axes, (draw, what) in zip(figure.subplots(1, len(drawn), squeeze=False).ravel(), drawn, strict=True):
        draw(axes, what)
        axes.grid(alpha=0.3)
    estimate = result if isinstance(result, Estimate) else result.estimate
    trust = "trusted" if result.trusted else "NOT trusted"
    figure.suptitle(f"log Z {in_words(estimate)}, {trust}", fontsize=11)
    return figure


def plot_comparison(comparison: Any) -> Figure:
    """A figure of a boltz.Comparison: mean log-likelihoods and paired differences in nats a row, with 95 % intervals.

    The machine with the largest value is at the top. Below is each pair with its verdict, or, of more than 15 pairs,
    those of that machine. An interval without an end on one side has an arrow. Raises InputError.
    """
    if not all(hasattr(comparison, name) for name in ("models", "pairs", "ranking")):
        raise InputError(f"comparison must be a Comparison of boltz.compare, got {checks.brief(comparison)}.")
    shares, models = dict(comparison.ranking), sorted(comparison.models, key=lambda each: -each.log_likelihood.value)
    first = models[0].name
    pairs = [p for p in comparison.pairs if len(comparison.pairs) <= MOST_PAIRS or first in (p.first, p.second)]
    heights = [1.2 + 0.42 * len(models), 1.2 + 0.64 * len(pairs)][: 1 + bool(pairs)]
    figure = blank((12, sum(heights)))
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights).ravel()
    _machines(panels[0], [(model, shares[model.name]) for model in models])
    if pairs:
        few = len(pairs) < len(comparison.pairs)
        _differences(panels[1], pairs, f"with {cleaned(first)}" if few else "of every two machines")
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure


def blank(size: tuple[float, float]) -> Figure:
    """A figure without panels, so many inches wide and high."""
    figure = Picture(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _values(result: Any) -> tuple[dict[str, Estimate], LadderEstimate | None]:
    """What is drawn with an interval, by name, and the ladder if there is one."""
    if isinstance(result, Estimate):
        return {KINDS[result.kind]: result}, None
    if isinstance(result, LadderEstimate):
        return {"replica exchange": result.estimate}, result
    if result.ladder is None:
        return {KINDS[result.estimate.kind]: result.estimate}, None
    sides = {"annealing up": result.lower, "annealing down": result.upper, "replica exchange": result.ladder.estimate}
    return sides | {"all three": result.estimate}, result.ladder


def _intervals(axes: Axes, values: Mapping[str, Estimate]) -> None:
    """Values with their intervals, each on a line of its own."""
    for i, (name, part) in enumerate(values.items()):
        _bar(axes, i, part, _colour(i, name))
    named = [f"{name}\n{digits(part.value, part.standard_error)}{_trust(part)}" for name, part in values.items()]
    _lines(axes, named, "95 % interval (nats)")
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.tick_params(axis="x", labelrotation=30)


def _log_weights(axes: Axes, walks: Mapping[str, Estimate]) -> None:
    """The log-weights of all chains, sorted, beside the value of each walk."""
    for i, (name, part) in enumerate(walks.items()):
        rank = (np.arange(len(part.log_weights)) + 0.5) / len(part.log_weights)
        axes.plot(rank, np.sort(part.log_weights), ".", color=_colour(i, name), markersize=4, label=f"{name}, a chain")
        axes.axhline(part.value, color=_colour(i, name), linewidth=1.3, label=f"{name}, value")
    axes.ticklabel_format(axis="y", useOffset=False)
    _titled(axes, "log-weights of chains, sorted (nats)", "share of the chains")


def _effective(axes: Axes, walks: Mapping[str, Estimate]) -> None:
    """How many chains count along the path of each walk."""
    for i, (name, part) in enumerate(walks.items()):
        axes.plot(*part.path.T, color=_colour(i, name), linewidth=1.3, label=f"{name}, of {part.chains:,}")
    axes.set_ylim(0, 1.05 * max(part.chains for part in walks.values()))  # a line at the top stays in sight
    _titled(axes, "effective chains along the path", "inverse temperature")


def _rungs(axes: Axes, ladder: LadderEstimate) -> None:
    """log Z of every rung with two standard errors, of those that have one."""
    errors = np.where(np.isfinite(ladder.errors), ladder.errors, np.nan)
    axes.errorbar(ladder.places, ladder.log_z, 2 * errors, color="C0", marker=".", linewidth=1.3, ecolor="0.4")
    axes.set_title("log Z of the rungs (nats)", fontsize=10)
    axes.set_xlabel(_places(ladder))


def _swaps(axes: Axes, ladder: LadderEstimate) -> None:
    """How often neighbouring rungs swap, a bar from rung to rung."""
    axes.stairs(ladder.acceptance, ladder.places, fill=True, alpha=0.5, color="0.4")
    axes.plot(ladder.places, np.zeros(len(ladder.places)), "|", color="0.1", markersize=10)
    axes.set_ylim(0, 1)
    axes.set_title("probability that neighbouring rungs swap", fontsize=10)
    axes.set_xlabel(_places(ladder))


def _places(ladder: LadderEstimate) -> str:
    return "inverse temperature" if "temperatures" in ladder.estimate.method else "snapshots of training"


def _titled(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(label)
    axes.legend(fontsize=8)


def _machines(axes: Axes, models: Sequence[tuple[Any, float | None]]) -> None:
    """The mean log-likelihood of each machine, from the top, with the probability of being the best where known."""
    names = []
    for i, (model, share) in enumerate(models):
        _bar(axes, i, model.log_likelihood, "C0" if model.log_likelihood.trusted else UNSURE)
        best = "" if share is None or len(models) == 1 else f"\nthe best with probability {share:.2f}"
        names.append(f"{cleaned(model.name)}{_trust(model.log_likelihood)}{best}")
    _lines(axes, names, "mean log-likelihood with 95 % interval (nats a row)")
    kinds = dict.fromkeys(model.log_likelihood.kind for model, _ in models)
    marks = [Line2D([], [], color="0.3", linestyle="", marker=MARKERS[kind], label=KINDS[kind]) for kind in kinds]
    axes.legend(handles=marks, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))


def _differences(axes: Axes, pairs: Sequence[Any], which: str) -> None:
    """The difference of each pair with its interval, and the verdict on the right."""
    ends = [x for p in pairs for x in (p.difference, *p.interval, 0.0) if math.isfinite(x)]
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low) or 1.0
    axes.set_xlim(low - room, high + room)
    for i, pair in enumerate(pairs):
        colour = UNSURE if pair.verdict.startswith("not decided") else "C0"
        left, right = pair.interval
        near = max(left, low - 0.7 * room), min(right, high + 0.7 * room)
        _ends(axes, near, i, colour, [k for k, end in enumerate(pair.interval) if math.isfinite(end)])
        for end, limit, mark in ((left, near[0], "<"), (right, near[1], ">")):
            if math.isinf(end):
                axes.plot([limit], [i], color=colour, marker=mark, markersize=7, linestyle="")
        axes.plot([pair.difference], [i], color=colour, marker="o", markersize=5, linestyle="")
        axes.text(1.01, i, _wrapped(pair.verdict), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.axvline(0, color="0.2", linewidth=1)
    names = [f"{cleaned(pair.first)}\nless {cleaned(pair.second)}" for pair in pairs]
    _lines(axes, names, f"paired differences {which} with 95 % interval (nats a row)")


def _lines(axes: Axes, names: Sequence[str], title: str) -> None:
    """A line a name, from the top."""
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title(title, fontsize=10)


def _bar(axes: Axes, place: int, estimate: Estimate, colour: str) -> None:
    """One value with its interval, where it has one."""
    if all(math.isfinite(end) for end in estimate.interval):
        _ends(axes, estimate.interval, place, colour)
    axes.plot([estimate.value], [place], color=colour, marker=MARKERS[estimate.kind], markersize=5, linestyle="")


def _ends(axes: Axes, interval: tuple[float, float], place: int, colour: str, ends: Sequence[int] = (0, 1)) -> None:
    """An interval whose ends (0, 1) stand out above its marker, so that a short one is seen too."""
    bar: dict[str, Any] = {"color": colour, "linewidth": 2.0, "markersize": 14.0, "markeredgewidth": 1.5}
    axes.plot(interval, [place, place], marker="|", markevery=list(ends), **bar)


def _colour(place: int, name: str) -> str:
    return "0.1" if name == "all three" else f"C{place}"


def _trust(estimate: Estimate) -> str:
    return "" if estimate.trusted else " (NOT trusted)"


def _wrapped(text: str) -> str:
    """A sentence on few short lines."""
    lines = textwrap.wrap(shown(text), LONGEST_LINE, max_lines=MOST_LINES, placeholder=" ...")
    return "\n".join(cleaned(line, 2 * LONGEST_LINE) for line in lines)
