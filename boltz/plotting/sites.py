"""Pictures of visible units as sites of a sequence: couplings of their pairs, and what single changes do."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.couplings import Couplings
from boltz.plotting.images import cleaned, new_figure, whole_ticks

Floats = NDArray[np.float64]


def plot_couplings(found: Couplings) -> Figure:
    """A figure of the scores of all pairs of sites as boltz.couplings gives them; sites count from 0.

    Raises InputError.
    """
    checks.instance(found, "found", Couplings)
    figure, axes = new_figure("coupling of two sites (score in nats)")
    _shades(figure, axes, found.scores)
    axes.set_xlabel("site")
    axes.set_ylabel("site")
    return figure


def plot_mutations(scores: Any, alphabet: str | None = None) -> Figure:
    """A figure of mutation scores (sites, states) as boltz.mutation_scores gives them: more probable is red.

    alphabet: a letter for each state, that of code 0 first, to stand beside its line. Raises InputError.
    """
    values = checks.array(scores, "scores", (None, None), np.float64)
    if values.size == 0:
        raise InputError(f"scores must hold at least one site and one state, got shape {values.shape}.")
    if alphabet is not None and not (isinstance(alphabet, str) and len(alphabet) == values.shape[1]):
        raise InputError(
            f"alphabet must be text with a letter for each of {values.shape[1]} states, got {checks.brief(alphabet)}."
        )
    figure, axes = new_figure("log p(mutant) - log p(sequence) (nats)", (9, 5))
    _shades(figure, axes, values.T)
    axes.set_aspect("auto")
    axes.set_xlabel("site")
    axes.set_ylabel("state")
    if alphabet is not None:
        axes.set_yticks(range(len(alphabet)), [cleaned(letter) for letter in alphabet], fontsize=8)
    return figure


def _shades(figure: Figure, axes: Axes, values: Floats) -> None:
    """A matrix of numbers on both sides of 0."""
    reach = float(np.abs(values).max()) or 1.0
    image = axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    whole_ticks(axes)
    figure.colorbar(image, ax=axes, shrink=0.8)
