"""Deep machines as classifiers: pretrained without labels, then unrolled to a network that is fine-tuned with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from boltz import checks
from boltz.data.sparse import is_sparse
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.builders import dbm, dbn
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.networks.fine_tune import fine_tune
from boltz.networks.predict import passed
from boltz.networks.settings import FineTuneSettings
from boltz.networks.unrolling import classifier
from boltz.parallel import team
from boltz.sklearn.labels import MachineClassifier, labelled
from boltz.sklearn.rows import at_means, checked
from boltz.training.settings import settings_from

Array = NDArray[Any]
FEWEST_HELD = 10  # rows of the rarest class among those held out; fewer do not tell which epoch is best
ONE_PASS = {"epochs": 1, "schedule": "constant", "validation": 0.0, "patience": 0}
ONWARDS = {"output_epochs": 0}  # which have learnt already
TUNING = ("dropout", "input_dropout", "optimizer", "batch_size")
T = TypeVar("T", bound="DeepClassifier")


class DeepClassifier(MachineClassifier):
    """A machine that learns without labels first, and the network unrolled from it, which learns the classes.

    KIND is the class that a machine to start from must have.
    """

    KIND: ClassVar[Any]

    def fit(self: T, X: Any, y: Any, unlabelled: Any = None) -> T:
        """Learn the classes y (rows,) of rows X (rows, n_features), dense or sparse.

        A row with -1 in y, beside two classes or more, has no label: only the pretraining sees it, and where a machine
        takes the place of that, nothing does.
        unlabelled: further rows, (any, n_features), that only the pretraining sees. With warm_start and a fitted
        network, fine-tuning goes on from its parameters, with the same classes and without pretraining. These begin
        anew: the choice of rows held out, the schedule of the learning rate, and the optimizer. Random numbers go on,
        and history_ grows. Raises ValueError, NumericalError.
        """
        onwards = self._goes_on()
        X, y = checked(self, X, not onwards, y)
        known = labelled(y)
        check_classification_targets(y[known])
        if self.verbose and not known.all():
            print(f"[{type(self).__name__}] {known.sum():,} of {len(known):,} rows have a label")
        X, seed = at_means(X), self._next_seed(not onwards)
        classes, codes = np.unique(y[known], return_inverse=True)
        tuning = self._tuning(codes) | {"seed": seed}
        settings_from(FineTuneSettings, tuning)  # what is wrong with them is said before the pretraining, not after
        if onwards:
            self._check_onwards(X, classes, unlabelled)
            self._tune(X[known], codes, tuning | ONWARDS)
            return self
        self.classes_ = classes
        self._begin(X, unlabelled, seed)
        self._tune(X[known], codes, tuning)
        return self

    def partial_fit(self: T, X: Any, y: Any, classes: Any = None) -> T:
        """Go on with the fine-tuning for one pass over rows X (rows, n_features) with classes y (rows,).

        classes: all that there are, wanted in the first call, which also pretrains a machine on X. A row with -1 in y,
        where that is no class, has no label: only the pretraining sees it. Each call takes over the parameters and the
        history_ of the last. The optimizer begins anew, the learning rate does not fall, and no rows are held out.
        Raises ValueError, NumericalError.
        """
        anew = not hasattr(self, "network_")
        X, y = checked(self, X, anew, y)
        told = self._told(classes, anew)
        known = np.isin(y, told)
        strange = y[~known].tolist()
        if any(label != -1 for label in strange):
            raise InputError(f"y must hold some of the {len(told)} classes, got also {checks.few(strange)}.")
        codes = np.searchsorted(told, y[known].astype(told.dtype))
        X, seed = at_means(X), self._next_seed(anew)
        tuning = self._tuning(codes) | ONE_PASS | {"seed": seed}
        settings_from(FineTuneSettings, tuning)
        if anew:
            self.classes_ = told
            self._begin(X, None, seed)
        if known.any():
            self._tune(X[known], codes, tuning | ONWARDS)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (rows, classes) of classes_ for rows X (rows, n_features)."""
        check_is_fitted(self)
        X = checked(self, X, False)
        found = np.empty((X.shape[0], len(self.classes_)))
        with team(self.n_jobs):
            for block, _, rows in self._blocks(X, self.machine_):
                found[block] = passed(self.network_, rows)
        return found / found.sum(axis=1, keepdims=True)

    def _begin(self, X: Any, unlabelled: Any, seed: int) -> None:
        """The pretrained machine, and the network that it is unrolled to."""
        self.machine_, self.history_ = self._pretrained(X, unlabelled, seed)
        self.network_ = classifier(self.machine_, range(len(self.classes_)))

    def _tune(self, X: Any, codes: Array, tuning: dict[str, Any]) -> None:
        """Fine-tune the network on rows with the numbers of their classes."""
        with team(self.n_jobs):
            watch = self._watch if self.verbose else None
            tuned = fine_tune(self.network_, self._data(X), codes, watch=watch, **tuning)
        self.network_, self.history_ = tuned.network, self.history_ + tuned.history

    def _check_onwards(self, X: Any, classes: Array, unlabelled: Any) -> None:
        """Raise InputError where a fit cannot go on from the network that is there."""
        if unlabelled is not None:
            raise InputError("unlabelled rows serve the pretraining, which warm_start leaves out.")
        if not np.array_equal(classes, self.classes_):
            raise InputError(
                f"y must hold the {len(self.classes_)} classes of the fit that warm_start goes on from, "
                f"got {checks.few(classes.tolist())}."
            )
        if self.machine is None:
            self._check_same(self._new(X, 0))

    def _told(self, classes: Any, anew: bool) -> Array:
        """All classes, in order, as the first call of partial_fit says."""
        if classes is None and anew:
            raise InputError("classes must be given in the first call of partial_fit: all that later calls may have.")
        found = self.classes_ if classes is None else np.unique(column_or_1d(classes))
        check_classification_targets(found)
        if not anew and not np.array_equal(found, self.classes_):
            raise InputError(
                f"classes must be the {len(self.classes_)} of the first call, got {checks.few(found.tolist())}."
            )
        return found

    def _pretrained(self, X: Any, unlabelled: Any, seed: int) -> tuple[Model, list[dict[str, Any]]]:
        """The machine to unroll, and the records of its training: as given, or trained on all rows."""
        if self.machine is None:
            if unlabelled is not None:
                others = at_means(checked(self, unlabelled, False))
                sparse = is_sparse(X) or is_sparse(others)
                X = sp.vstack([X, others], format="csr") if sparse else np.concatenate([X, others])
            run = self._train(self._new(X, seed), self._data(X), seed)
            return run.model, list(run.history)
        if unlabelled is not None:
            raise InputError("unlabelled rows serve the pretraining, which a machine to start from takes the place of.")
        machine: Any = self.machine
        if not isinstance(machine, self.KIND):
            raise InputError(f"machine must be a {self.KIND.__name__}, got {type(machine).__name__}.")
        if machine.layers[0].units != X.shape[1]:
            raise InputError(
                f"machine must have a visible unit for each of {X.shape[1]} features, has {machine.layers[0].units}."
            )
        return machine, []

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"optimizer": "momentum"}

    def _tuning(self, codes: NDArray[np.int64]) -> dict[str, Any]:
        """The settings of fine-tuning; rows are held out where enough of each class are."""
        share = checks.number(self.validation_fraction, "validation_fraction", 0, 0.95)
        patience = checks.integer(self.patience, "patience", 0, 10**9)
        held = share * np.bincount(codes, minlength=1).min() >= FEWEST_HELD
        return {name: getattr(self, name) for name in TUNING} | {
            "epochs": checks.integer(self.fine_tune_epochs, "fine_tune_epochs", 0, 10**9),
            "learning_rate": checks.number(self.fine_tune_learning_rate, "fine_tune_learning_rate", 0, 1e6),
            "validation": share if held else 0.0,
            "patience": patience if held else 0,
            "binarize": "threshold" if self.binarize == "threshold" else "none",
        }


class DBMClassifier(DeepClassifier):
    """A deep Boltzmann machine, unrolled and fine-tuned (Salakhutdinov & Hinton 2009, section 3.3).

    The network hears, beside the rows, the mean-field posterior of the machine. fine_tune_epochs, optimizer, dropout,
    input_dropout, patience and validation_fraction, the share of the rows that chooses the epoch (none where classes
    have few rows), belong to the fine-tuning (boltz.fine_tune); machine, a trained machine, takes the place of the
    pretraining. layers has at least two. The other parameters are as in DBMTransformer. Fitted: classes_, machine_ as
    pretrained, network_, history_.
    """

    KIND: ClassVar = BoltzmannMachine
    SETTINGS: ClassVar = (
        "pretrain", "pretrain_epochs", "pretrain_learning_rate", "epochs", "learning_rate", "batch_size", "k", "chains",
        "center", "mean_field_sweeps", "binarize",
    )  # fmt: skip

    def __init__(
        self,
        layers: Sequence[int] = (500, 1000),
        *,
        pretrain: str = "doubling",
        pretrain_epochs: int = 50,
        pretrain_learning_rate: float = 0.05,
        epochs: int = 10,
        learning_rate: float = 0.005,
        batch_size: int = 10,
        k: int = 1,
        chains: int = 100,
        center: bool = True,
        mean_field_sweeps: int = 5,
        fine_tune_epochs: int = 50,
        fine_tune_learning_rate: float = 3e-3,
        optimizer: str = "adam",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        validation_fraction: float = 0.1,
        patience: int = 0,
        machine: BoltzmannMachine | None = None,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.layers = layers
        self.pretrain = pretrain
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_learning_rate = pretrain_learning_rate
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.k = k
        self.chains = chains
        self.center = center
        self.mean_field_sweeps = mean_field_sweeps
        self.fine_tune_epochs = fine_tune_epochs
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.optimizer = optimizer
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.machine = machine
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        return dbm([units, *self._sizes()], rows, seed)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"snapshots": 0}


class DBNClassifier(DeepClassifier):
    """A deep belief net whose way up is fine-tuned as a network (Hinton, Osindero & Teh 2006).

    The parameters of pretraining are as in DBNTransformer, but that up-down learning is left out by default; those of
    fine-tuning, machine, and what is fitted are as in DBMClassifier.
    """

    KIND: ClassVar = HelmholtzMachine
    SETTINGS: ClassVar = (
        "pretrain_epochs", "pretrain_learning_rate", "pretrain_k", "epochs", "learning_rate", "batch_size", "k",
        "chains", "binarize",
    )  # fmt: skip

    def __init__(
        self,
        layers: Sequence[int] = (500, 500),
        *,
        pretrain_epochs: int = 50,
        pretrain_learning_rate: float = 0.05,
        pretrain_k: int = 1,
        epochs: int = 0,
        learning_rate: float = 0.005,
        batch_size: int = 10,
        k: int = 10,
        chains: int = 100,
        fine_tune_epochs: int = 50,
        fine_tune_learning_rate: float = 3e-3,
        optimizer: str = "adam",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        validation_fraction: float = 0.1,
        patience: int = 0,
        machine: HelmholtzMachine | None = None,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.layers = layers
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_learning_rate = pretrain_learning_rate
        self.pretrain_k = pretrain_k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.k = k
        self.chains = chains
        self.fine_tune_epochs = fine_tune_epochs
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.optimizer = optimizer
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.machine = machine
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        return dbn([units, *self._sizes()], rows, seed)
