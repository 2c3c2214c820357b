"""What a training starts from: its arguments read, and the machine in the units of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data import Data
from boltz.data.row_weights import checked_weights
from boltz.errors import InputError
from boltz.models.adversarial import hold_spreads
from boltz.models.builders import scaled, views_scaled
from boltz.models.files import Model
from boltz.presets import LayerKinds, completed
from boltz.training.description import with_levels_of
from boltz.training.game_labels import labels_for
from boltz.training.minutes import Plan, Time, minutes_of, named_length, planned
from boltz.training.pathways import doubles
from boltz.training.settings import PREDICTING, AnySettings
from boltz.training.stages import settings_of, stages
from boltz.training.view_rows import rows_for


@dataclass(frozen=True)
class Begun:
    """What a training starts from, once all arguments are read: the machine with the levels of the data, these, the
    held-out rows, the settings, and the plan where it has one.
    """

    model: Model
    data: Data
    held_out: Data | None
    settings: AnySettings
    plan: Plan | None


def begun(
    model: Model,
    x: Any,
    held_out: Any,
    settings: dict[str, Any],
    minutes: Any,
    weights: Any = None,
    labels: Any = None,
) -> Begun:
    """The arguments of a training, read; raises InputError."""
    settings_of(model.plan, settings)  # what is wrong with them is said before rows are read
    given = minutes if isinstance(minutes, Plan) else None
    if minutes is not None and given is None:
        minutes_of(minutes)
        if name := named_length(model.kind, settings):
            raise InputError(f"minutes choose {name}, so name one of both; {name}=0 leaves the stage out.")
    if given is not None and settings:
        raise InputError(f"minutes is a plan, which has all settings, so name no {next(iter(settings))} beside it.")
    data = rows_for(model, x, "x", missing=True)
    _check_rule(data, settings.get("rule") if given is None else getattr(given.settings, "rule", None))
    data = data if weights is None else replace(data, weights=checked_weights(weights, len(data.x)))
    data = replace(data, labels=labels_for(model, labels, data))
    model = with_levels_of(model, data)
    others = None if held_out is None else rows_for(model, held_out, "held_out", missing=False)
    if given is not None:
        if given.settings.validation and others is not None:
            raise InputError("minutes is a plan that holds out some of the rows, so give no held_out beside it.")
        stages(model.plan, given.settings)
        return Begun(model, data, others, given.settings, given)
    kinds = [layer.kind for layer in model.layers] if model.directed is None else []
    views = model.visible_layers
    shape = len(data.x), sum(layer.units // layer.columns for layer in views)
    units = LayerKinds(kinds, len(views))
    if len(views) > 1 and model.undirected is not None and not doubles(model.undirected.graph):
        settings = {"pretrain": "bottom", **settings}
    named = completed(model.plan.kind, settings, shape, others is not None, bool(model.rates), units)
    chosen = settings_of(model.plan, named)
    if minutes is None:
        return Begun(model, data, others, chosen, None)
    free = others is None and not {"patience", "validation"} & set(settings)
    given = planned(started(model, data), (data, others), chosen, Time.of(minutes), free)
    return Begun(model, data, others, given.settings, given)


def _check_rule(data: Data, rule: Any) -> None:
    """Raise InputError for a rule that would take its own draws for what is to be predicted."""
    if data.known is not None and rule == PREDICTING:
        raise InputError(
            f"rule must not be {PREDICTING} where rows have unknown entries, as x ({data.source}) has: it predicts "
            "known units alone; take rule pcd."
        )


def started(model: Model, data: Data) -> Model:
    """A copy of the machine to train, in the units of the data if it has Gaussian visible units and knows none yet."""
    found = replace(model, arena=model.arena.copy(), rates={})
    if found.directed is not None and found.directed.structure.game is not None:
        hold_spreads(found.directed)  # those that an earlier game was measured with
    if len(found.visible_layers) > 1:
        machine: Any = found
        return found if found.scaling is not None else views_scaled(machine, data.x, data.known)
    if found.layers[0].kind != "gaussian" or found.scaling is not None:
        return found
    some = np.arange(0, len(data.x), -(-len(data.x) // checks.INITIAL_ROWS))
    known = None if data.known is None else data.known[some]
    return scaled(found, data.x[some] / (data.levels or 1), known)


def game_labels(model: Model, data: Data) -> NDArray[np.int64]:
    """The labels that a game is played with, none for other machines."""
    game = None if model.directed is None else model.directed.structure.game
    return np.zeros(0, np.int64) if game is None or data.labels is None else data.labels
