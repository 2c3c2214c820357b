"""Catches a public function that reads a form of array wrongly, changes it, or refuses it without naming the argument.

Forms that are readings of the same numbers must give the result of the plain array exactly; broken forms must raise
InputError with the argument's name first. No input is ever changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from support.looping import for_each
from support.machines import SMALL, machine_of
from support.shorter import shorten
from support.training import plain_train

import boltz
from boltz.diagnostics import layers


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    monkeypatch.setattr(layers, "SWEEPS", 3)


BITS = np.random.default_rng(1).integers(0, 2, (6, 3)).astype(np.float64)
RBM = boltz.from_arrays([np.random.default_rng(2).normal(size=(3, 4))], [np.full(3, 0.25), np.full(4, -0.5)])
EARLY = boltz.from_arrays([np.zeros((3, 4))], [np.full(3, 0.25), np.full(4, -0.5)])
DBM = machine_of(SMALL["dbm2"])  # 3-3-2
STRONG = machine_of(SMALL["strong"])
SBN = boltz.sbn([3, 4, 2], [3])
VAE = boltz.vae([3, [4], [3]], [3, 2])
GAUSSIAN = boltz.vae([3, 5], 2, visible="gaussian")
AAE = boltz.aae([3, 4], 2, clusters=2, embed=True)
AAE.arena[...] = np.random.default_rng(6).normal(size=AAE.arena.size)
LABELLED = boltz.aae([3, 4], 3, labels="decoder", classes=2)
MIXED = boltz.helmholtz([3, 2, 3], ["bernoulli", "bernoulli", "gaussian"])
WITHOUT_LAST, WHOLE = [True, True, False], [True] * 3  # known units: with a mask a NaN is not taken for a missing value
DBN = boltz.dbn([3, 3, 2], dtype=np.float64)
DBN.arena[...] = np.random.default_rng(3).normal(size=DBN.arena.size)
NETWORKS = {
    "dbm": boltz.classifier(DBM, ["a", "b"]),
    "sbn": boltz.autoencoder(SBN),
    "gaussian": boltz.autoencoder(GAUSSIAN),
}
for network in NETWORKS.values():
    network.arena[...] = np.random.default_rng(4).normal(size=network.arena.size)


def others(rows: int, *names: str) -> dict[str, np.ndarray]:
    return {n: np.zeros((rows, DBM.graph.units[n])) for n in names}


def length(x: Any) -> int:
    """Rows of x, or 6 for what has none; an argument that goes with x must have as many."""
    return len(x) if np.ndim(x) > 0 else len(BITS)


def rows_of(x: Any) -> int:
    try:
        return length(x)
    except ValueError:  # ragged
        return len(BITS)


def trained(x: Any, **settings: Any) -> Any:
    return plain_train(DBM, x, epochs=1, batch_size=3, chains=4, learning_rate=0.1, **settings).model.arena


def directed(model: Any, x: Any, **settings: Any) -> Any:
    return whole(plain_train(model, x, epochs=1, batch_size=3, learning_rate=0.1, **settings).model)


def whole(machine: Any) -> Any:
    """The parameters of a Helmholtz machine and the units of real visible columns."""
    scaling = () if machine.scaling is None else (machine.scaling.location, machine.scaling.spread)
    return np.concatenate([machine.arena, *scaling])


def tuned(model: Any, x: Any, held_out: Any = None) -> Any:
    """The parameters after an epoch, of a classifier with classes by the number of the row, or of an autoencoder."""
    y = np.arange(rows_of(x)) % 2 if isinstance(model, boltz.BoltzmannMachine) else None
    return boltz.fine_tune(model, x, y, held_out, epochs=1, output_epochs=0, batch_size=3).network.arena


def bounds(model: Any, x: Any, log_z: Any = None) -> Any:
    return {str(k): e.per_row for k, e in enumerate(boltz.importance_bounds(model, x, (1, 3), log_z))}


def distance(x: Any) -> Any:
    found = boltz.two_samples(np.random.default_rng(5).normal(size=(8, 3)), x, 100)
    return np.array([found.distance, found.p_value])


def styled(x: Any) -> Any:
    """Means for labels by the number of the row, with codes x."""
    return boltz.samples_with_labels(LABELLED, np.arange(rows_of(x)) % 2, x)


def gains(x: Any) -> Any:
    (found,) = boltz.layer_gains(DBM, x, copies=4, rounds=20)
    return np.array([found.gain, *found.interval])


CALLS: dict[str, tuple[str, Callable[[Any], Any]]] = {  # name -> (argument as errors name it, call)
    "mean_field": ("x", lambda x: boltz.mean_field(DBM, x)),
    "complete by an rbm": ("x", lambda x: boltz.complete(RBM, x, WITHOUT_LAST, sweeps=3)),
    "complete by a dbm, mean field": ("x", lambda x: boltz.complete(DBM, x, WITHOUT_LAST, "mean-field", 5)),
    "complete by an sbn": ("x", lambda x: boltz.complete(SBN, x, WITHOUT_LAST, sweeps=3)),
    "complete by a gaussian vae": ("x", lambda x: boltz.complete(GAUSSIAN, x, WITHOUT_LAST, sweeps=3)),
    "features of a dbm, missing values": ("x", lambda x: boltz.features(DBM, x, 1, WITHOUT_LAST)),
    "independent_units": ("x", lambda x: boltz.independent_units(BITS, x).per_row),
    "layer_gains": ("x", lambda x: gains(x)),
    "mixture_of_products": ("x", lambda x: boltz.mixture_of_products(BITS, x, 2).per_row),
    "log_likelihood of an rbm": ("x", lambda x: boltz.log_likelihood(RBM, x).per_row),
    "log_likelihood of a dbm": ("x", lambda x: boltz.log_likelihood(DBM, x, 1.5).per_row),
    "pseudo_likelihood": ("x", lambda x: boltz.pseudo_likelihood(RBM, x).per_row),
    "pseudo_likelihood of a dbm": ("x", lambda x: boltz.pseudo_likelihood(DBM, x).per_row),
    "couplings": ("x", lambda x: boltz.couplings(RBM, x).couplings),
    "fit_pairwise": ("x", lambda x: boltz.fit_pairwise(boltz.boltzmann(3), x).model.arena),
    "gradient": ("x", lambda x: boltz.gradient(DBM, x)["layer/v/bias"]),
    "gradient, sampled": ("x", lambda x: boltz.gradient(RBM, x, "cd")["layer/v/bias"]),
    "log_likelihood, weighted": ("x", lambda x: boltz.log_likelihood(DBM, x, samples=3).per_row),
    "rbm": ("x", lambda x: boltz.rbm(3, 2, x).arena),
    "dbm": ("x", lambda x: boltz.dbm([3, 2, 2], x, dtype=np.float64).arena),
    "reverse_ais": ("start['h1']", lambda x: boltz.reverse_ais(DBM, {"h1": x}, betas=3).log_weights),
    "likelihood_along": ("x", lambda x: boltz.likelihood_along(RBM, [EARLY], x, 20).values),
    "raise_likelihood": ("x", lambda x: boltz.raise_likelihood(DBM, x, 3, 4).per_row),
    "tempered_transitions": ("start['h1']", lambda x: boltz.tempered_transitions(DBM, {"h1": x}, 2, 3)[0]),
    "ais from rows": ("base", lambda x: boltz.ais(DBM, 10, 5, base=x).log_weights),
    "sample from a start": ("start['v']", lambda x: boltz.sample(DBM, max(rows_of(x), 1), 2, start={"v": x})),
    "energy": ("state['v']", lambda x: DBM.energy({"v": x, **others(rows_of(x), "h1", "h2")})),
    "free_energy": ("state['v']", lambda x: RBM.free_energy(x)),
    "free_energy of a class": ("state['h1']", lambda x: DBM.free_energy({"h1": x})),
    "train": ("x", trained),
    "train, held out": ("held_out", lambda x: trained(BITS, held_out=x)),
    "from_arrays, weights": ("weights[0]", lambda x: boltz.from_arrays([x], [np.zeros(6), np.zeros(3)]).arena),
    "log_likelihood of an sbn": ("x", lambda x: boltz.log_likelihood(SBN, x).per_row),
    "log_likelihood of a vae": ("x", lambda x: boltz.log_likelihood(VAE, x, samples=5).per_row),
    "log_likelihood of a gaussian vae": ("x", lambda x: boltz.log_likelihood(GAUSSIAN, x, samples=5).per_row),
    "log_likelihood of a mixed machine": ("x", lambda x: boltz.log_likelihood(MIXED, x, samples=5).per_row),
    "log_likelihood of a dbn": ("x", lambda x: boltz.log_likelihood(DBN, x).per_row),
    "log_likelihood of a dbn, weighted": ("x", lambda x: boltz.log_likelihood(DBN, x, 1.5, 3).per_row),
    "posterior_ais of a dbm": ("x", lambda x: boltz.posterior_ais(DBM, x, 2, 3, 1.5).per_row),
    "posterior_ais of an sbn": ("x", lambda x: boltz.posterior_ais(SBN, x, 2, 3).per_row),
    "importance_bounds of an rbm": ("x", lambda x: bounds(RBM, x)),
    "importance_bounds of a dbm": ("x", lambda x: bounds(DBM, x, 1.5)),
    "importance_bounds of an sbn": ("x", lambda x: bounds(SBN, x)),
    "importance_bounds of a gaussian vae": ("x", lambda x: bounds(GAUSSIAN, x)),
    "importance_bounds of a dbn": ("x", lambda x: bounds(DBN, x)),
    "active_units of a dbm": ("x", lambda x: boltz.active_units(STRONG, x)),
    "active_units of a vae": ("x", lambda x: boltz.active_units(VAE, x)),
    "posterior_variances of a dbm": ("x", lambda x: boltz.posterior_variances(DBM, x)),
    "posterior_variances of a mixed machine": ("x", lambda x: boltz.posterior_variances(MIXED, x)),
    "posterior_variances of a gaussian vae": ("x", lambda x: boltz.posterior_variances(GAUSSIAN, x)),
    "posterior_variances of a dbn": ("x", lambda x: boltz.posterior_variances(DBN, x)),
    "sbn": ("x", lambda x: boltz.sbn([3, 4, 2], [3], x).arena),
    "sbn, gaussian": ("x", lambda x: whole(boltz.sbn([3, 2], x=x, visible="gaussian"))),
    "vae": ("x", lambda x: boltz.vae([3, [4], [3]], [3, 2], x).arena),
    "decompress": ("x", lambda x: boltz.decompress(VAE, x, 2)),
    "code_lengths": ("x", lambda x: [each.nats for each in boltz.code_lengths(VAE, x)]),
    "aae": ("x", lambda x: boltz.aae([3, 4], 2, x).arena),
    "aae, gaussian": ("x", lambda x: whole(boltz.aae([3, 4], 2, x, visible="gaussian"))),
    "label_probabilities": ("x", lambda x: boltz.label_probabilities(AAE, x)),
    "samples_with_labels": ("style", styled),
    "two_samples": ("y", distance),
    "nade": ("x", lambda x: boltz.nade(3, 2, x).arena),
    "made": ("x", lambda x: boltz.made(3, [2], x).arena),
    "pixelcnn": ("x", lambda x: boltz.pixelcnn(3, x, image=(1, 3)).arena),
    "vae, gaussian": ("x", lambda x: whole(boltz.vae([3, 5], 2, x, visible="gaussian"))),
    "helmholtz": ("x", lambda x: boltz.helmholtz([3, 2], ["bernoulli", "gaussian"], [[4]], x).arena),
    "helmholtz, gaussian": ("x", lambda x: whole(boltz.helmholtz([3, 2], ["gaussian", "bernoulli"], x=x))),
    "dbn": ("x", lambda x: boltz.dbn([3, 3, 2], x).arena),
    "train an sbn": ("x", lambda x: directed(SBN, x, objective="nvil")),
    "train a vae": ("x", lambda x: directed(VAE, x, objective="iwae", samples=2)),
    "train a gaussian vae": ("x", lambda x: directed(GAUSSIAN, x)),
    "train a mixed machine": ("x", lambda x: directed(MIXED, x, objective="rws", samples=2)),
    "train a dbn": ("x", lambda x: directed(DBN, x, pretrain_epochs=1, k=1, chains=4)),
    "features of an rbm": ("x", lambda x: boltz.features(RBM, x, mask=WHOLE)),
    "features of a dbm": ("x", lambda x: boltz.features(DBM, x, "all", WHOLE)),
    "features of a dbn": ("x", lambda x: boltz.features(DBN, x, 1, WHOLE)),
    "features of a gaussian vae": ("x", lambda x: boltz.features(GAUSSIAN, x, mask=WHOLE)),
    "embedding": ("x", lambda x: boltz.embedding(AAE, x)),
    "label_errors": ("x", lambda x: [boltz.label_errors(AAE, x, np.arange(rows_of(x)) % 2).error, 2.0]),
    "parzen_window": ("x", lambda x: boltz.parzen_window(LABELLED, x, np.ones((3, 3)), 20).per_row),
    "classify by a dbm": ("x", lambda x: boltz.classify(NETWORKS["dbm"], x)),
    "encode by an sbn": ("x", lambda x: boltz.encode(NETWORKS["sbn"], x)),
    "reconstruct by a gaussian vae": ("x", lambda x: boltz.reconstruct(NETWORKS["gaussian"], x)),
    "fine_tune a dbm": ("x", lambda x: tuned(DBM, x)),
    "fine_tune an sbn": ("x", lambda x: tuned(NETWORKS["sbn"], x)),
    "fine_tune a gaussian vae": ("x", lambda x: tuned(NETWORKS["gaussian"], x)),
    "fine_tune an sbn, held out": ("held_out", lambda x: tuned(NETWORKS["sbn"], BITS, x)),
    "train a vae, held out": ("held_out", lambda x: directed(VAE, BITS, held_out=x)),
}
REAL = {name for name in CALLS if "gaussian" in name}  # visible units of any real value
STATES = {
    "sample from a start",
    "tempered_transitions",
    "reverse_ais",
    "energy",
    "free_energy",
    "free_energy of a class",
    "samples_with_labels",
    "two_samples",
}  # of any number of rows, real values
PARAMETERS = {"from_arrays, weights"}  # of exactly (6, 3), real values


BUILDERS = {
    name
    for name in CALLS
    if name.replace(",", "").split()[0]
    in ("rbm", "dbm", "sbn", "vae", "aae", "dbn", "helmholtz", "nade", "made", "pixelcnn")
}
UNKNOWN = {
    name for name in CALLS if name.startswith(("log_likelihood of ", "log_likelihood, weighted"))
}  # NaN is an unknown unit
OPTIONAL = BUILDERS | {
    "samples_with_labels",
    "ais from rows",
    "train, held out",
    "train a vae, held out",
    "fine_tune an sbn, held out",
}


def frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


SAME: dict[str, Callable[[], Any]] = {
    "float64": lambda: BITS.copy(),
    "list": lambda: BITS.tolist(),
    "tuple of rows": lambda: tuple(BITS.copy()),
    "float32": lambda: BITS.astype(np.float32),
    "float16": lambda: BITS.astype(np.float16),
    "int": lambda: BITS.astype(int),
    "int8": lambda: BITS.astype(np.int8),
    "uint8": lambda: BITS.astype(np.uint8),
    "bool": lambda: BITS.astype(bool),
    "big endian": lambda: BITS.astype(">f8"),
    "big endian float32": lambda: BITS.astype(">f4"),
    "Fortran order": lambda: np.asfortranarray(BITS),
    "negative stride": lambda: np.ascontiguousarray(BITS[::-1])[::-1],
    "negative stride of columns": lambda: np.ascontiguousarray(BITS[:, ::-1])[:, ::-1],
    "every other row": lambda: np.repeat(BITS, 2, axis=0)[::2],
    "read-only": lambda: frozen(BITS.copy()),
    "read-only view": lambda: np.broadcast_to(BITS, BITS.shape),
}
BROKEN: dict[str, Callable[[], Any]] = {
    "rank 0": lambda: np.float64(1.0),
    "rank 1": lambda: BITS[0].copy(),
    "rank 3": lambda: BITS[None].copy(),
    "too wide": lambda: np.zeros((6, 4)),
    "too narrow": lambda: np.zeros((6, 2)),
    "no columns": lambda: np.zeros((6, 0)),
    "empty list": lambda: [],
    "transposed": lambda: BITS.T.copy(),
    "NaN": lambda: np.where(np.arange(18).reshape(6, 3) == 7, np.nan, BITS),
    "inf": lambda: np.where(np.arange(18).reshape(6, 3) == 7, np.inf, BITS),
    "-inf in float32": lambda: np.where(np.arange(18).reshape(6, 3) == 7, -np.inf, BITS).astype(np.float32),
    "NaN in float16": lambda: np.full((6, 3), np.nan, np.float16),
    "complex": lambda: BITS.astype(complex),
    "text": lambda: BITS.astype(str),
    "objects": lambda: BITS.astype(str).astype(object),
    "ragged": lambda: [[0, 1, 0], [1]],
    "None": lambda: None,
    "a word": lambda: "mnist",
    "dates": lambda: np.zeros((6, 3), "M8[s]"),
}
NO_DATA: dict[str, Callable[[], Any]] = {  # no rows of data, though possible states
    "no rows": lambda: np.zeros((0, 3)),
    "above one": lambda: BITS + 1,
    "below zero": lambda: BITS - 0.5,
    "negative int": lambda: -BITS.astype(int),
    "huge": lambda: np.full((6, 3), 1e300),
}


def numbers(result: Any) -> np.ndarray:
    return np.concatenate(
        [np.asarray(x).reshape(-1) for x in (result.values() if isinstance(result, dict) else [result])]
    )


def image(x: Any) -> bytes:
    """Everything that a call could change in an input."""
    return repr(x).encode() + (
        x.tobytes() + str((x.dtype, x.shape, x.strides)).encode() if isinstance(x, np.ndarray) else b""
    )


@cache
def plain_result(name: str) -> np.ndarray:
    """What a call gives of the plain array."""
    return numbers(CALLS[name][1](BITS.copy()))


@pytest.mark.parametrize("name", CALLS)
@for_each("form", SAME)
def test_readings_of_the_same_numbers_give_the_same_result(name: str, form: str) -> None:
    call, x = CALLS[name][1], SAME[form]()
    before = image(x)
    found, plain = numbers(call(x)), plain_result(name)
    assert image(x) == before, "the input was changed"
    assert found.shape == plain.shape and np.isfinite(found).all() and found.std() > 0
    assert (found == plain).all()


def refused(name: str, x: Any) -> None:
    argument, call = CALLS[name]
    before = image(x)
    with pytest.raises(boltz.InputError) as caught:
        call(x)
    text = str(caught.value)
    assert text.startswith(argument + " must "), text
    assert text.endswith(".") and "\n" not in text and len(text) < 300, "one sentence"
    assert caught.type is boltz.InputError and image(x) == before


@pytest.mark.parametrize("name", CALLS)
@for_each("form", BROKEN)
def test_broken_arrays_are_refused_by_the_name_of_the_argument(name: str, form: str) -> None:
    if form == "None" and name in OPTIONAL:
        assert np.isfinite(numbers(CALLS[name][1](None))).all(), "None means: not given"
        return
    if form.startswith("NaN") and name in UNKNOWN:
        assert np.isfinite(numbers(CALLS[name][1](BROKEN[form]()))).all(), "NaN means: unknown"
        return
    if form.startswith("NaN") and name in ("rbm", "dbm", "train") and np.isfinite(BROKEN[form]()).any(axis=0).all():
        assert np.isfinite(numbers(CALLS[name][1](BROKEN[form]()))).all(), "NaN means: unknown"
        return
    refused(name, BROKEN[form]())


@pytest.mark.parametrize("name", sorted(set(CALLS) - STATES - PARAMETERS))
@for_each("form", NO_DATA)
def test_values_that_are_no_data_are_refused(name: str, form: str) -> None:
    """Gaussian visible units take any number that the type of the machine can hold."""
    if name in REAL and form not in ("no rows", "huge"):
        assert np.isfinite(numbers(CALLS[name][1](NO_DATA[form]()))).all()
        return
    refused(name, NO_DATA[form]())


@pytest.mark.parametrize("name", sorted(REAL))
def test_gaussian_units_see_the_numbers_themselves(name: str) -> None:
    """Whole numbers are no grey levels to them."""
    levels = np.where(BITS == 1, 2, -1)
    found, plain = numbers(CALLS[name][1](levels)), numbers(CALLS[name][1](levels.astype(np.float64)))
    assert (found == plain).all()
    assert (found != numbers(CALLS[name][1](BITS))).any()


@pytest.mark.parametrize(
    "name", sorted(set(CALLS) - PARAMETERS - {"layer_gains", "two_samples"})
)  # which need a spread
def test_one_row_is_enough(name: str) -> None:
    found = numbers(CALLS[name][1](BITS[:1].copy()))
    assert len(found) > 0 and np.isfinite(found).all()


@pytest.mark.parametrize("name", ["energy", "free_energy", "free_energy of a class"])
def test_no_rows_of_states_have_no_energies(name: str) -> None:
    assert CALLS[name][1](np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("name", ["sample from a start", "energy", "free_energy of a class"])
def test_states_beyond_float32_are_refused_by_a_float32_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "DBM", DBM.astype(np.float32))
    refused(name, np.full((6, 3), 1e300))


BIASES: dict[str, Any] = {
    "biases[0]": lambda b: boltz.from_arrays([np.zeros((3, 2))], [b, np.zeros(2)]),
    "biases[1]": lambda b: boltz.from_arrays([np.zeros((2, 3))], [np.zeros(2), b]),
    "base['v']": lambda b: boltz.ais(DBM, 5, 3, base={"v": b, "h1": np.full(3, 0.5), "h2": np.full(2, 0.5)}),
    "betas": lambda b: boltz.ais(DBM, 5, b),
}


@pytest.mark.parametrize("argument", BIASES)
@pytest.mark.parametrize(
    "value",
    [
        np.zeros((3, 1)),
        [],
        [0.5, np.nan, 1],
        [0.5, np.inf, 1],
        ["a", "b", "c"],
        [1j, 0, 0],
        [None, 0, 1],
        [[0], [0, 1], []],
    ],
    ids=repr,
)
def test_broken_vectors_are_refused_by_name(argument: str, value: Any) -> None:
    with pytest.raises(boltz.InputError) as caught:
        BIASES[argument](value)
    assert str(caught.value).startswith((argument, "biases[0] must have at least", "weights[0] must have shape"))


@pytest.mark.parametrize("form", ["list", "float32", "float16", "big endian", "negative stride", "read-only"])
def test_vectors_of_any_form_are_read(form: str) -> None:
    values = np.array([0.25, 0.5, 0.75])
    forms = {
        "list": values.tolist(),
        "float32": values.astype(np.float32),
        "float16": values.astype(np.float16),
        "big endian": values.astype(">f8"),
        "negative stride": np.ascontiguousarray(values[::-1])[::-1],
        "read-only": frozen(values.copy()),
    }
    before = image(forms[form])
    assert (BIASES["biases[0]"](forms[form]).bias("v") == values).all()
    assert (BIASES["base['v']"](forms[form]).log_weights == BIASES["base['v']"](values).log_weights).all()
    grid = np.array([0, 0.25, 1])
    assert (BIASES["betas"](grid.astype(np.float32)).log_weights == BIASES["betas"](grid).log_weights).all()
    assert image(forms[form]) == before


@pytest.mark.parametrize("state", [None, np.zeros((2, 3)), [1], "v", 3])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(boltz.InputError, match=r"^state must map layers to arrays"):
        DBM.energy(state)
    if state is not None:
        with pytest.raises(boltz.InputError, match=r"^start must (map layers to arrays|be one of bias, data)"):
            boltz.sample(DBM, 2, 1, start=state)


MODELS: dict[str, Callable[[Any], Any]] = {  # name -> call with a machine
    "train": lambda m: (
        boltz.train(m, BITS, epochs=1, batch_size=3, pretrain_epochs=0)
        if m is DBM or m is DBN
        else boltz.train(m, BITS, epochs=1, batch_size=3)
    ),
    "sample": lambda m: boltz.sample(m, 2),
    "mean_field": lambda m: boltz.mean_field(m, BITS),
    "log_likelihood": lambda m: boltz.log_likelihood(m, BITS, samples=2),
    "importance_bounds": lambda m: boltz.importance_bounds(m, BITS, (1, 2)),
    "active_units": lambda m: boltz.active_units(m, BITS),
    "posterior_variances": lambda m: boltz.posterior_variances(m, BITS),
    "mutation_scores": lambda m: boltz.mutation_scores(m, BITS[0]),
    "ais": lambda m: boltz.ais(m, 5, 3),
    "reverse_ais": lambda m: boltz.reverse_ais(m, None, 5, 3),
    "exchange_log_z": lambda m: boltz.exchange_log_z(m, copies=2, rounds=20),
    "observables": lambda m: boltz.observables(m, [1.0], 2, 20),
    "likelihood_along": lambda m: boltz.likelihood_along(m, [m], BITS, 20),
    "tempered_sample": lambda m: boltz.tempered_sample(m, 2, 20),
    "log_z": lambda m: boltz.log_z(m),
    "exact_samples": lambda m: boltz.exact_samples(m, 5),
    "raise_likelihood": lambda m: boltz.raise_likelihood(m, BITS, 2, 3),
    "tempered_transitions": lambda m: boltz.tempered_transitions(m, 4, 2, 3),
    "exact_log_z": lambda m: boltz.exact_log_z(m),
    "features": lambda m: boltz.features(m, BITS),
    "classifier": lambda m: boltz.classifier(m, [0, 1]),
    "autoencoder": lambda m: boltz.autoencoder(m),
    "fine_tune": lambda m: boltz.fine_tune(m, BITS, [0, 1] * 3, epochs=1),
}
ANNEALED = {"ais", "reverse_ais", "exchange_log_z", "tempered_sample", "log_z"}
ONE_KIND = ANNEALED | {"mean_field", "mutation_scores", "exact_log_z", "exact_samples"}  # of undirected machines alone
RUNS_TOO = {"log_z"}  # take a run, or the path of one, as well
ONE_KIND |= {"observables", "raise_likelihood", "tempered_transitions", "likelihood_along"}
MACHINES = {"rbm": RBM, "dbm": DBM, "sbn": SBN, "vae": VAE, "gaussian vae": GAUSSIAN, "mixed": MIXED, "dbn": DBN}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", MODELS)
def test_every_function_takes_every_machine_or_says_which(name: str, machine: str) -> None:
    model = MACHINES[machine]
    arena = model.arena.tobytes()
    directed = isinstance(model, boltz.HelmholtzMachine)
    if name in RUNS_TOO and directed and model.prior_machine is None:
        with pytest.raises(boltz.InputError, match=r"^model must have a log Z to measure, but the machine is directed"):
            MODELS[name](model)
    elif name in ONE_KIND - RUNS_TOO and directed:
        with pytest.raises(boltz.InputError, match=r"^model must be a BoltzmannMachine, got HelmholtzMachine\.$"):
            MODELS[name](model)
    else:
        assert MODELS[name](model) is not None
    assert model.arena.tobytes() == arena, "the machine was changed"


@pytest.mark.parametrize("name", MODELS)
@for_each("model", [None, "digits.safetensors", 3, BITS, {}, boltz.rbm])
def test_what_is_no_machine_is_refused(name: str, model: Any) -> None:
    wanted = r"^model must be a BoltzmannMachine(| or a HelmholtzMachine), got \w+\.$"
    if name in RUNS_TOO:
        wanted = (
            r"^(model must be a machine, a run, or the path of a run or model file, got .*|digits\.safetensors .*)\.$"
        )
    with pytest.raises((boltz.InputError, boltz.FileError), match=wanted):
        MODELS[name](model)


@pytest.mark.parametrize("machine", ["rbm", "vae"])
@pytest.mark.parametrize("name", sorted(set(MODELS) - RUNS_TOO))
def test_a_run_in_place_of_its_machine_is_told_apart(name: str, machine: str) -> None:
    run = plain_train(MACHINES[machine], BITS, epochs=0)
    with pytest.raises(boltz.InputError, match=r"^model must be .*, got Run; use its \.model\.$"):
        MODELS[name](run)


SIZES: dict[str, tuple[str, Callable[[Any], Any]]] = {  # name -> (argument as errors name it, call)
    "dbm": ("layers", lambda v: boltz.dbm(v)),
    "sbn": ("units", lambda v: boltz.sbn(v)),
    "sbn, widths": ("widths", lambda v: boltz.sbn([3, 2], v)),
    "vae": ("units", lambda v: boltz.vae(v, 2)),
    "vae, a group": ("units[1]", lambda v: boltz.vae([3, v], [2])),
    "vae, latent": ("latent", lambda v: boltz.vae([3, 4], v)),
    "vae, residual_maps": ("residual_maps", lambda v: boltz.vae([9, 4], 2, encoder="resnet", residual_maps=v)),
    "made": ("widths", lambda v: boltz.made(3, v)),
    "vae, flow_widths": ("flow_widths", lambda v: boltz.vae([3, 4], 2, prior="flow", flow_widths=v)),
    "dbn": ("units", lambda v: boltz.dbn(v)),
    "helmholtz": ("units", lambda v: boltz.helmholtz(v, ["bernoulli"] * 2)),
    "helmholtz, a group": ("widths[0]", lambda v: boltz.helmholtz([3, 2], ["bernoulli"] * 2, [v])),
    "grow": ("layers", lambda v: boltz.grow(RBM, v)),
    "importance_bounds": ("samples", lambda v: boltz.importance_bounds(RBM, BITS, v)),
}
NO_SIZES: dict[str, Any] = {
    "zero": [3, 0],
    "negative": [-3, 2],
    "fraction": [3.0, 2.5],
    "bool": [True, 2],
    "None inside": [3, None],
    "word inside": ["3", 2],
    "nested twice": [3, [2, [2]]],
    "huge": [3, 10**12],
    "complex": np.array([3j, 2]),
    "dates": np.zeros(2, "M8[s]"),
    "a word": "784",
    "None": None,
    "rank 0": np.array(3),
    "mapping": {3: 2},
    "a fraction": 2.5,
}


@pytest.mark.parametrize("name", SIZES)
@for_each("form", NO_SIZES)
def test_what_are_no_sizes_is_refused_by_name(name: str, form: str) -> None:
    argument, call = SIZES[name]
    if form == "None" and name in ("vae, flow_widths", "vae, residual_maps"):
        assert call(None) is not None, "None means: as many as usual"
        return
    with pytest.raises(boltz.InputError) as caught:
        call(NO_SIZES[form])
    text = str(caught.value)
    assert text.startswith(argument) and " must " in text, text
    assert text.endswith(".") and "\n" not in text and len(text) < 300, "one sentence"


@pytest.mark.parametrize("form", [tuple, list, np.array, lambda v: np.array(v, np.uint8), range])
def test_sizes_of_any_form_are_read(form: Any) -> None:
    sizes = range(3, 5) if form is range else form([3, 4])
    for machine in (boltz.dbm(sizes), boltz.sbn(sizes), boltz.vae(sizes, 4), boltz.helmholtz(sizes, ["bernoulli"] * 2)):
        assert [layer.units for layer in machine.layers] == [3, 4]
    assert [len(e.per_row) for e in boltz.importance_bounds(DBM, BITS, sizes, 1.5)] == [6, 6]


@pytest.mark.parametrize("value", [None, "", "gauss", 3, ["bernoulli"], b"gaussian"], ids=repr)
def test_words_that_are_no_choice_are_refused_by_name(value: Any) -> None:
    calls: dict[str, Callable[[Any], Any]] = {
        "visible": lambda v: boltz.sbn([3, 2], visible=v),
        "activation": lambda v: boltz.sbn([3, 2], [2], activation=v),
        "kinds[1]": lambda v: boltz.helmholtz([3, 2], ["gaussian", v]),
        "objective": lambda v: plain_train(VAE, BITS, objective=v),
    }
    for argument, call in calls.items():
        with pytest.raises(boltz.InputError, match=f"^{re.escape(argument)} must be one of "):
            call(value)


@pytest.mark.parametrize("value", [-1, 2**64, 1.0, None, "0", True], ids=repr)
def test_seeds_that_are_none_are_refused_by_name(value: Any) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda s: boltz.sbn([3, 2], seed=s),
        lambda s: boltz.vae([3, 2], 2, seed=s),
        lambda s: boltz.dbn([3, 2, 2], seed=s),
        lambda s: boltz.grow(RBM, [4, 2], seed=s),
        lambda s: boltz.helmholtz([3, 2], ["bernoulli"] * 2, seed=s),
        lambda s: boltz.sample(VAE, 2, seed=s),
        lambda s: boltz.complete(RBM, BITS, seed=s),
        lambda s: boltz.sample(DBN, 2, seed=s),
        lambda s: boltz.log_likelihood(SBN, BITS, seed=s),
        lambda s: boltz.importance_bounds(SBN, BITS, seed=s),
        lambda s: boltz.active_units(VAE, BITS, seed=s),
        lambda s: boltz.posterior_variances(DBM, BITS, seed=s),
    ]
    for call in calls:
        with pytest.raises(boltz.InputError, match=r"^seed must be "):
            call(value)


@pytest.mark.parametrize("value", [np.nan, np.inf, "3", [1.0], True, object()], ids=lambda v: type(v).__name__)
def test_a_log_z_that_is_none_is_refused_by_name(value: Any) -> None:
    for model in (DBM, DBN):
        with pytest.raises(boltz.InputError, match=r"^log_z must be "):
            boltz.log_likelihood(model, BITS, value)
        with pytest.raises(boltz.InputError, match=r"^log_z must be "):
            boltz.importance_bounds(model, BITS, (1, 2), value)
    for model in (SBN, VAE):
        with pytest.raises(boltz.InputError, match=r"^log_z must be None for a directed machine"):
            boltz.log_likelihood(model, BITS, value)


def test_every_public_function_that_takes_arrays_is_in_the_matrix() -> None:
    """Those left out take no array, or chains, files and data sets, whose tests have their own tables of bad input."""
    elsewhere = {
        "load",
        "load_data",
        "load_views",
        "resume",
        "trajectory",
        "binarize",
        "exact_log_z",
        "exact_samples",
        "threads",
    }
    elsewhere |= {"integrated_time", "split_rhat", "chain_ess"}
    elsewhere |= {"classifier", "autoencoder", "load_network", "resume_tuning"}
    elsewhere |= {"exchange_log_z", "observables", "tempered_sample", "log_z"}  # base as in ais, or no array
    elsewhere |= {"posterior_sandwich"}
    # what takes runs and paths beside machines: tests/borders sweeps all public functions
    elsewhere |= {"compare", "decode", "describe", "diagnose", "evaluate", "evaluate_along"}
    elsewhere |= {
        "plot_beside",
        "plot_clusters",
        "plot_codes",
        "plot_decompressions",
        "plot_embedding",
        "plot_interpolations",
        "plot_styles",
        "plot_comparison",
        "plot_curves",
        "plot_filters",
        "plot_log_z",
        "plot_observables",
        "plot_samples",
    }
    elsewhere |= {"report", "watch_mlflow", "watch_tensorboard", "watch_wandb"}
    elsewhere |= {"boltzmann", "graph", "ising", "lattice", "multimodal", "potts"}  # tests/models/test_any_graph.py
    elsewhere |= {"grow", "preset", "recipe", "retrieve", "run_chains", "zero_sum"}
    elsewhere |= {"plan_training"}  # reads rows as train does, and measures time
    elsewhere |= {"sequence_weights", "perplexity"}  # codes and counts, whose tests have tables of their own
    elsewhere |= {"mutation_scores", "plot_couplings", "plot_mutations"}  # tests/estimators/test_sites.py
    functions = {n for n in boltz.__all__ if callable(getattr(boltz, n)) and n[0].islower()} - elsewhere
    covered = {name.replace(",", "").split()[0] for name in CALLS}
    assert functions <= covered, functions - covered
