"""Spreads that a game does not learn: of Gaussian visible units, and of the proposal around codes.

An encoder without noise gives points, not a density. Estimators of log p(v) need one that is wide where the posterior
is: a Gaussian around the code, whose precisions are those of the prior plus the mean Fisher information of the decoder
about each unit (the Gauss-Newton form of a Laplace approximation; MacKay 2003, section 27). Whatever its spread, it
leaves lower bounds lower bounds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from boltz.arrays import host
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.labelled import Labelled
from boltz.rng import Key
from boltz.sampling.inferred import coded, decoded
from boltz.training.game_measures import prior_draws

Array = NDArray[Any]
Floats = NDArray[np.float64]
PROPOSAL_ROWS, PRIOR_DRAWS = 500, 2000
STEP, LEAST_VARIANCE, ENOUGH = 1e-2, 1e-6, 100  # rows that residuals are told by
LEAST_RESIDUAL = 1e-3  # share of the variance of a unit
KEY = Key.from_seed(0).derive("proposal")


def with_proposal(machine: HelmholtzMachine, rows: Array, held_out: Array) -> HelmholtzMachine:
    """A copy of the machine with the spreads that its game leaves out, fitted to rows (rows, units).

    Those of visible units are fitted to held-out rows where there are at least 100, else to all rows. Units that are
    constant in the data keep a spread of 1, as in other machines, since nothing is learnt of them.
    """
    found, game = replace(machine, arena=machine.arena.copy()), machine.structure.game
    assert game is not None
    last = len(machine.structure.widths[0])
    if machine.layers[0].kind == "gaussian":
        judges = held_out if len(held_out) >= ENOUGH else np.concatenate([rows, held_out])
        bias = found.params[f"generative/{machine.visible}/{last}/bias"]
        bias[machine.columns :] = _residuals(found, judges)
    if game.encoder != "gaussian":
        layer = machine.hidden_layers[0]
        found.params[f"recognition/{layer.name}/{last}/bias"][layer.units :] = _spreads(found, rows)
    return found


def _residuals(machine: HelmholtzMachine, rows: Array) -> Floats:
    """Logs of the root mean squared residuals of the decoder at codes, (units,)."""
    outputs = decoded(machine, *_coded(machine, rows))[:, : machine.columns]
    variance = np.square(host(rows).astype(np.float64) - outputs).mean(axis=0)
    found = 0.5 * np.log(np.maximum(variance, LEAST_RESIDUAL))
    return found if machine.scaling is None else np.where(machine.scaling.constant, 0.0, found)


def _spreads(machine: HelmholtzMachine, rows: Array) -> Floats:
    """Logs of the standard deviations of the proposal, (units,)."""
    code, shares = _coded(machine, rows)
    prior = prior_draws(machine, PRIOR_DRAWS, KEY).astype(np.float64).var(axis=0)
    precision = 1 / np.maximum(prior, LEAST_VARIANCE)
    outputs, units = decoded(machine, code, shares), machine.columns
    if machine.layers[0].kind == "gaussian":
        weight = np.exp(-2 * outputs[:, units:])
    else:
        weight = expit(outputs) * expit(-outputs)
    for unit in range(code.shape[1]):
        moved = code.copy()
        moved[:, unit] += STEP
        slope = (decoded(machine, moved, shares)[:, :units] - outputs[:, :units]) / STEP
        precision[unit] += float((weight * np.square(slope)).sum(axis=1).mean())
    return -0.5 * np.log(precision)


def _coded(machine: HelmholtzMachine, rows: Array) -> tuple[Array, Array | None]:
    """Codes (rows, units), and the shares of labels that the decoder hears with them, if any: those inferred, or all of
    the label that the row itself tells most of.
    """
    coder, tape = coded(machine, rows, KEY)
    code, factor = coder.codes(tape, len(rows)).copy(), machine.factors[machine.visible]
    if coder.game.inferred:
        return code, coder.shares(tape, len(rows)).copy()
    if not isinstance(factor, Labelled):
        return code, None
    found = factor.each(coder.place(f"generative/{machine.visible}", tape.whole(len(rows))), rows)
    return code, factor.one_hot(found.argmax(axis=1), len(rows))
