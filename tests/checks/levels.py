"""Checks of machines of grey levels and colours against exact answers, shared by the tests and by the planted faults.

Log-densities are those of tests/oracles, which differ distribution functions; sums run over all states, integrals over
a grid. Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from checks.directed import CLOCK, assert_slopes, check_path, gradient_of
from checks.factored import DRAWS, log_evidence
from checks.posterior import random
from oracles import directed as oracle
from oracles.directed import Directed
from scipy.special import logsumexp
from support import stats
from support.training import plain_train

import boltz
from boltz.data.dataset import Data
from boltz.estimators.likelihood import importance_bounds
from boltz.kernels.reference_pixels import pixel_outputs
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.pixelcnn import PixelCNN, normalised
from boltz.training.directed_settings import DirectedSettings

Floats = Any
SMALL = {"receptive_field": 2, "filters": 3, "mixture": 2, "activation": "elu"}
LOSSY = {**SMALL, "visible": "levels", "decoder": "pixelcnn", "maps": 1}


def colours(levels: int = 4, seed: int = 51) -> HelmholtzMachine:
    """A PixelCNN of two pixels with two channels each, in float64 with parameters of ordinary size."""
    return random(boltz.pixelcnn(image=(1, 2, 2), levels=levels, **SMALL), 0.9, seed)


def lossy() -> HelmholtzMachine:
    """The same below one Gaussian unit."""
    return random(boltz.vae([4, 3], 1, levels=3, image=(1, 2, 2), **LOSSY), 0.6, 52)


def every(levels: int, units: int = 4) -> Floats:
    """All rows of whole numbers."""
    return np.array(list(product(range(levels), repeat=units)))


def law_of(machine: HelmholtzMachine, x: Floats) -> Floats:
    """Log-probabilities (rows,) of whole numbers by the oracle."""
    levels = machine.layers[0].levels
    assert levels is not None
    return oracle.log_p(Directed.of(machine), {"v": 2 * x / (levels - 1) - 1})["v"]


def check_exact() -> None:
    """Probabilities of all 256 states sum to 1, in both precisions, and each is the oracle's."""
    machine, x = colours(), every(4)
    found = boltz.log_likelihood(machine, x)
    assert found.kind == "exact" and found.per_row is not None
    assert abs(logsumexp(found.per_row)) < 1e-10
    np.testing.assert_allclose(found.per_row, law_of(machine, x), rtol=0, atol=1e-10)
    single = boltz.log_likelihood(machine.astype(np.float32), x).per_row
    assert single is not None and abs(logsumexp(single)) < 1e-10
    fine = random(boltz.pixelcnn(image=(1, 1, 1), levels=256, maps=1, **SMALL), 0.9, 53).astype(np.float32)
    told = boltz.log_likelihood(fine, np.arange(256)[:, None]).per_row
    assert told is not None and abs(logsumexp(told)) < 1e-10 and np.isfinite(told).all()


def check_order() -> None:
    """By central differences, the outputs of a pixel follow all numbers of pixels in its field, and no others."""
    cnn = PixelCNN(3, 3, maps=1, layers=1, filters=4, channels=2, levels=5, mixture=1, tied=False)
    machine = random(
        boltz.pixelcnn(image=(3, 3, 2), levels=5, receptive_field=1, filters=4, mixture=1, maps=1), 0.9, 54
    )
    params, name = machine.params, "generative/v"
    parts = [[params[f"{name}/{m.name}/{p}"] for p in ("weight", "scale", "bias")] for m in cnn.stack.matrices]
    numbers = np.concatenate([normalised(*each).ravel() for each in parts])

    def outputs(x: Floats) -> Floats:
        found = np.zeros((1, cnn.stack.outputs * 9))
        planes = x.reshape(9, 2).T.reshape(1, -1)
        pixel_outputs(cnn.stack, numbers, planes, np.zeros((0, 9)), params[f"{name}/maps/bias"], found)
        return found.reshape(-1, 9)

    x = np.random.default_rng(1).uniform(-1, 1, 18)
    for number in range(18):
        step = 1e-4 * (np.arange(18) == number)
        moved = np.abs(outputs(x + step) - outputs(x - step)).max(axis=0) > 1e-9
        row, column = divmod(number // 2, 3)
        heard = [(row - p // 3, column - p % 3) in ((-1, -1), (-1, 0), (-1, 1), (0, -1)) for p in range(9)]
        assert moved.tolist() == heard, number


def check_samples() -> None:
    """20,000 samples against all 81 probabilities: chi-square, alpha 1e-6.

    Catches channels that are drawn apart from each other, and those that are written in another order.
    """
    machine, x = colours(3, 55), every(3)
    law = np.exp(law_of(machine, x))
    shares = [np.bincount(column, law, 3) for column in x.T]
    apart = np.prod([share[column] for share, column in zip(shares, x.T, strict=True)], axis=0)
    swapped = law.reshape(3, 3, 3, 3).transpose(1, 0, 3, 2).ravel()
    for other in (apart, swapped):
        assert stats.detectable_chi_square(DRAWS, law / law.sum(), other / other.sum())
    state = boltz.sample(machine, DRAWS, seed=3)["v"]
    counts = np.bincount((state @ [27, 9, 3, 1]).astype(int), minlength=81)
    stats.accept(stats.chi_square(counts, law / law.sum()), "samples of levels follow another law")


def check_evidence() -> None:
    """A lossy autoencoder of two channels: probabilities of all 9 states sum to 1 by a grid over its hidden unit, and
    importance weights average to those of the grid: ratio tests, alpha 1e-6 each, which catch a bias of 0.25 nats.
    """
    machine = random(boltz.vae([2, 3], 1, levels=3, image=(1, 1, 2), **{**LOSSY, "receptive_field": 0}), 0.4, 57)
    states = every(3, 2)
    truth = log_evidence(machine, states - 1.0)  # points of 3 levels
    assert abs(logsumexp(truth)) < 1e-8
    for row in (1, 6):
        found = importance_bounds(machine, states[row : row + 1], (4000,), seed=5)[0]
        assert stats.detectable_ratio(0.25, found.standard_error), found
        stats.accept(stats.ratio_test(found.value, truth[row], found.standard_error, 4000), "weights of levels")


def check_encoder() -> None:
    """The encoder hears levels as points from -1 to 1: a linear code is W x + b of them."""
    machine = random(boltz.vae([4], 2, levels=4, image=(1, 2, 2), **LOSSY), 0.8, 56)
    x = every(4)[::7]
    weight, bias = (machine.params[f"recognition/h1/0/{part}"] for part in ("weight", "bias"))
    wanted = (2 * x / 3 - 1) @ weight + bias
    np.testing.assert_allclose(boltz.features(machine, x), wanted[:, :2], rtol=0, atol=1e-12)


def check_training() -> None:
    """Training sees the rows that a likelihood sees: what it records is the log-likelihood of whole numbers, whether
    they come as an array, as floats, or as Data with the levels of the machine.
    """
    x = np.random.default_rng(2).integers(0, 256, (40, 4)).astype(np.uint8)
    start = boltz.pixelcnn(image=(2, 2), levels=256, **SMALL)
    data = Data(x, "rows", (2, 2), 255, None, None, "rows")
    for rows in (x, x.astype(float), data):
        run = plain_train(start, rows, epochs=1, batch_size=20, learning_rate=0.01)
        found = boltz.log_likelihood(run.model, x)
        assert abs(run.history[-1]["log_likelihood"] - found.value) < 1e-3 * abs(found.value)
    starts = [boltz.pixelcnn(4, rows, image=(2, 2), levels=256, **SMALL).arena for rows in (x, x.astype(float), data)]
    assert np.array_equal(starts[0], starts[1]) and np.array_equal(starts[0], starts[2])
    assert not np.array_equal(starts[0], start.arena)


def check_bits() -> None:
    """Bits a dimension: a law that knows nothing of 4 levels takes 2 bits for each number."""
    machine = boltz.pixelcnn(image=(1, 2), levels=4, receptive_field=0, filters=1, maps=1, mixture=1)
    machine.arena[...] = 0
    for name, value in machine.params.items():
        value[...] = 1.0 if name.endswith("weight") else 0.0
    x = every(4, 2)
    found = boltz.evaluate(machine, x)
    per_row = boltz.log_likelihood(machine, x).per_row
    assert per_row is not None
    bits = found.as_dict()["bits_a_dimension"]
    assert abs(bits + per_row.mean() / np.log(2) / 2) < 1e-12
    entropy = -np.sum(np.exp(per_row) * per_row) / np.log(2) / 2
    assert entropy <= 2 < bits and f"{bits:.4f} bits a dimension, of 2 numbers of 4 levels" in str(found)


def check_threads() -> None:
    """A training, its likelihoods and samples have the same bits in one thread and in two."""
    x = np.random.default_rng(6).integers(0, 4, (700, 4))
    makers: dict[str, Any] = {
        "pixelcnn": lambda: boltz.pixelcnn(4, x, image=(1, 2, 2), levels=4, **SMALL),
        "vlae": lambda: boltz.vae([4, 3], 1, x, levels=4, image=(1, 2, 2), **LOSSY),
    }
    before = boltz.threads()
    for name, make in makers.items():
        found = []
        for threads in (1, 2):
            try:
                boltz.threads(threads)
                model = plain_train(make(), x, epochs=1, batch_size=300, seed=5).model
                state = boltz.sample(model, 700, seed=6)
                told = boltz.log_likelihood(model, x[:40], samples=20 if model.hidden_layers else 0).per_row
                assert told is not None
                found.append([model.arena, told, *state.values()])
            finally:
                boltz.threads(before)
        assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True)), name


def check_slopes() -> None:
    """Gradients of the mean log-likelihood, and of the bound of a lossy autoencoder, by complex steps."""
    machine, x = colours(), 2 * every(4)[::37] / 3 - 1
    found, laws = gradient_of(machine, x, DirectedSettings()), Directed.of(machine, CLOCK.step).laws
    assert_slopes(found, lambda moved: np.mean(laws["v"](moved.params, x, None)), machine)
    check_path(lossy(), "vae", rows=every(3)[::13] - 1.0)
