"""Catches Python blocks of the README that do not run, and commands or options in it that do not exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from boltz.cli import main

TEXT = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("sh")).splitlines() + re.findall(r"`(boltz (?:train|compare) [^`]*)`", TEXT)
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [shlex.split(part) for part in parts if part.startswith("boltz ")]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_and_options_exist(words: list[str]) -> None:
    context = click.Context(main)
    command = main.get_command(context, words[1])
    assert command is not None
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    assert {word for word in words if word.startswith("--")} <= known
    if not {"RUN", "--help"} & set(words):
        command.make_context(words[1], words[2:])  # the values are of the types that the options take


def test_nothing_is_left_to_fill_in() -> None:
    found = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", TEXT))
    assert found <= {"BOLTZ_NUM_THREADS", "BOLTZ_DATA"}, found
    assert len(commands()) >= 8 and len(blocks("python")) >= 2
