"""Which rows are read: those of a file or a named set, or those of a run, and what their columns mean.

What a reader should know of how they were read is in the notes of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boltz.data import Data, again, load, names
from boltz.data.dataset import columns_entry, known_in_full
from boltz.data.loading import held_splits
from boltz.errors import FileError, InputError
from boltz.evaluation.view_reading import several, view_request, view_rows_asked
from boltz.foreign import shown
from boltz.models.files import Model
from boltz.networks.network import Network
from boltz.storage import run_folder
from boltz.training.description import RunDescription, description_at

Options = Mapping[str, Any]
Models = Sequence[Model | Network]
COLUMNS, KIND = ("label_column", "drop_columns"), ("units", "alphabet", "vocabulary")
WORDS = {
    "levels": "--levels",
    "alphabet": "--alphabet",
    "vocabulary": "--vocabulary",
    "label_column": "--label-column",
    "drop_columns": "--drop-column",
}
OTHERS = ("valid", "test")  # rows that a run may have from files of their own


def rows_asked(
    path: Path | None, models: Models, options: Options, split: str | None = None
) -> tuple[Data, str | None]:
    """The rows that options name, by default those of the run, and their split, None for a file of one table.

    split is the one to take without --split; None means test where there is one, else train. Of rows that a run learnt
    with unknown entries, those that are known in full, unless options say missing. Raises InputError.
    """
    if machine := several(models):
        return view_rows_asked(path, machine, options, split)
    request, split = request_of(path, models, options, split)
    run = description_at(path)
    holes = options["data"] is None and not options.get("missing") and bool(run.learnt.load.get("missing"))
    data = with_columns(request | ({"missing": True} if holes else {}), path, models, options)
    data = _without_holes(data) if holes else data
    note = columns_note(data, (run.data or run.rows("rows")).table, f"{path} was trained on")
    return (data if note is None else replace(data, notes=(*data.notes, note))), split


def _without_holes(data: Data) -> Data:
    """The rows that are known in full, with a note on the others; raises InputError where there are none."""
    whole = known_in_full(data)
    if whole is None:
        raise InputError(f"No row of {data.source} is known in full: give other rows with --data FILE.")
    left = len(data.x) - len(whole.x)
    note = f"{left:,} of {len(data.x):,} rows of {data.source} have unknown entries and are left out."
    return replace(whole, notes=(*whole.notes, note)) if left else whole


def with_columns(request: Options, path: Path | None, models: Models, options: Options) -> Data:
    """Rows by the arguments of boltz.load_data; of another file than the run's without the columns of labels and those
    left out in training, where it has them. Without them it may hold the units alone; raises InputError.
    """
    found = _with_columns(request, path, models, options)
    refuse_own_words(found, request, str(path))
    return found


def refuse_own_words(data: Data, request: Options, trained: str) -> None:
    """Raise InputError for documents of words whose columns are those of no other rows, by the request for them."""
    if data.request.get("vocabulary") and not request.get("vocabulary"):
        raise InputError(
            f"{data.source} holds documents by their words, but {trained} does not say which column is which word: "
            "name a file of its words, one a line in the order of the columns, with --vocabulary FILE."
        )


def _with_columns(request: Options, path: Path | None, models: Models, options: Options) -> Data:
    """The same, whatever words are."""
    before, name = description_at(path).learnt.load, request["name_or_path"]
    ours = {key: value for key, value in inherited(before, options).items() if not request.get(key)}
    if not ours or name in names():
        return loaded(request, str(path))
    units, found, problem = models[0].layers[0].units, None, None
    try:
        found = loaded({**request, **ours}, str(path))
        if found.x.shape[1] == units:
            return found
    except FileError as lacking:
        problem = lacking
    try:
        plain = loaded(request, str(path))
    except FileError:
        plain = None
    if plain is not None and plain.x.shape[1] == units:
        left = ", ".join(map(repr, [*filter(None, [ours.get("label_column")]), *ours.get("drop_columns", ())]))
        note = f"{plain.source} is taken without the columns that {path} left out of its data ({shown(left)})."
        return replace(plain, notes=(note, *plain.notes))
    if found is None:
        raise FileError(f"{str(problem)[:-1]}: {path} was trained so; name those of this file.") from problem
    return found


def columns_note(data: Data, trained: Options, known: str) -> str | None:
    """That columns have other names than those of training; raises InputError for the same names in another order.

    trained is the entry of run.toml on the rows of training, and known says where they are from.
    """
    found = columns_entry(data.columns)
    if not found or "columns" not in trained or found["columns"] == trained["columns"]:
        return None
    if found["names"] == trained.get("names"):
        raise InputError(
            f"{data.source} has the columns that {known}, but in another order: put them in the same order."
        )
    return f"{data.source} has columns with other names than those that {known}."


def request_of(
    path: Path | None, models: Models, options: Options, split: str | None = None
) -> tuple[dict[str, Any], str | None]:
    """The arguments of boltz.load_data that give those rows, and their split; raises InputError."""
    if machine := several(models):
        return view_request(path, machine, options, split)
    own, limit = options["data"] is None, {"limit": options["limit"]}
    name, run = (data_of(path), description_at(path)) if own else (options["data"], RunDescription())
    others = {each: found for each in OTHERS if (found := run.rows(each).load)}
    wanted = options["split"] or split
    if wanted is None:
        wanted = "test" if "test" in others or "test" in held_splits(name) else "train"
    known = reading(path, models, options, name)
    if wanted in others:
        asked = {key: options[key] for key in WORDS if options[key] not in (None, ())}
        return {**others[wanted], **limit, **asked}, wanted
    if held_splits(name) or (own and wanted == "train"):
        return {"name_or_path": name, "split": wanted, **limit, **known}, wanted
    if own:
        raise InputError(
            f"{path} was trained on rows of {name}, and has no {wanted} rows: give others with --data FILE, or take "
            "the former with --split train."
        )
    if options["split"] not in (None, "train"):
        raise InputError(f"{name} holds one table, so it has no split {wanted!r}: leave --split out.")
    return {"name_or_path": name, "split": "train", **limit, **known}, None


def reading(path: Path | None, models: Models, options: Options, name: str) -> dict[str, Any]:
    """How load reads a name: levels and columns as asked for, else as of the run's own data, and levels of machines.

    path: None where there is no run yet. Raises InputError.
    """
    learnt = description_at(path).learnt.load
    before = learnt if learnt.get("name_or_path") == name else {}
    columns = inherited(before, options) | {key: options[key] for key in COLUMNS if options[key]}
    known = scale_of(models, options["levels"], before.get("levels")) | units_for(models)
    known |= alphabet_for(learnt.get("alphabet"), options.get("alphabet"))
    known |= {"missing": True} if options.get("missing") else {}
    words = options.get("vocabulary") or learnt.get("vocabulary")
    known |= {} if words is None else {"vocabulary": str(words)}
    return known | columns


def inherited(before: Options, options: Options) -> dict[str, Any]:
    """The columns of labels and those to leave out by the arguments of boltz.load_data for the rows of a run, as far as
    options do not say otherwise of them.
    """
    said = {str(options.get("label_column")), *map(str, options.get("drop_columns") or ())}
    found = {key: before[key] for key in COLUMNS if before.get(key) and not options.get(key)}
    if str(found.get("label_column")) in said:
        found.pop("label_column", None)
    if isinstance(found.get("drop_columns"), list):
        found["drop_columns"] = [column for column in found["drop_columns"] if str(column) not in said]
    return {key: value for key, value in found.items() if value}


def units_for(models: Models) -> dict[str, Any]:
    """How load reads numbers for machines: as states of their visible units where these are not 0 and 1, or levels."""
    kinds = [model.layers[0].kind for model in models if not (model.layers[0].binary or model.layers[0].levels)]
    return {"units": kinds[0]} if kinds else {}


def alphabet_for(kept: Any, asked: str | None) -> dict[str, Any]:
    """How load reads letters: by the alphabet of a run, else as asked for; raises InputError where these differ."""
    if kept is not None and asked not in (None, kept):
        raise InputError(f"--alphabet is {shown(asked)}, but the run has {shown(kept)}: leave it out.")
    found = asked if kept is None else kept
    return {} if found is None else {"alphabet": found}


def scale_of(models: Models, asked: int | None, own: int | None) -> dict[str, Any]:
    """How load finds what whole numbers are divided by: as asked, as of the run's own data, or as machines keep it.

    Raises InputError where --levels differs from what a machine keeps; 1 says that the data are 0/1.
    """
    kept = {model.levels for model in models}
    if asked is not None:
        other = sorted(n for n in kept if n is not None and asked not in (1, n))
        if other:
            raise InputError(
                f"--levels is {asked}, but the machine divides whole numbers by {other[0]}: leave it out, or give "
                "--levels 1 for data of 0 and 1."
            )
        return {"levels": asked}
    return {"levels": own, "machine_levels": kept.pop() if len(kept) == 1 else None}


def data_of(path: Path | None) -> str:
    """The name of the data of a run; raises InputError where it has none."""
    name = description_at(path).learnt.name
    if name is None:
        raise without_data(path)
    return name


def other_rows(path: Path | None, options: Options, known: Options) -> dict[str, Data]:
    """The rows of --valid and --test, by these names, where they are given, or those of a run with its own data.

    known is how load reads them.
    """
    found, kept = {}, RunDescription() if options["data"] is not None else description_at(path)
    for name in OTHERS:
        place = options[name] or kept.rows(name).name
        if place is not None:
            found[name] = load(place, name if name in held_splits(place) else "train", **known)
            refuse_own_words(found[name], known, "the training data")
    return found


def refuse_idle(options: Options, needed: str) -> None:
    """Raise InputError for an option on tables that was given, and that does nothing without what is needed."""
    for name, word in WORDS.items():
        if options[name] not in (None, ()):
            raise InputError(f"{word} would do nothing: it needs {needed}.")


def loaded(request: Options, where: str) -> Data:
    """Rows by the arguments of boltz.load_data or boltz.load_views as run.toml has them; raises FileError where these
    are none.
    """
    try:
        return again(**request)
    except TypeError as problem:
        raise FileError(f"{where} does not say how to load its rows ({str(problem)!r:.80}).") from problem


def without_data(path: Path | None) -> InputError:
    """The error for a run or model file that says nothing of its data."""
    if path is None:
        return InputError("data must be given, since the machine names no data of its own.")
    beside = path.is_file() and (path.parent / run_folder.SETTINGS).is_file()
    run = f", or name its run, {path.parent}" if beside else ""
    return InputError(f"{path} does not name its data: give them with --data{run}.")
