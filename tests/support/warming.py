"""Calls that compile most kernels: those of chains in single precision, and those of nets and of double precision."""

from __future__ import annotations

import numpy as np
from support.training import plain_train

import boltz

ROWS = np.tile(np.eye(9, dtype=np.float32), (9, 1))


def chains() -> None:
    """A program of chains, and the steps of a training."""
    machine = boltz.rbm(9, 4)
    boltz.ais(machine, 40, 20)
    plain_train(machine, ROWS, epochs=3, batch_size=9, chains=20)


def nets() -> None:
    """Steps in double and in single precision, and a program of nets."""
    plain_train(boltz.rbm(9, 4).astype(np.float64), ROWS, epochs=1, batch_size=20, chains=20)
    boltz.ais(boltz.rbm(9, 4).astype(np.float64), 40, 20)
    machine = boltz.vae([9, [6]], [3])
    plain_train(machine.astype(np.float64), ROWS, epochs=1, batch_size=20)
    plain_train(machine, ROWS, epochs=1, batch_size=20)
    plain_train(machine, ROWS, epochs=3, batch_size=9)
