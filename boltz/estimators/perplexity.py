"""Perplexity of documents: how many words a machine wavers between at each word, and what single words alone do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import html
from boltz.errors import InputError
from boltz.estimators.estimate import FLIPPED, Estimate, Kind
from boltz.estimators.likelihood import log_likelihood
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.models.documents import lengths_of, log_frequencies
from boltz.models.files import visible_rows
from boltz.units.counts import log_coefficients

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of documents per word, of the words in their order: without multinomial coefficients.

    - by_document: exp(-mean over documents of log p(words) / length), as in Salakhutdinov & Hinton (2009).
    - by_corpus: exp(-sum of log p(words) / number of all words), in which long documents count for more.
    - unigram_by_document, unigram_by_corpus: the same of the word frequencies of training documents, None without them.
    - documents, words: how many there are.
    - kind: on which side it errs; an annealed log Z, a lower bound, makes the perplexity one, too.
    - log_likelihood: that of the counts of each document, with coefficients, in nats.
    """

    by_document: float
    by_corpus: float
    unigram_by_document: float | None
    unigram_by_corpus: float | None
    documents: int
    words: int
    kind: Kind
    log_likelihood: Estimate

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against it, in words."""
        return self.log_likelihood.doubts

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.doubts

    def _lines(self) -> list[tuple[str, str]]:
        """What it says, by name."""
        pairs = (self.by_document, self.unigram_by_document), (self.by_corpus, self.unigram_by_corpus)
        told = [_beside(value, unigram) for value, unigram in pairs]
        doubts = [("NOT trusted", "; ".join(self.doubts))] if self.doubts else []
        return [
            ("by document", told[0]),
            ("by corpus", told[1]),
            ("documents, words", f"{self.documents:,}, {self.words:,}"),
            ("kind", self.kind),
            *doubts,
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self._lines())

    def __repr__(self) -> str:
        trust = "trusted" if self.trusted else "NOT trusted"
        return f"Perplexity({self.by_document:.1f} by document, {self.by_corpus:.1f} by corpus, {self.kind}, {trust})"

    def _repr_html_(self) -> str:
        return html.table(self._lines(), caption="perplexity per word")


def _beside(value: float, unigram: float | None) -> str:
    """A perplexity, and its share of that of single words, in words."""
    return f"{value:.1f}" if unigram is None else f"{value:.1f}, {value / unigram:.3f} of the unigram's {unigram:.1f}"


def perplexity(
    model: BoltzmannMachine,
    x: Any,
    train: Any = None,
    log_z: Estimate | float | Mapping[int, Estimate | float] | None = None,
    seed: int = 0,
) -> Perplexity:
    """Perplexity per word of documents x (rows, words), counts of words, under a machine with visible units of counts.

    The words of a document count in their order, given its length: log p(words) is log p(counts) less the log of the
    multinomial coefficient. train: training documents (rows, words), whose word frequencies are the unigram baseline.
    log_z as in boltz.log_likelihood: a document of each length has its own log Z. Raises InputError.
    """
    model = checked_model(model, any_units=True)
    if not model.layers[0].type.joint:
        raise InputError(f"model must have visible units of kind counts for this, got {model.layers[0].kind}.")
    rows = visible_rows(model.to("cpu").astype(np.float64), x)
    found = log_likelihood(model, rows, log_z, seed=seed)
    assert found.per_row is not None
    lengths = lengths_of(rows)
    both = _perplexities(found.per_row - log_coefficients(rows), lengths)
    unigram: tuple[float | None, float | None] = None, None
    if train is not None:
        unigram = _perplexities(rows @ log_frequencies(train, model.layers[0], "train"), lengths)
    return Perplexity(*both, *unigram, len(rows), int(lengths.sum()), FLIPPED[found.kind], found)


def _perplexities(log_p: Floats, lengths: NDArray[np.int64]) -> tuple[float, float]:
    """By document and by corpus, of log p (rows,) of documents of so many words (rows,)."""
    return float(np.exp(-np.mean(log_p / lengths))), float(np.exp(-log_p.sum() / lengths.sum()))
