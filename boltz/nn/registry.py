"""The factors that a layer may have of its own, by the names that files and the command line give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from boltz import checks
from boltz.errors import InputError
from boltz.nn.factors import Factor
from boltz.nn.flows import AutoregressiveFlow, CouplingFlow
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.nn.pixelcnn import PixelCNN

FACTORS: dict[str, type[Any]] = {
    "nade": Nade,
    "made": Made,
    "pixelcnn": PixelCNN,
    "flow": AutoregressiveFlow,
    "coupling": CouplingFlow,
}
FACTOR_NAMES = {kind: name for name, kind in FACTORS.items()}


def factor_from(name: Any, plain: Any) -> Factor:
    """The factor of this name with settings as files hold them; raises InputError, TypeError or ValueError."""
    kind = FACTORS[checks.choice(name, "factor", FACTORS)]
    if not isinstance(plain, Mapping) or not set(plain) <= {each.name for each in fields(kind)}:
        raise InputError(f"the factor {name} has other settings.")
    found: Factor = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})
    return found
