"""Catches skeletons in docs/extending.md that cannot be added to the package as they stand there, or do not run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import boltz
import boltz.kernels

PAGE = Path(__file__).parent.parent.parent / "docs" / "extending.md"
BLOCK = re.compile(r"^```(python|diff|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = "import shlex\nfrom boltz.cli import main\nmain(shlex.split({!r})[1:], standalone_mode=False)\n"


def edit(folder: Path, diff: str) -> None:
    """Apply lines with a minus (replaced) or without a sign (stay, and come before), and lines with a plus."""
    head, *lines = diff.splitlines()
    path = folder / head.removeprefix("+++ ")
    text, old = path.read_text(encoding="utf-8"), "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"{path.name}: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_skeletons_can_be_added_and_run(tmp_path: Path) -> None:
    """All are added to one copy of the package and one process runs all examples.

    The kernels are those of this package, by their own path, under which the compiled ones are kept.
    """
    kernels = Path(boltz.kernels.__file__).parent
    shutil.copytree(
        Path(boltz.__file__).parent, tmp_path / "boltz", ignore=shutil.ignore_patterns("kernels", "__pycache__")
    )
    script, files = f"import boltz\nboltz.__path__.append({str(kernels.parent)!r})\n", []
    for language, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "diff":
            edit(tmp_path, code)
        elif language == "sh":
            script += "".join(COMMAND.format(line) for line in code.splitlines())
        elif new := re.match(r"# (boltz/\S+\.py)\n", code):
            assert not (tmp_path / new[1]).exists()
            (tmp_path / new[1]).write_text(code[new.end() :], encoding="utf-8")
            files.append(new[1])
        else:
            script += code
    assert len(files) == 3
    script += f"assert boltz.__file__.startswith({str(tmp_path)!r})\n"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert "h1: 0." in found.stdout and '"h1":' in found.stdout
