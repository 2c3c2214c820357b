"""log p(v) of single rows by annealing over the hidden units with v clamped (Neal 2001; Wu, Burda, Salakhutdinov &
Grosse 2017), and its sandwich on simulated data, bidirectional Monte Carlo (Grosse, Ancha & Roy 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.closed_forms import PRODUCT
from boltz.estimators.estimate import Estimate, joint_interval
from boltz.estimators.likelihood import log_marginal, of_rows, undirected_log_z
from boltz.estimators.marginals import marginal_of
from boltz.estimators.weight_means import mean_and_error
from boltz.estimators.words import TRUSTED_CHAINS
from boltz.models.files import Model, checked_machine, visible_rows
from boltz.parallel import alone
from boltz.rng import Key
from boltz.sampling.annealing import Chains, Path, Progress, anneal
from boltz.sampling.hmc import StepSizes, hamiltonian_path, tuned
from boltz.sampling.temperatures import schedule

Array = NDArray[Any]
Floats = NDArray[np.float64]
TOGETHER, PILOT_ROWS = 2048, 64  # chains in memory at a time, and rows of the run that tunes step sizes


@dataclass(frozen=True)
class Plan:
    """How the posterior of each row is annealed: chains a row, temperatures from 0 to 1, key, progress."""

    model: Model
    chains: int
    betas: Floats
    key: Key
    progress: Progress | None = None
    sizes: StepSizes = field(default_factory=StepSizes)

    @property
    def steps(self) -> int:
        """Number of temperatures."""
        return len(self.betas) - 1

    @property
    def method(self) -> str:
        """What was done, in words."""
        return f"posterior annealing, {self.chains} chains a row, {self.steps} temperatures"

    def start(self, rows: Array, first: int) -> tuple[Path, Chains]:
        """The path of some rows, the first of them being number first, and exact draws at its start."""
        return marginal_of(self.model).annealed(self.model, rows, self.chains, first, self.key, self.sizes)


@dataclass(frozen=True, eq=False)
class PosteriorSandwich:
    """Bounds in expectation on the mean log p(v) of simulated rows, in nats, their mean gap and its standard error."""

    lower: Estimate
    upper: Estimate
    gap: float
    gap_error: float


def posterior_ais(
    model: Model,
    x: Any,
    chains: int = 10,
    betas: Any = 500,
    log_z: Estimate | float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Mean log-likelihood of visible rows x (rows, units) in nats, by annealing the hidden units of each row.

    Chains go from q(h | v) (mean field, recognition model) to p(v, h): block Gibbs for a Boltzmann machine, scans of
    single units for binary hidden layers, Hamiltonian Monte Carlo for Gaussian ones. The mean weight of a row's chains
    is unbiased for p*(v), so that its log is a lower bound in expectation; an RBM is exact. betas: a number of uniform
    steps, or values that rise from 0 to 1; log_z is as in boltz.log_likelihood. per_row has one value a row; trusted
    asks for at least 200 chains a row, of which 30 % are effective in 95 % of the rows. Results do not depend on the
    number of threads. Raises InputError, and NumericalError for an overflow.
    """
    plan, seed = _plan(model, chains, betas, seed, progress)
    x = visible_rows(plan.model, x)
    partition = undirected_log_z(plan.model, log_z, seed)
    if plan.model.independent_hidden:
        return of_rows(plan.model, x, _exact(plan.model, x), 0, ("exact", _how(plan.model)), partition)
    found = mean_and_error(_log_weights(_tuned(plan, x), x))
    return of_rows(plan.model, x, found, plan.chains, ("lower", plan.method), partition)


def posterior_sandwich(
    model: Model,
    rows: int = 100,
    chains: int = 10,
    betas: Any = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> PosteriorSandwich:
    """Lower and upper bounds on log p(v) of rows that the machine itself simulates, in nats.

    Each row comes with an exact draw of its hidden units, from which annealing runs back to q: the mean of those
    weights is unbiased for 1 / p*(v), so that minus its log is an upper bound in expectation. The gap tells how far
    posterior_ais may be off on such rows. A Boltzmann machine, and the RBM on top of a deep belief net, must have at
    most 20 units in the smaller colour class. Chains of a row share their start, so errors of the upper bound and of
    the gap are those of means over rows, and trusted asks for at least 100 rows. Raises InputError, and NumericalError
    for an overflow.
    """
    plan, seed = _plan(model, chains, betas, seed, progress)
    rows, key = checks.integer(rows, "rows", 1, 2**31), plan.key.derive("simulated")
    state = marginal_of(plan.model).simulated(plan.model, rows, key)
    x = np.concatenate([state.pop(layer.name) for layer in plan.model.visible_layers], axis=1)
    partition = undirected_log_z(plan.model, None, seed)
    if plan.model.independent_hidden:
        found = of_rows(plan.model, x, _exact(plan.model, x), 0, ("exact", _how(plan.model)), partition)
        return PosteriorSandwich(found, found, 0.0, 0.0)
    plan = _tuned(plan, x)
    up = mean_and_error(_log_weights(replace(plan, progress=_share(progress, 0, 2)), x))
    lower = of_rows(plan.model, x, up, plan.chains, ("lower", plan.method), partition)
    down = mean_and_error(_log_weights(replace(plan, progress=_share(progress, 1, 2)), x, state)) * [-1, 1, 1, -1]
    upper = of_rows(plan.model, x, down, plan.chains, ("upper", "reverse " + plan.method), partition)
    gaps = down[:, 0] - up[:, 0]
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else float("inf")
    reach = joint_interval(upper.value, (error, len(gaps)), (upper.standard_error_rows, len(gaps)))
    few = () if len(gaps) >= TRUSTED_CHAINS else (f"{len(gaps)} rows were simulated, fewer than {TRUSTED_CHAINS}",)
    upper = replace(upper, standard_error=error, interval=reach, doubts=few)
    return PosteriorSandwich(lower, upper, float(gaps.mean()), error)


def _plan(model: Any, chains: Any, betas: Any, seed: Any, progress: Progress | None) -> tuple[Plan, int]:
    model = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    seed = checks.seed(seed)
    chains = checks.integer(chains, "chains", 1, 2**31)
    checks.callback(progress, "progress", 2)
    kinds = {layer.kind for layer in model.hidden_layers}
    if model.directed is not None and len(kinds) > 1:
        raise InputError(
            f"model must have hidden layers of one kind to be annealed, got {' and '.join(sorted(kinds))} ones."
        )
    return Plan(model, chains, schedule(betas), Key.from_seed(seed).derive("posterior"), progress), seed


def _how(model: Model) -> str:
    """How a machine is exact without annealing."""
    return "free energy" if model.hidden_layers else PRODUCT


def _exact(model: Model, x: Array) -> Floats:
    return log_marginal(model, x, 0, 0)[0]


def _tuned(plan: Plan, x: Array) -> Plan:
    """The plan with step sizes fitted on one chain for each of at most 64 rows, where there are any."""
    model = plan.model.directed
    if model is None or model.binary_hidden:
        return plan
    some, key = x[:: -(-len(x) // PILOT_ROWS)], plan.key.derive("pilot")
    return replace(plan, sizes=alone(lambda: tuned(*hamiltonian_path(model, some, 1, 0, key), key, plan.steps)))


def _log_weights(plan: Plan, x: Array, hidden: Chains | None = None) -> Floats:
    """Log-weights (rows, chains) of a walk up to the posterior, or down from hidden states (rows, units) drawn from it.

    Rows are taken in groups, so that memory does not grow with their number.
    """
    if len(x) * plan.chains >= 2**32:
        raise InputError(f"rows times chains must be below 2^32, got {len(x):,} x {plan.chains:,}.")
    size = max(1, TOGETHER // plan.chains)
    groups = [slice(a, min(a + size, len(x))) for a in range(0, len(x), size)]
    found = []
    for i, rows in enumerate(groups):
        path, state = alone(lambda rows=rows: plan.start(x[rows], rows.start))  # type: ignore[misc]
        betas, key = plan.betas, plan.key.derive("up")
        if hidden is not None:
            state = {layer: np.repeat(hidden[layer][rows], plan.chains, axis=0) for layer in state}
            path, key = path.reversed(), plan.key.derive("down")
            betas = np.concatenate([[1.0], betas[::-1]])  # the first step only moves, at the posterior itself
        walk = anneal(path, state, betas, key, progress=_share(plan.progress, i, len(groups), hidden is not None))
        found.append(walk.log_weights.reshape(-1, plan.chains))
    return np.concatenate(found)


def _share(progress: Progress | None, group: int, groups: int, extra: int = 0) -> Progress | None:
    """The progress of one group as part of all of them, but for some extra steps at its start."""
    if progress is None:
        return None
    tell = progress
    return lambda done, steps: tell(group * (steps - extra) + done - extra, groups * (steps - extra))
