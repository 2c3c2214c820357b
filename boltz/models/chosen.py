"""What builders of directed machines choose by name: factors of layers, and flows behind encoders."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from boltz import checks
from boltz.errors import InputError
from boltz.models.graph import MOST_LAYERS, Layer
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.factors import Factor
from boltz.nn.flows import AutoregressiveFlow, CouplingFlow
from boltz.nn.invertible import MOST_STEPS
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.nn.pixelcnn import PixelCNN
from boltz.nn.registry import POSTERIORS
from boltz.nn.residual import Residual
from boltz.units.levels import LEAST, MOST, NAME, kind_of_levels

DECODERS = ("dense", "pixelcnn")
MIXTURE = 5  # logistic laws of a pixel with levels
NETWORKS = ("dense", "resnet")
USUAL: Mapping[str, Any] = {
    "receptive_field": 6,
    "filters": 12,
    "maps": 4,
    "tied": True,
    "flow_steps": 2,
    "flow_widths": (320,),
    "conditional_units": 100,
    "prior_units": 100,
    "residual_maps": (16, 32, 32),
}  # what an argument means that is not given
ENCODERS = ("gaussian", *POSTERIORS)
FLOWS: Mapping[str, Any] = {"normal": None, "flow": AutoregressiveFlow, "coupling": CouplingFlow}
INSIDE: Mapping[str, Callable[[int, int, int], Factor]] = {
    "nade": Nade,
    "made": lambda units, hidden, given: Made(units, (hidden,), given),
}  # name -> the factor of (units, hidden units, units of the layer above)
NETS, PRIORS = ("dense", *INSIDE), ("factorial", *INSIDE)


def usual(given: Mapping[str, Any], plays: bool, need: str) -> list[Any]:
    """The values of arguments by name, or their usual ones for None; raises InputError for one that does nothing,
    since what it plays a part in, the need in words, is not there.
    """
    for name, value in given.items():
        if value is not None and not plays:
            raise InputError(f"{name} would do nothing, got {checks.brief(value)}: it needs {need}.")
    return [USUAL[name] if value is None else value for name, value in given.items()]


def sizes_of(value: Any, name: str, least: int) -> list[int]:
    listed = checks.sequence(value, name, MOST_LAYERS)
    found = [checks.integer(n, f"{name}[{i}]", 1, 10**7) for i, n in enumerate(listed)]
    if len(found) < least:
        raise InputError(f"{name} must name at least {least} layers, got {found}.")
    return found


def parted(units: Any) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """The visible units, and the groups of deterministic layers from the bottom, of a vae; raises InputError."""
    listed = checks.sequence(units, "units", MOST_LAYERS)
    if not listed:
        raise InputError("units must name the visible units first, got none.")
    deep = any(not isinstance(n, int | np.integer) for n in listed[1:])
    groups = listed[1:] if deep else [listed[1:]]
    widths = tuple(tuple(sizes_of(g, f"units[{i + 1}]" if deep else "units", 0)) for i, g in enumerate(groups))
    return checks.integer(listed[0], "units[0]", 1, 10**7), widths


def latent_sizes(latent: Any, groups: int) -> list[int]:
    """Units of the hidden layers of a vae, one for each group of deterministic layers; raises InputError."""
    sizes = sizes_of([latent] if isinstance(latent, int | np.integer) else latent, "latent", 1)
    if len(sizes) != groups:
        raise InputError(
            f"latent must name as many layers as units has groups of deterministic layers, {groups}, "
            f"got {checks.few(sizes)}."
        )
    return sizes


def factors_inside(
    layers: Sequence[Layer], conditionals: tuple[Any, Any], prior: tuple[Any, Any]
) -> tuple[tuple[str, Factor], ...]:
    """(layer, factor) of the layers of a sigmoid belief net whose units hear each other, from the bottom.

    conditionals and prior are what sbn is told: a name, and the hidden units of each. Raises InputError.
    """
    name, top = checks.choice(conditionals[0], "conditionals", NETS), checks.choice(prior[0], "prior", PRIORS)
    (inside,) = usual({"conditional_units": conditionals[1]}, name in INSIDE, "conditionals nade or made")
    (above_all,) = usual({"prior_units": prior[1]}, top in INSIDE, "prior nade or made")
    if name in INSIDE and layers[0].kind != "bernoulli":
        raise InputError(
            f"conditionals {name} are of binary units, got visible {layers[0].kind}: give conditionals dense."
        )
    each = [(name, "conditional_units", inside, above.units) for above in layers[1:]]
    each.append((top, "prior_units", above_all, 0))
    return tuple(
        (layer.name, INSIDE[own](layer.units, checks.integer(hidden, argument, 1, 10**7), given))
        for layer, (own, argument, hidden, given) in zip(layers, each, strict=True)
        if own in INSIDE
    )


def masked_decoder(
    decoder: Any,
    masked: Mapping[str, Any],
    shape: tuple[int, int, int] | None,
    given: tuple[int, Sequence[int], str],
    residual: Residual | None,
    law: tuple[Any, Any],
) -> list[tuple[str, Factor]]:
    """(layer, factor) of the visible layer of a vae, nothing for a dense decoder.

    masked are its arguments, shape (height, width, channels), and given the units of the layer above, the deterministic
    layers between from the bottom, and their activation; residual are the blocks that the maps pass, if any; law are
    levels and mixture. Raises InputError.
    """
    field, filters, tied, maps = usual(masked, decoder == "pixelcnn", "decoder pixelcnn")
    if shape is None:
        return []
    units, widths, activation = given
    own = convolutions(field, filters, tied, activation) | pixel_law(shape[2], law[0] or 2, law[1])
    own |= {"residual_maps": () if residual is None else residual.maps}
    count = checks.integer(maps, "maps", 1, 10**4)
    return [("v", PixelCNN(*shape[:2], units, tuple(reversed(widths)), count, **own))]


def flows_of(
    prior: Any, posterior: Any, sizes: list[int], given: tuple[Any, Any]
) -> tuple[list[tuple[str, Factor]], tuple[tuple[str, Any], ...]]:
    """The prior of the top layer of a vae that is a flow, if it is, and the flows behind its encoders.

    given are flow_steps and flow_widths. Raises InputError.
    """
    checks.choice(prior, "prior", FLOWS)
    flowing = checks.choice(posterior, "posterior", ENCODERS) != "gaussian" or prior != "normal"
    told = dict(zip(("flow_steps", "flow_widths"), given, strict=True))
    steps, widths = usual(told, flowing, "prior flow or coupling, or posterior iaf")
    top = [] if prior == "normal" else [(f"h{len(sizes)}", flow_prior(prior, sizes[-1], steps, widths))]
    return top, posteriors(posterior, sizes, steps, widths)


def posteriors(name: str, sizes: list[int], steps: Any, widths: Any) -> tuple[tuple[str, Any], ...]:
    """The flow of this name behind the draw of each hidden layer, from the bottom; none for "gaussian"."""
    if checks.choice(name, "posterior", ENCODERS) == "gaussian":
        return ()
    of, inner = POSTERIORS[name], tuple(sizes_of(widths, "flow_widths", 1))
    steps = checks.integer(steps, "flow_steps", 1, MOST_STEPS)
    return tuple((f"h{i}", of(units, steps, inner, 2 * units)) for i, units in enumerate(sizes, 1))


def flow_prior(prior: str, units: int, steps: Any, widths: Any) -> Factor:
    """The flow of this name as prior of so many units."""
    inner = tuple(sizes_of(widths, "flow_widths", 1))
    if prior == "coupling" and units < 2:
        raise InputError(
            "prior coupling needs 2 units or more in the top hidden layer, got 1: give more, or prior flow."
        )
    found: Factor = FLOWS[prior](units, checks.integer(steps, "flow_steps", 1, MOST_STEPS), inner)
    return found


def residual_nets(encoder: str, maps: Any, found: tuple[int, Any, Any, list[int], str]) -> Residual | None:
    """The residual blocks of a vae whose encoder has this name, None for dense nets; found are its visible units,
    image, x, hidden layers and the kind of its visible units. Raises InputError.
    """
    units, image, x, latent, visible = found
    (each,) = usual({"residual_maps": maps}, checks.choice(encoder, "encoder", NETWORKS) == "resnet", "encoder resnet")
    if encoder == "dense":
        return None
    if len(latent) != 1:
        raise InputError(f"encoder resnet is of one hidden layer, but latent names {len(latent)}: give encoder dense.")
    if visible != "bernoulli":
        raise InputError(f"encoder resnet sees binary pixels, got visible {visible}: give encoder dense.")
    return Residual(*image_shape(image, x, units)[:2], tuple(sizes_of(each, "residual_maps", 1)))


def convolutions(receptive_field: Any, filters: Any, tied: Any, activation: str) -> dict[str, Any]:
    """The settings of the masked convolutions of a PixelCNN."""
    return {
        "layers": checks.integer(receptive_field, "receptive_field", 0, 1000),
        "filters": checks.integer(filters, "filters", 1, 10**4),
        "tied": checks.flag(tied, "tied"),
        "activation": activation,
    }


def image_shape(image: Any, x: Any, units: int | None) -> tuple[int, int, int]:
    """Height, width and channels of rows of so many numbers: as told, those of Data, or those of a grey square.

    units: None for those of the image. Raises InputError.
    """
    told = image if image is not None else getattr(x, "shape", None) if hasattr(x, "fingerprint") else None
    if units is None and told is None:
        raise InputError("image must be given where units are not: (height, width), or (height, width, channels).")
    side = math.isqrt(units or 0)
    sides = checks.sequence((side, side) if told is None else told, "image", 3)
    found = [checks.integer(each, "image", 1, 10**7) for each in sides]
    if len(found) < 2 or (units is not None and math.prod(found) != units):
        if told is None:
            raise InputError(
                f"{units} pixels are no square image: give image=(height, width), or (height, width, channels) with "
                "the channels of a pixel side by side, or data of (rows, height, width)."
            )
        raise InputError(
            f"image must be (height, width), or (height, width, channels), of {units} pixels, got {checks.few(found)}."
        )
    return found[0], found[1], (*found, 1)[2]


def pixel_law(channels: int, levels: Any, mixture: Any) -> dict[str, int]:
    """Channels, levels and mixture of a PixelCNN; mixture None: as many laws as are usual. Raises InputError."""
    levels = checks.integer(levels, "levels", 2, MOST)
    if levels == 2 and mixture is not None:
        raise InputError("mixture is of levels, but the pixels are binary: give levels, such as 256, or leave it out.")
    if levels == 2 and channels > 1:
        raise InputError(f"binary pixels have one channel, but image has {channels}: give levels, such as 256.")
    count = MIXTURE if mixture is None else checks.integer(mixture, "mixture", 1, 10**4)
    return {"channels": channels, "levels": levels, "mixture": 0 if levels == 2 else count}


def visible_kind(visible: Any, levels: Any, mixture: Any, decoder: str) -> str:
    """The kind of the visible units of a vae; raises InputError where these do not fit together."""
    if checks.choice(visible, "visible", (*CONDITIONALS, NAME)) != NAME:
        for name, value in (("levels", levels), ("mixture", mixture)):
            if value is not None:
                raise InputError(f"{name} is for visible='levels', but visible is {visible!r}: leave {name} out.")
        return str(visible)
    if decoder != "pixelcnn":
        raise InputError("visible levels are those of a PixelCNN: give decoder='pixelcnn'.")
    if levels is None:
        raise InputError("levels must be given with visible='levels': how many values a number has, such as 256.")
    return kind_of_levels(checks.integer(levels, "levels", LEAST, MOST))
