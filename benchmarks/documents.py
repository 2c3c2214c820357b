"""Held-out perplexity of a replicated softmax on word counts, beside single words and latent Dirichlet allocation.

The file has arrays indptr_PART, indices_PART and counts_PART, the rows of a sparse matrix, for the parts train and
test, and vocab. Only test documents of some lengths count, as each length has its own log Z, which is annealed: the
most common ones, or those named. The figure of latent Dirichlet allocation is a bound: its perplexity is at most that.

    python benchmarks/documents.py newsgroups20_counts.npz
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from scipy.special import digamma, gammaln

import boltz


def matrix(arrays: Any, part: str) -> scipy.sparse.csr_matrix:
    """Counts (documents, words) of a part."""
    counts, indices, indptr = (arrays[f"{name}_{part}"].astype(np.int32) for name in ("counts", "indices", "indptr"))
    return scipy.sparse.csr_matrix((counts, indices, indptr), shape=(len(indptr) - 1, len(arrays["vocab"])))


def bounds_of_topics(model: Any, x: scipy.sparse.csr_matrix) -> np.ndarray:
    """Lower bounds of log p of the words of documents (rows,) by the posterior of shares of topics that a fitted
    LatentDirichletAllocation finds, its topics held at their means (Blei, Ng & Jordan 2003, appendix A.3).
    """
    topics, alpha = model.components_ / model.components_.sum(axis=1, keepdims=True), model.doc_topic_prior_
    count, found = len(topics), np.empty(x.shape[0])
    shares = model.transform(x)
    for i, words in enumerate(x):
        gamma = shares[i] * (count * alpha + words.sum())
        log_theta = digamma(gamma) - digamma(gamma.sum())
        prior = gammaln(count * alpha) - count * gammaln(alpha) + (alpha - 1) * log_theta.sum()
        own = gammaln(gamma.sum()) - gammaln(gamma).sum() + (gamma - 1) @ log_theta
        found[i] = words.data @ np.log(np.exp(log_theta) @ topics[:, words.indices]) + prior - own
    return found


def trained(options: argparse.Namespace, train: scipy.sparse.csr_matrix) -> boltz.BoltzmannMachine:
    """The machine of a file, or one that is trained and saved there."""
    file = Path(options.model)
    if file.exists():
        return boltz.load(file)
    model = boltz.rbm(train.shape[1], options.hidden, train, options.seed, units="counts")
    began = time.perf_counter()
    run = boltz.train(
        model,
        train,
        rule="cd",
        k="1:5",
        batch_size=128,
        epochs=options.epochs,
        learning_rate=options.rate,
        center=False,
        seed=options.seed,
    )
    print(f"trained for {options.epochs} epochs in {time.perf_counter() - began:.1f} s")
    run.model.save(file)
    return run.model


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--model", default="documents.safetensors", help="machine to measure, or where to keep it")
    parser.add_argument("--hidden", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lengths", type=int, nargs="+", help="of test documents; by default the 10 most common ones")
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--temperatures", type=int, default=1000)
    parser.add_argument("--topics", type=int, default=0, help="of latent Dirichlet allocation; 0: none")
    options = parser.parse_args(arguments)
    boltz.threads(1)
    with np.load(options.data) as arrays:
        train, test, vocab = matrix(arrays, "train"), matrix(arrays, "test"), arrays["vocab"]
    model = trained(options, train)
    words = np.asarray(test.sum(axis=1)).ravel()
    values, counts = np.unique(words, return_counts=True)
    lengths = options.lengths or [int(n) for n in values[np.argsort(-counts, kind="stable")[:10]]]
    log_z: dict[int, boltz.Estimate] = {}
    for n in lengths:
        began = time.perf_counter()
        log_z[n] = boltz.ais(model.of_length(n), options.chains, options.temperatures, options.seed)
        print(f"{n} words: log Z {log_z[n]} ({time.perf_counter() - began:.0f} s)", flush=True)
    rows = np.flatnonzero(np.isin(words, lengths))
    print(boltz.perplexity(model, test[rows], train, log_z))
    for unit in np.argsort(-np.linalg.norm(model.visible_weights, axis=0))[:10]:
        print(f"unit {unit}: {' '.join(vocab[np.argsort(-model.visible_weights[:, unit])[:8]])}")
    if options.topics:
        from sklearn.decomposition import LatentDirichletAllocation

        began = time.perf_counter()
        lda = LatentDirichletAllocation(
            options.topics, doc_topic_prior=0.1, topic_word_prior=0.1, max_iter=15, random_state=options.seed
        )
        log_p, each = bounds_of_topics(lda.fit(train), test[rows]), words[rows]
        both = np.exp(-np.mean(log_p / each)), np.exp(-log_p.sum() / each.sum())
        print(
            f"topics, bound: {both[0]:.1f} by document, {both[1]:.1f} by corpus ({time.perf_counter() - began:.0f} s)"
        )


if __name__ == "__main__":
    main()
