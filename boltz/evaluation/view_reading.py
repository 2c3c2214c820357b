"""Which rows of several kinds of data are read for a machine of several visible layers: those of a file or of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boltz import checks
from boltz.data import Data
from boltz.data.dataset import View, only
from boltz.data.readers import SPLITS
from boltz.data.views import arrays_of, is_array, read_views, view_splits, whole_rows
from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.views import of_several
from boltz.training.description import RunDescription, description_at
from boltz.units.onehot import shape_of

Options = Mapping[str, Any]
TABLE_WORDS = {"levels": "--levels", "alphabet": "--alphabet", "label_column": "--label-column"}
TABLE_WORDS |= {"drop_columns": "--drop-column", "vocabulary": "--vocabulary"}


def several(models: Sequence[Any]) -> BoltzmannMachine | None:
    """The first of some machines if it has several visible layers, else None."""
    return of_several(models[0]) if models else None


def refuse_tables(options: Options) -> None:
    """Raise InputError for an option of one table of data."""
    for name, word in TABLE_WORDS.items():
        if options.get(name) not in (None, ()):
            raise InputError(f"{word} is for one table of data, not for arrays of several views: leave it out.")


def view_request(
    path: Path | None, machine: BoltzmannMachine, options: Options, split: str | None = None
) -> tuple[dict[str, Any], str | None]:
    """The arguments of boltz.load_views that give the rows that options name, by default those of the run, and their
    split, None for a file of one table of each view; raises InputError.

    split is the one to take without --split; None means test where there is one, else train. Of views that options
    given does not name, those that the data lack are left out.
    """
    refuse_tables(options)
    run, own = description_at(path), options["data"] is None
    main = run.learnt.load.get("name_or_path") if own else options["data"]
    views = _own_views(path, run) if own else _views_in(main, machine, run, options)
    others = {each: load for each in ("valid", "test") if own and (load := run.rows(each).load)}
    held = view_splits(main, views)
    wanted = options["split"] or split
    if wanted is None:
        wanted = "test" if "test" in others or "test" in held else "train"
    more = {"limit": options["limit"]} | ({"missing": True} if options.get("missing") else {})
    if wanted in others:
        return {**others[wanted], **more}, wanted
    request = {"name_or_path": main, "views": views, **more}
    if held or (own and wanted == "train"):
        return {**request, "split": wanted}, wanted
    if own:
        raise InputError(
            f"{path} was trained on rows of {run.learnt.name}, and has no {wanted} rows: give others with --data FILE, "
            "or take the former with --split train."
        )
    if options["split"] not in (None, "train"):
        raise InputError(f"{main} holds one table of each view, so it has no split {wanted!r}: leave --split out.")
    return request, None


def view_rows_asked(
    path: Path | None, machine: BoltzmannMachine, options: Options, split: str | None = None
) -> tuple[Data, str | None]:
    """The rows that options name, and their split, as in view_request; views that options given does not name are
    unknown. Of rows that a run learnt with unknown entries, those that are known in full, unless options say missing.
    """
    request, split = view_request(path, machine, options, split)
    given = options.get("given")
    holes = not options.get("missing") and (options["data"] is None and description_at(path).learnt.load.get("missing"))
    try:
        data = read_views(**request | ({"missing": True} if holes else {}))
    except TypeError as problem:
        raise FileError(f"{path} does not say how to load its rows ({str(problem)!r:.80}).") from problem
    data = _widened(data, machine, given)
    return (whole_rows(data) if holes else data), split


def checked_given(
    machine: Any, given: Sequence[str], place: Path | str, remedy: str = "say what is known with --mask"
) -> tuple[str, ...] | None:
    """The views that are given, None where none are named: then all are; raises InputError."""
    if not given:
        return None
    whole = several([machine])
    if whole is None:
        raise InputError(f"--given is for several visible layers, but {place} has one: {remedy}.")
    listed = tuple(name for text in given for name in text.split(","))
    for name in listed:
        if name not in whole.graph.views:
            raise InputError(f"--given must name visible layers, {', '.join(whole.graph.views)}, got {shown(name)}.")
    return listed


def given_views(machine: Any, given: Any, place: str) -> tuple[str, ...] | None:
    """The same of an argument of a function, a name or several; raises InputError."""
    if given is None:
        return None
    whole = several([machine])
    if whole is None:
        raise InputError(f"given must be None for one visible layer, which {place} has: mark what is unknown with NaN.")
    views = ", ".join(whole.graph.views)
    listed = (given,) if isinstance(given, str) else tuple(checks.sequence(given, "given", len(whole.graph.views)))
    if not listed or not all(isinstance(name, str) and name in whole.graph.views for name in listed):
        raise InputError(f"given must name visible layers, some of {views}, got {checks.brief(given)}.")
    return listed


def widened_arrays(machine: BoltzmannMachine, x: Any) -> Any:
    """Arrays by view with NaN for the views that are lacking; any other rows as they are."""
    views = machine.graph.views
    if not isinstance(x, Mapping) or not x or not set(x) < set(views):
        return x
    for view, part in x.items():
        if not shape_of(part):
            raise InputError(f"data[{view!r}] must be an array (rows, units), got {checks.brief(part)}.")
    rows = shape_of(next(iter(x.values())))[0]
    sites = {layer.name: layer.units // layer.columns for layer in machine.visible_layers}
    return {view: x[view] if view in x else np.full((rows, sites[view]), np.nan, np.float32) for view in views}


def known_rows(machine: BoltzmannMachine, data: Data, given: Collection[str] | None) -> Data:
    """Rows with what is known of them, of given views alone where these are named; those of which nothing is known are
    left out. Raises InputError where there are no others.
    """
    known = known_views(machine, data, given)
    some = np.flatnonzero(known.any(axis=1))
    if not len(some):
        raise InputError(
            f"data ({data.source}) must have rows of which something is known, in the views that count, got none."
        )
    found = replace(data, known=None if known.all() else known)
    if len(some) == len(known):
        return found
    left = len(known) - len(some)
    note = f"Nothing is known of {left:,} of {len(known):,} rows of {data.source}, which are left out."
    return replace(only(found, some), notes=(*data.notes, note))


def _own_views(path: Path | None, run: RunDescription) -> dict[str, Any]:
    """The views of the data of a run; raises InputError."""
    views = run.learnt.load.get("views")
    if isinstance(views, Mapping):
        return dict(views)
    beside = "" if path is None else f"{path} "
    raise InputError(f"{beside}does not name its data: give an .npz file with an array for each view with --data.")


def _views_in(main: Any, machine: BoltzmannMachine, run: RunDescription, options: Options) -> dict[str, Any]:
    """The views of a file: in arrays of the names that the run has them in, else in those of the names of the views.

    Where options have given, views that it does not name may lack.
    """
    names, before, given = arrays_of(main), run.learnt.load.get("views"), options.get("given")
    if not names:
        raise InputError(f"{main} must be an .npz file with an array for each view, {', '.join(machine.graph.views)}.")
    found: dict[str, Any] = {}
    for view in machine.graph.views:
        listed = before.get(view) if isinstance(before, Mapping) else None
        ours = listed[0] if isinstance(listed, list) and listed and is_array(listed[0]) else view
        there = [name for name in (ours, view) if {name, *(f"{name}_{split}" for split in SPLITS)} & set(names)]
        if there:
            found[view] = (there[0], machine.graph.kinds[view])
        elif given is None or view in given:
            wanted = view if ours == view else f"{ours} or {view}"
            partly = ", or name the views that are there with --given" if "given" in options else ""
            raise FileError(
                f"{main} has no array {wanted} for the view {view}; it has {shown(', '.join(names))}: "
                f"name it so{partly}."
            )
    return found


def _widened(data: Data, machine: BoltzmannMachine, given: Collection[str] | None) -> Data:
    """Rows with all visible layers of a machine, of which those that are lacking or not given are unknown; raises
    InputError where a view has other columns.
    """
    have = {view.name: view for view in data.views}
    for name, view in have.items():
        wanted = machine.graph.units.get(name) if name in machine.graph.views else None
        if (view.columns, view.kind) != (wanted, machine.graph.kinds.get(name)):
            raise InputError(
                f"{data.source}: view {name} has {view.columns} columns of kind {view.kind}, but the machine has "
                f"{wanted or 'no such'} of kind {machine.graph.kinds.get(name)}."
            )
    if given is None and tuple(have) == machine.graph.views:
        return data
    rows, place = len(data.x), 0
    x = np.zeros((rows, machine.columns), data.x.dtype)
    known = np.zeros(x.shape, bool)
    for view in data.views:
        mine, part = slice(place, place + view.columns), machine.graph.columns[view.name]
        x[:, part] = data.x[:, mine]
        known[:, part] = True if data.known is None else data.known[:, mine]
        place += view.columns
    views = tuple(
        have.get(name, View(name, machine.graph.units[name], machine.graph.kinds[name])) for name in machine.graph.views
    )
    return replace(data, x=x, known=known, views=views, mark=None, request={})


def known_views(machine: BoltzmannMachine, data: Data, given: Collection[str] | None) -> Any:
    """Which numbers (rows, columns) of rows are known, of given views alone where these are named."""
    known = np.ones(data.x.shape, bool) if data.known is None else data.known.copy()
    if given is not None:
        for view, part in machine.graph.columns.items():
            known[:, part] &= view in given
    return known
