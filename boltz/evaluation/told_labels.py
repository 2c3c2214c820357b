"""The labels that an adversarial autoencoder is told by `boltz train`: of which rows, and of which classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data import Data
from boltz.data.dataset import few_rows
from boltz.errors import InputError
from boltz.evaluation.label_names import ENTRY, UNLABELLED, names_of, numbered, numbers_of, was_taught
from boltz.evaluation.trained import Trained
from boltz.foreign import shown
from boltz.models.structure import Game

ALL = "all"


@dataclass(frozen=True)
class Told:
    """The labels of training rows (rows,) by number, -1 for unlabelled rows, and the classes by number.

    None where the machine is told no labels. note: what a reader should know.
    """

    numbers: NDArray[np.int64] | None = None
    names: tuple[Any, ...] = ()
    note: str = ""

    @property
    def entry(self) -> dict[str, Any]:
        """What run.toml keeps."""
        if self.numbers is None:
            return {}
        return {ENTRY: {"names": list(self.names), "labelled": int((self.numbers != UNLABELLED).sum())}}

    @property
    def how(self) -> dict[str, Any]:
        """The argument of boltz.train."""
        return {} if self.numbers is None else {"labels": self.numbers}

    def of(self, data: Data) -> Data:
        """The rows with their labels by number."""
        return data if self.numbers is None else replace(data, labels=self.numbers)


NOBODY = Told()


def told_labels(data: Data, values: Mapping[str, Any], first: Trained | None = None) -> Told:
    """The labels that a machine is told, as the options of an aae ask for; raises InputError.

    first: the machine to start from, which says who is told, and its run, which says of which classes; None for a new
    machine.
    """
    own = None if first is None else first.model.directed
    game = None if own is None else own.structure.game
    told = values.get("labels", "none") if game is None else game.told
    clusters = game is None and bool(values.get("clusters"))
    few = values.get("labelled", ALL)
    if told == "none" or clusters:
        if few != ALL:
            raise InputError("--labelled would do nothing: the machine is told no labels.")
        return NOBODY
    untaught = first is not None and told == "inferred" and few == ALL and not was_taught(first.run)
    if first is not None and untaught:
        return NOBODY if data.labels is None else Told(note=_untaught(first))
    if data.labels is None and told == "inferred" and game is not None and few == ALL:
        return NOBODY
    if data.labels is None:
        where = "name their column with --label-column, or take an .npz file with y_train beside x_train"
        without = "; for labels without any data, give --clusters" if told == "inferred" and game is None else ""
        raise InputError(f"{shown(data.source)} holds no labels for --labels {told}: {where}{without}.")
    if first is None or game is None:
        names, numbers = numbered(data.labels, values.get("classes"))
    else:
        names, numbers = _of_first(data, first, game)
    kept = _fewer(numbers, few, len(np.unique(numbers[numbers >= 0])), values["seed"])
    return Told(kept, names, _note(data, names, numbers))


def _untaught(first: Trained) -> str:
    """Why the labels of the data are not told to a machine that infers labels."""
    return (
        f"{first.place} does not say that its machine was taught labels, so the labels of the data teach nothing: give "
        "--labelled to teach them."
    )


def _of_first(data: Data, first: Trained, game: Game) -> tuple[tuple[Any, ...], NDArray[np.int64]]:
    """The classes of the first run, and the number of each row's; raises InputError for labels that are none of them.

    Where that run was taught none, or is not known, the classes are those of the data.
    """
    if not was_taught(first.run):
        return numbered(data.labels, game.labels, f"The machine of {first.place}")  # type: ignore[arg-type]
    names = names_of(first.run, game.labels)
    found = np.asarray(data.labels).tolist()
    strange = sorted({x for x in found if x not in names and x != UNLABELLED}, key=str)
    if strange:
        some, mine = (", ".join(map(str, each[:4])) for each in (strange, names))
        raise InputError(
            f"{shown(data.source)} holds labels such as {shown(some)}, which are no classes of {first.place}, such as "
            f"{shown(mine)}: name the classes alike, or train another machine."
        )
    return names, numbers_of(found, names)


def _note(data: Data, names: tuple[Any, ...], numbers: NDArray[np.int64]) -> str:
    """What a reader should know of labels of -1."""
    if UNLABELLED in names and len(names) == 2:
        other = next(name for name in names if name != UNLABELLED)
        return (
            f"Labels of {data.source} are -1 and {shown(str(other))} alone, which are taken for two classes: -1 marks "
            "rows without a label only beside two or more."
        )
    unknown = int((numbers == UNLABELLED).sum())
    return f"{unknown:,} rows of {data.source} are labelled -1, which says that their label is not known." * bool(
        unknown
    )


def _fewer(numbers: NDArray[np.int64], few: str, classes: int, seed: int) -> NDArray[np.int64]:
    """Labels of which so many are kept, drawn in equal numbers of each class by seed."""
    known = np.flatnonzero(numbers != UNLABELLED)
    if few == ALL:
        return numbers
    whole = few.isascii() and few.isdecimal() and len(few) < 10
    if not whole or not classes <= int(few) <= len(known):
        raise InputError(
            f"--labelled must be all, or a whole number from {classes}, one row of each class, to {len(known)}, got "
            f"{shown(few)}."
        )
    kept = known[few_rows(numbers[known], int(few), seed)]
    found = np.full_like(numbers, UNLABELLED)
    found[kept] = numbers[kept]
    return found
