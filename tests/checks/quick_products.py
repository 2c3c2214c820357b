"""Quick checks of products and of how rows are dealt to threads."""

from __future__ import annotations

import numpy as np
from support.training import plain_train

import boltz
from boltz.kernels import cpu
from boltz.nn.dense import contractions


def check_products() -> None:
    """Products and contractions of states and of means, in both orders of the second factor, and a NaN weight."""
    rng = np.random.default_rng(1)
    for x in ((rng.random((40, 70)) < 0.3).astype(np.float32), rng.random((40, 70)).astype(np.float32)):
        weight, values = rng.normal(size=(70, 45)).astype(np.float32), rng.normal(size=(40, 45)).astype(np.float32)
        out, sums = np.empty((40, 45), np.float32), np.empty((70, 45), np.float32)
        for factor in (weight, np.asfortranarray(weight)):
            cpu.product(x, factor, out)
            assert np.allclose(out, x @ weight, atol=1e-4)
        cpu.contraction(x, values, sums)
        assert np.allclose(sums, x.T @ values, atol=1e-4)


def check_rows_alone() -> None:
    """A binary row gives the same bits beside rows of means."""
    rng = np.random.default_rng(3)
    x, weight = (rng.random((40, 70)) < 0.3).astype(np.float32), rng.normal(size=(70, 45)).astype(np.float32)
    found = []
    for _ in range(2):
        found.append(np.empty((40, 45), np.float32))
        cpu.product(x, weight, found[-1])
        x[30:] = 0.5
    assert np.array_equal(found[0][:30], found[1][:30])


def check_columns() -> None:
    """Products into some columns of a matrix leave the others, and have the bits of a whole one, as gradients have.

    Whole tiles, narrow ones, tables and real numbers; catches rows that lie elsewhere, columns that are left out.
    """
    rng = np.random.default_rng(5)
    for x in ((rng.random((40, 70)) < 0.3).astype(np.float32), rng.random((40, 70)).astype(np.float32)):
        weight, whole = rng.normal(size=(70, 150)).astype(np.float32), np.empty((40, 150), np.float32)
        cpu.product(x, weight, whole)
        for columns in (slice(0, 64), slice(64, 150), slice(130, 150)):
            out = np.full((40, 150), 7, np.float32)
            cpu.product(x, weight[:, columns], out[:, columns])
            assert np.array_equal(out[:, columns], whole[:, columns])
            assert (np.delete(out, columns, axis=1) == 7).all()
    inputs, delta = (rng.normal(size=(300, units)).astype(np.float32) for units in (600, 300))
    found, whole = np.empty((600, 300), np.float32), np.empty((600, 300), np.float32)
    jobs = contractions(inputs, delta, found, team=2)
    for job in jobs:
        job()
    cpu.contraction(inputs, delta, whole)
    assert len(jobs) == 4 and np.array_equal(found, whole)


def check_any_number_of_threads() -> None:
    """Chains, annealing and training with 1 and 3 threads, to the last bit, where mean field stops at a tolerance.

    So many chains are sampled that they are worth more than one thread.
    """
    rng = np.random.default_rng(2)
    weights = [rng.normal(0, 1, shape).astype(np.float32) for shape in ((20, 12), (12, 9))]
    machine = boltz.from_arrays(weights, [np.zeros(n, np.float32) for n in (20, 12, 9)])
    rows = (rng.random((150, 20)) < 0.3).astype(np.float32)
    before, found = boltz.threads(), []
    try:
        for count in (1, 3):
            boltz.threads(count)
            run = plain_train(machine, rows, epochs=1, batch_size=150, chains=150, mean_field_tolerance=0.05)
            annealed = boltz.ais(machine, 150, 20).log_weights
            found.append((run.model.arena, annealed, *boltz.sample(machine, 12000, 3).values()))
    finally:
        boltz.threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True)), "results depend on the number of threads"


def check_several_samples_a_row() -> None:
    """Training with four samples a row, with 1 and 3 threads, to the last bit."""
    rows = (np.random.default_rng(4).random((50, 20)) < 0.3).astype(np.float32)
    before, found = boltz.threads(), []
    try:
        for count in (1, 3):
            boltz.threads(count)
            found.append(plain_train(boltz.vae([20, 15], 3), rows, epochs=2, batch_size=50, samples=4).model.arena)
    finally:
        boltz.threads(before)
    assert np.array_equal(*found), "results depend on the number of threads"


def check_packed_rows() -> None:
    """States to bits as numpy packs them, and back, of rows in another order."""
    states, numbers = np.random.default_rng(6).integers(0, 2, (9, 21)).astype(np.float32), np.arange(17, -1, -2)
    bits, out = np.zeros((18, 3), np.uint8), np.empty_like(states)
    cpu.pack_rows(states, numbers, bits)
    assert np.array_equal(bits[numbers], np.packbits(states.astype(np.uint8), axis=1)) and not bits[::2].any()
    cpu.unpack_rows(bits, numbers, out)
    assert np.array_equal(out, states)


def check_turned() -> None:
    """A float32 matrix whose sides are no multiples of a square, turned."""
    for shape in ((21, 45), (45, 21), (3, 40)):
        source, out = np.random.default_rng(7).normal(size=shape).astype(np.float32), np.zeros(shape[::-1], np.float32)
        cpu.turn(source, out)
        assert np.array_equal(out, source.T)
