"""Which base model an annealing starts from: as wide as its temperatures afford, and one that meets all modes.

A narrow base model gives little variance, but chains from it may miss a mode together and agree. Units of rate 1/2 are
the widest one. In 0/1 coordinates biases point into one mode, so they are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.estimators.estimate import Estimate, from_annealed
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal
from boltz.sampling.base_rate import base_rates, pilot_rates, widened
from boltz.sampling.modes import Modes, search
from boltz.sampling.temperatures import adaptive, adaptive_steps, schedule
from boltz.targets import path_to

Floats = NDArray[np.float64]
WIDTHS = (1.0, 0.5, 0.0)
PILOT_CHAINS, PILOT_SHARE, LEAST_PILOT = 64, 0.04, 100
EFFECTIVE = 0.7  # share of chains that the pilot of a wide base model must foretell


@dataclass(frozen=True, eq=False)
class Base:
    """A path from a base model, its inverse temperatures (steps + 1,), the modes of the machine, and how wide it is.

    width is 1 for units of rate 1/2 and 0 for rates that were given or found; given says that the caller named them.
    pilots are short annealings from wider base models, which were not taken.
    """

    path: GibbsPath
    betas: Floats
    modes: Modes
    width: float
    given: bool = False
    pilots: tuple[Estimate, ...] = ()

    @property
    def steps(self) -> int:
        """Number of temperatures."""
        return len(self.betas) - 1

    def unseen(self, chains: int) -> float:
        """Error in nats by what so many chains may all have missed: a mode of a share of 1 / chains.

        Chains from units of rate 1/2 are so different that their weights tell of it; those from a narrow model may
        agree much better than that.
        """
        return 0.0 if self.width == 1 else 1 / chains


def chosen(
    model: BoltzmannMachine,
    betas: Any,
    seed: Any,
    base: Any,
    held_visible: bool = False,
    modes: Modes | None = None,
) -> tuple[Base, Key]:
    """The base model for an annealing, and the key of its random numbers; raises InputError.

    betas as in schedule, or "adaptive[:N]"; base as in base_rates: rates by layer are taken as they are, others are
    drawn to 1/2 as far as a pilot foretells that 70 % of the chains stay effective and that they meet all modes. modes
    are those of the machine, where they are known already.
    """
    seed = checks.seed(seed)
    key, known = Key.from_seed(seed).derive("ais"), base is not None or bool(model.rates)
    rates = base_rates(model, base, seed) if known else {}
    steps = adaptive_steps(betas)
    values = schedule(betas) if steps is None else None
    modes, pilots = search(model, key, rates) if modes is None else modes, []
    for width in WIDTHS if not isinstance(base, Mapping) else (0.0,):
        if width < 1 and not rates:
            rates = pilot_rates(model, seed, modes)
        path = GibbsPath(path_to(model, widened(rates, width, model), held_visible))
        if width == 0:
            break
        pilot, fine = _piloted(path, values, steps, modes, key.derive("width", str(width)))
        if fine:
            break
        pilots.append(pilot)
    if values is None:
        assert steps is not None
        values = adaptive(path, steps, key.derive("adaptive"))
    alone = widened({}, 1.0, model)
    if isinstance(base, Mapping) and all((rate == alone[n]).all() for n, rate in rates.items()):
        width = 1.0
    return Base(path, values, modes, width, isinstance(base, Mapping), tuple(pilots)), key


def _piloted(
    path: GibbsPath, values: Floats | None, steps: int | None, modes: Modes, key: Key
) -> tuple[Estimate, bool]:
    """A pilot, and whether the variance of its log-weights, which falls as steps grow, promises effective chains.

    It must also meet the modes.
    """
    total = steps or (len(values) - 1 if values is not None else 1)
    count = min(max(LEAST_PILOT, round(PILOT_SHARE * total)), total)
    betas = np.linspace(0, 1, count + 1)
    if values is not None:
        betas = np.interp(np.linspace(0, total, count + 1), np.arange(total + 1), values)
    state = path.density.sample_start(key, PILOT_CHAINS)
    walk = anneal(path, state, betas, key)
    found = from_annealed(walk, path.density.start_log_z, count, "pilot")
    effective = np.exp(-float(walk.log_weights.var(ddof=1)) * count / total) >= EFFECTIVE
    held = {n: state[n] for n in path.density.held}
    return found, bool(effective) and not modes.unmet(held, walk.log_weights, found.value)
