"""Games of adversarial autoencoders: steps by hand, runs that go on as if unbroken, priors matched, and collapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import adversarial as checks

import boltz
from boltz.errors import InputError
from boltz.rng import Key
from boltz.training.game_notes import matched

ROWS = (np.random.default_rng(1).random((120, 9)) < 0.4).astype(np.float32)
QUICK: dict[str, Any] = {"epochs": 2, "discriminator_widths": (8,), "batch_size": 50}


@pytest.mark.parametrize("kind", checks.KINDS)
def test_a_step_is_that_by_hand(kind: str) -> None:
    checks.check_step(kind)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_spreads_stay,
        checks.check_smoothing,
        checks.check_penalty,
        checks.check_spectral,
        checks.check_noise,
        checks.check_kernel_slope,
        checks.check_two_samples,
        checks.check_named_components,
        checks.check_labelled_sum,
        checks.check_labelled_draws,
        checks.check_threads,
    ],
)
def test_parts(check: Any) -> None:
    check()


@pytest.mark.parametrize("name", checks.PRIORS)
def test_priors(name: str) -> None:
    if name != "uniform":  # which has no density where codes may lie
        checks.check_prior_density(name)
    checks.check_prior_draws(name)


@pytest.mark.parametrize("kind", ["plain", "wide", "mixture", "decoder", "clusters", "embedded"])
def test_likelihoods_are_those_of_quadrature(kind: str) -> None:
    checks.check_likelihood(kind)


@pytest.mark.parametrize(
    "chosen", [{}, {"encoder": "implicit"}, {"labels": "inferred", "classes": 3}, {"prior": "swiss-roll", "latent": 2}]
)
def test_a_run_goes_on_bit_for_bit(chosen: dict[str, Any], tmp_path: Any) -> None:
    """Catches a discriminator, its moments or labels that a checkpoint leaves out."""
    machine, labels = boltz.aae([9, 8], **{"latent": 3, **chosen}), None
    if "labels" in chosen:
        labels = np.where(np.arange(120) < 30, np.arange(120) % 3, -1)
    whole = boltz.train(machine, ROWS, out=tmp_path / "whole", labels=labels, checkpoint_seconds=0, **QUICK)

    def stop(record: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseException):  # noqa: B017  # whatever a signal becomes
        boltz.train(machine, ROWS, out=tmp_path / "half", labels=labels, watch=stop, checkpoint_seconds=0, **QUICK)
    half = boltz.resume(tmp_path / "half", ROWS)
    assert len(half.history) == 2 and np.array_equal(half.model.arena, whole.model.arena)


def test_the_prior_of_a_toy_is_matched() -> None:
    """Catches a game that does not end near its known answer: rows are normal, so that codes can be so exactly.

    The test rejects at 1 % by chance; of the planted collapse it says so in words.
    """
    x = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    machine = boltz.aae([2, 32], 2, visible="gaussian", seed=1)
    run = boltz.train(machine, x, epochs=30, generator_rate=5e-4, discriminator_widths=(16, 16), seed=1)
    found = matched(run.model, run.seen[0], Key.from_seed(3))
    assert not found.test.differ and not found.collapsed, found
    fallen = run.model.astype(np.float32)
    fallen.params["recognition/h1/1/weight"][...] *= 0.01
    found = matched(fallen, run.seen[0], Key.from_seed(3))
    assert found.collapsed and found.test.differ and "Mode collapse" in found.sentences[0]


def test_spreads_are_fitted() -> None:
    """Catches a proposal as wide as the prior, and a variance of Gaussian units that is not that of their residuals."""
    x = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * [1, 1, 0.1]
    run = boltz.train(boltz.aae([3, 16], 1, visible="gaussian"), x, **{**QUICK, "epochs": 20})
    assert run.seen is not None
    rows, machine = run.seen[0], run.model
    name = "generative/v/1"
    code = boltz.features(machine, x)
    hidden = np.maximum(code @ machine.params["generative/v/0/weight"] + machine.params["generative/v/0/bias"], 0)
    out = hidden @ machine.params[f"{name}/weight"] + machine.params[f"{name}/bias"]
    left = np.square(rows - out[: len(rows), :3]).mean(axis=0)
    np.testing.assert_allclose(np.exp(2 * out[0, 3:]), left, rtol=0.05)
    spread = np.exp(machine.params["recognition/h1/1/bias"][1])
    assert 0 < spread < 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"prior": "mixture"}, "latent=2"),
        ({"prior": "swiss-roll"}, "latent=2"),
        ({"prior": "uniform", "prior_sigma": 2.0}, "prior_sigma"),
        ({"labels": "prior"}, "prior mixture or swiss-roll"),
        ({"embed": True}, "clusters"),
        ({"clusters": 5, "classes": 3}, "no classes"),
        ({"classes": 3}, "labels are none"),
        ({"noise": 3}, "encoder='implicit'"),
        ({"prior": lambda count, generator: np.zeros((count, 3))}, "prior(count, generator)"),
        ({"prior": lambda count, generator: np.zeros((7, 8))}, "must return count rows"),
        ({"prior": lambda count, generator: np.zeros((count, 8)), "labels": "prior"}, "a function has none"),
        ({"prior": lambda count, generator: np.zeros((count, 8)), "prior_sigma": 2.0}, "not of a function"),
    ],
)
def test_builders_refuse(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told.replace("(", r"\(").replace(")", r"\)")):
        boltz.aae([9, 8], **arguments)


def test_labels_are_read_or_refused() -> None:
    machine = boltz.aae([9, 8], labels="decoder", classes=3)
    for labels, told in ((None, "class of each row"), (np.full(120, 3), "from 0 to 2"), (np.zeros(7), "labels")):
        with pytest.raises(InputError, match=told):
            boltz.train(machine, ROWS, labels=labels, **QUICK)
    with pytest.raises(InputError, match="adversarial autoencoder that hears some"):
        boltz.train(boltz.vae([9, 8], 2), ROWS, labels=np.zeros(120), epochs=1)
    for prior in ("swiss-roll", "uniform"):
        with pytest.raises(InputError, match="no density"):
            boltz.log_likelihood(boltz.aae([9, 8], 2, prior=prior), ROWS[:3], samples=5)


def test_constant_columns_change_nothing() -> None:
    """Catches a constant unit whose spread is that of its residuals, nothing, so that each row is likelier for it."""
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    whole = np.concatenate([x, np.full((300, 3), 7.0, np.float32)], axis=1)
    machine = boltz.train(boltz.aae([5, 8], 1, visible="gaussian"), whole, **QUICK).model
    assert np.array_equal(machine.params["generative/v/1/bias"][-3:], np.zeros(3))


def test_a_game_goes_on_with_the_spreads_of_a_game() -> None:
    """Catches a second training whose gradients are divided by the variances that the first was measured with."""
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    first = boltz.train(boltz.aae([3, 8], 2, visible="gaussian"), x, **QUICK).model
    assert first.params["generative/v/1/bias"][3:].any()
    seen = []
    boltz.train(
        first, x, watch=lambda record, model: seen.append(model.params["generative/v/1/bias"][3:].any()), **QUICK
    )
    assert not any(seen)


def test_inferred_labels_of_a_row_do_not_depend_on_others() -> None:
    run = boltz.train(boltz.aae([9, 8], 3, clusters=3, encoder="implicit"), ROWS, **QUICK)
    found = boltz.label_probabilities(run.model, ROWS)
    assert np.array_equal(boltz.label_probabilities(run.model, ROWS[::-1]), found[::-1])


def test_rows_of_weight_0_teach_no_label() -> None:
    labels = np.where(np.arange(120) < 40, np.arange(120) % 2, -1)
    weights, others = np.where(np.arange(120) < 4, 0.0, 1.0), labels.copy()
    others[:4] = 1 - labels[:4]
    machine = boltz.aae([9, 8], 2, labels="inferred", classes=2)
    found = [boltz.train(machine, ROWS, labels=each, weights=weights, **QUICK).model.arena for each in (labels, others)]
    assert np.array_equal(*found)
