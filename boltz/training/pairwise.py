"""The inverse Ising and Potts problem: couplings and fields of a machine without hidden units, by pseudo-likelihood.

The mean over rows of sum_i log p(x_i | all other units) (Besag 1975) is concave in couplings and fields, and needs no
log Z. All conditionals share one symmetric matrix of couplings and are fitted at once, as in the symmetric plmDCA of
Ekeberg, Lovkvist, Lan, Weigt & Aurell (2013).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz import progress as progress_of
from boltz.arrays import host
from boltz.data.row_weights import checked_weights
from boltz.errors import InputError, NumericalError
from boltz.foreign import html_table, short_repr
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import visible_rows
from boltz.models.graph import Edge, bias_key
from boltz.parallel import workers
from boltz.progress import Asked, Progress, Report
from boltz.training.pseudo_likelihood import BYTES, Penalties, Problem, centred, coupled_pairs, minimised
from boltz.units import Units
from boltz.units.onehot import not_states
from boltz.units.states import are_states, ends, smoothed

Array = NDArray[Any]
Floats = NDArray[np.float64]
STRENGTH = 0.01  # of the default penalties
PRECISION = 0.01  # of the gradient, of what chance leaves in it
MOST_PENALTY = 1e9


@dataclass(frozen=True, eq=False)
class PairwiseFit:
    """A machine with couplings and fields fitted by boltz.fit_pairwise, and how good they are.

    pseudo_likelihood: the mean over rows of sum_i log p(x_i | rest), in nats. objective: its negative with the
    penalties, which was minimised. gradient_norm: the largest component of the gradient of the objective, in size; with
    l1 that of the smallest subgradient. converged: whether it is at most the tolerance. l2, l2_fields, l1: the
    penalties that were used.
    """

    model: BoltzmannMachine
    objective: float
    pseudo_likelihood: float
    gradient_norm: float
    iterations: int
    converged: bool
    seconds: float
    l2: float
    l2_fields: float
    l1: float = field(default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the machine."""
        names = ("objective", "pseudo_likelihood", "gradient_norm", "iterations", "converged", "seconds")
        return {name: getattr(self, name) for name in (*names, "l2", "l2_fields", "l1")}

    def __str__(self) -> str:
        return f"Couplings of {self.model.architecture}: {', '.join(self._parts().values())}."

    def __repr__(self) -> str:
        return short_repr("PairwiseFit", (self.model.architecture, *self._parts().values()))

    def _repr_html_(self) -> str:
        return html_table("Pairwise fit", [("machine", self.model.architecture), *self._parts().items()])

    def _parts(self) -> dict[str, str]:
        """What a text and a table say alike, by name."""
        end = "converged" if self.converged else "NOT converged"
        l1 = f", l1 {self.l1:.3g}" if self.l1 else ""
        return {
            "value": f"pseudo-likelihood {self.pseudo_likelihood:.4f} nats a row",
            "end": f"{end} after {self.iterations:,} iterations in {self.seconds:.1f} s",
            "gradient": f"gradient {self.gradient_norm:.1e}",
            "penalties": f"l2 {self.l2:.3g} and {self.l2_fields:.3g} of fields{l1}",
        }


def fit_pairwise(
    model: BoltzmannMachine,
    x: Any,
    l2: float | None = None,
    l2_fields: float | None = None,
    l1: float = 0.0,
    weights: Any = None,
    tolerance: float | None = None,
    iterations: int = 1000,
    progress: Asked = None,
) -> PairwiseFit:
    """Couplings and fields of a machine without hidden units by the largest pseudo-likelihood of visible rows x.

    What is minimised is the mean over rows of -sum_i log p(x_i | rest) + l2 sum J^2 + l2_fields sum h^2 + l1 sum |J|,
    each pair counting once (Besag 1975; Ekeberg et al. 2013). It has one minimum, found in float64 from independent
    units: the parameters that the machine has do not matter.

    - model: one visible layer with couplings within it, dense ones, or sparse ones, of which only those that are there
      are fitted: boltz.boltzmann(24), boltz.boltzmann(53, units=("categorical", 21)), boltz.ising(boltz.lattice(...)).
    - x: states (rows, units), or codes (rows, sites) of categorical units.
    - l2: by default 0.01 (q - 1) (sites - 1) / rows with q states, as for alignments in Hopf et al. (2017). It is weak
      for spins, and goes to 0 with many rows. 0.01 is that of Ekeberg et al. (2013). l2_fields: by default 0.01 / rows.
    - l1: at the minimum many couplings are exactly 0.
    - weights: of rows, such as those of boltz.sequence_weights. Rows then count as their sum by the largest of them.
    - tolerance: the largest component of the gradient, in nats a row, at which the fit ends, by default 0.01 over the
      root of the rows, a hundredth of what chance leaves in it; or it ends after so many iterations of L-BFGS (Byrd,
      Lu, Nocedal & Zhu 1995).
    - progress: True for a bar, or a function of (stage, done, total).

    Couplings of categorical units are in the zero-sum gauge. With l1, or where only some states of a pair are coupled,
    only fields are. The machine keeps the mean states of the rows, from which boltz.ais starts. Raises InputError, and
    NumericalError where numbers are not finite.
    """
    machine, edge = _pairwise(model)
    rows = _rows(machine, x)
    shares = _shares(weights, len(rows))
    penalties = _penalties(machine, 1 / shares.max(), l2, l2_fields, l1)
    end = PRECISION * shares.max() ** 0.5 if tolerance is None else checks.number(tolerance, "tolerance", 0)
    most = checks.integer(iterations, "iterations", 1, checks.MOST_STEPS)
    progress_of.check(progress)
    fit = _fit(machine, edge, (rows, shares), penalties, (float(end), most), progress)
    return replace(fit, model=fit.model.to(model.device))


def _fit(
    machine: BoltzmannMachine,
    edge: Edge,
    given: tuple[Array, Floats],
    penalties: Penalties,
    limit: tuple[float, int],
    progress: Asked,
) -> PairwiseFit:
    """The fit to rows (rows, units) with shares (rows,), both given and checked."""
    began, (rows, shares) = time.perf_counter(), given
    kind, rate = machine.unit_type(machine.visible), _rates(machine, rows, shares, penalties)
    pairs = coupled_pairs(edge, rows.shape[1], machine.layers[0].columns)
    checks.affordable(len(pairs[0]), "the number of couplings", BYTES * (2 if penalties.l1 else 1))
    with workers() as pool, _told(progress) as report:
        problem = Problem(kind, rows, shares, *pairs, pool)
        found, steps = minimised(problem, penalties, rate, limit, report)
    norm = found.norm()
    return PairwiseFit(
        _fitted(machine, edge, problem, found.parameters, rate, penalties),
        found.value + penalties.of(found.parameters, problem.count),
        -found.value,
        norm,
        steps,
        norm <= limit[0],
        time.perf_counter() - began,
        penalties.l2,
        penalties.l2_fields,
        penalties.l1,
    )


def _pairwise(model: Any) -> tuple[BoltzmannMachine, Edge]:
    """The machine on the host, and the edge within its only layer; raises InputError."""
    found = checked_model(model, any_units=True, any_graph=True)
    if len(found.layers) > 1:
        raise InputError(
            f"model must have one visible layer with couplings within it and no other, got {found.kind} "
            f"{found.architecture}: boltz.boltzmann(units) makes one, and boltz.train learns with hidden units."
        )
    return found.to("cpu"), found.graph.edges[0]


def _rows(machine: BoltzmannMachine, x: Any) -> Array:
    """Visible rows (rows, units) that are states; raises InputError."""
    rows = host(visible_rows(machine, x))
    if not are_states(machine.layers[0].type, rows):
        raise InputError(not_states("x", machine.layers[0]))
    return rows


def _shares(weights: Any, count: int) -> Floats:
    """What share of the whole each row has, (rows,)."""
    found = checked_weights(weights, count)
    return np.full(count, 1 / count) if found is None else found / found.sum()


def _penalties(machine: BoltzmannMachine, count: float, l2: Any, l2_fields: Any, l1: Any) -> Penalties:
    """The penalties as given, or the usual ones for so many rows; raises InputError."""
    layer = machine.layers[0]
    each = STRENGTH * (max(layer.columns, 2) - 1) * max(layer.units // layer.columns - 1, 1)
    return Penalties(
        each / count if l2 is None else checks.number(l2, "l2", 0, MOST_PENALTY),
        STRENGTH / count if l2_fields is None else checks.number(l2_fields, "l2_fields", 0, MOST_PENALTY),
        checks.number(l1, "l1", 0, MOST_PENALTY),
    )


def _rates(machine: BoltzmannMachine, rows: Array, shares: Floats, penalties: Penalties) -> Floats:
    """Mean states (units,) of the rows, kept off the ends; raises InputError where a state that is never taken has no
    finite field.
    """
    support = machine.layers[0].type.support
    assert support is not None
    seen = np.stack([((rows == state) & (shares > 0)[:, None]).any(axis=0) for state in support])
    if penalties.l2_fields == 0 and not seen.all():
        state, unit = (int(n) for n in np.argwhere(~seen)[0])
        raise InputError(
            f"l2_fields must be above 0, since column {unit} of x is never {support[state]:g}, so that its best field "
            "is infinite."
        )
    count = 1 / shares.max()
    total = (shares @ rows) * count
    return np.asarray(smoothed(machine.unit_type(machine.visible), total, count), np.float64)


def _fitted(
    machine: BoltzmannMachine, edge: Edge, problem: Problem, found: Floats, rate: Floats, penalties: Penalties
) -> BoltzmannMachine:
    """The machine with these couplings and fields, in their gauge, and the mean states of the rows."""
    couplings, fields = found[: problem.count], found[problem.count :]
    columns = problem.kind.columns
    if columns > 1 and not penalties.l1:
        couplings, fields = _zero_sum(problem, couplings, fields)
    dtype, name = machine.dtype, machine.visible
    with np.errstate(over="ignore"):
        rates = {name: _within(problem.kind, rate.astype(dtype))}
        made = replace(machine, arena=np.zeros_like(machine.arena), rates=rates)
        made.params[bias_key(name)][...] = centred(fields, columns)
        made.params[edge.key][...] = problem.matrix(couplings) if edge.pairs is None else couplings
    if not np.isfinite(made.arena).all():
        raise NumericalError(f"Couplings or fields lie beyond the range of {dtype}: try a larger l2.")
    return made


def _within(kind: Units, rate: Array) -> Array:
    """Mean states that their type may have rounded to the ends of their range, between these."""
    low, high = (rate.dtype.type(end) for end in ends(kind))
    return np.clip(rate, np.nextafter(low, high), np.nextafter(high, low))


def _zero_sum(problem: Problem, couplings: Floats, fields: Floats) -> tuple[Floats, Floats]:
    """Couplings and fields of the same law in the zero-sum gauge; as they are where a pair lacks some of its states."""
    q, units = problem.kind.columns, len(fields)
    sites, (first, second) = units // q, (problem.first, problem.second)
    pair = first // q * sites + second // q
    if (np.bincount(np.unique(pair, return_inverse=True)[1]) != q * q).any():
        return couplings, fields
    moved = fields.copy()
    parts = []
    for own, key in ((first, first * sites + second // q), (second, second * sites + first // q)):
        _, where, number = np.unique(key, return_index=True, return_inverse=True)
        means = np.bincount(number, couplings) / q
        np.add.at(moved, own[where], means)
        parts.append(means[number])
    number = np.unique(pair, return_inverse=True)[1]
    return couplings - parts[0] - parts[1] + (np.bincount(number, couplings) / q**2)[number], moved


@contextmanager
def _told(progress: Asked) -> Iterator[Report]:
    """What hears of the iterations: a bar, the caller's function, or nobody."""
    if progress is True:
        with Progress() as bar:
            yield bar.report
    else:
        yield progress_of.heard(progress or None)
