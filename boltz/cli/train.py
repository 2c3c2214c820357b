"""`boltz train`: train a machine into a run folder, or continue one, and measure it at the end."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import Layers, annealing_options, emit, json_option, say, threads_option
from boltz.cli.options import chosen, settings_options
from boltz.errors import FileError, InputError, Interrupted

DEFAULTS: dict[str, dict[str, Any]] = {
    "rbm": {
        "layers": (500,),
        "rule": "pcd",
        "epochs": 100,
        "learning_rate": 0.05,
    },
    "dbm": {
        "layers": (500, 1000),
        "rule": "pcd",
        "pretrain": "bottom",
        "pretrain_epochs": 200,
        "pretrain_learning_rate": 0.05,
        "epochs": 25,
        "learning_rate": 0.005,
        "center": True,
        "mean_field_sweeps": 5,
    },
}
WITH_RESUME = {"resume", "as_json", "threads"}
INITIAL_ROWS = 10_000


@click.command
@click.argument("model", type=click.Choice(list(DEFAULTS)), required=False)
@click.option(
    "--layers",
    type=Layers(),
    metavar="N,N,...",
    show_default=", ".join(f"{m} {','.join(map(str, d['layers']))}" for m, d in DEFAULTS.items()),
    help="Units of the hidden layers, from the bottom; the data give the visible units.",
)
@click.option(
    "--data",
    default="mnist-mini",
    show_default=True,
    help="A named data set (see boltz data), or a file: .npy, .npz[:array], .csv[.gz], idx[.gz].",
)
@click.option("--limit", type=int, show_default="all", help="Train on the first rows only, this many.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="a new folder in runs",
    help="The run folder to make.",
)
@click.option("--force", is_flag=True, help="Replace the run that --out holds.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Continue this run; takes no settings.")
@settings_options(DEFAULTS)
@click.option(
    "--evaluate/--no-evaluate",
    default=True,
    show_default=True,
    help="Estimate log Z and the log-likelihood of the test rows at the end.",
)
@annealing_options("--chains-ais")
@threads_option
@json_option
@click.pass_context
def train(ctx: click.Context, as_json: bool, **options: Any) -> None:
    """Train MODEL (rbm or dbm) on data, or continue a run with --resume RUN.

    The run folder receives settings, checkpoints, metrics, the trained machine, pictures, and the test log-likelihood
    in test.json. Ctrl-C and SIGTERM save the run and end with exit code 75.
    """
    if options["resume"] is not None:
        given = click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP
        others = [p for p in ctx.command.params if p.name not in WITH_RESUME]
        named = [p.opts[0] for p in others if ctx.get_parameter_source(p.name or "") not in given]
        if named:
            raise click.UsageError(f"--resume continues a run as it was started, so it takes no {named[0]}.")
        result = resumed(options["resume"])
    elif options["model"] is None:
        raise click.UsageError("Name the MODEL to train, rbm or dbm, or a run to continue with --resume RUN.")
    else:
        result = started(options)
    emit(result, as_json, "")


def started(options: dict[str, Any]) -> dict[str, Any]:
    """Train a new run and return its result; everything is checked before the first step."""
    import boltz
    from boltz import runs
    from boltz.cli.measure import Annealing
    from boltz.cli.progress import Progress, compile_kernels
    from boltz.cli.report import show
    from boltz.training.pretrain import stages

    settings = chosen(options, DEFAULTS[options["model"]])
    annealing = Annealing(options["chains_ais"], options["betas"], settings.seed)
    layers = hidden_layers(options["model"], options["layers"])
    data = boltz.load_data(options["data"], limit=options["limit"])
    units = [data.x.shape[1], *layers]
    machine = boltz.dbm(units, data.x[:: -(-len(data.x) // INITIAL_ROWS)], seed=settings.seed)
    out = options["out"] or runs.next_free(Path("runs"), "-".join([options["model"], *map(str, layers), data.name]))
    stages(machine.graph, settings)  # refuses what cannot be trained before anything is made
    runs.check_free(out, options["force"])
    compile_kernels(settings.optimizer)
    say(f"training {'-'.join(map(str, units))} on {len(data.x):,} rows of {data.name}, run folder {out}")
    extra: dict[str, Any] = {"picture": {"shape": list(data.shape)}} if data.shape else {}
    extra["evaluation"] = {"wanted": options["evaluate"], "chains": annealing.chains, "betas": annealing.betas}
    make_parent(out)
    with stoppable(out), Progress() as progress:
        run = boltz.train(
            machine,
            data,
            out=out,
            held_out=held_out(options["data"]),
            force=options["force"],
            watch=watcher(progress),
            extra=extra,
            **settings.as_dict(),
        )
        result = finished(run, progress)
    show(run, result)
    return result


def resumed(folder: Path) -> dict[str, Any]:
    """Continue a run and return its result; a complete one is left as it is."""
    import boltz
    from boltz.cli.progress import Progress
    from boltz.cli.report import show
    from boltz.cli.stored import read_result

    with stoppable(folder, here=True), Progress() as progress:
        before = read_result(folder)
        run = boltz.resume(folder, watch=watcher(progress))
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
    from boltz.cli.report import draw, measured
    from boltz.cli.stored import kind_of, write_result

    draw(run)
    units = list(run.model.graph.units.values())
    test = measured(run, progress)
    result = {
        "run": str(run.path),
        "model": kind_of(units),
        "layers": units,
        "epochs": len(run.history),
        "seconds": run.history[-1]["seconds"] if run.history else 0.0,
        "test": test,
    }
    write_result(run.path, result)
    return result


def hidden_layers(model: str, layers: tuple[int, ...] | None) -> tuple[int, ...]:
    """The hidden layers of an rbm (one) or a dbm (two or more)."""
    layers = layers or DEFAULTS[model]["layers"]
    if (model == "rbm") != (len(layers) == 1):
        wanted = "an rbm has one hidden layer" if model == "rbm" else "a dbm has at least two hidden layers"
        raise InputError(f"{wanted}, but --layers names {len(layers)}.")
    return layers


def held_out(name: str) -> Any:
    """Validation rows, else test rows, for the recorded free-energy gap; None for data in one piece."""
    from boltz.data import load, splits

    there = [split for split in ("valid", "test") if split in splits(name)]
    return load(name, there[0]) if there else None


def watcher(progress: Any) -> Callable[[dict[str, Any]], None]:
    """What shows each epoch's record."""

    def watch(record: dict[str, Any]) -> None:
        fit = record["pseudo_likelihood"]
        shown = (
            f"reconstruction error {record['reconstruction_error']:.1f}"
            if fit is None
            else f"pseudo-likelihood {fit:.1f}"
        )
        detail = f"{shown}, {record['rows_per_second']:,.0f} rows/s"
        progress.update(f"{record['stage']} epoch", record["epoch"], record["epochs"], detail)

    return watch


def make_parent(out: Path) -> None:
    """Make the folder that a run folder goes into."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FileError(f"{out.parent} could not be made: {problem.strerror}.") from problem


@contextmanager
def stoppable(folder: Path, here: bool = False) -> Iterator[None]:
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
        command = f"boltz train --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"Stopped; the run is saved, continue with: {command}") from problem
    finally:
        signal.signal(signal.SIGTERM, before)
