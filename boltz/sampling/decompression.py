"""Decompression: what the hidden units of a directed machine keep of a row, seen in draws of the row from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host, numbers
from boltz.errors import InputError
from boltz.models.files import Model, checked_machine, outside, visible_rows
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.recognition import draw, encode, streams

Array = NDArray[Any]


def decompress(model: Model, x: Any, draws: int = 1, seed: int = 0) -> Array:
    """Draws (rows, draws, units) of visible rows x (rows, units) given what the lowest hidden layer keeps of them.

    Recognition draws the hidden units of a row once for each draw, and the visible units are drawn given these (Chen et
    al. 2017, figure 1). What all draws of a row share is what the code holds; what differs was left to the visible
    units themselves. Gaussian visible units are in the units of the data. Raises InputError.
    """
    machine = checked_machine(model, any_factors=True).directed
    if machine is None or not machine.structure.latent or machine.undirected is not None:
        raise InputError("model must be a directed machine with hidden units, such as an sbn or a vae.")
    x, seed = visible_rows(machine, x), checks.seed(seed)
    draws = checks.integer(draws, "draws", 1, 10**6)
    checks.affordable(draws, "draws", 4 * machine.dtype.itemsize * len(x) * sum(machine.units.values()))
    found = np.empty_like(x, shape=(len(x) * draws, x.shape[1]))
    key = Key.from_seed(seed).derive("decompress")
    with workers(machine.arena) as pool:
        pool.map(lambda rows: _block(machine, x, rows, draws, key, found), blocks(len(x), like=machine.arena))
    return host(outside(machine, found)).reshape(len(x), draws, -1)


def _block(machine: HelmholtzMachine, x: Array, rows: slice, draws: int, key: Key, found: Array) -> None:
    """Fill the draws of some rows."""
    part = Tape(machine.arena).whole(rows.stop - rows.start)
    part.get(f"state/{machine.visible}", x.shape[1])[...] = x[rows]
    encoded, _ = encode(machine, part)
    chains = numbers(rows.start * draws, rows.stop * draws, x)
    draw(machine, part, encoded, draws, streams(machine, key, 0), chains)
    state, place = (
        found[rows.start * draws : rows.stop * draws],
        machine.place(*machine.structure.chain[0], part.times(draws)),
    )
    machine.factors[machine.visible].draw(place, state, key.derive("visible").stream(0), chains)
