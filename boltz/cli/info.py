"""`boltz info`: what a run folder or a model file holds."""

from __future__ import annotations

from pathlib import Path

import click

from boltz.cli.common import emit, json_option, run_argument


@click.command
@run_argument
@json_option
def info(path: Path, as_json: bool) -> None:
    """Describe a run, or the file of a machine or a network: layers, parameters, settings, progress, data, result.

    Example: boltz info digits
    """
    from boltz.evaluation.describe import describe

    found = describe(path)
    emit(found.as_dict(), as_json, str(found))
