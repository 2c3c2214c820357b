"""Catches commands that read, train, measure or write units of another kind than 0 and 1 wrongly, or by a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke, result_of
from support.training import plain_train

import boltz
from boltz.data.alignments import PROTEIN, sequences_of
from boltz.storage import run_folder
from boltz.units.onehot import codes_of

SITES, ROWS, NEW = 6, 80, 20
SMALL = ("--layers", 3, "--epochs", 3, "--batch-size", 20, "--chains", 10, "--no-evaluate")
KINDS: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    # visible kind: (file, other rows, options of training)
    "spin": ("spins.npy", "spins-new.npy", ()),
    "gaussian": ("sensors.csv", "sensors-new.csv", ("--units", "gaussian")),
    "categorical:4": ("codes.npy", "codes-new.npy", ("--units", "categorical", "--hidden-units", "spin")),
    "categorical:21": ("family.fasta", "family-new.fasta", ()),
    "binomial:3": ("codes.npy", "codes-new.npy", ("--units", "binomial:3", "--hidden-units", "binomial:2")),
}


def fasta(codes: Any) -> str:
    return "".join(f">s{i}\n{row}\n" for i, row in enumerate(sequences_of(codes, PROTEIN)))


@pytest.fixture(autouse=True)
def files(alone: Path) -> None:
    generator = np.random.default_rng(3)
    hidden = generator.integers(0, 2, (ROWS + NEW, 1))
    spins = np.where(generator.random((ROWS + NEW, SITES)) < 0.2 + 0.6 * hidden, 1, -1)
    codes = np.minimum(generator.integers(0, 3, spins.shape) + hidden, 3)
    codes[0] = codes[ROWS] = 3
    letters = np.where(hidden == 1, generator.integers(0, 9, spins.shape), generator.integers(8, 21, spins.shape))
    for part, rows in (("", slice(ROWS)), ("-new", slice(ROWS, None))):
        np.save(f"spins{part}.npy", spins[rows].astype(np.int8))
        np.save(f"codes{part}.npy", codes[rows])
        np.savetxt(f"sensors{part}.csv", 20 + 5.0 * spins[rows] + generator.normal(size=spins[rows].shape), "%.6g", ",")
        Path(f"family{part}.fasta").write_text(fasta(letters[rows]))


def trained(kind: str, out: str, *more: Any) -> str:
    data, _, words = KINDS[kind]
    found = invoke("train", "rbm", "--data", data, *words, *SMALL, "--out", out, *more)
    assert found.exit_code == 0, found.stderr
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_and_python_learn_the_same(kind: str) -> None:
    """The same bits, from the file and from what load_data makes of it."""
    run = trained(kind, "run")
    name, _, words = KINDS[kind]
    known = {"units": words[1]} if words else {}
    data = boltz.load_data(name, **known)
    assert data.kind == kind
    hidden = words[3] if len(words) > 2 else "bernoulli"
    model = boltz.rbm(SITES, 3, data, 0, units=kind, hidden_units=hidden)
    described = result_of("info", run)
    assert described["visible"] == kind and boltz.load(run).layers[1].kind == hidden
    settings = {"epochs": 3, "batch_size": 20, "chains": 10, "patience": 0, "validation": 0.0}
    machine = boltz.train(model, data, **settings).model
    assert np.array_equal(boltz.load(run).arena, machine.arena)
    assert run_folder.read_settings(run)["data"]["load"]["units"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_takes_the_run(kind: str) -> None:
    """Figures are those of Python, and each says what it is a figure of."""
    run, new = trained(kind, "run", "--test", KINDS[kind][1]), KINDS[kind][1]
    machine, data, codes = boltz.load(run), boltz.load_data(new, units=kind), kind.startswith("categorical")
    told = result_of("evaluate", run, "--data", new)
    assert told["log_likelihood"]["value"] == pytest.approx(boltz.evaluate(machine, data).log_likelihood.value)
    assert told["units"] == kind and ("density" in told["unit"]) == (kind == "gaussian")
    assert told.get("nats_a_site") == (told["log_likelihood"]["value"] / SITES if codes else None)
    text = invoke("evaluate", run).stdout
    assert f"{SITES} {'Gaussian' if kind == 'gaussian' else kind} visible units" in text
    assert ("nats a site" in text, "log density" in text) == (codes, kind == "gaussian")
    assert result_of("compare", run, "--out", "compared")["units"] == kind
    assert result_of("diagnose", run, "--sweeps", 200)["units"] == kind
    assert result_of("logz", run)["log_z"]["kind"] == "exact"
    assert invoke("features", run, "--data", new, "--out", "f.npy").exit_code == 0
    assert np.allclose(np.load("f.npy"), boltz.features(machine, data.x), atol=1e-6)
    np.save("known.npy", np.array([1, 0, 1, 1, 0, 1]))
    words = ("complete", run, "--data", new, "--mask", "known.npy", "--sweeps", 20)
    filled = result_of(*words, "--out", "c.csv", "--method", "sample")
    assert ("recovered" in filled) == codes != ("squared_error" in filled)
    completed = np.loadtxt("c.csv", delimiter=",", skiprows=1)
    rows = codes_of(data.x, data.states) if codes else data.x
    assert completed.shape == (NEW, SITES) and np.allclose(completed[:, [0, 2, 3, 5]], rows[:, [0, 2, 3, 5]])
    assert invoke(*words, "--out", "c.npy").exit_code == 0
    assert np.load("c.npy").shape == data.x.shape
    assert invoke("report", run, "--out", "page.html").exit_code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_to_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(kind, "whole")

    def stop(*anything: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("boltz.progress.Progress.update", stop)
        data, _, words = KINDS[kind]
        assert invoke("train", "rbm", "--data", data, *words, *SMALL, "--out", "part").exit_code == 75
    assert invoke("train", "--resume", "part").exit_code == 0
    assert np.array_equal(boltz.load("part").arena, boltz.load("whole").arena)
    again = invoke("train", "rbm", "--init", "whole", "--epochs", 1, "--no-evaluate", "--out", "second")
    assert again.exit_code == 0, again.stderr
    before, after = (run_folder.read_settings(name) for name in ("whole", "second"))
    assert before["data"]["fingerprint"] == after["data"]["fingerprint"] and before["model"] == after["model"]


def test_samples_are_written_in_the_units_of_the_data() -> None:
    """Spins with their sign, numbers in the units of each column, codes, and sequences that load again."""
    spins, sensors, family = trained("spin", "s"), trained("gaussian", "g"), trained("categorical:21", "f")
    few = ("--chains", 7, "--sweeps", 5)
    assert invoke("sample", spins, *few, "--out", "s.npy").exit_code == 0
    assert set(np.unique(np.load("s.npy"))) == {-1, 1} and np.load("s.npy").dtype == np.int8
    for trials, small in ((3, np.uint8), (300, np.uint16)):
        found = invoke(
            "train", "rbm", "--data", "codes.npy", "--units", f"binomial:{trials}", *SMALL, "--out", f"n{trials}"
        )
        assert found.exit_code == 0, found.stderr
        assert invoke("sample", f"n{trials}", *few, "--out", f"n{trials}.npy").exit_code == 0
        sums = np.load(f"n{trials}.npy")
        assert sums.dtype == small and sums.max() <= trials and len(np.unique(sums)) > 3
    assert invoke("sample", sensors, *few, "--out", "g.npy").exit_code == 0
    assert 10 < np.load("g.npy").mean() < 30
    for name, words in (("f.fasta", ()), ("f.txt", ()), ("c.npz", ("--as", "codes")), ("v.npy", ())):
        found = invoke("sample", family, *few, "--out", name, *words)
        assert found.exit_code == 0, found.stderr
    codes = np.load("c.npz")["v"]
    assert codes.shape == (7, SITES) and np.load("c.npz")["h1"].shape == (7, 3)
    assert np.array_equal(codes_of(np.load("v.npy"), 21), codes)
    assert Path("f.txt").read_text().split() == sequences_of(codes, PROTEIN)
    assert Path("f.fasta").read_text().startswith(">sample_1\n")
    assert np.array_equal(codes_of(boltz.load_data("f.fasta").x, 21), codes)
    assert result_of("sample", family, *few, "--as", "letters")["out"] == "samples.txt"
    for run, ending, words in ((spins, "signs", ()), (sensors, "reals", ()), (family, "states", ("--as", "codes"))):
        for name in (f"{ending}.npy", f"{ending}.csv"):
            assert invoke("sample", run, *few, "--out", name, *words).exit_code == 0
        head, *rows = Path(f"{ending}.csv").read_text().splitlines()
        assert head == ",".join(f"v_{i}" for i in range(1, SITES + 1))
        np.testing.assert_array_equal([[float(x) for x in row.split(",")] for row in rows], np.load(f"{ending}.npy"))
    assert invoke("sample", family, *few, "--out", "onehot.csv").exit_code == 0
    head = Path("onehot.csv").read_text().split("\n")[0].split(",")
    assert len(head) == 21 * SITES and head[:2] == ["v_1_0", "v_1_1"] and head[-1] == f"v_{SITES}_20"


def test_layers_of_a_dbm_have_kinds_of_their_own() -> None:
    words = ("--layers", "4,3", "--epochs", 1, "--pretrain-epochs", 1, "--batch-size", 20, "--chains", 10)
    data = ("--data", "family.fasta", "--no-evaluate")
    for hidden, kinds in (("spin", ["spin"] * 2), ("bernoulli,categorical:3", ["bernoulli", "categorical:3"])):
        found = invoke("train", "dbm", *data, *words, "--hidden-units", hidden, "--out", "deep", "--force")
        assert found.exit_code == 0, found.stderr
        layers = boltz.load("deep").layers
        assert [layer.kind for layer in layers] == ["categorical:21", *kinds]
        assert [layer.units // layer.columns for layer in layers] == [SITES, 4, 3]


def test_what_files_hold_is_described() -> None:
    sums = invoke("data", "codes.npy", "--units", "binomial:3").stdout
    assert "6 units, whole numbers from 0 to 3" in sums
    spins, codes = result_of("data", "spins.npy"), result_of("data", "codes.npy", "--units", "categorical")
    assert (spins["kind"], spins["units"], codes["kind"], codes["units"]) == ("spin", SITES, "categorical:4", SITES)
    family = result_of("data", "family.fasta")
    assert family["alphabet"] == PROTEIN and sum(family["splits"]["train"]["states"].values()) == pytest.approx(1)
    assert "6 units, codes of 21 states, the letters ACDEF" in invoke("data", "family.fasta").stdout
    assert "80 aligned sequences of 6 sites, taken as categorical:21 units" in invoke("data", "family.fasta").stderr


TRAIN = ("train", "rbm", "--layers", 3, "--data")
BAD: dict[str, tuple[tuple[Any, ...], str]] = {
    "units of a vae": (("train", "vae", "--units", "spin"), "--units is an option of rbm, dbm and bm, not of vae"),
    "hidden units of an sbn": (
        ("train", "sbn", "--hidden-units", "spin"),
        "is an option of rbm, dbm and bm, not of sbn",
    ),
    "spins for a vae": (("train", "vae", "--data", "spins.npy"), "holds -1 and 1, which are visible units of an rbm"),
    "sequences for a dbn": (
        ("train", "dbn", "--data", "family.fasta"),
        "codes of 21 states, which are visible units of an rbm or a dbm, not of dbn",
    ),
    "a count of kinds": ((*TRAIN, "spins.npy", "--hidden-units", "spin,spin"), "must name one kind, got 2: spin,spin"),
    "a count of kinds of a dbm": (
        ("train", "dbm", "--layers", "3,3", "--data", "spins.npy", "--hidden-units", "spin,spin,spin"),
        "or one for each of the 2 hidden layers, got 3",
    ),
    "more than n": (
        (*TRAIN, "codes.npy", "--units", "binomial:2"),
        "is 3; expected whole numbers from 0 to 2, the states",
    ),
    "no trials": (
        (*TRAIN, "codes.npy", "--units", "binomial"),
        "units of kind binomial need a number of trials, 1 to 1000",
    ),
    "no kind": ((*TRAIN, "spins.npy", "--hidden-units", "potts"), "--hidden-units: units must be of kind bernoulli"),
    "states without a number": ((*TRAIN, "spins.npy", "--hidden-units", "categorical"), "need a number of states"),
    "no visible kind": ((*TRAIN, "spins.npy", "--units", "potts"), "units must be of kind bernoulli, spin, gaussian"),
    "Gaussian units side by side": (
        (*TRAIN, "sensors.csv", "--units", "gaussian", "--hidden-units", "gaussian"),
        "layers v and h1 must not both have real-valued units",
    ),
    "binarised spins": ((*TRAIN, "spins.npy", "--binarize", "dynamic"), "--binarize must be none for spin visible"),
    "binarised numbers": (
        (*TRAIN, "sensors.csv", "--units", "gaussian", "--binarize", "fixed"),
        "--binarize must be none for Gaussian visible units, got fixed",
    ),
    "levels of sequences": (
        (*TRAIN, "family.fasta", "--levels", 20, "--units", "categorical"),
        "levels divide numbers",
    ),
    "numbers of no kind": ((*TRAIN, "sensors.csv"), "(--units gaussian; vae --visible gaussian)"),
    "codes of no kind": ((*TRAIN, "codes.npy"), "units='categorical' (--units categorical) for codes of states"),
    "0/1 as spins": (("data", "bits.npy", "--units", "spin"), "units='bernoulli' (--units bernoulli), or give 2 * x"),
    "units of no file": (("data", "--units", "spin"), "--units would do nothing: it needs the NAME of a file"),
    "letters of no file": (("data", "--alphabet", "AC-"), "--alphabet would do nothing: it needs the NAME of a file"),
    "letters of spins": (("sample", "spun", "--as", "letters"), "is for categorical visible units, but spun has spin"),
    "codes of spins": (("sample", "spun", "--as", "codes"), "--as codes is for categorical units, but spun has spin"),
    "no letters": (("sample", "coded", "--as", "fasta"), "needs the letters of the states, which coded does not name"),
    "too many letters": (("sample", "coded", "--as", "fasta", "--alphabet", "ACGT-"), "--alphabet has 5 letters, but"),
    "the ending of sequences": (("sample", "coded", "--as", "fasta", "--out", "s.npy"), "must end in .fasta, .fa"),
    "spins for codes": (("evaluate", "coded", "--data", "spins.npy"), "is -1; expected whole numbers from 0 to 3"),
    "sequences for spins": (("evaluate", "spun", "--data", "family.fasta"), "is an alignment, whose units are categ"),
    "spins for bits": (("evaluate", "bits", "--data", "spins.npy"), "visible units of the machine are bernoulli: give"),
    "cut spins": (("features", "spun", "--binarize", "threshold"), "binarize must be none for spin visible units, got"),
    "fewer codes": (("evaluate", "coded", "--data", "few.npy"), "has 3 units a row, but the machine has 6"),
    "a mask of columns": (
        ("complete", "coded", "--mask", "columns.npy"),
        "--mask must have shape (80, 6) or (6,), but columns.npy has (1, 24)",
    ),
    "units of a machine that is there": (
        ("train", "rbm", "--init", "spun", "--units", "spin"),
        "--init starts from a machine as it is, so it takes no --units",
    ),
}


def test_what_does_not_fit_is_refused_in_one_sentence() -> None:
    """By the option or file, before anything is made; exit code 2, and never a traceback."""
    trained("spin", "spun")
    trained("categorical:4", "coded")
    np.save("bits.npy", np.load("spins.npy") > 0)
    np.save("few.npy", np.zeros((3, 3), int))
    np.save("columns.npy", np.ones(24, int))
    plain_train(boltz.rbm(SITES, 3), np.load("bits.npy"), out="bits", epochs=1)
    for what, (words, piece) in BAD.items():
        found = invoke(*words)
        lines = [line for line in found.stderr.splitlines() if line.startswith("Error: ")]
        assert found.exit_code == 2 and len(lines) == 1 and piece in lines[0], (what, found.stderr)
