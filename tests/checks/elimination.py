"""Checks of log Z by elimination against sums over every state, a transfer matrix, and a closed form."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from oracles import ising
from scipy.sparse import csr_array
from scipy.special import logsumexp

import boltz
from boltz.estimators.elimination import eliminated, order_of

Floats = NDArray[np.float64]


def by_elimination(model: Any) -> float:
    """log Z by elimination, also where enumerating would be quicker."""
    order = order_of(model)
    assert order is not None and sorted(order.units) == list(range(len(order.units)))
    return eliminated(model, order)


def random_pairs(sites: int, pairs: int, q: int, seed: int) -> tuple[Floats, Floats]:
    """Symmetric couplings (sites, sites, q, q) of so many random pairs of sites, and fields (sites, q)."""
    rng = np.random.default_rng(seed)
    every = [(i, j) for i in range(sites) for j in range(i)]
    couplings = np.zeros((sites, sites, q, q))
    for number in rng.choice(len(every), pairs, replace=False):
        i, j = every[number]
        couplings[i, j] = rng.normal(size=(q, q))
        couplings[j, i] = couplings[i, j].T
    return couplings, rng.normal(size=(sites, q))


def over_all_states(couplings: Floats, fields: Floats) -> float:
    """log Z of a Potts model, one state after the other."""
    sites, q = fields.shape
    return float(
        logsumexp(
            [
                sum(fields[i, a] for i, a in enumerate(x))
                + sum(couplings[i, j, x[i], x[j]] for i in range(sites) for j in range(i))
                for x in product(range(q), repeat=sites)
            ]
        )
    )


def check_sparse_potts_models() -> None:
    """Catches states, columns or couplings mixed up, on random graphs of sites with 2, 3 and 4 states."""
    for seed, (sites, pairs, q) in enumerate([(7, 9, 2), (6, 8, 3), (6, 15, 3), (5, 4, 4), (5, 10, 4)]):
        couplings, fields = random_pairs(sites, pairs, q, seed)
        flat = couplings.transpose(0, 2, 1, 3).reshape(sites * q, sites * q)
        truth = over_all_states(couplings, fields)
        for given in (csr_array(flat), flat):
            assert abs(by_elimination(boltz.potts(given, fields, states=q)) - truth) < 1e-11
        lone = np.concatenate([fields, [[0.3] * q]])  # a site that is coupled to no other
        larger = np.pad(flat, (0, q))
        found = by_elimination(boltz.potts(csr_array(larger), lone, states=q))
        assert abs(found - truth - np.log(q) - 0.3) < 1e-11


def check_spins_and_units() -> None:
    """Catches the states of spins and of 0/1 units mixed up, and a sum that overflows or loses strong couplings."""
    rng = np.random.default_rng(3)
    weights = np.triu(rng.normal(size=(9, 9)) * (rng.random((9, 9)) < 0.5), 1)
    weights, fields = weights + weights.T, rng.normal(size=9)
    for scale in (1.0, 300.0):
        sparse, given = csr_array(scale * weights), scale * fields
        bits = boltz.graph({"v": 9}, {("v", "v"): sparse}, biases={"v": given}, dtype=float)
        for low, model in ((-1, boltz.ising(sparse, given)), (0, bits)):
            x = np.array(list(product((low, 1), repeat=9)), float)
            truth = logsumexp(scale * (np.einsum("ai,ij,aj->a", x, weights, x) / 2 + x @ fields))
            assert abs(by_elimination(model) - truth) < 1e-11 * scale


def strip_log_z(length: int, width: int, coupling: float, fields: Floats, around: bool) -> float:
    """log Z of an open strip of spins, closed across where around says so, by vectors of 2^width weights of a row."""
    s = np.array(list(product((-1.0, 1.0), repeat=width)))
    across = coupling * ((s * np.roll(s, 1, axis=1)).sum(axis=1) if around else (s[:, 1:] * s[:, :-1]).sum(axis=1))
    between = coupling * s @ s.T
    found = across + s @ fields[0]
    for row in range(1, length):
        found = logsumexp(found + between, axis=1) + across + s @ fields[row]
    return float(logsumexp(found))


def sizes(joined: NDArray[np.bool_], order: Any) -> int:
    """Numbers of the largest table of spins summed out in an order, which must say so, and how many all have."""
    joined, tables = joined.copy(), []
    for unit in order.units:
        near = np.flatnonzero(joined[unit])
        tables.append(2 ** (len(near) + 1))
        joined[np.ix_(near, near)] = True
        joined[near, near] = joined[unit] = joined[:, unit] = False
    assert (max(tables), sum(tables)) == (order.largest, order.work)
    return max(tables)


def check_lattices() -> None:
    """Catches a wrong lattice or order: tori by Kaufman's closed form, strips and cylinders by a transfer matrix."""
    for sides, coupling in (((6, 6), 0.4407), ((5, 8), 0.3), ((9, 7), 0.6)):
        found = boltz.exact_log_z(boltz.ising(boltz.lattice(sides, coupling)))
        assert abs(found.value - ising.kaufman_log_z(*sides, coupling)) < 1e-10
        assert found.method.startswith("elimination, tables of ") and found.kind == "exact"
    fields = np.random.default_rng(0).normal(size=(13, 6))
    for around in (False, True):
        truth = strip_log_z(13, 6, 0.5, fields, around)
        for turned in (False, True):
            flags = [around, False] if turned else [False, around]
            couplings = boltz.lattice((6, 13) if turned else (13, 6), 0.5, flags)
            found = boltz.exact_log_z(boltz.ising(couplings, (fields.T if turned else fields).reshape(-1)))
            assert abs(found.value - truth) < 1e-10
            assert sizes(couplings.toarray() != 0, order_of(boltz.ising(couplings))) == (128 if around else 512)
