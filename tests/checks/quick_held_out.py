"""Quick checks of early stopping, of defaults by the number of rows, of simple models, and of what training says.

Each compares exactly, or with enumeration on one fixed seed and a margin that its comment argues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from checks.training import KEY, fixed_point, machine_of
from oracles import enumeration
from oracles.enumeration import Table
from support.training import plain_train

import boltz
from boltz import presets
from boltz.models import products
from boltz.rng import Key
from boltz.sampling.meanfield import variational_free_energy
from boltz.training import held_out, learnt, overfitting
from boltz.training.held_out import SCORE
from boltz.training.stages import stages
from boltz.training.train import _with_gap as with_gap

RNG = np.random.default_rng(5)
PATTERNS = (RNG.random((3, 8)) < 0.5).astype(np.float32)
ROWS = np.abs(PATTERNS[RNG.integers(0, 3, 320)] - (RNG.random((320, 8)) < 0.15)).astype(np.float32)
FOUR = (RNG.random((4, 16)) < 0.5).astype(np.float32)
MANY = np.abs(FOUR[RNG.integers(0, 4, 400)] - (RNG.random((400, 16)) < 0.05)).astype(np.float32)
TRAIN, VALID = ROWS[:20], ROWS[20:]
SHORT: dict[str, Any] = {"batch_size": 10, "learning_rate": 0.3, "schedule": "constant", "chains": 20, "snapshots": 0}


def check_early_stopping() -> None:
    """The best epoch on held-out rows is kept, and the training ends patience epochs after it."""
    run = plain_train(boltz.rbm(8, 20, TRAIN), TRAIN, held_out=VALID, epochs=40, patience=5, **SHORT)
    best = max(run.history, key=lambda record: record[SCORE])["epoch"]
    assert len(run.history) == best + 5 < 40, (best, len(run.history))
    again = plain_train(boltz.rbm(8, 20, TRAIN), TRAIN, epochs=best, **SHORT)
    assert run.model.arena.tobytes() == again.model.arena.tobytes()


def check_score() -> None:
    """The score against enumeration: log-weights of so small a machine spread by less than 0.1, 50 chains by 0.02."""
    model = plain_train(boltz.rbm(8, 5, TRAIN), TRAIN, epochs=5, **SHORT).model
    found = held_out.undirected(model, TRAIN, VALID, boltz.MeanField(), Key.from_seed(0))
    assert abs(found - boltz.log_likelihood(model, VALID, boltz.exact_log_z(model)).value) < 0.2


def check_collapsed_bound() -> None:
    """z-test, alpha 1e-6, of the mean over 5,000 equal rows against enumeration, for two and for three hidden layers.

    Catches a missing entropy, layers above that are not summed, states that are all the same draw, and mean field, from
    which the bound differs by far more.
    """
    for units, seed in (((4, 3, 3), 31), ((3, 3, 2, 2), 34)):
        table = Table.random(units, 1.2, seed)
        row, count = np.random.default_rng(seed).integers(0, 2, units[0]).astype(float), 5000
        machine = machine_of(table)
        means = fixed_point(table, row, table.hidden, table.hidden)
        drawn = enumeration.colours(table)[1]
        rest, constant = enumeration.clamp(table, {"v": row})
        states = np.concatenate(list(enumeration.states(rest, drawn).values()), axis=1)
        q = np.concatenate([means[n][0] for n in drawn])
        share = np.where(states > 0, q, 1 - q).prod(axis=1)
        values = constant - enumeration.free_energy(rest, drawn)
        wanted = share @ values - np.sum(q * np.log(q) + (1 - q) * np.log1p(-q))
        options = boltz.MeanField(1e-13, 5000, 0.3)
        found = held_out.collapsed_bound(machine, np.repeat(row[None], count, axis=0), options, KEY)
        spread = np.sqrt(share @ (values - share @ values) ** 2 / (4 * count))
        plain = -float(variational_free_energy(machine, row[None], options)[0][0])
        assert wanted - plain > 15 * spread and enumeration.log_z(rest) + constant >= wanted
        assert abs(found.mean() - wanted) < 4.9 * spread, (found.mean(), wanted, spread)


def check_watch() -> None:
    """True ends the run; an exception has the run, with its records and parameters."""

    def fail(record: dict[str, Any]) -> None:
        if record["epoch"] == 2:
            raise KeyError

    wanted = plain_train(boltz.rbm(8, 5, TRAIN), TRAIN, epochs=2, **SHORT)
    ended = plain_train(boltz.rbm(8, 5, TRAIN), TRAIN, epochs=9, watch=lambda record: record["epoch"] == 2, **SHORT)
    try:
        plain_train(boltz.rbm(8, 5, TRAIN), TRAIN, epochs=9, watch=fail, **SHORT)
    except KeyError as problem:
        failed: boltz.Run = problem.run  # type: ignore[attr-defined]
    for run in (ended, failed):
        assert len(run.history) == 2 and run.model.arena.tobytes() == wanted.model.arena.tobytes()


def check_defaults() -> None:
    """Some thousands of updates, however few the rows."""
    for rows in (100, 400, 1600, 60_000, 10**7):
        found = presets.preset("rbm", rows, 100)
        assert found["epochs"] * -(-rows // found["batch_size"]) >= presets.LEAST_UPDATES


def check_pretraining() -> None:
    """Named epochs shorten pretraining as the preset has it, and never make it longer; 0 of them leave it."""
    full = presets.preset("dbm", 280, 9)
    wanted = {1: 2, 20: 40, full["epochs"]: full["pretrain_epochs"], 10**6: full["pretrain_epochs"]}
    for epochs, pretrain in {**wanted, 0: full["pretrain_epochs"]}.items():
        assert presets.completed("dbm", {"epochs": epochs}, (280, 9), True)["pretrain_epochs"] == pretrain, epochs
    assert presets.completed("dbm", {"epochs": 1, "pretrain_epochs": 3}, (280, 9), True)["pretrain_epochs"] == 3
    assert presets.completed("dbm", {"epochs": 1}, (280, 9), True, trained=True)["pretrain_epochs"] == 0


def check_few_rows() -> None:
    """One row is seen 500 times, four as often as any handful, and a run on few rows says what it learns."""
    assert [presets.preset("rbm", rows, 8)["epochs"] for rows in (1, 4, 19)] == [500, 2000, 2000]
    for rows in (19, 20):
        notes = plain_train(boltz.rbm(8, 2, TRAIN), TRAIN[:rows], epochs=1, **SHORT).notes
        assert any("learnt by heart" in note for note in notes) == (rows == 19)


def check_products() -> None:
    """Counted rates; a mixture that finds patterns, whose probabilities sum to one."""
    rates = np.exp(products.independent(ROWS[:3]).log_prob(np.eye(8, dtype=np.float32)))
    counted = (ROWS[:3].sum(axis=0) + 0.5) / 4
    wanted = [np.prod([counted[j] if i == j else 1 - counted[j] for j in range(8)]) for i in range(8)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-5)
    found = products.mixture(ROWS, 3, 0)
    states = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.float32)
    assert abs(np.exp(found.log_prob(states)).sum() - 1) < 1e-5
    assert found.log_prob(ROWS).mean() > products.independent(ROWS).log_prob(ROWS).mean() + 0.5  # log 3 less the noise


def check_learnt() -> None:
    """Words on machines that learnt nothing, are worse than independent units or a mixture, diverged, or constant.

    One hidden unit tells two of four patterns apart, and is nats behind a mixture.
    """

    def said(model: Any, rows: Any = ROWS) -> str:
        return " ".join(learnt.notes(model, rows, rows[:0], Key.from_seed(0)))

    plain = boltz.rbm(8, 5, ROWS)
    assert "learnt nothing beyond independent units" in said(plain)
    single = plain_train(boltz.rbm(16, 1, MANY), MANY, epochs=30, batch_size=10, learning_rate=0.1).model
    assert "worse than a mixture of 20 products on its own training rows. Give it more hidden units" in said(
        single, MANY
    )
    several = plain_train(boltz.rbm(16, 12, MANY), MANY, epochs=30, batch_size=10, learning_rate=0.1, center=True).model
    assert said(several, MANY) == ""
    plain.bias("v")[...] *= -4
    assert "worse than independent units" in said(plain)
    plain.params["edge/v-h1/weight"][...] = 0
    assert "5 of the 5 units of h1 have the same posterior mean" in said(plain)
    plain.params["edge/v-h1/weight"][...] = 1e4
    assert "has diverged" in said(plain)


def check_kept_update() -> None:
    """The update that a run keeps follows its best epoch, after all updates that earlier stages were planned to do."""
    settings = boltz.Settings(batch_size=10, epochs=7, pretrain="bottom", pretrain_epochs=3)
    plan = stages(boltz.dbm([8, 4, 2]).graph, settings)
    history = [{"stage": plan[0].name, "epoch": i + 1, SCORE: None} for i in range(3)]
    history += [{"stage": plan[1].name, "epoch": i + 1, SCORE: score} for i, score in enumerate((-3.0, -1.0, -2.0))]
    assert held_out.kept_update(history, plan, 45) == (3 + 2) * 5
    assert held_out.kept_update([], plan, 45) == (3 + 7) * 5
    assert held_out.kept_update([record | {SCORE: None} for record in history], plan, 45) == (3 + 3) * 5


def check_gap() -> None:
    """Gains over independent units on both sides, by enumeration; only a gap beyond chance and size is large."""
    rng = np.random.default_rng(5)
    rows = [(rng.random((count, 6)) < 0.4).astype(np.float32) for count in (300, 200)]
    model = boltz.from_arrays([rng.normal(0, 1, (6, 4))], [rng.normal(0, 1, 6), rng.normal(0, 1, 4)])
    found = overfitting.gap(model, *rows, Key.from_seed(1))
    alone = products.independent(rows[0])
    gains = [boltz.log_likelihood(model, x).per_row - alone.log_prob(x) for x in rows]
    assert found is not None
    wanted = float(gains[0].mean() - gains[1].mean())
    error = float(np.sqrt(sum(x.var(ddof=1) / len(x) for x in gains)))
    assert abs(found.size - wanted) < 1e-4 and abs(found.error - error) < 1e-4
    assert abs(found.train - gains[0].mean()) < 0.3  # a short annealing gives log Z
    large = {(10.0, 5.0, 0.1): True, (10.0, 5.0, 2.0): False, (10.0, 9.0, 0.1): False, (1.0, 0.2, 0.01): False}
    assert [overfitting.Gap(*each).large for each in large] == list(large.values())
    assert overfitting.gap(model, rows[0], rows[1][:5], Key.from_seed(1)) is None


def check_hopeless() -> None:
    """Chains that are not where the data are get no note where the machine learnt nothing or diverged."""
    apart = {"mode_gap": 0.9, "mode_gap_limit": 0.3}
    history, settings, model = [apart] * 3, boltz.Settings(), boltz.rbm(2, 2)
    (said,) = with_gap((), history, settings, model)
    assert "not where the data are" in said
    assert with_gap(("The machine knows.",), history, settings, model) == ("The machine knows.", said)
    for note in (
        "The machine has learnt nothing beyond",
        "The machine has diverged, though",
        f"It is 9, {learnt.FAR}.",
    ):
        assert with_gap((note,), history, settings, model) == (note,)
    worse = f"It is 3 {learnt.WORSE}"  # since its chains left a mode, maybe
    assert with_gap((worse,), history, settings, model) == (worse, said)
