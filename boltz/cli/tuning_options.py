"""The options of fine-tuning on the command line: what each means, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

from boltz.cli.common import device_option, json_option, table_options, threads_option, word
from boltz.cli.options import HELP, Sectioned, Sections
from boltz.errors import InputError
from boltz.networks.settings import NEEDS, FineTuneSettings
from boltz.training import settings as choices

F = TypeVar("F", bound=Callable[..., Any])
Values = Mapping[str, Any]

DATA = {"binarize": "Grey values kept, cut at 0.5, or as Bernoulli means drawn once.", "shuffle": HELP["shuffle"]}
LENGTH = {
    "epochs": "Passes over the training rows, or iterations of lbfgs.",
    "output_epochs": "Epochs before them in which only the topmost layer learns.",
    "validation": "Share of the training rows that only choose the epoch to keep; 0 keeps the last one.",
    "patience": "Epochs without a better one after which training ends; 0 for never.",
    "refit": "Then train anew on all rows, for as many epochs as were chosen.",
}
STEPS = {
    **{name: HELP[name] for name in ("batch_size", "learning_rate", "schedule", "decay_epochs", "optimizer")},
    **{name: HELP[name] for name in ("momentum", "initial_momentum", "momentum_epochs", "adam_beta1", "adam_epsilon")},
    "adam_second": HELP["adam_second"],
    "dropout": "Share of the hidden units left out at random at each step.",
    "input_dropout": "Share of the visible units left out at random at each step.",
    **{name: HELP[name] for name in ("l2", "l1", "max_norm", "seed")},
}
RUN = {"checkpoint_seconds": HELP["checkpoint_seconds"]}
TABLES = ("levels", "label_column", "drop_columns")
SECTIONS: Sections = {
    "Machine": ({}, ("code",)),
    "Data": (DATA, ("data", "limit", *TABLES, "labels", "few", "test", "test_labels", "split")),
    "How long": (LENGTH, ()),
    "Training": (STEPS, ()),
    "Run": (RUN, ("out", "force", "resume", "device", "threads", "as_json")),
}
TEXTS = DATA | LENGTH | STEPS | RUN
CHOICES = {
    "binarize": FineTuneSettings.binarizations,
    "schedule": choices.SCHEDULES,
    "optimizer": FineTuneSettings.optimizers,
}


class TuningHelp(Sectioned):
    """A command whose help shows the options of fine-tuning by section."""

    sections: ClassVar[Sections] = SECTIONS


def settings_from(options: Values) -> FineTuneSettings:
    """The settings that the options ask for; raises InputError, also for an option that would do nothing."""
    known = {field.name for field in fields(FineTuneSettings)}
    given = {name: value for name, value in options.items() if name in known and value is not None}
    found = FineTuneSettings(**given)
    for name in given:
        needed, met = NEEDS.get(name, ("", lambda v: True))
        if not met(found.as_dict()):
            raise InputError(f"{word(name)} would do nothing: it needs {needed}.")
    return found


def tuning_options(command: F) -> F:
    """One option for each setting, without a default, so that what was given can be told, and those of any run."""
    for option in reversed([*_places(), *(_option(field) for field in fields(FineTuneSettings))]):
        command = option(command)
    return command


def _option(field: Any) -> Callable[[Any], Any]:
    kind, name = type(field.default), field.name
    shown = {True: name, False: f"no-{name}"}.get(field.default) if kind is bool else f"{field.default}"
    flag = f"{word(name)}/--no-{word(name)[2:]}" if kind is bool else word(name)
    chosen = click.Choice(CHOICES[name]) if name in CHOICES else kind
    return click.option(flag, name, type=chosen, default=None, show_default=shown, help=TEXTS[name])


def _places() -> list[Callable[[Any], Any]]:
    """The options that say which rows, and where the run goes."""
    file = click.Path(path_type=Path)
    return [
        click.option("--data", show_default="those of RUN", help="A named data set, or a file as in boltz train."),
        click.option("--limit", type=int, show_default="all", help="The first rows only, this many."),
        table_options,
        click.option(
            "--test", metavar="DATA", show_default="the test rows of --data, if any", help="Rows to test on, a file."
        ),
        click.option(
            "--split",
            type=click.Choice(["train", "valid", "test"]),
            show_default="test where there is one",
            help="Which rows, where RUN is a network that is trained already.",
        ),
        click.option("--out", type=file, show_default="a new folder in runs", help="The run folder to make."),
        click.option("--force", is_flag=True, help="Replace the run, or the files, that --out holds."),
        click.option("--resume", type=file, metavar="FOLDER", help="Continue this run; takes no settings."),
        device_option,
        threads_option,
        json_option,
    ]
