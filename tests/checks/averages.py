"""Checks of averaged parameters against the definition in float64; they also catch the planted faults of averages."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from scipy.special import gammaln
from support.training import plain_train

import boltz
from boltz.parallel import workers
from boltz.training import loop as loops
from boltz.training.averages import APART, MANY, PARTS, Averages
from boltz.training.loop import Loop
from boltz.training.settings import Settings

ROWS = (np.random.default_rng(5).random((60, 6)) < 0.4).astype(np.float32)
MAKE = {
    "rbm": lambda: boltz.rbm(6, 4, ROWS),
    "dbm": lambda: boltz.dbm([6, 4, 3], ROWS),
    "dbn": lambda: boltz.dbn([6, 4, 3], ROWS),
    "vae": lambda: boltz.vae([6, 5], 3, ROWS),
}
LAST = {"averaging": "last", "average_share": 0.3}
SLOW = {"averaging": "exponential", "average_decay": 0.9}
RISING = {"averaging": "polynomial", "average_share": 0.25}
BATCH, EPOCHS = 10, 12


def check_plan(settings: dict[str, Any], updates: int) -> None:
    """The updates that are taken: evenly, in the last share, with the last one; ahead leads from each to the next."""
    plan = Averages.of(Settings(**settings), updates)
    taken = [step for step in range(1, updates + 1) if plan.weight(step) > 0]
    assert taken and set(np.diff(taken)) <= {plan.apart} and 1 <= plan.apart <= APART
    if settings["averaging"] == "last":
        span = settings["average_share"] * updates
        assert taken[-1] == updates and taken[0] >= min(updates - span, updates - 1)
        assert len(taken) >= min(max(int(span), 1), PARTS)
    walked, step = [], 0
    while step + plan.ahead(step) <= updates:
        step += plan.ahead(step)
        walked.append(step)
    assert walked == taken
    assert Averages().ahead(3) == MANY and not Averages().weight(3)


def weights_of(decay: float, power: float, count: int) -> Any:
    """Weights (count,) of so many updates, oldest first: powers of decay, or rising powers of their numbers."""
    ages, numbers = np.arange(count)[::-1], np.arange(1, count + 1)
    return decay**ages if decay else np.exp(gammaln(numbers + power) - gammaln(numbers))


def check_weights(decay: float, power: float) -> None:
    """The running mean of unit vectors shows the weight of each update."""
    plan, average = Averages(3, 2, decay, power), np.zeros(0)
    with workers(average) as pool:
        for step in range(1, 14):
            average = plan.taken(average, np.eye(14)[step], step, pool)
    taken = np.arange(5, 14, 2)
    wanted = np.zeros(14)
    wanted[taken] = weights_of(decay * decay, power, len(taken))
    np.testing.assert_allclose(average, wanted / wanted.sum(), rtol=1e-12, atol=1e-15)


def check_weights_of_all() -> None:
    """Equal weights, falling ones, and ones that rise with the number of the update."""
    for decay, power in ((0.0, 0.0), (0.5, 0.0), (0.0, 2.5)):
        check_weights(decay, power)


def check_kept_by_all() -> None:
    """One machine with all kinds of averages."""
    for settings in (LAST, SLOW, RISING):
        check_kept("rbm", settings)


def check_kept(kind: str, settings: dict[str, Any]) -> None:
    """The kept machine against the mean in float64 of copies after each update of its last stage."""
    found, more = _copies(kind, settings)
    decay, share = settings.get("average_decay", 0.0), settings.get("average_share", 0.0)
    weights = weights_of(decay, 1 / share - 1 if share else 0.0, len(found))
    if settings["averaging"] == "last":
        weights = np.arange(len(found), 0, -1) <= int(share * len(found))
    wanted = np.average(np.array(found, np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(more.model.arena, wanted, rtol=0, atol=2e-6)
    assert np.abs(found[-1] - wanted).max() > 1e-4  # so the last parameters would not pass


def check_programs() -> None:
    """Bits of an averaged machine, with steps in one call and one by one."""
    rows = (np.random.default_rng(6).random((200, 40)) < 0.4).astype(np.float32)
    for settings in (LAST, SLOW):
        found = []
        for worth in (1, MANY):
            with mock.patch.object(loops, "WORTH", worth):
                run = plain_train(boltz.rbm(40, 33, rows), rows, epochs=8, batch_size=20, chains=20, **settings)
            found.append(run.model.arena.tobytes())
        assert found[0] == found[1]


def check_measured() -> None:
    """The last record and the machine that watch hears of are those of the average."""
    heard: list[Any] = []
    run = _run("rbm", LAST, watch=lambda record, model: heard.append((record, model)) and None)
    assert heard[-1][1].arena.tobytes() == run.model.arena.tobytes()
    plain = _run("rbm", {})
    assert run.history[0]["pseudo_likelihood"] == plain.history[0]["pseudo_likelihood"]
    assert run.history[-1]["pseudo_likelihood"] != plain.history[-1]["pseudo_likelihood"]


def check_best() -> None:
    """With held-out rows the kept parameters are one of the averages that were heard of."""
    heard: list[Any] = []
    named = {
        "held_out": ROWS[::2],
        "patience": 4,
        "watch": lambda record, model: heard.append(model.arena.copy()) and None,
    }
    run = _run("rbm", SLOW | {"learning_rate": 1.0}, **named)
    assert any(run.model.arena.tobytes() == arena.tobytes() for arena in heard)


def _run(kind: str, settings: dict[str, Any], **more: Any) -> boltz.Run:
    common = {"epochs": EPOCHS, "batch_size": BATCH, "seed": 3}
    return plain_train(MAKE[kind](), ROWS, **common, **settings, **more)


def _copies(kind: str, settings: dict[str, Any]) -> tuple[list[Any], boltz.Run]:
    """Parameters after each update of the last stage, and the run."""
    found: list[Any] = []
    taken = Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        taken(loop, *arguments)
        if loop.state.stage == len(loop.plan) - 1:
            found.append(loop.state.model.arena.copy())

    with mock.patch.object(Loop, "_step", step), mock.patch.object(loops, "WORTH", MANY):
        return found, _run(kind, settings)
