"""How the result of `boltz train` is shown, and tables on stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import boltz
from boltz.cli.common import say
from boltz.evaluation.per_unit import per_unit_lines, seen_words, visible_of
from boltz.evaluation.words import SIMPLE, figures, number
from boltz.models.files import means_known
from boltz.training.minutes import used


def show(run: boltz.Run, result: Mapping[str, Any]) -> None:
    """The result as a table and plain sentences on stderr."""
    test = result["test"]
    if test is not None:
        if test["log_likelihood"] is not None or test["log_z"] is not None:
            _show_table(test)
        if test.get("why"):
            say(test["why"])
            for told in test.get("told", ()):
                say(told)
        elif test["log_likelihood"] is None:
            say(
                "The data have neither test nor validation rows, so there is no log-likelihood of new rows: give some "
                "with --test FILE, or measure them with boltz evaluate."
            )
        else:
            chose = ", which also chose the epoch" if test.get("which") == "validation" else ""
            rows = f"{test['rows']:,} {test.get('which', 'test')} rows of {test['data']}{chose}"
            layer = visible_of(run.model)
            say(" ".join([f"{rows}, {seen_words(test['binarize'], layer)}.", test["certified"]]))
            for told in per_unit_lines(layer, test["log_likelihood"]["value"]):
                say(told)
            for told in test.get("told", ()):
                say(told)
            say(test["learnt"])
            for told in test["layers"]:
                say(told)
    views = getattr(run.model.plan, "views", ())
    drawn = [f"{what}-{view}.png" for what in ("samples", "filters") for view in views] if len(views) > 1 else []
    samples = [] if run.model.layers[0].type.joint else ["samples.png"]
    filters = ["filters.png"] if means_known(run.model) else []
    say(f"The run is in {run.path}: see {', '.join(drawn or [*samples, *filters])} and curves.png.")


def show_used(plan: boltz.Plan, result: Mapping[str, Any]) -> None:
    """How well the plan guessed, on stderr."""
    found = result["plan"]
    say(used(plan, 60 * found["used_minutes"], result["epochs"], found["log_likelihood"]))


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
