"""Checks of sparse machines in files: run folders, their couplings, and machines without any coupling."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, kron
from support.training import plain_train

import boltz
from boltz.errors import FileError
from boltz.storage.run_folder import COUPLINGS
from boltz.storage.tensors import read_tensors, write_tensors

PAIRS = "edge/v-v/pairs"
RNG = np.random.default_rng(40)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 8, "chains": 5, "seed": 1}


def spins() -> boltz.BoltzmannMachine:
    return boltz.ising(boltz.lattice((2, 3), 0.2), RNG.normal(0, 0.3, 6))


def sites() -> boltz.BoltzmannMachine:
    return boltz.potts(kron(boltz.lattice((2, 2), 0.2), np.eye(3)).tocsr(), 0.1, states=3)


def joined() -> boltz.BoltzmannMachine:
    """Sparse weights between layers, and within one of them."""
    between = csr_array(np.where(RNG.random((6, 4)) < 0.4, 0.1, 0.0))
    return boltz.graph(
        {"v": 6, "h": 4, "top": 2},
        {("v", "h"): between, ("v", "v"): boltz.lattice((2, 3), 0.1), ("h", "top"): None},
        seed=2,
    )


ROWS = {
    spins: 2.0 * RNG.integers(0, 2, (20, 6)) - 1,
    sites: RNG.integers(0, 3, (20, 4)),
    joined: RNG.integers(0, 2, (20, 6)).astype(float),
}


@contextmanager
def run_of(make: Callable[[], boltz.BoltzmannMachine]) -> Iterator[tuple[Path, boltz.Run]]:
    """A run folder of a sparse machine, and its run."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        yield folder, plain_train(make(), ROWS[make], out=folder, **SHORT)


def check_run_folder(make: Callable[[], boltz.BoltzmannMachine] = joined) -> None:
    """A run with a folder is that without one, bit for bit; it is read, resumed and described with its couplings."""
    model = make()
    wanted = plain_train(model, ROWS[make], **SHORT).model
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        run = plain_train(model, ROWS[make], out=folder, **SHORT)
        again, resumed = boltz.load(folder), boltz.resume(folder, ROWS[make]).model
        assert boltz.describe(folder).as_dict()["parameters"] == wanted.graph.parameters
        assert [machine.plan for machine in run.trajectory] == [wanted.plan] * len(run.trajectory) != []
    for found in (run.model, again, resumed):
        assert found.plan == model.plan
        assert found.arena.tobytes() == wanted.arena.tobytes()
    assert (wanted.arena != model.arena).any()


def tampered(pairs: Any) -> dict[str, Any]:
    """Couplings that nobody should take for those of a run, by what is wrong with them."""
    late = pairs[:, np.lexsort(pairs[::-1])[::-1]]
    twice = pairs.copy()
    twice[:, 1] = twice[:, 0]
    far, below, own = pairs.copy(), pairs.copy(), pairs.copy()
    far[1, -1], below[0, 0], own[:, -1] = 6, -1, 4
    others = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 5, 2, 3, 4, 5]], np.int32)
    return {
        "in another order": late,
        "twice": twice,
        "beyond the units": far,
        "below 0": below,
        "to itself": own,
        "both triangles": pairs[::-1].copy(),
        "other couplings": others,
        "fewer": pairs[:, :-1].copy(),
        "of another type": pairs.astype(np.int64),
        "in another shape": pairs.reshape(-1).copy(),
    }


def check_hostile_couplings() -> None:
    """Couplings in a run folder that are not those of its run end every way of going on in one sentence."""
    with run_of(spins) as (folder, _):
        path = folder / COUPLINGS
        tensors, told = read_tensors(path)
        assert tensors.keys() == {PAIRS} and tensors[PAIRS].shape == (2, 9)
        (folder / "model.safetensors").unlink()
        whole = path.read_bytes()
        for what, pairs in tampered(tensors[PAIRS]).items():
            write_tensors(path, {PAIRS: pairs}, told)
            _refused(folder, what)
        write_tensors(path, {}, told)
        _refused(folder, "no tensor")
        path.write_bytes(whole[:-1] + b"?")
        _refused(folder, "a damaged byte")
        path.unlink()
        _refused(folder, "no file")
        path.write_bytes(whole)
        boltz.resume(folder, ROWS[spins])


def _refused(folder: Path, what: str) -> None:
    for act in (boltz.describe, lambda place: boltz.resume(place, ROWS[spins])):
        try:
            act(folder)
        except FileError as problem:
            assert "run.toml" in str(problem) and "\n" not in str(problem), what
        else:
            raise AssertionError(f"couplings {what} were taken")


def check_hostile_model_file() -> None:
    """The same of the file of a machine, whose couplings lie beside its weights."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "m.safetensors"
        spins().save(path)
        tensors, told = read_tensors(path)
        for what, pairs in tampered(tensors[PAIRS]).items():
            if what == "other couplings":  # they are those of another machine
                continue
            write_tensors(path, tensors | {PAIRS: pairs}, told)
            try:
                boltz.load(path)
            except FileError:
                continue
            raise AssertionError(f"couplings {what} were taken")


def check_no_couplings() -> None:
    """Units without couplings are independent: log Z and log-likelihood are sums over units, at any size.

    Couplings of 0 that a matrix stores stay couplings, which training may change; others do not exist.
    """
    fields = RNG.normal(0, 1, 4900)
    wanted = float(np.logaddexp(fields, -fields).sum())
    for couplings, pairs in ((boltz.lattice((70, 70), 0.0), 9800), (csr_array((4900, 4900)), 0)):
        model = boltz.ising(couplings, fields)
        assert model.graph.parameters == 4900 + pairs
        found = boltz.exact_log_z(model)
        assert found.kind == "exact" and abs(found.value - wanted) < 1e-9
    few = csr_array((3, 3))
    model = boltz.ising(few, fields[:3])
    x = np.array([[1.0, -1, 1], [-1, -1, -1]])
    alone = (x * fields[:3] - np.logaddexp(fields[:3], -fields[:3])).sum(axis=1)
    np.testing.assert_allclose(boltz.log_likelihood(model, x).per_row, alone, atol=1e-12)
    trained = plain_train(model, x, **SHORT).model
    assert trained.graph.parameters == 3 and (trained.arena != model.arena).any()
    model = boltz.potts(csr_array((12, 12)), 0.3, states=3)
    assert abs(boltz.exact_log_z(model).value - 4 * (np.log(3) + 0.3)) < 1e-12
    model = boltz.graph({"v": 3, "h": 2}, {("v", "h"): csr_array((3, 2))})
    assert abs(boltz.exact_log_z(model).value - 5 * np.log(2)) < 1e-12


def check_filters() -> None:
    """Sparse couplings are drawn as the columns of the largest norms, as if they were dense."""
    from boltz.plotting import images, machines

    model = boltz.ising(boltz.lattice((3, 5), 1.0) * np.arange(1, 16) * np.arange(1, 16)[:, None])
    effects, what = machines.unit_effects(model)
    dense = model.matrix("edge/v-v/weight").toarray()
    found, wanted = (np.asarray(images.filter_grid(x).axes[0].images[0].get_array()) for x in (effects, dense))
    np.testing.assert_array_equal(found, wanted)
    order = np.argsort(-np.linalg.norm(dense, axis=0))
    np.testing.assert_array_equal(found, dense[:, order].T)
    assert what == "couplings to the other units"
    wide = np.where(RNG.random((4, 7)) < 0.5, RNG.normal(0, 1, (4, 7)), 0.0)
    found = np.asarray(images.filter_grid(csr_array(wide)).axes[0].images[0].get_array())
    np.testing.assert_array_equal(found, wide[:, np.argsort(-np.linalg.norm(wide, axis=0), kind="stable")].T)
