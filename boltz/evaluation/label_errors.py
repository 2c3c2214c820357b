"""How often the labels that an adversarial autoencoder infers are wrong (Makhzani et al. 2016, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks, html
from boltz.errors import InputError
from boltz.evaluation.agreement import adjusted_mutual_information
from boltz.evaluation.classifier import binomial_interval
from boltz.evaluation.label_names import UNLABELLED, names_of, was_taught
from boltz.evaluation.trained import Trained, trained
from boltz.foreign import shown
from boltz.sampling.inferred import playing, probabilities_of

Array = NDArray[Any]
Labels = NDArray[Any]
AS_CLASSES = (
    "Labels 0, 1 and so on are taken as classes: a machine alone does not say whether it was taught them. Give "
    "validation rows where they are clusters."
)


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """The share of rows whose inferred label is wrong, and its 95 % interval (Clopper & Pearson 1934).

    - wrong, rows: how many rows are wrong, and how many have a label.
    - names: the class that each inferred label stands for.
    - validation_rows: how many rows named clusters, 0 for a machine that was taught classes; named_by: which these are.

    Of clusters, each has the class of the validation row that is the most probable one in it (Makhzani et al. 2016,
    section 6), and beside it stand:

    - majority_error: the share where each has the class that most of its validation rows have.
    - mutual_information: the adjusted mutual information of clusters and classes, which needs no names.

    Both are None for a machine that was taught classes. predicted (rows,) holds the class of each row with a label.
    note: what a reader should know, as where nothing says whether a machine was taught.
    """

    error: float
    wrong: int
    rows: int
    interval: tuple[float, float]
    names: tuple[Any, ...] = field(repr=False)
    predicted: Labels = field(repr=False)
    validation_rows: int = 0
    majority_error: float | None = None
    mutual_information: float | None = None
    named_by: str = "validation rows"
    note: str = ""

    @property
    def clusters(self) -> bool:
        """Whether labels are clusters that validation rows named."""
        return self.majority_error is not None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "error": self.error,
            "wrong": self.wrong,
            "rows": self.rows,
            "interval": list(self.interval),
            "names": list(self.names),
            "validation_rows": self.validation_rows,
            "named_by": self.named_by if self.clusters else None,
            "majority_error": self.majority_error,
            "mutual_information": self.mutual_information,
            "note": self.note or None,
        }

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """What it says, in sentences."""
        low, high = (f"{100 * end:.2f}" for end in self.interval)
        of = f"{self.wrong:,} of {self.rows:,} rows"
        found = f"Inferred labels: {100 * self.error:.2f} % wrong ({of}), 95 % interval {low} to {high} %."
        if self.majority_error is None or self.mutual_information is None:
            return [found, self.note] if self.note else [found]
        others = f"{self.validation_rows:,} {self.named_by}"
        named = f"each of {len(self.names)} clusters has the class of the most confident of {others}"
        return [
            f"{found[:-1]}, where {named}.",
            f"With the class of most of these rows in each cluster {100 * self.majority_error:.2f} % are wrong; "
            f"adjusted mutual information of clusters and classes {self.mutual_information:.3f}.",
        ]

    def _repr_html_(self) -> str:
        return html.table([(str(i), line) for i, line in enumerate(self.lines, 1)], caption="inferred labels")


def label_errors(model: Any, x: Any, y: Any, validation: Any = None, classes: Any = None) -> LabelErrors:
    """How often the labels that an adversarial autoencoder infers of rows x (rows, units) differ from labels y (rows,).

    model is a machine, a run, or the path of a run or model file. Rows labelled -1, NaN or None do not count.

    - validation: None for a machine that was taught labels; (x, y) of other rows for clusters, of which each gets the
      class of the row that is most probable in it (Makhzani et al. 2016, section 6). A run that was taught no labels
      needs it. A machine alone does not say whether it was taught: then None takes its labels as classes.
    - classes: the class of each label that was taught, by default those that the run names, else 0, 1 and so on.

    Raises InputError.
    """
    found = trained(model)
    playing(found.model)
    known = labelled_rows(found.model, x, y, ("x", "y"))
    if validation is None:
        return _as_classes(found, known, None if classes is None else checks.sequence(classes, "classes", 10**6))
    if classes is not None:
        raise InputError("classes are those that were taught, but validation names clusters: give one of both.")
    if not isinstance(validation, Sequence) or len(validation) != 2:
        raise InputError(f"validation must be a pair (x, y) of rows and labels, got {checks.brief(validation)}.")
    others, theirs = validation
    return cluster_errors(known, labelled_rows(found.model, others, theirs, ("validation[0]", "validation[1]")))


def _as_classes(found: Trained, known: Known, classes: Sequence[Any] | None) -> LabelErrors:
    """The errors of labels as classes; raises InputError for a run whose labels are clusters."""
    if was_taught(found.run):
        return taught_errors(found, known, classes)
    if found.run.settings is not None:
        raise InputError(
            f"validation must be a pair (x, y), got None: {found.place} was taught no labels, and validation rows say "
            "which class each of its clusters has."
        )
    return replace(taught_errors(found, known, classes), note=AS_CLASSES)


@dataclass(frozen=True)
class Known:
    """Rows with a label: the probabilities (rows, labels) that a machine infers, and what their labels are (rows,)."""

    probabilities: Array
    labels: Labels


def labelled_rows(model: Any, x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> Known:
    """The rows that have a label; raises InputError where none has."""
    probabilities = probabilities_of(model, x, names[0])
    try:
        labels = np.asarray(y)
    except (ValueError, TypeError) as problem:
        raise InputError(f"{names[1]} must be an array of labels, got {type(y).__name__}.") from problem
    if labels.shape != (len(probabilities),) or labels.dtype.kind not in "biufUSO":
        raise InputError(f"{names[1]} must hold a label for each of {len(probabilities)} rows, got {checks.brief(y)}.")
    known = np.array([not _unknown(label) for label in labels.tolist()], bool)
    if not known.any():
        raise InputError(f"{names[1]} must hold at least one label, got none.")
    return Known(probabilities[known], _of_one_type(labels[known], names[1]))


def _unknown(label: Any) -> bool:
    """Whether a label says that none is known: -1, NaN or None."""
    return label is None or label != label or (not isinstance(label, str | bytes) and bool(label == UNLABELLED))


def _of_one_type(labels: Labels, name: str) -> Labels:
    """Known labels that may be Python objects as an array of text or of numbers; raises InputError."""
    if labels.dtype.kind != "O":
        return labels
    for kinds in (str, bytes, (bool, int, float, np.number, np.bool_)):
        if all(isinstance(label, kinds) for label in labels):
            return np.array(labels.tolist())
    raise InputError(f"{name} must hold labels that are all text or all numbers, got {checks.brief(labels.tolist())}.")


def taught_errors(found: Trained, known: Known, classes: Sequence[Any] | None = None) -> LabelErrors:
    """The errors of a machine whose labels are classes that it was taught; raises InputError."""
    count = known.probabilities.shape[1]
    names = tuple(names_of(found.run, count) if classes is None else classes)
    if len(names) != count:
        raise InputError(f"classes must name the {count} labels of the machine, got {len(names)}.")
    predicted = _named(names, known.probabilities.argmax(axis=1))
    _refuse_strangers(names, known.labels)
    return LabelErrors(*_share(predicted, known.labels), names, predicted)


def _refuse_strangers(names: tuple[Any, ...], labels: Labels) -> None:
    """Raise InputError where no label at all is one of the classes, as where these have other names."""
    if not set(labels.tolist()) & set(names):
        some, mine = (", ".join(map(str, sorted(set(each), key=str)[:4])) for each in (labels.tolist(), names))
        raise InputError(
            f"y must hold labels of the classes of the machine, such as {shown(mine)}, got {shown(some)}: number them, "
            "or name the classes."
        )


def cluster_errors(known: Known, validation: Known, named_by: str = "validation rows") -> LabelErrors:
    """The errors of clusters that other rows name."""
    confident = tuple(validation.labels[validation.probabilities.argmax(axis=0)].tolist())
    cluster = known.probabilities.argmax(axis=1)
    predicted = _named(confident, cluster)
    majority = _share(_named(_majority(validation, confident), cluster), known.labels)[0]
    agreement = adjusted_mutual_information(cluster, known.labels)
    shares = _share(predicted, known.labels)
    return LabelErrors(*shares, confident, predicted, len(validation.labels), majority, agreement, named_by)


def _majority(validation: Known, otherwise: tuple[Any, ...]) -> tuple[Any, ...]:
    """The class of most rows of each cluster, the first in order of equal ones; another one where it has no rows."""
    cluster, found = validation.probabilities.argmax(axis=1), list(otherwise)
    for i in np.unique(cluster):
        classes, counts = np.unique(validation.labels[cluster == i], return_counts=True)
        found[i] = classes.tolist()[counts.argmax()]
    return tuple(found)


def _named(names: tuple[Any, ...], labels: Labels) -> Labels:
    """The names of labels (rows,)."""
    table = np.empty(len(names), object)
    table[:] = names
    found: Labels = table[labels]
    return found


def _share(predicted: Labels, labels: Labels) -> tuple[float, int, int, tuple[float, float]]:
    """The share of wrong rows, how many these are, how many rows there are, and the interval of the share."""
    wrong = sum(mine != other for mine, other in zip(predicted.tolist(), labels.tolist(), strict=True))
    low, high = binomial_interval(wrong, len(labels))
    return wrong / len(labels), wrong, len(labels), (low, high)
