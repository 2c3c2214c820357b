"""Catches tiles of other labels, styles, clusters or rows than named, and pictures that a run folder should have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_game_pictures
from checks.quick_game_pictures import X, machine

import boltz
from boltz.errors import InputError
from boltz.evaluation.pictures import draw

FEW: dict[str, Any] = {"epochs": 1, "batch_size": 20, "discriminator_widths": (4,)}


def test_checks() -> None:
    quick_game_pictures.check_grid()
    quick_game_pictures.check_codes()
    quick_game_pictures.check_principal_components()
    quick_game_pictures.check_styles()
    quick_game_pictures.check_interpolations()
    quick_game_pictures.check_interpolated_labels()
    quick_game_pictures.check_clusters()
    quick_game_pictures.check_embedding()
    quick_game_pictures.check_samples()


@pytest.mark.parametrize(
    ("named", "asked", "wanted"),
    [
        (False, {"latent": 1, "visible": "gaussian"}, ("interpolations",)),
        (True, {"labels": "decoder"}, ("interpolations", "styles")),
        (False, {"labels": "decoder"}, ("styles",)),  # an array brings no labels along, which the decoder would hear
        (True, {"labels": "inferred", "encoder": "gaussian"}, ("interpolations", "styles", "clusters")),
        (False, {"clusters": 3, "embed": True}, ("interpolations", "styles", "clusters", "embedding")),
    ],
    ids=str,
)
def test_a_run_folder_has_the_pictures(
    named: bool, asked: dict[str, Any], wanted: tuple[str, ...], tmp_path: Path
) -> None:
    """With the data of a name, whose labels are read again, and of an array, of which the run has rows."""
    digits = boltz.load_data("mnist-mini", limit=30)
    rows, labels = (digits, None) if named else (digits.x / np.float32(255), digits.labels)
    latent = asked.get("latent", 2)
    model = boltz.aae([784, 5], latent, digits.x / 255, **{k: v for k, v in asked.items() if k != "latent"})
    hears = model.structure.game.told != "none" and "clusters" not in asked
    run = boltz.train(model, rows, tmp_path / "run", labels=labels if hears else None, **FEW)
    draw(run)
    found = {file.stem for file in (tmp_path / "run").glob("*.png")}
    assert found == {*wanted, "codes", "curves", "samples", "filters"}


def test_codes_of_one_unit_are_counted() -> None:
    axes = boltz.plot_codes(machine(1), X).axes[0]
    assert axes.get_xlabel() == "code" and len(axes.patches) > 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["draws of the prior", "codes"]


def test_many_labels_have_a_colour_bar() -> None:
    rows = np.repeat(X, 3, axis=0)
    figure = boltz.plot_codes(machine(), rows, np.arange(36))
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "label"]
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_array(), np.arange(36))


def test_data_bring_labels_along() -> None:
    digits = boltz.load_data("mnist-mini", limit=20)
    found = quick_game_pictures.drawn(boltz.plot_codes(boltz.aae([784, 5], 2), digits).axes[0])
    assert set(found) == {"draws of the prior", *map(str, np.unique(digits.labels))}


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: boltz.plot_codes(boltz.vae([16, 4], 2), X), "model must be an adversarial autoencoder"),
        (lambda: boltz.plot_codes(machine(), X[:0]), "x must have at least one row"),
        (lambda: boltz.plot_codes(machine(), X, np.arange(3)), "labels must have shape"),
        (lambda: boltz.plot_codes(machine(), X, np.full(12, 0.5)), "labels must be whole numbers"),
        (lambda: boltz.plot_styles(machine(), X), "model must have a decoder that hears labels"),
        (lambda: boltz.plot_clusters(machine(), X), "model must infer labels"),
        (lambda: boltz.plot_embedding(machine(clusters=3), X), "model must embed labels in at least two units"),
        (lambda: boltz.plot_interpolations(machine(), X[:1]), "x must hold at least two rows"),
        (lambda: boltz.plot_interpolations(machine(labels="decoder", classes=3), X), "labels must hold the class"),
        (lambda: boltz.plot_interpolations(machine(), X, steps=1), "steps must be a whole number"),
        (lambda: boltz.plot_clusters(machine(clusters=2), X, rows=0), "rows must be a whole number"),
        (lambda: boltz.embedding(boltz.vae([16, 4], 2), X), "model must be an adversarial autoencoder"),
    ],
)
def test_what_has_no_picture_is_refused(call: Any, what: str) -> None:
    with pytest.raises(InputError, match=what):
        call()
