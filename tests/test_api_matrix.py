"""Every public function that takes arrays x every form of array: the right result, or one error naming the argument.

Forms that are readings of the same numbers must give the result of the plain array exactly; broken forms must raise
InputError with the argument's name first. No input is ever changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from machines import SMALL, machine_of

import boltz

BITS = np.random.default_rng(1).integers(0, 2, (6, 3)).astype(np.float64)
RBM = boltz.from_arrays([np.random.default_rng(2).normal(size=(3, 4))], [np.full(3, 0.25), np.full(4, -0.5)])
DBM = machine_of(SMALL["dbm2"])  # 3-3-2


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
    return boltz.train(DBM, x, epochs=1, batch_size=3, chains=4, learning_rate=0.1, **settings).model.arena


CALLS: dict[str, tuple[str, Callable[[Any], Any]]] = {  # name -> (argument as errors name it, call)
    "mean_field": ("x", lambda x: boltz.mean_field(DBM, x)),
    "log_likelihood of an rbm": ("x", lambda x: boltz.log_likelihood(RBM, x).per_row),
    "log_likelihood of a dbm": ("x", lambda x: boltz.log_likelihood(DBM, x, 1.5).per_row),
    "log_likelihood, weighted": ("x", lambda x: boltz.log_likelihood(DBM, x, samples=3).per_row),
    "rbm": ("x", lambda x: boltz.rbm(3, 2, x).arena),
    "dbm": ("x", lambda x: boltz.dbm([3, 2, 2], x, dtype=np.float64).arena),
    "ais from rows": ("base", lambda x: boltz.ais(DBM, 10, 5, base=x).log_weights),
    "sample from a start": ("start['v']", lambda x: boltz.sample(DBM, max(rows_of(x), 1), 2, start={"v": x})),
    "energy": ("state['v']", lambda x: DBM.energy({"v": x, **others(rows_of(x), "h1", "h2")})),
    "free_energy": ("state['v']", lambda x: RBM.free_energy(x)),
    "free_energy of a class": ("state['h1']", lambda x: DBM.free_energy({"h1": x})),
    "train": ("x", trained),
    "train, held out": ("held_out", lambda x: trained(BITS, held_out=x)),
    "from_arrays, weights": ("weights[0]", lambda x: boltz.from_arrays([x], [np.zeros(6), np.zeros(3)]).arena),
}
STATES = {
    "sample from a start",
    "energy",
    "free_energy",
    "free_energy of a class",
}  # of any number of rows, real values
PARAMETERS = {"from_arrays, weights"}  # of exactly (6, 3), real values


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
    "objects": lambda: BITS.astype(object),
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


@pytest.mark.parametrize("form", SAME)
@pytest.mark.parametrize("name", CALLS)
def test_readings_of_the_same_numbers_give_the_same_result(name: str, form: str) -> None:
    call, x = CALLS[name][1], SAME[form]()
    before = image(x)
    found, plain = numbers(call(x)), numbers(call(BITS.copy()))
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


@pytest.mark.parametrize("form", BROKEN)
@pytest.mark.parametrize("name", CALLS)
def test_broken_arrays_are_refused_by_the_name_of_the_argument(name: str, form: str) -> None:
    if form == "None" and name in ("rbm", "dbm", "ais from rows", "train, held out"):
        assert np.isfinite(numbers(CALLS[name][1](None))).all(), "None means: not given"
        return
    refused(name, BROKEN[form]())


@pytest.mark.parametrize("form", NO_DATA)
@pytest.mark.parametrize("name", sorted(set(CALLS) - STATES - PARAMETERS))
def test_values_that_are_no_data_are_refused(name: str, form: str) -> None:
    refused(name, NO_DATA[form]())


@pytest.mark.parametrize("name", sorted(set(CALLS) - PARAMETERS))
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
        with pytest.raises(boltz.InputError, match=r"^start must map layers to arrays"):
            boltz.sample(DBM, 2, 1, start=state)


def test_every_public_function_that_takes_arrays_is_in_the_matrix() -> None:
    """Those left out take no array, or read files and data sets, whose tests have their own tables of bad input."""
    elsewhere = {"load", "load_data", "resume", "binarize", "exact_log_z", "threads"}
    functions = {n for n in boltz.__all__ if callable(getattr(boltz, n)) and n[0].islower()} - elsewhere
    covered = {name.replace(",", "").split()[0] for name in CALLS}
    assert functions <= covered, functions - covered
