"""Catches benchmark commands that do not run, compare wrongly, or hide a wrong or absent contender."""

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
MODULES = {"boltz": "boltz", "scikit-learn": "sklearn", "PyTorch": "torch", "JAX": "jax", "rbms": "rbms"}
LINES = {"pcd", "pcd10", "cd25", "gibbs1000", "gibbs10000", "ais", "dbm", "vae", "iwae", "iwae2", "sbn"}
OFFERED = dict.fromkeys(("PyTorch", "JAX"), LINES) | {"boltz": LINES | {"fit"}}
OFFERED |= {
    "scikit-learn": {"pcd", "pcd10", "fit", "gibbs1000", "gibbs10000"},
    "rbms": {"pcd", "pcd10", "cd25", "gibbs1000", "gibbs10000", "ais"},
}
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
        [sys.executable, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmark") / "new" / "folder"


@pytest.fixture(scope="module")
def smoke(folder: Path) -> dict[str, Any]:
    compare = (
        str(FOLDER / "compare.py"),
        "--smoke",
        "--json",
        "--threads",
        "1",
        "--repeats",
        "2",
        "--out",
        str(folder),
    )
    return json.loads(command(*compare).stdout)


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


def test_the_share_of_the_limit_is_the_time_of_the_fastest_dense_products_over_that_of_the_contender(
    smoke: dict[str, Any],
) -> None:
    for line in smoke["rows"]:
        limit = line["limit"]
        fastest = min(limit["seconds"], key=lambda name: sum(limit["seconds"][name]))
        assert limit["library"] == fastest
        for found in line["contenders"].values():
            shares = [a / b for a, b in zip(limit["seconds"][fastest], found["seconds"], strict=True)]
            assert found["fraction"]["median"] == pytest.approx(sum(shares) / 2)
    (bounds,) = smoke["limits"]
    assert bounds["threads"] == 1 and "numpy" in bounds["gflops"]
    assert min(*bounds["gflops"].values(), *bounds["memory"].values(), *bounds["l2"].values()) > 0


def test_dense_products_are_counted_as_the_algorithm_needs_them(smoke: dict[str, Any]) -> None:
    """At toy size: an RBM 20-12, a DBM 20-12-8, nets 20-12-8-[5]; 100 rows of data, 50 chains and rows a batch."""
    v, h, n = 20, 12, 50
    edge, upper = 2 * n * v * h, 2 * n * h * 8
    rows = 100
    wanted = {
        "pcd": 3 * edge + 2 * edge,
        "cd25": (1 + 2 * 25) * edge + 2 * edge,
        "gibbs1000": 2 * edge,
        "ais": 14_500 * 2 * edge,
        "fit": 40 * (2 * 10 * v * h + 2 * 2 * 20 * v * h),
        "dbm": (1 * edge + 21 * upper) + 2 * (edge + upper) + 2 * (edge + upper),
        "vae": 2 * rows * (3 * (v * 12 + 12 * 8 + 8 * 10) + 3 * (5 * 8 + 8 * 12 + 12 * v) - v * 12),
        "sbn": 2 * 24 * 50 * (2 * 2 * (20 * 20) + 2 * v * 20) + 2 * 24 * 2 * v * 20,
    }
    found = {line["row"]: line["limit"]["flop"] for line in smoke["rows"]}
    assert {name: found[name] for name in wanted} == wanted


def test_the_ratio_is_the_peers_time_over_that_of_boltz(smoke: dict[str, Any]) -> None:
    for line in smoke["rows"]:
        ours = line["contenders"]["boltz"]["seconds"]
        for found in line["contenders"].values():
            ratios = [theirs / mine for theirs, mine in zip(found["seconds"], ours, strict=True)]
            assert found["ratio"]["median"] == pytest.approx(sum(ratios) / 2)


def test_a_missing_peer_is_left_out_and_named(tmp_path: Path) -> None:
    for module in ("torch", "sklearn", "rbms"):
        (tmp_path / f"{module}.py").write_text("raise ModuleNotFoundError('planted')\n")
    compare = (str(FOLDER / "compare.py"), "--smoke", "--threads", "1", "--only", "pcd", "--repeats", "1")
    done = command(*compare, PYTHONPATH=os.pathsep.join((str(tmp_path), *sys.path)))
    assert "left out: torch (planted)" in done.stderr and "left out: sklearn (planted)" in done.stderr
    assert "left out: rbms (planted)" in done.stderr
    assert "boltz" in done.stdout and "PyTorch" not in done.stdout


def test_a_broken_loop_does_not_pass_the_check() -> None:
    found = json.loads(command("-c", BROKEN, str(FOLDER)).stdout)
    assert [name for name, _, passed in found if passed] == ["boltz"] * 5
    assert {kind for name, kind, _ in found if name == "broken"} == {"pcd", "gibbs", "ais", "vae", "iwae"}


TOY = """
import os, sys
from contenders import Lesson, Work

def make(problem, threads):
    def run(count):
        print("a library prints")
        if count == 2:
            raise ValueError("two is too many.")
        if count == 3:
            os._exit(5)

    def result():
        if isinstance(problem, Lesson):
            return tuple(problem.machine.params.values())
        return (*problem.weights, *problem.biases, problem.start["h1"], problem.rates["v"], problem.rows)

    return Work(run, result, lambda noise: (threads + problem.samples, {name: 2 * x for name, x in noise.items()}))

def makers():
    return {"pcd": make, "vae": make}
"""
PARENT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from check import small_lesson, small_problem
from contenders import ContenderError
from contenders.child import Child

child, said, problem, lesson = Child("toy", sys.argv[2], 3, {}), [], small_problem(1, 20, 0.1), small_lesson("iwae")
first = child.make("pcd", problem)
first.run(1)
wanted = (*problem.weights, *problem.biases, problem.start["h1"], problem.rates["v"], problem.rows)
same = all(np.array_equal(a, b) for a, b in zip(first.result(), wanted, strict=True))
second = child.make("vae", lesson)
same &= all(np.array_equal(a, b) for a, b in zip(second.result(), lesson.machine.params.values(), strict=True))
bound, slope = second.probe({"h1": np.ones(3)})
for work, count in ((first, 1), (second, 2), (second, 1), (second, 3)):
    try:
        work.run(count)
        said.append("")
    except ContenderError as problem:
        said.append(str(problem))
try:
    Child("absent", "no_such_module", 1, {}).make("pcd", small_problem(1, 20, 0.1))
except ContenderError as problem:
    said.append(str(problem))
print(json.dumps([same, bound, slope["h1"].tolist(), said]))
"""


def test_a_contender_in_a_child_process_gets_the_problem_and_fails_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    done = command("-c", PARENT, str(FOLDER), "toy", PYTHONPATH=os.pathsep.join((str(tmp_path), *sys.path)))
    same, bound, slope, said = json.loads(done.stdout)
    assert same and bound == 3 + 5 and slope == [2, 2, 2]
    assert said == [
        "The work of toy has made room for another.",
        "The process of toy failed: ValueError: two is too many.",
        "",
        "The process of toy ended with code 5 during its turn.",
        "The process of absent failed: ModuleNotFoundError: No module named 'no_such_module'.",
    ]
    assert "Traceback" not in done.stderr


def test_results_are_written_where_the_option_says(smoke: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    assert json.loads((folder / "results.json").read_text()) == smoke
    table = (folder / "table.md").read_text()
    assert all(table.count(f"| {line['title']} ") == 1 for line in smoke["rows"])
    (tmp_path / "file").touch()
    refused = command(str(FOLDER / "compare.py"), "--smoke", "--out", str(tmp_path / "file"), code=2).stderr
    assert refused.startswith("--out must name a folder that can be written, got ") and refused.count("\n") == 1


def test_an_earlier_run_stands_beside_this_one(smoke: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    """An earlier run that took 1,000 times as long shows as a ratio above 10; a file that is none is refused."""
    (line,) = [line for line in smoke["rows"] if line["row"] == "pcd"]
    slow = {
        name: found | {"seconds": [1e3 * x for x in found["seconds"]]} for name, found in line["contenders"].items()
    }
    (tmp_path / "old.json").write_text(json.dumps(smoke | {"rows": [line | {"contenders": slow}]}))
    compare = (str(FOLDER / "compare.py"), "--smoke", "--threads", "1", "--only", "pcd,pcd10", "--repeats", "1")
    told = command(*compare, "--json", "--against", str(tmp_path / "old.json"))
    (found,) = json.loads(told.stdout)["against"]["lines"]
    assert found["row"] == "pcd" and found["ratios"]["boltz"] > 10
    refused = command(*compare, "--against", str(folder / "table.md"), code=2).stderr
    assert refused.startswith("--against must name a results.json of this command, got ")


def test_the_scaling_study_writes_a_table_and_a_picture(tmp_path: Path) -> None:
    done = command(str(FOLDER / "scaling.py"), "--smoke", "--quick", "--repeats", "1", "--out", str(tmp_path))
    found = json.loads((tmp_path / "results.json").read_text())
    studies = ("hidden", "batch", "chains", "depth", "threads", "threads-gibbs")
    assert {line["study"] for line in found["lines"]} == set(studies)
    assert all(min(line["rates"].values()) > 0 for line in found["lines"])
    assert (tmp_path / "table.md").read_text() == done.stdout
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_pixels_are_timed_and_all_contenders_agree() -> None:
    """The command fails where a library finds other densities or derivatives."""
    done = command(str(FOLDER / "pixels.py"), "--smoke", "--repeats", "1")
    cells = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert len(cells) == max(4 * (find_spec("torch") is not None) + (find_spec("jax") is not None), 1)
    assert all("rows/s" in each[1] and "12 filters" in each[0] for each in cells)


def test_other_units_are_timed_beside_their_peers_or_the_command_says_what_it_needs() -> None:
    there = find_spec("torch") is not None
    done = command(str(FOLDER / "kinds.py"), "--smoke", "--threads", "1", "--repeats", "1", code=0 if there else 2)
    if not there:
        assert "needs PyTorch" in done.stderr and not done.stdout
        return
    cells = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert len(cells) == 3 and all("PyTorch" in each[3] for each in cells)


TABLE = """
import argparse, sys, time
sys.path.insert(0, sys.argv[1])
from contenders import Work
from turns import Line, beside_torch

def lasting(seconds):
    return Work(lambda units: time.sleep(units * seconds), tuple)

def make():
    return {"boltz": lasting(0.02), "PyTorch, slow": lasting(0.08), "PyTorch, quick": lasting(0.04)}

options = argparse.Namespace(threads=[1, 2], repeats=3, smoke=False)
sys.exit(beside_torch([Line("naps", make, 1000, "naps/s", 0.1)], options))
"""


def test_a_table_has_the_quickest_peer_its_ratio_and_the_rate_of_boltz(tmp_path: Path) -> None:
    """Naps of known lengths in the place of work, and a PyTorch that only takes numbers of threads."""
    (tmp_path / "torch.py").write_text("def set_num_threads(number): pass\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = command("-c", TABLE, str(FOLDER), PYTHONPATH=path)
    cells = [[part.strip() for part in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert [each[:2] for each in cells] == [["naps", "1"], ["naps", "2"]]
    for _, _, rate, peer, ratio in cells:
        assert peer == "PyTorch, quick" and 1.5 < float(ratio.split()[0]) < 2.5
        assert rate.endswith(" naps/s") and 30_000 < float(rate.split()[0].replace(",", "")) < 51_000


@pytest.mark.parametrize(("script", "lines"), [("autoregressive.py", 2), ("adversarial.py", 1)])
def test_nets_are_timed_beside_pytorch(script: str, lines: int) -> None:
    """The command also exits with 1 where gradients of PyTorch are not those of boltz."""
    there = find_spec("torch") is not None
    options = "--smoke", "--threads", "1", "--repeats", "1"
    done = command(str(FOLDER / script), *options, code=0 if there else 2)
    if not there:
        assert "needs PyTorch" in done.stderr and not done.stdout
        return
    cells = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert len(cells) == lines and all("PyTorch" in each[3] for each in cells)


def test_a_busy_neighbour_is_measured_and_gone_afterwards() -> None:
    done = command(str(FOLDER / "neighbour.py"), "--smoke", "--threads", "1", "--repeats", "1")
    cells = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert len(cells) == 4 and all(float(each[-1]) > 0 for each in cells)


def test_bad_usage_is_refused_by_name() -> None:
    assert "'nonsense'" in command(str(FOLDER / "compare.py"), "--only", "nonsense", code=2).stderr


def test_every_primitive_has_a_timing_line() -> None:
    sizes = ("--chains", "20", "--units", "50")
    found = json.loads(command(str(FOLDER / "kernels.py"), *sizes, "--smoke", "--json", "--repeats", "1").stdout)[
        "ns_per_unit"
    ]
    assert set(found) == set(PRIMITIVES)
    assert all(times["cpu"] > 0 and times["reference"] > 0 for times in found.values())


def test_mapped_rows_end_as_rows_in_memory() -> None:
    """The command exits with 1 where the two ways end with different parameters."""
    sizes = ("--rows", "300", "--units", "9", "--hidden", "3", "--batch", "20", "--steps", "2", "--rounds", "2")
    found = command(str(FOLDER / "large.py"), *sizes).stdout
    assert all(way in found for way in ("memory ", "mapped ")) and "speed of mapped rows over rows in memory" in found


def test_estimators_are_timed_beside_those_of_scikit_learn() -> None:
    pytest.importorskip("sklearn")
    done = command(str(FOLDER / "estimators.py"), "--threads", "1", "--repeats", "1", "--epochs", "1", "--rows", "100")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 10 and all(line.count("|") == 11 for line in lines)


def test_programs_are_timed_beside_steps() -> None:
    """The command exits with 1 where a program and single steps end with different parameters."""
    sizes = ("--units", "12", "--hidden", "10", "--batches", "12", "--epochs", "2", "--rounds", "1", "--threads", "1")
    found = command(str(FOLDER / "programs.py"), *sizes).stdout
    assert "equal bits" in found and found.count("(") == 5
