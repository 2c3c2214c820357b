"""`report`: one page on one run or several that holds all it shows, for a browser without a network.

What takes long is read from the run folders, and measured only where the caller asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data import Data
from boltz.diagnostics.layers import layers_of, untold
from boltz.diagnostics.views import view_uses
from boltz.errors import BoltzError, InputError
from boltz.evaluation.compare import Comparison, compare, contenders
from boltz.evaluation.describe import describe
from boltz.evaluation.diagnose import own_split, particles_of
from boltz.evaluation.documents import are_documents
from boltz.evaluation.log_z import log_z as measured_log_z
from boltz.evaluation.page import Markup, both, page, picture, table, tag
from boltz.evaluation.page_units import Sight, browser, effects_on, hidden_units, sights_of
from boltz.evaluation.page_words import (
    COMPARED_COLUMNS,
    HARDLY,
    LAYER_COLUMNS,
    NO_LIKELIHOOD,
    OFTEN,
    RARELY,
    acting,
    columns_told,
    findings,
    notes_of,
)
from boltz.evaluation.rows import rows_given, visible_rows
from boltz.evaluation.trained import Trained
from boltz.evaluation.words import figures
from boltz.foreign import shown
from boltz.models.files import Model, means_known
from boltz.plotting.curves import curve_figures
from boltz.plotting.machines import SWEEPS, layer_means, nearest_rows, never_on
from boltz.plotting.results import plot_comparison, plot_log_z
from boltz.plotting.tiles import MIDDLE, TWO_SIDED, Tile, figure_uri, sheet, uri
from boltz.progress import Report, heard, steps
from boltz.sampling.features import features
from boltz.sampling.sample import sample
from boltz.storage import atomic, metrics, run_folder

Array = NDArray[Any]
PAGE = "report.html"
MOST_RUNS, MOST_ROWS, MOST_BYTES = 20, 10_000, 6_000_000
PIXELS = 2_400_000  # of all tiles of a page, a byte each, a third more as text
LEAST_TILES, MOST_PIXELS = 300, 64 * 64  # tiles of a run at least, and pixels of a tile at most
MOST_UNITS, MOST_SNAPSHOTS, MOST_SIDE = 100, 12, 8
UNKNOWN = "not measured"
NO_PICTURE = "Documents have no picture: boltz sample draws some of the lengths of the data, in a table of words."
BETWEEN = 205  # the shade of lines between bars


def report(
    runs: Any,
    out: str | os.PathLike[str] = PAGE,
    data: Any = None,
    *,
    measure: bool = False,
    force: bool = False,
    seed: int = 0,
    progress: Report | None = None,
) -> Path:
    """Write a page on one trained machine or several that needs no network and no other file, and return its path.

    runs is a run, a machine, the path of a run or model file, or a list or dict of them. The page has settings, notes
    and findings, curves, samples beside the nearest rows, what each hidden unit sees, snapshots of the training,
    layers, log Z and log-likelihood as the runs have them, and all runs side by side. data as in boltz.diagnose, by
    default the rows that each run learnt from, of which 10,000 at most are looked at. measure: log Z in nats from both
    sides, what each layer adds, and a comparison of several machines are measured, which may take minutes. force: an
    earlier page is replaced. progress as in boltz.evaluate. Raises InputError, FileError, NumericalError.
    """
    told, place = heard(progress), checks.path(out, "out")
    checks.flag(measure, "measure")
    seed = checks.integer(seed, "seed", 0, 2**63 - 1)
    if not checks.flag(force, "force") and os.path.lexists(place):
        raise InputError(f"out is {place}, which exists already: name another file, or replace it with force.")
    several = runs if isinstance(runs, Mapping | list | tuple) else [runs]
    found = contenders(several)
    if len(found) > MOST_RUNS:
        raise InputError(f"runs must hold at most {MOST_RUNS} machines, got {len(found)}.")
    things = [*several.values()] if isinstance(several, Mapping) else several
    subjects = [_subject(*pair, data, (seed, len(found))) for pair in zip(found, things, strict=True)]
    sections = []
    for i, each in enumerate(subjects):
        told(f"page: {each.found.name}", i, len(subjects))
        sections.append(_section(each, i, measure, told))
    parts = [_top(subjects), *(part for part, _ in sections)]
    if len(subjects) > 1:
        picked = compare(several, data, seed=seed, progress=progress) if measure else None
        parts.insert(1, _beside(subjects, picked))
    told("page: done", len(subjects), len(subjects))
    title = "boltz: " + ", ".join(shown(each.found.name) for each in subjects)
    text = page(title, parts, [values for _, values in sections])
    if len(text) > MOST_BYTES:
        raise InputError(
            f"runs must fit on a page of {MOST_BYTES / 1e6:g} MB, got {len(text) / 1e6:.1f} MB: name fewer."
        )
    atomic.write_text(place, text)
    return place


@dataclass(frozen=True, eq=False)
class _Subject:
    """A trained machine, the records of its epochs, the rows that it learnt from and how it sees them, and how rows are
    drawn.

    lack: why there are no rows; sights: its visible layers; room: tiles that its part of the page may hold; notes: what
    its training told.
    """

    found: Trained
    history: Sequence[Mapping[str, Any]]
    data: Data | None
    x: Array | None
    lack: str
    sights: tuple[Sight, ...]
    room: int
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> Model:
        """The machine."""
        return self.found.model

    @property
    def side(self) -> int:
        """Tiles along each side of a sheet."""
        return int(np.clip(np.sqrt(self.room / 60), 3, MOST_SIDE))

    @property
    def test(self) -> Mapping[str, Any]:
        """What was measured at the end of the run, nothing where that is not known."""
        path = self.found.path
        result = None if path is None or not path.is_dir() else run_folder.read_result(path)
        test = None if result is None else result["test"]
        return test if isinstance(test, dict) else {}


def _subject(each: Trained, thing: Any, data: Any, how: tuple[int, int]) -> _Subject:
    """What the page has of one machine; how: the seed, and how many machines share the page."""
    seed, several = how
    each, (rows, lack) = each.to("cpu"), _rows(each, data)
    x = None if rows is None else visible_rows(rows, "none", seed, each.model)[0]
    history = getattr(thing, "history", None)
    if history is None:
        history = metrics.read_metrics(each.path) if each.path is not None and each.path.is_dir() else []
    pixels = PIXELS // several
    shapes = {} if rows is None else {view.name: view.shape for view in rows.views}
    if len(each.model.visible_layers) == 1:
        shapes = {each.model.visible: each.run.image or (None if rows is None else rows.shape)}
    sights = sights_of(each.model, shapes, pixels // LEAST_TILES // len(each.model.visible_layers), MOST_PIXELS)
    room = pixels // sum(sight.tile.weight for sight in sights)
    return _Subject(each, history, rows, x, lack, sights, room, seed, notes_of(each, thing))


def _rows(each: Trained, data: Any) -> tuple[Data | None, str]:
    """The rows of a machine, or why there are none; what the caller names must be there."""
    if data is None and not each.run.learnt:
        return None, "The rows that it learnt from are not known; name them with data, or --data."
    limit = each.run.learnt.load.get("limit") if data is None else None
    try:
        most = min(MOST_ROWS, limit) if isinstance(limit, int) and limit > 0 else MOST_ROWS
        return rows_given(each, data, None, own_split(each, data), most)[0], ""
    except BoltzError as problem:
        if data is not None:
            raise
        return None, f"The rows that it learnt from could not be read: {problem}"


def _top(subjects: Sequence[_Subject]) -> Markup:
    """The title, and links to the parts."""
    links = [tag("li", tag("a", each.found.name, href=f"#run-{i}")) for i, each in enumerate(subjects)]
    if len(subjects) > 1:
        links.insert(0, tag("li", tag("a", "side by side", href="#beside")))
    title = "Report on a trained machine" if len(subjects) == 1 else f"Report on {len(subjects)} trained machines"
    said = tag("p", "All numbers in nats are natural logarithms. Intervals hold with probability 95 %.", class_="soft")
    return tag("header", tag("h1", title), said, tag("nav", tag("ul", *links), aria_label="Machines"))


def _beside(subjects: Sequence[_Subject], measured: Comparison | None) -> Markup:
    """All machines in one table: what the runs say of them, or the comparison, in words and as a picture."""
    title = tag("h2", "Side by side")
    if measured is not None:
        said = [*map(str, measured.pairs), *(f"{each.name}: {each.certified}" for each in measured.models)]
        seen = picture(figure_uri(plot_comparison(measured)), "log-likelihoods and their differences")
        wide = {"class_": "wide fixed", "tabindex": 0, "role": "group"}
        found = tag("div", Markup(measured._repr_html_()), **wide, aria_label="comparison")
        drawn = tag("div", seen, **wide, aria_label="picture of the comparison")
        listed = tag("ul", *(tag("li", line) for line in said))
        return tag("section", title, found, columns_told(COMPARED_COLUMNS), listed, drawn, id="beside")
    lines = []
    for each in subjects:
        numbers = f"{each.model.plan.parameters:,}", f"{len(each.history):,}"
        told = _estimate(each.test.get("log_likelihood")), _estimate(each.test.get("log_z"))
        lines.append((each.found.name, each.model.kind, each.model.architecture, *numbers, *told))
    head = ("machine", "kind", "layers", "parameters", "epochs", "log p(v) of a row", "log Z")
    note = "Rows and estimators may differ between runs: boltz compare, or --measure, takes the same for all."
    found = table(lines, head, "As measured at the end of each run, in nats.")
    return tag("section", title, found, tag("p", note, class_="soft"), id="beside")


def _section(each: _Subject, place: int, measure: bool, progress: Report) -> tuple[Markup, dict[str, Any]]:
    """The part of the page on one machine, and the values that its script shows."""
    snapshots = _snapshots(each)
    most = int(np.clip(each.room // 20, 8, MOST_UNITS))
    units = hidden_units(each.model, (each.data, each.x), each.sights, most)
    parts = [
        tag("h2", each.found.name),
        _about(each),
        findings(each.found, each.x, each.notes, each.lack, (each.seed, progress)),
        _curves(each),
        _samples(each, progress),
        browser(each.sights, place, units),
        *([] if are_documents(each.model) else [_slider(place, snapshots)]),
        _layers(each, measure, progress),
        _measured(each, measure, progress),
    ]
    values = {"filter": each.sights[0].what, "snapshots": snapshots}
    values |= {name: units[name] for name in ("units", "rows")}
    return tag("section", *parts, id=f"run-{place}"), values


def _about(each: _Subject) -> Markup:
    """What the machine is, and all settings of its training."""
    told = describe(each.found.path if each.found.path is not None else each.model).entries
    plain = {name: value for name, value in told.items() if not isinstance(value, Mapping | list | None)}
    tables = [
        tag("h3", "What it is"),
        table([(name.replace("_", " "), _value(value)) for name, value in plain.items()]),
    ]
    both_tables = (
        ("Settings that do something", acting(each.found.run.settings, each.model)),
        ("All data", each.found.run.learnt.table),
    )
    for name, value in both_tables:
        if value:
            lines = [(entry, _value(number)) for entry, number in value.items()]
            tables.append(tag("details", tag("summary", name), table(lines)))
    return both(*tables)


def _curves(each: _Subject) -> Markup:
    if not each.history:
        return both(tag("h3", "Training"), tag("p", "No epochs are recorded.", class_="soft"))
    panels = curve_figures(each.history).items()
    drawn = [tag("figure", tag("img", src=figure_uri(figure), alt=title)) for title, figure in panels]
    return both(tag("h3", "Training"), tag("div", *drawn, class_="curves"))


def _samples(each: _Subject, progress: Report) -> Markup:
    """Samples, the rows nearest to them, and rows of the data; none of documents."""
    if are_documents(each.model):
        return both(tag("h3", "Samples beside data"), tag("p", NO_PICTURE, class_="soft"))
    start, count = particles_of(each.found, progress), each.side**2
    start = start and {layer: x[:count] for layer, x in start.items()}
    means, what = _drawn(each, each.model, SWEEPS, start), "means" if means_known(each.model) else "states"
    how = f"samples: visible {what}"
    if each.model.undirected is not None:
        began = "after the training" if start else "from independent units"
        how = f"samples: visible means of chains {SWEEPS} sweeps {began}"
    seen = means if each.x is None else [each.x[:, sight.columns] for sight in each.sights]
    greys = [sight.greys(each.model, x) for sight, x in zip(each.sights, seen, strict=True)]
    means = [own.of(x) for own, x in zip(greys, means, strict=True)]
    sheets = _sheets(each, means, how)
    if each.x is not None:
        rows = [own.of(x) for own, x in zip(greys, seen, strict=True)]
        near = nearest_rows(np.concatenate(means, axis=1), np.concatenate(rows, axis=1))
        said = f"the nearest of {len(each.x):,} rows to each sample"
        sheets += _sheets(each, [shades[near] for shades in rows], said)
        some = np.arange(min(count, len(each.x))) * len(each.x) // min(count, len(each.x))
        sheets += _sheets(each, [shades[some] for shades in rows], "rows of the data")
    lack = tag("p", each.lack, class_="soft") if each.lack else ""
    return both(tag("h3", "Samples beside data"), tag("div", *sheets, class_="sheets"), lack)


def _drawn(each: _Subject, model: Model, sweeps: int, start: Mapping[str, Array] | None = None) -> list[Array]:
    """Visible means (samples, units) of samples in the units of the data, of each visible layer."""
    chained, count = model.undirected is not None, each.side**2
    chains = len(next(iter(start.values()))) if start else count
    state = sample(model, chains, sweeps if chained else None, each.seed, start)
    return [np.asarray(layer_means(model, layer.name, state).values) for layer in model.visible_layers]


def _sheets(each: _Subject, rows: Sequence[Array], said: str) -> list[Markup]:
    """Rows of each visible layer side by side."""
    names = [f"{sight.view.name}: " if len(each.sights) > 1 else "" for sight in each.sights]
    found = zip(each.sights, rows, names, strict=True)
    return [picture(uri(_sheet_of(each, sight.tile, x)), name + said, class_="pixels") for sight, x, name in found]


def _sheet_of(each: _Subject, tile: Tile, rows: Array) -> Array:
    """Rows side by side; bars, which are on white, have grey lines between them."""
    gap = 255 if tile.image is not None else BETWEEN
    return sheet(tile.greys(rows), _across(each, tile), gap)


def _across(each: _Subject, tile: Tile) -> int:
    """Tiles beside each other: bars are wide."""
    return each.side if tile.image is not None else max(each.side // 2, 2)


def _snapshots(each: _Subject) -> list[dict[str, str]]:
    """Samples and filters of some units at up to 12 moments of the training, the trained machine last."""
    tile, units = each.sights[0].tile, each.sights[0].strongest[: each.side**2]
    kept, updates = each.found.snapshots, each.found.updates
    if not kept or are_documents(each.model):
        return []
    when = [f"after {n:,} updates" for n in updates] or [f"snapshot {i + 1} of {len(kept)}" for i in range(len(kept))]
    chosen = np.unique(np.linspace(0, len(kept) - 1, MOST_SNAPSHOTS - 1).astype(int))
    machines: list[tuple[str, Model]] = [(when[i], kept[i].to("cpu")) for i in chosen]
    found, blank = [], never_on(each.model)
    for name, machine in [*machines, ("the trained machine", each.model)]:
        (means, *_), effects = _drawn(each, machine, SWEEPS // 2), effects_on(machine, each.sights[0].view)[1][:, units]
        effects[blank] = 0
        filters = tile.signed(effects.T, float(np.abs(effects).max(initial=0.0)))
        shades = each.sights[0].greys(machine, means).of(means)
        drawn = {"samples": uri(_sheet_of(each, tile, shades))}
        drawn["filters"] = uri(sheet(filters, _across(each, tile), MIDDLE), TWO_SIDED)
        found.append({"when": name, **drawn})
    return found


def _slider(place: int, snapshots: Sequence[Mapping[str, str]]) -> Markup:
    """A slider over the snapshots; it stands at the trained machine, whose pictures show without a script too."""
    title = tag("h3", "Along the training")
    if not snapshots:
        return both(title, tag("p", "The run kept no snapshots of its training.", class_="soft"))
    last, name = len(snapshots) - 1, f"slider-{place}"
    moved = tag("input", type="range", id=name, min=0, max=last, value=last, step=1, data_run=place)
    told = tag("output", snapshots[-1]["when"], id=f"when-{place}", for_=name)
    words = {
        "samples": f"samples: visible means of chains {SWEEPS // 2} sweeps from independent units",
        "filters": "filters of the same hidden units",
    }
    drawn = [picture(snapshots[-1][what], said, class_="pixels", id=f"{what}-{place}") for what, said in words.items()]
    return both(
        title,
        tag("div", tag("label", "Snapshot", for_=name), moved, told, class_="slider"),
        tag("div", *drawn, class_="sheets"),
    )


def _layers(each: _Subject, measure: bool, progress: Report) -> Markup:
    """How each hidden layer is used, and what it adds, where that is known."""
    title = tag("h3", "What each layer does")
    if each.x is None:
        return both(title, tag("p", each.lack, class_="soft"))
    lines: list[tuple[str, ...]] = []
    for layer in each.model.hidden_layers:
        means = features(each.model, each.x, layer.name)
        spread = means.std(axis=0)
        cells = [f"{layer.units:,}", f"{means.mean():.3g}", f"{int((spread < HARDLY).sum()):,}"]
        if layer.binary:
            rates = means.mean(axis=0)
            cells += [f"{int((rates < RARELY).sum()):,}", f"{int((rates > OFTEN).sum()):,}"]
        lines.append((layer.name, *cells, *["-"] * (5 - len(cells))))
    head = ("layer", "units", "mean activity", "hardly vary", "never on", "always on")
    weights = [
        (name.removesuffix("/weight"), " x ".join(map(str, w.shape)), *_norms(_matrix(each.model, name)))
        for name, w in each.model.params.items()
        if name.endswith("/weight")
    ]
    gains = (
        [*map(str, layers_of(each.model, each.x, each.seed, steps(progress, "what each layer adds")))]
        if measure
        else each.test.get("layers")
    )
    said = [tag("li", line) for line in gains if isinstance(line, str)] if isinstance(gains, list) else []
    said += [tag("li", f"view {use.view}: {use}") for use in view_uses(each.model, each.x, None, each.seed)]
    caption = f"Means given {len(each.x):,} rows."
    norms = table(weights, ("weights", "shape", "mean norm", "least", "largest"), "Norms of the weights into a unit.")
    columns = columns_told(LAYER_COLUMNS)
    hidden = (table(lines, head, caption), columns) if lines else ()
    why = tag("p", untold(each.model, each.x), class_="soft") if measure and untold(each.model, each.x) else ""
    return both(title, *hidden, tag("ul", *said) if said else "", why, norms)


def _matrix(model: Model, name: str) -> Any:
    """The weights of this name as a matrix, sparse where couplings are."""
    return model.params[name] if model.undirected is None or model.directed is not None else model.matrix(name)


def _norms(weights: Any) -> tuple[str, ...]:
    norms = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=0))
    return tuple(f"{number:.3g}" for number in (norms.mean(), norms.min(), norms.max()))


def _measured(each: _Subject, measure: bool, progress: Report) -> Markup:
    """log Z and the log-likelihood, as the run has them or as they are measured now."""
    test, machine, drawn = each.test, each.model.undirected, []
    known = _estimate(test.get("log_z")) if machine is not None else "0, since all layers are directed"
    lines = [("log Z", known)] if known != UNKNOWN else []
    if measure and machine is not None:
        result = measured_log_z(machine, seed=each.seed, progress=steps(progress, "log Z"))
        names = ["log Z from both sides", *[""] * str(result).count("\n")]
        lines += zip(names, str(result).splitlines(), strict=True)
        drawn.append(picture(figure_uri(plot_log_z(result)), "log Z, and what it comes from"))
    likelihood = _estimate(test.get("log_likelihood"))
    lines += [("log p(v) of a row", likelihood)] if likelihood != UNKNOWN else []
    for name, label in (("which", "rows"), ("certified", "what that is"), ("learnt", "beside simple models")):
        if isinstance(test.get(name), str):
            lines.append((label, test[name]))
    lack = "" if likelihood != UNKNOWN else tag("p", NO_LIKELIHOOD, class_="soft")
    return both(tag("h3", "log Z and log-likelihood"), table(lines) if lines else "", lack, *drawn)


def _estimate(entry: Any) -> str:
    """An estimate of test.json in words; anybody may have edited the file."""
    try:
        value, _, _, ends = figures(entry)
    except (KeyError, TypeError, ValueError, OverflowError):
        return UNKNOWN
    return f"{value} ({ends})" + ("" if entry.get("trusted") is True else ", NOT trusted")


def _value(value: Any) -> str:
    """A setting in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
