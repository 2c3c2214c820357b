"""The rows of `boltz train`: of one table, or of several kinds of data, and the splits beside the training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boltz.data import Data, load_views
from boltz.data.views import is_array, view_splits, whole_rows
from boltz.errors import InputError
from boltz.evaluation.reading import OTHERS
from boltz.evaluation.view_reading import refuse_tables, view_request
from boltz.models.boltzmann import BoltzmannMachine
from boltz.training.description import RunDescription, description_at

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Read:
    """The training rows, those of other files by split, the splits of the data, and how a split of them is read."""

    data: Data
    others: dict[str, Data]
    splits: tuple[str, ...]
    split: Callable[[str], Data]

    def has(self, split: str) -> bool:
        """Whether there are rows of a split."""
        return split in self.others or split in self.splits

    def rows(self, split: str) -> Data:
        """The rows of a split that there is."""
        return self.others.get(split) or self.split(split)


def read_views(options: Options, first: Any, origin: Path | None) -> Read:
    """The rows of several kinds of data, of new modalities or those of the run to start from; raises InputError."""
    refuse_tables(options)
    run = RunDescription() if origin is None else description_at(origin)
    request = _request(options) if first is None else _request_of(first, origin, options)
    main, views = request.get("name_or_path"), request["views"]
    data = load_views(**{**request, "missing": True})
    if data.known is None:
        data = replace(data, request={key: x for key, x in data.request.items() if key != "missing"})
    else:
        share = 1 - data.known.mean()
        note = f"{share:.2%} of the entries of {data.source} are unknown; they are drawn given the rest of their rows."
        data = replace(data, notes=(*data.notes, note))
    others = {}
    for split in OTHERS:
        kept = run.rows(split).load if options["data"] is None else {}
        if options[split] is not None:
            others[split] = _other(options[split], split, main, views)
        elif kept:
            others[split] = whole_rows(load_views(**{**kept, "missing": True}))

    def read(split: str) -> Data:
        return whole_rows(load_views(main, views, split, missing=True))

    return Read(data, others, view_splits(main, views), read)


def _request(options: Options) -> dict[str, Any]:
    """The arguments of boltz.load_views for the modalities that are named; raises InputError."""
    main, views = options["data"], options["modality"]
    lone = [(name, source) for name, (source, _) in views.items() if is_array(source)]
    if lone and main is None:
        name, source = lone[0]
        raise InputError(
            f"--modality {name}={source}:... names an array of a file: name the file with --data FILE.npz, or a "
            "file in the place of the array."
        )
    if main is not None and not lone:
        raise InputError("--data would do nothing, since each --modality names a file of its own: leave it out.")
    return {"name_or_path": main, "views": views, "limit": options["limit"]}


def _request_of(first: BoltzmannMachine, origin: Path | None, options: Options) -> dict[str, Any]:
    """The same for the machine of a run that is to be trained on."""
    found, _ = view_request(origin, first, {**options, "split": "train", "missing": True})
    return {key: value for key, value in found.items() if key not in ("split", "missing")}


def _other(place: str, split: str, main: str | None, views: Mapping[str, Any]) -> Data:
    """The rows of another file, with the same arrays; raises InputError."""
    if main is None or not all(is_array(source) for source, _ in views.values()):
        raise InputError(
            f"--{split} names a file with the arrays of each --modality, but some of these are files of their own: "
            "put the arrays into one .npz file each."
        )
    held = view_splits(place, views)
    return whole_rows(load_views(place, views, split if split in held else "train", missing=True))
