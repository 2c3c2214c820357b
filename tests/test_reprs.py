"""Catches reprs that fill a notebook: arrays written out, names of strangers that a terminal would obey, no table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boltz

X = np.random.default_rng(1).random((40, 30)) < 0.5
LONG = "\x1b[31m<b>" + "name " * 100
TINY: dict[str, Any] = {"epochs": 2, "batch_size": 20, "chains": 5, "snapshots": 0}


def edited(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"stage": LONG, "seconds": "long", "pseudo_likelihood": [1]}


MAKE: dict[str, Callable[[], Any]] = {
    "Run": lambda: boltz.train(boltz.rbm(30, 20, X), X, **TINY),
    "Run with notes": lambda: replace(thing("Run"), told=(LONG,) * 9, path=Path(LONG)),
    "Run, edited": lambda: replace(thing("Run"), history=[edited(record) for record in thing("Run").history]),
    "Run without epochs": lambda: boltz.train(boltz.rbm(30, 20, X), X, epochs=0),
    "Tuned": lambda: boltz.fine_tune(thing("rbm"), X, X[:, 0], validation=0.0, epochs=1),
    "rbm": lambda: boltz.rbm(30, 20, X),
    "deep": lambda: boltz.dbm([30] * 200, X),
    "vae": lambda: boltz.vae([30, 20], 5, X),
    "sbn": lambda: boltz.sbn([30, 20, 10], widths=[15], x=X).with_levels(20),
    "dbn": lambda: boltz.dbn([30, 20, 10], X),
    "Network": lambda: boltz.classifier(thing("rbm"), [LONG, "b"]),
    "autoencoder": lambda: boltz.autoencoder(thing("rbm")),
    "Data": lambda: boltz.load_data("mnist-mini", limit=50),
    "Data, hostile": lambda: replace(thing("Data"), name=LONG, source=LONG, notes=(LONG,) * 3, columns=(LONG,) * 784),
    "Settings": boltz.Settings,
    "Settings, many": lambda: boltz.Settings(1, 1, 1, rule="cd", k=2, chains=3, center=True, l1=0.1, seed=9**18),
    "PairwiseFit": lambda: boltz.fit_pairwise(boltz.boltzmann(30), X),
    "FineTuneSettings": lambda: boltz.FineTuneSettings(optimizer="lbfgs"),
}
TABLES = [name for name in MAKE if name.startswith(("Run", "Tuned", "Data", "PairwiseFit"))]


@cache
def thing(name: str) -> Any:
    return MAKE[name]()


@pytest.mark.parametrize("name", MAKE)
def test_a_repr_is_one_short_line(name: str) -> None:
    text = repr(thing(name))
    assert len(text) <= 300 and text.isprintable() and "array(" not in text
    assert text.startswith(f"{type(thing(name)).__name__}(") and text.endswith(")")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Run", ("rbm 30-20", "2 epochs in", "pseudo-likelihood -")),
        ("Run without epochs", ("rbm 30-20", "0 epochs")),
        ("Tuned", ("classifier 30-20-2", "those of epoch 1")),
        ("rbm", ("rbm 30-20", "650 parameters", "float32 on cpu")),
        ("vae", ("vae 30-20-[5]",)),
        ("sbn", ("sbn 30-15-[20]-15-[10]", "levels 20")),
        ("dbn", ("dbn 30-20-10",)),
        ("Network", ("classifier 30-20-2",)),
        ("autoencoder", ("autoencoder 30-20-30",)),
        ("Data", ("mnist-mini", "50 rows of 784 units", "images of 28 x 28", "labels")),
        ("PairwiseFit", ("PairwiseFit(30, pseudo-likelihood -", "nats a row, converged after", "l2 0.0072")),
        ("FineTuneSettings", ("FineTuneSettings(optimizer='lbfgs')",)),
    ],
)
def test_a_repr_says_what_it_is(name: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert word in repr(thing(name))


def test_settings_say_what_is_not_as_by_default() -> None:
    """Written again as Python, they are the same settings."""
    made = boltz.Settings(epochs=3, rule="cd", learning_rate=0.1)
    assert repr(made) == "Settings(epochs=3, learning_rate=0.1, rule='cd')"
    assert eval(repr(made), {"Settings": boltz.Settings}) == made


class Cells(HTMLParser):
    """The texts of a table, and the names of its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_for_notebooks_has_the_parts_and_no_tags_of_strangers(name: str) -> None:
    found = Cells(thing(name)._repr_html_())
    assert found.tags == {"table", "caption", "tbody", "tr", "th", "td"}
    assert all(text.isprintable() and len(text) <= 300 for text in found.texts)
    assert len(found.texts) >= 5


def test_a_table_of_a_run_has_its_numbers() -> None:
    texts = Cells(thing("Run")._repr_html_()).texts
    last = thing("Run").history[-1]
    for text in ("30-20", "650", f"pseudo-likelihood {last['pseudo_likelihood']:.1f}"):
        assert text in texts
