"""Checks of rising numbers of sweeps, of starts of chains, and of the other things that published recipes need.

Planted faults use them too. Each takes no argument and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
from checks.training import (
    KEY,
    chains_of,
    coin_rows,
    deviation_p,
    gradient_of,
    last_class_by_mean,
    machine_of,
    mean_moments,
    subtract,
)
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit
from support import stats
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.training import loop as loops
from boltz.training.clamping import Clamped
from boltz.training.contrastive import Contrastive
from boltz.training.pretraining import stages, start_pair
from boltz.training.schedules import learning_rate, sweeps
from boltz.training.settings import BeliefSettings, Settings

ROWS = coin_rows(60, 6, 301).astype(np.float32)


def check_rising_sweeps() -> None:
    """k = ceil(epoch / 20) over 200 epochs counted from 1; equal shares of other lengths; plain numbers stay."""
    assert [sweeps("1:10", 200, e) for e in range(200)] == [math.ceil((e + 1) / 20) for e in range(200)]
    for epochs in (3, 4, 7, 8):
        found = [sweeps("2:5", epochs, e) for e in range(epochs)]
        shares = np.bincount(found, minlength=6)[2:]
        assert found == sorted(found) and shares.max() - shares.min() <= 1 and shares.sum() == epochs
    assert [sweeps("3:5", 1, 0), sweeps("3:5", 2, 9), sweeps(4, 7, 6), sweeps(4, 0, 0)] == [3, 5, 4, 4]


def check_rate_by_sweeps() -> None:
    """The rate 0.05 / k, with k = 1 + floor(epochs done / 20)."""
    settings = Settings(learning_rate=0.05, epochs=200, k="1:10", schedule="per-sweep")
    for done in (0, 0.5, 19.99, 20, 59.9, 60.0, 199.9):
        assert math.isclose(learning_rate(settings, done), 0.05 / (1 + done // 20), rel_tol=1e-12)
    assert learning_rate(BeliefSettings(learning_rate=0.3, k=4, schedule="per-sweep"), 3.7) == 0.3 / 4


def check_rate_floor() -> None:
    """The rates of the code of 2009: 0.001 / 1.000015^t after t updates, and 1e-4 where that is less."""
    settings = Settings(learning_rate=1e-3, epochs=500, schedule="exponential", decay_epochs=77.017, rate_floor=0.1)
    for update in (0, 1, 600, 60_000, 153_000, 154_000, 299_999):
        wanted = max(1e-3 / 1.000015**update, 1e-4)
        assert math.isclose(learning_rate(settings, update / 600), wanted, rel_tol=1e-5), update


def sweeps_used(**settings: Any) -> list[int]:
    """k of each step of a training, by steps one by one."""
    used: list[int] = []
    original = Contrastive.gradient

    def gradient(self: Contrastive, *arguments: Any) -> Any:
        used.append(self.settings.k)  # type: ignore[arg-type]
        return original(self, *arguments)

    model = settings.pop("model")
    with mock.patch.object(Contrastive, "gradient", gradient), mock.patch.object(loops, "WORTH", 10**9):
        plain_train(model, ROWS, batch_size=20, chains=10, **settings)
    return used


def check_sweeps_of_steps() -> None:
    """Each step of a stage makes the sweeps of its epoch, and each pair has its own."""
    assert sweeps_used(model=boltz.rbm(6, 4), epochs=4, k="1:2") == [1] * 6 + [2] * 6
    deep = sweeps_used(
        model=boltz.dbm([6, 4, 3]), pretrain_epochs=(1, 3), pretrain_k=(2, "1:3"), pretrain="doubling", epochs=1, k=4
    )
    assert deep == [2] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    assert sweeps_used(model=boltz.dbn([6, 4, 3]), pretrain_epochs=0, epochs=2, k="2:3") == [2] * 3 + [3] * 3


def check_rising_sweeps_by_programs() -> None:
    """A recorded program has the bits of single steps while k rises, as it would not with the first k throughout."""
    rows = coin_rows(130, 32, 302).astype(np.float32)
    settings = {"epochs": 6, "batch_size": 32, "chains": 32, "k": "1:3", "schedule": "per-sweep", "learning_rate": 0.3}
    for rule in ("pcd", "cd"):
        fast = plain_train(boltz.rbm(32, 16), rows, rule=rule, **settings)
        with mock.patch.object(loops, "WORTH", 10**9):
            slow = plain_train(boltz.rbm(32, 16), rows, rule=rule, **settings)
        np.testing.assert_array_equal(fast.model.arena, slow.model.arena)


def check_chain_starts() -> None:
    """Chi-square over all joint states, alpha 1e-6: fair coins or a row, and each layer drawn given the one below.

    Catches an input that is not counted twice below the top, one that is at the top, and coins of the biases.
    """
    table, chains = Table.random((2, 2, 2), 1.5, 303), 30_000
    machine, row = machine_of(table), np.array([[1.0, 0.0]])
    every = enumeration.states(table)

    def law(below: float) -> Any:
        first = expit(below * every["v"] @ table.edges["v", "h1"] + table.biases["h1"])
        second = expit(every["h1"] @ table.edges["h1", "h2"] + table.biases["h2"])
        parts = [np.where(every[n] > 0, p, 1 - p).prod(axis=1) for n, p in (("h1", first), ("h2", second))]
        return parts[0] * parts[1]

    coins, here = np.full(len(law(2.0)), 0.25), (every["v"] == row).all(axis=1)
    for how, visible in (("noise", coins), ("up-pass", here)):
        wanted, plain = visible * law(2.0), visible * law(1.0)
        assert stats.detectable_chi_square(chains, wanted[wanted > 0], plain[wanted > 0])
        rule = Contrastive(Settings(chains=chains, chain_start=how))
        found = enumeration.counts(table, chains_of(rule.init(machine, row, KEY, 1)))
        assert found[wanted == 0].sum() == 0
        stats.accept(stats.chi_square(found[wanted > 0], wanted[wanted > 0]), f"particles from {how}")


def check_negative_means() -> None:
    """With negative="means" a layer that is drawn first enters by its mean given what was there before the sweep.

    The chains are the same, bit for bit, so that the two gradients differ by moments of known states.
    """
    table = Table.random((3, 3, 2), 1.2, 304)
    machine, batch, count = machine_of(table), coin_rows(6, 3, 305), 40
    start = {n: coin_rows(count, u, 306 + i) for i, (n, u) in enumerate(table.layers.items())}
    state = {f"chain/{n}": x for n, x in start.items()}
    gradients = {}
    for how in ("states", "means"):
        rule = Contrastive(Settings(chains=count, negative=how))
        gradients[how], after = gradient_of(machine, batch, rule, state, step=2)
    ends = last_class_by_mean(table, chains_of(after))
    drawn = mean_moments(table, ends)
    means = mean_moments(table, ends | {"h2": enumeration.conditional(table, "h2", {"h1": start["h1"]})})
    assert np.abs(means["edge/h1-h2/weight"] - drawn["edge/h1-h2/weight"]).max() > 0.01
    for name, found in gradients["means"].items():
        np.testing.assert_allclose(found - gradients["states"][name], drawn[name] - means[name], rtol=0, atol=1e-13)


def check_pretraining_apart() -> None:
    """Decay and schedule of pretraining are its own where they are named, by pairs too, else those of the rest."""
    whole: dict[str, Any] = {"l2": 0.1, "schedule": "linear", "pretrain_epochs": 3}
    for kind in (Settings, BeliefSettings):
        same, own = kind(**whole), kind(**whole, pretrain_l2=(0.2, 0.0), pretrain_schedule="per-sweep")
        assert [(same.pretraining(i).l2, same.pretraining(i).schedule) for i in (0, 1)] == [(0.1, "linear")] * 2
        assert [(own.pretraining(i).l2, own.pretraining(i).schedule) for i in (0, 1)] == [
            (0.2, "per-sweep"), (0.0, "per-sweep")
        ]  # fmt: skip


def check_initial_scale() -> None:
    """Weights of each pair are the usual normal numbers times its own scale; biases do not follow it."""
    usual, found = boltz.dbm([5, 4, 3], ROWS[:, :5]), boltz.dbm([5, 4, 3], ROWS[:, :5], initial_scale=(0.5, 0.002))
    for edge, scale in (("edge/v-h1/weight", 0.5), ("edge/h1-h2/weight", 0.002)):
        np.testing.assert_allclose(found.params[edge], usual.params[edge] * (scale / 0.01), rtol=1e-5)
    np.testing.assert_array_equal(found.bias("v"), usual.bias("v"))
    assert not boltz.rbm(4, 3, initial_scale=0).arena.any()


def check_clamped_expectation() -> None:
    """alpha 1e-6; the enumerated gradient of CD-1 from rows with the upper layer held and the lower one exact.

    Catches an upper layer that is not held, the states of another row, and a sweep that starts elsewhere.
    """
    table = Table.random((3, 3, 2), 1.4, 310)
    few = {"v": coin_rows(6, 3, 311), "h2": coin_rows(6, 2, 312, 0.6)}
    rows = {n: np.repeat(x, 6000, axis=0) for n, x in few.items()}
    batch = np.concatenate([rows["v"], rows["h2"]], axis=1)
    found, _ = gradient_of(machine_of(table), batch, Clamped(Settings(rule="cd")), step=2)

    def law(layer: str, given: dict[str, Any], states: Any) -> Any:
        p = enumeration.conditional(table, layer, given)[:, None]
        return np.where(states > 0, p, 1 - p).prod(axis=2)

    inner, outer = enumeration.states(table, ("h1",)), enumeration.states(table, ("v", "h2"))
    ends = law("v", inner, outer["v"]) * law("h2", inner, outer["h2"])
    share = (law("h1", few, inner["h1"]) @ ends) / len(few["v"])
    state = outer | {"h1": enumeration.conditional(table, "h1", outer)}
    mean, variance = {}, {}
    for name in found:
        layers = name.split("/")[1].split("-")
        value = state[layers[0]] if len(layers) == 1 else np.einsum("si,sj->sij", *(state[n] for n in layers))
        first, second = (np.tensordot(share * len(few["v"]), x, 1) for x in (value, value**2))
        mean[name], variance[name] = first.mean(axis=0), (second - first**2).mean(axis=0) / len(batch)
    positive = mean_moments(table, rows | {"h1": enumeration.conditional(table, "h1", rows)})
    stats.accept(deviation_p(subtract(positive, found), mean, variance), "a held layer has a wrong expected gradient")


def check_two_stages() -> None:
    """The RBM skips a layer and leaves the whole machine as it is; the upper layer is held at what it draws.

    The draws are counted against its posterior, alpha 1e-6.
    """
    rows = np.tile(np.array([[1, 0, 1, 1, 0, 1]], np.float32), (4000, 1))
    model, square = boltz.dbm([6, 4, 3]), boltz.dbm([6, 3, 3])
    for watch in (None, lambda record: True):
        kept = plain_train(
            square, ROWS, pretrain="two-stage", pretrain_epochs=(2, 0), epochs=0, batch_size=20, watch=watch
        )
        np.testing.assert_array_equal(kept.model.arena, square.arena)
    settings = Settings(pretrain="two-stage", pretrain_epochs=(0, 1), epochs=0, center=True, seed=5)
    plan = stages(model.graph, settings)
    assert [(stage.name, stage.settings.rule, stage.settings.center) for stage in plan] == [  # type: ignore[attr-defined]
        ("pretrain-1", "cd", True), ("pretrain-2", "cd", False), ("joint", "pcd", True)
    ]  # fmt: skip
    batches: list[Any] = []
    original = Clamped.gradient

    def gradient(self: Clamped, work: Any, batch: Any, *arguments: Any) -> Any:
        batches.append(batch.copy())
        return original(self, work, batch, *arguments)

    with mock.patch.object(Clamped, "gradient", gradient):
        plain_train(model, rows, **{**settings.as_dict(), "binarize": "none"})
    seen, pair = np.concatenate(batches), start_pair(model, plan[0])
    np.testing.assert_array_equal(seen[:, :6], rows)
    law = expit(rows[0] @ pair.params["edge/v-h1/weight"] + pair.bias("h1"))
    assert np.abs(law - 0.5).max() > 0.1
    stats.accept(stats.binomial_table(seen[:, 6:].sum(axis=0), len(rows), law), "the upper layer is held elsewhere")
    try:
        stages(boltz.dbm([6, 4, 3, 2]).graph, Settings(pretrain="two-stage", pretrain_epochs=1))
    except InputError as problem:
        assert str(problem).startswith("pretrain must be doubling or bottom for 3 hidden layers")
    else:
        raise AssertionError("two stages of three hidden layers")
