"""Catches Helmholtz machines with a wrong structure, and builders or files that do not give them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import directed_laws as laws
from checks.directed import BITS, NUMBERS, machine_of
from scipy.stats import norm
from support import stats

import boltz
from boltz.errors import FileError, InputError
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine, empty
from boltz.models.structure import Structure, described
from boltz.storage.tensors import read_tensors, write_tensors

KINDS = ("3b 2b", "3b 2b 2b", "3g 2g 2g", "3b 2g 2b", "3b 2b 2b rbm", "3g 2b 2b 2b rbm")


def binary(*units: int) -> tuple[Layer, ...]:
    return tuple(Layer("v" if i == 0 else f"h{i}", n) for i, n in enumerate(units))


# ---------------------------------------------------------------- structures


def test_parameters_are_named_from_the_prior_to_recognition() -> None:
    layers = (Layer("v", 4), Layer("h1", 3, "gaussian"), Layer("h2", 2))
    assert dict(Structure(layers, ((5,), ())).shapes) == {
        "prior/bias": (2,),
        "generative/v/0/weight": (3, 5),
        "generative/v/0/bias": (5,),
        "generative/v/1/weight": (5, 4),
        "generative/v/1/bias": (4,),
        "generative/h1/0/weight": (2, 6),
        "generative/h1/0/bias": (6,),
        "recognition/h1/0/weight": (4, 5),
        "recognition/h1/0/bias": (5,),
        "recognition/h1/1/weight": (5, 6),
        "recognition/h1/1/bias": (6,),
        "recognition/h2/0/weight": (3, 2),
        "recognition/h2/0/bias": (2,),
    }
    belief = Structure(binary(4, 3, 2), ((),), prior="rbm")
    assert list(belief.shapes)[:3] == ["prior/edge/v-h1/weight", "prior/layer/v/bias", "prior/layer/h1/bias"]
    assert belief.shapes["prior/edge/v-h1/weight"] == (3, 2) and [layer.name for layer in belief.latent] == ["h1"]
    assert not any(
        name.startswith("prior") for name in Structure((Layer("v", 2), Layer("h1", 1, "gaussian")), ((),)).shapes
    )


def test_generation_mirrors_the_deterministic_layers() -> None:
    structure = machine_of("3b 2g", [[7, 5]]).structure
    assert structure.recognition["h1"].sizes == (3, 7, 5, 4) and structure.generative["v"].sizes == (2, 5, 7, 3)


@pytest.mark.parametrize("layers", KINDS)
def test_spans_tell_weights_from_biases(layers: str) -> None:
    """The spans follow one another over the whole arena, and decay acts on weights only."""
    machine = empty(machine_of(layers).structure, np.float64)
    for name, value in machine.params.items():
        value[...] = name.endswith("weight")
    end = 0
    for rows, weights in machine.spans():
        assert rows.start == end and (machine.arena[rows] == weights).all()
        end = rows.stop
    assert end == machine.arena.size


def test_parameters_are_views_and_other_types_are_copies() -> None:
    machine = machine_of("3b 2b 2b rbm")
    assert sum(value.size for value in machine.params.values()) == machine.arena.size
    machine.arena[...] = 7
    assert all((value == 7).all() for value in machine.params.values())
    assert machine.prior_machine is not None and (machine.prior_machine.arena == 7).all()
    machine.prior_machine.arena[...] = 8
    assert (machine.params["prior/layer/h1/bias"] == 8).all()
    single = machine.astype(np.float32)
    single.arena[...] = 0
    assert single.dtype == np.float32 and machine.arena.min() == 7 and machine.dtype == np.float64
    assert machine.visible == "v" and machine.units == {"v": 3, "h1": 2, "h2": 2}
    gradient = np.zeros(machine.arena.size)
    machine.views(gradient)["generative/v/0/bias"][...] = 1
    assert gradient.sum() == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((binary(3), ()), "needs a hidden layer"),
        ((binary(3, 2), ()), "widths for each conditional"),
        ((binary(3, 2), ((), ())), "widths for each conditional"),
        ((binary(3, 2), ((),), "tanh", "other"), "a prior among factorial, rbm"),
        ((binary(3, 2), (), "tanh", "rbm"), "needs a hidden layer"),
        (((Layer("v", 3), Layer("h1", 2, "gaussian"), Layer("h2", 2)), ((),), "tanh", "rbm"), "needs binary ones"),
        (((Layer("v", 3), Layer("h1", 2), Layer("h2", 2, "gaussian")), ((),), "tanh", "rbm"), "needs binary ones"),
        (((Layer("v", 3, "spin"), Layer("h1", 2)), ((),)), "layer v must be of kind bernoulli, gaussian"),
        ((binary(3, 0), ((),)), "layer h1 must be"),
    ],
)
def test_structures_that_are_none_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Structure(*arguments)


def test_layers_must_have_different_names() -> None:
    with pytest.raises(InputError, match="different names"):
        Structure((Layer("v", 2), Layer("h1", 2), Layer("h1", 2)), ((), ()))


# ---------------------------------------------------------------- builders


def test_builders_give_the_layers_that_were_asked_for() -> None:
    def parts(machine: HelmholtzMachine) -> Any:
        structure = machine.structure
        kinds = "".join(layer.kind[0] for layer in machine.layers)
        return [layer.units for layer in machine.layers], kinds, structure.widths, structure.prior

    assert parts(boltz.sbn([6, 4, 3])) == ([6, 4, 3], "bbb", ((), ()), "factorial")
    assert parts(boltz.sbn([6, 4, 3], [5, 2], visible="gaussian")) == ([6, 4, 3], "gbb", ((5, 2), (5, 2)), "factorial")
    assert parts(boltz.vae([6, 5, 4], 3)) == ([6, 3], "bg", ((5, 4),), "factorial")
    assert parts(boltz.vae([6], [3], visible="gaussian")) == ([6, 3], "gg", ((),), "factorial")
    assert parts(boltz.vae([6, [5, 4], [4]], [3, 2])) == ([6, 3, 2], "bgg", ((5, 4), (4,)), "factorial")
    assert parts(boltz.vae([6, [], []], [3, 2])) == ([6, 3, 2], "bgg", ((), ()), "factorial")
    assert parts(boltz.dbn([6, 5, 4, 3])) == ([6, 5, 4, 3], "bbbb", ((), ()), "rbm")
    mixed = boltz.helmholtz([6, 3, 2], ["bernoulli", "gaussian", "bernoulli"], [[4], []], activation="relu")
    assert parts(mixed) == ([6, 3, 2], "bgb", ((4,), ()), "factorial") and mixed.structure.activation == "relu"
    assert boltz.sbn([6, 4]).dtype == np.float32 and boltz.dbn([3, 2, 2], dtype="float64").dtype == np.float64
    assert [layer.name for layer in mixed.layers] == ["v", "h1", "h2"]


@pytest.mark.parametrize("build", [boltz.sbn, boltz.dbn, lambda units, **more: boltz.vae(units[:2], 3, **more)])
def test_builders_depend_on_the_seed_alone(build: Any) -> None:
    one, same, other, high = (build([5, 4, 3], seed=seed) for seed in (3, 3, 4, 3 + 2**32))
    assert (one.arena == same.arena).all() and (one.arena != other.arena).any() and (one.arena != high.arena).any()


@pytest.mark.parametrize(
    "machine",
    [boltz.sbn([120, 80, 60], [50]), boltz.vae([120, [50], []], [40, 30], visible="gaussian", activation="relu")],
    ids=["sbn", "vae"],
)
def test_weights_start_uniform_within_the_reach_of_their_fan(machine: HelmholtzMachine) -> None:
    """Glorot & Bengio 2010, mean and log sigma as separate outputs; KS test of every weight, alpha 1e-6 in all.

    Catches heads that count both outputs of a Gaussian unit: their weights would reach 18 % less far or more.
    """
    p_values = []
    for side in ("generative", "recognition"):
        for layer, net in getattr(machine.structure, side).items():
            for i, (inputs, outputs) in enumerate(zip(net.sizes[:-1], net.sizes[1:], strict=True)):
                if i == net.depth - 1 and machine.conditionals[layer].reparameterised:
                    outputs //= 2
                weight = machine.params[f"{side}/{layer}/{i}/weight"].astype(float)
                assert (machine.params[f"{side}/{layer}/{i}/bias"] == 0).all()
                p_values.append(stats.uniform_test((weight.reshape(-1) / np.sqrt(6 / (inputs + outputs)) + 1) / 2))
    stats.accept(stats.smallest_of(p_values), "weights do not start as Glorot & Bengio say")
    flat = np.concatenate([p.reshape(-1) for name, p in machine.params.items() if name.endswith("weight")])
    assert len(np.unique(flat)) > 0.9 * len(flat), "nets share their random numbers"


def test_a_belief_net_starts_tied_and_small() -> None:
    """Normal weights of standard deviation 0.01: KS test of every one, alpha 1e-6 in all; catches one of 0.011."""
    p_values = []
    machine = boltz.dbn([300, 200, 100, 90], dtype=np.float64)
    for below, above in (("v", "h1"), ("h1", "h2")):
        down, up = (machine.params[f"{name}/0/weight"] for name in (f"generative/{below}", f"recognition/{above}"))
        assert (down == up.T).all()
        p_values.append(stats.uniform_test(norm.cdf(down.reshape(-1) / 0.01)))
    p_values.append(stats.uniform_test(norm.cdf(machine.params["prior/edge/v-h1/weight"].reshape(-1) / 0.01)))
    stats.accept(stats.smallest_of(p_values), "weights are not normal with standard deviation 0.01")
    assert all((value == 0).all() for name, value in machine.params.items() if name.endswith("bias"))


def test_visible_biases_fit_the_data() -> None:
    """Logits of the mean within 0.001 and 0.999; Gaussian units have mean and spread for units, and biases 0."""
    x = np.array([[0, 1, 1, 0.5], [0, 1, 0, 0.25]])
    mean = np.array([0.001, 0.999, 0.5, 0.375])
    for machine in (boltz.sbn([4, 2], [3], x), boltz.vae([4, 3], 2, x), boltz.dbn([4, 2, 2], x)):
        name = "generative/v/0/bias" if machine.prior_machine is not None else "generative/v/1/bias"
        assert np.abs(machine.params[name] - np.log(mean / (1 - mean))).max() < 1e-5
        assert all((p == 0).all() for n, p in machine.params.items() if n.endswith("bias") and n != name)
    rows = np.column_stack([NUMBERS, np.full(5, 2.5)])
    real = boltz.vae([4], 2, rows, visible="gaussian")
    assert real.scaling is not None and (real.params["generative/v/0/bias"] == 0).all()
    assert np.abs(real.scaling.location - rows.mean(axis=0)).max() < 1e-12
    assert np.abs(real.scaling.spread - rows.std(axis=0)).max() < 1e-12 and real.scaling.spread[3] == 0
    grey = boltz.sbn([2, 1], x=np.array([[255, 51], [255, 51]], np.uint8)).params["generative/v/0/bias"]
    assert np.abs(grey - np.log([999, 0.25])).max() < 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltz.sbn([4]), "units must name at least 2 layers"),
        (lambda: boltz.sbn([4, 0]), r"units\[1\] must be a whole number of at least 1"),
        (lambda: boltz.sbn(4), "units must be a sequence, got int"),
        (lambda: boltz.sbn([4, 2], [0]), r"widths\[0\] must be a whole number"),
        (lambda: boltz.sbn([4, 2], activation="sine"), "activation must be one of elu, relu, softplus, tanh"),
        (lambda: boltz.sbn([4, 2], visible="spin"), "visible must be one of bernoulli, gaussian"),
        (lambda: boltz.sbn([4, 2], seed=-1), "seed must be a whole number"),
        (lambda: boltz.sbn([4, 2], x=np.zeros((2, 5))), r"x must have shape \(any, 4\), got \(2, 5\)"),
        (lambda: boltz.sbn([4, 2], x=np.full((2, 4), 1.5)), r"x must hold numbers in \[0, 1\]"),
        (lambda: boltz.vae([], 2), "units must name the visible units first"),
        (lambda: boltz.vae([4, 3], 0), r"latent\[0\] must be a whole number of at least 1"),
        (lambda: boltz.vae([4, 3], [2, 2]), "latent must name as many layers"),
        (lambda: boltz.vae([4, [3], [3]], 2), "latent must name as many layers"),
        (lambda: boltz.vae([4, [3], 3], [2, 2]), r"units\[2\] must be a sequence"),
        (lambda: boltz.vae([[4], [3]], 2), r"units\[0\] must be a whole number"),
        (lambda: boltz.vae([4, 3], 2, np.zeros((0, 4)), visible="gaussian"), "x must have at least one row"),
        (lambda: boltz.vae([4, 3], 2, np.full((2, 4), np.nan), visible="gaussian"), "x must be finite"),
        (lambda: boltz.dbn([4, 3]), "units must name at least 3 layers"),
        (lambda: boltz.dbn([4, 3, 2], dtype=np.int32), "dtype must be float32 or float64"),
        (lambda: boltz.helmholtz([4, 3], ["bernoulli"]), "kinds must name one kind for each of the 2 layers, got 1"),
        (lambda: boltz.helmholtz([4, 3], ["bernoulli", "spin"]), r"kinds\[1\] must be one of bernoulli, gaussian"),
        (lambda: boltz.helmholtz([4, 3], ["bernoulli"] * 2, [[1], [1]]), "widths must hold one list for each of the 1"),
    ],
)
def test_builders_refuse_what_does_not_fit(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


# ---------------------------------------------------------------- files


def tensors_of(machine: HelmholtzMachine) -> dict[str, np.ndarray]:
    return dict(machine.params) | {f"layer/{name}/rate": np.asarray(rate) for name, rate in machine.rates.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", KINDS)
def test_a_saved_machine_is_loaded_bit_by_bit(layers: str, dtype: Any, tmp_path: Path) -> None:
    plain = machine_of(layers, activation="softplus").astype(dtype)
    rates = {name: np.linspace(0.2, 0.7, plain.units[name]) for name in ("h1", "v")}
    rated = HelmholtzMachine(plain.structure, plain.arena, rates)
    nets = machine_of("3b 2g 2b", [[5, 4], [3]], "relu").astype(dtype)
    for machine in (plain, rated, nets):
        machine.save(tmp_path / "model.safetensors")
        for path in (tmp_path / "model.safetensors", tmp_path, str(tmp_path)):
            found = boltz.load(path)
            assert isinstance(found, HelmholtzMachine)
            assert found.structure == machine.structure and found.dtype == dtype
            mine, theirs = tensors_of(machine), tensors_of(found)
            assert mine.keys() == theirs.keys() and all((theirs[name] == x).all() for name, x in mine.items())
            assert (found.arena == machine.arena).all() and found.arena.flags.writeable


def test_rates_are_kept_by_their_layer() -> None:
    laws.check_saved_machine()


def test_a_loaded_machine_draws_the_same(tmp_path: Path) -> None:
    for layers in KINDS:
        machine = machine_of(layers)
        machine.save(tmp_path / "model.safetensors")
        sweeps = 3 if machine.prior_machine is not None else None
        one, two = (boltz.sample(found, 50, sweeps, seed=3) for found in (machine, boltz.load(tmp_path)))
        assert all((one[name] == two[name]).all() for name in one)


def test_a_file_names_its_parameters_and_describes_its_structure(tmp_path: Path) -> None:
    machine = machine_of("3b 2g", [[4]])
    machine.save(tmp_path / "model.safetensors")
    tensors, metadata = read_tensors(tmp_path / "model.safetensors")
    assert set(tensors) == set(machine.params) and metadata["model"] == "helmholtz"
    assert json.loads(metadata["structure"]) == {
        "layers": [["v", 3, "bernoulli"], ["h1", 2, "gaussian"]],
        "widths": [[4]],
        "activation": "tanh",
        "prior": "factorial",
    }


WHOLE = described(machine_of("2b 2b 2b", [[3], []]).structure)
TENSORS = {name: np.array(value) for name, value in machine_of("2b 2b 2b", [[3], []]).params.items()}
V, H1, H2 = WHOLE["layers"]


def without(name: str) -> dict[str, np.ndarray]:
    return {n: x for n, x in TENSORS.items() if n != name}


HOSTILE: dict[str, tuple[Any, Any]] = {
    "unknown prior": (WHOLE | {"prior": "gauss"}, TENSORS),
    "a prior that is no text": (WHOLE | {"prior": None}, TENSORS),
    "an RBM prior without its tensors": (WHOLE | {"prior": "rbm", "widths": [[3]]}, TENSORS),
    "unknown activation": (WHOLE | {"activation": "sine"}, TENSORS),
    "an activation that is no text": (WHOLE | {"activation": ["tanh"]}, TENSORS),
    "unknown kind": (WHOLE | {"layers": [V, H1, ["h2", 2, "spin"]]}, TENSORS),
    "wrong kind": (WHOLE | {"layers": [V, H1, ["h2", 2, "gaussian"]]}, TENSORS),
    "negative units": (WHOLE | {"layers": [V, ["h1", -2, "bernoulli"], H2]}, TENSORS),
    "no units": (WHOLE | {"layers": [V, ["h1", 0, "bernoulli"], H2]}, TENSORS),
    "half a unit": (WHOLE | {"layers": [V, ["h1", 2.5, "bernoulli"], H2]}, TENSORS),
    "units that are true": (WHOLE | {"layers": [V, ["h1", True, "bernoulli"], H2]}, TENSORS),
    "too many units": (WHOLE | {"layers": [V, ["h1", 10**30, "bernoulli"], H2]}, TENSORS),
    "more units": (WHOLE | {"layers": [V, H1, ["h2", 3, "bernoulli"]]}, TENSORS),
    "two layers of one name": (WHOLE | {"layers": [V, H1, H1], "widths": [[], []]}, None),
    "a hidden layer named as the visible one": (WHOLE | {"layers": [V, H1, V]}, TENSORS),
    "a layer that says less": (WHOLE | {"layers": [V, H1, ["h2", 2]]}, TENSORS),
    "layers that are none": (WHOLE | {"layers": 5}, TENSORS),
    "no layers": (WHOLE | {"layers": []}, TENSORS),
    "one layer": (WHOLE | {"layers": [V], "widths": []}, TENSORS),
    "too many layers": (WHOLE | {"layers": [V] * 2000}, TENSORS),
    "too few widths": (WHOLE | {"widths": [[3]]}, TENSORS),
    "too many widths": (WHOLE | {"widths": [[3], [], []]}, TENSORS),
    "other widths": (WHOLE | {"widths": [[4], []]}, TENSORS),
    "widths elsewhere": (WHOLE | {"widths": [[], [3]]}, TENSORS),
    "negative widths": (WHOLE | {"widths": [[-3], []]}, TENSORS),
    "widths that are text": (WHOLE | {"widths": "33"}, TENSORS),
    "widths that are none": (WHOLE | {"widths": None}, TENSORS),
    "very many widths": (WHOLE | {"widths": [[1] * 2000, []]}, TENSORS),
    "very wide": (WHOLE | {"widths": [[10**7] * 900, []]}, TENSORS),
    "nothing": ({}, TENSORS),
    "a list": ([], TENSORS),
    "no widths": ({n: x for n, x in WHOLE.items() if n != "widths"}, TENSORS),
    "missing bias": (WHOLE, without("generative/v/1/bias")),
    "missing prior": (WHOLE, without("prior/bias")),
    "wrong shape": (WHOLE, TENSORS | {"prior/bias": np.zeros(3)}),
    "turned weight": (WHOLE, TENSORS | {"recognition/h1/0/weight": np.zeros((3, 2))}),
    "whole numbers": (WHOLE, TENSORS | {"prior/bias": np.zeros(2, np.int64)}),
    "NaN": (WHOLE, TENSORS | {"recognition/h2/0/bias": np.array([0.0, np.nan])}),
    "infinite": (WHOLE, TENSORS | {"generative/h1/0/weight": np.full((2, 2), np.inf)}),
    "rate of zero": (WHOLE, TENSORS | {"layer/h1/rate": np.zeros(2)}),
    "rate of NaN": (WHOLE, TENSORS | {"layer/h1/rate": np.full(2, np.nan)}),
    "rate of another layer's size": (WHOLE, TENSORS | {"layer/h1/rate": np.full(3, 0.5)}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_describes_no_machine_is_refused_by_name(what: str, tmp_path: Path) -> None:
    """One FileError in one sentence that names the file, whatever is wrong."""
    structure, tensors = HOSTILE[what]
    if tensors is None:  # every tensor that a structure with a repeated name asks for
        nets = {"generative/v": 2, "generative/h1": 2, "recognition/h1": 2}
        tensors = {
            f"{name}/0/{kind}": np.zeros((n, n)[: 1 + (kind == "weight")])
            for name, n in nets.items()
            for kind in ("weight", "bias")
        }
        tensors["prior/bias"] = np.zeros(2)
    path = tmp_path / "model.safetensors"
    write_tensors(path, tensors, {"model": "helmholtz", "structure": json.dumps(structure)})
    with pytest.raises(FileError, match=r"model\.safetensors") as problem:
        boltz.load(path)
    assert str(problem.value).endswith(".") and "\n" not in str(problem.value)


def test_the_whole_file_of_these_cases_loads(tmp_path: Path) -> None:
    """Test of the test: unchanged, it is a machine; so it is with a tensor that nobody asks for."""
    path = tmp_path / "model.safetensors"
    for tensors in (TENSORS, TENSORS | {"other": np.zeros(1)}):
        write_tensors(path, tensors, {"model": "helmholtz", "structure": json.dumps(WHOLE)})
        assert boltz.load(path).structure == machine_of("2b 2b 2b", [[3], []]).structure


@pytest.mark.parametrize("metadata", [{}, {"structure": "{"}, {"structure": "[" * 5000}, {"structure": "NaN"}])
def test_a_structure_that_is_no_json_is_refused(metadata: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_tensors(path, TENSORS, {"model": "helmholtz"} | metadata)
    with pytest.raises(FileError, match="does not describe a Helmholtz machine"):
        boltz.load(path)
    write_tensors(path, TENSORS, metadata)
    with pytest.raises(FileError, match="is not a model file"):
        boltz.load(path)


def test_data_of_these_tests_fit_the_machines() -> None:
    assert BITS.shape[1] == NUMBERS.shape[1] == 3 and set(np.unique(BITS)) == {0, 1}
