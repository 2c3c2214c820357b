"""The benchmark commands run at toy size; what they compare is right, and a wrong or absent contender is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from boltz.kernels import PRIMITIVES

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = {"boltz": "boltz", "scikit-learn": "sklearn", "PyTorch": "torch"}
LINES = {"pcd", "cd25", "gibbs1000", "gibbs10000", "ais", "dbm", "vae", "iwae", "iwae2", "sbn"}
OFFERED = {"boltz": LINES, "scikit-learn": {"pcd", "gibbs1000", "gibbs10000"}, "PyTorch": LINES}
BROKEN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from check import check
from contenders import Work, boltz_side

[sound] = boltz_side.contenders()
sound.use_threads(1)

def spoiled(kind, change):
    def make(problem, threads):
        work = sound.makers[kind](problem, threads)
        return Work(work.run, lambda: tuple(change(x) for x in work.result()))
    return make

def backwards(problem, threads):
    return sound.makers["pcd"](replace(problem, learning_rate=-problem.learning_rate), threads)

def slow(problem, threads):
    return sound.makers["vae"](replace(problem, learning_rate=0.1 * problem.learning_rate), threads)

def inexact(problem, threads):
    work = sound.makers["iwae"](problem, threads)
    def probe(noise):
        bound, found = work.probe(noise)
        found["recognition/h1/1/bias"] *= 1.001
        return bound, found
    return replace(work, probe=probe)

makers = {"pcd": backwards, "gibbs": spoiled("gibbs", lambda x: 0.9 * x), "ais": spoiled("ais", lambda x: x + 1)}
makers |= {"vae": slow, "iwae": inexact}
found = check([sound, replace(sound, name="broken", makers=makers)], list(makers))
print(json.dumps([[f.contender, f.kind, f.passed] for f in found]))
"""


def command(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def smoke() -> dict[str, Any]:
    done = command(str(FOLDER / "compare.py"), "--smoke", "--json", "--threads", "1", "--repeats", "2")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MODULES)
def test_each_installed_contender_does_every_line_it_offers(smoke: dict[str, Any], name: str) -> None:
    if find_spec(MODULES[name]) is None:
        pytest.skip(f"{name} is not installed; the extra 'benchmark' adds it")
    lines = {line["row"]: line["contenders"][name] for line in smoke["rows"] if name in line["contenders"]}
    assert set(lines) == OFFERED[name]
    for found in lines.values():
        assert len(found["seconds"]) == 2
        assert min(found["seconds"]) > 0 and found["median"] > 0
        assert 0 < found["ratio"]["min"] <= found["ratio"]["median"] <= found["ratio"]["max"]


def test_the_ratio_is_the_peers_time_over_that_of_boltz(smoke: dict[str, Any]) -> None:
    for line in smoke["rows"]:
        ours = line["contenders"]["boltz"]["seconds"]
        for found in line["contenders"].values():
            ratios = [theirs / mine for theirs, mine in zip(found["seconds"], ours, strict=True)]
            assert found["ratio"]["median"] == pytest.approx(sum(ratios) / 2)


def test_a_missing_peer_is_left_out_and_named(tmp_path: Path) -> None:
    for module in ("torch", "sklearn"):
        (tmp_path / f"{module}.py").write_text("raise ModuleNotFoundError('planted')\n")
    done = command(str(FOLDER / "compare.py"), "--smoke", "--threads", "1", "--only", "pcd", PYTHONPATH=str(tmp_path))
    assert "left out: torch (planted)" in done.stderr and "left out: sklearn (planted)" in done.stderr
    assert "boltz" in done.stdout and "PyTorch" not in done.stdout


def test_a_broken_loop_does_not_pass_the_check() -> None:
    found = json.loads(command("-c", BROKEN, str(FOLDER)).stdout)
    assert [name for name, _, passed in found if passed] == ["boltz"] * 5
    assert {kind for name, kind, _ in found if name == "broken"} == {"pcd", "gibbs", "ais", "vae", "iwae"}


def test_bad_usage_is_refused_by_name() -> None:
    assert "'nonsense'" in command(str(FOLDER / "compare.py"), "--only", "nonsense", code=2).stderr


def test_every_primitive_has_a_timing_line() -> None:
    found = json.loads(command(str(FOLDER / "kernels.py"), "--smoke", "--json", "--repeats", "1").stdout)["ns_per_unit"]
    assert set(found) == set(PRIMITIVES)
    assert all(times["cpu"] > 0 and times["reference"] > 0 for times in found.values())


def test_mapped_rows_end_as_rows_in_memory() -> None:
    """The command exits with 1 where the two ways end with different parameters."""
    sizes = ("--rows", "300", "--units", "9", "--hidden", "3", "--batch", "20", "--steps", "2", "--rounds", "2")
    found = command(str(FOLDER / "large.py"), *sizes).stdout
    assert all(way in found for way in ("memory ", "mapped ")) and "speed of mapped rows over rows in memory" in found
