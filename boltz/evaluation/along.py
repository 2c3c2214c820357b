"""Along the snapshots of a training run: log-likelihoods of rows, and log Z, by one run of replica exchange."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks, html
from boltz.data.dataset import held_rows
from boltz.errors import BoltzError, InputError
from boltz.estimators.along_training import LikelihoodAlong, likelihood_along
from boltz.estimators.estimate import Estimate, error_of_rows, joined, joint_interval
from boltz.estimators.likelihood import NOT_STATES
from boltz.estimators.replica_exchange import LadderEstimate, exchange_log_z, ladder_lines, plain
from boltz.estimators.words import figure, in_words, small, table_lines
from boltz.evaluation.beside import Beside, beside
from boltz.evaluation.evaluate import likelihood_of
from boltz.evaluation.log_z import LEAST_ROUNDS, snapshots_of
from boltz.evaluation.rows import Measured, measured_rows, rows_given
from boltz.evaluation.trained import Trained, trained
from boltz.evaluation.words import BETWEEN, GREY
from boltz.models.boltzmann import BoltzmannMachine
from boltz.plotting import curves
from boltz.progress import Report, heard, parts, steps
from boltz.storage import metrics
from boltz.training.held_out import kept_update

PARTS = ("replica exchange", "rows of machines")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EvaluationAlong:
    """Mean log-likelihoods in nats a row at every snapshot of a run and under the trained machine; none is a bound.

    log_likelihood: that under the trained machine; updates: of every snapshot and of the trained machine; found: what
    replica exchange says of all. str() is what `boltz evaluate --along` prints.
    """

    log_likelihood: Estimate
    updates: tuple[int, ...]
    found: LikelihoodAlong = field(repr=False)
    certified: str
    simple: Beside = field(repr=False)
    rows: Measured = field(repr=False)

    @property
    def learnt(self) -> str:
        """How the machine stands beside independent units and a mixture of them, in words."""
        return self.simple.verdict(self.log_likelihood.per_row, self.log_likelihood.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the same that `boltz evaluate --along --json` prints."""
        last, found = self.log_likelihood, self.found
        numbers = zip(self.updates, plain(found.values), plain(found.errors), strict=True)
        return {
            "log_likelihood": last.as_dict(),
            "along": [{"step": step, "log_likelihood": value, "error": error} for step, value, error in numbers],
            "kind": last.kind,
            "trusted": last.trusted,
            "method": last.method,
            "log_z": found.ladder.estimate.as_dict(),
            "ladder": found.ladder.as_dict(),
            "certified": self.certified,
            "beside": self.simple.as_dict(),
            "learnt": self.learnt,
            **self.rows.about,
        }

    def __str__(self) -> str:
        last, found = self.log_likelihood, self.found
        trust = "trusted" if last.trusted else "NOT trusted, nor is its interval"
        numbers = zip(self.updates, found.values, found.errors, strict=True)
        lines = [
            f"{likelihood_of(self.rows)} {in_words(last)}, {trust}",
            f"no bound: log Z by replica exchange, {found.ladder.words}",
            "along training" + ("" if last.trusted else " (NOT trusted)") + ":",
            *(f"  update {step:>9,}  {figure(value, error):>10} +- {small(error)}" for step, value, error in numbers),
        ]
        return "\n".join([*lines, *self.simple.lines(), self.certified, self.learnt])

    def _repr_html_(self) -> str:
        numbers = zip(self.updates, self.found.values, self.found.errors, strict=True)
        lines = [(f"update {step:,}", f"{figure(value, error)} +- {small(error)}") for step, value, error in numbers]
        lines += self.simple.cells()
        return html.table([*table_lines(self.log_likelihood), *lines], caption=likelihood_of(self.rows))

    def picture(self) -> Any:
        """The log-likelihood against the updates of training, as a figure of matplotlib."""
        found = self.found
        return curves.likelihood_along(list(self.updates), found.values, found.errors, self.log_likelihood.trusted)


@dataclass(frozen=True, eq=False)
class LogZAlong:
    """log Z in nats of every snapshot of a run by replica exchange, and of the trained machine, which is the last rung.

    updates: of the snapshots. str() is what `boltz logz --method trajectory` prints.
    """

    ladder: LadderEstimate
    updates: tuple[int, ...]

    @property
    def rungs(self) -> list[int]:
        """The rung of each snapshot; the machine without weights is at place 0."""
        places = self.ladder.places.tolist()
        return [places.index(i + 1) for i in range(len(self.updates))]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the same that `boltz logz --json` prints."""
        found, rungs = self.ladder, self.rungs
        numbers = zip(self.updates, plain(found.log_z[rungs]), plain(found.errors[rungs]), strict=True)
        along = [{"step": step, "log_z": value, "error": error} for step, value, error in numbers]
        best = {"log_z": found.estimate.as_dict(), "method": found.estimate.method}
        return best | {"along": along, "ladder": found.as_dict()}

    def lines(self, name: str) -> list[str]:
        """In words, log Z called by a name."""
        found, rungs = self.ladder, self.rungs
        numbers = [
            (step, figure(value, error), small(error))
            for step, value, error in zip(self.updates, found.log_z[rungs], found.errors[rungs], strict=True)
        ]
        told = [f"  update {step:>9,}  log Z {value:>10} +- {error}" for step, value, error in numbers]
        return [*ladder_lines(name, found), "along training:", *told]

    def __str__(self) -> str:
        return "\n".join(self.lines("log Z"))


def evaluate_along(
    run: Any,
    data: Any = None,
    split: str | None = None,
    rounds: int = 1000,
    seed: int = 0,
    progress: Report | None = None,
) -> EvaluationAlong:
    """The mean log-likelihood of rows at every snapshot of a run folder of an rbm or dbm, in nats a row.

    log Z of all comes from one run of so many rounds of replica exchange along the snapshots; a deep machine is
    measured by its variational bound. data, split and progress as in boltz.evaluate. Raises InputError, FileError.
    """
    told, found = heard(progress), trained(run, "run")
    rounds, seed = checks.integer(rounds, "rounds", LEAST_ROUNDS, 10**9), checks.integer(seed, "seed", 0, 2**63 - 1)
    course = course_of(found, rounds, seed, "run")
    rows = measured_rows(found, rows_given(found, data, split), None, seed)
    return along(found, rows, course, told)


@dataclass(frozen=True)
class AlongTraining:
    """Updates of the snapshots of a run and of its trained machine, rounds of replica exchange along them, and seed."""

    updates: tuple[int, ...]
    rounds: int
    seed: int


def course_of(found: Trained, rounds: int, seed: int, what: str) -> AlongTraining:
    """How a run is measured along its training; what is asked for so.

    Raises InputError unless it is of an rbm or dbm and kept snapshots, FileError where its run.toml does not plan them.
    """
    if found.model.directed is not None:
        raise InputError(f"{what} is for a run of a machine of kind rbm or dbm, got one of kind {found.kind}.")
    snapshots = snapshots_of(found, what)
    return AlongTraining((*snapshots, all_updates(found)), rounds, seed)


def along(found: Trained, rows: Measured, course: AlongTraining, progress: Report) -> EvaluationAlong:
    """The log-likelihoods of rows at the snapshots of a run that has some."""
    model, members, x = found.model.undirected, found.snapshots, rows.x
    assert model is not None
    updates, rounds, seed = course.updates, course.rounds, course.seed
    progress(f"fitting a ladder along {len(members)} snapshots", 0, 0)
    likelihoods = likelihood_along(model, members, x, rounds, seed, parts(progress, PARTS))
    grey = not ((x == 0) | (x == 1)).all()
    bound = "free energy" if model.independent_hidden else "variational bound"
    last = _last(likelihoods, bound, grey)
    what = "log p*(v)" if model.independent_hidden else f"a lower bound on log p*(v) ({bound})"
    said = GREY if grey else BETWEEN.format(what)
    simple = beside(model, rows.data, x, found.run, seed)
    return EvaluationAlong(last, updates, likelihoods, said, simple, rows)


def log_z_along(found: Trained, machine: BoltzmannMachine, rounds: int, seed: int, progress: Report) -> LogZAlong:
    """log Z along the snapshots of a run; raises InputError where it kept none."""
    updates = snapshots_of(found, "--method trajectory")
    progress(f"fitting a ladder along {len(updates)} snapshots", 0, 0)
    show = steps(progress, "replica exchange")
    return LogZAlong(exchange_log_z(machine, found.snapshots, rounds=rounds, seed=seed, progress=show), tuple(updates))


def all_updates(found: Trained) -> int:
    """The update whose parameters a run keeps, counted through its stages as its run.toml plans them."""
    path = found.path
    assert path is not None
    try:
        run, rows = found.run.drawn(), checks.integer(found.run.data.get("rows"), "rows", 1)
        if not found.run.held_out:
            rows -= held_rows(rows, run.settings.validation)
        return kept_update(metrics.read_metrics(path), run.stages, rows)
    except (KeyError, TypeError, ValueError, BoltzError) as problem:
        raise found.run.wrong("a run", problem) from problem


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
