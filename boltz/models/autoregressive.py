"""Builders of machines whose likelihood is exact: one autoregressive factor over the visible units, nothing hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from boltz import checks
from boltz.errors import InputError
from boltz.models.builders import machine_of_structure
from boltz.models.chosen import convolutions, image_shape, pixel_law
from boltz.models.graph import MOST_LAYERS, Layer
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import Structure
from boltz.nn.factors import Factor
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.nn.pixelcnn import PixelCNN

MOST_UNITS = 10**7


def nade(
    units: int,
    hidden: int = 500,
    x: Any = None,
    seed: int = 0,
    activation: str = "sigmoid",
    order: Sequence[int] = (),
) -> HelmholtzMachine:
    """NADE (Larochelle & Murray 2011): binary units, each given those before it, so that the likelihood is exact.

    order names the units as they are visited; () is 0, 1, 2 and so on. Weights are uniform as in Glorot & Bengio
    (2010), biases 0; with x (rows, units) those of the units fit its mean. Raises InputError.
    """
    units = checks.integer(units, "units", 1, MOST_UNITS)
    hidden = checks.integer(hidden, "hidden", 1, MOST_UNITS)
    listed = tuple(checks.integer(i, "order", 0, units - 1) for i in checks.sequence(order, "order", units))
    return tractable(Nade(units, hidden, 0, activation, listed), x, seed)


def made(
    units: int,
    widths: Sequence[int] = (500,),
    x: Any = None,
    seed: int = 0,
    *,
    masks: int = 1,
    activation: str = "relu",
    natural: bool = True,
) -> HelmholtzMachine:
    """MADE (Germain et al. 2015): binary units, each given those before it by masked dense layers of these widths.

    The likelihood is exact: that of the mixture of all masks, which follow from the seed. A step of training takes one
    of them after the other. natural: units come in their own order; False: each mask has an order of its own. Without
    widths, (), each unit hears those before it directly: a fully visible belief net. Weights are uniform as in Glorot &
    Bengio (2010), those of direct edges 0; with x (rows, units) biases of the units fit its mean. Raises InputError.
    """
    units = checks.integer(units, "units", 1, MOST_UNITS)
    listed = checks.sequence(widths, "widths", MOST_LAYERS)
    inner = tuple(checks.integer(n, f"widths[{i}]", 1, MOST_UNITS) for i, n in enumerate(listed))
    found = Made(units, inner, 0, masks, checks.seed(seed), activation, natural)
    if natural and masks > 1 and not inner:
        raise InputError(
            f"masks must be 1 without hidden layers, since all are alike in the natural order, got {masks}."
        )
    return tractable(found, x, seed)


def pixelcnn(
    units: int | None = None,
    x: Any = None,
    seed: int = 0,
    *,
    image: Any = None,
    receptive_field: int = 6,
    filters: int = 12,
    maps: int = 0,
    tied: bool = False,
    activation: str = "elu",
    levels: int = 2,
    mixture: int | None = None,
) -> HelmholtzMachine:
    """A PixelCNN (van den Oord et al. 2016): pixels, each given those above it and to its left, as many rows and
    columns away as receptive_field says; the likelihood is exact.

    Pixels are binary, or grey or coloured with so many levels, such as 256: rows of data are whole numbers from 0 to
    levels - 1, and a pixel has a mixture of so many discretised logistic laws, by default 5, in which a channel hears
    those before it (Salimans et al. 2017, section 2).

    image is (height, width) or (height, width, channels), where the channels of a pixel lie side by side in a row; None
    for that of x or for a square. units: None for those of the image. filters, maps (learnt biases here) and tied are
    as in boltz.vae. With x (rows, pixels) scales and biases start as in Salimans & Kingma (2016). Raises InputError.
    """
    units = None if units is None else checks.integer(units, "units", 1, MOST_UNITS)
    height, width, channels = image_shape(image, x, units)
    own = convolutions(receptive_field, filters, tied, activation) | pixel_law(channels, levels, mixture)
    maps = checks.integer(maps, "maps", 0, 10**4)
    return tractable(PixelCNN(height, width, maps=maps, **own), x, seed)


def tractable(factor: Factor, x: Any, seed: int) -> HelmholtzMachine:
    """The machine without hidden layers of a factor that is given nothing."""
    structure = Structure((Layer("v", factor.units, factor.kinds[0]),), (), factors=(("v", factor),))
    return machine_of_structure(structure, x, seed)
