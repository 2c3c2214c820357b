"""Catches an example script of a few seconds that no longer runs, or whose answer is wrong."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"


def output(patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, *options: str) -> str:
    patch.setattr(sys, "argv", [name, *options])
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    return capsys.readouterr().out


def test_contacts_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = output(monkeypatch, capsys, "protein_contacts.py", "--sequences=2000")
    named = re.search(r"(\d+) of the first 20 pairs are contacts", found)
    assert named and int(named[1]) >= 18 and "converged" in found, found


def test_an_alignment_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fasta = tmp_path / "family.fasta"
    rows = ["ACDAC", "ACDWC", "GHDWC", "GHDAC", "ACDWH", "GHEAC"]
    fasta.write_text("".join(f">{i}\n{row}\n" for i, row in enumerate(rows)))
    found = output(monkeypatch, capsys, "protein_contacts.py", f"--data={fasta}", "--top=1", "--apart=1")
    assert "6 sequences of 5 sites" in found and re.search(r"^ +0 +1 +0\.\d+$", found, re.MULTILINE), found


def test_pairs_are_worth_bits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = output(monkeypatch, capsys, "spike_words.py", "--neurons=12", "--bins=3000")
    bits = re.search(r"pairs are worth (\S+) \+- (\S+) bits a bin", found)
    assert bits and float(bits[1]) > 5 * float(bits[2]) and "(exact)" in found, found
