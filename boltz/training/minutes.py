"""A training that takes so many minutes: measured on this machine, planned, and told before and after.

The longest training within the time keeps the ratio of the stages that the preset of the machine has, and what else the
preset says: batches, chains, schedule and averaging.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boltz import checks
from boltz.data import Data
from boltz.data.dataset import held_rows
from boltz.errors import InputError
from boltz.foreign import short_repr
from boltz.models.blueprint import Blueprint
from boltz.models.files import Model
from boltz.presets import LEAST_PARTED, UNJUDGED, VALIDATION, lengths_of, patience_for
from boltz.progress import duration
from boltz.training import measuring
from boltz.training.curves import Expected, expected
from boltz.training.meaning import largest
from boltz.training.pacing import LONGEST, Cost, Pace, in_ratio, longest, longest_within, scaled
from boltz.training.settings import AnySettings
from boltz.training.stages import stages

LEAST_MINUTES, MOST_MINUTES = 1e-6, 60.0 * 24 * 365
OFTEN = 2.0  # times the epochs of the preset, from which on held-out rows have to say when it is enough
LOADING = 0.1  # share of the minutes that loading and compiling may take of them
CLOCK = time.perf_counter


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan: its epochs, and the seconds that they should take."""

    name: str
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a training of so many minutes will be.

    settings: those of the training; stages: how long each should take; seconds: what the training has, once what
    came before it and what comes after it are taken off; rest: seconds for what comes after it; costs: the measured
    pace of each stage; expected: the log-likelihood of test rows that trainings of this kind had, None where none was
    recorded on these rows. A plan is shown as sentences, and boltz.train takes it as its minutes.
    """

    minutes: float
    settings: AnySettings
    stages: tuple[PlannedStage, ...]
    seconds: float
    rest: float
    costs: tuple[Cost, ...]
    expected: Expected | None = None

    @property
    def needed(self) -> float:
        """Seconds that the training should take."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def before(self) -> float:
        """Seconds of the minutes that were gone when it was made."""
        return 60 * self.minutes - self.seconds - self.rest

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        paces = [cost.pace for cost in self.costs]
        listed = [
            {
                "name": stage.name,
                "epochs": stage.epochs,
                "seconds": round(stage.seconds, 2),
                "update_seconds": pace.update,
            }
            for stage, pace in zip(self.stages, paces, strict=True)
        ]
        expected = None if self.expected is None else self.expected.as_dict()
        times = {"seconds": round(self.seconds, 2), "rest_seconds": round(self.rest, 2)}
        return {"minutes": self.minutes, **times, "stages": listed, "expected": expected}

    def __str__(self) -> str:
        return " ".join(sentences(self))

    def __repr__(self) -> str:
        epochs = ", ".join(f"{stage.name} {stage.epochs:,}" for stage in self.stages)
        return short_repr("Plan", (f"{self.minutes:g} minutes", f"epochs: {epochs}"))


def sentences(plan: Plan) -> list[str]:
    """What a plan will do and expects, in plain words."""
    settings = plan.settings
    parts = [(f"{stage.epochs:,} epoch{'s' * (stage.epochs > 1)}", stage.name) for stage in plan.stages if stage.epochs]
    named = [count if len(parts) == 1 else f"{count} of {name}" for count, name in parts]
    epochs = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    then = f", then {duration(plan.rest)} for what follows" if plan.rest >= 1 else ""
    judged = "; held-out rows may end it sooner" if settings.patience else ""
    found = [f"Plan: {epochs} of batches of {settings.batch_size}, about {duration(plan.needed)}{then}{judged}."]
    if plan.expected is not None:
        found.append(str(plan.expected))
    return found


def planned(model: Model, rows: tuple[Data, Data | None], settings: AnySettings, given: Time, free: bool) -> Plan:
    """The plan of a training of a machine that is at its start, on rows and held-out rows, measured on this machine.

    The settings have the lengths of the preset, which are scaled. free: some of the rows may be held out, where the
    training gets long; then the settings of the plan have a validation above 0. Raises InputError where the time is
    too short.
    """
    data, held_out = rows
    begun = CLOCK()
    preset = stages(model.plan, settings)
    if not any(stage.settings.epochs for stage in preset):
        raise InputError("minutes choose epochs, but all stages are left out: name fewer epochs of 0.")
    kept = len(data.x) - (held_rows(len(data.x), settings.validation) if held_out is None else 0)
    trial = measuring.Given(min(measuring.SECONDS, measuring.SHARE * given.seconds), settings.patience > 0)
    paces = measuring.paces(model, preset, rows, trial, CLOCK)
    found = plan_for(model.plan, settings, kept, paces, given.less(CLOCK() - begun))
    if free and not isinstance(data.x, np.memmap):
        judged = judged_if_long(model.kind, settings, found.settings, len(data.x))
        if judged is not settings:
            kept = len(data.x) - held_rows(len(data.x), judged.validation)
            paces = measuring.paces(model, preset, rows, replace(trial, judged=True), CLOCK)
            found = plan_for(model.plan, judged, kept, paces, given.less(CLOCK() - begun))
    return replace(found, expected=expected(model, found.settings, data))


@dataclass(frozen=True)
class Time:
    """The minutes that were asked for, the seconds that the training has of them, and those for what comes after it."""

    minutes: float
    seconds: float
    rest: float = 0.0

    @classmethod
    def of(cls, minutes: float) -> Time:
        """All of the minutes for the training."""
        return cls(minutes, 60 * minutes)

    def less(self, seconds: float) -> Time:
        """Once so many seconds of the training are gone."""
        return replace(self, seconds=self.seconds - seconds)


def plan_for(plan: Blueprint, settings: AnySettings, rows: int, paces: Sequence[Pace], given: Time) -> Plan:
    """The plan that follows from the pace of each stage: the longest training within the time.

    Raises InputError with the minutes that are needed where not even one epoch of each stage fits.
    """

    usual, most = stages(plan, settings), longest(settings, plan.kind)
    costs = [(s.settings.epochs, Cost.of(s, pace, rows)) for s, pace in zip(usual, paces, strict=True)]

    def seconds(number: int, judged: bool = bool(settings.patience)) -> float:
        epochs = [in_ratio(each, number, most) for each, _ in costs]
        patience = patience_for(plan.kind, epochs[-1] or max(epochs)) if judged else 0
        return sum(cost.seconds(n, patience) for n, (_, cost) in zip(epochs, costs, strict=True))

    number = longest_within(given.seconds, lambda n: seconds(n, False), seconds, LONGEST * most)
    if not number:
        raise _too_few(given, seconds(1))
    chosen: AnySettings = scaled(settings, plan.kind, number)
    if chosen.patience:
        chosen = replace(chosen, patience=patience_for(plan.kind, _last_epochs(chosen)))
    listed = [(s, Cost.of(s, pace, rows)) for s, pace in zip(stages(plan, chosen), paces, strict=True)]
    told = tuple(PlannedStage(s.name, s.settings.epochs, cost.seconds(s.settings.epochs)) for s, cost in listed)
    return Plan(given.minutes, chosen, told, given.seconds, given.rest, tuple(cost for _, cost in listed))


def _last_epochs(settings: AnySettings) -> int:
    """Epochs of the last stage that has any."""
    return settings.epochs or int(largest(getattr(settings, "pretrain_epochs", 1)))


def _too_few(given: Time, training: float) -> InputError:
    """The error of minutes that do not suffice, with those that do."""
    needed = given.minutes + (training - given.seconds) / 60
    wanted = math.ceil(105 * needed) / 100
    parts = f"one epoch of each stage takes {training:.2g} s"
    after = f", and what follows {given.rest:.2g} s" if given.rest >= 0.05 else ""
    return InputError(f"minutes must be at least {wanted:g} here, got {given.minutes:g}: {parts}{after}.")


def judged_if_long(kind: str, preset: AnySettings, planned: AnySettings, rows: int) -> AnySettings:
    """The settings of the preset, with some rows held out where a training of so many is planned so much longer that it
    may learn them by heart.
    """
    longer = _last_epochs(planned) > OFTEN * _last_epochs(preset)
    if not longer or preset.patience or preset.validation or rows < LEAST_PARTED or kind in UNJUDGED:
        return preset
    return replace(preset, validation=VALIDATION, patience=patience_for(kind, _last_epochs(preset)))


def minutes_of(value: Any) -> float:
    """The minutes that somebody asks for; raises InputError."""
    return checks.number(value, "minutes", LEAST_MINUTES, MOST_MINUTES)


def named_length(kind: str, settings: Mapping[str, Any]) -> str | None:
    """The first of the settings that minutes choose and that is named as anything but 0, which leaves a stage out."""
    return next((name for name in lengths_of(kind) if name in settings and largest(settings[name]) != 0), None)


def plain(plan: Plan) -> dict[str, Any]:
    """What run.toml keeps of a plan, whose tables have no None."""
    return {name: value for name, value in plan.as_dict().items() if value is not None}


def compared(plan: Plan, seconds: float, measured: Mapping[str, Any] | None) -> dict[str, Any]:
    """A plan beside what came of it, as plain values: minutes used, and the log-likelihood of test rows if measured."""
    figure = None if measured is None else measured["value"]
    return plan.as_dict() | {"used_minutes": round(seconds / 60, 4), "log_likelihood": figure}


class Stopwatch:
    """Time since it was made, but for what compiling took the first time."""

    def __init__(self) -> None:
        self.began = CLOCK()

    @property
    def seconds(self) -> float:
        """Seconds that count."""
        return CLOCK() - self.began

    def loaded(self, given: float) -> float:
        """Seconds of loading and compiling, of a command that was given so many: a tenth of these counts at most."""
        counted = min(self.seconds, LOADING * given)
        self.began = CLOCK() - counted
        return counted


def used(plan: Plan, seconds: float, epochs: int, figure: float | None = None) -> str:
    """How well a plan guessed, in a sentence: minutes and epochs, and the log-likelihood if expected and measured."""
    planned = sum(stage.epochs for stage in plan.stages)
    said = f"Planned {plan.minutes:.3g} minutes and {planned:,} epochs, used {seconds / 60:.3g} and {epochs:,}"
    if plan.expected is None or figure is None:
        return f"{said}."
    return f"{said}; expected {plan.expected.value:.1f} nats a row, had {figure:.1f}."
