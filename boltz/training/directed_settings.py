"""Settings of directed machines: sigmoid belief nets and variational autoencoders."""

from __future__ import annotations

from dataclasses import dataclass

from boltz import checks
from boltz.errors import InputError
from boltz.training.meaning import Need, above_zero, again, among, explained, setting
from boltz.training.objectives import OBJECTIVES, Knobs
from boltz.training.settings import Averaged, Common

FREE_BITS = above_zero("free_bits")


def _used(knob: str) -> Need:
    """An objective that takes this number."""
    return among("objective", *(name for name, entry in OBJECTIVES.items() if knob in entry.uses))


@explained
@dataclass(frozen=True, repr=False)
class DirectedSettings(Averaged):
    """How a sigmoid belief net or a variational autoencoder is trained."""

    learning_rate: float = again(Common, "learning_rate", 1e-3)
    optimizer: str = again(Common, "optimizer", "adam")
    objective: str = setting(
        "vae",
        "What is maximised: a bound on the log-likelihood, or the two phases of wake-sleep.",
        choices=tuple(OBJECTIVES),
    )
    samples: int = setting(1, "Samples a row, or a row and group.")
    groups: int = setting(1, "Groups of samples of miwae and piwae.", _used("groups"))
    alpha: float = setting(
        0.0, "Of dreg: 0 for the importance-weighted bound, 1 for reweighted wake-sleep.", _used("alpha")
    )
    beta: float = setting(0.5, "Of ciwae: share of the evidence lower bound.", _used("beta"))
    sleep_share: float = setting(0.5, "Of rws: share of sleep in what recognition learns.", _used("sleep_share"))
    warmup_epochs: float = setting(0.0, "Epochs over which the KL term rises from 0 to its weight.")
    free_bits: float = setting(0.0, "KL term of a hidden layer that costs nothing, in nats a row.")
    soft_free_bits: bool = setting(
        False, "Weigh each KL term so that it stays from free_bits to 5 % above it.", FREE_BITS
    )
    dropout: float = setting(
        0.0, "Share of the units of deterministic layers that a step leaves out; what is measured hears all of them."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        objective = OBJECTIVES[self.objective]
        self._check(("samples", "groups"), 1, 10**6, checks.integer)
        self._check(("alpha", "beta", "sleep_share"), 0, 1)
        self._check(("warmup_epochs", "free_bits"), 0, 1e9)
        checks.number(self.dropout, "dropout", 0, 0.99)
        if objective.dreams and self.dropout > 0:
            raise InputError(
                f"dropout must be 0 for the objective {self.objective}, in which the machine learns from its own "
                f"dreams, got {self.dropout:g}."
            )
        if objective.dreams and (self.warmup_epochs > 0 or self.free_bits > 0):
            raise InputError(f"warmup_epochs and free_bits scale a bound, but the objective {self.objective} has none.")

    @property
    def knobs(self) -> Knobs:
        """What the objective takes."""
        return Knobs(self.samples, self.groups, self.alpha, self.beta, self.sleep_share)
