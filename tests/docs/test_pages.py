"""Catches what documents get wrong: code that does not run, commands and names that do not exist or are not explained.

All Python blocks and commands of a page run in their order, in one folder and one namespace. Commands run on fewer
rows, epochs, sweeps and samples than the page says. Those that need what a test lacks (other data sets, a GPU, time for
a ladder of temperatures) are only parsed.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import matplotlib.pyplot as plt
import pytest
from support.commands import invoke
from support.shorter import shorten

import boltz
from boltz.cli import COMMANDS, main
from boltz.plotting import images

ROOT = Path(__file__).parent.parent.parent
EXTENDING = ROOT / "docs" / "extending.md"  # whose code runs in a copy of the package, in test_extending.py
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(boltz [a-z]+[^`]*)`")
LACKING = re.compile(
    r"\bmnist\b(?!-mini)|mnist-static|omniglot|caltech|cuda|--recipe|--resume|--tempered"
)  # what only is parsed
FEWER = re.compile(r"(\bepochs=|\bpretrain_epochs=|\brange\()(\d+)")  # in code that asserts nothing
SMALL = {
    "--bounds": "1,5",
    "--betas": "40",
    "--budget": "1",
    "--chains": "10",
    "--epochs": "1",
    "--error": "9",
    "--few": "50",
    "--labelled": "20",
    "--minutes": "0.1",
    "--pretrain-epochs": "1",
    "--row-betas": "20",
    "--row-chains": "5",
    "--rounds": "40",
    "--samples": "5",
    "--sweeps": "30",
}  # what values of these options become
ADDED = (
    ("train", "--limit=60", ()),
    ("train", "--epochs=1", ("--minutes",)),
    ("train", "--no-evaluate", ()),
    ("classify", "--limit=80", ()),
    ("classify", "--epochs=1", ("--split",)),
    ("autoencode", "--limit=80", ()),
    ("autoencode", "--epochs=1", ("--split",)),
    ("evaluate", "--limit=30", ()),
    ("evaluate", "--betas=40", ("--along", "--budget", "--error", "--lengths", "--method", "--samples")),
    ("compare", "--limit=30", ()),
    ("compare", "--betas=40", ()),
    ("diagnose", "--limit=100", ()),
    ("diagnose", "--sweeps=30", ()),
    ("complete", "--limit=5", ()),
    ("complete", "--sweeps=20", ()),
    ("features", "--limit=100", ()),
    ("logz", "--budget=1", ("--betas", "--chains", "--error", "--method")),
    ("sample", "--sweeps=20", ("--tempered", "--label")),
)  # what a command gets besides, unless the page names it or one of these
LAYERS = {
    "rbm": ("--layers=16",),
    "dbm": ("--layers=12,8", "--pretrain-epochs=1"),
    "bm": ("--layers=6",),
    "multimodal": ("--pretrain-epochs=1",),
    "dbn": ("--layers=12,8", "--pretrain-epochs=1"),
    "sbn": ("--layers=12,8",),
    "vae": ("--layers=12",),
    "vlae": ("--layers=12",),
    "aae": ("--layers=12", "--discriminator-widths=8"),
    "nade": ("--layers=16",),
    "made": ("--layers=16",),
    "pixelcnn": ("--filters=4",),
}  # what a training gets besides, by its model


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(code: str) -> list[list[str]]:
    """The commands of boltz in a block of a shell, as words without the program's name."""
    lines = code.replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in re.sub(r"(^|\s)#.*", "", line).split("&&")]
    return [shlex.split(part)[1:] for part in parts if part.startswith("boltz ")]


def all_commands(page: Path) -> list[list[str]]:
    text = page.read_text(encoding="utf-8")
    blocks = [words for language, code in FENCE.findall(text) if language == "sh" for words in commands(code)]
    return [*blocks, *(words for code in INLINE.findall(text) for words in commands(code))]


def smaller(words: list[str]) -> list[str]:
    """The command with less work to do."""
    found = list(words)
    for at, word in enumerate(words[:-1]):
        if word in SMALL:
            found[at + 1] = SMALL[word]
        elif word in ("--layers", "--latent"):
            found[at + 1] = re.sub(r"\d+", lambda number: str(2 + int(number[0]) // 50), words[at + 1])
    if words[0] == "train" and "--init" not in words:
        given = {*words, *(("--pretrain-epochs",) if "--minutes" in words else ())}
        found += [extra for extra in LAYERS[words[1]] if extra.split("=")[0] not in given]
    for command, extra, others in ADDED:
        if words[0] == command and not {extra.split("=")[0], *others} & set(words):
            found.append(extra)
    return found


def options(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None, name
    return command


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, no other data sets, the number of threads as it was, short ladders, pictures not painted."""
    before = boltz.threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOLTZ_DATA", raising=False)
    monkeypatch.setattr(images, "written", lambda figure, ending: b"")
    shorten(monkeypatch)
    yield
    boltz.threads(before)
    plt.close("all")


@pytest.mark.parametrize("page", [page for page in PAGES if page != EXTENDING], ids=named)
def test_code_of_a_page_runs(page: Path, alone: None) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            code = code if "assert" in code else FEWER.sub(lambda found: f"{found[1]}{min(int(found[2]), 4)}", code)
            with warnings.catch_warnings():
                exec(compile(code, named(page), "exec"), namespace)
            continue
        for words in commands(code):
            if not LACKING.search(" ".join(words)) and "--help" not in words:
                result = invoke(*smaller(words))
                assert result.exit_code == 0, f"boltz {shlex.join(words)}: {result.output}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_options_exist(page: Path) -> None:
    for words in all_commands(page):
        if words[:1] == ["--version"] or page == EXTENDING:
            continue
        command = options(words[0])
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def explained() -> list[str]:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    return [name for block in reference().NAMES.findall(page) for name in block.split()]


def test_every_public_name_is_in_the_reference_once() -> None:
    pytest.importorskip("sklearn")
    import boltz.sklearn

    names = explained()
    assert len(names) == len(set(names))
    assert set(names) == {*boltz.__all__, *(f"sklearn.{name}" for name in boltz.sklearn.__all__)}


def test_the_reference_tells_every_name_and_command() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    written = reference().written(page)
    for name in COMMANDS:
        assert f"## boltz {name}\n" in written and "Usage: boltz" in written
    told = reference().entry("ais")
    assert "boltz.ais(" in told and "chains=100" in told and "log Z in nats" in told
    assert "| `batch_size` | `100` |" in reference().entry("Settings")
    assert "`trusted`" in reference().entry("Estimate")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_in_documents_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bboltz((?:\.[A-Za-z_]\w*)+)", re.sub(r"https?://\S+", "", text))):
        assert page == EXTENDING or resolves(name[1:]), f"{named(page)}: boltz{name}"


def resolves(name: str) -> bool:
    """Whether boltz has this name: a module, a public name, or an attribute of either."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(["boltz", *parts[:count]])
        if parts[0] not in boltz.__all__ and importlib.util.find_spec(module) is not None:
            found = importlib.import_module(module)
            return attribute(found, parts[count:])
    return parts[0] in boltz.__all__ and attribute(boltz, parts)


def attribute(thing: Any, names: list[str]) -> bool:
    for name in names:
        if not hasattr(thing, name) and name not in getattr(thing, "__dataclass_fields__", ()):
            return False
        thing = getattr(thing, name, None)
    return True


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text))
    assert found <= {"BOLTZ_NUM_THREADS", "BOLTZ_DATA", "OPENBLAS_CORETYPE"} or named(page) in (
        "docs/architecture.md",
        "docs/extending.md",
    ), found
    assert not re.search(r"\b(TODO|FIXME|TBD|XXX)\b", text)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), f"{named(page)}: {link}"
