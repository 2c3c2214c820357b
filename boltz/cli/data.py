"""`boltz data`: the named data sets, or one data set or file."""

from __future__ import annotations

from typing import Any

import click

from boltz.cli.common import emit, json_option, table_options
from boltz.errors import InputError

MOST_STATES = 4  # whose shares are shown


@click.command
@click.argument("name", required=False)
@table_options
@click.option(
    "--units",
    metavar="bernoulli|spin|gaussian|categorical[:N]|binomial:N|counts",
    show_default="spin for -1 and 1 alone, categorical for an alignment, else bernoulli",
    help="What the numbers are: on or off, or probabilities; -1 and 1; any real numbers; codes of N states, without N "
    "up to the greatest code; or counts of words.",
)
@json_option
def data(name: str | None, as_json: bool, **options: Any) -> None:
    """List the named data sets and where each comes from, or describe NAME, a data set or a file. Downloads nothing.

    Example: boltz data rows.csv --label-column class
    """
    from boltz.evaluation.reading import refuse_idle

    if name is None:
        if options["units"] is not None:
            raise InputError("--units would do nothing: it needs the NAME of a file.")
        refuse_idle(options, "the NAME of a file")
        sets = _listed()
        emit({"sets": sets}, as_json, "\n".join(_set_lines(entry) for entry in sets))
    else:
        found = _described(name, options)
        emit(found, as_json, "\n".join(_lines(found)))


def _listed() -> list[dict[str, Any]]:
    from boltz.data import names

    return [_set(name) for name in names()]


def _set(name: str) -> dict[str, Any]:
    """A named set: what it is, its splits, where its file is, or how to come by it."""
    from boltz.data.named_sets import SETS, VARIABLE, find

    entry, path = SETS[name], find(name)
    if path is not None:
        source = str(path)
    elif entry.download is not None:
        source = f"downloaded at first use, or {entry.file} in the folder that {VARIABLE} names"
    else:
        source = f"{entry.file} in the folder that {VARIABLE} names"
    return {
        "name": name,
        "title": entry.title,
        "splits": list(entry.fingerprints),
        "found": path is not None,
        "source": source,
    }


def _described(name: str, options: dict[str, Any]) -> dict[str, Any]:
    from boltz.cli.common import said
    from boltz.data import load, names, splits
    from boltz.evaluation.reading import KIND
    from boltz.progress import saying

    if name in names() and not _set(name)["found"]:
        return _set(name)
    rows: dict[str, Any] = {}
    for split in splits(name):
        with saying(f"reading {split} rows of {name}"):
            found = said(load(name, split, **options))
        options |= {key: found.request[key] for key in KIND if key in found.request}  # all splits are of one kind
        rows[split] = {
            "rows": len(found.x),
            "fingerprint": found.fingerprint,
            "labels": found.labels is not None,
            **_figures(found),
        }
    return {
        "name": found.name,
        "source": found.source.removesuffix(f":x_{split}"),
        "units": found.x.shape[1] // found.states,
        "kind": found.kind,
        "alphabet": found.alphabet,
        "image": None if found.shape is None else list(found.shape),
        "levels": found.levels,
        "splits": rows,
    }


def _figures(found: Any) -> dict[str, Any]:
    """The mean of the rows, the lengths of documents, or the states of categorical units with their shares, the most
    frequent first.
    """
    if found.kind.startswith("counts"):
        from boltz.models.documents import lengths_of_rows

        lengths = lengths_of_rows(found.x)
        return {"words": {"mean": float(lengths.mean()), "least": int(lengths.min()), "most": int(lengths.max())}}
    if found.states == 1:
        return {"mean": float(found.x.mean() / (found.levels or 1))}
    shares = found.x.reshape(-1, found.states).mean(axis=0)
    names = found.alphabet or [str(code) for code in range(found.states)]
    return {"states": {names[code]: float(shares[code]) for code in (-shares).argsort(kind="stable").tolist()}}


def _set_lines(entry: dict[str, Any]) -> str:
    where = "found: " if entry["found"] else "not here: "
    return f"{entry['name']}: {entry['title']}; splits {', '.join(entry['splits'])}\n    {where}{entry['source']}"


def _lines(found: dict[str, Any]) -> list[str]:
    from boltz.data.kinds import BINARY, kind_words

    if "found" in found:
        return [_set_lines(found)]
    levels, kind = found["levels"], found["kind"]
    whole = {255: "grey levels 0 to 255", 1: "0 or 1"}.get(levels, f"whole numbers from 0 to {levels}")
    values = whole if kind == BINARY and levels is not None else kind_words(kind, found["alphabet"])
    image = f", images of {found['image'][0]} x {found['image'][1]}" if found["image"] else ""
    lines = [f"{found['name']}: {found['units']} units{image}, {values}", f"    {found['source']}"]
    for split, entry in found["splits"].items():
        labels = ", labels" if entry["labels"] else ""
        fingerprint = f"fingerprint {entry['fingerprint'][:16]}..."
        lines.append(f"    {split}: {entry['rows']:,} rows, {_told(entry)}{labels}, {fingerprint}")
    return lines


def _told(entry: dict[str, Any]) -> str:
    """The figures of a split in words."""
    if "words" in entry:
        words = entry["words"]
        return f"{words['least']:,} to {words['most']:,} words each, {words['mean']:.1f} on average"
    if "mean" in entry:
        return f"mean {entry['mean']:.4f}"
    shares = [f"{name} {share:.3f}" for name, share in entry["states"].items()]
    return f"most frequent {', '.join(shares[:MOST_STATES])}"
