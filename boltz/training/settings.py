"""Every setting of a training run, validated once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, ClassVar

from boltz import checks
from boltz.data.binarize import HOW as BINARIZE
from boltz.errors import InputError
from boltz.foreign import short_repr
from boltz.sampling.meanfield import MeanField
from boltz.storage import snapshots
from boltz.training.objectives import OBJECTIVES, Knobs

RULES = ("cd", "pcd", "ptt")
RUNGS = 6  # of rule ptt
BELIEF_RULES = ("cd", "pcd")
SCHEDULES = ("constant", "linear", "inverse", "stages")
OPTIMIZERS = ("momentum", "nesterov", "adam")
PRETRAIN = ("doubling", "bottom")


@dataclass(frozen=True, repr=False)
class Common:
    """What training of every machine has; rates are per update of the mean gradient (nats a row).

    With held-out rows, patience epochs of a stage without a better log-likelihood of these end the stage, and the
    parameters of its best epoch are kept; 0 trains for all epochs and keeps the last ones. validation is the share of
    the rows that is held out where no others are given.
    """

    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 0.05
    seed: int = 0
    schedule: str = "linear"
    decay_epochs: float = 10.0
    optimizer: str = "momentum"
    momentum: float = 0.0
    initial_momentum: float = 0.0
    momentum_epochs: int = 5
    adam_beta1: float = 0.9
    adam_epsilon: float = 1e-8
    adam_second: float = 0.0
    l2: float = 0.0
    l1: float = 0.0
    max_norm: float = 0.0
    patience: int = 0
    validation: float = 0.0
    shuffle: bool = True
    binarize: str = "dynamic"
    checkpoint_seconds: float = 30.0
    optimizers: ClassVar[tuple[str, ...]] = OPTIMIZERS
    binarizations: ClassVar[tuple[str, ...]] = BINARIZE

    def __post_init__(self) -> None:
        checks.choice(self.schedule, "schedule", SCHEDULES)
        checks.choice(self.optimizer, "optimizer", self.optimizers)
        checks.choice(self.binarize, "binarize", self.binarizations)
        for field in fields(self):
            if field.type == "bool":
                checks.flag(getattr(self, field.name), field.name)
        checks.integer(self.batch_size, "batch_size", 1, 10**9)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)
        self._check(("epochs", "momentum_epochs", "patience"), 0, 10**9, checks.integer)
        self._check(("l2", "l1", "max_norm", "learning_rate", "adam_second", "checkpoint_seconds"), 0, 1e6)
        self._check(("momentum", "initial_momentum", "adam_beta1"), 0, 0.999)
        checks.number(self.validation, "validation", 0, 0.95)
        checks.number(self.adam_epsilon, "adam_epsilon", 1e-30, 1)
        checks.number(self.decay_epochs, "decay_epochs", 1e-6, 1e9)

    def __repr__(self) -> str:
        """Only what is not as by default, so that it stays short; as_dict has everything."""
        named = [
            (each.name, getattr(self, each.name)) for each in fields(self) if getattr(self, each.name) != each.default
        ]
        return short_repr(type(self).__name__, [f"{name}={value!r}" for name, value in named])

    def _check(self, names: tuple[str, ...], least: float, most: float, check: Any = checks.number) -> None:
        for name in names:
            check(getattr(self, name), name, least, most)

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


@dataclass(frozen=True, repr=False)
class Settings(Common):
    """How a Boltzmann machine is trained."""

    rule: str = "pcd"
    k: int = 1
    chains: int = 100
    rungs: int = RUNGS
    sparsity_target: float = 0.1
    sparsity_cost: float = 0.0
    center: bool = False
    center_rate: float = 0.01
    mean_field_sweeps: int = 10
    mean_field_tolerance: float = 1e-3
    mean_field_damping: float = 0.0
    pretrain: str = "doubling"
    pretrain_epochs: int = 0
    pretrain_learning_rate: float = 0.05
    pretrain_k: int = 1
    snapshots: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice(self.rule, "rule", RULES)
        checks.choice(self.pretrain, "pretrain", PRETRAIN)
        self._check(("k", "chains", "mean_field_sweeps", "pretrain_k"), 1, 10**9, checks.integer)
        checks.integer(self.rungs, "rungs", 2, 10**4)
        if self.rule != "ptt" and self.rungs != RUNGS:
            raise InputError(f"rungs would do nothing: it needs rule='ptt', got rule={self.rule!r}.")
        checks.integer(self.snapshots, "snapshots", 0, snapshots.MOST)
        checks.integer(self.pretrain_epochs, "pretrain_epochs", 0, 10**9)
        self._check(("sparsity_cost", "pretrain_learning_rate"), 0, 1e6)
        checks.number(self.mean_field_damping, "mean_field_damping", 0, 0.999)
        self._check(("center_rate", "mean_field_tolerance", "sparsity_target"), 0, 1)

    @property
    def mean_field(self) -> MeanField:
        """The options of the positive phase."""
        return MeanField(self.mean_field_tolerance, self.mean_field_sweeps, self.mean_field_damping)

    def pretraining(self) -> Settings:
        """The settings of an RBM stage: CD and not centred where inputs are doubled, else PCD; not sparse."""
        doubled = self.pretrain == "doubling"
        return replace(
            self,
            rule="cd" if doubled else "pcd",
            rungs=RUNGS,
            k=self.pretrain_k,
            epochs=self.pretrain_epochs,
            learning_rate=self.pretrain_learning_rate,
            center=self.center and not doubled,
            sparsity_cost=0.0,
        )


@dataclass(frozen=True, repr=False)
class DirectedSettings(Common):
    """How a sigmoid belief net or a variational autoencoder is trained."""

    learning_rate: float = 1e-3
    optimizer: str = "adam"
    objective: str = "vae"
    samples: int = 1
    groups: int = 1
    alpha: float = 0.0
    beta: float = 0.5
    sleep_share: float = 0.5
    warmup_epochs: float = 0.0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        objective = OBJECTIVES[checks.choice(self.objective, "objective", OBJECTIVES)]
        self._check(("samples", "groups"), 1, 10**6, checks.integer)
        self._check(("alpha", "beta", "sleep_share"), 0, 1)
        self._check(("warmup_epochs", "free_bits"), 0, 1e9)
        if objective.dreams and (self.warmup_epochs > 0 or self.free_bits > 0):
            raise InputError(f"warmup_epochs and free_bits scale a bound, but the objective {self.objective} has none.")

    @property
    def knobs(self) -> Knobs:
        """What the objective takes."""
        return Knobs(self.samples, self.groups, self.alpha, self.beta, self.sleep_share)


@dataclass(frozen=True, repr=False)
class BeliefSettings(Common):
    """How a deep belief net is trained: RBMs from the bottom, then the up-down rule on all of it."""

    epochs: int = 0
    learning_rate: float = 0.005
    rule: str = "pcd"
    k: int = 10
    chains: int = 100
    pretrain_epochs: int = 50
    pretrain_learning_rate: float = 0.05
    pretrain_k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice(self.rule, "rule", BELIEF_RULES)
        self._check(("k", "chains", "pretrain_k"), 1, 10**9, checks.integer)
        checks.integer(self.pretrain_epochs, "pretrain_epochs", 0, 10**9)
        checks.number(self.pretrain_learning_rate, "pretrain_learning_rate", 0, 1e6)

    def pretraining(self) -> Settings:
        """The settings of an RBM stage."""
        shared = {field.name: getattr(self, field.name) for field in fields(Common)}
        shared |= {"epochs": self.pretrain_epochs, "learning_rate": self.pretrain_learning_rate}
        return Settings(**shared, rule=self.rule, k=self.pretrain_k, chains=self.chains)


AnySettings = Settings | DirectedSettings | BeliefSettings


def settings_from(kind: type[Common], values: dict[str, Any]) -> Any:
    """Settings of a kind from names and values; an unknown name raises InputError."""
    known = [f.name for f in fields(kind)]
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"help(boltz.{kind.__name__}) names all of them."
            raise InputError(f"There is no setting {checks.brief(name)} here: {hint}")
    return kind(**values)
