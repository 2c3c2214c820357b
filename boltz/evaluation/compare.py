"""`compare`: machines on the same rows by the same estimator, each beside the best, and beside simple models."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks, html
from boltz.data import Data
from boltz.data.binarize import HOW
from boltz.diagnostics.active_units import active_units
from boltz.errors import InputError
from boltz.estimators.closed_forms import PRODUCT
from boltz.estimators.estimate import TRUSTED_SAMPLES, Estimate
from boltz.estimators.likelihood import importance_bounds
from boltz.estimators.words import figure, in_words
from boltz.evaluation.beside import Beside, beside
from boltz.evaluation.evaluate import DEFAULTS, refuse_idle
from boltz.evaluation.log_z import Annealing, annealed
from boltz.evaluation.paired import Entry, Group, Pair, best, groups, pairs, ranking
from boltz.evaluation.per_unit import per_unit, unit_of, visible_of
from boltz.evaluation.reading import request_of, rows_asked
from boltz.evaluation.rows import NOTHING, Measured, rows_given, rows_to_fit, visible_rows
from boltz.evaluation.trained import Trained, trained
from boltz.evaluation.words import SIMPLE, figures, number, text_table, verdict
from boltz.foreign import shown
from boltz.models.files import Model
from boltz.progress import Report, heard
from boltz.sampling.inferred import density_known
from boltz.training.description import RunDescription
from boltz.units.states import own_lengths

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
COLUMNS = ("model", "parameters", "log p(v)", "bound", "method", "samples", "L_1 - L_k", "active units", "seconds")
LEFT = ("model", "bound", "method")
SAMPLES, MOST_MACHINES = TRUSTED_SAMPLES, 1000


def compare(
    models: Any,
    data: Any = None,
    split: str | None = None,
    *,
    samples: int | None = None,
    chains: int | None = None,
    betas: Any = None,
    binarize: str | None = None,
    train: Any = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> Comparison:
    """Trained machines on the same rows, binarised once: log-likelihoods in nats a row, and the differences in pairs.

    models are machines, runs, or paths of runs or model files, in a list or a dict by name. log p(v) of each is the
    importance-weighted bound of so many samples a row (200), less log Z, which is exact for small machines, and else
    measured by chains (100) annealed over betas ("sm2008"). Where hidden units are independent given v, as in an rbm,
    it is exact but for log Z. data, split, binarize, train, limit and progress as in boltz.evaluate, by default the
    data of the runs. Raises InputError, FileError.
    """
    told, asked = heard(progress), {"samples": samples, "chains": chains, "betas": betas}
    names = {name for name, value in asked.items() if value is not None}
    options = {**DEFAULTS, "samples": SAMPLES, **{name: asked[name] for name in names}}
    annealing = Annealing(options["chains"], options["betas"], checks.integer(seed, "seed", 0, 2**63 - 1))
    count = checks.integer(options["samples"], "samples", 1, 10**6)
    if binarize is not None:
        checks.choice(binarize, "binarize", HOW)
    found = contenders(models)
    refuse_idle([each.model for each in found], names, str)
    if data is None or isinstance(data, str | os.PathLike):
        name = None if data is None else str(checks.path(data, "data"))
        if split is not None:
            checks.choice(split, "split", ("train", "valid", "test"))
        wanted = {**NOTHING, "data": name, "split": split, "binarize": binarize, "seed": seed, "limit": limit}
        rows = rows_of(found, wanted)
    else:
        given, _ = rows_given(found[0], data, split, limit=limit)
        rows = seen(found, (given, None), binarize, seed)
    return compared(found, replace(rows, train=rows_to_fit(found[0], train)), count, annealing, told)


@dataclass(frozen=True, eq=False)
class Compared:
    """What was measured of one machine, in nats a row.

    path: where it is from; log_z: None where it is 0; bounds: importance-weighted ones by their number of samples,
    where the machine needs samples; minus_kl: L_1 - L_k, which estimates -KL(q, p); active_units: by layer.
    """

    name: str
    path: Path | None
    kind: str
    architecture: str
    parameters: int
    log_likelihood: Estimate
    method: str
    samples: int
    log_z: Estimate | None
    bounds: Mapping[int, Estimate]
    minus_kl: float
    active_units: Mapping[str, int]
    hidden_units: Mapping[str, int]
    certified: str
    seconds: float
    learnt: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        log_z = self.log_z
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "model": self.kind,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "log_likelihood": self.log_likelihood.as_dict(),
            "method": self.method,
            "samples": self.samples,
            "log_z": None if log_z is None else log_z.as_dict() | {"method": log_z.method},
            "bounds": [{"samples": k, **bound.as_dict()} for k, bound in self.bounds.items()],
            "minus_kl": self.minus_kl,
            "active_units": dict(self.active_units),
            "hidden_units": dict(self.hidden_units),
            "certified": self.certified,
            "seconds": self.seconds,
            "learnt": self.learnt,
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Machines measured on the same rows; str() is what `boltz compare` prints.

    - models: what was measured of each machine.
    - per_row: log p(v) of each row under each machine.
    - rows: the rows that all of them see.
    - simple: what independent units and a mixture of them say of these rows.
    - pairs: the paired difference of every two machines, with its verdict.
    - ranking: names with the probability of being the best, None for all where some value cannot be ranked.
    - groups: runs that differ only by seed.
    """

    models: tuple[Compared, ...]
    rows: Measured = field(repr=False)
    seed: int
    simple: Beside = field(repr=False)
    pairs: tuple[Pair, ...] = field(repr=False)
    ranking: tuple[tuple[str, float | None], ...] = field(repr=False)
    groups: tuple[Group, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        best = max(self.models, key=lambda each: each.log_likelihood.value)
        value = in_words(best.log_likelihood)
        return f"Comparison({len(self.models)} machines on {self._about}; the highest value: {best.name} {value})"

    @property
    def per_row(self) -> NDArray[np.float64]:
        """log p(v) of each row under each machine, in nats (rows, machines)."""
        return np.stack([np.asarray(each.log_likelihood.per_row, np.float64) for each in self.models], axis=1)

    @property
    def best(self) -> str | None:
        """The machine that is better than each other one, None where the pairs do not decide it."""
        found = best(self.pairs)
        return None if found is None else found[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how the rows were read."""
        return self.rows.data.notes

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the same that `boltz compare --json` prints."""
        about = self.rows.about
        return {
            "data": about["data"],
            "split": about["split"],
            "rows": about["rows"],
            "binarize": about["binarize"],
            "units": about["units"],
            "seed": self.seed,
            "models": [each.as_dict() | per_unit(self.rows.layer, each.log_likelihood.value) for each in self.models],
            "beside": self.simple.as_dict(),
            "pairs": [pair.as_dict() for pair in self.pairs],
            "ranking": [{"name": name, "probability": share} for name, share in self.ranking],
            "best": self.best,
            "groups": [group.as_dict() for group in self.groups],
        }

    def __str__(self) -> str:
        said: dict[str, list[str]] = {}
        for each in self.models:
            said.setdefault(each.certified, []).append(each.name)
        lines = ["", *text_table(COLUMNS, self._lines(), LEFT), "", f"{self._about}; {unit_of(self.rows.layer)}."]
        highest = max(self.models, key=lambda each: each.log_likelihood.value).name
        if self.rows.layer.columns > 1:
            sites = (
                f"{shown(e.name)} {per_unit(self.rows.layer, e.log_likelihood.value)['nats_a_site']:.4f}"
                for e in self.models
            )
            lines.append(f"Nats a site: {', '.join(sites)}.")
        lines += [str(pair) for pair in self.pairs if highest in (pair.first, pair.second)]
        lines += self._which_is_best()
        lines += map(str, self.groups)
        lines += [f"{', '.join(names)}: {text}" for text, names in said.items()]
        return "\n".join([*lines, *dict.fromkeys(each.learnt for each in self.models)])

    def _which_is_best(self) -> list[str]:
        """The machine that is surely the best, and the probabilities of all, where there are several machines."""
        if len(self.models) < 2:
            return []
        found, known = best(self.pairs), [(name, share) for name, share in self.ranking if share is not None]
        if found is not None:
            lines = [f"{shown(found[0])} is the best, by at least {figure(found[1], found[1])} nats."]
        else:
            lines = [] if known else ["Which machine is the best is not decided."]
        told = ", ".join(f"{shown(name)} {share:.2f}" for name, share in known)
        return [*lines, f"Probability of being the best: {told}."] if known else lines

    def _repr_html_(self) -> str:
        return html.table(self._lines(), COLUMNS, self._about)

    @property
    def _about(self) -> str:
        return f"{len(self.rows.x):,} rows of {self.rows.words}"

    def _lines(self) -> list[tuple[str, ...]]:
        """The cells of the table: two lines a machine, and the simple models that it must beat."""
        lines = [_cells(each) for each in self.models]
        for name, label in SIMPLE.items():
            simple = self.simple.as_dict() or {}
            if name in simple:
                value, _, _, ends = figures(simple[name])
                lines.append((label, "", f"{value}\n{ends}", "exact", *[""] * 5))
        return lines


def contenders(models: Any) -> list[Trained]:
    """The machines to compare, each under a name of its own; raises InputError if visible units differ."""
    named = isinstance(models, Mapping)
    things = checks.sequence([*models.values()] if named else models, "models", MOST_MACHINES)
    if not things:
        raise InputError("models must hold at least one machine, got none.")
    if named and not all(isinstance(name, str) for name in models):
        raise InputError("models must have text as keys, the names of the machines.")
    paths = [os.path.realpath(checks.path(x, "models")) if isinstance(x, str | os.PathLike) else None for x in things]
    for i, place in enumerate(paths):
        if place is not None and place in paths[:i]:
            raise InputError(f"{things[i]} is named twice: name each run or model file once.")
    found = [trained(thing, "models") for thing in things]
    names = [*map(str, models)] if named else _names(found)
    found = [replace(each, name=name) for each, name in zip(found, names, strict=True)]
    first = visible_of(found[0].model)
    for other in found[1:]:
        layer = visible_of(other.model)
        if (layer.units, layer.kind) != (first.units, first.kind):
            raise InputError(
                f"the machines must have the same visible units: {found[0].place} has {first.units} {first.kind} ones, "
                f"{other.place} has {layer.units} {layer.kind} ones."
            )
    return found


def _names(found: Sequence[Trained]) -> list[str]:
    """A name for each: the last part of its path, or all of it where others share that, or its number."""
    names = [each.name if each.path is not None else "" for each in found]
    return [
        f"machine {i}" if each.path is None else name if names.count(name) == 1 else str(each.path)
        for i, (each, name) in enumerate(zip(found, names, strict=True), 1)
    ]


def rows_of(found: Sequence[Trained], options: Mapping[str, Any]) -> Measured:
    """The rows that all machines see, binarised once, of named data or of those of the runs; raises InputError."""
    models, path = [each.model for each in found], found[0].path
    if options["data"] is None:
        _shared("data", [each.run.data.name for each in found])
        path, *others = (each.path for each in found if each.run.learnt)
        if any(
            request_of(other, models, options, "test") != request_of(path, models, options, "test") for other in others
        ):
            raise InputError("the runs differ in the columns or the test rows of their data: choose rows with --data.")
    return seen(found, rows_asked(path, models, options, "test"), options["binarize"], options["seed"])


def seen(found: Sequence[Trained], given: tuple[Data, str | None], binarize: str | None, seed: int) -> Measured:
    """Rows and their split as all machines see them."""
    how = binarize or _shared("binarize", [each.run.setting("binarize") for each in found])
    x, how = visible_rows(given[0], how, seed, found[0].model)
    return Measured(x, *given, how, visible_of(found[0].model))


def _shared(option: str, found: Sequence[str | None]) -> str | None:
    """What the runs were trained with, where they agree; model files say nothing. Raises InputError."""
    said = {value for value in found if value is not None}
    if len(said) > 1:
        names = ", ".join(map(shown, sorted(said)))
        raise InputError(f"the runs differ in their {option} ({names}): choose with --{option}.")
    if not said and option == "data":
        raise InputError("no run names its data: give them with --data.")
    return said.pop() if said else None


def compared(
    found: Sequence[Trained], rows: Measured, samples: int, annealing: Annealing, progress: Report
) -> Comparison:
    """The comparison of machines on rows that all of them can see; raises InputError for documents of any length."""
    if any(own_lengths(layer.type) for layer in found[0].model.visible_layers):
        raise InputError(
            "Machines of documents of any length are not compared, as log Z depends on the length: see the perplexity "
            "that boltz evaluate prints of each."
        )
    for each in found:
        if not density_known(each.model):
            raise InputError(
                f"{each.place} cannot be compared by likelihood, since its prior is known by its draws alone and has "
                "no density: leave it out."
            )
    models = []
    for i, each in enumerate(found):
        progress(f"comparing: {each.name}", i, len(found))
        models.append(measured(each, rows.x, samples, annealing, progress))
    progress("comparing: done", len(found), len(found))
    training = next((each.run for each in found if each.run.settings is not None), RunDescription())
    simple = beside(found[0].model, rows.data, rows.x, training, annealing.seed, rows.train)
    told = [
        replace(each, learnt=simple.verdict(each.log_likelihood.per_row, each.log_likelihood.as_dict(), each.name))
        for each in models
    ]
    labels = _labels(found, told)
    entries = [Entry(each.name, each.log_likelihood, label) for each, label in zip(told, labels, strict=True)]
    decided = pairs(entries), ranking(entries), groups(entries)
    return Comparison(tuple(told), rows, annealing.seed, simple, *decided)


def _labels(found: Sequence[Trained], told: Sequence[Compared]) -> list[str | None]:
    """A name for what runs share that differ only by seed; None for machines whose training is not known."""
    known: dict[str, str] = {}
    labels: list[str | None] = []
    for each, model in zip(found, told, strict=True):
        rows = {"data": each.run.data.get("fingerprint"), "held_out": each.run.held_out.get("fingerprint")}
        if rows["data"] is None:
            labels.append(None)
            continue
        chosen = {name: value for name, value in (each.run.settings or {}).items() if name != "seed"}
        name = f"{model.kind} {model.architecture}"
        key = repr((name, sorted(chosen.items()), each.run.model, rows))
        same = sum(label.startswith(name) for label in known.values())
        labels.append(known.setdefault(key, name if same == 0 else f"{name}, other settings {same}"))
    return labels


def _exact_way(model: Model) -> str:
    """How log p*(v) of a machine is exact without samples."""
    if model.directed is not None:
        return PRODUCT
    return "free energy" if model.hidden_layers else "energy"


def measured(each: Trained, x: Any, samples: int, annealing: Annealing, progress: Report) -> Compared:
    """What importance sampling says of one machine on rows x (rows, units), and its active units."""
    began = time.monotonic()
    log_z = annealed(each.model, annealing, progress)
    sizes = [k for k in SIZES if k < samples] + [samples]
    bounds = importance_bounds(each.model, x, sizes, log_z, annealing.seed)
    best, exact = bounds[-1], each.model.independent_hidden
    return Compared(
        each.name,
        each.path,
        each.kind,
        each.model.architecture,
        each.model.plan.parameters,
        best,
        _exact_way(each.model) if exact else "importance sampling",
        0 if exact else samples,
        log_z,
        dict(zip(sizes, bounds, strict=True)),
        0.0 if exact else bounds[0].value - best.value,
        active_units(each.model, x, annealing.seed),
        {layer.name: layer.units for layer in each.model.hidden_layers},
        verdict(best, log_z, 0 if exact else samples),
        time.monotonic() - began,
    )


def _cells(each: Compared) -> tuple[str, ...]:
    """The two lines of a machine: what it is, and what was measured."""
    log_z, value = each.log_z, each.log_likelihood.as_dict()
    how = "log Z 0" if log_z is None else "log Z exact" if log_z.kind == "exact" else "log Z by AIS"
    shown_value, _, _, ends = figures(value)
    active = [f"{n} of {each.hidden_units[layer]}" for layer, n in each.active_units.items()]
    return (
        f"{shown(each.name)}\n{each.kind} {shown(each.architecture)}",
        f"{each.parameters:,}",
        f"{shown_value}\n{ends}",
        {"none": "no"}.get(value["kind"], value["kind"]),
        f"{each.method}\n{how}",
        f"{each.samples:,}" if each.samples else "-",
        number(each.minus_kl),
        "\n".join(active),
        f"{each.seconds:.1f}",
    )
