"""The help of commands with many options: by section, the most used first, and of `boltz train` for each model."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar

import click

from boltz.cli.common import Choice
from boltz.cli.machines import MACHINES
from boltz.cli.options import HELP, SECTIONS, TUNING_SECTIONS, Sections, having, machine_option
from boltz.presets import recipe, recipe_names

GROWING = ("rbm", "dbm")  # the machines that grow
MODEL = "boltz.model"  # in the context: the model whose help is asked for
USUAL = "Most used"
LABELS = ("labels", "labelled", "clusters")
OF_ONE = ("modality", "joint", "lateral", *LABELS)  # options of a single model, which its own help shows
WITHOUT_MODEL: Sections = {
    USUAL: tuple(name for name in SECTIONS[USUAL] if name not in OF_ONE),
    "Instead of MODEL": ("recipe", "stages", "init", "grow"),
    "Help": (),
}  # what is shown where no model is named


class Sectioned(click.Command):
    """A command whose help shows its options by section, and defaults in words without the brackets of click."""

    sections: ClassVar[Sections] = SECTIONS

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write(ctx, formatter, self.get_params(ctx), self.sections)


class TuningHelp(Sectioned):
    """The same for the options of fine-tuning."""

    sections: ClassVar[Sections] = TUNING_SECTIONS


class TrainHelp(Sectioned):
    """The help of the model that is named, with its options alone; without one the models and the most used options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            ctx.meta[MODEL] = self.make_parser(ctx).parse_args(list(args))[0].get("model")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        model = _model(ctx)
        return super().collect_usage_pieces(ctx) if model is None else [model, "[OPTIONS]"]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        model = _model(ctx)
        if model is None:
            super().format_help_text(ctx, formatter)
            return
        machine = MACHINES[model]
        for text in (f"Train {machine.title}.", f"Example: boltz train {model} {machine.example}"):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(text)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        model, params = _model(ctx), self.get_params(ctx)
        if model is None:
            with formatter.section("Models; boltz train rbm --help shows all options of an rbm"):
                formatter.write_dl([(name, f"{machine.title}.") for name, machine in MACHINES.items()])
            kept = {name for names in WITHOUT_MODEL.values() for name in names}
            shown = [p for p in params if p.name in kept or "--help" in p.opts]
            _write(ctx, formatter, shown, WITHOUT_MODEL)
        else:
            own = [_of_model(p, model) for p in params if p.name is not None and _has(model, p.name)]
            _write(ctx, formatter, own, self.sections)


def _model(ctx: click.Context) -> str | None:
    model = ctx.meta.get(MODEL)
    return model if model in MACHINES else None


def _has(model: str, name: str) -> bool:
    """Whether an option is one of a model."""
    if name in HELP:
        return model in having(name)
    if name.startswith("grow"):
        return model in GROWING
    found = [each for each in map(recipe, recipe_names()) if each.model == model]
    return name not in ("recipe", "stages") or any(name == "recipe" or each.stages for each in found)


def _of_model(parameter: click.Parameter, model: str) -> click.Parameter:
    """An option as a model has it."""
    if parameter.name == "recipe":
        own = copy(parameter)
        own.type = Choice([name for name in recipe_names() if recipe(name).model == model])
        return own
    if parameter.name is None or parameter.name not in HELP:
        return parameter
    made: Callable[..., Any] = machine_option(parameter.name, model)(lambda: None)
    found: list[click.Parameter] = made.__click_params__  # type: ignore[attr-defined]
    return found[0]


def _write(
    ctx: click.Context, formatter: click.HelpFormatter, params: list[click.Parameter], sections: Sections
) -> None:
    """Write options by section, in the order of the sections; what none of them names goes to the last one."""
    records = {p.name: _record(p, ctx) for p in params if isinstance(p, click.Option)}
    last = list(sections)[-1]
    for title, names in sections.items():
        found = [records.pop(name, None) for name in names]
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
