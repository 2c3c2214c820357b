"""The fields of boltz.Settings as command-line options, with what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import click

from boltz.training import settings as choices
from boltz.training.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
HELP = {
    "rule": "Training rule: contrastive divergence from the data (cd), or persistent chains (pcd).",
    "epochs": "Passes over the training rows.",
    "batch_size": "Rows of a batch.",
    "learning_rate": "Learning rate at the start, for the gradient of the mean log-likelihood of a row.",
    "seed": "Seed of all random numbers.",
    "k": "Gibbs sweeps of the negative phase a step.",
    "chains": "Persistent chains (fantasy particles).",
    "schedule": "Course of the learning rate: constant, linear to zero, or falling as 1/t.",
    "decay_epochs": "Epochs after which the inverse schedule has halved the learning rate.",
    "optimizer": "How steps are taken along the gradient.",
    "momentum": "Momentum of the momentum and nesterov optimizers.",
    "initial_momentum": "Momentum during the first epochs.",
    "momentum_epochs": "Epochs with the initial momentum.",
    "l2": "Weight decay: penalty on half the squared weights.",
    "l1": "Penalty on the absolute weights.",
    "max_norm": "Largest norm of the incoming weights of a hidden unit; 0 sets no limit.",
    "sparsity_target": "Mean activity that the sparsity penalty aims at.",
    "sparsity_cost": "Strength of the sparsity penalty.",
    "center": "Centre the units by moving averages of their means on the data.",
    "center_rate": "Rate of the moving averages for centring and sparsity.",
    "binarize": "Grey values as Bernoulli means drawn at each use (dynamic) or once (fixed), cut at 0.5, or kept.",
    "mean_field_sweeps": "Most mean-field sweeps of the positive phase.",
    "mean_field_tolerance": "Largest change of a mean at which mean field stops.",
    "mean_field_damping": "Share of the old mean that a mean-field sweep keeps.",
    "pretrain": "What pretraining trains: all pairs of layers with doubled inputs, or only the bottom pair.",
    "pretrain_epochs": "Epochs of each pretraining stage of a DBM; 0 trains it from scratch.",
    "pretrain_learning_rate": "Learning rate of pretraining at its start.",
    "pretrain_k": "Gibbs sweeps of the negative phase a step in pretraining.",
    "checkpoint_seconds": "Seconds between checkpoints.",
}
CHOICES = {
    "rule": choices.RULES,
    "schedule": choices.SCHEDULES,
    "optimizer": choices.OPTIMIZERS,
    "pretrain": choices.PRETRAIN,
    "binarize": choices.BINARIZE,
}


def settings_options(defaults: Mapping[str, Mapping[str, Any]]) -> Callable[[F], F]:
    """One option for each field of Settings; where the defaults of the machines differ, help shows each."""

    def decorate(command: F) -> F:
        for field in reversed(fields(Settings)):
            shown = {model: values.get(field.name, field.default) for model, values in defaults.items()}
            command = _option(field.name, shown)(command)
        return command

    return decorate


def chosen(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Settings:
    """The settings that a command line asks for; an option that was not given has the default of its machine."""
    values = {}
    for field in fields(Settings):
        given = options[field.name]
        values[field.name] = defaults.get(field.name, field.default) if given is None else given
    return Settings(**values)


def _option(name: str, defaults: Mapping[str, Any]) -> Callable[[F], F]:
    values = list(defaults.values())
    kind: Any = type(values[0])
    word = name.replace("_", "-")
    flag = f"--{word}/--no-{word}" if kind is bool else f"--{word}"
    if name in CHOICES:
        kind = click.Choice(CHOICES[name])
    if len(set(values)) == 1:
        return click.option(flag, name, type=kind, default=values[0], show_default=True, help=HELP[name])
    texts = {model: (word if x else f"no-{word}") if kind is bool else f"{x}" for model, x in defaults.items()}
    shown = ", ".join(f"{model} {text}" for model, text in texts.items())
    return click.option(flag, name, type=kind, default=None, show_default=shown, help=HELP[name])
