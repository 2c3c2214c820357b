"""Catches updates of the arena that differ from their formulas in either float type, and a missed number not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import factored
from checks import training as checks
from oracles.enumeration import Table
from support.training import plain_train

import boltz
from boltz.kernels import cpu, reference
from boltz.parallel import Workers
from boltz.training import optimizers
from boltz.training.settings import OPTIMIZERS, Settings
from boltz.training.stages import settings_of


def test_momentum_by_hand() -> None:
    checks.check_momentum()


def test_nesterov_is_the_look_ahead_gradient() -> None:
    checks.check_nesterov()


def test_adam_by_hand() -> None:
    checks.check_adam()


def test_adamax_by_hand() -> None:
    factored.check_adamax()


def test_a_long_process_keeps_few_settings() -> None:
    """A hundred trainings with a decay, each with settings of its own: what was made of them is let go."""
    rows = np.eye(4, dtype=np.float32)
    for seed in range(100):
        plain_train(boltz.rbm(4, 2), rows, epochs=1, l2=1e-3, seed=seed)
    assert optimizers._without_decay.cache_info().currsize <= 16


def test_the_defaults_of_adam_are_those_of_the_paper() -> None:
    settings = Settings()
    assert (settings.adam_beta1, settings.adam_epsilon, settings.adam_second) == (0.9, 1e-8, 0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_optimizer_starts_at_zero_but_for_the_second_moments(optimizer: str, dtype: type) -> None:
    machine = checks.arena_machine().astype(dtype)
    for start in (0.0, 2.5):
        state = optimizers.init(Settings(optimizer=optimizer, adam_second=start), machine)
        assert list(state) == {"adam": ["first", "second"], "adamax": ["first", "largest"]}.get(optimizer, ["velocity"])
        for name, x in state.items():
            assert x.dtype == dtype and x.shape == machine.arena.shape
            np.testing.assert_array_equal(x, start if name == "second" else 0)


@pytest.mark.parametrize(
    "make", [lambda: boltz.sbn([5, 4, 3], [2]), lambda: boltz.vae([5, 3], 2), lambda: boltz.dbn([5, 4, 3])]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_biases_of_directed_machines_do_not_decay_either(make: Callable[[], Any], optimizer: str) -> None:
    """Where weights and biases alternate in the arena: with no gradient the weights shrink, the biases stay."""
    machine = make()
    machine.arena[...] = 1
    settings = settings_of(machine.plan, {"learning_rate": 0.1, "optimizer": optimizer, "l2": 0.5, "l1": 0.25})
    state, gradient = optimizers.init(settings, machine), np.zeros_like(machine.arena)
    assert optimizers.apply(settings, machine, gradient, state, optimizers.Step([0.1], [0.0], 1), checks.SERIAL)
    kinds = {name.rsplit("/", 1)[1] for name in machine.params}
    assert kinds == {"weight", "bias"}
    for name, x in machine.params.items():
        shrunk = name.endswith("weight")
        assert ((x < 1) == shrunk).all(), name


def test_each_pair_of_layers_has_its_own_rate_and_decay() -> None:
    checks.check_settings_by_pair()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_numbers_by_pair_that_are_equal_are_one_number(optimizer: str) -> None:
    """Bits of a short training with steps in one call, and one by one."""
    checks.check_equal_numbers(optimizer)


def test_max_norm_shortens_columns_only() -> None:
    checks.check_max_norm()


def test_momentum_zero_is_plain_ascent() -> None:
    for optimizer in ("momentum", "nesterov"):
        machine, gradient = checks.arena_machine(), np.random.default_rng(60).normal(size=44)
        before = machine.arena.copy()
        checks.updated(Settings(learning_rate=0.25, optimizer=optimizer), machine, [gradient])
        np.testing.assert_allclose(machine.arena, before + 0.25 * gradient, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_velocity_that_nobody_reads_is_left_alone(dtype: type) -> None:
    """Bits of an update without one are those of an update with a velocity of zero, on the processor and in numpy."""
    rng = np.random.default_rng(63)
    start, gradient = rng.normal(size=(2, 301)).astype(dtype)
    for primitives in (cpu, reference):
        found, wanted = start.copy(), start.copy()
        assert primitives.momentum_update(found, gradient, gradient[:0], 0.1, 0.0, False, 1e-2, 1e-3)
        assert primitives.momentum_update(wanted, gradient, np.zeros_like(start), 0.1, 0.0, False, 1e-2, 1e-3)
        assert found.tobytes() == wanted.tobytes()
        endless = np.where(np.arange(301) == 7, np.inf, gradient).astype(dtype)
        assert not primitives.momentum_update(found, endless, gradient[:0], 0.1, 0.0, False, 0.0, 0.0)
    machine, settings = checks.arena_machine(), Settings(learning_rate=0.25)
    state = {"velocity": np.full_like(machine.arena, np.nan)}
    step = optimizers.step_at(settings, 0, 1)
    assert optimizers.apply(settings, machine, np.ones_like(machine.arena), state, step, checks.SERIAL)
    assert np.isnan(state["velocity"]).all() and np.isfinite(machine.arena).all()


def test_the_rate_and_momentum_of_each_step_count() -> None:
    """Schedules arrive through Step, not through the settings."""
    machine, gradients = checks.arena_machine(), np.random.default_rng(61).normal(size=(2, 44))
    before = machine.arena.copy()
    checks.updated(Settings(learning_rate=9.0, momentum=0.9), machine, gradients, [(0.5, 0.0), (0.25, 0.5)])
    first = 0.5 * gradients[0]
    np.testing.assert_allclose(machine.arena, before + first + 0.5 * first + 0.25 * gradients[1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_climbs_a_concave_function(optimizer: str) -> None:
    """-0.5 sum a (w - c)^2: the distance to the top falls to 1% within 400 steps."""
    rng = np.random.default_rng(62)
    curvature, top = rng.uniform(0.5, 2, 44), rng.normal(size=44)
    machine = checks.arena_machine()
    settings = Settings(learning_rate=0.05, momentum=0.5, optimizer=optimizer)
    state, start = optimizers.init(settings, machine), np.linalg.norm(machine.arena - top)
    for count in range(1, 401):
        step = optimizers.Step([0.05], [0.5], count)
        optimizers.apply(settings, machine, -curvature * (machine.arena - top), state, step, checks.SERIAL)
    assert np.linalg.norm(machine.arena - top) < 0.01 * start


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_parts_of_a_large_arena_fit_together(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunked updates (more weights than one chunk) equal the same numbers in one piece, biases without decay."""
    table = Table.random((300, 250), 0.1, 63)
    machine = checks.machine_of(table).astype(np.float32)
    team = Workers(3, None, 1 << 14)
    monkeypatch.setattr(checks, "SERIAL", team)
    assert machine.params["edge/v-h1/weight"].size > 3 * team.least
    gradients = np.random.default_rng(64).normal(size=(2, machine.arena.size)).astype(np.float32)
    settings = Settings(learning_rate=0.1, momentum=0.9, optimizer=optimizer, l2=0.01, l1=0.01)
    wanted = checks.machine_of(table)
    checks.updated(settings, wanted, gradients.astype(np.float64))
    checks.updated(settings, machine, gradients)
    np.testing.assert_allclose(machine.arena, wanted.arena, rtol=0, atol=2e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["parameter", "gradient", "state", "bias"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_that_is_not_finite_is_reported_at_once(optimizer: str, bad: float, place: str, dtype: type) -> None:
    """The fault is an update that swallows it, such as Adam's division by an infinite second moment."""
    for name in optimizers.UPDATES[optimizer][0] if place == "state" else ("",):
        machine = checks.arena_machine().astype(dtype)
        settings = Settings(optimizer=optimizer, momentum=0.5)
        state = optimizers.init(settings, machine)
        gradient = np.ones(44, dtype)
        places = {"parameter": machine.arena, "gradient": gradient, "bias": machine.bias("h2")}
        (state[name] if place == "state" else places[place])[1] = bad
        with np.errstate(invalid="ignore"):
            assert not optimizers.apply(
                settings, machine, gradient, state, optimizers.Step([0.1], [0.5], 3), checks.SERIAL
            )


def test_no_decay_and_no_norm_is_the_default() -> None:
    settings = Settings()
    assert settings.l1 == settings.l2 == settings.max_norm == 0


def test_max_norm_leaves_all_zero_weights_alone() -> None:
    machine = checks.arena_machine()
    machine.arena[...] = 0
    checks.updated(Settings(max_norm=0.5), machine, [np.zeros(44)])
    np.testing.assert_array_equal(machine.arena, 0)
