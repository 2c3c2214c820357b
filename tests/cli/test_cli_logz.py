"""Catches `boltz logz` printing other than the library finds by some method, or silent on what is not trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import TEST, UNITS, invoke, result_of
from support.training import plain_train

import boltz
from boltz.estimators import two_sided
from boltz.estimators.estimate import Estimate
from boltz.estimators.two_sided import TwoSided
from boltz.estimators.words import value_of
from boltz.evaluation import log_z as evaluation_log_z
from boltz.evaluation.log_z import PARTS
from boltz.sampling import ladder_fitting
from boltz.storage import snapshots

KEYS = {"log_z", "method", "seconds", "units"}
SIDES = {"wanted", "reached", "gap", "lower", "upper", "ladder"}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Pilot runs of small machines need not be long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder_fitting, "PILOT_RUNGS", 6)
        patch.setattr(ladder_fitting, "PILOT_ROUNDS", 16)
        yield


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 25-22 RBM, too wide to be enumerated by default."""
    generator = np.random.default_rng(1)
    file = tmp_path_factory.mktemp("models") / "wide.safetensors"
    boltz.from_arrays([generator.normal(0, 0.3, (UNITS, 22))], [np.zeros(UNITS), np.zeros(22)]).save(file)
    return file


@pytest.fixture(scope="module")
def measured(wide: Path, quick: None) -> TwoSided:
    model = boltz.load(wide)
    assert isinstance(model, boltz.BoltzmannMachine)
    return boltz.log_z(model, 1.0, 0.0)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch, measured: TwoSided) -> list[tuple[float, float, int]]:
    """The library's answer without the work; what it was asked for is noted."""
    asked: list[tuple[float, float, int]] = []

    def log_z(
        model: Any, error: float, budget: float, seed: int, base: Any, progress: Callable[[int, int], None]
    ) -> TwoSided:
        asked.append((error, budget, seed))
        for _ in PARTS:
            progress(1, 2)
            progress(2, 2)
        return measured

    monkeypatch.setattr(evaluation_log_z, "from_both_sides", log_z)
    return asked


def test_both_sides_as_the_library_finds_them(wide: Path, measured: TwoSided) -> None:
    result = result_of("logz", wide, "--error", 1, "--budget", 0, "--threads", 1)
    assert result.keys() == KEYS | SIDES and measured.ladder is not None
    assert result["log_z"] == measured.estimate.as_dict() and result["method"] == measured.estimate.method
    assert result["lower"] == measured.lower.as_dict() and result["upper"] == measured.upper.as_dict()
    assert (result["wanted"], result["reached"], result["gap"]) == (1.0, True, measured.gap)
    assert result["ladder"]["estimate"] == measured.ladder.estimate.as_dict()
    assert result["ladder"]["acceptance"] == measured.ladder.acceptance.tolist()
    assert result["ladder"]["memory"] == measured.ladder.memory
    assert result["ladder"]["doubts"] == list(measured.ladder.doubts)


def test_what_is_asked_for_arrives(wide: Path, once: list[tuple[float, float, int]]) -> None:
    for words in ((), ("--error", 0.5), ("--budget", 7), ("--method", "two-sided", "--seed", 3)):
        assert invoke("logz", wide, *words).exit_code == 0
    assert once == [(0.25, 600.0, 0), (0.5, 600.0, 0), (0.25, 7.0, 0), (0.25, 600.0, 3)]
    told = invoke("logz", wide).stderr
    assert [f"attempt 1, {part} 2/2" in told for part in PARTS] == [True] * 3


def test_the_text_names_every_part(wide: Path, once: list[tuple[float, float, int]], measured: TwoSided) -> None:
    first, up, down, middle = invoke("logz", wide).stdout.splitlines()
    assert first.startswith(f"log Z {value_of(measured.estimate)} nats +- ")
    assert "(wanted +-1: reached), trusted" in first
    assert f"{value_of(measured.lower)}  from" in up and "a lower bound in expectation" in up
    assert f"{value_of(measured.upper)}  to" in down and "a diagnostic" in down
    assert "64 of them made the journey" in middle and f"gap {round(measured.gap, 2) + 0.0:.2f}" in middle
    assert "NOT" not in first + up + down + middle


def doubtful(found: TwoSided, part: str) -> TwoSided:
    """The same with a part that is not trusted."""
    assert found.ladder is not None
    whole = replace(found.estimate, doubts=("made",))
    if part == "ladder":
        estimate = replace(found.ladder.estimate, doubts=("half of them stayed",), ess=3.0)
        return replace(
            found,
            estimate=whole,
            reached=False,
            ladder=replace(found.ladder, estimate=estimate),
        )
    poor = replace(found.lower if part == "lower" else found.upper, doubts=("made",), ess=2.0)
    return replace(found, estimate=whole, reached=False, **{part: poor})


@pytest.mark.parametrize(("part", "place"), [("lower", 1), ("upper", 2), ("ladder", 3)])
def test_what_is_not_trusted_says_so_and_why(measured: TwoSided, part: str, place: int) -> None:
    lines = two_sided.lines("log Z", doubtful(measured, part))
    assert [i for i, line in enumerate(lines) if "NOT trusted" in line] == [0, place]
    assert "NOT reached" in lines[0] and "but not trusted" in lines[0]
    assert ("NOT trusted, since half of them stayed" if part == "ladder" else "2 of 100 chains") in lines[place] or (
        "2 of 128 chains effective" in lines[place]
    )


def test_all_doubts_about_the_ladder_are_told(measured: TwoSided) -> None:
    assert measured.ladder is not None
    estimate = replace(measured.ladder.estimate, doubts=("it is short", "its halves differ"))
    ladder = replace(measured.ladder, estimate=estimate)
    assert ladder.words.endswith(": NOT trusted, since it is short and its halves differ")


def test_parts_that_contradict_each_other_are_named(measured: TwoSided) -> None:
    lower = replace(measured.lower, value=measured.estimate.value + 50)
    lines = two_sided.lines(
        "log Z", replace(measured, lower=lower, estimate=replace(measured.estimate, doubts=("made",)))
    )
    assert "annealing up lies above replica exchange, annealing up lies above annealing down" in lines[1]


def test_what_is_not_reached_says_what_to_raise(
    measured: TwoSided, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = two_sided.lines("log Z", replace(measured, wanted=1e-5, reached=False))
    assert "(wanted +-1e-05: NOT reached within the budget, it is +-0.0" in lines[0]
    assert "raise --budget or --error), trusted" in lines[0]
    wanting = replace(measured, wanted=1e-5, reached=False)
    monkeypatch.setattr(evaluation_log_z, "from_both_sides", lambda *given, **settings: wanting)
    assert result_of("logz", wide, "--error", 1e-5)["reached"] is False


def test_a_small_machine_is_exact_unless_annealing_is_asked_for(run: Path) -> None:
    assert result_of("logz", run).keys() == KEYS
    exact = result_of("logz", run, "--error", 1)
    assert exact["reached"] is True and exact["ladder"] is None and exact["log_z"]["kind"] == "exact"
    assert invoke("logz", run, "--error", 1).stdout.endswith("nats, exact\n")
    assert result_of("logz", run, "--betas", 5, "--chains", 3)["log_z"]["steps"] == 5
    told = invoke("logz", run, "--betas", 5, "--chains", 3).stdout
    assert "NOT trusted, nor is its interval, since 3 chains ran" in told


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(wide: Path) -> None:
    Path("folder.png").mkdir(exist_ok=True)
    found = invoke("logz", wide, "--picture", "folder.png")
    assert found.exit_code == 2 and "--picture must be a file that can be written" in found.stderr


def test_adaptive_temperatures_wherever_temperatures_are_asked_for(wide: Path, data: Path) -> None:
    model = boltz.load(wide)
    wanted = boltz.ais(model, 5, "adaptive:30").as_dict()  # type: ignore[arg-type]
    words = ("--betas", "adaptive:30", "--chains", 5)
    assert result_of("logz", wide, *words)["log_z"] == wanted
    assert result_of("evaluate", wide, "--data", data, *words)["log_z"] == wanted
    compared = result_of("compare", wide, "--data", data, *words, "--out", "c")["models"][0]["log_z"]
    assert {name: compared[name] for name in wanted} == wanted
    found = result_of("train", "rbm", "--layers", 21, "--epochs", 1, "--data", data, "--out", "r", "--betas",
                      "adaptive:20", "--chains-ais", 4)  # fmt: skip
    assert found["test"]["log_z"]["steps"] == 20 and found["test"]["rows"] == TEST


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a 6-4 RBM with snapshots along it."""
    folder = tmp_path_factory.mktemp("runs") / "r"
    plain_train(boltz.rbm(6, 4), np.eye(6), out=folder, epochs=8, batch_size=3, snapshots=4, learning_rate=0.5)
    return folder


def test_log_z_along_training(traced: Path) -> None:
    result = result_of("logz", traced, "--method", "trajectory", "--rounds", 200)
    model, members = boltz.load(traced), boltz.trajectory(traced)
    assert isinstance(model, boltz.BoltzmannMachine)
    wanted = boltz.exchange_log_z(model, members, rounds=200)
    assert result["log_z"] == wanted.estimate.as_dict() and result.keys() == KEYS | {"along", "ladder"}
    along = result["along"]
    assert [entry["step"] for entry in along] == [int(file.stem) for file in snapshots.listed(traced)]
    truth = np.array([boltz.exact_log_z(member).value for member in members])
    found = np.array([entry["log_z"] for entry in along])
    rung = [int(np.abs(wanted.log_z - entry["log_z"]).argmin()) for entry in along]
    assert [wanted.errors[i] for i in rung] == [entry["error"] for entry in along]
    assert np.abs(found[:, None] - truth).argmin(axis=1).tolist() == list(range(len(members)))  # none is its neighbour
    text = invoke("logz", traced, "--method", "trajectory", "--rounds", 200).stdout
    assert "no bound: replica exchange" in text and f"update {along[-1]['step']:>9,}  log Z" in text


def test_a_trajectory_that_is_not_trusted_says_so(
    traced: Path, measured: TwoSided, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = doubtful(measured, "ladder").ladder
    assert ladder is not None
    places = np.arange(float(len(ladder.places)))
    monkeypatch.setattr(
        "boltz.evaluation.along.exchange_log_z", lambda *given, **settings: replace(ladder, places=places)
    )
    found = invoke("logz", traced, "--method", "trajectory", "--rounds", 20).stdout.splitlines()
    assert "NOT trusted, nor is its interval" in found[0] and "NOT trusted, since" in found[1]


def test_the_picture_is_drawn_of_what_was_found(
    wide: Path, once: list[tuple[float, float, int]], measured: TwoSided, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    real = boltz.plot_log_z
    monkeypatch.setattr(boltz, "plot_log_z", lambda found: drawn.append(found) or real(found))
    assert invoke("logz", wide, "--picture", "two.png").exit_code == 0
    assert invoke("logz", wide, "--betas", 20, "--chains", 3, "--picture", "one.png").exit_code == 0
    assert drawn[0] is measured and isinstance(drawn[1], Estimate) and drawn[1].chains == 3
    assert all(Path(name).read_bytes().startswith(b"\x89PNG") for name in ("one.png", "two.png"))


@pytest.mark.usefixtures("painted")
def test_one_chain_can_be_drawn(wide: Path) -> None:
    assert invoke("logz", wide, "--betas", 3, "--chains", 1, "--picture", "p.png").exit_code == 0
