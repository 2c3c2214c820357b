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

from boltz.kernels import reference_logistics as logistics
from boltz.kernels import reference_pixels as reference
from boltz.kernels.cpu import logistics as compiled_logistics
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
        "grey": PixelCNN(2, 3, 2, maps=1, layers=2, filters=3, levels=4, mixture=2),
        "coloured": PixelCNN(2, 2, maps=1, layers=1, filters=3, channels=3, levels=3, mixture=2),
        "wide taps": PixelCNN(5, 4, 2, maps=2, layers=3, filters=2, size=5, tied=False),
    }


ROWS = 5


def params_of(cnn: PixelCNN, dtype: Any = np.float64, seed: int = 1) -> dict[str, Any]:
    """Normal parameters of ordinary size, views into one arena."""
    shapes = cnn.shapes("p")
    return views(shapes, np.random.default_rng(seed).normal(0.1, 0.8, size(shapes)).astype(dtype))


def images(cnn: PixelCNN, rows: int, dtype: Any = np.float64) -> Any:
    found = np.random.default_rng(3).integers(0, cnn.levels, (rows, cnn.units)) / (cnn.levels - 1)
    return (2 * found - 1 if cnn.mixture else found).astype(dtype)


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
    """The probabilities of all states of small images sum to 1, and so do 256 levels of one pixel."""
    shapes = {"grey": [(2, 2), (1, 1, 256)], "coloured": [(1, 2), (1, 1, 9)]}
    for name, case in cases().items():
        for height, width, *levels in shapes.get(name, [(2, 4)]):
            cnn = replace(case, height=height, width=width, levels=levels[0] if levels else case.levels)
            states = np.array(list(product(np.linspace(-1 if cnn.mixture else 0, 1, cnn.levels), repeat=cnn.units)))
            z = np.repeat(given_of(cnn, 1), len(states), axis=0)
            for scale in (1.0, 4.0):
                params = {key: scale * value for key, value in params_of(cnn).items()}
                total = logsumexp(cnn.score(place_of(cnn, params, z), states).log_density)
                assert abs(total) < 1e-10, (name, total)


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
        *(case for case in cases().values() if not case.mixture),
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
    """Each pixel of a draw is the quantile of its law, given the pixels before it, at its random number.

    Draws are a function of random bits, so this is exact; catches an order, a map or a cached column that is wrong.
    """
    for cnn in cases().values():
        params, z, rows, words = params_of(cnn), given_of(cnn, 40), np.arange(7, 47), cnn.mixture and 1 + cnn.channels
        state = np.full((40, cnn.units), 5.0)
        cnn.draw(place_of(cnn, params, z), state, Key(1, 2).stream(3), rows)
        count = cnn.height * cnn.width
        bits = bits_of(Key(1, 2).stream(3), rows, count * max(words, 1))
        found = pixels.outputs(cnn, "p", params, state, z)
        if not cnn.mixture:
            np.testing.assert_array_equal(state, bits / 2.0**32 < expit(found))
            continue
        for image, outputs, row in zip(state, found, (bits.reshape(40, count, words) + 0.5) / 2**32, strict=True):
            levels, x = cnn.levels - 1, image.reshape(-1, cnn.channels).T
            logits, channels = pixels.components(cnn, outputs)
            share = np.exp(logits) / np.exp(logits).sum(axis=0)
            chosen = np.sum(np.cumsum(share, axis=0) <= row[:, 0], axis=0), np.arange(count)
            assert set(np.round((image + 1) / 2 * levels, 9)) <= set(range(cnn.levels))
            for c, (mean, scale, before) in enumerate(channels):
                m = mean[chosen] + sum(before[d][chosen] * x[d] for d in range(c))
                above = np.where(x[c] > 1 - 1e-9, 1, expit((x[c] + 1 / levels - m) / scale[chosen]))
                below = np.where(x[c] < 1e-9 - 1, 0, expit((x[c] - 1 / levels - m) / scale[chosen]))
                assert (below <= row[:, 1 + c]).all() and (row[:, 1 + c] <= above).all()


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
            for edges in ((0, 39), (0, 12, 39), (0, 9, 27, 39)):  # fewer rows than nine are left to a BLAS
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
        reference.Stack(4, 5, 1, 6, 2, 1, True, "elu", logistics.Mixture(3, 5, 2)),
    ]
    for stack in stacks:
        rng, count = np.random.default_rng(0), stack.size
        units = stack.height * stack.width
        numbers = rng.normal(0, 1 / np.sqrt(5 * stack.filters), count)
        x, bias = rng.integers(0, 2, (2, units * stack.channels)).astype(float), rng.normal(size=stack.maps * units)
        for given in {stack.maps > 0, False}:
            maps, delta = rng.normal(size=(4 * given, stack.maps * units)), rng.normal(size=(4, units * stack.outputs))
            results = []
            for module, kind in ((reference, np.float64), (compiled, np.float32)):
                args = stack, *(y.astype(kind) for y in (numbers, x, maps, bias))
                logits, signal = np.zeros((4, units * stack.outputs), kind), np.zeros((4, stack.maps * units), kind)
                slopes, state = np.zeros((4, count), kind), np.zeros((4, units * stack.channels), kind)
                module.pixel_outputs(*args, logits)
                module.pixel_back(*args, delta.astype(kind), signal, slopes)
                module.pixel_draw(*args[:2], *args[3:], (1, 2, 3), np.arange(5, 9), state)
                results.append((logits, signal, slopes, state))
            for wanted, found in zip(*results, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * max(1, np.abs(wanted).max(initial=0)))


def check_mixtures() -> None:
    """Scores of mixtures are those of the reference at narrow and wide laws, far points, ends and clipped scales.

    Log-probabilities are finite, and the derivative is the slope of the log-probability by differences.
    """
    for mixture in (logistics.Mixture(1, 256, 3), logistics.Mixture(3, 256, 2), logistics.Mixture(3, 4, 1)):
        rng = np.random.default_rng(1)
        state = 2 * rng.integers(0, mixture.levels, (4, mixture.channels * 6)) / (mixture.levels - 1) - 1
        state[0], state[1] = -1, 1
        field = rng.normal(0, 2, (8, mixture.outputs, 6))
        field[::3, mixture.components : 3 * mixture.components] -= 5
        field[1, mixture.components :] = 40  # wider than any number of levels
        field, state = (x.astype(np.float32) for x in (field.reshape(8, -1), state))

        def density(field: Any, module: Any, state: Any = state, mixture: Any = mixture) -> tuple[Any, Any]:
            found, score = np.zeros(len(field)), field.copy()
            module.logistic_score(score, state.astype(field.dtype), mixture, found)
            return found, score

        wide = field.astype(np.float64)
        wanted, score = density(wide, logistics)
        found, other = density(field, compiled_logistics)
        assert np.isfinite(wanted).all()
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        np.testing.assert_allclose(other, score, rtol=1e-6, atol=1e-6)
        direction = rng.normal(size=field.shape)
        up, down = (density(wide + step * direction, logistics)[0] for step in (1e-6, -1e-6))
        slopes = np.sum(score * direction, axis=1)
        np.testing.assert_allclose((up - down) / 2e-6, slopes, rtol=1e-5, atol=1e-4 * np.abs(slopes).max())
