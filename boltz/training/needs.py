"""Which settings do nothing without others, for the command line and for descriptions of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from boltz.training.objectives import OBJECTIVES

Values = Mapping[str, Any]
Needs = Mapping[str, tuple[str, Callable[[Values], bool]]]


def effective(settings: Values, needs: Needs) -> dict[str, Any]:
    """The settings that do something beside the others."""
    return {name: value for name, value in settings.items() if name not in needs or needs[name][1](settings)}


def _uses(name: str) -> tuple[str, Callable[[Values], bool]]:
    users = [objective for objective, entry in OBJECTIVES.items() if name in entry.uses]
    return f"--objective {' or '.join(users)}", lambda v: v["objective"] in users


ADAM = ("--optimizer adam", lambda v: v["optimizer"] == "adam")
MOMENTUM = ("--optimizer momentum or nesterov", lambda v: v["optimizer"] != "adam")
MEASURED = ("--evaluate", lambda v: v["evaluate"])
PRETRAINED = ("--pretrain-epochs above 0", lambda v: v["pretrain_epochs"] > 0)
TRAINED = ("--epochs above 0", lambda v: v["epochs"] > 0)
NEEDS: Needs = {
    "activation": ("deterministic layers (--widths)", lambda v: "latent" in v or bool(v.get("widths", True))),
    "decay_epochs": ("--schedule inverse", lambda v: v["schedule"] == "inverse"),
    **dict.fromkeys(("momentum", "initial_momentum", "momentum_epochs"), MOMENTUM),
    **dict.fromkeys(("adam_beta1", "adam_epsilon", "adam_second"), ADAM),
    "validation": ("--patience above 0", lambda v: v["patience"] > 0),
    "chains": ("--rule pcd or ptt", lambda v: v["rule"] != "cd"),
    "rungs": ("--rule ptt", lambda v: v["rule"] == "ptt"),
    "sparsity_target": ("--sparsity-cost above 0", lambda v: v["sparsity_cost"] > 0),
    "center_rate": ("--center or --sparsity-cost above 0", lambda v: v["center"] or v["sparsity_cost"] > 0),
    **dict.fromkeys(("pretrain", "pretrain_learning_rate", "pretrain_k"), PRETRAINED),
    **dict.fromkeys(("k", "learning_rate"), TRAINED),
    **dict.fromkeys(("evaluation_samples", "betas", "chains_ais"), MEASURED),
    **{name: _uses(name) for name in ("groups", "alpha", "beta", "sleep_share")},
}  # setting -> the option that it does nothing without, and whether that is so
