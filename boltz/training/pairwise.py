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
from scipy.optimize import minimize
from scipy.sparse import csr_array

from boltz import checks
from boltz import progress as progress_of
from boltz.arrays import host
from boltz.data.row_weights import checked_weights
from boltz.errors import InputError, NumericalError
from boltz.foreign import html_table, short_repr
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.files import visible_rows
from boltz.models.graph import Edge, bias_key
from boltz.parallel import Workers, blocks, workers
from boltz.progress import Asked, Progress, Report
from boltz.units import Units
from boltz.units.onehot import not_states
from boltz.units.states import are_states, smoothed

Array = NDArray[Any]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
STRENGTH = 0.01  # of the default penalties
PRECISION = 0.01  # of the gradient, of what chance leaves in it
AT_ONCE = 1 << 23  # numbers of rows that are worked on together
BLOCK = 256  # rows of a thread
FEW = 32  # couplings count as few where a dense matrix has so many times as many entries
MEMORY, SEARCHES = 10, 40  # of L-BFGS: updates that it keeps, and steps of a line search
LEAST = 1e-12  # second derivative
BYTES = 8 * (2 * MEMORY + 12)  # a coupling
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
    penalties: _Penalties,
    limit: tuple[float, int],
    progress: Asked,
) -> PairwiseFit:
    """The fit to rows (rows, units) with shares (rows,), both given and checked."""
    began, (rows, shares) = time.perf_counter(), given
    kind, rate = machine.unit_type(machine.visible), _rates(machine, rows, shares, penalties)
    pairs = _pairs(edge, rows.shape[1], machine.layers[0].columns)
    checks.affordable(len(pairs[0]), "the number of couplings", BYTES * (2 if penalties.l1 else 1))
    with workers() as pool, _told(progress) as report:
        problem = _Problem(kind, rows, shares, *pairs, pool)
        found, steps = _minimised(problem, penalties, rate, limit, report)
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


def _penalties(machine: BoltzmannMachine, count: float, l2: Any, l2_fields: Any, l1: Any) -> _Penalties:
    """The penalties as given, or the usual ones for so many rows; raises InputError."""
    layer = machine.layers[0]
    each = STRENGTH * (max(layer.columns, 2) - 1) * max(layer.units // layer.columns - 1, 1)
    return _Penalties(
        each / count if l2 is None else checks.number(l2, "l2", 0, MOST_PENALTY),
        STRENGTH / count if l2_fields is None else checks.number(l2_fields, "l2_fields", 0, MOST_PENALTY),
        checks.number(l1, "l1", 0, MOST_PENALTY),
    )


def _rates(machine: BoltzmannMachine, rows: Array, shares: Floats, penalties: _Penalties) -> Floats:
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


def _pairs(edge: Edge, units: int, columns: int) -> tuple[Numbers, Numbers, bool]:
    """The columns that are coupled, (couplings,) each, the lower one first; and whether they are few."""
    if edge.pairs is not None:
        few = FEW * edge.pairs.count < units * units
        return edge.pairs.rows.astype(np.int64), edge.pairs.columns.astype(np.int64), few
    rows, others = np.triu_indices(units, 1)
    apart = rows // columns != others // columns
    return rows[apart], others[apart], False


@dataclass(frozen=True)
class _Penalties:
    """What couplings and fields cost beside the pseudo-likelihood."""

    l2: float
    l2_fields: float
    l1: float

    def of(self, parameters: Floats, couplings: int) -> float:
        """All penalties of couplings and fields, the former first."""
        absolute = float(np.abs(parameters[:couplings]).sum())
        return self.smooth(parameters, couplings)[0] + self.l1 * absolute

    def smooth(self, parameters: Floats, couplings: int) -> tuple[float, Floats]:
        """Those that have a derivative, and this."""
        each = np.full(len(parameters), self.l2_fields)
        each[:couplings] = self.l2
        return float(each @ parameters**2), 2 * each * parameters

    def smallest(self, parameters: Floats, slope: Floats, couplings: int) -> Floats:
        """The subgradient of the objective that has the smallest components, given the gradient without penalties."""
        found = slope + self.smooth(parameters, couplings)[1]
        part, at = found[:couplings], parameters[:couplings]
        aside = np.sign(part) * np.maximum(np.abs(part) - self.l1, 0)
        part[...] = np.where(at == 0, aside, part + self.l1 * np.sign(at))
        return found


@dataclass(frozen=True, eq=False)
class _Problem:
    """Rows (rows, units) of states with their shares (rows,), and the pairs of columns that are coupled.

    few: whether couplings make a sparse matrix. Parameters are couplings (pairs,) and fields (units,), end to end.
    """

    kind: Units
    rows: Array
    shares: Floats
    first: Numbers
    second: Numbers
    few: bool
    pool: Workers

    @property
    def count(self) -> int:
        """Number of couplings."""
        return len(self.first)

    def matrix(self, couplings: Floats) -> Any:
        """The symmetric matrix (units, units) of couplings, sparse where they are few."""
        units = self.rows.shape[1]
        if self.few:
            half = csr_array((couplings, (self.first, self.second)), shape=(units, units))
            return (half + half.T).tocsr()
        found = np.zeros((units, units))
        found[self.first, self.second] = couplings
        found[self.second, self.first] = couplings
        return found

    def heard(self, couplings: Floats, states: Floats) -> Floats:
        """What units hear from all others in states (units,), (units,)."""
        there = np.bincount(self.second, couplings * states[self.first], len(states))
        return np.asarray(there + np.bincount(self.first, couplings * states[self.second], len(states)), np.float64)

    def product(self, one: Floats, other: Floats) -> Floats:
        """one (units,) of a unit times other of its partner, both ways, (couplings,)."""
        return one[self.first] * other[self.second] + other[self.first] * one[self.second]

    def value(self, parameters: Floats) -> tuple[float, Floats]:
        """The mean over rows of -sum_i log p(x_i | rest) in nats, and its gradient."""
        weight, bias = self.matrix(parameters[: self.count]), parameters[self.count :]
        slope, total = np.zeros(len(parameters)), 0.0
        of_pairs: Any = np.zeros(self.count) if self.few else np.zeros((len(bias), len(bias)))
        step = max(AT_ONCE // len(bias), BLOCK)
        for start in range(0, len(self.rows), step):
            part = slice(start, start + step)
            states = self._operand(self.rows[part])
            left = np.empty((len(self.rows[part]), len(bias)))
            parts = [slice(start + b.start, start + b.stop) for b in blocks(len(left), BLOCK)]

            def work(rows: slice, states: Any = states, left: Floats = left, start: int = start) -> float:
                here = slice(rows.start - start, rows.stop - start)
                return self._residual(states[here], weight, bias, rows, left[here])

            total += sum(self.pool.map(work, parts))
            slope[self.count :] += left.sum(axis=0)
            self._correlate(states, left, of_pairs)
        slope[: self.count] = of_pairs if self.few else (of_pairs + of_pairs.T)[self.first, self.second]
        return total, slope

    def _operand(self, rows: Array) -> Any:
        """Rows in the form that is multiplied: float64, or sparse where most of their numbers are 0."""
        wide = rows.astype(np.float64)
        return csr_array(wide) if self.kind.columns > 2 and not self.few else wide

    def _residual(self, states: Any, weight: Any, bias: Floats, rows: slice, left: Floats) -> float:
        """left (rows, units) := mean given the rest less state, times the share of the row; returns their value."""
        fields = (weight @ states.T).T if self.few else states @ weight
        fields += bias
        seen, shares = self.rows[rows].astype(np.float64), self.shares[rows]
        log_p = np.einsum("ij,ij->i", fields, seen) - self.kind.base_energy(seen)
        log_p -= self.kind.total_log_partition(fields)
        left[...] = self.kind.mean(fields)
        left -= seen
        left *= shares[:, None]
        return -float(shares @ log_p)

    def _correlate(self, states: Any, left: Floats, total: Any) -> None:
        """total += states^T left: of the pairs that are few in both directions, else of all columns."""
        if not self.few:

            def column(part: slice) -> None:
                total[:, part] += states.T @ left[:, part]

            self.pool.map(column, blocks(left.shape[1]))
            return
        turned, error = np.ascontiguousarray(states.T), np.ascontiguousarray(left.T)

        def some(part: slice) -> None:
            first, second = self.first[part], self.second[part]
            total[part] += np.einsum("pr,pr->p", turned[first], error[second])
            total[part] += np.einsum("pr,pr->p", error[first], turned[second])

        self.pool.map(some, blocks(self.count, max(AT_ONCE // len(left) // 8, 1)))


@dataclass(eq=False)
class _Descent:
    """The objective as its minimisation sees it, and what it was where it was looked at last.

    With l1, couplings are a difference of two parts that are not below 0, in which the objective is smooth
    (Figueiredo, Nowak & Wright 2007): a part at its bound is exactly 0. In place of fields there are those of the mean
    states, h + J means (units,), and all is divided by scale (parameters,), so that the objective bends about as much
    along all of them where units are independent.
    """

    problem: _Problem
    penalties: _Penalties
    means: Floats
    scale: Floats

    def __post_init__(self) -> None:
        self.parts = 2 if self.penalties.l1 else 1
        self.count = self.problem.count
        self.place, self.parameters, self.value, self.slope = np.empty(0), np.empty(0), np.inf, np.empty(0)

    def joined(self, place: Floats) -> Floats:
        """Couplings and fields at a place."""
        apart, fields = place[: self.count], place[self.parts * self.count :]
        if self.parts == 2:
            apart = apart - place[self.count : 2 * self.count]
        found = np.concatenate([apart, fields]) * self.scale
        found[self.count :] -= self.problem.heard(found[: self.count], self.means)
        return found

    def look(self, place: Floats) -> tuple[float, Floats]:
        """The objective at a place, and its gradient there."""
        parameters = self.joined(place)
        value, slope = self.problem.value(parameters)
        self.place, self.parameters, self.value, self.slope = place.copy(), parameters, value, slope
        extra, more = self.penalties.smooth(parameters, self.count)
        along = slope + more
        along[: self.count] -= self.problem.product(along[self.count :], self.means)
        if self.parts == 1:
            return value + extra, along * self.scale
        l1, of_pairs, scale = self.penalties.l1, along[: self.count], self.scale[: self.count]
        cost = l1 * float((place[: self.count] + place[self.count : 2 * self.count]) @ scale)
        both = (of_pairs + l1) * scale, (l1 - of_pairs) * scale, (along * self.scale)[self.count :]
        return value + extra + cost, np.concatenate(both)

    def norm(self) -> float:
        """The largest component of the smallest subgradient, in size, where the objective was looked at last."""
        return float(np.abs(self.penalties.smallest(self.parameters, self.slope, self.count)).max())


def _minimised(
    problem: _Problem, penalties: _Penalties, rate: Floats, limit: tuple[float, int], report: Report
) -> tuple[_Descent, int]:
    """The objective where it is smallest, and iterations."""
    count = problem.count
    descent, done = _Descent(problem, penalties, rate, _scale(problem, penalties, rate)), 0

    def after(intermediate_result: Any) -> None:
        nonlocal done
        done += 1
        if not np.array_equal(intermediate_result.x, descent.place):
            descent.look(intermediate_result.x)
        norm = descent.norm()
        report(f"iteration: gradient {norm:.1e}", done, limit[1])
        if norm <= limit[0]:
            raise StopIteration

    parts = descent.parts * count
    start = np.zeros(parts + problem.rows.shape[1])
    start[parts:] = _alone(problem.kind, rate) / descent.scale[count:]
    bounds = [(0, None)] * parts + [(None, None)] * (len(start) - parts) if descent.parts == 2 else None
    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": limit[1], "maxfun": SEARCHES * limit[1]}
    options |= {"maxcor": MEMORY, "maxls": SEARCHES}
    found = minimize(descent.look, start, jac=True, method="L-BFGS-B", bounds=bounds, callback=after, options=options)
    if not np.isfinite(found.fun) or not np.isfinite(found.x).all():
        raise NumericalError("The fit stopped since its numbers are not finite: try a larger l2.")
    if not np.array_equal(found.x, descent.place):
        descent.look(np.asarray(found.x, np.float64))
    return descent, done


def _scale(problem: _Problem, penalties: _Penalties, rate: Floats) -> Floats:
    """One over the root of the second derivative of the objective by each parameter, where units are independent."""
    variance = problem.kind.variance(_alone(problem.kind, rate))
    bend = problem.product(variance, variance) + 2 * penalties.l2
    return np.asarray(1 / np.sqrt(np.concatenate([bend, variance + 2 * penalties.l2_fields]) + LEAST))


def _alone(kind: Units, rate: Floats) -> Floats:
    """Fields of units without couplings that have these means, those of the columns of a unit summing to 0."""
    return _centred(np.asarray(kind.natural(rate), np.float64), kind.columns)


def _centred(fields: Floats, columns: int) -> Floats:
    """Fields whose sum over the columns of a unit is 0, where a unit has several."""
    if columns == 1:
        return fields
    by_unit = fields.reshape(-1, columns)
    return (by_unit - by_unit.mean(axis=1, keepdims=True)).reshape(-1)


def _fitted(
    machine: BoltzmannMachine, edge: Edge, problem: _Problem, found: Floats, rate: Floats, penalties: _Penalties
) -> BoltzmannMachine:
    """The machine with these couplings and fields, in their gauge, and the mean states of the rows."""
    couplings, fields = found[: problem.count], found[problem.count :]
    columns = problem.kind.columns
    if columns > 1 and not penalties.l1:
        couplings, fields = _zero_sum(problem, couplings, fields)
    dtype, name = machine.dtype, machine.visible
    with np.errstate(over="ignore"):
        made = replace(machine, arena=np.zeros_like(machine.arena), rates={name: rate.astype(dtype)})
        made.params[bias_key(name)][...] = _centred(fields, columns)
        made.params[edge.key][...] = problem.matrix(couplings) if edge.pairs is None else couplings
    if not np.isfinite(made.arena).all():
        raise NumericalError(f"Couplings or fields lie beyond the range of {dtype}: try a larger l2.")
    return made


def _zero_sum(problem: _Problem, couplings: Floats, fields: Floats) -> tuple[Floats, Floats]:
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
