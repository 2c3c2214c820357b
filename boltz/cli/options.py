"""The options of the machines on the command line: what each means, which machines have it, what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import click

from boltz import presets
from boltz.cli.common import BETAS, Betas, Layers, word
from boltz.cli.machines import MACHINES, having
from boltz.errors import InputError
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.dense import ACTIVATIONS
from boltz.training import settings as choices
from boltz.training.needs import NEEDS
from boltz.training.objectives import MANY, OBJECTIVES, samples_for

F = TypeVar("F", bound=Callable[..., Any])
Values = Mapping[str, Any]
Sections = Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]]

SHAPE = {
    "layers": "Units of the hidden layers, from the bottom; the data give the visible units. Of a vae they are "
    "deterministic, mirrored in the decoder; slashes separate what lies below each layer of --latent.",
    "latent": "Gaussian units, from the bottom: one number, or one for each group of --layers.",
    "widths": "Deterministic layers inside each conditional, from the bottom; none makes it linear.",
    "activation": "Function of the deterministic layers.",
    "visible": "Visible units: bernoulli, or gaussian for any real numbers, such as those of sensors, as they are in "
    "the units of each column (implies --binarize none).",
}
DATA = {
    "binarize": "Grey values as Bernoulli means drawn at each use (dynamic) or once (fixed), cut at 0.5, or kept.",
    "shuffle": "Take the rows in a new random order in each epoch, or always in that of the data.",
}
TRAINING = {
    "epochs": "Passes over the training rows at most; for a dbn those of the up-down rule, after pretraining.",
    "patience": "Epochs without a better log-likelihood of the validation rows after which a stage ends, with the "
    "parameters of its best epoch; 0 for all epochs.",
    "validation": "Share of the training rows that is held out as validation rows.",
    "batch_size": "Rows of a batch.",
    "learning_rate": "Learning rate at the start, for the gradient of the mean over the rows of a batch.",
    "schedule": "Course of the learning rate: constant, linear to zero, falling as 1/t, or in stages of 3^i epochs.",
    "decay_epochs": "Epochs after which the inverse schedule has halved the learning rate.",
    "optimizer": "How steps are taken along the gradient.",
    "momentum": "Momentum of the momentum and nesterov optimizers.",
    "initial_momentum": "Momentum during the first epochs.",
    "momentum_epochs": "Epochs with the initial momentum.",
    "adam_beta1": "Decay of Adam's first moments.",
    "adam_epsilon": "What Adam adds to the root of its second moments.",
    "adam_second": "What Adam's second moments start at.",
    "l2": "Weight decay: penalty on half the squared weights.",
    "l1": "Penalty on the absolute weights.",
    "max_norm": "Largest norm of the incoming weights of a unit; 0 sets no limit.",
    "seed": "Seed of all random numbers.",
}
CHAINS = {
    "rule": "Negative phase of an RBM: contrastive divergence from the data (cd), persistent chains (pcd), or, for "
    "data with separated modes, persistent chains that exchange with snapshots and jump (ptt; not for a dbn).",
    "k": "Gibbs sweeps of the negative phase a step.",
    "chains": "Persistent chains (fantasy particles).",
    "rungs": "Snapshots of training that the persistent chains of ptt exchange with.",
    "sparsity_target": "Mean activity that the sparsity penalty aims at.",
    "sparsity_cost": "Strength of the sparsity penalty.",
    "center": "Centre the units by moving averages of their means on the data.",
    "center_rate": "Rate of the moving averages for centring and sparsity.",
    "mean_field_sweeps": "Most mean-field sweeps of the positive phase.",
    "mean_field_tolerance": "Largest change of a mean at which mean field stops.",
    "mean_field_damping": "Share of the old mean that a mean-field sweep keeps.",
    "pretrain": "What pretraining trains: all pairs of layers with doubled inputs, or only the bottom pair.",
    "pretrain_epochs": "Epochs of each pretraining stage, which trains a pair of layers as an RBM; 0 skips them.",
    "pretrain_learning_rate": "Learning rate of pretraining at its start.",
    "pretrain_k": "Gibbs sweeps of the negative phase a step in pretraining.",
}
OBJECTIVE = {
    "objective": "What is maximised: a bound on the log-likelihood, or the two phases of wake-sleep.",
    "samples": "Samples a row, or a row and group.",
    "groups": "Groups of samples of miwae and piwae.",
    "alpha": "Of dreg: 0 for the importance-weighted bound, 1 for reweighted wake-sleep.",
    "beta": "Of ciwae: share of the evidence lower bound.",
    "sleep_share": "Of rws: share of the sleep phase in what recognition learns.",
    "warmup_epochs": "Epochs over which the KL term rises from 0 to its weight.",
    "free_bits": "KL term of a hidden layer that costs nothing, in nats a row.",
}
MEASUREMENT = {
    "evaluation_samples": "Importance samples a row for the test log-likelihood; 0 enumerates at most 14 hidden units, "
    "and beyond takes the variational bound of a dbm, 100 samples for a dbn, 1,000 for an sbn or vae.",
    "betas": "Inverse temperatures of annealed importance sampling of log Z: a number of uniform steps, the 14,500 of "
    "Salakhutdinov & Murray 2008, or N (14,500) fitted to the machine.",
    "chains_ais": "Chains of annealed importance sampling.",
}
RUN = {
    "checkpoint_seconds": "Seconds between checkpoints.",
    "snapshots": "Copies of the machine kept along training, at updates in equal ratios, for replica exchange; 0 for "
    "none.",
}
SECTIONS: Sections = {
    "Machine": (SHAPE, ("init",)),
    "Data": (DATA, ("data", "limit", "valid", "test", "levels", "label_column", "drop_columns")),
    "Training": (TRAINING, ("recipe", "stages")),
    "Chains and pretraining": (CHAINS, ()),
    "Objective": (OBJECTIVE, ()),
    "Measurement at the end": (MEASUREMENT, ("evaluate",)),
    "Run": (RUN, ("out", "force", "resume", "device", "threads", "as_json")),
}  # title -> (options of the machines with their help, names of further options)
HELP: dict[str, str] = {name: text for options, _ in SECTIONS.values() for name, text in options.items()}
CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "visible": tuple(CONDITIONALS),
    "objective": tuple(OBJECTIVES),
    "rule": choices.RULES,
    "schedule": choices.SCHEDULES,
    "optimizer": choices.OPTIMIZERS,
    "pretrain": choices.PRETRAIN,
    "binarize": choices.BINARIZE,
}
TYPES: dict[str, tuple[Any, str]] = {
    "layers": (Layers(grouped=True), "N,N,..."),
    "latent": (Layers(), "N[,N...]"),
    "widths": (Layers(), "N,N,..."),
    "betas": (Betas(), BETAS),
    **dict.fromkeys(("samples", "epochs", "pretrain_epochs", "batch_size", "patience"), (int, "INTEGER")),
    **dict.fromkeys(("validation", "learning_rate", "pretrain_learning_rate"), (float, "FLOAT")),
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
    for name in given:
        needed, met = NEEDS.get(name, ("", lambda v: True))
        if not met({"evaluate": options.get("evaluate", True), **values}):
            raise InputError(f"{word(name)} would do nothing: it needs {needed}.")
    if values.get("samples", 1) is None:
        values["samples"] = samples_for(values["objective"])
    return values


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
        for title, (own, others) in self.sections.items():
            found = [records.pop(name, None) for name in (*others, *own)]
            found += records.values() if title == last else []
            shown = [record for record in found if record is not None]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)


def _record(parameter: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
    record, shown = parameter.get_help_record(ctx), getattr(parameter, "show_default", None)
    if record is None or not isinstance(shown, str):
        return record
    return record[0], record[1].replace(f"[default: ({shown})]", f"[default: {shown}]")
