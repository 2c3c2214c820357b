"""Catches machines whose energies, free energies or fields differ from enumeration, and broken builders or files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_pieces
from oracles import enumeration
from oracles.enumeration import Table
from support import stats
from support.machines import SMALL, machine_of

import boltz
from boltz.models import BoltzmannMachine
from boltz.storage.tensors import read_tensors, write_tensors

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


@pytest.fixture(params=SMALL)
def table(request: pytest.FixtureRequest) -> Table:
    return SMALL[request.param]


def near(found: Any, expected: Any, dtype: Any) -> None:
    error = np.abs(np.asarray(found, np.float64) - expected)
    assert error.max() <= TOLERANCE[dtype] * (1 + np.abs(expected).max())


@DTYPES
def test_energy_is_the_triple_sum(table: Table, dtype: Any) -> None:
    """At every state, and at grey states between; catches a transposed square weight and a dropped bias."""
    machine, every = machine_of(table, dtype), enumeration.states(table)
    near(machine.energy(every), enumeration.energy_slow(table, every), dtype)
    rng = np.random.default_rng(1)
    grey = {n: rng.random((5, u)) for n, u in table.layers.items()}
    near(machine.energy(grey), enumeration.energy_slow(table, grey), dtype)
    assert machine.energy(grey).dtype == np.float64 and machine.energy(grey).shape == (5,)


@DTYPES
def test_free_energy_of_either_colour_class(table: Table, dtype: Any) -> None:
    machine = machine_of(table, dtype)
    for names in machine.graph.colours:
        expected = enumeration.free_energy(table, names)
        near(machine.free_energy(enumeration.states(table, names)), expected, dtype)
    if len(table.layers) == 2:
        rows = enumeration.states(table, ("v",))["v"]
        near(machine.free_energy(rows), enumeration.free_energy(table, ("v",)), dtype)
    else:
        with pytest.raises(boltz.InputError, match="one colour class"):
            machine.free_energy(enumeration.states(table, ("v",))["v"])


@DTYPES
def test_fields_and_inputs(table: Table, dtype: Any) -> None:
    machine, every = machine_of(table, dtype), enumeration.states(table)
    for layer in table.layers:
        field = enumeration.field(table, layer, every)
        near(machine.field(layer, every), field, dtype)
        near(machine.input(layer, every), field - table.biases[layer], dtype)
        alone = machine.input(layer, {layer: every[layer].astype(dtype)})
        assert alone.shape == every[layer].shape and (alone == 0).all(), "a layer is no neighbour of itself"


def test_marginal_energy_sums_some_layers_and_clamps_the_rest() -> None:
    table = SMALL["dbm3"]
    every = enumeration.states(table, ("v", "h1", "h3"))
    found = machine_of(table).marginal_energy(every, ["h2"])
    near(found, enumeration.free_energy(table, ("v", "h1", "h3")), np.float64)


def test_energies_of_extreme_machines_do_not_overflow() -> None:
    """Fields of 1e4 in float32; a warning is an error here."""
    model = boltz.from_arrays([np.full((2, 2), 5e3, np.float32)], [np.full(2, -1e4, np.float32)] * 2)
    x = np.array([[0, 0], [1, 1]], np.float32)
    assert model.free_energy(x) == pytest.approx([0, 2e4 - 2 * np.log(2)], rel=1e-6)


@pytest.mark.parametrize("state", [{}, {"v": np.zeros((1, 3))}, {"h1": np.zeros((1, 3)), "h2": np.zeros((1, 2))}])
def test_a_state_without_a_layer_is_refused(state: Any) -> None:
    model = machine_of(SMALL["dbm2"])
    with pytest.raises(boltz.InputError, match="state must hold layer"):
        model.energy(state)
    with pytest.raises(boltz.InputError, match="state must hold the layers of one colour class"):
        model.free_energy({**state, "h2": np.zeros((1, 2)), "h1": np.zeros((1, 3))})


def test_layers_of_unequal_length_are_refused() -> None:
    state = {"v": np.zeros((2, 3)), "h1": np.zeros((1, 3)), "h2": np.zeros((2, 2))}
    with pytest.raises(boltz.InputError, match=r"equally many chains in each layer, got \[1, 2\]"):
        machine_of(SMALL["dbm2"]).energy(state)


@pytest.mark.parametrize("name", [n for n in SMALL if n != "ring"])
@DTYPES
def test_from_arrays_takes_weights_lower_by_upper(name: str, dtype: Any) -> None:
    weights, biases = ([a.astype(dtype) for a in part] for part in enumeration.weights_and_biases(SMALL[name]))
    model, same = boltz.from_arrays(weights, biases), machine_of(SMALL[name], dtype)
    assert model.graph == same.graph and model.dtype == dtype
    assert (model.arena == same.arena).all() and model.rates == {}
    weights[0][...], biases[0][...] = 9, 9
    assert (model.arena == same.arena).all(), "the machine must not share memory with its arrays"


def test_from_arrays_takes_the_wider_type() -> None:
    single, double = np.zeros((2, 3), np.float32), np.zeros(3)
    assert boltz.from_arrays([single], [np.zeros(2, np.float32), double]).dtype == np.float64
    assert boltz.from_arrays([single], [np.zeros(2, np.float32), double.astype(np.float32)]).dtype == np.float32
    assert boltz.from_arrays([[[1], [2]]], [[0, 0], [0]]).dtype == np.float64


def test_couplings_of_one_set_of_units_are_told() -> None:
    quick_pieces.check_couplings()


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ([], [np.zeros(2)], "biases must hold one array more than weights"),
        (
            [np.zeros((2, 3))],
            [np.zeros(2)],
            "biases must hold one array more than weights .* 1 and 1: no layer .*guide for",
        ),
        ([np.zeros((3, 2))], [np.zeros(2), np.zeros(3)], r"weights\[0\] must have shape \(2, 3\), got \(3, 2\)"),
        ([np.zeros((2, 0))], [np.zeros(2), np.zeros(0)], r"biases\[1\] must have at least one unit"),
        ([np.full((2, 1), np.nan)], [np.zeros(2), np.zeros(1)], r"weights\[0\] must be finite, got nan"),
        ([np.zeros((2, 1))], [np.zeros((2, 1)), np.zeros(1)], r"biases\[0\] must have shape"),
        (None, [np.zeros(1)], "weights must be a sequence, got NoneType"),
        ([np.zeros((1, 1))], 3.0, "biases must be a sequence, got float"),
    ],
)
def test_from_arrays_refuses_what_does_not_fit(weights: Any, biases: Any, message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        boltz.from_arrays(weights, biases)


@DTYPES
def test_builders_start_from_small_random_weights(dtype: Any) -> None:
    """Mean 0 and standard deviation 0.01 on 60,000 weights, alpha 1e-6; catches sd 0.1, shared keys, drawn biases."""
    model = boltz.dbm([200, 150, 200], seed=3, dtype=dtype)
    assert model.dtype == dtype and [layer.units for layer in model.layers] == [200, 150, 200]
    first, second = (model.params[f"edge/{e}/weight"].reshape(-1).astype(float) / 0.01 for e in ("v-h1", "h1-h2"))
    every = np.concatenate([first, second])
    stats.accept(stats.mean_test(every, 0.0, 1.0), "weights are not centred")
    stats.accept(stats.mean_test(every**2, 1.0, 2.0), "weights do not have standard deviation 0.01")
    stats.accept(stats.correlation_test(first, second), "two edges share their random numbers")
    assert stats.detectable_mean(len(every), 0.06, 2.0)  # a standard deviation off by 3 %
    assert stats.detectable_correlation(len(first), 0.1)
    assert all((model.bias(n) == 0).all() for n in model.graph.units)


def test_builders_depend_on_the_seed_alone() -> None:
    model = boltz.rbm(5, 4, seed=3)
    assert (model.arena == boltz.dbm([5, 4], seed=3).arena).all() and model.dtype == np.float32
    assert not (model.arena == boltz.rbm(5, 4, seed=4).arena).all()
    assert not (model.arena == boltz.rbm(5, 4, seed=3 + 2**32).arena).all(), "the upper half of the seed does not count"


def test_visible_biases_are_logits_of_the_mean_of_the_data() -> None:
    """Columns of all zeros and all ones stay finite (kept within 0.001 and 0.999)."""
    x = np.array([[0, 1, 1, 0.5], [0, 1, 0, 0.25]])
    bias = boltz.rbm(4, 3, x, dtype=np.float64).bias("v")
    mean = np.array([0.001, 0.999, 0.5, 0.375])
    assert np.abs(bias - np.log(mean / (1 - mean))).max() < 1e-6
    assert (boltz.rbm(4, 3, x).bias("h1") == 0).all()
    grey = boltz.rbm(2, 1, np.array([[255, 51], [255, 51]], np.uint8)).bias("v")
    assert np.abs(grey - np.log([999, 0.25])).max() < 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltz.dbm([4]), "at least a visible and a hidden layer"),
        (lambda: boltz.dbm([4, 0]), r"layers\[1\] must be a whole number of at least 1"),
        (lambda: boltz.dbm([4, 2.0]), r"layers\[1\] must be a whole number"),
        (lambda: boltz.dbm(7), "layers must be a sequence, got int"),
        (lambda: boltz.rbm(4, True), r"hidden must be a whole number"),
        (lambda: boltz.rbm(4, 3, seed=-1), "seed must be a whole number"),
        (lambda: boltz.rbm(4, 3, seed=2**64), "seed must be a whole number"),
        (lambda: boltz.rbm(4, 3, dtype=np.int32), "dtype must be float32 or float64"),
        (lambda: boltz.rbm(4, 3, np.zeros((2, 5))), r"x must have shape \(any, 4\), got \(2, 5\)"),
    ],
)
def test_builders_refuse_what_does_not_fit(call: Any, message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        call()


def test_parameters_are_views_into_one_arena() -> None:
    model = boltz.dbm([3, 4, 2])
    assert sum(p.size for p in model.params.values()) == model.arena.size
    for i, parameter in enumerate(model.params.values()):
        parameter[...] = i
    assert sorted(set(model.arena)) == list(range(len(model.params)))
    assert all(p.flags.c_contiguous for p in model.params.values())
    other = model.astype(np.float64)
    other.arena[...] = 7
    assert other.dtype == np.float64 and model.arena.max() < 7 and model.graph is other.graph


def parts(model: BoltzmannMachine) -> dict[str, np.ndarray]:
    return {**model.params, **{f"rate {n}": r for n, r in model.rates.items()}}


@DTYPES
def test_a_saved_machine_is_loaded_bit_by_bit(table: Table, dtype: Any, tmp_path: Path) -> None:
    machine = machine_of(table, dtype)
    rates = {n: np.full(u, 0.25) for n, u in table.layers.items()}
    for model in (machine, BoltzmannMachine(machine.graph, machine.arena, rates)):
        model.save(tmp_path / "model.safetensors")
        for path in (tmp_path / "model.safetensors", tmp_path, str(tmp_path)):
            found = boltz.load(path)
            assert found.graph == model.graph and found.dtype == dtype and found.rates.keys() == model.rates.keys()
            assert all((x == parts(found)[n]).all() for n, x in parts(model).items())


WHOLE = {"layers": [["v", 2, "bernoulli"], ["h1", 3, "bernoulli"]], "edges": [["v", "h1"]]}
TENSORS = {"edge/v-h1/weight": np.zeros((2, 3)), "layer/v/bias": np.zeros(2), "layer/h1/bias": np.zeros(3)}


@pytest.mark.parametrize(
    ("graph", "tensors"),
    [
        (WHOLE | {"layers": [["v", 2, "bernoulli"], ["h1", 4, "bernoulli"]]}, TENSORS),
        (WHOLE | {"layers": [["v", 2, "bernoulli"], ["h1", -3, "bernoulli"]]}, TENSORS),
        (WHOLE | {"layers": [["v", 2, "bernoulli"], ["h1", 3, "gauss"]]}, TENSORS),
        (WHOLE | {"layers": [["v", 2], ["h1", 3]]}, TENSORS),
        (WHOLE | {"layers": 5}, TENSORS),
        (WHOLE | {"edges": [["v", "v"]]}, TENSORS | {"edge/v-v/weight": np.zeros((2, 2))}),
        (WHOLE | {"edges": [["v", "h1"], ["v", "h1"]]}, TENSORS),
        (WHOLE | {"edges": [["v", "h1", "h2"]]}, TENSORS),
        (WHOLE | {"edges": []}, TENSORS),
        ({}, TENSORS),
        ([], TENSORS),
        (WHOLE, {n: x for n, x in TENSORS.items() if n != "layer/h1/bias"}),
        (WHOLE, TENSORS | {"layer/v/bias": np.zeros(3)}),
        (WHOLE, TENSORS | {"layer/v/bias": np.zeros(2, np.int64)}),
        (WHOLE, TENSORS | {"layer/v/bias": np.full(2, np.inf)}),
        (WHOLE, TENSORS | {"layer/v/rate": np.zeros(2)}),
        (WHOLE, TENSORS | {"layer/v/rate": np.full(2, np.nan)}),
        (WHOLE, TENSORS | {"layer/v/rate": np.full(3, 0.5)}),
    ],
)
def test_a_file_that_describes_no_machine_is_refused_by_name(graph: Any, tensors: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_tensors(path, tensors, {"model": "boltzmann", "graph": json.dumps(graph)})
    with pytest.raises(boltz.FileError, match=r"model\.safetensors"):
        boltz.load(path)


def test_other_files_are_no_machines(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_tensors(path, TENSORS, {"graph": json.dumps(WHOLE)})
    assert set(read_tensors(path)[0]) == set(TENSORS)
    with pytest.raises(boltz.FileError, match="not a model file"):
        boltz.load(path)
    for absent in (tmp_path / "absent", tmp_path, "absent\0"):
        with pytest.raises(boltz.FileError):
            boltz.load(absent)


@pytest.mark.parametrize("path", [None, 3, ["a"], np.zeros(2)], ids=str)
def test_what_is_no_path_is_refused(path: Any) -> None:
    for function in (boltz.load, boltz.resume):
        with pytest.raises(boltz.InputError, match="path must be a path, got"):
            function(path)


def test_the_current_folder_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_of(SMALL["one"]).save(tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    assert boltz.load(".").graph == machine_of(SMALL["one"]).graph
