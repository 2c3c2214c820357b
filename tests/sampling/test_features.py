"""Catches features, codes and probabilities of classes that differ from plain formulas, or mix up layers or rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks.fine_tuning import MACHINES, X, machine, networks
from oracles import directed as directed_oracle
from oracles import enumeration
from oracles import networks as plain

import boltz


@pytest.mark.parametrize("name", ["rbm", "dbm of 2", "dbm of 3"])
def test_means_of_boltzmann_machines(name: str) -> None:
    """Those of the oracle's fixed point, which 25 sweeps reach here."""
    model = machine(name)
    table = enumeration.Table.of(model)
    wanted = enumeration.mean_field(table, X)
    for layer in model.layers[1:]:
        assert np.abs(boltz.features(model, X, layer.name) - wanted[layer.name]).max() < 1e-8


@pytest.mark.parametrize("name", ["dbn", "sbn", "vae", "vae of 2", "gaussian vae"])
def test_means_of_helmholtz_machines(name: str) -> None:
    """Passed upwards by the recognition nets; the top of an RBM prior hears the layer below."""
    model = machine(name)
    directed, below = directed_oracle.Directed.of(model), X
    for layer, units, kind in directed.latent:
        found = directed_oracle.outputs(directed, f"recognition/{layer}", below)
        below = plain.FUNCTIONS["sigmoid"](found) if kind == "bernoulli" else found[:, :units]
        assert np.abs(boltz.features(model, X, layer) - below).max() < 1e-13
    if directed.rbm:
        p = directed.params
        top = plain.FUNCTIONS["sigmoid"](below @ p["prior/edge/v-h1/weight"] + p["prior/layer/h1/bias"])
        assert np.abs(boltz.features(model, X) - top).max() < 1e-13


@pytest.mark.parametrize("name", MACHINES)
def test_layers_by_name_by_number_and_all(name: str) -> None:
    model = machine(name)
    hidden = [layer.name for layer in model.layers[1:]]
    each = [boltz.features(model, X, layer) for layer in hidden]
    for number, found in enumerate(each, 1):
        assert found.shape == (len(X), model.layers[number].units) and found.dtype == model.dtype
        assert (boltz.features(model, X, number) == found).all()
        assert (boltz.features(model, X, np.int64(number)) == found).all()
    assert (boltz.features(model, X) == each[-1]).all()
    assert (boltz.features(model, X, "all") == np.hstack(each)).all()
    for bad in ("v", "h9", 0, -1, len(hidden) + 1, True, None, 1.0, ["h1"], ""):
        with pytest.raises(boltz.InputError, match=r"^layer must be top, all, 1 to \d, or one of .*, got .*\.$"):
            boltz.features(model, X, bad)


@pytest.mark.parametrize("name", MACHINES)
def test_no_row_depends_on_its_neighbours(name: str) -> None:
    """In float32, to the last bit: one row, many rows, another order."""
    x = np.random.default_rng(1).random((300, X.shape[1])).astype(np.float32)
    model = machine(name)
    model = model.astype(np.float32)
    kinds = {"classifier": boltz.classify, "autoencoder": boltz.reconstruct}
    calls: list[Any] = [lambda rows: boltz.features(model, rows, "all")]
    for kind, network in (("classifier", boltz.classifier(model, range(3))), ("autoencoder", boltz.autoencoder(model))):
        network.arena[...] += np.float32(0.1)
        calls.append(lambda rows, kind=kind, network=network: kinds[kind](network, rows))
    for call in calls:
        whole, order = call(x), np.random.default_rng(2).permutation(300)
        assert (call(x[order]) == whole[order]).all() and (call(x[:1]) == whole[:1]).all()
        assert (call(x[37:70]) == whole[37:70]).all() and whole.std(axis=0).max() > 0


@pytest.mark.parametrize("name", MACHINES)
def test_rows_with_unknown_units_stand_alone_too(name: str) -> None:
    """Another place among other rows changes nothing, in float32 to the last bit, and equal rows are alike."""
    rng, model = np.random.default_rng(3), machine(name).astype(np.float32)
    rows = np.where(rng.random((600, X.shape[1])) < 0.3, np.nan, rng.random((600, X.shape[1]))).astype(np.float32)
    whole = boltz.features(model, rows, "all")
    assert (boltz.features(model, rows[5:], "all") == whole[5:]).all()
    assert (boltz.features(model, np.repeat(rows[7:8], 10, axis=0), "all") == whole[7]).all()
    assert np.isfinite(whole).all() and whole.std(axis=0).max() > 0


def test_kinds_of_networks_are_told_apart() -> None:
    both = networks("rbm")
    for call in (boltz.encode, boltz.reconstruct):
        with pytest.raises(boltz.InputError, match=r"^network is a classifier: use classify\.$"):
            call(both["classifier"], X)
    with pytest.raises(boltz.InputError, match=r"^network is an autoencoder: use encode or reconstruct\.$"):
        boltz.classify(both["autoencoder"], X)
    tuned = boltz.fine_tune(both["autoencoder"], X, epochs=1)
    with pytest.raises(boltz.InputError, match=r"^network must be a Network, .*, got Tuned; use its \.network\.$"):
        boltz.encode(tuned, X)
    for bad in (None, 3, "network", machine("rbm"), X):
        with pytest.raises(
            boltz.InputError, match=r"^network must be a Network, as boltz\.fine_tune makes it, got \w+"
        ):
            boltz.classify(bad, X)
