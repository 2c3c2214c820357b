"""What estimators of deep machines have in common: rows that become data, training, features, likelihoods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from boltz import checks
from boltz.data import Data
from boltz.data.from_arrays import given as data_given
from boltz.errors import InputError
from boltz.models.blueprint import blueprint, kind_of
from boltz.models.files import Model, inside
from boltz.models.graph import MOST_LAYERS
from boltz.parallel import team
from boltz.presets import preset_for
from boltz.sampling.features import feature_layers, side_by_side
from boltz.sampling.temperatures import check_betas
from boltz.sklearn.parameters import drawn_seed
from boltz.sklearn.rows import at_means, blocks, checked, dense, row_numbers, whole_rows
from boltz.sklearn.scoring import log_marginal, log_z
from boltz.training.train import Run, train

Array = NDArray[Any]
Block = tuple[slice, Array, Array]
T = TypeVar("T", bound="MachineTransformer")


class DeepMachine(BaseEstimator, ABC):
    """An estimator around a machine of boltz: how rows reach it.

    A subclass names its settings of training and says how its machine is built.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ()
    FOLLOWS: ClassVar[tuple[str, ...]] = ()  # settings that follow the number of rows where they are None

    @abstractmethod
    def _build(self, units: int, rows: Array, seed: int) -> Model:
        """The machine before training; rows are some of the data."""

    def _sizes(self) -> list[int]:
        """The units of two hidden layers or more."""
        listed = checks.sequence(self.layers, "layers", MOST_LAYERS - 1)
        sizes = [checks.integer(n, f"layers[{i}]", 1, 10**7) for i, n in enumerate(listed)]
        if len(sizes) < 2:
            raise InputError(f"layers must name at least two hidden layers, got {sizes}.")
        return sizes

    def _settings(self) -> dict[str, Any]:
        """The settings of training by name."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    def _new(self, X: Any, seed: int) -> Model:
        """The machine before training on rows X (rows, n_features)."""
        rows = np.asarray(dense(checks.initial_rows(X)))
        if getattr(self, "visible", "bernoulli") == "bernoulli":
            rows = np.clip(rows, 0, 1)
        return self._build(X.shape[1], rows, seed)

    def _data(self, X: Any) -> Data:
        """Rows as boltz.train takes them: any real numbers where they are not binarised."""
        return data_given(X, "X", X.shape[1], real=self.binarize == "none")

    def _train(self, machine: Model, data: Data, seed: int) -> Run:
        """A trained copy of a machine, with what follows the rows from boltz.presets; says how it goes if verbose."""
        chosen = self._settings()
        open_ = [name for name in self.FOLLOWS if chosen[name] is None]
        if open_:
            batch = chosen["batch_size"]
            batch = None if batch is None else checks.integer(batch, "batch_size", 1, 10**9)
            ours = preset_for(kind_of(blueprint(machine)), len(data.x), data.x.shape[1], batch, held_out=False)
            judges = ("patience", "validation") if "epochs" in open_ else ()
            chosen |= {name: ours[name] for name in (*open_, *judges)}
        with team(self.n_jobs):
            return train(machine, data, watch=self._watch if self.verbose else None, seed=seed, **chosen)

    def _watch(self, record: dict[str, Any]) -> None:
        numbers = (f"{name} = {x:.3g}" for name, x in record.items() if isinstance(x, float) and name != "seconds")
        place = f"{record['stage']}, epoch {record['epoch']} of {record['epochs']}"
        print(f"[{type(self).__name__}] {place}: {', '.join(numbers)}")

    def _blocks(self, X: Any, model: Model) -> Iterator[Block]:
        """The rows in the machine's type, a block at a time: as they are given, and with unknown units filled in."""
        for block in blocks(X):
            rows = self._data_rows(dense(X[block]))
            seen = np.ascontiguousarray(inside(model, rows))
            yield block, rows.astype(model.dtype, copy=False), whole_rows(model, seen)

    def _data_rows(self, rows: Array) -> Array:
        """Dense rows, cut at 0.5 where training does so."""
        if self.binarize != "threshold":
            return rows
        return np.where(np.isnan(rows), rows, rows >= 0.5)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "infer"
        return tags


class MachineTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DeepMachine):
    """A machine that learns without labels, whose hidden layers are features."""

    def fit(self: T, X: Any, y: Any = None) -> T:
        """Train on rows X (rows, n_features), dense or sparse; y is ignored. Raises ValueError, NumericalError."""
        X = at_means(checked(self, X, True))
        seed = drawn_seed(self.random_state)
        self._evaluation_samples()
        if hasattr(self, "betas"):
            check_betas(self.betas)
        machine = self._new(X, seed)
        feature_layers(machine, self.layer)  # what is wrong with the choice is said before the training
        run = self._train(machine, self._data(X), seed)
        self.model_, self.history_ = run.model, run.history
        return self

    def transform(self, X: Any) -> Array:
        """Posterior means (rows, units) of the chosen hidden layers, in the floating type of X."""
        check_is_fitted(self)
        X = checked(self, X, False)
        names = feature_layers(self.model_, self.layer)
        found = np.empty((X.shape[0], self._n_features_out), X.dtype)
        with team(self.n_jobs):
            for block, _, rows in self._blocks(X, self.model_):
                found[block] = side_by_side(self.model_, rows, names)
        return found

    @property
    def _n_features_out(self) -> int:
        """Units of the chosen hidden layers; layer may be another one than in fit."""
        return sum(self.model_.units[name] for name in feature_layers(self.model_, self.layer))

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Lower bounds (rows,) on the log-likelihood of rows X (rows, n_features), in nats, if log Z is right.

        A likelihood only for rows of 0 and 1 that are wholly known, of any known numbers where visible is "gaussian":
        unknown units count as if they were seen at the values filled in, which is no bound on the likelihood of the
        known ones, and the log Z of binary units says nothing of other numbers. log Z is computed anew in each call,
        with one seed. A row's value does not depend on the other rows; equal rows have the same samples.
        """
        check_is_fitted(self)
        X = checked(self, X, False)
        samples = self._evaluation_samples()
        found = np.empty(X.shape[0])
        with team(self.n_jobs):
            for block, given, rows in self._blocks(X, self.model_):
                found[block] = log_marginal(self.model_, rows, row_numbers(given, 0), samples)
            return found - log_z(self.model_, getattr(self, "betas", None))

    def _evaluation_samples(self) -> int:
        return checks.integer(getattr(self, "evaluation_samples", 1), "evaluation_samples", 1, 10**6)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of score_samples; y is ignored."""
        return float(self.score_samples(X).mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
