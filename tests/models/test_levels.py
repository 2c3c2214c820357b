"""Catches machines of grey levels and colours whose likelihoods, samples, files, pictures or refusals are wrong.

Exact checks are in checks/levels, where planted faults must fail them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import levels as checks
from checks.levels import LOSSY, SMALL, every, lossy

import boltz
from boltz.data.dataset import Data
from boltz.errors import FileError, InputError

X = np.random.default_rng(8).integers(0, 4, (30, 4))


def test_exact_likelihoods() -> None:
    checks.check_exact()


def test_pixels_hear_those_before_them_alone() -> None:
    checks.check_order()


def test_samples_follow_the_likelihood() -> None:
    checks.check_samples()


def test_importance_weights_against_a_grid() -> None:
    checks.check_evidence()


def test_the_encoder_hears_points() -> None:
    checks.check_encoder()


def test_training_sees_whole_numbers() -> None:
    checks.check_training()


def test_slopes() -> None:
    checks.check_slopes()


def test_bits_a_dimension() -> None:
    checks.check_bits()


def test_threads_change_no_bit() -> None:
    checks.check_threads()


@pytest.mark.parametrize("make", [checks.colours, lossy])
def test_files_give_a_machine_back(make: Callable[[], Any], tmp_path: Path) -> None:
    machine = make()
    machine.save(tmp_path / "model.safetensors")
    again = boltz.load(tmp_path / "model.safetensors")
    assert again.structure == machine.structure and np.array_equal(again.arena, machine.arena)  # type: ignore[union-attr]
    assert again.levels == machine.levels == machine.layers[0].levels - 1
    x = every(machine.levels + 1)[:7]
    assert np.array_equal(boltz.sample(again, 5)["v"], boltz.sample(machine, 5)["v"])
    told = [boltz.log_likelihood(each, x, samples=10 * bool(each.hidden_layers)).per_row for each in (again, machine)]
    assert np.array_equal(*told)  # type: ignore[arg-type]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    machine = checks.colours()
    machine.save(tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content.replace(b"levels:4", b"levels:1"))
    with pytest.raises(FileError):
        boltz.load(tmp_path / "model.safetensors")


def test_samples_and_draws_are_whole_numbers() -> None:
    for states in (boltz.sample(checks.colours(), 50)["v"], boltz.decompress(lossy(), every(3)[:5], 3)):
        assert set(np.unique(states)) <= {0.0, 1.0, 2.0, 3.0}


def test_annealing_over_the_hidden_units_takes_levels() -> None:
    found = boltz.posterior_ais(lossy(), every(3)[:2], 100, 20)
    assert found.kind == "lower" and np.isfinite(found.value)


def test_pictures_have_colours() -> None:
    x = np.random.default_rng(1).integers(0, 256, (20, 5, 4, 3))
    machine = boltz.vae(
        [60, 3], 1, x.reshape(20, -1), visible="levels", levels=256, decoder="pixelcnn", image=(5, 4, 3), maps=1
    )
    drawn = [
        boltz.plot_samples(machine, chains=9, shape=(5, 4, 3)),
        boltz.plot_beside(machine, x, (5, 4, 3), 4),
        boltz.plot_decompressions(machine, x, (5, 4, 3), 4, 2),
    ]
    for figure in drawn:
        picture = figure.axes[0].images[0].get_array()
        assert picture is not None and picture.ndim == 3 and picture.shape[2] == 3
        assert picture.min() >= 0 and picture.max() <= 1
    tiles, state = drawn[0].axes[0].images[0].get_array(), boltz.sample(machine, 9)["v"]
    assert tiles is not None and np.allclose(tiles[1:6, 1:5], state[0].reshape(5, 4, 3) / 255)
    rows = drawn[2].axes[0].images[0].get_array()
    assert rows is not None and np.allclose(rows[:5, :4], x[0] / 255)
    with pytest.raises(InputError, match=r"shape must be \(height, width\), or \(height, width, 3\)"):
        boltz.plot_samples(machine, chains=9, shape=(5, 4, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltz.pixelcnn(), "image must be given where units are not"),
        (lambda: boltz.pixelcnn(image=(1, 2, 2)), "binary pixels have one channel, but image has 2: give levels"),
        (lambda: boltz.pixelcnn(4, mixture=3), "mixture is of levels, but the pixels are binary"),
        (lambda: boltz.pixelcnn(4, levels=1), "levels must be a whole number of at least 2"),
        (lambda: boltz.pixelcnn(4, levels=70_000), "levels must be a whole number of at least 2 and at most 65536"),
        (lambda: boltz.pixelcnn(4, levels=4, mixture=0), "mixture must be a whole number of at least 1"),
        (lambda: boltz.pixelcnn(5, image=(1, 2, 2), levels=4), "image must be .* of 5 pixels, got 1, 2, 2"),
        (lambda: boltz.pixelcnn(4, X / 3, levels=4), r"x must hold whole numbers from 0 to 3, one a level, got 0\.6"),
        (lambda: boltz.vae([4, 2], 2, visible="levels", levels=4), "visible levels are those of a PixelCNN: give dec"),
        (lambda: boltz.vae([4, 2], 2, visible="levels", decoder="pixelcnn"), "levels must be given with visible="),
        (lambda: boltz.vae([4, 2], 2, levels=4), "levels is for visible='levels', but visible is 'bernoulli'"),
        (lambda: boltz.vae([4, 2], 2, mixture=4), "mixture is for visible='levels', but visible is 'bernoulli'"),
        (lambda: boltz.rbm(4, 2, units="levels:4"), "units must be of kind bernoulli"),
        (lambda: boltz.sbn([4, 2], visible="levels"), "visible must be one of bernoulli, gaussian"),
        (lambda: checks.colours().with_levels(5), "levels must be 3, the highest of its visible units, got 5"),
        (lambda: boltz.log_likelihood(checks.colours(), X + 1), "x must hold whole numbers from 0 to 3, .* got 4"),
        (lambda: boltz.log_likelihood(checks.colours(), X[:0]), "x must have at least one row"),
        (lambda: boltz.train(checks.colours(), X - 1.0), "x must hold states of levels:4 units, whole numbers"),
        (lambda: boltz.train(checks.colours(), X * 1.0, binarize="dynamic"), "binarize must be none"),
        (lambda: boltz.complete(lossy(), every(3)[:2], np.ones(4, bool)), "units that are independent"),
        (lambda: boltz.log_likelihood(checks.colours(), np.full((2, 4), np.nan)), "unknown entries"),
    ],
)
def test_what_is_wrong_is_said(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_data_of_other_levels_are_refused() -> None:
    machine = checks.colours()
    data = Data(X.astype(np.uint8), "rows", (1, 2, 2), 3, None, None, "rows")
    boltz.train(machine, data, epochs=1)
    with pytest.raises(InputError, match=r"whole numbers from 0 to 7, but .* 4 levels.*: load it with levels=3"):
        boltz.evaluate(machine, replace(data, levels=7))
    with pytest.raises(InputError, match=r"holds numbers in \[0, 1\], but .* have 4 levels: give whole numbers"):
        boltz.evaluate(machine, replace(data, levels=None))
    with pytest.raises(InputError, match=r"holds -1/\+1 spins, but the visible units of the machine have 4 levels"):
        boltz.evaluate(machine, replace(data, levels=None, kind="spin"))
    with pytest.raises(InputError, match="x must hold whole numbers from 0 to 3, the levels of units, got floats"):
        boltz.pixelcnn(4, replace(data, levels=None), image=(1, 2, 2), levels=4, **SMALL)


def test_a_lossy_autoencoder_says_what_it_is() -> None:
    machine = boltz.vae([4, 3], 1, levels=3, image=(1, 2, 2), **LOSSY)
    assert machine.kind == "vlae" and machine.architecture == "4-3-[1]" and machine.layers[0].kind == "levels:3"
