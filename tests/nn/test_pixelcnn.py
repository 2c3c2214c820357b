"""Catches a PixelCNN whose probabilities, derivatives, order or draws are not those of its definition."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from checks import pixels as checks

from boltz.errors import InputError
from boltz.nn.arena import size, views
from boltz.nn.pixelcnn import PixelCNN
from boltz.rng import Key


def test_values() -> None:
    checks.check_values()


def test_sums() -> None:
    checks.check_sums()


def test_pulls() -> None:
    checks.check_pulls()


def test_pull_options() -> None:
    checks.check_pull_options()


def test_order() -> None:
    checks.check_order()


def test_draws_follow() -> None:
    checks.check_draws_follow()


def test_draw_law() -> None:
    checks.check_draw_law()


def test_blocks() -> None:
    checks.check_blocks()


def test_start() -> None:
    checks.check_start()


def test_compiled() -> None:
    checks.check_compiled()


def test_mixtures() -> None:
    checks.check_mixtures()


def test_parameters_have_names_and_shapes() -> None:
    tied = PixelCNN(4, 5, 3, [7], maps=2, layers=4, filters=6).shapes("p")  # type: ignore[arg-type]
    assert tied["p/net/1/weight"] == (7, 40) and tied["p/first/weight"] == (4 + 9 * 2, 6)
    assert tied["p/masked/weight"] == (5 * 6, 6) and tied["p/pixel2/weight"] == tied["p/pixel4/weight"] == (6, 6)
    assert tied["p/last/weight"] == (6, 1) and tied["p/last/scale"] == tied["p/last/bias"] == (1,)
    free = PixelCNN(4, 5, maps=2, layers=4, filters=6, tied=False).shapes("p")
    assert {"p/masked2/weight", "p/masked3/weight", "p/masked4/weight", "p/maps/bias"} < set(free)
    assert all(name.rpartition("/")[2] in ("weight", "scale", "bias") for name in free | tied)


def test_it_is_plain_data() -> None:
    cnn = PixelCNN(4, 5, 3, (7,), tied=False)
    assert PixelCNN(**asdict(cnn)) == cnn and hash(PixelCNN(**asdict(cnn))) == hash(cnn)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"height": 0}, "height must be a whole number"),
        ({"size": 4}, "size must be odd, so that a pixel has a middle, got 4"),
        ({"size": 1}, "size must be a whole number"),
        ({"widths": (3,)}, "given is 0: leave widths out"),
        ({"given": 2, "maps": 0}, "maps is 0"),
        ({"maps": 0, "layers": 0}, "maps is 0"),
        ({"mixture": 5}, "pixels of 2 levels have a logit and no mixture"),
        ({"levels": 256}, "pixels of 256 levels need a mixture"),
        ({"channels": 3}, "binary pixels have one channel, got 3"),
        ({"activation": "sine"}, "activation must be one of elu, relu, softplus, tanh"),
        ({"given": 2, "widths": (0,)}, "a width must be"),
        ({"tied": 1}, "tied must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PixelCNN(**({"height": 3, "width": 3} | settings))


def test_derivatives_by_pixels_are_refused() -> None:
    cnn = checks.cases()["no maps"]
    scored = cnn.score(checks.place_of(cnn, checks.params_of(cnn), checks.given_of(cnn, 2)), checks.images(cnn, 2))
    with pytest.raises(InputError, match="pixels with levels, by which there is no derivative"):
        scored.by_state()


def test_a_nan_is_seen() -> None:
    """In its own row alone, in densities, slopes and draws."""
    cnn = PixelCNN(6, 7, 2, maps=1, layers=2)
    params, z, x = (
        checks.params_of(cnn, np.float32),
        checks.given_of(cnn, 3, np.float32),
        checks.images(cnn, 3, np.float32),
    )
    z[1, 0] = np.nan
    place = checks.place_of(cnn, params, z)
    scored = cnn.score(place, x)
    assert list(np.isnan(scored.log_density)) == [False, True, False]
    signal = scored.pull(np.ones(3, np.float32))
    assert signal is not None and list(np.isnan(signal).any(axis=1)) == [False, True, False]
    assert np.isnan(checks.gradient_of(cnn, place)["p/masked/weight"]).all()
    state = np.zeros_like(x)
    cnn.draw(checks.place_of(cnn, params, z), state, (1, 2, 3), np.arange(3))
    assert list(np.isnan(state).any(axis=1)) == [False, True, False]


def test_a_hundred_digits_are_drawn_in_seconds() -> None:
    """Each pixel finds its own column alone: 5 s is far more than that takes, and less than whole images take."""
    cnn = PixelCNN(28, 28, 32, (16,))
    params = views(cnn.shapes("p"), np.zeros(size(cnn.shapes("p")), np.float32))
    cnn.start("p", params, Key(1, 2))
    place, state = checks.place_of(cnn, params, checks.given_of(cnn, 100, np.float32)), np.zeros((100, 784), np.float32)
    cnn.draw(place, state[:1], (1, 2, 3), np.arange(1))  # compiles
    start = time.perf_counter()
    cnn.draw(place, state, (1, 2, 3), np.arange(100))
    assert time.perf_counter() - start < 5 and 0.2 < state.mean() < 0.8
