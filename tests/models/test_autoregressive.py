"""Catches machines with factors of their own whose likelihoods, samples, files or refusals are wrong.

Exact checks are in checks/factored, where planted faults must fail them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import factored as checks
from checks.factored import FLOWING, latent, rows_of, tractable

import boltz
from boltz.errors import FileError, InputError
from boltz.models.graph import Layer
from boltz.models.helmholtz import HelmholtzMachine
from boltz.models.structure import Structure, described
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.storage.tensors import read_tensors, write_tensors

X = (np.random.default_rng(8).random((60, 9)) < np.linspace(0.1, 0.8, 9)).astype(float)
SMALL: dict[str, Callable[..., HelmholtzMachine]] = {
    "nade": lambda x=None: boltz.nade(9, 4, x),
    "made": lambda x=None: boltz.made(9, [5], x, masks=2),
    "pixelcnn": lambda x=None: boltz.pixelcnn(9, x, receptive_field=2, filters=2),
    "vlae": lambda x=None: boltz.vae([9, 4], 2, x, **FLOWING),
    "vae": lambda x=None: boltz.vae([9, 4], 2, x, prior="flow", flow_widths=[3]),
    "coupling": lambda x=None: boltz.vae([9, 4], 2, x, prior="coupling", flow_widths=[3]),
}
LONE = ("nade", "made", "pixelcnn")


def test_exact_likelihoods() -> None:
    checks.check_exact()


def test_samples_follow_the_likelihood() -> None:
    checks.check_samples()


def test_importance_weights_and_annealing_against_a_grid() -> None:
    checks.check_evidence()


def test_samples_of_a_lossy_autoencoder() -> None:
    checks.check_lossy_samples()


def test_samples_of_flow_priors() -> None:
    checks.check_prior_samples()


@pytest.mark.parametrize("name", SMALL)
def test_a_machine_says_what_it_is(name: str) -> None:
    machine = SMALL[name]()
    kind = {"coupling": "vae"}.get(name, name)
    assert machine.kind == kind and repr(machine).startswith(f"HelmholtzMachine({kind} {machine.architecture}")
    assert machine.architecture == {"nade": "9-4", "made": "9-5", "pixelcnn": "9-2 x 2"}.get(name, "9-4-[2]")
    assert bool(machine.hidden_layers) == (name not in LONE) and machine.undirected is None


def test_starts() -> None:
    checks.check_start()


def test_holes_are_refused() -> None:
    checks.check_holes()


def test_nets_of_pixels_mirror_the_encoder() -> None:
    checks.check_mirrored_nets()


@pytest.mark.parametrize("name", [name for name in SMALL if name != "coupling"])
def test_builders_depend_on_the_seed_alone(name: str) -> None:
    make: dict[str, Any] = {
        "nade": lambda seed: boltz.nade(9, 4, seed=seed),
        "made": lambda seed: boltz.made(9, [5], seed=seed, masks=2),
        "pixelcnn": lambda seed: boltz.pixelcnn(9, seed=seed),
        "vlae": lambda seed: boltz.vae([9, 4], 2, seed=seed, **FLOWING),
        "vae": lambda seed: boltz.vae([9, 4], 2, seed=seed, prior="flow"),
    }
    one, same, other = (make[name](seed) for seed in (3, 3, 4))
    assert (one.arena == same.arena).all() and (one.arena != other.arena).any()
    assert one.structure == same.structure and (name != "made" or one.structure != other.structure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltz.nade(0), "units must be a whole number of at least 1"),
        (lambda: boltz.nade(4, 0), "hidden must be a whole number of at least 1"),
        (lambda: boltz.nade(4, 3, activation="tanh"), "activation must be one of relu, sigmoid"),
        (lambda: boltz.nade(4, 3, order=[0, 1, 2]), "order must name each unit from 0 to 3 once"),
        (lambda: boltz.nade(4, 3, order=[0, 1, 2, 9]), "order must be a whole number of at least 0 and at most 3"),
        (lambda: boltz.nade(4, 3, np.zeros((2, 5))), r"x must have shape \(any, 4\)"),
        (lambda: boltz.made(4, [0]), r"widths\[0\] must be a whole number of at least 1"),
        (lambda: boltz.made(4, 5), "widths must be a sequence"),
        (lambda: boltz.made(4, (), masks=2), "masks must be 1 without hidden layers, .* natural order, got 2"),
        (lambda: boltz.made(4, masks=0), "masks must be a whole number of at least 1"),
        (lambda: boltz.made(4, natural=1), "natural must be True or False"),
        (lambda: boltz.made(4, seed=-1), "seed must be a whole number"),
        (lambda: boltz.pixelcnn(6), r"6 pixels are no square image: give image"),
        (lambda: boltz.pixelcnn(6, image=(2, 2)), r"image must be \(height, width\), .* of 6 pixels, got 2, 2"),
        (lambda: boltz.pixelcnn(6, image=(6,)), r"image must be \(height, width\), .* of 6 pixels, got 6"),
        (lambda: boltz.pixelcnn(4, receptive_field=-1), "receptive_field must be a whole number of at least 0"),
        (lambda: boltz.pixelcnn(4, filters=0), "filters must be a whole number of at least 1"),
        (lambda: boltz.pixelcnn(4, tied="yes"), "tied must be True or False"),
        (lambda: boltz.vae([4, 3], 2, decoder="conv"), "decoder must be one of dense, pixelcnn"),
        (lambda: boltz.vae([4, 3], 2, prior="uniform"), "prior must be one of coupling, flow, normal"),
        (lambda: boltz.vae([4, 3], 2, prior="flow", flow_steps=0), "flow_steps must be a whole number of at least 1"),
        (lambda: boltz.vae([4, 3], 2, prior="flow", flow_widths=[]), "flow_widths must name at least 1"),
        (lambda: boltz.vae([4, 3], 1, prior="coupling"), "units"),
        (lambda: boltz.vae([4, 3], 2, decoder="pixelcnn", maps=0), "maps must be a whole number of at least 1"),
        (lambda: boltz.vae([4, 3], 2, decoder="pixelcnn", visible="gaussian"), "is for bernoulli units, got gaussian"),
    ],
)
def test_builders_refuse_what_does_not_fit(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ((("h1", Nade(2, 3)),), "is for bernoulli units, got gaussian"),
        ((("v", Nade(3, 3)),), "must be of 4 units given 2, got 3 given 0"),
        ((("v", Made(4, (3,))),), "must be of 4 units given 2, got 4 given 0"),
        ((("w", Nade(4, 3, 2)),), "must name drawn layers"),
    ],
)
def test_structures_refuse_factors_that_do_not_fit(factors: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Structure((Layer("v", 4), Layer("h1", 2, "gaussian")), ((),), factors=factors)
    with pytest.raises(InputError, match="or a factor of its own"):
        Structure((Layer("v", 4),), ())


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SMALL)
def test_a_saved_machine_is_loaded_bit_by_bit(name: str, dtype: Any, tmp_path: Path) -> None:
    machine = SMALL[name](X).astype(dtype)
    machine.save(tmp_path / "model.safetensors")
    found = boltz.load(tmp_path)
    assert isinstance(found, HelmholtzMachine) and found.structure == machine.structure and found.dtype == dtype
    assert found.arena.tobytes() == machine.arena.tobytes() and found.kind == machine.kind


def test_real_visible_units_keep_their_scale_under_a_flow_prior(tmp_path: Path) -> None:
    machine = boltz.vae([4, 3], 2, np.random.default_rng(1).normal(5, 3, (50, 4)), visible="gaussian", prior="flow")
    machine.save(tmp_path / "model.safetensors")
    found = boltz.load(tmp_path / "model.safetensors")
    assert isinstance(found, HelmholtzMachine) and found.kind == "vae"
    assert found.scaling is not None and machine.scaling is not None
    for name in ("location", "spread"):
        assert np.array_equal(getattr(found.scaling, name), getattr(machine.scaling, name))


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "another name": lambda text: text["factors"][0].__setitem__(1, "wizard"),
    "no name": lambda text: text["factors"][0].__setitem__(1, None),
    "a list for a name": lambda text: text["factors"][0].__setitem__(1, ["nade"]),
    "another layer": lambda text: text["factors"][0].__setitem__(0, "h9"),
    "settings missing": lambda text: text["factors"][0][2].pop(next(iter(text["factors"][0][2]))),
    "another setting": lambda text: text["factors"][0][2].update(colour=3),
    "no settings": lambda text: text["factors"][0].__setitem__(2, None),
    "settings in a list": lambda text: text["factors"][0].__setitem__(2, [1, 2]),
    "a huge number": lambda text: text["factors"][0][2].update(units=10**400),
    "many units": lambda text: text["factors"][0][2].update(units=10**12),
    "a negative number": lambda text: text["factors"][0][2].update(units=-3),
    "a fraction": lambda text: text["factors"][0][2].update(units=8.5),
    "text for a number": lambda text: text["factors"][0][2].update(units="nine"),
    "a list for a number": lambda text: text["factors"][0][2].update(units=[[9]]),
    "not a number": lambda text: text["factors"][0][2].update(units=float("nan")),
    "another activation": lambda text: text["factors"][0][2].update(activation="sine"),
    "a list for an activation": lambda text: text["factors"][0][2].update(activation=[1]),
    "a short entry": lambda text: text["factors"][0].pop(),
    "a long entry": lambda text: text["factors"][0].append(1),
    "no list": lambda text: text.__setitem__("factors", 7),
    "none at all": lambda text: text.__setitem__("factors", None),
    "twice": lambda text: text["factors"].append(text["factors"][0]),
    "a factor of another machine": lambda text: text["factors"].__setitem__(0, ["v", "flow", {"units": 9}]),
}
OWN: dict[str, dict[str, list[Any]]] = {
    "nade": {"hidden": [0, -1, 10**30, 2.5, "4", None, [4]], "order": [[0], [0] * 9, "012345678", [[1]], 5]},
    "made": {
        "widths": [[0], ["5"], [10**30], 5, None, [[5]]],
        "masks": [0, 10**30, "2", None],
        "natural": ["yes", 1, None],
        "seed": [-1, 10**40, "0"],
    },
    "pixelcnn": {
        "height": [0, 4, 10**30, "3", None],
        "layers": [-1, 10**30, "2", [2]],
        "filters": [0, 10**30, 1.5, None],
        "tied": ["no", 2, None],
        "size": [2, 0, -3, 10**30, "3"],
    },
    "vae": {"steps": [0, 10**30, "2", None], "widths": [[0], [10**30], 3, None, ["3"]], "kind": ["odd", None, [1]]},
    "coupling": {"steps": [0, -1, 10**30], "widths": [[-4], "3"], "kind": ["odd", 4]},
}


def corrupted(machine: HelmholtzMachine, change: Callable[[dict[str, Any]], object], path: Path) -> Path:
    """A model file whose structure was changed."""
    machine.save(path)
    tensors, told = read_tensors(path)
    text = json.loads(told["structure"])
    change(text)
    write_tensors(path, dict(tensors), {**told, "structure": json.dumps(text)})
    return path


def assert_one_sentence(path: Path) -> None:
    with pytest.raises(FileError) as caught:
        boltz.load(path)
    told = str(caught.value)
    assert told.startswith(str(path)) and "\n" not in told and len(told) < 500, told


@pytest.mark.parametrize("change", HOSTILE)
@pytest.mark.parametrize("name", ["nade", "made", "pixelcnn", "vlae", "vae"])
def test_hostile_files_end_in_one_sentence(name: str, change: str, tmp_path: Path) -> None:
    """Names, types and numbers that no machine has; catches a traceback, and memory that a stranger asks for."""
    assert_one_sentence(corrupted(SMALL[name](), HOSTILE[change], tmp_path / "model.safetensors"))


@pytest.mark.parametrize(("name", "setting"), [(name, setting) for name in OWN for setting in OWN[name]])
def test_hostile_settings_of_factors_end_in_one_sentence(name: str, setting: str, tmp_path: Path) -> None:
    for value in OWN[name][setting]:

        def change(text: dict[str, Any], value: Any = value) -> None:
            text["factors"][0][2][setting] = value

        assert_one_sentence(corrupted(SMALL[name](), change, tmp_path / "model.safetensors"))


def test_structures_without_factors_are_written_as_ever() -> None:
    assert "factors" not in described(boltz.vae([4, 3], 2).structure)


# ---------------------------------------------------------------- what else takes them


@pytest.mark.parametrize("name", SMALL)
def test_what_works(name: str) -> None:
    """Each machine is described, evaluated, diagnosed and compared, an RBM beside it."""
    machine = SMALL[name](X)
    assert boltz.describe(machine).entries["model"] == machine.kind
    found = boltz.evaluate(machine, X)
    assert found.log_likelihood.kind == ("exact" if name in LONE else "lower")
    findings = {each.name for each in boltz.diagnose(machine, X).findings}
    assert "learnt" in findings and ("inactive units" in findings) == (name not in LONE)
    other = boltz.rbm(9, 3, X)
    told = boltz.compare({"this": machine, "an rbm": other}, X)
    assert [each.name for each in told.models] == ["this", "an rbm"] and len(told.pairs) == 1
    annealed = boltz.posterior_ais(machine, X[:2], 3, 3)
    assert annealed.kind == ("exact" if name in LONE else "lower")
    if name in LONE:
        assert annealed.value == pytest.approx(boltz.log_likelihood(machine, X[:2]).value, abs=1e-12)
    assert len(boltz.plot_samples(machine).axes) > 0


@pytest.mark.parametrize("name", SMALL)
def test_what_is_refused_is_refused_in_a_sentence(name: str) -> None:
    """Or it works, for those whose visible units are independent given the layer above."""
    machine, holes = SMALL[name](X), np.where(X > 0, X, np.nan)
    calls: dict[str, Any] = {
        "decode": lambda: boltz.decode(machine, np.zeros((3, 2))),
        "complete": lambda: boltz.complete(machine, holes, sweeps=2),
        "filters": lambda: boltz.plot_filters(machine),
        "autoencoder": lambda: boltz.autoencoder(machine),
        "classifier": lambda: boltz.classifier(machine, [0, 1, 2]),
        "classify": lambda: boltz.fine_tune(machine, X, np.arange(60) % 3, epochs=1),
        "holes": lambda: boltz.log_likelihood(machine, holes, samples=20 if name in ("vae", "coupling") else 0),
        "holes in features": lambda: boltz.features(machine, holes),
    }
    for what, call in calls.items():
        if name in ("vae", "coupling"):
            call()
            continue
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value), what
    if name not in ("vae", "coupling"):
        with pytest.raises(InputError, match=r"no unknown entries, since visible units of a .* hear each other"):
            boltz.log_likelihood(machine, holes)
    more: dict[str, Any] = {
        "log_z": lambda: boltz.log_z(machine),
        "ais": lambda: boltz.ais(machine),
        "grow": lambda: boltz.grow(machine, 2),
        "start": lambda: boltz.sample(machine, 3, start="data", data=X),
        "sweeps": lambda: boltz.sample(machine, 3, sweeps=2),
    }
    for call in more.values():
        with pytest.raises(InputError):
            call()
    if name in LONE:
        with pytest.raises(InputError, match="must have hidden units"):
            boltz.features(machine, X)
    else:
        assert boltz.features(machine, X).shape == (60, 2)


def test_states_of_machines_that_overflow_are_told() -> None:
    """Parameters that are too large end in a sentence, not in numbers that mean nothing."""
    machine = tractable()["nade"].astype(np.float32)
    machine.arena[...] = 3e38
    with pytest.raises(boltz.BoltzError):
        boltz.log_likelihood(machine, rows_of(machine))


def test_all_hidden_machines_have_finite_bounds() -> None:
    for name, machine in latent().items():
        found = boltz.log_likelihood(machine, rows_of(machine, 3))
        assert found.kind == "lower" and np.isfinite(found.value), name
