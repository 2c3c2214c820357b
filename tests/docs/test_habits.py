"""Catches habits of the project that its files contradict: linters of hooks and CI, versions, sizes, word counts."""

from __future__ import annotations

import configparser
import importlib.util
import re
from pathlib import Path

import pytest

import boltz

ROOT = Path(__file__).parent.parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_hooks_are_the_linters_of_the_continuous_integration() -> None:
    hooks = re.findall(r"entry: (.+)", read(".pre-commit-config.yaml"))
    lines = [line.strip() for line in read(".ci/run").splitlines()]
    assert len(hooks) == 3 and set(hooks) <= set(lines)
    assert ".ci/run" in read(".github/workflows/ci.yml")


def test_the_version_stands_in_one_place() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["version"] == "attr: boltz.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", boltz.__version__)
    assert not [name for name in ("CITATION.cff", "docs/conf.py", "README.md") if boltz.__version__ in read(name)]
    assert f"## {boltz.__version__}" in read("CHANGELOG.md")


def test_type_checkers_see_that_the_package_is_typed() -> None:
    assert (ROOT / "boltz" / "py.typed").is_file()
    assert "boltz = py.typed" in read("setup.cfg")


def test_the_readme_is_short_and_the_pictures_are_small() -> None:
    assert len(read("README.md").encode()) <= 10_000
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()) < 1_000_000


@pytest.mark.parametrize(
    "text, words",
    [
        ("One two three. Four five.", [3, 2]),
        ("As in Hinton et al. 1995, of course.\n\n- an item\n- two more items", [8, 2, 3]),
        ("# Heading\n\n```python\nx = 1. + 2.\n```\n\nOnly `this code` counts.", [3]),
        ("| cell | A sentence in a cell. |\n|---|---|\n| 1.5 | no end |", [5]),
        ("**Run in.** Two words.", [2]),
    ],
)
def test_sentences_are_counted(text: str, words: list[int]) -> None:
    spec = importlib.util.spec_from_file_location("plain", ROOT / "scripts" / "plain.py")
    assert spec is not None and spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert [len(sentence.split()) for sentence in plain.sentences(text)] == words
