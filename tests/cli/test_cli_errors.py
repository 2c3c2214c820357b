"""Catches bad usage or input that ends in a traceback, another exit code than 2, words on stdout, or a file made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

import boltz
from boltz.models.graph import Layer
from boltz.models.helmholtz import empty
from boltz.models.structure import Structure
from boltz.storage import run_folder

TRAIN = ("train", "rbm", "--epochs", 1, "--layers", 3)
VAE = ("train", "vae", "--epochs", 1, "--layers", 3, "--latent", 2)
EVALUATE = ("evaluate", "--data", "bars.npz")
OF_RBM: list[tuple[tuple[object, ...], str]] = [
    (("--method", "bound"), "--method bound would do nothing"),
    (("--method", "importance"), "--method importance would do nothing"),
    (("--method", "posterior-ais"), "--method posterior-ais would do nothing"),
    (("--bounds", "1,5"), "--bounds would do nothing"),
    (("--error", 0), "--error must be"),
    (("--error", 1, "--betas", 5), "so it takes no --betas"),
    (("--budget", 1, "--chains", 5), "so it takes no --chains"),
    (("--method", "raise", "--betas", 5), "--betas is for log Z, which --method raise does without"),
    (("--method", "raise", "--error", 5), "--error is for log Z, which --method raise does without"),
    (("--method", "raise", "--row-chains", 0), "--row-chains must be"),
]
OF_DBM: list[tuple[tuple[object, ...], str]] = [
    (("--method", "bound", "--samples", 5), "--samples is for --method auto or importance, not for bound"),
    (("--method", "importance", "--samples", 0), "samples must be"),
    (("--method", "importance", "--row-chains", 5), "--row-chains is for --method posterior-ais or raise"),
    (("--row-betas", 5), "--row-betas is for --method posterior-ais or raise, not for auto"),
    (("--method", "posterior-ais", "--row-betas", 0), "--row-betas must be"),
    (("--method", "raise", "--bounds", "1"), "--bounds is for --method"),
    (("--bounds", "1,x"), "numbers of samples separated by commas"),
    (("--bounds", "0"), "numbers of samples separated by commas"),
    (("--bounds", "1000001"), "--bounds must be"),
    (("--method", "exact"), "'exact' is not one of"),
]
OF_VAE: list[tuple[tuple[object, ...], str]] = [
    (("--error", 1), "--error is for log Z, which is 0 for directed machines"),
    (("--budget", 1), "--budget is for log Z, which is 0 for directed machines"),
    (("--method", "bound"), "--method bound is for a machine of kind dbm or multimodal or bm, got one of kind vae"),
    (("--method", "raise"), "--method raise is for a machine of kind rbm or dbm, got one of kind vae"),
]
CASES: list[tuple[tuple[object, ...], str]] = [
    (("train",), "Name the MODEL"),
    (("train", "helmholtz"), "'helmholtz' is not one of"),
    ((*TRAIN, "--layers", "abc"), "separated by commas"),
    ((*TRAIN, "--layers", "0"), "no hidden units, is for bm and made"),
    ((*TRAIN, "--layers", ""), "separated by commas"),
    ((*TRAIN, "--layers", "5,,6"), "separated by commas"),
    ((*TRAIN, "--layers", "-3"), "separated by commas"),
    ((*TRAIN, "--layers", "1e3"), "separated by commas"),
    ((*TRAIN, "--layers", "\u0663"), "separated by commas"),
    ((*TRAIN, "--layers", "5,4"), "an rbm has one hidden layer"),
    (("train", "dbm", "--layers", "5"), "a dbm has at least two hidden layers"),
    ((*TRAIN, "--layers", "5/4"), "slashes only for a vae"),
    (("train", "dbn", "--layers", "5"), "a dbn has at least two hidden layers"),
    (("train", "sbn", "--layers", "5/4"), "slashes only for a vae"),
    ((*VAE, "--layers", "5/"), "separated by commas"),
    ((*VAE, "--layers", "5,4/3"), "below each of the 1 layers of --latent"),
    ((*VAE, "--latent", "4,2"), "below each of the 2 layers of --latent"),
    ((*VAE, "--latent", "0"), "separated by commas"),
    ((*VAE, "--widths", "4"), "--widths is an option of sbn, not of vae"),
    ((*TRAIN, "--latent", "4"), "--latent is an option of vae, vlae and aae, not of rbm"),
    ((*VAE, "--rule", "pcd"), "--rule is an option of rbm, dbm, bm, multimodal and dbn, not of vae"),
    ((*TRAIN, "--objective", "vae"), "--objective is an option of sbn, vae and vlae, not of rbm"),
    ((*TRAIN, "--pretrain-epochs", "3"), "--pretrain-epochs is an option of dbm, multimodal and dbn, not of rbm"),
    (
        (*TRAIN, "--evaluation-samples", "3"),
        "--evaluation-samples is an option of dbm, bm, multimodal, dbn, sbn, vae, vlae and aae, not of rbm",
    ),
    ((*VAE, "--betas", "10"), "--betas is an option of rbm, dbm, bm, multimodal and dbn, not of vae"),
    ((*VAE, "--evaluation-samples", "-1"), "samples must be"),
    ((*VAE, "--objective", "vimco"), "not defined for a machine without binary layers"),
    ((*VAE, "--objective", "elbo"), "'elbo' is not one of"),
    ((*VAE, "--samples", "0"), "samples must be"),
    ((*VAE, "--momentum", "0.5"), "--momentum would do nothing"),
    ((*VAE, "--alpha", "0.5"), "--alpha would do nothing"),
    ((*VAE, "--objective", "dreg", "--alpha", "2"), "alpha must be"),
    ((*VAE, "--activation", "sine"), "'sine' is not one of"),
    ((*VAE, "--visible", "gaussian", "--binarize", "dynamic"), "binarize must be none for Gaussian"),
    (("train", "sbn", "--layers", "3", "--objective", "iwae"), "not defined for binary layers"),
    (("train", "sbn", "--layers", "3", "--objective", "vimco", "--samples", "1"), "at least 2 samples"),
    ((*VAE, "--init", "nowhere"), "nowhere does not exist"),
    ((*VAE, "--init", "begun"), "not trained to its end"),
    ((*VAE, "--init", "m.safetensors"), "m.safetensors holds a machine of kind rbm, but MODEL is vae"),
    (("train", "vae", "--init", "vae.safetensors", "--layers", "3"), "so it takes no --layers"),
    (("train", "vae", "--init", "vae.safetensors", "--latent", "3"), "so it takes no --latent"),
    (("train", "vae", "--init", "vae.safetensors"), "has 784 units a row, but the machine of vae.safetensors has 25"),
    (
        ("train", "vae", "--init", "mixed.safetensors"),
        "mixed.safetensors holds a Helmholtz machine with layers of both kinds",
    ),
    ((*TRAIN, "--init", "m.safetensors", "--grow", "m.safetensors"), "give one of both"),
    ((*TRAIN, "--grow-scale", "1"), "--grow-scale would do nothing: it needs --grow"),
    ((*TRAIN, "--grow-wiring", "random"), "--grow-wiring would do nothing: it needs --grow"),
    (("train", "dbm", "--grow", "m.safetensors"), "--grow needs --layers"),
    (("train", "dbm", "--grow", "m.safetensors", "--layers", "2"), "growth takes no units away"),
    (("train", "dbm", "--grow", "m.safetensors", "--layers", "40"), "grows to a machine of kind rbm by --layers"),
    (("train", "rbm", "--grow", "vae.safetensors", "--layers", "9"), "but --grow adds units to an rbm or a dbm"),
    (("train", "rbm", "--grow", "nowhere", "--layers", "9"), "nowhere does not exist"),
    ((*TRAIN, "--data", "nosuchset"), "No data set is called 'nosuchset'"),
    ((*TRAIN, "--data", "omniglot"), "cannot be downloaded"),
    ((*TRAIN, "--data", "missing.npy"), "missing.npy does not exist"),
    (("train", "dbn", "--epochs", "1", "--layers", "3,2", "--data", "nan.npy"), "nan.npy, row 2, column 3 is nan"),
    ((*TRAIN, "--data", "large.npy"), "row 1, column 1 is 2.5"),
    ((*TRAIN, "--data", "empty.npy"), "empty.npy is empty"),
    ((*TRAIN, "--data", "ragged.csv"), "ragged.csv"),
    ((*TRAIN, "--data", "objects.npy"), "Python objects"),
    ((*TRAIN, "--data", "text.txt"), "holds no rows of numbers"),
    ((*TRAIN, "--data", "."), "not a file"),
    ((*TRAIN, "--data", "bars.npz:x_none"), "no array 'x_none'"),
    ((*TRAIN, "--epochs", "-1"), "epochs must be a whole number of at least 0"),
    ((*TRAIN, "--epochs", "1.5"), "'1.5' is not a valid integer"),
    ((*TRAIN, "--batch-size", "0"), "batch_size must be"),
    ((*TRAIN, "--learning-rate", "nan"), "learning_rate must be a finite number"),
    ((*TRAIN, "--learning-rate", "-1"), "learning_rate must be"),
    ((*TRAIN, "--momentum", "1.5"), "momentum must be"),
    ((*TRAIN, "--rule", "tap"), "'tap' is not one of"),
    ((*TRAIN, "--chains", "0"), "chains must be"),
    ((*TRAIN, "--seed", "-1"), "seed must be"),
    ((*TRAIN, "--seed", str(2**70)), "seed must be"),
    ((*TRAIN, "--limit", "0"), "limit must be"),
    ((*TRAIN, "--betas", "fast"), "number of temperatures"),
    ((*TRAIN, "--betas", "0"), "number of temperatures"),
    ((*TRAIN, "--chains-ais", "0"), "the number of chains must be"),
    ((*TRAIN, "--threads", "0"), "threads must be"),
    (
        (
            *TRAIN,
            "--no-such-option",
        ),
        "There is no option --no-such-option.",
    ),
    ((*TRAIN, "--data", "bars.npz", "--out", "file"), "file is a file"),
    ((*TRAIN, "--data", "bars.npz", "--out", "file/below"), "could not be made"),
    ((*TRAIN, "--data", "bars.npz", "--out", "full"), "holds files but no run"),
    ((*TRAIN, "--data", "bars.npz", "--out", "full", "--force"), "holds files but no run"),
    ((*TRAIN, "--data", "bars.npz", "--out", "begun"), "already holds a run"),
    (("train", "rbm", "--resume", "begun"), "it takes no model"),
    (("train", "--resume", "begun", "--epochs", 3), "it takes no --epochs"),
    (("train", "--resume", "begun", "--seed", 0), "it takes no --seed"),
    (("train", "--resume", "begun", "--no-evaluate"), "it takes no --evaluate"),
    (("train", "--resume", "nowhere"), "nowhere does not exist"),
    (("train", "--resume", "full"), "not a run folder"),
    (("train", "--resume", "begun"), "holds no checkpoint"),
    (("train", "--resume", "hostile"), "does not describe a run"),
    (("logz", "nowhere"), "nowhere does not exist"),
    (("logz", "begun"), "not trained to its end"),
    (("logz", "full"), "not a run folder"),
    (("logz", "bars.npz"), "not a"),
    (("logz", "m.safetensors", "--chains", 0), "the number of chains must be"),
    (("logz", "wide.safetensors", "--method", "exact"), "at most 28 units"),
    (("logz", "wide.safetensors", "--error", "nan"), "--error must be"),
    (("logz", "wide.safetensors", "--error", 0), "--error must be"),
    (("logz", "wide.safetensors", "--budget", -1), "--budget must be"),
    (("logz", "wide.safetensors", "--seed", -1), "seed must be"),
    (("logz", "wide.safetensors", "--error", 1, "--betas", 5), "is for --method"),
    (("logz", "wide.safetensors", "--rounds", 50), "--rounds is for --method trajectory"),
    (
        ("logz", "wide.safetensors", "--method", "ais", "--error", 1),
        "--error is for --method two-sided, but here log Z",
    ),
    (("logz", "wide.safetensors", "--method", "two-sided", "--chains", 5), "--chains is for --method ais"),
    (("logz", "wide.safetensors", "--method", "trajectory"), "needs a run that kept snapshots"),
    (("logz", "begun", "--method", "trajectory"), "not trained to its end"),
    (("logz", "wide.safetensors", "--method", "trajectory", "--rounds", 5), "--rounds must be"),
    (("logz", "wide.safetensors", "--method", "trajectory", "--picture", "p.png"), "--picture is for --method"),
    (("logz", "m.safetensors", "--picture", "p.png"), "but here log Z is enumerated"),
    (("logz", "m.safetensors", "--error", 1, "--picture", "p.png"), "--picture draws log-weights"),
    (("logz", "wide.safetensors", "--picture", "p.gif"), "--picture must end in .png, .svg, .pdf"),
    (("logz", "wide.safetensors", "--picture", "no/p.png"), "--picture must lie in a folder"),
    (("logz", "wide.safetensors", "--method", "best"), "'best' is not one of"),
    *((("logz", "m.safetensors", "--betas", f"adaptive{n}"), "temperatures") for n in (":", ":0", "5", ":-1", ":1e3")),
    (("evaluate", "m.safetensors"), "give them with --data"),
    (("evaluate", "m.safetensors", "--data", "rows.npy", "--split", "train"), "rows.npy has 6 units a row"),
    (("evaluate", "m.safetensors", "--data", "bars.npz", "--split", "valid"), "x_valid"),
    (("evaluate", "m.safetensors", "--data", "bars.npz", "--samples", -1), "samples must be"),
    (("evaluate", "m.safetensors", "--data", "bars.npz", "--limit", 0), "limit must be"),
    (("evaluate", "m.safetensors", "--data", "bars.npz", "--samples", 5), "--samples would do nothing"),
    (("evaluate", "vae.safetensors", "--data", "bars.npz", "--chains", 5), "--chains is for annealed importance"),
    (("logz", "vae.safetensors"), "whose log Z is 0"),
    (("logz", "vae.safetensors", "--method", "trajectory"), "whose log Z is 0"),
    (("logz", "m.safetensors", "--method", "exact", "--betas", 5), "but here log Z is enumerated"),
    *(((*EVALUATE, "m.safetensors", *words), sentence) for words, sentence in OF_RBM),
    *(((*EVALUATE, "deep.safetensors", *words), sentence) for words, sentence in OF_DBM),
    *(((*EVALUATE, "vae.safetensors", *words), sentence) for words, sentence in OF_VAE),
    ((*EVALUATE, "mixed.safetensors", "--method", "posterior-ais"), "must have hidden layers of one kind"),
    (("sample", "vae.safetensors", "--tempered"), "--tempered is for an rbm or dbm"),
    (("sample", "m.safetensors", "--tempered", "--sweeps", 5), "--sweeps are of Gibbs chains"),
    (("sample", "m.safetensors", "--rounds", 50), "--rounds would do nothing"),
    (("sample", "m.safetensors", "--tempered", "--rounds", 19), "--rounds must be"),
    (("sample", "m.safetensors", "--tempered", "--rounds", 20, "--chains", 10000), "at least 157"),
    (("sample", "m.safetensors", "--tempered", "--chains", 0), "chains must be"),
    (("sample", "vae.safetensors", "--sweeps", 5), "--sweeps are of Gibbs chains"),
    (("sample", "m.safetensors", "--out", "s.doc"), "--out must end in"),
    (("sample", "m.safetensors", "--out", "rows.npy"), "exists already"),
    (("sample", "m.safetensors", "--layer", "h9"), "--layer must be one of v, h1"),
    (("sample", "m.safetensors", "--chains", 0), "chains must be"),
    (("sample", "m.safetensors", "--sweeps", -1), "sweeps must be"),
    (("sample", "m.safetensors", "--out", "no/s.npy"), "the folder no does not exist"),
    (("info", "nowhere"), "nowhere does not exist"),
    (("info", "hostile"), "does not describe a run"),
    (("info", "text.txt"), "text.txt is not a"),
    (("data", "nosuchset"), "No data set is called 'nosuchset'"),
    (("data", "missing.npy"), "does not exist"),
    (("trian",), "There is no command 'trian': did you mean train?"),
    (("train", "rmb"), "'sbn', 'vae', 'vlae', 'aae', 'pixelcnn', 'nade', 'made': did you mean rbm?"),
    ((*TRAIN, "--learning-rat", "1"), "no option --learning-rat: did you mean --learning-rate, --pretrain-learning"),
    ((*TRAIN, "--rule", "pdc"), "did you mean pcd?"),
    (("evaluate", "m.safetensors", "--sample", "1"), "There is no option --sample: did you mean --samples or --split?"),
    ((*TRAIN, "--data", "mnits"), "No data set is called 'mnits': did you mean mnist or nips?"),
    (("data", "Mnist-mni"), "No data set is called 'Mnist-mni': did you mean mnist-mini, mnist or mnist-static?"),
    (("fly",), "There is no command 'fly'; the commands are train, logz, "),
]


@pytest.fixture(autouse=True)
def files(alone: Path, data: Path) -> None:
    """Good and bad files in the current folder."""
    (alone / "bars.npz").write_bytes(data.read_bytes())
    rows = np.full((4, 6), 0.5)
    np.save("rows.npy", rows)
    rows[1, 2] = np.nan
    np.save("nan.npy", rows)
    np.save("large.npy", np.full((2, 2), 2.5))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    Path("empty.npy").touch()
    Path("ragged.csv").write_text("0,1\n1\n")
    Path("text.txt").write_text("not a model")
    Path("file").touch()
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    Path("begun").mkdir()
    settings = boltz.Settings().as_dict()
    model = {"units": [6, 3], "kind": "bernoulli", "dtype": "float32"}
    run_folder.create("begun", {"model": model, "settings": settings}, {}, {})
    Path("begun", run_folder.CHECKPOINT).unlink()
    run_folder.create("hostile", {"model": {"units": ["x"]}, "settings": [1], "data": 3}, {}, {})
    boltz.vae([25, 4], 2).save("vae.safetensors")
    mixed = (Layer("v", 25), Layer("h1", 3, "gaussian"), Layer("h2", 2))
    empty(Structure(mixed, ((), ())), np.float32).save("mixed.safetensors")
    boltz.dbm([25, 3, 2]).save("deep.safetensors")
    generator = np.random.default_rng(0)
    for name, units in (("m", 3), ("wide", 40)):
        side = 25 if units == 3 else 40
        boltz.from_arrays([generator.normal(size=(side, units))], [np.zeros(side), np.zeros(units)]).save(
            f"{name}.safetensors"
        )


@pytest.mark.parametrize(("words", "sentence"), CASES, ids=[" ".join(map(str, words))[:60] for words, _ in CASES])
@pytest.mark.parametrize("output", [(), ("--json",)], ids=["text", "json"])
def test_bad_usage_ends_with_code_2(words: tuple[object, ...], sentence: str, output: tuple[str, ...]) -> None:
    before = sorted(Path().rglob("*"))
    found = invoke(*words, *(output if words != ("fly",) else ()))
    assert found.exit_code == 2 and found.stdout == ""
    assert sentence in found.stderr and found.stderr.splitlines()[-1].startswith("Error: ")
    assert [p for p in Path().rglob("*") if p.name != run_folder.LOCK and p not in before] == []


def test_a_folder_that_is_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZ_DATA", "file")
    found = invoke("data")
    assert found.exit_code == 2 and "BOLTZ_DATA" in found.stderr


def test_a_number_of_threads_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZ_NUM_THREADS", "many")
    monkeypatch.setattr("boltz.parallel._settings", {})
    found = invoke("sample", "m.safetensors", "--sweeps", 1)
    assert found.exit_code == 2 and "BOLTZ_NUM_THREADS" in found.stderr
