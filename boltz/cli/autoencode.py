"""`boltz autoencode`: a deep autoencoder unrolled from a machine and fine-tuned, or one that is trained already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from boltz.cli.common import Choice, emit, say
from boltz.cli.help import TuningHelp
from boltz.cli.options import tuning_options


@click.command(cls=TuningHelp)
@click.argument("path", metavar="RUN|MODEL", type=click.Path(path_type=Path), required=False)
@tuning_options
@click.option(
    "--code",
    type=Choice(["sigmoid", "linear"]),
    show_default="sigmoid",
    help="Function of binary code units: as in the machine, or none.",
)
@click.pass_context
def autoencode(ctx: click.Context, path: Path | None, as_json: bool, **options: Any) -> None:
    """Train a deep autoencoder that starts as RUN, a trained machine, and test it.

    The layers of the machine are unrolled up to the top, the code, and down again (Hinton & Salakhutdinov 2006), and
    fine-tuned to give back each row. The folder receives the network, codes.npy of the test rows, and pictures of
    reconstructions and of learning; test.json holds the errors. Where RUN is such a folder or the file of its network,
    nothing is trained: it encodes --data into --out. Ctrl-C and SIGTERM save the run and end with exit code 75.

    Example: boltz autoencode digits --code linear --epochs 20 --out codes
    """
    from boltz.cli.tuning import Task, worked
    from boltz.evaluation.autoencoder import WRITES, measured

    task = Task("boltz autoencode", "autoencoder", _unrolled, measured, tell, WRITES)
    emit(worked(task, ctx, path, options), as_json, "")


def _unrolled(model: Any, options: Any, labels: Any) -> Any:
    import boltz

    return boltz.autoencoder(model, options["code"] or "sigmoid")


def tell(result: dict[str, Any]) -> None:
    """The errors as a table on stderr, and what they are of."""
    from boltz.cli.outcome import shown_table

    test, validation = result["test"], result.get("validation", {}).get("loss")
    lines = []
    if test is not None:
        for name, label in (("squared_error", "squared error"), ("cross_entropy", "cross-entropy (nats)")):
            if test[name] is not None:
                lines.append((label, f"{test[name]['value']:.4f}", f"{test[name]['standard_error']:.4f}"))
    if validation is not None:
        lines.append(("validation loss (nats)", f"{validation:.4f}", "-"))
    if lines:
        shown_table(("a row", "mean", "error"), lines)
    if test is not None:
        name = " ".join(filter(None, (test["data"], test["split"])))
        what = f"{test['rows']:,} rows of {name}, binarize {test['binarize']}"
        say(f"{what}; codes of {test['code']:,} numbers.")
