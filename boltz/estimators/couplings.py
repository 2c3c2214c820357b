"""Effective couplings of pairs of visible units: what two changes do to log p(v) together and not one by one.

Of a machine whose hidden units are independent given the visible ones, log p is a sum over hidden units of their
log-partition at one number, the input, beside direct couplings of visible units. The input is a sum over sites, so that
a Fourier series of the log-partition splits into factors of one site each: mean over rows and sum over states are then
products of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError, NumericalError
from boltz.estimators.mutations import Substituted, states_checked
from boltz.foreign import short_repr
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import refuse_coupled
from boltz.models.gauge import take_mean
from boltz.parallel import Workers, workers
from boltz.units import Units

Array = NDArray[Any]
Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
TOLERANCE = 1e-8  # by which a series may be off, of how far its log-partition bends, or of BEND
BEND = 10.0  # nats
MODES = (0, 8, 16, 32, 64, 128, 256, 512, 1024)  # frequencies that are tried, the fewest first
PERIOD = 2.0  # of a series, in lengths of the range that it must hold in
CUT = 1e-13  # share of the largest singular value below which the others count as 0
OVERSAMPLED = 4  # places a coefficient
BYTES = 24  # a coupling
TOGETHER = 1 << 20  # complex numbers of factors that are held at once


@dataclass(frozen=True, eq=False)
class Couplings:
    """Effective couplings of all pairs of sites, and one score a pair.

    couplings (sites, states, sites, states): in nats, in the zero-sum gauge, so that each block of a pair sums to 0
    over either state; 0 within a site. scores (sites, sites): the Frobenius norm of the block, less what both sites
    have with all others (average-product correction); 0 on the diagonal.
    """

    couplings: NDArray[np.float32] = field(repr=False)
    scores: Floats = field(repr=False)

    def __repr__(self) -> str:
        sites, states = self.couplings.shape[:2]
        return short_repr("Couplings", (f"{sites} sites of {states} states", f"{sites * (sites - 1) // 2:,} pairs"))


@dataclass(frozen=True, eq=False)
class Series:
    """c2 z^2 + real part of sum of coefficients exp(i frequency z): a log-partition but for a straight line."""

    square: float
    frequencies: Floats
    coefficients: Complex


def couplings(model: BoltzmannMachine, x: Any = None, gap: int | None = None) -> Couplings:
    """Effective couplings between the visible units of an RBM, averaged over backgrounds, visible rows x (rows, sites),
    or the couplings of a machine without hidden units, such as an Ising or a Potts model.

    For each row, log p of the row with states a and b at sites i and k, less what a and b do alone, is the coupling of
    (a, b) in this background; the mean over rows is in the zero-sum gauge (Tubiana, Cocco & Monasson 2019). A machine
    that is a Potts model has the couplings of that model, whatever the rows; without hidden units it needs none. scores
    are Frobenius norms of the blocks with average-product correction (Dunn, Wahl & Gloor 2008; Ekeberg et al. 2013).

    - model: visible units are bernoulli, spin or categorical; hidden ones have a single column, such as bernoulli,
      spin, gaussian, rectified or drelu.
    - gap: the code of a state that is left out of the norms, such as the gap of an alignment; None leaves out none.

    Values are exact within 1e-6 nats, or 1e-6 of the largest ones, which is checked. Time grows with sites^2 *
    (states^2 + rows) * hidden units: some hundreds of rows are enough. Raises InputError, and NumericalError for
    weights that are too large.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    refuse_coupled(model)
    found = Substituted.of(model)
    machine, states = found.machine, len(found.table)
    if not model.independent_hidden:
        raise InputError(
            "model must be an RBM: the hidden units of a deeper machine depend on one another, so that its couplings "
            "have no such form."
        )
    for layer in machine.layers[1:]:
        if layer.columns > 1:
            raise InputError(f"model must have hidden units of a single column, but they are {layer.kind}.")
    rows = _backgrounds(model, x)
    gap = None if gap is None else checks.integer(gap, "gap", 0, states - 1)
    codes, sites = found.codes(rows), len(found.own)
    checks.affordable((sites * states) ** 2, "the number of couplings", BYTES)
    total = np.zeros((sites, states, sites, states))
    with workers() as pool:
        for name, weight in found.weights.items():
            fields = machine.field(name, machine.evidence(rows.astype(np.float64)))
            take_mean(weight, 1)
            _Hidden(machine.unit_type(name), name, weight, codes, fields).add_to(total, pool)
    square = total.reshape(sites * states, -1)
    square += square.T
    if found.coupled is not None:
        total += _zero_sum(found.blocks())
    return Couplings(total.astype(np.float32), _corrected(_norms(total, gap)))


def _backgrounds(model: BoltzmannMachine, x: Any) -> Array:
    """Rows of states, none of a machine without hidden units where none are given; raises InputError."""
    if x is not None:
        return states_checked(model, x, "x")
    if model.graph.hidden:
        raise InputError(
            "x must hold rows as backgrounds, since what hidden units say of a pair depends on the others."
        )
    return np.zeros((0, model.units[model.visible]), model.dtype)


def _zero_sum(blocks: Floats) -> Floats:
    """Blocks of pairs (sites, states, sites, states) less their means over either state."""
    found = blocks - blocks.mean(axis=1, keepdims=True)
    return np.asarray(found - found.mean(axis=3, keepdims=True), np.float64)


@dataclass(frozen=True, eq=False)
class _Hidden:
    """A hidden layer: what states add to its inputs, less their mean at the site (sites, states, units), the codes of
    rows (rows, sites), and their inputs (rows, units).
    """

    kind: Units
    name: str
    weights: Floats
    codes: NDArray[np.int64]
    fields: Floats

    def add_to(self, total: Floats, pool: Workers) -> None:
        """total (sites, states, sites, states) += the couplings by this layer of sites with later ones."""
        sites, states, units = self.weights.shape
        series = _series(self.kind, self.name, *self._range())
        squares = np.array([2 * each.square for each in series])
        plain = self.weights.reshape(-1, units)

        def squared(i: int) -> None:
            found = (self.weights[i] * squares) @ plain[(i + 1) * states :].T
            total[i, :, i + 1 :] += found.reshape(states, -1, states)

        pool.map(squared, list(range(sites - 1)))
        curved = [(unit, each) for unit, each in enumerate(series) if len(each.frequencies)]
        most = max((len(each.frequencies) for _, each in curved), default=1)
        step = max(1, TOGETHER // (most * sites * (sites + states)))
        for first in range(0, len(curved), step):
            parts = pool.map(lambda part: self._factors(*part), curved[first : first + step])
            means, waves = (np.concatenate(each) for each in zip(*parts, strict=True))

            def add(i: int, means: Complex = means, waves: Complex = waves) -> None:
                left, right = waves[:, i], means[:, i, i + 1 :, None] * waves[:, i + 1 :]
                right = right.reshape(len(right), -1)
                found = left.real.T @ right.real - left.imag.T @ right.imag
                total[i, :, i + 1 :] += found.reshape(states, -1, states)

            pool.map(add, list(range(sites - 1)))

    def _own(self, unit: int) -> Floats:
        """What the states of the rows add to the input of a unit, (rows, sites)."""
        return self.weights[np.arange(self.weights.shape[0]), self.codes, unit]

    def _range(self) -> tuple[Floats, Floats]:
        """Bounds (units,) of the inputs of each unit when two sites of a row change."""
        least, most = self.weights.min(axis=1), self.weights.max(axis=1)
        low, high = np.empty(least.shape[1]), np.empty(least.shape[1])
        for unit, field_ in enumerate(self.fields.T):
            own = self._own(unit)
            low[unit] = (field_ + 2 * (least[:, unit] - own).min(axis=1)).min()
            high[unit] = (field_ + 2 * (most[:, unit] - own).max(axis=1)).max()
        return low, high

    def _factors(self, unit: int, series: Series) -> tuple[Complex, Complex]:
        """For each frequency the mean over rows without sites i and k (modes, sites, sites), times its coefficient, and
        the waves of states less their mean at the site (modes, sites, states).
        """
        waves = np.exp(1j * series.frequencies[:, None, None] * self.weights[:, :, unit])
        sites, field_ = np.arange(waves.shape[1]), self.fields[:, unit, None]
        means = np.empty((len(waves), len(sites), len(sites)), np.complex128)
        for mode, frequency in enumerate(series.frequencies):
            without = waves[mode].conj()[sites, self.codes]
            means[mode] = (np.exp(1j * frequency * field_) * without).T @ without
        means *= series.coefficients[:, None, None] / len(self.fields)
        take_mean(waves, 2)
        return means, waves


def _series(kind: Units, name: str, low: Floats, high: Floats) -> list[Series]:
    """A series for the log-partition of each unit, within TOLERANCE, on its range from low to high (units,).

    Fitted by least squares to a period longer than the range (Fourier extension, Huybrechs 2010), with as few
    frequencies as do; raises NumericalError where none do.
    """
    middle, half = (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)
    found: dict[int, Series] = {}
    for modes in MODES:
        waiting = np.array([unit for unit in range(len(low)) if unit not in found], np.int64)
        if not len(waiting):
            break
        at = np.linspace(-1, 1, OVERSAMPLED * (2 * modes + 3))
        between = (at[1:] + at[:-1]) / 2
        curve, wanted = (kind.log_partition(middle + half * y[:, None])[:, waiting] for y in (at, between))
        fitted = np.linalg.lstsq(_basis(at, modes), curve, rcond=CUT)[0]
        bend = np.abs(curve - curve[:1] - (at[:, None] + 1) / 2 * (curve[-1:] - curve[:1])).max(axis=0)
        good = np.abs(_basis(between, modes) @ fitted - wanted).max(axis=0) <= TOLERANCE * np.maximum(bend, BEND)
        for unit, c in zip(waiting[good], fitted.T[good], strict=True):
            frequencies = np.pi / PERIOD * np.arange(1, modes + 1) / half[unit]
            turned = (c[3 : 3 + modes] - 1j * c[3 + modes :]) * np.exp(-1j * frequencies * middle[unit])
            found[int(unit)] = Series(c[2] / half[unit] ** 2, frequencies, turned)
    if len(found) < len(low):
        widest = float((high - low).max())
        raise NumericalError(
            f"the inputs of hidden units in {name} change by up to {widest:.3g} with two sites, too far for couplings "
            "to be exact: train with smaller weights, such as by l2."
        )
    return [found[unit] for unit in range(len(low))]


def _basis(y: Floats, modes: int) -> Floats:
    """1, y, y^2, cosines and sines (places, 3 + 2 modes) at places in [-1, 1]."""
    waves = np.pi / PERIOD * y[:, None] * np.arange(1, modes + 1)
    return np.concatenate([y[:, None] ** np.arange(3), np.cos(waves), np.sin(waves)], axis=1)


def _norms(total: Floats, gap: int | None) -> Floats:
    """Frobenius norm of the block of each pair, (sites, sites), without a state that is a gap."""
    kept = np.array([code for code in range(total.shape[1]) if code != gap])
    found = np.stack([np.sqrt(np.square(block[kept][:, :, kept]).sum(axis=(0, 2))) for block in total])
    return (found + found.T) / 2


def _corrected(norms: Floats) -> Floats:
    """Norms less what both sites have with all others, 0 on the diagonal: F_ik - F_i F_k / F."""
    others = max(len(norms) - 1, 1)
    of_site = norms.sum(axis=1) / others
    found = norms - np.outer(of_site, of_site) / (of_site.mean() or 1.0)
    np.fill_diagonal(found, 0.0)
    return found
