"""Kernels compiled before the clock runs: a small machine of the same kind is trained and measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from boltz.estimators.ais import ais
from boltz.models.adversarial import aae
from boltz.models.autoregressive import made, nade, pixelcnn
from boltz.models.builders import dbm, dbn, rbm, sbn, vae
from boltz.models.files import Model
from boltz.models.wiring import boltzmann, multimodal
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.directed_settings import DirectedSettings
from boltz.training.loop import WORTH
from boltz.training.settings import Common
from boltz.training.train import train

COMPILE_SECONDS = 3.0
SIDE = 64  # rows, units and chains that are enough for every kernel
TRACTABLE = ("nade", "made", "pixelcnn")
SMALL: dict[str, Callable[[], Model]] = {
    "rbm": lambda: rbm(SIDE, SIDE),
    "dbm": lambda: dbm([SIDE] * 3),
    "bm": lambda: boltzmann(SIDE, SIDE),
    "multimodal": lambda: multimodal({"a": SIDE // 2, "b": SIDE // 2}, {"a": [SIDE], "b": [SIDE]}, SIDE),
    "dbn": lambda: dbn([SIDE] * 3),
    "sbn": lambda: sbn([SIDE] * 3),
    "vae": lambda: vae([SIDE] * 3, 2),
    "vlae": lambda: vae([SIDE] * 3, 2, activation="elu", decoder="pixelcnn", prior="flow"),
    "aae": lambda: aae([SIDE] * 3, 2),
    "nade": lambda: nade(SIDE, SIDE),
    "made": lambda: made(SIDE, [SIDE]),
    "pixelcnn": lambda: pixelcnn(SIDE),
}


def warm_up(kind: str, settings: Common, device: str, tell: Callable[[str], object]) -> None:
    """Train and measure a small machine, so that kernels are compiled before the clock of the large one runs.

    kind: rbm, dbm, bm, multimodal, dbn, sbn or vae. Kernels of the CPU say themselves that they are compiled; of those
    of a GPU tell hears if it takes long.
    """
    tiny: dict[str, Any] = {name: getattr(settings, name) for name in ("optimizer", "rule") if hasattr(settings, name)}
    if isinstance(settings, DirectedSettings):
        tiny |= {} if kind in TRACTABLE else {"objective": settings.objective, "samples": 2}
    elif not isinstance(settings, AdversarialSettings):
        tiny |= {"chains": SIDE} | ({"pretrain_epochs": 1} if kind in ("dbm", "multimodal", "dbn") else {})
    timer = threading.Timer(COMPILE_SECONDS, tell, ["compiling kernels of the GPU (first use)"])
    if device != "cpu":
        timer.start()
    try:
        rows = np.full((SIDE * WORTH, SIDE), 0.5, np.float32)  # steps enough for a program of them
        run = train(SMALL[kind]().to(device), rows, epochs=1, batch_size=SIDE, **tiny)
        machine = run.model.undirected
        if machine is not None:
            ais(machine, chains=SIDE, betas=2)
    finally:
        timer.cancel()
