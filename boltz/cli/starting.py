"""From the options of `boltz train` to a machine, its data and its settings, all checked before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from boltz import checks
from boltz.cli.common import said, say
from boltz.cli.machines import MACHINES, hidden_kinds, pathways_of, plain_layers
from boltz.cli.options import SHAPE, USUAL, Table, chosen, text, word
from boltz.data import Data, load, splits
from boltz.data.binarize import HOW as BINARIZE
from boltz.data.dataset import columns_entry
from boltz.data.from_arrays import refuse_other_kind
from boltz.data.kinds import BINARY, REAL, kind_words
from boltz.data.row_weights import effective_rows, named_weights
from boltz.data.views import checked_views
from boltz.errors import InputError
from boltz.evaluation.closing import Asked, closing
from boltz.evaluation.documents import ANNEALED, are_documents
from boltz.evaluation.evaluate import samples_for
from boltz.evaluation.log_z import Annealing
from boltz.evaluation.per_unit import visible_words
from boltz.evaluation.reading import COLUMNS, KIND, columns_note, other_rows, reading, with_columns
from boltz.evaluation.told_labels import NOBODY, Told, told_labels
from boltz.evaluation.trained import Trained, model_of
from boltz.evaluation.training_rows import Read, read_views
from boltz.models.files import Model
from boltz.models.growing import WIRINGS, grow
from boltz.models.views import of_several
from boltz.presets import Recipe
from boltz.presets import recipe as recipe_named
from boltz.storage import run_folder
from boltz.training.adversarial_settings import AdversarialSettings
from boltz.training.description import description_at
from boltz.training.minutes import LEAST_MINUTES, MOST_MINUTES, Plan, Stopwatch, Time, named_length, planned
from boltz.training.stages import stages
from boltz.training.view_rows import check_views
from boltz.units import units_of
from boltz.units.holes import LEARNERS
from boltz.units.levels import NAME as LEVELS
from boltz.units.levels import levels_in

DATA, SEVERAL = "mnist-mini", "multimodal"
GROWTH = ("grow_wiring", "grow_scale")
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Start:
    """A run to begin: the machine as it starts, its data, the held-out rows, settings, folder, and what is kept.

    tests: rows that are measured at the end, where --minutes asks for a plan, which then is kept here. told: labels.
    """

    kind: str
    model: Model
    data: Data
    held_out: Data | None
    settings: Any
    out: Path
    extra: dict[str, Any]
    tests: int = 0
    plan: Plan | None = None
    recipe: str = ""
    told: Told = NOBODY

    @property
    def how(self) -> dict[str, Any]:
        """The settings, or the plan that has them, as boltz.train takes them."""
        return {**(self.settings.as_dict() if self.plan is None else {"minutes": self.plan}), **self.told.how}

    @property
    def title(self) -> str:
        """What is about to happen, in words."""
        what = f"{self.kind} {self.model.architecture}"
        return f"training {what} on {len(self.data.x):,} rows of {self.data.name}, run folder {self.out}"


def prepared(options: Options) -> Start:
    """The run that the options ask for; raises InputError where they do not fit together."""
    recipe = _recipe(options)
    kind, origin = _kind(options, recipe), _origin(options)
    _check_minutes(options, kind, recipe)
    first = None if origin is None else _initial(origin, kind, options)
    values = _values(options, kind, recipe, first, None)  # what is wrong with options is said before rows are read
    if kind == SEVERAL and first is None:
        pathways_of(values)
    rows = _read_views(options, first) if kind == SEVERAL else _read(options, kind, recipe, first, values)
    data = rows.data if options["weights"] is None else _weighed(rows.data, options["weights"])
    values = _values(options, kind, recipe, first, (data, rows.has("valid")))
    settings = MACHINES[kind].settings_from(values)
    evaluation = _evaluation(options, values, settings.seed)
    told = told_labels(
        data, values, None if first is None else Trained(str(origin), first, origin, description_at(origin))
    )
    if told.note:
        say(told.note)
    data, values = told.of(data), values | ({"classes": len(told.names)} if told.names and first is None else {})
    model = _built(kind, values, data) if first is None else _fitting(first, data, f"the machine of {origin}")
    _refuse_for_documents(model, options)
    stages(model.plan, settings)  # refuses what cannot be trained
    samples_for(model, evaluation["samples"])
    stem = f"{recipe.name}-{data.name}" if recipe else _stem(kind, model, data)
    out = options["out"] or run_folder.next_free(Path("runs"), stem)
    run_folder.check_free(out, options["force"])
    extra: dict[str, Any] = {"evaluation": evaluation, **told.entry}
    shapes = {view.name: list(view.shape) for view in data.views if view.shape}
    if data.shape or shapes:
        extra["picture"] = {"views": shapes} if data.shape is None else {"shape": list(data.shape)}
    if data.weights is not None:
        extra["weights"] = {"of": options["weights"], "effective": effective_rows(data.weights)}
    if recipe:
        extra["recipe"] = recipe.entry
    if first is not None:
        extra["init"] = _told_of(options)
    elif "initial_scale" in values:
        extra["initial"] = {"scale": values["initial_scale"], "bias": values["initial_bias"]}
    for split, other in rows.others.items():
        _fitting(model, other, "the machine")
        note = columns_note(other, columns_entry(data.columns), f"{data.source} has")
        if note is not None:
            say(note)
        extra[split] = {"load": dict(other.request)}
    tests = 0 if options["minutes"] is None else _tests(rows, len(data.x) * settings.validation)
    found = Start(kind, model, data, held_out(rows, settings), settings, out, extra, tests, told=told)
    return replace(found, recipe=_in_words(recipe, values, first is not None)) if recipe else found


def planned_start(start: Start, options: Options, spent: float) -> Start:
    """The run with a plan for the minutes, of which so many seconds are gone; raises InputError."""
    watch, minutes, asked = Stopwatch(), options["minutes"], start.extra["evaluation"]
    annealing = Annealing(asked["chains"], asked["betas"], start.settings.seed)
    wanted = Asked(asked["wanted"], annealing, asked["samples"], start.tests, options["betas"] is not None)
    model = start.model.to(options["device"])
    end = closing(model, start.data, start.settings.binarize, wanted, 60 * minutes)
    given = Time(minutes, 60 * minutes - spent - watch.seconds - end.seconds, end.seconds)
    free = not start.settings.patience and options["patience"] is None and options["validation"] is None
    plan = planned(model, (start.data, start.held_out), start.settings, given, free)
    others = None if plan.settings.validation else start.held_out
    if start.extra.get("test"):  # other rows than those of the recorded figures
        plan = replace(plan, expected=None)
    extra = start.extra | {"evaluation": asked | {"betas": end.annealing.betas}}
    return replace(start, settings=plan.settings, held_out=others, extra=extra, plan=plan)


def _refuse_for_documents(model: Model, options: Options) -> None:
    """Raise InputError for options on what the end of a training on documents does without."""
    if not are_documents(model):
        return
    if options["minutes"] is not None:
        raise InputError("--minutes cannot plan the measurement of documents: give --epochs, or leave both out.")
    for name in ("betas", "chains_ais", "evaluation_samples"):
        if options.get(name) is not None:
            raise InputError(
                f"{word(name)} would do nothing: log Z of documents is exact for each length, or {ANNEALED}."
            )


def _check_minutes(options: Options, kind: str, recipe: Recipe | None) -> None:
    """Raise InputError for minutes that are no number, or beside what they would choose."""
    if options["minutes"] is None:
        return
    checks.number(options["minutes"], "--minutes", LEAST_MINUTES, MOST_MINUTES)
    if name := named_length(kind, {name: x for name, x in options.items() if x is not None}):
        raise InputError(f"--minutes chooses {word(name)}, so name one of both; {word(name)} 0 leaves the stage out.")
    if recipe is not None:
        raise InputError(f"--minutes says how long the training is, and so does the recipe {recipe.name}: name one.")


def _tests(rows: Read, parted: float) -> int:
    """How many rows are measured at the end."""
    for split in ("test", "valid"):
        if rows.has(split):
            return len(rows.rows(split).x)
    return round(parted)


def _in_words(recipe: Recipe, values: Options, own_shape: bool) -> str:
    """The recipe in words, with what its options are here."""
    named = [name for name in recipe.options if not (own_shape and name in SHAPE)]
    return f"recipe {recipe.name}: {recipe.title}; " + ", ".join(f"{name} {text(name, values[name])}" for name in named)


def _read_views(options: Options, first: Any) -> Read:
    """The rows of several kinds of data, with what a reader should know said; raises InputError."""
    found = read_views(options, first, _origin(options))
    for data in (found.data, *found.others.values()):
        said(data)
    return found


def _read(options: Options, kind: str, recipe: Recipe | None, first: Model | None, values: Options) -> Read:
    """The rows of one table, with those of other files; raises InputError."""
    origin, (name, limit) = _origin(options), _data_asked(options, recipe)
    known = reading(origin, [first] if first is not None else [], options, name)
    asked = values.get("visible") if values.get("visible") == "gaussian" else values.get("units")
    known |= {} if first is not None or asked is None else {"units": asked}
    data = _rows(options, first, {"name_or_path": name, "split": "train", "limit": limit, **known}, kind)
    known |= {key: data.request[key] for key in (*COLUMNS, *KIND) if key in data.request}
    if (data.levels or 1) > 1:
        known["machine_levels"] = data.levels
    others = {split: said(rows) for split, rows in other_rows(origin, options, known).items()}
    return Read(data, others, splits(name), lambda split: load(name, split, **known))


def _rows(options: Options, first: Model | None, request: dict[str, Any], kind: str) -> Data:
    """The training rows, with the columns that the run to start from leaves out of its own where nothing is said."""
    request |= {"missing": True} if kind in LEARNERS else {}
    data = said(load(**request) if first is None else with_columns(request, _origin(options), [first], options))
    if data.known is None:
        data = replace(data, request={key: x for key, x in data.request.items() if key != "missing"})
    else:
        share = 1 - data.known.mean()
        say(f"{share:.2%} of the entries of {data.source} are unknown; they are drawn given the rest of their rows.")
    return data


def _weighed(data: Data, words: str) -> Data:
    """Rows with their weights, by which they are told to count."""
    weights = named_weights(words, data)
    say(f"The rows weigh by {words}, as much as {effective_rows(weights):,.0f} of {len(weights):,} rows alike.")
    return replace(data, weights=weights)


def _recipe(options: Options) -> Recipe | None:
    """The recipe that was asked for, with so many stages."""
    if options["recipe"] is None:
        if options["stages"] is not None:
            raise InputError("--stages cuts a recipe short: name one with --recipe.")
        return None
    for name in ("epochs", "schedule"):
        if options["stages"] is not None and options[name] is not None:
            raise InputError(f"--stages says how long the recipe is followed, so it goes with no {word(name)}.")
    return recipe_named(options["recipe"]).cut(options["stages"])


def _kind(options: Options, recipe: Recipe | None) -> str:
    """The machine that is named, by MODEL or by the recipe."""
    kind: str | None = options["model"]
    if recipe is None:
        if kind is None:
            names = ", ".join(MACHINES)
            raise click.UsageError(f"Name the MODEL to train ({names}), a --recipe, or a run to --resume.")
        return kind
    if kind not in (None, recipe.model):
        raise InputError(f"the recipe {recipe.name} trains a {recipe.model}, but MODEL is {kind}.")
    return recipe.model


def _values(
    options: Options, kind: str, recipe: Recipe | None, first: Model | None, given: tuple[Data, bool] | None
) -> dict[str, Any]:
    """The options of the machine: as given, of the recipe, or by default. Rows, --init, --grow, --visible and --units
    change defaults.

    given: the rows, and whether there are validation rows; None for data that have not been read, only to see whether
    the options fit together.
    """
    rows = None if given is None else Table(len(given[0].x), given[0].x.shape[1], given[1])
    changes = dict(recipe.options) if recipe else {}
    valid = rows is None or rows.valid
    if options["validation"] and rows is not None and valid:
        raise InputError("--validation holds out some of the training rows, but the data have validation rows.")
    length_alone = options["epochs"] is not None and not valid and not options["validation"] and not options["patience"]
    if recipe or length_alone:
        changes = {"patience": 0, "validation": 0.0} | changes
    if first is not None:
        before = description_at(_origin(options)).setting("binarize")
        ours = {"pretrain_epochs": 0} | ({"binarize": before} if before in BINARIZE else {})
        changes |= {name: value for name, value in ours.items() if recipe is None or name not in recipe.options}
    visible = first.layers[0].kind if first is not None else _visible(options, given)
    if visible != BINARY or kind == SEVERAL:
        if options["binarize"] not in (None, "none"):
            raise InputError(f"--binarize must be none for {visible_words(visible)}, got {options['binarize']}.")
        changes["binarize"] = "none"
    views = len(first.visible_layers) if first is not None else len(options["modality"] or ()) if kind == SEVERAL else 1
    table = (rows or USUAL)._replace(kinds=_kinds(options, kind, changes, first, visible), views=max(views, 1))
    if rows and visible != LEVELS and levels_in(visible) is None:
        table = table._replace(units=max(table.units // units_of(visible).columns, 1))
    values = chosen(options, kind, changes, options["init"] is not None, table)
    if valid or values.get("validation", 0) > 0:
        return values
    if options["patience"] and "patience" in values:
        raise InputError("--patience waits for a better epoch on validation rows: give --valid FILE, or --validation.")
    return values | ({"patience": 0} if "patience" in values else {})


def _kinds(options: Options, kind: str, changes: Options, first: Model | None, visible: str) -> tuple[str, ...]:
    """The kinds of the layers of a Boltzmann machine, none of other machines."""
    if first is not None:
        return tuple(layer.kind for layer in first.layers) if first.directed is None else ()
    shape = MACHINES[kind].shape
    if kind == SEVERAL:
        hidden = sum(map(len, options["layers"].values())) if isinstance(options["layers"], Mapping) else 0
        return (*(units for _, units in (options["modality"] or {}).values()), *[BINARY] * (hidden + 1))
    if "hidden_units" not in shape:
        return ()
    groups = plain_layers(kind, options["layers"]) or changes.get("layers") or shape["layers"]
    return (visible, *hidden_kinds(options["hidden_units"] or shape["hidden_units"], len(groups[0])))


def _visible(options: Options, given: tuple[Data, bool] | None) -> str:
    """The kind of the visible units of a new machine, the first ones of several: as asked for, else that of the rows,
    where these are known.
    """
    if options["modality"]:
        return given[0].views[0].kind if given else next(iter(checked_views(options["modality"]).values()))[1]
    asked = options["visible"] or options["units"]
    known = BINARY if given is None else given[0].kind
    return asked or known if known == BINARY else known


def _evaluation(options: Options, values: Options, seed: int) -> dict[str, Any]:
    """What is to be measured at the end."""
    annealing = Annealing(values.get("chains_ais", 100), values.get("betas", "sm2008"), seed)
    samples = values.get("evaluation_samples", 0)
    return {"wanted": options["evaluate"], "samples": samples, "chains": annealing.chains, "betas": annealing.betas}


def _data_asked(options: Options, recipe: Recipe | None) -> tuple[str, int | None]:
    """Name and number of the rows: as given, else those of the recipe, else those of the run to start from."""
    name, limit = options["data"], options["limit"]
    if name is not None:
        return name, limit
    if recipe is not None:
        return recipe.data, recipe.limit if limit is None else limit
    if (origin := _origin(options)) is not None:
        before = description_at(origin).data
        if before.name is not None:
            return before.name, before.load.get("limit") if limit is None else limit
    return DATA, limit


def _built(kind: str, values: Options, data: Data) -> Model:
    """A new machine, with biases that fit some of the rows, or in the units of real ones."""
    shape = dict(values)
    if kind == SEVERAL:
        return MACHINES[kind].build(0, shape, data, values["seed"])
    if values.get("visible") == LEVELS and data.kind != BINARY:
        raise InputError(f"--visible levels is for whole numbers, but {data.source} holds {kind_words(data.kind)}.")
    if "units" in MACHINES[kind].shape:
        shape["units"] = REAL if values["units"] == REAL else data.kind  # grey bytes are of either
    elif data.kind not in (BINARY, REAL):
        raise InputError(
            f"{data.source} holds {kind_words(data.kind)}, which are visible units of an rbm or a dbm, not of {kind}."
        )
    return MACHINES[kind].build(data.x.shape[1] // data.states, shape, data, values["seed"])


def _origin(options: Options) -> Path | None:
    """The run or model file to start from; raises InputError where options on it do not fit together."""
    if options["init"] is not None and options["grow"] is not None:
        raise InputError("--init goes on with a machine as it is, and --grow with more units: give one of both.")
    idle = [name for name in GROWTH if options[name] is not None and options["grow"] is None]
    if idle:
        raise InputError(f"{word(idle[0])} would do nothing: it needs --grow.")
    found: Path | None = options["grow"] if options["init"] is None else options["init"]
    return found


def _told_of(options: Options) -> dict[str, Any]:
    """What run.toml says of where the machine is from."""
    grown = {"grown": True, "wiring": _wiring(options)} if options["grow"] is not None else {}
    return {"path": str(_origin(options)), **grown}


def _wiring(options: Options) -> str:
    return options["grow_wiring"] or next(iter(WIRINGS))


def _initial(path: Path, kind: str, options: Options) -> Model:
    """The trained machine to start from, with more units where these are asked for."""
    model = model_of(path)
    found = model.kind
    if options["grow"] is not None:
        return _grown(model, path, kind, options)
    if found not in MACHINES:
        raise InputError(
            f"{path} holds a Helmholtz machine with layers of both kinds, which only boltz.train goes on with."
        )
    if found != kind:
        raise InputError(
            f"{path} holds a machine of kind {found}, but MODEL is {kind}: --init goes on with what is there."
        )
    return model


def _grown(model: Model, path: Path, kind: str, options: Options) -> Model:
    """The machine of a path with the hidden layers of --layers."""
    whole, groups = model.undirected, options["layers"]
    if whole is None or model.directed is not None or model.kind not in ("rbm", "dbm"):
        raise InputError(f"{path} holds a machine of kind {model.kind}, but --grow adds units to an rbm or a dbm.")
    if groups is None or len(groups) > 1:
        have = ",".join(str(layer.units) for layer in whole.layers[1:])
        raise InputError(
            f"--grow needs --layers, one chain of the hidden layers to have then: {path} has {have}, so for a layer "
            f"more {have},100."
        )
    found = grow(whole, groups[0], _wiring(options), options["grow_scale"], options["seed"] or 0)
    if found.kind != kind:
        raise InputError(f"{path} grows to a machine of kind {found.kind} by --layers, but MODEL is {kind}.")
    return found


def _fitting(model: Model, data: Data, name: str) -> Model:
    if (machine := of_several(model)) is not None:
        check_views(machine, data, "the data")
        return model
    layer = model.layers[0]
    refuse_other_kind(data, data.source, layer.kind)
    if data.x.shape[1] != layer.units:
        count, wanted = data.x.shape[1] // data.states, layer.units // layer.columns
        raise InputError(f"{data.source} has {count} units a row, but {name} has {wanted}.")
    return model


def _stem(kind: str, model: Model, data: Data) -> str:
    """The name of a run folder: vae-200-200-50-mnist, without the nets inside layers."""
    units = re.sub(r"\(.*?\)|[][]", "", model.architecture).split("-")[1:]
    return "-".join([kind, *units, data.name])


def held_out(rows: Read, settings: Any) -> Data | None:
    """Validation rows; where there are none, test rows for the recorded gap, but never to choose or to fit parameters.

    Those of files of their own come first.
    """
    fitting = settings.patience or settings.validation or isinstance(settings, AdversarialSettings)
    for split in ("valid",) if fitting else ("valid", "test"):
        if rows.has(split):
            return rows.rows(split)
    return None
