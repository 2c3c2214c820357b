"""Quick checks of trainings that are given minutes: plans from made rates, and runs by a clock that is made, too.

All are exact: no clock of this machine is looked at where anything is compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boltz
from boltz.errors import FileError, InputError
from boltz.presets import completed, preset
from boltz.storage import metrics, run_folder
from boltz.storage import tensors as checkpoint
from boltz.training import curves, held_out, measuring, minutes, pacing, train
from boltz.training.minutes import Plan, Time, plan_for
from boltz.training.pacing import Cost, Pace, Watched
from boltz.training.stages import settings_of

RNG = np.random.default_rng(3)
ROWS = (RNG.random((400, 8)) < 0.3).astype(np.float32)
MACHINES: dict[str, Any] = {
    "rbm": lambda: boltz.rbm(8, 5, ROWS),
    "dbm": lambda: boltz.dbm([8, 5, 3], ROWS),
    "dbn": lambda: boltz.dbn([8, 5, 4, 3], ROWS),
}
PACES = {
    "quick": Pace(0.1, 0.001, 0.002, 0.01),
    "slow to look": Pace(0.5, 0.001, 0.001, 3.0),
    "slow": Pace(1.0, 0.05, 0.1, 0.2),
}
NUMBERS = {"rbm": 1, "dbm": 2, "dbn": 4}  # of stages


def made(kind: str, seconds: float, pace: Pace, rest: float = 0.0, **settings: Any) -> Plan:
    """A plan from a made pace for 1,000 rows, with held-out rows."""
    plan = MACHINES[kind]().plan
    chosen = settings_of(plan, completed(kind, settings, (1000, 8), True))
    return plan_for(plan, chosen, 1000, [pace] * NUMBERS[kind], Time((seconds + rest) / 60, seconds, rest))


def check_plans_fit() -> None:
    """No plan takes longer than its time, and none wastes what another epoch would take, but for the longest ones."""
    for kind in MACHINES:
        for pace in PACES.values():
            for seconds in (30.0, 100.0, 1000.0):
                plan = made(kind, seconds, pace)
                total = sum(c.seconds(s.epochs) for c, s in zip(plan.costs, plan.stages, strict=True))
                assert total == plan.needed <= seconds and all(stage.epochs for stage in plan.stages)
                usual = preset(kind, 1000, 8)
                longest = max(stage.epochs for stage in plan.stages)
                most = pacing.LONGEST * max(usual[name] for name in minutes.lengths_of(kind))
                spare = seconds - total
                one = sum(c.pace.epoch + c.batches * c.pace.update + c.pace.look for c in plan.costs)
                assert longest == most or spare < 40 * one, (kind, pace, seconds, spare, one)


def check_monotone() -> None:
    """With more minutes no stage gets fewer epochs, even where looks at held-out rows get rarer."""
    for kind, pace in (("rbm", PACES["slow to look"]), ("dbm", PACES["slow to look"]), ("dbn", PACES["slow"])):
        before = [0] * NUMBERS[kind]
        for seconds in np.geomspace(20.0, 2000.0, 60):
            try:
                now = [stage.epochs for stage in made(kind, float(seconds), pace).stages]
            except InputError:
                assert not any(before)
                continue
            assert all(a <= b for a, b in zip(before, now, strict=True)), (kind, seconds, before, now)
            before = now
        assert all(before)


def check_too_few() -> None:
    """The refusal names minutes that do suffice, and what follows the training."""
    with pytest.raises(
        InputError, match=r"^minutes must be at least (.*) here, got 0.65: .* and what follows 9 s"
    ) as told:
        made("dbm", 30.0, Pace(5.0, 1.0, 1.0), 9.0)
    wanted = float(str(told.value).split()[5])
    assert 0.65 < wanted < 10
    plan = made("dbm", 60 * wanted - 9, Pace(5.0, 1.0, 1.0), 9.0)
    assert [stage.epochs for stage in plan.stages] == [1, 1]


def check_costs() -> None:
    """The seconds of a stage: its start, updates and records, and as many looks as the loop takes."""
    for epochs in (1, 5, 39, 80, 81, 400):
        for patience in (1, 3, 50):
            due = sum(held_out.due(epoch, epochs, patience) for epoch in range(1, epochs + 1))
            found = Cost(Pace(7.0, 0.5, 0.25, 1000.0), 10, patience).seconds(epochs)
            assert found == 7 + epochs * 5.25 + 1000 * due
    assert Cost(Pace(7.0, 0.5), 10).seconds(0) == 0


def check_held_out() -> None:
    """Rows are held out once a plan is more than twice as long as usual, and not before; and never beside others."""
    usual = settings_of(MACHINES["rbm"]().plan, {"epochs": 100})
    for epochs, share in ((200, 0.0), (201, 0.1)):
        found = minutes.judged_if_long("rbm", usual, replace(usual, epochs=epochs), 10_000)
        assert found.validation == share and bool(found.patience) == bool(share)
    judged = replace(usual, patience=7)
    assert minutes.judged_if_long("rbm", judged, replace(judged, epochs=900), 10_000) is judged
    assert minutes.judged_if_long("rbm", usual, replace(usual, epochs=900), 10) is usual


def check_scaled() -> None:
    """Stages keep their ratio, none gets less than one epoch, and those that are left out stay so."""
    settings = boltz.Settings(epochs=5, pretrain_epochs=(40, 0))
    found = pacing.scaled(settings, "dbm", 20)
    assert (found.epochs, found.pretrain_epochs) == (2, (20, 0))
    assert pacing.scaled(settings, "dbm", 1).epochs == 1


def check_curves() -> None:
    """Between points on a line over the logarithm of the length, flat beyond them, unknown before them."""
    points = [[10, -100.0], [40, -96.0], [160, -95.0]]
    found = curves.read(points, 20, "rows")
    assert found is not None and found.value == pytest.approx(-98.0) and found.error == pytest.approx(1.0)
    assert curves.read(points, 9, "rows") is None
    last = curves.read(points, 10_000, "rows")
    assert last is not None and (last.value, last.error) == (-95.0, curves.LEAST_ERROR)
    model = MACHINES["rbm"]()
    usual = boltz.Settings(epochs=3)
    assert curves.mark(model, usual) == curves.mark(model, replace(usual, epochs=9, seed=4, patience=2))
    assert curves.mark(model, usual) != curves.mark(model, replace(usual, k=2))


def check_trial() -> None:
    """Measuring leaves the machine as it was, and tells a pace for each stage that has epochs."""
    model = MACHINES["dbn"]()
    before = model.arena.tobytes()
    data = boltz.data.from_arrays.as_data(ROWS, "x", model.layers[0])
    chosen = settings_of(model.plan, {"epochs": 0, "pretrain_epochs": 2, "batch_size": 20})
    plan = boltz.training.stages.stages(model.plan, chosen)
    found = measuring.paces(model, plan, (data, None), measuring.Given(0.1, True))
    assert model.arena.tobytes() == before and found[-1] == Pace(0.0, 0.0)
    assert all(pace.update > 0 and pace.epoch > 0 and pace.look > 0 for pace in found[:-1])


class Ticks:
    """A clock by which each look at it takes some seconds; slow ones from a look on."""

    def __init__(self, each: float = 1.0, slower: float = 1.0, after: int = 0) -> None:
        self.each, self.slower, self.after, self.looks, self.now = each, slower, after, 0, 0.0

    def __call__(self) -> float:
        self.looks += 1
        self.now += self.each * (self.slower if self.looks > self.after else 1.0)
        return self.now


def plan_of(model: Any, epochs: list[int], seconds: float, **settings: Any) -> Plan:
    """A plan of so many epochs of which each is to take one second."""
    names = {"pretrain_epochs": epochs[0]} if len(epochs) == 2 else {}
    usual = {"batch_size": 20, "snapshots": 6, "pretrain": "bottom", "chains": 10} | names
    chosen = settings_of(model.plan, usual | {"epochs": epochs[-1]} | settings)
    stages = boltz.training.stages.stages(model.plan, chosen)
    costs = tuple(Cost.of(stage, Pace(0.0, 0.05), 400) for stage in stages)
    told = tuple(minutes.PlannedStage(s.name, n, float(n)) for s, n in zip(stages, epochs, strict=True))
    return Plan(seconds / 60, chosen, told, seconds, 0.0, costs)


@contextmanager
def clock(ticks: Any) -> Iterator[None]:
    """Runs that are made within the block have this clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "CLOCK", ticks)
        yield


def check_planned_anew() -> None:
    """A machine that got half as fast makes about half the epochs, in all stages, and the rate ends at zero."""
    for epochs in ([20], [20, 10]):
        model = MACHINES["rbm" if len(epochs) == 1 else "dbm"]()
        plan = plan_of(model, epochs, float(sum(epochs)), schedule="linear")
        with clock(Ticks()):  # each epoch looks at the clock once
            usual = boltz.train(model, ROWS, minutes=plan)
        assert len(usual.history) == sum(epochs)
        with clock(Ticks(2.0)):
            run = boltz.train(model, ROWS, minutes=plan)
        assert 0.9 * sum(epochs) <= 2 * len(run.history) <= 1.1 * sum(epochs), len(run.history)
        last = run.history[-1]
        assert last["epoch"] == last["epochs"]
        assert last["learning_rate"] < 0.01 * run.settings.learning_rate + run.settings.learning_rate / last["epochs"]
        counts = [sum(r["stage"] == stage.name for r in run.history) for stage in plan.stages]
        assert all(abs(2 * n - wanted) <= 4 for n, wanted in zip(counts, epochs, strict=True)), counts
        with clock(Ticks(0.5)):
            longer = boltz.train(model, ROWS, minutes=plan)
        assert len(longer.history) > 1.7 * sum(epochs)
    watched = Watched(100.0, [Cost(Pace(0.0, 1.0), 1)], Ticks(0.0))
    assert watched.epochs([100], 0, 11) == [100]  # not a mark


def check_resumed() -> None:
    """As _resumed, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        _resumed(Path(folder))


def _resumed(folder: Path) -> None:
    """A run that was planned anew and then stopped goes on by the epochs in its state, whatever the clock says."""
    model = MACHINES["dbm"]()
    plan = plan_of(model, [20, 40], 60.0, averaging="polynomial", checkpoint_seconds=1e6, snapshots=300)
    with clock(Ticks(2.0, 0.5, 12)):
        whole = boltz.train(model, ROWS, folder / "whole", minutes=plan)

    def stop(record: dict[str, Any]) -> None:
        if record["stage"] == "joint" and record["epoch"] == whole.history[-1]["epoch"] - 2:
            raise KeyboardInterrupt

    with clock(Ticks(2.0, 0.5, 12)), pytest.raises(KeyboardInterrupt):
        boltz.train(model, ROWS, folder / "stopped", minutes=plan, watch=stop)
    with clock(Ticks(1000.0)):
        again = boltz.resume(folder / "stopped", ROWS)
    assert len(whole.history) != 60 and [r["epochs"] for r in again.history] == [r["epochs"] for r in whole.history]
    assert again.model.arena.tobytes() == whole.model.arena.tobytes()
    names = [sorted(p.name for p in (folder / each / "trajectory").iterdir()) for each in ("whole", "stopped")]
    assert names[0] == names[1] and len(names[0]) > 3
    assert run_folder.read_settings(folder / "whole")["plan"]["minutes"] == 1.0
    kept = held_out.kept_update(metrics.read_metrics(folder / "whole"), stages_of(plan, model), 400)
    assert kept == 20 * len(whole.history)


def stages_of(plan: Plan, model: Any) -> Any:
    return boltz.training.stages.stages(model.plan, plan.settings)


def check_damaged() -> None:
    """Epochs in a checkpoint that are none are refused in a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        _damaged(Path(folder))


def _damaged(folder: Path) -> None:
    model = MACHINES["rbm"]()
    boltz.train(model, ROWS, folder / "r", minutes=plan_of(model, [4], 4.0))
    path = folder / "r" / run_folder.CHECKPOINT
    tensors, told = checkpoint.read_tensors(path)
    for wrong in (np.array([1, 2]), np.array([-1]), np.array([2.0]), np.array([2**40])):
        checkpoint.write_tensors(path, tensors | {"plan/epochs": wrong}, told)
        with pytest.raises(FileError, match="is not a checkpoint of this run"):
            boltz.resume(folder / "r", ROWS)
