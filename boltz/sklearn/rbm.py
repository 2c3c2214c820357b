"""BernoulliRBM with the interface of scikit-learn's, trained by boltz."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from boltz import checks
from boltz.data.sparse import is_sparse
from boltz.errors import NumericalError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.builders import from_arrays
from boltz.numerics import softplus
from boltz.parallel import team, workers
from boltz.rng import Key
from boltz.sklearn.learning import Learner, Passes
from boltz.sklearn.parameters import drawn_seed, generator
from boltz.sklearn.rows import (
    FLOATS,
    at_means,
    base_rate_biases,
    blocks,
    checked,
    checked_features,
    dense,
    field,
    row_numbers,
    warn_of_grey,
    whole_rows,
)
from boltz.sklearn.scoring import log_marginal, log_z

Array = NDArray[Any]
BETAS = 1000


class BernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A restricted Boltzmann machine of binary units, trained by persistent contrastive divergence (Tieleman 2008).

    Its defaults are those of scikit-learn: ten passes at the constant rate 0.1. What fit keeps is the average of the
    parameters over the last 30 % of the steps, without which many tables end worse than independent units.
    RBMTransformer has the defaults of boltz.train.

    It takes the place of sklearn.neural_network.BernoulliRBM: the same parameters, attributes and methods, and rows
    (rows, n_features) of numbers in [0, 1], or any others with a warning, dense or sparse. n_jobs is the number of
    threads: None for that of boltz, -1 for all cores; results do not depend on it. missing "infer": NaN in X is a unit
    that is not known, put at its mean-field mean given the others, and in fit at the mean of its column. Gradients are
    made in float32 and added up in float64. Visible biases start at the logits of the mean of the first rows, so that
    rare units do not drive all hidden units one way. What is wrong with an argument is said by a ValueError.
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        verbose: int = 0,
        random_state: Any = None,
        n_jobs: int | None = None,
        missing: str = "error",
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.missing = missing

    def fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Learn from rows X (rows, n_features), in their order, n_iter times; y is ignored.

        What is kept is the average of the parameters over the last 30 % of the steps (Polyak & Juditsky 1992).
        """
        rate, count = self._checked(), checks.integer(self.n_iter, "n_iter", 0, 10**9)
        X = at_means(checked(self, X, True))
        rng = generator(self.random_state)
        for name in ("components_", "intercept_hidden_", "intercept_visible_", "h_samples_"):
            self.__dict__.pop(name, None)
        self._begin(X, rng)
        with team(self.n_jobs), workers() as pool:
            learner = Learner(self.machine_, self.h_samples_, _key(rng), pool)
            passes = Passes(learner, X, self.batch_size, rate, count)
            for iteration in range(1, count + 1):
                begin = time.perf_counter()
                passes.run()
                self._take(learner)
                if self.verbose:
                    self._report(X, iteration, time.perf_counter() - begin)
            passes.settle()
            self._take(learner)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Learn from rows X (rows, n_features) as one batch, from where the machine stands; y is ignored."""
        rate = self._checked()
        X = at_means(checked(self, X, not hasattr(self, "components_")))
        rng = self._generator()
        self._begin(X, rng)
        with team(self.n_jobs), workers() as pool:
            learner = Learner(self.machine_, self.h_samples_, _key(rng), pool)
            learner.learn(dense(X), rate)
        self._take(learner)
        return self

    def transform(self, X: Any) -> Array:
        """Probabilities (rows, n_components) that hidden units are on, given rows X (rows, n_features)."""
        return self._mean_hiddens(self._whole(self._rows(X)))

    def inverse_transform(self, X: Any) -> Array:
        """Probabilities (rows, n_features) that visible units are on, given features X (rows, n_components)."""
        check_is_fitted(self)
        weight, visible, _ = self._parameters()
        X = checked_features(self, X, weight.shape[1])
        down, bias = (np.ascontiguousarray(x, X.dtype) for x in (weight.T, visible))
        return field(X, down, bias, self.n_jobs, lambda part: expit(part, out=part))

    def gibbs(self, v: Any) -> Array:
        """One step of a Gibbs chain from visible rows v (rows, n_features): hidden units, then visible ones (bool).

        One row (n_features,) gives one row.
        """
        single = not is_sparse(v) and np.ndim(v) == 1
        rows, rng = self._whole(self._rows([v] if single else v)), self._generator()
        found = self._sample_visibles(self._sample_hiddens(rows, rng), rng)
        return found[0] if single else found

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """The pseudo-likelihood (rows,) of rows X (rows, n_features), in nats, by one unit of each (Besag 1975).

        Which unit it is follows from random_state and the numbers in the row, whatever rows stand beside it: equal rows
        have the same one. A pseudo-likelihood only for rows of 0 and 1 that are wholly known: one with NaN counts as if
        seen with the values filled in.
        """
        given = self._rows(X)
        warn_of_grey(given)
        return self._pseudo(given)

    def _pseudo(self, given: Any) -> NDArray[np.float64]:
        """score_samples of checked rows."""
        X, units = self._whole(given), given.shape[1]
        chosen = (row_numbers(given, drawn_seed(self.random_state)) % np.uint64(units)).astype(np.int64)
        weight, visible, hidden = (np.asarray(x, np.float64) for x in self._parameters())
        found = np.empty(X.shape[0])
        for rows in blocks(X):
            x, unit = dense(X[rows]).astype(np.float64), chosen[rows]
            change = 1 - 2 * x[np.arange(len(x)), unit]  # of the unit when it is flipped
            inputs = field(x, weight, hidden, self.n_jobs, lambda part: None)
            other = softplus(inputs + change[:, None] * weight[unit]) - softplus(inputs)
            found[rows] = units * log_expit(-(change * visible[unit] + other.sum(axis=1)))
        return found

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-likelihood of rows X (rows, n_features) in nats, as boltz.log_likelihood has it; y is ignored.

        Exact but for log Z, which each call computes anew: by enumeration where there are at most 20 visible or hidden
        units, else by annealing 100 chains over 1,000 temperatures, with one seed (boltz.ais). A likelihood only for
        rows of 0 and 1 that are wholly known. score_samples is the pseudo-likelihood, as in scikit-learn, not this.
        """
        X, machine = self._rows(X), self.machine_
        warn_of_grey(X)
        X = self._whole(X)
        with team(self.n_jobs):
            each = (dense(X[block]).astype(machine.dtype) for block in blocks(X))
            found = np.concatenate([log_marginal(machine, rows) for rows in each])
            return float(found.mean()) - log_z(machine, BETAS)

    @property
    def machine_(self) -> BoltzmannMachine:
        """The machine as boltz knows it, a copy: for likelihoods (boltz.log_z), samples and files."""
        check_is_fitted(self)
        weight, visible, hidden = self._parameters()
        return from_arrays([weight], [visible, hidden])

    def _checked(self) -> float:
        """The learning rate, where all settings are what they must be."""
        checks.integer(self.n_components, "n_components", 1, 10**7)
        checks.integer(self.batch_size, "batch_size", 1, 10**9)
        return checks.number(self.learning_rate, "learning_rate", 0, 1e6)

    def _rows(self, X: Any) -> Any:
        """Rows X as scikit-learn checks them, beside parameters that fit them, which may have been set by hand."""
        check_is_fitted(self)
        X = checked(self, X, False)
        self._parameters(X.shape[1])
        return X

    def _whole(self, X: Any) -> Any:
        """Checked rows with unknown units filled in."""
        if is_sparse(X) or not np.isnan(X).any():
            return X
        with team(self.n_jobs):
            machine = self.machine_
            return whole_rows(machine, X.astype(machine.dtype)).astype(X.dtype)

    def _generator(self) -> np.random.RandomState:
        """The generator that partial_fit and gibbs go on with."""
        if not hasattr(self, "random_state_"):
            self.random_state_ = generator(self.random_state)
        return self.random_state_

    def _begin(self, X: Any, rng: np.random.RandomState) -> None:
        """Give the machine what it lacks: small random weights, visible biases of base rates, chains of zeros."""
        if not hasattr(self, "components_"):
            weights = rng.normal(0, 0.01, (self.n_components, X.shape[1])).astype(np.float32)  # alike for both types
            self.components_ = np.asarray(weights, X.dtype, order="F")
        weight = checks.numbers(self.components_, "components_", (None, X.shape[1]))
        kind = weight.dtype if weight.dtype in FLOATS else np.dtype(np.float64)
        self.components_, self._n_features_out = weight.astype(kind, order="F", copy=False), len(weight)
        if not hasattr(self, "intercept_hidden_"):
            self.intercept_hidden_ = np.zeros(self._n_features_out, kind)
        if not hasattr(self, "intercept_visible_"):
            self.intercept_visible_ = base_rate_biases(X).astype(kind)
        if not hasattr(self, "h_samples_"):
            self.h_samples_ = np.zeros((self.batch_size, self._n_features_out), kind)
        checks.numbers(self.h_samples_, "h_samples_", (None, self._n_features_out))

    def _take(self, learner: Learner) -> None:
        """What was learned; raises NumericalError."""
        kind = self.components_.dtype
        with np.errstate(over="ignore"):
            found = learner.machine.arena.astype(kind)
        if not np.isfinite(found).all():
            raise NumericalError("Training stopped: the parameters are not finite; try a smaller learning_rate.")
        named = learner.machine.views(found)
        self.components_ = named["edge/v-h1/weight"].T
        self.intercept_visible_, self.intercept_hidden_ = (named[f"layer/{layer}/bias"] for layer in ("v", "h1"))
        self.h_samples_ = learner.hidden.astype(kind)

    def _parameters(self, features: int | None = None) -> tuple[Array, Array, Array]:
        """Weights (n_features, n_components), visible and hidden biases; raises InputError."""
        weight = checks.numbers(self.components_, "components_", (None, features)).T
        visible = checks.numbers(self.intercept_visible_, "intercept_visible_", weight.shape[:1])
        return weight, visible, checks.numbers(self.intercept_hidden_, "intercept_hidden_", weight.shape[1:])

    def _report(self, X: Any, iteration: int, seconds: float) -> None:
        score = self._pseudo(self._rows(X)).mean()
        name = type(self).__name__
        print(f"[{name}] Iteration {iteration}, pseudo-likelihood = {score:.2f}, time = {seconds:.2f}s")

    def _mean_hiddens(self, v: Any) -> Array:
        """Probabilities (rows, n_components) of hidden units, or (n_components,) for one row (n_features,)."""
        if v.ndim == 1:
            return self._mean_hiddens(v[None])[0]
        kind = v.dtype if v.dtype in FLOATS else np.float64
        weight, _, hidden = (x.astype(kind, copy=False) for x in self._parameters())
        return field(v.astype(kind, copy=False), weight, hidden, self.n_jobs, lambda part: expit(part, out=part))

    def _sample_hiddens(self, v: Any, rng: np.random.RandomState) -> Array:
        """Hidden units (rows, n_components), bool, drawn given visible ones."""
        mean = self._mean_hiddens(v)
        return rng.uniform(size=mean.shape) < mean

    def _sample_visibles(self, h: Any, rng: np.random.RandomState) -> Array:
        """Visible units (rows, n_features), bool, drawn given hidden ones."""
        weight, visible, _ = self._parameters()
        mean = expit(np.asarray(h, weight.dtype) @ weight.T + visible)
        return rng.uniform(size=mean.shape) < mean

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "infer"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _key(rng: np.random.RandomState) -> Key:
    return Key.from_seed(drawn_seed(rng))
