"""`boltz train`: train a machine into a run folder, or continue one, and measure it at the end."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import Choice, device_option, emit, given, json_option, say, table_options, threads_option
from boltz.cli.help import TrainHelp
from boltz.cli.machines import MACHINES
from boltz.cli.options import machine_options
from boltz.errors import Interrupted, unwritten
from boltz.models.growing import WIRINGS
from boltz.presets import recipe_names

WITH_RESUME = {"resume", "as_json", "threads", "device"}


@click.command(cls=TrainHelp)
@click.argument("model", metavar="MODEL", type=Choice(list(MACHINES)), required=False)
@machine_options
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="RUN",
    show_default="a new machine",
    help="Start from the trained machine of this run or model file, perhaps with another objective.",
)
@click.option(
    "--grow",
    type=click.Path(path_type=Path),
    metavar="RUN",
    show_default="a new machine",
    help="Start from the machine of this run or model file with the units and layers that --layers names beside those "
    "it has, with the same likelihood at first.",
)
@click.option(
    "--grow-wiring",
    type=Choice(list(WIRINGS)),
    show_default="single",
    help="What a new unit of --grow hears of the layer below: a single unit, which leaves the likelihood as it is "
    "exactly, or all with random weights, which change it in the second order.",
)
@click.option(
    "--grow-scale",
    type=float,
    show_default=", ".join(f"{name} {each.scale:g}" for name, each in WIRINGS.items()),
    help="Size of the weights of new units of --grow.",
)
@click.option(
    "--recipe",
    type=Choice(recipe_names()),
    show_default="none",
    help="A published training, which is printed; options given beside it replace its own, and MODEL may be left out.",
)
@click.option(
    "--stages", type=int, show_default="all", help="Follow only the first stages of a recipe that has any, this many."
)
@click.option(
    "--data",
    show_default="mnist-mini; with --recipe, --init RUN or --grow RUN theirs",
    help="A named data set (see boltz data), or a file: .npy, .npz[:array], .csv, .tsv, .txt, idx, FASTA, A3M.",
)
@click.option("--limit", type=int, show_default="all", help="Train on the first rows only, this many.")
@click.option(
    "--valid", metavar="DATA", show_default="those of --data, if any", help="Validation rows, of another file."
)
@click.option("--test", metavar="DATA", show_default="those of --data, if any", help="Test rows, of another file.")
@table_options
@click.option(
    "--weights",
    metavar="FILE|similarity:SHARE",
    show_default="all rows alike",
    help="How much each training row counts: a file with a number for each, or, of aligned sequences, 1 over the "
    "number of rows that agree in this share of the sites, such as similarity:0.8.",
)
@click.option(
    "--minutes",
    type=float,
    show_default="epochs as below",
    help="How long all may take, the measurement at the end included: this machine is measured, and the epochs of each "
    "stage follow. It takes the place of --epochs and --pretrain-epochs; all other options stay as they are named.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="a new folder in runs",
    help="The run folder to make.",
)
@click.option("--force", is_flag=True, help="Replace the run that --out holds.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Continue this run; takes no settings.")
@click.option(
    "--evaluate/--no-evaluate",
    default=True,
    show_default=True,
    help="Estimate the log-likelihood of the test rows at the end, and log Z of undirected machines.",
)
@device_option
@threads_option
@json_option
@click.pass_context
def train(ctx: click.Context, as_json: bool, **options: Any) -> None:
    """Train MODEL on data, or continue a run with --resume RUN.

    Example: boltz train rbm --layers 100 --epochs 10 --out digits

    The run folder receives settings, checkpoints, metrics, the trained machine, pictures, and the test log-likelihood
    in test.json. Ctrl-C and SIGTERM save the run and end with exit code 75.
    """
    if options["resume"] is not None:
        named = [p.opts[0] for p in ctx.command.params if p.name in given(ctx) - WITH_RESUME]
        if named:
            raise click.UsageError(f"--resume continues a run as it was started, so it takes no {named[0]}.")
        result = resumed(options["resume"], options["device"])
    else:
        result = started(options)
    emit(result, as_json, "")


def started(options: dict[str, Any]) -> dict[str, Any]:
    """Train a new run and return its result; everything is checked before the first step."""
    import boltz
    from boltz.cli.outcome import show, show_used
    from boltz.cli.starting import planned_start, prepared
    from boltz.evaluation.warm_up import warm_up
    from boltz.progress import Progress, saying
    from boltz.training.minutes import Stopwatch

    watch = Stopwatch()
    with saying("reading the data"):
        start = prepared(options)
    warm_up(start.kind, start.settings, options["device"], say)
    for line in filter(None, (start.title, start.recipe)):
        say(line)
    if options["minutes"] is not None:
        with saying("measuring this machine"):
            start = planned_start(start, options, watch.loaded(60 * options["minutes"]))
        say(str(start.plan))
    make_parent(start.out)
    with stoppable(start.out), Progress() as progress:
        run = boltz.train(
            start.model.to(options["device"]),
            start.data,
            out=start.out,
            held_out=start.held_out,
            force=options["force"],
            watch=watcher(progress),
            extra=start.extra,
            **start.how,
        )
        result = finished(run, progress)
        if start.plan is not None:
            result = with_used(run, result, watch.seconds)
    show(run, result)
    if start.plan is not None:
        show_used(start.plan, result)
    for note in run.notes:
        say(note)
    return result


def resumed(folder: Path, device: str) -> dict[str, Any]:
    """Continue a run and return its result; a complete one is left as it is."""
    import boltz
    from boltz.cli.outcome import show
    from boltz.progress import Progress
    from boltz.storage.run_folder import read_result

    with stoppable(folder, here=True), Progress() as progress:
        before = read_result(folder)
        run = boltz.resume(folder, watch=watcher(progress), device=device)
        result = before or finished(run, progress)
    for note in run.notes:
        say(note)
    if before is not None:
        say(f"{folder} is complete: there is nothing to do.")
    else:
        show(run, result)
    return result


def finished(run: Any, progress: Any) -> dict[str, Any]:
    """Draw the pictures of a trained run, measure it, and keep the result in its folder."""
    from boltz.evaluation.after_training import measured
    from boltz.evaluation.pictures import draw
    from boltz.progress import saying
    from boltz.storage.run_folder import write_result

    with saying("drawing pictures"):
        draw(run)
    with saying("measuring the trained machine"):
        test = measured(run, progress.report)
    result = {
        "run": str(run.path),
        "model": run.model.kind,
        "layers": [layer.units for layer in run.model.layers],
        "architecture": run.model.architecture,
        "epochs": len(run.history),
        "seconds": run.history[-1]["seconds"] if run.history else 0.0,
        "test": test,
        "notes": list(run.notes),
    }
    write_result(run.path, result)
    return result


def with_used(run: Any, result: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The result with the plan of the run beside what came of it, kept in the folder of the run."""
    from boltz.storage.run_folder import write_result
    from boltz.training.minutes import compared

    found = result | {"plan": compared(run.plan, seconds, (result["test"] or {}).get("log_likelihood"))}
    write_result(run.path, found)
    return found


def watcher(progress: Any) -> Callable[[Mapping[str, Any]], None]:
    """What shows each epoch's record."""
    from boltz.progress import on_bar
    from boltz.training.history import in_words

    return on_bar(progress, in_words)


def make_parent(out: Path) -> None:
    """Make the folder that a run folder goes into."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise unwritten(f"{out.parent} could not be made: {problem.strerror}.", problem) from problem


@contextmanager
def stoppable(folder: Path, here: bool = False, command: str = "boltz train") -> Iterator[None]:
    """Within the block SIGTERM acts like Ctrl-C, and both end resumable once the run is on disk.

    here: the folder holds the run already; otherwise it does as soon as another folder lies there than at the start.
    """

    def identity() -> int | None:
        return folder.stat().st_ino if (folder / "run.toml").is_file() else None

    old = None if here else identity()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as problem:
        if identity() in (None, old):
            raise
        again = f"{command} --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"Stopped; the run is saved, continue with: {again}") from problem
    finally:
        signal.signal(signal.SIGTERM, before)
