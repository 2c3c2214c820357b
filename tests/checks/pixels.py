"""Checks of the PixelCNN, shared by the tests and by the planted faults.

Each check takes no argument, is quick, and raises AssertionError where the library is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
from oracles import directed, pixels
from oracles.directed import STEP, Directed
from scipy.special import expit, logsumexp
from support.stats import accept, chi_square, detectable_chi_square

from boltz.kernels import reference_pixels as reference
from boltz.kernels.cpu import pixels as compiled
from boltz.kernels.reference import bits_of
from boltz.nn.arena import Part, Tape, size, views
from boltz.nn.factors import Place
from boltz.nn.pixelcnn import PixelCNN
from boltz.rng import Key


def cases() -> dict[str, PixelCNN]:
    """New ones at each call, since they keep what they derive from their settings."""
    return {
        "tied over a net": PixelCNN(3, 4, 3, (5,), maps=2, layers=4, filters=5),
        "untied, given nothing": PixelCNN(4, 3, maps=1, layers=3, filters=3, tied=False, activation="tanh"),
        "no maps": PixelCNN(3, 4, maps=0, layers=2, filters=4, activation="softplus"),
        "no pixels": PixelCNN(2, 3, 2, maps=3, layers=0, filters=2),
        "one layer": PixelCNN(3, 3, 2, maps=1, layers=1, filters=3, activation="relu"),
        "wide taps": PixelCNN(5, 4, 2, maps=2, layers=3, filters=2, size=5, tied=False),
    }


ROWS = 5


def params_of(cnn: PixelCNN, dtype: Any = np.float64, seed: int = 1) -> dict[str, Any]:
    """Normal parameters of ordinary size, views into one arena."""
    shapes = cnn.shapes("p")
    return views(shapes, np.random.default_rng(seed).normal(0.1, 0.8, size(shapes)).astype(dtype))


def images(cnn: PixelCNN, rows: int, dtype: Any = np.float64) -> Any:
    return np.random.default_rng(3).integers(0, 2, (rows, cnn.units)).astype(dtype)


def given_of(cnn: PixelCNN, rows: int, dtype: Any = np.float64) -> Any:
    """The layer above, (rows, given)."""
    return np.random.default_rng(4).normal(size=(rows, cnn.given)).astype(dtype)


def place_of(cnn: PixelCNN, params: dict[str, Any], given: Any) -> Place:
    """All rows of a tape as one block."""
    tape = Tape(given)
    if cnn.given:
        tape.get("above", *given.shape)[...] = given
    return Place("p", params, tape.whole(len(given)), "above" if cnn.given else "")


def block_of(place: Place, rows: slice) -> Place:
    return Place(place.name, place.params, Part(place.part.tape, rows, place.part.total), place.given)


def gradient_of(cnn: PixelCNN, place: Place) -> dict[str, Any]:
    """What `products` writes over numbers of no meaning."""
    found = {name: np.full_like(value, 9.0) for name, value in place.params.items()}
    for job in cnn.products(place, found):
        job()
    return found


def check_values() -> None:
    """Log-densities are those of dense masked kernels; a state may stand for several rows."""
    for cnn in cases().values():
        params, z, x = params_of(cnn), given_of(cnn, 6), images(cnn, 6)
        found = cnn.score(place_of(cnn, params, z), x).log_density
        np.testing.assert_allclose(found, pixels.log_density(cnn, "p", params, x, z), rtol=0, atol=1e-11)
        few = cnn.score(place_of(cnn, params, z), x[:2]).log_density
        wanted = pixels.log_density(cnn, "p", params, np.repeat(x[:2], 3, axis=0), z)
        np.testing.assert_allclose(few, wanted, rtol=0, atol=1e-11)


def check_sums() -> None:
    """The probabilities of all states of 8 pixels sum to 1."""
    states = np.array(list(product([0.0, 1.0], repeat=8)))
    for case in cases().values():
        cnn = replace(case, height=2, width=4)
        z = np.repeat(given_of(cnn, 1), len(states), axis=0)
        total = logsumexp(cnn.score(place_of(cnn, params_of(cnn), z), states).log_density)
        assert abs(total) < 1e-10, total


def check_pulls() -> None:
    """Weighted parameter slopes and unweighted signals are those of the definition, by complex steps."""
    for cnn in cases().values():
        params, z, x = params_of(cnn), given_of(cnn, ROWS), images(cnn, ROWS)
        weights = np.random.default_rng(5).normal(size=ROWS)
        place = place_of(cnn, params, z)
        signal = cnn.score(place, x).pull(weights)
        found = gradient_of(cnn, place)

        def total(moved: Directed, cnn: PixelCNN = cnn, x: Any = x, z: Any = z, weights: Any = weights) -> Any:
            return np.sum(weights * pixels.log_density(cnn, "p", moved.params, x, z))

        for name, direction, slope in directed.slopes(total, Directed((), params)):
            assert abs(np.sum(found[name] * direction) - slope) < 1e-9, name
        if cnn.given:
            direction = np.random.default_rng(6).normal(size=z.shape)
            moved = pixels.log_density(cnn, "p", params, x, z + 1j * STEP * direction)
            np.testing.assert_allclose(np.sum(signal * direction, axis=1), moved.imag / STEP, rtol=0, atol=1e-10)
        else:
            assert signal is None


def check_pull_options() -> None:
    """Without keep nothing on the tape changes that a later pull needs; without signal none comes; weights may lack."""
    for cnn in (cases()["tied over a net"], cases()["untied, given nothing"]):
        params, z, x = params_of(cnn), given_of(cnn, 6), images(cnn, 2)
        place = place_of(cnn, params, z)
        signal = cnn.score(place, x).pull(np.ones(6))
        signal, wanted = np.array(signal), gradient_of(cnn, place)
        place = place_of(cnn, params, z)
        scored = cnn.score(place, x)
        first = scored.pull(None, True, False)
        assert cnn.given == 0 or np.array_equal(np.array(first), signal)
        assert scored.pull(None, False, True) is None
        found = gradient_of(cnn, place)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def check_order() -> None:
    """A pixel changes the logits of exactly those pixels whose field it is in, and none before it."""
    for cnn in [
        *cases().values(),
        PixelCNN(6, 9, maps=1, layers=2, filters=3),
        PixelCNN(9, 6, maps=1, layers=3, filters=3),
    ]:
        params, z, x = params_of(cnn), given_of(cnn, 1), images(cnn, 1)
        shifts = pixels.field(cnn)

        def logits(state: Any, cnn: PixelCNN = cnn, params: Any = params, z: Any = z) -> Any:
            place = place_of(cnn, params, z)
            cnn.score(place, state)
            return state[0] - place.part.get("p/delta", cnn.units)[0]  # the mean of each pixel

        before = logits(x)
        for pixel in range(cnn.units):
            moved = x.copy()
            moved[0, pixel] = 1 - moved[0, pixel]
            y, right = divmod(pixel, cnn.width)
            wanted = {p for p in range(cnn.units) if (y - p // cnn.width, right - p % cnn.width) in shifts}
            after = logits(moved)
            changed = set(np.flatnonzero(np.abs(after - before) > 1e-14))
            assert changed <= wanted and (cnn.activation == "relu" or changed == wanted), (cnn, pixel)


def check_draws_follow() -> None:
    """Each pixel of a draw is on where its random number is below its probability given those before it.

    Draws are a function of random bits, so this is exact; catches an order, a map or a cached column that is wrong.
    """
    for cnn in cases().values():
        params, z, rows = params_of(cnn), given_of(cnn, 40), np.arange(7, 47)
        state = np.full((40, cnn.units), 5.0)
        cnn.draw(place_of(cnn, params, z), state, Key(1, 2).stream(3), rows)
        mean = expit(pixels.logits(cnn, "p", params, state, z))
        chance = bits_of(Key(1, 2).stream(3), rows, cnn.units) / 2.0**32
        np.testing.assert_array_equal(state, chance < mean)


def check_draw_law() -> None:
    """20,000 draws of 6 pixels against their 64 probabilities; chi-square, alpha 1e-6.

    Catches draws from the law of another layer above.
    """
    cnn = PixelCNN(2, 3, 2, (4,), maps=2, layers=2, filters=3)
    params, z = params_of(cnn, np.float32), given_of(cnn, 2, np.float32)
    states = np.array(list(product([0.0, 1.0], repeat=cnn.units)), np.float32)
    above = [np.repeat(row[None], 64, axis=0) for row in z]
    laws = [np.exp(cnn.score(place_of(cnn, params, each), states).log_density) for each in above]
    laws = [law / law.sum() for law in laws]  # rounding of float32
    state = np.zeros((20_000, cnn.units), np.float32)
    cnn.draw(place_of(cnn, params, np.repeat(z[:1], 20_000, axis=0)), state, Key(3, 4).stream(5), np.arange(20_000))
    counts = np.bincount((state @ 2 ** np.arange(cnn.units)[::-1]).astype(int), minlength=64)
    assert detectable_chi_square(20_000, laws[0], laws[1])
    accept(chi_square(counts, laws[0]), "pixels are drawn from another law than that which scores them")


def check_blocks() -> None:
    """Densities, gradients, signals and draws have equal bits for any blocks, in both precisions.

    But for what passes a net in double precision, whose products are left to a BLAS and its rounding.
    """
    for cnn in (cases()["tied over a net"], cases()["untied, given nothing"], PixelCNN(7, 9, 2, maps=2, layers=4)):
        for dtype in (np.float32, np.float64):
            params, z, x = params_of(cnn, dtype), given_of(cnn, 39, dtype), images(cnn, 13, dtype)
            weights = np.random.default_rng(5).normal(size=39).astype(dtype)
            results = []
            for edges in ((0, 39), (0, 3, 39), (0, 12, 27, 39)):
                place = place_of(cnn, params, z)
                state, log_density = np.zeros((39, cnn.units), dtype), np.zeros(39)
                signal = np.zeros((39, cnn.given), dtype)
                for a, b in pairwise(edges):
                    block = block_of(place, slice(a, b))
                    scored = cnn.score(block, x[a // 3 : b // 3])
                    log_density[a:b] = scored.log_density
                    found = scored.pull(weights[a:b])
                    signal[a:b] = 0 if found is None else found
                gradient = gradient_of(cnn, place)
                for a, b in pairwise(edges):
                    cnn.draw(block_of(place, slice(a, b)), state[a:b], Key(1, 2).stream(3), np.arange(39)[a:b])
                results.append({"density": log_density, "signal": signal, "draws": state, **gradient})
            for other in results[1:]:
                for name, value in results[0].items():
                    rounding = 1e-12 if cnn.given and dtype == np.float64 else 0
                    np.testing.assert_allclose(other[name], value, rtol=0, atol=rounding, err_msg=name)


def check_start() -> None:
    """A new machine's layers have mean 0 and variance 1 over data where an image first passes them."""
    for cnn in cases().values():
        if cnn.activation == "relu":
            continue  # a unit may be off for all data
        params = views(cnn.shapes("p"), np.zeros(size(cnn.shapes("p"))))
        cnn.start("p", params, Key(5, 6))
        z, x = given_of(cnn, 40), images(cnn, 20)
        if "p/maps/bias" in params:
            params["p/maps/bias"][...] = np.random.default_rng(8).normal(size=params["p/maps/bias"].shape)
        cnn.fit(place_of(cnn, params, z), x)
        passed = [pixels.layers(cnn, "p", params, image, above) for image, above in zip(x, z[::2], strict=True)]
        done = set()
        for i, (name, _) in enumerate(passed[0]):
            if name not in done:
                values = np.stack([found[i][1] for found in passed])
                np.testing.assert_allclose(values.mean(axis=(0, 2, 3)), 0, atol=1e-10, err_msg=name)
                np.testing.assert_allclose(values.std(axis=(0, 2, 3)), 1, atol=1e-10, err_msg=name)
            done.add(name)


def check_compiled() -> None:
    """The compiled kernels in float32 agree with the reference in float64, at sizes with and without whole panels."""
    stacks = [
        reference.Stack(5, 6, 2, 3, 4, 1, True, "elu"),
        reference.Stack(5, 6, 0, 12, 3, 1, False, "tanh"),
        reference.Stack(4, 3, 1, 17, 0, 1, False, "relu"),
        reference.Stack(6, 5, 3, 29, 5, 2, True, "softplus"),
        reference.Stack(9, 11, 13, 7, 2, 1, True, "elu"),
    ]
    for stack in stacks:
        rng, count = np.random.default_rng(0), stack.size
        units = stack.height * stack.width
        numbers = rng.normal(0, 1 / np.sqrt(5 * stack.filters), count)
        x, bias = rng.integers(0, 2, (2, units)).astype(float), rng.normal(size=stack.maps * units)
        for given in {stack.maps > 0, False}:
            maps, delta = rng.normal(size=(4 * given, stack.maps * units)), rng.normal(size=(4, units))
            results = []
            for module, kind in ((reference, np.float64), (compiled, np.float32)):
                args = stack, *(y.astype(kind) for y in (numbers, x, maps, bias))
                logits, signal = np.zeros((4, units), kind), np.zeros((4, stack.maps * units), kind)
                slopes, state = np.zeros((4, count), kind), np.zeros((4, units), kind)
                module.pixel_logits(*args, logits)
                module.pixel_back(*args, delta.astype(kind), signal, slopes)
                module.pixel_draw(*args[:2], *args[3:], (1, 2, 3), np.arange(5, 9), state)
                results.append((logits, signal, slopes, state))
            for wanted, found in zip(*results, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * max(1, np.abs(wanted).max(initial=0)))
