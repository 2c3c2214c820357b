"""Documents under a machine of counts: their perplexity beside that of single words, or why it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boltz.data import Data, load
from boltz.data.dataset import only
from boltz.data.readers import words_of as vocabulary_of
from boltz.errors import BoltzError, InputError
from boltz.estimators.document_lengths import CHAINS, MOST_LENGTHS, TEMPERATURES
from boltz.estimators.exact import quick
from boltz.estimators.perplexity import Perplexity, perplexity
from boltz.evaluation.beside import training_rows
from boltz.evaluation.rows import Measured
from boltz.evaluation.trained import Trained
from boltz.foreign import shown
from boltz.models.documents import by_length
from boltz.models.files import Model
from boltz.training.description import RunDescription, description_at

IDLE = ("method", "samples", "bounds", "row_chains", "row_betas", "chains", "betas", "error", "budget")
ANNEALED = f"annealed by {CHAINS} chains over {TEMPERATURES:,} temperatures"
FEW = 10  # lengths that are named
FEWER = 20  # hidden units whose states are enumerated


def are_documents(model: Model) -> bool:
    """Whether the visible units of a machine are counts of words."""
    return model.layers[0].type.joint


def refuse_ways(names: Set[str], word: Callable[[str], str]) -> None:
    """Raise InputError for options on log Z and on bounds, which documents do without."""
    for name in IDLE:
        if name in names:
            raise InputError(
                f"{word(name)} would do nothing: log Z of documents is exact for each length, or {ANNEALED}."
            )


def too_many(model: Model, x: Any) -> str:
    """Why log Z of the lengths of documents x (rows, words) cannot be had, in a sentence; empty where it can."""
    machine = model.undirected
    lengths = by_length(x)
    if machine is None or len(lengths) <= MOST_LENGTHS or quick(machine):
        return ""
    common = sorted(map(len, lengths.values()), reverse=True)[:MOST_LENGTHS]
    return (
        f"log Z depends on the length of a document, and these have {len(lengths):,} lengths, more than the "
        f"{MOST_LENGTHS} that are annealed one by one: measure those of the most common lengths with boltz evaluate "
        f"--lengths {MOST_LENGTHS} ({sum(common) / len(x):.0%} of the rows), or train at most {FEWER} hidden units, "
        "for which log Z is exact."
    )


def of_common_lengths(rows: Measured, count: int) -> tuple[Measured, str]:
    """The documents of the most common lengths, so many, and what is to be said of them."""
    groups = sorted(by_length(rows.x).items(), key=lambda group: (-len(group[1]), group[0]))[:count]
    numbers, lengths = np.sort(np.concatenate([found for _, found in groups])), sorted(n for n, _ in groups)
    listed = ", ".join(map(str, lengths)) if len(lengths) <= FEW else f"{lengths[0]:,} to {lengths[-1]:,}"
    told = (
        f"{len(numbers):,} of {len(rows.x):,} documents are measured, those of the most common "
        f"{'lengths' if len(groups) > 1 else 'length'}, {listed} words."
    )
    return replace(rows, x=rows.x[numbers], data=only(rows.data, numbers)), told


def words_of_run(path: Path, model: Model) -> tuple[str, ...]:
    """The words of the columns of a run's training rows, none where they are not known or do not fit."""
    own = description_at(path).learnt.load
    try:
        words = vocabulary_of(Path(own["vocabulary"])) if own.get("vocabulary") else load(**own).columns if own else ()
    except (BoltzError, TypeError):
        return ()
    return words if len(words) == model.layers[0].units else ()


def documents(found: Trained, data: Data, x: Any, seed: int, train: Data | None = None) -> Perplexity:
    """Perplexity of documents x (rows, words) of data, beside that of the words of the training rows where these are
    known; raises InputError where log Z cannot be had.
    """
    why = too_many(found.model, x)
    if why:
        raise InputError(f"The perplexity cannot be measured: {why}")
    machine = found.model.undirected
    assert machine is not None
    return perplexity(machine, x, train=_words(data, found.run) if train is None else train, seed=seed)


def _words(data: Data, run: RunDescription) -> Data | None:
    """The training rows of a run, None where they are not known."""
    try:
        rows = training_rows(data, run)
    except BoltzError:
        return None
    return None if rows is None or rows.x.shape[1] != data.x.shape[1] else rows


def word_lines(found: Perplexity) -> list[str]:
    """Both perplexities as lines of text, and how many documents and words they are of."""
    pairs = {
        "by document": (found.by_document, found.unigram_by_document),
        "by corpus": (found.by_corpus, found.unigram_by_corpus),
    }
    told = [f"perplexity per word, {name}: {beside(*pair)}" for name, pair in pairs.items()]
    return [*told, f"of {found.documents:,} documents, {found.words:,} words"]


def beside(value: float, unigram: float | None) -> str:
    """A perplexity and that of single words, in words."""
    return f"{value:.1f}" if unigram is None else f"{value:.1f}, of single words (unigram) {unigram:.1f}"


def verdict_of_words(found: Perplexity) -> str:
    """How a machine stands beside single words, in a sentence."""
    if found.unigram_by_corpus is None:
        return "It is not compared with single words, since its training rows are not known."
    share = found.by_corpus / found.unigram_by_corpus
    if share >= 1:
        return "The machine tells words no better than their frequencies alone do: it has not learnt which go together."
    bound = "" if found.kind == "exact" else " or more, as an annealed log Z flatters it"
    return f"By corpus its perplexity is {share:.3f} of that of single words{bound}."


def word_entries(found: Perplexity) -> dict[str, Any]:
    """Plain values for JSON."""
    names = ("by_document", "by_corpus", "unigram_by_document", "unigram_by_corpus", "documents", "words", "kind")
    return {**{name: getattr(found, name) for name in names}, "doubts": list(map(shown, found.doubts))}
