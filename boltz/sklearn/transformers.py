"""Machines as transformers: their features of rows, the way back from features, and likelihoods of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from boltz import checks
from boltz.data import Data
from boltz.models.builders import dbm, dbn, rbm, vae
from boltz.models.files import Model
from boltz.models.graph import MOST_LAYERS
from boltz.sklearn.machines import MachineTransformer
from boltz.training.objectives import OBJECTIVES, samples_for
from boltz.training.train import Run
from boltz.units import kind_of

Array = NDArray[Any]


class RBMTransformer(MachineTransformer):
    """A restricted Boltzmann machine (Smolensky 1986) with the settings of boltz.train, but for binarize.

    units says what columns of X are: "bernoulli" (0, 1, or grey), "spin" (-1, 1), "gaussian" (any real numbers, each in
    the spread of its column), ("categorical", q) (codes 0 to q - 1) or ("binomial", n) (whole numbers from 0 to n).
    hidden_units may be "rectified" or "drelu", too.
    binarize is "none", which takes rows as they are; grey values make better features, and a likelihood, with
    "dynamic", which is what boltz.train takes.
    BernoulliRBM beside it has the parameters and the defaults of scikit-learn's. Here epochs, learning_rate and
    batch_size None follow the number of rows (boltz.presets): at least 10,000 updates, and with epochs None a tenth of
    fewer than 5,000 rows is held out and ends the training in time. transform gives the probabilities that hidden units
    are on, inverse_transform those of visible units given features. score is the mean log-likelihood of rows in nats,
    exact but for log Z, which is by enumeration for at most 20 hidden or visible units, else by annealed importance
    sampling over betas (boltz.ais). The other parameters are as in DBMTransformer.
    """

    SETTINGS: ClassVar = (
        "epochs", "learning_rate", "batch_size", "schedule", "averaging", "optimizer", "rule", "k", "chains", "center",
        "l2", "sparsity_cost", "binarize",
    )  # fmt: skip
    FOLLOWS: ClassVar = ("epochs", "learning_rate", "batch_size")
    layer: ClassVar = "top"
    get_feature_names_out = ClassNamePrefixFeaturesOutMixin.get_feature_names_out  # there are no layers to tell apart

    def __init__(
        self,
        n_components: int = 256,
        *,
        units: Any = "bernoulli",
        hidden_units: Any = "bernoulli",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        schedule: str = "linear",
        averaging: str = "polynomial",
        optimizer: str = "momentum",
        rule: str = "pcd",
        k: int = 1,
        chains: int = 100,
        center: bool = True,
        l2: float = 0.0,
        sparsity_cost: float = 0.0,
        betas: Any = 1000,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.n_components = n_components
        self.units = units
        self.hidden_units = hidden_units
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.averaging = averaging
        self.optimizer = optimizer
        self.rule = rule
        self.k = k
        self.chains = chains
        self.center = center
        self.l2 = l2
        self.sparsity_cost = sparsity_cost
        self.betas = betas
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        hidden = checks.integer(self.n_components, "n_components", 1, 10**7)
        return rbm(units, hidden, rows, seed, units=self.units, hidden_units=self.hidden_units)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"snapshots": 0}


class DBMTransformer(MachineTransformer):
    """A deep Boltzmann machine (Salakhutdinov & Hinton 2009), layers from the bottom; one layer makes an RBM.

    transform gives mean-field posterior means of a layer: "top", "all" side by side, or its number from 1; columns are
    named by layer (dbmtransformer_h1_0). inverse_transform gives visible means from features. score is the mean
    log-likelihood of rows in nats: exact for one layer or at most 14 units in the odd layers, else the variational
    bound, below which a deeper machine is not; log Z is by annealed importance sampling over betas (boltz.ais), exact
    for small machines. layers of several depths may stand in one search, {"layers": [(64,), (64, 32), (64, 32, 16)]}.
    A machine of one layer is trained as an RBM for pretrain_epochs at pretrain_learning_rate, then for epochs.

    units and hidden_units, of all hidden layers, are kinds as in RBMTransformer; real-valued layers must not be
    neighbours, and hidden units other than 0 and 1 want pretrain="bottom".

    binarize "none" takes rows as they are, outside [0, 1] with a warning; "dynamic", "fixed" and "threshold" want them
    in [0, 1], and "dynamic" makes the better features of grey values. missing "infer": NaN in X is a unit that is not
    known, put at its mean given the others, and in fit at the mean of its column. n_jobs is the number of threads, None
    for that of boltz, -1 for all cores. warm_start: fit goes on from the fitted machine. The other parameters are those
    of boltz.train; learning takes some thousands of updates, so that batches are small: with very many rows make them
    larger, and epochs fewer. Fitted: machine_, with which all of boltz works, history_, n_samples_seen_.
    """

    LEAST: ClassVar = 1
    SETTINGS: ClassVar = (
        "pretrain", "pretrain_epochs", "pretrain_learning_rate", "epochs", "learning_rate", "batch_size", "schedule",
        "optimizer", "rule", "k", "chains", "center", "l2", "sparsity_cost", "mean_field_sweeps", "binarize",
    )  # fmt: skip

    def __init__(
        self,
        layers: Sequence[int] = (500, 1000),
        *,
        units: Any = "bernoulli",
        hidden_units: Any = "bernoulli",
        layer: str | int = "top",
        pretrain: str = "doubling",
        pretrain_epochs: int = 50,
        pretrain_learning_rate: float = 0.05,
        epochs: int = 10,
        learning_rate: float = 0.005,
        batch_size: int = 10,
        schedule: str = "linear",
        optimizer: str = "momentum",
        rule: str = "pcd",
        k: int = 1,
        chains: int = 100,
        center: bool = True,
        l2: float = 0.0,
        sparsity_cost: float = 0.0,
        mean_field_sweeps: int = 5,
        betas: Any = 1000,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.layers = layers
        self.units = units
        self.hidden_units = hidden_units
        self.layer = layer
        self.pretrain = pretrain
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_learning_rate = pretrain_learning_rate
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.optimizer = optimizer
        self.rule = rule
        self.k = k
        self.chains = chains
        self.center = center
        self.l2 = l2
        self.sparsity_cost = sparsity_cost
        self.mean_field_sweeps = mean_field_sweeps
        self.betas = betas
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        sizes = self._sizes()
        kinds = [kind_of(self.units, "units"), *[kind_of(self.hidden_units, "hidden_units")] * len(sizes)]
        return dbm([units, *sizes], rows, seed, units=kinds)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"snapshots": 0}

    def _train(self, machine: Model, data: Data, seed: int, rows: int = 0, **changes: Any) -> Run:
        """As the others; with one hidden layer first as the lowest pair of layers is pretrained."""
        if len(machine.layers) > 2:
            return super()._train(machine, data, seed, rows, **changes)
        first = {
            "epochs": checks.integer(changes.get("pretrain_epochs", self.pretrain_epochs), "pretrain_epochs", 0, 10**9),
            "learning_rate": checks.number(self.pretrain_learning_rate, "pretrain_learning_rate", 0, 1e6),
        }
        alone, history = changes | {"pretrain_epochs": 0}, []
        if first["epochs"]:
            plain = {"rule": "pcd", "k": 1, "center": False, "sparsity_cost": 0.0}
            run = super()._train(machine, data, seed ^ 1, **alone | first | plain)  # other random numbers than below
            machine, history = run.model, [record | {"stage": "pretrain-1"} for record in run.history]
        run = super()._train(machine, data, seed, **alone)
        return replace(run, history=history + run.history)


class DBNTransformer(MachineTransformer):
    """A deep belief net (Hinton, Osindero & Teh 2006), layers from the bottom, at least two: RBMs, then up-down.

    transform gives the means of a layer on the way up: "top", "all" side by side, or its number from 1. score is the
    mean over rows, in nats, of the importance-weighted bound with evaluation_samples samples, each of which costs a
    pass up and down, with log Z of the two top layers by annealed importance sampling over betas (boltz.ais), exact
    where they are small. The other parameters are as in DBMTransformer.
    """

    SETTINGS: ClassVar = (
        "pretrain_epochs", "pretrain_learning_rate", "pretrain_k", "epochs", "learning_rate", "batch_size", "schedule",
        "optimizer", "rule", "k", "chains", "l2", "binarize",
    )  # fmt: skip

    def __init__(
        self,
        layers: Sequence[int] = (500, 500),
        *,
        layer: str | int = "top",
        pretrain_epochs: int = 50,
        pretrain_learning_rate: float = 0.05,
        pretrain_k: int = 1,
        epochs: int = 5,
        learning_rate: float = 0.005,
        batch_size: int = 10,
        schedule: str = "linear",
        optimizer: str = "momentum",
        rule: str = "pcd",
        k: int = 10,
        chains: int = 100,
        l2: float = 0.0,
        evaluation_samples: int = 100,
        betas: Any = 1000,
        binarize: str = "none",
        missing: str = "error",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.layers = layers
        self.layer = layer
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_learning_rate = pretrain_learning_rate
        self.pretrain_k = pretrain_k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.optimizer = optimizer
        self.rule = rule
        self.k = k
        self.chains = chains
        self.l2 = l2
        self.evaluation_samples = evaluation_samples
        self.betas = betas
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        return dbn([units, *self._sizes()], rows, seed)


class VAETransformer(MachineTransformer):
    """A variational autoencoder (Kingma & Welling 2014): deterministic layers below latent Gaussian units.

    layers is one group of deterministic layers, or for several latent layers one group below each. visible is
    "bernoulli" or "gaussian". objective and samples are as in boltz.train; samples None is 1, or 5 where the objective
    weighs several. epochs and batch_size None follow the number of rows. transform gives the means of a latent layer:
    "top", "all" side by side, or its number from 1; inverse_transform decodes them. score is the mean over rows, in
    nats, of the importance-weighted bound with evaluation_samples samples, each of which costs a pass of encoder and
    decoder. The other parameters are as in DBMTransformer.
    """

    SETTINGS: ClassVar = (
        "objective", "epochs", "learning_rate", "batch_size", "schedule", "optimizer", "warmup_epochs", "l2",
        "binarize",
    )  # fmt: skip
    FOLLOWS: ClassVar = ("epochs", "batch_size")

    def __init__(
        self,
        layers: Sequence[Any] = (200, 200),
        latent: Any = 50,
        *,
        layer: str | int = "top",
        visible: str = "bernoulli",
        activation: str = "tanh",
        objective: str = "vae",
        samples: int | None = None,
        epochs: int | None = None,
        learning_rate: float = 0.003,
        batch_size: int | None = None,
        schedule: str = "linear",
        optimizer: str = "adam",
        warmup_epochs: float = 0.0,
        l2: float = 0.0,
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
        self.layer = layer
        self.visible = visible
        self.activation = activation
        self.objective = objective
        self.samples = samples
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule
        self.optimizer = optimizer
        self.warmup_epochs = warmup_epochs
        self.l2 = l2
        self.evaluation_samples = evaluation_samples
        self.binarize = binarize
        self.missing = missing
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        groups = checks.sequence(self.layers, "layers", MOST_LAYERS - 1)
        for i, group in enumerate(groups):
            name = f"layers[{i}]"
            single = isinstance(group, int | np.integer)
            for n in [group] if single else checks.sequence(group, name, MOST_LAYERS):
                checks.integer(n, name, 1, 10**7)
        return vae([units, *groups], self.latent, rows, seed, self.activation, self.visible)

    def _settings(self) -> dict[str, Any]:
        objective = checks.choice(self.objective, "objective", OBJECTIVES)
        samples = samples_for(objective) if self.samples is None else self.samples
        return super()._settings() | {"samples": samples}
