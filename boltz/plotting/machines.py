"""Pictures of trained machines: samples, filters, learning curves, as figures of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from boltz import checks
from boltz.data.dataset import Data
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine, refuse_views
from boltz.models.files import (
    Model,
    Seeing,
    checked_machine,
    means_known,
    outside,
    refuse_factors,
    states_inside,
    visible_rows,
)
from boltz.models.graph import Layer
from boltz.models.scaling import Scaling
from boltz.models.views import alone, of_several
from boltz.plotting import curves, images
from boltz.sampling.decoding import decode, visible_means
from boltz.sampling.decompression import decompress
from boltz.sampling.drawing import drawing_of
from boltz.sampling.inferred import visible_draws
from boltz.sampling.sample import sample
from boltz.units import is_kind
from boltz.units.states import ends

CHAINS, SWEEPS, REACH = 100, 200, 3.0
ROWS, MOST_KNOWN = 20, 10_000  # samples beside data, and rows that are looked at
UNITS = "units of the data"
LEAST_SHARE = 0.1  # of a common scale that half of the columns fill
RARE = 0.01  # the rate of a visible unit below which it may never have been on


def plot_samples(
    model: Any,
    x: Any = None,
    shape: images.Shape | None = None,
    chains: int = CHAINS,
    sweeps: int = SWEEPS,
    seed: int = 0,
) -> Figure:
    """A figure of visible means in samples of a machine, or of the machine of a boltz.Run: at most 100 tiles.

    A Boltzmann machine runs so many sweeps, from rows x (rows, units) where they are given; other machines are sampled
    without chains. shape: (height, width) of an image, by default that of x (boltz.Data), or a square. The figure is
    saved by figure.savefig("samples.svg"), .pdf or .png. Raises InputError, NumericalError.
    """
    machine = machine_of(model)
    chains, sweeps = checks.integer(chains, "chains", 1, 10**6), checks.integer(sweeps, "sweeps", 0, checks.MOST_STEPS)
    shape = shape_of(x.shape if shape is None and isinstance(x, Data) else shape)
    chained = machine.undirected is not None
    rows = None if x is None else _rows(x, machine, chains)
    start = rows if machine.directed is None else None
    drawn = _sampled(machine, chains, sweeps, seed, start)
    how = f"{chains:,} chains after {sweeps:,} sweeps" if chained else f"{chains:,} samples"
    return images.sample_grid(drawn.values, shape, f"visible {drawn.what} of {how}", drawn.greys)


def plot_beside(
    model: Any,
    x: Any,
    shape: images.Shape | None = None,
    rows: int = ROWS,
    sweeps: int = SWEEPS,
    seed: int = 0,
) -> Figure:
    """A figure of samples of a machine, each above the row of x (rows, units) nearest to it, and above a row of x.

    Samples that repeat rows of the training are learnt by heart. Nearest is by squared distance of the visible means. A
    Boltzmann machine runs so many sweeps from independent units. rows: how many samples, at most 30. shape as in
    boltz.plot_samples. Raises InputError, NumericalError.
    """
    machine, rows = machine_of(model), checks.integer(rows, "rows", 1, images.MOST_STACKED)
    sweeps = checks.integer(sweeps, "sweeps", 0, checks.MOST_STEPS)
    shape = shape_of(x.shape if shape is None and isinstance(x, Data) else shape)
    known = np.asarray(outside(machine, _rows(x, machine, MOST_KNOWN)))
    greys = greys_of(machine, known)
    data, means = greys.of(known), greys.of(_sampled(machine, rows, sweeps, seed).values)
    others = np.arange(rows) * len(data) // rows
    parts = {"sample": means, "nearest row": data[nearest_rows(means, data)], "a row": data[others]}
    return images.stacked_tiles(parts, shape, f"samples, the nearest of {len(data):,} rows to each, and rows")


def plot_decompressions(
    model: Any, x: Any, shape: images.Shape | None = None, rows: int = ROWS, draws: int = 5, seed: int = 0
) -> Figure:
    """A figure of rows of x (rows, units), each above draws of it from what the hidden units keep of it.

    The draws are those of boltz.decompress. rows: how many, at most 30, evenly spaced; draws: of each, at most 20.
    shape as in boltz.plot_samples. Raises InputError.
    """
    machine, rows = machine_of(model), checks.integer(rows, "rows", 1, images.MOST_STACKED)
    draws = checks.integer(draws, "draws", 1, 20)
    shape = shape_of(x.shape if shape is None and isinstance(x, Data) else shape)
    some = np.asarray(outside(machine, _rows(x, machine, rows)))[:rows]
    greys, found = greys_of(machine, some), decompress(machine, some, draws, seed)
    parts = {"a row": greys.of(some)} | {f"draw {i + 1}": greys.of(found[:, i]) for i in range(draws)}
    return images.stacked_tiles(parts, shape, "rows, and draws of them from what the hidden units keep")


def nearest_rows(means: Any, rows: Any) -> Any:
    """For each of means (samples, units) the number of the row (rows, units) at the least squared distance."""
    lengths = np.square(rows, dtype=np.float64).sum(axis=1)
    return (lengths - 2 * np.asarray(means, np.float64) @ rows.T).argmin(axis=1)


def plot_filters(model: Any, shape: images.Shape | None = None) -> Figure:
    """A figure of what the lowest hidden units draw, a tile a unit: the 100 with the largest norms.

    These are the weights at the visible units, or, where layers without chance lie between, how the visible means
    change with the unit. Visible units that were never on in training are left blank. model: a machine, or a boltz.Run.
    shape: (height, width) of an image, by default a square. Raises InputError.
    """
    weights, what = unit_effects(machine_of(model))
    return images.filter_grid(weights, shape_of(shape), what)


def plot_curves(run: Any) -> Figure:
    """A figure of what was recorded after each epoch of a boltz.Run, a boltz.Tuned, or a list of such records.

    Raises InputError.
    """
    history = getattr(run, "history", run)
    listed = isinstance(history, Sequence) and not isinstance(history, str)
    if not listed or not all(isinstance(record, Mapping) for record in history):
        raise InputError(f"run must be a Run, a Tuned, or a list of records, got {checks.brief(run)}.")
    return curves.learning_curves(history)


def unit_effects(model: Model) -> tuple[Any, str]:
    """What each unit of the lowest hidden layer does to the visible ones, (visible, hidden), and what that is in words.

    Where no layers without chance lie between these are the weights. Else it is the visible means with the unit at 2 in
    the place of -2 (Gaussian), or at 1 in the place of 0, all others at 0, or at 1/2. Gaussian visible units are in
    units of the machine. Those that were never on in training are at 0.
    """
    if model.directed is not None:
        refuse_factors(model.directed)
    if model.undirected is not None and (of_several(model) is not None or not model.hidden_layers):
        return view_effects(model.undirected, model.visible)
    lowest, blank = model.layers[1], never_on(model)
    if model.directed is None or not model.directed.structure.widths[0]:
        weights = np.array(model.visible_weights, np.float64)
        weights[blank] = 0
        return weights, "weights"
    middle, reach = (0.0, 2.0) if not lowest.binary else (0.5, 0.5)
    steps = reach * np.eye(lowest.units)
    up, down = decode(model, middle + steps, 1), decode(model, middle - steps, 1)
    effects = np.asarray(up, np.float64).T - np.asarray(down, np.float64).T
    if model.scaling is not None:
        effects /= model.scaling.unit[:, None]
    effects[blank] = 0
    return effects, "effects on the visible means"


def view_effects(model: BoltzmannMachine, view: str) -> tuple[Any, str]:
    """The weights (units, units of the listener) of a visible layer at the layer that hears it, and what that is in
    words; its couplings (units, units) where it is its own listener. Sparse ones come as a sparse matrix.
    """
    layer, key, lower = listener(model, view)
    weights = model.matrix(key).astype(np.float64)
    found = (weights if lower else weights.T) * ~never_on(model, view)[:, None]
    return found, "couplings to the other units" if layer.name == view else "weights"


def listener(model: BoltzmannMachine, view: str) -> tuple[Layer, str, bool]:
    """The lowest hidden layer joined to a visible one, the name of their weights, and whether the visible one is the
    lower of the two; another layer, or itself, where there is no hidden one.
    """
    around = model.graph.neighbours[view]
    hidden = [each for each in around if each[1] in model.graph.hidden]
    if view in model.graph.within and not hidden:
        key, other, lower = model.graph.within[view].key, view, True
    else:
        key, other, lower = min(hidden or around, key=lambda each: list(model.units).index(each[1]))
    return next(layer for layer in model.layers if layer.name == other), key, lower


def never_on(model: Model, view: str | None = None) -> Any:
    """Which visible units (units,) were never on in training, as far as the rates tell that are kept with a machine.

    These are rates of one row on and one off more than there were, so that several equal ones below all others are of
    units that were never on.
    """
    view = view or model.visible
    rates = model.rates.get(view)
    if rates is None or not next(layer for layer in model.layers if layer.name == view).binary:
        return np.zeros(model.units[view], bool)
    least = rates == rates.min()
    return least & (rates < RARE) & (1 < least.sum() < len(rates))


def machine_of(model: Any) -> Model:
    """A machine, or that of a run, on the host; raises InputError."""
    found = checked_machine(getattr(model, "model", model), any_units=True, any_graph=True, any_factors=True).to("cpu")
    if (machine := of_several(found)) is not None:
        refuse_views(machine, "model")
    return found


def _sampled(machine: Model, chains: int, sweeps: int, seed: int, start: Any = None) -> Drawn:
    """Visible means of samples, of which each has heard one label where a decoder hears labels."""
    if machine.kind == "aae":
        values = visible_draws(machine, chains, seed)
        return Drawn(values, "means", greys_of(machine, values))
    chained = machine.undirected is not None
    state = sample(machine, chains, sweeps if chained else None, seed, None if start is None else "data", start)
    return layer_means(machine, machine.visible, state)


class Drawn(NamedTuple):
    """Numbers (chains, units) of a layer to draw, what they are in words, and which of them are black and white."""

    values: Any
    what: str
    greys: images.Greys


def layer_means(model: Model, layer: str, state: Mapping[str, Any]) -> Drawn:
    """What to draw of a layer in sampled states: means given the other layers, those of visible units in the units of
    the data.

    Hidden layers of a Helmholtz machine are drawn as they were sampled, real numbers from -3 to 3 as grey levels.
    """
    machine = of_several(model)
    if machine is not None and layer in machine.graph.views:
        inner = machine.checked(states_inside(machine, state), list(machine.units))
        return _visible(alone(machine, layer), machine.unit_type(layer).mean(machine.field(layer, inner)))
    if layer == model.visible and not means_known(model):
        return Drawn(state[layer], "states", greys_of(model, state[layer]))  # in the units of the data already
    if layer == model.visible:
        return _visible(model, visible_means(model, state))
    values, what = drawing_of(model).shown(model, layer, state)
    found = next(each for each in model.layers if each.name == layer)
    low, high = ends(found.type) if is_kind(found.kind) else (-np.inf, np.inf)
    low, high = (low, high) if np.isfinite(high) else (-REACH, REACH)
    what = what if (low, high) == (0, 1) else f"{what} from {low:g} to {high:g}"
    return Drawn(values, what, images.Greys(low, high, (low, high)))


def _visible(model: Model, means: Any) -> Drawn:
    """Visible means (chains, units) as the machine has them, to be drawn in the units of the data."""
    values = outside(model, means)
    return Drawn(values, "means", greys_of(model, values))


def greys_of(model: Seeing, rows: Any) -> images.Greys:
    """How rows (rows, units) of visible units in the units of the data are drawn: from the lowest state to the highest.

    Real columns whose mean and spread the machine knows are drawn from 3 spreads below to 3 above, on one scale for
    all. Where half of the columns would fill less than a tenth of it, each is drawn in its own spreads. Other numbers
    are drawn from the lowest to the highest of these rows, as are real ones within [0, 1] from 0 to 1.
    """
    units = model.scaling
    if units is not None and not units.as_they_are:
        return _of_spreads(units)
    low, high = ends(model.layers[0].type)
    if not np.isfinite(high):
        low, high = 0.0 if low == 0 else float(np.nanmin(rows)), float(np.nanmax(rows))
        high = high if high > low else low + 1
    return images.Greys(low, high, (low, high), "" if (low, high) == (0, 1) else UNITS)


def _of_spreads(units: Scaling) -> images.Greys:
    """The same of columns of known mean and spread."""
    if units.location.min() >= 0 and (units.location + units.spread).max() <= 1:
        return images.Greys(what=UNITS)
    low, high = units.location - REACH * units.unit, units.location + REACH * units.unit
    black, white = float(low.min()), float(high.max())
    if np.median(high - low) >= LEAST_SHARE * (white - black):
        return images.Greys(black, white, (black, white), UNITS)
    return images.Greys(low, high, (-REACH, REACH), "spreads from the mean of each column")


def shape_of(shape: Any) -> images.Shape | None:
    """A shape (height, width) that was given, if any; raises InputError."""
    if shape is None:
        return None
    sides = tuple(checks.integer(side, "shape", 1) for side in checks.sequence(shape, "shape", 3))
    if len(sides) != 2 and sides[2:] != (3,):
        raise InputError(f"shape must be (height, width), or (height, width, 3), got {checks.brief(shape)}.")
    return sides


def _rows(x: Any, model: Model, most: int) -> Any:
    """Rows for chains to start from as the machine sees them: of Data some, evenly spaced, as floats."""
    if isinstance(x, Data):
        some = np.arange(min(most, len(x.x))) * len(x.x) // min(most, len(x.x))
        whole = model.layers[0].levels is not None
        x = x.x[some] if whole else np.divide(x.x[some], np.float32(x.levels or 1), dtype=np.float32)
    return visible_rows(model, x)
