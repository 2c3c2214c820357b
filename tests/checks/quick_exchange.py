"""Quick checks of replica exchange, its estimates of log Z, both sides together and the findings on them.

Each check takes no argument, has a fixed key and the false-alarm rate stats.ALPHA = 1e-6, or compares exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from checks.ladders import (
    HIGH,
    KEY,
    KINDS,
    Rungs,
    bimodal,
    check_bend_of,
    exact_start,
    journeys,
    ladder_of,
    laws,
    slow,
    tables,
)
from checks.two_sided import both, ladder, made
from oracles import enumeration
from oracles.enumeration import Table
from scipy.stats import t as student
from support import stats
from support.machines import machine_of, rates_of

from boltz.diagnostics.log_z import doubling, overlap
from boltz.estimators.estimate import interval
from boltz.estimators.replica_exchange import bennett, estimated
from boltz.estimators.two_sided import bracket
from boltz.sampling import replica_exchange
from boltz.sampling.ladder_fitting import fitted_ladder, fitted_places
from boltz.sampling.ladders import Temperatures
from boltz.sampling.replica_exchange import exchange, replicas_of
from boltz.targets import path_to

RBM = Table.random([4, 3], 2.5, 41)
DBM = Table.random([2, 3, 2], 2.5, 41)
PLAIN = Table.random([4, 3], 1.2, 42)


def check_joint_law() -> None:
    """Pairs of rungs, and of copies next to each other, after three rounds from exact draws."""
    copies = 8_000
    cases: list[tuple[str, Table, Rungs]] = [(KINDS[0], RBM, 3), (KINDS[1], DBM, 2), (KINDS[0], slow(), HIGH)]
    for kind, table, rungs in cases:
        replicas = exact_start(table, rungs, copies, kind)
        exchange(replicas, 3, keep=0)
        held = replicas.ladder.held
        wanted = laws(table, held, rungs)
        size = len(wanted[0])
        found = [enumeration.numbers(table, state, held) for state in replicas.states]
        for k in range(len(wanted) - 1):
            joint = np.multiply.outer(wanted[k], wanted[k + 1]).reshape(-1)
            twins = 0.9 * joint + 0.1 * np.diag(wanted[k]).reshape(-1)
            assert stats.detectable_chi_square(copies, joint, twins)
            counts = np.bincount(found[k] * size + found[k + 1], minlength=size**2)
            stats.accept(stats.chi_square(counts, joint), "neighbouring rungs do not keep their law")
        for p, x in zip(wanted, found, strict=True):
            counts = np.bincount(x[::2] * size + x[1::2], minlength=size**2)
            stats.accept(stats.chi_square(counts, np.multiply.outer(p, p).reshape(-1)), "copies are not independent")


def check_ratios() -> None:
    """What is recorded are the densities at the states before the swap."""
    for kind in KINDS:
        for number in (0, 1):
            replicas, path = exact_start(DBM, 4, 40, kind), ladder_of(DBM, 4).path
            replicas.rounds, betas = 2 + number, np.linspace(0, 1, 4)  # not one of the rounds that flip
            states = [{n: x.copy() for n, x in state.items()} for state in replicas.states]
            found = exchange(replicas, 2, keep=0)
            log_f = np.array([[path.log_density(s, b) for b in betas] for s in states])  # type: ignore[union-attr]
            for k in range(number, 3, 2):
                np.testing.assert_allclose(found.up[k, 0], log_f[k, k + 1] - log_f[k, k], atol=1e-9)
                np.testing.assert_allclose(found.down[k, 0], log_f[k + 1, k] - log_f[k + 1, k + 1], atol=1e-9)
            np.testing.assert_allclose(found.height[0], log_f[3, 3], atol=1e-9)


def check_journeys() -> None:
    """Trips against loops that follow each replica."""
    for rungs in (2, 3, 4):
        replicas = exact_start(PLAIN, rungs, 8)
        found = exchange(replicas, 40)
        trips, _ = journeys(found.up, found.down, 8)
        assert (found.trips == trips).all() and trips.sum() > 0


def check_kept_states() -> None:
    """As many as asked for, the last of them where the chains stand."""
    replicas = exact_start(PLAIN, 2, 6)
    found = exchange(replicas, 20, 20)
    for n, x in found.samples.items():
        assert len(x) == 120 and (x[-6:] == replicas.states[-1][n]).all()


def check_going_on() -> None:
    """Thirty rounds are thirteen and seventeen, and the sweeps of a rung differ from round to round."""
    whole, parts = exact_start(DBM, 3, 20), exact_start(DBM, 3, 20)
    found = exchange(whole, 30)
    heights = np.concatenate([exchange(parts, rounds).height for rounds in (13, 17)])
    assert (heights == found.height).all() and (whole.ends == parts.ends).all()


def check_log_z() -> None:
    """log Z of every rung by Student's test, of both kinds of ladder; catches 0.1 nats."""
    for kind in KINDS:
        replicas = replicas_of(ladder_of(PLAIN, 3, kind), 200, 5, KEY)
        exchange(replicas, 10, keep=0)
        found = estimated(replicas, exchange(replicas, 60))
        truth = np.array([enumeration.log_z(table) for table in tables(PLAIN, 3)])
        assert abs(found.log_z[0] - truth[0]) < 1e-9, "the first rung is exact"
        p = 2 * student.sf(np.abs(found.log_z - truth)[1:] / found.errors[1:], 199)
        stats.accept(stats.smallest_of(p), "log Z along the ladder is off")
        assert all(stats.detectable_ratio(0.1, error) for error in found.errors[1:])


@contextmanager
def plain() -> Iterator[None]:
    """Exchange without turning round and flipping, which would let slow machines mix."""
    moves, replica_exchange._flipped = replica_exchange._flipped, lambda replicas, rung: None
    try:
        yield
    finally:
        replica_exchange._flipped = moves


def check_errors() -> None:
    """Squared errors of 200 groups of 32 copies beside the variance of their values, at each rung; within 1.8 of it.

    Chains hardly move, so that rounds are no further samples, and rungs are not independent of each other. The variance
    of 200 normal values errs by 10 %, and the mean squared error by less: 1.8 is 5 of those away.
    """
    groups, copies = 200, 32
    replicas = exact_start(slow(), HIGH, groups * copies)
    with plain():
        run = exchange(replicas, 30, keep=0)
    found = []
    for i in range(groups):
        mine = slice(i * copies, (i + 1) * copies)
        part = type(run)(
            run.up[..., mine], run.down[..., mine], run.height[:, mine], run.along[:, mine], run.trips[mine], {}
        )
        found.append(estimated(replicas, part))
    values, errors = (np.array([getattr(x, name) for x in found])[:, 1:] for name in ("log_z", "errors"))
    ratio = np.mean(errors**2, axis=0) / values.var(axis=0, ddof=1)
    assert ((ratio > 1 / 1.8) & (ratio < 1.8)).all(), f"squared errors are {ratio} of the variance"
    low, high = found[0].estimate.interval
    assert (low, high) == interval(found[0].log_z[-1], found[0].errors[-1], copies)


def check_trust() -> None:
    """Halves that drift, copies that never travelled or do not forget, and pairs that do not swap."""
    replicas = replicas_of(ladder_of(PLAIN, 3), 32, 5, KEY)
    run = exchange(replicas, 60, keep=0)
    assert estimated(replicas, run).estimate.trusted
    drift = np.where(np.arange(30) < 15, 1.0, -1.0)[None, :, None]
    for up, down, trips in (
        (run.up + drift, run.down - drift, run.trips),
        (run.up - 40, run.down - 40, run.trips),
        (run.up, run.down, np.where(np.arange(32) < 15, 40, 0)),
        (run.up, run.down, np.full(32, 4)),
    ):
        assert not estimated(replicas, type(run)(up, down, run.height, run.along, trips, {})).estimate.trusted
    replicas = exact_start(slow(), HIGH, 32)
    with plain():
        stuck = estimated(replicas, exchange(replicas, 60, keep=0))
    assert stuck.memory > 0.5 and stuck.trips.min() > 0 and not stuck.estimate.trusted


def check_ladder() -> None:
    """From two ends rungs are put in until neighbours swap; each snapshot is a rung."""
    machine = bimodal()
    path = path_to(machine, {n: np.full(8, 0.5) for n in machine.units})
    found = fitted_places(lambda p: Temperatures(path, p), np.array([0.0, 1.0]), None, KEY)
    run = exchange(replicas_of(Temperatures(path, found), 64, 5, KEY), 40, keep=0)
    assert (np.diff(found) > 0).all() and found[0] == 0 and found[-1] == 1
    assert run.acceptance.min() > 0.1, run.acceptance
    machine = machine_of(PLAIN)
    member = type(machine)(machine.graph, 0.3 * machine.arena)
    along = fitted_ladder(machine, [member], rates_of(PLAIN), 0)
    places = along.places.tolist()  # type: ignore[union-attr]
    assert {0.0, 1.0, 2.0} <= set(places)
    assert (along.members[places.index(1.0)].arena == member.arena).all()  # type: ignore[union-attr]


def check_bracket() -> None:
    """The hull, and trust only where all parts are trusted and none contradicts another."""
    found = bracket(made(9.9, 0.1), made(10.2, 0.2), ladder(made(10.0, 0.01)))
    assert found.interval == (interval(9.9, 0.1, 100)[0], interval(10.2, 0.2, 100)[1]) and found.trusted
    for low, middle, high in ((10.4, 10.0, 10.5), (9.5, 10.4, 10.0), (10.25, 10.05, 9.85)):
        assert not bracket(made(low), made(high), ladder(made(middle))).trusted
    for doubted in range(3):
        parts = [made(10.0, doubts=("made",) * (i == doubted)) for i in range(3)]
        assert not bracket(parts[0], parts[1], ladder(parts[2])).trusted


def check_bennett_far_apart() -> None:
    """Densities hundreds of nats apart, as of a bad ladder: still the root."""
    generator = np.random.default_rng(4)
    for away in (2.0, 20.0, 300.0):
        up, down = generator.normal(-away, 1 + away / 9, (2, 5, 200))
        x = bennett(up, down)
        for shift in (-1e-5, 1e-5):
            left = np.logaddexp.reduce(-np.logaddexp(0, -(up - x[:, None] - shift)), axis=1)
            right = np.logaddexp.reduce(-np.logaddexp(0, -(down + x[:, None] + shift)), axis=1)
            assert (np.sign(left - right) == -np.sign(shift)).all(), away


def check_findings() -> None:
    """Of made parts: what is sound is fine, and each fault is named where it is."""
    sound = both(made(9.95), ladder(made(10.0)), made(10.05))
    assert {f.verdict for f in overlap(sound, made(9.93, steps=500))} == {"fine"}
    lost = overlap(both(made(9.95), ladder(made(10.0), (0.6, 0.01, 0.4, 0.3), (0, 0)), made(10.05)))
    assert [f.verdict for f in lost] == ["fine", "bad", "bad", "bad", "fine", "fine"]
    assert "0.25 and 0.5:" in lost[1].sentence and lost[3].value == 0
    wide = {f.name: f.verdict for f in overlap(both(made(9.0), ladder(made(10.0)), made(11.0)))}
    assert wide["forward/reverse gap"] == wide["log Z"] == "attention"
    crossed = {f.name: f.verdict for f in overlap(both(made(11.0), ladder(made(10.0)), made(9.0)))}
    assert crossed["forward/reverse gap"] == crossed["log Z"] == "bad"
    assert doubling(made(9.0, steps=500), made(10.0)).verdict == "attention"
    assert doubling(made(10.0, steps=500), made(10.0, ess=2.0)).verdict == "bad"


def check_bend() -> None:
    """As check_bend_of, on an RBM."""
    check_bend_of("rbm")
