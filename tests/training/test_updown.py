"""Catches an up-down rule of deep belief nets that differs from enumeration, and nets composed wrongly of RBM pairs.

What is left to chance is a chi-square test of states with a fixed key and the false-alarm rate stats.ALPHA = 1e-6; the
gradient given the states is exact.
"""

from __future__ import annotations

import numpy as np
import pytest
from checks import directed as checks
from checks import directed_laws as laws
from checks.directed import BITS, CLOCK, SERIAL, machine_of, plenty
from oracles import directed as oracle
from oracles import enumeration as undirected
from oracles.directed import Directed
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.nn.arena import Tape
from boltz.parallel import workers
from boltz.sampling.recognition import sampled
from boltz.training import stages as plans
from boltz.training.settings import BeliefSettings
from boltz.training.updown import UpDown, UpDownWorkspace, recognised


def sure_states(x: np.ndarray) -> dict[str, np.ndarray]:
    h1 = np.stack([x[:, 0], 1 - x[:, 1]], axis=1)
    return {"h1": h1, "h2": np.stack([1 - h1[:, 1], h1[:, 0]], axis=1)}


def test_the_gradient_is_that_of_the_states_that_were_drawn() -> None:
    laws.check_up_down_of_its_own_states()


def test_expected_gradients_of_wake_and_sleep() -> None:
    laws.check_up_down_expectations()


def test_contrastive_chains_and_their_dreams_follow_their_law() -> None:
    laws.check_contrastive_cycle()


def test_persistent_chains_and_their_dreams_follow_their_law() -> None:
    laws.check_persistent_cycle()


def test_contrastive_chains_of_two_steps_are_independent() -> None:
    laws.check_independent_steps_of_contrastive_chains()


def test_persistent_chains_start_at_recognised_rows() -> None:
    """Recognition that is certain: the chain's lower layer holds the states of the first rows, over and over."""
    x = undirected.bits(3)
    machine = laws.sure_machine()
    assert (recognised(machine, x, CLOCK.key) == sure_states(x)["h2"]).all()
    state = UpDown(BeliefSettings(rule="pcd", chains=21)).init(machine, x, CLOCK.key, len(x))
    assert set(state) == {"chain/v", "chain/h1"} and state["chain/v"].dtype == np.float64
    assert (state["chain/v"] == np.resize(sure_states(x)["h2"], (21, 2))).all()
    assert UpDown(BeliefSettings(rule="cd")).init(machine, x, CLOCK.key, len(x)) == {}


def test_the_top_rbm_learns_from_recognised_states() -> None:
    """Its positive phase is the mean over rows of exact moments given h2."""
    machine, x = laws.sure_machine(), undirected.bits(3)
    work, _ = laws.one_step(machine, x, rule="cd", k=2)
    h2, fallen = sure_states(x)["h2"], laws.left_on(work.sleep)["h2"]
    table = laws.top_table(machine)
    wanted, minus = laws.moments(table, h2), laws.moments(table, fallen)
    for name, value in wanted.items():
        np.testing.assert_allclose(work.named[name], value - minus[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["cd", "pcd"])
def test_steps_depend_on_neither_threads_nor_earlier_batches(rule: str) -> None:
    machine = machine_of(laws.DEEP)
    x = np.resize(plenty(machine), (150, 3))
    up_down = UpDown(BeliefSettings(rule=rule, k=3, chains=40))
    results, before = [], boltz.threads()
    try:
        for threads in (1, 3):
            boltz.threads(threads)
            work = UpDownWorkspace(machine)
            with workers() as pool:
                for rows in (200, 150) if threads == 3 else (150,):
                    state = up_down.init(machine, x, CLOCK.key, len(x))
                    up_down.gradient(work, np.resize(x, (rows, 3)), state, CLOCK, pool)
            results.append({name: value.copy() for name, value in (work.named | state).items()})
    finally:
        boltz.threads(before)
    assert all((results[0][name] == value).all() for name, value in results[1].items())


def test_reconstruction_error_is_that_of_the_means_sent_down() -> None:
    machine = machine_of(laws.DEEP)
    x, tape = plenty(machine), Tape(machine.arena)
    sampled(machine, tape, x, 1, (CLOCK.key, 0), SERIAL)
    field = oracle.outputs(Directed.of(machine), "generative/v", laws.left_on(tape)["h1"])
    wanted = np.mean(np.sum((x - 1 / (1 + np.exp(-field))) ** 2, axis=1))
    found = UpDown(BeliefSettings()).measure(machine, x, x[:0], CLOCK.key)
    assert found == {"reconstruction_error": pytest.approx(wanted, abs=1e-12)}


# ---------------------------------------------------------------- nets from RBM pairs


def test_composition_keeps_the_conditionals_of_each_pair() -> None:
    laws.check_composition()


def test_a_tied_belief_net_is_its_rbm() -> None:
    laws.check_tied_belief_net()


def test_stages_start_where_the_machine_is_and_come_back() -> None:
    """The pairs of the untrained machine, composed again, leave it as it was."""
    machine = boltz.dbn([5, 4, 3, 2], plenty(machine_of("3b 2b"))[:, [0, 1, 2, 0, 1]], seed=3, dtype=np.float64)
    rng = np.random.default_rng(1)
    for name in machine.params:
        if name.endswith("bias"):
            machine.params[name][...] = rng.normal(size=machine.params[name].shape)
    stages = plans.stages(machine.structure, BeliefSettings(pretrain_epochs=2, epochs=1))
    assert [stage.name for stage in stages] == ["pretrain-1", "pretrain-2", "pretrain-3", "up-down"]
    pairs = [plans.start_pair(machine, stage) for stage in stages[:-1]]
    assert [pair.layers[1].units for pair in pairs] == [4, 3, 2]
    kept = machine.arena.copy()
    machine.arena[...] = np.nan
    plans.compose(machine, pairs)
    assert (machine.arena == kept).all()


def test_pretraining_leaves_a_tied_net_whose_pairs_have_learned() -> None:
    """Greedy training alone: recognition and generation share weights, and every pair has moved."""
    x = np.resize(BITS, (60, 3))
    start = boltz.dbn([3, 4, 3, 2], x, seed=2)
    run = plain_train(start, x, pretrain_epochs=3, pretrain_learning_rate=0.2, epochs=0, batch_size=10, chains=20)
    p, before = run.model.params, start.params
    for below, above in (("v", "h1"), ("h1", "h2")):
        down, up = p[f"generative/{below}/0/weight"], p[f"recognition/{above}/0/weight"]
        assert (down == up.T).all() and (down != before[f"generative/{below}/0/weight"]).all()
    assert (p["prior/edge/v-h1/weight"] != before["prior/edge/v-h1/weight"]).all()


def test_a_belief_net_has_settings_of_its_own() -> None:
    machine = boltz.dbn([3, 2, 2])
    for setting in ({"objective": "vae"}, {"samples": 2}, {"warmup_epochs": 1.0}):
        with pytest.raises(InputError, match="There is no setting"):
            plain_train(machine, BITS, **setting)
    with pytest.raises(InputError, match="rule must be one of cd, pcd"):
        plain_train(machine, BITS, rule="vimco")


def test_every_check_of_this_file_has_a_case_that_fails() -> None:
    """Test of the tests: the exact comparisons notice a gradient of another machine."""
    machine, other = machine_of(laws.DEEP), machine_of(laws.DEEP, seed=9)
    work, _ = laws.one_step(machine, BITS, rule="cd", k=1)
    asleep = laws.left_on(work.sleep)
    with pytest.raises(AssertionError, match="recognition"):
        checks.assert_slopes(work.named, laws.dream_value(asleep, 1 / 3), other, "recognition")
