"""Checks of defaults that help texts print."""

from __future__ import annotations

from typing import Any

import numpy as np

import boltz
from boltz.cli.machines import MACHINES
from boltz.presets import LACKS, ONLY

TRAINED: dict[str, Any] = {
    "rbm": lambda: boltz.rbm(6, 3),
    "dbm": lambda: boltz.dbm([6, 3, 2]),
    "bm": lambda: boltz.boltzmann(6, 3),
    "multimodal": lambda: boltz.multimodal({"a": 4, "b": 2}, {"a": [3], "b": [2]}, 2),
    "dbn": lambda: boltz.dbn([6, 3, 2]),
    "sbn": lambda: boltz.sbn([6, 3]),
    "vae": lambda: boltz.vae([6, 3], 2),
    "aae": lambda: boltz.aae([6, 3], 2),
}
ROWS_SAY = {"epochs", "pretrain_epochs", "batch_size", "learning_rate", "pretrain_learning_rate", "patience"}


def check_defaults_of_help(model: str = "multimodal") -> None:
    """The default of each option of a machine is that of a training in Python, which has its own way to it.

    Catches a default that is printed for one kind of machine and is that of another.
    """
    x = np.random.default_rng(8).integers(0, 2, (40, 6)).astype(np.float32)
    had = boltz.train(TRAINED[model](), x, watch=lambda record: True).settings.as_dict()
    printed = {name: value for name, value in MACHINES[model].options.items() if name in had and value is not None}
    assert printed == {name: had[name] for name in printed}
    assert had.keys() - printed.keys() <= ROWS_SAY | {"validation", "samples", *LACKS.get(model, ())}
    for name, values in ONLY.get(model, {}).items():  # of settings, and of the shape of the machine
        assert (had | dict(MACHINES[model].shape))[name] in values
