"""Would catch a result in Python that differs from what the command prints, and a function that prints by itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_evaluation
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from support.commands import SMALL, invoke, result_of, write_data
from support.shorter import shorten

import boltz
from boltz.evaluation import rows as rows_module
from boltz.evaluation.words import text_table

X = quick_evaluation.X


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOLTZ_DATA", raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "bars.npz")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert invoke("train", "rbm", *SMALL, "--data", data, "--out", folder).exit_code == 0
    return folder


def without_times(value: Any) -> Any:
    """A result without the seconds that it took."""
    if isinstance(value, dict):
        return {name: without_times(entry) for name, entry in value.items() if name not in ("seconds", "out")}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


def printed(*words: object) -> str:
    found = invoke(*words)
    assert found.exit_code == 0, found.stderr
    return found.stdout.rstrip("\n")


@pytest.mark.parametrize("how", [{}, {"error": 0.5}, {"method": "raise", "row_chains": 3, "row_betas": 5}])
def test_an_evaluation_is_what_the_command_prints(run: Path, how: dict[str, Any]) -> None:
    words = [word for name, value in how.items() for word in ("--" + name.replace("_", "-"), value)]
    found = boltz.evaluate(run, **how)
    assert found.as_dict() == result_of("evaluate", run, *words)
    assert str(found) == printed("evaluate", run, *words)


def test_a_comparison_is_what_the_command_prints(run: Path, data: Path) -> None:
    assert (
        invoke("train", "vae", "--layers", 4, "--latent", 2, "--epochs", 1, "--data", data, "--out", "v").exit_code == 0
    )
    found = boltz.compare([run, Path("v")], samples=4)
    assert without_times(found.as_dict()) == without_times(result_of("compare", run, "v", "--samples", 4))
    lines = printed("compare", run, "v", "--samples", 4).splitlines()
    told = str(found).splitlines()
    assert len(told) == len(lines) - 1 and lines[-1].startswith("Written: ")
    assert [line for line in told if "less" in line] == [line for line in lines if "less" in line]


def test_a_diagnosis_and_a_description_are_what_the_commands_print(run: Path) -> None:
    found = boltz.diagnose(run, sweeps=20)
    assert found.as_dict() == result_of("diagnose", run, "--sweeps", 20)
    assert str(found) == printed("diagnose", run, "--sweeps", 20)
    for place in (run, run / "model.safetensors"):
        assert boltz.describe(place).as_dict() == result_of("info", place)
        assert str(boltz.describe(place)) == printed("info", place)


def test_along_training_is_what_the_command_prints(run: Path) -> None:
    found = boltz.evaluate_along(run, rounds=20)
    assert found.as_dict() == result_of("evaluate", run, "--along", "--rounds", 20)
    assert str(found) == printed("evaluate", run, "--along", "--rounds", 20)


@pytest.mark.parametrize("method", ["two-sided", "exact", "ais", "trajectory"])
def test_log_z_of_a_run_is_what_the_command_prints(run: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    how: dict[str, Any] = {
        "ais": {"betas": 20, "chains": 5},
        "trajectory": {"rounds": 20},
        "two-sided": {"error": 2, "budget": 0},
    }.get(method, {})
    words = [word for name, value in how.items() for word in (f"--{name}", value)]
    found, told = boltz.log_z(run, method=method, **how), result_of("logz", run, "--method", method, *words)
    assert (found.value, found.trusted) == (told["log_z"]["value"], told["log_z"]["trusted"])
    assert str(found).splitlines()[0].removeprefix("log Z ") in printed("logz", run, "--method", method, *words)


def test_in_memory_without_a_folder(capfd: pytest.CaptureFixture[str]) -> None:
    """What a notebook does: everything works, returns a result that speaks, and prints nothing."""
    run = boltz.train(boltz.rbm(6, 3, X), X, epochs=3, batch_size=8)
    heard: list[tuple[str, int, int]] = []
    found = [
        boltz.evaluate(run, X, train=X, progress=lambda *told: heard.append(told)),
        boltz.compare(
            {"a": run, "b": boltz.vae([6, 4], 2, x=X)}, X, samples=3, progress=lambda *told: heard.append(told)
        ),
        boltz.diagnose(run, X, sweeps=20, progress=lambda *told: heard.append(told)),
        boltz.describe(run),
        boltz.log_z(run),
        boltz.log_z(run, method="ais", betas=5),
        boltz.log_z(run, method="trajectory", rounds=20),
    ]
    assert capfd.readouterr() == ("", "")
    for each in found:
        assert len(repr(each)) < 1200 and str(each) and each.as_dict()
        assert each._repr_html_().startswith("<table>") and each._repr_html_().endswith("</table>")
    assert ("comparing: b", 1, 2) in heard and ("running chains for 20 sweeps", 0, 0) in heard
    assert not list(Path().iterdir())


def test_runs_that_differ_only_by_seed_are_a_group() -> None:
    """Found in run folders, by Python and by the command alike; another number of epochs is no member."""
    np.save("x.npy", X)
    for name, seed, epochs in (("a", 1, 2), ("b", 2, 2), ("c", 3, 1)):
        boltz.train(boltz.rbm(6, 3, X, seed), boltz.load_data("x.npy"), epochs=epochs, seed=seed, out=name)
    comparison = boltz.compare(["a", "b", "c"], "x.npy")
    (group,) = comparison.groups
    values = comparison.per_row.mean(axis=0)[:2]
    assert group.members == ("a", "b") and group.mean == pytest.approx(values.mean())
    assert group.spread == pytest.approx(values.std(ddof=1)) and str(group) in str(comparison)
    assert result_of("compare", "a", "b", "c", "--data", "x.npy", "--out", "d")["groups"] == [group.as_dict()]


def test_html_shows_names_as_they_are() -> None:
    """A name from elsewhere is text in a notebook, never markup."""
    told = boltz.compare({"<script>": boltz.rbm(6, 3, X)}, X)._repr_html_()
    assert "<script>" not in told and "&lt;script&gt;" in told


def test_a_text_table_is_that_of_rich() -> None:
    head, rows = ("name", "value", "kind"), [("a", "1.5\n2", "x"), ("longer", "", "none\nb")]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in head:
        table.add_column(name, justify="left" if name != "value" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    stream = io.StringIO()
    Console(file=stream, width=100).print(table)
    wanted = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert ["", *(line.rstrip() for line in text_table(head, rows, ("name", "kind"))), ""] == wanted


def test_what_is_asked_in_vain() -> None:
    run = boltz.train(boltz.rbm(6, 3, X), X, epochs=1, batch_size=8)
    for call, words in (
        (lambda: boltz.evaluate(run), "data must be given"),
        (lambda: boltz.evaluate(run, X, split="test"), "split must be None"),
        (lambda: boltz.evaluate(run, X, samples=5), "samples would do nothing"),
        (lambda: boltz.evaluate(run, X, error=1.0, chains=5), "so it takes no chains"),
        (lambda: boltz.evaluate(run, X, method="bound"), "method bound would do nothing"),
        (lambda: boltz.evaluate(3), "model must be a machine, a run, or the path"),
        (lambda: boltz.log_z(boltz.vae([6, 3], 2)), "model must have a log Z"),
        (lambda: boltz.log_z(run.model, method="trajectory"), "trajectory must hold snapshots"),
        (lambda: boltz.compare([]), "at least one machine"),
        (lambda: boltz.compare([run.model, boltz.rbm(5, 3)], X), "same visible units"),
        (lambda: boltz.diagnose(boltz.vae([6, 3], 2), X, log_z=True), "log_z must be False"),
    ):
        with pytest.raises(boltz.InputError, match=words):
            call()


def test_the_best_is_named_where_it_is_sure() -> None:
    """A machine that knows two patterns beside one that knows nothing; of two equal ones none is the best."""
    rows = np.repeat([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]], 30, axis=0).astype(np.float32)
    knows = boltz.from_arrays([np.array([[6.0]] * 3 + [[-6.0]] * 3)], [np.array([-3.0] * 3 + [3.0] * 3), np.zeros(1)])
    found = boltz.compare({"nothing": boltz.rbm(6, 2, rows), "knows": knows}, rows)
    assert found.best == found.as_dict()["best"] == "knows"
    assert "knows is the best, by at least" in str(found) and "Probability of being the best: knows 1.00" in str(found)
    same = boltz.compare({"one": knows, "other": knows}, rows)
    assert same.best is None and "is the best, by" not in str(same)


def test_checks_of_evaluation() -> None:
    quick_evaluation.check_the_notebook_and_enumeration()
    quick_evaluation.check_rows_of_a_run()
    quick_evaluation.check_words()
    quick_evaluation.check_learnt_finding()
    quick_evaluation.check_simple_lines()
    quick_evaluation.check_method_asked_for()


def test_the_memory_that_rows_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "memory", lambda: 10.0)
    with pytest.raises(boltz.InputError, match="more than this computer has"):
        boltz.evaluate(boltz.rbm(6, 3, X), np.asarray(X))
