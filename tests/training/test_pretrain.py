"""Catches greedy pretraining without doubled inputs or averaged biases, wrong rows upwards, or stages out of order."""

from __future__ import annotations

import numpy as np
import pytest
from checks import training as checks
from scipy.special import expit
from support import stats
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.training.pretraining import compose, recognise, stages, start_pair
from boltz.training.settings import Settings


def test_the_doubling_follows_the_paper() -> None:
    checks.check_doubling_pattern()


def test_stacking_averages_what_two_machines_gave() -> None:
    checks.check_stacking_averages_two_machines()


def test_contrastive_divergence_with_doubled_inputs() -> None:
    checks.check_doubled_contrastive_expectation()


@pytest.mark.parametrize("settings", [Settings(), Settings(pretrain_epochs=0, epochs=3)])
def test_without_pretraining_there_is_one_stage(settings: Settings) -> None:
    plan = stages(boltz.dbm([4, 3, 2]).graph, settings)
    assert [(stage.name, stage.pair, dict(stage.scales)) for stage in plan] == [("joint", None, {})]


def test_only_the_bottom_pair_can_be_pretrained_plainly() -> None:
    """Its RBM learns without doubling; the composed machine has its weights and biases, and its own upper layers."""
    settings = Settings(pretrain="bottom", pretrain_epochs=3)
    model = boltz.dbm([4, 3, 3, 2], np.eye(4), dtype=np.float64)
    before = model.astype(np.float64)
    plan = stages(model.graph, settings)
    assert [(stage.pair, dict(stage.scales), stage.settings.rule) for stage in plan] == [
        (0, {}, "pcd"), (None, {}, "pcd")
    ]  # fmt: skip
    pair = checks.random_pair(plan[0], np.random.default_rng(69))
    compose(model, [pair])
    np.testing.assert_array_equal(model.params["edge/v-h1/weight"], pair.params["edge/v-h1/weight"])
    np.testing.assert_array_equal(model.bias("v"), pair.bias("v"))
    np.testing.assert_array_equal(model.bias("h1"), pair.bias("h1"))
    for name in ("edge/h1-h2/weight", "edge/h2-h3/weight", "layer/h2/bias", "layer/h3/bias"):
        np.testing.assert_array_equal(model.params[name], before.params[name])


def test_an_rbm_is_not_pretrained() -> None:
    with pytest.raises(InputError, match="pretrain_epochs must be 0"):
        stages(boltz.rbm(4, 3).graph, Settings(pretrain_epochs=5))


def test_a_pair_starts_from_the_whole_machine() -> None:
    model = boltz.dbm([4, 3, 2], np.eye(4), dtype=np.float64)
    model.arena[...] = np.random.default_rng(70).normal(size=model.arena.size)
    for stage in stages(model.graph, Settings(pretrain_epochs=1))[:-1]:
        pair = start_pair(model, stage)
        lower, upper = [("v", "h1"), ("h1", "h2")][stage.pair or 0]
        np.testing.assert_array_equal(pair.params["edge/v-h1/weight"], model.params[f"edge/{lower}-{upper}/weight"])
        np.testing.assert_array_equal(pair.bias("v"), model.bias(lower))
        np.testing.assert_array_equal(pair.bias("h1"), model.bias(upper))
        assert not np.shares_memory(pair.arena, model.arena)


def test_composing_twice_is_composing_once() -> None:
    """A run killed while it enters the last stage composes again after its resume."""
    model = boltz.dbm([4, 3, 2], dtype=np.float64)
    rng = np.random.default_rng(71)
    pairs = [checks.random_pair(stage, rng) for stage in stages(model.graph, Settings(pretrain_epochs=1))[:-1]]
    compose(model, pairs)
    once = model.arena.copy()
    compose(model, pairs)
    np.testing.assert_array_equal(model.arena, once)


def test_rows_are_drawn_upwards_with_doubled_inputs() -> None:
    """Two pairs up: binomial table over units; alpha 1e-6; catches a lost doubling and means passed on undrawn."""
    model = boltz.dbm([3, 3, 3, 2], dtype=np.float64)
    plan = stages(model.graph, Settings(pretrain_epochs=1))
    rng = np.random.default_rng(72)
    pairs = [checks.random_pair(stage, rng) for stage in plan[:2]]
    count = 40_000
    batch = np.tile([1.0, 0.0, 1.0], (count, 1))
    first = recognise(pairs[:1], plan[:1], batch, np.arange(count), checks.KEY, 3)
    second = recognise(pairs, plan[:2], batch, np.arange(count), checks.KEY, 3)
    assert np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()
    w, c = [p.params["edge/v-h1/weight"] for p in pairs], [p.bias("h1") for p in pairs]
    p1 = expit(2 * batch[0] @ w[0] + c[0])
    wrong = expit(batch[0] @ w[0] + c[0])
    states = (np.arange(8)[:, None] >> np.arange(3)) & 1
    weight = np.prod(np.where(states, p1, 1 - p1), axis=1)
    p2 = weight @ expit(2 * states @ w[1] + c[1])
    worst = int(np.argmax(np.abs(wrong - p1)))
    assert stats.detectable_binomial(count, p1[worst], wrong[worst], cells=3)
    stats.accept(stats.binomial_table(first.sum(axis=0), count, p1), "first layer drawn upwards wrongly")
    stats.accept(stats.binomial_table(second.sum(axis=0), count, p2), "second layer drawn upwards wrongly")


def test_rows_drawn_upwards_depend_on_the_row_number_and_the_epoch_only() -> None:
    model = boltz.dbm([6, 5, 4], dtype=np.float32)
    plan = stages(model.graph, Settings(pretrain_epochs=1))
    pair = start_pair(model, plan[0])
    rows, batch = np.arange(50), checks.coin_rows(50, 6, 73).astype(np.float32)
    whole = recognise([pair], plan[:1], batch, rows, checks.KEY, 1)
    mixed = np.random.default_rng(74).permutation(50)
    np.testing.assert_array_equal(recognise([pair], plan[:1], batch[mixed], rows[mixed], checks.KEY, 1), whole[mixed])
    assert (recognise([pair], plan[:1], batch, rows, checks.KEY, 2) != whole).any()


def test_nothing_below_leaves_the_batch_as_it_is() -> None:
    batch = checks.coin_rows(5, 4, 75)
    assert recognise([], [], batch, np.arange(5), checks.KEY, 0) is batch


def test_training_runs_the_stages_in_order_and_starts_the_whole_machine_from_them() -> None:
    x = checks.coin_rows(40, 6, 76)
    model = boltz.dbm([6, 5, 4], x)
    run = plain_train(model, x, epochs=1, batch_size=10, chains=8, pretrain_epochs=2)
    assert [(r["stage"], r["epoch"], r["epochs"]) for r in run.history] == [
        ("pretrain-1", 1, 2), ("pretrain-1", 2, 2), ("pretrain-2", 1, 2), ("pretrain-2", 2, 2), ("joint", 1, 1)
    ]  # fmt: skip
    still = plain_train(model, x, epochs=0, batch_size=10, chains=8, pretrain_epochs=2)
    assert len(still.history) == 4
    assert (still.model.arena != model.arena).any()
    assert (still.model.arena != run.model.arena).any()
    other = plain_train(model, x, epochs=1, batch_size=10, chains=8)
    assert (other.model.arena != run.model.arena).any()


def test_pretraining_of_a_pair_is_training_of_that_rbm() -> None:
    """The first stage alone equals CD-1 of the first RBM with its hidden input doubled, computed step by step."""
    from boltz.data.binarize import binarize
    from boltz.rng import Key
    from boltz.training.contrastive import Contrastive
    from boltz.training.loop import _permutation
    from boltz.training.rules import Clock

    x = checks.coin_rows(20, 6, 77).astype(np.float32)
    model = boltz.dbm([6, 5, 4], x, dtype=np.float64)
    run = plain_train(model, x, epochs=0, batch_size=10, pretrain_epochs=1, schedule="constant", seed=5)
    settings = Settings(pretrain_epochs=1, epochs=0, batch_size=10, schedule="constant", seed=5)
    stage = stages(model.graph, settings)[0]
    pair, root = start_pair(model, stage), Key.from_seed(5).derive("train")
    order = _permutation(20, root.derive("pretrain-1").derive("order", 0))
    for step in range(2):
        rows = order[10 * step : 10 * step + 10]
        batch = binarize(x[rows], 1, "dynamic", root.derive("binarize"), 0, rows)
        rule = Contrastive(stage.settings, {"h1": 2.0, "v": 1.0})
        work = checks.Workspace(pair)
        clock = Clock(root.derive("pretrain-1"), step)
        rule.gradient(work, batch.astype(np.float64), {}, clock, checks.SERIAL)
        pair.arena[...] += 0.05 * work.gradient
    np.testing.assert_allclose(run.model.params["edge/v-h1/weight"], pair.params["edge/v-h1/weight"], atol=1e-12)
    np.testing.assert_allclose(run.model.bias("v"), pair.bias("v"), atol=1e-12)


@pytest.mark.parametrize("pretrain", ["bottom", "doubling"])
@pytest.mark.parametrize("center", [False, True])
def test_a_plain_first_pair_is_centred_as_the_whole_machine_is(pretrain: str, center: bool) -> None:
    """It would catch pretraining that is never centred: on rows with rare units its chains leave the data."""
    settings = Settings(pretrain=pretrain, pretrain_epochs=1, center=center)
    found = stages(boltz.dbm([6, 4, 3]).graph, settings)
    assert [stage.settings.center for stage in found[:-1]] == [center and pretrain == "bottom"] * (len(found) - 1)
    assert found[-1].settings.center is center
