"""The pseudo-likelihood of couplings and fields, with its gradient and penalties, and where it is largest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from boltz.errors import NumericalError
from boltz.models.graph import Edge
from boltz.parallel import Workers, blocks
from boltz.progress import Report
from boltz.units import Units

Array = NDArray[Any]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
AT_ONCE = 1 << 23  # numbers of rows that are worked on together
BLOCK = 256  # rows of a thread
FEW = 32  # couplings count as few where a dense matrix has so many times as many entries
MEMORY, SEARCHES = 10, 40  # of L-BFGS: updates that it keeps, and steps of a line search
LEAST = 1e-12  # second derivative
BYTES = 8 * (2 * MEMORY + 12)  # a coupling


def coupled_pairs(edge: Edge, units: int, columns: int) -> tuple[Numbers, Numbers, bool]:
    """The columns that are coupled, (couplings,) each, the lower one first; and whether they are few."""
    if edge.pairs is not None:
        few = FEW * edge.pairs.count < units * units
        return edge.pairs.rows.astype(np.int64), edge.pairs.columns.astype(np.int64), few
    rows, others = np.triu_indices(units, 1)
    apart = rows // columns != others // columns
    return rows[apart], others[apart], False


@dataclass(frozen=True)
class Penalties:
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
class Problem:
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
class Descent:
    """The objective as its minimisation sees it, and what it was where it was looked at last.

    With l1, couplings are a difference of two parts that are not below 0, in which the objective is smooth
    (Figueiredo, Nowak & Wright 2007): a part at its bound is exactly 0. In place of fields there are those of the mean
    states, h + J means (units,), and all is divided by scale (parameters,), so that the objective bends about as much
    along all of them where units are independent.
    """

    problem: Problem
    penalties: Penalties
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


def minimised(
    problem: Problem, penalties: Penalties, rate: Floats, limit: tuple[float, int], report: Report
) -> tuple[Descent, int]:
    """The objective where it is smallest, and iterations."""
    count = problem.count
    descent, done = Descent(problem, penalties, rate, _scale(problem, penalties, rate)), 0

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
    start[parts:] = alone(problem.kind, rate) / descent.scale[count:]
    bounds = [(0, None)] * parts + [(None, None)] * (len(start) - parts) if descent.parts == 2 else None
    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": limit[1], "maxfun": SEARCHES * limit[1]}
    options |= {"maxcor": MEMORY, "maxls": SEARCHES}
    found = minimize(descent.look, start, jac=True, method="L-BFGS-B", bounds=bounds, callback=after, options=options)
    if not np.isfinite(found.fun) or not np.isfinite(found.x).all():
        raise NumericalError("The fit stopped since its numbers are not finite: try a larger l2.")
    if not np.array_equal(found.x, descent.place):
        descent.look(np.asarray(found.x, np.float64))
    return descent, done


def _scale(problem: Problem, penalties: Penalties, rate: Floats) -> Floats:
    """One over the root of the second derivative of the objective by each parameter, where units are independent."""
    variance = problem.kind.variance(alone(problem.kind, rate))
    bend = problem.product(variance, variance) + 2 * penalties.l2
    return np.asarray(1 / np.sqrt(np.concatenate([bend, variance + 2 * penalties.l2_fields]) + LEAST))


def alone(kind: Units, rate: Floats) -> Floats:
    """Fields of units without couplings that have these means, those of the columns of a unit summing to 0."""
    return centred(np.asarray(kind.natural(rate), np.float64), kind.columns)


def centred(fields: Floats, columns: int) -> Floats:
    """Fields whose sum over the columns of a unit is 0, where a unit has several."""
    if columns == 1:
        return fields
    by_unit = fields.reshape(-1, columns)
    return (by_unit - by_unit.mean(axis=1, keepdims=True)).reshape(-1)
