"""Every setting of a training run, validated once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from boltz import checks
from boltz.data.binarize import HOW as BINARIZE
from boltz.errors import InputError
from boltz.sampling.meanfield import MeanField

RULES = ("cd", "pcd")
SCHEDULES = ("constant", "linear", "inverse")
OPTIMIZERS = ("momentum", "nesterov", "adam")
PRETRAIN = ("doubling", "bottom")


@dataclass(frozen=True)
class Settings:
    """How a machine is trained; rates are per update of the mean log-likelihood gradient (nats a row)."""

    rule: str = "pcd"
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 0.05
    seed: int = 0
    k: int = 1
    chains: int = 100
    schedule: str = "linear"
    decay_epochs: float = 10.0
    optimizer: str = "momentum"
    momentum: float = 0.0
    initial_momentum: float = 0.0
    momentum_epochs: int = 5
    l2: float = 0.0
    l1: float = 0.0
    max_norm: float = 0.0
    sparsity_target: float = 0.1
    sparsity_cost: float = 0.0
    center: bool = False
    center_rate: float = 0.01
    binarize: str = "dynamic"
    mean_field_sweeps: int = 10
    mean_field_tolerance: float = 1e-3
    mean_field_damping: float = 0.0
    pretrain: str = "doubling"
    pretrain_epochs: int = 0
    pretrain_learning_rate: float = 0.05
    pretrain_k: int = 1
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        checks.choice(self.rule, "rule", RULES)
        checks.choice(self.schedule, "schedule", SCHEDULES)
        checks.choice(self.optimizer, "optimizer", OPTIMIZERS)
        checks.choice(self.pretrain, "pretrain", PRETRAIN)
        checks.choice(self.binarize, "binarize", BINARIZE)
        if not isinstance(self.center, bool):
            raise InputError(f"center must be True or False, got {self.center!r}.")
        for name in ("batch_size", "k", "chains", "mean_field_sweeps", "pretrain_k"):
            checks.integer(getattr(self, name), name, 1, 10**9)
        for name in ("epochs", "momentum_epochs", "pretrain_epochs"):
            checks.integer(getattr(self, name), name, 0, 10**9)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)
        for name in ("l2", "l1", "max_norm", "sparsity_cost", "learning_rate", "pretrain_learning_rate"):
            checks.number(getattr(self, name), name, 0, 1e6)
        for name in ("momentum", "initial_momentum", "mean_field_damping"):
            checks.number(getattr(self, name), name, 0, 0.999)
        for name in ("center_rate", "mean_field_tolerance", "sparsity_target"):
            checks.number(getattr(self, name), name, 0, 1)
        checks.number(self.checkpoint_seconds, "checkpoint_seconds", 0, 1e6)
        checks.number(self.decay_epochs, "decay_epochs", 1e-6, 1e9)

    @property
    def mean_field(self) -> MeanField:
        """The options of the positive phase."""
        return MeanField(self.mean_field_tolerance, self.mean_field_sweeps, self.mean_field_damping)

    def pretraining(self) -> Settings:
        """The settings of an RBM stage: CD where inputs are doubled, else PCD; not centred, not sparse."""
        return replace(
            self,
            rule="cd" if self.pretrain == "doubling" else "pcd",
            k=self.pretrain_k,
            epochs=self.pretrain_epochs,
            learning_rate=self.pretrain_learning_rate,
            center=False,
            sparsity_cost=0.0,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def settings_from(values: dict[str, Any]) -> Settings:
    """Settings from names and values; an unknown name raises InputError."""
    known = [f.name for f in fields(Settings)]
    for name in values:
        if name not in known:
            raise InputError(f"train has no setting {name!r}; it has {', '.join(known)}.")
    return Settings(**values)
