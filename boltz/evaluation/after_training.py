"""What is measured at the end of a run: log Z, and the log-likelihood of rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boltz.data import Data, splits
from boltz.data.dataset import known_in_full, parted
from boltz.data.views import view_splits, whole_rows
from boltz.diagnostics.layers import layers_of
from boltz.errors import FileError
from boltz.estimators.likelihood import log_likelihood
from boltz.evaluation.beside import beside
from boltz.evaluation.documents import (
    are_documents,
    documents,
    too_many,
    verdict_of_words,
    word_entries,
    word_lines,
)
from boltz.evaluation.evaluate import samples_for
from boltz.evaluation.inferred_labels import NO_DENSITY, inferred_errors
from boltz.evaluation.log_z import Annealing, annealed
from boltz.evaluation.per_unit import per_unit, visible_of
from boltz.evaluation.reading import COLUMNS, KIND, loaded
from boltz.evaluation.rows import visible_rows
from boltz.evaluation.trained import Trained
from boltz.evaluation.words import annealing_is_closer, verdict
from boltz.models.files import Model
from boltz.progress import Report, steps
from boltz.sampling.inferred import density_known
from boltz.training.description import RunDescription, read_description
from boltz.training.train import Run


def measured(run: Run, progress: Report) -> dict[str, Any] | None:
    """log Z and the log-likelihood of rows that were not learnt, as the run was asked; None where it was asked not to.

    These are the test rows, or where there are none the validation rows.
    """
    assert run.path is not None
    description = read_description(run.path)
    asked = description.part("evaluation")
    if asked.get("wanted", True) is not True:
        return None
    seed = run.settings.seed
    if are_documents(run.model):
        return _of_documents(run, description)
    samples = samples_for(run.model, asked.get("samples", 0))
    annealing = Annealing(asked.get("chains", 100), asked.get("betas", "sm2008"), seed)
    log_z = annealed(run.model, annealing, progress)
    found: dict[str, Any] = {"log_likelihood": None, "log_z": None, "methods": {}}
    if log_z is not None:
        found |= {"log_z": log_z.as_dict(), "methods": {"log_z": log_z.method}}
    which, data = _unlearnt(description, run)
    if data is None:
        return found
    x, how = visible_rows(data, run.settings.binarize, seed, run.model)
    about: dict[str, Any] = {"which": which, "rows": len(x), "samples": samples, "data": data.name, "binarize": how}
    labels = inferred_errors(Trained("the run", run.model, run.path, description), data, x)
    if labels is not None:
        about |= {"labels": labels.as_dict(), "told": labels.lines}
    if not density_known(run.model):
        return found | about | {"samples": 0, "why": NO_DENSITY, "layers": [], "layer_gains": []}
    likelihood = log_likelihood(run.model, x, log_z, samples, seed)
    found["log_likelihood"] = likelihood.as_dict()
    found["methods"]["log_likelihood"] = likelihood.method
    said = verdict(likelihood, log_z, samples) + annealing_is_closer(run.model, likelihood, samples)
    stack = run.model.kind == "dbm"  # what the parts of other machines add takes longer: boltz diagnose tells it
    layers = layers_of(run.model, x, seed, steps(progress, "what each layer adds")) if stack else ()
    simple = beside(run.model, data, x, description, seed)
    found |= {"beside": simple.as_dict(), "learnt": simple.verdict(likelihood.per_row, found["log_likelihood"])}
    layer = visible_of(run.model)
    about |= {"units": layer.kind, **per_unit(layer, likelihood.value)}
    about |= {"layers": list(map(str, layers)), "layer_gains": [each.as_dict() for each in layers]}
    return found | about | {"certified": said}


def _of_documents(run: Run, description: RunDescription) -> dict[str, Any]:
    """The perplexity of documents that were not learnt, with their log-likelihood, or why it cannot be had."""
    found: dict[str, Any] = {"log_likelihood": None, "log_z": None, "methods": {}}
    which, data = _unlearnt(description, run)
    if data is None:
        return found
    x, how = visible_rows(data, run.settings.binarize, run.settings.seed, run.model)
    layer = run.model.layers[0]
    found |= {"which": which, "rows": len(x), "data": data.name, "binarize": how, "units": layer.kind}
    found |= {"samples": 0, "layers": [], "layer_gains": []}
    if why := too_many(run.model, x):
        return found | {"why": f"The perplexity of the {which} rows is not measured: {why}"}
    told = documents(Trained("the run", run.model, run.path, description), data, x, run.settings.seed)
    likelihood = told.log_likelihood
    found |= {"log_likelihood": likelihood.as_dict(), "methods": {"log_likelihood": likelihood.method}}
    found |= {"perplexity": word_entries(told), "told": word_lines(told), "learnt": verdict_of_words(told)}
    return found | per_unit(layer, likelihood.value) | {"certified": verdict(likelihood, None)}


def _unlearnt(description: RunDescription, run: Run) -> tuple[str, Data | None]:
    """The test rows, or the validation rows where there are none, and which of these they are."""
    data = _split_data(description, run.model, "test")
    return ("test", data) if data is not None else ("validation", _validation_data(description, run))


def _validation_data(description: RunDescription, run: Run) -> Data | None:
    """The validation rows of a run: of its own or of its data set, or the share of its rows that was held out."""
    data = _split_data(description, run.model, "valid")
    if data is not None or run.settings.validation == 0 or not description.data.load:
        return data
    held = parted(loaded(description.data.load, "run.toml"), run.settings.validation, run.settings.seed)[1]
    return known_in_full(held)


def _split_data(description: RunDescription, model: Model, split: str) -> Data | None:
    """The rows of a split, of a file of their own or of the data set of a run; None for data in one piece."""
    own = description.data.load
    place, views = own.get("name_or_path"), own.get("views")
    if isinstance(views, Mapping):
        request = description.rows(split).load or {"name_or_path": place, "views": views, "split": split}
        there = description.rows(split).load or split in view_splits(place, views)
        return whole_rows(loaded(request | {"missing": True}, "run.toml")) if there else None
    if place is None:
        return None
    if not isinstance(place, str):
        raise FileError("run.toml does not say how to load the data.")
    if other := description.rows(split).load:
        return loaded(other | {"machine_levels": model.levels}, "run.toml")
    known = {name: own[name] for name in (*COLUMNS, *KIND) if name in own}
    known |= {"levels": own.get("levels"), "machine_levels": model.levels}
    return loaded({"name_or_path": place, "split": split, **known}, "run.toml") if split in splits(place) else None
