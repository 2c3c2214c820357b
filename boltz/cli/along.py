"""`boltz evaluate --along`: log-likelihoods at every snapshot of a run, the result for JSON, and the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import boltz
from boltz import checks
from boltz.cli import two_sided
from boltz.cli.common import say, word
from boltz.cli.estimating import LEAST_ROUNDS
from boltz.cli.evaluating import Found
from boltz.cli.logz import checked_picture
from boltz.cli.measure import BETWEEN, GREY
from boltz.cli.progress import Progress
from boltz.data.dataset import held_rows
from boltz.errors import BoltzError, FileError, InputError
from boltz.estimators.along_training import LikelihoodAlong
from boltz.estimators.estimate import Estimate, error_of_rows, joined, joint_interval
from boltz.estimators.likelihood import NOT_STATES, is_rbm
from boltz.estimators.words import figure, in_words, small
from boltz.foreign import shown
from boltz.models.blueprint import blueprint, kind_of
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.plotting import curves
from boltz.storage import metrics, run_folder, snapshots
from boltz.training.held_out import kept_update
from boltz.training.stages import settings_of, stages

OWN = ("rounds", "picture")
IDLE = ("method", "samples", "bounds", "row_chains", "row_betas", "chains", "betas", "error", "budget")
PARTS = ("replica exchange", "rows of machines")


@dataclass(frozen=True, eq=False)
class Request:
    """What `boltz evaluate --along` was asked for; steps: updates of every snapshot and of the trained machine."""

    model: BoltzmannMachine
    members: list[BoltzmannMachine]
    steps: list[int]
    rounds: int
    seed: int
    picture: Path | None


def request_of(path: Path, model: Model, options: Mapping[str, Any], names: Set[str]) -> Request | None:
    """The request, None without --along; names are those given. Raises InputError for what would do nothing."""
    if not options["along"]:
        for name in OWN:
            if name in names:
                raise InputError(f"{word(name)} is for --along.")
        return None
    if not isinstance(model, BoltzmannMachine):
        kind = kind_of(blueprint(model))
        raise InputError(f"--along is for a run of a machine of kind rbm or dbm, got one of kind {kind}.")
    for name in IDLE:
        if name in names:
            raise InputError(f"--along has a way of its own to log p*(v) and to log Z, so it takes no {word(name)}.")
    rounds = checks.integer(options["rounds"], "--rounds", LEAST_ROUNDS, 10**9)
    seed = checks.integer(options["seed"], "seed", 0, 2**63 - 1)
    picture = checked_picture(options["picture"])
    steps = [int(file.stem) for file in (snapshots.listed(path) if path.is_dir() else [])]
    if not steps:
        raise InputError(f"--along needs a run that kept snapshots (boltz train --snapshots), got {path}.")
    return Request(model, boltz.trajectory(path), [*steps, _all_updates(path, model)], rounds, seed, picture)


def _all_updates(path: Path, model: BoltzmannMachine) -> int:
    """The update whose parameters a run keeps, counted through its stages as its run.toml plans them."""
    plan, description = blueprint(model), run_folder.read_settings(path)
    try:
        rows, settings = (
            checks.integer(description["data"]["rows"], "rows", 1),
            settings_of(plan, description["settings"]),
        )
        if not description.get("held_out"):
            rows -= held_rows(rows, settings.validation)
        return kept_update(metrics.read_metrics(path), stages(plan, settings), rows)
    except (KeyError, TypeError, ValueError, BoltzError) as problem:
        raise FileError(f"{path / run_folder.SETTINGS} does not describe a run ({shown(problem)}).") from problem


def evaluated_along(x: Any, request: Request, name: str) -> Found:
    """The mean log-likelihoods of rows x (rows, units), called by a name; those of single rows of the last machine."""
    say(f"fitting a ladder along {len(request.members)} snapshots")
    with Progress() as progress:
        found = boltz.likelihood_along(
            request.model, request.members, x, request.rounds, request.seed, _shown(progress)
        )
    grey = not ((x == 0) | (x == 1)).all()
    bound = "free energy" if is_rbm(request.model) else "variational bound"
    last = _last(found, bound, grey)
    if request.picture is not None:
        from boltz.plotting import images

        figure = curves.likelihood_along(request.steps, found.values, found.errors, last.trusted)
        images.save(figure, request.picture)
    what = "log p*(v)" if is_rbm(request.model) else f"a lower bound on log p*(v) ({bound})"
    said = GREY if grey else BETWEEN.format(what)
    numbers = zip(request.steps, two_sided.plain(found.values), two_sided.plain(found.errors), strict=True)
    result = {
        "log_likelihood": last.as_dict(),
        "along": [{"step": step, "log_likelihood": value, "error": error} for step, value, error in numbers],
        "kind": last.kind,
        "trusted": last.trusted,
        "method": last.method,
        "log_z": found.ladder.estimate.as_dict(),
        "ladder": two_sided.ladder_dict(found.ladder),
        "certified": said,
    }
    return result, "\n".join([*_lines(found, last, request.steps, name), said]), last.per_row


def _shown(progress: Progress) -> Callable[[int, int], None]:
    """What shows the two parts that follow one another: the first ends where all of its rounds are done."""
    ended = 0

    def show(done: int, total: int) -> None:
        nonlocal ended
        progress.update(PARTS[ended], done, total)
        ended = min(ended + (done == total), len(PARTS) - 1)

    return show


def _last(found: LikelihoodAlong, bound: str, grey: bool) -> Estimate:
    """The mean log-likelihood under the trained machine, log p*(v) by its bound."""
    log_z, per_row = found.ladder.estimate, found.per_row[-1]
    value, error, rows = float(found.values[-1]), float(found.errors[-1]), len(found.per_row[-1])
    of_rows = error_of_rows(per_row, np.zeros(rows))
    return replace(
        log_z,
        value=value,
        standard_error=error,
        standard_error_rows=of_rows,
        interval=joint_interval(value, (error, log_z.chains), (of_rows, rows)),
        per_row=per_row,
        doubts=joined(log_z.doubts, NOT_STATES if grey else ()),
        method=f"{bound}; log Z by {log_z.method}",
    )


def _lines(found: LikelihoodAlong, last: Estimate, steps: list[int], name: str) -> list[str]:
    trust = "trusted" if last.trusted else "NOT trusted, nor is its interval"
    shown = zip(steps, found.values, found.errors, strict=True)
    return [
        f"{name} {in_words(last)}, {trust}",
        f"no bound: log Z by replica exchange, {two_sided.ladder_words(found.ladder)}",
        "along training" + ("" if last.trusted else " (NOT trusted)") + ":",
        *(f"  update {step:>9,}  {figure(value, error):>10} +- {small(error)}" for step, value, error in shown),
    ]
