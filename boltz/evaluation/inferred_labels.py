"""The errors of the labels that the machine of a run infers, on rows that bring their labels along."""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz.data import Data
from boltz.data.dataset import known_in_full, only
from boltz.evaluation.label_errors import LabelErrors, cluster_errors, labelled_rows, taught_errors
from boltz.evaluation.label_names import names_of, was_taught
from boltz.evaluation.reading import loaded
from boltz.evaluation.rows import visible_rows
from boltz.evaluation.trained import Trained
from boltz.sampling.inferred import density_known

MOST = 10_000  # training rows that name clusters, evenly spaced, as files may be sorted by class
NO_DENSITY = (
    "There is no log-likelihood, since the prior of this machine is known by its draws alone and has no density."
)


def inferred_errors(found: Trained, data: Data, x: Any) -> LabelErrors | None:
    """The errors on rows x (rows, units) of data as the machine of a run sees them; None where it infers no labels,
    where the rows have none, or where nothing names clusters.

    Validation rows of the run name clusters, and some of its training rows where it has no others.
    """
    own = found.model.directed
    game = None if own is None else own.structure.game
    if game is None or not game.inferred or data.labels is None or data.known is not None:
        return None
    if was_taught(found.run):
        if not set(data.labels.tolist()) & set(names_of(found.run, game.labels)):
            return None  # the rows name their classes in another way
        return taught_errors(found, labelled_rows(found.model, x, data.labels))
    named = _naming(found)
    if named is None:
        return None
    what, others = named
    seen = visible_rows(others, found.run.setting("binarize"), 0, found.model)[0]
    known, validation = (labelled_rows(found.model, *pair) for pair in ((x, data.labels), (seen, others.labels)))
    return cluster_errors(known, validation, what)


def _naming(found: Trained) -> tuple[str, Data] | None:
    """The rows that name clusters, and what they are; None where the run has none with labels."""
    run = found.run
    if not run.data.load:
        return None
    if run.held_out.load:
        what, rows = "validation rows", loaded(run.held_out.load, "run.toml")
    else:
        what, rows = "training rows", loaded(run.data.load, "run.toml")
        rows = only(rows, np.linspace(0, len(rows.x) - 1, min(len(rows.x), MOST)).astype(np.int64))
    whole = known_in_full(rows)
    return None if whole is None or whole.labels is None else (what, whole)


def errors_alone(found: Trained, data: Data, x: Any) -> LabelErrors | None:
    """The same of a machine whose prior has no density, which has no log-likelihood; None for all other machines."""
    return None if density_known(found.model) else inferred_errors(found, data, x)
