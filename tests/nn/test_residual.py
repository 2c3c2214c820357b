"""Catches convolutions, residual nets and dropout whose values, derivatives or starts are not as they are defined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import residual as checks
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.nn.residual import Residual
from boltz.parallel import team

X = (np.random.default_rng(1).random((24, 12)) < 0.4).astype(np.float32)
RESNET: dict[str, Any] = {"encoder": "resnet", "image": (3, 4), "residual_maps": (2, 3)}


def test_convolutions() -> None:
    checks.check_convolutions()


def test_compiled() -> None:
    checks.check_compiled()


def test_pullbacks() -> None:
    checks.check_pullbacks()


def test_pull_options() -> None:
    checks.check_pull_options()


def test_start() -> None:
    checks.check_start()


def test_dropout() -> None:
    checks.check_dropout()


def test_bounds() -> None:
    checks.check_bounds()


def test_means() -> None:
    checks.check_means()


def test_training() -> None:
    checks.check_training()


def test_the_blocks_of_mnist_are_those_of_the_paper() -> None:
    """Chen et al. (2017): 28 x 28 becomes 14 x 14 x 16, 7 x 7 x 32 and 4 x 4 x 32; the decoder mirrors it."""
    blocks = Residual(28, 28)
    down, up = blocks.down(), blocks.up(4)
    ends = [(b.second.outputs, b.second.after) for b in down]
    assert ends == [(16, (14, 14)), (16, (14, 14)), (32, (7, 7)), (32, (7, 7)), (32, (4, 4))]
    ends = [(b.second.outputs, b.second.after) for b in up]
    assert ends == [(32, (7, 7)), (32, (7, 7)), (16, (14, 14)), (16, (14, 14)), (4, (28, 28))]
    assert [b.skip is None for b in down] == [False, True, False, True, False] == [b.skip is None for b in up]
    machine = boltz.vae([784, 450], 32, encoder="resnet", decoder="pixelcnn")
    assert machine.architecture == "784-16 maps-32 maps-32 maps-450-[32]"
    assert machine.structure.recognition["h1"].sizes == (784, 450, 64)
    assert machine.factors["v"].inner == "6 x 12-4 maps-16 maps-32 maps-32 maps-450"


@pytest.mark.parametrize("decoder", ["dense", "pixelcnn"])
def test_threads_and_files_keep_every_bit(decoder: str, tmp_path: Path) -> None:
    found = []
    for threads in (1, 2):
        machine = boltz.vae([12, 4], 2, X, decoder=decoder, **RESNET)
        with team(threads):
            found.append(plain_train(machine, X, epochs=2, batch_size=16, dropout=0.2).model)
    assert found[0].arena.tobytes() == found[1].arena.tobytes()
    found[0].save(tmp_path / "model.safetensors")
    loaded = boltz.load(tmp_path / "model.safetensors")
    assert loaded.plan == found[0].plan and loaded.arena.tobytes() == found[0].arena.tobytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encoder": "cnn"}, "encoder must be one of dense, resnet"),
        ({"residual_maps": (3,)}, "residual_maps would do nothing, got .*: it needs encoder resnet"),
        ({"image": (3, 4)}, "image would do nothing: it needs encoder resnet or decoder pixelcnn"),
        ({"encoder": "resnet", "image": (3, 4), "visible": "gaussian"}, "sees binary pixels, got visible gaussian"),
        ({"encoder": "resnet", "image": (3, 5)}, "image must be"),
        ({"encoder": "resnet", "image": (3, 4), "residual_maps": ()}, "residual_maps must name at least 1"),
        ({"encoder": "resnet", "image": (3, 4), "residual_maps": (0,)}, r"residual_maps\[0\] must be"),
        ({"maps": 3}, "maps would do nothing, got 3: it needs decoder pixelcnn"),
        ({"tied": False}, "tied would do nothing"),
        ({"filters": 3}, "filters would do nothing"),
        ({"receptive_field": 3}, "receptive_field would do nothing"),
        ({"flow_steps": 3}, "flow_steps would do nothing, got 3: it needs prior flow or coupling, or posterior iaf"),
        ({"flow_widths": (3,)}, "flow_widths would do nothing"),
    ],
)
def test_idle_and_wrong_arguments_of_a_vae_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        boltz.vae([12, 4], 2, **settings)


def test_several_hidden_layers_are_refused() -> None:
    with pytest.raises(InputError, match="encoder resnet is of one hidden layer, but latent names 2"):
        boltz.vae([12, [4], [3]], [2, 2], encoder="resnet", image=(3, 4))


@pytest.mark.parametrize("name", ["conditional_units", "prior_units"])
def test_idle_arguments_of_a_belief_net_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} would do nothing, got 5: it needs .* nade or made"):
        boltz.sbn([4, 3], **{name: 5})  # type: ignore[arg-type]


def test_dropout_without_a_place_is_refused() -> None:
    for machine in (boltz.vae([12], 2), boltz.nade(12, 3), boltz.sbn([12, 3])):
        with pytest.raises(InputError, match="dropout leaves out units of deterministic layers"):
            boltz.train(machine, X, epochs=1, dropout=0.5)
    with pytest.raises(InputError, match="dropout must be 0 for the objective wake-sleep"):
        boltz.train(boltz.sbn([12, 3], [4]), X, epochs=1, objective="wake-sleep", dropout=0.5)
    with pytest.raises(InputError, match="dropout must be"):
        boltz.train(boltz.vae([12, 4], 2), X, epochs=1, dropout=1.0)


def test_residual_nets_are_not_unrolled() -> None:
    with pytest.raises(InputError, match="must have dense nets to be unrolled"):
        boltz.autoencoder(boltz.vae([12, 4], 2, **RESNET))


def test_visible_weights_are_refused() -> None:
    with pytest.raises(InputError, match="have no weights of their own"):
        boltz.vae([12, 4], 2, **RESNET).visible_weights  # noqa: B018
