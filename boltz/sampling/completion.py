"""Pattern completion: unknown visible units given known ones, drawn or as means, and the posterior that goes along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.errors import InputError, NumericalError
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import Model, checked_machine, outside
from boltz.models.views import views_of
from boltz.parallel import FEWEST, shares, workers
from boltz.rng import Key
from boltz.sampling import clamped
from boltz.sampling.drawing import drawing_of
from boltz.sampling.evidence import Evidence, evidence_of
from boltz.sampling.gibbs import repeat
from boltz.sampling.inference import inference_of
from boltz.units.onehot import by_codes, codes_of

Array = NDArray[Any]
SWEEPS = {"mean": 1000, "mean-field": clamped.SWEEPS, "sample": 1000}


def complete(
    model: Model, x: Any, mask: Any = None, method: str = "mean", sweeps: int | None = None, seed: int = 0
) -> Any:
    """Fill in the unknown entries of visible rows x (rows, units); the known ones come back as they are.

    Of a machine of several visible layers x holds arrays by view, and so does what comes back; a view that x lacks is
    unknown: boltz.complete(model, {"image": rows})["text"] is the text given images.

    mask (rows, units) or (units,) is True where a unit is known; without one, NaN in x, which only floats can hold and
    no levels divide, marks what is missing. What stands at an unknown entry is never looked at. Method:

    - "sample": one draw from p(unknown | known) by a chain for each row: block Gibbs with the known units clamped, or
      Metropolis within Gibbs for a HelmholtzMachine (Mattei & Frellsen 2018).
    - "mean": the mean over the second half of the sweeps of the same chains. Each visible mean given the hidden layers
      counts instead of a draw.
    - "mean-field": the fixed point of hidden layers and unknown units of a BoltzmannMachine (Salakhutdinov & Hinton
      2009, section 2.2), from base rates. It draws nothing, so that seed means nothing to it.

    Categorical units given as codes come back as codes from "sample", and else as the probabilities of their states
    (rows, units times states). sweeps is 1,000 by default, 100 for mean field. Rows do not depend on each other. Raises
    InputError, and NumericalError for an overflow.
    """
    model = checked_machine(model, any_units=True, any_graph=True)
    method = checks.choice(method, "method", SWEEPS)
    if method == "mean-field" and model.directed is not None:
        raise InputError("method must be mean or sample for a HelmholtzMachine: mean-field is for BoltzmannMachines.")
    sweeps = checks.integer(SWEEPS[method] if sweeps is None else sweeps, "sweeps", 1, checks.MOST_STEPS)
    seed = checks.seed(seed)
    evidence = evidence_of(model, x, mask)
    found = arrays.host(outside(model, completed(model, evidence, method, sweeps, seed)))
    if len(model.visible_layers) > 1:
        machine: Any = model
        return _by_view(machine, found, evidence, x, method)
    layer = model.layers[0]
    if by_codes(x, layer) and method == "sample":
        return codes_of(found, layer.columns)
    if layer.kind == "gaussian":  # the way there and back rounds what is known
        given = scale.divided(scale.table(arrays.host(x), "x", model.layers[0].units), model.levels)
        np.copyto(found, given, where=arrays.host(evidence.known), casting="same_kind")
    return found


def _by_view(model: BoltzmannMachine, rows: Array, evidence: Evidence, x: Any, method: str) -> dict[str, Array]:
    """Completed rows by view: categorical ones as codes where they were drawn, and were not given as columns. Known
    Gaussian ones are as they were given, to the last bit.
    """
    found = model.graph.split(rows)
    given = x if isinstance(x, Mapping) else views_of(model.graph, x, "x")
    for layer in model.layers[: len(found)]:
        if layer.kind == "gaussian" and layer.name in given:
            known = arrays.host(evidence.known)[:, model.graph.columns[layer.name]]
            mine = scale.table(arrays.host(given[layer.name]), "x", layer.units)
            np.copyto(found[layer.name], mine, where=known, casting="same_kind")
        columns = isinstance(x, Mapping) and layer.name in x and not by_codes(x[layer.name], layer)
        if layer.columns > 1 and method == "sample" and isinstance(x, Mapping) and not columns:
            found[layer.name] = codes_of(found[layer.name], layer.columns)
    return found


def completed(
    model: Model, evidence: Evidence, method: str = "mean", sweeps: int = SWEEPS["mean"], seed: int = 0
) -> Array:
    """The rows of evidence with their unknown entries filled in, where the model lives; raises NumericalError."""
    whole = evidence.padded(FEWEST)
    if method == "mean-field":
        machine = checked_model(model, any_units=True, any_graph=True)
        filled = machine.rows(clamped.posterior(machine, whole, sweeps))
    else:
        filled = _by_chains(model, whole, sweeps, Key.from_seed(seed).derive("complete"), method == "mean")
    if not np.isfinite(filled).all():
        raise NumericalError("The completed units are not finite: the weights are too large for their type.")
    return filled[: len(evidence)]


def _by_chains(model: Model, evidence: Evidence, sweeps: int, key: Key, mean: bool) -> Array:
    """Rows with their unknown entries drawn by chains, or at the means over the second half of the sweeps."""
    filled, half, start = evidence.rows.copy(), sweeps // 2, drawing_of(model).clamped(model, evidence, sweeps, key)

    def run(block: slice) -> None:
        chains = start(block)
        repeat(chains.sweep, range(half), model.arena)
        if not mean:
            repeat(chains.sweep, range(half, sweeps), model.arena)
            filled[block] = chains.visible
            return
        total = np.zeros_like(chains.visible, dtype=np.float64)

        def count(step: Any) -> None:
            np.add(total, chains.sweep(step), out=total)

        repeat(count, range(half, sweeps), model.arena)
        filled[block] = total / (sweeps - half)

    with workers(model.arena) as pool:
        pool.map(run, shares(len(evidence), model.arena))
    evidence.restore(filled)
    return filled


def filled(model: Model, evidence: Evidence) -> Array:
    """The rows (rows, units) of evidence with their unknown units at means given the known ones, where the model lives.

    Those of a Boltzmann machine are the mean-field fixed point of unknown and hidden units; a Helmholtz machine goes up
    by the means of its recognition model and down again by those of its generative model, many times.
    """
    lacking = ~np.all(evidence.known, axis=1)
    if not lacking.any():
        return evidence.rows
    some, found = Evidence(evidence.rows[lacking], evidence.known[lacking]), evidence.rows.copy()
    many = some.padded(FEWEST)
    found[lacking] = inference_of(model).filled(model, many)[: len(some)]
    return found
