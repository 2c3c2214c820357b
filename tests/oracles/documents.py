"""Exact answers for small machines of documents: plain sums over every sequence of words and every hidden state.

A document is a sequence of length words out of a vocabulary, E = -sum_i (b + W h)_(word i) - a.h. Counts are made of
sequences by counting, so that no multinomial coefficient enters. No arithmetic of boltz is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Documents:
    """Weights (words, hidden columns), both biases, the states of a hidden unit, and the length of documents."""

    weight: Floats
    words: Floats
    hidden: Floats
    states: Sequence[Any]
    length: int

    @cached_property
    def sequences(self) -> NDArray[np.int64]:
        """Every document as words in their order, (documents, length)."""
        return np.array(list(itertools.product(range(len(self.words)), repeat=self.length)), np.int64)

    @cached_property
    def hidden_states(self) -> Floats:
        """Every state of the hidden layer, (states, columns)."""
        table = np.array(self.states, np.float64).reshape(len(self.states), -1)
        units = len(self.hidden) // table.shape[1]
        return np.array([np.concatenate(each) for each in itertools.product(table, repeat=units)])

    @cached_property
    def log_joint(self) -> Floats:
        """-E of every sequence and hidden state, (documents, states)."""
        fields = self.words + self.hidden_states @ self.weight.T
        return fields[:, self.sequences].sum(axis=2).T + self.hidden_states @ self.hidden

    @property
    def log_z(self) -> float:
        """Log of the sum of exp(-E), nats."""
        return float(logsumexp(self.log_joint))

    @cached_property
    def counted(self) -> tuple[Floats, NDArray[np.int64]]:
        """Every count vector (vectors, words), and the number of that of each sequence."""
        each = np.array([np.bincount(s, minlength=len(self.words)) for s in self.sequences])
        vectors, numbers = np.unique(each, axis=0, return_inverse=True)
        return vectors.astype(np.float64), numbers.reshape(-1)

    @cached_property
    def law(self) -> Floats:
        """Probability of each count vector together with each hidden state, (vectors, states)."""
        vectors, numbers = self.counted
        found = np.zeros((len(vectors), len(self.hidden_states)))
        np.add.at(found, numbers, softmax(self.log_joint))
        return found

    def number_of(self, row: Any) -> int:
        """The number of a count vector."""
        return int(np.flatnonzero((self.counted[0] == row).all(axis=1))[0])

    def log_p(self, row: Any) -> float:
        """log p of a count vector given its length, nats."""
        return float(np.log(self.law[self.number_of(row)].sum()))

    def log_p_of_words(self, row: Any) -> float:
        """log p of the words of a count vector in any one order, nats."""
        first = int(np.flatnonzero(self.counted[1] == self.number_of(row))[0])
        return float(logsumexp(self.log_joint[first]) - self.log_z)

    def moments(self, law: Floats | None = None) -> dict[str, Floats]:
        """Mean v h^T, v and h under a law of count vectors and hidden states, the machine's own by default."""
        law = self.law if law is None else law
        vectors = self.counted[0]
        return {
            "edge/v-h1/weight": vectors.T @ law @ self.hidden_states,
            "layer/v/bias": law.sum(axis=1) @ vectors,
            "layer/h1/bias": law.sum(axis=0) @ self.hidden_states,
        }

    def gradient(self, row: Any) -> dict[str, Floats]:
        """Gradient of log p of a count vector by parameter name."""
        law = np.zeros_like(self.law)
        number = self.number_of(row)
        law[number] = self.law[number] / self.law[number].sum()
        model = self.moments()
        return {name: x - model[name] for name, x in self.moments(law).items()}

    def bound(self, words: Floats, hidden: Floats) -> float:
        """E_q[-E] + entropy of q (nats): all words drawn from one law (words,), hidden states from a law (states,)."""
        log_q = np.log(words)[self.sequences].sum(axis=1)
        q = np.exp(log_q)[:, None] * hidden
        return float((q * (self.log_joint - log_q[:, None] - np.log(hidden))).sum())
