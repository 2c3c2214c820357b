"""Thermal averages of a machine at any temperatures, from one run of replica exchange.

The machine is E(x) at inverse temperature beta = 1 / T: the whole energy is scaled, couplings and fields, from fair
coins at beta = 0 to the largest beta that is asked for, or beyond. Copies of the ladder are independent, so leaving one
out at a time gives errors that hold whatever the autocorrelation within a copy (the jackknife, to first order).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from boltz import checks, html
from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.precision import wide_enough
from boltz.estimators.replica_exchange import LEAST_ACCEPTANCE, plain
from boltz.estimators.reweighting import Reweighted, mixture, reweighted
from boltz.models.boltzmann import BoltzmannMachine, affordable_chains, checked_model
from boltz.rng import Key
from boltz.sampling.annealing import Progress
from boltz.sampling.clusters import clusters_of
from boltz.sampling.convergence import integrated_time
from boltz.sampling.ladder_fitting import BURN, PILOT_RUNGS, SWEEPS, fitted_places
from boltz.sampling.ladders import Temperatures
from boltz.sampling.modes import search
from boltz.sampling.replica_exchange import Exchanged, Replicas, exchange, replicas_of
from boltz.targets import BaseRatePath
from boltz.units.states import has_two, states_of, two_states

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_TEMPERATURES = 1000
TRUSTED_COPIES, TRUSTED_TRAVELLED, TRUSTED_TRIPS, LEAST_EFFECTIVE = 8, 0.5, 32, 100.0
HALVES = 4.0  # errors that halves of copies or of the run may be apart
MET_WELL = 0.2  # relative error of the share of a state that tells log Z
NAMES = (
    "energy",
    "heat_capacity",
    "magnetisation",
    "absolute_magnetisation",
    "susceptibility",
    "absolute_susceptibility",
    "binder",
    "free_energy",
    "log_z",
    "entropy",
)
FOLLOWED = ("energy", "magnetisation", "absolute_magnetisation")


@dataclass(frozen=True, eq=False)
class Observables:
    """Averages of a machine of energy E at temperatures (temperatures,), with errors by the same names.

    Of the whole system:

    - energy: the mean of E; heat_capacity: its variance by T squared, which is its derivative by T.
    - log_z: log of the sum of exp(-E / T), in nats; free_energy: -T log Z; entropy: log Z + energy / T, in nats.

    With m the mean of all spins, 0/1 units counting as spins 2x - 1; of categorical units it is (q times the largest
    share of a state - 1) / (q - 1):

    - magnetisation, absolute_magnetisation: the means of m and of its absolute value.
    - susceptibility: units / T times the variance of m; absolute_susceptibility: units / T times that of its absolute
      value, which is the usual one of a finite lattice in its ordered phase.
    - binder: Binder's cumulant 1 - <m^4> / (3 <m^2>^2).

    errors: standard errors, from how much each of the independent copies moves a result. times: integrated
    autocorrelation times of energy, magnetisation and absolute_magnetisation, in rounds of a sweep each, at the rung
    nearest to each temperature; inf where the run is too short to tell. betas (rungs,): the inverse temperatures that
    ran; acceptance (rungs - 1,): how often neighbours swap; trips (copies,): journeys of replicas from infinite
    temperature to the lowest one and back. ess (temperatures,): effective samples by their weights, as if they were
    independent. doubts says in words what speaks against the errors; trusted means that nothing does.
    """

    temperatures: Floats
    units: int
    energy: Floats
    heat_capacity: Floats
    magnetisation: Floats
    absolute_magnetisation: Floats
    susceptibility: Floats
    absolute_susceptibility: Floats
    binder: Floats
    free_energy: Floats
    log_z: Floats
    entropy: Floats
    errors: Mapping[str, Floats]
    times: Mapping[str, Floats]
    betas: Floats
    acceptance: Floats
    trips: NDArray[np.int64]
    rounds: int
    ess: Floats
    doubts: tuple[str, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether the errors can be believed: nothing speaks against them."""
        return not self.doubts

    def interval(self, name: str) -> Floats:
        """95 % interval of an observable at each temperature, (temperatures, 2), by Student's t; raises InputError."""
        checks.choice(name, "name", NAMES)
        reach = float(stdtrit(len(self.trips) - 1, 0.975)) * self.errors[name]
        value: Floats = getattr(self, name)
        return np.stack([value - reach, value + reach], axis=1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for what is not finite."""
        found: dict[str, Any] = {"temperatures": plain(self.temperatures), "units": self.units}
        found |= {name: plain(getattr(self, name)) for name in NAMES}
        for name in ("errors", "times"):
            found[name] = {key: plain(values) for key, values in getattr(self, name).items()}
        found |= {name: plain(getattr(self, name)) for name in ("betas", "acceptance", "ess")}
        return found | {
            "trips": self.trips.tolist(),
            "rounds": self.rounds,
            "trusted": self.trusted,
            "doubts": list(self.doubts),
        }

    def __repr__(self) -> str:
        trust = "trusted" if self.trusted else "NOT trusted"
        low, high = self.temperatures.min(), self.temperatures.max()
        return f"Observables({len(self.temperatures)} temperatures from {low:g} to {high:g}, {trust})"

    def __str__(self) -> str:
        head, *lines = _table(self)
        widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
        text = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *lines)
        ]
        return "\n".join([*text, self.words])

    @property
    def words(self) -> str:
        """Rungs, copies, rounds and journeys, the longest autocorrelation time, and what makes the errors doubtful."""
        longest = max(float(self.times[name].max()) for name in ("energy", "absolute_magnetisation"))
        told = (
            f"{len(self.betas)} temperatures ran, {len(self.trips)} copies, {self.rounds:,} rounds, "
            f"{int(self.trips.sum())} journeys, autocorrelation up to {longest:.3g} rounds"
        )
        return told if self.trusted else f"{told}: NOT trusted, since " + " and ".join(self.doubts)

    def _repr_html_(self) -> str:
        head, *lines = _table(self)
        return html.table(lines, head, caption=self.words)


def _table(found: Observables) -> list[tuple[str, ...]]:
    """A line a temperature: energies a unit, and what has no unit, each with its error."""
    head = ("T", "energy a unit", "heat capacity a unit", "|m|", "susceptibility", "Binder", "log Z", "entropy a unit")
    columns = (
        ("energy", found.units),
        ("heat_capacity", found.units),
        ("absolute_magnetisation", 1),
        ("absolute_susceptibility", 1),
        ("binder", 1),
        ("log_z", 1),
        ("entropy", found.units),
    )
    lines = []
    for t, temperature in enumerate(found.temperatures):
        cells = [_cell(getattr(found, name)[t] / by, found.errors[name][t] / by) for name, by in columns]
        lines.append((f"{temperature:.6g}", *cells))
    return [head, *lines]


def _cell(value: float, error: float) -> str:
    """A value with two digits of its error; six digits of what has none, or is far from 1."""
    if not 1e-9 < error < np.inf:
        return f"{value:.6g}"
    if abs(value) >= 1e9:
        return f"{value:.6g} +- {error:.2g}"
    places = int(np.clip(1 - np.floor(np.log10(error)), 0, 9))
    return f"{value:.{places}f} +- {error:.{places}f}"


def observables(
    model: BoltzmannMachine,
    temperatures: Sequence[float],
    copies: int = 16,
    rounds: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Observables:
    """Energy, heat capacity, magnetisation, susceptibility, Binder cumulant, free energy, log Z and entropy at any
    temperatures, where the machine itself is at T = 1, each with a standard error.

    One run of replica exchange serves all of them, with so many independent copies of a ladder of temperatures that is
    fitted first, from infinity to the lowest one asked for, or to where the state of least energy is common, if all
    couplings can agree and that is near: then log Z is known at both ends. Each of so many rounds is a sweep at every
    rung and swaps between neighbours; a third as many come first as burn-in. Half of the copies start hot and half of
    them cold.
    Temperatures between rungs are reweighted (Shirts & Chodera 2008). Where units of two states have sparse couplings
    that they can all agree with, as in a ferromagnet, a sweep also turns clusters (Swendsen & Wang 1987), without which
    chains near a critical temperature are slow. Units must have two states, or all be categorical with the same states.
    The result says whether it is to be trusted. Raises InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    wanted = _wanted(temperatures)
    copies = affordable_chains(model, checks.integer(copies, "copies", 2, 2**20), "copies")
    rounds = checks.integer(rounds, "rounds", 20, checks.MOST_STEPS)
    checks.callback(progress, "progress", 2)
    key, order = Key.from_seed(checks.seed(seed)).derive("observables"), order_of(model)
    replicas, coldest = _started(model, float(1 / wanted.min()), copies, key)
    scaled = replicas.ladder.machine
    lowest = _Lowest(scaled, replicas.ladder.rungs - 1)
    exchange(replicas, round(BURN * rounds), keep=0, seen=lowest.see)
    shape = copies, replicas.ladder.rungs, rounds
    checks.affordable(5 * copies * rounds * shape[1], "copies times rounds times rungs", 8)
    energy, moment, met = np.empty(shape), np.empty(shape), np.empty(shape)

    def seen(number: int, rung: int, state: dict[str, Array]) -> None:
        scale = host(scaled.full_energy(state))
        energy[:, rung, number], met[:, rung, number] = scale / coldest, lowest.met(state, scale)
        moment[:, rung, number] = host(order(state))

    found = exchange(replicas, rounds, 1, progress, seen=seen)
    betas = replicas.ladder.betas * coldest  # type: ignore[attr-defined]
    ends = replicas.ladder.start_log_z, -lowest.energy
    units = sum(_counts(model).values())
    result = _observed(wanted, betas, ends, (energy, moment, met), found, units)
    turned = replicas.ladder.clusters is not None  # type: ignore[attr-defined]
    return result if turned else replace(result, doubts=(*_immobile(found), *result.doubts))


def order_of(model: BoltzmannMachine) -> Callable[[Mapping[str, Array]], Array]:
    """What gives the order parameter m (chains,) of states of all layers; raises InputError for units without one."""
    types = [model.unit_type(name) for name in model.units]
    total = sum(_counts(model).values())
    if all(has_two(kind) for kind in types):
        ends = {name: two_states(model.unit_type(name)) for name in model.units}

        def spins(state: Mapping[str, Array]) -> Array:
            parts = [
                (2 * state[n].sum(axis=1, dtype=np.float64) - (low + high) * state[n].shape[1]) / (high - low)
                for n, (low, high) in ends.items()
            ]
            return np.asarray(sum(parts)) / total

        return spins
    q = types[0].columns
    if any(states_of(kind) is None or kind.columns != q for kind in types) or q == 1:
        raise InputError(
            "model must have units of two states, or categorical units with the same states everywhere, to have a "
            f"magnetisation, got {', '.join(dict.fromkeys(layer.kind for layer in model.layers))}."
        )

    def shares(state: Mapping[str, Array]) -> Array:
        counts = sum(x.reshape(len(x), -1, q).sum(axis=1, dtype=np.float64) for x in state.values())
        return np.asarray((q * counts.max(axis=1) / total - 1) / (q - 1))

    return shares


def _counts(model: BoltzmannMachine) -> dict[str, int]:
    """Units of each layer, however many columns they have."""
    return {layer.name: layer.units // layer.columns for layer in model.layers}


def _wanted(temperatures: Any) -> Floats:
    """Temperatures as an array; raises InputError."""
    given = checks.sequence(temperatures, "temperatures", MOST_TEMPERATURES)
    found = np.array([checks.number(t, f"temperatures[{i}]", 1e-6, 1e6) for i, t in enumerate(given)])
    if not len(found):
        raise InputError("temperatures must name at least one, got none.")
    return found


def _started(model: BoltzmannMachine, asked: float, copies: int, key: Key) -> tuple[Replicas, float]:
    """Replicas on a ladder whose neighbours swap, from independent fair units to the model at the inverse temperature
    of the last rung, which comes with them.

    That is the one asked for, or a higher one at which a state is common that all couplings agree with, where less than
    a quarter of the rungs lie beyond the one asked for: then log Z is known at both ends.
    """
    clusters = clusters_of(model)
    far = asked if clusters is None else max(asked, clusters.settled)
    last = far if np.isfinite(far) else asked
    places = fitted_places(_ladder(model, last), np.linspace(0, 1, PILOT_RUNGS), None, key.derive("ladder"))
    before = places[places < asked / last]
    if 3 * len(places) > 4 * len(before) + 4:
        places, last = np.append(before * last / asked, 1.0), asked
    ladder = _ladder(model, last)(places)
    modes = search(ladder.machine, key.derive("search"), {})
    return replicas_of(ladder, copies, SWEEPS, key.derive("run"), modes), last


def _ladder(model: BoltzmannMachine, last: float) -> Callable[[Floats], Temperatures]:
    """What makes a ladder of places from independent fair units to a model at an inverse temperature."""
    machine = wide_enough(replace(model, arena=model.arena * model.dtype.type(last)))
    path = BaseRatePath(machine, {n: np.zeros(units) for n, units in machine.units.items()}, *machine.by_size)
    clusters = clusters_of(machine)
    return lambda places: Temperatures(path, places, clusters)


@dataclass
class _Lowest:
    """The state of the least energy that a run comes by at its last rung, whose share there says what log Z is."""

    machine: BoltzmannMachine
    rung: int
    energy: float = np.inf
    state: Mapping[str, Array] = field(default_factory=dict)

    def see(self, number: int, rung: int, state: Mapping[str, Array]) -> None:
        """Look for it among states (copies, units) by layer."""
        if rung != self.rung:
            return
        found = host(self.machine.full_energy(state))
        best = int(found.argmin())
        if found[best] < self.energy:
            self.energy, self.state = float(found[best]), {n: host(x[best]).copy() for n, x in state.items()}

    def met(self, state: Mapping[str, Array], energy: Floats) -> Floats:
        """1 for each of the states (copies, units) by layer, of these energies, that is the one found."""
        found = np.isclose(energy, self.energy, rtol=1e-6, atol=1e-6).astype(np.float64)
        for copy in np.flatnonzero(found):
            found[copy] = all(np.array_equal(host(state[n][copy]), x) for n, x in self.state.items())
        return found


def _observed(
    temperatures: Floats,
    betas: Floats,
    ends: tuple[float, float],
    traces: tuple[Floats, Floats, Floats],
    found: Exchanged,
    units: int,
) -> Observables:
    """All observables from the energies, the order parameters and the visits of one state (copies, rungs, rounds) of a
    run. ends: log Z at the first of betas, and the log of the weight of that state at the last.
    """
    energy, m, met = traces
    centre = float(energy.mean())
    low = energy - centre
    features = np.stack([low, low**2, m, np.abs(m), m**2, m**4, met])
    mixed, wanted = mixture(energy, betas, ends[0]), 1 / temperatures
    at, apart, wider = from_both_ends(reweighted(mixed, np.append(wanted, betas[-1]), features), ends[1])
    values = _values(at.log_z, at.means, wanted, units, centre)
    copies = len(energy)
    less = copies / (copies - 1)  # what leaving a copy out takes away
    left = [
        _values(at.log_z - less * one, at.means - less * other, wanted, units, centre)
        for one, other in zip(at.of_log_z, at.of_means, strict=True)
    ]
    errors = {n: np.sqrt((copies - 1) * np.var([each[n] for each in left], axis=0)) for n in NAMES}
    errors |= {n: wider * errors[n] for n in ("free_energy", "log_z", "entropy")}
    nearest = np.abs(betas[:, None] - wanted).argmin(axis=0)
    follow = dict(zip(FOLLOWED, (energy, m, np.abs(m)), strict=True))
    times = {n: np.array([integrated_time(x[:, k]) for k in nearest]) for n, x in follow.items()}
    doubts = _doubts(found, at, times, {n: follow[n][:, nearest] for n in ("energy", "absolute_magnetisation")})
    if apart > HALVES:
        doubts = (*doubts, f"log Z from both ends of the ladder differs by {apart:.1f} errors")
    return Observables(
        temperatures,
        units,
        **values,
        errors=errors,
        times=times,
        betas=betas,
        acceptance=found.acceptance,
        trips=found.trips,
        rounds=energy.shape[2],
        ess=at.ess,
        doubts=doubts,
    )


def from_both_ends(at: Reweighted, log_weight: float) -> tuple[Reweighted, float, float]:
    """log Z of all targets but the last, by what is known at both ends of a ladder.

    The last feature is 1 where a state of this log-weight at the last target was met, and its mean there is the weight
    by Z. So log Z is known twice there. What lies between has the mean 0 and serves all targets as a control variate
    (Hammersley & Handscomb 1964), if the state is met often. Also returns how many errors both are apart, and what
    errors of log Z are multiplied by, since the slope is fitted to few copies.
    """
    share, of_share, copies = at.means[-1, -1], at.of_means[:, -1, -1], len(at.of_log_z)
    others = Reweighted(at.log_z[:-1], at.means[:-1], at.of_log_z[:, :-1], at.of_means[:, :-1], at.ess[:-1])
    if copies < TRUSTED_COPIES or not 0 < np.sqrt(np.sum(of_share**2)) < MET_WELL * share:
        return others, 0.0, 1.0
    gap, of_gap = log_weight - np.log(share) - at.log_z[-1], -of_share / share - at.of_log_z[:, -1]
    slope = -(of_gap @ others.of_log_z) / np.sum(of_gap**2)
    log_z, of_log_z = others.log_z + slope * gap, others.of_log_z + np.outer(of_gap, slope)
    wider = np.sqrt((copies - 1) / (copies - 3))
    return replace(others, log_z=log_z, of_log_z=of_log_z), abs(gap) / float(np.sqrt(np.sum(of_gap**2))), wider


def _values(log_z: Floats, means: Floats, beta: Floats, units: int, centre: float) -> dict[str, Floats]:
    """Observables by name from log Z (targets,) and the means (targets, features) of centred energies and of m."""
    low, low2, m, size, m2, m4, _ = means.T
    energy = low + centre
    with np.errstate(divide="ignore", invalid="ignore"):  # there is none where no state has any magnetisation
        binder = 1 - m4 / (3 * m2**2)
    found = {
        "energy": energy,
        "heat_capacity": beta**2 * (low2 - low**2),
        "magnetisation": m,
        "absolute_magnetisation": size,
        "susceptibility": beta * units * (m2 - m**2),
        "absolute_susceptibility": beta * units * (m2 - size**2),
        "binder": binder,
        "free_energy": -log_z / beta,
        "log_z": log_z,
        "entropy": log_z + beta * energy,
    }
    return {name: np.asarray(values) for name, values in found.items()}


def _immobile(found: Exchanged) -> tuple[str, ...]:
    """What speaks against replicas having moved along the ladder enough, in words: chains that turn no clusters cross
    from valley to valley only that way.
    """
    travelled, trips = float(np.mean(found.trips > 0)), int(found.trips.sum())
    fine = {
        f"fewer than {TRUSTED_TRAVELLED:.0%} of the copies made the journey": travelled >= TRUSTED_TRAVELLED,
        f"replicas made {trips} journeys, fewer than {TRUSTED_TRIPS}": trips >= TRUSTED_TRIPS,
    }
    return tuple(text for text, good in fine.items() if not good)


def _doubts(
    found: Exchanged, at: Reweighted, times: Mapping[str, Floats], traces: Mapping[str, Floats]
) -> tuple[str, ...]:
    """What speaks against trust, in words. traces: (copies, targets, rounds) by name."""
    copies, least, effective = len(found.trips), float(found.acceptance.min()), float(at.ess.min())
    short = [name.replace("_", " ") for name in traces if not np.isfinite(times[name]).all()]
    fine = {
        f"fewer than {TRUSTED_COPIES} copies ran": copies >= TRUSTED_COPIES,
        f"two neighbours swap with probability {least:.2g}, below {LEAST_ACCEPTANCE:g}": least >= LEAST_ACCEPTANCE,
        f"{effective:.0f} samples are effective, fewer than {LEAST_EFFECTIVE:.0f}": effective >= LEAST_EFFECTIVE,
        f"the run is too short to tell how long chains remember ({', '.join(short)})": not short,
    }
    doubts = [text for text, good in fine.items() if not good]
    one, other = found.halves
    apart = {"log Z": at.of_log_z, "energy": at.of_means[..., 0], "absolute magnetisation": at.of_means[..., 3]}
    for name, moved in apart.items():
        spread = np.sqrt(np.sum(moved**2, axis=0))
        between = np.abs(moved[one].sum(axis=0) - moved[other].sum(axis=0))
        most = float(np.max(between / np.where(spread > 0, spread, np.inf)))
        if most > HALVES:
            doubts.append(f"copies that started at both ends of the ladder differ by {most:.1f} errors of {name}")
    for name, x in traces.items():
        half = x.shape[2] // 2
        change = x[:, :, :half].mean(axis=2) - x[:, :, half:].mean(axis=2)
        error = change.std(axis=0, ddof=1) / np.sqrt(copies)
        most = float(np.max(np.abs(change.mean(axis=0)) / np.where(error > 0, error, np.inf)))
        if most > HALVES and copies >= TRUSTED_COPIES:
            doubts.append(f"the halves of the run differ by {most:.1f} errors of {name.replace('_', ' ')}")
    return tuple(doubts)
