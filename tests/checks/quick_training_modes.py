"""Quick checks of training on separated modes: jumps, the ladder of snapshots, and the watch on where chains are.

Each check takes no argument, has a fixed key and the false-alarm rate stats.ALPHA = 1e-6, or compares exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from checks.training import (
    KEY,
    SERIAL,
    assert_close,
    chains_of,
    coin_rows,
    last_class_by_mean,
    machine_of,
    mean_moments,
    subtract,
)
from numpy.typing import NDArray
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit, logit, softmax
from scipy.stats import ks_2samp
from support import stats
from support.training import plain_train

import boltz
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladders import At
from boltz.targets import MachinePath
from boltz.training import exchanging
from boltz.training.exchanging import Exchanging
from boltz.training.jumps import Proposals, Snapshots, jump
from boltz.training.monitor import DIRECTIONS, FALSE_ALARM, Modes, _distance, apart
from boltz.training.pretraining import stages
from boltz.training.rules import Clock
from boltz.training.settings import Settings

Floats = NDArray[np.float64]
COPIES = 8000
MACHINES = (((4, 3), 2.0), ((2, 3, 2), 1.5), ((2, 2, 2, 2), 1.0))  # one hidden class of one layer, or of two


def held_by(table: Table) -> tuple[str, ...]:
    """The class that a sweep draws last."""
    return enumeration.colours(table)[1]


def exact_draws(table: Table, seed: int) -> dict[str, Floats]:
    """Independent states of all layers, (COPIES, units)."""
    return enumeration.draw(table, COPIES, seed)


def accept_law(table: Table, state: Any, fault: str) -> None:
    """The held class has the law of the machine."""
    held = held_by(table)
    stats.accept(stats.chi_square(enumeration.counts(table, state, held), enumeration.marginal(table, held)), fault)


# ---------------------------------------------------------------- jumps


def proposals_of(table: Table, values: Sequence[float]) -> Proposals:
    """Seven rows of means that have nothing to do with the machine."""
    machine = machine_of(table)
    rng = np.random.default_rng(61)
    means = {n: rng.choice(values, (7, table.layers[n])) for n in held_by(table)}
    return Proposals.of(Snapshots(MachinePath((machine, machine)), np.ones(1)), 0, means)


def jumped(table: Table, state: dict[str, Any], times: int, values: Sequence[float]) -> dict[str, Any]:
    """The held class of a state after some jumps to means among these values."""
    proposals, scratch = proposals_of(table, values), Scratch(machine_of(table).arena)
    found = {n: np.array(state[n]) for n in held_by(table)}
    for step in range(times):
        jump(proposals, found, At(KEY, step), scratch)
    return found


def check_jumps_keep_the_law() -> None:
    """Exact draws are exact draws after a jump, whatever rows propose it; those of another law would be noticed."""
    for units, scale in MACHINES:
        table = Table.random(units, scale, 62)
        start, p = exact_draws(table, 63), enumeration.marginal(table, held_by(table))
        moved = jumped(table, start, 1, (0.0, 0.2, 0.5, 0.9, 1.0))
        assert stats.detectable_chi_square(COPIES, p, 0.85 * p + 0.15 / len(p))
        accept_law(table, moved, "a jump changes the law of the chains")
        assert any((moved[n] != start[n]).any() for n in moved), "no jump was accepted"


def check_jumps_cross() -> None:
    """Chains that all start in one state have the law of the machine after ten jumps, and are independent."""
    for units, scale in MACHINES:
        table = Table.random(units, scale / 2, 64)
        held, start = held_by(table), {n: np.zeros((COPIES, u)) for n, u in table.layers.items()}
        p = enumeration.marginal(table, held)
        stuck = 0.95 * p
        stuck[0] += 0.05
        assert stats.detectable_chi_square(COPIES, p, stuck)
        found = jumped(table, start, 10, (0.3, 0.5, 0.7))
        accept_law(table, found, "jumps do not lead to the law of the machine")
        pairs = enumeration.numbers(table, found, held).reshape(-1, 2) @ [len(p), 1]
        counts = np.bincount(pairs, minlength=len(p) ** 2)
        stats.accept(stats.chi_square(counts, np.multiply.outer(p, p).reshape(-1)), "chains jump together")


def all_states(table: Table) -> dict[str, Floats]:
    """Every state of the held class."""
    return enumeration.states(table, held_by(table))


def check_jumps_are_exactly_reversible() -> None:
    """No chance: the matrix of all jumps, with the probabilities by which they are accepted, keeps the law of a DBM."""
    for units, scale in MACHINES:
        table = Table.random(units, scale, 77)
        proposals, scratch = proposals_of(table, (0.0, 0.2, 0.5, 0.9, 1.0)), Scratch(machine_of(table).arena)
        states, p = all_states(table), enumeration.marginal(table, held_by(table))
        weights, _ = proposals.weigh(states, At(KEY, 0), scratch)
        x = np.hstack([states[n] for n in held_by(table)])
        means = np.hstack([np.clip(proposals.means[n], 0, 1) for n in held_by(table)])
        q = np.prod(np.where(x[:, None] == 1, means, 1 - means), axis=2).mean(axis=1)
        assert abs(q.sum() - 1) < 1e-12
        moves = q * np.minimum(1, np.exp(weights[None] - weights[:, None]))
        moves += np.diag(1 - moves.sum(axis=1))
        assert np.abs(p @ moves - p).max() < 1e-12, "jumps do not keep the law"
        assert np.diag(moves).max() < 1 - 1e-6


def check_swaps_are_exactly_reversible() -> None:
    """No chance: swaps of all pairs of states of two machines of a DBM's training keep both laws, all else summed out.

    A difference of energies at one state of the summed class, or of one layer alone, would not.
    """
    for units, scale in MACHINES:
        one, other = Table.random(units, scale, 78), Table.random(units, scale, 79)
        held, states = held_by(one), all_states(one)
        ladder = Snapshots(MachinePath((machine_of(one), machine_of(other))), np.arange(2.0))
        assert ladder.held == held
        scratch = Scratch(machine_of(one).arena)
        (first, _), (second, _) = ladder.look(states, (0, 1), At(KEY, 0), scratch)
        laws = [enumeration.marginal(table, held) for table in (one, other)]
        up = second - first
        swapped = np.minimum(1, np.exp(up[:, None] - up[None]))  # of states i at the first machine, j at the second
        p = np.multiply.outer(*laws)
        kept = p * (1 - swapped) + (p * swapped).T
        assert np.abs(kept - p).max() < 1e-12, "swaps do not keep the laws"


# ---------------------------------------------------------------- the ladder


def ladder_state(table: Table, rungs: int) -> tuple[list[Table], dict[str, Any]]:
    """Machines on the way to a table, which comes last, and the arrays of the rule with exact draws at each of them."""
    machines = [
        Table(
            table.layers,
            {e: w * (k + 1) / (rungs + 1) for e, w in table.edges.items()},
            {n: b - 0.4 * (rungs - k) / rungs for n, b in table.biases.items()},
        )
        for k in range(rungs + 1)
    ]
    draws = [exact_draws(each, 70 + k) for k, each in enumerate(machines)]
    state: dict[str, Any] = {f"chain/{n}": x for n, x in draws[-1].items()}
    state["ladder/parameters"] = np.stack([machine_of(each).arena for each in machines[:-1]])
    state["ladder/rejection"] = np.zeros(rungs)
    state |= {f"ladder/{n}": np.stack([x[n] for x in draws[:-1]]) for n in held_by(table)}
    return machines, state


def check_every_rung_keeps_its_law() -> None:
    """One call of the rule on exact draws: neighbouring rungs, the machine that trains included, stay independent."""
    for units, scale in MACHINES:
        table, rungs = Table.random(units, scale, 65), 2
        machines, state = ladder_state(table, rungs)
        held = held_by(table)
        before = [state["ladder/parameters"].copy(), *(state[f"ladder/{n}"].copy() for n in held)]
        rule = Exchanging(Settings(rule="ptt", chains=COPIES, rungs=rungs))
        work = rule.workspace(machine_of(table))
        rule.gradient(work, coin_rows(9, units[0], 66), state, Clock(KEY, 8), SERIAL)
        np.testing.assert_array_equal(state["ladder/parameters"], before[0])
        assert all((state[f"ladder/{n}"] != x).any(axis=(1, 2)).all() for n, x in zip(held, before[1:], strict=True))
        found = [{n: state[f"ladder/{n}"][k] for n in held} for k in range(rungs)] + [chains_of(state)]
        laws = [enumeration.marginal(each, held) for each in machines]
        numbers = [enumeration.numbers(table, each, held) for each in found]
        for k in range(rungs):
            joint = np.multiply.outer(laws[k], laws[k + 1]).reshape(-1)
            counts = np.bincount(numbers[k] * len(laws[0]) + numbers[k + 1], minlength=len(joint))
            other = np.multiply.outer(laws[k], laws[k]).reshape(-1)
            assert stats.detectable_chi_square(COPIES, joint, other)
            stats.accept(stats.chi_square(counts, joint), "neighbouring rungs do not keep their laws")


def check_exchanged_chains() -> None:
    """Chains that left the mode of their snapshot come back: only swaps can bring them, since no row proposes it."""
    big = 12.0
    table = Table.chain([np.full((4, 3), big)], [np.full(4, -1.5 * big), np.full(3, -2 * big)])  # all on or all off
    machine, chains = machine_of(table), 2000
    rule = Exchanging(Settings(rule="ptt", chains=chains, rungs=2))
    state = rule.init(machine, np.zeros((5, 4)), KEY, 5)
    state["ladder/parameters"][:] = machine.arena
    state["ladder/h1"][1, chains // 2 :] = 1
    work, rows = rule.workspace(machine), np.zeros((5, 4))
    for step in (4, 12):  # no round in which classes are turned round
        rule.gradient(work, rows, state, Clock(KEY, step), SERIAL)
    assert state["chain/h1"].all(axis=1).sum() == chains // 2, "equal machines swap whatever they hold"
    assert state["ladder/rejection"].max() < 0.01


def check_gradient_is_that_of_its_own_chains() -> None:
    """RBM: posterior moments of the batch minus those of the chains that the call leaves behind."""
    table = Table.random((5, 4), 1.0, 67)
    batch = coin_rows(12, 5, 68)
    for k, rungs in ((1, 2), (3, 4)):
        rule = Exchanging(Settings(rule="ptt", chains=9, rungs=rungs, k=k))
        found, state = one_call(table, batch, rule)
        fantasy = last_class_by_mean(table, chains_of(state))
        assert_close(found, subtract(enumeration.posterior_moments(table, batch), mean_moments(table, fantasy)), 1e-12)


def one_call(table: Table, batch: Floats, rule: Exchanging) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The gradient by name and the rule's arrays after one call from a fresh state."""
    machine = machine_of(table)
    state = rule.init(machine, batch, KEY, len(batch))
    found = rule.gradient(rule.workspace(machine), batch, state, Clock(KEY, 4), SERIAL)
    return {name: x.copy() for name, x in found.items()}, state


def check_steps_of_the_ladder_are_independent() -> None:
    """From the same arrays two steps lead a rung to states of other chains, by its sweeps alone and by jumps alone."""
    table = Table.random((4, 3), 0.5, 75)
    machine, rule, batch = machine_of(table), Exchanging(Settings(rule="ptt", chains=400, rungs=2)), coin_rows(9, 4, 76)
    moved = []
    for step in (6, 8):
        for part in ("sweeps", "jumps"):
            state = rule.init(machine, batch, KEY, len(batch))
            replicas, clock = exchanging._replicas(machine, state, KEY), Clock(KEY, step)
            if part == "sweeps":
                rule._exchange(replicas, state, step)
            else:
                rule._jump(replicas, batch, clock, SERIAL)
            moved.append(state["ladder/h1"][0].copy())
    for one, other in zip(moved[:2], moved[2:], strict=True):
        assert (one != other).any(axis=1).mean() > 0.2, "chains of two steps coincide"


def check_first_ladder() -> None:
    """From independent units with the rates of the rows straight to the machine; all rungs start at the particles."""
    table, rungs, rows = Table.random((4, 3), 1.0, 69), 4, coin_rows(11, 4, 70)
    machine = machine_of(table)
    state = Exchanging(Settings(rule="ptt", chains=6, rungs=rungs)).init(machine, rows, KEY, len(rows))
    base = np.zeros_like(machine.arena)
    base[12:16] = logit((rows.sum(axis=0) + 1) / 13)
    base[16:] = logit((enumeration.conditional(table, "h1", {"v": rows}).sum(axis=0) + 1) / 13)
    wanted = [base + k / rungs * (machine.arena - base) for k in range(rungs)]
    np.testing.assert_allclose(state["ladder/parameters"], wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(state["ladder/h1"], np.stack([state["chain/h1"]] * rungs))
    np.testing.assert_array_equal(state["chain/v"], rows[:6])


def check_snapshots() -> None:
    """The rung between the closest neighbours gives way, never the first one; rejections add up over the gap."""
    table = Table.random((4, 3), 1.0, 71)
    machine = machine_of(table)
    for rejection, order, left in (
        ([0.3, 0.1, 0.1, 0.5], [0, 1, 3], [0.3, 0.2, 0.5, 0]),
        ([0.0, 0.1, 0.6, 0.5], [0, 2, 3], [0.1, 0.6, 0.5, 0]),
        ([0.9, 0.8, 0.7, 0.1], [0, 1, 2], [0.9, 0.8, 0.8, 0]),
        ([0.9, 0.8, 0.7, 0.7], [0, 1, 2], [0.9, 0.8, 1.0, 0]),
    ):
        state: dict[str, Any] = {"ladder/rejection": np.array(rejection)}
        state["ladder/parameters"] = np.arange(4.0)[:, None] + np.zeros_like(machine.arena)
        state["ladder/h1"], state["chain/h1"] = np.arange(4.0)[:, None, None] + np.zeros((5, 3)), np.full((5, 3), 9.0)
        exchanging._leave_snapshot(machine, state)
        np.testing.assert_array_equal(state["ladder/h1"][:, 0, 0], [*order, 9])
        np.testing.assert_array_equal(state["ladder/parameters"][:-1, 0], order)
        np.testing.assert_array_equal(state["ladder/parameters"][-1], machine.arena)
        np.testing.assert_allclose(state["ladder/rejection"], left, rtol=0, atol=1e-15)


# ---------------------------------------------------------------- the watch


def check_distance_along_leading_directions() -> None:
    """Directions are those of the singular values, the distance that of the two-sample test."""
    x = coin_rows(50, 6, 72) * [1, 1, 0, 1, 1, 1]
    modes = Modes.of(x)
    _, _, axes = np.linalg.svd(x - x.mean(axis=0))
    np.testing.assert_allclose(abs(modes.directions.T @ axes[:3].T), np.eye(3), rtol=0, atol=1e-8)
    np.testing.assert_allclose(modes.places, x @ modes.directions, rtol=0, atol=1e-12)
    assert Modes.of(np.ones((7, 4))).directions.shape == (4, 0)
    rng = np.random.default_rng(73)
    for first, second in ((rng.normal(size=40), rng.normal(0.5, 2, 90)), (np.array([0, 0, 1]), np.array([0, 1, 1, 1]))):
        assert abs(_distance(first, second) - ks_2samp(first, second).statistic) < 1e-12


def lopsided(weight: float) -> boltz.BoltzmannMachine:
    """8 visible and 2 hidden units, all on or all off; all off has exp(weight) times the probability."""
    return boltz.from_arrays([np.full((8, 2), 6.0)], [np.full(8, -6.0), np.full(2, -24.0 - weight / 2)])


def check_watch() -> None:
    """Chains that sit where the data are do not hide that the machine has left a mode; a fair machine is let be."""
    rows = np.repeat([[0.0], [1.0]], 125, axis=0) + np.zeros(8)
    modes, options = Modes.of(rows), Settings().mean_field
    sitting = {"v": rows[::2], "h1": rows[::2, :2]}
    noise = modes.limit(len(sitting["v"]))
    assert modes.gap(lopsided(0.0), sitting, options, KEY) < noise
    assert modes.gap(lopsided(20.0), sitting, options, KEY) > 0.45 > noise
    assert modes.gap(lopsided(-20.0), sitting, options, KEY) > 0.45 > noise
    away = {"v": np.zeros((125, 8)), "h1": np.zeros((125, 2))}
    assert modes.gap(lopsided(0.0), away, options, KEY) < noise, "chains that can jump come back"
    assert modes.gap(lopsided(20.0), away, options, KEY) > 0.45


def check_limit() -> None:
    """Two samples of one law are further apart with a probability of at most e exp(-2 n d^2), n = ab / (a + b)."""
    modes = Modes.of(coin_rows(60, 5, 73))
    for chains in (3, 40):
        n = 60 * chains / (60 + chains)
        wanted = np.sqrt(np.log(DIRECTIONS * np.e / FALSE_ALARM) / (2 * n))
        assert abs(modes.limit(chains) - wanted) < 1e-12
    big = Modes(modes.rows, modes.directions, np.zeros((10**6, 3)))
    assert big.limit(10**6) == 0.3


def check_note() -> None:
    """A note needs three epochs in a row at the end, all beyond their limit."""
    far, near, none = ({"mode_gap": gap, "mode_gap_limit": 0.3} for gap in (0.5, 0.2, None))
    for history, noted in (
        ([far] * 3, True),
        ([near, far, far, far], True),
        ([far, far], False),
        ([far, far, near], False),
        ([far, near, far, far], False),
        ([none] * 4, False),
        ([], False),
    ):
        for rule in ("pcd", "ptt"):
            found = apart(history, rule)
            assert bool(found) is noted
            if noted:
                assert "0.50" in found[0] and ("--rule ptt" in found[0]) is (rule == "pcd")


def two_patterns(share: float, rows: int, units: int, seed: int) -> tuple[Floats, Floats]:
    """Noisy rows of two complementary patterns, and the first pattern."""
    rng = np.random.default_rng(seed)
    pattern = (rng.random(units) < 0.5).astype(np.float64)
    exact = np.where(rng.random((rows, 1)) < share, pattern, 1 - pattern)
    return np.abs(exact - (rng.random((rows, units)) < 0.02)), pattern


def share_of(model: boltz.BoltzmannMachine, pattern: Floats) -> float:
    """Probability of hidden states whose visible means are nearer to a pattern than to its opposite, by enumeration."""
    states = enumeration.bits(model.units["h1"])
    means = expit(states @ model.params["edge/v-h1/weight"].T + model.bias("v"))
    p = softmax(-model.free_energy({"h1": states}))
    return float(p @ (np.abs(means - pattern).sum(axis=1) < len(pattern) / 2))


def check_separated_modes() -> None:
    """Persistent chains end far from the truth and a note says so; those that exchange and jump learn both shares."""
    rows, pattern = two_patterns(0.7, 400, 30, 75)
    settings: dict[str, Any] = {"epochs": 30, "batch_size": 40, "learning_rate": 0.1}
    start, data = boltz.rbm(30, 8, x=rows), float((np.abs(rows - pattern).sum(axis=1) < 15).mean())
    stuck = plain_train(start, rows, rule="pcd", **settings)
    free = plain_train(start, rows, rule="ptt", rungs=2, **settings)
    assert stuck.notes and not free.notes
    assert abs(share_of(free.model, pattern) - data) < 0.05 < 0.2 < abs(share_of(stuck.model, pattern) - data)
    truth = 0.7 * np.log(0.7) + 0.3 * np.log(0.3) + 30 * (0.02 * np.log(0.02) + 0.98 * np.log(0.98))
    far, near = (boltz.log_likelihood(run.model, rows, boltz.exact_log_z(run.model)).value for run in (stuck, free))
    assert far < truth - 10 and truth - 1 < near


def check_pretraining_exchanges() -> None:
    """The bottom of a DBM is pretrained by the same rule, with its rungs; doubled inputs and other rules have none."""
    graph = boltz.dbm([4, 3, 2]).graph
    for pretrain, rule, wanted in (("bottom", "ptt", "ptt"), ("bottom", "pcd", "pcd"), ("doubling", "ptt", "cd")):
        rungs = {"rungs": 3} if rule == "ptt" else {}
        for stage in stages(graph, Settings(rule=rule, pretrain=pretrain, pretrain_epochs=1, **rungs))[:-1]:
            assert isinstance(stage.settings, Settings) and stage.settings.rule == wanted
            assert isinstance(stage.rule, Exchanging) is (wanted == "ptt")
            assert stage.settings.rungs == (3 if wanted == "ptt" else 6)


def check_never_replayed() -> None:
    """The host decides on swaps and snapshots, so that no graph of a device can hold a step."""
    rule = Exchanging(Settings(rule="ptt"))
    assert not rule.replayable(boltz.rbm(4, 3)) and not rule.replayable(boltz.dbm([4, 3, 2]))
