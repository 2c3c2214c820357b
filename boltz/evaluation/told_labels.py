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
from boltz.evaluation.label_names import ENTRY, UNLABELLED, numbered
from boltz.foreign import shown
from boltz.models.files import Model

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


def told_labels(data: Data, values: Mapping[str, Any], model: Model | None = None) -> Told:
    """The labels that a machine is told, as the options of an aae ask for; raises InputError.

    model: the machine to start from, which says who is told; None for a new one.
    """
    game = None if model is None or model.directed is None else model.directed.structure.game
    told = values.get("labels", "none") if game is None else game.told
    clusters = game is None and bool(values.get("clusters"))
    few = values.get("labelled", ALL)
    if told == "none" or clusters:
        if few != ALL:
            raise InputError("--labelled would do nothing: the machine is told no labels.")
        return NOBODY
    if data.labels is None and told == "inferred" and game is not None and few == ALL:
        return NOBODY
    if data.labels is None:
        where = "name their column with --label-column, or take an .npz file with y_train beside x_train"
        without = "; for labels without any data, give --clusters" if told == "inferred" else ""
        raise InputError(f"{shown(data.source)} holds no labels for --labels {told}: {where}{without}.")
    names, numbers = numbered(data.labels, values.get("classes") if game is None else game.labels)
    unknown = int((numbers == UNLABELLED).sum())
    note = f"{unknown:,} rows of {data.source} are labelled -1, which says that their label is not known."
    kept = _fewer(numbers, few, len(np.unique(numbers[numbers >= 0])), values["seed"])
    return Told(kept, names, note if unknown else "")


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
