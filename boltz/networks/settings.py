"""Settings of fine-tuning a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from boltz import checks
from boltz.errors import InputError
from boltz.training.needs import Needs, Values
from boltz.training.settings import OPTIMIZERS, Common


@dataclass(frozen=True, repr=False)
class FineTuneSettings(Common):
    """How a network unrolled from a machine is fine-tuned.

    In the first output_epochs only the topmost dense layer learns. validation is the share of the rows that only serve
    to choose the epoch whose parameters are kept (none: the last one's); patience epochs without a better one end the
    training (0: never). refit then trains anew on all rows, for as many epochs. lbfgs takes an iteration over all rows
    as an epoch, and knows no learning rate.
    """

    epochs: int = 50
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    binarize: str = "none"
    output_epochs: int = 2
    dropout: float = 0.0
    input_dropout: float = 0.0
    validation: float = 0.1
    refit: bool = False
    optimizers: ClassVar[tuple[str, ...]] = (*OPTIMIZERS, "lbfgs")
    binarizations: ClassVar[tuple[str, ...]] = ("fixed", "none", "threshold")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer(self.output_epochs, "output_epochs", 0, 10**9)
        self._check(("dropout", "input_dropout"), 0, 0.95)
        if self.optimizer == "lbfgs" and self.dropout + self.input_dropout > 0:
            raise InputError("dropout and input_dropout are noise, which lbfgs cannot follow: take another optimizer.")
        if self.optimizer == "lbfgs" and self.l1 + self.max_norm > 0:
            raise InputError("l1 and max_norm are not smooth, as lbfgs needs: take l2, or another optimizer.")
        if self.refit and self.validation == 0:
            raise InputError("refit trains for the epochs that validation chose, but validation is 0.")


def _optimizer(*names: str) -> tuple[str, Callable[[Values], bool]]:
    return f"--optimizer {' or '.join(names)}", lambda v: v["optimizer"] in names


STEPWISE = ("an --optimizer other than lbfgs", lambda v: v["optimizer"] != "lbfgs")
NEEDS: Needs = {
    **dict.fromkeys(("batch_size", "learning_rate", "schedule", "shuffle", "l1", "max_norm"), STEPWISE),
    "decay_epochs": ("--schedule inverse", lambda v: v["schedule"] == "inverse"),
    **dict.fromkeys(("momentum", "initial_momentum", "momentum_epochs"), _optimizer("momentum", "nesterov")),
    **dict.fromkeys(("adam_beta1", "adam_epsilon", "adam_second"), _optimizer("adam")),
    "patience": ("--validation above 0", lambda v: v["validation"] > 0),
}  # setting -> the option that it does nothing without, and whether that is so
