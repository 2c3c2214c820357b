"""What an autoencoder makes of rows: codes, reconstructions, and how far these are from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boltz.evaluation.rows import Seen, chunks
from boltz.models.files import visible_rows
from boltz.networks.network import Network
from boltz.networks.predict import encode, losses_again, reconstruct
from boltz.plotting import images
from boltz.plotting.machines import greys_of
from boltz.storage.tables import Table, written

WRITES = ("codes.npy", "reconstructions.png")
PICTURED = 20


def measured(network: Network, seen: Seen, folder: Path) -> dict[str, Any]:
    """Encode rows into codes.npy, draw some beside their reconstructions, and return the mean errors a row."""
    rows, units = seen.rows, network.net.sizes[network.code]
    squares, entropies = [], []
    with written(folder / "codes.npy", Table("codes", (len(rows), units), network.dtype, ())) as write:
        for place in chunks(len(rows), rows.data.x.shape[1]):
            x = rows.seen(place)
            write(encode(network, x))
            back = reconstruct(network, x)
            squares.append(np.sum((back - x) ** 2, axis=1, dtype=np.float64))
            if network.net.functions[-1] == "sigmoid":
                entropies.append(losses_again(network, visible_rows(network, x)))
    x = rows.seen(slice(0, min(len(rows), PICTURED)))
    greys = greys_of(network, x)
    parts = {"row": greys.of(x), "again": greys.of(reconstruct(network, x))}
    title = f"rows of {rows.data.name}, each above its reconstruction from {units} numbers"
    images.save(images.stacked_tiles(parts, rows.data.shape, title), folder / "reconstructions.png")
    return {**rows.about, "code": units, "squared_error": _mean(squares), "cross_entropy": _mean(entropies)}


def _mean(parts: Sequence[Any]) -> dict[str, float] | None:
    """Mean and standard error of values (rows,), None where there are none."""
    if not parts:
        return None
    values = np.concatenate(parts)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"value": float(values.mean()), "standard_error": spread / len(values) ** 0.5}
