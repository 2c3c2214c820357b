"""Every setting of a training run, validated once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from boltz import checks
from boltz.data.binarize import HOW as BINARIZE
from boltz.errors import InputError
from boltz.foreign import near, short_repr
from boltz.sampling.meanfield import MeanField
from boltz.storage import snapshots
from boltz.training.meaning import Need, above_zero, again, among, explained, largest, setting

SAMPLING = ("cd", "pcd", "ptt", "ucd")  # rules with chains
PREDICTING = "multi-prediction"
RULES = (*SAMPLING, PREDICTING)
RUNGS = 6  # of rule ptt
PREDICTED, PREDICTION_SWEEPS = 0.5, 5  # of rule multi-prediction
PAIRS = 1000  # of layers, at most
BELIEF_RULES = ("cd", "pcd")
SCHEDULES = ("constant", "linear", "hold", "cosine", "exponential", "inverse", "stages")
SWEEP_SCHEDULES = (*SCHEDULES, "per-sweep")  # of what has sweeps
SAME = "same"  # as in the rest of the training
OPTIMIZERS = ("momentum", "nesterov", "adam", "adamax")
PRETRAIN = ("doubling", "bottom", "two-stage")
POSITIVE = ("mean-field", "collapsed", "gibbs")
NEGATIVE = ("states", "means")
CHAIN_START = ("data", "up-pass", "noise")
GAUGES = ("none", "zero-sum")
AVERAGING = ("none", "last", "exponential", "polynomial")
MOMENTUM, ADAM = among("optimizer", "momentum", "nesterov"), among("optimizer", "adam", "adamax")
RULE_PTT, RULE_PREDICTING = among("rule", "ptt"), among("rule", PREDICTING)
PRETRAINED = above_zero("pretrain_epochs")
CHAINS = among("rule", "pcd", "ptt")
SWEPT = Need(
    f"{{rule}} {' or '.join(SAMPLING)}, and {{epochs}} above 0",
    lambda v: v["rule"] in SAMPLING and largest(v["epochs"]) > 0,
)
RATES_MOVE = Need("{center} or {sparsity_cost} above 0", lambda v: v["center"] or largest(v["sparsity_cost"]) > 0)


Self = TypeVar("Self", bound="Common")


def _scheduled(*schedules: str) -> Need:
    """One of these schedules, in training or in pretraining."""
    words = f"{{schedule}} {' or '.join(schedules)}"
    return Need(words, lambda v: v["schedule"] in schedules or v.get("pretrain_schedule") in schedules)


@explained
@dataclass(frozen=True, repr=False)
class Common:
    """What training of every machine has; rates are per update of the mean gradient (nats a row).

    With held-out rows, patience epochs of a stage without a better log-likelihood of these end the stage, and the
    parameters of its best epoch are kept; 0 trains for all epochs and keeps the last ones. validation is the share of
    the rows that is held out where no others are given.
    """

    BY_PAIR: ClassVar[tuple[str, ...]] = ()  # settings that may have a number for each pair of neighbouring layers

    epochs: int = setting(10, "Passes over the training rows at most.")
    batch_size: int = setting(100, "Rows of a batch.")
    learning_rate: float = setting(
        0.05,
        "Learning rate at the start, for the gradient of the mean over the rows of a batch.",
        above_zero("epochs"),
    )
    seed: int = setting(0, "Seed of all random numbers.")
    schedule: str = setting(
        "linear",
        "Course of the learning rate: constant, linear to zero, held for a third of the epochs and then linear to "
        "zero, half a cosine wave to zero, halved again and again, falling as 1/t, in stages of 3^i epochs, or, where "
        "there are sweeps, divided by k (per-sweep).",
        choices=SCHEDULES,
    )
    decay_epochs: float = setting(
        10.0,
        "Epochs after which the inverse or the exponential schedule has halved the learning rate.",
        _scheduled("exponential", "inverse"),
    )
    rate_floor: float = setting(
        0.0,
        "Share of its start below which no schedule takes the learning rate.",
        _scheduled(*(name for name in SWEEP_SCHEDULES if name != "constant")),
    )
    optimizer: str = setting("momentum", "How steps are taken along the gradient.", choices=OPTIMIZERS)
    momentum: float = setting(0.0, "Momentum of the momentum and nesterov optimizers.", MOMENTUM)
    initial_momentum: float = setting(0.0, "Momentum during the first epochs.", MOMENTUM)
    momentum_epochs: int = setting(5, "Epochs with the initial momentum.", MOMENTUM)
    adam_beta1: float = setting(0.9, "Decay of the first moments of Adam and Adamax.", ADAM)
    adam_epsilon: float = setting(1e-8, "What Adam adds to roots of second moments, Adamax to largest slopes.", ADAM)
    adam_second: float = setting(0.0, "What Adam's second moments start at.", among("optimizer", "adam"))
    l2: float = setting(0.0, "Weight decay: penalty on half the squared weights.")
    l1: float = setting(0.0, "Penalty on the absolute weights.")
    l1b: float = setting(
        0.0,
        "Penalty on half the square of the summed absolute incoming weights of a unit, over their number "
        "(Tubiana, Cocco & Monasson 2019, eq. 8), which makes weak weights of strong units 0.",
    )
    max_norm: float = setting(0.0, "Largest norm of the incoming weights of a unit; 0 sets no limit.")
    patience: int = setting(
        0,
        "Epochs without a better log-likelihood of the validation rows after which a stage ends, with the "
        "parameters of its best epoch; 0 for all epochs.",
    )
    validation: float = setting(
        0.0, "Share of the training rows that is held out as validation rows.", above_zero("patience")
    )
    shuffle: bool = setting(True, "Take the rows in a new random order in each epoch, or always in that of the data.")
    binarize: str = setting(
        "dynamic",
        "Grey values as Bernoulli means drawn at each use (dynamic) or once (fixed), cut at 0.5, or kept.",
        choices=BINARIZE,
    )
    checkpoint_seconds: float = setting(30.0, "Seconds between checkpoints.")

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type == "bool":
                checks.flag(getattr(self, field.name), field.name)
            if field.metadata["choices"]:
                checks.choice(getattr(self, field.name), field.name, field.metadata["choices"])
        checks.integer(self.batch_size, "batch_size", 1, 10**9)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)
        self._check(("epochs", "momentum_epochs", "patience"), 0, 10**9, checks.integer)
        self._check(("l2", "l1", "l1b", "max_norm", "learning_rate", "adam_second", "checkpoint_seconds"), 0, 1e6)
        self._check(("momentum", "initial_momentum", "adam_beta1"), 0, 0.999)
        checks.number(self.validation, "validation", 0, 0.95)
        checks.number(self.rate_floor, "rate_floor", 0, 1)
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
            value = getattr(self, name)
            if name in self.BY_PAIR and isinstance(value, list | tuple) and value:
                if len(value) > PAIRS:
                    raise InputError(f"{name} must be a number, or one for each pair of layers, got {len(value):,}.")
                for each in value:
                    check(each, name, least, most)
                object.__setattr__(self, name, tuple(value))
            else:
                check(value, name, least, most)

    @property
    def several(self) -> dict[str, int]:
        """How many numbers the settings have that have one for each pair of layers."""
        return {name: len(getattr(self, name)) for name in self.BY_PAIR if isinstance(getattr(self, name), tuple)}

    def check_pairs(self, pairs: int) -> None:
        """Raise InputError if a setting has several numbers, but not one for each of so many pairs of layers."""
        pairs = checks.integer(pairs, "pairs", 1, PAIRS)
        for name, count in self.several.items():
            if count != pairs:
                wanted = f"one number, or one for each of the {pairs} pairs of neighbouring layers"
                wanted = wanted if pairs > 1 else "one number for a machine with one hidden layer"
                raise InputError(f"{name} must be {wanted}, got {count}.")

    def of_pair(self: Self, pair: int) -> Self:
        """The settings of a pair of neighbouring layers, counted from 0 at the bottom; raises InputError."""
        known = min(self.several.values(), default=PAIRS)
        pair = checks.integer(pair, "pair", 0, known - 1)
        return _of_pair(self, pair) if self.several else self

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


@explained
@dataclass(frozen=True, repr=False)
class Averaged(Common):
    """What training of every machine, but not of a network, has besides."""

    averaging: str = setting(
        "none",
        "What a stage ends with: its last parameters (none), their mean over its last updates (last), an exponential "
        "average, or a polynomial one, which looks back over the same share of the updates at any time.",
        choices=AVERAGING,
    )
    average_share: float = setting(
        0.2,
        "Share of the updates of a stage, its last ones, whose parameters are averaged (last), or over which the "
        "weights of a polynomial average rise.",
        among("averaging", "last", "polynomial"),
    )
    average_decay: float = setting(
        0.999, "What an exponential average keeps of itself at an update.", among("averaging", "exponential")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(self.average_share, "average_share", 1e-6, 1)
        checks.number(self.average_decay, "average_decay", 1e-9, 1 - 1e-9)


@lru_cache(maxsize=64)  # of the runs at work; a long process sees any number of settings
def _of_pair(settings: Any, pair: int) -> Any:
    return replace(settings, **{name: getattr(settings, name)[pair] for name in settings.several})


@explained
@dataclass(frozen=True, repr=False)
class Settings(Averaged):
    """How a Boltzmann machine is trained.

    Rates, penalties, and what pretraining has, are one number, or one for each pair of neighbouring layers from the
    bottom; a rate of a pair is that of its weights and of the biases above them, the first also of the visible biases.
    """

    BY_PAIR: ClassVar[tuple[str, ...]] = (
        *("learning_rate", "momentum", "initial_momentum", "l2", "l1", "l1b", "max_norm"),
        *("sparsity_target", "sparsity_cost"),
        *("pretrain_epochs", "pretrain_learning_rate", "pretrain_k", "pretrain_l2"),
    )

    schedule: str = again(Common, "schedule", "linear", choices=SWEEP_SCHEDULES)
    rule: str = setting(
        "pcd",
        "Negative phase: contrastive divergence from the data (cd), persistent chains (pcd), persistent chains that "
        "exchange with snapshots and jump, for data with separated modes (ptt), coupled chains that go on until they "
        "meet, without bias (ucd), or none: visible units are predicted from others (multi-prediction).",
        choices=RULES,
    )
    k: int | str = setting(
        1,
        "Gibbs sweeps of the negative phase a step; A:B rises from A to B, each number for an equal share of the "
        "epochs of the stage.",
        SWEPT,
    )
    chains: int = setting(100, "Persistent chains (fantasy particles).", CHAINS)
    chain_start: str = setting(
        "data",
        "Where persistent chains begin: at rows of the data, with hidden states drawn from mean field (data) or "
        "upwards layer by layer (up-pass), or at fair coins, with hidden states drawn upwards (noise).",
        CHAINS,
        CHAIN_START,
    )
    negative: str = setting(
        "states",
        "What a hidden layer that a sweep draws first gives to the negative phase: its states, as is right, or its "
        "means, which belong to states before the ones that the other layers heard.",
        among("rule", "cd", "pcd", "ptt"),
        NEGATIVE,
    )
    rungs: int = setting(RUNGS, "Snapshots of training that the persistent chains of ptt exchange with.", RULE_PTT)
    predicted_share: float = setting(
        PREDICTED,
        "Share of the visible units of a row that multi-prediction predicts from the others, drawn anew each time.",
        RULE_PREDICTING,
    )
    prediction_sweeps: int = setting(
        PREDICTION_SWEEPS,
        "Mean-field sweeps by which multi-prediction predicts, and through which it learns.",
        RULE_PREDICTING,
    )
    sparsity_target: float = setting(
        0.1, "Mean activity that the sparsity penalty aims at.", above_zero("sparsity_cost")
    )
    sparsity_cost: float = setting(0.0, "Strength of the sparsity penalty.")
    center: bool = setting(False, "Centre the units by moving averages of their means on the data.")
    center_rate: float = setting(0.01, "Rate of the moving averages for centring and sparsity.", RATES_MOVE)
    clip_norm: float = setting(0.0, "Largest norm of a gradient, to which a larger one is scaled down; 0 for none.")
    gauge: str = setting(
        "none",
        "Weights and biases of categorical units as they are learnt (none), or put after each update where they sum to "
        "0 over the states of a unit (zero-sum), which changes no probability, but what penalties act on. A training "
        "of such units takes zero-sum unless told otherwise.",
        choices=GAUGES,
    )
    variance_rate: float = setting(
        0.1, "Learning rate of the log-variances of Gaussian units, as a share of that of the others; 0 keeps them."
    )
    positive: str = setting(
        "mean-field",
        "States of hidden layers given the data: means of a factorised posterior (mean-field), or a draw of every "
        "other layer and the exact means of the rest given it, drawn from mean field (collapsed) or by a Markov chain "
        "for each training row (gibbs).",
        among("rule", *SAMPLING),
        POSITIVE,
    )
    positive_draws: int = setting(
        1,
        "Draws one after the other of a positive phase that draws: Gibbs sweeps where each row has a chain.",
        among("positive", "collapsed", "gibbs"),
    )
    mean_field_sweeps: int = setting(10, "Most mean-field sweeps of the positive phase.")
    mean_field_tolerance: float = setting(1e-3, "Largest change of a mean at which mean field stops.")
    mean_field_damping: float = setting(0.0, "Share of the old mean that a mean-field sweep keeps.")
    pretrain: str = setting(
        "doubling",
        "What pretraining trains: all pairs of layers with doubled inputs, only the bottom pair, or, with two hidden "
        "layers, an RBM of the data and the upper layer, and then the whole with the upper layer as that RBM draws it.",
        PRETRAINED,
        PRETRAIN,
    )
    pretrain_epochs: int = setting(
        0, "Epochs of each pretraining stage, which trains a pair of layers as an RBM; 0 skips them."
    )
    pretrain_learning_rate: float = setting(0.05, "Learning rate of pretraining at its start.", PRETRAINED)
    pretrain_k: int | str = setting(1, "Gibbs sweeps of the negative phase a step in pretraining, as k.", PRETRAINED)
    pretrain_l2: float | str = setting(SAME, "Weight decay in pretraining; same for that of l2.", PRETRAINED)
    pretrain_schedule: str = setting(
        SAME,
        "Course of the learning rate in pretraining; same for that of schedule.",
        PRETRAINED,
        (SAME, *SWEEP_SCHEDULES),
    )
    snapshots: int = setting(
        32,
        "Copies of the machine kept along training, at updates in equal ratios, for replica exchange; 0 for none.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.rising(self.k, "k", 1, 10**9)
        self._check(("chains", "mean_field_sweeps", "positive_draws"), 1, 10**9, checks.integer)
        checks.integer(self.rungs, "rungs", 2, 10**4)
        checks.number(self.predicted_share, "predicted_share", 1e-6, 1)
        checks.integer(self.prediction_sweeps, "prediction_sweeps", 1, 1000)
        self._check_rule()
        checks.integer(self.snapshots, "snapshots", 0, snapshots.MOST)
        _check_pretraining(self)
        self._check(("sparsity_cost", "clip_norm"), 0, 1e6)
        checks.number(self.mean_field_damping, "mean_field_damping", 0, 0.999)
        self._check(("center_rate", "mean_field_tolerance", "sparsity_target", "variance_rate"), 0, 1)

    def _check_rule(self) -> None:
        """Raise InputError for what the rule does not have."""
        usual: dict[str, Any] = {"rungs": RUNGS, "predicted_share": PREDICTED, "prediction_sweeps": PREDICTION_SWEEPS}
        usual |= {"positive": "mean-field"}
        for name, value in usual.items():
            need = type(self).__dataclass_fields__[name].metadata["needs"]
            if getattr(self, name) != value and not need.met({"rule": self.rule}):
                raise InputError(f"{name} would do nothing: it needs {need.told()}, got rule={self.rule!r}.")
        if self.rule == PREDICTING and self.schedule == "per-sweep":
            raise InputError(f"schedule must not be per-sweep for rule {PREDICTING}, which has no sweeps of chains.")

    @property
    def mean_field(self) -> MeanField:
        """The options of the positive phase."""
        return MeanField(self.mean_field_tolerance, self.mean_field_sweeps, self.mean_field_damping)

    @property
    def sparse(self) -> bool:
        """Whether some layer has a sparsity penalty."""
        return bool(largest(self.sparsity_cost) > 0)

    def pretraining(self, pair: int) -> Settings:
        """The settings of a stage: PCD for the bottom alone, or PTT where that is the rule of the whole machine, so
        that no mode is lost before it is trained, else CD; centred where it is a plain RBM; not sparse.

        pair is that of its layers, or the number of the stage of two-stage pretraining, from 0.
        """
        bottom, own = self.pretrain == "bottom", self.of_pair(pair)
        plain, exchanging = bottom or (self.pretrain == "two-stage" and pair == 0), self.rule == "ptt" and bottom
        return replace(
            own,
            rule="ptt" if exchanging else "pcd" if bottom else "cd",
            rungs=self.rungs if exchanging else RUNGS,
            predicted_share=PREDICTED,
            prediction_sweeps=PREDICTION_SWEEPS,
            k=own.pretrain_k,
            epochs=own.pretrain_epochs,
            learning_rate=own.pretrain_learning_rate,
            **_apart(own),
            center=self.center and plain,
            positive="mean-field",
            positive_draws=1,
            sparsity_cost=0.0,
        )


@explained
@dataclass(frozen=True, repr=False)
class BeliefSettings(Averaged):
    """How a deep belief net is trained: RBMs from the bottom, then the up-down rule on all of it.

    epochs are those of the up-down rule; there is no rule ptt. What pretraining has is one number, or one for each pair
    of neighbouring layers from the bottom.
    """

    BY_PAIR: ClassVar[tuple[str, ...]] = ("pretrain_epochs", "pretrain_learning_rate", "pretrain_k", "pretrain_l2")

    epochs: int = again(Common, "epochs", 0)
    learning_rate: float = again(Common, "learning_rate", 0.005)
    schedule: str = again(Settings, "schedule", "linear")
    rule: str = again(Settings, "rule", "pcd", choices=BELIEF_RULES)
    k: int | str = again(Settings, "k", 10)
    chains: int = again(Settings, "chains", 100)
    pretrain_epochs: int = again(Settings, "pretrain_epochs", 50)
    pretrain_learning_rate: float = again(Settings, "pretrain_learning_rate", 0.05)
    pretrain_k: int | str = again(Settings, "pretrain_k", 1)
    pretrain_l2: float | str = again(Settings, "pretrain_l2", SAME)
    pretrain_schedule: str = again(Settings, "pretrain_schedule", SAME)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.rising(self.k, "k", 1, 10**9)
        checks.integer(self.chains, "chains", 1, 10**9)
        _check_pretraining(self)

    def pretraining(self, pair: int) -> Settings:
        """The settings of the RBM stage of a pair of layers."""
        own = self.of_pair(pair)
        shared = {field.name: getattr(own, field.name) for field in fields(Averaged)}
        shared |= {"epochs": own.pretrain_epochs, "learning_rate": own.pretrain_learning_rate, **_apart(own)}
        return Settings(**shared, rule=own.rule, k=own.pretrain_k, chains=own.chains)


def _check_pretraining(settings: Settings | BeliefSettings) -> None:
    """Raise InputError unless what pretraining has is what it must be."""
    settings._check(("pretrain_epochs",), 0, 10**9, checks.integer)
    settings._check(("pretrain_learning_rate",), 0, 1e6)
    settings._check(("pretrain_k",), 1, 10**9, checks.rising)
    if not _same(settings.pretrain_l2):
        settings._check(("pretrain_l2",), 0, 1e6)


def _apart(own: Settings | BeliefSettings) -> dict[str, Any]:
    """The decay and the schedule of pretraining, where they are its own."""
    found = {"l2": own.pretrain_l2, "schedule": own.pretrain_schedule}
    return {name: value for name, value in found.items() if not _same(value)}


def _same(value: Any) -> bool:
    """Whether pretraining takes what the rest of the training has."""
    return isinstance(value, str) and value == SAME


AnySettings = Averaged


def settings_from(kind: type[Common], values: dict[str, Any]) -> Any:
    """Settings of a kind from names and values; an unknown name raises InputError."""
    known = [f.name for f in fields(kind)]
    for name in values:
        if name not in known:
            hint = near(name, known) or f": help(boltz.{kind.__name__}) names all of them."
            raise InputError(f"There is no setting {checks.brief(name)} here{hint}")
    return kind(**values)
