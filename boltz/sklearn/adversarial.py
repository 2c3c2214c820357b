"""Adversarial autoencoders as a transformer, a semi-supervised classifier and a clusterer (Makhzani et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from boltz import checks
from boltz.errors import InputError
from boltz.models.adversarial import aae
from boltz.models.files import Model
from boltz.parallel import team
from boltz.sampling.inferred import decoded_embedding, embedded, label_shares
from boltz.sklearn.labels import MachineClassifier, labelled
from boltz.sklearn.machines import DeepMachine, MachineTransformer
from boltz.sklearn.parameters import visible_kind
from boltz.sklearn.rows import at_means, blocks, checked, checked_features, dense

Array = NDArray[Any]
C = TypeVar("C", bound="AAEClassifier")
T = TypeVar("T", bound="AAEClusterer")


class AdversarialMachine(DeepMachine):
    """An estimator around an adversarial autoencoder: its nets, and the settings of its game."""

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "epochs", "learning_rate", "batch_size", "schedule", "optimizer", "adversary", "discriminator_widths",
        "discriminator_rate", "generator_rate", "input_noise", "binarize",
    )  # fmt: skip
    FOLLOWS: ClassVar = ("epochs", "batch_size")
    LEAST: ClassVar = 1
    JUDGED: ClassVar = False
    machine_: Any

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        sizes = self._sizes()
        return aae([units, *sizes], self.latent, rows, seed, self.activation, self.visible, **self._asked())

    def _asked(self) -> dict[str, Any]:
        """The prior and the labels of the machine, as boltz.aae takes them."""
        return {}

    def _shares(self, X: Any) -> Array:
        """Probabilities (rows, labels) of the labels that the machine infers of checked rows, one label if it infers
        none.
        """
        machine = self.machine_
        if not machine.structure.game.inferred:
            return np.ones((X.shape[0], 1))
        found = np.empty((X.shape[0], machine.structure.game.labels))
        with team(self.n_jobs):
            for block, _, rows in self._blocks(X, machine):
                found[block] = label_shares(machine, rows)
        return found / found.sum(axis=1, keepdims=True)


class AAETransformer(AdversarialMachine, MachineTransformer):
    """An adversarial autoencoder: codes of rows that a game matches to a prior (Makhzani et al. 2016).

    layers are the deterministic layers of the encoder, which the decoder mirrors, and latent counts the units of the
    code. prior, encoder and visible are as in boltz.aae, the settings of the game (adversary, discriminator_widths,
    discriminator_rate, generator_rate, input_noise) as in boltz.train. epochs and batch_size None follow the number of
    rows. transform gives codes, inverse_transform decodes them. score is the mean over rows, in nats, of the
    importance-weighted bound with evaluation_samples samples, for a prior that has a density. Each fit, and each call
    of partial_fit, begins with a new discriminator: hand over some thousand rows at a time, or take adversary="mmd",
    which has none. The other parameters are as in DBMTransformer.
    """

    layer: ClassVar = "top"
    get_feature_names_out = ClassNamePrefixFeaturesOutMixin.get_feature_names_out  # there are no layers to tell apart

    def __init__(
        self,
        layers: Sequence[int] = (200, 200),
        latent: int = 8,
        *,
        prior: Any = "normal",
        encoder: str = "deterministic",
        visible: str = "bernoulli",
        activation: str = "relu",
        epochs: int | None = None,
        learning_rate: float = 0.002,
        batch_size: int | None = None,
        schedule: str = "linear",
        optimizer: str = "adam",
        adversary: str = "gan",
        discriminator_widths: Sequence[int] = (100, 100),
        discriminator_rate: float = 0.001,
        generator_rate: float = 0.0003,
        input_noise: float = 0.1,
        evaluation_samples: int = 100,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.layers = layers
        self.latent = latent
        self.prior = prior
        self.encoder = encoder
        self.visible = visible
        self.activation = activation
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.optimizer = optimizer
        self.adversary = adversary
        self.discriminator_widths = discriminator_widths
        self.discriminator_rate = discriminator_rate
        self.generator_rate = generator_rate
        self.input_noise = input_noise
        self.evaluation_samples = evaluation_samples
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _asked(self) -> dict[str, Any]:
        return {"prior": self.prior, "encoder": self.encoder}


class AAEClassifier(MachineClassifier, AdversarialMachine):
    """An adversarial autoencoder that infers classes, from rows of which few have a label (Makhzani et al. 2016, 5).

    All rows teach the game and the decoder, and rows with a label teach the encoder their class, at label_rate, by
    labelled_batch of them a step. row_noise is the standard deviation of the noise that is added to rows the encoder
    hears. Fitted: classes_, machine_, history_. The other parameters are as in AAETransformer.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*AdversarialMachine.SETTINGS, "label_rate", "labelled_batch", "row_noise")
    history_: list[dict[str, Any]]

    def __init__(
        self,
        layers: Sequence[int] = (200, 200),
        latent: int = 8,
        *,
        visible: str = "bernoulli",
        activation: str = "relu",
        epochs: int | None = None,
        learning_rate: float = 0.002,
        batch_size: int | None = None,
        schedule: str = "linear",
        optimizer: str = "adam",
        label_rate: float = 0.001,
        labelled_batch: int = 100,
        row_noise: float = 0.0,
        adversary: str = "gan",
        discriminator_widths: Sequence[int] = (100, 100),
        discriminator_rate: float = 0.001,
        generator_rate: float = 0.0003,
        input_noise: float = 0.1,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.layers = layers
        self.latent = latent
        self.visible = visible
        self.activation = activation
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.optimizer = optimizer
        self.label_rate = label_rate
        self.labelled_batch = labelled_batch
        self.row_noise = row_noise
        self.adversary = adversary
        self.discriminator_widths = discriminator_widths
        self.discriminator_rate = discriminator_rate
        self.generator_rate = generator_rate
        self.input_noise = input_noise
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def fit(self: C, X: Any, y: Any) -> C:
        """Learn the classes y (rows,) of rows X (rows, n_features), dense or sparse.

        A row with -1 in y, beside two classes or more, has no label, and teaches all but the classes. Beside one other
        class alone, -1 is a class. With warm_start and a fitted machine, training goes on from its parameters, with the
        same classes; the discriminators begin anew. Raises ValueError, NumericalError.
        """
        onwards = self._goes_on()
        X, y = checked(self, X, not onwards, y)
        known = labelled(y)
        check_classification_targets(y[known])
        classes, codes = np.unique(y[known], return_inverse=True)
        self._check_classes(classes, onwards)
        told = np.full(len(y), -1)
        told[known] = codes
        X, seed = at_means(X, visible_kind(self)), self._next_seed(not onwards)
        self.classes_ = classes
        machine = self._new(X, seed)
        if onwards:
            self._check_same(machine)
            machine = self.machine_
        run = self._train(machine, self._data(X), seed, labels=told)
        self.machine_, self.history_ = run.model, [*(self.history_ if onwards else []), *run.history]
        return self

    def _check_classes(self, classes: Array, onwards: bool) -> None:
        if len(classes) < 2:
            raise InputError(f"y must hold at least two classes, got one class, {checks.few(classes.tolist())}.")
        if onwards and not np.array_equal(classes, self.classes_):
            raise InputError(
                f"y must hold the {len(self.classes_)} classes of the fit that warm_start goes on from, "
                f"got {checks.few(classes.tolist())}."
            )

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (rows, classes) of classes_ for rows X (rows, n_features)."""
        check_is_fitted(self)
        return self._shares(checked(self, X, False))

    def _asked(self) -> dict[str, Any]:
        return {"labels": "inferred", "classes": len(self.classes_)}


class AAEClusterer(ClusterMixin, AdversarialMachine, MachineTransformer):
    """An adversarial autoencoder that infers a cluster of each row, without any label (Makhzani et al. 2016, 6 and 7).

    The code keeps the style of a row. With embed each cluster is a point that is added to the code, which the decoder
    hears alone; points nearer than head_distance repel each other. transform gives what the decoder hears: code and
    probabilities of clusters side by side, or with embed their point, and inverse_transform decodes that. Fitted:
    labels_, machine_, history_. A cluster may be left without rows, and one cluster alone takes all of them. score is
    as in AAETransformer, and so are the other parameters.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (*AdversarialMachine.SETTINGS, "row_noise", "head_distance")
    layer: ClassVar = "top"
    get_feature_names_out = ClassNamePrefixFeaturesOutMixin.get_feature_names_out
    labels_: NDArray[np.int64]

    def __init__(
        self,
        n_clusters: int = 10,
        layers: Sequence[int] = (200, 200),
        latent: int = 8,
        *,
        embed: bool = False,
        visible: str = "bernoulli",
        activation: str = "relu",
        epochs: int | None = None,
        learning_rate: float = 0.001,
        batch_size: int | None = None,
        schedule: str = "linear",
        optimizer: str = "adam",
        row_noise: float = 0.0,
        head_distance: float = 0.0,
        adversary: str = "gan",
        discriminator_widths: Sequence[int] = (100, 100),
        discriminator_rate: float = 0.001,
        generator_rate: float = 0.001,
        input_noise: float = 0.3,
        evaluation_samples: int = 100,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.layers = layers
        self.latent = latent
        self.embed = embed
        self.visible = visible
        self.activation = activation
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.optimizer = optimizer
        self.row_noise = row_noise
        self.head_distance = head_distance
        self.adversary = adversary
        self.discriminator_widths = discriminator_widths
        self.discriminator_rate = discriminator_rate
        self.generator_rate = generator_rate
        self.input_noise = input_noise
        self.evaluation_samples = evaluation_samples
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def fit(self: T, X: Any, y: Any = None) -> T:
        """As in AAETransformer; labels_ are the clusters (rows,) of rows X (rows, n_features)."""
        super().fit(X)
        self.labels_ = self.predict(X)
        return self

    def partial_fit(self: T, X: Any, y: Any = None) -> T:
        """As in AAETransformer; labels_ are the clusters (rows,) of these rows X (rows, n_features)."""
        super().partial_fit(X)
        self.labels_ = self.predict(X)
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """The most probable cluster (rows,), a number from 0, of rows X (rows, n_features)."""
        check_is_fitted(self)
        return self._shares(checked(self, X, False)).argmax(axis=1)

    def transform(self, X: Any) -> Array:
        """What the decoder hears of rows X (rows, n_features), in the floating type of X; see boltz.embedding."""
        check_is_fitted(self)
        X = checked(self, X, False)
        found = np.empty((X.shape[0], self._n_features_out), X.dtype)
        with team(self.n_jobs):
            for block, _, rows in self._blocks(X, self.machine_):
                found[block] = embedded(self.machine_, rows)
        return found

    def inverse_transform(self, X: Any) -> Array:
        """Means (rows, n_features) of the visible units for X (rows, numbers) as transform gives them."""
        check_is_fitted(self)
        X = checked_features(self, X, self._n_features_out)
        found = np.empty((X.shape[0], self.n_features_in_), X.dtype)
        with team(self.n_jobs):
            for block in blocks(X):
                found[block] = decoded_embedding(self.machine_, dense(X[block]).astype(self.machine_.dtype))
        return found

    @property
    def _n_features_out(self) -> int:
        return int(self.machine_.structure.generative[self.machine_.visible].sizes[0])

    def _asked(self) -> dict[str, Any]:
        clusters, embed = checks.integer(self.n_clusters, "n_clusters", 1, 10**4), checks.flag(self.embed, "embed")
        return {} if clusters == 1 else {"clusters": clusters, "embed": embed}
