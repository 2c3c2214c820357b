"""Whether a machine has learnt anything beyond independent units, as a finding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside
from boltz.diagnostics.findings import Finding
from boltz.estimators.simple_models import better
from boltz.models.files import Model
from boltz.models.products import COMPONENTS, NOTHING
from boltz.rng import Key
from boltz.training.learnt import ROWS, standing

Array = NDArray[Any]
SMALLER = "train it with a smaller learning_rate, from the start."
LONGER = "train it for more updates: more epochs, or smaller batches."
BY_HEART = "if it is better on its training rows, it has learnt those by heart."
FAR = 5  # times what chance may make of a quick look


def learnt(model: Model, x: Array, seed: int) -> Finding | None:
    """How the machine stands beside independent units on rows x (rows, units), as it sees them; None if not binary.

    Independent units have the rates of these very rows, which lets them fit 1/2 a parameter a row too well; this is
    allowed for.
    """
    few = x[:: -(-len(x) // ROWS)]
    found = standing(model, x, beside(few, model.arena), Key.from_seed(seed).derive("learnt"))
    if found is None:
        return None
    change, something = found.own - found.alone, found.something
    fair, nothing = change + x.shape[1] / (2 * len(x)), NOTHING * found.gain if something else -found.least
    far = better(change).replace(" ", " nats a row ") if np.isfinite(change) else "beyond all measure worse"
    start = f"On these rows the machine is {far} than independent units"
    mixture = f"a mixture of {COMPONENTS} products is {better(found.gain)} than them"
    if not fair >= -max(found.gain, FAR * found.least):
        return Finding("learnt", "bad", change, f"{start}; {mixture}.", SMALLER)
    if fair <= nothing:
        sentence = f"{start}, so that it has learnt nothing of use for them; {mixture}."
        return Finding("learnt", "attention", change, sentence, f"{LONGER} I{BY_HEART[1:]}" if something else BY_HEART)
    end = "" if something else ", so that there may be nothing to learn"
    return Finding("learnt", "fine", change, f"{start}; {mixture}{end}.")
