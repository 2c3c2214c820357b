"""Training in tests that say all that matters themselves."""

from __future__ import annotations

from typing import Any

import boltz
from boltz.training.stages import kind_of_settings, settings_of


def plain_train(model: Any, x: Any, *where: Any, **named: Any) -> boltz.Run:
    """boltz.train where what a test does not name is as in the class of settings, not as boltz.presets has it.

    Without epochs the presets hold, as for every caller.
    """
    if "epochs" not in named:
        return boltz.train(model, x, *where, **named)
    plan = model.plan
    known = kind_of_settings(plan).__dataclass_fields__
    told = {name: value for name, value in named.items() if name in known}
    once = {"samples": 1} if "objective" in told and "samples" in known else {}
    others = {name: value for name, value in named.items() if name not in known}
    return boltz.train(model, x, *where, **others, **settings_of(plan, once | told).as_dict())
