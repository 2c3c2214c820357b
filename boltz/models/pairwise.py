"""Machines of pairwise couplings between units that are all visible: Ising and Potts models, from arrays.

E(s) = - sum over pairs J_ij s_i s_j - sum_i h_i s_i with s = -1 or 1 (Ising 1925), and
E(x) = - sum over pairs J_ij(x_i, x_j) - sum_i h_i(x_i) with q states (Potts 1952). Each pair counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, issparse

from boltz import checks
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge, Graph, Layer
from boltz.models.pairs import Pairs
from boltz.units import MOST_STATES
from boltz.units.onehot import shape_of

Array = NDArray[Any]
LAYER = "v"
MOST_UNITS = 10**8


def ising(couplings: Any, fields: Any = 0.0, dtype: Any = None) -> BoltzmannMachine:
    """The Ising model of spins -1 and 1: p(s) proportional to exp(sum over pairs J_ij s_i s_j + sum h_i s_i).

    The inverse temperature is 1: multiply couplings and fields by any other.

    couplings (spins, spins): symmetric with zeros on the diagonal, dense or a SciPy sparse matrix, each pair counting
    once; of sparse ones only those that are there take memory and time. boltz.lattice makes those of a lattice. fields:
    (spins,), or one number for all. dtype: float32 or float64, by default that of the couplings. Raises InputError.
    """
    weights, pairs, units = _couplings(couplings, 1, dtype)
    return _machine(units, "spin", weights, pairs, _fields(fields, (units,)))


def potts(couplings: Any, fields: Any = 0.0, states: int | None = None, dtype: Any = None) -> BoltzmannMachine:
    """The Potts model of sites with q states at inverse temperature 1.

    couplings: (sites, sites, q, q), J[i, j, a, b] that of state a of site i and b of site j, equal to J[j, i, b, a], 0
    where i = j; or a matrix (sites * q, sites * q), dense or a SciPy sparse one, with states=q. Of couplings (sites,
    sites) between equal states it is scipy.sparse.kron(couplings, numpy.eye(q)). fields: (sites, q), or (sites * q,),
    or one number for all. dtype: float32 or float64, by default that of the couplings. Raises InputError.
    """
    states = None if states is None else checks.integer(states, "states", 2, MOST_STATES)
    if not issparse(couplings) and len(shape_of(couplings)) == 4:
        found = checks.array(couplings, "couplings", shape_of(couplings))
        sites, q = found.shape[0], found.shape[3]
        if found.shape != (sites, sites, q, q) or states not in (None, q):
            raise InputError(f"couplings must have shape (sites, sites, q, q), with q = states, got {found.shape}.")
        states, couplings = q, found.transpose(0, 2, 1, 3).reshape(sites * q, sites * q)
    q = checks.integer(states, "states", 2, MOST_STATES)
    weights, pairs, units = _couplings(couplings, q, dtype)
    if units % q:
        raise InputError(f"couplings must have {q} columns a site, got {units} in all{_equal_states(q)}.")
    shape = (units // q, q) if len(shape_of(fields)) == 2 else (units,)
    return _machine(units, f"categorical:{q}", weights, pairs, _fields(fields, shape).reshape(-1))


def lattice(shape: Sequence[int], coupling: Any = 1.0, periodic: Any = True) -> csr_array:
    """The couplings (sites, sites) of a rectangular lattice of any dimension, the same between all nearest neighbours.

    coupling: one number, or one for each axis. Sites are numbered as in an array of this shape. periodic: whether
    opposite ends are neighbours, True or False, or one of these for each axis, such as [True, False] for a cylinder;
    along an axis of two sites they are so once. Couplings of 0 are kept, so that training may change them. Raises
    InputError.
    """
    listed = checks.sequence(shape, "shape", 10)
    sizes = [checks.integer(n, f"shape[{i}]", 1, MOST_UNITS) for i, n in enumerate(listed)]
    if not sizes:
        raise InputError("shape must name at least one axis, got none.")
    sites = checks.integer(int(np.prod(sizes, dtype=np.float64)), "the number of sites by shape", 2, MOST_UNITS)
    each = coupling if isinstance(coupling, list | tuple) else [coupling] * len(sizes)
    if len(each) != len(sizes):
        raise InputError(f"coupling must be one number, or one for each of the {len(sizes)} axes, got {len(each)}.")
    strengths = [checks.number(x, f"coupling[{i}]", -1e6, 1e6) for i, x in enumerate(each)]
    closed = _flags(periodic, len(sizes))
    numbers, parts = np.arange(sites).reshape(sizes), []
    for axis, (size, strength) in enumerate(zip(sizes, strengths, strict=True)):
        around = closed[axis] and size > 2
        here = numbers if around else numbers.take(np.arange(size - 1), axis)
        there = np.roll(numbers, -1, axis) if around else numbers.take(np.arange(1, size), axis)
        parts.append((here.reshape(-1), there.reshape(-1), np.full(here.size, strength)))
    rows, columns, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    both = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    return coo_array((np.tile(values, 2), both), shape=(sites, sites)).tocsr()


def _flags(periodic: Any, axes: int) -> list[bool]:
    """Whether opposite ends are neighbours along each axis; raises InputError."""
    each = list(periodic) if isinstance(periodic, list | tuple) else [periodic] * axes
    if len(each) != axes or not all(isinstance(x, bool) for x in each):
        raise InputError(
            f"periodic must be True or False, or one of these for each of {axes} axes, got {checks.brief(periodic)}."
        )
    return each


def _couplings(given: Any, columns: int, dtype: Any) -> tuple[Array, Pairs | None, int]:
    """Weights of symmetric couplings, the pairs of sparse ones, and how many columns they have; raises InputError."""
    wanted = None if dtype is None else checks.floating(dtype, "dtype")
    if issparse(given):
        return _sparse(given, columns, wanted)
    found = checks.array(given, "couplings", (None, None))
    units = len(found)
    if found.shape != (units, units) or units < 1:
        raise InputError(f"couplings must have as many rows as columns, got shape {found.shape}.")
    if not np.array_equal(found, found.T):
        once = not np.tril(found).any() or not np.triu(found).any()
        remedy = ": give couplings + couplings.T" if once else ""
        raise InputError(f"couplings must be symmetric, since each pair counts once{remedy}.")
    kind = wanted or (found.dtype if found.dtype.kind == "f" else np.dtype(np.float64))
    rows = np.arange(units)
    for shift in range(min(columns, units)):
        here = rows[: units - shift][rows[: units - shift] // columns == rows[shift:] // columns]
        if found[here, here + shift].any():
            raise _to_itself(columns)
    return _cast(found, kind).reshape(-1), None, units


def _equal_states(columns: int) -> str:
    """What to give for couplings between equal states."""
    return f": for couplings between equal states give scipy.sparse.kron(couplings, numpy.eye({columns}))"


def _to_itself(columns: int) -> InputError:
    if columns == 1:
        return InputError("couplings must be 0 on the diagonal, since no unit is coupled to itself.")
    return InputError(f"couplings must be 0 between the {columns} states of one site{_equal_states(columns)}.")


def _cast(values: Array, kind: Any) -> Array:
    """Couplings or fields in another floating type; raises InputError for those beyond its range."""
    with np.errstate(over="ignore"):
        found = values.astype(kind)
    if not np.isfinite(found).all():
        raise InputError(f"couplings and fields must lie in the range of {kind}, got {np.abs(values).max():g}.")
    return found


def _sparse(given: Any, columns: int, dtype: Any) -> tuple[Array, Pairs | None, int]:
    """The same of a sparse matrix; zeros that are stored count as couplings."""
    found = given.tocoo()
    units = found.shape[0]
    if found.ndim != 2 or found.shape[1] != units or not 1 <= units <= MOST_UNITS:
        raise InputError(f"couplings must have as many rows as columns, got shape {found.shape!s:.80}.")
    if found.data.dtype.kind not in "fiub":
        raise InputError(f"couplings must hold real numbers, got dtype {found.data.dtype!s:.40}.")
    matrix = found.tocsr()
    matrix.sum_duplicates()
    if not np.isfinite(matrix.data).all():
        raise InputError("couplings must be finite.")
    if abs(matrix - matrix.T).max() > 0:
        raise InputError("couplings must be symmetric, since each pair counts once.")
    coo = matrix.tocoo()
    rows, others = (np.asarray(x) for x in coo.coords)
    if (rows // columns == others // columns).any():
        raise _to_itself(columns)
    upper = rows < others
    kind = dtype or (coo.data.dtype if coo.data.dtype in (np.float32, np.float64) else np.dtype(np.float64))
    order = np.lexsort((others[upper], rows[upper]))
    return _cast(coo.data[upper][order], kind), Pairs.of(rows[upper], others[upper]), units


def _fields(given: Any, shape: tuple[int, ...]) -> Array:
    """Fields in this shape, one number standing for all; raises InputError."""
    if isinstance(given, int | float | np.number):
        return np.full(shape, checks.number(given, "fields", -1e30, 1e30))
    return checks.array(given, "fields", shape)


def _machine(units: int, kind: str, weights: Array, pairs: Pairs | None, fields: Array) -> BoltzmannMachine:
    """A machine of one layer with couplings within it."""
    graph = Graph((Layer(LAYER, units, kind),), (Edge(LAYER, LAYER, pairs),))
    return BoltzmannMachine(graph, np.concatenate([weights, _cast(fields, weights.dtype)]))
