"""Annealed importance sampling of log Z (Neal 2001; Salakhutdinov & Murray 2008), forwards and in reverse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.estimators.bases import Base, chosen
from boltz.estimators.estimate import Estimate, from_annealed, interval, joined
from boltz.estimators.exact import exact_log_z, quick
from boltz.estimators.precision import wide_enough
from boltz.models.boltzmann import BoltzmannMachine, affordable_chains, checked_model
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.annealing import Chains, GibbsPath, Progress, anneal
from boltz.sampling.base_rate import widened
from boltz.targets import path_to

Array = NDArray[Any]
Floats = NDArray[np.float64]
LEAST_SECOND = 12  # chains of a second look
CONTRADICTION = 4.0  # errors that two runs may differ by
ROUNDING = 1e-6
MANY = 100  # temperatures of which a fifth is still an annealing


def ais(
    model: BoltzmannMachine,
    chains: int = 100,
    betas: Any = "sm2008",
    seed: int = 0,
    base: Any = None,
    resample: float = 0.0,
    progress: Progress | None = None,
) -> Estimate:
    """log Z in nats by annealed importance sampling; log_weights (chains,) has one weight a chain.

    The mean weight is an unbiased estimate of Z, so its log is a lower bound in expectation. betas as in schedule, base
    as in base_rates; unless it gives rates by layer, the base model is drawn to units of rate 1/2 as far as the
    temperatures afford it. resample > 0 makes it a population annealing (Del Moral, Doucet & Jasra 2006): chains are
    resampled whenever less than this share of them is effective. Trusted asks for 100 chains of which 30 % are
    effective, for every large mode that mean field finds to be met by chains, and for a value that a fifth of the
    temperatures, and wider base models, do not contradict. Results do not depend on the number of threads. Raises
    InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    chains = affordable_chains(model, chains)
    resample = checks.number(resample, "resample", 0.0, 1.0)
    checks.callback(progress, "progress", 2)
    with workers():  # for all that follows
        base_model, key = chosen(wide_enough(model), betas, seed, base)
        found = annealed_up(base_model, chains, key, resample, progress)
        doubts = _second_looks(found, base_model, key)
        return replace(found, doubts=joined(found.doubts, doubts)) if doubts else found


def exact_or_ais(
    model: BoltzmannMachine, chains: int = 100, betas: Any = "sm2008", seed: int = 0, progress: Progress | None = None
) -> Estimate:
    """log Z in nats by enumeration where the smaller colour class has at most 20 units, else as in ais."""
    return exact_log_z(model) if quick(model) else ais(model, chains, betas, seed, progress=progress)


def annealed_up(base: Base, chains: int, key: Key, resample: float = 0.0, progress: Progress | None = None) -> Estimate:
    """Annealing upwards from a base model, judged by its own chains and by the modes of the machine."""
    found, state = _annealed(base, chains, key, resample, progress)
    held = {n: state[n] for n in base.path.density.held}
    doubts = base.modes.unmet(held, found.log_weights, found.value, max(int(found.ess), 1))
    return replace(found, doubts=joined(found.doubts, doubts)) if doubts else found


def _annealed(
    base: Base, chains: int, key: Key, resample: float = 0.0, progress: Progress | None = None
) -> tuple[Estimate, Chains]:
    """The same, judged by its chains alone, and where they end."""
    state = base.path.density.sample_start(key, chains)
    walk = anneal(base.path, state, base.betas, key, resample, progress)
    method = f"annealed importance sampling, {base.steps} temperatures" + ", resampled" * (resample > 0)
    found = from_annealed(walk, base.path.density.start_log_z, base.steps, method)
    unseen = base.unseen(chains)
    if unseen:
        error = float(np.hypot(found.standard_error, unseen))
        found = replace(found, standard_error=error, interval=interval(found.value, error, chains))
    return found, state


def _second_looks(found: Estimate, base: Base, key: Key) -> tuple[str, ...]:
    """What a quarter of the chains over a few of the temperatures, and wider base models, say."""
    few = max(found.chains // 4, LEAST_SECOND)
    shorter, _ = _annealed(replace(base, betas=thinned(base.betas)), few, key.derive("shorter"))
    return joined(moved(shorter, found), missed(found, base, key))


def missed(found: Estimate, base: Base, key: Key) -> tuple[str, ...]:
    """What wider base models say against a value: the pilots, and for rates that the caller named a run from 1/2."""
    wider = list(base.pilots)
    if base.given and base.width < 1:  # nobody knows where the caller's rates come from
        machine = base.path.machine
        half = path_to(machine, widened({}, 1.0, machine), base.path.density.held[0] == machine.visible)
        wide = replace(base, path=GibbsPath(half), width=1.0)
        wider.append(_annealed(wide, max(found.chains // 2, LEAST_SECOND), key.derive("wide"))[0])
    return joined(*(below(found, other) for other in wider))


def thinned(betas: Floats) -> Floats:
    """Every fifth inverse temperature, or every second one of fewer than 100, and the last one."""
    return np.append(betas[: -1 : 5 if len(betas) > MANY else 2], betas[-1])


def moved(shorter: Estimate, longer: Estimate) -> tuple[str, ...]:
    """What annealing over fewer temperatures says against that over more, in words.

    Where few of its chains are effective, the mean and variance of its log-weights say more than their mean weight:
    they are normal where the chains keep up (Hendrix & Jarzynski 2001).
    """
    if shorter.chains < 2:
        return ()
    weights, sign = shorter.log_weights, 1 if shorter.kind == "lower" else -1
    variance, count = float(weights.var(ddof=1)), len(weights)
    normal = float(weights.mean()) + sign * variance / 2, np.sqrt(variance / count + variance**2 / (2 * count - 2))
    errors = []
    for value, error in ((shorter.value, shorter.standard_error), normal):
        allowed = float(np.hypot(error, longer.standard_error)) + ROUNDING * abs(longer.value)
        errors.append(abs(longer.value - value) / max(allowed, 1e-12))
    if min(errors) <= CONTRADICTION:
        return ()
    change = longer.value - shorter.value
    return (
        f"from {shorter.steps} to {longer.steps} temperatures the value moves by {change:+.2g} nats, "
        f"{min(errors):.1f} errors",
    )


def below(found: Estimate, wide: Estimate) -> tuple[str, ...]:
    """What annealing from a wider base model says against a value, in words: neither can be too large by much."""
    change = wide.value - found.value
    if change <= CONTRADICTION * float(np.hypot(wide.standard_error, found.standard_error)) + ROUNDING:
        return ()
    return (f"annealing from a wider base model gives {change:.2f} nats more: a mode was missed",)
