"""Parts of the page of a run that are words: notes, findings, settings that do something, and what columns say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from boltz.diagnostics.diagnose import diagnose
from boltz.evaluation.diagnose import overfitting, particles_of
from boltz.evaluation.label_names import was_taught
from boltz.evaluation.matched_codes import with_codes
from boltz.evaluation.page import Markup, both, table, tag
from boltz.evaluation.trained import Trained
from boltz.models.files import Model
from boltz.presets import LACKS
from boltz.progress import Report
from boltz.storage import run_folder
from boltz.training.meaning import effective
from boltz.training.stages import kind_of_settings
from boltz.training.train import Run
from boltz.units.states import own_lengths

NO_LIKELIHOOD = "The run has no log-likelihood of its own: boltz evaluate measures it, and boltz train does at its end."
OF_DOCUMENTS = "Documents are not diagnosed, since chains keep their lengths."
ROWS, SWEEPS = 500, 50  # by which the findings are made
HARDLY, RARELY, OFTEN = 0.05, 0.01, 0.99  # the spread of an idle unit, and mean activities of units never and always on
LAYER_COLUMNS = {
    "mean activity": "The mean of a unit given a row, over rows and units. Near 0 or 1, few units say something.",
    "hardly vary": f"Units whose mean has a spread below {HARDLY:g} over the rows. They tell nothing of a row.",
    "never on": f"Units whose mean over all rows is below {RARELY:g}. They could be left out.",
    "always on": f"Units whose mean over all rows is above {OFTEN:g}. They act as a bias of the layers beside them.",
}
COMPARED_COLUMNS = {
    "log p(v)": "The mean log-likelihood of a row in nats, above its 95 % interval. Larger is better.",
    "bound": "The side on which the value errs on average. A lower bound tends to be too small, an upper one too big.",
    "samples": "Importance samples a row. More of them bring a lower bound closer to the truth.",
    "L_1 - L_k": "The bound of one sample less that of k. Far below 0, the recognition misses part of the posterior.",
    "active units": "Hidden units whose posterior mean varies with the row. The others tell nothing of a row.",
}


def notes_of(each: Trained, thing: Any) -> tuple[str, ...]:
    """The notes of a run: its own, or those that its folder keeps."""
    if isinstance(thing, Run):
        return thing.notes
    if each.path is None or not each.path.is_dir():
        return ()
    result = run_folder.read_result(each.path)
    found = [] if result is None else result.get("notes", [])
    return tuple(map(str, found)) if isinstance(found, list) else ()


def acting(settings: Mapping[str, Any] | None, model: Model) -> Mapping[str, Any]:
    """The settings of the training without those that do nothing beside the others, or are off."""
    settings, lacking = settings or {}, LACKS.get(model.kind, ())
    try:
        known = effective(settings, kind_of_settings(model.plan), lacking)
    except (KeyError, TypeError):  # somebody edited the file
        return {name: value for name, value in settings.items() if name not in lacking}
    return {name: x for name, x in known.items() if x != "none" and not (isinstance(x, float) and x == 0)}


def findings(each: Trained, x: Any, notes: Sequence[str], lack: str, how: tuple[int, Report]) -> Markup:
    """What the training told, and what a short diagnosis on rows x finds; how: seed, and who hears of its progress."""
    title, (seed, progress) = tag("h3", "Notes and findings"), how
    told = tag("ul", *(tag("li", note) for note in notes)) if notes else ""
    if own_lengths(each.model.layers[0].type):
        return both(title, told, tag("p", OF_DOCUMENTS, class_="soft"))
    if x is None or len(x) < 2:
        return both(title, told, tag("p", lack or "One row alone is not judged.", class_="soft"))
    particles, settings = particles_of(each, progress), each.run.settings or None
    found = diagnose(each.model, x[:ROWS], particles, SWEEPS, seed, settings).extended(*overfitting(each, seed))
    found = with_codes(found, each.model, x[:ROWS], seed, was_taught(each.run))
    lines = [(each.name, each.verdict, each.sentence, each.advice) for each in found.findings]
    caption = f"Chains ran for {SWEEPS} sweeps: boltz diagnose runs longer, and says what each layer adds."
    return both(title, told, table(lines, ("finding", "verdict", "what was found", "advice"), caption))


def columns_told(columns: Mapping[str, str]) -> Markup:
    """What the columns of a table say, two sentences each."""
    lines = [tag("li", tag("b", name), f": {said}") for name, said in columns.items()]
    return tag("details", tag("summary", "What the columns say"), tag("ul", *lines))
