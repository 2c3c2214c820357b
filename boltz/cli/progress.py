"""Progress of the commands, on the one bar that there is, and kernels compiled before the clock runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from boltz.cli.common import say
from boltz.progress import Progress

if TYPE_CHECKING:
    from boltz.training.settings import Common

__all__ = ["Progress", "compile_kernels"]
COMPILE_SECONDS = 3.0
SIDE = 64  # rows, units and chains that are enough for every kernel
TWO = {"layers": ((SIDE, SIDE),)}
TINY: dict[str, dict[str, Any]] = {
    "rbm": {"layers": ((SIDE,),)},
    "dbm": TWO,
    "dbn": TWO,
    "sbn": TWO,
    "vae": TWO | {"latent": (2,)},
}


def compile_kernels(kind: str, settings: Common, device: str = "cpu") -> None:
    """Train and measure a small machine, so that kernels are compiled before the clock of the large one runs.

    Those of the CPU say so themselves; the compiling for a GPU is announced here if it takes long.
    """
    import numpy as np

    import boltz
    from boltz.cli.machines import MACHINES

    tiny: dict[str, Any] = {name: getattr(settings, name) for name in ("optimizer", "rule") if hasattr(settings, name)}
    if hasattr(settings, "objective"):
        tiny |= {"objective": settings.objective, "samples": 2}
    else:
        tiny |= {"chains": SIDE} | ({"pretrain_epochs": 1} if kind in ("dbm", "dbn") else {})
    timer = threading.Timer(COMPILE_SECONDS, say, ["compiling kernels of the GPU (first use)"])
    if device != "cpu":
        timer.start()
    try:
        rows = np.full((SIDE, SIDE), 0.5, np.float32)
        shape = {**MACHINES[kind].shape, **TINY[kind]}
        model = MACHINES[kind].build(SIDE, shape, None, 0).to(device)
        run = boltz.train(model, rows, epochs=1, batch_size=SIDE, **tiny)
        machine = run.model.undirected
        if machine is not None:
            boltz.ais(machine, chains=SIDE, betas=2)
    finally:
        timer.cancel()
