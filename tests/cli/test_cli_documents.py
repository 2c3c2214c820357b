"""Catches commands that read, train, measure or write documents wrongly, and words that change columns on the way."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from checks.count_files import lines
from support.commands import invoke, result_of

import boltz

WORDS = ("ham", "eggs", "spam", "sea", "ship", "sail", "class", "y")
TRAIN, TEST, UNITS = 80, 24, 4
PLAIN = ("--layers", UNITS, "--epochs", 3, "--batch-size", 20)


@pytest.fixture(autouse=True)
def files(alone: Path) -> None:
    rng = np.random.default_rng(4)
    topics = np.array([[6, 6, 6, 1, 1, 1, 1, 1], [1, 1, 1, 6, 6, 6, 1, 1]])
    topics = topics / topics.sum(axis=1, keepdims=True)
    about = rng.integers(0, 2, TRAIN + TEST)
    lengths = rng.integers(5, 12, TRAIN + TEST)
    x = np.array([rng.multinomial(n, topics[k]) for n, k in zip(lengths, about, strict=True)])
    np.save("all.npy", x)
    for name, part, labels in (("train", x[:TRAIN], about[:TRAIN] + 10), ("test", x[TRAIN:], about[TRAIN:] + 10)):
        scipy.sparse.save_npz(f"{name}.npz", scipy.sparse.csr_matrix(part))
        np.save(f"{name}.npy", part)
        Path(f"{name}.txt").write_text(lines(part, WORDS))
        Path(f"{name}.svm").write_text(lines(part, WORDS, labels))
    Path("words").write_text("\n".join(WORDS) + "\n")


def rows(name: str) -> Any:
    return np.load(f"{name}.npy")


def train(out: str, *words: Any) -> Any:
    found = invoke("train", "rbm", "--units", "counts", *PLAIN, "--out", out, *words)
    assert found.exit_code == 0, found.stderr
    return found


def unigram(x: Any, of: Any) -> tuple[float, float]:
    """Perplexity by document and by corpus of single words, with one word of each added, summed word by word."""
    total = of.sum(axis=0) + 1.0
    log_p = x @ np.log(total / total.sum())
    return float(np.exp(-(log_p / x.sum(axis=1)).mean())), float(np.exp(-log_p.sum() / x.sum()))


def test_documents_from_training_to_evaluation() -> None:
    """The run keeps its units; what is printed at the end, and by evaluate, is boltz.perplexity beside the unigram."""
    words = ("--epochs", 150, "--learning-rate", 0.1)
    told = train("r", "--data", "train.npz", "--test", "test.npz", *words).stderr
    description = tomllib.loads(Path("r/run.toml").read_text())
    for entry in ("data", "test"):
        assert description[entry]["load"]["units"] == "counts"
    assert description["model"]["kinds"] == ["counts", "bernoulli"]
    model = boltz.load("r")
    wanted = boltz.perplexity(model, rows("test"), train=rows("train"))
    both = unigram(rows("test"), rows("train"))
    assert np.allclose(both, (wanted.unigram_by_document, wanted.unigram_by_corpus))
    found = result_of("evaluate", "r")
    kept = json.loads(Path("r/test.json").read_text())["test"]
    for entry in (found["perplexity"], kept["perplexity"]):
        for name in ("by_document", "by_corpus", "unigram_by_document", "unigram_by_corpus"):
            assert entry[name] == getattr(wanted, name)
        assert (entry["documents"], entry["words"], entry["kind"]) == (TEST, rows("test").sum(), "exact")
    assert found["log_likelihood"] == kept["log_likelihood"] == wanted.log_likelihood.as_dict()
    assert found["unit"] == "nats a document, of its counts"
    text = invoke("evaluate", "r").stdout
    for said in (told, text):
        assert f"perplexity per word, by document: {wanted.by_document:.1f}, of single words" in said
        assert (
            f"perplexity per word, by corpus: {wanted.by_corpus:.1f}, of single words (unigram) {both[1]:.1f}" in said
        )
        assert f"of {TEST} documents, {rows('test').sum():,} words" in said
        share = wanted.by_corpus / both[1]
        assert share < 1 and f"By corpus its perplexity is {share:.3f} of that of single words." in said
    assert f"perplexity {wanted.by_corpus:.1f} a word by corpus" in invoke("info", "r").stdout
    assert not Path("r/samples.png").exists() and "see filters.png and curves.png" in told
    assert np.array_equal(boltz.evaluate("r").perplexity.by_corpus, wanted.by_corpus)


def test_each_file_trains_the_same_machine() -> None:
    """Files of the same counts give the machine that the array gives, bit for bit."""
    x, found = rows("train"), []
    for i, name in enumerate(("train.npz", "train.npy", "train.txt", "train.svm")):
        vocabulary = ("--vocabulary", "words") if "npy" not in name else ()
        train(f"r{i}", "--data", name, *vocabulary, "--no-evaluate")
        found.append(boltz.load(f"r{i}"))
    settings = boltz.describe("r0").as_dict()["settings"]
    start = boltz.rbm(len(WORDS), UNITS, x, units="counts")
    run = boltz.train(start, x, **settings)
    assert not np.array_equal(run.model.visible_weights, start.visible_weights)
    for model in found:
        assert all(np.array_equal(model.params[n], run.model.params[n]) for n in model.params)


def test_a_run_of_words_reads_other_documents_by_its_words() -> None:
    """Test documents have fewer words, in another order, and one that is new: columns stay those of training."""
    train("r", "--data", "train.txt", "--test", "test.txt", "--no-evaluate")
    order = np.argsort(WORDS)
    Path("new.txt").write_text("spam:2 kraken:3 ham:1\nship:1\n")
    x = np.zeros((2, len(WORDS)), int)
    x[0, WORDS.index("spam")], x[0, WORDS.index("ham")], x[1, WORDS.index("ship")] = 2, 1, 1
    found = invoke("evaluate", "r", "--data", "new.txt")
    assert "1 words that are not in the vocabulary are left out ('kraken'), 42.86% of all" in found.stderr
    wanted = boltz.perplexity(boltz.load("r"), x[:, order], train=rows("train")[:, order])
    assert (
        f"by corpus: {wanted.by_corpus:.1f}, of single words (unigram) {wanted.unigram_by_corpus:.1f}" in found.stdout
    )
    Path("train.txt").rename("moved.txt")
    assert "train.txt does not exist" in invoke("evaluate", "r", "--data", "new.txt").stderr
    again = invoke("evaluate", "r", "--data", "new.txt", "--vocabulary", "moved.txt").stdout
    assert f"by corpus: {wanted.by_corpus:.1f}\n" in again and "its training rows are not known" in again
    for words in (("evaluate", "m.safetensors"), ("features", "m.safetensors")):
        boltz.load("r").save("m.safetensors")
        refused = invoke(*words, "--data", "new.txt")
        assert refused.exit_code == 2 and "does not say which column is which word" in refused.stderr


def test_words_beside_columns_without_names_are_refused() -> None:
    found = invoke(
        "train", "rbm", "--units", "counts", *PLAIN, "--data", "train.npz", "--test", "test.txt", "--out", "r"
    )
    assert found.exit_code == 2 and "the training data does not say which column is which word" in found.stderr
    train("r", "--data", "train.npz", "--test", "test.txt", "--vocabulary", "words")
    train("s", "--data", "train.npz", "--test", "test.npz")
    one, other = (json.loads(Path(f"{name}/test.json").read_text())["test"]["perplexity"] for name in "rs")
    assert one == other


def test_too_many_lengths_are_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond 20 hidden units log Z is annealed for each length: a run tells why not, and --lengths takes the common."""
    from boltz.estimators import document_lengths
    from boltz.evaluation import documents

    for module in (document_lengths, documents):
        monkeypatch.setattr(module, "MOST_LENGTHS", 2)
    train_words = ("--data", "train.npz", "--test", "test.npz", "--layers", 21)
    told = train("r", *train_words).stderr
    assert "The perplexity of the test rows is not measured: log Z depends on the length of a document" in told
    assert "boltz evaluate --lengths 2" in told and "at most 20 hidden units" in told
    refused = invoke("evaluate", "r")
    assert refused.exit_code == 2 and "these have 7 lengths, more than the 2 that are annealed" in refused.stderr
    lengths = rows("test").sum(axis=1)
    common = sorted(np.unique(lengths), key=lambda n: (-(lengths == n).sum(), n))[:2]
    few = rows("test")[np.isin(lengths, common)]
    found = result_of("evaluate", "r", "--lengths", 2)
    wanted = boltz.perplexity(boltz.load("r"), few, train=rows("train"))
    assert found["rows"] == len(few) and found["perplexity"]["by_corpus"] == wanted.by_corpus
    assert found["perplexity"]["kind"] == "lower"


def test_resumed_runs_of_documents_end_as_others() -> None:
    """A run of words that was stopped goes on with the same words."""
    words = ("--data", "train.txt", "--checkpoint-seconds", 0, "--no-evaluate")
    train("whole", *words)
    train("part", *words)
    (Path("part") / "model.safetensors").unlink()
    found = invoke("train", "--resume", "part")
    assert found.exit_code == 0, found.stderr
    one, other = boltz.load("whole"), boltz.load("part")
    assert all(np.array_equal(one.params[n], other.params[n]) for n in one.params)


def test_samples_and_features_of_documents() -> None:
    """Samples keep the lengths of documents, or have --length words, in columns that are called by the words."""
    train("r", "--data", "train.svm", "--no-evaluate")
    order = np.argsort(WORDS)
    for words, lengths in (((), {*rows("train").sum(axis=1)}), (("--length", 9), {9})):
        found = invoke("sample", "r", "--chains", 6, "--sweeps", 5, "--out", "s.csv", "--force", *words)
        assert found.exit_code == 0, found.stderr
        head, *table = csv.reader(Path("s.csv").read_text().splitlines())
        assert head == [WORDS[i] for i in order]
        drawn = np.array(table, int)
        assert len(drawn) == 6 and {*drawn.sum(axis=1)} <= lengths
    assert invoke("sample", "r", "--chains", 3, "--sweeps", 2, "--out", "s.npz").exit_code == 0
    assert np.load("s.npz")["v"].dtype == np.uint16
    assert invoke("features", "r", "--out", "f.npz").exit_code == 0
    kept = np.load("f.npz")
    assert np.array_equal(kept["features"], boltz.features(boltz.load("r"), rows("train")[:, order]))
    assert {*kept["labels"].tolist()} == {10, 11}
    told = invoke("report", "r", "--out", "page.html")
    assert told.exit_code == 0, told.stderr
    assert "Documents have no picture" in Path("page.html").read_text() and '"spam"' in Path("page.html").read_text()


def test_boltz_data_tells_of_documents() -> None:
    told = invoke("data", "train.txt", "--units", "counts").stdout
    lengths = rows("train").sum(axis=1)
    assert "train: 8 units, counts of words" in told
    assert f"{lengths.min()} to {lengths.max()} words each, {lengths.mean():.1f} on average" in told


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    # what is asked for: (words, a piece of the sentence)
    "completion": (("complete", "r", "--mask", "random:0.5"), "cannot be completed: one with an unknown count"),
    "diagnosis": (("diagnose", "r"), "documents of any length, which are not diagnosed, since chains keep"),
    "comparison": (
        ("compare", "r", "m.safetensors", "--data", "train.npz"),
        "Machines of documents of any length are not compared, as log Z",
    ),
    "temperatures": (("evaluate", "r", "--betas", 10), "--betas would do nothing: log Z of documents is exact for"),
    "a method": (("evaluate", "r", "--method", "raise"), "--method would do nothing: log Z of documents"),
    "along": (("evaluate", "r", "--along"), "--along is not of documents, whose log Z depends on their lengths"),
    "tempered samples": (("sample", "r", "--tempered"), "--tempered needs the length of documents"),
    "another start": (("sample", "r", "--start", "bias"), "--start bias needs the length of documents"),
    "no words": (("sample", "r", "--length", 0), "--length must be a whole number of at least 1"),
    "both starts": (("sample", "r", "--length", 5, "--start", "data"), "name one"),
    "lengths of others": (("evaluate", "b.safetensors", "--data", "bits.npy", "--lengths", 2), "--lengths is of docu"),
    "length of others": (("sample", "b.safetensors", "--length", 2), "--length is of documents of any length, but"),
    "minutes": (("train", "rbm", "--data", "train.npz", "--units", "counts", "--minutes", 1), "--minutes cannot plan"),
    "chains": (("train", "rbm", "--data", "train.npz", "--units", "counts", "--betas", 9), "--betas would do nothing"),
    "a vae": (("train", "vae", "--data", "train.npz", "--units", "counts"), "--units is an option of rbm, dbm and bm"),
    "no units": (("train", "rbm", "--data", "train.npz"), "units='counts' (--units counts)"),
    "words of bits": (("train", "rbm", "--data", "bits.npy", "--vocabulary", "words"), "names the words of counts"),
}


def test_what_documents_lack_is_refused_in_a_sentence() -> None:
    train("r", "--data", "train.npz", "--no-evaluate")
    np.save("bits.npy", rows("train").clip(0, 1))
    boltz.rbm(len(WORDS), 2).save("b.safetensors")
    boltz.load("r").save("m.safetensors")
    for what, (words, wanted) in REFUSED.items():
        found = invoke(*words)
        assert found.exit_code == 2 and wanted in found.stderr, (what, found.stderr)
        assert found.stderr.strip().splitlines()[-1].startswith("Error: "), what
