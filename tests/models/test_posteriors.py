"""Catches machines with a flow behind their posterior that are made, kept, trained or refused wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import encoders as checks
from support.commands import invoke
from support.training import plain_train

import boltz
from boltz.errors import FileError, InputError
from boltz.models.graph import Layer
from boltz.models.structure import Structure, described
from boltz.nn.flows import InverseAutoregressiveFlow
from boltz.storage.tensors import read_tensors, write_tensors

ROWS, FLOW = checks.ROWS, checks.POSTERIOR


def one_layer(**more: Any) -> boltz.HelmholtzMachine:
    return boltz.vae([6, 5], 3, ROWS, seed=3, **(FLOW | more))


def two_layers() -> boltz.HelmholtzMachine:
    return boltz.vae([6, [5], [4]], [3, 2], ROWS, seed=3, **FLOW)


def test_parameters_of_a_flow_follow_those_of_its_encoder() -> None:
    flow = InverseAutoregressiveFlow(3, 2, (5,), 6)
    assert one_layer().structure.posteriors == (("h1", flow),)
    names = list(one_layer().structure.shapes)
    at = names.index("recognition/h1/1/bias") + 1
    assert names[at:] == list(flow.shapes("recognition/h1/flow"))
    assert [name for name, _ in two_layers().structure.posteriors] == ["h1", "h2"]
    assert one_layer().kind == "vae" and one_layer().architecture == boltz.vae([6, 5], 3).architecture


def test_a_new_machine() -> None:
    checks.check_new_machine()


def test_a_saved_machine_comes_back() -> None:
    checks.check_saved()


def test_no_program_is_made_of_their_steps() -> None:
    checks.check_no_programs()


def test_other_machines_say_nothing_of_posteriors() -> None:
    assert "posteriors" not in described(boltz.vae([6, 5], 3).structure)
    plain = boltz.vae([6, 5], 3, ROWS, posterior="gaussian")
    assert plain.structure == boltz.vae([6, 5], 3).structure


SETTINGS = {"units": 3, "steps": 2, "widths": [5], "context": 6, "kind": "affine", "activation": "relu"}
HOSTILE: dict[str, Any] = {
    "no list": 7,
    "no triples": [["h1", "iaf"]],
    "another name": [["h1", "raf", SETTINGS]],
    "a name that is no text": [["h1", ["iaf"], SETTINGS]],
    "no settings": [["h1", "iaf", 5]],
    "other settings": [["h1", "iaf", SETTINGS | {"seed": 1}]],
    "another layer": [["h2", "iaf", SETTINGS]],
    "the visible layer": [["v", "iaf", SETTINGS]],
    "a layer that is no text": [[None, "iaf", SETTINGS]],
    "one layer twice": [["h1", "iaf", SETTINGS], ["h1", "iaf", SETTINGS]],
    "other units": [["h1", "iaf", SETTINGS | {"units": 4}]],
    "no context": [["h1", "iaf", SETTINGS | {"context": 0}]],
    "no steps": [["h1", "iaf", SETTINGS | {"steps": 0}]],
    "a billion steps": [["h1", "iaf", SETTINGS | {"steps": 10**9}]],
    "steps as text": [["h1", "iaf", SETTINGS | {"steps": "2"}]],
    "no widths": [["h1", "iaf", SETTINGS | {"widths": []}]],
    "widths that are no list": [["h1", "iaf", SETTINGS | {"widths": 5}]],
    "a huge width": [["h1", "iaf", SETTINGS | {"widths": [10**12]}]],
    "another kind": [["h1", "iaf", SETTINGS | {"kind": "linear"}]],
    "another activation": [["h1", "iaf", SETTINGS | {"activation": "step"}]],
    "more steps than tensors": [["h1", "iaf", SETTINGS | {"steps": 3}]],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence(what: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    one_layer().save(path)
    tensors, metadata = read_tensors(path)
    structure = json.loads(metadata["structure"])
    assert structure["posteriors"] == [["h1", "iaf", SETTINGS]]
    told = json.dumps(structure | {"posteriors": HOSTILE[what]})
    write_tensors(path, tensors, {"model": "helmholtz", "structure": told})
    with pytest.raises(FileError, match=r"model\.safetensors") as problem:
        boltz.load(path)
    assert str(problem.value).endswith(".") and "\n" not in str(problem.value)


def test_a_flow_belongs_to_a_gaussian_hidden_layer() -> None:
    layers = (Layer("v", 4), Layer("h1", 3))
    with pytest.raises(InputError, match="posteriors must name Gaussian hidden layers, got 'h1'"):
        Structure(layers, ((),), posteriors=(("h1", InverseAutoregressiveFlow(3, 1, (4,), 6)),))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"posterior": "flow"}, "posterior must be one of"),
        ({"posterior": None}, "posterior must be"),
        ({"flow_steps": 0}, "flow_steps must be"),
        ({"flow_steps": 1001}, "flow_steps must be"),
        ({"flow_widths": []}, "flow_widths must"),
        ({"flow_widths": [0]}, "flow_widths"),
    ],
)
def test_wrong_arguments_are_named(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        one_layer(**more)


@pytest.mark.parametrize("objective", ["vae", "iwae", "stl", "rws", "wake-sleep"])
def test_equal_bits_for_any_number_of_threads(objective: str) -> None:
    machine = one_layer() if objective == "iwae" else two_layers()
    settings = {"epochs": 2, "batch_size": 64, "objective": objective, "samples": 8, "seed": 5}
    found, before = [], boltz.threads()
    try:
        for threads in (1, 2):
            boltz.threads(threads)
            found.append(plain_train(machine, ROWS, **settings).model.arena.tobytes())
    finally:
        boltz.threads(before)
    assert found[0] == found[1]
    assert found[0] != machine.arena.tobytes()


def test_flows_learn() -> None:
    """Every step of every flow leaves its start, and the bound rises; one seed, no chance beyond it."""
    run = plain_train(two_layers(), ROWS, epochs=40, batch_size=35, learning_rate=0.01, seed=2)
    assert run.history[-1]["bound"] > run.history[0]["bound"]
    last = [value for name, value in run.model.params.items() if "/flow/" in name and name.endswith("/1/weight")]
    assert len(last) == 4 and all(np.abs(value).max() > 0 for value in last)


@pytest.mark.parametrize("unroll", [boltz.autoencoder, lambda model: boltz.classifier(model, [0, 1])])
def test_networks_refuse_them(unroll: Any) -> None:
    with pytest.raises(InputError, match="a flow is behind that of layer h1"):
        unroll(one_layer())


def test_what_works_with_them() -> None:
    machine = one_layer()
    assert boltz.features(machine, ROWS[:3]).shape == (3, 3)
    known = np.arange(6) < 4
    filled = boltz.complete(machine, ROWS[:3], known, sweeps=5)
    np.testing.assert_array_equal(filled[:, known], ROWS[:3, known])
    assert boltz.posterior_variances(machine, ROWS)["h1"].shape == (3,)
    found = boltz.posterior_sandwich(machine, rows=4, chains=3, betas=5)
    assert np.isfinite(found.gap)


def test_the_command_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    out, options = tmp_path / "run", ["--flow-widths", "5", "--flow-steps", 3, "--layers", "4", "--latent", "2"]
    common = ["--data", tmp_path / "x.npy", "--epochs", 1, "--batch-size", 35, "--no-evaluate"]
    found = invoke("train", "vae", "--posterior", "iaf", *options, *common, "--out", out)
    assert found.exit_code == 0, found.stderr
    machine = boltz.load(out)
    assert machine.structure.posteriors == (("h1", InverseAutoregressiveFlow(2, 3, (5,), 4)),)
    refused = invoke("train", "vae", *options, *common, "--out", tmp_path / "other")
    assert refused.exit_code != 0
    assert "would do nothing: it needs --prior flow or coupling, or --posterior iaf" in " ".join(refused.stderr.split())
