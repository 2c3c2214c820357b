"""Catches a machine with Gaussian visible units that does not follow the units of each column.

A row in other units has the log-likelihood of the same row less the sum of the logs of their ratios, and what is drawn,
completed or given back is in those units.
"""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import logsumexp
from support.training import plain_train

import boltz
from boltz import HelmholtzMachine
from boltz.data.from_arrays import given
from boltz.diagnostics.diagnose import diagnose
from boltz.errors import FileError, InputError
from boltz.models.scaling import Scaling
from boltz.storage.tensors import read_tensors, write_tensors
from boltz.training.stages import settings_of, stages
from boltz.training.state import TrainState, restore

Array = NDArray[Any]
RATIO, SHIFT = np.array([0.001, 0.01, 1, 1000]), np.array([5, 0, -3, 1e4])
LOG_RATIO = float(np.log(RATIO).sum())
NATS = 0.01  # rounding of rows to float32, and what training makes of it


def rows(count: int = 300) -> Array:
    """Correlated columns about 0, with spreads about 1."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, 2)) @ generator.normal(size=(2, 4)) + 0.4 * generator.normal(size=(count, 4))


X = rows()
Y = X * RATIO + SHIFT
MACHINES: dict[str, Any] = {
    "vae": lambda x: boltz.vae([4, 8], 2, x, visible="gaussian"),
    "vae without rows": lambda x: boltz.vae([4, 8], 2, visible="gaussian"),
    "sbn": lambda x: boltz.sbn([4, 3], [6], x, visible="gaussian"),
    "mixed": lambda x: boltz.helmholtz([4, 3, 2], ["gaussian", "bernoulli", "gaussian"], x=x),
}


def trained(name: str, x: Array, epochs: int = 5) -> HelmholtzMachine:
    found = plain_train(MACHINES[name](x), x, epochs=epochs, batch_size=50, learning_rate=0.01).model
    assert isinstance(found, HelmholtzMachine)
    return found


@pytest.fixture(scope="module", params=MACHINES)
def pair(request: pytest.FixtureRequest) -> tuple[HelmholtzMachine, HelmholtzMachine]:
    """The same machine trained on the same rows in two sorts of units."""
    return trained(request.param, X), trained(request.param, Y)


Pair = tuple[HelmholtzMachine, HelmholtzMachine]


def test_log_likelihoods_follow_the_units(pair: Pair) -> None:
    for found in (
        lambda machine, x: boltz.log_likelihood(machine, x[:50], samples=200).per_row,
        lambda machine, x: boltz.importance_bounds(machine, x[:50], [5])[0].per_row,
    ):
        assert np.abs(found(pair[0], X) - found(pair[1], Y) - LOG_RATIO).max() < NATS


def test_annealed_likelihoods_follow_the_units() -> None:
    for name in ("vae", "sbn"):
        one, other = (boltz.posterior_ais(trained(name, x), x[:20], betas=20).per_row for x in (X, Y))
        assert np.abs(one - other - LOG_RATIO).max() < NATS


def test_simulated_rows_are_scored_in_the_units_that_they_are_drawn_in() -> None:
    one, other = (boltz.posterior_sandwich(trained("vae", x), rows=20, betas=20) for x in (X, Y))
    assert abs(one.lower.value - other.lower.value - LOG_RATIO) < NATS and abs(one.gap - other.gap) < NATS


def test_what_is_drawn_and_completed_is_in_the_units_of_the_data(pair: Pair) -> None:
    known = np.array([True, False, True, False])
    for found in (
        lambda machine, x: boltz.sample(machine, 100)["v"],
        lambda machine, x: boltz.complete(machine, x[:10], known, sweeps=20),
        lambda machine, x: boltz.reconstruct(boltz.autoencoder(machine), x[:10]),
    ):
        assert np.abs((found(pair[1], Y) - SHIFT) / RATIO - found(pair[0], X)).max() < NATS
    completed = boltz.complete(pair[1], Y[:10], known, sweeps=2)
    assert np.array_equal(completed[:, known], Y[:10, known])


def test_hidden_units_do_not_see_the_units(pair: Pair) -> None:
    some = Y[:10].copy()
    some[:, 1] = np.nan
    for found in (
        lambda machine, x: boltz.features(machine, x[:10], "all"),
        lambda machine, x: boltz.encode(boltz.autoencoder(machine), x[:10]),
        lambda machine, x: boltz.features(machine, some if x is Y else (some - SHIFT) / RATIO),
    ):
        assert np.abs(found(pair[0], X) - found(pair[1], Y)).max() < NATS
    variances = [boltz.posterior_variances(m, x)["h1"] for m, x in zip(pair, (X, Y), strict=True)]
    assert np.abs(variances[0] - variances[1]).max() < NATS


def test_a_diagnosis_does_not_see_the_units() -> None:
    one, other = (diagnose(trained("sbn", x), x) for x in (X, Y))
    assert [found.as_dict() for found in one.findings] == [found.as_dict() for found in other.findings]


def test_the_density_is_that_of_a_mixture_in_the_units_of_the_data() -> None:
    """Against a sum over the states of three hidden units, each a Gaussian in the units of the data."""
    machine = trained("sbn", Y).astype(np.float64)
    assert machine.scaling is not None
    params = machine.params
    states = np.array([[i >> j & 1 for j in range(3)] for i in range(8)], float)
    prior = states @ params["prior/bias"] - np.logaddexp(0, params["prior/bias"]).sum()
    inner = np.tanh(states @ params["generative/v/0/weight"] + params["generative/v/0/bias"])
    outputs = inner @ params["generative/v/1/weight"] + params["generative/v/1/bias"]
    mean = machine.scaling.location + machine.scaling.spread * outputs[:, :4]
    sigma = machine.scaling.spread * np.exp(outputs[:, 4:])
    each = -0.5 * ((Y[:, None] - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    truth = logsumexp(each.sum(axis=2) + prior, axis=1)
    found = boltz.log_likelihood(machine, Y)
    assert found.kind == "exact" and np.abs(found.per_row - truth).max() < 1e-9


def test_a_column_far_from_0_keeps_its_digits() -> None:
    far = X + np.array([1e6, 0, 0, 0])
    one, other = (boltz.log_likelihood(trained("vae", x), x[:50], samples=100).per_row for x in (X, far))
    assert np.abs(one - other).max() < NATS


def with_constant(value: float, noise: float = 0.0) -> Array:
    found = X.copy()
    found[:, 3] = value + noise * np.random.default_rng(1).normal(size=len(X))
    return found


@cache
def value_without_the_column() -> float:
    """The log-likelihood of a machine that learnt from the other columns alone."""
    x = X[:, :3].copy()
    others = boltz.vae([3, 8], 2, x, visible="gaussian")
    alone = plain_train(others, x, epochs=25, batch_size=50, learning_rate=0.01).model
    return float(boltz.log_likelihood(alone, x, samples=100).value)


@pytest.mark.parametrize(("value", "noise"), [(0.25, 0), (0, 0), (0.1, 0), (0.1, 1e-17), (1e6, 1e-10)])
def test_a_constant_column_is_held_at_its_value(value: float, noise: float) -> None:
    """It adds minus half the log of 2 pi to a row, half its squared distance less to one that is elsewhere."""
    x = with_constant(value, noise)
    run = plain_train(MACHINES["vae"](x), x, epochs=25, batch_size=50, learning_rate=0.01)
    machine = run.model
    assert isinstance(machine, HelmholtzMachine)
    assert len(run.notes) == 1 and run.notes[0].startswith("1 column of the rows is constant (column 4):")
    assert len(run.notes[0]) <= 300
    here = boltz.log_likelihood(machine, x, samples=100)
    assert (
        abs(here.value + 0.5 * np.log(2 * np.pi) - value_without_the_column()) < 0.5
    )  # two machines that start differently
    moved = x + np.array([0, 0, 0, 2])
    assert np.abs(boltz.log_likelihood(machine, moved, samples=100).per_row - here.per_row + 2).max() < 1e-4
    assert (boltz.sample(machine, 20)["v"][:, 3] == x[0, 3]).all()
    assert (boltz.reconstruct(boltz.autoencoder(machine), x)[:, 3] == x[0, 3]).all()


@pytest.mark.parametrize("objective", ["wake-sleep", "rws", "vimco"])
def test_dreams_teach_nothing_of_a_constant_column(objective: str) -> None:
    x = with_constant(7.0)
    found = plain_train(MACHINES["sbn"](x), x, epochs=2, batch_size=50, objective=objective, samples=5).model
    assert isinstance(found, HelmholtzMachine) and (found.params["recognition/h1/0/weight"][3] == 0).all()
    assert (found.params["recognition/h1/0/weight"][:3] != 0).all()


def test_numbers_that_vary_little_are_not_constant() -> None:
    """A spread of some roundings is one; in float32 as well as in float64."""
    assert Scaling.of(X * 1e-12 + 1).spread.min() > 0
    assert Scaling.of((X * 1e-5 + 1).astype(np.float32)).spread.min() > 0
    assert Scaling.of((X * 1e-9 + 1).astype(np.float32)).constant.all()
    assert Scaling.of(X * 1e-30).spread.min() > 0


def test_every_copy_keeps_the_units(tmp_path: Path) -> None:
    machine = trained("vae", Y, 1)
    machine.save(tmp_path / "m.safetensors")
    network = boltz.autoencoder(machine)
    network.save(tmp_path / "n.safetensors")
    again = boltz.load(tmp_path / "m.safetensors")
    assert isinstance(again, HelmholtzMachine)
    for other in (
        again,
        machine.to("cpu"),
        machine.astype(np.float64).astype(np.float32),
        copy.deepcopy(machine),
        pickle.loads(pickle.dumps(machine)),
    ):
        assert np.array_equal(boltz.features(other, Y), boltz.features(machine, Y))
        assert np.array_equal(boltz.sample(other, 10)["v"], boltz.sample(machine, 10)["v"])
    for found in (boltz.load_network(tmp_path / "n.safetensors"), pickle.loads(pickle.dumps(network))):
        assert np.array_equal(boltz.reconstruct(found, Y), boltz.reconstruct(network, Y))


def test_training_goes_on_in_the_same_units() -> None:
    first = trained("vae", Y, 2)
    more = plain_train(first, Y[:50] + 1, epochs=1).model
    assert isinstance(more, HelmholtzMachine) and more.scaling is first.scaling
    assert MACHINES["vae without rows"](None).scaling is None


def test_a_file_without_units_takes_rows_as_they_are(tmp_path: Path) -> None:
    """Such files are from before: what the machine says of rows, draws and learns stays the same to the last bit."""
    file, bare = tmp_path / "m.safetensors", MACHINES["vae without rows"](None)
    bare.save(file)
    old = boltz.load(file)
    assert (
        isinstance(old, HelmholtzMachine)
        and bare.scaling is None
        and not {"layer/v/spread"} & set(read_tensors(file)[0])
    )
    assert np.array_equal(
        boltz.log_likelihood(old, X, samples=5).per_row, boltz.log_likelihood(bare, X, samples=5).per_row
    )
    for layer, states in boltz.sample(bare, 10).items():
        assert states.dtype == np.float32 and np.array_equal(boltz.sample(old, 10)[layer], states)
    more = plain_train(old, X, epochs=1).model
    assert isinstance(more, HelmholtzMachine) and more.scaling is not None and more.scaling.as_they_are


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer/v/spread": np.array([1.0, -1, 1, 1])}, "spread must be at least 0"),
        ({"layer/v/location": np.array([1.0, np.nan, 1, 1])}, "finite number for each visible unit"),
        ({"layer/v/spread": np.ones(3)}, "must hold location and spread of layer v, 4 numbers each"),
        ({"layer/v/spread": None}, "must hold location and spread of layer v"),
    ],
)
def test_damaged_units_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    MACHINES["vae"](Y).save(file)
    tensors, told = read_tensors(file)
    write_tensors(file, {n: x for n, x in {**tensors, **change}.items() if x is not None}, told)
    with pytest.raises(FileError, match=words):
        boltz.load(file)


def test_a_checkpoint_keeps_the_units() -> None:
    machine = MACHINES["vae"](Y)
    drawn = machine.plan
    plan = stages(drawn, settings_of(drawn, {"epochs": 1}))
    tensors = TrainState(machine, []).tensors()
    again = restore(tensors, drawn, plan, "it").model
    assert isinstance(again, HelmholtzMachine) and again.scaling is not None and machine.scaling is not None
    assert np.array_equal(again.scaling.spread, machine.scaling.spread)
    for wrong in (np.ones(3), -np.ones(4), np.full(4, np.nan)):
        with pytest.raises(FileError, match=r"it (is not|does not fit)"):
            restore(tensors | {"scaling/location": wrong, "scaling/spread": wrong}, drawn, plan, "it")


def test_a_run_in_a_folder_is_the_one_in_memory(tmp_path: Path) -> None:
    one = plain_train(MACHINES["vae without rows"](None), Y, epochs=2)
    plain_train(MACHINES["vae without rows"](None), Y, tmp_path / "run", epochs=2)
    again = boltz.resume(tmp_path / "run", Y).model
    for x in (Y, with_constant(1.0)):
        assert np.array_equal(boltz.features(one.model, x), boltz.features(again, x))


def test_fine_tuning_sees_the_same_numbers() -> None:
    losses = []
    for x in (X, Y):
        network = boltz.autoencoder(trained("vae", x))
        losses.append([record["loss"] for record in boltz.fine_tune(network, x, epochs=2, validation=0.1).history])
    assert len(losses[0]) >= 2 and np.abs(np.subtract(*losses)).max() < NATS


def test_estimators_of_scikit_learn_follow_the_units() -> None:
    sklearn = pytest.importorskip("boltz.sklearn")
    how = {"layers": (8,), "latent": 2, "visible": "gaussian", "epochs": 3, "random_state": 0}
    one, other = (sklearn.VAETransformer(**how).fit(x) for x in (X, Y))
    assert np.abs(one.transform(X) - other.transform(Y)).max() < NATS
    gap = one.score_samples(X) - other.score_samples(Y) - LOG_RATIO
    assert abs(gap.mean()) < 0.5  # the samples of a row follow from its numbers, which differ


def test_rows_that_leave_the_range_of_the_machine_are_refused() -> None:
    with pytest.raises(InputError, match="x must lie within the range of float32 in units of the spread"):
        boltz.features(MACHINES["vae"](X * 1e-30), X * 1e30)


@pytest.mark.parametrize(
    "form", [np.asarray, sp.csr_array, lambda x: x.astype(object)], ids=["ints", "sparse", "objects"]
)
def test_completion_of_whole_numbers_is_in_one_unit(form: Any) -> None:
    """Known and completed entries alike are in the units of the rows divided by the levels."""
    rng = np.random.default_rng(4)
    counts = rng.integers(0, 17, (30, 5))
    model = boltz.vae([5, 4], 2, x=counts / 16, visible="gaussian").with_levels(16)
    known = rng.random((30, 5)) < 0.5
    wanted = boltz.complete(model, counts / 16, known, sweeps=4)
    np.testing.assert_allclose(boltz.complete(model, form(counts), known, sweeps=4), wanted, rtol=1e-6)


def test_units_of_grey_bytes_are_those_of_training() -> None:
    """Rows as load_data gives them; bytes alone do not say their unit."""
    rng = np.random.default_rng(5)
    data = replace(given(rng.integers(0, 256, (40, 4)).astype(np.uint8), "x", 4), levels=255)
    named = boltz.vae([4, 3], 2, x=data, visible="gaussian").scaling
    taken = plain_train(boltz.vae([4, 3], 2, visible="gaussian"), data, epochs=1).model.scaling
    for name, values in named.tensors().items():
        np.testing.assert_allclose(values, taken.tensors()[name], rtol=1e-12)
    with pytest.raises(boltz.InputError, match="x holds grey bytes"):
        boltz.vae([4, 3], 2, x=data.x, visible="gaussian")
