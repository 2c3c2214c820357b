"""Log-likelihoods of `boltz evaluate`: which way they are measured, the work, the result for JSON, and the text."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import boltz
from boltz import checks
from boltz.cli import two_sided
from boltz.cli.common import word
from boltz.cli.measure import (
    SAMPLES,
    SAMPLES_WITH_PRIOR,
    Annealing,
    described,
    estimate_log_z,
    samples_for,
    undirected,
    verdict,
    verdict_between,
)
from boltz.cli.progress import Progress
from boltz.cli.two_sided import Wanted
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, exact
from boltz.estimators.likelihood import variational_bound
from boltz.estimators.two_sided import TwoSided, difference, sides
from boltz.estimators.words import in_words
from boltz.models.blueprint import blueprint, kind_of
from boltz.models.files import Model

Found = tuple[dict[str, Any], str, Any]  # the object for JSON, the text, and log p(v) (rows,) of single rows
LOG_Z = frozenset({"chains", "betas", "error", "budget"})
USES: dict[str, frozenset[str]] = {
    "auto": LOG_Z | {"samples", "bounds"},
    "bound": LOG_Z | {"bounds"},
    "importance": LOG_Z | {"samples", "bounds"},
    "posterior-ais": LOG_Z | {"row_chains", "row_betas", "bounds"},
    "raise": frozenset({"row_chains", "row_betas"}),
}  # method -> options that it uses
ROW_BETAS = {"posterior-ais": 500, "raise": 1000}
KINDS = {"exact": "exact", "lower": "a lower bound", "upper": "an upper bound", "none": "no bound"}


@dataclass(frozen=True)
class Way:
    """How log p*(v) is measured, and how log Z.

    samples, row_chains, row_betas: a row, 0 where the method has none; bounds: numbers of samples of further bounds;
    wanted: None where log Z is not measured from both sides.
    """

    method: str
    samples: int
    row_chains: int
    row_betas: int
    bounds: tuple[int, ...]
    annealing: Annealing
    wanted: Wanted | None


def way_of(model: Model, options: Mapping[str, Any], names: Set[str]) -> Way:
    """The way that the options ask for, names being those given; raises InputError for what would do nothing."""
    method = options["method"]
    _refuse(kind_of(blueprint(model)), method, names)
    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    wanted = Wanted(options["error"], options["budget"], options["seed"])
    samples = samples_for(model, options["samples"]) if method == "auto" else 0
    if method == "importance":
        prior = undirected(model) is not None and not isinstance(model, boltz.BoltzmannMachine)
        default = SAMPLES_WITH_PRIOR if prior else SAMPLES
        samples = checks.integer(options["samples"] if "samples" in names else default, "samples", 1, 10**6)
    rows = method in ROW_BETAS
    chains = checks.integer(options["row_chains"], "--row-chains", 1, 10**6) if rows else 0
    steps = ROW_BETAS.get(method, 0) if options["row_betas"] is None else options["row_betas"]
    betas = checks.integer(steps, "--row-betas", 1, 10**8) if rows else 0
    bounds = tuple(checks.integer(k, "--bounds", 1, 10**6) for k in options["bounds"] or ())
    return Way(method, samples, chains, betas, bounds, annealing, wanted if names & {"error", "budget"} else None)


def _refuse(kind: str, method: str, names: Set[str]) -> None:
    """Raise InputError for a method that the kind of machine does not have, and for options that it would not use."""
    undirected_only = {"bound": "dbm", "raise": "rbm or dbm"}
    if kind == "rbm" and method in ("bound", "importance", "posterior-ais"):
        raise InputError(f"--method {method} would do nothing: log p*(v) of an rbm is exact without it.")
    if kind == "rbm" and "bounds" in names:
        raise InputError("--bounds would do nothing: log p*(v) of an rbm is exact without samples.")
    if method in undirected_only and kind not in ("rbm", "dbm"):
        raise InputError(
            f"--method {method} is for a machine of kind {undirected_only[method]}, got one of kind {kind}."
        )
    for name in sorted(names - USES[method]):
        users = [each for each, own in USES.items() if name in own]
        if name in LOG_Z:
            raise InputError(f"{word(name)} is for log Z, which --method {method} does without.")
        if users:
            raise InputError(f"{word(name)} is for --method {' or '.join(users)}, not for {method}.")
    if names & {"error", "budget"} and names & {"chains", "betas"}:
        given, idle = sorted(names & {"error", "budget"})[0], sorted(names & {"chains", "betas"})[0]
        raise InputError(
            f"{word(given)} has log Z measured from both sides, with chains and temperatures of its own, so it takes "
            f"no {word(idle)}."
        )


def evaluated(model: Model, x: Any, way: Way, name: str) -> Found:
    """The mean log-likelihood of rows x (rows, units), called by a name."""
    most = max(way.samples, way.row_chains, *way.bounds, 1)
    if len(x) * most >= 2**32:
        raise InputError(f"rows times samples or chains must be below 2^32, got {len(x):,} x {most:,}.")
    with Progress() as progress:
        log_z = _log_z(model, way, progress)
        if isinstance(log_z, TwoSided) and log_z.ladder is not None:
            return _between(model, x, way, (name, log_z), progress)
        value = log_z.estimate if isinstance(log_z, TwoSided) else log_z
        found = _measured(model, x, way, value, progress)
        bounds = _bounds(model, x, way, value)
    said = verdict(found, value, way.samples, way.row_chains)
    lines = [
        described(name, found),
        *bound_lines(bounds),
        *([] if value is None else [described("log Z", value)]),
        said,
    ]
    result = _result(way, found, value, bounds) | {"certified": said}
    if isinstance(log_z, TwoSided):
        result["two_sided"] = two_sided.as_dict(log_z)
    return result, "\n".join(lines), found.per_row


def _log_z(model: Model, way: Way, progress: Progress) -> TwoSided | Estimate | None:
    """log Z as it was asked for; None where it is 0, or not needed."""
    machine = undirected(model)
    if way.method == "raise" or machine is None:
        return None
    if way.wanted is not None:
        return two_sided.measured(machine, way.wanted, progress)
    return estimate_log_z(model, "auto", way.annealing, progress)


def _between(model: Model, x: Any, way: Way, named: tuple[str, TwoSided], progress: Progress) -> Found:
    """As evaluated, where log Z has two sides; named is what the log-likelihood is called, and log Z."""
    name, log_z = named
    zero = exact(0.0, "")
    log_marginal = _measured(model, x, way, zero, progress)
    both = sides(log_marginal, log_z)
    bounds = {k: difference(bound, log_z.estimate) for k, bound in _bounds(model, x, way, zero).items()}
    said = verdict_between(log_marginal, way.samples, way.row_chains)
    lines = [
        two_sided.headline(name, both.best, log_z),
        *two_sided.side_words(both),
        *bound_lines(bounds),
        *two_sided.lines("log Z", log_z),
        said,
    ]
    result = _result(way, both.best, log_z.estimate, bounds)
    more = {"certified": said, "sides": two_sided.sides_dict(both), "two_sided": two_sided.as_dict(log_z)}
    return result | more, "\n".join(lines), both.best.per_row


def _measured(model: Model, x: Any, way: Way, log_z: Estimate | None, progress: Progress) -> Estimate:
    """The mean log-likelihood by the method asked for."""
    seed = way.annealing.seed
    if way.method == "bound":
        assert isinstance(model, boltz.BoltzmannMachine)
        return variational_bound(model, x, log_z, seed)
    if way.method == "raise":
        assert isinstance(model, boltz.BoltzmannMachine)
        return boltz.raise_likelihood(model, x, way.row_chains, way.row_betas, seed)
    if way.method == "posterior-ais":

        def show(done: int, total: int) -> None:
            progress.update("annealing rows", done, total)

        return boltz.posterior_ais(model, x, way.row_chains, way.row_betas, log_z, seed, show)
    return boltz.log_likelihood(model, x, log_z, way.samples, seed)


def _bounds(model: Model, x: Any, way: Way, log_z: Estimate | None) -> dict[int, Estimate]:
    """The importance-weighted bounds that were asked for, by their numbers of samples."""
    if not way.bounds:
        return {}
    found = boltz.importance_bounds(model, x, way.bounds, log_z, way.annealing.seed)
    return dict(zip(way.bounds, found, strict=True))


def bound_lines(bounds: Mapping[int, Estimate]) -> list[str]:
    """A line on each importance-weighted bound: its kind, and whether it can be taken for log p(v)."""
    lines = []
    for k, bound in bounds.items():
        trust = "trusted" if bound.trusted else "NOT trusted to be log p(v) itself"
        lines.append(f"L_{k:<6} {in_words(bound)}, {KINDS[bound.kind]}, {trust}")
    return lines


def _result(way: Way, found: Estimate, log_z: Estimate | None, bounds: Mapping[int, Estimate]) -> dict[str, Any]:
    """What every way has in its object for JSON."""
    return {
        "log_likelihood": found.as_dict(),
        "method": found.method,
        "samples": way.samples,
        "row_chains": way.row_chains,
        "row_betas": way.row_betas,
        "log_z": None if log_z is None else log_z.as_dict(),
        "bounds": [{"samples": k, **bound.as_dict()} for k, bound in bounds.items()],
    }
