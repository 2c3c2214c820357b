"""Catches binarisation with wrong frequencies, or draws that depend on batches or repeat from step to step."""

from __future__ import annotations

import numpy as np
import pytest

from boltz.data.binarize import HOW, binarize
from boltz.errors import InputError
from boltz.kernels import reference
from boltz.rng import Key

KEY = Key.from_seed(11).derive("binarize")
GREY = np.random.default_rng(3).integers(0, 256, (40, 70), np.uint8)
ROWS = np.arange(40)


@pytest.mark.parametrize("levels", [255, None])
def test_draws_are_those_of_the_reference_kernel(levels):
    x = GREY if levels else (GREY / np.float32(255)).astype(np.float32)
    expected = np.empty((40, 70), np.float32)
    reference.bernoulli_rows((GREY / np.float32(255)).astype(np.float32), KEY.stream(6), ROWS, expected)
    found = binarize(x, levels, "dynamic", KEY, 6, ROWS)
    assert found.dtype == np.float32 and set(np.unique(found)) == {0, 1}
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("how", HOW)
def test_a_row_does_not_depend_on_its_batch(how):
    order = np.random.default_rng(4).permutation(40)
    whole = binarize(GREY, 255, how, KEY, 9, ROWS)
    for batch in (order[:1], order[1:18], order[18:]):
        np.testing.assert_array_equal(binarize(GREY[batch], 255, how, KEY, 9, batch), whole[batch])


def test_dynamic_changes_with_the_step_and_fixed_does_not():
    draws = {(how, step): binarize(GREY, 255, how, KEY, step, ROWS) for how in HOW for step in (0, 1, 2**40)}
    for how in ("fixed", "threshold", "none"):
        assert (draws[how, 0] == draws[how, 1]).all() and (draws[how, 0] == draws[how, 2**40]).all()
    assert (draws["dynamic", 0] != draws["dynamic", 1]).any() and (draws["dynamic", 1] != draws["dynamic", 2**40]).any()
    assert (draws["dynamic", 0] == draws["fixed", 0]).all()
    assert (binarize(GREY, 255, "fixed", KEY.derive(1), 0, ROWS) != draws["fixed", 0]).any()


def test_black_and_white_are_certain_and_binary_data_stay_as_they_are():
    x = np.array([[0, 255] * 5000], np.uint8)
    for how in HOW:
        np.testing.assert_array_equal(binarize(x, 255, how, KEY, 3, np.array([7]))[0], [0, 1] * 5000)
        np.testing.assert_array_equal(binarize(x // 255, 1, how, KEY, 3, np.array([7]))[0], [0, 1] * 5000)


def test_threshold_and_scale():
    x = np.array([[0, 127, 128, 255]], np.uint8)
    assert binarize(x, 255, "threshold", KEY, 0, ROWS[:1]).tolist() == [[0, 0, 1, 1]]
    half = np.array([[0.0, 0.49999, 0.5, 1.0]], np.float32)
    assert binarize(half, None, "threshold", KEY, 0, ROWS[:1]).tolist() == [[0, 0, 1, 1]]
    np.testing.assert_array_equal(binarize(x, 255, "none", KEY, 0, ROWS[:1]), x / np.float32(255))
    np.testing.assert_array_equal(binarize(half, None, "none", KEY, 0, ROWS[:1]), half)


@pytest.mark.parametrize("grey", [1, 64, 128, 254])
def test_frequency_of_ones_is_the_grey_value_over_255(grey):
    """False alarm 1e-6 in all (normal bound 5.2, 4 levels); at 128 division by 256 is 7.8 deviations off."""
    rows, units = 4000, 1000
    x = np.full((rows, units), grey, np.uint8)
    ones = binarize(x, 255, "dynamic", KEY, grey, np.arange(rows)).sum(dtype=np.float64)
    p = grey / 255
    assert abs(ones - rows * units * p) < 5.2 * np.sqrt(rows * units * p * (1 - p))


def test_inputs_are_not_changed():
    x, rows = GREY.copy(), ROWS.copy()
    x.flags.writeable = rows.flags.writeable = False
    for how in HOW:
        binarize(x, 255, how, KEY, 1, rows)
    np.testing.assert_array_equal(x, GREY)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="how must be one of dynamic, fixed, none, threshold, got 'random'"):
        binarize(GREY, 255, "random", KEY, 0, ROWS)
    for x, rows in ((GREY, ROWS[:3]), (GREY[0], ROWS), (GREY, ROWS[:, None])):
        with pytest.raises(InputError, match="rows must hold one row number for each of the rows of x"):
            binarize(x, 255, "dynamic", KEY, 0, rows)
