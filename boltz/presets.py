"""The settings that each kind of machine is trained with unless told otherwise, in Python and on the command line.

Batches and epochs follow from the number of rows. A table of few rows gets small batches and many epochs, so that
there are enough updates to learn from it; held-out rows, where there are any, then end the training in time.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

from boltz import checks
from boltz.errors import InputError

FOLDER, ENDING = resources.files("boltz") / "recipes", ".toml"

LEAST_UPDATES, MOST_UPDATES = 10_000, 60_000
MOST_EPOCHS, EPOCHS_A_ROW = 2000, 500  # of a handful of rows, and of fewer, such as one, which teach nothing more
EPOCHS = 100  # where these are neither too few nor too many updates
BATCH, LEAST_BATCH, BATCHES = 100, 10, 50  # the largest and smallest batch; batches an epoch where rows are few
PATIENCE = 0.5  # share of the epochs: an RBM may stand still for long before its units part
VALIDATION, FEW, LEAST_PARTED = 0.1, 5000, 20  # share held out of fewer rows than so many, but not of fewer than these

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "rbm": {"rule": "pcd", "center": True, "averaging": "polynomial"},
    "dbm": {
        "rule": "pcd",
        "pretrain": "bottom",
        "center": True,
        "positive": "gibbs",
        "mean_field_sweeps": 5,
        "averaging": "polynomial",
        "l2": 1e-4,
    },
}
SETTINGS = {
    **SETTINGS,
    "multimodal": {**SETTINGS["dbm"], "pretrain": "doubling", "binarize": "none"},
    "bm": {**SETTINGS["rbm"], "positive": "collapsed", "l2": 1e-4},
    "vlae": {"optimizer": "adamax", "averaging": "exponential", "average_decay": 0.998},
    "pixelcnn": {"optimizer": "adamax", "averaging": "exponential", "average_decay": 0.998},
}
RATES: Mapping[str, Mapping[str, float]] = {
    "bm": {"learning_rate": 0.05},
    "multimodal": {"pretrain_learning_rate": 0.1, "learning_rate": 0.05},
    "rbm": {"learning_rate": 0.1},
    "dbm": {"pretrain_learning_rate": 0.1, "learning_rate": 0.05},
    "dbn": {"pretrain_learning_rate": 0.05},
    "vlae": {"learning_rate": 0.002},
    "nade": {"learning_rate": 0.001},
    "made": {"learning_rate": 0.001},
    "pixelcnn": {"learning_rate": 0.002},
    "sbn": {"learning_rate": 0.003},
    "vae": {"learning_rate": 0.003},
    "aae": {"learning_rate": 0.002},
}  # where there are at least ROWS_A_UNIT rows a unit
ROWS_A_UNIT = 5
MOST_ROW_CHAINS = 500_000  # training rows that have a Markov chain each: checkpoints hold the states of all
FREE_BITS = 0.01  # nats of the hidden layer for each visible unit (Chen et al. 2017, appendix A)
PREDICTION_RATE = 0.3  # of rule multi-prediction
SPIN_RATE = 0.5  # of rates, for each layer of spins at an edge
COUNTS_RATE = 0.3  # of rates, where rows are documents of hundreds of words
MANY_GAUSSIAN, CLIP_NORM = 100, 10.0  # visible units beyond which rates fall, and largest norm of a gradient
UNJUDGED = ("aae",)  # kinds without a likelihood to be judged by while they learn
SHARES: Mapping[str, Mapping[str, float]] = {
    "rbm": {"epochs": 1.0},
    "dbm": {"pretrain_epochs": 2.0, "epochs": 1.0},
    "multimodal": {"pretrain_epochs": 2.0, "epochs": 1.0},
    "bm": {"epochs": 1.0},
    "dbn": {"pretrain_epochs": 1.0, "epochs": 0.2},
    "sbn": {"epochs": 1.0},
    "vae": {"epochs": 1.5},
    "vlae": {"epochs": 0.6},
    "nade": {"epochs": 1.0},
    "made": {"epochs": 1.0},
    "pixelcnn": {"epochs": 0.3},
    "aae": {"epochs": 1.0},
}  # of the epochs that epochs_for gives


BOUNDS = (
    *("objective", "samples", "groups", "alpha", "beta", "sleep_share", "warmup_epochs"),
    *("free_bits", "soft_free_bits", "dropout"),
)  # settings of hidden layers, which an exact likelihood does without
LACKS: Mapping[str, tuple[str, ...]] = {
    "rbm": (
        *("positive", "positive_draws", "mean_field_sweeps", "mean_field_tolerance", "mean_field_damping"),
        *("pretrain", "pretrain_epochs", "pretrain_learning_rate", "pretrain_k", "pretrain_l2", "pretrain_schedule"),
        "negative",
    ),
    "sbn": ("groups", "alpha", "beta"),
    "nade": BOUNDS,
    "made": BOUNDS,
    "pixelcnn": BOUNDS,
    "bm": (
        *("pretrain", "pretrain_epochs", "pretrain_learning_rate", "pretrain_k", "pretrain_l2", "pretrain_schedule"),
        *("rungs", "predicted_share", "prediction_sweeps", "gauge", "sparsity_target", "sparsity_cost"),
    ),
    "multimodal": ("rungs", "predicted_share", "prediction_sweeps"),
    "aae": ("patience", "validation"),
}  # kind -> settings of its class that mean nothing to it
ONLY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "bm": {"rule": ("cd", "pcd")},
    "multimodal": {"rule": ("cd", "pcd"), "binarize": ("none",)},
    "sbn": {"prior": ("factorial", "nade", "made"), "visible": ("bernoulli", "gaussian")},
    "vae": {
        "prior": ("normal", "flow", "coupling"),
        "visible": ("bernoulli", "gaussian"),
        "encoder": ("dense", "resnet"),
    },
    "vlae": {
        "prior": ("normal", "flow", "coupling"),
        "visible": ("bernoulli", "levels"),
        "encoder": ("dense", "resnet"),
    },
    "pixelcnn": {"visible": ("bernoulli", "levels")},
    "aae": {
        "prior": ("normal", "mixture", "swiss-roll", "uniform"),
        "visible": ("bernoulli", "gaussian"),
        "encoder": ("deterministic", "gaussian", "implicit"),
    },
}  # kind -> settings of which it takes some values alone
CODES = (
    *("encoder", "residual_maps", "decoder", "prior", "posterior", "receptive_field", "filters", "maps", "tied"),
    *("flow_steps", "flow_widths"),
)
MASKED = ("masks", "natural")
TOLD = ("labels", "classes", "clusters", "embed", "encoder", "noise", "prior_sigma")
INSIDE = ("conditionals", "conditional_units", "prior_units")
SHAPES = (
    *("layers", "latent", "widths", "activation", "visible", "mixture", "initial_scale", "initial_bias"),
    *CODES,
    *MASKED,
    *INSIDE,
    *TOLD,
)  # of a new machine
KINDS = ("rbm", "dbm", "bm", "multimodal", "dbn", "sbn", "vae", "vlae", "nade", "made", "pixelcnn", "aae", "helmholtz")


@dataclass(frozen=True)
class Recipe:
    """A training of a published result: the machine, its data, the options of the machine by name, and the number of
    stages of 3^i epochs, None where it has none.

    options hold the shape of the machine (layers, latent) and its settings.
    """

    name: str
    title: str
    model: str
    data: str
    limit: int | None
    stages: int | None
    options: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of boltz.train; the whole training is followed, whatever held-out rows say."""
        return {"patience": 0} | {name: value for name, value in self.options.items() if name not in SHAPES}

    @property
    def entry(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return {"name": self.name} | ({} if self.stages is None else {"stages": self.stages})

    def cut(self, stages: int | None) -> Recipe:
        """The recipe with its first stages only; raises InputError."""
        if self.stages is None:
            if stages is None:
                return self
            raise InputError(f"--stages cuts a recipe with stages of 3^i epochs short, but {self.name} has none.")
        if stages is None:
            stages = self.stages
        whole = isinstance(stages, int) and not isinstance(stages, bool)
        if not whole or not 1 <= stages <= self.stages:
            found = checks.brief(stages)
            raise InputError(f"--stages must be from 1 to {self.stages} with the recipe {self.name}, got {found}.")
        return replace(self, stages=stages, options=self.options | {"epochs": (3**stages - 1) // 2})


def recipe_names() -> list[str]:
    """The recipes that come with boltz."""
    return sorted(entry.name.removesuffix(ENDING) for entry in FOLDER.iterdir() if entry.name.endswith(ENDING))


def recipe(name: str) -> Recipe:
    """The training of a published result by name, with all its stages; raises InputError."""
    checks.choice(name, "name", recipe_names())
    text = tomllib.loads((FOLDER / f"{name}{ENDING}").read_text(encoding="utf-8"))
    options = dict(text["options"])
    if "layers" in options:
        options["layers"] = tuple(_numbers(group) for group in options["layers"].split("/"))
    if "latent" in options:
        options["latent"] = _numbers(options["latent"])
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    whole = Recipe(name, text["title"], text["model"], text["data"], text.get("limit"), text.get("stages"), options)
    return whole.cut(None)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def batch_for(rows: int) -> int:
    """Rows of a batch: 100, but at least 50 batches an epoch and at least 10 rows."""
    return min(max(rows // BATCHES, LEAST_BATCH), BATCH)


def epochs_for(rows: int, batch: int) -> int:
    """Passes over so many rows: 100, but no fewer than 10,000 updates and no more than 60,000, and never over 2,000.

    Of fewer than four rows there are 500 epochs for each.
    """
    updates = -(-rows // batch)
    wanted = max(-(-LEAST_UPDATES // updates), min(EPOCHS, -(-MOST_UPDATES // updates)))
    return min(wanted, MOST_EPOCHS, EPOCHS_A_ROW * rows)


def patience_for(kind: str, epochs: int) -> int:
    """Epochs to wait for a better one, where the last stage of a kind of machine has so many."""
    return max(round(PATIENCE * epochs / SHARES.get(kind, {"epochs": 1.0})["epochs"]), 1)


def lengths_of(kind: str) -> tuple[str, ...]:
    """The settings of a kind of machine that hold epochs of its stages."""
    return tuple(SHARES.get(kind, {"epochs": 1.0}))


def rates_for(kind: str, rows: int, units: int) -> dict[str, float]:
    """Learning rates by setting: less where there are fewer than five rows a unit, which are learnt by heart."""
    return {name: rate * _slower(rows, units) for name, rate in RATES.get(kind, {}).items()}


def _slower(rows: int, units: int) -> float:
    """What rates are multiplied by where there are few rows."""
    return min(1.0, rows / (ROWS_A_UNIT * units))


def with_rule(kind: str, rule: Any, found: Mapping[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    """A preset for (rows, units) where a rule is named: multi-prediction trains all layers at once, at another rate,
    without RBMs below, in as many epochs as an RBM has. It has no positive phase, and no likelihood to be judged by.
    """
    if rule != "multi-prediction" or kind not in ("rbm", "dbm", "multimodal"):
        return dict(found)
    epochs = max(round(found["epochs"] / SHARES[kind]["epochs"]), 1)
    rate = PREDICTION_RATE * _slower(*shape)
    own = {"learning_rate": rate, "epochs": epochs, "pretrain_epochs": 0, "positive": "mean-field"}
    own |= {"patience": 0, "validation": 0.0}
    return {**found} | {name: value for name, value in own.items() if name in found}


def with_units(
    found: Mapping[str, Any], kinds: Sequence[str], visible: int, views: int = 1, machine: str = ""
) -> dict[str, Any]:
    """A preset for a Boltzmann machine with layers of these kinds, from the bottom, and so many visible units, in the
    first layer or in as many as there are views.

    Spins are twice as far apart as 0 and 1, so that rates are half for each layer of spins at an edge; those of layers
    of units up to n are divided by the root of n. Many correlated Gaussian units make large gradients: more than 100 of
    them learn at a rate that falls with the root of their number, and gradients are clipped. Documents are learnt by
    contrastive divergence with a rising number of sweeps, since their lengths differ (Salakhutdinov & Hinton 2009b).
    Weights of categorical units sum to 0 over their states (Tubiana, Cocco & Monasson 2019), but not couplings within a
    layer, of a bm. Chains of training rows keep a bit a unit of upper layers, and give way to draws from mean field
    where these have other units.
    """
    edges = pairwise(kinds) if views == 1 else product(kinds, kinds[views:])
    slower = min((prod(map(_rate, pair)) for pair in edges), default=1.0)
    changes: dict[str, Any] = {}
    if "gaussian" in kinds[:views]:
        slower *= min(1.0, (MANY_GAUSSIAN / visible) ** 0.5)
    if "gaussian" in kinds:
        changes["clip_norm"] = CLIP_NORM
    if machine == "bm":
        changes["gauge"] = "none"  # of couplings within a layer
    elif any(kind.startswith("categorical") for kind in kinds):
        changes["gauge"] = "zero-sum"
    if "counts" in kinds[:views]:
        slower *= COUNTS_RATE
        changes |= {"rule": "cd", "k": "1:5", "center": False}
    rates = {name: slower * found[name] for name in ("learning_rate", "pretrain_learning_rate") if name in found}
    if found.get("positive") == "gibbs" and set(kinds[views + 1 :]) - {"bernoulli"}:
        changes["positive"] = "collapsed"
    return {**found, **rates, **changes}


def _rate(kind: str) -> float:
    """What a layer of a kind at an edge multiplies rates by; what is no kind is refused where layers are made."""
    name, _, number = kind.partition(":")
    if name == "binomial" and number.isdecimal():
        return max(int(number), 1) ** -0.5
    return SPIN_RATE if kind == "spin" else 1.0


def pretraining_for(kind: str, epochs: int, preset: int) -> int:
    """Epochs of each stage of pretraining where those of the last stage are named: as many times them as in the preset,
    but no more than the preset has. Without a last stage they are as in the preset.
    """
    shares = SHARES[kind]
    return min(max(round(shares["pretrain_epochs"] / shares["epochs"] * epochs), 1), preset) if epochs else preset


def preset(kind: str, rows: int, units: int, batch: int | None = None, held_out: bool = True) -> dict[str, Any]:
    """The settings of a kind of machine (rbm, dbm, bm, multimodal, dbn, sbn, vae, vlae, nade, made, pixelcnn, aae) for
    rows of so many units; batch is the caller's.

    held_out: whether there are held-out rows of their own, as this supposes; then validation, the share of the training
    rows that is held out, is 0. With held_out=False a tenth of few rows takes their place, since a machine that is
    trained for thousands of updates learns few rows by heart. Raises InputError.
    """
    checks.choice(kind, "kind", KINDS)
    rows, units = checks.integer(rows, "rows", 1, 10**12), checks.integer(units, "units", 1, 10**9)
    batch = None if batch is None else checks.integer(batch, "batch", 1, 10**9)
    return preset_for(kind, rows, units, batch, checks.flag(held_out, "held_out"))


def preset_for(kind: str, rows: int, units: int, batch: int | None = None, held_out: bool = True) -> dict[str, Any]:
    """As preset, for the values of a caller who checks them."""
    batch = batch_for(rows) if batch is None else batch
    epochs = epochs_for(rows, max(batch, 1))  # the settings refuse others
    lengths = {name: max(round(share * epochs), 1) for name, share in SHARES.get(kind, {"epochs": 1.0}).items()}
    few, judged = not held_out and LEAST_PARTED <= rows < FEW, kind not in UNJUDGED
    judges = {
        "patience": patience_for(kind, lengths["epochs"]) if judged and (held_out or few) else 0,
        "validation": VALIDATION if judged and few else 0.0,
    }
    found = {**SETTINGS.get(kind, {}), **rates_for(kind, rows, units), "batch_size": batch, **lengths, **judges}
    if kind == "vlae":
        found["free_bits"] = FREE_BITS * units
    if rows > MOST_ROW_CHAINS and found.get("positive") == "gibbs":
        found["positive"] = "collapsed"
    return found


class LayerKinds(NamedTuple):
    """The kinds of the layers of a Boltzmann machine, and how many of them are visible."""

    kinds: Sequence[str] = ()
    views: int = 1


def completed(
    kind: str,
    settings: Mapping[str, Any],
    shape: tuple[int, int],
    held_out: bool,
    trained: bool = False,
    units: LayerKinds = LayerKinds(),  # noqa: B008
) -> dict[str, Any]:
    """The settings of a training in Python on (rows, units): those named, and the preset for the others.

    units: the kinds of the layers of a Boltzmann machine.

    Who names epochs, and no patience, trains for all of them on all rows, unless there are held-out ones; pretraining
    is then as much shorter as epochs are. trained: the machine has learnt already, so that pretraining, which would
    undo it, must be asked for. Raises InputError for patience without held-out rows, and for validation beside them.
    """
    if held_out and settings.get("validation"):
        raise InputError("validation holds out some of the rows, but held_out gives others: name one of both.")
    judged = held_out or bool(settings.get("validation"))
    found = preset_for(kind, *shape, settings.get("batch_size"), judged)
    if "pretrain_epochs" in found and isinstance(settings.get("epochs"), int):
        found["pretrain_epochs"] = pretraining_for(kind, settings["epochs"], found["pretrain_epochs"])
    found = with_units(with_rule(kind, settings.get("rule"), found, shape), units.kinds, shape[1], units.views, kind)
    if trained and "pretrain_epochs" in found:
        found["pretrain_epochs"] = 0
    if "epochs" in settings and not judged and not settings.get("patience"):
        found |= {"patience": 0, "validation": 0.0}
    found |= settings
    if found["patience"] and found["epochs"] and "patience" not in settings:
        found["patience"] = patience_for(kind, found["epochs"])
    if found["patience"] and not held_out and not found["validation"]:
        if settings.get("patience"):
            raise InputError("patience waits for a better epoch on held-out rows: give held_out, or validation.")
        found["patience"] = 0
    return found
