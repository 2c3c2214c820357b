"""The options of machines and of fine-tuning on the command line: one for each setting, and those of shape and places.

What a setting means and needs is said where it is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import click

from boltz import presets
from boltz.cli.common import (
    BETAS,
    Betas,
    Layers,
    Numbers,
    device_option,
    json_option,
    table_options,
    threads_option,
    word,
)
from boltz.cli.machines import MACHINES, having
from boltz.errors import InputError
from boltz.networks.settings import FineTuneSettings
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.dense import ACTIVATIONS
from boltz.training import meaning
from boltz.training.meaning import Need
from boltz.training.objectives import MANY, samples_for
from boltz.training.settings import BeliefSettings, DirectedSettings, Settings

F = TypeVar("F", bound=Callable[..., Any])
Values = Mapping[str, Any]
TABLES = ("levels", "label_column", "drop_columns")
Sections = Mapping[str, tuple[str, ...]]

SHAPE = {
    "layers": "Units of the hidden layers, from the bottom; the data give the visible units. Of a vae they are "
    "deterministic, mirrored in the decoder; slashes separate what lies below each layer of --latent.",
    "latent": "Gaussian units, from the bottom: one number, or one for each group of --layers.",
    "widths": "Deterministic layers inside each conditional, from the bottom; none makes it linear.",
    "activation": "Function of the deterministic layers.",
    "visible": "Visible units: bernoulli, or gaussian for any real numbers, such as those of sensors, as they are in "
    "the units of each column (implies --binarize none).",
}
MEASUREMENT = {
    "evaluation_samples": "Importance samples a row for the test log-likelihood; 0 enumerates at most 14 hidden units, "
    "and beyond takes the variational bound of a dbm, 100 samples for a dbn, 1,000 for an sbn or vae.",
    "betas": "Inverse temperatures of annealed importance sampling of log Z: a number of uniform steps, the 14,500 of "
    "Salakhutdinov & Murray 2008, or N (14,500) fitted to the machine.",
    "chains_ais": "Chains of annealed importance sampling.",
}
TRAINED = (DirectedSettings, BeliefSettings, Settings)  # by the machines
NEEDS = meaning.needs(*TRAINED) | {
    "activation": Need("deterministic layers ({widths})", lambda v: "latent" in v or bool(v.get("widths", True))),
    **dict.fromkeys(MEASUREMENT, Need("{evaluate}", lambda v: bool(v["evaluate"]))),
}
CHOICES = meaning.choices(*TRAINED) | {"activation": tuple(ACTIVATIONS), "visible": tuple(CONDITIONALS)}
STEPS = ("optimizer", "momentum", "initial_momentum", "momentum_epochs", "adam_beta1", "adam_epsilon", "adam_second")
RUN = ("out", "force", "resume", "device", "threads", "as_json")
SECTIONS: Sections = {
    "Machine": ("init", *SHAPE),
    "Data": ("data", "limit", "valid", "test", *TABLES, "binarize", "shuffle"),
    "Training": (
        *("recipe", "stages", "epochs", "patience", "validation", "batch_size"),
        *("learning_rate", "schedule", "decay_epochs", *STEPS, "l2", "l1", "max_norm"),
        *("averaging", "average_share", "average_decay", "seed"),
    ),
    "Chains and pretraining": (
        *("rule", "k", "chains", "rungs", "sparsity_target", "sparsity_cost", "center", "center_rate"),
        *("positive", "positive_draws", "mean_field_sweeps", "mean_field_tolerance", "mean_field_damping"),
        *("pretrain", "pretrain_epochs", "pretrain_learning_rate", "pretrain_k"),
    ),
    "Objective": ("objective", "samples", "groups", "alpha", "beta", "sleep_share", "warmup_epochs", "free_bits"),
    "Measurement at the end": ("evaluate", *MEASUREMENT),
    "Run": (*RUN, "checkpoint_seconds", "snapshots"),
}  # title -> names of options
TUNING_SECTIONS: Sections = {
    "Machine": ("code",),
    "Data": ("data", "limit", *TABLES, "labels", "few", "test", "test_labels", "split", "binarize", "shuffle"),
    "How long": ("epochs", "output_epochs", "validation", "patience", "refit"),
    "Training": (
        *("batch_size", "learning_rate", "schedule", "decay_epochs", *STEPS),
        *("dropout", "input_dropout", "l2", "l1", "max_norm", "seed"),
    ),
    "Run": (*RUN, "checkpoint_seconds"),
}
TEXTS = SHAPE | MEASUREMENT | meaning.helps(*TRAINED)
HELP: dict[str, str] = {name: TEXTS[name] for names in SECTIONS.values() for name in names if name in TEXTS}
TYPES: dict[str, tuple[Any, str]] = {
    "layers": (Layers(grouped=True), "N,N,..."),
    "latent": (Layers(), "N[,N...]"),
    "widths": (Layers(), "N,N,..."),
    "betas": (Betas(), BETAS),
    **dict.fromkeys(("samples", "epochs", "batch_size", "patience"), (int, "INTEGER")),
    "validation": (float, "FLOAT"),
    **dict.fromkeys(Settings.BY_PAIR, (Numbers(float), "FLOAT[,FLOAT...]")),
    **dict.fromkeys(("pretrain_epochs", "pretrain_k"), (Numbers(int), "INTEGER[,INTEGER...]")),
}
EPOCHS = f"by the number of rows: for {presets.LEAST_UPDATES:,} to {presets.MOST_UPDATES:,} updates"
LESS = f"less with fewer than {presets.ROWS_A_UNIT} rows a unit"


def _rates(setting: str) -> str:
    """The rates of the kinds of machines whose preset has this one, in words."""
    kinds: dict[float, list[str]] = {}
    for kind, (name, rate) in presets.RATES.items():
        if name == setting:
            kinds.setdefault(rate, []).append(kind)
    return "; ".join(f"{', '.join(these)} {rate:g}" for rate, these in kinds.items()) + f", {LESS}"


SHOWN = {
    "samples": f"1, or {MANY} where the objective weighs several",
    "epochs": EPOCHS,
    "pretrain_epochs": EPOCHS,
    "batch_size": f"{presets.BATCH}, or a fiftieth of the rows where that is less, but at least {presets.LEAST_BATCH}",
    "learning_rate": f"dbm, dbn 0.005; {_rates('learning_rate')}",
    "pretrain_learning_rate": _rates("pretrain_learning_rate"),
    "patience": f"{presets.PATIENCE:.0%} of the epochs with validation rows, else 0",
    "validation": f"{presets.VALIDATION:g} of fewer than {presets.FEW:,} rows without validation rows and without "
    "--epochs, else 0",
}


def machine_options(command: F) -> F:
    """One option for each that a machine has; none has a default of its own, so that what was given can be told."""
    for name in reversed(HELP):
        command = _option(name)(command)
    return command


class Table(NamedTuple):
    """What defaults ask of the data: training rows, units of each, and whether there are validation rows."""

    rows: int
    units: int
    valid: bool


USUAL = Table(10_000, 784, True)  # where the data are not known


def chosen(
    options: Values, model: str, changes: Values, own_shape: bool = False, data: Table = USUAL
) -> dict[str, Any]:
    """The value of every option of a machine: as given, else as in changes, else its default for such data.

    own_shape: the machine is there already and takes no options of shape. Raises InputError for an option that was
    given and would do nothing.
    """
    known = MACHINES[model].options
    given = {name: value for name, value in options.items() if name in HELP and value is not None}
    for name in given:
        if name not in known:
            raise InputError(f"{word(name)} is an option of {listed(having(name))}, not of {model}.")
        if own_shape and name in SHAPE:
            raise InputError(f"--init starts from a machine as it is, so it takes no {word(name)}.")
    said = {name: value for name, value in changes.items() if name in known}
    judged = data.valid or bool((said | given).get("validation"))
    preset = presets.preset_for(model, data.rows, data.units, (said | given).get("batch_size"), judged)
    changes = {name: value for name, value in preset.items() if name in known} | said
    values = {name: x for name, x in (known | changes | given).items() if not (own_shape and name in SHAPE)}
    if values["patience"] and values["epochs"] and "patience" not in said | given:
        values["patience"] = presets.patience_for(model, values["epochs"])
    _refuse_idle(given, NEEDS, {"evaluate": options.get("evaluate", True), **values})
    if values.get("samples", 1) is None:
        values["samples"] = samples_for(values["objective"])
    return values


def tuning_from(options: Values) -> FineTuneSettings:
    """The settings of fine-tuning that the options ask for; raises InputError, also where one would do nothing."""
    known = {field.name for field in fields(FineTuneSettings)}
    given = {name: value for name, value in options.items() if name in known and value is not None}
    found = FineTuneSettings(**given)
    _refuse_idle(given, meaning.needs(FineTuneSettings), found.as_dict())
    return found


def _refuse_idle(given: Values, needs: Mapping[str, Need], values: Values) -> None:
    """Raise InputError for an option that was given and does nothing beside the values of the others."""
    for name in given:
        if name in needs and not needs[name].met(values):
            raise InputError(f"{word(name)} would do nothing: it needs {needs[name].told(word)}.")


def listed(names: list[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _option(name: str) -> Callable[[F], F]:
    defaults = {model: MACHINES[model].options[name] for model in having(name)}
    kind, metavar = TYPES.get(name, (type(next(iter(defaults.values()))), None))
    flag = f"{word(name)}/--no-{word(name)[2:]}" if kind is bool else word(name)
    if name in CHOICES:
        kind = click.Choice(CHOICES[name])
    text = HELP[name] if len(defaults) == len(MACHINES) else f"{', '.join(defaults)}: {HELP[name]}"
    shown = _shown(name, defaults)
    return click.option(flag, name, type=kind, metavar=metavar, default=None, show_default=shown, help=text)


def _shown(name: str, defaults: Values) -> str:
    """The default of an option, or that of each machine."""
    if name in SHOWN:
        return SHOWN[name]
    models: dict[str, list[str]] = {}
    for model, value in defaults.items():
        models.setdefault(_text(name, value), []).append(model)
    if len(models) == 1:
        return next(iter(models))
    return "; ".join(f"{', '.join(these)} {text}" for text, these in models.items())


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return word(name)[2:] if value else f"no-{word(name)[2:]}"
    if name == "layers":
        return "/".join(",".join(map(str, group)) for group in value)
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


class Sectioned(click.Command):
    """A command whose help shows its options by section, and defaults in words without the brackets of click."""

    sections: ClassVar[Sections] = SECTIONS

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {p.name: _record(p, ctx) for p in self.get_params(ctx) if isinstance(p, click.Option)}
        last = list(self.sections)[-1]
        for title, names in self.sections.items():
            found = [records.pop(name, None) for name in names]
            found += records.values() if title == last else []
            shown = [record for record in found if record is not None]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)


class TuningHelp(Sectioned):
    """The same for the options of fine-tuning."""

    sections: ClassVar[Sections] = TUNING_SECTIONS


def _record(parameter: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
    record, shown = parameter.get_help_record(ctx), getattr(parameter, "show_default", None)
    if record is None or not isinstance(shown, str):
        return record
    return record[0], record[1].replace(f"[default: ({shown})]", f"[default: {shown}]")


def tuning_options(command: F) -> F:
    """One option for each setting, without a default, so that what was given can be told, and those of any run."""
    for option in reversed([*_places(), *(_setting(field) for field in fields(FineTuneSettings))]):
        command = option(command)
    return command


def _setting(field: Any) -> Callable[[Any], Any]:
    kind, name = type(field.default), field.name
    shown = {True: name, False: f"no-{name}"}.get(field.default) if kind is bool else f"{field.default}"
    flag = f"{word(name)}/--no-{word(name)[2:]}" if kind is bool else word(name)
    choices = field.metadata["choices"]
    chosen = click.Choice(choices) if choices else kind
    return click.option(flag, name, type=chosen, default=None, show_default=shown, help=field.metadata["help"])


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
