"""Catches `boltz report` writing another page than the library, over a file, or under a name that no browser opens."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import SMALL, invoke, result_of

import boltz


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reported") / "run"
    result_of("train", "rbm", "--data", data, *SMALL, "--no-evaluate", "--out", out)
    return out


def test_the_page_is_that_of_the_library(run: Path) -> None:
    result = result_of("report", run, "--out", "page.html")
    assert result == {"out": "page.html", "bytes": Path("page.html").stat().st_size}
    assert Path("page.html").read_text() == boltz.report(run, "other.html").read_text()
    assert "page.html" in invoke("report", run, "--out", "page.html", "--force").stdout


@pytest.mark.parametrize("name", ["page.png", "page"])
def test_a_page_ends_in_html(run: Path, name: str) -> None:
    told = invoke("report", run, "--out", name)
    assert told.exit_code == 2 and "--out must end in .html" in told.stderr


def test_a_page_is_not_overwritten(run: Path) -> None:
    Path("report.html").write_text("mine")
    told = invoke("report", run)
    assert told.exit_code == 2 and "--force" in told.stderr and Path("report.html").read_text() == "mine"
