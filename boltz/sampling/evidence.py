"""Visible rows of which some entries are known, and what a public function is told about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, means_known, visible_rows
from boltz.models.graph import Layer
from boltz.models.views import alone, views_of
from boltz.units.onehot import by_codes, one_hot, shape_of
from boltz.units.states import states_of

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Visible rows (rows, units) in the machine's type, and which of their entries are known (rows, units), bool."""

    rows: Array
    known: Array

    def __len__(self) -> int:
        return len(self.rows)

    def by_view(self, machine: BoltzmannMachine) -> dict[str, tuple[Array, Array]]:
        """Rows and what is known of them by visible layer, as views of them."""
        return {n: (self.rows[:, part], self.known[:, part]) for n, part in machine.graph.columns.items()}

    def part(self, block: slice) -> Evidence:
        """Some of the rows."""
        return Evidence(self.rows[block], self.known[block])

    def padded(self, fewest: int) -> Evidence:
        """At least so many rows, further ones of known zeros."""
        more = max(fewest - len(self), 0), self.rows.shape[1]
        rows, known = np.zeros_like(self.rows, shape=more), np.ones_like(self.known, shape=more)
        return Evidence(np.concatenate([self.rows, rows]), np.concatenate([self.known, known]))

    def restore(self, visible: Array) -> None:
        """Put the known entries where they belong in visible (rows, units), in place."""
        np.copyto(visible, self.rows, where=self.known)


def evidence_of(model: Model, x: Any, mask: Any = None, name: str = "x") -> Evidence:
    """Rows x (rows, units) known where mask (rows, units) or (units,) is True, without a mask where x is not NaN.

    Categorical units may be codes (rows, units) or one-hot columns, and so may a mask of theirs.
    What stands at the other entries is never looked at. Evidence lives where the model does. Raises InputError, also
    for whole numbers beside NaN at a machine with levels: they are floats by their type, which no levels divide.
    Of several visible layers x holds arrays by view, of which those that it lacks are unknown, or columns side by side.
    name is what errors call x.
    """
    if len(model.visible_layers) > 1:
        machine: Any = model
        return _of_views(machine, x, mask, name)
    on_device, layer = arrays.on_device(model.arena), model.layers[0]
    x = arrays.host(x) if on_device else x
    found = scale.table(x, name, layer.units // layer.columns if by_codes(x, layer) else layer.units)
    if mask is None:
        mask = found == found
    known = _checked_mask(_as_rows(arrays.host(mask) if on_device else mask, x, found.shape), found.shape)
    holes = bool((found != found).any())
    if layer.type.joint and not known.all():
        raise InputError(
            f"{name} must have no unknown counts, since the length of a document is the sum of all of them."
        )
    if not means_known(model) and not known.all():
        raise InputError(f"{name} must have no unknown entries, since visible units of a {model.kind} hear each other.")
    if layer.columns > 1:
        found, known = _in_columns(found, known, layer, name)
    rows = found if known.all() else np.where(known, found, _any_state(layer, found))
    if holes and layer.binary and scale.whole_floats(rows, model.levels):
        raise InputError(
            f"{name} must hold numbers in [0, 1] or NaN, got floats up to {rows.max():g}, which are not divided: "
            f"give x / {model.levels}, or numpy.nan_to_num(x).astype(int) with mask=~numpy.isnan(x)."
        )
    rows = visible_rows(model, rows, name)
    return Evidence(rows, arrays.beside(np.ascontiguousarray(known), rows))


def _of_views(model: BoltzmannMachine, x: Any, mask: Any, name: str) -> Evidence:
    """The same of a machine with several visible layers."""
    graph, given = model.graph, x
    if isinstance(x, Mapping):
        if not x or set(x) - set(graph.views):
            raise InputError(f"{name} must hold arrays by view, some of {', '.join(graph.views)}, got {checks.few(x)}.")
        for view, part in x.items():
            if not shape_of(part):
                raise InputError(f"{name}[{view!r}] must be an array (rows, units), got {checks.brief(part)}.")
    else:
        given = views_of(graph, x, name)
    rows = {shape_of(part)[0] for part in given.values()}
    if len(rows) > 1:
        raise InputError(f"{name} must hold equally many rows of each view, got {', '.join(map(str, sorted(rows)))}.")
    count = rows.pop()
    if mask is not None and not isinstance(mask, Mapping):
        mask = graph.split(_checked_mask(mask, (count, model.columns)))
    if mask is not None and set(mask) - set(given):
        raise InputError(f"mask must hold arrays by view, some of {', '.join(given)}, got {checks.few(mask)}.")
    found = []
    for view in graph.views:
        if view in given:
            found.append(evidence_of(alone(model, view), given[view], (mask or {}).get(view), f"{name}[{view!r}]"))
            continue
        nothing = model.zeros(count, view)
        found.append(Evidence(nothing, np.zeros_like(nothing, dtype=bool)))
    return Evidence(*(np.concatenate([getattr(each, n) for each in found], axis=1) for n in ("rows", "known")))


def _in_columns(found: Array, known: Array, layer: Layer, name: str) -> tuple[Array, Array]:
    """One-hot rows of units of several columns, and which of these are known, whole units; raises InputError."""
    if found.shape[1] != layer.units:
        codes = np.where(known, found, 0)
        return one_hot(codes, layer.columns, name), np.repeat(known, layer.columns, axis=1)
    whole = known.reshape(len(known), -1, layer.columns)
    if (whole.any(axis=2) != whole.all(axis=2)).any():
        raise InputError(f"mask must say the same of all {layer.columns} columns of a unit.")
    return found, known


def _any_state(layer: Layer, like: Array) -> Array:
    """A state of each column, for units that are not known."""
    states = states_of(layer.type)
    first = np.zeros(layer.columns) if states is None else states[0]
    return np.tile(first, layer.units // layer.columns).astype(like.dtype)


def _as_rows(mask: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """A mask of images x, or of one image, in the shape of their rows; any other as it is."""
    given, own = getattr(x, "shape", shape), getattr(mask, "shape", None)
    if len(given) == len(shape) or own not in (given, given[1:]):
        return mask
    return mask.reshape(shape if own == given else shape[1:])


def _checked_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    wanted = f"mask must hold True (or 1) for known and False (or 0) for unknown units in shape {shape} or {shape[1:]}"
    if arrays.on_device(mask):
        raise InputError(f"{wanted}, as a numpy array, got a CuPy array.")
    try:
        found = np.asarray(mask)
    except (ValueError, TypeError) as problem:
        raise InputError(f"{wanted}, got {type(mask).__name__}.") from problem
    if found.dtype.kind not in "biuf" or found.shape not in (shape, shape[1:]):
        raise InputError(f"{wanted}, got {found.dtype!s:.40} in shape {found.shape!s:.80}.")
    if not ((found == 0) | (found == 1)).all():
        raise InputError(f"{wanted}, got {found[(found != 0) & (found != 1)][0]}.")
    return np.broadcast_to(found.astype(bool), shape)
