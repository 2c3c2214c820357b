"""Settings of fine-tuning a network."""

from __future__ import annotations

from dataclasses import dataclass

from boltz import checks
from boltz.errors import InputError
from boltz.training.meaning import Need, above_zero, again, explained, setting
from boltz.training.settings import OPTIMIZERS, Common

STEPWISE = Need("an {optimizer} other than lbfgs", lambda v: v["optimizer"] != "lbfgs")


@explained
@dataclass(frozen=True, repr=False)
class FineTuneSettings(Common):
    """How a network unrolled from a machine is fine-tuned.

    In the first output_epochs only the topmost dense layer learns. validation is the share of the rows that only serve
    to choose the epoch whose parameters are kept (none: the last one's); patience epochs without a better one end the
    training (0: never). refit then trains anew on all rows, for as many epochs. lbfgs takes an iteration over all rows
    as an epoch, and knows no learning rate.
    """

    epochs: int = again(Common, "epochs", 50, help="Passes over the training rows, or iterations of lbfgs.")
    batch_size: int = again(Common, "batch_size", 100, needs=STEPWISE)
    learning_rate: float = again(Common, "learning_rate", 1e-3, needs=STEPWISE)
    schedule: str = again(Common, "schedule", "linear", needs=STEPWISE)
    optimizer: str = again(Common, "optimizer", "adam", choices=(*OPTIMIZERS, "lbfgs"))
    l1: float = again(Common, "l1", 0.0, needs=STEPWISE)
    l1b: float = again(Common, "l1b", 0.0, needs=STEPWISE)
    max_norm: float = again(Common, "max_norm", 0.0, needs=STEPWISE)
    patience: int = again(
        Common,
        "patience",
        0,
        help="Epochs without a better one after which training ends; 0 for never.",
        needs=above_zero("validation"),
    )
    validation: float = again(
        Common,
        "validation",
        0.1,
        help="Share of the training rows that only choose the epoch to keep; 0 keeps the last one.",
        needs=None,
    )
    shuffle: bool = again(Common, "shuffle", True, needs=STEPWISE)
    binarize: str = again(
        Common,
        "binarize",
        "none",
        help="Grey values kept, cut at 0.5, or as Bernoulli means drawn once.",
        choices=("fixed", "none", "threshold"),
    )
    output_epochs: int = setting(2, "First epochs, in which only the topmost layer learns.")
    dropout: float = setting(0.0, "Share of the hidden units left out at random at each step.")
    input_dropout: float = setting(0.0, "Share of the visible units left out at random at each step.")
    refit: bool = setting(False, "Train anew on all rows in the end, for as many epochs as were chosen.")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer(self.output_epochs, "output_epochs", 0, 10**9)
        self._check(("dropout", "input_dropout"), 0, 0.95)
        if self.optimizer == "lbfgs" and self.dropout + self.input_dropout > 0:
            raise InputError("dropout and input_dropout are noise, which lbfgs cannot follow: take another optimizer.")
        if self.optimizer == "lbfgs" and self.l1 + self.l1b + self.max_norm > 0:
            raise InputError("l1, l1b and max_norm are not smooth, as lbfgs needs: take l2, or another optimizer.")
        if self.refit and self.validation == 0:
            raise InputError("refit trains for the epochs that validation chose, but validation is 0.")
