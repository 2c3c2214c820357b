"""log Z by replica exchange: Bennett's acceptance ratio between the rungs of a ladder, copies giving the error.

A ladder is fitted to the machine first: 30 % of its rungs follow the rejections of swaps, so that replicas pass
everywhere, the others the friction, so that work goes where chains are slow (see estimators.temperatures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from boltz import checks, html
from boltz.arrays import beside, host
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, OfLogZ, interval
from boltz.estimators.precision import wide_enough
from boltz.estimators.words import in_words, table_lines
from boltz.models.boltzmann import BoltzmannMachine, affordable_chains, checked_model
from boltz.models.files import states_outside
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.annealing import Progress
from boltz.sampling.convergence import integrated_time, nested_rhat
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladder_fitting import BURN, COPIES, SWEEPS, fitted_ladder
from boltz.sampling.ladders import At, Temperatures
from boltz.sampling.modes import search
from boltz.sampling.replica_exchange import Exchanged, Replicas, exchange, replicas_of
from boltz.sampling.states import States

Array = NDArray[Any]
Floats = NDArray[np.float64]
HALVINGS, STEPS, TOLERANCE = 100, 100, 1e-12
NEAR = 1.0  # nats; from farther away Newton's method is slow where there is little overlap
TRUSTED_COPIES, TRUSTED_TRAVELLED, TRUSTED_TRIPS = 30, 0.5, 8.0
LEAST_ACCEPTANCE, AGREEMENT, LONGEST_MEMORY = 0.02, 2.5, 0.35
HALVES, MOST_RHAT = 3.5, 1.1
DIRECTION_STATES = 4  # states of each copy that the leading direction is found from


@dataclass(frozen=True, eq=False)
class LadderEstimate(OfLogZ):
    """log Z of the machine and of every rung of a ladder, in nats, with what the exchange says of itself.

    - places (rungs,): inverse temperatures, between whose ends biases may be bent so that chains are quick; or places
      along a trajectory, whose first member is at 1, the independent units before it at 0.
    - log_z, errors (rungs,): log Z of each rung, and its standard error.
    - acceptance (pairs,): mean probability that neighbours swap.
    - trips (copies,): journeys from the first rung to the last and back.
    - halves: log Z by the first half of the rounds less that by the second.
    - samples: states of the last rung, (chains, units) for each layer that the exchange holds.
    - memory: correlation over copies between what both halves say of log Z; near 0 where copies forget in time.
    """

    places: Floats
    log_z: Floats
    errors: Floats
    acceptance: Floats
    trips: NDArray[np.int64]
    halves: float
    samples: dict[str, Array]
    memory: float = 0.0

    @property
    def words(self) -> str:
        """Rungs, copies and journeys, and what makes the estimate doubtful."""
        estimate, kinds = self.estimate, "temperatures" if "temperatures" in self.estimate.method else "machines"
        made = f"{estimate.ess:.0f} of them made the journey"
        told = f"{len(self.places)} {kinds}, {estimate.chains} copies, {made}"
        return told if estimate.trusted else f"{told}: NOT trusted, since " + " and ".join(self.doubts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the samples; None for what is not finite."""
        return {
            "estimate": self.estimate.as_dict(),
            "places": self.places.tolist(),
            "log_z": plain(self.log_z),
            "errors": plain(self.errors),
            "acceptance": plain(self.acceptance),
            "trips": self.trips.tolist(),
            "halves": float(self.halves),
            "memory": float(self.memory),
            "doubts": list(self.doubts),
        }

    def __str__(self) -> str:
        return "\n".join(ladder_lines("log Z", self))

    def __repr__(self) -> str:
        trust = "trusted" if self.trusted else "NOT trusted"
        return f"LadderEstimate(log Z {in_words(self.estimate)}, {trust}, {len(self.places)} rungs)"

    def _repr_html_(self) -> str:
        swaps = f"{self.acceptance.min():.2f} to {self.acceptance.max():.2f}" if len(self.acceptance) else "none"
        more = [("rungs", len(self.places)), ("swaps accepted", swaps), ("round trips", int(self.trips.sum()))]
        return html.table([*table_lines(self.estimate), *more], caption="log Z by replica exchange")


def ladder_lines(name: str, found: LadderEstimate) -> list[str]:
    """What replica exchange says of log Z, called by a name, in two lines."""
    trust = "trusted" if found.trusted else "NOT trusted, nor is its interval"
    return [f"{name} {in_words(found.estimate)}, {trust}", f"no bound: replica exchange, {found.words}"]


def plain(values: Any) -> list[float | None]:
    """Numbers for JSON, None for what is not finite."""
    return [float(x) if np.isfinite(x) else None for x in values]


def exchange_log_z(
    model: BoltzmannMachine,
    trajectory: Sequence[BoltzmannMachine] = (),
    copies: int = COPIES,
    rounds: int = 1000,
    seed: int = 0,
    base: Any = None,
    progress: Progress | None = None,
) -> LadderEstimate:
    """log Z by replica exchange over inverse temperatures, or along a trajectory of machines that ends with the model.

    trajectory: snapshots of a training run in order (boltz.trajectory). Each becomes a rung; between those that are too
    far apart, straight paths of parameters are put in. base as in base_rates. The first third of the rounds is burn-in.
    Half of the copies start at the first rung. The others start at the machine, from all sources of boltz.sample and
    from the modes that mean field finds. The value is no bound. Raises InputError.

    It is trusted if all of this holds:

    - There are 30 copies, and half of them made the journey from the first rung to the last and back.
    - There were eight journeys a copy.
    - All neighbours swap.
    - Both halves of the run agree, and both halves of the copies.
    - Copies forget where they were within half of the run.
    - The large modes of mean field were met.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    copies = checks.integer(copies, "copies", 2, 2**20)
    rounds = checks.integer(rounds, "rounds", 20, checks.MOST_STEPS)
    seed = checks.seed(seed)
    checks.callback(progress, "progress", 2)
    key = Key.from_seed(seed).derive("exchange")
    if not checks.sequence(trajectory, "trajectory"):
        model = wide_enough(model)
    replicas = started(model, trajectory, copies, base, seed, key)
    burn = round(BURN * rounds)
    direction = settle(replicas, burn)
    found = exchange(replicas, rounds - burn, max(1, -(-100 // copies)), progress, direction)
    return estimated(replicas, found)


def started(
    model: BoltzmannMachine, trajectory: Sequence[BoltzmannMachine], copies: int, base: Any, seed: int, key: Key
) -> Replicas:
    """Replicas on a fitted ladder, and the modes of the machine; raises InputError."""
    ladder = fitted_ladder(model, trajectory, base, seed)
    return replicas_of(ladder, copies, SWEEPS, key, search(model, key.derive("search"), model.rates))


def settle(replicas: Replicas, rounds: int) -> dict[str, Array]:
    """Burn-in of so many rounds; returns the leading principal direction of the states at its end, layer -> (units,).

    The states are those of the last rung in the later half, of copies that started apart.
    """
    exchange(replicas, rounds - rounds // 2, keep=0)
    samples = exchange(replicas, rounds // 2, keep=min(DIRECTION_STATES, rounds // 2)).samples
    x = np.concatenate([samples[n].astype(np.float64) for n in replicas.ladder.held], axis=1)
    with workers():  # BLAS in one thread, whose sums do not depend on the others
        _, _, vectors = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    edges = np.cumsum([samples[n].shape[1] for n in replicas.ladder.held])[:-1]
    return dict(zip(replicas.ladder.held, np.split(vectors[0], edges), strict=True))


class TemperedStates(States):
    """States by layer, layer -> (chains, units), of replica exchange, and what it says of itself.

    ladder holds the swaps between rungs (acceptance) and the journeys of copies (trips); doubts says in words what
    speaks against copies having mixed, with what to do, and trusted means that nothing does. times has integrated
    autocorrelation times at the temperature of the machine, in rounds: of "free energy", and of "leading principal
    component", which is the projection of the states on their leading direction. A time that is longer than the run can
    show is inf.
    """

    def __init__(
        self, layers: Mapping[str, Array], key: Key, ladder: LadderEstimate, times: Mapping[str, float]
    ) -> None:
        super().__init__(layers, key)
        self.ladder, self.times = ladder, dict(times)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies keep the key, the ladder and the times."""
        return type(self), (dict(self), self.key, self.ladder, self.times)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against trust, in words, the last of them with what to do."""
        doubts = self.ladder.doubts
        return (*doubts[:-1], f"{doubts[-1]}: give more rounds than {self.ladder.estimate.steps:,}") if doubts else ()

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against the copies having mixed."""
        return not self.doubts


def tempered_sample(
    model: BoltzmannMachine,
    chains: int = 1000,
    rounds: int = 1000,
    trajectory: Sequence[BoltzmannMachine] = (),
    seed: int = 0,
    base: Any = None,
) -> TemperedStates:
    """States of all layers by replica exchange, layer -> (chains, units): for machines that Gibbs chains do not cross.

    64 copies of a fitted ladder run for so many rounds, after burn-in; states are kept at evenly spaced rounds, so that
    those of one copy (every 64th) are the less dependent the more rounds there are. They are a dict that also says
    whether so many rounds suffice: trusted, doubts and ladder, as in exchange_log_z, whose other arguments it takes.
    times are autocorrelation times in rounds. Raises InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    chains = affordable_chains(model, chains)
    rounds = checks.integer(rounds, "rounds", 20, checks.MOST_STEPS)
    key = Key.from_seed(seed).derive("tempered")
    keep = -(-chains // COPIES)
    if keep > rounds:
        raise InputError(f"rounds must be at least {keep} for {chains} chains, got {rounds}.")
    replicas = started(model, trajectory, COPIES, base, seed, key)
    direction, ladder = settle(replicas, round(BURN * rounds)), replicas.ladder
    found = exchange(replicas, rounds, keep, direction=direction)
    held = {n: beside(x[:chains], model.arena) for n, x in found.samples.items()}
    ((_, drawn),) = ladder.look(held, (ladder.rungs - 1,), At(key.derive("last"), 0), Scratch(model.arena))
    states = {n: host((held | drawn)[n]) for n in model.graph.units}
    traces = {"free energy": found.height, "leading principal component": found.along}
    times = {what: integrated_time(x, axis=0) for what, x in traces.items()}
    return TemperedStates(states_outside(model, states), key, estimated(replicas, found), times)


def estimated(replicas: Replicas, found: Exchanged) -> LadderEstimate:
    """log Z of every rung from a run of exchange."""
    ladder, (pairs, visits, copies) = replicas.ladder, found.up.shape
    ratios = bennett(found.up.reshape(pairs, -1), found.down.reshape(pairs, -1))
    moved = np.cumsum(influences(found.up, found.down, ratios), axis=0)
    apart = _apart(found, moved[-1]) + _unmet(replicas, found, float(np.sum(ratios)) + ladder.start_log_z)
    errors = np.concatenate([[0.0], np.sqrt(copies / (copies - 1) * np.sum(moved**2, axis=1))])
    log_z = ladder.start_log_z + np.concatenate([[0.0], np.cumsum(ratios)])
    first, second = (_total(found, part) for part in (slice(0, visits // 2), slice(visits // 2, None)))
    memory, travelled = _memory(found, ratios), float(np.mean(found.trips > 0))
    value, error = float(log_z[-1]), float(errors[-1])
    doubts = _doubts(found, first - second, memory, error) + apart
    kind = "temperatures" if isinstance(ladder, Temperatures) else "machines along training"
    method = f"replica exchange, {ladder.rungs} {kind}, {2 * visits} rounds"
    estimate = Estimate(
        value,
        error,
        interval(value, error, copies),
        "none",
        travelled * copies,
        copies,
        2 * visits,
        doubts,
        method=method,
    )
    places = ladder.betas if isinstance(ladder, Temperatures) else ladder.places  # type: ignore[attr-defined]
    outcome = found.acceptance, found.trips, first - second, found.samples, memory
    return LadderEstimate(estimate, places, log_z, errors, *outcome)


def _apart(found: Exchanged, moved: Floats) -> tuple[str, ...]:
    """What speaks against copies that started at both ends of the ladder having mixed, in words.

    moved (copies,): how much each copy moves log Z.
    """
    one, other = found.halves
    doubts, spread = [], float(np.sqrt(np.sum(moved**2)))
    between = float(moved[one].sum() - moved[other].sum()) / spread if spread > 0 else 0.0
    if abs(between) > HALVES:
        doubts.append(f"copies that started at both ends of the ladder differ by {abs(between):.1f} errors of log Z")
    for what, x in (("energy", found.height), ("leading principal component", found.along)):
        rhat = nested_rhat(np.stack([x.T[one], x.T[other]])) if x.shape[0] > 1 and x[:, one].size else 1.0
        if rhat > MOST_RHAT:
            doubts.append(f"copies that started at both ends of the ladder have not mixed (R-hat {rhat:.2f}, {what})")
    return tuple(doubts)


def _unmet(replicas: Replicas, found: Exchanged, value: float) -> tuple[str, ...]:
    """Modes that the copies should have met at the last rung, but did not, in words."""
    if replicas.modes is None or not found.samples:
        return ()
    count = len(next(iter(found.samples.values())))
    return replicas.modes.unmet(found.samples, np.zeros(count), value, min(count, len(found.trips)))


def _doubts(found: Exchanged, halves: float, memory: float, error: float) -> tuple[str, ...]:
    """What speaks against trust, in words."""
    copies, travelled, least = len(found.trips), float(np.mean(found.trips > 0)), float(found.acceptance.min())
    fine = {
        f"fewer than {TRUSTED_COPIES} copies ran": copies >= TRUSTED_COPIES,
        f"fewer than {TRUSTED_TRAVELLED:.0%} of the copies made the journey": travelled >= TRUSTED_TRAVELLED,
        f"replicas made {found.trips.mean():.1f} journeys a copy, fewer than {TRUSTED_TRIPS:g}": found.trips.mean()
        >= TRUSTED_TRIPS,
        f"two neighbours swap with probability {least:.2g}, below {LEAST_ACCEPTANCE:g}": least >= LEAST_ACCEPTANCE,
        f"the halves of the run differ by {halves:.2f} nats": abs(halves) <= AGREEMENT * 2 * error,
        f"copies remember one half of the run in the other (correlation {memory:.2f})": memory <= LONGEST_MEMORY,
    }
    return tuple(text for text, good in fine.items() if not good)


def _memory(found: Exchanged, ratios: Floats) -> float:
    """Correlation over copies between what the first and the second half of the rounds say of log Z."""
    half = found.up.shape[1] // 2
    parts = [
        influences(found.up[:, part], found.down[:, part], ratios).sum(axis=0)
        for part in (slice(0, half), slice(half, None))
    ]
    spread = min(float(part.std()) for part in parts)
    return float(np.corrcoef(*parts)[0, 1]) if spread > 1e-12 else 0.0  # without weights there is nothing to remember


def _total(found: Exchanged, part: slice) -> float:
    pairs = len(found.up)
    return float(bennett(found.up[:, part].reshape(pairs, -1), found.down[:, part].reshape(pairs, -1)).sum())


def bennett(up: Floats, down: Floats) -> Floats:
    """log Z_1 - log Z_0 (pairs,) from equally many log f_1 - log f_0 at samples of 0 and the reverse at samples of 1.

    up, down: (pairs, samples), in nats. The root of sum expit(up - x) = sum expit(down + x): the left side falls and
    the right one rises with x, and the root lies between the smallest and the largest of up and of -down. Bisection
    until that is known to a nat, then Newton's method.
    """
    both = np.concatenate([up, -down], axis=1)
    low, high = both.min(axis=1), both.max(axis=1)
    for _ in range(HALVINGS):
        if (high - low < NEAR).all():
            break
        middle = (low + high) / 2
        rising = expit(up - middle[:, None]).sum(axis=1) > expit(down + middle[:, None]).sum(axis=1)
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return _polished(up, down, low, high)


def _polished(up: Floats, down: Floats, low: Floats, high: Floats) -> Floats:
    """The root between low and high (pairs,): Newton's method, and halves of what is left where it leads outside."""
    x = (low + high) / 2
    for _ in range(STEPS):
        left, right = expit(up - x[:, None]), expit(down + x[:, None])
        excess = left.sum(axis=1) - right.sum(axis=1)
        slope = (left * (1 - left)).sum(axis=1) + (right * (1 - right)).sum(axis=1)
        low, high = np.where(excess > 0, x, low), np.where(excess > 0, high, x)
        with np.errstate(all="ignore"):  # no slope where there is no overlap at all
            step = x + excess / slope
        last, x = x, np.where((step >= low) & (step <= high), step, (low + high) / 2)
        if (np.abs(x - last) <= TOLERANCE * (1 + np.abs(x))).all():
            break
    return np.asarray(x)


def influences(up: Floats, down: Floats, ratio: Floats) -> Floats:
    """How much each group of samples moves the ratio (pairs,), to first order, (pairs, groups); they add up to zero.

    up, down: (pairs, samples, groups). Groups that are independent give its error: the infinitesimal jackknife (Jaeckel
    1972).
    """
    left, right = expit(up - ratio[:, None, None]), expit(down + ratio[:, None, None])
    slope = (left * (1 - left)).sum(axis=(1, 2)) + (right * (1 - right)).sum(axis=(1, 2))
    return (left.sum(axis=1) - right.sum(axis=1)) / slope[:, None]
