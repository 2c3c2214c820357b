"""What `boltz train` measures at the end of a run, and how it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import boltz
from boltz.cli.beside import beside
from boltz.cli.common import say
from boltz.cli.measure import Annealing, estimate_log_z, samples_for, verdict, visible_rows
from boltz.cli.progress import Progress
from boltz.cli.reading import COLUMNS, REAL, loaded
from boltz.cli.stored import table
from boltz.data import Data, splits
from boltz.data.dataset import parted
from boltz.errors import FileError
from boltz.estimators.words import figure, small
from boltz.models.files import Model
from boltz.storage import run_folder

SIMPLE = {"mixture": "mixture of 20 products", "independent_units": "independent units"}


def measured(run: boltz.Run, progress: Progress) -> dict[str, Any] | None:
    """log Z and the log-likelihood of rows that were not learnt, as the run was asked; None where it was asked not to.

    These are the test rows, or where there are none the validation rows.
    """
    assert run.path is not None
    description = run_folder.read_settings(run.path)
    asked = table(description, "evaluation")
    if asked.get("wanted", True) is not True:
        return None
    seed = run.settings.seed
    samples = samples_for(run.model, asked.get("samples", 0))
    annealing = Annealing(asked.get("chains", 100), asked.get("betas", "sm2008"), seed)
    log_z = estimate_log_z(run.model, "auto", annealing, progress)
    found: dict[str, Any] = {"log_likelihood": None, "log_z": None, "methods": {}}
    if log_z is not None:
        found |= {"log_z": log_z.as_dict(), "methods": {"log_z": log_z.method}}
    which, data = "test", _split_data(description, run.model, "test")
    if data is None:
        which, data = "validation", _validation_data(description, run)
    if data is None:
        return found
    x, how = visible_rows(data, run.settings.binarize, seed, run.model)
    log_likelihood = boltz.log_likelihood(run.model, x, log_z, samples, seed)
    found["log_likelihood"] = log_likelihood.as_dict()
    found["methods"]["log_likelihood"] = log_likelihood.method
    said = verdict(log_likelihood, log_z, samples)
    simple = beside(run.model, data, x, description, seed)
    found |= {"beside": simple.as_dict(), "learnt": simple.verdict(log_likelihood.per_row, found["log_likelihood"])}
    about = {"which": which, "rows": len(x), "samples": samples, "data": data.name, "binarize": how}
    return found | about | {"certified": said}


def _validation_data(description: Mapping[str, Any], run: boltz.Run) -> Data | None:
    """The validation rows of a run: of its own or of its data set, or the share of its rows that was held out."""
    data = _split_data(description, run.model, "valid")
    own = table(description, "data", "load")
    if data is not None or run.settings.validation == 0 or not own:
        return data
    return parted(loaded(own, "run.toml"), run.settings.validation, run.settings.seed)[1]


def _split_data(description: Mapping[str, Any], model: Model, split: str) -> Data | None:
    """The rows of a split, of a file of their own or of the data set of a run; None for data in one piece."""
    own = table(description, "data", "load")
    place = own.get("name_or_path")
    if place is None:
        return None
    if not isinstance(place, str):
        raise FileError("run.toml does not say how to load the data.")
    if other := table(description, split, "load"):
        return loaded(other | {"machine_levels": model.levels}, "run.toml")
    known = {name: own[name] for name in (*COLUMNS, REAL) if name in own}
    known |= {"levels": own.get("levels"), "machine_levels": model.levels}
    return loaded({"name_or_path": place, "split": split, **known}, "run.toml") if split in splits(place) else None


def show(run: boltz.Run, result: Mapping[str, Any]) -> None:
    """The result as a table and plain sentences on stderr."""
    test = result["test"]
    if test is not None:
        if test["log_likelihood"] is not None or test["log_z"] is not None:
            _show_table(test)
        if test["log_likelihood"] is None:
            say(
                "The data have neither test nor validation rows, so there is no log-likelihood of new rows: give some "
                "with --test FILE, or measure them with boltz evaluate."
            )
        else:
            chose = ", which also chose the epoch" if test.get("which") == "validation" else ""
            rows = f"{test['rows']:,} {test.get('which', 'test')} rows of {test['data']}{chose}"
            say(f"{rows}, binarize {test['binarize']}. {test['certified']}")
            say(test["learnt"])
    say(f"The run is in {run.path}: see samples.png, filters.png and curves.png.")


def _show_table(test: Mapping[str, Any]) -> None:
    lines = []
    simple = test.get("beside") or {}
    entries = {
        f"{test.get('which', 'test')} log-likelihood": test["log_likelihood"],
        **{label: simple.get(name) for name, label in SIMPLE.items()},
        "log Z": test["log_z"],
    }
    for label, entry in entries.items():
        if entry is not None:
            chains = f"{number(entry['ess'], 0)} of {entry['chains']}" if entry["chains"] else "-"
            kind = {"none": "no"}.get(entry["kind"], entry["kind"])
            lines.append((label, *figures(entry), kind, chains))
    shown_table(("nats", "value", "estimation", "rows", "95 % interval", "bound", "effective"), lines)


def figures(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Value, errors of estimation and of rows, and 95 % interval from plain values; dashes for what is not known."""
    errors = [entry["standard_error"], entry["standard_error_rows"]]
    known = [error for error in errors if error]
    joint = math.hypot(*known) if known else 0.0
    ends = ["-" if end is None else figure(end, joint) for end in entry["interval"]]
    told = ["-" if not error else small(error) for error in errors]
    return figure(entry["value"], min(known, default=0.0)), told[0], told[1], " to ".join(ends)


def shown_table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table on stderr: the first column and those of words to the left, numbers to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i == 0 or name == "bound" else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    try:
        Console(stderr=True, width=max(100, Console(stderr=True).width), markup=False, emoji=False).print(table)
    except OSError:
        say("")


def number(value: Any, digits: int = 2) -> str:
    """A number for a table, a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"
