"""The options of machines and of fine-tuning on the command line: one for each setting, and those of shape and places.

What a setting means and needs is said where it is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from boltz import presets
from boltz.cli.common import (
    BETAS,
    Betas,
    Choice,
    Layers,
    Modality,
    Numbers,
    Sweeps,
    device_option,
    json_option,
    layers_of,
    modalities_of,
    table_options,
    threads_option,
    word,
)
from boltz.cli.machines import MACHINES, RESNET, SHAPE_NEEDS, having
from boltz.errors import InputError
from boltz.models.structure import CODERS
from boltz.models.structure import TOLD as LABELS
from boltz.networks.settings import FineTuneSettings
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.dense import ACTIVATIONS
from boltz.training import meaning
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.directed_settings import DirectedSettings
from boltz.training.meaning import Need
from boltz.training.objectives import MANY, samples_for
from boltz.training.settings import BeliefSettings, Settings
from boltz.units.levels import NAME as LEVELS

F = TypeVar("F", bound=Callable[..., Any])
Values = Mapping[str, Any]
TABLES = ("levels", "alphabet", "vocabulary", "label_column", "drop_columns")
Sections = Mapping[str, tuple[str, ...]]

SHAPE = {
    "layers": "Units of the hidden layers, from the bottom; the data give the visible units.",
    "modality": "A kind of data: its name, an array of the .npz file of --data, and the kind of its units (bernoulli, "
    "spin, gaussian, categorical:N or binomial:N); or a file of its own in the place of the array, FILE or "
    "FILE.npz:ARRAY. Letters, digits and _ alone are an array. Given for each kind of data.",
    "joint": "Units of the layer above all pathways.",
    "lateral": "Which units are coupled to others of their layer: visible, hidden, or both.",
    "latent": "Gaussian units, from the bottom: one number, or one for each group of --layers.",
    "widths": "Deterministic layers inside each conditional, from the bottom; none makes it linear.",
    "activation": "Function of the deterministic layers.",
    "visible": "Visible units: bernoulli; gaussian for any real numbers, such as those of sensors, as they are in the "
    "units of each column; or levels, for whole numbers such as grey values and colours, from 0 to what --levels says, "
    "255 for grey bytes (both imply --binarize none).",
    "mixture": "Discretised logistic laws in the mixture of a pixel.",
    "units": "Visible units: bernoulli (0/1, grey values), spin (-1 and 1), gaussian (any real numbers), "
    "categorical:N (codes of N states), binomial:N (whole numbers from 0 to N) or counts (of the words of documents).",
    "hidden_units": "Hidden units: bernoulli, spin, gaussian, rectified, drelu, categorical:N or binomial:N; of a dbm "
    "one kind for all layers, or one for each from the bottom. Two real-valued layers must not be neighbours.",
    "initial_scale": "Standard deviation of the weights at the start, or one for each pair of neighbouring layers. "
    "Where the bottom pair alone is pretrained, upper layers have 0.05 after it.",
    "initial_bias": "Visible biases at the start: the logits of the mean of the data (data), or zero.",
    "prior": "Prior of the top hidden layer. Gaussian units: the standard normal one (normal), an autoregressive flow "
    "(flow), or a flow of affine couplings (coupling). Binary units: independent ones (factorial), or a NADE or MADE, "
    "in which each hears those before it (nade, made).",
    "prior_units": "Hidden units of the NADE or MADE of --prior.",
    "conditionals": "Units of a layer given the layer above: independent, by a dense net (dense), or each hearing "
    "those before it as well, by a NADE or MADE (nade, made); --widths are then those of recognition alone.",
    "conditional_units": "Hidden units of each NADE or MADE of --conditionals.",
    "posterior": "Recognition of Gaussian hidden units: a Gaussian with independent units (gaussian), or one with an "
    "inverse autoregressive flow behind its draw (iaf).",
    "encoder": "Net of recognition, which the decoder mirrors: dense layers (dense), or for images residual blocks of "
    "convolutions below them (resnet), with --layers 450 and --activation elu unless told otherwise.",
    "residual_maps": "Maps of each residual block that halves the image; between two stands one that keeps its size.",
    "flow_steps": "Steps of the flows of --prior and --posterior.",
    "flow_widths": "Units of the deterministic layers in each step of these flows.",
    "receptive_field": "Rows above and columns to each side that a pixel hears, with a masked convolution for each.",
    "filters": "Filters of each masked convolution.",
    "maps": "Maps, of the size of the image, that the hidden units send to the pixels.",
    "masks": "Masks, which training takes in turn; the likelihood is that of their mixture.",
    "natural": "Units in their own order, or each mask with an order of its own.",
    "tied": "One set of weights for all masked convolutions but the first, or one for each.",
    "prior_sigma": "Standard deviation of the normal prior.",
    "labels": "Who is told the labels of the data, such as those of --label-column: nobody (none), the game alone, of "
    "which each names a part of the prior (prior), the decoder, so that codes keep the style (decoder), or the decoder "
    "what the encoder infers (inferred).",
    "classes": "How many classes the labels are of, where the data do not hold rows of all.",
    "clusters": "How many clusters the encoder infers, without any labels.",
    "embed": "Each inferred label is a point that is added to the code, or the decoder hears it beside the code.",
    "noise": "Units of the noise that an implicit encoder hears.",
}
LEARNT = {
    "labelled": "How many training rows keep their labels, the same number of each class, drawn by --seed; a number, "
    "or all.",
}
SAMPLES_A_ROW = "Importance samples a row for the test log-likelihood; 0 enumerates at most 14 hidden units, and"
MEASUREMENT = {
    "evaluation_samples": f"{SAMPLES_A_ROW} takes what suits the machine for more.",
    "betas": "Inverse temperatures of annealed importance sampling of log Z: a number of uniform steps, the 14,500 of "
    "Salakhutdinov & Murray 2008, or N (14,500) fitted to the machine.",
    "chains_ais": "Chains of annealed importance sampling.",
}
PRIOR_OF_REAL = (
    "Prior of the top hidden layer: the standard normal one (normal), an autoregressive flow (flow), or a flow of "
    "affine couplings (coupling)."
)
VISIBLE_REAL = (
    "Visible units: bernoulli, or gaussian for any real numbers, such as those of sensors, as they are in the units of "
    "each column (implies --binarize none)."
)
VISIBLE_PIXELS = (
    "Pixels: bernoulli, or levels for whole numbers, such as grey values and colours, from 0 to what --levels says, "
    "255 for grey bytes (implies --binarize none)."
)
RULE_OF_ANY = "Negative phase: contrastive divergence from the data (cd), or persistent chains (pcd)."
OWN_TEXTS: Mapping[str, Mapping[str, str]] = {
    "rbm": {
        "layers": "Units of the hidden layer; the data give the visible units.",
        "hidden_units": "Hidden units: bernoulli, spin, categorical:N, or, below which no gaussian ones lie, gaussian, "
        "rectified or drelu.",
    },
    "bm": {
        "rule": RULE_OF_ANY,
        "layers": "Hidden units, in one layer; 0 for none. The data give the visible units.",
        "hidden_units": "Hidden units: bernoulli, spin or categorical:N, and others where they are not coupled to each "
        "other.",
        "evaluation_samples": f"{SAMPLES_A_ROW} takes 200 samples for more.",
    },
    "multimodal": {
        "rule": RULE_OF_ANY,
        "binarize": "Rows are kept as they are.",
        "layers": "Hidden units of the pathway of a modality, from the bottom, such as image=500,500. Given for each; "
        "all have as many layers.",
        "evaluation_samples": f"{SAMPLES_A_ROW} takes 200 samples for more.",
    },
    "dbm": {"evaluation_samples": f"{SAMPLES_A_ROW} takes 200 samples for more."},
    "dbn": {
        "epochs": "Passes of the up-down rule over the training rows at most, after pretraining.",
        "rule": "Negative phase of an RBM: contrastive divergence from the data (cd), or persistent chains (pcd).",
        "evaluation_samples": f"{SAMPLES_A_ROW} takes 100 samples for more.",
    },
    "sbn": {
        "visible": VISIBLE_REAL,
        "prior": "Prior of the top hidden layer: independent units (factorial), or a NADE or MADE, in which each hears "
        "those before it (nade, made).",
        "evaluation_samples": f"{SAMPLES_A_ROW} takes 1,000 samples for more.",
    },
    "vae": {
        "visible": VISIBLE_REAL,
        "layers": "Units of the deterministic layers, from the bottom, mirrored in the decoder; slashes separate what "
        "lies below each layer of --latent.",
        "prior": PRIOR_OF_REAL,
        "evaluation_samples": "Importance samples a row for the test log-likelihood; 0 takes 1,000.",
    },
    "aae": {
        "encoder": "Codes are outputs of a net (deterministic), draws around them (gaussian), or outputs of a net that "
        "hears noise (implicit).",
        "layers": "Units of the deterministic layers of the encoder, from the bottom, mirrored in the decoder.",
        "latent": "Units of the code.",
        "prior": "What codes are matched to: a normal distribution, a mixture of Gaussians on a circle or a swiss "
        "roll, both of two units, or a uniform one from -1 to 1. The last two have no likelihood.",
        "evaluation_samples": "Importance samples a row for the test log-likelihood; 0 takes 1,000.",
    },
    "vlae": {
        "prior": PRIOR_OF_REAL,
        "visible": VISIBLE_PIXELS,
        "latent": "Gaussian units of the hidden layer.",
        "layers": "Units of the deterministic layers of the encoder, from the bottom, mirrored below the maps.",
        "evaluation_samples": "Importance samples a row for the test log-likelihood; 0 takes 1,000.",
    },
    "pixelcnn": {"visible": VISIBLE_PIXELS},
    "nade": {"layers": "Hidden units that are not drawn, in one layer."},
    "made": {"layers": "Units of the deterministic layers, from the bottom; 0 for none."},
}  # model -> texts of its options where they say more, or something else, than those of all models
TRAINED = (AdversarialSettings, DirectedSettings, BeliefSettings, Settings)  # by the machines
BY_LABELS = Need("{labels} inferred", lambda v: v.get("labels", "inferred") == "inferred")
NEEDS = meaning.needs(*TRAINED) | {
    **SHAPE_NEEDS,
    "prior_sigma": Need("{prior} normal", lambda v: v["prior"] == "normal"),
    "classes": Need("{labels}", lambda v: v["labels"] != "none"),
    "labelled": Need("{labels} inferred or prior", lambda v: v.get("labels", "prior") in ("inferred", "prior")),
    "embed": Need("{labels} inferred or {clusters}", lambda v: v["labels"] == "inferred" or v["clusters"]),
    "noise": Need("{encoder} implicit", lambda v: v["encoder"] == "implicit"),
    "validation": Need("{patience} above 0", lambda v: v.get("patience", 1) != 0),
    "label_rate": BY_LABELS,
    "labelled_batch": BY_LABELS,
    "head_distance": Need("{embed}", lambda v: v.get("embed", True)),
    "dropout": Need(
        "deterministic layers ({widths} or {layers}, or {encoder} resnet)",
        lambda v: v.get("encoder") == "resnet" or any(v.get("layers", ()) if "latent" in v else v.get("widths", (1,))),
    ),
    "mixture": Need("{visible} levels", lambda v: v["visible"] == "levels"),
    "activation": Need("deterministic layers ({widths})", lambda v: "latent" in v or bool(v.get("widths", True))),
    **dict.fromkeys(MEASUREMENT, Need("{evaluate}", lambda v: bool(v["evaluate"]))),
}
CHOICES = meaning.choices(*TRAINED) | {"activation": tuple(ACTIVATIONS), "visible": (*CONDITIONALS, LEVELS)}
CHOICES["prior"] = ("normal", "flow", "coupling", "factorial", "nade", "made", "mixture", "swiss-roll", "uniform")
CHOICES |= {"labels": tuple(LABELS), "encoder": ("dense", "resnet", *CODERS), "posterior": ("gaussian", "iaf")}
CHOICES |= {"conditionals": ("dense", "nade", "made"), "initial_bias": ("data", "zero")}
CHOICES["lateral"] = ("visible", "hidden", "both")
STEPS = ("optimizer", "momentum", "initial_momentum", "momentum_epochs", "adam_beta1", "adam_epsilon", "adam_second")
PENALTIES = ("l2", "l1", "l1b", "max_norm")
RUN = ("device", "threads", "as_json")
SECTIONS: Sections = {
    "Most used": (
        *("layers", "modality", "joint", "lateral", "latent", "labels", "labelled", "clusters", "receptive_field"),
        *("visible", "units", "data", "out", "minutes", "epochs", "pretrain_epochs", "batch_size"),
        *("learning_rate", "rule", "k", "objective", "samples", "seed", "evaluate", "resume"),
    ),
    "Machine": (
        *("init", "grow", "grow_wiring", "grow_scale", "hidden_units", "widths", "activation"),
        *("conditionals", "conditional_units", "prior", "prior_units", "posterior", "flow_steps", "flow_widths"),
        *("filters", "maps", "tied", "mixture", "masks", "natural", "encoder", "residual_maps"),
        *("prior_sigma", "classes", "embed", "noise", "initial_scale", "initial_bias"),
    ),
    "Data": ("limit", "valid", "test", *TABLES, "binarize", "shuffle"),
    "Training": (
        *("recipe", "stages", "patience", "validation", "schedule", "decay_epochs", "rate_floor", *STEPS),
        *(*PENALTIES, "gauge", "averaging", "average_share", "average_decay"),
    ),
    "Chains and pretraining": (
        *("chains", "chain_start", "negative", "rungs", "predicted_share", "prediction_sweeps"),
        *("sparsity_target", "sparsity_cost", "center", "center_rate", "clip_norm", "variance_rate"),
        *("positive", "positive_draws", "mean_field_sweeps", "mean_field_tolerance", "mean_field_damping"),
        *("pretrain", "pretrain_learning_rate", "pretrain_schedule", "pretrain_k", "pretrain_l2"),
    ),
    "Objective": ("groups", "alpha", "beta", "sleep_share", "warmup_epochs", "free_bits", "soft_free_bits", "dropout"),
    "Game": (
        *("adversary", "discriminator_rate", "generator_rate", "label_rate", "labelled_batch"),
        *("game_optimizer", "game_momentum", "discriminator_widths", "input_noise", "noise_epochs"),
        *("smoothing", "penalty", "penalty_weight", "row_noise", "head_distance"),
    ),
    "Measurement at the end": tuple(MEASUREMENT),
    "Run": ("force", *RUN, "checkpoint_seconds", "snapshots"),
}  # title -> names of options
TUNING_SECTIONS: Sections = {
    "Most used": ("code", "data", "labels", "few", "out", "epochs", "batch_size", "learning_rate", "seed", "resume"),
    "Data": ("limit", *TABLES, "test", "test_labels", "split", "binarize", "shuffle"),
    "How long": ("output_epochs", "validation", "patience", "refit"),
    "Training": ("schedule", "decay_epochs", "rate_floor", *STEPS, "dropout", "input_dropout", *PENALTIES),
    "Run": ("force", *RUN, "checkpoint_seconds"),
}
TEXTS = SHAPE | LEARNT | MEASUREMENT | meaning.helps(*TRAINED)
HELP: dict[str, str] = {name: TEXTS[name] for names in SECTIONS.values() for name in names if name in TEXTS}
TYPES: dict[str, tuple[Any, str]] = {
    "layers": (Layers(grouped=True), "N,N,..."),
    "modality": (Modality(), "NAME=ARRAY:KIND"),
    "latent": (Layers(), "N[,N...]"),
    "widths": (Layers(), "N,N,..."),
    "flow_widths": (Layers(), "N,N,..."),
    "residual_maps": (Layers(), "N,N,..."),
    "discriminator_widths": (Layers(), "N,N,..."),
    "labelled": (str, "N|all"),
    **dict.fromkeys(("classes", "clusters", "noise"), (int, "INTEGER")),
    "betas": (Betas(), BETAS),
    "units": (str, "KIND"),
    "hidden_units": (str, "KIND[,KIND...]"),
    "initial_scale": (Numbers(float), "FLOAT[,FLOAT...]"),
    **dict.fromkeys(("samples", "epochs", "batch_size", "patience"), (int, "INTEGER")),
    "validation": (float, "FLOAT"),
    **dict.fromkeys(Settings.BY_PAIR, (Numbers(float), "FLOAT[,FLOAT...]")),
    "pretrain_epochs": (Numbers(int), "INTEGER[,INTEGER...]"),
    "k": (Sweeps(), "INTEGER|A:B"),
    "pretrain_k": (Sweeps(several=True), "INTEGER|A:B[,...]"),
}
OWN_METAVARS: Mapping[str, Mapping[str, str]] = {
    "rbm": {"layers": "N", "hidden_units": "KIND", "initial_scale": "FLOAT"},
    "bm": {"layers": "N", "hidden_units": "KIND"},
    "multimodal": {"layers": "NAME=N,N,..."},
    "vae": {"layers": "N,N,...[/N,N,...]"},
    "vlae": {"latent": "N"},
    "aae": {"latent": "N"},
    "nade": {"layers": "N"},
}  # model -> what its options take, where that is not what those of all models do
ONE_PAIR = ("rbm",)  # models with one pair of neighbouring layers
EPOCHS = f"by the number of rows: for {presets.LEAST_UPDATES:,} to {presets.MOST_UPDATES:,} updates"
LESS = f"less with fewer than {presets.ROWS_A_UNIT} rows a unit"


def _rates(setting: str) -> str:
    """The rates of the kinds of machines whose preset has this one, in words."""
    kinds: dict[float, list[str]] = {}
    for kind, rates in presets.RATES.items():
        if setting in rates:
            kinds.setdefault(rates[setting], []).append(kind)
    return "; ".join(f"{', '.join(these)} {rate:g}" for rate, these in kinds.items()) + f", {LESS}"


SHOWN = {
    "units": "as the data show",
    "classes": "as many as the data have",
    "noise": "as many as --latent",
    "samples": f"1, or {MANY} where the objective weighs several",
    "epochs": EPOCHS,
    "pretrain_epochs": EPOCHS,
    "batch_size": f"{presets.BATCH}, or a fiftieth of the rows where that is less, but at least {presets.LEAST_BATCH}",
    "learning_rate": f"dbn 0.005; {_rates('learning_rate')}",
    "pretrain_learning_rate": _rates("pretrain_learning_rate"),
    "patience": f"{presets.PATIENCE:.0%} of the epochs with validation rows, else 0",
    "validation": f"{presets.VALIDATION:g} of fewer than {presets.FEW:,} rows without validation rows and without "
    "--epochs, else 0",
}


BY_UNITS = {
    "clip_norm": f"{presets.CLIP_NORM:g} with Gaussian units",
    "gauge": "zero-sum with categorical units",
}  # what else the default may be
REPEATED = {"layers": layers_of, "modality": modalities_of}
RATE_SETTINGS = {setting for rates in presets.RATES.values() for setting in rates}


def machine_options(command: F) -> F:
    """One option for each that a machine has; none has a default of its own, so that what was given can be told."""
    for name in reversed(HELP):
        command = machine_option(name)(command)
    return command


class Table(NamedTuple):
    """What defaults ask of the data and the machine: training rows, columns of each, whether there are validation rows,
    and the kinds of the layers of a Boltzmann machine.
    """

    rows: int
    units: int
    valid: bool
    kinds: tuple[str, ...] = ()
    views: int = 1


USUAL = Table(10_000, 784, True)  # where the data are not known


def chosen(
    options: Values, model: str, changes: Values, own_shape: bool = False, data: Table = USUAL
) -> dict[str, Any]:
    """The value of every option of a machine: as given, else as in changes, else its default for such data.

    own_shape: the machine is there already and takes no options of shape. Raises InputError for an option that was
    given and would do nothing.
    """
    known = MACHINES[model].options
    given = {name: value for name, value in options.items() if name in HELP and value is not None}
    for name in given:
        if name not in known:
            raise InputError(f"{word(name)} is an option of {listed(having(name))}, not of {model}.")
        if own_shape and name in SHAPE:
            raise InputError(f"--init starts from a machine as it is, so it takes no {word(name)}.")
    said = {name: value for name, value in changes.items() if name in known}
    if (said | given).get("encoder") == "resnet":
        known = known | RESNET
    judged = data.valid or bool((said | given).get("validation"))
    preset = presets.preset_for(model, data.rows, data.units, (said | given).get("batch_size"), judged)
    if "epochs" in given and "pretrain_epochs" in preset:
        preset["pretrain_epochs"] = presets.pretraining_for(model, given["epochs"], preset["pretrain_epochs"])
    preset = presets.with_rule(model, (said | given).get("rule"), preset, (data.rows, data.units))
    preset = presets.with_units(preset, data.kinds, data.units, data.views, model)
    changes = {name: value for name, value in preset.items() if name in known} | said
    values = {name: x for name, x in (known | changes | given).items() if not (own_shape and name in SHAPE)}
    if values.get("patience") and values["epochs"] and "patience" not in said | given:
        values["patience"] = presets.patience_for(model, values["epochs"])
    _refuse_idle(given, NEEDS, {"evaluate": options.get("evaluate", True), **values})
    if values.get("samples", 1) is None:
        values["samples"] = samples_for(values["objective"])
    return values


def tuning_from(options: Values) -> FineTuneSettings:
    """The settings of fine-tuning that the options ask for; raises InputError, also where one would do nothing."""
    known = {field.name for field in fields(FineTuneSettings)}
    given = {name: value for name, value in options.items() if name in known and value is not None}
    found = FineTuneSettings(**given)
    _refuse_idle(given, meaning.needs(FineTuneSettings), found.as_dict())
    return found


def _refuse_idle(given: Values, needs: Mapping[str, Need], values: Values) -> None:
    """Raise InputError for an option that was given and does nothing beside the values of the others."""
    for name in given:
        if name in needs and not needs[name].met(values):
            raise InputError(f"{word(name)} would do nothing: it needs {needs[name].told(word)}.")


def listed(names: list[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def machine_option(name: str, model: str | None = None) -> Callable[[F], F]:
    """The option of this name as a model has it, or, with the default of each, as all that have it do."""
    defaults = {each: MACHINES[each].options[name] for each in (having(name) if model is None else [model])}
    own = {} if model is None else meaning.choices(MACHINES[model].settings) | dict(presets.ONLY.get(model, {}))
    choices = CHOICES | own
    kind, metavar = TYPES.get(name, (type(next(iter(defaults.values()))), None))
    if model is not None:
        metavar = _own_metavar(name, model, metavar)
    flag = f"{word(name)}/--no-{word(name)[2:]}" if kind is bool else word(name)
    if name in choices:
        kind = Choice(choices[name])
    told = _text_of_all(name) if model is None else _own_text(name, model)
    shown = _shown(name, defaults)
    more: dict[str, Any] = {"multiple": True, "callback": REPEATED[name]} if name in REPEATED else {"default": None}
    return click.option(flag, name, type=kind, metavar=metavar, show_default=shown, help=told, **more)


def _own_metavar(name: str, model: str, usual: str | None) -> str | None:
    """What an option of a model takes: a single number where others have one for each pair of layers."""
    pairs = () if model in ONE_PAIR else MACHINES[model].settings.BY_PAIR
    if usual is not None and name in Settings.BY_PAIR and name not in pairs:
        usual = usual.split("[")[0]
    return OWN_METAVARS.get(model, {}).get(name, usual)


def _shown(name: str, defaults: Values) -> str:
    """The default of an option, or that of each machine."""
    if len(defaults) == 1 and name in RATE_SETTINGS and None in defaults.values():
        return f"{presets.RATES[next(iter(defaults))][name]:g}, {LESS}"
    if name in SHOWN and (len(defaults) > 1 or None in defaults.values()):
        return SHOWN[name]
    models: dict[str, list[str]] = {}
    for model, value in defaults.items():
        models.setdefault(text(name, value), []).append(model)
    each = "; ".join(f"{', '.join(these)} {told}" for told, these in models.items())
    told = next(iter(models)) if len(models) == 1 else each
    return f"{told}, or {BY_UNITS[name]}" if name in BY_UNITS else told


def _text_of_all(name: str) -> str:
    """What an option means, after the models that have it where others do not."""
    return HELP[name] if len(having(name)) == len(MACHINES) else f"{', '.join(having(name))}: {HELP[name]}"


def _own_text(name: str, model: str) -> str:
    """What an option means for a model."""
    return OWN_TEXTS.get(model, {}).get(name, HELP[name])


def text(name: str, value: Any) -> str:
    """The value of an option in words."""
    if isinstance(value, bool):
        return word(name)[2:] if value else f"no-{word(name)[2:]}"
    if value is None:
        return "one for each --modality" if name == "layers" else "none"
    if name == "layers":
        return "/".join(",".join(map(str, group)) for group in value)
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def tuning_options(command: F) -> F:
    """One option for each setting, without a default, so that what was given can be told, and those of any run."""
    for option in reversed([*_places(), *(_setting(field) for field in fields(FineTuneSettings))]):
        command = option(command)
    return command


def _setting(field: Any) -> Callable[[Any], Any]:
    kind, name = type(field.default), field.name
    shown = {True: name, False: f"no-{name}"}.get(field.default) if kind is bool else f"{field.default}"
    flag = f"{word(name)}/--no-{word(name)[2:]}" if kind is bool else word(name)
    choices = field.metadata["choices"]
    chosen = Choice(choices) if choices else kind
    return click.option(flag, name, type=chosen, default=None, show_default=shown, help=field.metadata["help"])


def _places() -> list[Callable[[Any], Any]]:
    """The options that say which rows, and where the run goes."""
    file = click.Path(path_type=Path)
    return [
        click.option("--data", show_default="those of RUN", help="A named data set, or a file as in boltz train."),
        click.option("--limit", type=int, show_default="all", help="The first rows only, this many."),
        table_options,
        click.option(
            "--test", metavar="DATA", show_default="the test rows of --data, if any", help="Rows to test on, a file."
        ),
        click.option(
            "--split",
            type=Choice(["train", "valid", "test"]),
            show_default="test where there is one",
            help="Which rows, where RUN is a network that is trained already.",
        ),
        click.option("--out", type=file, show_default="a new folder in runs", help="The run folder to make."),
        click.option("--force", is_flag=True, help="Replace the run, or the files, that --out holds."),
        click.option("--resume", type=file, metavar="FOLDER", help="Continue this run; takes no settings."),
        device_option,
        threads_option,
        json_option,
    ]
