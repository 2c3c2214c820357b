"""Catches a sigmoid belief net whose units hear others of their layer and whose densities, gradients or draws are not
those of Bornschein & Bengio (2015), or that does what it cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import inside as checks
from checks.inside import machine_of

import boltz
from boltz.errors import FileError, InputError
from boltz.models.graph import Layer
from boltz.models.structure import Structure
from boltz.nn.nade import Nade
from boltz.storage.tensors import read_tensors, write_tensors


def test_structure() -> None:
    checks.check_structure()


def test_exact() -> None:
    checks.check_exact()


def test_bounds() -> None:
    checks.check_bounds()


def test_wake() -> None:
    checks.check_wake()


def test_sleep() -> None:
    checks.check_sleep()


def test_samples() -> None:
    checks.check_samples()


def test_blocks() -> None:
    checks.check_blocks()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"conditionals": "nade", "visible": "gaussian"},
            "conditionals nade are of binary units, got visible gaussian",
        ),
        ({"conditionals": "darn"}, "conditionals must be one of"),
        ({"prior": "rbm"}, "prior must be one of"),
        ({"conditionals": "made", "conditional_units": 0}, "conditional_units must be"),
        ({"prior": "nade", "prior_units": 2.5}, "prior_units must be"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        boltz.sbn([4, 3], **given)


def test_an_rbm_as_prior_takes_no_factors() -> None:
    layers = tuple(Layer(name, n, "bernoulli") for name, n in (("v", 4), ("h1", 3), ("h2", 2)))
    with pytest.raises(InputError, match="factors must name drawn layers of a machine without an RBM, got 'v'"):
        Structure(layers, ((),), prior="rbm", factors=(("v", Nade(4, 5, 3)),))


@pytest.mark.parametrize(
    "use",
    [
        lambda machine, x: boltz.complete(machine, x, [True, False, True]),
        lambda machine, x: boltz.decode(machine, np.zeros((2, 2))),
        lambda machine, x: boltz.log_likelihood(machine, x, mask=[True, False, True]),
    ],
    ids=["complete", "decode", "known parts"],
)
def test_what_needs_independent_units_is_refused(use: Any) -> None:
    x = np.zeros((2, 3))
    with pytest.raises(
        InputError, match=r"layer v has a factor of its own \(nade\)|visible units of a sbn hear each other"
    ):
        use(machine_of("nade", "nade"), x)
    use(machine_of("dense", "nade"), x)


def test_a_file_with_a_factor_that_does_not_fit_is_refused(tmp_path: Any) -> None:
    machine, file = machine_of("nade", "made"), tmp_path / "m.safetensors"
    machine.save(file)
    tensors, told = read_tensors(file)
    for wrong, right in (('"given": 2', '"given": 3'), ('"nade"', '"sbn"'), ('"hidden": 5', '"hidden": -1')):
        assert wrong in told["structure"]
        write_tensors(file, tensors, {**told, "structure": told["structure"].replace(wrong, right)})
        with pytest.raises(FileError, match="does not describe a Helmholtz machine"):
            boltz.load(file)


def test_posterior_annealing_brackets_the_likelihood() -> None:
    """The lower and the upper bound differ by the gap, which many temperatures make small."""
    found = boltz.posterior_sandwich(machine_of("nade", "nade"), rows=20, chains=8, betas=40, seed=1)
    assert found.lower.value <= found.upper.value + 4 * found.gap_error and found.gap < 0.5


def test_weights_of_one_sample_are_finite_where_every_layer_has_a_factor() -> None:
    machine = machine_of("made", "nade", (5, 4, 3, 2))
    first, second = boltz.importance_bounds(machine, np.eye(5), samples=(1, 200), seed=3)
    exact = boltz.log_likelihood(machine, np.eye(5))
    assert first.value < second.value < exact.value + 5 * second.standard_error
