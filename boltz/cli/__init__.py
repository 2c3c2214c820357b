"""The command `boltz`: a group whose commands load on first use, so that `boltz --help` is quick."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from boltz import __version__
from boltz.cli.common import failures
from boltz.foreign import near, shown

COMMANDS = {
    "train": "Train a machine on data, or continue a run.",
    "logz": "Estimate the log partition function of a machine.",
    "evaluate": "Estimate the log-likelihood of data under a machine.",
    "compare": "Compare machines on the same rows by the same estimator.",
    "features": "Write features of data: posterior means of hidden units.",
    "classify": "Train a classifier that starts as a machine, or classify rows by one.",
    "autoencode": "Train a deep autoencoder that starts as a machine, or encode rows by one.",
    "complete": "Fill in the unknown units of rows given the known ones.",
    "sample": "Draw samples from a machine.",
    "diagnose": "Say what is wrong with a trained machine: chains that do not mix, dead units.",
    "report": "Write one page that shows all there is to see of trained machines.",
    "info": "Describe a run folder or a model file.",
    "data": "List the named data sets, or describe one data set or file.",
}


class Commands(click.Group):
    """Commands by name, each in the module of that name; whatever boltz raises on purpose ends in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"boltz.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            if args[0] in COMMANDS or args[0].startswith("-"):
                raise
            hint = near(args[0], COMMANDS) or f"; the commands are {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command {shown(repr(args[0]))}{hint}", ctx) from problem

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        with failures():
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="boltz")
def main() -> None:
    """Train, sample and measure Boltzmann machines and Helmholtz machines.

    Example: boltz train rbm --layers 100 --epochs 10 --out digits

    Exit codes: 0 done, 1 the work failed, 2 bad usage or input, 75 interrupted and resumable.
    """
