"""`boltz classify`: a classifier unrolled from a machine and fine-tuned, or one that is trained already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from boltz.cli.common import emit, say
from boltz.cli.help import TuningHelp
from boltz.cli.options import tuning_options


@click.command(cls=TuningHelp)
@click.argument("path", metavar="RUN|MODEL", type=click.Path(path_type=Path), required=False)
@tuning_options
@click.option(
    "--labels",
    metavar="FILE",
    show_default="those of --data",
    help="The label of each row: one a line of a .csv, numbers or words, or numbers in another file.",
)
@click.option("--test-labels", metavar="FILE", show_default="those of the test rows", help="The same of the test rows.")
@click.option(
    "--few",
    type=int,
    show_default="all",
    help="Learn from so many labelled rows only, the same number of each class as far as it goes, drawn by --seed.",
)
@click.pass_context
def classify(ctx: click.Context, path: Path | None, as_json: bool, **options: Any) -> None:
    """Train a classifier that starts as RUN, a trained machine, and test it.

    The layers of the machine are unrolled into a network with softmax outputs, of a dbm as in Salakhutdinov & Hinton
    2009, and fine-tuned. The folder receives the network, predictions.csv, confusion.csv and pictures of the confusion,
    of mistakes and of learning; test.json holds the error. In the tables a label that a spreadsheet would run as a
    formula (=, +, -, @ in front) has an apostrophe before it. Where RUN is such a folder or the file of its network,
    nothing is trained: it classifies --data into --out. Ctrl-C and SIGTERM save the run and end with exit code 75.

    Example: boltz classify digits --epochs 20 --out classifier
    """
    from boltz.cli.tuning import Task, worked
    from boltz.evaluation.classifier import WRITES, measured

    task = Task("boltz classify", "classifier", _unrolled, measured, tell, WRITES)
    emit(worked(task, ctx, path, options), as_json, "")


def _unrolled(model: Any, options: Any, labels: Any) -> Any:
    import boltz

    classes = sorted(set(labels.tolist()))
    if -1 in classes and len(classes) > 2:
        say("Labels of -1 are taken for a class of their own: leave these rows out of the file if they have no label.")
    return boltz.classifier(model, classes)


def tell(result: dict[str, Any]) -> None:
    """The errors as a table on stderr, and what they are of."""
    from boltz.cli.outcome import shown_table

    test, validation = result["test"], result.get("validation", {}).get("error")
    lines = []
    if test is not None and test["error"] is not None:
        low, high = (f"{100 * x:.2f}" for x in test["interval"])
        lines.append(("error", f"{100 * test['error']:.2f}", f"{low} to {high}", f"{test['wrong']:,}"))
    if validation is not None:
        lines.append(("validation error", f"{100 * validation:.2f}", "-", "-"))
    if lines:
        shown_table(("", "%", "95 % interval", "wrong rows"), lines)
    if test is not None:
        without = ", without labels" if test["error"] is None else ""
        name = " ".join(filter(None, (test["data"], test["split"])))
        say(f"{test['rows']:,} rows of {name}, binarize {test['binarize']}{without}.")
