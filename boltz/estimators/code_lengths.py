"""What the hidden layers of a directed machine cost: their KL terms, in nats and in bits a row."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError
from boltz.models.files import Model, checked_machine, visible_rows
from boltz.nn.arena import Tape
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.recognition import sampled


@dataclass(frozen=True)
class CodeLength:
    """The KL term of a hidden layer, the mean over rows of log q(h | v) - log p(h | above) in nats; bits say the same.

    standard_error is that of rows and samples together (nats).
    """

    layer: str
    nats: float
    standard_error: float

    @property
    def bits(self) -> float:
        """The same in bits."""
        return self.nats / log(2)

    def __str__(self) -> str:
        return f"{self.layer} costs {self.nats:.2f} +- {self.standard_error:.2f} nats ({self.bits:.1f} bits) a row"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"layer": self.layer, "nats": self.nats, "bits": self.bits, "standard_error": self.standard_error}


def code_lengths(model: Model, x: Any, samples: int = 10, seed: int = 0) -> list[CodeLength]:
    """What each drawn hidden layer of a directed machine costs for visible rows x (rows, units), lowest layer first.

    It is the mean of log q - log p of the layer over so many samples a row: the nats that a sender spends on the layer
    with bits back (Chen et al. 2017, section 2.1). Raises InputError.
    """
    machine = checked_machine(model, any_factors=True).directed
    if machine is None or not machine.structure.latent or machine.undirected is not None:
        raise InputError("model must be a directed machine with hidden units, such as an sbn or a vae.")
    x, key = visible_rows(machine, x), Key.from_seed(checks.seed(seed)).derive("code")
    samples = checks.integer(samples, "samples", 1, 10**6)
    with workers(machine.arena) as pool:
        passes = sampled(machine, Tape(machine.arena), x, samples, (key, 0), pool)
    found = []
    for layer in machine.structure.latent:
        rows = np.concatenate([host(each.kl(layer.name)).reshape(-1, samples).mean(axis=1) for each in passes])
        error = rows.std(ddof=1) / sqrt(len(rows)) if len(rows) > 1 else float("inf")
        found.append(CodeLength(layer.name, float(rows.mean()), float(error)))
    return found
