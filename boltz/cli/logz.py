"""`boltz logz`: the log partition function of a machine."""

from __future__ import annotations

import os
import time
from collections.abc import Set
from pathlib import Path
from typing import Any

import click

from boltz.cli.common import (
    Choice,
    annealing_options,
    device_option,
    emit,
    given,
    json_option,
    run_argument,
    seed_option,
    threads_option,
    two_sided_options,
    word,
)
from boltz.errors import InputError

ROUNDS = 1000
USES = {
    "exact": (),
    "two-sided": ("error", "budget", "picture"),
    "ais": ("chains", "betas", "picture"),
    "trajectory": ("rounds",),
}  # method -> options of its own
HOW = {
    "exact": "log Z is enumerated",
    "two-sided": "log Z is measured from both sides, with chains and temperatures of its own",
    "ais": "log Z is measured by annealed importance sampling",
    "trajectory": "log Z is measured by replica exchange along training",
}

SCALED = "It is that of the machine in its own units, in which columns of the data have mean 0 and spread 1."


@click.command
@run_argument
@click.option(
    "--method",
    type=Choice(["auto", *USES]),
    default="auto",
    show_default=True,
    help="Enumerate the smaller side of the machine (exact, at most 28 units); anneal up and down with replica "
    "exchange between (two-sided); anneal up (ais); or exchange replicas along the snapshots of the run (trajectory). "
    "auto is what the options given belong to; without any, exact up to 20 units and two-sided beyond.",
)
@two_sided_options("two-sided")
@annealing_options("--chains")
@click.option("--rounds", type=int, default=ROUNDS, show_default=True, help="trajectory: rounds of replica exchange.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE.png|.svg|.pdf",
    show_default="none",
    help="two-sided, ais: draw log-weights, effective chains along the path, and swaps between temperatures.",
)
@seed_option
@device_option
@threads_option
@json_option
@click.pass_context
def logz(ctx: click.Context, path: Path, as_json: bool, **options: Any) -> None:
    """Estimate the log partition function of a run or model file, in nats.

    That of a deep belief net is that of the RBM on its top; that of other directed machines is 0.

    Example: boltz logz digits --error 0.1
    """
    from boltz import checks
    from boltz.estimators.exact import quick
    from boltz.evaluation.log_z import LEAST_ROUNDS, Annealing, Wanted
    from boltz.evaluation.trained import trained

    names = given(ctx)
    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    error = checks.number(options["error"], "--error", 1e-9)
    wanted = Wanted(error, checks.number(options["budget"], "--budget", 0.0), options["seed"])
    checked_picture(options["picture"])
    found = trained(path).to(options["device"])
    machine = found.model.undirected
    if machine is None:
        kind = found.kind
        raise InputError(f"{path} holds a directed machine ({kind}), whose log Z is 0: there is nothing to estimate.")
    how = chosen(options["method"], names, quick(machine), machine.graph.layered)
    checks.integer(options["rounds"], "--rounds", LEAST_ROUNDS, 10**9)
    began = time.monotonic()
    name = "log Z of the RBM on top" if found.kind == "dbn" else "log Z"
    result, text = _estimated(found, how, (annealing, wanted), options, name)
    text += "" if machine.scaling is None else f"\n{SCALED}"
    kinds = {layer.name: layer.kind for layer in machine.layers}
    emit({**result, "units": kinds, "seconds": time.monotonic() - began}, as_json, text)


def _estimated(
    found: Any, method: str, how: tuple[Any, Any], options: dict[str, Any], name: str
) -> tuple[dict[str, Any], str]:
    """log Z by a method: the object for JSON, and the text, where it is called by a name."""
    import boltz
    from boltz.estimators.two_sided import lines
    from boltz.estimators.words import described, trust
    from boltz.evaluation.along import log_z_along
    from boltz.evaluation.log_z import two_sided
    from boltz.progress import Progress, steps

    annealing, wanted = how
    machine = found.model.undirected
    assert machine is not None
    with Progress() as progress:
        if method == "trajectory":
            told = log_z_along(found, machine, options["rounds"], options["seed"], progress.report)
            return told.as_dict(), "\n".join(told.lines(name))
        if method == "two-sided":
            both = two_sided(machine, wanted, progress.report, options["method"] != "two-sided")
            _draw(both, options["picture"])
            return _result(both.estimate) | both.as_dict(), "\n".join(lines(name, both))
        show = steps(progress.report, "annealing log Z")
        chains, betas = annealing.chains, annealing.betas
        single = boltz.log_z(machine, method=method, chains=chains, betas=betas, seed=annealing.seed, progress=show)  # type: ignore[call-overload]
    _draw(single, options["picture"])
    why = [] if single.trusted else [trust(single)]
    return _result(single), "\n".join([described(name, single), *why])


def _result(found: Any) -> dict[str, Any]:
    return {"log_z": found.as_dict(), "method": found.method}


def _draw(found: Any, file: Path | None) -> None:
    import boltz
    from boltz.plotting import images

    if file is not None:
        images.save(boltz.plot_log_z(found), file)


def chosen(method: str, names: Set[str], small: bool, layered: bool = True) -> str:
    """The method: as asked for, or that of the options given; from both sides only where the graph is layered.

    Raises InputError for options it would not use.
    """
    exact = small and method == "auto"
    if method == "auto":
        asked = [how for how, own in USES.items() if names & set(own) - {"picture"} and how != "trajectory"]
        method = asked[0] if asked else "exact" if small else "two-sided" if layered else "ais"
    for name in sorted(names):
        users = [how for how, own in USES.items() if name in own]
        if users and method not in users:
            raise InputError(f"{word(name)} is for --method {' or '.join(users)}, but here {HOW[method]}.")
    if exact and method == "two-sided" and "picture" in names:
        raise InputError(f"--picture draws log-weights, but here {HOW['exact']}; --method two-sided and ais have some.")
    return method


def checked_picture(file: Path | None) -> Path | None:
    """Where the picture goes, if it can go there."""
    from boltz.storage.run_folder import PICTURES

    if file is not None and file.suffix not in PICTURES:
        raise InputError(f"--picture must end in {', '.join(PICTURES)}, got {str(file)!r}.")
    if file is not None and not file.parent.is_dir():
        raise InputError(f"--picture must lie in a folder that exists, got {str(file)!r}.")
    if file is not None and (file.is_dir() or not os.access(file.parent, os.W_OK)):
        raise InputError(f"--picture must be a file that can be written, got {str(file)!r}.")  # before hours of work
    return file
