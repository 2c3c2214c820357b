"""The factors and posteriors that a layer may have of its own, by the names that files and options give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from boltz import checks
from boltz.errors import InputError
from boltz.nn.code_priors import Box, Points, Ring, WideNormal
from boltz.nn.factors import Factor
from boltz.nn.flows import AutoregressiveFlow, CouplingFlow, InverseAutoregressiveFlow
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.nn.pixelcnn import PixelCNN
from boltz.nn.residual import Residual

FACTORS: dict[str, type[Any]] = {
    "nade": Nade,
    "made": Made,
    "pixelcnn": PixelCNN,
    "flow": AutoregressiveFlow,
    "coupling": CouplingFlow,
    "wide": WideNormal,
    "mixture": Ring,
    "uniform": Box,
    "points": Points,
}
FACTOR_NAMES = {kind: name for name, kind in FACTORS.items()}
POSTERIORS: dict[str, type[InverseAutoregressiveFlow]] = {"iaf": InverseAutoregressiveFlow}
POSTERIOR_NAMES = {kind: name for name, kind in POSTERIORS.items()}


def factor_from(name: Any, plain: Any) -> Factor:
    """The factor of this name with settings as files hold them; raises InputError, TypeError or ValueError."""
    found: Factor = _made(FACTORS, "factor", name, plain)
    return found


def posterior_from(name: Any, plain: Any) -> InverseAutoregressiveFlow:
    """The flow of a posterior of this name, likewise."""
    found: InverseAutoregressiveFlow = _made(POSTERIORS, "posterior", name, plain)
    return found


def residual_from(plain: Any) -> Residual | None:
    """The residual blocks of a structure as files hold them, None where it has none, likewise."""
    if plain is None:
        return None
    found: Residual = _made({"residual": Residual}, "net", "residual", plain)
    return found


def _made(kinds: Mapping[str, type[Any]], what: str, name: Any, plain: Any) -> Any:
    kind = kinds[checks.choice(name, what, kinds)]
    if not isinstance(plain, Mapping) or not set(plain) <= {each.name for each in fields(kind)}:
        raise InputError(f"the {what} {name} has other settings.")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})
