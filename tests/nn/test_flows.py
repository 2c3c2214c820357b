"""Catches flows with wrong densities, log-determinants, inverses, derivatives or draws."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from checks import flows as checks

from boltz.errors import InputError
from boltz.nn import invertible
from boltz.nn.flows import AutoregressiveFlow, CouplingFlow, InverseAutoregressiveFlow


def test_densities() -> None:
    checks.check_densities()


def test_maps() -> None:
    checks.check_maps()


def test_log_determinants() -> None:
    checks.check_log_determinants()


def test_order() -> None:
    checks.check_order()


def test_context() -> None:
    checks.check_context()


def test_inverse() -> None:
    checks.check_inverse()


def test_normalisation() -> None:
    checks.check_normalisation()


def test_start() -> None:
    checks.check_start()


def test_pullbacks_of_priors() -> None:
    checks.check_pullbacks_of_priors()


def test_pullbacks_of_posteriors() -> None:
    checks.check_pullbacks_of_posteriors()


def test_pullbacks_of_inverses() -> None:
    checks.check_pullbacks_of_inverses()


def test_log_q() -> None:
    checks.check_log_q()


def test_draws() -> None:
    checks.check_draws()


def test_blocks() -> None:
    checks.check_blocks()


def test_single_precision() -> None:
    checks.check_single_precision()


@pytest.mark.parametrize("kind", [AutoregressiveFlow, CouplingFlow, InverseAutoregressiveFlow])
def test_a_flow_comes_back_from_json(kind: Any) -> None:
    flow = kind(4, 3, (5, 6), kind="affine", activation="tanh")
    again = kind(**json.loads(json.dumps(asdict(flow))))
    assert again == flow and hash(again) == hash(flow) and again.widths == (5, 6)
    assert again.shapes("n") == flow.shapes("n") and next(iter(flow.shapes("n"))) == "n/0/0/weight"


@pytest.mark.parametrize(
    ("kind", "arguments", "sentence"),
    [
        (AutoregressiveFlow, {"units": 0}, "units must be a whole number of at least 1, got 0"),
        (CouplingFlow, {"units": 1}, "units must be a whole number of at least 2, got 1"),
        (
            AutoregressiveFlow,
            {"units": 2, "steps": 0},
            "steps must be a whole number of at least 1 and at most 1000, got 0",
        ),
        (AutoregressiveFlow, {"units": 2, "widths": ()}, "widths must name at least one hidden layer, got none"),
        (
            CouplingFlow,
            {"units": 2, "widths": (3, 0)},
            "widths must be a whole number of at least 1 and at most 10000000, got 0",
        ),
        (CouplingFlow, {"units": 2, "kind": "mean"}, "kind must be one of affine, mean-only, got 'mean'"),
        (AutoregressiveFlow, {"units": 2, "activation": "sine"}, "activation must be one of .*, got 'sine'"),
        (
            InverseAutoregressiveFlow,
            {"units": 2, "context": -1},
            "context must be a whole number of at least 0 and at most 10000000, got -1",
        ),
    ],
)
def test_wrong_settings_are_refused(kind: Any, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        kind(**arguments)


def test_arrays_on_a_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invertible, "on_device", lambda x: True)
    flow = AutoregressiveFlow(2, 1, (3,))
    place, z = checks.place_of(checks.params_of(flow), np.zeros((3, 2))), np.zeros((3, 2))
    for call in (lambda: flow.score(place, z), lambda: flow.draw(place, z, (1, 2, 3), np.arange(3))):
        with pytest.raises(InputError, match="flows run on the processor"):
            call()
