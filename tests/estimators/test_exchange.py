"""Catches replica exchange whose log Z, intervals or ladders are wrong against enumeration, or that miss far modes.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checks.ladders import HIGH, KINDS, Rungs, bimodal, exact_start, ladder_of, laws, slow, tables
from numpy.typing import NDArray
from oracles import enumeration
from oracles.chains import intermediate, reduced_chain
from oracles.enumeration import Table
from scipy.stats import t as student
from support import calibration, stats
from support.machines import SMALL, machine_of, rates_of
from support.shorter import shorten
from support.training import plain_train

import boltz
from boltz.estimators.replica_exchange import LadderEstimate, bennett, estimated, exchange_log_z
from boltz.rng import Key
from boltz.sampling import replica_exchange
from boltz.sampling.ladder_fitting import fitted_ladder, fitted_places
from boltz.sampling.ladders import Machines, Temperatures
from boltz.sampling.replica_exchange import Exchanged, exchange, replicas_of
from boltz.targets import path_to

Floats = NDArray[np.float64]
KEY = Key(21, 22)
NAMES = ("rbm", "wide", "one", "dbm2", "dbm3", "dbm4", "strong", "ring")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


def agree(found: Floats, truth: Any, errors: Floats, copies: int, what: str, effect: float = 0.2) -> None:
    """Student's test of every value but the first, which is exact; catches one that is off by effect nats."""
    assert found[0] == pytest.approx(truth[0], abs=1e-9) and errors[0] == 0
    assert (errors[1:] > 0).all()
    p_values = 2 * student.sf(np.abs(found - truth)[1:] / errors[1:], copies - 1)
    stats.accept(stats.smallest_of(p_values), what)
    assert all(stats.detectable_ratio(effect, error) for error in errors[1:]), errors.max()


# ---------------------------------------------------------------- values and errors


@pytest.mark.parametrize("name", NAMES)
def test_log_z_of_every_rung_is_that_of_enumeration(name: str, quick: None) -> None:
    table = SMALL[name]
    found = exchange_log_z(machine_of(table), copies=48, rounds=120, base=rates_of(table))
    ladder = fitted_ladder(machine_of(table), (), rates_of(table), 0)
    assert isinstance(ladder, Temperatures) and (ladder.betas == found.places).all()
    truth = np.array([enumeration.log_z(rung(table, ladder, beta)) for beta in found.places])
    agree(found.log_z, truth, found.errors, 48, "log Z along the ladder is not that of enumeration")
    estimate = found.estimate
    assert (estimate.value, estimate.standard_error) == (found.log_z[-1], found.errors[-1])
    assert (estimate.kind, estimate.chains, estimate.steps) == ("none", 48, 80) and estimate.trusted is True
    assert found.places[0] == 0 and found.places[-1] == 1 and (np.diff(found.places) > 0).all()
    assert found.acceptance.shape == (len(found.places) - 1,) and found.trips.shape == (48,)
    json.dumps(estimate.as_dict())


def rung(table: Table, ladder: Temperatures, beta: float) -> Table:
    """The machine at an inverse temperature of a path that may be bent."""
    edges = {pair: beta * weight for pair, weight in table.edges.items()}
    return Table(table.layers, edges, {n: ladder.path.exact_bias(n, beta) for n in table.layers})


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchange without turning round and flipping, which would let slow machines mix."""
    monkeypatch.setattr(replica_exchange, "_flipped", lambda replicas, rung: None)


def part(found: Exchanged, copies: slice) -> Exchanged:
    return Exchanged(
        found.up[..., copies],
        found.down[..., copies],
        found.height[:, copies],
        found.along[:, copies],
        found.trips[copies],
        found.samples,
    )


def test_intervals_cover_as_they_say(plain: None) -> None:
    """600 groups of 30 copies cover log Z with a probability from 0.92 to 0.98; 80 rounds each.

    Half of them are those that are trusted of a machine that mixes. The others hardly move from exact draws, so that
    rounds are no further samples and rungs are not independent; they say that they are not to be trusted. Catches an
    error that is 0.64 of the right one, and a bias of 1.2 errors.
    """
    hits = trials = 0
    cases: list[tuple[Table, Rungs]] = [(Table.random([3, 3, 2], 1.4, 60), 3), (slow(), HIGH)]
    for kind, (table, rungs) in zip(KINDS, cases, strict=True):
        groups, (first, *_, last) = 300, (enumeration.log_z(machine) for machine in tables(table, rungs))
        replicas = exact_start(table, rungs, 30 * groups, kind)
        truth = replicas.ladder.start_log_z + last - first
        found = exchange(replicas, 80, keep=0)
        for i in range(groups):
            one = estimated(replicas, part(found, slice(30 * i, 30 * i + 30))).estimate
            if one.trusted or rungs == HIGH:
                trials, hits = trials + 1, hits + (one.interval[0] <= truth <= one.interval[1])
            assert not (one.trusted and rungs == HIGH)
    assert trials >= 500
    stats.accept(calibration.coverage_test(hits, trials), f"intervals cover {hits / trials:.3f}")
    assert calibration.detectable_coverage(trials, 0.8)


def test_trust_asks_for_copies_journeys_swaps_and_memory(plain: None) -> None:
    replicas = replicas_of(ladder_of(SMALL["rbm"], 3), 32, 4, KEY)
    found = exchange(replicas, 60, keep=0)
    assert estimated(replicas, found).estimate.trusted is True
    assert not estimated(replicas, part(found, slice(0, 29))).estimate.trusted, "29 copies"
    few = np.where(np.arange(32) < 15, found.trips, 0)
    assert not estimated(replicas, replace(found, trips=few)).estimate.trusted, "15 copies of 32 made the journey"
    stuck = exact_start(slow(6.0), HIGH, 32)
    still = estimated(stuck, exchange(stuck, 60, keep=0))
    assert still.memory > 0.5 and still.trips.min() > 0 and not still.estimate.trusted, "copies that do not forget"
    assert abs(estimated(replicas, found).memory) < 0.5
    apart = replace(found, up=found.up - 40.0, down=found.down - 40.0)
    assert not estimated(replicas, apart).estimate.trusted, "no swaps"
    drift = np.where(np.arange(30) < 15, 1.0, -1.0)[None, :, None]
    moved = estimated(replicas, replace(found, up=found.up + drift, down=found.down - drift))
    assert not moved.estimate.trusted and moved.halves == pytest.approx(4.0, abs=0.5)


def test_memory_is_the_correlation_of_both_halves() -> None:
    """Over copies, between what the halves add to the ratios, found by leaving out one copy of one half at a time."""
    replicas = exact_start(slow(), HIGH, 60)
    found = exchange(replicas, 40, keep=0)
    whole = estimated(replicas, found)
    moved = np.empty((2, 60))
    for copy in range(60):
        for k, rows in enumerate((range(10), range(10, 20))):
            kept = np.ones((20, 60), bool)
            kept[rows, copy] = False
            up, down = (x[:, kept] for x in (found.up, found.down))
            moved[k, copy] = (whole.log_z[-1] - whole.log_z[0]) - bennett(up, down).sum()
    assert whole.memory == pytest.approx(np.corrcoef(moved)[0, 1], abs=0.01)


def test_first_half_less_second_half() -> None:
    replicas = replicas_of(ladder_of(SMALL["rbm"], 3), 32, 4, KEY)
    found = exchange(replicas, 60, keep=0)
    first, second = (
        estimated(replicas, replace(found, up=found.up[:, s], down=found.down[:, s])).log_z[-1]
        for s in (slice(0, 15), slice(15, 30))
    )
    assert estimated(replicas, found).halves == pytest.approx(first - second, abs=1e-9)


def test_results_depend_on_the_seed_alone(quick: None) -> None:
    machine, before = machine_of(SMALL["dbm2"], np.float32), boltz.threads()
    arena, found = machine.arena.tobytes(), []
    try:
        for count, seed in ((1, 0), (3, 0), (1, 1)):
            boltz.threads(count)
            found.append(exchange_log_z(machine, copies=10, rounds=20, seed=seed).log_z)
    finally:
        boltz.threads(before)
    assert (found[0] == found[1]).all() and found[0][-1] != found[2][-1] and machine.arena.tobytes() == arena


def test_samples_are_those_of_the_machine(quick: None) -> None:
    """Of many copies, all layers; catches a sample that is one rung too low."""
    table = Table.random([3, 3, 2], 2.0, 62)
    replicas = exact_start(table, 3, 20_000)
    exchange(replicas, 4, keep=0)
    held, wanted = replicas.ladder.held, laws(table, replicas.ladder.held, 3)
    stats.accept(stats.chi_square(enumeration.counts(table, replicas.states[-1], held), wanted[-1]), "wrong samples")
    assert stats.detectable_chi_square(20_000, wanted[-1], wanted[-2])
    state = boltz.tempered_sample(machine_of(table), 640, 20, base=rates_of(table))
    assert {n: x.shape for n, x in state.items()} == {n: (640, u) for n, u in table.layers.items()}
    joint, lower = enumeration.joint(table), enumeration.joint(tables(table, 3)[1])
    assert stats.detectable_chi_square(640, joint, lower)
    stats.accept(
        stats.chi_square(enumeration.counts(table, state), joint), "samples of all layers are not the machine's"
    )


@pytest.mark.parametrize(("chains", "rounds"), [(1, 20), (63, 20), (65, 20), (1280, 20)])
def test_as_many_samples_come_as_asked_for(chains: int, rounds: int, quick: None) -> None:
    state = boltz.tempered_sample(machine_of(SMALL["one"]), chains, rounds, base=rates_of(SMALL["one"]))
    assert all(len(x) == chains for x in state.values())


# ---------------------------------------------------------------- ladders


def test_rungs_are_put_where_no_swap_passes() -> None:
    """From the two ends alone; the exact acceptance of neighbours, by enumeration, is at least 0.1 everywhere."""
    table = Table.of(bimodal())
    held, base = ("v",), {n: np.zeros(8) for n in table.layers}
    path = path_to(machine_of(table), {n: np.full(8, 0.5) for n in table.layers})
    assert path.held == held

    def acceptance(places: Floats) -> list[float]:
        log_f = [-enumeration.free_energy(intermediate(table, base, beta), held) for beta in places]
        p = [np.exp(f - np.logaddexp.reduce(f)) for f in log_f]
        ratio = np.diff(log_f, axis=0)
        return [float(p[k] @ np.minimum(1, np.exp(up[:, None] - up[None])) @ p[k + 1]) for k, up in enumerate(ratio)]

    assert acceptance(np.array([0.0, 1.0]))[0] < 0.05
    asked: list[int] = []

    def make(places: Floats) -> Temperatures:
        asked.append(len(places))
        return Temperatures(path, places)

    found = fitted_places(make, np.array([0.0, 1.0]), None, KEY)
    assert asked[0] == 2 and asked == sorted(set(asked)) and len(asked) > 1
    assert found[0] == 0 and found[-1] == 1 and (np.diff(found) > 0).all() and len(found) >= 5
    assert min(acceptance(found)) > 0.1


def test_friction_draws_rungs_to_where_it_is() -> None:
    table = SMALL["rbm"]
    path = path_to(machine_of(table), rates_of(table))
    late = np.concatenate([[0.0], np.linspace(0.8, 1, 50)])
    plain, drawn = (fitted_places(lambda p: Temperatures(path, p), np.linspace(0, 1, 6), f, KEY) for f in (None, late))
    assert len(plain) == len(drawn) and (np.diff(drawn) > 0).all() and drawn[0] == 0 and drawn[-1] == 1
    assert (drawn > 0.8).sum() > (plain > 0.8).sum()


def test_each_snapshot_is_a_rung(quick: None) -> None:
    model, members = grown(machine_of(SMALL["dbm2"]), (0.1, 0.5))
    ladder = fitted_ladder(model, members, rates_of(SMALL["dbm2"]), 0)
    assert isinstance(ladder, Machines) and set(range(4)) <= set(ladder.places.tolist())
    assert (np.diff(ladder.places) > 0).all() and ladder.places[[0, -1]].tolist() == [0, 3]
    for place, machine in zip(ladder.places, ladder.members, strict=True):
        if place in (1, 2, 3):
            assert (machine.arena == (*members, model)[int(place) - 1].arena).all()


def grown(model: boltz.BoltzmannMachine, shares: tuple[float, ...]) -> tuple[boltz.BoltzmannMachine, list[Any]]:
    """A machine and what might be its snapshots: shares of its parameters, each with deviations of its own."""
    generator, members = np.random.default_rng(23), []
    for share in shares:
        noise = generator.normal(0, 0.02, model.arena.size)
        members.append(boltz.BoltzmannMachine(model.graph, (share * model.arena + noise).astype(model.dtype)))
    return model, members


@pytest.mark.parametrize("units", [(6, 4), (5, 4, 3)], ids=["rbm", "dbm"])
def test_log_z_along_a_training_run(units: tuple[int, ...], quick: None) -> None:
    """Every snapshot of a trained machine against enumeration."""
    rows = np.repeat(np.random.default_rng(24).integers(0, 2, (3, units[0])), 20, axis=0).astype(np.float64)
    machine = boltz.dbm(units) if len(units) > 2 else boltz.rbm(*units)
    run = plain_train(machine, rows, epochs=60, batch_size=20, learning_rate=0.2, chains=20, snapshots=8)
    members = run.trajectory
    assert len(members) >= 5 and np.abs(run.model.arena).max() > 1
    found = exchange_log_z(run.model, members, 48, 200)
    assert "machines along training" in found.estimate.method and found.estimate.trusted
    stops = [int(np.flatnonzero(found.places == i)[0]) for i in range(len(members) + 2)]
    assert stops[-1] == len(found.places) - 1
    rates, model = run.model.rates, run.model
    first = sum(float(np.log1p(rates[n] / (1 - rates[n])).sum()) for n in model.units)
    truth = np.array([first, *(enumeration.log_z(Table.of(m)) for m in (*members, model))])
    start = abs(found.log_z[0] - first)
    assert start < 1e-4, "independent units at the rates of the run, in single precision"
    agree(found.log_z[stops] - found.log_z[0], truth - first, found.errors[stops], 48, "log Z along training is wrong")


# ---------------------------------------------------------------- modes far apart


def test_plain_chains_never_leave_a_planted_mode() -> None:
    """No chain that starts in a mode leaves it within 10,000 sweeps: the flow between modes, by enumeration."""
    table = Table.of(bimodal())
    p, on = enumeration.marginal(table, ("v",)), enumeration.bits(8).sum(axis=1) > 4
    chain = reduced_chain(table, ("v",))
    barrier = np.log(p.max()) - np.log(p[enumeration.bits(8).sum(axis=1) == 4].max())
    assert 0.6 < p[on].sum() < 0.65 and barrier > 30
    for side in (on, ~on):
        leaving = p[side] @ chain[side][:, ~side].sum(axis=1) / p[side].sum()
        assert 1000 * 10_000 * leaving < 1e-6
    for start in (0.0, 1.0):
        state = {n: np.full((16, 8), start) for n in table.layers}
        assert (boltz.sample(bimodal(), 16, 500, 1, state)["v"].mean(axis=1).round() == start).all()


@pytest.mark.parametrize("along", ["temperatures", "machines"])
def test_modes_far_apart_have_their_weights(along: str, quick: None) -> None:
    """log Z and the weight of the mode that is on, from 64 independent copies; catches one mode lost."""
    machine, base = bimodal(), {n: np.full(8, 0.5) for n in ("v", "h1")}
    table = Table.of(machine)
    members = () if along == "temperatures" else grown(machine, (0.15, 0.4, 0.7))[1]
    found = exchange_log_z(machine, members, 64, 200, base=base)
    truth = enumeration.log_z(table)
    agree(found.log_z[[0, -1]], np.array([16 * np.log(2), truth]), found.errors[[0, -1]], 64, "log Z", 0.4)
    assert found.estimate.trusted and truth - enumeration.log_z(Table.of(bimodal(tilt=-30.0))) > 0.9
    keep = 8
    state = boltz.tempered_sample(machine, 64 * keep, 160, members, base=base)
    weight = float(enumeration.marginal(table, ("v",))[enumeration.bits(8).sum(axis=1) > 4].sum())
    share = (state["v"].mean(axis=1) > 0.5).reshape(keep, 64).mean(axis=0)  # one value a copy
    error = float(share.std(ddof=1) / 8)
    stats.accept(float(2 * student.sf(abs(share.mean() - weight) / error, 63)), "modes do not have their weights")
    assert stats.detectable_mean(64, 0.38, float(share.var(ddof=1)))
    assert (state["v"].mean(axis=1).round() == state["h1"].mean(axis=1).round()).all()


# ---------------------------------------------------------------- bad input


def test_a_trajectory_that_does_not_fit_is_refused() -> None:
    model = machine_of(SMALL["rbm"])
    bad: list[tuple[Any, str]] = [
        ([machine_of(SMALL["wide"])], "trajectory[0] must be a machine"),
        ([model, machine_of(SMALL["rbm"], np.float32)], "trajectory[1] must be a machine"),
        ([model, "x"], "trajectory[1] must be a machine"),
        ([boltz.sbn([4, 3])], "trajectory[0] must be a machine"),
        (model, "trajectory must be a sequence"),
        (None, "trajectory must be a sequence"),
        ("run", "trajectory must be a sequence"),
    ]
    calls: list[Any] = [boltz.exchange_log_z, lambda m, t: boltz.tempered_sample(m, 2, 20, t)]
    for trajectory, text in bad:
        for call in calls:
            with pytest.raises(boltz.InputError) as caught:
                call(model, trajectory)
            assert str(caught.value).startswith(text)


def test_bad_numbers_are_refused_by_name() -> None:
    model = machine_of(SMALL["one"])
    for name, values in {"copies": (1, 2.5, None), "rounds": (19, "x", True), "seed": (-1, 0.5)}.items():
        for value in values:
            with pytest.raises(boltz.InputError, match=f"^{name} must be"):
                exchange_log_z(model, **{name: value})  # type: ignore[arg-type]
    for words in ({"chains": 0}, {"chains": 2.0}, {"rounds": 19}, {"seed": None}):
        with pytest.raises(boltz.InputError, match=f"^{next(iter(words))} must be"):
            boltz.tempered_sample(model, **words)  # type: ignore[arg-type]
    with pytest.raises(boltz.InputError, match=r"^rounds must be at least 21 for 1281 chains, got 20\.$"):
        boltz.tempered_sample(model, 1281, 20)


def test_a_machine_without_weights_has_no_error(quick: None) -> None:
    model = boltz.from_arrays([np.zeros((3, 2))], [np.zeros(3), np.zeros(2)])
    found: LadderEstimate = exchange_log_z(model, copies=30, rounds=20, base={"v": np.full(3, 0.5), "h1": [0.5, 0.5]})
    assert found.estimate.value == pytest.approx(5 * np.log(2), rel=1e-12) and found.estimate.standard_error < 1e-12
