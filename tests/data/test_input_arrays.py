"""Catches arrays that become other visible rows than they hold, and a scale that differs from one use to the next."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.training import plain_train

import boltz
from boltz.data.from_arrays import given
from boltz.errors import FileError, InputError
from boltz.storage.tensors import read_tensors, write_tensors

UNITS = 4
PARTS = np.array([[0, 0.25, 0.5, 1], [1, 0, 0.75, 0.5]])
BITS = np.array([[0, 1, 0, 1], [1, 1, 0, 0]])
GENES = np.array([[0, 1, 2, 1], [0, 1, 0, 1], [2, 2, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
GREY = np.array([[0, 1, 51, 255], [0, 128, 1, 0]], np.uint8)
DIGITS = np.array([[0, 16, 3, 0], [8, 0, 1, 1]])
SPIKES = np.array([[0, 3, 0, 1], [0, 0, 0, 300]])
GENERATOR = np.random.default_rng(3)
RBM = boltz.from_arrays([GENERATOR.normal(size=(4, 3))], [GENERATOR.normal(size=4), GENERATOR.normal(size=3)])


class Frame:
    """A table of pandas, as far as it is looked at: columns, and what to_numpy gives."""

    def __init__(self, values: Any, columns: str = "abcd") -> None:
        self.values, self.columns, self.shape = values, list(columns), np.shape(values)

    def to_numpy(self) -> Any:
        return np.asarray(self.values)


class NAType:
    """The missing value of pandas has a type of this name."""

    def __repr__(self) -> str:
        return "<NA>"


def objects(values: Any) -> np.ndarray:
    found = np.empty(np.shape(values), object)
    for place in np.ndindex(found.shape):
        found[place] = values[place[0]][place[1]]
    return found


def with_mask(x: Any, mask: Any = False) -> Any:
    return np.ma.array(x, mask=mask)


MISSING = objects([[0, 1, NAType(), 1]])
TAKEN: dict[str, tuple[Callable[[], Any], int | None, np.ndarray]] = {  # array, levels of the machine, rows
    "float64": (lambda: PARTS, None, PARTS),
    "float32": (lambda: PARTS.astype(np.float32), None, PARTS),
    "float16": (lambda: PARTS.astype(np.float16), None, PARTS),
    "long double": (lambda: PARTS.astype(np.longdouble), None, PARTS),
    "big-endian floats": (lambda: PARTS.astype(">f8"), None, PARTS),
    "Fortran order": (lambda: np.asfortranarray(PARTS), None, PARTS),
    "every other row": (lambda: np.repeat(PARTS, 2, axis=0)[::2], None, PARTS),
    "turned columns": (lambda: np.ascontiguousarray(PARTS[:, ::-1])[:, ::-1], None, PARTS),
    "lists": (lambda: PARTS.tolist(), None, PARTS),
    "tuples of arrays": (lambda: tuple(PARTS), None, PARTS),
    "bool": (lambda: BITS.astype(bool), None, BITS),
    "lists of truth values": (lambda: BITS.astype(bool).tolist(), None, BITS),
    "int64 bits": (lambda: BITS, None, BITS),
    "int8 bits": (lambda: BITS.astype(np.int8), None, BITS),
    "uint8 bits": (lambda: BITS.astype(np.uint8), None, BITS),
    "float bits": (lambda: BITS.astype(np.float64), None, BITS),
    "grey bytes": (lambda: GREY, None, GREY / 255),
    "rounding above": (lambda: PARTS + np.where(PARTS == 1, 2.3e-16, 0), None, PARTS),
    "rounding below": (lambda: np.where(PARTS == 0, -1e-17, PARTS), None, PARTS),
    "rounding of a millionth": (lambda: np.where(PARTS == 1, 1 + 9e-7, PARTS), None, PARTS),
    "images": (lambda: PARTS.reshape(2, 2, 2), None, PARTS),
    "images with a channel": (lambda: GREY.reshape(2, 2, 2, 1), None, GREY / 255),
    "unmasked": (lambda: with_mask(PARTS), None, PARTS),
    "masked nowhere": (lambda: with_mask(PARTS, np.zeros((2, 4), bool)), None, PARTS),
    "objects, floats": (lambda: objects(PARTS.tolist()), None, PARTS),
    "objects, ints": (lambda: objects(BITS.tolist()), None, BITS),
    "objects, truth values": (lambda: objects(BITS.astype(bool).tolist()), None, BITS),
    "fractions": (lambda: objects([[Fraction(1, 4), 0, 1, Decimal("0.5")]]), None, np.array([[0.25, 0, 1, 0.5]])),
    "a table": (lambda: Frame(PARTS), None, PARTS),
    "a table of truth values": (lambda: Frame(objects(BITS.astype(bool).tolist())), None, BITS),
    "sparse": (lambda: sp.csr_array(PARTS), None, PARTS),
    "sparse columns of bits": (lambda: sp.csc_matrix(BITS), None, BITS),
    "genotypes": (lambda: GENES, 2, GENES / 2),
    "genotypes, one row of 0 and 1": (lambda: GENES[1:2], 2, GENES[1:2] / 2),
    "genotypes as bytes": (lambda: GENES.astype(np.uint8), 2, GENES / 2),
    "genotypes in a table": (lambda: Frame(objects(GENES.tolist())), 2, GENES / 2),
    "sparse genotypes": (lambda: sp.csr_matrix(GENES), 2, GENES / 2),
    "genotypes as floats": (lambda: GENES / 2, 2, GENES / 2),
    "bool to a machine of genotypes": (lambda: BITS.astype(bool), 2, BITS),
    "digits": (lambda: DIGITS, 16, DIGITS / 16),
    "digits as big-endian int16": (lambda: DIGITS.astype(">i2"), 16, DIGITS / 16),
    "spike counts": (lambda: SPIKES, 300, SPIKES / 300),
    "dark bytes to a machine of grey ones": (lambda: GREY[:1] // 2, 255, GREY[:1] // 2 / 255),
    "int64 grey to a machine of grey bytes": (lambda: GREY.astype(int), 255, GREY / 255),
    "nothing but zeros to a machine of grey bytes": (lambda: np.zeros((2, 4), int), 255, np.zeros((2, 4))),
}
REFUSED: dict[str, tuple[Callable[[], Any], int | None, str]] = {  # array, levels of the machine, piece of the sentence
    "float grey": (lambda: GREY.astype(float), None, "numbers in [0, 1], got 51 at index (0, 2): divide by the"),
    "float grey, remedy": (lambda: GREY.astype(float), None, "greatest, 255, or give grey values as uint8"),
    "float digits": (lambda: DIGITS.astype(float), None, "divide by the greatest, 16"),
    "just above one": (lambda: PARTS * 1.00001, None, "numbers in [0, 1], got 1.00001 at index (0, 3)"),
    "two millionths above": (lambda: PARTS * 1.000002, None, "got 1.000002 at index (0, 3)"),
    "floats of -1 and 1": (lambda: 2.0 * BITS - 1, None, "got -1 at index (0, 0): for -1 and 1 give (x + 1) / 2"),
    "whole -1 and 1": (lambda: 2 * BITS - 1, None, "got -1 at index (0, 0): for -1 and 1 give (x + 1) / 2"),
    "normal numbers": (lambda: PARTS * 9 - 3, None, "give (x - least) / (greatest - least)"),
    "not a number": (lambda: np.where(PARTS == 0, np.nan, PARTS), None, "got nan at index (0, 0)"),
    "infinite": (lambda: np.where(PARTS == 0, np.inf, PARTS), None, "got inf at index (0, 0)"),
    "genotypes": (lambda: GENES, None, "whole numbers 0/1, or grey bytes (uint8), got 2 at index (0, 2)"),
    "genotypes, remedy": (lambda: GENES, None, "use model.with_levels(2), or divide by the greatest, 2"),
    "genotypes as bytes": (lambda: GENES.astype(np.uint8), None, "got 2 at index (0, 2)"),
    "digits": (lambda: DIGITS, None, "use model.with_levels(16), or divide by the greatest, 16"),
    "spike counts": (lambda: SPIKES, None, "got 300 at index (1, 3): use model.with_levels(300), or divide"),
    "wide grey": (lambda: GREY.astype(int), None, "got 255 at index (0, 3)"),
    "dark bytes": (lambda: GREY // 3, None, "got 85 at index (0, 3): use model.with_levels(85), or divide"),
    "above the levels": (lambda: DIGITS, 8, "whole numbers from 0 to 8, by which they are divided, got 16"),
    "below zero with levels": (lambda: GENES - 1, 2, "whole numbers from 0 to 2, by which they are divided, got -1"),
    "0 and 1 to a machine of grey bytes": (lambda: BITS, 255, "give 0/1 as bool or floats"),
    "floats of genotypes with levels": (lambda: GENES.astype(float), 2, "numbers in [0, 1], got 2 at index (0, 2)"),
    "floats of genotypes, remedy": (
        lambda: GENES.astype(float),
        2,
        "give whole numbers as such, x.astype(int), or x / 2.",
    ),
    "sparse floats of genotypes": (lambda: sp.csr_array(GENES.astype(float)), 4, "x.astype(int), or x / 4."),
    "broken floats with levels": (lambda: GENES + 0.5, 4, "divide by the greatest, 2.5."),
    "floats beyond levels": (lambda: DIGITS.astype(float), 8, "divide by the greatest, 16."),
    "a masked entry": (
        lambda: with_mask(PARTS, PARTS == 0),
        None,
        "must have no masked entries: give x.filled(0)",
    ),
    "a missing number": (lambda: Frame(MISSING), None, "a missing value at index (0, 2), column 'c'"),
    "None": (lambda: [[0, 1, None, 1]], None, "a missing value at index (0, 2)"),
    "names in a table": (lambda: Frame(objects([["u", 1, 0, 1]])), None, "got 'u' (str) at index (0, 0), column 'a'"),
    "long text": (lambda: [["x" * 10_000, 1, None, 1]], None, "must hold numbers"),
    "text": (lambda: BITS.astype(str), None, "real numbers, got dtype <U"),
    "bytes of text": (lambda: BITS.astype("S1"), None, "real numbers, got dtype |S1"),
    "complex": (lambda: BITS * 1j, None, "real numbers, got dtype complex128"),
    "dates": (lambda: np.zeros((2, 4), "M8[s]"), None, "real numbers, got dtype datetime64"),
    "records": (lambda: np.zeros(2, [("a", float), ("b", int)]), None, "real numbers, got dtype"),
    "rows of different lengths": (lambda: [[0, 1], [1]], None, "must be an array of numbers, got list"),
    "numbers beyond int64": (lambda: [[2**70, 0, 1, 0]], None, "within the range of int64"),
    "one row": (lambda: PARTS[0], None, "must have shape (any, 4), got (4,): a single row is x[None]"),
    "too many columns": (lambda: np.zeros((2, 5)), None, "must have shape (any, 4), got (2, 5)"),
    "images of another size": (lambda: np.zeros((2, 3, 3)), None, "must have shape (any, 4), got (2, 3, 3)"),
    "no rows": (lambda: np.zeros((0, 4)), None, "at least one row"),
    "a number": (lambda: 0.5, None, "must have shape (any, 4)"),
    "nothing": (lambda: None, None, "must hold numbers, got a missing value"),
    "a name": (lambda: "mnist", None, "real numbers, got dtype <U"),
    "a generator": (lambda: (row for row in PARTS), None, "must hold numbers, got a value of type generator"),
    "sparse digits": (lambda: sp.csr_array(DIGITS), None, "divide by the greatest, 16"),
    "sparse float digits": (lambda: sp.csr_array(DIGITS / 2), None, "numbers in [0, 1], got 8"),
}


def seen(x: Any, levels: int | None) -> np.ndarray:
    """The rows that a machine sees: complete gives back what is known, as it is."""
    model = RBM.with_levels(levels)
    return boltz.complete(model, x, np.ones(np.shape(x) if np.ndim(x) == 2 else UNITS, bool), sweeps=1)


def learned(x: Any, levels: int | None) -> np.ndarray:
    """The rows that a machine learns from."""
    data = given(x, "x", UNITS, levels=levels)
    rows = np.arange(len(data.x), dtype=np.int64)
    return boltz.binarize(data.x[rows], data.levels, "none", boltz.Key(1, 2), 0, rows)


def image(x: Any) -> bytes:
    return x.tobytes() if isinstance(x, np.ndarray) and x.dtype.kind != "O" else b""


@pytest.mark.parametrize("case", TAKEN)
def test_arrays_become_the_rows_they_mean(case: str) -> None:
    make, levels, wanted = TAKEN[case]
    x = make()
    before = image(x)
    assert np.array_equal(seen(x, levels), wanted)
    assert np.array_equal(learned(x, levels), wanted.astype(np.float32))
    assert image(x) == before, "the input was changed"


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_row_is_refused_in_one_sentence(case: str) -> None:
    make, levels, piece = REFUSED[case]
    for call in (lambda x: boltz.mean_field(RBM.with_levels(levels), x), lambda x: learned(x, levels)):
        with pytest.raises(InputError) as caught:
            call(make())
        text = str(caught.value)
        assert piece in text and text.startswith("x must ") and text.endswith("."), text
        assert len(text) <= 300 and "\n" not in text, text


def meant(x: np.ndarray, levels: int | None) -> np.ndarray | None:
    """The rule in other words: what rows mean to a machine with levels, None where that is not said."""
    low, high, whole = x.min(), x.max(), x.dtype.kind in "iu"
    if not whole:
        return x.astype(float) if low >= 0 and high <= 1 else None
    if levels is not None:
        ambiguous = high == 1 and levels >= 128
        return None if low < 0 or high > levels or ambiguous else x / levels
    if low >= 0 and high <= 1:
        return x.astype(float)
    return x / 255 if x.dtype == np.uint8 and high >= 128 else None


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", ">u2", "u2", ">i4", "i4", "i8", "u8", "f2", ">f4", "f8"])
def test_every_number_type_with_every_greatest_and_levels_means_what_the_rule_says(dtype: str) -> None:
    refused = 0
    for greatest, least, levels in itertools.product(
        (0, 1, 2, 16, 100, 127, 128, 255, 256, 65535), (0, -1), (None, 2, 16, 127, 128, 255, 300, 65535)
    ):
        kind = np.dtype(dtype)
        fits = kind.kind not in "iu" or np.iinfo(kind).min <= least <= greatest <= np.iinfo(kind).max
        if not fits or (kind.kind == "f" and greatest > 2048):
            continue
        x = np.array([[0, least, 1, greatest], [0, 0, min(greatest, 1), 0]]).astype(kind)
        if greatest == 0:
            x[:, 2] = 0
        wanted = meant(x, levels)
        for call in (seen, learned):
            if wanted is None:
                refused += 1
                with pytest.raises(InputError):
                    call(x, levels)
            else:
                np.testing.assert_allclose(call(x, levels), wanted, rtol=1e-7)
    assert (refused > 0) == (dtype != "?")


def test_a_large_sparse_matrix_is_refused_and_not_made_dense() -> None:
    giant = sp.csr_array((10**9, UNITS))
    with pytest.raises(InputError, match="give it some rows at a time"):
        boltz.features(RBM, giant)


def test_masks_have_the_shape_of_rows_or_of_images() -> None:
    images, mask = PARTS.reshape(2, 2, 2), np.array([[True, False], [True, True]])
    wanted = boltz.complete(RBM, PARTS, mask.reshape(-1), "mean-field")
    for form in (mask, np.stack([mask, mask])):
        assert np.array_equal(boltz.complete(RBM, images, form, "mean-field"), wanted)
    with pytest.raises(InputError, match="mask must hold"):
        boltz.complete(RBM, PARTS, mask, "mean-field")


DEEP = boltz.dbm([4, 3, 2], dtype=np.float64, seed=1)
DEEP.arena[...] = GENERATOR.normal(size=DEEP.arena.size)
SBN, VAE, DBN = boltz.sbn([4, 3, 2]), boltz.vae([4, 5], 2), boltz.dbn([4, 3, 2])
GAUSSIAN = boltz.vae([4, 5], 2, visible="gaussian")
for each in (SBN, VAE, DBN, GAUSSIAN):
    each.arena[...] = np.random.default_rng(5).normal(size=each.arena.size)
EARLY = boltz.from_arrays([np.zeros((4, 3))], [np.zeros(4), np.zeros(3)])
CLASSIFIER, CODER = boltz.classifier(DEEP, ["a", "b"]), boltz.autoencoder(SBN)
CLASSIFIER.arena[...] = np.random.default_rng(6).normal(size=CLASSIFIER.arena.size)
KNOWN = np.array([True, True, True, False])
FULL = {"epochs": 1, "batch_size": 2, "learning_rate": 0.1}


def record_of(model: Any, held_out: Any) -> dict[str, Any]:
    found: dict[str, Any] = plain_train(model, GENES, held_out=held_out, chains=3, **FULL).history[0]
    return found


CALLS: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {  # a machine, and what it makes of rows
    "log_likelihood of an rbm": (RBM, lambda m, x: boltz.log_likelihood(m, x).per_row),
    "log_likelihood of a dbm": (DEEP, lambda m, x: boltz.log_likelihood(m, x, 1.5).per_row),
    "log_likelihood of an sbn": (SBN, lambda m, x: boltz.log_likelihood(m, x).per_row),
    "log_likelihood of a vae": (VAE, lambda m, x: boltz.log_likelihood(m, x, samples=3).per_row),
    "log_likelihood of a gaussian vae": (GAUSSIAN, lambda m, x: boltz.log_likelihood(m, x, samples=3).per_row),
    "log_likelihood of a dbn": (DBN, lambda m, x: boltz.log_likelihood(m, x, 1.5, 3).per_row),
    "importance_bounds": (DEEP, lambda m, x: boltz.importance_bounds(m, x, (1, 3), 1.5)[1].per_row),
    "posterior_ais": (SBN, lambda m, x: boltz.posterior_ais(m, x, 2, 3).per_row),
    "raise_likelihood": (DEEP, lambda m, x: boltz.raise_likelihood(m, x, 3, 4).per_row),
    "likelihood_along": (RBM, lambda m, x: boltz.likelihood_along(m, [EARLY], x, 20).values),
    "features of a dbm": (DEEP, lambda m, x: boltz.features(m, x, "all")),
    "features of a dbn, mask": (DBN, lambda m, x: boltz.features(m, x, "all", KNOWN)),
    "mean_field": (DEEP, lambda m, x: boltz.mean_field(m, x, boltz.MeanField(tolerance=0.0))["h1"]),
    "complete": (RBM, lambda m, x: boltz.complete(m, x, KNOWN, sweeps=4)),
    "complete, mean field": (DEEP, lambda m, x: boltz.complete(m, x, KNOWN, "mean-field")),
    "active_units": (VAE, lambda m, x: boltz.posterior_variances(m, x)["h1"]),
    "sample from data": (RBM, lambda m, x: boltz.sample(m, 5, 2, start="data", data=x)["v"]),
    "ais from rows": (DEEP, lambda m, x: boltz.ais(m, 4, 3, base=x).log_weights),
    "free_energy": (RBM, lambda m, x: m.free_energy(x)),
    "classify": (CLASSIFIER, boltz.classify),
    "encode": (CODER, boltz.encode),
    "reconstruct": (CODER, boltz.reconstruct),
    "train": (RBM, lambda m, x: plain_train(m, x, chains=3, **FULL).model.arena),
    "train, held out": (
        RBM,
        lambda m, x: [record_of(m, x)["free_energy_gap"]],
    ),
    "train a gaussian vae": (GAUSSIAN, lambda m, x: plain_train(m, x, **FULL).model.arena),
    "fine_tune": (CODER, lambda m, x: boltz.fine_tune(m, x, **FULL).network.arena),
}
ROW_BY_ROW = {
    "log_likelihood of an rbm", "log_likelihood of a dbm", "log_likelihood of an sbn", "features of a dbm",
    "features of a dbn, mask", "mean_field", "complete, mean field", "free_energy", "classify", "encode", "reconstruct",
}  # fmt: skip


def at_levels(model: Any, levels: int) -> Any:
    if isinstance(model, boltz.Network):
        unrolled = boltz.classifier(DEEP.with_levels(levels), ["a", "b"]) if model.classes else None
        found = unrolled or boltz.autoencoder(SBN.with_levels(levels))
        return found.with_arena(model.arena)
    return model.with_levels(levels)


@pytest.mark.parametrize("name", CALLS)
def test_whole_numbers_are_divided_by_the_levels_whatever_stands_beside_them(name: str) -> None:
    """Rows of 0 and 1 alone, rows with a 2, and all of them: always as the floats that they mean."""
    model, call = CALLS[name]
    genetic = at_levels(model, 2)
    for x in (GENES, GENES[1:2], GENES[3:], GENES[2:4].astype(np.uint8)):
        found = np.asarray(call(genetic, x))
        assert np.array_equal(found, np.asarray(call(genetic, x / 2.0))) and np.isfinite(found).all()


@pytest.mark.parametrize("name", sorted(ROW_BY_ROW))
def test_a_row_alone_gives_what_it_gives_beside_others(name: str) -> None:
    model, call = CALLS[name]
    genetic = at_levels(model, 2)
    whole = call(genetic, GENES)
    assert np.ptp(whole[[1, 2]], axis=0).max() > 1e-3, "the rows must differ"
    for i in range(len(GENES)):
        np.testing.assert_allclose(call(genetic, GENES[i : i + 1])[0], whole[i], rtol=1e-6, atol=1e-9)


def test_states_to_start_from_are_on_the_scale_of_the_rows() -> None:
    """A visible 1 of genotypes is a half, which is no state; a 2 is one."""
    genetic = RBM.with_levels(2)
    wanted = boltz.sample(RBM, 2, 1, start={"v": BITS.astype(float)})
    found = boltz.sample(genetic, 2, 1, start={"v": 2 * BITS})
    assert all(np.array_equal(found[layer], x) for layer, x in wanted.items())
    with pytest.raises(InputError, match=r"start\['v'\] must hold states"):
        boltz.sample(genetic, 2, 1, start={"v": BITS})


def log_likelihoods(x: np.ndarray) -> np.ndarray:
    """log p(x) (rows,) of the RBM by enumeration: the sum over hidden states, over that over all states."""
    weight, visible, hidden = RBM.params["edge/v-h1/weight"], RBM.bias("v"), RBM.bias("h1")
    h = np.array(list(itertools.product((0, 1), repeat=3)))
    v = np.array(list(itertools.product((0, 1), repeat=4)))

    def log_p(rows: np.ndarray) -> np.ndarray:
        energies = rows @ visible + (h @ hidden)[:, None] + h @ weight.T @ rows.T
        return np.log(np.exp(energies).sum(axis=0))

    return np.asarray(log_p(x) - np.log(np.exp(log_p(v)).sum()))


@pytest.mark.parametrize(("x", "levels"), [(GENES, 2), (DIGITS, 16), (SPIKES, 300), (GREY, 255)])
def test_log_likelihoods_of_counts_are_those_of_enumeration(x: np.ndarray, levels: int) -> None:
    found = boltz.log_likelihood(RBM.with_levels(levels), x).per_row
    np.testing.assert_allclose(found, log_likelihoods(x / levels), rtol=1e-10)


@pytest.mark.parametrize("levels", [0, -1, 65536, 2.0, True, "2", np.array([2])])
def test_levels_are_whole_numbers(levels: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GENES)
    for call in (RBM.with_levels, SBN.with_levels, lambda n: boltz.load_data(tmp_path / "x.npy", levels=n)):
        with pytest.raises(InputError, match=r"^levels must be a whole number of at least 1 and at most 65535, got"):
            call(levels)
    assert RBM.with_levels(1).levels is None is RBM.with_levels(2).with_levels(None).levels


def test_files_say_their_levels_by_argument(tmp_path: Path) -> None:
    """Of any number type, where all numbers are whole; other numbers are refused, and so are 0/1 for grey bytes."""
    path = tmp_path / "x.npy"
    for x, levels, kind in ((GENES, 2, np.uint8), (DIGITS * 1.0, 16, np.uint8), (SPIKES, 300, np.uint16)):
        np.save(path, x)
        data = boltz.load_data(path, levels=levels)
        assert (data.levels, data.x.dtype, data.request["levels"]) == (levels, np.dtype(kind), levels)
        assert np.array_equal(data.x, x) and boltz.load_data(**data.request).fingerprint == data.fingerprint
    with pytest.raises(FileError, match=r"row 2, column 4 is 300; expected whole .*: give levels=300 \(--levels"):
        boltz.load_data(path)
    for x, levels, piece in ((PARTS, 2, "column 2 is 0.25"), (BITS, 255, "0 and 1 alone"), (GENES, 1, "column 3 is 2")):
        np.save(path, x)
        with pytest.raises(FileError, match=piece):
            boltz.load_data(path, levels=levels)
    np.save(path, BITS)
    assert boltz.load_data(path, levels=1).levels == 1 == boltz.load_data(path).levels
    np.save(path, BITS.astype(bool))
    assert boltz.load_data(path, levels=255).levels == 1


@pytest.mark.parametrize("make", [lambda: boltz.rbm(4, 3), lambda: boltz.vae([4, 3], 2), lambda: boltz.dbn([4, 3, 2])])
def test_a_run_keeps_its_levels_and_so_do_its_file_and_copies(make: Callable[[], Any], tmp_path: Path) -> None:
    """Machine, file, other types, snapshots, networks unrolled from it; later rows are divided as those of the run."""
    np.save(tmp_path / "x.npy", GENES)
    data = boltz.load_data(tmp_path / "x.npy", levels=2)
    run = plain_train(make(), data, out=tmp_path / "run", held_out=GENES[1:2], **FULL)
    stored = boltz.load(tmp_path / "run")
    assert boltz.resume(tmp_path / "run").model.levels == run.model.levels == stored.levels == 2
    assert stored.astype(np.float64).levels == stored.to("cpu").levels == 2
    for machine in (*run.trajectory, boltz.autoencoder(stored)):
        assert machine.levels == 2
    assert np.array_equal(boltz.features(stored, GENES[1:2]), boltz.features(stored, GENES[1:2] / 2))
    network = boltz.fine_tune(
        boltz.classifier(stored, [0, 1]), GENES, [0, 1] * 3, epochs=1, out=tmp_path / "tuned"
    ).network
    assert boltz.load_network(tmp_path / "tuned").levels == network.levels == 2
    assert np.array_equal(boltz.classify(network, GENES[1:2]), boltz.classify(network, GENES[1:2] / 2))
    with pytest.raises(InputError, match="is divided by 4, but the machine divides whole numbers by 2"):
        plain_train(stored, boltz.load_data(tmp_path / "x.npy", levels=4))


def test_a_run_that_is_resumed_keeps_the_levels_of_the_machine_it_began_with(tmp_path: Path) -> None:
    """The rows are floats, so that only run.toml can tell."""

    def stop(record: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain_train(RBM.with_levels(2), GENES / 2, tmp_path / "run", watch=stop, checkpoint_seconds=0, chains=3, **FULL)
    assert boltz.resume(tmp_path / "run", GENES / 2).model.levels == 2


def test_files_of_machines_without_levels_say_nothing_of_them_and_strange_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    RBM.save(path)
    assert b"levels" not in path.read_bytes()[:400] and boltz.load(path).levels is None
    RBM.with_levels(2).save(path)
    tensors, told = read_tensors(path)
    for wrong in ("0", "1", "x", "65536", "", "2.0"):
        write_tensors(path, tensors, told | {"levels": wrong})
        with pytest.raises(FileError, match=r"must hold levels from 2 to 65535"):
            boltz.load(path)


def test_grey_bytes_make_a_machine_of_grey_levels() -> None:
    """A dark image alone is as dark as beside others, and 0/1 as whole numbers are ambiguous from then on."""
    model = plain_train(boltz.rbm(4, 3, GREY), GREY, chains=3, **FULL).model
    dark = np.array([[0, 1, 7, 0]], np.uint8)
    assert model.levels == 255
    assert np.array_equal(boltz.complete(model, dark, np.ones(4)), np.float32(dark) / np.float32(255))
    assert np.array_equal(boltz.complete(model, BITS > 0, np.ones(4)), BITS)
    with pytest.raises(InputError, match="0 and 1 alone where they are divided by 255"):
        boltz.features(model, BITS)


def test_builders_look_at_all_rows_for_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that give the biases are dark; another one says that all are grey bytes, or counts."""
    monkeypatch.setattr("boltz.checks.INITIAL_ROWS", 2)
    x = np.zeros((4, 4), np.uint8)
    x[0] = 51
    x[3] = 255
    wanted = boltz.rbm(4, 2, np.array([[0.2] * 4, [0] * 4])).bias("v")
    np.testing.assert_allclose(boltz.rbm(4, 2, x).bias("v"), wanted, rtol=1e-6)
    for make in (lambda y: boltz.rbm(4, 2, y), lambda y: boltz.sbn([4, 2], x=y), lambda y: boltz.vae([4, 2], 2, y)):
        with pytest.raises(InputError, match=r"^x must hold whole numbers 0/1, .*got 2 at index \(3, 0\)"):
            make(np.array([[0] * 4, [1] * 4, [0] * 4, [2] * 4]))


def test_the_remedies_for_floats_at_a_machine_with_levels_work() -> None:
    """Whole numbers that came as floats, and with NaN: each way out that the sentence names gives the rows meant."""
    genetic, x = RBM.with_levels(2), GENES.astype(float)
    wanted = boltz.features(genetic, GENES)
    for way in (x.astype(int), x / 2):
        assert np.array_equal(boltz.features(genetic, way), wanted)
    holes = np.where(GENES == 1, np.nan, x)
    for call in (boltz.features, boltz.complete):
        with pytest.raises(InputError, match=r"got floats up to 2, which are not divided: give x / 2, or numpy.nan_to"):
            call(genetic, holes)
        ways = (call(genetic, holes / 2), call(genetic, np.nan_to_num(holes).astype(int), mask=~np.isnan(holes)))
        assert np.array_equal(*ways)
    assert boltz.complete(genetic, np.array([[0, 1, np.nan, 1]]), method="mean-field").shape == (1, 4)
    assert boltz.complete(GAUSSIAN.with_levels(2), holes, sweeps=2).shape == x.shape, "any floats are rows there"


def test_a_file_of_whole_floats_is_divided_by_the_levels_of_the_machine(tmp_path: Path) -> None:
    """The remedy names those levels, and not the greatest number of this file."""
    np.save(tmp_path / "x.npy", GENES.astype(float))
    with pytest.raises(FileError, match=r"expected numbers in \[0, 1\]: give levels=4 \(--levels 4\)"):
        boltz.load_data(tmp_path / "x.npy", machine_levels=4)
    assert boltz.load_data(tmp_path / "x.npy", levels=4).x.tolist() == GENES.tolist()


def test_what_the_docstring_of_vae_says_of_visible_units_holds() -> None:
    """Bernoulli: numbers in [0, 1], whole ones above 1 with levels; Gaussian: any finite numbers, as they are."""
    said = " ".join((boltz.vae.__doc__ or "").split())
    for words in ('"bernoulli": numbers in [0, 1]', '"gaussian": any finite numbers'):
        assert words in said
    assert np.isfinite(boltz.log_likelihood(VAE, PARTS, samples=5).value)
    assert np.isfinite(boltz.log_likelihood(GAUSSIAN, 9 * PARTS - 3, samples=5).value)
    assert np.isfinite(boltz.log_likelihood(VAE.with_levels(2), GENES, samples=5).value)
    for machine, x in ((VAE, 9 * PARTS - 3), (VAE, GENES), (GAUSSIAN, np.where(PARTS == 1, np.inf, PARTS))):
        with pytest.raises(InputError):
            boltz.log_likelihood(machine, x, samples=5)
