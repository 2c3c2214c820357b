"""`evaluate`: the mean log-likelihood of rows under a machine, what bounds it, and what it is worth, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from boltz import checks, html
from boltz.errors import InputError
from boltz.estimators import two_sided as both_sides
from boltz.estimators.closed_forms import QUICK_HIDDEN, few_hidden
from boltz.estimators.code_lengths import CodeLength, code_lengths
from boltz.estimators.estimate import Estimate, exact
from boltz.estimators.exact import enumerable
from boltz.estimators.likelihood import importance_bounds, log_likelihood, variational_bound
from boltz.estimators.perplexity import Perplexity
from boltz.estimators.posterior_ais import posterior_ais
from boltz.estimators.reverse_ais import raise_likelihood
from boltz.estimators.two_sided import Sides, TwoSided, difference, sides
from boltz.estimators.words import described, in_words, table_lines
from boltz.evaluation.beside import Beside, beside
from boltz.evaluation.documents import are_documents, documents, refuse_ways, verdict_of_words, word_entries, word_lines
from boltz.evaluation.inferred_labels import inferred_errors
from boltz.evaluation.known_parts import KnownPart, parts_of
from boltz.evaluation.label_errors import LabelErrors
from boltz.evaluation.log_z import Annealing, Wanted, annealed, two_sided
from boltz.evaluation.per_unit import per_unit, per_unit_lines
from boltz.evaluation.rows import Measured, measured_rows, rows_given, rows_to_fit
from boltz.evaluation.trained import Trained, trained
from boltz.evaluation.view_reading import given_views
from boltz.evaluation.words import KINDS, annealing_is_closer, bound_lines, verdict, verdict_between
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import Model
from boltz.progress import Report, heard, steps

SAMPLES, SAMPLES_WITH_PRIOR = 1000, 100  # a sample costs more where an RBM is its prior
SAMPLES_OF_DBM = 200  # the bound of mean field falls behind as upper layers start to work
LOG_Z = frozenset({"chains", "betas", "error", "budget"})
USES: dict[str, frozenset[str]] = {
    "auto": LOG_Z | {"samples", "bounds"},
    "bound": LOG_Z | {"bounds"},
    "importance": LOG_Z | {"samples", "bounds"},
    "posterior-ais": LOG_Z | {"row_chains", "row_betas", "bounds"},
    "raise": frozenset({"row_chains", "row_betas"}),
}  # method -> what it uses
CODED_ROWS = 1000  # whose code is measured
ROW_BETAS = {"posterior-ais": 500, "raise": 1000}
DEFAULTS: Mapping[str, Any] = {
    "samples": 0,
    "bounds": (),
    "row_chains": 10,
    "row_betas": None,
    "chains": 100,
    "betas": "sm2008",
    "error": 0.25,
    "budget": 600.0,
}


def evaluate(
    model: Any,
    data: Any = None,
    method: str = "auto",
    split: str | None = None,
    *,
    limit: int | None = None,
    binarize: str | None = None,
    train: Any = None,
    samples: int | None = None,
    bounds: Any = None,
    row_chains: int | None = None,
    row_betas: int | None = None,
    chains: int | None = None,
    betas: Any = None,
    error: float | None = None,
    budget: float | None = None,
    given: Any = None,
    seed: int = 0,
    progress: Report | None = None,
) -> Evaluation:
    """The mean log-likelihood of rows under a trained machine, in nats a row, with log Z and simple models beside it.

    model is a machine, a run, or the path of a run or model file. data are rows (rows, units), what boltz.load_data
    returns, a name or path, or None for those of the run, by default its test rows; limit takes the first ones only.
    Grey values are drawn once by seed, as binarize says (dynamic, fixed, threshold, none), by default as in training.
    Simple models are fitted to rows train, by default those that the run learnt from.

    Rows of several visible layers may lack views, or hold NaN: then the value of a row is log p(its known entries), the
    others being summed out exactly where few units have to be counted, else by importance samples or annealing, as in
    boltz.log_likelihood. given names the views that count, "image" or ["image", "sound"], all others being unknown.

    method says how log p*(v) is measured: auto enumerates at most 14 hidden units, and beyond takes samples importance
    samples a row; bound (the variational one, of an undirected machine), importance, and posterior-ais (row_chains over
    row_betas a row) force one; raise needs no log Z. bounds are numbers of samples of further importance-weighted
    bounds. log Z is 0 for a directed machine, exact for a small one, else measured by chains annealed over betas, or,
    where error or budget is given, from both sides. Documents have their perplexity beside it, as in boltz.perplexity,
    which takes no such options. What is None has the default of `boltz evaluate`. progress hears what is done, of how
    many steps how many are, and 0 of 0 for a line without steps. Raises InputError, FileError, NumericalError.
    """
    told = heard(progress)
    found = trained(model)
    asked = {"samples": samples, "bounds": bounds, "row_chains": row_chains, "row_betas": row_betas}
    asked |= {"chains": chains, "betas": betas, "error": error, "budget": budget}
    names = {name for name, value in asked.items() if value is not None}
    seed = checks.integer(seed, "seed", 0, 2**63 - 1)
    options = {**DEFAULTS, **{name: asked[name] for name in names}, "method": method, "seed": seed}
    refuse_idle([found.model], names, str)
    way = way_of(found.model, options, names, str)
    views = given_views(found.model, given, found.place)
    read = rows_given(found, data, split, limit=limit, partly=True)
    rows = measured_rows(found, read, binarize, seed, views)
    result = evaluated(found, replace(rows, train=rows_to_fit(found, train)), way, told)
    return replace(result, simple=result.simple.advised())


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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The mean log-likelihood of some rows under a machine, in nats a row; str() is what `boltz evaluate` prints.

    - log_likelihood: the figure itself.
    - log_z: log Z that it rests on; None where it is 0, or not needed.
    - bounds: importance-weighted bounds by their number of samples.
    - certified: what all this certifies, in words.
    - simple: what independent units and a mixture of them say of the same rows.
    - rows: the rows, what is known of them, and how the machine sees them.
    - way: how they were measured.
    - two_sided, sides: log Z from both sides, and both sides of the log-likelihood, where that was asked for.
    - perplexity: that of documents per word, None for other rows.
    - codes: what each hidden layer of an sbn or a vae costs, as in boltz.code_lengths.
    - labels: the errors of the labels that the machine of a run infers, where rows bring theirs along, else None.
    """

    log_likelihood: Estimate
    log_z: Estimate | None
    bounds: Mapping[int, Estimate] = field(repr=False)
    certified: str
    simple: Beside = field(repr=False)
    rows: Measured = field(repr=False)
    way: Way = field(repr=False)
    two_sided: TwoSided | None = field(default=None, repr=False)
    sides: Sides | None = field(default=None, repr=False)
    perplexity: Perplexity | None = field(default=None, repr=False)
    codes: tuple[CodeLength, ...] = field(default=(), repr=False)
    labels: LabelErrors | None = field(default=None, repr=False)

    @property
    def parts(self) -> tuple[KnownPart, ...]:
        """The mean of rows of which the same views are known, nothing where all rows are known in full."""
        return parts_of(self.rows.layer, self.rows.data.known, self.log_likelihood.per_row)

    @property
    def method(self) -> str:
        """How it was measured, in words."""
        return self.log_likelihood.method

    @property
    def learnt(self) -> str:
        """How the machine stands beside independent units and a mixture of them, or single words, in words."""
        if self.perplexity is not None:
            return verdict_of_words(self.perplexity)
        return self.simple.verdict(self.log_likelihood.per_row, self.log_likelihood.as_dict())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how the rows were read."""
        return self.rows.data.notes

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the same that `boltz evaluate --json` prints."""
        found = {
            "log_likelihood": self.log_likelihood.as_dict(),
            "method": self.method,
            "samples": self.way.samples,
            "row_chains": self.way.row_chains,
            "row_betas": self.way.row_betas,
            "log_z": None if self.log_z is None else self.log_z.as_dict(),
            "bounds": [{"samples": k, **bound.as_dict()} for k, bound in self.bounds.items()],
            "certified": self.certified,
        }
        if self.sides is not None:
            found["sides"] = self.sides.as_dict()
        if self.two_sided is not None:
            found["two_sided"] = self.two_sided.as_dict()
        if self.perplexity is not None:
            found["perplexity"] = word_entries(self.perplexity)
        if self.codes:
            found["codes"] = [each.as_dict() for each in self.codes]
        if self.labels is not None:
            found["labels"] = self.labels.as_dict()
        if self.parts:
            found["known"] = [part.as_dict() for part in self.parts]
        told = {"beside": self.simple.as_dict(), "learnt": self.learnt}
        return {**found, **told, **self.rows.about, **per_unit(self.rows.layer, self.log_likelihood.value)}

    def __str__(self) -> str:
        name = likelihood_of(self.rows)
        if self.sides is not None and self.two_sided is not None:
            lines = [
                both_sides.headline(name, self.log_likelihood, self.two_sided),
                *both_sides.side_words(self.sides),
                *bound_lines(self.bounds),
                *both_sides.lines("log Z", self.two_sided),
            ]
        else:
            lines = [described(name, self.log_likelihood), *bound_lines(self.bounds)]
            lines += [] if self.log_z is None else [described("log Z", self.log_z)]
        lines += map(str, self.parts)
        about = per_unit_lines(self.rows.layer, self.log_likelihood.value)
        about += [] if self.perplexity is None else word_lines(self.perplexity)
        about += [f"{each}." for each in self.codes]
        about += [] if self.labels is None else self.labels.lines
        return "\n".join([*lines, *about, *self.simple.lines(), self.certified, self.learnt])

    def _repr_html_(self) -> str:
        lines: list[tuple[str, str]] = [*table_lines(self.log_likelihood)]
        lines += [(f"L_{k}", f"{in_words(bound)}, {KINDS[bound.kind]}") for k, bound in self.bounds.items()]
        lines += [(f"of {part.known}", f"{part.rows:,} rows, {part.value:.2f} nats a row") for part in self.parts]
        lines += [("log Z", "0" if self.log_z is None else described("", self.log_z)), *self.simple.cells()]
        lines += [] if self.perplexity is None else [("perplexity per word", str(self.perplexity))]
        lines += [(f"code {each.layer}", str(each)) for each in self.codes]
        lines += [] if self.labels is None else [("labels", str(self.labels))]
        lines += [("certified", self.certified), ("learnt", self.learnt)]
        return html.table(lines, caption=likelihood_of(self.rows))


def likelihood_of(rows: Measured) -> str:
    """What the mean log-likelihood of rows is called."""
    what = "" if rows.data.known is None else "what is known of "
    return f"log-likelihood of {what}{len(rows.x):,} rows ({rows.words})"


def way_of(model: Model, options: Mapping[str, Any], names: Set[str], word: Callable[[str], str]) -> Way:
    """The way that options ask for, names being those given, and word how an option is written in a message.

    Raises InputError for what would do nothing.
    """
    method = checks.choice(options["method"], word("method"), USES)
    if are_documents(model):
        refuse_ways({*names, *(() if method == "auto" else ("method",))}, word)
    _refuse(model, method, names, word)
    annealing = Annealing(options["chains"], options["betas"], options["seed"])
    error = checks.number(options["error"], word("error"), 1e-9)
    wanted = Wanted(error, checks.number(options["budget"], word("budget"), 0.0), annealing.seed)
    samples = samples_for(model, options["samples"]) if method == "auto" else 0
    if method == "importance":
        prior = model.undirected is not None and model.directed is not None
        default = SAMPLES_WITH_PRIOR if prior else SAMPLES
        samples = checks.integer(options["samples"] if "samples" in names else default, "samples", 1, 10**6)
    rows = method in ROW_BETAS
    chains = checks.integer(options["row_chains"], word("row_chains"), 1, 10**6) if rows else 0
    temperatures = ROW_BETAS.get(method, 0) if options["row_betas"] is None else options["row_betas"]
    betas = checks.integer(temperatures, word("row_betas"), 1, 10**8) if rows else 0
    numbers = checks.sequence(() if options["bounds"] is None else options["bounds"], word("bounds"), 1000)
    bounds = tuple(checks.integer(k, word("bounds"), 1, 10**6) for k in numbers)
    return Way(method, samples, chains, betas, bounds, annealing, wanted if names & {"error", "budget"} else None)


def samples_for(model: Model, asked: int) -> int:
    """Importance samples a row: as many as asked for, else none where the machine does without, else a default."""
    asked = checks.integer(asked, "samples", 0, 10**6)
    directed = model.directed
    if directed is None:
        return asked if asked or _quick(model.undirected) else SAMPLES_OF_DBM
    if asked or enumerable(directed, QUICK_HIDDEN):
        return asked
    return SAMPLES if model.undirected is None else SAMPLES_WITH_PRIOR


def _quick(machine: BoltzmannMachine | None) -> bool:
    """Whether log p*(v) of a Boltzmann machine is exact without samples."""
    return machine is None or machine.independent_hidden or few_hidden(machine)


def refuse_idle(models: list[Model], names: Set[str], word: Callable[[str], str]) -> None:
    """Raise InputError for options that were given and that none of the machines needs."""
    directed = not any(model.undirected for model in models)
    for name in ("betas", "chains"):
        if directed and name in names:
            what = "is for annealed importance sampling of log Z, which is 0 for directed machines"
            raise InputError(f"{word(name)} {what}.")
    for name in ("error", "budget"):
        if directed and name in names:
            raise InputError(f"{word(name)} is for log Z, which is 0 for directed machines.")
    if "samples" in names and all(model.independent_hidden for model in models):
        raise InputError(
            f"{word('samples')} would do nothing: log p*(v) of {_told(models[0])} is exact without samples."
        )


def _told(model: Model) -> str:
    """A machine whose hidden units are independent given the visible ones, in words."""
    return "an rbm" if model.kind == "rbm" else f"this {model.kind}"


def _refuse(model: Model, method: str, names: Set[str], word: Callable[[str], str]) -> None:
    """Raise InputError for a method that the machine does not have, and for options that it would not use."""
    by, kind = f"{word('method')} {method}", model.kind
    if model.independent_hidden and method in ("bound", "importance", "posterior-ais"):
        raise InputError(f"{by} would do nothing: log p*(v) of {_told(model)} is exact without it.")
    if model.independent_hidden and "bounds" in names:
        raise InputError(f"{word('bounds')} would do nothing: log p*(v) of {_told(model)} is exact without samples.")
    for own, kinds in (("bound", ("dbm", "multimodal", "bm")), ("raise", ("rbm", "dbm"))):
        if method == own and kind not in kinds:
            raise InputError(f"{by} is for a machine of kind {' or '.join(kinds)}, got one of kind {kind}.")
    known: set[str] = set().union(*USES.values())
    for name in sorted((names & known) - USES[method]):
        users = [each for each, own in USES.items() if name in own]
        if name in LOG_Z:
            raise InputError(f"{word(name)} is for log Z, which {by} does without.")
        raise InputError(f"{word(name)} is for {word('method')} {' or '.join(users)}, not for {method}.")
    if names & {"error", "budget"} and names & {"chains", "betas"}:
        given, idle = sorted(names & {"error", "budget"})[0], sorted(names & {"chains", "betas"})[0]
        raise InputError(
            f"{word(given)} has log Z measured from both sides, with chains and temperatures of its own, so it takes "
            f"no {word(idle)}."
        )


def evaluated(found: Trained, rows: Measured, way: Way, progress: Report) -> Evaluation:
    """The mean log-likelihood of rows in a way that was checked."""
    model, x = found.model, rows.x
    _refuse_unknown(rows, way)
    most = max(way.samples, way.row_chains, *way.bounds, 1)
    if len(x) * most >= 2**32:
        raise InputError(f"rows times samples or chains must be below 2^32, got {len(x):,} x {most:,}.")
    if are_documents(model):
        words = documents(found, rows.data, x, way.annealing.seed, rows.train)
        said, nothing = verdict(words.log_likelihood, None), _simple(found, rows, way)
        return Evaluation(words.log_likelihood, None, {}, said, nothing, rows, way, perplexity=words)
    log_z = _log_z(model, way, progress)
    if isinstance(log_z, TwoSided) and log_z.ladder is not None:
        return _between(found, rows, way, log_z, progress)
    value = log_z.estimate if isinstance(log_z, TwoSided) else log_z
    likelihood = _measured(model, rows, way, value, progress)
    bounds = _bounds(model, x, way, value)
    said = verdict(likelihood, value, way.samples, way.row_chains) + annealing_is_closer(model, likelihood, way.samples)
    simple = _simple(found, rows, way)
    both = log_z if isinstance(log_z, TwoSided) else None
    codes, labels = _codes(model, rows, way), inferred_errors(found, rows.data, x)
    return Evaluation(likelihood, value, bounds, said, simple, rows, way, both, codes=codes, labels=labels)


def _codes(model: Model, rows: Measured, way: Way) -> tuple[CodeLength, ...]:
    """What hidden layers cost, on some rows evenly spaced; nothing for a machine without a code, and for rows with
    unknown entries.
    """
    coded = model.directed is not None and model.undirected is None and model.hidden_layers
    if not coded or rows.data.known is not None:
        return ()
    return tuple(code_lengths(model, rows.x[:: -(-len(rows.x) // CODED_ROWS)], seed=way.annealing.seed))


def _between(found: Trained, rows: Measured, way: Way, log_z: TwoSided, progress: Report) -> Evaluation:
    """As evaluated, where log Z has two sides."""
    zero = exact(0.0, "")
    log_marginal = _measured(found.model, rows, way, zero, progress)
    both = sides(log_marginal, log_z)
    bounds = _bounds(found.model, rows.x, way, zero)
    less = {k: difference(bound, log_z.estimate) for k, bound in bounds.items()}
    said = verdict_between(log_marginal, way.samples, way.row_chains)
    simple = _simple(found, rows, way)
    return Evaluation(both.best, log_z.estimate, less, said, simple, rows, way, log_z, both)


def _simple(found: Trained, rows: Measured, way: Way) -> Beside:
    return beside(found.model, rows.data, rows.x, found.run, way.annealing.seed, rows.train)


def _log_z(model: Model, way: Way, progress: Report) -> TwoSided | Estimate | None:
    """log Z as it was asked for; None where it is 0, or not needed."""
    machine = model.undirected
    if way.method == "raise" or machine is None:
        return None
    if way.wanted is not None:
        return two_sided(machine, way.wanted, progress)
    return annealed(model, way.annealing, progress)


def _refuse_unknown(rows: Measured, way: Way) -> None:
    """Raise InputError for a way that rows with unknown entries cannot be measured in."""
    if rows.data.known is not None and (way.method not in ("auto", "importance") or way.bounds):
        what = "further bounds" if way.bounds else f"method {way.method}"
        raise InputError(
            f"Rows with unknown entries, or without all views, have no {what}: take method auto or importance."
        )


def _measured(model: Model, rows: Measured, way: Way, log_z: Estimate | None, progress: Report) -> Estimate:
    """The mean log-likelihood by the method asked for."""
    seed, x = way.annealing.seed, rows.x
    if way.method == "bound":
        return variational_bound(checked_model(model, any_units=True, any_graph=True), x, log_z, seed)
    if way.method == "raise":
        return raise_likelihood(checked_model(model, any_units=True), x, way.row_chains, way.row_betas, seed)
    if way.method == "posterior-ais":
        show = steps(progress, "annealing rows")
        return posterior_ais(model, x, way.row_chains, way.row_betas, log_z, seed, show)
    return log_likelihood(model, x, log_z, way.samples, seed, **rows.mask)


def _bounds(model: Model, x: Any, way: Way, log_z: Estimate | None) -> dict[int, Estimate]:
    """The importance-weighted bounds that were asked for, by their numbers of samples."""
    if not way.bounds:
        return {}
    found = importance_bounds(model, x, way.bounds, log_z, way.annealing.seed)
    return dict(zip(way.bounds, found, strict=True))
