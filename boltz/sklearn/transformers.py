"""Deep machines as transformers: their features of rows, and lower bounds on the likelihood of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.models.builders import dbm, dbn, vae
from boltz.models.files import Model
from boltz.models.graph import MOST_LAYERS
from boltz.sklearn.machines import MachineTransformer
from boltz.training.objectives import OBJECTIVES, samples_for

Array = NDArray[Any]


class DBMTransformer(MachineTransformer):
    """A deep Boltzmann machine (Salakhutdinov & Hinton 2009), layers from the bottom, at least two.

    transform gives mean-field posterior means of a layer: "top", "all" side by side, or its number from 1.
    score_samples is the variational bound, with log Z by annealed importance sampling over betas (boltz.ais), exact for
    small machines. binarize "none" takes rows as they are, outside [0, 1] with a warning; "dynamic", "fixed" and
    "threshold" want them in [0, 1], and "dynamic" makes the better features of grey values. missing "infer": NaN in X
    is a unit that is not known, put at its mean given the others, and in fit at the mean of its column. n_jobs is the
    number of threads, None for that of boltz, -1 for all cores. The other parameters are those of boltz.train; learning
    takes some thousands of updates, so that batches are small: with very many rows make them larger, and epochs fewer.
    Fitted: model_, the machine, with which all of boltz works, and history_.
    """

    SETTINGS: ClassVar = (
        "pretrain", "pretrain_epochs", "pretrain_learning_rate", "epochs", "learning_rate", "batch_size", "schedule",
        "optimizer", "rule", "k", "chains", "center", "l2", "sparsity_cost", "mean_field_sweeps", "binarize",
    )  # fmt: skip

    def __init__(
        self,
        layers: Sequence[int] = (500, 1000),
        *,
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
    ) -> None:
        self.layers = layers
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

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        return dbm([units, *self._sizes()], rows, seed)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"snapshots": 0}


class DBNTransformer(MachineTransformer):
    """A deep belief net (Hinton, Osindero & Teh 2006), layers from the bottom, at least two: RBMs, then up-down.

    transform gives the means of a layer on the way up: "top", "all" side by side, or its number from 1. score_samples
    is the importance-weighted bound with evaluation_samples samples, with log Z of the two top layers by annealed
    importance sampling over betas (boltz.ais), exact where they are small. The other parameters are as in
    DBMTransformer.
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

    def _build(self, units: int, rows: Array, seed: int) -> Model:
        return dbn([units, *self._sizes()], rows, seed)


class VAETransformer(MachineTransformer):
    """A variational autoencoder (Kingma & Welling 2014): deterministic layers below latent Gaussian units.

    layers is one group of deterministic layers, or for several latent layers one group below each. visible is
    "bernoulli" or "gaussian". objective and samples are as in boltz.train; samples None is 1, or 5 where the objective
    weighs several. epochs and batch_size None follow the number of rows. transform gives the means of a latent layer:
    "top", "all" side by side, or its number from 1. score_samples is the importance-weighted bound with
    evaluation_samples samples. The other parameters are as in DBMTransformer.
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
