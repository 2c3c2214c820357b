"""RAISE: conservative log-likelihoods by annealing from each data row down to the base-rate model.

Burda, Grosse & Salakhutdinov 2015, "Accurate and conservative estimates of MRF log-likelihood using reverse annealing".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import beside, host
from boltz.estimators.ais import LEAST_SECOND, moved, thinned
from boltz.estimators.bases import Base, chosen
from boltz.estimators.estimate import Estimate, Kind, error_of_rows, from_annealed, joined, joint_interval
from boltz.estimators.exact import drawn_class
from boltz.estimators.likelihood import NOT_STATES, error_of_mean, few_samples
from boltz.estimators.precision import wide_enough
from boltz.estimators.weight_means import mean_and_error
from boltz.models.boltzmann import BoltzmannMachine, State, affordable_chains, checked_model
from boltz.models.files import log_units, visible_rows
from boltz.nn.arena import zeros
from boltz.numerics import log_mean_exp
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, Progress, anneal
from boltz.sampling.base_rate import held_states
from boltz.sampling.meanfield import mean_field
from boltz.units.states import inside

Array = NDArray[Any]
Floats = NDArray[np.float64]
AT_ONCE, ROOM = 1 << 13, 1e-6  # chains that are in memory together; how far q stays off 0 and 1


def raise_likelihood(
    model: BoltzmannMachine, x: Any, chains: int = 10, betas: Any = 1000, seed: int = 0, base: Any = None
) -> Estimate:
    """Mean log-likelihood of visible rows x (rows, units) in nats without any log Z, with one value a row in per_row.

    So many chains start at each row and are annealed down to the base-rate model, whose log Z is known. Their mean
    weight is an unbiased estimate of the row's probability under the annealing model, the law of where an annealing run
    of these temperatures ends, so that its log is a lower bound in expectation for that model: usually the worse one.
    It certifies nothing of the machine itself, and kind is "none". log_weights (rows, chains); betas as in schedule,
    base as in base_rates; trusted as in log_likelihood. Results do not depend on the number of threads.
    Raises InputError, and NumericalError for an overflow.
    """
    base_model, key = chosen(checked_model(model, any_units=True), betas, seed, base, held_visible=True)
    path, values = base_model.path, base_model.betas
    chains, x = checks.integer(chains, "chains", 1, 2**31), visible_rows(model, x)
    size = max(1, AT_ONCE // chains)
    parts = [x[i : i + size] for i in range(0, len(x), size)]
    log_w = np.concatenate(
        [reverse_weights(path, part, chains, values, key.derive("raise", i)) for i, part in enumerate(parts)]
    )
    grey = path.machine.layers[0].binary and not ((x == 0) | (x == 1)).all()
    return _estimate(log_w - log_units(path.machine), len(values) - 1, grey)


def reverse_weights(path: GibbsPath, rows: Array, chains: int, betas: Floats, key: Key) -> Floats:
    """Log-weights (rows, chains), whose means are unbiased for the rows' probabilities under the annealing model.

    The path must hold the visible class. Its layers above v start from their mean-field posterior q and are weighed by
    1 / q.
    """
    state, log_q = _start(path, rows, chains, key)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow shows in the estimate
        log_w = host(path.log_density(state, 1.0, 0) - log_q)
    downwards = np.concatenate([[1.0], betas[::-1]])  # the first step only moves, at the machine itself
    log_w += anneal(path.reversed(), state, downwards, key).log_weights
    return (log_w - path.density.start_log_z).reshape(len(rows), chains)


def _start(path: GibbsPath, rows: Array, chains: int, key: Key) -> tuple[dict[str, Array], Floats]:
    """States of so many chains a row, row by row, and log q (rows * chains,) of the held layers above v."""
    machine, held = path.machine, path.density.held
    count, visible = len(rows) * chains, machine.graph.visible
    state = {n: machine.zeros(count, n) for n in machine.graph.units}
    state[visible][...] = np.repeat(rows, chains, axis=0)
    log_q = zeros(state[visible])
    above = [layer for layer in held if layer != visible]
    means = mean_field(machine, rows) if above else {}
    for layer in above:
        kind = machine.unit_type(layer)
        field = beside(kind.natural(inside(kind, means[layer].astype(np.float64), ROOM)), rows)
        q = np.repeat(kind.mean(field).astype(machine.dtype), chains, axis=0)
        kind.draw(q, key.derive("q", layer).stream(0), 0, state[layer])
        log_q += np.sum(state[layer] * np.repeat(field, chains, axis=0), axis=1)
        log_q -= np.repeat(kind.total_log_partition(field), chains) + kind.base_energy(state[layer])
    return state, log_q


def _estimate(log_w: Floats, steps: int, grey: bool) -> Estimate:
    """The mean of log mean weights (rows, chains); grey rows are no states of binary units, and never trusted."""
    rows, chains = log_w.shape
    values, errors, share, _ = mean_and_error(log_w).T
    effective = np.exp(2 * values - log_mean_exp(2 * log_w, 1))  # share of a row's chains, however heavy their tail
    value, error, of_all = float(values.mean()), error_of_mean(errors, share), error_of_rows(values, errors)
    return Estimate(
        value,
        error,
        joint_interval(value, (error, rows * chains), (of_all, rows)),
        "none",
        float(effective.mean() * chains),
        chains,
        steps,
        joined(few_samples(share, chains), NOT_STATES if grey else ()),
        log_w,
        values,
        f"RAISE: conservative, a lower bound for the annealing model of {steps} temperatures"
        + "; rows that are not 0/1" * grey,
        standard_error_rows=of_all,
    )


def reverse_ais(
    model: BoltzmannMachine,
    start: State | None = None,
    chains: int = 100,
    betas: Any = "sm2008",
    seed: int = 0,
    base: Any = None,
    exact_start: bool = False,
    progress: Progress | None = None,
) -> Estimate:
    """log Z in nats by annealing from samples of the machine down to the base-rate model.

    The mean weight is then an unbiased estimate of 1 / Z, so that minus its log is an upper bound in expectation
    (Grosse, Ancha & Roy 2016, section 3): if the samples are exact. They are where start is None, which enumerates at
    most 20 units, and where the caller says so by exact_start. Samples of long or tempered chains give a diagnostic:
    kind "none". start: states of at least the smaller colour class, (chains, units) a layer, whose number then
    counts in place of chains. betas and base as in ais. Trusted asks for 100 chains of which 30 % are effective, and
    that a fifth of the temperatures gives no other value. Raises InputError.
    """
    model = checked_model(model, any_units=True, any_views=True)
    chains, exact_start = affordable_chains(model, chains), checks.flag(exact_start, "exact_start")
    checks.callback(progress, "progress", 2)
    base_model, key = chosen(wide_enough(model), betas, seed, base)
    state = _target_states(base_model.path, start, chains, seed)
    few = {n: x[: max(len(x) // 4, LEAST_SECOND)].copy() for n, x in state.items()}
    certified = start is None or exact_start
    found = annealed_down(base_model, state, key, certified, progress)
    shorter = annealed_down(replace(base_model, betas=thinned(base_model.betas)), few, key.derive("shorter"), certified)
    return replace(found, doubts=joined(found.doubts, moved(shorter, found)))


def annealed_down(
    base: Base, state: dict[str, Array], key: Key, certified: bool, progress: Progress | None = None
) -> Estimate:
    """Annealing downwards to a base model from states of the machine, which it moves."""
    downwards = np.concatenate([[1.0], base.betas[::-1]])  # the first step only moves, at the target itself
    walk = anneal(base.path.reversed(), state, downwards, key.derive("reverse"), progress=progress)
    method = f"reverse annealing, {base.steps} temperatures" + ("" if certified else " (diagnostic)")
    kind: Kind = "upper" if certified else "none"
    return from_annealed(walk, base.path.density.start_log_z, base.steps, method, kind)


def _target_states(path: GibbsPath, start: State | None, chains: int, seed: int) -> dict[str, Array]:
    """The start of a reverse run: exact draws where none is given."""
    if start is None:
        start = drawn_class(path.machine, chains, seed)
    return held_states(path, start)
