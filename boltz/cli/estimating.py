"""log Z by each method of `boltz logz`: the work, the result for JSON, and the text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boltz
from boltz import checks
from boltz.cli import two_sided
from boltz.cli.common import say
from boltz.cli.measure import Annealing, described, estimate_log_z, trust
from boltz.cli.progress import Progress
from boltz.cli.two_sided import Wanted
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate
from boltz.estimators.words import figure, in_words, small
from boltz.models.boltzmann import BoltzmannMachine
from boltz.plotting import curves
from boltz.storage import snapshots

Result = tuple[dict[str, Any], str]
LEAST_ROUNDS = 20


@dataclass(frozen=True)
class Request:
    """What `boltz logz` was asked for: the run, the method, and the options of the methods; raises InputError."""

    path: Path
    method: str
    annealing: Annealing
    wanted: Wanted
    rounds: int
    picture: Path | None

    def __post_init__(self) -> None:
        checks.integer(self.rounds, "--rounds", LEAST_ROUNDS, 10**9)


def estimated(machine: BoltzmannMachine, request: Request, name: str) -> Result:
    """log Z by the method of the request: the object for JSON, and the text, where it is called by the name."""
    if request.method == "two-sided":
        return _two_sided(machine, request, name)
    if request.method == "trajectory":
        return _along_training(machine, request, name)
    with Progress() as progress:
        found = estimate_log_z(machine, request.method, request.annealing, progress)
    assert found is not None  # a Boltzmann machine has a log Z
    if request.picture is not None:
        _draw({"annealing up": found}, None, request.picture)
    why = [] if found.trusted else [trust(found)]
    return _result(found), "\n".join([described(name, found), *why])


def _result(found: Estimate) -> dict[str, Any]:
    return {"log_z": found.as_dict(), "method": found.method}


def _two_sided(machine: BoltzmannMachine, request: Request, name: str) -> Result:
    with Progress() as progress:
        found = two_sided.measured(machine, request.wanted, progress)
    if request.picture is not None and found.ladder is not None:
        _draw({"annealing up": found.lower, "annealing down": found.upper}, found.ladder, request.picture)
    return _result(found.estimate) | two_sided.as_dict(found), "\n".join(two_sided.lines(name, found))


def _along_training(machine: BoltzmannMachine, request: Request, name: str) -> Result:
    """Replica exchange along the snapshots of a run, which gives log Z of each of them as well."""
    steps = [int(file.stem) for file in (snapshots.listed(request.path) if request.path.is_dir() else [])]
    if not steps:
        wanted = "a run that kept snapshots (boltz train --snapshots)"
        raise InputError(f"--method trajectory needs {wanted}, got {request.path}.")
    members = boltz.trajectory(request.path)
    say(f"fitting a ladder along {len(members)} snapshots")
    with Progress() as progress:
        found = boltz.exchange_log_z(
            machine,
            members,
            rounds=request.rounds,
            seed=request.annealing.seed,
            progress=lambda done, total: progress.update("replica exchange", done, total),
        )
    places = found.places.tolist()
    rungs = [places.index(i + 1) for i in range(len(steps))]  # the machine without weights is at place 0
    values, errors = found.log_z[rungs], found.errors[rungs]
    rows = zip(steps, two_sided.plain(values), two_sided.plain(errors), strict=True)
    along = [{"step": step, "log_z": value, "error": error} for step, value, error in rows]
    result = _result(found.estimate) | {"along": along, "ladder": two_sided.ladder_dict(found)}
    trust = "trusted" if found.estimate.trusted else "NOT trusted, nor is its interval"
    lines = [f"{name} {in_words(found.estimate)}, {trust}"]
    lines += [f"no bound: replica exchange, {two_sided.ladder_words(found)}", "along training:"]
    shown = [(step, figure(value, e), small(e)) for step, value, e in zip(steps, values, errors, strict=True)]
    lines += [f"  update {step:>9,}  log Z {value:>10} +- {error}" for step, value, error in shown]
    return result, "\n".join(lines)


def _draw(parts: dict[str, Estimate], ladder: Any, file: Path) -> None:
    from boltz.plotting import images

    images.save(curves.log_weights(parts, ladder), file)
