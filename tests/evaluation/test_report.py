"""Catches a page that loads or runs anything foreign, leaves a part out, or shows rows and units that are not meant."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_pages

import boltz
from boltz.errors import InputError
from boltz.evaluation import report as module

HOSTILE = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'
RNG = np.random.default_rng(4)
X = (RNG.random((40, 16)) < 0.4).astype(np.float32)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 10, "chains": 5, "snapshots": 2}


class Seen(HTMLParser):
    """Tags with their attributes, the text of scripts, and all other text of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self.inside = "", [], ""
        self.source = page.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def values(self) -> Any:
        return json.loads(self.scripts[0])


ANY_GRAPH: dict[str, tuple[Any, Any, str]] = {
    "spins": (boltz.ising(np.ones((16, 16)) / 32 - np.eye(16) / 32), 2 * X - 1, "couplings to the other units of 16"),
    "sparse": (boltz.ising(boltz.lattice((4, 4), 0.2)), 2 * X - 1, "couplings to the other units of 16"),
    "lateral": (boltz.boltzmann(16, 5, lateral="hidden"), X, "weights of 5 of the 5 units of h"),
    "skipping": (boltz.graph({"v": 16, "a": 4, "b": 3}, [("v", "a"), ("a", "b"), ("v", "b")]), X, "4 units of a"),
    "views": (
        boltz.multimodal({"picture": 9, "tags": 7}, {"picture": [4], "tags": [3]}, 2),
        X,
        "weights of 4 of the 4 units of picture_h1; weights of 3 of the 3 units of tags_h1",
    ),
}


@pytest.mark.parametrize("name", ANY_GRAPH)
def test_machines_on_any_graph_have_a_page(name: str) -> None:
    """Every unit that a button stands for has its picture, its own facts, and rows that are drawn."""
    model, x, said = ANY_GRAPH[name]
    page = Seen(boltz.report(model, "r.html", x, measure=name in ("lateral", "views")))
    (values,) = page.values
    assert said in page.text.lower() and "Traceback" not in page.text
    buttons = [each for each in page.of("button") if "data-unit" in each]
    wanted = {"spins": 16, "sparse": 16, "lateral": 5, "skipping": 4, "views": 7}[name]
    assert len(buttons) == len(values["units"]) == wanted
    assert [each["aria-label"] for each in buttons] == [unit["name"] for unit in values["units"]]
    rows = {place for unit in values["units"] for place, _ in unit["rows"]}
    assert rows == set(range(len(values["rows"]))) and bool(rows) == (name not in ("spins", "sparse"))
    assert ("layer h adds" in page.text.lower() or "layer h is idle" in page.text.lower()) == (name == "lateral")
    assert ("Hearing tags is worth" in page.text) == (name == "views")
    sheets = page.text.count("samples: visible means")
    assert sheets == (2 if name == "views" else 1)


def test_units_of_views_see_their_own_view() -> None:
    """Numbers of the strongest weights, and of rows that drive a unit, are those of its view."""
    model = boltz.multimodal({"picture": 9, "tags": 7}, {"picture": [4], "tags": [3]}, 2, initial_scale=1.0, seed=3)
    (values,) = Seen(boltz.report(model, "r.html", X)).values
    means = boltz.features(model, X, "tags_h1")
    weights = model.params["edge/tags-tags_h1/weight"]
    for unit in values["units"][4:]:
        number = int(unit["name"].rpartition(" ")[2]) - 1
        facts = dict(unit["facts"])
        assert unit["name"].startswith("tags_h1") and facts["norm"] == f"{np.linalg.norm(weights[:, number]):.3g}"
        strongest = int(np.argmax(np.abs(weights[:, number])))
        assert facts[f"unit {strongest + 1}"] == f"{weights[strongest, number]:+.3g}"
        place, told = unit["rows"][0]
        assert values["rows"][place]["name"] == f"row {int(np.argmax(means[:, number])) + 1}"
        assert told == f"{means[:, number].max():.3g}"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def harmless(seen: Seen) -> bool:
    """Whether a page holds the two scripts of its own, and neither handlers nor sources outside of it."""
    sources = [value or "" for _, attributes in seen.tags for name, value in attributes.items() if name == "src"]
    links = [attributes["href"] or "" for attributes in seen.of("a")]
    handlers = [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    return (
        len(seen.scripts) == 2
        and not handlers
        and all(source.startswith("data:image/") for source in sources)
        and all(link.startswith("#") for link in links)
        and not seen.of("link") + seen.of("iframe")
    )


def test_checks() -> None:
    quick_pages.check_nearest()
    quick_pages.check_drivers()
    quick_pages.check_tiles()
    quick_pages.check_never_on()
    quick_pages.check_effects()
    quick_pages.check_view_effects()


def test_a_page_has_every_part_and_its_slider_and_buttons_have_names() -> None:
    run = boltz.train(boltz.dbm([16, 5, 3], X), X, "run", **SHORT, pretrain_epochs=1)
    assert run.path is not None
    seen = Seen(boltz.report("run", "page.html", X))
    parts = ("What it is", "Training", "Samples beside data", "Hidden units", "Along the training")
    for title in (*parts, "What each layer does", "log Z and log-likelihood", "learning_rate"):
        assert title in seen.text, title
    assert harmless(seen) and len(seen.source) < module.MOST_BYTES
    (slider,) = (each for each in seen.of("input") if each["type"] == "range")
    values = seen.values[0]
    snapshots = values["snapshots"]
    assert slider["max"] == str(len(snapshots) - 1) and snapshots[-1]["when"] == "the trained machine"
    assert len({each["filters"] for each in snapshots}) == len(snapshots) > 1
    assert {each["for"] for each in seen.of("label")} == {slider["id"]}
    buttons = seen.of("button")
    assert len(buttons) == len(values["units"]) == 5 and all(each["aria-label"] for each in buttons)
    assert all(each["alt"] is not None for each in seen.of("img"))
    assert {each["name"] for each in seen.of("meta") if "name" in each} == {"viewport"}


def test_notes_findings_and_settings_that_act_are_on_the_page() -> None:
    """And nothing is called not measured or cut short where its value is there."""
    rows = np.repeat([[0, 1], [1, 0]], 8, axis=1).repeat(40, axis=0).astype(np.float32)
    run = boltz.train(boltz.rbm(16, 5, rows), rows, epochs=1, learning_rate=1e-7, batch_size=10)
    seen = Seen(boltz.report(run, "page.html", rows, measure=True))
    for said in ("Notes and findings", *run.notes, "dead units", "hardly vary:", "They tell nothing of a row."):
        assert said in seen.text, said
    assert run.notes and "not measured" not in seen.text and "annea\u2026" not in seen.text
    assert "adam_beta1" not in seen.text and "max_norm" not in seen.text and "batch_size" in seen.text


@pytest.mark.parametrize("name", [HOSTILE.replace("/", "\u2215"), "<img src=x onerror=window.hacked=1>"])
def test_no_name_runs_as_code(name: str) -> None:
    """Of a folder, of columns, of labels, and in a run.toml and test.json that somebody edited."""
    columns = [HOSTILE if i == 0 else f"column {i}" for i in range(10)]
    lines = [",".join(['"' + c.replace('"', '""') + '"' for c in (*columns, "label")])]
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    lines += [
        ",".join([*map(str, (row[:10] > 0).astype(int)), quoted if i % 2 else "plain"]) for i, row in enumerate(X)
    ]
    Path("rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = boltz.load_data("rows.csv", label_column="label")
    run = boltz.train(boltz.rbm(10, 4, data.x), data, name, **SHORT)
    test = {"which": HOSTILE, "certified": HOSTILE, "layers": [HOSTILE], "log_z": {"value": HOSTILE}}
    (Path(name) / "test.json").write_text(json.dumps({"run": HOSTILE, "test": test}), encoding="utf-8")
    seen = Seen(boltz.report([run, str(Path(name) / "model.safetensors")], "page.html"))
    assert harmless(seen)
    assert "window.hacked" in seen.text and "<" not in seen.scripts[0]
    facts = [fact[0] for unit in seen.values[0]["units"] for fact in unit["facts"]]
    assert any("window.hacked" in fact for fact in facts)
    assert any("window.hacked" in row["name"] for row in seen.values[0]["rows"])


@pytest.mark.parametrize("kind", ["dbn", "sbn", "vae", "gaussian", "one column"])
def test_every_machine_has_a_page(kind: str) -> None:
    model: Any = {
        "dbn": lambda: boltz.dbn([16, 5, 3], X),
        "sbn": lambda: boltz.sbn([16, 5], x=X),
        "vae": lambda: boltz.vae([16, 6], 2, X),
        "gaussian": lambda: boltz.train(boltz.vae([16, 5], 2, visible="gaussian"), 100 * X, epochs=1).model,
        "one column": lambda: boltz.rbm(1, 2, X[:, :1]),
    }[kind]()
    seen = Seen(boltz.report(model, "page.html", X[:, : model.layers[0].units]))
    assert harmless(seen) and len(seen.values[0]["units"]) == model.layers[1].units
    assert "kept no snapshots" in seen.text


def test_several_machines_stand_side_by_side_and_are_compared_where_asked() -> None:
    machines = {"first": boltz.rbm(16, 3, X), "second": boltz.sbn([16, 3], x=X)}
    seen = Seen(boltz.report(machines, "page.html"))
    assert "Side by side" in seen.text and "not measured" in seen.text and "are not known" in seen.text
    seen = Seen(boltz.report(machines, "page.html", X, measure=True, force=True))
    assert "log Z from both sides" in seen.text
    assert "binarize none" in seen.text and "independent units" in seen.text


def test_a_page_is_replaced_only_where_that_is_asked() -> None:
    model = boltz.rbm(16, 3, X)
    boltz.report(model)
    with pytest.raises(InputError, match=r"^out is report\.html, which exists already"):
        boltz.report(model)
    before = Path("report.html").read_bytes()
    assert boltz.report(model, force=True).read_bytes() == before


def test_large_images_and_many_machines_fit_on_a_page() -> None:
    x = RNG.random((30, 96 * 96)).astype(np.float32)
    machines = [boltz.rbm(96 * 96, 40, x, seed=i) for i in range(3)]
    page = boltz.report(machines, "page.html", x)
    assert page.stat().st_size < module.MOST_BYTES
