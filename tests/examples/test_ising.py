"""Catches an example of the square lattice that no longer runs, or whose intervals miss what is exact."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "ising.py"


def test_the_square_lattice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A narrow lattice, whose exact log Z is within five times half an interval, 10 errors of 16 copies."""
    picture = tmp_path / "ising.png"
    arguments = [str(SCRIPT), "--side", "4", "--rounds", "100", "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out
    lines = re.findall(r"log Z (\S+) exactly, (\S+) to (\S+) by", said)
    assert len(lines) == 7 and picture.stat().st_size > 10_000
    wide = [(float(x), float(low) - float(high), float(low), float(high)) for x, low, high in lines]
    assert all(low + 2 * width < x < high - 2 * width for x, width, low, high in wide)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--side", "13", "--rounds", "20"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "no exact log Z: exact_log_z enumerates" in capsys.readouterr().out
