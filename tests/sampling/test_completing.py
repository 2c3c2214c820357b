"""Catches completed rows that change what is known, look at what is unknown, or miss exact cases.

Laws of the unknown units against enumeration are in faults/quick_completing, where planted faults must fail them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks.directed import machine_of as directed_of
from oracles.enumeration import Table
from scipy.special import expit
from support.machines import SMALL, machine_of

import boltz
from boltz.errors import InputError, NumericalError
from boltz.sampling.clamped import posterior
from boltz.sampling.completion import filled
from boltz.sampling.evidence import Evidence

MACHINES = {
    "rbm": machine_of(Table.random([5, 4], 1.0, 71)),
    "dbm": machine_of(Table.random([5, 4, 3], 1.0, 72)),
    "sbn": directed_of("5b 3b 2b"),
    "vae": directed_of("5b 2g", [[4]]),
    "dbn": directed_of("5b 3b 2b rbm"),
    "gaussian": directed_of("5g 3g 2b", scale=0.3),
}
RNG = np.random.default_rng(73)
KNOWN = RNG.random((40, 5)) < 0.6
BITS, GREY = RNG.integers(0, 2, (40, 5)).astype(float), RNG.random((40, 5))
METHODS = [(name, method) for name in MACHINES for method in ("sample", "mean")]
METHODS += [("rbm", "mean-field"), ("dbm", "mean-field")]
EVERY = pytest.mark.parametrize(("name", "method"), METHODS)


def completed(name: str, x: Any, mask: Any = None, method: str = "mean", dtype: Any = np.float64, seed: int = 1) -> Any:
    return boltz.complete(MACHINES[name].astype(dtype), x, mask, method, 8, seed)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_known_entries_stay_and_unknown_ones_are_not_looked_at(name: str, method: str, dtype: Any) -> None:
    for x in (BITS, GREY):
        found = completed(name, x, KNOWN, method, dtype)
        assert found.dtype == dtype and found.shape == x.shape
        np.testing.assert_array_equal(found[KNOWN], x[KNOWN].astype(dtype))
        free = found[~KNOWN]
        assert free.std() > 0 and np.isfinite(free).all()
        if name != "gaussian":
            assert np.isin(free, (0, 1)).all() if method == "sample" else ((free > 0) & (free < 1)).all()
        for junk in (np.nan, np.inf, -1e300, 255.0):
            np.testing.assert_array_equal(completed(name, np.where(KNOWN, x, junk), KNOWN, method, dtype), found)


@EVERY
def test_masks_of_every_form_say_the_same(name: str, method: str) -> None:
    found = completed(name, BITS, KNOWN, method)
    for mask in (KNOWN.astype(int), KNOWN.astype(np.float32), KNOWN.tolist(), np.asfortranarray(KNOWN)):
        np.testing.assert_array_equal(completed(name, BITS, mask, method), found)
    np.testing.assert_array_equal(completed(name, np.where(KNOWN, BITS, np.nan), None, method), found)
    row = KNOWN[0]
    one = completed(name, BITS, np.tile(row, (40, 1)), method)
    for mask in (row, row.tolist(), row.astype(int)):
        np.testing.assert_array_equal(completed(name, BITS, mask, method), one)


@EVERY
def test_rows_with_everything_known_come_back(name: str, method: str) -> None:
    for mask in (None, np.ones(5, bool)):
        found = completed(name, GREY, mask, method)
        np.testing.assert_array_equal(found, GREY)
        assert not np.shares_memory(found, GREY)


@EVERY
def test_a_row_does_not_depend_on_rows_beside_it_or_on_threads(name: str, method: str) -> None:
    x, known = np.tile(GREY, (8, 1)), np.tile(KNOWN, (8, 1))
    whole, before = completed(name, x, known, method, np.float32), boltz.threads()
    other, masked = np.where(np.arange(320)[:, None] % 2, 1 - x, x), known.copy()
    masked[1::2] = ~masked[1::2]
    try:
        boltz.threads(3)
        np.testing.assert_array_equal(completed(name, x, known, method, np.float32), whole)
    finally:
        boltz.threads(before)
    np.testing.assert_array_equal(completed(name, other, masked, method, np.float32)[::2], whole[::2])
    for rows in (1, 5, 33, 257):
        np.testing.assert_array_equal(completed(name, x[:rows], known[:rows], method, np.float32), whole[:rows])


@pytest.mark.parametrize("name", MACHINES)
def test_draws_depend_on_the_seed_and_on_the_row(name: str) -> None:
    one, two = (completed(name, BITS, KNOWN, "mean", seed=seed) for seed in (1, 2))
    assert (one[~KNOWN] != two[~KNOWN]).mean() > 0.5
    same = completed(name, np.tile(BITS[:1], (40, 1)), [True, False, True, False, False], "mean")
    assert len(np.unique(same, axis=0)) > 20


@pytest.mark.parametrize("method", ["mean", "mean-field"])
@pytest.mark.parametrize("sweeps", [1, 2, 7])
def test_units_without_weights_are_at_the_means_of_their_biases(method: str, sweeps: int) -> None:
    """Exact for any number of sweeps: it is means that are counted, not draws, and as many as there are."""
    bias = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    machine = boltz.from_arrays([np.zeros((5, 3)), np.zeros((3, 2))], [bias, np.ones(3), np.ones(2)])
    found = boltz.complete(machine, GREY, KNOWN, method, sweeps)
    np.testing.assert_allclose(found, np.where(KNOWN, GREY, expit(bias)), rtol=0, atol=1e-12)
    if method == "mean":
        net = directed_of("5b 3b")
        net.params["generative/v/0/weight"][...], net.params["generative/v/0/bias"][...] = 0, bias
        found = boltz.complete(net, GREY, KNOWN, method, sweeps)
        np.testing.assert_allclose(found, np.where(KNOWN, GREY, expit(bias)), rtol=0, atol=1e-12)


def test_mean_field_is_the_only_fixed_point_of_weak_machines() -> None:
    """Against a damped iteration of all layers at once in plain numpy, from one half."""
    table = Table.random([5, 4, 3], 0.5, 74)
    (w, u), (a, b, c) = table.edges.values(), table.biases.values()
    v, h, g = np.where(KNOWN, GREY, 0.5), np.full((40, 4), 0.5), np.full((40, 3), 0.5)
    for _ in range(2000):
        moved = expit(h @ w.T + a), expit(v @ w + g @ u.T + b), expit(h @ u + c)
        v, h, g = (0.5 * (x + y) for x, y in zip((v, h, g), moved, strict=True))
        v = np.where(KNOWN, GREY, v)
    machine = machine_of(table)
    np.testing.assert_allclose(boltz.complete(machine, GREY, KNOWN, "mean-field", 500), v, rtol=0, atol=1e-10)
    means = posterior(machine, Evidence(GREY, KNOWN), 500)
    for layer, wanted in (("v", v), ("h1", h), ("h2", g)):
        np.testing.assert_allclose(means[layer], wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3", "strong", "ring"])
def test_posterior_means_of_whole_rows_are_those_of_mean_field(name: str) -> None:
    machine = machine_of(SMALL[name])
    x = np.random.default_rng(75).random((6, machine.units["v"]))
    means = posterior(machine, Evidence(x, np.ones(x.shape, bool)), 3000)
    for layer, wanted in boltz.mean_field(machine, x, boltz.MeanField(1e-15, 3000)).items():
        np.testing.assert_allclose(means[layer], wanted, rtol=0, atol=1e-9)


def test_mean_field_starts_at_the_rates_of_training() -> None:
    """A machine that is on or off as a whole goes the way of its base rates."""
    table = Table.chain([np.full((5, 4), 3.0)], [np.full(5, -6.0), np.full(4, -7.5)])
    machine = machine_of(table)
    for rate in (0.1, 0.9):
        rated = boltz.BoltzmannMachine(machine.graph, machine.arena, {"v": np.full(5, rate)})
        found = boltz.complete(rated, np.full((1, 5), np.nan), method="mean-field")
        assert (abs(found - rate) < 0.1).all(), found


def test_inputs_are_left_as_they_are() -> None:
    x, mask = np.where(KNOWN, GREY, np.nan), KNOWN.copy()
    x.flags.writeable = mask.flags.writeable = False
    before = x.copy()
    for name, method in METHODS:
        completed(name, x, mask, method)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", ["rbm", "dbm", "sbn", "vae", "dbn"])
def test_features_of_rows_with_missing_values(name: str) -> None:
    """Those of the rows filled in by mean field, or by passes up and down; whole rows are as they are."""
    model, known = MACHINES[name], KNOWN.copy()
    known[::4] = True
    x = np.where(known, GREY, np.nan)
    found, whole = boltz.features(model, x, "all"), boltz.features(model, GREY, "all")
    np.testing.assert_allclose(found[known.all(axis=1)], whole[known.all(axis=1)], rtol=0, atol=1e-14)
    assert np.abs(found - whole)[~known.all(axis=1)].max() > 0.01
    np.testing.assert_array_equal(boltz.features(model, GREY, "all", known), found)
    np.testing.assert_array_equal(boltz.features(model, GREY, "top", known), found[:, -model.layers[-1].units :])
    part = ~known.all(axis=1)
    if isinstance(model, boltz.BoltzmannMachine):
        rows = boltz.complete(model, x, method="mean-field")
    else:
        rows = filled(model, Evidence(GREY, known))
    wanted = boltz.features(model, rows, "all")
    np.testing.assert_allclose(found[part], wanted[part], rtol=0, atol=1e-14)
    single = model.astype(np.float32)
    some = boltz.features(single, x[:3], "all")
    np.testing.assert_array_equal(some, boltz.features(single, x, "all")[:3])


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (
            BITS,
            np.ones((40, 4), bool),
            r"mask must hold True .* in shape \(40, 5\) or \(5,\), got bool in shape \(40, 4\)",
        ),
        (BITS, np.ones((1, 5), bool), r"got bool in shape \(1, 5\)"),
        (BITS, True, r"got bool in shape \(\)"),
        (BITS, np.full((40, 5), 2), "got 2"),
        (BITS, np.full(5, 0.5), "got 0.5"),
        (BITS, np.full(5, np.nan), "got nan"),
        (BITS, ["yes"] * 5, r"got <U3 in shape \(5,\)"),
        (BITS, np.ones(5, complex), "got complex128"),
        (BITS, [[True], [True, False]], "got list"),
        (BITS, {"v": 1}, "got object"),
        (np.where(KNOWN, np.nan, BITS), KNOWN, r"x must hold numbers in \[0, 1\], got nan at index"),
        (np.where(KNOWN, np.inf, BITS), KNOWN, r"x must hold numbers in \[0, 1\], got inf at index"),
        (np.full((40, 5), np.inf), None, r"x must hold numbers in \[0, 1\], got inf"),
        (BITS - 0.5, KNOWN, r"x must hold numbers in \[0, 1\], got -0.5"),
        (BITS[:, :4], None, r"x must have shape \(any, 5\), got \(40, 4\)"),
        (BITS[0], None, r"x must have shape \(any, 5\), got \(5,\)"),
        (BITS[:0], None, "x must have at least one row, got none"),
        ([[None] * 5], None, "x must hold numbers, got a missing value"),
    ],
)
def test_rows_and_masks_that_do_not_fit_are_refused(x: Any, mask: Any, message: str) -> None:
    for call in (lambda: boltz.complete(MACHINES["rbm"], x, mask), lambda: boltz.features(MACHINES["sbn"], x, 1, mask)):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rbm", {"method": "median"}, "method must be one of mean, mean-field, sample, got 'median'"),
        ("vae", {"method": "mean-field"}, "method must be mean or sample for a HelmholtzMachine"),
        ("rbm", {"sweeps": 0}, "sweeps must be a whole number of at least 1"),
        ("vae", {"sweeps": 2.0}, "sweeps must be a whole number"),
        ("rbm", {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        boltz.complete(MACHINES[name], BITS, KNOWN, **options)
    with pytest.raises(InputError, match="model must be a BoltzmannMachine or a HelmholtzMachine, got dict"):
        boltz.complete({}, BITS)


def test_real_units_take_any_number() -> None:
    x = np.where(KNOWN, 3 * GREY - 7, np.nan)[:2]
    found = boltz.complete(MACHINES["gaussian"], x, sweeps=5)
    np.testing.assert_array_equal(found[KNOWN[:2]], x[KNOWN[:2]])


def test_numbers_of_sweeps_unless_told_otherwise() -> None:
    for name, method, sweeps in (("rbm", "sample", 1000), ("dbm", "mean-field", 100)):
        one, two = (boltz.complete(MACHINES[name], BITS, KNOWN, method, n) for n in (None, sweeps))
        np.testing.assert_array_equal(one, two)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["rbm", "sbn", "gaussian"])
def test_an_overflow_is_an_error(name: str) -> None:
    model = MACHINES[name].astype(np.float32)
    model.arena[...] = np.inf
    for method in ("sample", "mean"):
        with pytest.raises(NumericalError, match="not finite"):
            boltz.complete(model, BITS, KNOWN, method, 3)


@pytest.mark.parametrize("method", ["mean", "sample", "mean-field"])
def test_known_numbers_of_a_view_come_back_as_they_were(method: str) -> None:
    """Those that a machine standardises would else be rounded on their way there and back."""
    rng = np.random.default_rng(4)
    x = {"a": rng.integers(0, 2, (60, 3)).astype(float), "b": rng.normal(7, 3, (60, 2))}
    machine = boltz.multimodal({"a": 3, "b": (2, "gaussian")}, {"a": [2], "b": [2]}, 2)
    model = boltz.train(machine, x, epochs=1).model
    np.testing.assert_array_equal(boltz.complete(model, {"b": x["b"]}, method=method, sweeps=3)["b"], x["b"])
    rows = np.concatenate([x["a"], x["b"]], axis=1)
    rows[3, 3] = np.nan
    found = boltz.complete(model, rows, method=method, sweeps=3)["b"]
    known = ~np.isnan(rows[:, 3:])
    np.testing.assert_array_equal(found[known], x["b"][known])
    assert np.isfinite(found).all()
