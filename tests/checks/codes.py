"""Codes of directed machines against sums over all hidden states: what they cost, and draws of rows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from support import stats

import boltz

Floats = NDArray[np.float64]
ROW = np.array([[1.0, 0.0, 1.0]])
DRAWS = 20_000


def net() -> Any:
    """A sigmoid belief net 3-2 with weights of ordinary size."""
    machine, rng = boltz.sbn([3, 2]).astype(np.float64), np.random.default_rng(3)
    machine.arena[...] = rng.normal(0, 1.5, machine.arena.size)
    return machine


def laws(machine: Any) -> tuple[Floats, Floats, Floats]:
    """q(h | row) and p(h) of the four hidden states, and p(v | h) of these and of all eight rows."""
    h = np.array([[a, b] for a in (0, 1) for b in (0, 1)], float)
    v = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], float)

    def of(logits: Floats, states: Floats) -> Floats:
        p = 1 / (1 + np.exp(-logits))
        return np.asarray(np.prod(np.where(states == 1, p, 1 - p), axis=-1))

    up = ROW @ machine.params["recognition/h1/0/weight"] + machine.params["recognition/h1/0/bias"]
    down = h @ machine.params["generative/v/0/weight"] + machine.params["generative/v/0/bias"]
    return of(up, h), of(machine.params["prior/bias"], h), of(down[:, None], v[None])


def check_code_lengths() -> None:
    """Catches terms with their signs exchanged, sums over rows in the place of means, and bits that are nats.

    The log-ratio of one draw is bounded, so that the error of the mean is that of its variance under q.
    """
    machine = net()
    q, p, _ = laws(machine)
    ratio = np.log(q / p)
    truth, variance = float(q @ ratio), float(q @ ratio**2 - (q @ ratio) ** 2)
    assert stats.detectable_mean(DRAWS, 0.3, variance)
    (found,) = boltz.code_lengths(machine, np.repeat(ROW, 2, axis=0), samples=DRAWS // 2, seed=1)
    p_value = stats.ratio_test(found.nats, truth, np.sqrt(variance / DRAWS), DRAWS)
    stats.accept(p_value, "the code of a layer does not cost its KL term")
    assert found.layer == "h1" and abs(found.bits - found.nats / np.log(2)) < 1e-12
    (other,) = boltz.code_lengths(machine, np.repeat(ROW, 2, axis=0), samples=DRAWS // 2, seed=1)
    assert other == found


def check_decompress() -> None:
    """Catches draws from means of the hidden units, and one draw of the hidden units for all draws of a row."""
    machine = net()
    q, _, given = laws(machine)
    p = q @ given
    of_means = given[np.argmax(q)]
    assert stats.detectable_chi_square(DRAWS, p, of_means)
    found = boltz.decompress(machine, np.repeat(ROW, 2, axis=0), draws=DRAWS // 2, seed=2)
    assert found.shape == (2, DRAWS // 2, 3)
    counts = np.bincount((found.reshape(-1, 3) @ [4, 2, 1]).astype(int), minlength=8)
    stats.accept(stats.chi_square(counts, p), "draws of a row do not come from what its hidden units keep")
