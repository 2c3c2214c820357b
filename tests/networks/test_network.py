"""Catches networks that are not the machine unrolled, labels mixed up, and files that do not give them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import fine_tuning as checks
from checks.fine_tuning import MACHINES, UNITS, X, machine, networks
from support.machines import SMALL, machine_of

import boltz
from boltz.storage.tensors import read_tensors, write_tensors


def test_classifiers_start_from_their_machine() -> None:
    checks.check_first_weights()


def test_autoencoders_start_from_their_machine() -> None:
    checks.check_autoencoders()


@pytest.mark.parametrize("name", MACHINES)
def test_networks_own_their_parameters(name: str) -> None:
    model = machine(name)
    for network in (boltz.classifier(model, [0, 1]), boltz.autoencoder(model)):
        before = model.arena.tobytes()
        assert not np.shares_memory(network.arena, model.arena) and network.dtype == model.dtype
        network.arena[...] = 0
        assert model.arena.tobytes() == before


def test_spans_and_the_outputs_alone() -> None:
    network = networks("dbm of 3")["classifier"]
    covered = np.zeros(network.arena.size)
    for (span, decayed), (name, value) in zip(network.spans(), network.params.items(), strict=True):
        assert (network.arena[span] == value.reshape(-1)).all() and decayed == name.endswith("weight")
        covered[span] += 1
    assert (covered == 1).all()
    top = network.output()
    assert np.shares_memory(top.arena, network.arena) and top.net.sizes == network.net.sizes[-2:]
    assert (top.params["0/weight"] == network.params["3/weight"]).all()


LABELS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "text": (["no", "yes"], ("no", "yes")),
    "numpy text": (np.array(["no", "yes"]), ("no", "yes")),
    "integers": (np.array([-3, 7, 10**12]), (-3, 7, 10**12)),
    "bool": ((False, True), (False, True)),
    "fractions": ([0.5, -1.5], (0.5, -1.5)),
    "one": (["alone"], ("alone",)),
    "range": (range(3), (0, 1, 2)),
}


@pytest.mark.parametrize("kind", LABELS)
def test_classes_come_through_a_file_unchanged(kind: str, tmp_path: Path) -> None:
    given, wanted = LABELS[kind]
    network = boltz.classifier(machine("rbm"), given)
    network.save(tmp_path / "network.safetensors")
    for found in (network, boltz.load_network(tmp_path)):
        assert found.classes == wanted and [type(c) for c in found.classes] == [type(c) for c in wanted]


@pytest.mark.parametrize(
    "classes",
    [[], [1, 1], [1, 1.0], [True, 1], ["a", "a"], [np.nan], [None], [b"a"], [[1]], [1j], "ab", None, 3, {1: 2}, {1, 2}],
    ids=repr,
)
def test_what_are_no_classes_is_refused(classes: Any) -> None:
    with pytest.raises(boltz.InputError, match=r"^classes.* must .*\.$"):
        boltz.classifier(machine("rbm"), classes)


def test_machines_without_a_chain_of_layers_cannot_be_unrolled() -> None:
    for unroll in (lambda m: boltz.classifier(m, [0, 1]), boltz.autoencoder):
        with pytest.raises(boltz.InputError, match=r"^model must have its layers in a chain"):
            unroll(machine_of(SMALL["ring"]))
    with pytest.raises(boltz.InputError, match=r"^code must be one of linear, sigmoid, got 'tanh'\.$"):
        boltz.autoencoder(machine("rbm"), "tanh")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MACHINES)
def test_a_saved_network_is_loaded_bit_by_bit(name: str, dtype: Any, tmp_path: Path) -> None:
    model = machine(name).astype(dtype) if hasattr(machine(name), "astype") else machine(name)
    for network in (boltz.classifier(model, ["one", "zwölf", "\u4e09"]), boltz.autoencoder(model)):
        network.save(tmp_path / "network.safetensors")
        for path in (tmp_path, tmp_path / "network.safetensors", str(tmp_path)):
            found = boltz.load_network(path)
            assert (found.net, found.visible, found.classes, found.code) == (
                network.net,
                network.visible,
                network.classes,
                network.code,
            )
            assert found.dtype == dtype and found.arena.tobytes() == network.arena.tobytes()
        if network.machine is None:
            assert found.machine is None
        else:
            assert found.machine.graph == model.graph and found.machine.arena.tobytes() == model.arena.tobytes()
        run = boltz.reconstruct if network.code else boltz.classify
        assert (run(found, X) == run(network, X)).all()


def test_networks_and_machines_are_told_apart(tmp_path: Path) -> None:
    boltz.autoencoder(machine("rbm")).save(tmp_path / "network.safetensors")
    with pytest.raises(boltz.FileError, match="is not a model file"):
        boltz.load(tmp_path / "network.safetensors")
    machine("rbm").save(tmp_path / "model.safetensors")
    with pytest.raises(boltz.FileError, match="is not the file of a network"):
        boltz.load_network(tmp_path / "model.safetensors")
    for absent in (tmp_path / "absent", "absent\0"):
        with pytest.raises(boltz.FileError):
            boltz.load_network(absent)
    with pytest.raises(boltz.InputError, match=r"^path must be a path"):
        boltz.load_network(3)


# ---------------------------------------------------------------- hostile files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors and metadata of the classifier of a DBM (6-4-3) of two classes."""
    path = tmp_path_factory.mktemp("whole") / "network.safetensors"
    boltz.classifier(machine("dbm of 2"), ["a", "b"]).save(path)
    return read_tensors(path)


def told(**changes: Any) -> Callable[[Any, Any], None]:
    def change(tensors: Any, metadata: Any) -> None:
        metadata["network"] = json.dumps(json.loads(metadata["network"]) | changes)

    return change


def tensor(name: str, value: Any) -> Callable[[Any, Any], None]:
    return lambda tensors, metadata: tensors.__setitem__(name, value)


def text(name: str, value: str) -> Callable[[Any, Any], None]:
    return lambda tensors, metadata: metadata.__setitem__(name, value)


def other_machine(tensors: Any, metadata: Any) -> None:
    """A whole machine with one visible unit less."""
    layers = [["v", 5, "bernoulli"], ["h1", 4, "bernoulli"], ["h2", 3, "bernoulli"]]
    metadata["graph"] = json.dumps({"layers": layers, "edges": [["v", "h1"], ["h1", "h2"]]})
    tensors["machine/edge/v-h1/weight"] = np.zeros((5, 4))
    tensors["machine/layer/v/bias"] = np.zeros(5)


def as_float32(tensors: Any, metadata: Any) -> None:
    for name in list(tensors):
        if name.startswith("machine/"):
            tensors[name] = tensors[name].astype(np.float32)


HOSTILE: dict[str, Callable[[Any, Any], None]] = {
    "no description": lambda tensors, metadata: metadata.pop("network"),
    "no JSON": text("network", "{"),
    "deep JSON": text("network", "[" * 100_000),
    "a list": text("network", "[]"),
    "nothing": text("network", "{}"),
    "a number": text("network", "3"),
    "sizes that are none": told(sizes=None),
    "sizes that are text": told(sizes="643"),
    "half a unit": told(sizes=[6, 4.5, 3, 2]),
    "no units": told(sizes=[6, 0, 3, 2]),
    "negative units": told(sizes=[6, -4, 3, 2]),
    "too many units": told(sizes=[6, 10**30, 3, 2]),
    "very many units": told(sizes=[10**7] * 4),
    "very many layers": told(sizes=[1] * 10_000, functions=["linear"] * 9_999, sides=[0] * 9_999),
    "one layer less": told(sizes=[6, 4, 2]),
    "no layers": told(sizes=[], functions=[], sides=[]),
    "other functions": told(functions=["sigmoid", "sine", "softmax"]),
    "softmax below": told(functions=["softmax", "sigmoid", "softmax"]),
    "no softmax": told(functions=["sigmoid", "sigmoid", "linear"]),
    "tanh outputs": told(functions=["sigmoid", "sigmoid", "tanh"]),
    "functions that are none": told(functions=None),
    "sides elsewhere": told(sides=[0, 3, 0]),
    "no sides": told(sides=[0, 0, 0]),
    "fewer sides": told(sides=[3, 0]),
    "negative sides": told(sides=[-3, 0, 0]),
    "sides that are true": told(sides=[True, 0, 0]),
    "other visible units": told(visible=["v", 7, "bernoulli"]),
    "visible units of no kind": told(visible=["v", 6, "spin"]),
    "visible units that say less": told(visible=["v", 6]),
    "visible units that are none": told(visible=None),
    "no classes": told(classes=[]),
    "too many classes": told(classes=["a", "b", "c"]),
    "equal classes": told(classes=["a", "a"]),
    "classes that are none": told(classes=None),
    "classes that are lists": told(classes=[["a"], ["b"]]),
    "a class of null": told(classes=["a", None]),
    "a class of NaN": text("network", "{}"),
    "a code and classes": told(code=1),
    "a code for classes": told(code=1, classes=[]),
    "a code beyond the top": told(code=3, classes=[]),
    "a code of text": told(code="1"),
    "a missing bias": lambda tensors, metadata: tensors.pop("network/1/bias"),
    "a wrong shape": tensor("network/1/bias", np.zeros(4)),
    "a turned weight": tensor("network/1/weight", np.zeros((3, 4))),
    "whole numbers": tensor("network/1/bias", np.zeros(3, np.int64)),
    "NaN": tensor("network/1/bias", np.full(3, np.nan)),
    "infinite": tensor("network/2/weight", np.full((3, 2), np.inf)),
    "no graph": lambda tensors, metadata: metadata.pop("graph"),
    "a graph that is none": text("graph", "5"),
    "a machine of another shape": other_machine,
    "a machine of another type": as_float32,
    "a machine with a NaN": tensor("machine/layer/h2/bias", np.full(3, np.nan)),
    "a machine without a bias": lambda tensors, metadata: tensors.pop("machine/layer/h2/bias"),
    "another model": text("model", "boltzmann"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_describes_no_network_is_refused_by_name(what: str, whole: Any, tmp_path: Path) -> None:
    """One FileError in one sentence that names the file, whatever is wrong."""
    tensors, metadata = dict(whole[0]), dict(whole[1])
    HOSTILE[what](tensors, metadata)
    if what == "a class of NaN":
        metadata["network"] = whole[1]["network"].replace('"b"', "NaN")
    path = tmp_path / "network.safetensors"
    write_tensors(path, tensors, metadata)
    with pytest.raises(boltz.FileError, match=r"network\.safetensors") as problem:
        boltz.load_network(path)
    assert str(problem.value).endswith(".") and "\n" not in str(problem.value)


def test_mutated_descriptions_load_or_are_refused(whole: Any, tmp_path: Path) -> None:
    """A thousand descriptions with some characters changed: a network that works, or one FileError."""
    rng, loaded = np.random.default_rng(1), 0
    path = tmp_path / "network.safetensors"
    for round_ in range(1000):
        changed = list(whole[1]["network"])
        for place in rng.integers(0, len(changed), 1 + round_ % 3):
            changed[place] = str(rng.choice(list('0123456789{}[]",:-.abtrue \\')))
        with pytest.MonkeyPatch.context() as patch:
            metadata = whole[1] | {"network": "".join(changed)}
            patch.setattr("boltz.networks.files.read_metadata", lambda file, m=metadata: m)
            patch.setattr("boltz.networks.files.read_tensors", lambda file, joined, m=metadata: (dict(whole[0]), m))
            try:
                network = boltz.load_network(path)
            except boltz.FileError:
                continue
        loaded += 1
        assert boltz.classify(network, X[:2]).shape == (2, 2)
    assert 5 < loaded < 900, "a few changes leave a network, most do not"


def test_the_whole_file_of_these_cases_loads(whole: Any, tmp_path: Path) -> None:
    """Test of the test: unchanged, it is a network; so it is with a tensor that nobody asks for."""
    for tensors in (whole[0], whole[0] | {"network/9/bias": np.zeros(1)}):
        write_tensors(tmp_path / "network.safetensors", tensors, whole[1])
        assert boltz.load_network(tmp_path).net.sizes == (UNITS, 4, 3, 2)
