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
from boltz.nn.arena import Tape
from boltz.nn.factors import Place
from boltz.nn.labelled import Labelled
from boltz.rng import Key
from boltz.sampling.inferred import coded
from boltz.training.game_measures import prior_draws

Array = NDArray[Any]
Floats = NDArray[np.float64]
PROPOSAL_ROWS, PRIOR_DRAWS = 500, 2000
STEP, LEAST_VARIANCE = 1e-2, 1e-6
KEY = Key.from_seed(0).derive("proposal")


def with_proposal(machine: HelmholtzMachine, rows: Array, held_out: Array) -> HelmholtzMachine:
    """A copy of the machine with the spreads that its game leaves out, fitted to rows (rows, units); those of visible
    units to held-out rows where there are any.
    """
    found, game = replace(machine, arena=machine.arena.copy()), machine.structure.game
    assert game is not None
    last = len(machine.structure.widths[0])
    if machine.layers[0].kind == "gaussian":
        found.params[f"generative/{machine.visible}/{last}/bias"][machine.columns :] = _residuals(
            found, held_out if len(held_out) else rows
        )
    if game.encoder != "gaussian":
        layer = machine.hidden_layers[0]
        found.params[f"recognition/{layer.name}/{last}/bias"][layer.units :] = _spreads(found, rows)
    return found


def _residuals(machine: HelmholtzMachine, rows: Array) -> Floats:
    """Logs of the root mean squared residuals of the decoder at codes, (units,)."""
    outputs = _outputs(machine, *_coded(machine, rows))[:, : machine.columns]
    variance = np.square(host(rows).astype(np.float64) - outputs).mean(axis=0)
    return 0.5 * np.log(np.maximum(variance, LEAST_VARIANCE))


def _spreads(machine: HelmholtzMachine, rows: Array) -> Floats:
    """Logs of the standard deviations of the proposal, (units,)."""
    code, shares = _coded(machine, rows)
    prior = prior_draws(machine, PRIOR_DRAWS, KEY).astype(np.float64).var(axis=0)
    precision = 1 / np.maximum(prior, LEAST_VARIANCE)
    outputs, units = _outputs(machine, code, shares), machine.columns
    if machine.layers[0].kind == "gaussian":
        weight = np.exp(-2 * outputs[:, units:])
    else:
        weight = expit(outputs) * expit(-outputs)
    for unit in range(code.shape[1]):
        moved = code.copy()
        moved[:, unit] += STEP
        slope = (_outputs(machine, moved, shares)[:, :units] - outputs[:, :units]) / STEP
        precision[unit] += float((weight * np.square(slope)).sum(axis=1).mean())
    return -0.5 * np.log(precision)


def _coded(machine: HelmholtzMachine, rows: Array) -> tuple[Array, Array | None]:
    """Codes (rows, units), and the shares of labels that the decoder hears with them, if any."""
    coder, tape = coded(machine, rows, KEY)
    shares = coder.given_shares(tape, np.full(len(rows), -1))
    return coder.codes(tape, len(rows)).copy(), None if shares is None else shares.copy()


def _outputs(machine: HelmholtzMachine, code: Array, shares: Array | None) -> Floats:
    """Outputs (rows, outputs) of the decoder with their bias."""
    name, part = f"generative/{machine.visible}", Tape(machine.arena).whole(len(code))
    net, factor, source = machine.structure.generative[machine.visible], machine.factors[machine.visible], "code"
    part.get(source, code.shape[1])[...] = code
    if isinstance(factor, Labelled):
        assert shares is not None
        source = factor.hear(Place(name, machine.params, part, source), shares)
    value, _ = net.forward(name, machine.params, source, part)
    return host(value).astype(np.float64) + host(net.bias(name, machine.params))
