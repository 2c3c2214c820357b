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
from boltz.data.from_arrays import as_data
from boltz.data.from_arrays import given as data_given
from boltz.errors import InputError
from boltz.models.files import Model, log_units
from boltz.models.graph import MOST_LAYERS, Layer
from boltz.parallel import team
from boltz.presets import preset_for, with_units
from boltz.sampling.decoding import decoded
from boltz.sampling.features import feature_layers, side_by_side
from boltz.sampling.temperatures import check_betas
from boltz.sklearn.parameters import drawn_seed, generator, visible_kind
from boltz.sklearn.rows import at_means, blocks, checked, checked_features, dense, row_numbers, seen_rows, warn_of_grey
from boltz.sklearn.scoring import log_marginal, log_z
from boltz.training.stages import settings_of
from boltz.training.train import Run, train
from boltz.units import units_of
from boltz.units.onehot import codes_of

Array = NDArray[Any]
Block = tuple[slice, Array, Array]
ONWARDS: dict[str, Any] = {"pretrain_epochs": 0, "warmup_epochs": 0.0}  # a machine that goes on is past its beginning
ONE_PASS: dict[str, Any] = {"epochs": 1, "schedule": "constant", "averaging": "none"}
T = TypeVar("T", bound="MachineTransformer")


class DeepMachine(BaseEstimator, ABC):
    """An estimator around a machine of boltz: how rows reach it.

    A subclass names its settings of training and says how its machine is built.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ()
    FOLLOWS: ClassVar[tuple[str, ...]] = ()  # settings that follow the number of rows where they are None
    LEAST: ClassVar[int] = 2  # hidden layers
    JUDGED: ClassVar[bool] = True  # whether rows that are held out can end a training

    @abstractmethod
    def _build(self, units: int, rows: Array, seed: int) -> Model:
        """The machine before training; rows are some of the data."""

    def _sizes(self) -> list[int]:
        """The units of the hidden layers, as many as there must be."""
        listed = checks.sequence(self.layers, "layers", MOST_LAYERS - 1)
        sizes = [checks.integer(n, f"layers[{i}]", 1, 10**7) for i, n in enumerate(listed)]
        if len(sizes) < self.LEAST:
            wanted = {1: "one hidden layer", 2: "two hidden layers"}[self.LEAST]
            raise InputError(f"layers must name at least {wanted}, got {sizes}.")
        return sizes

    def _goes_on(self) -> bool:
        """Whether fit goes on from a machine that is there."""
        return hasattr(self, "machine_") and bool(self.warm_start)

    def _next_seed(self, anew: bool) -> int:
        """The first seed of random_state, or the next one, so that training that goes on has other random numbers."""
        if anew or not hasattr(self, "random_state_"):
            self.random_state_ = generator(self.random_state)
        return drawn_seed(self.random_state_)

    def _check_same(self, fresh: Model) -> None:
        """Raise InputError unless the fitted machine is like one that the parameters ask for."""
        if fresh.plan != self.machine_.plan:
            there, asked = ([layer.units for layer in machine.layers] for machine in (self.machine_, fresh))
            raise InputError(
                f"warm_start goes on from a machine with layers {checks.few(there)}, but the parameters ask for "
                f"another, with {checks.few(asked)}: put them back, or set warm_start=False."
            )

    def _settings(self) -> dict[str, Any]:
        """The settings of training by name."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    def _new(self, X: Any, seed: int) -> Model:
        """The machine before training on rows X (rows, n_features)."""
        rows = np.asarray(dense(checks.initial_rows(X)))
        if visible_kind(self) == "bernoulli":
            rows = np.clip(rows, 0, 1)
        return self._build(X.shape[1], rows, seed)

    def _data(self, X: Any) -> Data:
        """Rows as boltz.train takes them: states, or any real numbers where they are not binarised."""
        kind = visible_kind(self)
        if units_of(kind).support is not None and kind != "bernoulli":
            rows = dense(X)
            return as_data(rows, "X", Layer("v", rows.shape[1] * units_of(kind).columns, kind))
        return data_given(X, "X", X.shape[1], real=self.binarize == "none")

    def _train(
        self, machine: Model, data: Data, seed: int, rows: int = 0, *, labels: Any = None, **changes: Any
    ) -> Run:
        """A trained copy of a machine, with what follows the rows from boltz.presets; says how it goes if verbose.

        rows: how many to follow in the place of those of data. labels are those that boltz.train takes. changes to
        settings that this machine does not have are left out.
        """
        chosen = self._settings()
        chosen |= {name: value for name, value in changes.items() if name in chosen}
        kinds = [layer.kind for layer in machine.layers] if machine.undirected is machine else []
        units = data.x.shape[1] // machine.layers[0].columns
        chosen |= with_units({}, kinds, units)
        open_ = [name for name in self.FOLLOWS if chosen[name] is None]
        if open_:
            batch = chosen["batch_size"]
            batch = None if batch is None else checks.integer(batch, "batch_size", 1, 10**9)
            ours = preset_for(machine.kind, rows or len(data.x), units, batch, held_out=False)
            ours = with_units(ours, kinds, units)
            judges = ("patience", "validation") if self.JUDGED and "epochs" in open_ else ()
            chosen |= {name: ours[name] for name in (*open_, *judges)}
        every = settings_of(machine.plan, chosen | {"seed": seed}).as_dict()  # no presets but those above
        with team(self.n_jobs):
            return train(machine, data, watch=self._watch if self.verbose else None, labels=labels, **every)

    def _watch(self, record: dict[str, Any]) -> None:
        numbers = (f"{name} = {x:.3g}" for name, x in record.items() if isinstance(x, float) and name != "seconds")
        place = f"{record['stage']}, epoch {record['epoch']} of {record['epochs']}"
        print(f"[{type(self).__name__}] {place}: {', '.join(numbers)}")

    def _blocks(self, X: Any, model: Model) -> Iterator[Block]:
        """The rows in the machine's type, a block at a time: as they are given, and with unknown units filled in."""
        for block in blocks(X):
            rows = self._data_rows(dense(X[block]))
            yield block, rows.astype(model.dtype, copy=False), seen_rows(model, rows)

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

    history_: list[dict[str, Any]]
    n_samples_seen_: int

    def fit(self: T, X: Any, y: Any = None) -> T:
        """Train on rows X (rows, n_features), dense or sparse; y is ignored. Raises ValueError, NumericalError.

        With warm_start and a fitted machine, training goes on from its parameters; the layers must be the same. These
        begin anew: the schedule of the learning rate, the optimizer, and the persistent chains, which start at rows of
        X. Random numbers go on, pretraining and KL warm-up are left out, and history_ grows.
        """
        onwards = self._goes_on()
        X = at_means(checked(self, X, not onwards), visible_kind(self))
        seed = self._next_seed(not onwards)
        fresh = self._checked_new(X, seed)
        if onwards:
            self._check_same(fresh)
            run = self._train(self.machine_, self._data(X), seed, **ONWARDS)
        else:
            run = self._train(fresh, self._data(X), seed)
        self._keep(run, X.shape[0], onwards)
        return self

    def partial_fit(self: T, X: Any, y: Any = None) -> T:
        """Go on from the machine for one pass over rows X (rows, n_features), cut into batches; y is ignored.

        The first call makes a machine, and pretrains it on X for pretrain_epochs where there are such. Each call takes
        over the parameters, n_samples_seen_ and history_ of the last; settings that follow the number of rows follow
        n_samples_seen_, and the learning rate does not fall. The optimizer and the persistent chains begin anew, the
        latter at rows of X: with few rows a call that is contrastive divergence, so hand over some hundreds at a time.
        Raises ValueError, NumericalError.
        """
        anew = not hasattr(self, "machine_")
        X = at_means(checked(self, X, anew), visible_kind(self))
        seed, rows = self._next_seed(anew), X.shape[0]
        if anew:
            fresh = self._checked_new(X, seed)
            self._keep(self._train(fresh, self._data(X), seed, epochs=0), 0, False)
            seed = self._next_seed(False)
        seen = self.n_samples_seen_ + rows
        self._keep(self._train(self.machine_, self._data(X), seed, seen, **ONWARDS | ONE_PASS), rows, True)
        return self

    def transform(self, X: Any) -> Array:
        """Posterior means (rows, units) of the chosen hidden layers, in the floating type of X."""
        check_is_fitted(self)
        X = checked(self, X, False)
        names = self._chosen()
        found = np.empty((X.shape[0], self._n_features_out), X.dtype)
        with team(self.n_jobs):
            for block, _, rows in self._blocks(X, self.machine_):
                found[block] = side_by_side(self.machine_, rows, names)
        return found

    def inverse_transform(self, X: Any) -> Array:
        """Means (rows, n_features) of the visible units given features X (rows, units), as transform gives them.

        A Boltzmann machine has the layer of the features at them and the others at mean-field means; a Helmholtz
        machine goes down by the means of its generative model. Of several layers side by side the lowest counts, given
        which the visible units do not hear the others. In the units of the data, in the floating type of X; of
        categorical units the code of the most probable state.
        """
        check_is_fitted(self)
        X = checked_features(self, X, self._n_features_out)
        lowest = self._chosen()[0]
        found = np.empty((X.shape[0], self.n_features_in_), X.dtype)
        with team(self.n_jobs):
            for block in blocks(X):
                means = dense(X[block])[:, : self.machine_.units[lowest]].astype(self.machine_.dtype)
                visible = decoded(self.machine_, lowest, means)
                columns = self.machine_.layers[0].columns
                found[block] = visible if columns == 1 else codes_of(visible, columns)
        return found

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names (units,) of the columns of transform: class, layer and unit, such as dbmtransformer_h1_0."""
        super().get_feature_names_out(input_features)  # which checks what is given
        prefix, units = type(self).__name__.lower(), self.machine_.units
        return np.array([f"{prefix}_{n}_{i}" for n in self._chosen() for i in range(units[n])], object)

    @property
    def model_(self) -> Model:
        """An older name of machine_."""
        found: Model = self.machine_
        return found

    @property
    def _n_features_out(self) -> int:
        """Units of the chosen hidden layers; layer may be another one than in fit."""
        return sum(self.machine_.units[name] for name in self._chosen())

    def _chosen(self) -> list[str]:
        """The names of the hidden layers that are features."""
        return feature_layers(self.machine_, self.layer)

    def _checked_new(self, X: Any, seed: int) -> Model:
        """The machine before training; what is wrong with the other parameters is said before the training, too."""
        self._evaluation_samples()
        if hasattr(self, "betas"):
            check_betas(self.betas)
        machine = self._new(X, seed)
        feature_layers(machine, self.layer)
        return machine

    def _keep(self, run: Run, rows: int, onwards: bool) -> None:
        """What was learned from so many rows."""
        self.machine_, self.history_ = run.model, [*(self.history_ if onwards else []), *run.history]
        self.n_samples_seen_ = rows + (self.n_samples_seen_ if onwards else 0)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log-likelihoods (rows,) of rows X (rows, n_features), or lower bounds of them, in nats, if log Z is right.

        The estimators are those of boltz.log_likelihood: exact for an RBM and for a DBM of at most 14 units in its odd
        layers, the variational bound of a larger DBM, the importance-weighted bound of a DBN or VAE. A likelihood only
        for rows of states that are wholly known, of any known numbers where visible units are Gaussian: unknown units
        count as if they were seen at the values filled in, which is no bound on the likelihood of the known ones, and
        the log Z of binary units says nothing of other numbers, of which is warned. Each call computes log Z anew:
        exactly where one of its sides has at most 20 units, else by annealing 100 chains over betas, about as long as
        so many updates; of a VAE it is 0. All seeds are fixed, so that a row's value follows from the machine and the
        row alone. Whether to trust log Z is said by boltz.log_likelihood(estimator.machine_, X).
        """
        check_is_fitted(self)
        X = checked(self, X, False)
        if visible_kind(self) == "bernoulli" and self.binarize != "threshold":
            warn_of_grey(X)
        samples = self._evaluation_samples()
        found = np.empty(X.shape[0])
        with team(self.n_jobs):
            for block, given, rows in self._blocks(X, self.machine_):
                found[block] = log_marginal(self.machine_, rows, row_numbers(given, 0), samples)
            return found - log_z(self.machine_, getattr(self, "betas", None)) - log_units(self.machine_)

    def _evaluation_samples(self) -> int:
        return checks.integer(getattr(self, "evaluation_samples", 1), "evaluation_samples", 1, 10**6)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-likelihood of rows X in nats, or a lower bound, the mean of score_samples; y is ignored."""
        return float(self.score_samples(X).mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
